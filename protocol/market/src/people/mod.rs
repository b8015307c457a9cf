//! People: standing, capabilities, devices, ways to sign in, and everything that one account owns.
//!
//! ```text
//!  standing    active <-> suspended, active -> closed -30 d-> erased     strikes.rs, erasure.rs
//!  capability  none -> requested -> in review -> approved <-> review     capability.rs
//!                            \-> blocked <-/                required
//!  sign-in     account.rs (codes), gate.rs (limits), social.rs, recovery.rs, device.rs
//!  own things  profile.rs, consent.rs                       staff: admin.rs, invitation.rs
//! ```
//! Personal texts are here only sealed under the account's own key, which is in the account's contact
//! and goes with it. It must not know what is inside. Read next: `permission.rs` for who may.

mod admin;
mod capability;
mod consent;
mod device;
mod erasure;
pub(crate) mod gate;
mod invitation;
mod profile;
mod recovery;
mod rows;
mod social;
mod strikes;

use std::collections::{BTreeMap, BTreeSet};

use fairground_types::command::{PeopleCommand, StrikePolicy};
use fairground_types::limits;
use fairground_types::people::{ConsentPurpose, Identity};
use fairground_types::{
    Accepted, AddressId, Capability, ChallengeId, Code, DataRequestId, DeviceId, Rejection,
    SignInId, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::permission::Subject;

pub use capability::CapabilityState;
pub(crate) use consent::Consent;
pub use device::Device;
pub use erasure::{DataRequest, DataRequestState};
pub(crate) use invitation::{Invitation, InvitationState};
pub(crate) use profile::{Address, Privacy, Profile};
pub(crate) use recovery::Recovery;
pub use rows::{
    AccountList, AccountRow, AddressList, AddressRow, CapabilityList, CapabilityRow, ConsentList,
    ConsentRow, DataRequestRow, DeviceKeyRow, DeviceList, DeviceRow, FollowList, IdentityList,
    InvitationList, InvitationRow, PrivacyRow, ProfileRow, PublicProfileRow, SignInList, SignInRow,
    StrikeRow, TaskRow,
};
pub use strikes::{AccountStanding, Strike};

/// What an account is besides its address and its duties.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Person {
    pub(crate) standing: AccountStanding,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) publishing_paused_until: Option<Timestamp>,
    pub(crate) bidding_paused_until: Option<Timestamp>,
    pub(crate) capabilities: BTreeMap<Capability, CapabilityState>,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    /// Ways to sign in besides the address.
    pub(crate) identities: BTreeSet<Identity>,
    /// Whether somebody has signed in by a code to the address.
    pub(crate) is_address_proven: bool,
    pub(crate) profile: Profile,
    pub(crate) privacy: Privacy,
    pub(crate) consents: BTreeMap<ConsentPurpose, Consent>,
    pub(crate) addresses: BTreeMap<AddressId, Address>,
    pub(crate) blocks: BTreeSet<UserId>,
    pub(crate) follows: BTreeSet<UserId>,
    /// When invitation codes were tried.
    pub(crate) claims: Vec<Timestamp>,
    pub(crate) recovery: Option<ChallengeId>,
    pub(crate) requests: Vec<DataRequestId>,
}

pub(crate) fn not_found() -> Rejection {
    Rejection::new(Code::NotFound, "there is no such thing")
}

impl Market {
    pub(crate) fn run_people(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &PeopleCommand,
    ) -> Answer {
        match command {
            PeopleCommand::SignInSocial(sign_in) => self.sign_in_social(turn, sign_in),
            PeopleCommand::RequestRecovery(request) => self.request_recovery(turn, request),
            PeopleCommand::RedeemRecovery(redeem) => self.redeem_recovery(turn, redeem),
            PeopleCommand::DenyRecovery { recovery, secret } => {
                self.deny_recovery(turn, *recovery, *secret)
            }
            PeopleCommand::CompleteTask(complete) => self.complete_task(turn, complete),
            PeopleCommand::Staff(command) => self.run_staff(turn, subject, command),
            PeopleCommand::LinkIdentity { identity, identifier } => {
                self.link_identity(turn, subject.user()?, *identity, *identifier)
            }
            PeopleCommand::UnlinkIdentity { provider } => {
                self.unlink_identity(turn, subject.user()?, *provider)
            }
            PeopleCommand::SignOutEverywhere => {
                self.end_sign_ins(turn, subject.user()?);
                Ok(Accepted::Done)
            }
            PeopleCommand::RegisterDevice(register) => {
                self.register_device(turn, subject.user()?, register)
            }
            PeopleCommand::RevokeDevice { device } => {
                self.revoke_device(turn, subject.user()?, *device)
            }
            PeopleCommand::RequestCapability { capability, task } => {
                self.request_capability(turn, subject.user()?, *capability, *task)
            }
            PeopleCommand::ClaimInvitation { code } => {
                self.claim_invitation(turn, subject.user()?, *code)
            }
            PeopleCommand::SetProfile(set) => self.set_profile(subject.user()?, set),
            PeopleCommand::SetAvatar { image } => self.set_avatar(subject.user()?, *image),
            PeopleCommand::SetPrivacy { settings, base_version } => {
                self.set_privacy(subject.user()?, *settings, *base_version)
            }
            PeopleCommand::SetConsent { purpose, granted, policy_version } => {
                let said = (*granted, *policy_version);
                self.set_consent(turn, subject.user()?, *purpose, said)
            }
            PeopleCommand::SaveAddress(save) => self.save_address(subject.user()?, save),
            PeopleCommand::RemoveAddress { address } => {
                self.remove_address(subject.user()?, *address)
            }
            PeopleCommand::SetBlock { user, on } => self.set_block(subject.user()?, *user, *on),
            PeopleCommand::SetFollow { user, on } => self.set_follow(subject.user()?, *user, *on),
            PeopleCommand::RequestExport { request, sign_in } => {
                self.request_export(turn, subject.user()?, *request, *sign_in)
            }
            PeopleCommand::RequestDeletion { request, sign_in, waits } => {
                self.request_deletion(turn, subject.user()?, (*request, *sign_in), *waits)
            }
            PeopleCommand::RegisterDeviceKey(register) => {
                self.register_device_key(turn, subject.user()?, register)
            }
            PeopleCommand::RemoveDeviceKey { device, sign_in } => {
                self.remove_device_key(turn, subject.user()?, (*device, *sign_in))
            }
        }
    }

