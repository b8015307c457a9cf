//! The hosted page on which the buyer pays: plain, accessible, and only for test cards.
//!
//! Read next: `checkout.rs` for what a card does.

use std::sync::Arc;

use axum::extract::{Path, RawForm, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fairground_types::{Currency, Money};

use super::StripeFake;
use super::checkout::{Paid, Session, Status};
use crate::form;
use crate::html::{escaped, page};

/// `GET /pay/{session}`.
pub(super) async fn show(
    Shared(fake): Shared<Arc<StripeFake>>,
    Path(id): Path<String>,
) -> Response {
    fake.payment_page(&id, StatusCode::OK, None)
}

/// `POST /pay/{session}` with `card` and `action`.
pub(super) async fn submit(
    Shared(fake): Shared<Arc<StripeFake>>,
    Path(id): Path<String>,
    RawForm(body): RawForm,
) -> Response {
    let Ok(fields) = form::parse(&body) else {
        return fake.payment_page(&id, StatusCode::BAD_REQUEST, Some("The form was not readable."));
    };
    if form::value_of(&fields, "action") == Some("cancel") {
        return fake.cancelled(&id);
    }
    let card = form::value_of(&fields, "card").unwrap_or_default();
    match fake.pay(&id, card) {
        Paid::Yes { to, .. } => see_other(&to),
        Paid::Declined { code } => {
            let why = match code {
                "insufficient_funds" => "Your card has insufficient funds. Try another card.",
                _ => "Your card was declined. Try another card.",
            };
            fake.payment_page(&id, StatusCode::PAYMENT_REQUIRED, Some(why))
        }
        Paid::UnknownCard => {
            let why = "Your card number is incorrect: use one of the test cards named below.";
            fake.payment_page(&id, StatusCode::BAD_REQUEST, Some(why))
        }
        Paid::NotOpen => fake.payment_page(&id, StatusCode::CONFLICT, None),
        Paid::NoSession => fake.payment_page(&id, StatusCode::NOT_FOUND, None),
    }
}

/// `POST /pay/{session}/cancel`.
pub(super) async fn cancel(
    Shared(fake): Shared<Arc<StripeFake>>,
    Path(id): Path<String>,
) -> Response {
    fake.cancelled(&id)
}

impl StripeFake {
    /// Sends the buyer back; the session stays open, as at Stripe.
    fn cancelled(&self, id: &str) -> Response {
        let to = self.state().sessions.get(id).map(|session| session.asked.cancel_url.clone());
        match to {
            Some(Some(to)) => see_other(&to),
            Some(None) => self.payment_page(id, StatusCode::OK, None),
            None => self.payment_page(id, StatusCode::NOT_FOUND, None),
        }
    }

    fn payment_page(&self, id: &str, status: StatusCode, alert: Option<&str>) -> Response {
        let session = {
            let mut state = self.state();
            self.expire_due(&mut state);
            state.sessions.get(id).cloned()
        };
        let Some(session) = session else {
            return page(StatusCode::NOT_FOUND, "No such payment", "<p>The address is wrong.</p>");
        };
        match session.status {
            Status::Open => page(status, "Pay by card", &payment_form(&session, alert)),
            Status::Complete => page(status, "Already paid", &way_back(&session)),
            Status::Expired => page(status, "Too late to pay", &way_back(&session)),
        }
    }
}

fn payment_form(session: &Session, alert: Option<&str>) -> String {
    let alert = alert.map_or_else(String::new, |text| {
        format!("<p role=\"alert\" id=\"alert\">{}</p>", escaped(text))
    });
    let invalid = if alert.is_empty() { "" } else { " aria-invalid=\"true\"" };
    format!(
        "<p>{title}</p><p class=\"amount\">{amount}</p>{alert}\
         <form method=\"post\" action=\"/pay/{id}\">\
         <label for=\"card\">Card number</label>\
         <input id=\"card\" name=\"card\" inputmode=\"numeric\" autocomplete=\"off\" \
         value=\"4242 4242 4242 4242\" maxlength=\"40\" aria-describedby=\"card-hint\"{invalid}>\
         <p class=\"hint\" id=\"card-hint\">No money moves here. 4242 4242 4242 4242 pays, \
         4000 0000 0000 0002 is declined.</p>\
         <button class=\"main\" type=\"submit\" name=\"action\" value=\"pay\">Pay</button>\
         <button type=\"submit\" name=\"action\" value=\"cancel\">Cancel</button></form>",
        title = escaped(&session.asked.title),
        amount = escaped(&amount_text(session)),
        id = escaped(&session.id),
    )
}

fn way_back(session: &Session) -> String {
    let to = match session.status {
        Status::Complete => Some(&session.asked.success_url),
        Status::Open | Status::Expired => session.asked.cancel_url.as_ref(),
    };
    let link = to.map_or_else(String::new, |to| {
        format!("<p><a href=\"{}\">Back to the shop</a></p>", escaped(to))
    });
    format!("<p>{}, {}</p>{link}", escaped(&session.asked.title), escaped(&amount_text(session)))
}

fn amount_text(session: &Session) -> String {
    let asked = &session.asked;
    let code = asked.currency.to_ascii_uppercase();
    Currency::parse(&code).map_or_else(
        || format!("{code} {} minor units", asked.amount_total),
        |currency| Money::new(asked.amount_total, currency).to_string(),
    )
}

fn see_other(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(to) => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
