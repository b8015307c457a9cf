//! Private texts: sealed before a command enters the log, opened for whoever may read them.
//!
//! ```text
//!  edge --as typed, over the cluster's own connection--> member: key of its own per text, wrapped
//!  under the epoch key, bound to its author --> log.   reads: opened here, for the row's reader
//! ```
//! A text whose wrapped key is dropped is gone. It must not know who may read what; the market's rows
//! say that. Read next: `fairground_types::command::SealedText`.

use fairground_market::{IssueRow, MessageList, OrderRow, Words};
use fairground_runtime::error::SecretError;
use fairground_runtime::secret::{DataKey, mac};
use fairground_types::UserId;
use fairground_types::command::{
    Actor, Command, Envelope, IssueCommand, OrderCommand, PostalAddress, SealedText,
};

use crate::identity::Secrets;

const CONTEXT: &str = "fairground private text v1";

fn context(author: UserId) -> Vec<u8> {
    format!("{CONTEXT} {author}").into_bytes()
}

/// Seals one text of an author.
pub(crate) fn seal_text(
    secrets: &Secrets,
    author: UserId,
    text: &mut SealedText,
) -> Result<(), SecretError> {
    if text.is_sealed() {
        return Ok(());
    }
    let context = context(author);
    let key = DataKey::generate();
    let mark = mac(&secrets.code, &[b"private text", &context, &text.body]);
    let sealed = key.seal(&context, &text.body)?;
    *text = SealedText {
        key: secrets.epoch.wrap(&context, &key)?,
        body: sealed,
        mark,
        chars: text.chars,
    };
    Ok(())
}

/// Seals every text of a command that is not sealed yet.
pub(crate) fn seal(secrets: &Secrets, envelope: &mut Envelope) -> Result<(), SecretError> {
    let Actor::User(author) = envelope.actor else { return Ok(()) };
    for text in texts(&mut envelope.command) {
        seal_text(secrets, author, text).inspect_err(|error| {
            tracing::error!(%error, "a private text was not sealed");
        })?;
    }
    Ok(())
}

fn texts(command: &mut Command) -> Vec<&mut SealedText> {
    match command {
        Command::Order(command) => of_order(command),
        Command::Issue(command) => of_issue(command),
        _ => Vec::new(),
    }
}

fn of_order(command: &mut OrderCommand) -> Vec<&mut SealedText> {
    match command {
        OrderCommand::ChangeAddress { address, .. } => vec![&mut address.sealed],
        OrderCommand::ConfirmDelivery { review: Some(review), .. } => {
            review.text.iter_mut().collect()
        }
        OrderCommand::CancelOrder { reason, .. } => reason.iter_mut().collect(),
        OrderCommand::PostMessage { text, .. } => vec![text],
        OrderCommand::ConfirmDelivery { review: None, .. }
        | OrderCommand::AddTracking { .. }
        | OrderCommand::CorrectTracking { .. }
        | OrderCommand::RecordCarrierEvent { .. }
        | OrderCommand::AdminCancelOrder { .. }
        | OrderCommand::AdminConfirmDelivery { .. }
        | OrderCommand::AdminCompleteOrder { .. } => Vec::new(),
    }
}

fn of_issue(command: &mut IssueCommand) -> Vec<&mut SealedText> {
    match command {
        IssueCommand::OpenIssue(open) => vec![&mut open.description],
        IssueCommand::OfferResolution { text, .. } => text.iter_mut().collect(),
        IssueCommand::AnswerIssue { text, .. } | IssueCommand::AppealIssue { text, .. } => {
            vec![text]
        }
        IssueCommand::AddEvidence { .. }
        | IssueCommand::AcceptResolution { .. }
        | IssueCommand::AssignIssue { .. }
        | IssueCommand::RequestAnswer { .. }
        | IssueCommand::DecideIssue { .. } => Vec::new(),
    }
}

/// Reads a text of an author; none when it cannot be opened any more.
pub(crate) fn open_text(secrets: &Secrets, author: UserId, text: &SealedText) -> Option<String> {
    let context = context(author);
    let key = secrets.epoch.unwrap_key(&context, &text.key).ok()?;
    let body = key.open(&context, &text.body).ok()?;
    String::from_utf8(body).ok()
}

fn open_words(secrets: &Secrets, words: &mut Words) {
    words.text = words.sealed.take().and_then(|(author, text)| open_text(secrets, author, &text));
}

/// Opens the address of an order.
pub(crate) fn open_order(secrets: &Secrets, mut row: OrderRow) -> OrderRow {
    let sealed = row.sealed_address.take();
    let text = sealed.and_then(|(author, to)| open_text(secrets, author, &to.sealed));
    row.address = text.and_then(|text| serde_json::from_str::<PostalAddress>(&text).ok());
    row
}

/// Opens a thread.
pub(crate) fn open_messages(secrets: &Secrets, mut list: MessageList) -> MessageList {
    for message in &mut list.messages {
        open_words(secrets, &mut message.text);
    }
    list
}

/// Opens the words of an issue.
pub(crate) fn open_issue(secrets: &Secrets, mut row: IssueRow) -> IssueRow {
    open_words(secrets, &mut row.description);
    for entry in &mut row.timeline {
        open_words(secrets, &mut entry.text);
    }
    row
}

#[cfg(test)]
mod tests {
    use fairground_types::{CommandId, OrderId};

    use super::*;

    fn message(text: &str) -> Envelope {
        let text = SealedText::typed(text, 1, 100).expect("fits");
        let order = OrderId::from_bits(1);
        Envelope {
            id: CommandId::from_bytes([0; 32]),
            actor: Actor::User(UserId::from_bits(7)),
            command: Command::Order(OrderCommand::PostMessage { order, text }),
        }
    }

    fn text_of(envelope: &Envelope) -> &SealedText {
        match &envelope.command {
            Command::Order(OrderCommand::PostMessage { text, .. }) => text,
            other => panic!("another command: {other:?}"),
        }
    }

    #[test]
    fn what_enters_the_log_opens_for_its_author_alone() {
        let secrets = Secrets::generate().expect("made");
        let mut envelope = message("see you at the gate");
        seal(&secrets, &mut envelope).expect("sealed");
        let text = text_of(&envelope).clone();
        assert!(text.is_sealed() && text.fits(1, 100));
        assert!(!text.body.windows(4).any(|part| part == b"gate"));
        let opened = open_text(&secrets, UserId::from_bits(7), &text);
        assert_eq!(opened.as_deref(), Some("see you at the gate"));
        assert_eq!(open_text(&secrets, UserId::from_bits(8), &text), None);
        let other = Secrets::generate().expect("made");
        assert_eq!(open_text(&other, UserId::from_bits(7), &text), None);
    }

    #[test]
    fn a_retry_is_known_by_its_mark_though_it_is_sealed_anew() {
        let secrets = Secrets::generate().expect("made");
        let sealed = |text: &str| {
            let mut envelope = message(text);
            seal(&secrets, &mut envelope).expect("sealed");
            text_of(&envelope).clone()
        };
        let (one, again, other) = (sealed("one"), sealed("one"), sealed("two"));
        assert_eq!(one.mark, again.mark);
        assert_ne!(one.body, again.body);
        assert_ne!(one.mark, other.mark);
    }
}
