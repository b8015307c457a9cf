//! What the parties say to each other and to staff, and what staff asks.

use fairground_types::command::{Decision, MakerOffer, Party, SealedText};
use fairground_types::text::Note;
use fairground_types::{Code, IssueId, Money, Rejection, UserId, limits};

use super::{IssueState, IssueStep, changed, entry, wrong_state};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::effect::NoticeKind;
use crate::order::check_text;

/// Percent of the price that a partial refund may be.
const PERCENT: std::ops::RangeInclusive<u8> = 10..=90;

impl Market {
    pub(super) fn offer_resolution(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: IssueId,
        (offer, text): (MakerOffer, Option<&SealedText>),
    ) -> Answer {
        if let Some(text) = text {
            check_text(text, 1, limits::ISSUE_TEXT_MAX)?;
        }
        let step = match offer {
            MakerOffer::PartialRefund { percent } if !PERCENT.contains(&percent) => {
                return Err(Rejection::new(Code::AmountOutOfRange, "10 to 90 percent"));
            }
            MakerOffer::FullRefund => IssueStep::FullRefundOffered,
            MakerOffer::PartialRefund { .. } => IssueStep::PartialRefundOffered,
            MakerOffer::Replacement => IssueStep::ReplacementOffered,
        };
        let (issue, party) = self.issue_of(id, user)?;
        if party != Party::Maker {
            return Err(Rejection::new(Code::Forbidden, "only the maker offers"));
        }
        match &issue.state {
            IssueState::Open | IssueState::UnderReview => {}
            IssueState::AwaitingResponse { .. }
            | IssueState::Escalated { .. }
            | IssueState::Resolved { .. } => return Err(wrong_state(&issue)),
        }
        if turn.at >= issue.maker_by {
            return Err(Rejection::new(Code::InvalidState, "the time for offers is over"));
        }
        if self.is_too_much(&issue, offer) {
            return Err(Rejection::new(Code::AmountOutOfRange, "more than what is left"));
        }
        let mut said = entry(turn.at, Some(user), step);
        said.text = text.cloned();
        self.ask(turn, id, Party::Buyer, Some(offer));
        self.change_issue(id, |issue| issue.note(said));
        self.tell_party(turn, id, Party::Buyer, NoticeKind::IssueUpdated);
        changed(id)
    }

    fn is_too_much(&self, issue: &super::Issue, offer: MakerOffer) -> bool {
        let MakerOffer::PartialRefund { percent } = offer else { return false };
        let left = self.refundable(issue.order);
        self.orders
            .get(&issue.order)
            .zip(left.ok())
            .is_none_or(|(order, left)| share_of(order.amount, percent).minor() >= left.minor())
    }

    pub(super) fn answer_issue(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: IssueId,
        text: &SealedText,
    ) -> Answer {
        check_text(text, 1, limits::ISSUE_TEXT_MAX)?;
        let (issue, party) = self.issue_of(id, user)?;
        match &issue.state {
            IssueState::AwaitingResponse { party: asked, .. } if *asked == party => {}
            IssueState::AwaitingResponse { .. } => {
                return Err(Rejection::new(Code::InvalidState, "the other party was asked"));
            }
            IssueState::Open
            | IssueState::UnderReview
            | IssueState::Escalated { .. }
            | IssueState::Resolved { .. } => return Err(wrong_state(&issue)),
        }
        let mut said = entry(turn.at, Some(user), IssueStep::Answered);
        said.text = Some(text.clone());
        let due = turn.at.plus(limits::ISSUE_ANSWER_WITHIN);
        self.set_stage(id, IssueState::UnderReview, Some(due));
        self.change_issue(id, |issue| issue.note(said));
        if let Some(assignee) = issue.assignee {
            self.tell_about_issue(turn, id, assignee, NoticeKind::IssueUpdated);
        }
        changed(id)
    }

