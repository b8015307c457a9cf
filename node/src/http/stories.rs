//! Stories: the feed and a listing from the view; drafts and their way to a listing from the
//! cluster.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use fairground_market::{PublicView, StoryList, StoryStatus, StoryView};
use fairground_runtime::openapi::{IdempotencyKeyHeader, IfMatchHeader};
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_runtime::version::{self, IfMatch};
use fairground_types::command::{Clip, Command, SaveDraft, StoryCommand, StoryDraft};
use fairground_types::limits::PAGE_MAX;
use fairground_types::text::{Category, Handle, Overview, Summary, Title};
use fairground_types::{Accepted, AssetId, Code, CommandId, Money, StoryId, Timestamp, UserId};
use fairground_wire::message::ReadRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auctions::{AsOf, AuctionSummary};
use super::auth::{Intent, SignedIn};
use super::call;
use crate::edge::Edge;
use crate::intake::derived_bits;

/// A new version of a draft.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DraftChange {
    /// The version that was changed, where `If-Match` does not say it.
    #[serde(default)]
    base_version: Option<u64>,
    draft: StoryDraft,
}

/// A maker as anybody may see it.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MakerCard {
    user_id: UserId,
    handle: Option<Handle>,
}

/// A listed story in the feed.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoryCard {
    story_id: StoryId,
    title: Title,
    short_description: Summary,
    category: Category,
    maker: MakerCard,
    minimum_offer: Money,
    primary_asset_id: Option<AssetId>,
    state: StoryStatus,
    listed_at: Timestamp,
    /// Its newest auction.
    #[serde(skip_serializing_if = "Option::is_none")]
    auction: Option<AuctionSummary>,
}

impl StoryCard {
    fn of(view: &PublicView, row: &StoryView) -> Self {
        let contents = &row.contents;
        let auction = row.auction.and_then(|auction| view.auction(auction));
        Self {
            story_id: row.story,
            title: contents.title.clone(),
            short_description: contents.short_description.clone(),
            category: contents.category.clone(),
            maker: MakerCard { user_id: row.maker, handle: row.maker_handle.clone() },
            minimum_offer: contents.minimum_offer,
            primary_asset_id: contents.clips.first().map(|clip| clip.asset_id),
            state: row.status,
            listed_at: row.listed_at,
            auction: auction.map(AuctionSummary::of),
        }
    }
}

/// Listed stories, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Feed {
    items: Vec<StoryCard>,
    as_of: AsOf,
}

/// A listed story by itself.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoryPage {
    #[serde(flatten)]
    card: StoryCard,
    overview: Overview,
    clips: Vec<Clip>,
    as_of: AsOf,
}

/// A draft that was kept.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StorySaved {
    story_id: StoryId,
    version: u64,
}

/// Where a story stands after a step.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoryMoved {
    story_id: StoryId,
    /// `draft`, `submitted`, `rejected`, `approved`, `listed`, `live` or `sold`.
    state: String,
}

/// Lists what is for sale, newest first.
#[utoipa::path(get, path = "/v1/feed", operation_id = "getFeed", tag = "stories",
    responses((status = 200, description = "The stories.", body = Feed)))]
pub(crate) async fn feed(State(edge): State<Arc<Edge>>) -> Json<Feed> {
    let answer = edge.view.read(|view| {
        let mut rows: Vec<&StoryView> = view.stories().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.listed_index, row.story)));
        let items = rows.into_iter().take(PAGE_MAX).map(|row| StoryCard::of(view, row)).collect();
        Feed { items, as_of: AsOf::of(view) }
    });
    Json(answer)
}

/// Shows a listed story.
#[utoipa::path(get, path = "/v1/stories/{story}", operation_id = "getStory", tag = "stories",
    params(("story" = StoryId, Path)),
    responses((status = 200, description = "The story.", body = StoryPage)))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<StoryPage>, Problem> {
    let found = edge.view.read(|view| {
        let row = view.story(story)?;
        Some(StoryPage {
            card: StoryCard::of(view, row),
            overview: row.contents.overview.clone(),
            clips: row.contents.clips.clone(),
            as_of: AsOf::of(view),
        })
    });
    found.map(Json).ok_or_else(|| Problem::new(Code::NotFound, "there is no such story here"))
}

