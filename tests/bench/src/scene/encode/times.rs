//! From an upload's end to its first beginning, its H.264 ladder and its AV1 rungs, in a real market.
//!
//! Asks as its maker does: the asset, and on a new revision its playback, all playlists of H.264 and the
//! first segment. What is seen is late by one look at most.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use fairground_kit::answer::text_at;
use fairground_kit::wait::Patience;
use fairground_load::http::{Http, Target};
use fairground_load::report::{self, Aim, seconds};
use tokio::time::Instant;

use super::{EncodeArgs, picture};
use crate::market::api::Api;
use crate::market::cluster::Shape;
use crate::market::{Market, stories};
use crate::place::Place;
use crate::process::cpu;
use crate::scene::LONG;
use crate::scene::delivery::{fetch, uris};

/// How long the whole may take, AV1 included; less than an access token is good for.
const PATIENCE: Duration = Duration::from_mins(12);
/// Short side of the tallest picture of the first part of the ladder.
const MIDDLE: u32 = 720;

/// When what was first seen, counted from the upload's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    begins: Option<Duration>,
    to_middle: Option<Duration>,
    whole: Option<Duration>,
    av1: Option<Duration>,
}

/// What the playlists of one revision hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    begins: bool,
    to_middle: bool,
    whole: bool,
}

/// Uploads a generated clip to a market of one member and one edge and waits until all of it is made.
pub(super) async fn times(place: &Place, arguments: &EncodeArgs) -> anyhow::Result<Vec<Aim>> {
    let folder = place.folder("times")?;
    let length = arguments.seconds.max(1);
    let source = picture(&arguments.size, "")?;
    let clip = stories::source(&folder, "upload.mp4", &source, length).await?;
    let bytes = std::fs::read(&clip)?;
    report::line(&format!("\nupload: generated, {source}, {length} s, {} bytes", bytes.len()))?;
    let shape = Shape { members: 1, edges: 1, initial: LONG };
    let mut market = Market::start(place, shape, 1).await?;
    let edge = market.cluster.edges().into_iter().next().context("no edge")?;
    let mut api = market.maker(1).await?;
    let pids = market.cluster.edge_pids();
    let before = cpu(&pids);
    let uploaded = stories::upload(&mut api, &bytes).await?;
    drop(bytes);
    let marks = watch(&mut api, &edge, &uploaded.asset, uploaded.ended_at).await?;
    let spent = cpu(&pids).saturating_sub(before);
    let state = api.get(&format!("/v1/media/{}", uploaded.asset)).await?;
    market.cluster.stop().await;
    let told = |mark: Option<Duration>| mark.map_or_else(|| "never".to_owned(), seconds);
    let Marks { begins, to_middle, whole, av1 } = marks;
    for (name, mark) in [
        ("first beginning plays", begins),
        ("H.264 up to 720p complete", to_middle),
        ("H.264 complete", whole),
        ("AV1 revision", av1),
    ] {
        report::line(&format!("{name:<30} {:>9} s after the upload's end", told(mark)))?;
    }
    report::line(&format!("CPU of the edge and its tools     {} s", seconds(spent)))?;
    report::line(&format!("the job's own figures: {}", state["figures"]))?;
    let aim = |name: &str, mark: Option<Duration>, most: u64| {
        let name = format!("{length} s at {}: {name} within {most} s", arguments.size);
        Aim::within(name, mark, Duration::from_secs(most))
    };
    Ok(vec![
        aim("first beginning plays", begins, 10),
        aim("H.264 up to 720p complete", to_middle, 60),
        aim("H.264 complete", whole, 90),
    ])
}

/// Looks until the job is over.
async fn watch(
    api: &mut Api,
    edge: &Target,
    asset: &str,
    ended_at: Instant,
) -> anyhow::Result<Marks> {
    let patience = Patience::new("making the clip", PATIENCE);
    let (mut marks, mut known) = (Marks::default(), 0);
    loop {
        let state = api.get(&format!("/v1/media/{asset}")).await?;
        if state["state"] == "failed" {
            bail!("the clip failed: {state}");
        }
        let revision = state["revision"].as_u64().unwrap_or(0);
        if revision > known {
            known = revision;
            // A connection of its own: between two revisions an edge closes what is idle.
            let standing = look(api, &mut Http::new(edge.clone()), asset).await?;
            let has_av1 = state["codecs"]
                .as_array()
                .is_some_and(|codecs| codecs.iter().any(|codec| codec == "av1"));
            marks.note(standing, has_av1, ended_at.elapsed());
        }
        // Captions can be set when the job is over.
        if state["takesCaptions"] == true {
            return Ok(marks);
        }
        patience.rest().await?;
    }
}

