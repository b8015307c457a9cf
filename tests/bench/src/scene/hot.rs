//! `hot` and `many`: bidders on one auction, and on thousands.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_load::drive::{Amounts, Pace};
use fairground_load::report::{self, Aim, Row, hundredths, with_point};

use super::{Common, tell};
use crate::market::{Market, OPENING_MINOR};

/// Most microseconds of the 99th percentile at half of the peak.
const HALF_PEAK_P99_US: u64 = 50_000;

/// Bids on one auction.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HotArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Bidders, one row each.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256,1000")]
    pub(crate) bidders: Vec<usize>,
}

/// Bids on many auctions, and on one for comparison.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ManyArgs {
    #[command(flatten)]
    pub(crate) hot: HotArgs,
    /// Auctions.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) auctions: usize,
}

/// One row in a closed loop on new auctions.
async fn row(
    market: &mut Market,
    common: &Common,
    bidders: usize,
    auctions: &Arc<Vec<String>>,
    amounts: &Arc<Amounts>,
) -> anyhow::Result<Row> {
    let figures = market.run(bidders, auctions, amounts, common.run(Pace::Closed)).await?;
    let (system, auctions) = (market.name().to_owned(), auctions.len());
    let row = Row { system, auctions, bidders, pace: Pace::Closed, figures };
    report::line(&row.line())?;
    Ok(row)
}

/// One row in a closed loop on one new auction.
pub(crate) async fn hot_row(
    market: &mut Market,
    common: &Common,
    bidders: usize,
) -> anyhow::Result<Row> {
    let auctions = market.auctions(1).await?;
    let amounts = Arc::new(Amounts::new(1, OPENING_MINOR));
    row(market, common, bidders, &auctions, &amounts).await
}

/// The open loop at half of what the best row decided, with its bidders.
async fn half_of_peak(market: &mut Market, common: &Common, rows: &[Row]) -> anyhow::Result<Aim> {
    let best = rows.iter().max_by_key(|row| row.figures.decided_rate());
    let (peak, bidders) = best.map_or((2, 1), |row| (row.figures.decided_rate(), row.bidders));
    let pace = Pace::Open { per_second: (peak / 2).max(1) };
    let auctions = market.auctions(1).await?;
    let amounts = Arc::new(Amounts::new(1, OPENING_MINOR));
    let figures = market.run(bidders, &auctions, &amounts, common.run(pace)).await?;
    let system = market.name().to_owned();
    let row = Row { system, auctions: 1, bidders, pace, figures };
    report::line(&row.line())?;
    let p99 = row.figures.latency_us(0.99);
    Ok(Aim {
        name: "p99 below 50 ms at half of the peak, none undecided".to_owned(),
        seen: format!("{} ms", with_point(p99, 3)),
        is_met: p99 < HALF_PEAK_P99_US && row.figures.undecided == 0,
    })
}

pub(crate) async fn hot(arguments: HotArgs) -> anyhow::Result<()> {
    let common = &arguments.common;
    let place = common.place()?;
    let most = arguments.bidders.iter().copied().max().unwrap_or(1);
    let mut market = Market::start(&place, common.shape(), most).await?;
    report::line(&report::heads())?;
    let mut rows = Vec::new();
    for bidders in &arguments.bidders {
        rows.push(hot_row(&mut market, common, *bidders).await?);
    }
    let aim = half_of_peak(&mut market, common, &rows).await?;
    market.cluster.stop().await;
    tell(&[aim])
}

pub(crate) async fn many(arguments: ManyArgs) -> anyhow::Result<()> {
    let (common, levels) = (&arguments.hot.common, &arguments.hot.bidders);
    let place = common.place()?;
    let most = levels.iter().copied().max().unwrap_or(1);
    let mut market = Market::start(&place, common.shape(), most).await?;
    let auctions = market.auctions(arguments.auctions.max(1)).await?;
    let amounts = Arc::new(Amounts::new(auctions.len(), OPENING_MINOR));
    report::line(&report::heads())?;
    let mut ratios = BTreeMap::new();
    for bidders in levels {
        let many = row(&mut market, common, *bidders, &auctions, &amounts).await?;
        let hot = hot_row(&mut market, common, *bidders).await?;
        let rates = (hot.figures.accepted_rate(), many.figures.accepted_rate());
        ratios.extend(hundredths(rates.0, rates.1).map(|ratio| (*bidders, ratio)));
    }
    market.cluster.stop().await;
    let name = |bidders| format!("one auction at least 0.9 x many, {bidders} bidders");
    let aims: Vec<Aim> =
        ratios.iter().map(|(bidders, ratio)| Aim::at_least(name(bidders), *ratio, 90)).collect();
    tell(&aims)
}
