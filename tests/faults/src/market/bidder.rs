//! Somebody who bids at the edges, sends again under the same key until somebody knows, and records
//! every request with its answer.
//!
//! It must not judge what it is told. Read next: `crate::history`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_kit::chance::Chance;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::api::Reply;
use super::people::Person;
use crate::history::{Line, Operation, Receipt, Recorder, Seen, Told, What};

/// How long a bid is sent again after a lost answer.
const KNOW_WAIT: Duration = Duration::from_secs(25);
/// How long the verdict of a received bid is asked for.
const VERDICT_WAIT: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(100);
/// Of a million bids with a lost answer, those that are given up at once and never sent again.
const GIVES_UP: u32 = 150_000;
/// Verdicts that are asked for once more at every edge in the end.
const ASKED_AGAIN_MAX: usize = 30;

/// An edge as bidders know it.
#[derive(Clone, Debug)]
pub struct Door {
    /// Its base URL.
    pub url: String,
    /// Counts its processes.
    pub life: Arc<AtomicU32>,
}

/// What bidders share with whoever hurts the market.
#[derive(Debug, Default)]
pub struct Load {
    is_over: AtomicBool,
    verdicts: AtomicU64,
    /// Verdicts of bids sent after this instant are waited for.
    watched_from: AtomicU64,
    /// When the first of them came; 0 while none did.
    first_at: AtomicU64,
}

impl Load {
    /// Bidders end after what they are at.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Verdicts so far.
    #[must_use]
    pub fn verdicts(&self) -> u64 {
        self.verdicts.load(Ordering::SeqCst)
    }

    /// From now on the first verdict of a bid that is sent after `instant` is waited for.
    pub fn watch_from(&self, instant: u64) {
        self.watched_from.store(instant, Ordering::SeqCst);
        self.first_at.store(0, Ordering::SeqCst);
    }

    /// When that verdict came.
    #[must_use]
    pub fn first_at(&self) -> Option<u64> {
        Some(self.first_at.load(Ordering::SeqCst)).filter(|at| *at > 0)
    }

    fn judged(&self, sent: u64, now: u64) {
        self.verdicts.fetch_add(1, Ordering::SeqCst);
        if sent > self.watched_from.load(Ordering::SeqCst) {
            // Only the first one counts.
            let _ = self.first_at.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

/// What all bidders of a round have in common.
#[derive(Debug)]
pub struct Scene {
    /// The edges.
    pub doors: Vec<Door>,
    /// The auctions.
    pub auctions: Vec<String>,
    /// Where operations are written.
    pub recorder: Recorder,
    /// What is shared with the nemesis.
    pub load: Load,
}

/// One bidder, one session.
#[derive(Debug)]
pub struct Bidder {
    session: u32,
    person: Person,
    scene: Arc<Scene>,
    chance: Chance,
    /// Auction and amount of every bid so far: none is sent twice under two keys.
    sent: BTreeSet<(usize, u64)>,
    /// Bids that an answer named, without a verdict so far.
    waiting: Vec<String>,
    /// Bids with a verdict.
    judged: Vec<String>,
}

/// The end of one bid.
enum Known {
    Judged(String),
    Received(String),
    Nothing,
}

impl Bidder {
    /// A bidder of a scene; the seed chooses what it does.
    #[must_use]
    pub fn new(session: u32, person: Person, scene: Arc<Scene>, seed: u64) -> Self {
        let chance = Chance::of_part(seed, u64::from(session).wrapping_add(100));
        let (waiting, judged) = (Vec::new(), Vec::new());
        Self { session, person, scene, chance, sent: BTreeSet::new(), waiting, judged }
    }

    /// Marks an amount as sent: the opening offer.
    pub fn has_sent(&mut self, auction: usize, amount: u64) {
        self.sent.insert((auction, amount));
    }

    /// Bids until the load is over or no auction takes bids.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub async fn run(mut self) -> anyhow::Result<Self> {
        while !self.scene.load.is_over.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(self.chance.between(10, 60))).await;
            // The first auction is the hot one.
            let auction = match self.chance.below(2) {
                0 => 0,
                _ => self.chance.place(self.scene.auctions.len()),
            };
            let home = usize::try_from(self.session)? % self.scene.doors.len().max(1);
            let edge = match self.chance.below(5) {
                0 => self.chance.place(self.scene.doors.len()),
                _ => home,
            };
            let Some(seen) = self.look(auction, edge).await? else { continue };
            let Some(least) = seen.min_next else { continue };
            let above = self.chance.below(3);
            // Now and then too little, which an edge or the log must see.
            let mut amount = if self.chance.below(12) == 0 { seen.amount } else { least + above };
            while !self.sent.insert((auction, amount)) {
                amount += 1;
            }
            match self.bid(auction, amount, edge).await? {
                Known::Judged(bid) => self.judged.push(bid),
                Known::Received(bid) => {
                    if self.verdict(&bid, VERDICT_WAIT).await? {
                        self.judged.push(bid);
                    } else {
                        self.waiting.push(bid);
                    }
                }
                Known::Nothing => {}
            }
        }
        Ok(self)
    }

