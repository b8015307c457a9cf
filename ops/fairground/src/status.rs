//! `fairground status`: members, leader, applied index, digests, edges.

use serde_json::Value;

use crate::cli::StatusArgs;
use crate::operator::Operator;
use crate::output;

pub(crate) async fn run(arguments: StatusArgs) -> anyhow::Result<()> {
    let status = Operator::at(&arguments.dir)?.get("/v1/admin/status").await?;
    if arguments.json {
        return output::json(&status);
    }
    let leader = status["leader"].as_u64().map_or_else(|| "none".to_owned(), |id| format!("m{id}"));
    output::line(&format!(
        "leader {leader}, term {}, applied {}, {} open auctions",
        status["term"], status["appliedIndex"], status["openAuctions"]
    ))?;
    output::line("")?;
    let members = rows(&status["members"], |row| {
        vec![
            format!("m{}", row["member"]),
            text(&row["address"]),
            if row["reachable"].as_bool().unwrap_or(false) { "up" } else { "silent" }.to_owned(),
            text(&row["appliedIndex"]),
            text(&row["digest"]).chars().take(12).collect(),
        ]
    });
    output::table(&["MEMBER", "ADDRESS", "STATE", "APPLIED", "DIGEST"], &members)?;
    output::line("")?;
    let edges = rows(&status["edges"], |row| {
        vec![
            text(&row["edge"]),
            text(&row["region"]),
            text(&row["publicUrl"]),
            if row["takesBids"].as_bool().unwrap_or(false) { "takes bids" } else { "no bids" }
                .to_owned(),
            if row["inIntake"].as_bool().unwrap_or(false) { "in intake" } else { "outside" }
                .to_owned(),
            format!("{} behind", text(&row["feedLagEntries"])),
        ]
    });
    output::table(&["EDGE", "REGION", "ADDRESS", "BIDS", "CLOSES", "FEED"], &edges)?;
    Ok(())
}

fn rows(list: &Value, render: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    list.as_array().map(|list| list.iter().map(render).collect()).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
