//! Orders: from payment to completion.
//!
//! ```text
//!  AwaitingShipment --tracking--> InTransit --buyer has it--> Delivered --content, or time--> Completed
//! ```
//! It must not know carriers or payouts. Read next: `ledger.rs` for what completion posts.

use std::sync::Arc;

use fairground_types::command::Carrier;
use fairground_types::text::TrackingNumber;
use fairground_types::{
    Accepted, AuctionId, Code, Money, OrderId, Rejection, SaleLockId, StoryId, StrikeAbout,
    StrikeKind, Timestamp, UserId,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::notice::about_order;
use crate::sale::SaleLock;

/// An order. Made by a payment, once per sale lock.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Order {
    pub(crate) order: OrderId,
    pub(crate) number: u64,
    pub(crate) story: StoryId,
    pub(crate) auction: AuctionId,
    pub(crate) lock: SaleLockId,
    pub(crate) buyer: UserId,
    pub(crate) maker: UserId,
    pub(crate) amount: Money,
    /// The market's share, computed once.
    pub(crate) fee: Money,
    pub(crate) paid_at: Timestamp,
    pub(crate) ship_by: Timestamp,
    pub(crate) overdue: bool,
    pub(crate) state: OrderState,
}

/// How a parcel is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct Tracking {
    /// Who carries it.
    pub carrier: Carrier,
    /// Under which number.
    pub number: TrackingNumber,
    /// When the maker said so.
    pub shipped_at: Timestamp,
}

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum OrderState {
    /// The maker ships next.
    AwaitingShipment,
    /// On its way.
    InTransit {
        /// The parcel.
        tracking: Tracking,
    },
    /// The buyer has it.
    Delivered {
        /// The parcel.
        tracking: Tracking,
        /// Since when.
        delivered_at: Timestamp,
        /// When it completes by itself.
        completes_at: Timestamp,
    },
    /// Done.
    Completed {
        /// The parcel.
        tracking: Tracking,
        /// Since when the buyer has it.
        delivered_at: Timestamp,
        /// Since when.
        completed_at: Timestamp,
        /// Whether nobody said so.
        by_time: bool,
    },
}

impl OrderState {
    /// A constant name, as in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AwaitingShipment => "awaitingShipment",
            Self::InTransit { .. } => "inTransit",
            Self::Delivered { .. } => "delivered",
            Self::Completed { .. } => "completed",
        }
    }

    /// Since when nothing happens to it any more.
    #[must_use]
    pub const fn settled_at(&self) -> Option<Timestamp> {
        match self {
            Self::AwaitingShipment | Self::InTransit { .. } | Self::Delivered { .. } => None,
            Self::Completed { completed_at, .. } => Some(*completed_at),
        }
    }

    /// The parcel, once there is one.
    #[must_use]
    pub const fn tracking(&self) -> Option<&Tracking> {
        match self {
            Self::AwaitingShipment => None,
            Self::InTransit { tracking }
            | Self::Delivered { tracking, .. }
            | Self::Completed { tracking, .. } => Some(tracking),
        }
    }
}

impl Order {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrderId {
        self.order
    }

    /// Its sale lock.
    #[must_use]
    pub const fn lock(&self) -> SaleLockId {
        self.lock
    }

    /// Who bought.
    #[must_use]
    pub const fn buyer(&self) -> UserId {
        self.buyer
    }

    /// Who sold.
    #[must_use]
    pub const fn maker(&self) -> UserId {
        self.maker
    }

    /// The price.
    #[must_use]
    pub const fn amount(&self) -> Money {
        self.amount
    }

    /// The market's share.
    #[must_use]
    pub const fn fee(&self) -> Money {
        self.fee
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> &OrderState {
        &self.state
    }
}

fn wrong_state(order: &Order) -> Rejection {
    Rejection::new(Code::InvalidState, format!("the order is {}", order.state.name()))
}

impl Market {
    fn change_order(&mut self, id: OrderId, change: impl FnOnce(&mut Order)) {
        if let Some(order) = self.orders.get_mut(&id) {
            change(Arc::make_mut(order));
        }
    }

    /// The market's share of a price: rounded half up, between its bounds, never above the price.
    pub(crate) fn fee_of(&self, amount: Money) -> Money {
        let policy = &self.cluster.policy;
        let least = policy.fee_min_minor.min(policy.fee_max_minor);
        let bound = |hundredths| amount.currency().from_hundredths(hundredths);
        let share = amount.share_half_up(policy.fee).minor();
        let fee = share.clamp(bound(least), bound(policy.fee_max_minor)).min(amount.minor());
        Money::new(fee, amount.currency())
    }

