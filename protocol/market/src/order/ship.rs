//! Before the carrier has it: where to, by when, under which number.
//!
//! Read next: `deliver.rs` for what the carrier says then.

use std::sync::Arc;

use fairground_types::command::{Carrier, ShippingAddress};
use fairground_types::text::TrackingNumber;
use fairground_types::{
    Accepted, Code, Millis, OrderId, Rejection, Timestamp, UserId, carrier, limits,
};

use super::{
    CancelCause, Correction, Order, OrderState, ReviewReason, Shipment, check_text, issue_open,
    parcel_key, wrong_state,
};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::notice::about_order;
use crate::sale::SaleLock;

/// Reminders of a maker, in seventy-seconds of the time to ship: 48, 60 and 69 of 72 hours.
const REMINDERS: [u64; 3] = [48, 60, 69];

/// The reminder of this number, when there is one.
fn reminder_at(paid_at: Timestamp, ship_by: Timestamp, number: u8) -> Option<(Timestamp, u8)> {
    let share = REMINDERS.get(usize::from(number))?;
    let span = ship_by.since(paid_at).as_millis().saturating_mul(*share) / 72;
    Some((paid_at.plus(Millis::new(span)), number))
}

impl Market {
    pub(crate) fn make_order(&mut self, turn: &Turn, lock: &SaleLock, id: OrderId) {
        self.order_count = self.order_count.saturating_add(1);
        let ship_by = turn.at.plus(self.cluster.policy.ship_by);
        let reminder = reminder_at(turn.at, ship_by, 0);
        let look_at = turn.at.plus(limits::UNSHIPPED_REVIEW);
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
            struck: false,
            reminder,
            look_at: Some(look_at),
            review_reason: None,
            address: None,
            messages: Vec::new(),
            review: None,
            issue: None,
            issues: Vec::new(),
            replacement: None,
            state: OrderState::AwaitingShipment,
        };
        self.orders.insert(id, Arc::new(order));
        self.deadlines.add(ship_by, DueKind::ShipBy(id));
        self.deadlines.add(look_at, DueKind::OrderReview(id));
        if let Some((at, _)) = reminder {
            self.deadlines.add(at, DueKind::ShipReminder(id));
        }
    }

    pub(super) fn change_address(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: OrderId,
        address: &ShippingAddress,
    ) -> Answer {
        check_text(&address.sealed, 1, limits::ADDRESS_TEXT_MAX)?;
        let order = Arc::clone(self.order_of(id, user)?);
        if order.buyer != user {
            return Err(Rejection::new(Code::Forbidden, "only the buyer says where to"));
        }
        if order.state != OrderState::AwaitingShipment {
            return Err(Rejection::new(Code::AddressLocked, "the parcel has its address"));
        }
        self.change_order(id, |order| order.address = Some(address.clone()));
        self.notify(turn, about_order(order.maker, NoticeKind::AddressChanged, &order));
        Ok(Accepted::OrderChanged { order: id })
    }

    fn check_parcel(&self, by: Carrier, number: &TrackingNumber) -> Result<(), Rejection> {
        let invalid = |why| Rejection::new(Code::TrackingInvalid, why);
        if !carrier::is_plausible(by, number) {
            return Err(invalid("the carrier gives no such number"));
        }
        if self.parcels.contains_key(&parcel_key(by, number)) {
            return Err(invalid("the number names another parcel"));
        }
        Ok(())
    }

    pub(super) fn add_tracking(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: OrderId,
        (by, number): (Carrier, &TrackingNumber),
    ) -> Answer {
        let order = Arc::clone(self.order_of(id, user)?);
        if order.maker != user {
            return Err(Rejection::new(Code::Forbidden, "only the maker ships"));
        }
        match &order.state {
            OrderState::AwaitingShipment => {}
            OrderState::InTransit { .. } | OrderState::Delivered { .. }
                if order.replacement.is_some() => {}
            OrderState::InTransit { .. }
            | OrderState::Delivered { .. }
            | OrderState::Completed { .. }
            | OrderState::Cancelled { .. } => return Err(wrong_state(&order)),
        }
        if order.issue.is_some() {
            return Err(issue_open());
        }
        self.check_parcel(by, number)?;
        self.drop_order_deadlines(&order);
        if let Some(old) = order.state.shipment() {
            self.parcels.remove(&old.key());
        }
        if let Some((issue, _)) = order.replacement {
            self.replacement_shipped(turn, issue);
        }
        self.parcels.insert(parcel_key(by, number), id);
        let look_at = turn.at.plus(limits::TRANSIT_REVIEW);
        self.deadlines.add(look_at, DueKind::OrderReview(id));
        let shipment = Shipment::new(by, number.clone(), turn.at);
        self.change_order(id, |order| {
            order.state = OrderState::InTransit { shipment };
            order.replacement = None;
            order.reminder = None;
            order.review_reason = None;
            order.look_at = Some(look_at);
        });
        let mut notice = about_order(order.buyer, NoticeKind::Shipped, &order);
        notice.text = Some(number.as_str().to_owned());
        self.notify(turn, notice);
        Ok(Accepted::OrderChanged { order: id })
    }

    pub(super) fn correct_tracking(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: OrderId,
        (by, number): (Carrier, &TrackingNumber),
    ) -> Answer {
        let order = Arc::clone(self.order_of(id, user)?);
        if order.maker != user {
            return Err(Rejection::new(Code::Forbidden, "only the maker corrects the number"));
        }
        let OrderState::InTransit { shipment } = &order.state else {
            return Err(wrong_state(&order));
        };
        if shipment.corrections.len() >= limits::TRACKING_CORRECTIONS_MAX {
            return Err(Rejection::new(Code::LimitReached, "the number was corrected too often"));
        }
        self.check_parcel(by, number)?;
        let old = shipment.clone();
        self.parcels.remove(&old.key());
        self.parcels.insert(parcel_key(by, number), id);
        let mut corrections = old.corrections;
        corrections.push(Correction { carrier: old.carrier, number: old.number, at: turn.at });
        let mut next = Shipment::new(by, number.clone(), old.shipped_at);
        next.corrections = corrections;
        self.change_order(id, |order| order.state = OrderState::InTransit { shipment: next });
        let mut notice = about_order(order.buyer, NoticeKind::ShipmentUpdated, &order);
        notice.text = Some(number.as_str().to_owned());
        self.notify(turn, notice);
        Ok(Accepted::OrderChanged { order: id })
    }

    /// Reminds the maker that the time to ship ends.
    pub(crate) fn remind_to_ship(&mut self, turn: &mut Turn, id: OrderId, due: Timestamp) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        let Some((at, number)) = order.reminder.filter(|(at, _)| *at == due) else { return };
        if order.state != OrderState::AwaitingShipment {
            return;
        }
        // A window that an outage moved keeps the pace of its reminders.
        let paid_at = order.ship_by.minus(self.cluster.policy.ship_by);
        let next = reminder_at(paid_at, order.ship_by, number.saturating_add(1));
        let next = next.filter(|(next, _)| *next > at);
        if let Some((at, _)) = next {
            self.deadlines.add(at, DueKind::ShipReminder(id));
        }
        self.change_order(id, |order| order.reminder = next);
        let kind = match number {
            0 => NoticeKind::ShipReminder,
            1 => NoticeKind::ShipReminderUrgent,
            _ => NoticeKind::ShipReminderLast,
        };
        let mut notice = about_order(order.maker, kind, &order);
        notice.until = Some(order.ship_by);
        self.notify(turn, notice);
    }

    pub(crate) fn end_ship_by(&mut self, turn: &mut Turn, id: OrderId, due: Timestamp) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        if order.ship_by != due || order.state != OrderState::AwaitingShipment {
            return;
        }
        self.change_order(id, |order| order.overdue = true);
        self.strike_for_shipping(turn, id);
        self.notify(turn, about_order(order.maker, NoticeKind::ShipmentOverdue, &order));
        self.notify(turn, about_order(order.buyer, NoticeKind::OrderOverdue, &order));
        if self.cluster.policy.auto_cancel_on_ship_sla && self.refundable(id).is_ok() {
            self.end_order(turn, id, CancelCause::NotShipped, None);
        }
    }

    /// Staff looks at orders that stand still for long; the buyer hears when a complaint is possible.
    pub(crate) fn review_order(&mut self, turn: &mut Turn, id: OrderId, due: Timestamp) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        if order.look_at != Some(due) {
            return;
        }
        let (reason, next) = match &order.state {
            OrderState::AwaitingShipment => (ReviewReason::NotShipped, None),
            OrderState::InTransit { shipment } => {
                let lost_at = shipment.shipped_at.plus(limits::TRANSIT_MAX);
                if due >= lost_at {
                    self.notify(turn, about_order(order.buyer, NoticeKind::ParcelLate, &order));
                }
                (ReviewReason::LongInTransit, Some(lost_at).filter(|at| *at > due))
            }
            OrderState::Delivered { .. }
            | OrderState::Completed { .. }
            | OrderState::Cancelled { .. } => return,
        };
        if let Some(at) = next {
            self.deadlines.add(at, DueKind::OrderReview(id));
        }
        self.change_order(id, |order| {
            order.review_reason = Some(reason);
            order.look_at = next;
        });
    }
}
