//! `closes`: many auctions that close within a minute: none early, and how late.
//!
//! Auctions open evenly over the spread and all last equally long, so they close evenly over it. How
//! late a close was is what the auction's own record says: log time of the entry that ended it, less
//! its close.

use std::time::Duration;

use anyhow::{Context as _, bail};
use fairground_load::report::{self, Aim, with_point};
use tokio::time::{Instant, sleep};

use super::{Common, tell};
use crate::market::Market;
use crate::market::api::Api;
use crate::market::cluster::Shape;
use crate::market::people::in_parallel;

const AIM_MS: u64 = 250;
/// Between the last opening and the first close.
const GAP: Duration = Duration::from_secs(5);
/// After the last close, for what is late.
const PATIENCE: Duration = Duration::from_secs(60);

/// Auctions that close together.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClosesArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Auctions.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) auctions: usize,
    /// Over how many seconds they close.
    #[arg(long, default_value_t = 60)]
    pub(crate) spread: u64,
}

/// One close.
#[derive(Clone, Copy, Debug)]
struct Close {
    closes_at: u64,
    ended_at: u64,
}

pub(crate) async fn closes(arguments: ClosesArgs) -> anyhow::Result<()> {
    let common = &arguments.common;
    let place = common.place()?;
    let spread = Duration::from_secs(arguments.spread.max(1));
    let initial = spread * 2 + GAP;
    let shape = Shape { initial, ..common.shape() };
    let mut market = Market::start(&place, shape, 64).await?;
    let stories = market.list(arguments.auctions.max(1)).await?;
    let began = Instant::now();
    let auctions = market.open_over(stories, spread).await?;
    let opened = began.elapsed();
    if opened > initial {
        bail!("opening took {opened:?}, the first close was due before the last opening");
    }
    sleep((began + opened + initial).duration_since(Instant::now())).await;
    let closes = records(&market, auctions).await?;
    market.cluster.stop().await;

    let early = closes.iter().filter(|close| close.ended_at < close.closes_at).count();
    let mut late: Vec<u64> =
        closes.iter().map(|close| close.ended_at.saturating_sub(close.closes_at)).collect();
    late.sort_unstable();
    let at = |per_mille: usize| {
        let place = (late.len() * per_mille).div_ceil(1_000).max(1) - 1;
        late.get(place).copied().unwrap_or(0)
    };
    let first = closes.iter().map(|close| close.closes_at).min().unwrap_or(0);
    let last = closes.iter().map(|close| close.closes_at).max().unwrap_or(0);
    report::line(&format!(
        "{} auctions closed within {} s: early {early}; late p50 {} ms, p99 {} ms, p99.9 {} ms, \
         max {} ms (log time)",
        closes.len(),
        with_point(last.saturating_sub(first), 3),
        at(500),
        at(990),
        at(999),
        at(1_000)
    ))?;
    let name = |what| format!("{} auctions within {} s: {what}", closes.len(), arguments.spread);
    tell(&[
        Aim { name: name("none early"), seen: early.to_string(), is_met: early == 0 },
        Aim {
            name: name("lateness p99 at most 250 ms"),
            seen: format!("{} ms", at(990)),
            is_met: at(990) <= AIM_MS,
        },
    ])
}

/// The record of every auction, once it has ended.
async fn records(market: &Market, auctions: Vec<String>) -> anyhow::Result<Vec<Close>> {
    let member = market.cluster.members().into_iter().next().context("no member")?;
    let operator = market.cluster.operator()?;
    let deadline = Instant::now() + PATIENCE;
    let found = in_parallel(auctions.len(), |number| {
        let auction = auctions.get(number).cloned().unwrap_or_default();
        let (member, operator) = (member.clone(), operator.clone());
        async move {
            let mut api = Api::new(&member, Some(&operator));
            loop {
                let record = api.get(&format!("/v1/admin/auctions/{auction}")).await?;
                let at = |member: &str| record[member].as_str().and_then(millis_of);
                if let (Some(closes_at), Some(ended_at)) = (at("closesAt"), at("endedAt")) {
                    return Ok(Close { closes_at, ended_at });
                }
                if Instant::now() > deadline {
                    bail!("an auction did not end: {record}");
                }
                sleep(Duration::from_millis(200)).await;
            }
        }
    });
    found.await
}

/// Milliseconds of `2026-11-24T16:20:03.123Z` within its month; auctions of one run are hours apart at
/// most, and a run over the end of a month says so by its figures.
fn millis_of(text: &str) -> Option<u64> {
    let (date, time) = text.trim_end_matches('Z').split_once('T')?;
    let day: u64 = date.rsplit('-').next()?.parse().ok()?;
    let mut parts = time.split([':', '.']);
    let mut next = || parts.next().and_then(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    let millis = next().unwrap_or(0);
    Some((((day * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_told_apart_to_the_millisecond() {
        let one = millis_of("2026-11-24T16:20:03.123Z").expect("read");
        let other = millis_of("2026-11-24T17:20:04.124Z").expect("read");
        assert_eq!(other - one, 3_601_001);
        assert_eq!(millis_of("yesterday"), None);
    }
}
