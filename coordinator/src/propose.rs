//! The proposer: puts commands into the log, many in one entry, and says what became of them.
//!
//! ```text
//!  submit ---> queue (bounded) ---> one entry while the one before is in flight ---> Raft
//!                                     | not the leader: passed to it over QUIC
//!  verdict <--- state machine (this member has applied the entry) <---- commit
//! ```
//! A proposal that fails or times out after it left is *unknown*, never absent: it is sent again under
//! the same id, here for some seconds and then by whoever asked, and the log answers from memory. An
//! entry is stamped once, here, with the office clock. It must not know what a command means. Read next: `raft/office.rs`,
//! `raft/deadline.rs`.

use std::sync::Arc;
use std::time::Duration;

use fairground_market::Market;
use fairground_runtime::shutdown::Shutdown;
use fairground_types::command::{Entry, Envelope, LogCommand};
use fairground_types::journal::Batch;
use fairground_types::limits::{ENTRY_COMMANDS_MAX, FRAME_MAX, PROPOSE_QUEUE_MAX};
use fairground_types::verdict::Judged;
use fairground_types::{LogIndex, MemberId};
use fairground_wire::codec::{encode_entry, encoded_len};
use fairground_wire::message::{CommandReply, SeqVerdict};
use fairground_wire::raft::{RaftReply, RaftRequest};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::edge::directory::EdgeDirectory;
use crate::peers::Peers;
use crate::raft::office::Office;
use crate::raft::{LogPayload, Raft, TypeConfig};
use crate::state::State;

/// How long a command may take from the queue to its commit.
const PROPOSE_WAIT: Duration = Duration::from_secs(5);
/// How long a caller waits for this member to have applied what the leader has.
const LOCAL_WAIT: Duration = Duration::from_secs(2);
/// Pause before a command goes to the next leader.
const ROUTE_PAUSE: Duration = Duration::from_millis(25);
/// Encoded bytes of the commands in one entry: half a frame, so that two fit in one message.
const ENTRY_BYTES_MAX: usize = FRAME_MAX / 2;

/// Why a command has no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It did not get into the log: no leader, or no room.
    #[error("reach a leader with a quorum")]
    Unavailable,
    /// It may be in the log or not.
    #[error("learn whether the command was committed")]
    Unknown,
    /// It is larger than an entry may be.
    #[error("fit the command into an entry")]
    TooLarge,
}

struct Proposal {
    command: LogCommand,
    bytes: usize,
    reply: oneshot::Sender<Result<CommandReply, ProposeError>>,
}

/// Where commands are handed in.
#[derive(Clone)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Proposal>,
    tick: Arc<Notify>,
    state: Arc<State>,
}

/// What the proposer works with.
pub(crate) struct ProposerParts {
    pub(crate) me: MemberId,
    pub(crate) raft: Raft,
    pub(crate) state: Arc<State>,
    pub(crate) office: Arc<Office>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) edges: Arc<EdgeDirectory>,
}

/// The loop behind a [`Proposer`].
pub(crate) struct ProposerLoop {
    parts: ProposerParts,
    queue: mpsc::Receiver<Proposal>,
    tick: Arc<Notify>,
    carried: Option<Proposal>,
}

/// Makes a proposer and its loop.
pub(crate) fn proposer(parts: ProposerParts) -> (Proposer, ProposerLoop) {
    let (sender, receiver) = mpsc::channel(PROPOSE_QUEUE_MAX);
    let tick = Arc::new(Notify::new());
    let handle =
        Proposer { queue: sender, tick: Arc::clone(&tick), state: Arc::clone(&parts.state) };
    (handle, ProposerLoop { parts, queue: receiver, tick, carried: None })
}

impl Proposer {
    /// Puts a command into the log. When it answers, this member has applied the entry, unless it
    /// lags the leader by more than two seconds.
    pub(crate) async fn submit(&self, envelope: Envelope) -> Result<Judged, ProposeError> {
        let waiting = self.hand_in(LogCommand::Direct(envelope))?;
        let reply = waiting.await.unwrap_or(Err(ProposeError::Unknown))?;
        let CommandReply::Direct(judged) = reply else { return Err(ProposeError::Unknown) };
        self.state.wait_for(judged.index, Instant::now() + LOCAL_WAIT).await;
        Ok(judged)
    }

