//! The feed: every public event to an edge, in the order of the log.
//!
//! ```text
//!  FeedRequest{from} -> in the backlog: items after `from`
//!                    -> otherwise: the view as it is now, in parts, then items after it
//!  nothing new for a second -> Alive{index, at}, if a quorum says so
//! ```
//! A slow edge is not waited for and costs no memory: it reads the shared backlog at its own pace,
//! and starts from a view again when it has fallen out of it.

use std::sync::Arc;
use std::time::Duration;

use fairground_seam::link::{RecvStream, SendStream};
use fairground_types::LogIndex;
use fairground_wire::codec;
use fairground_wire::message::{FeedDown, FeedRequest};
use fairground_wire::session::feed::{FeedStart, VIEW_VERSION, snapshot_parts};

use crate::member::Member;
use crate::state::Since;
use crate::stream::{self, StreamError};

/// Items taken from the backlog at a time.
const ITEMS_AT_ONCE: usize = 256;
/// Longest silence.
const ALIVE_PERIOD: Duration = Duration::from_secs(1);

/// Serves one feed stream until it breaks.
pub(crate) async fn serve(
    member: &Arc<Member>,
    mut send: SendStream,
    mut receive: RecvStream,
) -> Result<(), StreamError> {
    let request: FeedRequest = stream::expect(&mut receive).await?;
    let mut changed = member.state.watch();
    let mut position = match start(member, request.from) {
        FeedStart::After(index) => index,
        FeedStart::Snapshot => send_view(member, &mut send).await?,
    };
    loop {
        changed.mark_unchanged();
        match member.state.since(position, ITEMS_AT_ONCE) {
            Since::TooOld => position = send_view(member, &mut send).await?,
            Since::Entries(entries) if entries.is_empty() => {
                let wait = tokio::time::timeout(ALIVE_PERIOD, changed.changed());
                match wait.await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Ok(()),
                    Err(_) => send_alive(member, &mut send, position).await?,
                }
            }
            Since::Entries(entries) => {
                for entry in entries {
                    stream::send(&mut send, &FeedDown::Item(entry.feed.clone())).await?;
                    position = entry.index;
                }
            }
        }
    }
}

fn start(member: &Member, from: LogIndex) -> FeedStart {
    let newest = member.state.position().index;
    let is_held = matches!(member.state.since(from, 0), Since::Entries(_));
    if from.0 == 0 || from > newest || !is_held {
        FeedStart::Snapshot
    } else {
        FeedStart::After(from)
    }
}

/// Says that nothing is newer than `position`, unless something has come meanwhile. A member that
/// is cut off from its leader says nothing: what it knows may be old, and an edge that believed it
/// would honour sign-ins that were ended.
async fn send_alive(
    member: &Member,
    send: &mut SendStream,
    position: LogIndex,
) -> Result<(), StreamError> {
    if member.linearize().await.is_err() {
        return Ok(());
    }
    let newest = member.state.position();
    if newest.index == position {
        stream::send(send, &FeedDown::Alive { index: newest.index, at: newest.at }).await?;
    }
    Ok(())
}

async fn send_view(member: &Member, send: &mut SendStream) -> Result<LogIndex, StreamError> {
    let view = member.state.read(|market| market.view().clone());
    let index = view.index();
    let encoding = fairground_seam::blocking(move || codec::encode_state(VIEW_VERSION, &view));
    let bytes = encoding.await.map_err(|_| StreamError::Ended)??;
    metrics::counter!(crate::metrics::VIEWS_SENT).increment(1);
    for part in snapshot_parts(index, &bytes) {
        stream::send(send, &part).await?;
    }
    Ok(index)
}
