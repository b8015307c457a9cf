//! Refunds, transfers, reversals and accounts against the stand-in: keys, lost answers, refusals,
//! look-ups, and the official description when `FAIRGROUND_TEST_SPECS` names it.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up must fail")]

use std::path::PathBuf;

use fairground_fakes::{Fakes, FakesHandle, FakesOptions, Faults};
use fairground_stripe::{
    NewAccount, NewRefund, NewTransfer, OpenCheckout, RefundStatus, Stripe, StripeError,
    StripeOptions,
};
use fairground_types::{
    ClusterId, Currency, EffectId, Millis, Money, RefundId, SaleLockId, Timestamp, UserId,
};

const CARD: &str = "4242424242424242";

#[expect(clippy::disallowed_methods, reason = "a test may not depend on the runtime's clock")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.expect("it is after 1970").as_millis();
    Timestamp::from_unix_millis(u64::try_from(millis).expect("it fits"))
}

#[expect(clippy::print_stdout, reason = "a check that is skipped says so")]
fn contract() -> Option<PathBuf> {
    let folder = std::env::var_os("FAIRGROUND_TEST_SPECS");
    if folder.is_none() {
        println!("skipped the contract: FAIRGROUND_TEST_SPECS names no folder");
    }
    Some(PathBuf::from(folder?).join("stripe-openapi-subset.json"))
}

async fn start() -> (FakesHandle, Stripe) {
    let options = FakesOptions { stripe_contract: contract(), ..FakesOptions::default() };
    let fakes = Fakes::start(options).await.expect("the fakes start");
    let options = StripeOptions {
        base_url: fakes.stripe_url.clone(),
        retry_seed: 7,
        ..StripeOptions::new(FakesOptions::default().stripe_key)
    };
    let stripe = Stripe::new(options).expect("the options are good");
    (fakes, stripe)
}

fn eur(minor: u64) -> Money {
    Money::new(minor, Currency::Eur)
}

/// A payment of 100.00; its id.
async fn paid(fakes: &FakesHandle, stripe: &Stripe) -> String {
    let requested_at = now();
    let request = OpenCheckout {
        amount: eur(10_000),
        title: "A bowl".to_owned(),
        sale_lock: SaleLockId::from_bits(7),
        cluster: ClusterId::from_bits(1),
        order: None,
        success_url: "http://127.0.0.2:8080/paid".to_owned(),
        cancel_url: "http://127.0.0.2:8080/back".to_owned(),
        requested_at,
        expires_at: requested_at.plus(Millis::from_hours(2)),
    };
    let opened = stripe.open_checkout(&request, "open").await.expect("it opens");
    let form = [("action", "pay"), ("card", CARD)];
    let url = format!("{}/pay/{}", fakes.stripe_url, opened.session_id);
    let answer = http().post(url).form(&form).send().await.expect("an answer");
    assert_eq!(answer.status(), 303);
    let session = stripe.checkout(&opened.session_id).await.expect("a session");
    session.payment_intent.expect("a payment")
}

fn http() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

async fn set_account(fakes: &FakesHandle, account: &str, change: serde_json::Value) {
    let url = format!("{}/_control/accounts/{account}", fakes.stripe_url);
    let answer = http()
        .put(url)
        .header("Content-Type", "application/json")
        .body(change.to_string())
        .send()
        .await;
    assert_eq!(answer.expect("an answer").status(), 204);
}

fn refund(payment: &str, minor: u64, effect: u128) -> NewRefund {
    NewRefund {
        payment: payment.to_owned(),
        amount: eur(minor),
        refund: RefundId::from_bits(effect),
        effect: EffectId::from_bits(effect),
        cluster: ClusterId::from_bits(1),
    }
}

async fn maker(fakes: &FakesHandle, stripe: &Stripe) -> String {
    let new = NewAccount {
        user: UserId::from_bits(9),
        cluster: ClusterId::from_bits(1),
        display_name: "maker-1".to_owned(),
        email: "maker-1@shop.example".to_owned(),
        country: "DE".to_owned(),
    };
    let account = stripe.create_account(&new, "account").await.expect("an account");
    set_account(fakes, &account, serde_json::json!({"ready": true})).await;
    account
}

