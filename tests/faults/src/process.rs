//! Child processes: started to end with this one, killed, paused and ended by their own pid alone.
//!
//! It must not know what a process is of the market. Read next: `market/mod.rs`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use fairground_kit::place::last_lines;
use fairground_kit::wait::LOOK;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Duration, Instant, sleep, timeout};

/// Set for children: the pid of the parent that they must not outlive.
const PARENT_VARIABLE: &str = "FAIRGROUND_PARENT_PID";
const STOP_WAIT: Duration = Duration::from_secs(10);
const RUN_WAIT: Duration = Duration::from_secs(60);

/// A daemon with a folder, which outlives its processes.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    dir: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// A daemon that is not started yet.
    #[must_use]
    pub fn new(name: &str, binary: &Path, dir: &Path, arguments: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            environment: Vec::new(),
            dir: dir.to_owned(),
            child: None,
        }
    }

    /// Sets what its next process finds in its environment, beside what this one has.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    /// For messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts a process; its output goes to `DIR/log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let child = Command::new(&self.binary)
            .args(&self.arguments)
            .env(PARENT_VARIABLE, std::process::id().to_string())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
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

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Waits for the `ready.json` of this very process; answers it.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub async fn ready(&mut self, patience: Duration) -> anyhow::Result<Value> {
        let file = self.dir.join("ready.json");
        let deadline = Instant::now() + patience;
        loop {
            self.check()?;
            let ready = std::fs::read(&file).ok();
            let ready = ready.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            let pid = self.pid().map(u64::from);
            // A file of an earlier process names another.
            if let Some(ready) = ready.filter(|ready| ready["pid"].as_u64() == pid) {
                return Ok(ready);
            }
            if Instant::now() > deadline {
                bail!("{} was not ready in {patience:?}: {}", self.name, self.last_words());
            }
            sleep(LOOK).await;
        }
    }

    /// Fails with the last lines of its log when it has ended by itself.
    ///
    /// # Errors
    /// When it has.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().transpose());
        match ended {
            Some(status) => bail!("{} ended ({}): {}", self.name, status?, self.last_words()),
            None => Ok(()),
        }
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        last_lines(&self.log())
    }

    /// Whether a process was started and not ended by this one.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.child.is_some()
    }

    fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Sends a signal to its process, if there is one.
    ///
    /// # Errors
    /// When there is none.
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{} does not run", self.name))?;
        kill_process(pid, signal).with_context(|| format!("failed to signal {}", self.name))
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// SIGKILL without waiting, so that several die together; [`Self::kill`] waits.
    ///
    /// # Errors
    /// When it does not run.
    pub fn strike(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)
    }

    /// SIGSTOP.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it does not run.
    pub fn go_on(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM, and waits; one that does not listen is killed.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        // Fails only when it has ended by itself, which the wait below sees.
        let _ = self.signal(Signal::TERM);
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if timeout(STOP_WAIT, child.wait()).await.is_err() {
            child.kill().await?;
        }
        Ok(())
    }
}

/// Runs a program to its end; answers what it printed.
///
/// # Errors
/// When it fails or does not end in time.
pub async fn run(program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.env(PARENT_VARIABLE, std::process::id().to_string());
    let what = || format!("{} {}", program.display(), arguments.first().unwrap_or(&""));
    let output = timeout(RUN_WAIT, command.output())
        .await
        .with_context(|| format!("{} did not end in {RUN_WAIT:?}", what()))?
        .with_context(|| format!("failed to start {}", what()))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", what(), output.status, errors.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
