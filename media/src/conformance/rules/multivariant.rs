//! Rules of multivariant playlists: `M1` to `M20`.

use std::collections::BTreeSet;

use super::{Rule, media};
use crate::conformance::parse::header::{Avc, Entry, Header};
use crate::conformance::parse::playlist::{Multivariant, Variant};
use crate::conformance::published::{Published, Rendition};
use crate::conformance::report::Report;
use crate::ladder::Size;

/// Bits per second that the slowest variant may need (A 9.21).
const CELLULAR_MAX: u64 = 192_000;
/// Bits per second of the variant to begin with (A 1.32).
const DEFAULT_NEAR: u64 = 2_000_000;
/// Short side from which a picture is in high definition.
const HD_SIDE: u64 = 720;
/// `profile_idc` of High, and level 4.1 (A 1.3, 1.12).
const AVC_MAX: (u8, u8) = (100, 41);
/// `FRAME-RATE` has three decimals, in billionths.
const RATE_STEP: u64 = 1_000_000;
const RATE_MAX: u64 = 60_000_000_000;
/// Transfer characteristics of PQ and HLG (ITU-T H.273).
const TRANSFER_PQ: u8 = 16;
const TRANSFER_HLG: u8 = 18;

/// One multivariant playlist on its way through the rules.
struct Playlist<'a> {
    report: &'a mut Report,
    name: &'a str,
    playlist: &'a Multivariant,
    published: &'a Published,
}

/// Applies the rules to every multivariant playlist; those of the whole choice to the first alone.
pub(crate) fn check(report: &mut Report, published: &Published) {
    for (index, (name, playlist)) in published.entries.iter().enumerate() {
        media::common(report, name, &playlist.common, Rule::M2);
        let mut it = Playlist { report, name, playlist, published };
        it.plain();
        it.attributes();
        it.codecs();
        it.pictures();
        it.rates();
        it.independent();
        it.audio();
        it.ranges();
        it.steering();
        it.scores();
        it.default_variant();
        if index == 0 {
            it.iframes();
            it.choice();
        }
        it.family(index);
    }
}

impl<'a> Playlist<'a> {
    fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    fn variant(&mut self, rule: Rule, line: usize, holds: bool, message: impl FnOnce() -> String) {
        let place = self.place(line);
        self.report.check(rule, holds, &place, message);
    }

    fn whole(&mut self, rule: Rule, holds: bool, message: impl FnOnce() -> String) {
        self.report.check(rule, holds, self.name, message);
    }

