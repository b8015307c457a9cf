//! Accounts, sign-ins, joining, transcode jobs, reviews: case by case.

use fairground_types::command::{
    AccountCommand, Actor, Channel, ClusterCommand, Command, CreateJoinToken, EffectResult, Entry,
    Extent, FinanceCommand, JoinProof, JoinRole, MarketPolicy, MediaCommand, PaymentCommand,
    ProviderEvent, ProviderEventKind, ProviderRefundState, PublishRevision, RefreshSignIn,
    RegisterAsset, RegisterEdge, RegisterMember, RequestCode, ReviewDecision, SaveDraft,
    SealedContact, StoryCommand, VerifyCode,
};
use fairground_types::journal::{PlaceBid, Tail};
use fairground_types::text::{Note, Region};
use fairground_types::verdict::BidState;
use fairground_types::{
    Accepted, AssetId, BlobHash, ChainHash, ChallengeId, Code, CommandId, Digest, EdgeId,
    JoinTokenId, Millis, Money, OrderId, Role, SignInId, StoryId, Timestamp, UserId, Verdict,
    limits,
};

use crate::script::{World, auction_named, edge_named, person, story_named};
use crate::{Effect, Market, PublicView, Snapshot, admission};

fn world() -> World {
    World::new(MarketPolicy::default(), &["e1"]).expect("the set-up is accepted")
}

fn later(world: &World, span: Millis) -> Timestamp {
    world.market.last_at().plus(span)
}

fn code(verdict: &Verdict) -> Option<Code> {
    verdict.code()
}

fn ask(world: &mut World, at: Timestamp, number: u128) -> Verdict {
    let request = RequestCode {
        challenge: ChallengeId::from_bits(number),
        identifier: Digest::of(b"new@shop.example"),
        contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
        channel: Channel::Email,
        code: Digest::of(&number.to_le_bytes()),
        origin: None,
    };
    world.direct(at, Actor::Anonymous, Command::Account(AccountCommand::RequestCode(request)))
}

fn verify(world: &mut World, at: Timestamp, typed: u128, sign_in: u128) -> Verdict {
    let verify = VerifyCode {
        identifier: Digest::of(b"new@shop.example"),
        code: Digest::of(&typed.to_le_bytes()),
        new_user: UserId::from_bits(900 + sign_in),
        sign_in: SignInId::from_bits(sign_in),
        refresh: Digest::of(b"r0"),
    };
    world.direct(at, Actor::Anonymous, Command::Account(AccountCommand::VerifyCode(verify)))
}

fn refresh(world: &mut World, at: Timestamp, presented: &str, next: &str) -> Verdict {
    let refresh = RefreshSignIn {
        sign_in: SignInId::from_bits(1),
        presented: Digest::of(presented.as_bytes()),
        next: Digest::of(next.as_bytes()),
    };
    world.direct(at, Actor::Anonymous, Command::Account(AccountCommand::RefreshSignIn(refresh)))
}

#[test]
fn a_code_makes_an_account_once_and_is_used_up() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    assert!(ask(&mut world, at, 1).is_accepted());
    assert!(world.market.challenge(ChallengeId::from_bits(1)).is_some());
    let pending =
        world.market.outbox().any(|pending| matches!(pending.effect, Effect::SendCode { .. }));
    assert!(pending);
    let signed_in = verify(&mut world, at, 1, 1);
    assert!(
        matches!(signed_in, Verdict::Accepted(Accepted::SignedIn { created: true, .. })),
        "{signed_in:?}"
    );
    assert_eq!(code(&verify(&mut world, at, 1, 2)), Some(Code::OtpExpired));
    assert!(ask(&mut world, at, 2).is_accepted());
    let again = verify(&mut world, at, 2, 2);
    assert!(matches!(
        again,
        Verdict::Accepted(Accepted::SignedIn { created: false, user, .. })
            if user == UserId::from_bits(901)
    ));
    assert!(world.market.account_by_identifier(&Digest::of(b"new@shop.example")).is_some());
}

