//! People, with stand-ins for the services around them: push to phones, mail that bounces, sign-in by a
//! provider's word, ways back, checks, and what is left of an account that goes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fairground_coordinator::{MailProvider, Options};
use fairground_fakes::outside::{APPLE_APP, SENDGRID_KEY};
use fairground_fakes::{Fakes, FakesHandle, FakesOptions, Fault, IdToken, Part};
use fairground_runtime::clock::Clock;
use fairground_runtime::secret::mac_hex;
use fairground_types::command::{
    AccountCommand, Actor, Channel, Command, Envelope, NoticeCommand, NoticePreferences,
    PeopleCommand, PostalAddress, ProfileText, PushPlatform, QuietHours, SaveAddress, SealedText,
    SetProfile,
};
use fairground_types::people::IdentityProvider;
use fairground_types::text::{AddressLine, DisplayName, Handle, Locale, ZoneName};
use fairground_types::{
    AddressId, Capability, Code, CommandId, DataRequestId, SignInId, TaskId, UserId,
};
use fairground_wire::message::{ForwardRequest, ForwardResponse, PrivateText, ReadRequest};
use quinn::Connection;
use serde_json::{Value, json};

use crate::support::edge::{self, Joined, TestEdge};
use crate::support::{TestMember, eventually, options};

struct Scene {
    member: TestMember,
    fakes: FakesHandle,
    edge: TestEdge,
    connection: Connection,
}

fn secret(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fairground_runtime::pki::write_private(&path, text.as_bytes()).expect("written");
    path
}

async fn scene(folder: &Path, change: impl FnOnce(&mut Options, &FakesHandle)) -> Scene {
    let fakes = Fakes::start(FakesOptions::default()).await.expect("the stand-ins");
    let mut options: Options = options(folder, "m1");
    options.mail.smtp_address = Some(fakes.smtp_addr.to_string());
    let account = fakes.outside().service_account().expect("an account");
    options.push.fcm_service_account_file = Some(secret(folder, "fcm", &account));
    options.push.fcm_base_url = Some(format!("{}/fcm", fakes.outside_url));
    let key = fakes.outside().apple_key();
    options.push.apns_key_file = Some(secret(folder, "apns", &key.pem));
    options.push.apns_key_id = key.key_id;
    options.push.apns_team_id = key.team_id;
    options.push.apns_topic = APPLE_APP.to_owned();
    options.push.apns_base_url = Some(fakes.apns_url.clone());
    options.push.apns_sandbox_url = Some(fakes.apns_url.clone());
    change(&mut options, &fakes);
    let member = TestMember::found(options).await;
    let token = member.token("edge", 60_000).await;
    let Joined::Welcome(edge) = edge::join(&token, "eu-1").await else { panic!("refused") };
    let connection = edge.connect(&member.options.cluster_listen).await.expect("connected");
    Scene { member, fakes, edge: *edge, connection }
}

/// The newest code in the mails to an address.
fn code_to(fakes: &FakesHandle, address: &str) -> Option<String> {
    let mails = fakes.mail_to(address);
    let mail = mails.iter().find(|mail| mail.subject.contains("code"))?;
    let (_, rest) = mail.text.split_once("code is ")?;
    rest.get(..6).map(str::to_owned)
}

impl Scene {
    async fn forward(&self, request: ForwardRequest) -> ForwardResponse {
        self.edge.forward(&self.connection, &request).await
    }

    async fn sign_in(&self, address: &str) -> (UserId, SignInId) {
        let request = ForwardRequest::RequestCode {
            identifier: PrivateText::new(address),
            channel: Channel::Email,
            origin: None,
        };
        let asked = self.forward(request).await;
        assert!(matches!(asked, ForwardResponse::Json(_)), "{asked:?}");
        let code = eventually("a code by mail", async || code_to(&self.fakes, address)).await;
        let verify = ForwardRequest::VerifyCode {
            identifier: PrivateText::new(address),
            code: PrivateText::new(code),
        };
        let ForwardResponse::Tokens(bytes) = self.forward(verify).await else {
            panic!("no tokens")
        };
        let tokens: Value = serde_json::from_slice(bytes.expose()).expect("JSON");
        let user = tokens["user"]["userId"].as_str().expect("a user").parse().expect("an id");
        let rows = self
            .edge
            .read(&self.connection, ReadRequest::SignIns { user, current: SignInId::from_bits(0) });
        let rows = rows.await;
        let sign_in = rows["sessions"][0]["signInId"].as_str().expect("one").parse();
        (user, sign_in.expect("an id"))
    }

