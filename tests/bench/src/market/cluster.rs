//! Members and edges as processes of the binary, as an operator would start them; TLS at the edges.
//!
//! ```text
//!  127.0.0.1       fakes (mail)   m1 m2 m3: admin API, plain on loopback; QUIC
//!  127.0.0.2 ...   e1 e2 ...: HTTPS
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use fairground_kit::answer::text_at;
use fairground_kit::place::{free_tcp, free_udp, write_secret};
use fairground_kit::wait::until;
use fairground_load::http::Target;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::api::Api;
use crate::place::{LOOPBACK, Place, edge_ip};
use crate::process::{Account, Daemon, Program};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the market is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Members.
    pub(crate) members: usize,
    /// Edges.
    pub(crate) edges: usize,
    /// From an auction's opening to its close.
    pub(crate) initial: Duration,
}

/// The settings that differ from the defaults, as the table names them.
pub(crate) const SETTINGS: &str = "flat step of 1 minor unit, no extension within reach, no limit of \
bids per bidder, amounts to 999,999.99; unsigned bids at any amount (no device key is registered)";

struct Member {
    dir: PathBuf,
    http: SocketAddr,
    daemon: Daemon,
}

struct Edge {
    target: Target,
    daemon: Daemon,
}

/// A running market.
pub(crate) struct Cluster {
    binary: PathBuf,
    dir: PathBuf,
    shape: Shape,
    fakes: Daemon,
    /// Where mail can be read.
    pub(crate) inbox: Target,
    smtp: String,
    members: Vec<Member>,
    edges: Vec<Edge>,
}

impl Cluster {
    /// Starts everything in a folder of its own and waits until all edges take bids.
    pub(crate) async fn start(place: &Place, name: &str, shape: Shape) -> anyhow::Result<Self> {
        let binary = std::env::var_os("FAIRGROUND_BIN").map(PathBuf::from);
        let binary = binary.context("FAIRGROUND_BIN must name the binary to measure")?;
        let binary = std::fs::canonicalize(&binary)
            .with_context(|| format!("there is no {}", binary.display()))?;
        let dir = place.folder(name)?;
        let (fakes, inbox, smtp) = start_fakes(&binary, &dir.join("fakes")).await?;
        let mut cluster =
            Self { binary, dir, shape, fakes, inbox, smtp, members: Vec::new(), edges: Vec::new() };
        for number in 1..=shape.members.max(1) {
            cluster.add_member(number).await?;
        }
        for number in 0..shape.edges.max(1) {
            cluster.add_edge(place, number, "").await?;
        }
        cluster.wait_until_ready().await?;
        cluster.sign_nothing().await?;
        Ok(cluster)
    }

    fn verb(&self, name: &str, arguments: &[&str]) -> Program {
        Program::new(name, Account::Own, &self.binary, arguments)
    }

    async fn add_member(&mut self, number: usize) -> anyhow::Result<()> {
        let name = format!("m{number}");
        let dir = self.dir.join(&name);
        std::fs::create_dir_all(&dir)?;
        let (http, quic) = (free_tcp(LOOPBACK)?, free_udp(LOOPBACK)?);
        self.write_member_config(&dir, http, quic)?;
        let (folder, http_text, quic_text) =
            (dir.to_string_lossy().into_owned(), http.to_string(), quic.to_string());
        let places =
            ["--dir", &folder, "--cluster-listen", &quic_text, "--http-listen", &http_text];
        if number == 1 {
            let arguments = [&["init", "--sandbox"][..], &places].concat();
            self.verb("fairground init", &arguments).run().await?;
        } else {
            let token = self.token(&dir, "member").await?;
            let rest = ["join", "--name", &name, "--token-file", &token];
            self.verb("fairground join", &[&rest[..], &places].concat()).run().await?;
        }
        let config = dir.join("coordinator.toml").to_string_lossy().into_owned();
        let program = self.verb(&name, &["coordinator", "--config", &config]);
        let mut daemon = Daemon::start(program, dir.join("log"), Signal::TERM)?;
        daemon.ready(&dir, PATIENCE).await?;
        self.members.push(Member { dir, http, daemon });
        Ok(())
    }

