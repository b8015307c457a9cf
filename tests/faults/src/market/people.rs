//! Accounts that sign in by mail, a maker with one clip, listed stories, auctions on them.
//!
//! Everything goes by the API, as people do it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use fairground_kit::answer::{new_code, text_at};
use fairground_kit::place::find;
use fairground_kit::wait::{Patience, until};
use serde_json::json;
use tokio::time::Duration;

use super::api::Api;
use super::{Market, PATIENCE};
use crate::process::run;

/// The offer that opens an auction, in minor units.
pub const OPENING_MINOR: u64 = 100;
const ADMIN: &str = "admin@market.example";

/// An account that is signed in.
#[derive(Clone, Debug)]
pub struct Person {
    /// Its id.
    pub user: String,
    /// Its client; `at` sends it to another edge.
    pub api: Api,
    address: String,
}

impl Person {
    /// Signs in again, after the clock has moved past the token's life.
    ///
    /// # Errors
    /// When that fails.
    pub async fn sign_in_again(&mut self, edge: &str, inbox: &str) -> anyhow::Result<()> {
        *self = sign_in(edge, inbox, &self.address).await?;
        Ok(())
    }
}

/// Signs an account in by the code in its mail.
///
/// # Errors
/// When that fails.
pub async fn sign_in(edge: &str, inbox: &str, address: &str) -> anyhow::Result<Person> {
    let (api, mail) = (Api::new(edge)?, Api::new(inbox)?);
    let query = format!("/mail?to={address}");
    let known = mail.get(&query).await?["messages"].as_array().map_or(0, Vec::len);
    let request = json!({"identifier": address, "channel": "email"});
    api.post("/v1/auth/otp/request", &request).await?;
    let patience = Patience::new("the mail with the code", PATIENCE);
    let code = loop {
        let found = mail.get(&query).await?;
        if let Some(code) = new_code(&found, known) {
            break code;
        }
        patience.rest().await?;
    };
    let typed = json!({"identifier": address, "code": code});
    let tokens = api.post("/v1/auth/otp/verify", &typed).await?;
    let token = text_at(&tokens, "accessToken")?;
    let api = api.with_authorization(&format!("Bearer {token}"));
    Ok(Person { user: text_at(&tokens["user"], "userId")?, api, address: address.to_owned() })
}

/// Makes an account with a handle.
///
/// # Errors
/// When that fails.
pub async fn join(edge: &str, inbox: &str, handle: &str) -> anyhow::Result<Person> {
    let person = sign_in(edge, inbox, &format!("{handle}@market.example"))
        .await
        .with_context(|| format!("{handle} could not sign in"))?;
    person.api.command("PUT", "/v1/users/me/handle", &json!({"handle": handle})).await?;
    Ok(person)
}

/// Who offers pieces: one maker with one clip, and who approves.
#[derive(Clone, Debug)]
pub struct Maker {
    person: Person,
    admin: Person,
    asset: String,
    stories: usize,
}

/// Whether clips can be made here; why not.
///
/// # Errors
/// When ffmpeg is not installed.
pub fn can_make_clips() -> anyhow::Result<PathBuf> {
    find("ffmpeg").context("ffmpeg is not installed")
}

/// One second of picture and sound.
async fn clip(dir: &Path) -> anyhow::Result<Vec<u8>> {
    let file = dir.join("clip.mp4");
    let text = file.to_string_lossy().into_owned();
    let picture = ["-f", "lavfi", "-t", "1", "-i", "testsrc2=size=320x180:rate=25"];
    let sound = ["-f", "lavfi", "-t", "1", "-i", "sine=frequency=330:sample_rate=48000"];
    let coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-shortest"];
    let quiet = ["-nostdin", "-hide_banner", "-v", "error", "-y"];
    let arguments = [&quiet[..], &picture, &sound, &coded, &[&text]].concat();
    run(&can_make_clips()?, &arguments).await?;
    Ok(std::fs::read(file)?)
}

