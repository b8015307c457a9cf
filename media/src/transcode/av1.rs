//! AV1: rav1e as a library, one single-threaded context per closed group of two seconds, or per
//! still.
//!
//! ```text
//!  ffmpeg (jailed) --raw frames--> reader --groups--> workers (rav1e) --packets--> caller: mux, sink
//!                                   bounded            one context each             in group order
//! ```
//!
//! Contexts share nothing, so the bytes do not depend on the number of workers, and rav1e's bytes
//! do not depend on the processor (measured): a group can be made again anywhere and compared. The
//! quantizer is constant, `super::title` chooses it; a group over the cap is made again with a coarser
//! one, and a rung with a group that cannot keep its cap is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rav1e::color::{
    ChromaSampling, ColorDescription, ColorPrimaries, MatrixCoefficients, PixelRange,
    TransferCharacteristics,
};
use rav1e::config::SpeedSettings;
use rav1e::data::Rational;
use rav1e::prelude::{Frame, SceneDetectionSpeed};
use rav1e::{Config, Context as Encoder, EncoderConfig, EncoderStatus};

use super::normalise::{Mezzanine, SCALE_FLAGS, common, limits, open_video};
use super::pace::Pace;
use super::rendition::RenditionParts;
use super::{BlobSink, Context, EncodeTuning, Progress, Stage};
use crate::error::MediaError;
use crate::jail::{Invocation, run_streaming, words};
use crate::ladder::{Rung, Size, av1_level};
use crate::manifest::{FrameRate, Rendition};
use crate::mux::obu::{self, SequenceHeader};
use crate::mux::{Sample, codecs, init, segment};

/// Encodings of one group at most; the last is as coarse as can be.
const TRIES_MAX: usize = 3;
/// Least and most that the next try is coarser.
const QUANTIZER_STEP: (u128, u128) = (12, 72);

/// Speed and quantizer of stills: seen for long, made once.
const STILL_SPEED: u8 = 6;
const STILL_QUANTIZER: u8 = 100;

/// How frames are encoded.
struct Coding {
    size: Size,
    rate: FrameRate,
    speed: u8,
    quantizer: u8,
    /// Frames from one key frame to the next.
    gop: u64,
    is_still: bool,
}

/// The raw frames of one group, one after the other, planes in order.
pub(super) struct RawGroup {
    pub(super) index: u64,
    pub(super) frames: Vec<u8>,
}

impl RawGroup {
    /// The first plane of each frame.
    pub(super) fn lumas(&self, size: Size) -> impl Iterator<Item = &[u8]> {
        let luma = usize::try_from(size.pixels()).unwrap_or(usize::MAX);
        self.frames.chunks_exact(frame_bytes(size)).filter_map(move |frame| frame.get(..luma))
    }
}

/// One encoded group.
struct EncodedGroup {
    index: u64,
    samples: Vec<Sample>,
    sequence: SequenceHeader,
    /// Whether it keeps the cap.
    fits: bool,
}

/// What a worker needs beyond the frames.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) mezzanine: &'a Mezzanine,
    pub(super) rung: Rung,
    pub(super) pace: Pace,
    pub(super) tuning: EncodeTuning,
}

impl<'a> Plan<'a> {
    pub(super) fn new(mezzanine: &'a Mezzanine, rung: Rung, tuning: EncodeTuning) -> Self {
        Self { mezzanine, rung, pace: mezzanine.pace(rung.frame_step), tuning }
    }
}