#[test]
fn a_code_survives_few_wrong_tries_and_a_short_time() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    ask(&mut world, at, 1);
    for _ in 0..3 {
        assert_eq!(code(&verify(&mut world, at, 99, 1)), Some(Code::OtpInvalid));
    }
    assert_eq!(code(&verify(&mut world, at, 1, 1)), Some(Code::AccountLocked));
    assert_eq!(code(&ask(&mut world, at, 2)), Some(Code::AccountLocked));
    let unlocked = later(&world, Millis::from_mins(5));
    assert_eq!(code(&verify(&mut world, unlocked, 1, 1)), Some(Code::OtpExpired));
    assert!(ask(&mut world, unlocked, 2).is_accepted());
    let after = later(&world, limits::CODE_LIFE);
    assert_eq!(code(&verify(&mut world, after, 2, 1)), Some(Code::OtpExpired));
    let unsent =
        world.market.outbox().any(|pending| matches!(pending.effect, Effect::SendCode { .. }));
    assert!(!unsent, "a code that expired is not sent any more");
}

#[test]
fn an_identifier_asks_for_few_codes_in_five_minutes() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    for number in 1..=3 {
        assert!(ask(&mut world, at, number).is_accepted());
    }
    let refused = ask(&mut world, at, 4);
    assert_eq!(code(&refused), Some(Code::RateLimited));
    let after = later(&world, limits::CODE_LIFE);
    assert_eq!(code(&ask(&mut world, after, 5)), Some(Code::RateLimited), "blocked for 15 minutes");
    let free = at.plus(limits::CODES_BLOCK);
    assert!(ask(&mut world, free, 6).is_accepted());
}

#[test]
fn a_refresh_token_works_once_and_its_theft_ends_every_sign_in() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    ask(&mut world, at, 1);
    verify(&mut world, at, 1, 1);
    assert!(refresh(&mut world, at, "r0", "r1").is_accepted());
    let soon = later(&world, Millis::from_secs(10));
    assert!(refresh(&mut world, soon, "r0", "r2").is_accepted(), "its answer may have been lost");
    assert_eq!(code(&refresh(&mut world, soon, "guess", "r3")), Some(Code::TokenExpired));
    assert!(world.market.sign_in(SignInId::from_bits(1)).is_some());
    assert_eq!(code(&refresh(&mut world, soon, "r0", "r3")), Some(Code::TokenReused));
    assert!(world.market.view().is_revoked(SignInId::from_bits(1)));
    assert_eq!(code(&refresh(&mut world, soon, "r2", "r4")), Some(Code::SessionRevoked));
}

#[test]
fn a_sign_in_ends_without_use() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    ask(&mut world, at, 1);
    verify(&mut world, at, 1, 1);
    let almost = at.plus(limits::SIGN_IN_IDLE_MAX).minus(Millis::new(1));
    assert!(refresh(&mut world, almost, "r0", "r1").is_accepted());
    let idle = almost.plus(limits::SIGN_IN_IDLE_MAX);
    assert_eq!(code(&refresh(&mut world, idle, "r1", "r2")), Some(Code::SessionRevoked));
}

#[test]
fn handles_are_unique_without_case() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    let set =
        |name: &str| Command::Account(AccountCommand::SetHandle { handle: name.parse_handle() });
    let (a, b) = (Actor::User(person("a").expect("letter")), person("b").expect("letter"));
    assert!(world.direct(at, a, set("Maker-X")).is_accepted());
    assert_eq!(code(&world.direct(at, Actor::User(b), set("maker-x"))), Some(Code::HandleTaken));
    assert!(world.direct(at, Actor::User(b), set("maker-y")).is_accepted());
}

trait ParseHandle {
    fn parse_handle(&self) -> fairground_types::text::Handle;
}

