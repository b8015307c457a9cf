//! Rules of headers and segments: `S1` to `S7`, and what `L8` asks of a key frame's bytes.

use mp4_atom::{Atom as _, Moof, Traf};

use super::Rule;
use crate::conformance::parse::boxes::{self, BoxAt};
use crate::conformance::parse::header::{Av1, Avc, BoxColour, Entry, Header};
use crate::conformance::published::{Fragment, nanos};
use crate::conformance::report::Report;
use crate::ladder::{av1_level, avc_level};
use crate::manifest::FrameRate;
use crate::mux::obu::{self, OBU_TEMPORAL_DELIMITER};
use crate::mux::sps::{Colour, NAL_IDR, NAL_PPS, NAL_SPS};

/// Samples of one segment at most.
const SAMPLES_MAX: usize = 10_000;
/// Bit of the sample flags that says "not a sync sample" (ISO/IEC 14496-12 section 8.8.3.1).
const FLAG_NON_SYNC: u32 = 0x0001_0000;
/// Greatest time between key frames, in billionths of a second, and a frame more.
const KEY_NANOS_MAX: u64 = 2_000_000_000;
/// `seq_level_idx` of level 6.2 (AV1 specification annex A.3).
const AV1_LEVEL_MAX: u8 = 18;
const BT709: Colour = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };

/// What is asked of a segment beside its bytes.
pub(crate) struct Asked<'a> {
    /// Its name, for findings.
    pub(crate) place: &'a str,
    /// Where it must begin, in ticks, when that is known.
    pub(crate) expected: Option<u64>,
    /// Whether it is an entry of an I-frame playlist.
    pub(crate) iframe: bool,
}

/// What a segment states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Decode time of the first sample, in ticks.
    pub(crate) start: u64,
    /// Sum of the samples' durations, in ticks.
    pub(crate) duration: u64,
    /// Number of samples.
    pub(crate) samples: u64,
    /// Longest sample, in ticks.
    pub(crate) sample_ticks: u32,
}

struct Sample<'a> {
    bytes: &'a [u8],
    duration: u32,
    composition: i64,
    sync: bool,
}

/// Applies what can be said of a header alone.
pub(crate) fn header(report: &mut Report, place: &str, header: &Header) {
    report.check(Rule::S3, header.tracks == 1, place, || {
        format!("there are {} tracks", header.tracks)
    });
    match &header.entry {
        Entry::Avc(avc) => avc_header(report, place, header, avc),
        Entry::Av1(av1) => av1_header(report, place, header, av1),
        Entry::Aac(_) => {}
        Entry::Other(name) => {
            report.fault(Rule::M4, place, format!("{name} is a codec that is not known here"));
        }
    }
    if header.is_video() {
        let stated = header.colour;
        let real = header.bitstream_colour().map(BoxColour::from);
        report.check(Rule::S7, stated.is_some() && stated == real, place, || {
            format!("the colour box says {stated:?}, the bitstream {real:?}")
        });
    }
}

fn avc_header(report: &mut Report, place: &str, header: &Header, avc: &Avc) {
    let rule = Rule::S6;
    report.check(rule, avc.in_header, place, || "the sample entry is not avc1".to_owned());
    let sets = (avc.sets, avc.picture_sets);
    report.check(rule, sets == (1, 1), place, || {
        format!("{} sequence and {} picture parameter sets", sets.0, sets.1)
    });
    let set = match &avc.set {
        Ok(set) => set,
        Err(what) => return report.fault(rule, place, what.clone()),
    };
    let real = (set.profile, set.constraints, set.level);
    report.check(rule, avc.stated == real, place, || {
        format!("avcC says profile, constraints, level {:?}, the bitstream {real:?}", avc.stated)
    });
    report.check(rule, set.colour == Some(BT709), place, || {
        format!("the bitstream does not describe BT.709, limited range: {:?}", set.colour)
    });
    size(report, rule, place, header, (set.width, set.height));
}

fn av1_header(report: &mut Report, place: &str, header: &Header, av1: &Av1) {
    let rule = Rule::S5;
    let sequence = match &av1.sequence {
        Ok(sequence) => sequence,
        Err(what) => return report.fault(rule, place, what.clone()),
    };
    let real = (sequence.profile, sequence.level, sequence.tier);
    report.check(rule, av1.stated == real, place, || {
        format!("av1C says profile, level, tier {:?}, the bitstream {real:?}", av1.stated)
    });
    report.check(rule, sequence.level <= AV1_LEVEL_MAX, place, || {
        format!("level index {} is above 6.2", sequence.level)
    });
    size(report, rule, place, header, (sequence.width, sequence.height));
}

