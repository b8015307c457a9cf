//! A way back into an account: a secret to its address, once, within a quarter of an hour.
//!
//! The answer is the same whether the address is known or not. Taking the way ends every other
//! sign-in; "that was not me" voids it. The secret travels like a code does.

use fairground_types::command::{RedeemRecovery, RequestRecovery};
use fairground_types::limits::{self, RECOVERY_LIFE, RECOVERY_TRIES_MAX};
use fairground_types::{
    Accepted, ChallengeId, Code, Digest, NoticeKind, Rejection, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::Effect;
use crate::notice::about;

/// A way back that was sent.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Recovery {
    pub(crate) user: UserId,
    pub(crate) secret: Digest,
    pub(crate) expires_at: Timestamp,
    pub(crate) tries_left: u32,
}

fn gone() -> Rejection {
    Rejection::new(Code::TokenExpired, "the way back does not count any more, ask for a new one")
}

impl Market {
    pub(crate) fn request_recovery(
        &mut self,
        turn: &mut Turn,
        request: &RequestRecovery,
    ) -> Answer {
        if self.accounts.recoveries.contains_key(&request.recovery) {
            return Err(Rejection::new(Code::InvalidState, "the id of the request is taken"));
        }
        self.pass_gate(turn, &request.identifier, request.origin.as_ref())?;
        let known = self.accounts.identifiers.get(&request.identifier).copied();
        let Some(user) = known.filter(|user| self.require_active(*user).is_ok()) else {
            return Ok(Accepted::Done);
        };
        let Some(account) = self.accounts.account(user) else { return Ok(Accepted::Done) };
        let (channel, contact) = (account.channel, account.contact.clone());
        self.void_recovery(user);
        let expires_at = turn.at.plus(RECOVERY_LIFE);
        let recovery =
            Recovery { user, secret: request.secret, expires_at, tries_left: RECOVERY_TRIES_MAX };
        self.accounts.recoveries.insert(request.recovery, recovery);
        self.change_person(user, |person| person.recovery = Some(request.recovery));
        self.deadlines.add(expires_at, DueKind::Recovery(request.recovery));
        let effect = Effect::SendCode { challenge: request.recovery, channel, contact };
        self.add_effect(turn, effect, Some(expires_at));
        Ok(Accepted::Done)
    }

    pub(crate) fn void_recovery(&mut self, user: UserId) {
        let Some(id) = self.person(user).ok().and_then(|person| person.recovery) else { return };
        if let Some(gone) = self.accounts.recoveries.remove(&id) {
            self.deadlines.remove(gone.expires_at, DueKind::Recovery(id));
        }
        self.change_person(user, |person| person.recovery = None);
    }

    pub(crate) fn end_recovery(&mut self, id: ChallengeId, due: Timestamp) {
        let known = self.accounts.recoveries.get(&id);
        if let Some(user) = known.filter(|row| row.expires_at == due).map(|row| row.user) {
            self.void_recovery(user);
        }
    }

    /// Whose way back a secret opens; a wrong one is counted, and too many lock the account.
    fn open_recovery(
        &mut self,
        turn: &mut Turn,
        id: ChallengeId,
        secret: Digest,
    ) -> Result<UserId, Rejection> {
        let row = self.accounts.recoveries.get_mut(&id).ok_or_else(gone)?;
        let user = row.user;
        if row.expires_at <= turn.at {
            return Err(gone());
        }
        if row.secret == secret {
            return Ok(user);
        }
        row.tries_left = row.tries_left.saturating_sub(1);
        if row.tries_left == 0 {
            self.void_recovery(user);
            self.lock_account(turn, user, limits::THEFT_LOCK);
        }
        Err(gone())
    }

    pub(crate) fn redeem_recovery(&mut self, turn: &mut Turn, redeem: &RedeemRecovery) -> Answer {
        if self.accounts.sign_ins.contains_key(&redeem.sign_in) {
            return Err(Rejection::new(Code::InvalidState, "the sign-in id is taken"));
        }
        let user = self.open_recovery(turn, redeem.recovery, redeem.secret)?;
        self.require_active(user)?;
        self.void_recovery(user);
        self.unlock_account(user);
        self.end_sign_ins(turn, user);
        self.change_person(user, |person| person.is_address_proven = true);
        self.begin_sign_in(turn, user, redeem.sign_in, redeem.refresh);
        self.notify(turn, about(user, NoticeKind::SignInsRevoked));
        Ok(self.signed_in(user, redeem.sign_in, false))
    }

    pub(crate) fn deny_recovery(
        &mut self,
        turn: &mut Turn,
        id: ChallengeId,
        secret: Digest,
    ) -> Answer {
        let user = self.open_recovery(turn, id, secret)?;
        self.void_recovery(user);
        Ok(Accepted::Done)
    }
}
