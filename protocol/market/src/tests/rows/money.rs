//! Payments, payouts, refunds, chargebacks and the ledger, as the two sides and finance see them.

use std::sync::Arc;

use fairground_types::command::{
    Actor, BalanceRecord, Command, EffectResult, FinanceCommand, ProviderAccountState,
    ProviderObject, ProviderObjectEvent,
};
use fairground_types::{
    Code, Currency, Digest, EffectId, LogIndex, Millis, Money, OrderId, SaleLockId, UserId, limits,
};

use super::{goes_on, lock_of, plays, user};
use crate::ledger::{credit, debit};
use crate::script::World;
use crate::{Effect, LedgerAccount, LedgerCause, PaymentRow, Payout, PayoutHold, Posting};

/// A piece reserved for `a`, with `f` and `g` of finance and `h` of support.
const LOCKED: &str = "policy initial 1h, window 0s
    11:30:00  duty f finance             -> done
    11:30:01  duty g finance             -> done
    11:30:02  duty h support             -> done
    12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
    12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
    12:00:02  checkout A a               -> attempt 1
    12:00:03  opened A                   -> done
";
const PAID: &str = "    12:00:04  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
    12:00:05  read A EUR 3.20            -> done
";
const COMPLETED: &str = "    12:30:00  account m                  -> done
    12:30:01  made m                     -> done
    12:30:02  ready m                    -> done
    12:30:03  ship A m TRACK-0001        -> done
    12:30:04  confirm A a                -> done
    12:30:05  confirm A a                -> done
";

fn paid(rest: &str) -> World {
    plays(&format!("{LOCKED}{PAID}{rest}"))
}

fn completed(rest: &str) -> World {
    paid(&format!("{COMPLETED}{rest}"))
}

const fn euros(minor: u64) -> Money {
    Money::new(minor, Currency::Eur)
}

fn payment(world: &World, reader: &str) -> Option<PaymentRow> {
    world.market.payment_row(lock_of(world, "A"), user(reader))
}

fn status(world: &World) -> &'static str {
    payment(world, "a").expect("theirs").status
}

fn finance(world: &mut World, command: FinanceCommand) -> Option<Code> {
    let at = world.market.last_at();
    world.direct(at, Actor::Cluster, Command::Finance(command)).code()
}

fn effect(world: &World, kind: &str) -> EffectId {
    let found = world.market.outbox().find(|pending| pending.effect.kind() == kind);
    found.unwrap_or_else(|| panic!("no {kind} waits")).id
}

fn report(world: &mut World, kind: &str, result: EffectResult) -> Option<Code> {
    let effect = effect(world, kind);
    finance(world, FinanceCommand::ReportEffect { effect, result })
}

fn told(world: &mut World, object: ProviderObject) -> Option<Code> {
    let event = format!("evt_{}", world.log.len());
    let raw = Digest::of(event.as_bytes());
    let told = ProviderObjectEvent { event, created: world.market.last_at(), object, raw };
    finance(world, FinanceCommand::RecordProviderObject(told))
}

fn charge(world: &World) -> &crate::Charge {
    world.market.charge(OrderId::from_bits(65)).expect("a charge")
}

#[test]
fn the_page_to_pay_on_is_the_buyers_alone() {
    let mut world = plays(LOCKED);
    let (a, m) = (payment(&world, "a").expect("theirs"), payment(&world, "m").expect("theirs"));
    assert_eq!((a.status, m.status), ("pending", "pending"));
    assert_eq!(a.sale_lock.checkout_url.as_deref(), Some("http://pay.example/1"));
    assert_eq!(m.sale_lock.checkout_url, None);
    assert_eq!((a.charge, payment(&world, "b")), (None, None), "nobody else's");
    assert_eq!(world.market.payment_row(SaleLockId::from_bits(9), user("a")), None);
    assert_eq!(world.market.receipt_row(lock_of(&world, "A")), None, "not before it is paid");
    let lock = world.market.lock(lock_of(&world, "A")).expect("there");
    assert_eq!((lock.maker, lock.story, lock.auction), {
        let row = world.market.lock_row(lock.id()).expect("there");
        (user("m"), row.story_id, row.auction_id)
    });
    goes_on(&mut world, "1d12:05:00 expired A ev_x -> done; A awaits until 2d12:05:00");
    assert_eq!(status(&world), "expired");
    let over = payment(&world, "a").expect("theirs").sale_lock;
    assert_eq!((over.checkout_url, over.attempts_left), (None, 0));
}