impl ParseHandle for str {
    fn parse_handle(&self) -> fairground_types::text::Handle {
        fairground_types::text::Handle::parse(self).expect("a handle")
    }
}

fn token(world: &mut World, number: u128, role: JoinRole) -> JoinProof {
    let at = later(world, Millis::ZERO);
    let secret = Digest::of(&number.to_le_bytes());
    let create = CreateJoinToken {
        token: JoinTokenId::from_bits(number),
        secret,
        role,
        region: Region::parse("eu").expect("a region"),
        expires_at: at.plus(Millis::from_mins(10)),
    };
    assert!(
        world
            .direct(at, Actor::Cluster, Command::Cluster(ClusterCommand::CreateJoinToken(create)))
            .is_accepted()
    );
    JoinProof { token: JoinTokenId::from_bits(number), secret }
}

fn join(proof: JoinProof, name: &str) -> Command {
    Command::Cluster(ClusterCommand::RegisterEdge(RegisterEdge {
        proof,
        name: name.to_owned(),
        public_url: "http://e9.example".to_owned(),
        receipt_key: [9; 32],
        takes_bids: true,
    }))
}

#[test]
fn a_join_token_admits_once_in_time_and_only_its_role() {
    let mut world = world();
    let proof = token(&mut world, 1_001, JoinRole::Edge);
    let at = later(&world, Millis::ZERO);
    let wrong = JoinProof { secret: Digest::of(b"wrong"), ..proof.clone() };
    let refused = world.direct(at, Actor::Anonymous, join(wrong, "e9"));
    assert_eq!(code(&refused), Some(Code::JoinRefused));
    let joined = world.direct(at, Actor::Anonymous, join(proof.clone(), "e1"));
    let second = EdgeId::new("e1", 2).expect("an edge");
    assert_eq!(joined, Verdict::Accepted(Accepted::EdgeRegistered { edge: second.clone() }));
    assert!(world.market.view().keys().iter().any(|key| key.kid == second.to_string()));
    let again = world.direct(at, Actor::Anonymous, join(proof, "e9"));
    assert_eq!(code(&again), Some(Code::JoinRefused));
    let member = token(&mut world, 1_002, JoinRole::Member);
    let refused = world.direct(at, Actor::Anonymous, join(member.clone(), "e9"));
    assert_eq!(code(&refused), Some(Code::JoinRefused));
    let expired = at.plus(Millis::from_mins(10));
    let register = RegisterMember {
        proof: Some(member),
        cluster_address: "127.0.0.1:7100".to_owned(),
        public_url: "http://m2.example".to_owned(),
    };
    let refused = world.direct(
        expired,
        Actor::Anonymous,
        Command::Cluster(ClusterCommand::RegisterMember(register)),
    );
    assert_eq!(code(&refused), Some(Code::JoinRefused));
}

#[test]
fn members_are_numbered_and_keep_their_numbers() {
    let mut world = world();
    let proof = token(&mut world, 1_003, JoinRole::Member);
    let at = later(&world, Millis::ZERO);
    let register = |proof, address: &str| {
        Command::Cluster(ClusterCommand::RegisterMember(RegisterMember {
            proof,
            cluster_address: address.to_owned(),
            public_url: "http://m.example".to_owned(),
        }))
    };
    let nobody = world.direct(at, Actor::Anonymous, register(None, "127.0.0.1:7002"));
    assert_eq!(code(&nobody), Some(Code::JoinRefused));
    let uninvited = world.direct(at, Actor::Cluster, register(None, "127.0.0.1:7002"));
    assert_eq!(code(&uninvited), Some(Code::JoinRefused));
    assert!(
        world.direct(at, Actor::Anonymous, register(Some(proof), "127.0.0.1:7002")).is_accepted()
    );
    assert!(world.direct(at, Actor::Cluster, register(None, "127.0.0.1:7000")).is_accepted());
    let numbers: Vec<u64> = world.market.members().map(|member| member.member.0).collect();
    assert_eq!(numbers, vec![1, 2]);
}

