//! Deadlines of an issue: a stage that lasts too long goes up by itself.

use fairground_types::command::{MakerOffer, Party};
use fairground_types::{IssueId, Millis, Timestamp, UserId, limits};

use super::{Issue, IssueState, IssueStep, Resolution, entry};
use crate::Market;
use crate::apply::Turn;
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::notice::about_order;
use crate::order::Order;
use crate::treasury::PayoutHold;

impl Market {
    /// Puts an issue into a stage that ends by itself at `due`.
    pub(super) fn set_stage(&mut self, id: IssueId, state: IssueState, due: Option<Timestamp>) {
        if let Some(old) = self.issues.get(&id).and_then(|issue| issue.due_at) {
            self.deadlines.remove(old, DueKind::IssueStage(id));
        }
        if let Some(at) = due {
            self.deadlines.add(at, DueKind::IssueStage(id));
        }
        self.change_issue(id, |issue| {
            issue.state = state;
            issue.due_at = due;
        });
    }

    /// Asks a party; it is reminded after two days, a day later the issue goes up.
    pub(super) fn ask(
        &mut self,
        turn: &Turn,
        id: IssueId,
        party: Party,
        offer: Option<MakerOffer>,
    ) {
        let state = IssueState::AwaitingResponse { party, asked_at: turn.at, offer };
        self.set_stage(id, state, Some(turn.at.plus(limits::ISSUE_ANSWER_WITHIN)));
    }

    /// Nobody is warned about this issue any more, and its age does not matter.
    pub(super) fn drop_issue_warnings(&mut self, id: IssueId) {
        let Some(issue) = self.issues.get(&id) else { return };
        if let Some(at) = issue.warn_at {
            self.deadlines.remove(at, DueKind::IssueWarning(id));
        }
        if let Some(at) = issue.escalate_at {
            self.deadlines.remove(at, DueKind::IssueTotal(id));
        }
        self.change_issue(id, |issue| {
            issue.warn_at = None;
            issue.escalate_at = None;
        });
    }

    /// A stage has lasted for as long as it may.
    pub(crate) fn end_issue_stage(&mut self, turn: &mut Turn, id: IssueId, due: Timestamp) {
        let Some(issue) = self.issues.get(&id).filter(|issue| issue.due_at == Some(due)).cloned()
        else {
            return;
        };
        match &issue.state {
            IssueState::Open | IssueState::UnderReview => self.escalate(turn, id),
            IssueState::AwaitingResponse { party, asked_at, .. } => {
                let up_at = due.plus(limits::ISSUE_SILENCE_MAX.less(limits::ISSUE_ANSWER_WITHIN));
                let is_first = due.since(*asked_at) < limits::ISSUE_SILENCE_MAX;
                if is_first {
                    self.set_stage(id, issue.state.clone(), Some(up_at));
                    self.change_issue(id, |issue| {
                        issue.note(entry(turn.at, None, IssueStep::Reminded));
                    });
                    self.tell_party(turn, id, *party, NoticeKind::IssueUpdated);
                } else {
                    self.escalate(turn, id);
                }
            }
            // The replacement was not sent.
            IssueState::Resolved { resolution: Resolution::Replacement, .. } => {
                self.hold_again(turn, id);
            }
            IssueState::Escalated { .. } | IssueState::Resolved { .. } => {}
        }
    }

    pub(crate) fn warn_of_issue(&mut self, turn: &mut Turn, id: IssueId, due: Timestamp) {
        let Some(issue) = self.issues.get(&id).filter(|issue| issue.warn_at == Some(due)).cloned()
        else {
            return;
        };
        self.change_issue(id, |issue| {
            issue.warn_at = None;
            issue.note(entry(turn.at, None, IssueStep::Warned));
        });
        if let Some(assignee) = issue.assignee {
            self.tell_about_issue(turn, id, assignee, NoticeKind::IssueUpdated);
        }
    }

    pub(crate) fn end_issue_time(&mut self, turn: &mut Turn, id: IssueId, due: Timestamp) {
        let Some(issue) =
            self.issues.get(&id).filter(|issue| issue.escalate_at == Some(due)).cloned()
        else {
            return;
        };
        self.change_issue(id, |issue| issue.escalate_at = None);
        match &issue.state {
            IssueState::Open | IssueState::UnderReview | IssueState::AwaitingResponse { .. } => {
                self.escalate(turn, id);
            }
            IssueState::Escalated { .. } | IssueState::Resolved { .. } => {}
        }
    }

