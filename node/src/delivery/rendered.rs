//! Texts that are rendered from manifests, kept ready to be sent: playlists and indexes.
//!
//! ```text
//!   (manifest, name) --hit--> text, gzip of it, a tag for each
//!          | miss
//!          +--> render --> BLAKE3 --> gzip --> keep, within so many bytes
//! ```
//! A text depends on its manifest, its name and on what this edge writes into its multivariant
//! playlists, which never changes; so a kept one is never out of date. It must not know requests or
//! tokens: whoever asks may read it. Read next: `super::Delivery::find`.

use std::io::Write as _;

use bytes::Bytes;
use fairground_media::path::PlayPath;
use fairground_types::BlobHash;
use flate2::Compression;
use flate2::write::GzEncoder;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Bytes of texts that are kept, with what comes with each.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Texts that are expected.
const TEXTS: usize = 1_024;
/// Bytes of a kept text beside its own and those of its gzip.
const OVERHEAD: usize = 512;
/// Texts shorter than this are not worth compressing.
const GZIP_MIN: usize = 256;

/// Bytes with their entity tag (RFC 9110 section 8.8.3), quotes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tagged {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// The tag, ASCII.
    pub(crate) tag: Bytes,
}

impl Tagged {
    /// Bytes under the tag of their hash.
    pub(crate) fn new(bytes: Bytes, hash: &BlobHash) -> Self {
        Self { bytes, tag: tag_of(hash, "") }
    }
}

/// A text that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// As it was rendered.
    pub(crate) whole: Tagged,
    /// Compressed, where that is worth it.
    pub(crate) zipped: Option<Tagged>,
    /// Media type.
    pub(crate) mime: &'static str,
}

impl Rendered {
    /// Makes a text ready.
    pub(crate) fn new(text: String, mime: &'static str) -> Self {
        let bytes = Bytes::from(text);
        let hash = BlobHash::of(&bytes);
        // Other bytes, another tag (RFC 9110 section 8.8.3.3).
        let zipped = (bytes.len() >= GZIP_MIN)
            .then(|| gzip(&bytes))
            .flatten()
            .map(|bytes| Tagged { bytes, tag: tag_of(&hash, "-gzip") });
        Self { whole: Tagged::new(bytes, &hash), zipped, mime }
    }

    fn len(&self) -> usize {
        let zipped = self.zipped.as_ref().map_or(0, |zipped| zipped.bytes.len());
        self.whole.bytes.len().saturating_add(zipped)
    }
}

/// A quoted tag. It is made for every blob that is served: no formatting, one allocation.
fn tag_of(hash: &BlobHash, suffix: &str) -> Bytes {
    let digit = |value: u8| match value {
        0..=9 => b'0'.saturating_add(value),
        _ => b'a'.saturating_add(value.saturating_sub(10)),
    };
    let mut tag = Vec::with_capacity(72);
    tag.push(b'"');
    for byte in hash.as_bytes() {
        tag.extend_from_slice(&[digit(byte >> 4), digit(byte & 0x0f)]);
    }
    tag.extend_from_slice(suffix.as_bytes());
    tag.push(b'"');
    tag.into()
}

fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Which text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TextName {
    /// The manifest that it is rendered from.
    pub(crate) manifest: BlobHash,
    /// Its name there.
    pub(crate) path: PlayPath,
    /// Whether it says where to ask for steering, if it is a multivariant playlist.
    pub(crate) steers: bool,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<TextName, Rendered> for ByBytes {
    fn weight(&self, _: &TextName, text: &Rendered) -> u64 {
        u64::try_from(text.len().saturating_add(OVERHEAD)).unwrap_or(u64::MAX)
    }
}

/// The texts that are kept.
#[derive(Debug)]
pub(crate) struct RenderedTexts(Cache<TextName, Rendered, ByBytes>);

impl RenderedTexts {
    pub(crate) fn new() -> Self {
        Self::within(BYTES_MAX)
    }

    fn within(bytes: u64) -> Self {
        Self(Cache::with_weighter(TEXTS, bytes, ByBytes))
    }

    /// A text, rendered when it is not here. `None`: there is no such text, which is not remembered.
    pub(crate) fn of(
        &self,
        name: TextName,
        render: impl FnOnce(&PlayPath) -> Option<(String, &'static str)>,
    ) -> Option<Rendered> {
        if let Some(kept) = self.0.get(&name) {
            return Some(kept);
        }
        let (text, mime) = render(&name.path)?;
        let rendered = Rendered::new(text, mime);
        self.0.insert(name, rendered.clone());
        Some(rendered)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn name(number: u32) -> TextName {
        let manifest = BlobHash::of(&number.to_le_bytes());
        TextName { manifest, path: PlayPath::parse("c360.m3u8").expect("a name"), steers: true }
    }

    #[test]
    fn a_text_is_rendered_once_per_manifest_and_name() {
        let (texts, renders) = (RenderedTexts::new(), Cell::new(0));
        let ask = |number| {
            texts.of(name(number), |path| {
                renders.set(renders.get() + 1);
                Some((format!("{path:?} {number}"), "text/plain"))
            })
        };
        let first = ask(1).expect("rendered");
        assert_eq!((ask(1), renders.get()), (Some(first.clone()), 1));
        assert_ne!(ask(2), Some(first));
        assert_eq!(renders.get(), 2);
        let other = TextName { path: PlayPath::Storyboard, ..name(1) };
        assert_eq!(texts.of(other, |_| None), None);
    }

    #[test]
    fn tags_are_those_of_the_hash_and_the_gzip_is_the_same_text() {
        use std::io::Read as _;

        let text = "#EXTM3U\n".repeat(100);
        let made = Rendered::new(text.clone(), "text/plain");
        let hash = BlobHash::of(text.as_bytes());
        assert_eq!(made.whole.tag, format!("\"{hash}\""));
        let zipped = made.zipped.expect("worth it");
        assert_eq!(zipped.tag, format!("\"{hash}-gzip\""));
        let mut back = String::new();
        let mut decoder = flate2::read::GzDecoder::new(zipped.bytes.as_ref());
        decoder.read_to_string(&mut back).expect("gzip");
        assert_eq!(back, text);
        assert_eq!(Rendered::new("short".to_owned(), "text/plain").zipped, None);
    }

    #[test]
    fn what_is_kept_stays_within_its_bytes() {
        let texts = RenderedTexts::within(64 * 1024);
        for number in 0..1_000 {
            texts.of(name(number), |_| Some(("x".repeat(200), "text/plain")));
            assert!(texts.0.weight() <= 64 * 1024, "after {number}");
        }
        assert!(texts.0.len() > 8, "{} kept", texts.0.len());
    }
}
