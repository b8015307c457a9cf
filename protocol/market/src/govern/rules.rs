//! Versions of the rules: which is in force, who knows which, and the step to a newer one.
//!
//! ```text
//!  1   the rules that every market began with
//!  2   an auction closes at a full second (`first_close`)
//!  3   bids and offers may be signed by devices, and some must be (`signing/`); what is due by time
//!      alone happens as of the time when it was due (`deadline.rs`)
//!  4   attempts at jobs are remembered, and workers shared out fairly (`jobs.rs`)
//! ```
//! A step is refused until every member and every edge of the intake has said that it knows the new
//! rules, so no machine applies an entry by rules that it does not have. What an auction took from
//! the old rules at its opening stays. Read next: `docs/src/internals/rules-versions.md`.

use std::collections::BTreeMap;

use fairground_types::{
    Accepted, Code, EdgeId, MemberId, Millis, PublicEvent, Rejection, Timestamp,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use crate::apply::{Answer, Turn};
use crate::permission::Subject;
use crate::{Market, RULES_VERSION};

/// From this version on an auction closes at a full second.
const FULL_SECONDS: u32 = 2;
/// From this version on what is due is dated by when it was due, not by the entry that found it so.
const DUE_DATES: u32 = 3;

/// The newest version that each machine says it knows.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct RulesKnown {
    members: BTreeMap<MemberId, u32>,
    edges: BTreeMap<EdgeId, u32>,
}

/// Who knows which rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesRow {
    /// The member or edge.
    pub name: String,
    /// The newest version that it said it knows; 0 for nothing said.
    pub known: u32,
}

/// The rules in force and who knows which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulesReport {
    /// In force.
    pub version: u32,
    /// The newest that this member knows.
    pub newest: u32,
    /// Every member.
    pub members: Vec<RulesRow>,
    /// Every edge that takes bids.
    pub edges: Vec<RulesRow>,
}

impl Market {
    /// Whether what is due by time alone happens as of the time when it was due.
    pub(crate) const fn dates_by_due(&self) -> bool {
        self.rules_version >= DUE_DATES
    }

    /// The rules in force and who knows which.
    #[must_use]
    pub fn rules_report(&self) -> RulesReport {
        let known = &self.govern.known;
        let member = |member: &MemberId| RulesRow {
            name: member.to_string(),
            known: known.members.get(member).copied().unwrap_or(0),
        };
        let edge = |edge: &EdgeId| RulesRow {
            name: edge.to_string(),
            known: known.edges.get(edge).copied().unwrap_or(0),
        };
        RulesReport {
            version: self.rules_version,
            newest: RULES_VERSION,
            members: self.cluster.members.keys().map(member).collect(),
            edges: self.intake().map(|state| edge(&state.edge)).collect(),
        }
    }

    /// Whether the last word of a machine is that these are the newest rules it knows. One that went back
    /// to an older program says so: until then newer rules must not count on it.
    #[must_use]
    pub fn has_reported_rules(&self, member: MemberId, version: u32) -> bool {
        self.govern.known.members.get(&member) == Some(&version)
    }

    /// A cluster begins with these rules.
    pub(crate) fn begin_rules(&mut self, version: u32) -> Result<(), Rejection> {
        if !(1..=RULES_VERSION).contains(&version) {
            let why = "there are no such rules";
            return Err(Rejection::new(Code::ValidationFailed, why));
        }
        self.rules_version = version;
        Ok(())
    }

    pub(super) fn report_rules(
        &mut self,
        subject: &Subject,
        member: Option<MemberId>,
        version: u32,
    ) -> Answer {
        let known = &mut self.govern.known;
        match member {
            Some(member) if self.cluster.members.contains_key(&member) => {
                known.members.insert(member, version);
            }
            Some(_) => return Err(Rejection::new(Code::NotFound, "no such member")),
            None => {
                known.edges.insert(subject.edge()?.clone(), version);
            }
        }
        Ok(Accepted::Done)
    }

    pub(super) fn activate_rules(&mut self, turn: &mut Turn, version: u32) -> Answer {
        let refused = |why: &str| Err(Rejection::new(Code::InvalidState, why));
        if version <= self.rules_version {
            return refused("these rules, or newer ones, are in force");
        }
        let known = &self.govern.known;
        let knows = |known: Option<&u32>| known.is_some_and(|known| *known >= version);
        // The answer must not depend on what this binary knows: an old one gives it too, and then stops
        // (`rules_version` tells it). Nobody but a binary that knows them vouches for rules.
        if !self.cluster.members.keys().all(|member| knows(known.members.get(member))) {
            return refused("a member has not said that it knows these rules");
        }
        if !self.intake().all(|state| knows(known.edges.get(&state.edge))) {
            return refused("an edge has not said that it knows these rules");
        }
        self.rules_version = version;
        turn.events.push(PublicEvent::RulesActivated { version });
        Ok(Accepted::Done)
    }

    /// Whether an edge may take bids: not when it said that it knows older rules alone.
    pub(crate) fn edge_knows_rules(&self, edge: &EdgeId) -> bool {
        self.govern.known.edges.get(edge).is_none_or(|known| *known >= self.rules_version)
    }

    /// The first close of an auction that opens now and lasts `initial`, at `latest` the latest.
    pub(crate) fn first_close(
        &self,
        opened_at: Timestamp,
        initial: Millis,
        latest: Timestamp,
    ) -> Timestamp {
        let close = opened_at.plus(initial);
        if self.rules_version < FULL_SECONDS {
            return close;
        }
        let full = close.as_unix_millis().div_ceil(1_000).saturating_mul(1_000);
        Timestamp::from_unix_millis(full).min(latest)
    }
}
