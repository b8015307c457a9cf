//! Everything that crosses a QUIC stream between daemons.
//!
//! ```text
//!  bidirectional stream:  [kind u8] [frame] [frame] ...       frame = [length u32 LE][envelope]
//!  Uplink   edge -> member   UplinkUp ...      member -> edge   UplinkDown ...
//!  Feed     edge -> member   FeedRequest       member -> edge   FeedDown ...
//!  Beat     edge -> member   BeatUp ...        member -> edge   BeatDown ...
//!  Forward  one ForwardRequest, one ForwardResponse, the stream ends
//!  Blob     one BlobRequest, one BlobResponse, then raw bytes in the direction of the copy
//!  Raft     one RaftRequest, one RaftReply; a snapshot's raw bytes follow its request
//!  Join     one JoinRequest, one JoinResponse
//!  Clock    ClockProbe ..., ClockReply ...     member <-> member
//! ```
//! It must not know who answers or how; that is the shells'. Read next: [`crate::session`].

use fairground_types::command::{Channel, Envelope, MemberRow, PushPlatform};
use fairground_types::event::FeedItem;
use fairground_types::id::{
    AssetId, AuctionId, BidId, BlobHash, ClusterId, CommandId, DataRequestId, EdgeId, IssueId,
    JoinTokenId, LogIndex, MemberId, OfferId, OrderId, PlaybackId, SaleLockId, SignInId, StoryId,
    TaskId, UserId,
};
use fairground_types::journal::{Batch, Mark, Tail};
use fairground_types::people::IdentityProvider;
use fairground_types::text::Country;
use fairground_types::time::{Millis, Timestamp};
use fairground_types::verdict::{Judged, Rejection};
use fairground_types::{Code, Money, Verdict};
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::session::playing::StreamSeen;

/// First byte of a stream: what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamKind {
    /// Journal entries of an edge, verdicts back.
    Uplink,
    /// Public events to an edge.
    Feed,
    /// Clock and marks.
    Beat,
    /// One command or read of an edge.
    Forward,
    /// One blob.
    Blob,
    /// Member to member.
    Raft,
    /// A new daemon, or a new certificate.
    Join,
    /// Member to member: wall clocks.
    Clock,
    /// Member to member: records of the history.
    History,
}

impl StreamKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Uplink,
        Self::Feed,
        Self::Beat,
        Self::Forward,
        Self::Blob,
        Self::Raft,
        Self::Join,
        Self::Clock,
        Self::History,
    ];

    /// The byte.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Uplink => 1,
            Self::Feed => 2,
            Self::Beat => 3,
            Self::Forward => 4,
            Self::Blob => 5,
            Self::Raft => 6,
            Self::Join => 7,
            Self::Clock => 8,
            Self::History => 9,
        }
    }

    /// The kind of a byte; `None` closes the stream.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_byte() == byte)
    }
}

/// Text that no log line may show: an address, a code, a token.
#[derive(Clone, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct PrivateText(String);

impl PrivateText {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PrivateText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateText")
    }
}

/// Bytes that no log line may show.
#[derive(Clone, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct PrivateBytes(Vec<u8>);

impl PrivateBytes {
    /// Wraps bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for PrivateBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateBytes({})", self.0.len())
    }
}

/// Edge to member, in order.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum UplinkUp {
    /// First.
    Hello {
        /// The edge, as its certificate says too.
        edge: EdgeId,
        /// Where its journal ends.
        tail: Tail,
        /// Oldest sequence without a verdict; one past the tail when there is none.
        journal_open_from: u64,
    },
    /// Consecutive entries.
    Batch(Batch),
}

/// Verdict on one journal entry.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SeqVerdict {
    /// The entry.
    pub seq: u64,
    /// Its command.
    pub command: CommandId,
    /// The verdict.
    pub judged: Judged,
}

