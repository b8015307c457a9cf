//! Every client against its stand-in: well, and with each way of going wrong; and every request and
//! answer against the provider's own description, where `FAIRGROUND_TEST_SPECS` names a folder.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up must fail")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fairground_fakes::outside::{APPLE_APP, POSTMARK_TOKEN, SENDGRID_KEY};
use fairground_fakes::{Contract, Fakes, FakesHandle, FakesOptions, Fault, IdToken, Part};
use fairground_providers::call::Wait;
use fairground_providers::{
    ApnsOptions, AppleCodes, AppleCodesOptions, FcmOptions, IssuerOptions, MachineTime, Mail,
    Mailer, Platform, Ports, PostmarkOptions, ProviderError, Push, PushMessage, SendGridOptions,
    ServiceAccount, SignIn, SignInError, SignInProvider, SmtpOptions, TextMessage, Texter,
    TexterOptions, Time, TokenFault,
};
use fairground_runtime::clock::Clock;
use fairground_runtime::config::Secret;
use fairground_types::{Millis, Timestamp};
use serde_json::{Value, json};

const FROM: &str = "Fairground <no-reply@fairground.example>";
const TO: &str = "buyer-7@a.example";

/// The machine's time, whose waits are over at once.
struct Hasty(MachineTime);

impl Time for Hasty {
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn wall(&self) -> Timestamp {
        self.0.wall()
    }

    fn wait(&self, _: Duration) -> Wait<'_> {
        Box::pin(std::future::ready(()))
    }
}

fn ports() -> Ports {
    Ports { time: Arc::new(Hasty(MachineTime(Clock::system()))), seed: 7 }
}

async fn start() -> FakesHandle {
    Fakes::start(FakesOptions { seed: Some(7), ..FakesOptions::default() })
        .await
        .expect("the stand-ins start")
}

fn sendgrid(fakes: &FakesHandle) -> Mailer {
    let options = SendGridOptions {
        base_url: Some(format!("{}/sendgrid", fakes.outside_url)),
        key: Secret::from_text(SENDGRID_KEY),
        from: FROM.to_owned(),
        domain: "c1".to_owned(),
    };
    Mailer::sendgrid(options, ports()).expect("a client")
}

fn postmark(fakes: &FakesHandle) -> Mailer {
    let options = PostmarkOptions {
        base_url: Some(format!("{}/postmark", fakes.outside_url)),
        token: Secret::from_text(POSTMARK_TOKEN),
        from: FROM.to_owned(),
        domain: "c1".to_owned(),
    };
    Mailer::postmark(options, ports()).expect("a client")
}

fn smtp(fakes: &FakesHandle) -> Mailer {
    let options = SmtpOptions {
        address: fakes.smtp_addr.to_string(),
        login: None,
        from: FROM.to_owned(),
        domain: "c1".to_owned(),
    };
    Mailer::smtp(options, ports()).expect("a client")
}

fn texter(fakes: &FakesHandle) -> Texter {
    let own = FakesOptions::default();
    let options = TexterOptions {
        base_url: Some(fakes.sms_url.clone()),
        account: own.sms_account,
        token: Secret::from_text(own.sms_token),
        from: "+15005550006".to_owned(),
    };
    Texter::new(options, ports()).expect("a client")
}

fn push(fakes: &FakesHandle) -> Push {
    let account = fakes.outside().service_account().expect("an account");
    let fcm = FcmOptions {
        base_url: Some(format!("{}/fcm", fakes.outside_url)),
        account: ServiceAccount::parse(&account).expect("it is one"),
    };
    let key = fakes.outside().apple_key();
    let apns = ApnsOptions {
        base_url: Some(fakes.apns_url.clone()),
        sandbox_url: Some(fakes.apns_url.clone()),
        key: Secret::from_text(key.pem),
        key_id: key.key_id,
        team_id: key.team_id,
        topic: APPLE_APP.to_owned(),
    };
    Push::new(Some(fcm), Some(apns), ports()).expect("clients")
}

fn sign_in(fakes: &FakesHandle) -> SignIn {
    let issuer = |id: &str, path: &str| {
        let keys_url = Some(format!("{}{path}", fakes.outside_url));
        Some(IssuerOptions { client_ids: vec![id.to_owned()], keys_url })
    };
    let apple = issuer(APPLE_APP, "/apple/auth/keys");
    SignIn::new(apple, issuer("web-client", "/google/certs"), ports()).expect("a client")
}

const fn mail(id: &str) -> Mail<'_> {
    Mail { id, to: TO, subject: "You won", text: "The piece is yours." }
}

