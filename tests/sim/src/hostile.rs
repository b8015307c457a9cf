//! An edge that does not follow the protocol, over the real wire session: it back-dates, forges, forks
//! its journal, replays what others sent, promises what it does not keep, and sends what is no message.
//!
//! It is registered and admitted as any edge, so closes wait for it: silence is one of its weapons. What
//! it may gain is said in `docs/src/internals/bids.md` (G9); everything else must be refused. Read next:
//! `checks/verdict.rs`, `checks/edge.rs`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fairground_seam::link::memory::Process;
use fairground_seam::link::{Connection, RecvStream, SendStream};
use fairground_seam::sim::Chance;
use fairground_types::command::{Actor, ClusterCommand, Command, GovernCommand};
use fairground_types::journal::{Batch, Intake, JournalEntry, Mark, PlaceBid, Stamp, Tail};
use fairground_types::{
    AuctionId, ChainHash, CommandId, Currency, EdgeId, LogIndex, Millis, Money, Timestamp,
};
use fairground_wire::codec::{Decode, Encode};
use fairground_wire::frame::{PREFIX_LEN, frame_len};
use fairground_wire::message::{BeatUp, EdgeStatus, StreamKind, UplinkDown, UplinkUp};
use fairground_wire::{Versioned, from_bytes, to_frame};

use crate::people::bidder;
use crate::world::{World, lock};

/// How long it talks to a member.
const PATIENCE: Duration = Duration::from_secs(3);

/// What it knows of itself.
#[derive(Clone, Debug)]
pub struct Liar {
    edge: EdgeId,
    process: Process,
    tail: Tail,
    last: Stamp,
    chance: Chance,
    keys: u64,
}

/// One lie, to whoever leads.
pub async fn speak(world: &Arc<World>) {
    let spoken = tokio::time::timeout(PATIENCE.saturating_mul(4), lie(world)).await;
    let said = match spoken {
        Ok(Ok(said)) => said.to_owned(),
        Ok(Err(error)) => format!("is cut short: {error:#}"),
        Err(_) => "gives up".to_owned(),
    };
    world.trace.note("hostile", &said);
}

async fn lie(world: &Arc<World>) -> Result<&'static str> {
    let known = lock(&world.liar).clone();
    let mut liar = match known {
        Some(liar) => liar,
        None => Liar::join(world).await?,
    };
    let said = liar.lie(world).await;
    *lock(&world.liar) = Some(liar);
    world.trace.count("hostile edge spoke");
    said
}

impl Liar {
    async fn join(world: &Arc<World>) -> Result<Self> {
        let (edge, process) = world.register("liar", [9; 32]).await?;
        lock(&world.record).hostile.insert(edge.clone());
        let actor = Actor::Edge(edge.clone());
        let known = fairground_market::RULES_VERSION;
        let report = GovernCommand::ReportRules { member: None, known };
        world.must(actor.clone(), Command::Govern(report)).await?;
        let admit = ClusterCommand::AdmitEdge { edge: edge.clone(), tail: Tail::START };
        world.must(actor, Command::Cluster(admit)).await?;
        let now = now(world);
        Ok(Self {
            edge,
            process,
            tail: Tail::START,
            last: Stamp { earliest: now, latest: now },
            chance: world.chance(),
            keys: 0,
        })
    }

