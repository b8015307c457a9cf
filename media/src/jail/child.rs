//! Our side of the jail: start a tool, read what it writes, never wait for ever.
//!
//! One watchdog thread per run kills the tool's whole group at the deadline, one more keeps the end of
//! standard error, and a third feeds the tool where it is fed. All are joined before the call returns.
//! Read next: `super`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use super::{EXIT_JAIL, JailLimits, Spec, Tools};
use crate::error::MediaError;

/// Bytes of standard error that are kept, the last ones.
const STDERR_KEPT: usize = 4096;
/// How long a tool that has closed its output may take to end, and how often that is looked at.
const END_WAIT: Duration = Duration::from_millis(100);
const END_LOOK: Duration = Duration::from_millis(5);

/// One run of a tool.
pub(crate) struct Invocation<'a> {
    /// The tools and their launcher.
    pub(crate) tools: &'a Tools,
    /// Name for errors.
    pub(crate) tool: &'static str,
    /// The program to run.
    pub(crate) program: &'a Path,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// What it may read beyond the system's libraries.
    pub(crate) read: Vec<PathBuf>,
    /// The folder it may write.
    pub(crate) write: Option<PathBuf>,
    /// Its bounds.
    pub(crate) limits: JailLimits,
    /// Ask the launcher for its level only.
    pub(crate) report: bool,
}

/// Runs a tool to its end and returns its standard output.
///
/// # Errors
/// Those of [`run_streaming`], and [`MediaError::Stream`] when there is more than `output_max`.
pub(crate) fn run(invocation: &Invocation<'_>, output_max: usize) -> Result<Vec<u8>, MediaError> {
    run_streaming(invocation, |stdout| {
        let mut output = Vec::new();
        let bound = u64::try_from(output_max).unwrap_or(u64::MAX);
        stdout
            .take(bound.saturating_add(1))
            .read_to_end(&mut output)
            .map_err(MediaError::io("read a tool's output"))?;
        if output.len() > output_max {
            return Err(MediaError::Stream(format!(
                "{} wrote more than {output_max} bytes",
                invocation.tool
            )));
        }
        Ok(output)
    })
}

/// Runs a tool and hands its standard output to `consume`; kills it when `consume` fails.
///
/// # Errors
/// The error of `consume` first; then [`MediaError::TimedOut`], [`MediaError::Jail`],
/// [`MediaError::Tool`] or [`MediaError::ToolMissing`] by how the tool ended.
pub(crate) fn run_streaming<T>(
    invocation: &Invocation<'_>,
    consume: impl FnOnce(&mut ChildStdout) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    run_with(invocation, None::<fn(Inlet)>, consume)
}

/// The same of a tool that reads its standard input, which `feed` writes beside `consume`.
///
/// # Errors
/// Those of [`run_streaming`].
pub(crate) fn run_fed<T>(
    invocation: &Invocation<'_>,
    feed: impl FnOnce(Inlet) + Send,
    consume: impl FnOnce(&mut ChildStdout) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    run_with(invocation, Some(feed), consume)
}

/// Standard input of a tool; closed, and with it the tool's input ended, when it is dropped.
pub(crate) struct Inlet {
    stdin: ChildStdin,
    is_over: Arc<AtomicBool>,
}

impl Inlet {
    /// Whether nobody waits for the tool's output any more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Hands bytes over; `false` when the tool takes no more, which its end explains.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> bool {
        self.stdin.write_all(bytes).is_ok()
    }
}

