//! A sandbox market in one process: members, edges and stand-ins, and people with phones.
//!
//! It must not know a story. Read next: `fortnight.rs`.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fairground_coordinator as coordinator;
use fairground_fakes::{Fakes, FakesHandle, FakesOptions};
use fairground_node as node;
use fairground_runtime::pki;
use fairground_runtime::shutdown::Shutdown;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::demo::client::{Client, text_at, until};
use crate::demo::{clip, market};
use crate::operator::{Operator, authorization};

pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3_600);
pub(super) const PATIENCE: Duration = Duration::from_secs(40);
pub(super) const CURRENCY: &str = market::CURRENCY;
/// A sign-in that is not used for so long is over.
const SIGN_IN_IDLE: Duration = Duration::from_secs(7 * 24 * 3_600);
const CARRIERS_SECRET: &str = "fairground-test-carriers";
const STRIPE_KEY: &str = "sk_test_fairground_fakes";
const WEBHOOK_SECRET: &str = "whsec_fairground_fakes";

/// The running market; everything ends with it.
pub(super) struct Sandbox {
    pub(super) fakes: FakesHandle,
    /// Base URLs of the edges.
    pub(super) edges: Vec<String>,
    folder: TempDir,
    members: Vec<PathBuf>,
    tasks: JoinSet<anyhow::Result<()>>,
    /// Edges first.
    stops: [Shutdown; 2],
}

/// Whether a sandbox can be had here; says why not.
pub(super) fn has_tools(test: &str) -> bool {
    let found = ["/usr/bin/ffmpeg", "/usr/local/bin/ffmpeg", "/bin/ffmpeg"];
    let is_there = found.iter().any(|program| Path::new(program).exists());
    if !is_there {
        println!("skipped {test}: ffmpeg is not installed");
    }
    is_there
}

fn free_tcp() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn free_udp() -> anyhow::Result<String> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn member_options(
    folder: &Path,
    name: &str,
    fakes: &FakesHandle,
) -> anyhow::Result<coordinator::Options> {
    let secret = |file: &str, text: &str| -> anyhow::Result<Option<PathBuf>> {
        let path = folder.join(format!("{name}.{file}"));
        pki::write_private(&path, text.as_bytes())?;
        Ok(Some(path))
    };
    let http = free_tcp()?;
    let mut options = coordinator::Options {
        dir: folder.join(name),
        cluster_listen: free_udp()?,
        public_url: format!("http://{http}"),
        http_listen: http,
        sandbox: true,
        ..coordinator::Options::default()
    };
    options.raft.heartbeat = "100ms".parse()?;
    options.raft.election_min = "700ms".parse()?;
    options.raft.election_max = "1400ms".parse()?;
    options.mail.smtp_address = Some(fakes.smtp_addr.to_string());
    options.stripe.base_url = Some(fakes.stripe_url.clone());
    options.stripe.secret_key_file = secret("stripe", STRIPE_KEY)?;
    options.stripe.webhook_secret_file = secret("webhook", WEBHOOK_SECRET)?;
    options.tracking.webhook_secret_file = secret("carriers", CARRIERS_SECRET)?;
    // One clip is enough for a story here, and nobody's risk service is asked.
    options.policy.stories.clips_min = 1;
    options.policy.offers.unchecked_max_units = 10_000;
    Ok(options)
}

