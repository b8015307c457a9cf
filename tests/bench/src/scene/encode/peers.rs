//! ffmpeg's own encoders on the same mezzanine, a run per rung, and how ours stands beside them.
//!
//! The settings of libx264 are those of the pipeline. An AV1 encoder gets the quantizer that the
//! pipeline found for the rung, on its own scale: rav1e's of 0 to 255 is a quarter of it in SVT-AV1,
//! which counts to 63. What sizes and qualities came of it stands in the table beside the time.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use fairground_load::report::{hundredths, with_point};
use fairground_media::ladder::{Purpose, Rung as Planned, avc_rungs};
use fairground_media::manifest::{FrameRate, VideoFamily};

use super::job::{Made, OURS, Rung};
use super::{RUN_WAIT, Row, micros, ssim};
use crate::process::{Account, Program, cpu};

/// Encoders that are measured where ffmpeg has them, in the order of their rows.
const ENCODERS: [&str; 3] = ["libx264", "librav1e", "libsvtav1"];

/// The encoders that this ffmpeg has.
pub(super) async fn known(ffmpeg: &Path) -> anyhow::Result<BTreeSet<String>> {
    let arguments = ["-hide_banner", "-v", "error", "-encoders"];
    let told = Program::new("ffmpeg", Account::Own, ffmpeg, &arguments).run().await?;
    Ok(names(&told))
}

/// The second column of the list.
fn names(list: &str) -> BTreeSet<String> {
    let names = list.lines().filter_map(|line| line.split_whitespace().nth(1));
    names.map(str::to_owned).collect()
}

/// Encodes every rung of the pipeline by ffmpeg alone.
pub(super) async fn measure(
    ffmpeg: &Path,
    known: &BTreeSet<String>,
    made: &Made,
) -> anyhow::Result<Vec<Row>> {
    let (_, size, rate) = made.mezzanine();
    let planned = avc_rungs(size, rate);
    let mut rows = Vec::new();
    for encoder in ENCODERS {
        if !known.contains(encoder) {
            let settings = "absent in this ffmpeg".to_owned();
            rows.push(Row { encoder: encoder.to_owned(), settings, ..Row::default() });
            continue;
        }
        for rung in made.rungs() {
            // An AV1 rung has the size of its twin in the ladder.
            let side = rung.name.get(1..).and_then(|side| side.parse::<u32>().ok());
            let twin = planned.iter().find(|twin| Some(twin.size.short_side()) == side);
            if let Some(coding) = twin.and_then(|twin| Coding::new(encoder, &rung, twin, rate)) {
                rows.push(coding.measure(ffmpeg, made, &rung).await?);
            }
        }
    }
    Ok(rows)
}

/// How ffmpeg makes one rung.
#[derive(Debug, PartialEq, Eq)]
struct Coding {
    encoder: &'static str,
    filter: String,
    settings: String,
    options: Vec<String>,
}

impl Coding {
    /// Nothing when the encoder makes another family.
    fn new(encoder: &'static str, rung: &Rung, twin: &Planned, rate: FrameRate) -> Option<Self> {
        let gop = (rate.frames_per_gop() / u64::from(rung.step.max(1))).to_string();
        let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (settings, mut options) = match (encoder, rung.family, rung.quantizer) {
            ("libx264", VideoFamily::Avc, _) => {
                let profile = if twin.purpose == Purpose::Cellular { "baseline" } else { "high" };
                let (rate, buffer) = (twin.cap_bps / 5 * 4, twin.cap_bps / 5 * 2);
                let options = format!(
                    "-preset veryfast -threads 1 -profile:v {profile} -crf 23 -maxrate {rate} \
                     -bufsize {buffer} -sc_threshold 0"
                );
                ("veryfast, crf 23, cap".to_owned(), options)
            }
            ("librav1e", VideoFamily::Av1, Some(quantizer)) => {
                (format!("speed 10, qp {quantizer}"), format!("-speed 10 -qp {quantizer}"))
            }
            ("libsvtav1", VideoFamily::Av1, Some(quantizer)) => {
                let crf = (quantizer / 4).clamp(1, 63);
                (format!("preset 10, crf {crf}"), format!("-preset 10 -crf {crf}"))
            }
            _ => return None,
        };
        options.push_str(&format!(" -g {gop} -keyint_min {gop}"));
        let (width, height) = (twin.size.width, twin.size.height);
        let filter = format!(
            "framestep={},scale={width}:{height}:flags=lanczos,setsar=1,format=yuv420p",
            rung.step
        );
        Some(Self { encoder, filter, settings, options: words(options) })
    }

