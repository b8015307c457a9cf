//! What falls due, and when.
//!
//! The set is derived from state: whoever gives a thing a deadline puts it here, and the one who
//! fires it checks that the thing still has that deadline. Closes are not in it, because theirs
//! moves with the marks. It must not know a clock: `at` of an entry is the only time. Read next:
//! `apply.rs` for the order in which things fire.

use fairground_types::{
    AssetId, AuctionId, ChallengeId, DataRequestId, Digest, EffectId, InvitationId, IssueId,
    JoinTokenId, OfferId, OrderId, SaleLockId, SignInId, StoryId, Timestamp,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::Turn;
use crate::cow_map::CowSet;

/// What falls due; the order of the variants is the order in which equal deadlines fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub(crate) enum DueKind {
    /// An auction whose grace is over. Never stored.
    Close(AuctionId),
    /// The payment window of a lock.
    Payment(SaleLockId),
    /// The maker's time to decide.
    Decision(AuctionId),
    /// The time to ship.
    ShipBy(OrderId),
    /// The time to complain.
    AutoComplete(OrderId),
    /// The maker's next reminder to ship.
    ShipReminder(OrderId),
    /// Staff should look at an order that stands still.
    OrderReview(OrderId),
    /// The stage of an issue.
    IssueStage(IssueId),
    /// Staff is warned that an issue is old.
    IssueWarning(IssueId),
    /// All the time that an issue may take.
    IssueTotal(IssueId),
    /// The maker's time to look at an offer.
    OfferReview(OfferId),
    /// A transcode lease.
    Lease(AssetId),
    /// A sign-in.
    SignIn(SignInId),
    /// An identifier's codes.
    Gate(Digest),
    /// A network address's codes.
    Origin(Digest),
    /// A way back into an account.
    Recovery(ChallengeId),
    /// An invitation.
    Invitation(InvitationId),
    /// A data request.
    DataRequest(DataRequestId),
    /// A join token.
    JoinToken(JoinTokenId),
    /// An effect that has become pointless.
    Effect(EffectId),
    /// A buyer is reminded of a payment.
    PaymentReminder(SaleLockId),
    /// Sessions of a lock have ended at the provider, whatever it says.
    PaymentSettled(SaleLockId),
    /// The money of a charge can be used.
    Available(OrderId),
    /// A share may go, before its order is completed.
    Payout(OrderId),
    /// A maker who cannot be paid is reminded.
    PayoutReminder(OrderId),
    /// Bids that a maker is told of together.
    BidNotice(AuctionId),
    /// An auction ends soon.
    FinalWindow(AuctionId),
    /// More people to be told the same.
    FanOut,
    /// The automatic check of a story.
    Check(StoryId),
    /// The time to decide about a story.
    Review(StoryId),
    /// A planned publication.
    Publish(StoryId),
}

impl DueKind {
    /// Whether somebody had until then to do something about an order or issue.
    const fn is_window(self) -> bool {
        match self {
            Self::ShipBy(_) | Self::AutoComplete(_) | Self::IssueStage(_) => true,
            Self::Close(_)
            | Self::Payment(_)
            | Self::Decision(_)
            | Self::ShipReminder(_)
            | Self::OrderReview(_)
            | Self::IssueWarning(_)
            | Self::IssueTotal(_)
            | Self::Lease(_)
            | Self::SignIn(_)
            | Self::Gate(_)
            | Self::Origin(_)
            | Self::Recovery(_)
            | Self::Invitation(_)
            | Self::DataRequest(_)
            | Self::BidNotice(_)
            | Self::FinalWindow(_)
            | Self::FanOut
            | Self::JoinToken(_)
            | Self::Effect(_)
            | Self::PaymentReminder(_)
            | Self::PaymentSettled(_)
            | Self::Available(_)
            | Self::Payout(_)
            | Self::PayoutReminder(_)
            | Self::Check(_)
            | Self::Review(_)
            | Self::Publish(_)
            | Self::OfferReview(_) => false,
        }
    }
}

/// One deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub(crate) struct Due {
    pub(crate) at: Timestamp,
    pub(crate) kind: DueKind,
}

/// Every deadline but those of closes, earliest first.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Deadlines {
    due: CowSet<Due>,
}

impl Deadlines {
    pub(crate) fn add(&mut self, at: Timestamp, kind: DueKind) {
        self.due.insert(Due { at, kind });
    }

    pub(crate) fn remove(&mut self, at: Timestamp, kind: DueKind) {
        self.due.remove(&Due { at, kind });
    }

    pub(crate) fn has(&self, at: Timestamp, kind: DueKind) -> bool {
        self.due.contains(&Due { at, kind })
    }

