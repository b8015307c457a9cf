//! What people with a duty did, and what they were refused: a chain that shows every cut.
//!
//! ```text
//!  entry n { actor, action, target, before, after, reason, verdict, previous = hash n-1 } -> hash n
//! ```
//! Every command that needs a duty is written down by `answer()`, also a refused one; the market's
//! own machinery is not. The digests of a target are taken over its stored bytes: they say that it
//! changed, and mean nothing outside this protocol. The newest entries stay in the state, older ones
//! are taken by whoever keeps the history. Read next: `permission.rs` for what needs a duty.

mod target;

use std::sync::Arc;

use fairground_types::command::{Actor, Command, Envelope, StoryCommand};
use fairground_types::role::Action;
use fairground_types::text::Note;
use fairground_types::{Code, CommandId, Digest, LogIndex, Role, Timestamp, Verdict, limits};
use wincode::{SchemaRead, SchemaWrite};

use self::target::{Target, action_of, reason_of, target_of};
use crate::Market;
use crate::apply::Turn;
use crate::cow_map::CowMap;
use crate::permission::duty_of;
use crate::row::{AuditFilter, AuditRow};

/// One privileged act.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct AuditEntry {
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// The entry of the log that it was in.
    pub index: LogIndex,
    /// Log time of that entry.
    pub at: Timestamp,
    /// On whose authority.
    pub actor: Actor,
    /// Duties that the actor had.
    pub roles: Vec<Role>,
    /// Which duty was needed.
    pub need: String,
    /// What was asked, for example `Auction.CancelAuction`.
    pub action: String,
    /// What it was about; empty where it was about nothing in particular.
    pub target: String,
    /// Digest of the target before; equal to the one after when nothing changed.
    pub before: Digest,
    /// Digest of the target after.
    pub after: Digest,
    /// Why it was refused; absent when it was done.
    pub refused: Option<Code>,
    /// The reason that was given.
    pub reason: Option<Note>,
    /// Identity of the command.
    pub command: CommandId,
    /// Hash of the entry before.
    pub previous: Digest,
    /// Hash of this entry.
    pub hash: Digest,
}

/// The newest part of the chain.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Audit {
    next_seq: u64,
    last: Digest,
    /// Hash of the newest entry that has left.
    base: Digest,
    entries: CowMap<u64, Arc<AuditEntry>>,
}

impl Default for Audit {
    fn default() -> Self {
        let start = Digest::of(b"fairground audit");
        Self { next_seq: 1, last: start, base: start, entries: CowMap::default() }
    }
}

/// A privileged act that is about to be judged.
pub(crate) struct Watched {
    need: Action,
    target: Target,
    before: Digest,
}

/// Parts behind their lengths, so that no two lists of parts collide.
fn hash_of(entry: &AuditEntry) -> Digest {
    let roles: Vec<String> = entry.roles.iter().map(|role| format!("{role:?}")).collect();
    let parts = [
        entry.seq.to_string(),
        entry.index.0.to_string(),
        entry.at.as_unix_millis().to_string(),
        actor_text(&entry.actor),
        roles.join(","),
        entry.need.clone(),
        entry.action.clone(),
        entry.target.clone(),
        entry.before.to_string(),
        entry.after.to_string(),
        entry.refused.map_or_else(String::new, |code| code.as_str().to_owned()),
        entry.reason.as_ref().map_or_else(String::new, |reason| reason.as_str().to_owned()),
        entry.command.to_string(),
        entry.previous.to_string(),
    ];
    let mut bytes = Vec::new();
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Digest::of(&bytes)
}

/// Who, as a text.
pub(crate) fn actor_text(actor: &Actor) -> String {
    match actor {
        Actor::User(user) => user.to_string(),
        Actor::Edge(edge) => edge.to_string(),
        Actor::Cluster => "operator".to_owned(),
        Actor::Anonymous => "nobody".to_owned(),
    }
}

impl Audit {
    fn push(&mut self, mut entry: AuditEntry) {
        entry.seq = self.next_seq;
        entry.previous = self.last;
        entry.hash = hash_of(&entry);
        self.last = entry.hash;
        self.next_seq = self.next_seq.saturating_add(1);
        self.entries.insert(entry.seq, Arc::new(entry));
    }

    /// Whether more entries are here than stay.
    pub(crate) fn has_surplus(&self) -> bool {
        self.entries.len() > limits::AUDIT_KEEP_MAX
    }

    /// Lets at most `max` of the oldest entries go, as far as more than the newest
    /// [`limits::AUDIT_KEEP_MAX`] are here: for the history.
    pub(crate) fn take_oldest(&mut self, max: usize) -> Vec<Arc<AuditEntry>> {
        let surplus = self.entries.len().saturating_sub(limits::AUDIT_KEEP_MAX).min(max);
        let oldest: Vec<Arc<AuditEntry>> = self.entries.values().take(surplus).cloned().collect();
        for entry in &oldest {
            self.entries.remove(&entry.seq);
            self.base = entry.hash;
        }
        oldest
    }

    /// What is wrong with the chain, if anything.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut previous = self.base;
        let mut next: Option<u64> = None;
        for entry in self.entries.values() {
            if next.is_some_and(|next| next != entry.seq) {
                faults.push(format!("audit entry {} does not follow", entry.seq));
            }
            if entry.previous != previous || entry.hash != hash_of(entry) {
                faults.push(format!("audit entry {} does not fit the chain", entry.seq));
            }
            previous = entry.hash;
            next = Some(entry.seq.saturating_add(1));
        }
        if previous != self.last || next.is_some_and(|next| next != self.next_seq) {
            faults.push("the audit chain ends elsewhere".to_owned());
        }
        faults
    }

    /// Entries from a place on, oldest first.
    pub(crate) fn from(&self, seq: u64) -> impl Iterator<Item = &AuditEntry> {
        self.entries.iter_from(seq).map(|(_, entry)| entry.as_ref())
    }
}

