//! A cluster of one: a QUIC endpoint before the real market, without Raft or disk.
//!
//! It can be told to stop judging, so that what an edge has received waits in its journal.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use bytes::Bytes;
use fairground_market::{Applied, Market};
use fairground_media::token::{self, Claims, TokenFlags, TokenKeys, Viewer};
use fairground_runtime::clock::Clock;
use fairground_runtime::ids;
use fairground_runtime::pki::{self, Role as Peer};
use fairground_runtime::secret::SigningPair;
use fairground_runtime::shutdown::{Shutdown, Tasks};
use fairground_types::command::{
    AccountCommand, Actor, Channel, Clip, ClusterCommand, Command, CreateAccount, CreateJoinToken,
    Entry, Envelope, Extent, GovernCommand, InitialiseCluster, JoinProof, JoinRole, LogCommand,
    MarketPolicy, MediaCommand, PeopleCommand, ProfileText, PublishRevision, RegisterAsset,
    RegisterEdge, RegisterMember, ReviewDecision, SaveDraft, SealedContact, SealedText,
    SetSignaturePolicy, SignaturePolicy, StoryCommand, StoryDraft, StoryPolicy, UnsignedMax,
};
use fairground_types::journal::Mark;
use fairground_types::text::{Category, ClipLabel, Handle, Note, Overview, Region, Summary, Title};
use fairground_types::verdict::Judged;
use fairground_types::{
    AssetId, BlobHash, Code, CommandId, Currency, Digest, EdgeId, JoinTokenId, LogIndex, MemberId,
    Millis, Money, PlaybackId, Rejection, Role, StoryId, UserId, Verdict, limits,
};
use fairground_wire::codec::{self, Decode, Encode};
use fairground_wire::frame::frame_len;
use fairground_wire::message::{
    BeatDown, BeatUp, BlobRequest, BlobResponse, EdgeStatus, FeedDown, FeedRequest, ForwardRequest,
    ForwardResponse, PlaybackViewer, PrivateText, ReadRequest, SeqVerdict, StreamKind,
    StreamsRefused, UplinkDown, UplinkUp,
};
use fairground_wire::session::feed::{VIEW_VERSION, snapshot_parts};
use fairground_wire::session::playing::StreamSeen;
use fairground_wire::session::uplink::{UplinkAction, UplinkReceiver};
use fairground_wire::{Versioned, from_bytes, to_frame};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::clip::clip;
use super::support::World;

pub(crate) const MAKER: UserId = UserId::from_bits(1);
pub(crate) const STORY: StoryId = StoryId::from_bits(3);
pub(crate) const ASSET: AssetId = AssetId::from_bits(4);

struct State {
    market: Market,
    log: Vec<Applied>,
    mark: Option<Mark>,
}

/// The member.
pub(crate) struct FakeMember {
    world: Arc<World>,
    state: Mutex<State>,
    newest: watch::Sender<u64>,
    pub(crate) is_judging: AtomicBool,
    pub(crate) blobs: Mutex<HashMap<BlobHash, Bytes>>,
    /// Blobs that were asked for, in that sequence.
    pub(crate) gets: Mutex<Vec<BlobHash>>,
    /// Blobs that are not answered as long as they stand here.
    pub(crate) held: Mutex<BTreeSet<BlobHash>>,
    /// What edges said of themselves.
    directory: Mutex<BTreeMap<EdgeId, EdgeStatus>>,
    /// Calls that are neither commands nor reads.
    calls: Mutex<Vec<ForwardRequest>>,
    /// Playbacks that are one too many.
    pub(crate) streams: Mutex<Vec<PlaybackId>>,
    /// What the leader was told of the job of a clip.
    pub(crate) progress: Mutex<Option<Value>>,
    playback: SigningPair,
}

/// The member with its socket.
pub(crate) struct Serving {
    pub(crate) member: Arc<FakeMember>,
    pub(crate) address: String,
    endpoint: Endpoint,
    shutdown: Shutdown,
    tasks: Tasks,
}

