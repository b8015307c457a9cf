//! Accounts, one-time codes and sign-ins.
//!
//! Addresses are here only as a keyed hash and as a sealed value; codes and refresh tokens only as
//! hashes. It must not know how a code travels or what a token looks like. Read next:
//! `permission.rs` for what an account may do.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairground_types::command::{
    Channel, CreateAccount, RefreshSignIn, RequestCode, SealedContact, VerifyCode,
};
use fairground_types::limits;
use fairground_types::people::Identity;
use fairground_types::text::Handle;
use fairground_types::{
    Accepted, Capability, ChallengeId, Code, DataRequestId, DeviceId, Digest, InvitationId, Millis,
    PublicEvent, Rejection, Role, SignInId, TaskId, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::cow_map::CowMap;
use crate::deadline::DueKind;
use crate::effect::{Effect, NoticeKind};
use crate::notice::about;
use crate::people::gate::{Gate, Origin};
use crate::people::{AccountStanding, DataRequest, Invitation, Person, Recovery};

/// Consumed refresh tokens that a sign-in remembers, to recognise theft.
const CONSUMED_MAX: usize = 8;
/// How long what an identifier asked for is remembered.
const GATE_MEMORY: Millis = Millis::from_hours(24);
/// How long what a network address asked for is remembered.
const ORIGIN_MEMORY: Millis = Millis::from_hours(1);

/// An account.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Account {
    pub(crate) user: UserId,
    pub(crate) identifier: Digest,
    pub(crate) contact: SealedContact,
    pub(crate) channel: Channel,
    pub(crate) handle: Option<Handle>,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) created_at: Timestamp,
    pub(crate) sign_ins: BTreeSet<SignInId>,
    pub(crate) person: Person,
}

/// A one-time code that waits to be typed.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct Challenge {
    pub(crate) challenge: ChallengeId,
    pub(crate) contact: SealedContact,
    pub(crate) channel: Channel,
    pub(crate) code: Digest,
    pub(crate) expires_at: Timestamp,
    pub(crate) tries_left: u32,
}

/// One sign-in of one account on one device.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct SignIn {
    pub(crate) sign_in: SignInId,
    pub(crate) user: UserId,
    pub(crate) refresh: Digest,
    /// The token before, accepted once more for a few seconds: its answer may have been lost.
    pub(crate) previous: Option<(Digest, Timestamp)>,
    pub(crate) consumed: Vec<Digest>,
    pub(crate) device: Option<DeviceId>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Every account, and everything on the way to one.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Accounts {
    pub(crate) users: CowMap<UserId, Arc<Account>>,
    pub(crate) identifiers: CowMap<Digest, UserId>,
    pub(crate) handles: CowMap<String, UserId>,
    pub(crate) gates: CowMap<Digest, Gate>,
    pub(crate) challenges: CowMap<ChallengeId, Digest>,
    pub(crate) sign_ins: CowMap<SignInId, SignIn>,
    pub(crate) origins: CowMap<Digest, Origin>,
    pub(crate) identities: CowMap<Identity, UserId>,
    pub(crate) recoveries: CowMap<ChallengeId, Recovery>,
    pub(crate) invitations: CowMap<InvitationId, Invitation>,
    pub(crate) invitation_codes: CowMap<Digest, InvitationId>,
    pub(crate) tasks: CowMap<TaskId, (UserId, Capability)>,
    pub(crate) requests: CowMap<DataRequestId, DataRequest>,
}

impl Account {
    /// Its id.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Keyed hash of its address.
    #[must_use]
    pub const fn identifier(&self) -> &Digest {
        &self.identifier
    }

    /// Its address, sealed.
    #[must_use]
    pub const fn contact(&self) -> &SealedContact {
        &self.contact
    }

    /// How it is reached.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// Its public name.
    #[must_use]
    pub const fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// Its duties, sorted.
    #[must_use]
    pub fn roles(&self) -> Vec<Role> {
        self.roles.iter().copied().collect()
    }

    /// Whether it has a duty.
    #[must_use]
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Where it stands.
    #[must_use]
    pub const fn standing(&self) -> AccountStanding {
        self.person.standing
    }
}

