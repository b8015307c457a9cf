//! The journal on its way to the cluster, and the verdicts on their way back.
//!
//! ```text
//!   Journal --tail--> session --Batch--> member          one ordered stream, to the leader if it
//!      ^                 |                  |            can be reached, moved when it changes
//!      +---- store <-----+<--- Verdicts ----+
//! ```
//! Nothing is lost when a stream breaks: the next one starts from what `Welcome` says is applied,
//! and entries that are applied but have no verdict here are sent once more as copies. It must not
//! judge anything. Read next: `fairground_wire::session::uplink`, `intake/mod.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fairground_seam::link::{RecvStream, SendStream};
use fairground_seam::watch;
use fairground_storage::StorageError;
use fairground_types::command::{Actor, ClusterCommand, Command, Envelope, GovernCommand};
use fairground_types::journal::{Batch, JournalEntry, Tail};
use fairground_types::limits::BATCH_ENTRIES_MAX;
use fairground_types::{Code, CommandId, Millis, Verdict};
use fairground_wire::message::{
    ForwardRequest, ForwardResponse, SeqVerdict, StreamKind, UplinkDown, UplinkUp,
};
use fairground_wire::session::uplink::{UplinkError, UplinkEvent, UplinkLimits, UplinkSender};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::edge::Edge;
use crate::link::{LinkError, Live, chain, stream};
use crate::metrics;

