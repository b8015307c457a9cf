//! Child processes of the demo: started with their parent's death as their own, stopped in order.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Set for children: the pid of the parent they must not outlive.
pub(crate) const PARENT_VARIABLE: &str = "FAIRGROUND_PARENT_PID";

/// What a daemon writes once it serves.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ready {
    /// Which process wrote it; a stale file of an earlier start names another.
    pub(crate) pid: u32,
}

/// A daemon of the demo.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// For messages and log files: `m1`, `e2`, `fakes`.
    pub(crate) name: String,
    arguments: Vec<String>,
    dir: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    pub(crate) fn new(name: &str, dir: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { name: name.to_owned(), arguments, dir: dir.to_owned(), child: None }
    }

    /// Starts the process; its output goes to `DIR/log`.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .with_context(|| format!("failed to open the log of {}", self.name))?;
        let child = Command::new(std::env::current_exe()?)
            .args(&self.arguments)
            .env(PARENT_VARIABLE, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the daemon says that it serves.
    pub(crate) async fn ready(&mut self, patience: Duration) -> anyhow::Result<Ready> {
        let file = self.dir.join("ready.json");
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose())
            {
                bail!("{} ended at its start ({}): {}", self.name, status?, self.last_words());
            }
            let ready = std::fs::read(&file)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Ready>(&bytes).ok())
                .filter(|ready| Some(ready.pid) == self.pid());
            if let Some(ready) = ready {
                return Ok(ready);
            }
            if Instant::now() > deadline {
                bail!("{} did not get ready in {patience:?}: {}", self.name, self.last_words());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The last lines of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Whether the process is there.
    pub(crate) const fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Ends the process as a power cut would.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Asks the process to end and waits for it; a process that does not listen is killed.
    pub(crate) async fn stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Fails only when the process has ended by itself, which the wait below sees.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(patience, child.wait()).await.is_err() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Resident memory in mebibytes, from `/proc`.
    pub(crate) fn resident_mb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes.div_ceil(1024))
    }
}

/// Makes this process die with the one that [`PARENT_VARIABLE`] names, if any.
///
/// The parent may have died between its `fork` and this call; then this process is an orphan already
/// and the answer is `false`.
pub(crate) fn die_with_parent() -> bool {
    let parent = std::env::var(PARENT_VARIABLE).ok().and_then(|text| text.parse::<i32>().ok());
    let Some(parent) = parent else { return true };
    if rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return false;
    }
    rustix::process::getppid().map(Pid::as_raw_nonzero).is_some_and(|pid| pid.get() == parent)
}
