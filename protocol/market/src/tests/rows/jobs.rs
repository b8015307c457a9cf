//! Who gets which job, what becomes of one that fails, and what operators see of it.

use std::sync::Arc;

use fairground_types::command::{
    AccountCommand, Actor, Command, Extent, FailedJob, JobFault, MarketPolicy, MediaCommand,
    PublishRevision, RegisterAsset,
};
use fairground_types::text::Note;
use fairground_types::{
    Accepted, AssetId, BlobHash, Code, Millis, NoticeKind, Role, Timestamp, UserId, Verdict, limits,
};
use fairground_wire::codec::{self, CodecError};
use proptest::prelude::*;

use super::user;
use crate::script::{World, edge_named, story_named};
use crate::{AuditFilter, AuditRow, Job, JobRow, Market, SinceVersion2, Snapshot};

/// A market in which clips are uploaded and made.
struct Shop {
    world: World,
    at: Timestamp,
}

impl Shop {
    fn new() -> Self {
        let world = World::new(MarketPolicy::default(), &["e1"]).expect("the set-up is accepted");
        let at = world.market.last_at();
        Self { world, at }
    }

    /// What is due meanwhile fires when it is due.
    fn waits(&mut self, span: Millis) {
        self.at = self.at.plus(span);
        self.world.keep_time(self.at);
    }

    fn gives(&mut self, actor: Actor, command: MediaCommand) -> Verdict {
        self.world.direct(self.at, actor, Command::Media(command))
    }

    fn uploads(&mut self, maker: &str, number: u128, seconds: u64) -> AssetId {
        let register = RegisterAsset {
            asset: AssetId::from_bits(number),
            source: BlobHash::of(&number.to_le_bytes()),
            source_bytes: 1_000,
            duration: Millis::from_secs(seconds),
            width: 640,
            height: 360,
        };
        let asset = register.asset;
        let maker = Actor::User(user(maker));
        assert!(self.gives(maker, MediaCommand::RegisterAsset(register)).is_accepted());
        asset
    }

    fn works(&mut self, worker: &str, command: MediaCommand) -> Verdict {
        self.gives(Actor::Edge(edge_named(worker).expect("an edge")), command)
    }

    fn leases(&mut self, worker: &str) -> Option<(AssetId, u64)> {
        match self.works(worker, MediaCommand::LeaseJob) {
            Verdict::Accepted(Accepted::JobLeased { asset, fence, .. }) => Some((asset, fence)),
            other => {
                assert_eq!(other.code(), Some(Code::NotFound));
                None
            }
        }
    }

    fn fails(&mut self, worker: &str, (asset, fence): (AssetId, u64), fault: JobFault) {
        let (reason, detail) = ("tool_killed".to_owned(), "signal: 9".to_owned());
        let failed = FailedJob { asset, fence, reason, fault, detail };
        assert!(self.works(worker, MediaCommand::ReportFailure(failed)).is_accepted());
    }

    fn finishes(&mut self, worker: &str, (asset, fence): (AssetId, u64)) {
        let revision = self.world.market.job(asset).expect("known").revision.saturating_add(1);
        let publish = PublishRevision {
            asset,
            fence,
            revision,
            manifest: BlobHash::of(b"manifest"),
            codecs: vec!["h264".to_owned()],
            extent: Extent::Last,
        };
        assert!(self.works(worker, MediaCommand::PublishRevision(publish)).is_accepted());
    }

    /// Leases and finishes the next job.
    fn makes(&mut self, worker: &str) -> Option<AssetId> {
        let leased = self.leases(worker)?;
        self.finishes(worker, leased);
        Some(leased.0)
    }

    fn row(&self, asset: AssetId) -> JobRow {
        self.world.market.job(asset).expect("known")
    }

    fn sees(&self, worker: &str) -> Vec<AssetId> {
        let worker = edge_named(worker).expect("an edge");
        let rows = self.world.market.jobs_for(&worker, self.at);
        rows.into_iter().map(|row| row.asset_id).collect()
    }

    fn requeues(&mut self, actor: Actor, asset: AssetId) -> Verdict {
        let reason = Note::parse("the disk is mended").expect("a note");
        self.gives(actor, MediaCommand::RequeueJob { asset, reason })
    }
}

