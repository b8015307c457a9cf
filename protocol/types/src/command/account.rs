//! Commands about accounts and sign-ins.
//!
//! Read next: `fairground-market` for what they do.

use crate::id::{ChallengeId, Digest, SignInId, UserId};
use crate::role::Role;
use crate::text::Handle;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about accounts and sign-ins.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum AccountCommand {
    /// Makes an account from the operator's machine.
    CreateAccount(CreateAccount),
    /// Asks for a one-time code.
    RequestCode(RequestCode),
    /// Redeems a one-time code.
    VerifyCode(VerifyCode),
    /// Exchanges a refresh token.
    RefreshSignIn(RefreshSignIn),
    /// Ends a sign-in.
    SignOut {
        /// The sign-in.
        sign_in: SignInId,
    },
    /// Sets the public name.
    SetHandle {
        /// The name.
        handle: Handle,
    },
    /// Gives a duty.
    GrantRole {
        /// To whom.
        user: UserId,
        /// Which.
        role: Role,
    },
    /// A viewer becomes a maker, where makers are admitted freely.
    BecomeMaker,
}

/// An address that only a member can read.
#[derive(Clone, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SealedContact {
    /// The account's own key, wrapped under the members' epoch key.
    pub wrapped_key: Vec<u8>,
    /// The address, sealed under the account's own key.
    pub sealed: Vec<u8>,
}

impl std::fmt::Debug for SealedContact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedContact")
    }
}

/// How a code travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Channel {
    /// Mail.
    Email,
    /// Text message.
    Sms,
}

/// See [`AccountCommand::CreateAccount`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CreateAccount {
    /// Its id, should the identifier be new.
    pub user: UserId,
    /// Keyed hash of the normalised address.
    pub identifier: Digest,
    /// The address, sealed.
    pub contact: SealedContact,
    /// How it is reached.
    pub channel: Channel,
    /// Public name.
    pub handle: Option<Handle>,
    /// Duties to give, also when the account exists.
    pub roles: Vec<Role>,
}

/// See [`AccountCommand::RequestCode`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RequestCode {
    /// Names this code.
    pub challenge: ChallengeId,
    /// Keyed hash of the normalised address.
    pub identifier: Digest,
    /// The address, sealed.
    pub contact: SealedContact,
    /// How the code travels.
    pub channel: Channel,
    /// Keyed hash of the code; the code itself stays in the leader's memory.
    pub code: Digest,
    /// Keyed hash of the client's network address.
    pub origin: Option<Digest>,
}

/// See [`AccountCommand::VerifyCode`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct VerifyCode {
    /// Keyed hash of the normalised address.
    pub identifier: Digest,
    /// Keyed hash of the code that was typed.
    pub code: Digest,
    /// Id that the account gets when it is new.
    pub new_user: UserId,
    /// Id of the sign-in.
    pub sign_in: SignInId,
    /// Hash of the refresh token.
    pub refresh: Digest,
}

/// See [`AccountCommand::RefreshSignIn`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RefreshSignIn {
    /// The sign-in.
    pub sign_in: SignInId,
    /// Hash of the refresh token presented.
    pub presented: Digest,
    /// Hash of the next one.
    pub next: Digest,
}
