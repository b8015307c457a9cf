//! The receiving half of SMTP (RFC 5321), for one machine: no TLS, no relaying, no accounts.
//!
//! Bounded in connections, line length, recipients, message size and idle time. Ends a message at
//! CRLF.CRLF and nowhere else. Read next: `message.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::{Inbox, Mail, message};
use crate::serve::{Stop, accept, drain, stopped};

const CONNECTIONS_MAX: usize = 64;
/// Of one command; RFC 5321 section 4.5.3.1.4 asks for 512 and more for extensions.
const COMMAND_MAX: usize = 2_048;
const TEXT_LINE_MAX: usize = 64 * 1024;
const MESSAGE_MAX: usize = 1024 * 1024;
const RECIPIENTS_MAX: usize = 100;
const ADDRESS_MAX: usize = 320;
const COMMANDS_MAX: usize = 10_000;
const IDLE_MAX: Duration = Duration::from_secs(300);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes mail until told to stop.
pub(crate) async fn relay(listener: TcpListener, inbox: Arc<Inbox>, mut stop: Stop) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut dialogues = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_) = dialogues.join_next(), if !dialogues.is_empty() => {}
            accepted = accept(&listener, &places) => {
                if let Some((stream, place)) = accepted {
                    dialogues.spawn(serve(stream, Arc::clone(&inbox), stop.clone(), place));
                } else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drain(dialogues).await;
}

async fn serve(stream: TcpStream, inbox: Arc<Inbox>, mut stop: Stop, _place: OwnedSemaphorePermit) {
    let (read, write) = stream.into_split();
    let mut dialogue = Dialogue::new(BufReader::new(read), write, inbox);
    let ended = tokio::select! {
        ended = dialogue.hold() => ended,
        () = stopped(&mut stop) => dialogue.say("421 closing").await,
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "mail dialogue ended");
    }
}

/// What the sender has said of the message so far.
#[derive(Default)]
struct Envelope {
    /// `Some` once there was a MAIL; empty for a bounce.
    from: Option<String>,
    to: Vec<String>,
}

struct Dialogue<R, W> {
    input: R,
    output: W,
    inbox: Arc<Inbox>,
    greeted: bool,
    envelope: Envelope,
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

impl<R, W> Dialogue<R, W>
where
    R: AsyncBufReadExt + AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    fn new(input: R, output: W, inbox: Arc<Inbox>) -> Self {
        Self { input, output, inbox, greeted: false, envelope: Envelope::default() }
    }

