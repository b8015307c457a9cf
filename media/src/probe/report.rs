//! ffprobe's report, and the policy's verdict on it.
//!
//! Every number arrives as text from a tool that read hostile bytes: it is parsed strictly and
//! bounded. Pure. Read next: `super`.

use fairground_types::Millis;
use serde::Deserialize;

use super::{ProbePolicy, SourceFacts};
use crate::error::{MediaError, Rejection};
use crate::manifest::FrameRate;
use crate::sniff::Container;

const VIDEO_CODECS: [&str; 8] =
    ["h264", "hevc", "av1", "vp9", "vp8", "mpeg4", "mpeg2video", "mpeg1video"];

#[derive(Debug, Deserialize)]
struct Report {
    #[serde(default)]
    streams: Vec<Stream>,
    format: Option<Format>,
}

#[derive(Debug, Deserialize)]
struct Format {
    duration: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    codec_type: Option<String>,
    codec_name: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    pix_fmt: Option<String>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    nb_frames: Option<String>,
    duration: Option<String>,
    sample_aspect_ratio: Option<String>,
    field_order: Option<String>,
    color_transfer: Option<String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Debug, Default, Deserialize)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

#[derive(Debug, Deserialize)]
struct SideData {
    rotation: Option<serde_json::Value>,
}

pub(super) fn judge(
    text: &[u8],
    container: Container,
    bytes: u64,
    policy: &ProbePolicy,
) -> Result<SourceFacts, MediaError> {
    let report: Report = serde_json::from_slice(text)
        .map_err(|error| MediaError::Stream(format!("ffprobe's report: {error}")))?;
    let facts = facts(&report, container)?;
    apply(&facts, &report, bytes, policy)?;
    Ok(facts)
}

fn facts(report: &Report, container: Container) -> Result<SourceFacts, Rejection> {
    let of_type = |kind: &'static str| {
        report.streams.iter().find(move |stream| {
            stream.codec_type.as_deref() == Some(kind) && stream.disposition.attached_pic == 0
        })
    };
    let video =
        of_type("video").ok_or_else(|| Rejection::new("no_video", "the file has no picture"))?;
    let audio = of_type("audio").filter(|stream| stream.codec_name.is_some());
    let (Some(width), Some(height)) = (video.width, video.height) else {
        return Err(Rejection::new("dimensions", "the picture has no size"));
    };
    let frame_rate = [&video.avg_frame_rate, &video.r_frame_rate]
        .into_iter()
        .flatten()
        .find_map(|text| fraction(text, '/'))
        .map(|(num, den)| FrameRate { num, den })
        .ok_or_else(|| Rejection::new("frame_rate", "the picture has no frame rate"))?;
    let duration = video
        .duration
        .as_deref()
        .or_else(|| report.format.as_ref()?.duration.as_deref())
        .and_then(decimal_millis)
        .ok_or_else(|| Rejection::new("no_duration", "the length of the clip is not known"))?;
    let frames = video.nb_frames.as_deref().and_then(|text| text.parse().ok());
    let estimate = duration.as_millis().saturating_mul(u64::from(frame_rate.num))
        / u64::from(frame_rate.den).saturating_mul(1000).max(1);
    let interlaced = matches!(video.field_order.as_deref(), Some("tt" | "bb" | "tb" | "bt"));
    let hdr = matches!(video.color_transfer.as_deref(), Some("smpte2084" | "arib-std-b67"));
    Ok(SourceFacts {
        container,
        video_codec: video.codec_name.clone().unwrap_or_default(),
        audio_codec: audio.and_then(|stream| stream.codec_name.clone()),
        width,
        height,
        rotation: rotation(video),
        sample_aspect: video
            .sample_aspect_ratio
            .as_deref()
            .and_then(|text| fraction(text, ':'))
            .filter(|(across, down)| *across <= down * 4 && *down <= across * 4)
            .unwrap_or((1, 1)),
        frame_rate,
        frame_count_estimate: frames.unwrap_or(estimate),
        duration,
        has_audio: audio.is_some(),
        interlaced,
        hdr,
    })
}

fn apply(
    facts: &SourceFacts,
    report: &Report,
    bytes: u64,
    policy: &ProbePolicy,
) -> Result<(), Rejection> {
    let refuse = |reason, detail: &str| Err(Rejection::new(reason, detail));
    if bytes > policy.bytes_max {
        return refuse("too_large", "the file is larger than allowed");
    }
    if !VIDEO_CODECS.contains(&facts.video_codec.as_str()) {
        return refuse("codec", "the picture is in a format that is not supported");
    }
    if facts.duration < policy.duration_min {
        return refuse("too_short", "the clip is too short");
    }
    if facts.duration > policy.duration_max {
        return refuse("too_long", "the clip is longer than allowed");
    }
    let pixels = u64::from(facts.width) * u64::from(facts.height);
    let (long, short) = (facts.width.max(facts.height), facts.width.min(facts.height));
    if short < 16 || long > policy.side_max || pixels > policy.pixels_max {
        return refuse("dimensions", "the picture is smaller or larger than allowed");
    }
    let rate = facts.frame_rate;
    let fast = u64::from(rate.num) > u64::from(rate.den) * u64::from(policy.frame_rate_max);
    if fast {
        return refuse("frame_rate", "the frame rate is higher than allowed");
    }
    let deep = report.streams.iter().filter_map(|stream| stream.pix_fmt.as_deref()).any(|format| {
        ["12le", "12be", "14le", "14be", "16le", "16be"].iter().any(|end| format.ends_with(end))
    });
    if deep {
        return refuse("pixel_format", "the picture has more than ten bits per sample");
    }
    Ok(())
}

