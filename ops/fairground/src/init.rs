//! `fairground init`: a new cluster with one member.

use anyhow::Context;
use fairground_coordinator::{InitOptions, Options};
use fairground_runtime::{config, http};

use crate::cli::InitArgs;
use crate::output;

pub(crate) async fn run(arguments: InitArgs) -> anyhow::Result<()> {
    let (options, file) = member_options(&arguments.dir, |options| {
        options.cluster_listen = arguments.cluster_listen.to_string();
        options.http_listen = arguments.http_listen.to_string();
        options.public_url = format!("http://{}", arguments.http_listen);
        options.sandbox = arguments.sandbox;
    })?;
    let made = fairground_coordinator::init(&InitOptions { options })?;
    output::note(&format!(
        "cluster {} begins with member {}; start it with\n  fairground coordinator --config {file}",
        made.cluster, made.member
    ))?;
    Ok(())
}

/// The configuration in the folder; where there is none, one with these settings is written.
///
/// Answers the options and the file's path as text.
pub(crate) fn member_options(
    dir: &std::path::Path,
    set: impl FnOnce(&mut Options),
) -> anyhow::Result<(Options, String)> {
    std::fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
    let dir = std::fs::canonicalize(dir)?;
    let file = dir.join("coordinator.toml");
    if !file.exists() {
        let mut options = Options { dir: dir.clone(), ..Options::default() };
        set(&mut options);
        let listen = options.http_listen.parse().context("the HTTP address is no address:port")?;
        http::refuse_plain_http(listen, options.http_tls_cert_file.is_some())?;
        let text = format!(
            "dir = {:?}\ncluster_listen = {:?}\nhttp_listen = {:?}\npublic_url = {:?}\nsandbox = {}\n",
            options.dir,
            options.cluster_listen,
            options.http_listen,
            options.public_url,
            options.sandbox
        );
        std::fs::write(&file, text)
            .with_context(|| format!("failed to write {}", file.display()))?;
    }
    let options = config::load(Some(&file), crate::daemon::ENVIRONMENT_PREFIX)
        .context("the configuration was refused")?;
    Ok((options, file.display().to_string()))
}
