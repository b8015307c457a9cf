//! Notices by push: to every device of an account that takes them.
//!
//! ```text
//!  notice -> each device not reached yet -> sent | try again | gone: its token is dropped from the log
//! ```
//! A repetition goes only to the devices that were not reached, as far as this leader remembers; what
//! a new leader sends again carries the same id. It must not know why somebody is told. Read next:
//! `mod.rs` for tries and quiet hours, `fairground_providers::Push`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fairground_market::{Notice, NoticeKind, PendingEffect, PushDevice};
use fairground_providers::{Platform, ProviderError, Push, PushMessage};
use fairground_types::command::{Command, NoticeCommand, PushPlatform};
use fairground_types::{CommandId, EffectId, Millis, PushDeviceId, Timestamp, UserId};

use super::SendError;
use crate::auth;
use crate::member::Member;

/// Notices whose reached devices are remembered.
const REMEMBERED_MAX: usize = 4_096;
/// How long a notice is worth a sound when nothing says so.
const WORTH: Millis = Millis::from_hours(24);

/// Push as configured, and which devices notices that are still under way have reached.
pub(crate) struct PushOutlet {
    push: Push,
    reached: Mutex<BTreeMap<EffectId, BTreeSet<PushDeviceId>>>,
}

impl PushOutlet {
    pub(super) fn new(push: Push) -> Self {
        Self { push, reached: Mutex::default() }
    }

    pub(super) const fn is_on(&self, platform: Platform) -> bool {
        self.push.is_on(platform)
    }

    fn reached(&self) -> MutexGuard<'_, BTreeMap<EffectId, BTreeSet<PushDeviceId>>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_reached(&self, effect: EffectId, device: PushDeviceId) -> bool {
        self.reached().get(&effect).is_some_and(|devices| devices.contains(&device))
    }

    fn note(&self, effect: EffectId, device: PushDeviceId) {
        let mut reached = self.reached();
        if reached.len() >= REMEMBERED_MAX && !reached.contains_key(&effect) {
            reached.pop_first();
        }
        reached.entry(effect).or_default().insert(device);
    }

    /// Whether any device was reached; nothing is remembered any more.
    pub(super) fn forget(&self, effect: EffectId) -> bool {
        self.reached().remove(&effect).is_some_and(|devices| !devices.is_empty())
    }
}

const fn platform_of(platform: PushPlatform) -> Platform {
    match platform {
        PushPlatform::Fcm => Platform::FcmToken,
        PushPlatform::FcmInstallation => Platform::FcmInstallation,
        PushPlatform::Apns => Platform::Apns,
        PushPlatform::ApnsSandbox => Platform::ApnsSandbox,
    }
}

/// Whether a notice says nothing any more once the instant that it names is past.
const fn is_worthless_after(kind: NoticeKind) -> bool {
    matches!(
        kind,
        NoticeKind::Outbid
            | NoticeKind::BidsReceived
            | NoticeKind::CloseExtended
            | NoticeKind::FinalWindow
            | NoticeKind::FinalWindowMaker
            | NoticeKind::AuctionStarted
            | NoticeKind::PaymentReminder
            | NoticeKind::PaymentLastReminder
            | NoticeKind::ShipReminderLast
    )
}

/// When a notice need not be told any more.
fn worthless_at(told: &Notice, at: Timestamp) -> Timestamp {
    let latest = at.plus(WORTH);
    match told.until.filter(|_| is_worthless_after(told.kind)) {
        Some(until) => until.min(latest),
        None => latest,
    }
}