#[test]
fn a_rolled_back_journal_is_not_admitted() {
    let mut world = World::play(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00  -> opened A; A closes 13:00:00",
    )
    .expect("plays");
    let at = later(&world, Millis::ZERO);
    let edge = edge_named("e1").expect("an edge");
    let admit =
        Command::Cluster(ClusterCommand::AdmitEdge { edge: edge.clone(), tail: Tail::START });
    let refused = world.direct(at, Actor::Edge(edge.clone()), admit);
    assert_eq!(code(&refused), Some(Code::InvalidState));
    let other = edge_named("e2").expect("an edge");
    let foreign =
        Command::Cluster(ClusterCommand::AdmitEdge { edge: edge.clone(), tail: Tail::START });
    assert_eq!(code(&world.direct(at, Actor::Edge(other), foreign)), Some(Code::Forbidden));
    let tail = world.market.edge(&edge).expect("registered").applied();
    let seal = Command::Cluster(ClusterCommand::SealEdge { edge: edge.clone(), tail });
    assert!(world.direct(at, Actor::Edge(edge.clone()), seal).is_accepted());
    assert!(!world.market.edge(&edge).expect("registered").in_intake());
}

#[test]
fn lost_entries_are_passed_over_and_named_in_the_record() {
    let mut world = World::play(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00  -> opened A; A closes 13:00:00
        12:00:01  bid A b EUR 105.00     -> placed",
    )
    .expect("plays");
    let at = later(&world, Millis::ZERO);
    let edge = edge_named("e1").expect("an edge");
    let applied = world.market.edge(&edge).expect("registered").applied();
    let last = Tail { seq: applied.seq + 3, hash: ChainHash::from_bytes([5; 32]) };
    let report = |edge: &EdgeId, first: u64, last: Tail| {
        let command = ClusterCommand::ReportMissing { edge: edge.clone(), first, last };
        (Actor::Edge(edge.clone()), Command::Cluster(command))
    };
    let other = edge_named("e2").expect("an edge");
    let (_, about_another) = report(&edge, applied.seq + 1, last);
    assert_eq!(code(&world.direct(at, Actor::Edge(other), about_another)), Some(Code::Forbidden));
    for (first, last) in [(applied.seq + 2, last), (applied.seq + 9, last)] {
        let (actor, early) = report(&edge, first, last);
        assert_eq!(code(&world.direct(at, actor, early)), Some(Code::InvalidState));
    }
    let (actor, command) = report(&edge, applied.seq + 1, last);
    assert!(world.direct(at, actor, command).is_accepted());
    let (actor, again) = report(&edge, applied.seq + 1, last);
    assert!(world.direct(at, actor, again).is_accepted(), "said to another member before");
    let known = world.market.edge(&edge).expect("registered");
    assert_eq!(known.applied(), last, "the journal goes on behind them");
    assert_eq!(known.missing().len(), 1);
    let auction = auction_named("A").expect("valid");
    world.keep_time(at.plus(Millis::from_hours(2)));
    let audit = world.market.auction_audit(auction).expect("it is there");
    let named: Vec<(Option<EdgeId>, Option<String>)> = audit
        .lines
        .into_iter()
        .filter(|line| line.kind == crate::AuctionAuditKind::EntriesMissing)
        .map(|line| (line.edge, line.detail))
        .collect();
    let range = format!("entries {} to {}", applied.seq + 1, last.seq);
    assert_eq!(named, [(Some(edge), Some(range))]);
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

fn leased(verdict: &Verdict) -> (AssetId, u64) {
    let Verdict::Accepted(Accepted::JobLeased { asset, fence, .. }) = verdict else {
        panic!("no lease: {verdict:?}");
    };
    (*asset, *fence)
}

#[test]
fn a_lost_lease_is_fenced_and_given_up_in_the_end() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    let maker = Actor::User(person("m").expect("letter"));
    let register = RegisterAsset {
        asset: AssetId::from_bits(77),
        source: BlobHash::from_bytes([3; 32]),
        source_bytes: 10,
        duration: Millis::from_secs(4),
        width: 64,
        height: 64,
    };
    let too_long = RegisterAsset {
        asset: AssetId::from_bits(78),
        duration: limits::CLIP_DURATION_MAX.plus_one(),
        ..register.clone()
    };
    let refused =
        world.direct(at, maker.clone(), Command::Media(MediaCommand::RegisterAsset(too_long)));
    assert_eq!(code(&refused), Some(Code::MediaRejected));
    assert!(
        world
            .direct(at, maker, Command::Media(MediaCommand::RegisterAsset(register)))
            .is_accepted()
    );
    let edges: Vec<Actor> =
        ["e1", "e2"].map(|name| Actor::Edge(edge_named(name).expect("an edge"))).into();
    let mut at = at;
    let mut fence = 0;
    for attempt in 0..limits::TRANSCODE_ATTEMPTS_MAX {
        let worker = edges[attempt as usize % 2].clone();
        let (asset, next) =
            leased(&world.direct(at, worker.clone(), Command::Media(MediaCommand::LeaseJob)));
        assert!(next > fence);
        let stale = Command::Media(MediaCommand::RenewLease { asset, fence });
        assert_eq!(code(&world.direct(at, worker, stale)), Some(Code::InvalidState));
        fence = next;
        at = at.plus(limits::LEASE_LIFE);
        world.keep_time(at.plus(Millis::new(1)));
        at = at.plus(limits::JOB_OTHERS_FIRST);
    }
    let none = world.direct(at, edges[0].clone(), Command::Media(MediaCommand::LeaseJob));
    assert_eq!(code(&none), Some(Code::NotFound));
    assert_eq!(world.market.asset_row(AssetId::from_bits(77)).expect("known").state, "failed");
}

