//! Playback tokens: who may watch what, for how long, and the mark that the viewer's page shows.
//!
//! ```text
//!  a clip of a listed, live or sold story   anybody
//!  any other clip                           its owner, and whoever reviews stories (preview)
//! ```
//! Edges check tokens offline with the public key in the state. A token lives shortly and is renewed
//! while somebody watches: the next one is of the same playback, which ends after six hours. It must
//! not know segments. Read next: `fairground_media::token`.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::Ed25519KeyPair;
use fairground_media::Manifest;
use fairground_media::manifest::{Track, VideoFamily};
use fairground_media::token::{self, Claims, TokenError, TokenFlags, TokenKeys, Viewer};
use fairground_types::command::KeyPurpose;
use fairground_types::limits::PLAYBACK_LIFE_MAX;
use fairground_types::role::Action;
use fairground_types::{AssetId, Code, Millis, PlaybackId, Rejection, Timestamp, UserId};
use fairground_wire::message::PlaybackViewer;
use serde::Serialize;

use crate::member::Member;
use crate::viewer_mark::{self, Viewer as Marked};

/// Least life of a token.
const LIFE_MIN: Millis = Millis::from_mins(30);
/// How long after its end a token is still renewed: whoever paused for longer begins a new playback.
const RENEWED_UNTIL: Millis = Millis::from_mins(30);
/// What a pseudonym is made of, beside the account.
const PSEUDONYM: &[u8] = b"fairground playback viewer v1\0";

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

/// A playback as its tokens have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begun {
    playback: PlaybackId,
    at: Timestamp,
}

/// Mints a token for a playback: a new one, or that of the token which is renewed.
pub(crate) async fn mint(
    member: &Member,
    viewer: Option<PlaybackViewer>,
    (asset, renews): (AssetId, Option<&str>),
) -> Result<Playback, Rejection> {
    let user = viewer.map(|viewer| viewer.user);
    let playable = playable(member, user, asset)?;
    if let Some(viewer) = viewer
        && member.state.read(|market| market.view().is_revoked(viewer.sign_in))
    {
        return Err(Rejection::new(Code::SessionRevoked, "the sign-in was ended"));
    }
    let viewer = viewer.map(|viewer| Viewer {
        pseudonym: pseudonym(member.secrets.playback.expose_pkcs8(), viewer.user),
        sign_in: viewer.sign_in,
    });
    let now = member.now();
    let begun = match renews {
        None => Begun { playback: PlaybackId::from_bits(member.new_bits()), at: now },
        Some(text) => {
            let old = token::verify_signed(text, &token_keys(member));
            renewed(old, (asset, viewer), now)?
        }
    };
    let claims = Claims {
        viewer,
        begun_at: begun.at,
        expires_at: expires_at(playable.duration, begun.at, now),
        ..claims(member, &playable, (asset, begun.playback))
    };
    let token = token::mint(&key(member)?, &claims);
    finish(member, &playable, (&token, &claims), user).await
}

/// The same for an edge that knows the first layout only; it cannot be renewed.
pub(crate) async fn mint_first_layout(
    member: &Member,
    user: Option<UserId>,
    asset: AssetId,
) -> Result<Playback, Rejection> {
    let playable = playable(member, user, asset)?;
    let now = member.now();
    let playback = PlaybackId::from_bits(member.new_bits());
    let claims = Claims {
        expires_at: expires_at(playable.duration, now, now),
        ..claims(member, &playable, (asset, playback))
    };
    let token = token::mint_v1(&key(member)?, &claims);
    finish(member, &playable, (&token, &claims), user).await
}

/// What may be played by whom, as the state says now.
fn playable(member: &Member, user: Option<UserId>, asset: AssetId) -> Result<Playable, Rejection> {
    member.state.read(|market| {
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
    })
}

/// Claims of a guest without an end.
fn claims(
    member: &Member,
    playable: &Playable,
    (asset, playback): (AssetId, PlaybackId),
) -> Claims {
    Claims {
        key_id: member.secrets.playback_key_id,
        asset,
        playback,
        min_revision: 1,
        begun_at: Timestamp::default(),
        expires_at: Timestamp::default(),
        viewer: None,
        rung_cap: None,
        flags: TokenFlags { preview: playable.is_preview, forensic: false },
    }
}

fn key(member: &Member) -> Result<Ed25519KeyPair, Rejection> {
    Ed25519KeyPair::from_pkcs8(member.secrets.playback.expose_pkcs8())
        .map_err(|_| Rejection::new(Code::Internal, "the token could not be signed"))
}

async fn finish(
    member: &Member,
    playable: &Playable,
    (token, claims): (&str, &Claims),
    user: Option<UserId>,
) -> Result<Playback, Rejection> {
    let Claims { asset, playback, expires_at, .. } = *claims;
    let marked = user.map_or(Marked::Playback(playback), Marked::User);
    let viewer_mark = viewer_mark::mark(&member.secrets.code, asset, marked, member.now());
    let manifest = manifest(member, playable).await;
    let stamps = (playback, expires_at, viewer_mark);
    Ok(playback_of(token, asset, playable, manifest.as_ref(), stamps))
}

/// The public keys of the state, by number.
fn token_keys(member: &Member) -> TokenKeys {
    member.state.read(|market| {
        let mut keys = TokenKeys::new();
        for key in market.view().keys() {
            if key.purpose == KeyPurpose::Playback
                && let Ok(number) = key.kid.parse()
            {
                keys.insert(number, key.public);
            }
        }
        keys
    })
}

