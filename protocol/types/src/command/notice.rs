//! Commands about notices: preferences, what was read, devices that take push messages.
//!
//! Read next: `fairground-market`'s `inbox`.

use super::SealedContact;
use crate::id::{Digest, NoticeId, PushDeviceId, SignInId, UserId};
use crate::notice::{NoticeChannel, NoticeKind};
use crate::text::{Locale, ZoneName};
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about notices.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum NoticeCommand {
    /// Sets preferences, whole.
    SetPreferences {
        /// The preferences.
        preferences: Box<NoticePreferences>,
        /// The version that the author saw, 0 for never set.
        base_version: u64,
    },
    /// Marks one notice as read.
    ReadNotice {
        /// Which.
        notice: NoticeId,
    },
    /// Marks every notice as read.
    ReadAllNotices,
    /// A device takes push messages from here on.
    AddPushDevice(AddPushDevice),
    /// A device takes none any more.
    RemovePushDevice {
        /// Which.
        device: PushDeviceId,
    },
    /// The push service says that a token is dead.
    DropPushToken {
        /// Whose.
        user: UserId,
        /// Which device.
        device: PushDeviceId,
    },
    /// A mail to an account bounced for good, or its owner complained: no more mail but critical one.
    SuppressMail {
        /// Whose.
        user: UserId,
    },
}

/// What somebody wants to be told, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticePreferences {
    /// By push at all.
    pub push: bool,
    /// By mail at all.
    pub email: bool,
    /// By text message at all.
    pub sms: bool,
    /// In the list of notices at all.
    pub in_app: bool,
    /// Kinds that are not wanted by a channel.
    #[serde(default)]
    pub muted: Vec<MutedNotice>,
    /// When nothing but critical notices may make a sound.
    #[serde(default)]
    pub quiet_hours: Option<QuietHours>,
    /// In which language.
    #[serde(default)]
    pub locale: Option<Locale>,
}

/// A kind that is not wanted by a channel.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MutedNotice {
    /// Which kind.
    pub kind: NoticeKind,
    /// By which channel.
    pub channel: NoticeChannel,
}

/// Hours of the day in which nothing but critical notices may make a sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuietHours {
    /// Begin, minutes after midnight.
    pub start_minute: u16,
    /// End, minutes after midnight; before the begin it is on the next day.
    pub end_minute: u16,
    /// Days on which they begin, Monday = 1; empty for every day.
    #[serde(default)]
    pub days: Vec<u8>,
    /// Zone of the person, by its IANA name.
    pub zone: ZoneName,
}

impl Default for NoticePreferences {
    fn default() -> Self {
        Self {
            push: true,
            email: true,
            sms: true,
            in_app: true,
            muted: Vec::new(),
            quiet_hours: None,
            locale: None,
        }
    }
}

/// Which service takes push messages for a device.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PushPlatform {
    /// Firebase Cloud Messaging, by a registration token.
    Fcm,
    /// Firebase Cloud Messaging, by an installation id.
    FcmInstallation,
    /// Apple Push Notification service, for apps from the store.
    Apns,
    /// Apple Push Notification service, for development builds.
    ApnsSandbox,
}

/// See [`NoticeCommand::AddPushDevice`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct AddPushDevice {
    /// Its id.
    pub device: PushDeviceId,
    /// The sign-in on it: with its end the device is told nothing more.
    pub sign_in: SignInId,
    /// Which service.
    pub platform: PushPlatform,
    /// Keyed hash of the token, so that the same one is known again.
    pub digest: Digest,
    /// The token, sealed.
    pub token: SealedContact,
}