/// Fetches what a player of H.264 would, as far as it goes.
async fn look(api: &mut Api, http: &mut Http, asset: &str) -> anyhow::Result<Standing> {
    let playback = api.get(&format!("/v1/media/{asset}/playback")).await?;
    let master = text_at(&playback, "avcUrl")?;
    let base = master.rsplit_once('/').context("an odd playback")?.0.to_owned();
    let variants = variants(&String::from_utf8_lossy(&fetch(http, &master).await?));
    ensure!(!variants.is_empty(), "a playlist without variants");
    let mut lists = Vec::new();
    for (side, uri) in variants {
        let list = fetch(http, &format!("{base}/{uri}")).await?;
        if let Some(segment) = uris(&list).first() {
            fetch(http, &format!("{base}/{segment}")).await?;
        }
        lists.push((side, String::from_utf8_lossy(&list).into_owned()));
    }
    Ok(standing(&lists))
}

/// Short side and media playlist of each variant.
fn variants(master: &str) -> Vec<(u32, String)> {
    let lines: Vec<&str> = master.lines().collect();
    let variant = |pair: &[&str]| {
        let [head, uri] = pair else { return None };
        let attributes = head.strip_prefix("#EXT-X-STREAM-INF:")?;
        let (_, size) = attributes.split_once("RESOLUTION=")?;
        let (width, height) = size.split(',').next()?.split_once('x')?;
        Some((width.parse::<u32>().ok()?.min(height.parse().ok()?), (*uri).to_owned()))
    };
    lines.windows(2).filter_map(variant).collect()
}

/// What playlists of these short sides hold: a list that has an end is complete.
fn standing(lists: &[(u32, String)]) -> Standing {
    let has_end = |list: &str| list.lines().any(|line| line == "#EXT-X-ENDLIST");
    let begins = |(_, list): &(u32, String)| !uris(list.as_bytes()).is_empty();
    let mut middle = lists.iter().filter(|(side, _)| *side <= MIDDLE).peekable();
    Standing {
        begins: !lists.is_empty() && lists.iter().all(begins),
        to_middle: middle.peek().is_some() && middle.all(|(_, list)| has_end(list)),
        whole: !lists.is_empty() && lists.iter().all(|(_, list)| has_end(list)),
    }
}

impl Marks {
    /// Notes what is seen for the first time.
    fn note(&mut self, standing: Standing, has_av1: bool, at: Duration) {
        let Standing { begins, to_middle, whole } = standing;
        for (mark, is_seen) in [
            (&mut self.begins, begins),
            (&mut self.to_middle, to_middle),
            (&mut self.whole, whole),
            (&mut self.av1, has_av1),
        ] {
            if is_seen && mark.is_none() {
                *mark = Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "#EXTM3U\n#EXT-X-VERSION:6\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=720x1280,A=B\n\
        c720.m3u8\n#EXT-X-STREAM-INF:RESOLUTION=608x1080\nc608.m3u8\n\
        #EXT-X-I-FRAME-STREAM-INF:RESOLUTION=640x360,URI=\"i360.m3u8\"\n";

    fn list(segments: usize, has_end: bool) -> String {
        let segments: String = (0..segments).map(|n| format!("#EXTINF:2,\nc/{n}.m4s\n")).collect();
        format!("#EXTM3U\n{segments}{}", if has_end { "#EXT-X-ENDLIST\n" } else { "" })
    }

    #[test]
    fn variants_are_named_by_their_short_side() {
        let found = variants(MASTER);
        assert_eq!(found, [(720, "c720.m3u8".to_owned()), (608, "c608.m3u8".to_owned())]);
        assert!(variants("#EXTM3U\n").is_empty());
    }

    #[test]
    fn a_ladder_is_complete_when_every_list_has_an_end() {
        let of = |lists: &[(u32, String)]| {
            let Standing { begins, to_middle, whole } = standing(lists);
            (begins, to_middle, whole)
        };
        assert_eq!(of(&[(1080, list(0, false)), (720, list(1, false))]), (false, false, false));
        assert_eq!(of(&[(1080, list(1, false)), (720, list(1, false))]), (true, false, false));
        assert_eq!(of(&[(1080, list(1, false)), (720, list(3, true))]), (true, true, false));
        assert_eq!(of(&[(1080, list(3, true)), (720, list(3, true))]), (true, true, true));
        assert_eq!(of(&[]), (false, false, false));
    }

    #[test]
    fn a_mark_is_what_was_seen_first() {
        let mut marks = Marks::default();
        let at = Duration::from_secs;
        marks.note(Standing { begins: true, to_middle: false, whole: false }, false, at(3));
        marks.note(Standing { begins: true, to_middle: true, whole: true }, false, at(9));
        marks.note(Standing { begins: true, to_middle: true, whole: true }, true, at(30));
        let wanted = Marks {
            begins: Some(at(3)),
            to_middle: Some(at(9)),
            whole: Some(at(9)),
            av1: Some(at(30)),
        };
        assert_eq!(marks, wanted);
    }
}
