//! A whole market as child processes on loopback: fakes, three members, two edges.
//!
//! ```text
//!  127.0.0.1   fakes (Stripe, mail, SMS)   m1 m2 m3: console, admin API, webhooks; QUIC
//!  127.0.0.2   e1 (eu-north)  \  one port, as content steering needs it
//!  127.0.0.3   e2 (eu-south)  /
//! ```

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::client::{Client, until};
use super::process::Daemon;
use crate::cli::{InitArgs, JoinArgs};
use crate::operator::{Operator, authorization};
use crate::{init, join};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const EDGES: [(&str, &str, Ipv4Addr); 2] = [
    ("edge-north", "eu-north", Ipv4Addr::new(127, 0, 0, 2)),
    ("edge-south", "eu-south", Ipv4Addr::new(127, 0, 0, 3)),
];
const PATIENCE: Duration = Duration::from_secs(30);
/// The account that approves stories.
pub(crate) const ADMIN_ADDRESS: &str = "admin@market.example";

/// Timing of the auctions of this market.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClusterOptions {
    /// From opening to the base close.
    pub(crate) initial: Duration,
    /// A bid with less than this left extends by as much.
    pub(crate) window: Duration,
}

impl ClusterOptions {
    /// Short enough for a run of minutes, long enough for a failover inside.
    pub(crate) const fn scenario() -> Self {
        Self { initial: Duration::from_secs(25), window: Duration::from_secs(3) }
    }
}

#[derive(Debug)]
struct Member {
    dir: PathBuf,
    http: SocketAddr,
    daemon: Daemon,
}

#[derive(Debug)]
struct Edge {
    url: String,
    daemon: Daemon,
}

/// The running market.
#[derive(Debug)]
pub(crate) struct Cluster {
    fakes: Daemon,
    inbox: String,
    members: Vec<Member>,
    edges: Vec<Edge>,
}

impl Cluster {
    /// Starts everything and waits until both edges take bids.
    pub(crate) async fn start(dir: &Path, options: ClusterOptions) -> anyhow::Result<Self> {
        let webhook = SocketAddr::new(LOOPBACK, free_tcp_port(LOOPBACK)?);
        let (fakes, addresses) = start_fakes(&dir.join("fakes"), webhook).await?;
        let inbox = addresses["inboxUrl"].as_str().context("no inboxUrl")?.to_owned();
        let mut cluster = Self { fakes, inbox, members: Vec::new(), edges: Vec::new() };
        cluster.add_first_member(dir, webhook, &addresses, options).await?;
        for number in [2, 3] {
            cluster.join_member(dir, number, &addresses, options).await?;
        }
        cluster.join_edges(dir).await?;
        cluster.wait_until_bid_ready().await?;
        Ok(cluster)
    }

    async fn add_first_member(
        &mut self,
        dir: &Path,
        http: SocketAddr,
        addresses: &Value,
        options: ClusterOptions,
    ) -> anyhow::Result<()> {
        let dir = dir.join("m1");
        let quic = SocketAddr::new(LOOPBACK, free_udp_port(LOOPBACK)?);
        write_member_config(&dir, http, quic, addresses, options)?;
        let arguments =
            InitArgs { dir: dir.clone(), cluster_listen: quic, http_listen: http, sandbox: true };
        init::run(arguments).await?;
        self.start_member(1, dir, http).await
    }

    async fn join_member(
        &mut self,
        dir: &Path,
        number: usize,
        addresses: &Value,
        options: ClusterOptions,
    ) -> anyhow::Result<()> {
        let dir = dir.join(format!("m{number}"));
        let http = SocketAddr::new(LOOPBACK, free_tcp_port(LOOPBACK)?);
        let quic = SocketAddr::new(LOOPBACK, free_udp_port(LOOPBACK)?);
        write_member_config(&dir, http, quic, addresses, options)?;
        let token_file = self.token_file(&dir, "member", "local").await?;
        join::run(JoinArgs {
            token_file,
            dir: dir.clone(),
            name: format!("m{number}"),
            cluster_listen: quic,
            http_listen: http,
            public_url: None,
        })
        .await?;
        self.start_member(number, dir, http).await
    }

    async fn start_member(
        &mut self,
        number: usize,
        dir: PathBuf,
        http: SocketAddr,
    ) -> anyhow::Result<()> {
        let config = dir.join("coordinator.toml");
        let arguments = ["coordinator", "--config", &config.to_string_lossy()];
        let mut daemon = Daemon::new(&format!("m{number}"), &dir, &arguments);
        daemon.start()?;
        daemon.ready(PATIENCE).await?;
        self.members.push(Member { dir, http, daemon });
        Ok(())
    }

