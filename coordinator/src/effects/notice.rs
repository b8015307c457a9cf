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

fn words(kind: NoticeKind, piece: &str) -> (String, String) {
    let (subject, body) = match kind {
        NoticeKind::AuctionOpened => ("An offer came in", "An offer opened an auction for"),
        NoticeKind::Outbid => ("You were outbid", "Somebody bid more than you for"),
        NoticeKind::BidRefused => ("Your bid was refused", "Your bid did not count for"),
        NoticeKind::Won => ("You won", "The piece is reserved for you, please pay:"),
        NoticeKind::Ended => ("Your auction ended", "The auction ended with a winner:"),
        NoticeKind::Paid => ("Payment received", "You paid for"),
        NoticeKind::Sold => ("Sold: please ship", "The buyer has paid, please ship"),
        NoticeKind::PaymentFailed => ("A payment failed", "The payment did not go through for"),
        NoticeKind::PaymentExpired => ("The payment window ended", "Nobody paid in time for"),
        NoticeKind::AuctionCancelled => ("An auction was cancelled", "There is no sale of"),
        NoticeKind::Unsold => ("Not sold", "The auction ended without a sale of"),
        NoticeKind::Shipped => ("On its way", "The maker has shipped"),
        NoticeKind::ShipmentOverdue => ("Shipment overdue", "Please ship at last:"),
        NoticeKind::Delivered => ("Delivered", "The buyer has received"),
        NoticeKind::Completed => ("Completed", "The sale is complete:"),
        NoticeKind::StoryApproved => ("Your story was approved", "Approved:"),
        NoticeKind::StoryRejected => ("Your story needs a change", "Not approved yet:"),
        NoticeKind::MediaFailed => ("A clip could not be prepared", "A clip failed for"),
        NoticeKind::SignInsRevoked => {
            let body = "A refresh token was used twice, so every sign-in of your account was ended. \
                        Please sign in again.";
            return ("You were signed out".to_owned(), body.to_owned());
        }
        NoticeKind::Refunding => ("Your money goes back", "Your payment came too late for"),
    };
    (format!("{subject}: {piece}"), format!("{body} {piece}."))
}
