//! What an operator gets wrong is refused with a line that says what to do.

use std::path::Path;
use std::time::Duration;

use fairground_tests_cluster::{binary, run};

const PATIENCE: Duration = Duration::from_secs(20);

fn refusal(binary: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = run(binary, arguments, PATIENCE)?;
    assert!(!output.status.success(), "{arguments:?} was not refused");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_unknown_key_stops_the_start_and_names_the_nearest() -> anyhow::Result<()> {
    let Some(binary) = binary("an_unknown_key_stops_the_start_and_names_the_nearest") else {
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    for verb in ["coordinator", "node"] {
        let config = dir.path().join(format!("{verb}.toml"));
        std::fs::write(&config, "http_lisen = \"127.0.0.1:0\"\n")?;
        let said = refusal(&binary, &[verb, "--config", &config.to_string_lossy()])?;
        assert!(said.contains("http_lisen") && said.contains("http_listen"), "{verb}: {said}");
    }
    Ok(())
}

#[test]
fn plain_http_off_loopback_is_refused() -> anyhow::Result<()> {
    let Some(binary) = binary("plain_http_off_loopback_is_refused") else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let place = dir.path().join("m1").to_string_lossy().into_owned();
    let said = refusal(&binary, &["init", "--dir", &place, "--http-listen", "0.0.0.0:0"])?;
    assert!(said.to_lowercase().contains("tls"), "{said}");
    Ok(())
}

#[test]
fn a_text_that_is_no_token_is_refused() -> anyhow::Result<()> {
    let Some(binary) = binary("a_text_that_is_no_token_is_refused") else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let token = dir.path().join("token");
    std::fs::write(&token, "fgj1.not-a-token")?;
    let (token, place) = (token.to_string_lossy(), dir.path().join("e1"));
    let said =
        refusal(&binary, &["join", "--token-file", &token, "--dir", &place.to_string_lossy()])?;
    assert!(said.contains("token"), "{said}");
    Ok(())
}
