//! Rules of media playlists: `L1` to `L10`, and `M1`, `M2`, `M18` where they speak of them.

use super::Rule;
use crate::conformance::parse::playlist::{Common, Media};
use crate::conformance::published::{Published, Rendition, Role};
use crate::conformance::report::Report;
use crate::conformance::source::SourceError;

const SECOND: u64 = 1_000_000_000;
/// How far apart the beginnings of video segments may be, in billionths of a second (A 8.22).
const VIDEO_APART_MAX: u64 = 1_000_000;
/// What writing a length in microseconds may change, in billionths of a second.
const ROUNDING: u64 = 1_000;
/// The longest frame of an I-frame playlist that positions are compared with: its real frames last
/// until the next one.
const IFRAME_FRAME_MAX: u64 = 50_000_000;

/// Applies `M1` and `M2` to what both kinds of playlist state.
pub(crate) fn common(report: &mut Report, place: &str, common: &Common, versions: Rule) {
    report.check(Rule::M1, true, place, String::new);
    for fault in &common.faults {
        report.fault(Rule::M1, &format!("{place}:{}", fault.line), fault.what.clone());
    }
    if let [_, (line, _), ..] = common.versions.as_slice() {
        report.fault(Rule::M2, &format!("{place}:{line}"), "EXT-X-VERSION stands again");
    }
    let stated = common.versions.first().map_or(1, |(_, version)| *version);
    let (needed, what) = common.needed;
    report.check(versions, stated >= needed, place, || {
        format!("version {stated} is stated, {what} needs {needed}")
    });
}

/// Applies what the text of a media playlist decides: `L1`, `L2`, `L3`, `L7`, and titles.
pub(crate) fn syntax(report: &mut Report, uri: &str, media: &Media) {
    // A version that does not allow the map is what `L3` speaks of.
    let rule = if media.common.needed.1 == "EXT-X-MAP" { Rule::L3 } else { Rule::M2 };
    common(report, uri, &media.common, rule);
    report.check(Rule::M2, true, uri, String::new);
    if let Some((_, target)) = media.target {
        for segment in &media.segments {
            let place = || format!("{uri}:{}", segment.line);
            let rounded = segment.duration.saturating_add(SECOND / 2) / SECOND;
            let longest = target.saturating_mul(SECOND).saturating_add(SECOND / 2);
            let holds = rounded <= target && segment.duration <= longest;
            report.check(Rule::L1, holds, &place(), || {
                format!("EXTINF of {} ms, target {target} s", segment.duration / 1_000_000)
            });
        }
    }
    if media.kind.as_deref() == Some("EVENT") && !media.ended {
        report.check(Rule::L9, media.sequence == 0, uri, || {
            format!("the media sequence of a growing playlist is {}", media.sequence)
        });
    } else {
        report.check(Rule::L2, media.kind.as_deref() == Some("VOD"), uri, || {
            "EXT-X-PLAYLIST-TYPE is not VOD".to_owned()
        });
        report.check(Rule::L2, media.ended, uri, || "EXT-X-ENDLIST is missing".to_owned());
    }
    for segment in &media.segments {
        report.check(
            Rule::M18,
            segment.title.is_empty(),
            &format!("{uri}:{}", segment.line),
            || "EXTINF tells a title".to_owned(),
        );
    }
    report.check(Rule::F1, !media.segments.is_empty(), uri, || "it lists nothing".to_owned());
    discontinuities(report, uri, media);
}

fn discontinuities(report: &mut Report, uri: &str, media: &Media) {
    report.check(Rule::L7, true, uri, String::new);
    let mut before = None;
    for segment in &media.segments {
        let map = segment.map.and_then(|map| media.maps.get(map));
        let encoding = map.map(|map| (&map.uri, map.range));
        let changes = before.is_some_and(|before| before != encoding);
        if changes != segment.discontinuity {
            let what = if changes { "is missing" } else { "stands where nothing changes" };
            report.fault(
                Rule::L7,
                &format!("{uri}:{}", segment.line),
                format!("EXT-X-DISCONTINUITY {what}"),
            );
        }
        before = Some(encoding);
    }
}

/// Applies `L9`: the second reading of a growing playlist begins as the first.
pub(crate) fn grows(
    report: &mut Report,
    uri: &str,
    first: &Media,
    again: &Result<Vec<u8>, SourceError>,
) {
    let second = match again {
        Ok(bytes) => Media::parse(bytes),
        Err(error) => return report.fault(Rule::L9, uri, error.to_string()),
    };
    let key = |media: &Media| -> Vec<(String, u64)> {
        media.segments.iter().map(|it| (it.uri.clone(), it.duration)).collect()
    };
    let grew = key(&second).starts_with(&key(first)) && second.sequence == first.sequence;
    report.check(Rule::L9, grew, uri, || "the second reading takes something back".to_owned());
}

