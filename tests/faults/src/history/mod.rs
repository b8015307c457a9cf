//! What clients did and what they were told, a JSON line each, and what the market says in the end.
//!
//! A line is written when its operation is over, so the sequence of lines means nothing; the two
//! instants of an operation do. All instants come from one monotonic clock. Read next: [`load`] for
//! the compact form, [`check`] for what must hold.

pub mod check;
pub mod load;
mod replay;
pub mod synthetic;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Version of the lines.
pub const VERSION: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "camelCase")]
pub enum Line {
    /// The first one.
    Head {
        /// [`VERSION`].
        version: u32,
        /// Where the choices came from.
        seed: u64,
    },
    /// Who a session is.
    Session {
        /// Its number.
        session: u32,
        /// The account.
        user: String,
    },
    /// Something that was done to the market.
    Blow {
        /// When, in microseconds.
        at: u64,
        /// What.
        what: String,
    },
    /// A client did something.
    Did(Operation),
    /// What a member says of an auction after everything has healed.
    End(AuctionEnd),
}

/// Something that a client did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Whose.
    pub session: u32,
    /// Which edge was asked.
    pub edge: u32,
    /// Which life of that edge's process, when it was one from call to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<u32>,
    /// When it was sent, in microseconds.
    pub called: u64,
    /// When its answer was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<u64>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What a client did, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "camelCase")]
pub enum What {
    /// Sent a bid.
    Bid {
        /// Its idempotency key: the same in every try.
        key: String,
        /// The auction.
        auction: String,
        /// How much.
        amount: u64,
        /// The answer.
        told: Told,
    },
    /// Asked what became of a bid.
    Lookup {
        /// The bid.
        bid: String,
        /// The answer.
        told: Told,
    },
    /// Looked at an auction.
    Look {
        /// The auction.
        auction: String,
        /// What was seen; nothing when no view was answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<Seen>,
    },
}

/// What a client was told about a bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub enum Told {
    /// It leads, or led.
    Accepted {
        /// The bid.
        bid: String,
        /// The entry of the log.
        index: u64,
        /// The receipt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Receipt>,
    },
    /// It is refused by the log.
    Refused {
        /// The bid.
        bid: String,
        /// The entry of the log.
        index: u64,
        /// Why.
        code: String,
        /// The receipt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Receipt>,
    },
    /// Durable at the edge; the verdict follows.
    Received {
        /// The bid.
        bid: String,
        /// The receipt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<Receipt>,
    },
    /// The edge refused by itself, on a fact of the view at this index; nothing was kept.
    RefusedAtEdge {
        /// The index of the view.
        index: u64,
        /// Why.
        code: String,
    },
    /// The edge took nothing now; nothing was kept.
    Declined {
        /// Why.
        code: String,
    },
    /// Nobody knows: no answer, or none that says.
    Unknown {
        /// What there was instead.
        why: String,
    },
}

/// The claims of a receipt that the checker looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The edge, with its incarnation.
    pub edge: String,
    /// Its place in the edge's journal.
    pub seq: u64,
    /// Coordinator time of receipt: not earlier, in milliseconds.
    pub earliest: u64,
    /// Not later.
    pub latest: u64,
    /// Until when it may be judged.
    pub valid_until: u64,
    /// Hash of the journal before it.
    pub previous: String,
    /// And with it.
    pub hash: String,
}

/// An auction as a view shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The index of the view.
    pub index: u64,
    /// The leading bid.
    pub bid: String,
    /// Its amount.
    pub amount: u64,
    /// How many bids were placed.
    pub count: u64,
    /// The least next bid, while bids are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_next: Option<u64>,
    /// When it closes, in milliseconds.
    pub closes_at: u64,
}

/// The last word on an auction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuctionEnd {
    /// The auction.
    pub auction: String,
    /// Least increment as a share of the highest bid, in hundredths of a percent, rounded up.
    pub increment_points: u64,
    /// Least increment, minor units.
    pub increment_floor: u64,
    /// Its last close, in milliseconds.
    pub closes_at: u64,
    /// Log time of the entry that ended it, if it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
    /// Edges that were not heard in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheard: Vec<String>,
    /// Accepted bids in the order of the log; the first one opened the auction.
    pub placed: Vec<JudgedBid>,
    /// Refused bids, the newest that are kept.
    pub refused: Vec<JudgedBid>,
    /// How many were refused in all.
    pub refused_count: u64,
}

/// A bid with its verdict, in the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JudgedBid {
    /// The bid.
    pub bid: String,
    /// The account.
    pub user: String,
    /// How much.
    pub amount: u64,
    /// The edge, with its incarnation.
    pub edge: String,
    /// Its place in the edge's journal.
    pub seq: u64,
    /// When it was received, in milliseconds.
    pub earliest: u64,
    /// Not later than this.
    pub latest: u64,
    /// The entry that judged it.
    pub index: u64,
    /// Log time of that entry.
    pub at: u64,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// In time by its stamp, but after the close.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// Writes lines as they happen.
#[derive(Debug)]
pub struct Recorder {
    out: Mutex<BufWriter<File>>,
    epoch: Instant,
}

impl Recorder {
    /// A new file with its head.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, seed: u64) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
        let recorder = Self { out: Mutex::new(BufWriter::new(file)), epoch: Instant::now() };
        recorder.write(&Line::Head { version: VERSION, seed })?;
        Ok(recorder)
    }

    /// Microseconds since the beginning.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Writes a line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&text).context("write the history")
    }

    /// Puts everything into the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&self) -> anyhow::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.flush().context("write the history")
    }
}
