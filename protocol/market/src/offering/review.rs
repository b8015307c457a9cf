//! What becomes of offers that wait: withdrawn, refused, accepted, or opened by silence.
//!
//! Read next: `take.rs` for how an auction opens.

use std::sync::Arc;

use fairground_types::text::Note;
use fairground_types::verdict::EligibilityRule;
use fairground_types::{Accepted, Code, OfferId, Rejection, Timestamp, UserId};

use super::{Offer, OfferState};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::story::StoryState;

fn missing() -> Rejection {
    Rejection::new(Code::NotFound, "no such offer")
}

fn decided() -> Rejection {
    Rejection::new(Code::InvalidState, "the offer is decided")
}

impl Market {
    /// The buyer takes back an offer that waits for its maker, soon after it was made.
    pub(crate) fn withdraw_offer(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        (id, reason): (OfferId, &Option<Note>),
    ) -> Answer {
        let offer = self.offering.offers.get(&id).filter(|row| row.buyer == user);
        let offer = offer.ok_or_else(missing)?;
        if offer.state.is_final() {
            let detail = "only an offer that waits for its maker can be withdrawn";
            return Err(Rejection::new(Code::OfferNotWithdrawable, detail));
        }
        if turn.at.since(offer.submitted_at) > self.cluster.policy.offers.withdrawal {
            return Err(Rejection::new(Code::OfferWindowClosed, "the time to withdraw is over"));
        }
        self.unplan_review(id);
        let reason = reason.clone();
        self.change_offer(id, |row| row.state = OfferState::Withdrawn { at: turn.at, reason });
        self.tell_maker(turn, id, NoticeKind::OfferWithdrawn);
        Ok(Accepted::Done)
    }

    /// The maker refuses an offer that waits.
    pub(crate) fn reject_offer(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        (id, reason): (OfferId, &Option<Note>),
    ) -> Answer {
        let offer = self.offer_to(user, id)?;
        if offer.state.is_final() {
            return Err(decided());
        }
        self.refuse_offer(turn, id, reason.clone());
        Ok(Accepted::Done)
    }

    /// The maker opens the auction with an offer that waits.
    pub(crate) fn accept_offer(&mut self, turn: &mut Turn, user: UserId, id: OfferId) -> Answer {
        let offer = self.offer_to(user, id)?;
        match &offer.state {
            OfferState::Superseded { auction, .. } => {
                let rejection = Rejection::new(Code::AuctionActive, "another offer opened it");
                return Err(rejection.with_auction(*auction));
            }
            OfferState::Pending { .. } => {}
            OfferState::Accepted { .. }
            | OfferState::AutoRejected { .. }
            | OfferState::Rejected { .. }
            | OfferState::Withdrawn { .. } => return Err(decided()),
        }
        if !self.is_listed(&offer) {
            return Err(Rejection::new(Code::InvalidState, "the story is not listed"));
        }
        if self.trade_barrier(offer.buyer).is_some() {
            let rule = EligibilityRule::AccountRestricted;
            return Err(Rejection::not_eligible(rule, "the buyer may not trade any more"));
        }
        self.unplan_review(id);
        self.open_auction(turn, id)
    }

    /// The maker said nothing: the offer opens the auction, unless its buyer may not trade any more.
    pub(crate) fn end_review(&mut self, turn: &mut Turn, id: OfferId, due: Timestamp) {
        let Some(offer) = self.offering.offers.get(&id).cloned() else { return };
        let is_due = match &offer.state {
            OfferState::Pending { opens_at } => *opens_at == due,
            OfferState::Accepted { .. }
            | OfferState::AutoRejected { .. }
            | OfferState::Rejected { .. }
            | OfferState::Withdrawn { .. }
            | OfferState::Superseded { .. } => false,
        };
        if !is_due {
            return;
        }
        let may_open = self.is_listed(&offer) && self.trade_barrier(offer.buyer).is_none();
        if !may_open || self.open_auction(turn, id).is_err() {
            self.refuse_offer(turn, id, None);
        }
    }

    fn refuse_offer(&mut self, turn: &mut Turn, id: OfferId, reason: Option<Note>) {
        self.unplan_review(id);
        self.change_offer(id, |row| row.state = OfferState::Rejected { at: turn.at, reason });
        self.tell_offer(turn, id, NoticeKind::OfferRejected);
    }

    /// An offer on a story of this maker.
    fn offer_to(&self, maker: UserId, id: OfferId) -> Result<Arc<Offer>, Rejection> {
        let offer = self.offering.offers.get(&id).ok_or_else(missing)?;
        if offer.maker == maker {
            return Ok(Arc::clone(offer));
        }
        let is_buyer = offer.buyer == maker;
        let forbidden = Rejection::new(Code::Forbidden, "only the maker decides about an offer");
        Err(if is_buyer { forbidden } else { missing() })
    }

    fn is_listed(&self, offer: &Offer) -> bool {
        self.stories
            .get(&offer.story)
            .is_some_and(|story| matches!(story.state, StoryState::Listed { .. }))
    }

    pub(crate) fn unplan_review(&mut self, id: OfferId) {
        let state = self.offering.offers.get(&id).map(|row| &row.state);
        if let Some(OfferState::Pending { opens_at }) = state {
            let opens_at = *opens_at;
            self.deadlines.remove(opens_at, DueKind::OfferReview(id));
        }
    }
}