fn run_with<T, F: FnOnce(Inlet) + Send>(
    invocation: &Invocation<'_>,
    feed: Option<F>,
    consume: impl FnOnce(&mut ChildStdout) -> Result<T, MediaError>,
) -> Result<T, MediaError> {
    let mut child = spawn(invocation, feed.is_some())?;
    let stdin = child.stdin.take();
    let pipes = (child.stdout.take(), child.stderr.take());
    let (Some(mut stdout), Some(stderr)) = pipes else {
        return Err(abandon(&mut child, MediaError::Stream("a tool without pipes".to_owned())));
    };
    let pid = Pid::from_child(&child);
    let wall = invocation.limits.wall;
    let outcome = std::thread::scope(|scope| {
        let is_over = Arc::new(AtomicBool::new(false));
        if let (Some(feed), Some(stdin)) = (feed, stdin) {
            let inlet = Inlet { stdin, is_over: Arc::clone(&is_over) };
            scope.spawn(move || feed(inlet));
        }
        let errors = scope.spawn(move || last_of(stderr));
        let (over, watch) = sync_channel::<()>(1);
        let watchdog = scope.spawn(move || match watch.recv_timeout(wall) {
            Err(RecvTimeoutError::Timeout) => {
                kill_group(pid);
                true
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => false,
        });
        let consumed = consume(&mut stdout);
        // Asked before its output is closed, which would end it: a tool that died by itself explains
        // what it left cut off.
        let has_died = consumed.as_ref().is_err_and(is_cut_off) && ends_soon(pid);
        drop(stdout);
        is_over.store(true, Ordering::Release);
        if consumed.is_err() {
            kill_group(pid);
        }
        let status = reap(&mut child, pid, &over);
        let timed_out = watchdog.join().unwrap_or(false);
        let errors = errors.join().unwrap_or_default();
        (consumed, status, timed_out, errors, has_died)
    });
    let (consumed, status, timed_out, errors, has_died) = outcome;
    if timed_out {
        return Err(MediaError::TimedOut { tool: invocation.tool, limit: wall });
    }
    if has_died && let Ok(status) = &status {
        judge(invocation.tool, *status, &errors)?;
    }
    let value = consumed?;
    judge(invocation.tool, status?, &errors)?;
    Ok(value)
}

fn spawn(invocation: &Invocation<'_>, is_fed: bool) -> Result<Child, MediaError> {
    let mut command = match &invocation.tools.launcher {
        Some(launcher) => {
            let spec = Spec {
                program: invocation.program.to_owned(),
                read: invocation.read.clone(),
                write: invocation.write.clone(),
                limits: invocation.limits,
                parent: rustix::process::getpid().as_raw_pid(),
                report: invocation.report,
            };
            let spec = serde_json::to_string(&spec)
                .map_err(|error| MediaError::Jail(format!("write the spec: {error}")))?;
            let mut command = Command::new(&launcher.program);
            // The launcher makes its own session, and with it its own group.
            command.arg(&launcher.verb).arg(spec).arg("--");
            command
        }
        None => {
            let mut command = Command::new(invocation.program);
            command.process_group(0);
            command
        }
    };
    if let Some(folder) = &invocation.write {
        command.current_dir(folder);
    }
    command
        .args(&invocation.args)
        .env_clear()
        .stdin(if is_fed { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| MediaError::ToolMissing { tool: invocation.tool, source })
}

/// Waits until the child has ended but keeps its id reserved until the watchdog is told, so that
/// the watchdog can never kill a stranger who got the same id.
fn reap(child: &mut Child, pid: Pid, over: &SyncSender<()>) -> Result<ExitStatus, MediaError> {
    let ended = loop {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(pid), options) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other,
        }
    };
    // The watchdog may have fired already; then nobody listens.
    let _ = over.try_send(());
    ended.map_err(|error| MediaError::Io { action: "wait for a tool", source: error.into() })?;
    child.wait().map_err(MediaError::io("wait for a tool"))
}

/// Whether output that ends too early may be the cause of an error.
const fn is_cut_off(error: &MediaError) -> bool {
    matches!(error, MediaError::Stream(_) | MediaError::Encoder(_) | MediaError::Io { .. })
}

/// Whether a tool whose output has ended ends too; closing its pipe comes a moment before that.
fn ends_soon(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let until = Instant::now() + END_WAIT;
    loop {
        if let Ok(Some(_)) = rustix::process::waitid(WaitId::Pid(pid), options) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(END_LOOK);
    }
}

fn abandon(child: &mut Child, error: MediaError) -> MediaError {
    // Both fail only when the child has ended already.
    let _ = child.kill();
    let _ = child.wait();
    error
}

