//! Issues as their parties and staff see them.

use fairground_types::command::{Evidence, IssueKind, MakerOffer, Party};
use fairground_types::text::Note;
use fairground_types::{AssetId, BlobHash, IssueId, OrderId, Timestamp, UserId};
use serde::Serialize;

use super::{Issue, IssueEntry, IssueState, IssueStep, Resolution};
use crate::Market;
use crate::order::rows::Words;
use crate::row::OrderRole;

/// Something that shows what is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceRow {
    /// Who showed it.
    pub party: Party,
    /// A stored picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<BlobHash>,
    /// An uploaded clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset_id: Option<AssetId>,
}

/// One entry of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssueEntryRow {
    /// When.
    pub at: Timestamp,
    /// Who; absent when time did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<OrderRole>,
    /// What.
    pub step: IssueStep,
    /// A party's words.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub text: Words,
    /// Staff's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// What the maker offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OfferKind {
    /// All the money.
    FullRefund,
    /// A part of it.
    PartialRefund,
    /// Another piece.
    Replacement,
}

/// An issue.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssueRow {
    /// Its id.
    pub issue_id: IssueId,
    /// Its order.
    pub order_id: OrderId,
    /// Who reads this row.
    pub role: OrderRole,
    /// What is wrong.
    pub kind: IssueKind,
    /// In the buyer's words.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub description: Words,
    /// What shows it.
    pub evidence: Vec<EvidenceRow>,
    /// `open`, `underReview`, `awaitingResponse`, `escalated` or `resolved`.
    pub state: &'static str,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Until when the maker may offer something.
    pub maker_by: Timestamp,
    /// When this stage ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Who was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Party>,
    /// What the maker offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferKind>,
    /// How much of the price a partial refund is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer_percent: Option<u8>,
    /// How it was settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// What went back, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund_minor: Option<u64>,
    /// The last moment of an appeal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appeal_until: Option<Timestamp>,
    /// Whether somebody has appealed.
    pub appealed: bool,
    /// Who of support looks after it; shown to staff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<UserId>,
    /// A decision waits for a second person.
    pub awaits_approval: bool,
    /// What happened, oldest first.
    pub timeline: Vec<IssueEntryRow>,
}

fn role_of(issue: &Issue, user: UserId) -> OrderRole {
    match issue.party(user) {
        Some(Party::Buyer) => OrderRole::Buyer,
        Some(Party::Maker) => OrderRole::Maker,
        None => OrderRole::Staff,
    }
}

fn entry_row(issue: &Issue, entry: &IssueEntry) -> IssueEntryRow {
    let by = match (entry.by, entry.step) {
        (Some(user), _) => Some(role_of(issue, user)),
        (None, IssueStep::Assigned | IssueStep::Asked | IssueStep::Proposed) => {
            Some(OrderRole::Staff)
        }
        (
            None,
            IssueStep::Opened
            | IssueStep::EvidenceAdded
            | IssueStep::FullRefundOffered
            | IssueStep::PartialRefundOffered
            | IssueStep::ReplacementOffered
            | IssueStep::Answered
            | IssueStep::Reminded
            | IssueStep::Warned
            | IssueStep::Escalated
            | IssueStep::Resolved
            | IssueStep::Appealed,
        ) => None,
    };
    let sealed = entry.by.zip(entry.text.clone());
    IssueEntryRow {
        at: entry.at,
        by,
        step: entry.step,
        text: Words { text: None, sealed },
        note: entry.note.clone(),
    }
}

fn evidence_row((party, shown): &(Party, Evidence)) -> EvidenceRow {
    let (image, asset_id) = match shown {
        Evidence::Image(hash) => (Some(*hash), None),
        Evidence::Clip(asset) => (None, Some(*asset)),
    };
    EvidenceRow { party: *party, image, asset_id }
}

/// An issue, for one of its parties.
pub(crate) fn issue_for(issue: &Issue, reader: UserId) -> Option<IssueRow> {
    issue.party(reader).map(|_| issue_row(issue, role_of(issue, reader)))
}

fn issue_row(issue: &Issue, role: OrderRole) -> IssueRow {
    let is_staff = role == OrderRole::Staff;
    let mut row = IssueRow {
        issue_id: issue.issue,
        order_id: issue.order,
        role,
        kind: issue.kind,
        description: Words {
            text: None,
            sealed: issue.description.clone().map(|text| (issue.buyer, text)),
        },
        evidence: issue.evidence.iter().map(evidence_row).collect(),
        state: issue.state.name(),
        opened_at: issue.opened_at,
        maker_by: issue.maker_by,
        due_at: issue.due_at,
        asked: None,
        offer: None,
        offer_percent: None,
        resolution: None,
        refund_minor: None,
        appeal_until: None,
        appealed: issue.appealed,
        assignee: issue.assignee.filter(|_| is_staff),
        awaits_approval: issue.proposal.is_some(),
        timeline: issue.timeline.iter().map(|entry| entry_row(issue, entry)).collect(),
    };
    match &issue.state {
        IssueState::Open | IssueState::UnderReview | IssueState::Escalated { .. } => {}
        IssueState::AwaitingResponse { party, offer, .. } => {
            row.asked = Some(*party);
            row.offer = offer.map(|offer| match offer {
                MakerOffer::FullRefund => OfferKind::FullRefund,
                MakerOffer::PartialRefund { .. } => OfferKind::PartialRefund,
                MakerOffer::Replacement => OfferKind::Replacement,
            });
            row.offer_percent = match offer {
                Some(MakerOffer::PartialRefund { percent }) => Some(*percent),
                Some(MakerOffer::FullRefund | MakerOffer::Replacement) | None => None,
            };
        }
        IssueState::Resolved { resolution, refund, appeal_until, .. } => {
            row.resolution = Some(*resolution);
            row.refund_minor = Some(refund.minor());
            row.appeal_until = Some(*appeal_until);
        }
    }
    row
}

impl Market {
    /// An issue.
    #[must_use]
    pub fn issue(&self, id: IssueId) -> Option<&Issue> {
        self.issues.get(&id).map(AsRef::as_ref)
    }

    /// An issue, for one of its parties.
    #[must_use]
    pub fn issue_row(&self, id: IssueId, reader: UserId) -> Option<IssueRow> {
        issue_for(self.issue(id)?, reader)
    }

    /// Issues that are not settled, for staff, in any order.
    #[must_use]
    pub fn open_issues(&self) -> Vec<IssueRow> {
        let open = self.issues.values().filter(|row| row.state.is_open());
        open.map(|row| issue_row(row, OrderRole::Staff)).collect()
    }

    /// An issue, for staff.
    #[must_use]
    pub fn issue_for_staff(&self, id: IssueId) -> Option<IssueRow> {
        self.issue(id).map(|row| issue_row(row, OrderRole::Staff))
    }

    /// Every picture that shows an issue: kept for as long as the issue is.
    pub fn evidence_images(&self) -> impl Iterator<Item = BlobHash> + '_ {
        self.issues.values().flat_map(|issue| issue.images())
    }
}

impl Issue {
    /// Pictures that show it.
    pub(crate) fn images(&self) -> impl Iterator<Item = BlobHash> + '_ {
        self.evidence.iter().filter_map(|(_, shown)| match shown {
            Evidence::Image(hash) => Some(*hash),
            Evidence::Clip(_) => None,
        })
    }
}
