//! The history of this member: what has left the market's state, and how it is read.
//!
//! ```text
//!  state machine --Applied.archived--> keep (durable before the entry counts as applied)
//!  after a snapshot from another member: fill, from whichever member holds the records
//!  reads that find nothing in the market look here
//! ```
//! Records have the same places on every member; a member that misses some says nothing about them
//! until it has fetched them. Read next: `fairground_storage::history`.

use std::sync::Arc;
use std::time::Duration;

use fairground_market::{
    ArchivedAudit, ArchivedSale, AuctionAudit, AuctionRecord, IssueRow, MessageList, OrderRow,
    PublicationRow,
};
use fairground_runtime::shutdown::Shutdown;
use fairground_seam::link::{RecvStream, SendStream};
use fairground_storage::StorageError;
use fairground_storage::history::History as Store;
use fairground_types::limits::FRAME_MAX;
use fairground_types::{AuctionId, BlobHash, IssueId, MemberId, OrderId, SaleLockId, UserId};
use fairground_wire::codec;
use fairground_wire::history::{
    HISTORY_RECORDS_MAX, HistoryRecord, HistoryRequest, HistoryResponse,
};
use fairground_wire::message::StreamKind;

use crate::peers::Peers;
use crate::state::State;
use crate::stream::{self, StreamError};

/// Shape of the body of a record.
const BODY_VERSION: u8 = 1;
const FILL_PERIOD: Duration = Duration::from_secs(5);
/// How long another member may take to answer.
const FILL_WAIT: Duration = Duration::from_secs(20);
/// Room that an answer leaves in its frame for what surrounds the records.
const ANSWER_BYTES: usize = FRAME_MAX / 2;

/// What a record is found by.
#[derive(Clone, Copy, Debug)]
enum Key {
    Auction(AuctionId),
    Order(OrderId),
    /// Buyer or maker of an order.
    Party(UserId),
    Lock(SaleLockId),
    Issue(IssueId),
    /// A part of the audit chain.
    Audit,
}

