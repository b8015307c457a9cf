//! How auctions end in the model, and what comes after: locks, payments, orders, money.
//!
//! Read next: `bids.rs` for what comes before.

use super::*;

impl Model {
    pub(super) fn end_by_time(&mut self, id: AuctionId) {
        self.auctions.get_mut(&id).expect("open").by_time = true;
        self.lock(id);
    }

    pub(super) fn lock(&mut self, id: AuctionId) {
        let expires = self.at + self.policy.payment_window.as_millis();
        let auction = self.auctions.get_mut(&id).expect("open");
        auction.status = Status::Locked;
        let leading = auction.bids.last().expect("an opening bid").clone();
        self.locks.push(ModelLock {
            auction: id,
            buyer: leading.bidder,
            minor: leading.minor,
            expires,
            state: LockSays::Active,
            attempts: 0,
            open_since: None,
            failed_at: None,
            settles: None,
        });
        self.refuse_held(id);
    }

    pub(super) fn refuse_held(&mut self, id: AuctionId) {
        let mut held = std::mem::take(&mut self.auctions.get_mut(&id).expect("known").held);
        held.sort_by_key(Waiting::place);
        for bid in held {
            let said = self.rule_in(id, &bid, true, &mut Vec::new()).expect("it has ended");
            self.tell(&bid, said);
            let body = *bid.intake.body_digest().as_bytes();
            if !matches!(said, Said::No(Code::TooManyBids)) {
                self.remembered.insert(bid.intake.command(), (body, said));
            }
        }
    }

    pub(super) fn end(&mut self, id: AuctionId, status: Status) {
        let auction = self.auctions.get_mut(&id).expect("known");
        auction.status = status;
        let story = auction.story;
        let story = self.stories.get_mut(&story).expect("known");
        if status == Status::Sold {
            story.sold = true;
        } else {
            story.offers.clear();
        }
    }

    /// The window is over; a session that may be paid is waited for.
    pub(super) fn window_ends(&mut self, place: usize) {
        let at = self.at;
        match self.locks[place].open_since {
            Some(since) => {
                let settles = (since + 25 * 3_600 * SECOND).max(at + 600 * SECOND);
                self.locks[place].settles = Some(settles);
            }
            None => self.lock_expires(place),
        }
    }

    pub(super) fn checkout(&mut self, lock: SaleLockId) {
        let Some(place) = self.lock_ids.get(&lock).copied() else { return };
        let at = self.at;
        let lock = &mut self.locks[place];
        let pause = [60, 300, 900].get(lock.attempts.wrapping_sub(1)).copied().unwrap_or(0);
        let waits = lock.failed_at.is_some_and(|failed| at < failed + pause * SECOND);
        let is_over = lock.state != LockSays::Active || lock.settles.is_some();
        if is_over || lock.open_since.is_some() || lock.attempts >= 4 || waits {
            return;
        }
        lock.attempts += 1;
        lock.open_since = Some(at);
        lock.failed_at = None;
    }

    /// The newest attempt of a lock came to nothing.
    pub(super) fn attempt_fails(&mut self, place: usize) {
        let lock = &mut self.locks[place];
        lock.open_since = None;
        lock.failed_at = Some(self.at);
        if lock.state == LockSays::Active && (lock.settles.is_some() || lock.attempts >= 4) {
            self.lock_expires(place);
        }
    }

    pub(super) fn lock_expires(&mut self, place: usize) {
        let until = self.at + self.policy.decision_window.as_millis();
        self.locks[place].state = LockSays::Expired;
        self.unpaid.entry(self.locks[place].buyer).or_default().push(self.at);
        let auction = self.locks[place].auction;
        self.auctions.get_mut(&auction).expect("known").status = Status::Awaiting { until };
    }

    // Commands.

    /// None for a command that is not about what the model knows.
    pub(super) fn direct(&mut self, envelope: &Envelope) -> Option<Said> {
        let user = match &envelope.actor {
            Actor::User(user) => Some(*user),
            Actor::Edge(_) | Actor::Cluster | Actor::Anonymous => None,
        };
        let done = match &envelope.command {
            Command::Auction(AuctionCommand::AcceptHighest { auction, expected }) => {
                self.accept(user, *auction, *expected)
            }
            Command::Auction(AuctionCommand::CancelAuction { auction, .. }) => {
                self.cancel(*auction)
            }
            Command::Payment(PaymentCommand::RecordProviderEvent(event)) => {
                self.paid(event);
                Ok(())
            }
            Command::Payment(PaymentCommand::CompleteEffect { effect, outcome }) => {
                let place = self.sessions.get(effect).copied();
                if let Some(place) = place.filter(|_| *outcome != EffectOutcome::Happened) {
                    self.attempt_fails(place);
                }
                return None;
            }
            Command::Payment(PaymentCommand::StartCheckout(start)) => {
                self.checkout(start.lock);
                return None;
            }
            Command::Finance(FinanceCommand::ReportEffect { effect, result }) => {
                let refund = self.refunds.get(effect).copied();
                if let (Some(minor), EffectResult::RefundMade { .. }) = (refund, result) {
                    self.post("refunds", minor);
                    self.unpost("provider", minor);
                }
                return None;
            }
            Command::Order(OrderCommand::AddTracking { order, number, .. }) => {
                self.ship(user, *order, number.as_str())
            }
            Command::Order(OrderCommand::ConfirmDelivery { order, .. }) => {
                self.confirm(user, *order)
            }
            Command::Cluster(ClusterCommand::AdmitEdge { edge, tail }) => {
                let at = self.at;
                let row = self.edges.get_mut(edge).expect("an edge of the tests");
                if !row.in_intake {
                    row.in_intake = true;
                    row.admitted_at = at;
                    row.lag_began = None;
                    row.waiting.clear();
                    let watermark = Timestamp::from_unix_millis(at);
                    self.mark(edge, Mark { watermark, tail: *tail });
                }
                Ok(())
            }
            _ => return None,
        };
        Some(done.map_or_else(Said::No, |()| Said::Yes))
    }

