//! H.264 (x264 through jailed ffmpeg): one run makes several tracks of one decoded mezzanine, which it
//! is fed with as it comes.
//!
//! ```text
//!  mezzanine --decode--> split --+--> every n-th frame, scale, x264 --> track 1 --+
//!                                +--> every n-th frame, scale, x264 --> track 2 --+--> one pipe
//! ```
//!
//! The tracks arrive in fragments on one pipe, are checked, rewritten group by group with our own
//! boxes and handed on. Read next: `mux::fragments`, `super::first`.

use std::ffi::OsString;
use std::process::ChildStdout;

use super::Context;
use super::first::{Part, Queue};
use super::follow::Following;
use super::normalise::{SCALE_FLAGS, bt709, common, limits};
use super::pace::Pace;
use crate::error::MediaError;
use crate::jail::{Invocation, run_fed, words};
use crate::ladder::{Purpose, Rung, Size, avc_level};
use crate::manifest::FrameRate;
use crate::mux::fragments::Fragments;
use crate::mux::sps::{Colour, SequenceParameterSet};
use crate::mux::{Sample, codecs, init, segment, sps};
use crate::probe::fenced_input;

/// One track of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture {
    pub(super) rung: Rung,
    /// Open: how many pictures there are is known at the end.
    pub(super) pace: Pace,
    /// Whose parts its segments are.
    pub(super) rendition: usize,
}

pub(super) fn encode(
    context: &Context<'_>,
    following: &Following<'_>,
    pictures: &[Picture],
    queue: &Queue,
) -> Result<(), MediaError> {
    let mut limits = limits(context.source);
    // As long as it takes to write the mezzanine, and as long again.
    limits.wall = limits.wall.saturating_mul(2);
    let invocation = Invocation {
        tools: context.tools,
        tool: "ffmpeg",
        program: &context.tools.ffmpeg,
        args: arguments(following.outline.rate, pictures),
        read: Vec::new(),
        write: None,
        limits,
        report: false,
    };
    let feed = |inlet| following.feed(inlet);
    run_fed(&invocation, feed, |stdout| repackage(stdout, following, pictures, queue))
}

fn arguments(rate: FrameRate, pictures: &[Picture]) -> Vec<OsString> {
    let mut args = common();
    args.extend(fenced_input("mov"));
    args.extend(words(["-i", "pipe:0"]));
    args.extend(words(["-filter_complex_threads", "1", "-filter_complex", &graph(pictures)]));
    for index in 0..pictures.len() {
        args.extend(words(["-map", &format!("[out{index}]")]));
    }
    args.extend(words(["-map_metadata", "-1", "-fps_mode", "passthrough"]));
    args.extend(words(["-c:v", "libx264", "-preset", "veryfast", "-threads", "1"]));
    args.extend(words(["-sc_threshold", "0", "-flags", "+cgop"]));
    for (index, picture) in pictures.iter().enumerate() {
        for (option, value) in settings(picture) {
            args.extend(words([format!("-{option}:v:{index}").as_str(), value.as_str()]));
        }
    }
    args.extend(bt709());
    // Unit type 6 is supplemental information, which only names the encoder.
    args.extend(words(["-bsf:v", "filter_units=remove_types=6"]));
    args.extend(words(["-video_track_timescale", &rate.num.to_string()]));
    // A key frame of any track ends the fragment of all, so groups may come in parts. A fragment per
    // frame would be plainer, but ffmpeg then loses the distance between decoding and showing.
    args.extend(words(["-movflags", "+frag_keyframe+empty_moov+default_base_moof"]));
    args.extend(words(["-f", "mp4", "pipe:1"]));
    args
}

/// Decodes once, then picks and scales for every track.
fn graph(pictures: &[Picture]) -> String {
    let inputs: String = (0..pictures.len()).map(|index| format!("[in{index}]")).collect();
    let mut graph = format!("[0:v:0]split={}{inputs}", pictures.len());
    for (index, picture) in pictures.iter().enumerate() {
        let Size { width, height } = picture.rung.size;
        let step = picture.pace.step();
        graph.push_str(&format!(
            ";[in{index}]framestep={step},scale={width}:{height}:flags={SCALE_FLAGS},\
             setsar=1,format=yuv420p[out{index}]"
        ));
    }
    graph
}