    /// Asks for what is still open, and for some verdicts once more at every edge. The market has
    /// healed.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub async fn settle(mut self) -> anyhow::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        for bid in &waiting {
            self.verdict(bid, VERDICT_WAIT).await?;
        }
        let mut again = std::mem::take(&mut self.judged);
        self.chance.shuffle(&mut again);
        again.truncate(ASKED_AGAIN_MAX);
        for bid in again.iter().chain(&waiting) {
            for edge in 0..self.scene.doors.len() {
                self.lookup(bid, edge).await?;
            }
        }
        for auction in 0..self.scene.auctions.len() {
            for edge in 0..self.scene.doors.len() {
                self.look(auction, edge).await?;
            }
        }
        Ok(())
    }

    /// Sends a request and records it; `read` makes the answer into what is recorded.
    async fn ask<T: Clone>(
        &self,
        edge: usize,
        request: (&str, &str, &[(&str, &str)], Vec<u8>),
        read: impl Fn(anyhow::Result<Reply>) -> T,
        what: impl Fn(T) -> What,
    ) -> anyhow::Result<(T, u64)> {
        let scene = &self.scene;
        let door = scene.doors.get(edge).context("no such edge")?;
        let (method, path, headers, body) = request;
        let life = door.life.load(Ordering::SeqCst);
        let called = scene.recorder.now();
        let reply = self.person.api.at(&door.url).send(method, path, headers, body).await;
        let answered = scene.recorder.now();
        let is_one_life = life % 2 == 1 && door.life.load(Ordering::SeqCst) == life;
        let answer = read(reply);
        scene.recorder.write(&Line::Did(Operation {
            session: self.session,
            edge: u32::try_from(edge)?,
            life: is_one_life.then_some(life),
            called,
            answered: Some(answered),
            what: what(answer.clone()),
        }))?;
        Ok((answer, called))
    }

    async fn look(&self, auction: usize, edge: usize) -> anyhow::Result<Option<Seen>> {
        let name = self.scene.auctions.get(auction).context("no such auction")?;
        let path = format!("/v1/auctions/{name}");
        let read = |reply: anyhow::Result<Reply>| reply.ok().and_then(|reply| seen(&reply));
        let what = |seen| What::Look { auction: name.clone(), seen };
        let request = ("GET", path.as_str(), &[][..], Vec::new());
        Ok(self.ask(edge, request, read, what).await?.0)
    }

    async fn bid(&mut self, auction: usize, amount: u64, first: usize) -> anyhow::Result<Known> {
        let name = self.scene.auctions.get(auction).context("no such auction")?.clone();
        let key = uuid::Uuid::new_v4().simple().to_string();
        let wait = format!("wait={}", [0, 1, 2, 5][self.chance.place(4)]);
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
            ("prefer", wait.as_str()),
        ];
        let body = json!({"amountMinor": amount, "currency": "EUR"}).to_string();
        let path = format!("/v1/auctions/{name}/bids");
        let deadline = Instant::now() + KNOW_WAIT;
        let (mut edge, mut sent, mut is_unknown) = (first, None, false);
        loop {
            let request = ("POST", path.as_str(), &headers[..], body.clone().into_bytes());
            let what = |told| What::Bid { key: key.clone(), auction: name.clone(), amount, told };
            let (told, called) = self.ask(edge, request, told_of, what).await?;
            let sent = *sent.get_or_insert(called);
            match told {
                Told::Accepted { bid, .. } | Told::Refused { bid, .. } => {
                    self.scene.load.judged(sent, self.scene.recorder.now());
                    return Ok(Known::Judged(bid));
                }
                Told::Received { bid, .. } => return Ok(Known::Received(bid)),
                Told::RefusedAtEdge { .. } if !is_unknown => return Ok(Known::Nothing),
                // An earlier try may have been kept: only a verdict is the end of it.
                Told::RefusedAtEdge { .. } => {}
                Told::Declined { .. } if !is_unknown && self.chance.below(3) == 0 => {
                    return Ok(Known::Nothing);
                }
                Told::Declined { .. } => {}
                Told::Unknown { .. } if self.chance.happens(GIVES_UP) => return Ok(Known::Nothing),
                Told::Unknown { .. } => is_unknown = true,
            }
            if Instant::now() > deadline {
                return Ok(Known::Nothing);
            }
            sleep(AGAIN).await;
            edge = self.chance.place(self.scene.doors.len());
        }
    }

    /// Asks at all edges in turn until somebody knows the verdict.
    async fn verdict(&mut self, bid: &str, patience: Duration) -> anyhow::Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            let edge = self.chance.place(self.scene.doors.len());
            let (told, called) = self.lookup(bid, edge).await?;
            if matches!(told, Told::Accepted { .. } | Told::Refused { .. }) {
                self.scene.load.judged(called, self.scene.recorder.now());
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            sleep(AGAIN).await;
        }
    }

    async fn lookup(&self, bid: &str, edge: usize) -> anyhow::Result<(Told, u64)> {
        let path = format!("/v1/bids/{bid}");
        let what = |told| What::Lookup { bid: bid.to_owned(), told };
        let request = ("GET", path.as_str(), &[][..], Vec::new());
        self.ask(edge, request, |reply| status_of(bid, reply), what).await
    }
}

