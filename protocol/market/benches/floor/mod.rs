//! A market on the floor of a bench: edges, people, listed stories, open auctions, and entries full
//! of bids.
//!
//! Every bid is accepted, leads, and outbids somebody. Read next: the benches that use it.
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

pub(crate) mod memory;

use std::hint::black_box;

use fairground_market::{Applied, Effect, Market};
use fairground_types::command::{
    AccountCommand, Actor, BalanceRecord, Carrier, Channel, Clip, ClusterCommand, Command,
    CreateAccount, CreateJoinToken, EffectResult, Entry, Envelope, Extent, FinanceCommand,
    GovernCommand, IncrementFloors, InitialiseCluster, JoinProof, JoinRole, LogCommand,
    MarketPolicy, MediaCommand, OrderCommand, PaymentCommand, ProviderAccountState, ProviderEvent,
    ProviderEventKind, ProviderObject, ProviderObjectEvent, PublishRevision, RegisterAsset,
    RegisterEdge, ReviewDecision, SaveDraft, SealedContact, SetSignaturePolicy, SignaturePolicy,
    StoryCommand, StoryDraft, UnsignedMax,
};
use fairground_types::journal::{
    Batch, Eligibility, Intake, JournalEntry, Mark, PlaceBid, Stamp, SubmitOffer, Tail,
};
use fairground_types::money::BasisPoints;
use fairground_types::text::{
    Category, ClipLabel, Note, Overview, Region, Summary, Title, TrackingNumber,
};
use fairground_types::{
    AssetId, AuctionId, BlobHash, ClusterId, CommandId, Currency, Digest, EdgeId, JoinTokenId,
    LogIndex, Millis, Money, OfferId, OrderId, Role, StoryId, Timestamp, UserId, limits,
};

use crate::measure::{quotient, took};

/// Bids in one entry.
pub(crate) const ENTRY_BIDS: usize = 128;
const BIDDERS: u64 = 2_000;
const STORIES_PER_MAKER: u64 = 500;
/// Makers of a market in which much is sold.
const MAKERS: u64 = 400;
/// The least raise in euro cents: a flat step, so that many bids fit below the ceiling.
const RAISE: u64 = 1;
const OPENING: u64 = 10_000;
const FIRST_MAKER: u64 = 1_000_000;
const NANOS: u128 = 1_000_000_000;

/// A market with open auctions, and the one edge whose journal feeds it.
pub(crate) struct Floor {
    pub(crate) market: Market,
    edge: EdgeId,
    tail: Tail,
    at: Timestamp,
    index: u64,
    auctions: u64,
    made: u64,
}

impl Floor {
    /// Auctions 1 to `auctions`, each of a story of the same number, opened by bidder 1.
    pub(crate) fn open(auctions: u64) -> Self {
        Self::with(MarketPolicy::default(), auctions, auctions.div_ceil(STORIES_PER_MAKER))
    }

    /// No auction yet, and such as are opened close after ten seconds.
    pub(crate) fn brief() -> Self {
        let mut policy = MarketPolicy::default();
        policy.auction.initial = Millis::from_secs(10);
        policy.auction.window = Millis::ZERO;
        let mut floor = Self::with(policy, 0, MAKERS);
        floor.open_payout_accounts();
        floor
    }

    /// Every maker can be paid: a sale whose money waits is never over.
    fn open_payout_accounts(&mut self) {
        let makers: Vec<UserId> =
            (FIRST_MAKER..FIRST_MAKER + MAKERS).map(|it| UserId::from_bits(it.into())).collect();
        let open = Command::Finance(FinanceCommand::OpenPayoutAccount);
        self.direct(makers.iter().map(|maker| (Actor::User(*maker), open.clone())).collect());
        let account = |maker: &UserId| format!("acct_{maker}");
        self.report(|effect| match effect {
            Effect::CreateConnectedAccount { user, .. } => {
                Some(EffectResult::AccountMade { account: account(user) })
            }
            _ => None,
        });
        let ready = makers.iter().map(|maker| {
            let event = ProviderObjectEvent {
                event: format!("ev_{maker}"),
                created: self.at,
                object: ProviderObject::Account {
                    account: account(maker),
                    user: Some(*maker),
                    state: ProviderAccountState::Ready,
                },
                raw: Digest::of(b"raw"),
            };
            (Actor::Cluster, Command::Finance(FinanceCommand::RecordProviderObject(event)))
        });
        let ready = ready.collect();
        self.direct(ready);
    }

