//! A market as processes on loopback: stand-ins, three members behind proxies, two edges.
//!
//! ```text
//!   e1  e2  ----------> [proxy 1] -> m1 <- [proxy 1] <------- m2 m3
//!   HTTP on 127.0.0.2, .3          ...       each member advertises its proxy
//! ```
//! It is set up as an operator would: `init`, `join`, configuration files. It must not know what is
//! done to it. Read next: [`people`] for who is in it, [`bidder`] for what they do.

pub mod api;
pub mod bidder;
pub mod people;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use fairground_kit::answer::text_at;
use fairground_kit::place::{free_tcp, free_udp, write_secret};
use fairground_kit::wait::until;
use serde_json::{Value, json};
use tokio::time::Duration;

use self::api::Api;
use crate::process::{Daemon, run};
use crate::proxy::Proxy;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long a step of the set-up, or healing, may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a market is made of.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Members.
    pub members: usize,
    /// Edges.
    pub edges: usize,
    /// From an auction's opening to its base close.
    pub initial: Duration,
    /// A bid with less than this left extends by as much.
    pub window: Duration,
    /// Where an edge's folder is, when not beside the others: its number and the folder.
    pub edge_dir: Option<(usize, PathBuf)>,
    /// What a daemon finds in its environment: its name, then names and values.
    pub environment: Vec<(String, Vec<(String, String)>)>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            members: 3,
            edges: 2,
            initial: Duration::from_hours(1),
            window: Duration::from_secs(3),
            edge_dir: None,
            environment: Vec::new(),
        }
    }
}

/// A member of the market.
#[derive(Debug)]
pub struct Member {
    /// Its process.
    pub daemon: Daemon,
    /// Where it answers people of the market.
    pub http: SocketAddr,
    /// Where it really listens for others; what it sends comes from there.
    pub cluster: SocketAddr,
    /// What others must pass to reach it.
    pub proxy: Arc<Proxy>,
}

/// An edge of the market.
#[derive(Debug)]
pub struct Edge {
    /// Its process.
    pub daemon: Daemon,
    /// Its base URL.
    pub url: String,
    /// Counts its processes: odd while one may be there, even while there is none.
    pub life: Arc<AtomicU32>,
}

impl Edge {
    /// Starts its process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.life.fetch_add(1, Ordering::SeqCst);
        self.daemon.start()
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.life.fetch_add(1, Ordering::SeqCst);
        self.daemon.kill().await
    }
}

/// The running market.
#[derive(Debug)]
pub struct Market {
    binary: PathBuf,
    dir: PathBuf,
    shape: Shape,
    fakes: Daemon,
    smtp: String,
    /// Base URL of the inbox of the stand-ins.
    pub inbox: String,
    /// The members.
    pub members: Vec<Member>,
    /// The edges.
    pub edges: Vec<Edge>,
}

