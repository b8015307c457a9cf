//! Refunds, transfers and their reversals, makers' accounts, and the books.
//!
//! Answers are read into small structs of our own: what moves money must not become unreadable for
//! one field that we do not use. Each thing that is made carries the effect it was made for, so that
//! it can be found again when an answer was lost. Accounts are made through Accounts v2, which
//! async-stripe does not know. It must not know why money moves. Read next: [`crate::client`].

use std::collections::BTreeMap;

use fairground_types::{ClusterId, Currency, EffectId, Money, RefundId, Timestamp, UserId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::checkout::{instant, money, plain_id};
use crate::client::{Ask, Stripe};
use crate::error::StripeError;

/// Things of a list that are looked through for one of ours.
const LOOK_MAX: &str = "100";

/// A refund to be made. Equal values make equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRefund {
    /// Stripe's id of the payment.
    pub payment: String,
    /// How much.
    pub amount: Money,
    /// Our name for it.
    pub refund: RefundId,
    /// The effect that it is made for.
    pub effect: EffectId,
    /// The cluster.
    pub cluster: ClusterId,
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundStatus {
    /// Under way.
    Pending,
    /// The money has gone.
    Succeeded,
    /// The money came back.
    Failed,
    /// It was called off.
    Cancelled,
}

/// A refund as an answer or an event shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundShown {
    /// Stripe's id.
    pub id: String,
    /// Our name for it, if it is one of ours.
    pub ours: Option<RefundId>,
    /// Stripe's id of the payment.
    pub payment: Option<String>,
    /// How much.
    pub amount: Option<Money>,
    /// Where it stands.
    pub status: RefundStatus,
}

/// A transfer to be made. Equal values make equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTransfer {
    /// Stripe's id of the account.
    pub account: String,
    /// How much.
    pub amount: Money,
    /// The charge whose money it is: the transfer waits for it by itself.
    pub charge: String,
    /// The group of payment and transfer.
    pub group: String,
    /// The effect that it is made for.
    pub effect: EffectId,
    /// The cluster.
    pub cluster: ClusterId,
}

/// A maker's account to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Whose.
    pub user: UserId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The public name.
    pub display_name: String,
    /// The maker's address.
    pub email: String,
    /// Two letters (ISO 3166-1).
    pub country: String,
}

/// Whether money can be sent to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountReadiness {
    /// Stripe's id.
    pub id: String,
    /// Whose, by what we attached to it.
    pub user: Option<UserId>,
    /// Transfers are active.
    pub is_ready: bool,
    /// It was ready once or Stripe restricts it now.
    pub is_restricted: bool,
    /// It was closed.
    pub is_closed: bool,
}

/// A charge and its record in Stripe's books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeRecord {
    /// Stripe's id of the charge.
    pub charge: String,
    /// Stripe's id of the record.
    pub record: String,
    /// What Stripe kept.
    pub fee: Money,
    /// What came in.
    pub gross: Money,
    /// When it can be used.
    pub available_at: Timestamp,
}

/// A dispute as an event shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeShown {
    /// Stripe's id.
    pub id: String,
    /// Stripe's id of the charge.
    pub charge: Option<String>,
    /// Stripe's id of the payment.
    pub payment: Option<String>,
    /// How much is disputed.
    pub amount: Option<Money>,
    /// What Stripe takes for it, once it is booked.
    pub fee: Option<Money>,
    /// The card network's word for why.
    pub reason: String,
    /// Stripe's word for where it stands.
    pub status: String,
    /// Until when evidence is taken.
    pub due_by: Option<Timestamp>,
}

