//! Scenarios over real processes: nothing of the product is linked, only its binary is run.
//!
//! The binary is named by `FAIRGROUND_BIN` (set by `make test`). Without it a test says that it is
//! skipped and passes; the gate always sets it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// The binary under test, or `None` with a line that says why the test is skipped.
#[must_use]
pub fn binary(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("FAIRGROUND_BIN").map(PathBuf::from);
    if found.is_none() {
        skip(test, "FAIRGROUND_BIN is not set; `make test` sets it");
    }
    found
}

/// A real clip from the folder that `FAIRGROUND_TEST_MEDIA` names, when there is one.
#[must_use]
pub fn real_clip(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("FAIRGROUND_TEST_MEDIA").map(PathBuf::from);
    let clip = folder.map(|folder| folder.join("city.mpg")).filter(|clip| clip.exists());
    if clip.is_none() {
        skip(test, "no real clip: FAIRGROUND_TEST_MEDIA names no folder with city.mpg");
    }
    clip
}

/// Says that a test, or a part of it, does not run, and why.
#[expect(clippy::print_stdout, reason = "the test's output is where a skip is told")]
pub fn skip(test: &str, reason: &str) {
    println!("skipped {test}: {reason}");
}

/// Runs the binary to its end, or kills it after `patience`.
///
/// # Errors
/// When it cannot be started or does not end in time.
pub fn run(binary: &Path, arguments: &[&str], patience: Duration) -> anyhow::Result<Output> {
    let child = Command::new(binary)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {}", binary.display()))?;
    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let waiter = std::thread::spawn(move || {
        // The receiver is gone only after the deadline, when nobody wants the output.
        let _ = sender.send(child.wait_with_output());
    });
    let started = Instant::now();
    let output = match receiver.recv_timeout(patience) {
        Ok(output) => output?,
        Err(_) => {
            Command::new("kill").args(["-KILL", &pid.to_string()]).status()?;
            bail!("{arguments:?} did not end in {:?}", started.elapsed());
        }
    };
    if waiter.join().is_err() {
        bail!("the waiting thread ended badly");
    }
    Ok(output)
}
