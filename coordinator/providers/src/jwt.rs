//! Signs the tokens by which we name ourselves to a provider (RFC 7519, compact form).
//!
//! Two algorithms, each bound to its kind of key: RS256 and ES256. Checking other people's tokens is
//! `sign_in/`'s. It must not know what a token says.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is not PEM with one unencrypted PKCS#8 key.
    #[error("read the key as PEM of PKCS#8")]
    Pem,
    /// It is of another kind, or broken.
    #[error("use the key for {0}")]
    Kind(&'static str),
    /// It would not sign.
    #[error("sign with the key")]
    Sign,
}

/// A private key that signs tokens.
pub struct SigningKey {
    pair: Pair,
    id: String,
}

enum Pair {
    Rs256(Box<RsaKeyPair>),
    Es256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// An RSA key for RS256, from PEM (RFC 7468, PKCS#8).
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn rs256(pem: &str, id: impl Into<String>) -> Result<Self, KeyError> {
        let pair = RsaKeyPair::from_pkcs8(&der(pem)?).map_err(|_| KeyError::Kind("RS256"))?;
        Ok(Self { pair: Pair::Rs256(Box::new(pair)), id: id.into() })
    }

    /// A P-256 key for ES256, from PEM (RFC 7468, PKCS#8), as Apple's `.p8` files are.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn es256(pem: &str, id: impl Into<String>) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der(pem)?)
            .map_err(|_| KeyError::Kind("ES256"))?;
        Ok(Self { pair: Pair::Es256(Box::new(pair)), id: id.into() })
    }

    /// Signs claims.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn sign(&self, claims: &Value) -> Result<String, KeyError> {
        let algorithm = match &self.pair {
            Pair::Rs256(_) => "RS256",
            Pair::Es256(_) => "ES256",
        };
        let header = json!({"alg": algorithm, "kid": self.id, "typ": "JWT"}).to_string();
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .map_err(|_| KeyError::Sign)?;
                signature
            }
            Pair::Es256(pair) => {
                let signature = pair.sign(&random, text.as_bytes()).map_err(|_| KeyError::Sign)?;
                signature.as_ref().to_vec()
            }
        };
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

fn der(pem: &str) -> Result<Vec<u8>, KeyError> {
    let start = "-----BEGIN PRIVATE KEY-----";
    let (_, rest) = pem.split_once(start).ok_or(KeyError::Pem)?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----").ok_or(KeyError::Pem)?;
    let packed: String = body.chars().filter(|sign| !sign.is_whitespace()).collect();
    STANDARD.decode(packed).map_err(|_| KeyError::Pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_kind_is_refused() {
        assert!(matches!(SigningKey::es256("", "k"), Err(KeyError::Pem)));
        let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(SigningKey::es256(nonsense, "k"), Err(KeyError::Kind("ES256"))));
        assert!(matches!(SigningKey::rs256(nonsense, "k"), Err(KeyError::Kind("RS256"))));
    }
}
