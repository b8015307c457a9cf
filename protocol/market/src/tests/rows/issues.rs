//! Issues as their buyer, their maker and staff see them, and what an outage does to their windows.

use fairground_types::command::{
    Actor, Command, Decision, Evidence, IssueCommand, IssueKind, OpenIssue, Party, SealedText,
};
use fairground_types::{AssetId, BlobHash, Code, Digest, IssueId, Millis, OrderId, limits};

use super::{goes_on, plays, user};
use crate::script::World;
use crate::{IssueRow, IssueStep, OfferKind, OrderRole, Resolution};

/// Two delivered pieces: A of `m` with buyer `a`, B of `m` with buyer `b`; `e` is of support.
const DELIVERED: &str = "policy initial 1h, window 0s
    11:30:00  duty e support             -> done
    12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
    12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
    12:00:02  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
    12:00:03  offer S2 b EUR 100.00 opens B -> opened B; B closes 13:00:03
    12:00:04  accept B m EUR 100.00      -> done; B locked to b at 100.00 (MakerAccepted)
    12:00:05  paid B EUR 100.00 ev_2     -> done; B closed (Sold); S2 sold
    14:00:00  ship A m BOAT-1            -> done
    14:00:01  ship B m BOAT-2            -> done
    15:00:00  confirm A a                -> done
    15:00:01  confirm B b                -> done
";

fn delivered(rest: &str) -> World {
    plays(&format!("{DELIVERED}{rest}"))
}

fn row(world: &World, number: u128, reader: &str) -> Option<IssueRow> {
    world.market.issue_row(IssueId::from_bits(number), user(reader))
}

fn staff_row(world: &World, number: u128) -> IssueRow {
    world.market.issue_for_staff(IssueId::from_bits(number)).expect("known")
}

fn gives(world: &mut World, letter: &str, command: IssueCommand) -> Option<Code> {
    let at = world.market.last_at();
    world.direct(at, Actor::User(user(letter)), Command::Issue(command)).code()
}

#[test]
fn an_issue_is_its_parties_and_staffs_and_says_who_did_what() {
    let mut world = delivered(
        "15:10:00  issue A a #1 damaged 2    -> done
        15:11:00  assign #1 cluster e        -> done
        15:12:00  ask #1 e maker             -> done
        15:13:00  answer #1 m                -> done
        15:14:00  evidence #1 m 1            -> done",
    );
    let clip = |asset| Evidence::Clip(AssetId::from_bits(asset));
    let show =
        |shown| IssueCommand::AddEvidence { issue: IssueId::from_bits(1), evidence: vec![shown] };
    assert_eq!(gives(&mut world, "m", show(clip(1))), None, "a clip of the maker's own");
    assert_eq!(gives(&mut world, "a", show(clip(1))), Some(Code::ValidationFailed), "not theirs");
    assert_eq!(gives(&mut world, "a", show(clip(99))), Some(Code::ValidationFailed));
    let (a, m) = (row(&world, 1, "a").expect("theirs"), row(&world, 1, "m").expect("theirs"));
    assert_eq!((a.role, m.role), (OrderRole::Buyer, OrderRole::Maker));
    assert_eq!((row(&world, 1, "b"), row(&world, 2, "a")), (None, None));
    assert_eq!((a.assignee, staff_row(&world, 1).assignee), (None, Some(user("e"))));
    assert_eq!((a.kind, a.state, a.appealed), (IssueKind::Damaged, "underReview", false));
    assert_eq!(a.description.sealed.as_ref().map(|(who, _)| *who), Some(user("a")), "whose key");
    let shown: Vec<(Party, bool)> =
        a.evidence.iter().map(|shown| (shown.party, shown.asset_id.is_some())).collect();
    assert_eq!(
        shown,
        [(Party::Buyer, false), (Party::Buyer, false), (Party::Maker, false), (Party::Maker, true)]
    );
    assert!(a.evidence.iter().all(|shown| shown.image.is_some() != shown.asset_id.is_some()));
    assert_eq!(world.market.evidence_images().count(), 3, "a clip is no picture");
    assert_eq!(world.market.issue(IssueId::from_bits(1)).expect("known").evidence.len(), 4);
    let steps: Vec<(IssueStep, Option<OrderRole>)> =
        a.timeline.iter().map(|entry| (entry.step, entry.by)).collect();
    assert_eq!(
        steps,
        [
            (IssueStep::Opened, Some(OrderRole::Buyer)),
            (IssueStep::Assigned, Some(OrderRole::Staff)),
            (IssueStep::Asked, Some(OrderRole::Staff)),
            (IssueStep::Answered, Some(OrderRole::Maker)),
            (IssueStep::EvidenceAdded, Some(OrderRole::Maker)),
            (IssueStep::EvidenceAdded, Some(OrderRole::Maker)),
        ]
    );
    let answer = &a.timeline[3].text.sealed;
    assert_eq!(answer.as_ref().map(|(who, _)| *who), Some(user("m")));
    assert!(
        a.timeline[1].note.is_some() && a.timeline.iter().all(|entry| entry.text.text.is_none())
    );
    assert_eq!(a.timeline, m.timeline);
}

