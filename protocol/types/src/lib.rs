//! The vocabulary of Fairground: ids, money, time, text, commands, events, codes, limits, roles.
//!
//! Everything that two crates must agree on and that is not a rule. It must not know clocks,
//! randomness, files or sockets; ids and times are made by shells and enter as values. Read next:
//! [`command`] for what may be put in the log, [`event`] for what comes out of it.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm
)]

pub mod carrier;
pub mod code;
pub mod command;
pub mod event;
pub mod flag;
pub mod id;
pub mod journal;
pub mod limits;
pub mod money;
pub mod notice;
#[cfg(feature = "openapi")]
mod openapi;
pub mod people;
pub mod role;
pub mod signature;
pub mod text;
pub mod time;
pub mod verdict;

pub use code::Code;
pub use command::{Command, Entry, LogCommand};
pub use event::PublicEvent;
pub use flag::{Flag, FlagSetting, FlagValue};
pub use id::*;
pub use money::{Currency, Money, MoneyError};
pub use notice::{NoticeChannel, NoticeKind};
pub use people::{Capability, StrikeAbout, StrikeKind};
pub use role::Role;
pub use signature::{DevicePublicKey, DeviceSignature, KeyAlgorithm};
pub use time::{Millis, Timestamp};
pub use verdict::{Accepted, Rejection, Verdict};
