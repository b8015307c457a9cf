//! One sale through one member, with stand-ins for mail and Stripe: sign in by a mailed code,
//! publish a clip and a story, offer through a journal, accept, pay, ship, complete.

use std::path::Path;

use crate::support::edge::{self, Joined, TestEdge};
use crate::support::{TestMember, eventually, options};
use fairground_coordinator::Options;
use fairground_fakes::{Fakes, FakesHandle, FakesOptions, Faults};
use fairground_media::token::{self, TokenKeys};
use fairground_runtime::clock::Clock;
use fairground_types::command::{
    AccountCommand, Actor, AuctionCommand, Carrier, Channel, Clip, Command, Extent, IssueCommand,
    IssueKind, MediaCommand, OpenIssue, OrderCommand, PaymentCommand, PublishRevision,
    RegisterAsset, SaveDraft, SealedText, ShippingAddress, StartCheckout, StoryCommand, StoryDraft,
};
use fairground_types::journal::{Eligibility, Intake, JournalEntry, Stamp, SubmitOffer, Tail};
use fairground_types::text::{
    Category, ClipLabel, Country, Handle, Overview, Summary, Title, TrackingNumber,
};
use fairground_types::{
    Accepted, AssetId, AuctionId, BidId, BlobHash, CommandId, Currency, IssueId, LogIndex, Millis,
    Money, OfferId, OrderId, SaleLockId, StoryId, UserId, Verdict,
};
use fairground_wire::message::{
    FeedDown, ForwardRequest, ForwardResponse, PrivateText, ReadRequest, UplinkDown,
};
use fairground_wire::session::feed::VIEW_VERSION;
use quinn::Connection;
use serde_json::{Value, json};

const STRIPE_KEY: &str = "sk_test_fairground_fakes";
const WEBHOOK_SECRET: &str = "whsec_fairground_fakes";

pub(crate) struct Scene {
    pub(crate) member: TestMember,
    pub(crate) fakes: FakesHandle,
    pub(crate) edge: TestEdge,
    pub(crate) connection: Connection,
}

fn secret(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fairground_runtime::pki::write_private(&path, text.as_bytes()).expect("written");
    path
}

pub(crate) async fn scene(folder: &Path) -> Scene {
    let fakes = Fakes::start(FakesOptions::default()).await.expect("the stand-ins");
    let mut options: Options = options(folder, "m1");
    options.mail.smtp_address = Some(fakes.smtp_addr.to_string());
    options.stripe.base_url = Some(fakes.stripe_url.clone());
    options.stripe.secret_key_file = Some(secret(folder, "stripe", STRIPE_KEY));
    options.stripe.webhook_secret_file = Some(secret(folder, "webhook", WEBHOOK_SECRET));
    options.tracking.webhook_secret_file = Some(secret(folder, "carriers", TRACKING_SECRET));
    let member = TestMember::found(options).await;
    fakes.set_webhook_url(format!("http://{}/v1/webhooks/stripe", member.http));
    let token = member.token("edge", 60_000).await;
    let Joined::Welcome(edge) = edge::join(&token, "eu-1").await else { panic!("refused") };
    let connection = edge.connect(&member.options.cluster_listen).await.expect("connected");
    Scene { member, fakes, edge: *edge, connection }
}

impl Scene {
    pub(crate) async fn forward(&self, request: ForwardRequest) -> ForwardResponse {
        self.edge.forward(&self.connection, &request).await
    }

    pub(crate) async fn act(&self, user: UserId, command: Command) -> Accepted {
        self.edge.act(&self.connection, Actor::User(user), command).await
    }

    async fn as_edge(&self, command: Command) -> Accepted {
        let actor = Actor::Edge(self.edge.id.clone());
        self.edge.act(&self.connection, actor, command).await
    }

    pub(crate) async fn read(&self, read: ReadRequest) -> Value {
        self.edge.read(&self.connection, read).await
    }

