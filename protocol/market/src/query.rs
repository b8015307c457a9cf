//! Questions that shells ask: references where they can be, small rows where they must.
//!
//! Nothing here changes anything, and nothing checks who asks: that is the shell's decision. Read
//! next: [`crate::row`] for the rows.

use fairground_types::command::MemberRow;
use fairground_types::journal::Intake;
use fairground_types::verdict::BidState;
use fairground_types::{
    Accepted, AssetId, AuctionId, BidId, ChallengeId, Digest, EdgeId, SaleLockId, SignInId,
    StoryId, Timestamp, UserId, Verdict, limits,
};

use crate::auction::{Auction, AuctionState, Bid, RefusedBid};
use crate::media::Job;
use crate::payment::AttemptState;
use crate::row::{
    AssetRow, AuctionRecord, BidRow, EdgeRow, JobRow, JoinTokenRow, LockRow, MeRow, StoryRow,
};
use crate::sale::LockState;
use crate::story::story_row;
use crate::view::AuctionStatus;
use crate::{Account, Asset, Challenge, Market, SaleLock, SignIn, Story};

/// Open jobs that are listed.
pub(crate) const OPEN_JOBS_SHOWN_MAX: usize = 512;
/// Failed jobs that are listed.
pub(crate) const FAILED_JOBS_SHOWN_MAX: usize = 256;

impl Market {
    /// The rules in force for auctions that open now.
    #[must_use]
    pub const fn policy(&self) -> &fairground_types::command::MarketPolicy {
        &self.cluster.policy
    }

    /// An account.
    #[must_use]
    pub fn account(&self, user: UserId) -> Option<&Account> {
        self.accounts.account(user)
    }

    /// The account of an address.
    #[must_use]
    pub fn account_by_identifier(&self, identifier: &Digest) -> Option<&Account> {
        self.accounts.identifiers.get(identifier).and_then(|user| self.account(*user))
    }

    /// An account, for its owner.
    #[must_use]
    pub fn me(&self, user: UserId) -> Option<MeRow> {
        let account = self.account(user)?;
        let roles = account.roles();
        Some(MeRow { user_id: user, handle: account.handle.clone(), roles })
    }

    /// A one-time code that waits to be typed.
    #[must_use]
    pub fn challenge(&self, id: ChallengeId) -> Option<&Challenge> {
        let identifier = self.accounts.challenges.get(&id)?;
        let challenge = self.accounts.gates.get(identifier)?.challenge.as_ref()?;
        (challenge.challenge == id).then_some(challenge)
    }

    /// A sign-in that has not ended.
    #[must_use]
    pub fn sign_in(&self, id: SignInId) -> Option<&SignIn> {
        self.accounts.sign_ins.get(&id)
    }

    /// A story.
    #[must_use]
    pub fn story(&self, id: StoryId) -> Option<&Story> {
        self.stories.get(&id).map(AsRef::as_ref)
    }

    /// A story, for its maker and its reviewers.
    #[must_use]
    pub fn story_row(&self, id: StoryId) -> Option<StoryRow> {
        self.story(id).map(story_row)
    }

    /// Stories of one maker, by id.
    #[must_use]
    pub fn stories_of(&self, maker: UserId) -> Vec<StoryRow> {
        self.stories_by(maker).map(story_row).collect()
    }

    /// Stories of one maker, by id.
    pub(crate) fn stories_by(&self, maker: UserId) -> impl Iterator<Item = &Story> {
        let rows = self.by_maker.iter_from((maker, StoryId::from_bits(0))).map(|(key, ())| *key);
        let own = rows.take_while(move |(owner, _)| *owner == maker);
        own.filter_map(|(_, story)| self.story(story))
    }

    /// Stories that wait for a reviewer, oldest first.
    #[must_use]
    pub fn stories_waiting_for_review(&self) -> Vec<StoryRow> {
        let mut rows: Vec<_> = self
            .stories
            .values()
            .filter(|row| row.review.is_some())
            .map(|row| story_row(row))
            .collect();
        rows.sort_by_key(|row| (row.submitted_at, row.story_id));
        rows
    }

