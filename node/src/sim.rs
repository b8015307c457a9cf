//! An edge in the world of a simulator: the parts of `lib.rs` that take bids, over disks, wires and
//! clocks that are handed in.
//!
//! Compiled with the feature `sim` only. Clients call the intake as HTTP handlers do; there is no
//! HTTP, no media and no worker. It must not know what the simulator does to it. Read next:
//! `tests/sim`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fairground_market::PublicView;
use fairground_runtime::clock::Clock;
use fairground_seam::link::memory::Port;
use fairground_storage::intake::Journal;
use fairground_storage::replica::Replica;
use fairground_storage::segment_cache::SegmentCache;
use fairground_types::journal::{Intake, Stamp};
use fairground_types::verdict::Judged;
use fairground_types::{AuctionId, ClusterId, Code, CommandId, EdgeId, LogIndex, OfferId};

use crate::edge::Edge;
use crate::error::Error;
use crate::identity::Joined;
use crate::intake::{self, Answer};
use crate::link::Way;
use crate::options::Options;
use crate::setup::{self, Parts};
use crate::{spawn_intake, uplink};

const STOP_WAIT: Duration = Duration::from_secs(2);

/// What an edge is made of.
pub struct Setup {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its id in it.
    pub edge: EdgeId,
    /// Its receipt key, PKCS #8.
    pub receipt_key: Vec<u8>,
    /// Where members are.
    pub members: Vec<String>,
    /// Its clocks.
    pub clock: Clock,
    /// Where it dials from.
    pub port: Port,
    /// Its view.
    pub store: Replica,
    /// Its journal.
    pub journal: Journal,
    /// Its segments.
    pub cache: SegmentCache,
    /// A folder for what is on no simulated disk.
    pub folder: PathBuf,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// The log has judged.
    Judged(Judged, Option<Arc<str>>),
    /// Durable here; the verdict follows.
    Received(Option<Arc<str>>),
    /// Refused on a fact that the view at this index holds.
    Refused(Code, LogIndex),
    /// No bids are taken now.
    Declined(String),
    /// Whether the bid is kept is unknown.
    Unknown,
}

/// An edge that runs.
pub struct RunningEdge {
    edge: Arc<Edge>,
}

impl RunningEdge {
    /// Starts an edge.
    ///
    /// # Errors
    /// When its stores cannot be read.
    pub fn start(setup: Setup) -> Result<Self, Error> {
        let options =
            Options { dir: setup.folder, members: setup.members.clone(), ..Options::default() };
        let joined = Joined {
            cluster: setup.cluster,
            edge: setup.edge,
            region: "eu".to_owned(),
            members: setup.members,
        };
        let (edge, _) = setup::assemble(Parts {
            public_url: format!("http://{}.example", joined.edge.name()),
            region: joined.region.clone(),
            options,
            joined,
            receipt_key: setup.receipt_key,
            clock: setup.clock,
            way: Way::Memory(setup.port),
            store: setup.store,
            journal: setup.journal,
            cache: setup.cache,
            tools: None,
        })?;
        spawn_intake(&edge);
        Ok(Self { edge })
    }

    /// Takes a bid or an offer and waits so long for its verdict.
    pub fn take(
        &self,
        intake: Intake,
        wait: Duration,
    ) -> impl Future<Output = Taken> + Send + 'static {
        let desk = Arc::clone(&self.edge.intake);
        async move {
            match desk.take(intake, wait).await {
                Answer::Judged { judged, receipt } => Taken::Judged(judged, receipt),
                Answer::Received { receipt } => Taken::Received(receipt),
                Answer::Refused { rejection, index } => Taken::Refused(rejection.code, index),
                Answer::Declined { reason } => Taken::Declined(reason.to_string()),
                Answer::Unknown => Taken::Unknown,
            }
        }
    }

    /// Why it takes no bids now, if it does not.
    #[must_use]
    pub fn declines(&self) -> Option<String> {
        self.edge.intake.readiness().err().map(|reason| reason.to_string())
    }

    /// Its journal.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.edge.intake.journal
    }

    /// Looks at its view.
    pub fn read<R>(&self, look: impl FnOnce(&PublicView) -> R) -> R {
        self.edge.view.read(look)
    }

    /// The interval of coordinator time, as it knows it.
    #[must_use]
    pub fn interval(&self) -> Option<Stamp> {
        self.edge.time.interval()
    }

    /// Whether the cluster knows another journal under its name.
    #[must_use]
    pub fn needs_new_identity(&self) -> bool {
        self.edge.intake.needs_new_identity.load(Ordering::Acquire)
    }

    /// Whether its journal failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.edge.intake.journal.has_failed()
    }

    /// Stops it in order: the journal drained and sealed.
    pub async fn stop(&self, drain: Duration) {
        uplink::drain(&self.edge, drain).await;
        self.edge.shutdown.trigger();
        self.edge.tasks.join(STOP_WAIT).await;
    }

    /// Ends it as a power cut does; its disks and wires are dead before this is called.
    pub async fn die(&self) {
        self.edge.tasks.join(Duration::ZERO).await;
        self.edge.shutdown.trigger();
    }
}

/// The ids that an offer gets at every edge.
#[must_use]
pub fn ids_of(command: &CommandId) -> (OfferId, AuctionId) {
    (intake::offer_of(command), intake::auction_of(command))
}

/// What the view says of an auction, for people.
#[must_use]
pub fn describe(view: &PublicView) -> BTreeMap<AuctionId, String> {
    view.open_auctions().map(|row| (row.auction, format!("{row:?}"))).collect()
}