/// Options of one track. Over two seconds, x264's buffer model keeps the bits within twice the rate
/// and one buffer, which together are twice the cap.
fn settings(picture: &Picture) -> Vec<(&'static str, String)> {
    let rung = &picture.rung;
    let level = avc_level(rung.size, picture.pace.rate());
    let (profile, crf) = match rung.purpose {
        Purpose::Watch => ("high", "23"),
        Purpose::Cellular => ("baseline", "23"),
        // Of key frames alone, x264 would mark High as an intra profile, which that one is not.
        Purpose::Seek => ("main", "30"),
    };
    let (rate, buffer) = match rung.purpose {
        Purpose::Watch | Purpose::Cellular => (rung.cap_bps / 5 * 4, rung.cap_bps / 5 * 2),
        // A buffer holds one picture at least, which is a second's worth.
        Purpose::Seek => (rung.cap_bps, rung.cap_bps),
    };
    let gop = if rung.purpose == Purpose::Seek { 1 } else { picture.pace.gop() }.to_string();
    let mut settings = vec![
        ("profile", profile.to_owned()),
        ("level", format!("{}.{}", level / 10, level % 10)),
        ("crf", crf.to_owned()),
        ("maxrate", rate.to_string()),
        ("bufsize", buffer.to_string()),
        ("g", gop.clone()),
        ("keyint_min", gop),
    ];
    if rung.purpose == Purpose::Seek {
        // No picture waits for later ones, which come a second apart.
        settings.push(("tune", "zerolatency".to_owned()));
    }
    settings
}

fn repackage(
    stdout: &mut ChildStdout,
    following: &Following<'_>,
    pictures: &[Picture],
    queue: &Queue,
) -> Result<(), MediaError> {
    let mut fragments = Fragments::new(stdout);
    let mut tracks: Vec<Track<'_>> =
        pictures.iter().map(|picture| Track::new(picture, queue)).collect();
    while let Some(fragment) = fragments.next_fragment()? {
        let index = usize::try_from(fragment.track).ok().and_then(|track| track.checked_sub(1));
        let track = index
            .and_then(|index| tracks.get_mut(index))
            .ok_or_else(|| MediaError::Stream("H.264: a track of nobody".to_owned()))?;
        if !track.has_header {
            let avcc = fragments.avc_config(fragment.track)?;
            let set = avcc.sequence_parameter_sets.first().map(Vec::as_slice).unwrap_or_default();
            track.check(&sps::parse(set)?)?;
            let codec = codecs::avc(set)?;
            let bytes = init::avc(avcc, track.picture.rung.size, track.picture.pace.rate())?;
            track.send(Part::Header { bytes, codec })?;
            track.has_header = true;
        }
        for sample in fragment.samples {
            track.take(sample)?;
        }
    }
    // The tool was fed up to the end of the mezzanine, which therefore is known.
    let frames = following.frames()?;
    tracks.iter_mut().try_for_each(|track| track.finish(frames))
}

/// Puts the samples of one track into groups.
struct Track<'a> {
    picture: &'a Picture,
    queue: &'a Queue,
    pace: Pace,
    has_header: bool,
    /// The group that is being collected.
    group: u64,
    samples: Vec<Sample>,
}

impl<'a> Track<'a> {
    const fn new(picture: &'a Picture, queue: &'a Queue) -> Self {
        let pace = picture.pace;
        Self { picture, queue, pace, has_header: false, group: 0, samples: Vec::new() }
    }

    /// What the header will say is what the bitstream says.
    fn check(&self, set: &SequenceParameterSet) -> Result<(), MediaError> {
        let Picture { rung, pace, .. } = self.picture;
        let is_bt709 = set.colour.is_some_and(|colour| {
            let Colour { primaries, transfer, matrix, full_range } = colour;
            [primaries, transfer, matrix] == [1; 3] && !full_range
        });
        if (set.width, set.height) != (rung.size.width, rung.size.height) {
            Err(self.wrong("a picture of another size"))
        } else if set.level != avc_level(rung.size, pace.rate()) {
            Err(self.wrong("another level than was asked for"))
        } else if !is_bt709 {
            Err(self.wrong("another colour space than BT.709 in limited range"))
        } else {
            Ok(())
        }
    }

