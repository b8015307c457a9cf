//! `fairground edge`: what is asked of an edge on this machine, over the socket in its folder.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::cli::EdgeVerb;
use crate::output;

const SOCKET_FILE: &str = "control.sock";
const ANSWER_BYTES_MAX: u64 = 4_096;
const ANSWER_WAIT: Duration = Duration::from_secs(10);
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Longer than an edge waits for its viewers and then for its journal.
const END_WAIT: Duration = Duration::from_secs(11 * 60);

pub(crate) async fn run(verb: EdgeVerb) -> anyhow::Result<()> {
    match verb {
        EdgeVerb::Drain { dir, alone, wait } => {
            let said = ask(&dir, if alone { "drain-alone" } else { "drain" }).await?;
            let others = said["otherEdges"].as_u64().unwrap_or(0);
            output::line(&format!(
                "{} sends its viewers to {others} other edges and ends when they have gone, \
                 in a minute at the soonest and in ten at the latest",
                said["edge"].as_str().unwrap_or("the edge"),
            ))?;
            if wait {
                until_ended(&dir).await?;
                output::line("it has ended")?;
            }
        }
        EdgeVerb::Status { dir, json } => {
            let said = ask(&dir, "status").await?;
            output::line(&if json { said.to_string() } else { standing(&said) })?;
        }
        EdgeVerb::Undrain { dir } => {
            let said = ask(&dir, "undrain").await?;
            output::line(&format!("{} stays", said["edge"].as_str().unwrap_or("the edge")))?;
        }
    }
    Ok(())
}

/// A status for people.
fn standing(said: &Value) -> String {
    let bytes = |name: &str| said["media"][name].as_u64().unwrap_or(0);
    let of = match bytes("bytesPerDay") {
        0 => "no budget".to_owned(),
        budget => format!("a budget of {budget}"),
    };
    let follows = match said["media"]["standing"].as_str() {
        Some("over") => "; new playbacks are sent elsewhere",
        Some("exhausted") => "; it serves no media until midnight, UTC",
        _ => "",
    };
    let leaves = if said["isDraining"] == true { ", draining" } else { "" };
    let edge = said["edge"].as_str().unwrap_or("the edge");
    format!("{edge}{leaves}: {} bytes of media sent today, {of}{follows}", bytes("bytesToday"))
}

/// Sends a command and reads the answer.
async fn ask(dir: &Path, command: &str) -> anyhow::Result<Value> {
    let path = dir.join(SOCKET_FILE);
    let talk = async {
        let mut stream = UnixStream::connect(&path)
            .await
            .with_context(|| format!("no edge listens at {}", path.display()))?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
        let answer: Value =
            serde_json::from_str(&answer).context("the edge's answer is no JSON")?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(ANSWER_WAIT, talk).await.context("the edge is silent")??;
    if let Some(error) = answer["error"].as_str() {
        bail!("{error}");
    }
    Ok(answer)
}

/// Waits until nobody listens at the socket any more.
async fn until_ended(dir: &Path) -> anyhow::Result<()> {
    let ended = async {
        loop {
            tokio::time::sleep(LOOK_PERIOD).await;
            match ask(dir, "status").await {
                Ok(said) if said["isDraining"] == false => bail!("somebody has it stay"),
                Ok(_) => {}
                Err(_) => return Ok(()),
            }
        }
    };
    tokio::time::timeout(END_WAIT, ended).await.context("it has not ended")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_says_what_follows_from_the_bytes_sent() {
        let mut said = serde_json::json!({
            "edge": "eu-1.1",
            "isDraining": false,
            "media": { "bytesToday": 1_050, "bytesPerDay": 1_000, "standing": "over" },
        });
        assert_eq!(
            standing(&said),
            "eu-1.1: 1050 bytes of media sent today, a budget of 1000; \
             new playbacks are sent elsewhere"
        );
        said["media"]["bytesPerDay"] = 0.into();
        said["media"]["standing"] = "within".into();
        assert_eq!(standing(&said), "eu-1.1: 1050 bytes of media sent today, no budget");
    }

    #[tokio::test]
    async fn refusal_of_the_edge_is_an_error_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let silent = ask(folder.path(), "status").await.unwrap_err();
        assert!(silent.to_string().contains("no edge listens"), "{silent}");
        let listener = tokio::net::UnixListener::bind(folder.path().join(SOCKET_FILE)).unwrap();
        let edge = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = [0; 6];
            stream.read_exact(&mut line).await.unwrap();
            assert_eq!(&line, b"drain\n");
            stream.write_all(b"{\"error\":\"nowhere to go\"}\n").await.unwrap();
        };
        let (refused, ()) = tokio::join!(ask(folder.path(), "drain"), edge);
        assert_eq!(refused.unwrap_err().to_string(), "nowhere to go");
    }
}
