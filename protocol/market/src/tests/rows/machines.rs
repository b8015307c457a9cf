//! Clips and their jobs, edges, members, tokens and the public view.

use fairground_types::command::{
    AccountCommand, Actor, ClusterCommand, Command, CreateJoinToken, Entry, Extent, JoinProof,
    JoinRole, LogCommand, MarketPolicy, MediaCommand, PublishRevision, RegisterAsset, RegisterEdge,
    RegisterMember, SetCaptions,
};
use fairground_types::journal::{
    Batch, Eligibility, Intake, JournalEntry, Mark, PlaceBid, Stamp, SubmitOffer, Tail,
};
use fairground_types::text::{Handle, Region};
use fairground_types::{
    Accepted, AssetId, AuctionId, BlobHash, Code, CommandId, Currency, Digest, JoinTokenId,
    LogIndex, Millis, Money, NoticeKind, OfferId, StoryId, Timestamp, Verdict, limits,
};

use super::{goes_on, plays, user};
use crate::script::{World, auction_named, edge_named};
use crate::{Job, RULES_VERSION};

fn world() -> World {
    World::new(MarketPolicy::default(), &["e1"]).expect("the set-up is accepted")
}

fn gives(world: &mut World, actor: Actor, command: Command) -> Verdict {
    let at = world.market.last_at();
    world.direct(at, actor, command)
}

fn edge(name: &str) -> Actor {
    Actor::Edge(edge_named(name).expect("an edge"))
}

fn works(world: &mut World, name: &str, command: MediaCommand) -> Verdict {
    gives(world, edge(name), Command::Media(command))
}

/// A clip of `m`.
fn upload(world: &mut World, number: u128, bytes: u64) -> Option<Code> {
    let register = RegisterAsset {
        asset: AssetId::from_bits(number),
        source: BlobHash::of(&number.to_le_bytes()),
        source_bytes: bytes,
        duration: Millis::from_secs(10),
        width: 640,
        height: 360,
    };
    gives(world, Actor::User(user("m")), Command::Media(MediaCommand::RegisterAsset(register)))
        .code()
}

fn leases(world: &mut World, name: &str) -> Result<(AssetId, u64), Code> {
    match works(world, name, MediaCommand::LeaseJob) {
        Verdict::Accepted(Accepted::JobLeased { asset, fence, .. }) => Ok((asset, fence)),
        other => Err(other.code().expect("refused")),
    }
}

fn publish(asset: AssetId, fence: u64, revision: u32, extent: Extent) -> MediaCommand {
    MediaCommand::PublishRevision(PublishRevision {
        asset,
        fence,
        revision,
        manifest: BlobHash::of(&revision.to_le_bytes()),
        codecs: vec!["h264".to_owned(), "aac".to_owned()],
        extent,
    })
}

const fn fails(asset: AssetId, fence: u64, is_final: bool) -> MediaCommand {
    MediaCommand::FailJob { asset, fence, reason: String::new(), is_final }
}

fn goes(world: &mut World, span: Millis) {
    let until = world.market.last_at().plus(span);
    world.keep_time(until.plus(Millis::new(1)));
}

/// An entry comes after `span`, whatever falls due.
fn waits(world: &mut World, span: Millis) {
    let at = world.market.last_at().plus(span);
    let nothing = MediaCommand::RenewLease { asset: AssetId::from_bits(0), fence: 0 };
    let refused = world.direct(at, edge("e1"), Command::Media(nothing));
    assert_eq!(refused.code(), Some(Code::NotFound));
}

/// States of clip 9 and of its job; no job when it is done.
fn stands(world: &World) -> (&'static str, Option<&'static str>) {
    let asset = world.market.asset_row(AssetId::from_bits(9)).expect("uploaded");
    let jobs = world.market.jobs();
    (asset.state, jobs.iter().find(|row| row.asset_id == asset.asset_id).map(|row| row.state))
}