    fn write_member_config(
        &self,
        dir: &Path,
        http: SocketAddr,
        quic: SocketAddr,
    ) -> anyhow::Result<()> {
        let initial = self.shape.initial.as_millis();
        let config = format!(
            r#"dir = {dir:?}
cluster_listen = "{quic}"
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
window = 1
extension = 1
extension_total_max = 1
total_max = 604800000
grace = 5000
increment = 0
bids_per_bidder_max = {most}

[policy.auction.increment_floor_minor]
eur = 1
"#,
            smtp = self.smtp,
            most = u32::MAX,
        );
        std::fs::write(dir.join("coordinator.toml"), config)?;
        Ok(())
    }

    /// Joins one more edge that has nothing and pulls nothing of this many bytes of media or more
    /// by itself, but keeps what it was asked for.
    pub(crate) async fn add_cold_edge(
        &mut self,
        place: &Place,
        bytes: u64,
    ) -> anyhow::Result<Target> {
        // Half of its cache is what an edge fills unasked.
        let budget = bytes.saturating_mul(2).saturating_sub(2);
        let more = format!("[cache]\nbudget = \"{budget} B\"\n");
        self.add_edge(place, self.edges.len(), &more).await?;
        self.edges().pop().context("no edge")
    }

    async fn add_edge(&mut self, place: &Place, number: usize, more: &str) -> anyhow::Result<()> {
        let name = format!("e{}", number + 1);
        let dir = self.dir.join(&name);
        std::fs::create_dir_all(&dir)?;
        let http = free_tcp(edge_ip(number)?)?;
        let config = format!(
            "dir = {dir:?}\nhttp_listen = \"{http}\"\npublic_url = \"https://{http}\"\n\
             http_tls_cert_file = {:?}\nhttp_tls_key_file = {:?}\n\
             [delivery]\nplayback_sizes_max = 0\n{more}",
            place.certificate, place.key
        );
        let file = dir.join("node.toml");
        std::fs::write(&file, config)?;
        let token = self.token(&dir, "edge").await?;
        let (folder, http_text) = (dir.to_string_lossy().into_owned(), http.to_string());
        let url = format!("https://{http}");
        let arguments = [
            "join",
            "--name",
            &name,
            "--token-file",
            &token,
            "--dir",
            &folder,
            "--cluster-listen",
            &http_text,
            "--http-listen",
            &http_text,
            "--public-url",
            &url,
        ];
        self.verb("fairground join", &arguments).run().await?;
        let program = self.verb(&name, &["node", "--config", &file.to_string_lossy()]);
        let mut daemon = Daemon::start(program, dir.join("log"), Signal::TERM)?;
        daemon.ready(&dir, PATIENCE).await?;
        let target = Target { address: http, tls: Some(place.trust.clone()) };
        self.edges.push(Edge { target, daemon });
        Ok(())
    }

