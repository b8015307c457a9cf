//! Verdicts: one for every command, for the right reason.

use fairground_coordinator::sim::Seen;
use fairground_market::JudgedIntake;
use fairground_types::journal::{Intake, JournalEntry};
use fairground_types::{Accepted, Code, EdgeId, Verdict, limits};

use super::{holds, is_passing};
use crate::record::{Record, Waiting};

/// Everything about what an entry told.
pub fn of_entry(record: &mut Record, seen: &Seen<'_>, fresh: &[(EdgeId, u64)]) {
    for judged in &seen.applied.judged {
        once(record, judged);
        if let Some(entry) = record.applied.get(&(judged.edge.clone(), judged.seq)).cloned() {
            reasons(record, judged, &entry);
        }
        record.waiting.remove(&(judged.edge.clone(), judged.seq));
    }
    in_sequence(record, seen);
    for place in fresh {
        as_sent(record, place);
        if !record.told.contains_key(place) {
            wait(record, place);
        }
    }
    let broken: Vec<String> = record
        .waiting
        .iter()
        .filter(|(_, waiting)| !may_wait(record, waiting))
        .map(|((edge, seq), waiting)| {
            format!("{edge}/{seq} stamped {} in {}", waiting.entry.stamp.earliest, waiting.auction)
        })
        .collect();
    if !record.waiting.is_empty() || !broken.is_empty() {
        record.trace.check(
            "row_held_bid_is_judged_when_the_close_moves_or_comes",
            holds(broken.is_empty(), || format!("still held: {broken:?}")),
        );
    }
}

/// G8, EJ-4: a command has one verdict, over all edges, restarts and leaders.
fn once(record: &mut Record, judged: &JudgedIntake) {
    let place = (judged.edge.clone(), judged.seq);
    let before = record.told.get(&place);
    record.trace.check(
        "g8_journal_entry_is_told_once",
        holds(before.is_none_or(|known| *known == judged.judged), || {
            format!("{}/{} told {before:?}, then {:?}", place.0, place.1, judged.judged)
        }),
    );
    record.told.insert(place, judged.judged.clone());
    if is_passing(judged.judged.verdict.code()) {
        record.trace.count("passing verdict");
        return;
    }
    match record.verdicts.get(&judged.command) {
        Some(known) => {
            record.trace.count("copy answered from memory");
            record.trace.check(
                "g8_one_verdict_per_command",
                holds(*known == judged.judged, || {
                    format!("{} was told {known:?}, then {:?}", judged.command, judged.judged)
                }),
            );
        }
        None => {
            record.verdicts.insert(judged.command, judged.judged.clone());
        }
    }
}

/// Whether it is this copy of a command that was judged.
fn stands(record: &Record, entry: &JournalEntry) -> bool {
    record.stands.get(&entry.intake.command()) == Some(&entry.stamp.earliest)
}

/// G6, G11, AU-7: what a verdict says is true of the bid.
fn reasons(record: &Record, judged: &JudgedIntake, entry: &JournalEntry) {
    let trace = &record.trace;
    let (at, stamp) = (judged.judged.at, entry.stamp);
    let is_first = judged.judged.index.0 > 0
        && record.verdicts.get(&judged.command).is_some_and(|known| *known == judged.judged)
        && record.last() < judged.judged.index;
    if !is_first || !stands(record, entry) {
        return;
    }
    match &judged.judged.verdict {
        Verdict::Accepted(accepted) => {
            trace.count("bid accepted");
            let mark = record.promises.get(&judged.edge).map(|promises| promises.before);
            trace.check(
                "g9_accepted_stamp_is_above_the_mark",
                holds(
                    mark.is_none_or(|mark| stamp.earliest > mark)
                        || record.waited.contains(&(judged.edge.clone(), judged.seq)),
                    || {
                        format!(
                            "{}/{} stamped {} after {mark:?}",
                            judged.edge, judged.seq, stamp.earliest
                        )
                    },
                ),
            );
            // A copy with an earlier stamp takes the place of the one that is held.
            let was_held = record.held.contains(&judged.command);
            let valid_until = entry.intake.valid_until();
            if was_held {
                trace.count("held bid accepted");
            } else {
                trace.check(
                    "g11_no_surprise",
                    holds(at <= valid_until, || {
                        format!("{} accepted at {at}, valid until {valid_until}", judged.command)
                    }),
                );
            }
            if let Accepted::BidPlaced { auction, .. } = accepted
                && let Some(known) = record.auctions.get(auction)
            {
                trace.check(
                    "g6_accepted_bids_are_in_time",
                    holds(stamp.earliest < known.closes_at, || {
                        format!(
                            "{} stamped {} accepted, {auction} closes {}",
                            judged.command, stamp.earliest, known.closes_at
                        )
                    }),
                );
            }
        }
        Verdict::Rejected(rejection) => refusals(record, judged, entry, rejection),
    }
}

