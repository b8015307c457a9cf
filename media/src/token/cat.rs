//! Common Access Tokens (CTA-5007): who may read which addresses, as an issuer of the operator's says it.
//!
//! ```text
//!   COSE_Sign1, with or without the tags of COSE and CWT, by EdDSA or ES256
//!   iss (1)    the issuer's name, where one is configured     exp (4), nbf (5), iat (6)   whole seconds
//!   cti (7)    names the playback                             catv (310)                  1
//!   catu (312) rules for the path, at least one               catm (313)                  methods
//!   catreplay (308)  0: it may be used again
//! ```
//! Whatever else a token says narrows what it allows in a way that is not looked at here, so a token with
//! anything else is refused: networks, places, headers, keys of clients, renewal, encryption, rules for
//! other parts of an address, hashes and patterns. Tokens under a shared secret (COSE_Mac0) are refused as
//! well: who can check those can make them. It must not know assets. Read next: [`super`].

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_types::{BlobHash, PlaybackId, Timestamp};

use super::cbor::Reader;
use super::{SIGNATURE_BYTES, TokenError, v2};

/// Characters that no token exceeds.
pub const CAT_CHARS_MAX: usize = 2_048;

/// Tags 61 (RFC 8392 section 6) and 18 (RFC 9052 section 2).
const TAG_CWT: &[u8] = &[0xd8, 0x3d];
const TAG_SIGN1: &[u8] = &[0xd2];
/// Algorithms (RFC 9053 section 2).
const EDDSA: i64 = -8;
const ES256: i64 = -7;
/// Pairs of a header or of the claims at most, and rules of a claim.
const PAIRS_MAX: u64 = 16;
/// The path of an address, and how it is matched.
const PATH: i64 = 3;
const EXACT: i64 = 0;
const PREFIX: i64 = 1;
const SUFFIX: i64 = 2;
const CONTAINS: i64 = 3;

/// Somebody whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatIssuer {
    /// The `kid` of its tokens.
    pub key_id: Vec<u8>,
    /// The `iss` of its tokens; `None` when that is not looked at.
    pub name: Option<String>,
    /// Its key.
    pub key: CatKey,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatKey {
    /// For EdDSA: 32 bytes (RFC 8032).
    Ed25519([u8; 32]),
    /// For ES256: an uncompressed point, 65 bytes (SEC 1 section 2.3.3).
    P256([u8; 65]),
}

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatAccess {
    /// Stands for the token's own id, by which viewers are spread over edges.
    pub playback: PlaybackId,
    /// When it ends.
    pub expires_at: Timestamp,
    paths: Vec<(i64, String)>,
    methods: Option<Vec<String>>,
}

impl CatKey {
    /// The key of these bytes; its kind goes by how many there are.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if let Ok(key) = <[u8; 32]>::try_from(bytes) {
            return Some(Self::Ed25519(key));
        }
        let point = <[u8; 65]>::try_from(bytes).ok()?;
        (bytes.first() == Some(&0x04)).then_some(Self::P256(point))
    }
}

impl CatAccess {
    /// Whether it covers a request; `path` as in the request's address, without a query.
    #[must_use]
    pub fn allows(&self, method: &str, path: &str) -> bool {
        let fits = |(rule, text): &(i64, String)| match *rule {
            EXACT => path == text,
            PREFIX => path.starts_with(text.as_str()),
            SUFFIX => path.ends_with(text.as_str()),
            CONTAINS => path.contains(text.as_str()),
            _ => false,
        };
        let is_method = |methods: &Vec<String>| methods.iter().any(|known| known == method);
        self.paths.iter().all(fits) && self.methods.as_ref().is_none_or(is_method)
    }
}

