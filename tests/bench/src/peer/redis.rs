//! Redis: a Lua script compares and sets, every write is synced before its answer.

use std::time::Duration;

use anyhow::{Context as _, bail};
use fairground_kit::place::{find, free_tcp};
use fairground_kit::wait::until;
use fairground_load::drive::{Bid, Bidder, Outcome};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::market::OPENING_MINOR;
use crate::place::{LOOPBACK, Place};
use crate::process::{Account, Daemon, Program};

const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a reply; the script answers a digit.
const REPLY_MAX: usize = 64 * 1024;

const SCRIPT: &str = "\
local amount = tonumber(ARGV[1])
local highest = tonumber(redis.call('HGET', KEYS[1], 'highest') or ARGV[3])
if amount <= highest then return 0 end
redis.call('HSET', KEYS[1], 'highest', ARGV[1], 'bidder', ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[2] .. ':' .. ARGV[1])
return 1";

/// Why it cannot run here, if so.
pub(crate) fn missing() -> Option<String> {
    let found = find("redis-server").is_some();
    (!found).then(|| "Redis is not installed (Debian: redis-server)".to_owned())
}

/// A server.
pub(crate) struct Redis {
    daemon: Daemon,
    port: u16,
    script: String,
}

impl Redis {
    /// Starts it with an append-only file that is synced at every write, and no snapshots.
    pub(crate) async fn start(place: &Place, name: &str) -> anyhow::Result<Self> {
        let dir = place.folder(name)?;
        let port = free_tcp(LOOPBACK)?.port();
        let (folder, port_text) = (dir.to_string_lossy().into_owned(), port.to_string());
        let file = find("redis-server").context("there is no redis-server")?;
        let arguments = [
            "--bind",
            "127.0.0.1",
            "--port",
            &port_text,
            "--dir",
            &folder,
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
            "--daemonize",
            "no",
        ];
        let program = Program::new("redis-server", Account::Own, &file, &arguments);
        let mut daemon = Daemon::start(program, dir.join("log"), Signal::TERM)?;
        let script = until("Redis answers", PATIENCE, async || {
            daemon.check()?;
            let mut link = Link::open(port).await?;
            Ok(Some(link.call(&["SCRIPT", "LOAD", SCRIPT]).await?))
        })
        .await?;
        Ok(Self { daemon, port, script })
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.daemon.pid().into_iter().collect()
    }

    /// Bidders with a connection each.
    pub(crate) async fn bidders(&self, count: usize) -> anyhow::Result<Vec<RedisBidder>> {
        let mut bidders = Vec::with_capacity(count);
        for number in 0..count {
            let link = Link::open(self.port).await?;
            bidders.push(RedisBidder { number, link, script: self.script.clone() });
        }
        Ok(bidders)
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.daemon.stop().await
    }
}

/// A connection that speaks RESP 2.
struct Link {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
}

impl Link {
    async fn open(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect((LOOPBACK, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), request: Vec::new() })
    }

    /// Sends a command; answers a simple, bulk or whole-number reply as text.
    async fn call(&mut self, words: &[&str]) -> anyhow::Result<String> {
        self.request.clear();
        self.request.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        self.stream.write_all(&self.request).await?;
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("+" | ":", text)) => Ok(text.to_owned()),
            Some(("$", length)) => {
                let length: usize = length.parse()?;
                if length > REPLY_MAX {
                    bail!("a reply of {length} bytes");
                }
                let mut text = vec![0; length + 2];
                self.stream.read_exact(&mut text).await?;
                text.truncate(length);
                Ok(String::from_utf8(text)?)
            }
            _ => bail!("Redis said {line:?}"),
        }
    }
}

/// Somebody who bids by the script.
pub(crate) struct RedisBidder {
    number: usize,
    link: Link,
    script: String,
}

impl Bidder for RedisBidder {
    async fn bid(&mut self, bid: Bid) -> Outcome {
        let (auction, bids) = (format!("auction:{}", bid.auction), format!("bids:{}", bid.auction));
        let (amount, number) = (bid.amount.to_string(), self.number.to_string());
        let floor = OPENING_MINOR.to_string();
        let words = ["EVALSHA", &self.script, "2", &auction, &bids, &amount, &number, &floor];
        match self.link.call(&words).await.as_deref() {
            Ok("1") => Outcome::Accepted,
            Ok("0") => Outcome::Refused,
            Ok(_) | Err(_) => Outcome::Undecided,
        }
    }
}
