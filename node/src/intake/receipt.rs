//! Receipts of this edge: claims about what is in its journal, signed once per commit.
//!
//! The form, and how anybody checks one, is [`fairground_runtime::receipt`]. It must not say who the
//! bidder is: only a hash that this edge can repeat.

use std::sync::Arc;

use fairground_runtime::receipt::{Claims, ReceiptSigner};
use fairground_storage::intake::Written;
use fairground_types::journal::Intake;
use fairground_types::{ClusterId, EdgeId, LogIndex, UserId};

use crate::error::Error;

const BIDDER_CONTEXT: &str = "fairground 2026 receipt bidder v1";

/// Makes receipts of one edge.
pub(crate) struct ReceiptDesk {
    signer: ReceiptSigner,
    bidder_key: [u8; 32],
}

impl ReceiptDesk {
    /// Takes the edge's receipt key (Ed25519, PKCS #8).
    pub(crate) fn new(cluster: ClusterId, edge: EdgeId, pkcs8: &[u8]) -> Result<Self, Error> {
        let signer = ReceiptSigner::new(cluster, edge, pkcs8).map_err(|_| Error::ReceiptKey)?;
        Ok(Self { signer, bidder_key: blake3::derive_key(BIDDER_CONTEXT, pkcs8) })
    }

    /// The edge.
    pub(super) const fn edge(&self) -> &EdgeId {
        self.signer.edge()
    }

    /// Receipts of what one commit wrote, each with the index of the view that it was looked at with.
    pub(super) fn sign(&self, written: &[Written], views: &[LogIndex]) -> Vec<Arc<str>> {
        let claims = written.iter().zip(views).map(|(written, view)| self.claims(written, *view));
        self.signer.sign(&claims.collect::<Vec<_>>())
    }

    fn claims(&self, Written { entry, previous }: &Written, view: LogIndex) -> Claims {
        let (auction_id, story_id) = match &entry.intake {
            Intake::Bid(bid) | Intake::SignedBid(bid, _) => (Some(bid.auction), None),
            Intake::Offer(offer) | Intake::SignedOffer(offer, _) => (None, Some(offer.story)),
        };
        Claims {
            bid_id: entry.intake.bid(),
            auction_id,
            story_id,
            bidder: self.bidder(entry.intake.user()),
            amount: entry.intake.amount(),
            earliest: entry.stamp.earliest,
            latest: entry.stamp.latest,
            valid_until: entry.intake.valid_until(),
            seq: entry.seq,
            previous_hash: *previous,
            hash: entry.hash,
            view_index: view,
        }
    }

    fn bidder(&self, user: UserId) -> String {
        let hash = blake3::keyed_hash(&self.bidder_key, &user.to_bits().to_le_bytes());
        hash.to_hex().chars().take(32).collect()
    }
}

#[cfg(test)]
mod tests {
    use fairground_runtime::receipt::verify;
    use fairground_runtime::secret::SigningPair;
    use fairground_types::journal::{JournalEntry, PlaceBid, Stamp, Tail};
    use fairground_types::{AuctionId, ChainHash, CommandId, Currency, Money, Timestamp};

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

    #[test]
    fn receipts_form_a_chain_and_do_not_name_the_bidder() {
        let pair = SigningPair::generate().expect("made");
        let edge = EdgeId::new("eu-1", 3).expect("valid");
        let desk =
            ReceiptDesk::new(ClusterId::from_bits(5), edge, pair.expose_pkcs8()).expect("key");
        let first = entry(Tail::START, 100);
        let second = entry(first.tail(), 200);
        let hash = first.hash;
        let written = [
            Written { entry: first, previous: ChainHash::START },
            Written { entry: second, previous: hash },
        ];
        let receipts = desk.sign(&written, &[LogIndex(7), LogIndex(8)]);
        let checked: Vec<Claims> = receipts
            .iter()
            .map(|receipt| verify(receipt, |_| Some(*pair.public())).expect("verifies").claims)
            .collect();
        let [first, second] = checked.as_slice() else { panic!("there are two") };
        assert_eq!(first.hash, second.previous_hash);
        assert_eq!((first.seq, second.seq), (1, 2));
        assert_eq!((first.view_index, second.view_index), (LogIndex(7), LogIndex(8)));
        assert_eq!(first.amount, Money::new(100, Currency::Eur));
        assert_eq!(first.bidder, second.bidder);
        assert!(!first.bidder.starts_with("usr_"));
    }
}
