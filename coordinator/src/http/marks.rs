//! Reading a viewer's mark off a recording: who watched.
//!
//! Read next: `crate::viewer_mark`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use fairground_runtime::problem::{ApiQuery, Problem};
use fairground_types::role::Action;
use fairground_types::{AssetId, Code, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::fresh;
use super::guard::Caller;
use crate::viewer_mark::{Sighting, Viewer};

/// What was seen.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MarkQuery {
    /// The clip that is seen in the recording.
    asset: AssetId,
    /// The text that lies over it.
    mark: String,
}

/// Whose mark it is.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MarkReading {
    /// The minute at which the playback began.
    began_at: Timestamp,
    /// The account; none when nobody was signed in, or when clip or text are not those of the recording.
    viewers: Vec<UserId>,
}

/// Tells whose mark lies over a recording of a clip.
#[utoipa::path(get, path = "/v1/admin/viewer-marks", operation_id = "readViewerMark",
    tag = "moderation", params(MarkQuery),
    responses((status = 200, description = "Who watched.", body = MarkReading)),
    security(("bearer" = []), ("adminKey" = [])),
    extensions(("x-codes" = json!(["FORBIDDEN"]))))]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    caller: Caller,
    ApiQuery(query): ApiQuery<MarkQuery>,
) -> Result<Response, Problem> {
    caller.may(&api, Action::ReviewStory)?;
    let seen = Sighting::parse(&query.mark)
        .ok_or_else(|| Problem::invalid("mark", "is no mark of a viewer"))?;
    let began_at = seen.began_at();
    let users = api.member.state.read(|market| market.find_accounts(None, None));
    let key = api.member.secrets.code.clone();
    // A signature for each account: half a second for a million of them.
    let reading = tokio::task::spawn_blocking(move || -> Vec<UserId> {
        users
            .into_iter()
            .filter(|user| seen.is_of(&key, query.asset, Viewer::User(*user)))
            .collect()
    });
    let viewers = reading.await.map_err(|_| Problem::from(Code::Internal))?;
    Ok(fresh(MarkReading { began_at, viewers }))
}