    fn escalate(&mut self, turn: &mut Turn, id: IssueId) {
        self.set_stage(id, IssueState::Escalated { since: turn.at }, None);
        self.change_issue(id, |issue| issue.note(entry(turn.at, None, IssueStep::Escalated)));
        self.tell_parties(turn, id, NoticeKind::IssueEscalated);
    }

    /// A settled issue is open again, one step up; its order is held.
    pub(super) fn hold_again(&mut self, turn: &mut Turn, id: IssueId) {
        let Some(issue) = self.issues.get(&id).cloned() else { return };
        self.stop_completion(issue.order);
        self.hold_payout(issue.order, PayoutHold::Issue);
        self.change_order(issue.order, |order| {
            order.issue = Some(id);
            order.replacement = None;
        });
        self.escalate(turn, id);
    }

    /// The replacement that settled an issue is on its way.
    pub(crate) fn replacement_shipped(&mut self, turn: &Turn, id: IssueId) {
        let Some(issue) = self.issues.get(&id).cloned() else { return };
        self.set_stage(id, issue.state.clone(), None);
        self.change_issue(id, |issue| {
            if let IssueState::Resolved { appeal_until, .. } = &mut issue.state {
                *appeal_until = turn.at;
            }
        });
    }

    /// A replacement that is owed is not expected any more.
    pub(crate) fn forgive_replacement(&mut self, order: &Order) {
        let Some((id, _)) = order.replacement else { return };
        let Some(state) = self.issues.get(&id).map(|issue| issue.state.clone()) else { return };
        self.set_stage(id, state, None);
    }

    /// Moves every window of issues that are open by an outage of `gap`.
    pub(crate) fn shift_issue_windows(&mut self, gap: Millis) {
        let ids: Vec<IssueId> = self
            .issues
            .values()
            .filter(|issue| issue.state.is_open() || issue.due_at.is_some())
            .map(|issue| issue.issue)
            .collect();
        for id in ids {
            self.shift_issue(id, gap);
        }
    }

    fn shift_issue(&mut self, id: IssueId, gap: Millis) {
        let Some(issue) = self.issues.get(&id).cloned() else { return };
        let later = |at: Option<Timestamp>| at.map(|at| at.plus(gap));
        for (at, kind) in deadlines_of(&issue) {
            self.deadlines.remove(at, kind);
        }
        self.change_issue(id, |issue| {
            issue.due_at = later(issue.due_at);
            issue.warn_at = later(issue.warn_at);
            issue.escalate_at = later(issue.escalate_at);
            issue.maker_by = issue.maker_by.plus(gap);
            if let IssueState::Resolved { appeal_until, .. } = &mut issue.state {
                *appeal_until = appeal_until.plus(gap);
            }
            if let IssueState::AwaitingResponse { asked_at, .. } = &mut issue.state {
                *asked_at = asked_at.plus(gap);
            }
        });
        let Some(issue) = self.issues.get(&id).cloned() else { return };
        for (at, kind) in deadlines_of(&issue) {
            self.deadlines.add(at, kind);
        }
    }

    pub(super) fn tell_parties(&mut self, turn: &mut Turn, id: IssueId, kind: NoticeKind) {
        for party in [Party::Buyer, Party::Maker] {
            self.tell_party(turn, id, party, kind);
        }
    }

    pub(super) fn tell_party(
        &mut self,
        turn: &mut Turn,
        id: IssueId,
        party: Party,
        kind: NoticeKind,
    ) {
        if let Some(user) = self.issues.get(&id).map(|issue| issue.user(party)) {
            self.tell_about_issue(turn, id, user, kind);
        }
    }

    pub(super) fn tell_about_issue(
        &mut self,
        turn: &mut Turn,
        id: IssueId,
        user: UserId,
        kind: NoticeKind,
    ) {
        let Some(issue) = self.issues.get(&id).cloned() else { return };
        let Some(order) = self.orders.get(&issue.order).cloned() else { return };
        let mut notice = about_order(user, kind, &order);
        notice.until = issue.due_at;
        self.notify(turn, notice);
    }
}

/// What falls due about an issue.
pub(crate) fn deadlines_of(issue: &Issue) -> Vec<(Timestamp, DueKind)> {
    let id = issue.issue;
    let all = [
        issue.due_at.map(|at| (at, DueKind::IssueStage(id))),
        issue.warn_at.map(|at| (at, DueKind::IssueWarning(id))),
        issue.escalate_at.map(|at| (at, DueKind::IssueTotal(id))),
    ];
    all.into_iter().flatten().collect()
}