    /// Signs in through the edge with the code that comes by mail.
    pub(crate) async fn sign_in(&self, address: &str) -> (UserId, Value) {
        let request = ForwardRequest::RequestCode {
            identifier: PrivateText::new(address),
            channel: Channel::Email,
            origin: None,
        };
        let asked = self.forward(request).await;
        assert!(matches!(asked, ForwardResponse::Json(_)), "{asked:?}");
        let code = eventually("a code by mail", async || {
            let mails = self.fakes.mail_to(address);
            let mail = mails.iter().find(|mail| mail.subject.contains("code"))?;
            let (_, rest) = mail.text.split_once("code is ")?;
            rest.get(..6).map(str::to_owned)
        })
        .await;
        let wrong = if code == "000000" { "000001" } else { "000000" };
        let verify = |code: &str| ForwardRequest::VerifyCode {
            identifier: PrivateText::new(address),
            code: PrivateText::new(code),
        };
        assert!(matches!(self.forward(verify(wrong)).await, ForwardResponse::Rejected(_)));
        let ForwardResponse::Tokens(bytes) = self.forward(verify(&code)).await else {
            panic!("no tokens")
        };
        let tokens: Value = serde_json::from_slice(bytes.expose()).expect("JSON");
        let user = tokens["user"]["userId"].as_str().expect("a user").parse().expect("an id");
        (user, tokens)
    }

    /// A clip with one revision, by way of a transcode job.
    pub(crate) async fn publish_clip(&self, maker: UserId) -> AssetId {
        let source = self.edge.put_blob(&self.connection, b"the uploaded bytes").await;
        let asset = AssetId::from_bits(11);
        let register = RegisterAsset {
            asset,
            source,
            source_bytes: 18,
            duration: Millis::from_secs(9),
            width: 640,
            height: 360,
        };
        self.act(maker, Command::Media(MediaCommand::RegisterAsset(register))).await;
        let Accepted::JobLeased { asset: leased, fence, .. } =
            self.as_edge(Command::Media(MediaCommand::LeaseJob)).await
        else {
            panic!("no job")
        };
        assert_eq!(leased, asset);
        assert_eq!(self.edge.get_blob(&self.connection, source).await, b"the uploaded bytes");
        let manifest: BlobHash = self.edge.put_blob(&self.connection, b"a manifest").await;
        self.as_edge(Command::Media(MediaCommand::PublishRevision(PublishRevision {
            asset,
            fence,
            revision: 1,
            manifest,
            codecs: vec!["h264".to_owned()],
            extent: Extent::Last,
        })))
        .await;
        asset
    }

    pub(crate) async fn publish_story(&self, maker: UserId, asset: AssetId) -> StoryId {
        let story = StoryId::from_bits(21);
        let draft = StoryDraft {
            title: Title::parse("A blue kite").expect("valid"),
            short_description: Summary::parse("Flies well").expect("valid"),
            category: Category::parse("kites").expect("valid"),
            overview: Overview::parse("Made by hand").expect("valid"),
            clips: vec![Clip {
                asset_id: asset,
                label: ClipLabel::parse("Flight").expect("valid"),
            }],
            sections: fairground_types::command::StorySections::default(),
            tags: vec![],
            minimum_offer: Money::new(5_000, Currency::Eur),
            publish_when_approved: true,
        };
        self.act(
            maker,
            Command::Story(StoryCommand::SaveDraft(SaveDraft { story, base_version: None, draft })),
        )
        .await;
        self.act(maker, Command::Story(StoryCommand::SubmitStory { story, attested: true })).await;
        let waiting = self.member.get("/v1/admin/stories?state=submitted").await;
        assert_eq!(waiting["stories"][0]["draft"]["title"], "A blue kite");
        let queue = self.member.get("/v1/admin/moderation/queue").await;
        assert_eq!(
            (&queue["waiting"], &queue["items"][0]["isFlagged"]),
            (&json!(1), &json!(false))
        );
        let decision = format!("/v1/admin/moderation/{story}/decision");
        let silent = self.member.post(&decision, json!({"decision": "reject"})).await;
        assert_eq!((silent.status, &silent.body["code"]), (400, &json!("NOTES_REQUIRED")));
        let path = format!("/v1/admin/stories/{story}/approve");
        let approved = self.member.post(&path, json!({})).await;
        assert_eq!((approved.status, &approved.body["state"]), (200, &json!("listed")));
        story
    }

