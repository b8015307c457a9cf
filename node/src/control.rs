//! The control socket: what an operator on this machine asks of the running edge.
//!
//! ```text
//!   DIR/control.sock     one line in, one JSON object back, per connection
//!   drain | drain-alone | undrain | status
//! ```
//! Only root and the owner of the folder are heard. It must not know how an edge leaves. Read next:
//! `leaving.rs`.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::edge::Edge;

/// The socket, in the edge's folder.
const SOCKET_FILE: &str = "control.sock";
const COMMAND_BYTES_MAX: u64 = 64;
/// One after the other is heard, so nobody may hold the line.
const TALK_WAIT: Duration = Duration::from_secs(2);
const ROOT: u32 = 0;

/// Listens until shutdown. An edge whose folder can hold no socket runs without.
pub(crate) async fn run(edge: Arc<Edge>) {
    let path = edge.options.dir.join(SOCKET_FILE);
    match bind(&edge.options.dir, &path) {
        Ok((listener, owner)) => listen(&edge, &listener, owner).await,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "no control socket; drain by stopping");
            edge.shutdown.wait().await;
        }
    }
    let _ = std::fs::remove_file(&path);
}

/// Makes the socket; the folder is ours alone, so one that is there is of a process that died.
fn bind(dir: &Path, path: &Path) -> io::Result<(UnixListener, u32)> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let owner = std::fs::metadata(dir)?.uid();
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, owner))
}

async fn listen(edge: &Edge, listener: &UnixListener, owner: u32) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            accepted = listener.accept() => accepted,
        };
        let talked = match accepted {
            Ok((stream, _)) => tokio::time::timeout(TALK_WAIT, talk(edge, stream, owner)).await,
            Err(error) => {
                tracing::warn!(%error, "control socket");
                tokio::time::sleep(TALK_WAIT).await;
                continue;
            }
        };
        if !matches!(talked, Ok(Ok(()))) {
            tracing::debug!("a caller of the control socket went away");
        }
    }
}

async fn talk(edge: &Edge, mut stream: UnixStream, owner: u32) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    let answer = if caller == owner || caller == ROOT {
        let mut line = String::new();
        BufReader::new((&mut stream).take(COMMAND_BYTES_MAX)).read_line(&mut line).await?;
        obey(edge, line.trim())
    } else {
        json!({ "error": "only root and the owner of the folder are heard" })
    };
    stream.write_all(format!("{answer}\n").as_bytes()).await?;
    stream.shutdown().await
}

fn obey(edge: &Edge, command: &str) -> Value {
    match command {
        "drain" if others(edge) == 0 => {
            return json!({ "error": "no other edge serves video: its viewers have nowhere to go" });
        }
        "drain" | "drain-alone" => {
            tracing::info!("asked to leave");
            edge.leaving.begin(edge.time.monotonic());
        }
        "undrain" => {
            tracing::info!("asked to stay");
            edge.leaving.cancel();
        }
        "status" => {}
        _ => return json!({ "error": "there is no such command" }),
    }
    json!({
        "edge": edge.id,
        "isDraining": edge.leaving.is_begun(),
        "quietForMs": edge.leaving.quiet_for(edge.time.monotonic()),
        "otherEdges": others(edge),
        "media": edge.delivery.meter.shown(edge.time.now()),
    })
}

/// How many other edges serve video, as far as is known.
fn others(edge: &Edge) -> usize {
    let rows = edge.directory.rows(edge.status());
    rows.iter().filter(|row| row.edge != edge.id && row.serves_video).count()
}