#[test]
fn a_clip_says_to_its_owner_how_far_it_is_and_to_workers_what_is_to_be_done() {
    let mut world = world();
    assert_eq!((upload(&mut world, 9, 1_000), world.market.jobs_waiting()), (None, 1));
    assert_eq!(upload(&mut world, 9, 1_000), Some(Code::InvalidState), "the id is taken");
    assert_eq!(upload(&mut world, 10, 0), Some(Code::MediaRejected));
    assert_eq!(stands(&world), ("queued", Some("queued")));
    let (asset, fence) = leases(&mut world, "e1").expect("a job");
    assert_eq!((asset, fence), (AssetId::from_bits(9), 1));
    assert_eq!((leases(&mut world, "e2"), world.market.jobs_waiting()), (Err(Code::NotFound), 0));
    assert_eq!(stands(&world), ("transcoding", Some("leased")));
    let row = world.market.jobs().remove(0);
    assert_eq!((row.edge, row.attempts, row.fence), (edge_named("e1").ok(), 1, fence));
    assert_eq!(row.until, Some(world.market.last_at().plus(limits::LEASE_LIFE)));
    // Who keeps its lease has it longer; nobody else may.
    goes(&mut world, Millis::from_secs(40));
    let renew = MediaCommand::RenewLease { asset, fence };
    assert_eq!(works(&mut world, "e2", renew.clone()).code(), Some(Code::InvalidState));
    assert!(works(&mut world, "e1", renew).is_accepted());
    goes(&mut world, Millis::from_secs(40));
    assert_eq!(stands(&world).1, Some("leased"));
    // Played from the first revision on, though more is made.
    assert!(works(&mut world, "e1", publish(asset, fence, 1, Extent::Whole)).is_accepted());
    assert_eq!(stands(&world), ("ready", Some("leased")));
    let twice = works(&mut world, "e1", publish(asset, fence, 1, Extent::Last));
    assert_eq!(twice.code(), Some(Code::VersionConflict));
    let mut endless = publish(asset, fence, 2, Extent::Last);
    if let MediaCommand::PublishRevision(publish) = &mut endless {
        publish.codecs = vec!["x".repeat(600)];
    }
    assert_eq!(works(&mut world, "e1", endless).code(), Some(Code::ValidationFailed));
    assert!(works(&mut world, "e1", publish(asset, fence, 2, Extent::Last)).is_accepted());
    assert_eq!(stands(&world), ("ready", None));
    assert!(matches!(world.market.asset(asset).expect("there").job, Job::Done));
    let late = works(&mut world, "e1", fails(asset, fence, true));
    assert_eq!(late.code(), Some(Code::InvalidState), "a lease that is over reports nothing");
    let rows = world.market.assets_of(user("m"));
    assert!(
        rows.is_sorted_by_key(|row| row.asset_id)
            && rows.iter().all(|row| row.owner_id == user("m"))
    );
    let done = rows.iter().find(|row| row.asset_id == asset).expect("listed");
    assert_eq!((done.revision, done.codecs.len(), done.source_bytes), (2, 2, 1_000));
    assert!(world.market.assets_of(user("n")).is_empty());
    assert_eq!(world.market.assets().count(), 3);
    assert_eq!(world.market.asset_row(AssetId::from_bits(99)), None);
    let seen = world.market.view().assets().find(|row| row.asset == asset).expect("public");
    assert_eq!((seen.revision, Some(seen.manifest)), (2, done.manifest));
}

