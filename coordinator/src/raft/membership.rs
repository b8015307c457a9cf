//! Who votes: a reconciler on the leader that makes Raft's membership what the market says.
//!
//! ```text
//!  registered in the market, unknown to Raft   -> learner
//!  learner that has caught up                  -> voter
//!  registered under another address            -> new address
//! ```
//! Woken by every applied entry and by period; one change at a time. It must not decide who is a
//! member: that is the market's, by join token.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::shutdown::Shutdown;
use fairground_types::MemberId;
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;

use super::{MemberNode, Raft};
use crate::peers::Peers;
use crate::state::State;

const PERIOD: Duration = Duration::from_millis(500);
/// How long one change may take.
const CHANGE_WAIT: Duration = Duration::from_secs(10);
/// A learner this close to the log's end becomes a voter.
const CAUGHT_UP: u64 = 200;

/// Brings Raft's membership in line with the market's.
pub(crate) struct MembershipLoop {
    pub(crate) me: MemberId,
    pub(crate) raft: Raft,
    pub(crate) state: Arc<State>,
    pub(crate) peers: Arc<Peers>,
}

enum Change {
    Learner(u64, MemberNode),
    Voters(BTreeSet<u64>),
    Address(u64, MemberNode),
}

impl MembershipLoop {
    /// Runs until `shutdown`.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                _ = ticks.tick() => {}
            }
            self.learn_addresses();
            if self.raft.as_leader().is_ok()
                && let Some(change) = self.next_change()
            {
                self.make(change).await;
            }
        }
    }

    /// Where members are, by the market and by Raft.
    fn learn_addresses(&self) {
        let rows = self.state.read(|market| market.members().cloned().collect::<Vec<_>>());
        if rows.is_empty() {
            let membership = self.raft.metrics().borrow_watched().membership_config.clone();
            for (member, node) in membership.nodes() {
                if *member != self.me.0 {
                    self.peers.learn(MemberId(*member), &node.addr);
                }
            }
        }
        for row in rows.iter().filter(|row| row.member != self.me) {
            self.peers.learn(row.member, &row.cluster_address);
        }
    }

    fn next_change(&self) -> Option<Change> {
        let wanted: BTreeMap<u64, String> = self.state.read(|market| {
            market.members().map(|row| (row.member.0, row.cluster_address.clone())).collect()
        });
        let metrics = self.raft.metrics().borrow_watched().clone();
        let known = metrics.membership_config.membership();
        for (member, address) in &wanted {
            let node = MemberNode { addr: address.clone() };
            match known.get_node(member) {
                None => return Some(Change::Learner(*member, node)),
                Some(now) if now.addr != *address => {
                    return Some(Change::Address(*member, node));
                }
                Some(_) => {}
            }
        }
        let last = metrics.last_log_index.unwrap_or(0);
        let replication = metrics.replication.as_ref()?;
        let ready: BTreeSet<u64> = known
            .learner_ids()
            .filter(|learner| wanted.contains_key(learner))
            .filter(|learner| {
                let matched =
                    replication.get(learner).and_then(|at| at.as_ref().map(|id| id.index));
                matched.is_some_and(|matched| last.saturating_sub(matched) <= CAUGHT_UP)
            })
            .collect();
        (!ready.is_empty()).then_some(Change::Voters(ready))
    }

    async fn make(&self, change: Change) {
        let made = match change {
            Change::Learner(member, node) => {
                tracing::info!(member, address = %node.addr, "member becomes a learner");
                let adding = self.raft.add_learner(member, node, false);
                tokio::time::timeout(CHANGE_WAIT, adding).await
            }
            Change::Voters(voters) => {
                tracing::info!(?voters, "learners become voters");
                let changing =
                    self.raft.change_membership(ChangeMembers::AddVoterIds(voters), true);
                tokio::time::timeout(CHANGE_WAIT, changing).await
            }
            Change::Address(member, node) => {
                tracing::info!(member, address = %node.addr, "member has moved");
                let nodes = BTreeMap::from([(member, node)]);
                let changing = self.raft.change_membership(ChangeMembers::SetNodes(nodes), true);
                tokio::time::timeout(CHANGE_WAIT, changing).await
            }
        };
        match made {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "membership not changed; tried again"),
            Err(_) => tracing::warn!("membership change has not finished; tried again"),
        }
    }
}