    pub(super) fn accept_resolution(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: IssueId,
    ) -> Answer {
        let (issue, party) = self.issue_of(id, user)?;
        if party != Party::Buyer {
            return Err(Rejection::new(Code::Forbidden, "only the buyer takes an offer"));
        }
        let IssueState::AwaitingResponse { offer: Some(offer), .. } = &issue.state else {
            return Err(wrong_state(&issue));
        };
        let order = self.any_order(issue.order)?;
        let decision = match offer {
            MakerOffer::FullRefund => Decision::FullRefund,
            MakerOffer::PartialRefund { percent } => {
                Decision::PartialRefund { amount: share_of(order.amount, *percent) }
            }
            MakerOffer::Replacement => Decision::Replacement,
        };
        // Two people have agreed: nobody else needs to.
        self.check_decision(&issue, decision)?;
        self.settle(
            turn,
            id,
            (decision, Some(issue.maker)),
            entry(turn.at, Some(user), IssueStep::Resolved),
        );
        changed(id)
    }

    pub(super) fn appeal_issue(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: IssueId,
        text: &SealedText,
    ) -> Answer {
        check_text(text, 1, limits::ISSUE_TEXT_MAX)?;
        let (issue, _) = self.issue_of(id, user)?;
        let IssueState::Resolved { appeal_until, .. } = &issue.state else {
            return Err(wrong_state(&issue));
        };
        let order = self.any_order(issue.order)?;
        if order.issue.is_some() {
            return Err(Rejection::new(Code::DuplicateIssue, "another issue is open"));
        }
        if issue.appealed || order.state.settled_at().is_some() {
            return Err(Rejection::new(Code::InvalidState, "the decision is final"));
        }
        if turn.at > *appeal_until {
            return Err(Rejection::new(Code::IssueWindowClosed, "the time to appeal is over"));
        }
        let mut said = entry(turn.at, Some(user), IssueStep::Appealed);
        said.text = Some(text.clone());
        self.change_issue(id, |issue| {
            issue.appealed = true;
            issue.note(said);
        });
        self.hold_again(turn, id);
        changed(id)
    }

    pub(super) fn assign_issue(
        &mut self,
        turn: &mut Turn,
        id: IssueId,
        (assignee, by): (Option<UserId>, Option<UserId>),
        reason: &Note,
    ) -> Answer {
        let issue = self.any_issue(id)?;
        let assignee = assignee.or(by);
        if let Some(user) = assignee {
            if issue.party(user).is_some() {
                return Err(Rejection::new(Code::Forbidden, "a party cannot look after it"));
            }
            if self.accounts.account(user).is_none() {
                return Err(Rejection::new(Code::NotFound, "no such account"));
            }
        }
        match &issue.state {
            IssueState::Open => {
                let due = turn.at.plus(limits::ISSUE_ANSWER_WITHIN);
                self.set_stage(id, IssueState::UnderReview, Some(due));
            }
            IssueState::UnderReview
            | IssueState::AwaitingResponse { .. }
            | IssueState::Escalated { .. } => {}
            IssueState::Resolved { .. } => return Err(wrong_state(&issue)),
        }
        let mut noted = entry(turn.at, by, IssueStep::Assigned);
        noted.note = Some(reason.clone());
        self.change_issue(id, |issue| {
            issue.assignee = assignee;
            issue.note(noted);
        });
        changed(id)
    }

    pub(super) fn request_answer(
        &mut self,
        turn: &mut Turn,
        by: Option<UserId>,
        id: IssueId,
        (party, reason): (Party, &Note),
    ) -> Answer {
        let issue = self.any_issue(id)?;
        if by.is_some_and(|user| issue.party(user).is_some()) {
            return Err(Rejection::new(Code::Forbidden, "a party cannot look after it"));
        }
        if issue.state != IssueState::UnderReview {
            return Err(wrong_state(&issue));
        }
        let mut noted = entry(turn.at, by, IssueStep::Asked);
        noted.note = Some(reason.clone());
        self.ask(turn, id, party, None);
        self.change_issue(id, |issue| issue.note(noted));
        self.tell_party(turn, id, party, NoticeKind::IssueUpdated);
        changed(id)
    }
}

/// A share of a price in percent, half a minor unit rounded up.
fn share_of(price: Money, percent: u8) -> Money {
    let points = u32::from(percent).saturating_mul(100);
    price.share_half_up(fairground_types::money::BasisPoints(points))
}
