//! What is on disk: payloads in their envelopes, and one record sealed with a fixed nonce.

use fairground_storage::KeyFile;
use fairground_storage::record::RecordCipher;
use fairground_wire::Versioned;
use fairground_wire::codec::{encode_payload, encode_state};

use crate::messages::{LOG_ID, VOTE, log_entries, membership, snapshot_meta};
use crate::{Sample, batch, journal, mark, sealed, signed_journal, tail};

fn record() -> Sample {
    let key = KeyFile::from_bytes([0x42; 32]).derive("raft");
    let cipher = RecordCipher::new(&key).expect("32 bytes");
    let payload = encode_payload(&VOTE).expect("small");
    let version = fairground_wire::raft::VoteWire::VERSION;
    let bytes = cipher
        .seal_with_nonce([0x24; 12], ("raft_state", b"vote"), version, &payload)
        .expect("small");
    let opened = cipher.open("raft_state", b"vote", version, &bytes).expect("ours");
    assert_eq!(opened, (version, payload));
    Sample { name: "record_vote".to_owned(), bytes }
}

pub(crate) fn samples() -> Vec<Sample> {
    let [bid, offer] = <[_; 2]>::try_from(journal()).expect("two entries");
    let [signed_bid, signed_offer] = <[_; 2]>::try_from(signed_journal()).expect("two entries");
    let [blank, normal, changed] = <[_; 3]>::try_from(log_entries()).expect("three entries");
    let state = vec![("a".to_owned(), 1_u64), ("b".to_owned(), 2)];
    vec![
        sealed("journal_entry_bid", &bid),
        sealed("journal_entry_offer", &offer),
        sealed("journal_entry_signed_bid", &signed_bid),
        sealed("journal_entry_signed_offer", &signed_offer),
        sealed("batch", &batch()),
        sealed("mark", &mark()),
        sealed("tail", &tail()),
        sealed("raft_vote", &VOTE),
        sealed("raft_log_id", &LOG_ID),
        sealed("raft_membership", &membership()),
        sealed("raft_snapshot_meta", &snapshot_meta()),
        sealed("raft_log_entry_blank", &blank),
        sealed("raft_log_entry_normal", &normal),
        sealed("raft_log_entry_membership", &changed),
        Sample {
            name: "state_envelope".to_owned(),
            bytes: encode_state(1, &state).expect("small"),
        },
        record(),
    ]
}
