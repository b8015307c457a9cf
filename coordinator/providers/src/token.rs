//! A token that is kept until shortly before its end and renewed by one call at a time.
//!
//! Nobody holds a lock while a renewal is under way. It must not know how a token is made.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fairground_types::Timestamp;
use tokio::sync::Semaphore;

use crate::error::ProviderError;

/// A token and when it is renewed.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) renew_at: Timestamp,
}

/// Keeps one token.
pub(crate) struct TokenCache {
    provider: &'static str,
    kept: Mutex<Option<Token>>,
    renewing: Semaphore,
}

impl TokenCache {
    pub(crate) const fn new(provider: &'static str) -> Self {
        Self { provider, kept: Mutex::new(None), renewing: Semaphore::const_new(1) }
    }

    /// The kept token, or a new one.
    pub(crate) async fn token<A>(
        &self,
        now: Timestamp,
        renew: impl FnOnce() -> A + Send,
    ) -> Result<String, ProviderError>
    where
        A: Future<Output = Result<Token, ProviderError>> + Send,
    {
        if let Some(token) = self.fresh(now) {
            return Ok(token);
        }
        let closed = |_| ProviderError::Unreached { provider: self.provider, source: None };
        let _turn = self.renewing.acquire().await.map_err(closed)?;
        // Somebody else may have renewed it meanwhile.
        if let Some(token) = self.fresh(now) {
            return Ok(token);
        }
        let token = renew().await?;
        let text = token.text.clone();
        *self.kept() = Some(token);
        Ok(text)
    }

    /// Forgets a token that the other side does not take, unless it was renewed already.
    pub(crate) fn forget(&self, token: &str) {
        let mut kept = self.kept();
        if kept.as_ref().is_some_and(|kept| kept.text == token) {
            *kept = None;
        }
    }

    fn fresh(&self, now: Timestamp) -> Option<String> {
        self.kept().as_ref().filter(|token| token.renew_at > now).map(|token| token.text.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Option<Token>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