async fn ready(dir: &Path, tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let file = dir.join("ready.json");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !file.exists() {
        if let Some(ended) = tasks.try_join_next() {
            bail!("a daemon ended at its start: {:?}", ended?);
        }
        ensure!(tokio::time::Instant::now() < deadline, "{} is not ready", dir.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

impl Sandbox {
    /// Starts members, and two edges that take bids.
    pub(super) async fn start(members: usize) -> anyhow::Result<Self> {
        pki::install_provider();
        let mut sandbox = Self {
            fakes: Fakes::start(FakesOptions::default()).await?,
            edges: Vec::new(),
            folder: tempfile::tempdir()?,
            members: Vec::new(),
            tasks: JoinSet::new(),
            stops: [Shutdown::new(), Shutdown::new()],
        };
        for number in 1..=members {
            sandbox.add_member(&format!("m{number}")).await?;
        }
        for name in ["north", "south"] {
            sandbox.add_edge(name).await?;
        }
        for edge in &sandbox.edges {
            let client = Client::new(edge)?;
            until("edges that take bids", PATIENCE, || async {
                let listed = client.get("/v1/edges").await?;
                let rows = listed["edges"].as_array().cloned().unwrap_or_default();
                let ready = rows.iter().filter(|row| row["takesBids"] == true).count();
                Ok((ready == 2).then_some(()))
            })
            .await?;
        }
        Ok(sandbox)
    }

    async fn add_member(&mut self, name: &str) -> anyhow::Result<()> {
        let options = member_options(self.folder.path(), name, &self.fakes)?;
        let (dir, url) = (options.dir.clone(), options.public_url.clone());
        if self.members.is_empty() {
            coordinator::init(&coordinator::InitOptions { options: options.clone() })?;
            self.fakes.set_webhook_url(format!("{url}/v1/webhooks/stripe"));
        } else {
            let token = self.token("member").await?;
            coordinator::join(&coordinator::JoinOptions { options: options.clone(), token })
                .await?;
        }
        let running = coordinator::run(options, self.stops[1].clone());
        self.tasks.spawn(async move { Ok(running.await?) });
        ready(&dir, &mut self.tasks).await?;
        self.members.push(dir);
        Ok(())
    }

    async fn add_edge(&mut self, name: &str) -> anyhow::Result<()> {
        let (dir, http) = (self.folder.path().join(name), free_tcp()?);
        let url = format!("http://{http}");
        let token = self.token("edge").await?.parse()?;
        let joining = node::JoinOptions {
            token,
            dir: dir.clone(),
            name: name.to_owned(),
            public_url: url.clone(),
            takes_bids: true,
        };
        node::join(joining).await?;
        let mut options =
            node::Options { dir: dir.clone(), http_listen: http, ..node::Options::default() };
        options.media.sandbox = node::Sandbox::Off;
        options.transcode.enabled = self.edges.is_empty();
        // Both families are shown, whatever the clip gains by the second.
        options.transcode.av1_keeps_all = true;
        let running = node::run(options, self.stops[0].clone());
        self.tasks.spawn(async move { Ok(running.await?) });
        ready(&dir, &mut self.tasks).await?;
        self.edges.push(url);
        Ok(())
    }

    async fn token(&self, role: &str) -> anyhow::Result<String> {
        let body = json!({"role": role, "region": "eu", "ttlMs": 600_000});
        let operator = self.operator(0)?;
        let made = until("a join token", PATIENCE, || async {
            Ok(Some(operator.post("/v1/cluster/tokens", &body).await?))
        });
        text_at(&made.await?, "token")
    }

    /// The folder of the first member, as its operator knows it.
    pub(super) fn member_dir(&self) -> anyhow::Result<PathBuf> {
        self.members.first().cloned().context("no member")
    }

    fn operator(&self, member: usize) -> anyhow::Result<Operator> {
        Operator::at(self.members.get(member).context("no such member")?)
    }

    /// A phone at the first member with the operator's key.
    pub(super) fn console(&self) -> anyhow::Result<Client> {
        let dir = self.member_dir()?;
        Ok(Client::new(&self.member_url()?)?.with_token(authorization(&dir)?))
    }

    fn member_url(&self) -> anyhow::Result<String> {
        let ready = std::fs::read(self.member_dir()?.join("ready.json"))?;
        let ready: Value = serde_json::from_slice(&ready)?;
        Ok(format!("http://{}", text_at(&ready, "httpAddr")?))
    }

    /// Signs an account in at an edge and gives it a handle.
    pub(super) async fn person(&self, edge: usize, name: &str) -> anyhow::Result<Person> {
        let edge = self.edges.get(edge).context("no such edge")?;
        let mut person = Person::sign_in(edge, &self.fakes.inbox_url, name).await?;
        person.put("/v1/users/me/handle", &json!({"handle": name})).await?;
        person.renew().await?;
        Ok(person)
    }

    /// Signs a maker in, who can be paid out.
    pub(super) async fn maker(&self, edge: usize, name: &str) -> anyhow::Result<Person> {
        let mut maker = self.person(edge, name).await?;
        maker.post("/v1/users/me/maker", &json!({})).await?;
        maker.renew().await?;
        let link = maker.post("/v1/capabilities/payout-link", &json!({})).await?;
        let url = text_at(&link, "url")?;
        let account = url.split('/').find(|part| part.starts_with("acct_"));
        let account = account.context("the link names no account")?;
        let told = self.fakes_control(Method::PUT, &format!("accounts/{account}"));
        let told = told.json(&json!({"ready": true})).send().await?;
        ensure!(told.status().is_success(), "the stand-in knows no {account}");
        Ok(maker)
    }

    /// Gives an account a duty and signs it in at the first member.
    pub(super) async fn staff(&self, name: &str, role: &str) -> anyhow::Result<Person> {
        let body = json!({"identifier": address(name), "channel": "email", "handle": name,
            "roles": [role]});
        self.operator(0)?.post("/v1/cluster/accounts", &body).await?;
        Person::sign_in(&self.member_url()?, &self.fakes.inbox_url, name).await
    }

    /// A call of the stand-in's own control.
    pub(super) fn fakes_control(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/_control/{path}", self.fakes.stripe_url);
        reqwest::Client::new().request(method, url)
    }

    /// Moves the clock over HTTP, waits until both edges know it, and renews everybody's token.
    pub(super) async fn advance(
        &self,
        by: Duration,
        people: &mut [&mut Person],
    ) -> anyhow::Result<()> {
        let body = json!({"byMs": u64::try_from(by.as_millis())?, "reason": "a story"});
        let moved = self.operator(0)?.post("/v1/admin/clock/advance", &body).await?;
        let now = text_at(&moved, "now")?;
        let second = |text: &str| text.get(..19).unwrap_or_default().to_owned();
        for edge in &self.edges {
            let client = Client::new(edge)?;
            until("an edge that knows the time", PATIENCE, || async {
                let time = client.get("/v1/time").await?;
                let known = text_at(&time, "serverTime")?;
                Ok((!time["latest"].is_null() && second(&known) >= second(&now)).then_some(()))
            })
            .await?;
        }
        for person in people {
            if by < SIGN_IN_IDLE {
                person.renew().await?;
            } else {
                person.sign_in_again(&self.fakes.inbox_url).await?;
            }
        }
        Ok(())
    }

    /// Coordinator time, as an edge tells it.
    pub(super) async fn now(&self) -> anyhow::Result<String> {
        let edge = self.edges.first().context("no edge")?;
        text_at(&Client::new(edge)?.get("/v1/time").await?, "serverTime")
    }

    /// A carrier's source tells of a parcel.
    pub(super) async fn carrier_says(
        &self,
        number: &str,
        (status, at): (&str, &str),
    ) -> anyhow::Result<()> {
        let event = json!({"id": format!("{number} {status}"), "at": at, "status": status});
        let body = json!({"number": number, "events": [event]}).to_string();
        let signature =
            fairground_runtime::secret::mac_hex(CARRIERS_SECRET.as_bytes(), body.as_bytes());
        let url = format!("{}/v1/webhooks/tracking/ups", self.member_url()?);
        let request = reqwest::Client::new().post(url).header("fairground-signature", signature);
        let answer = request.body(body).send().await?;
        ensure!(answer.status().is_success(), "the event was answered {}", answer.status());
        Ok(())
    }

    /// Draws a clip, uploads it and waits until it can be played.
    pub(super) async fn clip(&self, owner: &Person) -> anyhow::Result<String> {
        let drawn = clip::prepare(self.folder.path(), None, 0, 1).await?;
        let asset = market::upload(&owner.client, &drawn).await?;
        let patience = Duration::from_secs(120);
        market::wait_for_codec(&owner.client, &asset, "h264", patience, |_| {}).await?;
        Ok(asset)
    }

    /// No member sees a broken invariant, all are level, and every ledger sums to zero.
    pub(super) async fn is_whole(&self) -> anyhow::Result<()> {
        let mut digests = Vec::new();
        for member in 0..self.members.len() {
            let operator = self.operator(member)?;
            let found = operator.get("/v1/admin/violations").await?;
            ensure!(found["violations"] == json!([]), "{found}");
            let status = until("an outbox that is done", PATIENCE, || async {
                let status = operator.get("/v1/admin/status").await?;
                let left = status["outbox"].as_object().map_or(0, serde_json::Map::len);
                ensure!(left == 0, "the outbox holds {}", status["outbox"]);
                Ok(Some(status))
            })
            .await?;
            let sums = status["ledger"].as_object().cloned().unwrap_or_default();
            ensure!(sums.values().all(|sum| *sum == 0), "{sums:?}");
            digests.push(operator);
        }
        until("equal digests", PATIENCE, || async {
            let mut seen = Vec::new();
            for operator in &digests {
                seen.push(operator.get("/v1/admin/digest").await?);
            }
            Ok(seen.iter().all(|row| Some(row) == seen.first()).then_some(()))
        })
        .await
    }

    /// Ends everything in order, edges first.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        for stop in &self.stops {
            stop.trigger();
        }
        let ended = tokio::time::timeout(PATIENCE, async {
            while let Some(ended) = self.tasks.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        });
        ended.await.context("something did not end")??;
        self.fakes.shutdown().await;
        Ok(())
    }
}

/// The address of an account of a story.
pub(super) fn address(name: &str) -> String {
    format!("{name}@market.example")
}

/// Somebody with a phone.
pub(super) struct Person {
    pub(super) client: Client,
    pub(super) user: String,
    name: String,
    refresh: String,
}

impl Person {
    async fn sign_in(base: &str, inbox: &str, name: &str) -> anyhow::Result<Self> {
        let mut client = Client::new(base)?;
        let tokens = client.sign_in(inbox, &address(name)).await?;
        let user = text_at(&tokens["user"], "userId")?;
        let refresh = text_at(&tokens, "refreshToken")?;
        Ok(Self { client, user, name: name.to_owned(), refresh })
    }

    async fn sign_in_again(&mut self, inbox: &str) -> anyhow::Result<()> {
        let base = self.client.base().to_owned();
        *self = Self::sign_in(&base, inbox, &self.name).await?;
        Ok(())
    }

    /// Exchanges the tokens for new ones: a jump of the clock ends an access token.
    async fn renew(&mut self) -> anyhow::Result<()> {
        let tokens = self.client.post("/v1/auth/refresh", &self.refresh_body()).await?;
        self.refresh = text_at(&tokens, "refreshToken")?;
        let token = format!("Bearer {}", text_at(&tokens, "accessToken")?);
        self.client = self.client.clone().with_token(token);
        Ok(())
    }

    /// What exchanges the refresh token.
    pub(super) fn refresh_body(&self) -> Value {
        json!({"refreshToken": self.refresh})
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.client.get(path).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.client.post(path, body).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.client.request(Method::PUT, path);
        let request = request.header("Idempotency-Key", uuid::Uuid::new_v4().to_string());
        let answer = request.json(body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "PUT {path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Sends a picture; answers what names it.
    pub(super) async fn picture(&self, path: &str, bytes: &[u8]) -> anyhow::Result<String> {
        let request = self.client.request(Method::POST, path);
        let request = request.header("Idempotency-Key", uuid::Uuid::new_v4().to_string());
        let request = request.header("Content-Type", "application/octet-stream");
        let answer = request.body(bytes.to_vec()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "POST {path}: {status} {text}");
        text_at(&serde_json::from_str(&text)?, "image")
    }

    /// The code that a request is refused with.
    pub(super) async fn refused(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        let answer = self.client.post_patiently(path, body, None).await?;
        ensure!(!answer.status.is_success(), "POST {path} was not refused: {}", answer.body);
        text_at(&answer.body, "code")
    }

    /// Asks until the answer is as wanted.
    pub(super) async fn sees(
        &self,
        path: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let last = std::cell::RefCell::new(Value::Null);
        let found = until(path, PATIENCE, || async {
            let row = self.get(path).await?;
            let is_so = is_so(&row);
            last.replace(row.clone());
            Ok(is_so.then_some(row))
        });
        found.await.with_context(|| format!("last seen: {}", last.borrow()))
    }
}

/// A piece that was sold and paid.
pub(super) struct Sale {
    pub(super) auction: String,
    pub(super) lock: String,
    pub(super) order: String,
}

/// Lists a piece, sells it by the maker's acceptance, and pays it.
pub(super) async fn sell(
    sandbox: &Sandbox,
    (maker, buyer): (&Person, &Person),
    (asset, title, minor): (&str, &str, u64),
) -> anyhow::Result<Sale> {
    let listing =
        market::list_story(&maker.client, &sandbox.console()?, asset, title, minor).await?;
    let story = format!("/v1/stories/{}", listing.story);
    buyer.sees(&story, |row| row["state"] == "listed").await?;
    let opened = market::open_auction(&buyer.client, &listing.story, minor).await?;
    let accept = format!("/v1/auctions/{}/accept", opened.auction);
    let accepted = maker.post(&accept, &json!({"expectedBidId": opened.bid})).await?;
    let lock = text_at(&accepted, "saleLockId")?;
    market::pay(&buyer.client, &lock).await?;
    let payment = format!("/v1/sale-locks/{lock}");
    let paid = buyer.sees(&payment, |row| row["state"] == "paid").await?;
    let order = text_at(&paid, "orderId")?;
    Ok(Sale { auction: opened.auction, lock, order })
}

/// The maker ships and the buyer says that the piece has come.
pub(super) async fn deliver(
    (maker, buyer): (&Person, &Person),
    (order, number): (&str, &str),
) -> anyhow::Result<()> {
    let tracking = json!({"carrier": "other", "number": number});
    maker.post(&format!("/v1/orders/{order}/tracking"), &tracking).await?;
    let confirmed = buyer.post(&format!("/v1/orders/{order}/confirm-delivery"), &json!({})).await?;
    ensure!(confirmed["state"] == "delivered", "{confirmed}");
    Ok(())
}
