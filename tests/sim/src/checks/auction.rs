//! Auctions: prices, closes, extensions and winners, entry by entry.

use fairground_coordinator::sim::Seen;
use fairground_types::command::ExtensionMode;
use fairground_types::event::PublicBid;
use fairground_types::{AuctionId, LogIndex, Money, Timestamp};

use super::holds;
use crate::record::{Known, Record};

/// AU-1: an auction opens once.
pub fn opens_once(record: &Record, auction: AuctionId) {
    record.trace.check(
        "au1_auction_opens_once",
        holds(!record.auctions.contains_key(&auction), || format!("{auction} opened again")),
    );
}

/// G1, AU-6: an auction has one terminal cause.
pub fn ends_once(record: &Record, auction: AuctionId) {
    let ended = record.auctions.get(&auction).is_some_and(|known| known.ending.is_some());
    record
        .trace
        .check("g1_one_terminal_cause", holds(!ended, || format!("{auction} ended a second time")));
}

/// G7, AU-2: accepted amounts rise by the least step, in the order of the log.
pub fn price(record: &Record, auction: AuctionId, amount: Money, index: LogIndex) {
    let Some(known) = record.auctions.get(&auction) else { return };
    let least = known.moments.last().map(|moment| moment.min_next);
    record.trace.check(
        "g7_price_rises_in_log_order",
        holds(least.is_none_or(|least| amount.minor() >= least.minor()), || {
            format!("{auction}: {amount} accepted in {index} below {least:?}")
        }),
    );
    record.trace.check(
        "au3_nothing_accepted_after_the_end",
        holds(known.ending.is_none(), || format!("{auction}: a bid in {index} after its end")),
    );
}

/// G6, AU-4: a close only moves later.
pub fn extension(record: &Record, auction: AuctionId, closes_at: Timestamp) {
    let Some(known) = record.auctions.get(&auction) else { return };
    record.trace.check(
        "g6_close_never_falls",
        holds(closes_at > known.closes_at, || {
            format!("{auction}: close moved from {} to {closes_at}", known.closes_at)
        }),
    );
}

/// AU-1: the winner is the highest accepted bid.
pub fn winner(record: &Record, seen: &Seen<'_>, auction: AuctionId, bid: &PublicBid) {
    let Some(known) = record.auctions.get(&auction) else { return };
    let highest = known.amounts.iter().map(|amount| amount.minor()).max();
    let leads = seen.market.auction(auction).is_some_and(|row| row.leads(bid.bid_id));
    record.trace.check(
        "au1_winner_is_the_highest",
        holds(highest == Some(bid.amount.minor()) && leads, || {
            format!("{auction}: {} won, {highest:?} was bid", bid.amount)
        }),
    );
}

fn due(known: &Known, resumed_at: Timestamp) -> Timestamp {
    known.closes_at.max(resumed_at).plus(known.grace())
}

/// What must hold of every open auction after each entry.
pub fn after_entry(record: &Record, seen: &Seen<'_>) {
    let at = seen.applied.at;
    for (id, known) in record.auctions.iter().filter(|(_, known)| known.ending.is_none()) {
        // An extension may end in the final window, whose grace is shorter and may be over by then:
        // the next entry closes.
        let is_moved = record.closes_before.get(id) != Some(&known.closes_at);
        record.trace.check(
            "g5_close_is_bounded",
            holds(is_moved || at < due(known, record.resumed_at), || {
                format!("{id} is open at {at}, closes {}", known.closes_at)
            }),
        );
        let Some(row) = seen.market.auction(*id) else { continue };
        record.trace.check(
            "view_and_state_agree_on_the_close",
            holds(row.is_open() && row.closes_at() == known.closes_at, || {
                format!("{id}: {} in the state, {} public", row.closes_at(), known.closes_at)
            }),
        );
        let policy = &known.policy;
        if matches!(policy.mode, ExtensionMode::AddToEnd)
            && policy.extension_total_max.as_millis() == 0
        {
            record.trace.count("auction without extensions");
        }
    }
}

/// G3, G4: a close by time has heard every edge, or grace is over and the edge is named.
pub fn closes(record: &Record, seen: &Seen<'_>) {
    let at = seen.applied.at;
    for (id, known) in &record.auctions {
        let Some(ending) = known.ending.as_ref().filter(|e| e.index == seen.index && e.by_time)
        else {
            continue;
        };
        record.trace.check(
            "g3_no_close_before_its_time",
            holds(at >= known.closes_at, || format!("{id} closed at {at}")),
        );
        let is_over = at >= due(known, record.resumed_at);
        for edge in &ending.intake {
            let counted = record.promises.get(edge).map(|promises| promises.counted);
            let is_heard = counted.is_some_and(|counted| counted >= known.closes_at);
            record.trace.check(
                "g3_every_edge_was_heard_or_grace_is_over",
                holds(is_heard || is_over, || {
                    format!("{id} closed at {at} without {edge}, counted {counted:?}")
                }),
            );
            record.trace.check(
                "g4_who_was_not_heard_is_named",
                holds(is_heard || ending.unheard.contains(edge), || {
                    format!("{id}: {edge} was not heard and is not named")
                }),
            );
        }
        record.trace.check(
            "g4_only_who_was_not_heard_is_named",
            holds(ending.unheard.iter().all(|edge| ending.intake.contains(edge)), || {
                format!("{id} names {:?}", ending.unheard)
            }),
        );
        let moved = seen.entry.commands.iter().any(|command| {
            matches!(command, fairground_types::command::LogCommand::Direct(envelope)
                if matches!(&envelope.command, fairground_types::command::Command::Govern(
                    fairground_types::command::GovernCommand::AdvanceClock { .. })))
        });
        record.trace.check(
            "row_test_clock_closes_nothing_in_its_entry",
            holds(!moved || at.since(known.closes_at).as_millis() < 60_000, || {
                format!("{id} closed in the entry that moved the clock")
            }),
        );
    }
}
