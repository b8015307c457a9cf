//! Wires in memory: connections of ordered streams between simulated processes, with the troubles
//! of a network.
//!
//! ```text
//!  dial --round trip--> connection --+-- stream: parts, each due at its own time, in order
//!                                    +-- stream: its own times, so streams overtake each other
//!  way a -> b   latency, jitter, loss (a part comes later, as resent ones do), cut, frozen
//!  cut for longer than the idle time, process dead, closed by one end -> the connection is lost
//! ```
//! A reader asks what is due; nothing here runs by itself. Every byte that is read goes into a trace,
//! with its time. It must not know what the bytes mean.

mod stream;
mod trouble;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use quinn::{ApplicationClose, ConnectionError, VarInt};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::sim::Chance;
use stream::Pipe;
pub use stream::{RecvStream, SendStream};

/// Bytes on the way in one stream; more wait at the sender.
const WINDOW: usize = 2 * 1024 * 1024;
/// How long a connection outlives silence.
const IDLE: Duration = Duration::from_secs(4);
/// Connections that wait to be accepted.
const ACCEPT_QUEUE: usize = 256;
/// How much later a lost part comes, at least.
const RESEND: Duration = Duration::from_millis(40);

/// A simulated process, as the network knows it.
pub type Process = usize;

type Peer = Arc<dyn Any + Send + Sync>;

/// The network of one world. Clones are the same.
#[derive(Clone)]
pub struct Net(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    chance: Chance,
    trace: u64,
    bytes: u64,
    next: usize,
    processes: Vec<Known>,
    addresses: BTreeMap<String, Process>,
    ways: BTreeMap<(Process, Process), Way>,
    connections: BTreeMap<usize, Weak<Core>>,
}

struct Known {
    peer: Peer,
    accept: Option<mpsc::Sender<Connection>>,
    frozen_until: Option<Instant>,
    /// Counts its deaths: what an earlier life left behind dials nobody.
    life: u64,
}

/// How the way from one process to another is.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Least time that a part takes.
    pub latency: Duration,
    /// How much more it may take.
    pub jitter: Duration,
    /// Parts in a thousand that are lost and sent again.
    pub loss_permille: u64,
    cut_since: Option<Instant>,
    healed_at: Option<Instant>,
    /// Kinds of stream (their first byte) that do not pass, as bits.
    held: u16,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            loss_permille: 0,
            cut_since: None,
            healed_at: None,
            held: 0,
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Net {
    /// A network without processes.
    #[must_use]
    pub fn new(chance: Chance) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                chance,
                trace: 0,
                bytes: 0,
                next: 1,
                processes: Vec::new(),
                addresses: BTreeMap::new(),
                ways: BTreeMap::new(),
                connections: BTreeMap::new(),
            }),
            changed: Notify::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Adds a process; `peer` is what others are told that it is.
    pub fn add(&self, peer: Peer) -> Process {
        let mut state = self.state();
        state.processes.push(Known { peer, accept: None, frozen_until: None, life: 0 });
        state.processes.len().saturating_sub(1)
    }

    /// Says under which address a process is dialled.
    pub fn name(&self, address: &str, process: Process) {
        self.state().addresses.insert(address.to_owned(), process);
    }

    /// A process accepts connections from here on. Those of an earlier life are reset.
    pub fn listen(&self, process: Process) -> mpsc::Receiver<Connection> {
        let (sender, receiver) = mpsc::channel(ACCEPT_QUEUE);
        let cores = {
            let mut state = self.state();
            if let Some(known) = state.processes.get_mut(process) {
                known.accept = Some(sender);
            }
            state.cores()
        };
        for core in cores {
            core.reset_by_restart(process);
        }
        self.wake();
        receiver
    }

    /// A process dies: nothing of it is heard any more, and nobody is told.
    pub fn crash(&self, process: Process) {
        let cores = {
            let mut state = self.state();
            if let Some(known) = state.processes.get_mut(process) {
                known.accept = None;
                known.frozen_until = None;
                known.life = known.life.saturating_add(1);
            }
            state.cores()
        };
        for core in cores {
            core.crash(process);
        }
        self.wake();
    }

    /// A digest of everything that was read so far, and when.
    #[must_use]
    pub fn trace(&self) -> (u64, u64) {
        let state = self.state();
        (state.trace, state.bytes)
    }

    /// Where a process dials from.
    #[must_use]
    pub fn port(&self, process: Process) -> Port {
        let life = self.state().processes.get(process).map_or(0, |known| known.life);
        Port { net: self.clone(), process, life }
    }

    fn wake(&self) {
        self.0.changed.notify_waiters();
        let cores = self.state().cores();
        for core in cores {
            core.wake();
        }
    }
}

