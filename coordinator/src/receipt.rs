//! Receipts and the links to them.
//!
//! A link names a payment and an end, with a code that every member can make and nobody else; who
//! has it needs no sign-in for a day. It must not say more than the receipt. Read next: `reads.rs`.

use fairground_market::{ReceiptRow, ReceiptWithLink};
use fairground_types::{Code, Rejection, SaleLockId, Timestamp, limits};

use crate::member::Member;

const CONTEXT: &str = "fairground 2026 receipt link v1";

fn code(member: &Member, lock: SaleLockId, ends_at: Timestamp) -> String {
    let key = blake3::derive_key(CONTEXT, member.secrets.code.expose());
    let named = format!("{lock}.{}", ends_at.as_unix_millis());
    blake3::keyed_hash(&key, named.as_bytes()).to_hex().to_string()
}

/// A receipt with a link that may be handed on.
pub(crate) fn with_link(member: &Member, receipt: ReceiptRow) -> ReceiptWithLink {
    let payment = receipt.sale_lock_id;
    let link_expires_at = member.now().plus(limits::RECEIPT_LINK_LIFE);
    let code = code(member, payment, link_expires_at);
    let link = format!("/v1/receipts/{payment}.{}.{code}", link_expires_at.as_unix_millis());
    ReceiptWithLink { receipt, link, link_expires_at }
}

/// The payment that a link names, while it is good.
pub(crate) fn named_by(member: &Member, token: &str) -> Result<SaleLockId, Rejection> {
    let missing = || Rejection::new(Code::NotFound, "there is no such thing");
    let mut parts = token.splitn(3, '.');
    let (Some(lock), Some(ends_at), Some(given)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(missing());
    };
    let lock: SaleLockId = lock.parse().map_err(|_| missing())?;
    let ends_at = Timestamp::from_unix_millis(ends_at.parse().map_err(|_| missing())?);
    let given = blake3::Hash::from_hex(given).map_err(|_| missing())?;
    let known = blake3::Hash::from_hex(code(member, lock, ends_at)).map_err(|_| missing())?;
    // Hashes are compared in constant time.
    if known != given {
        return Err(missing());
    }
    if member.now() >= ends_at {
        return Err(Rejection::new(Code::LinkExpired, "the link has expired"));
    }
    Ok(lock)
}
