//! The permanent error codes, in order of precedence: when several apply, the first is answered.
//!
//! A code's place is its number in what is stored, so a later one stands at the end of the list;
//! where it comes in is said by its page.
//!
//! A code never changes its meaning or its status. Each has a page under
//! `docs/src/reference/errors/`. Statuses follow RFC 9110, RFC 4918 (423) and RFC 6585 (429).

use std::fmt;

use serde::{Serialize, Serializer};
use wincode::{SchemaRead, SchemaWrite};

macro_rules! codes {
    ($($name:ident $text:literal $status:literal $title:literal $retryable:literal;)*) => {
        /// A permanent error code.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaRead, SchemaWrite)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code, in order of precedence.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as clients see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status it is answered with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// One line for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Whether the same request may succeed later.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)* }
            }
        }
    };
}

codes! {
    ValidationFailed "VALIDATION_FAILED" 400 "The request is malformed" false;
    IdempotencyKeyRequired "IDEMPOTENCY_KEY_REQUIRED" 400 "An Idempotency-Key is required" false;
    OfferMinViolation "OFFER_MIN_VIOLATION" 400 "The offer is below the minimum" false;
    CurrencyMismatch "CURRENCY_MISMATCH" 400 "The listing uses another currency" false;
    AmountOutOfRange "AMOUNT_OUT_OF_RANGE" 400 "The amount is out of range" false;
    StoryIncomplete "STORY_INCOMPLETE" 400 "The story is not complete" false;
    AddressInvalid "ADDRESS_INVALID" 400 "The address is not valid" false;
    TrackingInvalid "TRACKING_INVALID" 400 "The tracking number is not valid" false;
    NotesRequired "NOTES_REQUIRED" 400 "A rejection needs notes" false;
    ReasonRequired "REASON_REQUIRED" 400 "A reason is required" false;
    AuthRequired "AUTH_REQUIRED" 401 "Sign in first" false;
    TokenExpired "TOKEN_EXPIRED" 401 "The token has expired" false;
    SessionRevoked "SESSION_REVOKED" 401 "The sign-in was ended" false;
    TokenReused "TOKEN_REUSED" 401 "The refresh token was used before" false;
    OtpInvalid "OTP_INVALID" 401 "The code is wrong" false;
    OtpExpired "OTP_EXPIRED" 401 "The code has expired" false;
    SocialTokenInvalid "SOCIAL_TOKEN_INVALID" 401 "The provider's token is not valid" false;
    StepUpRequired "STEP_UP_REQUIRED" 401 "Sign in anew first" false;
    SignatureInvalid "SIGNATURE_INVALID" 401 "The signature is not valid" false;
    Forbidden "FORBIDDEN" 403 "Not allowed" false;
    NotEligible "NOT_ELIGIBLE" 403 "Not eligible" false;
    SelfBid "SELF_BID" 403 "A maker cannot bid on an own piece" false;
    SecondApproverRequired "SECOND_APPROVER_REQUIRED" 403 "A second person must approve" false;
    CapabilityRequired "CAPABILITY_REQUIRED" 403 "A capability is missing" false;
    PlaybackDenied "PLAYBACK_DENIED" 403 "Playback is not allowed" false;
    NotFound "NOT_FOUND" 404 "Not found" false;
    InvitationInvalid "INVITATION_INVALID" 404 "The invitation does not count" false;
    MethodNotAllowed "METHOD_NOT_ALLOWED" 405 "The method is not allowed here" false;
    LinkExpired "LINK_EXPIRED" 410 "The link has expired" false;
    Gone "GONE" 410 "No longer there" false;
    CursorExpired "CURSOR_EXPIRED" 410 "The cursor does not count any more" false;
    UploadExpired "UPLOAD_EXPIRED" 410 "The upload has expired" false;
    InvalidState "INVALID_STATE" 409 "The state does not allow it" false;
    VersionConflict "VERSION_CONFLICT" 409 "Somebody else changed it first" false;
    DraftConflict "DRAFT_CONFLICT" 409 "The draft was changed elsewhere" false;
    EditLocked "EDIT_LOCKED" 409 "What bidders rely on cannot be changed now" false;
    HandleTaken "HANDLE_TAKEN" 409 "The handle is taken" false;
    AuctionActive "AUCTION_ACTIVE" 409 "An auction is open" false;
    AuctionClosed "AUCTION_CLOSED" 409 "The auction is closed" false;
    BidTooLow "BID_TOO_LOW" 409 "The bid is below the next minimum" false;
    BidExpired "BID_EXPIRED" 409 "The bid's validity ended before it was judged" false;
    StampRefused "STAMP_REFUSED" 409 "The edge's stamp was refused" false;
    Closing "CLOSING" 409 "The auction is closing and holds a bid of yours" true;
    TooManyBids "TOO_MANY_BIDS" 409 "Too many bids in this auction" false;
    HighestChanged "HIGHEST_CHANGED" 409 "A higher bid came first" false;
    LinkRequired "LINK_REQUIRED" 409 "An account with this address exists" false;
    LastIdentity "LAST_IDENTITY" 409 "The last way to sign in stays" false;
    ObligationsOpen "OBLIGATIONS_OPEN" 409 "Something is still open" false;
    NoEligibleBid "NO_ELIGIBLE_BID" 409 "No other bidder can be asked" false;
    LimitReached "LIMIT_REACHED" 409 "A limit is reached" false;
    CriticalNotDisablable "CRITICAL_NOT_DISABLABLE" 409 "This notice cannot be switched off" false;
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED" 409 "The Idempotency-Key was used for another request" false;
    SessionActive "SESSION_ACTIVE" 409 "A checkout session is still open" false;
    IssueOpen "ISSUE_OPEN" 409 "An issue is open" false;
    DuplicateIssue "DUPLICATE_ISSUE" 409 "The order has an open issue" false;
    IssueWindowClosed "ISSUE_WINDOW_CLOSED" 409 "The time to report an issue is over" false;
    AddressLocked "ADDRESS_LOCKED" 409 "The address cannot be changed any more" false;
    CancelNotAllowed "CANCEL_NOT_ALLOWED" 409 "The order cannot be cancelled" false;
    StaleEvent "STALE_EVENT" 409 "A newer event is known" false;
    OfferWindowClosed "OFFER_WINDOW_CLOSED" 409 "The time to withdraw the offer is over" false;
    OfferNotWithdrawable "OFFER_NOT_WITHDRAWABLE" 409 "The offer cannot be withdrawn" false;
    DecisionWindowClosed "DECISION_WINDOW_CLOSED" 409 "There is nothing to decide any more" false;
    PaymentTimeout "PAYMENT_TIMEOUT" 409 "The payment window has ended" false;
    RetryExhausted "RETRY_EXHAUSTED" 409 "No payment attempt is left" false;
    AmountMismatch "AMOUNT_MISMATCH" 409 "The payment does not match its sale lock" false;
    ResubmitLimit "RESUBMIT_LIMIT" 409 "The story cannot be submitted again" false;
    UploadOffsetMismatch "UPLOAD_OFFSET_MISMATCH" 409 "The upload continues at another offset" false;
    PreconditionFailed "PRECONDITION_FAILED" 412 "A precondition failed" false;
    BodyTooLarge "BODY_TOO_LARGE" 413 "The body is too large" false;
    UploadTooLarge "UPLOAD_TOO_LARGE" 413 "The upload is too large" false;
    MediaUnsupported "MEDIA_UNSUPPORTED" 415 "The media type is not supported" false;
    RangeNotSatisfiable "RANGE_NOT_SATISFIABLE" 416 "The range is outside the resource" false;
    MediaRejected "MEDIA_REJECTED" 422 "The clip was refused" false;
    ChecksumMismatch "CHECKSUM_MISMATCH" 460 "The checksum does not match" false;
    UploadIncomplete "UPLOAD_INCOMPLETE" 422 "The upload is not complete" false;
    AuctionLocked "AUCTION_LOCKED" 423 "The piece is reserved for a buyer" false;
    AccountLocked "ACCOUNT_LOCKED" 423 "The account is locked" false;
    RateLimited "RATE_LIMITED" 429 "Too many requests" true;
    RetryLater "RETRY_LATER" 429 "Try again later" true;
    JoinRefused "JOIN_REFUSED" 403 "The join token was refused" false;
    Internal "INTERNAL" 500 "A fault on our side" true;
    ExternalServiceUnavailable "EXTERNAL_SERVICE_UNAVAILABLE" 503 "An outside service does not answer" true;
    CoordinatorUnavailable "COORDINATOR_UNAVAILABLE" 503 "The cluster cannot be reached" true;
    NotBidReady "NOT_BID_READY" 503 "This edge takes no bids now" true;
    FeatureDisabled "FEATURE_DISABLED" 503 "Switched off here" false;
    UpstreamTimeout "UPSTREAM_TIMEOUT" 504 "The cluster did not answer in time" true;
    SignatureRequired "SIGNATURE_REQUIRED" 403 "The bid must be signed by a device" false;
    SignatureRefused "SIGNATURE_REFUSED" 403 "The device's signature was refused" false;
    StreamLimit "STREAM_LIMIT" 403 "Too many playbacks at a time" true;
    MisdirectedRequest "MISDIRECTED_REQUEST" 421 "Not answered over this connection" false;
}

impl Code {
    /// Finds a code by its text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_by_their_text() {
        assert!(Code::ALL.iter().all(|code| Code::parse(code.as_str()) == Some(*code)));
    }
}