#[test]
fn a_clip_that_grows_can_be_played_but_is_not_ready() {
    let mut world = world();
    assert_eq!(upload(&mut world, 9, 1_000), None);
    let (asset, fence) = leases(&mut world, "e1").expect("a job");
    assert!(works(&mut world, "e1", publish(asset, fence, 1, Extent::Beginning)).is_accepted());
    assert!(works(&mut world, "e1", publish(asset, fence, 2, Extent::Beginning)).is_accepted());
    assert_eq!(stands(&world), ("transcoding", Some("leased")));
    let seen = world.market.view().asset(asset).expect("public");
    assert_eq!(seen.revision, 2);
    let row = |world: &World| world.market.asset_row(asset).expect("there");
    assert!(row(&world).is_growing && !row(&world).takes_captions);
    // Whoever goes on with it knows that the whole is still to be made.
    assert!(works(&mut world, "e1", fails(asset, fence, false)).is_accepted());
    assert_eq!(stands(&world), ("queued", Some("queued")));
    assert!(world.market.jobs().remove(0).is_growing);
    waits(&mut world, limits::JOB_PAUSE);
    let (asset, fence) = leases(&mut world, "e2").expect("a job");
    assert!(works(&mut world, "e2", publish(asset, fence, 3, Extent::Beginning)).is_accepted());
    assert!(works(&mut world, "e2", publish(asset, fence, 4, Extent::Whole)).is_accepted());
    assert_eq!(stands(&world), ("ready", Some("leased")));
    assert!(!row(&world).is_growing);
    let back = works(&mut world, "e2", publish(asset, fence, 5, Extent::Beginning));
    assert_eq!(back.code(), Some(Code::InvalidState), "what is whole does not begin again");
    assert!(works(&mut world, "e2", publish(asset, fence, 5, Extent::Last)).is_accepted());
    // One that cannot be made to its end has failed, whatever of it could be seen.
    assert_eq!(upload(&mut world, 10, 1_000), None);
    let (broken, fence) = leases(&mut world, "e1").expect("a job");
    assert!(works(&mut world, "e1", publish(broken, fence, 1, Extent::Beginning)).is_accepted());
    assert!(works(&mut world, "e1", fails(broken, fence, true)).is_accepted());
    assert_eq!(world.market.asset_row(broken).map(|row| row.state), Some("failed"));
}

#[test]
fn a_job_whose_worker_is_silent_goes_to_another_and_is_given_up_in_the_end() {
    let mut world = world();
    assert_eq!(upload(&mut world, 9, 1_000), None);
    let (asset, first) = leases(&mut world, "e1").expect("a job");
    goes(&mut world, limits::LEASE_LIFE);
    assert_eq!(stands(&world), ("queued", Some("queued")), "its lease is over");
    let late = works(&mut world, "e1", publish(asset, first, 1, Extent::Last));
    assert_eq!(late.code(), Some(Code::InvalidState));
    let (_, second) = leases(&mut world, "e2").expect("the same");
    assert!(second > first);
    assert!(works(&mut world, "e2", fails(asset, second, false)).is_accepted());
    assert_eq!(stands(&world).1, Some("queued"), "it is tried again");
    for _ in 2..limits::TRANSCODE_ATTEMPTS_MAX {
        waits(&mut world, limits::JOB_PAUSE_MAX.plus(limits::JOB_OTHERS_FIRST));
        let (_, fence) = leases(&mut world, "e1").expect("the same");
        assert!(works(&mut world, "e1", fails(asset, fence, false)).is_accepted());
    }
    assert_eq!(stands(&world), ("failed", Some("failed")));
    let told = world.market.notice_list(user("m")).notices;
    assert!(told.iter().any(|row| row.kind == NoticeKind::MediaFailed));
    assert_eq!(leases(&mut world, "e1"), Err(Code::NotFound));
}

#[test]
fn a_clip_that_can_be_played_stays_ready_when_its_next_revision_fails() {
    let mut world = world();
    assert_eq!(upload(&mut world, 9, 1_000), None);
    let (asset, fence) = leases(&mut world, "e1").expect("a job");
    assert!(works(&mut world, "e1", publish(asset, fence, 1, Extent::Whole)).is_accepted());
    let fail =
        MediaCommand::FailJob { asset, fence, reason: "no encoder".to_owned(), is_final: true };
    assert!(works(&mut world, "e1", fail).is_accepted());
    assert_eq!(stands(&world), ("ready", Some("failed")));
    let row = world.market.asset_row(asset).expect("there");
    assert_eq!((row.revision, row.reason.as_deref()), (1, Some("no encoder")));
    let job = world.market.jobs().remove(0);
    assert_eq!((job.reason.as_deref(), job.edge, job.until), (Some("no encoder"), None, None));
}

#[test]
fn workers_are_told_of_open_jobs_and_people_of_the_newest_that_failed() {
    let mut world = world();
    let failed_max = crate::query::FAILED_JOBS_SHOWN_MAX;
    for number in (100..).take(failed_max.saturating_add(1)) {
        assert_eq!(upload(&mut world, number, 1_000), None);
        let (asset, fence) = leases(&mut world, "e1").expect("a job");
        assert!(works(&mut world, "e1", fails(asset, fence, true)).is_accepted());
    }
    for number in [9, 10, 11] {
        assert_eq!(upload(&mut world, number, 1_000), None);
    }
    let (leased, _) = leases(&mut world, "e2").expect("a job");
    let open = world.market.open_jobs();
    assert_eq!(
        open.iter().map(|row| row.state).collect::<Vec<_>>(),
        ["leased", "queued", "queued"]
    );
    assert_eq!(open.first().map(|row| row.asset_id), Some(leased));
    let all = world.market.jobs();
    let (first, failed) = all.split_at(open.len());
    assert_eq!((first, failed.len()), (open.as_slice(), failed_max));
    let oldest = AssetId::from_bits(100);
    assert!(failed.iter().all(|row| row.state == "failed" && row.asset_id != oldest));
}

