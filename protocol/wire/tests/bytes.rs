//! Envelopes and frames: what goes in comes out, what was altered does not, nothing panics.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use fairground_types::command::{AccountCommand, Actor, Command, Entry, Envelope, LogCommand};
use fairground_types::event::FeedItem;
use fairground_types::id::{AuctionId, CommandId, EdgeId, LogIndex, UserId};
use fairground_types::journal::{Batch, Intake, JournalEntry, Mark, PlaceBid, Stamp, Tail};
use fairground_types::limits::FRAME_MAX;
use fairground_types::money::{Currency, Money};
use fairground_types::time::Timestamp;
use fairground_wire::codec::{self, CodecError, HEADER_LEN};
use fairground_wire::message::{
    BeatDown, BeatUp, BlobRequest, BlobResponse, FeedDown, FeedRequest, ForwardRequest,
    ForwardResponse, JoinRequest, JoinResponse, StreamKind, UplinkDown, UplinkUp,
};
use fairground_wire::raft::{LogEntryWire, RaftReply, RaftRequest};
use fairground_wire::{FrameDecoder, FrameError, encode_frame, from_bytes, to_bytes, to_frame};
use proptest::prelude::*;

fn entry(seq_bits: u128, amount: u64) -> JournalEntry {
    let bid = PlaceBid {
        command: CommandId::from_bytes([7; 32]),
        auction: AuctionId::from_bits(seq_bits),
        bidder: UserId::from_bits(2),
        amount: Money::new(amount, Currency::Eur),
        maximum: None,
        valid_until: Timestamp::from_unix_millis(99),
    };
    let stamp = Stamp {
        earliest: Timestamp::from_unix_millis(10),
        latest: Timestamp::from_unix_millis(12),
    };
    JournalEntry::after(Tail::START, stamp, Intake::Bid(bid))
}

fn edge() -> EdgeId {
    EdgeId::new("edge-1", 1).expect("a valid name")
}

fn log_entry(commands: usize) -> Entry {
    let batch = |bits| {
        LogCommand::Batch(Batch { edge: edge(), mark: None, entries: vec![entry(bits, 100)] })
    };
    let direct = LogCommand::Direct(Envelope {
        id: CommandId::from_bytes([1; 32]),
        actor: Actor::User(UserId::from_bits(9)),
        command: Command::Account(AccountCommand::BecomeMaker),
    });
    let commands = (0..commands).map(|n| batch(n as u128)).chain([direct]).collect();
    let mark = Mark { watermark: Timestamp::from_unix_millis(5), tail: Tail::START };
    Entry { term: 3, at: Timestamp::from_unix_millis(8), marks: vec![(edge(), mark)], commands }
}

#[test]
fn an_entry_survives_the_way_to_bytes_and_back() {
    let entry = log_entry(3);
    let bytes = codec::encode_entry(&entry).expect("small");
    assert_eq!(codec::decode_entry(&bytes).expect("ours"), entry);
    assert_eq!(bytes.len(), codec::encoded_len(&entry).expect("small"));
}

#[test]
fn the_largest_log_entry_that_the_limits_allow_fits_a_frame() {
    let entry = log_entry(fairground_types::limits::ENTRY_COMMANDS_MAX - 1);
    let bytes = codec::encode_entry(&entry).expect("fits");
    assert!(bytes.len() < FRAME_MAX);
    assert_eq!(codec::decode_entry(&bytes).expect("ours"), entry);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = to_bytes(&entry(1, 5)).expect("small");
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(from_bytes::<JournalEntry>(&altered).is_err(), "bit {bit} passed");
    }
}

#[test]
fn a_record_is_exactly_as_long_as_it_says() {
    let bytes = to_bytes(&entry(1, 5)).expect("small");
    for length in 0..bytes.len() {
        assert!(from_bytes::<JournalEntry>(&bytes[..length]).is_err());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(from_bytes::<JournalEntry>(&longer), Err(CodecError::Length { .. })));
}

#[test]
fn a_newer_version_is_named_not_guessed_at() {
    let bytes = codec::encode(2, &entry(1, 5)).expect("small");
    assert!(matches!(
        from_bytes::<JournalEntry>(&bytes),
        Err(CodecError::Version { found: 2, known: 1 })
    ));
    let (version, _) = codec::decode::<JournalEntry>(2, &bytes).expect("known now");
    assert_eq!(version, 2);
    let zero = codec::encode(0, &entry(1, 5)).expect("small");
    assert!(codec::decode::<JournalEntry>(2, &zero).is_err());
}

#[test]
fn a_length_that_the_bytes_do_not_have_allocates_nothing_large() {
    // A log payload that claims 2^60 bytes, and one that claims more than a frame.
    for claimed in [1_u64 << 60, u64::try_from(FRAME_MAX).expect("fits") + 1] {
        let mut payload = 2_u32.to_le_bytes().to_vec();
        payload.extend_from_slice(&claimed.to_le_bytes());
        assert!(codec::decode_payload::<ForwardResponse>(&payload).is_err());
    }
}

