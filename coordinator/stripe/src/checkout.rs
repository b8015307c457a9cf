//! Hosted checkout: open a session, end it early, look at it.
//!
//! Builds requests from an [`OpenCheckout`] alone: no clock, so that a repeat by another member is
//! the same request. It must not know the market's rules. Read next: [`crate::webhook`] for how the
//! outcome arrives.

use std::collections::{BTreeMap, HashMap};

use fairground_types::{ClusterId, Currency, Millis, Money, OrderId, SaleLockId, Timestamp};
use stripe_checkout::checkout_session::{
    CreateCheckoutSession, CreateCheckoutSessionAdaptivePricing, CreateCheckoutSessionLineItems,
    CreateCheckoutSessionLineItemsPriceData, CreateCheckoutSessionPaymentIntentData,
    ExpireCheckoutSession, ProductData, RetrieveCheckoutSession,
};
use stripe_client_core::{IdempotencyKey, RequestStrategy, StripeRequest};
use stripe_shared::CheckoutSessionMode;

use crate::client::Stripe;
use crate::error::StripeError;

/// Stripe's least life of a session, 30 minutes, and five for a call that is made late.
const LIFE_MIN: Millis = Millis::from_mins(35);
/// Stripe's greatest life of a session, 24 hours, less a minute for clocks that differ.
const LIFE_MAX: Millis = Millis::from_mins(24 * 60 - 1);
/// Characters of a product name that Stripe shows.
const TITLE_CHARS_MAX: usize = 250;
const OPEN: &str = "POST /checkout/sessions";
const EXPIRE: &str = "POST /checkout/sessions/{id}/expire";
const LOOK: &str = "GET /checkout/sessions/{id}";

/// What a hosted checkout is to be opened for. Equal values make equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCheckout {
    /// What the buyer pays. Stripe wants the last digit of three-digit currencies to be 0.
    pub amount: Money,
    /// What the buyer reads beside it; cut after 250 characters.
    pub title: String,
    /// The sale lock; comes back as `client_reference_id` and in the metadata.
    pub sale_lock: SaleLockId,
    /// The cluster; events of another one are not ours.
    pub cluster: ClusterId,
    /// The order, when it exists already.
    pub order: Option<OrderId>,
    /// Where the buyer goes after paying.
    pub success_url: String,
    /// Where the buyer goes without paying.
    pub cancel_url: String,
    /// When the call was decided on, in log time; the session's life is counted from here.
    pub requested_at: Timestamp,
    /// Until when the buyer may pay. Stripe takes 30 minutes to 24 hours: what is shorter is
    /// lengthened (end it with [`Stripe::expire_checkout`]), what is longer is cut.
    pub expires_at: Timestamp,
}

/// A session that the buyer can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedCheckout {
    /// Stripe's id of the session (`cs_...`).
    pub session_id: String,
    /// Where the buyer pays.
    pub url: String,
    /// Until when Stripe lets the buyer pay.
    pub expires_at: Timestamp,
}

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckoutStatus {
    /// The buyer may still pay.
    Open,
    /// The buyer is done; see the payment's status.
    Complete,
    /// It ended without payment.
    Expired,
    /// A word that this version does not know, or none.
    Other(String),
}

/// Where a session's payment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentStatus {
    /// The money is there.
    Paid,
    /// It is not, or not yet.
    Unpaid,
    /// Nothing was due.
    NoPaymentRequired,
    /// A word that this version does not know, or none.
    Other(String),
}

/// A checkout session as an answer or an event shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckoutSession {
    /// Stripe's id of the session (`cs_...`).
    pub session_id: String,
    /// What we named it: the sale lock.
    pub client_reference_id: Option<String>,
    /// What we attached to it: `cluster`, `sale_lock`, and `order` when there was one.
    pub metadata: BTreeMap<String, String>,
    /// Where it stands.
    pub status: CheckoutStatus,
    /// Where its payment stands.
    pub payment_status: PaymentStatus,
    /// Stripe's id of the payment (`pi_...`), once there is one.
    pub payment_intent: Option<String>,
    /// The amount in Stripe's minor units.
    pub amount_total: Option<u64>,
    /// The currency in lower case.
    pub currency: Option<String>,
}

impl CheckoutSession {
    /// The amount, when both halves are there and the currency is one of ours.
    #[must_use]
    pub fn total(&self) -> Option<Money> {
        money(self.amount_total, self.currency.as_deref())
    }

    /// The sale lock it was opened for, by reference or by metadata.
    #[must_use]
    pub fn sale_lock(&self) -> Option<SaleLockId> {
        let by_reference = self.client_reference_id.as_ref().and_then(|text| text.parse().ok());
        by_reference.or_else(|| metadata_id(&self.metadata, "sale_lock"))
    }

    /// The cluster that opened it.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        metadata_id(&self.metadata, "cluster")
    }
}