#[test]
fn a_job_tells_the_name_that_its_maker_has_now() {
    let mut world = world();
    assert_eq!(upload(&mut world, 9, 1_000), None);
    let told = |world: &World| {
        let row = world.market.open_jobs().remove(0);
        row.owner_handle.map(|handle| handle.to_string())
    };
    assert_eq!(told(&world).as_deref(), Some("user-m"));
    let handle = Handle::parse("Turner").expect("a name");
    let renames = Command::Account(AccountCommand::SetHandle { handle });
    assert!(gives(&mut world, Actor::User(user("m")), renames).is_accepted());
    assert_eq!(told(&world).as_deref(), Some("Turner"));
}

#[test]
fn captions_come_from_the_maker_once_nobody_works_on_the_clip() {
    let mut world = world();
    let captions = |world: &mut World, maker: &str, revision: u32| {
        let asset = AssetId::from_bits(9);
        let manifest = BlobHash::of(b"the same with captions");
        let set = MediaCommand::SetCaptions(SetCaptions { asset, revision, manifest });
        gives(world, Actor::User(user(maker)), Command::Media(set)).code()
    };
    assert_eq!(captions(&mut world, "m", 1), Some(Code::NotFound));
    assert_eq!(upload(&mut world, 9, 1_000), None);
    assert_eq!(captions(&mut world, "m", 1), Some(Code::InvalidState), "not made yet");
    let (asset, fence) = leases(&mut world, "e1").expect("a job");
    assert!(works(&mut world, "e1", publish(asset, fence, 1, Extent::Whole)).is_accepted());
    assert_eq!(captions(&mut world, "m", 2), Some(Code::InvalidState), "its AV1 is being made");
    assert!(works(&mut world, "e1", publish(asset, fence, 2, Extent::Last)).is_accepted());
    assert_eq!(captions(&mut world, "m", 2), Some(Code::VersionConflict), "there is a second");
    assert_eq!(captions(&mut world, "n", 3), Some(Code::NotFound), "whose clip it is not");
    assert_eq!(captions(&mut world, "m", 3), None);
    let row = world.market.asset_row(asset).expect("there");
    assert_eq!((row.revision, row.state, row.codecs.len()), (3, "ready", 2));
    assert_eq!(row.manifest, Some(BlobHash::of(b"the same with captions")));
    let seen = world.market.view().assets().find(|row| row.asset == asset).expect("public");
    assert_eq!((seen.revision, Some(seen.manifest)), (3, row.manifest));
    for revision in 4..=limits::ASSET_REVISIONS_MAX {
        assert_eq!(captions(&mut world, "m", revision), None);
    }
    let beyond = captions(&mut world, "m", limits::ASSET_REVISIONS_MAX + 1);
    assert_eq!(beyond, Some(Code::LimitReached));
}

fn token(number: u128, role: JoinRole, expires_at: Timestamp) -> Command {
    Command::Cluster(ClusterCommand::CreateJoinToken(CreateJoinToken {
        token: JoinTokenId::from_bits(number),
        secret: Digest::of(b"secret"),
        role,
        region: Region::parse("eu").expect("a region"),
        expires_at,
    }))
}

fn proof(number: u128) -> JoinProof {
    JoinProof { token: JoinTokenId::from_bits(number), secret: Digest::of(b"secret") }
}

