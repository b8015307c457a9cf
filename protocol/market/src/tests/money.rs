//! Money behind a sale: tables of every transition and refusal, and the laws of the books.

use std::collections::BTreeMap;

use fairground_types::command::{Actor, Command, PaymentCommand, StartCheckout};
use fairground_types::{Code, Currency, Money, Timestamp};
use proptest::prelude::*;

use crate::effect::NoticeKind;
use crate::script::{World, order_of, person};
use crate::{Effect, LedgerAccount, LockState, Market};

/// A piece sold to `a` for 100.00, with `f` of finance, `g` of finance and `h` of support.
const SOLD: &str = "policy initial 1h, window 0s
    11:30:00  duty f finance             -> done
    11:30:01  duty g finance             -> done
    11:30:02  duty h support             -> done
    12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
    12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
    12:00:02  checkout A a               -> attempt 1
    12:00:03  opened A                   -> done
    12:00:04  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
    12:00:05  read A EUR 3.20            -> done
";
/// The maker has an account, and the buyer is content.
const COMPLETED: &str = "    12:30:00  account m                  -> done
    12:30:01  made m                     -> done
    12:30:02  ready m                    -> done
    12:30:03  ship A m TRACK-0001        -> done
    12:30:04  confirm A a                -> done
    12:30:05  confirm A a                -> done
";

fn play(table: &str) -> World {
    World::play(table).unwrap_or_else(|why| panic!("{why}"))
}

fn sold(rest: &str) -> World {
    play(&format!("{SOLD}{rest}"))
}

fn completed(rest: &str) -> World {
    play(&format!("{SOLD}{COMPLETED}{rest}"))
}

