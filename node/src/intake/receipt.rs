//! Receipts: what a bidder holds in hand once a bid is on this edge's disk.
//!
//! A compact JWS (RFC 7515) signed with EdDSA (RFC 8037) by the edge's own key, whose public part
//! the cluster knows under the edge's id. Claims name the journal record and the one before it, so
//! that receipts of one edge form a chain. It must not say who the bidder is: only a hash that this
//! edge can repeat.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_types::journal::{Intake, JournalEntry};
use fairground_types::{
    AuctionId, BidId, ChainHash, ClusterId, EdgeId, LogIndex, Money, StoryId, Timestamp, UserId,
};
use serde::Serialize;

use crate::error::Error;

/// Media type in the header of a receipt.
const RECEIPT_TYPE: &str = "fairground-receipt+jws";
const BIDDER_CONTEXT: &str = "fairground 2026 receipt bidder v1";

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a EdgeId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claims<'a> {
    cluster: ClusterId,
    bid_id: BidId,
    #[serde(skip_serializing_if = "Option::is_none")]
    auction_id: Option<AuctionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    story_id: Option<StoryId>,
    bidder: String,
    #[serde(flatten)]
    amount: Money,
    earliest: Timestamp,
    latest: Timestamp,
    valid_until: Timestamp,
    edge: &'a EdgeId,
    seq: u64,
    previous_hash: ChainHash,
    hash: ChainHash,
    view_index: LogIndex,
}

/// Signs receipts of one edge.
pub(crate) struct ReceiptSigner {
    cluster: ClusterId,
    pub(super) edge: EdgeId,
    key: Ed25519KeyPair,
    bidder_key: [u8; 32],
    header: String,
}

impl ReceiptSigner {
    /// Takes the edge's receipt key (Ed25519, PKCS #8).
    pub(crate) fn new(cluster: ClusterId, edge: EdgeId, pkcs8: &[u8]) -> Result<Self, Error> {
        let key = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| Error::ReceiptKey)?;
        let header = Header { alg: "EdDSA", typ: RECEIPT_TYPE, kid: &edge };
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(Error::Json)?);
        let bidder_key = blake3::derive_key(BIDDER_CONTEXT, pkcs8);
        Ok(Self { cluster, edge, key, bidder_key, header })
    }

    /// Signs the receipt of a synced entry. `previous` is the journal's hash before it, `view` the
    /// index that the edge judged it on.
    pub(crate) fn sign(
        &self,
        entry: &JournalEntry,
        previous: ChainHash,
        view: LogIndex,
    ) -> Result<String, Error> {
        let (auction_id, story_id) = match &entry.intake {
            Intake::Bid(bid) => (Some(bid.auction), None),
            Intake::Offer(offer) => (None, Some(offer.story)),
        };
        let claims = Claims {
            cluster: self.cluster,
            bid_id: entry.intake.bid(),
            auction_id,
            story_id,
            bidder: self.bidder(entry.intake.user()),
            amount: entry.intake.amount(),
            earliest: entry.stamp.earliest,
            latest: entry.stamp.latest,
            valid_until: entry.intake.valid_until(),
            edge: &self.edge,
            seq: entry.seq,
            previous_hash: previous,
            hash: entry.hash,
            view_index: view,
        };
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).map_err(Error::Json)?);
        let mut text = format!("{}.{payload}", self.header);
        let signature = self.key.sign(text.as_bytes());
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature.as_ref()));
        Ok(text)
    }

    fn bidder(&self, user: UserId) -> String {
        let hash = blake3::keyed_hash(&self.bidder_key, &user.to_bits().to_le_bytes());
        hash.to_hex().chars().take(32).collect()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use fairground_runtime::secret::SigningPair;
    use fairground_types::journal::{PlaceBid, Stamp, Tail};
    use fairground_types::{CommandId, Currency};

    use super::*;

    fn entry(tail: Tail, amount: u64) -> JournalEntry {
        let stamp = Stamp {
            earliest: Timestamp::from_unix_millis(1_000),
            latest: Timestamp::from_unix_millis(1_004),
        };
        let bid = PlaceBid {
            command: CommandId::from_bytes([3; 32]),
            auction: AuctionId::from_bits(1),
            bidder: UserId::from_bits(2),
            amount: Money::new(amount, Currency::Eur),
            maximum: None,
            valid_until: Timestamp::from_unix_millis(9_000),
        };
        JournalEntry::after(tail, stamp, Intake::Bid(bid))
    }

    fn claims(receipt: &str) -> serde_json::Value {
        let payload = receipt.split('.').nth(1).expect("three parts");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("json")
    }

    #[test]
    fn receipts_verify_with_the_public_key_and_form_a_chain() {
        let pair = SigningPair::generate().expect("made");
        let edge = EdgeId::new("eu-1", 3).expect("valid");
        let signer =
            ReceiptSigner::new(ClusterId::from_bits(5), edge, pair.expose_pkcs8()).expect("key");
        let first = entry(Tail::START, 100);
        let second = entry(first.tail(), 200);
        let receipts = [
            signer.sign(&first, ChainHash::START, LogIndex(7)).expect("signed"),
            signer.sign(&second, first.hash, LogIndex(8)).expect("signed"),
        ];
        for receipt in &receipts {
            let (text, signature) = receipt.rsplit_once('.').expect("three parts");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
            let public = UnparsedPublicKey::new(&ED25519, pair.public());
            assert!(public.verify(text.as_bytes(), &signature).is_ok());
            let altered = text.replacen("eyJhbGci", "eyJhbGcj", 1);
            assert!(public.verify(altered.as_bytes(), &signature).is_err());
        }
        let [first_claims, second_claims] = receipts.map(|receipt| claims(&receipt));
        assert_eq!(first_claims["hash"], second_claims["previousHash"]);
        assert_eq!(second_claims["seq"], 2);
        assert_eq!(first_claims["edge"], "eu-1.3");
        assert_eq!(first_claims["amountMinor"], 100);
        assert_eq!(first_claims["viewIndex"], 7);
        assert_eq!(first_claims["bidder"], second_claims["bidder"]);
        assert!(!first_claims["bidder"].as_str().expect("text").starts_with("usr_"));
    }
}
