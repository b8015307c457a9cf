//! How an issue ends, and what that does to its order.
//!
//! A refund of more than 500.00 by staff is decided by two people: the first proposes it, another one
//! gives the same decision. Read next: `../order/money.rs`.

use fairground_types::command::{Decision, RefundCause};
use fairground_types::text::Note;
use fairground_types::{Accepted, Code, IssueId, Money, Rejection, UserId, limits};

use super::{Issue, IssueEntry, IssueState, IssueStep, Resolution, entry, wrong_state};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::effect::NoticeKind;
use crate::order::{CancelCause, Order};
use crate::treasury::PayoutHold;

impl Market {
    pub(super) fn decide_issue(
        &mut self,
        turn: &mut Turn,
        by: Option<UserId>,
        id: IssueId,
        (decision, reason): (Decision, &Note),
    ) -> Answer {
        let issue = self.any_issue(id)?;
        if by.is_some_and(|user| issue.party(user).is_some()) {
            return Err(Rejection::new(Code::Forbidden, "nobody decides an own case"));
        }
        match &issue.state {
            IssueState::UnderReview | IssueState::Escalated { .. } => {}
            IssueState::Open
            | IssueState::AwaitingResponse { .. }
            | IssueState::Resolved { .. } => return Err(wrong_state(&issue)),
        }
        let refund = self.check_decision(&issue, decision)?;
        if refund.minor() > self.alone_max(refund) {
            match &issue.proposal {
                Some((known, proposer)) if *known == decision => {
                    if *proposer == by {
                        let detail = "another person must confirm this refund";
                        return Err(Rejection::new(Code::SecondApproverRequired, detail));
                    }
                }
                Some(_) | None => return self.propose(turn, by, id, (decision, reason)),
            }
        }
        let mut noted = entry(turn.at, by, IssueStep::Resolved);
        noted.note = Some(reason.clone());
        let proposer = issue.proposal.and_then(|(_, proposer)| proposer).or(by);
        self.settle(turn, id, (decision, proposer), noted);
        Ok(Accepted::IssueChanged { issue: id, awaits_approval: false })
    }

    /// Greatest refund of one person, in minor units of the refund's currency.
    const fn alone_max(&self, refund: Money) -> u64 {
        refund.currency().from_hundredths(self.cluster.policy.refund_alone_max_minor)
    }

    fn propose(
        &mut self,
        turn: &Turn,
        by: Option<UserId>,
        id: IssueId,
        (decision, reason): (Decision, &Note),
    ) -> Answer {
        let mut noted = entry(turn.at, by, IssueStep::Proposed);
        noted.note = Some(reason.clone());
        self.change_issue(id, |issue| {
            issue.proposal = Some((decision, by));
            issue.note(noted);
        });
        Ok(Accepted::IssueChanged { issue: id, awaits_approval: true })
    }

    /// What a decision would give back, when it can be carried out.
    pub(super) fn check_decision(
        &self,
        issue: &Issue,
        decision: Decision,
    ) -> Result<Money, Rejection> {
        let order = self.any_order(issue.order)?;
        let nothing = Money::new(0, order.amount.currency());
        let refund = match decision {
            Decision::FullRefund => self.refundable(order.order)?,
            Decision::PartialRefund { amount } => {
                check_part(order, amount, self.refundable(order.order)?)?;
                amount
            }
            Decision::Replacement | Decision::NoAction => nothing,
        };
        Ok(refund)
    }

    /// Ends an issue and carries out what was decided. That it can be was checked before.
    pub(super) fn settle(
        &mut self,
        turn: &mut Turn,
        id: IssueId,
        (decision, proposer): (Decision, Option<UserId>),
        noted: IssueEntry,
    ) {
        let Some(issue) = self.issues.get(&id).cloned() else { return };
        let Some(order) = self.orders.get(&issue.order).cloned() else { return };
        let nothing = Money::new(0, order.amount.currency());
        let (resolution, refund) = match decision {
            Decision::FullRefund => {
                (Resolution::FullRefund, self.refundable(order.order).unwrap_or(nothing))
            }
            Decision::PartialRefund { amount } => (Resolution::PartialRefund, amount),
            Decision::Replacement => (Resolution::Replacement, nothing),
            Decision::NoAction => (Resolution::NoAction, nothing),
        };
        let appeal_until = turn.at.plus(limits::APPEAL_WITHIN);
        let state = IssueState::Resolved { resolution, refund, resolved_at: turn.at, appeal_until };
        self.change_order(order.order, |order| order.issue = None);
        self.unhold_payout(turn, order.order, PayoutHold::Issue);
        let mut replacement_by = None;
        match resolution {
            Resolution::FullRefund => {
                self.end_order(turn, order.order, CancelCause::FullRefund, None);
            }
            Resolution::PartialRefund => {
                let why = RefundCause::IssueResolved;
                self.return_money(turn, &order, (refund, why), (proposer, noted.by));
                self.restart_completion(turn, order.order);
            }
            Resolution::NoAction => self.restart_completion(turn, order.order),
            Resolution::Replacement => {
                let by = turn.at.plus(limits::REPLACEMENT_WITHIN);
                replacement_by = Some(by);
                self.stop_completion(order.order);
                self.change_order(order.order, |order| order.replacement = Some((id, by)));
            }
        }
        self.set_stage(id, state, replacement_by);
        self.drop_issue_warnings(id);
        self.change_issue(id, |issue| {
            issue.proposal = None;
            issue.note(noted);
        });
        self.tell_parties(turn, id, NoticeKind::IssueResolved);
    }
}

/// Whether a part of what is left may go back.
fn check_part(order: &Order, amount: Money, left: Money) -> Result<(), Rejection> {
    if amount.currency() != order.amount.currency() {
        return Err(Rejection::new(Code::CurrencyMismatch, "the order has another currency"));
    }
    if amount.minor() == 0 || amount.minor() >= left.minor() {
        return Err(Rejection::new(Code::AmountOutOfRange, "a part of what is left"));
    }
    Ok(())
}
