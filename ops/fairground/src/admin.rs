//! `fairground admin`: accounts that run the market.

use serde_json::json;

use crate::cli::AdminVerb;
use crate::operator::Operator;
use crate::output;

pub(crate) async fn run(verb: AdminVerb) -> anyhow::Result<()> {
    let AdminVerb::Create { dir, email, handle } = verb;
    let body =
        json!({"identifier": email, "channel": "email", "handle": handle, "roles": ["admin"]});
    let made = Operator::at(&dir)?.post("/v1/cluster/accounts", &body).await?;
    let user = made["userId"].as_str().unwrap_or_default();
    output::line(&format!("{user} is an admin; sign in at the console with {email}"))?;
    Ok(())
}
