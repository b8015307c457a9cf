//! `misses`: what an edge costs that has nothing yet.
//!
//! ```text
//!  clips -> market 1+1;  a second edge joins, too small to pull the longest clip by itself
//!    at once     last segments, each by all viewers in the same moment: fetches from the members
//!    cold        first halves, backwards: every one is a miss
//!    in order    second halves, as a player asks: the next one is fetched ahead
//!    warm        all of these again
//! ```
//! One connection, one request at a time, but for the first. Read next: `super::delivery`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fairground_kit::wait::until;
use fairground_load::http::{Http, Target};
use fairground_load::report::{self, Aim, cpu_per_gb, with_point};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::delivery::{fetch, uris};
use super::{LONG, tell};
use crate::market::Market;
use crate::market::cluster::Shape;
use crate::place::{Place, machine};
use crate::process::cpu;

const PATIENCE: Duration = Duration::from_secs(60);
/// How long the edge's count of fetches must stand still.
const STILL: Duration = Duration::from_secs(1);
/// Renditions with fewer segments are left out.
const SEGMENTS_MIN: usize = 8;

/// An edge that has nothing yet.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MissesArgs {
    /// Where all files are; a folder inside is made and removed.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Viewers that ask for one segment at once.
    #[arg(long, default_value_t = 256)]
    pub(crate) viewers: usize,
}

/// The clip with the most segments.
struct Clip {
    master: String,
    /// Bytes of all its segments.
    bytes: u64,
    /// Paths of the segments of each rendition, in order.
    renditions: Vec<Vec<String>>,
}

/// What one pass over segments showed.
#[derive(Default)]
struct Seen {
    times_us: Vec<u64>,
    bytes: u64,
    took: Duration,
    cpu: Duration,
    fetched: u64,
}

pub(crate) async fn misses(arguments: MissesArgs) -> anyhow::Result<()> {
    let place = Place::make(arguments.dir.as_deref())?;
    report::line(&machine(&place.dir))?;
    let shape = Shape { members: 1, edges: 1, initial: LONG };
    let mut market = Market::start(&place, shape, 1).await?;
    let clip = longest(&mut market).await?;
    let edge = market.cluster.add_cold_edge(&place, clip.bytes).await?;
    let pid = market.cluster.edge_pids().pop().context("the edge does not run")?;
    let mut cold = Cold { http: Http::new(edge.clone()), pid };
    cold.settle(&clip.master).await?;

    let mut fetches = 0;
    let last = clip.renditions.iter().filter_map(|segments| segments.last());
    for path in last.clone() {
        fetches += cold.at_once(&edge, path, arguments.viewers).await?;
    }
    let segments = last.count();
    let name = format!("{segments} segments, each missed by {} at once", arguments.viewers);
    report::line(&format!("{name}: {fetches} fetches from the members"))?;
    report::line("")?;

    report::line(&heads())?;
    let halves = clip.renditions.iter().map(|segments| {
        // Without the last one, which is here by now, and the one that would fetch it ahead.
        let asked = segments.get(..segments.len().saturating_sub(2)).unwrap_or_default();
        asked.split_at(asked.len() / 2)
    });
    let (first, second): (Vec<_>, Vec<_>) = halves.unzip();
    let backwards: Vec<&String> = first.iter().flat_map(|half| half.iter().rev()).collect();
    let in_order: Vec<&String> = second.into_iter().flatten().collect();
    let seen = cold.pass(&in_order).await?;
    report::line(&row("in play order, next ahead", &seen))?;
    let seen = cold.pass(&backwards).await?;
    report::line(&row("cold, backwards", &seen))?;
    let missed = seen.fetched;
    let both: Vec<&String> = in_order.iter().chain(&backwards).copied().collect();
    let seen = cold.pass(&both).await?;
    report::line(&row("warm", &seen))?;

    let aims = [
        exactly(format!("{name}: one fetch each"), fetches, u64::try_from(segments)?),
        exactly("cold: one fetch a segment", missed, u64::try_from(backwards.len())?),
        exactly("warm: no fetch", seen.fetched, 0),
    ];
    tell(&aims)?;
    market.cluster.stop().await;
    Ok(())
}

fn exactly(name: impl Into<String>, seen: u64, wanted: u64) -> Aim {
    Aim { name: name.into(), seen: format!("{seen} of {wanted}"), is_met: seen == wanted }
}

/// Publishes clips and picks the one with the most segments.
async fn longest(market: &mut Market) -> anyhow::Result<Clip> {
    let edge = market.cluster.edges().into_iter().next().context("no edge")?;
    let mut http = Http::new(edge);
    let mut clips = Vec::new();
    for master in market.publish_clips().await? {
        let base = master.rsplit_once('/').context("an odd playback")?.0.to_owned();
        let mut clip = Clip { master: master.clone(), bytes: 0, renditions: Vec::new() };
        for playlist in uris(&fetch(&mut http, &master).await?) {
            let text = fetch(&mut http, &format!("{base}/{playlist}")).await?;
            let paths = uris(&text).into_iter().map(|segment| format!("{base}/{segment}"));
            let paths: Vec<String> = paths.collect();
            for path in &paths {
                clip.bytes += u64::try_from(fetch(&mut http, path).await?.len())?;
            }
            if paths.len() >= SEGMENTS_MIN {
                clip.renditions.push(paths);
            }
        }
        clips.push(clip);
    }
    let segments = |clip: &Clip| clip.renditions.iter().map(Vec::len).sum::<usize>();
    let longest = clips.into_iter().max_by_key(segments).context("nothing was published")?;
    ensure!(!longest.renditions.is_empty(), "no clip has {SEGMENTS_MIN} segments");
    Ok(longest)
}

