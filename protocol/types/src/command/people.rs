//! Commands about people: devices, ways to sign in, capabilities, invitations, profiles, consents,
//! addresses, data requests, and what admins do about accounts.
//!
//! Personal texts come sealed under the account's own key. Read next: `fairground-market`'s `people`.

use super::{RegisterDeviceKey, SealedContact, SealedText};
use crate::id::{
    AddressId, BlobHash, ChallengeId, DataRequestId, DeviceId, Digest, InvitationId, SignInId,
    StrikeId, TaskId, UserId,
};
use crate::people::{
    Blocker, Capability, ConsentPurpose, DevicePlatform, DeviceSignals, Identity, IdentityProvider,
    PrivacySettings,
};
use crate::role::Role;
use crate::text::{AddressLine, DisplayName, Locale, Note, ZoneName};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about people.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum PeopleCommand {
    /// Signs in by a provider's word.
    SignInSocial(SignInSocial),
    /// Adds a way to sign in.
    LinkIdentity {
        /// The way.
        identity: Identity,
        /// Address that the provider vouched for, which must be the account's.
        identifier: Digest,
    },
    /// Takes a way to sign in away.
    UnlinkIdentity {
        /// Whose word counts no more.
        provider: IdentityProvider,
    },
    /// Asks for a way back into an account.
    RequestRecovery(RequestRecovery),
    /// Takes that way.
    RedeemRecovery(RedeemRecovery),
    /// Says that somebody else asked.
    DenyRecovery {
        /// Which request.
        recovery: ChallengeId,
        /// Hash of the secret that was sent.
        secret: Digest,
    },
    /// Ends every sign-in of the account.
    SignOutEverywhere,
    /// Names the device of a sign-in.
    RegisterDevice(RegisterDevice),
    /// Ends a device and its sign-ins.
    RevokeDevice {
        /// Which.
        device: DeviceId,
    },
    /// Asks for a capability.
    RequestCapability {
        /// Which.
        capability: Capability,
        /// Id of the check, should one be needed.
        task: TaskId,
    },
    /// A verified answer of a provider that checks people.
    CompleteTask(CompleteTask),
    /// Takes an invitation.
    ClaimInvitation {
        /// Hash of the code.
        code: Digest,
    },
    /// Sets the profile, whole.
    SetProfile(SetProfile),
    /// Sets or takes away the picture.
    SetAvatar {
        /// The picture's bytes, which an edge drew.
        image: Option<BlobHash>,
    },
    /// Sets what others may see.
    SetPrivacy {
        /// The settings, whole.
        settings: PrivacySettings,
        /// The version that the author saw, 0 for never set.
        base_version: u64,
    },
    /// Gives or takes back a consent.
    SetConsent {
        /// What for.
        purpose: ConsentPurpose,
        /// Whether it is given.
        granted: bool,
        /// Version of the text that was shown.
        policy_version: u32,
    },
    /// Adds or changes an address.
    SaveAddress(SaveAddress),
    /// Removes an address.
    RemoveAddress {
        /// Which.
        address: AddressId,
    },
    /// Blocks somebody, or no longer.
    SetBlock {
        /// Whom.
        user: UserId,
        /// Whether they are blocked from now on.
        on: bool,
    },
    /// Follows a maker, or no longer.
    SetFollow {
        /// Whom.
        user: UserId,
        /// Whether they are followed from now on.
        on: bool,
    },
    /// Asks for a copy of everything about the account.
    RequestExport {
        /// Names the request.
        request: DataRequestId,
        /// The sign-in that asks; it must be fresh.
        sign_in: SignInId,
    },
    /// Asks that the account goes.
    RequestDeletion {
        /// Names the request.
        request: DataRequestId,
        /// The sign-in that asks; it must be fresh.
        sign_in: SignInId,
        /// Whether the request waits for what is still open, instead of being refused.
        waits: bool,
    },
    /// What staff do about somebody.
    Staff(StaffCommand),
    /// Gives the device of a sign-in its key; since rules 3.
    RegisterDeviceKey(RegisterDeviceKey),
    /// Takes the key of a device away; since rules 3.
    RemoveDeviceKey {
        /// Whose key.
        device: DeviceId,
        /// The sign-in that asks; it must be fresh.
        sign_in: SignInId,
    },
}