impl Market {
    /// Starts everything in `dir` and waits until all edges take bids.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start(binary: &Path, dir: &Path, shape: Shape, seed: u64) -> anyhow::Result<Self> {
        let dir = std::fs::canonicalize(dir)?;
        let (fakes, ready) = start_fakes(binary, &dir.join("fakes")).await?;
        let mut market = Self {
            binary: binary.to_owned(),
            dir,
            shape,
            fakes,
            smtp: text_at(&ready, "smtpAddr")?,
            inbox: text_at(&ready, "inboxUrl")?.trim_end_matches('/').to_owned(),
            members: Vec::new(),
            edges: Vec::new(),
        };
        for number in 0..market.shape.members {
            market.add_member(number, seed).await?;
        }
        for number in 0..market.shape.edges {
            market.add_edge(number).await?;
        }
        market.wait_until_bid_ready(PATIENCE).await?;
        Ok(market)
    }

    async fn add_member(&mut self, number: usize, seed: u64) -> anyhow::Result<()> {
        let name = format!("m{}", number + 1);
        let dir = self.dir.join(&name);
        std::fs::create_dir_all(&dir)?;
        let (http, cluster) = (free_tcp(LOOPBACK)?, free_udp(LOOPBACK)?);
        let part = u64::try_from(number)?;
        let proxy = Proxy::start(cluster, seed.wrapping_mul(31).wrapping_add(part)).await?;
        self.write_member_config(&dir, http, cluster, proxy.address())?;
        let folder = dir.to_string_lossy().into_owned();
        let (http_text, cluster_text) = (http.to_string(), cluster.to_string());
        let places =
            ["--dir", &folder, "--cluster-listen", &cluster_text, "--http-listen", &http_text];
        if number == 0 {
            run(&self.binary, &[&["init", "--sandbox"][..], &places].concat()).await?;
        } else {
            let token = self.token(&dir, "member").await?;
            let rest = ["join", "--name", &name, "--token-file", &token];
            run(&self.binary, &[&rest[..], &places].concat()).await?;
        }
        let config = dir.join("coordinator.toml").to_string_lossy().into_owned();
        let arguments = ["coordinator", "--config", &config];
        let mut daemon = Daemon::new(&name, &self.binary, &dir, &arguments);
        daemon.set_environment(self.environment_of(&name));
        daemon.start()?;
        daemon.ready(PATIENCE).await?;
        self.members.push(Member { daemon, http, cluster, proxy: Arc::new(proxy) });
        Ok(())
    }

    fn write_member_config(
        &self,
        dir: &Path,
        http: SocketAddr,
        cluster: SocketAddr,
        advertised: SocketAddr,
    ) -> anyhow::Result<()> {
        let (initial, window) = (self.shape.initial.as_millis(), self.shape.window.as_millis());
        let config = format!(
            r#"dir = {dir:?}
cluster_listen = "{cluster}"
cluster_advertise = "{advertised}"
http_listen = "{http}"
public_url = "http://{http}"
sandbox = true

[mail]
smtp_address = "{smtp}"
from = "market@market.example"

[policy.stories]
clips_min = 1

[policy.offers]
per_hour_max = {most}

[policy.auction]
initial = {initial}
window = {window}
extension = {window}
extension_total_max = {extensions}
total_max = 604800000
grace = 5000
increment = 0
bids_per_bidder_max = {most}

[policy.auction.increment_floor_minor]
eur = 1
"#,
            smtp = self.smtp,
            most = u32::MAX,
            extensions = window * 40,
        );
        std::fs::write(dir.join("coordinator.toml"), config)?;
        Ok(())
    }

    async fn add_edge(&mut self, number: usize) -> anyhow::Result<()> {
        let name = format!("e{}", number + 1);
        let dir = match &self.shape.edge_dir {
            Some((which, dir)) if *which == number => dir.clone(),
            Some(_) | None => self.dir.join(&name),
        };
        std::fs::create_dir_all(&dir)?;
        let last = u8::try_from(number + 2).context("too many edges")?;
        let http = free_tcp(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))?;
        if self.shape.edge_dir.as_ref().is_some_and(|(which, _)| *which == number) {
            // A place of its own is a small one: bids are what is looked at there.
            let config = format!(
                "dir = {dir:?}\nhttp_listen = \"{http}\"\npublic_url = \"http://{http}\"\n\
                 [transcode]\nenabled = false\n[cache]\nbudget = \"4 MiB\"\n"
            );
            std::fs::write(dir.join("node.toml"), config)?;
        }
        let token = self.token(&dir, "edge").await?;
        let (folder, http_text) = (dir.to_string_lossy().into_owned(), http.to_string());
        let rest = ["join", "--name", &name, "--token-file", &token, "--dir", &folder];
        let places = ["--cluster-listen", &http_text, "--http-listen", &http_text];
        run(&self.binary, &[&rest[..], &places].concat()).await?;
        let config = dir.join("node.toml").to_string_lossy().into_owned();
        let mut daemon = Daemon::new(&name, &self.binary, &dir, &["node", "--config", &config]);
        daemon.set_environment(self.environment_of(&name));
        let life = Arc::<AtomicU32>::default();
        let mut edge = Edge { daemon, url: format!("http://{http}"), life };
        edge.start()?;
        edge.daemon.ready(PATIENCE).await?;
        self.edges.push(edge);
        Ok(())
    }

    fn environment_of(&self, name: &str) -> Vec<(String, String)> {
        let mut all = self.shape.environment.iter();
        all.find(|(daemon, _)| daemon == name).map(|(_, set)| set.clone()).unwrap_or_default()
    }

    async fn token(&self, dir: &Path, role: &str) -> anyhow::Result<String> {
        let first = self.members.first().context("no member yet")?.daemon.dir().to_string_lossy();
        let arguments = ["token", "create", "--dir", &first, "--role", role];
        let token = until("a join token", PATIENCE, async || {
            Ok(Some(run(&self.binary, &arguments).await?))
        })
        .await?;
        let file = dir.join("join.token");
        write_secret(&file, &token)?;
        Ok(file.to_string_lossy().into_owned())
    }

    /// Waits until every edge knows that every edge takes bids.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn wait_until_bid_ready(&self, patience: Duration) -> anyhow::Result<()> {
        for edge in &self.edges {
            let api = Api::new(&edge.url)?;
            until("all edges take bids", patience, async || {
                let listed = api.get("/v1/edges").await?;
                let rows = listed["edges"].as_array().cloned().unwrap_or_default();
                let ready = rows.iter().filter(|row| row["takesBids"] == true).count();
                Ok((ready == self.edges.len()).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// A client of a member with its operator's key.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn operator(&self, number: usize) -> anyhow::Result<Api> {
        let member = self.members.get(number).context("no such member")?;
        let key = std::fs::read_to_string(member.daemon.dir().join("admin.key"))?;
        let api = Api::new(&format!("http://{}", member.http))?;
        Ok(api.with_authorization(&format!("Admin {}", key.trim())))
    }

    /// The number of the member that leads, by what the first one that answers says.
    ///
    /// # Errors
    /// When nobody knows one in time.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        until("a leader", PATIENCE, async || {
            for number in 0..self.members.len() {
                let Ok(status) = self.operator(number)?.get("/v1/admin/status").await else {
                    continue;
                };
                let leader = status["leader"].as_u64().and_then(|it| usize::try_from(it).ok());
                if let Some(leader) = leader.and_then(|leader| leader.checked_sub(1)) {
                    return Ok(Some(leader));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Lets every proxy pass everything.
    pub fn heal(&self) {
        for member in &self.members {
            member.proxy.heal();
        }
    }

    /// Starts what is not there and waits until all serve, and all members are on one index with
    /// one digest and no broken invariant.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn converge(&mut self) -> anyhow::Result<()> {
        self.heal();
        for member in self.members.iter_mut().filter(|member| !member.daemon.is_started()) {
            member.daemon.start()?;
        }
        for edge in self.edges.iter_mut().filter(|edge| !edge.daemon.is_started()) {
            edge.start()?;
        }
        for member in &mut self.members {
            member.daemon.ready(PATIENCE).await?;
        }
        for edge in &mut self.edges {
            edge.daemon.ready(PATIENCE).await?;
        }
        self.leader().await?;
        self.wait_until_bid_ready(PATIENCE).await?;
        self.equal_digests().await
    }

    /// Waits until all members have one digest at one index; nothing may be broken there.
    ///
    /// # Errors
    /// When that does not come about.
    pub async fn equal_digests(&self) -> anyhow::Result<()> {
        let members: Vec<Api> =
            (0..self.members.len()).map(|it| self.operator(it)).collect::<anyhow::Result<_>>()?;
        until("equal digests", PATIENCE, async || {
            let mut index = u64::MAX;
            for member in &members {
                let status = member.get("/v1/admin/status").await?;
                index = index.min(status["appliedIndex"].as_u64().unwrap_or(0));
            }
            let mut digests = Vec::new();
            for member in &members {
                let found = member.get(&format!("/v1/admin/digest?index={index}")).await?;
                digests.push(text_at(&found, "digest")?);
            }
            ensure!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{index}: {digests:?}");
            Ok(Some(()))
        })
        .await?;
        for member in &members {
            let found = member.get("/v1/admin/violations").await?;
            let is_clean = found["violations"].as_array().is_some_and(Vec::is_empty);
            ensure!(is_clean, "a member's invariants are broken: {found}");
        }
        Ok(())
    }

    /// Moves the test clock.
    ///
    /// # Errors
    /// When the cluster does not take it.
    pub async fn advance(&self, by: Duration) -> anyhow::Result<()> {
        let body = json!({"byMs": u64::try_from(by.as_millis())?, "reason": "to the close"});
        self.operator(0)?.post("/v1/admin/clock/advance", &body).await?;
        Ok(())
    }

    /// Stops everything, edges first.
    pub async fn stop(&mut self) {
        let edges = self.edges.iter_mut().map(|edge| &mut edge.daemon);
        let members = self.members.iter_mut().map(|member| &mut member.daemon);
        for daemon in edges.chain(members).chain([&mut self.fakes]) {
            // One that cannot be waited for is killed when it is dropped.
            let _ = daemon.stop().await;
        }
    }
}

async fn start_fakes(binary: &Path, dir: &Path) -> anyhow::Result<(Daemon, Value)> {
    std::fs::create_dir_all(dir)?;
    let file = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let (secret, key, folder) = (file("secret"), file("key"), dir.to_string_lossy());
    write_secret(Path::new(&secret), &format!("whsec_{}", uuid::Uuid::new_v4().simple()))?;
    write_secret(Path::new(&key), &format!("sk_test_{}", uuid::Uuid::new_v4().simple()))?;
    let arguments = [
        "fakes",
        "--dir",
        &folder,
        "--webhook-url",
        "http://127.0.0.1:9/",
        "--webhook-secret-file",
        &secret,
        "--stripe-key-file",
        &key,
    ];
    let mut daemon = Daemon::new("fakes", binary, dir, &arguments);
    daemon.start()?;
    let ready = daemon.ready(PATIENCE).await?;
    Ok((daemon, ready))
}
