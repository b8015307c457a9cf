//! Settings of the market: versions, with author and reason, the newest of them kept.
//!
//! A change carries the settings whole and the version that its author saw; a shell may have put
//! them together from a part. Read next: `fairground_types::command::MarketPolicy`.

use std::collections::VecDeque;
use std::sync::Arc;

use fairground_types::command::{ChangePolicy, MarketPolicy};
use fairground_types::{Accepted, Code, Rejection, Timestamp, limits};
use wincode::{SchemaRead, SchemaWrite};

use super::{Authored, same_version};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::permission::Subject;

/// Settings that were or are in force.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct PolicyVersion {
    /// Which version, from 1.
    pub version: u64,
    /// Who put it in force, and why; nobody for the first.
    pub authored: Option<Authored>,
    /// The settings.
    pub policy: Arc<MarketPolicy>,
}

/// Every version that is kept, the newest last.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Settings {
    pub(crate) version: u64,
    pub(crate) history: VecDeque<PolicyVersion>,
}

impl Market {
    /// Version of the settings in force; 0 before the cluster began.
    #[must_use]
    pub const fn policy_version(&self) -> u64 {
        self.govern.settings.version
    }

    /// Versions of the settings that are kept, oldest first.
    pub fn policy_history(&self) -> impl DoubleEndedIterator<Item = &PolicyVersion> {
        self.govern.settings.history.iter()
    }

    /// Puts settings in force that were checked.
    pub(crate) fn put_policy(&mut self, policy: MarketPolicy, authored: Option<Authored>) {
        let settings = &mut self.govern.settings;
        settings.version = settings.version.saturating_add(1);
        if settings.history.len() >= limits::POLICY_HISTORY_MAX {
            settings.history.pop_front();
        }
        let policy = Arc::new(policy);
        self.cluster.policy = MarketPolicy::clone(&policy);
        settings.history.push_back(PolicyVersion { version: settings.version, authored, policy });
    }

    pub(super) fn change_policy(
        &mut self,
        turn: &Turn,
        subject: &Subject,
        change: &ChangePolicy,
    ) -> Answer {
        if let Some(fault) = change.policy.fault() {
            return Err(Rejection::new(Code::ValidationFailed, fault));
        }
        same_version(change.base_version, self.govern.settings.version)?;
        let authored = Authored::of(turn, subject, &change.reason);
        self.put_policy(MarketPolicy::clone(&change.policy), Some(authored));
        Ok(Accepted::Done)
    }

    pub(super) fn revert_policy(
        &mut self,
        version: u64,
        base_version: u64,
        authored: Authored,
    ) -> Answer {
        let settings = &self.govern.settings;
        let known = settings.history.iter().find(|known| known.version == version);
        let Some(policy) = known.map(|known| MarketPolicy::clone(&known.policy)) else {
            return Err(Rejection::new(Code::NotFound, "this version is not kept"));
        };
        same_version(base_version, settings.version)?;
        self.put_policy(policy, Some(authored));
        Ok(Accepted::Done)
    }

    /// The first settings, without an author.
    pub(crate) fn first_policy(&mut self, policy: MarketPolicy) {
        self.put_policy(policy, None);
    }
}

impl PolicyVersion {
    /// When it was put in force; absent for the first.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        self.authored.as_ref().map(|authored| authored.at)
    }
}
