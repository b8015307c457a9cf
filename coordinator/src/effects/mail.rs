//! Mail over SMTP (RFC 5321): plain text, one message per effect.
//!
//! The message's id is the effect's, so a relay or a reader can tell a repetition. Without TLS only a
//! relay on this machine is spoken to. It must not know what a mail says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fairground_runtime::config::Secret;
use fairground_types::{ClusterId, EffectId};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::error::Error;
use crate::options::MailOptions;

/// How long one mail may take.
const SEND_WAIT: Duration = Duration::from_secs(60);
const CONNECT_WAIT: Duration = Duration::from_secs(15);

/// Why something was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// There is no way out configured.
    #[error("send with sending switched off")]
    Off,
    /// It will never be taken.
    #[error("have it taken: {0}")]
    Refused(String),
    /// It may be taken later.
    #[error("reach the relay: {0}")]
    Later(String),
}

/// Sends mail.
pub(crate) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    domain: String,
}

impl Mailer {
    /// A mailer, when a relay is configured.
    pub(crate) fn new(options: &MailOptions, cluster: ClusterId) -> Result<Option<Self>, Error> {
        let Some(address) = &options.smtp_address else { return Ok(None) };
        let (host, port) = split_address(address)?;
        let mut builder = if is_loopback(host) {
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        } else {
            AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host).map_err(Error::Mail)?
        };
        if let (Some(user), Some(password)) =
            (&options.user, Secret::from_option(options.password_file.as_deref())?)
        {
            let password = password.expose().trim().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        let transport = builder.port(port).timeout(Some(CONNECT_WAIT)).build();
        let from: Mailbox = options.from.parse().map_err(Error::MailAddress)?;
        Ok(Some(Self { transport, from, domain: cluster.to_string() }))
    }

    /// Sends one plain mail.
    pub(crate) async fn send(
        &self,
        effect: EffectId,
        to: &str,
        subject: &str,
        text: &str,
    ) -> Result<(), SendError> {
        let to: Mailbox = to.parse().map_err(|_| SendError::Refused("the address".to_owned()))?;
        let message = Message::builder()
            .message_id(Some(format!("<{effect}@{}.fairground>", self.domain)))
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .body(text.to_owned())
            .map_err(|error| SendError::Refused(error.to_string()))?;
        match tokio::time::timeout(SEND_WAIT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(SendError::Refused(without_text(&error))),
            Ok(Err(error)) => Err(SendError::Later(without_text(&error))),
            Err(_) => Err(SendError::Later("no answer in time".to_owned())),
        }
    }
}

/// What the log may say of a failure: what a relay answers may repeat the address, its code does not.
fn without_text(error: &lettre::transport::smtp::Error) -> String {
    error.status().map_or_else(|| error.to_string(), |code| format!("status {code}"))
}

fn split_address(address: &str) -> Result<(&str, u16), Error> {
    let wrong =
        |problem: &str| Error::Setting { key: "mail.smtp_address", problem: problem.to_owned() };
    let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("expected `host:port`"))?;
    let port = port.parse().map_err(|_| wrong("the port is no number"))?;
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
    fn relay_elsewhere_is_not_spoken_to_in_clear() {
        assert!(is_loopback("127.0.0.1") && is_loopback("localhost"));
        assert!(!is_loopback("mail.example") && !is_loopback("192.0.2.7"));
        assert!(matches!(split_address("127.0.0.1:2525"), Ok(("127.0.0.1", 2525))));
        assert!(split_address("127.0.0.1").is_err());
    }
}
