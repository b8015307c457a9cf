//! What edges ask of a member, one file per kind of stream.
//!
//! ```text
//!  uplink   journal entries up, verdicts down          beat     clock and marks
//!  feed     public events down                         forward  one command or read of a client
//!  blob     media by hash, both ways                   (`streams.rs`: who watches how much)
//! ```
//! An edge is who its certificate says. It asserts which account a command is of, for it has checked
//! the access token; it can not speak for the cluster. Read next: `crate::propose`.

pub(crate) mod beat;
pub(crate) mod blob;
pub(crate) mod directory;
pub(crate) mod feed;
pub(crate) mod forward;
pub(crate) mod streams;
pub(crate) mod uplink;
