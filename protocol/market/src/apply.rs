//! One entry of the log, applied: the only place where a market changes.
//!
//! The order is fixed: time and outage, what is due, marks, commands, closes. Direct commands run in
//! the entry's own order and before bids, so an edge that is admitted by an entry may send bids in
//! it; bids of all batches run by (middle of the stamp, edge, sequence). Read next:
//! `permission.rs` for who may, `offer.rs` for bids.

use std::collections::BTreeMap;

use fairground_types::command::{
    AccountCommand, AuctionCommand, ClusterCommand, Command, Entry, Envelope, LogCommand,
    MediaCommand, PaymentCommand,
};
use fairground_types::event::FeedItem;
use fairground_types::verdict::Judged;
use fairground_types::{
    Accepted, Code, EdgeId, LogIndex, Millis, PublicEvent, Rejection, Timestamp, Verdict, limits,
};

use crate::archive::{ArchivedAudit, ArchivedSale};
use crate::dedup::Remembered;
use crate::fingerprint::fingerprint;
use crate::memory::memory_of;
use crate::offer::{Candidate, reused};
use crate::permission::Subject;
use crate::signing::Verified;
use crate::{Applied, JudgedIntake, Market};

/// What a rule says to a command.
pub(crate) type Answer = Result<Accepted, Rejection>;

/// One entry while it is applied: its place and time, and what it has done so far.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) index: LogIndex,
    pub(crate) at: Timestamp,
    made: u64,
    pub(crate) events: Vec<PublicEvent>,
    pub(crate) told: Vec<JudgedIntake>,
    pub(crate) archived: Vec<ArchivedSale>,
    pub(crate) archived_audit: Vec<ArchivedAudit>,
    pub(crate) effects_added: bool,
    /// Signatures that were looked into before.
    pub(crate) verified: Verified,
    /// Held bids that an extension lets go, in the order of bids.
    released: BTreeMap<(u64, EdgeId, u64), Candidate>,
}

impl Turn {
    fn new(index: LogIndex, at: Timestamp) -> Self {
        Self {
            index,
            at,
            made: 0,
            events: Vec::new(),
            told: Vec::new(),
            archived: Vec::new(),
            archived_audit: Vec::new(),
            effects_added: false,
            verified: Verified::default(),
            released: BTreeMap::new(),
        }
    }

    /// A turn outside an entry.
    #[cfg(test)]
    pub(crate) fn for_tests(at: Timestamp) -> Self {
        Self::new(LogIndex(u64::MAX), at)
    }

    /// Bits of an id that the market itself gives: no two entries, and no two things of one entry,
    /// share them.
    pub(crate) fn make_bits(&mut self) -> u128 {
        self.made = self.made.saturating_add(1);
        (u128::from(self.index.0) << 64) | u128::from(self.made)
    }

    /// Puts a held bid among the bids of this entry, by its stamp.
    pub(crate) fn release(&mut self, candidate: Candidate) {
        let key = (candidate.stamp.doubled_middle(), candidate.edge.clone(), candidate.seq);
        self.released.insert(key, candidate);
    }

    /// A verdict of this entry.
    pub(crate) const fn judged(&self, verdict: Verdict) -> Judged {
        Judged { index: self.index, at: self.at, verdict }
    }

    /// The verdict on a key that named another request.
    pub(crate) fn reused(&self) -> Judged {
        self.judged(Verdict::Rejected(reused()))
    }

    /// Tells a journal entry, and every copy of it, its verdict.
    pub(crate) fn tell(&mut self, candidate: &Candidate, judged: &Judged) {
        let first = (candidate.edge.clone(), candidate.seq);
        for (edge, seq) in std::iter::once(first).chain(candidate.copies.iter().cloned()) {
            self.told.push(JudgedIntake {
                edge,
                seq,
                command: candidate.intake.command(),
                user: candidate.intake.user(),
                judged: judged.clone(),
            });
        }
    }
}

impl Market {
    /// Applies one entry. Total and deterministic: the same state and entry give the same outcome
    /// on every machine.
    pub fn apply(&mut self, index: LogIndex, entry: &Entry) -> Applied {
        self.apply_verified(index, entry, Verified::default())
    }

