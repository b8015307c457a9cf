//! Packets over loopback through a proxy: each fault comes at the rate that was set.

use std::net::{Ipv4Addr, SocketAddr};

use fairground_kit::chance::Chance;
use tokio::net::UdpSocket;
use tokio::time::{Duration, Instant, timeout};

use super::Proxy;
use super::link::{HELD_BACK, Link, Pair, Sequence};

/// Packets of one measurement.
const PACKETS: u32 = 2_000;

struct Line {
    near: UdpSocket,
    far: UdpSocket,
    proxy: Proxy,
}

async fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port")
}

async fn line(pair: Pair) -> Line {
    let (near, far) = (socket().await, socket().await);
    let proxy = Proxy::start(far.local_addr().expect("bound"), 77).await.expect("starts");
    near.connect(proxy.address()).await.expect("connected");
    proxy.set(pair);
    Line { near, far, proxy }
}

async fn receive(socket: &UdpSocket, patience: Duration) -> Option<(u32, SocketAddr)> {
    let mut bytes = [0_u8; 64];
    let (length, from) = timeout(patience, socket.recv_from(&mut bytes)).await.ok()?.expect("open");
    let number = bytes[..length].try_into().map(u32::from_le_bytes).expect("a number");
    Some((number, from))
}

impl Line {
    /// Sends all packets, few at a time so that no socket overflows; answers what came, as it came.
    async fn send_all(&self) -> Vec<u32> {
        let mut came = Vec::new();
        for number in 0..PACKETS {
            self.near.send(&number.to_le_bytes()).await.expect("sent");
            if number % 20 == 19 {
                while let Some((number, _)) = receive(&self.far, Duration::from_millis(2)).await {
                    came.push(number);
                }
            }
        }
        while let Some((number, _)) = receive(&self.far, Duration::from_millis(250)).await {
            came.push(number);
        }
        came
    }
}

/// Four standard deviations of a count of so many in a hundred, and a bit.
fn is_near(found: usize, of_hundred: usize) -> bool {
    let all = usize::try_from(PACKETS).expect("small");
    let wanted = all * of_hundred / 100;
    let variance = all * of_hundred * (100 - of_hundred) / 10_000;
    found.abs_diff(wanted) <= 4 * variance.isqrt() + 10
}

#[tokio::test]
async fn a_calm_line_passes_everything_both_ways() {
    let line = line(Pair::default()).await;
    assert_eq!(line.send_all().await, (0..PACKETS).collect::<Vec<_>>());
    line.near.send(&7_u32.to_le_bytes()).await.expect("sent");
    let (_, from) = receive(&line.far, Duration::from_secs(5)).await.expect("came");
    assert_ne!(from, line.near.local_addr().expect("bound"), "the target sees the proxy");
    line.far.send_to(&8_u32.to_le_bytes(), from).await.expect("sent");
    let back = receive(&line.near, Duration::from_secs(5)).await.expect("answered");
    assert_eq!(back, (8, line.proxy.address()));
}

#[tokio::test]
async fn loss_and_doubling_come_at_their_rates() {
    let lossy = line(Pair::both(Link { loss: 200_000, ..Link::default() })).await;
    let came = lossy.send_all().await;
    let lost = usize::try_from(PACKETS).expect("small") - came.len();
    assert!(is_near(lost, 20), "{lost} of {PACKETS} lost");
    assert_eq!(lossy.proxy.counts().lost, u64::try_from(lost).expect("small"));

    let doubling = line(Pair::both(Link { doubled: 300_000, ..Link::default() })).await;
    let came = doubling.send_all().await;
    let more = came.len() - usize::try_from(PACKETS).expect("small");
    assert!(is_near(more, 30), "{more} of {PACKETS} doubled");
}

#[tokio::test]
async fn reordered_packets_are_overtaken_and_none_is_lost() {
    let line = line(Pair::both(Link { reordered: 100_000, ..Link::default() })).await;
    let mut came = line.send_all().await;
    let overtaken = came.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(overtaken > 50, "{overtaken} overtaken");
    let held = usize::try_from(line.proxy.counts().reordered).expect("small");
    assert!(is_near(held, 10), "{held} held back");
    came.sort_unstable();
    assert_eq!(came, (0..PACKETS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_delay_is_kept_and_jitter_does_not_reorder() {
    let (delay, jitter) = (Duration::from_millis(30), Duration::from_millis(40));
    let line = line(Pair::both(Link { delay, jitter, ..Link::default() })).await;
    let began = Instant::now();
    for number in 0..20_u32 {
        line.near.send(&number.to_le_bytes()).await.expect("sent");
    }
    let first = receive(&line.far, Duration::from_secs(5)).await.expect("came");
    assert_eq!(first.0, 0);
    assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
    for number in 1..20 {
        let (next, _) = receive(&line.far, Duration::from_secs(5)).await.expect("came");
        assert_eq!(next, number);
    }
}

#[tokio::test]
async fn a_cut_is_one_way_for_one_source_until_it_is_healed() {
    let line = line(Pair::default()).await;
    line.near.send(&1_u32.to_le_bytes()).await.expect("sent");
    let (_, from) = receive(&line.far, Duration::from_secs(5)).await.expect("came");
    let source = line.near.local_addr().expect("bound");
    let cut_back = Pair { back: Link::CUT, ..Pair::default() };
    line.proxy.set_for(source, Some(cut_back));
    line.far.send_to(&2_u32.to_le_bytes(), from).await.expect("sent");
    line.near.send(&3_u32.to_le_bytes()).await.expect("sent");
    assert_eq!(receive(&line.far, Duration::from_secs(5)).await.map(|it| it.0), Some(3));
    assert_eq!(receive(&line.near, Duration::from_millis(100)).await, None);
    let other = socket().await;
    other.send_to(&4_u32.to_le_bytes(), line.proxy.address()).await.expect("sent");
    let (_, other_from) = receive(&line.far, Duration::from_secs(5)).await.expect("came");
    line.far.send_to(&5_u32.to_le_bytes(), other_from).await.expect("sent");
    assert_eq!(receive(&other, Duration::from_secs(5)).await.map(|it| it.0), Some(5));
    line.proxy.heal();
    line.far.send_to(&6_u32.to_le_bytes(), from).await.expect("sent");
    assert_eq!(receive(&line.near, Duration::from_secs(5)).await.map(|it| it.0), Some(6));
    assert_eq!(line.proxy.counts().cut, 1);
}

#[test]
fn the_same_seed_has_the_same_fates_whatever_the_link() {
    let busy = Link { loss: 1, doubled: 2, reordered: 3, jitter: HELD_BACK, ..Link::default() };
    let (mut one, mut two) = (Chance::new(6), Chance::new(6));
    Link::default().fate(&mut one);
    busy.fate(&mut two);
    assert_eq!(one.next(), two.next(), "as many draws");
}

#[test]
fn only_what_is_held_back_is_overtaken() {
    let link = Link { jitter: Duration::from_millis(50), reordered: 200_000, ..Link::default() };
    let (mut chance, mut sequence) = (Chance::new(5), Sequence::default());
    let now = Instant::now();
    let mut last = now;
    for _ in 0..500 {
        let fate = link.fate(&mut chance);
        let due = sequence.due(now, &fate);
        if !fate.is_held_back {
            assert!(due >= last);
            last = due;
        }
    }
}
