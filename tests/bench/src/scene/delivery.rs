//! `delivery`: an edge beside nginx, over HTTPS, the same bytes, a signature checked by both.
//!
//! ```text
//!  clips -> market 1+1 -> playlists and segments -> files of nginx
//!                              |                        |
//!                              +------- h2load ---------+    one after the other, same connections
//! ```
//! The generator is Debian's `h2load`, which knows neither. Read next: `peer::nginx`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fairground_kit::place::find;
use fairground_load::http::Http;
use fairground_load::report::{self, Aim, cpu_per_gb, hundredths, with_point};

use super::{LONG, tell};
use crate::market::Market;
use crate::market::cluster::Shape;
use crate::peer::nginx::{self, Nginx};
use crate::place::{Place, machine};
use crate::process::{Account, Program, cpu};

/// Sizes that are looked for, in bytes: a playlist, a segment of a middle rung, one of a high rung.
const SIZES: [u64; 3] = [4_000, 300_000, 2_000_000];
/// How long one file may take to come.
const WAIT: Duration = Duration::from_secs(30);

/// An edge beside nginx.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeliveryArgs {
    /// Where all files are; a folder inside is made and removed.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Connections, one row each.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    pub(crate) connections: Vec<usize>,
    /// How long a row is measured, in seconds, after one second of warming up.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
}

/// What one run of the generator showed.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    requests: u64,
    p50_us: u64,
    p99_us: u64,
    cpu: Duration,
}

pub(crate) async fn delivery(arguments: DeliveryArgs) -> anyhow::Result<()> {
    let place = Place::make(arguments.dir.as_deref())?;
    report::line(&machine(&place.dir))?;
    report::line(
        "HTTPS, TLS 1.3, one request at a time on each connection, bodies as they are stored",
    )?;
    if let Some(reason) = missing() {
        return Ok(report::line(&format!("skipped: {reason}"))?);
    }
    let shape = Shape { members: 1, edges: 1, initial: LONG };
    let mut market = Market::start(&place, shape, 1).await?;
    let files = files(&mut market).await?;
    let bytes = files.iter().map(|(path, bytes)| (file_name(path), bytes.clone())).collect();
    let nginx = Nginx::start(&place, &bytes).await?;
    let edge = market.cluster.edges().into_iter().next().context("no edge")?;
    let edge_pids = market.cluster.edge_pids();
    report::line(&heads())?;
    let mut aims = Vec::new();
    for (path, body) in &files {
        let (name, length) = (file_name(path), u64::try_from(body.len())?);
        for protocol in ["h2", "h1"] {
            for &connections in &arguments.connections {
                let ours = format!("https://{}{path}", edge.address);
                let run = Run { protocol, connections, seconds: arguments.seconds };
                let ours = run.measure(&place, &ours, &edge_pids).await?;
                let theirs = run.measure(&place, &nginx.url(&name)?, &nginx.pids()).await?;
                report::line(&row(length, &run, &ours, &theirs))?;
                let ratio = hundredths(ours.requests, theirs.requests).unwrap_or(0);
                let aim = format!("{length} bytes, {protocol}, {connections}: at least nginx");
                aims.push(Aim::at_least(aim, ratio, 100));
            }
        }
    }
    tell(&aims)?;
    nginx.stop().await?;
    market.cluster.stop().await;
    Ok(())
}

fn missing() -> Option<String> {
    let generator = find("h2load").is_none();
    let reason = generator.then(|| "h2load is not installed (Debian: nghttp2-client)".to_owned());
    reason.or_else(nginx::missing)
}

/// Publishes clips and picks, of everything that a player would ask for, what comes nearest to each
/// size: paths at the edge, and the bytes.
async fn files(market: &mut Market) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let edge = market.cluster.edges().into_iter().next().context("no edge")?;
    let mut http = Http::new(edge.clone());
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for master in market.publish_clips().await? {
        let base = master.rsplit_once('/').context("an odd playback")?.0.to_owned();
        let text = fetch(&mut http, &master).await?;
        for playlist in uris(&text) {
            let path = format!("{base}/{playlist}");
            let text = fetch(&mut http, &path).await?;
            for segment in uris(&text) {
                let path = format!("{base}/{segment}");
                all.push((path.clone(), fetch(&mut http, &path).await?));
            }
            all.push((path, text));
        }
    }
    let mut picked = Vec::new();
    for wanted in SIZES {
        let away = |bytes: &Vec<u8>| u64::try_from(bytes.len()).unwrap_or(0).abs_diff(wanted);
        let best =
            all.iter().min_by_key(|(_, bytes)| away(bytes)).context("nothing was published")?;
        picked.push(best.clone());
    }
    Ok(picked)
}

pub(crate) async fn fetch(http: &mut Http, path: &str) -> anyhow::Result<Vec<u8>> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: edge\r\n\r\n");
    let answer = http.send(request.as_bytes(), WAIT).await?;
    ensure!(answer.status == 200, "{path} was answered {}", answer.status);
    Ok(answer.body.to_vec())
}