impl SignIn {
    fn life(created_at: Timestamp, used_at: Timestamp) -> Timestamp {
        used_at.plus(limits::SIGN_IN_IDLE_MAX).min(created_at.plus(limits::SIGN_IN_MAX))
    }
}

impl Accounts {
    pub(crate) fn account(&self, user: UserId) -> Option<&Account> {
        self.users.get(&user).map(AsRef::as_ref)
    }

    pub(crate) fn change(&mut self, user: UserId, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.users.get_mut(&user) {
            change(Arc::make_mut(account));
        }
    }

    /// Forgets a code that has expired, and an identifier of which nothing was heard for a day.
    pub(crate) fn close_gate(&mut self, identifier: &Digest, at: Timestamp) {
        let Some(gate) = self.gates.get(identifier) else { return };
        let is_idle = gate.is_idle(at);
        if gate.challenge.as_ref().is_some_and(|challenge| challenge.expires_at <= at) {
            self.drop_challenge(identifier);
        }
        if is_idle {
            self.drop_challenge(identifier);
            self.gates.remove(identifier);
        }
    }

    fn drop_challenge(&mut self, identifier: &Digest) {
        let Some(gate) = self.gates.get_mut(identifier) else { return };
        if let Some(gone) = gate.challenge.take() {
            self.challenges.remove(&gone.challenge);
        }
    }
}

fn expired() -> Rejection {
    Rejection::new(Code::OtpExpired, "the code has expired, ask for a new one")
}

impl Market {
    pub(crate) fn create_account(&mut self, turn: &mut Turn, create: &CreateAccount) -> Answer {
        let user = match self.accounts.identifiers.get(&create.identifier) {
            Some(user) => *user,
            None => {
                self.new_account(
                    turn,
                    create.user,
                    create.identifier,
                    create.contact.clone(),
                    create.channel,
                )?;
                create.user
            }
        };
        if let Some(handle) = &create.handle {
            self.set_handle(turn, user, handle)?;
        }
        for role in &create.roles {
            self.grant_role(turn, user, *role)?;
        }
        Ok(Accepted::Done)
    }

    pub(crate) fn new_account(
        &mut self,
        turn: &Turn,
        user: UserId,
        identifier: Digest,
        contact: SealedContact,
        channel: Channel,
    ) -> Result<(), Rejection> {
        if self.accounts.users.contains_key(&user) {
            return Err(Rejection::new(Code::InvalidState, "the account id is taken"));
        }
        let account = Account {
            user,
            identifier,
            contact,
            channel,
            handle: None,
            roles: BTreeSet::new(),
            created_at: turn.at,
            sign_ins: BTreeSet::new(),
            person: Person::default(),
        };
        self.accounts.users.insert(user, Arc::new(account));
        self.accounts.identifiers.insert(identifier, user);
        Ok(())
    }

    /// Counts somebody who asks for a code or a way back; refuses who asks too often or is locked.
    pub(crate) fn pass_gate(
        &mut self,
        turn: &Turn,
        identifier: &Digest,
        origin: Option<&Digest>,
    ) -> Result<(), Rejection> {
        let (at, accounts) = (turn.at, &mut self.accounts);
        if !accounts.gates.contains_key(identifier) && accounts.gates.len() >= limits::GATES_MAX {
            return Err(Rejection::new(Code::RateLimited, "too many codes are waiting"));
        }
        accounts.require_origin(origin, at)?;
        if let Some(gate) = accounts.gates.get_mut(identifier) {
            gate.require_open(at)?;
            gate.require_rate(at)?;
            if gate.is_hasty(at) {
                let until = at.plus(limits::CODES_BLOCK);
                gate.blocked_until = Some(until);
                return Err(Rejection::new(Code::RateLimited, "too many codes were asked for")
                    .with_retry_at(until));
            }
            gate.count(at);
        } else {
            let mut gate = Gate::default();
            gate.count(at);
            accounts.gates.insert(*identifier, gate);
        }
        if let Some(origin) = origin {
            if let Some(row) = accounts.origins.get_mut(origin) {
                row.count(at);
            } else {
                accounts.origins.insert(*origin, Origin { asked: vec![at] });
            }
            self.deadlines.add(at.plus(ORIGIN_MEMORY), DueKind::Origin(*origin));
        }
        self.deadlines.add(at.plus(GATE_MEMORY), DueKind::Gate(*identifier));
        Ok(())
    }