/// Checks a token's form, issuer, signature, claims and times, in this order.
///
/// # Errors
/// [`TokenError`] by what is wrong first.
pub fn verify(text: &str, issuers: &[CatIssuer], now: Timestamp) -> Result<CatAccess, TokenError> {
    if text.len() > CAT_CHARS_MAX {
        return Err(TokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    let signed = Signed::parse(&bytes).ok_or(TokenError::Malformed)?;
    let is_of = |issuer: &&CatIssuer| issuer.key_id == signed.key_id;
    let issuer = issuers.iter().find(is_of).ok_or(TokenError::UnknownKey)?;
    signed.check(&issuer.key)?;
    let claims = Claims::parse(signed.payload).ok_or(TokenError::Unsupported)?;
    if issuer.name.is_some() && issuer.name.as_deref() != claims.issuer {
        return Err(TokenError::UnknownKey);
    }
    let expires_at = claims.expires_at.ok_or(TokenError::Unsupported)?;
    if expires_at <= now {
        return Err(TokenError::Expired);
    }
    if claims.not_before.is_some_and(|from| now < from) {
        return Err(TokenError::NotYetValid);
    }
    // Without a rule for the path it would open every clip.
    if claims.paths.is_empty() {
        return Err(TokenError::Unsupported);
    }
    let id = BlobHash::of(claims.token_id.unwrap_or(&bytes));
    let (id, _) = id.as_bytes().split_first_chunk().ok_or(TokenError::Malformed)?;
    let playback = PlaybackId::from_bits(u128::from_be_bytes(*id));
    Ok(CatAccess { playback, expires_at, paths: claims.paths, methods: claims.methods })
}

/// The parts of a COSE_Sign1.
struct Signed<'a> {
    header: &'a [u8],
    algorithm: i64,
    key_id: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(TAG_CWT).unwrap_or(bytes);
        let bytes = bytes.strip_prefix(TAG_SIGN1).unwrap_or(bytes);
        let mut outer = Reader::new(bytes);
        (outer.array()? == 4).then_some(())?;
        let header = outer.bytes()?;
        let (mut algorithm, mut key_id) = (None, None);
        let mut inner = Reader::new(header);
        read_header(&mut inner, &mut algorithm, &mut key_id)?;
        inner.is_empty().then_some(())?;
        // The algorithm counts only where it is signed; the key may be named beside it.
        let mut unsigned = None;
        read_header(&mut outer, &mut unsigned, &mut key_id)?;
        unsigned.is_none().then_some(())?;
        let payload = outer.bytes()?;
        let signature = outer.bytes()?;
        (outer.is_empty() && signature.len() == SIGNATURE_BYTES).then_some(())?;
        Some(Self { header, algorithm: algorithm?, key_id: key_id?, payload, signature })
    }

    fn check(&self, key: &CatKey) -> Result<(), TokenError> {
        let text = v2::signed_text(self.header, self.payload);
        let checked = match (key, self.algorithm) {
            (CatKey::Ed25519(key), EDDSA) => {
                UnparsedPublicKey::new(&ED25519, key).verify(&text, self.signature)
            }
            (CatKey::P256(key), ES256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(&text, self.signature)
            }
            (CatKey::Ed25519(_) | CatKey::P256(_), _) => return Err(TokenError::Unsupported),
        };
        checked.map_err(|_| TokenError::BadSignature)
    }
}

/// Reads algorithm and key id; another parameter is refused, and so is one that stands twice.
fn read_header<'a>(
    reader: &mut Reader<'a>,
    algorithm: &mut Option<i64>,
    key_id: &mut Option<&'a [u8]>,
) -> Option<()> {
    for _ in 0..reader.map().filter(|pairs| *pairs <= PAIRS_MAX)? {
        let was_there = match reader.int()? {
            1 => algorithm.replace(reader.int()?).is_some(),
            4 => key_id.replace(reader.bytes()?).is_some(),
            _ => return None,
        };
        (!was_there).then_some(())?;
    }
    Some(())
}

/// The claims that are understood.
#[derive(Default)]
struct Claims<'a> {
    issuer: Option<&'a str>,
    expires_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    token_id: Option<&'a [u8]>,
    paths: Vec<(i64, String)>,
    methods: Option<Vec<String>>,
}

