//! How often somebody may ask for a code, and what wrong codes lead to (domain 3.10, 4.4).
//!
//! ```text
//!  asks       3 in 5 min, then blocked 15 min; 5 in an hour; 10 in a day      per identifier
//!             20 in 5 min; 100 in an hour                                      per network address
//!  mistakes   3 -> 5 min, 5 -> 30 min, 10 -> 1 h, 15 -> 24 h                   per identifier
//! ```
//! An identifier is treated alike whether it is known or not. A right code ends the count; a day of
//! silence does too.

use fairground_types::limits;
use fairground_types::{Code, Digest, Millis, Rejection, Timestamp};
use wincode::{SchemaRead, SchemaWrite};

use crate::account::Challenge;

const DAY: Millis = Millis::from_hours(24);
const HOUR: Millis = Millis::from_hours(1);

/// What one identifier may still ask for.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Gate {
    pub(crate) asked: Vec<Timestamp>,
    pub(crate) blocked_until: Option<Timestamp>,
    pub(crate) mistakes: u32,
    pub(crate) locked_until: Option<Timestamp>,
    pub(crate) used_at: Timestamp,
    pub(crate) challenge: Option<Challenge>,
}

fn since(asked: &[Timestamp], from: Timestamp) -> u32 {
    u32::try_from(asked.iter().filter(|at| **at > from).count()).unwrap_or(u32::MAX)
}

fn too_many(retry_at: Timestamp) -> Rejection {
    Rejection::new(Code::RateLimited, "too many codes were asked for").with_retry_at(retry_at)
}

/// The first instant at which fewer than `max` of `asked` lie within `span`.
fn free_at(asked: &[Timestamp], max: u32, span: Millis) -> Timestamp {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let place = asked.len().saturating_sub(max);
    asked.get(place).map_or(Timestamp::EPOCH, |at| at.plus(span))
}

impl Gate {
    /// Refuses while wrong codes lock the identifier.
    pub(crate) fn require_open(&self, at: Timestamp) -> Result<(), Rejection> {
        match self.locked_until.filter(|until| *until > at) {
            Some(until) => Err(locked(until)),
            None => Ok(()),
        }
    }

    /// Refuses an identifier that asked too often, without counting this time.
    pub(crate) fn require_rate(&self, at: Timestamp) -> Result<(), Rejection> {
        if let Some(until) = self.blocked_until.filter(|until| *until > at) {
            return Err(too_many(until));
        }
        let limits = [(limits::CODES_PER_HOUR_MAX, HOUR), (limits::CODES_PER_DAY_MAX, DAY)];
        for (max, span) in limits {
            if since(&self.asked, at.minus(span)) >= max {
                return Err(too_many(free_at(&self.asked, max, span)));
            }
        }
        Ok(())
    }

    /// Whether one more within five minutes blocks the identifier.
    pub(crate) fn is_hasty(&self, at: Timestamp) -> bool {
        since(&self.asked, at.minus(limits::CODE_LIFE)) >= limits::CODES_PER_WINDOW_MAX
    }

    pub(crate) fn count(&mut self, at: Timestamp) {
        self.asked.retain(|asked| *asked > at.minus(DAY));
        self.asked.push(at);
        self.used_at = at;
    }

    /// Notes a wrong code; says whether that locks the identifier, and until when.
    pub(crate) fn mistake(&mut self, at: Timestamp) -> Option<Timestamp> {
        if at.since(self.used_at) >= DAY {
            self.mistakes = 0;
        }
        self.used_at = at;
        self.mistakes = self.mistakes.saturating_add(1);
        let last = limits::LOCKOUT_LADDER.last().map_or(u32::MAX, |(count, _)| *count);
        let step = limits::LOCKOUT_LADDER
            .iter()
            .rev()
            .find(|(count, _)| self.mistakes == *count || self.mistakes > last);
        let until = step.map(|(_, span)| at.plus(*span))?;
        self.locked_until = Some(until);
        Some(until)
    }

    /// Whether nothing is remembered that could still matter.
    pub(crate) fn is_idle(&self, at: Timestamp) -> bool {
        let is_locked = self.locked_until.is_some_and(|until| until > at)
            || self.blocked_until.is_some_and(|until| until > at);
        at.since(self.used_at) >= DAY && !is_locked
    }
}

