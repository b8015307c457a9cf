//! The fields of a call to create a session, read strictly.
//!
//! What is not listed here is refused by name, as Stripe refuses what it does not know, so that a
//! misspelt field shows in a test and not in production. Read next: `checkout.rs`.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::form::Field;

const LIFE_MIN_S: u64 = 30 * 60;
const LIFE_MAX_S: u64 = 24 * 60 * 60;
const AMOUNT_MAX: u64 = 99_999_999;
const METADATA_MAX: usize = 50;
const METADATA_NAME_MAX: usize = 40;
const METADATA_VALUE_MAX: usize = 500;
const REFERENCE_MAX: usize = 200;
const TITLE_MAX: usize = 250;

/// What a session was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) amount_total: u64,
    pub(crate) currency: String,
    pub(crate) title: String,
    pub(crate) success_url: String,
    pub(crate) cancel_url: Option<String>,
    pub(crate) client_reference_id: Option<String>,
    pub(crate) customer_email: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) expires_at: u64,
    pub(crate) adaptive_pricing: bool,
    pub(crate) payment: AskedPayment,
}

/// What the payment of a session was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AskedPayment {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) transfer_group: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) statement_descriptor_suffix: Option<String>,
}

#[derive(Default)]
struct Item {
    quantity: Option<u64>,
    currency: Option<String>,
    unit_amount: Option<u64>,
    name: Option<String>,
}

/// Reads the form of `POST /v1/checkout/sessions` at `now` in Unix seconds.
pub(crate) fn read(fields: &[Field], now: u64) -> Result<Asked, Refusal> {
    let mut asked = Asked { adaptive_pricing: true, ..Asked::default() };
    let mut items: BTreeMap<u64, Item> = BTreeMap::new();
    let mut mode = None;
    let mut expires_at = None;
    for field in fields {
        let path: Vec<&str> = field.path.iter().map(String::as_str).collect();
        let value = field.value.as_str();
        match path.as_slice() {
            ["mode"] => mode = Some(value),
            ["success_url"] => asked.success_url = url(field)?,
            ["cancel_url"] => asked.cancel_url = Some(url(field)?),
            ["client_reference_id"] => {
                asked.client_reference_id = Some(text(field, REFERENCE_MAX)?);
            }
            ["customer_email"] => asked.customer_email = Some(text(field, 512)?),
            ["expires_at"] => expires_at = Some(number(field)?),
            ["adaptive_pricing", "enabled"] => asked.adaptive_pricing = flag(field)?,
            ["metadata", name] => note(&mut asked.metadata, name, field)?,
            ["payment_intent_data", "metadata", name] => {
                note(&mut asked.payment.metadata, name, field)?;
            }
            ["payment_intent_data", "transfer_group"] => {
                asked.payment.transfer_group = Some(text(field, 500)?);
            }
            ["payment_intent_data", "description"] => {
                asked.payment.description = Some(text(field, 1_000)?);
            }
            ["payment_intent_data", "statement_descriptor_suffix"] => {
                asked.payment.statement_descriptor_suffix = Some(text(field, 22)?);
            }
            ["payment_method_types", _] if value == "card" => {}
            ["line_items", index, rest @ ..] => {
                let index = index.parse().map_err(|_| Refusal::unknown(&field.name))?;
                item_field(items.entry(index).or_default(), rest, field)?;
            }
            _ => return Err(Refusal::unknown(&field.name)),
        }
    }
    if mode.ok_or_else(|| Refusal::missing("mode"))? != "payment" {
        return Err(Refusal::invalid(None, "mode", "Only mode=payment is known here."));
    }
    if asked.success_url.is_empty() {
        return Err(Refusal::missing("success_url"));
    }
    add_up(&mut asked, items)?;
    asked.expires_at = life(expires_at, now)?;
    Ok(asked)
}

