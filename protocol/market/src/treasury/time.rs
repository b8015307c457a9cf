//! The year that an instant falls into.

use fairground_types::Timestamp;

/// Days of 400 years of the Gregorian calendar.
const ERA_DAYS: u64 = 146_097;

/// The year of an instant, UTC (civil-from-days by eras of 400 years that begin in March).
pub(super) fn year_of(at: Timestamp) -> u32 {
    let days = (at.as_unix_seconds() / 86_400).saturating_add(719_468);
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let leap = (day / 1_460).saturating_sub(day / 36_524).saturating_add(day / 146_096);
    let year_of_era = day.saturating_sub(leap) / 365;
    let before = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era / 4)
        .saturating_sub(year_of_era / 100);
    let day_of_year = day.saturating_sub(before);
    // March begins the year of an era: its last 60 days belong to the next.
    let is_next = day_of_year >= 306;
    let year =
        era.saturating_mul(400).saturating_add(year_of_era).saturating_add(u64::from(is_next));
    u32::try_from(year).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_begin_at_midnight_utc() {
        let year = |seconds: u64| year_of(Timestamp::from_unix_millis(seconds * 1_000));
        assert_eq!(year(0), 1970);
        assert_eq!((year(1_767_225_599), year(1_767_225_600)), (2025, 2026));
        assert_eq!(
            (year(1_709_164_800), year(1_735_689_599), year(951_782_400)),
            (2024, 2024, 2000)
        );
        assert_eq!((year(1_735_689_600), year(4_102_444_800)), (2025, 2100));
    }
}
