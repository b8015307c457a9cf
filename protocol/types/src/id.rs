//! Typed identifiers.
//!
//! An id is 128 bits, written outside as a TypeID: a short prefix, an underscore and 26 characters
//! of Crockford base32 (<https://github.com/jetify-com/typeid>). Shells make the bits (UUIDv7,
//! RFC 9562 section 5.7); this module only names, prints and parses them. [`BidId`] is derived.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wincode::{SchemaRead, SchemaWrite};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;
/// Hashed once, not once a command.
static COMMAND_KEY: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("fairground 2026 command id v1"));

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {expected} id")]
pub struct ParseIdError {
    expected: &'static str,
}

fn encode_base32(value: u128) -> String {
    let mut text = String::with_capacity(TEXT_LEN);
    for position in (0..TEXT_LEN).rev() {
        let shift = u32::try_from(position).unwrap_or(0).saturating_mul(5);
        let digit = usize::try_from((value >> shift) & 31).unwrap_or(0);
        text.push(ALPHABET.get(digit).copied().map_or('0', char::from));
    }
    text
}

fn decode_base32(text: &str) -> Option<u128> {
    if text.len() != TEXT_LEN || text.as_bytes().first().is_none_or(|first| *first > b'7') {
        return None;
    }
    let mut value: u128 = 0;
    for byte in text.bytes() {
        let digit = ALPHABET.iter().position(|candidate| *candidate == byte)?;
        value = (value << 5) | u128::try_from(digit).ok()?;
    }
    Some(value)
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaRead, SchemaWrite)]
        pub struct $name(u128);

        impl $name {
            /// The text before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes the id from bits that a shell generated.
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn to_bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, encode_base32(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode_base32)
                    .map(Self)
                    .ok_or(ParseIdError { expected: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                crate::openapi::id($prefix)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )*};
}

typed_id! {
    /// A cluster: one log, one market.
    ClusterId = "clu";
    /// An account.
    UserId = "usr";
    /// One sign-in of one user on one device.
    SignInId = "sig";
    /// A pending one-time code.
    ChallengeId = "otp";
    /// A story: the listing page of one unique piece.
    StoryId = "sty";
    /// An offer made while no auction was open.
    OfferId = "off";
    /// An auction.
    AuctionId = "auc";
    /// A bid, derived from its [`CommandId`] so that every edge names it alike.
    BidId = "bid";
    /// A sale lock: the piece reserved for one buyer at one price.
    SaleLockId = "lck";
    /// An order.
    OrderId = "ord";
    /// An issue: a buyer's complaint about an order.
    IssueId = "iss";
    /// A media asset: one uploaded clip and everything made of it.
    AssetId = "ast";
    /// A tus upload.
    UploadId = "upl";
    /// A playback session.
    PlaybackId = "ply";
    /// A join token.
    JoinTokenId = "jtk";
    /// A refund.
    RefundId = "rfd";
    /// A chargeback: a dispute of a card holder, named by the provider's id.
    DisputeId = "dsp";
    /// An effect in the outbox; its text is the idempotency key abroad.
    EffectId = "eff";
    /// A device of an account.
    DeviceId = "dev";
    /// A device's public key, derived from it.
    DeviceKeyId = "dky";
    /// An invitation.
    InvitationId = "inv";
    /// A check of a person by a provider.
    TaskId = "tsk";
    /// A saved address.
    AddressId = "adr";
    /// A request for a copy or the end of one's own data.
    DataRequestId = "dsr";
    /// A strike.
    StrikeId = "stk";
    /// A notice in somebody's list.
    NoticeId = "ntc";
    /// A device that takes push messages.
    PushDeviceId = "pdv";
    /// A link to a story that somebody shared.
    ShareId = "shr";
}

impl BidId {
    /// Derives the id of a bid from its command: a UUIDv8 (RFC 9562 section 5.8) over the first
    /// 16 bytes of the command id.
    #[must_use]
    pub fn of(command: &CommandId) -> Self {
        let [first_half, _] = halves(&command.0);
        let version = 0x8_u128 << 76;
        let variant = 0b10_u128 << 62;
        let cleared = first_half & !(0xF_u128 << 76) & !(0b11_u128 << 62);
        Self(cleared | version | variant)
    }

    /// The least and the greatest command that this id can be derived from: its first six bytes are
    /// the command's own.
    #[must_use]
    pub const fn commands(self) -> (CommandId, CommandId) {
        let [a, b, c, d, e, f, ..] = self.0.to_be_bytes();
        let (mut first, mut last) = ([0; 32], [u8::MAX; 32]);
        [first[0], first[1], first[2], first[3], first[4], first[5]] = [a, b, c, d, e, f];
        [last[0], last[1], last[2], last[3], last[4], last[5]] = [a, b, c, d, e, f];
        (CommandId::from_bytes(first), CommandId::from_bytes(last))
    }
}

/// 32 bytes as two numbers that order alike.
fn halves(bytes: &[u8; 32]) -> [u128; 2] {
    let (high, low) = bytes.split_at(16);
    [high, low].map(|half| half.try_into().map_or(0, u128::from_be_bytes))
}

