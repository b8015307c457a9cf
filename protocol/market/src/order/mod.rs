//! Orders: from payment to completion.
//!
//! ```text
//!  AwaitingShipment --tracking--> InTransit --carrier, or the buyer--> Delivered --content, or time--> Completed
//!     |  buyer (overdue), maker, staff            |                      |
//!     +-----------------> Cancelled <-------------+----- full refund ----+
//! ```
//! A complaint (`../issue/`) holds an order where it is until it is settled. It must not know how a
//! carrier or a provider is reached. Read next: `ship.rs`, `deliver.rs`, `cancel.rs`, `money.rs` for
//! what is posted, `windows.rs` for what an outage does to its deadlines.

mod cancel;
mod deliver;
mod invariants;
mod messages;
mod money;
pub(crate) mod rows;
mod ship;
mod windows;

use std::sync::Arc;

use fairground_types::command::{
    Carrier, CarrierEvent, OrderCommand, Review, SealedText, ShippingAddress,
};
use fairground_types::text::TrackingNumber;
use fairground_types::{
    AuctionId, Code, IssueId, Money, OrderId, Rejection, SaleLockId, StoryId, Timestamp, UserId,
    carrier,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::permission::Subject;

/// An order. Made by a payment, once per sale lock.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Order {
    pub(crate) order: OrderId,
    pub(crate) number: u64,
    pub(crate) story: StoryId,
    pub(crate) auction: AuctionId,
    pub(crate) lock: SaleLockId,
    pub(crate) buyer: UserId,
    pub(crate) maker: UserId,
    pub(crate) amount: Money,
    /// The market's share, computed once.
    pub(crate) fee: Money,
    pub(crate) paid_at: Timestamp,
    pub(crate) ship_by: Timestamp,
    pub(crate) overdue: bool,
    /// Whether its maker got a strike for it.
    pub(crate) struck: bool,
    /// When the maker is reminded next, and of how many reminders this is.
    pub(crate) reminder: Option<(Timestamp, u8)>,
    /// When staff looks at it next.
    pub(crate) look_at: Option<Timestamp>,
    /// Why it waits for staff.
    pub(crate) review_reason: Option<ReviewReason>,
    pub(crate) address: Option<ShippingAddress>,
    pub(crate) messages: Vec<OrderMessage>,
    pub(crate) review: Option<Review>,
    /// The complaint that is open.
    pub(crate) issue: Option<IssueId>,
    /// Every complaint, oldest first.
    pub(crate) issues: Vec<IssueId>,
    /// The replacement that the maker owes: for which complaint, until when.
    pub(crate) replacement: Option<(IssueId, Timestamp)>,
    pub(crate) state: OrderState,
}

/// A parcel.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Shipment {
    /// Who carries it.
    pub carrier: Carrier,
    /// Under which number.
    pub number: TrackingNumber,
    /// When the maker said so.
    pub shipped_at: Timestamp,
    /// Where it is, by its newest event.
    pub state: ShipmentState,
    /// What the carrier said, oldest first, the newest [`fairground_types::limits::CARRIER_EVENTS_MAX`].
    pub events: Vec<CarrierEvent>,
    /// What the maker said before.
    pub corrections: Vec<Correction>,
}

/// A parcel's number that was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Correction {
    /// Who was to carry it.
    pub carrier: Carrier,
    /// The number that was wrong.
    pub number: TrackingNumber,
    /// When it was corrected.
    pub at: Timestamp,
}

/// Where a parcel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ShipmentState {
    /// The carrier has not seen it.
    LabelCreated,
    /// On its way.
    InTransit,
    /// On the last vehicle, or waiting at a counter.
    OutForDelivery,
    /// Handed over.
    Delivered,
    /// Something went wrong.
    Exception,
    /// On its way back.
    Returned,
}

/// Why staff should look at an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ReviewReason {
    /// Paid long ago and not shipped.
    NotShipped,
    /// On its way for long.
    LongInTransit,
    /// The carrier took back that it was delivered.
    DeliveryTakenBack,
}