    /// Every payment's record was read in the provider's books.
    fn read_charges(&mut self) {
        let gross = Money::new(OPENING, Currency::Eur);
        let (fee, available_at) = (Money::new(1, Currency::Eur), self.at);
        self.report(|effect| match effect {
            Effect::ReadCharge { order, .. } => {
                let balance =
                    BalanceRecord { record: format!("txn_{order}"), fee, gross, available_at };
                Some(EffectResult::ChargeRead { charge: format!("ch_{order}"), balance })
            }
            _ => None,
        });
    }

    /// Tells what came of waiting effects.
    fn report(&mut self, made: impl Fn(&Effect) -> Option<EffectResult>) {
        let waiting = self.market.outbox().filter_map(|pending| {
            let report =
                FinanceCommand::ReportEffect { effect: pending.id, result: made(&pending.effect)? };
            Some((Actor::Cluster, Command::Finance(report)))
        });
        let waiting = waiting.collect();
        self.direct(waiting);
    }

    fn with(policy: MarketPolicy, auctions: u64, makers: u64) -> Self {
        let mut floor = Self {
            market: Market::default(),
            edge: EdgeId::new("edge-1", 1).expect("a name"),
            tail: Tail::START,
            at: Timestamp::from_unix_millis(1_764_000_000_000),
            index: 0,
            auctions,
            made: 0,
        };
        floor.found(policy, makers);
        floor.fill();
        let numbers: Vec<u64> = (1..=auctions).collect();
        for some in numbers.chunks(ENTRY_BIDS) {
            let before = floor.tail;
            let opened = some.iter().map(|number| floor.journal(opening(*number, floor.at)));
            let opened = opened.collect();
            let entry = floor.entry(before, opened);
            accepted(&floor.apply(&entry), some.len());
        }
        floor
    }

    /// A cluster with an edge in the intake, bidders, and makers with a clip each.
    fn found(&mut self, mut policy: MarketPolicy, makers: u64) {
        // A flat step of one minor unit, and limits that one buyer and one clip stay below.
        policy.auction.increment = BasisPoints(0);
        policy.auction.increment_floor_minor = IncrementFloors::flat(RAISE);
        policy.offers.per_hour_max = u32::MAX;
        policy.stories.clips_min = 1;
        let cluster = ClusterId::from_bits(1);
        let token = JoinTokenId::from_bits(1);
        let secret = Digest::of(b"secret");
        let expires_at = self.at.plus(Millis::from_hours(1));
        let region = Region::parse("eu").expect("a region");
        let register = RegisterEdge {
            proof: JoinProof { token, secret },
            name: "edge-1".to_owned(),
            public_url: "https://edge-1.example".to_owned(),
            receipt_key: [7; 32],
            takes_bids: true,
        };
        let unsigned = SetSignaturePolicy {
            base_version: 0,
            policy: SignaturePolicy {
                unsigned_max_minor: UnsignedMax::flat(limits::AMOUNT_MAX_MINOR),
                ..SignaturePolicy::DEFAULT
            },
            reason: Note::parse("bids of any amount, unsigned").expect("a note"),
        };
        let edge = self.edge.clone();
        self.direct(vec![
            (
                Actor::Cluster,
                Command::Cluster(ClusterCommand::InitialiseCluster(InitialiseCluster {
                    cluster,
                    policy,
                    keys: vec![],
                    sandbox: false,
                    rules: fairground_market::RULES_VERSION,
                })),
            ),
            (Actor::Cluster, Command::Govern(GovernCommand::SetSignaturePolicy(unsigned))),
            (
                Actor::Cluster,
                Command::Cluster(ClusterCommand::CreateJoinToken(CreateJoinToken {
                    token,
                    secret,
                    role: JoinRole::Edge,
                    region,
                    expires_at,
                })),
            ),
            (Actor::Anonymous, Command::Cluster(ClusterCommand::RegisterEdge(register))),
            (
                Actor::Edge(edge.clone()),
                Command::Cluster(ClusterCommand::AdmitEdge {
                    edge: edge.clone(),
                    tail: Tail::START,
                }),
            ),
        ]);
        self.direct((1..=BIDDERS).map(|number| account(number, vec![])).collect());
        for maker in FIRST_MAKER..FIRST_MAKER + makers {
            self.direct(vec![
                account(maker, vec![Role::Maker]),
                (Actor::User(UserId::from_bits(maker.into())), clip(maker)),
                (Actor::Edge(edge.clone()), Command::Media(MediaCommand::LeaseJob)),
                (Actor::Edge(edge.clone()), revision(maker)),
            ]);
        }
    }

