//! Content steering: which edge a playback goes on at (RFC 8216bis section 7).
//!
//! ```text
//!   playlist of e1: every variant on pathway e1 -------+
//!   directory: health, drain, load of each edge -------+--> priority, clones of e1 at other hosts
//!   the player: where it is now, whose playback it is -+
//! ```
//! An edge that dies leaves the directory; one that drains comes last, so that it still serves who
//! has not heard yet. Whoever plays stays where they are unless there is a reason, and who moves is
//! spread by playback, never all to one edge. Pure: it must not know HTTP, clocks or the directory.

use fairground_runtime::guard;
use fairground_types::{BlobHash, EdgeId, PlaybackId};
use fairground_wire::message::EdgeStatus;
use serde::Serialize;

/// Folder of the steering manifests, below a playback's address.
pub(crate) const FOLDER: &str = "steering";
/// MIME type of a steering manifest (RFC 8216bis section 7.2).
pub(crate) const MIME_STEERING: &str = "application/vnd.apple.steering-list";
/// Seconds until a player asks again while all is well.
const TTL_CALM: u64 = 30;
/// Seconds until it asks again while an edge drains or is lost.
const TTL_MOVING: u64 = 5;
/// An edge with this much of its capacity in use takes no more viewers, and sends some away.
const BUSY_PERMILLE: u32 = 800;
/// One in so many viewers leaves a busy edge; always the same ones.
const LEAVING_SHARE: u8 = 4;
/// Pathways that are named; a player needs few.
const PATHWAYS_MAX: usize = 8;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    /// The pathway that its playlist lists.
    pub(crate) base: EdgeId,
    /// The pathway that it plays from now.
    pub(crate) current: EdgeId,
    /// Its playback, by which viewers are spread.
    pub(crate) playback: PlaybackId,
}

/// Where a player goes: member names are those of the RFC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct SteeringManifest {
    /// Always 1.
    #[serde(rename = "VERSION")]
    version: u64,
    /// Seconds until the player asks again.
    #[serde(rename = "TTL")]
    ttl: u64,
    /// Where it asks again, relative to this address.
    #[serde(rename = "RELOAD-URI")]
    reload_uri: String,
    /// Pathways, best first.
    #[serde(rename = "PATHWAY-PRIORITY")]
    priority: Vec<EdgeId>,
    /// Pathways that the playlist does not list.
    #[serde(rename = "PATHWAY-CLONES")]
    clones: Vec<PathwayClone>,
}

/// A pathway made of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct PathwayClone {
    /// The pathway whose addresses are taken.
    #[serde(rename = "BASE-ID")]
    base: EdgeId,
    /// The new one.
    #[serde(rename = "ID")]
    id: EdgeId,
    /// What is other in its addresses.
    #[serde(rename = "URI-REPLACEMENT")]
    replacement: UriReplacement,
}

/// What is other in the addresses of a clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct UriReplacement {
    /// The host; scheme and port stay.
    #[serde(rename = "HOST")]
    host: String,
}

/// Computes the manifest from the edges' rows; `public_url` is where the edge that answers is.
///
/// A clone changes the host and nothing else (players ignore a port there, measured), so edges of
/// another scheme or port are left out.
pub(crate) fn manifest(
    viewer: &Viewer,
    public_url: &str,
    rows: Vec<EdgeStatus>,
) -> SteeringManifest {
    let base_row = rows.iter().find(|row| row.edge == viewer.base);
    let base_url = base_row.map_or(public_url, |row| row.public_url.as_str()).to_owned();
    let is_moving = base_row.is_none() || rows.iter().any(|row| !row.serves_video);
    let row_of = |edge: &EdgeId| rows.iter().find(|row| row.edge == *edge);
    // A lost edge has no row: the one that answers is as near as is known.
    let answers = || rows.iter().find(|row| row.public_url == public_url);
    let region = row_of(&viewer.current).or_else(|| row_of(&viewer.base)).or_else(answers);
    let region = region.map(|row| row.region.clone());
    let rank = |row: &EdgeStatus| {
        let is_current = row.edge == viewer.current;
        let is_elsewhere = Some(&row.region) != region.as_ref();
        (tier(viewer, row), !is_current, is_elsewhere, draw(viewer.playback, &row.edge))
    };
    let mut reachable: Vec<(EdgeStatus, String)> = rows
        .into_iter()
        .filter_map(|row| {
            let host = host_at_same_port(&base_url, &row.public_url)?.to_owned();
            Some((row, host))
        })
        .collect();
    reachable.sort_by_cached_key(|(row, _)| rank(row));
    reachable.truncate(PATHWAYS_MAX);
    let mut priority: Vec<EdgeId> = reachable.iter().map(|(row, _)| row.edge.clone()).collect();
    if priority.is_empty() {
        priority.push(viewer.base.clone());
    }
    let others = reachable.into_iter().filter(|(row, _)| row.edge != viewer.base);
    let clones = others.map(|(row, host)| PathwayClone {
        base: viewer.base.clone(),
        id: row.edge,
        replacement: UriReplacement { host },
    });
    SteeringManifest {
        version: 1,
        ttl: if is_moving { TTL_MOVING } else { TTL_CALM },
        reload_uri: viewer.base.to_string(),
        priority,
        clones: clones.collect(),
    }
}

