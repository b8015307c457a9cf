//! The whole path of the market over real processes, with the faults that the scenario brings.

use std::time::Duration;

use fairground_tests_cluster::{binary, real_clip, run};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(300);
const FIGURES: [&str; 8] = [
    "cold_start_ms",
    "binary_mb",
    "member_rss_mb",
    "edge_rss_mb",
    "verdict_p50_ms",
    "verdict_p99_ms",
    "failover_ms",
    "av1_fps",
];

#[test]
fn a_clip_becomes_a_paid_order_while_the_leader_and_an_edge_die() -> anyhow::Result<()> {
    let name = "a_clip_becomes_a_paid_order_while_the_leader_and_an_edge_die";
    let Some(binary) = binary(name) else { return Ok(()) };
    let clip = real_clip(name).map(|clip| clip.to_string_lossy().into_owned());
    let mut arguments = vec!["demo", "--scenario", "full", "--json"];
    if let Some(clip) = &clip {
        arguments.extend(["--clip", clip]);
    }
    let output = run(&binary, &arguments, PATIENCE)?;
    let printed = String::from_utf8(output.stdout)?;
    println!("{printed}");
    let report: Value = serde_json::from_str(&printed)?;
    assert_eq!(report["ok"], true, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    for figure in FIGURES {
        assert!(!report["figures"][figure].is_null(), "{figure} was not measured");
    }
    Ok(())
}
