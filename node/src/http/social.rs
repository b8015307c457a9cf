//! Likes, saves, watches, reports and share links.
//!
//! Rows are the cluster's; a link opens from the replica. Read next: `fairground_market`'s `social`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fairground_market::SavedList;
use fairground_runtime::openapi::IdempotencyKeyHeader;
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Command, ReportGround, ShareChannel, SocialCommand};
use fairground_types::text::{Note, Summary, Title};
use fairground_types::{Accepted, AssetId, AuctionId, Code, ShareId, StoryId, Timestamp};
use fairground_wire::message::ReadRequest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Intent, SignedIn};
use super::call;
use super::stories::{MakerCard, not_here};
use crate::edge::Edge;
use crate::intake::derived_bits;

async fn set(
    edge: &Edge,
    (who, intent): (&SignedIn, &Intent),
    (operation, target): (&str, &str),
    command: SocialCommand,
) -> Result<StatusCode, Problem> {
    let id = intent.command(who, operation, target);
    call::command(edge, who, id, Command::Social(command)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Likes a story; again changes nothing.
#[utoipa::path(put, path = "/v1/stories/{story}/like", operation_id = "likeStory", tag = "social",
    params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It is liked.")),
    security(("bearer" = [])), extensions(("x-codes" = json!(["LIMIT_REACHED"]))))]
pub(crate) async fn like(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<StatusCode, Problem> {
    let command = SocialCommand::SetLike { story, on: true };
    set(&edge, (&who, &intent), ("like", &story.to_string()), command).await
}

/// No longer likes a story; again changes nothing.
#[utoipa::path(delete, path = "/v1/stories/{story}/like", operation_id = "unlikeStory",
    tag = "social", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It is not liked.")), security(("bearer" = [])))]
pub(crate) async fn unlike(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<StatusCode, Problem> {
    let command = SocialCommand::SetLike { story, on: false };
    set(&edge, (&who, &intent), ("unlike", &story.to_string()), command).await
}

/// Saves a story for later; again changes nothing.
#[utoipa::path(put, path = "/v1/stories/{story}/save", operation_id = "keepStory", tag = "social",
    params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It is saved.")),
    security(("bearer" = [])), extensions(("x-codes" = json!(["LIMIT_REACHED"]))))]
pub(crate) async fn keep(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<StatusCode, Problem> {
    let command = SocialCommand::SetSave { story, on: true };
    set(&edge, (&who, &intent), ("keep", &story.to_string()), command).await
}

/// No longer saves a story; again changes nothing.
#[utoipa::path(delete, path = "/v1/stories/{story}/save", operation_id = "unkeepStory",
    tag = "social", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It is not saved.")), security(("bearer" = [])))]
pub(crate) async fn unkeep(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<StatusCode, Problem> {
    let command = SocialCommand::SetSave { story, on: false };
    set(&edge, (&who, &intent), ("unkeep", &story.to_string()), command).await
}

/// Watches an open auction; again changes nothing.
#[utoipa::path(put, path = "/v1/auctions/{auction}/watch", operation_id = "watchAuction",
    tag = "social", params(("auction" = AuctionId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It is watched.")), security(("bearer" = [])),
    extensions(("x-codes" = json!(["LIMIT_REACHED", "AUCTION_CLOSED"]))))]
pub(crate) async fn watch(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(auction): ApiPath<AuctionId>,
) -> Result<StatusCode, Problem> {
    let command = SocialCommand::SetWatch { auction, on: true };
    set(&edge, (&who, &intent), ("watch", &auction.to_string()), command).await
}

/// No longer watches an auction; again changes nothing.
#[utoipa::path(delete, path = "/v1/auctions/{auction}/watch", operation_id = "unwatchAuction",
    tag = "social", params(("auction" = AuctionId, Path), IdempotencyKeyHeader),
    responses((status = 204, description = "It is not watched.")), security(("bearer" = [])))]
pub(crate) async fn unwatch(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(auction): ApiPath<AuctionId>,
) -> Result<StatusCode, Problem> {
    let command = SocialCommand::SetWatch { auction, on: false };
    set(&edge, (&who, &intent), ("unwatch", &auction.to_string()), command).await
}