/// Who ended an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CompletionType {
    /// The buyer is content.
    Buyer,
    /// Nobody complained in time.
    Auto,
    /// Staff.
    Admin,
}

/// Why an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CancelCause {
    /// The buyer of an order that was not shipped in time.
    Buyer,
    /// The maker.
    Maker,
    /// Staff.
    Admin,
    /// Not shipped in time, where the operator wants that to end an order.
    NotShipped,
    /// A complaint was settled with all the money.
    FullRefund,
}

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum OrderState {
    /// The maker ships next.
    AwaitingShipment,
    /// On its way.
    InTransit {
        /// The parcel.
        shipment: Shipment,
    },
    /// The buyer has it.
    Delivered {
        /// The parcel.
        shipment: Shipment,
        /// Since when.
        delivered_at: Timestamp,
        /// The last moment of a complaint.
        issue_until: Timestamp,
        /// When it completes by itself; never while a complaint is open or a replacement is owed.
        completes_at: Option<Timestamp>,
    },
    /// Done.
    Completed {
        /// The parcel.
        shipment: Shipment,
        /// Since when the buyer has it, where that is known.
        delivered_at: Option<Timestamp>,
        /// Since when.
        completed_at: Timestamp,
        /// Who said so.
        completion: CompletionType,
    },
    /// Over, the money goes back.
    Cancelled {
        /// The parcel, when there was one.
        shipment: Option<Shipment>,
        /// Since when.
        cancelled_at: Timestamp,
        /// Why.
        cause: CancelCause,
        /// In the words of who did it.
        reason: Option<SealedText>,
    },
}

/// What one party wrote to the other.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct OrderMessage {
    /// Who.
    pub sender: UserId,
    /// When.
    pub at: Timestamp,
    /// What; none once it was erased.
    pub text: Option<SealedText>,
}

impl OrderState {
    /// A constant name, as in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AwaitingShipment => "awaitingShipment",
            Self::InTransit { .. } => "inTransit",
            Self::Delivered { .. } => "delivered",
            Self::Completed { .. } => "completed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Since when nothing happens to it any more.
    #[must_use]
    pub const fn settled_at(&self) -> Option<Timestamp> {
        match self {
            Self::AwaitingShipment | Self::InTransit { .. } | Self::Delivered { .. } => None,
            Self::Completed { completed_at, .. } => Some(*completed_at),
            Self::Cancelled { cancelled_at, .. } => Some(*cancelled_at),
        }
    }

    /// The parcel, once there is one.
    #[must_use]
    pub const fn shipment(&self) -> Option<&Shipment> {
        match self {
            Self::AwaitingShipment => None,
            Self::InTransit { shipment }
            | Self::Delivered { shipment, .. }
            | Self::Completed { shipment, .. } => Some(shipment),
            Self::Cancelled { shipment, .. } => shipment.as_ref(),
        }
    }

    const fn shipment_mut(&mut self) -> Option<&mut Shipment> {
        match self {
            Self::AwaitingShipment => None,
            Self::InTransit { shipment }
            | Self::Delivered { shipment, .. }
            | Self::Completed { shipment, .. } => Some(shipment),
            Self::Cancelled { shipment, .. } => shipment.as_mut(),
        }
    }
}

impl Shipment {
    /// A parcel that the carrier has not seen yet.
    const fn new(carrier: Carrier, number: TrackingNumber, at: Timestamp) -> Self {
        Self {
            carrier,
            number,
            shipped_at: at,
            state: ShipmentState::LabelCreated,
            events: Vec::new(),
            corrections: Vec::new(),
        }
    }

    /// What names the parcel among all parcels.
    pub(crate) fn key(&self) -> (Carrier, String) {
        parcel_key(self.carrier, &self.number)
    }

    /// When the carrier was last heard, or the parcel was made known.
    #[must_use]
    pub fn heard_at(&self) -> Timestamp {
        self.events.last().map_or(self.shipped_at, |event| event.at.max(self.shipped_at))
    }
}

/// What names a parcel among all parcels.
pub(crate) fn parcel_key(by: Carrier, number: &TrackingNumber) -> (Carrier, String) {
    (by, carrier::plain_number(number))
}