    /// Puts journal entries into the log, behind all that was handed in before this call.
    pub(crate) fn submit_batch(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<CommandReply, ProposeError>> + use<> {
        let waiting = self.hand_in(LogCommand::Batch(batch));
        async { waiting?.await.unwrap_or(Err(ProposeError::Unknown)) }
    }

    /// Puts commands of another member into the log, in order, without waiting to apply.
    pub(crate) async fn submit_all(&self, commands: Vec<LogCommand>) -> Vec<CommandReply> {
        let mut waiting = Vec::with_capacity(commands.len());
        for command in commands {
            waiting.push(self.hand_in(command));
        }
        let mut replies = Vec::with_capacity(waiting.len());
        for reply in waiting {
            replies.push(match reply {
                Ok(reply) => match reply.await {
                    Ok(Ok(reply)) => reply,
                    Ok(Err(_)) | Err(_) => CommandReply::Unknown,
                },
                Err(_) => CommandReply::Unknown,
            });
        }
        replies
    }

    /// Asks for an entry without commands; soon, and one for any number of asks.
    pub(crate) fn tick(&self) {
        self.tick.notify_one();
    }

    fn hand_in(
        &self,
        command: LogCommand,
    ) -> Result<oneshot::Receiver<Result<CommandReply, ProposeError>>, ProposeError> {
        let bytes = encoded_len(&command).map_err(|_| ProposeError::TooLarge)?;
        if bytes > ENTRY_BYTES_MAX {
            return Err(ProposeError::TooLarge);
        }
        // A member with an older binary could not read it, and would stop.
        let needed = command.rules_needed();
        if needed > 1 && needed > self.state.read(Market::rules_version) {
            return Err(ProposeError::Unavailable);
        }
        let (reply, waiting) = oneshot::channel();
        let proposal = Proposal { command, bytes, reply };
        self.queue.try_send(proposal).map_err(|_| ProposeError::Unavailable)?;
        Ok(waiting)
    }
}

/// How an attempt to commit ended.
enum Attempt {
    Settled(Vec<Result<CommandReply, ProposeError>>),
    /// Nothing left this member; another leader may take it.
    Again,
    Unknown,
}

impl ProposerLoop {
    /// Runs until `shutdown`; commands in the queue then are answered as unknown by their drop.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        loop {
            let first = match self.carried.take() {
                Some(proposal) => Some(proposal),
                None => {
                    let tick = Arc::clone(&self.tick);
                    tokio::select! {
                        biased;
                        () = shutdown.wait() => return,
                        () = tick.notified() => None,
                        received = self.queue.recv() => match received {
                            Some(proposal) => Some(proposal),
                            None => return,
                        },
                    }
                }
            };
            let round = self.fill(first);
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = self.commit(round) => {}
            }
        }
    }

    /// Everything that waits, up to the bounds of an entry.
    fn fill(&mut self, first: Option<Proposal>) -> Vec<Proposal> {
        let mut filling = Filling::default();
        let mut next = first;
        loop {
            let proposal = match next.take() {
                Some(proposal) => proposal,
                None => match self.queue.try_recv() {
                    Ok(proposal) => proposal,
                    Err(_) => break,
                },
            };
            if let Some(over) = filling.add(proposal) {
                self.carried = Some(over);
                break;
            }
        }
        filling.taken
    }

    async fn commit(&self, round: Vec<Proposal>) {
        metrics::histogram!(crate::metrics::ENTRY_COMMANDS).record(count(round.len()));
        let (commands, replies): (Vec<LogCommand>, Vec<_>) =
            round.into_iter().map(|proposal| (proposal.command, proposal.reply)).unzip();
        let deadline = Instant::now() + PROPOSE_WAIT;
        let mut failure = ProposeError::Unavailable;
        let outcome = loop {
            match self.attempt(&commands, deadline).await {
                Attempt::Settled(settled) => break Ok(settled),
                Attempt::Unknown => failure = ProposeError::Unknown,
                Attempt::Again => {}
            }
            if commands.is_empty() || Instant::now() >= deadline {
                break Err(failure);
            }
            // What may be in the log already is sent again as well: a copy of a command is answered
            // from memory, a copy of a journal entry is passed over.
            tokio::time::sleep(ROUTE_PAUSE).await;
        };
        let settled = match outcome {
            Ok(settled) => settled,
            Err(error) => {
                if !commands.is_empty() {
                    tracing::warn!(%error, commands = commands.len(), "proposal failed");
                    metrics::counter!(crate::metrics::PROPOSALS_FAILED).increment(1);
                }
                vec![Err(error); replies.len()]
            }
        };
        for (reply, outcome) in replies.into_iter().zip(settled) {
            // Whoever asked may have gone; the log has it all the same.
            let _ = reply.send(outcome);
        }
    }

    async fn attempt(&self, commands: &[LogCommand], deadline: Instant) -> Attempt {
        match self.parts.raft.as_leader() {
            Ok(leader) => {
                let term = leader.leader_id().term;
                match self.parts.office.stamp(term) {
                    Some(at) => {
                        let last = self.parts.state.position().at;
                        let entry = Entry {
                            term,
                            at: at.max(last),
                            marks: self.parts.edges.take_fresh_marks(),
                            commands: commands.to_vec(),
                        };
                        let expected = leader.to_committed_leader_id();
                        let attempt = self.append(&entry, expected, deadline).await;
                        if !matches!(attempt, Attempt::Settled(_)) {
                            self.parts.edges.forget_taken_marks();
                        }
                        attempt
                    }
                    // The clock of this office is still being asked for.
                    None => Attempt::Again,
                }
            }
            Err(_) if commands.is_empty() => Attempt::Again,
            Err(forward) => match forward.leader_id {
                Some(leader) if MemberId(leader) != self.parts.me => {
                    self.pass_on(MemberId(leader), commands, deadline).await
                }
                Some(_) | None => Attempt::Again,
            },
        }
    }

    async fn append(
        &self,
        entry: &Entry,
        expected: openraft::alias::CommittedLeaderIdOf<TypeConfig>,
        deadline: Instant,
    ) -> Attempt {
        let Ok(bytes) = encode_entry(entry) else {
            let refused = vec![Err(ProposeError::TooLarge); entry.commands.len()];
            return Attempt::Settled(refused);
        };
        let (responder, answered) = ProgressResponder::complete_only();
        let written = self
            .parts
            .raft
            .write(LogPayload(bytes))
            .with_leader(expected)
            .responder(responder)
            .await;
        if written.is_err() {
            return Attempt::Unknown;
        }
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(Ok(response))) => {
                let index = LogIndex(response.log_id.index);
                Attempt::Settled(self.outcomes(index, &entry.commands))
            }
            Ok(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => Attempt::Again,
            Ok(Ok(Err(ClientWriteError::PreconditionFailed(_)))) => Attempt::Again,
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => Attempt::Unknown,
        }
    }

    /// Reads what the entry did, applied here by now, command by command.
    fn outcomes(
        &self,
        index: LogIndex,
        commands: &[LogCommand],
    ) -> Vec<Result<CommandReply, ProposeError>> {
        let Some(applied) = self.parts.state.published(index) else {
            return vec![Err(ProposeError::Unknown); commands.len()];
        };
        let mut verdicts = applied.outcomes.iter();
        commands
            .iter()
            .map(|command| match command {
                LogCommand::Direct(_) => {
                    let verdict = verdicts.next().cloned().ok_or(ProposeError::Unknown)?;
                    Ok(CommandReply::Direct(Judged { index, at: applied.at, verdict }))
                }
                LogCommand::Batch(batch) => {
                    let verdicts = applied
                        .judged
                        .iter()
                        .filter(|judged| judged.edge == batch.edge)
                        .map(|judged| SeqVerdict {
                            seq: judged.seq,
                            command: judged.command,
                            judged: judged.judged.clone(),
                        })
                        .collect();
                    let tail = self.parts.state.read(|market| {
                        market.edge(&batch.edge).map(fairground_market::EdgeState::applied)
                    });
                    let applied = tail.ok_or(ProposeError::Unknown)?;
                    Ok(CommandReply::Batch { verdicts, applied })
                }
            })
            .collect()
    }

    async fn pass_on(
        &self,
        leader: MemberId,
        commands: &[LogCommand],
        deadline: Instant,
    ) -> Attempt {
        let request = RaftRequest::Propose(commands.to_vec());
        let left = deadline.saturating_duration_since(Instant::now());
        let called = tokio::select! {
            biased;
            called = self.parts.peers.call(leader, &request, left) => called,
            // A leader that is gone does not answer; whoever follows it does.
            () = self.deposed(leader) => return Attempt::Unknown,
        };
        match called {
            Ok(RaftReply::Proposed(replies)) if replies.len() == commands.len() => {
                let settled = replies.into_iter().map(|reply| match reply {
                    CommandReply::Unknown => Err(ProposeError::Unknown),
                    known @ (CommandReply::Direct(_) | CommandReply::Batch { .. }) => Ok(known),
                });
                Attempt::Settled(settled.collect())
            }
            Ok(RaftReply::NotLeader(_)) => Attempt::Again,
            Err(error) if error.never_left() => Attempt::Again,
            Ok(_) | Err(_) => Attempt::Unknown,
        }
    }
}

