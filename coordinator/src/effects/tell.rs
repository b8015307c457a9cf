//! One notice on its way out: quiet hours, words, the channel, and what its failure means.
//!
//! Non-critical notices wait while their reader sleeps. A device or an address that the other side
//! calls dead is told to the log, so that nothing more is sent there. It must not know which channels
//! somebody wants; the market has made one effect for each. Read next: `push.rs`, `notice.rs`.

use std::time::Duration;

use fairground_market::{Notice, PendingEffect};
use fairground_providers::{ProviderError, TextMessage};
use fairground_runtime::zone;
use fairground_types::command::{
    Channel, Command, EffectOutcome, NoticeCommand, NoticePreferences, TemplateKey,
};
use fairground_types::{CommandId, EffectId, NoticeChannel, UserId};

use super::{Carried, Outlets, SendError, complete, notice, push, send_mail, send_text};
use crate::auth;
use crate::member::Member;

/// Failures after which a notice is dropped.
const TRIES_MAX: u32 = 12;

/// How long its reader sleeps still, when they must not be woken by this.
fn quiet_for(member: &Member, told: &Notice, preferences: &NoticePreferences) -> Option<Duration> {
    let hours = preferences.quiet_hours.as_ref().filter(|_| !told.kind.is_critical())?;
    let now = member.now();
    Some(zone::quiet_until(hours, now)?.since(now).to_duration())
}

/// The address of the reader for a channel that needs one.
fn address_of(member: &Member, told: &Notice) -> Option<String> {
    member.state.read(|market| {
        let account = market.account(told.user)?;
        let fits = matches!(
            (told.channel, account.channel()),
            (NoticeChannel::Email, Channel::Email) | (NoticeChannel::Sms, Channel::Sms)
        );
        fits.then(|| auth::open_contact(&member.secrets, account.identifier(), account.contact()))?
    })
}

/// Sends a notice by its channel.
pub(super) async fn notify(
    member: &Member,
    outlets: &Outlets,
    (pending, told): (&PendingEffect, &Notice),
    tries: u32,
) -> Carried {
    let preferences = member.state.read(|market| market.preferences(told.user).preferences);
    if let Some(wait) = quiet_for(member, told, &preferences) {
        return Carried::Quiet(wait);
    }
    let words = member.state.read(|market| {
        let locale = preferences.locale.clone()?;
        let key = TemplateKey { kind: told.kind, channel: told.channel, locale };
        market.template(&key).and_then(|state| state.text.clone())
    });
    let words = notice::text(told, words.as_ref());
    let sent = send(member, outlets, (pending, told), words).await;
    if let Err(error) = &sent
        && told.channel == NoticeChannel::Email
    {
        suppress_if_dead(member, told.user, pending.id, error).await;
    }
    judge(outlets, (pending.id, told.channel), sent, tries)
}

async fn send(
    member: &Member,
    outlets: &Outlets,
    (pending, told): (&PendingEffect, &Notice),
    (subject, text): (String, String),
) -> Result<(), SendError> {
    if told.channel == NoticeChannel::Push {
        return push::send(member, &outlets.push, (pending, told), (subject, text)).await;
    }
    let address = address_of(member, told).ok_or(SendError::Off)?;
    match told.channel {
        NoticeChannel::Email => send_mail(outlets, pending.id, &address, (&subject, &text)).await,
        NoticeChannel::Sms => {
            let text = format!("{subject}\n{text}");
            send_text(outlets, &TextMessage { to: &address, text: &text, validity: None }).await
        }
        NoticeChannel::Push | NoticeChannel::InApp => Err(SendError::Off),
    }
}

/// What a try came to.
fn judge(
    outlets: &Outlets,
    (effect, channel): (EffectId, NoticeChannel),
    sent: Result<(), SendError>,
    tries: u32,
) -> Carried {
    let error = match sent {
        Ok(()) => return complete(effect, EffectOutcome::Happened),
        Err(error) => error,
    };
    if !error.is_transient() {
        return complete(effect, EffectOutcome::Abandoned);
    }
    if let SendError::Provider(error) = &error
        && channel == NoticeChannel::Sms
        && !error.is_unsent()
    {
        // It may have left, and a text message has no id by which a repetition is known.
        return complete(effect, EffectOutcome::Unknown);
    }
    if tries >= TRIES_MAX {
        tracing::warn!(%effect, %error, "notice dropped");
        let is_reached = outlets.push.forget(effect);
        let outcome = if is_reached { EffectOutcome::Happened } else { EffectOutcome::Abandoned };
        return complete(effect, outcome);
    }
    tracing::debug!(%effect, %error, "notice not sent yet");
    Carried::Later(error.wait())
}

/// Tells the log of an address that takes no mail any more.
async fn suppress_if_dead(member: &Member, user: UserId, effect: EffectId, error: &SendError) {
    let SendError::Provider(ProviderError::Gone { provider, code, .. }) = error else { return };
    tracing::info!(provider, code, %user, "address takes no mail");
    let id = CommandId::derive_system("mail-gone", &user.to_string(), &effect.to_string());
    let command = Command::Notice(NoticeCommand::SuppressMail { user });
    if let Err(error) = member.command(id, command).await {
        // The next mail to it fails alike.
        tracing::debug!(%user, %error, "address not suppressed yet");
    }
}
