//! `fairground token`: what lets a member or an edge in.

use serde_json::json;

use crate::cli::{TokenRole, TokenVerb};
use crate::operator::Operator;
use crate::output;

pub(crate) async fn run(verb: TokenVerb) -> anyhow::Result<()> {
    match verb {
        TokenVerb::Create { dir, role, region, ttl, json } => {
            let role = match role {
                TokenRole::Member => "member",
                TokenRole::Edge => "edge",
            };
            let ttl_ms = u64::try_from(ttl.as_millis())?;
            let body = json!({"role": role, "region": region, "ttlMs": ttl_ms});
            let made = Operator::at(&dir)?.post("/v1/cluster/tokens", &body).await?;
            if json {
                return output::json(&made);
            }
            output::line(made["token"].as_str().unwrap_or_default())?;
        }
        TokenVerb::List { dir } => {
            let listed = Operator::at(&dir)?.get("/v1/cluster/tokens").await?;
            output::json(&listed)?;
        }
        TokenVerb::Revoke { dir, id } => {
            Operator::at(&dir)?.delete(&format!("/v1/cluster/tokens/{id}")).await?;
            output::line(&format!("{id} admits nobody any more"))?;
        }
    }
    Ok(())
}
