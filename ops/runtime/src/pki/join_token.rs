//! The text by which a daemon joins: whom to trust, whom to ask, and a secret.
//!
//! ```text
//! fgj1.<base64url of:>
//!   cluster 16 | CA hash 32 | token id 16 | secret 32 | role 1 | region: length 1, bytes
//!   | addresses: count 1, each length 1, bytes | check 4: start of BLAKE3 of all before
//! ```
//!
//! The check finds slips of the hand, not attackers: those meet the secret's hash in the log. It
//! must not know what a join does.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_types::command::JoinRole;
use fairground_types::text::Region;
use fairground_types::{ClusterId, Digest, JoinTokenId};

use crate::error::PkiError;
use crate::ids::random_bytes;

const PREFIX: &str = "fgj1.";
/// Longest text, in bytes.
const TEXT_MAX: usize = 4_096;
/// Most addresses in a token, and bytes of each.
const ADDRESSES_MAX: usize = 16;
const ADDRESS_BYTES_MAX: usize = 255;
const CHECK_LEN: usize = 4;

/// What a joiner is given.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The cluster.
    pub cluster: ClusterId,
    /// BLAKE3 of the authority's certificate: the joiner trusts no other.
    pub ca_hash: Digest,
    /// Which token of the log.
    pub id: JoinTokenId,
    /// Proof; the log holds only its hash.
    pub secret: [u8; 32],
    /// What it admits.
    pub role: JoinRole,
    /// Where.
    pub region: Region,
    /// Members to ask, `host:port`, QUIC; at most 16.
    pub addresses: Vec<String>,
}

impl JoinToken {
    /// A new secret.
    #[must_use]
    pub fn new_secret() -> [u8; 32] {
        random_bytes()
    }

    /// What the log holds of the secret. Plain, since 256 random bits cannot be guessed.
    #[must_use]
    pub fn secret_digest(&self) -> Digest {
        Digest::of(&self.secret)
    }

    /// The text. Whoever has it can join until it expires or is used.
    ///
    /// # Errors
    /// When there is no address, or too many or too long ones.
    pub fn expose_text(&self) -> Result<String, PkiError> {
        let token = |problem| PkiError::Token { problem };
        if self.addresses.is_empty() || self.addresses.len() > ADDRESSES_MAX {
            return Err(token("1 to 16 addresses"));
        }
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&self.cluster.to_bits().to_be_bytes());
        bytes.extend_from_slice(self.ca_hash.as_bytes());
        bytes.extend_from_slice(&self.id.to_bits().to_be_bytes());
        bytes.extend_from_slice(&self.secret);
        bytes.push(match self.role {
            JoinRole::Member => 0,
            JoinRole::Edge => 1,
        });
        push_text(&mut bytes, self.region.as_str())?;
        bytes.push(u8::try_from(self.addresses.len()).map_err(|_| token("1 to 16 addresses"))?);
        for address in &self.addresses {
            push_text(&mut bytes, address)?;
        }
        let check = check(&bytes);
        bytes.extend_from_slice(&check);
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }
}

impl FromStr for JoinToken {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let token = |problem| PkiError::Token { problem };
        let text = text.trim();
        let body = text.strip_prefix(PREFIX).ok_or_else(|| token("it starts with `fgj1.`"))?;
        if body.len() > TEXT_MAX {
            return Err(token("it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| token("it is not base64url"))?;
        let at = bytes.len().checked_sub(CHECK_LEN).ok_or_else(|| token("it is too short"))?;
        let (body, found) = bytes.split_at(at);
        if check(body) != *found {
            return Err(token("a character is wrong or missing"));
        }
        let mut rest = Reader(body);
        let cluster = ClusterId::from_bits(u128::from_be_bytes(rest.array()?));
        let ca_hash = Digest::from_bytes(rest.array()?);
        let id = JoinTokenId::from_bits(u128::from_be_bytes(rest.array()?));
        let secret = rest.array()?;
        let role = match rest.byte()? {
            0 => JoinRole::Member,
            1 => JoinRole::Edge,
            _ => return Err(token("it is for a role that this version does not know")),
        };
        let region = Region::parse(rest.text()?).map_err(|_| token("its region is no name"))?;
        let count = usize::from(rest.byte()?);
        if count == 0 || count > ADDRESSES_MAX {
            return Err(token("1 to 16 addresses"));
        }
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            addresses.push(rest.text()?.to_owned());
        }
        if !rest.0.is_empty() {
            return Err(token("something follows its end"));
        }
        Ok(Self { cluster, ca_hash, id, secret, role, region, addresses })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("cluster", &self.cluster)
            .field("id", &self.id)
            .field("role", &self.role)
            .field("region", &self.region)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK_LEN] {
    let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
    [a, b, c, d]
}

fn push_text(bytes: &mut Vec<u8>, text: &str) -> Result<(), PkiError> {
    let length = u8::try_from(text.len())
        .ok()
        .filter(|length| usize::from(*length) <= ADDRESS_BYTES_MAX)
        .ok_or(PkiError::Token { problem: "an address is longer than 255 bytes" })?;
    bytes.push(length);
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], PkiError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(PkiError::Token { problem: "it is too short" })?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PkiError> {
        self.take(N)?.try_into().map_err(|_| PkiError::Token { problem: "it is too short" })
    }

    fn byte(&mut self) -> Result<u8, PkiError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn text(&mut self) -> Result<&'a str, PkiError> {
        let length = usize::from(self.byte()?);
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| PkiError::Token { problem: "an address is no text" })
    }
}
