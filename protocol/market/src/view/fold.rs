//! What one event changes in a view of stories and auctions.
//!
//! Read next: the parent, which knows the rest.

use std::sync::Arc;

use fairground_types::AuctionId;
use fairground_types::event::{CloseReason, PublicEvent};

use super::{AuctionStatus, ExtensionView, PublicView, ShareView, StoryStatus};

impl PublicView {
    pub(super) fn fold_story_event(&mut self, event: &PublicEvent) {
        match event {
            PublicEvent::StoryListed { story, maker, maker_handle, contents } => {
                self.list_story(*story, *maker, maker_handle.clone(), contents);
            }
            PublicEvent::StorySold { story } => {
                self.change_story(*story, |row| row.status = StoryStatus::Sold);
            }
            PublicEvent::StoryRelisted { story } => {
                self.change_story(*story, |row| {
                    row.status = StoryStatus::Listed;
                    row.auction = None;
                });
            }
            PublicEvent::StoryHidden { story } => self.hide_story(*story),
            PublicEvent::StoryCounted { story, counts } => {
                let at = self.at;
                self.change_story(*story, |row| row.count(*counts, at));
            }
            PublicEvent::StoryShared { share, story, expires_at } => {
                let row = ShareView { story: *story, expires_at: *expires_at };
                self.shares.insert(*share, row);
                self.shares_by_age.push_back((*expires_at, *share));
            }
            PublicEvent::ClusterInitialised { .. }
            | PublicEvent::KeyAdded { .. }
            | PublicEvent::MemberChanged { .. }
            | PublicEvent::MemberRemoved { .. }
            | PublicEvent::EdgeRegistered { .. }
            | PublicEvent::EdgeAdmitted { .. }
            | PublicEvent::EdgeLeftIntake { .. }
            | PublicEvent::EntriesMissing { .. }
            | PublicEvent::SignInRevoked { .. }
            | PublicEvent::HandleSet { .. }
            | PublicEvent::AssetPublished { .. }
            | PublicEvent::FlagChanged { .. }
            | PublicEvent::RulesActivated { .. }
            | PublicEvent::AuctionOpened { .. }
            | PublicEvent::BidPlaced { .. }
            | PublicEvent::BidRetracted { .. }
            | PublicEvent::AuctionWatched { .. }
            | PublicEvent::CloseExtended { .. }
            | PublicEvent::BiddingEnded { .. }
            | PublicEvent::AuctionLocked { .. }
            | PublicEvent::AuctionAwaitsDecision { .. }
            | PublicEvent::AuctionClosed { .. }
            | PublicEvent::AuctionArchived { .. } => {}
        }
    }

    pub(super) fn fold_auction_event(&mut self, event: &PublicEvent) {
        match event {
            PublicEvent::AuctionOpened { .. } => self.open_auction(event),
            PublicEvent::BidPlaced { auction, bid, min_next } => {
                self.place(*auction, bid, *min_next, false);
                self.change_auction(*auction, |row| row.push(bid, *min_next));
            }
            PublicEvent::BidRetracted { auction, bid, highest, min_next, epoch } => {
                self.change_auction(*auction, |row| {
                    row.bids.retain(|known| known.bid_id != *bid);
                    row.bid_count = row.bid_count.saturating_sub(1);
                    row.highest.clone_from(highest);
                    row.min_next = *min_next;
                    row.epoch = *epoch;
                });
            }
            PublicEvent::AuctionWatched { auction, watchers } => {
                // Nothing that a bidder decides on: its version stays.
                if let Some(row) = self.auctions.get_mut(auction) {
                    Arc::make_mut(row).watchers = *watchers;
                }
            }
            PublicEvent::CloseExtended { .. } => self.move_close(event),
            PublicEvent::BiddingEnded { auction, reason, unheard } => {
                self.open.remove(auction);
                self.change_auction(*auction, |row| {
                    row.lock_reason = Some(*reason);
                    row.unheard.clone_from(unheard);
                });
            }
            PublicEvent::AuctionLocked { auction, reason, bid: _, unheard } => {
                self.open.remove(auction);
                self.change_auction(*auction, |row| {
                    row.status = AuctionStatus::Locked;
                    // How the bidding ended stays, whoever is asked afterwards.
                    row.lock_reason = row.lock_reason.or(Some(*reason));
                    row.decide_by = None;
                    row.unheard.clone_from(unheard);
                });
            }
            PublicEvent::AuctionAwaitsDecision { auction, decide_by } => {
                self.change_auction(*auction, |row| {
                    row.status = AuctionStatus::AwaitingDecision;
                    row.decide_by = Some(*decide_by);
                });
            }
            PublicEvent::AuctionClosed { auction, reason } => self.close_auction(*auction, *reason),
            PublicEvent::AuctionArchived { auction, story, with_story } => {
                self.archive(*auction, *story, *with_story);
            }
            PublicEvent::ClusterInitialised { .. }
            | PublicEvent::KeyAdded { .. }
            | PublicEvent::MemberChanged { .. }
            | PublicEvent::MemberRemoved { .. }
            | PublicEvent::EdgeRegistered { .. }
            | PublicEvent::EdgeAdmitted { .. }
            | PublicEvent::EdgeLeftIntake { .. }
            | PublicEvent::EntriesMissing { .. }
            | PublicEvent::SignInRevoked { .. }
            | PublicEvent::HandleSet { .. }
            | PublicEvent::AssetPublished { .. }
            | PublicEvent::StoryListed { .. }
            | PublicEvent::FlagChanged { .. }
            | PublicEvent::RulesActivated { .. }
            | PublicEvent::StoryHidden { .. }
            | PublicEvent::StoryCounted { .. }
            | PublicEvent::StoryShared { .. }
            | PublicEvent::StoryRelisted { .. }
            | PublicEvent::StorySold { .. } => {}
        }
    }

    fn move_close(&mut self, event: &PublicEvent) {
        let PublicEvent::CloseExtended { auction, closes_at, closes_by, by, cause, final_window } =
            event
        else {
            return;
        };
        let (index, closes_at, closes_by) = (self.index, *closes_at, *closes_by);
        let (by, cause, final_window) = (*by, *cause, *final_window);
        self.change_auction(*auction, |row| {
            if closes_at > row.closes_at {
                row.extensions.push(ExtensionView { index, closes_at, by, cause });
            }
            row.closes_at = closes_at;
            row.closes_by = closes_by;
            row.final_window = final_window;
        });
    }

    fn close_auction(&mut self, auction: AuctionId, reason: CloseReason) {
        self.open.remove(&auction);
        self.change_auction(auction, |row| {
            row.status = AuctionStatus::Closed;
            row.close_reason = Some(reason);
            row.decide_by = None;
        });
        let Some(story) = self.auctions.get(&auction).map(|row| row.story) else { return };
        self.change_story(story, |row| {
            if row.status == StoryStatus::Live {
                row.status = StoryStatus::Listed;
            }
        });
    }
}
