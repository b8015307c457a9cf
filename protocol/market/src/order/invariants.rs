//! What must hold of orders, parcels and issues after every entry.

use std::collections::BTreeMap;

use fairground_types::Timestamp;

use super::{Order, OrderState};
use crate::Market;
use crate::deadline::DueKind;
use crate::issue::{IssueState, deadlines_of};

impl Market {
    pub(crate) fn check_orders(&self, broken: &mut Vec<String>) {
        let mut parcels = BTreeMap::new();
        for order in self.orders.values() {
            if let Some(shipment) = order.state.shipment() {
                parcels.insert(shipment.key(), order.order);
                let times: Vec<Timestamp> = shipment.events.iter().map(|event| event.at).collect();
                if !times.is_sorted() {
                    broken.push(format!("the timeline of order {} goes back", order.order));
                }
            }
            self.check_order(order, broken);
        }
        if parcels != self.parcels {
            broken.push("the index of parcels is wrong".to_owned());
        }
        for issue in self.issues.values() {
            let id = issue.issue;
            let order = self.orders.get(&issue.order);
            let holds = order.is_some_and(|order| order.issue == Some(id));
            if issue.state.is_open() != holds {
                broken.push(format!("issue {id} and its order disagree"));
            }
            if deadlines_of(issue).into_iter().any(|(at, kind)| !self.deadlines.has(at, kind)) {
                broken.push(format!("a deadline of issue {id} is missing"));
            }
            if let IssueState::Resolved { resolved_at, appeal_until, .. } = &issue.state
                && appeal_until < resolved_at
            {
                broken.push(format!("an appeal against issue {id} is over before it begins"));
            }
        }
    }

    fn check_order(&self, order: &Order, broken: &mut Vec<String>) {
        let id = order.order;
        let expected = match &order.state {
            OrderState::AwaitingShipment if order.overdue => None,
            OrderState::AwaitingShipment => Some((order.ship_by, DueKind::ShipBy(id))),
            OrderState::Delivered { completes_at, .. } => {
                completes_at.map(|at| (at, DueKind::AutoComplete(id)))
            }
            OrderState::InTransit { .. }
            | OrderState::Completed { .. }
            | OrderState::Cancelled { .. } => None,
        };
        if expected.is_some_and(|(at, kind)| !self.deadlines.has(at, kind)) {
            broken.push(format!("the deadline of order {id} is missing"));
        }
        let completes_at = match &order.state {
            OrderState::Delivered { completes_at, .. } => *completes_at,
            OrderState::AwaitingShipment
            | OrderState::InTransit { .. }
            | OrderState::Completed { .. }
            | OrderState::Cancelled { .. } => None,
        };
        if completes_at.is_some() && (order.issue.is_some() || order.replacement.is_some()) {
            broken.push(format!("order {id} is held and completes by itself"));
        }
        let is_settled = order.state.settled_at().is_some();
        if is_settled && order.issue.is_some() {
            broken.push(format!("order {id} is settled with an open issue"));
        }
    }
}
