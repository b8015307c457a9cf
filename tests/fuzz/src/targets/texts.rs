//! Texts that people and machines hand in: receipts, tokens, cursors, names, ids, configuration.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use fairground_runtime::access::Verifier;
use fairground_runtime::config;
use fairground_runtime::cursor::CursorKey;
use fairground_runtime::pki::JoinToken;
use fairground_runtime::receipt::{self, Claims, ReceiptSigner};
use fairground_runtime::secret::SigningPair;
use fairground_types::money::Money;
use fairground_types::text::{Handle, IdempotencyKey, Note, Region};
use fairground_types::{
    AuctionId, BidId, ChainHash, ClusterId, Code, Currency, EdgeId, LogIndex, Timestamp,
};

use crate::{Outcome, Target};

const CLUSTER: ClusterId = ClusterId::from_bits(5);
const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);

fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

fn keys() -> &'static SigningPair {
    static PAIR: std::sync::OnceLock<SigningPair> = std::sync::OnceLock::new();
    PAIR.get_or_init(|| SigningPair::generate().expect("a key"))
}

fn edge() -> EdgeId {
    EdgeId::new("eu-1", 3).expect("valid")
}

/// Three receipts of one commit.
fn receipts() -> Vec<String> {
    let claims = |seq: u64| Claims {
        bid_id: BidId::from_bits(u128::from(seq)),
        auction_id: Some(AuctionId::from_bits(1)),
        story_id: None,
        bidder: "b1".to_owned(),
        amount: Money::new(10_000, Currency::Eur),
        earliest: NOW,
        latest: NOW,
        valid_until: NOW,
        seq,
        previous_hash: ChainHash::START,
        hash: ChainHash::START,
        view_index: LogIndex(7),
    };
    let signer = ReceiptSigner::new(CLUSTER, edge(), keys().expose_pkcs8()).expect("a key");
    let made = signer.sign(&[claims(1), claims(2), claims(3)]);
    made.iter().map(|text| text.to_string()).collect()
}

/// A receipt is good when it is one of those that the edge signed, and never otherwise. The first
/// byte says which one is changed by the rest of the input: its bytes are added to it.
fn receipt(input: &[u8]) -> Outcome {
    thread_local! {
        static MADE: OnceCell<Vec<String>> = const { OnceCell::new() };
    }
    let known = |wanted: &EdgeId| (*wanted == edge()).then(|| *keys().public());
    if let Some(text) = text(input) {
        let _ = receipt::verify(text, known);
    }
    MADE.with(|made| {
        let made = made.get_or_init(receipts);
        let Some((which, change)) = input.split_first() else { return Outcome::Refused };
        let Some(good) = made.get(usize::from(*which) % made.len()) else {
            return Outcome::Refused;
        };
        let mut bytes = good.clone().into_bytes();
        for pair in change.chunks_exact(3).take(8) {
            let [high, low, new] = pair else { continue };
            let place = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
            if let Some(byte) = bytes.get_mut(place) {
                *byte = new & 0x7F;
            }
        }
        let changed = String::from_utf8(bytes).expect("ASCII");
        match receipt::verify(&changed, known) {
            Ok(checked) => {
                assert!(
                    receipt::verify(good, known).as_ref() == Ok(&checked),
                    "an altered receipt says something else: {changed}"
                );
                Outcome::Read
            }
            Err(_) => Outcome::Refused,
        }
    })
}

fn access_token(input: &[u8]) -> Outcome {
    let Some(text) = text(input) else { return Outcome::Refused };
    let verifier = Verifier::new(CLUSTER, [("k1", *keys().public())]);
    assert!(verifier.verify(text, NOW).is_err(), "nobody signed this");
    Outcome::Refused
}