/// How willingly an edge is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Good,
    Busy,
    Draining,
}

fn tier(viewer: &Viewer, row: &EdgeStatus) -> Tier {
    if !row.serves_video {
        return Tier::Draining;
    }
    let is_busy = row.load_permille >= BUSY_PERMILLE;
    let stays = row.edge == viewer.current && !leaves(viewer);
    if is_busy && !stays { Tier::Busy } else { Tier::Good }
}

/// Whether this viewer is among those who leave when their edge is busy.
fn leaves(viewer: &Viewer) -> bool {
    let [first, ..] = draw(viewer.playback, &viewer.current);
    first % LEAVING_SHARE == 0
}

/// A number for a playback at an edge, the same wherever it is asked for.
fn draw(playback: PlaybackId, edge: &EdgeId) -> [u8; 32] {
    *BlobHash::of(format!("{playback} {edge}").as_bytes()).as_bytes()
}

/// The host of `url`, when it can stand for that of `base`.
fn host_at_same_port<'a>(base: &str, url: &'a str) -> Option<&'a str> {
    let (base_scheme, _, base_port) = parts(base)?;
    let (scheme, host, port) = parts(url)?;
    ((scheme, port) == (base_scheme, base_port)).then_some(host)
}

/// Scheme, host and port of an http address.
fn parts(url: &str) -> Option<(&str, &str, u16)> {
    let (scheme, authority) = guard::origin_of(url)?.split_once("://")?;
    let usual = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, usual),
    };
    (!host.is_empty()).then_some((scheme, host, port))
}

#[cfg(test)]
mod tests {
    use fairground_types::LogIndex;
    use serde_json::json;

    use super::*;

    fn id(name: &str) -> EdgeId {
        EdgeId::new(name, 1).expect("a name")
    }

    fn row(name: &str, load_permille: u32) -> EdgeStatus {
        EdgeStatus {
            edge: id(name),
            region: "eu".to_owned(),
            public_url: format!("https://{name}.example"),
            serves_video: true,
            takes_bids: true,
            load_permille,
            feed_index: LogIndex(1),
        }
    }

    fn draining(name: &str) -> EdgeStatus {
        EdgeStatus { serves_video: false, ..row(name, 0) }
    }

    fn viewer(current: &str, playback: u128) -> Viewer {
        Viewer { base: id("e1"), current: id(current), playback: PlaybackId::from_bits(playback) }
    }

    fn steer(viewer: &Viewer, rows: Vec<EdgeStatus>) -> SteeringManifest {
        manifest(viewer, "https://e1.example", rows)
    }

    fn names(manifest: &SteeringManifest) -> Vec<&str> {
        manifest.priority.iter().map(EdgeId::name).collect()
    }

