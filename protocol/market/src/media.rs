//! Assets and the transcode jobs that make them playable.
//!
//! A lease carries a fencing number: whoever reports with an older one lost the job. It must not
//! know codecs or files. Read next: `jobs.rs` for who gets which.

use std::sync::Arc;

use fairground_types::command::{Extent, FailedJob, PublishRevision, RegisterAsset, SetCaptions};
use fairground_types::limits;
use fairground_types::{
    Accepted, AssetId, BlobHash, Code, EdgeId, Millis, PublicEvent, Rejection, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::jobs::Failure;
use crate::notice::about;

/// Assets of one maker.
const ASSETS_PER_MAKER_MAX: usize = 10_000;
/// Bytes of a reason or a codec list that the state keeps.
const TEXT_MAX: usize = 512;

/// An uploaded clip.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Asset {
    pub(crate) asset: AssetId,
    pub(crate) owner: UserId,
    pub(crate) source: BlobHash,
    pub(crate) source_bytes: u64,
    pub(crate) duration: Millis,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) registered_at: Timestamp,
    pub(crate) revision: u32,
    /// Whether the newest revision is a beginning of the clip.
    pub(crate) is_growing: bool,
    pub(crate) manifest: Option<BlobHash>,
    pub(crate) codecs: Vec<String>,
    pub(crate) attempts: u32,
    pub(crate) fence: u64,
    pub(crate) job: Job,
}

/// Where the work on an asset stands.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum Job {
    /// Waits for a worker.
    Queued,
    /// A worker has it.
    Leased {
        /// Which.
        edge: EdgeId,
        /// Until when, without a heartbeat.
        until: Timestamp,
    },
    /// Done.
    Done,
    /// Given up.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Asset {
    /// Whose it is.
    #[must_use]
    pub const fn owner(&self) -> UserId {
        self.owner
    }

    /// The uploaded bytes.
    #[must_use]
    pub const fn source(&self) -> BlobHash {
        self.source
    }

    /// How long the clip is.
    #[must_use]
    pub const fn duration(&self) -> Millis {
        self.duration
    }

    /// Who works on it, under which fencing number.
    #[must_use]
    pub const fn lease(&self) -> Option<(&EdgeId, u64)> {
        match &self.job {
            Job::Leased { edge, .. } => Some((edge, self.fence)),
            Job::Queued | Job::Done | Job::Failed { .. } => None,
        }
    }

    /// Whether all of it can be played.
    pub(crate) const fn is_whole(&self) -> bool {
        self.revision > 0 && !self.is_growing
    }

    /// Whether its captions can be set now.
    pub(crate) fn check_captions(&self) -> Result<(), Rejection> {
        // What a worker still makes would know nothing of captions.
        let is_worked_on = matches!(self.job, Job::Queued | Job::Leased { .. });
        if !self.is_whole() || is_worked_on {
            let detail = "the clip is not made yet, or still being made";
            return Err(Rejection::new(Code::InvalidState, detail));
        }
        if self.revision >= limits::ASSET_REVISIONS_MAX {
            return Err(Rejection::new(Code::LimitReached, "too many revisions of one clip"));
        }
        Ok(())
    }

    fn check_lease(&self, edge: &EdgeId, fence: u64) -> Result<Timestamp, Rejection> {
        match &self.job {
            Job::Leased { edge: holder, until } if holder == edge && self.fence == fence => {
                Ok(*until)
            }
            Job::Leased { .. } | Job::Queued | Job::Done | Job::Failed { .. } => {
                Err(Rejection::new(Code::InvalidState, "the lease is not held any more"))
            }
        }
    }
}

impl Market {
    fn change_asset(&mut self, id: AssetId, change: impl FnOnce(&mut Asset)) {
        if let Some(asset) = self.assets.get_mut(&id) {
            change(Arc::make_mut(asset));
        }
    }