/// The edge that has nothing.
struct Cold {
    http: Http,
    pid: u32,
}

impl Cold {
    /// Waits until it begins playbacks and fetches nothing by itself any more.
    async fn settle(&mut self, master: &str) -> anyhow::Result<()> {
        until("a playback at the new edge", PATIENCE, async || {
            fetch(&mut self.http, master).await.map(Some)
        })
        .await?;
        self.be_still().await
    }

    /// Waits until it fetches nothing by itself any more.
    async fn be_still(&mut self) -> anyhow::Result<()> {
        let mut last = None;
        until("the new edge's own fetches", PATIENCE, async || {
            tokio::time::sleep(STILL).await;
            let now = fetched(&mut self.http).await?;
            Ok((last.replace(now) == Some(now)).then_some(()))
        })
        .await
    }

    /// All viewers ask for one segment in the same moment; answers how many fetches that made.
    async fn at_once(&mut self, edge: &Target, path: &str, viewers: usize) -> anyhow::Result<u64> {
        let before = fetched(&mut self.http).await?;
        let start = Arc::new(Barrier::new(viewers));
        let mut asking = JoinSet::new();
        for _ in 0..viewers {
            let (mut http, path, start) =
                (Http::new(edge.clone()), path.to_owned(), Arc::clone(&start));
            asking.spawn(async move {
                let opened = http.open().await;
                start.wait().await;
                opened?;
                fetch(&mut http, &path).await
            });
        }
        let mut lengths = Vec::new();
        while let Some(answer) = asking.join_next().await {
            lengths.push(answer??.len());
        }
        lengths.dedup();
        ensure!(lengths.len() == 1, "answers of several lengths: {lengths:?}");
        Ok(fetched(&mut self.http).await?.saturating_sub(before))
    }

    /// Asks for these, one after the other.
    async fn pass(&mut self, paths: &[&String]) -> anyhow::Result<Seen> {
        // What was fetched ahead in the pass before this one is not of this one.
        self.be_still().await?;
        let mut seen = Seen::default();
        let (before, spent) = (fetched(&mut self.http).await?, cpu(&[self.pid]));
        let begun = Instant::now();
        for path in paths {
            let asked = Instant::now();
            seen.bytes += u64::try_from(fetch(&mut self.http, path).await?.len())?;
            seen.times_us.push(u64::try_from(asked.elapsed().as_micros())?);
        }
        seen.took = begun.elapsed();
        seen.cpu = cpu(&[self.pid]).saturating_sub(spent);
        seen.fetched = fetched(&mut self.http).await?.saturating_sub(before);
        seen.times_us.sort_unstable();
        Ok(seen)
    }
}

/// How many blobs an edge has fetched from members since its start.
async fn fetched(http: &mut Http) -> anyhow::Result<u64> {
    let text = fetch(http, "/metrics").await?;
    count_of(&String::from_utf8_lossy(&text))
}

fn count_of(metrics: &str) -> anyhow::Result<u64> {
    let name = "fairground_node_origin_fetches_total{outcome=\"fetched\"} ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    // A counter that was never touched is absent.
    value.map_or(Ok(0), |value| value.trim().parse().context("an odd counter"))
}

const HEADS: [&str; 7] = ["segments", "count", "fetched", "p50 ms", "p99 ms", "MB/s", "CPU s/GB"];

fn cells(cells: [String; 7]) -> String {
    let [name, rest @ ..] = cells;
    let padded = rest.iter().map(|cell| format!("{cell:>9}"));
    format!("{name:<26}  {}", padded.collect::<Vec<_>>().join("  "))
}

fn heads() -> String {
    cells(HEADS.map(str::to_owned))
}

fn row(name: &str, seen: &Seen) -> String {
    let at = |hundredth: usize| {
        let place = seen.times_us.len() * hundredth / 100;
        with_point(seen.times_us.get(place).copied().unwrap_or(0), 3)
    };
    let micros = u64::try_from(seen.took.as_micros()).unwrap_or(u64::MAX).max(1);
    let per_gb = cpu_per_gb(seen.cpu, seen.bytes);
    cells([
        name.to_owned(),
        seen.times_us.len().to_string(),
        seen.fetched.to_string(),
        at(50),
        at(99),
        (seen.bytes / micros).to_string(),
        per_gb.map_or_else(|| "-".to_owned(), |spent| with_point(spent, 2)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetches_are_read_from_the_metrics() {
        let metrics = "# HELP x y\n\
            fairground_node_origin_fetches_total{outcome=\"absent\"} 7\n\
            fairground_node_origin_fetches_total{outcome=\"fetched\"} 41\n";
        assert_eq!(count_of(metrics).expect("a count"), 41);
        assert_eq!(count_of("").expect("none yet"), 0);
    }
}