    async fn lie(&mut self, world: &Arc<World>) -> Result<&'static str> {
        let place = world.leader().context("nobody leads")?;
        let address = &world.members.get(place).context("it is there")?.address;
        let dialled = world.net.port(self.process).dial(address).await?;
        let connection = Connection::Memory(dialled);
        match self.chance.below(7) {
            0 => self.back_date(world, &connection).await,
            1 => self.stamp_badly(world, &connection).await,
            2 => self.fork(world, &connection).await,
            3 => self.replay(world, &connection).await,
            4 => self.promise_more(world, &connection).await,
            5 => self.babble(&connection).await,
            _ => self.pretend(&connection).await,
        }
    }

    /// Promises an instant, then stamps a bid before it.
    async fn back_date(
        &mut self,
        world: &Arc<World>,
        connection: &Connection,
    ) -> Result<&'static str> {
        let auction = open_auction(world).context("no auction is open")?;
        let watermark = now(world);
        self.beat(connection, Mark { watermark, tail: self.tail }).await?;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let early = watermark.minus(Millis::new(self.chance.below(800)));
        let stamp = Stamp { earliest: early, latest: early.plus(Millis::new(5)) };
        let entry = self.entry(world, auction, stamp);
        self.uplink(connection, vec![entry]).await?;
        Ok("back-dates a bid")
    }

    /// Stamps that are too wide, fall, lie far ahead, or end before they begin.
    async fn stamp_badly(
        &mut self,
        world: &Arc<World>,
        connection: &Connection,
    ) -> Result<&'static str> {
        let auction = open_auction(world).context("no auction is open")?;
        let now = now(world);
        let hour = Millis::from_hours(1);
        let stamp = match self.chance.below(4) {
            0 => Stamp { earliest: now, latest: now.plus(Millis::new(501)) },
            1 => Stamp { earliest: now.minus(hour), latest: now.minus(hour) },
            2 => Stamp { earliest: now.plus(hour), latest: now.plus(hour) },
            _ => Stamp { earliest: now, latest: now.minus(Millis::new(1)) },
        };
        let entry = self.entry(world, auction, stamp);
        self.uplink(connection, vec![entry]).await?;
        Ok("stamps badly")
    }

    /// Sends a sequence twice with other content, a gap, and a hash that follows nothing.
    async fn fork(&mut self, world: &Arc<World>, connection: &Connection) -> Result<&'static str> {
        let auction = open_auction(world).context("no auction is open")?;
        let before = self.tail;
        let now = now(world);
        let stamp = Stamp { earliest: now, latest: now.plus(Millis::new(3)) };
        let first = self.entry(world, auction, stamp);
        self.uplink(connection, vec![first]).await?;
        let after = std::mem::replace(&mut self.tail, before);
        let second = self.entry(world, auction, stamp);
        self.tail = after;
        self.uplink(connection, vec![second]).await?;
        let mut third = self.entry(world, auction, stamp);
        self.tail = after;
        third.hash = ChainHash::START;
        third.seq = third.seq.saturating_add(1);
        self.uplink(connection, vec![third]).await?;
        Ok("forks its journal")
    }

    /// Sends what an honest client sent elsewhere, as it was and altered.
    async fn replay(
        &mut self,
        world: &Arc<World>,
        connection: &Connection,
    ) -> Result<&'static str> {
        let bids: Vec<PlaceBid> = {
            let record = lock(&world.record);
            let judged = record.sent.iter().filter(|(id, _)| record.verdicts.contains_key(*id));
            let bids = judged.filter_map(|(_, bodies)| match bodies.first() {
                Some(Intake::Bid(bid) | Intake::SignedBid(bid, _)) => Some(bid.clone()),
                Some(Intake::Offer(_) | Intake::SignedOffer(..)) | None => None,
            });
            bids.collect()
        };
        let bid = self.chance.pick(&bids).cloned().context("nobody has bid")?;
        let now = now(world).max(self.last.earliest);
        let stamp = Stamp { earliest: now, latest: now.max(self.last.latest) };
        let same = self.written(stamp, Intake::Bid(bid.clone()));
        let amount = Money::new(bid.amount.minor().saturating_add(500), Currency::Eur);
        let other = self.written(stamp, Intake::Bid(PlaceBid { amount, ..bid }));
        self.uplink(connection, vec![same, other]).await?;
        Ok("replays a bid of another edge")
    }

    /// Promises for a tail that does not exist, and for an hour ahead.
    async fn promise_more(
        &mut self,
        world: &Arc<World>,
        connection: &Connection,
    ) -> Result<&'static str> {
        let ahead = now(world).plus(Millis::from_hours(1));
        let tail = Tail { seq: self.tail.seq.saturating_add(5), hash: ChainHash::START };
        self.beat(connection, Mark { watermark: ahead, tail }).await?;
        if self.chance.permille(300) {
            self.beat(connection, Mark { watermark: ahead, tail: self.tail }).await?;
        }
        Ok("promises what it does not have")
    }

    /// Sends what is no message.
    async fn babble(&mut self, connection: &Connection) -> Result<&'static str> {
        for kind in StreamKind::ALL {
            let (mut send, _receive) = connection.open_bi().await?;
            send.write_all(&[kind.to_byte()]).await?;
            let mut bytes = vec![0_u8; 64];
            for byte in &mut bytes {
                *byte = u8::try_from(self.chance.below(256)).unwrap_or(0);
            }
            // A member that has hung up has said enough.
            if send.write_all(&bytes).await.is_err() {
                break;
            }
            let _ = send.finish();
        }
        Ok("babbles")
    }

    /// Speaks for an honest edge.
    async fn pretend(&mut self, connection: &Connection) -> Result<&'static str> {
        let other = EdgeId::new("e0", 1)?;
        let (mut send, mut receive) = open(connection, StreamKind::Uplink).await?;
        let hello = UplinkUp::Hello { edge: other, tail: Tail::START, journal_open_from: 1 };
        put(&mut send, &hello).await?;
        match get::<UplinkDown>(&mut receive).await {
            Ok(Some(UplinkDown::Refused { .. } | UplinkDown::NotReady)) | Err(_) | Ok(None) => {
                Ok("pretends to be another edge")
            }
            Ok(Some(answer)) => bail!("it was believed: {answer:?}"),
        }
    }

    fn entry(&mut self, world: &World, auction: AuctionId, stamp: Stamp) -> JournalEntry {
        self.keys = self.keys.saturating_add(1);
        let user = bidder(0);
        let least = lock(&world.record)
            .auctions
            .get(&auction)
            .and_then(|known| known.moments.last().map(|moment| moment.min_next.minor()));
        let bid = PlaceBid {
            command: CommandId::derive(user, &format!("liar-{}", self.keys), "bid", "x"),
            auction,
            bidder: user,
            amount: Money::new(least.unwrap_or(10_000).saturating_add(100), Currency::Eur),
            maximum: None,
            valid_until: now(world).plus(Millis::from_secs(60)),
        };
        self.written(stamp, Intake::Bid(bid))
    }

    fn written(&mut self, stamp: Stamp, intake: Intake) -> JournalEntry {
        let entry = JournalEntry::after(self.tail, stamp, intake);
        self.tail = entry.tail();
        self.last = stamp;
        entry
    }

    async fn beat(&self, connection: &Connection, mark: Mark) -> Result<()> {
        let (mut send, _receive) = open(connection, StreamKind::Beat).await?;
        let status = EdgeStatus {
            edge: self.edge.clone(),
            region: "eu".to_owned(),
            public_url: "http://liar.example".to_owned(),
            serves_video: false,
            takes_bids: true,
            load_permille: 0,
            feed_index: LogIndex(0),
        };
        let beat = BeatUp { t0: 1, edge: self.edge.clone(), mark: Some(mark), status };
        put(&mut send, &beat).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    }

    /// Sends entries on a fresh stream and listens for a moment.
    async fn uplink(&mut self, connection: &Connection, entries: Vec<JournalEntry>) -> Result<()> {
        let (mut send, mut receive) = open(connection, StreamKind::Uplink).await?;
        let hello =
            UplinkUp::Hello { edge: self.edge.clone(), tail: self.tail, journal_open_from: 1 };
        put(&mut send, &hello).await?;
        match get::<UplinkDown>(&mut receive).await? {
            Some(UplinkDown::Welcome { applied, .. }) => {
                let first = entries.first().map_or(0, |entry| entry.seq);
                if applied.seq.saturating_add(1) < first {
                    // What came before was never applied: it goes on from there.
                    self.tail = applied;
                    bail!("its journal is behind");
                }
            }
            answer => bail!("no welcome: {answer:?}"),
        }
        let batch = Batch { edge: self.edge.clone(), mark: None, entries };
        put(&mut send, &UplinkUp::Batch(batch)).await?;
        let listening = async { while let Ok(Some(_)) = get::<UplinkDown>(&mut receive).await {} };
        // It hears what it hears.
        let _ = tokio::time::timeout(Duration::from_millis(700), listening).await;
        Ok(())
    }
}

fn now(world: &World) -> Timestamp {
    let record = lock(&world.record);
    record.true_time().plus(record.offset)
}

fn open_auction(world: &World) -> Option<AuctionId> {
    let record = lock(&world.record);
    record.auctions.iter().find(|(_, known)| known.ending.is_none()).map(|(id, _)| *id)
}

async fn open(connection: &Connection, kind: StreamKind) -> Result<(SendStream, RecvStream)> {
    let (mut send, receive) = connection.open_bi().await?;
    send.write_all(&[kind.to_byte()]).await?;
    Ok((send, receive))
}

async fn put<T: Versioned + Encode + Sync>(send: &mut SendStream, message: &T) -> Result<()> {
    send.write_all(&to_frame(message)?).await?;
    Ok(())
}

async fn get<T: Versioned + Decode>(receive: &mut RecvStream) -> Result<Option<T>> {
    let reading = async {
        let mut prefix = [0_u8; PREFIX_LEN];
        if receive.read_exact(&mut prefix).await.is_err() {
            return Ok(None);
        }
        let mut bytes = vec![0_u8; frame_len(prefix)?];
        receive.read_exact(&mut bytes).await?;
        Ok(Some(from_bytes(&bytes)?))
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or(Ok(None))
}