/// The container's two sizes are the bitstream's; pixels are square.
fn size(report: &mut Report, rule: Rule, place: &str, header: &Header, real: (u32, u32)) {
    for (what, size) in [("sample entry", header.size), ("track header", header.shown)] {
        let stated = size.map(|size| (size.width, size.height));
        report.check(rule, stated == Some(real), place, || {
            format!("the {what} says {stated:?}, the bitstream {real:?}")
        });
    }
}

/// Compares the level with what size and frame rate need.
pub(crate) fn rate(report: &mut Report, place: &str, header: &Header, fragments: &[Fragment]) {
    // The last sample of all may be shorter.
    let ticks = fragments.iter().map(|it| it.facts.sample_ticks).max().filter(|ticks| *ticks > 0);
    let (Some(size), Some(den)) = (header.size, ticks) else { return };
    let rate = FrameRate { num: header.timescale, den };
    match &header.entry {
        Entry::Av1(Av1 { sequence: Ok(sequence), .. }) => {
            let needed = av1_level(size, rate);
            report.check(Rule::S5, sequence.level >= needed, place, || {
                format!("level index {} is below the needed {needed}", sequence.level)
            });
        }
        Entry::Avc(Avc { set: Ok(set), .. }) => {
            let needed = avc_level(size, rate);
            report.check(Rule::S6, set.level == needed, place, || {
                format!("the level is {}, {needed} is needed", set.level)
            });
        }
        _ => {}
    }
}

/// Applies the rules of a segment; `None` when it cannot be read.
pub(crate) fn check(
    report: &mut Report,
    asked: &Asked<'_>,
    header: &Header,
    bytes: &[u8],
) -> Option<Facts> {
    let place = asked.place;
    // The range of an I-frame may end inside of the data, after the key frame.
    let boxes = match boxes::split(bytes, asked.iframe) {
        Ok(boxes) => boxes,
        Err(what) => return broken(report, asked, what),
    };
    let (moof, data) = outline(report, asked, &boxes)?;
    let decoded = match Moof::decode_body(&mut &*moof.body) {
        Ok(decoded) => decoded,
        Err(error) => return broken(report, asked, format!("moof: {error}")),
    };
    report.check(Rule::S3, decoded.traf.len() == 1, place, || {
        format!("there are {} tracks in the fragment", decoded.traf.len())
    });
    let traf = decoded.traf.first()?;
    report.check(Rule::S3, traf.tfhd.track_id == header.track_id, place, || {
        format!("track {} where the header has {}", traf.tfhd.track_id, header.track_id)
    });
    report.check(Rule::S4, traf.tfhd.default_base_is_moof, place, || {
        "offsets do not count from the fragment's header".to_owned()
    });
    let samples = match samples(header, traf, moof.start, data, bytes, asked.iframe) {
        Ok(samples) => samples,
        Err(what) => return broken(report, asked, what),
    };
    report.check(Rule::S4, true, place, String::new);
    times(report, asked, traf, &samples);
    if asked.iframe {
        let whole = samples.len() == 1;
        report.check(Rule::L8, whole, place, || {
            format!("the range ends after {} samples, not after the key frame", samples.len())
        });
    }
    if header.is_video() {
        keys(report, place, header, &samples);
    }
    let start = traf.tfdt.as_ref()?.base_media_decode_time;
    Some(Facts {
        start,
        duration: samples.iter().map(|sample| u64::from(sample.duration)).sum(),
        samples: u64::try_from(samples.len()).unwrap_or(u64::MAX),
        sample_ticks: samples.iter().map(|sample| sample.duration).max().unwrap_or(0),
    })
}

/// What cannot be read; of an I-frame that is its range's fault.
fn broken<T>(report: &mut Report, asked: &Asked<'_>, what: String) -> Option<T> {
    report.fault(if asked.iframe { Rule::L8 } else { Rule::S4 }, asked.place, what);
    None
}

