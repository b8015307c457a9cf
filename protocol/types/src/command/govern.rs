//! Commands by which a market is governed: its clock in a sandbox, settings, flags, templates, rules.
//!
//! Each carries the version that its author saw and a reason; both are kept. Read next:
//! `fairground-market`'s `govern`.

use super::{MarketPolicy, SetSignaturePolicy};
use crate::flag::{Flag, FlagSetting};
use crate::id::MemberId;
use crate::notice::{NoticeChannel, NoticeKind};
use crate::text::{Locale, Note, TemplateBody, TemplateSubject};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about settings, flags, templates, rules and the test clock.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum GovernCommand {
    /// Moves the test clock of a sandbox cluster forward.
    AdvanceClock {
        /// By how much, at most [`crate::limits::CLOCK_ADVANCE_MAX`].
        by: Millis,
        /// Why.
        reason: Note,
    },
    /// Puts new settings in force.
    ChangePolicy(ChangePolicy),
    /// Puts the settings of an earlier version in force again, as a new version.
    RevertPolicy {
        /// Which version.
        version: u64,
        /// The version that the author saw.
        base_version: u64,
        /// Why.
        reason: Note,
    },
    /// Sets a flag, or gives it its default back.
    SetFlag(SetFlag),
    /// Sets the words of a notice, or gives them their default back.
    SetTemplate(SetTemplate),
    /// Puts a newer version of the rules in force, once everybody knows it.
    ActivateRules {
        /// Which version.
        version: u32,
        /// Why.
        reason: Note,
    },
    /// Says which rules a member, or the edge that speaks, knows.
    ReportRules {
        /// The member; absent when an edge speaks.
        member: Option<MemberId>,
        /// The newest version that it knows.
        known: u32,
    },
    /// Says who must sign bids and offers; since rules 3.
    SetSignaturePolicy(SetSignaturePolicy),
}

/// See [`GovernCommand::ChangePolicy`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ChangePolicy {
    /// The version that the author saw.
    pub base_version: u64,
    /// The settings, whole.
    pub policy: Box<MarketPolicy>,
    /// Why.
    pub reason: Note,
}

/// See [`GovernCommand::SetFlag`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SetFlag {
    /// The flag.
    pub flag: Flag,
    /// Its setting; absent for the default.
    pub setting: Option<Box<FlagSetting>>,
    /// The version of the flag that the author saw, 0 for never set; absent for a kill switch, which
    /// waits for nobody.
    pub base_version: Option<u64>,
    /// Why.
    pub reason: Note,
}

/// The words of a notice. `{title}`, `{amount}`, `{until}` and `{text}` stand for what it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateText {
    /// Subject of a mail, title of a push message.
    pub subject: TemplateSubject,
    /// The text.
    pub body: TemplateBody,
}

/// Which words.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TemplateKey {
    /// Of which notice.
    pub kind: NoticeKind,
    /// For which channel.
    pub channel: NoticeChannel,
    /// In which language.
    pub locale: Locale,
}

/// See [`GovernCommand::SetTemplate`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SetTemplate {
    /// Which words.
    pub key: TemplateKey,
    /// The words; absent for the default.
    pub text: Option<TemplateText>,
    /// The version that the author saw, 0 for never set.
    pub base_version: u64,
    /// Why.
    pub reason: Note,
}
