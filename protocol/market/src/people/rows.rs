//! Rows about people, for their owners and for staff. What is sealed is opened by the member that
//! answers, and shown to nobody else.

use fairground_types::command::{PostalAddress, ProfileText, SealedText};
use fairground_types::people::{
    Blocker, ConsentPurpose, DataRequestKind, DevicePlatform, IdentityProvider, PrivacySettings,
};
use fairground_types::text::{AddressLine, DisplayName, Handle, Note};
use fairground_types::{
    AddressId, BlobHash, Capability, DataRequestId, DeviceId, DeviceKeyId, Digest, InvitationId,
    KeyAlgorithm, Role, SignInId, StrikeId, StrikeKind, TaskId, Timestamp, UserId,
};
use serde::Serialize;

use super::{AccountStanding, DataRequest, DataRequestState, InvitationState};
use crate::Market;

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident { $($(#[$member:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct $name {
            $($(#[$member])* pub $field: $kind,)*
        }
    )*};
}

rows! {
    /// A sign-in, for its owner.
    SignInRow {
        /// Its id.
        sign_in_id: SignInId,
        /// The device that it is on, once that is registered.
        #[serde(skip_serializing_if = "Option::is_none")]
        device_id: Option<DeviceId>,
        /// When it began.
        created_at: Timestamp,
        /// When it ends without further use.
        expires_at: Timestamp,
        /// Whether it is the one that asks.
        is_current: bool,
    }
    /// Sign-ins of an account.
    SignInList {
        /// The sign-ins.
        sessions: Vec<SignInRow>,
    }
    /// A device, for its owner.
    DeviceRow {
        /// Its id.
        device_id: DeviceId,
        /// What it runs.
        platform: DevicePlatform,
        /// How much it is trusted, in hundredths of a percent.
        trust: u16,
        /// Whether push messages go to it.
        takes_push: bool,
        /// The key that it signs bids with, while its sign-in lasts.
        #[serde(skip_serializing_if = "Option::is_none")]
        signing_key: Option<DeviceKeyRow>,
        /// When it was registered.
        registered_at: Timestamp,
        /// When it was last heard of.
        seen_at: Timestamp,
        /// When it was revoked.
        #[serde(skip_serializing_if = "Option::is_none")]
        revoked_at: Option<Timestamp>,
    }
    /// The key that a device signs bids with.
    DeviceKeyRow {
        /// Names it in signatures.
        key_id: DeviceKeyId,
        /// By what it signs.
        algorithm: KeyAlgorithm,
        /// When it was registered.
        registered_at: Timestamp,
    }
    /// Devices of an account.
    DeviceList {
        /// The devices.
        devices: Vec<DeviceRow>,
    }
    /// Where a capability stands.
    CapabilityRow {
        /// Which.
        capability: Capability,
        /// `inactive`, `requested`, `inReview`, `approved`, `reviewRequired` or `blocked`.
        state: &'static str,
        /// Since when.
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
        /// The check that it waits for.
        #[serde(skip_serializing_if = "Option::is_none")]
        task_id: Option<TaskId>,
        /// What stands in the way.
        blockers: Vec<Blocker>,
    }
    /// Every capability of an account.
    CapabilityList {
        /// The capabilities.
        capabilities: Vec<CapabilityRow>,
        /// Until when strikes pause publishing.
        #[serde(skip_serializing_if = "Option::is_none")]
        publishing_paused_until: Option<Timestamp>,
        /// Until when strikes pause bidding.
        #[serde(skip_serializing_if = "Option::is_none")]
        bidding_paused_until: Option<Timestamp>,
    }
    /// A check of a person by a provider.
    TaskRow {
        /// Its id.
        task_id: TaskId,
        /// Which capability waits for it.
        capability: Capability,
        /// `requested`, `inReview` or `done`.
        state: &'static str,
    }
    /// What somebody last said about a purpose.
    ConsentRow {
        /// What for.
        purpose: ConsentPurpose,
        /// Whether it is given.
        granted: bool,
        /// Version of the text that was shown.
        policy_version: u32,
        /// When.
        #[serde(skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
        /// Whether it must be asked for again.
        ask_again: bool,
    }
    /// Every consent of an account.
    ConsentList {
        /// The consents.
        consents: Vec<ConsentRow>,
        /// Version of the market's terms; 0 while it has published none.
        terms_version: u32,
    }
    /// What an account says about itself, for its owner.
    ProfileRow {
        /// From 1; 0 while nothing was said.
        version: u64,
        /// Its public name.
        #[serde(skip_serializing_if = "Option::is_none")]
        handle: Option<Handle>,
        /// What it says.
        profile: ProfileText,
        /// The same, sealed.
        #[serde(skip)]
        #[cfg_attr(feature = "openapi", schema(ignore))]
        sealed: Option<(UserId, SealedText)>,
        /// The picture, for `/v1/users/{user}/avatar`; another one has another hash.
        #[serde(skip_serializing_if = "Option::is_none")]
        avatar: Option<BlobHash>,
    }
    /// What everybody may see of an account.
    PublicProfileRow {
        /// Its id.
        user_id: UserId,
        /// Its public name.
        #[serde(skip_serializing_if = "Option::is_none")]
        handle: Option<Handle>,
        /// Whether it sells.
        is_maker: bool,
        /// What it wants to be called.
        #[serde(skip_serializing_if = "Option::is_none")]
        display_name: Option<DisplayName>,
        /// A few words.
        #[serde(skip_serializing_if = "Option::is_none")]
        about: Option<Note>,
        /// Where it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        city: Option<AddressLine>,
        /// The same three, sealed.
        #[serde(skip)]
        #[cfg_attr(feature = "openapi", schema(ignore))]
        sealed: Option<(UserId, SealedText)>,
        /// The picture, for `/v1/users/{user}/avatar`; another one has another hash.
        #[serde(skip_serializing_if = "Option::is_none")]
        avatar: Option<BlobHash>,
        /// Whom it follows, where it shows that.
        #[serde(skip_serializing_if = "Option::is_none")]
        follows: Option<Vec<UserId>>,
    }
    /// A saved address, for its owner.
    AddressRow {
        /// Its id.
        address_id: AddressId,
        /// Whether it is the one that is taken when none is named.
        is_default: bool,
        /// The address.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<PostalAddress>,
        /// The same, sealed.
        #[serde(skip)]
        #[cfg_attr(feature = "openapi", schema(ignore))]
        sealed: Option<(UserId, SealedText)>,
    }
    /// Saved addresses of an account.
    AddressList {
        /// The addresses.
        addresses: Vec<AddressRow>,
    }
    /// What others may see.
    PrivacyRow {
        /// The settings.
        settings: PrivacySettings,
        /// From 1; 0 while nothing was set.
        version: u64,
    }
    /// Where a data request stands.
    DataRequestRow {
        /// Its id.
        request_id: DataRequestId,
        /// What it asks for.
        kind: DataRequestKind,
        /// `waiting`, `ready`, `closed` or `done`.
        state: &'static str,
        /// When it was made.
        asked_at: Timestamp,
        /// When it is answered at the latest.
        due_at: Timestamp,
        /// Until when the copy can be fetched.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// When the account is erased.
        #[serde(skip_serializing_if = "Option::is_none")]
        erased_at: Option<Timestamp>,
        /// What a deletion still waits for.
        waits_for: Vec<String>,
    }
    /// An invitation, for staff.
    InvitationRow {
        /// Its id.
        invitation_id: InvitationId,
        /// Duties that it gives.
        roles: Vec<Role>,
        /// When it was made.
        made_at: Timestamp,
        /// Until when it counts.
        expires_at: Timestamp,
        /// `open`, `claimed` or `revoked`.
        state: &'static str,
        /// Who took it.
        #[serde(skip_serializing_if = "Option::is_none")]
        claimed_by: Option<UserId>,
    }
    /// Invitations.
    InvitationList {
        /// The invitations.
        invitations: Vec<InvitationRow>,
    }
    /// Whom an account follows or blocks.
    FollowList {
        /// The accounts.
        users: Vec<UserId>,
    }
    /// Ways to sign in besides the address.
    IdentityList {
        /// The providers.
        providers: Vec<IdentityProvider>,
        /// Whether a code to the address was used.
        address_proven: bool,
    }
    /// A strike, for staff and its owner.
    StrikeRow {
        /// Its id.
        strike_id: StrikeId,
        /// What for.
        kind: StrikeKind,
        /// When.
        at: Timestamp,
        /// Until when it counts.
        expires_at: Timestamp,
    }
    /// An account, for staff.
    AccountRow {
        /// Its id.
        user_id: UserId,
        /// Its public name.
        #[serde(skip_serializing_if = "Option::is_none")]
        handle: Option<Handle>,
        /// Its duties.
        roles: Vec<Role>,
        /// `active`, `suspended`, `closed` or `erased`.
        standing: &'static str,
        /// When it was made.
        created_at: Timestamp,
        /// Sign-ins that have not ended.
        sign_ins: usize,
        /// Its strikes.
        strikes: Vec<StrikeRow>,
        /// Its capabilities.
        capabilities: Vec<CapabilityRow>,
        /// Whether mail to it bounced for good or was complained of: it gets critical mail alone.
        mail_suppressed: bool,
    }
    /// A page of accounts, newest first.
    AccountList {
        /// The accounts.
        accounts: Vec<AccountRow>,
        /// Where the next page begins; absent after the last.
        #[serde(skip_serializing_if = "Option::is_none")]
        next_cursor: Option<String>,
    }
}

impl Market {
    /// Sign-ins of an account.
    #[must_use]
    pub fn sign_ins_of(&self, user: UserId, current: SignInId) -> SignInList {
        let ids = self.account(user).map(|account| account.sign_ins.clone()).unwrap_or_default();
        let sessions = ids
            .into_iter()
            .filter_map(|id| self.sign_in(id))
            .map(|row| SignInRow {
                sign_in_id: row.sign_in,
                device_id: row.device,
                created_at: row.created_at,
                expires_at: row.expires_at,
                is_current: row.sign_in == current,
            })
            .collect();
        SignInList { sessions }
    }

    /// Devices of an account.
    #[must_use]
    pub fn devices_of(&self, user: UserId) -> DeviceList {
        let devices = self.person(user).map(|person| {
            person.devices.values().map(|row| DeviceRow {
                device_id: row.device,
                platform: row.platform,
                trust: row.trust,
                takes_push: self.is_pushed_to(user, row.device),
                signing_key: self.device_key(user, row.device).map(|key| DeviceKeyRow {
                    key_id: key.public().id(),
                    algorithm: key.public().algorithm(),
                    registered_at: key.registered_at(),
                }),
                registered_at: row.registered_at,
                seen_at: row.seen_at,
                revoked_at: row.revoked_at,
            })
        });
        DeviceList { devices: devices.map(Iterator::collect).unwrap_or_default() }
    }

    /// Every capability of an account.
    #[must_use]
    pub fn capabilities_of(&self, user: UserId) -> CapabilityList {
        let person = self.person(user).ok();
        let later = |until: Option<Timestamp>| until.filter(|until| *until > self.at);
        CapabilityList {
            capabilities: Capability::ALL
                .into_iter()
                .map(|capability| self.capability_row(user, capability))
                .collect(),
            publishing_paused_until: later(person.and_then(|row| row.publishing_paused_until)),
            bidding_paused_until: later(person.and_then(|row| row.bidding_paused_until)),
        }
    }

    fn capability_row(&self, user: UserId, capability: Capability) -> CapabilityRow {
        let state = self.capability(user, capability);
        CapabilityRow {
            capability,
            state: state.map_or("inactive", super::CapabilityState::name),
            since: state.map(super::CapabilityState::since),
            task_id: state.and_then(super::CapabilityState::task),
            blockers: state.map(|state| state.blockers().to_vec()).unwrap_or_default(),
        }
    }

    /// A check, for its owner.
    #[must_use]
    pub fn task_row(&self, user: UserId, task: TaskId) -> Option<TaskRow> {
        let (owner, capability) = self.accounts.tasks.get(&task).copied()?;
        let state = self.capability(user, capability)?;
        let is_waited_for = state.task() == Some(task);
        let state = if is_waited_for { state.name() } else { "done" };
        (owner == user).then_some(TaskRow { task_id: task, capability, state })
    }

    /// Every consent of an account.
    #[must_use]
    pub fn consents_of(&self, user: UserId) -> ConsentList {
        let terms_version = self.cluster.policy.terms_version;
        let person = self.person(user).ok();
        let row = |purpose: ConsentPurpose| {
            let known = person.and_then(|person| person.consents.get(&purpose));
            let least = if purpose == ConsentPurpose::Terms { terms_version } else { 0 };
            ConsentRow {
                purpose,
                granted: known.is_some_and(|consent| consent.granted),
                policy_version: known.map_or(0, |consent| consent.policy_version),
                at: known.map(|consent| consent.at),
                ask_again: known
                    .is_none_or(|consent| consent.granted && !consent.stands(least, self.at)),
            }
        };
        ConsentList { consents: ConsentPurpose::ALL.into_iter().map(row).collect(), terms_version }
    }

    /// What others may see of an account.
    #[must_use]
    pub fn privacy_of(&self, user: UserId) -> Option<PrivacyRow> {
        let privacy = self.person(user).ok()?.privacy;
        Some(PrivacyRow { settings: privacy.settings, version: privacy.version })
    }

    /// What an account says about itself, for its owner; its texts are sealed still.
    #[must_use]
    pub fn profile_row(&self, user: UserId) -> Option<ProfileRow> {
        let account = self.accounts.account(user)?;
        let profile = &account.person.profile;
        Some(ProfileRow {
            version: profile.version,
            handle: account.handle.clone(),
            profile: ProfileText::default(),
            sealed: profile.sealed.clone().map(|text| (user, text)),
            avatar: profile.avatar,
        })
    }

    /// What a reader may see of an account; its texts are sealed still. Nothing of one that hides it,
    /// that has ended, or that blocks the reader.
    #[must_use]
    pub fn public_profile(&self, user: UserId, reader: Option<UserId>) -> Option<PublicProfileRow> {
        let account = self.accounts.account(user)?;
        let person = &account.person;
        let is_own = reader == Some(user);
        let is_shut_out = reader.is_some_and(|reader| person.blocks.contains(&reader));
        let is_shown = person.privacy.settings.public_profile
            && matches!(person.standing, AccountStanding::Active)
            && !is_shut_out;
        if !is_shown && !is_own {
            return None;
        }
        let follows = person.privacy.settings.shows_follows;
        Some(PublicProfileRow {
            user_id: user,
            handle: account.handle.clone(),
            is_maker: account.has_role(Role::Maker),
            display_name: None,
            about: None,
            city: None,
            sealed: person.profile.sealed.clone().map(|text| (user, text)),
            avatar: person.profile.avatar,
            follows: follows.then(|| person.follows.iter().copied().collect()),
        })
    }

    /// Saved addresses of an account, for its owner; sealed still.
    #[must_use]
    pub fn addresses_of(&self, user: UserId) -> AddressList {
        let rows = self.person(user).map(|person| &person.addresses);
        let addresses = rows
            .into_iter()
            .flatten()
            .map(|(address, row)| AddressRow {
                address_id: *address,
                is_default: row.is_default,
                address: None,
                sealed: Some((user, row.sealed.clone())),
            })
            .collect();
        AddressList { addresses }
    }

    /// Whom an account blocks.
    #[must_use]
    pub fn blocked_by(&self, user: UserId) -> FollowList {
        let users = self.person(user).map(|person| person.blocks.iter().copied().collect());
        FollowList { users: users.unwrap_or_default() }
    }

    /// Whom an account follows.
    #[must_use]
    pub fn followed_by(&self, user: UserId) -> FollowList {
        let users = self.person(user).map(|person| person.follows.iter().copied().collect());
        FollowList { users: users.unwrap_or_default() }
    }

    /// Ways to sign in besides the address.
    #[must_use]
    pub fn identities_of(&self, user: UserId) -> IdentityList {
        let person = self.person(user).ok();
        let providers = person.map(|row| row.identities.iter().map(|known| known.provider));
        IdentityList {
            providers: providers.map(Iterator::collect).unwrap_or_default(),
            address_proven: person.is_some_and(|row| row.is_address_proven),
        }
    }

    /// A data request, for its owner.
    #[must_use]
    pub fn data_request(&self, user: UserId, id: DataRequestId) -> Option<DataRequestRow> {
        let row: &DataRequest = self.accounts.requests.get(&id).filter(|row| row.user == user)?;
        let waits = row.state == DataRequestState::Waiting;
        let waits_for = if waits { self.obligations(user) } else { Vec::new() };
        let (until, erased_at) = match row.state {
            DataRequestState::Ready { until } => (Some(until), None),
            DataRequestState::Closed { erased_at } => (None, Some(erased_at)),
            DataRequestState::Waiting | DataRequestState::Done { .. } => (None, None),
        };
        Some(DataRequestRow {
            request_id: row.request,
            kind: row.kind,
            state: row.state.name(),
            asked_at: row.asked_at,
            due_at: row.due_at,
            until,
            erased_at,
            waits_for: waits_for.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Invitations that are remembered, newest first.
    #[must_use]
    pub fn invitations(&self) -> InvitationList {
        let mut rows: Vec<_> = self.accounts.invitations.values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.made_at, row.invitation)));
        let invitations = rows
            .into_iter()
            .map(|row| InvitationRow {
                invitation_id: row.invitation,
                roles: row.roles.iter().copied().collect(),
                made_at: row.made_at,
                expires_at: row.expires_at,
                state: match row.state {
                    InvitationState::Open => "open",
                    InvitationState::Claimed { .. } => "claimed",
                    InvitationState::Revoked { .. } => "revoked",
                },
                claimed_by: match row.state {
                    InvitationState::Claimed { by, .. } => Some(by),
                    InvitationState::Open | InvitationState::Revoked { .. } => None,
                },
            })
            .collect();
        InvitationList { invitations }
    }

    /// An account, for staff.
    #[must_use]
    pub fn account_row(&self, user: UserId) -> Option<AccountRow> {
        let account = self.account(user)?;
        Some(AccountRow {
            user_id: user,
            handle: account.handle.clone(),
            roles: account.roles(),
            standing: account.person.standing.name(),
            created_at: account.created_at,
            sign_ins: account.sign_ins.len(),
            strikes: self.strikes_of(user),
            capabilities: self.capabilities_of(user).capabilities,
            mail_suppressed: self.is_mail_suppressed(user),
        })
    }

    /// Strikes of an account.
    #[must_use]
    pub fn strikes_of(&self, user: UserId) -> Vec<StrikeRow> {
        let strikes = self.person(user).map(|person| person.strikes.as_slice()).unwrap_or_default();
        strikes
            .iter()
            .map(|row| StrikeRow {
                strike_id: row.strike,
                kind: row.kind,
                at: row.at,
                expires_at: row.expires_at,
            })
            .collect()
    }

    /// Accounts whose public name begins with a text, or that have an address; all of them without.
    #[must_use]
    pub fn find_accounts(&self, name: Option<&str>, address: Option<&Digest>) -> Vec<UserId> {
        match (name, address) {
            (_, Some(address)) => {
                self.account_by_identifier(address).map(crate::Account::user).into_iter().collect()
            }
            (Some(name), None) => {
                let folded = name.to_ascii_lowercase();
                self.accounts
                    .handles
                    .iter_from(folded.clone())
                    .take_while(|(known, _)| known.starts_with(&folded))
                    .map(|(_, user)| *user)
                    .collect()
            }
            (None, None) => self.accounts.users.values().map(|account| account.user).collect(),
        }
    }
}
