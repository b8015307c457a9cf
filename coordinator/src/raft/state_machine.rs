//! The state machine: applies committed entries to the market and publishes what they did.
//!
//! ```text
//!  entry bytes -> Entry -> Market::apply -> Applied -> backlog (feeds, verdicts, effects)
//!                   |  ^             \-> digest(n) = BLAKE3(digest(n-1) | index | entry | applied)
//!                   v  |
//!                signatures (threads)
//!  snapshot    = digest | encoded Market                  kept by storage, sent to slow members
//! ```
//! The running digest is equal on members that have applied the same log the same way; `status`
//! compares it. The market itself is in memory: after a restart it is rebuilt from the newest
//! snapshot and the log. Read next: `crate::state`.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use fairground_market::{
    Applied, Market, RULES_VERSION, SNAPSHOT_VERSION, SinceVersion1, SinceVersion2, Snapshot,
};
use fairground_storage::raft_types::{snapshot_meta_from_wire, snapshot_meta_to_wire};
use fairground_storage::snapshot::SnapshotStore;
use fairground_types::{Code, Digest, LogIndex};
use fairground_wire::codec;
use futures_util::{Stream, StreamExt};
use openraft::EntryPayload;
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};

use super::signatures::SignaturePool;
use super::{ApplyReply, TypeConfig};
use crate::history::History;
use crate::state::State;

const DIGEST_LEN: usize = 32;

/// What of the log is applied.
#[derive(Clone, Debug, Default)]
struct Progress {
    last: Option<LogIdOf<TypeConfig>>,
    membership: StoredMembershipOf<TypeConfig>,
    digest: [u8; DIGEST_LEN],
}

/// The market behind Raft.
pub(crate) struct StateMachine {
    state: Arc<State>,
    snapshots: SnapshotStore,
    history: History,
    signatures: SignaturePool,
    progress: Progress,
}

/// Takes a snapshot of the moment it was made in.
pub(crate) struct Builder {
    snapshots: SnapshotStore,
    progress: Progress,
    market: Snapshot,
}

impl StateMachine {
    /// A state machine that starts from the newest snapshot, if there is one.
    pub(crate) async fn open(
        state: Arc<State>,
        snapshots: SnapshotStore,
        history: History,
    ) -> io::Result<Self> {
        let signatures = SignaturePool::new();
        let progress = Progress::default();
        let mut machine = Self { state, snapshots, history, signatures, progress };
        if let Some((meta, bytes)) = load(&machine.snapshots).await? {
            machine.adopt(&meta, decode_snapshot(&bytes)?);
        }
        Ok(machine)
    }

    fn adopt(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        (market, digest): (Market, [u8; DIGEST_LEN]),
    ) {
        self.progress =
            Progress { last: meta.last_log_id, membership: meta.last_membership.clone(), digest };
        let raft = meta.last_log_id.map_or(0, |id| id.index);
        self.state.replace(market, Digest::from_bytes(digest), raft);
    }

    async fn apply_one(&mut self, entry: &openraft::alias::EntryOf<TypeConfig>) -> io::Result<()> {
        let index = LogIndex(entry.log_id.index);
        self.progress.last = Some(entry.log_id);
        match &entry.payload {
            EntryPayload::Blank => self.state.remember_digest(index, self.digest()),
            EntryPayload::Membership(membership) => {
                self.progress.membership =
                    StoredMembershipOf::<TypeConfig>::new(Some(entry.log_id), membership.clone());
                self.state.remember_digest(index, self.digest());
            }
            EntryPayload::Normal(payload) => {
                let decoded = codec::decode_entry(&payload.0).map_err(io::Error::other)?;
                let claims = self.state.read(|market| market.claims(&decoded));
                let verified = self.signatures.check(claims).await;
                let (mut applied, rules) = self.state.write(|market| {
                    (market.apply_verified(index, &decoded, verified), market.rules_version())
                });
                check_rules(rules)?;
                self.progress.digest =
                    next_digest(&self.progress.digest, index, &payload.0, &applied)?;
                note(&applied);
                let left = std::mem::take(&mut applied.archived);
                if !left.is_empty() {
                    self.history.keep(&left).await?;
                }
                let audit = std::mem::take(&mut applied.archived_audit);
                if !audit.is_empty() {
                    self.history.keep_audit(&audit).await?;
                }
                self.state.publish(applied, self.digest());
                #[cfg(feature = "sim")]
                self.state.observe(&decoded, index);
            }
        }
        self.state.announce(index.0);
        Ok(())
    }

    fn digest(&self) -> Digest {
        Digest::from_bytes(self.progress.digest)
    }
}