    async fn join_edges(&mut self, dir: &Path) -> anyhow::Result<()> {
        let ips = EDGES.map(|(_, _, ip)| IpAddr::V4(ip));
        let port = common_free_port(&ips)?;
        for (name, region, ip) in EDGES {
            let dir = dir.join(name);
            std::fs::create_dir_all(&dir)?;
            let http = SocketAddr::new(IpAddr::V4(ip), port);
            let token_file = self.token_file(&dir, "edge", region).await?;
            join::run(JoinArgs {
                token_file,
                dir: dir.clone(),
                name: name.to_owned(),
                cluster_listen: http,
                http_listen: http,
                public_url: None,
            })
            .await?;
            let config = dir.join("node.toml");
            show_all_rungs(&config)?;
            let arguments = ["node", "--config", &config.to_string_lossy()];
            let mut daemon = Daemon::new(name, &dir, &arguments);
            daemon.start()?;
            self.edges.push(Edge { url: format!("http://{http}"), daemon });
        }
        for edge in &mut self.edges {
            edge.daemon.ready(PATIENCE).await?;
        }
        Ok(())
    }

    async fn token_file(&self, dir: &Path, role: &str, region: &str) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(dir)?;
        let first = self.members.first().context("no member yet")?;
        let body = json!({"role": role, "region": region, "ttlMs": 600_000});
        let operator = Operator::at(&first.dir)?;
        let made = until("a join token", PATIENCE, || async {
            Ok(Some(operator.post("/v1/cluster/tokens", &body).await?))
        })
        .await?;
        let file = dir.join("join.token");
        std::fs::write(&file, made["token"].as_str().context("no token")?)?;
        restrict(&file)?;
        Ok(file)
    }

    async fn wait_until_bid_ready(&self) -> anyhow::Result<()> {
        for edge in self.edge_urls() {
            let client = Client::new(&edge)?;
            until("both edges take bids", PATIENCE, || async {
                let listed = client.get("/v1/edges").await?;
                let ready = listed["edges"].as_array().map_or(0, |edges| {
                    edges.iter().filter(|edge| edge["takesBids"] == true).count()
                });
                Ok((ready == EDGES.len()).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    pub(crate) fn edge_urls(&self) -> Vec<String> {
        self.edges.iter().map(|edge| edge.url.clone()).collect()
    }

    pub(crate) fn console_url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.members.first().context("no member")?.http))
    }

    pub(crate) fn inbox_url(&self) -> String {
        self.inbox.clone()
    }

    /// Makes the admin account and signs it in at the first member that answers.
    pub(crate) async fn admin(&self) -> anyhow::Result<Client> {
        let first = self.members.first().context("no member")?;
        let body = json!({
            "identifier": ADMIN_ADDRESS, "channel": "email", "handle": "admin-1", "roles": ["admin"],
        });
        Operator::at(&first.dir)?.post("/v1/cluster/accounts", &body).await?;
        let mut admin = Client::new(&format!("http://{}", first.http))?;
        admin.sign_in(&self.inbox, ADMIN_ADDRESS).await?;
        Ok(admin)
    }

    /// One operator's client per member.
    pub(crate) fn admins(&self) -> anyhow::Result<Vec<Client>> {
        self.members
            .iter()
            .map(|member| {
                let client = Client::new(&format!("http://{}", member.http))?;
                Ok(client.with_token(authorization(&member.dir)?))
            })
            .collect()
    }

    pub(crate) fn member_rss_mb(&self) -> Option<u64> {
        self.members.iter().filter_map(|member| member.daemon.resident_mb()).max()
    }

    pub(crate) fn edge_rss_mb(&self) -> Option<u64> {
        self.edges.iter().filter_map(|edge| edge.daemon.resident_mb()).max()
    }

    /// Stops every member in order; the edges stay.
    pub(crate) async fn stop_members(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.daemon.stop(Duration::from_secs(10)).await?;
        }
        Ok(())
    }

    /// Starts every member that is not there, and waits for a leader and for the edges.
    pub(crate) async fn start_members(&mut self) -> anyhow::Result<()> {
        for member in self.members.iter_mut().filter(|member| !member.daemon.is_running()) {
            member.daemon.start()?;
        }
        for member in &mut self.members {
            member.daemon.ready(PATIENCE).await?;
        }
        self.wait_until_bid_ready().await
    }

    /// The name of the leader.
    pub(crate) async fn leader(&self) -> anyhow::Result<String> {
        let asked = self.admins()?.into_iter().next().context("no member")?;
        let leader = until("a leader", PATIENCE, || async {
            Ok(asked.get("/v1/admin/status").await?["leader"].as_u64())
        })
        .await?;
        Ok(format!("m{leader}"))
    }

    /// Kills a member with SIGKILL.
    pub(crate) async fn kill_member(&mut self, name: &str) -> anyhow::Result<()> {
        let member = self.members.iter_mut().find(|member| member.daemon.name == name);
        member.with_context(|| format!("{name} is none of ours"))?.daemon.kill().await
    }

    /// Kills an edge with SIGKILL and starts it again.
    pub(crate) async fn restart_edge(&mut self, number: usize) -> anyhow::Result<String> {
        let edge = self.edges.get_mut(number).context("no such edge")?;
        edge.daemon.kill().await?;
        edge.daemon.start()?;
        edge.daemon.ready(PATIENCE).await?;
        Ok(edge.daemon.name.clone())
    }

    /// Waits until all members have one digest at one index.
    pub(crate) async fn equal_digests(&self) -> anyhow::Result<(u64, String)> {
        let members = self.admins()?;
        until("equal digests", Duration::from_secs(30), || async {
            let mut indexes = Vec::new();
            for member in &members {
                indexes.push(
                    member.get("/v1/admin/status").await?["appliedIndex"].as_u64().unwrap_or(0),
                );
            }
            let index = indexes.into_iter().min().unwrap_or(0);
            let mut digests = Vec::new();
            for member in &members {
                let found = member.get(&format!("/v1/admin/digest?index={index}")).await?;
                digests.push(found["digest"].as_str().context("no digest")?.to_owned());
            }
            let first = digests.first().cloned().unwrap_or_default();
            ensure!(digests.iter().all(|digest| *digest == first), "at {index}: {digests:?}");
            Ok((index > 0).then_some((index, first)))
        })
        .await
    }

    /// Stops everything, edges first.
    pub(crate) async fn stop(&mut self) {
        let patience = Duration::from_secs(5);
        let edges = self.edges.iter_mut().map(|edge| &mut edge.daemon);
        let members = self.members.iter_mut().map(|member| &mut member.daemon);
        for daemon in edges.chain(members).chain([&mut self.fakes]) {
            // A daemon that cannot be waited for is killed when it is dropped.
            let _ = daemon.stop(patience).await;
        }
    }
}

