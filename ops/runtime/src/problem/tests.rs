//! The shape of problems, through real routes.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::routing::{get, post};
use fairground_types::{AuctionId, Currency, Money};
use serde::Deserialize;
use tower::ServiceExt as _;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bid {
    amount_minor: u64,
    version: Option<u64>,
    nested: Option<Nested>,
}

#[derive(Debug, Deserialize)]
struct Nested {
    label: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    limit: u32,
}

fn routes() -> Router {
    wrap(
        Router::new()
            .route(
                "/bids/{auction}",
                post(|ApiPath(_): ApiPath<AuctionId>, ApiJson(bid): ApiJson<Bid>| async move {
                    let label = bid.nested.map(|nested| nested.label).unwrap_or_default();
                    format!("{} {:?} {label}", bid.amount_minor, bid.version)
                }),
            )
            .route(
                "/page",
                get(|ApiQuery(page): ApiQuery<Page>| async move { page.limit.to_string() }),
            )
            .route(
                "/panic",
                get(|| async {
                    if true {
                        panic!("planted")
                    }
                }),
            )
            .route(
                "/full",
                get(|| async {
                    Problem::new(Code::NotBidReady, "this edge is catching up")
                        .with_retry_after(Millis::new(1_500))
                }),
            )
            .route("/me", get(|| async { Problem::from(Code::AuthRequired) })),
    )
}

async fn ask(request: Request) -> (StatusCode, axum::http::HeaderMap, Value) {
    let response = routes().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.expect("short");
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (parts.status, parts.headers, body)
}

fn request(method: &str, path: &str, content_type: Option<&str>, body: &str) -> Request {
    let mut builder = Request::builder().method(method).uri(path);
    if let Some(content_type) = content_type {
        builder = builder.header(header::CONTENT_TYPE, content_type);
    }
    builder.body(Body::from(body.to_owned())).expect("valid")
}

fn bid_path() -> String {
    format!("/bids/{}", AuctionId::from_bits(3))
}

