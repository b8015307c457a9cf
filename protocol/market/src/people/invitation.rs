//! Invitations: a code for one person, once, for a while. Here is its hash alone.

use std::collections::BTreeSet;

use fairground_types::command::Invite;
use fairground_types::limits::{CLAIMS_PER_HOUR_MAX, INVITATION_LIFE_MAX, INVITATIONS_MAX};
use fairground_types::{
    Accepted, Code, Digest, InvitationId, Millis, Rejection, Role, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;

const HOUR: Millis = Millis::from_hours(1);

/// Where an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) enum InvitationState {
    /// It can be taken.
    Open,
    /// It was taken.
    Claimed {
        /// By whom.
        by: UserId,
        /// When.
        at: Timestamp,
    },
    /// It was taken back.
    Revoked {
        /// When.
        at: Timestamp,
    },
}

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Invitation {
    pub(crate) invitation: InvitationId,
    pub(crate) code: Digest,
    pub(crate) recipient: Digest,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) made_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) state: InvitationState,
}

fn invalid() -> Rejection {
    Rejection::new(Code::InvitationInvalid, "the invitation does not count")
}

impl Market {
    pub(crate) fn invite(&mut self, turn: &Turn, invite: &Invite) -> Answer {
        let accounts = &self.accounts;
        if accounts.invitations.contains_key(&invite.invitation)
            || accounts.invitation_codes.contains_key(&invite.code)
        {
            return Err(Rejection::new(Code::InvalidState, "the id of the invitation is taken"));
        }
        if invite.life == Millis::ZERO
            || invite.life > INVITATION_LIFE_MAX
            || invite.roles.is_empty()
        {
            let detail = "an invitation gives a duty and counts for 1 to 30 days";
            return Err(Rejection::new(Code::ValidationFailed, detail));
        }
        if accounts.invitations.len() >= INVITATIONS_MAX {
            return Err(Rejection::new(Code::LimitReached, "too many invitations are remembered"));
        }
        let expires_at = turn.at.plus(invite.life);
        let row = Invitation {
            invitation: invite.invitation,
            code: invite.code,
            recipient: invite.recipient,
            roles: invite.roles.iter().copied().collect(),
            made_at: turn.at,
            expires_at,
            state: InvitationState::Open,
        };
        self.accounts.invitation_codes.insert(invite.code, invite.invitation);
        self.accounts.invitations.insert(invite.invitation, row);
        self.deadlines.add(expires_at, DueKind::Invitation(invite.invitation));
        Ok(Accepted::Done)
    }

    /// An invitation is forgotten when its time is over, whatever became of it.
    pub(crate) fn end_invitation(&mut self, id: InvitationId, due: Timestamp) {
        let known = self.accounts.invitations.get(&id);
        let Some(code) = known.filter(|row| row.expires_at == due).map(|row| row.code) else {
            return;
        };
        self.accounts.invitations.remove(&id);
        self.accounts.invitation_codes.remove(&code);
    }

    pub(crate) fn revoke_invitation(&mut self, turn: &Turn, id: InvitationId) -> Answer {
        let row = self.accounts.invitations.get_mut(&id).ok_or_else(super::not_found)?;
        match row.state {
            InvitationState::Open => row.state = InvitationState::Revoked { at: turn.at },
            InvitationState::Revoked { .. } => {}
            InvitationState::Claimed { .. } => {
                return Err(Rejection::new(Code::InvalidState, "the invitation was taken"));
            }
        }
        Ok(Accepted::Done)
    }

    pub(crate) fn claim_invitation(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        code: Digest,
    ) -> Answer {
        let at = turn.at;
        let account = self.accounts.account(user).ok_or_else(super::not_found)?;
        let identifier = account.identifier;
        let recent = |tried: &[Timestamp]| -> Vec<Timestamp> {
            tried.iter().copied().filter(|tried| *tried > at.minus(HOUR)).collect()
        };
        let mut tried = recent(&account.person.claims);
        if tried.len() >= CLAIMS_PER_HOUR_MAX {
            let retry_at = tried.first().map_or(at, |first| first.plus(HOUR));
            return Err(Rejection::new(Code::RateLimited, "too many codes were tried")
                .with_retry_at(retry_at));
        }
        let known = self.accounts.invitation_codes.get(&code).copied();
        let row = known.and_then(|id| self.accounts.invitations.get_mut(&id)).filter(|row| {
            row.state == InvitationState::Open && row.expires_at > at && row.recipient == identifier
        });
        tried.push(at);
        let Some(row) = row else {
            self.change_person(user, |person| person.claims = tried);
            return Err(invalid());
        };
        row.state = InvitationState::Claimed { by: user, at };
        let roles = row.roles.clone();
        for role in roles {
            self.grant_role(turn, user, role)?;
        }
        Ok(Accepted::Done)
    }
}
