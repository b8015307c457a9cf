//! The viewer's mark: what a page lays over the video, so that a recording tells who made it.
//!
//! ```text
//!  2026-12-01T10:32Z K7Q2M-9TDXZ
//!  minute            50 bits of HMAC(code key, what, clip, minute, viewer)
//! ```
//! The code is pseudonym and signature in one: it says nothing about anybody, differs from clip to clip
//! and from minute to minute, and nobody without the key can make one that names somebody else. Members
//! read it by trying all accounts, which is cheap and needs no list of who watched what. A viewer who is
//! not signed in is marked by the playback. It must not know pages. Read next: `node/web/mark.js`.

use fairground_runtime::secret::{DataKey, mac};
use fairground_types::{AssetId, PlaybackId, Timestamp, UserId};

/// Crockford's base 32: no letter looks like another character.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_CHARS: usize = 10;
const MINUTE_MS: u64 = 60_000;

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Viewer {
    /// Somebody who is signed in.
    User(UserId),
    /// Anybody else.
    Playback(PlaybackId),
}

/// A mark that somebody read off a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    minute: u64,
    code: String,
}

impl Sighting {
    /// Reads a text as people copy it; `None` when it is no mark.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (instant, code) = text.trim().split_once(char::is_whitespace)?;
        let upto_minutes = instant.strip_suffix(['Z', 'z']).filter(|text| text.len() == 16)?;
        let instant = serde_json::Value::String(format!("{upto_minutes}:00Z"));
        let instant: Timestamp = serde_json::from_value(instant).ok()?;
        let code: Option<String> =
            code.trim().chars().filter(|character| *character != '-').map(digit).collect();
        let code = code.filter(|code| code.len() == CODE_CHARS)?;
        Some(Self { minute: instant.as_unix_millis() / MINUTE_MS, code })
    }

    /// When the playback began, to the minute.
    pub(crate) const fn began_at(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.minute.saturating_mul(MINUTE_MS))
    }

    /// Whether that viewer was given this mark for that clip.
    pub(crate) fn is_of(&self, key: &DataKey, asset: AssetId, viewer: Viewer) -> bool {
        code(key, asset, viewer, self.minute) == self.code
    }
}

/// A digit as people take it for another one.
fn digit(character: char) -> Option<char> {
    let digit = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    ALPHABET.iter().any(|known| char::from(*known) == digit).then_some(digit)
}

/// The mark of a viewer of a clip, from `at` on.
pub(crate) fn mark(key: &DataKey, asset: AssetId, viewer: Viewer, at: Timestamp) -> String {
    let minute = at.as_unix_millis() / MINUTE_MS;
    let instant = Timestamp::from_unix_millis(minute.saturating_mul(MINUTE_MS)).to_string();
    // Up to the minutes: what follows is always zero.
    let instant = instant.get(..16).unwrap_or(&instant);
    let code = code(key, asset, viewer, minute);
    let (first, second) = code.split_at(code.len() / 2);
    format!("{instant}Z {first}-{second}")
}