/// The URIs that stand on lines of their own.
pub(crate) fn uris(playlist: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(playlist);
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// A path at the edge as one name: what is after the token.
fn file_name(path: &str) -> String {
    path.splitn(4, '/').last().unwrap_or(path).replace('/', "-")
}

/// One run of the generator.
struct Run {
    protocol: &'static str,
    connections: usize,
    seconds: u64,
}

impl Run {
    async fn measure(&self, place: &Place, url: &str, pids: &[u32]) -> anyhow::Result<Seen> {
        let log = place.dir.join("h2load.log");
        // The generator appends.
        let _ = std::fs::remove_file(&log);
        let (clients, seconds) = (self.connections.to_string(), self.seconds.to_string());
        let log_file = format!("--log-file={}", log.display());
        let mut arguments =
            vec!["-c", &clients, "-m", "1", "-D", &seconds, "--warm-up-time=1s", &log_file];
        if self.protocol == "h1" {
            arguments.push("--h1");
        }
        arguments.push(url);
        let program = find("h2load").context("there is no h2load")?;
        let before = cpu(pids);
        let told = Program::new("h2load", Account::Own, &program, &arguments).run().await?;
        // The second of warming up is part of it on both sides.
        let spent = cpu(pids).saturating_sub(before);
        let wanted = if self.protocol == "h1" { "http/1.1" } else { "h2" };
        let spoken = told.lines().any(|line| line == format!("Application protocol: {wanted}"));
        ensure!(spoken, "{wanted} was not spoken:\n{told}");
        let mut times = times(&std::fs::read_to_string(&log)?)?;
        ensure!(!times.is_empty(), "nothing was answered:\n{told}");
        times.sort_unstable();
        let at = |hundredth: usize| times.get(times.len() * hundredth / 100).copied().unwrap_or(0);
        let requests = u64::try_from(times.len())? / self.seconds.max(1);
        Ok(Seen { requests, p50_us: at(50), p99_us: at(99), cpu: spent })
    }
}

/// Microseconds of each answer in the generator's log: start, status, time. One that failed ends the
/// measurement; what the end of the run cut off has no status and does not count.
fn times(log: &str) -> anyhow::Result<Vec<u64>> {
    log.lines()
        .filter(|line| line.split('\t').nth(1) != Some("0"))
        .map(|line| {
            let mut fields = line.split('\t').skip(1);
            let status = fields.next().unwrap_or_default();
            ensure!(status == "200", "an answer of status {status}");
            fields.next().and_then(|time| time.parse().ok()).context("an odd line of the log")
        })
        .collect()
}

const HEADS: [&str; 14] = [
    "bytes",
    "speaks",
    "conns",
    "edge/s",
    "nginx/s",
    "ratio",
    "edge MB/s",
    "nginx MB/s",
    "edge CPU us",
    "nginx CPU us",
    "edge s/GB",
    "nginx s/GB",
    "edge p50/p99 ms",
    "nginx p50/p99 ms",
];
const WIDTHS: [usize; 14] = [9, 6, 5, 8, 8, 6, 9, 10, 11, 12, 9, 10, 16, 16];

fn cells(cells: [String; 14]) -> String {
    let padded = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:>width$}"));
    padded.collect::<Vec<_>>().join("  ")
}

fn heads() -> String {
    cells(HEADS.map(str::to_owned))
}

fn row(length: u64, run: &Run, ours: &Seen, theirs: &Seen) -> String {
    let ratio = hundredths(ours.requests, theirs.requests);
    let megabytes = |seen: &Seen| (seen.requests * length / 1_000_000).to_string();
    // The run lasts one second longer than what is counted.
    let answered = |seen: &Seen| seen.requests.saturating_mul(run.seconds + 1);
    let each = |seen: &Seen| {
        let answered = answered(seen).max(1);
        let micros = u64::try_from(seen.cpu.as_micros()).unwrap_or(u64::MAX) / answered;
        micros.to_string()
    };
    let per_gb = |seen: &Seen| {
        let spent = cpu_per_gb(seen.cpu, answered(seen).saturating_mul(length));
        spent.map_or_else(|| "-".to_owned(), |spent| with_point(spent, 2))
    };
    let latency =
        |seen: &Seen| format!("{} / {}", with_point(seen.p50_us, 3), with_point(seen.p99_us, 3));
    cells([
        length.to_string(),
        run.protocol.to_owned(),
        run.connections.to_string(),
        ours.requests.to_string(),
        theirs.requests.to_string(),
        ratio.map_or_else(|| "-".to_owned(), |ratio| with_point(ratio, 2)),
        megabytes(ours),
        megabytes(theirs),
        each(ours),
        each(theirs),
        per_gb(ours),
        per_gb(theirs),
        latency(ours),
        latency(theirs),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generators_log_is_read_line_by_line() {
        assert_eq!(times("17\t200\t450\n18\t200\t7\n19\t0\t3\n").expect("read"), [450, 7]);
        assert!(times("17\t503\t450\n").is_err());
        assert!(times("17\t-1\t450\n").is_err());
        assert!(times("17\t200\n").is_err());
    }

    #[test]
    fn names_hold_no_token_and_no_folder() {
        assert_eq!(file_name("/p/token/ast_1/2/c360/0.m4s"), "ast_1-2-c360-0.m4s");
    }
}
