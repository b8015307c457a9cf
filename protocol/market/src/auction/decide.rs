//! The final word on a bid: an auction and a bid give events or a refusal.
//!
//! A pure function: the same auction and bid give the same decision. When several refusals apply,
//! the first in the order of the codes is given. It must not change anything. Read next:
//! `evolve.rs`; `../offer.rs` for what comes before (stamp, retry) and after (memory).

use fairground_types::event::{CloseMove, LockReason};
use fairground_types::journal::{Maximum, Stamp};
use fairground_types::{
    BidId, Code, CommandId, EdgeId, LogIndex, Money, Rejection, Timestamp, UserId, limits,
};

use crate::auction::admission::{
    amount_in_range, check_maximum, closed, currency_mismatch, locked, self_bid, too_low,
};
use crate::auction::proxy::{Meeting, answered};
use crate::auction::{Auction, AuctionEvent, AuctionState, Bid, Extension, min_next};

/// A bid on its way to a verdict.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub(crate) command: CommandId,
    pub(crate) bidder: UserId,
    pub(crate) amount: Money,
    pub(crate) maximum: Option<Maximum>,
    pub(crate) valid_until: Timestamp,
    pub(crate) edge: EdgeId,
    pub(crate) seq: u64,
    pub(crate) stamp: Stamp,
    /// It was held: its validity was judged when it came.
    pub(crate) was_held: bool,
    /// Why the bidder may not trade, if so.
    pub(crate) barrier: Option<Rejection>,
    /// The entry that judges it.
    pub(crate) index: LogIndex,
    /// Log time of that entry.
    pub(crate) at: Timestamp,
}

/// What becomes of a bid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// It is placed; further events may move the close, and raise the bid of a private maximum.
    Accept(Vec<AuctionEvent>),
    /// It is refused, and the private maximum that it met raises its bidder's own bid.
    Outdone(Rejection, Vec<AuctionEvent>),
    /// It is too late as things stand, but the close may still move.
    Hold,
    /// It is refused, for good.
    Refuse(Rejection),
    /// It is refused now; nothing is remembered.
    Pass(Rejection),
}

/// Decides about a bid in an auction.
pub(crate) fn decide_bid(auction: &Auction, offered: &Offered) -> Decision {
    if let Err(rejection) = check_facts(auction, offered) {
        return Decision::Refuse(rejection.with_auction(auction.auction));
    }
    if auction.judged_of(offered.bidder) >= auction.policy.bids_per_bidder_max {
        let rejection = Rejection::new(Code::TooManyBids, "too many bids in this auction");
        return Decision::Pass(rejection.with_auction(auction.auction));
    }
    if offered.stamp.earliest >= auction.closes_at {
        return decide_too_late(auction, offered);
    }
    if offered.amount.minor() < auction.min_next().minor() {
        return Decision::Refuse(too_low(auction.min_next()).with_auction(auction.auction));
    }
    if let Err(rejection) = check_validity(offered) {
        return Decision::Refuse(rejection.with_auction(auction.auction));
    }
    match auction.meet_proxy(offered) {
        Meeting::Free(amount) => Decision::Accept(placing(auction, offered, amount, None)),
        Meeting::Answered(answer) => {
            Decision::Accept(placing(auction, offered, offered.amount, Some(answer)))
        }
        Meeting::Equal(answer) => {
            let min_next = min_next(answer.amount, &auction.policy);
            let rejection = too_low(min_next).with_auction(auction.auction);
            Decision::Outdone(rejection, answered(&answer))
        }
    }
}

fn check_facts(auction: &Auction, offered: &Offered) -> Result<(), Rejection> {
    if auction.opening_min.currency() != offered.amount.currency() {
        return Err(currency_mismatch(auction.opening_min));
    }
    amount_in_range(offered.amount, auction.policy.amount_max_minor)?;
    if let Some(maximum) = offered.maximum {
        check_maximum(&auction.policy, offered.amount, maximum)?;
    }
    if let Some(barrier) = &offered.barrier {
        return Err(barrier.clone());
    }
    if auction.maker == offered.bidder {
        return Err(self_bid());
    }
    match &auction.state {
        AuctionState::Open => Ok(()),
        AuctionState::Locked { ended, .. } | AuctionState::AwaitingDecision { ended, .. } => {
            Err(match ended.reason {
                LockReason::MakerAccepted => locked(),
                LockReason::AutoAtClose | LockReason::AutoAtCap | LockReason::SecondChance => {
                    late(auction, offered.stamp)
                }
            })
        }
        AuctionState::Closed { ended: Some(ended), .. } => Err(match ended.reason {
            LockReason::MakerAccepted => closed(),
            LockReason::AutoAtClose | LockReason::AutoAtCap | LockReason::SecondChance => {
                late(auction, offered.stamp)
            }
        }),
        AuctionState::Closed { ended: None, .. } => Err(closed()),
    }
}

/// The record shows who was cut off: in time by the stamp, but after the close.
fn late(auction: &Auction, stamp: Stamp) -> Rejection {
    if stamp.earliest < auction.closes_at { closed().late() } else { closed() }
}

/// Validity against log time: only the log expires a bid.
pub(crate) fn check_validity(offered: &Offered) -> Result<(), Rejection> {
    if offered.was_held {
        return Ok(());
    }
    if offered.valid_until > offered.stamp.earliest.plus(limits::BID_VALID_MAX) {
        return Err(Rejection::new(Code::ValidationFailed, "valid for longer than 300 s"));
    }
    if offered.at > offered.valid_until {
        return Err(Rejection::new(Code::BidExpired, "its validity ended before it was judged"));
    }
    Ok(())
}

fn decide_too_late(auction: &Auction, offered: &Offered) -> Decision {
    if let Err(rejection) = check_validity(offered) {
        return Decision::Refuse(rejection.with_auction(auction.auction));
    }
    if auction.held.contains_key(&offered.bidder) {
        let rejection =
            Rejection::new(Code::Closing, "the auction is closing and holds a bid of yours");
        return Decision::Pass(rejection.with_auction(auction.auction));
    }
    Decision::Hold
}

/// What an accepted bid does: it is placed at `amount`, moves the close when somebody else led, and
/// may be answered by the private maximum of whoever led.
fn placing(
    auction: &Auction,
    offered: &Offered,
    amount: Money,
    answer: Option<Bid>,
) -> Vec<AuctionEvent> {
    let mut bid = bid_of(offered, auction.number_of(offered.bidder));
    bid.amount = amount;
    let is_new_leader = auction.leader() != Some(offered.bidder);
    let cause = Some(bid.bid_id);
    let mut events = vec![AuctionEvent::Placed(bid)];
    let moved = auction.extended_close(offered.at, amount).filter(|_| is_new_leader);
    if let Some(closes_at) = moved {
        events.push(AuctionEvent::Extended(Extension {
            index: offered.index,
            at: offered.at,
            closes_at,
            by: CloseMove::Bid,
            cause,
        }));
    }
    match answer {
        Some(answer) => events.extend(answered(&answer)),
        None => events.extend(auction.keeps_proxy(offered, amount)),
    }
    events
}

/// The bid as it enters the record.
pub(crate) fn bid_of(offered: &Offered, number: u32) -> Bid {
    Bid {
        bid_id: BidId::of(&offered.command),
        command: offered.command,
        bidder: offered.bidder,
        number,
        amount: offered.amount,
        edge: offered.edge.clone(),
        seq: offered.seq,
        stamp: offered.stamp,
        index: offered.index,
        at: offered.at,
        is_late_commit: offered.at.since(offered.stamp.latest) > limits::LATE_COMMIT,
        is_proxy: false,
    }
}
