//! How the tables write lengths, times, money and policies, and how they are read.
//!
//! Knows no line and no world. Read next: the parent module for the language.

use fairground_types::command::{AuctionPolicy, IncrementFloors, MarketPolicy, PayoutRelease};
use fairground_types::money::BasisPoints;
use fairground_types::{Currency, Millis, Money, Timestamp};

/// Midnight of the day that the tables play on.
pub(super) const DAY: Timestamp = Timestamp::from_unix_millis(20_000 * 86_400_000);

pub(super) fn set_policy(policy: &mut MarketPolicy, text: &str) -> Result<(), String> {
    for part in text.split(',') {
        let mut words = part.split_whitespace();
        let name = words.next().unwrap_or_default();
        let value = words.next().unwrap_or_default();
        match (name, value) {
            ("release", "window") => {
                policy.payout_release = PayoutRelease::AfterIssueWindow;
                continue;
            }
            ("rolling", _) => {
                policy.auction = AuctionPolicy::ROLLING;
                continue;
            }
            ("proxies", _) => {
                policy.auction.proxy_bids = true;
                continue;
            }
            ("flat", step) => {
                let step = step.parse().map_err(|_| format!("step {step}"))?;
                policy.auction.increment = BasisPoints(0);
                policy.auction.increment_floor_minor = IncrementFloors::flat(step);
                continue;
            }
            ("payable", "required") => {
                policy.payout_account_required = true;
                continue;
            }
            _ => {}
        }
        let length = parse_length(value)?;
        match name {
            "initial" => policy.auction.initial = length,
            "window" => policy.auction.window = length,
            "extension" => policy.auction.extension = length,
            "extensions" => policy.auction.extension_total_max = length,
            "cap" => policy.auction.total_max = length,
            "grace" => policy.auction.grace = length,
            "tier" => policy.auction.tier_common = length,
            "bonus" => policy.auction.high_value_bonus = length,
            "withdrawal" => policy.offers.withdrawal = length,
            "capability" => policy.capability_wait = length,
            "payment" => policy.payment_window = length,
            "decision" => policy.decision_window = length,
            "auto-cancel" => policy.auto_cancel_on_ship_sla = true,
            _ => return Err(format!("unknown policy {name}")),
        }
    }
    Ok(())
}

pub(super) fn parse_length(text: &str) -> Result<Millis, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text
        .strip_suffix(unit)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("length {text}"))?;
    match unit {
        "ms" => Ok(Millis::new(number)),
        "s" => Ok(Millis::from_secs(number)),
        "m" => Ok(Millis::from_mins(number)),
        "h" => Ok(Millis::from_hours(number)),
        "d" => Ok(Millis::from_hours(number.saturating_mul(24))),
        _ => Err(format!("length {text}")),
    }
}

/// `12:00:00`, `12:00:00.250`, and with days before: `2d12:00:00`.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let bad = || format!("time {text}");
    let (days, clock) = text.split_once('d').unwrap_or(("0", text));
    let (clock, millis) = clock.split_once('.').unwrap_or((clock, "0"));
    let parts: Vec<u64> = clock.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts.as_slice() else { return Err(bad()) };
    let days: u64 = days.parse().map_err(|_| bad())?;
    let millis: u64 = millis.parse().map_err(|_| bad())?;
    Ok(DAY
        .plus(Millis::from_hours(days.saturating_mul(24).saturating_add(*hours)))
        .plus(Millis::from_mins(*minutes))
        .plus(Millis::from_secs(*seconds))
        .plus(Millis::new(millis)))
}

pub(super) fn time_text(at: Timestamp) -> String {
    let since = at.since(DAY).as_millis();
    let (seconds, millis) = (since / 1_000, since % 1_000);
    let days = seconds / 86_400;
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    let mut text = if days > 0 { format!("{days}d") } else { String::new() };
    text.push_str(&format!("{hours:02}:{minutes:02}:{:02}", seconds % 60));
    if millis > 0 {
        text.push_str(&format!(".{millis:03}"));
    }
    text
}

pub(super) fn parse_money(text: &str, currency: Currency) -> Result<Money, String> {
    let bad = || format!("amount {text}");
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if u32::try_from(rest.len()).ok() != Some(currency.exponent()) {
        return Err(bad());
    }
    format!("{whole}{rest}").parse().map(|minor| Money::new(minor, currency)).map_err(|_| bad())
}

pub(super) fn plain(money: Money) -> String {
    money.to_string().split_whitespace().last().unwrap_or_default().to_owned()
}
