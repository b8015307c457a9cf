//! What every refusal and fault of this daemon looks like to a client: the one place.
//!
//! It must not decide anything but code, words and waiting time.

use fairground_media::token::TokenError;
use fairground_media::upload::{Dialect, INCONSISTENT_LENGTH, MISMATCHING_OFFSET, UploadRefusal};
use fairground_runtime::error::AccessError;
use fairground_runtime::problem::Problem;
use fairground_types::{Code, LogIndex, Millis, Rejection, Timestamp};

use crate::delivery::DeliveryError;
use crate::ingest::picture::PictureError;
use crate::ingest::{CreateRefusal, FinishError};
use crate::intake::NotReady;
use crate::link::forward::CallError;

/// A call that the cluster did not answer.
pub(crate) fn call(error: CallError) -> Problem {
    match error {
        CallError::Unavailable { retry_after } => {
            Problem::new(Code::CoordinatorUnavailable, "the cluster cannot be reached now")
                .with_retry_after(retry_after)
        }
        CallError::Timeout => Problem::new(
            Code::UpstreamTimeout,
            "the cluster did not answer in time; send the same request again",
        ),
    }
}

/// The market's word, with the entry that holds it.
pub(crate) fn rejection(rejection: &Rejection, now: Timestamp, index: Option<LogIndex>) -> Problem {
    let problem = Problem::from_rejection(rejection, now);
    match index {
        Some(index) => problem.with("logIndex", index),
        None => problem,
    }
}

/// This edge takes no bids now.
pub(crate) fn not_ready(reason: NotReady) -> Problem {
    Problem::new(Code::NotBidReady, reason.to_string()).with_retry_after(reason.retry_after())
}

/// A bid whose fate at this edge is unknown.
pub(crate) fn unknown_fate() -> Problem {
    Problem::new(
        Code::Internal,
        "whether this edge has kept the request is unknown; send it again with the same key",
    )
}

/// A token that does not count.
pub(crate) fn access(error: AccessError) -> Problem {
    let detail = match error.code() {
        Code::TokenExpired => "the access token has expired",
        _ => "the access token is not valid here",
    };
    Problem::new(error.code(), detail)
}

/// An answer of a member that this release does not know.
pub(crate) fn unexpected() -> Problem {
    tracing::error!("a member's answer is not of the expected kind");
    Problem::new(Code::Internal, "the fault was logged under this request id")
}

/// An upload that is not made.
pub(crate) fn not_created(refusal: CreateRefusal, bytes_max: u64) -> Problem {
    match refusal {
        CreateRefusal::Empty => Problem::invalid("size", "must be at least 1"),
        CreateRefusal::TooLarge => {
            Problem::new(Code::UploadTooLarge, format!("a clip has at most {bytes_max} bytes"))
        }
        CreateRefusal::TooMany => {
            Problem::new(Code::LimitReached, "finish or delete other uploads first")
        }
        CreateRefusal::DiskFull => {
            Problem::new(Code::RetryLater, "this edge has no room for the upload now")
                .with_retry_after(Millis::from_secs(60))
        }
        CreateRefusal::NoTools => Problem::new(Code::FeatureDisabled, "this edge takes no uploads"),
    }
}

/// A picture that is not taken.
pub(crate) fn not_a_picture(error: &PictureError) -> Problem {
    match error {
        PictureError::Rejected(rejection) => {
            Problem::new(Code::MediaRejected, rejection.detail.clone())
                .with("reason", rejection.reason)
        }
        PictureError::NoTools => Problem::new(Code::FeatureDisabled, "this edge takes no pictures"),
        PictureError::Busy => {
            Problem::new(Code::RetryLater, "this edge looks at other pictures now")
                .with_retry_after(Millis::from_secs(2))
        }
        PictureError::Failed(error) => Problem::internal(error),
    }
}