impl CheckoutStatus {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "open" => Self::Open,
            "complete" => Self::Complete,
            "expired" => Self::Expired,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl PaymentStatus {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "paid" => Self::Paid,
            "unpaid" => Self::Unpaid,
            "no_payment_required" => Self::NoPaymentRequired,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl Stripe {
    /// Opens a hosted checkout. Repeating it with the same key gives the same session.
    ///
    /// # Errors
    /// See [`StripeError`]; [`StripeError::Unknown`] must be repeated with the same key.
    pub async fn open_checkout(
        &self,
        request: &OpenCheckout,
        key: &str,
    ) -> Result<OpenedCheckout, StripeError> {
        let strategy = idempotent(OPEN, key)?;
        let session = create_request(request)?.customize().request_strategy(strategy).send(self);
        let session = Box::pin(session).await?;
        let url = session
            .url
            .ok_or_else(|| StripeError::Unreadable { reason: "session without url".to_owned() })?;
        Ok(OpenedCheckout {
            session_id: session.id.as_str().to_owned(),
            url,
            expires_at: instant(session.expires_at),
        })
    }

    /// Ends an open session before its time. A refusal means it is not open any more: look.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn expire_checkout(
        &self,
        session_id: &str,
        key: &str,
    ) -> Result<CheckoutSession, StripeError> {
        let strategy = idempotent(EXPIRE, key)?;
        let request = ExpireCheckoutSession::new(plain_id(EXPIRE, session_id)?);
        let session = request.customize().request_strategy(strategy).send(self);
        Ok(Box::pin(session).await?.into())
    }

    /// Looks at a session.
    ///
    /// # Errors
    /// See [`StripeError`].
    pub async fn checkout(&self, session_id: &str) -> Result<CheckoutSession, StripeError> {
        let request = RetrieveCheckoutSession::new(plain_id(LOOK, session_id)?);
        Ok(Box::pin(request.customize().send(self)).await?.into())
    }
}

impl From<stripe_shared::CheckoutSession> for CheckoutSession {
    fn from(session: stripe_shared::CheckoutSession) -> Self {
        Self {
            session_id: session.id.as_str().to_owned(),
            client_reference_id: session.client_reference_id,
            metadata: session.metadata.unwrap_or_default().into_iter().collect(),
            status: CheckoutStatus::parse(session.status.as_ref().map_or("", |s| s.as_str())),
            payment_status: PaymentStatus::parse(session.payment_status.as_str()),
            payment_intent: session
                .payment_intent
                .map(|intent| intent.into_id().as_str().to_owned()),
            amount_total: session.amount_total.and_then(|total| u64::try_from(total).ok()),
            currency: session.currency.map(|currency| currency.to_string().to_lowercase()),
        }
    }
}

fn create_request(request: &OpenCheckout) -> Result<CreateCheckoutSession, StripeError> {
    let unit_amount = i64::try_from(request.amount.minor())
        .map_err(|_| StripeError::refused_here(OPEN, "amount_too_large"))?;
    let lock = request.sale_lock.to_string();
    let mut metadata = HashMap::from([
        ("cluster".to_owned(), request.cluster.to_string()),
        ("sale_lock".to_owned(), lock.clone()),
    ]);
    if let Some(order) = request.order {
        metadata.insert("order".to_owned(), order.to_string());
    }

    let title: String = request.title.chars().take(TITLE_CHARS_MAX).collect();
    let mut price =
        CreateCheckoutSessionLineItemsPriceData::new(stripe_currency(request.amount.currency()));
    price.unit_amount = Some(unit_amount);
    price.product_data = Some(ProductData::new(title));
    let mut item = CreateCheckoutSessionLineItems::new();
    item.price_data = Some(price);
    item.quantity = Some(1);

    let mut payment = CreateCheckoutSessionPaymentIntentData::new();
    payment.transfer_group = Some(lock.clone());
    payment.metadata = Some(metadata.clone());
    let mut adaptive_pricing = CreateCheckoutSessionAdaptivePricing::new();
    adaptive_pricing.enabled = Some(false);

    Ok(CreateCheckoutSession::new()
        .mode(CheckoutSessionMode::Payment)
        .line_items(vec![item])
        .client_reference_id(lock)
        .metadata(metadata)
        .payment_intent_data(payment)
        .adaptive_pricing(adaptive_pricing)
        .success_url(request.success_url.clone())
        .cancel_url(request.cancel_url.clone())
        .expires_at(stripe_seconds(within_stripes_bounds(request))))
}

fn within_stripes_bounds(request: &OpenCheckout) -> Timestamp {
    let earliest = request.requested_at.plus(LIFE_MIN);
    let latest = request.requested_at.plus(LIFE_MAX);
    request.expires_at.clamp(earliest, latest)
}

fn idempotent(operation: &str, key: &str) -> Result<RequestStrategy, StripeError> {
    IdempotencyKey::new(key)
        .map(RequestStrategy::Idempotent)
        .map_err(|_| StripeError::refused_here(operation, "idempotency_key_invalid"))
}

/// The id goes into a path: nothing that could lead elsewhere.
pub(crate) fn plain_id<'a>(operation: &str, id: &'a str) -> Result<&'a str, StripeError> {
    let plain = !id.is_empty()
        && id.len() <= 255
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { Ok(id) } else { Err(StripeError::refused_here(operation, "id_invalid")) }
}