    /// [`Market::apply`] with what was looked into before, by [`Market::claims`]: the same outcome,
    /// sooner.
    pub fn apply_verified(
        &mut self,
        index: LogIndex,
        entry: &Entry,
        verified: Verified,
    ) -> Applied {
        let last = self.at;
        let mut turn = self.move_time(index, entry);
        turn.verified = verified;
        self.fire_due(&mut turn, last);
        self.take_marks(entry);
        let outcomes = self.run_direct(&mut turn, entry);
        self.run_batches(&mut turn, entry);
        self.close_reached(&mut turn);
        // Time alone is no proof of silence: a mark may be on its way to the next entry.
        if !entry.is_nudge() {
            self.leave_intake(&mut turn);
        }
        let feed = FeedItem { index, at: turn.at, events: turn.events };
        self.view.fold(&feed);
        Applied {
            index,
            at: turn.at,
            outcomes,
            judged: turn.told,
            feed,
            effects_added: turn.effects_added,
            archived: turn.archived,
            archived_audit: turn.archived_audit,
        }
    }

    /// Time moves to the entry's; a new term or a gap restarts every grace, a long gap moves closes.
    fn move_time(&mut self, index: LogIndex, entry: &Entry) -> Turn {
        let last = self.at;
        let at = entry.at.max(last);
        let begins_term = entry.term > self.term;
        self.index = index;
        self.at = at;
        self.term = self.term.max(entry.term);
        // A clock that was moved by hand is no outage; but nobody could be heard in what it left out.
        let jump = self.govern.clock.take_jump(at.since(last));
        let ran_until = last.plus(jump);
        if begins_term || jump > Millis::ZERO || at.since(ran_until) > limits::RESUME_GAP {
            self.resumed_at = at;
        }
        let mut turn = Turn::new(index, at);
        self.forget(at);
        if let Some(outage) = self.outage_between(ran_until, at) {
            self.shift_sale_windows(&mut turn, &outage);
            self.extend_after_outage(&mut turn, &outage);
            self.shift_order_windows(&outage);
        }
        turn
    }

    /// What is too old leaves the memory before anything is judged: how often time moved in between
    /// must not matter.
    fn forget(&mut self, at: Timestamp) {
        let auctions = &self.auctions;
        self.dedup.forget(at, |entry| {
            entry.auction().is_some_and(|auction| auctions.contains_key(&auction))
        });
        self.payments.forget(at);
        self.forget_notices(at);
        self.offering.forget(at);
    }

    fn take_marks(&mut self, entry: &Entry) {
        for (edge, mark) in &entry.marks {
            self.take_mark(edge, *mark);
        }
        for command in &entry.commands {
            match command {
                LogCommand::Direct(_) => {}
                LogCommand::Batch(batch) => {
                    if let Some(mark) = batch.mark {
                        self.take_mark(&batch.edge, mark);
                    }
                }
            }
        }
    }

    fn run_direct(&mut self, turn: &mut Turn, entry: &Entry) -> Vec<Verdict> {
        let mut outcomes = Vec::new();
        for command in &entry.commands {
            match command {
                LogCommand::Direct(envelope) => outcomes.push(self.answer(turn, envelope)),
                LogCommand::Batch(_) => {}
            }
        }
        outcomes
    }

    fn run_batches(&mut self, turn: &mut Turn, entry: &Entry) {
        // A refused stamp may lie anywhere; the greatest middle so far keeps a journal in sequence.
        let mut reached: BTreeMap<EdgeId, u64> = BTreeMap::new();
        let mut candidates = Vec::new();
        for command in &entry.commands {
            match command {
                LogCommand::Direct(_) => {}
                LogCommand::Batch(batch) => {
                    let middle = reached.entry(batch.edge.clone()).or_default();
                    for candidate in self.take_batch(batch) {
                        *middle = candidate.stamp.doubled_middle().max(*middle);
                        candidates.push((*middle, candidate));
                    }
                }
            }
        }
        // Journals come sorted: few runs, which a stable sort merges.
        candidates.sort_by(|(one, first), (other, second)| {
            (one, &first.edge, first.seq).cmp(&(other, &second.edge, second.seq))
        });
        for (middle, candidate) in candidates {
            self.judge_released(turn, Some((middle, &candidate.edge, candidate.seq)));
            self.judge(turn, candidate);
        }
        self.judge_released(turn, None);
    }