#[test]
fn a_job_that_failed_pauses_and_goes_to_a_worker_that_has_not_failed_at_it() {
    let mut shop = Shop::new();
    let asset = shop.uploads("m", 9, 10);
    let lease = shop.leases("e1").expect("a job");
    shop.fails("e1", lease, JobFault::Tool);
    let row = shop.row(asset);
    assert_eq!(
        (row.state, row.strikes, row.failed_workers),
        ("queued", 1, vec![edge_named("e1").unwrap()])
    );
    assert_eq!(row.ready_at, Some(shop.at.plus(limits::JOB_PAUSE)));
    assert_eq!(
        (row.reason.as_deref(), row.detail.as_deref()),
        (Some("tool_killed"), Some("signal: 9"))
    );
    assert_eq!((shop.leases("e2"), shop.sees("e2")), (None, vec![]), "it pauses");
    shop.waits(limits::JOB_PAUSE);
    assert_eq!((shop.leases("e1"), shop.sees("e1")), (None, vec![]), "another may be idle");
    assert_eq!(shop.sees("e2"), [asset]);
    let lease = shop.leases("e2").expect("the job");
    shop.fails("e2", lease, JobFault::Worker);
    assert_eq!(shop.row(asset).strikes, 2);
    // Both have failed, and a third is not known: the pause has doubled, and nobody waits for long.
    shop.waits(limits::JOB_PAUSE.plus(limits::JOB_PAUSE));
    assert_eq!(shop.leases("e1"), None);
    shop.waits(limits::JOB_OTHERS_UNKNOWN);
    let lease = shop.leases("e1").expect("the job");
    shop.finishes("e1", lease);
    let row = shop.row(asset);
    assert_eq!((row.state, row.strikes, row.reason, row.detail), ("done", 0, None, None));
}

#[test]
fn who_failed_stands_back_while_another_worker_is_known_but_not_for_ever() {
    let mut shop = Shop::new();
    let asset = shop.uploads("m", 9, 10);
    let lease = shop.leases("e1").expect("a job");
    shop.fails("e1", lease, JobFault::Tool);
    shop.uploads("m", 10, 10);
    let busy = shop.leases("e2").expect("the other job");
    shop.waits(limits::JOB_PAUSE.plus(limits::JOB_OTHERS_UNKNOWN));
    assert_eq!(shop.leases("e1"), None, "e2 was heard a moment ago");
    shop.finishes("e2", busy);
    assert_eq!(shop.sees("e2"), [asset]);
    shop.waits(limits::JOB_OTHERS_FIRST);
    assert_eq!(shop.leases("e1").map(|lease| lease.0), Some(asset), "e2 does not ask");
}

#[test]
fn a_job_that_kills_its_tools_is_given_up_after_half_the_attempts() {
    let mut shop = Shop::new();
    let asset = shop.uploads("m", 9, 10);
    let lease = shop.leases("e1").expect("a job");
    shop.fails("e1", lease, JobFault::Poison);
    assert_eq!((shop.row(asset).state, shop.row(asset).strikes), ("queued", 2));
    shop.waits(limits::JOB_PAUSE_MAX);
    let lease = shop.leases("e2").expect("the job");
    shop.fails("e2", lease, JobFault::Poison);
    let row = shop.row(asset);
    assert_eq!(
        (row.state, row.attempts, row.strikes),
        ("failed", 2, limits::TRANSCODE_ATTEMPTS_MAX)
    );
    assert_eq!(row.detail.as_deref(), Some("signal: 9"));
    let notices = shop.world.market.notice_list(user("m")).notices;
    assert!(notices.iter().any(|row| row.kind == NoticeKind::MediaFailed));
    // What is wrong with a clip itself is no matter of attempts.
    let broken = shop.uploads("m", 10, 10);
    let lease = shop.leases("e1").expect("a job");
    shop.fails("e1", lease, JobFault::Clip);
    assert_eq!(shop.row(broken).state, "failed");
}

#[test]
fn a_worker_that_falls_silent_has_failed_and_the_next_need_not_wait() {
    let mut shop = Shop::new();
    let asset = shop.uploads("m", 9, 10);
    shop.leases("e1").expect("a job");
    shop.waits(limits::LEASE_LIFE.plus(Millis::from_secs(1)));
    let row = shop.row(asset);
    assert_eq!((row.state, row.failed_workers), ("queued", vec![edge_named("e1").unwrap()]));
    assert_eq!(shop.leases("e2").map(|lease| lease.0), Some(asset));
}

