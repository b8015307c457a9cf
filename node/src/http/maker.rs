//! What became of a maker's stories.
//!
//! Figures are the cluster's; a page of them is cut here. Read next: `fairground_market::PublicationRow`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fairground_market::{PublicationList, PublicationRow};
use fairground_runtime::cursor::{Pager, Paging};
use fairground_runtime::problem::{ApiQuery, Problem};
use fairground_wire::message::{ForwardRequest, ReadRequest};
use serde::Serialize;

use super::auth::SignedIn;
use super::call;
use crate::edge::Edge;

/// A page of own stories with their figures.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublicationPage {
    stories: Vec<PublicationRow>,
    /// Where the next page begins; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Shows what became of own stories: who looked, offered and bought; newest publication first.
#[utoipa::path(get, path = "/v1/maker/publication-analytics",
    operation_id = "listPublicationAnalytics", tag = "stories", params(Paging),
    responses((status = 200, description = "A page of stories.", body = PublicationPage)),
    security(("bearer" = [])), extensions(("x-codes" = json!(["CURSOR_EXPIRED"]))))]
pub(crate) async fn publications(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Json<PublicationPage>, Problem> {
    paging.limit()?;
    let read = ForwardRequest::Read(ReadRequest::Publications { user: who.user });
    let list: PublicationList = call::typed(&edge, &read).await?;
    let keyed = list.stories.into_iter().map(|row| ((row.published_at, row.story_id), row));
    let pager = Pager { key: &edge.cursors, list: "publications", now: edge.time.now() };
    let page = paging.page(keyed, pager)?;
    Ok(Json(PublicationPage { stories: page.rows, next_cursor: page.next }))
}