impl<'a> Claims<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let mut claims = Self::default();
        let mut seen = Vec::new();
        for _ in 0..reader.map().filter(|pairs| *pairs <= PAIRS_MAX)? {
            let name = reader.int()?;
            (!seen.contains(&name)).then_some(())?;
            seen.push(name);
            claims.read(name, &mut reader)?;
        }
        reader.is_empty().then_some(claims)
    }

    fn read(&mut self, name: i64, reader: &mut Reader<'a>) -> Option<()> {
        match name {
            1 => self.issuer = Some(reader.text()?),
            4 => self.expires_at = Some(instant(reader)?),
            5 => self.not_before = Some(instant(reader)?),
            6 => {
                instant(reader)?;
            }
            7 => self.token_id = Some(reader.bytes()?),
            308 => (reader.uint()? == 0).then_some(())?,
            310 => (reader.uint()? == 1).then_some(())?,
            312 => self.paths = read_paths(reader)?,
            313 => self.methods = Some(read_methods(reader)?),
            _ => return None,
        }
        Some(())
    }
}

fn instant(reader: &mut Reader<'_>) -> Option<Timestamp> {
    Some(Timestamp::from_unix_millis(reader.uint()?.checked_mul(1_000)?))
}

fn read_paths(reader: &mut Reader<'_>) -> Option<Vec<(i64, String)>> {
    (reader.map()? == 1 && reader.int()? == PATH).then_some(())?;
    let rules = reader.map().filter(|rules| (1..=PAIRS_MAX).contains(rules))?;
    let mut paths = Vec::new();
    for _ in 0..rules {
        let rule = reader.int()?;
        matches!(rule, EXACT | PREFIX | SUFFIX | CONTAINS).then_some(())?;
        paths.push((rule, reader.text()?.to_owned()));
    }
    Some(paths)
}

