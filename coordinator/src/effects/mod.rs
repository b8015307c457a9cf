//! The outbox at work: what the market wants done in the world, done by the leader.
//!
//! ```text
//!  outbox (state) -> runner -> mail | SMS | push | Stripe -> a command with the outcome -> log
//!                      ^ wakes with every entry; at most 16 at a time; waits longer after each failure
//! ```
//! An effect carries its id abroad, so doing it twice is doing it once, where the other side knows
//! such a thing. Where it does not (codes), a new leader does not repeat it: the outcome is unknown.
//! What was done and not yet reported is remembered here and reported again, not done again. Read
//! next: `checkout.rs`, `money.rs`, `tell.rs`.

mod check;
mod checkout;
pub(crate) mod money;
mod notice;
mod outlets;
mod push;
mod tell;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fairground_market::{Effect, PendingEffect, StoryCheck};
use fairground_providers::{Mail, ProviderError, TextMessage};
use fairground_runtime::shutdown::Shutdown;
use fairground_types::command::{
    Channel, CheckResult, Command, EffectOutcome, EffectResult, FinanceCommand, PaymentCommand,
    RecordCheck, StoryCommand,
};
use fairground_types::{CommandId, EffectId, Millis, Verdict};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use self::checkout::Payments;
pub(crate) use self::notice::{code_words, preview, recovery_words};
pub(crate) use self::outlets::{Outlets, ports, warn_of};
use crate::auth;
use crate::member::Member;

/// Effects carried out at a time.
const AT_ONCE: usize = 16;
/// Notices among them: a relay that hangs must not hold up a code or a checkout.
const NOTICES_AT_ONCE: usize = 8;
/// Notices looked at in one pass over the outbox.
const LOOK_MAX: usize = 4_096;
const PERIOD: Duration = Duration::from_secs(1);
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether somebody sleeps still: a sandbox may move its clock meanwhile.
const QUIET_PERIOD: Duration = Duration::from_secs(10);
/// The longest wait that a provider may ask for.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// How long a text message with a code is worth delivering.
const CODE_VALIDITY: Duration = Duration::from_secs(300);
/// Age from which an effect that still fails is a dead letter, whoever tried it; the ends that a kind
/// has of its own come sooner.
const LIFE: Millis = Millis::from_hours(48);

/// What carrying out an effect came to.
#[expect(clippy::large_enum_variant, reason = "one at a time, and most are reports")]
enum Carried {
    /// Report this.
    Report(Command),
    /// Try again, at the earliest after this.
    Later(Duration),
    /// Not tried: its reader sleeps, for this long.
    Quiet(Duration),
}

enum Progress {
    Running {
        is_notice: bool,
    },
    /// Failed; due again then.
    Waiting {
        due: Instant,
    },
    /// Done; the report has not been accepted by the log yet.
    Unreported {
        report: Box<Command>,
        due: Instant,
    },
}

/// Carries out effects while this member leads.
pub(crate) struct EffectRunner {
    member: Arc<Member>,
    outlets: Arc<Outlets>,
    progress: BTreeMap<EffectId, (Progress, u32)>,
}

struct Done {
    effect: EffectId,
    carried: Carried,
    is_reported: bool,
}

impl EffectRunner {
    pub(crate) fn new(member: Arc<Member>, outlets: Outlets) -> Self {
        Self { member, outlets: Arc::new(outlets), progress: BTreeMap::new() }
    }