    /// An asset.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.assets.get(&id).map(AsRef::as_ref)
    }

    /// Every asset, by id.
    pub fn assets(&self) -> impl Iterator<Item = &Asset> {
        self.assets.values().map(AsRef::as_ref)
    }

    /// An asset, for its owner and for workers.
    #[must_use]
    pub fn asset_row(&self, id: AssetId) -> Option<AssetRow> {
        self.asset(id).map(asset_row)
    }

    /// Assets of one owner, by id.
    #[must_use]
    pub fn assets_of(&self, owner: UserId) -> Vec<AssetRow> {
        self.assets.values().filter(|row| row.owner == owner).map(|row| asset_row(row)).collect()
    }

    /// Transcode jobs for workers: those that are leased, by id, then those that wait, oldest first;
    /// at most 512.
    #[must_use]
    pub fn open_jobs(&self) -> Vec<JobRow> {
        let leased = self.assets.values().filter(|asset| matches!(asset.job, Job::Leased { .. }));
        let waiting = self.queue.iter().filter_map(|(_, id)| self.assets.get(id));
        leased.chain(waiting).take(OPEN_JOBS_SHOWN_MAX).map(|asset| self.job_row(asset)).collect()
    }

    /// Transcode jobs for people: [`Market::open_jobs`], then those that failed, of the newest clips
    /// first; at most 256 of these.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobRow> {
        let failed = self.assets.values().filter(|asset| matches!(asset.job, Job::Failed { .. }));
        let mut failed: Vec<&Asset> = failed.map(AsRef::as_ref).collect();
        failed.sort_by_key(|asset| std::cmp::Reverse((asset.registered_at, asset.asset)));
        let mut rows = self.open_jobs();
        let shown = failed.into_iter().take(FAILED_JOBS_SHOWN_MAX);
        rows.extend(shown.map(|asset| self.job_row(asset)));
        rows
    }

    /// One transcode job.
    #[must_use]
    pub fn job(&self, id: AssetId) -> Option<JobRow> {
        self.asset(id).map(|asset| self.job_row(asset))
    }

    fn job_row(&self, asset: &Asset) -> JobRow {
        let owner = self.accounts.account(asset.owner);
        let mut row = job_row(asset);
        row.owner_handle = owner.and_then(|owner| owner.handle.clone());
        self.show_attempts(asset, &mut row);
        row
    }

    /// How many jobs wait for a worker.
    #[must_use]
    pub fn jobs_waiting(&self) -> usize {
        self.queue.len()
    }

    /// A sale lock.
    #[must_use]
    pub fn lock(&self, id: SaleLockId) -> Option<&SaleLock> {
        self.locks.get(&id).map(AsRef::as_ref)
    }

    /// A sale lock, for its buyer.
    #[must_use]
    pub fn lock_row(&self, id: SaleLockId) -> Option<LockRow> {
        self.lock(id).map(|lock| row_of_lock(lock, self.at))
    }

    /// Sale locks of one buyer, newest first.
    #[must_use]
    pub fn locks_of(&self, buyer: UserId) -> Vec<LockRow> {
        self.locks
            .values()
            .rev()
            .filter(|lock| lock.buyer == buyer)
            .map(|lock| row_of_lock(lock, self.at))
            .collect()
    }

    /// Every sale lock, newest first.
    #[must_use]
    pub fn locks(&self) -> Vec<LockRow> {
        self.locks.values().rev().map(|lock| row_of_lock(lock, self.at)).collect()
    }

    /// An auction.
    #[must_use]
    pub fn auction(&self, id: AuctionId) -> Option<&Auction> {
        self.auctions.get(&id).map(AsRef::as_ref)
    }

    /// Every auction, by id.
    pub fn auctions(&self) -> impl Iterator<Item = &Auction> {
        self.auctions.values().map(AsRef::as_ref)
    }

    /// Everything that explains how an auction came out.
    #[must_use]
    pub fn auction_record(&self, id: AuctionId) -> Option<AuctionRecord> {
        self.auction(id).map(record_of)
    }

    /// Bids of one account in one auction: held, refused (the newest) and accepted ones.
    #[must_use]
    pub fn my_bids(&self, user: UserId, auction: AuctionId) -> Vec<BidRow> {
        let Some(row) = self.auction(auction) else { return Vec::new() };
        let accepted =
            row.bids().filter(|bid| bid.bidder == user).map(|bid| accepted_row(row, bid));
        let refused =
            row.refused.iter().filter(|bid| bid.bidder == user).map(|bid| refused_row(row, bid));
        let taken_back = row.retracted.iter().filter(|gone| gone.bid.bidder == user).map(|gone| {
            let mut shown = accepted_row(row, &gone.bid);
            shown.state = BidState::Retracted;
            shown.detail = Some(gone.reason.as_str().to_owned());
            shown
        });
        let held = row.held.get(&user).map(|bid| held_row(auction, &bid.intake));
        let mut rows: Vec<BidRow> = accepted.chain(refused).chain(taken_back).collect();
        rows.sort_by_key(|row| (row.log_index, row.bid_id));
        rows.extend(held);
        rows
    }

    /// One bid of one account, wherever it was sent; none when it was never heard of.
    #[must_use]
    pub fn bid(&self, user: UserId, bid: BidId) -> Option<BidRow> {
        let Some(known) = self.dedup.of_bid(bid) else { return self.held_bid(user, bid) };
        if known.user != Some(user) {
            return None;
        }
        let mut row = empty_row(bid);
        row.log_index = Some(known.judged.index);
        row.at = Some(known.judged.at);
        match &known.judged.verdict {
            Verdict::Accepted(accepted) => {
                row.state = BidState::Accepted;
                row.auction_id = auction_in(accepted);
                let auction = row.auction_id.and_then(|id| self.auction(id));
                row.leads = auction.is_some_and(|auction| auction.leads(bid));
                let taken_back = auction.and_then(|auction| {
                    auction.retracted.iter().find(|gone| gone.bid.bid_id == bid)
                });
                if let Some(gone) = taken_back {
                    row.state = BidState::Retracted;
                    row.detail = Some(gone.reason.as_str().to_owned());
                    row.amount = Some(gone.bid.amount);
                    return Some(row);
                }
                row.amount = auction
                    .and_then(|auction| auction.bids().find(|placed| placed.bid_id == bid))
                    .map(|placed| placed.amount);
            }
            Verdict::Rejected(rejection) => {
                row.state = BidState::Rejected;
                row.auction_id = rejection.auction;
                row.code = Some(rejection.code);
                row.detail = Some(rejection.detail.clone());
                row.late = rejection.late;
            }
        }
        Some(row)
    }

    fn held_bid(&self, user: UserId, bid: BidId) -> Option<BidRow> {
        self.open
            .iter()
            .filter_map(|(_, id)| self.auction(*id))
            .filter_map(|row| Some((row.auction, row.held.get(&user)?)))
            .find(|(_, held)| held.intake.bid() == bid)
            .map(|(auction, held)| held_row(auction, &held.intake))
    }

    /// Every registered edge.
    #[must_use]
    pub fn edges(&self) -> Vec<EdgeRow> {
        self.edges.values().map(|edge| EdgeRow::of(edge, self.at)).collect()
    }

    /// One edge.
    #[must_use]
    pub fn edge(&self, id: &EdgeId) -> Option<&crate::EdgeState> {
        self.edges.get(id)
    }

    /// The members, by number.
    pub fn members(&self) -> impl Iterator<Item = &MemberRow> {
        self.cluster.members.values()
    }

    /// Join tokens that are open.
    #[must_use]
    pub fn join_tokens(&self) -> Vec<JoinTokenRow> {
        self.cluster
            .tokens
            .values()
            .map(|token| JoinTokenRow {
                token_id: token.token,
                role: token.role,
                region: token.region.clone(),
                expires_at: token.expires_at,
            })
            .collect()
    }
}