/// The bit of a kind of stream.
const fn bit(kind: u8) -> u16 {
    1_u16.unbounded_shl(kind as u32)
}

impl State {
    fn cores(&mut self) -> Vec<Arc<Core>> {
        self.connections.retain(|_, core| core.strong_count() > 0);
        self.connections.values().filter_map(Weak::upgrade).collect()
    }

    fn way(&self, from: Process, to: Process) -> Way {
        self.ways.get(&(from, to)).copied().unwrap_or_default()
    }

    /// How long a part takes that is sent now.
    fn travel(&mut self, from: Process, to: Process) -> Duration {
        let way = self.way(from, to);
        let jitter = u64::try_from(way.jitter.as_micros()).unwrap_or(u64::MAX);
        let mut takes =
            way.latency.saturating_add(Duration::from_micros(self.chance.below(jitter)));
        let mut resend = RESEND;
        while self.chance.permille(way.loss_permille) && resend < Duration::from_secs(2) {
            takes = takes.saturating_add(resend);
            resend = resend.saturating_mul(2);
        }
        takes
    }

    /// When a part that is due at `due` comes, as the way is now; never while it is cut.
    fn comes(&self, from: Process, to: Process, due: Instant) -> Option<Instant> {
        let way = self.way(from, to);
        if way.cut_since.is_some() {
            return None;
        }
        let mut comes = due;
        if let Some(healed) = way.healed_at {
            // What was sent during a cut is sent again after it; what came before is not held up.
            if due > healed.checked_sub(IDLE).unwrap_or(healed) && due < healed {
                comes = comes.max(healed + way.latency);
            }
        }
        for process in [from, to] {
            if let Some(until) = self.processes.get(process).and_then(|known| known.frozen_until) {
                comes = comes.max(until);
            }
        }
        Some(comes)
    }

    fn note(&mut self, from: Process, to: Process, bytes: &[u8]) {
        let mut mixed = self.trace ^ u64::try_from(from << 8 | to).unwrap_or(0);
        let now = u64::try_from(crate::sim::elapsed().as_micros()).unwrap_or(u64::MAX);
        mixed = (mixed ^ now).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for part in bytes.chunks(8) {
            let mut word = [0_u8; 8];
            if let Some(place) = word.get_mut(..part.len()) {
                place.copy_from_slice(part);
            }
            mixed = (mixed ^ u64::from_le_bytes(word)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^= mixed >> 29;
        }
        self.trace = mixed;
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
    }
}

/// Where a process dials from.
#[derive(Clone, Debug)]
pub struct Port {
    net: Net,
    process: Process,
    life: u64,
}

impl Port {
    /// Connects to whoever listens at `address`; waits while nobody can be reached.
    ///
    /// # Errors
    /// When nobody is known by that address.
    pub async fn dial(&self, address: &str) -> Result<Connection, ConnectionError> {
        let me = self.process;
        let known = self.net.state().addresses.get(address).copied();
        let target = known.ok_or(ConnectionError::TimedOut)?;
        loop {
            let changed = self.net.0.changed.notified();
            let takes = {
                let mut state = self.net.state();
                let is_up = |process: Process, state: &State| {
                    let frozen = state.processes.get(process).and_then(|known| known.frozen_until);
                    frozen.is_none_or(|until| until <= Instant::now())
                };
                let reaches = state.way(me, target).cut_since.is_none()
                    && state.way(target, me).cut_since.is_none()
                    && state.processes.get(target).is_some_and(|known| known.accept.is_some())
                    && state.processes.get(me).is_some_and(|known| known.life == self.life)
                    && is_up(me, &state)
                    && is_up(target, &state);
                reaches.then(|| {
                    let there = state.travel(me, target);
                    there.saturating_add(state.travel(target, me))
                })
            };
            match takes {
                Some(takes) => {
                    tokio::time::sleep(takes).await;
                    if let Some(connection) = self.connect(target) {
                        return Ok(connection);
                    }
                }
                None => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = tokio::time::sleep(Duration::from_millis(200)) => {}
                    }
                }
            }
        }
    }

    fn connect(&self, target: Process) -> Option<Connection> {
        let me = self.process;
        let mut state = self.net.state();
        if state.processes.get(me)?.life != self.life {
            return None;
        }
        let is_cut =
            state.way(me, target).cut_since.or_else(|| state.way(target, me).cut_since).is_some();
        let accept = state.processes.get(target)?.accept.clone().filter(|_| !is_cut)?;
        let peers = [
            Arc::clone(&state.processes.get(me)?.peer),
            Arc::clone(&state.processes.get(target)?.peer),
        ];
        let id = state.next;
        state.next = id.saturating_add(1);
        let core = Arc::new(Core {
            id,
            net: self.net.clone(),
            processes: [me, target],
            peers,
            state: Mutex::default(),
            wake: [Notify::new(), Notify::new()],
        });
        state.connections.insert(id, Arc::downgrade(&core));
        drop(state);
        let [dialled, accepted] = [0, 1]
            .map(|side| Connection { side: Arc::new(Side { core: Arc::clone(&core), side }) });
        accept.try_send(accepted).ok()?;
        Some(dialled)
    }
}