#[test]
fn an_offer_of_the_maker_is_shown_until_it_is_answered() {
    let offers = [
        ("full", OfferKind::FullRefund, None),
        ("40", OfferKind::PartialRefund, Some(40)),
        ("replacement", OfferKind::Replacement, None),
    ];
    for (word, kind, percent) in offers {
        let world = delivered(&format!(
            "15:10:00  issue A a #1 damaged      -> done
            15:11:00  suggest #1 m {word}        -> done"
        ));
        let shown = row(&world, 1, "a").expect("theirs");
        assert_eq!((shown.state, shown.asked), ("awaitingResponse", Some(Party::Buyer)));
        assert_eq!((shown.offer, shown.offer_percent), (Some(kind), percent));
        assert_eq!(shown.resolution, None);
    }
    let taken = delivered(
        "15:10:00  issue A a #1 damaged      -> done
        15:11:00  suggest #1 m 40            -> done
        15:12:00  take #1 a                  -> done",
    );
    let settled = row(&taken, 1, "m").expect("theirs");
    assert_eq!((settled.state, settled.offer, settled.asked), ("resolved", None, None));
    assert_eq!(settled.resolution, Some(Resolution::PartialRefund));
    assert_eq!((settled.refund_minor, settled.awaits_approval), (Some(4_000), false));
    let appeal_until = settled.appeal_until.expect("settled");
    assert!(appeal_until > taken.market.last_at());
}

#[test]
fn staff_sees_open_issues_and_which_of_them_went_up() {
    let mut world = delivered(
        "15:10:00  issue A a #1 damaged      -> done
        15:20:00  assign #1 cluster e        -> done
        15:21:00  ask #1 e maker             -> done
        16:00:00  issue B b #2 damaged       -> done
        1d16:00:01 tick                      ->",
    );
    let open = |world: &World| -> Vec<(u128, &'static str)> {
        world.market.open_issues().iter().map(|row| (row.issue_id.to_bits(), row.state)).collect()
    };
    assert_eq!(open(&world), [(1, "awaitingResponse"), (2, "escalated")]);
    assert!(world.market.open_issues().iter().all(|row| row.role == OrderRole::Staff));
    let up = staff_row(&world, 2);
    let last = up.timeline.last().expect("an entry");
    assert_eq!((last.step, last.by), (IssueStep::Escalated, None), "time did it");
    goes_on(
        &mut world,
        "1d16:01:00 answer #1 m              -> done
        1d16:02:00 decide #1 e nothing       -> done
        1d16:03:00 decide #2 cluster nothing -> done",
    );
    assert_eq!(open(&world), []);
    assert_eq!(staff_row(&world, 1).state, "resolved", "staff finds it by its id still");
    assert_eq!(world.market.issue_for_staff(IssueId::from_bits(9)), None);
}

#[test]
fn a_decision_that_waits_for_a_second_person_is_shown_as_such() {
    let world = plays(
        "policy initial 1h, window 0s
        11:30:00  duty e support             -> done
        12:00:00  offer S1 a EUR 600.00      -> opened A; A closes 13:00:00
        12:00:01  accept A m EUR 600.00      -> done; A locked to a at 600.00 (MakerAccepted)
        12:00:02  paid A EUR 600.00 ev_1     -> done; A closed (Sold); S1 sold
        14:00:00  ship A m BOAT-1            -> done
        15:00:00  confirm A a                -> done
        15:10:00  issue A a #1 damaged       -> done
        15:11:00  assign #1 e                -> done
        15:12:00  decide #1 e full           -> proposed",
    );
    let shown = staff_row(&world, 1);
    assert!(shown.awaits_approval && shown.state == "underReview");
    let proposed = shown.timeline.last().expect("an entry");
    assert_eq!((proposed.step, proposed.by), (IssueStep::Proposed, Some(OrderRole::Staff)));
    let kept = world.market.issue(IssueId::from_bits(1)).expect("known").proposal;
    assert_eq!(kept, Some((Decision::FullRefund, Some(user("e")))));
}

