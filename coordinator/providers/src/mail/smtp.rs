//! Mail by a relay over SMTP (RFC 5321).
//!
//! 2yz is taken, 4yz later, 5yz never. Without TLS only a relay on this machine is spoken to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fairground_runtime::config::Secret;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::{Accepted, Mail, Sender};
use crate::error::ProviderError;

const PROVIDER: &str = "the mail relay";
/// How long one mail may take.
const SEND_WAIT: Duration = Duration::from_secs(60);
const CONNECT_WAIT: Duration = Duration::from_secs(15);

/// How the relay is reached.
#[derive(Debug, Clone)]
pub struct SmtpOptions {
    /// `host:port`.
    pub address: String,
    /// User and password, if it wants them.
    pub login: Option<(String, Secret)>,
    /// Sender of every mail.
    pub from: String,
    /// The right half of a message's id: the cluster's name.
    pub domain: String,
}

#[derive(Debug)]
pub(super) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    sender: Sender,
}

impl Smtp {
    pub(super) fn new(options: SmtpOptions) -> Result<Self, ProviderError> {
        let sender = Sender::new(PROVIDER, &options.from, &options.domain)?;
        let (host, port) = split_address(&options.address)?;
        let mut builder = if is_loopback(host) {
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        } else {
            AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host)
                .map_err(|_| misconfigured("tls"))?
        };
        if let Some((user, password)) = options.login {
            let password = password.expose().trim().to_owned();
            builder = builder.credentials(Credentials::new(user, password));
        }
        let transport = builder.port(port).timeout(Some(CONNECT_WAIT)).build();
        Ok(Self { transport, sender })
    }

    pub(super) async fn send(&self, mail: &Mail<'_>) -> Result<Accepted, ProviderError> {
        let refused = |code: &str| ProviderError::Refused { provider: PROVIDER, code: code.into() };
        let gone = |_| gone("address");
        let to: Mailbox = mail.to.parse().map_err(gone)?;
        let id = self.sender.message_id(mail.id);
        let message = Message::builder()
            .message_id(Some(id.clone()))
            .from(self.sender.from.clone())
            .to(to)
            .subject(mail.subject)
            .body(mail.text.to_owned())
            .map_err(|_| refused("message"))?;
        match tokio::time::timeout(SEND_WAIT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(Accepted { id: Some(id) }),
            Ok(Err(error)) => Err(classified(&error)),
            Err(_) => Err(lost()),
        }
    }
}

/// What a relay answers may repeat the address; its code does not.
fn classified(error: &lettre::transport::smtp::Error) -> ProviderError {
    let Some(code) = error.status() else {
        return if error.is_client() { misconfigured("client") } else { lost() };
    };
    let code = u16::from(code);
    match code {
        // Authentication wanted, refused or too weak (RFC 4954): nothing about this mail.
        530 | 534 | 535 | 538 => misconfigured("authentication"),
        550 | 551 | 553 if is_about_the_mailbox(&error.to_string()) => gone(&code.to_string()),
        500..=599 => ProviderError::Refused { provider: PROVIDER, code: code.to_string() },
        _ => ProviderError::Unavailable {
            provider: PROVIDER,
            status: code,
            code: String::new(),
            retry_after: None,
        },
    }
}

/// Whether a refusal speaks of the mailbox: 5.1.x (no such address) and 5.2.1 (switched off) do, 5.7.x
/// (policy, spam) and the like do not (RFC 3463). Without such a code the basic one has to do.
fn is_about_the_mailbox(answer: &str) -> bool {
    let is_code = |word: &&str| {
        let mut parts = word.split('.');
        let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u16>().is_ok());
        parts.next() == Some("5") && is_number(parts.next()) && is_number(parts.next())
    };
    let words = answer.split(|letter: char| !(letter.is_ascii_digit() || letter == '.'));
    let enhanced: Vec<&str> = words.filter(is_code).collect();
    enhanced.first().is_none_or(|code| code.starts_with("5.1.") || *code == "5.2.1")
}

fn gone(code: &str) -> ProviderError {
    ProviderError::Gone { provider: PROVIDER, code: code.to_owned(), since: None }
}

const fn lost() -> ProviderError {
    ProviderError::Unsettled { provider: PROVIDER, status: None, source: None }
}

fn misconfigured(code: &str) -> ProviderError {
    ProviderError::Misconfigured { provider: PROVIDER, code: code.to_owned() }
}

fn split_address(address: &str) -> Result<(&str, u16), ProviderError> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| misconfigured("address"))?;
    let port = port.parse().map_err(|_| misconfigured("port"))?;
    Ok((host, port))
}

fn is_loopback(host: &str) -> bool {
    let literal = host
        .parse::<IpAddr>()
        .or_else(|_| format!("{host}:0").parse::<SocketAddr>().map(|address| address.ip()));
    host == "localhost" || literal.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_speaks_of_the_mailbox_or_of_the_mail() {
        let about = is_about_the_mailbox;
        assert!(about("permanent error (550): 5.1.1 <x> user unknown"));
        assert!(about("permanent error (550): 5.2.1 mailbox disabled"));
        assert!(about("permanent error (550): no such user"));
        assert!(!about("permanent error (550): 5.7.1 message looks like spam, see 5.1.1"));
        assert!(!about("permanent error (550): 5.2.2 mailbox full"));
    }

    #[test]
    fn relay_elsewhere_is_not_spoken_to_in_clear() {
        assert!(is_loopback("127.0.0.1") && is_loopback("localhost"));
        assert!(!is_loopback("mail.example") && !is_loopback("192.0.2.7"));
        assert!(matches!(split_address("127.0.0.1:2525"), Ok(("127.0.0.1", 2525))));
        assert!(split_address("127.0.0.1").is_err());
    }
}