fn locked(until: Timestamp) -> Rejection {
    Rejection::new(Code::AccountLocked, "too many wrong codes: signing in is locked for a while")
        .with_retry_at(until)
}

/// When one network address asked; at most a hundred in an hour are kept.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Origin {
    pub(crate) asked: Vec<Timestamp>,
}

impl Origin {
    pub(crate) fn require_rate(&self, at: Timestamp) -> Result<(), Rejection> {
        let limits = [
            (limits::CODES_PER_ORIGIN_MAX, limits::CODE_LIFE),
            (limits::CODES_PER_ORIGIN_HOUR_MAX, HOUR),
        ];
        for (max, span) in limits {
            if since(&self.asked, at.minus(span)) >= max {
                return Err(too_many(free_at(&self.asked, max, span)));
            }
        }
        Ok(())
    }

    pub(crate) fn count(&mut self, at: Timestamp) {
        self.asked.retain(|asked| *asked > at.minus(HOUR));
        self.asked.push(at);
    }
}

impl crate::account::Accounts {
    /// Whether a network address may ask once more.
    pub(crate) fn require_origin(
        &self,
        origin: Option<&Digest>,
        at: Timestamp,
    ) -> Result<(), Rejection> {
        let Some(origin) = origin else { return Ok(()) };
        match self.origins.get(origin) {
            Some(known) => known.require_rate(at),
            None if self.origins.len() >= limits::GATES_MAX => {
                Err(Rejection::new(Code::RateLimited, "too many codes are asked for everywhere"))
            }
            None => Ok(()),
        }
    }

    /// Forgets what a network address did more than an hour ago.
    pub(crate) fn close_origin(&mut self, origin: &Digest, at: Timestamp) {
        let oldest = at.minus(HOUR);
        let Some(row) = self.origins.get_mut(origin) else { return };
        row.asked.retain(|asked| *asked > oldest);
        if row.asked.is_empty() {
            self.origins.remove(origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(count: u64) -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_000).plus(Millis::from_mins(count))
    }

    #[test]
    fn wrong_codes_climb_the_ladder_and_silence_ends_it() {
        let mut gate = Gate { used_at: minutes(0), ..Gate::default() };
        let locks: Vec<Option<u64>> = (1..=16)
            .map(|_| gate.mistake(minutes(1)).map(|until| until.since(minutes(1)).as_millis()))
            .collect();
        let mins = |count: u64| Some(count * 60_000);
        let expected = [
            None,
            None,
            mins(5),
            None,
            mins(30),
            None,
            None,
            None,
            None,
            mins(60),
            None,
            None,
            None,
            None,
            mins(24 * 60),
            mins(24 * 60),
        ];
        assert_eq!(locks, expected);
        assert!(gate.require_open(minutes(2)).is_err());
        assert!(!gate.is_idle(minutes(2)));
        let later = minutes(2 * 24 * 60);
        assert!(gate.require_open(later).is_ok() && gate.is_idle(later));
        assert_eq!(gate.mistake(later), None);
    }

    #[test]
    fn an_hour_and_a_day_are_counted_apart() {
        let mut gate = Gate::default();
        for count in 0..5 {
            assert!(gate.require_rate(minutes(count * 10)).is_ok());
            gate.count(minutes(count * 10));
        }
        let refused = gate.require_rate(minutes(50)).expect_err("five in an hour");
        assert_eq!(refused.retry_at, Some(minutes(60)));
        for count in 0..5 {
            gate.count(minutes(120 + count * 61));
        }
        assert!(gate.require_rate(minutes(12 * 60)).is_err(), "ten in a day");
        assert!(gate.require_rate(minutes(24 * 60 + 1)).is_ok());
    }

    #[test]
    fn a_network_address_asks_twenty_times_in_five_minutes_and_a_hundred_times_in_an_hour() {
        let mut origin = Origin::default();
        for _ in 0..20 {
            assert!(origin.require_rate(minutes(0)).is_ok());
            origin.count(minutes(0));
        }
        assert!(origin.require_rate(minutes(4)).is_err());
        for round in 1..5 {
            for _ in 0..20 {
                origin.count(minutes(round * 6));
            }
        }
        assert!(origin.require_rate(minutes(59)).is_err());
        assert!(origin.require_rate(minutes(60)).is_ok());
    }
}
