//! Flags as the log has set them: versions, history, the kill switch.
//!
//! Everybody sees settings in the public view, so an edge evaluates a flag as the log would. Read
//! next: [`fairground_types::flag`] for evaluation.

use std::collections::VecDeque;
use std::sync::Arc;

use fairground_types::command::SetFlag;
use fairground_types::flag::{
    FLAG_REGIONS_MAX, FLAG_USERS_MAX, Flag, FlagSetting, FlagSubject, FlagValue, evaluate,
};
use fairground_types::text::Region;
use fairground_types::{Accepted, Code, PublicEvent, Rejection, UserId, limits};
use wincode::{SchemaRead, SchemaWrite};

use super::{Authored, same_version};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::permission::Subject;

/// One change of a flag.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct FlagChange {
    /// The version that it made.
    pub version: u64,
    /// Who, when and why.
    pub authored: Authored,
    /// The setting; absent for the default.
    pub setting: Option<FlagSetting>,
}

/// A flag that somebody has set.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub struct FlagState {
    /// Its version, from 1.
    pub version: u64,
    /// Its setting; absent for the default.
    pub setting: Option<FlagSetting>,
    /// The newest changes, oldest first.
    pub history: VecDeque<FlagChange>,
}

fn check(flag: Flag, setting: &FlagSetting) -> Result<(), Rejection> {
    let refused = |why: &str| Err(Rejection::new(Code::ValidationFailed, why));
    if setting.value.kind() != flag.default_value().kind() {
        return refused("the flag has another type");
    }
    if matches!(setting.value, FlagValue::Percent(percent) if percent > 100) {
        return refused("a share is 0 to 100");
    }
    if setting.users.len() > FLAG_USERS_MAX || setting.regions.len() > FLAG_REGIONS_MAX {
        return refused("the flag names too many accounts or regions");
    }
    if flag == Flag::AuctionsRegionAllowlist
        && let FlagValue::Text(text) = &setting.value
        && !allowlist(text.as_str()).all(|name| Region::parse(name).is_ok())
    {
        return refused("a region in the list is not valid");
    }
    Ok(())
}

/// Regions in a list separated by commas.
fn allowlist(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

impl Market {
    /// A flag as it is set; absent while nobody has set it.
    #[must_use]
    pub fn flag(&self, flag: Flag) -> Option<&FlagState> {
        self.govern.flags.get(&flag).map(AsRef::as_ref)
    }

    /// The value of a flag.
    #[must_use]
    pub fn flag_value(&self, flag: Flag, subject: FlagSubject<'_>) -> FlagValue {
        let setting = self.flag(flag).and_then(|state| state.setting.as_ref());
        evaluate(flag, setting, subject)
    }

    /// Whether a switch is on for an account, wherever it is.
    #[must_use]
    pub fn is_on(&self, flag: Flag, user: Option<UserId>) -> bool {
        self.flag_value(flag, FlagSubject { user, region: None }) == FlagValue::Bool(true)
    }

    /// Whether offers and bids of an account are taken through edges of a region.
    pub(crate) fn takes_bids(
        &self,
        user: UserId,
        region: Option<&Region>,
    ) -> Result<(), Rejection> {
        let off = |why: &str| Err(Rejection::new(Code::FeatureDisabled, why));
        // The common case first: nobody has set anything.
        if self.govern.flags.is_empty() {
            return Ok(());
        }
        let subject = FlagSubject { user: Some(user), region };
        if self.flag_value(Flag::AuctionsEnabled, subject) != FlagValue::Bool(true) {
            return off("offers and bids are switched off");
        }
        let FlagValue::Text(list) = self.flag_value(Flag::AuctionsRegionAllowlist, subject) else {
            return Ok(());
        };
        let is_named =
            region.is_some_and(|here| allowlist(list.as_str()).any(|name| name == here.as_str()));
        if is_named || allowlist(list.as_str()).next().is_none() {
            Ok(())
        } else {
            off("offers and bids are switched off in this region")
        }
    }

    pub(super) fn set_flag(&mut self, turn: &mut Turn, subject: &Subject, set: &SetFlag) -> Answer {
        if let Some(setting) = &set.setting {
            check(set.flag, setting)?;
        }
        let known = self.govern.flags.get(&set.flag).map_or(0, |state| state.version);
        match set.base_version {
            Some(seen) => same_version(seen, known)?,
            None if set.setting.as_ref().is_some_and(|setting| setting.killed) => {}
            None => {
                let why = "name the version that was changed";
                return Err(Rejection::new(Code::ValidationFailed, why));
            }
        }
        let state = Arc::make_mut(self.govern.flags.entry(set.flag).or_default());
        state.version = known.saturating_add(1);
        state.setting = set.setting.as_deref().cloned();
        if state.history.len() >= limits::CHANGE_HISTORY_MAX {
            state.history.pop_front();
        }
        state.history.push_back(FlagChange {
            version: state.version,
            authored: Authored::of(turn, subject, &set.reason),
            setting: state.setting.clone(),
        });
        turn.events.push(PublicEvent::FlagChanged {
            flag: set.flag,
            setting: state.setting.clone().map(Box::new),
        });
        Ok(Accepted::Done)
    }
}
