//! Bids and offers at this edge: looked up, admitted, stamped, journalled, receipted, waited for.
//!
//! ```text
//!   request -> known here? -> placed in the view? -> admissible? -> ready? -> stamp -> journal
//!                 |                |                    |             |                  | fsync
//!               verdict          verdict             refusal       declined           receipt
//!                                                                                        |
//!                    uplink's verdict, or the view's, wakes  <---------------------- Pending
//! ```
//! It must not refuse on anything that may become untrue, nor forget what it has receipted. Rules:
//! `docs/src/internals/bids.md`. Read next: [`receipt`], `uplink.rs`.

mod ready;
pub(crate) mod receipt;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fairground_market::{Placed, PublicView, admission};
use fairground_runtime::shutdown::Tasks;
use fairground_seam::watch;
use fairground_storage::StorageError;
use fairground_storage::intake::{Found, Journal, Synced, Written};
use fairground_types::event::{FeedItem, PublicEvent};
use fairground_types::journal::{Intake, JournalEntry};
use fairground_types::verdict::{Accepted, Judged};
use fairground_types::{
    AuctionId, BidId, Code, CommandId, Digest, LogIndex, Millis, OfferId, Rejection, Timestamp,
    UserId, Verdict,
};
use fairground_wire::message::SeqVerdict;
use quick_cache::sync::Cache;

pub(crate) use ready::NotReady;
use receipt::ReceiptDesk;

use crate::clock::CoordinatorTime;
use crate::error::Error;
use crate::link::chain;
use crate::metrics;
use crate::replica::Followed;

/// How long a receipt may take: a disk that is slower than this answers nobody.
const SYNC_WAIT: Duration = Duration::from_secs(10);
/// Judged bids whose command is remembered by their id.
const REMEMBERED_MAX: usize = 100_000;

/// What a client is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// The log has judged.
    Judged {
        /// The verdict.
        judged: Judged,
        /// The receipt, where this edge gave one.
        receipt: Option<Arc<str>>,
    },
    /// Durable here; the verdict follows.
    Received {
        /// The receipt.
        receipt: Option<Arc<str>>,
    },
    /// Refused on a fact that the view at this index holds.
    Refused {
        /// Why.
        rejection: Rejection,
        /// Index of the view.
        index: LogIndex,
    },
    /// This edge takes no bids now; nothing was kept.
    Declined {
        /// Why.
        reason: NotReady,
    },
    /// The disk failed or is too slow; whether the bid is kept is unknown.
    Unknown,
}

/// How a command that is under way at this edge stands.
#[derive(Clone, Debug, Default)]
struct Progress {
    receipt: Option<Arc<str>>,
    judged: Option<Judged>,
    failure: Option<Failure>,
    is_synced: bool,
    /// Its place in the journal, once it has one.
    seq: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    Full,
    Unknown,
}

struct Pending {
    /// Index of the view that it was looked at with.
    view: LogIndex,
    body: Digest,
    user: UserId,
    bid: BidId,
    progress: watch::Sender<Progress>,
}

/// The state of a bid for its bidder, as far as this edge knows.
pub(crate) struct Known {
    /// Whose it is.
    pub(crate) user: UserId,
    /// The verdict, if there is one.
    pub(crate) judged: Option<Judged>,
    /// The receipt.
    pub(crate) receipt: Option<Arc<str>>,
}

#[derive(Default)]
struct Table {
    by_command: BTreeMap<CommandId, Arc<Pending>>,
    by_bid: BTreeMap<BidId, CommandId>,
}

impl Table {
    /// Whether a verdict is on an entry before the one that waits under its command.
    fn is_about_another(&self, verdict: &SeqVerdict) -> bool {
        let pending = self.by_command.get(&verdict.command);
        let seq = pending.and_then(|pending| pending.progress.borrow().seq);
        seq.is_some_and(|seq| seq != verdict.seq)
    }
}

