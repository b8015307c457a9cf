//! Bids and offers in the model: their order, their copies, their verdicts.
//!
//! Read next: `ends.rs` for how auctions end.

use super::*;

impl Model {
    pub(super) fn bids(&mut self, entry: &Entry, released: &mut Vec<(Place, Waiting)>) {
        let mut queue: Vec<(Place, Waiting, bool, bool)> =
            released.drain(..).map(|(place, held)| (place, held, true, true)).collect();
        let mut reached: BTreeMap<EdgeId, u64> = BTreeMap::new();
        for batch in batches(entry) {
            for journaled in &batch.entries {
                let Some(row) = self.edges.get_mut(&batch.edge) else { continue };
                let Some(good) = row.take(journaled) else { continue };
                let middle = reached.entry(batch.edge.clone()).or_default();
                *middle = journaled.stamp.doubled_middle().max(*middle);
                let waiting = Waiting {
                    edge: batch.edge.clone(),
                    seq: journaled.seq,
                    stamp: journaled.stamp,
                    intake: journaled.intake.clone(),
                    copies: 0,
                };
                queue.push(((*middle, batch.edge.clone(), journaled.seq), waiting, good, false));
            }
        }
        loop {
            queue.sort_by(|one, other| other.0.cmp(&one.0));
            let Some((_, bid, good, was_held)) = queue.pop() else { return };
            for (place, held) in self.judge(bid, good, was_held) {
                queue.push((place, held, true, true));
            }
        }
    }

    /// Judges one bid or offer; answers the held bids that it lets go.
    pub(super) fn judge(
        &mut self,
        mut bid: Waiting,
        good: bool,
        mut was_held: bool,
    ) -> Vec<(Place, Waiting)> {
        let command = bid.intake.command();
        let body = *bid.intake.body_digest().as_bytes();
        if let Some((known, said)) = self.remembered.get(&command) {
            let said = if *known == body { *said } else { Said::No(Code::IdempotencyKeyReused) };
            self.tell(&bid, said);
            return Vec::new();
        }
        if !was_held {
            match self.join(&bid, good) {
                Joined::Apart => {}
                Joined::Waits => return Vec::new(),
                Joined::Other => {
                    self.tell(&bid, Said::No(Code::IdempotencyKeyReused));
                    return Vec::new();
                }
                Joined::Now(held) => {
                    bid = held;
                    was_held = true;
                }
            }
        }
        let mut released = Vec::new();
        let said = if good || was_held {
            self.rule(&bid, was_held, &mut released)
        } else {
            Some(Said::No(Code::StampRefused))
        };
        if let Some(said) = said {
            self.tell(&bid, said);
            if !matches!(said, Said::No(Code::Closing | Code::TooManyBids)) {
                self.remembered.insert(command, (body, said));
            }
        }
        released
    }

    /// Says it to the bid and to every copy of it that waited along.
    pub(super) fn tell(&mut self, bid: &Waiting, said: Said) {
        for _ in 0..=bid.copies {
            self.said.push((bid.intake.command(), said));
        }
    }

    /// A copy of a command that is held waits along; the earlier stamp stands.
    fn join(&mut self, bid: &Waiting, good: bool) -> Joined {
        let Some(auction) = self.meant(&bid.intake).and_then(|id| self.auctions.get_mut(&id))
        else {
            return Joined::Apart;
        };
        let same = |held: &Waiting| held.intake.command() == bid.intake.command();
        let Some(place) = auction.held.iter().position(same) else { return Joined::Apart };
        if auction.held[place].intake.body_digest() != bid.intake.body_digest() {
            return Joined::Other;
        }
        let held = &mut auction.held[place];
        held.copies += 1;
        if good && bid.stamp.earliest < held.stamp.earliest {
            held.stamp = bid.stamp;
            held.edge = bid.edge.clone();
            held.seq = bid.seq;
        }
        if ms(held.stamp.earliest) < auction.closes_at {
            return Joined::Now(auction.held.remove(place));
        }
        Joined::Waits
    }

    pub(super) fn meant(&self, intake: &Intake) -> Option<AuctionId> {
        match intake {
            Intake::Bid(bid) | Intake::SignedBid(bid, _) => Some(bid.auction),
            Intake::Offer(offer) | Intake::SignedOffer(offer, _) => {
                self.live(offer.story).filter(|_| offer.bid_if_open)
            }
        }
    }

