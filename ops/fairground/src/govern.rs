//! `fairground clock` and `fairground rules`: what an operator sets at a member's machine.

use serde_json::json;

use crate::cli::{ClockVerb, RulesVerb};
use crate::operator::Operator;
use crate::output;

pub(crate) async fn clock(verb: ClockVerb) -> anyhow::Result<()> {
    let ClockVerb::Advance { by, dir, reason } = verb;
    let body = json!({"byMs": u64::try_from(by.as_millis())?, "reason": reason});
    let moved = Operator::at(&dir)?.post("/v1/admin/clock/advance", &body).await?;
    let now = moved["now"].as_str().unwrap_or_default();
    output::line(&format!("it is {now} in this sandbox now"))?;
    Ok(())
}

pub(crate) async fn rules(verb: RulesVerb) -> anyhow::Result<()> {
    match verb {
        RulesVerb::Show { dir } => {
            let report = Operator::at(&dir)?.get("/v1/admin/rules").await?;
            output::json(&report)?;
        }
        RulesVerb::Activate { rules: version, dir, reason } => {
            let body = json!({"version": version, "reason": reason});
            Operator::at(&dir)?.post("/v1/admin/rules/activate", &body).await?;
            output::line(&format!("rules {version} are in force"))?;
        }
    }
    Ok(())
}
