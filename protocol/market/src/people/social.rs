//! Signing in by a provider's word, and which ways in an account has.
//!
//! Never a silent merge: the same address through another provider is told to sign in first and to
//! link. What the provider said was checked before; a failed exchange leaves no row.

use fairground_types::command::{Channel, SignInSocial};
use fairground_types::people::{Identity, IdentityProvider};
use fairground_types::{Accepted, Code, Digest, NoticeKind, Rejection, UserId};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::notice::about;

impl Market {
    pub(crate) fn sign_in_social(&mut self, turn: &mut Turn, social: &SignInSocial) -> Answer {
        if self.accounts.sign_ins.contains_key(&social.sign_in) {
            return Err(Rejection::new(Code::InvalidState, "the sign-in id is taken"));
        }
        let known = self.accounts.identities.get(&social.identity).copied();
        let user = known.unwrap_or(social.new_user);
        if known.is_some() {
            self.require_active(user)?;
            self.require_unlocked(turn.at, user)?;
        } else if social.contact.sealed.is_empty() {
            let detail = "the provider vouches for no address, which a new account needs";
            return Err(Rejection::new(Code::SocialTokenInvalid, detail));
        } else if self.accounts.identifiers.contains_key(&social.identifier) {
            let detail = "an account with this address exists: sign in to it, then link";
            return Err(Rejection::new(Code::LinkRequired, detail));
        } else {
            let contact = social.contact.clone();
            self.new_account(turn, user, social.identifier, contact, Channel::Email)?;
            self.add_identity(user, social.identity);
        }
        self.begin_sign_in(turn, user, social.sign_in, social.refresh);
        Ok(self.signed_in(user, social.sign_in, known.is_none()))
    }

    fn add_identity(&mut self, user: UserId, identity: Identity) {
        self.accounts.identities.insert(identity, user);
        self.change_person(user, |person| {
            person.identities.insert(identity);
        });
    }

    pub(crate) fn link_identity(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        identity: Identity,
        identifier: Digest,
    ) -> Answer {
        let account = self.accounts.account(user).ok_or_else(super::not_found)?;
        match self.accounts.identities.get(&identity) {
            Some(owner) if *owner == user => return Ok(Accepted::Done),
            Some(_) => {
                let detail = "this way to sign in belongs to another account";
                return Err(Rejection::new(Code::InvalidState, detail));
            }
            None => {}
        }
        if account.identifier != identifier {
            let detail = "the provider vouches for another address than the account's";
            return Err(Rejection::new(Code::Forbidden, detail));
        }
        if account.person.identities.iter().any(|known| known.provider == identity.provider) {
            let detail = "the account has a way to sign in with this provider";
            return Err(Rejection::new(Code::InvalidState, detail));
        }
        self.add_identity(user, identity);
        self.notify(turn, about(user, NoticeKind::IdentityChanged));
        Ok(Accepted::Done)
    }

    pub(crate) fn unlink_identity(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        provider: IdentityProvider,
    ) -> Answer {
        let person = self.person(user)?;
        let known = person.identities.iter().find(|known| known.provider == provider).copied();
        let identity = known.ok_or_else(super::not_found)?;
        if person.identities.len() == 1 && !person.is_address_proven {
            let detail = "sign in once by a code to the address, or link another provider, first";
            return Err(Rejection::new(Code::LastIdentity, detail));
        }
        self.accounts.identities.remove(&identity);
        self.change_person(user, |person| {
            person.identities.remove(&identity);
        });
        self.notify(turn, about(user, NoticeKind::IdentityChanged));
        Ok(Accepted::Done)
    }
}
