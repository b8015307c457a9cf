//! What the view alone answers, and that one command is one bid under way.

use fairground_runtime::clock::Clock;
use fairground_runtime::secret::SigningPair;
use fairground_runtime::shutdown::Shutdown;
use fairground_storage::KeyFile;
use fairground_types::command::AuctionPolicy;
use fairground_types::event::{CloseMove, CloseReason, PublicBid};
use fairground_types::journal::{Eligibility, PlaceBid, SubmitOffer};
use fairground_types::{ClusterId, Currency, EdgeId, Money, StoryId};

use super::*;

const AUCTION: AuctionId = AuctionId::from_bits(1);
const MAKER: UserId = UserId::from_bits(9);

fn euro(minor: u64) -> Money {
    Money::new(minor, Currency::Eur)
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn command(seed: u8) -> CommandId {
    CommandId::from_bytes([seed; 32])
}

fn public(seed: u8, amount: u64) -> PublicBid {
    let command = command(seed);
    PublicBid {
        bid_id: BidId::of(&command),
        command,
        bidder: 1,
        amount: euro(amount),
        received_at: at(4),
        at: at(5),
        delayed: false,
    }
}

fn bid(seed: u8, amount: u64) -> Intake {
    Intake::Bid(PlaceBid {
        command: command(seed),
        auction: AUCTION,
        bidder: UserId::from_bits(2),
        amount: euro(amount),
        maximum: None,
        valid_until: at(1_000_000),
    })
}

fn item(index: u64, events: Vec<PublicEvent>) -> FeedItem {
    FeedItem { index: LogIndex(index), at: at(index), events }
}

fn opened() -> FeedItem {
    item(
        3,
        vec![PublicEvent::AuctionOpened {
            auction: AUCTION,
            story: StoryId::from_bits(4),
            seq: 1,
            maker: MAKER,
            policy: AuctionPolicy::FIXED_72,
            closes_at: at(100),
            closes_by: at(1_000),
            opening: public(1, 10_000),
            min_next: euro(10_500),
        }],
    )
}

fn placed() -> FeedItem {
    let bid = public(2, 11_000);
    let cause = Some(bid.bid_id);
    item(
        5,
        vec![
            PublicEvent::BidPlaced { auction: AUCTION, bid, min_next: euro(11_500) },
            PublicEvent::CloseExtended {
                auction: AUCTION,
                closes_at: at(200),
                closes_by: at(1_000),
                by: CloseMove::Bid,
                cause,
                final_window: false,
            },
        ],
    )
}

fn view() -> PublicView {
    let mut view = PublicView::default();
    view.fold(&opened());
    view.fold(&placed());
    view
}

fn code(answer: Option<Answer>) -> Option<Code> {
    match answer {
        Some(Answer::Refused { rejection, .. }) => Some(rejection.code),
        _ => None,
    }
}

#[test]
fn a_retry_of_a_placed_bid_gets_the_first_verdict_from_the_view() {
    let Some(Answer::Judged { judged, receipt: None }) = first_look(&view(), &bid(2, 11_000))
    else {
        panic!("not answered");
    };
    assert_eq!(judged.index, LogIndex(5));
    let Verdict::Accepted(Accepted::BidPlaced { closes_at, min_next, .. }) = judged.verdict else {
        panic!("not accepted");
    };
    assert_eq!((closes_at, min_next), (at(200), euro(11_500)), "its own extension included");
    assert_eq!(code(first_look(&view(), &bid(2, 12_000))), Some(Code::IdempotencyKeyReused));
    let offer = Intake::Offer(SubmitOffer {
        command: command(1),
        offer: offer_of(&command(1)),
        auction: AUCTION,
        story: StoryId::from_bits(4),
        buyer: UserId::from_bits(2),
        amount: euro(10_000),
        note: None,
        ship_to: None,
        eligibility: Eligibility::Allowed,
        bid_if_open: false,
        valid_until: at(1_000_000),
    });
    let Some(Answer::Judged { judged, .. }) = first_look(&view(), &offer) else {
        panic!("not answered");
    };
    assert!(matches!(judged.verdict, Verdict::Accepted(Accepted::AuctionOpened { .. })));
}

#[test]
fn only_lasting_facts_are_refused_here() {
    let mut view = view();
    assert_eq!(first_look(&view, &bid(3, 11_500)), None);
    assert_eq!(code(first_look(&view, &bid(3, 11_499))), Some(Code::BidTooLow));
    let reason = CloseReason::Cancelled;
    view.fold(&item(9, vec![PublicEvent::AuctionClosed { auction: AUCTION, reason }]));
    assert_eq!(code(first_look(&view, &bid(3, 99_999))), Some(Code::AuctionClosed));
    assert!(first_look(&view, &bid(2, 11_000)).is_some(), "what was placed stays placed");
    assert_eq!(
        first_look(&PublicView::default(), &bid(3, 1)),
        None,
        "an unknown auction may exist"
    );
}

fn desk(dir: &std::path::Path) -> Arc<IntakeDesk> {
    let journal = Journal::open(dir, &KeyFile::from_bytes([7; 32])).expect("opened");
    let pair = SigningPair::generate().expect("made");
    let edge = EdgeId::new("eu-1", 1).expect("valid");
    let receipts =
        ReceiptDesk::new(ClusterId::from_bits(5), edge, pair.expose_pkcs8()).expect("key");
    IntakeDesk::open(DeskParts {
        journal: Arc::new(journal),
        takes_bids: true,
        receipts,
        time: Arc::new(CoordinatorTime::new(Clock::system(), None)),
        view: Arc::new(Followed::new(PublicView::default())),
        tasks: Tasks::new(Shutdown::new()),
    })
    .expect("opened")
}

fn stamp(earliest: u64) -> fairground_types::journal::Stamp {
    fairground_types::journal::Stamp { earliest: at(earliest), latest: at(earliest + 5) }
}

fn accepted(index: u64) -> Judged {
    let verdict = Verdict::Accepted(Accepted::Done);
    Judged { index: LogIndex(index), at: at(index), verdict }
}

#[tokio::test]
async fn a_journalled_bid_waits_again_after_a_restart_and_is_answered_once_judged() {
    let dir = tempfile::TempDir::new().expect("folder");
    {
        let desk = desk(dir.path());
        let synced = desk.journal.append(stamp(10), bid(3, 500)).await.expect("appended");
        assert_eq!(synced.entry.seq, 1);
    }
    let desk = desk(dir.path());
    let id = BidId::of(&command(3));
    let known = desk.known(id).expect("known");
    assert!(known.judged.is_none() && known.receipt.is_some());
    // Not ready for bids, and yet this one is known: it is answered, not declined.
    let received = desk.take(bid(3, 500), Duration::ZERO).await;
    assert!(matches!(received, Answer::Received { receipt: Some(_) }));
    assert_eq!(
        code(Some(desk.take(bid(3, 501), Duration::ZERO).await)),
        Some(Code::IdempotencyKeyReused)
    );
    let declined = desk.take(bid(4, 500), Duration::ZERO).await;
    assert!(matches!(declined, Answer::Declined { reason: NotReady::StaleView }));

    let verdict = SeqVerdict { seq: 1, command: command(3), judged: accepted(8) };
    let waiting = desk.take(bid(3, 500), Duration::from_secs(60));
    let judging = async {
        desk.wake_judged(std::slice::from_ref(&verdict));
        desk.judge(vec![verdict.clone()]).await.expect("stored");
    };
    let (answer, ()) = tokio::join!(waiting, judging);
    assert!(matches!(answer, Answer::Judged { judged, .. } if judged.index == LogIndex(8)));
    assert!(!desk.journal.is_open(1));
    assert_eq!(desk.known(id).and_then(|known| known.judged), Some(accepted(8)));
}

#[tokio::test]
async fn an_edge_takes_no_bid_before_its_journal_was_compared() {
    let dir = tempfile::TempDir::new().expect("folder");
    let desk = desk(dir.path());
    desk.view.heard(desk.time.monotonic());
    assert_eq!(desk.readiness(), Err(NotReady::Unchecked));
    desk.is_checked.store(true, Ordering::Release);
    assert!(matches!(desk.readiness(), Err(NotReady::Clock(_))));
}

#[tokio::test]
async fn a_bid_on_its_way_to_the_disk_is_not_settled() {
    let dir = tempfile::TempDir::new().expect("folder");
    let desk = desk(dir.path());
    assert!(desk.is_settled());
    let pending = Arc::new(Pending::new(&bid(3, 500), LogIndex(0), Progress::default()));
    desk.lock().by_command.insert(command(3), Arc::clone(&pending));
    assert!(!desk.is_settled());
    pending.progress.send_modify(|progress| progress.is_synced = true);
    assert!(desk.is_settled());
}

#[tokio::test]
async fn the_feed_wakes_who_waits_for_a_copy_that_was_judged_elsewhere() {
    let dir = tempfile::TempDir::new().expect("folder");
    {
        let journal = Arc::clone(&desk(dir.path()).journal);
        journal.append(stamp(10), bid(2, 11_000)).await.expect("appended");
    }
    let desk = desk(dir.path());
    let view = Followed::new(PublicView::default());
    view.fold(opened(), Millis::new(1));
    let waiting = desk.take(bid(2, 11_000), Duration::from_secs(60));
    let observing = async {
        let item = view.fold(placed(), Millis::new(2));
        desk.observe(&item, &view);
    };
    let (answer, ()) = tokio::join!(waiting, observing);
    assert!(matches!(answer, Answer::Judged { judged, .. } if judged.index == LogIndex(5)));
}

#[tokio::test]
async fn a_verdict_that_is_quicker_than_the_signature_is_answered_with_its_receipt() {
    let dir = tempfile::TempDir::new().expect("folder");
    let desk = desk(dir.path());
    let pending = Arc::new(Pending::new(&bid(3, 500), LogIndex(0), Progress::default()));
    desk.lock().by_command.insert(command(3), Arc::clone(&pending));
    let synced = desk.journal.append(stamp(10), bid(3, 500)).await;
    desk.wake(&command(3), || accepted(8));
    let signing = async {
        tokio::task::yield_now().await;
        desk.synced(&pending, command(3), synced);
    };
    let (answer, ()) = tokio::join!(desk.wait_for(&pending, Duration::from_secs(60)), signing);
    assert!(matches!(answer, Answer::Judged { receipt: Some(_), .. }));
}