    pub(crate) fn register_asset(
        &mut self,
        turn: &Turn,
        owner: UserId,
        register: &RegisterAsset,
    ) -> Answer {
        if self.assets.contains_key(&register.asset) {
            return Err(Rejection::new(Code::InvalidState, "the asset id is taken"));
        }
        let is_clip = (1..=limits::CLIP_BYTES_MAX).contains(&register.source_bytes)
            && register.duration > Millis::ZERO
            && register.duration <= limits::CLIP_DURATION_MAX
            && register.width > 0
            && register.height > 0;
        if !is_clip {
            return Err(Rejection::new(Code::MediaRejected, "the clip is out of bounds"));
        }
        let own = self.assets.values().filter(|asset| asset.owner == owner).count();
        if own >= ASSETS_PER_MAKER_MAX {
            return Err(Rejection::new(Code::LimitReached, "too many uploads"));
        }
        let asset = Asset {
            asset: register.asset,
            owner,
            source: register.source,
            source_bytes: register.source_bytes,
            duration: register.duration,
            width: register.width,
            height: register.height,
            registered_at: turn.at,
            revision: 0,
            is_growing: false,
            manifest: None,
            codecs: Vec::new(),
            attempts: 0,
            fence: 0,
            job: Job::Queued,
        };
        self.assets.insert(register.asset, Arc::new(asset));
        self.queue.insert((turn.at, register.asset));
        Ok(Accepted::Done)
    }

    /// The job whose turn it is.
    pub(crate) fn lease_job(&mut self, turn: &Turn, edge: &EdgeId) -> Answer {
        let Some((since, id)) = self.next_job(edge, turn.at) else {
            return Err(Rejection::new(Code::NotFound, "no job waits"));
        };
        self.queue.remove(&(since, id));
        let until = turn.at.plus(limits::LEASE_LIFE);
        let Some(fence) = self.assets.get(&id).map(|asset| asset.fence.saturating_add(1)) else {
            return Err(Rejection::new(Code::NotFound, "no job waits"));
        };
        self.change_asset(id, |asset| {
            asset.fence = fence;
            asset.attempts = asset.attempts.saturating_add(1);
            asset.job = Job::Leased { edge: edge.clone(), until };
        });
        self.deadlines.add(until, DueKind::Lease(id));
        self.job_begins(edge, id, turn.at);
        Ok(Accepted::JobLeased { asset: id, fence, until })
    }

    fn leased(
        &self,
        id: AssetId,
        edge: &EdgeId,
        fence: u64,
    ) -> Result<(&Asset, Timestamp), Rejection> {
        let asset = self.assets.get(&id);
        let asset = asset.ok_or_else(|| Rejection::new(Code::NotFound, "no such asset"))?;
        let until = asset.check_lease(edge, fence)?;
        Ok((asset, until))
    }

    pub(crate) fn renew_lease(
        &mut self,
        turn: &Turn,
        edge: &EdgeId,
        id: AssetId,
        fence: u64,
    ) -> Answer {
        let (_, before) = self.leased(id, edge, fence)?;
        let until = turn.at.plus(limits::LEASE_LIFE);
        self.deadlines.remove(before, DueKind::Lease(id));
        self.deadlines.add(until, DueKind::Lease(id));
        self.change_asset(id, |asset| asset.job = Job::Leased { edge: edge.clone(), until });
        self.worker_heard(edge, turn.at);
        Ok(Accepted::JobLeased { asset: id, fence, until })
    }

    pub(crate) fn publish_revision(
        &mut self,
        turn: &mut Turn,
        edge: &EdgeId,
        publish: &PublishRevision,
    ) -> Answer {
        let (asset, before) = self.leased(publish.asset, edge, publish.fence)?;
        if asset.revision.checked_add(1) != Some(publish.revision) {
            return Err(Rejection::new(Code::VersionConflict, "not the next revision"));
        }
        let is_beginning = publish.extent == Extent::Beginning;
        if is_beginning && asset.is_whole() {
            return Err(Rejection::new(Code::InvalidState, "the clip is whole already"));
        }
        let codecs_bytes: usize =
            publish.codecs.iter().fold(0, |sum, codec| codec.len().saturating_add(sum));
        if publish.codecs.len() > 16 || codecs_bytes > TEXT_MAX {
            return Err(Rejection::new(Code::ValidationFailed, "too many codecs"));
        }
        let is_last = publish.extent == Extent::Last;
        let until = turn.at.plus(limits::LEASE_LIFE);
        self.deadlines.remove(before, DueKind::Lease(publish.asset));
        if !is_last {
            self.deadlines.add(until, DueKind::Lease(publish.asset));
        }
        self.change_asset(publish.asset, |asset| {
            asset.revision = publish.revision;
            asset.is_growing = is_beginning;
            asset.manifest = Some(publish.manifest);
            asset.codecs.clone_from(&publish.codecs);
            asset.job = if is_last { Job::Done } else { Job::Leased { edge: edge.clone(), until } };
        });
        self.worker_heard(edge, turn.at);
        if is_last {
            self.jobs.done(publish.asset);
        }
        turn.events.push(PublicEvent::AssetPublished {
            asset: publish.asset,
            revision: publish.revision,
            manifest: publish.manifest,
        });
        Ok(Accepted::Done)
    }

