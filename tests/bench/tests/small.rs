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

/// Runs a load of one second; answers what it printed.
fn bench(arguments: &[&str]) -> anyhow::Result<String> {
    run(&[arguments, &["--seconds", "1", "--warm-up", "1"]].concat())
}

/// Runs the program; answers what it printed.
fn run(arguments: &[&str]) -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    // The account of PostgreSQL must be able to pass through.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let output = Command::new("timeout")
        .args(["--kill-after=10", "200", env!("CARGO_BIN_EXE_fairground-bench")])
        .args(arguments)
        .arg("--dir")
        .arg(dir.path())
        // Real clips are longer than this test.
        .env_remove("FAIRGROUND_TEST_MEDIA")
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

#[test]
fn clips_are_encoded_beside_ffmpeg_and_an_upload_is_timed() -> anyhow::Result<()> {
    if is_skipped("clips_are_encoded_beside_ffmpeg_and_an_upload_is_timed") {
        return Ok(());
    }
    let lengths = ["--seconds", "6", "--encoder-seconds", "2", "--size", "320x180"];
    let table = run(&[&["encode"][..], &lengths].concat())?;
    let figures = |encoder: &str, rung: &str| {
        let rows = table.lines().filter(|line| {
            let mut fields = line.split_whitespace();
            fields.next() == Some(encoder) && fields.next() == Some(rung)
        });
        rows.map(|row| row.split_whitespace().rev().take(4).map(str::to_owned).collect())
            .collect::<Vec<Vec<String>>>()
    };
    // Noise may be more than the cap of an AV1 rung allows.
    let made = figures("fairground", "v180").len();
    assert!((1..=2).contains(&made), "{table}");
    let expected =
        [("fairground", "c180", 2), ("fairground", "v180", made), ("libx264", "c180", 2)];
    for (encoder, rung, count) in expected {
        let rows = figures(encoder, rung);
        assert_eq!(rows.len(), count, "{encoder} {rung}, one row a clip:\n{table}");
        for row in rows {
            // From the right: SSIM, kB, wall, CPU.
            let number = |place: usize| row.get(place).and_then(|text| text.parse::<f64>().ok());
            assert!(number(0).is_some_and(|ssim| ssim > 0.0 && ssim <= 1.0), "{row:?}:\n{table}");
            assert!(number(1).is_some_and(|bytes| bytes > 0.0), "{row:?}:\n{table}");
        }
    }
    for encoder in ["librav1e", "libsvtav1"] {
        let is_absent = table.contains("absent in this ffmpeg");
        assert!(is_absent || figures(encoder, "v180").len() == made, "{encoder}:\n{table}");
    }
    for mark in ["first beginning plays", "H.264 up to 720p complete", "H.264 complete"] {
        let aim = table.lines().find(|line| line.contains(&format!(": {mark} within ")));
        assert!(aim.is_some_and(|aim| aim.ends_with("met")), "{mark}:\n{table}");
    }
    Ok(())
}
