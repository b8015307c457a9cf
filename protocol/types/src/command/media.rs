//! Commands about clips and their transcode jobs.
//!
//! Read next: `fairground-market` for what they do.

use crate::id::{AssetId, BlobHash};
use crate::text::Note;
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
    /// A job failed; since rules 4 in the place of [`Self::FailJob`].
    ReportFailure(FailedJob),
    /// An admin has a job that failed done again. Since rules 4.
    RequeueJob {
        /// The asset.
        asset: AssetId,
        /// Why.
        reason: Note,
    },
}

/// From these rules on the market remembers who failed at a job and shares workers out fairly.
pub const JOBS_RULES: u32 = 4;

impl MediaCommand {
    /// The oldest rules under which a log may hold this command.
    #[must_use]
    pub(super) const fn rules_needed(&self) -> u32 {
        match self {
            Self::ReportFailure(_) | Self::RequeueJob { .. } => JOBS_RULES,
            Self::RegisterAsset(_)
            | Self::LeaseJob
            | Self::RenewLease { .. }
            | Self::PublishRevision(_)
            | Self::FailJob { .. }
            | Self::SetCaptions(_) => 1,
        }
    }
}

/// See [`MediaCommand::ReportFailure`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct FailedJob {
    /// The asset.
    pub asset: AssetId,
    /// Fencing number of the lease.
    pub fence: u64,
    /// A stable reason, for the maker and for machines.
    pub reason: String,
    /// What is at fault.
    pub fault: JobFault,
    /// What the tool wrote last, for operators alone; cut at
    /// [`JOB_DETAIL_MAX`](crate::limits::JOB_DETAIL_MAX) bytes.
    pub detail: String,
}

/// What is at fault when a job fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum JobFault {
    /// The worker: its disk, its way to the cluster, a tool that it lacks.
    Worker,
    /// A tool ended with an error.
    Tool,
    /// A tool was killed, ran out of memory or out of time: the clip may be made to do that.
    Poison,
    /// The clip is not acceptable; trying again is pointless.
    Clip,
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