    /// The first end of a window of an order or issue until `at`.
    pub(crate) fn first_window(&self, at: Timestamp) -> Option<Timestamp> {
        self.due
            .iter()
            .take_while(|due| due.at <= at)
            .find(|due| due.kind.is_window())
            .map(|due| due.at)
    }

    pub(crate) fn first(&self) -> Option<Due> {
        self.due.first().copied()
    }
}

impl Market {
    /// The earliest log time at which a Tick would fire something that no mark can bring about.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let stored = self.deadlines.first().map(|due| due.at);
        let close = self.next_close_without_marks();
        [stored, close].into_iter().flatten().min()
    }

    /// The earliest log time at which an entry that brings marks would let an edge leave the intake
    /// for its silence.
    #[must_use]
    pub fn next_silence(&self) -> Option<Timestamp> {
        self.edges.values().filter_map(|edge| edge.silent_at(self.resumed_at)).min()
    }

    /// Fires what is due at the turn's `at`, in the order (deadline, kind, id). The entry before was
    /// at `last`.
    pub(crate) fn fire_due(&mut self, turn: &mut Turn, last: Timestamp) {
        let at = turn.at;
        while let Some(due) = self.first_due(at) {
            self.deadlines.remove(due.at, due.kind);
            if self.dates_by_due() {
                // As if an entry had come at that very time: whether one did must not matter. What
                // fell into a gap is of the entry that ended it.
                turn.at = due.at.max(last).max(self.resumed_at).min(at);
            }
            self.fire(turn, due);
        }
        turn.at = at;
    }

    fn first_due(&self, at: Timestamp) -> Option<Due> {
        let stored = self.deadlines.first().filter(|due| due.at <= at);
        let by_grace = self.first_close_by_grace(at);
        let heard = self.first_close_heard(at).filter(|_| self.dates_by_due());
        [stored, by_grace, heard].into_iter().flatten().min()
    }

    fn fire(&mut self, turn: &mut Turn, due: Due) {
        match due.kind {
            DueKind::Close(auction) => self.close_by_time(turn, auction),
            DueKind::Payment(lock) => self.end_payment_window(turn, lock, due.at),
            DueKind::Decision(auction) => self.end_decision(turn, auction, due.at),
            DueKind::ShipBy(order) => self.end_ship_by(turn, order, due.at),
            DueKind::AutoComplete(order) => self.auto_complete(turn, order, due.at),
            DueKind::ShipReminder(order) => self.remind_to_ship(turn, order, due.at),
            DueKind::OrderReview(order) => self.review_order(turn, order, due.at),
            DueKind::IssueStage(issue) => self.end_issue_stage(turn, issue, due.at),
            DueKind::IssueWarning(issue) => self.warn_of_issue(turn, issue, due.at),
            DueKind::IssueTotal(issue) => self.end_issue_time(turn, issue, due.at),
            DueKind::OfferReview(offer) => self.end_review(turn, offer, due.at),
            DueKind::Lease(asset) => self.end_lease(turn, asset, due.at),
            DueKind::SignIn(sign_in) => self.end_sign_in(sign_in, due.at),
            DueKind::Gate(identifier) => self.accounts.close_gate(&identifier, turn.at),
            DueKind::Origin(origin) => self.accounts.close_origin(&origin, turn.at),
            DueKind::Recovery(recovery) => self.end_recovery(recovery, due.at),
            DueKind::Invitation(invitation) => self.end_invitation(invitation, due.at),
            DueKind::DataRequest(request) => self.end_data_request(turn, request, due.at),
            DueKind::JoinToken(token) => self.cluster.expire_token(token, due.at),
            DueKind::Effect(effect) => self.outbox.remove(effect),
            DueKind::PaymentReminder(lock) => self.remind_of_payment(turn, lock, due.at),
            DueKind::PaymentSettled(lock) => self.settle_window(turn, lock),
            DueKind::Available(order) => self.money_available(turn, order),
            DueKind::Payout(order) => self.release_payout(turn, order),
            DueKind::PayoutReminder(order) => self.remind_of_payout(turn, order),
            DueKind::BidNotice(auction) => self.tell_bids(turn, auction, due.at),
            DueKind::FinalWindow(auction) => self.tell_of_end(turn, auction, due.at),
            DueKind::FanOut => self.tell_some(turn),
            DueKind::Check(story) => self.end_check(story, due.at),
            DueKind::Review(story) => self.end_review_time(turn, story, due.at),
            DueKind::Publish(story) => self.publish_due(turn, story, due.at),
        }
    }
}