fn item_field(item: &mut Item, rest: &[&str], field: &Field) -> Result<(), Refusal> {
    match rest {
        ["quantity"] => item.quantity = Some(number(field)?),
        ["price_data", "currency"] => item.currency = Some(field.value.clone()),
        ["price_data", "unit_amount"] => item.unit_amount = Some(number(field)?),
        ["price_data", "product_data", "name"] => item.name = Some(text(field, TITLE_MAX)?),
        ["price_data", "product_data", "description"] => {
            text(field, 1_000)?;
        }
        _ => return Err(Refusal::unknown(&field.name)),
    }
    Ok(())
}

fn add_up(asked: &mut Asked, items: BTreeMap<u64, Item>) -> Result<(), Refusal> {
    if items.is_empty() {
        return Err(Refusal::missing("line_items"));
    }
    for (index, item) in items {
        let at = |name: &str| format!("line_items[{index}]{name}");
        let missing = |name: &str| Refusal::missing(&at(name));
        let quantity = item.quantity.ok_or_else(|| missing("[quantity]"))?;
        let amount = item.unit_amount.ok_or_else(|| missing("[price_data][unit_amount]"))?;
        let currency = item.currency.ok_or_else(|| missing("[price_data][currency]"))?;
        let name = item.name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| missing("[price_data][product_data][name]"))?;
        if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_lowercase()) {
            let param = at("[price_data][currency]");
            return Err(Refusal::invalid(None, &param, "Invalid currency."));
        }
        if !asked.currency.is_empty() && asked.currency != currency {
            let param = at("[price_data][currency]");
            return Err(Refusal::invalid(None, &param, "All items must have one currency."));
        }
        asked.amount_total = asked.amount_total.saturating_add(amount.saturating_mul(quantity));
        asked.currency = currency;
        if asked.title.is_empty() {
            asked.title = name;
        }
    }
    check_amount(asked.amount_total, &asked.currency)
}

/// Stripe's bounds: a least charge for each currency it settles, eight digits at most, and a last
/// digit of zero where there are three decimals.
fn check_amount(amount: u64, currency: &str) -> Result<(), Refusal> {
    let least = match currency {
        "gbp" => 30,
        "eur" | "usd" | "chf" | "jpy" => 50,
        _ => 1,
    };
    if amount < least {
        let message = "The Checkout Session's total amount due is below the least charge.";
        return Err(Refusal::invalid(Some("amount_too_small"), "line_items", message));
    }
    if amount > AMOUNT_MAX {
        let message = "The Checkout Session's total amount is above the greatest charge.";
        return Err(Refusal::invalid(Some("amount_too_large"), "line_items", message));
    }
    if currency == "kwd" && !amount.is_multiple_of(10) {
        let message = "Three-decimal amounts must end in 0.";
        return Err(Refusal::invalid(Some("parameter_invalid_integer"), "line_items", message));
    }
    Ok(())
}

fn life(expires_at: Option<u64>, now: u64) -> Result<u64, Refusal> {
    let Some(expires_at) = expires_at else {
        return Ok(now.saturating_add(LIFE_MAX_S));
    };
    let bounds = now.saturating_add(LIFE_MIN_S)..=now.saturating_add(LIFE_MAX_S);
    if bounds.contains(&expires_at) {
        return Ok(expires_at);
    }
    let message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from now.";
    Err(Refusal::invalid(None, "expires_at", message))
}

fn text(field: &Field, max: usize) -> Result<String, Refusal> {
    if field.value.chars().count() > max {
        let message = format!("Invalid string: {} must be at most {max} characters", field.name);
        return Err(Refusal::invalid(Some("parameter_invalid_string"), &field.name, &message));
    }
    Ok(field.value.clone())
}

fn url(field: &Field) -> Result<String, Refusal> {
    let value = text(field, 5_000)?;
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let plain = rest.is_some_and(|rest| !rest.is_empty()) && value.is_ascii();
    if plain && !value.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        return Ok(value);
    }
    Err(Refusal::invalid(Some("url_invalid"), &field.name, "Not a valid URL"))
}

