//! Child processes: started to end with this one, ended by their pid, their CPU time counted.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use fairground_kit::place::last_lines;
use fairground_kit::wait::LOOK;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a program that should end by itself may take.
const RUN_WAIT: Duration = Duration::from_secs(120);
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Whose rights a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// This one's.
    Own,
    /// PostgreSQL's, which refuses to run as root.
    Postgres,
}

/// A program and what to give it.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// For messages, and for the log beside its folder.
    pub(crate) name: String,
    command: Vec<OsString>,
}

impl Program {
    /// `program` with its arguments, which dies with this process.
    pub(crate) fn new(name: &str, account: Account, program: &Path, arguments: &[&str]) -> Self {
        let mut command: Vec<OsString> = ["setpriv", "--pdeathsig", "KILL"].map(Into::into).into();
        if account == Account::Postgres && rustix::process::geteuid().is_root() {
            let rights = ["--reuid=postgres", "--regid=postgres", "--init-groups"];
            command.extend(rights.map(Into::into));
        }
        command.push("--".into());
        command.push(program.into());
        command.extend(arguments.iter().map(Into::into));
        Self { name: name.to_owned(), command }
    }

    fn command(&self) -> Command {
        let mut words = self.command.iter();
        let mut command =
            Command::new(words.next().map_or_else(|| "false".as_ref(), OsString::as_os_str));
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs it to its end; answers what it printed.
    pub(crate) async fn run(&self) -> anyhow::Result<String> {
        self.run_within(RUN_WAIT).await
    }

    /// The same of what may take longer.
    pub(crate) async fn run_within(&self, wait: Duration) -> anyhow::Result<String> {
        let mut command = self.command();
        let output = timeout(wait, command.output())
            .await
            .with_context(|| format!("{} did not end in {wait:?}", self.name))?
            .with_context(|| format!("failed to start {}", self.name))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{} ended with {}: {}", self.name, output.status, errors.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// A process that serves until it is stopped.
#[derive(Debug)]
pub(crate) struct Daemon {
    program: Program,
    log: PathBuf,
    ends_by: Signal,
    child: Option<Child>,
}

impl Daemon {
    /// Starts it; its output goes to `log`.
    pub(crate) fn start(program: Program, log: PathBuf, ends_by: Signal) -> anyhow::Result<Self> {
        let mut daemon = Self { program, log, ends_by, child: None };
        daemon.start_again()?;
        Ok(daemon)
    }

    /// Starts it after it was ended.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = self.program.command();
        command.stdout(log.try_clone()?).stderr(log).process_group(0);
        let name = &self.program.name;
        self.child = Some(command.spawn().with_context(|| format!("failed to start {name}"))?);
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.program.name
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Fails with the last lines of its log when it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().transpose());
        if let Some(status) = ended {
            bail!("{} ended ({}): {}", self.program.name, status?, last_lines(&self.log));
        }
        Ok(())
    }

    /// Waits for the `ready.json` that a daemon of ours writes; answers it.
    pub(crate) async fn ready(&mut self, dir: &Path, patience: Duration) -> anyhow::Result<Value> {
        let file = dir.join("ready.json");
        let deadline = Instant::now() + patience;
        loop {
            self.check()?;
            let ready =
                std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
            // A file of an earlier start names another process.
            let ours = |ready: &Value| ready["pid"].as_u64() == self.pid().map(u64::from);
            if let Some(ready) = ready.filter(ours) {
                return Ok(ready);
            }
            if Instant::now() > deadline {
                bail!("{} was not ready in {patience:?}: {}", self.name(), last_lines(&self.log));
            }
            sleep(LOOK).await;
        }
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Asks it to end; one that does not listen is killed.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Fails only when it has ended by itself, which the wait below sees.
            let _ = kill_process(pid, self.ends_by);
        }
        if timeout(STOP_WAIT, child.wait()).await.is_err() {
            child.kill().await?;
        }
        Ok(())
    }
}

/// CPU time of these processes and of all that they started, those that have ended too.
pub(crate) fn cpu(roots: &[u32]) -> Duration {
    let mut spent: HashMap<u32, (u32, u64)> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(found) = parent_and_ticks(&stat) {
            spent.insert(pid, found);
        }
    }
    let is_of_ours = |mut pid: u32| {
        // A chain of parents longer than this is a race with ids that were used again.
        for _ in 0..16 {
            if roots.contains(&pid) {
                return true;
            }
            let Some((parent, _)) = spent.get(&pid) else { return false };
            pid = *parent;
        }
        false
    };
    let ticks: u64 =
        spent.iter().filter(|(pid, _)| is_of_ours(**pid)).map(|(_, (_, ticks))| ticks).sum();
    of_ticks(ticks)
}

fn of_ticks(ticks: u64) -> Duration {
    let tick_us = 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Duration::from_micros(ticks.saturating_mul(tick_us))
}

/// A process that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    /// The program and its arguments; none when it has ended and nobody has waited for it yet.
    pub(crate) words: Vec<String>,
    /// CPU time so far.
    pub(crate) cpu: Duration,
}

/// What `parent` has started and not waited for.
pub(crate) fn children(parent: u32) -> Vec<Running> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((_, ticks)) = parent_and_ticks(&stat).filter(|(of, _)| *of == parent) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let words = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        found.push(Running { pid, words, cpu: of_ticks(ticks) });
    }
    found
}

/// The parent, and the time in user and system mode, that of children which were waited for too.
fn parent_and_ticks(stat: &str) -> Option<(u32, u64)> {
    // The name in parentheses may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Some((parent, ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_name_with_anything_in_it() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4 9 9 9 9 10 20 30 40 20 0 1";
        assert_eq!(parent_and_ticks(stat), Some((3, 100)));
        assert_eq!(parent_and_ticks("nothing"), None);
    }

    #[tokio::test]
    async fn what_was_started_is_found_with_its_arguments() {
        let mut child = Command::new("sleep").arg("20").kill_on_drop(true).spawn().expect("sleep");
        let pid = child.id().expect("it runs");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let all = children(std::process::id());
            let found = all.iter().find(|running| running.pid == pid);
            // Between fork and exec it has our own name.
            if found.is_some_and(|running| running.words == ["sleep", "20"]) {
                break;
            }
            assert!(Instant::now() < deadline, "not found: {found:?}");
            sleep(LOOK).await;
        }
        child.kill().await.expect("killed");
        assert!(children(std::process::id()).iter().all(|running| running.pid != pid));
    }

    #[test]
    fn work_of_this_process_is_counted() {
        let own = [std::process::id()];
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let mut sum = 0_u64;
        while cpu(&own) < Duration::from_millis(30) {
            sum = (0..1_000_000).fold(sum, u64::wrapping_add);
            assert!(std::time::Instant::now() < deadline, "no CPU time was counted: {sum}");
        }
    }
}
