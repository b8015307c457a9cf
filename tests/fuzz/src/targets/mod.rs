//! The targets, by where their bytes come from.

mod media;
mod stored;
mod texts;
mod web;
mod wire;

use super::Target;

/// Every target.
#[must_use]
pub fn all() -> Vec<Target> {
    [wire::TARGETS, stored::TARGETS, texts::TARGETS, web::TARGETS, media::TARGETS].concat()
}
