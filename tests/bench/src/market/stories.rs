//! Makers with one clip each, stories that show it, auctions on them: all by the API, as people do it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use fairground_kit::answer::text_at;
use fairground_kit::place::find;
use fairground_kit::wait::{Patience, until};
use fairground_load::http::Target;
use fairground_load::report;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::OPENING_MINOR;
use super::api::Api;
use super::cluster::Cluster;
use super::people::{self, Person, in_parallel};
use crate::process::{Account, Program};

/// Stories that are given to one maker; the market allows a thousand.
const STORIES_EACH: usize = 900;
/// Bytes of one request of an upload.
const CHUNK: usize = 1024 * 1024;

/// A maker whose clip plays.
pub(crate) struct Maker {
    person: Person,
    asset: String,
    stories: usize,
}

/// Two seconds of picture and sound.
pub(crate) async fn clip(dir: &Path) -> anyhow::Result<PathBuf> {
    source(dir, "clip.mp4", "testsrc2=size=320x180:rate=25", 2).await
}

/// So many seconds of a picture that ffmpeg makes, and of sound.
pub(crate) async fn source(
    dir: &Path,
    name: &str,
    picture: &str,
    seconds: u64,
) -> anyhow::Result<PathBuf> {
    let file = dir.join(name);
    let ffmpeg = find("ffmpeg").context("ffmpeg is not installed; `make setup` installs it")?;
    let (text, seconds) = (file.to_string_lossy().into_owned(), seconds.to_string());
    let picture = ["-f", "lavfi", "-t", &seconds, "-i", picture];
    let sound = ["-f", "lavfi", "-t", &seconds, "-i", "sine=frequency=330:sample_rate=48000"];
    let coded = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
    let rate = ["-b:v", "30M", "-maxrate", "30M", "-bufsize", "30M"];
    let heard = ["-c:a", "aac", "-ac", "2", "-shortest"];
    let quiet = ["-nostdin", "-hide_banner", "-v", "error", "-y"];
    let arguments = [&quiet[..], &picture, &sound, &coded, &rate, &heard, &[&text]].concat();
    Program::new("ffmpeg", Account::Own, &ffmpeg, &arguments).run().await?;
    Ok(file)
}

/// Makes as many makers as `count` more stories need.
pub(crate) async fn makers(
    cluster: &Cluster,
    makers: &mut Vec<Maker>,
    clip: &Path,
    count: usize,
) -> anyhow::Result<()> {
    let room: usize = makers.iter().map(|maker| STORIES_EACH - maker.stories).sum();
    let missing = count.saturating_sub(room).div_ceil(STORIES_EACH);
    let edge = cluster.edges().into_iter().next().context("no edge")?;
    let bytes = Arc::new(std::fs::read(clip)?);
    let first = makers.len();
    let made = in_parallel(missing, |number| {
        let (edge, inbox) = (edge.clone(), cluster.inbox.clone());
        let bytes = Arc::clone(&bytes);
        async move { make_maker(&edge, &inbox, first + number + 1, &bytes).await }
    });
    makers.extend(made.await?);
    Ok(())
}

/// Clips whose playlists and segments have the sizes that viewers meet: four minutes of little, and
/// four seconds of what no encoder can make small, at the highest rung.
pub(crate) async fn sizes(dir: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let long = "testsrc2=size=320x180:rate=10";
    let noise = "testsrc2=size=1920x1080:rate=60,noise=alls=60:allf=t";
    let (long, noise) =
        (source(dir, "long.mp4", long, 240).await?, source(dir, "noise.mp4", noise, 4).await?);
    Ok([long, noise])
}

/// A maker of its own for one clip; answers the multivariant playlist of a playback.
pub(crate) async fn publish(
    cluster: &Cluster,
    number: usize,
    clip: &Path,
) -> anyhow::Result<String> {
    let edge = cluster.edges().into_iter().next().context("no edge")?;
    let bytes = std::fs::read(clip)?;
    let maker = make_maker(&edge, &cluster.inbox, number, &bytes).await?;
    let mut api = Api::new(&edge, Some(&maker.person.authorization()));
    let playback = api.get(&format!("/v1/media/{}/playback", maker.asset)).await?;
    text_at(&playback, "url")
}

/// Signs a new maker in.
pub(crate) async fn join_maker(
    edge: &Target,
    inbox: &Target,
    number: usize,
) -> anyhow::Result<Person> {
    let handle = format!("maker-{number}");
    let person = people::join(edge, inbox, &handle).await?;
    let mut api = Api::new(edge, Some(&person.authorization()));
    api.post("/v1/users/me/maker", &json!({})).await?;
    // The duty is in the next access token.
    people::sign_in(edge, inbox, &format!("{handle}@market.example")).await
}

async fn make_maker(
    edge: &Target,
    inbox: &Target,
    number: usize,
    clip: &[u8],
) -> anyhow::Result<Maker> {
    let person = join_maker(edge, inbox, number).await?;
    let mut api = Api::new(edge, Some(&person.authorization()));
    let asset = upload(&mut api, clip).await?.asset;
    // Captions can be set when the job is over: nothing is encoded while something is measured.
    let patience = Patience::new("playing the clip", Duration::from_secs(300));
    loop {
        let state = api.get(&format!("/v1/media/{asset}")).await?;
        if state["takesCaptions"] == true {
            break;
        }
        patience.rest().await?;
    }
    Ok(Maker { person, asset, stories: 0 })
}

