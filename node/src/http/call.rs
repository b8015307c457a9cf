//! Commands and reads that handlers pass on to the cluster.
//!
//! Nothing but bids and offers is decided or kept here: everything else is the cluster's answer, or
//! a problem that says that there was none.

use fairground_runtime::problem::Problem;
use fairground_types::command::{Actor, Command, Envelope};
use fairground_types::verdict::Judged;
use fairground_types::{Accepted, CommandId, Verdict};
use fairground_wire::message::{ForwardRequest, ForwardResponse, ReadRequest};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::auth::SignedIn;
use super::problem_map;
use crate::edge::Edge;

/// Gives a command in an account's name; answers what it made.
pub(crate) async fn command(
    edge: &Edge,
    who: &SignedIn,
    id: CommandId,
    command: Command,
) -> Result<Accepted, Problem> {
    let envelope = Envelope { id, actor: Actor::User(who.user), command };
    let request = ForwardRequest::Command(Box::new(envelope));
    match forward(edge, &request).await? {
        ForwardResponse::Judged(Judged { verdict: Verdict::Accepted(accepted), .. }) => {
            Ok(accepted)
        }
        ForwardResponse::Judged(Judged {
            index, verdict: Verdict::Rejected(rejection), ..
        }) => Err(problem_map::rejection(&rejection, edge.time.now(), Some(index))),
        _ => Err(problem_map::unexpected()),
    }
}

/// Reads something of an account.
pub(crate) async fn read(edge: &Edge, read: ReadRequest) -> Result<Value, Problem> {
    document(edge, &ForwardRequest::Read(read)).await
}

/// Makes a call whose answer has the shape that is documented.
pub(crate) async fn typed<T: DeserializeOwned>(
    edge: &Edge,
    request: &ForwardRequest,
) -> Result<T, Problem> {
    let document = document(edge, request).await?;
    serde_json::from_value(document).map_err(|error| Problem::internal(&error))
}

/// Makes a call that answers with a document.
pub(crate) async fn document(edge: &Edge, request: &ForwardRequest) -> Result<Value, Problem> {
    let bytes = match forward(edge, request).await? {
        ForwardResponse::Json(bytes) => bytes,
        ForwardResponse::Tokens(bytes) => bytes.expose().to_vec(),
        _ => return Err(problem_map::unexpected()),
    };
    serde_json::from_slice(&bytes).map_err(|error| Problem::internal(&error))
}

async fn forward(edge: &Edge, request: &ForwardRequest) -> Result<ForwardResponse, Problem> {
    match edge.links.forward(request).await.map_err(problem_map::call)? {
        ForwardResponse::Rejected(rejection) => {
            Err(problem_map::rejection(&rejection, edge.time.now(), None))
        }
        ForwardResponse::Unavailable { retry_after } => {
            Err(problem_map::call(crate::link::forward::CallError::Unavailable { retry_after }))
        }
        response => Ok(response),
    }
}

/// A command's answer that is not of its kind.
pub(crate) fn wrong_kind() -> Problem {
    problem_map::unexpected()
}
