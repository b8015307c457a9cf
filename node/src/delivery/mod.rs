//! Media delivery: what a playback token and a logical name stand for, from the cache or the
//! members.
//!
//! ```text
//!   token -> verified before? -> claims -> asset, revision -> manifest -> name -> blob | text
//!                                                                                |
//!                                             SegmentCache <--- hit ---+--- miss: origin
//! ```
//! A token grants names, never hashes. It must not know HTTP. Read next: [`origin`], [`rendered`],
//! [`prefetch`], [`steering`], [`streams`], `http/segments.rs`.

mod ahead;
pub(crate) mod budget;
pub(crate) mod meter;
pub(crate) mod origin;
pub(crate) mod prefetch;
pub(crate) mod range;
pub(crate) mod rendered;
pub(crate) mod steering;
pub(crate) mod streams;
mod withheld;

use std::sync::Arc;

use fairground_media::Manifest;
use fairground_media::path::{MIME_PLAYLIST, PlayPath, Resource, resolve};
use fairground_media::playlist::{Steering, steered};
use fairground_media::token::cat::{self, CatIssuer};
use fairground_media::token::{self, Claims, TokenError, TokenFlags};
use fairground_types::{AssetId, BlobHash, EdgeId, Timestamp};
use quick_cache::sync::Cache;

use crate::replica::Followed;
use meter::{Meter, Tab};
use origin::{Origin, OriginError};
use rendered::{RenderedTexts, Tagged, TextName};
use streams::StreamDesk;

/// Verified tokens that are remembered.
const TOKENS_MAX: usize = 20_000;

/// Why a name is not served.
#[derive(Debug)]
pub(crate) enum DeliveryError {
    /// The token is not good.
    Token(TokenError),
    /// The token does not cover it, or was taken back.
    Denied,
    /// Its viewer watches enough already.
    StreamLimit,
    /// No such name, or not here yet.
    NotFound,
    /// It cannot be had now.
    Unavailable(OriginError),
    /// A playback may not begin here now: revocations are too old.
    Stale,
    /// This edge has sent what it may send today.
    OverBudget,
    /// This playback has taken several times its clip: it is no longer one viewer.
    Spent,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The bytes, under the tag of their hash.
    pub(crate) whole: Tagged,
    /// The same compressed; of texts only.
    pub(crate) zipped: Option<Tagged>,
    /// Media type.
    pub(crate) mime: &'static str,
    /// Whether it is text that is made from the manifest.
    pub(crate) is_text: bool,
    /// Whether it never changes under its name.
    pub(crate) is_immutable: bool,
}

/// Delivers media.
pub(crate) struct Delivery {
    pub(crate) origin: Arc<Origin>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) streams: StreamDesk,
    /// The pathway that our playlists list: this edge.
    pathway: String,
    texts: RenderedTexts,
    verified: Cache<String, (Arc<crate::replica::Keys>, Claims)>,
    cat_issuers: Vec<CatIssuer>,
}

impl Delivery {
    pub(crate) fn new(
        origin: Arc<Origin>,
        meter: Arc<Meter>,
        edge: &EdgeId,
        cat_issuers: Vec<CatIssuer>,
    ) -> Self {
        Self {
            origin,
            meter,
            streams: StreamDesk::default(),
            pathway: edge.to_string(),
            texts: RenderedTexts::new(),
            verified: Cache::new(TOKENS_MAX),
            cat_issuers,
        }
    }

    /// Checks a token; one that was checked with the same keys costs a look-up.
    pub(crate) fn verify(
        &self,
        view: &Followed,
        text: &str,
        now: Timestamp,
    ) -> Result<Claims, DeliveryError> {
        let keys = view.keys();
        if let Some((with, claims)) = self.verified.get(text)
            && Arc::ptr_eq(&with, &keys)
        {
            return if claims.expires_at <= now {
                Err(DeliveryError::Token(TokenError::Expired))
            } else {
                Ok(claims)
            };
        }
        let claims = token::verify(text, &keys.playback, now).map_err(DeliveryError::Token)?;
        self.verified.insert(text.to_owned(), (keys, claims));
        Ok(claims)
    }

