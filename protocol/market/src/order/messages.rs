//! The thread between the two parties of an order.
//!
//! Read next: `rows.rs` for who reads it.

use std::sync::Arc;

use fairground_types::command::SealedText;
use fairground_types::{Accepted, Code, OrderId, Rejection, UserId, limits};

use super::{OrderMessage, check_text};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::effect::NoticeKind;
use crate::notice::about_order;

impl Market {
    pub(super) fn post_message(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: OrderId,
        text: &SealedText,
    ) -> Answer {
        check_text(text, 1, limits::ORDER_TEXT_MAX)?;
        let order = Arc::clone(self.order_of(id, user)?);
        let bytes = order
            .messages
            .iter()
            .filter_map(|known| known.text.as_ref())
            .fold(text.size(), |sum, known| sum.saturating_add(known.size()));
        if order.messages.len() >= limits::ORDER_MESSAGES_MAX
            || bytes > limits::ORDER_MESSAGE_BYTES_MAX
        {
            return Err(Rejection::new(Code::LimitReached, "this thread is full"));
        }
        let message = OrderMessage { sender: user, at: turn.at, text: Some(text.clone()) };
        self.change_order(id, |order| order.messages.push(message));
        let other = order.other_party(user);
        self.notify(turn, about_order(other, NoticeKind::OrderMessage, &order));
        Ok(Accepted::OrderChanged { order: id })
    }
}