fn asset_row(asset: &Asset) -> AssetRow {
    let (state, reason) = match &asset.job {
        // A whole revision is ready, whatever is still being made.
        Job::Queued if !asset.is_whole() => ("queued", None),
        Job::Leased { .. } if !asset.is_whole() => ("transcoding", None),
        Job::Failed { reason } if !asset.is_whole() => ("failed", Some(reason.clone())),
        Job::Queued | Job::Leased { .. } | Job::Done => ("ready", None),
        Job::Failed { reason } => ("ready", Some(reason.clone())),
    };
    AssetRow {
        asset_id: asset.asset,
        owner_id: asset.owner,
        state,
        revision: asset.revision,
        is_growing: asset.is_growing,
        manifest: asset.manifest,
        codecs: asset.codecs.clone(),
        reason,
        takes_captions: asset.check_captions().is_ok(),
        source: asset.source,
        source_bytes: asset.source_bytes,
        duration: asset.duration,
        width: asset.width,
        height: asset.height,
    }
}

fn job_row(asset: &Asset) -> JobRow {
    let (state, edge, until, reason) = match &asset.job {
        Job::Queued => ("queued", None, None, None),
        Job::Leased { edge, until } => ("leased", Some(edge.clone()), Some(*until), None),
        Job::Done => ("done", None, None, None),
        Job::Failed { reason } => ("failed", None, None, Some(reason.clone())),
    };
    JobRow {
        asset_id: asset.asset,
        state,
        edge,
        until,
        attempts: asset.attempts,
        fence: asset.fence,
        revision: asset.revision,
        is_growing: asset.is_growing,
        source: asset.source,
        source_bytes: asset.source_bytes,
        owner_handle: None,
        reason,
        detail: None,
        strikes: 0,
        failed_workers: Vec::new(),
        ready_at: None,
        owner_id: asset.owner,
        duration: asset.duration,
    }
}