async fn send<T: Versioned + Encode + Sync>(stream: &mut SendStream, message: &T) -> Option<()> {
    stream.write_all(&to_frame(message).ok()?).await.ok()
}

async fn receive<T: Versioned + Decode>(stream: &mut RecvStream) -> Option<T> {
    let mut prefix = [0_u8; 4];
    stream.read_exact(&mut prefix).await.ok()?;
    let mut bytes = vec![0_u8; frame_len(prefix).ok()?];
    stream.read_exact(&mut bytes).await.ok()?;
    from_bytes(&bytes).ok()
}

impl FakeMember {
    /// A cluster with this edge, a maker, a buyer and one listed story.
    pub(crate) fn new(
        world: &Arc<World>,
        address: &str,
        buyers: &[UserId],
        policy: MarketPolicy,
    ) -> Arc<Self> {
        let member = Arc::new(Self {
            world: Arc::clone(world),
            state: Mutex::new(State { market: Market::default(), log: Vec::new(), mark: None }),
            newest: watch::Sender::new(0),
            is_judging: AtomicBool::new(true),
            blobs: Mutex::default(),
            gets: Mutex::default(),
            held: Mutex::default(),
            directory: Mutex::default(),
            calls: Mutex::default(),
            streams: Mutex::default(),
            progress: Mutex::default(),
            playback: world.playback.clone(),
        });
        member.initialise(address, policy);
        member.open_accounts(buyers);
        member.list_story();
        member
    }

    fn initialise(&self, address: &str, policy: MarketPolicy) {
        let world = &self.world;
        self.must(
            Actor::Cluster,
            Command::Cluster(ClusterCommand::InitialiseCluster(InitialiseCluster {
                cluster: world.cluster,
                policy: MarketPolicy {
                    stories: StoryPolicy { clips_min: 1, ..StoryPolicy::default() },
                    ..policy
                },
                keys: world.keys(),
                sandbox: false,
                rules: fairground_market::RULES_VERSION,
            })),
        );
        // What is bid here is mostly unsigned, and of any amount.
        let unsigned_max_minor = UnsignedMax::flat(limits::AMOUNT_MAX_MINOR);
        let set = SetSignaturePolicy {
            base_version: 0,
            policy: SignaturePolicy { unsigned_max_minor, ..SignaturePolicy::DEFAULT },
            reason: Note::parse("tests have few devices").unwrap(),
        };
        self.must(Actor::Cluster, Command::Govern(GovernCommand::SetSignaturePolicy(set)));
        self.must(
            Actor::Cluster,
            Command::Cluster(ClusterCommand::RegisterMember(RegisterMember {
                proof: None,
                cluster_address: address.to_owned(),
                public_url: "http://127.0.0.1:1".to_owned(),
            })),
        );
        let token = JoinTokenId::from_bits(1);
        let secret = Digest::of(b"secret");
        self.must(
            Actor::Cluster,
            Command::Cluster(ClusterCommand::CreateJoinToken(CreateJoinToken {
                token,
                secret,
                role: JoinRole::Edge,
                region: Region::parse("eu").unwrap(),
                expires_at: Clock::system().now().plus(Millis::from_hours(1)),
            })),
        );
        self.must(
            Actor::Anonymous,
            Command::Cluster(ClusterCommand::RegisterEdge(RegisterEdge {
                proof: JoinProof { token, secret },
                name: world.edge.name().to_owned(),
                public_url: "http://127.0.0.1:2".to_owned(),
                receipt_key: *world.receipt.public(),
                takes_bids: true,
            })),
        );
    }

    fn open_accounts(&self, buyers: &[UserId]) {
        let makers = [(MAKER, "maker-1".to_owned(), vec![Role::Maker])];
        let buyers = buyers.iter().zip(1..).map(|(user, n)| (*user, format!("buyer-{n}"), vec![]));
        for (user, name, roles) in makers.into_iter().chain(buyers) {
            self.must(
                Actor::Cluster,
                Command::Account(AccountCommand::CreateAccount(CreateAccount {
                    user,
                    identifier: Digest::of(name.as_bytes()),
                    contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
                    channel: Channel::Email,
                    handle: Some(Handle::parse(&name).unwrap()),
                    roles,
                })),
            );
        }
    }