/// A program stops at rules that it does not know: to skip them would make another state of the same log.
fn check_rules(version: u32) -> io::Result<()> {
    if version <= RULES_VERSION {
        return Ok(());
    }
    let why = format!(
        "rules {version} are in force and this program knows {RULES_VERSION} at most: start the newer one"
    );
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

async fn load(
    snapshots: &SnapshotStore,
) -> io::Result<Option<(SnapshotMetaOf<TypeConfig>, Bytes)>> {
    let Some((meta, bytes)) = snapshots.load().await.map_err(io::Error::other)? else {
        return Ok(None);
    };
    let meta = snapshot_meta_from_wire(meta).map_err(io::Error::other)?;
    Ok(Some((meta, bytes)))
}

async fn save(
    snapshots: &SnapshotStore,
    meta: &SnapshotMetaOf<TypeConfig>,
    bytes: &Bytes,
) -> io::Result<()> {
    let meta = snapshot_meta_to_wire(meta);
    snapshots.save(meta, bytes.clone()).await.map_err(io::Error::other)
}

fn note(applied: &Applied) {
    metrics::counter!(crate::metrics::ENTRIES_APPLIED).increment(1);
    let judged = u64::try_from(applied.judged.len()).unwrap_or(u64::MAX);
    metrics::counter!(crate::metrics::BIDS_JUDGED).increment(judged);
    for row in &applied.judged {
        if let Some(code @ (Code::SignatureRequired | Code::SignatureRefused)) =
            row.judged.verdict.code()
        {
            let code = code.as_str();
            metrics::counter!(crate::metrics::SIGNATURES_REFUSED, "code" => code).increment(1);
        }
    }
}

fn next_digest(
    previous: &[u8; DIGEST_LEN],
    index: LogIndex,
    entry: &[u8],
    applied: &Applied,
) -> io::Result<[u8; DIGEST_LEN]> {
    let applied = codec::encode_payload(applied).map_err(io::Error::other)?;
    let mut hasher = blake3::Hasher::new_derive_key("fairground 2026 running digest v1");
    hasher.update(previous).update(&index.0.to_le_bytes()).update(entry).update(&applied);
    Ok(*hasher.finalize().as_bytes())
}

fn encode_snapshot(market: &Snapshot, progress: &Progress) -> io::Result<Vec<u8>> {
    let state = match market.shape() {
        1 => codec::encode_state_before(1, market, &SinceVersion1::default()),
        2 => codec::encode_state_before(2, market, &SinceVersion2::default()),
        shape => codec::encode_state(shape, market),
    };
    let state = state.map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(state.len().saturating_add(DIGEST_LEN));
    bytes.extend_from_slice(&progress.digest);
    bytes.extend_from_slice(&state);
    Ok(bytes)
}

fn decode_snapshot(bytes: &[u8]) -> io::Result<(Market, [u8; DIGEST_LEN])> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "a snapshot without a digest");
    let (digest, state) = bytes.split_first_chunk::<DIGEST_LEN>().ok_or_else(short)?;
    let (version, payload) =
        codec::open_state(SNAPSHOT_VERSION, state).map_err(io::Error::other)?;
    let snapshot: Result<Snapshot, _> = match version {
        1 => codec::decode_state_before(payload, &SinceVersion1::default()),
        2 => codec::decode_state_before(payload, &SinceVersion2::default()),
        shape => codec::decode_state(shape, state).map(|(_, snapshot)| snapshot),
    };
    let market = Market::restore(snapshot.map_err(io::Error::other)?);
    check_rules(market.rules_version())?;
    Ok((market, *digest))
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>), io::Error> {
        Ok((self.progress.last, self.progress.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            self.apply_one(&entry).await?;
            if let Some(responder) = responder {
                responder.send(ApplyReply::NONE);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        Builder {
            snapshots: self.snapshots.clone(),
            progress: self.progress.clone(),
            market: self.state.read(Market::snapshot),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: Bytes,
    ) -> Result<(), io::Error> {
        // Read it first: a snapshot that this binary cannot read must not replace one it can.
        let decoded = decode_snapshot(&snapshot)?;
        save(&self.snapshots, meta, &snapshot).await?;
        self.adopt(meta, decoded);
        tracing::info!(index = self.state.position().raft, "snapshot installed");
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, Bytes>>, io::Error> {
        let current = load(&self.snapshots).await?;
        Ok(current.map(|(meta, snapshot)| SnapshotOf::<TypeConfig, Bytes> { meta, snapshot }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, Bytes>, io::Error> {
        let market = self.market.clone();
        let progress = self.progress.clone();
        let encoding = fairground_seam::blocking(move || encode_snapshot(&market, &progress));
        let snapshot = Bytes::from(encoding.await.map_err(io::Error::other)??);
        let meta = SnapshotMetaOf::<TypeConfig> {
            last_log_id: self.progress.last,
            last_membership: self.progress.membership.clone(),
        };
        save(&self.snapshots, &meta, &snapshot).await?;
        metrics::counter!(crate::metrics::SNAPSHOTS_BUILT).increment(1);
        tracing::info!(bytes = snapshot.len(), "snapshot built");
        Ok(SnapshotOf::<TypeConfig, Bytes> { meta, snapshot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_stops_at_rules_that_it_does_not_know() {
        assert!(check_rules(RULES_VERSION).is_ok());
        let refused = check_rules(RULES_VERSION + 1).expect_err("newer than it knows");
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert!(refused.to_string().contains("start the newer one"), "{refused}");
    }
}