macro_rules! hash_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, SchemaRead, SchemaWrite)]
        pub struct $name([u8; 32]);

        impl Ord for $name {
            // The order of the bytes, half by half: it is what large maps do most.
            fn cmp(&self, other: &Self) -> Ordering {
                halves(&self.0).cmp(&halves(&other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// Wraps 32 bytes that are already a hash.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = ParseIdError { expected: "64 lower-case hexadecimal digit" };
                if text.len() != 64 {
                    return Err(error);
                }
                let mut bytes = [0_u8; 32];
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let pair = std::str::from_utf8(pair).map_err(|_| error.clone())?;
                    if pair.bytes().any(|digit| !matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
                        return Err(error);
                    }
                    *byte = u8::from_str_radix(pair, 16).map_err(|_| error.clone())?;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                crate::openapi::hash()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )*};
}

hash_id! {
    /// The identity of a client's intent: BLAKE3 over user, `Idempotency-Key`, operation and
    /// target. Two commands with one id are one command.
    CommandId;
    /// BLAKE3-256 of a blob's bytes; its only address.
    BlobHash;
    /// Hash of a journal up to and including one entry.
    ChainHash;
    /// A keyed or plain hash of something that must not be stored in clear.
    Digest;
}

impl CommandId {
    /// Derives the id of a command that a user sent.
    ///
    /// `operation` is a constant of the caller (`bid`, `offer`, `accept` ...); `target` the text of
    /// the id it acts on. Parts are length-prefixed, so no two lists of parts collide.
    #[must_use]
    pub fn derive(user: UserId, key: &str, operation: &str, target: &str) -> Self {
        Self::hash_parts(&[
            &user.to_bits().to_le_bytes(),
            key.as_bytes(),
            operation.as_bytes(),
            target.as_bytes(),
        ])
    }

    /// Derives the id of a command that no user sent: an effect's report, an operator's call.
    #[must_use]
    pub fn derive_system(operation: &str, target: &str, discriminator: &str) -> Self {
        Self::hash_parts(&[
            b"system",
            operation.as_bytes(),
            target.as_bytes(),
            discriminator.as_bytes(),
        ])
    }

    fn hash_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_from_context_key(&COMMAND_KEY);
        for part in parts {
            hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl BlobHash {
    /// Hashes a blob.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl ChainHash {
    /// The hash before the first entry.
    pub const START: Self = Self([0; 32]);
}

impl Digest {
    /// Plain BLAKE3 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// A running edge: the operator's name for it and an incarnation given by the cluster.
///
/// Text form `name.incarnation`, for example `eu-north-1.3`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaRead, SchemaWrite)]
pub struct EdgeId {
    /// Shared: an id is copied into everything that a bid leaves behind.
    name: Arc<String>,
    incarnation: u64,
}

impl EdgeId {
    /// Names an edge. The name is 1 to 40 of `a-z 0-9 -`.
    ///
    /// # Errors
    /// When the name is empty, too long or has another character.
    pub fn new(name: &str, incarnation: u64) -> Result<Self, ParseIdError> {
        let valid = (1..=40).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !valid {
            return Err(ParseIdError { expected: "edge" });
        }
        Ok(Self { name: Arc::new(name.to_owned()), incarnation })
    }

    /// The operator's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many times an edge of this name has registered, this one included.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.incarnation)
    }
}

impl fmt::Debug for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EdgeId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError { expected: "edge" };
        let (name, digits) = text.rsplit_once('.').ok_or_else(|| error.clone())?;
        let incarnation: u64 = digits.parse().map_err(|_| error.clone())?;
        // One id has one text: `+1` and `01` are numbers, and no incarnations.
        if incarnation.to_string() != digits {
            return Err(error);
        }
        Self::new(name, incarnation)
    }
}

impl Serialize for EdgeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EdgeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A Raft voter or learner, numbered by the cluster from 1.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

/// Position in the replicated log; also the version of every view of it.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogIndex(pub u64);

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_text_round_trips() {
        for bits in [0, 1, u128::MAX, 0x0192_3456_789a_7bcd_8ef0_1234_5678_9abc] {
            let id = AuctionId::from_bits(bits);
            assert_eq!(id.to_string().parse::<AuctionId>(), Ok(id));
        }
    }

    #[test]
    fn id_of_another_kind_is_refused() {
        let id = UserId::from_bits(7).to_string();
        assert!(id.parse::<AuctionId>().is_err());
        assert!("auc_8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<AuctionId>().is_err());
    }

    #[test]
    fn command_id_separates_its_parts() {
        let user = UserId::from_bits(1);
        assert_ne!(
            CommandId::derive(user, "ab", "c", "d"),
            CommandId::derive(user, "a", "bc", "d")
        );
    }

    #[test]
    fn bid_id_is_a_uuid_of_version_eight() {
        let bits = BidId::of(&CommandId::from_bytes([0xFF; 32])).to_bits();
        assert_eq!((bits >> 76) & 0xF, 8);
        assert_eq!((bits >> 62) & 0b11, 0b10);
    }

    #[test]
    fn edge_id_keeps_its_name_apart_from_its_incarnation() {
        let id = EdgeId::new("eu-1", 3).expect("valid");
        assert_eq!(id.to_string(), "eu-1.3");
        assert_eq!("eu-1.3".parse(), Ok(id));
        for text in ["Eu.1", "eu-1", "eu-1.", "eu-1.01", "eu-1.+1", "eu-1.-1"] {
            assert!(text.parse::<EdgeId>().is_err(), "{text}");
        }
    }
}
