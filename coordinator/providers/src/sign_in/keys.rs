//! An issuer's public keys (RFC 7517), kept as long as the issuer says, and a day when it is silent.
//!
//! An unknown key is asked for once a minute at most, by one call at a time. It must not know what
//! the keys sign.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Client;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::call::Guard;
use crate::error::ProviderError;
use crate::http::{self, Answer, Waits};

const WAITS: Waits = Waits::secs(2, 5);
const KEYS_MAX: usize = 32;
const FRESH_DEFAULT: Duration = Duration::from_secs(3_600);
const FRESH_MIN: Duration = Duration::from_secs(60);
const FRESH_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Keys older than this are not believed, whatever the issuer's state.
const STALE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Least time between two asks for the same issuer's keys.
const ASK_GAP: Duration = Duration::from_secs(60);

/// A key and the one algorithm it is for.
#[derive(Clone)]
pub(super) struct PublicKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    id: String,
}

pub(super) struct KeySet {
    provider: &'static str,
    url: String,
    client: Client,
    guard: Guard,
    kept: Mutex<Kept>,
    asking: Semaphore,
}

#[derive(Default)]
struct Kept {
    keys: Vec<PublicKey>,
    fetched_at: Option<Duration>,
    fresh_until: Option<Duration>,
    asked_at: Option<Duration>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("url", &self.url).finish_non_exhaustive()
    }
}

impl KeySet {
    pub(super) fn new(
        provider: &'static str,
        url: String,
        guard: Guard,
    ) -> Result<Self, ProviderError> {
        Ok(Self {
            provider,
            url,
            client: http::client(provider, WAITS)?,
            guard,
            kept: Mutex::default(),
            asking: Semaphore::new(1),
        })
    }

    /// The key of that name, asked for when it is not known.
    pub(super) async fn key(&self, id: &str) -> Result<Option<PublicKey>, ProviderError> {
        if let Some(key) = self.fresh(id) {
            return Ok(Some(key));
        }
        let closed = |_| ProviderError::Unreached { provider: self.provider, source: None };
        let _turn = self.asking.acquire().await.map_err(closed)?;
        if let Some(key) = self.fresh(id) {
            return Ok(Some(key));
        }
        let now = self.now();
        let may_ask = {
            let mut kept = self.kept();
            let may_ask = kept.asked_at.is_none_or(|at| now.saturating_sub(at) >= ASK_GAP);
            if may_ask {
                kept.asked_at = Some(now);
            }
            may_ask
        };
        if may_ask && let Err(error) = self.fetch().await {
            if self.usable(id).is_none() {
                // Nothing was learnt: the next sign-in may ask again at once.
                self.kept().asked_at = None;
                return Err(error);
            }
            tracing::warn!(provider = self.provider, %error, "keys not renewed, the old ones serve");
        }
        Ok(self.usable(id))
    }

    async fn fetch(&self) -> Result<(), ProviderError> {
        let (keys, fresh_for) = self.guard.call(|_| self.fetch_once()).await?;
        let now = self.now();
        let mut kept = self.kept();
        kept.keys = keys;
        kept.fetched_at = Some(now);
        kept.fresh_until = Some(now.saturating_add(fresh_for));
        Ok(())
    }

    async fn fetch_once(&self) -> Result<(Vec<PublicKey>, Duration), ProviderError> {
        let answer = http::send(self.provider, self.client.get(&self.url)).await?;
        match answer.status {
            200 => {
                let keys = read(answer.json()?);
                if keys.is_empty() {
                    return Err(ProviderError::Unreadable { provider: self.provider });
                }
                Ok((keys, fresh_for(&answer)))
            }
            429 | 500..=599 => Err(answer.later("")),
            status => Err(answer.misconfigured(status.to_string())),
        }
    }

    fn fresh(&self, id: &str) -> Option<PublicKey> {
        let now = self.now();
        let kept = self.kept();
        if kept.fresh_until.is_none_or(|until| until <= now) {
            return None;
        }
        kept.keys.iter().find(|key| key.id == id).cloned()
    }

    fn usable(&self, id: &str) -> Option<PublicKey> {
        let now = self.now();
        let kept = self.kept();
        if kept.fetched_at.is_none_or(|at| now.saturating_sub(at) >= STALE_MAX) {
            return None;
        }
        kept.keys.iter().find(|key| key.id == id).cloned()
    }

    fn now(&self) -> Duration {
        self.guard.time().monotonic()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of a kind that we take; the others are another protocol's.
fn read(jwks: Jwks) -> Vec<PublicKey> {
    jwks.keys.into_iter().take(KEYS_MAX).filter_map(one_key).collect()
}

fn one_key(jwk: Jwk) -> Option<PublicKey> {
    let (algorithm, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let key = DecodingKey::from_rsa_components(&jwk.n?, &jwk.e?).ok()?;
            (Algorithm::RS256, key)
        }
        ("EC", Some("P-256")) => {
            let key = DecodingKey::from_ec_components(&jwk.x?, &jwk.y?).ok()?;
            (Algorithm::ES256, key)
        }
        _ => return None,
    };
    Some(PublicKey { algorithm, key, id: jwk.kid? })
}

fn fresh_for(answer: &Answer) -> Duration {
    let header = answer.header("cache-control").unwrap_or_default();
    let age = header.split(',').find_map(|word| word.trim().strip_prefix("max-age="));
    let seconds = age.and_then(|age| age.parse().ok());
    seconds.map_or(FRESH_DEFAULT, Duration::from_secs).clamp(FRESH_MIN, FRESH_MAX)
}