/// Takes bids and offers.
pub(crate) struct IntakeDesk {
    pub(crate) journal: Arc<Journal>,
    pub(crate) is_draining: AtomicBool,
    /// The state knows another journal than ours: this edge needs a new identity.
    pub(crate) needs_new_identity: AtomicBool,
    /// The journal was compared with what the state knows of it, since the start. An old image of
    /// an edge must not give a receipt with a sequence that was used before.
    pub(crate) is_checked: AtomicBool,
    takes_bids: bool,
    receipts: ReceiptDesk,
    time: Arc<CoordinatorTime>,
    view: Arc<Followed>,
    tasks: Tasks,
    table: Mutex<Table>,
    remembered: Cache<BidId, CommandId>,
}

/// What an [`IntakeDesk`] works with.
pub(crate) struct DeskParts {
    pub(crate) journal: Arc<Journal>,
    pub(crate) takes_bids: bool,
    pub(crate) receipts: ReceiptDesk,
    pub(crate) time: Arc<CoordinatorTime>,
    pub(crate) view: Arc<Followed>,
    pub(crate) tasks: Tasks,
}

impl IntakeDesk {
    /// Opens the desk; entries without a verdict wait for it again.
    pub(crate) fn open(parts: DeskParts) -> Result<Arc<Self>, Error> {
        let DeskParts { journal, takes_bids, receipts, time, view, tasks } = parts;
        let desk = Self {
            journal,
            is_draining: AtomicBool::new(false),
            needs_new_identity: AtomicBool::new(false),
            is_checked: AtomicBool::new(false),
            takes_bids,
            receipts,
            time,
            view,
            tasks,
            table: Mutex::default(),
            remembered: Cache::new(REMEMBERED_MAX),
        };
        desk.recover()?;
        Ok(Arc::new(desk))
    }

