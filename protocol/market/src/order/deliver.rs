//! What a carrier says about a parcel, and what follows from its delivery.
//!
//! ```text
//!  LabelCreated -> InTransit -> OutForDelivery -> Delivered          from any of them, but the last:
//!                     ^                                              Exception, Returned
//!                     +------- a new scan ------- Exception
//! ```
//! Events never go back in time, and each counts once. Read next: `ship.rs`, `../issue/`.

use std::sync::Arc;

use fairground_types::command::{Carrier, CarrierEvent, CarrierStatus, Review};
use fairground_types::text::TrackingNumber;
use fairground_types::{Accepted, Code, OrderId, Rejection, Timestamp, UserId, limits};

use super::{
    CompletionType, Order, OrderState, ReviewReason, ShipmentState, check_text, issue_open,
    parcel_key, wrong_state,
};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::NoticeKind;
use crate::notice::about_order;

/// Where a parcel is after an event; none when the event says nothing about that.
const fn moved(state: ShipmentState, status: CarrierStatus) -> Option<ShipmentState> {
    match status {
        CarrierStatus::Unknown | CarrierStatus::InfoReceived | CarrierStatus::Expired => None,
        // It is tried again: on its way, unless it was nearer already.
        CarrierStatus::AttemptFailed => match state {
            ShipmentState::OutForDelivery => None,
            ShipmentState::LabelCreated
            | ShipmentState::InTransit
            | ShipmentState::Delivered
            | ShipmentState::Exception
            | ShipmentState::Returned => Some(ShipmentState::InTransit),
        },
        CarrierStatus::InTransit => Some(ShipmentState::InTransit),
        CarrierStatus::OutForDelivery | CarrierStatus::AvailableForPickup => {
            Some(ShipmentState::OutForDelivery)
        }
        CarrierStatus::Delivered => Some(ShipmentState::Delivered),
        CarrierStatus::ReturnToSender => Some(ShipmentState::Returned),
        CarrierStatus::Exception => Some(ShipmentState::Exception),
    }
}

fn stale() -> Rejection {
    Rejection::new(Code::StaleEvent, "something newer is known about this parcel")
}

/// Whether an event takes back that a parcel was delivered.
const fn takes_back(status: CarrierStatus) -> bool {
    matches!(status, CarrierStatus::ReturnToSender | CarrierStatus::Exception)
}

impl Market {
    pub(super) fn record_carrier_event(
        &mut self,
        turn: &mut Turn,
        (by, number): (Carrier, &TrackingNumber),
        event: &CarrierEvent,
    ) -> Answer {
        if event.id.is_empty() || event.id.len() > limits::CARRIER_EVENT_ID_MAX {
            return Err(Rejection::new(Code::ValidationFailed, "the event has no usable id"));
        }
        let unknown = || Rejection::new(Code::NotFound, "no parcel has this number");
        let id = *self.parcels.get(&parcel_key(by, number)).ok_or_else(unknown)?;
        let order = Arc::clone(self.any_order(id)?);
        let shipment = order.state.shipment().ok_or_else(unknown)?;
        let done = Ok(Accepted::OrderChanged { order: id });
        if shipment.events.iter().any(|known| known.id == event.id) {
            return done;
        }
        // A carrier's clock may be ahead; nothing has happened later than now.
        let at = event.at.min(turn.at);
        if shipment.events.last().is_some_and(|last| at < last.at) {
            return Err(stale());
        }
        let is_over = match shipment.state {
            ShipmentState::Delivered => !takes_back(event.status),
            ShipmentState::Returned => true,
            ShipmentState::LabelCreated
            | ShipmentState::InTransit
            | ShipmentState::OutForDelivery
            | ShipmentState::Exception => false,
        };
        if is_over || order.state.settled_at().is_some() {
            return Err(stale());
        }
        let next = moved(shipment.state, event.status).filter(|next| *next != shipment.state);
        self.change_order(id, |order| {
            let Some(shipment) = order.state.shipment_mut() else { return };
            if shipment.events.len() >= limits::CARRIER_EVENTS_MAX {
                shipment.events.remove(0);
            }
            shipment.events.push(CarrierEvent { at, ..event.clone() });
            shipment.state = next.unwrap_or(shipment.state);
        });
        if let Some(next) = next {
            self.parcel_moved(turn, &order, next);
        }
        done
    }

