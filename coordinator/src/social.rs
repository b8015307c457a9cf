//! Sign-in by somebody else's word: Apple's or Google's.
//!
//! Says whom a token vouches for and nothing more: which account that is, and whether it may be
//! linked, is the market's to say. Asked by the forward handler of sign-in requests.

use fairground_providers::{
    IssuerOptions, Ports, SignIn, SignInError, SignInProvider, VerifiedIdentity,
};

use crate::effects::warn_of;
use crate::error::Error;
use crate::options::SignInOptions;

/// Checks identity tokens as configured.
#[derive(Debug)]
pub struct Social {
    sign_in: SignIn,
}

impl Social {
    /// Sign-in for the apps that `options` names; without any, every token is refused as switched
    /// off.
    ///
    /// # Errors
    /// [`Error::Provider`] when no client can be made.
    pub fn new(options: &SignInOptions, ports: Ports) -> Result<Self, Error> {
        warn_of("sign_in.apple_keys_url", options.apple_keys_url.as_deref());
        warn_of("sign_in.google_keys_url", options.google_keys_url.as_deref());
        let issuer = |ids: &[String], keys_url: &Option<String>| {
            let (client_ids, keys_url) = (ids.to_vec(), keys_url.clone());
            (!ids.is_empty()).then_some(IssuerOptions { client_ids, keys_url })
        };
        let apple = issuer(&options.apple_client_ids, &options.apple_keys_url);
        let google = issuer(&options.google_client_ids, &options.google_keys_url);
        let sign_in = SignIn::new(apple, google, ports).map_err(Error::provider)?;
        Ok(Self { sign_in })
    }

    /// Whether anybody is believed at this provider's word.
    #[must_use]
    pub const fn is_on(&self, provider: SignInProvider) -> bool {
        self.sign_in.is_on(provider)
    }

    /// Says whom a token vouches for; `nonce` is the one given out for this sign-in.
    ///
    /// # Errors
    /// [`SignInError::Refused`] for a token that is not to be believed, [`SignInError::Off`] for a
    /// provider that is not configured, [`SignInError::Keys`] when its keys cannot be had now.
    pub async fn verify_social(
        &self,
        provider: SignInProvider,
        id_token: &str,
        nonce: &str,
    ) -> Result<VerifiedIdentity, SignInError> {
        self.sign_in.verify(provider, id_token, nonce).await
    }
}