/// Applies the rules that compare a playlist with its segments, and playlists with each other.
pub(crate) fn check(report: &mut Report, published: &Published) {
    for rendition in published.renditions.values() {
        if rendition.role == Role::Subtitles {
            continue;
        }
        let mapped = rendition.media.segments.iter().all(|segment| segment.map.is_some());
        report.check(Rule::L3, mapped, &rendition.uri, || {
            "segments stand before an EXT-X-MAP".to_owned()
        });
        let is_iframes = rendition.role == Role::IFrames;
        if is_iframes {
            report.check(Rule::L8, rendition.media.iframes_only, &rendition.uri, || {
                "EXT-X-I-FRAMES-ONLY is missing".to_owned()
            });
        }
        if rendition.whole {
            lengths(report, rendition);
        }
    }
    spans(report, published);
    boundaries(report, published);
    subtitles(report, published);
}

/// `L4`: after no segment the sum of `EXTINF` is off by more than a frame from any other place.
fn lengths(report: &mut Report, rendition: &Rendition) {
    let is_iframes = rendition.role == Role::IFrames;
    let frame = rendition.frame();
    let frame = if is_iframes { frame.min(IFRAME_FRAME_MAX) } else { frame };
    let shown = rendition.shown();
    let origin = shown.first().map_or(0, |(start, _)| *start);
    let (mut stated, mut least, mut most) = (0_i128, 0_i128, 0_i128);
    for (index, fragment) in rendition.fragments.iter().enumerate() {
        stated += i128::from(fragment.stated);
        // An I-frame is shown until the next one; how long the last is shown nobody states.
        let end = if is_iframes {
            shown.get(index + 1).map(|(start, _)| *start)
        } else {
            shown.get(index).map(|(_, end)| *end)
        };
        let Some(end) = end else { continue };
        let apart = stated - i128::from(end.saturating_sub(origin));
        (least, most) = (least.min(apart), most.max(apart));
        let place = format!("{}: {}", rendition.uri, fragment.name);
        let holds = most - least <= i128::from(frame + ROUNDING);
        report.check(Rule::L4, holds, &place, || {
            format!("EXTINF adds up to {} us more or less than real", (most - least) / 1000)
        });
        if !holds {
            return;
        }
    }
}

/// `L5`: one target duration, one length.
fn spans(report: &mut Report, published: &Published) {
    let media = || published.renditions.values().filter(|it| it.role != Role::Subtitles);
    let Some(first) = media().find(|it| it.role == Role::Video) else { return };
    let target = |it: &Rendition| it.media.target.map(|(_, target)| target);
    for other in media().filter(|it| it.uri != first.uri) {
        report.check(Rule::L5, target(other) == target(first), &other.uri, || {
            format!("target {:?}, that of {} is {:?}", target(other), first.uri, target(first))
        });
    }
    let span = |it: &Rendition| it.media.segments.iter().map(|it| it.duration).sum::<u64>();
    for other in media().filter(|it| it.uri != first.uri && it.whole && first.whole) {
        // Sound ends with a whole frame; a picture may round by one.
        let apart = span(other).abs_diff(span(first));
        let frame = first.frame().max(other.frame().min(IFRAME_FRAME_MAX));
        report.check(Rule::L5, apart <= frame + ROUNDING, &other.uri, || {
            format!("its length differs from that of {} by {} ms", first.uri, apart / 1_000_000)
        });
    }
}

/// `L6`: segments of one index start together.
fn boundaries(report: &mut Report, published: &Published) {
    let full = || {
        let all = published.renditions.values().filter(|it| it.whole);
        all.filter(|it| matches!(it.role, Role::Video | Role::Audio))
    };
    let Some(first) = full().find(|it| it.role == Role::Video) else { return };
    let reference = first.shown();
    for other in full().filter(|it| it.uri != first.uri) {
        let shown = other.shown();
        let is_sound = other.role == Role::Audio;
        let most = if is_sound { other.frame() } else { VIDEO_APART_MAX };
        // A last picture group that is shorter than a frame of sound has none of its own.
        let counts =
            shown.len() == reference.len() || is_sound && shown.len() + 1 == reference.len();
        report.check(Rule::L6, counts, &other.uri, || {
            format!("{} segments where {} has {}", shown.len(), first.uri, reference.len())
        });
        for (index, (ours, theirs)) in shown.iter().zip(&reference).enumerate() {
            let apart = ours.0.abs_diff(theirs.0);
            report.check(Rule::L6, apart < most, &other.uri, || {
                format!("segment {index} starts {} us from that of {}", apart / 1000, first.uri)
            });
        }
    }
}

/// `L10`: subtitles have a language and the length of everything else.
fn subtitles(report: &mut Report, published: &Published) {
    let span = |it: &Rendition| it.media.segments.iter().map(|it| it.duration).sum::<u64>();
    let first = published.renditions.values().find(|it| it.role == Role::Video);
    for (name, playlist) in &published.entries {
        for tag in playlist.media.iter().filter(|tag| tag.kind == "SUBTITLES") {
            let place = format!("{name}:{}", tag.line);
            report.check(Rule::L10, tag.language.is_some(), &place, || {
                "LANGUAGE is missing".to_owned()
            });
            let own = tag.uri.as_ref().and_then(|uri| published.renditions.get(uri));
            let Some((own, first)) = own.zip(first) else { continue };
            let apart = span(own).abs_diff(span(first));
            report.check(Rule::L10, apart <= SECOND, &own.uri, || {
                format!("its length differs by {} ms", apart / 1_000_000)
            });
        }
    }
}
