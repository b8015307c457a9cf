//! `fairground demo`: a whole market on this machine, for people to look at and for tests to walk.

mod bots;
pub(crate) mod client;
pub(crate) mod clip;
mod cluster;
pub(crate) mod market;
pub(crate) mod process;
mod progress;
mod report;
mod scenario;
mod show;

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::cli::{DemoArgs, Scenario};
use crate::output;

/// Where the demo's files are; removed at the end unless they are to be kept.
struct Folder {
    path: PathBuf,
    _guard: Option<tempfile::TempDir>,
}

impl Folder {
    fn make(keep: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = keep {
            std::fs::create_dir_all(path)?;
            if std::fs::read_dir(path)?.next().is_some() {
                bail!("{} is not empty", path.display());
            }
            return Ok(Self { path: std::fs::canonicalize(path)?, _guard: None });
        }
        let guard = tempfile::Builder::new().prefix("fairground-demo-").tempdir()?;
        Ok(Self { path: guard.path().to_owned(), _guard: Some(guard) })
    }
}

pub(crate) async fn run(arguments: DemoArgs) -> anyhow::Result<()> {
    let folder = Folder::make(arguments.keep.as_deref())?;
    match arguments.scenario {
        Some(Scenario::Full) => full(&folder.path, &arguments).await,
        None => show::run(&folder.path, &arguments).await,
    }
}

async fn full(dir: &Path, arguments: &DemoArgs) -> anyhow::Result<()> {
    let clip = arguments.clip.as_deref().map(std::fs::canonicalize).transpose()?;
    let report = scenario::run(dir, clip.as_deref()).await;
    if arguments.json {
        output::json(&report)?;
    } else {
        report.steps().try_for_each(|line| output::line(&line))?;
    }
    if let Some((step, detail)) = report.first_failure() {
        bail!("step {step} failed: {detail}");
    }
    Ok(())
}
