//! Both ends of the uplink against each other, with streams that break.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use fairground_types::id::{AuctionId, CommandId, EdgeId, LogIndex, UserId};
use fairground_types::journal::{Batch, Intake, JournalEntry, PlaceBid, Stamp, Tail};
use fairground_types::money::{Currency, Money};
use fairground_types::time::Timestamp;
use fairground_types::verdict::{Accepted, Judged, Verdict};
use fairground_wire::message::{SeqVerdict, UplinkDown, UplinkUp};
use fairground_wire::session::uplink::{
    UplinkAction, UplinkError, UplinkEvent, UplinkLimits, UplinkReceiver, UplinkSender, Wanted,
};
use proptest::prelude::*;

fn edge(name: &str) -> EdgeId {
    EdgeId::new(name, 1).expect("a valid name")
}

fn journal(count: u64) -> Vec<JournalEntry> {
    let mut tail = Tail::START;
    (0..count)
        .map(|n| {
            let mut command = [0; 32];
            command[..8].copy_from_slice(&n.to_le_bytes());
            let at = Timestamp::from_unix_millis(1_000 + n);
            let entry = JournalEntry::after(
                tail,
                Stamp { earliest: at, latest: at },
                Intake::Bid(PlaceBid {
                    command: CommandId::from_bytes(command),
                    auction: AuctionId::from_bits(1),
                    bidder: UserId::from_bits(2),
                    amount: Money::new(100 + n, Currency::Eur),
                    maximum: None,
                    valid_until: at,
                }),
            );
            tail = entry.tail();
            entry
        })
        .collect()
}

fn tail(entries: &[JournalEntry]) -> Tail {
    entries.last().map_or(Tail::START, JournalEntry::tail)
}

fn read(journal: &[JournalEntry], wanted: Wanted) -> Vec<JournalEntry> {
    let from = usize::try_from(wanted.from - 1).expect("small");
    journal.iter().skip(from).take(wanted.count).cloned().collect()
}

fn small() -> UplinkLimits {
    UplinkLimits { batch_entries: 4, batch_bytes: 64 * 1024, window_entries: 8 }
}

fn opened(journal: &[JournalEntry], applied: Tail) -> UplinkSender {
    let mut sender = UplinkSender::new(edge("edge-1"), tail(journal), small());
    let welcome = UplinkDown::Welcome { applied, in_intake: true };
    sender.receive(welcome).expect("first message");
    sender
}

fn next_batch(sender: &mut UplinkSender, journal: &[JournalEntry]) -> Option<Batch> {
    let wanted = sender.wants()?;
    match sender.batch(read(journal, wanted), None).expect("in order")? {
        UplinkUp::Batch(batch) => Some(batch),
        UplinkUp::Hello { .. } => None,
    }
}

#[test]
fn nothing_is_sent_before_the_welcome() {
    let journal = journal(3);
    let mut sender = UplinkSender::new(edge("edge-1"), tail(&journal), small());
    assert_eq!(sender.wants(), None);
    assert!(!sender.is_idle(), "the welcome is owed");
    assert_eq!(sender.batch(journal, None), Err(UplinkError::OutOfPlace));
}

#[test]
fn sending_starts_after_what_is_applied_and_stops_at_the_window() {
    let journal = journal(30);
    let mut sender = opened(&journal, journal[4].tail());
    let first = next_batch(&mut sender, &journal).expect("wanted");
    let second = next_batch(&mut sender, &journal).expect("wanted");
    let seqs: Vec<u64> =
        first.entries.iter().chain(&second.entries).map(|entry| entry.seq).collect();
    assert_eq!(seqs, (6..=13).collect::<Vec<_>>());
    assert_eq!(sender.wants(), None, "eight in flight");
    assert!(!sender.is_idle(), "an answer is owed");
    let applied = UplinkDown::Applied { tail: journal[8].tail() };
    sender.receive(applied).expect("sent before");
    assert_eq!(sender.wants(), Some(Wanted { from: 14, count: 4 }));
    let applied = UplinkDown::Applied { tail: journal[12].tail() };
    sender.receive(applied).expect("sent before");
    assert!(sender.is_idle());
}

#[test]
fn a_batch_is_bounded_in_bytes_but_never_empty() {
    let journal = journal(4);
    let limits = UplinkLimits { batch_bytes: 1, ..small() };
    let mut sender = UplinkSender::new(edge("edge-1"), tail(&journal), limits);
    sender
        .receive(UplinkDown::Welcome { applied: Tail::START, in_intake: true })
        .expect("first message");
    for seq in 1..=4 {
        let batch = next_batch(&mut sender, &journal).expect("wanted");
        assert_eq!(batch.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), vec![seq]);
    }
}