/// Member to edge.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum UplinkDown {
    /// Answer to [`UplinkUp::Hello`]: where the state knows the journal to end.
    Welcome {
        /// Last applied entry.
        applied: Tail,
        /// Whether closes wait for this edge.
        in_intake: bool,
    },
    /// Verdicts, in the order of the log.
    Verdicts(Vec<SeqVerdict>),
    /// The journal is applied up to here.
    Applied {
        /// Last applied entry.
        tail: Tail,
    },
    /// A gap: send again from this sequence.
    Expected {
        /// The sequence.
        seq: u64,
    },
    /// The edge did something it may not; its stream ends.
    Refused {
        /// Why.
        code: Code,
        /// One sentence.
        detail: String,
    },
    /// This member cannot reach a leader now; try another.
    NotReady,
}

/// First frame of a feed stream.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct FeedRequest {
    /// Last index that the edge has folded in; 0 for none.
    pub from: LogIndex,
}

/// Member to edge.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum FeedDown {
    /// Part of an encoded public view; parts come in order and without gaps.
    Snapshot {
        /// The view is of this index.
        index: LogIndex,
        /// Bytes of all parts.
        total_bytes: u64,
        /// Where this part begins.
        offset: u64,
        /// The part.
        bytes: Vec<u8>,
    },
    /// The next entry.
    Item(FeedItem),
    /// Nothing happened up to here.
    Alive {
        /// Newest index.
        index: LogIndex,
        /// Its log time.
        at: Timestamp,
    },
}

/// What an edge says of itself; shared by the members with every edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EdgeStatus {
    /// The edge.
    pub edge: EdgeId,
    /// Where it is.
    pub region: String,
    /// Base URL for clients.
    pub public_url: String,
    /// Whether it delivers media now.
    pub serves_video: bool,
    /// Whether it takes bids now.
    pub takes_bids: bool,
    /// Share of its capacity in use, in thousandths.
    pub load_permille: u32,
    /// How far it has folded in the feed.
    pub feed_index: LogIndex,
}

/// Edge to member, each half second and at closes.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct BeatUp {
    /// The edge's clock, in milliseconds; counts suspension.
    pub t0: u64,
    /// The edge, as its certificate says too.
    pub edge: EdgeId,
    /// Its newest promise; absent without a clock or a journal.
    pub mark: Option<Mark>,
    /// How it is.
    pub status: EdgeStatus,
}

/// Answer to [`BeatUp`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct BeatDown {
    /// As sent.
    pub t0: u64,
    /// Coordinator time, stamped by the leader. Without a leader there is no answer.
    pub t1: Timestamp,
    /// The leader's term.
    pub term: u64,
    /// The leader.
    pub leader: Option<MemberId>,
    /// How the other edges are, when that changed or the edge has just come.
    pub directory: Option<Vec<EdgeStatus>>,
}

/// What is read for a signed-in user that the edge has authenticated.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
#[expect(missing_docs, reason = "each variant names a resource, its user and its id")]
pub enum ReadRequest {
    MyBids { user: UserId, auction: Option<AuctionId> },
    Bid { user: UserId, bid: BidId },
    MyOffers { user: UserId },
    StoryOffers { user: UserId, story: StoryId },
    Offer { user: UserId, offer: OfferId },
    OfferHistory { user: UserId, offer: OfferId },
    Eligibility { user: UserId, story: StoryId, amount: Option<Money>, ship_to: Option<Country> },
    OfferPolicy { user: UserId },
    MakerDashboard { user: UserId },
    MyAuctions { user: UserId, as_maker: bool },
    MyLocks { user: UserId },
    Lock { user: UserId, lock: SaleLockId },
    Payment { user: UserId, payment: SaleLockId },
    Receipt { user: UserId, payment: SaleLockId },
    ReceiptLink { token: String },
    MyOrders { user: UserId },
    Order { user: UserId, order: OrderId },
    OrderMessages { user: UserId, order: OrderId },
    IssueEligibility { user: UserId, order: OrderId },
    Issue { user: UserId, issue: IssueId },
    MyStories { user: UserId },
    Story { user: UserId, story: StoryId },
    StoryStatus { user: UserId, story: StoryId },
    StoryVersions { user: UserId, story: StoryId },
    StoryDiff { user: UserId, story: StoryId, from: u64, to: u64 },
    StoryViewer { user: UserId, story: StoryId },
    MySaved { user: UserId },
    FeedProfile { user: UserId },
    MyAssets { user: UserId },
    Asset { user: UserId, asset: AssetId },
    Me { user: UserId },
    SignIns { user: UserId, current: SignInId },
    Devices { user: UserId },
    Capabilities { user: UserId },
    Task { user: UserId, task: TaskId },
    Consents { user: UserId },
    Privacy { user: UserId },
    Follows { user: UserId },
    Blocked { user: UserId },
    Identities { user: UserId },
    Profile { user: UserId },
    PublicProfile { user: UserId, reader: Option<UserId> },
    Addresses { user: UserId },
    DataRequest { user: UserId, request: DataRequestId },
    DataCopy { user: UserId, request: DataRequestId },
    Jobs,
    Notices { user: UserId },
    NoticePreferences { user: UserId },
    PushDevices { user: UserId },
    Publications { user: UserId },
}