async fn start_fakes(dir: &Path, webhook: SocketAddr) -> anyhow::Result<(Daemon, Value)> {
    std::fs::create_dir_all(dir)?;
    write_secret(&dir.join("webhook.secret"), &format!("whsec_{}", uuid::Uuid::new_v4().simple()))?;
    write_secret(&dir.join("stripe.key"), &format!("sk_test_{}", uuid::Uuid::new_v4().simple()))?;
    let text = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let url = format!("http://{webhook}/v1/webhooks/stripe");
    let (secret, key, folder) = (text("webhook.secret"), text("stripe.key"), dir.to_string_lossy());
    let arguments = [
        "fakes",
        "--dir",
        &folder,
        "--webhook-url",
        &url,
        "--webhook-secret-file",
        &secret,
        "--stripe-key-file",
        &key,
    ];
    let mut daemon = Daemon::new("fakes", dir, &arguments);
    daemon.start()?;
    daemon.ready(PATIENCE).await?;
    let mut addresses: Value = serde_json::from_slice(&std::fs::read(dir.join("ready.json"))?)?;
    addresses["secretFile"] = secret.into();
    addresses["keyFile"] = key.into();
    Ok((daemon, addresses))
}

fn write_member_config(
    dir: &Path,
    http: SocketAddr,
    quic: SocketAddr,
    addresses: &Value,
    options: ClusterOptions,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let text = |member: &str| addresses[member].as_str().unwrap_or_default().to_owned();
    let (initial, window) = (options.initial.as_millis(), options.window.as_millis());
    let config = format!(
        r#"dir = {dir:?}
cluster_listen = "{quic}"
http_listen = "{http}"
public_url = "http://{http}"
sandbox = true

[mail]
smtp_address = "{smtp}"
from = "market@market.example"

[stripe]
base_url = "{stripe}"
secret_key_file = "{key}"
webhook_secret_file = "{secret}"

[policy.stories]
clips_min = 1

[policy.auction]
initial = {initial}
window = {window}
extension = {window}
extension_total_max = {extension_total}
total_max = 604800000
grace = 5000
increment = 100
"#,
        smtp = text("smtpAddr"),
        stripe = text("stripeUrl"),
        key = text("keyFile"),
        secret = text("secretFile"),
        extension_total = window * 20,
    );
    std::fs::write(dir.join("coordinator.toml"), config)?;
    Ok(())
}

fn write_secret(file: &Path, secret: &str) -> anyhow::Result<()> {
    std::fs::write(file, secret)?;
    restrict(file)
}

fn restrict(file: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn free_tcp_port(ip: IpAddr) -> anyhow::Result<u16> {
    Ok(TcpListener::bind((ip, 0))?.local_addr()?.port())
}

fn free_udp_port(ip: IpAddr) -> anyhow::Result<u16> {
    Ok(UdpSocket::bind((ip, 0))?.local_addr()?.port())
}

/// A TCP port that is free on every one of the addresses.
fn common_free_port(ips: &[IpAddr]) -> anyhow::Result<u16> {
    for _ in 0..50 {
        let port = free_tcp_port(LOOPBACK)?;
        if ips.iter().all(|ip| TcpListener::bind((*ip, port)).is_ok()) {
            return Ok(port);
        }
    }
    bail!("no TCP port is free on all of {ips:?}")
}

/// A demo shows AV1 also where a clip would do without it.
fn show_all_rungs(config: &Path) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).open(config)?;
    Ok(file.write_all(b"\n[transcode]\nav1_keeps_all = true\n")?)
}
