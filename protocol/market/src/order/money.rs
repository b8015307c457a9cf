//! What an order asks of the treasury, and what it means for its maker's standing.
//!
//! It must not know how a refund or a payout is carried out. Read next: `../treasury/`.

use fairground_types::command::RefundCause;
use fairground_types::{Money, OrderId, StrikeAbout, StrikeKind, UserId};

use super::Order;
use crate::Market;
use crate::apply::Turn;
use crate::treasury::RefundRequest;

impl Market {
    /// The market's share of a price: rounded half up, between its bounds, never above the price.
    pub(crate) fn fee_of(&self, amount: Money) -> Money {
        let policy = &self.cluster.policy;
        let least = policy.fee_min_minor.min(policy.fee_max_minor);
        let bound = |hundredths| amount.currency().from_hundredths(hundredths);
        let share = amount.share_half_up(policy.fee).minor();
        let fee = share.clamp(bound(least), bound(policy.fee_max_minor)).min(amount.minor());
        Money::new(fee, amount.currency())
    }

    /// Gives a part of an order's money back. That it can was checked before.
    pub(crate) fn return_money(
        &mut self,
        turn: &mut Turn,
        order: &Order,
        (amount, cause): (Money, RefundCause),
        (proposer, approver): (Option<UserId>, Option<UserId>),
    ) {
        if amount.is_zero() {
            return;
        }
        let request = RefundRequest { order: order.order, amount, cause, proposer, reason: None };
        // A refusal changes nothing; the money is still there and staff sees it.
        let _ = self.refund_agreed(turn, request, approver);
    }

    /// An order that was not shipped as promised counts against its maker, once per order.
    pub(super) fn strike_for_shipping(&mut self, turn: &mut Turn, id: OrderId) {
        let Some(order) = self.orders.get(&id).filter(|order| !order.struck) else { return };
        let maker = order.maker;
        self.change_order(id, |order| order.struck = true);
        self.add_strike(turn, maker, StrikeKind::ShipSla, StrikeAbout::Order(id));
    }
}
