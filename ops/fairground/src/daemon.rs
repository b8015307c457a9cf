//! `fairground coordinator`, `fairground node` and the hidden jail launcher.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use fairground_runtime::config;
use fairground_runtime::shutdown::Shutdown;

use crate::cli::DaemonArgs;

/// Environment variables with this prefix override the file.
pub(crate) const ENVIRONMENT_PREFIX: &str = "FAIRGROUND";

pub(crate) async fn coordinator(arguments: DaemonArgs) -> anyhow::Result<()> {
    let options: fairground_coordinator::Options =
        config::load(Some(&arguments.config), ENVIRONMENT_PREFIX)
            .context("the configuration was refused")?;
    fairground_coordinator::run(options, Shutdown::on_signals()?).await?;
    Ok(())
}

pub(crate) async fn node(arguments: DaemonArgs) -> anyhow::Result<()> {
    let options: fairground_node::Options =
        config::load(Some(&arguments.config), ENVIRONMENT_PREFIX)
            .context("the configuration was refused")?;
    fairground_node::run(options, Shutdown::on_signals()?).await?;
    Ok(())
}

/// Fences this process in and becomes the tool; see the media crate's jail.
pub(crate) fn transcode_jail(arguments: Vec<OsString>) -> ExitCode {
    let code = fairground_node::transcode_jail(arguments);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