fn message() -> PushMessage {
    PushMessage {
        id: 7,
        title: "You were outbid".to_owned(),
        body: "Somebody bid more.".to_owned(),
        fields: BTreeMap::from([("auction".to_owned(), "auc_1".to_owned())]),
        collapse_key: Some("auc_1".to_owned()),
        expires_at: Clock::system().now().plus(Millis::from_secs(600)),
    }
}

fn device(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

#[tokio::test]
async fn mail_arrives_by_each_way_and_carries_its_id() {
    let fakes = start().await;
    for mailer in [smtp(&fakes), sendgrid(&fakes), postmark(&fakes)] {
        let accepted = mailer.send(&mail("eff_1")).await.expect("taken");
        assert!(accepted.id.is_some());
    }
    let mails = fakes.mail_to(TO);
    assert_eq!(mails.len(), 3);
    assert!(mails.iter().all(|mail| mail.subject == "You won"));
    let by_sendgrid = fakes.outside().calls(Part::Sendgrid).remove(0).body;
    assert_eq!(by_sendgrid.pointer("/personalizations/0/custom_args/op_id"), Some(&json!("eff_1")));
    let by_postmark = fakes.outside().calls(Part::Postmark).remove(0).body;
    assert_eq!(by_postmark["Metadata"]["op_id"], "eff_1");
}

#[tokio::test]
async fn an_address_that_is_not_taken_is_named_so() {
    let fakes = start().await;
    let refused = Mail { to: "refused@a.example", ..mail("eff_1") };
    for (mailer, part) in [(sendgrid(&fakes), Part::Sendgrid), (postmark(&fakes), Part::Postmark)] {
        let error = mailer.send(&refused).await.expect_err("it is refused");
        assert!(matches!(error, ProviderError::Gone { .. }), "{error:?}");
        assert_eq!(fakes.outside().calls(part).len(), 1);
    }
    let wrong = Mail { to: "nobody", ..mail("eff_2") };
    let error = smtp(&fakes).send(&wrong).await.expect_err("no address");
    assert!(matches!(error, ProviderError::Gone { .. }), "{error:?}");
}

/// What a fault comes to, when it lasts longer than the retries.
fn is_expected(fault: Fault, error: &ProviderError) -> bool {
    match fault {
        Fault::Status(..) | Fault::Page => matches!(error, ProviderError::Unavailable { .. }),
        Fault::Truncated => matches!(error, ProviderError::Unreadable { .. }),
        _ => matches!(error, ProviderError::Unsettled { .. }),
    }
}

const FAULTS: [Fault; 6] = [
    Fault::Status(500, 0),
    Fault::Status(429, 2),
    Fault::Status(503, 0),
    Fault::Page,
    Fault::Reset,
    Fault::LostAnswer,
];

#[tokio::test]
async fn mail_survives_two_faults_and_names_the_third() {
    let fakes = start().await;
    for fault in FAULTS {
        for (mailer, part) in
            [(sendgrid(&fakes), Part::Sendgrid), (postmark(&fakes), Part::Postmark)]
        {
            fakes.outside().misbehave(part, fault, 2);
            mailer.send(&mail("eff_1")).await.expect("the third attempt is taken");
            fakes.outside().misbehave(part, fault, 3);
            let error = mailer.send(&mail("eff_2")).await.expect_err("three faults");
            assert!(is_expected(fault, &error), "{part:?} {fault:?}: {error:?}");
            assert!(error.is_transient());
        }
    }
}

#[tokio::test]
async fn a_lost_answer_makes_a_repetition_that_its_id_tells() {
    let fakes = start().await;
    fakes.outside().misbehave(Part::Postmark, Fault::LostAnswer, 1);
    postmark(&fakes).send(&mail("eff_9")).await.expect("taken");
    let calls = fakes.outside().calls(Part::Postmark);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].body["Headers"], calls[1].body["Headers"]);
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_is_unreadable() {
    let fakes = start().await;
    fakes.outside().misbehave(Part::Postmark, Fault::Truncated, 3);
    let error = postmark(&fakes).send(&mail("eff_1")).await.expect_err("cut");
    assert!(matches!(error, ProviderError::Unreadable { .. }), "{error:?}");
    fakes.outside().misbehave(Part::Fcm, Fault::Truncated, 3);
    let sent = push(&fakes).send("tok", Platform::FcmToken, &message()).await;
    assert!(matches!(sent, Err(ProviderError::Unreadable { .. })), "{sent:?}");
}

