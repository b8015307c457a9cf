//! What clients are told: receipts that are true, answers that are the log's, refusals that cannot
//! become untrue.

use fairground_node::sim::Taken;
use fairground_runtime::receipt;
use fairground_types::journal::Intake;
use fairground_types::verdict::Judged;
use fairground_types::{Code, CommandId, EdgeId, LogIndex};

use super::{holds, is_passing};
use crate::record::{Receipt, Record};

/// Takes down what a client was told and checks it.
pub fn told(
    record: &mut Record,
    (edge, key): (&EdgeId, &[u8; 32]),
    intake: &Intake,
    answer: &Taken,
) {
    let command = intake.command();
    match answer {
        Taken::Judged(judged, text) => {
            if let Some(text) = text {
                receipted(record, (edge, key), intake, text);
            }
            verdict(record, edge, command, judged);
        }
        Taken::Received(Some(text)) => receipted(record, (edge, key), intake, text),
        Taken::Received(None) => record.trace.check(
            "g2_received_means_a_receipt",
            Err(format!("{edge} received {command} and gave no receipt")),
        ),
        Taken::Refused(code, index) => refused(record, intake, *code, *index),
        Taken::Declined(_) => {
            record.trace.count("declined");
            if record.outrun.contains_key(edge) {
                record.trace.check("row_restored_edge_gives_no_receipt", Ok(()));
            }
        }
        Taken::Unknown => record.trace.count("unknown"),
    }
}

/// G2: a receipt is signed, and says what was sent.
fn receipted(record: &mut Record, (edge, key): (&EdgeId, &[u8; 32]), intake: &Intake, text: &str) {
    let verified = receipt::verify(text, |named| (named == edge).then_some(*key));
    let found = match &verified {
        Ok(receipt) => holds(
            receipt.edge == *edge
                && receipt.claims.bid_id == intake.bid()
                && receipt.claims.amount == intake.amount(),
            || format!("{edge}: the receipt of {} speaks of another bid", intake.command()),
        ),
        Err(fault) => Err(format!("{edge}: {fault}")),
    };
    record.trace.check("g2_receipts_verify", found);
    let Ok(receipt) = verified else { return };
    let claims = receipt.claims;
    let place = (edge.clone(), claims.seq);
    if let Some(applied) = record.applied.get(&place) {
        record.trace.check(
            "ej6_receipt_names_the_entry_that_is_applied",
            holds(applied.hash == claims.hash && applied.stamp.earliest == claims.earliest, || {
                format!("{edge}/{} is another entry in the log", claims.seq)
            }),
        );
    }
    if let Some(tail) = record.outrun.get(edge) {
        record.trace.check(
            "row_restored_edge_gives_no_receipt",
            holds(claims.seq <= *tail, || format!("{edge}/{} was used before", claims.seq)),
        );
    }
    let twin =
        record.receipts.iter().find(|known| known.edge == *edge && known.claims.seq == claims.seq);
    // An image that the log has not outrun hides what only clients ever heard of: nobody can find that
    // out, and the two receipts prove it.
    let is_unheard = record.tainted.contains(edge) && !record.outrun.contains_key(edge);
    record.trace.check(
        "ej6_receipts_use_a_sequence_once",
        holds(is_unheard || twin.is_none_or(|known| known.claims.hash == claims.hash), || {
            format!("{edge}/{} was receipted twice", claims.seq)
        }),
    );
    if twin.is_none() {
        record.trace.count("receipt");
        let command = intake.command();
        record.receipts.push(Receipt { command, edge: edge.clone(), claims });
    }
}

/// RSM-1, G8: a verdict that a client hears is the one in the log.
fn verdict(record: &Record, edge: &EdgeId, command: CommandId, judged: &Judged) {
    record.trace.count("verdict heard");
    record.trace.check(
        "rsm1_no_verdict_before_its_entry",
        holds(judged.index <= record.last(), || {
            format!("{edge} told {command} a verdict of {}", judged.index)
        }),
    );
    if is_passing(judged.verdict.code()) {
        return;
    }
    let known = record.verdicts.get(&command);
    record.trace.check(
        "g8_every_edge_answers_the_first_verdict",
        holds(known.is_some_and(|known| same(known, judged)), || {
            format!("{edge} told {command} {judged:?}, the log has {known:?}")
        }),
    );
}

/// An edge may answer from its view: entry, time and what was placed are the same.
fn same(known: &Judged, told: &Judged) -> bool {
    use fairground_types::{Accepted, Verdict};
    let place = |judged: &Judged| match &judged.verdict {
        Verdict::Accepted(Accepted::BidPlaced { auction, bid, amount, .. }) => {
            Some((*auction, *bid, Some(*amount)))
        }
        Verdict::Accepted(Accepted::AuctionOpened { auction, bid, .. }) => {
            Some((*auction, *bid, None))
        }
        Verdict::Accepted(_) | Verdict::Rejected(_) => None,
    };
    known == told
        || (known.index == told.index
            && known.at == told.at
            && place(known).is_some()
            && place(known) == place(told))
}

/// G12: an edge refuses only on a fact that is true at the index that it names.
fn refused(record: &Record, intake: &Intake, code: Code, index: LogIndex) {
    record.trace.count("refused by an edge");
    let trace = &record.trace;
    let command = intake.command();
    let placed = record.verdicts.get(&command).filter(|judged| judged.index <= index);
    if code != Code::IdempotencyKeyReused {
        trace.check(
            "g12_never_for_a_command_that_is_placed",
            holds(!placed.is_some_and(|judged| judged.verdict.is_accepted()), || {
                format!("{command} was refused with {code} and is placed")
            }),
        );
    }
    let fact = match (code, intake) {
        (Code::BidTooLow, Intake::Bid(bid)) => {
            let moment = record.auctions.get(&bid.auction).and_then(|known| known.moment(index));
            holds(moment.is_some_and(|moment| bid.amount.minor() < moment.min_next.minor()), || {
                format!("{command} of {} was no too low at {index}: {moment:?}", bid.amount)
            })
        }
        (Code::AuctionClosed | Code::AuctionLocked, Intake::Bid(bid)) => {
            let moment = record.auctions.get(&bid.auction).and_then(|known| known.moment(index));
            holds(moment.is_some_and(|moment| !moment.is_open), || {
                format!("{command}: {} was open at {index}", bid.auction)
            })
        }
        (Code::IdempotencyKeyReused, _) => {
            let bodies = record.sent.get(&command).map_or(0, Vec::len);
            holds(bodies > 1, || format!("{command} was used once"))
        }
        (Code::SelfBid | Code::InvalidState, _) => Ok(()),
        (other, _) => Err(format!("{command} was refused with {other}")),
    };
    trace.check("g12_edge_refuses_only_on_what_is_true", fact);
}
