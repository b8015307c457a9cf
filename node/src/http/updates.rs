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
use fairground_runtime::problem::{ApiPath, ApiQuery, Problem};
use fairground_types::event::{
    CloseMove, CloseReason, FeedItem, LockReason, PublicBid, PublicEvent,
};
use fairground_types::limits::LIVE_STREAMS_MAX;
use fairground_types::{AuctionId, BidId, Code, EdgeId, LogIndex, Money, Timestamp};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::auctions::{self, AuctionDocument};
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

/// Where a live stream begins.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FollowQuery {
    /// `id` of the last message, from a client that changes the edge and cannot set
    /// `Last-Event-ID`; where both are given the header counts.
    last_event_id: Option<u64>,
}

/// Follows an auction live, as server-sent events.
///
/// The message `snapshot` holds an `AuctionDocument`, the message `update` a `LiveUpdate`; its `id`
/// is the index of the log, which `Last-Event-ID` resumes from on any edge.
#[utoipa::path(get, path = "/v1/auctions/{auction}/updates", operation_id = "followAuction",
    tag = "auctions",
    params(("auction" = AuctionId, Path), ("Last-Event-ID" = Option<String>, Header), FollowQuery),
    responses((status = 200, description = "Messages without end.", body = LiveMessage,
        content_type = "text/event-stream")))]
pub(crate) async fn follow(
    State(edge): State<Arc<Edge>>,
    ApiPath(auction): ApiPath<AuctionId>,
    ApiQuery(query): ApiQuery<FollowQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        // A browser that comes back by itself sends the old address and a newer header.
        .or(query.last_event_id)
        .map(LogIndex);
    let open = OpenStream::begin(&edge)?;
    let now = edge.time.now();
    let (start, feed, snapshot) = edge.view.listen(last, |view| {
        view.auction(auction).map(|row| (view.index(), AuctionDocument::of(view, row, now)))
    });
    let (index, document) = snapshot.ok_or_else(auctions::unknown)?;
    let mut waiting = VecDeque::new();
    match start {
        LiveStart::Resume(items) => {
            waiting.extend(items.iter().filter_map(|item| update(&edge, auction, item)));
        }
        LiveStart::Snapshot => waiting.push_back(message(index, MessageName::Snapshot, &document)),
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
                    Some((view.index(), AuctionDocument::of(view, row, now)))
                });
                let (index, document) = again?;
                live.waiting.push_back(message(index, MessageName::Snapshot, &document));
            }
            Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
        }
    }
}

/// Which document a message holds.
#[derive(Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum MessageName {
    /// `data` is an `AuctionDocument`.
    Snapshot,
    /// `data` is a `LiveUpdate`.
    Update,
}

impl MessageName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Update => "update",
        }
    }
}

/// One server-sent event.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct LiveMessage {
    /// Index of the log: what `Last-Event-ID` resumes from.
    id: String,
    event: MessageName,
    /// A JSON document.
    data: String,
}

impl From<LiveMessage> for Event {
    fn from(message: LiveMessage) -> Self {
        Self::default().id(message.id).event(message.event.as_str()).data(message.data)
    }
}

fn message<T: Serialize>(index: LogIndex, event: MessageName, document: &T) -> Event {
    // Our own documents can always be written as JSON.
    let data = serde_json::to_string(document).unwrap_or_default();
    LiveMessage { id: index.to_string(), event, data }.into()
}

/// The message of one index, if it concerns the auction.
fn update(edge: &Edge, auction: AuctionId, item: &FeedItem) -> Option<Event> {
    let told = item.events.iter().filter_map(LiveEvent::of);
    let events: Vec<LiveEvent> = told.filter(|event| event.auction == auction).collect();
    if events.is_empty() {
        return None;
    }
    let document = LiveUpdate {
        index: item.index,
        version: item.index,
        at: item.at,
        server_time: edge.time.now(),
        events,
    };
    Some(message(item.index, MessageName::Update, &document))
}

/// What happened in an auction.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum LiveKind {
    /// It opened: `bid`, `minNext`, `closesAt`, `closesBy`.
    AuctionOpened,
    /// A bid leads: `bid`, `minNext`.
    BidPlaced,
    /// The close moved: `closesAt`, `cause`, `finalWindow`.
    CloseExtended,
    /// A bid was taken back: `bid` is the highest now, if there is one, `minNext`, `epoch`.
    BidRetracted,
    /// The bidding ended, the maker cannot be paid yet: `lockReason`, `unheard`.
    BiddingEnded,
    /// It is reserved for a buyer: `lockReason`, `bid`, `unheard`.
    AuctionLocked,
    /// The buyer did not pay: `decideBy`.
    AuctionAwaitsDecision,
    /// It ended: `closeReason`.
    AuctionClosed,
}

/// One thing that happened in an auction; which members it has, `type` says.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LiveEvent {
    #[serde(rename = "type")]
    kind: LiveKind,
    auction: AuctionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid: Option<PublicBid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_next: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closes_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closes_by: Option<Timestamp>,
    /// Who moved the close.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_by: Option<CloseMove>,
    /// The bid that moved the close.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<BidId>,
    /// The bid that was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    retracted_bid: Option<BidId>,
    /// Counts bids taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    final_window: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_reason: Option<LockReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close_reason: Option<CloseReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decide_by: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unheard: Option<Vec<EdgeId>>,
}