trait PlusOne {
    fn plus_one(self) -> Self;
}

impl PlusOne for Millis {
    fn plus_one(self) -> Self {
        Self::new(self.as_millis() + 1)
    }
}

#[test]
fn revisions_come_one_after_another_from_the_holder_of_the_lease() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    let maker = Actor::User(person("m").expect("letter"));
    let register = RegisterAsset {
        asset: AssetId::from_bits(77),
        source: BlobHash::from_bytes([3; 32]),
        source_bytes: 10,
        duration: Millis::from_secs(4),
        width: 64,
        height: 64,
    };
    world.direct(at, maker, Command::Media(MediaCommand::RegisterAsset(register)));
    let worker = Actor::Edge(edge_named("e2").expect("an edge"));
    let (asset, fence) =
        leased(&world.direct(at, worker.clone(), Command::Media(MediaCommand::LeaseJob)));
    let publish = |revision, extent| {
        Command::Media(MediaCommand::PublishRevision(PublishRevision {
            asset,
            fence,
            revision,
            manifest: BlobHash::from_bytes([4; 32]),
            codecs: vec!["h264".to_owned()],
            extent,
        }))
    };
    assert_eq!(
        code(&world.direct(at, worker.clone(), publish(2, Extent::Whole))),
        Some(Code::VersionConflict)
    );
    assert!(world.direct(at, worker.clone(), publish(1, Extent::Whole)).is_accepted());
    assert!(world.direct(at, worker.clone(), publish(2, Extent::Last)).is_accepted());
    assert_eq!(code(&world.direct(at, worker, publish(3, Extent::Last))), Some(Code::InvalidState));
    let view: &PublicView = world.market.view();
    assert_eq!(view.asset(asset).map(|row| row.revision), Some(2));
}

