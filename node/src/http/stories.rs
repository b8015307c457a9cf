//! Stories: the feed and a listing from the view; drafts and their way to a listing from the
//! cluster.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use fairground_market::{PublicView, StoryView};
use fairground_runtime::problem::{ApiJson, ApiPath, Problem};
use fairground_types::command::{Command, SaveDraft, StoryCommand, StoryDraft};
use fairground_types::limits::PAGE_MAX;
use fairground_types::{Accepted, Code, CommandId, StoryId};
use fairground_wire::message::ReadRequest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Intent, SignedIn};
use super::{auctions, call};
use crate::edge::Edge;
use crate::intake::derived_bits;

/// A new version of a draft.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DraftChange {
    base_version: u64,
    draft: StoryDraft,
}

fn as_of(view: &PublicView) -> Value {
    json!({ "index": view.index(), "at": view.at() })
}

fn maker(row: &StoryView) -> Value {
    json!({ "userId": row.maker, "handle": row.maker_handle })
}

/// The members that a card and a page share.
fn card(view: &PublicView, row: &StoryView) -> Value {
    let contents = &row.contents;
    let auction = row.auction.and_then(|auction| view.auction(auction));
    let mut card = json!({
        "storyId": row.story,
        "title": contents.title,
        "shortDescription": contents.short_description,
        "category": contents.category,
        "maker": maker(row),
        "minimumOffer": contents.minimum_offer,
        "primaryAssetId": contents.clips.first().map(|clip| clip.asset_id),
        "state": row.status,
        "listedAt": row.listed_at,
    });
    if let (Some(auction), Some(members)) = (auction, card.as_object_mut()) {
        members.insert("auction".to_owned(), auctions::summary(auction));
    }
    card
}

/// `GET /v1/feed`
pub(crate) async fn feed(State(edge): State<Arc<Edge>>) -> Json<Value> {
    let answer = edge.view.read(|view| {
        let mut rows: Vec<&StoryView> = view.stories().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.listed_index, row.story)));
        let items: Vec<Value> =
            rows.into_iter().take(PAGE_MAX).map(|row| card(view, row)).collect();
        json!({ "items": items, "asOf": as_of(view) })
    });
    Json(answer)
}

/// `GET /v1/stories/{story}`
pub(crate) async fn show(
    State(edge): State<Arc<Edge>>,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<Value>, Problem> {
    let found = edge.view.read(|view| {
        let row = view.story(story)?;
        let mut page = card(view, row);
        if let Some(members) = page.as_object_mut() {
            members.insert("overview".to_owned(), json!(row.contents.overview));
            members.insert("clips".to_owned(), json!(row.contents.clips));
            members.insert("asOf".to_owned(), as_of(view));
        }
        Some(page)
    });
    found.map(Json).ok_or_else(|| Problem::new(Code::NotFound, "there is no such story here"))
}

/// `GET /v1/users/me/stories`
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
) -> Result<Json<Value>, Problem> {
    match call::command(edge, who, id, Command::Story(StoryCommand::SaveDraft(draft))).await? {
        Accepted::StorySaved { story, version } => {
            Ok(Json(json!({ "storyId": story, "version": version })))
        }
        _ => Err(call::wrong_kind()),
    }
}

/// `POST /v1/stories`
pub(crate) async fn create(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiJson(draft): ApiJson<StoryDraft>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let id = intent.command(&who, "create-story", "");
    let story = StoryId::from_bits(derived_bits("fairground 2026 story id v1", &id));
    let draft = SaveDraft { story, base_version: None, draft };
    Ok((StatusCode::CREATED, save_draft(&edge, &who, id, draft).await?))
}

/// `PUT /v1/stories/{story}`
pub(crate) async fn save(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
    ApiJson(body): ApiJson<DraftChange>,
) -> Result<Json<Value>, Problem> {
    let id = intent.command(&who, "save-story", &story.to_string());
    let draft = SaveDraft { story, base_version: Some(body.base_version), draft: body.draft };
    save_draft(&edge, &who, id, draft).await
}

/// The state of a story after a command, as the cluster says.
async fn state_of(edge: &Edge, who: &SignedIn, story: StoryId, otherwise: &str) -> Json<Value> {
    let row = call::read(edge, ReadRequest::Story { user: who.user, story }).await;
    let state = row.ok().and_then(|row| row.get("state").cloned());
    Json(json!({ "storyId": story, "state": state.unwrap_or_else(|| otherwise.into()) }))
}

/// `POST /v1/stories/{story}/submit`
pub(crate) async fn submit(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<Value>, Problem> {
    let id = intent.command(&who, "submit-story", &story.to_string());
    call::command(&edge, &who, id, Command::Story(StoryCommand::SubmitStory { story })).await?;
    Ok(state_of(&edge, &who, story, "submitted").await)
}

/// `POST /v1/stories/{story}/publish`
pub(crate) async fn publish(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    intent: Intent,
    ApiPath(story): ApiPath<StoryId>,
) -> Result<Json<Value>, Problem> {
    let id = intent.command(&who, "publish-story", &story.to_string());
    call::command(&edge, &who, id, Command::Story(StoryCommand::PublishStory { story })).await?;
    Ok(state_of(&edge, &who, story, "listed").await)
}
