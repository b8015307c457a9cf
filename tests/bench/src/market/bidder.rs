//! Somebody who bids over HTTPS at an edge and waits for the verdict.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fairground_load::drive::{Bid, Bidder, Outcome};
use fairground_load::http::{Http, Target};
use fairground_load::report;

use super::people::Person;

/// Longer than the edge is asked to wait for the verdict.
const WAIT: Duration = Duration::from_secs(15);
/// The code of a bid that another was higher than.
const TOO_LOW: &[u8] = b"\"BID_TOO_LOW\"";

/// Answers that were no verdict, counted.
#[derive(Debug, Default)]
pub(crate) struct Oddities(Mutex<BTreeMap<String, u64>>);

impl Oddities {
    fn count(&self, what: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    /// Names them, if there were any.
    pub(crate) fn tell(&self, system: &str) {
        for (what, count) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            report::note(&format!("{system}: {count} bids without a verdict: {what}"));
        }
    }
}

/// One bidder at one edge.
pub(crate) struct MarketBidder {
    http: Http,
    head: String,
    auctions: Arc<Vec<String>>,
    oddities: Arc<Oddities>,
    request: Vec<u8>,
    body: Vec<u8>,
}

impl MarketBidder {
    /// Opens the connection.
    pub(crate) async fn open(
        edge: Target,
        person: &Person,
        auctions: Arc<Vec<String>>,
        oddities: Arc<Oddities>,
    ) -> anyhow::Result<Self> {
        let head = format!(
            "host: {}\r\nauthorization: {}\r\ncontent-type: application/json\r\nprefer: wait=10\r\n",
            edge.address,
            person.authorization()
        );
        let mut http = Http::new(edge);
        http.open().await?;
        Ok(Self { http, head, auctions, oddities, request: Vec::new(), body: Vec::new() })
    }

    /// Writes the request; a vector takes everything.
    fn write(&mut self, bid: Bid) -> std::io::Result<()> {
        let auction = self.auctions.get(bid.auction).map_or("", String::as_str);
        self.body.clear();
        write!(self.body, "{{\"amountMinor\":{},\"currency\":\"EUR\"}}", bid.amount)?;
        self.request.clear();
        write!(
            self.request,
            "POST /v1/auctions/{auction}/bids HTTP/1.1\r\n{}idempotency-key: {}\r\n\
             content-length: {}\r\n\r\n",
            self.head,
            uuid::Uuid::new_v4().simple(),
            self.body.len()
        )?;
        self.request.extend_from_slice(&self.body);
        Ok(())
    }
}

impl Bidder for MarketBidder {
    async fn bid(&mut self, bid: Bid) -> Outcome {
        if let Err(error) = self.write(bid) {
            self.oddities.count(error.to_string());
            return Outcome::Undecided;
        }
        let oddity = match self.http.send(&self.request, WAIT).await {
            Ok(answer) if answer.status == 201 => return Outcome::Accepted,
            Ok(answer) if answer.body.windows(TOO_LOW.len()).any(|part| part == TOO_LOW) => {
                return Outcome::Refused;
            }
            Ok(answer) => {
                let body: serde_json::Value =
                    serde_json::from_slice(answer.body).unwrap_or_default();
                format!("{} {}", answer.status, body["code"].as_str().unwrap_or("-"))
            }
            Err(error) => error.to_string(),
        };
        self.oddities.count(oddity);
        Outcome::Undecided
    }
}