/// Milliseconds of a text of RFC 3339.
pub(crate) fn millis(value: &Value) -> Option<u64> {
    let instant: jiff::Timestamp = value.as_str()?.parse().ok()?;
    u64::try_from(instant.as_millisecond()).ok()
}

fn seen(reply: &Reply) -> Option<Seen> {
    let body = &reply.body;
    Some(Seen {
        index: body["asOf"]["index"].as_u64()?,
        bid: body["highest"]["bidId"].as_str()?.to_owned(),
        amount: body["highest"]["amountMinor"].as_u64()?,
        count: body["bidCount"].as_u64()?,
        min_next: body["minNextBid"]["amountMinor"].as_u64(),
        closes_at: millis(&body["closesAt"])?,
    })
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
}

/// What an answer to a bid says.
fn told_of(reply: anyhow::Result<Reply>) -> Told {
    let Reply { status, body, .. } = match reply {
        Ok(reply) => reply,
        // No connection came about: nothing was sent.
        Err(error) if is_unreachable(&error) => {
            return Told::Declined { code: "unreachable".to_owned() };
        }
        Err(error) => return Told::Unknown { why: format!("{error:#}") },
    };
    let bid = body["bidId"].as_str().map(str::to_owned);
    let index = body["logIndex"].as_u64();
    let code = body["code"].as_str().unwrap_or("-").to_owned();
    let receipt = body["receipt"].as_str().and_then(receipt_of);
    match (status, bid, index) {
        (201, Some(bid), Some(index)) => Told::Accepted { bid, index, receipt },
        (202, Some(bid), _) => Told::Received { bid, receipt },
        (400..=499, Some(bid), Some(index)) => Told::Refused { bid, index, code, receipt },
        (409 | 422, None, Some(index)) => Told::RefusedAtEdge { index, code },
        (429, None, None) => Told::Declined { code },
        (503, None, None) if code == "NOT_BID_READY" => Told::Declined { code },
        _ => Told::Unknown { why: format!("{status} {code}") },
    }
}

