//! Each rule of the checker is broken in one place of a sound history, and seen to be.

use super::check::{Report, check};
use super::load::{Answer, Done, History, View};
use super::synthetic;
use super::{JudgedBid, Line, Operation, Receipt, Recorder, Seen, Told, What};

fn sound() -> History {
    synthetic::history(11, 3_000)
}

/// The rules that a planted fault breaks.
fn broken(plant: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = sound();
    plant(&mut history);
    let report = check(&history);
    let mut rules: Vec<&str> = report.violations.iter().map(|found| found.rule).collect();
    rules.dedup();
    assert!(!report.is_clean(), "nothing was found");
    rules
}

fn judged_place(history: &History) -> usize {
    let is_judged = |done: &Done| matches!(done, Done::Bid(_, Answer::Judged { code: None, .. }));
    history.steps.iter().rposition(|step| is_judged(&step.done)).expect("there are verdicts")
}

#[test]
fn a_sound_history_breaks_no_rule_and_every_rule_looks_at_something() {
    let report = check(&sound());
    assert!(report.is_clean(), "{report}");
    assert!(report.unknown > 0 && report.unknown_found > 0, "{report}");
    assert!(report.unknown_found < report.unknown, "{report}");
    assert_eq!((report.lost, report.undecided), (0, 0));
    let rules = [
        "log time never falls",
        "no early close",
        "no sequence twice",
        "nothing is invented",
        "one chain per journal",
        "one verdict per bid",
        "prices",
        "real time",
        "sessions go forward",
        "stamps are as receipted",
        "unknown is there or never seen",
        "verdicts are final",
        "views equal the model",
        "what is received is judged",
    ];
    for rule in rules {
        assert!(report.looked_at.get(rule).is_some_and(|count| *count > 0), "{rule}: {report}");
    }
}

#[test]
fn an_answer_that_the_record_contradicts_is_found() {
    let rules = broken(|history| {
        let place = judged_place(history);
        let Done::Bid(command, Answer::Judged { index, code }) = history.steps[place].done else {
            unreachable!()
        };
        let answer = Answer::Judged { index: index + 1, code };
        history.steps[place].done = Done::Bid(command, answer);
    });
    assert!(rules.contains(&"verdicts are final"), "{rules:?}");
}

#[test]
fn a_received_bid_without_a_verdict_is_lost() {
    let mut history = sound();
    let refused = history.auctions[0].refused.pop().expect("some were refused");
    history.auctions[0].refused_count -= 1;
    let report = check(&history);
    let command = history.commands.iter().position(|it| it.bid == Some(refused.bid));
    assert_eq!(report.lost, u64::from(command.is_some()), "{report}");
    assert!(!report.is_clean() || command.is_none());
}

#[test]
fn a_price_against_the_rules_is_found() {
    let rules = broken(|history| {
        for auction in &mut history.auctions {
            for bid in &mut auction.refused {
                bid.code = None;
            }
            let refused = std::mem::take(&mut auction.refused);
            auction.placed.extend(refused);
            auction.placed.sort_by_key(|bid| (bid.index, bid.earliest));
            auction.refused_count = 0;
        }
    });
    assert!(rules.contains(&"prices"), "{rules:?}");
    let rules = broken(|history| {
        // Everything would have been high enough.
        for bid in history.auctions.iter_mut().flat_map(|auction| &mut auction.refused) {
            bid.amount += 1_000_000;
        }
        for auction in &history.auctions {
            for bid in &auction.refused {
                let command = history.commands.iter_mut().find(|it| it.bid == Some(bid.bid));
                if let Some(command) = command {
                    command.amount = bid.amount;
                }
            }
        }
    });
    assert!(rules.contains(&"prices"), "{rules:?}");
}

#[test]
fn a_bid_that_is_older_in_the_log_than_what_its_bidder_had_seen_is_found() {
    let rules = broken(|history| {
        let end = history.steps.iter().map(|step| step.answered).filter(|at| *at != u64::MAX).max();
        let first = history.steps.iter_mut().find(|step| matches!(step.done, Done::Bid(..)));
        let first = first.expect("there are bids");
        first.called = end.expect("some were answered") + 1;
        first.answered = first.called + 1;
    });
    assert_eq!(rules, ["real time"]);
}

#[test]
fn a_view_that_no_index_explains_is_found() {
    let rules = broken(|history| history.views[20].count += 1);
    assert_eq!(rules, ["views equal the model"]);
    let rules = broken(|history| history.views[20].amount += 1);
    assert_eq!(rules, ["views equal the model"]);
    let rules = broken(|history| history.views[20].min_next = Some(1));
    assert_eq!(rules, ["views equal the model"]);
}