fn stripe_currency(currency: Currency) -> stripe_types::Currency {
    match currency {
        Currency::Eur => stripe_types::Currency::EUR,
        Currency::Usd => stripe_types::Currency::USD,
        Currency::Gbp => stripe_types::Currency::GBP,
        Currency::Chf => stripe_types::Currency::CHF,
        Currency::Jpy => stripe_types::Currency::JPY,
        // Stripe takes it, its types do not name it.
        Currency::Kwd => stripe_types::Currency::Unknown("kwd".to_owned()),
    }
}

/// Makes money of Stripe's pair; the exponents of our currencies are the same at Stripe.
pub(crate) fn money(minor: Option<u64>, currency: Option<&str>) -> Option<Money> {
    let currency = Currency::parse(&currency?.to_ascii_uppercase())?;
    Some(Money::new(minor?, currency))
}

pub(crate) fn metadata_id<Id: std::str::FromStr>(
    metadata: &BTreeMap<String, String>,
    name: &str,
) -> Option<Id> {
    metadata.get(name).and_then(|text| text.parse().ok())
}

fn stripe_seconds(instant: Timestamp) -> stripe_types::Timestamp {
    i64::try_from(instant.as_unix_seconds()).unwrap_or(i64::MAX)
}

pub(crate) fn instant(seconds: stripe_types::Timestamp) -> Timestamp {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Timestamp::from_unix_millis(seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::canonical_form;

    fn request(expires_in: Millis) -> OpenCheckout {
        let requested_at = Timestamp::from_unix_millis(1_790_000_000_000);
        OpenCheckout {
            amount: Money::new(12_345, Currency::Eur),
            title: "Blue kite & <line>".to_owned(),
            sale_lock: SaleLockId::from_bits(7),
            cluster: ClusterId::from_bits(1),
            order: None,
            success_url: "http://127.0.0.2/paid?lock=1".to_owned(),
            cancel_url: "http://127.0.0.2/back".to_owned(),
            requested_at,
            expires_at: requested_at.plus(expires_in),
        }
    }

    #[test]
    fn life_is_kept_within_what_stripe_takes() {
        let life = |asked: Millis| {
            let request = request(asked);
            within_stripes_bounds(&request).since(request.requested_at)
        };
        assert_eq!(life(Millis::from_mins(2)), LIFE_MIN);
        assert_eq!(life(Millis::from_hours(2)), Millis::from_hours(2));
        assert_eq!(life(Millis::from_hours(24)), LIFE_MAX);
    }

    #[test]
    fn the_form_names_amount_lock_and_cluster() {
        let body = create_request(&request(Millis::from_hours(2)))
            .expect("the amount fits")
            .build()
            .body
            .expect("a form");
        for part in [
            "mode=payment",
            "unit_amount]=12345",
            "client_reference_id=lck_00000000000000000000000007",
            "transfer_group]=lck_00000000000000000000000007",
            "metadata[cluster]=clu_00000000000000000000000001",
            "adaptive_pricing[enabled]=false",
            "expires_at=1790007200",
            "Blue+kite+%26+%3Cline%3E",
        ] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
    }

    #[test]
    fn every_currency_of_ours_is_written_as_its_code() {
        for currency in ["EUR", "USD", "GBP", "CHF", "JPY", "KWD"] {
            let mut request = request(Millis::from_hours(2));
            request.amount = Money::new(500, Currency::parse(currency).expect("one of ours"));
            let body = create_request(&request).expect("the amount fits").build().body;
            let wanted = format!("currency]={}", currency.to_lowercase());
            assert!(body.expect("a form").contains(&wanted), "{wanted}");
        }
    }

    #[test]
    fn equal_requests_are_equal_bytes() {
        let bytes = || {
            let request = create_request(&request(Millis::from_hours(2))).expect("the amount fits");
            canonical_form(&request.build().body.expect("a form"))
        };
        let first = bytes();
        // Each map of the standard library has an order of its own.
        assert!((0..50).all(|_| bytes() == first));
    }

    #[test]
    fn an_id_that_leaves_its_path_is_refused() {
        assert!(plain_id(LOOK, "cs_test_a1").is_ok());
        for id in ["", "../charges", "a/b", "a?b", "ä"] {
            assert!(plain_id(LOOK, id).is_err(), "{id}");
        }
    }

    #[test]
    fn an_amount_beyond_stripes_integers_is_refused_here() {
        let mut request = request(Millis::from_hours(1));
        request.amount = Money::new(u64::MAX, Currency::Eur);
        let refused = create_request(&request).map(|_| ());
        assert!(matches!(refused, Err(StripeError::Refused { ref code, .. })
            if code == "amount_too_large"));
    }
}
