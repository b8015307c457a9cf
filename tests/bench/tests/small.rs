//! The load generators at their smallest: that they run and what they print, not how fast it was.

use std::process::{Command, Stdio};

#[expect(clippy::print_stdout, reason = "the test's output is where a skip is told")]
fn is_skipped(test: &str) -> bool {
    let is_skipped = std::env::var_os("FAIRGROUND_BIN").is_none();
    if is_skipped {
        println!("skipped {test}: FAIRGROUND_BIN is not set; `make test` sets it");
    }
    is_skipped
}

/// Runs the program; answers what it printed.
fn bench(arguments: &[&str]) -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    // The account of PostgreSQL must be able to pass through.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let output = Command::new("timeout")
        .args(["--kill-after=10", "200", env!("CARGO_BIN_EXE_fairground-bench")])
        .args(arguments)
        .args(["--seconds", "1", "--warm-up", "1", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output()?;
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "{}: {said}{errors}", output.status);
    Ok(said.into_owned())
}

/// The accepted bids a second of a system's rows.
fn accepted(table: &str, system: &str) -> Vec<u64> {
    let rows = table.lines().filter_map(|line| line.strip_prefix(system));
    rows.filter_map(|rest| rest.split_whitespace().nth(3)?.parse().ok()).collect()
}

#[test]
fn a_market_of_one_member_and_one_edge_is_measured_over_https() -> anyhow::Result<()> {
    if is_skipped("a_market_of_one_member_and_one_edge_is_measured_over_https") {
        return Ok(());
    }
    let table = bench(&["hot", "--members", "1", "--edges", "1", "--bidders", "1,4"])?;
    let rates = accepted(&table, "fairground 1+1");
    assert_eq!(rates.len(), 3, "two closed rows and an open one:\n{table}");
    assert!(rates.iter().all(|rate| *rate > 0), "{table}");
    assert!(table.contains("at half of the peak"), "{table}");
    Ok(())
}

#[test]
fn peers_are_measured_or_named_as_skipped() -> anyhow::Result<()> {
    if is_skipped("peers_are_measured_or_named_as_skipped") {
        return Ok(());
    }
    let systems = [
        ("pg-tx", "pg-tx"),
        ("pg-front-standby", "http+pg-batch+sync"),
        ("redis", "redis-lua"),
        ("etcd-swap", "etcd-swap"),
    ];
    let all = systems.map(|(option, _)| option).join(",");
    let table = bench(&["peers", "--systems", &all, "--bidders", "2"])?;
    for (_, name) in systems {
        let is_named = table.contains(&format!("{name} skipped: "));
        let rates = accepted(&table, name);
        assert!(is_named || rates.iter().any(|rate| *rate > 0), "{name}:\n{table}");
    }
    Ok(())
}
