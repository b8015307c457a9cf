//! How a market is governed: the test clock, settings, flags, templates, versions of the rules.
//!
//! ```text
//!  command { base version, reason } -> checked against the version in force -> new version, history
//! ```
//! Every change keeps its author and reason; running auctions keep the settings that they opened
//! with. It must not know how a setting is typed in or shown. Read next: `clock.rs`, `settings.rs`,
//! `flags.rs`, `templates.rs`, `rules.rs`; `audit.rs` for what is written down about all of it.

mod clock;
mod flags;
mod rules;
mod settings;
mod templates;

use std::collections::BTreeMap;
use std::sync::Arc;

use fairground_types::command::{GovernCommand, TemplateKey};
use fairground_types::flag::Flag;
use fairground_types::text::Note;
use fairground_types::{Code, Rejection, Timestamp, UserId};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

pub(crate) use self::clock::TestClock;
pub use self::flags::{FlagChange, FlagState};
pub(crate) use self::rules::RulesKnown;
pub use self::rules::{RulesReport, RulesRow};
pub use self::settings::PolicyVersion;
pub(crate) use self::settings::Settings;
pub use self::templates::{TemplateChange, TemplateState};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::permission::Subject;

/// Everything in this module's care.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Governance {
    pub(crate) clock: TestClock,
    pub(crate) settings: Settings,
    pub(crate) flags: BTreeMap<Flag, Arc<FlagState>>,
    pub(crate) templates: BTreeMap<TemplateKey, Arc<TemplateState>>,
    pub(crate) known: RulesKnown,
}

/// Who changed something, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Authored {
    /// Log time.
    pub at: Timestamp,
    /// The account; absent for the operator of a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<UserId>,
    /// Why.
    pub reason: Note,
}

impl Authored {
    pub(crate) fn of(turn: &Turn, subject: &Subject, reason: &Note) -> Self {
        Self { at: turn.at, author: subject.user, reason: reason.clone() }
    }
}

/// Refuses who saw another version than the one in force.
pub(crate) fn same_version(seen: u64, now: u64) -> Result<(), Rejection> {
    if seen == now {
        Ok(())
    } else {
        Err(Rejection::new(Code::VersionConflict, "somebody else changed it first"))
    }
}

impl Market {
    pub(crate) fn run_govern(
        &mut self,
        turn: &mut Turn,
        subject: &Subject,
        command: &GovernCommand,
    ) -> Answer {
        match command {
            GovernCommand::AdvanceClock { by, reason: _ } => self.advance_clock(*by),
            GovernCommand::ChangePolicy(change) => self.change_policy(turn, subject, change),
            GovernCommand::RevertPolicy { version, base_version, reason } => {
                let authored = Authored::of(turn, subject, reason);
                self.revert_policy(*version, *base_version, authored)
            }
            GovernCommand::SetFlag(set) => self.set_flag(turn, subject, set),
            GovernCommand::SetTemplate(set) => self.set_template(turn, subject, set),
            GovernCommand::ActivateRules { version, reason: _ } => {
                self.activate_rules(turn, *version)
            }
            GovernCommand::ReportRules { member, known } => {
                self.report_rules(subject, *member, *known)
            }
            GovernCommand::SetSignaturePolicy(set) => self.set_signature_policy(turn, subject, set),
        }
    }
}
