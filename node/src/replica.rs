//! The edge's copy of the public view: followed over the feed, persisted, and told to live streams.
//!
//! ```text
//!   member --- Snapshot | Item | Alive --->  follow  --->  Followed { view, recent items }
//!                                              |                |            |
//!                                    view.sealed (storage)   admission   live streams
//! ```
//! It must not know what an event means beyond whom to wake. Read next: `fairground_market`'s view.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fairground_market::PublicView;
use fairground_media::token::TokenKeys;
use fairground_runtime::access::Verifier;
use fairground_seam::watch;
use fairground_types::command::KeyPurpose;
use fairground_types::event::{FeedItem, PublicEvent};
use fairground_types::limits::{FEED_BACKLOG_MAX, VIEW_AGE_MAX};
use fairground_types::{ClusterId, LogIndex, MemberId, Millis};
use fairground_wire::codec;
use fairground_wire::message::{FeedDown, FeedRequest, StreamKind};
use fairground_wire::session::feed::{FeedError, FeedEvent, FeedFollower, VIEW_VERSION};
use tokio::sync::broadcast;

use crate::edge::Edge;
use crate::link::{LinkError, Live, stream};

/// Items that a live stream may lag behind before it is ended.
const LIVE_LAG_MAX: usize = 1_024;
/// Items folded since the view was persisted that make it worth doing again.
const PERSIST_ITEMS: u64 = 2_000;
const PERSIST_PERIOD: Duration = Duration::from_secs(30);
/// A member that says nothing for so long is left: it says something each second.
const SILENCE_MAX: Duration = Duration::from_secs(3);
const REACH_WAIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

/// What a live stream hears.
#[derive(Clone, Debug)]
pub(crate) enum Fed {
    /// One entry's events, folded in.
    Item(Arc<FeedItem>),
    /// The view was replaced: start again from it.
    Replaced,
}

/// Keys that offline checks use, made anew when the view's keys change.
pub(crate) struct Keys {
    pub(crate) access: Option<Verifier>,
    pub(crate) playback: TokenKeys,
}

struct Inner {
    view: PublicView,
    recent: VecDeque<Arc<FeedItem>>,
    /// Every item with events above this index is in `recent`.
    recent_above: LogIndex,
    keys: Arc<Keys>,
}

/// The followed view. Locks are held for folds and reads only, never across an await.
pub(crate) struct Followed {
    inner: RwLock<Inner>,
    position: watch::Sender<LogIndex>,
    live: broadcast::Sender<Fed>,
    heard_at: AtomicU64,
}

/// Where a live stream begins.
pub(crate) enum LiveStart {
    /// These items, then what comes.
    Resume(Vec<Arc<FeedItem>>),
    /// From the view.
    Snapshot,
}

impl Followed {
    pub(crate) fn new(view: PublicView) -> Self {
        let keys = Arc::new(Keys::of(&view));
        let position = watch::Sender::new(view.index());
        let inner = Inner { recent_above: view.index(), view, recent: VecDeque::new(), keys };
        Self {
            inner: RwLock::new(inner),
            position,
            live: broadcast::Sender::new(LIVE_LAG_MAX),
            heard_at: AtomicU64::new(0),
        }
    }

