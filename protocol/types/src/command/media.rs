//! Commands about clips and their transcode jobs.
//!
//! Read next: `fairground-market` for what they do.

use crate::id::{AssetId, BlobHash};
use crate::time::Millis;
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about clips and transcode jobs.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum MediaCommand {
    /// A clip was uploaded and probed at an edge.
    RegisterAsset(RegisterAsset),
    /// An edge asks for transcode work.
    LeaseJob,
    /// Keeps a lease.
    RenewLease {
        /// The asset.
        asset: AssetId,
        /// Fencing number of the lease.
        fence: u64,
    },
    /// A revision is complete.
    PublishRevision(PublishRevision),
    /// A job failed.
    FailJob {
        /// The asset.
        asset: AssetId,
        /// Fencing number of the lease.
        fence: u64,
        /// A stable reason, for people and machines.
        reason: String,
        /// Whether trying again is pointless.
        is_final: bool,
    },
    /// The maker of a clip shows it with other captions.
    SetCaptions(SetCaptions),
}

/// See [`MediaCommand::RegisterAsset`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RegisterAsset {
    /// Its id.
    pub asset: AssetId,
    /// The uploaded bytes.
    pub source: BlobHash,
    /// How many.
    pub source_bytes: u64,
    /// How long the clip is.
    pub duration: Millis,
    /// Pixels across, after rotation.
    pub width: u32,
    /// Pixels down, after rotation.
    pub height: u32,
}

/// See [`MediaCommand::PublishRevision`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct PublishRevision {
    /// The asset.
    pub asset: AssetId,
    /// Fencing number of the lease.
    pub fence: u64,
    /// From 1; must be the next.
    pub revision: u32,
    /// Where the manifest is.
    pub manifest: BlobHash,
    /// Video codecs in it, for people: `h264`, `av1`.
    pub codecs: Vec<String>,
    /// How much of the clip it is.
    pub extent: Extent,
}

/// How much of a clip a revision is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Extent {
    /// A beginning, which the next one continues.
    Beginning,
    /// The whole clip; revisions with more renditions follow.
    Whole,
    /// The whole clip, and the job is done with it.
    Last,
}

/// See [`MediaCommand::SetCaptions`].
///
/// The captions themselves are in the manifest: a revision that differs from the one before in them
/// alone.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SetCaptions {
    /// The asset.
    pub asset: AssetId,
    /// Must be the next.
    pub revision: u32,
    /// Where the manifest is.
    pub manifest: BlobHash,
}
