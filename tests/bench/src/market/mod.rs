//! The market that is measured: its processes, its people, its auctions, and who bids.

pub(crate) mod api;
mod bidder;
pub(crate) mod cluster;
pub(crate) mod people;
pub(crate) mod stories;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fairground_kit::wait::until;
use fairground_load::drive::{Amounts, Figures, Run, drive};
use fairground_load::http::Target;
use fairground_load::report;

use self::bidder::{MarketBidder, Oddities};
use self::cluster::{Cluster, Shape};
use self::people::Person;
use self::stories::Maker;
use crate::place::Place;
use crate::process::cpu;

/// The offer that opens an auction, in minor units; bids begin one above.
pub(crate) const OPENING_MINOR: u64 = 100;
const ADMIN: &str = "admin@market.example";

/// A market with people in it.
pub(crate) struct Market {
    /// Its processes.
    pub(crate) cluster: Cluster,
    name: String,
    clip: PathBuf,
    admin: Person,
    makers: Vec<Maker>,
    bidders: Vec<Person>,
}

impl Market {
    /// Starts it and signs `bidders` accounts in.
    pub(crate) async fn start(place: &Place, shape: Shape, bidders: usize) -> anyhow::Result<Self> {
        let name = format!("fairground {}+{}", shape.members, shape.edges);
        let began = tokio::time::Instant::now();
        let clip = stories::clip(&place.dir).await?;
        let folder = name.replace([' ', '+'], "-");
        let cluster = Cluster::start(place, &folder, shape).await?;
        cluster.make_admin(ADMIN).await?;
        let edges = cluster.edges();
        let edge = edges.first().context("no edge")?;
        let admin = people::sign_in(edge, &cluster.inbox, ADMIN).await?;
        let crowd = people::crowd(&edges, &cluster.inbox, bidders.max(1)).await?;
        report::note(&format!("{name}: {bidders} bidders after {:?}", began.elapsed()));
        Ok(Self { cluster, name, clip, admin, makers: Vec::new(), bidders: crowd })
    }

    /// Members and edges, as the table says it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn edge(&self) -> anyhow::Result<Target> {
        self.cluster.edges().into_iter().next().context("no edge")
    }

    /// Lists so many stories and waits until every edge knows them.
    pub(crate) async fn list(&mut self, count: usize) -> anyhow::Result<Vec<String>> {
        let edge = self.edge()?;
        self.admin.freshen(&edge).await?;
        stories::makers(&self.cluster, &mut self.makers, &self.clip, count).await?;
        stories::list(&self.cluster, &mut self.makers, &self.admin, count).await
    }

    /// A new maker at the first edge. The number must be one that nobody else has.
    pub(crate) async fn maker(&self, number: usize) -> anyhow::Result<api::Api> {
        let edge = self.edge()?;
        let person = stories::join_maker(&edge, &self.cluster.inbox, number).await?;
        Ok(api::Api::new(&edge, Some(&person.authorization())))
    }

    /// Publishes clips of several sizes; answers the multivariant playlists of their playbacks.
    pub(crate) async fn publish_clips(&mut self) -> anyhow::Result<Vec<String>> {
        let folder = self.clip.parent().context("a clip in no folder")?;
        let mut playlists = Vec::new();
        // Their makers' numbers follow those of the makers of stories.
        for (number, clip) in stories::sizes(folder).await?.iter().enumerate() {
            playlists.push(stories::publish(&self.cluster, 1_000 + number, clip).await?);
        }
        Ok(playlists)
    }

    /// Opens an auction on each story by an offer.
    pub(crate) async fn open(&mut self, stories: Vec<String>) -> anyhow::Result<Vec<String>> {
        self.freshen(self.bidders.len()).await?;
        stories::open(&self.cluster, &self.bidders, stories, None).await
    }

    /// The same at a fixed rate, evenly over `spread`.
    pub(crate) async fn open_over(
        &mut self,
        stories: Vec<String>,
        spread: Duration,
    ) -> anyhow::Result<Vec<String>> {
        self.freshen(self.bidders.len()).await?;
        stories::open(&self.cluster, &self.bidders, stories, Some(spread)).await
    }

    /// So many new auctions, known to every edge.
    pub(crate) async fn auctions(&mut self, count: usize) -> anyhow::Result<Arc<Vec<String>>> {
        let stories = self.list(count).await?;
        let auctions = self.open(stories).await?;
        let last = auctions.last().cloned().unwrap_or_default();
        for edge in self.cluster.edges() {
            let mut api = api::Api::new(&edge, None);
            until("the auctions at every edge", Duration::from_secs(30), async || {
                let found = api.get(&format!("/v1/auctions/{last}")).await?;
                Ok((found["status"] == "open").then_some(()))
            })
            .await?;
        }
        Ok(Arc::new(auctions))
    }

    async fn freshen(&mut self, count: usize) -> anyhow::Result<()> {
        let edge = self.edge()?;
        let old: Vec<Person> = self.bidders.iter().take(count).cloned().collect();
        let fresh = people::in_parallel(old.len(), |number| {
            let (person, edge) = (old.get(number).cloned(), edge.clone());
            async move {
                let mut person = person.context("nobody")?;
                person.freshen(&edge).await?;
                Ok(person)
            }
        });
        for (person, fresh) in self.bidders.iter_mut().zip(fresh.await?) {
            *person = fresh;
        }
        Ok(())
    }

    /// Bidders with open connections, spread over the edges.
    pub(crate) async fn bidders(
        &mut self,
        count: usize,
        auctions: &Arc<Vec<String>>,
    ) -> anyhow::Result<(Vec<MarketBidder>, Arc<Oddities>)> {
        self.freshen(count).await?;
        let (edges, oddities) = (self.cluster.edges(), Arc::<Oddities>::default());
        let people: Vec<Person> = self.bidders.iter().cycle().take(count).cloned().collect();
        let opened = people::in_parallel(count, |number| {
            let edge = edges.get(number % edges.len().max(1)).cloned();
            let person = people.get(number).cloned();
            let (auctions, oddities) = (Arc::clone(auctions), Arc::clone(&oddities));
            async move {
                let (edge, person) = (edge.context("no edge")?, person.context("nobody")?);
                MarketBidder::open(edge, &person, auctions, oddities).await
            }
        });
        Ok((opened.await?, oddities))
    }

    /// The CPU time of members and edges so far.
    pub(crate) fn cpu(&self) -> impl Fn() -> Duration + use<> {
        let pids = self.cluster.pids();
        move || cpu(&pids)
    }

    /// Bids on these auctions for a run.
    pub(crate) async fn run(
        &mut self,
        bidders: usize,
        auctions: &Arc<Vec<String>>,
        amounts: &Arc<Amounts>,
        run: Run,
    ) -> anyhow::Result<Figures> {
        let (bidders, oddities) = self.bidders(bidders, auctions).await?;
        let figures = drive(bidders, amounts, run, self.cpu()).await?;
        oddities.tell(&self.name);
        Ok(figures)
    }
}
