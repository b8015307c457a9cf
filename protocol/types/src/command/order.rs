//! Commands about orders.
//!
//! Read next: `fairground-market` for what they do.

use crate::id::OrderId;
use crate::text::TrackingNumber;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about orders.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum OrderCommand {
    /// The maker has shipped.
    AddTracking {
        /// The order.
        order: OrderId,
        /// Who carries it.
        carrier: Carrier,
        /// Under which number.
        number: TrackingNumber,
    },
    /// The buyer has the piece (in transit), or is content with it (delivered).
    ConfirmDelivery {
        /// The order.
        order: OrderId,
    },
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