/// What a transcode job makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobStage {
    /// The mezzanine, the H.264 rungs and the sound.
    H264,
    /// The AV1 rungs.
    Av1,
}

/// How far a stage of a transcode job is, as its worker tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct JobProgress {
    /// Which stage.
    pub stage: JobStage,
    /// Frames done, over all rungs of the stage.
    pub done_frames: u64,
    /// Frames to do, over all rungs of the stage.
    pub total_frames: u64,
    /// How long the stage has run.
    pub elapsed: Millis,
}

impl JobProgress {
    /// Frames done in a thousand seconds, on average since the stage began; none at its beginning.
    #[must_use]
    pub fn fps_milli(&self) -> Option<u64> {
        let frames = self.done_frames.saturating_mul(1_000_000);
        frames.checked_div(self.elapsed.as_millis()).filter(|rate| *rate > 0)
    }

    /// How long the rest of the stage takes when it goes on as it went; none before the first frame.
    #[must_use]
    pub fn eta(&self) -> Option<Millis> {
        let left = self.total_frames.saturating_sub(self.done_frames);
        let spent = left.saturating_mul(self.elapsed.as_millis());
        spent.checked_div(self.done_frames).map(Millis::new)
    }
}

/// One call of an edge on behalf of a client, or of itself.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum ForwardRequest {
    /// A command.
    Command(Box<Envelope>),
    /// A read; gated on ReadIndex where it shows money.
    Read(ReadRequest),
    /// Send a one-time code.
    RequestCode {
        /// Address or number, as typed.
        identifier: PrivateText,
        /// How the code travels.
        channel: Channel,
        /// The client's network address, where the edge knows it.
        origin: Option<PrivateText>,
    },
    /// Sign in by a provider's word.
    SignInSocial {
        /// Who vouches.
        provider: IdentityProvider,
        /// The provider's identity token.
        id_token: PrivateText,
        /// The nonce that the client gave the provider.
        nonce: PrivateText,
    },
    /// Add the way to sign in that an earlier [`Self::SignInSocial`] was offered to link.
    LinkIdentity {
        /// To whose account.
        user: UserId,
        /// What that answer gave out.
        link_token: PrivateText,
    },
    /// Send a way back into an account.
    RequestRecovery {
        /// Address or number, as typed.
        identifier: PrivateText,
        /// The client's network address, where the edge knows it.
        origin: Option<PrivateText>,
        /// What the client calls itself.
        agent: PrivateText,
    },
    /// Exchange a way back for tokens.
    RedeemRecovery {
        /// What was sent.
        token: PrivateText,
    },
    /// Void a way back that somebody else asked for.
    DenyRecovery {
        /// What was sent.
        token: PrivateText,
    },
    /// Exchange a one-time code for tokens.
    VerifyCode {
        /// Address or number, as typed.
        identifier: PrivateText,
        /// The code, as typed.
        code: PrivateText,
    },
    /// Exchange a refresh token for tokens.
    Refresh {
        /// The token.
        refresh_token: PrivateText,
    },
    /// Make a link to the payment provider's onboarding of a maker.
    PayoutLink {
        /// Whose.
        user: UserId,
        /// Where the maker goes when the link is over.
        refresh_url: String,
        /// Where the maker comes back to.
        return_url: String,
    },
    /// A device takes push messages; the member seals its token.
    AddPushDevice {
        /// Whose.
        user: UserId,
        /// The sign-in on it.
        sign_in: SignInId,
        /// Identity of the intent.
        command: CommandId,
        /// Which service.
        platform: PushPlatform,
        /// Its token, as the service gave it.
        token: PrivateText,
    },
    /// Make a playback token.
    MintPlayback {
        /// For whom; a visitor without an account has none.
        user: Option<UserId>,
        /// For what.
        asset: AssetId,
    },
    /// Make a playback token that says whose it is, or the next one of a playback.
    Play {
        /// For whom; a visitor without an account has none.
        viewer: Option<PlaybackViewer>,
        /// For what.
        asset: AssetId,
        /// The token that the new one takes over from.
        renews: Option<PrivateText>,
    },
    /// Playbacks that segments were asked for lately; at most [`STREAMS_MAX`]. The answer names those
    /// that are one too many.
    Streams {
        /// One per playback.
        seen: Vec<StreamSeen>,
    },
    /// How far a job is; stays in the leader's memory. A member passes it on to the leader.
    ReportProgress {
        /// Who works on it.
        edge: EdgeId,
        /// The asset.
        asset: AssetId,
        /// Fencing number of the lease.
        fence: u64,
        /// How far it is.
        progress: JobProgress,
    },
    /// Member to leader: how far jobs are.
    ReadProgress {
        /// Which; all without one.
        asset: Option<AssetId>,
    },
}

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct PlaybackViewer {
    /// The account.
    pub user: UserId,
    /// The sign-in of the device.
    pub sign_in: SignInId,
}

