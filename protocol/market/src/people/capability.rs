//! Capabilities (domain 3.11): what an account may do once it was checked.
//!
//! ```text
//!  none --request--> requested --check pending--> in review --> approved <--> review required
//!    \                  \------- check failed / refused --> blocked --request--> requested
//!     \-- maker access open, nothing to check --> approved
//! ```
//! Collecting payments follows the account at the payment provider too: ready gives it, restricted or
//! closed sends it to review. A request is one row per account and capability, whatever how often it is made. Losing one never
//! ends a lock or an order; it only stops what is new.

use fairground_types::command::{CapabilityDecision, CompleteTask, TaskOutcome};
use fairground_types::limits::BLOCKERS_MAX;
use fairground_types::people::{Blocker, MakerAccess};
use fairground_types::text::{BlockerCode, Note};
use fairground_types::{
    Accepted, Capability, Code, NoticeKind, PublicEvent, Rejection, Role, TaskId, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::notice::about;

/// Where a capability of an account stands.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum CapabilityState {
    /// Asked for; the check has not begun.
    Requested {
        /// When.
        at: Timestamp,
        /// The check that it waits for.
        task: TaskId,
    },
    /// A provider or an admin looks at it.
    InReview {
        /// Since when.
        at: Timestamp,
        /// The check, when a provider does it.
        task: Option<TaskId>,
    },
    /// Given.
    Approved {
        /// When.
        at: Timestamp,
    },
    /// Given before; it rests until it was looked at again.
    ReviewRequired {
        /// Since when.
        at: Timestamp,
        /// Why.
        blockers: Vec<Blocker>,
    },
    /// Refused.
    Blocked {
        /// When.
        at: Timestamp,
        /// Why.
        blockers: Vec<Blocker>,
    },
}

impl CapabilityState {
    /// Its name in the public API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "requested",
            Self::InReview { .. } => "inReview",
            Self::Approved { .. } => "approved",
            Self::ReviewRequired { .. } => "reviewRequired",
            Self::Blocked { .. } => "blocked",
        }
    }

    /// Since when it stands so.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        match self {
            Self::Requested { at, .. }
            | Self::InReview { at, .. }
            | Self::Approved { at }
            | Self::ReviewRequired { at, .. }
            | Self::Blocked { at, .. } => *at,
        }
    }

    /// The check that it waits for.
    #[must_use]
    pub const fn task(&self) -> Option<TaskId> {
        match self {
            Self::Requested { task, .. } => Some(*task),
            Self::InReview { task, .. } => *task,
            Self::Approved { .. } | Self::ReviewRequired { .. } | Self::Blocked { .. } => None,
        }
    }

    /// Why it is not given.
    #[must_use]
    pub fn blockers(&self) -> &[Blocker] {
        match self {
            Self::ReviewRequired { blockers, .. } | Self::Blocked { blockers, .. } => blockers,
            Self::Requested { .. } | Self::InReview { .. } | Self::Approved { .. } => &[],
        }
    }
}

/// What is named when a payout account cannot be paid to.
const PAYOUT_BLOCKER: &str = "payout-account";

fn payout_blockers() -> Vec<Blocker> {
    let text = Note::parse("the payout account cannot be paid to: complete it at the provider");
    let named = BlockerCode::parse(PAYOUT_BLOCKER).ok().zip(text.ok());
    named.map(|(code, text)| Blocker { code, text }).into_iter().collect()
}

fn bounded(mut blockers: Vec<Blocker>) -> Vec<Blocker> {
    blockers.truncate(BLOCKERS_MAX);
    blockers
}

impl Market {
    /// Whether an account has a capability now.
    ///
    /// # Errors
    /// `CAPABILITY_REQUIRED`, with what stands in the way.
    pub fn require_capability(
        &self,
        user: UserId,
        capability: Capability,
    ) -> Result<(), Rejection> {
        let missing = |why: &str| {
            let detail = format!("the capability {} is missing: {why}", capability.as_str());
            Err(Rejection::new(Code::CapabilityRequired, detail))
        };
        let person = self.person(user)?;
        match person.capabilities.get(&capability) {
            Some(CapabilityState::Approved { .. }) => {}
            None => return missing("it was not requested"),
            Some(CapabilityState::Requested { .. }) => return missing("its check has not begun"),
            Some(CapabilityState::InReview { .. }) => return missing("it is being looked at"),
            Some(
                state @ (CapabilityState::ReviewRequired { .. } | CapabilityState::Blocked { .. }),
            ) => {
                let codes: Vec<&str> =
                    state.blockers().iter().map(|blocker| blocker.code.as_str()).collect();
                return missing(&format!("{} ({})", state.name(), codes.join(", ")));
            }
        }
        let pause = person.publishing_paused_until.filter(|until| *until > self.at);
        match (capability, pause) {
            (Capability::Publish, Some(until)) => {
                let detail = "publishing is paused after strikes";
                Err(Rejection::new(Code::CapabilityRequired, detail).with_retry_at(until))
            }
            _ => Ok(()),
        }
    }