#[test]
fn a_second_chance_that_is_declined_is_a_failed_payment() {
    let world = plays(
        "policy initial 1h, window 0s, payment 1h, decision 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00               -> placed
        13:00:00  tick marks 13:00:00              -> A locked to b at 105.00 (AutoAtClose)
        14:00:00  tick                             -> A awaits until 15:00:00
        14:01:00  second-chance A m                -> done; A locked to a at 100.00 (SecondChance)
        14:02:00  no-thanks A a                    -> done; A awaits until 15:02:00",
    );
    let rows = world.market.locks();
    let states: Vec<&str> = rows.iter().map(|row| row.state).collect();
    assert_eq!(states, ["released", "expired"], "newest first");
    let shown = world.market.payment_row(rows[0].sale_lock_id, user("a")).expect("theirs");
    assert_eq!(shown.status, "failed");
    assert_eq!(world.market.locks_of(user("b")), rows[1..]);
}

#[test]
fn what_becomes_of_a_payment_is_told_to_its_maker_and_less_to_its_buyer() {
    let world = paid("    12:10:00  hold A f -> done");
    let a = payment(&world, "a").expect("theirs");
    let m = payment(&world, "m").expect("theirs");
    assert_eq!((a.status, m.status), ("succeeded", "succeeded"));
    let (a, m) = (a.charge.expect("paid"), m.charge.expect("paid"));
    assert_eq!((a.amount, a.platform_fee, a.refunded), (euros(10_000), euros(500), euros(0)));
    assert_eq!((a.provider_fee, a.payout, a.payout_amount), (None, None, None));
    assert!(a.holds.is_empty());
    assert_eq!(
        (m.provider_fee, m.payout, m.payout_amount),
        (Some(euros(320)), Some("waiting"), None)
    );
    assert_eq!(m.holds, [PayoutHold::Finance]);
    let receipt = world.market.receipt_row(lock_of(&world, "A")).expect("paid");
    assert_eq!((receipt.buyer_id, receipt.maker_id), (user("a"), user("m")));
    assert_eq!(receipt.maker_share, euros(9_500));
    assert_eq!((receipt.number, receipt.title), (a.receipt, Some("S1".to_owned())));
    let order = world.market.order(OrderId::from_bits(65)).expect("sold");
    assert_eq!(
        (order.lock, order.amount, order.fee),
        (receipt.sale_lock_id, receipt.amount, euros(500))
    );
}

