//! The fence around ffmpeg and ffprobe: what a tool may read, write, call, use and for how long.
//!
//! `unsafe` is forbidden here, so nothing can run between `fork` and `exec`. Instead the tool is
//! started through our own program: a fresh process runs a hidden verb, fences itself and then
//! becomes the tool.
//!
//! ```text
//!  edge process                 launcher (fresh process)                       tool
//!    | spawn(exe, verb, spec) ----> | setsid, die with the parent
//!    |   empty environment          | limits: memory, CPU, files, file size, core
//!    |   stdin null or fed, pipes   | no new privileges
//!    |                              | Landlock: read libraries and inputs, write one folder
//!    |                              | seccomp: no sockets, no other processes, no new programs
//!    |                              | exec ------------------------------------> | same process
//!    | <================= standard output, bounded ============================= |
//!    | kills the whole group when the time is over
//! ```
//!
//! Without a launcher (unit tests) only the environment, pipes, time and output are bounded; that
//! is [`JailLevel::Off`]. Read next: `launch` for the child's side, `child` for ours.

mod child;
mod launch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use launch::launch_main;

pub(crate) use child::{Inlet, Invocation, run, run_fed, run_streaming};

use crate::error::MediaError;

/// The tools that the pipeline starts.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The ffmpeg program, an absolute path.
    pub ffmpeg: PathBuf,
    /// The ffprobe program, an absolute path.
    pub ffprobe: PathBuf,
    /// How they are jailed; `None` leaves only time and output bounded.
    pub launcher: Option<Launcher>,
}

/// The program that fences itself and becomes the tool.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// Our own executable.
    pub program: PathBuf,
    /// The hidden verb that reaches [`launch_main`].
    pub verb: String,
}

/// Entry to questions about the jail.
#[derive(Debug, Clone, Copy)]
pub struct Jail;

/// How much of the jail a machine can enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JailLevel {
    /// Time, output and environment only.
    Off,
    /// Limits and seccomp, and Landlock in part or not at all.
    Partial,
    /// Limits, seccomp, and every Landlock right that is asked for.
    Full,
}

/// Resource limits of one tool run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JailLimits {
    /// Bytes of address space.
    pub address_space: u64,
    /// Seconds of CPU time.
    pub cpu_seconds: u64,
    /// Open files.
    pub files: u64,
    /// Bytes of the largest file.
    pub file_bytes: u64,
    /// Wall-clock time until the group is killed.
    pub wall: Duration,
}

/// What the launcher is told, as JSON in its first argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    /// The tool.
    program: PathBuf,
    /// Files and folders that may be read.
    read: Vec<PathBuf>,
    /// The folder that may be written.
    write: Option<PathBuf>,
    limits: JailLimits,
    /// The process that must be our parent.
    parent: i32,
    /// Only report the level, start nothing.
    report: bool,
}

/// Exit code of a launcher that could not fence itself or start the tool.
const EXIT_JAIL: i32 = 125;

impl Default for JailLimits {
    fn default() -> Self {
        Self {
            address_space: 2 << 30,
            cpu_seconds: 1_800,
            files: 64,
            file_bytes: 8 << 30,
            wall: Duration::from_secs(1_800),
        }
    }
}

impl Tools {
    /// Finds ffmpeg and ffprobe in the usual folders of the system.
    ///
    /// # Errors
    /// [`MediaError::ToolMissing`] naming the first that is absent.
    pub fn find(launcher: Option<Launcher>) -> Result<Self, MediaError> {
        Ok(Self { ffmpeg: find("ffmpeg")?, ffprobe: find("ffprobe")?, launcher })
    }
}

impl Jail {
    /// The level that this machine enforces for these tools, found by trying in a fresh process.
    ///
    /// # Errors
    /// [`MediaError::Jail`] when the launcher does not run at all.
    pub fn level(tools: &Tools) -> Result<JailLevel, MediaError> {
        if tools.launcher.is_none() {
            return Ok(JailLevel::Off);
        }
        let limits = JailLimits { wall: Duration::from_secs(20), ..JailLimits::default() };
        let output = run(
            &Invocation {
                tools,
                tool: "launcher",
                program: &tools.ffprobe,
                args: Vec::new(),
                read: Vec::new(),
                write: None,
                limits,
                report: true,
            },
            64,
        )?;
        match output.as_slice() {
            b"full" => Ok(JailLevel::Full),
            b"partial" => Ok(JailLevel::Partial),
            _ => Err(MediaError::Jail("the launcher reported no level".to_owned())),
        }
    }
}

impl JailLevel {
    /// Constant name, for metrics and status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }
}

fn find(tool: &'static str) -> Result<PathBuf, MediaError> {
    ["/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin"]
        .into_iter()
        .map(|folder| Path::new(folder).join(tool))
        .find(|path| path.is_file())
        .ok_or_else(|| MediaError::ToolMissing {
            tool,
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        })
}

/// Arguments from plain words.
pub(crate) fn words<'a>(list: impl IntoIterator<Item = &'a str>) -> Vec<OsString> {
    list.into_iter().map(OsString::from).collect()
}