    pub(super) fn accept(
        &mut self,
        user: Option<UserId>,
        id: AuctionId,
        expected: fairground_types::BidId,
    ) -> Result<(), Code> {
        let auction = self.auctions.get(&id).ok_or(Code::NotFound)?;
        if user != Some(auction.maker) {
            return Err(Code::Forbidden);
        }
        auction.takes_bids()?;
        let leading = auction.bids.last().expect("an opening bid").command;
        if fairground_types::BidId::of(&leading) != expected {
            return Err(Code::HighestChanged);
        }
        self.lock(id);
        Ok(())
    }

    pub(super) fn cancel(&mut self, id: AuctionId) -> Result<(), Code> {
        self.auctions.get(&id).ok_or(Code::NotFound)?.takes_bids()?;
        self.end(id, Status::Cancelled);
        self.refuse_held(id);
        Ok(())
    }

    /// The test's locks are named by their place: the market makes their ids itself.
    pub(super) fn paid(&mut self, event: &ProviderEvent) {
        let place = event.lock.and_then(|lock| self.lock_ids.get(&lock).copied());
        if event.kind != ProviderEventKind::CheckoutPaid || !self.events.insert(event.event.clone())
        {
            return;
        }
        let Some(place) = place else { return };
        let lock = self.locks[place].clone();
        let amount = event.amount.expect("tests say how much");
        let payment = event.payment.clone().expect("tests name payments");
        if amount.minor() != lock.minor {
            // It waits for finance.
            if self.given_back.insert(payment) {
                self.post("provider", amount.minor());
                self.unpost("refunds", amount.minor());
            }
            return;
        }
        let newest = self.locks.iter().rposition(|other| other.auction == lock.auction);
        let awaits = matches!(self.auctions[&lock.auction].status, Status::Awaiting { .. });
        let in_time = newest == Some(place) && awaits && ms(event.created) < lock.expires;
        let buys = match lock.state {
            LockSays::Active => true,
            LockSays::Expired => in_time,
            LockSays::Paid => false,
        };
        if !buys {
            if self.given_back.insert(payment) {
                self.post("provider", amount.minor());
                self.unpost("refunds", amount.minor());
            }
            return;
        }
        self.locks[place].state = LockSays::Paid;
        self.locks[place].open_since = None;
        self.post("provider", lock.minor);
        self.unpost("escrow", lock.minor);
        let maker = self.auctions[&lock.auction].maker;
        let order = ModelOrder {
            buyer: lock.buyer,
            maker,
            minor: lock.minor,
            ship_by: self.at + self.policy.ship_by.as_millis(),
            overdue: false,
            state: OrderSays::ToShip,
            completes: None,
        };
        self.orders.insert(event.new_order, order);
        self.end(lock.auction, Status::Sold);
    }

    pub(super) fn order(
        &mut self,
        user: Option<UserId>,
        id: OrderId,
    ) -> Result<&mut ModelOrder, Code> {
        let theirs = |row: &ModelOrder| user == Some(row.buyer) || user == Some(row.maker);
        self.orders.get_mut(&id).filter(|row| theirs(row)).ok_or(Code::NotFound)
    }

    pub(super) fn ship(
        &mut self,
        user: Option<UserId>,
        id: OrderId,
        number: &str,
    ) -> Result<(), Code> {
        let is_used = self.tracking.contains(number);
        let order = self.order(user, id)?;
        if user != Some(order.maker) {
            return Err(Code::Forbidden);
        }
        if order.state != OrderSays::ToShip {
            return Err(Code::InvalidState);
        }
        if is_used {
            return Err(Code::TrackingInvalid);
        }
        order.state = OrderSays::OnItsWay;
        self.tracking.insert(number.to_owned());
        Ok(())
    }

    pub(super) fn confirm(&mut self, user: Option<UserId>, id: OrderId) -> Result<(), Code> {
        let completes = self.at + self.policy.auto_complete.as_millis();
        let order = self.order(user, id)?;
        if user != Some(order.buyer) {
            return Err(Code::Forbidden);
        }
        match order.state {
            OrderSays::OnItsWay => {
                order.state = OrderSays::Delivered;
                order.completes = Some(completes);
            }
            OrderSays::Delivered => self.complete(id),
            OrderSays::ToShip | OrderSays::Completed => return Err(Code::InvalidState),
        }
        Ok(())
    }

    pub(super) fn complete(&mut self, id: OrderId) {
        let order = self.orders.get_mut(&id).expect("known");
        order.state = OrderSays::Completed;
        let (minor, maker) = (order.minor, order.maker);
        // Five parts in a hundred, halves upwards, between 0.50 and 50.00.
        let fee = ((minor * 5 + 50) / 100).clamp(50, 5_000).min(minor);
        self.post("escrow", minor);
        self.unpost("fees", fee);
        self.unpost(&format!("maker {maker}"), minor - fee);
    }

    pub(super) fn post(&mut self, account: &str, minor: u64) {
        *self.balances.entry(account.to_owned()).or_default() += i128::from(minor);
    }

    pub(super) fn unpost(&mut self, account: &str, minor: u64) {
        *self.balances.entry(account.to_owned()).or_default() -= i128::from(minor);
    }
}