#[test]
fn a_join_token_is_listed_without_its_secret_and_admits_once_what_it_is_for() {
    let mut world = world();
    let at = world.market.last_at();
    let day = at.plus(Millis::from_hours(24));
    let endless = at.plus(limits::JOIN_TOKEN_LIFE_MAX).plus(Millis::new(1));
    let refused = gives(&mut world, Actor::Cluster, token(900, JoinRole::Edge, endless));
    assert_eq!(refused.code(), Some(Code::ValidationFailed));
    for (number, role) in [(901, JoinRole::Edge), (902, JoinRole::Member), (903, JoinRole::Edge)] {
        assert!(gives(&mut world, Actor::Cluster, token(number, role, day)).is_accepted());
    }
    let again = gives(&mut world, Actor::Cluster, token(901, JoinRole::Edge, day));
    assert_eq!(again.code(), Some(Code::InvalidState));
    let open = |world: &World| -> Vec<u128> {
        world.market.join_tokens().iter().map(|row| row.token_id.to_bits()).collect()
    };
    assert_eq!(open(&world), [901, 902, 903]);
    let row = world.market.join_tokens().remove(0);
    assert_eq!((row.role, row.region.as_str(), row.expires_at), (JoinRole::Edge, "eu", day));
    let revoke = ClusterCommand::RevokeJoinToken { token: JoinTokenId::from_bits(903) };
    assert!(gives(&mut world, Actor::Cluster, Command::Cluster(revoke)).is_accepted());
    let register = |number| {
        Command::Cluster(ClusterCommand::RegisterEdge(RegisterEdge {
            proof: proof(number),
            name: "video".to_owned(),
            public_url: "http://video.example".to_owned(),
            receipt_key: [7; 32],
            takes_bids: false,
        }))
    };
    for wrong in [902, 903, 999] {
        let refused = gives(&mut world, Actor::Anonymous, register(wrong));
        assert!(refused.code().is_some(), "{wrong} admits no edge");
    }
    assert!(gives(&mut world, Actor::Anonymous, register(901)).is_accepted());
    assert!(gives(&mut world, Actor::Anonymous, register(901)).code().is_some(), "once");
    let member = |number, address: &str| {
        Command::Cluster(ClusterCommand::RegisterMember(RegisterMember {
            proof: Some(proof(number)),
            cluster_address: address.to_owned(),
            public_url: "http://127.0.0.1:7002".to_owned(),
        }))
    };
    assert!(gives(&mut world, Actor::Anonymous, member(902, "127.0.0.1:7010")).is_accepted());
    assert_eq!(open(&world), Vec::<u128>::new());
    let known: Vec<&str> = world.market.members().map(|row| row.cluster_address.as_str()).collect();
    assert_eq!(known, ["127.0.0.1:7000", "127.0.0.1:7010"]);
    assert!(
        world.market.view().members().eq(world.market.members()),
        "everybody knows the members"
    );
    // An edge of video alone is listed, and is never in the intake.
    let video = edge_named("video").expect("an edge");
    let row = world.market.edges().into_iter().find(|row| row.edge == video).expect("listed");
    assert!(!row.takes_bids && !row.in_intake && row.public_url == "http://video.example");
    assert_eq!(world.market.view().edge(&video).expect("public").admitted_at, None);
    let admit = ClusterCommand::AdmitEdge { edge: video.clone(), tail: Tail::START };
    let refused = gives(&mut world, Actor::Edge(video), Command::Cluster(admit));
    assert_eq!(refused.code(), Some(Code::InvalidState));
    // One that nobody uses ends by itself.
    let soon = world.market.last_at().plus(Millis::from_mins(5));
    assert!(gives(&mut world, Actor::Cluster, token(904, JoinRole::Edge, soon)).is_accepted());
    goes(&mut world, Millis::from_mins(5));
    assert_eq!(open(&world), Vec::<u128>::new());
}