#[tokio::test]
async fn a_wrong_key_is_the_operators_and_is_not_repeated() {
    let fakes = start().await;
    let options = SendGridOptions {
        base_url: Some(format!("{}/sendgrid", fakes.outside_url)),
        key: Secret::from_text("SG.other"),
        from: FROM.to_owned(),
        domain: "c1".to_owned(),
    };
    let mailer = Mailer::sendgrid(options, ports()).expect("a client");
    let error = mailer.send(&mail("eff_1")).await.expect_err("401");
    assert!(matches!(error, ProviderError::Misconfigured { .. }), "{error:?}");
    assert_eq!(fakes.outside().calls(Part::Sendgrid).len(), 1);
}

#[tokio::test]
async fn five_failures_in_a_row_pause_the_provider() {
    let fakes = start().await;
    let mailer = postmark(&fakes);
    fakes.outside().misbehave(Part::Postmark, Fault::Status(500, 0), 5);
    for _ in 0..2 {
        mailer.send(&mail("eff_1")).await.expect_err("it fails");
    }
    let error = mailer.send(&mail("eff_1")).await.expect_err("paused");
    assert!(matches!(error, ProviderError::Paused { .. }), "{error:?}");
    assert!(fakes.outside().calls(Part::Postmark).is_empty());
}

#[tokio::test]
async fn nobody_listening_is_unreached() {
    let fakes = start().await;
    let texter = texter(&fakes);
    fakes.shutdown().await;
    let text = TextMessage { to: "+4915550001234", text: "x", validity: None };
    let error = texter.send(&text).await.expect_err("nobody is there");
    assert!(matches!(error, ProviderError::Unreached { .. }), "{error:?}");
}

#[tokio::test]
async fn text_messages_are_sent_once_and_refused_with_the_gateways_code() {
    let fakes = start().await;
    let texter = texter(&fakes);
    let validity = Some(Duration::from_secs(300));
    let text = TextMessage { to: "+4915550001234", text: "Code 123456", validity };
    assert!(texter.send(&text).await.expect("taken").id.is_some());
    assert_eq!(fakes.sms_to("+4915550001234").len(), 1);
    for (to, code) in [("+15005550001", "21211"), ("+15005550004", "21610")] {
        let error = texter.send(&TextMessage { to, ..text }).await.expect_err("refused");
        let ProviderError::Refused { code: found, .. } = error else { panic!("{error:?}") };
        assert_eq!(found, code);
    }
}

#[tokio::test]
async fn push_reaches_both_kinds_of_phones() {
    let fakes = start().await;
    let push = push(&fakes);
    for _ in 0..2 {
        push.send("fid-1", Platform::FcmInstallation, &message()).await.expect("taken");
        push.send(&device(1), Platform::ApnsSandbox, &message()).await.expect("taken");
    }
    let outside = fakes.outside();
    assert_eq!(outside.calls(Part::GoogleToken).len(), 1, "one token serves both");
    assert_eq!(outside.calls(Part::Fcm)[0].body["message"]["fid"], "fid-1");
    let call = &outside.calls(Part::Apns)[0];
    assert_eq!(call.body["aps"]["alert"]["title"], "You were outbid");
    let header = |name: &str| call.headers.get(name).map(String::as_str);
    assert_eq!(header("apns-push-type"), Some("alert"));
    assert_eq!(header("apns-id"), Some("00000000-0000-0000-0000-000000000007"));
}

#[tokio::test]
async fn a_device_that_is_gone_is_named_so() {
    let fakes = start().await;
    let push = push(&fakes);
    fakes.outside().forget_device("gone");
    fakes.outside().forget_device(&device(2));
    for (token, platform) in [
        ("gone", Platform::FcmToken),
        ("another-sender", Platform::FcmToken),
        (device(2).as_str(), Platform::Apns),
        ("abcd", Platform::Apns),
        ("../no-token", Platform::Apns),
    ] {
        let error = push.send(token, platform, &message()).await.expect_err("gone");
        let ProviderError::Gone { since, .. } = error else { panic!("{token}: {error:?}") };
        assert_eq!(since.is_some(), token == device(2));
    }
}

#[tokio::test]
async fn a_message_past_its_time_or_its_size_is_not_sent() {
    let fakes = start().await;
    let push = push(&fakes);
    let stale = PushMessage { expires_at: Timestamp::EPOCH, ..message() };
    let large = PushMessage { body: "x".repeat(5_000), ..message() };
    for message in [stale, large] {
        for (token, platform) in [("tok", Platform::FcmToken), (device(1).as_str(), Platform::Apns)]
        {
            let error = push.send(token, platform, &message).await.expect_err("refused");
            assert!(matches!(error, ProviderError::Refused { .. }), "{error:?}");
        }
    }
    assert!(fakes.outside().calls(Part::Fcm).is_empty());
    assert!(fakes.outside().calls(Part::Apns).is_empty());
}