    /// Where a capability of an account stands.
    #[must_use]
    pub fn capability(&self, user: UserId, capability: Capability) -> Option<&CapabilityState> {
        self.accounts.account(user)?.person.capabilities.get(&capability)
    }

    pub(crate) fn request_capability(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        capability: Capability,
        task: TaskId,
    ) -> Answer {
        let person = self.person(user)?;
        let is_new = match person.capabilities.get(&capability) {
            None | Some(CapabilityState::Blocked { .. }) => true,
            Some(
                CapabilityState::Requested { .. }
                | CapabilityState::InReview { .. }
                | CapabilityState::Approved { .. }
                | CapabilityState::ReviewRequired { .. },
            ) => false,
        };
        if !is_new {
            return Ok(Accepted::Done);
        }
        let trust = person.devices.values().map(|device| device.trust).max().unwrap_or(8_000);
        if trust < self.cluster.policy.device_trust_min {
            let detail = "ask from a device that is trusted more";
            return Err(Rejection::new(Code::NotEligible, detail));
        }
        let access = self.cluster.policy.maker_access;
        if access == MakerAccess::Invite && !self.is_maker(user) {
            return Err(Rejection::new(Code::NotEligible, "makers are invited"));
        }
        if self.accounts.tasks.contains_key(&task) {
            return Err(Rejection::new(Code::InvalidState, "the id of the check is taken"));
        }
        let is_checked = self.cluster.policy.checked_capabilities.contains(&capability);
        let at = turn.at;
        let state = if is_checked {
            self.accounts.tasks.insert(task, (user, capability));
            CapabilityState::Requested { at, task }
        } else if self.waits_for_an_admin(user, capability) {
            CapabilityState::InReview { at, task: None }
        } else {
            CapabilityState::Approved { at }
        };
        if !matches!(state, CapabilityState::Approved { .. }) {
            self.notify(turn, about(user, NoticeKind::CapabilityRequested));
        }
        self.set_capability(turn, user, capability, state);
        Ok(Accepted::Done)
    }

    fn is_maker(&self, user: UserId) -> bool {
        self.accounts.account(user).is_some_and(|account| account.has_role(Role::Maker))
    }

    fn waits_for_an_admin(&self, user: UserId, capability: Capability) -> bool {
        self.cluster.policy.maker_access == MakerAccess::Approval
            && capability == Capability::Publish
            && !self.is_maker(user)
    }

    /// A provider's answer counts as long as its check is the one that is waited for.
    pub(crate) fn complete_task(&mut self, turn: &mut Turn, complete: &CompleteTask) -> Answer {
        let known = self.accounts.tasks.get(&complete.task).copied();
        let (user, capability) = known.ok_or_else(super::not_found)?;
        let waits = self
            .capability(user, capability)
            .is_some_and(|state| state.task() == Some(complete.task));
        if !waits {
            // Answered before: providers repeat themselves.
            return Ok(Accepted::Done);
        }
        let at = turn.at;
        let state = match &complete.outcome {
            TaskOutcome::Pending => CapabilityState::InReview { at, task: Some(complete.task) },
            TaskOutcome::Passed if self.waits_for_an_admin(user, capability) => {
                CapabilityState::InReview { at, task: None }
            }
            TaskOutcome::Passed => CapabilityState::Approved { at },
            TaskOutcome::Failed { blockers } => {
                CapabilityState::Blocked { at, blockers: bounded(blockers.clone()) }
            }
        };
        self.set_capability(turn, user, capability, state);
        Ok(Accepted::Done)
    }

    pub(crate) fn decide_capability(
        &mut self,
        turn: &mut Turn,
        (user, capability): (UserId, Capability),
        decision: &CapabilityDecision,
    ) -> Answer {
        self.person(user)?;
        let at = turn.at;
        let state = match decision {
            CapabilityDecision::Approve => CapabilityState::Approved { at },
            CapabilityDecision::Block { blockers } => {
                CapabilityState::Blocked { at, blockers: bounded(blockers.clone()) }
            }
            CapabilityDecision::Review { blockers } => {
                let known = self.capability(user, capability);
                if !matches!(known, Some(CapabilityState::Approved { .. })) {
                    let detail = "only a capability that was given is looked at again";
                    return Err(Rejection::new(Code::InvalidState, detail));
                }
                CapabilityState::ReviewRequired { at, blockers: bounded(blockers.clone()) }
            }
        };
        self.set_capability(turn, user, capability, state);
        Ok(Accepted::Done)
    }