/// Streams that one end has opened, both directions of each, and when the other end learns of it.
type Opened = VecDeque<(Instant, Arc<Pipe>, Arc<Pipe>)>;

/// What both ends of a connection share.
struct Core {
    id: usize,
    net: Net,
    processes: [Process; 2],
    peers: [Peer; 2],
    state: Mutex<CoreState>,
    /// Woken when something other than data changes for that side.
    wake: [Notify; 2],
}

#[derive(Default)]
struct CoreState {
    /// When and why each side learns that the connection is over.
    over: [Option<(Instant, ConnectionError)>; 2],
    /// Streams that the other side has opened and this one has not accepted.
    opened: [Opened; 2],
    dead: [bool; 2],
}

struct Side {
    core: Arc<Core>,
    side: usize,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.core.close(self.side, VarInt::from_u32(0), b"");
    }
}

fn at<T>(pair: &[T; 2], side: usize) -> &T {
    let [first, second] = pair;
    if side == 0 { first } else { second }
}

fn at_mut<T>(pair: &mut [T; 2], side: usize) -> &mut T {
    let [first, second] = pair;
    if side == 0 { first } else { second }
}

impl Core {
    fn process(&self, side: usize) -> Process {
        *at(&self.processes, side)
    }

    fn wake(&self) {
        for notify in &self.wake {
            notify.notify_waiters();
        }
    }

    /// One side learns of the end at an instant, unless it does before.
    fn ends(&self, side: usize, when: Instant, why: &ConnectionError) {
        let mut state = lock(&self.state);
        let over = at_mut(&mut state.over, side);
        if over.as_ref().is_none_or(|(known, _)| *known > when) {
            *over = Some((when, why.clone()));
        }
        drop(state);
        at(&self.wake, side).notify_waiters();
    }

    fn close(&self, side: usize, code: VarInt, reason: &[u8]) {
        let now = Instant::now();
        {
            let state = lock(&self.state);
            if *at(&state.dead, side) || at(&state.over, side).as_ref().is_some_and(|o| o.0 <= now)
            {
                return;
            }
        }
        self.ends(side, now, &ConnectionError::LocallyClosed);
        let other = 1 - side;
        let (from, to) = (self.process(side), self.process(other));
        let told = {
            let mut state = self.net.state();
            let travel = state.travel(from, to);
            state.comes(from, to, now + travel)
        };
        match told {
            Some(when) => {
                let reason = Bytes::copy_from_slice(reason);
                let close = ApplicationClose { error_code: code, reason };
                self.ends(other, when, &ConnectionError::ApplicationClosed(close));
            }
            None => self.ends(other, now + IDLE, &ConnectionError::TimedOut),
        }
    }

    fn crash(&self, process: Process) {
        let now = Instant::now();
        for side in [0, 1] {
            if self.process(side) == process {
                *at_mut(&mut lock(&self.state).dead, side) = true;
                self.ends(side, now, &ConnectionError::Reset);
                self.ends(1 - side, now + IDLE, &ConnectionError::TimedOut);
            }
        }
    }