    fn take(&mut self, sample: Sample) -> Result<(), MediaError> {
        if sample.sync {
            self.close()?;
        }
        let (_, wanted) = self.span();
        self.samples.push(sample);
        if u64::try_from(self.samples.len()).is_ok_and(|count| count <= wanted) {
            Ok(())
        } else {
            Err(self.wrong("more frames than the mezzanine"))
        }
    }

    /// First picture of the group, and how many it must have.
    fn span(&self) -> (u64, u64) {
        let pace = self.pace;
        if self.picture.rung.purpose == Purpose::Seek {
            (self.group, u64::from(self.group < pace.frames()))
        } else {
            (self.group.saturating_mul(pace.gop()), pace.frames_of(self.group))
        }
    }

    /// Closes the last group, which ends with the mezzanine.
    fn finish(&mut self, mezzanine_frames: u64) -> Result<(), MediaError> {
        self.pace = self.pace.closed(mezzanine_frames);
        self.close()
    }

    /// Checks the group and writes it with its place on our own exact clock.
    fn close(&mut self) -> Result<(), MediaError> {
        let mut samples = std::mem::take(&mut self.samples);
        if samples.is_empty() {
            return Ok(());
        }
        let (first, wanted) = self.span();
        if u64::try_from(samples.len()).ok() != Some(wanted) {
            return Err(self.wrong("fewer frames than the mezzanine"));
        }
        if !samples.first().is_some_and(|sample| sample.sync) {
            return Err(self.wrong("no key frame at its start"));
        }
        let pace = self.pace;
        if !undelay(&mut samples, pace.rate().den.into()) {
            return Err(self.wrong("presentation times are not one per frame"));
        }
        let bytes = segment::write(pace.position(self.group, first, wanted)?, &samples)?;
        let duration_ticks = pace.ticks_of(first, wanted);
        self.send(Part::Segment { bytes, duration_ticks, frames: wanted })?;
        self.group += 1;
        Ok(())
    }

    fn send(&self, part: Part) -> Result<(), MediaError> {
        self.queue.send(self.picture.rendition, part)
    }

    fn wrong(&self, what: &str) -> MediaError {
        let (name, group) = (self.picture.rung.name(), self.group);
        MediaError::Stream(format!("{name}, group {group}: {what}"))
    }
}

/// Checks that the samples of a group are shown one per frame, `ticks` apart.
///
/// ffmpeg delays all presentation times by a constant so that no offset is negative; the delay is
/// taken out again, since players take the decode time of the first sample as the start.
fn undelay(samples: &mut [Sample], ticks: i64) -> bool {
    let delay = samples.first().map_or(0, |sample| sample.composition);
    let mut shown = vec![false; samples.len()];
    for (index, sample) in samples.iter_mut().enumerate() {
        sample.composition = sample.composition.saturating_sub(delay);
        let offset = i64::from(sample.composition);
        let place = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(offset / ticks);
        let slot = usize::try_from(place).ok().and_then(|place| shown.get_mut(place));
        match slot.filter(|taken| !**taken && offset % ticks == 0) {
            Some(slot) => *slot = true,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(offsets: &[i32]) -> Vec<Sample> {
        let sample =
            |composition: &i32| Sample { bytes: vec![0], composition: *composition, sync: false };
        offsets.iter().map(sample).collect()
    }

    #[test]
    fn delay_leaves_and_every_frame_is_shown_once() {
        let mut group = samples(&[4, 10, 4, 2, 4]);
        assert!(!undelay(&mut group, 2), "two are shown at once");
        let mut group = samples(&[4, 8, 4, 0, 4]);
        assert!(undelay(&mut group, 2));
        let offsets: Vec<_> = group.iter().map(|sample| sample.composition).collect();
        assert_eq!(offsets, [0, 4, 0, -4, 0]);
        assert!(!undelay(&mut samples(&[0, 1]), 2), "between two frames");
        assert!(!undelay(&mut samples(&[0, 2]), 2), "after the end of the group");
        assert!(!undelay(&mut samples(&[0, -2]), 2), "before its start");
    }
}
