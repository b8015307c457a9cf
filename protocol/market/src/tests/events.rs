//! What providers tell comes in any order, however often: it ends alike.
//!
//! Read next: `laws.rs` for what holds after any history.

use fairground_types::OrderId;
use proptest::prelude::*;

use crate::script::World;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn events_of_a_payment_come_in_any_order(
        order in Just(vec![0_usize, 1, 2, 0, 1, 2]).prop_shuffle(),
    ) {
        // Paid, told under two ids, and the end of the session.
        let events = ["paid A EUR 100.00 ev_1", "paid A EUR 100.00 ev_2", "expired A ev_3"];
        let mut table = String::from(
            "policy initial 1h, window 0s
            12:00:00  offer S1 a EUR 100.00  -> opened A; A closes 13:00:00
            13:00:00  tick marks 13:00:00    -> A locked to a at 100.00 (AutoAtClose)
            13:00:01  checkout A a           -> attempt 1
            13:00:02  opened A               -> done\n",
        );
        let mut paid = false;
        for (second, event) in (10..).zip(&order) {
            let first = *event < 2 && !paid;
            paid |= first;
            let sold = if first { "; A closed (Sold); S1 sold" } else { "" };
            table.push_str(&format!("13:01:{second} {} -> done{sold}\n", events[*event]));
        }
        let world = World::play(&table).unwrap_or_else(|why| panic!("{why}"));
        prop_assert_eq!(world.market.orders().len(), 1);
        prop_assert_eq!(world.market.order(OrderId::from_bits(65)).expect("A").state().name(), "awaitingShipment");
        let goes_back = |row: &crate::PendingEffect| matches!(row.effect, crate::Effect::CreateRefund(_));
        prop_assert!(!world.market.outbox().any(goes_back));
        prop_assert!(world.market.ledger_totals().values().all(|sum| *sum == 0));
    }

    #[test]
    fn events_of_a_parcel_come_in_any_order(
        order in Just(vec![0_usize, 1, 2, 3, 0, 1, 2, 3]).prop_shuffle(),
    ) {
        let events = ["label e1 14:05:00", "transit e2 14:10:00", "out e3 14:20:00", "delivered e4 14:30:00"];
        let mut table = String::from(
            "policy initial 1h, window 0s
            12:00:00  offer S1 a EUR 100.00  -> opened A; A closes 13:00:00
            13:00:00  tick marks 13:00:00    -> A locked to a at 100.00 (AutoAtClose)
            13:01:00  paid A EUR 100.00 ev_1 -> done; A closed (Sold); S1 sold
            14:00:00  ship A m BOAT-1 -> done\n",
        );
        let mut seen = std::collections::BTreeSet::new();
        for (second, event) in (10..).zip(&order) {
            let is_stale = !seen.contains(event) && seen.last().is_some_and(|last| last > event);
            let answer = if is_stale { "STALE_EVENT" } else { "done" };
            if !is_stale {
                seen.insert(*event);
            }
            table.push_str(&format!("15:00:{second} carrier BOAT-1 other {} -> {answer}\n", events[*event]));
        }
        let world = World::play(&table).unwrap_or_else(|why| panic!("{why}"));
        let row = world.market.order(OrderId::from_bits(65)).expect("A");
        prop_assert_eq!(row.state().name(), "delivered");
    }
}
