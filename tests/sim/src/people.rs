//! What people do: makers list pieces, bidders offer, bid, snipe, and send again.
//!
//! A bidder has a key per intent and keeps it over edges and retries, as an app does. Nobody here looks
//! into a member: what they know is in the view of some edge. Read next: `checks/client.rs`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use fairground_node::sim::{RunningEdge, Taken, ids_of};
use fairground_seam::sim::Chance;
use fairground_types::command::{
    AccountCommand, Actor, AuctionCommand, Channel, Clip, Command, CreateAccount, Extent,
    MediaCommand, PublishRevision, RegisterAsset, ReviewDecision, SaveDraft, SealedContact,
    StoryCommand, StoryDraft, StorySections,
};
use fairground_types::journal::{Eligibility, Intake, PlaceBid, SubmitOffer};
use fairground_types::text::{Category, ClipLabel, Handle, Note, Overview, Summary, Title};
use fairground_types::{
    Accepted, AssetId, AuctionId, BlobHash, CommandId, Currency, Digest, Millis, Money, Role,
    StoryId, Timestamp, UserId,
};
use fairground_wire::message::StreamKind;
use tokio::time::Instant;

use crate::checks;
use crate::plan::{EDGES, Who};
use crate::world::{World, lock};

/// The maker of every piece.
pub const MAKER: UserId = UserId::from_bits(1_000);
/// Least offer, minor units.
const LEAST: u64 = 10_000;
/// How often a client looks whether its edge still lives.
const LOOK: Duration = Duration::from_millis(250);

/// A bidder.
pub fn bidder(number: usize) -> UserId {
    UserId::from_bits(u128::try_from(number).unwrap_or(0).saturating_add(1))
}

/// A piece.
pub fn story(number: usize) -> StoryId {
    StoryId::from_bits(u128::try_from(number).unwrap_or(0).saturating_add(1))
}

/// Accounts and listed pieces.
///
/// # Errors
/// When the market refuses one.
pub async fn settle(world: &World) -> Result<()> {
    account(world, MAKER, "maker", vec![Role::Maker]).await?;
    for number in 0..world.plan.bidders {
        account(world, bidder(number), &format!("bidder-{number}"), vec![]).await?;
    }
    for number in 0..world.plan.stories {
        list(world, number).await?;
    }
    Ok(())
}

async fn account(world: &World, user: UserId, name: &str, roles: Vec<Role>) -> Result<()> {
    let create = CreateAccount {
        user,
        identifier: Digest::of(name.as_bytes()),
        contact: SealedContact { wrapped_key: vec![], sealed: vec![] },
        channel: Channel::Email,
        handle: Some(Handle::parse(name)?),
        roles,
    };
    let command = Command::Account(AccountCommand::CreateAccount(create));
    world.must(Actor::Cluster, command).await?;
    Ok(())
}

async fn list(world: &World, number: usize) -> Result<()> {
    let story = story(number);
    let asset = AssetId::from_bits(story.to_bits());
    let maker = Actor::User(MAKER);
    let register = RegisterAsset {
        asset,
        source: BlobHash::from_bytes([1; 32]),
        source_bytes: 1_000,
        duration: Millis::from_secs(10),
        width: 640,
        height: 360,
    };
    let media = |command| Command::Media(command);
    world.must(maker.clone(), media(MediaCommand::RegisterAsset(register))).await?;
    let Some(edge) = world.edge_id(0) else { bail!("no edge") };
    let worker = Actor::Edge(edge);
    let leased = world.must(worker.clone(), media(MediaCommand::LeaseJob)).await?;
    let Accepted::JobLeased { fence, .. } = leased else { bail!("no lease") };
    let publish = PublishRevision {
        asset,
        fence,
        revision: 1,
        manifest: BlobHash::from_bytes([2; 32]),
        codecs: vec!["h264".to_owned()],
        extent: Extent::Last,
    };
    world.must(worker, media(MediaCommand::PublishRevision(publish))).await?;
    let draft = StoryDraft {
        title: Title::parse(&format!("Bowl {number}"))?,
        short_description: Summary::parse("a bowl")?,
        category: Category::parse("ceramics")?,
        overview: Overview::parse("turned by hand")?,
        clips: vec![Clip { asset_id: asset, label: ClipLabel::parse("the wheel")? }],
        sections: StorySections::default(),
        tags: vec![],
        minimum_offer: Money::new(LEAST, Currency::Eur),
        publish_when_approved: true,
    };
    let steps = [
        (maker.clone(), StoryCommand::SaveDraft(SaveDraft { story, base_version: None, draft })),
        (maker, StoryCommand::SubmitStory { story, attested: true }),
        (Actor::Cluster, StoryCommand::ReviewStory { story, decision: ReviewDecision::Approve }),
    ];
    for (actor, command) in steps {
        world.must(actor, Command::Story(command)).await?;
    }
    Ok(())
}