#[tokio::test]
async fn a_problem_has_every_member_and_its_headers() {
    let mut sent = request("GET", "/full?x=1", None, "");
    sent.headers_mut().insert(REQUEST_ID_HEADER, HeaderValue::from_static("client-0001"));
    let (status, headers, body) = ask(sent).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(headers[header::RETRY_AFTER], "2");
    assert_eq!(headers[REQUEST_ID_HEADER], "client-0001");
    let expected = serde_json::json!({
        "type": "/errors/NOT_BID_READY",
        "title": Code::NotBidReady.title(),
        "status": 503,
        "detail": "this edge is catching up",
        "instance": "/full",
        "code": "NOT_BID_READY",
        "requestId": "client-0001",
        "retryable": true,
        "retryAfterMs": 1_500,
        "fields": [],
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_malformed_request_id_is_replaced() {
    for bad in ["short", "has space in it", "semi;colon;id", &"x".repeat(65)] {
        let mut sent = request("GET", "/nowhere", None, "");
        sent.headers_mut().insert(REQUEST_ID_HEADER, HeaderValue::from_str(bad).expect("ascii"));
        let (_, headers, body) = ask(sent).await;
        let echoed = headers[REQUEST_ID_HEADER].to_str().expect("ascii");
        assert_ne!(echoed, bad);
        assert_eq!(body["requestId"], echoed);
    }
}

#[tokio::test]
async fn every_malformed_request_gets_its_code_and_field() {
    let json = Some("application/json");
    let cases = [
        ("POST", bid_path(), json, "{\"amountMinor\":1", "VALIDATION_FAILED", None),
        ("POST", bid_path(), json, "{}", "VALIDATION_FAILED", Some("amountMinor")),
        (
            "POST",
            bid_path(),
            json,
            "{\"amountMinor\":-1}",
            "VALIDATION_FAILED",
            Some("amountMinor"),
        ),
        ("POST", bid_path(), json, "{\"amountMinor\":1,\"x\":2}", "VALIDATION_FAILED", Some("x")),
        (
            "POST",
            bid_path(),
            json,
            "{\"amountMinor\":1,\"nested\":{}}",
            "VALIDATION_FAILED",
            Some("nested.label"),
        ),
        (
            "POST",
            bid_path(),
            json,
            "{\"nested\":{\"label\":\"9 \\\"99999999999999999\"},\"amountMinor\":9007199254740992,\"version\":9007199254740992}",
            "VALIDATION_FAILED",
            Some("version"),
        ),
        ("POST", bid_path(), json, "{\"amountMinor\":1} x", "VALIDATION_FAILED", None),
        ("POST", bid_path(), json, "[]", "VALIDATION_FAILED", Some("body")),
        ("POST", bid_path(), None, "{\"amountMinor\":1}", "MEDIA_UNSUPPORTED", None),
        ("POST", bid_path(), Some("text/plain"), "{}", "MEDIA_UNSUPPORTED", None),
        ("POST", "/bids/usr_x".to_owned(), json, "{}", "VALIDATION_FAILED", Some("auction")),
        ("GET", "/page".to_owned(), None, "", "VALIDATION_FAILED", Some("limit")),
        ("GET", "/page?limit=many".to_owned(), None, "", "VALIDATION_FAILED", Some("limit")),
        ("GET", "/nowhere".to_owned(), None, "", "NOT_FOUND", None),
        ("DELETE", "/page".to_owned(), None, "", "METHOD_NOT_ALLOWED", None),
        ("GET", "/panic".to_owned(), None, "", "INTERNAL", None),
        ("GET", "/me".to_owned(), None, "", "AUTH_REQUIRED", None),
    ];
    for (method, path, content_type, sent, code, field) in cases {
        let (status, headers, body) = ask(request(method, &path, content_type, sent)).await;
        let what = format!("{method} {path} {sent}: {body}");
        assert_eq!(body["code"], code, "{what}");
        assert_eq!(body["status"], status.as_u16(), "{what}");
        assert_eq!(body["fields"][0]["field"].as_str(), field, "{what}");
        assert_eq!(body["instance"], path.split('?').next().unwrap_or_default(), "{what}");
        assert_eq!(headers.contains_key(header::WWW_AUTHENTICATE), status.as_u16() == 401);
        assert_eq!(headers.contains_key(header::ALLOW), status.as_u16() == 405, "{what}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let long = format!("{{\"amountMinor\":1{}}}", " ".repeat(JSON_BODY_MAX));
    let json = Some("application/json; charset=utf-8");
    let (status, _, body) = ask(request("POST", &bid_path(), json, &long)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body["code"], "BODY_TOO_LARGE");
    let fits = "{\"amountMinor\":12}";
    let (status, ..) = ask(request("POST", &bid_path(), json, fits)).await;
    assert_eq!(status, StatusCode::OK);
}

#[test]
fn a_rejection_of_the_market_keeps_its_facts() {
    let auction = AuctionId::from_bits(9);
    let now = Timestamp::from_unix_millis(10_000);
    let minimum = Money::new(10_500, Currency::parse("EUR").expect("known"));
    let rejection = Rejection::new(Code::BidTooLow, "the next bid is 105.00 EUR or more")
        .with_min_next(minimum)
        .with_auction(auction)
        .with_retry_at(Timestamp::from_unix_millis(12_000))
        .late();
    let problem = Problem::from_rejection(&rejection, now).with("code", "FORGED");
    let body = problem.body(&RequestId::generate(), None);
    assert_eq!(body["minNextBid"]["amountMinor"], 10_500);
    assert_eq!(body["auctionId"], auction.to_string());
    assert_eq!((&body["late"], &body["retryAfterMs"]), (&true.into(), &2_000.into()));
    assert_eq!(body["code"], "BID_TOO_LOW");
    assert!(body.get("instance").is_none());
}