#[test]
fn who_proposed_and_approved_a_refund_is_finances_alone() {
    let mut world = paid("    12:10:00  propose A h EUR 20.00 -> done");
    let waiting = world.market.refund_rows(Some("proposed"));
    assert_eq!(
        (waiting.len(), waiting[0].proposer, waiting[0].approver),
        (1, Some(user("h")), None)
    );
    assert_eq!(status(&world), "succeeded", "nothing has gone back");
    goes_on(
        &mut world,
        "12:11:00  approve A f                -> done
        12:12:00  refunded A succeeded       -> done
        12:13:00  propose A f EUR 10.00      -> done
        12:14:00  unrefunded A               -> done",
    );
    assert_eq!(status(&world), "partiallyRefunded");
    let rows = world.market.refund_rows(None);
    assert!(rows.is_sorted_by_key(|row| row.asked_at), "oldest first");
    let states: Vec<&str> = rows.iter().map(|row| row.state).collect();
    assert_eq!(states, ["succeeded", "failed"]);
    assert_eq!((rows[0].approver, rows[0].fee_returned), (Some(user("f")), euros(100)));
    assert_eq!(rows[1].code.as_deref(), Some("expired_card"));
    assert_eq!(world.market.refund_rows(Some("failed")), rows[1..]);
    assert!(world.market.refund_rows(Some("cancelled")).is_empty());
    for reader in ["a", "m"] {
        let shown = payment(&world, reader).expect("theirs").charge.expect("paid");
        assert_eq!((shown.refunds.len(), shown.refunded), (2, euros(3_000)));
        for row in shown.refunds {
            assert_eq!(
                (row.proposer, row.approver, row.reason, row.code),
                (None, None, None, None)
            );
        }
    }
    goes_on(
        &mut world,
        "12:15:00  cancelled A f              -> done
        12:16:00  propose A f EUR 80.00      -> done",
    );
    assert_eq!(status(&world), "refunded");
    assert_eq!(world.market.refund_rows(Some("pending")).len(), 1);
}

#[test]
fn a_payout_is_shown_with_its_state_and_amount_until_it_has_left() {
    let shown = |world: &World| {
        let row = payment(world, "m").expect("theirs").charge.expect("paid");
        (row.payout.expect("the maker's"), row.payout_amount)
    };
    let share = Some(euros(9_500));
    let waits = |world: &World| world.market.payouts_waiting().len();
    let world = paid("");
    assert_eq!((shown(&world), waits(&world)), (("waiting", None), 1));
    let parked = paid(
        "    12:30:03  ship A m TRACK-0001        -> done
        12:30:04  confirm A a                -> done
        12:30:05  confirm A a                -> done",
    );
    assert_eq!((shown(&parked), waits(&parked)), (("parked", share), 1));
    assert!(!parked.market.can_be_paid_out(user("m")));
    let sending = completed("");
    assert_eq!((shown(&sending), waits(&sending)), (("sending", share), 1));
    assert!(sending.market.can_be_paid_out(user("m")));
    let failed = completed("    12:31:00  unsent A -> done");
    assert_eq!((shown(&failed), waits(&failed)), (("failed", share), 1));
    let sent = completed("    12:31:00  sent A -> done");
    assert_eq!((shown(&sent), waits(&sent)), (("sent", share), 0));
    let held = completed("    12:31:00  sent A -> done\n12:32:00 hold A f -> done");
    assert_eq!(waits(&held), 1, "what is held is looked at though it has left");
    let nothing = completed(
        "    12:31:00  unsent A                   -> done
        12:32:00  propose A f EUR 100.00     -> done",
    );
    assert_eq!((shown(&nothing), waits(&nothing)), (("nothing", Some(euros(0))), 0));
    assert_eq!(nothing.market.dead_letters().count(), 0, "nothing is left to send anew");
    assert_eq!(nothing.market.violations(), Vec::<String>::new());
}