/// Encodes a rung; `None` when it cannot keep its cap.
pub(super) fn encode(
    context: &Context<'_>,
    plan: Plan<'_>,
    quantizer: u8,
    sink: &mut dyn BlobSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Rendition>, MediaError> {
    let Plan { mezzanine, rung, pace, tuning } = plan;
    let mut assembly = Assembly {
        plan,
        parts: RenditionParts::video(&rung, pace)?,
        sequence: None,
        waiting: BTreeMap::new(),
        next: 0,
        frames: 0,
        fits: true,
    };
    std::thread::scope(|scope| {
        let (groups_out, groups) = sync_channel(1);
        let groups = Arc::new(Mutex::new(groups));
        let (encoded_out, encoded) = sync_channel(1);
        let reader = scope.spawn(move || read_groups(context, plan, &groups_out));
        let mut workers = Vec::new();
        for _ in 0..tuning.workers.clamp(1, 64) {
            let (groups, encoded_out) = (Arc::clone(&groups), encoded_out.clone());
            workers.push(scope.spawn(move || work(plan, quantizer, &groups, &encoded_out)));
        }
        // Only the workers may keep these ends, or nobody would see that the others are gone.
        drop(groups);
        drop(encoded_out);
        let collected: Result<(), MediaError> = encoded.iter().try_for_each(|group| {
            let added = assembly.take(group?, sink)?;
            if !assembly.fits {
                return Err(MediaError::Sink("the rung is given up".to_owned()));
            }
            if added > 0 {
                let (done_frames, total_frames) = (assembly.frames, pace.frames());
                progress(Progress { stage: Stage::Av1, done_frames, total_frames });
            }
            Ok(())
        });
        drop(encoded);
        let crashed = workers.into_iter().filter_map(|worker| worker.join().err()).count();
        let read = reader.join().unwrap_or_else(|_| Err(fault("the reader panicked")));
        if !assembly.fits {
            return Ok(());
        }
        collected?;
        if crashed > 0 {
            return Err(fault("a worker panicked"));
        }
        read
    })?;
    if assembly.fits { assembly.parts.finish(mezzanine.frames).map(Some) } else { Ok(None) }
}

/// Puts groups in order and packages them.
struct Assembly<'a> {
    plan: Plan<'a>,
    parts: RenditionParts,
    sequence: Option<SequenceHeader>,
    waiting: BTreeMap<u64, EncodedGroup>,
    next: u64,
    frames: u64,
    /// Whether every group so far keeps the cap.
    fits: bool,
}

impl Assembly<'_> {
    /// Takes one group and packages all that are in order now; returns the frames packaged.
    fn take(&mut self, group: EncodedGroup, sink: &mut dyn BlobSink) -> Result<u64, MediaError> {
        self.fits &= group.fits;
        self.waiting.insert(group.index, group);
        let before = self.frames;
        while let Some(group) = self.waiting.remove(&self.next) {
            self.package(group, sink)?;
            self.next += 1;
        }
        Ok(self.frames - before)
    }

    fn package(&mut self, group: EncodedGroup, sink: &mut dyn BlobSink) -> Result<(), MediaError> {
        let pace = self.plan.pace;
        match &self.sequence {
            Some(sequence) if *sequence != group.sequence => {
                return Err(fault("two groups have different sequence headers"));
            }
            Some(_) => {}
            None => {
                check_sequence(&group.sequence, self.plan)?;
                let bytes = init::av1(&group.sequence, pace.rate())?;
                self.parts.put_header(bytes, codecs::av1(&group.sequence), sink)?;
                self.sequence = Some(group.sequence);
            }
        }
        let frames = u64::try_from(group.samples.len()).unwrap_or(u64::MAX);
        if frames != pace.frames_of(group.index) {
            return Err(fault("another number of frames than the mezzanine"));
        }
        let first = group.index.saturating_mul(pace.gop());
        let position = pace.position(group.index, first, frames)?;
        let bytes = segment::write(position, &group.samples)?;
        self.frames += frames;
        self.parts.put_segment(bytes, pace.ticks_of(first, frames), frames, sink)
    }
}

fn check_sequence(sequence: &SequenceHeader, plan: Plan<'_>) -> Result<(), MediaError> {
    let Size { width, height } = plan.rung.size;
    let as_asked = sequence.width == width
        && sequence.height == height
        && sequence.level == av1_level(plan.rung.size, plan.pace.rate())
        && (sequence.primaries, sequence.transfer, sequence.matrix) == (1, 1, 1)
        && !sequence.full_range
        && sequence.bit_depth == 8;
    if as_asked { Ok(()) } else { Err(fault("the sequence header is not as asked for")) }
}