    /// One listed story an auction.
    fn fill(&mut self) {
        for number in 1..=self.auctions {
            self.list(number, FIRST_MAKER + (number - 1) / STORIES_PER_MAKER);
        }
    }

    fn list(&mut self, number: u64, maker: u64) {
        let story = StoryId::from_bits(number.into());
        let author = Actor::User(UserId::from_bits(maker.into()));
        let save = SaveDraft { story, base_version: None, draft: draft(maker) };
        let approve = ReviewDecision::Approve;
        self.direct(vec![
            (author.clone(), Command::Story(StoryCommand::SaveDraft(save))),
            (author, Command::Story(StoryCommand::SubmitStory { story, attested: true })),
            (
                Actor::Cluster,
                Command::Story(StoryCommand::ReviewStory { story, decision: approve }),
            ),
        ]);
    }

    /// Applies entries full of bids; answers how many a second.
    pub(crate) fn round(&mut self, entries: usize) -> u64 {
        let entries: Vec<Entry> = (0..entries)
            .map(|_| {
                let before = self.tail;
                let bids = (0..ENTRY_BIDS).map(|_| self.next_bid()).collect();
                self.entry(before, bids)
            })
            .collect();
        let (all, nanos) = self.timed(&entries);
        for applied in &all {
            accepted(applied, ENTRY_BIDS);
        }
        let bids = u128::try_from(entries.len() * ENTRY_BIDS).expect("small");
        quotient(bids, NANOS, nanos)
    }

    /// The same where every bid is followed by one of the same amount, which is too low: how many
    /// are decided a second, and how many of them are accepted.
    pub(crate) fn contested_round(&mut self, entries: usize) -> (u64, u64) {
        let entries: Vec<Entry> = (0..entries)
            .map(|_| {
                let before = self.tail;
                let pairs = (0..ENTRY_BIDS / 2).flat_map(|_| [self.next_bid(), self.low_bid()]);
                let bids = pairs.collect();
                self.entry(before, bids)
            })
            .collect();
        let (all, nanos) = self.timed(&entries);
        for applied in &all {
            accepted(applied, ENTRY_BIDS / 2);
        }
        let decided = u128::try_from(entries.len() * ENTRY_BIDS).expect("small");
        (quotient(decided, NANOS, nanos), quotient(decided / 2, NANOS, nanos))
    }

    fn timed(&mut self, entries: &[Entry]) -> (Vec<Applied>, u128) {
        let mut all = Vec::with_capacity(entries.len());
        let (time, ()) = took(|| {
            for entry in entries {
                all.push(self.apply(black_box(entry)));
            }
        });
        (all, time.as_nanos())
    }

