//! The edge: client API, bid intake, HLS delivery, uploads and transcoding near the people.
//!
//! ```text
//!   clients --HTTP--> http/ --+--> intake/ --> journal --> uplink --QUIC--> members
//!                             +--> replica (view)  <---------- feed --------- members
//!                             +--> delivery/ --> segment cache <---- blobs -- members
//!                             +--> ingest/   --> upload files  ----> blobs -> members
//!                             worker: leases transcode jobs     beat: clock, marks, directory
//! ```
//! It decides nothing about auctions, money or orders: it keeps bids safe until the cluster has
//! judged them, and shows what the cluster has made public. It must not know Raft or the
//! coordinator's crate.
//!
//! Start: identity, stores, view, sockets, tasks, HTTP, `ready.json`. Stop: no more bids, journal
//! drained and sealed, HTTP drained, tasks joined, view persisted, connections closed. Read next:
//! [`intake`](crate) for bids, `link/mod.rs` for the members, `http/mod.rs` for the routes.

mod analytics;
mod beat;
mod clock;
mod control;
mod delivery;
mod edge;
mod error;
mod feed;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod http;
mod http3;
mod identity;
mod ingest;
mod intake;
mod leaving;
mod link;
mod metrics;
mod options;
mod replica;
mod setup;
mod siblings;
#[cfg(feature = "sim")]
pub mod sim;
mod uplink;
mod worker;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use fairground_media::Tools;
use fairground_runtime::http::HttpLimits;
use fairground_runtime::metrics as recording;
use fairground_runtime::pki::{self, Identity};
use fairground_runtime::shutdown::Shutdown;
use fairground_runtime::telemetry;
use quinn::Endpoint;

pub use error::Error;
pub use identity::{JoinOptions, Joined, join};
pub use link::LinkError;
pub use link::stream::StreamError;
pub use options::{
    CacheOptions, CatIssuerOptions, DeliveryOptions, MediaOptions, Options, Sandbox,
    TranscodeOptions,
};

use edge::Edge;
use link::chain;

/// How long the journal may take to drain when the edge stops.
const DRAIN_WAIT: Duration = Duration::from_secs(4);
/// How long running requests may take when the edge stops.
const HTTP_DRAIN: Duration = Duration::from_secs(5);
/// How long tasks may take to end.
const STOP_WAIT: Duration = Duration::from_secs(8);
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Runs an edge until `shutdown`.
///
/// # Errors
/// When it cannot start, or a vital task ended.
pub async fn run(options: Options, shutdown: Shutdown) -> Result<(), Error> {
    pki::install_provider();
    start_telemetry(&options)?;
    let started = setup::start(options).await?;
    let setup::Started { edge, identity, tools, events, siblings, listener, tls, http3, recorder } =
        started;
    if let Some(siblings) = &siblings {
        edge.tasks.spawn("siblings", siblings::serve(Arc::clone(&edge), siblings.clone()));
    }
    spawn_parts(&edge, (identity, siblings), tools);
    let stop = edge.shutdown.clone();
    edge.tasks.spawn("analytics", async move { events.run(stop.wait()).await });
    edge.tasks.spawn("control", control::run(Arc::clone(&edge)));
    edge.tasks.spawn("leaving", leaving::watch(Arc::clone(&edge), shutdown.clone()));
    let upkeep = recording::keep(recorder.clone(), edge.shutdown.clone());
    edge.tasks.spawn("metrics", upkeep);

    let router = http3::start(http3, &edge, http::router(&edge, recorder));
    // In lanes: bids are journalled in the order in which they come.
    let lanes = std::thread::available_parallelism().map_or(1, usize::from);
    let limits = HttpLimits { drain: HTTP_DRAIN, lanes, ..HttpLimits::default() };
    let address = listener.local_addr().map_err(Error::file(&edge.options.dir))?;
    let serving =
        fairground_runtime::http::serve(listener, router, limits, tls, edge.shutdown.clone());
    edge.tasks.spawn("http", async move {
        if let Err(error) = serving.await {
            tracing::error!(error = %chain(&error), "listener failed");
        }
    });
    setup::announce(&edge, address)?;
    tracing::info!(edge = %edge.id, %address, "ready");

    tokio::select! {
        biased;
        () = edge.shutdown.wait() => {}
        () = shutdown.wait() => {
            tracing::info!("draining");
            uplink::drain(&edge, DRAIN_WAIT).await;
        }
    }
    // Triggered by us below, or by a vital task that ended.
    let is_asked = shutdown.is_triggered();
    edge.shutdown.trigger();
    edge.tasks.join(STOP_WAIT).await;
    edge.links.close().await;
    setup::unannounce(&edge.options.dir);
    tracing::info!("stopped");
    if is_asked { Ok(()) } else { Err(Error::Vital) }
}