/// Messages of the member that wait to be looked at.
const INBOX: usize = 256;
/// Lots of verdicts that wait to be stored.
const STORE_QUEUE: usize = 64;
const REACH_WAIT: Duration = Duration::from_secs(5);
/// Pause before the rules are reported again.
const RULES_PAUSE: Duration = Duration::from_secs(2);
/// How long a member may take no message, or say nothing to what it was sent.
const SILENCE_MAX: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(150);
/// How often entries without a verdict are sent once more.
const COPY_PERIOD: Duration = Duration::from_secs(4);
/// Entries sent once more at a time.
const COPIES_MAX: usize = 8 * BATCH_ENTRIES_MAX;
/// How often the edge looks whether closes wait for it.
const ADMIT_PERIOD: Duration = Duration::from_millis(500);
/// Pause after the cluster refused to admit this edge.
const ADMIT_REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// How often a stopping edge looks whether its last entries are on disk.
const SETTLE_PERIOD: Duration = Duration::from_millis(10);
const TRIM_PERIOD: Duration = Duration::from_secs(3_600);
/// How long judged entries are kept for retries of their clients.
const JUDGED_MEMORY: Millis = Millis::from_hours(90 * 24);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("reach a member")]
    Link(#[from] LinkError),
    #[error("speak to a member")]
    Stream(#[from] stream::StreamError),
    #[error("follow the protocol")]
    Protocol(#[from] UplinkError),
    #[error("use the journal")]
    Journal(#[from] StorageError),
    #[error("be served: {code} {detail}")]
    Refused { code: Code, detail: String },
    #[error("be served: the member has no leader")]
    NotReady,
    #[error("go on: the member ended the stream")]
    Ended,
    #[error("go on: another member leads")]
    Moved,
    #[error("hear from the member in time")]
    Silent,
    #[error("go on: entries that cannot be read were passed over")]
    PassedOver,
}

/// What others may know of the uplink.
pub(crate) struct UplinkState {
    /// Up to this sequence the state has applied the journal; `None` while no stream is open.
    pub(crate) applied: watch::Sender<Option<u64>>,
}

impl UplinkState {
    pub(crate) fn new() -> Self {
        Self { applied: watch::Sender::new(None) }
    }
}

/// Keeps the uplink until shutdown.
pub(crate) async fn run(edge: Arc<Edge>) {
    let (store, verdicts) = mpsc::channel(STORE_QUEUE);
    edge.tasks.spawn("verdict store", store_verdicts(Arc::clone(&edge), verdicts));
    loop {
        let live = tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            live = edge.links.any(REACH_WAIT) => live,
        };
        if let Some(live) = live {
            let ended = tokio::select! {
                biased;
                () = edge.shutdown.wait() => return,
                ended = Session::serve(&edge, &live, &store) => ended,
            };
            edge.uplink.applied.send_replace(None);
            match ended {
                Err(SessionError::Refused { code, detail }) => {
                    tracing::warn!(member = %live.member, %code, %detail, "uplink refused");
                    if code == Code::PreconditionFailed {
                        needs_new_identity(&edge);
                    }
                }
                Err(error) => {
                    tracing::debug!(member = %live.member, error = %chain(&error), "uplink ended");
                }
                Ok(()) => {}
            }
        }
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn needs_new_identity(edge: &Edge) {
    if !edge.intake.needs_new_identity.swap(true, Ordering::AcqRel) {
        tracing::error!(
            edge = %edge.id,
            "the cluster knows another journal under this name: no bids are taken here until this \
             edge joins again with an empty data folder"
        );
    }
}

async fn store_verdicts(edge: Arc<Edge>, mut verdicts: mpsc::Receiver<Vec<SeqVerdict>>) {
    loop {
        let next = tokio::select! {
            biased;
            next = verdicts.recv() => next,
            () = edge.shutdown.wait() => return,
        };
        let Some(lot) = next else { return };
        if let Err(error) = edge.intake.judge(lot).await {
            tracing::error!(error = %chain(&error), "verdicts not stored");
        }
    }
}

struct Session<'a> {
    edge: &'a Arc<Edge>,
    sender: UplinkSender,
    stream: SendStream,
    store: &'a mpsc::Sender<Vec<SeqVerdict>>,
    /// Up to here the state has applied the journal.
    applied: Tail,
    /// The state said that closes wait for this edge.
    was_admitted: bool,
    /// When the member spoke last, or was last owed no answer.
    heard_at: Instant,
}

impl<'a> Session<'a> {
    async fn serve(
        edge: &'a Arc<Edge>,
        live: &Live,
        store: &'a mpsc::Sender<Vec<SeqVerdict>>,
    ) -> Result<(), SessionError> {
        let (stream, receive) = live.open(StreamKind::Uplink).await?;
        let standing = edge.intake.journal.standing();
        let sender = UplinkSender::new(edge.id.clone(), standing.tail, UplinkLimits::default());
        let (inbox, messages) = mpsc::channel(INBOX);
        edge.tasks.spawn_one("uplink reader", read_messages(receive, inbox));
        let mut session = Self {
            edge,
            sender,
            stream,
            store,
            applied: Tail::START,
            was_admitted: false,
            heard_at: Instant::now(),
        };
        let hello = session.sender.hello(standing.open_from);
        session.send(&hello).await?;
        session.run(live, messages).await
    }

    /// Sends a message; a member that takes none for so long is stuck.
    async fn send(&mut self, message: &UplinkUp) -> Result<(), SessionError> {
        let sent = stream::send(&mut self.stream, message);
        let sent = tokio::time::timeout(SILENCE_MAX, sent).await;
        Ok(sent.map_err(|_| SessionError::Silent)??)
    }

    async fn run(
        &mut self,
        live: &Live,
        mut messages: mpsc::Receiver<UplinkDown>,
    ) -> Result<(), SessionError> {
        let mut tail = self.edge.intake.journal.watch_tail();
        let mut position = self.edge.view.position();
        let mut leader = self.edge.links.leader();
        let mut copies = tokio::time::interval_at(Instant::now() + COPY_PERIOD, COPY_PERIOD);
        copies.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let known = *tail.borrow_and_update();
            self.sender.synced(known);
            let is_admitted = self.is_admitted();
            if is_admitted {
                self.send_batches().await?;
            }
            if self.sender.is_idle() {
                self.heard_at = Instant::now();
            }
            tokio::select! {
                biased;
                message = messages.recv() => {
                    let message = message.ok_or(SessionError::Ended)?;
                    self.heard_at = Instant::now();
                    self.take(message).await?;
                }
                _ = tail.changed() => {}
                _ = position.changed(), if !is_admitted => {}
                _ = leader.changed() => {
                    if self.should_move(live) {
                        return Err(SessionError::Moved);
                    }
                }
                _ = copies.tick() => self.send_copies(COPIES_MAX).await?,
                () = tokio::time::sleep_until(self.heard_at + SILENCE_MAX) => {
                    return Err(SessionError::Silent);
                }
            }
        }
    }

    /// Whether the leader is another member that can be reached.
    fn should_move(&self, live: &Live) -> bool {
        let leader = *self.edge.links.leader().borrow();
        let best = self.edge.links.candidates().into_iter().next();
        leader.is_some_and(|leader| leader != live.member)
            && best.is_some_and(|best| Some(best.member) == leader)
    }

    fn is_admitted(&self) -> bool {
        self.was_admitted
            || self
                .edge
                .view
                .read(|view| view.edge(&self.edge.id).is_some_and(|row| row.admitted_at.is_some()))
    }

    async fn take(&mut self, message: UplinkDown) -> Result<(), SessionError> {
        match self.sender.receive(message)? {
            UplinkEvent::Open { applied, in_intake } => {
                self.was_admitted = in_intake;
                self.check_journal(applied)?;
                self.note_applied(applied);
                self.send_copies(COPIES_MAX).await
            }
            UplinkEvent::Judged(verdicts) => {
                self.edge.intake.wake_judged(&verdicts);
                // The task that stores them ends only with the daemon.
                self.store.send(verdicts).await.map_err(|_| SessionError::Ended)
            }
            UplinkEvent::Applied(tail) => {
                self.note_applied(tail);
                Ok(())
            }
            UplinkEvent::Rewound(seq) => {
                // An edge that closes do not wait for is rewound for ever: look again.
                self.was_admitted = false;
                tracing::debug!(seq, "uplink rewound");
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
            UplinkEvent::Refused { code, detail } => Err(SessionError::Refused { code, detail }),
            UplinkEvent::NotReady => Err(SessionError::NotReady),
        }
    }

    fn note_applied(&mut self, tail: Tail) {
        self.applied = tail;
        self.edge.uplink.applied.send_replace(Some(tail.seq));
    }

    /// Compares the journal with what the state knows of it.
    fn check_journal(&self, applied: Tail) -> Result<(), SessionError> {
        let journal = &self.edge.intake.journal;
        let is_ours = applied.seq <= journal.tail().seq
            && journal.hash_at(applied.seq)?.is_none_or(|hash| hash == applied.hash);
        if is_ours {
            self.edge.intake.is_checked.store(true, Ordering::Release);
            return Ok(());
        }
        needs_new_identity(self.edge);
        let detail = "the journal is not the one that the cluster knows".to_owned();
        Err(SessionError::Refused { code: Code::PreconditionFailed, detail })
    }

    async fn send_batches(&mut self) -> Result<(), SessionError> {
        while let Some(wanted) = self.sender.wants() {
            let entries = match self.read(wanted.from, wanted.count).await {
                Ok(entries) => entries,
                Err(error) if error.is_damage() => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            if entries.first().is_none_or(|first| first.seq != wanted.from) {
                return self.pass_over(wanted.from).await;
            }
            let Some(message) = self.sender.batch(entries, None)? else { return Ok(()) };
            self.send(&message).await?;
        }
        Ok(())
    }

    /// Tells the cluster that the journal cannot be read from `seq` on, once everything before is
    /// applied, and goes on behind it.
    async fn pass_over(&self, seq: u64) -> Result<(), SessionError> {
        if self.applied.seq.checked_add(1) != Some(seq) {
            return Ok(());
        }
        let journal = Arc::clone(&self.edge.intake.journal);
        let lost = fairground_seam::blocking(move || journal.lost_from(seq)).await;
        let Some(lost) = lost.unwrap_or(Err(StorageError::Closed))? else { return Ok(()) };
        let (first, last) = (lost.first, lost.last);
        tracing::error!(
            first,
            last = last.seq,
            "journal entries are lost: their bids get no verdict"
        );
        let edge = self.edge.id.clone();
        let command = Command::Cluster(ClusterCommand::ReportMissing { edge, first, last });
        match self.edge.links.forward(&own_command(self.edge, "missing", command)).await {
            Ok(ForwardResponse::Judged(judged)) if judged.verdict.is_accepted() => {
                metrics::entries_lost(last.seq.saturating_sub(first).saturating_add(1));
                self.edge.intake.journal.give_up(lost).await?;
                Err(SessionError::PassedOver)
            }
            Ok(_) | Err(_) => Err(SessionError::NotReady),
        }
    }

    /// Sends entries once more that are applied but have no verdict here: its answer was lost, or
    /// the log still holds the bid.
    async fn send_copies(&mut self, max: usize) -> Result<(), SessionError> {
        let mut from = self.edge.intake.journal.standing().open_from;
        let mut left = max;
        while from <= self.applied.seq && left > 0 {
            let mut entries = match self.read(from, BATCH_ENTRIES_MAX).await {
                Ok(entries) => entries,
                // What is damaged is applied already or passed over in its turn.
                Err(error) if error.is_damage() => {
                    from = from.saturating_add(1);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            entries.retain(|entry| entry.seq <= self.applied.seq);
            let Some(last) = entries.last() else { return Ok(()) };
            from = last.seq.saturating_add(1);
            entries.retain(|entry| self.edge.intake.journal.is_open(entry.seq));
            left = left.saturating_sub(entries.len());
            for run in runs(entries) {
                let batch = Batch { edge: self.edge.id.clone(), mark: None, entries: run };
                self.send(&UplinkUp::Batch(batch)).await?;
            }
        }
        Ok(())
    }

    async fn read(&self, from: u64, count: usize) -> Result<Vec<JournalEntry>, StorageError> {
        let journal = Arc::clone(&self.edge.intake.journal);
        let read = fairground_seam::blocking(move || journal.entries_from(from, count));
        read.await.unwrap_or(Err(StorageError::Closed))
    }
}

/// Cuts entries where a sequence is missing: a batch has none.
fn runs(entries: Vec<JournalEntry>) -> Vec<Vec<JournalEntry>> {
    let mut runs: Vec<Vec<JournalEntry>> = Vec::new();
    for entry in entries {
        let follows = runs
            .last()
            .and_then(|run| run.last())
            .is_some_and(|last| last.seq.checked_add(1) == Some(entry.seq));
        match runs.last_mut() {
            Some(run) if follows => run.push(entry),
            Some(_) | None => runs.push(vec![entry]),
        }
    }
    runs
}

async fn read_messages(mut receive: RecvStream, inbox: mpsc::Sender<UplinkDown>) {
    loop {
        let message = tokio::select! {
            biased;
            () = inbox.closed() => return,
            message = stream::receive::<UplinkDown>(&mut receive) => message,
        };
        match message {
            Ok(Some(message)) => {
                if inbox.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "uplink not read");
                return;
            }
        }
    }
}

/// Sees to it that closes wait for this edge while it takes bids, and trims its journal: a
/// reconciler, woken by time.
pub(crate) async fn stay_admitted(edge: Arc<Edge>) {
    let mut next_trim = Instant::now() + TRIM_PERIOD;
    let mut pause = ADMIT_PERIOD;
    loop {
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = ADMIT_PERIOD;
        if Instant::now() >= next_trim {
            next_trim = Instant::now() + TRIM_PERIOD;
            trim(&edge).await;
        }
        if wants_admission(&edge) && !admit(&edge).await {
            pause = ADMIT_REFUSED_PAUSE;
        }
    }
}

fn wants_admission(edge: &Edge) -> bool {
    let is_able = edge.options.takes_bids
        && edge.intake.is_checked.load(Ordering::Acquire)
        && !edge.intake.is_draining.load(Ordering::Acquire)
        && !edge.intake.needs_new_identity.load(Ordering::Acquire)
        && edge.view.is_fresh(edge.time.monotonic());
    // The mark of an admission lies above every stamp so far: none may be on its way to the disk.
    is_able
        && edge.intake.is_settled()
        && edge.view.read(|view| view.edge(&edge.id).is_some_and(|row| row.admitted_at.is_none()))
}

/// A command of this edge itself; each call is an intent of its own.
pub(crate) fn own_command(edge: &Edge, operation: &str, command: Command) -> ForwardRequest {
    let nonce = u128::from_be_bytes(fairground_runtime::ids::random_bytes());
    let id = CommandId::derive_system(operation, &edge.id.to_string(), &nonce.to_string());
    ForwardRequest::Command(Box::new(Envelope { id, actor: Actor::Edge(edge.id.clone()), command }))
}

/// Says which rules this edge knows, once after each start: newer ones wait for everybody.
pub(crate) async fn report_rules(edge: Arc<Edge>) {
    let known = fairground_market::RULES_VERSION;
    loop {
        let report = GovernCommand::ReportRules { member: None, known };
        let request = own_command(&edge, "rules", Command::Govern(report));
        if let Ok(ForwardResponse::Judged(judged)) = edge.links.forward(&request).await
            && judged.verdict.is_accepted()
        {
            return;
        }
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(RULES_PAUSE) => {}
        }
    }
}

async fn admit(edge: &Arc<Edge>) -> bool {
    let tail = edge.intake.journal.tail();
    let command = Command::Cluster(ClusterCommand::AdmitEdge { edge: edge.id.clone(), tail });
    let answer = edge.links.forward(&own_command(edge, "admit", command)).await;
    match answer {
        Ok(ForwardResponse::Judged(judged)) => {
            let Verdict::Rejected(rejection) = &judged.verdict else {
                tracing::info!(log_index = %judged.index, "admitted to the intake");
                wait_for_index(edge, judged.index).await;
                return true;
            };
            tracing::warn!(code = %rejection.code, detail = %rejection.detail, "not admitted");
            false
        }
        Ok(ForwardResponse::Rejected(rejection)) => {
            tracing::warn!(code = %rejection.code, detail = %rejection.detail, "not admitted");
            false
        }
        Ok(_) => false,
        // Unknown: the view will tell.
        Err(_) => true,
    }
}

/// Waits a little for the view to reach an entry, so that its effect is seen.
async fn wait_for_index(edge: &Edge, index: fairground_types::LogIndex) {
    let mut position = edge.view.position();
    let reached = position.wait_for(|now| *now >= index);
    let waited = tokio::time::timeout(Duration::from_secs(2), reached).await;
    if waited.is_err() {
        tracing::debug!(log_index = %index, "the view is behind");
    }
}

async fn trim(edge: &Edge) {
    let judged_upto = edge.intake.journal.standing().open_from.saturating_sub(1);
    let before = edge.time.now().minus(JUDGED_MEMORY);
    match edge.intake.journal.trim(judged_upto, before).await {
        Ok(0) => {}
        Ok(entries) => tracing::info!(entries, "journal trimmed"),
        Err(error) => tracing::warn!(error = %chain(&error), "journal not trimmed"),
    }
}

/// Before the end: no more bids, the rest is sent and judged, the seal is set. Bounded.
pub(crate) async fn drain(edge: &Arc<Edge>, wait: Duration) {
    edge.intake.drain();
    let is_admitted =
        edge.view.read(|view| view.edge(&edge.id).is_some_and(|row| row.admitted_at.is_some()));
    if !is_admitted {
        return;
    }
    let drained = async {
        // Who came in before the door was shut gets a receipt yet: the seal must lie behind it.
        while !edge.intake.is_settled() {
            tokio::time::sleep(SETTLE_PERIOD).await;
        }
        let tail = edge.intake.journal.tail();
        let mut applied = edge.uplink.applied.subscribe();
        if applied.wait_for(|applied| applied.is_some_and(|seq| seq >= tail.seq)).await.is_err() {
            return;
        }
        let command = Command::Cluster(ClusterCommand::SealEdge { edge: edge.id.clone(), tail });
        match edge.links.forward(&own_command(edge, "seal", command)).await {
            Ok(ForwardResponse::Judged(judged)) if judged.verdict.is_accepted() => {
                tracing::info!(seq = tail.seq, "journal drained and sealed");
            }
            Ok(_) => tracing::warn!("journal not sealed: the cluster refused"),
            Err(error) => tracing::warn!(%error, "journal not sealed"),
        }
    };
    if tokio::time::timeout(wait, drained).await.is_err() {
        tracing::warn!("journal not drained in time; it is sent after the next start");
    }
}
