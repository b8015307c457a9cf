//! Everything that crosses a stream between daemons.

use fairground_types::Code;
use fairground_types::command::{AccountCommand, Actor, Channel, Command, Envelope, LogCommand};
use fairground_types::event::FeedItem;
use fairground_types::id::{MemberId, PlaybackId};
use fairground_types::people::IdentityProvider;
use fairground_types::time::{Millis, Timestamp};
use fairground_wire::history::{HistoryRecord, HistoryRequest, HistoryResponse};
use fairground_wire::message::{
    BeatDown, BeatUp, BlobRequest, BlobResponse, ClockProbe, ClockReply, CommandReply, EdgeStatus,
    FeedDown, FeedRequest, ForwardRequest, ForwardResponse, JobProgress, JobStage, JoinKind,
    JoinRequest, JoinResponse, JoinSecret, JoinWelcome, PlaybackViewer, PrivateBytes, PrivateText,
    ReadRequest, SeqVerdict, UplinkDown, UplinkUp,
};
use fairground_wire::raft::{
    AppendReplyWire, AppendWire, LogEntryWire, LogIdWire, LogPayloadWire, MembershipWire,
    RaftReply, RaftRequest, SnapshotMetaWire, SnapshotWire, StoredMembershipWire,
    TransferLeaderWire, VoteReplyWire, VoteRequestWire, VoteWire,
};
use fairground_wire::session::playing::{Stream, StreamSeen};
use fairground_wire::version::{Hello, SPOKEN};

use crate::events::{judged, member, rejection};
use crate::{
    ASSET, AUCTION, BID, BLOB, CLUSTER, COMMAND, INDEX, LOCK, OFFER, ORDER, SIGN_IN, STORY, Sample,
    TOKEN, USER, at, batch, edge, mark, sealed, tail,
};

pub(crate) const LOG_ID: LogIdWire = LogIdWire { term: 5, index: 77 };
pub(crate) const VOTE: VoteWire = VoteWire { term: 5, node: 2, committed: true };

pub(crate) fn membership() -> MembershipWire {
    MembershipWire {
        configs: vec![vec![1, 2, 3], vec![1, 2, 4]],
        nodes: vec![(1, "member-1.example:7400".to_owned()), (4, "m4.example:7400".to_owned())],
    }
}

pub(crate) fn snapshot_meta() -> SnapshotMetaWire {
    SnapshotMetaWire {
        last_log_id: Some(LOG_ID),
        last_membership: StoredMembershipWire { log_id: Some(LOG_ID), membership: membership() },
    }
}

pub(crate) fn log_entries() -> Vec<LogEntryWire> {
    [
        LogPayloadWire::Blank,
        LogPayloadWire::Normal(vec![1, 2, 3]),
        LogPayloadWire::Membership(membership()),
    ]
    .into_iter()
    .map(|payload| LogEntryWire { log_id: LOG_ID, payload })
    .collect()
}

fn verdicts() -> Vec<SeqVerdict> {
    vec![SeqVerdict { seq: 1, command: COMMAND, judged: judged() }]
}

fn status() -> EdgeStatus {
    EdgeStatus {
        edge: edge(),
        region: "eu-north".to_owned(),
        public_url: "https://edge-1.example".to_owned(),
        serves_video: true,
        takes_bids: false,
        load_permille: 250,
        feed_index: INDEX,
    }
}

fn each<T>(prefix: &str, values: Vec<(&str, T)>) -> Vec<Sample>
where
    T: fairground_wire::Versioned
        + fairground_wire::codec::Encode
        + fairground_wire::codec::Decode
        + PartialEq
        + std::fmt::Debug,
{
    values.iter().map(|(name, value)| sealed(format!("{prefix}_{name}"), value)).collect()
}

fn uplink() -> Vec<Sample> {
    let up = vec![
        ("hello", UplinkUp::Hello { edge: edge(), tail: tail(), journal_open_from: 2 }),
        ("batch", UplinkUp::Batch(batch())),
    ];
    let down = vec![
        ("welcome", UplinkDown::Welcome { applied: tail(), in_intake: true }),
        ("verdicts", UplinkDown::Verdicts(verdicts())),
        ("applied", UplinkDown::Applied { tail: tail() }),
        ("expected", UplinkDown::Expected { seq: 2 }),
        (
            "refused",
            UplinkDown::Refused { code: Code::Forbidden, detail: "another edge".to_owned() },
        ),
        ("not_ready", UplinkDown::NotReady),
    ];
    [each("uplink_up", up), each("uplink_down", down)].concat()
}

