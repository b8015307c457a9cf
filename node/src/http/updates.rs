//! The live stream of an auction: server-sent events, resumable by log index on any edge.
//!
//! ```text
//!   id: 4711
//!   event: update
//!   data: {"index":4711,"version":4711,"serverTime":"...","events":[...]}
//! ```
//! One message per index that concerns the auction; a `snapshot` (the auction's document) first, or
//! when what was missed is too old. A stream that lags is ended: its client resumes. It must not
//! know what an event means.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use fairground_runtime::problem::{ApiPath, Problem};
use fairground_types::event::{FeedItem, PublicEvent};
use fairground_types::limits::LIVE_STREAMS_MAX;
use fairground_types::{AuctionId, Code, LogIndex};
use futures_util::stream;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::auctions;
use crate::edge::Edge;
use crate::replica::{Fed, LiveStart};

/// Silence that no proxy takes for an end.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Counts a live stream as long as it is open.
struct OpenStream(Arc<Edge>);

impl OpenStream {
    fn begin(edge: &Arc<Edge>) -> Result<Self, Problem> {
        let before = edge.live_streams.fetch_add(1, Ordering::Relaxed);
        let stream = Self(Arc::clone(edge));
        if before >= LIVE_STREAMS_MAX {
            let detail = "too many live streams here; try another edge";
            return Err(Problem::new(Code::RetryLater, detail));
        }
        Ok(stream)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.live_streams.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Live {
    stream: OpenStream,
    auction: AuctionId,
    waiting: VecDeque<Event>,
    feed: broadcast::Receiver<Fed>,
}

/// `GET /v1/auctions/{auction}/updates`
pub(crate) async fn follow(
    State(edge): State<Arc<Edge>>,
    ApiPath(auction): ApiPath<AuctionId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .map(LogIndex);
    let open = OpenStream::begin(&edge)?;
    let now = edge.time.now();
    let (start, feed, snapshot) = edge.view.listen(last, |view| {
        view.auction(auction).map(|row| (view.index(), auctions::document(view, row, now)))
    });
    let (index, document) = snapshot.ok_or_else(auctions::unknown)?;
    let mut waiting = VecDeque::new();
    match start {
        LiveStart::Resume(items) => {
            waiting.extend(items.iter().filter_map(|item| update(&edge, auction, item)));
        }
        LiveStart::Snapshot => waiting.push_back(message(index, "snapshot", &document)),
    }
    let live = Live { stream: open, auction, waiting, feed };
    let sse = Sse::new(stream::unfold(live, next))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("alive"));
    let mut response = sse.into_response();
    let all = response.headers_mut();
    all.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers would hold messages back.
    all.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

async fn next(mut live: Live) -> Option<(Result<Event, Infallible>, Live)> {
    loop {
        if let Some(event) = live.waiting.pop_front() {
            return Some((Ok(event), live));
        }
        let edge = Arc::clone(&live.stream.0);
        let fed = tokio::select! {
            biased;
            () = edge.shutdown.wait() => return None,
            fed = live.feed.recv() => fed,
        };
        match fed {
            Ok(Fed::Item(item)) => live.waiting.extend(update(&edge, live.auction, &item)),
            Ok(Fed::Replaced) => {
                let now = edge.time.now();
                let again = edge.view.read(|view| {
                    let row = view.auction(live.auction)?;
                    Some((view.index(), auctions::document(view, row, now)))
                });
                let (index, document) = again?;
                live.waiting.push_back(message(index, "snapshot", &document));
            }
            Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
        }
    }
}

fn message(index: LogIndex, name: &str, document: &serde_json::Value) -> Event {
    Event::default().id(index.to_string()).event(name).data(document.to_string())
}

/// The message of one index, if it concerns the auction.
fn update(edge: &Edge, auction: AuctionId, item: &FeedItem) -> Option<Event> {
    let events: Vec<&PublicEvent> =
        item.events.iter().filter(|event| concerns(event) == Some(auction)).collect();
    if events.is_empty() {
        return None;
    }
    let document = json!({
        "index": item.index,
        "version": item.index,
        "at": item.at,
        "serverTime": edge.time.now(),
        "events": events,
    });
    Some(message(item.index, "update", &document))
}

const fn concerns(event: &PublicEvent) -> Option<AuctionId> {
    match event {
        PublicEvent::AuctionOpened { auction, .. }
        | PublicEvent::BidPlaced { auction, .. }
        | PublicEvent::CloseExtended { auction, .. }
        | PublicEvent::AuctionLocked { auction, .. }
        | PublicEvent::AuctionAwaitsDecision { auction, .. }
        | PublicEvent::AuctionClosed { auction, .. } => Some(*auction),
        PublicEvent::ClusterInitialised { .. }
        | PublicEvent::KeyAdded { .. }
        | PublicEvent::MemberChanged { .. }
        | PublicEvent::MemberRemoved { .. }
        | PublicEvent::EdgeRegistered { .. }
        | PublicEvent::EdgeAdmitted { .. }
        | PublicEvent::EdgeLeftIntake { .. }
        | PublicEvent::SignInRevoked { .. }
        | PublicEvent::HandleSet { .. }
        | PublicEvent::AssetPublished { .. }
        | PublicEvent::StoryListed { .. }
        | PublicEvent::StorySold { .. } => None,
    }
}
