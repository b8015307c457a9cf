//! Which quantizer a title gets, and whether AV1 is worth its bits there.
//!
//! ```text
//!  three groups of the clip --+--> as decoded from the H.264 rung of that size: bits, SSIM
//!                             +--> encoded with AV1 at three quantizers:        bits, SSIM
//!         the coarsest quantizer at which AV1 is as near to the source; kept if it needs fewer bits
//! ```
//!
//! rav1e at speed 10 loses to x264 on flat screens and on noise (measured), so nobody can say before
//! which clips gain. Bits between probes go by their logarithm, SSIM by a straight line. Read next:
//! `super::av1`, `super::quality`.

#![expect(clippy::float_arithmetic, reason = "SSIM, and bits between two probes")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::av1::{self, Plan, RawGroup};
use super::quality::ssim;
use super::{Context, RungReport};
use crate::error::MediaError;
use crate::manifest::Rendition;

/// Groups that are probed at most, spread over the clip.
const GROUPS: u64 = 3;
/// Quantizers that are probed, finest first.
const QUANTIZERS: [u8; 3] = [90, 120, 150];

/// What an encoding of the probed groups needs and how near it comes to them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quality {
    bits: f64,
    ssim: f64,
}

/// Probes a rung beside its H.264 twin.
pub(super) fn probe(
    context: &Context<'_>,
    plan: Plan<'_>,
    twin: &Rendition,
) -> Result<RungReport, MediaError> {
    let wanted = spread(plan.pace.groups());
    let from = (plan.mezzanine.video.as_path(), av1::scaling(plan));
    let sources = av1::raw_groups(context, plan, (from.0, &from.1), &wanted)?;
    let file = context.work_dir.join(twin_file(twin.id.as_str()));
    let bytes = wanted.iter().filter_map(|group| {
        let index = usize::try_from(*group).ok()?;
        twin.segments.get(index).map(|segment| segment.bytes)
    });
    let bits = float(bytes.sum::<u64>().saturating_mul(8));
    let avc = Quality { bits, ssim: ssim_of_twin(context, plan, &file, &sources)? };
    let mut probes = Vec::new();
    for quantizer in QUANTIZERS {
        probes.push((quantizer, encode_all(plan, quantizer, &sources)?));
    }
    let (quantizer, av1, is_as_good) = choose(avc.ssim, &probes);
    let is_kept = is_as_good && av1.bits < avc.bits;
    let report = RungReport {
        name: plan.rung.name(),
        quantizer,
        is_kept,
        ssim: av1.ssim,
        ssim_h264: avc.ssim,
        bits_ratio: av1.bits / avc.bits.max(1.0),
    };
    tracing::info!(?report, "AV1 probed");
    Ok(report)
}

/// How near the H.264 rung comes to the source. Its raw frames are many: they go before others come.
fn ssim_of_twin(
    context: &Context<'_>,
    plan: Plan<'_>,
    file: &Path,
    sources: &[RawGroup],
) -> Result<f64, MediaError> {
    let size = plan.rung.size;
    let wanted = sources.iter().map(|source| source.index).collect();
    let twins = av1::raw_groups(context, plan, (file, "format=yuv420p"), &wanted)?;
    let pairs = sources.iter().zip(&twins);
    let frames = pairs.flat_map(|(source, twin)| source.lumas(size).zip(twin.lumas(size)));
    Ok(mean(frames.map(|(ours, theirs)| ssim(size, ours, theirs))))
}

/// Where the H.264 rung of a size is kept for comparison, in the work folder.
pub(super) fn twin_file(name: &str) -> String {
    format!("twin-{name}.mp4")
}

/// Groups in the middle of equal parts.
fn spread(groups: u64) -> BTreeSet<u64> {
    let parts = GROUPS.min(groups).max(1);
    (0..parts).map(|part| (2 * part + 1) * groups / (2 * parts)).collect()
}