    /// Has an account, and did not leave two pieces unpaid in 90 days: that pauses for 30 days.
    pub(super) fn may_trade(&self, user: UserId) -> bool {
        const DAY: u64 = 86_400 * SECOND;
        let unpaid = self.unpaid.get(&user).map_or(&[][..], Vec::as_slice);
        let paused = unpaid.iter().enumerate().any(|(place, at)| {
            let young = unpaid.iter().take(place).any(|before| before + 90 * DAY > *at);
            young && at + 30 * DAY > self.at
        });
        self.people.contains(&user) && !paused
    }

    /// The auction of a story that is not closed.
    pub(super) fn live(&self, story: StoryId) -> Option<AuctionId> {
        let live = |row: &ModelAuction| {
            matches!(row.status, Status::Open | Status::Locked | Status::Awaiting { .. })
        };
        let found = self.auctions.iter().find(|(_, row)| row.story == story && live(row));
        found.map(|(id, _)| *id)
    }

    pub(super) fn rule(
        &mut self,
        bid: &Waiting,
        was_held: bool,
        released: &mut Vec<(Place, Waiting)>,
    ) -> Option<Said> {
        match &bid.intake {
            _ if was_held => {
                let id = self.meant(&bid.intake).or_else(|| self.held_in(bid))?;
                self.rule_in(id, bid, true, released)
            }
            Intake::Bid(placed) | Intake::SignedBid(placed, _) => {
                self.rule_in(placed.auction, bid, false, released)
            }
            Intake::Offer(_) | Intake::SignedOffer(..) => self.rule_on_offer(bid, released),
        }
    }

    pub(super) fn held_in(&self, bid: &Waiting) -> Option<AuctionId> {
        match &bid.intake {
            Intake::Bid(placed) | Intake::SignedBid(placed, _) => Some(placed.auction),
            Intake::Offer(offer) | Intake::SignedOffer(offer, _) => {
                let of_story = self.auctions.iter().filter(|(_, row)| row.story == offer.story);
                of_story.map(|(id, _)| *id).next_back()
            }
        }
    }

    pub(super) fn rule_in(
        &mut self,
        id: AuctionId,
        bid: &Waiting,
        was_held: bool,
        released: &mut Vec<(Place, Waiting)>,
    ) -> Option<Said> {
        let at = self.at;
        let is_known = self.may_trade(bid.intake.user());
        let Some(auction) = self.auctions.get(&id) else { return Some(Said::No(Code::NotFound)) };
        let (user, amount) = (bid.intake.user(), bid.intake.amount());
        let fact = if auction.currency != amount.currency() {
            Some(Code::CurrencyMismatch)
        } else if amount.minor() == 0 || amount.minor() > 99_999_999 {
            Some(Code::AmountOutOfRange)
        } else if !is_known {
            Some(Code::NotEligible)
        } else if auction.maker == user {
            Some(Code::SelfBid)
        } else {
            match auction.status {
                Status::Open => None,
                Status::Locked | Status::Awaiting { .. } if !auction.by_time => {
                    Some(Code::AuctionLocked)
                }
                _ => Some(Code::AuctionClosed),
            }
        };
        let used_up = auction.judged.get(&user).is_some_and(|judged| *judged >= 500);
        let is_late = ms(bid.stamp.earliest) >= auction.closes_at;
        let holds_one = auction.held.iter().any(|held| held.intake.user() == user);
        let validity = if was_held { None } else { invalid(bid, at) };
        let refusal = if let Some(code) = fact {
            code
        } else if used_up {
            return Some(Said::No(Code::TooManyBids));
        } else if is_late {
            match validity {
                Some(code) => code,
                None if holds_one => return Some(Said::No(Code::Closing)),
                None => {
                    self.auctions.get_mut(&id)?.held.push(bid.clone());
                    return None;
                }
            }
        } else if amount.minor() < auction.next() {
            Code::BidTooLow
        } else if let Some(code) = validity {
            code
        } else {
            self.place(id, bid, released);
            return Some(Said::Yes);
        };
        *self.auctions.get_mut(&id)?.judged.entry(user).or_default() += 1;
        Some(Said::No(refusal))
    }