    /// A revision that a maker made: the same clip with other captions.
    pub(crate) fn set_captions(
        &mut self,
        turn: &mut Turn,
        maker: UserId,
        set: &SetCaptions,
    ) -> Answer {
        let asset = self.assets.get(&set.asset).filter(|asset| asset.owner == maker);
        let asset = asset.ok_or_else(|| Rejection::new(Code::NotFound, "no such asset"))?;
        asset.check_captions()?;
        if asset.revision.checked_add(1) != Some(set.revision) {
            return Err(Rejection::new(Code::VersionConflict, "not the next revision"));
        }
        // What a worker makes would know nothing of the captions: this job is not done again.
        let is_over = self.shares_workers();
        self.change_asset(set.asset, |asset| {
            asset.revision = set.revision;
            asset.manifest = Some(set.manifest);
            if is_over {
                asset.job = Job::Done;
            }
        });
        if is_over {
            self.jobs.done(set.asset);
        }
        turn.events.push(PublicEvent::AssetPublished {
            asset: set.asset,
            revision: set.revision,
            manifest: set.manifest,
        });
        Ok(Accepted::Done)
    }

    pub(crate) fn fail_job(
        &mut self,
        turn: &mut Turn,
        edge: &EdgeId,
        (id, fence): (AssetId, u64),
        (reason, is_final): (&str, bool),
    ) -> Answer {
        let (_, until) = self.leased(id, edge, fence)?;
        self.deadlines.remove(until, DueKind::Lease(id));
        let failure =
            Failure { worker: edge, reason, detail: "", weight: 1, pauses: true, is_final };
        self.give_up_lease(turn, id, &failure);
        Ok(Accepted::Done)
    }

    pub(crate) fn report_failure(
        &mut self,
        turn: &mut Turn,
        edge: &EdgeId,
        failed: &FailedJob,
    ) -> Answer {
        if !self.shares_workers() {
            let why = "the rules in force know no such command";
            return Err(Rejection::new(Code::InvalidState, why));
        }
        let (_, until) = self.leased(failed.asset, edge, failed.fence)?;
        self.deadlines.remove(until, DueKind::Lease(failed.asset));
        self.give_up_lease(turn, failed.asset, &Failure::reported(edge, failed));
        Ok(Accepted::Done)
    }

    pub(crate) fn end_lease(&mut self, turn: &mut Turn, id: AssetId, due: Timestamp) {
        let holder = self.assets.get(&id).and_then(|asset| match &asset.job {
            Job::Leased { edge, until } if *until == due => Some(edge.clone()),
            Job::Leased { .. } | Job::Queued | Job::Done | Job::Failed { .. } => None,
        });
        if let Some(worker) = holder {
            // The next one need not wait: nothing says that the clip is at fault.
            let failure = Failure {
                worker: &worker,
                reason: "the worker was not heard any more",
                detail: "",
                weight: 1,
                pauses: false,
                is_final: false,
            };
            self.give_up_lease(turn, id, &failure);
        }
    }

    fn give_up_lease(&mut self, turn: &mut Turn, id: AssetId, failure: &Failure<'_>) {
        let Some(owner) = self.assets.get(&id).map(|asset| asset.owner) else { return };
        let is_last = self.job_failed(id, failure, turn.at);
        if failure.is_final || is_last {
            let reason: String = failure.reason.chars().take(TEXT_MAX).collect();
            self.change_asset(id, |asset| asset.job = Job::Failed { reason: reason.clone() });
            let mut notice = about(owner, NoticeKind::MediaFailed);
            notice.text = Some(reason);
            self.notify(turn, notice);
            return;
        }
        self.change_asset(id, |asset| asset.job = Job::Queued);
        self.queue.insert((turn.at, id));
    }
}