fn transfer(account: &str, charge: &str, minor: u64, effect: u128) -> NewTransfer {
    NewTransfer {
        account: account.to_owned(),
        amount: eur(minor),
        charge: charge.to_owned(),
        group: SaleLockId::from_bits(7).to_string(),
        effect: EffectId::from_bits(effect),
        cluster: ClusterId::from_bits(1),
    }
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_made_once() {
    let (fakes, stripe) = start().await;
    let payment = paid(&fakes, &stripe).await;
    fakes.set_faults(Faults { drop_answers: 1, ..Faults::default() });
    let made = stripe.create_refund(&refund(&payment, 2_000, 1), "refund-1").await;
    let made = made.expect("the repeat is answered");
    assert_eq!((made.status, made.amount), (RefundStatus::Succeeded, Some(eur(2_000))));
    assert_eq!(made.ours, Some(RefundId::from_bits(1)));
    let found = stripe.find_refund(&payment, EffectId::from_bits(1)).await.expect("a list");
    assert_eq!(found.map(|row| row.id), Some(made.id));
    assert_eq!(stripe.find_refund(&payment, EffectId::from_bits(2)).await.expect("a list"), None);
    assert_eq!(fakes.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn refunds_never_go_above_the_charge() {
    let (fakes, stripe) = start().await;
    let payment = paid(&fakes, &stripe).await;
    stripe.create_refund(&refund(&payment, 9_000, 1), "one").await.expect("a part");
    let above = stripe.create_refund(&refund(&payment, 1_001, 2), "two").await;
    assert!(matches!(above, Err(StripeError::Refused { status: 400, .. })));
}

#[tokio::test]
async fn a_refund_waits_out_429_and_500() {
    let (fakes, stripe) = start().await;
    let payment = paid(&fakes, &stripe).await;
    for (status, effect) in [(429, 1_u128), (500, 2)] {
        let faults = Faults { answer_status: status, answer_status_times: 1, ..Faults::default() };
        fakes.set_faults(faults);
        let key = format!("refund-{effect}");
        let made = stripe.create_refund(&refund(&payment, 100, effect), &key).await;
        assert!(made.is_ok(), "after {status}: {made:?}");
    }
}

#[tokio::test]
async fn the_fee_of_the_provider_is_read_from_its_books() {
    let (fakes, stripe) = start().await;
    let payment = paid(&fakes, &stripe).await;
    let record = stripe.charge_of(&payment).await.expect("an answer").expect("a record");
    assert_eq!((record.gross, record.fee), (eur(10_000), eur(320)));
    assert!(record.charge.starts_with("ch_") && record.record.starts_with("txn_"));
    assert_eq!(fakes.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_share_is_sent_once_and_comes_back_as_far_as_the_balance_goes() {
    let (fakes, stripe) = start().await;
    let payment = paid(&fakes, &stripe).await;
    let charge = stripe.charge_of(&payment).await.expect("an answer").expect("a record").charge;
    let account = maker(&fakes, &stripe).await;
    fakes.set_faults(Faults { drop_answers: 1, ..Faults::default() });
    let new = transfer(&account, &charge, 9_500, 3);
    let sent = stripe.create_transfer(&new, "transfer").await.expect("the repeat is answered");
    let found = stripe.find_transfer(&new.group, new.effect).await.expect("a list");
    assert_eq!(found, Some(sent.clone()));
    assert_eq!(stripe.balance_of(&account, Currency::Eur).await.expect("a balance"), eur(9_500));

    set_account(&fakes, &account, serde_json::json!({"balanceMinor": 6_000})).await;
    let effect = EffectId::from_bits(4);
    let all = stripe.reverse_transfer((&sent, eur(9_500)), effect, "back-all").await;
    assert!(
        matches!(all, Err(StripeError::Refused { ref code, .. }) if code == "balance_insufficient")
    );
    let has = stripe.balance_of(&account, Currency::Eur).await.expect("a balance");
    stripe.reverse_transfer((&sent, has), effect, "back-part").await.expect("a part comes back");
    let found = stripe.find_reversal(&sent, effect).await.expect("a list");
    assert_eq!(found.map(|(_, minor)| minor), Some(6_000));
    assert_eq!(fakes.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_transfer_never_exceeds_its_charge_nor_goes_to_an_account_that_is_not_ready() {
    let (fakes, stripe) = start().await;
    let payment = paid(&fakes, &stripe).await;
    let charge = stripe.charge_of(&payment).await.expect("an answer").expect("a record").charge;
    let account = maker(&fakes, &stripe).await;
    let above = stripe.create_transfer(&transfer(&account, &charge, 10_001, 5), "above").await;
    assert!(matches!(above, Err(StripeError::Refused { .. })));
    set_account(&fakes, &account, serde_json::json!({"ready": false})).await;
    let refused = stripe.create_transfer(&transfer(&account, &charge, 100, 6), "refused").await;
    assert!(matches!(refused, Err(StripeError::Refused { ref code, .. })
        if code == "insufficient_capabilities_for_transfer"));
}

#[tokio::test]
async fn an_account_is_made_once_linked_and_read_again() {
    let (fakes, stripe) = start().await;
    let new = NewAccount {
        user: UserId::from_bits(9),
        cluster: ClusterId::from_bits(1),
        display_name: "maker-1".to_owned(),
        email: "maker-1@shop.example".to_owned(),
        country: "DE".to_owned(),
    };
    let account = stripe.create_account(&new, "account").await.expect("an account");
    assert_eq!(stripe.create_account(&new, "account").await.expect("the same"), account);
    let shown = stripe.account(&account).await.expect("an account");
    assert_eq!((shown.is_ready, shown.user), (false, Some(UserId::from_bits(9))));
    let back = ("http://127.0.0.2/again", "http://127.0.0.2/done");
    let (url, ends) = stripe.account_link(&account, back, "link").await.expect("a link");
    assert!(url.starts_with(&fakes.stripe_url) && ends.is_some());
    set_account(&fakes, &account, serde_json::json!({"ready": true})).await;
    assert!(stripe.account(&account).await.expect("an account").is_ready);
}