/// One fragment header, then its data, and nothing else of the kind.
fn outline<'a>(
    report: &mut Report,
    asked: &Asked<'_>,
    boxes: &[BoxAt<'a>],
) -> Option<(BoxAt<'a>, BoxAt<'a>)> {
    let begins = boxes.first().is_some_and(|first| matches!(&first.kind, b"styp" | b"moof"));
    let rule = if asked.iframe { Rule::L8 } else { Rule::S4 };
    report.check(rule, begins, asked.place, || "it does not begin with styp or moof".to_owned());
    let of = |kind: &[u8; 4]| boxes.iter().filter(|it| it.kind == *kind).collect::<Vec<_>>();
    match (of(b"moof").as_slice(), of(b"mdat").as_slice()) {
        ([moof], [data]) if moof.start < data.start => Some((**moof, **data)),
        (moofs, datas) => broken(
            report,
            asked,
            format!("{} moof and {} mdat boxes, in this order or not", moofs.len(), datas.len()),
        ),
    }
}

/// The samples with their bytes; the text of a failure says where they leave the data.
fn samples<'a>(
    header: &Header,
    traf: &Traf,
    base: usize,
    data: BoxAt<'_>,
    bytes: &'a [u8],
    cut: bool,
) -> Result<Vec<Sample<'a>>, String> {
    let mut samples = Vec::new();
    let mut at = data.body_start;
    let data_end = data.body_start + data.body.len();
    for run in &traf.trun {
        if let Some(offset) = run.data_offset {
            let start = usize::try_from(offset).ok().and_then(|offset| base.checked_add(offset));
            if start != Some(at) {
                return Err(format!("the data offset {offset} does not point at the data"));
            }
        } else if samples.is_empty() {
            return Err("there is no data offset".to_owned());
        }
        for entry in &run.samples {
            if samples.len() == SAMPLES_MAX {
                return Err("there are too many samples".to_owned());
            }
            let size = entry.size.or(traf.tfhd.default_sample_size).unwrap_or(header.default_size);
            let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size));
            let end = match end.filter(|end| *end <= data_end) {
                Some(end) => end,
                // What follows the key frame need not be in the range.
                None if cut && !samples.is_empty() => return Ok(samples),
                None => return Err(format!("sample {} leaves the data", samples.len())),
            };
            let flags =
                entry.flags.or(traf.tfhd.default_sample_flags).unwrap_or(header.default_flags);
            samples.push(Sample {
                bytes: bytes.get(at..end).unwrap_or_default(),
                duration: entry
                    .duration
                    .or(traf.tfhd.default_sample_duration)
                    .unwrap_or(header.default_duration),
                composition: entry.cts.unwrap_or(0),
                sync: flags & FLAG_NON_SYNC == 0,
            });
            at = end;
        }
    }
    if samples.is_empty() {
        return Err("there are no samples".to_owned());
    }
    if at != data_end {
        return Err(format!("{} bytes of the data belong to no sample", data_end - at));
    }
    Ok(samples)
}

/// Decode times follow on what came before, and one frame is shown after the other.
fn times(report: &mut Report, asked: &Asked<'_>, traf: &Traf, samples: &[Sample<'_>]) {
    let place = asked.place;
    let Some(tfdt) = &traf.tfdt else {
        return report.fault(Rule::S2, place, "there is no decode time");
    };
    let start = tfdt.base_media_decode_time;
    if let Some(expected) = asked.expected {
        report.check(Rule::S2, start == expected, place, || {
            format!("decode time {start} where {expected} ticks came before")
        });
    }
    let mut clock = 0_i64;
    let mut durations: Vec<i64> = Vec::with_capacity(samples.len());
    let mut shown: Vec<i64> = Vec::with_capacity(samples.len() + 1);
    for sample in samples {
        shown.push(clock.saturating_add(sample.composition));
        durations.push(sample.duration.into());
        clock = clock.saturating_add(sample.duration.into());
    }
    shown.push(clock);
    shown.sort_unstable();
    // Reordered samples are shown for as long, if in another order, as they take to be decoded.
    let mut steps: Vec<i64> =
        shown.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    steps.sort_unstable();
    durations.sort_unstable();
    let whole = durations.first().is_some_and(|shortest| *shortest > 0);
    let follows = whole && shown.first() == Some(&0) && steps == durations;
    report.check(Rule::S2, follows, place, || {
        "the samples are not shown one after the other from the decode time on".to_owned()
    });
}

