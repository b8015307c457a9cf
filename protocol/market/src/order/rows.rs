//! Orders as their readers see them. Private texts leave sealed; the member that answers opens them.

use fairground_types::command::{
    Carrier, CarrierEvent, CarrierStatus, IssueKind, PostalAddress, SealedText, ShippingAddress,
};
use fairground_types::text::TrackingNumber;
use fairground_types::{
    AuctionId, Code, IssueId, Money, OrderId, SaleLockId, StoryId, Timestamp, UserId, carrier,
};
use serde::Serialize;

use super::{
    CancelCause, CompletionType, Correction, Order, OrderState, ReviewReason, Shipment,
    ShipmentState,
};
use crate::Market;
use crate::row::OrderRole;
use crate::treasury::Charge;

/// A private text, opened by the member that answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Words {
    /// The text; absent when it was erased or cannot be opened.
    pub text: Option<String>,
    /// The same, sealed.
    #[serde(skip)]
    pub sealed: Option<(UserId, SealedText)>,
}

/// One event of a carrier.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CarrierEventRow {
    /// When.
    pub at: Timestamp,
    /// What.
    pub status: CarrierStatus,
}

/// How a parcel is followed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrackingRow {
    /// Who carries it.
    pub carrier: Carrier,
    /// Under which number.
    pub number: TrackingNumber,
    /// Where a person looks at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Since when.
    pub shipped_at: Timestamp,
    /// Where it is.
    pub state: ShipmentState,
    /// What the carrier said, oldest first.
    pub events: Vec<CarrierEventRow>,
    /// Numbers that were wrong.
    pub corrections: Vec<Correction>,
}

/// An order, for its two parties and for staff.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderRow {
    /// Its id.
    pub order_id: OrderId,
    /// Its number, for people.
    pub number: String,
    /// Its story.
    pub story_id: StoryId,
    /// Its auction.
    pub auction_id: AuctionId,
    /// Its sale lock.
    pub sale_lock_id: SaleLockId,
    /// Who reads this row.
    pub role: OrderRole,
    /// The price.
    #[serde(flatten)]
    pub amount: Money,
    /// What has gone back, in minor units.
    pub refunded_minor: u64,
    /// `awaitingShipment`, `inTransit`, `delivered`, `completed` or `cancelled`.
    pub state: &'static str,
    /// Not shipped in time.
    pub overdue: bool,
    /// A complaint is open: it does not complete.
    pub on_hold: bool,
    /// Whether its reader may cancel it now.
    pub may_cancel: bool,
    /// When it was paid.
    pub paid_at: Timestamp,
    /// Until when it must be shipped.
    pub ship_by: Timestamp,
    /// Where it goes; absent until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<PostalAddress>,
    /// The same, sealed.
    #[serde(skip)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub sealed_address: Option<(UserId, ShippingAddress)>,
    /// The parcel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking: Option<TrackingRow>,
    /// When the buyer had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// The last moment of a complaint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue_until: Option<Timestamp>,
    /// When it completes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completes_at: Option<Timestamp>,
    /// When it was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Who completed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<CompletionType>,
    /// When it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<Timestamp>,
    /// Why it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_cause: Option<CancelCause>,
    /// Until when the maker sends a replacement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement_by: Option<Timestamp>,
    /// The complaint that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issue_id: Option<IssueId>,
    /// Every complaint, oldest first.
    pub issue_ids: Vec<IssueId>,
    /// What the buyer thinks of it, 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<u8>,
    /// Why staff should look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review_reason: Option<ReviewReason>,
}

/// A message of one party of an order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessageRow {
    /// Who wrote it.
    pub sender: OrderRole,
    /// When.
    pub at: Timestamp,
    /// What.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub text: Words,
}

/// The thread of an order, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessageList {
    /// The rows.
    pub messages: Vec<MessageRow>,
}

/// Whether the buyer may complain about an order now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssueEligibilityRow {
    /// The order.
    pub order_id: OrderId,
    /// Whether any complaint is possible.
    pub eligible: bool,
    /// Complaints that are possible.
    pub kinds: Vec<IssueKind>,
    /// Why none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

fn event_row(event: &CarrierEvent) -> CarrierEventRow {
    CarrierEventRow { at: event.at, status: event.status }
}

fn tracking_row(shipment: &Shipment) -> TrackingRow {
    TrackingRow {
        carrier: shipment.carrier,
        number: shipment.number.clone(),
        url: carrier::tracking_url(shipment.carrier, &shipment.number),
        shipped_at: shipment.shipped_at,
        state: shipment.state,
        events: shipment.events.iter().map(event_row).collect(),
        corrections: shipment.corrections.clone(),
    }
}

/// On which side of an order somebody is.
pub(crate) fn role_in(order: &Order, reader: UserId) -> Option<OrderRole> {
    if order.buyer == reader {
        Some(OrderRole::Buyer)
    } else if order.maker == reader {
        Some(OrderRole::Maker)
    } else {
        None
    }
}

/// The thread of an order, for one who takes part in it.
pub(crate) fn messages_of(order: &Order, reader: UserId) -> Option<MessageList> {
    role_in(order, reader)?;
    let row = |message: &super::OrderMessage| MessageRow {
        sender: role_in(order, message.sender).unwrap_or(OrderRole::Staff),
        at: message.at,
        text: Words { text: None, sealed: message.text.clone().map(|text| (message.sender, text)) },
    };
    Some(MessageList { messages: order.messages.iter().map(row).collect() })
}