fn number(field: &Field) -> Result<u64, Refusal> {
    field.value.parse().map_err(|_| {
        let message = format!("Invalid integer: {}", field.value);
        Refusal::invalid(Some("parameter_invalid_integer"), &field.name, &message)
    })
}

fn flag(field: &Field) -> Result<bool, Refusal> {
    field.value.parse().map_err(|_| {
        Refusal::invalid(None, &field.name, &format!("Invalid boolean: {}", field.value))
    })
}

fn note(notes: &mut BTreeMap<String, String>, name: &str, field: &Field) -> Result<(), Refusal> {
    let value = text(field, METADATA_VALUE_MAX)?;
    if name.chars().count() > METADATA_NAME_MAX || notes.len() == METADATA_MAX {
        let message = "Metadata has at most 50 names of at most 40 characters.";
        return Err(Refusal::invalid(None, &field.name, message));
    }
    // An empty value means "take it away".
    if !value.is_empty() {
        notes.insert(name.to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form;

    const NOW: u64 = 1_790_000_000;
    const GOOD: &str = "mode=payment&success_url=https://a.example/ok&cancel_url=http://a.example/no\
        &line_items[0][quantity]=1&line_items[0][price_data][currency]=eur\
        &line_items[0][price_data][unit_amount]=12500\
        &line_items[0][price_data][product_data][name]=Kite\
        &metadata[order]=o1&payment_intent_data[metadata][order]=o1\
        &payment_intent_data[transfer_group]=g1&adaptive_pricing[enabled]=false";

    fn asked(form: &str) -> Result<Asked, Refusal> {
        read(&form::parse(form.as_bytes()).expect("a form"), NOW)
    }

    #[test]
    fn a_whole_form_is_read() {
        let asked = asked(GOOD).expect("a good form");
        assert_eq!((asked.amount_total, asked.currency.as_str()), (12_500, "eur"));
        assert_eq!(asked.title, "Kite");
        assert_eq!(asked.expires_at, NOW + LIFE_MAX_S);
        assert_eq!(asked.payment.transfer_group.as_deref(), Some("g1"));
        assert_eq!(asked.metadata["order"], "o1");
        assert!(!asked.adaptive_pricing);
    }

    #[test]
    fn each_fault_names_its_parameter() {
        for (change, param) in [
            ("&colour=red", "colour"),
            ("&line_items[0][price_data][size]=3", "line_items[0][price_data][size]"),
            ("&expires_at=1790000100", "expires_at"),
            ("&expires_at=1790090000", "expires_at"),
            ("&expires_at=soon", "expires_at"),
            ("&cancel_url=ftp://a.example/", "cancel_url"),
            ("&success_url=https://a.example/%0D%0Ax", "success_url"),
            ("&line_items[0][price_data][unit_amount]=12", "line_items"),
            ("&line_items[0][price_data][currency]=EUR", "line_items[0][price_data][currency]"),
            ("&line_items[1][quantity]=1", "line_items[1][price_data][unit_amount]"),
            ("&mode=subscription", "mode"),
            ("&adaptive_pricing[enabled]=maybe", "adaptive_pricing[enabled]"),
        ] {
            let refusal = asked(&format!("{GOOD}{change}")).expect_err(change);
            assert_eq!(refusal.param.as_deref(), Some(param), "{change}");
            assert_eq!(refusal.status, 400);
        }
        let without = GOOD.replace("success_url", "cancel_url");
        assert_eq!(asked(&without).expect_err("no success_url").code, Some("parameter_missing"));
    }

    #[test]
    fn life_is_thirty_minutes_to_a_day() {
        assert_eq!(life(Some(NOW + LIFE_MIN_S), NOW), Ok(NOW + LIFE_MIN_S));
        assert_eq!(life(Some(NOW + LIFE_MAX_S), NOW), Ok(NOW + LIFE_MAX_S));
        assert!(life(Some(NOW + LIFE_MIN_S - 1), NOW).is_err());
        assert!(life(Some(NOW + LIFE_MAX_S + 1), NOW).is_err());
    }
}
