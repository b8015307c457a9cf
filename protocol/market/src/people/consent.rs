//! Consents: what for, to which text, since when; asked for again after a year or a new text.

use fairground_types::limits::{CONSENT_LIFE, TEXT_VERSION_MAX};
use fairground_types::people::ConsentPurpose;
use fairground_types::{Accepted, Code, Rejection, Timestamp, UserId};
use wincode::{SchemaRead, SchemaWrite};

use super::Person;
use crate::Market;
use crate::apply::{Answer, Turn};

/// What somebody last said about a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Consent {
    pub(crate) granted: bool,
    pub(crate) policy_version: u32,
    pub(crate) at: Timestamp,
}

impl Consent {
    /// Whether it stands: given, to a text at least as new, less than a year ago.
    pub(crate) fn stands(&self, policy_version: u32, at: Timestamp) -> bool {
        self.granted && self.policy_version >= policy_version && at.since(self.at) < CONSENT_LIFE
    }
}

impl Person {
    pub(crate) fn agrees(&self, purpose: ConsentPurpose, version: u32, at: Timestamp) -> bool {
        self.consents.get(&purpose).is_some_and(|consent| consent.stands(version, at))
    }
}

impl Market {
    pub(crate) fn set_consent(
        &mut self,
        turn: &Turn,
        user: UserId,
        purpose: ConsentPurpose,
        (granted, policy_version): (bool, u32),
    ) -> Answer {
        if policy_version > TEXT_VERSION_MAX {
            return Err(Rejection::new(Code::ValidationFailed, "there is no such version"));
        }
        let consent = Consent { granted, policy_version, at: turn.at };
        self.person(user)?;
        self.change_person(user, |person| {
            person.consents.insert(purpose, consent);
        });
        Ok(Accepted::Done)
    }
}