fn feed_and_beat() -> Vec<Sample> {
    let item = FeedItem { index: INDEX, at: at(7), events: Vec::new() };
    let feed = vec![
        (
            "snapshot",
            FeedDown::Snapshot { index: INDEX, total_bytes: 10, offset: 4, bytes: vec![5, 6] },
        ),
        ("item", FeedDown::Item(item)),
        ("alive", FeedDown::Alive { index: INDEX, at: at(7) }),
    ];
    let mut samples = each("feed_down", feed);
    samples.push(sealed("feed_request", &FeedRequest { from: INDEX }));
    samples.push(sealed(
        "beat_up",
        &BeatUp { t0: 123_456, edge: edge(), mark: Some(mark()), status: status() },
    ));
    samples.push(sealed(
        "beat_down",
        &BeatDown {
            t0: 123_456,
            t1: at(9),
            term: 5,
            leader: Some(MemberId(2)),
            directory: Some(vec![status()]),
        },
    ));
    samples.push(sealed("clock_probe", &ClockProbe { t0: 5 }));
    samples.push(sealed("clock_reply", &ClockReply { t0: 5, wall: at(10) }));
    samples.push(sealed("hello", &Hello { speaks: SPOKEN, rules: 1, release: "0.1.0".to_owned() }));
    samples
}

fn reads() -> Vec<Sample> {
    let user = USER;
    each(
        "read",
        vec![
            ("my_bids", ReadRequest::MyBids { user, auction: Some(AUCTION) }),
            ("bid", ReadRequest::Bid { user, bid: BID }),
            ("my_offers", ReadRequest::MyOffers { user }),
            ("story_offers", ReadRequest::StoryOffers { user, story: STORY }),
            ("offer", ReadRequest::Offer { user, offer: OFFER }),
            ("offer_history", ReadRequest::OfferHistory { user, offer: OFFER }),
            ("eligibility", eligibility()),
            ("offer_policy", ReadRequest::OfferPolicy { user }),
            ("maker_dashboard", ReadRequest::MakerDashboard { user }),
            ("publications", ReadRequest::Publications { user }),
            ("my_auctions", ReadRequest::MyAuctions { user, as_maker: true }),
            ("my_locks", ReadRequest::MyLocks { user }),
            ("lock", ReadRequest::Lock { user, lock: LOCK }),
            ("payment", ReadRequest::Payment { user, payment: LOCK }),
            ("receipt", ReadRequest::Receipt { user, payment: LOCK }),
            ("receipt_link", ReadRequest::ReceiptLink { token: "lck.1.2".to_owned() }),
            ("my_orders", ReadRequest::MyOrders { user }),
            ("order", ReadRequest::Order { user, order: ORDER }),
            ("order_messages", ReadRequest::OrderMessages { user, order: ORDER }),
            ("issue_eligibility", ReadRequest::IssueEligibility { user, order: ORDER }),
            ("issue", ReadRequest::Issue { user, issue: fairground_types::IssueId::from_bits(9) }),
            ("my_stories", ReadRequest::MyStories { user }),
            ("story", ReadRequest::Story { user, story: STORY }),
            ("story_status", ReadRequest::StoryStatus { user, story: STORY }),
            ("story_versions", ReadRequest::StoryVersions { user, story: STORY }),
            ("story_diff", ReadRequest::StoryDiff { user, story: STORY, from: 1, to: 2 }),
            ("story_viewer", ReadRequest::StoryViewer { user, story: STORY }),
            ("my_saved", ReadRequest::MySaved { user }),
            ("feed_profile", ReadRequest::FeedProfile { user }),
            ("my_assets", ReadRequest::MyAssets { user }),
            ("asset", ReadRequest::Asset { user, asset: ASSET }),
            ("me", ReadRequest::Me { user }),
            ("sign_ins", ReadRequest::SignIns { user, current: SIGN_IN }),
            ("devices", ReadRequest::Devices { user }),
            ("capabilities", ReadRequest::Capabilities { user }),
            ("task", ReadRequest::Task { user, task: crate::people::TASK }),
            ("consents", ReadRequest::Consents { user }),
            ("privacy", ReadRequest::Privacy { user }),
            ("follows", ReadRequest::Follows { user }),
            ("blocked", ReadRequest::Blocked { user }),
            ("identities", ReadRequest::Identities { user }),
            ("profile", ReadRequest::Profile { user }),
            ("public_profile", ReadRequest::PublicProfile { user, reader: None }),
            ("addresses", ReadRequest::Addresses { user }),
            ("data_request", ReadRequest::DataRequest { user, request: crate::people::REQUEST }),
            ("data_copy", ReadRequest::DataCopy { user, request: crate::people::REQUEST }),
            ("jobs", ReadRequest::Jobs),
            ("notices", ReadRequest::Notices { user }),
            ("notice_preferences", ReadRequest::NoticePreferences { user }),
            ("push_devices", ReadRequest::PushDevices { user }),
        ],
    )
}

