//! The words of notices and codes.
//!
//! Short, in English, without links that a stranger could imitate: they name what happened and where
//! to look. It must not know how they travel.

use fairground_market::{Notice, NoticeKind};

/// Subject of a mail with a code.
pub(super) const CODE_SUBJECT: &str = "Your sign-in code";

/// Text of a message with a code.
pub(super) fn code_text(code: &str) -> String {
    format!(
        "Your Fairground code is {code}. It is valid for 5 minutes. \
         If you did not ask for it, ignore this message; nobody can sign in without it.\n"
    )
}

/// Subject and text of a notice.
pub(super) fn text(notice: &Notice) -> (String, String) {
    let piece = notice.title.as_deref().unwrap_or("your piece");
    let (subject, body) = words(notice.kind, piece);
    let mut text = format!("{body}\n");
    if let Some(amount) = notice.amount {
        text.push_str(&format!("Amount: {amount}\n"));
    }
    if let Some(until) = notice.until {
        text.push_str(&format!("Until: {until}\n"));
    }
    if let Some(more) = &notice.text {
        text.push_str(&format!("{more}\n"));
    }
    (subject, text)
}

/// Puts the name of the piece where it belongs.
fn words(kind: NoticeKind, piece: &str) -> (String, String) {
    let subject = kind.subject().replace("{title}", piece);
    let body = kind.body().replace("{title}", piece);
    let is_about_a_piece = kind.body().contains("{title}");
    (if is_about_a_piece { format!("{subject}: {piece}") } else { subject }, body)
}
