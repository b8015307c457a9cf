//! Frames between daemons: every message of every kind of stream, and the stream itself.
//!
//! Mutations reach the decoder without the envelope, whose checksum would refuse them; then the same
//! payload goes in again as a peer would send it, in its envelope and its frame.

use std::fmt::Debug;

use fairground_types::command::{Command, Entry};
use fairground_types::event::FeedItem;
use fairground_types::journal::Batch;
use fairground_types::limits::FRAME_MAX;
use fairground_types::verdict::{Judged, Verdict};
use fairground_wire::codec::{self, Decode, Encode};
use fairground_wire::history::{HistoryRequest, HistoryResponse};
use fairground_wire::message::{
    BeatDown, BeatUp, BlobRequest, BlobResponse, ClockProbe, ClockReply, FeedDown, FeedRequest,
    ForwardRequest, ForwardResponse, JoinRequest, JoinResponse, StreamKind, UplinkDown, UplinkUp,
};
use fairground_wire::raft::{RaftReply, RaftRequest};
use fairground_wire::{FrameDecoder, Hello, Versioned, encode_frame};

use crate::{Outcome, Target};

/// Reads a payload, writes it and reads it again; then in its envelope.
pub(super) fn payload<T>(input: &[u8]) -> Outcome
where
    T: Versioned + Encode + Decode + PartialEq + Debug,
{
    // As it comes from a peer: most often refused, and never more than that.
    let _ = codec::from_bytes::<T>(input);
    let Ok(value) = codec::decode_payload::<T>(input) else { return Outcome::Refused };
    let bytes = codec::to_bytes(&value).expect("what was read is small");
    assert!(bytes.len() <= FRAME_MAX, "{} bytes of one frame", bytes.len());
    assert_eq!(codec::from_bytes::<T>(&bytes).expect("our own bytes"), value);
    assert_eq!(codec::encoded_len(&value).expect("what was read is small"), bytes.len());
    let frame = codec::to_frame(&value).expect("what was read is small");
    let mut frames = FrameDecoder::new();
    frames.push(&frame);
    assert_eq!(frames.next(), Some(Ok(bytes)));
    assert!(frames.is_at_boundary() && frames.next().is_none());
    Outcome::Read
}

/// A stream in pieces gives the same frames as in one piece, and never holds more than was pushed.
fn frames(input: &[u8]) -> Outcome {
    let Some((step, stream)) = input.split_first() else { return Outcome::Refused };
    let mut whole = FrameDecoder::new();
    whole.push(stream);
    let at_once: Vec<_> = whole.by_ref().collect();
    let (mut pieces, mut later) = (FrameDecoder::new(), Vec::new());
    for piece in stream.chunks(usize::from(*step).max(1)) {
        pieces.push(piece);
        later.extend(pieces.by_ref());
    }
    assert_eq!(at_once, later);
    assert_eq!(whole.is_at_boundary(), pieces.is_at_boundary());
    let mut again = Vec::new();
    for frame in at_once.iter().flatten() {
        again.extend_from_slice(&encode_frame(frame).expect("it was one"));
    }
    assert_eq!(stream.get(..again.len()), Some(again.as_slice()), "frames are what was sent");
    if at_once.iter().any(Result::is_ok) { Outcome::Read } else { Outcome::Refused }
}

fn stream_kind(input: &[u8]) -> Outcome {
    let Some(kind) = input.first().and_then(|byte| StreamKind::from_byte(*byte)) else {
        return Outcome::Refused;
    };
    assert_eq!(Some(&kind.to_byte()), input.first());
    Outcome::Read
}

macro_rules! payloads {
    ($($name:literal: $type:ty, $golden:expr;)*) => {
        &[$(Target { name: $name, run: payload::<$type>, golden: &$golden }),*]
    };
}

const PAYLOADS: &[Target] = payloads! {
    "uplink_up": UplinkUp, ["uplink_up_"];
    "uplink_down": UplinkDown, ["uplink_down_"];
    "feed_request": FeedRequest, ["feed_request"];
    "feed_down": FeedDown, ["feed_down_"];
    "feed_item": FeedItem, ["feed_item_"];
    "beat_up": BeatUp, ["beat_up"];
    "beat_down": BeatDown, ["beat_down"];
    "forward_request": ForwardRequest, ["forward_request_"];
    "forward_response": ForwardResponse, ["forward_response_"];
    "blob_request": BlobRequest, ["blob_request_"];
    "blob_response": BlobResponse, ["blob_response_"];
    "join_request": JoinRequest, ["join_request_"];
    "join_response": JoinResponse, ["join_response_"];
    "clock_probe": ClockProbe, ["clock_probe"];
    "clock_reply": ClockReply, ["clock_reply"];
    "raft_request": RaftRequest, ["raft_request_"];
    "raft_reply": RaftReply, ["raft_reply_"];
    "history_request": HistoryRequest, ["history_request_"];
    "history_response": HistoryResponse, ["history_response_"];
    "hello": Hello, ["hello"];
    "batch": Batch, ["batch"];
    "command": Command, ["command_a", "command_c", "command_p", "command_s"];
    "entry": Entry, ["entry_"];
    "verdict": Verdict, ["verdict_"];
    "judged": Judged, ["judged_"];
};

const STREAM: [Target; 2] = [
    Target { name: "frames", run: frames, golden: &[] },
    Target { name: "stream_kind", run: stream_kind, golden: &[] },
];

pub(super) const TARGETS: &[Target] = &join(PAYLOADS);

const fn join(payloads: &[Target]) -> [Target; PAYLOADS.len() + STREAM.len()] {
    let mut all = [STREAM[0]; PAYLOADS.len() + STREAM.len()];
    let mut place = 0;
    while place < payloads.len() {
        all[place] = payloads[place];
        place += 1;
    }
    all[place] = STREAM[0];
    all[place + 1] = STREAM[1];
    all
}