/// ffprobe writes the counter-clockwise angle of the display matrix.
fn rotation(stream: &Stream) -> u16 {
    let angle = stream.side_data_list.iter().find_map(|side| side.rotation.as_ref()?.as_i64());
    let clockwise = angle.unwrap_or(0).rem_euclid(360);
    match (360 - clockwise) % 360 {
        46..=135 => 90,
        136..=225 => 180,
        226..=315 => 270,
        _ => 0,
    }
}

fn fraction(text: &str, separator: char) -> Option<(u32, u32)> {
    let (num, den) = text.split_once(separator)?;
    let (num, den): (u64, u64) = (num.parse().ok()?, den.parse().ok()?);
    if num == 0 || den == 0 {
        return None;
    }
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    // Measured averages have long terms; a thousandth is precise enough for a rate.
    let (mut num, mut den) = (num / a, den / a);
    if num > 10_000_000 || den > 1_000_000 {
        num = u64::try_from(u128::from(num) * 1000 / u128::from(den)).ok()?;
        den = 1000;
    }
    Some((u32::try_from(num).ok().filter(|num| *num > 0)?, u32::try_from(den).ok()?))
}

/// `12.345678` as milliseconds, rounded down.
fn decimal_millis(text: &str) -> Option<Millis> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 9 || !digits(whole) || !digits(part) {
        return None;
    }
    let seconds: u64 = whole.parse().ok()?;
    let millis: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    Some(Millis::new(seconds * 1000 + millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = r#"{"streams":[
        {"codec_type":"video","codec_name":"h264","width":1920,"height":1080,"pix_fmt":"yuv420p",
         "avg_frame_rate":"3870000/143249","r_frame_rate":"30/1","nb_frames":"43",
         "duration":"1.591656","sample_aspect_ratio":"1:1","field_order":"progressive",
         "side_data_list":[{"side_data_type":"Display Matrix","rotation":-90}]},
        {"codec_type":"audio","codec_name":"aac","avg_frame_rate":"0/0"}],
        "format":{"duration":"1.600000"}}"#;

    fn judged(text: &str) -> Result<SourceFacts, &'static str> {
        judge(text.as_bytes(), Container::Mp4, 10, &ProbePolicy::default())
            .map_err(|error| error.rejection().unwrap_or_else(|| panic!("{error}")).reason)
    }

    #[test]
    fn phone_clip_is_understood() {
        let facts = judged(PHONE).unwrap();
        assert_eq!(facts.rotation, 90);
        assert_eq!(facts.duration, Millis::new(1591));
        assert_eq!(facts.frame_count_estimate, 43);
        assert!(facts.has_audio && !facts.hdr && !facts.interlaced);
        let size = facts.display_size();
        assert_eq!((size.width, size.height), (1080, 1920));
    }

    #[test]
    fn policy_names_what_it_refuses() {
        let changed = |from: &str, to: &str| {
            assert!(PHONE.contains(from), "{from}");
            judged(&PHONE.replace(from, to)).map(|_| ())
        };
        assert_eq!(changed("\"video\"", "\"data\""), Err("no_video"));
        assert_eq!(changed("\"h264\"", "\"prores\""), Err("codec"));
        assert_eq!(changed("1.591656", "0.2"), Err("too_short"));
        assert_eq!(changed("1.591656", "421.0"), Err("too_long"));
        assert_eq!(changed("1920", "8192"), Err("dimensions"));
        assert_eq!(changed("\"height\":1080", "\"height\":4"), Err("dimensions"));
        assert_eq!(changed("3870000/143249", "240/1"), Err("frame_rate"));
        assert_eq!(changed("yuv420p", "yuv420p12le"), Err("pixel_format"));
        assert_eq!(changed("1.591656", "N/A"), Err("no_duration"));
        assert_eq!(judged("{}").map(|_| ()), Err("no_video"));
    }

    #[test]
    fn numbers_are_parsed_strictly() {
        assert_eq!(decimal_millis("7.6"), Some(Millis::new(7600)));
        assert_eq!(decimal_millis("7"), Some(Millis::new(7000)));
        assert_eq!(decimal_millis("-1.0"), None);
        assert_eq!(decimal_millis("1e9"), None);
        assert_eq!(decimal_millis("9999999999.0"), None);
        assert_eq!(fraction("30000/1001", '/'), Some((30_000, 1001)));
        assert_eq!(fraction("0/0", '/'), None);
        assert_eq!(fraction("50/2", '/'), Some((25, 1)));
        assert_eq!(fraction("18446744073709551615/1", '/'), None);
    }
}
