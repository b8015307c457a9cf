//! Every command about people.

use fairground_types::command::{
    CapabilityDecision, Command, CompleteTask, Invite, PeopleCommand, RedeemRecovery,
    RegisterDevice, RegisterDeviceKey, RequestRecovery, SaveAddress, SetProfile, SignInSocial,
    StaffCommand, TaskOutcome,
};
use fairground_types::people::{
    Blocker, ConsentPurpose, DevicePlatform, DeviceSignals, Identity, IdentityProvider,
    PrivacySettings,
};
use fairground_types::role::Role;
use fairground_types::text::{BlockerCode, Note};
use fairground_types::time::Millis;
use fairground_types::{
    AddressId, Capability, DataRequestId, DeviceId, DevicePublicKey, InvitationId, StrikeId, TaskId,
};

use crate::commands::sealed_text;
use crate::{BLOB, CHALLENGE, DIGEST, SIGN_IN, USER, contact};

pub(crate) const TASK: TaskId = TaskId::from_bits(31);
const DEVICE: DeviceId = DeviceId::from_bits(32);
const INVITATION: InvitationId = InvitationId::from_bits(33);
const ADDRESS: AddressId = AddressId::from_bits(34);
pub(crate) const REQUEST: DataRequestId = DataRequestId::from_bits(35);
const STRIKE: StrikeId = StrikeId::from_bits(36);

pub(crate) const COMMANDS: usize = 34;

pub(crate) fn name(command: &PeopleCommand) -> &'static str {
    match command {
        PeopleCommand::SignInSocial(_) => "sign_in_social",
        PeopleCommand::LinkIdentity { .. } => "link_identity",
        PeopleCommand::UnlinkIdentity { .. } => "unlink_identity",
        PeopleCommand::RequestRecovery(_) => "request_recovery",
        PeopleCommand::RedeemRecovery(_) => "redeem_recovery",
        PeopleCommand::DenyRecovery { .. } => "deny_recovery",
        PeopleCommand::SignOutEverywhere => "sign_out_everywhere",
        PeopleCommand::RegisterDevice(_) => "register_device",
        PeopleCommand::RevokeDevice { .. } => "revoke_device",
        PeopleCommand::RequestCapability { .. } => "request_capability",
        PeopleCommand::CompleteTask(_) => "complete_task",
        PeopleCommand::ClaimInvitation { .. } => "claim_invitation",
        PeopleCommand::SetProfile(_) => "set_profile",
        PeopleCommand::SetAvatar { .. } => "set_avatar",
        PeopleCommand::SetPrivacy { .. } => "set_privacy",
        PeopleCommand::SetConsent { .. } => "set_consent",
        PeopleCommand::SaveAddress(_) => "save_address",
        PeopleCommand::RemoveAddress { .. } => "remove_address",
        PeopleCommand::SetBlock { .. } => "set_block",
        PeopleCommand::SetFollow { .. } => "set_follow",
        PeopleCommand::RequestExport { .. } => "request_export",
        PeopleCommand::RequestDeletion { .. } => "request_deletion",
        PeopleCommand::Staff(command) => staff_name(command),
        PeopleCommand::RegisterDeviceKey(_) => "register_device_key",
        PeopleCommand::RemoveDeviceKey { .. } => "remove_device_key",
    }
}

fn staff_name(command: &StaffCommand) -> &'static str {
    match command {
        StaffCommand::DecideCapability { .. } => "decide_capability",
        StaffCommand::Invite(_) => "invite",
        StaffCommand::RevokeInvitation { .. } => "revoke_invitation",
        StaffCommand::Suspend { .. } => "suspend",
        StaffCommand::Reinstate { .. } => "reinstate",
        StaffCommand::ForceSignOut { .. } => "force_sign_out",
        StaffCommand::GrantDuty { .. } => "grant_duty",
        StaffCommand::RevokeDuty { .. } => "revoke_duty",
        StaffCommand::Strike { .. } => "strike",
        StaffCommand::LiftStrike { .. } => "lift_strike",
    }
}

fn reason() -> Note {
    Note::parse("Asked for by mail.").expect("valid")
}

fn blockers() -> Vec<Blocker> {
    let code = BlockerCode::parse("id-expired").expect("valid");
    vec![Blocker { code, text: Note::parse("The document has expired.").expect("valid") }]
}

fn identity() -> Identity {
    Identity { provider: IdentityProvider::Google, subject: DIGEST }
}