fn refusals(
    record: &Record,
    judged: &JudgedIntake,
    entry: &JournalEntry,
    rejection: &fairground_types::Rejection,
) {
    let trace = &record.trace;
    match rejection.code {
        Code::StampRefused => {
            trace.count("stamp refused");
            trace.check(
                "au7_no_honest_stamp_is_refused",
                holds(record.hostile.contains(&judged.edge), || {
                    format!("{}/{}: {}", judged.edge, judged.seq, rejection.detail)
                }),
            );
        }
        Code::AuctionClosed => {
            let Some(known) = rejection.auction.and_then(|id| record.auctions.get(&id)) else {
                return;
            };
            trace.check(
                "g6_no_late_verdict_while_the_auction_is_open",
                holds(known.ending.is_some(), || {
                    format!("{} was told that it is late", judged.command)
                }),
            );
            let in_time = entry.stamp.earliest < known.closes_at;
            let by_time = known.ending.as_ref().is_some_and(|ending| ending.by_time);
            trace.check(
                "row_late_flag_says_who_was_cut_off",
                holds(!by_time || rejection.late == in_time, || {
                    format!("{} in time {in_time}, late {}", judged.command, rejection.late)
                }),
            );
            if rejection.late && !record.hostile.contains(&judged.edge) {
                trace.count("bid cut off");
                let is_named = known.ending.as_ref().is_some_and(|ending| {
                    ending.unheard.contains(&judged.edge) || !ending.intake.contains(&judged.edge)
                });
                trace.check(
                    "g3_in_time_bid_is_late_only_when_its_edge_is_named",
                    holds(is_named, || {
                        format!("{}/{} of {}", judged.edge, judged.seq, judged.command)
                    }),
                );
            }
        }
        Code::BidExpired => {
            trace.count("bid expired");
            trace.check(
                "g11_only_the_log_expires_a_bid",
                holds(judged.judged.at > entry.intake.valid_until(), || {
                    format!("{} expired at {}", judged.command, judged.judged.at)
                }),
            );
        }
        Code::BidTooLow => trace.count("bid too low"),
        _ => trace.count("bid refused otherwise"),
    }
}

/// G7: inside an entry bids are judged by stamp.
fn in_sequence(record: &Record, seen: &Seen<'_>) {
    let mut last: Option<(u64, EdgeId, u64)> = None;
    for judged in &seen.applied.judged {
        let is_refused = judged.judged.verdict.code() == Some(Code::StampRefused);
        if judged.judged.index != seen.index || is_refused {
            // Copies are told an older verdict; a refused stamp may lie anywhere.
            last = None;
            continue;
        }
        let place = (judged.edge.clone(), judged.seq);
        if record.waited.contains(&place) {
            last = None;
            continue;
        }
        let Some(entry) = record.applied.get(&place) else { continue };
        if !stands(record, entry) {
            continue;
        }
        // Held and let go within this entry: it is judged after the bid that moved the close.
        let was_late = record.closes_before.values().any(|close| entry.stamp.earliest >= *close);
        if was_late {
            last = None;
            continue;
        }
        let key = (entry.stamp.doubled_middle(), judged.edge.clone(), judged.seq);
        let hostile = record.hostile.contains(&judged.edge);
        if let Some(before) = last.as_ref().filter(|_| !hostile) {
            record.trace.check(
                "g7_inside_an_entry_by_stamp",
                holds(*before <= key, || format!("{before:?} was judged before {key:?}")),
            );
        }
        last = Some(key);
    }
}

/// EJ-5, G9: what an honest edge brings is what a client sent.
fn as_sent(record: &Record, place: &(EdgeId, u64)) {
    if record.hostile.contains(&place.0) {
        return;
    }
    let Some(entry) = record.applied.get(place) else { return };
    let sent = record.sent.get(&entry.intake.command());
    record.trace.check(
        "ej5_applied_as_it_was_sent",
        holds(sent.is_some_and(|bodies| bodies.contains(&entry.intake)), || {
            format!("{}/{} was never sent", place.0, place.1)
        }),
    );
    record.trace.check(
        "au7_stamp_is_narrow",
        holds(entry.stamp.width() <= limits::STAMP_WIDTH_MAX, || {
            format!("{}/{} is {} wide", place.0, place.1, entry.stamp.width())
        }),
    );
}

/// An applied bid without a verdict must be one that is held.
fn wait(record: &mut Record, place: &(EdgeId, u64)) {
    let Some(entry) = record.applied.get(place).cloned() else { return };
    let auction = match &entry.intake {
        Intake::Bid(bid) | Intake::SignedBid(bid, _) => Some(bid.auction),
        Intake::Offer(offer) | Intake::SignedOffer(offer, _) => {
            let open = record.auctions.iter().filter(|(_, known)| known.ending.is_none());
            let mut meant = open.filter(|(_, known)| known.story == offer.story);
            meant.next().map(|(id, _)| *id)
        }
    };
    let Some(auction) = auction else {
        record.trace.check(
            "g2_applied_means_judged_or_held",
            Err(format!("{}/{} has no verdict", place.0, place.1)),
        );
        return;
    };
    let waiting = Waiting { entry, auction };
    let may = may_wait(record, &waiting);
    record.trace.check(
        "g2_applied_means_judged_or_held",
        holds(may, || format!("{}/{} has no verdict and is not held", place.0, place.1)),
    );
    record.trace.count("bid held");
    record.held.insert(waiting.entry.intake.command());
    record.waited.insert(place.clone());
    record.waiting.insert(place.clone(), waiting);
}

fn may_wait(record: &Record, waiting: &Waiting) -> bool {
    record.auctions.get(&waiting.auction).is_some_and(|known| {
        known.ending.is_none() && waiting.entry.stamp.earliest >= known.closes_at
    })
}
