//! Names of this crate's metrics, in one place.

/// Entries of the log applied to the market here.
pub(crate) const ENTRIES_APPLIED: &str = "fairground_entries_applied_total";
/// Bids and offers judged.
pub(crate) const BIDS_JUDGED: &str = "fairground_bids_judged_total";
/// Signatures of devices looked into before their entry was applied.
pub(crate) const SIGNATURES_CHECKED: &str = "fairground_bid_signatures_checked_total";
/// Those among them that were not the device's.
pub(crate) const SIGNATURES_FORGED: &str = "fairground_bid_signatures_forged_total";
/// Bids and offers refused because a signature was missing or not the device's, by code.
pub(crate) const SIGNATURES_REFUSED: &str = "fairground_bids_signature_refused_total";
/// Commands in one entry.
pub(crate) const ENTRY_COMMANDS: &str = "fairground_entry_commands";
/// Rounds of proposals that ended without a verdict.
pub(crate) const PROPOSALS_FAILED: &str = "fairground_proposals_failed_total";
/// Snapshots built here.
pub(crate) const SNAPSHOTS_BUILT: &str = "fairground_snapshots_built_total";
/// Sales that left the state for the history of this member.
pub(crate) const SALES_ARCHIVED: &str = "fairground_sales_archived_total";
/// Whole views sent to edges.
pub(crate) const VIEWS_SENT: &str = "fairground_views_sent_total";
/// Terms in which this member took office.
pub(crate) const TERMS_BEGUN: &str = "fairground_terms_begun_total";
/// Times that this member gave up office for its clock.
pub(crate) const OFFICE_RESIGNED: &str = "fairground_office_resigned_total";
/// Peers turned away at the QUIC listener.
pub(crate) const PEERS_REFUSED: &str = "fairground_peers_refused_total";
/// Effects carried out, by kind and outcome.
pub(crate) const EFFECTS: &str = "fairground_effects_total";
/// Webhooks taken, by outcome.
#[cfg(feature = "stripe")]
pub(crate) const WEBHOOKS: &str = "fairground_webhooks_total";
/// Events of the mail service, by outcome.
pub(crate) const MAIL_EVENTS: &str = "fairground_mail_events_total";
/// Events of carriers, by outcome.
pub(crate) const CARRIER_EVENTS: &str = "fairground_carrier_events_total";
/// Blobs copied from another member in the background.
pub(crate) const BLOBS_REPAIRED: &str = "fairground_blobs_repaired_total";
/// Bytes of blobs read through to see whether they are what they were.
pub(crate) const BLOBS_SCRUBBED: &str = "fairground_blobs_scrubbed_bytes_total";
/// Blobs found damaged and set aside.
pub(crate) const BLOBS_DAMAGED: &str = "fairground_blobs_damaged_total";
/// Blobs of no use that were removed.
pub(crate) const BLOBS_COLLECTED: &str = "fairground_blobs_collected_total";
/// Their bytes.
pub(crate) const BLOB_BYTES_COLLECTED: &str = "fairground_blobs_collected_bytes_total";
/// Looks at what is of no use that ended without removing anything, by why.
pub(crate) const COLLECTIONS_HELD: &str = "fairground_blobs_collections_held_total";
/// Bytes of blobs here.
pub(crate) const BLOB_BYTES: &str = "fairground_blobs_bytes";
/// Blobs that are needed and not here.
pub(crate) const BLOBS_MISSING: &str = "fairground_blobs_missing";
/// Bytes of those that nothing reaches.
pub(crate) const BLOB_BYTES_UNUSED: &str = "fairground_blobs_unused_bytes";
