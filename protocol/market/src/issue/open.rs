//! Opening an issue, and what shows it.

use std::sync::Arc;

use fairground_types::command::{Evidence, IssueKind, OpenIssue, Party};
use fairground_types::{Code, IssueId, Rejection, Timestamp, UserId, limits};

use super::calendar::business_days_after;
use super::{Issue, IssueState, IssueStep, changed, entry, wrong_state};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::order::{Order, OrderState, ShipmentState, check_text};
use crate::treasury::PayoutHold;

/// Complaints about one order, one after the other.
const ISSUES_PER_ORDER_MAX: usize = 10;

fn closed(detail: &'static str) -> Rejection {
    Rejection::new(Code::IssueWindowClosed, detail)
}

/// Whether the buyer may complain about this at `at`.
fn check_window(order: &Order, kind: IssueKind, at: Timestamp) -> Result<(), Rejection> {
    match &order.state {
        OrderState::AwaitingShipment | OrderState::Cancelled { .. } => {
            Err(crate::order::wrong_state(order))
        }
        OrderState::Completed { .. } => Err(closed("the order is completed")),
        OrderState::InTransit { shipment } => {
            let is_lost = match shipment.state {
                ShipmentState::Exception | ShipmentState::Returned => true,
                ShipmentState::LabelCreated
                | ShipmentState::InTransit
                | ShipmentState::OutForDelivery
                | ShipmentState::Delivered => at >= shipment.shipped_at.plus(limits::TRANSIT_MAX),
            };
            if kind == IssueKind::NotReceived && is_lost {
                Ok(())
            } else {
                Err(Rejection::new(Code::InvalidState, "the piece may still come"))
            }
        }
        OrderState::Delivered { issue_until, .. } if at <= *issue_until => Ok(()),
        OrderState::Delivered { .. } => Err(closed("the time to report an issue is over")),
    }
}

fn check_evidence(known: usize, more: &[Evidence]) -> Result<(), Rejection> {
    if known.saturating_add(more.len()) > limits::EVIDENCE_MAX {
        return Err(Rejection::new(Code::ValidationFailed, "at most six pieces of evidence"));
    }
    Ok(())
}

impl Market {
    /// Whether, and about what, the buyer may complain; what a shell answers before it is tried.
    pub(crate) fn check_issue_allowed(
        &self,
        order: &Order,
        kind: IssueKind,
        at: Timestamp,
    ) -> Result<(), Rejection> {
        if order.issue.is_some() {
            return Err(Rejection::new(Code::DuplicateIssue, "an issue is open"));
        }
        check_window(order, kind, at)?;
        if order.issues.len() >= ISSUES_PER_ORDER_MAX {
            return Err(Rejection::new(Code::LimitReached, "too many issues of this order"));
        }
        Ok(())
    }

    pub(super) fn open_issue(&mut self, turn: &mut Turn, user: UserId, open: &OpenIssue) -> Answer {
        check_text(&open.description, limits::ISSUE_TEXT_MIN, limits::ISSUE_TEXT_MAX)?;
        check_evidence(0, &open.evidence)?;
        if open.kind.needs_evidence() && open.evidence.is_empty() {
            return Err(Rejection::new(Code::ValidationFailed, "show what is wrong"));
        }
        self.check_clips(user, &open.evidence)?;
        let order = Arc::clone(self.order_of(open.order, user)?);
        if order.buyer != user {
            return Err(Rejection::new(Code::Forbidden, "only the buyer opens an issue"));
        }
        self.check_issue_allowed(&order, open.kind, turn.at)?;
        if self.issues.contains_key(&open.issue) {
            return Err(Rejection::new(Code::InvalidState, "the issue exists"));
        }
        let first = entry(turn.at, Some(user), IssueStep::Opened);
        let due_at = turn.at.plus(limits::ISSUE_ASSIGN_WITHIN);
        let warn_at = turn.at.plus(limits::ISSUE_WARN);
        let escalate_at = business_days_after(turn.at, limits::ISSUE_BUSINESS_DAYS);
        let issue = Issue {
            issue: open.issue,
            order: order.order,
            buyer: order.buyer,
            maker: order.maker,
            kind: open.kind,
            description: Some(open.description.clone()),
            evidence: open.evidence.iter().map(|shown| (Party::Buyer, *shown)).collect(),
            opened_at: turn.at,
            maker_by: turn.at.plus(limits::ISSUE_ANSWER_WITHIN),
            due_at: Some(due_at),
            warn_at: Some(warn_at),
            escalate_at: Some(escalate_at),
            assignee: None,
            proposal: None,
            appealed: false,
            state: IssueState::Open,
            timeline: vec![first],
        };
        self.issues.insert(open.issue, Arc::new(issue));
        self.deadlines.add(due_at, DueKind::IssueStage(open.issue));
        self.deadlines.add(warn_at, DueKind::IssueWarning(open.issue));
        self.deadlines.add(escalate_at, DueKind::IssueTotal(open.issue));
        self.stop_completion(order.order);
        self.hold_payout(order.order, PayoutHold::Issue);
        self.change_order(order.order, |order| {
            order.issue = Some(open.issue);
            order.issues.push(open.issue);
        });
        self.tell_party(turn, open.issue, Party::Buyer, NoticeKind::IssueOpened);
        self.tell_party(turn, open.issue, Party::Maker, NoticeKind::IssueOpenedMaker);
        changed(open.issue)
    }

    /// Clips that show something belong to whoever shows them.
    fn check_clips(&self, user: UserId, evidence: &[Evidence]) -> Result<(), Rejection> {
        let are_theirs = evidence.iter().all(|shown| match shown {
            Evidence::Image(_) => true,
            Evidence::Clip(asset) => {
                self.assets.get(asset).is_some_and(|asset| asset.owner == user)
            }
        });
        if are_theirs {
            Ok(())
        } else {
            Err(Rejection::new(Code::ValidationFailed, "a clip is not an upload of yours"))
        }
    }

    pub(super) fn add_evidence(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: IssueId,
        evidence: &[Evidence],
    ) -> Answer {
        if evidence.is_empty() {
            return Err(Rejection::new(Code::ValidationFailed, "nothing is shown"));
        }
        self.check_clips(user, evidence)?;
        let (issue, party) = self.issue_of(id, user)?;
        check_evidence(issue.evidence.len(), evidence)?;
        if !issue.state.is_open() {
            return Err(wrong_state(&issue));
        }
        self.change_issue(id, |issue| {
            issue.evidence.extend(evidence.iter().map(|shown| (party, *shown)));
            issue.note(entry(turn.at, Some(user), IssueStep::EvidenceAdded));
        });
        changed(id)
    }
}