fn eligibility() -> ReadRequest {
    ReadRequest::Eligibility {
        user: USER,
        story: STORY,
        amount: Some(fairground_types::Money::new(5_000, fairground_types::Currency::Eur)),
        ship_to: fairground_types::text::Country::parse("DE").ok(),
    }
}

fn forward() -> Vec<Sample> {
    let address = || PrivateText::new("buyer-7@shop.example");
    let envelope = Envelope {
        id: COMMAND,
        actor: Actor::User(USER),
        command: Command::Account(AccountCommand::BecomeMaker),
    };
    let requests = vec![
        ("command", ForwardRequest::Command(Box::new(envelope))),
        ("read", ForwardRequest::Read(ReadRequest::Jobs)),
        (
            "request_code",
            ForwardRequest::RequestCode {
                identifier: address(),
                channel: Channel::Email,
                origin: Some(PrivateText::new("192.0.2.1")),
            },
        ),
        (
            "sign_in_social",
            ForwardRequest::SignInSocial {
                provider: IdentityProvider::Google,
                id_token: PrivateText::new("token"),
                nonce: PrivateText::new("nonce"),
            },
        ),
        (
            "link_identity",
            ForwardRequest::LinkIdentity { user: USER, link_token: PrivateText::new("token") },
        ),
        (
            "request_recovery",
            ForwardRequest::RequestRecovery {
                identifier: address(),
                origin: None,
                agent: PrivateText::new("agent"),
            },
        ),
        ("redeem_recovery", ForwardRequest::RedeemRecovery { token: PrivateText::new("token") }),
        ("deny_recovery", ForwardRequest::DenyRecovery { token: PrivateText::new("token") }),
        (
            "verify_code",
            ForwardRequest::VerifyCode { identifier: address(), code: PrivateText::new("123456") },
        ),
        ("refresh", ForwardRequest::Refresh { refresh_token: PrivateText::new("token") }),
        (
            "add_push_device",
            ForwardRequest::AddPushDevice {
                user: USER,
                sign_in: SIGN_IN,
                command: COMMAND,
                platform: fairground_types::command::PushPlatform::Apns,
                token: PrivateText::new("token"),
            },
        ),
    ];
    let responses = vec![
        ("judged", ForwardResponse::Judged(judged())),
        ("json", ForwardResponse::Json(b"{}".to_vec())),
        ("tokens", ForwardResponse::Tokens(PrivateBytes::new(b"{}".to_vec()))),
        ("rejected", ForwardResponse::Rejected(rejection())),
        ("unavailable", ForwardResponse::Unavailable { retry_after: Millis::from_secs(2) }),
    ];
    let replies = vec![
        ("direct", CommandReply::Direct(judged())),
        ("batch", CommandReply::Batch { verdicts: verdicts(), applied: tail() }),
        ("unknown", CommandReply::Unknown),
    ];
    [
        each("forward_request", requests),
        each("forward_request", media_requests()),
        each("forward_response", responses),
        each("command_reply", replies),
    ]
    .concat()
}

fn media_requests() -> Vec<(&'static str, ForwardRequest)> {
    vec![
        ("mint_playback", ForwardRequest::MintPlayback { user: None, asset: ASSET }),
        (
            "play",
            ForwardRequest::Play {
                viewer: Some(PlaybackViewer { user: USER, sign_in: SIGN_IN }),
                asset: ASSET,
                renews: Some(PrivateText::new("token")),
            },
        ),
        (
            "streams",
            ForwardRequest::Streams {
                seen: vec![StreamSeen {
                    stream: Stream {
                        viewer: [7; 16],
                        sign_in: SIGN_IN,
                        playback: PlaybackId::from_bits(0x77),
                        begun_at: Timestamp::from_unix_millis(1_790_000_000_000),
                    },
                    ago: Millis::from_secs(2),
                }],
            },
        ),
        (
            "report_progress",
            ForwardRequest::ReportProgress {
                edge: edge(),
                asset: ASSET,
                fence: 3,
                progress: JobProgress {
                    stage: JobStage::Av1,
                    done_frames: 120,
                    total_frames: 960,
                    elapsed: Millis::from_secs(30),
                },
            },
        ),
        ("read_progress", ForwardRequest::ReadProgress { asset: Some(ASSET) }),
    ]
}

fn blob() -> Vec<Sample> {
    let requests = vec![
        ("get", BlobRequest::Get { hash: BLOB }),
        ("put", BlobRequest::Put { hash: BLOB, bytes: 9 }),
        ("has", BlobRequest::Has { hashes: vec![BLOB] }),
    ];
    let responses = vec![
        ("found", BlobResponse::Found { bytes: 9 }),
        ("absent", BlobResponse::Absent),
        ("send", BlobResponse::Send),
        ("stored", BlobResponse::Stored),
        ("held", BlobResponse::Held(vec![true, false])),
        (
            "refused",
            BlobResponse::Refused { code: Code::ValidationFailed, detail: "digest".to_owned() },
        ),
    ];
    [each("blob_request", requests), each("blob_response", responses)].concat()
}

