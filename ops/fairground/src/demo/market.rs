//! What people do in the demo market: become makers, publish, offer, bid, pay, ship.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Answer, Client, text_at, until};
use super::clip::SourceClip;

/// Everybody offers, bids and pays in this currency.
pub(crate) const CURRENCY: &str = "EUR";

/// A story that waits or is listed.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) story: String,
    pub(crate) asset: String,
}

/// An auction and the bid that opened it.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) auction: String,
    pub(crate) bid: String,
}

/// Where an account of the demo gets its mail.
pub(crate) fn address_of(handle: &str) -> String {
    format!("{handle}@market.example")
}

/// Signs a new account in and gives it its handle.
pub(crate) async fn account(edge: &str, inbox: &str, handle: &str) -> anyhow::Result<Client> {
    let mut client = Client::new(edge)?;
    client
        .sign_in(inbox, &address_of(handle))
        .await
        .with_context(|| format!("{handle} could not sign in"))?;
    let named = client
        .request(Method::PUT, "/v1/users/me/handle")
        .header("Idempotency-Key", uuid::Uuid::new_v4().to_string())
        .json(&json!({"handle": handle}))
        .send()
        .await?;
    if !named.status().is_success() {
        bail!("{handle} got no handle: {}", named.text().await?);
    }
    Ok(client)
}

/// Signs a maker in.
pub(crate) async fn maker(edge: &str, inbox: &str, handle: &str) -> anyhow::Result<Client> {
    let client = account(edge, inbox, handle).await?;
    client.post("/v1/users/me/maker", &json!({})).await?;
    // The duty is in the next access token.
    let mut again = Client::new(edge)?;
    again.sign_in(inbox, &address_of(handle)).await?;
    Ok(again)
}

/// Uploads the clip; answers the asset.
pub(crate) async fn upload(maker: &Client, clip: &SourceClip) -> anyhow::Result<String> {
    let bytes = std::fs::read(&clip.file)
        .with_context(|| format!("failed to read {}", clip.file.display()))?;
    maker.upload(&clip.name, &bytes).await
}

/// What is known of an asset's transcoding.
pub(crate) async fn media(maker: &Client, asset: &str) -> anyhow::Result<Value> {
    maker.get(&format!("/v1/media/{asset}")).await
}

