//! PostgreSQL, synced at every commit: the transaction that a shop would write, and the server under
//! the batching front.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use fairground_kit::place::{find, free_tcp};
use fairground_kit::wait::until;
use fairground_load::drive::{Bid, Bidder, Outcome};
use rustix::process::Signal;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};

use crate::place::{LOOPBACK, Place};
use crate::process::{Account, Daemon, Program};

const PATIENCE: Duration = Duration::from_secs(30);
/// Connections of the pool that bidders share: more only makes the queue at the row longer.
pub(crate) const POOL: usize = 64;

/// Auctions and bids as a shop would keep them. Rows of auctions have room to be updated in place.
const SCHEMA: &str = "
CREATE TABLE auctions (
    id integer PRIMARY KEY, highest bigint NOT NULL, bidder integer, bids bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
CREATE TABLE bids (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, auction integer NOT NULL,
    bidder integer NOT NULL, amount bigint NOT NULL, at timestamptz NOT NULL DEFAULT now()
);";

/// A server, and perhaps one that follows it.
pub(crate) struct Postgres {
    dir: PathBuf,
    address: std::net::SocketAddr,
    server: Daemon,
    standby: Option<Daemon>,
}

/// Why it cannot run here, if so.
pub(crate) fn missing() -> Option<String> {
    let wanted = ["initdb", "postgres", "pg_basebackup"];
    let found = wanted.iter().all(|name| program(name).is_some());
    (!found).then(|| "PostgreSQL is not installed (Debian: postgresql)".to_owned())
}

/// A server program; Debian keeps them apart by version.
fn program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|dir| dir.path().join("bin").join(name))
        .filter(|file| file.is_file())
        .collect();
    found.sort();
    found.pop().or_else(|| find(name))
}

fn prepared(name: &str, arguments: &[&str]) -> anyhow::Result<Program> {
    let file = program(name).with_context(|| format!("there is no {name}"))?;
    Ok(Program::new(name, Account::Postgres, &file, arguments))
}

impl Postgres {
    /// Starts a server with so many auctions; with a standby, a commit waits until both have synced.
    pub(crate) async fn start(
        place: &Place,
        name: &str,
        auctions: usize,
        with_standby: bool,
    ) -> anyhow::Result<Self> {
        let dir = place.folder(name)?;
        give_to_postgres(&dir)?;
        let data = dir.join("data").to_string_lossy().into_owned();
        let arguments = ["-D", &data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"];
        prepared("initdb", &arguments)?.run().await?;
        let address = free_tcp(LOOPBACK)?;
        let server = serve(&dir, "data", address.port())?;
        let mut postgres = Self { dir, address, server, standby: None };
        let link = until("PostgreSQL answers", PATIENCE, async || {
            postgres.server.check()?;
            Ok(Some(connect(&postgres.config()).await?))
        })
        .await?;
        let client = &link.client;
        client.batch_execute(SCHEMA).await?;
        let rows = i32::try_from(auctions)?;
        let fill =
            "INSERT INTO auctions (id, highest) SELECT n, $2 FROM generate_series(0, $1 - 1) n";
        let floor = i64::try_from(crate::market::OPENING_MINOR)?;
        client.execute(fill, &[&rows, &floor]).await?;
        if with_standby {
            postgres.add_standby(client).await?;
        }
        client.batch_execute("CHECKPOINT").await?;
        Ok(postgres)
    }

    async fn add_standby(&mut self, client: &Client) -> anyhow::Result<()> {
        let copy = self.dir.join("standby").to_string_lossy().into_owned();
        let port = self.address.port().to_string();
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", "bench"];
        let arguments = [&from[..], &["-D", &copy, "-R", "-X", "stream", "-c", "fast"]].concat();
        prepared("pg_basebackup", &arguments)?.run().await?;
        self.standby = Some(serve(&self.dir, "standby", free_tcp(LOOPBACK)?.port())?);
        client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await?;
        client.batch_execute("SELECT pg_reload_conf()").await?;
        until("the standby is synchronous", PATIENCE, async || {
            let query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            Ok((client.query_one(query, &[]).await?.get::<_, i64>(0) == 1).then_some(()))
        })
        .await
    }

    /// How to connect.
    pub(crate) fn config(&self) -> String {
        format!("host=127.0.0.1 port={} user=bench dbname=postgres", self.address.port())
    }

    /// The servers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.server.pid().into_iter().chain(self.standby.as_ref().and_then(Daemon::pid)).collect()
    }