/// Playbacks in one [`ForwardRequest::Streams`].
pub const STREAMS_MAX: usize = 2_048;

/// Answer to [`ForwardRequest::Streams`], as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamsRefused {
    /// Playbacks that are to be refused until the next answer.
    pub refused: Vec<PlaybackId>,
}

/// Answer to [`ForwardRequest`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum ForwardResponse {
    /// The log's verdict on a command.
    Judged(Judged),
    /// A JSON document.
    Json(Vec<u8>),
    /// A JSON document with tokens in it; never logged, never cached.
    Tokens(PrivateBytes),
    /// The call was refused outside the log.
    Rejected(Rejection),
    /// No quorum, or a time-out: whether it happened is unknown.
    Unavailable {
        /// When to try again.
        retry_after: Millis,
    },
}

/// What the log said to one command that a follower passed on.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum CommandReply {
    /// To a direct command.
    Direct(Judged),
    /// To a batch: verdicts, and where the edge's journal is applied to.
    Batch {
        /// Verdicts by sequence.
        verdicts: Vec<SeqVerdict>,
        /// Last applied entry.
        applied: Tail,
    },
    /// It may have happened or not.
    Unknown,
}

impl CommandReply {
    /// The verdict on a direct command.
    #[must_use]
    pub const fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::Direct(judged) => Some(&judged.verdict),
            Self::Batch { .. } | Self::Unknown => None,
        }
    }
}

/// First frame of a blob stream.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum BlobRequest {
    /// Send me its bytes.
    Get {
        /// Which.
        hash: BlobHash,
    },
    /// Its bytes follow.
    Put {
        /// Which.
        hash: BlobHash,
        /// How many.
        bytes: u64,
    },
    /// Which of these do you hold? At most [`BLOB_QUERY_MAX`].
    Has {
        /// Which.
        hashes: Vec<BlobHash>,
    },
}

/// Hashes in one [`BlobRequest::Has`].
pub const BLOB_QUERY_MAX: usize = 4_096;