/// An upload that is over.
pub(crate) struct Uploaded {
    pub(crate) asset: String,
    /// Just before its last piece was sent.
    pub(crate) ended_at: Instant,
}

/// Uploads by tus 1.0.
pub(crate) async fn upload(api: &mut Api, bytes: &[u8]) -> anyhow::Result<Uploaded> {
    let body = json!({"filename": "clip.mp4", "size": bytes.len()});
    let url = text_at(&api.post("/v1/media/uploadSession", &body).await?, "uploadUrl")?;
    let path = url.find("/v1/").and_then(|at| url.get(at..)).context("an odd uploadUrl")?;
    let mut offset = 0;
    for chunk in bytes.chunks(CHUNK) {
        let headers = format!(
            "tus-resumable: 1.0.0\r\nupload-offset: {offset}\r\n\
             content-type: application/offset+octet-stream\r\n"
        );
        let ended_at = Instant::now();
        let reply = api.send("PATCH", path, &headers, chunk).await?;
        if let Some(asset) = reply.asset {
            return Ok(Uploaded { asset, ended_at });
        }
        if !(200..300).contains(&reply.status) {
            bail!("the upload was answered {}: {}", reply.status, reply.body);
        }
        offset += chunk.len();
    }
    bail!("the upload ended without an asset")
}

/// Drafts, submits and approves so many stories; answers them.
pub(crate) async fn list(
    cluster: &Cluster,
    makers: &mut [Maker],
    admin: &Person,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let began = Instant::now();
    let edges = cluster.edges();
    let edge = edges.first().context("no edge")?;
    let member = cluster.members().into_iter().next().context("no member")?;
    let mut owners = Vec::with_capacity(count);
    for maker in makers.iter_mut() {
        maker.person.freshen(edge).await?;
        let taken = (count - owners.len()).min(STORIES_EACH - maker.stories);
        maker.stories += taken;
        owners.extend((0..taken).map(|_| (maker.person.authorization(), maker.asset.clone())));
    }
    let admin = admin.authorization();
    let stories = in_parallel(count, |number| {
        let owner = owners.get(number).cloned();
        let edge = edges.get(number % edges.len().max(1)).cloned();
        let (member, admin) = (member.clone(), admin.clone());
        async move {
            let ((authorization, asset), edge) = owner.zip(edge).context("no maker has room")?;
            let mut maker = Api::new(&edge, Some(&authorization));
            let draft = json!({
                "title": format!("Walnut bowl, number {number}"),
                "shortDescription": "Made by hand, once.",
                "category": "craft",
                "overview": "One piece, made by hand. The video shows how it came to be, from the raw material to the finished surface.",
                "clips": [{"assetId": asset, "label": "how it is made"}],
                "minimumOffer": {"amountMinor": OPENING_MINOR, "currency": "EUR"},
                "publishWhenApproved": true,
            });
            let story = text_at(&maker.post("/v1/stories", &draft).await?, "storyId")?;
            let path = format!("/v1/stories/{story}/submit");
            maker.post(&path, &json!({"attestation": true})).await?;
            let path = format!("/v1/admin/stories/{story}/approve");
            Api::new(&member, Some(&admin)).post(&path, &json!({})).await?;
            Ok(story)
        }
    });
    let stories = stories.await?;
    if let Some(last) = stories.last() {
        for edge in &edges {
            let mut api = Api::new(edge, None);
            until("the stories at every edge", Duration::from_secs(60), async || {
                let found = api.get(&format!("/v1/stories/{last}")).await?;
                Ok((found["state"] == "listed").then_some(()))
            })
            .await?;
        }
    }
    if count > 100 {
        report::note(&format!("{count} stories listed in {:?}", began.elapsed()));
    }
    Ok(stories)
}

/// Opens an auction on each story, the buyers and the edges in turn; over `spread`, or at once.
pub(crate) async fn open(
    cluster: &Cluster,
    buyers: &[Person],
    stories: Vec<String>,
    spread: Option<Duration>,
) -> anyhow::Result<Vec<String>> {
    let began = Instant::now();
    let (edges, count) = (cluster.edges(), stories.len());
    let opened = in_parallel(count, |number| {
        let edge = edges.get(number % edges.len().max(1)).cloned();
        let buyer = buyers.get(number % buyers.len().max(1)).map(Person::authorization);
        let story = stories.get(number).cloned();
        let step = spread.map(|spread| spread / u32::try_from(count).unwrap_or(u32::MAX));
        let due = step.map(|step| began + step * u32::try_from(number).unwrap_or(u32::MAX));
        async move {
            let (edge, buyer) = edge.zip(buyer).context("nobody to open it")?;
            let story = story.context("no story")?;
            if let Some(due) = due {
                sleep_until(due).await;
            }
            let body = json!({"amountMinor": OPENING_MINOR, "currency": "EUR"});
            let path = format!("/v1/stories/{story}/offers");
            let answer = Api::new(&edge, Some(&buyer)).post(&path, &body).await?;
            text_at(&answer, "auctionId")
        }
    });
    let opened = opened.await?;
    if count > 100 {
        report::note(&format!("{count} auctions opened in {:?}", began.elapsed()));
    }
    Ok(opened)
}
