//! Business days: Monday to Friday, by UTC. Holidays are not known.

use fairground_types::{Millis, Timestamp};

const DAY: Millis = Millis::from_hours(24);

/// Whether an instant is on a Saturday or Sunday.
fn is_weekend(at: Timestamp) -> bool {
    // 1970-01-01 was a Thursday: days 2 and 3 after it were the first weekend.
    let day = at.as_unix_millis().checked_div(DAY.as_millis());
    day.is_some_and(|day| matches!(day % 7, 2 | 3))
}

/// The same time of day, this many business days later. What begins on a weekend begins on Monday.
pub(super) fn business_days_after(at: Timestamp, days: u32) -> Timestamp {
    let mut later = at;
    while is_weekend(later) {
        later = later.plus(DAY);
    }
    for _ in 0..days {
        later = later.plus(DAY);
        while is_weekend(later) {
            later = later.plus(DAY);
        }
    }
    later
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday, noon: 2024-10-07.
    const MONDAY: Timestamp = Timestamp::from_unix_millis(1_728_302_400_000);

    fn days(count: u64) -> Millis {
        Millis::from_hours(count.saturating_mul(24))
    }

    #[test]
    fn weekends_do_not_count() {
        let after =
            |begin: u64, count| business_days_after(MONDAY.plus(days(begin)), count).since(MONDAY);
        assert_eq!(after(0, 5), days(7), "Monday to Monday");
        assert_eq!(after(4, 1), days(7), "Friday to Monday");
        assert_eq!(after(2, 5), days(9), "Wednesday to Wednesday");
        assert_eq!(after(5, 5), days(14), "Saturday counts from Monday");
        assert_eq!(after(6, 1), days(8), "Sunday counts from Monday");
        assert_eq!(after(0, 0), days(0));
    }

    #[test]
    fn five_business_days_are_seven_to_nine_days() {
        for begin in 0..14 {
            let at = MONDAY.plus(days(begin));
            let span = business_days_after(at, 5).since(at);
            assert!((days(7)..=days(9)).contains(&span));
            assert!(!is_weekend(business_days_after(at, 5)));
        }
    }
}