fn code(key: &DataKey, asset: AssetId, viewer: Viewer, minute: u64) -> String {
    let (kind, bits): (&[u8], u128) = match viewer {
        Viewer::User(user) => (b"user".as_slice(), user.to_bits()),
        Viewer::Playback(playback) => (b"playback".as_slice(), playback.to_bits()),
    };
    let (asset, minute, bits) =
        (asset.to_bits().to_be_bytes(), minute.to_be_bytes(), bits.to_be_bytes());
    let parts: [&[u8]; 5] = [b"viewer mark", &asset, &minute, kind, &bits];
    let digest = mac(key, &parts);
    let head = digest.as_bytes().first_chunk::<8>();
    let number = head.map_or(0, |head| u64::from_be_bytes(*head));
    // Five bits a digit, the highest first.
    let digits = std::iter::successors(Some(number), |left| Some(left << 5)).map(|left| {
        let index = usize::try_from(left >> 59).unwrap_or(0);
        char::from(ALPHABET.get(index).copied().unwrap_or(b'0'))
    });
    digits.take(CODE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSET: AssetId = AssetId::from_bits(5);
    const AT: Timestamp = Timestamp::from_unix_millis(1_796_121_125_678);
    const USER: Viewer = Viewer::User(UserId::from_bits(77));

    fn key(seed: u8) -> DataKey {
        DataKey::from_bytes([seed; 32])
    }

    #[test]
    fn mark_is_a_minute_and_a_code_and_nothing_about_anybody() {
        let text = mark(&key(1), ASSET, USER, AT);
        let (instant, code) = text.split_once(' ').unwrap();
        assert_eq!((instant.len(), code.len()), (17, 11), "{text}");
        assert!(AT.to_string().starts_with(instant.strip_suffix('Z').unwrap()), "{text}");
        let (first, second) = code.split_once('-').unwrap();
        for half in [first, second] {
            assert_eq!(half.len(), 5, "{text}");
            assert!(half.bytes().all(|byte| ALPHABET.contains(&byte)), "{text}");
        }
        let id = UserId::from_bits(77).to_string().to_uppercase();
        assert!(!id.contains(first) && !id.contains(second), "{text}");
    }

    #[test]
    fn mark_is_read_by_trying_viewers() {
        let text = mark(&key(1), ASSET, USER, AT);
        let seen = Sighting::parse(&text).unwrap();
        assert_eq!(seen.began_at().as_unix_millis(), AT.as_unix_millis() / MINUTE_MS * MINUTE_MS);
        let found: Vec<u128> = (0..1000)
            .filter(|user| seen.is_of(&key(1), ASSET, Viewer::User(UserId::from_bits(*user))))
            .collect();
        assert_eq!(found, [77]);
        assert!(!seen.is_of(&key(2), ASSET, USER));
        assert!(!seen.is_of(&key(1), AssetId::from_bits(6), USER));
        assert!(!seen.is_of(&key(1), ASSET, Viewer::Playback(PlaybackId::from_bits(77))));
    }

    #[test]
    fn text_is_read_as_people_copy_it() {
        let read = |text: &str| Sighting::parse(text);
        let wanted = read("2026-12-01T10:32Z 0123M-9TDXZ");
        assert!(wanted.is_some());
        assert_eq!(read(" 2026-12-01T10:32z  o12 3m9tdxz "), None);
        assert_eq!(read(" 2026-12-01T10:32z  oL23m9tdxz "), wanted);
        for text in [
            "",
            "K7Q2M-9TDXZ",
            "2026-12-01 10:32Z K7Q2M-9TDXZ",
            "2026-12-01T10:32:00Z K7Q2M-9TDXZ",
            "2026-13-01T10:32Z K7Q2M-9TDXZ",
            "1926-12-01T10:32Z K7Q2M-9TDXZ",
            "2026-12-01T10:32Z K7Q2M-9TDX",
            "2026-12-01T10:32Z K7Q2M-9TDXZZ",
            "2026-12-01T10:32Z K7Q2M-9TDXU",
            "2026-12-01T10:32Z K7Q2M-9TDX\u{e9}",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn mark_is_the_same_for_a_minute() {
        let within = Timestamp::from_unix_millis(AT.as_unix_millis() / MINUTE_MS * MINUTE_MS);
        assert_eq!(mark(&key(1), ASSET, USER, AT), mark(&key(1), ASSET, USER, within));
    }

    #[test]
    fn code_hangs_on_key_clip_viewer_and_minute() {
        let minute = AT.as_unix_millis() / MINUTE_MS;
        let codes = [
            code(&key(1), ASSET, USER, minute),
            code(&key(2), ASSET, USER, minute),
            code(&key(1), AssetId::from_bits(6), USER, minute),
            code(&key(1), ASSET, Viewer::User(UserId::from_bits(78)), minute),
            code(&key(1), ASSET, Viewer::Playback(PlaybackId::from_bits(77)), minute),
            code(&key(1), ASSET, USER, minute + 1),
        ];
        for (at, one) in codes.iter().enumerate() {
            assert_eq!(one.len(), 10);
            assert!(!codes[..at].contains(one), "{one} twice");
        }
    }

    #[test]
    fn all_bits_of_the_code_come_from_the_signature() {
        let codes: Vec<String> = (0..200)
            .map(|user| code(&key(1), ASSET, Viewer::User(UserId::from_bits(user)), 9))
            .collect();
        for place in 0..10 {
            let mut seen: Vec<u8> = codes.iter().map(|code| code.as_bytes()[place]).collect();
            seen.sort_unstable();
            seen.dedup();
            assert!(seen.len() > 24, "character {place} has {} values", seen.len());
        }
    }
}
