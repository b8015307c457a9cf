//! Issues: a buyer's complaint about an order, until it is settled. A chargeback is another thing.
//!
//! ```text
//!  Open --assigned--> UnderReview <--answer-- AwaitingResponse (a party, 48 h; 72 h: up)
//!    |                  |   |  +--asked, maker's offer---^   |
//!    |                  |   +--decided--> Resolved <--buyer takes the offer
//!    +---24 h, 48 h, 5 business days--> Escalated --decided--^  |
//!                                          ^----one appeal------+
//! ```
//! While one is open its order neither completes nor pays its maker. It must not know how money goes
//! back. Read next: `open.rs`, `talk.rs`, `decide.rs`, `stages.rs` for deadlines, `calendar.rs` for
//! business days.

mod calendar;
mod decide;
mod open;
pub(crate) mod rows;
mod stages;
mod talk;

pub(crate) use stages::deadlines_of;

use std::sync::Arc;

use fairground_types::command::{
    Decision, Evidence, IssueCommand, IssueKind, MakerOffer, Party, SealedText,
};
use fairground_types::text::Note;
use fairground_types::{
    Accepted, Code, IssueId, Money, OrderId, Rejection, Timestamp, UserId, limits,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::permission::Subject;

/// A complaint.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Issue {
    pub(crate) issue: IssueId,
    pub(crate) order: OrderId,
    pub(crate) buyer: UserId,
    pub(crate) maker: UserId,
    pub(crate) kind: IssueKind,
    /// None once it was erased.
    pub(crate) description: Option<SealedText>,
    pub(crate) evidence: Vec<(Party, Evidence)>,
    pub(crate) opened_at: Timestamp,
    /// Until when the maker may offer something.
    pub(crate) maker_by: Timestamp,
    /// When its stage ends by itself.
    pub(crate) due_at: Option<Timestamp>,
    /// When staff is warned; none once it was.
    pub(crate) warn_at: Option<Timestamp>,
    /// When it goes up whatever its stage; none once that does not matter.
    pub(crate) escalate_at: Option<Timestamp>,
    pub(crate) assignee: Option<UserId>,
    /// A decision that a second person must confirm: which, and whose.
    pub(crate) proposal: Option<(Decision, Option<UserId>)>,
    pub(crate) appealed: bool,
    pub(crate) state: IssueState,
    pub(crate) timeline: Vec<IssueEntry>,
}

/// Where a complaint stands.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum IssueState {
    /// Nobody has looked at it.
    Open,
    /// Staff looks at it.
    UnderReview,
    /// A party was asked.
    AwaitingResponse {
        /// Who.
        party: Party,
        /// Since when.
        asked_at: Timestamp,
        /// What the maker offers, if that is the question.
        offer: Option<MakerOffer>,
    },
    /// Somebody with more rights decides.
    Escalated {
        /// Since when.
        since: Timestamp,
    },
    /// Settled.
    Resolved {
        /// How.
        resolution: Resolution,
        /// What went back.
        refund: Money,
        /// Since when.
        resolved_at: Timestamp,
        /// The last moment of an appeal.
        appeal_until: Timestamp,
    },
}

/// How a complaint was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Resolution {
    /// All the money went back.
    FullRefund,
    /// A part of it went back.
    PartialRefund,
    /// The maker sends another piece.
    Replacement,
    /// Nothing happened.
    NoAction,
}

/// What happened to a complaint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum IssueStep {
    /// It was opened.
    Opened,
    /// Somebody of support took it on.
    Assigned,
    /// A party showed more.
    EvidenceAdded,
    /// The maker offered all the money.
    FullRefundOffered,
    /// The maker offered a part of it.
    PartialRefundOffered,
    /// The maker offered another piece.
    ReplacementOffered,
    /// Staff asked a party.
    Asked,
    /// The party answered.
    Answered,
    /// The party has not answered in time.
    Reminded,
    /// Staff was warned that it is old.
    Warned,
    /// It went up.
    Escalated,
    /// A decision waits for a second person.
    Proposed,
    /// It was settled.
    Resolved,
    /// A party appealed.
    Appealed,
}