/// One who bids.
pub struct Bidder {
    world: Arc<World>,
    user: UserId,
    chance: Chance,
    keys: u64,
    until: Instant,
}

/// What a bidder sees of an auction.
#[derive(Clone, Copy)]
struct Sight {
    auction: AuctionId,
    closes_at: Timestamp,
    min_next: Money,
}

impl Bidder {
    /// The bidder of a number, who goes home at `until`.
    pub fn new(world: &Arc<World>, number: usize, until: Instant) -> Self {
        Self {
            world: Arc::clone(world),
            user: bidder(number),
            chance: world.chance(),
            keys: 0,
            until,
        }
    }

    /// Bids until it is time to go.
    pub async fn live(mut self) {
        while Instant::now() < self.until {
            let mean = u64::try_from(self.world.plan.pause.as_millis()).unwrap_or(1_000);
            let pause = self.chance.between(50, mean.saturating_mul(2));
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let place = self.any_edge();
            let Some(sight) = self.look(place) else { continue };
            self.snipe(sight).await;
            let Some(intake) = self.bid(place, sight) else { continue };
            self.send(intake, place).await;
        }
    }

    fn any_edge(&mut self) -> usize {
        usize::try_from(self.chance.below(u64::try_from(EDGES).unwrap_or(1))).unwrap_or(0)
    }

    /// An open auction in the view of an edge.
    fn look(&mut self, place: usize) -> Option<Sight> {
        let edge = self.world.edge(place)?;
        let open: Vec<Sight> = edge.read(|view| {
            let open = view.open_auctions().map(|row| Sight {
                auction: row.auction,
                closes_at: row.closes_at,
                min_next: row.min_next,
            });
            open.collect()
        });
        self.chance.pick(&open).copied()
    }

    /// Waits for the last moment, when it is near and the bidder feels like it.
    async fn snipe(&mut self, sight: Sight) {
        let now = self.now();
        let left = sight.closes_at.since(now).as_millis();
        if left == 0 || left > 6_000 || !self.chance.permille(600) {
            return;
        }
        let aim = left.saturating_add(self.chance.below(1_500)).saturating_sub(500);
        tokio::time::sleep(Duration::from_millis(aim)).await;
    }

    /// Coordinator time, as people guess it.
    fn now(&self) -> Timestamp {
        let record = lock(&self.world.record);
        record.true_time().plus(record.offset)
    }

    fn key(&mut self) -> String {
        self.keys = self.keys.saturating_add(1);
        format!("key-{}", self.keys)
    }

    fn valid_until(&mut self) -> Timestamp {
        let span = if self.chance.permille(100) { 5 } else { self.chance.between(20, 120) };
        self.now().plus(Millis::from_secs(span))
    }

    fn bid(&mut self, place: usize, seen: Sight) -> Option<Intake> {
        let edge = self.world.edge(place)?;
        // Prices move while one waits.
        let least = edge.read(|view| view.auction(seen.auction).map(|row| row.min_next))?;
        let least = least.minor().max(seen.min_next.minor());
        let raise = self.chance.below(3).saturating_mul(50);
        let low = if self.chance.permille(60) { 100 } else { 0 };
        let amount = least.saturating_add(raise).saturating_sub(low);
        let key = self.key();
        let command = CommandId::derive(self.user, &key, "bid", &seen.auction.to_string());
        Some(Intake::Bid(PlaceBid {
            command,
            auction: seen.auction,
            bidder: self.user,
            amount: Money::new(amount, Currency::Eur),
            maximum: None,
            valid_until: self.valid_until(),
        }))
    }