    pub(crate) fn request_code(&mut self, turn: &mut Turn, request: &RequestCode) -> Answer {
        let is_taken = self.accounts.challenges.contains_key(&request.challenge)
            || self.accounts.recoveries.contains_key(&request.challenge);
        if is_taken {
            return Err(Rejection::new(Code::InvalidState, "the code id is taken"));
        }
        self.pass_gate(turn, &request.identifier, request.origin.as_ref())?;
        let expires_at = turn.at.plus(limits::CODE_LIFE);
        self.accounts.drop_challenge(&request.identifier);
        let challenge = Challenge {
            challenge: request.challenge,
            contact: request.contact.clone(),
            channel: request.channel,
            code: request.code,
            expires_at,
            tries_left: limits::CODE_TRIES_MAX,
        };
        if let Some(gate) = self.accounts.gates.get_mut(&request.identifier) {
            gate.challenge = Some(challenge);
        }
        self.accounts.challenges.insert(request.challenge, request.identifier);
        self.deadlines.add(expires_at, DueKind::Gate(request.identifier));
        let effect = Effect::SendCode {
            challenge: request.challenge,
            channel: request.channel,
            contact: request.contact.clone(),
        };
        self.add_effect(turn, effect, Some(expires_at));
        Ok(Accepted::Done)
    }

    pub(crate) fn verify_code(&mut self, turn: &mut Turn, verify: &VerifyCode) -> Answer {
        let gate = self.accounts.gates.get_mut(&verify.identifier).ok_or_else(expired)?;
        gate.require_open(turn.at)?;
        let challenge = gate.challenge.as_mut().ok_or_else(expired)?;
        if turn.at >= challenge.expires_at || challenge.tries_left == 0 {
            return Err(expired());
        }
        if challenge.code != verify.code {
            challenge.tries_left = challenge.tries_left.saturating_sub(1);
            return Err(self.wrong_code(turn, verify.identifier));
        }
        let (contact, channel) = (challenge.contact.clone(), challenge.channel);
        if self.accounts.sign_ins.contains_key(&verify.sign_in) {
            return Err(Rejection::new(Code::InvalidState, "the sign-in id is taken"));
        }
        let known = self.accounts.identifiers.get(&verify.identifier).copied();
        let user = known.unwrap_or(verify.new_user);
        if known.is_some() {
            self.require_active(user)?;
        } else {
            self.new_account(turn, user, verify.identifier, contact, channel)?;
        }
        self.accounts.drop_challenge(&verify.identifier);
        self.unlock_account(user);
        self.change_person(user, |person| person.is_address_proven = true);
        self.begin_sign_in(turn, user, verify.sign_in, verify.refresh);
        Ok(self.signed_in(user, verify.sign_in, known.is_none()))
    }

    /// Counts a wrong code, and tells the account when that locks it.
    fn wrong_code(&mut self, turn: &mut Turn, identifier: Digest) -> Rejection {
        let gate = self.accounts.gates.get_mut(&identifier);
        if let Some(until) = gate.and_then(|gate| gate.mistake(turn.at)) {
            self.deadlines.add(until.max(turn.at.plus(GATE_MEMORY)), DueKind::Gate(identifier));
            self.tell_locked(turn, identifier, until);
        }
        Rejection::new(Code::OtpInvalid, "the code is wrong")
    }

    fn tell_locked(&mut self, turn: &mut Turn, identifier: Digest, until: Timestamp) {
        let Some(user) = self.accounts.identifiers.get(&identifier).copied() else { return };
        let mut notice = about(user, NoticeKind::AccountLocked);
        notice.until = Some(until);
        self.notify(turn, notice);
    }

    pub(crate) fn signed_in(&self, user: UserId, sign_in: SignInId, created: bool) -> Accepted {
        let roles = self.accounts.account(user).map(Account::roles).unwrap_or_default();
        Accepted::SignedIn { user, sign_in, created, roles }
    }