#[test]
fn a_refund_while_the_share_is_on_its_way_is_taken_back_when_it_has_arrived() {
    let mut world = completed("    12:31:00  propose A f EUR 20.00 -> done");
    assert_eq!(charge(&world).payout.name(), "sending");
    assert!(!world.market.outbox().any(|row| matches!(row.effect, Effect::ReverseTransfer(_))));
    goes_on(&mut world, "12:32:00 sent A -> done");
    let back = world.market.outbox().find_map(|row| match &row.effect {
        Effect::ReverseTransfer(reverse) => Some(reverse.amount),
        _ => None,
    });
    assert_eq!(back, Some(euros(1_900)), "what went back less the fee in it");
    // The provider has nothing of it: the maker owes it.
    let refused = EffectResult::Refused { code: "balance_insufficient".to_owned() };
    assert_eq!(report(&mut world, "reverse_transfer", refused), None);
    let debt = world.market.ledger_balances();
    let debt: Vec<i128> = debt
        .filter(|(account, ..)| matches!(account, LedgerAccount::MakerDebt(_)))
        .map(|(.., sum)| sum)
        .collect();
    assert_eq!(debt, [1_900]);
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn payments_that_do_not_match_wait_for_finance_oldest_first() {
    let mut world = plays(&format!(
        "{LOCKED}    12:00:04  paid A EUR 90.00 ev_low    -> done
        12:00:05  paid A USD 100.00 ev_usd   -> done"
    ));
    let rows = world.market.hold_rows();
    let came: Vec<(&str, Option<Money>)> =
        rows.iter().map(|row| (row.event.as_str(), row.came)).collect();
    let dollars = Some(Money::new(10_000, Currency::Usd));
    assert_eq!(came, [("ev_low", Some(euros(9_000))), ("ev_usd", dollars)]);
    assert!(rows.iter().all(|row| row.expected == euros(10_000) && row.resolved.is_none()));
    assert!(world.market.lock_row(lock_of(&world, "A")).expect("there").on_hold);
    goes_on(&mut world, "12:10:00 resolve A f refund ev_low -> done");
    let left: Vec<String> = world.market.hold_rows().into_iter().map(|row| row.event).collect();
    assert_eq!(left, ["ev_usd"]);
}

#[test]
fn a_chargeback_is_shown_to_finance_in_each_of_its_states() {
    for (word, last) in [("won", "won"), ("lost", "lost")] {
        let mut world = paid("    12:10:00  dispute A EUR 60.00 inquiry -> done");
        let row = |world: &World| world.market.dispute_rows().remove(0);
        let asked = row(&world);
        assert_eq!((asked.state, asked.amount, asked.fee), ("inquiry", euros(6_000), None));
        assert_eq!((asked.reason.as_str(), asked.due_by), ("fraudulent", None));
        goes_on(&mut world, "12:11:00 dispute A EUR 60.00 open EUR 15.00 -> done");
        assert_eq!((row(&world).state, row(&world).fee), ("open", Some(euros(1_500))));
        goes_on(&mut world, &format!("12:12:00 dispute A EUR 60.00 {word} -> done"));
        assert_eq!((row(&world).state, row(&world).order_id), (last, OrderId::from_bits(65)));
    }
    let quiet = paid(
        "    12:10:00  dispute A EUR 60.00 inquiry -> done
        12:11:00  dispute A EUR 60.00 closed -> done",
    );
    assert_eq!(quiet.market.dispute_rows()[0].state, "closed");
    assert!(paid("").market.dispute_rows().is_empty());
}

#[test]
fn a_ledger_page_ends_with_a_whole_entry_and_the_next_goes_on_behind_it() {
    let mut world = paid("");
    let first = world.market.ledger_lines(LogIndex(0));
    assert!(!first.has_more && first.lines.is_sorted_by_key(|line| line.log_index));
    let last = first.lines.last().expect("a line").log_index;
    assert!(world.market.ledger_lines(last).lines.is_empty(), "only what came after");
    for number in 0..limits::LEDGER_PAGE_MAX as u64 {
        let lines = vec![
            debit(LedgerAccount::ProviderAvailable, euros(1)),
            credit(LedgerAccount::ProviderPending, euros(1)),
        ];
        let at = world.market.last_at();
        // Two postings to an entry.
        let posting = Posting { index: LogIndex(10_000 + number / 2), at, lines };
        world
            .market
            .ledger
            .postings
            .insert(LedgerCause::Transferred(format!("tr_{number}")), Arc::new(posting));
    }
    let mut after = last;
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let page = world.market.ledger_lines(after);
        pages += 1;
        after = page.lines.last().expect("a line").log_index;
        seen.extend(page.lines);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(
        (pages, seen.len()),
        (2, 2 * limits::LEDGER_PAGE_MAX),
        "nothing twice, nothing left out"
    );
    assert!(
        seen.chunk_by(|one, other| one.log_index == other.log_index).all(|entry| entry.len() == 4)
    );
    assert!(seen[0].cause.contains("tr_") && seen[0].account == "stripe.available");
}

#[test]
fn accounts_of_the_ledger_are_called_by_what_they_hold_and_whose() {
    let (order, lock, maker) =
        (OrderId::from_bits(1), SaleLockId::from_bits(2), UserId::from_bits(3));
    let dispute = fairground_types::DisputeId::from_bits(4);
    let named = [
        (LedgerAccount::ProviderPending, "stripe.pending".to_owned()),
        (LedgerAccount::ProviderAvailable, "stripe.available".to_owned()),
        (LedgerAccount::Held(order), format!("held:{order}")),
        (LedgerAccount::Unclaimed(lock), format!("unclaimed:{lock}")),
        (LedgerAccount::BuyerRefunds, "buyer.refunds".to_owned()),
        (LedgerAccount::MakerPayable(maker), format!("maker.payable:{maker}")),
        (LedgerAccount::MakerDebt(maker), format!("maker.debt:{maker}")),
        (LedgerAccount::FeePlatform, "fee.platform".to_owned()),
        (LedgerAccount::CostProvider, "cost.stripe".to_owned()),
        (LedgerAccount::CostDispute, "cost.dispute".to_owned()),
        (LedgerAccount::DisputeOpen(dispute), format!("dispute.open:{dispute}")),
        (LedgerAccount::Conversion, "conversion".to_owned()),
        (LedgerAccount::Writeoff, "writeoff".to_owned()),
    ];
    for (account, name) in named {
        assert_eq!(account.to_string(), name);
    }
}

#[test]
fn books_of_the_provider_in_another_currency_are_balanced_in_both() {
    let mut world = plays(&format!(
        "{LOCKED}    12:00:04  paid A EUR 100.00 ev_1 -> done; A closed (Sold); S1 sold"
    ));
    let dollars = |minor| Money::new(minor, Currency::Usd);
    let balance = BalanceRecord {
        record: "txn_1".to_owned(),
        fee: dollars(340),
        gross: dollars(10_800),
        available_at: world.market.last_at().plus(Millis::from_hours(1)),
    };
    let read = EffectResult::ChargeRead { charge: "ch_1".to_owned(), balance };
    assert_eq!(report(&mut world, "read_charge", read), None);
    let sums = world.market.ledger_totals();
    assert_eq!(sums.values().copied().collect::<Vec<_>>(), [0, 0]);
    let of = |world: &World, wanted: LedgerAccount, currency| {
        let mut rows = world.market.ledger_balances();
        rows.find(|(account, known, _)| *account == wanted && *known == currency).map(|row| row.2)
    };
    assert_eq!(of(&world, LedgerAccount::Conversion, Currency::Eur), Some(10_000));
    assert_eq!(of(&world, LedgerAccount::Conversion, Currency::Usd), Some(-10_800));
    assert_eq!(of(&world, LedgerAccount::ProviderPending, Currency::Usd), Some(10_460));
    goes_on(&mut world, "13:30:00 tick ->");
    assert_eq!(of(&world, LedgerAccount::ProviderAvailable, Currency::Usd), Some(10_460));
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn what_failed_for_good_is_listed_with_what_it_was_about_and_tried_again_on_request() {
    let mut world = plays(&format!(
        "{LOCKED}    12:00:04  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
        12:01:00  account m                  -> done"
    ));
    let refused = || EffectResult::Refused { code: "no".to_owned() };
    assert_eq!(report(&mut world, "create_connected_account", refused()), None);
    let row = world.market.dead_letter_rows().remove(0);
    assert_eq!((row.kind, row.order_id, row.amount), ("create_connected_account", None, None));
    assert_eq!((row.code.as_str(), row.certain), ("no", true));
    goes_on(&mut world, "12:02:00 replay f -> done");
    assert!(world.market.dead_letter_rows().is_empty());
    let made = EffectResult::AccountMade { account: "acct_m".to_owned() };
    assert_eq!(report(&mut world, "create_connected_account", made), None, "asked anew");
    let lost = EffectResult::Lost { code: "no_answer".to_owned() };
    assert_eq!(report(&mut world, "read_charge", lost), None);
    let row = world.market.dead_letter_rows().remove(0);
    assert_eq!((row.kind, row.order_id), ("read_charge", Some(OrderId::from_bits(65))));
    assert!(!row.certain, "it may have happened");
    goes_on(&mut world, "12:03:00 replay f -> done\n12:04:00 propose A f EUR 20.00 -> done");
    assert_eq!(report(&mut world, "create_refund", refused()), None);
    let row = world.market.dead_letter_rows().remove(0);
    let expected = ("create_refund", Some(OrderId::from_bits(65)), Some(euros(2_000)));
    assert_eq!((row.kind, row.order_id, row.amount), expected);
    goes_on(&mut world, "12:05:00 replay f -> done");
    assert_eq!(world.market.refund_rows(Some("pending")).len(), 1);
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn transfers_that_were_lost_are_listed_with_their_amounts() {
    let mut world = completed("");
    let lost = || EffectResult::Lost { code: "no_answer".to_owned() };
    assert_eq!(report(&mut world, "create_transfer", lost()), None);
    let row = world.market.dead_letter_rows().remove(0);
    assert_eq!((row.kind, row.amount, row.certain), ("create_transfer", Some(euros(9_500)), false));
    goes_on(
        &mut world,
        "12:31:00  replay f                   -> done
        12:32:00  sent A                     -> done
        12:33:00  propose A f EUR 20.00      -> done",
    );
    assert_eq!(report(&mut world, "reverse_transfer", lost()), None);
    let row = world.market.dead_letter_rows().remove(0);
    assert_eq!(
        (row.kind, row.amount, row.certain),
        ("reverse_transfer", Some(euros(1_900)), false)
    );
}

#[test]
fn a_result_of_another_effect_or_without_bound_is_refused_and_changes_nothing() {
    let mut world = plays(&format!(
        "{LOCKED}    12:00:04  paid A EUR 100.00 ev_1 -> done; A closed (Sold); S1 sold"
    ));
    let before = world.market.treasury.clone();
    let wrong = EffectResult::TransferMade { transfer: "tr_1".to_owned() };
    assert_eq!(report(&mut world, "read_charge", wrong), Some(Code::InvalidState));
    let endless = EffectResult::Lost { code: "x".repeat(limits::PROVIDER_TEXT_MAX + 1) };
    assert_eq!(report(&mut world, "read_charge", endless), Some(Code::ValidationFailed));
    let known = effect(&world, "read_charge");
    let gone = FinanceCommand::ReportEffect {
        effect: EffectId::from_bits(0),
        result: EffectResult::Refused { code: "no".to_owned() },
    };
    assert_eq!(finance(&mut world, gone), None, "a report of what is over is nothing");
    assert_eq!((world.market.treasury == before, effect(&world, "read_charge")), (true, known));
    let mut world =
        completed("    12:31:00 sent A -> done\n12:32:00 propose A f EUR 20.00 -> done");
    let dollars = Money::new(1, Currency::Usd);
    let made = EffectResult::ReversalMade { reversal: None, amount: dollars };
    assert_eq!(report(&mut world, "reverse_transfer", made), Some(Code::InvalidState));
}

/// Providers deliver an event again when they have not heard that it arrived.
#[test]
fn a_warning_that_is_delivered_again_holds_nothing_anew() {
    let mut world = paid("");
    let payment = Some(charge(&world).payment.clone());
    let warning = FinanceCommand::RecordProviderObject(ProviderObjectEvent {
        event: "evt_warning".to_owned(),
        created: world.market.last_at(),
        object: ProviderObject::FraudWarning { payment, charge: None },
        raw: Digest::of(b"evt_warning"),
    });
    assert_eq!(finance(&mut world, warning.clone()), None);
    assert_eq!(charge(&world).holds.len(), 1);
    goes_on(&mut world, "12:20:00 unhold A f -> done");
    assert!(charge(&world).holds.is_empty());
    assert_eq!(finance(&mut world, warning), None);
    assert!(charge(&world).holds.is_empty());
}

#[test]
fn what_the_provider_tells_of_nobody_known_is_counted_and_nothing_else() {
    let mut world = paid("");
    let before = (world.market.treasury.clone(), world.market.payments.unmatched);
    let warning = |payment: &str| ProviderObject::FraudWarning {
        payment: Some(payment.to_owned()),
        charge: None,
    };
    let account = |account: &str, letter: Option<&str>, state| ProviderObject::Account {
        account: account.to_owned(),
        user: letter.map(user),
        state,
    };
    assert_eq!(told(&mut world, warning("pi_unknown")), None);
    assert_eq!(told(&mut world, account("acct_x", None, ProviderAccountState::Ready)), None);
    assert_eq!(told(&mut world, account("acct_x", Some("m"), ProviderAccountState::Ready)), None);
    assert_eq!(world.market.treasury, before.0);
    assert_eq!(world.market.payments.unmatched, before.1 + 3);
    let endless = "x".repeat(limits::PROVIDER_TEXT_MAX + 1);
    assert_eq!(told(&mut world, warning(&endless)), Some(Code::ValidationFailed));
    assert_eq!(world.market.payout_account(user("m")), None);
}

#[test]
fn a_payout_account_is_its_owners_and_takes_no_other_accounts_news() {
    let mut world = paid("    12:30:00  account m -> done");
    let state = |world: &World| {
        let row = world.market.payout_account(user("m")).expect("theirs");
        (row.id().cloned(), row.state())
    };
    assert_eq!(state(&world), (None, ProviderAccountState::Onboarding), "asked for");
    goes_on(&mut world, "12:30:01 made m -> done\n12:30:02 ready m -> done");
    let ready = (Some("acct_m".to_owned()), ProviderAccountState::Ready);
    assert_eq!(state(&world), ready);
    let object = |account: &str, state| ProviderObject::Account {
        account: account.to_owned(),
        user: Some(user("m")),
        state,
    };
    // Another account that names the maker is none of theirs; "made" heard late undoes nothing.
    assert_eq!(told(&mut world, object("acct_other", ProviderAccountState::Closed)), None);
    assert_eq!(told(&mut world, object("acct_m", ProviderAccountState::Onboarding)), None);
    assert_eq!(state(&world), ready);
    assert_eq!(told(&mut world, object("acct_m", ProviderAccountState::Restricted)), None);
    assert_eq!(state(&world).1, ProviderAccountState::Restricted);
    assert_eq!(world.market.payout_account(user("a")), None);
    // Money that becomes usable sends what waits, as far as there is an account for it.
    goes_on(
        &mut world,
        "12:31:00  ship A m TRACK-0001        -> done
        12:31:01  confirm A a                -> done
        12:31:02  confirm A a                -> done",
    );
    assert!(matches!(charge(&world).payout, Payout::Parked { .. }));
    assert_eq!(told(&mut world, ProviderObject::BalanceAvailable), None);
    assert!(matches!(charge(&world).payout, Payout::Parked { .. }), "it is restricted still");
    goes_on(&mut world, "12:32:00 ready m -> done");
    assert!(matches!(charge(&world).payout, Payout::Sending { .. }));
}
