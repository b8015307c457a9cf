//! Stripe's error answers. Read next: `params.rs`, which makes most of them.

use serde_json::{Value, json};

/// A call that is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) param: Option<String>,
    pub(crate) message: String,
}

impl Refusal {
    /// A request that makes no sense.
    pub(crate) fn invalid(code: Option<&'static str>, param: &str, message: &str) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            code,
            param: (!param.is_empty()).then(|| param.to_owned()),
            message: message.to_owned(),
        }
    }

    pub(crate) fn missing(param: &str) -> Self {
        let message = format!("Missing required param: {param}.");
        Self::invalid(Some("parameter_missing"), param, &message)
    }

    pub(crate) fn unknown(param: &str) -> Self {
        let message = format!("Received unknown parameter: {param}");
        Self::invalid(Some("parameter_unknown"), param, &message)
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        let message = format!("No such {what}: '{id}'");
        Self { status: 404, ..Self::invalid(Some("resource_missing"), "id", &message) }
    }

    pub(crate) fn no_route(method: &str, path: &str) -> Self {
        let message = format!("Unrecognized request URL ({method}: {path}).");
        Self { status: 404, ..Self::invalid(None, "", &message) }
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self { status: 401, ..Self::invalid(None, "", message) }
    }

    pub(crate) fn other_parameters() -> Self {
        Self {
            status: 400,
            kind: "idempotency_error",
            code: None,
            param: None,
            message: "Keys for idempotent requests can only be used with the same parameters they \
                      were first used with."
                .to_owned(),
        }
    }

    pub(crate) fn still_running() -> Self {
        Self {
            status: 409,
            kind: "idempotency_error",
            code: Some("idempotency_key_in_use"),
            param: None,
            message: "There is currently another in-progress request using this key.".to_owned(),
        }
    }

    /// A fault that was asked for.
    pub(crate) fn ordered(status: u16) -> Self {
        let (kind, code) = match status {
            429 => ("invalid_request_error", Some("rate_limit")),
            409 => ("invalid_request_error", Some("lock_timeout")),
            500.. => ("api_error", None),
            _ => ("invalid_request_error", None),
        };
        let message = "This answer was ordered by the test.".to_owned();
        Self { status, kind, code, param: None, message }
    }

    pub(crate) fn body(&self) -> Value {
        let mut error = json!({"type": self.kind, "message": self.message});
        if let Some(code) = self.code {
            error["code"] = code.into();
            error["doc_url"] = format!("https://stripe.com/docs/error-codes/{code}").into();
        }
        if let Some(param) = &self.param {
            error["param"] = param.as_str().into();
        }
        json!({"error": error})
    }
}
