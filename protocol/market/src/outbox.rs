//! The outbox: effects that are decided and not yet reported as done.
//!
//! Bounded: notices are dropped when it is full, nothing else is. It must not know how an effect is
//! carried out. Read next: [`crate::effect`] for the kinds.

use std::sync::Arc;

use fairground_types::command::{CheckResult, EffectOutcome, RecordCheck};
use fairground_types::{Accepted, AuctionId, Code, EffectId, Millis, Rejection, Timestamp, UserId};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::cow_map::CowMap;
use crate::deadline::DueKind;
use crate::effect::{Effect, NoticeKind, PendingEffect};

/// Effects that may wait before notices are dropped.
const OUTBOX_MAX: usize = 50_000;
/// How long a notice is worth sending.
pub(crate) const NOTICE_LIFE: Millis = Millis::from_hours(24);

/// What waits to be done in the world.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Outbox {
    pub(crate) pending: CowMap<EffectId, Arc<PendingEffect>>,
    /// An unsent outbid notice per bidder and auction: one is enough.
    pub(crate) outbid: CowMap<(UserId, AuctionId), EffectId>,
}

impl Outbox {
    /// Whether an outbid notice would be kept: asked before one is made, since most bids outbid
    /// somebody who waits for the last one still.
    pub(crate) fn takes_outbid(&self, bidder: UserId, auction: AuctionId) -> bool {
        self.pending.len() < OUTBOX_MAX && !self.outbid.contains_key(&(bidder, auction))
    }

    pub(crate) fn remove(&mut self, id: EffectId) {
        let Some(gone) = self.pending.remove(&id) else { return };
        if let Some(key) = outbid_key(&gone.effect) {
            self.outbid.remove(&key);
        }
    }
}

fn outbid_key(effect: &Effect) -> Option<(UserId, AuctionId)> {
    match effect {
        Effect::Notify(notice) if notice.kind == NoticeKind::Outbid => {
            notice.auction.map(|auction| (notice.user, auction))
        }
        Effect::Notify(_)
        | Effect::SendCode { .. }
        | Effect::OpenCheckout(_)
        | Effect::ExpireCheckout { .. }
        | Effect::CheckStory(_)
        | Effect::CreateRefund(_)
        | Effect::CreateTransfer(_)
        | Effect::ReverseTransfer(_)
        | Effect::CreateConnectedAccount { .. }
        | Effect::ReadCharge { .. } => None,
    }
}

impl Market {
    /// Effects that are not reported as done, oldest first.
    pub fn outbox(&self) -> impl Iterator<Item = &PendingEffect> {
        self.outbox.pending.values().map(AsRef::as_ref)
    }

    /// One effect of the outbox.
    #[must_use]
    pub fn effect(&self, id: EffectId) -> Option<&PendingEffect> {
        self.outbox.pending.get(&id).map(AsRef::as_ref)
    }

    pub(crate) fn add_effect(
        &mut self,
        turn: &mut Turn,
        effect: Effect,
        expires_at: Option<Timestamp>,
    ) -> EffectId {
        let id = EffectId::from_bits(turn.make_bits());
        let is_notice = matches!(effect, Effect::Notify(_));
        if is_notice && self.outbox.pending.len() >= OUTBOX_MAX {
            return id;
        }
        if let Some(key) = outbid_key(&effect) {
            if self.outbox.outbid.contains_key(&key) {
                return id;
            }
            self.outbox.outbid.insert(key, id);
        }
        if let Some(at) = expires_at {
            self.deadlines.add(at, DueKind::Effect(id));
        }
        let pending = PendingEffect { id, effect, index: turn.index, at: turn.at, expires_at };
        self.outbox.pending.insert(id, Arc::new(pending));
        turn.effects_added = true;
        id
    }

    /// Puts an effect back under its own id, the key abroad.
    pub(crate) fn put_back(&mut self, turn: &mut Turn, pending: PendingEffect) {
        self.outbox.pending.insert(pending.id, Arc::new(pending));
        turn.effects_added = true;
    }

    pub(crate) fn drop_effect(&mut self, id: EffectId) {
        if let Some(at) = self.outbox.pending.get(&id).and_then(|pending| pending.expires_at) {
            self.deadlines.remove(at, DueKind::Effect(id));
        }
        self.outbox.remove(id);
    }

    /// An effect is over. Reporting it twice, or after it was dropped, changes nothing.
    pub(crate) fn complete_effect(
        &mut self,
        turn: &mut Turn,
        id: EffectId,
        outcome: EffectOutcome,
    ) -> Answer {
        let Some(pending) = self.outbox.pending.get(&id) else { return Ok(Accepted::Done) };
        let effect = pending.effect.clone();
        if effect.moves_money() {
            return Err(Rejection::new(Code::InvalidState, "report what came of it"));
        }
        match (&effect, outcome) {
            (Effect::OpenCheckout(open), EffectOutcome::Abandoned | EffectOutcome::Unknown) => {
                self.fail_attempt(turn, open.lock, open.attempt, "the session was not opened");
            }
            (Effect::OpenCheckout(_), EffectOutcome::Happened) => {
                return Err(Rejection::new(Code::InvalidState, "report the session itself"));
            }
            (Effect::CheckStory(check), _) => {
                // Whoever cannot look says so: a moderator does.
                let unavailable = RecordCheck {
                    effect: id,
                    story: check.story,
                    version: check.version,
                    result: CheckResult::Unavailable,
                };
                return self.record_check(turn, &unavailable);
            }
            (
                Effect::ExpireCheckout { lock, attempt, .. },
                EffectOutcome::Happened | EffectOutcome::Abandoned | EffectOutcome::Unknown,
            ) => self.attempt_ended(turn, *lock, *attempt),
            (
                Effect::SendCode { .. }
                | Effect::Notify(_)
                | Effect::CreateRefund(_)
                | Effect::CreateTransfer(_)
                | Effect::ReverseTransfer(_)
                | Effect::CreateConnectedAccount { .. }
                | Effect::ReadCharge { .. },
                EffectOutcome::Happened | EffectOutcome::Abandoned | EffectOutcome::Unknown,
            ) => {}
        }
        self.drop_effect(id);
        Ok(Accepted::Done)
    }
}