    pub(crate) fn person(&self, user: UserId) -> Result<&Person, Rejection> {
        self.accounts.account(user).map(|account| &account.person).ok_or_else(not_found)
    }

    pub(crate) fn change_person(&mut self, user: UserId, change: impl FnOnce(&mut Person)) {
        self.accounts.change(user, |account| change(&mut account.person));
    }

    pub(crate) const fn strike_policy(&self) -> StrikePolicy {
        self.cluster.policy.strikes
    }

    /// Whether a sign-in of this account is fresh enough for what needs that.
    pub(crate) fn require_fresh(
        &self,
        turn: &Turn,
        user: UserId,
        sign_in: SignInId,
    ) -> Result<(), Rejection> {
        let fresh = self.accounts.sign_ins.get(&sign_in).is_some_and(|row| {
            row.user == user && turn.at.since(row.created_at) <= limits::STEP_UP_AGE_MAX
        });
        if fresh {
            return Ok(());
        }
        Err(Rejection::new(Code::StepUpRequired, "sign in anew, then try again within ten minutes"))
    }

    /// Whether an account stands so that its owner may act at all.
    pub(crate) fn require_active(&self, user: UserId) -> Result<(), Rejection> {
        match self.person(user)?.standing {
            AccountStanding::Active => Ok(()),
            AccountStanding::Suspended { .. } => {
                Err(Rejection::new(Code::AccountLocked, "the account is suspended"))
            }
            AccountStanding::Closed { .. } | AccountStanding::Erased { .. } => {
                Err(Rejection::new(Code::AccountLocked, "the account is closed"))
            }
        }
    }

    /// Whether an account may offer, bid and be asked to buy.
    ///
    /// # Errors
    /// `ACCOUNT_LOCKED` when it is suspended or closed, `NOT_ELIGIBLE` for staff, while strikes pause
    /// bidding, or without consent to the terms and being of age.
    pub fn may_trade(&self, user: UserId) -> Result<(), Rejection> {
        let Some(account) = self.accounts.account(user) else {
            return Err(Rejection::new(Code::NotEligible, "there is no such account"));
        };
        self.require_active(user)?;
        let refused = |detail| Err(Rejection::new(Code::NotEligible, detail));
        if account.roles.iter().any(|role| role.is_staff()) {
            return refused("the market's own people do not trade");
        }
        if let Some(until) = account.person.bidding_paused_until.filter(|until| *until > self.at) {
            let detail = "won pieces were not paid: bidding is paused";
            return Err(Rejection::new(Code::NotEligible, detail).with_retry_at(until));
        }
        let terms = self.cluster.policy.terms_version;
        let agreed = [ConsentPurpose::Terms, ConsentPurpose::Adult]
            .iter()
            .all(|purpose| account.person.agrees(*purpose, terms, self.at));
        if terms > 0 && !agreed {
            return refused("trading needs consent to the terms and being 18 or older");
        }
        Ok(())
    }

    /// Whether `owner` has blocked `other`.
    #[must_use]
    pub fn blocks(&self, owner: UserId, other: UserId) -> bool {
        self.person(owner).is_ok_and(|person| person.blocks.contains(&other))
    }

    /// Whether a user follows another.
    #[must_use]
    pub fn follows(&self, user: UserId, other: UserId) -> bool {
        self.person(user).is_ok_and(|person| person.follows.contains(&other))
    }
}