#[test]
fn a_session_that_goes_back_is_found() {
    let rules = broken(|history| {
        let looks: Vec<usize> = (0..history.steps.len())
            .filter(|at| matches!(history.steps[*at].done, Done::Look(..)))
            .collect();
        let old = history.steps[looks[0]];
        let last = history.steps[*looks.last().expect("there are looks")];
        let again = super::load::Step {
            called: last.called,
            answered: last.answered,
            session: last.session,
            edge: last.edge,
            ..old
        };
        // The same session sees the newest, then the oldest.
        history.steps.push(super::load::Step {
            called: last.called - 20,
            answered: last.called - 10,
            ..last
        });
        history.steps.push(again);
    });
    assert_eq!(rules, ["sessions go forward"]);
}

#[test]
fn a_bid_that_nobody_sent_is_found() {
    let rules = broken(|history| {
        let mut bid = *history.auctions[0].placed.last().expect("some");
        bid.bid = 4_000_000;
        bid.seq = 4_000_000;
        bid.amount += 1;
        bid.index += 10_000;
        bid.earliest += 10_000;
        bid.at = history.auctions[0].closes_at;
        history.auctions[0].placed.push(bid);
    });
    assert!(rules.contains(&"nothing is invented"), "{rules:?}");
}

#[test]
fn a_bid_that_is_judged_twice_is_found() {
    let rules = broken(|history| {
        let bid = *history.auctions[0].placed.last().expect("some");
        history.auctions[1].placed.push(bid);
    });
    assert!(rules.contains(&"one verdict per bid"), "{rules:?}");
    assert!(rules.contains(&"no sequence twice"), "{rules:?}");
}

#[test]
fn a_bid_that_was_declined_and_kept_is_found() {
    let rules = broken(|history| {
        let place = judged_place(history);
        let Done::Bid(command, _) = history.steps[place].done else { unreachable!() };
        history.steps[place].done = Done::Bid(command, Answer::Declined);
    });
    assert!(rules.contains(&"what is declined is not kept"), "{rules:?}");
}

#[test]
fn an_auction_that_ends_early_or_takes_late_bids_is_found() {
    let rules = broken(|history| {
        let closes_at = history.auctions[0].closes_at;
        history.auctions[0].ended_at = Some(closes_at - 1);
    });
    assert_eq!(rules, ["no early close"]);
    let rules = broken(|history| {
        let last = history.auctions[0].placed.last().expect("some").earliest;
        history.auctions[0].closes_at = last;
        let auction = history.auctions[0].auction;
        // Views of it would be wrong as well.
        history.steps.retain(|step| !matches!(step.done, Done::Look(of, _) if of == auction));
    });
    assert_eq!(rules, ["closes"]);
}

#[test]
fn a_close_or_a_validity_that_did_not_happen_is_found() {
    for (code, rule) in [
        ("AUCTION_CLOSED", "closes"),
        ("BID_EXPIRED", "closes"),
        ("STAMP_REFUSED", "codes of the rules"),
    ] {
        let rules = broken(|history| {
            let code = history.code_names.number(code);
            let receipts: Vec<u32> = history.receipts.iter().map(|held| held.command).collect();
            let receipted = |bid: u32| {
                receipts.iter().any(|it| history.commands[*it as usize].bid == Some(bid))
            };
            let place = history.auctions[0].refused.iter().position(|bid| receipted(bid.bid));
            history.auctions[0].refused[place.expect("one with a receipt")].code = Some(code);
        });
        assert!(rules.contains(&rule), "{code}: {rules:?}");
    }
}

#[test]
fn a_journal_that_says_two_things_is_found() {
    let rules = broken(|history| history.receipts[5].hash += 1_000_000);
    assert_eq!(rules, ["one chain per journal"]);
    let rules = broken(|history| {
        let mut forked = history.receipts[5];
        forked.command = history.receipts[6].command;
        history.receipts.push(forked);
    });
    assert!(rules.contains(&"one chain per journal"), "{rules:?}");
    let rules = broken(|history| history.receipts[5].earliest += 1);
    assert_eq!(rules, ["stamps are as receipted"]);
}

#[test]
fn log_time_that_falls_and_an_entry_out_of_its_sequence_are_found() {
    let rules = broken(|history| {
        let bid = &mut history.auctions[3].placed[5];
        bid.at -= 1_000_000_u64.min(bid.at);
    });
    assert_eq!(rules, ["log time never falls"]);
    let rules = broken(|history| {
        let bid = history.auctions[3].placed.last_mut().expect("some");
        bid.index = 1;
    });
    assert!(rules.contains(&"sequence of an entry"), "{rules:?}");
}

