//! Time zones of people: which there are, and when somebody's quiet hours end.
//!
//! The tables are compiled in, so every machine of one release has the same. They are for shells
//! alone: what the log decides never depends on them (ADR 0004). Read next:
//! `fairground_types::command::QuietHours`.

use std::sync::LazyLock;

use fairground_types::Timestamp;
use fairground_types::command::QuietHours;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

fn zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok()
}

/// Whether there is a zone of this IANA name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    zone(name).is_some()
}

/// When the quiet hours end that hold at an instant; absent when none hold. An unknown zone counts
/// as UTC. Hours may go over midnight; on a day when clocks change they begin and end at the
/// instants that the wall clock shows, a skipped one at the next.
#[must_use]
pub fn quiet_until(hours: &QuietHours, at: Timestamp) -> Option<Timestamp> {
    let zone = zone(hours.zone.as_str()).unwrap_or(TimeZone::UTC);
    let millis = i64::try_from(at.as_unix_millis()).ok()?;
    let now = jiff::Timestamp::from_millisecond(millis).ok()?;
    let today = now.to_zoned(zone.clone()).date();
    let begins = [today.yesterday().ok(), Some(today)];
    let ends = begins.into_iter().flatten().filter_map(|day| window(hours, &zone, day));
    let end = ends.filter(|(start, end)| *start <= now && now < *end).map(|(_, end)| end).max()?;
    u64::try_from(end.as_millisecond()).ok().map(Timestamp::from_unix_millis)
}

/// The quiet hours that begin on a day.
fn window(
    hours: &QuietHours,
    zone: &TimeZone,
    day: Date,
) -> Option<(jiff::Timestamp, jiff::Timestamp)> {
    let weekday = u8::try_from(day.weekday().to_monday_one_offset()).ok()?;
    if !hours.days.is_empty() && !hours.days.contains(&weekday) {
        return None;
    }
    let last = if hours.end_minute > hours.start_minute { day } else { day.tomorrow().ok()? };
    let instant = |date: Date, minute: u16| {
        let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
        Some(date.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?.timestamp())
    };
    Some((instant(day, hours.start_minute)?, instant(last, hours.end_minute)?))
}

#[cfg(test)]
mod tests {
    use fairground_types::text::ZoneName;

    use super::*;

    fn hours(zone: &str, start: u16, end: u16, days: &[u8]) -> QuietHours {
        let zone = ZoneName::parse(zone).expect("valid");
        QuietHours { start_minute: start, end_minute: end, days: days.to_vec(), zone }
    }

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().expect("an instant");
        Timestamp::from_unix_millis(u64::try_from(instant.as_millisecond()).expect("after 1970"))
    }

    #[test]
    fn zones_are_compiled_in() {
        assert!(is_known("Europe/Berlin") && is_known("America/New_York") && is_known("UTC"));
        assert!(!is_known("Europe/Nowhere"));
    }

    #[test]
    fn quiet_hours_go_over_midnight_and_are_half_open() {
        let night = hours("Europe/Berlin", 22 * 60, 7 * 60, &[]);
        let end = Some(at("2026-01-15T06:00:00Z"));
        assert_eq!(quiet_until(&night, at("2026-01-14T20:59:59Z")), None);
        assert_eq!(quiet_until(&night, at("2026-01-14T21:00:00Z")), end);
        assert_eq!(quiet_until(&night, at("2026-01-15T05:59:59Z")), end);
        assert_eq!(quiet_until(&night, at("2026-01-15T06:00:00Z")), None);
    }

    #[test]
    fn days_are_those_on_which_quiet_hours_begin() {
        // 2026-01-14 is a Wednesday.
        let night = hours("Europe/Berlin", 22 * 60, 7 * 60, &[3]);
        assert!(quiet_until(&night, at("2026-01-15T05:00:00Z")).is_some());
        assert_eq!(quiet_until(&night, at("2026-01-15T22:00:00Z")), None);
    }

    #[test]
    fn clocks_that_change_in_the_night_change_its_length() {
        let night = hours("Europe/Berlin", 22 * 60, 7 * 60, &[]);
        // 2026-03-29: 02:00 becomes 03:00; 2026-10-25: 03:00 becomes 02:00.
        let spring = quiet_until(&night, at("2026-03-28T22:00:00Z"));
        assert_eq!(spring, Some(at("2026-03-29T05:00:00Z")));
        let autumn = quiet_until(&night, at("2026-10-24T22:00:00Z"));
        assert_eq!(autumn, Some(at("2026-10-25T06:00:00Z")));
        // An end that the clock skips is the next instant that it shows.
        let skipped = hours("Europe/Berlin", 60, 2 * 60 + 30, &[]);
        assert_eq!(
            quiet_until(&skipped, at("2026-03-29T00:30:00Z")),
            Some(at("2026-03-29T01:30:00Z"))
        );
    }
}