    async fn add_device(
        &self,
        (user, sign_in): (UserId, SignInId),
        platform: PushPlatform,
        token: &str,
    ) {
        let request = ForwardRequest::AddPushDevice {
            user,
            sign_in,
            command: CommandId::derive(user, token, "add-push-device", ""),
            platform,
            token: PrivateText::new(token),
        };
        let added = self.forward(request).await;
        assert!(matches!(added, ForwardResponse::Json(_)), "{added:?}");
    }

    async fn devices(&self, user: UserId) -> usize {
        let rows = self.edge.read(&self.connection, ReadRequest::PushDevices { user }).await;
        rows["devices"].as_array().map_or(0, Vec::len)
    }

    async fn strike(&self, user: UserId) {
        let path = format!("/v1/admin/users/{user}/strikes");
        let struck = self.member.post(&path, json!({ "reason": "as the rules say" })).await;
        assert_eq!(struck.status, 200, "{}", struck.body);
    }

    async fn account(&self, user: UserId) -> Value {
        self.member.get(&format!("/v1/admin/users/{user}")).await
    }

    async fn end(self) {
        assert_eq!(self.member.get("/v1/admin/violations").await["violations"], json!([]));
        self.member.stop().await;
        self.fakes.shutdown().await;
    }
}

fn phone(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

/// Statuses of the calls about one target, oldest first.
fn statuses(fakes: &FakesHandle, part: Part, target: &str) -> Vec<u16> {
    let is_about = |call: &fairground_fakes::outside::OutsideCall| {
        call.path.ends_with(target) || call.body["message"]["token"] == target
    };
    let calls = fakes.outside().calls(part);
    calls.iter().filter(|call| is_about(call)).map(|call| call.status).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_reaches_each_phone_once_and_a_phone_that_is_gone_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = scene(folder.path(), |_, _| {}).await;
    let who = scene.sign_in("maker-1@fairground.example").await;
    scene.add_device(who, PushPlatform::Fcm, "android-1").await;
    scene.add_device(who, PushPlatform::Apns, &phone(1)).await;
    scene.add_device(who, PushPlatform::ApnsSandbox, &phone(2)).await;
    assert_eq!(scene.devices(who.0).await, 3);
    scene.fakes.outside().forget_device(&phone(2));
    // Longer than the client's own three attempts: the runner comes back, to this phone alone.
    scene.fakes.outside().misbehave(Part::Fcm, Fault::Status(503, 0), 4);
    scene.strike(who.0).await;
    eventually("the phones are told", async || {
        let fakes = &scene.fakes;
        (statuses(fakes, Part::Fcm, "android-1") == [200]).then_some(())
    })
    .await;
    let told = scene.fakes.outside().calls(Part::Fcm);
    assert_eq!(told[0].body["message"]["notification"]["title"], "A strike");
    assert_eq!(told[0].body["message"]["data"]["kind"], "strikeAdded");
    eventually("nothing is left to do", async || {
        scene.member.status().await["outbox"].as_object()?.is_empty().then_some(())
    })
    .await;
    assert_eq!(statuses(&scene.fakes, Part::Apns, &phone(1)), [200], "told once");
    assert_eq!(statuses(&scene.fakes, Part::Apns, &phone(2)), [410], "asked once");
    assert_eq!(scene.devices(who.0).await, 2, "the phone that is gone was dropped");

    // Who signs out is told nothing more.
    let sign_out = Command::Account(AccountCommand::SignOut { sign_in: who.1 });
    scene.edge.act(&scene.connection, Actor::User(who.0), sign_out).await;
    assert_eq!(scene.devices(who.0).await, 0);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_is_silent_in_quiet_hours_but_for_what_is_critical() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = scene(folder.path(), |_, _| {}).await;
    let address = "buyer-7@fairground.example";
    let who = scene.sign_in(address).await;
    scene.add_device(who, PushPlatform::Fcm, "android-1").await;
    let minute = Clock::system().now().as_unix_seconds() / 60 % 1_440;
    let part_of_day = |minutes: u64| u16::try_from(minutes % 1_440).expect("small");
    let set = |quiet_hours: Option<QuietHours>, base_version| {
        let preferences = NoticePreferences { quiet_hours, ..NoticePreferences::default() };
        let preferences = Box::new(preferences);
        Command::Notice(NoticeCommand::SetPreferences { preferences, base_version })
    };
    let quiet = QuietHours {
        start_minute: part_of_day(minute + 1_440 - 120),
        end_minute: part_of_day(minute + 120),
        days: vec![],
        zone: ZoneName::parse("UTC").expect("a zone"),
    };
    scene.edge.act(&scene.connection, Actor::User(who.0), set(Some(quiet), 0)).await;
    scene.strike(who.0).await;
    let path = format!("/v1/admin/users/{}/force-logout", who.0);
    let ended = scene.member.post(&path, json!({ "reason": "as the rules say" })).await;
    assert_eq!(ended.status, 200, "{}", ended.body);
    eventually("a critical mail", async || {
        let mails = scene.fakes.mail_to(address);
        mails.iter().any(|mail| mail.subject.contains("signed out")).then_some(())
    })
    .await;
    let mails = scene.fakes.mail_to(address);
    assert!(!mails.iter().any(|mail| mail.subject.contains("strike")), "{mails:?}");
    assert!(scene.fakes.outside().calls(Part::Fcm).is_empty());
    // Once the quiet is over, what was held back is told.
    scene.edge.act(&scene.connection, Actor::User(who.0), set(None, 1)).await;
    eventually("the mail that was held back", async || {
        let mails = scene.fakes.mail_to(address);
        mails.iter().any(|mail| mail.subject.contains("strike")).then_some(())
    })
    .await;
    scene.end().await;
}

/// The hook of SendGrid: its key, and how it signs.
struct Hook(EcdsaKeyPair);

impl Hook {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
    }

    fn key(&self) -> String {
        let public = self.0.public_key().as_der().expect("encoded");
        STANDARD.encode(public.as_ref())
    }

    async fn deliver(&self, scene: &Scene, body: &str, timestamp: u64) -> u16 {
        let signed = format!("{timestamp}{body}");
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("signed");
        let url = format!("http://{}/v1/webhooks/mail", scene.member.http);
        let sent = reqwest::Client::new()
            .post(url)
            .timeout(Duration::from_secs(10))
            .header("x-twilio-email-event-webhook-signature", STANDARD.encode(signature.as_ref()))
            .header("x-twilio-email-event-webhook-timestamp", timestamp.to_string())
            .body(body.to_owned())
            .send()
            .await;
        sent.expect("an answer").status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_dead_or_complains_gets_critical_mail_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let hook = Hook::new();
    let key = hook.key();
    let scene = scene(folder.path(), |options, fakes| {
        options.mail.provider = MailProvider::Sendgrid;
        options.mail.base_url = Some(format!("{}/sendgrid", fakes.outside_url));
        options.mail.key_file = Some(secret(folder.path(), "sendgrid", SENDGRID_KEY));
        options.mail.webhook_key_file = Some(secret(folder.path(), "hook", &key));
    })
    .await;
    // The service's own answer says that the address is none.
    let body = json!({ "identifier": "refused@fairground.example", "channel": "email",
        "handle": "maker-1", "roles": [] });
    let made = scene.member.post("/v1/cluster/accounts", body).await;
    let user: UserId = made.body["userId"].as_str().expect("a user").parse().expect("an id");
    assert_eq!(scene.account(user).await["mailSuppressed"], false);
    scene.strike(user).await;
    eventually("the address is given up", async || {
        (scene.account(user).await["mailSuppressed"] == true).then_some(())
    })
    .await;
    let asked = scene.fakes.outside().calls(Part::Sendgrid).len();
    scene.strike(user).await;
    eventually("nothing is left to do", async || {
        scene.member.status().await["outbox"].as_object()?.is_empty().then_some(())
    })
    .await;
    assert_eq!(scene.fakes.outside().calls(Part::Sendgrid).len(), asked, "no further try");

    // Or it says so later, by its hook.
    let (buyer, _) = scene.sign_in("buyer-7@fairground.example").await;
    let body = r#"[{"email":"Buyer-7@fairground.example","event":"spamreport","sg_event_id":"e1"},
        {"email":"nobody@fairground.example","event":"bounce","sg_event_id":"e2"}]"#;
    let now = Clock::system().now().as_unix_seconds();
    assert_eq!(Hook::new().deliver(&scene, body, now).await, 401, "another's signature");
    assert_eq!(hook.deliver(&scene, body, now - 3_600).await, 401, "an old one");
    assert_eq!(scene.account(buyer).await["mailSuppressed"], false);
    for _ in 0..2 {
        assert_eq!(hook.deliver(&scene, body, now).await, 200);
    }
    assert_eq!(scene.account(buyer).await["mailSuppressed"], true);
    scene.end().await;
}

