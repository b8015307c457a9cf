//! Deadlines of orders and issues: how they end, and how an outage moves them.
//!
//! A window never ends for somebody while the market could not take what they had to do: after an
//! outage every window that was open goes on for as long as the outage was (domain 10.7). Read next:
//! `../deadline.rs`.

use fairground_types::{Millis, OrderId, Timestamp, limits};

use super::{Order, OrderState};
use crate::Market;
use crate::deadline::DueKind;
use crate::outage::Outage;

impl Market {
    /// Nothing about an order falls due any more.
    pub(crate) fn drop_order_deadlines(&mut self, order: &Order) {
        let id = order.order;
        self.deadlines.remove(order.ship_by, DueKind::ShipBy(id));
        if let Some((at, _)) = order.reminder {
            self.deadlines.remove(at, DueKind::ShipReminder(id));
        }
        if let Some(at) = order.look_at {
            self.deadlines.remove(at, DueKind::OrderReview(id));
        }
        if let OrderState::Delivered { completes_at: Some(at), .. } = &order.state {
            self.deadlines.remove(*at, DueKind::AutoComplete(id));
        }
    }

    /// Moves every window of orders and issues that was open when an outage began.
    pub(crate) fn shift_order_windows(&mut self, outage: &Outage) {
        let first_end = || self.deadlines.first_window(outage.until);
        let Some(gap) = outage.kept_from(first_end) else { return };
        // When the outage began is not known, only that it had when the window ended: a while more.
        let gap = if outage.is_seen { gap } else { gap.plus(limits::OUTAGE_EXTENSION) };
        let ids: Vec<OrderId> = self
            .orders
            .values()
            .filter(|order| order.state.settled_at().is_none())
            .map(|order| order.order)
            .collect();
        for id in ids {
            self.shift_order(id, outage.last, gap);
        }
        self.shift_issue_windows(gap);
    }

    fn shift_order(&mut self, id: OrderId, last: Timestamp, gap: Millis) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        self.drop_order_deadlines(&order);
        let later = |at: Timestamp| if at > last { at.plus(gap) } else { at };
        self.change_order(id, |order| {
            match &mut order.state {
                OrderState::AwaitingShipment if !order.overdue => {
                    order.ship_by = later(order.ship_by);
                    order.reminder = order.reminder.map(|(at, number)| (later(at), number));
                }
                OrderState::Delivered { issue_until, completes_at, .. } => {
                    *issue_until = later(*issue_until);
                    *completes_at = completes_at.map(later);
                }
                OrderState::AwaitingShipment
                | OrderState::InTransit { .. }
                | OrderState::Completed { .. }
                | OrderState::Cancelled { .. } => {}
            }
            order.replacement = order.replacement.map(|(issue, at)| (issue, later(at)));
        });
        self.add_order_deadlines(id);
    }

    fn add_order_deadlines(&mut self, id: OrderId) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        if order.state == OrderState::AwaitingShipment && !order.overdue {
            self.deadlines.add(order.ship_by, DueKind::ShipBy(id));
            if let Some((at, _)) = order.reminder {
                self.deadlines.add(at, DueKind::ShipReminder(id));
            }
        }
        if let Some(at) = order.look_at {
            self.deadlines.add(at, DueKind::OrderReview(id));
        }
        if let OrderState::Delivered { completes_at: Some(at), .. } = &order.state {
            self.deadlines.add(*at, DueKind::AutoComplete(id));
        }
    }
}
