//! Stripe's objects as JSON: every field that API version 2026-09-30.endive requires.
//!
//! Only shapes; what a session is, is in `checkout.rs`. Read next: `checkout.rs`.

use serde_json::{Map, Value, json};

use super::checkout::{Intent, Payment, Session, Status};
use super::{API_VERSION, Cause};

/// Required fields of a session that are null for what we open.
const SESSION_NULLS: [&str; 36] = [
    "after_expiration",
    "allow_promotion_codes",
    "allowed_payment_method_types",
    "billing_address_collection",
    "client_secret",
    "collected_information",
    "consent",
    "consent_collection",
    "currency_conversion",
    "customer",
    "customer_account",
    "customer_creation",
    "customer_details",
    "discounts",
    "integration_identifier",
    "invoice",
    "invoice_creation",
    "locale",
    "managed_payments",
    "origin_context",
    "payment_link",
    "payment_method_collection",
    "payment_method_configuration_details",
    "permissions",
    "presentment_details",
    "recovered_from",
    "saved_payment_method_options",
    "setup_intent",
    "shipping_address_collection",
    "shipping_cost",
    "submit_type",
    "subscription",
    "wallet_options",
    "customer_email",
    "payment_intent",
    "url",
];

/// Required fields of a payment that are null for what we open.
const INTENT_NULLS: [&str; 24] = [
    "allowed_payment_method_types",
    "application",
    "application_fee_amount",
    "automatic_payment_methods",
    "canceled_at",
    "cancellation_reason",
    "customer",
    "customer_account",
    "excluded_payment_method_types",
    "last_payment_error",
    "latest_charge",
    "managed_payments",
    "next_action",
    "on_behalf_of",
    "payment_method",
    "payment_method_configuration_details",
    "payment_record",
    "processing",
    "receipt_email",
    "review",
    "setup_future_usage",
    "shipping",
    "source",
    "statement_descriptor",
];

fn nulls(names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect()
}

fn with(mut object: Map<String, Value>, fields: Value) -> Value {
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    Value::Object(object)
}

/// A `checkout.session`. `page` is where it is paid, while it is open.
pub(crate) fn session(session: &Session, page: &str, expand_intent: bool) -> Value {
    let asked = &session.asked;
    let intent_value = session.intent.as_ref().map(|found| {
        if expand_intent { intent(session, found) } else { Value::from(found.id.as_str()) }
    });
    let url = (session.status == Status::Open).then(|| page.to_owned());
    let mut object = with(
        nulls(&SESSION_NULLS),
        json!({
            "id": session.id,
            "object": "checkout.session",
            "adaptive_pricing": {"enabled": asked.adaptive_pricing},
            "amount_subtotal": asked.amount_total,
            "amount_total": asked.amount_total,
            "automatic_tax":
                {"enabled": false, "liability": null, "provider": null, "status": null},
            "cancel_url": asked.cancel_url,
            "client_reference_id": asked.client_reference_id,
            "created": session.created,
            "currency": asked.currency,
            "custom_fields": [],
            "custom_text": {"after_submit": null, "shipping_address": null, "submit": null,
                "terms_of_service_acceptance": null},
            "customer_email": asked.customer_email,
            "expires_at": asked.expires_at,
            "livemode": false,
            "metadata": asked.metadata,
        }),
    );
    let rest = json!({
        "mode": "payment",
        "payment_intent": intent_value,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": if session.status == Status::Complete { "paid" } else { "unpaid" },
        "phone_number_collection": {"enabled": false},
        "shipping_options": [],
        "status": session.status.word(),
        "success_url": asked.success_url,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": url,
    });
    if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
        object.extend(rest);
        // Optional, and absent is how Stripe shows that it does not apply.
        object.remove("presentment_details");
    }
    object
}

/// A `payment_intent` of a session.
pub(crate) fn intent(session: &Session, intent: &Intent) -> Value {
    let asked = &session.asked;
    let (status, received) = match intent.payment {
        Payment::Succeeded => ("succeeded", asked.amount_total),
        Payment::Declined { .. } => ("requires_payment_method", 0),
    };
    let mut object = with(
        nulls(&INTENT_NULLS),
        json!({
            "id": intent.id,
            "object": "payment_intent",
            "amount": asked.amount_total,
            "amount_capturable": 0,
            "amount_received": received,
            "capture_method": "automatic_async",
            "client_secret": format!("{}_secret_of_a_stand_in", intent.id),
            "confirmation_method": "automatic",
            "created": intent.created,
            "currency": asked.currency,
            "description": asked.payment.description,
            "livemode": false,
            "metadata": asked.payment.metadata,
            "payment_method_options": {"card": {"installments": null, "mandate_options": null,
                "network": null, "request_three_d_secure": "automatic"}},
            "payment_method_types": ["card"],
            "statement_descriptor_suffix": asked.payment.statement_descriptor_suffix,
            "status": status,
            "transfer_group": asked.payment.transfer_group,
        }),
    );
    match &intent.payment {
        Payment::Succeeded => {
            object["latest_charge"] = intent.charge.as_str().into();
            object["payment_method"] = intent.method.as_str().into();
        }
        Payment::Declined { code } => {
            object["latest_charge"] = intent.charge.as_str().into();
            object["last_payment_error"] = json!({
                "type": "card_error",
                "code": "card_declined",
                "decline_code": code,
                "charge": intent.charge,
                "message": "Your card was declined.",
            });
        }
    }
    object
}

/// An `event` about an object.
pub(crate) fn event(id: &str, kind: &str, created: u64, cause: Cause<'_>, object: Value) -> Value {
    json!({
        "id": id,
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": {"object": object},
        "livemode": false,
        "pending_webhooks": 1,
        "request": {"id": cause.request_id, "idempotency_key": cause.key},
        "type": kind,
    })
}

/// A page of a list.
pub(crate) fn list(url: &str, items: Vec<Value>, has_more: bool) -> Value {
    json!({"object": "list", "data": items, "has_more": has_more, "url": url})
}