pub(crate) fn order_row(order: &Order, role: OrderRole, charge: Option<&Charge>) -> OrderRow {
    let mut row = OrderRow {
        order_id: order.order,
        number: format!("FG-{:06}", order.number),
        story_id: order.story,
        auction_id: order.auction,
        sale_lock_id: order.lock,
        role,
        amount: order.amount,
        refunded_minor: charge.map_or(0, |charge| charge.refunded.minor()),
        state: order.state.name(),
        overdue: order.overdue,
        on_hold: order.issue.is_some(),
        may_cancel: false,
        paid_at: order.paid_at,
        ship_by: order.ship_by,
        address: None,
        sealed_address: order.address.clone().map(|address| (order.buyer, address)),
        tracking: order.state.shipment().map(tracking_row),
        delivered_at: None,
        issue_until: None,
        completes_at: None,
        completed_at: None,
        completion: None,
        cancelled_at: None,
        cancel_cause: None,
        replacement_by: order.replacement.map(|(_, by)| by),
        issue_id: order.issue,
        issue_ids: order.issues.clone(),
        rating: order.review.as_ref().and_then(|review| review.rating),
        review_reason: order.review_reason.filter(|_| role == OrderRole::Staff),
    };
    match &order.state {
        OrderState::AwaitingShipment => row.may_cancel = role != OrderRole::Buyer || order.overdue,
        OrderState::InTransit { .. } => {}
        OrderState::Delivered { delivered_at, issue_until, completes_at, .. } => {
            row.delivered_at = Some(*delivered_at);
            row.issue_until = Some(*issue_until);
            row.completes_at = *completes_at;
        }
        OrderState::Completed { delivered_at, completed_at, completion, .. } => {
            row.delivered_at = *delivered_at;
            row.completed_at = Some(*completed_at);
            row.completion = Some(*completion);
        }
        OrderState::Cancelled { cancelled_at, cause, .. } => {
            row.cancelled_at = Some(*cancelled_at);
            row.cancel_cause = Some(*cause);
        }
    }
    row
}

fn newest_first(mut rows: Vec<OrderRow>) -> Vec<OrderRow> {
    rows.sort_by_key(|row| std::cmp::Reverse((row.paid_at, row.order_id)));
    rows
}

/// Every kind of complaint.
const KINDS: [IssueKind; 6] = [
    IssueKind::NotReceived,
    IssueKind::Damaged,
    IssueKind::NotAsDescribed,
    IssueKind::WrongItem,
    IssueKind::MissingParts,
    IssueKind::Other,
];

impl Market {
    /// An order.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id).map(AsRef::as_ref)
    }

    fn row_of(&self, order: &Order, role: OrderRole) -> OrderRow {
        order_row(order, role, self.charge(order.order))
    }

    /// An order, for one of its parties.
    #[must_use]
    pub fn order_row(&self, id: OrderId, reader: UserId) -> Option<OrderRow> {
        self.order(id).and_then(|order| role_in(order, reader).map(|role| self.row_of(order, role)))
    }

    /// Orders in which an account is buyer or maker, newest first.
    #[must_use]
    pub fn orders_of(&self, user: UserId) -> Vec<OrderRow> {
        newest_first(
            self.orders
                .values()
                .filter_map(|order| Some(self.row_of(order, role_in(order, user)?)))
                .collect(),
        )
    }

    /// Every order, for staff, newest first.
    #[must_use]
    pub fn orders(&self) -> Vec<OrderRow> {
        newest_first(
            self.orders.values().map(|order| self.row_of(order, OrderRole::Staff)).collect(),
        )
    }

    /// Orders that wait for staff, in any order.
    #[must_use]
    pub fn orders_to_review(&self) -> Vec<OrderRow> {
        let rows = self.orders.values().map(|order| self.row_of(order, OrderRole::Staff));
        rows.filter(|row| row.review_reason.is_some()).collect()
    }

    /// The thread of an order, for one of its parties.
    #[must_use]
    pub fn messages_of(&self, id: OrderId, reader: UserId) -> Option<MessageList> {
        let order = self.order(id)?;
        messages_of(order, reader)
    }

    /// Whether the buyer may complain about an order now.
    #[must_use]
    pub fn issue_eligibility(&self, id: OrderId, reader: UserId) -> Option<IssueEligibilityRow> {
        let order = self.order(id).filter(|order| order.buyer == reader)?;
        let check = |kind: IssueKind| self.check_issue_allowed(order, kind, self.at);
        let kinds: Vec<IssueKind> = KINDS.into_iter().filter(|kind| check(*kind).is_ok()).collect();
        let refusal = check(IssueKind::NotReceived).err().map(|why| why.code);
        let until = match &order.state {
            OrderState::Delivered { issue_until, .. } => Some(*issue_until),
            OrderState::AwaitingShipment
            | OrderState::InTransit { .. }
            | OrderState::Completed { .. }
            | OrderState::Cancelled { .. } => None,
        };
        Some(IssueEligibilityRow {
            order_id: id,
            eligible: !kinds.is_empty(),
            code: refusal.filter(|_| kinds.is_empty()),
            kinds,
            until,
        })
    }

    /// Parcels of a carrier that has been silent since before `since`: what a source is asked about.
    #[must_use]
    pub fn silent_parcels(&self, since: Timestamp) -> Vec<(Carrier, TrackingNumber)> {
        self.orders
            .values()
            .filter_map(|order| match &order.state {
                OrderState::InTransit { shipment } => Some(shipment),
                OrderState::AwaitingShipment
                | OrderState::Delivered { .. }
                | OrderState::Completed { .. }
                | OrderState::Cancelled { .. } => None,
            })
            .filter(|shipment| shipment.carrier != Carrier::Other && shipment.heard_at() < since)
            .map(|shipment| (shipment.carrier, shipment.number.clone()))
            .collect()
    }
}
