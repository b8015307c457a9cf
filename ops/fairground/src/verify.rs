//! `fairground verify`: checks what somebody was given, without asking anybody.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_runtime::receipt::{self, Receipt};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::VerifyVerb;
use crate::output;

/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// What `/.well-known/keys` answers, as far as it is read here.
#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    kid: String,
    purpose: String,
    public_key: String,
}

pub(crate) fn run(verb: VerifyVerb) -> anyhow::Result<()> {
    let VerifyVerb::Receipt { file, keys, json } = verb;
    let keys = receipt_keys(&read(&keys)?).context("read the keys")?;
    let text = receipt_in(&read(&file)?)?;
    let checked = receipt::verify(&text, |edge| keys.get(&edge.to_string()).copied())
        .map_err(|fault| anyhow::anyhow!("RECEIPT_INVALID: this {fault}"))?;
    if json {
        return output::json(&serde_json::to_value(&checked)?);
    }
    shown(&checked)
}

fn shown(Receipt { cluster, edge, claims }: &Receipt) -> anyhow::Result<()> {
    let about = match (claims.auction_id, claims.story_id) {
        (Some(auction), _) => format!("for auction {auction}"),
        (None, Some(story)) => format!("for story {story}"),
        (None, None) => "for nothing".to_owned(),
    };
    output::line(&format!("valid: bid {} of {} {about}", claims.bid_id, claims.amount))?;
    output::line(&format!("  received  {} to {}, by edge {edge}", claims.earliest, claims.latest))?;
    output::line(&format!("  counts    until {}", claims.valid_until))?;
    output::line(&format!("  journal   entry {}, {}", claims.seq, claims.hash))?;
    output::line(&format!("  after     {}", claims.previous_hash))?;
    output::line(&format!("  cluster   {cluster}, view at entry {}", claims.view_index))?;
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    file.take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("read {}", path.display()))?;
    ensure!(u64::try_from(text.len())? <= FILE_MAX, "{} is too long", path.display());
    Ok(text)
}

/// The receipt alone, or inside of the answer to a bid.
fn receipt_in(text: &str) -> anyhow::Result<String> {
    let text = text.trim();
    if !text.starts_with('{') {
        return Ok(text.to_owned());
    }
    let answer: Value = serde_json::from_str(text).context("read the answer that holds it")?;
    let receipt = answer.get("receipt").and_then(Value::as_str);
    receipt.map(str::to_owned).context("find a receipt in the answer")
}

fn receipt_keys(text: &str) -> anyhow::Result<BTreeMap<String, [u8; 32]>> {
    let Keys { keys } = serde_json::from_str(text)?;
    let receipts = keys.into_iter().filter(|key| key.purpose == "receipt");
    receipts
        .map(|key| {
            let bytes = URL_SAFE_NO_PAD.decode(&key.public_key)?;
            let bytes = <[u8; 32]>::try_from(bytes.as_slice())
                .with_context(|| format!("{} is no Ed25519 key", key.kid))?;
            Ok((key.kid, bytes))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use fairground_runtime::receipt::{Claims, ReceiptSigner};
    use fairground_runtime::secret::SigningPair;
    use fairground_types::{
        AuctionId, BidId, ChainHash, ClusterId, Currency, EdgeId, LogIndex, Money, Timestamp,
    };

    use super::*;

    fn receipt(pair: &SigningPair) -> String {
        let edge = EdgeId::new("eu-1", 3).expect("valid");
        let signer = ReceiptSigner::new(ClusterId::from_bits(5), edge, pair.expose_pkcs8());
        let claims = Claims {
            bid_id: BidId::from_bits(9),
            auction_id: Some(AuctionId::from_bits(1)),
            story_id: None,
            bidder: "b1".to_owned(),
            amount: Money::new(10_000, Currency::Eur),
            earliest: Timestamp::from_unix_millis(1_000),
            latest: Timestamp::from_unix_millis(1_004),
            valid_until: Timestamp::from_unix_millis(9_000),
            seq: 1,
            previous_hash: ChainHash::START,
            hash: ChainHash::START,
            view_index: LogIndex(7),
        };
        signer.expect("a key").sign(&[claims])[0].to_string()
    }

    #[test]
    fn a_receipt_is_checked_with_nothing_but_two_files() {
        let folder = tempfile::tempdir().expect("made");
        let pair = SigningPair::generate().expect("made");
        let receipt = receipt(&pair);
        let keys = |kid: &str| {
            let public_key = URL_SAFE_NO_PAD.encode(pair.public());
            let key =
                serde_json::json!({"kid": kid, "purpose": "receipt", "publicKey": public_key});
            serde_json::json!({"keys": [key]}).to_string()
        };
        let ask = |held: &str, keys: &str| {
            let (file, keys_file) = (folder.path().join("r"), folder.path().join("k"));
            std::fs::write(&file, held).expect("written");
            std::fs::write(&keys_file, keys).expect("written");
            let answer = run(VerifyVerb::Receipt { file, keys: keys_file, json: false });
            answer.map_err(|error| format!("{error:#}"))
        };
        assert_eq!(ask(&format!("{receipt}\n"), &keys("eu-1.3")), Ok(()));
        let answer = serde_json::json!({"state": "received", "receipt": receipt}).to_string();
        assert_eq!(ask(&answer, &keys("eu-1.3")), Ok(()));
        let stranger = ask(&receipt, &keys("eu-1.4")).expect_err("another edge's key");
        assert!(stranger.starts_with("RECEIPT_INVALID: this is signed by an edge"), "{stranger}");
        let (signed, rest) = receipt.split_once('~').expect("three parts");
        let altered = ask(&format!("{signed}~e30~{rest}"), &keys("eu-1.3"));
        assert!(altered.expect_err("altered").contains("RECEIPT_INVALID"));
        assert!(ask("{}", &keys("eu-1.3")).is_err(), "no receipt in it");
        assert!(ask(&receipt, "[]").is_err(), "no keys");
    }
}