/// Lists own stories, drafts included.
#[utoipa::path(get, path = "/v1/users/me/stories", operation_id = "listMyStories",
    tag = "stories", responses((status = 200, description = "The stories.", body = StoryList)),
    security(("bearer" = [])))]
pub(crate) async fn mine(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::MyStories { user: who.user }).await.map(Json)
}

async fn save_draft(
    edge: &Edge,
    who: &SignedIn,
    id: CommandId,
    draft: SaveDraft,
) -> Result<([(HeaderName, HeaderValue); 1], Json<StorySaved>), Problem> {
    match call::command(edge, who, id, Command::Story(StoryCommand::SaveDraft(draft))).await? {
        Accepted::StorySaved { story, version } => {
            let saved = Json(StorySaved { story_id: story, version });
            Ok(([(header::ETAG, version::tag(version))], saved))
        }
        _ => Err(call::wrong_kind()),
    }
}

/// Begins a story.
#[utoipa::path(post, path = "/v1/stories", operation_id = "createStory", tag = "stories",
    params(IdempotencyKeyHeader), request_body = StoryDraft,
    responses((status = 201, description = "The draft is kept.", body = StorySaved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["CAPABILITY_REQUIRED", "LIMIT_REACHED", "NOT_FOUND"]))))]
pub(crate) async fn create(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(draft): ApiJson<StoryDraft>,
) -> Result<impl IntoResponse, Problem> {
    let id = intent.command(&who, "create-story", "");
    let story = StoryId::from_bits(derived_bits("fairground 2026 story id v1", &id));
    let draft = SaveDraft { story, base_version: None, draft };
    Ok((StatusCode::CREATED, save_draft(&edge, &who, id, draft).await?))
}

/// Changes a story.
#[utoipa::path(put, path = "/v1/stories/{story}", operation_id = "saveStory", tag = "stories",
    params(("story" = StoryId, Path), IdempotencyKeyHeader, IfMatchHeader),
    request_body = DraftChange,
    responses((status = 200, description = "A new version is kept.", body = StorySaved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["CAPABILITY_REQUIRED", "DRAFT_CONFLICT"]))))]
pub(crate) async fn save(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    seen: IfMatch,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<DraftChange>,
) -> Result<impl IntoResponse, Problem> {
    let base = seen.or("baseVersion", body.base_version)?;
    let id = intent.command(&who, "save-story", &story.to_string());
    let draft = SaveDraft { story, base_version: Some(base), draft: body.draft };
    save_draft(&edge, &who, id, draft).await.map_err(|problem| seen.explain(problem))
}

/// The state of a story after a command, as the cluster says.
async fn state_of(
    edge: &Edge,
    who: &SignedIn,
    story: StoryId,
    otherwise: &str,
) -> Json<StoryMoved> {
    let row = call::read(edge, ReadRequest::Story { user: who.user, story }).await;
    let state = row.ok().and_then(|row| Some(row.get("state")?.as_str()?.to_owned()));
    Json(StoryMoved { story_id: story, state: state.unwrap_or_else(|| otherwise.to_owned()) })
}

/// Submits a story for review.
#[utoipa::path(post, path = "/v1/stories/{story}/submit", operation_id = "submitStory",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["STORY_INCOMPLETE", "CAPABILITY_REQUIRED", "RESUBMIT_LIMIT"]))))]
pub(crate) async fn submit(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<StoryMoved>, Problem> {
    let id = intent.command(&who, "submit-story", &story.to_string());
    call::command(&edge, &who, id, Command::Story(StoryCommand::SubmitStory { story })).await?;
    Ok(state_of(&edge, &who, story, "submitted").await)
}

/// Lists an approved story.
#[utoipa::path(post, path = "/v1/stories/{story}/publish", operation_id = "publishStory",
    tag = "stories", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 200, description = "Where it stands.", body = StoryMoved)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["CAPABILITY_REQUIRED"]))))]
pub(crate) async fn publish(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<StoryMoved>, Problem> {
    let id = intent.command(&who, "publish-story", &story.to_string());
    call::command(&edge, &who, id, Command::Story(StoryCommand::PublishStory { story })).await?;
    Ok(state_of(&edge, &who, story, "listed").await)
}
