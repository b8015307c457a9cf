//! Who is told of an auction's close: that it moved, and that it is near (domain 6.2).
//!
//! ```text
//!   a close moves      watchers and bidders, but whoever moved it; once for moves in quick succession
//!   15 min are left    watchers, and the maker with the reminder to accept; once per auction
//! ```
//! It must not know by which channel somebody hears: that is `../inbox.rs`. Read next:
//! `closing.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairground_types::{AuctionId, BidId, Timestamp, UserId, limits};

use crate::Market;
use crate::apply::Turn;
use crate::auction::{Auction, AuctionEvent};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::notice::about_auction;

impl Market {
    /// Plans when watchers are told that an auction ends soon, if they were not told already. One
    /// that is shorter than that time is not announced.
    pub(crate) fn plan_end_notice(&mut self, turn: &Turn, id: AuctionId) {
        let Some(row) = self.auctions.get(&id).filter(|row| row.is_open() && !row.end_told) else {
            return;
        };
        let at = row.closes_at.minus(limits::FINAL_WINDOW);
        if at > turn.at {
            self.deadlines.add(at, DueKind::FinalWindow(id));
        }
    }

    /// The close is about to move.
    pub(crate) fn unplan_end_notice(&mut self, id: AuctionId) {
        if let Some(row) = self.auctions.get(&id) {
            let at = row.closes_at.minus(limits::FINAL_WINDOW);
            self.deadlines.remove(at, DueKind::FinalWindow(id));
        }
    }

    /// An auction ends soon.
    pub(crate) fn tell_of_end(&mut self, turn: &mut Turn, id: AuctionId, due: Timestamp) {
        let is_due = |row: &Arc<Auction>| {
            row.is_open() && !row.end_told && row.closes_at.minus(limits::FINAL_WINDOW) == due
        };
        let Some(row) = self.auctions.get(&id).filter(|row| is_due(row)).cloned() else { return };
        self.evolve_auction(id, AuctionEvent::EndTold);
        self.notify(turn, about_auction(row.maker, NoticeKind::FinalWindowMaker, &row));
        let watchers: Vec<UserId> = self.watchers_of(id).collect();
        self.fan_out(turn, watchers, about_auction(row.maker, NoticeKind::FinalWindow, &row));
    }

    /// A close moved. While bids move it again and again, one notice in a while is enough.
    pub(crate) fn tell_of_move(&mut self, turn: &mut Turn, id: AuctionId, cause: Option<BidId>) {
        let Some(row) = self.auctions.get(&id).cloned() else { return };
        let before = row.extensions.iter().rev().nth(1);
        if before.is_some_and(|moved| turn.at.since(moved.at) < limits::BID_NOTICE_PERIOD) {
            return;
        }
        let by = row.bids().find(|bid| Some(bid.bid_id) == cause).map(|bid| bid.bidder);
        let bidders = row.bidders.iter().filter(|(_, known)| known.number > 0).map(|(id, _)| *id);
        let told: BTreeSet<UserId> =
            bidders.chain(self.watchers_of(id)).filter(|user| Some(*user) != by).collect();
        let notice = about_auction(row.maker, NoticeKind::CloseExtended, &row);
        self.fan_out(turn, told.into_iter().collect(), notice);
    }
}