    pub(crate) fn make_order(&mut self, turn: &Turn, lock: &SaleLock, id: OrderId) {
        self.order_count = self.order_count.saturating_add(1);
        let ship_by = turn.at.plus(self.cluster.policy.ship_by);
        let order = Order {
            order: id,
            number: self.order_count,
            story: lock.story,
            auction: lock.auction,
            lock: lock.lock,
            buyer: lock.buyer,
            maker: lock.maker,
            amount: lock.amount,
            fee: self.fee_of(lock.amount),
            paid_at: turn.at,
            ship_by,
            overdue: false,
            state: OrderState::AwaitingShipment,
        };
        self.orders.insert(id, Arc::new(order));
        self.deadlines.add(ship_by, DueKind::ShipBy(id));
    }

    fn order_of(&self, id: OrderId, user: UserId) -> Result<&Arc<Order>, Rejection> {
        self.orders
            .get(&id)
            .filter(|order| order.buyer == user || order.maker == user)
            .ok_or_else(|| Rejection::new(Code::NotFound, "no such order"))
    }

    pub(crate) fn add_tracking(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: OrderId,
        (carrier, number): (Carrier, &TrackingNumber),
    ) -> Answer {
        let order = self.order_of(id, user)?;
        if order.maker != user {
            return Err(Rejection::new(Code::Forbidden, "only the maker ships"));
        }
        if order.state != OrderState::AwaitingShipment {
            return Err(wrong_state(order));
        }
        let key = (carrier, number.as_str().to_ascii_uppercase());
        if self.tracking.contains(&key) {
            return Err(Rejection::new(Code::TrackingInvalid, "the number names another parcel"));
        }
        let order = Arc::clone(order);
        self.tracking.insert(key);
        self.deadlines.remove(order.ship_by, DueKind::ShipBy(id));
        let tracking = Tracking { carrier, number: number.clone(), shipped_at: turn.at };
        self.change_order(id, |order| order.state = OrderState::InTransit { tracking });
        let mut notice = about_order(order.buyer, NoticeKind::Shipped, &order);
        notice.text = Some(number.as_str().to_owned());
        self.notify(turn, notice);
        Ok(Accepted::OrderChanged { order: id })
    }

    /// The buyer has the piece, and later is content with it.
    pub(crate) fn confirm_delivery(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: OrderId,
    ) -> Answer {
        let order = Arc::clone(self.order_of(id, user)?);
        if order.buyer != user {
            return Err(Rejection::new(Code::Forbidden, "only the buyer confirms"));
        }
        match &order.state {
            OrderState::AwaitingShipment | OrderState::Completed { .. } => {
                return Err(wrong_state(&order));
            }
            OrderState::InTransit { tracking } => {
                let completes_at = turn.at.plus(self.cluster.policy.auto_complete);
                let state = OrderState::Delivered {
                    tracking: tracking.clone(),
                    delivered_at: turn.at,
                    completes_at,
                };
                self.change_order(id, |order| order.state = state);
                self.deadlines.add(completes_at, DueKind::AutoComplete(id));
                self.plan_payout(id, turn.at);
                self.notify(turn, about_order(order.maker, NoticeKind::Delivered, &order));
            }
            OrderState::Delivered { completes_at, .. } => {
                self.deadlines.remove(*completes_at, DueKind::AutoComplete(id));
                self.complete_order(turn, id, false);
            }
        }
        Ok(Accepted::OrderChanged { order: id })
    }

    pub(crate) fn end_ship_by(&mut self, turn: &mut Turn, id: OrderId, due: Timestamp) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        if order.ship_by != due || order.state != OrderState::AwaitingShipment {
            return;
        }
        self.change_order(id, |order| order.overdue = true);
        self.notify(turn, about_order(order.maker, NoticeKind::ShipmentOverdue, &order));
        self.add_strike(turn, order.maker, StrikeKind::ShipSla, StrikeAbout::Order(id));
    }

    pub(crate) fn auto_complete(&mut self, turn: &mut Turn, id: OrderId, due: Timestamp) {
        let is_due = self.orders.get(&id).is_some_and(|order| match &order.state {
            OrderState::Delivered { completes_at, .. } => *completes_at == due,
            OrderState::AwaitingShipment
            | OrderState::InTransit { .. }
            | OrderState::Completed { .. } => false,
        });
        if is_due {
            self.complete_order(turn, id, true);
        }
    }

    fn complete_order(&mut self, turn: &mut Turn, id: OrderId, by_time: bool) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        let OrderState::Delivered { tracking, delivered_at, .. } = &order.state else { return };
        let state = OrderState::Completed {
            tracking: tracking.clone(),
            delivered_at: *delivered_at,
            completed_at: turn.at,
            by_time,
        };
        self.change_order(id, |order| order.state = state);
        self.release_payout(turn, id);
        for user in [order.buyer, order.maker] {
            self.notify(turn, about_order(user, NoticeKind::Completed, &order));
        }
    }
}
