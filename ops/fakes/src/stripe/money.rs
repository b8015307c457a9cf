//! Refunds, transfers, reversals, makers' accounts, disputes, and the books behind them.
//!
//! A payment brings a charge with a record in the books (2.9 % and 30, like a card); what is available
//! goes to a maker's account by a transfer, and comes back by a reversal as far as the account's
//! balance goes. Only what our product calls is here. Read next: `objects.rs`, `control.rs`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::checkout::{Intent, Payment, Session};
use super::refusal::Refusal;
use super::{Cause, Recent, State, StripeFake, objects};
use crate::form::Field;

const THINGS_MAX: usize = 10_000;

/// What is remembered of money that moves.
#[derive(Default)]
pub(super) struct Books {
    refunds: Recent<Value>,
    transfers: Recent<Transfer>,
    accounts: Recent<Account>,
    disputes: Recent<Value>,
}

struct Transfer {
    body: Value,
    amount: u64,
    reversed: u64,
    account: String,
    reversals: Vec<Value>,
}

struct Account {
    body: Value,
    is_ready: bool,
    balances: BTreeMap<String, u64>,
}

/// Plain pairs of a form, and its metadata.
type Pairs<'a> = (BTreeMap<&'a str, &'a str>, BTreeMap<String, String>);

/// Pairs of a form by their plain names; one that is not known is refused by its name.
fn pairs<'a>(fields: &'a [Field], known: &[&str]) -> Result<Pairs<'a>, Refusal> {
    let mut plain = BTreeMap::new();
    let mut metadata = BTreeMap::new();
    for field in fields {
        let path: Vec<&str> = field.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [name] if known.contains(name) => {
                plain.insert(field.path[0].as_str(), field.value.as_str());
            }
            ["metadata", name] => {
                metadata.insert((*name).to_owned(), field.value.clone());
            }
            _ => return Err(Refusal::unknown(&field.name)),
        }
    }
    Ok((plain, metadata))
}

fn number(plain: &BTreeMap<&str, &str>, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(text) = plain.get(name) else { return Ok(None) };
    let parsed = text.parse().map_err(|_| Refusal::invalid(None, name, "Invalid integer"))?;
    Ok(Some(parsed))
}

fn needed<'a>(plain: &BTreeMap<&str, &'a str>, name: &str) -> Result<&'a str, Refusal> {
    plain.get(name).copied().ok_or_else(|| Refusal::missing(name))
}

/// What a card costs: 2.9 % and 30.
const fn fee_of(amount: u64) -> u64 {
    (amount.saturating_mul(29).saturating_add(500) / 1_000).saturating_add(30)
}

/// The record of a charge in the books.
pub(super) fn booked(session: &Session, intent: &Intent) -> Value {
    let amount = session.asked.amount_total;
    let fee = fee_of(amount);
    json!({
        "id": format!("txn_{}", intent.charge), "object": "balance_transaction",
        "amount": amount, "available_on": intent.created, "balance_type": "payments",
        "created": intent.created, "currency": session.asked.currency, "description": null,
        "exchange_rate": null, "fee": fee, "fee_details": [], "net": amount.saturating_sub(fee),
        "reporting_category": "charge", "source": intent.charge, "status": "pending",
        "type": "charge",
    })
}

/// A charge with its record.
pub(super) fn charge(session: &Session, intent: &Intent) -> Value {
    let amount = session.asked.amount_total;
    let names = [
        "application",
        "application_fee",
        "application_fee_amount",
        "calculated_statement_descriptor",
        "customer",
        "description",
        "failure_balance_transaction",
        "failure_code",
        "failure_message",
        "fraud_details",
        "on_behalf_of",
        "outcome",
        "payment_method_details",
        "receipt_email",
        "receipt_number",
        "receipt_url",
        "review",
        "shipping",
        "source",
        "source_transfer",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
    ];
    let mut body = json!({
        "id": intent.charge, "object": "charge", "amount": amount, "amount_captured": amount,
        "amount_refunded": 0, "balance_transaction": booked(session, intent),
        "billing_details": {"address": null, "email": null, "name": null, "phone": null,
            "tax_id": null},
        "captured": true, "created": intent.created, "currency": session.asked.currency,
        "disputed": false, "livemode": false, "metadata": session.asked.payment.metadata,
        "paid": true, "payment_intent": intent.id, "payment_method": intent.method,
        "refunded": false, "status": "succeeded",
        "transfer_group": session.asked.payment.transfer_group,
    });
    for name in names {
        body[name] = Value::Null;
    }
    body
}

