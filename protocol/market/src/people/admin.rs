//! What staff do about accounts. Each carries its reason, which the record of privileged acts keeps.
//!
//! Nobody acts on themselves, and an admin's standing is an admin's matter alone.

use fairground_types::command::StaffCommand;
use fairground_types::role::Action;
use fairground_types::{
    Accepted, Code, NoticeKind, Rejection, Role, StrikeAbout, StrikeKind, UserId,
};

use super::AccountStanding;
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::notice::about;
use crate::permission::Subject;

impl Market {
    pub(crate) fn run_staff(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &StaffCommand,
    ) -> Answer {
        match command {
            StaffCommand::Suspend { user, reason: _ } => {
                self.require_authority(subject, *user)?;
                self.suspend_by_staff(turn, *user)
            }
            StaffCommand::Reinstate { user, reason: _ } => {
                self.require_authority(subject, *user)?;
                self.reinstate(turn, *user)
            }
            StaffCommand::ForceSignOut { user, reason: _ } => {
                self.require_authority(subject, *user)?;
                self.end_sign_ins(turn, *user);
                self.notify(turn, about(*user, NoticeKind::SignInsRevoked));
                Ok(Accepted::Done)
            }
            StaffCommand::Strike { user, reason: _ } => {
                self.require_authority(subject, *user)?;
                self.add_strike(turn, *user, StrikeKind::Policy, StrikeAbout::Account);
                Ok(Accepted::Done)
            }
            StaffCommand::LiftStrike { user, strike, reason: _ } => {
                self.require_authority(subject, *user)?;
                self.lift_strike(*user, *strike)
            }
            StaffCommand::GrantDuty { user, role, reason: _ } => {
                self.require_authority(subject, *user)?;
                self.require_active(*user)?;
                let answer = self.grant_role(turn, *user, *role)?;
                // Tokens that name fewer duties end: the next ones name what counts.
                self.end_sign_ins(turn, *user);
                Ok(answer)
            }
            StaffCommand::RevokeDuty { user, role, reason: _ } => {
                self.require_authority(subject, *user)?;
                self.revoke_duty(turn, *user, *role)
            }
            StaffCommand::DecideCapability { user, capability, decision, reason: _ } => {
                self.require_authority(subject, *user)?;
                self.decide_capability(turn, (*user, *capability), decision)
            }
            StaffCommand::Invite(invite) => self.invite(turn, invite),
            StaffCommand::RevokeInvitation { invitation, reason: _ } => {
                self.revoke_invitation(turn, *invitation)
            }
        }
    }

    fn require_authority(&self, subject: &Subject, user: UserId) -> Result<(), Rejection> {
        self.person(user)?;
        let Some(author) = subject.user else { return Ok(()) };
        if author == user {
            return Err(Rejection::new(Code::Forbidden, "nobody decides about themselves"));
        }
        let is_admins = self
            .accounts
            .account(user)
            .is_some_and(|account| account.roles.iter().any(|role| role.is_staff()));
        if is_admins && !self.may(author, Action::Administer) {
            return Err(Rejection::new(Code::Forbidden, "an admin decides about staff"));
        }
        Ok(())
    }

    fn suspend_by_staff(&mut self, turn: &mut Turn, user: UserId) -> Answer {
        match self.person(user)?.standing {
            AccountStanding::Active => self.suspend(turn, user),
            AccountStanding::Suspended { .. } => {}
            AccountStanding::Closed { .. } | AccountStanding::Erased { .. } => {
                return Err(Rejection::new(Code::InvalidState, "the account is closed"));
            }
        }
        Ok(Accepted::Done)
    }

    fn revoke_duty(&mut self, turn: &mut Turn, user: UserId, role: Role) -> Answer {
        let Some(account) = self.accounts.account(user) else { return Err(super::not_found()) };
        if !account.has_role(role) {
            return Ok(Accepted::Done);
        }
        let admins = |row: &&std::sync::Arc<crate::Account>| row.has_role(Role::Admin);
        let is_last = self.accounts.users.values().filter(admins).take(2).count() < 2;
        if role == Role::Admin && is_last {
            return Err(Rejection::new(Code::InvalidState, "the last admin stays"));
        }
        self.accounts.change(user, |account| {
            account.roles.remove(&role);
        });
        if role == Role::Maker {
            self.change_person(user, |person| person.capabilities.clear());
        }
        self.end_sign_ins(turn, user);
        Ok(Accepted::Done)
    }
}
