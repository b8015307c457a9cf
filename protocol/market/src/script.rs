//! The table language of the market's tests: one line is one entry of the log.
//!
//! ```text
//!  12:00:00  offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
//!  12:10:00  bid A b EUR 104.99      -> BID_TOO_LOW minimum 105.00
//!  + bid A c EUR 105.00              -> placed
//!  13:00:00  tick marks 13:00:00     -> A locked to c at 105.00 (AutoAtClose)
//! ```
//! Left of the arrow: log time and what is in the entry (`+` adds to the entry above). Right of it:
//! everything that came of it, in any order; nothing else may. People are letters (`m` and `n` are
//! makers), auctions capitals (`A7` where there are many), edges `e1` to `e3`. Between lines the leader ticks as it would, with
//! marks of every edge that is not silenced, each a second old and a second short of any close; a
//! line with the word `outage` has no such ticks before it. It goes through [`Market::apply`] alone.
//! Read next: `tests/` for the tables.

use std::collections::{BTreeMap, BTreeSet};

use fairground_types::command::{
    Actor, AuctionCommand, CheckoutEnd, CheckoutOpened, Clip, ClusterCommand, Command, Entry,
    Envelope, InitialiseCluster, LogCommand, MarketPolicy, PaymentCommand, ProviderEvent,
    ProviderEventKind, RegisterMember, StartCheckout, StoryDraft, StorySections,
};
use fairground_types::journal::{
    Batch, Eligibility, Intake, JournalEntry, Mark, Maximum, PlaceBid, Stamp, SubmitOffer, Tail,
};
use fairground_types::limits;
use fairground_types::text::{
    Category, ClipLabel, Country, Note, OfferNote, Overview, Summary, Title,
};
use fairground_types::{
    Accepted, AssetId, AuctionId, ClusterId, CommandId, Currency, Digest, EdgeId, LogIndex, Millis,
    Money, OfferId, OrderId, StoryId, Timestamp, UserId, Verdict,
};

use self::notation::{DAY, parse_length, parse_money, parse_time, set_policy};
use crate::{Applied, Market};

pub use self::signing::DeviceSigner;

mod auctions;
mod govern;
mod money;
mod notation;
mod orders;
mod said;
mod setup;
mod signing;
mod stories;

/// Everybody who has an account.
const PEOPLE: &str = "abcdefghmn";

/// A market and the outside that a table plays against it.
#[derive(Clone, Debug)]
pub struct World {
    /// The market.
    pub market: Market,
    /// Every entry applied so far, the set-up included.
    pub log: Vec<Entry>,
    /// What every entry did.
    pub applied: Vec<Applied>,
    term: u64,
    keys: u64,
    tails: BTreeMap<EdgeId, Tail>,
    silent: BTreeSet<EdgeId>,
}

/// One line of a table: what goes into the entry, and what must come of it.
struct Line<'a> {
    number: usize,
    at: Timestamp,
    joins: bool,
    words: Vec<&'a str>,
    expected: Vec<String>,
}

/// Words of a line, read from left to right.
struct Words<'a> {
    words: std::vec::IntoIter<&'a str>,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.as_slice().first().copied()
    }

    fn next(&mut self, what: &str) -> Result<&'a str, String> {
        self.words.next().ok_or_else(|| format!("{what} is missing"))
    }

    fn money(&mut self) -> Result<Money, String> {
        let currency = self.next("currency")?;
        let currency = Currency::parse(currency).ok_or_else(|| format!("currency {currency}"))?;
        parse_money(self.next("amount")?, currency)
    }
}

/// What an intake line may say beyond who and how much.
#[derive(Default)]
struct Options {
    via: Option<EdgeId>,
    stamp: Option<Timestamp>,
    width: u64,
    valid: Option<Millis>,
    key: Option<String>,
    if_open: bool,
    maximum: Option<Money>,
    signed: Option<DeviceSigner>,
    note: Option<OfferNote>,
    ship_to: Option<Country>,
    eligibility: Option<Eligibility>,
    opens: Option<AuctionId>,
}