    fn reset_by_restart(&self, process: Process) {
        for side in [0, 1] {
            let is_dead = *at(&lock(&self.state).dead, side);
            if self.process(side) == process && is_dead {
                let travel = self.net.state().travel(process, self.process(1 - side));
                let when = Instant::now() + travel.saturating_mul(2);
                self.ends(1 - side, when, &ConnectionError::Reset);
            }
        }
    }

    fn time_out(&self, one: Process, other: Process) {
        let is_between = self.processes == [one, other] || self.processes == [other, one];
        if is_between {
            let now = Instant::now();
            for side in [0, 1] {
                self.ends(side, now, &ConnectionError::TimedOut);
            }
        }
    }

    /// When this side will have heard nothing for too long, as things are.
    fn silence(&self, side: usize) -> Option<Instant> {
        let (me, other) = (self.process(side), self.process(1 - side));
        let cut = self.net.state().way(other, me).cut_since;
        cut.map(|since| since + IDLE)
    }

    /// Why the connection is over for this side, and when that may change by itself.
    fn fate(&self, side: usize) -> Result<Option<Instant>, ConnectionError> {
        let now = Instant::now();
        if let Some(when) = self.silence(side)
            && when <= now
        {
            self.ends(side, when, &ConnectionError::TimedOut);
            self.ends(1 - side, when + IDLE, &ConnectionError::TimedOut);
        }
        let over = at(&lock(&self.state).over, side).clone();
        match over {
            Some((when, why)) if when <= now => Err(why),
            Some((when, _)) => Ok(Some(self.silence(side).map_or(when, |cut| cut.min(when)))),
            None => Ok(self.silence(side)),
        }
    }
}

/// One end of a connection.
#[derive(Clone)]
pub struct Connection {
    side: Arc<Side>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.side.core.id)
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

impl Connection {
    pub(crate) fn peer(&self) -> Peer {
        Arc::clone(at(&self.side.core.peers, 1 - self.side.side))
    }

    /// The process at the other end.
    #[must_use]
    pub fn peer_process(&self) -> Process {
        self.side.core.process(1 - self.side.side)
    }

    pub(crate) fn stable_id(&self) -> usize {
        self.side.core.id.saturating_mul(2).saturating_add(self.side.side)
    }

    pub(crate) fn close(&self, code: VarInt, reason: &[u8]) {
        self.side.core.close(self.side.side, code, reason);
    }

    pub(crate) fn close_reason(&self) -> Option<ConnectionError> {
        self.side.core.fate(self.side.side).err()
    }

    pub(crate) async fn closed(&self) -> ConnectionError {
        let (core, side) = (&self.side.core, self.side.side);
        loop {
            let woken = at(&core.wake, side).notified();
            let next = match core.fate(side) {
                Ok(next) => next,
                Err(why) => return why,
            };
            tokio::select! {
                biased;
                () = woken => {}
                () = until(next) => {}
            }
        }
    }