    async fn token(&self, dir: &Path, role: &str) -> anyhow::Result<String> {
        let first = self.members.first().context("no member yet")?.dir.to_string_lossy();
        let arguments = ["token", "create", "--dir", &first, "--role", role];
        let made = self.verb("fairground token", &arguments);
        let token = until("a join token", PATIENCE, async || Ok(Some(made.run().await?))).await?;
        let file = dir.join("join.token");
        write_secret(&file, &token)?;
        Ok(file.to_string_lossy().into_owned())
    }

    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        for target in self.edges() {
            let mut api = Api::new(&target, None);
            until("all edges take bids", PATIENCE, async || {
                let listed = api.get("/v1/edges").await?;
                let rows = listed["edges"].as_array().cloned().unwrap_or_default();
                let ready = rows.iter().filter(|edge| edge["takesBids"] == true).count();
                Ok((ready == self.edges.len()).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Where the edges are.
    pub(crate) fn edges(&self) -> Vec<Target> {
        self.edges.iter().map(|edge| edge.target.clone()).collect()
    }

    /// Where the members are.
    pub(crate) fn members(&self) -> Vec<Target> {
        self.members.iter().map(|member| Target { address: member.http, tls: None }).collect()
    }

    /// The processes that are measured: members and edges.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let members = self.members.iter().map(|member| &member.daemon);
        members.chain(self.edges.iter().map(|edge| &edge.daemon)).filter_map(Daemon::pid).collect()
    }

    /// The processes of the edges alone.
    pub(crate) fn edge_pids(&self) -> Vec<u32> {
        self.edges.iter().filter_map(|edge| edge.daemon.pid()).collect()
    }

    /// What the key file of the first member stands for.
    pub(crate) fn operator(&self) -> anyhow::Result<String> {
        let first = self.members.first().context("no member")?;
        Ok(format!("Admin {}", std::fs::read_to_string(first.dir.join("admin.key"))?.trim()))
    }

    /// The load has no devices: no amount needs a signature.
    async fn sign_nothing(&self) -> anyhow::Result<()> {
        let most = 2_u64.pow(53) - 1;
        let body = json!({
            "baseVersion": 0,
            "policy": {"unsignedMaxMinor":
                {"eur": most, "usd": most, "gbp": most, "chf": most, "jpy": most, "kwd": most}},
            "reason": "the load has no devices",
        });
        let target = self.members().into_iter().next().context("no member")?;
        let mut api = Api::new(&target, Some(&self.operator()?));
        api.command("PUT", "/v1/admin/signatures", &body).await?;
        Ok(())
    }

    /// Makes the admin account.
    pub(crate) async fn make_admin(&self, address: &str) -> anyhow::Result<()> {
        let target = self.members().into_iter().next().context("no member")?;
        let body = json!({
            "identifier": address, "channel": "email", "handle": "admin-1", "roles": ["admin"],
        });
        Api::new(&target, Some(&self.operator()?)).post("/v1/cluster/accounts", &body).await?;
        Ok(())
    }

    /// Which member leads, from 0.
    pub(crate) async fn leader(&self) -> anyhow::Result<usize> {
        for (target, member) in self.members().iter().zip(&self.members) {
            if member.daemon.pid().is_none() {
                continue;
            }
            let status = Api::new(target, None).get("/v1/admin/status").await?;
            let leader = status["leader"].as_u64().and_then(|leader| usize::try_from(leader).ok());
            if let Some(leader) = leader.and_then(|leader| leader.checked_sub(1)) {
                return Ok(leader);
            }
        }
        bail!("nobody leads")
    }

    /// Kills a member as a power cut would.
    pub(crate) async fn kill_member(&mut self, number: usize) -> anyhow::Result<()> {
        self.members.get_mut(number).context("no such member")?.daemon.kill().await
    }

    /// Starts a member again and waits until all members are reachable and have caught up.
    pub(crate) async fn restart_member(&mut self, number: usize) -> anyhow::Result<()> {
        let member = self.members.get_mut(number).context("no such member")?;
        member.daemon.start_again()?;
        let dir = member.dir.clone();
        member.daemon.ready(&dir, PATIENCE).await?;
        let target = self.members().into_iter().nth(number).context("no such member")?;
        let mut api = Api::new(&target, None);
        until("all members on one index", PATIENCE, async || {
            let status = api.get("/v1/admin/status").await?;
            let rows = status["members"].as_array().cloned().unwrap_or_default();
            let applied = |row: &Value| row["appliedIndex"].as_u64();
            let newest = rows.iter().filter_map(applied).max().unwrap_or(0);
            let is_there = |row: &Value| applied(row).is_some_and(|at| at + 1_000 >= newest);
            let all = rows.len() == self.members.len() && rows.iter().all(is_there);
            Ok((all && status["leader"].is_u64()).then_some(()))
        })
        .await
    }

    /// Stops everything, edges first.
    pub(crate) async fn stop(&mut self) {
        let edges = self.edges.iter_mut().map(|edge| &mut edge.daemon);
        let members = self.members.iter_mut().map(|member| &mut member.daemon);
        for daemon in edges.chain(members).chain([&mut self.fakes]) {
            // One that cannot be waited for is killed when it is dropped.
            let _ = daemon.stop().await;
        }
    }
}

async fn start_fakes(binary: &Path, dir: &Path) -> anyhow::Result<(Daemon, Target, String)> {
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
    let program = Program::new("fakes", Account::Own, binary, &arguments);
    let mut daemon = Daemon::start(program, dir.join("log"), Signal::TERM)?;
    let ready = daemon.ready(dir, PATIENCE).await?;
    let inbox = text_at(&ready, "inboxUrl")?;
    let address = inbox.trim_start_matches("http://").trim_end_matches('/').parse()?;
    Ok((daemon, Target { address, tls: None }, text_at(&ready, "smtpAddr")?))
}