#[derive(Deserialize)]
struct RawRefund {
    id: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    amount: Option<u64>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    payment_intent: Option<Value>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawMade {
    id: String,
    #[serde(default)]
    amount: Option<u64>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawList<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct RawIntent {
    #[serde(default)]
    latest_charge: Option<RawCharge>,
}

#[derive(Deserialize)]
struct RawCharge {
    id: String,
    #[serde(default)]
    balance_transaction: Option<RawBooked>,
}

#[derive(Deserialize)]
struct RawBooked {
    id: String,
    amount: u64,
    fee: u64,
    currency: String,
    available_on: i64,
}

#[derive(Deserialize)]
struct RawBalance {
    available: Vec<RawFunds>,
}

#[derive(Deserialize)]
struct RawFunds {
    amount: i64,
    currency: String,
}

#[derive(Deserialize)]
struct RawLink {
    url: String,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct RawDispute {
    id: String,
    #[serde(default)]
    charge: Option<Value>,
    #[serde(default)]
    payment_intent: Option<Value>,
    #[serde(default)]
    amount: Option<u64>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    evidence_details: Option<RawEvidence>,
    #[serde(default)]
    balance_transactions: Vec<RawFee>,
}

#[derive(Deserialize)]
struct RawEvidence {
    #[serde(default)]
    due_by: Option<i64>,
}

#[derive(Deserialize)]
struct RawFee {
    #[serde(default)]
    fee: i64,
    #[serde(default)]
    currency: Option<String>,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, StripeError> {
    serde_json::from_slice(body)
        .map_err(|error| StripeError::Unreadable { reason: error.to_string() })
}

/// An id, or the id of an object that was put in its place.
fn id_in(value: Option<&Value>) -> Option<String> {
    let value = value?;
    value.as_str().or_else(|| value.get("id").and_then(Value::as_str)).map(str::to_owned)
}

fn pair(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn lower(currency: Currency) -> String {
    currency.code().to_ascii_lowercase()
}

impl From<RawRefund> for RefundShown {
    fn from(raw: RawRefund) -> Self {
        let ours = raw.metadata.as_ref().and_then(|row| row.get("refund"));
        Self {
            ours: ours.and_then(|text| text.parse().ok()),
            payment: id_in(raw.payment_intent.as_ref()),
            amount: money(raw.amount, raw.currency.as_deref()),
            status: match raw.status.as_deref() {
                Some("succeeded") => RefundStatus::Succeeded,
                Some("failed") => RefundStatus::Failed,
                Some("canceled") => RefundStatus::Cancelled,
                // `pending`, `requires_action`, and whatever comes: looked at again by its events.
                _ => RefundStatus::Pending,
            },
            id: raw.id,
        }
    }
}

impl RefundShown {
    /// Reads the object of an event.
    #[must_use]
    pub(crate) fn of(object: &Value) -> Option<Self> {
        RawRefund::deserialize(object).ok().map(Self::from)
    }
}

impl DisputeShown {
    /// Reads the object of an event.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let raw = RawDispute::deserialize(object).ok()?;
        let fees: Vec<&RawFee> =
            raw.balance_transactions.iter().filter(|row| row.fee > 0).collect();
        let fee = fees.first().and_then(|row| {
            money(u64::try_from(row.fee).ok(), row.currency.as_deref().or(raw.currency.as_deref()))
        });
        Some(Self {
            charge: id_in(raw.charge.as_ref()),
            payment: id_in(raw.payment_intent.as_ref()),
            amount: money(raw.amount, raw.currency.as_deref()),
            fee,
            reason: raw.reason.unwrap_or_default(),
            status: raw.status.unwrap_or_default(),
            due_by: raw.evidence_details.and_then(|row| row.due_by).map(instant),
            id: raw.id,
        })
    }
}

impl Stripe {
    /// Makes a refund.
    ///
    /// # Errors
    /// See [`StripeError`]; [`StripeError::Unknown`] must be repeated with the same key or looked up.
    pub async fn create_refund(
        &self,
        new: &NewRefund,
        key: &str,
    ) -> Result<RefundShown, StripeError> {
        let pairs = [
            pair("payment_intent", &new.payment),
            pair("amount", new.amount.minor()),
            pair("reason", "requested_by_customer"),
            pair("metadata[cluster]", new.cluster),
            pair("metadata[effect]", new.effect),
            pair("metadata[refund]", new.refund),
        ];
        let ask = Ask { path: "v1/refunds", pairs: &pairs, key: Some(key), ..Ask::default() };
        Ok(read::<RawRefund>(&self.ask(ask).await?)?.into())
    }

    /// Looks for the refund that was made for an effect.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn find_refund(
        &self,
        payment: &str,
        effect: EffectId,
    ) -> Result<Option<RefundShown>, StripeError> {
        let pairs = [pair("payment_intent", payment), pair("limit", LOOK_MAX)];
        let ask = Ask { path: "v1/refunds", pairs: &pairs, ..Ask::default() };
        let list: RawList<RawRefund> = read(&self.ask(ask).await?)?;
        let found = list.data.into_iter().find(|row| is_for(row.metadata.as_ref(), effect));
        Ok(found.map(RefundShown::from))
    }

    /// Makes a transfer; answers Stripe's id.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn create_transfer(
        &self,
        new: &NewTransfer,
        key: &str,
    ) -> Result<String, StripeError> {
        let pairs = [
            pair("amount", new.amount.minor()),
            pair("currency", lower(new.amount.currency())),
            pair("destination", &new.account),
            pair("source_transaction", &new.charge),
            pair("transfer_group", &new.group),
            pair("metadata[cluster]", new.cluster),
            pair("metadata[effect]", new.effect),
        ];
        let ask = Ask { path: "v1/transfers", pairs: &pairs, key: Some(key), ..Ask::default() };
        Ok(read::<RawMade>(&self.ask(ask).await?)?.id)
    }

    /// Looks for the transfer that was made for an effect.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn find_transfer(
        &self,
        group: &str,
        effect: EffectId,
    ) -> Result<Option<String>, StripeError> {
        let pairs = [pair("transfer_group", group), pair("limit", LOOK_MAX)];
        let ask = Ask { path: "v1/transfers", pairs: &pairs, ..Ask::default() };
        let list: RawList<RawMade> = read(&self.ask(ask).await?)?;
        let found = list.data.into_iter().find(|row| is_for(row.metadata.as_ref(), effect));
        Ok(found.map(|row| row.id))
    }

    /// Takes a part of a transfer back; answers Stripe's id.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn reverse_transfer(
        &self,
        (transfer, amount): (&str, Money),
        effect: EffectId,
        key: &str,
    ) -> Result<String, StripeError> {
        let path = format!("v1/transfers/{}/reversals", plain_id("POST reversals", transfer)?);
        let pairs = [pair("amount", amount.minor()), pair("metadata[effect]", effect)];
        let ask = Ask { path: &path, pairs: &pairs, key: Some(key), ..Ask::default() };
        Ok(read::<RawMade>(&self.ask(ask).await?)?.id)
    }