#[test]
fn an_edge_that_refuses_without_a_reason_is_found() {
    let rules = broken(|history| {
        let too_low = history.code_names.number("BID_TOO_LOW");
        let place = judged_place(history);
        let Done::Bid(command, Answer::Judged { index, .. }) = history.steps[place].done else {
            unreachable!()
        };
        // It was accepted: at the entry before it was not too low.
        let answer = Answer::RefusedAtEdge { index: index - 1, code: too_low };
        history.steps[place].done = Done::Bid(command, answer);
    });
    assert!(rules.contains(&"edges refuse on facts"), "{rules:?}");
    assert!(rules.contains(&"what is declined is not kept"), "{rules:?}");
}

#[test]
fn an_unknown_bid_that_is_not_there_and_was_seen_is_found() {
    let rules = broken(|history| {
        let absent = history.commands.iter().position(|command| command.amount > 1 << 30);
        let command = history.commands[absent.expect("one never arrived")];
        let view = View { bid: 5_000_000, amount: command.amount, ..history.views[3] };
        history.views[3] = view;
    });
    assert_eq!(rules, ["views equal the model"]);
}

/// What a file tells is what was recorded, and it is checked alike.
#[test]
fn a_history_survives_its_file() {
    let folder = tempfile::tempdir().expect("made");
    let file = folder.path().join("h.jsonl");
    let recorder = Recorder::create(&file, 9).expect("made");
    let write = |line: &Line| recorder.write(line).expect("written");
    write(&Line::Session { session: 1, user: "usr_1".to_owned() });
    write(&Line::Blow { at: 5, what: "kill m1".to_owned() });
    let receipt = |seq: u64| Receipt {
        edge: "e.1".to_owned(),
        seq,
        earliest: 10 + seq,
        latest: 12 + seq,
        valid_until: 900,
        previous: format!("h{}", seq - 1),
        hash: format!("h{seq}"),
    };
    let did = |called: u64, what: What| {
        let answered = Some(called + 5);
        Line::Did(Operation { session: 1, edge: 0, life: Some(1), called, answered, what })
    };
    let bid = |key: &str, amount: u64, told: Told| What::Bid {
        key: key.to_owned(),
        auction: "auc_1".to_owned(),
        amount,
        told,
    };
    let accepted = |seq: u64, index: u64| Told::Accepted {
        bid: format!("bid_{seq}"),
        index,
        receipt: Some(receipt(seq)),
    };
    write(&did(10, bid("k1", 100, accepted(1, 7))));
    write(&did(20, bid("k2", 105, accepted(2, 9))));
    write(&did(30, bid("k3", 105, Told::Unknown { why: "gone".to_owned() })));
    let seen = Seen {
        index: 9,
        bid: "bid_2".to_owned(),
        amount: 105,
        count: 2,
        min_next: Some(110),
        closes_at: 800,
    };
    write(&did(40, What::Look { auction: "auc_1".to_owned(), seen: Some(seen) }));
    let row = |seq: u64, amount: u64, index: u64| JudgedBid {
        bid: format!("bid_{seq}"),
        user: "usr_1".to_owned(),
        amount,
        edge: "e.1".to_owned(),
        seq,
        earliest: 10 + seq,
        latest: 12 + seq,
        index,
        at: 20 + index,
        code: None,
        late: false,
    };
    write(&Line::End(super::AuctionEnd {
        auction: "auc_1".to_owned(),
        increment_points: 100,
        increment_floor: 5,
        closes_at: 800,
        ended_at: Some(801),
        unheard: Vec::new(),
        placed: vec![row(1, 100, 7), row(2, 105, 9)],
        refused: Vec::new(),
        refused_count: 0,
    }));
    recorder.flush().expect("written");
    let report = check(&History::read(&file).expect("readable"));
    // k2 and k3 are the same bid twice: nothing could tell them apart.
    let rules: Vec<&str> = report.violations.iter().map(|found| found.rule).collect();
    assert_eq!(rules, ["one bid per key"], "{report}");
    assert_eq!((report.bids, report.judged, report.unknown), (3, 2, 1), "{report}");
    let text = std::fs::read_to_string(&file).expect("readable");
    std::fs::write(&file, text.replacen("\"version\":1", "\"version\":9", 1)).expect("written");
    assert!(History::read(&file).is_err(), "lines of another version");
}

/// In a release build ten million take less than a minute: `fairground-faults measure 10000000`.
#[test]
fn a_hundred_thousand_operations_are_checked_at_once() {
    let history = synthetic::history(5, 100_000);
    let began = std::time::Instant::now();
    let report: Report = check(&history);
    assert!(report.is_clean(), "{report}");
    assert!(began.elapsed().as_secs() < 30, "took {:?}", began.elapsed());
}