    /// Looks at the view.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&PublicView) -> R) -> R {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner).view)
    }

    /// The keys of the view.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.inner.read().unwrap_or_else(PoisonError::into_inner).keys)
    }

    /// The newest index, and when it moves.
    pub(crate) fn position(&self) -> watch::Receiver<LogIndex> {
        self.position.subscribe()
    }

    /// The newest index.
    pub(crate) fn index(&self) -> LogIndex {
        *self.position.borrow()
    }

    /// Waits until the view has reached `index`, at most for `patience`.
    pub(crate) async fn reach(&self, index: LogIndex, patience: Duration) {
        let mut position = self.position.subscribe();
        // Late or closing down, the caller goes on with the view as it is.
        let _ = tokio::time::timeout(patience, position.wait_for(|now| *now >= index)).await;
    }

    /// Folds an item in.
    pub(crate) fn fold(&self, item: FeedItem, now: Millis) -> Arc<FeedItem> {
        self.heard(now);
        let item = Arc::new(item);
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.view.fold(&item);
        if !item.events.is_empty() {
            inner.recent.push_back(Arc::clone(&item));
            while inner.recent.len() > FEED_BACKLOG_MAX {
                if let Some(dropped) = inner.recent.pop_front() {
                    inner.recent_above = dropped.index;
                }
            }
            if item.events.iter().any(changes_keys) {
                inner.keys = Arc::new(Keys::of(&inner.view));
            }
            // Under the lock, so that a stream that begins now misses nothing; nobody listening is
            // no error.
            let _ = self.live.send(Fed::Item(Arc::clone(&item)));
        }
        drop(inner);
        self.position.send_replace(item.index);
        item
    }

    /// Puts a view of the members in the place of ours, unless it is older: positions do not go
    /// back, or a sign-in that was ended would count again.
    pub(crate) fn replace(&self, view: PublicView, now: Millis) -> bool {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let index = view.index();
        if index < inner.view.index() {
            return false;
        }
        self.heard(now);
        inner.keys = Arc::new(Keys::of(&view));
        inner.view = view;
        inner.recent.clear();
        inner.recent_above = index;
        let _ = self.live.send(Fed::Replaced);
        drop(inner);
        self.position.send_replace(index);
        true
    }

    /// The feed spoke at `now`.
    pub(crate) fn heard(&self, now: Millis) {
        self.heard_at.store(now.as_millis().max(1), Ordering::Relaxed);
    }

    /// Time since the feed spoke; `None` when it has not spoken since the start.
    pub(crate) fn age(&self, now: Millis) -> Option<Millis> {
        match self.heard_at.load(Ordering::Relaxed) {
            0 => None,
            heard => Some(Millis::new(now.as_millis().saturating_sub(heard))),
        }
    }

    /// Whether the view is fresh enough to take bids and to start playback.
    pub(crate) fn is_fresh(&self, now: Millis) -> bool {
        self.age(now).is_some_and(|age| age <= VIEW_AGE_MAX)
    }

    /// Begins a live stream: what it missed after `last`, and what comes from now on. `look` sees
    /// the view of the same instant.
    pub(crate) fn listen<R>(
        &self,
        last: Option<LogIndex>,
        look: impl FnOnce(&PublicView) -> R,
    ) -> (LiveStart, broadcast::Receiver<Fed>, R) {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.live.subscribe();
        let start = match last {
            Some(last) if last >= inner.recent_above && last <= inner.view.index() => {
                let from = inner.recent.partition_point(|item| item.index <= last);
                LiveStart::Resume(inner.recent.iter().skip(from).cloned().collect())
            }
            Some(_) | None => LiveStart::Snapshot,
        };
        (start, receiver, look(&inner.view))
    }

    /// The view as bytes, and its index.
    pub(crate) fn encode(&self) -> Result<(LogIndex, Vec<u8>), codec::CodecError> {
        self.read(|view| Ok((view.index(), encode_view(view)?)))
    }
}

const fn changes_keys(event: &PublicEvent) -> bool {
    matches!(event, PublicEvent::KeyAdded { .. } | PublicEvent::ClusterInitialised { .. })
}

impl Keys {
    fn of(view: &PublicView) -> Self {
        let of_purpose = |purpose| view.keys().iter().filter(move |key| key.purpose == purpose);
        let access = view.cluster().map(|cluster: ClusterId| {
            let keys = of_purpose(KeyPurpose::Access).map(|key| (key.kid.clone(), key.public));
            Verifier::new(cluster, keys)
        });
        let mut playback = TokenKeys::new();
        for key in of_purpose(KeyPurpose::Playback) {
            if let Some(number) = playback_key_number(&key.kid) {
                playback.insert(number, key.public);
            }
        }
        Self { access, playback }
    }
}