    pub(crate) fn require_unlocked(&self, at: Timestamp, user: UserId) -> Result<(), Rejection> {
        let identifier = self.accounts.account(user).map(|account| account.identifier);
        let gate = identifier.and_then(|identifier| self.accounts.gates.get(&identifier));
        gate.map_or(Ok(()), |gate| gate.require_open(at))
    }

    /// Locks the ways into an account for a while.
    pub(crate) fn lock_account(&mut self, turn: &mut Turn, user: UserId, span: Millis) {
        let Some(identifier) = self.accounts.account(user).map(|account| account.identifier) else {
            return;
        };
        let until = turn.at.plus(span);
        if !self.accounts.gates.contains_key(&identifier) {
            self.accounts.gates.insert(identifier, Gate::default());
        }
        if let Some(gate) = self.accounts.gates.get_mut(&identifier) {
            gate.used_at = turn.at;
            gate.locked_until = gate.locked_until.max(Some(until));
        }
        self.accounts.drop_challenge(&identifier);
        self.deadlines.add(until.max(turn.at.plus(GATE_MEMORY)), DueKind::Gate(identifier));
        self.tell_locked(turn, identifier, until);
    }

    pub(crate) fn unlock_account(&mut self, user: UserId) {
        let identifier = self.accounts.account(user).map(|account| account.identifier);
        let gate = identifier.and_then(|identifier| self.accounts.gates.get_mut(&identifier));
        if let Some(gate) = gate {
            gate.mistakes = 0;
            gate.locked_until = None;
        }
    }

    pub(crate) fn begin_sign_in(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        id: SignInId,
        refresh: Digest,
    ) {
        self.limit_sign_ins(turn, user);
        let expires_at = SignIn::life(turn.at, turn.at);
        let sign_in = SignIn {
            sign_in: id,
            user,
            refresh,
            previous: None,
            consumed: Vec::new(),
            device: None,
            created_at: turn.at,
            expires_at,
        };
        self.accounts.sign_ins.insert(id, sign_in);
        self.accounts.change(user, |account| {
            account.sign_ins.insert(id);
        });
        self.deadlines.add(expires_at, DueKind::SignIn(id));
    }

    /// Makes room for one more sign-in by ending the one that was unused the longest.
    fn limit_sign_ins(&mut self, turn: &mut Turn, user: UserId) {
        let Some(account) = self.accounts.account(user) else { return };
        if account.sign_ins.len() < limits::SIGN_INS_PER_USER_MAX {
            return;
        }
        let oldest = account
            .sign_ins
            .iter()
            .filter_map(|id| self.accounts.sign_ins.get(id))
            .min_by_key(|sign_in| (sign_in.expires_at, sign_in.sign_in))
            .map(|sign_in| sign_in.sign_in);
        if let Some(oldest) = oldest {
            self.revoke_sign_in(turn, oldest);
        }
    }

    pub(crate) fn revoke_sign_in(&mut self, turn: &mut Turn, id: SignInId) {
        let Some(expires_at) = self.accounts.sign_ins.get(&id).map(|sign_in| sign_in.expires_at)
        else {
            return;
        };
        self.deadlines.remove(expires_at, DueKind::SignIn(id));
        self.forget_sign_in(id);
        turn.events.push(PublicEvent::SignInRevoked { sign_in: id });
    }

    fn forget_sign_in(&mut self, id: SignInId) {
        let Some(gone) = self.accounts.sign_ins.remove(&id) else { return };
        self.accounts.change(gone.user, |account| {
            account.sign_ins.remove(&id);
        });
        self.inbox.end_sign_in(gone.user, id);
        self.signing.end_sign_in(gone.user, id);
    }

    /// A sign-in ended by time; its access tokens are older than their own life by then.
    pub(crate) fn end_sign_in(&mut self, id: SignInId, due: Timestamp) {
        if self.accounts.sign_ins.get(&id).is_some_and(|sign_in| sign_in.expires_at == due) {
            self.forget_sign_in(id);
        }
    }