fn ways_in() -> Vec<PeopleCommand> {
    vec![
        PeopleCommand::SignInSocial(SignInSocial {
            identity: identity(),
            identifier: DIGEST,
            contact: contact(),
            new_user: USER,
            sign_in: SIGN_IN,
            refresh: DIGEST,
        }),
        PeopleCommand::LinkIdentity { identity: identity(), identifier: DIGEST },
        PeopleCommand::UnlinkIdentity { provider: IdentityProvider::Apple },
        PeopleCommand::RequestRecovery(RequestRecovery {
            recovery: CHALLENGE,
            identifier: DIGEST,
            secret: DIGEST,
            origin: Some(DIGEST),
        }),
        PeopleCommand::RedeemRecovery(RedeemRecovery {
            recovery: CHALLENGE,
            secret: DIGEST,
            sign_in: SIGN_IN,
            refresh: DIGEST,
        }),
        PeopleCommand::DenyRecovery { recovery: CHALLENGE, secret: DIGEST },
        PeopleCommand::SignOutEverywhere,
        PeopleCommand::RegisterDevice(RegisterDevice {
            device: DEVICE,
            sign_in: SIGN_IN,
            platform: DevicePlatform::Android,
            signals: DeviceSignals { rooted: true, ..DeviceSignals::default() },
        }),
        PeopleCommand::RevokeDevice { device: DEVICE },
        PeopleCommand::RegisterDeviceKey(RegisterDeviceKey {
            device: DEVICE,
            sign_in: SIGN_IN,
            key: DevicePublicKey::Ed25519([0x44; 32]),
        }),
        PeopleCommand::RemoveDeviceKey { device: DEVICE, sign_in: SIGN_IN },
        PeopleCommand::RequestCapability { capability: Capability::Publish, task: TASK },
        PeopleCommand::CompleteTask(CompleteTask {
            task: TASK,
            outcome: TaskOutcome::Failed { blockers: blockers() },
        }),
        PeopleCommand::ClaimInvitation { code: DIGEST },
    ]
}

fn own() -> Vec<PeopleCommand> {
    vec![
        PeopleCommand::SetProfile(SetProfile { base_version: 3, sealed: sealed_text() }),
        PeopleCommand::SetAvatar { image: Some(BLOB) },
        PeopleCommand::SetPrivacy { settings: PrivacySettings::default(), base_version: 1 },
        PeopleCommand::SetConsent {
            purpose: ConsentPurpose::Adult,
            granted: true,
            policy_version: 2,
        },
        PeopleCommand::SaveAddress(SaveAddress {
            address: ADDRESS,
            is_change: true,
            sealed: sealed_text(),
            is_default: true,
        }),
        PeopleCommand::RemoveAddress { address: ADDRESS },
        PeopleCommand::SetBlock { user: USER, on: true },
        PeopleCommand::SetFollow { user: USER, on: false },
        PeopleCommand::RequestExport { request: REQUEST, sign_in: SIGN_IN },
        PeopleCommand::RequestDeletion { request: REQUEST, sign_in: SIGN_IN, waits: true },
    ]
}

fn staff() -> Vec<StaffCommand> {
    vec![
        StaffCommand::DecideCapability {
            user: USER,
            capability: Capability::FulfillOrders,
            decision: CapabilityDecision::Review { blockers: blockers() },
            reason: reason(),
        },
        StaffCommand::Invite(Invite {
            invitation: INVITATION,
            code: DIGEST,
            recipient: DIGEST,
            roles: vec![Role::Maker],
            life: Millis::from_hours(24),
            reason: reason(),
        }),
        StaffCommand::RevokeInvitation { invitation: INVITATION, reason: reason() },
        StaffCommand::Suspend { user: USER, reason: reason() },
        StaffCommand::Reinstate { user: USER, reason: reason() },
        StaffCommand::ForceSignOut { user: USER, reason: reason() },
        StaffCommand::GrantDuty { user: USER, role: Role::Support, reason: reason() },
        StaffCommand::RevokeDuty { user: USER, role: Role::Maker, reason: reason() },
        StaffCommand::Strike { user: USER, reason: reason() },
        StaffCommand::LiftStrike { user: USER, strike: STRIKE, reason: reason() },
    ]
}

pub(crate) fn commands() -> Vec<Command> {
    let staff = staff().into_iter().map(PeopleCommand::Staff);
    ways_in().into_iter().chain(own()).chain(staff).map(Command::People).collect()
}