impl World {
    /// A market of `policy` with people, three edges of which those named are in the intake, and
    /// stories `S1` and `S2` of maker `m`, listed from 100.00 euros.
    ///
    /// # Errors
    /// When the market refuses the set-up.
    pub fn new(policy: MarketPolicy, intake: &[&str]) -> Result<Self, String> {
        Self::under_rules(policy, intake, crate::RULES_VERSION)
    }

    /// The same under a version of the rules.
    ///
    /// # Errors
    /// When the market refuses the set-up.
    pub fn under_rules(
        mut policy: MarketPolicy,
        intake: &[&str],
        rules: u32,
    ) -> Result<Self, String> {
        // The stories of tables have one clip.
        policy.stories.clips_min = 1;
        let mut world = Self {
            market: Market::default(),
            log: Vec::new(),
            applied: Vec::new(),
            term: 1,
            keys: 0,
            tails: BTreeMap::new(),
            silent: BTreeSet::new(),
        };
        let start = DAY.plus(Millis::from_hours(11));
        let cluster = InitialiseCluster {
            cluster: ClusterId::from_bits(1),
            policy,
            keys: vec![],
            sandbox: true,
            rules,
        };
        world.must(
            start,
            Actor::Cluster,
            Command::Cluster(ClusterCommand::InitialiseCluster(cluster)),
        )?;
        let member = RegisterMember {
            proof: None,
            cluster_address: "127.0.0.1:7000".to_owned(),
            public_url: "http://127.0.0.1:7001".to_owned(),
        };
        world.must(
            start,
            Actor::Cluster,
            Command::Cluster(ClusterCommand::RegisterMember(member)),
        )?;
        world.sign_nothing(start)?;
        for name in ["e1", "e2", "e3"] {
            world.join_edge(start, name)?;
        }
        for letter in PEOPLE.chars() {
            world.join_person(start, letter)?;
        }
        for name in ["S1", "S2"] {
            world.list_story(start, name)?;
        }
        for name in intake {
            let edge = edge_named(name)?;
            let admit = Command::Cluster(ClusterCommand::AdmitEdge {
                edge: edge.clone(),
                tail: Tail::START,
            });
            world.must(start, Actor::Edge(edge), admit)?;
        }
        Ok(world)
    }

    /// Plays a table. Its head may set `policy NAME LENGTH, ...`, `intake e1 e2` and
    /// `signed above EUR 500.00`, without which no amount needs a signature.
    ///
    /// # Errors
    /// When a line cannot be read, or something else came of it than it says.
    pub fn play(table: &str) -> Result<Self, String> {
        let mut policy = MarketPolicy::default();
        let mut intake = vec!["e1"];
        let mut rules = crate::RULES_VERSION;
        let mut signed_above = None;
        let mut lines: Vec<Line<'_>> = Vec::new();
        for (number, text) in (1_usize..).zip(table.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            if let Some(rest) = text.strip_prefix("signed above ") {
                signed_above = Some(signing::parse_amount(rest)?);
            } else if let Some(rest) = text.strip_prefix("policy ") {
                set_policy(&mut policy, rest)?;
            } else if let Some(rest) = text.strip_prefix("rules ") {
                rules = rest.parse().map_err(|_| format!("rules {rest}"))?;
            } else if let Some(rest) = text.strip_prefix("intake") {
                intake = rest.split_whitespace().collect();
            } else {
                let before = lines.last().map_or(DAY, |line| line.at);
                lines.push(parse_line(number, text, before)?);
            }
        }
        let mut world = Self::under_rules(policy, &intake, rules)?;
        if let Some(amount) = signed_above {
            world.sign_above(amount)?;
        }
        world.play_lines(&lines)?;
        Ok(world)
    }