/// Stands for an account: the same in all its tokens, and nobody without the secret can tell whose.
fn pseudonym(secret: &[u8], user: UserId) -> [u8; 16] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(PSEUDONYM);
    context.update(&user.to_bits().to_be_bytes());
    let tag = context.sign();
    let mut pseudonym = [0; 16];
    for (byte, from) in pseudonym.iter_mut().zip(tag.as_ref()) {
        *byte = *from;
    }
    pseudonym
}

/// The playback that a token goes on with, if it may.
fn renewed(
    old: Result<Claims, TokenError>,
    (asset, viewer): (AssetId, Option<Viewer>),
    now: Timestamp,
) -> Result<Begun, Rejection> {
    let denied = || Rejection::new(Code::PlaybackDenied, "this playback is not yours to renew");
    let old = old.map_err(|_| denied())?;
    let who = |viewer: Viewer| viewer.pseudonym;
    // Whoever began without an account may go on with one, never the other way.
    let is_same = old.viewer.is_none() || old.viewer.map(who) == viewer.map(who);
    if old.asset != asset || !is_same {
        return Err(denied());
    }
    if now >= old.expires_at.plus(RENEWED_UNTIL) || now >= old.begun_at.plus(PLAYBACK_LIFE_MAX) {
        return Err(Rejection::new(Code::TokenExpired, "the playback has ended; begin a new one"));
    }
    Ok(Begun { playback: old.playback, at: old.begun_at })
}

/// When a token ends that is made now: in whole seconds, and with the playback at the latest.
fn expires_at(duration: Millis, begun_at: Timestamp, now: Timestamp) -> Timestamp {
    let life = Millis::new(duration.as_millis().saturating_mul(4));
    let end = now.plus(life.clamp(LIFE_MIN, PLAYBACK_LIFE_MAX));
    let end = end.min(begun_at.plus(PLAYBACK_LIFE_MAX));
    Timestamp::from_unix_millis(end.as_unix_seconds().saturating_mul(1_000))
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

#[cfg(test)]
mod tests {
    use fairground_types::SignInId;

    use super::*;

    const ASSET: AssetId = AssetId::from_bits(1);

    const fn at(minutes: u64) -> Timestamp {
        Timestamp::from_unix_millis(1_790_000_000_000).plus(Millis::from_mins(minutes))
    }

    fn viewer(user: u128) -> Viewer {
        let pseudonym = pseudonym(b"secret", UserId::from_bits(user));
        Viewer { pseudonym, sign_in: SignInId::from_bits(user) }
    }

    fn old(viewer: Option<Viewer>) -> Result<Claims, TokenError> {
        Ok(Claims {
            key_id: 1,
            asset: ASSET,
            playback: PlaybackId::from_bits(7),
            min_revision: 1,
            begun_at: at(0),
            expires_at: at(30),
            viewer,
            rung_cap: None,
            flags: TokenFlags::default(),
        })
    }

    fn code<T>(outcome: Result<T, Rejection>) -> Option<Code> {
        outcome.err().map(|rejection| rejection.code)
    }

    #[test]
    fn renewal_keeps_the_playback_and_its_beginning() {
        let begun = Begun { playback: PlaybackId::from_bits(7), at: at(0) };
        let mine = (ASSET, Some(viewer(1)));
        assert_eq!(renewed(old(Some(viewer(1))), mine, at(20)).ok(), Some(begun));
        assert_eq!(renewed(old(None), mine, at(20)).ok(), Some(begun), "who signs in goes on");
        assert_eq!(renewed(old(None), (ASSET, None), at(59)).ok(), Some(begun), "a short pause");
    }

    #[test]
    fn renewal_is_for_the_viewer_and_the_clip_of_the_token() {
        let denied = Some(Code::PlaybackDenied);
        let theirs = || old(Some(viewer(1)));
        assert_eq!(code(renewed(theirs(), (ASSET, Some(viewer(2))), at(1))), denied);
        assert_eq!(code(renewed(theirs(), (ASSET, None), at(1))), denied);
        let other = AssetId::from_bits(2);
        assert_eq!(code(renewed(theirs(), (other, Some(viewer(1))), at(1))), denied);
        assert_eq!(code(renewed(Err(TokenError::BadSignature), (ASSET, None), at(1))), denied);
    }

    #[test]
    fn renewal_ends_with_the_playback_or_a_long_pause() {
        let over = Some(Code::TokenExpired);
        assert_eq!(code(renewed(old(None), (ASSET, None), at(60))), over);
        let late = old(None).map(|claims| Claims { expires_at: at(360), ..claims });
        assert_eq!(code(renewed(late, (ASSET, None), at(359))), None);
        assert_eq!(code(renewed(late, (ASSET, None), at(360))), over);
    }

    #[test]
    fn a_token_lives_by_the_clip_and_never_beyond_its_playback() {
        let minute = Millis::from_mins(1);
        assert_eq!(expires_at(minute, at(0), at(0)), at(30));
        assert_eq!(expires_at(Millis::from_mins(15), at(0), at(10)), at(70));
        assert_eq!(expires_at(Millis::from_hours(9), at(0), at(10)), at(360));
        assert_eq!(expires_at(minute, at(0), at(359)), at(360));
        let odd = at(0).plus(Millis::new(1));
        assert_eq!(expires_at(minute, odd, odd), at(30), "whole seconds");
    }

    #[test]
    fn pseudonyms_differ_by_account_and_secret() {
        let of = |secret: &[u8], user| pseudonym(secret, UserId::from_bits(user));
        assert_eq!(of(b"one", 1), of(b"one", 1));
        assert_ne!(of(b"one", 1), of(b"one", 2));
        assert_ne!(of(b"one", 1), of(b"other", 1));
    }
}
