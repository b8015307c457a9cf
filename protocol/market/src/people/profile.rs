//! What an account says about itself and keeps: profile, privacy, addresses, whom it blocks and
//! follows. Texts are sealed; here are versions, bounds and ownership.

use fairground_types::command::{SaveAddress, SealedText, SetProfile};
use fairground_types::limits::{
    ADDRESS_TEXT_MAX, ADDRESSES_MAX, BLOCKS_MAX, FOLLOWS_MAX, PROFILE_TEXT_MAX,
};
use fairground_types::people::PrivacySettings;
use fairground_types::{Accepted, AddressId, BlobHash, Code, Rejection, UserId};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::Answer;

/// What somebody says about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Profile {
    /// From 1; 0 while nothing was said.
    pub(crate) version: u64,
    pub(crate) sealed: Option<SealedText>,
    /// The picture; its bytes are with the members.
    pub(crate) avatar: Option<BlobHash>,
}

/// What others may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Privacy {
    /// From 1; 0 while nothing was set.
    pub(crate) version: u64,
    pub(crate) settings: PrivacySettings,
}

/// A saved address.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub(crate) struct Address {
    pub(crate) sealed: SealedText,
    pub(crate) is_default: bool,
}

fn require_sealed(text: &SealedText, max: usize) -> Result<(), Rejection> {
    if !text.is_sealed() || !text.fits(1, max) {
        let detail = "the text is empty, too long or not sealed";
        return Err(Rejection::new(Code::ValidationFailed, detail));
    }
    Ok(())
}

fn require_version(known: u64, base: u64) -> Result<u64, Rejection> {
    if known != base {
        return Err(Rejection::new(Code::VersionConflict, "it was changed elsewhere"));
    }
    Ok(known.saturating_add(1))
}

impl Market {
    pub(crate) fn set_profile(&mut self, user: UserId, set: &SetProfile) -> Answer {
        require_sealed(&set.sealed, PROFILE_TEXT_MAX)?;
        let version = require_version(self.person(user)?.profile.version, set.base_version)?;
        self.change_person(user, |person| {
            person.profile.version = version;
            person.profile.sealed = Some(set.sealed.clone());
        });
        Ok(Accepted::Saved { version })
    }

    pub(crate) fn set_avatar(&mut self, user: UserId, image: Option<BlobHash>) -> Answer {
        self.person(user)?;
        self.change_person(user, |person| person.profile.avatar = image);
        Ok(Accepted::Done)
    }

    /// Pictures that accounts show of themselves.
    pub fn avatars(&self) -> impl Iterator<Item = BlobHash> + '_ {
        self.accounts.users.values().filter_map(|account| account.person.profile.avatar)
    }

    pub(crate) fn set_privacy(
        &mut self,
        user: UserId,
        settings: PrivacySettings,
        base_version: u64,
    ) -> Answer {
        let version = require_version(self.person(user)?.privacy.version, base_version)?;
        self.change_person(user, |person| person.privacy = Privacy { version, settings });
        Ok(Accepted::Saved { version })
    }

    pub(crate) fn save_address(&mut self, user: UserId, save: &SaveAddress) -> Answer {
        require_sealed(&save.sealed, ADDRESS_TEXT_MAX)?;
        let person = self.person(user)?;
        let is_there = person.addresses.contains_key(&save.address);
        if save.is_change && !is_there {
            return Err(super::not_found());
        }
        if !is_there && person.addresses.len() >= ADDRESSES_MAX {
            return Err(Rejection::new(Code::LimitReached, "no more addresses can be kept"));
        }
        let is_default = save.is_default || person.addresses.is_empty();
        self.change_person(user, |person| {
            if is_default {
                person.addresses.values_mut().for_each(|row| row.is_default = false);
            }
            let row = Address { sealed: save.sealed.clone(), is_default };
            person.addresses.insert(save.address, row);
            keep_one_default(person);
        });
        Ok(Accepted::Done)
    }

    pub(crate) fn remove_address(&mut self, user: UserId, address: AddressId) -> Answer {
        if !self.person(user)?.addresses.contains_key(&address) {
            return Err(super::not_found());
        }
        self.change_person(user, |person| {
            person.addresses.remove(&address);
            keep_one_default(person);
        });
        Ok(Accepted::Done)
    }

    pub(crate) fn set_block(&mut self, user: UserId, other: UserId, on: bool) -> Answer {
        let blocks = &self.person(user)?.blocks;
        if !on {
            self.change_person(user, |person| {
                person.blocks.remove(&other);
            });
            return Ok(Accepted::Done);
        }
        if user == other {
            return Err(Rejection::new(Code::Forbidden, "nobody blocks themselves"));
        }
        if blocks.len() >= BLOCKS_MAX && !blocks.contains(&other) {
            return Err(Rejection::new(Code::LimitReached, "no more accounts can be blocked"));
        }
        self.person(other)?;
        self.change_person(user, |person| {
            person.blocks.insert(other);
            person.follows.remove(&other);
        });
        Ok(Accepted::Done)
    }

    pub(crate) fn set_follow(&mut self, user: UserId, other: UserId, on: bool) -> Answer {
        let follows = &self.person(user)?.follows;
        if !on {
            self.change_person(user, |person| {
                person.follows.remove(&other);
            });
            return Ok(Accepted::Done);
        }
        if user == other {
            return Err(Rejection::new(Code::Forbidden, "nobody follows themselves"));
        }
        if follows.len() >= FOLLOWS_MAX && !follows.contains(&other) {
            return Err(Rejection::new(Code::LimitReached, "no more makers can be followed"));
        }
        let person = self.person(other)?;
        if person.blocks.contains(&user) {
            return Err(super::not_found());
        }
        self.change_person(user, |person| {
            person.follows.insert(other);
        });
        Ok(Accepted::Done)
    }
}

/// One address is the default as long as there is one.
fn keep_one_default(person: &mut super::Person) {
    if person.addresses.values().any(|row| row.is_default) {
        return;
    }
    if let Some(first) = person.addresses.values_mut().next() {
        first.is_default = true;
    }
}