#[tokio::test]
async fn an_old_provider_token_is_renewed_once() {
    let fakes = start().await;
    fakes.outside().expire_provider_token();
    push(&fakes).send(&device(1), Platform::Apns, &message()).await.expect("taken");
    let statuses: Vec<u16> =
        fakes.outside().calls(Part::Apns).iter().map(|call| call.status).collect();
    assert_eq!(statuses, [403, 200]);
}

#[tokio::test]
async fn push_survives_two_faults_and_names_the_third() {
    let fakes = start().await;
    let token = device(1);
    for fault in FAULTS {
        for (token, platform, part) in
            [("tok", Platform::FcmToken, Part::Fcm), (token.as_str(), Platform::Apns, Part::Apns)]
        {
            let push = push(&fakes);
            fakes.outside().misbehave(part, fault, 2);
            push.send(token, platform, &message()).await.expect("the third attempt is taken");
            fakes.outside().misbehave(part, fault, 3);
            let error = push.send(token, platform, &message()).await.expect_err("three faults");
            assert!(is_expected(fault, &error), "{part:?} {fault:?}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_holds_push_up() {
    let fakes = start().await;
    fakes.outside().misbehave(Part::GoogleToken, Fault::Status(503, 0), 3);
    let push = push(&fakes);
    let error = push.send("tok", Platform::FcmToken, &message()).await.expect_err("no token");
    assert!(matches!(error, ProviderError::Unavailable { .. }), "{error:?}");
    push.send("tok", Platform::FcmToken, &message()).await.expect("it is back");
}

#[tokio::test]
async fn both_vouch_for_a_person() {
    let fakes = start().await;
    let sign_in = sign_in(&fakes);
    let token = fakes.outside().mint(&IdToken::google("web-client", "g-1", "n1")).expect("made");
    let google = sign_in.verify(SignInProvider::Google, &token, "n1").await.expect("believed");
    assert_eq!((google.subject.as_str(), google.email_verified), ("g-1", true));
    assert!(!google.is_relay);
    // An app that hashed the nonce, as Apple's sample does.
    let hashed = "a0f0d8ab0e8a4d0e0c0a6f4e2d2f4a0d";
    let token = fakes.outside().mint(&IdToken::apple("a-1", hashed)).expect("made");
    let apple = sign_in.verify(SignInProvider::Apple, &token, hashed).await.expect("believed");
    assert!(apple.is_relay && apple.email_verified);
    for _ in 0..3 {
        sign_in.verify(SignInProvider::Apple, &token, hashed).await.expect("believed");
    }
    assert_eq!(fakes.outside().calls(Part::AppleKeys).len(), 1, "the keys are kept");
}

#[tokio::test]
async fn each_fault_of_a_token_is_named() {
    let fakes = start().await;
    let sign_in = sign_in(&fakes);
    let good = IdToken::google("web-client", "g-1", "n1");
    let with = |claims: Value| IdToken { claims, ..good.clone() };
    let now = Clock::system().now().as_unix_seconds();
    let cases = [
        (IdToken { audience: "other".to_owned(), ..good.clone() }, TokenFault::Audience),
        (with(json!({"aud": ["web-client"]})), TokenFault::Audience),
        (with(json!({"iss": "https://appleid.apple.com"})), TokenFault::Issuer),
        (with(json!({"exp": now - 61})), TokenFault::Expired),
        (with(json!({"iat": now + 120})), TokenFault::Future),
        (with(json!({"sub": ""})), TokenFault::Malformed),
        (with(json!({"exp": "never"})), TokenFault::Malformed),
        (IdToken { nonce: None, ..good.clone() }, TokenFault::Nonce),
        (IdToken { nonce: Some("n2".to_owned()), ..good.clone() }, TokenFault::Nonce),
        (IdToken { by_stranger: true, ..good.clone() }, TokenFault::Signature),
        (IdToken { key_id: Some("k".to_owned()), ..good.clone() }, TokenFault::UnknownKey),
        (IdToken { algorithm: Some("HS256".to_owned()), ..good.clone() }, TokenFault::Algorithm),
        (IdToken { algorithm: Some("none".to_owned()), ..good.clone() }, TokenFault::Malformed),
    ];
    for (token, fault) in cases {
        let text = fakes.outside().mint(&token).expect("made");
        let error = sign_in.verify(SignInProvider::Google, &text, "n1").await;
        let Err(SignInError::Refused(found)) = error else { panic!("{fault:?}: {error:?}") };
        assert_eq!(found, fault);
    }
    let unverified = with(json!({"email": "x@mail.example", "email_verified": "false"}));
    let text = fakes.outside().mint(&unverified).expect("made");
    let person = sign_in.verify(SignInProvider::Google, &text, "n1").await.expect("believed");
    assert!(!person.email_verified);
    // Unknown keys are asked for once a minute, not once a token.
    assert_eq!(fakes.outside().calls(Part::GoogleKeys).len(), 1);
}

#[tokio::test]
async fn keys_that_cannot_be_had_refuse_nobody_for_good() {
    let fakes = start().await;
    let sign_in = sign_in(&fakes);
    let token = fakes.outside().mint(&IdToken::google("web-client", "g-1", "n1")).expect("made");
    for fault in [Fault::Status(500, 0), Fault::Page, Fault::Reset, Fault::Truncated] {
        fakes.outside().misbehave(Part::GoogleKeys, fault, 1);
    }
    let error = sign_in.verify(SignInProvider::Google, &token, "n1").await;
    assert!(matches!(error, Err(SignInError::Keys(_))), "{error:?}");
    sign_in.verify(SignInProvider::Google, &token, "n1").await.expect("believed on a later try");
}

#[tokio::test]
async fn apples_code_is_exchanged_once_and_its_refresh_token_can_be_ended() {
    let fakes = start().await;
    let key = fakes.outside().apple_key();
    let options = AppleCodesOptions {
        base_url: Some(format!("{}/apple", fakes.outside_url)),
        key: Secret::from_text(key.pem),
        key_id: key.key_id,
        team_id: key.team_id,
        client_id: APPLE_APP.to_owned(),
    };
    let codes = AppleCodes::new(options, ports()).expect("a client");
    let id_token = fakes.outside().mint(&IdToken::apple("a-1", "n1")).expect("made");
    let code = fakes.outside().apple_code(id_token.clone());
    let tokens = codes.exchange(&code, None).await.expect("exchanged");
    assert_eq!(tokens.id_token, id_token);
    let again = codes.exchange(&code, None).await.expect_err("used");
    assert!(matches!(again, ProviderError::Refused { .. }), "{again:?}");
    let refresh = tokens.refresh_token.expect("one was given");
    assert!(fakes.outside().has_refresh_token(refresh.expose()));
    codes.revoke(&refresh).await.expect("ended");
    assert!(!fakes.outside().has_refresh_token(refresh.expose()));
    // A code works once: an exchange that may have happened is not repeated.
    let code = fakes.outside().apple_code(id_token);
    fakes.outside().misbehave(Part::AppleToken, Fault::LostAnswer, 1);
    let lost = codes.exchange(&code, None).await.expect_err("nobody knows");
    assert!(matches!(lost, ProviderError::Unsettled { .. }), "{lost:?}");
}

#[tokio::test]
async fn calls_and_answers_are_as_the_providers_describe_them() {
    let Some(folder) = std::env::var_os("FAIRGROUND_TEST_SPECS") else {
        println!(
            "skipped calls_and_answers_are_as_the_providers_describe_them: \
             FAIRGROUND_TEST_SPECS names no folder"
        );
        return;
    };
    let contract = |name: &str| Contract::load(&Path::new(&folder).join(name)).expect("readable");
    let fakes = start().await;
    for mailer in [sendgrid(&fakes), postmark(&fakes)] {
        mailer.send(&mail("eff_1")).await.expect("taken");
        mailer.send(&Mail { to: "refused@a.example", ..mail("eff_2") }).await.expect_err("refused");
    }
    let push = push(&fakes);
    fakes.outside().forget_device("gone");
    for token in ["tok", "gone"] {
        drop(push.send(token, Platform::FcmToken, &message()).await);
    }
    for token in [device(1), device(3)] {
        fakes.outside().forget_device(&device(3));
        drop(push.send(&token, Platform::Apns, &message()).await);
    }
    let (official, ours) = ("sendgrid-mail-send-subset.json", "unofficial-contracts.json");
    for (part, file) in [
        (Part::Sendgrid, official),
        (Part::Postmark, ours),
        (Part::Fcm, "fcm-v1-subset.json"),
        (Part::Apns, ours),
    ] {
        let contract = contract(file);
        let calls = fakes.outside().calls(part);
        assert_eq!(calls.len(), 2, "{part:?}");
        for call in calls {
            let asked = contract.json_violations("POST", &call.path, &call.body);
            assert_eq!(asked, Vec::<String>::new(), "{part:?}");
            let answered =
                contract.answer_violations("POST", &call.path, call.status, &call.answer);
            assert_eq!(answered, Vec::<String>::new(), "{part:?}");
        }
    }
}