/// Decodes and scales the mezzanine and hands over whole groups.
fn read_groups(
    context: &Context<'_>,
    plan: Plan<'_>,
    groups: &SyncSender<RawGroup>,
) -> Result<(), MediaError> {
    let filter = scaling(plan);
    let stopped = || MediaError::Sink("the job has stopped".to_owned());
    decode(context, plan, (&plan.mezzanine.video, &filter), &mut |group| {
        groups.send(group).map_err(|_| stopped())
    })
}

/// The frames of the mezzanine that a rung has, in its size.
pub(super) fn scaling(plan: Plan<'_>) -> String {
    let Size { width, height } = plan.rung.size;
    let step = plan.pace.step();
    format!("framestep={step},scale={width}:{height}:flags={SCALE_FLAGS},format=yuv420p")
}

/// Some groups of a file that has the rung's frames after that filter.
pub(super) fn raw_groups(
    context: &Context<'_>,
    plan: Plan<'_>,
    from: (&Path, &str),
    wanted: &BTreeSet<u64>,
) -> Result<Vec<RawGroup>, MediaError> {
    let mut found = Vec::new();
    decode(context, plan, from, &mut |group| {
        if wanted.contains(&group.index) {
            found.push(group);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Decodes a file of our own and hands over whole groups.
fn decode(
    context: &Context<'_>,
    plan: Plan<'_>,
    (file, filter): (&Path, &str),
    take: &mut dyn FnMut(RawGroup) -> Result<(), MediaError>,
) -> Result<(), MediaError> {
    let mut args = common();
    args.extend(open_video(file));
    args.extend(words(["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", filter]));
    args.extend(words(["-c:v", "rawvideo", "-f", "rawvideo", "pipe:1"]));
    // Encoding, not decoding, sets the pace here, so the wall-clock bound is wider.
    let mut limits = limits(context.source);
    limits.wall = limits.wall.saturating_mul(10);
    let invocation = Invocation {
        tools: context.tools,
        tool: "ffmpeg",
        program: &context.tools.ffmpeg,
        args,
        read: vec![file.to_owned()],
        write: None,
        limits,
        report: false,
    };
    run_streaming(&invocation, |stdout| split_groups(stdout, plan, take))
}

fn split_groups(
    stdout: &mut ChildStdout,
    plan: Plan<'_>,
    take: &mut dyn FnMut(RawGroup) -> Result<(), MediaError>,
) -> Result<(), MediaError> {
    let frame = frame_bytes(plan.rung.size);
    for index in 0..plan.pace.groups() {
        let count = usize::try_from(plan.pace.frames_of(index)).unwrap_or(usize::MAX);
        let mut frames = vec![0; frame.saturating_mul(count)];
        stdout.read_exact(&mut frames).map_err(|error| {
            if error.kind() == ErrorKind::UnexpectedEof {
                fault("fewer decoded frames than the mezzanine has")
            } else {
                MediaError::io("read decoded frames")(error)
            }
        })?;
        take(RawGroup { index, frames })?;
    }
    match stdout.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(fault("more decoded frames than the mezzanine has")),
        Err(error) => Err(MediaError::io("read decoded frames")(error)),
    }
}

fn work(
    plan: Plan<'_>,
    quantizer: u8,
    groups: &Mutex<Receiver<RawGroup>>,
    encoded: &SyncSender<Result<EncodedGroup, MediaError>>,
) {
    loop {
        let group = groups.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(group) = group else { return };
        let result = encode_group(plan, quantizer, &group);
        let failed = result.is_err();
        if encoded.send(result).is_err() || failed {
            return;
        }
    }
}

fn encode_group(
    plan: Plan<'_>,
    quantizer: u8,
    group: &RawGroup,
) -> Result<EncodedGroup, MediaError> {
    let count = plan.pace.frames_of(group.index);
    let rate = plan.pace.rate();
    let bits_max = u128::from(plan.rung.cap_bps) * u128::from(count) * u128::from(rate.den)
        / u128::from(rate.num.max(1));
    let mut quantizer = quantizer.max(1);
    let mut tries = 1;
    loop {
        let Encoded { samples, sequence, bits, .. } = encode_at(plan, quantizer, &group.frames)?;
        let fits = u128::from(bits) <= bits_max;
        if fits || tries == TRIES_MAX {
            return Ok(EncodedGroup { index: group.index, samples, sequence, fits });
        }
        tracing::debug!(group = group.index, quantizer, "group over its cap");
        tries += 1;
        quantizer = if tries == TRIES_MAX {
            u8::MAX
        } else {
            quantizer.saturating_add(coarser_by(bits.into(), bits_max))
        };
    }
}

/// Encodes the frames of a group with that quantizer.
pub(super) fn encode_at(
    plan: Plan<'_>,
    quantizer: u8,
    frames: &[u8],
) -> Result<Encoded, MediaError> {
    let coding = Coding {
        size: plan.rung.size,
        rate: plan.pace.rate(),
        speed: plan.tuning.av1_speed.min(10),
        quantizer,
        gop: plan.pace.gop(),
        is_still: false,
    };
    encode_once(&coding, frames)
}

/// How much coarser to try again: about forty steps for twice the bits. It depends on this group
/// alone, so that the group's bytes do too.
fn coarser_by(bits: u128, bits_max: u128) -> u8 {
    let (least, most) = QUANTIZER_STEP;
    let surplus = bits.saturating_sub(bits_max).saturating_mul(40) / bits_max.max(1);
    u8::try_from(surplus.clamp(least, most)).unwrap_or(u8::MAX)
}

/// Encodes one raw frame of that size as a temporal unit.
pub(super) fn still(size: Size, frame: &[u8]) -> Result<(Vec<u8>, SequenceHeader), MediaError> {
    let coding = Coding {
        size,
        rate: FrameRate { num: 1, den: 1 },
        speed: STILL_SPEED,
        quantizer: STILL_QUANTIZER,
        gop: 1,
        is_still: true,
    };
    if frame.len() != frame_bytes(size) {
        return Err(fault("a still of another size"));
    }
    let Encoded { mut samples, sequence, .. } = encode_once(&coding, frame)?;
    let unit = samples.pop().ok_or_else(|| fault("no still"))?.bytes;
    if !samples.is_empty() || (sequence.width, sequence.height) != (size.width, size.height) {
        return Err(fault("the still is not as asked for"));
    }
    Ok((unit, sequence))
}

/// What came out of one context.
pub(super) struct Encoded {
    samples: Vec<Sample>,
    sequence: SequenceHeader,
    pub(super) bits: u64,
    /// The first plane of each frame, as a decoder will show it.
    pub(super) lumas: Vec<Vec<u8>>,
}

fn encode_once(coding: &Coding, frames: &[u8]) -> Result<Encoded, MediaError> {
    let config = Config::new().with_encoder_config(settings(coding)).with_threads(1);
    let mut encoder: Encoder<u8> =
        config.new_context().map_err(|error| fault(&format!("settings: {error}")))?;
    let mut found = Found::new(coding.size);
    for frame in frames.chunks_exact(frame_bytes(coding.size)) {
        send(&mut encoder, frame, coding.size)?;
        found.drain(&mut encoder)?;
    }
    encoder.flush();
    while !found.ended {
        found.drain(&mut encoder)?;
    }
    let sequence = found.sequence.ok_or_else(|| fault("no sequence header"))?;
    let bytes: usize = found.samples.iter().map(|sample| sample.bytes.len()).sum();
    let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
    Ok(Encoded { samples: found.samples, sequence, bits, lumas: found.lumas })
}

fn settings(coding: &Coding) -> EncoderConfig {
    let Coding { size, rate, gop, .. } = *coding;
    let mut config = EncoderConfig::with_speed_preset(coding.speed);
    let speed: &mut SpeedSettings = &mut config.speed_settings;
    speed.scene_detection_mode = SceneDetectionSpeed::None;
    config.width = usize::try_from(size.width).unwrap_or(usize::MAX);
    config.height = usize::try_from(size.height).unwrap_or(usize::MAX);
    config.time_base = Rational { num: rate.den.into(), den: rate.num.into() };
    config.bit_depth = 8;
    config.chroma_sampling = ChromaSampling::Cs420;
    config.pixel_range = PixelRange::Limited;
    config.color_description = Some(ColorDescription {
        color_primaries: ColorPrimaries::BT709,
        transfer_characteristics: TransferCharacteristics::BT709,
        matrix_coefficients: MatrixCoefficients::BT709,
    });
    // Left out, rav1e states level 31, "unconstrained", which hardware decoders refuse.
    config.level_idx = Some(av1_level(size, rate));
    config.still_picture = coding.is_still;
    config.min_key_frame_interval = gop;
    config.max_key_frame_interval = gop;
    config.low_latency = false;
    config.bitrate = 0;
    config.quantizer = coding.quantizer.into();
    config.tiles = 0;
    config
}

fn send(encoder: &mut Encoder<u8>, raw: &[u8], size: Size) -> Result<(), MediaError> {
    let width = usize::try_from(size.width).unwrap_or(usize::MAX);
    let height = usize::try_from(size.height).unwrap_or(usize::MAX);
    let luma = width * height;
    let chroma = luma / 4;
    let planes = [(0, luma, width), (luma, chroma, width / 2), (luma + chroma, chroma, width / 2)];
    let mut frame = encoder.new_frame();
    for (plane, (start, length, stride)) in frame.planes.iter_mut().zip(planes) {
        let bytes = raw.get(start..start + length).ok_or_else(|| fault("a cut frame"))?;
        plane.copy_from_raw_u8(bytes, stride, 1);
    }
    encoder.send_frame(frame).map_err(|error| fault(&format!("send a frame: {error}")))
}

/// What has come out of one context so far.
struct Found {
    size: Size,
    samples: Vec<Sample>,
    lumas: Vec<Vec<u8>>,
    sequence: Option<SequenceHeader>,
    ended: bool,
}

impl Found {
    const fn new(size: Size) -> Self {
        Self { size, samples: Vec::new(), lumas: Vec::new(), sequence: None, ended: false }
    }

    /// Takes packets until the encoder wants more frames or has no more packets.
    fn drain(&mut self, encoder: &mut Encoder<u8>) -> Result<(), MediaError> {
        loop {
            match encoder.receive_packet() {
                Ok(packet) => {
                    let unit = obu::repack(&packet.data)?;
                    let first = self.samples.is_empty();
                    if unit.sequence.is_some() != first {
                        return Err(fault("a key frame inside a group, or none at its start"));
                    }
                    self.sequence = self.sequence.take().or(unit.sequence);
                    self.samples.push(Sample { bytes: unit.sample, composition: 0, sync: first });
                    if let Some(shown) = &packet.rec {
                        self.lumas.push(luma(shown, self.size));
                    }
                }
                Err(EncoderStatus::Encoded) => {}
                Err(EncoderStatus::NeedMoreData) => return Ok(()),
                Err(EncoderStatus::LimitReached) => {
                    self.ended = true;
                    return Ok(());
                }
                Err(error) => return Err(fault(&format!("receive a packet: {error}"))),
            }
        }
    }
}

/// The first plane without its padding.
fn luma(frame: &Frame<u8>, size: Size) -> Vec<u8> {
    let width = usize::try_from(size.width).unwrap_or(usize::MAX);
    let height = usize::try_from(size.height).unwrap_or(usize::MAX);
    let rows = frame.planes.first().into_iter().flat_map(|plane| plane.rows_iter().take(height));
    rows.filter_map(|row| row.get(..width)).flatten().copied().collect()
}

/// Bytes of one 4:2:0 frame of eight bits; both sides are even.
fn frame_bytes(size: Size) -> usize {
    usize::try_from(size.pixels() / 2 * 3).unwrap_or(usize::MAX)
}

pub(super) fn fault(what: &str) -> MediaError {
    MediaError::Encoder(format!("AV1: {what}"))
}