    /// Publishes a clip of the maker.
    pub(crate) fn publish(&self, asset: AssetId, manifest: BlobHash) {
        let edge = || Actor::Edge(self.world.edge.clone());
        self.must(
            Actor::User(MAKER),
            Command::Media(MediaCommand::RegisterAsset(RegisterAsset {
                asset,
                source: BlobHash::of(asset.to_string().as_bytes()),
                source_bytes: 6,
                duration: Millis::from_secs(4),
                width: 640,
                height: 360,
            })),
        );
        self.must(edge(), Command::Media(MediaCommand::LeaseJob));
        self.must(
            edge(),
            Command::Media(MediaCommand::PublishRevision(PublishRevision {
                asset,
                fence: 1,
                revision: 1,
                manifest,
                codecs: vec!["h264".to_owned()],
                extent: Extent::Last,
            })),
        );
    }

    fn list_story(&self) {
        let maker = || Actor::User(MAKER);
        self.publish(ASSET, clip().manifest);
        self.must(
            maker(),
            Command::Story(StoryCommand::SaveDraft(SaveDraft {
                story: STORY,
                base_version: None,
                draft: StoryDraft {
                    title: Title::parse("A bowl").unwrap(),
                    short_description: Summary::parse("Turned from ash").unwrap(),
                    category: Category::parse("wood").unwrap(),
                    overview: Overview::parse("Made in one evening.").unwrap(),
                    clips: vec![Clip {
                        asset_id: ASSET,
                        label: ClipLabel::parse("All of it").unwrap(),
                    }],
                    sections: fairground_types::command::StorySections::default(),
                    tags: vec![],
                    minimum_offer: Money::new(10_000, Currency::Eur),
                    publish_when_approved: true,
                },
            })),
        );
        self.must(
            maker(),
            Command::Story(StoryCommand::SubmitStory { story: STORY, attested: true }),
        );
        let decision = ReviewDecision::Approve;
        self.must(
            Actor::Cluster,
            Command::Story(StoryCommand::ReviewStory { story: STORY, decision }),
        );
    }

    /// Binds a socket of loopback and serves on it.
    pub(crate) fn serve(world: &Arc<World>, buyers: &[UserId]) -> Serving {
        Self::serve_with(world, buyers, MarketPolicy::default())
    }

    /// The same with rules of its own.
    pub(crate) fn serve_with(
        world: &Arc<World>,
        buyers: &[UserId],
        policy: MarketPolicy,
    ) -> Serving {
        let identity = world.identity(Peer::Member(MemberId(1)));
        let tls = pki::server_config(&identity).unwrap();
        let mut config =
            quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let mut transport = quinn::TransportConfig::default();
        transport.max_concurrent_bidi_streams(VarInt::from_u32(1_000));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = endpoint.local_addr().unwrap().to_string();
        let member = Self::new(world, &address, buyers, policy);
        let shutdown = Shutdown::new();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn_one("accept", accept(Arc::clone(&member), endpoint.clone(), tasks.clone()));
        tasks.spawn_one("tick", tick(Arc::clone(&member), shutdown.clone()));
        Serving { member, address, endpoint, shutdown, tasks }
    }

    pub(crate) fn look<R>(&self, look: impl FnOnce(&Market) -> R) -> R {
        look(&self.state.lock().unwrap().market)
    }

    /// Every verdict on journal entries so far.
    pub(crate) fn judged(&self) -> Vec<(u64, CommandId)> {
        let state = self.state.lock().unwrap();
        let judged = state.log.iter().flat_map(|applied| &applied.judged);
        judged.map(|judged| (judged.seq, judged.command)).collect()
    }

    pub(crate) fn must(&self, actor: Actor, command: Command) {
        let id = CommandId::from_bytes(ids::random_bytes());
        let judged = self.direct(Envelope { id, actor, command });
        assert!(judged.verdict.is_accepted(), "{:?}", judged.verdict);
    }