    fn parcel_moved(&mut self, turn: &mut Turn, order: &Order, next: ShipmentState) {
        match next {
            ShipmentState::LabelCreated => {}
            ShipmentState::InTransit | ShipmentState::OutForDelivery => {
                self.notify(turn, about_order(order.buyer, NoticeKind::ShipmentUpdated, order));
            }
            ShipmentState::Delivered => self.deliver(turn, order.order),
            ShipmentState::Exception | ShipmentState::Returned => {
                for user in [order.buyer, order.maker] {
                    self.notify(turn, about_order(user, NoticeKind::ShipmentUpdated, order));
                }
                if matches!(order.state, OrderState::Delivered { .. }) {
                    self.hold_for_staff(order);
                }
            }
        }
    }

    /// The carrier took the delivery back: nothing completes by itself before staff has looked.
    fn hold_for_staff(&mut self, order: &Order) {
        self.stop_completion(order.order);
        self.change_order(order.order, |order| {
            order.review_reason = Some(ReviewReason::DeliveryTakenBack);
        });
    }

    /// The buyer has the piece.
    fn deliver(&mut self, turn: &mut Turn, id: OrderId) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        let OrderState::InTransit { shipment } = &order.state else { return };
        self.drop_order_deadlines(&order);
        let policy = &self.cluster.policy;
        let window = policy.issue_window.min(limits::ISSUE_WINDOW_MAX);
        let completes_at = turn.at.plus(policy.auto_complete);
        let is_held = order.issue.is_some() || order.replacement.is_some();
        let completes_at = (!is_held).then_some(completes_at);
        let mut shipment = shipment.clone();
        shipment.state = ShipmentState::Delivered;
        let state = OrderState::Delivered {
            shipment,
            delivered_at: turn.at,
            issue_until: turn.at.plus(window),
            completes_at,
        };
        self.change_order(id, |order| {
            order.state = state;
            order.look_at = None;
            order.review_reason = None;
        });
        if let Some(at) = completes_at {
            self.deadlines.add(at, DueKind::AutoComplete(id));
        }
        self.plan_payout(id, turn.at);
        let told =
            [(order.buyer, NoticeKind::DeliveredBuyer), (order.maker, NoticeKind::Delivered)];
        for (user, kind) in told {
            let mut notice = about_order(user, kind, &order);
            notice.until = Some(turn.at.plus(window));
            self.notify(turn, notice);
        }
    }

    /// The buyer has the piece, and later is content with it.
    pub(super) fn confirm_delivery(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: OrderId,
        review: Option<&Review>,
    ) -> Answer {
        check_review(review)?;
        let order = Arc::clone(self.order_of(id, user)?);
        if order.buyer != user {
            return Err(Rejection::new(Code::Forbidden, "only the buyer confirms"));
        }
        match &order.state {
            OrderState::AwaitingShipment
            | OrderState::Completed { .. }
            | OrderState::Cancelled { .. } => return Err(wrong_state(&order)),
            OrderState::InTransit { .. } | OrderState::Delivered { .. }
                if order.issue.is_some() =>
            {
                return Err(issue_open());
            }
            OrderState::InTransit { .. } => self.deliver(turn, id),
            OrderState::Delivered { .. } => {
                self.complete_order(turn, id, CompletionType::Buyer);
            }
        }
        if let Some(review) = review {
            self.change_order(id, |order| order.review = Some(review.clone()));
        }
        Ok(Accepted::OrderChanged { order: id })
    }

    pub(super) fn admin_confirm_delivery(&mut self, turn: &mut Turn, id: OrderId) -> Answer {
        let order = self.any_order(id)?;
        if !matches!(order.state, OrderState::InTransit { .. }) {
            return Err(wrong_state(order));
        }
        self.deliver(turn, id);
        Ok(Accepted::OrderChanged { order: id })
    }

    pub(super) fn admin_complete_order(&mut self, turn: &mut Turn, id: OrderId) -> Answer {
        let order = self.any_order(id)?;
        match &order.state {
            OrderState::InTransit { .. } | OrderState::Delivered { .. } => {}
            OrderState::AwaitingShipment
            | OrderState::Completed { .. }
            | OrderState::Cancelled { .. } => return Err(wrong_state(order)),
        }
        if order.issue.is_some() {
            return Err(issue_open());
        }
        self.complete_order(turn, id, CompletionType::Admin);
        Ok(Accepted::OrderChanged { order: id })
    }

    pub(crate) fn auto_complete(&mut self, turn: &mut Turn, id: OrderId, due: Timestamp) {
        let is_due = self.orders.get(&id).is_some_and(|order| match &order.state {
            OrderState::Delivered { completes_at, .. } => *completes_at == Some(due),
            OrderState::AwaitingShipment
            | OrderState::InTransit { .. }
            | OrderState::Completed { .. }
            | OrderState::Cancelled { .. } => false,
        });
        if is_due {
            self.complete_order(turn, id, CompletionType::Auto);
        }
    }

    fn complete_order(&mut self, turn: &mut Turn, id: OrderId, completion: CompletionType) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        let (shipment, delivered_at) = match &order.state {
            OrderState::InTransit { shipment } => (shipment.clone(), None),
            OrderState::Delivered { shipment, delivered_at, .. } => {
                (shipment.clone(), Some(*delivered_at))
            }
            OrderState::AwaitingShipment
            | OrderState::Completed { .. }
            | OrderState::Cancelled { .. } => return,
        };
        self.drop_order_deadlines(&order);
        self.forgive_replacement(&order);
        let state =
            OrderState::Completed { shipment, delivered_at, completed_at: turn.at, completion };
        self.change_order(id, |order| {
            order.state = state;
            order.replacement = None;
            order.look_at = None;
            order.review_reason = None;
        });
        self.release_payout(turn, id);
        for user in [order.buyer, order.maker] {
            self.notify(turn, about_order(user, NoticeKind::Completed, &order));
        }
    }

    /// Nothing completes by itself any more.
    pub(crate) fn stop_completion(&mut self, id: OrderId) {
        let Some(order) = self.orders.get(&id) else { return };
        let OrderState::Delivered { completes_at: Some(at), .. } = &order.state else { return };
        self.deadlines.remove(*at, DueKind::AutoComplete(id));
        self.change_order(id, |order| {
            if let OrderState::Delivered { completes_at, .. } = &mut order.state {
                *completes_at = None;
            }
        });
    }

    /// The time to completion begins anew.
    pub(crate) fn restart_completion(&mut self, turn: &Turn, id: OrderId) {
        self.stop_completion(id);
        let next = turn.at.plus(self.cluster.policy.auto_complete);
        let mut is_delivered = false;
        self.change_order(id, |order| {
            if let OrderState::Delivered { completes_at, .. } = &mut order.state {
                *completes_at = Some(next);
                is_delivered = true;
            }
        });
        if is_delivered {
            self.deadlines.add(next, DueKind::AutoComplete(id));
        }
    }
}

fn check_review(review: Option<&Review>) -> Result<(), Rejection> {
    let Some(review) = review else { return Ok(()) };
    if review.rating.is_some_and(|rating| !(1..=5).contains(&rating)) {
        return Err(Rejection::new(Code::ValidationFailed, "a rating is 1 to 5"));
    }
    review.text.as_ref().map_or(Ok(()), |text| check_text(text, 1, limits::ORDER_TEXT_MAX))
}