    pub(crate) fn refresh_sign_in(&mut self, turn: &mut Turn, refresh: &RefreshSignIn) -> Answer {
        let revoked = || Rejection::new(Code::SessionRevoked, "the sign-in was ended");
        let sign_in = self.accounts.sign_ins.get_mut(&refresh.sign_in).ok_or_else(revoked)?;
        let user = sign_in.user;
        let is_current = sign_in.refresh == refresh.presented;
        let is_previous = sign_in.previous.is_some_and(|(token, rotated_at)| {
            token == refresh.presented && turn.at.since(rotated_at) <= limits::REFRESH_REUSE_GRACE
        });
        if !is_current && !is_previous {
            if !sign_in.consumed.contains(&refresh.presented) {
                return Err(Rejection::new(Code::TokenExpired, "the refresh token is not valid"));
            }
            self.end_sign_ins(turn, user);
            self.notify(turn, about(user, NoticeKind::SignInsRevoked));
            self.lock_account(turn, user, limits::THEFT_LOCK);
            return Err(Rejection::new(Code::TokenReused, "the refresh token was used before"));
        }
        let consumed = std::mem::replace(&mut sign_in.refresh, refresh.next);
        sign_in.previous = is_current.then_some((consumed, turn.at));
        sign_in.consumed.push(consumed);
        let surplus = sign_in.consumed.len().saturating_sub(CONSUMED_MAX);
        sign_in.consumed.drain(..surplus);
        let before = sign_in.expires_at;
        sign_in.expires_at = SignIn::life(sign_in.created_at, turn.at);
        let after = sign_in.expires_at;
        self.deadlines.remove(before, DueKind::SignIn(refresh.sign_in));
        self.deadlines.add(after, DueKind::SignIn(refresh.sign_in));
        Ok(self.signed_in(user, refresh.sign_in, false))
    }

    /// Ends every sign-in of an account.
    pub(crate) fn end_sign_ins(&mut self, turn: &mut Turn, user: UserId) {
        let all = self.accounts.account(user).map(|account| account.sign_ins.clone());
        for sign_in in all.unwrap_or_default() {
            self.revoke_sign_in(turn, sign_in);
        }
    }

    pub(crate) fn sign_out(&mut self, turn: &mut Turn, user: UserId, id: SignInId) -> Answer {
        if self.accounts.sign_ins.get(&id).is_some_and(|sign_in| sign_in.user == user) {
            self.revoke_sign_in(turn, id);
        }
        Ok(Accepted::Done)
    }

    pub(crate) fn set_handle(&mut self, turn: &mut Turn, user: UserId, handle: &Handle) -> Answer {
        let folded = handle.as_str().to_ascii_lowercase();
        if self.accounts.handles.get(&folded).is_some_and(|owner| *owner != user) {
            return Err(Rejection::new(Code::HandleTaken, "the handle is taken"));
        }
        let Some(account) = self.accounts.account(user) else {
            return Err(Rejection::new(Code::NotFound, "no such account"));
        };
        let before = account.handle.as_ref().map(|old| old.as_str().to_ascii_lowercase());
        let is_maker = account.has_role(Role::Maker);
        if let Some(before) = before {
            self.accounts.handles.remove(&before);
        }
        self.accounts.handles.insert(folded, user);
        self.accounts.change(user, |account| account.handle = Some(handle.clone()));
        if is_maker {
            turn.events.push(PublicEvent::HandleSet { user, handle: handle.clone() });
        }
        Ok(Accepted::Done)
    }

    pub(crate) fn grant_role(&mut self, turn: &mut Turn, user: UserId, role: Role) -> Answer {
        let Some(account) = self.accounts.account(user) else {
            return Err(Rejection::new(Code::NotFound, "no such account"));
        };
        if account.has_role(role) {
            return Ok(Accepted::Done);
        }
        let handle = account.handle.clone();
        self.accounts.change(user, |account| {
            account.roles.insert(role);
        });
        if role == Role::Maker {
            self.give_capabilities(turn, user);
        }
        if let (Role::Maker, Some(handle)) = (role, handle) {
            turn.events.push(PublicEvent::HandleSet { user, handle });
        }
        Ok(Accepted::Done)
    }
}
