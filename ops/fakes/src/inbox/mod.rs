//! A mail relay and an SMS gateway that keep what they are given, for people and tests to read.
//!
//! The newest 1,000 of each and 64 MiB of mail at most; nothing is ever sent on. Read next:
//! `smtp` for how mail comes in, `sms` for messages, `page` for how both are shown.

mod message;
mod page;
mod sms;
mod smtp;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::{get, post};
use fairground_types::Timestamp;
use serde::Serialize;

use crate::ids::Ids;
pub(crate) use smtp::relay;

const MESSAGES_MAX: usize = 1_000;
const MAIL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A mail as one recipient got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// The sender of the envelope.
    pub from: String,
    /// The recipient of the envelope.
    pub to: String,
    /// The subject, decoded.
    pub subject: String,
    /// The plain text, decoded.
    pub text: String,
    /// When it came.
    pub received_at: Timestamp,
}

/// A text message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sms {
    /// The gateway's id (`SM...`).
    pub sid: String,
    /// The sender, or the sending service.
    pub from: String,
    /// The recipient's number.
    pub to: String,
    /// The text.
    pub text: String,
    /// When it came.
    pub received_at: Timestamp,
}

/// What the gateway lets in.
pub(crate) struct SmsAccount {
    /// The account's id (`AC...`).
    pub(crate) account: String,
    /// Its token.
    pub(crate) token: String,
}

/// The inbox.
pub(crate) struct Inbox {
    account: SmsAccount,
    ids: Ids,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Newest first.
    mails: VecDeque<Mail>,
    mail_bytes: usize,
    /// Newest first.
    texts: VecDeque<Sms>,
}

impl Mail {
    fn bytes(&self) -> usize {
        self.from.len() + self.to.len() + self.subject.len() + self.text.len()
    }
}

impl Inbox {
    pub(crate) fn new(account: SmsAccount, seed: u64) -> Self {
        Self { account, ids: Ids::new(seed), kept: Mutex::new(Kept::default()) }
    }

    /// Everything that is served over HTTP.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/", get(page::show))
            .route("/mail", get(page::mails))
            .route("/sms", get(page::texts))
            .route("/2010-04-01/Accounts/{account}/Messages.json", post(sms::send))
            .route("/healthz", get(async || "ok\n"))
            .with_state(Arc::clone(self))
    }

    /// Mail to an address, newest first; to anyone when there is none.
    pub(crate) fn mails(&self, to: Option<&str>) -> Vec<Mail> {
        let fits = |mail: &&Mail| to.is_none_or(|to| mail.to.eq_ignore_ascii_case(to.trim()));
        self.kept().mails.iter().filter(fits).cloned().collect()
    }

    /// Messages to a number, newest first; to anyone when there is none.
    pub(crate) fn texts(&self, to: Option<&str>) -> Vec<Sms> {
        let fits = |sms: &&Sms| to.is_none_or(|to| digits(&sms.to) == digits(to));
        self.kept().texts.iter().filter(fits).cloned().collect()
    }

    pub(crate) fn keep_mail(&self, mail: Mail) {
        let mut kept = self.kept();
        kept.mail_bytes += mail.bytes();
        kept.mails.push_front(mail);
        while kept.mails.len() > MESSAGES_MAX || kept.mail_bytes > MAIL_BYTES_MAX {
            let Some(oldest) = kept.mails.pop_back() else { break };
            kept.mail_bytes = kept.mail_bytes.saturating_sub(oldest.bytes());
        }
    }

    fn keep_text(&self, sms: Sms) {
        let mut kept = self.kept();
        kept.texts.push_front(sms);
        kept.texts.truncate(MESSAGES_MAX);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number by its digits alone: a `+` in a query is often read as a blank.
fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> Inbox {
        let account = SmsAccount { account: "AC0".to_owned(), token: "t".to_owned() };
        Inbox::new(account, 1)
    }

    fn mail(to: &str, subject: &str) -> Mail {
        Mail {
            from: "market@fairground.example".to_owned(),
            to: to.to_owned(),
            subject: subject.to_owned(),
            text: String::new(),
            received_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn the_newest_thousand_stay_newest_first() {
        let inbox = inbox();
        for number in 0..1_005 {
            inbox.keep_mail(mail("buyer-7@a.example", &number.to_string()));
        }
        let mails = inbox.mails(Some("Buyer-7@A.example"));
        assert_eq!(mails.len(), MESSAGES_MAX);
        assert_eq!(mails[0].subject, "1004");
        assert!(inbox.mails(Some("buyer-8@a.example")).is_empty());
    }

    #[test]
    fn mail_is_bounded_in_bytes_too() {
        let inbox = inbox();
        for _ in 0..70 {
            let text = "x".repeat(1024 * 1024);
            inbox.keep_mail(Mail { text, ..mail("buyer-7@a.example", "big") });
        }
        assert!(inbox.mails(None).len() < 64);
        assert!(inbox.kept().mail_bytes <= MAIL_BYTES_MAX);
    }
}