    /// Opens the auction of a piece, or bids in it when somebody was quicker.
    pub async fn open(mut self, piece: usize) {
        let story = story(piece);
        let key = self.key();
        let command = CommandId::derive(self.user, &key, "offer", &story.to_string());
        let (offer, auction) = ids_of(&command);
        let amount = LEAST.saturating_add(self.chance.below(10).saturating_mul(100));
        let place = self.any_edge();
        let intake = Intake::Offer(SubmitOffer {
            command,
            offer,
            auction,
            story,
            buyer: self.user,
            amount: Money::new(amount, Currency::Eur),
            note: None,
            ship_to: None,
            eligibility: Eligibility::Allowed,
            bid_if_open: true,
            valid_until: self.valid_until(),
        });
        self.send(intake, place).await;
    }

    /// Sends an intent until it has an answer, or patience ends.
    async fn send(&mut self, intake: Intake, first: usize) {
        let command = intake.command();
        lock(&self.world.record).sent.entry(command).or_default().push(intake.clone());
        let mut place = first;
        let tries = self.chance.between(1, 5);
        for attempt in 0..tries {
            let wait = Duration::from_millis(self.chance.below(3_000));
            let answer = if self.chance.permille(80) {
                self.world.trace.count("same key through two edges");
                let other = (place + 1) % EDGES;
                let (one, two) = tokio::join!(
                    ask(&self.world, place, &intake, wait),
                    ask(&self.world, other, &intake, wait)
                );
                one.or(two)
            } else {
                ask(&self.world, place, &intake, wait).await
            };
            match answer {
                Some(Taken::Judged(..)) => {
                    if attempt > 0 && place != first {
                        self.world.trace.count("retry elsewhere answered");
                    }
                    self.afterwards(&intake, place).await;
                    return;
                }
                Some(Taken::Refused(..)) => return,
                Some(Taken::Received(_) | Taken::Declined(_) | Taken::Unknown) | None => {
                    let pause = Duration::from_millis(self.chance.between(20, 2_500));
                    tokio::time::sleep(pause).await;
                    if self.chance.permille(600) {
                        place = self.any_edge();
                    }
                }
            }
        }
    }

    /// Some ask again after the verdict, elsewhere; some use a key for something else.
    async fn afterwards(&mut self, intake: &Intake, place: usize) {
        if self.chance.permille(150) {
            let other = (place + 1) % EDGES;
            let wait = Duration::from_millis(500);
            if let Some(Taken::Judged(..)) = ask(&self.world, other, intake, wait).await {
                self.world.trace.count("retry elsewhere answered");
            }
        }
        if self.chance.permille(40)
            && let Intake::Bid(bid) = intake
        {
            let amount = Money::new(bid.amount.minor().saturating_add(100), Currency::Eur);
            let other = Intake::Bid(PlaceBid { amount, ..bid.clone() });
            lock(&self.world.record).sent.entry(bid.command).or_default().push(other.clone());
            self.world.trace.count("key used for something else");
            ask(&self.world, place, &other, Duration::from_millis(500)).await;
        }
    }
}

