//! Receipts of bids: what a bidder holds in hand, and how anybody checks it without asking us.
//!
//! ```text
//!  receipt = JWS ~ leaf ~ path
//!   JWS    compact (RFC 7515), EdDSA (RFC 8037), by the edge's key, once for all that one commit wrote:
//!          { cluster, edge, firstSeq, size, root }
//!   leaf   base64url of the claims about one bid (JSON)
//!   path   base64url of the inclusion proof of the leaf under the root (RFC 9162 section 2.1.3), 32
//!          bytes a step; empty where the commit wrote one bid
//! ```
//! The place of a leaf is its sequence in the journal less `firstSeq`, so one signature cannot speak
//! for two bids of one sequence. It must not know the journal. Read next: `merkle.rs`.

mod merkle;

use std::sync::Arc;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_types::{
    AuctionId, BidId, ChainHash, ClusterId, EdgeId, LogIndex, Money, StoryId, Timestamp,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::SecretError;
use crate::secret;

/// Type in the header of a receipt's signature.
pub const RECEIPT_TYPE: &str = "fairground-receipt+jws";
/// Longest receipt that is looked at, in bytes.
pub const RECEIPT_MAX: usize = 8 * 1024;

/// What a receipt says of a bid or an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// Identity of the bid.
    pub bid_id: BidId,
    /// The auction, of a bid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auction_id: Option<AuctionId>,
    /// The story, of an offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub story_id: Option<StoryId>,
    /// A name of the bidder that this edge alone can repeat.
    pub bidder: String,
    /// The amount.
    #[serde(flatten)]
    pub amount: Money,
    /// Coordinator time of receipt: not earlier than this.
    pub earliest: Timestamp,
    /// Not later than this.
    pub latest: Timestamp,
    /// Until when it may be judged.
    pub valid_until: Timestamp,
    /// Its sequence in the edge's journal.
    pub seq: u64,
    /// Hash of the journal before it.
    pub previous_hash: ChainHash,
    /// Hash of the journal with it.
    pub hash: ChainHash,
    /// Index of the view that the edge looked at.
    pub view_index: LogIndex,
}

/// What is signed: every bid of one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    cluster: ClusterId,
    edge: EdgeId,
    first_seq: u64,
    size: u64,
    root: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: EdgeId,
}

/// A receipt that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The cluster.
    pub cluster: ClusterId,
    /// The edge that took the bid.
    pub edge: EdgeId,
    /// About which bid.
    #[serde(flatten)]
    pub claims: Claims,
}

/// What is wrong with a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// It is not of the form of a receipt.
    #[error("is no receipt: {0}")]
    Malformed(&'static str),
    /// The key that it names is not among those given.
    #[error("is signed by an edge whose key is not given")]
    UnknownKey,
    /// The signature is not of that key over these bytes.
    #[error("is not signed by the edge that it names")]
    Signature,
    /// The bid is not among those that were signed.
    #[error("speaks of a bid that the edge did not sign")]
    NotIncluded,
}

/// Signs receipts of one edge.
pub struct ReceiptSigner {
    cluster: ClusterId,
    edge: EdgeId,
    key: Ed25519KeyPair,
    header: String,
}

impl std::fmt::Debug for ReceiptSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiptSigner").field("edge", &self.edge).finish_non_exhaustive()
    }
}

