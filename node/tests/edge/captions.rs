//! Captions: set by a maker, shown by the next playback, taken away.

use std::sync::Arc;

use fairground_types::UserId;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::clip::clip;
use super::member::{ASSET, FakeMember, MAKER};
use super::support::{Running, World, header, options, problem, start, until};

const BUYER: UserId = UserId::from_bits(11);
const VTT: &str = "WEBVTT\n\nNOTE by the maker\n\n00:00.500 --> 00:01.500 line:80%\n\
    <c.loud>Ash</c> &amp; a gouge\n\n00:01.900 --> 00:09.000\n<b>Done</b>\n";

async fn set(edge: &Running, token: &str, (language, query): (&str, &str), vtt: &str) -> Response {
    let path = format!("/v1/media/{ASSET}/captions/{language}?{query}");
    let request = edge.request(Method::PUT, &path).bearer_auth(token);
    let request = request.header("Idempotency-Key", "captions-key");
    request.header("content-type", "text/vtt").body(vtt.to_owned()).send().await.unwrap()
}

/// The multivariant playlist of a new playback, and the address below which its files are.
async fn plays(edge: &Running, revision: u32) -> (String, String) {
    let url = until("the edge follows the cluster", || async {
        let answer = edge.get(&format!("/v1/media/{ASSET}/playback")).await;
        let playback: Value = answer.json().await.ok()?;
        (playback["revision"] == revision).then(|| playback["url"].as_str().unwrap().to_owned())
    })
    .await;
    let master = until("the edge shows that revision", || async {
        let answer = edge.get(&url).await;
        if answer.status() == 200 { answer.text().await.ok() } else { None }
    })
    .await;
    (master, url.trim_end_matches("/master.m3u8").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maker_sets_captions_that_the_next_playback_shows() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    serving.member.blobs.lock().unwrap().extend(clip().blobs);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let maker = world.token(MAKER, &[]);
    let (before, old) = plays(&edge, 1).await;
    assert!(!before.contains("SUBTITLES"), "{before}");

    let english = ("en", "label=English");
    let answer = set(&edge, &maker, english, VTT).await;
    assert_eq!(answer.status(), 200);
    let document: Value = answer.json().await.unwrap();
    let row = json!({ "language": "en", "label": "English", "describesSounds": false });
    assert_eq!(document, json!({ "assetId": ASSET, "revision": 2, "captions": [row] }));
    let again: Value = set(&edge, &maker, english, VTT).await.json().await.unwrap();
    assert_eq!(again, document, "asked again, nothing is new");
    let german = ("de-AT", "label=Deutsch&describesSounds=true");
    let both: Value = set(&edge, &maker, german, VTT).await.json().await.unwrap();
    assert_eq!((&both["revision"], &both["captions"][0]["language"]), (&json!(3), &json!("de-at")));
    let listed = edge.request(Method::GET, &format!("/v1/media/{ASSET}/captions"));
    let listed: Value = listed.bearer_auth(&maker).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed, both);

    let (master, base) = plays(&edge, 3).await;
    assert!(master.contains("TYPE=SUBTITLES") && master.contains("NAME=\"English\""), "{master}");
    let playlist = edge.get(&format!("{base}/captions-en.m3u8")).await.text().await.unwrap();
    assert!(playlist.contains("captions-en/0.vtt"), "{playlist}");
    let segment = edge.get(&format!("{base}/captions-en/0.vtt")).await;
    assert_eq!(header(&segment, "content-type"), "text/vtt");
    let text = segment.text().await.unwrap();
    assert!(text.contains("\nAsh &amp; a gouge\n") && !text.contains("NOTE"), "{text}");
    assert!(text.contains("00:00:01.900 --> 00:00:02.000\n<b>Done</b>"), "cut: {text}");
    assert_eq!(edge.get(&format!("{old}/c360.m3u8")).await.status(), 200, "who plays goes on");

    let path = format!("/v1/media/{ASSET}/captions/en");
    let remove = || {
        let request = edge.request(Method::DELETE, &path).bearer_auth(&maker);
        request.header("Idempotency-Key", "captions-away").send()
    };
    assert_eq!(remove().await.unwrap().status(), 204);
    assert_eq!(remove().await.unwrap().status(), 204, "there are none");
    let (master, base) = plays(&edge, 4).await;
    assert!(master.contains("Deutsch") && !master.contains("English"), "{master}");
    assert_eq!(edge.get(&format!("{base}/captions-en/0.vtt")).await.status(), 404);
    edge.stop().await;
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn captions_that_cannot_be_shown_are_refused_and_nothing_changes() {
    let world = Arc::new(World::new());
    let serving = FakeMember::serve(&world, &[BUYER]);
    serving.member.blobs.lock().unwrap().extend(clip().blobs);
    let dir = world.folder(std::slice::from_ref(&serving.address));
    let edge = start(options(dir.path())).await;
    let maker = world.token(MAKER, &[]);
    plays(&edge, 1).await;
    let late = "WEBVTT\n\n00:05.000 --> 00:06.000\nafter the end\n";
    let long = format!("WEBVTT\n\n{}", "NOTE\n\n".repeat(40_000));
    let label = "label=English";
    for ((language, query), vtt, expected) in [
        (("english", label), VTT, (400, "VALIDATION_FAILED")),
        (("en", "label="), VTT, (400, "VALIDATION_FAILED")),
        (("en", "label=%22"), VTT, (400, "VALIDATION_FAILED")),
        (("en", ""), VTT, (400, "VALIDATION_FAILED")),
        (("en", label), "1\n00:00.000 --> 00:01.000\nSubRip\n", (422, "MEDIA_REJECTED")),
        (("en", label), late, (422, "MEDIA_REJECTED")),
        (("en", label), &long, (413, "BODY_TOO_LARGE")),
    ] {
        let (status, body) = problem(set(&edge, &maker, (language, query), vtt).await).await;
        assert_eq!((status, body["code"].as_str().unwrap()), expected, "{language} {query}");
    }
    let stranger = world.token(BUYER, &[]);
    let (status, _) = problem(set(&edge, &stranger, ("en", label), VTT).await).await;
    assert!([403, 404].contains(&status), "{status}");
    let (status, _) = problem(set(&edge, "", ("en", label), VTT).await).await;
    assert_eq!(status, 401);
    assert_eq!(plays(&edge, 1).await.0.matches("SUBTITLES").count(), 0);
    edge.stop().await;
    serving.stop().await;
}
