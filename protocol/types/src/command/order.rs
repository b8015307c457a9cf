//! Commands about orders and their parcels.
//!
//! Read next: `issue.rs` for complaints, `fairground-market` for what they do.

use crate::command::SealedText;
use crate::id::OrderId;
use crate::text::{AddressLine, Country, Note, TrackingNumber};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about orders.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum OrderCommand {
    /// The buyer says where the piece goes, while it has not been shipped.
    ChangeAddress {
        /// The order.
        order: OrderId,
        /// Where to.
        address: ShippingAddress,
    },
    /// The maker has shipped.
    AddTracking {
        /// The order.
        order: OrderId,
        /// Who carries it.
        carrier: Carrier,
        /// Under which number.
        number: TrackingNumber,
    },
    /// The maker named a wrong parcel.
    CorrectTracking {
        /// The order.
        order: OrderId,
        /// Who carries it.
        carrier: Carrier,
        /// Under which number.
        number: TrackingNumber,
    },
    /// A carrier says something about a parcel.
    RecordCarrierEvent {
        /// Who carries it.
        carrier: Carrier,
        /// Under which number.
        number: TrackingNumber,
        /// What it says.
        event: CarrierEvent,
    },
    /// The buyer has the piece (in transit), or is content with it (delivered).
    ConfirmDelivery {
        /// The order.
        order: OrderId,
        /// What the buyer thinks of it; kept when the order completes.
        review: Option<Review>,
    },
    /// A party wants out: the buyer of an overdue order, the maker of one that is not shipped.
    CancelOrder {
        /// The order.
        order: OrderId,
        /// Why; a maker must say.
        reason: Option<SealedText>,
    },
    /// Staff ends an order and gives the money back.
    AdminCancelOrder {
        /// The order.
        order: OrderId,
        /// Why.
        reason: Note,
    },
    /// Staff knows that the buyer has the piece.
    AdminConfirmDelivery {
        /// The order.
        order: OrderId,
        /// Why.
        reason: Note,
    },
    /// Staff completes an order.
    AdminCompleteOrder {
        /// The order.
        order: OrderId,
        /// Why.
        reason: Note,
    },
    /// One party writes to the other.
    PostMessage {
        /// The order.
        order: OrderId,
        /// What.
        text: SealedText,
    },
}

/// Where a piece goes.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ShippingAddress {
    /// The country, which decides whether the maker ships there.
    pub country: Country,
    /// The whole address, a JSON document.
    pub sealed: SealedText,
}

/// What a buyer thinks of a piece.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Review {
    /// One to five.
    pub rating: Option<u8>,
    /// In words.
    pub text: Option<SealedText>,
}

/// Who carries a parcel.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names of carriers")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Carrier {
    Usps,
    Ups,
    Fedex,
    Dhl,
    Other,
}

/// What a carrier says about a parcel, in the normal form of every source.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CarrierStatus {
    /// Nothing that has a meaning here.
    Unknown,
    /// A label was made, the parcel was not seen.
    InfoReceived,
    /// Seen on its way.
    InTransit,
    /// On the last vehicle.
    OutForDelivery,
    /// Handed over.
    Delivered,
    /// Waits for the buyer at a counter.
    AvailableForPickup,
    /// Nobody was there; it is tried again.
    AttemptFailed,
    /// On its way back.
    ReturnToSender,
    /// Something went wrong.
    Exception,
    /// The carrier says nothing any more.
    Expired,
}

/// One event of a carrier.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CarrierEvent {
    /// The carrier's id of it; taken once per parcel.
    pub id: String,
    /// When it happened, as the carrier says.
    pub at: Timestamp,
    /// What.
    pub status: CarrierStatus,
}

/// An address as a person writes it; sealed before it enters the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostalAddress {
    /// Who gets the parcel.
    pub name: AddressLine,
    /// Street and house.
    pub line1: AddressLine,
    /// What else the carrier needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<AddressLine>,
    /// Town.
    pub city: AddressLine,
    /// State or province.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<AddressLine>,
    /// Postal code, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<AddressLine>,
    /// Country (ISO 3166-1, two letters).
    pub country: Country,
    /// For the carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<AddressLine>,
}