/// Answer to [`BlobRequest`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum BlobResponse {
    /// To `Get`: so many raw bytes follow.
    Found {
        /// How many.
        bytes: u64,
    },
    /// To `Get`: not here.
    Absent,
    /// To `Put`: go on, send.
    Send,
    /// To `Put`: stored (also when it was there already; nothing need be sent then).
    Stored,
    /// To `Has`: one answer per hash, in order.
    Held(Vec<bool>),
    /// Wrong digest, too large or no room.
    Refused {
        /// Why.
        code: Code,
        /// One sentence.
        detail: String,
    },
}

/// What a new daemon is.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum JoinKind {
    /// An edge.
    Edge {
        /// The operator's name for it.
        name: String,
        /// Base URL for clients.
        public_url: String,
        /// Key that its receipts are signed with.
        receipt_key: [u8; 32],
        /// Whether it takes bids.
        takes_bids: bool,
    },
    /// A member.
    Member {
        /// Where other daemons reach it.
        cluster_address: String,
        /// Base URL of its console.
        public_url: String,
    },
}

/// Secret of a join token.
#[derive(Clone, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct JoinSecret(pub [u8; 32]);

impl std::fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinSecret")
    }
}

/// First frame of a join stream.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum JoinRequest {
    /// A daemon without a certificate.
    Join {
        /// The token.
        token: JoinTokenId,
        /// Its secret.
        secret: JoinSecret,
        /// Certificate request (PKCS#10, DER).
        csr_der: Vec<u8>,
        /// What it is.
        kind: JoinKind,
    },
    /// A daemon whose certificate is running out; it has shown it already.
    Renew {
        /// Certificate request (PKCS#10, DER).
        csr_der: Vec<u8>,
    },
}

/// Answer to [`JoinRequest`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum JoinResponse {
    /// Welcome, or a new certificate.
    Welcome(Box<JoinWelcome>),
    /// No.
    Refused(Rejection),
    /// Ask that member, or nobody is there to ask.
    NotLeader {
        /// Where other daemons reach it.
        leader_address: Option<String>,
    },
}

/// What a daemon that joined needs.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct JoinWelcome {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// The cluster's authority, PEM.
    pub ca_pem: String,
    /// `EdgeId` or `MemberId` as text.
    pub identity: String,
    /// Every member.
    pub members: Vec<MemberRow>,
    /// The cluster's secrets as JSON; only for members.
    pub secrets: Option<PrivateBytes>,
}

/// A member asks another for its wall clock.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ClockProbe {
    /// The asking member's clock, in milliseconds; counts suspension.
    pub t0: u64,
}

/// Answer to [`ClockProbe`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct ClockReply {
    /// As sent.
    pub t0: u64,
    /// Wall clock of the answering member.
    pub wall: Timestamp,
}

crate::codec::version_one!(
    UplinkUp,
    UplinkDown,
    SeqVerdict,
    FeedRequest,
    FeedDown,
    EdgeStatus,
    BeatUp,
    BeatDown,
    ReadRequest,
    ForwardRequest,
    ForwardResponse,
    CommandReply,
    BlobRequest,
    BlobResponse,
    JoinRequest,
    JoinResponse,
    ClockProbe,
    ClockReply
);

#[cfg(test)]
mod tests {
    use super::*;

    const fn after(elapsed: u64, done_frames: u64) -> JobProgress {
        let elapsed = Millis::new(elapsed);
        JobProgress { stage: JobStage::Av1, done_frames, total_frames: 300, elapsed }
    }

    #[test]
    fn rate_and_rest_of_a_job_come_from_what_is_done() {
        assert_eq!((after(0, 0).fps_milli(), after(0, 0).eta()), (None, None));
        assert_eq!((after(4_000, 0).fps_milli(), after(4_000, 0).eta()), (None, None));
        let third = after(40_000, 100);
        assert_eq!((third.fps_milli(), third.eta()), (Some(2_500), Some(Millis::from_secs(80))));
        let over = after(40_000, 301);
        assert_eq!(over.eta(), Some(Millis::ZERO));
        assert_eq!(after(1, u64::MAX).fps_milli(), Some(u64::MAX));
    }
}