/// A JSON answer to a call, or the code of its refusal.
async fn ask(scene: &Scene, request: ForwardRequest) -> Result<Value, Code> {
    match scene.forward(request).await {
        ForwardResponse::Json(bytes) => Ok(serde_json::from_slice(&bytes).expect("JSON")),
        ForwardResponse::Tokens(bytes) => Ok(serde_json::from_slice(bytes.expose()).expect("JSON")),
        ForwardResponse::Rejected(rejection) => Err(rejection.code),
        other => panic!("unexpected: {other:?}"),
    }
}

async fn command(scene: &Scene, user: UserId, name: &str, command: Command) -> Option<Code> {
    let id = CommandId::derive(user, name, "test", "");
    let envelope = Envelope { id, actor: Actor::User(user), command };
    match scene.forward(ForwardRequest::Command(Box::new(envelope))).await {
        ForwardResponse::Judged(judged) => judged.verdict.code(),
        other => panic!("unexpected: {other:?}"),
    }
}

fn social(provider: IdentityProvider, id_token: &str, nonce: &str) -> ForwardRequest {
    let (id_token, nonce) = (PrivateText::new(id_token), PrivateText::new(nonce));
    ForwardRequest::SignInSocial { provider, id_token, nonce }
}

async fn accounts(scene: &Scene) -> usize {
    let rows = scene.member.get("/v1/admin/users").await;
    rows["accounts"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_word_makes_an_account_or_is_linked_and_never_merges() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = scene(folder.path(), |options, fakes| {
        options.sign_in.google_client_ids = vec!["web-client".to_owned()];
        options.sign_in.google_keys_url = Some(format!("{}/google/certs", fakes.outside_url));
        options.sign_in.apple_client_ids = vec![APPLE_APP.to_owned()];
        options.sign_in.apple_keys_url = Some(format!("{}/apple/auth/keys", fakes.outside_url));
    })
    .await;
    let google = |claims: Value| {
        let token = IdToken { claims, ..IdToken::google("web-client", "g-1", "n1") };
        scene.fakes.outside().mint(&token).expect("made")
    };
    let (buyer, _) = scene.sign_in("buyer-7@fairground.example").await;
    let (other, _) = scene.sign_in("buyer-8@fairground.example").await;
    let known = json!({"email": "Buyer-7@fairground.example", "email_verified": true});

    // A failed exchange leaves nothing behind; neither does an address that nobody checked.
    let before = accounts(&scene).await;
    let provider = IdentityProvider::Google;
    let wrong = ask(&scene, social(provider, &google(known.clone()), "another")).await;
    assert_eq!(wrong, Err(Code::SocialTokenInvalid));
    let unchecked = google(json!({"email": "new@fairground.example", "email_verified": false}));
    assert_eq!(
        ask(&scene, social(provider, &unchecked, "n1")).await,
        Err(Code::SocialTokenInvalid)
    );
    assert_eq!(accounts(&scene).await, before);

    // An address that has an account is to be linked, by that account.
    let prompt =
        ask(&scene, social(provider, &google(known.clone()), "n1")).await.expect("a prompt");
    assert_eq!((&prompt["linkRequired"], &prompt["tokens"]), (&json!(true), &Value::Null));
    let link = |user| ForwardRequest::LinkIdentity {
        user,
        link_token: PrivateText::new(prompt["linkToken"].as_str().expect("a token")),
    };
    assert_eq!(ask(&scene, link(other)).await, Err(Code::Forbidden));
    for _ in 0..2 {
        let ways = ask(&scene, link(buyer)).await.expect("linked");
        assert_eq!(ways["providers"], json!(["google"]));
    }
    let both = ask(&scene, social(provider, &google(known), "n1")).await.expect("signed in");
    assert_eq!(both["tokens"]["user"]["userId"], buyer.to_string());
    assert_eq!(both["tokens"]["created"], false);
    let unlink = |provider| Command::People(PeopleCommand::UnlinkIdentity { provider });
    assert_eq!(command(&scene, buyer, "unlink-1", unlink(provider)).await, None);

    // Somebody new gets an account by a relay's address; their only way in stays.
    let token = scene.fakes.outside().mint(&IdToken::apple("a-1", "n2")).expect("made");
    let provider = IdentityProvider::Apple;
    let made = ask(&scene, social(provider, &token, "n2")).await.expect("signed in");
    assert_eq!(made["tokens"]["created"], true);
    let user = made["tokens"]["user"]["userId"].as_str().expect("a user");
    let user: UserId = user.parse().expect("an id");
    assert_eq!(command(&scene, user, "unlink-2", unlink(provider)).await, Some(Code::LastIdentity));
    scene.end().await;
}

/// The token in the newest mail with a way back.
fn way_back(fakes: &FakesHandle, address: &str) -> Option<String> {
    let mails = fakes.mail_to(address);
    let mail = mails.iter().find(|mail| mail.subject.contains("way back"))?;
    assert!(mail.text.contains("an iPhone") && mail.text.contains("192.0.2.1"), "{}", mail.text);
    assert!(mail.text.contains("https://app.fairground.example/recovery/deny?token="));
    let (_, rest) = mail.text.split_once("for the app: ")?;
    Some(rest.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_back_counts_once_ends_other_sign_ins_and_can_be_denied() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = scene(folder.path(), |options, _| {
        options.app_url = Some("https://app.fairground.example/".to_owned());
    })
    .await;
    let address = "buyer-7@fairground.example";
    let (user, old) = scene.sign_in(address).await;
    let send = |identifier: &str| ForwardRequest::RequestRecovery {
        identifier: PrivateText::new(identifier),
        origin: Some(PrivateText::new("192.0.2.1")),
        agent: PrivateText::new("App/1 (iPhone)"),
    };
    let known = ask(&scene, send(address)).await.expect("on its way");
    let unknown = ask(&scene, send("nobody@fairground.example")).await;
    assert_eq!(unknown, Ok(known), "the answer tells nothing");
    let token = eventually("a way back by mail", async || way_back(&scene.fakes, address)).await;
    assert!(scene.fakes.mail_to("nobody@fairground.example").is_empty());
    let redeem = |token: &str| ForwardRequest::RedeemRecovery { token: PrivateText::new(token) };
    let deny = |token: &str| ForwardRequest::DenyRecovery { token: PrivateText::new(token) };
    let tokens = ask(&scene, redeem(&token)).await.expect("signed in");
    assert_eq!(tokens["user"]["userId"], user.to_string());
    let read = ReadRequest::SignIns { user, current: old };
    let rows = scene.edge.read(&scene.connection, read).await;
    assert_eq!(rows["sessions"].as_array().map(Vec::len), Some(1), "{rows}");
    assert_eq!(rows["sessions"][0]["isCurrent"], false);
    assert_eq!(ask(&scene, redeem(&token)).await, Err(Code::TokenExpired), "once");

    // The next one is denied by whoever reads the mail.
    ask(&scene, send(address)).await.expect("on its way");
    let next = eventually("another way back", async || {
        way_back(&scene.fakes, address).filter(|next| *next != token)
    })
    .await;
    ask(&scene, deny(&next)).await.expect("denied");
    assert_eq!(ask(&scene, redeem(&next)).await, Err(Code::TokenExpired), "not me");
    assert_eq!(ask(&scene, redeem("fgw1.x.y")).await, Err(Code::TokenExpired));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_are_counted_by_the_network_that_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = scene(folder.path(), |_, _| {}).await;
    let request = |number: u32, origin: &str| ForwardRequest::RequestCode {
        identifier: PrivateText::new(format!("buyer-{number}@fairground.example")),
        channel: Channel::Email,
        origin: Some(PrivateText::new(origin)),
    };
    for number in 0..20 {
        assert!(ask(&scene, request(number, "2001:db8::1")).await.is_ok());
    }
    // A home has a whole network of them.
    assert_eq!(ask(&scene, request(20, "2001:db8::2")).await, Err(Code::RateLimited));
    assert!(ask(&scene, request(21, "2001:db8:0:1::1")).await.is_ok());
    scene.end().await;
}

fn typed<T: serde::Serialize>(value: &T) -> SealedText {
    let text = serde_json::to_string(value).expect("JSON");
    SealedText::typed(&text, 1, 2_000).expect("fits")
}

fn home() -> PostalAddress {
    serde_json::from_value(json!({"name": "B. Seven", "line1": "12 Some Street",
        "city": "Springfield", "country": "US"}))
    .expect("an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_personal_is_sealed_and_goes_with_the_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = scene(folder.path(), |options, _| options.sandbox = true).await;
    let address = "buyer-7@fairground.example";
    let (user, sign_in) = scene.sign_in(address).await;
    scene.add_device((user, sign_in), PushPlatform::Fcm, "android-1").await;
    let handle = Handle::parse("buyer_7").expect("valid");
    let set = Command::Account(AccountCommand::SetHandle { handle });
    assert_eq!(command(&scene, user, "handle", set).await, None);
    let profile = ProfileText {
        display_name: Some(DisplayName::parse("Seven").expect("valid")),
        city: Some(AddressLine::parse("Springfield").expect("valid")),
        locale: Some(Locale::parse("en").expect("valid")),
        ..ProfileText::default()
    };
    let set = |base_version, profile: &ProfileText| {
        let sealed = typed(profile);
        Command::People(PeopleCommand::SetProfile(SetProfile { base_version, sealed }))
    };
    assert_eq!(command(&scene, user, "profile", set(0, &profile)).await, None);
    assert_eq!(command(&scene, user, "profile", set(0, &profile)).await, None, "a retry");
    let other = set(0, &ProfileText::default());
    assert_eq!(command(&scene, user, "profile", other).await, Some(Code::IdempotencyKeyReused));
    let save = SaveAddress {
        address: AddressId::from_bits(1),
        is_change: false,
        sealed: typed(&home()),
        is_default: false,
    };
    let save = Command::People(PeopleCommand::SaveAddress(save));
    assert_eq!(command(&scene, user, "address", save).await, None);

    let read = |read| scene.edge.read(&scene.connection, read);
    let own = read(ReadRequest::Profile { user }).await;
    assert_eq!((&own["version"], &own["profile"]["displayName"]), (&json!(1), &json!("Seven")));
    let public = read(ReadRequest::PublicProfile { user, reader: None }).await;
    assert_eq!((&public["displayName"], &public["handle"]), (&json!("Seven"), &json!("buyer_7")));
    assert!(public.get("locale").is_none());
    let kept = read(ReadRequest::Addresses { user }).await;
    assert_eq!(kept["addresses"][0]["address"]["line1"], "12 Some Street");
    assert_eq!(kept["addresses"][0]["isDefault"], true);

    // A copy of it all can be fetched while the request counts, by its owner alone.
    let request = DataRequestId::from_bits(9);
    let export = Command::People(PeopleCommand::RequestExport { request, sign_in });
    assert_eq!(command(&scene, user, "export", export).await, None);
    let copy = read(ReadRequest::DataCopy { user, request }).await;
    let copy = &copy["parts"];
    assert_eq!(
        (&copy["address"], &copy["profile"]["profile"]["city"]),
        (&json!(address), &json!("Springfield"))
    );
    assert_eq!(copy["addresses"]["addresses"][0]["address"]["name"], "B. Seven");
    let stranger = UserId::from_bits(1);
    let theirs = ForwardRequest::Read(ReadRequest::DataCopy { user: stranger, request });
    assert_eq!(ask(&scene, theirs).await, Err(Code::NotFound));

    // Thirty days after the account is closed nothing personal is left of it.
    let (request, waits) = (DataRequestId::from_bits(1), true);
    let delete = PeopleCommand::RequestDeletion { request, sign_in, waits };
    assert_eq!(command(&scene, user, "delete", Command::People(delete)).await, None);
    let state = read(ReadRequest::DataRequest { user, request }).await;
    assert_eq!(state["state"], "closed");
    let day = 24 * 3_600_000_u64;
    let body = json!({ "byMs": 31 * day, "reason": "a month passes" });
    assert_eq!(scene.member.post("/v1/admin/clock/advance", body).await.status, 200);
    eventually("the account is erased", async || {
        (scene.account(user).await["standing"] == "erased").then_some(())
    })
    .await;
    let over =
        ForwardRequest::Read(ReadRequest::DataCopy { user, request: DataRequestId::from_bits(9) });
    assert_eq!(ask(&scene, over).await, Err(Code::LinkExpired));
    let own = read(ReadRequest::Profile { user }).await;
    assert_eq!((&own["version"], &own["profile"]), (&json!(0), &json!({})));
    assert_eq!(read(ReadRequest::Addresses { user }).await["addresses"], json!([]));
    assert_eq!(scene.devices(user).await, 0);
    let hidden = ForwardRequest::Read(ReadRequest::PublicProfile { user, reader: None });
    assert_eq!(ask(&scene, hidden).await, Err(Code::NotFound));
    let found = scene.member.get(&format!("/v1/admin/users?identifier={address}")).await;
    assert_eq!(found["accounts"], json!([]));
    let handle = scene.account(user).await["handle"].clone();
    assert!(handle.as_str().is_some_and(|handle| handle.starts_with("former-")), "{handle}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_a_person_is_answered_by_a_signed_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = scene(folder.path(), |options, _| {
        options.policy.checked_capabilities = vec![Capability::CollectPayments];
        options.verification.webhook_secret_file =
            Some(secret(folder.path(), "verification", "checks"));
    })
    .await;
    let (user, _) = scene.sign_in("maker-1@fairground.example").await;
    let task = TaskId::from_bits(7);
    let request =
        PeopleCommand::RequestCapability { capability: Capability::CollectPayments, task };
    assert_eq!(command(&scene, user, "request", Command::People(request)).await, None);
    let state = async || {
        let rows = scene.edge.read(&scene.connection, ReadRequest::Capabilities { user }).await;
        let rows = rows["capabilities"].as_array().expect("rows").clone();
        let row = rows.into_iter().find(|row| row["capability"] == "collectPayments");
        row.expect("a row")
    };
    assert_eq!(state().await["state"], "requested");
    let answer = async |task: TaskId, body: &str, secret: &[u8]| {
        let url = format!("http://{}/v1/webhooks/verification/{task}", scene.member.http);
        let signed = format!("{task}.{body}");
        let signature = mac_hex(secret, signed.as_bytes());
        let sent = reqwest::Client::new()
            .post(url)
            .timeout(Duration::from_secs(10))
            .header("fairground-signature", signature)
            .body(body.to_owned())
            .send();
        sent.await.expect("an answer").status().as_u16()
    };
    let failed =
        r#"{"outcome":"failed","blockers":[{"code":"id-expired","text":"The id is old"}]}"#;
    assert_eq!(answer(task, failed, b"guess").await, 401);
    assert_eq!(answer(TaskId::from_bits(8), failed, b"checks").await, 404);
    assert_eq!(answer(task, r#"{"outcome":"perhaps"}"#, b"checks").await, 400);
    assert_eq!(answer(task, failed, b"checks").await, 200);
    let row = state().await;
    assert_eq!(
        (&row["state"], &row["blockers"][0]["code"]),
        (&json!("blocked"), &json!("id-expired"))
    );
    // Said again, it changes nothing; the next check may pass.
    assert_eq!(answer(task, failed, b"checks").await, 200);
    let task = TaskId::from_bits(9);
    let again = PeopleCommand::RequestCapability { capability: Capability::CollectPayments, task };
    assert_eq!(command(&scene, user, "again", Command::People(again)).await, None);
    assert_eq!(answer(task, r#"{"outcome":"passed"}"#, b"checks").await, 200);
    assert_eq!(state().await["state"], "approved");
    scene.end().await;
}
