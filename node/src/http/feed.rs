//! The feed, what readers do with it, and how they want it.
//!
//! No price, bid, timer or auction state is in an item, not even that there is an auction: whoever
//! wants it asks for the story. Read next: [`crate::feed`].

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fairground_market::{PublicView, StoryView};
use fairground_runtime::cursor::Paging;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiQuery, Problem};
use fairground_types::command::{
    Command, FeedAlgorithm, FeedPreferences, SocialCommand, StoryCounts,
};
use fairground_types::limits::PAGE_MAX;
use fairground_types::text::{Category, Summary, Title};
use fairground_types::{AssetId, Code, Millis, StoryId, Timestamp};
use serde::{Deserialize, Serialize};

use super::auctions::AsOf;
use super::auth::{Intent, SignedIn};
use super::call;
use super::stories::MakerCard;
use crate::edge::Edge;
use crate::feed::rank::InteractionKind;
use crate::feed::{self, Profile, SESSION_LIFE, Wanted};

/// The name of the list in its cursors.
const LIST: &str = "feed";
/// Interactions of one batch.
const BATCH_MAX: usize = 100;
/// Tags of one request.
const TAGS_MAX: usize = 10;

/// Which part of which feed.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FeedQuery {
    /// How it is put together; what the reader prefers when absent, `trending` for guests.
    algorithm: Option<FeedAlgorithm>,
    /// Items of one page. Default 20.
    #[param(minimum = 1, maximum = 50)]
    limit: Option<usize>,
    /// `nextCursor` of the page before; it counts for 10 minutes.
    #[param(max_length = 1024)]
    cursor: Option<String>,
    /// Only stories with one of these tags, by comma.
    #[param(max_length = 500)]
    tags: Option<String>,
}

/// Where a page begins.
#[derive(Serialize, Deserialize)]
struct Place {
    session: String,
    place: usize,
    algorithm: FeedAlgorithm,
}

/// A story in the feed.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FeedItem {
    story_id: StoryId,
    title: Title,
    short_description: Summary,
    category: Category,
    tags: Vec<Category>,
    maker: MakerCard,
    /// What to play; its playback has the poster.
    primary_asset_id: Option<AssetId>,
    counts: StoryCounts,
    /// Where in the session it stands, from 0.
    position: u64,
    listed_at: Timestamp,
}

/// A page of the feed.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FeedPage {
    items: Vec<FeedItem>,
    /// How it was put together.
    algorithm: FeedAlgorithm,
    /// Names the order that its pages share.
    feed_session_id: String,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    as_of: AsOf,
}

fn item(row: &StoryView, place: usize) -> FeedItem {
    let contents = &row.contents;
    FeedItem {
        story_id: row.story,
        title: contents.title.clone(),
        short_description: contents.short_description.clone(),
        category: contents.category.clone(),
        tags: contents.tags.clone(),
        maker: MakerCard::of(row),
        primary_asset_id: contents.clips.first().map(|clip| clip.asset_id),
        counts: row.counts,
        position: u64::try_from(place).unwrap_or(u64::MAX),
        listed_at: row.listed_at,
    }
}

fn tags_of(text: Option<&str>) -> Result<BTreeSet<Category>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(BTreeSet::new()) };
    let tags: Result<BTreeSet<Category>, _> = text.split(',').map(Category::parse).collect();
    let tags = tags.map_err(|error| Problem::invalid("tags", error.to_string()))?;
    if tags.len() > TAGS_MAX {
        return Err(Problem::invalid("tags", format!("at most {TAGS_MAX}")));
    }
    Ok(tags)
}

/// Items of a page and the place after it. What was sold, hidden or blocked since is left out.
fn page(
    view: &PublicView,
    (ranked, from): (&[StoryId], usize),
    limit: usize,
    profile: Option<&Profile>,
) -> (Vec<FeedItem>, usize) {
    let blocked = profile.map(Profile::blocked_makers).unwrap_or_default();
    let mut items = Vec::new();
    let mut next = from;
    for (place, story) in ranked.iter().enumerate().skip(from) {
        if items.len() >= limit {
            break;
        }
        next = place.saturating_add(1);
        let is_shown = |row: &&StoryView| feed::is_shown(row) && !blocked.contains(&row.maker);
        let row = view.story(*story).filter(is_shown);
        items.extend(row.map(|row| item(row, place)));
    }
    (items, next)
}

