//! Strict readers of what was published: playlists and boxes.
//!
//! They state facts and what does not parse; what must be so is said by `super::rules`.

pub(crate) mod attributes;
pub(crate) mod boxes;
pub(crate) mod header;
pub(crate) mod playlist;