    pub(crate) fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (core, side) = (&self.side.core, self.side.side);
        core.fate(side)?;
        let other = 1 - side;
        let there = Arc::new(Pipe::new(core, side));
        let back = Arc::new(Pipe::new(core, other));
        let due = {
            let travel = core.net.state().travel(core.process(side), core.process(other));
            Instant::now() + travel
        };
        let mut state = lock(&core.state);
        at_mut(&mut state.opened, other).push_back((due, Arc::clone(&back), Arc::clone(&there)));
        drop(state);
        at(&core.wake, other).notify_waiters();
        Ok((
            SendStream { pipe: there, side: Arc::clone(&self.side) },
            RecvStream { pipe: back, side: Arc::clone(&self.side), rest: Bytes::new() },
        ))
    }

    pub(crate) async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let (core, side) = (&self.side.core, self.side.side);
        loop {
            let woken = at(&core.wake, side).notified();
            let fate = core.fate(side);
            let (from, to) = (core.process(1 - side), core.process(side));
            let next = {
                let mut state = lock(&core.state);
                let opened = at_mut(&mut state.opened, side);
                let first = {
                    let net = core.net.state();
                    let comes = opened.iter().enumerate();
                    comes
                        .filter_map(|(place, row)| Some((net.comes(from, to, row.0)?, place)))
                        .min()
                };
                match first {
                    Some((when, place)) if when <= Instant::now() => {
                        if let Some((_, send, receive)) = opened.remove(place) {
                            return Ok((
                                SendStream { pipe: send, side: Arc::clone(&self.side) },
                                RecvStream {
                                    pipe: receive,
                                    side: Arc::clone(&self.side),
                                    rest: Bytes::new(),
                                },
                            ));
                        }
                        None
                    }
                    Some((when, _)) => Some(when),
                    None => None,
                }
            };
            let ends = fate?;
            let next = [next, ends].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = woken => {}
                () = until(next) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quinn::ReadExactError;

    use super::*;

    fn wires() -> (Net, Process, Process) {
        let net = Net::new(Chance::new(1));
        let one = net.add(Arc::new("one"));
        let two = net.add(Arc::new("two"));
        net.name("two", two);
        (net, one, two)
    }

    async fn connected() -> (Net, Process, Process, Connection, Connection) {
        let (net, one, two) = wires();
        let mut accept = net.listen(two);
        let port = net.port(one);
        let dialled = port.dial("two").await.expect("reached");
        let accepted = accept.recv().await.expect("accepted");
        (net, one, two, dialled, accepted)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_in_order_and_ends() {
        let (.., dialled, accepted) = connected().await;
        let (mut send, _) = dialled.open_bi().expect("open");
        send.write_all(b"he").await.expect("written");
        send.write_all(b"llo").await.expect("written");
        send.finish();
        let (_, mut receive) = accepted.accept_bi().await.expect("a stream");
        let mut bytes = [0; 5];
        receive.read_exact(&mut bytes).await.expect("there");
        assert_eq!(&bytes, b"hello");
        assert!(matches!(receive.read_chunk(10).await, Ok(None)));
        let end = receive.read_exact(&mut bytes).await;
        assert!(matches!(end, Err(ReadExactError::FinishedEarly(0))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_cut_delays_and_a_long_one_ends_the_connection() {
        let (net, one, two, dialled, accepted) = connected().await;
        let (mut send, _) = dialled.open_bi().expect("open");
        net.cut(one, two);
        send.write_all(b"x").await.expect("queued");
        tokio::time::sleep(IDLE / 2).await;
        net.heal(one, two);
        let (_, mut receive) = accepted.accept_bi().await.expect("a stream");
        let mut byte = [0];
        receive.read_exact(&mut byte).await.expect("came after the cut");
        net.cut(one, two);
        let began = Instant::now();
        assert!(matches!(accepted.closed().await, ConnectionError::TimedOut));
        assert!(began.elapsed() >= IDLE);
        assert!(matches!(dialled.closed().await, ConnectionError::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_process_is_found_out_by_silence_or_by_its_return() {
        let (net, _, two, dialled, _accepted) = connected().await;
        net.crash(two);
        assert!(dialled.close_reason().is_none(), "nobody is told");
        assert!(matches!(dialled.closed().await, ConnectionError::TimedOut));
        let (net, _, two, dialled, _accepted) = connected().await;
        net.crash(two);
        let _accept = net.listen(two);
        let began = Instant::now();
        assert!(matches!(dialled.closed().await, ConnectionError::Reset));
        assert!(began.elapsed() < IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_life_dials_nobody() {
        let (net, one, two) = wires();
        let _accept = net.listen(two);
        let port = net.port(one);
        net.crash(one);
        let dialled = tokio::time::timeout(Duration::from_secs(60), port.dial("two")).await;
        assert!(dialled.is_err());
        assert!(net.port(one).dial("two").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_peer_learns_of_a_close_and_of_the_last_handle() {
        let (.., dialled, accepted) = connected().await;
        dialled.close(VarInt::from_u32(7), b"why");
        let ConnectionError::ApplicationClosed(close) = accepted.closed().await else {
            panic!("closed by the peer");
        };
        assert_eq!(close.error_code, VarInt::from_u32(7));
        let (.., dialled, accepted) = connected().await;
        drop(dialled);
        assert!(matches!(accepted.closed().await, ConnectionError::ApplicationClosed(_)));
    }
}