impl ProposerLoop {
    /// Waits until another member than `leader` leads, or nobody does.
    async fn deposed(&self, leader: MemberId) {
        let mut metrics = self.parts.raft.server_metrics();
        loop {
            if metrics.borrow_watched().current_leader != Some(leader.0) {
                return;
            }
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }
}

/// An entry being filled.
#[derive(Default)]
struct Filling {
    taken: Vec<Proposal>,
    commands: usize,
    bytes: usize,
}

impl Filling {
    /// Takes a proposal, or gives it back when the entry is full.
    fn add(&mut self, proposal: Proposal) -> Option<Proposal> {
        let commands = match &proposal.command {
            LogCommand::Direct(_) => 1,
            LogCommand::Batch(batch) => batch.entries.len().max(1),
        };
        let is_full = !self.taken.is_empty()
            && (self.commands.saturating_add(commands) > ENTRY_COMMANDS_MAX
                || self.bytes.saturating_add(proposal.bytes) > ENTRY_BYTES_MAX);
        if is_full {
            return Some(proposal);
        }
        self.commands = self.commands.saturating_add(commands);
        self.bytes = self.bytes.saturating_add(proposal.bytes);
        self.taken.push(proposal);
        None
    }
}

fn count(commands: usize) -> f64 {
    f64::from(u32::try_from(commands).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use fairground_types::CommandId;
    use fairground_types::command::{Actor, Command, MediaCommand};

    use super::*;

    fn proposal(bytes: usize) -> Proposal {
        let envelope = Envelope {
            id: CommandId::from_bytes([1; 32]),
            actor: Actor::Cluster,
            command: Command::Media(MediaCommand::LeaseJob),
        };
        let (reply, _) = oneshot::channel();
        Proposal { command: LogCommand::Direct(envelope), bytes, reply }
    }

    #[test]
    fn entry_takes_commands_up_to_its_count() {
        let mut filling = Filling::default();
        for _ in 0..ENTRY_COMMANDS_MAX {
            assert!(filling.add(proposal(1)).is_none());
        }
        assert!(filling.add(proposal(1)).is_some());
        assert_eq!(filling.taken.len(), ENTRY_COMMANDS_MAX);
    }

    #[test]
    fn entry_takes_commands_up_to_its_bytes_and_always_one() {
        let mut filling = Filling::default();
        assert!(filling.add(proposal(ENTRY_BYTES_MAX)).is_none());
        assert!(filling.add(proposal(1)).is_some());
    }
}
