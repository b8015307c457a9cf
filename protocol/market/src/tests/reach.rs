//! What the state names is kept, and what it names no more is not.

use fairground_types::command::{
    Actor, Command, Evidence, Extent, IssueCommand, MediaCommand, PeopleCommand, PublishRevision,
    RegisterAsset, SetCaptions,
};
use fairground_types::{Accepted, AssetId, BlobHash, IssueId, Millis, UserId, Verdict};

use crate::script::{World, edge_named, person};

/// A delivered piece with an issue.
const TABLE: &str = "policy initial 1h, window 0s
    12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
    12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
    12:00:02  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
    14:00:00  ship A m BOAT-1            -> done
    15:00:00  confirm A a                -> done
    15:10:00  issue A a #1 damaged 2     -> done
";

fn user(letter: &str) -> UserId {
    person(letter).expect("a letter")
}

fn does(world: &mut World, actor: Actor, command: Command) -> Verdict {
    let at = world.market.last_at();
    let verdict = world.direct(at, actor, command);
    assert!(matches!(verdict, Verdict::Accepted(_)), "{verdict:?}");
    verdict
}

/// A clip of `m`, its worker and its fence.
fn uploads(world: &mut World, number: u128, source: BlobHash) -> (AssetId, Actor, u64) {
    let register = RegisterAsset {
        asset: AssetId::from_bits(number),
        source,
        source_bytes: 1_000,
        duration: Millis::from_secs(10),
        width: 640,
        height: 360,
    };
    let maker = Actor::User(user("m"));
    does(world, maker, Command::Media(MediaCommand::RegisterAsset(register)));
    let worker = Actor::Edge(edge_named("e1").expect("an edge"));
    let leased = does(world, worker.clone(), Command::Media(MediaCommand::LeaseJob));
    let Verdict::Accepted(Accepted::JobLeased { asset, fence, .. }) = leased else {
        panic!("no lease: {leased:?}")
    };
    assert_eq!(asset, AssetId::from_bits(number));
    (asset, worker, fence)
}

fn publish(
    asset: AssetId,
    fence: u64,
    revision: u32,
    manifest: BlobHash,
    extent: Extent,
) -> Command {
    Command::Media(MediaCommand::PublishRevision(PublishRevision {
        asset,
        fence,
        revision,
        manifest,
        codecs: vec!["h264".to_owned()],
        extent,
    }))
}

fn is_root(world: &World, name: &str) -> bool {
    let roots = world.market.blob_roots();
    let hash = BlobHash::of(name.as_bytes());
    roots.manifests.contains(&hash) || roots.blobs.contains(&hash)
}

/// Whether the hash stands anywhere in the state, whatever field it is in.
fn is_in_state(world: &World, name: &str) -> bool {
    let bytes = wincode::serialize(&world.market.snapshot()).expect("encodes");
    let hash = BlobHash::of(name.as_bytes());
    bytes.windows(32).any(|window| window == hash.as_bytes())
}

#[test]
fn every_blob_that_stands_in_the_state_is_a_root_but_for_a_clip_that_was_given_up() {
    let mut world = World::play(TABLE).expect("plays");
    let of = |name: &str| BlobHash::of(name.as_bytes());
    let (made, worker, fence) = uploads(&mut world, 70, of("source"));
    does(&mut world, worker.clone(), publish(made, fence, 1, of("revision 1"), Extent::Whole));
    assert!(is_root(&world, "revision 1"));
    does(&mut world, worker.clone(), publish(made, fence, 2, of("revision 2"), Extent::Last));
    let captions = SetCaptions { asset: made, revision: 3, manifest: of("captions") };
    let captions = Command::Media(MediaCommand::SetCaptions(captions));
    does(&mut world, Actor::User(user("m")), captions);

    let (given_up, worker, fence) = uploads(&mut world, 71, of("given up"));
    assert!(is_root(&world, "given up"), "while it may be tried again");
    let fail = |asset, fence| {
        let reason = "no encoder".to_owned();
        Command::Media(MediaCommand::FailJob { asset, fence, reason, is_final: true })
    };
    does(&mut world, worker, fail(given_up, fence));
    // One that plays already keeps what more could be made from.
    let (half, worker, fence) = uploads(&mut world, 72, of("half made"));
    does(&mut world, worker.clone(), publish(half, fence, 1, of("H.264 alone"), Extent::Whole));
    does(&mut world, worker, fail(half, fence));
    uploads(&mut world, 73, of("being made"));

    let buyer = Actor::User(user("a"));
    for name in ["a picture", "another picture"] {
        let image = Some(of(name));
        does(&mut world, buyer.clone(), Command::People(PeopleCommand::SetAvatar { image }));
    }
    let evidence = vec![Evidence::Image(of("a crack"))];
    let shown = IssueCommand::AddEvidence { issue: IssueId::from_bits(1), evidence };
    does(&mut world, buyer, Command::Issue(shown));

    for kept in ["source", "captions", "half made", "H.264 alone", "being made", "given up"] {
        assert!(is_in_state(&world, kept) && is_root(&world, kept), "{kept}");
    }
    for kept in ["another picture", "a crack"] {
        assert!(is_in_state(&world, kept) && is_root(&world, kept), "{kept}");
    }
    for gone in ["revision 1", "revision 2", "a picture"] {
        assert!(!is_in_state(&world, gone) && !is_root(&world, gone), "{gone}");
    }
    let manifests = world.market.blob_roots().manifests;
    assert!(manifests.contains(&of("captions")) && !manifests.contains(&of("source")));
}
