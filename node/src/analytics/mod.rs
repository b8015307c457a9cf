//! What people's apps say about how they are used: judged here, written to files of this edge.
//!
//! ```text
//!  batch --consent? no--> dropped
//!    |  each event: known name, known members, plain words --no--> quarantine-<n>.ndjson, without values
//!    +--> events-<n>.ndjson: pseudonyms instead of ids of people, orders and sessions
//! ```
//! Nothing here is part of a decision, and all of it may be lost: a full queue drops. Money and state
//! are told by the log and never by a client. It must not know HTTP. Read next: `event.rs` for what
//! is taken, `writer.rs` for the files, `docs/src/operate/analytics.md`.

mod event;
mod writer;

use std::path::Path;

use fairground_types::{CommandId, Timestamp, UserId};
use quick_cache::sync::Cache;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

pub(crate) use event::AnalyticsEvent;
pub(crate) use writer::Writer;

use crate::error::Error;
use crate::metrics;

/// Events of one batch.
pub(crate) const BATCH_MAX: usize = 50;
/// Bytes of one event as it was sent.
const EVENT_BYTES_MAX: usize = 4_096;
/// Lines that wait for the disk; more are dropped.
const QUEUE_MAX: usize = 4_096;
/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files of events; the oldest goes when there are more.
const EVENT_FILES_MAX: usize = 32;
/// Files of what was quarantined.
const QUARANTINE_FILES_MAX: usize = 4;
/// Bytes that stay free on the disk whatever is said.
const FREE_FLOOR: u64 = 512 << 20;
/// Answers that are remembered for retries.
const ANSWERS_MAX: usize = 10_000;

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventsTaken {
    /// Events that were kept.
    pub(crate) taken: u64,
    /// Events that are unknown, malformed, or not a client's to tell.
    pub(crate) quarantined: u64,
    /// Events that were let go: the person has not agreed, or this edge is busy.
    pub(crate) dropped: u64,
}

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shelf {
    Events,
    Quarantine,
}

struct Line {
    shelf: Shelf,
    text: Vec<u8>,
}

/// Judges events and hands them to the writer.
pub(crate) struct Analytics {
    key: [u8; 32],
    lines: mpsc::Sender<Line>,
    answers: Cache<CommandId, EventsTaken>,
}

/// Names of people and things, which nobody can turn back without the key of this edge.
pub(crate) struct Pseudonyms<'a>(&'a [u8; 32]);

impl Pseudonyms<'_> {
    fn of(&self, kind: &str, id: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(self.0);
        hasher.update(kind.as_bytes()).update(&[0]).update(id.as_bytes());
        let hex = hasher.finalize().to_hex();
        hex.get(..32).unwrap_or_default().to_owned()
    }
}

impl Analytics {
    /// Opens the folder `analytics`; the writer is to be run.
    pub(crate) fn open(dir: &Path, secret: &[u8]) -> Result<(Self, Writer), Error> {
        let folder = dir.join("analytics");
        crate::identity::make_private_folder(&folder)?;
        let (lines, queue) = mpsc::channel(QUEUE_MAX);
        let writer = Writer::open(folder, queue)?;
        let key = blake3::derive_key("fairground 2026 analytics pseudonyms v1", secret);
        Ok((Self { key, lines, answers: Cache::new(ANSWERS_MAX) }, writer))
    }

    /// What an earlier request of the same intent was told.
    pub(crate) fn known(&self, intent: &CommandId) -> Option<EventsTaken> {
        self.answers.get(intent)
    }

    /// Takes a batch of somebody; `agreed` says whether they let their use be measured.
    pub(crate) fn take(
        &self,
        (user, intent): (UserId, CommandId),
        events: &[Value],
        (agreed, now): (bool, Timestamp),
    ) -> EventsTaken {
        let mut told = EventsTaken::default();
        if agreed {
            let names = Pseudonyms(&self.key);
            let person = names.of("person", &user.to_string());
            for event in events {
                self.take_one(event, (&names, &person, now), &mut told);
            }
        } else {
            told.dropped = u64::try_from(events.len()).unwrap_or(u64::MAX);
            metrics::analytics("optedOut", told.dropped);
        }
        self.answers.insert(intent, told);
        told
    }