/// What staff do about accounts, each with its reason.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum StaffCommand {
    /// An admin decides about a capability.
    DecideCapability {
        /// Whose.
        user: UserId,
        /// Which.
        capability: Capability,
        /// How.
        decision: CapabilityDecision,
        /// Why.
        reason: Note,
    },
    /// Invites somebody.
    Invite(Invite),
    /// Takes an invitation back.
    RevokeInvitation {
        /// Which.
        invitation: InvitationId,
        /// Why.
        reason: Note,
    },
    /// Suspends an account.
    Suspend {
        /// Whose.
        user: UserId,
        /// Why.
        reason: Note,
    },
    /// Takes a suspension back.
    Reinstate {
        /// Whose.
        user: UserId,
        /// Why.
        reason: Note,
    },
    /// Ends every sign-in of somebody.
    ForceSignOut {
        /// Whose.
        user: UserId,
        /// Why.
        reason: Note,
    },
    /// Gives a duty.
    GrantDuty {
        /// To whom.
        user: UserId,
        /// Which.
        role: Role,
        /// Why.
        reason: Note,
    },
    /// Takes a duty.
    RevokeDuty {
        /// From whom.
        user: UserId,
        /// Which.
        role: Role,
        /// Why.
        reason: Note,
    },
    /// Notes a strike for broken rules.
    Strike {
        /// Whose.
        user: UserId,
        /// Why.
        reason: Note,
    },
    /// Takes a strike back, after an appeal.
    LiftStrike {
        /// Whose.
        user: UserId,
        /// Which.
        strike: StrikeId,
        /// Why.
        reason: Note,
    },
}

/// See [`PeopleCommand::SignInSocial`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SignInSocial {
    /// Who, by the provider's word.
    pub identity: Identity,
    /// Keyed hash of the address that the provider vouches for.
    pub identifier: Digest,
    /// The address, sealed.
    pub contact: SealedContact,
    /// Id that the account gets when it is new.
    pub new_user: UserId,
    /// Id of the sign-in.
    pub sign_in: SignInId,
    /// Hash of the refresh token.
    pub refresh: Digest,
}

/// See [`PeopleCommand::RequestRecovery`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RequestRecovery {
    /// Names the request.
    pub recovery: ChallengeId,
    /// Keyed hash of the normalised address.
    pub identifier: Digest,
    /// Hash of the secret; the secret itself stays in the leader's memory.
    pub secret: Digest,
    /// Keyed hash of the client's network address.
    pub origin: Option<Digest>,
}

/// See [`PeopleCommand::RedeemRecovery`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RedeemRecovery {
    /// Which request.
    pub recovery: ChallengeId,
    /// Hash of the secret that was shown.
    pub secret: Digest,
    /// Id of the sign-in.
    pub sign_in: SignInId,
    /// Hash of the refresh token.
    pub refresh: Digest,
}

/// See [`PeopleCommand::RegisterDevice`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RegisterDevice {
    /// The device, derived from what the app calls itself on it.
    pub device: DeviceId,
    /// The sign-in on it.
    pub sign_in: SignInId,
    /// What it runs.
    pub platform: DevicePlatform,
    /// What it says about itself.
    pub signals: DeviceSignals,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum TaskOutcome {
    /// The provider looks at it.
    Pending,
    /// Passed.
    Passed,
    /// Not passed.
    Failed {
        /// Why.
        blockers: Vec<Blocker>,
    },
}

/// See [`PeopleCommand::CompleteTask`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CompleteTask {
    /// Which check.
    pub task: TaskId,
    /// How it ended.
    pub outcome: TaskOutcome,
}

/// What becomes of a capability.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum CapabilityDecision {
    /// It is given.
    Approve,
    /// It is refused or taken.
    Block {
        /// Why.
        blockers: Vec<Blocker>,
    },
    /// It rests until it was looked at again.
    Review {
        /// Why.
        blockers: Vec<Blocker>,
    },
}

/// See [`StaffCommand::Invite`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Invite {
    /// Names the invitation.
    pub invitation: InvitationId,
    /// Hash of the code.
    pub code: Digest,
    /// Keyed hash of the address that may take it.
    pub recipient: Digest,
    /// Duties that it gives.
    pub roles: Vec<Role>,
    /// How long it counts.
    pub life: Millis,
    /// Why.
    pub reason: Note,
}

/// See [`PeopleCommand::SetProfile`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SetProfile {
    /// The version that the author saw, 0 for never set.
    pub base_version: u64,
    /// The profile ([`ProfileText`]), a JSON document.
    pub sealed: SealedText,
}

/// What somebody says about themselves; sealed before it enters the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProfileText {
    /// What they want to be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<DisplayName>,
    /// A few words for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Note>,
    /// Where they are, for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<AddressLine>,
    /// Their language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
    /// Their time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<ZoneName>,
}

/// See [`PeopleCommand::SaveAddress`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SaveAddress {
    /// Which; a new one is added.
    pub address: AddressId,
    /// Whether it must be there already.
    pub is_change: bool,
    /// The address ([`super::PostalAddress`]), a JSON document.
    pub sealed: SealedText,
    /// Whether it is the one that is taken when none is named.
    pub is_default: bool,
}