fn read_methods(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let methods = reader.array().filter(|methods| *methods <= PAIRS_MAX)?;
    (0..methods).map(|_| reader.text().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    };
    use proptest::prelude::*;

    use super::super::cbor::Writer;
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_000_000);
    const FOLDER: &str = "/c/ast_1/";

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap()
    }

    fn issuers() -> Vec<CatIssuer> {
        let key = CatKey::from_bytes(key().public_key().as_ref()).unwrap();
        vec![CatIssuer { key_id: b"op".to_vec(), name: Some("op.example".into()), key }]
    }

    fn header(algorithm: i64) -> Vec<u8> {
        let mut header = Writer::default();
        header.map(2).int(1).int(algorithm).int(4).bytes(b"op");
        header.into_bytes()
    }

    /// Claims of a good token; `more` are pairs behind them.
    fn claims(expires: u64, pairs: usize, more: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut claims = Writer::default();
        claims.map(4 + pairs).int(1).text("op.example").int(4).uint(expires).int(7).bytes(b"id");
        claims.int(312).map(1).int(PATH).map(1).int(PREFIX).text(FOLDER);
        more(&mut claims);
        claims.into_bytes()
    }

    fn token(payload: &[u8]) -> String {
        let header = header(EDDSA);
        let signature = key().sign(&v2::signed_text(&header, payload));
        URL_SAFE_NO_PAD.encode(v2::write(&header, payload, signature.as_ref()))
    }

    fn read(payload: &[u8]) -> Result<CatAccess, TokenError> {
        verify(&token(payload), &issuers(), NOW)
    }

    #[test]
    fn path_and_method_decide() {
        let access = read(&claims(2_000, 1, |claims| {
            claims.int(313).array(1).text("GET");
        }));
        let access = access.unwrap();
        assert_eq!(access.expires_at, Timestamp::from_unix_millis(2_000_000));
        assert!(access.allows("GET", "/c/ast_1/1/master.m3u8"));
        assert!(!access.allows("HEAD", "/c/ast_1/1/master.m3u8"));
        assert!(!access.allows("GET", "/c/ast_2/1/master.m3u8"));
        let any = read(&claims(2_000, 0, |_| {})).unwrap();
        assert!(any.allows("HEAD", "/c/ast_1/1/c360/0.m4s"));
        assert_eq!(any.playback, access.playback, "both have the same id");
    }

    #[test]
    fn tags_may_stand_before_it() {
        let payload = claims(2_000, 0, |_| {});
        let plain = URL_SAFE_NO_PAD.decode(token(&payload)).unwrap();
        for tags in [TAG_SIGN1, &[0xd8, 0x3d, 0xd2]] {
            let tagged = URL_SAFE_NO_PAD.encode([tags, &plain].concat());
            assert_eq!(verify(&tagged, &issuers(), NOW), read(&payload));
        }
        let mac = URL_SAFE_NO_PAD.encode([&[0xd1][..], &plain].concat());
        assert_eq!(verify(&mac, &issuers(), NOW), Err(TokenError::Malformed));
    }

    #[test]
    fn es256_is_accepted() {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
        let (header, payload) = (header(ES256), claims(2_000, 0, |_| {}));
        let text = v2::signed_text(&header, &payload);
        let signature = pair.sign(&SystemRandom::new(), &text).unwrap();
        let token = URL_SAFE_NO_PAD.encode(v2::write(&header, &payload, signature.as_ref()));
        let key = CatKey::from_bytes(pair.public_key().as_ref()).unwrap();
        let issuer = CatIssuer { key_id: b"op".to_vec(), name: None, key };
        assert!(verify(&token, &[issuer], NOW).is_ok());
        assert_eq!(verify(&token, &issuers(), NOW), Err(TokenError::Unsupported));
    }

    #[test]
    fn times_and_issuers_are_checked() {
        assert_eq!(read(&claims(1_000, 0, |_| {})), Err(TokenError::Expired));
        let mut later = Writer::default();
        later.map(4).int(1).text("op.example").int(4).uint(3_000).int(5).uint(2_000);
        later.int(312).map(1).int(PATH).map(1).int(PREFIX).text(FOLDER);
        assert_eq!(read(&later.into_bytes()), Err(TokenError::NotYetValid));
        let good = token(&claims(2_000, 0, |_| {}));
        assert_eq!(verify(&good, &[], NOW), Err(TokenError::UnknownKey));
        let other = |issuer: CatIssuer| CatIssuer { name: Some("other".into()), ..issuer };
        let others: Vec<_> = issuers().into_iter().map(other).collect();
        assert_eq!(verify(&good, &others, NOW), Err(TokenError::UnknownKey));
        let wrong = CatKey::Ed25519([3; 32]);
        let wrong = |issuer| CatIssuer { key: wrong.clone(), ..issuer };
        let wrong: Vec<_> = issuers().into_iter().map(wrong).collect();
        assert_eq!(verify(&good, &wrong, NOW), Err(TokenError::BadSignature));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        // Networks (311), and a rule by a pattern.
        let networks = claims(2_000, 1, |claims| {
            claims.int(311).array(0);
        });
        let mut pattern = Writer::default();
        pattern.map(2).int(4).uint(2_000);
        pattern.int(312).map(1).int(PATH).map(1).int(4).array(1).text(".*");
        let mut everything = Writer::default();
        everything.map(2).int(1).text("op.example").int(4).uint(2_000);
        let mut replay = Writer::default();
        replay.map(3).int(4).uint(2_000).int(308).uint(1);
        replay.int(312).map(1).int(PATH).map(1).int(PREFIX).text(FOLDER);
        let parts = [pattern, everything, replay].map(Writer::into_bytes);
        for payload in std::iter::once(networks).chain(parts) {
            assert_eq!(read(&payload), Err(TokenError::Unsupported), "{payload:?}");
        }
    }

    proptest! {
        #[test]
        fn no_changed_byte_survives(index: usize, flip in 1_u8..) {
            let mut bytes = URL_SAFE_NO_PAD.decode(token(&claims(2_000, 0, |_| {}))).unwrap();
            let index = index % bytes.len();
            bytes[index] ^= flip;
            let changed = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert!(verify(&changed, &issuers(), NOW).is_err());
        }

        #[test]
        fn any_text_is_refused(bytes: Vec<u8>) {
            prop_assert!(verify(&URL_SAFE_NO_PAD.encode(bytes), &issuers(), NOW).is_err());
        }
    }
}
