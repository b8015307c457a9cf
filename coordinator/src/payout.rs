//! Links to the payment provider's onboarding of makers.
//!
//! A link is good once and for minutes, so it is made when it is asked for, shown, and kept nowhere.
//! The account itself is made by an effect. Read next: `effects/money.rs`.

use fairground_types::UserId;
use fairground_wire::message::ForwardResponse;

use crate::member::Member;

#[cfg(feature = "stripe")]
pub(crate) async fn link(member: &Member, user: UserId, urls: (&str, &str)) -> ForwardResponse {
    use std::time::Duration;

    use fairground_types::{Code, Rejection};
    use serde_json::json;

    const WAIT: Duration = Duration::from_secs(4);
    const LOOK_PERIOD: Duration = Duration::from_millis(100);

    let unavailable = || {
        let why = "the payment provider does not answer: PSP_UNAVAILABLE";
        ForwardResponse::Rejected(Rejection::new(Code::ExternalServiceUnavailable, why))
    };
    let Some(stripe) = member.payments.stripe() else { return off() };
    let account = || {
        member.state.read(|market| market.payout_account(user).and_then(|row| row.id().cloned()))
    };
    // The account is being made when this maker asks for the first time.
    let made = tokio::time::timeout(WAIT, async {
        loop {
            if let Some(account) = account() {
                return account;
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    });
    let Ok(account) = made.await else { return unavailable() };
    let key = format!("v1:{}:link:{:032x}", member.cluster, member.new_bits());
    match stripe.account_link(&account, urls, &key).await {
        Ok((url, expires_at)) => {
            crate::edge::forward::json(&json!({ "url": url, "expiresAt": expires_at }))
        }
        Err(error) => {
            tracing::warn!(%user, %error, "no link to the onboarding");
            unavailable()
        }
    }
}

#[cfg(not(feature = "stripe"))]
pub(crate) async fn link(_: &Member, _: UserId, _: (&str, &str)) -> ForwardResponse {
    off()
}

fn off() -> ForwardResponse {
    use fairground_types::{Code, Rejection};
    ForwardResponse::Rejected(Rejection::new(Code::FeatureDisabled, "payments are switched off"))
}
