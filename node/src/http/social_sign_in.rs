//! Signing in by Apple's or Google's word, and linking such a way to an account: the cluster's to say.
//!
//! It must not log or keep tokens. Read next: `sign_in.rs` for codes, `people.rs` for unlinking.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use fairground_market::IdentityList;
use fairground_runtime::problem::{ApiJson, Problem};
use fairground_types::people::IdentityProvider;
use fairground_wire::message::{ForwardRequest, PrivateText};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::SignedIn;
use super::call;
use super::sign_in::{Tokens, bounded, private};
use crate::edge::Edge;

/// Bytes of an identity token at most.
const TOKEN_MAX: usize = 8_192;

/// A provider's word.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SocialRequest {
    provider: IdentityProvider,
    /// The provider's identity token.
    #[schema(min_length = 1, max_length = 8192)]
    id_token: String,
    /// What the app gave the provider for this sign-in, before any hashing.
    #[schema(min_length = 1, max_length = 512)]
    nonce: String,
}

/// What it came to.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SocialSignedIn {
    /// Whether the address has an account: sign in to that first, then link.
    link_required: bool,
    /// To be shown to `POST /v1/auth/link` by that account, within ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link_token: Option<String>,
    /// The tokens of the sign-in, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
}

/// Signs in by a provider's word. Never merges accounts: an address that has one is to be linked.
#[utoipa::path(post, path = "/v1/auth/social/callback", operation_id = "signInSocial", tag = "auth",
    request_body = SocialRequest,
    responses((status = 200, description = "Signed in, or to be linked.", body = SocialSignedIn)),
    extensions(("x-codes" = json!(["SOCIAL_TOKEN_INVALID", "ACCOUNT_LOCKED", "LIMIT_REACHED",
        "FEATURE_DISABLED", "EXTERNAL_SERVICE_UNAVAILABLE", "COORDINATOR_UNAVAILABLE"]))))]
pub(crate) async fn callback(
    State(edge): State<Arc<Edge>>,
    ApiJson(body): ApiJson<SocialRequest>,
) -> Result<Response, Problem> {
    if body.id_token.is_empty() || body.id_token.len() > TOKEN_MAX {
        return Err(Problem::invalid("idToken", "is empty or too long"));
    }
    let id_token = PrivateText::new(body.id_token);
    let nonce = bounded("nonce", body.nonce)?;
    let request = ForwardRequest::SignInSocial { provider: body.provider, id_token, nonce };
    private::<SocialSignedIn>(&edge, &request).await
}

/// A way to sign in that was offered to be linked.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LinkRequest {
    #[schema(min_length = 1, max_length = 512)]
    link_token: String,
}

/// Adds a way to sign in to the account; linking twice is linking.
#[utoipa::path(post, path = "/v1/auth/link", operation_id = "linkIdentity", tag = "auth",
    request_body = LinkRequest,
    responses((status = 200, description = "The ways to sign in.", body = IdentityList)),
    security(("bearer" = [])),
    extensions(("x-codes" = json!(["TOKEN_EXPIRED", "FORBIDDEN", "INVALID_STATE"]))))]
pub(crate) async fn link(
    State(edge): State<Arc<Edge>>,
    who: SignedIn,
    ApiJson(body): ApiJson<LinkRequest>,
) -> Result<Json<Value>, Problem> {
    let link_token = bounded("linkToken", body.link_token)?;
    let request = ForwardRequest::LinkIdentity { user: who.user, link_token };
    call::document(&edge, &request).await.map(Json)
}