#[test]
fn a_story_needs_its_clips_and_a_reviewer_who_is_not_its_maker() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    let maker = person("m").expect("letter");
    let known = world.market.story(story_named("S1").expect("a story")).expect("listed").clone();
    let story = StoryId::from_bits(50);
    let mut draft = known.contents().clone();
    draft.clips.clear();
    let save = |base_version, draft| {
        Command::Story(StoryCommand::SaveDraft(SaveDraft { story, base_version, draft }))
    };
    let actor = Actor::User(maker);
    let viewer = Actor::User(person("a").expect("letter"));
    let denied = world.direct(at, viewer, save(None, draft.clone()));
    assert_eq!(code(&denied), Some(Code::Forbidden));
    assert!(world.direct(at, actor.clone(), save(None, draft.clone())).is_accepted());
    let submit = Command::Story(StoryCommand::SubmitStory { story, attested: true });
    let incomplete = world.direct(at, actor.clone(), submit.clone());
    assert_eq!(code(&incomplete), Some(Code::StoryIncomplete));
    let conflict = world.direct(at, actor.clone(), save(Some(9), known.contents().clone()));
    assert_eq!(code(&conflict), Some(Code::DraftConflict));
    draft = known.contents().clone();
    draft.minimum_offer = Money::new(99, draft.minimum_offer.currency());
    world.direct(at, actor.clone(), save(Some(1), draft));
    let too_cheap = world.direct(at, actor.clone(), submit.clone());
    assert_eq!(code(&too_cheap), Some(Code::StoryIncomplete));
    world.direct(at, actor.clone(), save(Some(2), known.contents().clone()));
    world.direct(
        at,
        Actor::Cluster,
        Command::Account(AccountCommand::GrantRole { user: maker, role: Role::Moderator }),
    );
    let notes = Note::parse("too dark").expect("a note");
    let reject = Command::Story(StoryCommand::ReviewStory {
        story,
        decision: ReviewDecision::Reject { notes },
    });
    for _ in 0..=limits::RESUBMISSIONS_MAX {
        assert!(world.direct(at, actor.clone(), submit.clone()).is_accepted());
        let own = world.direct(at, actor.clone(), reject.clone());
        assert_eq!(code(&own), Some(Code::Forbidden));
        assert!(world.direct(at, Actor::Cluster, reject.clone()).is_accepted());
    }
    assert_eq!(code(&world.direct(at, actor, submit)), Some(Code::ResubmitLimit));
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn money_that_came_too_late_is_owed_until_it_went_back() {
    let mut world = World::play(
        "policy initial 1h, window 0s, decision 1h
        12:00:00    offer S1 a EUR 100.00                  -> opened A; A closes 13:00:00
        13:00:00    tick marks 13:00:00                    -> A locked to a at 100.00 (AutoAtClose)
        1d15:00:00  paid A EUR 100.00 ev_late 1d14:00:00   -> done; A awaits until 1d14:00:00; A closed (Unsold)",
    )
    .expect("plays");
    let refund = world
        .market
        .outbox()
        .find(|pending| matches!(pending.effect, Effect::CreateRefund(_)))
        .expect("a refund is due")
        .id;
    assert_eq!(world.market.ledger_balances().count(), 2);
    let at = later(&world, Millis::ZERO);
    let state = ProviderRefundState::Succeeded;
    let result = EffectResult::RefundMade { refund: "re_1".to_owned(), state };
    let done = Command::Finance(FinanceCommand::ReportEffect { effect: refund, result });
    assert!(world.direct(at, Actor::Cluster, done).is_accepted());
    assert_eq!(world.market.ledger_balances().count(), 0);
    assert!(world.market.ledger_totals().values().all(|sum| *sum == 0));
    assert!(world.market.effect(refund).is_none());
}

#[test]
fn one_payment_told_in_two_events_buys_once_and_is_not_given_back() {
    let world = World::play(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:00:01  accept A m EUR 100.00            -> done; A locked to a at 100.00 (MakerAccepted)
        12:00:02  checkout A a                     -> attempt 1
        12:00:03  opened A                         -> done
        12:00:04  paid A EUR 100.00 ev_completed   -> done; A closed (Sold); S1 sold
        12:00:05  paid A EUR 100.00 ev_succeeded   -> done",
    )
    .expect("plays");
    assert_eq!((refunds(&world), world.market.postings().count()), (0, 1));
}

