//! A body of bytes that says when the connection takes them.
//!
//! What is answered and what is sent are two things: a client may leave first, ask for the head alone
//! or take a part. It must not know what the bytes are or who counts. Read next: `http`, which sends
//! bodies.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// A body of these bytes, in one part. `tell` is given their number when the connection takes them,
/// which it may never do; a body without bytes tells nothing.
pub fn counted(bytes: Bytes, tell: impl FnOnce(u64) + Send + Unpin + 'static) -> Body {
    if bytes.is_empty() { Body::empty() } else { Body::new(Counted(Some((bytes, tell)))) }
}

struct Counted<F>(Option<(Bytes, F)>);

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl<F: FnOnce(u64) + Send + Unpin> HttpBody for Counted<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let taken = self.get_mut().0.take();
        Poll::Ready(taken.map(|(bytes, tell)| {
            tell(length(&bytes));
            Ok(Frame::data(bytes))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |(bytes, _)| length(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn body(text: &'static str) -> (Body, Arc<AtomicU64>) {
        let told = Arc::new(AtomicU64::new(0));
        let teller = Arc::clone(&told);
        let tell = move |bytes| {
            teller.fetch_add(bytes, Ordering::Relaxed);
        };
        (counted(Bytes::from_static(text.as_bytes()), tell), told)
    }

    #[tokio::test]
    async fn bytes_are_told_once_when_they_are_taken() {
        let (whole, told) = body("segment");
        assert_eq!((whole.size_hint().exact(), whole.is_end_stream()), (Some(7), false));
        assert_eq!(told.load(Ordering::Relaxed), 0, "not taken yet");
        let bytes = axum::body::to_bytes(whole, 100).await.expect("a body");
        assert_eq!((bytes.as_ref(), told.load(Ordering::Relaxed)), (b"segment".as_slice(), 7));
    }

    #[tokio::test]
    async fn what_is_not_taken_is_not_told() {
        let (dropped, told) = body("segment");
        drop(dropped);
        let (empty, none) = body("");
        assert!(axum::body::to_bytes(empty, 100).await.expect("a body").is_empty());
        assert_eq!((told.load(Ordering::Relaxed), none.load(Ordering::Relaxed)), (0, 0));
    }
}