    async fn hold(&mut self) -> std::io::Result<()> {
        self.say("220 inbox.example ESMTP, mail stays here").await?;
        for _ in 0..COMMANDS_MAX {
            let line = match self.line(COMMAND_MAX).await? {
                Line::Whole(line) => line,
                Line::TooLong => {
                    self.say("500 line too long").await?;
                    continue;
                }
                Line::End => return Ok(()),
            };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "QUIT" => return self.say("221 bye").await,
                "DATA" => self.take_message(rest).await?,
                "EHLO" => {
                    self.greet(rest);
                    let size = format!("250 SIZE {MESSAGE_MAX}");
                    for answer in ["250-inbox.example", "250-PIPELINING", "250-8BITMIME", &size] {
                        self.say(answer).await?;
                    }
                }
                verb => {
                    let answer = self.answer(verb, rest.trim());
                    self.say(&answer).await?;
                }
            }
        }
        self.say("421 too many commands").await
    }

    fn greet(&mut self, _name: &str) {
        self.greeted = true;
        self.envelope = Envelope::default();
    }

    fn answer(&mut self, verb: &str, rest: &str) -> String {
        match verb {
            "HELO" => {
                self.greet(rest);
                "250 inbox.example".to_owned()
            }
            "MAIL" => self.sender(rest),
            "RCPT" => self.recipient(rest),
            "RSET" => {
                self.envelope = Envelope::default();
                "250 forgotten".to_owned()
            }
            "NOOP" => "250 still here".to_owned(),
            "VRFY" => "252 send it and see".to_owned(),
            "HELP" => "214 RFC 5321".to_owned(),
            "STARTTLS" | "AUTH" | "BDAT" | "ETRN" | "EXPN" => "502 not here".to_owned(),
            _ => "500 what".to_owned(),
        }
    }

    fn sender(&mut self, rest: &str) -> String {
        if !self.greeted {
            return "503 say EHLO first".to_owned();
        }
        if self.envelope.from.is_some() {
            return "503 one sender at a time".to_owned();
        }
        let Some((address, parameters)) = path_after(rest, "FROM:") else {
            return "501 MAIL FROM:<address>".to_owned();
        };
        for parameter in parameters.split_whitespace() {
            let upper = parameter.to_ascii_uppercase();
            if let Some(size) = upper.strip_prefix("SIZE=") {
                if size.parse::<usize>().is_ok_and(|size| size > MESSAGE_MAX) {
                    return "552 too big".to_owned();
                }
            } else if !matches!(upper.as_str(), "BODY=7BIT" | "BODY=8BITMIME" | "SMTPUTF8") {
                return "555 unknown parameter".to_owned();
            }
        }
        self.envelope.from = Some(address.to_owned());
        "250 go on".to_owned()
    }

    fn recipient(&mut self, rest: &str) -> String {
        if self.envelope.from.is_none() {
            return "503 say MAIL first".to_owned();
        }
        if self.envelope.to.len() == RECIPIENTS_MAX {
            return "452 too many recipients".to_owned();
        }
        match path_after(rest, "TO:") {
            Some((address, _)) if address.contains('@') => {
                self.envelope.to.push(address.to_owned());
                "250 go on".to_owned()
            }
            Some(_) => "553 no such mailbox".to_owned(),
            None => "501 RCPT TO:<address>".to_owned(),
        }
    }

    async fn take_message(&mut self, rest: &str) -> std::io::Result<()> {
        if !rest.is_empty() {
            return self.say("501 DATA stands alone").await;
        }
        if self.envelope.to.is_empty() {
            return self.say("503 say RCPT first").await;
        }
        self.say("354 end with a dot on its own line").await?;
        let mut raw = Vec::new();
        let mut too_big = false;
        loop {
            match self.line(TEXT_LINE_MAX).await? {
                Line::End => return Ok(()),
                Line::TooLong => too_big = true,
                Line::Whole(line) if line == b".\r\n" => break,
                Line::Whole(line) => {
                    // A dot was added to a line that begins with one (RFC 5321 section 4.5.2).
                    let text = line.strip_prefix(b".").unwrap_or(&line);
                    too_big |= raw.len() + text.len() > MESSAGE_MAX;
                    if !too_big {
                        raw.extend_from_slice(text);
                    }
                }
            }
        }
        let envelope = std::mem::take(&mut self.envelope);
        if too_big {
            return self.say("552 too big").await;
        }
        self.keep(envelope, &raw);
        self.say("250 kept").await
    }

    fn keep(&self, envelope: Envelope, raw: &[u8]) {
        let letter = message::read(raw);
        let from = envelope.from.unwrap_or_default();
        let received_at = crate::clock::wall();
        for to in envelope.to {
            self.inbox.keep_mail(Mail {
                from: from.clone(),
                to,
                subject: letter.subject.clone(),
                text: letter.text.clone(),
                received_at,
            });
        }
    }

    async fn say(&mut self, answer: &str) -> std::io::Result<()> {
        self.output.write_all(format!("{answer}\r\n").as_bytes()).await?;
        self.output.flush().await
    }

    /// The next line with its end. One that is too long is read to its end and forgotten.
    async fn line(&mut self, max: usize) -> std::io::Result<Line> {
        let idle = std::io::Error::from(std::io::ErrorKind::TimedOut);
        let reading = async {
            let mut too_long = false;
            loop {
                let mut line = Vec::new();
                let limit = u64::try_from(max).unwrap_or(u64::MAX);
                (&mut self.input).take(limit).read_until(b'\n', &mut line).await?;
                let ended = line.ends_with(b"\n");
                if line.is_empty() || (!ended && line.len() < max) {
                    return Ok(Line::End);
                }
                match (ended, too_long) {
                    (true, false) => return Ok(Line::Whole(line)),
                    (true, true) => return Ok(Line::TooLong),
                    (false, _) => too_long = true,
                }
            }
        };
        tokio::time::timeout(IDLE_MAX, reading).await.unwrap_or(Err(idle))
    }
}

