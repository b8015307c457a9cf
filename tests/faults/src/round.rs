//! A round: auctions open, people bid, the nemesis strikes, everything heals and closes, every member
//! is asked for its record, and the history is checked.
//!
//! It must not know how a blow is struck or a rule checked. Read next: `crate::nemesis`,
//! `crate::history::check`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use fairground_kit::answer::text_at;
use fairground_kit::wait::until;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

use crate::history::check::{Report, check};
use crate::history::load::History;
use crate::history::{AuctionEnd, JudgedBid, Line, Operation, Recorder, Told, What};
use crate::market::bidder::{Bidder, Door, Load, Scene, millis};
use crate::market::people::{self, Maker, Opened, Person};
use crate::market::{Market, PATIENCE, Shape};
use crate::nemesis::{Nemesis, Plan, Recoveries};

/// How much is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bidders.
    pub bidders: usize,
    /// Auctions of a round.
    pub auctions: usize,
}

/// A market with people in it, for one round after another.
pub struct Stage {
    /// The market.
    pub market: Market,
    maker: Maker,
    people: Vec<Person>,
    size: Size,
    signed_in: Instant,
}

/// What came of a round.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the checker found.
    pub report: Report,
    /// How fast the market came back.
    pub recoveries: Recoveries,
    /// The history.
    pub file: PathBuf,
}

/// An access token is good for 15 minutes; older than this, everybody signs in again.
const SIGNED_IN_FOR: Duration = Duration::from_mins(6);

impl Stage {
    /// Starts the market and signs everybody in.
    ///
    /// # Errors
    /// When that fails.
    pub async fn set(
        binary: &Path,
        dir: &Path,
        shape: Shape,
        size: Size,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let market = Market::start(binary, dir, shape, seed).await.context("start the market")?;
        let maker = Maker::make(&market, dir).await.context("make a maker")?;
        let mut tasks = JoinSet::new();
        for number in 0..size.bidders {
            let edge = market.edges.get(number % market.edges.len().max(1)).context("no edge")?;
            let (edge, inbox) = (edge.url.clone(), market.inbox.clone());
            tasks.spawn(async move {
                let person = people::join(&edge, &inbox, &format!("buyer-{}", number + 1)).await;
                person.map(|person| (number, person))
            });
        }
        let mut people = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            people.push(joined??);
        }
        people.sort_by_key(|(number, _)| *number);
        let people = people.into_iter().map(|(_, person)| person).collect();
        Ok(Self { market, maker, people, size, signed_in: Instant::now() })
    }

    /// Signs everybody in again when tokens are getting old.
    async fn freshen(&mut self) -> anyhow::Result<()> {
        if self.signed_in.elapsed() < SIGNED_IN_FOR {
            return Ok(());
        }
        let edge = self.market.edges.first().context("no edge")?.url.clone();
        self.maker.sign_in_again(&edge, &self.market.inbox).await?;
        for person in &mut self.people {
            person.sign_in_again(&edge, &self.market.inbox).await?;
        }
        self.signed_in = Instant::now();
        Ok(())
    }

    /// Opens auctions and a history, and sets bidders to work; `act` is what happens meanwhile.
    ///
    /// # Errors
    /// When something does not come about; the history stays where it is.
    pub async fn play<T>(
        &mut self,
        seed: u64,
        file: &Path,
        act: impl AsyncFnOnce(&mut Market, &Arc<Scene>) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Report, T)> {
        self.freshen().await?;
        let mut opened = Vec::new();
        for number in 0..self.size.auctions {
            let buyer = self.people.get(number % self.people.len().max(1)).context("nobody")?;
            opened.push(self.maker.open(&self.market, &buyer.clone()).await?);
        }
        let scene = Arc::new(Scene {
            doors: self
                .market
                .edges
                .iter()
                .map(|edge| Door { url: edge.url.clone(), life: Arc::clone(&edge.life) })
                .collect(),
            auctions: opened.iter().map(|it| it.auction.clone()).collect(),
            recorder: Recorder::create(file, seed)?,
            load: Load::default(),
        });
        self.begin(&scene, &opened)?;
        let mut tasks = JoinSet::new();
        for (session, person) in (0_u32..).zip(&self.people) {
            let mut bidder = Bidder::new(session, person.clone(), Arc::clone(&scene), seed);
            let count = self.people.len();
            for auction in
                (0..opened.len()).filter(|it| Ok(*it % count) == usize::try_from(session))
            {
                bidder.has_sent(auction, people::OPENING_MINOR);
            }
            tasks.spawn(bidder.run());
        }
        let acted = act(&mut self.market, &scene).await;
        scene.load.stop();
        let mut bidders = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            bidders.push(joined??);
        }
        // The history is kept whole also when the market did not come back.
        scene.recorder.flush()?;
        let acted = acted?;
        self.market.converge().await.context("heal")?;
        let mut tasks = JoinSet::new();
        for bidder in bidders {
            tasks.spawn(bidder.settle());
        }
        while let Some(joined) = tasks.join_next().await {
            joined??;
        }
        for auction in &scene.auctions {
            let end = self.end_of(auction).await?;
            scene.recorder.write(&Line::End(end))?;
        }
        scene.recorder.flush()?;
        Ok((check(&History::read(file)?), acted))
    }

    /// A round under a plan.
    ///
    /// # Errors
    /// When the market does not come back; violations are in the outcome.
    pub async fn round(&mut self, plan: &Plan, seed: u64, file: &Path) -> anyhow::Result<Outcome> {
        let (report, recoveries) = self
            .play(seed, file, async |market, scene| {
                let nemesis = Nemesis::new(market, Arc::clone(scene), seed);
                let recoveries = nemesis.run(plan, seed).await?;
                // A last look at a calm market.
                sleep(Duration::from_millis(500)).await;
                Ok(recoveries)
            })
            .await?;
        Ok(Outcome { report, recoveries, file: file.to_owned() })
    }

    /// Who is who, and the offers that opened the auctions.
    fn begin(&self, scene: &Scene, opened: &[Opened]) -> anyhow::Result<()> {
        for (session, person) in (0_u32..).zip(&self.people) {
            let user = person.user.clone();
            scene.recorder.write(&Line::Session { session, user })?;
        }
        for (number, one) in opened.iter().enumerate() {
            let session = u32::try_from(number % self.people.len().max(1))?;
            let told = Told::Accepted { bid: one.bid.clone(), index: one.index, receipt: None };
            scene.recorder.write(&Line::Did(Operation {
                session,
                edge: session,
                life: None,
                called: 0,
                answered: Some(0),
                what: What::Bid {
                    key: format!("opening-{number}"),
                    auction: one.auction.clone(),
                    amount: people::OPENING_MINOR,
                    told,
                },
            }))?;
        }
        Ok(())
    }

    /// Waits for the end of an auction; all members must say the same of it.
    async fn end_of(&self, auction: &str) -> anyhow::Result<AuctionEnd> {
        let path = format!("/v1/admin/auctions/{auction}");
        let first = self.market.operator(0)?;
        let record = until("the close", PATIENCE * 2, async || {
            let record = first.get(&path).await?;
            Ok(record["endedAt"].is_string().then_some(record))
        })
        .await?;
        for number in 1..self.market.members.len() {
            let other = self.market.operator(number)?;
            until("the same record at every member", PATIENCE, async || {
                let same = other.get(&path).await?;
                ensure!(same == record, "member {} says {same}", number + 1);
                Ok(Some(()))
            })
            .await?;
        }
        end_of(auction, &record)
    }
}