/// A request of an upload that is refused. Its status is the one that its dialect prescribes.
pub(crate) fn upload(dialect: Dialect, refusal: &UploadRefusal) -> Problem {
    let problem = refused_upload(refusal).with("reason", refusal.reason());
    match (dialect, refusal) {
        (Dialect::Draft(_), UploadRefusal::Offset { expected, provided }) => problem
            .with_type(MISMATCHING_OFFSET)
            .with("expected-offset", expected)
            .with("provided-offset", provided),
        (Dialect::Draft(_), UploadRefusal::Length) => problem.with_type(INCONSISTENT_LENGTH),
        (Dialect::Draft(_) | Dialect::Tus, _) => problem,
    }
}

fn refused_upload(refusal: &UploadRefusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        UploadRefusal::Version => Problem::new(Code::PreconditionFailed, detail),
        UploadRefusal::Draft => Problem::invalid("Upload-Draft-Interop-Version", detail),
        UploadRefusal::Header(name) => Problem::invalid(*name, "is missing or malformed"),
        UploadRefusal::Length => Problem::invalid("Upload-Length", detail),
        UploadRefusal::TooLarge { .. } => Problem::new(Code::UploadTooLarge, detail),
        UploadRefusal::ContentType(_) => Problem::new(Code::MediaUnsupported, detail),
        UploadRefusal::Offset { expected, .. } => {
            Problem::new(Code::UploadOffsetMismatch, detail).with("uploadOffset", expected)
        }
        UploadRefusal::Checksum => Problem::new(Code::ChecksumMismatch, detail),
        UploadRefusal::ChecksumAlgorithm => Problem::invalid("Upload-Checksum", detail),
        UploadRefusal::Expired => Problem::new(Code::UploadExpired, detail),
        _ => Problem::new(Code::ValidationFailed, detail),
    }
}

/// A chunk whose connection broke.
pub(crate) fn broken() -> Problem {
    Problem::new(Code::UploadIncomplete, "the body ended early; what came is kept")
}

/// A complete upload that is no asset yet, or never.
pub(crate) fn not_finished(error: &FinishError, now: Timestamp) -> Problem {
    match error {
        FinishError::Rejected { reason, detail } => {
            Problem::new(Code::MediaRejected, detail.clone()).with("reason", reason)
        }
        FinishError::Market(refused) => rejection(refused, now, None),
        FinishError::Call(error) => call(*error),
        FinishError::Blob(error) => {
            tracing::warn!(error = %crate::link::chain(error), "clip not stored by the cluster");
            call(CallError::Unavailable { retry_after: Millis::from_secs(2) })
        }
        FinishError::Failed(error) => Problem::internal(error),
    }
}

/// A media name that is not served. What cannot be had is 404: players then try another edge at
/// once, while they would wait after a 503.
pub(crate) fn not_delivered(error: &DeliveryError) -> Problem {
    match error {
        DeliveryError::Token(TokenError::Expired) => {
            Problem::new(Code::TokenExpired, "the playback has ended; ask for a new one")
        }
        DeliveryError::Token(_) | DeliveryError::Denied => {
            Problem::new(Code::PlaybackDenied, "the playback token does not allow this")
        }
        DeliveryError::StreamLimit => {
            Problem::new(Code::StreamLimit, "this account watches on two other devices now")
        }
        DeliveryError::Stale => Problem::new(
            Code::NotFound,
            "this edge has not heard from the cluster for a while and starts no playback",
        ),
        DeliveryError::OverBudget => Problem::new(
            Code::NotFound,
            "this edge has sent what it may send today; try another edge",
        ),
        DeliveryError::Spent => Problem::new(
            Code::PlaybackDenied,
            "this playback has taken several times its clip; ask for a new one",
        ),
        DeliveryError::NotFound => Problem::new(Code::NotFound, "there is nothing at this address"),
        DeliveryError::Unavailable(error) => {
            tracing::debug!(%error, "media not had");
            Problem::new(Code::NotFound, "this edge cannot get it now; try another edge")
        }
    }
}