impl ReceiptSigner {
    /// Takes the edge's receipt key (Ed25519, PKCS #8).
    ///
    /// # Errors
    /// When it is no such key.
    pub fn new(cluster: ClusterId, edge: EdgeId, pkcs8: &[u8]) -> Result<Self, SecretError> {
        let key = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| SecretError::Key)?;
        let header =
            Header { alg: "EdDSA".to_owned(), typ: RECEIPT_TYPE.to_owned(), kid: edge.clone() };
        Ok(Self { cluster, edge, key, header: encode(&header) })
    }

    /// The edge.
    #[must_use]
    pub const fn edge(&self) -> &EdgeId {
        &self.edge
    }

    /// Receipts for claims of consecutive sequences, in their order, under one signature.
    #[must_use]
    pub fn sign(&self, claims: &[Claims]) -> Vec<Arc<str>> {
        let Some(first) = claims.first() else { return Vec::new() };
        let leaves: Vec<String> = claims.iter().map(encode).collect();
        let hashes = leaves.iter().map(|leaf| merkle::leaf_hash(leaf.as_bytes())).collect();
        let tree = merkle::Tree::over(hashes);
        let root = Root {
            cluster: self.cluster,
            edge: self.edge.clone(),
            first_seq: first.seq,
            size: u64::try_from(claims.len()).unwrap_or(u64::MAX),
            root: URL_SAFE_NO_PAD.encode(tree.root()),
        };
        let mut signed = format!("{}.{}", self.header, encode(&root));
        let signature = self.key.sign(signed.as_bytes());
        signed.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut signed);
        let receipt = |(place, leaf): (usize, &String)| {
            let path = URL_SAFE_NO_PAD.encode(tree.path(place).concat());
            Arc::from(format!("{signed}~{leaf}~{path}"))
        };
        leaves.iter().enumerate().map(receipt).collect()
    }
}

/// Checks a receipt with the public keys of edges; asks nobody.
///
/// # Errors
/// What is wrong with it.
pub fn verify(
    receipt: &str,
    key_of: impl Fn(&EdgeId) -> Option<[u8; 32]>,
) -> Result<Receipt, ReceiptFault> {
    if receipt.len() > RECEIPT_MAX {
        return Err(ReceiptFault::Malformed("it is too long"));
    }
    let parts: Vec<&str> = receipt.split('~').collect();
    let [signed, leaf, path] = parts.as_slice() else {
        return Err(ReceiptFault::Malformed("it has three parts, divided by ~"));
    };
    let (text, signature) = signed
        .rsplit_once('.')
        .ok_or(ReceiptFault::Malformed("the first part is a compact JWS"))?;
    let (header, root) =
        text.split_once('.').ok_or(ReceiptFault::Malformed("the first part is a compact JWS"))?;
    let header: Header = decode(header, "the header of its signature")?;
    if header.alg != "EdDSA" || header.typ != RECEIPT_TYPE {
        return Err(ReceiptFault::Malformed("it is signed with EdDSA as a receipt"));
    }
    let key = key_of(&header.kid).ok_or(ReceiptFault::UnknownKey)?;
    let signature = bytes(signature, "its signature")?;
    if !secret::verify(&key, text.as_bytes(), &signature) {
        return Err(ReceiptFault::Signature);
    }
    let root: Root = decode(root, "what is signed")?;
    let claims: Claims = decode(leaf, "its claims")?;
    let path = bytes(path, "its path")?;
    let (steps, []) = path.as_chunks::<32>() else {
        return Err(ReceiptFault::Malformed("its path has 32 bytes a step"));
    };
    let place = claims.seq.checked_sub(root.first_seq).ok_or(ReceiptFault::NotIncluded)?;
    let leads_to = merkle::root_of(merkle::leaf_hash(leaf.as_bytes()), (place, root.size), steps);
    let is_signed = leads_to.is_some_and(|found| URL_SAFE_NO_PAD.encode(found) == root.root);
    if !is_signed || root.edge != header.kid {
        return Err(ReceiptFault::NotIncluded);
    }
    Ok(Receipt { cluster: root.cluster, edge: root.edge, claims })
}

