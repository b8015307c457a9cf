//! Every redb table, in one place. Values are records ([`crate::record`]).
//!
//! ```text
//!  file            table               key                       value
//!  raft.redb       raft_log            index u64                 LogEntryWire
//!                  raft_state          "vote" | "committed" | "purged" | "last"
//!  history.redb    history_records     seq u64                   HistoryRecord
//!                  history_keys        key and seq u64 BE        nothing
//!  journal.redb    journal_entries     seq u64                   JournalEntry
//!                  journal_verdicts    seq u64                   Judged
//!                  journal_state       "tail"                    tail and last stamp
//!  edge.redb       edge_uploads        upload id, 16 bytes BE    opaque bytes
//!                  edge_state          name                      opaque bytes
//!  segments.redb   segment_index       blob hash, 32 bytes       length and age
//!                  segment_chunks      hash and number u32 BE    bytes of a chunk
//! ```
#![cfg_attr(
    not(all(feature = "raft", feature = "edge")),
    expect(dead_code, reason = "one role alone does not use the other's tables")
)]

use redb::TableDefinition;

type ByIndex = TableDefinition<'static, u64, &'static [u8]>;
type ByName = TableDefinition<'static, &'static str, &'static [u8]>;
type ByBytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

pub(crate) const RAFT_LOG_NAME: &str = "raft_log";
pub(crate) const RAFT_LOG: ByIndex = TableDefinition::new(RAFT_LOG_NAME);
pub(crate) const RAFT_STATE_NAME: &str = "raft_state";
pub(crate) const RAFT_STATE: ByName = TableDefinition::new(RAFT_STATE_NAME);

pub(crate) const HISTORY_RECORDS_NAME: &str = "history_records";
pub(crate) const HISTORY_RECORDS: ByIndex = TableDefinition::new(HISTORY_RECORDS_NAME);
pub(crate) const HISTORY_KEYS: TableDefinition<'static, &'static [u8], ()> =
    TableDefinition::new("history_keys");

pub(crate) const JOURNAL_ENTRIES_NAME: &str = "journal_entries";
pub(crate) const JOURNAL_ENTRIES: ByIndex = TableDefinition::new(JOURNAL_ENTRIES_NAME);
pub(crate) const JOURNAL_VERDICTS_NAME: &str = "journal_verdicts";
pub(crate) const JOURNAL_VERDICTS: ByIndex = TableDefinition::new(JOURNAL_VERDICTS_NAME);
/// An index that earlier releases kept; deleted where it is found.
pub(crate) const JOURNAL_COMMANDS: ByBytes = TableDefinition::new("journal_commands");
pub(crate) const JOURNAL_STATE_NAME: &str = "journal_state";
pub(crate) const JOURNAL_STATE: ByName = TableDefinition::new(JOURNAL_STATE_NAME);

pub(crate) const EDGE_UPLOADS_NAME: &str = "edge_uploads";
pub(crate) const EDGE_UPLOADS: ByBytes = TableDefinition::new(EDGE_UPLOADS_NAME);
pub(crate) const EDGE_STATE_NAME: &str = "edge_state";
pub(crate) const EDGE_STATE: ByName = TableDefinition::new(EDGE_STATE_NAME);

pub(crate) const SEGMENT_INDEX_NAME: &str = "segment_index";
pub(crate) const SEGMENT_INDEX: ByBytes = TableDefinition::new(SEGMENT_INDEX_NAME);
pub(crate) const SEGMENT_CHUNKS_NAME: &str = "segment_chunks";
pub(crate) const SEGMENT_CHUNKS: ByBytes = TableDefinition::new(SEGMENT_CHUNKS_NAME);