impl LiveEvent {
    const fn new(kind: LiveKind, auction: AuctionId) -> Self {
        Self {
            kind,
            auction,
            bid: None,
            min_next: None,
            closes_at: None,
            closes_by: None,
            moved_by: None,
            cause: None,
            retracted_bid: None,
            epoch: None,
            final_window: None,
            lock_reason: None,
            close_reason: None,
            decide_by: None,
            unheard: None,
        }
    }

    /// What watchers of an auction are told; nothing when an event concerns none.
    fn of(event: &PublicEvent) -> Option<Self> {
        let mut live = match event {
            PublicEvent::AuctionOpened { auction, .. } => {
                Self::new(LiveKind::AuctionOpened, *auction)
            }
            PublicEvent::BidPlaced { auction, .. } => Self::new(LiveKind::BidPlaced, *auction),
            PublicEvent::CloseExtended { auction, .. } => {
                Self::new(LiveKind::CloseExtended, *auction)
            }
            PublicEvent::BidRetracted { auction, .. } => {
                Self::new(LiveKind::BidRetracted, *auction)
            }
            PublicEvent::BiddingEnded { auction, .. } => {
                Self::new(LiveKind::BiddingEnded, *auction)
            }
            PublicEvent::AuctionLocked { auction, .. } => {
                Self::new(LiveKind::AuctionLocked, *auction)
            }
            PublicEvent::AuctionAwaitsDecision { auction, .. } => {
                Self::new(LiveKind::AuctionAwaitsDecision, *auction)
            }
            PublicEvent::AuctionClosed { auction, .. } => {
                Self::new(LiveKind::AuctionClosed, *auction)
            }
            PublicEvent::ClusterInitialised { .. }
            | PublicEvent::KeyAdded { .. }
            | PublicEvent::MemberChanged { .. }
            | PublicEvent::MemberRemoved { .. }
            | PublicEvent::EdgeRegistered { .. }
            | PublicEvent::EdgeAdmitted { .. }
            | PublicEvent::EdgeLeftIntake { .. }
            | PublicEvent::EntriesMissing { .. }
            | PublicEvent::SignInRevoked { .. }
            | PublicEvent::HandleSet { .. }
            | PublicEvent::FlagChanged { .. }
            | PublicEvent::RulesActivated { .. }
            | PublicEvent::AssetPublished { .. }
            | PublicEvent::StoryListed { .. }
            | PublicEvent::StorySold { .. }
            | PublicEvent::StoryRelisted { .. }
            | PublicEvent::StoryHidden { .. }
            | PublicEvent::StoryCounted { .. }
            | PublicEvent::AuctionWatched { .. }
            | PublicEvent::StoryShared { .. }
            | PublicEvent::AuctionArchived { .. } => return None,
        };
        live.tell(event);
        Some(live)
    }

    fn tell(&mut self, event: &PublicEvent) {
        match event {
            PublicEvent::AuctionOpened { closes_at, closes_by, opening, min_next, .. } => {
                self.bid = Some(opening.clone());
                self.min_next = Some(*min_next);
                self.closes_at = Some(*closes_at);
                self.closes_by = Some(*closes_by);
            }
            PublicEvent::BidPlaced { bid, min_next, .. } => {
                self.bid = Some(bid.clone());
                self.min_next = Some(*min_next);
            }
            PublicEvent::BidRetracted { bid, highest, min_next, epoch, .. } => {
                self.retracted_bid = Some(*bid);
                self.bid.clone_from(highest);
                self.min_next = Some(*min_next);
                self.epoch = Some(*epoch);
            }
            PublicEvent::BiddingEnded { reason, unheard, .. } => {
                self.lock_reason = Some(*reason);
                self.unheard = Some(unheard.clone());
            }
            PublicEvent::CloseExtended {
                closes_at, closes_by, by, cause, final_window, ..
            } => {
                self.closes_at = Some(*closes_at);
                self.closes_by = Some(*closes_by);
                self.moved_by = Some(*by);
                self.cause = *cause;
                self.final_window = Some(*final_window);
            }
            PublicEvent::AuctionLocked { reason, bid, unheard, .. } => {
                self.lock_reason = Some(*reason);
                self.bid = Some(bid.clone());
                self.unheard = Some(unheard.clone());
            }
            PublicEvent::AuctionAwaitsDecision { decide_by, .. } => {
                self.decide_by = Some(*decide_by);
            }
            PublicEvent::AuctionClosed { reason, .. } => self.close_reason = Some(*reason),
            _ => {}
        }
    }
}

/// What one entry of the log did in an auction: `data` of the message `update`.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LiveUpdate {
    /// The entry; also `id` of the message.
    index: LogIndex,
    version: LogIndex,
    at: Timestamp,
    server_time: Timestamp,
    events: Vec<LiveEvent>,
}
