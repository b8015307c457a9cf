//! Three nodes of etcd with their defaults, asked at the leader by gRPC: plain puts, and a bid as one
//! compare-and-swap.
//!
//! The messages are few and fixed, so their bytes are written here: a tag, a length, the bytes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use fairground_kit::place::{find, free_tcp};
use fairground_kit::wait::until;
use fairground_load::drive::{Bid, Bidder, Outcome};
use h2::client::SendRequest;
use http::Request;
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::market::OPENING_MINOR;
use crate::place::{LOOPBACK, Place};
use crate::process::{Account, Daemon, Program};

const NODES: usize = 3;
/// Connections that bidders share.
const CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a value, as in etcd's own benchmark.
const VALUE: usize = 256;
const PUT: &str = "/etcdserverpb.KV/Put";
const TXN: &str = "/etcdserverpb.KV/Txn";

/// Why it cannot run here, if so.
pub(crate) fn missing() -> Option<String> {
    let found = find("etcd").is_some() && find("etcdctl").is_some();
    (!found).then(|| "etcd is not installed (Debian: etcd-server, etcd-client)".to_owned())
}

/// What a bidder asks of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// 256 bytes under a new key: no bid at all, the floor of what consensus costs there.
    Put,
    /// The price is compared and set, and the bid put beside it, in one transaction.
    Swap,
}

/// A cluster.
pub(crate) struct Etcd {
    nodes: Vec<Daemon>,
    clients: Vec<String>,
}

impl Etcd {
    /// Starts it and waits until it has a leader.
    pub(crate) async fn start(place: &Place, name: &str) -> anyhow::Result<Self> {
        let dir = place.folder(name)?;
        let url = || Ok::<_, anyhow::Error>(format!("http://{}", free_tcp(LOOPBACK)?));
        let peers = (0..NODES).map(|_| url()).collect::<anyhow::Result<Vec<_>>>()?;
        let clients = (0..NODES).map(|_| url()).collect::<anyhow::Result<Vec<_>>>()?;
        let all: Vec<String> =
            peers.iter().enumerate().map(|(number, url)| format!("n{number}={url}")).collect();
        let all = all.join(",");
        let file = find("etcd").context("there is no etcd")?;
        let mut nodes = Vec::new();
        for (number, (peer, client)) in peers.iter().zip(&clients).enumerate() {
            let (node, data) = (format!("n{number}"), dir.join(format!("n{number}")));
            let data = data.to_string_lossy().into_owned();
            let arguments = [
                "--name",
                &node,
                "--data-dir",
                &data,
                "--listen-peer-urls",
                peer,
                "--initial-advertise-peer-urls",
                peer,
                "--listen-client-urls",
                client,
                "--advertise-client-urls",
                client,
                "--initial-cluster",
                &all,
                "--initial-cluster-state",
                "new",
                "--log-level",
                "error",
                "--logger",
                "zap",
            ];
            let program = Program::new("etcd", Account::Own, &file, &arguments);
            nodes.push(Daemon::start(program, dir.join(format!("{node}.log")), Signal::TERM)?);
        }
        let etcd = Self { nodes, clients };
        until("etcd has a leader", PATIENCE, async || Ok(Some(etcd.leader().await?))).await?;
        Ok(etcd)
    }

    /// The client URL of the leader.
    async fn leader(&self) -> anyhow::Result<String> {
        let file: PathBuf = find("etcdctl").context("there is no etcdctl")?;
        let endpoints = format!("--endpoints={}", self.clients.join(","));
        let arguments = [&endpoints, "endpoint", "status", "--write-out=json"];
        let told = Program::new("etcdctl", Account::Own, &file, &arguments).run().await?;
        let told: Value = serde_json::from_str(&told)?;
        let rows = told.as_array().cloned().unwrap_or_default();
        ensure!(rows.len() == NODES, "not all nodes answer");
        let leads = |row: &&Value| {
            let status = &row["Status"];
            status["leader"].is_u64() && status["leader"] == status["header"]["member_id"]
        };
        let leader = rows.iter().find(leads).context("nobody leads")?;
        Ok(leader["Endpoint"].as_str().context("a leader without an address")?.to_owned())
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(Daemon::pid).collect()
    }

    /// Bidders over a few connections to the leader; `auctions` prices begin at the opening.
    pub(crate) async fn bidders(
        &self,
        count: usize,
        auctions: usize,
        manner: Manner,
    ) -> anyhow::Result<Vec<EtcdBidder>> {
        let leader = self.leader().await?;
        let address = leader.trim_start_matches("http://").to_owned();
        let mut links = Vec::new();
        for _ in 0..count.min(CONNECTIONS) {
            links.push(Link::open(&address).await?);
        }
        let first = links.first().context("no connection")?;
        for auction in 0..auctions {
            let price = OPENING_MINOR.to_be_bytes();
            first.call(PUT, put(price_key(auction).as_bytes(), &price)).await?;
        }
        let puts = Arc::new(AtomicU64::new(0));
        let bidders = links.iter().cycle().take(count).map(|link| EtcdBidder {
            link: link.clone(),
            manner,
            puts: Arc::clone(&puts),
        });
        Ok(bidders.collect())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            node.stop().await?;
        }
        Ok(())
    }
}

fn price_key(auction: usize) -> String {
    format!("auction/{auction}")
}

