//! Beats: an edge's mark and condition up; coordinator time, term and the other edges down.
//!
//! ```text
//!  edge --BeatUp--> follower --BeatUp--> leader         (one kept stream per edge and follower)
//!       <-BeatDown-         <-BeatDown-   t1, term
//! ```
//! Only the leader's office clock answers with a time. A beat that the leader cannot be asked about
//! is answered by silence: the edge's estimate widens, which is the truth.

use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::pki::Role;
use fairground_seam::link::{RecvStream, SendStream};
use fairground_types::{EdgeId, MemberId, Millis};
use fairground_wire::message::{BeatDown, BeatUp, EdgeStatus, StreamKind};

use crate::member::Member;
use crate::stream::{self, StreamError};

/// How long the leader may take to answer a beat that was passed on.
const RELAY_WAIT: Duration = Duration::from_millis(400);
/// How often an edge gets the list of edges, changed or not.
const DIRECTORY_PERIOD: Millis = Millis::from_secs(2);

struct Relay {
    leader: MemberId,
    send: SendStream,
    receive: RecvStream,
}

/// What an edge was told of the other edges, and when.
#[derive(Default)]
struct Told {
    directory: Vec<EdgeStatus>,
    at: Option<Millis>,
}

/// Serves one beat stream until it breaks. From a member, it carries beats of edges to the leader.
pub(crate) async fn serve(
    member: &Arc<Member>,
    peer: &Role,
    mut send: SendStream,
    mut receive: RecvStream,
) -> Result<(), StreamError> {
    let mut relay = None;
    let mut told = Told::default();
    while let Some(beat) = stream::receive::<BeatUp>(&mut receive).await? {
        let is_edge = match peer {
            Role::Edge(edge) if !speaks_for(edge, &beat) => return Ok(()),
            Role::Edge(_) => true,
            Role::Member(_) => false,
        };
        let now = member.clock.monotonic();
        member.edges.hear(&beat, now);
        let answer = match own_answer(member, &beat) {
            Some(answer) => Some(answer),
            None if is_edge => pass_on(member, &mut relay, &beat).await,
            None => None,
        };
        let Some(mut answer) = answer else { continue };
        if is_edge {
            answer.directory = told.news(member.edges.statuses(now), now);
        }
        stream::send(&mut send, &answer).await?;
    }
    Ok(())
}

/// Whether a beat is of this edge and lists no other one.
fn speaks_for(edge: &EdgeId, beat: &BeatUp) -> bool {
    beat.edge == *edge && beat.status.edge == *edge
}

impl Told {
    fn news(&mut self, directory: Vec<EdgeStatus>, now: Millis) -> Option<Vec<EdgeStatus>> {
        let is_due = self.at.is_none_or(|at| {
            now.as_millis().saturating_sub(at.as_millis()) >= DIRECTORY_PERIOD.as_millis()
        });
        if !is_due && !differs(&self.directory, &directory) {
            return None;
        }
        self.directory.clone_from(&directory);
        self.at = Some(now);
        Some(directory)
    }
}

/// Whether something other than feed positions and load has changed.
fn differs(before: &[EdgeStatus], now: &[EdgeStatus]) -> bool {
    let key = |row: &EdgeStatus| (row.edge.clone(), row.takes_bids, row.serves_video);
    !before.iter().map(key).eq(now.iter().map(key))
}

fn own_answer(member: &Member, beat: &BeatUp) -> Option<BeatDown> {
    let leader = member.raft.as_leader().ok()?;
    let term = leader.leader_id().term;
    let at = member.office.stamp(term)?;
    Some(BeatDown { t0: beat.t0, t1: at, term, leader: Some(member.id), directory: None })
}

async fn pass_on(member: &Member, relay: &mut Option<Relay>, beat: &BeatUp) -> Option<BeatDown> {
    let asked = async {
        let leader = MemberId(member.raft.as_leader().err()?.leader_id?);
        if relay.as_ref().is_none_or(|relay| relay.leader != leader) {
            let (send, receive) = member.peers.open(leader, StreamKind::Beat).await.ok()?;
            *relay = Some(Relay { leader, send, receive });
        }
        let relay = relay.as_mut()?;
        stream::send(&mut relay.send, beat).await.ok()?;
        loop {
            let answer: BeatDown = stream::receive(&mut relay.receive).await.ok()??;
            // An answer to an earlier beat came too late for its edge.
            if answer.t0 == beat.t0 {
                return Some(answer);
            }
        }
    };
    let answer = tokio::time::timeout(RELAY_WAIT, asked).await.ok().flatten();
    if answer.is_none() {
        *relay = None;
    }
    answer
}

#[cfg(test)]
mod tests {
    use fairground_types::LogIndex;

    use super::*;

    fn beat(edge: &EdgeId, listed: &EdgeId) -> BeatUp {
        let status = EdgeStatus {
            edge: listed.clone(),
            region: "eu".to_owned(),
            public_url: "http://127.0.0.2".to_owned(),
            serves_video: true,
            takes_bids: true,
            load_permille: 0,
            feed_index: LogIndex(0),
        };
        BeatUp { t0: 0, edge: edge.clone(), mark: None, status }
    }

    #[test]
    fn edge_beats_for_itself_and_lists_itself() {
        let one = EdgeId::new("eu-1", 1).expect("valid");
        let other = EdgeId::new("eu-2", 1).expect("valid");
        assert!(speaks_for(&one, &beat(&one, &one)));
        assert!(!speaks_for(&one, &beat(&other, &other)));
        assert!(!speaks_for(&one, &beat(&one, &other)));
    }
}
