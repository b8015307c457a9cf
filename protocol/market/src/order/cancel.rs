//! Ways out of an order; the money goes back in full.
//!
//! What is committed first counts: an order that was cancelled is not shipped, one that was shipped is
//! not cancelled by its parties. Read next: `money.rs`.

use std::sync::Arc;

use fairground_types::command::{RefundCause, SealedText};
use fairground_types::{Accepted, Code, OrderId, Rejection, UserId, limits};

use super::{CancelCause, OrderState, check_text, issue_open, wrong_state};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::effect::NoticeKind;
use crate::notice::about_order;

impl Market {
    pub(super) fn cancel_order(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: OrderId,
        reason: Option<&SealedText>,
    ) -> Answer {
        if let Some(reason) = reason {
            check_text(reason, 1, limits::ORDER_TEXT_MAX)?;
        }
        let order = Arc::clone(self.order_of(id, user)?);
        let is_maker = order.maker == user;
        if is_maker && reason.is_none() {
            return Err(Rejection::new(Code::ReasonRequired, "say why"));
        }
        if order.state != OrderState::AwaitingShipment {
            return Err(wrong_state(&order));
        }
        if !is_maker && !order.overdue {
            return Err(Rejection::new(Code::CancelNotAllowed, "the maker has time to ship"));
        }
        self.refundable(id)?;
        let cause = if is_maker { CancelCause::Maker } else { CancelCause::Buyer };
        if is_maker {
            self.strike_for_shipping(turn, id);
        }
        self.end_order(turn, id, cause, reason.cloned());
        Ok(Accepted::OrderChanged { order: id })
    }

    /// Staff ends an order that is not settled, whatever its stage.
    pub(super) fn admin_cancel_order(&mut self, turn: &mut Turn, id: OrderId) -> Answer {
        let order = Arc::clone(self.any_order(id)?);
        match &order.state {
            OrderState::AwaitingShipment => {}
            OrderState::InTransit { .. } | OrderState::Delivered { .. } => {
                if order.issue.is_some() {
                    return Err(issue_open());
                }
            }
            OrderState::Completed { .. } | OrderState::Cancelled { .. } => {
                return Err(wrong_state(&order));
            }
        }
        self.refundable(id)?;
        if order.state == OrderState::AwaitingShipment {
            self.strike_for_shipping(turn, id);
        }
        self.end_order(turn, id, CancelCause::Admin, None);
        Ok(Accepted::OrderChanged { order: id })
    }

    /// Ends an order; what has not gone back yet goes back. That it can was checked before.
    pub(crate) fn end_order(
        &mut self,
        turn: &mut Turn,
        id: OrderId,
        cause: CancelCause,
        reason: Option<SealedText>,
    ) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        self.drop_order_deadlines(&order);
        self.forgive_replacement(&order);
        let shipment = order.state.shipment().cloned();
        let state = OrderState::Cancelled { shipment, cancelled_at: turn.at, cause, reason };
        if let Ok(left) = self.refundable(id) {
            let why = match cause {
                CancelCause::FullRefund => RefundCause::IssueResolved,
                CancelCause::Buyer
                | CancelCause::Maker
                | CancelCause::Admin
                | CancelCause::NotShipped => RefundCause::OrderCancelled,
            };
            self.return_money(turn, &order, (left, why), (None, None));
        }
        self.change_order(id, |order| {
            order.state = state;
            order.replacement = None;
            order.reminder = None;
            order.look_at = None;
            order.review_reason = None;
        });
        match cause {
            CancelCause::Buyer | CancelCause::NotShipped => self.list_again(turn, order.story),
            CancelCause::Maker | CancelCause::Admin | CancelCause::FullRefund => {}
        }
        for user in [order.buyer, order.maker] {
            self.notify(turn, about_order(user, NoticeKind::OrderCancelled, &order));
        }
    }
}
