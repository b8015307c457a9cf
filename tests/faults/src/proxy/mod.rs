//! A UDP proxy in front of one address, which delays, loses, doubles and reorders by a seed.
//!
//! ```text
//!   source A --+                    +-- socket of A --+
//!   source B --+--> [listen] rules -+-- socket of B --+--> target
//!                      ^  queue by due time (bounded)  |
//!                      +-------------------------------+  answers come back the same way
//! ```
//! Members and edges reach a member at the address that it advertises (`cluster_advertise`), so a
//! proxy is put between them by configuration alone. A member dials from the port that it listens
//! on, so a proxy knows which member a packet is from. It must not know QUIC. Read next: [`link`]
//! for what happens to a packet, [`schedule`] for when.

pub mod link;
pub mod schedule;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use fairground_kit::chance::Chance;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};

use self::link::{Link, Pair, Sequence};

/// Sources at a time; the one that was silent for longest goes first.
const FLOWS_MAX: usize = 64;
/// Packets on their way at a time; more are lost, as on a real line.
const QUEUE_MAX: usize = 8_192;
const PACKET_MAX: usize = 65_536;

/// What a proxy did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came.
    pub came: u64,
    /// Packets that were sent on, copies among them.
    pub sent: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost by a cut.
    pub cut: u64,
    /// Sent twice.
    pub doubled: u64,
    /// Held back so that later ones overtake.
    pub reordered: u64,
    /// Lost because the queue was full.
    pub overflowed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    came: AtomicU64,
    sent: AtomicU64,
    lost: AtomicU64,
    cut: AtomicU64,
    doubled: AtomicU64,
    reordered: AtomicU64,
    overflowed: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What holds for whom.
#[derive(Debug, Default)]
struct Rules {
    everybody: Pair,
    /// Instead of it, for packets from and to one source.
    by_source: BTreeMap<SocketAddr, Pair>,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Rules>,
    counters: Counters,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pair(&self, source: &SocketAddr) -> Pair {
        let rules = self.lock();
        rules.by_source.get(source).copied().unwrap_or(rules.everybody)
    }
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts one in front of `target`, on a port of its own.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let listen = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.context("bind a proxy")?;
        let address = listen.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (queue, packets) = mpsc::channel(QUEUE_MAX);
        let mut tasks = JoinSet::new();
        let listen = Arc::new(listen);
        tasks.spawn(deliver(packets, Arc::clone(&shared)));
        let front = Front { target, seed, listen, queue, shared: Arc::clone(&shared), flows: 0 };
        tasks.spawn(front.run());
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what holds for everybody.
    pub fn set(&self, pair: Pair) {
        self.shared.lock().everybody = pair;
    }

    /// Sets what holds for one source alone; `None` for what holds for everybody.
    pub fn set_for(&self, source: SocketAddr, pair: Option<Pair>) {
        let mut rules = self.shared.lock();
        match pair {
            Some(pair) => rules.by_source.insert(source, pair),
            None => rules.by_source.remove(&source),
        };
    }

    /// Lets everything pass.
    pub fn heal(&self) {
        *self.shared.lock() = Rules::default();
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Counters { came, sent, lost, cut, doubled, reordered, overflowed } =
            &self.shared.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            came: get(came),
            sent: get(sent),
            lost: get(lost),
            cut: get(cut),
            doubled: get(doubled),
            reordered: get(reordered),
            overflowed: get(overflowed),
        }
    }
}

/// Where a packet goes.
#[derive(Clone, Debug)]
enum Exit {
    /// To the target, from the socket of its source.
    Toward(Arc<UdpSocket>),
    /// Back to its source.
    Back(Arc<UdpSocket>, SocketAddr),
}

#[derive(Debug)]
struct Packet {
    due: Instant,
    exit: Exit,
    bytes: Arc<[u8]>,
}

/// One way of one source.
struct Lane {
    chance: Chance,
    sequence: Sequence,
    queue: mpsc::Sender<Packet>,
    shared: Arc<Shared>,
}

impl Lane {
    /// Lets a packet suffer what the link does to it.
    fn pass(&mut self, link: &Link, bytes: &[u8], exit: &Exit) {
        let Counters { came, lost, cut, doubled, reordered, overflowed, .. } =
            &self.shared.counters;
        count(came);
        let fate = link.fate(&mut self.chance);
        if link.is_cut {
            return count(cut);
        }
        if fate.is_lost {
            return count(lost);
        }
        if fate.is_held_back {
            count(reordered);
        }
        let bytes: Arc<[u8]> = Arc::from(bytes);
        let due = self.sequence.due(Instant::now(), &fate);
        let copies = if fate.is_doubled { 2 } else { 1 };
        if copies == 2 {
            count(doubled);
        }
        for _ in 0..copies {
            let packet = Packet { due, exit: exit.clone(), bytes: Arc::clone(&bytes) };
            if self.queue.try_send(packet).is_err() {
                count(overflowed);
            }
        }
    }
}