    /// Runs until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut changed = self.member.state.watch();
        let mut running: JoinSet<Done> = JoinSet::new();
        loop {
            if self.member.leads() && self.member.office.now().is_some() {
                self.start_due(&mut running);
            } else if running.is_empty() {
                self.progress.clear();
            }
            tokio::select! {
                biased;
                () = shutdown.wait() => break,
                Some(done) = running.join_next(), if !running.is_empty() => {
                    if let Ok(done) = done { self.finish(done); }
                }
                ended = changed.changed() => if ended.is_err() { break },
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        running.shutdown().await;
    }

    fn start_due(&mut self, running: &mut JoinSet<Done>) {
        let now = Instant::now();
        let progress = &mut self.progress;
        let due = self.member.state.read(|market| {
            progress.retain(|effect, (progress, _)| {
                matches!(progress, Progress::Running { .. }) || market.effect(*effect).is_some()
            });
            choose(|| market.outbox(), progress, now)
        });
        for effect in due {
            let (report, tries) = match self.progress.get(&effect.id) {
                None => (None, 0),
                Some((Progress::Unreported { report, .. }, tries)) => {
                    (Some(report.clone()), *tries)
                }
                Some((_, tries)) => (None, *tries),
            };
            let is_notice = is_notice(&effect);
            self.progress.insert(effect.id, (Progress::Running { is_notice }, tries));
            let member = Arc::clone(&self.member);
            let outlets = Arc::clone(&self.outlets);
            running.spawn(async move {
                let carried = match report {
                    Some(report) => Carried::Report(*report),
                    None => carry_out(&member, &outlets, &effect, tries).await,
                };
                let is_reported = match &carried {
                    Carried::Report(command) => report_to_log(&member, effect.id, command).await,
                    Carried::Later(_) | Carried::Quiet(_) => false,
                };
                Done { effect: effect.id, carried, is_reported }
            });
        }
    }

    fn finish(&mut self, done: Done) {
        let tries = self.progress.get(&done.effect).map_or(0, |(_, tries)| *tries);
        let next = tries.saturating_add(1);
        let now = Instant::now();
        let progress = match done.carried {
            Carried::Report(_) if done.is_reported => {
                self.progress.remove(&done.effect);
                return;
            }
            Carried::Report(command) => {
                Progress::Unreported { report: Box::new(command), due: now + WAIT_MIN }
            }
            Carried::Later(wait) => {
                Progress::Waiting { due: now + wait.max(back_off(done.effect, next)) }
            }
            Carried::Quiet(wait) => {
                let due = now + wait.min(QUIET_PERIOD);
                self.progress.insert(done.effect, (Progress::Waiting { due }, tries));
                return;
            }
        };
        self.progress.insert(done.effect, (progress, next));
    }
}

const fn is_notice(pending: &PendingEffect) -> bool {
    matches!(pending.effect, Effect::Notify(_))
}

/// What to start now: what somebody waits for first, then notices, within their bounds.
fn choose<'a, I: Iterator<Item = &'a PendingEffect>>(
    outbox: impl Fn() -> I,
    progress: &BTreeMap<EffectId, (Progress, u32)>,
    now: Instant,
) -> Vec<PendingEffect> {
    let is_due = |pending: &&PendingEffect| match progress.get(&pending.id) {
        None => true,
        Some((Progress::Running { .. }, _)) => false,
        Some((Progress::Waiting { due } | Progress::Unreported { due, .. }, _)) => *due <= now,
    };
    let count = |of_notices: bool| {
        let running = progress.values().filter(|(progress, _)| {
            matches!(progress, Progress::Running { is_notice } if *is_notice == of_notices)
        });
        running.count()
    };
    let notices = count(true);
    let room = AT_ONCE.saturating_sub(count(false).saturating_add(notices));
    let urgent = outbox().filter(|pending| !is_notice(pending)).filter(is_due).take(room);
    let mut chosen: Vec<PendingEffect> = urgent.cloned().collect();
    let room = room.saturating_sub(chosen.len()).min(NOTICES_AT_ONCE.saturating_sub(notices));
    let rest = outbox().filter(|pending| is_notice(pending)).take(LOOK_MAX).filter(is_due);
    chosen.extend(rest.take(room).cloned());
    chosen
}

/// Doubles from half a second to a minute; three quarters to all of it, by the effect's own bits, so
/// that effects that failed together do not come back together.
fn back_off(effect: EffectId, tries: u32) -> Duration {
    let doubled = WAIT_MIN.saturating_mul(1_u32 << tries.saturating_sub(1).min(10)).min(WAIT_MAX);
    let seed = effect.to_bits().to_le_bytes();
    let hash = blake3::hash(&[&seed[..], &tries.to_le_bytes()[..]].concat());
    let share = hash.as_bytes().first().copied().map_or(0, u32::from);
    doubled.saturating_mul(768 + share) / 1_024
}

/// Says whether the log took the report, or will never take it.
async fn report_to_log(member: &Member, effect: EffectId, command: &Command) -> bool {
    let digest = fairground_types::Digest::of(format!("{command:?}").as_bytes());
    let id = CommandId::derive_system("effect", &effect.to_string(), &digest.to_string());
    match member.command(id, command.clone()).await.map(|judged| judged.verdict) {
        Ok(Verdict::Accepted(_)) => true,
        Ok(Verdict::Rejected(rejection)) => {
            tracing::warn!(%effect, code = %rejection.code, detail = rejection.detail, "report refused");
            // It is not repeated; if the effect is still wanted, it is still in the outbox.
            true
        }
        Err(error) => {
            tracing::debug!(%effect, %error, "report not committed yet");
            false
        }
    }
}

fn complete(effect: EffectId, outcome: EffectOutcome) -> Carried {
    Carried::Report(Command::Payment(PaymentCommand::CompleteEffect { effect, outcome }))
}

async fn carry_out(
    member: &Member,
    outlets: &Outlets,
    pending: &PendingEffect,
    tries: u32,
) -> Carried {
    let carried = match &pending.effect {
        Effect::SendCode { challenge, .. } => {
            match member.auth.take_code(*challenge) {
                // Made by another leader, or tried before: it may have been sent.
                None => complete(pending.id, EffectOutcome::Unknown),
                Some(code) => send_code(outlets, pending.id, &code).await,
            }
        }
        Effect::OpenCheckout(open) => member.payments.open(member, pending, open).await,
        Effect::ExpireCheckout { lock, attempt, checkout_session } => {
            member.payments.expire(member, pending, (*lock, *attempt), checkout_session).await
        }
        Effect::CreateRefund(create) => {
            member.payments.refund(member, (pending, tries), create).await
        }
        Effect::CreateTransfer(create) => {
            member.payments.transfer(member, (pending, tries), create).await
        }
        Effect::ReverseTransfer(back) => {
            member.payments.reverse(member, (pending, tries), back).await
        }
        Effect::CreateConnectedAccount { user } => {
            member.payments.make_account(member, (pending, tries), *user).await
        }
        Effect::ReadCharge { payment, .. } => {
            member.payments.read_charge(member, (pending, tries), payment).await
        }
        Effect::Notify(told) => tell::notify(member, outlets, (pending, told), tries).await,
        Effect::CheckStory(story) => {
            let result = check::ask(&check::LocalChecker, story, check::CHECK_WAIT).await;
            Carried::Report(check_report(pending.id, story, result))
        }
    };
    let age = member.now().since(pending.at);
    let carried = bounded(pending, age, carried);
    let outcome = match &carried {
        Carried::Report(_) => "reported",
        Carried::Later(_) => "later",
        Carried::Quiet(_) => "quiet",
    };
    metrics::counter!(
        crate::metrics::EFFECTS, "kind" => pending.effect.kind(), "outcome" => outcome
    )
    .increment(1);
    carried
}

/// Nothing is tried for ever: what still fails at the end of its life is reported, for a human.
fn bounded(pending: &PendingEffect, age: Millis, carried: Carried) -> Carried {
    match carried {
        Carried::Later(_) if age > LIFE => {
            let kind = pending.effect.kind();
            tracing::error!(effect = %pending.id, kind, "dead letter: given up");
            dead_letter(pending)
        }
        carried => carried,
    }
}

/// What is reported of an effect that is given up. Lists every kind: a new one does not build
/// without.
fn dead_letter(pending: &PendingEffect) -> Carried {
    let effect = pending.id;
    match &pending.effect {
        Effect::SendCode { .. }
        | Effect::OpenCheckout(_)
        | Effect::ExpireCheckout { .. }
        | Effect::Notify(_) => complete(effect, EffectOutcome::Unknown),
        Effect::CreateRefund(_)
        | Effect::CreateTransfer(_)
        | Effect::ReverseTransfer(_)
        | Effect::CreateConnectedAccount { .. }
        | Effect::ReadCharge { .. } => {
            let result = EffectResult::Lost { code: "given_up".to_owned() };
            Carried::Report(Command::Finance(FinanceCommand::ReportEffect { effect, result }))
        }
        Effect::CheckStory(story) => {
            Carried::Report(check_report(effect, story, CheckResult::Unavailable))
        }
    }
}

fn check_report(effect: EffectId, check: &StoryCheck, result: CheckResult) -> Command {
    let (story, version) = (check.story, check.version);
    Command::Story(StoryCommand::RecordCheck(RecordCheck { effect, story, version, result }))
}

async fn send_code(outlets: &Outlets, effect: EffectId, code: &auth::PendingCode) -> Carried {
    let (subject, text) = (code.words.0, code.words.1.as_str());
    let to = code.address.as_str();
    let sent = match code.channel {
        Channel::Email => send_mail(outlets, effect, to, (subject, text)).await,
        Channel::Sms => {
            let message = TextMessage { to, text, validity: Some(CODE_VALIDITY) };
            send_text(outlets, &message).await
        }
    };
    match sent {
        Ok(()) => complete(effect, EffectOutcome::Happened),
        Err(error) => {
            // Not repeated: a code sent twice is worse than one asked for again.
            tracing::warn!(%effect, %error, "code not sent");
            complete(effect, EffectOutcome::Unknown)
        }
    }
}

async fn send_mail(
    outlets: &Outlets,
    effect: EffectId,
    to: &str,
    (subject, text): (&str, &str),
) -> Result<(), SendError> {
    let mailer = outlets.mailer.as_ref().ok_or(SendError::Off)?;
    let mail = Mail { id: &effect.to_string(), to, subject, text };
    mailer.send(&mail).await.map(drop).map_err(SendError::Provider)
}

async fn send_text(outlets: &Outlets, message: &TextMessage<'_>) -> Result<(), SendError> {
    let texter = outlets.texter.as_ref().ok_or(SendError::Off)?;
    texter.send(message).await.map(drop).map_err(SendError::Provider)
}

/// Why something was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    /// There is no way out configured.
    #[error("send with sending switched off")]
    Off,
    /// The provider did not take it.
    #[error(transparent)]
    Provider(ProviderError),
}