    /// Judges the bids that an extension has let go, as far as they come before `until`.
    fn judge_released(&mut self, turn: &mut Turn, until: Option<(u64, &EdgeId, u64)>) {
        while let Some(first) = turn.released.first_entry() {
            let (middle, edge, seq) = first.key();
            if until.is_some_and(|until| (*middle, edge, *seq) >= until) {
                break;
            }
            let candidate = first.remove();
            self.judge(turn, candidate);
        }
    }

    /// Answers a direct command: the same id gets the same answer, while it is remembered.
    fn answer(&mut self, turn: &mut Turn, envelope: &Envelope) -> Verdict {
        let body = fingerprint(envelope);
        if let Some(known) = self.dedup.get(&envelope.id) {
            return if known.body == body {
                known.judged.verdict.clone()
            } else {
                Verdict::Rejected(reused())
            };
        }
        let watched = self.watch(envelope);
        let answer = self
            .permit(&envelope.actor, &envelope.command)
            .and_then(|subject| self.run(turn, &subject, &envelope.command));
        let verdict = match answer {
            Ok(accepted) => Verdict::Accepted(accepted),
            Err(rejection) => Verdict::Rejected(rejection),
        };
        if let Some(watched) = watched {
            self.write_down(turn, envelope, watched, &verdict);
        }
        // "Try again later" is no final word.
        if !verdict.code().is_some_and(Code::retryable) {
            let judged = turn.judged(verdict.clone());
            let entry = Remembered { body, user: None, judged };
            self.dedup.remember(envelope.id, memory_of(&envelope.command), entry);
        }
        verdict
    }

    /// Runs a command. Whether its author may give it was decided before.
    fn run(&mut self, turn: &mut Turn, subject: &Subject, command: &Command) -> Answer {
        match command {
            Command::Cluster(command) => self.run_cluster(turn, subject, command),
            Command::Account(command) => self.run_account(turn, subject, command),
            Command::Media(command) => self.run_media(turn, subject, command),
            Command::Story(command) => self.run_story(turn, subject, command),
            Command::Social(command) => self.run_social(turn, subject, command),
            Command::Auction(command) => self.run_auction(turn, subject, command),
            Command::Payment(command) => self.run_payment(turn, subject, command),
            Command::Order(command) => self.run_order(turn, subject, command),
            Command::Finance(command) => self.run_finance(turn, subject, command),
            Command::People(command) => self.run_people(turn, subject, command),
            Command::Govern(command) => self.run_govern(turn, subject, command),
            Command::Notice(command) => self.run_notice(turn, subject, command),
            Command::Issue(command) => self.run_issue(turn, subject, command),
        }
    }

    fn run_cluster(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &ClusterCommand,
    ) -> Answer {
        match command {
            ClusterCommand::InitialiseCluster(initialise) => self.initialise(turn, initialise),
            ClusterCommand::CreateJoinToken(create) => self.create_join_token(turn, create),
            ClusterCommand::RevokeJoinToken { token } => self.revoke_join_token(*token),
            ClusterCommand::RegisterMember(register) => {
                self.register_member(turn, register, subject.is_cluster)
            }
            ClusterCommand::RegisterEdge(register) => self.register_edge(turn, register),
            ClusterCommand::AdmitEdge { edge, tail } => self.admit_edge(turn, edge, *tail),
            ClusterCommand::SealEdge { edge, tail } => self.seal_edge(edge, *tail),
            ClusterCommand::ReportMissing { edge, first, last } => {
                self.report_missing(turn, edge, (*first, *last))
            }
            ClusterCommand::Archive { max } => self.archive(turn, *max),
        }
    }

