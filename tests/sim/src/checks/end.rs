//! After healing: everything converges, and every promise is kept.

use fairground_market::Market;

use super::{holds, is_passing};
use crate::plan::EDGES;
use crate::record::Record;
use crate::world::{World, lock};

/// What has not settled yet, if anything.
pub fn unsettled(world: &World) -> Option<String> {
    let Some(leader) = world.leader().and_then(|place| world.member(place)) else {
        return Some("nobody leads".to_owned());
    };
    let (raft, index, _) = leader.position();
    let record = lock(&world.record);
    for (place, slot) in world.members.iter().enumerate() {
        let Some(member) = world.member(place) else { continue };
        let position = member.position();
        if (position.0, position.1) != (raft, index) {
            return Some(format!(
                "{} is at {position:?}, the leader at {raft}: {}",
                slot.address,
                member.describe()
            ));
        }
    }
    if let Some((id, known)) = record.auctions.iter().find(|(_, known)| known.ending.is_none()) {
        return Some(format!("{id} is open, closes {} at {}", known.closes_at, record.at));
    }
    for place in 0..EDGES {
        let Some(edge) = world.edge(place) else { continue };
        let standing = edge.journal().standing();
        if standing.open_count > 0 {
            return Some(format!("edge {place} has {} open bids", standing.open_count));
        }
        if let Some(why) = edge.declines() {
            return Some(format!("edge {place} takes no bids: {why}"));
        }
        let seen = edge.read(fairground_market::PublicView::index);
        if seen < index {
            return Some(format!("edge {place} has seen {seen} of {index}"));
        }
    }
    None
}

/// Everything that must hold at the end.
pub fn all(world: &World) {
    let record = lock(&world.record);
    receipts(world, &record);
    states(world, &record);
    views(world, &record);
    replay(&record);
    super::oracle::replay(&record);
}

/// G2: every receipt has exactly one verdict, and its edge knows it.
fn receipts(world: &World, record: &Record) {
    for receipt in &record.receipts {
        let place = (receipt.edge.clone(), receipt.claims.seq);
        let is_lost = record.tainted.contains(&receipt.edge)
            || record.missing.get(&receipt.edge).is_some_and(|ranges| {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&place.1))
            });
        let told = record.told.get(&place);
        world.trace.check(
            "g2_every_receipt_has_one_verdict",
            holds(told.is_some() || is_lost, || {
                format!("{}/{} of {} has none", place.0, place.1, receipt.command)
            }),
        );
        if let Some(told) = told {
            let number = (0..EDGES).find(|n| world.edge_id(*n).as_ref() == Some(&receipt.edge));
            let Some(edge) = number.and_then(|number| world.edge(number)) else { continue };
            let found = edge.journal().lookup(&receipt.command).ok().flatten();
            let known = found.filter(|found| found.entry.seq == place.1);
            let known = known.and_then(|found| found.judged);
            // A passing verdict is not kept: sent again, the entry is refused again for the same reason,
            // and what a copy of the command was told for good takes its place.
            let is_same = known.as_ref().is_none_or(|known| {
                let (code, again) = (told.verdict.code(), known.verdict.code());
                let is_final = record.verdicts.get(&receipt.command) == Some(known);
                known == told || (is_passing(code) && (code == again || is_final))
            });
            world.trace.check(
                "g2_the_edge_keeps_the_verdict",
                holds(is_same, || format!("{}/{}: {known:?}, told {told:?}", place.0, place.1)),
            );
        }
    }
}

/// RSM-3: members that stand at the same entry have the same state.
fn states(world: &World, record: &Record) {
    let last = record.last();
    for (place, slot) in world.members.iter().enumerate() {
        let Some(member) = world.member(place) else { continue };
        let (_, index, _) = member.position();
        if index != last {
            continue;
        }
        let is_same =
            member.read(|market| record.market.as_ref().is_some_and(|known| known == market));
        world.trace.check(
            "rsm3_same_state_everywhere",
            holds(is_same, || format!("{} has another state at {last}", slot.address)),
        );
    }
}

/// Edges show what the log made public.
fn views(world: &World, record: &Record) {
    let Some(market) = &record.market else { return };
    for place in 0..EDGES {
        let Some(edge) = world.edge(place) else { continue };
        let is_same = edge
            .read(|view| (view.index() == market.view().index()).then(|| view == market.view()));
        if let Some(is_same) = is_same {
            world.trace.check(
                "au10_every_view_is_the_log's",
                holds(is_same, || format!("edge {place} shows something else")),
            );
        }
    }
}

/// RSM-7: the log alone, from its first entry, makes the same state. RSM-6: so do fewer nudges.
fn replay(record: &Record) {
    let mut market = Market::default();
    for (index, row) in &record.rows {
        market.apply(*index, &row.entry);
    }
    record.trace.check(
        "rsm7_snapshot_is_the_replayed_state",
        holds(record.market.as_ref() == Some(&market), || "a replay differs".to_owned()),
    );
}