#[test]
fn an_edge_is_shown_with_what_is_applied_and_what_it_promised() {
    let mut world = plays(
        "policy initial 1h
        intake e1 e2
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01  bid A b EUR 105.00 via e2  -> placed",
    );
    let row = |world: &World, name: &str| {
        let wanted = edge_named(name).expect("an edge");
        world.market.edges().into_iter().find(|row| row.edge == wanted).expect("listed")
    };
    assert_eq!((row(&world, "e1").applied_seq, row(&world, "e2").applied_seq), (1, 1));
    assert_eq!((row(&world, "e1").in_intake, row(&world, "e3").in_intake), (true, false));
    let before = row(&world, "e1");
    assert_eq!(before.counted_mark_age, world.market.last_at().since(before.counted_mark));
    // A mark ahead of its journal waits; the journal that was not applied breaks a promise.
    let known = edge_named("e1").expect("an edge");
    let tail = world.market.edge(&known).expect("registered").tail();
    let at = world.market.last_at().plus(Millis::from_secs(1));
    let ahead = Mark { watermark: at, tail: Tail { seq: tail.seq + 3, ..tail } };
    world.apply(Entry { term: 1, at, marks: vec![(known.clone(), ahead)], commands: vec![] });
    assert_eq!(row(&world, "e1").pending_marks, 1);
    let other = Tail { hash: Tail::START.hash, ..tail };
    let admit = ClusterCommand::AdmitEdge { edge: known.clone(), tail: other };
    let refused = gives(&mut world, Actor::Edge(known), Command::Cluster(admit));
    assert_eq!((refused.code(), row(&world, "e1").violations), (Some(Code::InvalidState), 1));
    let strange = edge_named("e9").expect("a name");
    let seal = ClusterCommand::SealEdge { edge: strange.clone(), tail };
    let refused = gives(&mut world, Actor::Edge(strange), Command::Cluster(seal));
    assert!(refused.code().is_some());
    assert!(world.market.next_silence().is_some());
}

/// What its edge is told of a journal entry that it sends again.
#[test]
fn an_entry_sent_again_gets_the_verdict_that_it_got() {
    let mut world = plays(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00",
    );
    let known = edge_named("e1").expect("an edge");
    let at = world.market.last_at().plus(Millis::from_secs(1));
    let bid = |key: &str, minor| {
        let command = CommandId::derive(user("b"), key, "bid", "A");
        Intake::Bid(PlaceBid {
            command,
            auction: auction_named("A").expect("A"),
            bidder: user("b"),
            amount: Money::new(minor, Currency::Eur),
            maximum: None,
            valid_until: at.plus(Millis::from_mins(2)),
        })
    };
    let tail = world.market.edge(&known).expect("registered").tail();
    let sent = JournalEntry::after(tail, Stamp { earliest: at, latest: at }, bid("k", 10_500));
    let asks = |world: &World, entry: &JournalEntry| {
        let told = world.market.verdict_on_entry(&known, entry);
        told.map(|judged| judged.verdict.code())
    };
    assert_eq!(asks(&world, &sent), None, "it is not applied");
    let batch = Batch { edge: known.clone(), mark: None, entries: vec![sent.clone()] };
    world.apply(Entry { term: 1, at, marks: vec![], commands: vec![LogCommand::Batch(batch)] });
    assert_eq!(asks(&world, &sent), Some(None), "accepted");
    let mut changed = sent.clone();
    changed.intake = bid("k", 11_000);
    assert_eq!(asks(&world, &changed), Some(Some(Code::IdempotencyKeyReused)));
    changed.intake = bid("other", 11_000);
    assert_eq!(asks(&world, &changed), Some(Some(Code::Closing)), "not remembered: try again");
    assert_eq!(world.market.verdict_on_entry(&edge_named("e9").expect("a name"), &sent), None);
    // One that is held has no verdict yet.
    let close = world.market.auctions().next().expect("A").closes_at();
    let stamp = Stamp { earliest: close, latest: close };
    let held = JournalEntry::after(sent.tail(), stamp, {
        let Intake::Bid(mut late) = bid("late", 12_000) else { panic!("a bid") };
        late.valid_until = close.plus(Millis::from_mins(2));
        Intake::Bid(late)
    });
    world.keep_time(close);
    let batch = Batch { edge: known.clone(), mark: None, entries: vec![held.clone()] };
    let applied = world.apply(Entry {
        term: 1,
        at: close,
        marks: vec![],
        commands: vec![LogCommand::Batch(batch)],
    });
    assert!(applied.judged.is_empty());
    assert_eq!(asks(&world, &held), None);
}

