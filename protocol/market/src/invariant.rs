//! What must hold after every entry, checked from scratch.
//!
//! For tests, the simulator and audits; slow on purpose: it derives everything again. Each line names
//! what is broken. Read next: `docs/src/internals/bids.md`.

use std::collections::BTreeSet;

use fairground_types::Timestamp;

use crate::auction::{Auction, AuctionState, min_next};
use crate::sale::LockState;
use crate::story::StoryState;
use crate::view::{AuctionStatus, StoryStatus};
use crate::{Market, PublicView};

impl Market {
    /// Every broken invariant; none in a sound state.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut broken = Vec::new();
        self.check_ledger(&mut broken);
        self.check_money(&mut broken);
        self.check_locks(&mut broken);
        self.check_auctions(&mut broken);
        self.check_offers(&mut broken);
        self.check_edges(&mut broken);
        self.check_memory(&mut broken);
        self.check_view(&mut broken);
        self.check_people(&mut broken);
        self.check_signers(&mut broken);
        broken.extend(self.audit.faults());
        broken.extend(self.inbox.faults());
        self.check_social(&mut broken);
        self.check_stories(&mut broken);
        self.check_orders(&mut broken);
        broken
    }

    fn check_people(&self, broken: &mut Vec<String>) {
        let accounts = &self.accounts;
        let mut identities = 0_usize;
        for account in accounts.users.values() {
            let (user, person) = (account.user, &account.person);
            identities = identities.saturating_add(person.identities.len());
            let are_known = person
                .identities
                .iter()
                .all(|identity| accounts.identities.get(identity) == Some(&user));
            if !are_known {
                broken.push(format!("an identity of {user} is not in the index"));
            }
            let is_active = matches!(person.standing, crate::AccountStanding::Active);
            if !is_active && !account.sign_ins.is_empty() {
                broken.push(format!("{user} is {} and signed in", person.standing.name()));
            }
            let defaults = person.addresses.values().filter(|row| row.is_default).count();
            if defaults != usize::from(!person.addresses.is_empty()) {
                broken.push(format!("{user} has {defaults} default addresses"));
            }
            let limits = fairground_types::limits::BLOCKS_MAX;
            if person.blocks.len() > limits || person.blocks.contains(&user) {
                broken.push(format!("{user} blocks wrongly"));
            }
            let is_erased = matches!(person.standing, crate::AccountStanding::Erased { .. });
            if is_erased && !account.contact.wrapped_key.is_empty() {
                broken.push(format!("{user} is erased and its key is there"));
            }
        }
        if identities != accounts.identities.len() {
            broken.push("the index of identities has others".to_owned());
        }
        if accounts.invitations.len() != accounts.invitation_codes.len() {
            broken.push("invitations and their codes disagree".to_owned());
        }
    }

    fn check_ledger(&self, broken: &mut Vec<String>) {
        let mut balances = self.ledger.archived.clone();
        for (cause, posting) in self.postings() {
            for line in &posting.lines {
                let currency = line.amount.currency();
                if posting.balance(currency) != 0 {
                    broken.push(format!("posting {cause:?} is not balanced"));
                }
                let minor = i128::from(line.amount.minor());
                let signed = match line.side {
                    crate::Side::Debit => minor,
                    crate::Side::Credit => minor.saturating_neg(),
                };
                let balance = balances.entry((line.account, currency)).or_default();
                *balance = balance.saturating_add(signed);
            }
        }
        balances.retain(|_, balance| *balance != 0);
        if balances != self.ledger.balances {
            broken.push("balances are not the sum of postings".to_owned());
        }
        for (currency, total) in self.ledger_totals() {
            if total != 0 {
                broken.push(format!("the ledger's {currency} sum is {total}"));
            }
        }
    }

    fn check_locks(&self, broken: &mut Vec<String>) {
        let mut active = BTreeSet::new();
        for lock in self.locks.values() {
            if lock.reserves() && !active.insert(lock.story) {
                broken.push(format!("story {} has two active locks", lock.story));
            }
            if let LockState::Paid { order, .. } = lock.state
                && self.orders.get(&order).is_none_or(|row| row.lock != lock.lock)
            {
                broken.push(format!("lock {} is paid without its order", lock.lock));
            }
        }
        let mut ordered = BTreeSet::new();
        for order in self.orders.values() {
            if !ordered.insert(order.lock) {
                broken.push(format!("lock {} has two orders", order.lock));
            }
            let paid = crate::LedgerCause::Paid(order.lock);
            if !self.ledger.postings.contains_key(&paid) {
                broken.push(format!("order {} was not posted", order.order));
            }
        }
    }

    fn check_auctions(&self, broken: &mut Vec<String>) {
        let mut unfinished = BTreeSet::new();
        let mut open = BTreeSet::new();
        for row in self.auctions.values() {
            let id = row.auction;
            if row.is_open() {
                open.insert((row.closes_at, id));
            } else if !row.held.is_empty() {
                broken.push(format!("auction {id} ended and holds bids"));
            }
            if !matches!(row.state, AuctionState::Closed { .. }) && !unfinished.insert(row.story) {
                broken.push(format!("story {} has two auctions", row.story));
            }
            check_auction(row, broken);
            self.check_lock_of(row, broken);
        }
        if !open.iter().eq(self.open.iter()) {
            broken.push("the index of open auctions is wrong".to_owned());
        }
        let by_maker = self.by_maker.iter().filter(|((maker, story), ())| {
            self.stories.get(story).is_some_and(|row| row.maker == *maker)
        });
        if by_maker.count() != self.stories.len() || self.by_maker.len() != self.stories.len() {
            broken.push("stories are not found by their maker".to_owned());
        }
        for story in self.stories.values() {
            if let StoryState::Live { auction } = &story.state
                && self.auctions.get(auction).is_none_or(|row| row.story != story.story)
            {
                broken.push(format!("story {} is live without its auction", story.story));
            }
        }
    }

    fn check_lock_of(&self, row: &Auction, broken: &mut Vec<String>) {
        let lock = row.lock().and_then(|id| self.locks.get(&id));
        let is_sound = match &row.state {
            AuctionState::Open => lock.is_none(),
            AuctionState::Locked { .. } => lock.is_some_and(|lock| lock.reserves()),
            AuctionState::AwaitingDecision { .. } => lock.is_none_or(|lock| !lock.reserves()),
            AuctionState::Closed { .. } => lock.is_none_or(|lock| !lock.reserves()),
        };
        if !is_sound {
            broken.push(format!("auction {} and its lock disagree", row.auction));
        }
    }

    fn check_offers(&self, broken: &mut Vec<String>) {
        let mut listed = BTreeSet::new();
        for (story, offers) in &self.offering.of_story {
            for id in offers {
                listed.insert(*id);
                let row = self.offering.offers.get(id);
                if row.is_none_or(|row| row.story != *story) {
                    broken.push(format!("offer {id} is listed under a story that is not its own"));
                }
            }
            let waiting = self.offering.pending_on(*story).len();
            let is_live = self
                .stories
                .get(story)
                .is_some_and(|row| matches!(row.state, StoryState::Live { .. }));
            if is_live && waiting > 0 {
                broken.push(format!("story {story} is live and {waiting} offers wait"));
            }
        }
        if listed.len() != self.offering.offers.len() {
            broken.push("the index of offers is wrong".to_owned());
        }
        let counted: u64 = self.offering.recent_of.values().map(|made| u64::from(*made)).sum();
        if u64::try_from(self.offering.recent.len()).ok() != Some(counted) {
            broken.push("the offers of the last hour are counted wrong".to_owned());
        }
    }

    fn check_edges(&self, broken: &mut Vec<String>) {
        for edge in self.edges.values() {
            if edge.counted(self.at) > self.at {
                broken.push(format!("edge {} counts a mark after log time", edge.edge));
            }
            if edge.pending.iter().any(|mark| mark.tail.seq <= edge.applied.seq) {
                broken.push(format!("edge {} has a mark waiting for an applied tail", edge.edge));
            }
            if edge.pending.len() > fairground_types::limits::PENDING_MARKS_MAX {
                broken.push(format!("edge {} has too many marks waiting", edge.edge));
            }
        }
    }

    fn check_memory(&self, broken: &mut Vec<String>) {
        let queued = self.dedup.short.len().saturating_add(self.dedup.long.len());
        if queued != self.dedup.verdicts.len() {
            broken.push("dedup and its ages disagree".to_owned());
        }
        for row in self.auctions.values() {
            for bid in row.bids() {
                let judged = self.verdict(&bid.command);
                let is_young = self.at.since(bid.at) <= crate::dedup::LONG_MEMORY;
                if is_young
                    && !bid.is_proxy
                    && judged.is_none_or(|judged| !judged.verdict.is_accepted())
                {
                    broken.push(format!("bid {} has no accepted verdict", bid.bid_id));
                }
            }
            for held in row.held.values() {
                if self.verdict(&held.intake.command()).is_some() {
                    broken.push(format!("bid {} is held and judged", held.intake.bid()));
                }
            }
        }
    }

    fn check_stories(&self, broken: &mut Vec<String>) {
        for story in self.stories.values() {
            let id = story.story;
            let is_submitted = matches!(story.state, StoryState::Submitted { .. });
            let is_edit = story.review.as_ref().is_some_and(|review| review.edit.is_some());
            if is_submitted != (story.review.is_some() && !is_edit) {
                broken.push(format!("story {id} and its review disagree"));
            }
            if story.state.is_public() && story.published.is_none() {
                broken.push(format!("story {id} is shown without a decision"));
            }
            if story.published.is_some_and(|shown| !story.versions.contains_key(&shown)) {
                broken.push(format!("story {id} shows a version that was not kept"));
            }
            let shown = story.published.and_then(|shown| story.versions.get(&shown));
            if story.state.is_public() && shown.is_some_and(|kept| kept.contents != story.contents)
            {
                broken.push(format!("story {id} shows other contents than its version"));
            }
        }
    }

    fn check_view(&self, broken: &mut Vec<String>) {
        let view: &PublicView = &self.view;
        if view.index() != self.index || view.at() != self.at {
            broken.push("the view is not at the market's index".to_owned());
        }
        if view.auctions.len() != self.auctions.len() {
            broken.push("the view has other auctions than the market".to_owned());
        }
        for row in self.auctions.values() {
            if view.auction(row.auction).is_none_or(|seen| !sees(seen, row)) {
                broken.push(format!("the view shows auction {} otherwise", row.auction));
            }
        }
        for story in self.stories.values() {
            let expected = match &story.state {
                StoryState::Draft
                | StoryState::Submitted { .. }
                | StoryState::Rejected { .. }
                | StoryState::Approved { .. }
                | StoryState::Scheduled { .. }
                | StoryState::TakenDown { .. }
                | StoryState::Archived { .. } => None,
                StoryState::Listed { .. } => Some(StoryStatus::Listed),
                StoryState::Live { .. } => Some(StoryStatus::Live),
                StoryState::Sold { .. } => Some(StoryStatus::Sold),
            };
            if view.story(story.story).map(|seen| seen.status) != expected {
                broken.push(format!("the view shows story {} otherwise", story.story));
            }
        }
    }
}

