//! Notices: what people are told, as effects in the outbox.
//!
//! Read next: [`crate::effect`] for the kinds, [`crate::outbox`] for their life.

use fairground_types::{NoticeChannel, UserId};

use crate::Market;
use crate::apply::Turn;
use crate::auction::Auction;
use crate::effect::{Effect, Notice, NoticeKind};
use crate::order::Order;
use crate::outbox::NOTICE_LIFE;
use crate::sale::SaleLock;

/// A notice about nothing but its kind.
pub(crate) const fn about(user: UserId, kind: NoticeKind) -> Notice {
    Notice {
        user,
        channel: NoticeChannel::InApp,
        kind,
        story: None,
        auction: None,
        lock: None,
        order: None,
        title: None,
        amount: None,
        until: None,
        text: None,
    }
}

impl Market {
    /// Tells somebody something: in their list, and by every channel that its kind takes and they
    /// want.
    pub(crate) fn notify(&mut self, turn: &mut Turn, mut notice: Notice) {
        let wanted = self.wanted(turn, notice.user, notice.kind);
        if notice.title.is_none() {
            notice.title = notice
                .story
                .and_then(|story| self.stories.get(&story))
                .map(|story| story.contents.title.as_str().to_owned());
        }
        if wanted.in_app {
            self.keep_notice(turn, &notice);
        }
        let channels = [
            (wanted.push, NoticeChannel::Push),
            (wanted.email, NoticeChannel::Email),
            (wanted.sms, NoticeChannel::Sms),
        ];
        let expires_at = turn.at.plus(NOTICE_LIFE);
        for (_, channel) in channels.into_iter().filter(|(is_wanted, _)| *is_wanted) {
            let told = Notice { channel, ..notice.clone() };
            self.add_effect(turn, Effect::Notify(told), Some(expires_at));
        }
    }

    /// Tells a bidder of a higher bid; once, until that is sent.
    pub(crate) fn notify_outbid(&mut self, turn: &mut Turn, bidder: UserId, auction: &Auction) {
        if !self.knows_outbid(turn, bidder, auction.auction) {
            self.notify(turn, about_auction(bidder, NoticeKind::Outbid, auction));
        }
    }
}

/// A notice about an auction at its leading bid.
pub(crate) fn about_auction(user: UserId, kind: NoticeKind, auction: &Auction) -> Notice {
    let mut notice = about(user, kind);
    notice.story = Some(auction.story);
    notice.auction = Some(auction.auction);
    notice.amount = auction.leading().map(|leading| leading.amount);
    notice.until = Some(auction.closes_at);
    notice
}

/// A notice about a sale lock.
pub(crate) fn about_lock(user: UserId, kind: NoticeKind, lock: &SaleLock) -> Notice {
    let mut notice = about(user, kind);
    notice.story = Some(lock.story);
    notice.auction = Some(lock.auction);
    notice.lock = Some(lock.lock);
    notice.amount = Some(lock.amount);
    notice.until = Some(lock.expires_at);
    notice
}

/// A notice about an order.
pub(crate) fn about_order(user: UserId, kind: NoticeKind, order: &Order) -> Notice {
    let mut notice = about(user, kind);
    notice.story = Some(order.story);
    notice.auction = Some(order.auction);
    notice.order = Some(order.order);
    notice.amount = Some(order.amount);
    notice
}