impl SendError {
    const fn is_transient(&self) -> bool {
        match self {
            Self::Off => false,
            Self::Provider(error) => error.is_transient(),
        }
    }

    /// How long to wait at least: what the provider asks, within what this leader will remember.
    fn wait(&self) -> Duration {
        let asked = match self {
            Self::Off => None,
            Self::Provider(error) => error.retry_after(),
        };
        asked.unwrap_or(WAIT_MIN).clamp(WAIT_MIN, ASKED_WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_two_days_is_a_dead_letter() {
        let pending = notice(1);
        let later = || Carried::Later(WAIT_MIN);
        assert!(matches!(bounded(&pending, LIFE, later()), Carried::Later(_)));
        let given_up = bounded(&pending, Millis::from_hours(49), later());
        assert!(matches!(
            given_up,
            Carried::Report(Command::Payment(PaymentCommand::CompleteEffect {
                outcome: EffectOutcome::Unknown,
                ..
            }))
        ));
        let done = complete(pending.id, EffectOutcome::Happened);
        assert!(matches!(
            bounded(&pending, Millis::from_hours(49), done),
            Carried::Report(Command::Payment(PaymentCommand::CompleteEffect {
                outcome: EffectOutcome::Happened,
                ..
            }))
        ));
    }

    fn pending(bits: u128, effect: Effect) -> PendingEffect {
        let index = fairground_types::LogIndex(1);
        let at = fairground_types::Timestamp::EPOCH;
        PendingEffect { id: EffectId::from_bits(bits), effect, index, at, expires_at: None }
    }

    fn notice(bits: u128) -> PendingEffect {
        let notice = fairground_market::Notice {
            user: fairground_types::UserId::from_bits(1),
            channel: fairground_types::NoticeChannel::Email,
            kind: fairground_market::NoticeKind::Outbid,
            story: None,
            auction: None,
            lock: None,
            order: None,
            title: None,
            amount: None,
            until: None,
            text: None,
        };
        pending(bits, Effect::Notify(notice))
    }

    #[test]
    fn notices_hold_up_nothing_that_somebody_waits_for() {
        let mut outbox: Vec<PendingEffect> = (0..100).map(notice).collect();
        let mut progress = BTreeMap::new();
        let now = Instant::now();
        for effect in choose(|| outbox.iter(), &progress, now) {
            progress.insert(effect.id, (Progress::Running { is_notice: true }, 0));
        }
        assert_eq!(progress.len(), NOTICES_AT_ONCE);
        assert!(choose(|| outbox.iter(), &progress, now).is_empty());
        let expire = |attempt| Effect::ExpireCheckout {
            lock: fairground_types::SaleLockId::from_bits(1),
            attempt,
            checkout_session: "cs_1".to_owned(),
        };
        outbox.extend((1_000..1_100).map(|bits| pending(bits, expire(1))));
        let chosen = choose(|| outbox.iter(), &progress, now);
        assert_eq!(chosen.len(), AT_ONCE - NOTICES_AT_ONCE);
        assert!(chosen.iter().all(|effect| !is_notice(effect)));
    }

    #[test]
    fn back_off_doubles_to_its_bound_and_differs_by_effect() {
        let first = EffectId::from_bits(1);
        assert!(back_off(first, 1) <= WAIT_MIN);
        assert!(back_off(first, 1) >= WAIT_MIN * 3 / 4);
        assert!(back_off(first, 30) <= WAIT_MAX);
        assert!(back_off(first, 30) >= WAIT_MAX * 3 / 4);
        let waits: std::collections::BTreeSet<Duration> =
            (0..32).map(|bits| back_off(EffectId::from_bits(bits), 5)).collect();
        assert!(waits.len() > 16);
    }
}