    pub(super) fn place(
        &mut self,
        id: AuctionId,
        bid: &Waiting,
        released: &mut Vec<(Place, Waiting)>,
    ) {
        let (window, extension) =
            (self.policy.auction.window.as_millis(), self.policy.auction.extension.as_millis());
        let at = self.at;
        let latest = self.latest_close(&self.auctions[&id]);
        let auction = self.auctions.get_mut(&id).expect("known");
        let leader = auction.bids.last().map(|leading| leading.bidder);
        let user = bid.intake.user();
        auction.bids.push(ModelBid {
            command: bid.intake.command(),
            bidder: user,
            minor: bid.intake.amount().minor(),
        });
        *auction.judged.entry(user).or_default() += 1;
        let is_close = auction.closes_at.saturating_sub(at) < window;
        let moved = (auction.closes_at + extension).min(latest);
        if leader != Some(user) && is_close && moved > auction.closes_at {
            auction.closes_at = moved;
            released.extend(auction.release());
        }
    }

    pub(super) fn rule_on_offer(
        &mut self,
        bid: &Waiting,
        released: &mut Vec<(Place, Waiting)>,
    ) -> Option<Said> {
        let Intake::Offer(offer) = &bid.intake else { return None };
        let no = |code| Some(Said::No(code));
        let Some(story) = self.stories.get(&offer.story) else { return no(Code::NotFound) };
        if story.sold {
            return no(Code::InvalidState);
        }
        if story.currency != offer.amount.currency() {
            return no(Code::CurrencyMismatch);
        }
        if offer.amount.minor() == 0 || offer.amount.minor() > 99_999_999 {
            return no(Code::AmountOutOfRange);
        }
        if !self.may_trade(offer.buyer) {
            return no(Code::NotEligible);
        }
        if story.maker == offer.buyer {
            return no(Code::SelfBid);
        }
        if let Some(live) = self.live(offer.story) {
            return match self.auctions[&live].status {
                Status::Open if offer.bid_if_open => self.rule_in(live, bid, false, released),
                Status::Open => no(Code::AuctionActive),
                _ => no(Code::AuctionLocked),
            };
        }
        if self.auctions.contains_key(&offer.auction) {
            return no(Code::ValidationFailed);
        }
        if let Some(code) = invalid(bid, self.at) {
            return no(code);
        }
        let story = self.stories.get_mut(&offer.story).expect("known");
        let made = story.offers.entry(offer.buyer).or_default();
        let hour_ago = self.at.saturating_sub(3_600 * SECOND);
        let recent = |(at, buyer): &&(u64, UserId)| *at > hour_ago && *buyer == offer.buyer;
        if *made >= 3 || self.offered.iter().filter(recent).count() >= 10 {
            return no(Code::NotEligible);
        }
        *made += 1;
        self.offered.push((self.at, offer.buyer));
        if offer.amount.minor() < story.least {
            return no(Code::OfferMinViolation);
        }
        let policy = self.policy.auction;
        let cap = self.at + policy.total_max.as_millis();
        // Rules 2: at a full second.
        let plain = self.at + policy.initial.min(policy.total_max).as_millis();
        let closes_at = (plain.div_ceil(1_000) * 1_000).min(cap);
        let leading =
            ModelBid { command: offer.command, bidder: offer.buyer, minor: offer.amount.minor() };
        let auction = ModelAuction {
            story: offer.story,
            maker: story.maker,
            closes_at,
            base_close: closes_at,
            cap,
            bids: vec![leading],
            judged: BTreeMap::from([(offer.buyer, 1)]),
            held: Vec::new(),
            status: Status::Open,
            by_time: false,
            currency: story.currency,
        };
        self.auctions.insert(offer.auction, auction);
        Some(Said::Yes)
    }
}

/// What became of a copy of a command that may be held.
#[expect(clippy::large_enum_variant, reason = "one at a time, in a test")]
enum Joined {
    /// Nothing like it is held.
    Apart,
    /// It waits along.
    Waits,
    /// Another request under the same key.
    Other,
    /// Its earlier stamp is in time: both are judged now.
    Now(Waiting),
}

/// Why a bid must not take effect any more, or not yet.
fn invalid(bid: &Waiting, at: u64) -> Option<Code> {
    let until = ms(bid.intake.valid_until());
    if until > ms(bid.stamp.earliest) + 300 * SECOND {
        Some(Code::ValidationFailed)
    } else if at > until {
        Some(Code::BidExpired)
    } else {
        None
    }
}