    /// Looks for the reversal that was made for an effect; answers its id and how much came back.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn find_reversal(
        &self,
        transfer: &str,
        effect: EffectId,
    ) -> Result<Option<(String, u64)>, StripeError> {
        let path = format!("v1/transfers/{}/reversals", plain_id("GET reversals", transfer)?);
        let pairs = [pair("limit", LOOK_MAX)];
        let ask = Ask { path: &path, pairs: &pairs, ..Ask::default() };
        let list: RawList<RawMade> = read(&self.ask(ask).await?)?;
        let found = list.data.into_iter().find(|row| is_for(row.metadata.as_ref(), effect));
        Ok(found.map(|row| (row.id, row.amount.unwrap_or_default())))
    }

    /// What a connected account has and could give back.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn balance_of(
        &self,
        account: &str,
        currency: Currency,
    ) -> Result<Money, StripeError> {
        let ask = Ask { path: "v1/balance", account: Some(account), ..Ask::default() };
        let balance: RawBalance = read(&self.ask(ask).await?)?;
        let wanted = lower(currency);
        let funds = balance.available.iter().filter(|row| row.currency == wanted);
        let minor = funds.fold(0_i64, |sum, row| sum.saturating_add(row.amount));
        Ok(Money::new(u64::try_from(minor).unwrap_or_default(), currency))
    }

    /// Reads a payment's charge with its record in the books; none while there is no record.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn charge_of(&self, payment: &str) -> Result<Option<ChargeRecord>, StripeError> {
        let path = format!("v1/payment_intents/{}", plain_id("GET payment_intents", payment)?);
        let pairs = [pair("expand[]", "latest_charge.balance_transaction")];
        let ask = Ask { path: &path, pairs: &pairs, ..Ask::default() };
        let intent: RawIntent = read(&self.ask(ask).await?)?;
        let booked = intent.latest_charge.and_then(|row| Some((row.id, row.balance_transaction?)));
        let Some((charge, booked)) = booked else { return Ok(None) };
        let amount = |minor| money(Some(minor), Some(&booked.currency));
        let (Some(fee), Some(gross)) = (amount(booked.fee), amount(booked.amount)) else {
            let reason = "a record in a currency that is not one of ours".to_owned();
            return Err(StripeError::Unreadable { reason });
        };
        let available_at = instant(booked.available_on);
        Ok(Some(ChargeRecord { charge, record: booked.id, fee, gross, available_at }))
    }

    /// Makes a maker's account (Accounts v2); answers Stripe's id.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn create_account(&self, new: &NewAccount, key: &str) -> Result<String, StripeError> {
        let transfers = json!({"stripe_balance": {"stripe_transfers": {"requested": true}}});
        let body = json!({
            "display_name": new.display_name,
            "contact_email": new.email,
            "dashboard": "express",
            "identity": {"country": new.country},
            "configuration": {"recipient": {"capabilities": transfers}},
            "defaults": {"responsibilities":
                {"fees_collector": "application", "losses_collector": "application"}},
            "metadata": {"cluster": new.cluster, "user": new.user},
            "include": ["configuration.recipient"],
        });
        let ask =
            Ask { path: "v2/core/accounts", json: Some(&body), key: Some(key), ..Ask::default() };
        Ok(read::<RawMade>(&self.ask(ask).await?)?.id)
    }

    /// Reads whether money can be sent to an account.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn account(&self, account: &str) -> Result<AccountReadiness, StripeError> {
        let path = format!("v2/core/accounts/{}", plain_id("GET accounts", account)?);
        let pairs = [pair("include[0]", "configuration.recipient")];
        let ask = Ask { path: &path, pairs: &pairs, ..Ask::default() };
        let shown: Value = read(&self.ask(ask).await?)?;
        let status = "/configuration/recipient/capabilities/stripe_balance/stripe_transfers/status";
        let status = shown.pointer(status).and_then(Value::as_str).unwrap_or_default();
        let user = shown.pointer("/metadata/user").and_then(Value::as_str);
        Ok(AccountReadiness {
            id: account.to_owned(),
            user: user.and_then(|text| text.parse().ok()),
            is_ready: status == "active",
            is_restricted: status == "restricted" || status == "unsupported",
            is_closed: shown.get("closed").and_then(Value::as_bool).unwrap_or_default(),
        })
    }

    /// Makes a link to Stripe's onboarding: single use, minutes long, to be shown and not kept.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn account_link(
        &self,
        account: &str,
        (refresh_url, return_url): (&str, &str),
        key: &str,
    ) -> Result<(String, Option<Timestamp>), StripeError> {
        let onboarding = json!({"refresh_url": refresh_url, "return_url": return_url});
        let body = json!({
            "account": account,
            "use_case": {"type": "account_onboarding", "account_onboarding": onboarding},
        });
        let path = "v2/core/account_links";
        let ask = Ask { path, json: Some(&body), key: Some(key), ..Ask::default() };
        let link: RawLink = read(&self.ask(ask).await?)?;
        Ok((link.url, link.expires_at))
    }
}

fn is_for(metadata: Option<&BTreeMap<String, String>>, effect: EffectId) -> bool {
    metadata.and_then(|row| row.get("effect")).is_some_and(|text| *text == effect.to_string())
}
