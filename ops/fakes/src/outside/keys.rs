//! Keys of the services, made at each start, and tokens signed with them (RFC 7515).
//!
//! Deliberately not the product's code: each side checks the other's.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::error::FakesError;

pub(super) struct RsaKey {
    pair: RsaKeyPair,
    pub(super) id: &'static str,
}

pub(super) struct EcKey {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    pub(super) id: &'static str,
}

impl RsaKey {
    pub(super) fn generate(id: &'static str) -> Result<Self, FakesError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| FakesError::Key)?;
        Ok(Self { pair, id })
    }

    pub(super) fn pem(&self) -> Result<String, FakesError> {
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&self.pair);
        Ok(pem(der.map_err(|_| FakesError::Key)?.as_ref()))
    }

    pub(super) fn jwk(&self) -> Value {
        let (modulus, exponent) = numbers(self.pair.public_key().as_ref()).unwrap_or_default();
        let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        json!({
            "kty": "RSA", "kid": self.id, "use": "sig", "alg": "RS256",
            "n": text(modulus), "e": text(exponent),
        })
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> Result<String, FakesError> {
        let text = signed_text(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
            .map_err(|_| FakesError::Key)?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that this key signed.
    pub(super) fn open(&self, token: &str) -> Option<Value> {
        let public = self.pair.public_key().as_ref().to_vec();
        open(token, &UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public))
    }
}

impl EcKey {
    pub(super) fn generate(id: &'static str) -> Result<Self, FakesError> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
            .map_err(|_| FakesError::Key)?
            .as_ref()
            .to_vec();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8).map_err(|_| FakesError::Key)?;
        Ok(Self { pair, pkcs8, id })
    }

    pub(super) fn pem(&self) -> String {
        pem(&self.pkcs8)
    }

    pub(super) fn open(&self, token: &str) -> Option<Value> {
        let public = self.pair.public_key().as_ref().to_vec();
        open(token, &UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public))
    }
}

fn open<B: AsRef<[u8]>>(token: &str, key: &UnparsedPublicKey<B>) -> Option<Value> {
    let (text, signature) = token.rsplit_once('.')?;
    key.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let (_, claims) = text.split_once('.')?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1), without leading zeros.
fn numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(der)?;
    let (modulus, rest) = element(sequence)?;
    let (exponent, _) = element(rest)?;
    Some((without_zero(modulus), without_zero(exponent)))
}

fn without_zero(number: &[u8]) -> &[u8] {
    number.strip_prefix(&[0]).unwrap_or(number)
}

/// The contents of the first element of DER, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.get(1..)?.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (length.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
    };
    rest.split_at_checked(length)
}

fn signed_text(header: &Value, claims: &Value) -> String {
    let packed = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", packed(header), packed(claims))
}

fn pem(der: &[u8]) -> String {
    let packed = STANDARD.encode(der);
    let mut text = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    let mut rest = packed.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}
