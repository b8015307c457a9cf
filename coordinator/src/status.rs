//! What `fairground status` and the console show: members, digests, edges, what waits.
//!
//! Other members are asked over QUIC, once for how far they are and once for their digest at the
//! newest index that all of those reached have. A member that does not answer is shown as such.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use fairground_types::command::MemberRow;
use fairground_types::{Currency, Digest, EdgeId, LogIndex, MemberId, Timestamp};
use fairground_wire::message::EdgeStatus;
use fairground_wire::raft::{RaftReply, RaftRequest, StatusWire};
use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use serde::Serialize;

use crate::collect::BlobFigures;
use crate::member::Member;
use crate::raft::serve;

const ASK_WAIT: Duration = Duration::from_millis(800);

/// The whole of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    cluster: fairground_types::ClusterId,
    member: MemberId,
    leader: Option<MemberId>,
    term: u64,
    applied_index: LogIndex,
    at: Timestamp,
    digest_index: LogIndex,
    digest: Option<Digest>,
    rules_version: u32,
    release: &'static str,
    members: Vec<MemberStatus>,
    edges: Vec<EdgeRow>,
    open_auctions: usize,
    /// Effects that wait, by kind.
    outbox: BTreeMap<&'static str, usize>,
    /// Sum of all accounts, by currency: zero.
    #[schema(value_type = BTreeMap<String, i64>)]
    ledger: BTreeMap<Currency, i128>,
    jobs_waiting: usize,
    /// Blobs of this member.
    blobs: BlobFigures,
    ready: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct MemberStatus {
    member: MemberId,
    address: String,
    public_url: String,
    /// `voter` or `learner`; absent while Raft does not know it.
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_index: Option<LogIndex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    reachable: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct EdgeRow {
    #[serde(flatten)]
    status: EdgeStatus,
    in_intake: bool,
    counted_mark_age_ms: u64,
    feed_lag_entries: u64,
    applied_seq: u64,
    violations: u64,
    /// It has beaten in the last seconds.
    fresh: bool,
    connected_here: bool,
}

async fn ask(member: &Member, whom: MemberId, index: Option<LogIndex>) -> Option<StatusWire> {
    if whom == member.id {
        return Some(serve::status(member, index));
    }
    match member.peers.call(whom, &RaftRequest::Status(index), ASK_WAIT).await {
        Ok(RaftReply::Status(status)) => Some(status),
        Ok(_) | Err(_) => None,
    }
}

/// Takes the status now.
pub(crate) async fn take(member: &Member) -> Status {
    let rows: Vec<MemberRow> = member.state.read(|market| market.members().cloned().collect());
    let heard = join_all(rows.iter().map(|row| ask(member, row.member, None))).await;
    let common = heard.iter().flatten().map(|status| status.digest_index).min();
    let compared = match common {
        Some(index) => {
            join_all(rows.iter().zip(&heard).map(|(row, heard)| async move {
                match heard {
                    Some(_) => ask(member, row.member, Some(index)).await,
                    None => None,
                }
            }))
            .await
        }
        None => vec![None; rows.len()],
    };
    let metrics = member.raft.metrics().borrow_watched().clone();
    let membership = metrics.membership_config.membership();
    let voters: Vec<u64> = membership.voter_ids().collect();
    let members = rows
        .into_iter()
        .zip(heard.iter().zip(&compared))
        .map(|(row, (heard, compared))| {
            let number = row.member.0;
            let role = membership
                .get_node(&number)
                .map(|_| if voters.contains(&number) { "voter" } else { "learner" });
            let matched = metrics
                .replication
                .as_ref()
                .and_then(|all| all.get(&number))
                .and_then(|at| at.as_ref().map(|id| id.index));
            MemberStatus {
                member: row.member,
                address: row.cluster_address,
                public_url: row.public_url,
                role,
                matched,
                applied_index: heard.map(|status| status.applied),
                digest: compared.and_then(|status| status.digest),
                reachable: heard.is_some(),
            }
        })
        .collect();
    let position = member.state.position();
    let digest_index = common.unwrap_or_default();
    let (open_auctions, outbox, ledger, rules_version, jobs_waiting) =
        member.state.read(|market| {
            let mut outbox: BTreeMap<&'static str, usize> = BTreeMap::new();
            for pending in market.outbox() {
                *outbox.entry(pending.effect.kind()).or_default() += 1;
            }
            (
                market.view().open_auctions().count(),
                outbox,
                market.ledger_totals(),
                market.rules_version(),
                market.jobs_waiting(),
            )
        });
    Status {
        cluster: member.cluster,
        member: member.id,
        leader: member.leader(),
        term: metrics.current_term,
        applied_index: LogIndex(position.raft),
        at: position.at,
        digest_index,
        digest: member.state.digest_at(digest_index),
        rules_version,
        release: env!("CARGO_PKG_VERSION"),
        members,
        edges: edge_rows(member),
        open_auctions,
        outbox,
        ledger,
        jobs_waiting,
        blobs: *member.blobs.figures.lock().unwrap_or_else(PoisonError::into_inner),
        ready: member.health.is_ready(),
    }
}

fn edge_rows(member: &Member) -> Vec<EdgeRow> {
    let position = member.state.position();
    let mut heard: BTreeMap<EdgeId, _> = member
        .edges
        .rows(member.clock.monotonic())
        .into_iter()
        .map(|row| (row.status.edge.clone(), row))
        .collect();
    member
        .state
        .read(fairground_market::Market::edges)
        .into_iter()
        .map(|row| {
            let beat = heard.remove(&row.edge);
            let is_fresh = beat.as_ref().is_some_and(|beat| beat.is_fresh);
            let is_connected = beat.as_ref().is_some_and(|beat| beat.is_connected);
            let status = beat.map_or_else(
                || EdgeStatus {
                    edge: row.edge.clone(),
                    region: row.region.to_string(),
                    public_url: row.public_url.clone(),
                    serves_video: false,
                    takes_bids: false,
                    load_permille: 0,
                    feed_index: LogIndex(0),
                },
                |beat| beat.status,
            );
            EdgeRow {
                in_intake: row.in_intake,
                counted_mark_age_ms: row.counted_mark_age.as_millis(),
                feed_lag_entries: position.index.0.saturating_sub(status.feed_index.0),
                applied_seq: row.applied_seq,
                violations: row.violations,
                fresh: is_fresh,
                connected_here: is_connected,
                status,
            }
        })
        .collect()
}