impl Market {
    /// Notes a command that needs a duty before it is judged.
    pub(crate) fn watch(&self, envelope: &Envelope) -> Option<Watched> {
        let need = duty_of(&envelope.command).or_else(|| self.foreign_roll_back(envelope))?;
        let target = target_of(&envelope.command);
        let before = self.target_digest(&target);
        Some(Watched { need, target, before })
    }

    /// A maker takes an own story back without a duty; whoever else does has one.
    fn foreign_roll_back(&self, envelope: &Envelope) -> Option<Action> {
        let Command::Story(StoryCommand::RollBackStory { story, .. }) = &envelope.command else {
            return None;
        };
        let maker = self.stories.get(story).map(|story| story.maker);
        (maker.map(Actor::User).as_ref() != Some(&envelope.actor)).then_some(Action::Administer)
    }

    /// Writes down how it was judged.
    pub(crate) fn write_down(
        &mut self,
        turn: &Turn,
        envelope: &Envelope,
        watched: Watched,
        verdict: &Verdict,
    ) {
        let roles = match &envelope.actor {
            Actor::User(user) => self.account(*user).map(crate::Account::roles).unwrap_or_default(),
            Actor::Edge(_) | Actor::Cluster | Actor::Anonymous => Vec::new(),
        };
        let unknown = Digest::of(&[]);
        self.audit.push(AuditEntry {
            seq: 0,
            index: turn.index,
            at: turn.at,
            actor: envelope.actor.clone(),
            roles,
            need: format!("{:?}", watched.need),
            action: action_of(&envelope.command),
            target: watched.target.to_string(),
            before: watched.before,
            after: self.target_digest(&watched.target),
            refused: verdict.code(),
            reason: reason_of(&envelope.command).cloned(),
            command: envelope.id,
            previous: unknown,
            hash: unknown,
        });
    }

    /// Audit entries that match, oldest first, from a place on.
    pub fn audit<'a>(
        &'a self,
        from: u64,
        filter: &'a AuditFilter,
    ) -> impl Iterator<Item = AuditRow> + 'a {
        self.audit.from(from).map(AuditRow::of).filter(|row| filter.passes(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AuditEntry {
        let none = Digest::of(&[]);
        AuditEntry {
            seq: 0,
            index: LogIndex(1),
            at: Timestamp::EPOCH,
            actor: Actor::Cluster,
            roles: vec![],
            need: "Administer".to_owned(),
            action: "Govern.SetFlag".to_owned(),
            target: "flag auctions.enabled".to_owned(),
            before: none,
            after: none,
            refused: None,
            reason: None,
            command: CommandId::from_bytes([1; 32]),
            previous: none,
            hash: none,
        }
    }

    #[test]
    fn a_changed_left_out_or_added_entry_breaks_the_chain() {
        let mut audit = Audit::default();
        for _ in 0..5 {
            audit.push(entry());
        }
        assert_eq!(audit.faults(), Vec::<String>::new());

        let mut changed = audit.clone();
        let third = changed.entries.get(&3).cloned().expect("there are five");
        changed
            .entries
            .insert(3, Arc::new(AuditEntry { refused: Some(Code::Forbidden), ..(*third).clone() }));
        assert!(!changed.faults().is_empty());

        // Sound by itself, but of another history.
        let mut foreign = audit.clone();
        let mut third = AuditEntry { previous: Digest::of(b"elsewhere"), ..(*third).clone() };
        third.hash = hash_of(&third);
        let fourth = audit.entries.get(&4).expect("there are five");
        let mut fourth = AuditEntry { previous: audit.base, ..(**fourth).clone() };
        fourth.hash = hash_of(&fourth);
        foreign.entries.insert(3, Arc::new(third));
        assert_eq!(foreign.faults().len(), 2, "the third and who follows it");
        foreign.entries.insert(4, Arc::new(fourth));
        assert_eq!(foreign.faults().len(), 3, "the third, the fourth and who follows it");

        let mut cut = audit.clone();
        cut.entries.remove(&3);
        assert!(!cut.faults().is_empty());

        let mut last_cut = audit.clone();
        last_cut.entries.remove(&5);
        assert!(!last_cut.faults().is_empty());

        let mut added = audit;
        let fifth = added.entries.get(&5).cloned().expect("there are five");
        added.entries.insert(6, fifth);
        assert!(!added.faults().is_empty());
    }

    #[test]
    fn the_newest_stay_and_the_chain_holds_when_the_oldest_leave() {
        let mut audit = Audit::default();
        for _ in 0..limits::AUDIT_KEEP_MAX + 10 {
            audit.push(entry());
        }
        assert_eq!(audit.take_oldest(4).len(), 4);
        assert_eq!(audit.faults(), Vec::<String>::new());
        let rest = audit.take_oldest(100);
        assert_eq!(rest.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
        assert_eq!(audit.entries.len(), limits::AUDIT_KEEP_MAX);
        assert_eq!(audit.faults(), Vec::<String>::new());
        assert!(audit.take_oldest(100).is_empty());
    }
}