/// One entry of the timeline of a complaint.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct IssueEntry {
    /// When.
    pub at: Timestamp,
    /// Who; nobody when time did it.
    pub by: Option<UserId>,
    /// What.
    pub step: IssueStep,
    /// A party's words.
    pub text: Option<SealedText>,
    /// Staff's words.
    pub note: Option<Note>,
}

impl IssueState {
    /// A constant name, as in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::UnderReview => "underReview",
            Self::AwaitingResponse { .. } => "awaitingResponse",
            Self::Escalated { .. } => "escalated",
            Self::Resolved { .. } => "resolved",
        }
    }

    /// Whether its order is held.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self, Self::Resolved { .. })
    }
}

impl Issue {
    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> &IssueState {
        &self.state
    }

    /// On which side somebody is.
    pub(crate) fn party(&self, user: UserId) -> Option<Party> {
        if user == self.buyer {
            Some(Party::Buyer)
        } else if user == self.maker {
            Some(Party::Maker)
        } else {
            None
        }
    }

    const fn user(&self, party: Party) -> UserId {
        match party {
            Party::Buyer => self.buyer,
            Party::Maker => self.maker,
        }
    }

    fn note(&mut self, entry: IssueEntry) {
        self.timeline.push(entry);
    }
}

/// An entry without words.
const fn entry(at: Timestamp, by: Option<UserId>, step: IssueStep) -> IssueEntry {
    IssueEntry { at, by, step, text: None, note: None }
}

fn wrong_state(issue: &Issue) -> Rejection {
    Rejection::new(Code::InvalidState, format!("the issue is {}", issue.state.name()))
}

fn no_issue() -> Rejection {
    Rejection::new(Code::NotFound, "no such issue")
}

const fn changed(issue: IssueId) -> Answer {
    Ok(Accepted::IssueChanged { issue, awaits_approval: false })
}

impl Market {
    pub(crate) fn run_issue(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &IssueCommand,
    ) -> Answer {
        match command {
            IssueCommand::OpenIssue(open) => self.open_issue(turn, subject.user()?, open),
            IssueCommand::AddEvidence { issue, evidence } => {
                self.add_evidence(turn, subject.user()?, *issue, evidence)
            }
            IssueCommand::OfferResolution { issue, offer, text } => {
                self.offer_resolution(turn, subject.user()?, *issue, (*offer, text.as_ref()))
            }
            IssueCommand::AnswerIssue { issue, text } => {
                self.answer_issue(turn, subject.user()?, *issue, text)
            }
            IssueCommand::AcceptResolution { issue } => {
                self.accept_resolution(turn, subject.user()?, *issue)
            }
            IssueCommand::AppealIssue { issue, text } => {
                self.appeal_issue(turn, subject.user()?, *issue, text)
            }
            IssueCommand::AssignIssue { issue, assignee, reason } => {
                self.assign_issue(turn, *issue, (*assignee, subject.user), reason)
            }
            IssueCommand::RequestAnswer { issue, party, reason } => {
                self.request_answer(turn, subject.user, *issue, (*party, reason))
            }
            IssueCommand::DecideIssue { issue, decision, reason } => {
                self.decide_issue(turn, subject.user, *issue, (*decision, reason))
            }
        }
    }

    pub(crate) fn change_issue(&mut self, id: IssueId, change: impl FnOnce(&mut Issue)) {
        if let Some(issue) = self.issues.get_mut(&id) {
            change(Arc::make_mut(issue));
        }
    }

    fn any_issue(&self, id: IssueId) -> Result<Arc<Issue>, Rejection> {
        self.issues.get(&id).cloned().ok_or_else(no_issue)
    }

    /// An issue of a party, with room in its timeline for one more entry.
    fn issue_of(&self, id: IssueId, user: UserId) -> Result<(Arc<Issue>, Party), Rejection> {
        let issue = self.any_issue(id)?;
        let party = issue.party(user).ok_or_else(no_issue)?;
        if issue.timeline.len() >= limits::ISSUE_ENTRIES_MAX {
            return Err(Rejection::new(Code::LimitReached, "too much was said about this issue"));
        }
        Ok((issue, party))
    }
}