    fn run_account(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &AccountCommand,
    ) -> Answer {
        match command {
            AccountCommand::CreateAccount(create) => self.create_account(turn, create),
            AccountCommand::RequestCode(request) => self.request_code(turn, request),
            AccountCommand::VerifyCode(verify) => self.verify_code(turn, verify),
            AccountCommand::RefreshSignIn(refresh) => self.refresh_sign_in(turn, refresh),
            AccountCommand::SignOut { sign_in } => self.sign_out(turn, subject.user()?, *sign_in),
            AccountCommand::SetHandle { handle } => self.set_handle(turn, subject.user()?, handle),
            AccountCommand::GrantRole { user, role } => self.grant_role(turn, *user, *role),
            AccountCommand::BecomeMaker => self.become_maker(turn, subject.user()?),
        }
    }

    fn run_media(&mut self, turn: &mut Turn, subject: &Subject, command: &MediaCommand) -> Answer {
        match command {
            MediaCommand::RegisterAsset(asset) => self.register_asset(turn, subject.user()?, asset),
            MediaCommand::LeaseJob => self.lease_job(turn, subject.edge()?),
            MediaCommand::RenewLease { asset, fence } => {
                self.renew_lease(turn, subject.edge()?, *asset, *fence)
            }
            MediaCommand::PublishRevision(publish) => {
                self.publish_revision(turn, subject.edge()?, publish)
            }
            MediaCommand::FailJob { asset, fence, reason, is_final } => {
                self.fail_job(turn, subject.edge()?, (*asset, *fence), (reason, *is_final))
            }
            MediaCommand::SetCaptions(set) => self.set_captions(turn, subject.user()?, set),
            MediaCommand::ReportFailure(failed) => {
                self.report_failure(turn, subject.edge()?, failed)
            }
            MediaCommand::RequeueJob { asset, .. } => self.requeue_job(turn, *asset),
        }
    }

    fn run_auction(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &AuctionCommand,
    ) -> Answer {
        match command {
            AuctionCommand::AcceptHighest { auction, expected } => {
                self.accept_highest(turn, subject.user()?, *auction, *expected)
            }
            AuctionCommand::CancelAuction { auction, reason } => {
                self.cancel_auction(turn, *auction, (subject.user, reason))
            }
            AuctionCommand::OverrideClose { auction, action, reason } => {
                self.override_close(turn, *auction, *action, (subject.user, reason))
            }
            AuctionCommand::RetractBid { auction, bid, reason } => {
                self.retract_bid(turn, (*auction, *bid), (subject.user, reason))
            }
            AuctionCommand::OfferSecondChance { auction, bid } => {
                self.offer_second_chance(turn, subject.user()?, (*auction, *bid))
            }
            AuctionCommand::DeclineSecondChance { lock } => {
                self.decline_second_chance(turn, subject.user()?, *lock)
            }
            AuctionCommand::Relist { auction } => self.relist(turn, subject.user()?, *auction),
            AuctionCommand::WithdrawOffer { offer, reason } => {
                self.withdraw_offer(turn, subject.user()?, (*offer, reason))
            }
            AuctionCommand::RejectOffer { offer, reason } => {
                self.reject_offer(turn, subject.user()?, (*offer, reason))
            }
            AuctionCommand::AcceptOffer { offer } => {
                self.accept_offer(turn, subject.user()?, *offer)
            }
            AuctionCommand::SetOfferPolicy { base_version, policy } => {
                self.set_offer_policy(subject.user()?, *base_version, policy)
            }
        }
    }

    fn run_payment(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &PaymentCommand,
    ) -> Answer {
        match command {
            PaymentCommand::StartCheckout(start) => {
                self.start_checkout(turn, subject.user()?, start)
            }
            PaymentCommand::CheckoutOpened(opened) => self.checkout_opened(turn, opened),
            PaymentCommand::CheckoutRefused { effect, lock, attempt, reason } => {
                self.checkout_refused(turn, *effect, *lock, *attempt, reason)
            }
            PaymentCommand::CheckoutEnded { effect, lock, attempt, end } => {
                self.checkout_ended(turn, *effect, (*lock, *attempt), *end)
            }
            PaymentCommand::RecordProviderEvent(event) => self.record_provider_event(turn, event),
            PaymentCommand::CompleteEffect { effect, outcome } => {
                self.complete_effect(turn, *effect, *outcome)
            }
        }
    }
}