    fn recover(&self) -> Result<(), Error> {
        let mut from = self.journal.standing().open_from;
        loop {
            let entries = match self.journal.entries_from(from, 1_024) {
                Ok(entries) => entries,
                // The uplink passes it over; what is behind it is waited for as well.
                Err(error) if error.is_damage() => {
                    tracing::error!(seq = from, error = %chain(&error), "a journal entry is lost");
                    from = from.saturating_add(1);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some(last) = entries.last() else { return Ok(()) };
            from = last.seq.saturating_add(1);
            for entry in entries {
                let found = self.journal.lookup(&entry.intake.command())?;
                // An entry before the one that counts has had its verdict.
                if found.is_some_and(|found| found.judged.is_none() && found.entry == entry) {
                    self.wait_again(&entry);
                }
            }
        }
    }

    /// A pending command for an entry that is on disk.
    fn wait_again(&self, entry: &JournalEntry) -> Arc<Pending> {
        let progress = Progress {
            receipt: self.receipt_again(entry),
            is_synced: true,
            seq: Some(entry.seq),
            ..Progress::default()
        };
        let pending = Arc::new(Pending::new(&entry.intake, self.view.index(), progress));
        let mut table = self.lock();
        let command = entry.intake.command();
        table.by_bid.insert(pending.bid, command);
        Arc::clone(table.by_command.entry(command).or_insert(pending))
    }

    /// Takes a bid or an offer and waits at most `wait` for its verdict.
    pub(crate) async fn take(self: &Arc<Self>, intake: Intake, wait: Duration) -> Answer {
        let started = self.time.monotonic();
        let answer = self.take_inner(intake, wait).await;
        metrics::taken(
            &answer,
            self.time.monotonic().as_millis().saturating_sub(started.as_millis()),
        );
        answer
    }

    async fn take_inner(self: &Arc<Self>, intake: Intake, wait: Duration) -> Answer {
        let command = intake.command();
        let waiting = self.lock().by_command.get(&command).cloned();
        if let Some(pending) = waiting {
            return self.join(&pending, &intake, wait).await;
        }
        match self.journal.lookup(&command) {
            // A refusal for the signature stands for its entry alone: this one is judged by itself.
            Ok(Some(found)) if found.is_of_signature() => {}
            Ok(Some(found)) => return self.answer_found(&found, &intake, wait).await,
            Ok(None) => {}
            Err(error) => {
                tracing::error!(error = %chain(&error), "journal not read");
                return Answer::Unknown;
            }
        }
        let (answer, view) = self.view.read(|view| (first_look(view, &intake), view.index()));
        match answer {
            Some(answer) => answer,
            None => self.enter(intake, view, wait).await,
        }
    }

    /// Journals an intake that was judged admissible on the view at `view`.
    async fn enter(self: &Arc<Self>, intake: Intake, view: LogIndex, wait: Duration) -> Answer {
        let command = intake.command();
        let stamp = match self.readiness() {
            Ok(stamp) => stamp,
            Err(reason) => return Answer::Declined { reason },
        };
        let fresh = Arc::new(Pending::new(&intake, view, Progress::default()));
        let pending = {
            let mut table = self.lock();
            table.by_bid.insert(fresh.bid, command);
            Arc::clone(table.by_command.entry(command).or_insert_with(|| Arc::clone(&fresh)))
        };
        if !Arc::ptr_eq(&pending, &fresh) {
            return self.join(&pending, &intake, wait).await;
        }
        // Handed in here: tasks run in any order, and bids keep the one in which they came.
        let written = self.journal.append(stamp, intake);
        // In a task of its own: a client that hangs up must not leave a bid without its receipt.
        let desk = Arc::clone(self);
        let writing = Arc::clone(&pending);
        self.tasks.spawn_one("journal append", async move {
            let synced = written.await;
            desk.synced(&writing, command, synced);
        });
        self.wait_for(&pending, wait).await
    }

    fn synced(&self, pending: &Pending, command: CommandId, synced: Result<Synced, StorageError>) {
        match synced {
            Ok(synced) => {
                let receipts = synced.group.texts(|written| self.sign(written));
                let receipt = receipts.get(synced.place).cloned();
                pending.progress.send_modify(|progress| {
                    progress.receipt = receipt;
                    progress.is_synced = true;
                    progress.seq = Some(synced.entry.seq);
                });
            }
            Err(error) => {
                let failure = if error.is_transient() { Failure::Full } else { Failure::Unknown };
                tracing::warn!(error = %chain(&error), "bid not journalled");
                let mut table = self.lock();
                table.by_command.remove(&command);
                table.by_bid.remove(&pending.bid);
                drop(table);
                pending.progress.send_modify(|progress| progress.failure = Some(failure));
            }
        }
    }

    /// Receipts of everything that one commit wrote.
    fn sign(&self, written: &[Written]) -> Vec<Arc<str>> {
        let now = self.view.index();
        let views: Vec<LogIndex> = {
            let table = self.lock();
            let pending =
                written.iter().map(|row| table.by_command.get(&row.entry.intake.command()));
            pending.map(|pending| pending.map_or(now, |pending| pending.view)).collect()
        };
        self.receipts.sign(written, &views)
    }

    async fn join(&self, pending: &Pending, intake: &Intake, wait: Duration) -> Answer {
        if pending.body != intake.body_digest() {
            return self.key_reused();
        }
        self.wait_for(pending, wait).await
    }

    async fn wait_for(&self, pending: &Pending, wait: Duration) -> Answer {
        let mut progress = pending.progress.subscribe();
        // A verdict may be here before the task that signs has run: the answer holds both.
        let is_settled = |now: &Progress| now.failure.is_some() || now.is_synced;
        let is_over = |now: &Progress| is_settled(now) && (now.judged.is_some() || !now.is_synced);
        let mut now = reach(&mut progress, wait, is_over).await;
        if now.is_none() {
            now = reach(&mut progress, SYNC_WAIT, is_settled).await;
        }
        match now.unwrap_or_else(|| progress.borrow().clone()) {
            Progress { judged: Some(judged), receipt, .. } => Answer::Judged { judged, receipt },
            Progress { failure: Some(Failure::Full), .. } => {
                Answer::Declined { reason: NotReady::JournalFull }
            }
            Progress { is_synced: true, receipt, .. } => Answer::Received { receipt },
            Progress { .. } => Answer::Unknown,
        }
    }

    async fn answer_found(&self, found: &Found, intake: &Intake, wait: Duration) -> Answer {
        if found.entry.intake.body_digest() != intake.body_digest() {
            return self.key_reused();
        }
        match &found.judged {
            Some(judged) => {
                Answer::Judged { judged: judged.clone(), receipt: self.receipt_again(&found.entry) }
            }
            None => self.wait_for(&self.wait_again(&found.entry), wait).await,
        }
    }

    fn key_reused(&self) -> Answer {
        let detail = "the Idempotency-Key was used for another amount or piece";
        Answer::Refused {
            rejection: Rejection::new(Code::IdempotencyKeyReused, detail),
            index: self.view.index(),
        }
    }

    /// The receipt of an entry that is on disk already; its view index is that of now.
    fn receipt_again(&self, entry: &JournalEntry) -> Option<Arc<str>> {
        let previous = self.journal.hash_at(entry.seq.saturating_sub(1)).ok().flatten()?;
        let written = [Written { entry: entry.clone(), previous }];
        self.receipts.sign(&written, &[self.view.index()]).pop()
    }

    /// Whether nothing is on its way into the journal.
    pub(crate) fn is_settled(&self) -> bool {
        let is_written = |pending: &Arc<Pending>| {
            let progress = pending.progress.borrow();
            progress.is_synced || progress.judged.is_some()
        };
        self.lock().by_command.values().all(is_written) && self.journal.is_synced()
    }

    /// Wakes who waits for these verdicts. Who is refused for a signature may send the same command
    /// again at once, so that is told only when it is on disk: see [`Self::judge`].
    pub(crate) fn wake_judged(&self, verdicts: &[SeqVerdict]) {
        for verdict in verdicts.iter().filter(|row| !row.judged.verdict.is_of_signature()) {
            self.wake(&verdict.command, || verdict.judged.clone());
        }
    }

    /// Stores verdicts of the uplink.
    pub(crate) async fn judge(&self, verdicts: Vec<SeqVerdict>) -> Result<(), StorageError> {
        let to_store =
            verdicts.iter().map(|verdict| (verdict.seq, verdict.judged.clone())).collect();
        self.journal.set_verdicts(to_store).await?;
        let mut table = self.lock();
        for verdict in &verdicts {
            let is_of_signature = verdict.judged.verdict.is_of_signature();
            if is_of_signature && table.is_about_another(verdict) {
                continue;
            }
            if let Some(pending) = table.by_command.remove(&verdict.command) {
                table.by_bid.remove(&pending.bid);
                self.remembered.insert(pending.bid, verdict.command);
                if is_of_signature {
                    let judged = Some(verdict.judged.clone());
                    pending.progress.send_modify(|progress| progress.judged = judged);
                }
            }
        }
        Ok(())
    }

    fn wake(&self, command: &CommandId, judged: impl FnOnce() -> Judged) {
        let pending = self.lock().by_command.get(command).cloned();
        if let Some(pending) = pending {
            pending.progress.send_if_modified(|progress| {
                let is_first = progress.judged.is_none();
                if is_first {
                    progress.judged = Some(judged());
                }
                is_first
            });
        }
    }

    /// Wakes who waits for a bid that the feed shows as placed: another copy may have been judged.
    pub(crate) fn observe(&self, item: &FeedItem, view: &Followed) {
        for event in &item.events {
            let command = match event {
                PublicEvent::BidPlaced { bid, .. } => bid.command,
                PublicEvent::AuctionOpened { opening, .. } => opening.command,
                _ => continue,
            };
            let is_waited_for = self.lock().by_command.contains_key(&command);
            if is_waited_for {
                self.wake_placed(&command, view);
            }
        }
    }

    /// As [`Self::observe`], for everything that waits: the view was replaced.
    pub(crate) fn reconsider(&self, view: &Followed) {
        let waiting: Vec<CommandId> = self.lock().by_command.keys().copied().collect();
        for command in waiting {
            self.wake_placed(&command, view);
        }
    }

    fn wake_placed(&self, command: &CommandId, view: &Followed) {
        let judged = view.read(|view| {
            admission::placed(view, command).map(|placed| judged_by_view(view, placed, command))
        });
        if let Some(judged) = judged {
            self.wake(command, || judged);
        }
    }

    /// What this edge knows of a bid.
    pub(crate) fn known(&self, bid: BidId) -> Option<Known> {
        let (command, pending) = {
            let table = self.lock();
            let command = table.by_bid.get(&bid).copied();
            let pending = command.and_then(|command| table.by_command.get(&command).cloned());
            (command, pending)
        };
        if let Some(pending) = pending {
            let progress = pending.progress.borrow().clone();
            if progress.is_synced || progress.judged.is_some() {
                let Progress { receipt, judged, .. } = progress;
                return Some(Known { user: pending.user, judged, receipt });
            }
            return None;
        }
        let command = command.or_else(|| self.remembered.get(&bid))?;
        let found = self.journal.lookup(&command).ok().flatten()?;
        let receipt = self.receipt_again(&found.entry);
        Some(Known { user: found.entry.intake.user(), judged: found.judged, receipt })
    }

    /// Takes no more bids from now on.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn new(intake: &Intake, view: LogIndex, progress: Progress) -> Self {
        Self {
            view,
            body: intake.body_digest(),
            user: intake.user(),
            bid: intake.bid(),
            progress: watch::Sender::new(progress),
        }
    }
}

/// The progress once it is as wanted, if that comes in time.
async fn reach(
    progress: &mut watch::Receiver<Progress>,
    wait: Duration,
    is_wanted: impl FnMut(&Progress) -> bool,
) -> Option<Progress> {
    let reached = tokio::time::timeout(wait, progress.wait_for(is_wanted)).await;
    reached.ok()?.ok().map(|now| now.clone())
}

/// What the view alone answers: the first verdict of a placed command, or a refusal for good.
fn first_look(view: &PublicView, intake: &Intake) -> Option<Answer> {
    let command = intake.command();
    if let Some(placed) = admission::placed(view, &command) {
        let is_same = match intake {
            Intake::Bid(bid) | Intake::SignedBid(bid, _) => {
                placed.auction == bid.auction && placed.amount == bid.amount
            }
            Intake::Offer(offer) | Intake::SignedOffer(offer, _) => placed.amount == offer.amount,
        };
        if !is_same {
            let detail = "the Idempotency-Key was used for another amount or piece";
            let rejection = Rejection::new(Code::IdempotencyKeyReused, detail);
            return Some(Answer::Refused { rejection, index: view.index() });
        }
        let judged = judged_by_view(view, placed, &command);
        return Some(Answer::Judged { judged, receipt: None });
    }
    let admitted = admission::admit(view, intake);
    let refusal = admitted.err()?;
    Some(Answer::Refused { rejection: refusal.rejection, index: refusal.index })
}

/// The verdict that the log gave to a command that the view shows as placed.
fn judged_by_view(view: &PublicView, placed: &Placed, command: &CommandId) -> Judged {
    let extended = view.auction(placed.auction).and_then(|auction| {
        let own = auction.extensions.iter().find(|extension| extension.cause == Some(placed.bid));
        own.map(|extension| extension.closes_at)
    });
    let closes_at: Timestamp = extended.unwrap_or(placed.closes_at);
    let accepted = if placed.is_opening {
        Accepted::AuctionOpened {
            offer: offer_of(command),
            auction: placed.auction,
            bid: placed.bid,
            closes_at,
        }
    } else {
        Accepted::BidPlaced {
            auction: placed.auction,
            bid: placed.bid,
            amount: placed.amount,
            min_next: placed.min_next,
            closes_at,
        }
    };
    Judged { index: placed.index, at: placed.at, verdict: Verdict::Accepted(accepted) }
}

/// The offer's id, derived from its command so that every edge names the same one.
pub(crate) fn offer_of(command: &CommandId) -> OfferId {
    OfferId::from_bits(derived_bits("fairground 2026 offer id v1", command))
}

/// The id of the auction that an offer would open, derived likewise.
pub(crate) fn auction_of(command: &CommandId) -> AuctionId {
    AuctionId::from_bits(derived_bits("fairground 2026 auction id v1", command))
}

/// Bits of a UUIDv8 (RFC 9562 section 5.8) derived from a command.
pub(crate) fn derived_bits(context: &str, command: &CommandId) -> u128 {
    let hash = blake3::derive_key(context, command.as_bytes());
    let mut half = [0_u8; 16];
    half.copy_from_slice(hash.split_at(16).0);
    let cleared = u128::from_be_bytes(half) & !(0xF_u128 << 76) & !(0b11_u128 << 62);
    cleared | (0x8_u128 << 76) | (0b10_u128 << 62)
}

/// Time that a client should wait before it asks a declining edge again.
pub(crate) const DECLINED_RETRY: Millis = Millis::from_secs(2);

#[cfg(test)]
mod tests;