    /// Checks a Common Access Token for a request of an asset; each time, for it may ask anything.
    pub(crate) fn verify_cat(
        &self,
        text: &str,
        (method, path): (&str, &str),
        asset: AssetId,
        now: Timestamp,
    ) -> Result<Claims, DeliveryError> {
        let access = cat::verify(text, &self.cat_issuers, now).map_err(DeliveryError::Token)?;
        if !access.allows(method, path) {
            return Err(DeliveryError::Denied);
        }
        // What the public may have, and no more: previews are for accounts.
        Ok(Claims {
            key_id: 0,
            asset,
            playback: access.playback,
            min_revision: 1,
            begun_at: Timestamp::default(),
            expires_at: access.expires_at,
            viewer: None,
            rung_cap: None,
            flags: TokenFlags::default(),
        })
    }

    /// Whether verified claims are good for anything of a revision.
    pub(crate) fn permit(
        view: &Followed,
        claims: &Claims,
        (asset, revision): (AssetId, u32),
    ) -> Result<(), DeliveryError> {
        if !claims.covers(asset, revision) {
            return Err(DeliveryError::Denied);
        }
        let is_taken_back = view.read(|view| {
            // Whoever signed out, was suspended or lost the device.
            let is_revoked = claims.viewer.is_some_and(|viewer| view.is_revoked(viewer.sign_in));
            // Whoever previews (its maker, a moderator) may; everybody else stops at once.
            is_revoked || (!claims.flags.preview && view.is_withheld(asset))
        });
        if is_taken_back { Err(DeliveryError::Denied) } else { Ok(()) }
    }

    /// Finds a name of an asset under verified claims, whose playback has taken what the tab says.
    pub(crate) async fn find(
        &self,
        view: &Followed,
        (claims, tab): (&Claims, &Tab),
        (asset, revision, steers): (AssetId, u32, bool),
        path: PlayPath,
    ) -> Result<Found, DeliveryError> {
        Self::permit(view, claims, (asset, revision))?;
        let published = view.read(|view| view.asset(asset).copied());
        // Revisions add segments and renditions and change captions, so an older one is answered from
        // the newest manifest: whoever plays goes on, with the captions of now.
        let named = match published {
            Some(row) if revision >= 1 && revision <= row.revision => row.manifest,
            Some(_) | None => return Err(DeliveryError::NotFound),
        };
        let manifest = self.manifest(named).await?;
        if let Some(id) = path.rendition()
            && !claims.allows_rung(manifest.short_side(id))
        {
            return Err(DeliveryError::Denied);
        }
        if tab.is_spent(|| manifest.media_bytes()) {
            return Err(DeliveryError::Spent);
        }
        let is_captions = path.rendition().is_some_and(|id| manifest.caption_track(id).is_some());
        if path.is_text() {
            let is_immutable =
                !matches!(path, PlayPath::Master(_)) && !is_captions && !manifest.is_growing;
            let name = TextName { manifest: named, path, steers };
            let text = self.texts.of(name, |path| self.render(&manifest, path, steers));
            let text = text.ok_or(DeliveryError::NotFound)?;
            let (whole, zipped, mime) = (text.whole, text.zipped, text.mime);
            return Ok(Found { whole, zipped, mime, is_text: true, is_immutable });
        }
        let Some(Resource::Blob(hash, mime)) = resolve(&manifest, &path) else {
            return Err(DeliveryError::NotFound);
        };
        let body = self.origin.get(hash).await.map_err(DeliveryError::Unavailable)?;
        // Not before: what is asked for now goes first.
        let is_public = !claims.flags.preview || !view.read(|view| view.is_withheld(asset));
        let holds = |hash: &BlobHash| self.origin.cache.holds(hash);
        if let Some(next) = ahead::wanted(&manifest, &path, is_public, holds) {
            self.origin.fetch_ahead(next);
        }
        let whole = Tagged::new(body, &hash);
        Ok(Found { whole, zipped: None, mime, is_text: false, is_immutable: !is_captions })
    }

    /// A text; where players are steered, multivariant playlists say where this edge is asked.
    fn render(
        &self,
        manifest: &Manifest,
        path: &PlayPath,
        steers: bool,
    ) -> Option<(String, &'static str)> {
        if let (PlayPath::Master(set), true) = (path, steers) {
            let server = format!("{}/{}", steering::FOLDER, self.pathway);
            let steering = Steering { server: &server, pathway: &self.pathway };
            return steered(manifest, *set, steering).map(|text| (text, MIME_PLAYLIST));
        }
        match resolve(manifest, path)? {
            Resource::Text(text, mime) => Some((text, mime)),
            Resource::Blob(..) => None,
        }
    }

    async fn manifest(&self, hash: BlobHash) -> Result<Arc<Manifest>, DeliveryError> {
        self.origin.manifest(hash).await.map_err(DeliveryError::Unavailable)
    }
}