fn paid<'a>(state: &'a State, payment: &str) -> Result<(&'a Session, &'a Intent), Refusal> {
    let session = state.sessions_of_payments.get(payment);
    let session = session.and_then(|session| state.sessions.get(session));
    let found = session.and_then(|session| Some((session, session.intent.as_ref()?)));
    found
        .filter(|(_, intent)| intent.payment == Payment::Succeeded)
        .ok_or_else(|| Refusal::not_found("payment_intent", payment))
}

impl StripeFake {
    /// Calls about money that moves; none when the path is another's.
    pub(super) fn execute_money(
        &self,
        state: &mut State,
        (method, parts): (&str, &[&str]),
        call: (&[Field], Option<&Value>, Option<&str>),
        cause: Cause<'_>,
    ) -> Option<Result<Value, Refusal>> {
        let (fields, body, account) = call;
        Some(match (method, parts) {
            ("POST", ["v1", "refunds"]) => self.refund(state, fields, cause),
            ("GET", ["v1", "refunds"]) => list_by(state, fields, "payment_intent", |books| {
                books.refunds.things.values().cloned().collect()
            }),
            ("POST", ["v1", "transfers"]) => self.transfer(state, fields),
            ("GET", ["v1", "transfers"]) => list_by(state, fields, "transfer_group", |books| {
                books.transfers.things.values().map(|row| row.body.clone()).collect()
            }),
            ("POST", ["v1", "transfers", id, "reversals"]) => self.reverse(state, id, fields),
            ("GET", ["v1", "transfers", id, "reversals"]) => {
                let found = state.books.transfers.get(id);
                let found = found.ok_or_else(|| Refusal::not_found("transfer", id));
                found.map(|row| objects::list("/v1/transfers", row.reversals.clone(), false))
            }
            ("GET", ["v1", "balance"]) => Ok(balance(state, account)),
            ("POST", ["v2", "core", "accounts"]) => self.make_account(state, body),
            ("GET", ["v2", "core", "accounts", id]) => {
                let found = state.books.accounts.get(id);
                found.map(shown).ok_or_else(|| Refusal::not_found("account", id))
            }
            ("POST", ["v2", "core", "account_links"]) => self.link(state, body),
            _ => return None,
        })
    }

    fn refund(
        &self,
        state: &mut State,
        fields: &[Field],
        cause: Cause<'_>,
    ) -> Result<Value, Refusal> {
        let (plain, metadata) = pairs(fields, &["payment_intent", "amount", "reason"])?;
        let payment = needed(&plain, "payment_intent")?;
        let (session, intent) = paid(state, payment)?;
        let (total, currency) = (session.asked.amount_total, session.asked.currency.clone());
        let (charge, method) = (intent.charge.clone(), intent.method.clone());
        let gone: u64 = state
            .books
            .refunds
            .things
            .values()
            .filter(|row| row["payment_intent"] == payment && row["status"] != "failed")
            .filter_map(|row| row["amount"].as_u64())
            .sum();
        let left = total.saturating_sub(gone);
        let amount = number(&plain, "amount")?.unwrap_or(left);
        if left == 0 {
            let message = "This charge has already been refunded.";
            return Err(Refusal::invalid(Some("charge_already_refunded"), "", message));
        }
        if amount == 0 || amount > left {
            return Err(Refusal::invalid(None, "amount", "Refund amount is above what is left."));
        }
        let id = self.ids.mixed("re_", 24);
        let body = json!({
            "id": id, "object": "refund", "amount": amount, "balance_transaction": null,
            "charge": charge, "created": state.now().as_unix_seconds(), "currency": currency,
            "customer": null, "customer_account": null, "metadata": metadata,
            "payment_intent": payment, "payment_method": method,
            "reason": plain.get("reason"), "receipt_number": null,
            "source_transfer_reversal": null, "status": "succeeded", "transfer_reversal": null,
        });
        state.books.refunds.insert(id, body.clone(), THINGS_MAX);
        self.tell(state, "refund.created", cause, body.clone());
        Ok(body)
    }

