//! The mail relay by a real mail client, and the SMS gateway by HTTP.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up must fail")]

use std::time::Duration;

use fairground_fakes::{Fakes, FakesHandle, FakesOptions};
use lettre::message::{MultiPart, header::ContentType};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::{Value, json};

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

async fn start() -> FakesHandle {
    Fakes::start(FakesOptions::default()).await.expect("the fakes start")
}

fn mailer(fakes: &FakesHandle) -> AsyncSmtpTransport<Tokio1Executor> {
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(fakes.smtp_addr.ip().to_string())
        .port(fakes.smtp_addr.port())
        .timeout(Some(Duration::from_secs(5)))
        .build()
}

async fn json_at(url: String) -> Value {
    client().get(url).send().await.expect("an answer").json().await.expect("JSON")
}

fn letter(to: &str) -> lettre::message::MessageBuilder {
    Message::builder()
        .from("Fairground <market@fairground.example>".parse().expect("an address"))
        .to(to.parse().expect("an address"))
}

#[tokio::test]
async fn mail_of_a_real_client_is_shown_newest_first() {
    let fakes = start().await;
    let mailer = mailer(&fakes);
    let code = letter("buyer-7@fairground.example")
        .subject("Your code – für Käufer")
        .header(ContentType::TEXT_PLAIN)
        .body("Your code is 123456.\n.A line that begins with a dot.\nÄ".to_owned())
        .expect("a message");
    mailer.send(code).await.expect("it is taken");
    let parts = MultiPart::alternative_plain_html(
        "Outbid: €5 more wins.".to_owned(),
        "<p>Outbid: <b>€5</b> more wins.</p>".to_owned(),
    );
    let outbid = letter("buyer-7@fairground.example").subject("Outbid").multipart(parts);
    mailer.send(outbid.expect("a message")).await.expect("it is taken");
    let other = letter("maker-1@fairground.example").subject("Sold").body("x".to_owned());
    mailer.send(other.expect("a message")).await.expect("it is taken");

    let found = json_at(format!("{}/mail?to=buyer-7%40fairground.example", fakes.inbox_url)).await;
    let messages = found["messages"].as_array().expect("a list");
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["subject"], "Outbid");
    assert_eq!(messages[0]["text"], "Outbid: €5 more wins.");
    assert_eq!(messages[1]["subject"], "Your code – für Käufer");
    assert_eq!(messages[1]["text"], "Your code is 123456.\n.A line that begins with a dot.\nÄ");
    assert_eq!(messages[1]["from"], "market@fairground.example");
    assert!(messages[1]["receivedAt"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert_eq!(fakes.mail_to("maker-1@fairground.example").len(), 1);

    let page = client().get(&fakes.inbox_url).send().await.expect("a page");
    let page = page.text().await.expect("text");
    assert!(page.contains("Your code is 123456."));
    assert!(page.contains("<html lang=\"en\">"));
    fakes.shutdown().await;
}

#[tokio::test]
async fn a_mail_that_is_too_big_is_refused_for_good() {
    let fakes = start().await;
    let line = format!("{}\n", "x".repeat(70));
    let big = letter("buyer-7@fairground.example").subject("Big").body(line.repeat(16 * 1024));
    let refused = mailer(&fakes).send(big.expect("a message")).await;
    assert!(refused.is_err_and(|error| error.is_permanent()));
    assert!(fakes.mail_to("buyer-7@fairground.example").is_empty());
}

async fn sms(fakes: &FakesHandle, token: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let account = FakesOptions::default().sms_account;
    let url = format!("{}/2010-04-01/Accounts/{account}/Messages.json", fakes.sms_url);
    let request = client().post(url).basic_auth(&account, Some(token)).form(form);
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_text_message_is_kept_and_answered_as_the_gateway_does() {
    let fakes = start().await;
    let token = FakesOptions::default().sms_token;
    let form = [("To", "+4915550001234"), ("From", "+15005550006"), ("Body", "Code 123456")];
    let (status, message) = sms(&fakes, &token, &form).await;
    assert_eq!((status, &message["status"]), (201, &json!("queued")));
    assert!(message["sid"].as_str().is_some_and(|sid| sid.starts_with("SM") && sid.len() == 34));
    let found = json_at(format!("{}/sms?to=+4915550001234", fakes.inbox_url)).await;
    assert_eq!(found["messages"][0]["text"], "Code 123456");
    assert_eq!(found["messages"][0]["sid"], message["sid"]);
    assert_eq!(fakes.sms_to("+4915550001234").len(), 1);
    check_against_the_gateways_description(&message);
}

#[expect(clippy::print_stdout, reason = "a check that is skipped says so")]
fn check_against_the_gateways_description(message: &Value) {
    let Some(folder) = std::env::var_os("FAIRGROUND_TEST_SPECS") else {
        println!("skipped: FAIRGROUND_TEST_SPECS names no folder with the gateway's description");
        return;
    };
    let path = std::path::Path::new(&folder).join("twilio-messages-subset.json");
    let description = fairground_fakes::Contract::load(&path).expect("it can be read");
    let found = description.object_violations("api.v2010.account.message", message);
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test]
async fn text_messages_are_refused_with_the_gateways_codes() {
    let fakes = start().await;
    let token = FakesOptions::default().sms_token;
    let good = [("To", "+4915550001234"), ("From", "+15005550006"), ("Body", "x")];
    assert_eq!(sms(&fakes, "wrong", &good).await.1["code"], 20_003);
    let long = "x".repeat(1_601);
    let cases: [(&[(&str, &str)], u32); 8] = [
        (&[("From", "+15005550006"), ("Body", "x")], 21_604),
        (&[("To", "0123"), ("From", "+15005550006"), ("Body", "x")], 21_211),
        (&[("To", "+15005550001"), ("From", "+15005550006"), ("Body", "x")], 21_211),
        (&[("To", "+15005550004"), ("From", "+15005550006"), ("Body", "x")], 21_610),
        (&[("To", "+15005550009"), ("From", "+15005550006"), ("Body", "x")], 21_614),
        (&[("To", "+4915550001234"), ("Body", "x")], 21_603),
        (&[("To", "+4915550001234"), ("From", "+15005550006")], 21_602),
        (&[("To", "+4915550001234"), ("From", "+15005550006"), ("Body", &long)], 21_617),
    ];
    for (form, code) in cases {
        let (status, error) = sms(&fakes, &token, form).await;
        assert_eq!((status, &error["code"]), (400, &json!(code)));
    }
    assert!(fakes.sms_to("+4915550001234").is_empty());
}
