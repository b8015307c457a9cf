//! Private texts: sealed before a command enters the log, opened for whoever may read them.
//!
//! ```text
//!  edge --as typed, over the cluster's own connection--> member: key of its own per text, wrapped
//!  under its author's key, that one under the epoch key --> log.   reads: opened here, for the reader
//! ```
//! The author's key is in their account's contact. When an account is erased it goes, and with it
//! every text of theirs, wherever a copy is: in the state, in the history, in a snapshot. It must not
//! know who may read what; the market's rows say that. Read next:
//! `fairground_types::command::SealedText`.

use fairground_market::{
    AddressList, IssueRow, MessageList, OrderRow, ProfileRow, PublicProfileRow, Words,
};
use fairground_runtime::error::SecretError;
use fairground_runtime::secret::{DataKey, mac};
use fairground_types::UserId;
use fairground_types::command::{
    Actor, Command, Envelope, IssueCommand, OrderCommand, PeopleCommand, PostalAddress,
    ProfileText, SealedText,
};

use crate::identity::Secrets;
use crate::member::Member;

const CONTEXT: &str = "fairground private text v1";

fn context(author: UserId) -> Vec<u8> {
    format!("{CONTEXT} {author}").into_bytes()
}

/// Why a command's texts were not sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// This member does not know the author, or does not know them yet.
    #[error("find the author of a private text")]
    Author,
    /// The cipher failed.
    #[error("seal a private text")]
    Cipher(#[source] SecretError),
}

/// The key of an account, under which its texts are sealed; none once it was erased.
pub(crate) fn account_key(member: &Member, user: UserId) -> Option<DataKey> {
    let (identifier, wrapped) = member.state.read(|market| {
        let account = market.account(user)?;
        Some((*account.identifier(), account.contact().wrapped_key.clone()))
    })?;
    member.secrets.epoch.unwrap_key(identifier.as_bytes(), &wrapped).ok()
}

/// Seals one text of an author under their key.
fn seal_text(
    secrets: &Secrets,
    (author, author_key): (UserId, &DataKey),
    text: &mut SealedText,
) -> Result<(), SecretError> {
    if text.is_sealed() {
        return Ok(());
    }
    let context = context(author);
    let key = DataKey::generate();
    let mark = mac(&secrets.code, &[b"private text", &context, &text.body]);
    let sealed = key.seal(&context, &text.body)?;
    *text =
        SealedText { key: author_key.wrap(&context, &key)?, body: sealed, mark, chars: text.chars };
    Ok(())
}

/// Seals every text of a command that is not sealed yet.
pub(crate) fn seal(member: &Member, envelope: &mut Envelope) -> Result<(), SealError> {
    let Actor::User(author) = envelope.actor else { return Ok(()) };
    let texts = texts(&mut envelope.command);
    if texts.is_empty() {
        return Ok(());
    }
    let key = account_key(member, author).ok_or(SealError::Author)?;
    for text in texts {
        seal_text(&member.secrets, (author, &key), text).map_err(SealError::Cipher)?;
    }
    Ok(())
}