    /// One day: so many stories are listed, sold, shipped and delivered, and what is old enough leaves
    /// the state.
    pub(crate) fn sell(&mut self, first: u64, count: u64) {
        let numbers: Vec<u64> = (first..first + count).collect();
        for number in &numbers {
            self.list(*number, FIRST_MAKER + number % MAKERS);
        }
        for some in numbers.chunks(ENTRY_BIDS) {
            let before = self.tail;
            let opened = some.iter().map(|number| self.journal(opening(*number, self.at)));
            let opened = opened.collect();
            let entry = self.entry(before, opened);
            accepted(&self.apply(&entry), some.len());
        }
        self.pass(Millis::from_secs(12));
        let locks = self.market.locks();
        let pending: Vec<_> = locks.iter().filter(|row| row.state == "pending").collect();
        assert_eq!(pending.len(), numbers.len(), "every auction found a buyer");
        let paid = pending.iter().map(|row| {
            let event = ProviderEvent {
                event: format!("ev_{}", row.sale_lock_id),
                kind: ProviderEventKind::CheckoutPaid,
                created: self.at,
                lock: Some(row.sale_lock_id),
                checkout_session: None,
                payment: Some(format!("pi_{}", row.sale_lock_id)),
                amount: Some(row.amount),
                raw: Digest::of(b"raw"),
                new_order: OrderId::from_bits(row.sale_lock_id.to_bits()),
            };
            (Actor::Cluster, Command::Payment(PaymentCommand::RecordProviderEvent(event)))
        });
        let paid = paid.collect();
        self.direct(paid);
        self.read_charges();
        let buyer = Actor::User(UserId::from_bits(1));
        let sold = numbers
            .iter()
            .filter_map(|number| self.market.auction(AuctionId::from_bits((*number).into())))
            .filter_map(|row| Some((row.maker(), OrderId::from_bits(row.lock()?.to_bits()))));
        let sold: Vec<(UserId, OrderId)> = sold.collect();
        let number = |order: &OrderId| {
            TrackingNumber::parse(&order.to_string()[4..]).expect("a tracking number")
        };
        let ship = |order: &OrderId| OrderCommand::AddTracking {
            order: *order,
            carrier: Carrier::Other,
            number: number(order),
        };
        let confirm =
            |order: &OrderId| OrderCommand::ConfirmDelivery { order: *order, review: None };
        let shipped = sold.iter().map(|(maker, o)| (Actor::User(*maker), Command::Order(ship(o))));
        let shipped = shipped.collect();
        self.direct(shipped);
        for _ in 0..2 {
            let has = sold.iter().map(|(_, o)| (buyer.clone(), Command::Order(confirm(o))));
            self.direct(has.collect());
        }
        self.report(|effect| match effect {
            Effect::CreateTransfer(transfer) => {
                Some(EffectResult::TransferMade { transfer: format!("tr_{}", transfer.order) })
            }
            _ => None,
        });
        // The rest of the day passes at once: no auction is open that an outage could move.
        self.at = self.at.plus(Millis::from_hours(24));
        self.pass(Millis::from_secs(2));
        while self.market.archive_due(self.at) {
            let archive = ClusterCommand::Archive { max: 256 };
            self.direct(vec![(Actor::Cluster, Command::Cluster(archive))]);
        }
    }

    /// Time passes, the edge is heard, and what is due happens.
    fn pass(&mut self, span: Millis) {
        let until = self.at.plus(span);
        while self.at < until {
            self.at = self.at.plus(Millis::from_secs(2)).min(until);
            let mark = Mark { watermark: self.at.minus(Millis::new(1)), tail: self.tail };
            let marks = vec![(self.edge.clone(), mark)];
            let entry = Entry { term: 1, at: self.at, marks, commands: vec![] };
            self.apply(&entry);
        }
    }

    /// The next bid: auctions in turn, each time of somebody who does not lead there.
    fn next_bid(&mut self) -> JournalEntry {
        self.made += 1;
        self.bid("bid", 0)
    }

    /// As much as the last bid, by somebody else: too low.
    fn low_bid(&mut self) -> JournalEntry {
        self.bid("low bid", 1)
    }

    fn bid(&mut self, what: &str, other: u64) -> JournalEntry {
        let turn = self.made.div_ceil(self.auctions);
        let bidder = 2 + (self.made + turn + other) % (BIDDERS - 2);
        let intake = Intake::Bid(PlaceBid {
            command: command(what, self.made),
            auction: AuctionId::from_bits((1 + (self.made - 1) % self.auctions).into()),
            bidder: UserId::from_bits(bidder.into()),
            amount: Money::new(OPENING + RAISE * turn, Currency::Eur),
            maximum: None,
            valid_until: self.at.plus(Millis::from_secs(120)),
        });
        self.journal(intake)
    }

    fn journal(&mut self, intake: Intake) -> JournalEntry {
        let stamp =
            Stamp { earliest: self.at.plus(Millis::new(5)), latest: self.at.plus(Millis::new(7)) };
        let entry = JournalEntry::after(self.tail, stamp, intake);
        self.tail = entry.tail();
        entry
    }