    /// Bidders that share a pool of connections.
    pub(crate) async fn bidders(&self, count: usize) -> anyhow::Result<Vec<LockingBidder>> {
        let size = count.min(POOL);
        let mut free = Vec::with_capacity(size);
        for _ in 0..size {
            free.push(Teller::open(&self.config()).await?);
        }
        let pool = Arc::new(Pool { free: Mutex::new(free), permits: Semaphore::new(size) });
        let numbers = 0..i32::try_from(count)?;
        Ok(numbers.map(|number| LockingBidder { number, pool: Arc::clone(&pool) }).collect())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(standby) = &mut self.standby {
            standby.stop().await?;
        }
        self.server.stop().await
    }
}

/// Settings beside the defaults: no checkpoint within a run, memory for all of it, nothing less
/// durable.
fn serve(dir: &Path, data: &str, port: u16) -> anyhow::Result<Daemon> {
    let (data_dir, port) = (dir.join(data).to_string_lossy().into_owned(), port.to_string());
    let sockets = format!("unix_socket_directories={}", dir.display());
    let mut arguments = vec!["-D", &data_dir, "-p", &port, "-c", &sockets];
    let settings = [
        "listen_addresses=127.0.0.1",
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "shared_buffers=256MB",
        "max_connections=200",
        "max_wal_size=4GB",
        "checkpoint_timeout=30min",
        "wal_level=replica",
        "hot_standby=on",
    ];
    arguments.extend(settings.iter().flat_map(|setting| ["-c", setting]));
    let log = dir.join(format!("{data}.log"));
    Daemon::start(prepared("postgres", &arguments)?, log, Signal::INT)
}

fn give_to_postgres(dir: &Path) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let accounts = std::fs::read_to_string("/etc/passwd")?;
    let line = accounts.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.context("there is no account `postgres`")?.split(':').skip(2);
    let user = fields.next().context("an odd /etc/passwd")?.parse()?;
    let group = fields.next().context("an odd /etc/passwd")?.parse()?;
    std::os::unix::fs::chown(dir, Some(user), Some(group))?;
    Ok(())
}

/// A client and the task that serves its connection, which end together.
pub(crate) struct Link {
    pub(crate) client: Client,
    _serving: JoinSet<()>,
}

/// Connects.
pub(crate) async fn connect(config: &str) -> anyhow::Result<Link> {
    let (client, connection) = tokio_postgres::connect(config, NoTls).await?;
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        // An error ends the connection, and whoever uses the client sees it.
        let _ = connection.await;
    });
    Ok(Link { client, _serving: serving })
}

struct Pool {
    free: Mutex<Vec<Teller>>,
    permits: Semaphore,
}

/// A connection with its statements.
struct Teller {
    link: Link,
    look: Statement,
    insert: Statement,
    raise: Statement,
}

impl Teller {
    async fn open(config: &str) -> anyhow::Result<Self> {
        let link = connect(config).await?;
        let client = &link.client;
        let look = client.prepare("SELECT highest FROM auctions WHERE id = $1 FOR UPDATE").await?;
        let insert = "INSERT INTO bids (auction, bidder, amount) VALUES ($1, $2, $3)";
        let insert = client.prepare(insert).await?;
        let raise = "UPDATE auctions SET highest = $2, bidder = $3, bids = bids + 1 WHERE id = $1";
        let raise = client.prepare(raise).await?;
        Ok(Self { link, look, insert, raise })
    }

    /// The transaction: lock the row, compare, insert, update, commit.
    async fn take(
        &mut self,
        auction: i32,
        bidder: i32,
        amount: i64,
    ) -> Result<bool, tokio_postgres::Error> {
        let transaction = self.link.client.transaction().await?;
        let highest: i64 = transaction.query_one(&self.look, &[&auction]).await?.get(0);
        if amount <= highest {
            transaction.rollback().await?;
            return Ok(false);
        }
        transaction.execute(&self.insert, &[&auction, &bidder, &amount]).await?;
        transaction.execute(&self.raise, &[&auction, &amount, &bidder]).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Somebody who bids by the transaction.
pub(crate) struct LockingBidder {
    number: i32,
    pool: Arc<Pool>,
}

impl LockingBidder {
    async fn try_bid(&self, bid: Bid) -> anyhow::Result<bool> {
        let (auction, amount) = (i32::try_from(bid.auction)?, i64::try_from(bid.amount)?);
        let _permit = self.pool.permits.acquire().await?;
        let free = || self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut teller = free().pop().context("the pool is empty")?;
        let taken = teller.take(auction, self.number, amount).await;
        free().push(teller);
        Ok(taken?)
    }
}

impl Bidder for LockingBidder {
    async fn bid(&mut self, bid: Bid) -> Outcome {
        match self.try_bid(bid).await {
            Ok(true) => Outcome::Accepted,
            Ok(false) => Outcome::Refused,
            Err(_) => Outcome::Undecided,
        }
    }
}