/// What a phone gets of a notice. A later one about the same auction takes its place.
fn message(
    member: &Member,
    pending: &PendingEffect,
    told: &Notice,
    (title, body): (String, String),
) -> PushMessage {
    let named = [
        ("story", told.story.map(|id| id.to_string())),
        ("auction", told.auction.map(|id| id.to_string())),
        ("lock", told.lock.map(|id| id.to_string())),
        ("order", told.order.map(|id| id.to_string())),
        ("kind", Some(told.kind.as_str().to_owned())),
    ];
    let fields = named.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?))).collect();
    let replaces = matches!(
        told.kind,
        NoticeKind::Outbid | NoticeKind::BidsReceived | NoticeKind::CloseExtended
    );
    // The provider knows the machine's time, which a sandbox may have left behind.
    let left = worthless_at(told, pending.at).since(member.now());
    PushMessage {
        id: pending.id.to_bits(),
        title,
        body,
        fields,
        collapse_key: told.auction.filter(|_| replaces).map(|auction| auction.to_string()),
        expires_at: member.clock.now().plus(left),
    }
}

/// Sends a notice to every device of its reader that was not reached before. `Off` when there is no
/// device left that could be.
pub(super) async fn send(
    member: &Member,
    outlet: &PushOutlet,
    (pending, told): (&PendingEffect, &Notice),
    words: (String, String),
) -> Result<(), SendError> {
    let message = message(member, pending, told, words);
    let devices: Vec<PushDevice> =
        member.state.read(|market| market.push_devices(told.user).into_iter().cloned().collect());
    let mut failed = None;
    let mut refused = None;
    for device in devices {
        if outlet.has_reached(pending.id, device.device) {
            continue;
        }
        let token = auth::open_contact(&member.secrets, &device.digest, &device.token);
        let Some(token) = token else { continue };
        let platform = platform_of(device.platform);
        match outlet.push.send(&token, platform, &message).await {
            Ok(_) => outlet.note(pending.id, device.device),
            Err(ProviderError::Gone { provider, code, since }) => {
                if is_older(member, &device, since) {
                    tracing::info!(provider, code, device = %device.device, "push token dropped");
                    drop_token(member, told.user, device.device, pending.id).await;
                }
            }
            Err(error) if error.is_transient() => failed = Some(error),
            Err(error) => refused = Some(error),
        }
    }
    if let Some(error) = failed {
        return Err(SendError::Provider(error));
    }
    if outlet.forget(pending.id) {
        return Ok(());
    }
    Err(refused.map_or(SendError::Off, SendError::Provider))
}

/// Whether a device was registered before its token is said to have gone: one that was registered
/// after it is another.
fn is_older(member: &Member, device: &PushDevice, gone_since: Option<Timestamp>) -> bool {
    let offset = member.state.clock_offset();
    gone_since.is_none_or(|since| since.plus(offset) >= device.seen_at)
}

async fn drop_token(member: &Member, user: UserId, device: PushDeviceId, effect: EffectId) {
    let id = CommandId::derive_system("push-gone", &device.to_string(), &effect.to_string());
    let command = Command::Notice(NoticeCommand::DropPushToken { user, device });
    if let Err(error) = member.command(id, command).await {
        // The next notice to this device finds it gone again.
        tracing::debug!(%device, %error, "push token not dropped yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(kind: NoticeKind, until: Option<Timestamp>) -> Notice {
        Notice {
            user: UserId::from_bits(1),
            channel: fairground_types::NoticeChannel::Push,
            kind,
            story: None,
            auction: None,
            lock: None,
            order: None,
            title: None,
            amount: None,
            until,
            text: None,
        }
    }

    #[test]
    fn what_is_about_a_running_auction_is_worthless_after_its_close() {
        let at = Timestamp::from_unix_millis(1_000_000);
        let soon = at.plus(Millis::from_secs(60));
        assert_eq!(worthless_at(&notice(NoticeKind::Outbid, Some(soon)), at), soon);
        let day = at.plus(WORTH);
        assert_eq!(worthless_at(&notice(NoticeKind::Won, Some(soon)), at), day);
        let late = at.plus(Millis::from_hours(72));
        assert_eq!(worthless_at(&notice(NoticeKind::Outbid, Some(late)), at), day);
        assert_eq!(worthless_at(&notice(NoticeKind::Outbid, None), at), day);
    }
}
