//! The feed: what anybody may know, from the log to every edge, in order.
//!
//! ```text
//!  edge                                 member
//!   FeedRequest{from}         ------>
//!                             <------   Snapshot{index, total, offset, bytes} ...   when `from` is too old
//!                             <------   Item | Alive ...
//! ```
//! It must not know what a view holds; its bytes are opaque here.

use fairground_types::event::FeedItem;
use fairground_types::id::LogIndex;
use fairground_types::time::Timestamp;

use crate::codec::STATE_MAX;
use crate::message::FeedDown;

/// Bytes of one part of a view.
pub const SNAPSHOT_PART: usize = 256 * 1024;

/// Version of the view's shape, in the envelope of a state that both ends put around it.
pub const VIEW_VERSION: u8 = 1;

/// Bytes of a view at most.
pub const VIEW_BYTES_MAX: usize = STATE_MAX;

/// How a member starts a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedStart {
    /// Items after this index.
    After(LogIndex),
    /// A snapshot first.
    Snapshot,
}

/// Decides how to start: `from` is what the edge has, `oldest` the first index that the member
/// still holds items of, `newest` the last one.
#[must_use]
pub const fn start(from: LogIndex, oldest: LogIndex, newest: LogIndex) -> FeedStart {
    let is_held = from.0.saturating_add(1) >= oldest.0;
    if from.0 == 0 || from.0 > newest.0 || !is_held {
        FeedStart::Snapshot
    } else {
        FeedStart::After(from)
    }
}

/// Cuts a view of `index` into messages, one at a time.
pub fn snapshot_parts(index: LogIndex, view: &[u8]) -> impl Iterator<Item = FeedDown> + '_ {
    let total = u64::try_from(view.len()).unwrap_or(u64::MAX);
    let mut offset = 0_u64;
    let empty = view.is_empty().then_some(&[][..]);
    empty.into_iter().chain(view.chunks(SNAPSHOT_PART)).map(move |part| {
        let at = offset;
        offset = offset.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        FeedDown::Snapshot { index, total_bytes: total, offset: at, bytes: part.to_vec() }
    })
}

/// What a message means to the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEvent {
    /// More parts follow.
    Pending,
    /// Replace the view.
    Replace {
        /// The view is of this index.
        index: LogIndex,
        /// The view, encoded.
        view: Vec<u8>,
    },
    /// Fold this in.
    Fold(FeedItem),
    /// Nothing happened up to here.
    Alive {
        /// Newest index.
        index: LogIndex,
        /// Its log time.
        at: Timestamp,
    },
}

/// The member did not follow the protocol; the stream must be closed and opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// A part that does not follow the one before.
    #[error("a part of a view out of place")]
    PartOutOfPlace,
    /// A view larger than allowed.
    #[error("a view of {0} bytes is larger than allowed")]
    TooLarge(u64),
    /// An index that is not above the one before.
    #[error("index {found} after {position}")]
    OutOfOrder {
        /// What the edge has.
        position: LogIndex,
        /// What came.
        found: LogIndex,
    },
}

#[derive(Debug)]
struct PartialView {
    index: LogIndex,
    total: usize,
    bytes: Vec<u8>,
}

/// The edge's end.
#[derive(Debug)]
pub struct FeedFollower {
    position: LogIndex,
    partial: Option<PartialView>,
}

impl FeedFollower {
    /// A follower that has folded in everything up to `position`.
    #[must_use]
    pub const fn new(position: LogIndex) -> Self {
        Self { position, partial: None }
    }

    /// Everything up to here is folded in.
    #[must_use]
    pub const fn position(&self) -> LogIndex {
        self.position
    }

    /// Takes a message of the member.
    ///
    /// # Errors
    /// When the member does not follow the protocol.
    pub fn receive(&mut self, message: FeedDown) -> Result<FeedEvent, FeedError> {
        match message {
            FeedDown::Snapshot { index, total_bytes, offset, bytes } => {
                self.take_part(index, total_bytes, offset, &bytes)
            }
            FeedDown::Item(item) => {
                self.advance(item.index, false)?;
                Ok(FeedEvent::Fold(item))
            }
            FeedDown::Alive { index, at } => {
                self.advance(index, true)?;
                Ok(FeedEvent::Alive { index, at })
            }
        }
    }

    fn advance(&mut self, index: LogIndex, may_stay: bool) -> Result<(), FeedError> {
        let is_ahead = index > self.position || (may_stay && index == self.position);
        if self.partial.is_some() || !is_ahead {
            return Err(FeedError::OutOfOrder { position: self.position, found: index });
        }
        self.position = index;
        Ok(())
    }

    fn take_part(
        &mut self,
        index: LogIndex,
        total: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<FeedEvent, FeedError> {
        let size = usize::try_from(total).map_err(|_| FeedError::TooLarge(total))?;
        if size > VIEW_BYTES_MAX {
            return Err(FeedError::TooLarge(total));
        }
        let mut partial = match self.partial.take() {
            None => PartialView { index, total: size, bytes: Vec::new() },
            Some(partial) => partial,
        };
        let have = partial.bytes.len();
        let is_next = partial.index == index
            && partial.total == size
            && u64::try_from(have).ok() == Some(offset)
            && have.saturating_add(bytes.len()) <= size
            && (!bytes.is_empty() || size == 0);
        if !is_next {
            return Err(FeedError::PartOutOfPlace);
        }
        partial.bytes.extend_from_slice(bytes);
        if partial.bytes.len() < size {
            self.partial = Some(partial);
            return Ok(FeedEvent::Pending);
        }
        self.position = index;
        Ok(FeedEvent::Replace { index, view: partial.bytes })
    }
}
