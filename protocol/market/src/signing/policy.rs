//! Who must sign: the policy in force, its versions, and the one that an auction opened with.
//!
//! It must not know keys. Read next: `fairground_types::command::SignaturePolicy`.

use std::collections::VecDeque;
use std::sync::Arc;

use fairground_types::command::{SetSignaturePolicy, SignaturePolicy, UnsignedMax};
use fairground_types::{Accepted, AuctionId, Code, Rejection, limits};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::govern::Authored;
use crate::permission::Subject;

/// A policy that was or is in force.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub struct SignaturePolicyVersion {
    /// Which version; 0 for the default, which nobody set.
    pub version: u64,
    /// Who put it in force, and why.
    pub authored: Option<Authored>,
    /// Who must sign.
    pub policy: SignaturePolicy,
}

/// The policy in force and those before it.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct SignatureSettings {
    pub(crate) current: Arc<SignaturePolicyVersion>,
    /// Oldest first, without the one in force.
    pub(crate) before: VecDeque<Arc<SignaturePolicyVersion>>,
}

impl Market {
    /// Who must sign what is not about an open auction.
    #[must_use]
    pub fn signature_policy(&self) -> &SignaturePolicyVersion {
        &self.signing.settings.current
    }

    /// Policies that were in force, newest first.
    pub fn signature_policies_before(&self) -> impl Iterator<Item = &SignaturePolicyVersion> {
        self.signing.settings.before.iter().rev().map(AsRef::as_ref)
    }

    /// The policy that counts in an auction, or outside of any, and its limit. An auction that opened
    /// before the rules knew signatures has no limit.
    pub(super) fn signature_rules(
        &self,
        auction: Option<AuctionId>,
    ) -> (&SignaturePolicy, Option<&UnsignedMax>) {
        let current = &self.signing.settings.current.policy;
        let known = auction.filter(|auction| self.auctions.contains_key(auction));
        let Some(auction) = known else { return (current, Some(&current.unsigned_max_minor)) };
        match self.signing.opened_with.get(&auction) {
            Some(policy) => (policy, Some(&policy.unsigned_max_minor)),
            None => (current, None),
        }
    }

    /// An auction keeps the policy that it opens with.
    pub(crate) fn freeze_signature_policy(&mut self, auction: AuctionId) {
        if self.knows_signatures() {
            let current = self.signing.settings.current.policy;
            self.signing.opened_with.insert(auction, current);
        }
    }

    pub(crate) fn set_signature_policy(
        &mut self,
        turn: &Turn,
        subject: &Subject,
        set: &SetSignaturePolicy,
    ) -> Answer {
        self.require_signatures()?;
        if let Some(fault) = set.policy.fault() {
            return Err(Rejection::new(Code::ValidationFailed, fault));
        }
        let settings = &mut self.signing.settings;
        crate::govern::same_version(set.base_version, settings.current.version)?;
        let version = SignaturePolicyVersion {
            version: set.base_version.saturating_add(1),
            authored: Some(Authored::of(turn, subject, &set.reason)),
            policy: set.policy,
        };
        let before = std::mem::replace(&mut settings.current, Arc::new(version));
        if settings.before.len() >= limits::POLICY_HISTORY_MAX {
            settings.before.pop_front();
        }
        settings.before.push_back(before);
        Ok(Accepted::Done)
    }
}
