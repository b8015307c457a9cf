//! What a tracking number of each carrier looks like, and where a parcel is looked at.
//!
//! Check digits where a public standard has one: UPU S10, UPS 1Z, GS1 SSCC-18. Elsewhere the length
//! and the alphabet. It must not know orders.

use crate::command::Carrier;
use crate::text::TrackingNumber;

/// One spelling of a number: capitals and digits alone.
#[must_use]
pub fn plain_number(number: &TrackingNumber) -> String {
    let kept = number.as_str().chars().filter(char::is_ascii_alphanumeric);
    kept.map(|c| c.to_ascii_uppercase()).collect()
}

/// Whether a carrier may have given this number.
#[must_use]
pub fn is_plausible(carrier: Carrier, number: &TrackingNumber) -> bool {
    let number = plain_number(number);
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let length = number.len();
    match carrier {
        Carrier::Usps => is_s10(&number) || (digits && matches!(length, 20 | 22 | 26 | 30)),
        Carrier::Ups => is_1z(&number) || (digits && matches!(length, 9 | 12 | 18)),
        Carrier::Fedex => digits && matches!(length, 12 | 15 | 20 | 22),
        Carrier::Dhl => {
            is_s10(&number)
                || is_licence_plate(&number)
                || (digits && matches!(length, 10..=12 | 14 | 16))
                || (digits && length == 20 && is_sscc(&number))
        }
        Carrier::Other => length >= 4,
    }
}

/// Where a person looks at the parcel; nowhere for carriers that are not known.
#[must_use]
pub fn tracking_url(carrier: Carrier, number: &TrackingNumber) -> Option<String> {
    let base = match carrier {
        Carrier::Usps => "https://tools.usps.com/go/TrackConfirmAction?tLabels=",
        Carrier::Ups => "https://www.ups.com/track?tracknum=",
        Carrier::Fedex => "https://www.fedex.com/fedextrack/?trknbr=",
        Carrier::Dhl => "https://www.dhl.com/global-en/home/tracking.html?tracking-id=",
        Carrier::Other => return None,
    };
    Some(format!("{base}{}", plain_number(number)))
}

fn digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(10)
}

/// UPU S10: two letters, eight digits, a check digit, two letters of a country.
fn is_s10(number: &str) -> bool {
    let bytes = number.as_bytes();
    if bytes.len() != 13 {
        return false;
    }
    let (head, rest) = bytes.split_at(2);
    let (serial, rest) = rest.split_at(8);
    let Some((check, country)) = rest.split_first() else { return false };
    let is_lettered = head.iter().chain(country).all(u8::is_ascii_uppercase);
    let weights = [8_u32, 6, 4, 2, 3, 5, 9, 7];
    let sum = serial.iter().zip(weights).try_fold(0_u32, |sum, (byte, weight)| {
        digit(*byte).map(|value| sum.saturating_add(value.saturating_mul(weight)))
    });
    let expected = sum.map(|sum| match 11_u32.saturating_sub(sum % 11) {
        10 => 0,
        11 => 5,
        other => other,
    });
    is_lettered && expected.is_some() && expected == digit(*check)
}

/// UPS 1Z: sixteen more characters, the last of them the check digit of the others.
fn is_1z(number: &str) -> bool {
    let Some(rest) = number.strip_prefix("1Z").filter(|rest| rest.len() == 16) else {
        return false;
    };
    let Some((check, body)) = rest.as_bytes().split_last() else { return false };
    let value = |byte: &u8| match byte {
        b'0'..=b'9' => u32::from(byte.saturating_sub(b'0')),
        // A stands for 2, B for 3, and so on, modulo 10.
        _ => u32::from(byte.saturating_sub(63)) % 10,
    };
    let sum = body
        .iter()
        .zip([1_u32, 2].into_iter().cycle())
        .fold(0_u32, |sum, (byte, weight)| sum.saturating_add(value(byte).saturating_mul(weight)));
    digit(*check) == Some((10_u32.saturating_sub(sum % 10)) % 10)
}

/// GS1 SSCC-18 behind its identifier 00: weights 3 and 1 from the right.
fn is_sscc(number: &str) -> bool {
    let Some(code) = number.strip_prefix("00").filter(|code| code.len() == 18) else {
        return false;
    };
    let Some((check, body)) = code.as_bytes().split_last() else { return false };
    let sum =
        body.iter().zip([3_u32, 1].into_iter().cycle()).try_fold(0_u32, |sum, (byte, weight)| {
            digit(*byte).map(|value| sum.saturating_add(value.saturating_mul(weight)))
        });
    sum.is_some_and(|sum| digit(*check) == Some((10_u32.saturating_sub(sum % 10)) % 10))
}

/// DHL's licence plates: JD, or up to three letters, and digits.
fn is_licence_plate(number: &str) -> bool {
    let Some(rest) = number.strip_prefix("JD").or_else(|| number.strip_prefix("JJD")) else {
        return false;
    };
    (8..=28).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(carrier: Carrier, number: &str) -> bool {
        is_plausible(carrier, &TrackingNumber::parse(number).expect("a number"))
    }

    #[test]
    fn numbers_of_each_carrier_are_told_from_others() {
        for (carrier, good) in [
            (Carrier::Usps, "RA123456785US"),
            (Carrier::Usps, "9400 1118 9922 3033 0055 03"),
            (Carrier::Ups, "1Z999AA10123456784"),
            (Carrier::Fedex, "961234567895"),
            (Carrier::Dhl, "JD014600000000"),
            (Carrier::Dhl, "00340434161094042557"),
            (Carrier::Other, "BOAT-7"),
        ] {
            assert!(fits(carrier, good), "{carrier:?} {good}");
        }
        for (carrier, bad) in [
            (Carrier::Usps, "RA123456784US"),
            (Carrier::Ups, "1Z999AA10123456785"),
            (Carrier::Ups, "TRACK-0001"),
            (Carrier::Fedex, "12345"),
            (Carrier::Dhl, "00340434161094042558"),
            (Carrier::Dhl, "parcel 12"),
            (Carrier::Other, "----"),
        ] {
            assert!(!fits(carrier, bad), "{carrier:?} {bad}");
        }
    }

    #[test]
    fn one_number_has_one_spelling() {
        let typed = TrackingNumber::parse("1z 999-aa1").expect("a number");
        assert_eq!(plain_number(&typed), "1Z999AA1");
    }

    #[test]
    fn a_wrong_digit_of_an_s10_number_is_seen() {
        // Not one whose check digit is 5: that stands for two remainders.
        for place in 2..10 {
            let mut number = b"RA473124829US".to_vec();
            number[place] = if number[place] == b'9' { b'0' } else { number[place] + 1 };
            let number = String::from_utf8(number).expect("text");
            assert!(!fits(Carrier::Usps, &number), "{number}");
        }
    }
}
