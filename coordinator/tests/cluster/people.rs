//! What people are told outside: push to phones, mail that bounces, with stand-ins for the services.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fairground_coordinator::{MailProvider, Options};
use fairground_fakes::outside::{APPLE_APP, SENDGRID_KEY};
use fairground_fakes::{Fakes, FakesHandle, FakesOptions, Fault, Part};
use fairground_runtime::clock::Clock;
use fairground_types::command::{
    Actor, Channel, Command, NoticeCommand, NoticePreferences, PushPlatform, QuietHours,
};
use fairground_types::text::ZoneName;
use fairground_types::{CommandId, SignInId, UserId};
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
    let mail = mails.iter().rev().find(|mail| mail.subject.contains("code"))?;
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
    let sign_out =
        Command::Account(fairground_types::command::AccountCommand::SignOut { sign_in: who.1 });
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
