//! Everything that may be put in the log.
//!
//! Commands are imperatives. A command carries every id, instant and chance it needs; applying it
//! reads nothing else. Whether it is allowed is decided in the market, at apply time.

use wincode::{SchemaRead, SchemaWrite};

use crate::id::{CommandId, EdgeId, UserId};
use crate::journal::{Batch, Mark};
use crate::time::Timestamp;

mod account;
mod auction;
mod cluster;
mod finance;
mod govern;
mod issue;
mod media;
mod notice;
mod order;
mod payment;
mod people;
mod policy;
mod sealed;
mod signature;
mod social;
mod story;

pub use account::*;
pub use auction::*;
pub use cluster::*;
pub use finance::*;
pub use govern::*;
pub use issue::*;
pub use media::*;
pub use notice::*;
pub use order::*;
pub use payment::*;
pub use people::*;
pub use policy::*;
pub use sealed::*;
pub use signature::*;
pub use social::*;
pub use story::*;

/// One entry of the replicated log: time moves to `at`, what is due fires, then marks, commands and
/// closes (architecture: the core's contract).
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Entry {
    /// Raft term of the leader that stamped it; a higher one than before begins a term.
    pub term: u64,
    /// Log time, stamped by the leader; never falls.
    pub at: Timestamp,
    /// Newest marks of edges.
    pub marks: Vec<(EdgeId, Mark)>,
    /// At most [`crate::limits::ENTRY_COMMANDS_MAX`]; none makes the entry a Tick.
    pub commands: Vec<LogCommand>,
}

impl Entry {
    /// Whether it is a Tick without a mark: it says nothing but that time went on.
    #[must_use]
    pub fn is_nudge(&self) -> bool {
        self.marks.is_empty() && self.commands.is_empty()
    }
}

/// A command in an entry.
#[expect(clippy::large_enum_variant, reason = "bids come in batches; direct commands are few")]
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum LogCommand {
    /// Forwarded by a shell.
    Direct(Envelope),
    /// Journal entries of an edge.
    Batch(Batch),
}

/// A command with its identity and its author.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Envelope {
    /// Identity of the intent; the same id is answered once.
    pub id: CommandId,
    /// On whose authority.
    pub actor: Actor,
    /// What.
    pub command: Command,
}

/// On whose authority a command is given.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Actor {
    /// A signed-in account.
    User(UserId),
    /// An edge, by its certificate.
    Edge(EdgeId),
    /// A member itself, or an operator at a member's machine.
    Cluster,
    /// Nobody yet: asking for a code, verifying it.
    Anonymous,
}

/// What is asked of the market.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Command {
    /// About members, edges, join tokens.
    Cluster(ClusterCommand),
    /// About accounts and sign-ins.
    Account(AccountCommand),
    /// About clips and transcode jobs.
    Media(MediaCommand),
    /// About stories and moderation.
    Story(StoryCommand),
    /// About what people do with stories: likes, saves, shares, reports, their feed.
    Social(SocialCommand),
    /// About auctions.
    Auction(AuctionCommand),
    /// About payments and effects.
    Payment(PaymentCommand),
    /// About orders.
    Order(OrderCommand),
    /// About money behind a sale.
    Finance(FinanceCommand),
    /// About people.
    People(PeopleCommand),
    /// About settings, flags, templates, rules and the test clock.
    Govern(GovernCommand),
    /// About notices.
    Notice(NoticeCommand),
    /// About issues.
    Issue(IssueCommand),
}