/// JSON of plain values always encodes.
fn encode<T: Serialize>(value: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

fn bytes(text: &str, what: &'static str) -> Result<Vec<u8>, ReceiptFault> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| ReceiptFault::Malformed(what))
}

fn decode<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, ReceiptFault> {
    serde_json::from_slice(&bytes(text, what)?).map_err(|_| ReceiptFault::Malformed(what))
}

#[cfg(test)]
mod tests {
    use fairground_types::Currency;

    use super::*;
    use crate::secret::SigningPair;

    fn claims(seq: u64, amount: u64) -> Claims {
        Claims {
            bid_id: BidId::from_bits(u128::from(seq)),
            auction_id: Some(AuctionId::from_bits(1)),
            story_id: None,
            bidder: "b1".to_owned(),
            amount: Money::new(amount, Currency::Eur),
            earliest: Timestamp::from_unix_millis(1_000),
            latest: Timestamp::from_unix_millis(1_004),
            valid_until: Timestamp::from_unix_millis(9_000),
            seq,
            previous_hash: ChainHash::START,
            hash: ChainHash::START,
            view_index: LogIndex(7),
        }
    }

    fn signer(pair: &SigningPair) -> (ReceiptSigner, EdgeId) {
        let edge = EdgeId::new("eu-1", 3).expect("valid");
        let cluster = ClusterId::from_bits(5);
        let signer = ReceiptSigner::new(cluster, edge.clone(), pair.expose_pkcs8()).expect("key");
        (signer, edge)
    }

    #[test]
    fn each_receipt_of_a_commit_verifies_alone_and_shares_one_signature() {
        let pair = SigningPair::generate().expect("made");
        let (signer, edge) = signer(&pair);
        for size in [1, 2, 5, 64] {
            let all: Vec<Claims> = (0..size).map(|n| claims(40 + n, 100 + n)).collect();
            let receipts = signer.sign(&all);
            let signed = receipts[0].split('~').next().expect("there");
            for (receipt, claims) in receipts.iter().zip(&all) {
                assert!(receipt.starts_with(signed), "one signature for all");
                let checked = verify(receipt, |kid| (*kid == edge).then(|| *pair.public()));
                let checked = checked.expect("verifies");
                assert_eq!((&checked.claims, &checked.edge), (claims, &edge));
            }
        }
        assert!(signer.sign(&[]).is_empty());
    }

    #[test]
    fn what_was_not_signed_does_not_verify() {
        let pair = SigningPair::generate().expect("made");
        let (signer, _) = signer(&pair);
        let key = |_: &EdgeId| Some(*pair.public());
        let receipts = signer.sign(&[claims(4, 100), claims(5, 200), claims(6, 300)]);
        let other = signer.sign(&[claims(4, 999)]);
        let parts: Vec<&str> = receipts[1].split('~').collect();
        let forged = encode(&claims(5, 1));
        for (text, fault) in [
            (format!("{}~{forged}~{}", parts[0], parts[2]), ReceiptFault::NotIncluded),
            (format!("{}~{}~", parts[0], parts[1]), ReceiptFault::NotIncluded),
            (
                format!("{}~{}~{}", parts[0], encode(&claims(3, 100)), parts[2]),
                ReceiptFault::NotIncluded,
            ),
            (other[0].replacen('~', "A~", 1), ReceiptFault::Signature),
            (other[0].replacen('~', ".~", 1), ReceiptFault::Signature),
            (
                receipts[1].replacen("eyJhbGci", "eyJhbGcj", 1),
                ReceiptFault::Malformed("the header of its signature"),
            ),
            (parts[0].to_owned(), ReceiptFault::Malformed("it has three parts, divided by ~")),
            ("a~b~c".to_owned(), ReceiptFault::Malformed("the first part is a compact JWS")),
            ("x".repeat(RECEIPT_MAX + 1), ReceiptFault::Malformed("it is too long")),
        ] {
            assert_eq!(verify(&text, key), Err(fault), "{text}");
        }
        assert_eq!(verify(&receipts[0], |_| None), Err(ReceiptFault::UnknownKey));
        let stranger = SigningPair::generate().expect("made");
        let foreign = verify(&receipts[0], |_| Some(*stranger.public()));
        assert_eq!(foreign, Err(ReceiptFault::Signature));
    }
}
