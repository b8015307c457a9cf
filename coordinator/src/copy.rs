//! A copy of everything about one account, for its owner, while a request for it counts.
//!
//! Made when it is fetched, of what is known then; nothing is stored. What others wrote to the account
//! is in its orders' threads and not here. Read next: `people/erasure.rs` of the market.

use fairground_types::limits::PAGE_MAX;
use fairground_types::{Code, DataRequestId, Rejection, SignInId, UserId};
use fairground_wire::message::ForwardResponse;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::auth;
use crate::edge::forward::json;
use crate::member::Member;
use crate::private;

#[derive(Serialize)]
struct Copy {
    parts: Map<String, Value>,
}

fn part<T: Serialize>(copy: &mut Map<String, Value>, name: &str, rows: &T) {
    // Rows are plain documents: writing one cannot fail.
    let value = serde_json::to_value(rows).unwrap_or(Value::Null);
    copy.insert(name.to_owned(), value);
}

/// The copy, as long as the request says that it is ready.
pub(crate) async fn of(member: &Member, user: UserId, request: DataRequestId) -> ForwardResponse {
    let state = member
        .state
        .read(|market| market.data_request(user, request).map(|row| (row.state, row.until)));
    match state {
        Some(("ready", Some(until))) if until > member.now() => {}
        Some(_) => {
            let gone = Rejection::new(Code::LinkExpired, "the copy cannot be fetched any more");
            return ForwardResponse::Rejected(gone);
        }
        None => {
            let none = Rejection::new(Code::NotFound, "there is no such thing");
            return ForwardResponse::Rejected(none);
        }
    }
    let mut copy = Map::new();
    about_account(member, user, &mut copy);
    about_trade(member, user, &mut copy);
    let mut orders = member.state.read(|market| market.orders_of(user));
    orders.extend(member.history.orders(user, u64::MAX, PAGE_MAX).await);
    let orders: Vec<_> = orders.into_iter().map(|row| private::open_order(member, row)).collect();
    part(&mut copy, "orders", &orders);
    json(&Copy { parts: copy })
}

fn about_account(member: &Member, user: UserId, copy: &mut Map<String, Value>) {
    let address = member.state.read(|market| {
        let account = market.account(user)?;
        auth::open_contact(&member.secrets, account.identifier(), account.contact())
    });
    part(copy, "address", &address);
    let profile = member.state.read(|market| market.profile_row(user));
    part(copy, "profile", &profile.map(|row| private::open_profile(member, row)));
    let addresses = member.state.read(|market| market.addresses_of(user));
    part(copy, "addresses", &private::open_addresses(member, addresses));
    member.state.read(|market| {
        part(copy, "account", &market.me(user));
        part(copy, "privacy", &market.privacy_of(user));
        part(copy, "consents", &market.consents_of(user));
        part(copy, "identities", &market.identities_of(user));
        part(copy, "sessions", &market.sign_ins_of(user, SignInId::from_bits(0)));
        part(copy, "devices", &market.devices_of(user));
        part(copy, "pushDevices", &market.push_device_list(user));
        part(copy, "capabilities", &market.capabilities_of(user));
        part(copy, "strikes", &market.strikes_of(user));
        part(copy, "follows", &market.followed_by(user));
        part(copy, "blocked", &market.blocked_by(user));
        part(copy, "notices", &market.notice_list(user));
        part(copy, "noticePreferences", &market.preference_row(user));
        part(copy, "feedPreferences", &market.feed_profile(user));
    });
}

fn about_trade(member: &Member, user: UserId, copy: &mut Map<String, Value>) {
    member.state.read(|market| {
        part(copy, "bids", &crate::reads::bids(market, user, None));
        part(copy, "locks", &market.locks_of(user));
        part(copy, "stories", &market.stories_of(user));
        part(copy, "media", &market.assets_of(user));
        part(copy, "saved", &market.saved_of(user));
    });
}