    fn rendition(&self, uri: &str) -> Option<&'a Rendition> {
        self.published.renditions.get(uri)
    }

    fn header(&self, uri: &str) -> Option<&'a Header> {
        self.rendition(uri)?.header()
    }

    /// The renditions of sound that go with a variant.
    fn sounds(&self, variant: &'a Variant) -> Vec<&'a Rendition> {
        let Some(group) = &variant.audio else { return Vec::new() };
        let playlist = self.playlist;
        let tags = playlist.group("AUDIO", group).filter_map(|tag| tag.uri.as_ref());
        tags.filter_map(|uri| self.rendition(uri)).collect()
    }

    /// `M18`, where it speaks of tags.
    fn plain(&mut self) {
        let lines = &self.playlist.session_data;
        self.whole(Rule::M18, lines.is_empty(), || "EXT-X-SESSION-DATA tells something".to_owned());
    }

    fn attributes(&mut self) {
        for variant in &self.playlist.variants {
            let present = [
                ("BANDWIDTH", variant.bandwidth.is_some()),
                ("AVERAGE-BANDWIDTH", variant.average.is_some()),
                ("CODECS", variant.codecs.is_some()),
                ("RESOLUTION", variant.resolution.is_some()),
                ("FRAME-RATE", variant.frame_rate.is_some()),
            ];
            for (name, present) in present {
                self.variant(Rule::M3, variant.line, present, || format!("{name} is missing"));
            }
        }
    }

    fn codecs(&mut self) {
        for variant in &self.playlist.variants {
            for (kind, group) in [("AUDIO", &variant.audio), ("SUBTITLES", &variant.subtitles)] {
                let Some(group) = group else { continue };
                let exists = self.playlist.group(kind, group).next().is_some();
                self.variant(Rule::M4, variant.line, exists, || {
                    format!("there is no group {group:?} of type {kind}")
                });
            }
            let Some(stated) = &variant.codecs else { continue };
            let sounds = self.sounds(variant);
            let renditions = self.rendition(&variant.uri).into_iter().chain(sounds);
            let real: Result<BTreeSet<String>, String> = renditions
                .flat_map(|rendition| rendition.headers.iter().flatten())
                .map(Header::codec)
                .collect();
            let stated: Vec<&str> = stated.split(',').collect();
            let unique: BTreeSet<String> = stated.iter().map(|&text| text.to_owned()).collect();
            let holds = real.as_ref().is_ok_and(|real| {
                real.is_empty() || *real == unique && unique.len() == stated.len()
            });
            self.variant(Rule::M4, variant.line, holds, || {
                format!("CODECS names {stated:?}, the headers say {real:?}")
            });
        }
    }

    fn pictures(&mut self) {
        for variant in &self.playlist.variants {
            let Some(rendition) = self.rendition(&variant.uri) else { continue };
            let Some(header) = rendition.header() else { continue };
            let real = header.size.map(|Size { width, height }| (width.into(), height.into()));
            self.variant(
                Rule::M5,
                variant.line,
                variant.resolution.is_none() || variant.resolution == real,
                || format!("RESOLUTION is {:?}, the header says {real:?}", variant.resolution),
            );
            let ticks = rendition.fragments.iter().map(|it| it.facts.sample_ticks).max();
            let Some(ticks) = ticks.filter(|ticks| *ticks > 0) else { continue };
            let real = u64::from(header.timescale) * 1_000_000_000 / u64::from(ticks);
            if let Some(stated) = variant.frame_rate {
                self.variant(Rule::M5, variant.line, stated.abs_diff(real) <= RATE_STEP, || {
                    format!("FRAME-RATE is {stated}e-9, the samples say {real}e-9")
                });
            }
            let fastest = variant.frame_rate.unwrap_or(0).max(real);
            self.variant(Rule::M20, variant.line, fastest <= RATE_MAX, || {
                format!("there are {} frames per second", fastest / 1_000_000_000)
            });
        }
    }

    fn rates(&mut self) {
        for variant in &self.playlist.variants {
            let measured = self.rendition(&variant.uri).and_then(Rendition::measured);
            let Some((peak, average)) = measured else { continue };
            let sounds: Option<Vec<(u64, u64)>> =
                self.sounds(variant).into_iter().map(Rendition::measured).collect();
            let Some(sounds) = sounds else { continue };
            // The dearest sound of the group counts.
            let peak = peak + sounds.iter().map(|(peak, _)| *peak).max().unwrap_or(0);
            let average = average + sounds.iter().map(|(_, average)| *average).max().unwrap_or(0);
            self.measured(variant, (peak, average));
            self.variant(Rule::M6b, variant.line, peak <= average.saturating_mul(2), || {
                format!("the peak of {peak} is more than twice the average of {average}")
            });
        }
    }

    /// `M6`: what is stated is within a tenth of what is measured.
    fn measured(&mut self, variant: &Variant, (peak, average): (u64, u64)) {
        let rates = [
            ("BANDWIDTH", variant.bandwidth, peak),
            ("AVERAGE-BANDWIDTH", variant.average, average),
        ];
        for (name, stated, real) in rates {
            let Some(stated) = stated else { continue };
            let near = stated.abs_diff(real).saturating_mul(10) <= stated;
            self.variant(Rule::M6, variant.line, near, || {
                format!("{name} is {stated}, {real} is measured")
            });
        }
    }

    fn independent(&mut self) {
        let stated = self.playlist.common.independent;
        let mut media = self.playlist.variants.iter().filter_map(|it| self.rendition(&it.uri));
        let everywhere = media.all(|rendition| rendition.media.common.independent);
        self.whole(Rule::M8, stated || everywhere && !self.playlist.variants.is_empty(), || {
            "EXT-X-INDEPENDENT-SEGMENTS is missing".to_owned()
        });
    }

    fn audio(&mut self) {
        let playlist = self.playlist;
        let tags: Vec<_> = playlist.media.iter().filter(|tag| tag.kind == "AUDIO").collect();
        let mut stereo = false;
        for tag in &tags {
            let missing = tag.language.is_none() || tag.uri.is_none();
            self.variant(Rule::M9, tag.line, !missing, || "LANGUAGE or URI is missing".to_owned());
            let mut named = tags.iter().filter(|it| it.group == tag.group && it.name == tag.name);
            let again = named.next().is_some_and(|first| first.line != tag.line);
            self.variant(Rule::M9, tag.line, !again, || {
                format!("NAME {:?} stands twice in its group", tag.name)
            });
            let Some(header) = tag.uri.as_ref().and_then(|uri| self.header(uri)) else { continue };
            let channels = match &header.entry {
                Entry::Aac(aac) => aac.channels.to_string(),
                _ => continue,
            };
            stereo |= channels == "2";
            self.variant(Rule::M12, tag.line, tag.channels.as_ref() == Some(&channels), || {
                format!("CHANNELS is {:?}, the header says {channels}", tag.channels)
            });
        }
        let groups: BTreeSet<&String> = tags.iter().map(|tag| &tag.group).collect();
        for group in groups {
            let defaults = tags.iter().filter(|tag| tag.group == *group && tag.default).count();
            self.whole(Rule::M9, defaults == 1, || {
                format!("the group {group:?} has {defaults} defaults")
            });
        }
        if !tags.is_empty() {
            self.whole(Rule::M12, stereo, || "there is no stereo AAC".to_owned());
        }
    }

    fn ranges(&mut self) {
        let mut sdr = false;
        for variant in &self.playlist.variants {
            let stated = variant.video_range.as_deref().unwrap_or("SDR");
            sdr |= stated == "SDR";
            let colour = self.header(&variant.uri).and_then(Header::bitstream_colour);
            let real = match colour.map(|colour| colour.transfer) {
                Some(TRANSFER_PQ) => "PQ",
                Some(TRANSFER_HLG) => "HLG",
                Some(_) => "SDR",
                None => continue,
            };
            self.variant(Rule::M14, variant.line, stated == real, || {
                format!("VIDEO-RANGE is {stated}, the bitstream is {real}")
            });
        }
        if !self.playlist.variants.is_empty() {
            self.whole(Rule::M14, sdr, || "no variant is SDR".to_owned());
        }
    }

    fn steering(&mut self) {
        let Some(steering) = &self.playlist.steering else { return };
        let pathway = |variant: &'a Variant| variant.pathway.as_deref().unwrap_or(".");
        let playlist = self.playlist;
        let exists = steering.pathway.as_deref().is_some_and(|wanted| {
            playlist.variants.iter().any(|variant| pathway(variant) == wanted)
        });
        self.variant(Rule::M15, steering.line, exists, || {
            format!("PATHWAY-ID {:?} is that of no variant", steering.pathway)
        });
        let mut known = BTreeSet::new();
        for variant in &playlist.variants {
            let Some(id) = &variant.stable_id else { continue };
            let new = known.insert((pathway(variant), id));
            self.variant(Rule::M15, variant.line, new, || {
                format!("STABLE-VARIANT-ID {id:?} stands twice in its pathway")
            });
        }
    }

    fn scores(&mut self) {
        let variants = &self.playlist.variants;
        let scored = variants.iter().filter(|variant| variant.score).count();
        if !variants.is_empty() {
            self.whole(Rule::M16, scored == 0 || scored == variants.len(), || {
                format!("{scored} of {} variants have SCORE", variants.len())
            });
        }
    }

    fn default_variant(&mut self) {
        let rate = |variant: &Variant| variant.average.or(variant.bandwidth).unwrap_or(0);
        let away = |variant: &Variant| rate(variant).abs_diff(DEFAULT_NEAR);
        let Some(first) = self.playlist.variants.first() else { return };
        // Players of either family begin with the first variant that they can play.
        let family =
            |it: &Variant| it.codecs.as_ref().and_then(|it| it.get(..4)).map(str::to_owned);
        let peers = self.playlist.variants.iter().filter(|it| family(it) == family(first));
        let Some(best) = peers.min_by_key(|variant| away(variant)) else { return };
        self.variant(Rule::M19, first.line, away(first) <= away(best), || {
            format!("the first variant has {} b/s, {} has {}", rate(first), best.uri, rate(best))
        });
    }

    /// `M7` and what is asked of I-frame variants one by one.
    fn iframes(&mut self) {
        let iframes = &self.playlist.iframes;
        self.whole(Rule::M7, !iframes.is_empty(), || "no I-frame variant is listed".to_owned());
        if iframes.is_empty() {
            return;
        }
        let mut avc = false;
        for variant in iframes {
            let stated = variant.codecs.is_some() && variant.resolution.is_some();
            self.variant(Rule::M7, variant.line, stated, || {
                "CODECS or RESOLUTION is missing".to_owned()
            });
            let Some(rendition) = self.rendition(&variant.uri) else { continue };
            let Some(header) = rendition.header() else { continue };
            avc |= matches!(header.entry, Entry::Avc(_));
            let real = header.codec();
            self.variant(Rule::M4, variant.line, variant.codecs == real.clone().ok(), || {
                format!("CODECS is {:?}, the header says {real:?}", variant.codecs)
            });
            let size = header.size.map(|size| (size.width.into(), size.height.into()));
            self.variant(Rule::M5, variant.line, variant.resolution == size, || {
                format!("RESOLUTION is {:?}, the header says {size:?}", variant.resolution)
            });
            let Some((peak, average)) = rendition.measured() else { continue };
            self.measured(variant, (peak, average));
        }
        self.whole(Rule::M7, avc, || "no I-frame variant is H.264".to_owned());
    }

    /// Rules of the whole choice: `M10`, `M11`, `M13`.
    fn choice(&mut self) {
        let variants = &self.playlist.variants;
        let uris: BTreeSet<&String> = variants.iter().map(|variant| &variant.uri).collect();
        self.whole(Rule::M10, uris.len() > 1, || format!("{} variants are listed", uris.len()));
        let slowest = variants.iter().filter_map(|variant| variant.bandwidth).min();
        self.whole(Rule::M13, slowest.is_some_and(|rate| rate <= CELLULAR_MAX), || {
            format!("the slowest variant needs {slowest:?} b/s, {CELLULAR_MAX} are allowed")
        });
        let sizes: Vec<(u64, u64)> = variants.iter().filter_map(|it| it.resolution).collect();
        let area = |(width, height): (u64, u64)| width.saturating_mul(height);
        if let Some(top) = sizes.iter().copied().max_by_key(|size| area(*size))
            && top.0.min(top.1) >= HD_SIDE
        {
            let of_top = sizes.iter().filter(|size| **size == top).count();
            self.whole(Rule::M10b, of_top > 1, || {
                format!("{of_top} variant has the greatest size of {}x{}", top.0, top.1)
            });
        }
        self.families();
        let Some(first) = sizes.first().copied() else { return };
        for size in sizes {
            // Sides are even, so each may be off by two.
            let slack = 2 * (first.0.max(first.1)).saturating_add(size.0.max(size.1));
            let apart = first.0.saturating_mul(size.1).abs_diff(first.1.saturating_mul(size.0));
            self.whole(Rule::M11, apart <= slack, || {
                format!("{size:?} has another aspect ratio than {first:?}")
            });
        }
    }

    fn families(&mut self) {
        let (mut avc_top, mut other_top, mut plain) = (0_u64, 0_u64, false);
        let mut known = false;
        for variant in &self.playlist.variants {
            let Some(header) = self.header(&variant.uri) else { continue };
            known = true;
            let pixels = header.size.map_or(0, Size::pixels);
            match &header.entry {
                Entry::Avc(Avc { set: Ok(set), .. }) => {
                    avc_top = avc_top.max(pixels);
                    plain |= set.profile <= AVC_MAX.0 && set.level <= AVC_MAX.1;
                }
                _ => other_top = other_top.max(pixels),
            }
        }
        if known {
            self.whole(Rule::M11, plain, || "no variant is H.264 up to High 4.1".to_owned());
            self.whole(Rule::M11, other_top <= avc_top, || {
                "another codec reaches a greater size than H.264".to_owned()
            });
        }
    }

    /// `M17`, by the name of the playlist.
    fn family(&mut self, index: usize) {
        let prefix = match self.name.rsplit('.').nth(1) {
            Some("avc") => "avc1.",
            Some("av1") => "av01.",
            _ => return,
        };
        let of_family = |it: &Variant| it.codecs.as_ref().is_some_and(|it| it.starts_with(prefix));
        for variant in self.playlist.variants.iter().chain(&self.playlist.iframes) {
            let pure = of_family(variant);
            self.variant(Rule::M17, variant.line, pure, || {
                format!("CODECS {:?} is of another family", variant.codecs)
            });
        }
        if index == 0 {
            return;
        }
        let Some((full, all)) = self.published.entries.first() else { return };
        let uris = |playlist: &'a Multivariant| -> BTreeSet<&'a String> {
            let own = playlist.variants.iter().filter(|variant| of_family(variant));
            own.map(|variant| &variant.uri).collect()
        };
        let (ours, theirs) = (uris(self.playlist), uris(all));
        self.whole(Rule::M17, ours == theirs, || {
            format!("it lists {ours:?}, {full} has {theirs:?} of the family")
        });
    }
}
