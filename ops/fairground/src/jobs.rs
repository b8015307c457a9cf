//! `fairground jobs`: how clips are made, and a failed one made again.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::JobsVerb;
use crate::operator::Operator;
use crate::output;

/// How often a list that is watched is asked for.
const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// Places of a bar.
const BAR: u64 = 20;
const HEADS: [&str; 6] = ["CLIP", "STATE", "WORKER", "PROGRESS", "ATTEMPTS", "WHY IT FAILED"];

pub(crate) async fn run(verb: JobsVerb) -> anyhow::Result<()> {
    match verb {
        JobsVerb::List { dir, watch: false, json } => {
            let list = Operator::at(&dir)?.get("/v1/admin/jobs").await?;
            if json {
                return output::json(&list);
            }
            Ok(output::table(&HEADS, &rows(&list))?)
        }
        JobsVerb::List { dir, watch: true, json } => watch(&dir, json).await,
        JobsVerb::Requeue { asset, dir, reason } => {
            let path = format!("/v1/admin/jobs/{asset}/requeue");
            let job = Operator::at(&dir)?.post(&path, &json!({ "reason": reason })).await?;
            let state = job["state"].as_str().unwrap_or("known");
            Ok(output::line(&format!("{asset} is {state}"))?)
        }
    }
}

/// Lists until no job is open. On a terminal the list is written over the one before.
async fn watch(dir: &Path, as_json: bool) -> anyhow::Result<()> {
    let operator = Operator::at(dir)?;
    let is_terminal = io::stdout().is_terminal();
    let mut lines = 0;
    loop {
        let list = operator.get("/v1/admin/jobs").await?;
        if as_json {
            output::line(&list.to_string())?;
        } else {
            if is_terminal && lines > 0 {
                // Up to where the last list began, and all below it cleared (ECMA-48, CPL and ED).
                write!(io::stdout().lock(), "\x1b[{lines}F\x1b[J")?;
            }
            let rows = rows(&list);
            output::table(&HEADS, &rows)?;
            lines = rows.len() + 1;
        }
        if !is_any_open(&list) {
            return Ok(());
        }
        tokio::time::sleep(WATCH_PERIOD).await;
    }
}

fn is_any_open(list: &Value) -> bool {
    let jobs = list["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    jobs.iter().any(|job| matches!(job["state"].as_str(), Some("queued" | "leased")))
}

fn rows(list: &Value) -> Vec<Vec<String>> {
    let jobs = list["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    jobs.iter().map(row).collect()
}

fn row(job: &Value) -> Vec<String> {
    let text = |key: &str| job[key].as_str().unwrap_or("-").to_owned();
    let worker = match job["edge"].as_str() {
        Some(edge) => edge.to_owned(),
        None => {
            let failed = job["failedWorkers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let failed: Vec<&str> = failed.iter().filter_map(Value::as_str).collect();
            if failed.is_empty() { "-".to_owned() } else { failed.join(", ") }
        }
    };
    vec![
        text("assetId"),
        text("state"),
        worker,
        progress(&job["progress"]),
        job["attempts"].to_string(),
        text("reason"),
    ]
}

/// `av1 [#####---------------]  25 %  2.5 fps  2 min 24 s left`
fn progress(told: &Value) -> String {
    let Some(stage) = told["stage"].as_str() else { return "-".to_owned() };
    let number = |key: &str| told[key].as_u64();
    let (done, total) = (number("doneFrames").unwrap_or(0), number("totalFrames").unwrap_or(0));
    let share = |of: u64| done.min(total).saturating_mul(of) / total.max(1);
    let bar: String = (0..BAR).map(|place| if place < share(BAR) { '#' } else { '-' }).collect();
    let mut text = format!("{stage:4} [{bar}] {:3} %", share(100));
    if let Some(fps) = number("fpsMilli") {
        text.push_str(&format!("  {}.{} fps", fps / 1_000, fps % 1_000 / 100));
    }
    if let Some(left) = number("etaMs") {
        let seconds = left.div_ceil(1_000);
        text.push_str(&format!("  {} min {:02} s left", seconds / 60, seconds % 60));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_a_row_with_a_bar() {
        let job = json!({
            "assetId": "ast_1", "state": "leased", "edge": "edge-1.1", "attempts": 2,
            "failedWorkers": [],
            "progress": {
                "stage": "av1", "doneFrames": 120, "totalFrames": 480, "fpsMilli": 2_510,
                "etaMs": 143_400,
            },
        });
        let bar = "av1  [#####---------------]  25 %  2.5 fps  2 min 24 s left";
        assert_eq!(row(&job), ["ast_1", "leased", "edge-1.1", bar, "2", "-"]);
        let list = json!({ "jobs": [job] });
        assert!(is_any_open(&list) && rows(&list).len() == 1);
    }

    #[test]
    fn who_failed_and_why_is_told_of_a_job_that_nobody_makes() {
        let job = json!({
            "assetId": "ast_1", "state": "failed", "attempts": 4, "failedWorkers": ["a.1", "b.1"],
            "reason": "tool_killed",
        });
        assert_eq!(row(&job), ["ast_1", "failed", "a.1, b.1", "-", "4", "tool_killed"]);
        assert!(!is_any_open(&json!({ "jobs": [job] })) && !is_any_open(&Value::Null));
    }

    #[test]
    fn a_stage_that_has_just_begun_has_an_empty_bar() {
        let told = json!({ "stage": "h264", "doneFrames": 0, "totalFrames": 0 });
        assert_eq!(progress(&told), "h264 [--------------------]   0 %");
        let over = json!({ "stage": "h264", "doneFrames": 9, "totalFrames": 8 });
        assert_eq!(progress(&over), "h264 [####################] 100 %");
    }
}