#[test]
fn an_admin_has_a_failed_job_done_again_and_that_is_written_down() {
    let mut shop = Shop::new();
    let asset = shop.uploads("m", 9, 10);
    let admin = Actor::User(user("a"));
    assert_eq!(shop.requeues(admin.clone(), asset).code(), Some(Code::Forbidden));
    let grant = AccountCommand::GrantRole { user: user("a"), role: Role::Admin };
    let granted = shop.world.direct(shop.at, Actor::Cluster, Command::Account(grant));
    assert!(granted.is_accepted());
    assert_eq!(shop.requeues(admin.clone(), asset).code(), Some(Code::InvalidState), "it waits");
    let unknown = shop.requeues(admin.clone(), AssetId::from_bits(99));
    assert_eq!(unknown.code(), Some(Code::NotFound));
    let lease = shop.leases("e1").expect("a job");
    shop.fails("e1", lease, JobFault::Clip);
    assert!(shop.requeues(admin, asset).is_accepted());
    let row = shop.row(asset);
    assert_eq!((row.state, row.strikes, row.attempts), ("queued", 0, 1));
    assert_eq!(row.failed_workers.len(), 1, "who failed stands back");
    assert_eq!(shop.sees("e2"), [asset], "without a pause");
    assert_eq!(shop.makes("e2"), Some(asset));
    let written: Vec<AuditRow> = shop.world.market.audit(1, &AuditFilter::default()).collect();
    let last = written.last().expect("written down");
    assert_eq!((last.action.as_str(), &last.target), ("Media.RequeueJob", &asset.to_string()));
    assert!(last.before != last.after);
}

#[test]
fn makers_take_turns_and_short_clips_go_first() {
    let mut shop = Shop::new();
    for number in 20..25 {
        shop.uploads("m", number, 60);
        shop.waits(Millis::from_secs(1));
    }
    let short = shop.uploads("m", 30, 5);
    let (long, brief) = (shop.uploads("n", 40, 400), shop.uploads("n", 41, 10));
    // The set-up has made clips of `m`, none of `n`.
    assert_eq!(shop.makes("e1"), Some(brief));
    // 20 seconds of `m`'s clips against 10.
    assert_eq!(shop.makes("e1"), Some(long));
    assert_eq!(shop.makes("e1"), Some(short));
    assert_eq!(shop.makes("e1"), Some(AssetId::from_bits(20)), "of equal ones the oldest");
    let next = shop.uploads("n", 42, 10);
    assert_eq!(shop.makes("e1"), Some(AssetId::from_bits(21)), "n has had 410 seconds");
    // What was done is forgiven in time; what waited for too long goes first.
    shop.waits(limits::JOB_PATIENCE);
    assert_eq!(shop.makes("e1"), Some(AssetId::from_bits(22)));
    let rest = [shop.makes("e1"), shop.makes("e1"), shop.makes("e1"), shop.makes("e1")];
    assert!(rest.contains(&Some(next)) && rest.contains(&None), "{rest:?}");
}

#[test]
fn clips_of_live_auctions_go_first_then_those_of_listed_stories() {
    let mut shop = Shop::new();
    shop.world.play_on("12:00:00 offer S1 a EUR 100.00 -> opened A; A closes 3d12:00:00").unwrap();
    shop.at = shop.world.market.last_at();
    let other = shop.uploads("n", 40, 5);
    // A further revision of what is shown has to be made.
    for story in ["S2", "S1"] {
        let asset = AssetId::from_bits(story_named(story).unwrap().to_bits());
        let row = shop.world.market.assets.get_mut(&asset).expect("set up");
        Arc::make_mut(row).job = Job::Queued;
        shop.world.market.queue.insert((shop.at, asset));
    }
    let clip_of = |story| AssetId::from_bits(story_named(story).unwrap().to_bits());
    let made = [shop.makes("e1"), shop.makes("e1"), shop.makes("e1")];
    assert_eq!(made, [Some(clip_of("S1")), Some(clip_of("S2")), Some(other)]);
}

#[test]
fn under_older_rules_jobs_go_oldest_first_and_failures_are_not_remembered() {
    let world = World::under_rules(MarketPolicy::default(), &["e1"], 3).expect("accepted");
    let at = world.market.last_at();
    let mut shop = Shop { world, at };
    let (first, second) = (shop.uploads("m", 20, 60), shop.uploads("n", 21, 5));
    let lease = shop.leases("e1").expect("a job");
    assert_eq!(lease.0, first);
    let (asset, fence) = lease;
    let failed = FailedJob {
        asset,
        fence,
        reason: String::new(),
        fault: JobFault::Tool,
        detail: String::new(),
    };
    let newer = shop.works("e1", MediaCommand::ReportFailure(failed));
    assert_eq!(newer.code(), Some(Code::InvalidState));
    let fail = MediaCommand::FailJob { asset, fence, reason: String::new(), is_final: false };
    assert!(shop.works("e1", fail).is_accepted());
    assert_eq!(shop.row(first).strikes, 0);
    assert_eq!(shop.makes("e1"), Some(first.min(second)), "both since the same moment, by id");
    // An older binary reads such a state, and what it writes is read.
    let snapshot = shop.world.market.snapshot();
    assert_eq!(snapshot.shape(), 2);
    let none = SinceVersion2::default();
    let older = codec::encode_state_before(2, &snapshot, &none).unwrap();
    let (version, payload) = codec::open_state(3, &older).unwrap();
    let read: Snapshot = codec::decode_state_before(payload, &none).unwrap();
    assert_eq!((version, Market::restore(read)), (2, shop.world.market));
}