/// A bid that extends is on its way while one that only the extension makes timely arrives.
///
/// What the first edge took in the last second is held up until after the close, when somebody bids
/// more elsewhere: that bid is held, and judged once the first one moved the close.
pub async fn race(world: Arc<World>, until: Instant) {
    // Keys that the same people use nowhere else.
    let racer = |number| Bidder { keys: 1_000_000, ..Bidder::new(&world, number, until) };
    let (mut early, mut late) = (racer(0), racer(1));
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        let (first, second) = (early.any_edge(), early.any_edge());
        let Some(sight) = early.look(first).filter(|_| first != second) else { continue };
        let left = sight.closes_at.since(early.now()).as_millis();
        if !(1_000..6_000).contains(&left) {
            continue;
        }
        tokio::time::sleep(Duration::from_millis(left.saturating_sub(700))).await;
        let Some(edge) = world.process(Who::Edge(first)) else { continue };
        let members = world.member_processes();
        let uplink = StreamKind::Uplink.to_byte();
        for member in &members {
            world.net.hold(edge, *member, uplink);
        }
        if let Some(bid) = early.bid(first, sight) {
            let more = Sight { min_next: more_than(bid.amount()), ..sight };
            ask_once(&world, first, bid).await;
            tokio::time::sleep(Duration::from_millis(900)).await;
            if let Some(bid) = late.bid(second, more) {
                ask_once(&world, second, bid).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            lock(&world.record).is_raced = true;
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        world.trace.count("bids raced over a close");
        for member in &members {
            world.net.release(edge, *member, uplink);
        }
    }
}

/// More than anybody asks for above an amount.
fn more_than(amount: Money) -> Money {
    Money::new(amount.minor().saturating_add(1_000), Currency::Eur)
}

async fn ask_once(world: &World, place: usize, intake: Intake) {
    lock(&world.record).sent.entry(intake.command()).or_default().push(intake.clone());
    ask(world, place, &intake, Duration::ZERO).await;
}

/// Asks an edge, and hears nothing when it dies meanwhile.
async fn ask(world: &World, place: usize, intake: &Intake, wait: Duration) -> Option<Taken> {
    let edge = world.edge(place)?;
    let id = world.edge_id(place)?;
    let lives = |edge: &Arc<RunningEdge>| {
        world.edge(place).is_some_and(|running| Arc::ptr_eq(&running, edge))
    };
    let mut asking = std::pin::pin!(edge.take(intake.clone(), wait));
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut asking => break answer,
            () = tokio::time::sleep(LOOK) => {
                if !lives(&edge) {
                    return None;
                }
            }
        }
    };
    if !lives(&edge) {
        return None;
    }
    let key = world.receipt_key(place);
    world.trace.note(&id.to_string(), &format!("{} {}", intake.command(), describe(&answer)));
    checks::client::told(&mut lock(&world.record), (&id, &key), intake, &answer);
    Some(answer)
}

fn describe(answer: &Taken) -> String {
    match answer {
        Taken::Judged(judged, receipt) => {
            let said = judged.verdict.code().map_or("accepted", |code| code.as_str());
            format!("judged {} {said} receipt {}", judged.index, receipt.is_some())
        }
        Taken::Received(_) => "received".to_owned(),
        Taken::Refused(code, index) => format!("refused {code} at {index}"),
        Taken::Declined(why) => format!("declined: {why}"),
        Taken::Unknown => "unknown".to_owned(),
    }
}

/// The maker of some open auction accepts what leads.
pub async fn accept(world: &World) {
    let leading = lock(&world.record).market.as_ref().and_then(|market| {
        let row = market.auctions().find(|row| row.is_open() && row.leading().is_some())?;
        Some((row.id(), row.leading()?.bid_id))
    });
    let Some((auction, expected)) = leading else { return };
    let command = Command::Auction(AuctionCommand::AcceptHighest { auction, expected });
    if let Ok(judged) = world.submit(Actor::User(MAKER), command).await {
        world.trace.note("maker", &format!("accepts {auction}: {}", judged.verdict.is_accepted()));
        world.trace.count("maker accepts");
    }
}

/// An admin takes back the bid that leads somewhere.
pub async fn retract(world: &World) {
    let leading = lock(&world.record).market.as_ref().and_then(|market| {
        let row = market.auctions().find(|row| row.is_open() && row.bids().count() > 1)?;
        Some((row.id(), row.leading()?.bid_id))
    });
    let Some((auction, bid)) = leading else { return };
    let Ok(reason) = Note::parse("a mistake") else { return };
    let command = Command::Auction(AuctionCommand::RetractBid { auction, bid, reason });
    if let Ok(judged) = world.submit(Actor::Cluster, command).await {
        world.trace.note("admin", &format!("takes back {bid}: {}", judged.verdict.is_accepted()));
    }
}

/// Ends what would go on for longer than a run.
pub async fn cancel(world: &World, auction: AuctionId) {
    let Ok(reason) = Note::parse("the end of the run") else { return };
    let command = Command::Auction(AuctionCommand::CancelAuction { auction, reason });
    if world.submit(Actor::Cluster, command).await.is_ok() {
        world.trace.count("cancelled at the end");
    }
}