fn kill_group(pid: Pid) {
    // A launcher that has no group of its own yet is killed by its own id.
    if rustix::process::kill_process_group(pid, Signal::KILL).is_err() {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

fn judge(tool: &'static str, status: ExitStatus, errors: &str) -> Result<(), MediaError> {
    if status.success() {
        return Ok(());
    }
    if status.code() == Some(EXIT_JAIL)
        && let Some(reason) = errors.trim().strip_prefix("jail: ")
    {
        return Err(MediaError::Jail(reason.to_owned()));
    }
    Err(MediaError::Tool { tool, status: status.to_string(), detail: errors.trim().to_owned() })
}

fn last_of(mut stderr: ChildStderr) -> String {
    let mut kept: VecDeque<u8> = VecDeque::with_capacity(STDERR_KEPT);
    let mut buffer = [0_u8; 1024];
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                kept.extend(&buffer[..count]);
                let surplus = kept.len().saturating_sub(STDERR_KEPT);
                kept.drain(..surplus);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let bytes: Vec<u8> = kept.into_iter().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell_tools() -> Tools {
        let shell = || PathBuf::from("/bin/sh");
        Tools { ffmpeg: shell(), ffprobe: shell(), launcher: None }
    }

    fn shell_run<'a>(tools: &'a Tools, script: &str, wall: Duration) -> Invocation<'a> {
        Invocation {
            tools,
            tool: "sh",
            program: Path::new("/bin/sh"),
            args: super::super::words(["-c", script]),
            read: Vec::new(),
            write: None,
            limits: JailLimits { wall, ..JailLimits::default() },
            report: false,
        }
    }

    fn shell(script: &str, wall: Duration) -> Result<Vec<u8>, MediaError> {
        run(&shell_run(&shell_tools(), script, wall), 100)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_fed_comes_back_and_ends_with_the_inlet() {
        let tools = shell_tools();
        let fed = run_fed(
            &shell_run(&tools, "cat", LONG),
            |mut inlet| {
                assert!(!inlet.is_over() && inlet.put(b"to be ") && inlet.put(b"continued"))
            },
            |stdout| {
                let mut all = String::new();
                stdout.read_to_string(&mut all).map_err(MediaError::io("read"))?;
                Ok(all)
            },
        );
        assert_eq!(fed.unwrap(), "to be continued");
    }

    #[test]
    fn who_feeds_learns_that_nobody_listens() {
        let tools = shell_tools();
        let failing = run_fed(
            &shell_run(&tools, "exec sleep 600", LONG),
            |inlet| {
                while !inlet.is_over() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            },
            |_| Err::<(), _>(MediaError::Sink("full".to_owned())),
        );
        assert!(matches!(failing, Err(MediaError::Sink(_))), "{failing:?}");
    }

    #[test]
    fn output_and_empty_environment_come_back() {
        assert_eq!(shell("echo ok; echo \"[$HOME]\"", LONG).unwrap(), b"ok\n[]\n");
    }

    #[test]
    fn endless_output_is_cut_off() {
        let error = shell("while :; do echo many bytes of output; done", LONG).unwrap_err();
        assert!(matches!(error, MediaError::Stream(_)), "{error}");
    }

    #[test]
    fn silent_tool_and_its_children_die_at_the_deadline() {
        let error = shell("sleep 600 & sleep 600", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, MediaError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn tool_that_is_killed_explains_the_output_that_it_left() {
        let tools = shell_tools();
        let run = shell_run(&tools, "echo half; kill -9 $$", LONG);
        let error = run_streaming(&run, |stdout| {
            let mut all = String::new();
            stdout.read_to_string(&mut all).map_err(MediaError::io("read"))?;
            Err::<(), _>(MediaError::Stream(format!("{} is cut", all.trim())))
        });
        assert!(error.unwrap_err().is_kill());
    }

    #[test]
    fn failure_carries_the_end_of_standard_error() {
        let error = shell("echo first >&2; echo why >&2; exit 3", LONG).unwrap_err();
        let MediaError::Tool { detail, .. } = error else { panic!("{error}") };
        assert_eq!(detail, "first\nwhy");
    }
}
