//! A log of every version of the rules: it is judged for ever as it was judged first.
//!
//! `logs/rules-N.log` holds the digest of everything that came of it (verdicts and public events),
//! then an entry a line. `FAIRGROUND_BLESS=1` plays the tables anew and writes the files; after a
//! release a changed digest of a version that was released is a fault.

use std::fs;
use std::path::PathBuf;

use fairground_types::command::Entry;
use fairground_types::{Digest, LogIndex};

use crate::script::World;
use crate::{Market, RULES_VERSION};

/// One piece from its offer to its completion under a version of the rules.
fn table(rules: u32) -> String {
    // From version 2 on an auction opens until a full second.
    let (closes, extended) = match rules {
        1 => ("13:00:00.500", "13:15:00.500"),
        _ => ("13:00:01", "13:15:01"),
    };
    // From version 3 on who has a key signs.
    let signed = match rules {
        1 | 2 => "",
        _ => {
            "12:20:00      in d                           -> done
        12:20:01      key d ed                       -> done
        12:20:02      bid A d EUR 110.00             -> SIGNATURE_REQUIRED
        12:20:03      bid A d EUR 110.00 signed p    -> SIGNATURE_REFUSED
        12:20:04      bid A d EUR 106.00 signed ed   -> BID_TOO_LOW minimum 110.00"
        }
    };
    format!(
        "rules {rules}
        policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00.500  offer S1 a EUR 100.00          -> opened A; A closes {closes}
        12:10:00      bid A b EUR 105.00 via e2      -> placed
        12:10:01      bid A c EUR 105.00             -> BID_TOO_LOW minimum 110.00
        {signed}
        12:50:00      bid A c EUR 110.00             -> placed; A closes {extended}
        13:15:02      tick marks 13:15:02            -> A locked to c at 110.00 (AutoAtClose)
        13:20:00      paid A EUR 110.00 ev_1         -> done; A closed (Sold); S1 sold
        14:00:00      ship A m BOAT-1                -> done
        15:00:00      confirm A c                    -> done
        15:10:00      issue A c #1 damaged           -> done
        15:10:01      assign #1 cluster b            -> done
        15:10:02      decide #1 cluster partial EUR 10.00 -> done
        9d15:00:00    tick                           ->"
    )
}

fn path(rules: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("src/tests/logs/rules-{rules}.log"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

/// What a log comes to: the market, and a digest of all that was said.
fn replay(log: &[Entry]) -> (Market, Digest) {
    let mut market = Market::default();
    let mut said = Vec::new();
    for (index, entry) in (1..).zip(log) {
        let applied = market.apply(LogIndex(index), entry);
        said.extend(wincode::serialize(&applied.outcomes).expect("small"));
        for told in &applied.judged {
            said.extend(wincode::serialize(&told.judged.verdict).expect("small"));
        }
        said.extend(wincode::serialize(&applied.feed).expect("small"));
    }
    (market, Digest::of(&said))
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whether to write the files is asked of whoever runs it"
)]
fn a_log_of_every_version_is_judged_as_it_was_first() {
    let is_blessing = std::env::var("FAIRGROUND_BLESS").is_ok_and(|value| value == "1");
    let mut digests = Vec::new();
    for rules in 1..=RULES_VERSION {
        if is_blessing {
            let world = World::play(&table(rules)).unwrap_or_else(|why| panic!("{why}"));
            let entries = world
                .log
                .iter()
                .map(|entry| hex(&wincode::serialize(entry).expect("small")) + "\n");
            let digest = format!("{}\n", replay(&world.log).1);
            let text: String = std::iter::once(digest).chain(entries).collect();
            fs::write(path(rules), text).expect("the folder is there");
        }
        let text = fs::read_to_string(path(rules)).expect("every version has its log");
        let mut lines = text.lines();
        let digest = lines.next().expect("a digest").to_owned();
        let log: Vec<Entry> =
            lines.map(|line| wincode::deserialize(&bytes(line)).expect("an entry")).collect();
        let (market, came) = replay(&log);
        assert_eq!(came.to_string(), digest, "rules {rules}");
        assert_eq!(market.rules_version(), rules);
        assert_eq!(market.orders().len(), 1);
        digests.push(digest);
    }
    digests.dedup();
    assert_eq!(digests.len(), RULES_VERSION as usize, "versions differ in what they decide");
}
