//! Views that are counted here and shipped to the cluster in batches: approximate, never money.
//!
//! What cannot be shipped is tried again with the next batch; beyond its bound the buffer forgets.
//! Read next: `fairground_market`'s `social`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fairground_types::command::{Actor, Command, Envelope, SocialCommand, ViewCount};
use fairground_types::{CommandId, StoryId, limits};
use fairground_wire::message::{ForwardRequest, ForwardResponse};

use super::unpoisoned;
use crate::edge::Edge;

/// How often what was counted is shipped.
const SHIP_PERIOD: Duration = Duration::from_secs(5);
/// Stories whose views wait to be shipped.
const WAITING_MAX: usize = 10_000;

/// Views that wait to be shipped.
#[derive(Debug, Default)]
pub(crate) struct ViewBuffer(Mutex<BTreeMap<StoryId, u32>>);

impl ViewBuffer {
    pub(super) fn add(&self, story: StoryId, views: u32) {
        let mut waiting = unpoisoned(&self.0);
        if waiting.len() < WAITING_MAX || waiting.contains_key(&story) {
            let count = waiting.entry(story).or_default();
            *count = count.saturating_add(views).min(limits::VIEWS_PER_COUNT_MAX);
        }
    }

    /// Takes one batch out.
    pub(super) fn take(&self) -> Vec<ViewCount> {
        let mut waiting = unpoisoned(&self.0);
        let mut batch = Vec::new();
        while batch.len() < limits::VIEW_COUNTS_MAX
            && let Some((story, views)) = waiting.pop_first()
        {
            batch.push(ViewCount { story, views });
        }
        batch
    }
}

/// Ships what was counted, until shutdown.
pub(crate) async fn ship(edge: Arc<Edge>) {
    let mut number = 0_u64;
    loop {
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(SHIP_PERIOD) => {}
        }
        let counts = edge.feed.views.take();
        if counts.is_empty() {
            continue;
        }
        number = number.saturating_add(1);
        // A batch has an id of its own: one that is sent again counts again, which is allowed.
        let at = edge.time.now().as_unix_millis().to_string();
        let id = CommandId::derive_system("views", &edge.id.to_string(), &format!("{at} {number}"));
        let command = Command::Social(SocialCommand::CountViews { counts: counts.clone() });
        let envelope = Envelope { id, actor: Actor::Edge(edge.id.clone()), command };
        let request = ForwardRequest::Command(Box::new(envelope));
        match edge.links.forward(&request).await {
            Ok(ForwardResponse::Judged(_)) => {}
            Ok(_) | Err(_) => {
                for count in counts {
                    edge.feed.views.add(count.story, count.views);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_and_so_is_what_waits() {
        let buffer = ViewBuffer::default();
        for story in 0..u128::try_from(WAITING_MAX).expect("small") + 10 {
            buffer.add(StoryId::from_bits(story), 1);
        }
        buffer.add(StoryId::from_bits(0), u32::MAX);
        let batch = buffer.take();
        assert_eq!(batch.len(), limits::VIEW_COUNTS_MAX);
        assert_eq!(batch[0].views, limits::VIEWS_PER_COUNT_MAX);
        let batches = std::iter::from_fn(|| Some(buffer.take()).filter(|batch| !batch.is_empty()));
        assert_eq!(batches.map(|batch| batch.len()).sum::<usize>(), WAITING_MAX - batch.len());
    }
}