    #[test]
    fn members_are_those_of_the_rfc() {
        let made = steer(&viewer("e1", 7), vec![row("e1", 10), row("e2", 10)]);
        let written = serde_json::to_value(&made).expect("JSON");
        let expected = json!({
            "VERSION": 1, "TTL": 30, "RELOAD-URI": "e1.1", "PATHWAY-PRIORITY": ["e1.1", "e2.1"],
            "PATHWAY-CLONES": [
                {"BASE-ID": "e1.1", "ID": "e2.1", "URI-REPLACEMENT": {"HOST": "e2.example"}},
            ],
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn who_plays_stays_unless_there_is_a_reason() {
        for playback in 0..50 {
            let rows = || vec![row("e1", 700), row("e2", 0), row("e3", 0)];
            assert_eq!(names(&steer(&viewer("e1", playback), rows()))[0], "e1");
            assert_eq!(names(&steer(&viewer("e3", playback), rows()))[0], "e3");
        }
    }

    #[test]
    fn draining_edge_is_last_and_everybody_asks_again_soon() {
        let mut first = std::collections::BTreeSet::new();
        for playback in 0..50 {
            let made =
                steer(&viewer("e1", playback), vec![draining("e1"), row("e2", 0), row("e3", 0)]);
            assert_eq!((names(&made)[2], made.ttl), ("e1", 5));
            first.insert(names(&made)[0].to_owned());
        }
        assert_eq!(first.len(), 2, "all went to one edge");
        let alone = steer(&viewer("e1", 1), vec![draining("e1")]);
        assert_eq!(names(&alone), ["e1"], "better a leaving edge than none");
    }

    #[test]
    fn share_of_the_viewers_leaves_a_busy_edge_and_does_not_come_back() {
        let rows = || vec![row("e1", 800), row("e2", 0)];
        let leave =
            (0..400).filter(|playback| names(&steer(&viewer("e1", *playback), rows()))[0] == "e2");
        let leave: Vec<u128> = leave.collect();
        assert!((50..150).contains(&leave.len()), "{}", leave.len());
        for playback in leave {
            let later = steer(&viewer("e2", playback), vec![row("e1", 100), row("e2", 100)]);
            assert_eq!(names(&later)[0], "e2");
        }
        let all_busy = steer(&viewer("e1", 3), vec![row("e1", 900), row("e2", 900)]);
        assert_eq!(names(&all_busy)[0], "e1");
    }

    #[test]
    fn own_region_is_preferred() {
        let far = EdgeStatus { region: "us".to_owned(), ..row("e2", 0) };
        for playback in 0..20 {
            let rows = vec![draining("e1"), far.clone(), row("e3", 700)];
            assert_eq!(names(&steer(&viewer("e1", playback), rows)), ["e3", "e2", "e1"]);
        }
    }

    #[test]
    fn viewers_of_a_lost_edge_stay_in_the_region_of_the_one_that_answers() {
        let far = EdgeStatus { region: "us".to_owned(), ..row("e2", 0) };
        for playback in 0..20 {
            let rows = vec![far.clone(), row("e3", 700)];
            let made = manifest(&viewer("e1", playback), "https://e3.example", rows);
            assert_eq!(names(&made), ["e3", "e2"]);
        }
    }

    #[test]
    fn lost_base_stays_the_base_of_clones_and_is_not_recommended() {
        let made =
            manifest(&viewer("e1", 7), "https://e2.example", vec![row("e2", 0), row("e3", 0)]);
        assert_eq!(made.ttl, 5);
        assert!(!names(&made).contains(&"e1"));
        assert_eq!(made.clones.len(), 2);
        assert!(made.clones.iter().all(|clone| clone.base == id("e1")));
    }

    #[test]
    fn only_the_host_may_differ() {
        let other = |url: &str| EdgeStatus { public_url: url.to_owned(), ..row("e2", 0) };
        for bad in ["http://e2.example", "https://e2.example:8443", "", "ftp://e2.example"] {
            let made = steer(&viewer("e1", 7), vec![row("e1", 0), other(bad)]);
            assert_eq!((names(&made), made.clones.len()), (vec!["e1"], 0), "{bad}");
        }
        let same = steer(&viewer("e1", 7), vec![row("e1", 0), other("https://e2.example:443/")]);
        assert_eq!(same.clones[0].replacement.host, "e2.example");
        assert_eq!(parts("http://[::1]:80/"), Some(("http", "[::1]", 80)));
        assert_eq!(parts("http://[::1]"), Some(("http", "[::1]", 80)));
    }

    #[test]
    fn many_edges_are_cut_to_a_few() {
        let rows = (1..=30).map(|number| row(&format!("e{number}"), 0)).collect();
        let made = steer(&viewer("e1", 7), rows);
        assert_eq!((made.priority.len(), names(&made)[0]), (PATHWAYS_MAX, "e1"));
        assert_eq!(made.clones.len(), PATHWAYS_MAX - 1);
    }
}