/// A sale lock as its row is at log time `at`.
pub(crate) fn row_of_lock(lock: &SaleLock, at: Timestamp) -> LockRow {
    let newest = lock.attempts.last();
    let open = newest.and_then(|attempt| match &attempt.state {
        AttemptState::Open { url, expires_at } if lock.is_active() && at < *expires_at => {
            Some((url.clone(), *expires_at))
        }
        AttemptState::Open { .. }
        | AttemptState::Planned
        | AttemptState::Failed { .. }
        | AttemptState::Expired
        | AttemptState::Paid => None,
    });
    let (state, order_id) = match &lock.state {
        LockState::Active => ("pending", None),
        LockState::Paid { order, .. } => ("paid", Some(*order)),
        LockState::Ending { .. } => ("ending", None),
        LockState::Released { .. } => ("released", None),
        LockState::Expired { .. } => ("expired", None),
    };
    let attempt = newest.map_or(0, |attempt| attempt.number);
    LockRow {
        sale_lock_id: lock.lock,
        auction_id: lock.auction,
        story_id: lock.story,
        amount: lock.amount,
        state,
        expires_at: lock.expires_at,
        checkout_url: open.as_ref().map(|(url, _)| url.clone()),
        checkout_expires_at: open.map(|(_, expires_at)| expires_at),
        attempt,
        attempts_left: if lock.is_active() {
            limits::CHECKOUT_ATTEMPTS_MAX.saturating_sub(attempt)
        } else {
            0
        },
        retry_at: lock.retry_at(),
        order_id,
        on_hold: lock.holds.iter().any(|hold| hold.resolved.is_none()),
    }
}

pub(crate) fn record_of(row: &Auction) -> AuctionRecord {
    let ended = row.ended();
    let (status, close_reason) = match &row.state {
        AuctionState::Open => (AuctionStatus::Open, None),
        AuctionState::Locked { .. } => (AuctionStatus::Locked, None),
        AuctionState::AwaitingDecision { .. } => (AuctionStatus::AwaitingDecision, None),
        AuctionState::Closed { reason, .. } => (AuctionStatus::Closed, Some(*reason)),
    };
    AuctionRecord {
        auction_id: row.auction,
        story_id: row.story,
        seq: row.seq,
        maker_id: row.maker,
        policy: row.policy,
        status,
        opened_at: row.opened_at,
        closes_at: row.closes_at,
        closes_by: row.closes_by,
        extensions: row.extensions.clone(),
        bids: row.bids().cloned().collect(),
        retracted: row.retracted.clone(),
        acts: row.acts.clone(),
        refused: row.refused.clone(),
        refused_count: row.refused_count,
        held: u32::try_from(row.held.len()).unwrap_or(u32::MAX),
        ended_at: ended.map(|ended| ended.at),
        lateness: ended.map(|ended| ended.lateness),
        lock_reason: ended.map(|ended| ended.reason),
        close_reason,
        unheard: ended.map(|ended| ended.unheard.clone()).unwrap_or_default(),
        sale_lock_id: row.lock(),
    }
}

const fn empty_row(bid: BidId) -> BidRow {
    BidRow {
        bid_id: bid,
        auction_id: None,
        amount: None,
        state: BidState::Received,
        code: None,
        detail: None,
        late: false,
        log_index: None,
        at: None,
        leads: false,
    }
}

fn accepted_row(auction: &Auction, bid: &Bid) -> BidRow {
    BidRow {
        auction_id: Some(auction.auction),
        amount: Some(bid.amount),
        state: BidState::Accepted,
        log_index: Some(bid.index),
        at: Some(bid.at),
        leads: auction.leads(bid.bid_id),
        ..empty_row(bid.bid_id)
    }
}

fn refused_row(auction: &Auction, bid: &RefusedBid) -> BidRow {
    BidRow {
        auction_id: Some(auction.auction),
        amount: Some(bid.amount),
        state: BidState::Rejected,
        code: Some(bid.code),
        detail: Some(bid.code.title().to_owned()),
        late: bid.late,
        log_index: Some(bid.index),
        at: Some(bid.at),
        ..empty_row(bid.bid_id)
    }
}

fn held_row(auction: AuctionId, intake: &Intake) -> BidRow {
    BidRow { auction_id: Some(auction), amount: Some(intake.amount()), ..empty_row(intake.bid()) }
}

fn auction_in(accepted: &Accepted) -> Option<AuctionId> {
    match accepted {
        Accepted::BidPlaced { auction, .. } | Accepted::AuctionOpened { auction, .. } => {
            Some(*auction)
        }
        Accepted::Done
        | Accepted::OfferSubmitted { .. }
        | Accepted::OfferPolicySet { .. }
        | Accepted::CloseSet { .. }
        | Accepted::SignedIn { .. }
        | Accepted::StorySaved { .. }
        | Accepted::Saved { .. }
        | Accepted::StoryShared { .. }
        | Accepted::Locked { .. }
        | Accepted::CheckoutPlanned { .. }
        | Accepted::OrderChanged { .. }
        | Accepted::Refunded { .. }
        | Accepted::IssueChanged { .. }
        | Accepted::EdgeRegistered { .. }
        | Accepted::MemberRegistered { .. }
        | Accepted::EdgeAdmitted { .. }
        | Accepted::JobLeased { .. } => None,
    }
}