#[test]
fn one_unwanted_payment_goes_back_once() {
    let mut world = World::play(
        "policy initial 1h, window 0s, decision 1h
        12:00:00    offer S1 a EUR 100.00                  -> opened A; A closes 13:00:00
        13:00:00    tick marks 13:00:00                    -> A locked to a at 100.00 (AutoAtClose)
        1d15:00:00  paid A EUR 100.00 ev_late 1d14:00:00   -> done; A awaits until 1d14:00:00; A closed (Unsold)",
    )
    .expect("plays");
    let at = later(&world, Millis::ZERO);
    let told_again = ProviderEvent {
        event: "ev_again".to_owned(),
        kind: ProviderEventKind::CheckoutPaid,
        created: at,
        lock: world.market.locks().first().map(|row| row.sale_lock_id),
        checkout_session: None,
        payment: Some("pi_ev_late".to_owned()),
        amount: Some(Money::new(10_000, fairground_types::Currency::Eur)),
        raw: Digest::of(b"raw"),
        new_order: OrderId::from_bits(1),
    };
    let told_again = Command::Payment(PaymentCommand::RecordProviderEvent(told_again));
    assert!(world.direct(at, Actor::Cluster, told_again).is_accepted());
    assert_eq!((refunds(&world), world.market.postings().count()), (1, 2));
}

fn refunds(world: &World) -> usize {
    let effects = world.market.outbox().map(|pending| &pending.effect);
    effects.filter(|effect| matches!(effect, Effect::CreateRefund(_))).count()
}

#[test]
fn the_same_command_is_answered_once() {
    let mut world = world();
    let at = later(&world, Millis::ZERO);
    let before = world.log.last().expect("the set-up").clone();
    let replayed = world.apply(Entry { at, ..before });
    let first = world.applied[world.applied.len() - 2].outcomes.clone();
    assert_eq!(replayed.outcomes, first);
    assert_eq!(replayed.feed.events, vec![]);
}

#[test]
fn a_state_survives_its_encoding() {
    let world = World::play(
        "policy initial 1h, window 15m, extension 15m
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:50:00  bid A b EUR 105.00 via e2        -> placed; A closes 13:15:00
        13:15:00  bid A c EUR 115.00               -> held
        13:15:00  offer S2 c EUR 100.00 opens B    -> opened B; B closes 14:15:00
        13:15:01  accept B m EUR 100.00            -> done; B locked to c at 100.00 (MakerAccepted)
        13:15:02  checkout B c                     -> attempt 1
        13:15:03  opened B                         -> done
        13:15:04  paid B EUR 100.00 ev_1           -> done; B closed (Sold); S2 sold",
    )
    .expect("plays");
    let bytes = wincode::serialize(&world.market.snapshot()).expect("encodes");
    let snapshot: Snapshot = wincode::deserialize(&bytes).expect("decodes");
    assert_eq!(Market::restore(snapshot), world.market);
    let bytes = wincode::serialize(world.market.view()).expect("encodes");
    let view: PublicView = wincode::deserialize(&bytes).expect("decodes");
    assert_eq!(&view, world.market.view());
}