    /// The next entry of the log, 10 ms after the one before, with the edge's mark.
    fn entry(&mut self, before: Tail, entries: Vec<JournalEntry>) -> Entry {
        let mark = Mark { watermark: self.at.plus(Millis::new(4)), tail: before };
        self.at = self.at.plus(Millis::new(10));
        let batch = Batch { edge: self.edge.clone(), mark: Some(mark), entries };
        Entry { term: 1, at: self.at, marks: vec![], commands: vec![LogCommand::Batch(batch)] }
    }

    fn apply(&mut self, entry: &Entry) -> Applied {
        self.index += 1;
        self.market.apply(LogIndex(self.index), entry)
    }

    /// Applies commands of the set-up, all of which must be accepted.
    fn direct(&mut self, commands: Vec<(Actor, Command)>) {
        let commands = commands.into_iter().zip(0_u64..).map(|((actor, command), number)| {
            let id =
                CommandId::derive_system("set-up", &self.index.to_string(), &number.to_string());
            LogCommand::Direct(Envelope { id, actor, command })
        });
        let entry = Entry { term: 1, at: self.at, marks: vec![], commands: commands.collect() };
        for verdict in self.apply(&entry).outcomes {
            assert!(verdict.is_accepted(), "the set-up was refused: {verdict:?}");
        }
    }
}

fn accepted(applied: &Applied, count: usize) {
    let placed = applied.judged.iter().filter(|told| told.judged.verdict.is_accepted()).count();
    assert_eq!(placed, count, "every bid leads: {:?}", applied.judged.first());
}

fn command(what: &str, number: u64) -> CommandId {
    CommandId::derive_system(what, &number.to_string(), "")
}

fn opening(number: u64, at: Timestamp) -> Intake {
    Intake::Offer(SubmitOffer {
        command: command("offer", number),
        offer: OfferId::from_bits(number.into()),
        auction: AuctionId::from_bits(number.into()),
        story: StoryId::from_bits(number.into()),
        buyer: UserId::from_bits(1),
        amount: Money::new(OPENING, Currency::Eur),
        note: None,
        ship_to: None,
        eligibility: Eligibility::Allowed,
        bid_if_open: false,
        valid_until: at.plus(Millis::from_secs(120)),
    })
}

fn account(number: u64, roles: Vec<Role>) -> (Actor, Command) {
    let create = CreateAccount {
        user: UserId::from_bits(number.into()),
        identifier: Digest::of(&number.to_le_bytes()),
        contact: SealedContact { wrapped_key: vec![1; 60], sealed: vec![2; 60] },
        channel: Channel::Email,
        handle: None,
        roles,
    };
    (Actor::Cluster, Command::Account(AccountCommand::CreateAccount(create)))
}

fn clip(maker: u64) -> Command {
    Command::Media(MediaCommand::RegisterAsset(RegisterAsset {
        asset: AssetId::from_bits(maker.into()),
        source: BlobHash::from_bytes([1; 32]),
        source_bytes: 1_000,
        duration: Millis::from_secs(10),
        width: 640,
        height: 360,
    }))
}

fn revision(maker: u64) -> Command {
    Command::Media(MediaCommand::PublishRevision(PublishRevision {
        asset: AssetId::from_bits(maker.into()),
        fence: 1,
        revision: 1,
        manifest: BlobHash::from_bytes([2; 32]),
        codecs: vec!["h264".to_owned()],
        extent: Extent::Last,
    }))
}

fn draft(maker: u64) -> StoryDraft {
    let label = ClipLabel::parse("the wheel").expect("a label");
    StoryDraft {
        title: Title::parse("A bowl").expect("a title"),
        short_description: Summary::parse("turned by hand").expect("a line"),
        category: Category::parse("ceramics").expect("a category"),
        overview: Overview::parse("Stoneware, ash glaze, fired once.").expect("a text"),
        clips: vec![Clip { asset_id: AssetId::from_bits(maker.into()), label }],
        sections: fairground_types::command::StorySections::default(),
        tags: vec![],
        minimum_offer: Money::new(OPENING, Currency::Eur),
        publish_when_approved: true,
    }
}