    /// A maker's account at the payment provider was heard of. Who can be paid may collect payments;
    /// who cannot any more is looked at again. What staff decided otherwise stays.
    pub(crate) fn follow_payout_account(&mut self, turn: &mut Turn, user: UserId, is_ready: bool) {
        if self.require_active(user).is_err() {
            return;
        }
        let at = turn.at;
        let capability = Capability::CollectPayments;
        let state = match (is_ready, self.capability(user, capability)) {
            (
                true,
                None | Some(CapabilityState::Requested { .. } | CapabilityState::InReview { .. }),
            ) => CapabilityState::Approved { at },
            (true, Some(CapabilityState::ReviewRequired { blockers, .. }))
                if blockers.iter().all(|known| known.code.as_str() == PAYOUT_BLOCKER) =>
            {
                CapabilityState::Approved { at }
            }
            (false, Some(CapabilityState::Approved { .. })) => {
                CapabilityState::ReviewRequired { at, blockers: payout_blockers() }
            }
            (
                true,
                Some(
                    CapabilityState::Approved { .. }
                    | CapabilityState::ReviewRequired { .. }
                    | CapabilityState::Blocked { .. },
                ),
            )
            | (
                false,
                None
                | Some(
                    CapabilityState::Requested { .. }
                    | CapabilityState::InReview { .. }
                    | CapabilityState::ReviewRequired { .. }
                    | CapabilityState::Blocked { .. },
                ),
            ) => return,
        };
        self.set_capability(turn, user, capability, state);
    }

    /// Puts a capability into a state, tells its owner, and makes who may publish a maker.
    pub(crate) fn set_capability(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        capability: Capability,
        state: CapabilityState,
    ) {
        let kind = match &state {
            CapabilityState::Approved { .. } => Some(NoticeKind::CapabilityUnlocked),
            CapabilityState::Blocked { .. } => Some(NoticeKind::CapabilityBlocked),
            CapabilityState::ReviewRequired { .. } => Some(NoticeKind::CapabilityDowngraded),
            CapabilityState::Requested { .. } | CapabilityState::InReview { .. } => None,
        };
        let unlocks = matches!(state, CapabilityState::Approved { .. });
        self.change_person(user, |person| {
            person.capabilities.insert(capability, state);
        });
        if let Some(kind) = kind {
            let mut notice = about(user, kind);
            notice.text = Some(capability.as_str().to_owned());
            self.notify(turn, notice);
        }
        if unlocks && capability == Capability::CollectPayments {
            self.capability_restored(turn, user);
        }
        if unlocks && capability == Capability::Publish {
            self.make_maker(turn, user);
        }
    }

    fn make_maker(&mut self, turn: &mut Turn, user: UserId) {
        let Some(account) = self.accounts.account(user) else { return };
        if account.has_role(Role::Maker) {
            return;
        }
        let handle = account.handle.clone();
        self.accounts.change(user, |account| {
            account.roles.insert(Role::Maker);
        });
        if let Some(handle) = handle {
            turn.events.push(PublicEvent::HandleSet { user, handle });
        }
    }

    /// Gives every capability that a maker needs, without a word to anybody: an operator's decision.
    pub(crate) fn give_capabilities(&mut self, turn: &Turn, user: UserId) {
        let at = turn.at;
        self.change_person(user, |person| {
            for capability in Capability::ALL {
                let known = person.capabilities.get(&capability);
                if !matches!(known, Some(CapabilityState::Approved { .. })) {
                    person.capabilities.insert(capability, CapabilityState::Approved { at });
                }
            }
        });
    }

    /// Becoming a maker is asking for everything that one needs.
    pub(crate) fn become_maker(&mut self, turn: &mut Turn, user: UserId) -> Answer {
        match self.cluster.policy.maker_access {
            MakerAccess::Open => {}
            MakerAccess::Approval => {
                return Err(Rejection::new(
                    Code::NotEligible,
                    "makers are admitted by an admin: request the capability publish",
                ));
            }
            MakerAccess::Invite => {
                return Err(Rejection::new(Code::NotEligible, "makers are invited"));
            }
        }
        let checked = self.cluster.policy.checked_capabilities.clone();
        let at = turn.at;
        if checked.contains(&Capability::Publish) {
            let detail = "publishing is checked here: request the capability publish";
            return Err(Rejection::new(Code::NotEligible, detail));
        }
        self.change_person(user, |person| {
            for capability in Capability::ALL {
                if !checked.contains(&capability) {
                    let given = CapabilityState::Approved { at };
                    person.capabilities.entry(capability).or_insert(given);
                }
            }
        });
        self.make_maker(turn, user);
        Ok(Accepted::Done)
    }
}