/// The number of a playback key: its name is a number, perhaps behind letters.
fn playback_key_number(kid: &str) -> Option<u32> {
    kid.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

/// A view as it is persisted and as members send it.
pub(crate) fn encode_view(view: &PublicView) -> Result<Vec<u8>, codec::CodecError> {
    codec::encode_state(VIEW_VERSION, view)
}

/// The view of these bytes.
pub(crate) fn decode_view(bytes: &[u8]) -> Result<PublicView, codec::CodecError> {
    codec::decode_state(VIEW_VERSION, bytes).map(|(_, view)| view)
}

/// Why following a member ended.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("reach a member")]
    Link(#[from] LinkError),
    #[error("read the feed")]
    Stream(#[from] stream::StreamError),
    #[error("follow the feed")]
    Feed(#[from] FeedError),
    #[error("read a view")]
    View(#[from] codec::CodecError),
    #[error("hear the feed in time")]
    Silent,
    #[error("go on: the member is behind this edge's view")]
    Behind,
}

/// Follows the feed of one member after the other until shutdown, then persists the view.
pub(crate) async fn follow(edge: Arc<Edge>) {
    let mut persisted = edge.view.index();
    let mut turn = 0_usize;
    loop {
        let candidate = tokio::select! {
            biased;
            () = edge.shutdown.wait() => break,
            candidate = next_member(&edge, turn) => candidate,
        };
        turn = turn.wrapping_add(1);
        if let Some(live) = candidate {
            tokio::select! {
                biased;
                () = edge.shutdown.wait() => break,
                // The new leader first: the old one may be gone without having said so.
                () = succeeded(&edge, live.member) => turn = 0,
                ended = follow_member(&edge, &live, &mut persisted) => if let Err(error) = ended {
                    tracing::debug!(member = %live.member, error = %crate::link::chain(&error),
                        "feed ended");
                },
            }
        }
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    persist(&edge, &mut persisted).await;
}

/// Waits until another member leads in the place of this one; for ever if this one does not lead.
async fn succeeded(edge: &Edge, member: MemberId) {
    let mut leader = edge.links.leader();
    let leads = *leader.borrow_and_update() == Some(member);
    let is_over = leader.wait_for(|now| now.is_some_and(|now| now != member));
    if !leads || is_over.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Another member at each turn, so that one that hangs is not chosen for ever.
async fn next_member(edge: &Edge, turn: usize) -> Option<Live> {
    edge.links.any(REACH_WAIT).await?;
    let candidates = edge.links.candidates();
    let count = candidates.len().max(1);
    candidates.into_iter().nth(turn % count)
}

async fn follow_member(
    edge: &Arc<Edge>,
    live: &Live,
    persisted: &mut LogIndex,
) -> Result<(), FollowError> {
    let (mut send, mut receive) = live.open(StreamKind::Feed).await?;
    let from = edge.view.index();
    stream::send(&mut send, &FeedRequest { from }).await?;
    let mut follower = FeedFollower::new(from);
    let mut persist_at = tokio::time::Instant::now() + PERSIST_PERIOD;
    loop {
        let message = tokio::time::timeout(SILENCE_MAX, stream::expect::<FeedDown>(&mut receive));
        let message = message.await.map_err(|_| FollowError::Silent)??;
        let now = edge.time.monotonic();
        match follower.receive(message)? {
            FeedEvent::Pending => {}
            FeedEvent::Replace { index, view } => {
                tracing::info!(log_index = %index, bytes = view.len(), "view replaced");
                if !edge.view.replace(decode_view(&view)?, now) {
                    return Err(FollowError::Behind);
                }
                edge.intake.reconsider(&edge.view);
                follow_members(edge);
                // Which stories it hides that the one before did not is not known.
                edge.prefetch.hide();
            }
            FeedEvent::Fold(item) => {
                let item = edge.view.fold(item, now);
                observe(edge, &item);
            }
            FeedEvent::Alive { index, at } => {
                edge.view.fold(FeedItem { index, at, events: Vec::new() }, now);
            }
        }
        let unsaved = follower.position().0.saturating_sub(persisted.0);
        if unsaved >= PERSIST_ITEMS || (unsaved > 0 && tokio::time::Instant::now() >= persist_at) {
            persist(edge, persisted).await;
            persist_at = tokio::time::Instant::now() + PERSIST_PERIOD;
        }
    }
}

/// Wakes whoever an item concerns.
fn observe(edge: &Arc<Edge>, item: &FeedItem) {
    edge.intake.observe(item, &edge.view);
    let mut concerns_media = false;
    let mut concerns_members = false;
    for event in &item.events {
        match event {
            PublicEvent::MemberChanged { .. } | PublicEvent::MemberRemoved { .. } => {
                concerns_members = true;
            }
            PublicEvent::StoryHidden { .. } => edge.prefetch.hide(),
            PublicEvent::AssetPublished { .. }
            | PublicEvent::StoryListed { .. }
            | PublicEvent::AuctionOpened { .. }
            | PublicEvent::AuctionClosed { .. } => concerns_media = true,
            PublicEvent::ClusterInitialised { .. }
            | PublicEvent::KeyAdded { .. }
            | PublicEvent::EdgeRegistered { .. }
            | PublicEvent::EdgeAdmitted { .. }
            | PublicEvent::EdgeLeftIntake { .. }
            | PublicEvent::EntriesMissing { .. }
            | PublicEvent::SignInRevoked { .. }
            | PublicEvent::HandleSet { .. }
            | PublicEvent::FlagChanged { .. }
            | PublicEvent::RulesActivated { .. }
            | PublicEvent::StorySold { .. }
            | PublicEvent::StoryRelisted { .. }
            | PublicEvent::StoryCounted { .. }
            | PublicEvent::AuctionWatched { .. }
            | PublicEvent::StoryShared { .. }
            | PublicEvent::BidPlaced { .. }
            | PublicEvent::BidRetracted { .. }
            | PublicEvent::BiddingEnded { .. }
            | PublicEvent::CloseExtended { .. }
            | PublicEvent::AuctionLocked { .. }
            | PublicEvent::AuctionAwaitsDecision { .. }
            | PublicEvent::AuctionArchived { .. } => {}
        }
    }
    if concerns_members {
        follow_members(edge);
    }
    if concerns_media {
        edge.prefetch.wake();
    }
}

/// Connects to the members of the view, or to the configured ones while it has none.
pub(crate) fn follow_members(edge: &Edge) {
    let mut addresses: BTreeSet<String> =
        edge.view.read(|view| view.members().map(|row| row.cluster_address.clone()).collect());
    if addresses.is_empty() {
        addresses.extend(edge.options.members.iter().cloned());
    }
    edge.links.follow(&addresses);
}

async fn persist(edge: &Edge, persisted: &mut LogIndex) {
    let encoded = match edge.view.encode() {
        Ok(encoded) => encoded,
        Err(error) => {
            tracing::error!(error = %crate::link::chain(&error), "view not encoded");
            return;
        }
    };
    let (index, bytes) = encoded;
    if index == *persisted {
        return;
    }
    match edge.store.save(index, bytes).await {
        Ok(()) => *persisted = index,
        Err(error) => {
            tracing::warn!(error = %crate::link::chain(&error), "view not persisted");
        }
    }
}

#[cfg(test)]
mod tests {
    use fairground_types::command::ClusterKey;
    use fairground_types::{SignInId, Timestamp};

    use super::*;

    const NOW: Millis = Millis::new(10);

    fn item(index: u64, events: Vec<PublicEvent>) -> FeedItem {
        FeedItem { index: LogIndex(index), at: Timestamp::from_unix_millis(index), events }
    }

    fn revoked(index: u64) -> FeedItem {
        item(index, vec![PublicEvent::SignInRevoked { sign_in: SignInId::from_bits(1) }])
    }

    #[test]
    fn a_stream_resumes_from_what_it_saw_and_starts_anew_when_that_is_too_old() {
        let followed = Followed::new(PublicView::default());
        followed.fold(revoked(3), NOW);
        followed.fold(item(4, Vec::new()), NOW);
        followed.fold(revoked(5), NOW);
        let missed = |last| match followed.listen(last, |_| ()).0 {
            LiveStart::Resume(items) => {
                Some(items.iter().map(|item| item.index.0).collect::<Vec<_>>())
            }
            LiveStart::Snapshot => None,
        };
        assert_eq!(missed(Some(LogIndex(3))), Some(vec![5]));
        assert_eq!(missed(Some(LogIndex(0))), Some(vec![3, 5]));
        assert_eq!(missed(Some(LogIndex(5))), Some(vec![]));
        assert_eq!(missed(Some(LogIndex(6))), None, "ahead of this edge");
        assert_eq!(missed(None), None);
        let view = followed.read(Clone::clone);
        assert!(followed.replace(view, NOW));
        assert_eq!(missed(Some(LogIndex(3))), None);
    }

    #[test]
    fn a_view_that_is_behind_does_not_replace_a_newer_one() {
        let followed = Followed::new(PublicView::default());
        followed.fold(item(4, Vec::new()), Millis::ZERO);
        let behind = followed.read(Clone::clone);
        followed.fold(revoked(5), Millis::ZERO);
        assert!(!followed.replace(behind, Millis::from_mins(9)));
        assert!(followed.read(|view| view.is_revoked(SignInId::from_bits(1))));
        assert_eq!(followed.index(), LogIndex(5));
        assert!(!followed.is_fresh(Millis::from_mins(9)), "such a member was not heard");
    }

    #[test]
    fn a_view_is_stale_until_the_feed_speaks_and_five_minutes_after() {
        let followed = Followed::new(PublicView::default());
        assert!(!followed.is_fresh(NOW));
        followed.heard(NOW);
        assert!(followed.is_fresh(Millis::from_mins(5)));
        assert!(!followed.is_fresh(Millis::from_mins(6)));
    }

    #[test]
    fn keys_follow_the_view() {
        let followed = Followed::new(PublicView::default());
        assert!(followed.keys().access.is_none());
        let key = ClusterKey { kid: "p7".into(), purpose: KeyPurpose::Playback, public: [1; 32] };
        let cluster = ClusterId::from_bits(1);
        let events =
            vec![PublicEvent::ClusterInitialised { cluster }, PublicEvent::KeyAdded { key }];
        followed.fold(item(1, events), NOW);
        assert!(followed.keys().access.is_some());
        assert_eq!(playback_key_number("p7"), Some(7));
        assert_eq!(playback_key_number("12"), Some(12));
        assert_eq!(playback_key_number("x"), None);
    }

    #[test]
    fn a_view_survives_its_bytes() {
        let followed = Followed::new(PublicView::default());
        followed.fold(revoked(3), NOW);
        let (index, bytes) = followed.encode().expect("encoded");
        assert_eq!(index, LogIndex(3));
        assert_eq!(decode_view(&bytes).expect("decoded"), followed.read(Clone::clone));
    }
}
