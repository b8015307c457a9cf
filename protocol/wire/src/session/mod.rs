//! Both ends of the long-lived streams, without I/O.
//!
//! A session takes messages and instants and answers what to send or do; a shell moves the bytes.
//! It must not know sockets, clocks or files. Read next: [`uplink`] (journal entries up, verdicts
//! down), [`feed`] (public events down), [`beat`] (the edge's clock and its marks), [`playing`] (how
//! much somebody watches at a time).

pub mod beat;
pub mod feed;
pub mod playing;
pub mod uplink;
