//! Origin blobs in a bucket of an S3-compatible store.
//!
//! ```text
//!  <prefix>/cluster                    whose blobs these are
//!  <prefix>/blobs/ab/cd/abcd...        a blob, named by the BLAKE3 hash of its bytes
//!  <prefix>/blobs/ab/cd/abcd....used   empty: somebody relies on the blob since then
//!  <prefix>/doomed/abcd.../m1-7f-3     empty: member 1 is about to remove the blob
//! ```
//! Every member uses the same bucket, so a blob that the store has taken is there for all of them and
//! copies are the store's business. What a lock does for a directory is done here by the order of
//! requests (`sweep.rs`), which needs a store whose reads and listings show every write that it has
//! answered. The crate is apart from `fairground-storage` so that only members link
//! `object_store`. It must not know what a blob is for, nor the market.

#[cfg(test)]
mod contract_tests;
#[cfg(any(test, feature = "test-util"))]
pub mod moto;
mod request;
mod settings;
mod sink;
mod store;
mod sweep;

pub use settings::{S3Settings, SettingError};
pub use store::S3Store;