/// Shows a page of the feed.
#[utoipa::path(get, path = "/v1/feed", operation_id = "getFeed", tag = "feed",
    params(FeedQuery),
    responses((status = 200, description = "The stories.", body = FeedPage)),
    security((), ("bearer" = [])),
    extensions(("x-codes" = json!(["CURSOR_EXPIRED"]))))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: Option<SignedIn>,
    ApiQuery(query): ApiQuery<FeedQuery>,
) -> Result<Json<FeedPage>, Problem> {
    let now = edge.time.now();
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    let limit = paging.limit_within(PAGE_MAX)?;
    let tags = tags_of(query.tags.as_deref())?;
    let place: Option<Place> = paging.position(&edge.cursors, LIST, now)?;
    let profile = match &who {
        Some(who) => Some(feed::profile(&edge, who.user).await),
        None => None,
    };
    let (session, ranked, from, algorithm) = match place {
        Some(place) => {
            let ranked = edge.feed.session(&place.session, now).ok_or_else(|| {
                Problem::new(Code::CursorExpired, "the feed has ended here; begin again")
            })?;
            (place.session, ranked, place.place, place.algorithm)
        }
        None => {
            let preferred = profile.as_ref().map(|profile| profile.preferences.algorithm);
            let algorithm = match (query.algorithm.or(preferred), &profile) {
                (Some(FeedAlgorithm::Newest), _) => FeedAlgorithm::Newest,
                (Some(algorithm), Some(_)) => algorithm,
                // Nothing is known of a guest.
                (_, None) => FeedAlgorithm::Trending,
                (None, Some(_)) => FeedAlgorithm::Personalized,
            };
            let reader = who.as_ref().map(|who| who.user).zip(profile.clone());
            let wanted = Wanted { algorithm, tags, reader };
            let (session, ranked) = feed::begin(&edge, wanted).await;
            (session, ranked, 0, algorithm)
        }
    };
    let (items, next, as_of) = edge.view.read(|view| {
        let (items, next) = page(view, (&ranked, from), limit, profile.as_deref());
        (items, next, AsOf::of(view))
    });
    let has_more = next < ranked.len();
    let next_cursor = has_more.then(|| {
        let place = Place { session: session.clone(), place: next, algorithm };
        edge.cursors.seal(LIST, &place, (now, SESSION_LIFE))
    });
    Ok(Json(FeedPage { items, algorithm, feed_session_id: session, has_more, next_cursor, as_of }))
}

/// Something that a reader did.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Interaction {
    story_id: StoryId,
    kind: InteractionKind,
    /// How long it was watched, milliseconds; a look shorter than a second does not count.
    #[serde(default)]
    watch_time: Option<Millis>,
    /// In which session.
    #[serde(default)]
    #[schema(max_length = 64)]
    feed_session_id: Option<String>,
}

/// What a reader did, oldest first.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct InteractionBatch {
    /// At most 100.
    #[schema(max_items = 100)]
    items: Vec<Interaction>,
}

/// How many interactions were taken.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InteractionsTaken {
    taken: u64,
}

/// Takes what a reader did with stories. It is kept at this edge for a while and may be lost.
#[utoipa::path(post, path = "/v1/feed/interactions", operation_id = "recordInteractions",
    tag = "feed", params(IdempotencyKeyHeader), request_body = InteractionBatch,
    responses((status = 202, description = "It was taken.", body = InteractionsTaken)),
    security(("bearer" = [])))]
pub(crate) async fn interact(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    _intent: Intent,
    ApiJson(batch): ApiJson<InteractionBatch>,
) -> Result<(StatusCode, Json<InteractionsTaken>), Problem> {
    if batch.items.len() > BATCH_MAX {
        return Err(Problem::invalid("items", format!("at most {BATCH_MAX}")));
    }
    if batch.items.iter().filter_map(|row| row.feed_session_id.as_ref()).any(|id| id.len() > 64) {
        return Err(Problem::invalid("feedSessionId", "at most 64 characters"));
    }
    let mut taken = 0_u64;
    for row in &batch.items {
        let too_short = row.kind == InteractionKind::View
            && row.watch_time.is_some_and(|time| time < Millis::from_secs(1));
        let is_known = edge.view.read(|view| view.story(row.story_id).is_some());
        if is_known && !too_short {
            edge.feed.note(who.user, row.kind, row.story_id);
            taken = taken.saturating_add(1);
        }
    }
    Ok((StatusCode::ACCEPTED, Json(InteractionsTaken { taken })))
}

/// Tells what a reader wants of the feed.
#[utoipa::path(get, path = "/v1/feed/preferences", operation_id = "getFeedPreferences",
    tag = "feed",
    responses((status = 200, description = "What counts now.", body = FeedPreferences)),
    security(("bearer" = [])))]
pub(crate) async fn preferences(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<FeedPreferences>, Problem> {
    let read = fairground_wire::message::ForwardRequest::Read(
        fairground_wire::message::ReadRequest::FeedProfile { user: who.user },
    );
    let profile: Profile = call::typed(&edge, &read).await?;
    Ok(Json(profile.preferences))
}

/// Sets what a reader wants of the feed.
#[utoipa::path(put, path = "/v1/feed/preferences", operation_id = "setFeedPreferences",
    tag = "feed", params(IdempotencyKeyHeader), request_body = FeedPreferences,
    responses((status = 200, description = "What counts now.", body = FeedPreferences)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["LIMIT_REACHED"]))))]
pub(crate) async fn set_preferences(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(wanted): ApiJson<FeedPreferences>,
) -> Result<Json<FeedPreferences>, Problem> {
    let id = intent.command(&who, "feed-preferences", "");
    let command = Command::Social(SocialCommand::SetFeedPreferences(Box::new(wanted.clone())));
    call::command(&edge, &who, id, command).await?;
    edge.feed.forget_profile(who.user);
    Ok(Json(wanted))
}
