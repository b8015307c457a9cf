//! `fairground join`: this machine becomes a member or an edge, as its token says.

use anyhow::Context;
use fairground_runtime::http;
use fairground_runtime::pki::{JoinRole, JoinToken};

use crate::cli::JoinArgs;
use crate::init::member_options;
use crate::output;

pub(crate) async fn run(arguments: JoinArgs) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&arguments.token_file).with_context(|| {
        format!("failed to read the join token in {}", arguments.token_file.display())
    })?;
    let token: JoinToken = text.trim().parse().context("the join token was refused")?;
    match token.role {
        JoinRole::Member => member(arguments, text).await,
        JoinRole::Edge => edge(arguments, token).await,
    }
}

async fn member(arguments: JoinArgs, token: String) -> anyhow::Result<()> {
    let (options, file) = member_options(&arguments.dir, |options| {
        options.cluster_listen = arguments.cluster_listen.to_string();
        options.http_listen = arguments.http_listen.to_string();
        options.public_url = public_url(&arguments);
    })?;
    let made =
        fairground_coordinator::join(&fairground_coordinator::JoinOptions { options, token })
            .await?;
    output::note(&format!(
        "member {} of cluster {}; start it with\n  fairground coordinator --config {file}",
        made.member, made.cluster
    ))?;
    Ok(())
}

async fn edge(arguments: JoinArgs, token: JoinToken) -> anyhow::Result<()> {
    http::refuse_plain_http(arguments.http_listen, false)?;
    std::fs::create_dir_all(&arguments.dir)
        .with_context(|| format!("failed to make {}", arguments.dir.display()))?;
    let dir = std::fs::canonicalize(&arguments.dir)?;
    let public_url = public_url(&arguments);
    let joined = fairground_node::join(fairground_node::JoinOptions {
        token,
        dir: dir.clone(),
        name: arguments.name,
        public_url: public_url.clone(),
        takes_bids: true,
    })
    .await?;
    let file = dir.join("node.toml");
    if !file.exists() {
        let listen = arguments.http_listen.to_string();
        let text =
            format!("dir = {dir:?}\nhttp_listen = {listen:?}\npublic_url = {public_url:?}\n");
        std::fs::write(&file, text)
            .with_context(|| format!("failed to write {}", file.display()))?;
    }
    output::note(&format!(
        "edge {} of cluster {}; start it with\n  fairground node --config {}",
        joined.edge,
        joined.cluster,
        file.display()
    ))?;
    Ok(())
}

fn public_url(arguments: &JoinArgs) -> String {
    arguments.public_url.clone().unwrap_or_else(|| format!("http://{}", arguments.http_listen))
}
