//! What an edge may refuse by itself.
//!
//! Only facts that cannot become untrue: an auction that stopped taking bids, a price that has been
//! passed, another currency, the maker's own piece, an impossible amount, a signature that is none. It
//! must not look at clocks, standing, keys or anything that a later entry may change. Read next:
//! `decide.rs` for the final word.

use fairground_types::command::AuctionPolicy;
use fairground_types::event::LockReason;
use fairground_types::journal::{Intake, Maximum, PlaceBid, SubmitOffer};
use fairground_types::{Code, CommandId, LogIndex, Money, Rejection, limits};

use crate::view::{AuctionStatus, AuctionView, Placed, PublicView, StoryStatus};

/// An edge's own refusal and the position of the view that it was judged on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub rejection: Rejection,
    /// Index of the view.
    pub index: LogIndex,
}

/// Whether an edge must refuse a bid or an offer at once. Look for [`placed`] first.
///
/// # Errors
/// The refusal, true at the index that it names and at every later one.
pub fn admit(view: &PublicView, intake: &Intake) -> Result<(), Refusal> {
    // No key makes such a signature. Whose key it is, and who must sign, is the log's to say.
    if intake.signature().is_some_and(|signature| !signature.is_well_formed()) {
        let rejection = Rejection::new(Code::SignatureRefused, "half of the signature is nothing");
        return Err(Refusal { rejection, index: view.index() });
    }
    match intake {
        Intake::Bid(bid) | Intake::SignedBid(bid, _) => admit_bid(view, bid),
        Intake::Offer(offer) | Intake::SignedOffer(offer, _) => admit_offer(view, offer),
    }
}

/// Whether an edge must refuse a bid at once. Look for [`placed`] first.
///
/// # Errors
/// The refusal, true at the index that it names and at every later one.
pub fn admit_bid(view: &PublicView, bid: &PlaceBid) -> Result<(), Refusal> {
    check_bid(view, bid).map_err(|rejection| Refusal { rejection, index: view.index() })
}

/// Whether an edge must refuse an offer at once. Look for [`placed`] first.
///
/// # Errors
/// The refusal, true at the index that it names and at every later one.
pub fn admit_offer(view: &PublicView, offer: &SubmitOffer) -> Result<(), Refusal> {
    check_offer(view, offer).map_err(|rejection| Refusal { rejection, index: view.index() })
}

/// What the command placed already: the retry of an accepted bid is answered with it, through
/// whichever edge it comes.
#[must_use]
pub fn placed<'a>(view: &'a PublicView, command: &CommandId) -> Option<&'a Placed> {
    view.placed(command)
}

fn check_bid(view: &PublicView, bid: &PlaceBid) -> Result<(), Rejection> {
    // An auction that the view does not know may have been opened since: the log decides.
    let Some(auction) = view.auction(bid.auction) else {
        return amount_in_range(bid.amount, limits::AMOUNT_MAX_MINOR);
    };
    if auction.min_next.currency() != bid.amount.currency() {
        return Err(currency_mismatch(auction.min_next));
    }
    amount_in_range(bid.amount, auction.policy.amount_max_minor)?;
    if let Some(maximum) = bid.maximum {
        check_maximum(&auction.policy, bid.amount, maximum)?;
    }
    if auction.maker == bid.bidder {
        return Err(self_bid().with_auction(auction.auction));
    }
    takes_bids(auction)?;
    if bid.amount.minor() < auction.min_next.minor() {
        return Err(too_low(auction.min_next).with_auction(auction.auction));
    }
    Ok(())
}

fn check_offer(view: &PublicView, offer: &SubmitOffer) -> Result<(), Rejection> {
    let Some(story) = view.story(offer.story) else {
        return amount_in_range(offer.amount, limits::AMOUNT_MAX_MINOR);
    };
    if story.contents.minimum_offer.currency() != offer.amount.currency() {
        return Err(currency_mismatch(story.contents.minimum_offer));
    }
    // What the market takes at most may be set anew; this holds whatever is set.
    amount_in_range(offer.amount, limits::AMOUNT_MAX_MINOR)?;
    if story.maker == offer.buyer {
        return Err(self_bid());
    }
    match story.status {
        StoryStatus::Listed | StoryStatus::Live => Ok(()),
        StoryStatus::Sold => Err(Rejection::new(Code::InvalidState, "the piece is sold")),
    }
}

fn takes_bids(auction: &AuctionView) -> Result<(), Rejection> {
    match auction.status {
        AuctionStatus::Open => Ok(()),
        AuctionStatus::Locked | AuctionStatus::AwaitingDecision => {
            let by_maker = auction.lock_reason == Some(LockReason::MakerAccepted);
            Err(if by_maker { locked() } else { closed() }.with_auction(auction.auction))
        }
        AuctionStatus::Closed => Err(closed().with_auction(auction.auction)),
    }
}

/// Amounts that no auction takes.
pub(crate) fn amount_in_range(amount: Money, max_minor: u64) -> Result<(), Rejection> {
    if (1..=max_minor.min(limits::AMOUNT_MAX_MINOR)).contains(&amount.minor()) {
        Ok(())
    } else {
        Err(Rejection::new(Code::AmountOutOfRange, "the amount is out of range"))
    }
}

/// A private maximum that no bid may carry: the rules of an auction never change.
pub(crate) fn check_maximum(
    policy: &AuctionPolicy,
    amount: Money,
    maximum: Maximum,
) -> Result<(), Rejection> {
    let maximum = maximum.reveal();
    if !policy.proxy_bids {
        return Err(Rejection::new(Code::FeatureDisabled, "this auction takes no maximum"));
    }
    if maximum.currency() != amount.currency() {
        return Err(currency_mismatch(amount));
    }
    amount_in_range(maximum, policy.amount_max_minor)?;
    if maximum.minor() < amount.minor() {
        return Err(Rejection::new(Code::ValidationFailed, "the maximum is below the bid"));
    }
    Ok(())
}

pub(crate) fn currency_mismatch(listing: Money) -> Rejection {
    Rejection::new(Code::CurrencyMismatch, format!("the listing uses {}", listing.currency()))
}

pub(crate) fn self_bid() -> Rejection {
    Rejection::new(Code::SelfBid, "a maker cannot bid on an own piece")
}

pub(crate) fn too_low(min_next: Money) -> Rejection {
    Rejection::new(Code::BidTooLow, format!("the least next bid is {min_next}"))
        .with_min_next(min_next)
}

pub(crate) fn closed() -> Rejection {
    Rejection::new(Code::AuctionClosed, "the auction is closed")
}

pub(crate) fn locked() -> Rejection {
    Rejection::new(Code::AuctionLocked, "the piece is reserved for a buyer")
}