#[test]
fn an_offer_sent_again_is_found_by_the_auction_of_its_story() {
    let world = plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00",
    );
    let known = edge_named("e1").expect("an edge");
    let intake = Intake::Offer(SubmitOffer {
        command: CommandId::derive(user("c"), "k", "offer", "S1"),
        offer: OfferId::from_bits(77),
        auction: AuctionId::from_bits(77),
        story: StoryId::from_bits(1),
        buyer: user("c"),
        amount: Money::new(10_500, Currency::Eur),
        note: None,
        ship_to: None,
        eligibility: Eligibility::Allowed,
        bid_if_open: true,
        valid_until: world.market.last_at(),
    });
    let at = world.market.last_at();
    let sent = JournalEntry::after(Tail::START, Stamp { earliest: at, latest: at }, intake);
    let told = world.market.verdict_on_entry(&known, &sent).expect("its place was applied");
    assert_eq!(told.verdict.code(), Some(Code::Closing));
}

#[test]
fn who_knows_which_rules_is_reported_for_members_and_edges_of_the_intake() {
    let mut world = plays(
        "rules 1
        intake e1 e2
        12:00:00  knows m1 2                 -> done
        12:00:01  knows e1 1                 -> done",
    );
    let report = world.market.rules_report();
    assert_eq!((report.version, report.newest), (1, RULES_VERSION));
    let known: Vec<u32> = report.members.iter().map(|row| row.known).collect();
    assert_eq!(known, [2]);
    let edges: Vec<(bool, u32)> =
        report.edges.iter().map(|row| (row.name.starts_with("e1"), row.known)).collect();
    assert_eq!(edges, [(true, 1), (false, 0)], "e2 has said nothing, e3 is not in the intake");
    let first = world.market.members().next().expect("a member").member;
    assert!(
        world.market.has_reported_rules(first, 2) && !world.market.has_reported_rules(first, 3)
    );
    goes_on(
        &mut world,
        "12:01:00  rules op 2                 -> INVALID_STATE
        12:01:01  knows e1 2                 -> done
        12:01:02  knows e2 2                 -> done
        12:01:03  knows m1 1                 -> done
        12:01:04  rules op 2                 -> INVALID_STATE
        12:01:05  knows m1 2                 -> done
        12:01:06  rules op 2                 -> done; rules 2",
    );
    assert_eq!(world.market.rules_report().version, 2);
    assert_eq!(world.market.view().rules(), 2);
}

/// An old program that went on after everybody else was upgraded writes down what they write down; that
/// it must stop it sees by the version.
#[test]
fn rules_that_this_program_does_not_know_are_put_in_force_all_the_same() {
    let world = plays(
        "12:00:00  knows m1 99                -> done
        12:00:00  knows e1 99                -> done
        12:00:01  rules op 99                -> done; rules 99",
    );
    assert_eq!(world.market.rules_version(), 99);
    assert!(world.market.rules_version() > RULES_VERSION);
}

#[test]
fn the_view_shows_what_is_open_and_when_flags_changed() {
    let mut world = plays(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:00:01  offer S2 b EUR 100.00 opens B    -> opened B; B closes 13:00:01
        12:00:02  cancel B                         -> done; B closed (Cancelled)",
    );
    let view = world.market.view();
    let open: Vec<AuctionId> = view.open_auctions().map(|row| row.auction).collect();
    assert_eq!((open.len(), view.auctions().count()), (1, 2));
    assert_eq!(open[0], auction_named("A").expect("A"));
    assert!(view.cluster().is_some());
    assert_eq!(view.flags_changed(), LogIndex(0));
    goes_on(
        &mut world,
        "12:00:03  flag op auctions.proxy_bids on 0 -> done; auctions.proxy_bids changed",
    );
    assert_eq!(world.market.view().flags_changed(), world.market.last_index());
}

#[test]
fn stories_wait_for_a_reviewer_oldest_first() {
    let mut world = plays(
        "12:00:00  save S3 m                        -> done
        12:00:01  save S4 m                        -> done
        12:00:02  submit S4 m                      -> done",
    );
    let waits = |world: &World| -> Vec<u128> {
        let rows = world.market.stories_waiting_for_review();
        rows.iter().map(|row| row.story_id.to_bits()).collect()
    };
    assert_eq!(waits(&world), [4]);
    goes_on(&mut world, "12:00:05  submit S3 m                      -> done");
    assert_eq!(waits(&world), [4, 3], "oldest first, not by id");
    goes_on(&mut world, "12:00:06 approve S4 -> done");
    assert_eq!(waits(&world), [3]);
}