fn history() -> Vec<Sample> {
    let record = HistoryRecord { seq: 7, keys: vec![vec![1, 2]], body: vec![3, 4] };
    let request = HistoryRequest { from: 7, max: 256 };
    [
        each("history_request", vec![("some", request)]),
        each("history_response", vec![("one", HistoryResponse { records: vec![record] })]),
    ]
    .concat()
}

fn join() -> Vec<Sample> {
    let request = |kind| JoinRequest::Join {
        token: TOKEN,
        secret: JoinSecret([8; 32]),
        csr_der: vec![0x30, 0x82],
        kind,
    };
    let requests = vec![
        (
            "edge",
            request(JoinKind::Edge {
                name: "edge-1".to_owned(),
                public_url: "https://edge-1.example".to_owned(),
                receipt_key: [9; 32],
                takes_bids: true,
            }),
        ),
        (
            "member",
            request(JoinKind::Member {
                cluster_address: "member-3.example:7400".to_owned(),
                public_url: "https://console-3.example".to_owned(),
            }),
        ),
        ("renew", JoinRequest::Renew { csr_der: vec![0x30, 0x82] }),
    ];
    let welcome = JoinWelcome {
        cluster: CLUSTER,
        certificate_pem: "certificate".to_owned(),
        ca_pem: "authority".to_owned(),
        identity: "edge-1.2".to_owned(),
        members: vec![member()],
        secrets: Some(PrivateBytes::new(b"{}".to_vec())),
    };
    let responses = vec![
        ("welcome", JoinResponse::Welcome(Box::new(welcome))),
        ("refused", JoinResponse::Refused(rejection())),
        (
            "not_leader",
            JoinResponse::NotLeader { leader_address: Some("member-1.example:7400".to_owned()) },
        ),
    ];
    [each("join_request", requests), each("join_response", responses)].concat()
}

fn raft() -> Vec<Sample> {
    let vote = || VoteRequestWire {
        vote: VoteWire { committed: false, ..VOTE },
        last_log_id: Some(LOG_ID),
        leadership_transfer: true,
    };
    let requests = vec![
        (
            "append",
            RaftRequest::Append(AppendWire {
                vote: VOTE,
                prev_log_id: Some(LOG_ID),
                entries: log_entries(),
                leader_commit: None,
            }),
        ),
        ("vote", RaftRequest::Vote(vote())),
        ("pre_vote", RaftRequest::PreVote(vote())),
        (
            "snapshot",
            RaftRequest::Snapshot(SnapshotWire {
                vote: VOTE,
                meta: snapshot_meta(),
                bytes: 1_000,
                digest: [6; 32],
            }),
        ),
        (
            "transfer_leader",
            RaftRequest::TransferLeader(TransferLeaderWire {
                from_leader: VOTE,
                to_node: 3,
                last_log_id: Some(LOG_ID),
            }),
        ),
        ("propose", RaftRequest::Propose(vec![LogCommand::Batch(batch())])),
        ("clock", RaftRequest::Clock),
        ("read_index", RaftRequest::ReadIndex),
    ];
    let vote = || VoteReplyWire { vote: VOTE, vote_granted: true, last_log_id: Some(LOG_ID) };
    let replies = vec![
        ("append_success", RaftReply::Append(AppendReplyWire::Success)),
        ("append_partial", RaftReply::Append(AppendReplyWire::PartialSuccess(Some(LOG_ID)))),
        ("append_conflict", RaftReply::Append(AppendReplyWire::Conflict)),
        ("append_higher_vote", RaftReply::Append(AppendReplyWire::HigherVote(VOTE))),
        ("vote", RaftReply::Vote(vote())),
        ("pre_vote", RaftReply::PreVote(vote())),
        ("snapshot", RaftReply::Snapshot(VOTE)),
        ("transfer_leader", RaftReply::TransferLeader(true)),
        ("proposed", RaftReply::Proposed(vec![CommandReply::Unknown])),
        ("clock", RaftReply::Clock(at(11))),
        ("read_index", RaftReply::ReadIndex(Some(LOG_ID))),
        ("not_leader", RaftReply::NotLeader(Some(2))),
        ("unavailable", RaftReply::Unavailable("stopping".to_owned())),
    ];
    [each("raft_request", requests), each("raft_reply", replies)].concat()
}

pub(crate) fn samples() -> Vec<Sample> {
    [uplink(), feed_and_beat(), reads(), forward(), blob(), history(), join(), raft()].concat()
}