/// The address in `FROM:<a@b> REST`, and the rest.
fn path_after<'a>(text: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (head, rest) = text.split_at_checked(keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let (address, rest) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    // A source route before the mailbox is to be ignored (RFC 5321 appendix C).
    let address = match address.strip_prefix('@') {
        Some(route) => route.split_once(':')?.1,
        None => address,
    };
    let plain = address.len() <= ADDRESS_MAX && !address.contains(char::is_control);
    plain.then_some((address, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::SmsAccount;

    async fn dialogue(input: &[u8]) -> (String, Arc<Inbox>) {
        let account = SmsAccount { account: "AC0".to_owned(), token: "t".to_owned() };
        let inbox = Arc::new(Inbox::new(account, 1));
        let mut output = Vec::new();
        let mut dialogue = Dialogue::new(BufReader::new(input), &mut output, Arc::clone(&inbox));
        dialogue.hold().await.expect("memory does not fail");
        (String::from_utf8(output).expect("answers are text"), inbox)
    }

    fn codes(answers: &str) -> Vec<&str> {
        answers.lines().map(|line| &line[..4]).collect()
    }

    #[tokio::test]
    async fn a_message_is_kept_for_each_recipient_with_its_dots_undone() {
        let (answers, inbox) = dialogue(
            b"EHLO a.example\r\nMAIL FROM:<x@a.example> SIZE=20\r\nRCPT TO:<one@b.example>\r\n\
            rcpt to: <@r.example:two@b.example>\r\nDATA\r\nSubject: Hi\r\n\r\n..dot\r\n.\n\r\n.\r\nQUIT\r\n",
        )
        .await;
        assert_eq!(
            codes(&answers),
            [
                "220 ", "250-", "250-", "250-", "250 ", "250 ", "250 ", "250 ", "354 ", "250 ",
                "221 "
            ]
        );
        let mails = inbox.mails(None);
        assert_eq!(mails.len(), 2);
        assert_eq!(mails[0].to, "two@b.example");
        assert_eq!((mails[1].subject.as_str(), mails[1].text.as_str()), ("Hi", ".dot"));
    }

    #[tokio::test]
    async fn commands_out_of_turn_and_wrong_ones_are_refused() {
        let (answers, inbox) = dialogue(
            b"MAIL FROM:<x@a.example>\r\nHELO a\r\nRCPT TO:<x@a.example>\r\nDATA\r\nMAIL x\r\n\
            MAIL FROM:<>\r\nMAIL FROM:<>\r\nRCPT TO:<nobody>\r\nRCPT x\r\nDATA now\r\nRSET\r\nNOOP\r\n\
            MAIL FROM:<a@b.example> SIZE=9999999\r\nMAIL FROM:<a@b.example> X=1\r\nSTARTTLS\r\nFOO\r\n",
        )
        .await;
        assert_eq!(
            codes(&answers),
            [
                "220 ", "503 ", "250 ", "503 ", "503 ", "501 ", "250 ", "503 ", "553 ", "501 ",
                "501 ", "250 ", "250 ", "552 ", "555 ", "502 ", "500 "
            ]
        );
        assert!(inbox.mails(None).is_empty());
    }

    #[tokio::test]
    async fn lines_and_messages_that_are_too_long_are_refused_and_forgotten() {
        let mut input = b"EHLO a\r\n".to_vec();
        input.extend(vec![b'x'; COMMAND_MAX * 2]);
        input.extend(b"\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@b.example>\r\nDATA\r\n");
        for _ in 0..(MESSAGE_MAX / 1_000 + 1) {
            input.extend(vec![b'y'; 1_000]);
            input.extend(b"\r\n");
        }
        input.extend(b".\r\nQUIT\r\n");
        let (answers, inbox) = dialogue(&input).await;
        let codes = codes(&answers);
        assert_eq!(&codes[5..], ["500 ", "250 ", "250 ", "354 ", "552 ", "221 "]);
        assert!(inbox.mails(None).is_empty());
    }

    #[tokio::test]
    async fn a_message_that_is_cut_off_is_not_kept() {
        let (_, inbox) = dialogue(
            b"HELO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@b.example>\r\nDATA\r\nhalf a mes",
        )
        .await;
        assert!(inbox.mails(None).is_empty());
    }
}
