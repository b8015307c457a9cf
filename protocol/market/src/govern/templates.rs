//! Words of notices that somebody wrote: per kind, channel and language, with versions.
//!
//! What nobody wrote has the default words of [`fairground_types::notice`]. It must not know how
//! words are put together; a shell does that. Read next: `crate::notice`.

use std::collections::VecDeque;
use std::sync::Arc;

use fairground_types::command::{SetTemplate, TemplateKey, TemplateText};
use fairground_types::{Accepted, Code, Rejection, limits};
use wincode::{SchemaRead, SchemaWrite};

use super::{Authored, same_version};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::permission::Subject;

/// One change of a template.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct TemplateChange {
    /// The version that it made.
    pub version: u64,
    /// Who, when and why.
    pub authored: Authored,
    /// The words; absent for the default.
    pub text: Option<TemplateText>,
}

/// Words that somebody wrote.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub struct TemplateState {
    /// Their version, from 1.
    pub version: u64,
    /// The words; absent for the default.
    pub text: Option<TemplateText>,
    /// The newest changes, oldest first.
    pub history: VecDeque<TemplateChange>,
}

/// What may stand between braces.
const PLACES: [&str; 4] = ["title", "amount", "until", "text"];

/// Refuses a brace that stands for nothing: it would be sent as it is.
fn check(text: &TemplateText) -> Result<(), Rejection> {
    let is_sound = [text.subject.as_str(), text.body.as_str()].into_iter().all(|words| {
        words
            .split('{')
            .skip(1)
            .all(|rest| rest.split_once('}').is_some_and(|(place, _)| PLACES.contains(&place)))
    });
    if is_sound {
        Ok(())
    } else {
        let why = "only {title}, {amount}, {until} and {text} stand for something";
        Err(Rejection::new(Code::ValidationFailed, why))
    }
}

impl Market {
    /// Templates that somebody has set.
    pub fn templates(&self) -> impl Iterator<Item = (&TemplateKey, &TemplateState)> {
        self.govern.templates.iter().map(|(key, state)| (key, state.as_ref()))
    }

    /// One template.
    #[must_use]
    pub fn template(&self, key: &TemplateKey) -> Option<&TemplateState> {
        self.govern.templates.get(key).map(AsRef::as_ref)
    }

    pub(super) fn set_template(
        &mut self,
        turn: &Turn,
        subject: &Subject,
        set: &SetTemplate,
    ) -> Answer {
        if !set.key.kind.route().takes(set.key.channel) {
            let why = "this notice does not travel by this channel";
            return Err(Rejection::new(Code::ValidationFailed, why));
        }
        if let Some(text) = &set.text {
            check(text)?;
        }
        let known = self.govern.templates.get(&set.key).map_or(0, |state| state.version);
        same_version(set.base_version, known)?;
        if known == 0 && self.govern.templates.len() >= limits::TEMPLATES_MAX {
            return Err(Rejection::new(Code::LimitReached, "there are too many templates"));
        }
        let state = Arc::make_mut(self.govern.templates.entry(set.key.clone()).or_default());
        state.version = known.saturating_add(1);
        state.text.clone_from(&set.text);
        if state.history.len() >= limits::CHANGE_HISTORY_MAX {
            state.history.pop_front();
        }
        state.history.push_back(TemplateChange {
            version: state.version,
            authored: Authored::of(turn, subject, &set.reason),
            text: set.text.clone(),
        });
        Ok(Accepted::Done)
    }
}