/// Takes packets of all sources.
struct Front {
    target: SocketAddr,
    seed: u64,
    listen: Arc<UdpSocket>,
    queue: mpsc::Sender<Packet>,
    shared: Arc<Shared>,
    /// Sources so far.
    flows: u64,
}

struct Flow {
    lane: Lane,
    socket: Arc<UdpSocket>,
    heard: Instant,
    // Ends the way back with the flow.
    _back: JoinSet<()>,
}

impl Front {
    async fn run(mut self) {
        let mut flows: BTreeMap<SocketAddr, Flow> = BTreeMap::new();
        let mut buffer = vec![0_u8; PACKET_MAX];
        loop {
            // A source whose port is closed shows as an error of the next call; it is not ours.
            let Ok((length, source)) = self.listen.recv_from(&mut buffer).await else { continue };
            let bytes = buffer.get(..length).unwrap_or_default();
            if !flows.contains_key(&source) {
                let Ok(flow) = self.open(source).await else { continue };
                make_room(&mut flows);
                flows.insert(source, flow);
            }
            let Some(flow) = flows.get_mut(&source) else { continue };
            flow.heard = Instant::now();
            let link = self.shared.pair(&source).toward;
            let exit = Exit::Toward(Arc::clone(&flow.socket));
            flow.lane.pass(&link, bytes, &exit);
        }
    }

    async fn open(&mut self, source: SocketAddr) -> std::io::Result<Flow> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(self.target).await?;
        let socket = Arc::new(socket);
        self.flows = self.flows.wrapping_add(1);
        let lane = |way: u64| Lane {
            chance: Chance::of_part(self.seed, self.flows.wrapping_mul(2).wrapping_add(way)),
            sequence: Sequence::default(),
            queue: self.queue.clone(),
            shared: Arc::clone(&self.shared),
        };
        let mut back = JoinSet::new();
        let exit = Exit::Back(Arc::clone(&self.listen), source);
        back.spawn(answers(Arc::clone(&socket), lane(1), exit, source));
        Ok(Flow { lane: lane(0), socket, heard: Instant::now(), _back: back })
    }
}

fn make_room(flows: &mut BTreeMap<SocketAddr, Flow>) {
    while flows.len() >= FLOWS_MAX {
        let oldest = flows.iter().min_by_key(|(_, flow)| flow.heard).map(|(source, _)| *source);
        match oldest {
            Some(oldest) => flows.remove(&oldest),
            None => return,
        };
    }
}

/// The way back of one source.
async fn answers(socket: Arc<UdpSocket>, mut lane: Lane, exit: Exit, source: SocketAddr) {
    let mut buffer = vec![0_u8; PACKET_MAX];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => {
                let link = lane.shared.pair(&source).back;
                lane.pass(&link, buffer.get(..length).unwrap_or_default(), &exit);
            }
            // Nobody listens at the target now; a moment later somebody may.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// A packet by its due time, then by when it came.
struct Waiting(Instant, u64, Packet);

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Sends packets when they are due.
async fn deliver(mut packets: mpsc::Receiver<Packet>, shared: Arc<Shared>) {
    let mut waiting: BinaryHeap<Reverse<Waiting>> = BinaryHeap::new();
    let mut number = 0_u64;
    loop {
        let next = waiting.peek().map(|Reverse(first)| first.0);
        let came = match next {
            None => packets.recv().await,
            Some(due) if due <= Instant::now() => {
                if let Some(Reverse(Waiting(_, _, packet))) = waiting.pop() {
                    count(&shared.counters.sent);
                    send(&packet).await;
                }
                continue;
            }
            Some(due) => tokio::select! {
                biased;
                packet = packets.recv() => packet,
                () = sleep_until(due) => continue,
            },
        };
        let Some(packet) = came else { return };
        if waiting.len() >= QUEUE_MAX {
            count(&shared.counters.overflowed);
            continue;
        }
        number = number.wrapping_add(1);
        waiting.push(Reverse(Waiting(packet.due, number, packet)));
    }
}

/// A packet that cannot be sent is lost, which is what a packet may be.
async fn send(packet: &Packet) {
    let _ = match &packet.exit {
        Exit::Toward(socket) => socket.send(&packet.bytes).await,
        Exit::Back(socket, source) => socket.send_to(&packet.bytes, source).await,
    };
}