fn end_of(auction: &str, record: &Value) -> anyhow::Result<AuctionEnd> {
    let bids = |member: &str| -> anyhow::Result<Vec<JudgedBid>> {
        let rows = record[member].as_array().with_context(|| format!("no {member}"))?;
        rows.iter().map(judged).collect()
    };
    let unheard = record["unheard"].as_array().cloned().unwrap_or_default();
    let policy = &record["policy"];
    let number = |value: &Value, what: &'static str| value.as_u64().context(what);
    Ok(AuctionEnd {
        auction: auction.to_owned(),
        increment_points: number(&policy["increment"], "no increment")?,
        increment_floor: number(&policy["increment_floor_minor"]["eur"], "no least increment")?,
        closes_at: millis(&record["closesAt"]).context("no closesAt")?,
        ended_at: millis(&record["endedAt"]),
        unheard: unheard.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        placed: bids("bids")?,
        refused: bids("refused")?,
        refused_count: number(&record["refusedCount"], "no refusedCount")?,
    })
}

fn judged(row: &Value) -> anyhow::Result<JudgedBid> {
    let number = |member: &str| {
        row[member].as_u64().with_context(|| format!("a bid without {member}: {row}"))
    };
    let time = |value: &Value| millis(value).with_context(|| format!("a bid without times: {row}"));
    Ok(JudgedBid {
        bid: text_at(row, "bidId")?,
        user: text_at(row, "bidder")?,
        amount: number("amountMinor")?,
        edge: text_at(row, "edge")?,
        seq: number("seq")?,
        earliest: time(&row["stamp"]["earliest"])?,
        latest: time(&row["stamp"]["latest"])?,
        index: number("index")?,
        at: time(&row["at"])?,
        code: row["code"].as_str().map(str::to_owned),
        late: row["late"] == true,
    })
}
