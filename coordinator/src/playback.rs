//! Playback tokens: who may watch what, for how long, and the mark that the viewer's page shows.
//!
//! ```text
//!  a clip of a listed, live or sold story   anybody
//!  any other clip                           its owner, and whoever reviews stories (preview)
//! ```
//! Edges check tokens offline with the public key in the state. It must not know segments. Read next:
//! `fairground_media::token`.

use aws_lc_rs::signature::Ed25519KeyPair;
use fairground_media::Manifest;
use fairground_media::manifest::{Track, VideoFamily};
use fairground_media::token::{self, Claims, TokenFlags};
use fairground_types::role::Action;
use fairground_types::{AssetId, Code, Millis, PlaybackId, Rejection, Timestamp, UserId};
use serde::Serialize;

use crate::member::Member;
use crate::viewer_mark::{self, Viewer};

/// Least life of a token.
const LIFE_MIN: Millis = Millis::from_mins(30);
/// Greatest life of a token.
const LIFE_MAX: Millis = Millis::from_hours(6);

/// What a client plays, as it gets it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Playback {
    playback_id: PlaybackId,
    url: String,
    avc_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    av1_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poster_url: Option<String>,
    expires_at: Timestamp,
    revision: u32,
    /// What the page lays over the video.
    viewer_mark: String,
}

struct Playable {
    revision: u32,
    manifest: fairground_types::BlobHash,
    duration: Millis,
    is_preview: bool,
}

/// Mints a token for one playback.
pub(crate) async fn mint(
    member: &Member,
    user: Option<UserId>,
    asset: AssetId,
) -> Result<Playback, Rejection> {
    let playable = member.state.read(|market| {
        let row = market.asset(asset).ok_or_else(not_found)?;
        let is_listed = market.view().is_listed_asset(asset);
        let is_owner = user == Some(row.owner());
        let may_review = user.is_some_and(|user| {
            market.account(user).is_some_and(|account| {
                account.roles().into_iter().any(|role| role.may(Action::ReviewStory))
            })
        });
        if !is_listed && !is_owner && !may_review {
            // A stranger does not learn whether the clip exists.
            return Err(not_found());
        }
        let view = market
            .view()
            .asset(asset)
            .ok_or_else(|| Rejection::new(Code::InvalidState, "the clip is not ready yet"))?;
        Ok(Playable {
            revision: view.revision,
            manifest: view.manifest,
            duration: row.duration(),
            is_preview: !is_listed,
        })
    })?;
    let life = Millis::new(playable.duration.as_millis().saturating_mul(4));
    let now = member.now();
    let expires_at = now.plus(life.clamp(LIFE_MIN, LIFE_MAX));
    let playback = PlaybackId::from_bits(member.new_bits());
    let key = Ed25519KeyPair::from_pkcs8(member.secrets.playback.expose_pkcs8())
        .map_err(|_| Rejection::new(Code::Internal, "the token could not be signed"))?;
    let claims = Claims {
        key_id: member.secrets.playback_key_id,
        asset,
        playback,
        min_revision: 1,
        expires_at,
        rung_cap: None,
        flags: TokenFlags { preview: playable.is_preview, forensic: false },
    };
    let token = token::mint(&key, &claims);
    let viewer = user.map_or(Viewer::Playback(playback), Viewer::User);
    let viewer_mark = viewer_mark::mark(&member.secrets.code, asset, viewer, now);
    let manifest = manifest(member, &playable).await;
    let stamps = (playback, expires_at, viewer_mark);
    Ok(playback_of(&token, asset, &playable, manifest.as_ref(), stamps))
}

fn not_found() -> Rejection {
    Rejection::new(Code::NotFound, "no such clip")
}

async fn manifest(member: &Member, playable: &Playable) -> Option<Manifest> {
    let bytes = member.blobs.read(playable.manifest).await?;
    match Manifest::parse(&bytes) {
        Ok(manifest) => Some(manifest),
        Err(error) => {
            tracing::error!(manifest = %playable.manifest, %error, "manifest not read");
            None
        }
    }
}

fn playback_of(
    token: &str,
    asset: AssetId,
    playable: &Playable,
    manifest: Option<&Manifest>,
    (playback_id, expires_at, viewer_mark): (PlaybackId, Timestamp, String),
) -> Playback {
    let base = format!("/p/{token}/{asset}/{}", playable.revision);
    let has = |wanted: VideoFamily| {
        manifest.is_some_and(|manifest| {
            manifest.renditions.iter().any(|rendition| {
                matches!(&rendition.track, Track::Video { family, .. } if *family == wanted)
            })
        })
    };
    Playback {
        playback_id,
        url: format!("{base}/master.m3u8"),
        avc_url: format!("{base}/master.avc.m3u8"),
        av1_url: has(VideoFamily::Av1).then(|| format!("{base}/master.av1.m3u8")),
        poster_url: manifest
            .is_some_and(|manifest| manifest.poster.is_some())
            .then(|| format!("{base}/poster.jpg")),
        expires_at,
        revision: playable.revision,
        viewer_mark,
    }
}
