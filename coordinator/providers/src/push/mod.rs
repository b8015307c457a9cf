//! Push messages to phones: FCM for Android, APNs for Apple's devices.
//!
//! A message has a deadline: after it nobody is told. A token that the other side has forgotten comes
//! back as [`ProviderError::Gone`], so that the market can forget it too. It must not know who owns a
//! device. Read next: `fcm.rs`, `apns.rs`.

mod apns;
mod fcm;

use std::collections::BTreeMap;

use fairground_types::Timestamp;

use crate::call::{Guard, Policy, Ports};
use crate::error::ProviderError;
use crate::mail::Accepted;
use apns::Apns;
pub use apns::ApnsOptions;
use fcm::Fcm;
pub use fcm::{FcmOptions, ServiceAccount};

/// Both services refuse a larger message.
const MESSAGE_BYTES_MAX: usize = 4_096;
const PUSH_AT_ONCE: usize = 32;

/// What a device's token is, and who takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    /// A Firebase Installation ID.
    FcmInstallation,
    /// An FCM registration token, which the ids replace.
    FcmToken,
    /// An APNs device token of an app from the store.
    Apns,
    /// An APNs device token of a development build.
    ApnsSandbox,
}

/// A push message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushMessage {
    /// What tells a repetition: the effect's bits.
    pub id: u128,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// What the app gets beside it.
    pub fields: BTreeMap<String, String>,
    /// A later message with the same key replaces this one. At most 64 bytes.
    pub collapse_key: Option<String>,
    /// After this nobody need be told.
    pub expires_at: Timestamp,
}

/// Sends push messages.
#[derive(Debug)]
pub struct Push {
    fcm: Option<(Fcm, Guard)>,
    apns: Option<(Apns, Guard)>,
    ports: Ports,
}

impl Push {
    /// Push by what is configured.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`].
    pub fn new(
        fcm: Option<FcmOptions>,
        apns: Option<ApnsOptions>,
        ports: Ports,
    ) -> Result<Self, ProviderError> {
        let policy = Policy { at_once: PUSH_AT_ONCE, ..Policy::default() };
        let guard = |provider| Guard::new(provider, policy, ports.clone());
        let fcm = fcm.map(Fcm::new).transpose()?.map(|fcm| (fcm, guard(fcm::PROVIDER)));
        let apns = apns.map(Apns::new).transpose()?.map(|apns| (apns, guard(apns::PROVIDER)));
        Ok(Self { fcm, apns, ports })
    }

    /// Whether messages to this kind of device go anywhere.
    #[must_use]
    pub const fn is_on(&self, platform: Platform) -> bool {
        match platform {
            Platform::FcmInstallation | Platform::FcmToken => self.fcm.is_some(),
            Platform::Apns | Platform::ApnsSandbox => self.apns.is_some(),
        }
    }

    /// Sends one message to one device.
    ///
    /// # Errors
    /// See [`ProviderError`]: `Gone` says to forget the token, `Refused` with `stale` that it came
    /// too late, `Refused` with `off` that there is no way to such a device.
    pub async fn send(
        &self,
        token: &str,
        platform: Platform,
        message: &PushMessage,
    ) -> Result<Accepted, ProviderError> {
        match platform {
            Platform::FcmInstallation | Platform::FcmToken => {
                let (fcm, guard) = self.fcm.as_ref().ok_or_else(|| off(fcm::PROVIDER))?;
                guard.call(|_| fcm.send(token, platform, message, self.ports.time.wall())).await
            }
            Platform::Apns | Platform::ApnsSandbox => {
                let (apns, guard) = self.apns.as_ref().ok_or_else(|| off(apns::PROVIDER))?;
                guard.call(|_| apns.send(token, platform, message, self.ports.time.wall())).await
            }
        }
    }
}

fn off(provider: &'static str) -> ProviderError {
    ProviderError::Refused { provider, code: "off".to_owned() }
}

/// Seconds until a message is worthless; refused when that has come.
fn seconds_left(
    provider: &'static str,
    message: &PushMessage,
    now: Timestamp,
) -> Result<u64, ProviderError> {
    let left = message.expires_at.since(now).as_millis() / 1_000;
    if left == 0 {
        return Err(ProviderError::Refused { provider, code: "stale".to_owned() });
    }
    Ok(left)
}

fn check_size(provider: &'static str, body: &str) -> Result<(), ProviderError> {
    if body.len() > MESSAGE_BYTES_MAX {
        return Err(ProviderError::Refused { provider, code: "too large".to_owned() });
    }
    Ok(())
}