    fn transfer(&self, state: &mut State, fields: &[Field]) -> Result<Value, Refusal> {
        let known = ["amount", "currency", "destination", "source_transaction", "transfer_group"];
        let (plain, metadata) = pairs(fields, &known)?;
        let currency = needed(&plain, "currency")?.to_owned();
        let destination = needed(&plain, "destination")?;
        let amount = number(&plain, "amount")?.ok_or_else(|| Refusal::missing("amount"))?;
        let source = plain.get("source_transaction").map(|text| (*text).to_owned());
        if let Some(source) = &source {
            let sessions = state.sessions.things.values();
            let mut charges = sessions.filter_map(|row| Some((row, row.intent.as_ref()?)));
            let found = charges.find(|(_, intent)| intent.charge == *source);
            let (session, _) = found.ok_or_else(|| Refusal::not_found("charge", source))?;
            let sent: u64 = state
                .books
                .transfers
                .things
                .values()
                .filter(|row| row.body["source_transaction"] == source.as_str())
                .map(|row| row.amount.saturating_sub(row.reversed))
                .sum();
            if sent.saturating_add(amount) > session.asked.amount_total {
                let message = "Transfers of this charge would exceed it.";
                return Err(Refusal::invalid(None, "amount", message));
            }
        }
        let account = state.books.accounts.get_mut(destination);
        let account = account.ok_or_else(|| Refusal::not_found("destination", destination))?;
        if !account.is_ready {
            let message = "The destination account needs the transfers capability.";
            let code = Some("insufficient_capabilities_for_transfer");
            return Err(Refusal::invalid(code, "destination", message));
        }
        *account.balances.entry(currency.clone()).or_default() += amount;
        let id = self.ids.mixed("tr_", 24);
        let body = json!({
            "id": id, "object": "transfer", "amount": amount, "amount_reversed": 0,
            "balance_transaction": null, "created": state.now().as_unix_seconds(),
            "currency": currency, "description": null, "destination": destination,
            "livemode": false, "metadata": metadata,
            "reversals": objects::list(&format!("/v1/transfers/{id}/reversals"), vec![], false),
            "reversed": false, "source_transaction": source,
            "transfer_group": plain.get("transfer_group"),
        });
        let account = destination.to_owned();
        let row =
            Transfer { body: body.clone(), amount, reversed: 0, account, reversals: Vec::new() };
        state.books.transfers.insert(id, row, THINGS_MAX);
        Ok(body)
    }

    fn reverse(&self, state: &mut State, id: &str, fields: &[Field]) -> Result<Value, Refusal> {
        let (plain, metadata) = pairs(fields, &["amount"])?;
        let now = state.now().as_unix_seconds();
        let books = &mut state.books;
        let row = books.transfers.get_mut(id).ok_or_else(|| Refusal::not_found("transfer", id))?;
        let left = row.amount.saturating_sub(row.reversed);
        let amount = number(&plain, "amount")?.unwrap_or(left);
        if amount == 0 || amount > left {
            return Err(Refusal::invalid(None, "amount", "Reversal is above what is left."));
        }
        let currency = row.body["currency"].as_str().unwrap_or_default().to_owned();
        let has = books.accounts.get_mut(&row.account).and_then(|a| a.balances.get_mut(&currency));
        let Some(has) = has.filter(|has| **has >= amount) else {
            let message = "The account has insufficient funds.";
            return Err(Refusal::invalid(Some("balance_insufficient"), "", message));
        };
        *has -= amount;
        row.reversed += amount;
        let body = json!({
            "id": self.ids.mixed("trr_", 24), "object": "transfer_reversal", "amount": amount,
            "balance_transaction": null, "created": now, "currency": currency,
            "destination_payment_refund": null, "metadata": metadata, "source_refund": null,
            "transfer": id,
        });
        row.reversals.push(body.clone());
        Ok(body)
    }

    fn make_account(&self, state: &mut State, body: Option<&Value>) -> Result<Value, Refusal> {
        let body = body.ok_or_else(|| Refusal::missing("body"))?;
        if body.pointer("/configuration/recipient").is_none() {
            return Err(Refusal::missing("configuration.recipient"));
        }
        let id = self.ids.mixed("acct_", 16);
        let shown_body = json!({
            "id": id, "object": "v2.core.account", "applied_configurations": ["recipient"],
            "created": state.now().to_string(), "livemode": false,
            "display_name": body["display_name"], "contact_email": body["contact_email"],
            "dashboard": body["dashboard"], "metadata": body["metadata"],
        });
        let account = Account { body: shown_body, is_ready: false, balances: BTreeMap::new() };
        let answer = shown(&account);
        state.books.accounts.insert(id, account, THINGS_MAX);
        Ok(answer)
    }

    fn link(&self, state: &State, body: Option<&Value>) -> Result<Value, Refusal> {
        let body = body.ok_or_else(|| Refusal::missing("body"))?;
        let account = body["account"].as_str().ok_or_else(|| Refusal::missing("account"))?;
        if state.books.accounts.get(account).is_none() {
            return Err(Refusal::not_found("account", account));
        }
        let now = state.now();
        let ends = now.plus(fairground_types::Millis::from_mins(5));
        Ok(json!({
            "object": "v2.core.account_link", "account": account, "created": now.to_string(),
            "expires_at": ends.to_string(), "livemode": false,
            "url": format!("{}/onboarding/{account}/{}", self.base_url, self.ids.mixed("", 16)),
            "use_case": body["use_case"],
        }))
    }