fn texts(command: &mut Command) -> Vec<&mut SealedText> {
    match command {
        Command::Order(command) => of_order(command),
        Command::Issue(command) => of_issue(command),
        Command::People(PeopleCommand::SetProfile(set)) => vec![&mut set.sealed],
        Command::People(PeopleCommand::SaveAddress(save)) => vec![&mut save.sealed],
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

/// Reads a text under its author's key; none when it cannot be opened any more.
fn open_with(author_key: &DataKey, author: UserId, text: &SealedText) -> Option<String> {
    let context = context(author);
    let key = author_key.unwrap_key(&context, &text.key).ok()?;
    let body = key.open(&context, &text.body).ok()?;
    String::from_utf8(body).ok()
}

fn open_text(member: &Member, author: UserId, text: &SealedText) -> Option<String> {
    open_with(&account_key(member, author)?, author, text)
}

fn open_words(member: &Member, words: &mut Words) {
    words.text = words.sealed.take().and_then(|(author, text)| open_text(member, author, &text));
}

/// Opens the address of an order.
pub(crate) fn open_order(member: &Member, mut row: OrderRow) -> OrderRow {
    let sealed = row.sealed_address.take();
    let text = sealed.and_then(|(author, to)| open_text(member, author, &to.sealed));
    row.address = text.and_then(|text| serde_json::from_str::<PostalAddress>(&text).ok());
    row
}

/// Opens a thread.
pub(crate) fn open_messages(member: &Member, mut list: MessageList) -> MessageList {
    for message in &mut list.messages {
        open_words(member, &mut message.text);
    }
    list
}

/// Opens the words of an issue.
pub(crate) fn open_issue(member: &Member, mut row: IssueRow) -> IssueRow {
    open_words(member, &mut row.description);
    for entry in &mut row.timeline {
        open_words(member, &mut entry.text);
    }
    row
}

fn open_profile_text(member: &Member, sealed: Option<(UserId, SealedText)>) -> ProfileText {
    let text = sealed.and_then(|(author, text)| open_text(member, author, &text));
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Opens a profile for its owner.
pub(crate) fn open_profile(member: &Member, mut row: ProfileRow) -> ProfileRow {
    row.profile = open_profile_text(member, row.sealed.take());
    row
}

/// Opens what everybody may see of a profile, and nothing else of it.
pub(crate) fn open_public(member: &Member, mut row: PublicProfileRow) -> PublicProfileRow {
    let text = open_profile_text(member, row.sealed.take());
    (row.display_name, row.about, row.city) = (text.display_name, text.about, text.city);
    row
}

/// Opens saved addresses.
pub(crate) fn open_addresses(member: &Member, mut list: AddressList) -> AddressList {
    for row in &mut list.addresses {
        let sealed = row.sealed.take();
        let text = sealed.and_then(|(author, text)| open_text(member, author, &text));
        row.address = text.and_then(|text| serde_json::from_str(&text).ok());
    }
    list
}

#[cfg(test)]
mod tests {
    use fairground_types::{CommandId, OrderId};

    use super::*;

    const AUTHOR: UserId = UserId::from_bits(7);

    fn message(text: &str) -> Envelope {
        let text = SealedText::typed(text, 1, 100).expect("fits");
        let order = OrderId::from_bits(1);
        Envelope {
            id: CommandId::from_bytes([0; 32]),
            actor: Actor::User(AUTHOR),
            command: Command::Order(OrderCommand::PostMessage { order, text }),
        }
    }

    fn text_of(envelope: &Envelope) -> &SealedText {
        match &envelope.command {
            Command::Order(OrderCommand::PostMessage { text, .. }) => text,
            other => panic!("another command: {other:?}"),
        }
    }

    fn sealed(secrets: &Secrets, key: &DataKey, words: &str) -> SealedText {
        let mut envelope = message(words);
        for text in texts(&mut envelope.command) {
            seal_text(secrets, (AUTHOR, key), text).expect("sealed");
        }
        text_of(&envelope).clone()
    }

    #[test]
    fn what_enters_the_log_opens_by_its_authors_key_alone() {
        let secrets = Secrets::generate().expect("made");
        let key = DataKey::generate();
        let text = sealed(&secrets, &key, "see you at the gate");
        assert!(text.is_sealed() && text.fits(1, 100));
        assert!(!text.body.windows(4).any(|part| part == b"gate"));
        let opened = open_with(&key, AUTHOR, &text);
        assert_eq!(opened.as_deref(), Some("see you at the gate"));
        assert_eq!(open_with(&key, UserId::from_bits(8), &text), None);
        assert_eq!(open_with(&DataKey::generate(), AUTHOR, &text), None);
        assert_eq!(
            open_with(&secrets.epoch, AUTHOR, &text),
            None,
            "the cluster's key is not enough"
        );
    }

    #[test]
    fn a_retry_is_known_by_its_mark_though_it_is_sealed_anew() {
        let secrets = Secrets::generate().expect("made");
        let key = DataKey::generate();
        let (one, again, other) = (
            sealed(&secrets, &key, "one"),
            sealed(&secrets, &key, "one"),
            sealed(&secrets, &key, "two"),
        );
        assert_eq!(one.mark, again.mark);
        assert_ne!(one.body, again.body);
        assert_ne!(one.mark, other.mark);
    }
}