/// Key frames are where the flags say, first of all at the beginning, and often enough.
fn keys(report: &mut Report, place: &str, header: &Header, samples: &[Sample<'_>]) {
    let (mut since, mut longest) = (0_u64, 0_u64);
    for (index, sample) in samples.iter().enumerate() {
        let is_key = match &header.entry {
            Entry::Avc(avc) => avc_sample(avc, sample.bytes),
            Entry::Av1(av1) => av1_sample(av1, sample.bytes, index == 0),
            Entry::Aac(_) | Entry::Other(_) => return,
        };
        let rule = if matches!(header.entry, Entry::Avc(_)) { Rule::S6 } else { Rule::S5 };
        report.check(rule, is_key.is_ok(), place, || {
            format!("sample {index}: {}", is_key.as_ref().err().map_or("", String::as_str))
        });
        let Ok(is_key) = is_key else { continue };
        report.check(Rule::S1, sample.sync == is_key, place, || {
            let (flag, real) = if is_key { ("no sync", "a key") } else { ("a sync", "no key") };
            format!("sample {index} is flagged {flag} sample and is {real} frame")
        });
        if index == 0 {
            report.check(Rule::S1, is_key, place, || "it does not start with a key frame".into());
        }
        if is_key {
            since = 0;
        }
        since = since.saturating_add(sample.duration.into());
        longest = longest.max(since);
    }
    let frame = samples.iter().map(|sample| sample.duration).max().unwrap_or(0);
    let longest = nanos(longest, header.timescale);
    let most = KEY_NANOS_MAX + nanos(frame.into(), header.timescale);
    report.check(Rule::S1, longest <= most, place, || {
        format!("{} ms follow a key frame", longest / 1_000_000)
    });
}

/// Whether a sample is an instantaneous decoding refresh, by its first slice.
fn avc_sample(avc: &Avc, bytes: &[u8]) -> Result<bool, String> {
    let mut rest = bytes;
    let mut key = None;
    while !rest.is_empty() {
        let (length, after) = rest
            .split_at_checked(usize::from(avc.length_size))
            .ok_or("the length of a unit is cut")?;
        let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let (unit, after) = after.split_at_checked(length).ok_or("a unit leaves the sample")?;
        match unit.first().map(|first| first & 0x1F) {
            Some(kind @ (NAL_SPS | NAL_PPS)) => {
                return Err(format!("a parameter set (unit kind {kind}) stands in a sample"));
            }
            Some(kind @ 1..=NAL_IDR) => {
                key.get_or_insert(kind == NAL_IDR);
            }
            Some(_) => {}
            None => return Err("a unit is empty".to_owned()),
        }
        rest = after;
    }
    key.ok_or_else(|| "there is no slice".to_owned())
}

/// Whether a sample starts with a key frame; the first must repeat the sequence header.
fn av1_sample(av1: &Av1, bytes: &[u8], first: bool) -> Result<bool, String> {
    let text = |error: crate::error::MediaError| error.to_string();
    for unit in obu::units(bytes) {
        if unit.map_err(text)?.kind == OBU_TEMPORAL_DELIMITER {
            return Err("a temporal delimiter stands in a sample".to_owned());
        }
    }
    let sequence = obu::repack(bytes).map_err(text)?.sequence;
    let configured = av1.sequence.as_ref().ok();
    match (&sequence, configured) {
        (Some(own), Some(configured)) if own.obu != configured.obu => {
            return Err("the sequence header is not that of the configuration".to_owned());
        }
        (None, _) if first => return Err("there is no sequence header".to_owned()),
        _ => {}
    }
    obu::starts_with_key_frame(bytes).map_err(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn avc() -> Avc {
        Avc {
            in_header: true,
            length_size: 2,
            stated: (100, 0, 30),
            sets: 1,
            picture_sets: 1,
            set: Err(String::new()),
            codec: Err(String::new()),
        }
    }

    #[test]
    fn key_frames_of_h264_are_told_from_their_units() {
        // Supplemental information (6) says nothing, the first slice decides.
        assert_eq!(avc_sample(&avc(), &[0, 1, 6, 0, 2, 0x65, 9]), Ok(true));
        assert_eq!(avc_sample(&avc(), &[0, 2, 0x41, 9, 0, 1, 0x65]), Ok(false));
        for bad in [
            [].as_slice(),
            &[0, 1, 6],
            &[0, 3, 0x65],
            &[0, 0],
            &[0],
            &[0, 1, 0x67, 0, 1, 0x65],
            &[0, 1, 0x65, 0, 1, 0x68],
        ] {
            assert!(avc_sample(&avc(), bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn samples_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = avc_sample(&avc(), &bytes);
            let av1 = Av1 { stated: (0, 0, false), sequence: Err(String::new()) };
            let _ = av1_sample(&av1, &bytes, true);
        }
    }
}