fn sees(seen: &crate::AuctionView, row: &Auction) -> bool {
    let status = match &row.state {
        AuctionState::Open => AuctionStatus::Open,
        AuctionState::Locked { .. } => AuctionStatus::Locked,
        AuctionState::AwaitingDecision { .. } => AuctionStatus::AwaitingDecision,
        AuctionState::Closed { .. } => AuctionStatus::Closed,
    };
    seen.status == status
        && seen.closes_at == row.closes_at
        && seen.closes_by == row.closes_by
        && seen.final_window == row.is_final_window()
        && seen.highest == row.leading().map(crate::Bid::public)
        && seen.epoch == row.epoch
        && seen.min_next == row.min_next()
        && usize::try_from(seen.bid_count).ok() == Some(row.bids().count())
}

fn check_auction(row: &Auction, broken: &mut Vec<String>) {
    let id = row.auction;
    if row.closes_at > row.closes_by {
        broken.push(format!("auction {id} closes after its latest close"));
    }
    let mut before = None;
    for bid in row.bids() {
        if let Some(known) = before
            && !bid.is_proxy
            && bid.amount.minor() < min_next(known, &row.policy).minor()
        {
            broken.push(format!("auction {id} has a bid below the increment"));
        }
        if before.is_some_and(|known: fairground_types::Money| bid.amount.minor() <= known.minor())
        {
            broken.push(format!("auction {id} has bids that do not rise"));
        }
        before = Some(bid.amount);
    }
    if let (Some(proxy), Some(leader)) = (&row.proxy, row.leader())
        && proxy.bidder != leader
    {
        broken.push(format!("auction {id} bids on for somebody who does not lead"));
    }
    let mut close = Timestamp::EPOCH;
    for extension in &row.extensions {
        if extension.closes_at <= close {
            broken.push(format!("auction {id} moved its close back"));
        }
        close = extension.closes_at;
    }
}