/// Fences this process in and becomes a media tool: the hidden verb that [`run`] starts its own
/// program with. Answers an exit code when that fails.
#[must_use]
pub fn transcode_jail(arguments: Vec<OsString>) -> i32 {
    fairground_media::launch_main(arguments)
}

fn start_telemetry(options: &Options) -> Result<(), Error> {
    let format = options.log_format.parse()?;
    let name = if options.name.is_empty() { "edge" } else { &options.name };
    if let Err(error) = telemetry::init("fairground-node", name, format) {
        // Several edges of one process (tests) share the first one's log.
        tracing::debug!(error = %chain(&error), "logging not started here");
    }
    metrics::describe();
    Ok(())
}

/// Starts what an edge takes bids with.
fn spawn_intake(edge: &Arc<Edge>) {
    let tasks = &edge.tasks;
    let (beats, content) = fairground_seam::watch::channel(None);
    replica::follow_members(edge);
    tasks.spawn("feed", replica::follow(Arc::clone(edge)));
    tasks.spawn("beat schedule", beat::schedule(Arc::clone(edge), beats));
    tasks.spawn("beat streams", beat::keep_streams(Arc::clone(edge), content));
    tasks.spawn("uplink", uplink::run(Arc::clone(edge)));
    tasks.spawn("admission", uplink::stay_admitted(Arc::clone(edge)));
    tasks.spawn("rules", uplink::report_rules(Arc::clone(edge)));
}

fn spawn_parts(
    edge: &Arc<Edge>,
    (identity, siblings): (Identity, Option<Endpoint>),
    tools: Option<Tools>,
) {
    let tasks = &edge.tasks;
    spawn_intake(edge);
    tasks.spawn("prefetch", delivery::prefetch::run(Arc::clone(edge)));
    tasks.spawn("bytes sent", delivery::meter::keep(Arc::clone(edge)));
    tasks.spawn("streams", delivery::streams::run(Arc::clone(edge)));
    tasks.spawn("uploads", ingest::tend(Arc::clone(edge)));
    tasks.spawn("certificate", identity::renew(Arc::clone(edge), identity, siblings));
    tasks.spawn("look", look(Arc::clone(edge)));
    tasks.spawn("views", feed::ship(Arc::clone(edge)));
    if let Some(tools) = tools.filter(|_| edge.options.transcode.enabled) {
        worker::clear(&edge.options.dir);
        tasks.spawn("worker", worker::run(Arc::clone(edge), tools));
    }
}

/// Keeps health and gauges true, until shutdown.
async fn look(edge: Arc<Edge>) {
    let [feed, clock, bids] = setup::PARTS.map(|name| edge.health.part(name));
    loop {
        if edge.view.is_fresh(edge.time.monotonic()) {
            feed.ready();
        } else {
            feed.not_ready("the feed has not spoken for a while");
        }
        let interval = edge.time.interval();
        match interval {
            Some(_) => clock.ready(),
            None => clock.not_ready("no estimate of coordinator time"),
        }
        match edge.intake.readiness() {
            Ok(_) | Err(intake::NotReady::VideoOnly) => bids.ready(),
            Err(reason) => bids.not_ready(reason.to_string()),
        }
        metrics::gauges(metrics::Gauges {
            feed_index: edge.view.index().0,
            stamp_width: interval.map(|stamp| stamp.latest.since(stamp.earliest)),
            journal_open: edge.intake.journal.open_count(),
            live_streams: edge.live_streams.load(std::sync::atomic::Ordering::Relaxed),
            cache: edge.delivery.origin.cache.stats(),
            sent: edge.delivery.meter.shown(edge.time.now()),
            sent_total: edge.delivery.meter.total(),
        });
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(LOOK_PERIOD) => {}
        }
    }
}
