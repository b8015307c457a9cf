//! The uplink: an edge's journal entries into the log, their verdicts back.
//!
//! ```text
//!  Hello{edge, tail} -> Welcome{applied, in_intake}
//!  Batch             -> handed to the proposer at once, in order
//!  verdicts          <- from the entries that this member applies, whoever proposed them
//!  a copy            <- from the market's memory
//! ```
//! The proposer takes what was handed in first first, so no batch of an edge overtakes another, and an
//! entry finds batches of all edges waiting: bids of one moment are judged together. When a proposal ends
//! unknown the edge is told to send again from what is applied; the log passes over what comes behind a
//! gap. It must not judge anything.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fairground_seam::link::{RecvStream, SendStream};
use fairground_types::journal::{Batch, JournalEntry, Mark, Tail};
use fairground_types::limits::BATCH_ENTRIES_MAX;
use fairground_types::{Code, EdgeId, LogIndex};
use fairground_wire::message::{CommandReply, SeqVerdict, UplinkDown, UplinkUp};
use fairground_wire::session::uplink::{UplinkAction, UplinkReceiver};
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::member::Member;
use crate::propose::ProposeError;
use crate::state::Since;
use crate::stream::{self, StreamError};

/// Messages of the edge that may wait in this session.
const INBOX: usize = 64;
/// Entries that may wait in this session; the edge's window is no larger.
const WAITING_MAX: usize = 16 * BATCH_ENTRIES_MAX;
/// Proposals of this session with the proposer. What comes beyond waits here and is merged.
const PROPOSALS_MAX: usize = 8;
/// Verdicts in one message.
const VERDICTS_AT_ONCE: usize = 512;
/// How often the edge is told how far its journal is applied.
const APPLIED_PERIOD: Duration = Duration::from_secs(1);

struct Session {
    member: Arc<Member>,
    edge: EdgeId,
    receiver: UplinkReceiver,
    /// Entries to propose, consecutive.
    waiting: VecDeque<JournalEntry>,
    /// With the proposer, in order.
    proposals: FuturesOrdered<Pin<Box<dyn Future<Output = Proposed> + Send + Sync>>>,
    mark: Option<Mark>,
    /// Sequence that the next entry of the edge must have.
    due: u64,
    /// Verdicts up to this entry of the log are sent.
    position: LogIndex,
    /// Tail that the edge was told last.
    told: Option<Tail>,
}

/// How a proposal ended, and the sequence behind it.
type Proposed = (u64, Result<CommandReply, ProposeError>);

enum Event {
    Message(Option<UplinkUp>),
    Proposed(Proposed),
    Applied,
}

/// Serves one uplink stream until it breaks.
pub(crate) async fn serve(
    member: &Arc<Member>,
    edge: &EdgeId,
    mut send: SendStream,
    mut receive: RecvStream,
) -> Result<(), StreamError> {
    let mut receiver = UplinkReceiver::new(edge.clone());
    let hello: UplinkUp = stream::expect(&mut receive).await?;
    let tail = match receiver.receive(hello) {
        Ok(UplinkAction::Greet { tail, .. }) => tail,
        Ok(UplinkAction::Propose(_) | UplinkAction::Answer(_)) => {
            return refuse(&mut send, Code::ValidationFailed, "say hello first").await;
        }
        Err(error) => return refuse(&mut send, Code::Forbidden, &error.to_string()).await,
    };
    if member.linearize().await.is_err() {
        return stream::send(&mut send, &UplinkDown::NotReady).await;
    }
    // Read before the tail: what is applied in between is told as a verdict, not passed over.
    let position = member.state.position().index;
    let known = member
        .state
        .read(|market| market.edge(edge).map(|state| (state.applied(), state.in_intake())));
    let Some((applied, in_intake)) = known else {
        return refuse(&mut send, Code::NotFound, "this edge is not registered").await;
    };
    if tail.seq < applied.seq {
        tracing::error!(%edge, journal = tail.seq, applied = applied.seq, "an edge lost its journal");
        return refuse(&mut send, Code::PreconditionFailed, "the journal is older than the log")
            .await;
    }
    let welcome = receiver.welcome(applied, in_intake);
    stream::send(&mut send, &welcome).await?;
    let session = Session {
        member: Arc::clone(member),
        edge: edge.clone(),
        receiver,
        waiting: VecDeque::new(),
        proposals: FuturesOrdered::new(),
        mark: None,
        due: applied.seq.saturating_add(1),
        position,
        told: Some(applied),
    };
    session.run(send, receive).await
}

async fn refuse(send: &mut SendStream, code: Code, detail: &str) -> Result<(), StreamError> {
    stream::send(send, &UplinkDown::Refused { code, detail: detail.to_owned() }).await?;
    // The edge reads the refusal before the stream's end.
    let _ = send.finish();
    Ok(())
}