/// Lists the stories that the account has saved and the auctions that it watches.
#[utoipa::path(get, path = "/v1/users/me/saved", operation_id = "listSaved", tag = "social",
    responses((status = 200, description = "What is saved.", body = SavedList)),
    security(("bearer" = [])))]
pub(crate) async fn saved(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
) -> Result<Json<Value>, Problem> {
    call::read(&edge, ReadRequest::MySaved { user: who.user }).await.map(Json)
}

/// What is wrong with a story.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Report {
    ground: ReportGround,
    #[serde(default)]
    note: Option<Note>,
}

/// Tells moderators about a story.
#[utoipa::path(post, path = "/v1/stories/{story}/report", operation_id = "reportStory",
    tag = "social", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    request_body = Report,
    responses((status = 202, description = "Moderators will look.")), security(("bearer" = [])))]
pub(crate) async fn report(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<Report>,
) -> Result<StatusCode, Problem> {
    let command = SocialCommand::ReportStory { story, ground: body.ground, note: body.note };
    set(&edge, (&who, &intent), ("report", &story.to_string()), command).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Where a link is meant to go.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ShareRequest {
    channel: ShareChannel,
}

/// A link to a story.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShareLink {
    share_id: ShareId,
    link: String,
    expires_at: Timestamp,
}

/// Makes a link to a story; it counts for 24 hours.
#[utoipa::path(post, path = "/v1/stories/{story}/share", operation_id = "shareStory",
    tag = "social", params(("story" = StoryId, Path), IdempotencyKeyHeader),
    request_body = ShareRequest,
    responses((status = 201, description = "The link.", body = ShareLink)),
    security(("bearer" = [])))]
pub(crate) async fn share(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<ShareRequest>,
) -> Result<(StatusCode, Json<ShareLink>), Problem> {
    let id = intent.command(&who, "share", &story.to_string());
    let share = ShareId::from_bits(derived_bits("fairground 2026 share id v1", &id));
    let command = SocialCommand::ShareStory { share, story, channel: body.channel };
    match call::command(&edge, &who, id, Command::Social(command)).await? {
        Accepted::StoryShared { share, expires_at } => {
            let link = format!("{}/s/{share}", edge.public_url.trim_end_matches('/'));
            Ok((StatusCode::CREATED, Json(ShareLink { share_id: share, link, expires_at })))
        }
        _ => Err(call::wrong_kind()),
    }
}

/// What a link shows before anybody opens the story.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SharePreview {
    story_id: StoryId,
    title: Title,
    short_description: Summary,
    maker: MakerCard,
    /// Whose poster is the picture.
    hero_asset_id: Option<AssetId>,
    expires_at: Timestamp,
}

/// Shows what a link leads to; nothing about prices or auctions.
#[utoipa::path(get, path = "/s/{share}", operation_id = "getShare", tag = "social",
    params(("share" = ShareId, Path)),
    responses((status = 200, description = "What it leads to.", body = SharePreview)),
    extensions(("x-codes" = json!(["LINK_EXPIRED", "GONE"]))))]
pub(crate) async fn open(
    State(edge): State<Arc<Edge>>,
    ApiPath(share): ApiPath<ShareId>,
) -> Result<Json<SharePreview>, Problem> {
    let now = edge.time.now();
    edge.view.read(|view| {
        let link = view
            .share(share)
            .ok_or_else(|| Problem::new(Code::NotFound, "there is no such link"))?;
        if link.expires_at <= now {
            return Err(Problem::new(Code::LinkExpired, "the link counted for 24 hours"));
        }
        let row = view.story(link.story);
        let row = row.ok_or_else(|| not_here(view, link.story))?;
        Ok(Json(SharePreview {
            story_id: row.story,
            title: row.contents.title.clone(),
            short_description: row.contents.short_description.clone(),
            maker: MakerCard::of(row),
            hero_asset_id: row.contents.clips.first().map(|clip| clip.asset_id),
            expires_at: link.expires_at,
        }))
    })
}