/// Encodes the groups, several at a time.
fn encode_all(plan: Plan<'_>, quantizer: u8, sources: &[RawGroup]) -> Result<Quality, MediaError> {
    let next = Mutex::new(sources.iter().enumerate());
    let size = plan.rung.size;
    let work = || {
        let mut made = Vec::new();
        loop {
            let one = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, source)) = one else { return Ok(made) };
            let encoded = av1::encode_at(plan, quantizer, &source.frames)?;
            let lumas = source.lumas(size).zip(&encoded.lumas);
            let values: Vec<f64> = lumas.map(|(ours, theirs)| ssim(size, ours, theirs)).collect();
            made.push((index, encoded.bits, values));
        }
    };
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.tuning.workers.clamp(1, sources.len().max(1)))
            .map(|_| scope.spawn(work))
            .collect();
        for thread in threads {
            let made: Result<Vec<_>, MediaError> =
                thread.join().unwrap_or_else(|_| Err(av1::fault("a worker panicked")));
            all.extend(made?);
        }
        Ok::<(), MediaError>(())
    })?;
    // Which thread took which group must not show.
    all.sort_by_key(|(index, _, _)| *index);
    let bits = all.iter().fold(0_u64, |sum, (_, bits, _)| sum.saturating_add(*bits));
    Ok(Quality { bits: float(bits), ssim: mean(all.into_iter().flat_map(|(_, _, values)| values)) })
}

/// The coarsest quantizer that is as near to the source as `wanted`, and what it will come to; the
/// finest probe, and `false`, where none is.
fn choose(wanted: f64, probes: &[(u8, Quality)]) -> (u8, Quality, bool) {
    let mut chosen = None;
    for (index, (quantizer, quality)) in probes.iter().enumerate() {
        if quality.ssim < wanted {
            if let Some((finer, near)) = index.checked_sub(1).and_then(|before| probes.get(before))
            {
                chosen = Some(between(wanted, (*finer, *near), (*quantizer, *quality)));
            }
            break;
        }
        chosen = Some((*quantizer, *quality));
    }
    let is_as_good = chosen.is_some();
    let nothing = (QUANTIZERS[0], Quality { bits: f64::MAX, ssim: 0.0 });
    let (quantizer, quality) = chosen.or_else(|| probes.first().copied()).unwrap_or(nothing);
    (quantizer, quality, is_as_good)
}

/// The quantizer between two at which SSIM is `wanted`, rounded to the finer side.
fn between(wanted: f64, finer: (u8, Quality), coarser: (u8, Quality)) -> (u8, Quality) {
    let ((fine, near), (coarse, far)) = (finer, coarser);
    let part = ((near.ssim - wanted) / (near.ssim - far.ssim).max(f64::EPSILON)).clamp(0.0, 1.0);
    let quantizer = (fine..=coarse)
        .rev()
        .find(|quantizer| f64::from(quantizer - fine) <= part * f64::from(coarse - fine))
        .unwrap_or(fine);
    let part = f64::from(quantizer - fine) / f64::from(coarse - fine).max(1.0);
    let bits = (near.bits.max(1.0).ln() * (1.0 - part) + far.bits.max(1.0).ln() * part).exp();
    (quantizer, Quality { bits, ssim: near.ssim + (far.ssim - near.ssim) * part })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

/// Bits of a few seconds, which a double holds exactly.
fn float(bits: u64) -> f64 {
    f64::from(u32::try_from(bits).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes() -> [(u8, Quality); 3] {
        let quality = |bits, ssim| Quality { bits, ssim };
        [(90, quality(800.0, 0.98)), (120, quality(400.0, 0.96)), (150, quality(200.0, 0.92))]
    }

    #[test]
    fn quantizer_is_the_coarsest_that_is_as_good() {
        let (quantizer, quality, is_as_good) = choose(0.97, &probes());
        assert_eq!((quantizer, is_as_good), (105, true));
        assert!((quality.bits - 565.685).abs() < 0.01, "{quality:?}");
        assert!((quality.ssim - 0.97).abs() < 1e-9, "{quality:?}");
        assert_eq!(choose(0.96, &probes()).0, 120, "a probe that is just as good");
        let (quantizer, quality, _) = choose(0.93, &probes());
        assert_eq!(quantizer, 142);
        assert!(quality.ssim > 0.93, "to the finer side");
        let [finest, _, coarsest] = probes();
        assert_eq!(choose(0.5, &probes()), (coarsest.0, coarsest.1, true), "no coarser");
        assert_eq!(choose(0.99, &probes()), (finest.0, finest.1, false), "none is as good");
    }

    #[test]
    fn probed_groups_are_spread() {
        assert_eq!(spread(1), [0].into());
        assert_eq!(spread(2), [0, 1].into());
        assert_eq!(spread(30), [5, 15, 25].into());
    }
}
