//! Configuration of an edge: defaults here and nowhere else.
//!
//! It must not read files; `fairground_runtime::config` does. Read next: `lib.rs`.

use std::path::PathBuf;

use fairground_runtime::config::SizeText;
use serde::{Deserialize, Serialize};

/// Everything that an operator may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Folder of keys, journal, view, cache and uploads. Default: `/var/lib/fairground/node`.
    pub dir: PathBuf,
    /// The operator's name for this edge, as in its join. Default: empty, taken from the identity.
    pub name: String,
    /// Where this edge is. Default: empty, taken from the join token.
    pub region: String,
    /// Where clients connect: `address:port`. Default: `127.0.0.1:8080`.
    pub http_listen: String,
    /// Certificate chain of the listener, PEM. Default: none; plain HTTP is for loopback only.
    pub http_tls_cert_file: Option<PathBuf>,
    /// Its private key, PEM, readable by its owner alone. Default: none.
    pub http_tls_key_file: Option<PathBuf>,
    /// Whether media are served over HTTP/3 too; needs the certificate and a binary with the feature
    /// `http3`. Default: false.
    pub http3: bool,
    /// Where, UDP: `address:port`. Default: empty, the same as `http_listen`.
    pub http3_listen: String,
    /// Base URL that clients use. Default: empty, taken from the listener.
    pub public_url: String,
    /// Where other edges ask this one for media: `address:port`, UDP (QUIC). All edges of a region
    /// use one port, at the hosts of their public URLs. Default: empty, edges do not ask each other.
    pub sibling_listen: String,
    /// Members to ask first, `host:port`; the view brings the others. Default: those of the join.
    pub members: Vec<String>,
    /// Whether this edge takes bids. Default: true.
    pub takes_bids: bool,
    /// Origins whose pages may call the API, beside those of the cluster's edges; `*` for any.
    /// Default: none.
    pub allowed_origins: Vec<String>,
    /// Whose Common Access Tokens are accepted at `/c/`. Default: nobody's.
    pub cat_issuers: Vec<CatIssuerOptions>,
    /// Whether requests from this machine are limited too. Default: false, they may come from the
    /// operator's proxy.
    pub limit_this_machine: bool,
    /// The segment cache.
    pub cache: CacheOptions,
    /// How much media may be sent.
    pub delivery: DeliveryOptions,
    /// The transcode role.
    pub transcode: TranscodeOptions,
    /// The tools that look into clips.
    pub media: MediaOptions,
    /// `auto`, `json` or `text`. Default: `auto`.
    pub log_format: String,
}

/// Somebody whose Common Access Tokens (CTA-5007) are accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatIssuerOptions {
    /// The `kid` of its tokens, as text.
    pub key_id: String,
    /// The `iss` of its tokens. Default: empty, it is not looked at.
    #[serde(default)]
    pub issuer: String,
    /// Its public key in base64: 32 bytes of Ed25519, or 65 of an uncompressed point on P-256.
    pub public_key: String,
}

/// The segment cache.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheOptions {
    /// Bytes of segments on disk. Default: 512 MiB.
    pub budget: SizeText,
    /// Bytes of segments in memory. Default: 64 MiB.
    pub memory: SizeText,
}

/// How much media may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryOptions {
    /// Bytes of media in a day of UTC; 0 for any number. Beyond it no playback begins here, and a
    /// tenth later nothing is served. Default: 0.
    pub bytes_per_day: SizeText,
    /// Times the size of its clip, all rungs together, that one playback may take from this edge,
    /// 64 MiB always; 0 for any number. Default: 3.
    pub playback_sizes_max: u32,
}

/// The transcode role.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TranscodeOptions {
    /// Whether this edge takes transcode jobs. Default: true.
    pub enabled: bool,
    /// Groups of pictures encoded at a time. Default: 2.
    pub workers: usize,
    /// rav1e's speed, 0 (slow, small) to 10. Default: 10.
    pub av1_speed: u8,
    /// Short side of the tallest AV1 rung, 0 for none: each takes minutes of a core per minute of video.
    /// Default: 360.
    pub av1_tallest: u32,
    /// Whether AV1 is published even where it needs no fewer bits than H.264. Default: false.
    pub av1_keeps_all: bool,
    /// Whether the maker's handle is drawn into the corner of every picture. Default: true.
    pub mark: bool,
}

/// How the tools that look into clips are fenced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Refuse to start unless everything can be enforced.
    Full,
    /// Enforce what this kernel can, and say so when that is not everything.
    #[default]
    Partial,
    /// Bound time and output only. For tests.
    Off,
}

/// The tools that look into clips.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaOptions {
    /// The ffmpeg program. Default: found in the system's folders.
    pub ffmpeg: Option<PathBuf>,
    /// The ffprobe program. Default: found in the system's folders.
    pub ffprobe: Option<PathBuf>,
    /// How they are fenced. Default: `partial`.
    pub sandbox: Sandbox,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/fairground/node"),
            name: String::new(),
            region: String::new(),
            http_listen: "127.0.0.1:8080".to_owned(),
            http_tls_cert_file: None,
            http_tls_key_file: None,
            http3: false,
            http3_listen: String::new(),
            public_url: String::new(),
            sibling_listen: String::new(),
            members: Vec::new(),
            takes_bids: true,
            allowed_origins: Vec::new(),
            cat_issuers: Vec::new(),
            limit_this_machine: false,
            cache: CacheOptions::default(),
            delivery: DeliveryOptions::default(),
            transcode: TranscodeOptions::default(),
            media: MediaOptions::default(),
            log_format: "auto".to_owned(),
        }
    }
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { budget: SizeText::new(512 << 20), memory: SizeText::new(64 << 20) }
    }
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self { bytes_per_day: SizeText::new(0), playback_sizes_max: 3 }
    }
}

impl Default for TranscodeOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            workers: 2,
            av1_speed: 10,
            av1_tallest: 360,
            av1_keeps_all: false,
            mark: true,
        }
    }
}
