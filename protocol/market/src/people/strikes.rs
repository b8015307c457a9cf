//! Standing and strikes (domain 4.6).
//!
//! ```text
//!  policy    1 warn     2 publishing pauses 7 d     3 suspension
//!  unpaid    2 in 90 d: bidding pauses 30 d         ship late 3 in 90 d: fulfilment is looked at
//! ```
//! Only strikes that still count are counted; old ones stay as a record, newest first to go last.

use fairground_types::limits::STRIKES_MAX;
use fairground_types::text::{BlockerCode, Note};
use fairground_types::{
    Accepted, AuctionId, Capability, Code, NoticeKind, Rejection, StrikeAbout, StrikeId,
    StrikeKind, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use super::CapabilityState;
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::notice::about as notice_about;

/// Where an account stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum AccountStanding {
    /// In good standing.
    #[default]
    Active,
    /// Suspended by strikes or by staff.
    Suspended {
        /// Since when.
        at: Timestamp,
    },
    /// Closed by its owner; it can be looked at by staff until it is erased.
    Closed {
        /// Since when.
        at: Timestamp,
    },
    /// Nothing personal is left.
    Erased {
        /// Since when.
        at: Timestamp,
    },
}

impl AccountStanding {
    /// Its name in the public API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended { .. } => "suspended",
            Self::Closed { .. } => "closed",
            Self::Erased { .. } => "erased",
        }
    }
}

/// A strike.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Strike {
    pub(crate) strike: StrikeId,
    pub(crate) kind: StrikeKind,
    pub(crate) about: StrikeAbout,
    pub(crate) at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Market {
    /// Notes a strike and does what follows from it. The same thing gives one strike of a kind.
    pub(crate) fn add_strike(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        kind: StrikeKind,
        about: StrikeAbout,
    ) {
        let policy = self.strike_policy();
        let life = match kind {
            StrikeKind::Policy => policy.policy_life,
            StrikeKind::NonPayment | StrikeKind::ShipSla => policy.trade_life,
        };
        let Ok(person) = self.person(user) else { return };
        let is_known = !matches!(about, StrikeAbout::Account)
            && person.strikes.iter().any(|row| row.kind == kind && row.about == about);
        if is_known {
            return;
        }
        let strike = Strike {
            strike: StrikeId::from_bits(turn.make_bits()),
            kind,
            about,
            at: turn.at,
            expires_at: turn.at.plus(life),
        };
        self.change_person(user, |person| {
            person.strikes.push(strike);
            let surplus = person.strikes.len().saturating_sub(STRIKES_MAX);
            person.strikes.drain(..surplus);
        });
        let mut notice = notice_about(user, NoticeKind::StrikeAdded);
        notice.until = Some(turn.at.plus(life));
        self.notify(turn, notice);
        self.answer_strikes(turn, user, kind);
    }

    /// Strikes of a kind that count now.
    fn strikes_that_count(&self, user: UserId, kind: StrikeKind, at: Timestamp) -> u32 {
        let count = self.person(user).map_or(0, |person| {
            person.strikes.iter().filter(|row| row.kind == kind && row.expires_at > at).count()
        });
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn answer_strikes(&mut self, turn: &mut Turn, user: UserId, kind: StrikeKind) {
        let policy = self.strike_policy();
        let count = self.strikes_that_count(user, kind, turn.at);
        match kind {
            StrikeKind::Policy if count >= policy.policy_suspend_at => self.suspend(turn, user),
            StrikeKind::Policy if count >= policy.policy_pause_at => {
                let until = turn.at.plus(policy.publish_pause);
                self.change_person(user, |person| person.publishing_paused_until = Some(until));
            }
            StrikeKind::NonPayment if count >= policy.unpaid_pause_at => {
                let until = turn.at.plus(policy.bid_pause);
                self.change_person(user, |person| person.bidding_paused_until = Some(until));
            }
            StrikeKind::ShipSla if count >= policy.late_review_at => {
                self.review_fulfilment(turn, user);
            }
            StrikeKind::Policy | StrikeKind::NonPayment | StrikeKind::ShipSla => {}
        }
    }

    fn review_fulfilment(&mut self, turn: &mut Turn, user: UserId) {
        let blocker = BlockerCode::parse("ship-sla")
            .ok()
            .zip(Note::parse("several pieces were shipped late; our staff looks at it").ok());
        let blockers = blocker
            .map(|(code, text)| fairground_types::people::Blocker { code, text })
            .into_iter()
            .collect();
        let is_approved = self.person(user).is_ok_and(|person| {
            matches!(
                person.capabilities.get(&Capability::FulfillOrders),
                Some(CapabilityState::Approved { .. })
            )
        });
        if is_approved {
            let state = CapabilityState::ReviewRequired { at: turn.at, blockers };
            self.set_capability(turn, user, Capability::FulfillOrders, state);
        }
    }

    /// Suspends an account: its sign-ins end, its auctions end, its bids are taken back.
    pub(crate) fn suspend(&mut self, turn: &mut Turn, user: UserId) {
        let Ok(person) = self.person(user) else { return };
        if !matches!(person.standing, AccountStanding::Active) {
            return;
        }
        let at = turn.at;
        self.change_person(user, |person| person.standing = AccountStanding::Suspended { at });
        self.end_sign_ins(turn, user);
        self.stop_trading(turn, user);
        self.notify(turn, notice_about(user, NoticeKind::AccountSuspended));
    }

    /// What is running for somebody who may not trade any more (domain 10.16).
    fn stop_trading(&mut self, turn: &mut Turn, user: UserId) {
        let Ok(reason) = Note::parse("the account is suspended") else { return };
        let theirs: Vec<AuctionId> = self
            .open
            .iter()
            .map(|(_, id)| *id)
            .filter(|id| self.auctions.get(id).is_some_and(|row| row.maker == user))
            .collect();
        for auction in theirs {
            // One that is locked or paid goes on under an admin.
            let _ = self.cancel_auction(turn, auction, (None, &reason));
        }
        self.retract_bids_of(turn, user, (None, &reason));
    }

    pub(crate) fn reinstate(&mut self, turn: &mut Turn, user: UserId) -> Answer {
        match self.person(user)?.standing {
            AccountStanding::Active => return Ok(Accepted::Done),
            AccountStanding::Suspended { .. } => {}
            AccountStanding::Closed { .. } | AccountStanding::Erased { .. } => {
                return Err(Rejection::new(Code::InvalidState, "the account is closed"));
            }
        }
        self.change_person(user, |person| person.standing = AccountStanding::Active);
        self.notify(turn, notice_about(user, NoticeKind::AccountRestored));
        Ok(Accepted::Done)
    }

    pub(crate) fn lift_strike(&mut self, user: UserId, strike: StrikeId) -> Answer {
        let known = self.person(user)?.strikes.iter().find(|row| row.strike == strike);
        let kind = known.map(|row| row.kind).ok_or_else(super::not_found)?;
        self.change_person(user, |person| person.strikes.retain(|row| row.strike != strike));
        let policy = self.strike_policy();
        let count = self.strikes_that_count(user, kind, self.at);
        self.change_person(user, |person| match kind {
            StrikeKind::Policy if count < policy.policy_pause_at => {
                person.publishing_paused_until = None;
            }
            StrikeKind::NonPayment if count < policy.unpaid_pause_at => {
                person.bidding_paused_until = None;
            }
            StrikeKind::Policy | StrikeKind::NonPayment | StrikeKind::ShipSla => {}
        });
        Ok(Accepted::Done)
    }
}