fn join_token(input: &[u8]) -> Outcome {
    let Some(token) = text(input).and_then(|text| text.parse::<JoinToken>().ok()) else {
        return Outcome::Refused;
    };
    let text = token.expose_text().expect("it was one");
    assert!(text.parse::<JoinToken>().is_ok_and(|again| again == token));
    Outcome::Read
}

fn cursor(input: &[u8]) -> Outcome {
    let Some(text) = text(input) else { return Outcome::Refused };
    let key = CursorKey::derive(&[1; 32]);
    assert!(key.open::<u64>("a list", text, NOW).is_err(), "nobody sealed this");
    Outcome::Refused
}

/// Names, ids and amounts as they stand in paths and bodies: what is read is written the same.
fn names(input: &[u8]) -> Outcome {
    let Some(text) = text(input) else { return Outcome::Refused };
    let mut is_read = false;
    let mut same = |written: Option<String>, is_exact: bool| {
        let Some(written) = written else { return };
        is_read = true;
        assert!(!is_exact || written == text, "{text:?} was read as {written:?}");
    };
    same(text.parse::<AuctionId>().ok().map(|id| id.to_string()), true);
    same(text.parse::<BidId>().ok().map(|id| id.to_string()), true);
    same(text.parse::<ClusterId>().ok().map(|id| id.to_string()), true);
    same(text.parse::<EdgeId>().ok().map(|id| id.to_string()), true);
    same(Code::parse(text).map(|code| code.as_str().to_owned()), true);
    same(Handle::parse(text).ok().map(|it| it.as_str().to_owned()), false);
    same(Region::parse(text).ok().map(|it| it.as_str().to_owned()), false);
    same(Note::parse(text).ok().map(|it| it.as_str().to_owned()), false);
    same(IdempotencyKey::parse(text).ok().map(|it| it.as_str().to_owned()), false);
    for currency in [Currency::Eur, Currency::Jpy, Currency::Kwd] {
        if let Ok(money) = Money::parse_major(text, currency) {
            is_read = true;
            assert_eq!(money.currency(), currency);
        }
    }
    let instant: Result<Timestamp, _> = serde_json::from_value(serde_json::json!(text));
    if let Ok(instant) = instant {
        is_read = true;
        let again: Timestamp =
            serde_json::from_value(serde_json::json!(instant.to_string())).expect("our own text");
        assert_eq!(again, instant);
    }
    if is_read { Outcome::Read } else { Outcome::Refused }
}

fn config_of<T>(input: &[u8]) -> Outcome
where
    T: serde::de::DeserializeOwned + serde::Serialize + Default,
{
    thread_local! {
        static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
    }
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a folder"));
        let file = folder.path().join("config.toml");
        std::fs::write(&file, input).expect("written");
        let none = BTreeMap::<String, String>::new();
        match config::load_from::<T>(Some(&file), "FUZZ", none) {
            Ok(options) => {
                serde_json::to_value(&options).expect("it can be shown");
                Outcome::Read
            }
            Err(error) => {
                // An operator reads it.
                assert!(!error.to_string().is_empty());
                Outcome::Refused
            }
        }
    })
}

/// An environment instead of a file: `NAME=VALUE` lines.
fn environment(input: &[u8]) -> Outcome {
    let Some(text) = text(input) else { return Outcome::Refused };
    let variables = text.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    match config::load_from::<fairground_node::Options>(None, "FAIRGROUND_NODE", variables) {
        Ok(_) => Outcome::Read,
        Err(_) => Outcome::Refused,
    }
}

pub(super) const TARGETS: &[Target] = &[
    Target { name: "receipt", run: receipt, golden: &[] },
    Target { name: "access_token", run: access_token, golden: &[] },
    Target { name: "join_token", run: join_token, golden: &[] },
    Target { name: "cursor", run: cursor, golden: &[] },
    Target { name: "names", run: names, golden: &[] },
    Target { name: "config_edge", run: config_of::<fairground_node::Options>, golden: &[] },
    Target { name: "environment", run: environment, golden: &[] },
];