#[test]
fn a_gap_is_answered_with_the_sequence_expected_and_sent_again() {
    let journal = journal(8);
    let mut sender = opened(&journal, Tail::START);
    let mut receiver = UplinkReceiver::new(edge("edge-1"));
    receiver.receive(sender.hello(1)).expect("first");
    let _ = receiver.welcome(Tail::START, true);
    next_batch(&mut sender, &journal).expect("lost on the way");
    let second = next_batch(&mut sender, &journal).expect("wanted");
    let action = receiver.receive(UplinkUp::Batch(second)).expect("in order");
    let UplinkAction::Answer(expected) = action else { panic!("{action:?}") };
    assert_eq!(sender.receive(expected), Ok(UplinkEvent::Rewound(1)));
    let again = next_batch(&mut sender, &journal).expect("wanted again");
    assert_eq!(again.entries[0].seq, 1);
    assert!(matches!(receiver.receive(UplinkUp::Batch(again)), Ok(UplinkAction::Propose(_))));
}

#[test]
fn a_member_that_speaks_of_entries_never_written_is_not_believed() {
    let journal = journal(2);
    let mut sender = opened(&journal, Tail::START);
    let beyond = SeqVerdict {
        seq: 3,
        command: CommandId::from_bytes([0; 32]),
        judged: Judged {
            index: LogIndex(1),
            at: Timestamp::EPOCH,
            verdict: Verdict::Accepted(Accepted::Done),
        },
    };
    let told = sender.receive(UplinkDown::Verdicts(vec![beyond]));
    assert_eq!(told, Err(UplinkError::NeverSent(3)));
    let tail = Tail { seq: 9, ..Tail::START };
    assert_eq!(sender.receive(UplinkDown::Applied { tail }), Err(UplinkError::NeverSent(9)));
}

#[test]
fn a_receiver_takes_only_the_edge_of_the_certificate() {
    let journal = journal(2);
    let mut receiver = UplinkReceiver::new(edge("edge-2"));
    let sender = UplinkSender::new(edge("edge-1"), tail(&journal), small());
    assert_eq!(receiver.receive(sender.hello(1)), Err(UplinkError::WrongEdge));
    let _ = receiver.welcome(Tail::START, true);
    let batch = Batch { edge: edge("edge-1"), mark: None, entries: journal };
    assert_eq!(receiver.receive(UplinkUp::Batch(batch)), Err(UplinkError::WrongEdge));
}

#[test]
fn holes_inside_a_batch_and_empty_batches_are_violations() {
    let mut entries = journal(3);
    entries.remove(1);
    let mut receiver = UplinkReceiver::new(edge("edge-1"));
    let _ = receiver.welcome(Tail::START, true);
    let batch = Batch { edge: edge("edge-1"), mark: None, entries };
    assert!(matches!(
        receiver.receive(UplinkUp::Batch(batch)),
        Err(UplinkError::OutOfOrder { expected: 2, found: 3 })
    ));
    let empty = Batch { edge: edge("edge-1"), mark: None, entries: Vec::new() };
    assert_eq!(receiver.receive(UplinkUp::Batch(empty)), Err(UplinkError::BatchSize(0)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Batches are lost at random and the stream breaks at random; in the end the member has
    /// applied the whole journal, every entry once and in order.
    #[test]
    fn the_whole_journal_arrives_in_order_whatever_breaks(
        length in 1_u64..40,
        faults in proptest::collection::vec(0_u8..6, 0..60),
    ) {
        let journal = journal(length);
        let mut applied: Vec<JournalEntry> = Vec::new();
        let mut faults = faults.into_iter();
        let mut sender = opened(&journal, Tail::START);
        let mut receiver = UplinkReceiver::new(edge("edge-1"));
        let _ = receiver.welcome(Tail::START, true);
        for _ in 0..2_000 {
            if sender.is_idle() && sender.wants().is_none() {
                break;
            }
            let fault = faults.next().unwrap_or(5);
            if fault == 0 {
                sender = opened(&journal, tail(&applied));
                receiver = UplinkReceiver::new(edge("edge-1"));
                let _ = receiver.welcome(tail(&applied), true);
            }
            let Some(batch) = next_batch(&mut sender, &journal) else {
                // The window is full of what was lost: the member says where it stands.
                let expected = receiver.rewind(tail(&applied).seq + 1);
                sender.receive(expected).expect("never beyond what was sent");
                let told = UplinkDown::Applied { tail: tail(&applied) };
                sender.receive(told).expect("sent before");
                continue;
            };
            if fault == 1 {
                continue;
            }
            match receiver.receive(UplinkUp::Batch(batch)).expect("in order") {
                UplinkAction::Propose(batch) => {
                    for entry in batch.entries {
                        if entry.follows(tail(&applied)) {
                            applied.push(entry);
                        }
                    }
                    if fault != 2 {
                        let told = UplinkDown::Applied { tail: tail(&applied) };
                        sender.receive(told).expect("sent before");
                    }
                }
                UplinkAction::Answer(answer) => {
                    sender.receive(answer).expect("never beyond what was sent");
                }
                UplinkAction::Greet { .. } => unreachable!("no hello was sent"),
            }
        }
        prop_assert_eq!(applied, journal);
    }
}