async fn read_messages(
    mut receive: RecvStream,
    inbox: mpsc::Sender<UplinkUp>,
) -> Result<(), StreamError> {
    while let Some(message) = stream::receive(&mut receive).await? {
        if inbox.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

impl Session {
    async fn run(mut self, mut send: SendStream, receive: RecvStream) -> Result<(), StreamError> {
        let (inbox, mut messages) = mpsc::channel(INBOX);
        let mut reader = JoinSet::new();
        reader.spawn(read_messages(receive, inbox));
        let mut applied = self.member.state.watch();
        let mut ticks = tokio::time::interval(APPLIED_PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.send_verdicts(&mut send).await?;
            self.propose();
            let has_room = self.waiting.len() < WAITING_MAX;
            let event = tokio::select! {
                biased;
                Some(done) = self.proposals.next(), if !self.proposals.is_empty() => {
                    Event::Proposed(done)
                }
                changed = applied.changed() => {
                    if changed.is_err() { return Ok(()); }
                    Event::Applied
                }
                message = messages.recv(), if has_room => Event::Message(message),
                _ = ticks.tick() => {
                    self.send_applied(&mut send).await?;
                    Event::Applied
                }
            };
            match event {
                Event::Message(None) => return Ok(()),
                Event::Message(Some(message)) => {
                    if !self.take(message, &mut send).await? {
                        return Ok(());
                    }
                }
                Event::Proposed(outcome) => self.settle(outcome, &mut send).await?,
                Event::Applied => {}
            }
        }
    }

    /// Takes a message in; says whether the stream goes on.
    async fn take(
        &mut self,
        message: UplinkUp,
        send: &mut SendStream,
    ) -> Result<bool, StreamError> {
        let batch = match self.receiver.receive(message) {
            Ok(UplinkAction::Propose(batch)) => batch,
            Ok(UplinkAction::Answer(answer)) => {
                stream::send(send, &answer).await?;
                return Ok(true);
            }
            Ok(UplinkAction::Greet { .. }) => return Ok(false),
            Err(error) => {
                refuse(send, Code::ValidationFailed, &error.to_string()).await?;
                return Ok(false);
            }
        };
        self.mark = batch.mark.or(self.mark);
        for entry in batch.entries {
            if entry.seq < self.due {
                self.answer_copy(&entry, send).await?;
                continue;
            }
            self.due = entry.seq.saturating_add(1);
            self.waiting.push_back(entry);
        }
        Ok(true)
    }

    /// An entry that was sent before: its verdict, when there is one.
    async fn answer_copy(
        &self,
        entry: &JournalEntry,
        send: &mut SendStream,
    ) -> Result<(), StreamError> {
        let command = entry.intake.command();
        let judged = self.member.state.read(|market| market.verdict_on_entry(&self.edge, entry));
        match judged {
            Some(judged) => {
                let verdict = SeqVerdict { seq: entry.seq, command, judged };
                stream::send(send, &UplinkDown::Verdicts(vec![verdict])).await
            }
            None => Ok(()),
        }
    }

    /// Hands what waits to the proposer.
    fn propose(&mut self) {
        while self.proposals.len() < PROPOSALS_MAX {
            let count = self.waiting.len().min(BATCH_ENTRIES_MAX);
            let entries: Vec<JournalEntry> = self.waiting.drain(..count).collect();
            let Some(last) = entries.last() else { return };
            let next = last.seq.saturating_add(1);
            let batch = Batch { edge: self.edge.clone(), mark: self.mark, entries };
            let proposal = self.member.proposer.submit_batch(batch);
            self.proposals.push_back(Box::pin(async move { (next, proposal.await) }));
        }
    }

    async fn settle(
        &mut self,
        (next, outcome): Proposed,
        send: &mut SendStream,
    ) -> Result<(), StreamError> {
        let applied = match &outcome {
            Ok(CommandReply::Batch { applied, .. }) => Some(*applied),
            Ok(CommandReply::Direct(_) | CommandReply::Unknown) | Err(_) => None,
        };
        if applied.is_some_and(|applied| applied.seq.saturating_add(1) >= next) {
            return Ok(());
        }
        if matches!(outcome, Err(ProposeError::Unavailable)) {
            stream::send(send, &UplinkDown::NotReady).await?;
        }
        // Unknown, or not applied: the edge sends again from what is known to be applied. What else is
        // with the proposer comes behind a gap, or is a copy of what will be sent.
        let known = applied.or_else(|| self.state_tail());
        self.proposals.clear();
        self.waiting.clear();
        self.due = known.map_or(1, |tail| tail.seq.saturating_add(1));
        let again = self.receiver.rewind(self.due);
        stream::send(send, &again).await
    }

    fn state_tail(&self) -> Option<Tail> {
        self.member
            .state
            .read(|market| market.edge(&self.edge).map(fairground_market::EdgeState::applied))
    }

    /// Sends the verdicts that entries applied here have brought since.
    async fn send_verdicts(&mut self, send: &mut SendStream) -> Result<(), StreamError> {
        loop {
            let entries = match self.member.state.since(self.position, VERDICTS_AT_ONCE) {
                Since::Entries(entries) => entries,
                Since::TooOld => {
                    // Verdicts were missed; the edge asks for them by sending again.
                    self.position = self.member.state.position().index;
                    continue;
                }
            };
            let Some(last) = entries.last() else { return Ok(()) };
            self.position = last.index;
            let mine = entries
                .iter()
                .flat_map(|entry| &entry.judged)
                .filter(|judged| judged.edge == self.edge);
            let verdicts: Vec<SeqVerdict> = mine
                .map(|judged| SeqVerdict {
                    seq: judged.seq,
                    command: judged.command,
                    judged: judged.judged.clone(),
                })
                .collect();
            if verdicts.is_empty() {
                continue;
            }
            for part in verdicts.chunks(VERDICTS_AT_ONCE) {
                stream::send(send, &UplinkDown::Verdicts(part.to_vec())).await?;
            }
            self.send_applied(send).await?;
        }
    }

    async fn send_applied(&mut self, send: &mut SendStream) -> Result<(), StreamError> {
        let Some(tail) = self.state_tail() else { return Ok(()) };
        if self.told == Some(tail) {
            return Ok(());
        }
        self.told = Some(tail);
        stream::send(send, &UplinkDown::Applied { tail }).await
    }
}