#[test]
fn rows_speak_the_words_of_the_api() {
    let world = World::play(
        "policy initial 1h, window 15m, extension 15m
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:10:00  bid A b EUR 104.00               -> BID_TOO_LOW minimum 105.00
        12:10:01  bid A b EUR 105.00               -> placed
        13:00:00  bid A b EUR 115.00               -> held
        13:00:01  offer S2 a EUR 100.00 opens B    -> opened B; B closes 14:00:01
        13:00:02  accept B m EUR 100.00            -> done; B locked to a at 100.00 (MakerAccepted)
        13:00:03  checkout B a                     -> attempt 1
        13:00:04  opened B                         -> done",
    )
    .expect("plays");
    let (a, b) = (person("a").expect("letter"), person("b").expect("letter"));
    let auction = auction_named("A").expect("a capital");
    let bids = world.market.my_bids(b, auction);
    let states: Vec<BidState> = bids.iter().map(|row| row.state).collect();
    assert_eq!(states, vec![BidState::Rejected, BidState::Accepted, BidState::Received]);
    assert!(bids[1].leads);
    for row in &bids {
        let found = world.market.bid(b, row.bid_id).expect("its bidder finds it");
        assert_eq!(found.state, row.state);
        assert!(world.market.bid(a, row.bid_id).is_none(), "nobody else does");
    }
    let locks = world.market.locks_of(a);
    assert_eq!(locks.len(), 1);
    assert_eq!(locks[0].state, "pending");
    assert_eq!(locks[0].checkout_url.as_deref(), Some("http://pay.example/1"));
    assert_eq!(locks[0].attempts_left, 3);
    let record = world.market.auction_record(auction).expect("known");
    assert_eq!((record.bids.len(), record.refused.len(), record.held), (2, 1, 1));
    assert_eq!(world.market.stories_of(person("m").expect("letter")).len(), 2);
    assert_eq!(world.market.edges().len(), 3);
    assert_eq!(world.market.me(a).expect("known").roles, vec![]);
}

#[test]
fn a_provider_event_counts_once() {
    let world = World::play(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:00:01  accept A m EUR 100.00            -> done; A locked to a at 100.00 (MakerAccepted)
        12:00:02  paid A EUR 99.00 ev_wrong        -> done
        12:00:03  paid A EUR 99.00 ev_wrong        -> done
        12:00:04  paid A EUR 100.00 ev_1           -> done; A closed (Sold); S1 sold
        12:00:05  paid A EUR 100.00 ev_1           -> done",
    )
    .expect("plays");
    let row = world.market.locks().remove(0);
    assert_eq!(world.market.lock(row.sale_lock_id).expect("known").holds().len(), 1);
    let refunds =
        world.market.outbox().filter(|pending| matches!(pending.effect, Effect::CreateRefund(_)));
    assert_eq!(refunds.count(), 0);
    assert_eq!(world.market.postings().count(), 2);
}

#[test]
fn an_edge_refuses_what_cannot_become_true_and_nothing_else() {
    let world = World::play(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00",
    )
    .expect("plays");
    let view = world.market.view();
    let euro = fairground_types::Currency::Eur;
    let bid = |auction: &str, who: &str, amount: Money| {
        let bid = PlaceBid {
            command: CommandId::from_bytes([7; 32]),
            auction: auction_named(auction).expect("a capital"),
            bidder: person(who).expect("letter"),
            amount,
            maximum: None,
            valid_until: view.at(),
        };
        admission::admit_bid(view, &bid).map_err(|refusal| refusal.rejection.code)
    };
    assert_eq!(bid("A", "b", Money::new(10_500, euro)), Ok(()));
    assert_eq!(bid("A", "b", Money::new(10_499, euro)), Err(Code::BidTooLow));
    assert_eq!(bid("A", "m", Money::new(10_500, euro)), Err(Code::SelfBid));
    assert_eq!(bid("A", "z", Money::new(10_500, euro)), Ok(()), "standing is judged in the log");
    assert_eq!(bid("B", "b", Money::new(1, euro)), Ok(()), "it may have been opened since");
    assert_eq!(bid("B", "b", Money::new(0, euro)), Err(Code::AmountOutOfRange));
    let dollars = Money::new(10_500, fairground_types::Currency::Usd);
    assert_eq!(bid("A", "b", dollars), Err(Code::CurrencyMismatch));
    let opening = world.market.auctions().next().expect("open").leading().expect("leads").command;
    assert!(admission::placed(view, &opening).is_some_and(|placed| placed.is_opening));
}