/// Balances of the books by account, ids left out: debits are positive.
fn books(market: &Market) -> BTreeMap<String, i128> {
    let mut sums = BTreeMap::new();
    for (account, _, balance) in market.ledger_balances() {
        let name = account.to_string();
        let name = name.split(':').next().unwrap_or_default().to_owned();
        *sums.entry(name).or_insert(0) += balance;
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn says(world: &World, expected: &[(&str, i128)]) {
    let expected: BTreeMap<String, i128> =
        expected.iter().map(|(name, sum)| ((*name).to_owned(), *sum)).collect();
    assert_eq!(books(&world.market), expected);
    assert!(world.market.ledger_totals().values().all(|sum| *sum == 0));
}

fn waiting(world: &World, is_meant: fn(&Effect) -> bool) -> usize {
    world.market.outbox().filter(|pending| is_meant(&pending.effect)).count()
}

#[test]
fn a_payment_is_held_until_completion_and_the_fee_of_the_provider_comes_from_its_books() {
    let world = sold("");
    says(&world, &[("stripe.pending", 9_680), ("cost.stripe", 320), ("held", -10_000)]);
    let world = sold("    13:30:00 tick ->");
    says(&world, &[("stripe.available", 9_680), ("cost.stripe", 320), ("held", -10_000)]);
}

#[test]
fn a_completed_order_is_paid_out_once() {
    let world = completed(
        "    12:30:06  sent A                   -> done
        12:30:07  sent A                   -> done
        12:30:08  retry A f                -> INVALID_STATE
        13:30:00  tick                     ->",
    );
    says(&world, &[("stripe.available", 180), ("cost.stripe", 320), ("fee.platform", -500)]);
    assert_eq!(world.notices(NoticeKind::PayoutReleased).len(), 1);
}

#[test]
fn a_share_waits_for_the_makers_account_and_the_maker_is_reminded() {
    let world = sold(
        "    12:30:00  ship A m TRACK-0001        -> done
        12:30:01  confirm A a                -> done
        12:30:02  confirm A a                -> done
        1d12:30:03 tick                      ->",
    );
    assert_eq!(waiting(&world, |effect| matches!(effect, Effect::CreateTransfer(_))), 0);
    assert_eq!(world.notices(NoticeKind::PayoutAccountNeeded).len(), 1);
    let world = sold(
        "    12:30:00  ship A m TRACK-0001        -> done
        12:30:01  confirm A a                -> done
        12:30:02  confirm A a                -> done
        12:31:00  account m                  -> done
        12:31:01  account m                  -> done
        12:31:02  account a                  -> FORBIDDEN
        12:31:03  made m                     -> done
        12:31:04  ready m                    -> done",
    );
    assert_eq!(waiting(&world, |effect| matches!(effect, Effect::CreateTransfer(_))), 1);
}

#[test]
fn holds_keep_a_share_back_and_finance_lets_it_go() {
    let world = sold(
        "    12:10:00  hold A a                   -> FORBIDDEN
        12:10:01  hold A h                   -> FORBIDDEN
        12:10:02  hold A f                   -> done
        12:10:03  warn A                     -> done
        12:30:00  account m                  -> done
        12:30:01  made m                     -> done
        12:30:02  ready m                    -> done
        12:30:03  ship A m TRACK-0001        -> done
        12:30:04  confirm A a                -> done
        12:30:05  confirm A a                -> done
        12:30:06  unhold A f                 -> done
        12:30:07  unhold A f                 -> INVALID_STATE",
    );
    assert_eq!(waiting(&world, |effect| matches!(effect, Effect::CreateTransfer(_))), 1);
}

#[test]
fn a_failed_transfer_is_a_dead_letter_until_it_is_made_anew() {
    let world = completed(
        "    12:30:06  unsent A                  -> done
        12:30:07  replay a                  -> FORBIDDEN
        12:30:08  replay f                  -> done
        12:30:09  replay f                  -> NOT_FOUND
        12:30:10  unsent A                  -> done
        12:30:11  retry A f                 -> done
        12:30:12  sent A                    -> done",
    );
    assert_eq!(world.market.dead_letters().count(), 0);
    says(
        &world,
        &[
            ("stripe.pending", 9_680),
            ("stripe.available", -9_500),
            ("cost.stripe", 320),
            ("fee.platform", -500),
        ],
    );
}

#[test]
fn a_partial_refund_gives_the_fee_back_pro_rata() {
    let world = sold(
        "    12:10:00  propose A a EUR 20.00      -> FORBIDDEN
        12:10:01  propose A f USD 20.00      -> CURRENCY_MISMATCH
        12:10:02  propose A f EUR 0.00       -> AMOUNT_OUT_OF_RANGE
        12:10:03  propose A f EUR 100.01     -> AMOUNT_OUT_OF_RANGE
        12:10:04  propose B f EUR 1.00       -> NOT_FOUND
        12:10:05  propose A f EUR 20.00      -> done
        12:10:06  refunded A pending         -> done
        12:10:07  told-refund A EUR 20.00 succeeded -> done
        12:10:08  told-refund A EUR 20.00 pending   -> done
        12:10:09  propose A f EUR 80.01      -> AMOUNT_OUT_OF_RANGE",
    );
    let charge = world.market.charge(order_of("A").expect("an order")).expect("a charge");
    assert_eq!((charge.refunded.minor(), charge.fee_returned.minor()), (2_000, 100));
    says(
        &world,
        &[
            ("stripe.pending", 9_680),
            ("stripe.available", -2_000),
            ("cost.stripe", 320),
            ("held", -8_000),
        ],
    );
}

#[test]
fn a_full_refund_after_completion_returns_the_fee_and_claws_the_share_back() {
    let world = completed(
        "    12:30:06  sent A                    -> done
        12:40:00  propose A f EUR 100.00     -> done
        12:40:01  refunded A succeeded       -> done
        12:40:02  reversed A EUR 60.00       -> done
        12:40:03  refunded A succeeded       -> done",
    );
    // 60.00 of 95.00 came back; the rest is the maker's debt.
    says(
        &world,
        &[
            ("stripe.pending", 9_680),
            ("stripe.available", -13_500),
            ("cost.stripe", 320),
            ("maker.debt", 3_500),
        ],
    );
    assert_eq!(world.notices(NoticeKind::RefundCompleted).len(), 2);
}

#[test]
fn a_refund_before_the_share_has_left_takes_it_from_what_waits() {
    let world = completed(
        "    12:30:06  unsent A                  -> done
        12:40:00  propose A f EUR 20.00      -> done
        12:40:01  refunded A succeeded       -> done
        12:40:02  retry A f                  -> done
        12:40:03  sent A                     -> done",
    );
    says(
        &world,
        &[
            ("stripe.pending", 9_680),
            ("stripe.available", -9_600),
            ("cost.stripe", 320),
            ("fee.platform", -400),
        ],
    );
}

#[test]
fn support_proposes_and_finance_approves() {
    let world = sold(
        "    12:10:00  propose A h EUR 20.00      -> done
        12:10:01  approve A h                -> FORBIDDEN
        12:10:02  approve A f                -> done
        12:10:03  approve A f                -> INVALID_STATE
        12:10:04  propose A h EUR 10.00      -> done
        12:10:05  reject A g                 -> done
        12:10:06  again A g                  -> INVALID_STATE",
    );
    assert_eq!(waiting(&world, |effect| matches!(effect, Effect::CreateRefund(_))), 1);
}

#[test]
fn a_large_refund_needs_a_second_person() {
    play(
        "policy initial 1h, window 0s
        11:30:00  duty f finance             -> done
        11:30:01  duty g finance             -> done
        12:00:00  offer S1 a EUR 900.00      -> opened A; A closes 13:00:00
        12:00:01  accept A m EUR 900.00      -> done; A locked to a at 900.00 (MakerAccepted)
        12:00:04  paid A EUR 900.00 ev_1     -> done; A closed (Sold); S1 sold
        12:10:00  propose A f EUR 500.01     -> done
        12:10:01  approve A f                -> SECOND_APPROVER_REQUIRED
        12:10:02  propose A f EUR 400.00     -> AMOUNT_OUT_OF_RANGE
        12:10:03  approve A g                -> done
        12:10:04  refunded A succeeded       -> done
        12:10:05  propose A f EUR 399.99     -> done
        12:10:06  refunded A pending         -> done",
    );
}

#[test]
fn a_failed_refund_waits_for_finance_to_retry_or_cancel() {
    let world = sold(
        "    12:10:00  propose A f EUR 20.00      -> done
        12:10:01  unrefunded A               -> done
        12:10:02  cancelled A h              -> FORBIDDEN
        12:10:03  again A f                  -> done
        12:10:04  refunded A succeeded       -> done
        12:10:05  told-refund A EUR 20.00 failed -> done
        12:10:06  told-refund A EUR 20.00 succeeded -> done
        12:10:07  cancelled A f              -> done
        12:10:08  cancelled A f              -> INVALID_STATE",
    );
    says(&world, &[("stripe.pending", 9_680), ("cost.stripe", 320), ("held", -10_000)]);
    assert_eq!(world.market.dead_letters().count(), 0);
}

#[test]
fn a_refund_whose_outcome_is_not_known_keeps_its_key() {
    let world = sold(
        "    12:10:00  propose A f EUR 20.00      -> done
        12:10:01  lost A                     -> done",
    );
    let dead: Vec<_> = world.market.dead_letters().map(|letter| letter.pending().id).collect();
    assert_eq!((dead.len(), world.market.dead_letter_rows()[0].certain), (1, false));
    let world = sold(
        "    12:10:00  propose A f EUR 20.00      -> done
        12:10:01  lost A                     -> done
        12:10:02  replay f                   -> done
        12:10:03  refunded A succeeded       -> done",
    );
    assert!(world.market.dead_letters().next().is_none());
    let again = sold(
        "    12:10:00  propose A f EUR 20.00      -> done
        12:10:01  lost A                     -> done
        12:10:02  replay f                   -> done",
    );
    assert!(again.market.effect(dead[0]).is_some());
}

#[test]
fn a_refund_made_by_hand_at_the_provider_is_booked() {
    let world = sold("    12:10:00  told-refund A EUR 30.00 succeeded -> done");
    says(
        &world,
        &[
            ("stripe.pending", 9_680),
            ("stripe.available", -3_000),
            ("cost.stripe", 320),
            ("held", -7_000),
        ],
    );
    assert_eq!(waiting(&world, |effect| matches!(effect, Effect::CreateRefund(_))), 0);
}

#[test]
fn a_dispute_lost_before_completion_is_paid_by_what_is_held() {
    let world = sold(
        "    12:10:00  dispute A EUR 100.00 open EUR 15.00 -> done
        12:10:01  propose A f EUR 1.00       -> INVALID_STATE
        12:10:02  dispute A EUR 100.00 lost  -> done
        12:10:03  dispute A EUR 100.00 open  -> done",
    );
    says(
        &world,
        &[
            ("stripe.pending", 9_680),
            ("stripe.available", -11_500),
            ("cost.stripe", 320),
            ("cost.dispute", 1_500),
        ],
    );
    assert_eq!(world.notices(NoticeKind::ChargebackClosed).len(), 1);
}

#[test]
fn a_dispute_lost_after_the_payout_costs_fee_and_writeoff_what_the_maker_did_not_give() {
    let world = completed(
        "    12:30:06  sent A                    -> done
        12:40:00  dispute A EUR 100.00 open  -> done
        12:40:01  reversed A EUR 60.00       -> done
        12:40:02  dispute A EUR 100.00 lost  -> done",
    );
    says(
        &world,
        &[
            ("stripe.pending", 9_680),
            ("stripe.available", -13_500),
            ("cost.stripe", 320),
            ("maker.debt", 3_500),
        ],
    );
}

#[test]
fn a_dispute_won_gives_the_maker_back_what_was_taken() {
    let world = completed(
        "    12:30:06  sent A                    -> done
        12:40:00  dispute A EUR 100.00 open  -> done
        12:40:01  reversed A EUR 60.00       -> done
        12:40:02  dispute A EUR 100.00 won   -> done
        12:40:03  sent A                     -> done",
    );
    says(
        &world,
        &[
            ("stripe.pending", 9_680),
            ("stripe.available", -9_500),
            ("cost.stripe", 320),
            ("fee.platform", -500),
        ],
    );
}

#[test]
fn an_inquiry_holds_the_share_and_moves_no_money() {
    let world = sold(
        "    12:10:00  dispute A EUR 100.00 inquiry -> done
        12:30:00  account m                  -> done
        12:30:01  made m                     -> done
        12:30:02  ready m                    -> done
        12:30:03  ship A m TRACK-0001        -> done
        12:30:04  confirm A a                -> done
        12:30:05  confirm A a                -> done
        12:40:00  sent A                     -> done",
    );
    says(&world, &[("stripe.pending", 9_680), ("cost.stripe", 320), ("held", -10_000)]);
    let world = completed(
        "    12:40:00  dispute A EUR 100.00 inquiry -> done
        12:40:01  dispute A EUR 100.00 closed  -> done",
    );
    assert!(world.market.disputes().all(|dispute| dispute.state.is_final()));
}

#[test]
fn a_dispute_whose_end_is_heard_first_is_booked_whole() {
    let world = sold("    12:10:00  dispute A EUR 100.00 won -> done");
    says(&world, &[("stripe.pending", 9_680), ("cost.stripe", 320), ("held", -10_000)]);
}

#[test]
fn a_debt_is_taken_from_a_later_sale() {
    let world = completed(
        "    12:30:06  sent A                    -> done
        12:40:00  propose A f EUR 100.00     -> done
        12:40:01  reversed A EUR 0.00        -> done
        12:40:02  refunded A succeeded       -> done
        13:00:00  offer S2 b EUR 200.00 opens B -> opened B; B closes 14:00:00
        13:00:01  accept B m EUR 200.00      -> done; B locked to b at 200.00 (MakerAccepted)
        13:00:02  paid B EUR 200.00 ev_2     -> done; B closed (Sold); S2 sold
        13:10:00  ship B m TRACK-0002        -> done
        13:10:01  confirm B b                -> done
        13:10:02  confirm B b                -> done
        13:10:03  sent B                     -> done",
    );
    let debt = world.market.ledger_balances();
    assert!(
        !debt.into_iter().any(|(account, _, _)| matches!(account, LedgerAccount::MakerDebt(_)))
    );
    // 200.00 less 10.00 of fee less 95.00 of debt.
    let charge = world.market.charge(order_of("B").expect("an order")).expect("a charge");
    assert_eq!(charge.transfers[0].amount.minor(), 9_500);
}

#[test]
fn money_that_does_not_match_waits_for_finance() {
    let odd = "policy initial 1h, window 0s
        11:30:00  duty f finance             -> done
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
        12:00:02  checkout A a               -> attempt 1
        12:00:03  opened A                   -> done
        12:00:04  paid A EUR 90.00 ev_odd    -> done
        12:00:05  resolve A a accept ev_odd  -> FORBIDDEN
        12:00:06  resolve A f accept ev_none -> NOT_FOUND\n";
    let world = play(odd);
    says(&world, &[("stripe.pending", 9_000), ("unclaimed", -9_000)]);
    assert_eq!(world.market.hold_rows()[0].code, "AMOUNT_MISMATCH");
    let world = play(&format!(
        "{odd} 12:10:00 resolve A f accept ev_odd -> done; A closed (Sold); S1 sold
        12:10:01 resolve A f refund ev_odd -> INVALID_STATE"
    ));
    says(&world, &[("stripe.pending", 9_000), ("held", -9_000)]);
    let world = play(&format!(
        "{odd} 12:10:00 resolve A f refund ev_odd -> done
        12:10:01 refunded A succeeded -> done
        12:10:02 paid A EUR 100.00 ev_1 -> done; A closed (Sold); S1 sold"
    ));
    says(&world, &[("stripe.pending", 10_000), ("held", -10_000)]);
    play(&format!(
        "{odd} 12:10:00 paid A USD 100.00 ev_usd -> done
        12:10:01 resolve A f accept ev_usd -> CURRENCY_MISMATCH
        12:10:02 paid A EUR 100.00 ev_1 -> done; A closed (Sold); S1 sold
        12:10:03 resolve A f accept ev_odd -> INVALID_STATE
        12:10:04 resolve A f refund ev_odd -> done"
    ));
}

#[test]
fn a_window_ends_only_when_the_provider_says_that_nobody_can_pay() {
    let world = play(
        "policy initial 1h, window 0s, payment 1h
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
        12:50:00  checkout A a               -> attempt 1
        12:50:01  opened A                   -> done
        13:00:02  checkout A a               -> PAYMENT_TIMEOUT
        13:00:03  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
        13:00:04  ended A                    -> done",
    );
    assert_eq!(world.market.orders().len(), 1);
}

#[test]
fn a_session_that_opens_after_the_window_is_ended_before_the_lock_goes() {
    let world = play(
        "policy initial 1h, window 0s, payment 1h
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
        12:59:59  checkout A a               -> attempt 1
        13:00:03  opened A                   -> done
        13:00:04  bid A b EUR 200.00         -> AUCTION_LOCKED
        13:00:05  ended A                    -> done; A awaits until 1d13:00:05",
    );
    let lock = world.market.locks.values().next().expect("a lock");
    assert!(matches!(lock.state, LockState::Expired { .. }) && lock.attempts().len() == 1);
}

#[test]
fn a_provider_that_never_answers_holds_a_window_no_longer_than_its_sessions_live() {
    play(
        "policy initial 1h, window 0s, payment 1h
        12:00:00    offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01    accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
        12:50:00    checkout A a               -> attempt 1
        12:50:01    opened A                   -> done
        1d13:00:00  tick                       ->
        1d13:00:02  tick                       -> A awaits until 2d13:00:01",
    );
}

#[test]
fn buyers_are_reminded_twelve_and_two_hours_before_the_end() {
    let sale = "policy initial 1h, window 0s
        12:00:00    offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01    accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)\n";
    let counts = |until: &str| {
        let world = play(&format!("{sale} {until} tick ->"));
        (
            world.notices(NoticeKind::PaymentReminder).len(),
            world.notices(NoticeKind::PaymentLastReminder).len(),
        )
    };
    assert_eq!(counts("1d00:00:00"), (0, 0));
    assert_eq!(counts("1d00:00:01"), (1, 0));
    assert_eq!(counts("1d10:00:00"), (1, 0));
    assert_eq!(counts("1d10:00:01"), (1, 1));
}

#[test]
fn an_admin_moves_the_end_of_a_window_within_the_policy() {
    let world = play(
        "policy initial 1h, window 0s
        12:00:00    offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01    accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
        13:00:00    extend A 0h                -> VALIDATION_FAILED
        13:00:01    extend A 73h               -> VALIDATION_FAILED
        13:00:02    extend A 2h                -> done
        1d13:00:00  checkout A a               -> attempt 1
        1d13:00:01  opened A                   -> done
        1d13:30:00  terminate A                -> done
        1d13:30:01  terminate A                -> INVALID_STATE
        1d13:30:02  ended A                    -> done; A awaits until 2d13:30:02",
    );
    // Those of the first move were dropped after a day.
    assert_eq!(world.notices(NoticeKind::PaymentWindowChanged).len(), 2);
}

#[test]
fn a_double_submit_makes_one_session() {
    let mut world = play(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
        12:00:02  checkout A a               -> attempt 1
        12:00:03  checkout A a               -> SESSION_ACTIVE",
    );
    assert_eq!(waiting(&world, |effect| matches!(effect, Effect::OpenCheckout(_))), 1);
    let lock = world.market.locks()[0].sale_lock_id;
    let start = StartCheckout { lock, return_url: "x".repeat(2_049), cancel_url: String::new() };
    let start = Command::Payment(PaymentCommand::StartCheckout(start));
    let at = Timestamp::from_unix_millis(world.market.last_at().as_unix_millis() + 1);
    let buyer = Actor::User(person("a").expect("a letter"));
    assert_eq!(world.direct(at, buyer, start).code(), Some(Code::ValidationFailed));
}

#[test]
fn checkout_asks_again_whether_the_maker_can_be_paid() {
    play(
        "policy initial 1h, window 0s, payable required
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
        12:00:02  checkout A a               -> CAPABILITY_REQUIRED
        12:00:03  account m                  -> done
        12:00:04  made m                     -> done
        12:00:05  checkout A a               -> CAPABILITY_REQUIRED
        12:00:06  ready m                    -> done
        12:00:07  closed m                   -> done
        12:00:08  checkout A a               -> CAPABILITY_REQUIRED
        12:00:09  ready m                    -> done
        12:00:10  checkout A a               -> attempt 1",
    );
}

#[test]
fn receipts_are_numbered_without_a_gap() {
    let world = completed(
        "    13:00:00  offer S2 b EUR 200.00 opens B -> opened B; B closes 14:00:00
        13:00:01  accept B m EUR 200.00      -> done; B locked to b at 200.00 (MakerAccepted)
        13:00:02  paid B EUR 200.00 ev_2     -> done; B closed (Sold); S2 sold",
    );
    let mut numbers: Vec<String> =
        world.market.treasury.charges.values().map(|charge| charge.receipt.to_string()).collect();
    numbers.sort();
    assert_eq!(numbers, ["RCPT-202400001", "RCPT-202400002"]);
    let lock = world.market.locks()[0].sale_lock_id;
    let receipt = world.market.receipt_row(lock).expect("a receipt");
    assert_eq!(receipt.maker_share.minor() + receipt.platform_fee.minor(), receipt.amount.minor());
}

#[test]
fn a_share_may_go_when_the_buyer_may_complain_no_more() {
    let sale = "policy initial 1h, window 0s, release window
        12:00:00    offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01    accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
        12:00:04    paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
        12:30:00    account m                  -> done
        12:30:01    made m                     -> done
        12:30:02    ready m                    -> done
        12:30:03    ship A m TRACK-0001        -> done
        12:30:04    confirm A a                -> done\n";
    let transfers = |rest: &str| {
        let world = play(&format!("{sale}{rest}"));
        waiting(&world, |effect| matches!(effect, Effect::CreateTransfer(_)))
    };
    assert_eq!(transfers("2d12:30:03 tick ->"), 0);
    assert_eq!(transfers("2d12:30:05 tick ->"), 1);
    // Completing later sends nothing more.
    assert_eq!(transfers("2d12:30:05 tick ->\n 2d12:30:06 confirm A a -> done"), 1);
}

proptest! {
    /// LEDGER-1: the fee is five parts in a hundred, halves upwards, between its bounds.
    #[test]
    fn the_fee_stays_between_its_bounds(minor in 1_u64..10_000_000, currency in 0..3_usize) {
        let market = Market::default();
        let currency = [Currency::Eur, Currency::Jpy, Currency::Kwd][currency];
        let scale = if currency == Currency::Kwd { 10 } else { 1 };
        let fee = market.fee_of(Money::new(minor, currency)).minor();
        let plain = (minor * 5 + 50) / 100;
        prop_assert_eq!(fee, plain.clamp(50 * scale, 5_000 * scale).min(minor));
    }

    /// Any sequence of partial refunds gives back the whole fee with the last, and never more.
    #[test]
    fn refunds_give_back_the_fee_and_no_more(parts in prop::collection::vec(1_u64..6_000, 1..8)) {
        let mut world = sold("");
        let order = order_of("A").expect("an order");
        let finance = Actor::User(person("f").expect("a letter"));
        for minor in parts {
            let at = Timestamp::from_unix_millis(world.market.last_at().as_unix_millis() + 1_000);
            let propose = fairground_types::command::FinanceCommand::ProposeRefund {
                order,
                amount: Money::new(minor, Currency::Eur),
                reason: fairground_types::text::Note::parse("why").expect("a note"),
            };
            let left = world.market.charge(order).expect("a charge").left();
            let verdict = world.direct(at, finance.clone(), Command::Finance(propose));
            prop_assert_eq!(verdict.is_accepted(), minor <= left.minor());
            prop_assert_eq!(world.market.violations(), Vec::<String>::new());
        }
        let charge = world.market.charge(order).expect("a charge");
        if charge.left().is_zero() {
            prop_assert_eq!(charge.fee_returned, charge.fee);
        }
    }
}
