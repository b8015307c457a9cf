//! `fairground-bench`: load on a running market, and on what a shop would use instead.
//!
//! ```text
//!  hot       one auction, several numbers of bidders; open loop at half of the peak
//!  many      thousands of auctions, and one for comparison
//!  peers     the market beside PostgreSQL, Redis and etcd, ratios and aims
//!  failover  the leader killed under load
//!  closes    many auctions that close within a minute
//!  delivery  an edge beside nginx, over HTTPS, the same files
//!  misses    an edge that has nothing yet, and many viewers at once
//!  encode    the media pipeline beside ffmpeg's encoders; from an upload to a clip that plays
//! ```
//! `FAIRGROUND_BIN` names the binary that is started and measured. Of the product only the media
//! library is linked, for `encode`: what one rung costs cannot be seen from outside.
//! Read next: `scene/` for what each does, `market/` for how a market is set up, `peer/` for the
//! others; `docs/src/internals/performance.md` for how to run it and what it showed.

mod market;
mod peer;
mod place;
mod process;
mod scene;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::peer::front::{self, FrontArgs};
use crate::scene::closes::{self, ClosesArgs};
use crate::scene::delivery::{self, DeliveryArgs};
use crate::scene::encode::{self, EncodeArgs};
use crate::scene::failover::{self, FailoverArgs};
use crate::scene::hot::{self, HotArgs, ManyArgs};
use crate::scene::misses::{self, MissesArgs};
use crate::scene::peers::{self, PeersArgs};

/// Load on a running market and on its peers.
#[derive(Debug, Parser)]
#[command(name = "fairground-bench", version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bid on one auction with several numbers of bidders.
    Hot(HotArgs),
    /// Bid on many auctions, and on one for comparison.
    Many(ManyArgs),
    /// Measure the market and its peers in turn.
    Peers(PeersArgs),
    /// Kill the leader under load and wait for the first new verdict.
    Failover(FailoverArgs),
    /// Let many auctions close within a minute.
    Closes(ClosesArgs),
    /// Serve the same files from an edge and from nginx.
    Delivery(DeliveryArgs),
    /// Ask an edge that has nothing yet, one after the other and many at once.
    Misses(MissesArgs),
    /// Encode clips beside ffmpeg, and wait for an upload to play.
    Encode(EncodeArgs),
    /// The batching front of a peer; started by `peers`.
    #[command(hide = true)]
    Front(FrontArgs),
}

fn main() -> anyhow::Result<()> {
    let verb = Cli::parse().verb;
    // One thread: bids leave in the order of their amounts, as the one counter gave them out.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(verb))
}

async fn run(verb: Verb) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let work = async {
        match verb {
            Verb::Hot(arguments) => hot::hot(arguments).await,
            Verb::Many(arguments) => hot::many(arguments).await,
            Verb::Peers(arguments) => peers::peers(arguments).await,
            Verb::Failover(arguments) => failover::failover(arguments).await,
            Verb::Closes(arguments) => closes::closes(arguments).await,
            Verb::Delivery(arguments) => delivery::delivery(arguments).await,
            Verb::Misses(arguments) => misses::misses(arguments).await,
            Verb::Encode(arguments) => encode::encode(arguments).await,
            Verb::Front(arguments) => front::serve(arguments).await,
        }
    };
    // Whatever was started is killed when the work is dropped.
    tokio::select! {
        ended = work => ended,
        _ = stop.recv() => anyhow::bail!("asked to stop"),
        _ = tokio::signal::ctrl_c() => anyhow::bail!("asked to stop"),
    }
}