impl Maker {
    /// Makes the maker and the admin, uploads the clip and waits until it plays.
    ///
    /// # Errors
    /// When that fails.
    pub async fn make(market: &Market, dir: &Path) -> anyhow::Result<Self> {
        let edge = &market.edges.first().context("no edge")?.url;
        let body = json!({
            "identifier": ADMIN, "channel": "email", "handle": "admin-1", "roles": ["admin"],
        });
        market.operator(0)?.post("/v1/cluster/accounts", &body).await?;
        let admin = sign_in(edge, &market.inbox, ADMIN).await?;
        let person = join(edge, &market.inbox, "maker-1").await?;
        person.api.post("/v1/users/me/maker", &json!({})).await?;
        let mut maker = Self { person, admin, asset: String::new(), stories: 0 };
        // The duty is in the next access token.
        maker.person.sign_in_again(edge, &market.inbox).await?;
        maker.asset = maker.person.api.upload("clip.mp4", &clip(dir).await?).await?;
        let path = format!("/v1/media/{}", maker.asset);
        until("a clip that plays", Duration::from_secs(120), async || {
            let state = maker.person.api.get(&path).await?;
            if state["state"] == "failed" {
                bail!("the clip failed: {state}");
            }
            // Captions can be set when the job is over: nothing is encoded while something is tried.
            Ok((state["takesCaptions"] == true).then_some(()))
        })
        .await?;
        Ok(maker)
    }

    /// Signs both in again.
    ///
    /// # Errors
    /// When that fails.
    pub async fn sign_in_again(&mut self, edge: &str, inbox: &str) -> anyhow::Result<()> {
        self.admin.sign_in_again(edge, inbox).await?;
        self.person.sign_in_again(edge, inbox).await
    }

    /// Lists a story and has it opened by an offer; answers the auction and the opening bid.
    ///
    /// # Errors
    /// When that fails.
    pub async fn open(&mut self, market: &Market, buyer: &Person) -> anyhow::Result<Opened> {
        self.stories += 1;
        let draft = json!({
            "title": format!("Walnut bowl, number {}", self.stories),
            "shortDescription": "Made by hand, once.",
            "category": "craft",
            "overview": "One piece, made by hand. The video shows how it came to be, from the raw material to the finished surface.",
            "clips": [{"assetId": self.asset, "label": "how it is made"}],
            "minimumOffer": {"amountMinor": OPENING_MINOR, "currency": "EUR"},
            "publishWhenApproved": true,
        });
        let maker = &self.person.api;
        let story = text_at(&maker.post("/v1/stories", &draft).await?, "storyId")?;
        let path = format!("/v1/stories/{story}/submit");
        maker.post(&path, &json!({"attestation": true})).await?;
        let member = market.members.first().context("no member")?;
        let admin = self.admin.api.at(&format!("http://{}", member.http));
        admin.post(&format!("/v1/admin/stories/{story}/approve"), &json!({})).await?;
        for edge in &market.edges {
            let api = Api::new(&edge.url)?;
            until("the story at every edge", PATIENCE, async || {
                let found = api.get(&format!("/v1/stories/{story}")).await?;
                Ok((found["state"] == "listed").then_some(()))
            })
            .await?;
        }
        let offer = json!({"amountMinor": OPENING_MINOR, "currency": "EUR"});
        let answer = buyer.api.post(&format!("/v1/stories/{story}/offers"), &offer).await?;
        let opened = Opened {
            auction: text_at(&answer, "auctionId")?,
            bid: text_at(&answer, "bidId")?,
            index: answer["logIndex"].as_u64().context("no logIndex")?,
        };
        for edge in &market.edges {
            let api = Api::new(&edge.url)?;
            until("the auction at every edge", PATIENCE, async || {
                let found = api.get(&format!("/v1/auctions/{}", opened.auction)).await?;
                Ok((found["status"] == "open").then_some(()))
            })
            .await?;
        }
        Ok(opened)
    }
}

/// An auction that takes bids.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The auction.
    pub auction: String,
    /// The bid that opened it.
    pub bid: String,
    /// The entry that opened it.
    pub index: u64,
}
