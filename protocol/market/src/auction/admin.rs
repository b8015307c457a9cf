//! What admins may do to a running auction: move its close, fix its end, take bids back.
//!
//! A close never falls, and a bid taken back shortens nothing. Makers may do none of it: who can move
//! an end can manipulate a price. It must not decide who is an admin. Read next: `closing.rs` for
//! cancelling, `../permission.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairground_types::command::CloseOverride;
use fairground_types::event::CloseMove;
use fairground_types::text::Note;
use fairground_types::{
    Accepted, AuctionId, BidId, Code, Millis, PublicEvent, Rejection, UserId, limits,
};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::auction::admission::{closed, locked};
use crate::auction::closing::moved_to;
use crate::auction::{ActKind, AdminAct, Auction, AuctionEvent, AuctionState};
use crate::effect::NoticeKind;
use crate::notice::about_auction;

impl AdminAct {
    pub(crate) fn new(
        turn: &Turn,
        kind: ActKind,
        (actor, reason): (Option<UserId>, &Note),
    ) -> Self {
        Self { kind, actor, reason: reason.clone(), index: turn.index, at: turn.at }
    }
}

/// The auction, if it takes bids.
fn open_only(auction: &Auction) -> Result<(), Rejection> {
    match &auction.state {
        AuctionState::Open => Ok(()),
        AuctionState::Locked { .. } | AuctionState::AwaitingDecision { .. } => {
            Err(locked().with_auction(auction.auction))
        }
        AuctionState::Closed { .. } => Err(closed().with_auction(auction.auction)),
    }
}

impl Market {
    /// Moves a close later, at most to the cap, or fixes it.
    pub(crate) fn override_close(
        &mut self,
        turn: &mut Turn,
        id: AuctionId,
        action: CloseOverride,
        by: (Option<UserId>, &Note),
    ) -> Answer {
        let auction = self.auction_or_reject(id)?;
        open_only(auction)?;
        match action {
            CloseOverride::Extend { by: length } => {
                if length == Millis::ZERO || length > limits::CLOSE_OVERRIDE_MAX {
                    return Err(Rejection::new(Code::ValidationFailed, "1 min to 24 h"));
                }
                let closes_at = auction.closes_at.plus(length).min(auction.closes_by);
                if closes_at <= auction.closes_at {
                    return Err(Rejection::new(Code::InvalidState, "it closes at the cap"));
                }
                let act = AdminAct::new(turn, ActKind::ExtendClose, by);
                self.evolve_auction(id, AuctionEvent::Acted(act));
                self.extend_auction(turn, id, moved_to(turn, closes_at, CloseMove::Admin));
            }
            CloseOverride::LockEnd => {
                let (closes_at, closes_by) = (auction.closes_at, auction.closes_by);
                let act = AdminAct::new(turn, ActKind::LockEnd, by);
                self.evolve_auction(id, AuctionEvent::Acted(act));
                self.evolve_auction(id, AuctionEvent::EndLocked);
                turn.events.push(PublicEvent::CloseExtended {
                    auction: id,
                    closes_at,
                    closes_by,
                    by: CloseMove::Admin,
                    cause: None,
                    final_window: true,
                });
            }
        }
        let closes_at = self.auctions.get(&id).map_or(turn.at, |row| row.closes_at);
        Ok(Accepted::CloseSet { auction: id, closes_at })
    }

    /// Takes one bid back: the best of the others leads, or none. The close stays.
    pub(crate) fn retract_bid(
        &mut self,
        turn: &mut Turn,
        (id, bid): (AuctionId, BidId),
        by: (Option<UserId>, &Note),
    ) -> Answer {
        let auction = self.auction_or_reject(id)?;
        open_only(auction)?;
        if !auction.bids().any(|placed| placed.bid_id == bid) {
            return Err(Rejection::new(Code::NotFound, "no such bid").with_auction(id));
        }
        self.retract(turn, id, &BTreeSet::from([bid]), by);
        Ok(Accepted::Done)
    }

    /// Takes back every bid of somebody who may not trade any more, where bids are taken.
    pub(crate) fn retract_bids_of(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        by: (Option<UserId>, &Note),
    ) {
        let open: Vec<AuctionId> = self.open.iter().map(|(_, id)| *id).collect();
        for id in open {
            let Some(row) = self.auctions.get(&id) else { continue };
            let theirs: BTreeSet<BidId> =
                row.bids().filter(|bid| bid.bidder == user).map(|bid| bid.bid_id).collect();
            if !theirs.is_empty() {
                self.retract(turn, id, &theirs, by);
            }
        }
    }

    fn retract(
        &mut self,
        turn: &mut Turn,
        id: AuctionId,
        bids: &BTreeSet<BidId>,
        by: (Option<UserId>, &Note),
    ) {
        let act = AdminAct::new(turn, ActKind::RetractBid, by);
        self.evolve_auction(id, AuctionEvent::Acted(act));
        let (index, at) = (turn.index, turn.at);
        let (bids, reason) = (bids.clone(), by.1.clone());
        let gone = bids.clone();
        self.evolve_auction(id, AuctionEvent::Retracted { bids, reason, index, at });
        let Some(row) = self.auctions.get(&id).cloned() else { return };
        for bid in gone {
            turn.events.push(PublicEvent::BidRetracted {
                auction: id,
                bid,
                highest: row.leading().map(crate::Bid::public),
                min_next: row.min_next(),
                epoch: row.epoch,
            });
        }
        self.tell_everybody(turn, &row, NoticeKind::BidRetracted);
    }

    /// Tells the bidders of an auction and its maker.
    pub(crate) fn tell_everybody(&mut self, turn: &mut Turn, row: &Arc<Auction>, kind: NoticeKind) {
        for user in row.bidders.keys().chain(std::iter::once(&row.maker)) {
            self.notify(turn, about_auction(*user, kind, row));
        }
    }
}