#[test]
fn attempts_and_shares_are_part_of_the_state() {
    let mut shop = Shop::new();
    let asset = shop.uploads("m", 9, 10);
    let lease = shop.leases("e1").expect("a job");
    shop.fails("e1", lease, JobFault::Tool);
    let snapshot = shop.world.market.snapshot();
    let refused = codec::encode_state_before(2, &snapshot, &SinceVersion2::default());
    assert!(matches!(refused, Err(CodecError::NoPlace(2))));
    let bytes = codec::encode_state(snapshot.shape(), &snapshot).unwrap();
    let (version, read) = codec::decode_state::<Snapshot>(3, &bytes).unwrap();
    assert_eq!(version, 3);
    let market = Market::restore(read);
    assert_eq!(market.job(asset), shop.world.market.job(asset));
    assert_eq!(market, shop.world.market);
}

/// A maker, and the length of a clip in seconds; or work on the next job.
#[derive(Clone, Debug)]
enum Step {
    Upload { is_of_n: bool, seconds: u64 },
    Make { fails: bool },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<bool>(), 1..400_u64)
            .prop_map(|(is_of_n, seconds)| Step::Upload { is_of_n, seconds }),
        3 => any::<bool>().prop_map(|fails| Step::Make { fails }),
        2 => (1..1_200_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// The jobs in the queue that `e1` may have now, oldest first.
fn ready(shop: &Shop) -> Vec<(AssetId, UserId)> {
    let rows = shop.world.market.jobs_for(&edge_named("e1").unwrap(), shop.at);
    let queued = rows.into_iter().filter(|row| row.state == "queued");
    queued.map(|row| (row.asset_id, row.owner_id)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_maker_and_no_clip_starves(steps in prop::collection::vec(step(), 1..60)) {
        let mut shop = Shop::new();
        let mut number = 1_000;
        for step in steps {
            match step {
                Step::Upload { is_of_n, seconds } => {
                    number += 1;
                    shop.uploads(if is_of_n { "n" } else { "m" }, number, seconds);
                }
                Step::Wait { seconds } => shop.waits(Millis::from_secs(seconds)),
                Step::Make { fails } => {
                    let waiting = ready(&shop);
                    let since = shop.world.market.queue.clone();
                    let spent = |shop: &Shop, maker| shop.world.market.jobs.spent(maker, shop.at);
                    let least = waiting.iter().map(|(_, maker)| spent(&shop, *maker)).min();
                    let before = [user("m"), user("n")].map(|maker| (maker, spent(&shop, maker)));
                    let Some(lease) = shop.leases("e1") else {
                        prop_assert!(waiting.is_empty(), "a ready job is given");
                        continue;
                    };
                    let owner = shop.row(lease.0).owner_id;
                    let is_ready = |id: &AssetId| waiting.iter().any(|(one, _)| one == id);
                    let oldest = since.iter().find(|(_, id)| is_ready(id));
                    let aged = |since: &Timestamp| since.plus(limits::JOB_PATIENCE) <= shop.at;
                    match oldest.filter(|(since, _)| aged(since)) {
                        Some((_, oldest)) => prop_assert_eq!(lease.0, *oldest),
                        None => {
                            let had = before.iter().find(|(maker, _)| *maker == owner);
                            prop_assert_eq!(had.map(|(_, spent)| *spent), least);
                        }
                    }
                    if fails {
                        shop.fails("e1", lease, JobFault::Tool);
                    } else {
                        shop.finishes("e1", lease);
                    }
                }
            }
        }
        // Whatever is left comes to an end, failed jobs included, in a bounded number of rounds.
        for _ in 0..70 {
            shop.waits(limits::JOB_PAUSE_MAX.plus(limits::JOB_OTHERS_FIRST));
            shop.makes("e1");
        }
        prop_assert_eq!(shop.world.market.jobs_waiting(), 0);
    }
}