/// Waits until an asset has a whole revision with `codec`; of a beginning no story can be made.
pub(crate) async fn wait_for_codec(
    maker: &Client,
    asset: &str,
    codec: &str,
    patience: Duration,
    mut progress: impl FnMut(&Value),
) -> anyhow::Result<Value> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let state = media(maker, asset).await?;
        progress(&state);
        if state["state"] == "failed" {
            bail!("the clip failed: {state}");
        }
        let has = state["codecs"]
            .as_array()
            .is_some_and(|codecs| codecs.iter().any(|found| found == codec));
        if has && state["isGrowing"] == false {
            return Ok(state);
        }
        if tokio::time::Instant::now() > deadline {
            bail!("no {codec} revision in {patience:?}: {state}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Drafts, submits and gets a story approved; answers it listed.
pub(crate) async fn list_story(
    maker: &Client,
    admin: &Client,
    asset: &str,
    title: &str,
    minimum_minor: u64,
) -> anyhow::Result<Listing> {
    let draft = json!({
        "title": title,
        "shortDescription": "Made by hand, once.",
        "category": "craft",
        "overview": "One piece, made by hand. The video shows how it came to be, from the raw material to the finished surface.",
        "clips": [{"assetId": asset, "label": "how it is made"}],
        "minimumOffer": {"amountMinor": minimum_minor, "currency": CURRENCY},
        "publishWhenApproved": true,
    });
    let story = text_at(&maker.post("/v1/stories", &draft).await?, "storyId")?;
    maker.post(&format!("/v1/stories/{story}/submit"), &json!({"attestation": true})).await?;
    admin.post(&format!("/v1/admin/stories/{story}/approve"), &json!({})).await?;
    until("the listing at the edge", Duration::from_secs(10), || async {
        let found = maker.get(&format!("/v1/stories/{story}")).await?;
        Ok((found["state"] == "listed").then_some(()))
    })
    .await?;
    Ok(Listing { story, asset: asset.to_owned() })
}

/// Makes the offer that opens the auction; answers the auction.
pub(crate) async fn open_auction(
    buyer: &Client,
    story: &str,
    minor: u64,
) -> anyhow::Result<Opened> {
    let body = json!({"amountMinor": minor, "currency": CURRENCY});
    let answer = buyer
        .post_patiently(&format!("/v1/stories/{story}/offers"), &body, Some(10))
        .await?
        .ok()?;
    Ok(Opened { auction: text_at(&answer, "auctionId")?, bid: text_at(&answer, "bidId")? })
}

/// Sends a bid under `key`.
pub(crate) async fn bid(
    buyer: &Client,
    auction: &str,
    minor: u64,
    key: &str,
    wait: u64,
) -> anyhow::Result<Answer> {
    let body = json!({"amountMinor": minor, "currency": CURRENCY});
    buyer.post_with(&format!("/v1/auctions/{auction}/bids"), &body, key, Some(wait)).await
}

/// Pays a lock on the provider's page, as a browser would.
pub(crate) async fn pay(buyer: &Client, lock: &str) -> anyhow::Result<()> {
    let started = buyer.post(&format!("/v1/sale-locks/{lock}/checkout"), &json!({})).await?;
    let url = match started["url"].as_str() {
        Some(url) => url.to_owned(),
        None => {
            until("the checkout session", Duration::from_secs(20), || async {
                let locks = buyer.get("/v1/users/me/payments").await?;
                let own = locks["locks"]
                    .as_array()
                    .and_then(|all| all.iter().find(|row| row["saleLockId"] == lock).cloned());
                Ok(own.and_then(|row| row["checkoutUrl"].as_str().map(str::to_owned)))
            })
            .await?
        }
    };
    let page = Client::new("")?;
    let shown = page.request(Method::GET, &url).send().await?;
    if !shown.status().is_success() {
        bail!("the payment page answered {}", shown.status());
    }
    let form = [("card", "4242 4242 4242 4242"), ("action", "pay")];
    let paid = page.request(Method::POST, &url).form(&form).send().await?;
    if !(paid.status().is_redirection() || paid.status().is_success()) {
        bail!("the payment page answered {}: {}", paid.status(), paid.text().await?);
    }
    Ok(())
}

/// The first open lock of a buyer.
pub(crate) async fn wait_for_lock(buyer: &Client, patience: Duration) -> anyhow::Result<String> {
    until("the sale lock", patience, || async {
        let answer = buyer.get("/v1/users/me/payments").await?;
        let lock = answer["locks"].as_array().and_then(|locks| locks.first().cloned());
        Ok(lock.and_then(|lock| lock["saleLockId"].as_str().map(str::to_owned)))
    })
    .await
}

/// The one order of a buyer, once it exists.
pub(crate) async fn wait_for_order(buyer: &Client, patience: Duration) -> anyhow::Result<Value> {
    until("the order", patience, || async {
        let answer = buyer.get("/v1/orders").await?;
        Ok(answer["orders"].as_array().and_then(|orders| orders.first().cloned()))
    })
    .await
}

/// Writes the served resources of one rendition to `file`, init segment first.
pub(crate) async fn fetch_rendition(
    edge: &Client,
    playlist_url: &str,
    rendition: &str,
    file: &Path,
) -> anyhow::Result<usize> {
    let root = playlist_url.rsplit_once('/').map_or(playlist_url, |(root, _)| root);
    let playlist = text(edge, &format!("{root}/{rendition}.m3u8")).await?;
    let init = playlist
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-MAP:URI=\"")?.split('"').next())
        .context("the media playlist has no EXT-X-MAP")?;
    let mut bytes = fetch(edge, &format!("{root}/{init}")).await?;
    let segments: Vec<&str> =
        playlist.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    for segment in &segments {
        bytes.extend_from_slice(&fetch(edge, &format!("{root}/{segment}")).await?);
    }
    std::fs::write(file, bytes)?;
    Ok(segments.len())
}

/// A media playlist that carries video.
pub(crate) struct VideoPlaylist {
    /// Its name without suffix.
    pub(crate) name: String,
    /// Thousandths of frames per second.
    pub(crate) rate: u64,
}

/// The media playlists of a multivariant playlist that carry video.
pub(crate) async fn video_renditions(
    edge: &Client,
    playlist_url: &str,
) -> anyhow::Result<Vec<VideoPlaylist>> {
    let multivariant = text(edge, playlist_url).await?;
    let mut lines = multivariant.lines();
    let mut found: Vec<VideoPlaylist> = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(attributes) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            let uri = lines.next().context("a variant without a URI")?;
            let name = uri.trim_end_matches(".m3u8").to_owned();
            // Three decimals, always.
            let rate = attributes
                .split(',')
                .find_map(|attribute| attribute.strip_prefix("FRAME-RATE="))
                .context("a variant without a frame rate")?
                .replace('.', "")
                .parse()?;
            if found.iter().all(|playlist| playlist.name != name) {
                found.push(VideoPlaylist { name, rate });
            }
        }
    }
    if found.is_empty() {
        bail!("the multivariant playlist has no variant: {multivariant}");
    }
    Ok(found)
}

async fn text(edge: &Client, path: &str) -> anyhow::Result<String> {
    Ok(String::from_utf8(fetch(edge, path).await?)?)
}

async fn fetch(edge: &Client, path: &str) -> anyhow::Result<Vec<u8>> {
    let answer = edge.request(Method::GET, path).send().await?;
    if !answer.status().is_success() {
        bail!("{path} answered {}", answer.status());
    }
    Ok(answer.bytes().await?.to_vec())
}