impl Order {
    /// Whether its maker has to ship.
    pub(crate) const fn waits_for_maker(&self) -> bool {
        matches!(self.state, OrderState::AwaitingShipment)
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrderId {
        self.order
    }

    /// Who bought.
    #[must_use]
    pub const fn buyer(&self) -> UserId {
        self.buyer
    }

    /// Who sold.
    #[must_use]
    pub const fn maker(&self) -> UserId {
        self.maker
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> &OrderState {
        &self.state
    }

    /// The complaint that is open: it may not be completed, and its maker not be paid.
    #[must_use]
    pub const fn open_issue(&self) -> Option<IssueId> {
        self.issue
    }

    /// What the parties wrote, oldest first.
    #[must_use]
    pub fn messages(&self) -> &[OrderMessage] {
        &self.messages
    }

    const fn other_party(&self, user: UserId) -> UserId {
        if self.buyer.to_bits() == user.to_bits() { self.maker } else { self.buyer }
    }
}

pub(crate) fn wrong_state(order: &Order) -> Rejection {
    Rejection::new(Code::InvalidState, format!("the order is {}", order.state.name()))
}

fn issue_open() -> Rejection {
    Rejection::new(Code::IssueOpen, "an issue of this order is open")
}

/// Whether a private text may be kept: sealed, and within its bounds.
pub(crate) fn check_text(text: &SealedText, min: usize, max: usize) -> Result<(), Rejection> {
    if !text.is_sealed() {
        return Err(Rejection::new(Code::ValidationFailed, "a private text is not sealed"));
    }
    if text.fits(min, max) {
        Ok(())
    } else {
        let detail = format!("the text must have {min} to {max} characters");
        Err(Rejection::new(Code::ValidationFailed, detail))
    }
}

impl Market {
    pub(crate) fn run_order(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &OrderCommand,
    ) -> Answer {
        match command {
            OrderCommand::ChangeAddress { order, address } => {
                self.change_address(turn, subject.user()?, *order, address)
            }
            OrderCommand::AddTracking { order, carrier, number } => {
                self.add_tracking(turn, subject.user()?, *order, (*carrier, number))
            }
            OrderCommand::CorrectTracking { order, carrier, number } => {
                self.correct_tracking(turn, subject.user()?, *order, (*carrier, number))
            }
            OrderCommand::RecordCarrierEvent { carrier, number, event } => {
                self.record_carrier_event(turn, (*carrier, number), event)
            }
            OrderCommand::ConfirmDelivery { order, review } => {
                self.confirm_delivery(turn, subject.user()?, *order, review.as_ref())
            }
            OrderCommand::CancelOrder { order, reason } => {
                self.cancel_order(turn, subject.user()?, *order, reason.as_ref())
            }
            OrderCommand::AdminCancelOrder { order, reason: _ } => {
                self.admin_cancel_order(turn, *order)
            }
            OrderCommand::AdminConfirmDelivery { order, reason: _ } => {
                self.admin_confirm_delivery(turn, *order)
            }
            OrderCommand::AdminCompleteOrder { order, reason: _ } => {
                self.admin_complete_order(turn, *order)
            }
            OrderCommand::PostMessage { order, text } => {
                self.post_message(turn, subject.user()?, *order, text)
            }
        }
    }

    pub(crate) fn change_order(&mut self, id: OrderId, change: impl FnOnce(&mut Order)) {
        if let Some(order) = self.orders.get_mut(&id) {
            change(Arc::make_mut(order));
        }
    }

    /// An order of one of its two parties.
    pub(crate) fn order_of(&self, id: OrderId, user: UserId) -> Result<&Arc<Order>, Rejection> {
        self.any_order(id).and_then(|order| {
            if order.buyer == user || order.maker == user { Ok(order) } else { Err(no_order()) }
        })
    }

    pub(crate) fn any_order(&self, id: OrderId) -> Result<&Arc<Order>, Rejection> {
        self.orders.get(&id).ok_or_else(no_order)
    }
}

fn no_order() -> Rejection {
    Rejection::new(Code::NotFound, "no such order")
}