    fn direct(&self, envelope: Envelope) -> Judged {
        let id = envelope.id;
        let known = self.look(|market| market.verdict(&id).cloned());
        if let Some(known) = known {
            return known;
        }
        let applied = self.apply(vec![LogCommand::Direct(envelope)]);
        let verdict: Verdict = applied.outcomes.first().expect("one outcome").clone();
        Judged { index: applied.index, at: applied.at, verdict }
    }

    fn apply(&self, commands: Vec<LogCommand>) -> Applied {
        let mut state = self.state.lock().unwrap();
        let index = LogIndex(state.market.last_index().0 + 1);
        let marks = state.mark.map(|mark| (self.world.edge.clone(), mark)).into_iter().collect();
        let at = Clock::system().now().max(state.market.last_at());
        let applied = state.market.apply(index, &Entry { term: 1, at, marks, commands });
        state.log.push(applied.clone());
        drop(state);
        self.newest.send_replace(index.0);
        applied
    }

    /// Entries after `position`.
    fn since(&self, position: LogIndex) -> Vec<Applied> {
        let state = self.state.lock().unwrap();
        state.log.iter().filter(|applied| applied.index > position).cloned().collect()
    }

    async fn uplink(&self, mut up: RecvStream, mut down: SendStream) -> Option<()> {
        let edge = &self.world.edge;
        let mut receiver = UplinkReceiver::new(edge.clone());
        let hello: UplinkUp = receive(&mut up).await?;
        // Of another edge than the one that is in the market.
        let Ok(UplinkAction::Greet { .. }) = receiver.receive(hello) else { return None };
        let (tail, is_in, mut position) = self.look(|market| {
            let state = market.edge(edge).expect("registered");
            (state.applied(), state.in_intake(), market.last_index())
        });
        send(&mut down, &receiver.welcome(tail, is_in)).await?;
        let (inbox, mut messages) = tokio::sync::mpsc::channel(64);
        let reading = async move {
            while let Some(message) = receive::<UplinkUp>(&mut up).await {
                if inbox.send(message).await.is_err() {
                    return;
                }
            }
        };
        let mut newest = self.newest.subscribe();
        let serving = async {
            loop {
                for applied in self.since(position) {
                    position = applied.index;
                    let mine = applied.judged.iter().map(|judged| SeqVerdict {
                        seq: judged.seq,
                        command: judged.command,
                        judged: judged.judged.clone(),
                    });
                    let mine: Vec<SeqVerdict> = mine.collect();
                    if !mine.is_empty() {
                        send(&mut down, &UplinkDown::Verdicts(mine)).await?;
                        let tail =
                            self.look(|market| market.edge(edge).map(|row| row.applied()))?;
                        send(&mut down, &UplinkDown::Applied { tail }).await?;
                    }
                }
                tokio::select! {
                    _ = newest.changed() => {}
                    message = messages.recv() => {
                        let message = message?;
                        if !self.is_judging.load(Ordering::Acquire) {
                            // Unknown: lost on the way, as far as the edge can tell.
                            return None;
                        }
                        let UplinkUp::Batch(batch) = message.clone() else { return None };
                        for entry in &batch.entries {
                            let command = entry.intake.command();
                            let known = self.look(|market| market.verdict(&command).cloned());
                            if let Some(judged) = known {
                                let verdict = SeqVerdict { seq: entry.seq, command, judged };
                                send(&mut down, &UplinkDown::Verdicts(vec![verdict])).await?;
                            }
                        }
                        match receiver.receive(message) {
                            Ok(UplinkAction::Propose(batch)) => {
                                self.apply(vec![LogCommand::Batch(batch)]);
                            }
                            Ok(UplinkAction::Answer(answer)) => send(&mut down, &answer).await?,
                            Ok(UplinkAction::Greet { .. }) | Err(_) => return None,
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = reading => None,
            ended = serving => ended,
        }
    }

    async fn feed(&self, mut up: RecvStream, mut down: SendStream) -> Option<()> {
        let request: FeedRequest = receive(&mut up).await?;
        let mut newest = self.newest.subscribe();
        let mut position = request.from;
        if position.0 == 0 {
            let (index, bytes) = self.look(|market| {
                let view = market.view();
                (view.index(), codec::encode_state(VIEW_VERSION, view).expect("encoded"))
            });
            for part in snapshot_parts(index, &bytes) {
                send(&mut down, &part).await?;
            }
            position = index;
        }
        loop {
            for applied in self.since(position) {
                position = applied.index;
                send(&mut down, &FeedDown::Item(applied.feed)).await?;
            }
            let at = self.look(Market::last_at);
            send(&mut down, &FeedDown::Alive { index: position, at }).await?;
            let waited = tokio::time::timeout(Duration::from_secs(1), newest.changed());
            if let Ok(Err(_)) = waited.await {
                return None;
            }
        }
    }

    async fn beats(&self, mut up: RecvStream, mut down: SendStream) -> Option<()> {
        loop {
            let beat: BeatUp = receive(&mut up).await?;
            if beat.edge == self.world.edge {
                self.state.lock().unwrap().mark = beat.mark;
            }
            let rows = {
                let mut rows = self.directory.lock().unwrap();
                rows.insert(beat.edge, beat.status);
                rows.values().cloned().collect()
            };
            let t1 = Clock::system().now();
            let leader = Some(MemberId(1));
            let directory = Some(rows);
            send(&mut down, &BeatDown { t0: beat.t0, t1, term: 1, leader, directory }).await?;
        }
    }

    async fn forward(&self, mut up: RecvStream, mut down: SendStream) -> Option<()> {
        let request: ForwardRequest = receive(&mut up).await?;
        let response = match request {
            ForwardRequest::Command(mut envelope) => {
                seal(&mut envelope.command);
                ForwardResponse::Judged(self.direct(*envelope))
            }
            ForwardRequest::Read(read) => self.read(&read),
            ForwardRequest::MintPlayback { .. } => refused(Code::NotFound),
            ForwardRequest::Play { viewer, asset, renews } => self.mint(viewer, asset, renews),
            ForwardRequest::Streams { seen } => {
                let refused = self.streams.lock().unwrap().clone();
                let is_reported = |one: &PlaybackId| {
                    seen.iter().any(|row: &StreamSeen| row.stream.playback == *one)
                };
                let refused = refused.into_iter().filter(is_reported).collect();
                document(&StreamsRefused { refused })
            }
            call
            @ (ForwardRequest::RequestCode { .. } | ForwardRequest::RequestRecovery { .. }) => {
                self.calls.lock().unwrap().push(call);
                document(&json!({ "expiresInMs": 300_000 }))
            }
            ForwardRequest::VerifyCode { .. } | ForwardRequest::Refresh { .. } => {
                refused(Code::OtpInvalid)
            }
            ForwardRequest::SignInSocial { .. } => {
                document(&json!({ "linkRequired": true, "linkToken": "fgl1.x.y" }))
            }
            ForwardRequest::LinkIdentity { .. } => {
                document(&json!({ "providers": ["google"], "addressProven": true }))
            }
            ForwardRequest::RedeemRecovery { .. } => refused(Code::TokenExpired),
            ForwardRequest::DenyRecovery { .. } => document(&json!({ "denied": true })),
            ForwardRequest::PayoutLink { .. } => refused(Code::FeatureDisabled),
            ForwardRequest::AddPushDevice { .. } => refused(Code::NotFound),
            ForwardRequest::ReportProgress { .. } => document(&json!({})),
            ForwardRequest::ReadProgress { .. } => refused(Code::Forbidden),
        };
        send(&mut down, &response).await?;
        down.finish().ok()
    }

    /// The calls since it was asked last.
    pub(crate) fn take_calls(&self) -> Vec<ForwardRequest> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn read(&self, read: &ReadRequest) -> ForwardResponse {
        self.look(|market| match read {
            ReadRequest::Me { user } => one(market.me(*user)),
            ReadRequest::Bid { user, bid } => one(market.bid(*user, *bid)),
            ReadRequest::Asset { asset, .. } => one(market.asset_row(*asset).map(|row| {
                let mut row = serde_json::to_value(row).unwrap();
                if let Some(progress) = self.progress.lock().unwrap().clone() {
                    row["progress"] = progress;
                }
                row
            })),
            ReadRequest::Story { story, .. } => one(market.story_row(*story)),
            ReadRequest::Jobs => document(&json!({ "jobs": market.open_jobs() })),
            ReadRequest::MyLocks { user } => document(&json!({ "locks": market.locks_of(*user) })),
            ReadRequest::Profile { user } => one(market.profile_row(*user).map(|mut row| {
                row.profile = opened(row.sealed.take()).unwrap_or_default();
                row
            })),
            ReadRequest::PublicProfile { user, reader } => {
                one(market.public_profile(*user, *reader).map(|mut row| {
                    let text: ProfileText = opened(row.sealed.take()).unwrap_or_default();
                    (row.display_name, row.city) = (text.display_name, text.city);
                    row
                }))
            }
            ReadRequest::Consents { user } => document(&market.consents_of(*user)),
            ReadRequest::Devices { user } => document(&market.devices_of(*user)),
            ReadRequest::Addresses { user } => {
                let mut list = market.addresses_of(*user);
                for row in &mut list.addresses {
                    row.address = opened(row.sealed.take());
                }
                document(&list)
            }
            ReadRequest::MyOffers { user } => {
                document(&json!({ "offers": market.offers_of(*user) }))
            }
            ReadRequest::StoryOffers { user, story } => one(market.story_offers(*story, *user)),
            ReadRequest::Offer { user, offer } => one(market.offer_row(*offer, *user)),
            ReadRequest::OfferHistory { user, offer } => one(market.offer_history(*offer, *user)),
            ReadRequest::Eligibility { user, story, amount, ship_to } => {
                one(market.eligibility(*user, *story, (*amount, ship_to.clone())))
            }
            ReadRequest::OfferPolicy { user } => document(&market.offer_policy_row(*user)),
            ReadRequest::MakerDashboard { user } => document(&market.maker_dashboard(*user)),
            ReadRequest::Publications { user } => document(&market.publications_of(*user)),
            ReadRequest::MyAuctions { user, as_maker: true } => {
                document(&json!({ "auctions": market.auctions_made_by(*user) }))
            }
            ReadRequest::MyAuctions { user, as_maker: false } => {
                document(&json!({ "auctions": market.auctions_bid_in(*user) }))
            }
            _ => refused(Code::NotFound),
        })
    }

    /// Renews what is good and mints the rest anew; who may is not asked.
    fn mint(
        &self,
        viewer: Option<PlaybackViewer>,
        asset: AssetId,
        renews: Option<PrivateText>,
    ) -> ForwardResponse {
        let mut keys = TokenKeys::new();
        keys.insert(1, *self.playback.public());
        let now = Clock::system().now();
        let old = renews.map(|text| token::verify_signed(text.expose(), &keys).unwrap());
        let key = Ed25519KeyPair::from_pkcs8(self.playback.expose_pkcs8()).unwrap();
        let claims = Claims {
            key_id: 1,
            asset,
            playback: old.map_or(PlaybackId::from_bits(1), |old| old.playback),
            min_revision: 1,
            begun_at: old.map_or(now, |old| old.begun_at),
            expires_at: now.plus(Millis::from_mins(30)),
            viewer: viewer.map(|viewer| Viewer {
                pseudonym: viewer.user.to_bits().to_be_bytes(),
                sign_in: viewer.sign_in,
            }),
            rung_cap: None,
            flags: TokenFlags::default(),
        };
        let revision = self.look(|market| market.view().asset(asset).map(|row| row.revision));
        let Some(revision) = revision else { return refused(Code::NotFound) };
        let base = format!("/p/{}/{asset}/{revision}", token::mint(&key, &claims));
        document(&json!({
            "playbackId": claims.playback,
            "url": format!("{base}/master.m3u8"),
            "avcUrl": format!("{base}/master.avc.m3u8"),
            "expiresAt": claims.expires_at,
            "revision": revision,
        }))
    }

    async fn blob(&self, mut up: RecvStream, mut down: SendStream) -> Option<()> {
        match receive::<BlobRequest>(&mut up).await? {
            BlobRequest::Get { hash } => {
                self.gets.lock().unwrap().push(hash);
                while self.held.lock().unwrap().contains(&hash) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let found = self.blobs.lock().unwrap().get(&hash).cloned();
                let Some(bytes) = found else {
                    return send(&mut down, &BlobResponse::Absent).await;
                };
                let length = u64::try_from(bytes.len()).unwrap();
                send(&mut down, &BlobResponse::Found { bytes: length }).await?;
                down.write_all(&bytes).await.ok()?;
            }
            BlobRequest::Put { hash, bytes } => {
                send(&mut down, &BlobResponse::Send).await?;
                let mut buffer = vec![0_u8; usize::try_from(bytes).unwrap()];
                up.read_exact(&mut buffer).await.ok()?;
                assert_eq!(BlobHash::of(&buffer), hash);
                self.blobs.lock().unwrap().insert(hash, buffer.into());
                send(&mut down, &BlobResponse::Stored).await?;
            }
            BlobRequest::Has { .. } => return None,
        }
        down.finish().ok()
    }
}

/// A member seals what is private; this one only says that it has.
fn seal(command: &mut Command) {
    let text = match command {
        Command::People(PeopleCommand::SetProfile(set)) => &mut set.sealed,
        Command::People(PeopleCommand::SaveAddress(save)) => &mut save.sealed,
        _ => return,
    };
    (text.key, text.mark) = (vec![1], Digest::of(&text.body));
}

fn opened<T: DeserializeOwned>(sealed: Option<(UserId, SealedText)>) -> Option<T> {
    serde_json::from_slice(&sealed?.1.body).ok()
}

fn document<T: Serialize>(value: &T) -> ForwardResponse {
    ForwardResponse::Json(serde_json::to_vec(value).unwrap())
}

fn one<T: Serialize>(row: Option<T>) -> ForwardResponse {
    row.map_or_else(|| refused(Code::NotFound), |row| document(&row))
}

fn refused(code: Code) -> ForwardResponse {
    ForwardResponse::Rejected(Rejection::new(code, "no"))
}

async fn accept(member: Arc<FakeMember>, endpoint: Endpoint, tasks: Tasks) {
    while let Some(incoming) = endpoint.accept().await {
        let Ok(connection) = incoming.await else { continue };
        tasks.spawn_one("connection", streams(Arc::clone(&member), connection, tasks.clone()));
    }
}

async fn streams(member: Arc<FakeMember>, connection: Connection, tasks: Tasks) {
    while let Ok((down, mut up)) = connection.accept_bi().await {
        let member = Arc::clone(&member);
        tasks.spawn_one("stream", async move {
            let mut kind = [0_u8; 1];
            if up.read_exact(&mut kind).await.is_err() {
                return;
            }
            let [kind] = kind;
            let _ended = match StreamKind::from_byte(kind) {
                Some(StreamKind::Uplink) => Box::pin(member.uplink(up, down)).await,
                Some(StreamKind::Feed) => Box::pin(member.feed(up, down)).await,
                Some(StreamKind::Beat) => Box::pin(member.beats(up, down)).await,
                Some(StreamKind::Forward) => Box::pin(member.forward(up, down)).await,
                Some(StreamKind::Blob) => Box::pin(member.blob(up, down)).await,
                _ => None,
            };
        });
    }
}

async fn tick(member: Arc<FakeMember>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        member.apply(Vec::new());
    }
}

impl Serving {
    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        self.endpoint.close(VarInt::from_u32(0), b"test over");
        self.tasks.join(Duration::from_secs(10)).await;
    }
}