impl Key {
    fn bytes(self) -> Vec<u8> {
        let (kind, bits) = match self {
            Self::Auction(id) => (1, id.to_bits()),
            Self::Order(id) => (2, id.to_bits()),
            Self::Party(id) => (3, id.to_bits()),
            Self::Audit => (4, 0),
            Self::Lock(id) => (5, id.to_bits()),
            Self::Issue(id) => (6, id.to_bits()),
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&bits.to_be_bytes());
        bytes
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct History {
    store: Store,
}

fn record_of(sale: &ArchivedSale) -> Result<HistoryRecord, fairground_wire::CodecError> {
    let mut keys = vec![Key::Auction(sale.auction().id())];
    if let Some(order) = sale.order() {
        keys.extend([Key::Order(order.id()), Key::Party(order.buyer()), Key::Party(order.maker())]);
    }
    keys.extend(sale.locks().map(|lock| Key::Lock(lock.id())));
    keys.extend(sale.issues().map(Key::Issue));
    Ok(HistoryRecord {
        seq: sale.seq,
        keys: keys.into_iter().map(Key::bytes).collect(),
        body: codec::encode_state(BODY_VERSION, sale)?,
    })
}

fn sale_of(record: &HistoryRecord) -> Option<ArchivedSale> {
    match codec::decode_state::<ArchivedSale>(BODY_VERSION, &record.body) {
        Ok((_, sale)) => Some(sale),
        Err(error) => {
            tracing::error!(seq = record.seq, %error, "a record of the history cannot be read");
            None
        }
    }
}

impl History {
    pub(crate) const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Keeps what left the state; durable when answered.
    pub(crate) async fn keep(&self, sales: &[ArchivedSale]) -> std::io::Result<()> {
        let records: Result<Vec<_>, _> = sales.iter().map(record_of).collect();
        let records = records.map_err(std::io::Error::other)?;
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        self.store.append(records).await.map_err(std::io::Error::other)?;
        metrics::counter!(crate::metrics::SALES_ARCHIVED).increment(count);
        Ok(())
    }

    /// Keeps audit entries that left the state; durable when answered.
    pub(crate) async fn keep_audit(&self, parts: &[ArchivedAudit]) -> std::io::Result<()> {
        let record = |part: &ArchivedAudit| {
            let body = codec::encode_state(BODY_VERSION, part)?;
            Ok(HistoryRecord { seq: part.seq, keys: vec![Key::Audit.bytes()], body })
        };
        let records: Result<Vec<_>, fairground_wire::CodecError> =
            parts.iter().map(record).collect();
        let records = records.map_err(std::io::Error::other)?;
        self.store.append(records).await.map_err(std::io::Error::other)
    }

    /// Parts of the audit chain that left the state, newest first, from before a place on.
    pub(crate) async fn audit(&self, before: u64, max: usize) -> Vec<ArchivedAudit> {
        let found = self.store.find(Key::Audit.bytes(), before, max).await;
        let records = found.unwrap_or_else(|error| {
            tracing::error!(%error, "the history cannot be read");
            Vec::new()
        });
        let part = |record: &HistoryRecord| {
            codec::decode_state::<ArchivedAudit>(BODY_VERSION, &record.body)
                .map(|(_, part)| part)
                .ok()
        };
        records.iter().filter_map(part).collect()
    }

    /// An order that left the state, for one who took part in it.
    pub(crate) async fn order(&self, order: OrderId, reader: UserId) -> Option<OrderRow> {
        let sales = self.find(Key::Order(order), u64::MAX, 1).await;
        sales.first().and_then(|sale| sale.order_row(reader))
    }

    /// The thread of an order that left the state, for one who took part in it.
    pub(crate) async fn messages(&self, order: OrderId, reader: UserId) -> Option<MessageList> {
        let sales = self.find(Key::Order(order), u64::MAX, 1).await;
        sales.first().and_then(|sale| sale.messages(reader))
    }

    /// An issue that left the state, for one of its parties.
    pub(crate) async fn issue(&self, issue: IssueId, reader: UserId) -> Option<IssueRow> {
        let sales = self.find(Key::Issue(issue), u64::MAX, 1).await;
        sales.first().and_then(|sale| sale.issue_row(issue, reader))
    }

    /// The sale that a lock belongs to and that left the state.
    pub(crate) async fn sale(&self, lock: SaleLockId) -> Option<ArchivedSale> {
        self.find(Key::Lock(lock), u64::MAX, 1).await.into_iter().next()
    }

    /// Orders of one account that left the state, newest first, from before a place on.
    pub(crate) async fn orders(&self, party: UserId, before: u64, max: usize) -> Vec<OrderRow> {
        let sales = self.find(Key::Party(party), before, max).await;
        sales.iter().filter_map(|sale| sale.order_row(party)).collect()
    }

    /// Stories of a maker that were sold and left the state, newest first.
    pub(crate) async fn publications(&self, maker: UserId, max: usize) -> Vec<PublicationRow> {
        let sales = self.find(Key::Party(maker), u64::MAX, max).await;
        sales.iter().filter_map(|sale| sale.publication_row(maker)).collect()
    }

    /// The record of an auction that left the state.
    pub(crate) async fn auction(&self, auction: AuctionId) -> Option<AuctionRecord> {
        let sales = self.find(Key::Auction(auction), u64::MAX, 1).await;
        sales.first().map(ArchivedSale::auction_record)
    }

    /// The audit of an auction that left the state.
    pub(crate) async fn auction_audit(&self, auction: AuctionId) -> Option<AuctionAudit> {
        let sales = self.find(Key::Auction(auction), u64::MAX, 1).await;
        sales.first().map(ArchivedSale::auction_audit)
    }

    /// Pictures that records name, from the record `from` on, and the first record that was not
    /// looked at; all there are at most. `None` when one cannot be read.
    pub(crate) async fn images(&self, from: u64, until: u64) -> Option<(Vec<BlobHash>, u64)> {
        let (mut images, mut next) = (Vec::new(), from);
        while next < until.min(self.store.first_missing()) {
            let records = match self.store.range(next, HISTORY_RECORDS_MAX, ANSWER_BYTES).await {
                Ok(records) => records,
                Err(error) => {
                    tracing::error!(%error, "the history cannot be read");
                    return None;
                }
            };
            next = records.last()?.seq.saturating_add(1);
            let is_sale = |record: &&HistoryRecord| record.keys != [Key::Audit.bytes()];
            for record in records.iter().filter(is_sale) {
                images.extend(sale_of(record)?.images());
            }
        }
        Some((images, next))
    }

    async fn find(&self, key: Key, before: u64, max: usize) -> Vec<ArchivedSale> {
        match self.store.find(key.bytes(), before, max).await {
            Ok(records) => records.iter().filter_map(sale_of).collect(),
            Err(error) => {
                tracing::error!(%error, "the history cannot be read");
                Vec::new()
            }
        }
    }

    /// Serves records to another member.
    pub(crate) async fn serve(
        &self,
        mut send: SendStream,
        mut receive: RecvStream,
    ) -> Result<(), StreamError> {
        let request: HistoryRequest = stream::expect(&mut receive).await?;
        let max = request.max.min(HISTORY_RECORDS_MAX);
        let records = self.store.range(request.from, max, ANSWER_BYTES).await;
        let records = records.unwrap_or_else(|error| {
            tracing::error!(%error, "the history cannot be read");
            Vec::new()
        });
        stream::send(&mut send, &HistoryResponse { records }).await?;
        // A peer that is gone needs no end of stream.
        let _ = send.finish();
        Ok(())
    }

    /// Fetches what this member misses, until `shutdown`.
    pub(crate) async fn fill(
        self,
        me: MemberId,
        state: Arc<State>,
        peers: Arc<Peers>,
        shutdown: Shutdown,
    ) {
        loop {
            let missing = self.store.first_missing();
            let (archived, others) = state.read(|market| {
                let others: Vec<MemberId> =
                    market.members().map(|row| row.member).filter(|member| *member != me).collect();
                (market.archived(), others)
            });
            let mut progressed = false;
            for other in others.into_iter().take_while(|_| missing < archived) {
                progressed = self.fetch(&peers, other, missing).await.unwrap_or(false);
                if progressed {
                    break;
                }
            }
            if progressed && !shutdown.is_triggered() {
                continue;
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = tokio::time::sleep(FILL_PERIOD) => {}
            }
        }
    }

    /// Asks one member for the records from `from` on; says whether any came.
    async fn fetch(
        &self,
        peers: &Peers,
        member: MemberId,
        from: u64,
    ) -> Result<bool, StorageError> {
        let asked = async {
            let (mut send, mut receive) = peers.open(member, StreamKind::History).await.ok()?;
            let request = HistoryRequest { from, max: HISTORY_RECORDS_MAX };
            stream::send(&mut send, &request).await.ok()?;
            stream::expect::<HistoryResponse>(&mut receive).await.ok()
        };
        let answer = tokio::time::timeout(FILL_WAIT, asked).await.ok().flatten();
        let Some(HistoryResponse { records }) = answer.filter(|answer| !answer.records.is_empty())
        else {
            return Ok(false);
        };
        let follows = records.iter().zip(from..).all(|(record, seq)| record.seq == seq);
        if !follows {
            tracing::error!(%member, from, "another member sent other records than asked for");
            return Ok(false);
        }
        self.store.append(records).await?;
        Ok(self.store.first_missing() > from)
    }
}