/// One HTTP/2 connection.
#[derive(Clone)]
struct Link {
    sender: SendRequest<Bytes>,
    address: String,
    /// Ends with the last bidder that uses it.
    _serving: Arc<JoinSet<()>>,
}

impl Link {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // An error ends the connection, and whoever uses it sees it.
            let _ = connection.await;
        });
        Ok(Self { sender, address: address.to_owned(), _serving: Arc::new(serving) })
    }

    /// One call; answers the message without its prefix.
    async fn call(&self, path: &str, message: Bytes) -> anyhow::Result<Bytes> {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut framed = BytesMut::with_capacity(message.len() + 5);
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len())?);
        framed.put(message);
        let mut sender = self.sender.clone().ready().await?;
        let (answer, mut sending) = sender.send_request(request, false)?;
        sending.send_data(framed.freeze(), true)?;
        let mut body = answer.await?.into_body();
        let mut received = BytesMut::new();
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            received.extend_from_slice(&part);
        }
        let trailers = body.trailers().await?.context("an answer without trailers")?;
        let status = trailers.get("grpc-status").context("an answer without a status")?;
        if status != "0" {
            bail!("etcd answered {status:?}: {:?}", trailers.get("grpc-message"));
        }
        ensure!(received.len() >= 5, "an answer without a message");
        Ok(received.freeze().split_off(5))
    }
}

fn put_varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(u8::try_from(value & 0x7F).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.put_u8(u8::try_from(value).unwrap_or(0));
}

/// A field of bytes.
fn put_bytes(out: &mut BytesMut, field: usize, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len());
    out.put_slice(bytes);
}

/// `PutRequest { key: 1, value: 2 }`
fn put(key: &[u8], value: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    put_bytes(&mut out, 1, key);
    put_bytes(&mut out, 2, value);
    out.freeze()
}

/// `TxnRequest { compare: 1, success: 2 }`: if the price is below `amount`, it becomes `amount` and
/// the bid is put beside it.
fn swap(price: &[u8], bid: &[u8], amount: u64) -> Bytes {
    const LESS: usize = 2;
    const VALUE_OF_KEY: usize = 3;
    let value = amount.to_be_bytes();
    let mut compare = BytesMut::new();
    for (field, number) in [(1, LESS), (2, VALUE_OF_KEY)] {
        put_varint(&mut compare, field << 3);
        put_varint(&mut compare, number);
    }
    put_bytes(&mut compare, 3, price);
    put_bytes(&mut compare, 7, &value);
    let mut out = BytesMut::new();
    put_bytes(&mut out, 1, &compare);
    for request in [put(price, &value), put(bid, &[0; VALUE])] {
        let mut operation = BytesMut::new();
        put_bytes(&mut operation, 2, &request);
        put_bytes(&mut out, 2, &operation);
    }
    out.freeze()
}

/// `TxnResponse { header: 1, succeeded: 2 }`
fn succeeded(mut message: &[u8]) -> Option<bool> {
    let varint = |message: &mut &[u8]| {
        let mut value = 0_usize;
        for shift in (0..63).step_by(7) {
            let (first, rest) = message.split_first()?;
            *message = rest;
            value |= usize::from(first & 0x7F) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let value = varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (2, 0) => return Some(value != 0),
            (_, 0) => {}
            (_, 2) => message = message.get(value..)?,
            _ => return None,
        }
    }
    // A field that is absent is false.
    Some(false)
}

/// Somebody who puts or swaps.
pub(crate) struct EtcdBidder {
    link: Link,
    manner: Manner,
    puts: Arc<AtomicU64>,
}

impl EtcdBidder {
    async fn try_bid(&self, bid: Bid) -> anyhow::Result<bool> {
        let number = self.puts.fetch_add(1, Ordering::Relaxed);
        let key = format!("bids/{}/{number}", bid.auction);
        match self.manner {
            Manner::Put => {
                self.link.call(PUT, put(key.as_bytes(), &[0; VALUE])).await?;
                Ok(true)
            }
            Manner::Swap => {
                let price = price_key(bid.auction);
                let message = swap(price.as_bytes(), key.as_bytes(), bid.amount);
                let answer = self.link.call(TXN, message).await?;
                succeeded(&answer).context("an odd answer")
            }
        }
    }
}

impl Bidder for EtcdBidder {
    async fn bid(&mut self, bid: Bid) -> Outcome {
        match self.try_bid(bid).await {
            Ok(true) => Outcome::Accepted,
            Ok(false) => Outcome::Refused,
            Err(_) => Outcome::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_tag_length_bytes() {
        assert_eq!(&put(b"k", b"v")[..], b"\x0a\x01k\x12\x01v");
        let mut long = BytesMut::new();
        put_varint(&mut long, 300);
        assert_eq!(&long[..], b"\xac\x02");
        let message = swap(b"p", b"b", 7);
        assert!(message.starts_with(b"\x0a\x11\x08\x02\x10\x03\x1a\x01p\x3a\x08"));
    }

    #[test]
    fn the_answer_of_a_transaction_is_found_behind_its_header() {
        assert_eq!(succeeded(b"\x0a\x02\x08\x01\x10\x01"), Some(true));
        assert_eq!(succeeded(b"\x0a\x02\x08\x01"), Some(false));
        assert_eq!(succeeded(b"\x0a\x7f"), None);
    }
}