    async fn measure(&self, ffmpeg: &Path, made: &Made, rung: &Rung) -> anyhow::Result<Row> {
        let (mezzanine, size, _) = made.mezzanine();
        let output = made.folder().join(format!("{}-{}.mp4", self.encoder, rung.name));
        let (input, target) = (mezzanine.to_string_lossy(), output.to_string_lossy());
        let head = ["-nostdin", "-hide_banner", "-v", "error", "-y", "-i", &input, "-an"];
        let how = ["-vf", &self.filter, "-fps_mode", "passthrough", "-c:v", self.encoder];
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let arguments = [&head[..], &how, &options, &[&target]].concat();
        let program = Program::new("ffmpeg", Account::Own, ffmpeg, &arguments);
        let own = [std::process::id()];
        let (before, began) = (cpu(&own), Instant::now());
        program.run_within(RUN_WAIT).await?;
        let (spent, wall) = (cpu(&own).saturating_sub(before), began.elapsed());
        let bytes = std::fs::metadata(&output)?.len();
        let near = ssim(ffmpeg, (&output, rung.step), (&mezzanine, size)).await?;
        std::fs::remove_file(&output)?;
        Ok(Row {
            encoder: self.encoder.to_owned(),
            rung: rung.name.clone(),
            settings: self.settings.clone(),
            cpu: Some(spent),
            wall: Some(wall),
            bytes: Some(bytes),
            ssim: Some(near),
        })
    }
}

/// Ours beside theirs, of this run: the whole H.264 ladder, and each AV1 rung.
pub(super) fn ratios(ours: &[Row], theirs: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    // Names that begin so are those of rungs, one or several.
    let ladder = |rows: &[Row]| -> u64 {
        let rows = rows.iter().filter(|row| row.rung.starts_with('c'));
        rows.filter_map(|row| row.cpu).map(micros).sum()
    };
    if let Some(ratio) = hundredths(ladder(ours), ladder(theirs)) {
        lines.push(format!(
            "H.264 rungs and I-frames by {OURS} / the rungs one by one by libx264: CPU {} x",
            with_point(ratio, 2)
        ));
    }
    for row in ours.iter().filter(|row| row.rung.starts_with('v')) {
        for peer in theirs.iter().filter(|peer| peer.rung == row.rung) {
            let of = |mine: Option<u64>, theirs: Option<u64>| {
                let ratio = mine.zip(theirs).and_then(|(mine, theirs)| hundredths(mine, theirs));
                ratio.map_or_else(|| "-".to_owned(), |ratio| with_point(ratio, 2))
            };
            lines.push(format!(
                "{} by {OURS} / by {}: CPU {} x, bytes {} x",
                row.rung,
                peer.encoder,
                of(row.cpu.map(micros), peer.cpu.map(micros)),
                of(row.bytes, peer.bytes),
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fairground_media::ladder::Size;

    use super::*;

    const RATE: FrameRate = FrameRate { num: 30, den: 1 };

    #[test]
    fn encoders_are_the_second_column() {
        let list =
            "Encoders:\n V..... = Video\n ------\n V....D libx264   libx264 H.264 (codec h264)\n";
        let found = names(list);
        assert!(found.contains("libx264") && !found.contains("librav1e"), "{found:?}");
    }

    #[test]
    fn peers_get_the_settings_of_the_rung() {
        let ladder = avc_rungs(Size { width: 1280, height: 720 }, RATE);
        let rung = |name: &str, family, step, quantizer| Rung {
            name: name.to_owned(),
            family,
            step,
            quantizer,
        };
        let slowest = ladder.last().expect("a rung");
        let c234 = rung("c234", VideoFamily::Avc, 2, None);
        let coding = Coding::new("libx264", &c234, slowest, RATE).expect("its family");
        assert_eq!(
            coding.options.join(" "),
            "-preset veryfast -threads 1 -profile:v baseline -crf 23 -maxrate 89600 -bufsize 44800 \
             -sc_threshold 0 -g 30 -keyint_min 30"
        );
        assert!(coding.filter.starts_with("framestep=2,scale=416:234:"), "{}", coding.filter);
        assert_eq!(Coding::new("librav1e", &c234, slowest, RATE), None);
        let v720 = rung("v720", VideoFamily::Av1, 1, Some(120));
        let coding = Coding::new("libsvtav1", &v720, &ladder[0], RATE).expect("its family");
        assert_eq!(coding.settings, "preset 10, crf 30");
        assert_eq!(Coding::new("libx264", &v720, &ladder[0], RATE), None);
    }

    #[test]
    fn ratios_are_of_what_both_have() {
        let row = |encoder: &str, rung: &str, seconds: u64, bytes: Option<u64>| Row {
            encoder: encoder.to_owned(),
            rung: rung.to_owned(),
            cpu: Some(Duration::from_secs(seconds)),
            bytes,
            ..Row::default()
        };
        let ours = [
            row(OURS, "mezzanine", 50, None),
            row(OURS, "c720+c360+i360", 6, None),
            row(OURS, "v360", 30, Some(900)),
        ];
        let theirs = [
            row("libx264", "c720", 5, Some(1)),
            row("libx264", "c360", 3, Some(1)),
            row("librav1e", "v360", 60, Some(1_000)),
        ];
        let lines = ratios(&ours, &theirs);
        assert!(lines[0].ends_with("CPU 0.75 x"), "{lines:?}");
        assert_eq!(lines[1], "v360 by fairground / by librav1e: CPU 0.50 x, bytes 0.90 x");
        assert!(ratios(&ours, &[]).is_empty());
    }
}
