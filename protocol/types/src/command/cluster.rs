//! Commands about the cluster itself: members, edges, the intake.
//!
//! Read next: `fairground-market` for what they do.

use super::MarketPolicy;
use crate::id::{ClusterId, Digest, EdgeId, JoinTokenId, MemberId};
use crate::journal::Tail;
use crate::text::Region;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// What is asked about members, edges, join tokens.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
#[expect(clippy::large_enum_variant, reason = "the first command of a cluster comes once")]
pub enum ClusterCommand {
    /// First command of a cluster.
    InitialiseCluster(InitialiseCluster),
    /// Makes a join token.
    CreateJoinToken(CreateJoinToken),
    /// Ends a join token.
    RevokeJoinToken {
        /// The token.
        token: JoinTokenId,
    },
    /// A member joins by a token, or the first one names itself.
    RegisterMember(RegisterMember),
    /// An edge joins by a token; a name seen before gets the next incarnation.
    RegisterEdge(RegisterEdge),
    /// An edge enters the intake.
    AdmitEdge {
        /// The edge.
        edge: EdgeId,
        /// Where its journal ends.
        tail: Tail,
    },
    /// An edge leaves the intake once its journal up to `tail` is applied.
    SealEdge {
        /// The edge.
        edge: EdgeId,
        /// Where its journal ends.
        tail: Tail,
    },
    /// An edge can no longer read what comes next in its journal, and goes on behind it.
    ReportMissing {
        /// The edge.
        edge: EdgeId,
        /// First sequence that is lost.
        first: u64,
        /// The last one, and the hash of the journal up to it.
        last: Tail,
    },
    /// Finished sales leave the state for the history.
    Archive {
        /// How many are looked at, at most [`crate::limits::ARCHIVE_STEP_MAX`].
        max: u32,
    },
}

/// See [`ClusterCommand::InitialiseCluster`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct InitialiseCluster {
    /// The cluster.
    pub cluster: ClusterId,
    /// The rules in force.
    pub policy: MarketPolicy,
    /// Public keys that edges check tokens and receipts with.
    pub keys: Vec<ClusterKey>,
    /// Whether its clock may be moved by hand: a cluster to try things in, for ever.
    pub sandbox: bool,
    /// Version of the rules that it begins with.
    pub rules: u32,
}

/// What a public key is for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum KeyPurpose {
    /// Access tokens.
    Access,
    /// Playback tokens.
    Playback,
    /// Receipts of an edge.
    Receipt,
}

/// An Ed25519 public key (RFC 8032).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct ClusterKey {
    /// Its name in tokens: `kid`.
    pub kid: String,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// 32 bytes.
    pub public: [u8; 32],
}

/// What a join token admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JoinRole {
    /// A member of the coordinator cluster.
    Member,
    /// An edge.
    Edge,
}

/// See [`ClusterCommand::CreateJoinToken`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct CreateJoinToken {
    /// Its id.
    pub token: JoinTokenId,
    /// Hash of its secret.
    pub secret: Digest,
    /// What it admits.
    pub role: JoinRole,
    /// Where.
    pub region: Region,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Proof of a join token.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct JoinProof {
    /// The token.
    pub token: JoinTokenId,
    /// Hash of its secret.
    pub secret: Digest,
}

/// See [`ClusterCommand::RegisterMember`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RegisterMember {
    /// The token; absent for the first member, registered by [`super::Actor::Cluster`].
    pub proof: Option<JoinProof>,
    /// Where other daemons reach it: `host:port`, QUIC.
    pub cluster_address: String,
    /// Base URL of its console and webhook listener.
    pub public_url: String,
}

/// See [`ClusterCommand::RegisterEdge`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RegisterEdge {
    /// The token.
    pub proof: JoinProof,
    /// The operator's name for it.
    pub name: String,
    /// Base URL that clients use.
    pub public_url: String,
    /// Key that its receipts are signed with.
    pub receipt_key: [u8; 32],
    /// Whether it takes bids; a video-only edge is never in the intake.
    pub takes_bids: bool,
}

/// A member as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberRow {
    /// Its number.
    pub member: MemberId,
    /// `host:port`, QUIC.
    pub cluster_address: String,
    /// Base URL of its console.
    pub public_url: String,
}