#[test]
fn a_view_part_of_the_size_that_members_send_fits() {
    let part = FeedDown::Snapshot {
        index: LogIndex(4),
        total_bytes: 1 << 30,
        offset: 0,
        bytes: vec![1; fairground_wire::session::feed::SNAPSHOT_PART],
    };
    assert_eq!(from_bytes::<FeedDown>(&to_bytes(&part).expect("fits")).expect("ours"), part);
    let too_large = FeedDown::Snapshot {
        index: LogIndex(4),
        total_bytes: 1 << 30,
        offset: 0,
        bytes: vec![1; FRAME_MAX],
    };
    assert!(matches!(to_bytes(&too_large), Err(CodecError::TooLarge(_))));
}

#[test]
fn a_state_larger_than_a_frame_has_an_envelope_of_its_own() {
    let state: Vec<u64> = (0..2_000_000).collect();
    assert!(codec::encode(1, &state).is_err());
    let mut bytes = codec::encode_state(3, &state).expect("below the bound");
    assert_eq!(codec::decode_state::<Vec<u64>>(3, &bytes).expect("ours"), (3, state));
    assert!(codec::decode_state::<Vec<u64>>(2, &bytes).is_err());
    bytes[9_000_000] ^= 4;
    assert!(matches!(codec::decode_state::<Vec<u64>>(3, &bytes), Err(CodecError::Checksum)));
    assert!(codec::decode_state::<Vec<u64>>(3, &bytes[..12]).is_err());
}

#[test]
fn frames_come_out_whole_however_the_bytes_are_cut() {
    let frames: Vec<Vec<u8>> = vec![vec![], vec![1], vec![2; 300], vec![3; 70_000]];
    let stream: Vec<u8> =
        frames.iter().flat_map(|frame| encode_frame(frame).expect("small")).collect();
    for cut in [1, 3, 4, 5, 64, 1024, stream.len()] {
        let mut decoder = FrameDecoder::new();
        let mut found = Vec::new();
        for bytes in stream.chunks(cut) {
            decoder.push(bytes);
            for frame in decoder.by_ref() {
                found.push(frame.expect("small"));
            }
        }
        assert_eq!(found, frames);
        assert!(decoder.is_at_boundary());
    }
}

#[test]
fn a_frame_larger_than_allowed_ends_the_stream() {
    let mut decoder = FrameDecoder::new();
    decoder.push(&u32::MAX.to_le_bytes());
    assert!(matches!(decoder.next(), Some(Err(FrameError::TooLarge(_)))));
    decoder.push(&encode_frame(b"more").expect("small"));
    assert_eq!(decoder.next(), None);
    assert!(!decoder.is_at_boundary());
    assert!(encode_frame(&vec![0; FRAME_MAX + 1]).is_err());
}

#[test]
fn a_message_is_one_frame_with_one_envelope() {
    let request = FeedRequest { from: LogIndex(9) };
    let frame = to_frame(&request).expect("small");
    let mut decoder = FrameDecoder::new();
    decoder.push(&frame);
    let bytes = decoder.next().expect("whole").expect("small");
    assert_eq!(bytes.len(), HEADER_LEN + 8);
    assert_eq!(from_bytes::<FeedRequest>(&bytes).expect("ours"), request);
}

#[test]
fn stream_kinds_have_bytes_of_their_own() {
    for kind in StreamKind::ALL {
        assert_eq!(StreamKind::from_byte(kind.to_byte()), Some(kind));
    }
    assert_eq!(StreamKind::from_byte(0), None);
    assert_eq!(StreamKind::from_byte(255), None);
}

/// Decodes as everything that a peer may send; the outcome does not matter, that there is one does.
fn decode_as_everything(bytes: &[u8]) {
    macro_rules! attempt {
        ($($type:ty),*) => {$(
            let _ = codec::decode_payload::<$type>(bytes);
            let _ = from_bytes::<$type>(bytes);
        )*};
    }
    attempt!(
        Entry,
        JournalEntry,
        Batch,
        FeedItem,
        UplinkUp,
        UplinkDown,
        FeedRequest,
        FeedDown,
        BeatUp,
        BeatDown,
        ForwardRequest,
        ForwardResponse,
        BlobRequest,
        BlobResponse,
        JoinRequest,
        JoinResponse,
        RaftRequest,
        RaftReply,
        LogEntryWire
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        decode_as_everything(&bytes);
        let sealed = codec::seal(1, &bytes).expect("small");
        decode_as_everything(&sealed);
        let (_, payload) = codec::open(1, &sealed).expect("ours");
        prop_assert_eq!(payload, bytes.as_slice());
    }

    #[test]
    fn a_log_entry_with_altered_payload_bytes_decodes_or_is_refused(
        position in 0_usize..400,
        value in any::<u8>(),
    ) {
        let mut payload = codec::encode_payload(&log_entry(2)).expect("small");
        let position = position % payload.len();
        payload[position] = value;
        decode_as_everything(&payload);
    }

    #[test]
    fn any_bytes_are_frames_or_wait_for_more(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..16),
    ) {
        let mut decoder = FrameDecoder::new();
        for chunk in chunks {
            decoder.push(&chunk);
            for frame in decoder.by_ref().flatten() {
                prop_assert!(frame.len() <= FRAME_MAX);
            }
        }
    }
}