    /// An offer through the edge's journal, which opens an auction.
    pub(crate) async fn offer(&self, buyer: UserId, story: StoryId) -> (AuctionId, BidId) {
        self.edge.admit(&self.connection, Tail::START).await;
        let (mut uplink, _) = self.edge.uplink(&self.connection, Tail::START).await;
        let now = self.edge.beat(&self.connection, None).await.expect("a leader").t1;
        let auction = AuctionId::from_bits(31);
        let intake = Intake::Offer(SubmitOffer {
            command: CommandId::derive(buyer, "the first key", "offer", &story.to_string()),
            offer: OfferId::from_bits(32),
            auction,
            story,
            buyer,
            amount: Money::new(12_300, Currency::Eur),
            note: None,
            ship_to: None,
            eligibility: Eligibility::Allowed,
            bid_if_open: false,
            valid_until: now.plus(Millis::from_secs(60)),
        });
        let bid = intake.bid();
        let stamp = Stamp { earliest: now.plus(Millis::new(1)), latest: now.plus(Millis::new(5)) };
        let entry = JournalEntry::after(Tail::START, stamp, intake);
        uplink.send(&self.edge.batch(vec![entry])).await;
        loop {
            match uplink.receive::<UplinkDown>().await.expect("a message") {
                UplinkDown::Verdicts(verdicts) => {
                    let verdict = &verdicts.first().expect("one").judged.verdict;
                    assert!(
                        matches!(verdict, Verdict::Accepted(Accepted::AuctionOpened { .. })),
                        "{verdict:?}"
                    );
                    return (auction, bid);
                }
                UplinkDown::Applied { .. } => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// A token that an edge can check with the keys of its view.
    async fn play(&self, asset: AssetId) {
        let mint = ForwardRequest::MintPlayback { user: None, asset };
        let first_layout = self.token(mint).await;
        let begin = ForwardRequest::Play { viewer: None, asset, renews: None };
        let token = self.token(begin).await;
        let renews = Some(PrivateText::new(token.as_str()));
        let renew = ForwardRequest::Play { viewer: None, asset, renews };
        let renewed = self.token(renew).await;
        let (_, first) = self.edge.feed(&self.connection, LogIndex(0)).await;
        let FeedDown::Snapshot { bytes, .. } = first else { panic!("a view first") };
        let (_, view): (_, fairground_market::PublicView) =
            fairground_wire::codec::decode_state(VIEW_VERSION, &bytes).expect("a view");
        let mut keys = TokenKeys::new();
        for key in view.keys() {
            if let Ok(number) = key.kid.parse() {
                keys.insert(number, key.public);
            }
        }
        let verify = |text: &str| token::verify(text, &keys, Clock::system().now()).expect("good");
        assert!(verify(&first_layout).covers(asset, 1));
        let claims = verify(&token);
        assert!(claims.covers(asset, 1));
        let renewed = verify(&renewed);
        assert_eq!((renewed.playback, renewed.begun_at), (claims.playback, claims.begun_at));
        assert!(renewed.expires_at >= claims.expires_at);
        let renews = Some(PrivateText::new(first_layout));
        let refused = self.forward(ForwardRequest::Play { viewer: None, asset, renews }).await;
        assert!(matches!(refused, ForwardResponse::Rejected(_)), "{refused:?}");
    }

    async fn token(&self, request: ForwardRequest) -> String {
        let ForwardResponse::Json(bytes) = self.forward(request).await else {
            panic!("no playback")
        };
        let playback: Value = serde_json::from_slice(&bytes).expect("JSON");
        let url = playback["url"].as_str().expect("a url");
        url.split('/').nth(2).expect("a token").to_owned()
    }

    /// Whose mark a viewer of a clip is given, as staff read it; of `clip`, if they mistake the clip.
    async fn marked(&self, viewer: Option<UserId>, asset: AssetId, clip: AssetId) -> Value {
        let mint = ForwardRequest::MintPlayback { user: viewer, asset };
        let ForwardResponse::Json(bytes) = self.forward(mint).await else { panic!("no playback") };
        let playback: Value = serde_json::from_slice(&bytes).expect("JSON");
        let mark = playback["viewerMark"].as_str().expect("a mark").replace(' ', "%20");
        let read = format!("/v1/admin/viewer-marks?asset={clip}&mark={mark}");
        self.member.get(&read).await["viewers"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_piece_is_sold_paid_for_once_and_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = scene(folder.path()).await;
    let (maker, tokens) = scene.sign_in("maker-1@fairground.example").await;
    assert_eq!(tokens["created"], true);
    let refresh = ForwardRequest::Refresh {
        refresh_token: PrivateText::new(tokens["refreshToken"].as_str().expect("a token")),
    };
    assert!(matches!(scene.forward(refresh).await, ForwardResponse::Tokens(_)));
    scene.act(maker, Command::Account(AccountCommand::BecomeMaker)).await;
    let handle = Handle::parse("maker-1").expect("valid");
    scene.act(maker, Command::Account(AccountCommand::SetHandle { handle })).await;
    let (buyer, _) = scene.sign_in("buyer-7@fairground.example").await;

    let asset = scene.publish_clip(maker).await;
    let story = scene.publish_story(maker, asset).await;
    scene.play(asset).await;
    assert_eq!(scene.marked(Some(buyer), asset, asset).await, json!([buyer]));
    assert_eq!(scene.marked(Some(buyer), asset, AssetId::from_bits(1)).await, json!([]));
    assert_eq!(scene.marked(None, asset, asset).await, json!([]));
    let (auction, bid) = scene.offer(buyer, story).await;
    let Accepted::Locked { lock, .. } = scene
        .act(maker, Command::Auction(AuctionCommand::AcceptHighest { auction, expected: bid }))
        .await
    else {
        panic!("no lock")
    };
    pay(&scene, buyer, lock).await;
    let order = deliver(&scene, maker, buyer).await;

    // The market is whole: one order, an empty outbox but for nothing, zero sums.
    let orders = scene.member.get("/v1/admin/orders").await;
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(1));
    assert_eq!(orders["orders"][0]["orderId"], order.to_string());
    eventually("an empty outbox", async || {
        let status = scene.member.status().await;
        assert_eq!(status["ledger"]["EUR"], 0);
        status["outbox"].as_object()?.is_empty().then_some(())
    })
    .await;
    assert_eq!(scene.member.get("/v1/admin/violations").await["violations"], json!([]));
    let told = scene.fakes.mail_to("maker-1@fairground.example");
    assert!(told.iter().any(|mail| mail.subject.contains("Sold")), "{told:?}");
    scene.member.stop().await;
    scene.fakes.shutdown().await;
}

async fn pay(scene: &Scene, buyer: UserId, lock: SaleLockId) {
    let start = StartCheckout {
        lock,
        return_url: "http://127.0.0.1/paid".to_owned(),
        cancel_url: "http://127.0.0.1/back".to_owned(),
    };
    scene.act(buyer, Command::Payment(PaymentCommand::StartCheckout(start))).await;
    let url = eventually("a checkout session", async || {
        let locks = scene.read(ReadRequest::MyLocks { user: buyer }).await;
        locks["locks"][0]["checkoutUrl"].as_str().map(str::to_owned)
    })
    .await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    scene.fakes.set_faults(Faults { hold_webhooks: true, ..Faults::default() });
    let card = [("card", "4242424242424242"), ("action", "pay")];
    let paid = client.post(&url).form(&card).send().await.expect("the hosted page");
    assert_eq!(paid.status().as_u16(), 303);
    // The first event that comes has an object that cannot be read: the session is looked up.
    let session = url.rsplit('/').next().expect("a session");
    let odd = format!(
        r#"{{"id":"evt_odd","type":"checkout.session.completed","created":{},"livemode":false,
        "data":{{"object":{{"id":"{session}","payment_status":5}}}}}}"#,
        Clock::system().now().as_unix_seconds()
    );
    let url = format!("http://{}/v1/webhooks/stripe", scene.member.http);
    let send = |body: String, signature: String| {
        let request = client.post(&url).header("stripe-signature", signature).body(body);
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    let signature = sign(&odd);
    assert_eq!(send(odd, signature).await, 200);
    let locks = scene.read(ReadRequest::MyLocks { user: buyer }).await;
    assert_eq!(locks["locks"][0]["state"], "paid");
    // The event that says the same in a shape that can be read buys nothing more and gives nothing
    // back.
    scene.fakes.set_faults(Faults::default());
    eventually("the other event is taken", async || {
        let taken = |record: &fairground_fakes::DeliveryRecord| {
            record.kind == "checkout.session.completed" && record.status == Some(200)
        };
        scene.fakes.deliveries().iter().any(taken).then_some(())
    })
    .await;
    // An unsigned event is refused and changes nothing, and one that is too long likewise.
    assert_eq!(send(r#"{"id":"evt_x"}"#.to_owned(), "t=1,v1=00".to_owned()).await, 401);
    assert_eq!(send("x".repeat(1024 * 1024 + 1), "t=1,v1=00".to_owned()).await, 413);
}

/// A signature as the provider makes it.
fn sign(body: &str) -> String {
    use aws_lc_rs::hmac;
    let seconds = Clock::system().now().as_unix_seconds();
    let key = hmac::Key::new(hmac::HMAC_SHA256, WEBHOOK_SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

const TRACKING_SECRET: &str = "fairground-test-carriers";
const PARCEL: &str = "1Z999AA10123456784";

/// A delivery of a carrier's source, signed as the member expects it, unless `secret` is another.
async fn carrier_says(scene: &Scene, status: &str, secret: &str) -> u16 {
    use aws_lc_rs::hmac;
    let at = Clock::system().now();
    let event = json!({ "id": status, "at": at, "status": status });
    let body = json!({ "number": PARCEL, "events": [event] }).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let url = format!("http://{}/v1/webhooks/tracking/ups", scene.member.http);
    let request = reqwest::Client::new().post(&url).header("fairground-signature", hex).body(body);
    request.send().await.expect("an answer").status().as_u16()
}

/// What the parties say is read by them, and by nobody else.
async fn talk(scene: &Scene, (maker, buyer): (UserId, UserId), order: OrderId) {
    let address = json!({
        "name": "buyer-7", "line1": "1 Market Lane", "city": "Oldtown", "country": "DE"
    });
    let sealed = SealedText::typed(&address.to_string(), 1, 2_000).expect("fits");
    let address = ShippingAddress { country: Country::parse("DE").expect("valid"), sealed };
    scene.act(buyer, Command::Order(OrderCommand::ChangeAddress { order, address })).await;
    let text = SealedText::typed("please ring twice", 1, 100).expect("fits");
    scene.act(buyer, Command::Order(OrderCommand::PostMessage { order, text })).await;
    let row = scene.read(ReadRequest::Order { user: maker, order }).await;
    assert_eq!(row["address"]["city"], "Oldtown");
    let thread = scene.read(ReadRequest::OrderMessages { user: maker, order }).await;
    assert_eq!(thread["messages"][0]["text"], "please ring twice");
    assert_eq!(thread["messages"][0]["sender"], "buyer");
    let stranger = ReadRequest::OrderMessages { user: UserId::from_bits(99), order };
    let hidden = scene.forward(ForwardRequest::Read(stranger)).await;
    assert!(matches!(hidden, ForwardResponse::Rejected(_)), "{hidden:?}");
}

/// An issue holds the order until support, at the member, decides about it.
async fn complain(scene: &Scene, (maker, buyer): (UserId, UserId), order: OrderId) {
    let issue = IssueId::from_bits(77);
    let words = "The lid has a crack from the rim to the foot, see the clip that I sent.";
    let description = SealedText::typed(words, 50, 1_000).expect("fits");
    let open =
        OpenIssue { issue, order, kind: IssueKind::Other, description, evidence: Vec::new() };
    scene.act(buyer, Command::Issue(IssueCommand::OpenIssue(open))).await;
    let row = scene.read(ReadRequest::Issue { user: maker, issue }).await;
    assert_eq!((&row["description"], &row["state"]), (&json!(words), &json!("open")));
    let order_row = scene.read(ReadRequest::Order { user: buyer, order }).await;
    assert_eq!(order_row["onHold"], true);
    let listed = scene.member.get("/v1/admin/issues").await;
    assert_eq!(listed["issues"][0]["issueId"], issue.to_string());
    let path = |step: &str| format!("/v1/admin/issues/{issue}/{step}");
    let assigned = json!({ "assignee": UserId::from_bits(99), "reason": "first come" });
    assert_eq!(scene.member.post(&path("assign"), assigned).await.status, 404, "no such account");
    let assigned = scene.member.post(&path("assign"), json!({ "reason": "first come" })).await;
    assert_eq!((assigned.status, &assigned.body["state"]), (200, &json!("underReview")));
    let silent = json!({ "decision": "noAction", "reason": " " });
    let refused = scene.member.post(&path("resolve"), silent).await;
    assert_eq!(refused.body["code"], "REASON_REQUIRED");
    let decided = json!({ "decision": "noAction", "reason": "the crack is in the story" });
    let resolved = scene.member.post(&path("resolve"), decided).await;
    assert_eq!((resolved.status, &resolved.body["state"]), (200, &json!("resolved")));
}

async fn deliver(scene: &Scene, maker: UserId, buyer: UserId) -> OrderId {
    let orders = scene.read(ReadRequest::MyOrders { user: maker }).await;
    let order: OrderId =
        orders["orders"][0]["orderId"].as_str().expect("an order").parse().expect("an id");
    talk(scene, (maker, buyer), order).await;
    let number = TrackingNumber::parse(PARCEL).expect("valid");
    let tracking =
        Command::Order(OrderCommand::AddTracking { order, carrier: Carrier::Ups, number });
    scene.act(maker, tracking).await;
    assert_eq!(carrier_says(scene, "delivered", "another secret").await, 401);
    assert_eq!(carrier_says(scene, "delivered", TRACKING_SECRET).await, 200);
    let row = scene.read(ReadRequest::Order { user: buyer, order }).await;
    assert_eq!(row["state"], "delivered");
    assert_eq!(row["tracking"]["events"][0]["status"], "delivered");
    // What is older than what is known is taken and changes nothing.
    assert_eq!(carrier_says(scene, "inTransit", TRACKING_SECRET).await, 200);
    complain(scene, (maker, buyer), order).await;
    let confirm = Command::Order(OrderCommand::ConfirmDelivery { order, review: None });
    scene.act(buyer, confirm).await;
    let row = scene.read(ReadRequest::Order { user: buyer, order }).await;
    assert_eq!(row["state"], "completed");
    order
}