    /// The entry that intake lines make at `time`, without applying it.
    ///
    /// # Errors
    /// When a line cannot be read.
    pub fn entry_of(&mut self, time: &str, lines: &[String]) -> Result<Entry, String> {
        let at = parse_time(time)?;
        let mut entry = Entry { term: self.term, at, marks: vec![], commands: vec![] };
        for text in lines {
            let text = format!("+ {text}");
            self.read(&parse_line(0, &text, at)?, &mut entry)?;
        }
        Ok(entry)
    }

    /// Goes on with the lines of a table.
    ///
    /// # Errors
    /// When a line cannot be read, or something else came of it than it says.
    pub fn play_on(&mut self, lines: &str) -> Result<(), String> {
        let mut before = self.market.last_at();
        let mut read = Vec::new();
        for (number, text) in (1_usize..).zip(lines.lines()) {
            let line = parse_line(number, text.trim(), before)?;
            before = line.at;
            read.push(line);
        }
        self.play_lines(&read)
    }

    fn play_lines(&mut self, lines: &[Line<'_>]) -> Result<(), String> {
        let mut rest = lines;
        while !rest.is_empty() {
            let joined = rest.iter().skip(1).take_while(|line| line.joins).count();
            let (group, after) = rest.split_at(joined.saturating_add(1));
            self.play_entry(group)?;
            rest = after;
        }
        Ok(())
    }

    fn play_entry(&mut self, group: &[Line<'_>]) -> Result<(), String> {
        let Some(first) = group.first() else { return Ok(()) };
        let mut before = Vec::new();
        if !first.words.contains(&"outage") {
            before = self.keep_time(first.at);
        }
        let mut entry = Entry { term: self.term, at: first.at, marks: vec![], commands: vec![] };
        let mut asked: Vec<(usize, Asked)> = Vec::new();
        for line in group {
            let told = self
                .read(line, &mut entry)
                .map_err(|why| format!("line {}: {why}", line.number))?;
            asked.extend(told.map(|told| (line.number, told)));
        }
        let applied = self.apply(entry);
        let mut facts: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (number, told) in &asked {
            facts.entry(*number).or_default().push(self.verdict_fact(told, &applied));
        }
        let last = group.last().map_or(first.number, |line| line.number);
        let events = facts.entry(last).or_default();
        events.extend(before);
        events.extend(self.other_facts(&asked, &applied));
        for line in group {
            let mut came = facts.remove(&line.number).unwrap_or_default();
            let mut expected = line.expected.clone();
            came.sort();
            expected.sort();
            if came != expected {
                return Err(format!(
                    "line {}: expected {expected:?}, but what came is {came:?}",
                    line.number
                ));
            }
        }
        let broken = self.market.violations();
        if broken.is_empty() { Ok(()) } else { Err(format!("after line {last}: {broken:?}")) }
    }

    /// Ticks as a leader would until just before `until`; says what came of it.
    pub fn keep_time(&mut self, until: Timestamp) -> Vec<String> {
        let mut facts = Vec::new();
        loop {
            let last = self.market.last_at();
            let pace =
                if self.market.has_open_auction() { last.plus(limits::RESUME_GAP) } else { until };
            let due = self.market.next_deadline().unwrap_or(Timestamp::MAX);
            let at = pace.min(due).max(last.plus(Millis::new(1)));
            if at >= until {
                return facts;
            }
            let marks = self.beats(at);
            let applied = self.apply(Entry { term: self.term, at, marks, commands: vec![] });
            facts.extend(self.other_facts(&[], &applied));
        }
    }

    /// Marks of the edges that are heard at `at`.
    fn beats(&self, at: Timestamp) -> Vec<(EdgeId, Mark)> {
        let second = Millis::from_secs(1);
        let close = self.market.open.first().map_or(Timestamp::MAX, |(closes_at, _)| *closes_at);
        let watermark = at.min(close).minus(second);
        self.market
            .intake()
            .filter(|edge| !self.silent.contains(&edge.edge))
            .map(|edge| (edge.edge.clone(), Mark { watermark, tail: self.tail(&edge.edge) }))
            .collect()
    }

    /// Applies an entry and keeps it.
    pub fn apply(&mut self, entry: Entry) -> Applied {
        let index = u64::try_from(self.log.len()).unwrap_or(u64::MAX).saturating_add(1);
        let applied = self.market.apply(LogIndex(index), &entry);
        self.log.push(entry);
        self.applied.push(applied.clone());
        applied
    }

    /// Applies one direct command.
    pub fn direct(&mut self, at: Timestamp, actor: Actor, command: Command) -> Verdict {
        let envelope = self.envelope(actor, command);
        let commands = vec![LogCommand::Direct(envelope)];
        let applied = self.apply(Entry { term: self.term, at, marks: vec![], commands });
        applied.outcomes.into_iter().next().unwrap_or(Verdict::Accepted(Accepted::Done))
    }

    /// Applies what a line says left of its arrow, without its time.
    ///
    /// # Errors
    /// When the line cannot be read.
    pub fn give(&mut self, at: Timestamp, line: &str) -> Result<Verdict, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut words = Words { words: words.into_iter() };
        let verb = words.next("verb")?;
        let (actor, command) = self.read_command(verb, &mut words, at)?;
        Ok(self.direct(at, actor, command))
    }

    fn must(&mut self, at: Timestamp, actor: Actor, command: Command) -> Result<Accepted, String> {
        match self.direct(at, actor, command) {
            Verdict::Accepted(accepted) => Ok(accepted),
            Verdict::Rejected(rejection) => Err(format!("the set-up was refused: {rejection:?}")),
        }
    }

    fn envelope(&mut self, actor: Actor, command: Command) -> Envelope {
        self.keys = self.keys.saturating_add(1);
        let id = CommandId::derive_system("script", &self.keys.to_string(), "");
        Envelope { id, actor, command }
    }

    /// Puts what a line says into the entry; says whose verdict the line waits for.
    fn read(&mut self, line: &Line<'_>, entry: &mut Entry) -> Result<Option<Asked>, String> {
        let mut words = Words { words: line.words.clone().into_iter() };
        let verb = words.next("verb")?;
        match verb {
            "tick" => self.read_tick(&mut words, entry).map(|()| None),
            "silence" => {
                self.silent.insert(edge_named(words.next("edge")?)?);
                Ok(None)
            }
            "in" => self.read_sign_in(&mut words, line.at, entry).map(Some),
            "bid" | "offer" => self.read_intake(verb, &mut words, line.at, entry).map(Some),
            _ => {
                let (actor, command) = self.read_command(verb, &mut words, line.at)?;
                let place = entry
                    .commands
                    .iter()
                    .filter(|known| matches!(known, LogCommand::Direct(_)))
                    .count();
                let envelope = self.envelope(actor, command);
                entry.commands.push(LogCommand::Direct(envelope));
                Ok(Some(Asked::Direct(place)))
            }
        }
    }

    fn read_tick(&mut self, words: &mut Words<'_>, entry: &mut Entry) -> Result<(), String> {
        while let Ok(word) = words.next("option") {
            match word {
                "marks" => {
                    let watermark = parse_time(words.next("mark")?)?;
                    let edges: Vec<EdgeId> =
                        self.market.intake().map(|edge| edge.edge.clone()).collect();
                    for edge in edges {
                        let tail = self.tail(&edge);
                        entry.marks.push((edge, Mark { watermark, tail }));
                    }
                }
                "mark" => {
                    let edge = edge_named(words.next("edge")?)?;
                    let watermark = parse_time(words.next("mark")?)?;
                    let tail = self.tail(&edge);
                    entry.marks.push((edge, Mark { watermark, tail }));
                }
                "outage" => {}
                "term" => {
                    self.term = self.term.saturating_add(1);
                    entry.term = self.term;
                }
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(())
    }

    fn tail(&self, edge: &EdgeId) -> Tail {
        self.tails.get(edge).copied().unwrap_or(Tail::START)
    }

    fn read_intake(
        &mut self,
        verb: &str,
        words: &mut Words<'_>,
        at: Timestamp,
        entry: &mut Entry,
    ) -> Result<Asked, String> {
        let target = words.next("target")?;
        let user = person(words.next("person")?)?;
        let amount = words.money()?;
        let options = read_options(words)?;
        let stamp = options.stamp.unwrap_or(at);
        self.keys = self.keys.saturating_add(1);
        let key = options.key.unwrap_or_else(|| format!("key-{}", self.keys));
        let command = CommandId::derive(user, &key, verb, target);
        let valid_until = stamp.plus(options.valid.unwrap_or(Millis::from_secs(120)));
        let intake = if verb == "bid" {
            let auction = auction_named(target)?;
            let maximum = options.maximum.map(Maximum::new);
            Intake::Bid(PlaceBid { command, auction, bidder: user, amount, maximum, valid_until })
        } else {
            let auction =
                options.opens.map_or_else(|| auction_named("A"), Ok::<AuctionId, String>)?;
            Intake::Offer(SubmitOffer {
                command,
                offer: OfferId::from_bits(self.keys.into()),
                auction,
                story: story_named(target)?,
                buyer: user,
                amount,
                note: options.note,
                ship_to: options.ship_to,
                eligibility: options.eligibility.unwrap_or(Eligibility::Allowed),
                bid_if_open: options.if_open,
                valid_until,
            })
        };
        let intake = match &options.signed {
            Some(signer) => signer.sign(self.cluster(), intake),
            None => intake,
        };
        let edge = options.via.map_or_else(|| edge_named("e1"), Ok::<EdgeId, String>)?;
        let stamp = Stamp { earliest: stamp, latest: stamp.plus(Millis::new(options.width)) };
        let journaled = JournalEntry::after(self.tail(&edge), stamp, intake);
        self.tails.insert(edge.clone(), journaled.tail());
        let asked = Asked::Intake(edge.clone(), journaled.seq);
        entry.commands.push(LogCommand::Batch(Batch {
            edge,
            mark: None,
            entries: vec![journaled],
        }));
        Ok(asked)
    }

    fn read_command(
        &self,
        verb: &str,
        words: &mut Words<'_>,
        at: Timestamp,
    ) -> Result<(Actor, Command), String> {
        if let Some(read) = self.read_story_line(verb, words) {
            return read;
        }
        match verb {
            "accept" => {
                let auction = auction_named(words.next("auction")?)?;
                let maker = person(words.next("maker")?)?;
                let amount = words.money()?;
                let row = self.market.auction(auction).ok_or("no such auction")?;
                let expected = row
                    .bids()
                    .find(|bid| bid.amount == amount)
                    .map(|bid| bid.bid_id)
                    .ok_or("no bid of this amount")?;
                Ok((
                    Actor::User(maker),
                    Command::Auction(AuctionCommand::AcceptHighest { auction, expected }),
                ))
            }
            "cancel" => {
                let auction = auction_named(words.next("auction")?)?;
                let reason = Note::parse("by the operator").map_err(|why| why.to_string())?;
                Ok((
                    Actor::Cluster,
                    Command::Auction(AuctionCommand::CancelAuction { auction, reason }),
                ))
            }
            "archive" => {
                let max = words.next("how many")?.parse().map_err(|_| "how many")?;
                Ok((Actor::Cluster, Command::Cluster(ClusterCommand::Archive { max })))
            }
            "checkout" | "opened" | "refused" | "ended" | "paid" | "expired" => {
                self.read_payment(verb, words, at)
            }
            _ if orders::is_verb(verb) => self.read_order(verb, words, at),
            _ => match self.read_money(verb, words, at)? {
                Some(read) => Ok(read),
                None if signing::VERBS.contains(&verb) => self.read_signing(verb, words),
                None if auctions::VERBS.contains(&verb) => self.read_auction_command(verb, words),
                None => self.read_govern(verb, words),
            },
        }
    }

    fn read_payment(
        &self,
        verb: &str,
        words: &mut Words<'_>,
        at: Timestamp,
    ) -> Result<(Actor, Command), String> {
        let name = words.next("auction")?;
        let auction = self.market.auction(auction_named(name)?).ok_or("no such auction")?;
        let lock = auction.lock().ok_or("the auction has no lock")?;
        let attempts = self.market.lock(lock).map_or(0, |row| row.attempts().len());
        let attempt = u32::try_from(attempts).unwrap_or(u32::MAX);
        let session = format!("cs_{name}_{attempt}");
        let wanted = if verb == "ended" { "expire_checkout" } else { "open_checkout" };
        let effect = self
            .market
            .outbox()
            .find(|pending| pending.effect.kind() == wanted)
            .map_or(fairground_types::EffectId::from_bits(0), |pending| pending.id);
        let command = match verb {
            "checkout" => {
                let buyer = person(words.next("buyer")?)?;
                let start = StartCheckout {
                    lock,
                    return_url: "http://e1.example/back".to_owned(),
                    cancel_url: "http://e1.example/cancel".to_owned(),
                };
                return Ok((
                    Actor::User(buyer),
                    Command::Payment(PaymentCommand::StartCheckout(start)),
                ));
            }
            "opened" => Command::Payment(PaymentCommand::CheckoutOpened(CheckoutOpened {
                effect,
                lock,
                attempt,
                checkout_session: session,
                url: "http://pay.example/1".to_owned(),
                expires_at: at.plus(Millis::from_hours(24)),
            })),
            "ended" => Command::Payment(PaymentCommand::CheckoutEnded {
                effect,
                lock,
                attempt,
                end: CheckoutEnd::Ended,
            }),
            "refused" => Command::Payment(PaymentCommand::CheckoutRefused {
                effect,
                lock,
                attempt,
                reason: "declined".to_owned(),
            }),
            _ => {
                let is_paid = verb == "paid";
                let amount = if is_paid { Some(words.money()?) } else { None };
                let event = words.next("event")?;
                let created = words.next("created").map_or(Ok(at), parse_time)?;
                Command::Payment(PaymentCommand::RecordProviderEvent(ProviderEvent {
                    event: event.to_owned(),
                    kind: if is_paid {
                        ProviderEventKind::CheckoutPaid
                    } else {
                        ProviderEventKind::CheckoutExpired
                    },
                    created,
                    lock: Some(lock),
                    checkout_session: Some(session),
                    payment: Some(format!("pi_{event}")),
                    amount,
                    raw: Digest::of(event.as_bytes()),
                    new_order: order_of(name)?,
                }))
            }
        };
        Ok((Actor::Cluster, command))
    }
}

/// Whose verdict a line waits for.
#[derive(PartialEq)]
enum Asked {
    Direct(usize),
    Intake(EdgeId, u64),
}

fn parse_line(number: usize, text: &str, before: Timestamp) -> Result<Line<'_>, String> {
    let (left, right) = text.split_once("->").unwrap_or((text, ""));
    let mut words: Vec<&str> = left.split_whitespace().collect();
    if words.is_empty() {
        return Err(format!("line {number}: nothing left of the arrow"));
    }
    let first = words.remove(0);
    let joins = first == "+";
    let at = if joins { before } else { parse_time(first)? };
    let expected =
        right.split(';').map(str::trim).filter(|fact| !fact.is_empty()).map(str::to_owned);
    Ok(Line { number, at, joins, words, expected: expected.collect() })
}

fn read_options(words: &mut Words<'_>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Ok(word) = words.next("option") {
        match word {
            "via" => options.via = Some(edge_named(words.next("edge")?)?),
            "stamp" => options.stamp = Some(parse_time(words.next("stamp")?)?),
            "width" => {
                let width = words.next("width")?;
                options.width = width.parse().map_err(|_| format!("width {width}"))?;
            }
            "valid" => options.valid = Some(parse_length(words.next("length")?)?),
            "key" => options.key = Some(words.next("key")?.to_owned()),
            "if-open" => options.if_open = true,
            "signed" => options.signed = Some(DeviceSigner::named(words.next("key")?)),
            "up-to" => options.maximum = Some(words.money()?),
            "note" => {
                let note = OfferNote::parse(words.next("note")?);
                options.note = Some(note.map_err(|why| why.to_string())?);
            }
            "to" => {
                let country = Country::parse(words.next("country")?);
                options.ship_to = Some(country.map_err(|why| why.to_string())?);
            }
            "unchecked" => options.eligibility = Some(Eligibility::Unknown),
            "denied" => options.eligibility = Some(Eligibility::Denied),
            "opens" => options.opens = Some(auction_named(words.next("auction")?)?),
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(options)
}

/// Somebody by a letter.
///
/// # Errors
/// When it is no letter.
pub fn person(letter: &str) -> Result<UserId, String> {
    match letter.as_bytes() {
        [byte @ b'a'..=b'z'] => Ok(UserId::from_bits(u128::from(*byte))),
        _ => Err(format!("person {letter}")),
    }
}

fn letter(user: UserId) -> String {
    u8::try_from(user.to_bits())
        .map_or_else(|_| "?".to_owned(), |byte| char::from(byte).to_string())
}

/// An auction by a capital, and a number where there are many: `A`, `A7`.
///
/// # Errors
/// When it is no capital.
pub fn auction_named(capital: &str) -> Result<AuctionId, String> {
    let number = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() }
    };
    match capital.as_bytes() {
        [byte @ b'A'..=b'Z', digits @ ..] => number(digits)
            .map(|number| AuctionId::from_bits((number << 8) | u128::from(*byte)))
            .ok_or_else(|| format!("auction {capital}")),
        _ => Err(format!("auction {capital}")),
    }
}

fn capital(auction: AuctionId) -> String {
    let (bits, number) = (auction.to_bits() & 0xff, auction.to_bits() >> 8);
    let letter = u8::try_from(bits).map_or('?', char::from);
    if number == 0 { letter.to_string() } else { format!("{letter}{number}") }
}

/// The order that a payment in an auction makes.
///
/// # Errors
/// When the auction is no capital.
pub fn order_of(capital: &str) -> Result<OrderId, String> {
    auction_named(capital).map(|auction| OrderId::from_bits(auction.to_bits()))
}

/// `e1` to `e3`, first incarnation.
///
/// # Errors
/// When the name is not that of an edge.
pub fn edge_named(name: &str) -> Result<EdgeId, String> {
    EdgeId::new(name, 1).map_err(|why| why.to_string())
}

/// `S1`, `S2`.
///
/// # Errors
/// When the name is not that of a story.
pub fn story_named(name: &str) -> Result<StoryId, String> {
    let number: Option<u128> = name.strip_prefix('S').and_then(|digits| digits.parse().ok());
    number.map(StoryId::from_bits).ok_or_else(|| format!("story {name}"))
}

fn draft(title: &str, asset: AssetId) -> Result<StoryDraft, String> {
    let parsed = || -> Result<StoryDraft, fairground_types::text::TextError> {
        Ok(StoryDraft {
            title: Title::parse(title)?,
            short_description: Summary::parse("a bowl")?,
            category: Category::parse("ceramics")?,
            overview: Overview::parse("turned by hand")?,
            clips: vec![Clip { asset_id: asset, label: ClipLabel::parse("the wheel")? }],
            sections: StorySections::default(),
            tags: vec![],
            minimum_offer: Money::new(10_000, Currency::Eur),
            publish_when_approved: true,
        })
    };
    parsed().map_err(|why| why.to_string())
}