/// What an answer about a bid says.
fn status_of(bid: &str, reply: anyhow::Result<Reply>) -> Told {
    let Reply { status, body, .. } = match reply {
        Ok(reply) => reply,
        Err(error) => return Told::Unknown { why: format!("{error:#}") },
    };
    let (bid, index) = (bid.to_owned(), body["logIndex"].as_u64());
    match (status, body["state"].as_str(), index) {
        (200, Some("accepted"), Some(index)) => Told::Accepted { bid, index, receipt: None },
        (200, Some("rejected"), Some(index)) => {
            let code = body["code"].as_str().unwrap_or("-").to_owned();
            Told::Refused { bid, index, code, receipt: None }
        }
        (200, Some("received"), _) => Told::Received { bid, receipt: None },
        // Outbid since: what became of it is still that it was accepted.
        (200, Some(state), Some(index)) if state != "rejected" => {
            Told::Accepted { bid, index, receipt: None }
        }
        _ => Told::Unknown { why: format!("{status} {}", body["code"]) },
    }
}

/// The claims of a receipt, without its signature being checked: `fairground verify` does that.
fn receipt_of(text: &str) -> Option<Receipt> {
    let mut parts = text.split('~');
    let (signed, leaf) = (parts.next()?, parts.next()?);
    let decode = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let root = decode(signed.split('.').nth(1)?)?;
    let claims = decode(leaf)?;
    Some(Receipt {
        edge: root["edge"].as_str()?.to_owned(),
        seq: claims["seq"].as_u64()?,
        earliest: millis(&claims["earliest"])?,
        latest: millis(&claims["latest"])?,
        valid_until: millis(&claims["validUntil"])?,
        previous: claims["previousHash"].as_str()?.to_owned(),
        hash: claims["hash"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: Value) -> anyhow::Result<Reply> {
        Ok(Reply { status, body, asset: None })
    }

    #[test]
    fn answers_are_told_apart_by_what_was_kept() {
        let accepted = json!({"bidId": "bid_1", "state": "accepted", "logIndex": 7});
        assert!(matches!(told_of(reply(201, accepted)), Told::Accepted { index: 7, .. }));
        let received = json!({"bidId": "bid_1", "state": "received"});
        assert!(matches!(told_of(reply(202, received)), Told::Received { .. }));
        let refused = json!({"code": "BID_TOO_LOW", "logIndex": 8, "bidId": "bid_1"});
        assert!(matches!(told_of(reply(422, refused)), Told::Refused { index: 8, .. }));
        let at_edge = json!({"code": "BID_TOO_LOW", "logIndex": 8});
        assert!(matches!(told_of(reply(422, at_edge)), Told::RefusedAtEdge { index: 8, .. }));
        let declined = json!({"code": "NOT_BID_READY"});
        assert!(matches!(told_of(reply(503, declined)), Told::Declined { .. }));
        for (status, code) in [(500, "INTERNAL"), (504, "UPSTREAM_TIMEOUT")] {
            assert!(matches!(told_of(reply(status, json!({"code": code}))), Told::Unknown { .. }));
        }
        assert!(matches!(told_of(Err(anyhow::anyhow!("gone"))), Told::Unknown { .. }));
    }

    #[test]
    fn a_receipt_is_read_from_its_leaf_and_its_root() {
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let root = encode(json!({"edge": "e1.1", "firstSeq": 3}));
        let leaf = encode(json!({
            "seq": 3, "earliest": "1970-01-01T00:00:01.500Z", "latest": "1970-01-01T00:00:01.502Z",
            "validUntil": "1970-01-01T00:02:01.500Z", "previousHash": "a", "hash": "b",
        }));
        let found = receipt_of(&format!("h.{root}.s~{leaf}~")).expect("a receipt");
        assert_eq!((found.edge.as_str(), found.seq, found.earliest), ("e1.1", 3, 1_500));
        assert_eq!((found.latest, found.valid_until), (1_502, 121_500));
        assert_eq!(receipt_of("h.x.s~y~"), None);
    }
}