#[test]
fn a_buyer_is_told_which_complaints_are_possible_and_until_when() {
    let mut world = delivered("");
    let asks = |world: &World, reader: &str| {
        world.market.issue_eligibility(OrderId::from_bits(65), user(reader))
    };
    let now = asks(&world, "a").expect("theirs");
    assert!(now.eligible && now.kinds.contains(&IssueKind::Damaged) && now.code.is_none());
    assert_eq!(
        now.until,
        world.market.order_row(now.order_id, user("a")).expect("theirs").issue_until
    );
    assert_eq!((asks(&world, "m"), asks(&world, "b")), (None, None), "the buyer's alone");
    goes_on(&mut world, "15:10:00 issue A a #1 damaged -> done");
    let open = asks(&world, "a").expect("theirs");
    assert_eq!((open.eligible, open.code), (false, Some(Code::DuplicateIssue)));
}

#[test]
fn an_issue_opened_with_a_clip_needs_the_buyers_own() {
    let mut world = delivered("");
    let open = |asset| {
        let text =
            SealedText { key: vec![1; 60], body: vec![2; 40], mark: Digest::of(b"t"), chars: 60 };
        IssueCommand::OpenIssue(OpenIssue {
            issue: IssueId::from_bits(1),
            order: OrderId::from_bits(65),
            kind: IssueKind::Damaged,
            description: text,
            evidence: vec![
                Evidence::Clip(AssetId::from_bits(asset)),
                Evidence::Image(BlobHash::of(b"i")),
            ],
        })
    };
    assert_eq!(gives(&mut world, "a", open(1)), Some(Code::ValidationFailed), "the maker's clip");
    assert_eq!(row(&world, 1, "a"), None);
}

#[test]
fn an_outage_moves_every_window_of_an_open_issue_by_as_long_as_it_was() {
    let opened = "15:10:00  issue A a #1 damaged      -> done
        15:11:00  issue B b #2 damaged       -> done
        15:12:00  suggest #2 m 40            -> done
        ";
    let calm = delivered(opened);
    // The first window ends a day later; nobody could do anything for the six hours after it.
    let late = delivered(&format!("{opened}1d21:10:00 tick outage ->"));
    let gap = Millis::from_hours(6).plus(limits::OUTAGE_EXTENSION);
    for number in [1, 2] {
        let (before, after) = (staff_row(&calm, number), staff_row(&late, number));
        assert_eq!(after.state, before.state, "nothing went up");
        assert_eq!(after.due_at, before.due_at.map(|due| due.plus(gap)));
        assert_eq!(after.maker_by, before.maker_by.plus(gap));
    }
    assert_eq!(late.market.violations(), Vec::<String>::new());
    // One that is settled keeps its appeal; a replacement that is owed is owed later.
    let agreed = "15:09:00  confirm B b               -> done
        15:10:00  issue A a #1 damaged       -> done
        15:11:00  suggest #1 m replacement   -> done
        15:12:00  take #1 a                  -> done
        ";
    let (calm, late) =
        (delivered(agreed), delivered(&format!("{agreed}7d21:12:00 tick outage ->")));
    let (before, after) = (staff_row(&calm, 1), staff_row(&late, 1));
    assert_eq!((after.state, after.due_at), ("resolved", before.due_at.map(|due| due.plus(gap))));
    assert_eq!(after.appeal_until, before.appeal_until.map(|until| until.plus(gap)));
    assert_eq!(late.market.violations(), Vec::<String>::new());
}

#[test]
fn a_settled_issue_leaves_with_its_sale_and_is_shown_to_the_same_people() {
    let world = delivered(
        "15:10:00   issue A a #1 damaged 2   -> done
        15:11:00   assign #1 cluster e       -> done
        15:12:00   decide #1 e nothing       -> done
        15:13:00   account m                 -> done
        15:13:01   made m                    -> done
        15:13:02   ready m                   -> done
        9d00:00:00 tick                      ->
        9d00:00:01 sent A                    -> done
        9d00:00:02 sent B                    -> done
        120d00:00:00 archive 1               -> done; A archived and its story",
    );
    let sale = world.applied.iter().flat_map(|applied| &applied.archived).next().expect("it left");
    let id = IssueId::from_bits(1);
    assert_eq!(sale.issues().collect::<Vec<_>>(), [id]);
    assert_eq!(sale.images().count(), 2, "its pictures are kept with the record");
    let roots = world.market.blob_roots();
    assert!(sale.images().all(|image| !roots.blobs.contains(&image)), "and by nothing else");
    let (a, m) = (sale.issue_row(id, user("a")), sale.issue_row(id, user("m")));
    assert_eq!(
        (a.expect("theirs").role, m.expect("theirs").role),
        (OrderRole::Buyer, OrderRole::Maker)
    );
    assert_eq!(
        (sale.issue_row(id, user("b")), sale.issue_row(IssueId::from_bits(2), user("a"))),
        (None, None)
    );
    assert_eq!(world.market.issue(id), None);
    assert_eq!(sale.auction_audit().auction_id, sale.auction().id());
    assert_eq!((sale.offers().count(), sale.order_row(user("b"))), (1, None));
    assert_eq!(world.market.violations(), Vec::<String>::new());
}
