//! Stories: a listing from the view, drafts from the cluster. Read next: `drafts.rs` for a story's
//! way to a listing, `feed.rs` for the feed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use fairground_market::{PublicView, StoryList, StoryStatus, StoryView};
use fairground_runtime::openapi::{IdempotencyKeyHeader, IfMatchHeader};
use fairground_runtime::problem::{ApiJson, ApiPath, ApiQuery, Problem};
use fairground_runtime::version::{self, IfMatch};
use fairground_types::command::{
    Clip, Command, SaveDraft, StoryCommand, StoryCounts, StoryDraft, StorySections,
};
use fairground_types::text::{Category, Handle, Overview, Summary, Title};
use fairground_types::{Accepted, AssetId, Code, CommandId, Money, StoryId, Timestamp, UserId};
use fairground_wire::message::{ForwardRequest, ReadRequest};
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

impl MakerCard {
    pub(super) fn of(row: &StoryView) -> Self {
        Self { user_id: row.maker, handle: row.maker_handle.clone() }
    }
}

/// A listed story by itself.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoryPage {
    story_id: StoryId,
    title: Title,
    short_description: Summary,
    category: Category,
    tags: Vec<Category>,
    maker: MakerCard,
    overview: Overview,
    sections: StorySections,
    clips: Vec<Clip>,
    primary_asset_id: Option<AssetId>,
    minimum_offer: Money,
    state: StoryStatus,
    listed_at: Timestamp,
    counts: StoryCounts,
    /// Its newest auction.
    #[serde(skip_serializing_if = "Option::is_none")]
    auction: Option<AuctionSummary>,
    /// What its reader did with it, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    viewer: Option<Viewer>,
    as_of: AsOf,
}

impl StoryPage {
    fn of(view: &PublicView, row: &StoryView) -> Self {
        let contents = &row.contents;
        let auction = row.auction.and_then(|auction| view.auction(auction));
        Self {
            story_id: row.story,
            title: contents.title.clone(),
            short_description: contents.short_description.clone(),
            category: contents.category.clone(),
            tags: contents.tags.clone(),
            maker: MakerCard::of(row),
            overview: contents.overview.clone(),
            sections: contents.sections.clone(),
            clips: contents.clips.clone(),
            primary_asset_id: contents.clips.first().map(|clip| clip.asset_id),
            minimum_offer: contents.minimum_offer,
            state: row.status,
            listed_at: row.listed_at,
            counts: row.counts,
            auction: auction.map(AuctionSummary::of),
            viewer: None,
            as_of: AsOf::of(view),
        }
    }
}

/// What a reader did with a story.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Viewer {
    liked: bool,
    saved: bool,
    watching: bool,
}

/// What else to show of a story.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Include {
    /// What its reader did with it.
    Viewer,
}

/// What else to show.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StoryQuery {
    /// `viewer` adds what the signed-in reader did with the story.
    #[param(inline)]
    include: Option<Include>,
}

/// Why a story is not shown.
pub(super) fn not_here(view: &PublicView, story: StoryId) -> Problem {
    if view.is_hidden(story) {
        Problem::new(Code::Gone, "the story is not shown any more")
    } else {
        Problem::new(Code::NotFound, "there is no such story here")
    }
}

/// A draft that was kept.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StorySaved {
    story_id: StoryId,
    version: u64,
}

/// Shows a listed story.
#[utoipa::path(get, path = "/v1/stories/{story}", operation_id = "getStory", tag = "stories",
    params(("story" = StoryId, Path), StoryQuery),
    responses((status = 200, description = "The story.", body = StoryPage)),
    security((), ("bearer" = [])), extensions(("x-codes" = json!(["GONE"]))))]
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    who: Option<SignedIn>,
    ApiPath(story): ApiPath<StoryId>,
    ApiQuery(query): ApiQuery<StoryQuery>,
) -> Result<Json<StoryPage>, Problem> {
    let found: Result<StoryPage, Problem> = edge.view.read(|view| {
        let row = view.story(story).ok_or_else(|| not_here(view, story))?;
        Ok(StoryPage::of(view, row))
    });
    let mut page = found?;
    if let (Some(who), Some(Include::Viewer)) = (who, query.include) {
        let read = ForwardRequest::Read(ReadRequest::StoryViewer { user: who.user, story });
        page.viewer = Some(call::typed(&edge, &read).await?);
    }
    Ok(Json(page))
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
    extensions(("x-codes" = json!(["CAPABILITY_REQUIRED", "DRAFT_CONFLICT", "EDIT_LOCKED",
        "STORY_INCOMPLETE", "CURRENCY_MISMATCH", "LIMIT_REACHED"]))))]
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
