//! Private maximums: the market bids on for the leading bidder, as little as it must.
//!
//! Only the maximum of whoever leads is kept: any other has been passed. A bid that meets it is
//! answered in the same decision, with the stamp and the time of the bid that woke it; equal
//! maximums go to the earlier one. No maximum leaves the state: what others see are bids. Read next:
//! `decide.rs`.
//!
//! ```text
//!   bidder leads up to P, another bids `amount` up to M (without a maximum M is the amount)
//!   M > P   the other leads at the least that beats P          amount = P   refused, P is bid
//!   M <= P  the other's bid stands at `amount`, answered with the least over M, at most P
//! ```

use fairground_types::{BidId, CommandId, Money};

use crate::auction::decide::Offered;
use crate::auction::{Auction, AuctionEvent, Bid, Proxy, bid_of, min_next};

/// How a bid fares against the maximum of whoever leads.
pub(crate) enum Meeting {
    /// There is none in its way; it is placed at this amount.
    Free(Money),
    /// It is placed, and outbid at once.
    Answered(Bid),
    /// It is as much as the maximum, which came first.
    Equal(Bid),
}

impl Auction {
    /// Sets a bid that is high enough against the maximum of whoever leads.
    pub(crate) fn meet_proxy(&self, offered: &Offered) -> Meeting {
        let free = Meeting::Free(offered.amount);
        let Some(leading) = self.leading() else { return free };
        let Some(proxy) = &self.proxy else { return free };
        if proxy.bidder == offered.bidder {
            return free;
        }
        let (theirs, bid) = (proxy.maximum.reveal(), offered.amount.minor());
        let most = offered.maximum.map_or(bid, |maximum| maximum.reveal().minor());
        if most > theirs.minor() {
            let beats = min_next(theirs, &self.policy).minor().min(most);
            return Meeting::Free(Money::new(beats.max(bid), theirs.currency()));
        }
        let over = min_next(Money::new(most, theirs.currency()), &self.policy).minor();
        let mut answer = bid_of(offered, leading.number);
        answer.command = answer_to(&offered.command);
        answer.bid_id = BidId::of(&answer.command);
        answer.bidder = proxy.bidder;
        answer.amount = Money::new(over.min(theirs.minor()), theirs.currency());
        answer.is_proxy = true;
        if bid == theirs.minor() { Meeting::Equal(answer) } else { Meeting::Answered(answer) }
    }

    /// What becomes of the maximum when a bid leads at `amount`.
    pub(crate) fn keeps_proxy(&self, offered: &Offered, amount: Money) -> Option<AuctionEvent> {
        let own = self.proxy.as_ref().filter(|proxy| proxy.bidder == offered.bidder);
        let given = offered.maximum.map(|maximum| Proxy { bidder: offered.bidder, maximum });
        // A raise without a maximum leaves the one that its bidder gave before.
        let proxy = given
            .or_else(|| own.cloned())
            .filter(|proxy| proxy.maximum.reveal().minor() > amount.minor());
        (proxy != self.proxy).then_some(AuctionEvent::Proxied(proxy))
    }
}

/// Places the bid of a maximum, which is over when nothing of it is left.
pub(crate) fn answered(answer: &Bid) -> Vec<AuctionEvent> {
    vec![AuctionEvent::Placed(answer.clone())]
}

/// The command of an answer: made from that of the bid that woke it, so every member names it alike.
fn answer_to(command: &CommandId) -> CommandId {
    CommandId::derive_system("proxy", &command.to_string(), "")
}