    /// A maker tells enough, or no longer does; an event says so.
    pub(super) fn set_ready(&self, account: &str, is_ready: bool) -> bool {
        let mut state = self.state();
        let Some(row) = state.books.accounts.get_mut(account) else { return false };
        row.is_ready = is_ready;
        let body = json!({"id": account, "object": "account"});
        self.tell(&mut state, "account.updated", Cause::default(), body);
        true
    }

    /// Money leaves a maker's balance, as a payout does.
    pub(super) fn drain(&self, account: &str, leave: u64) -> bool {
        let mut state = self.state();
        let Some(row) = state.books.accounts.get_mut(account) else { return false };
        for balance in row.balances.values_mut() {
            *balance = (*balance).min(leave);
        }
        true
    }

    /// A refund takes another state; an event says so.
    pub(super) fn move_refund(&self, refund: &str, status: &str) -> bool {
        let mut state = self.state();
        let Some(row) = state.books.refunds.get_mut(refund) else { return false };
        row["status"] = status.into();
        let body = row.clone();
        let kind = if status == "failed" { "refund.failed" } else { "refund.updated" };
        self.tell(&mut state, kind, Cause::default(), body);
        true
    }

    /// A card holder disputes a payment, or a dispute takes another state; an event says so.
    pub(super) fn dispute(&self, payment: &str, status: &str) -> Option<Value> {
        let mut state = self.state();
        let known =
            state.books.disputes.things.values().find(|row| row["payment_intent"] == payment);
        let known = known.and_then(|row| row["id"].as_str()).map(str::to_owned);
        let (session, intent) = paid(&state, payment).ok()?;
        let (amount, currency) = (session.asked.amount_total, session.asked.currency.clone());
        let charge = intent.charge.clone();
        let is_new = known.is_none();
        let id = known.unwrap_or_else(|| self.ids.mixed("dp_", 24));
        let now = state.now().as_unix_seconds();
        let fees = if status.starts_with("warning") {
            json!([])
        } else {
            json!([{"id": format!("txn_{id}"), "object": "balance_transaction", "fee": 1_500,
                "currency": currency}])
        };
        let body = json!({
            "id": id, "object": "dispute", "amount": amount, "balance_transactions": fees,
            "charge": charge, "created": now, "currency": currency,
            "evidence_details": {"due_by": now + 7 * 86_400, "has_evidence": false,
                "past_due": false, "submission_count": 0},
            "livemode": false, "metadata": {}, "payment_intent": payment,
            "reason": "fraudulent", "status": status,
        });
        state.books.disputes.insert(id, body.clone(), THINGS_MAX);
        let is_closed = matches!(status, "won" | "lost" | "warning_closed");
        let kind = match (is_new, is_closed) {
            (_, true) => "charge.dispute.closed",
            (true, false) => "charge.dispute.created",
            (false, false) => "charge.dispute.updated",
        };
        self.tell(&mut state, kind, Cause::default(), body.clone());
        Some(body)
    }
}

fn shown(account: &Account) -> Value {
    let status = if account.is_ready { "active" } else { "pending" };
    let mut body = account.body.clone();
    body["configuration"] = json!({"recipient": {"applied": true, "capabilities":
        {"stripe_balance": {"stripe_transfers": {"status": status, "status_details": []}}}}});
    body
}

fn balance(state: &State, account: Option<&str>) -> Value {
    let row = account.and_then(|id| state.books.accounts.get(id));
    let available: Vec<Value> = row.map_or_else(Vec::new, |row| {
        let balances = row.balances.iter();
        balances.map(|(currency, minor)| json!({"amount": minor, "currency": currency})).collect()
    });
    json!({"object": "balance", "available": available, "livemode": false, "pending": []})
}

fn list_by(
    state: &State,
    fields: &[Field],
    name: &str,
    all: impl Fn(&Books) -> Vec<Value>,
) -> Result<Value, Refusal> {
    let (plain, _) = pairs(fields, &[name, "limit"])?;
    let wanted = plain.get(name).copied();
    let found = all(&state.books)
        .into_iter()
        .filter(|row| wanted.is_none_or(|wanted| row[name] == wanted))
        .collect();
    Ok(objects::list("/v1", found, false))
}