    fn take_one(
        &self,
        event: &Value,
        (names, person, now): (&Pseudonyms<'_>, &str, Timestamp),
        told: &mut EventsTaken,
    ) {
        let (shelf, text) = match event::judge(event) {
            Ok(event) => (Shelf::Events, event.line(names, person, now)),
            Err(why) => (Shelf::Quarantine, event::quarantined(event, why, now)),
        };
        let outcome = match (self.lines.try_send(Line { shelf, text }), shelf) {
            (Err(_), _) => {
                told.dropped = told.dropped.saturating_add(1);
                "busy"
            }
            (Ok(()), Shelf::Events) => {
                told.taken = told.taken.saturating_add(1);
                "taken"
            }
            (Ok(()), Shelf::Quarantine) => {
                told.quarantined = told.quarantined.saturating_add(1);
                "quarantined"
            }
        };
        metrics::analytics(outcome, 1);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str) -> Value {
        json!({
            "name": name,
            "occurredAt": "2026-11-24T10:00:00.000Z",
            "context": { "appVersion": "1.4.0", "platform": "ios", "sessionId": "s-1" },
        })
    }

    fn intent(key: &str) -> CommandId {
        CommandId::derive(UserId::from_bits(7), key, "analytics", "")
    }

    async fn lines(folder: &Path, file: &str) -> Vec<Value> {
        let text = tokio::fs::read_to_string(folder.join("analytics").join(file)).await;
        let text = text.unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn events_are_kept_apart_from_what_is_quarantined_and_nobody_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (analytics, writer) = Analytics::open(dir.path(), b"secret").unwrap();
        let user = UserId::from_bits(7);
        let mut mail = event("feed_viewed");
        mail["context"]["screen"] = json!("buyer-7@shop.example");
        let batch =
            [event("feed_viewed"), event("payment_succeeded"), event("no_such_thing"), mail];
        let told = analytics.take((user, intent("a")), &batch, (true, Timestamp::EPOCH));
        assert_eq!(told, EventsTaken { taken: 1, quarantined: 3, dropped: 0 });
        assert_eq!(analytics.known(&intent("a")), Some(told));
        let none = analytics.take((user, intent("b")), &batch, (false, Timestamp::EPOCH));
        assert_eq!(none, EventsTaken { taken: 0, quarantined: 0, dropped: 4 });
        drop(analytics);
        writer.run(std::future::pending()).await;

        let kept = lines(dir.path(), "events-00000001.ndjson").await;
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0]["name"], "feed_viewed");
        assert_eq!(kept[0]["person"].as_str().map(str::len), Some(32));
        let apart = lines(dir.path(), "quarantine-00000001.ndjson").await;
        let why: Vec<_> = apart.iter().map(|line| line["reason"].as_str().unwrap()).collect();
        assert_eq!(why, ["serverOwned", "unknownName", "malformed"]);
        let all = format!("{kept:?}{apart:?}");
        for secret in [user.to_string().as_str(), "s-1", "@", "shop.example"] {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (analytics, _writer) = Analytics::open(dir.path(), b"secret").unwrap();
        let user = UserId::from_bits(7);
        let batch = vec![event("feed_viewed"); BATCH_MAX];
        let mut told = EventsTaken::default();
        for round in 0..=QUEUE_MAX / BATCH_MAX {
            let key = intent(&round.to_string());
            told = analytics.take((user, key), &batch, (true, Timestamp::EPOCH));
        }
        assert!(told.dropped > 0 && told.taken < 50, "{told:?}");
    }

    #[test]
    fn pseudonyms_hold_for_one_key_and_say_nothing_of_the_id() {
        let names = |secret: &[u8], kind: &str| {
            Pseudonyms(&blake3::derive_key("fairground 2026 analytics pseudonyms v1", secret))
                .of(kind, "one")
        };
        assert_eq!(names(b"a", "person"), names(b"a", "person"));
        assert_ne!(names(b"a", "person"), names(b"b", "person"));
        assert_ne!(names(b"a", "person"), names(b"a", "order"));
    }
}
