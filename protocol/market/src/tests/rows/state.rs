//! The whole state: what a member keeps of it, and what a member would print of it.

use fairground_types::command::{
    Actor, AddPushDevice, Command, Invite, NoticeCommand, PeopleCommand, PushPlatform,
    RequestRecovery, SaveAddress, SealedContact, SealedText, SetProfile, StaffCommand,
};
use fairground_types::people::{ConsentPurpose, PrivacySettings};
use fairground_types::text::Note;
use fairground_types::{
    AddressId, Capability, ChallengeId, DataRequestId, Digest, InvitationId, Millis, PushDeviceId,
    Role, TaskId,
};

use super::people::{comes_back, device, does, id, signs_in, staff};
use super::{plays, user};
use crate::script::World;
use crate::{Market, PublicView, Snapshot};

/// Offers in every state, a private maximum, a bid that is held, and what people do with stories.
const TRADE: &str = "policy initial 1h, window 15m, extension 15m, proxies 1
    11:30:00  duty f admin                           -> done
    12:00:00  policy-of m review window 1h           -> done
    12:00:01  offer S1 a EUR 120.00                  -> waits until 13:00:01
    12:00:02  offer S1 b EUR 130.00 opens B          -> waits until 13:00:02
    12:00:03  take-back S1 a                         -> done
    12:00:04  take-offer S1 b m                      -> opened B; B closes 13:00:04
    12:01:00  bid B c EUR 135.00 up-to EUR 777.77    -> placed
    12:02:00  bid B d EUR 136.00                     -> BID_TOO_LOW minimum 140.00
    12:03:00  watch B d                              -> done
    12:03:01  like S2 a                              -> done
    12:03:02  keep S2 a                              -> done
    12:03:03  share S2 a                             -> done
    12:03:04  report S2 b                            -> done
    12:04:00  prefer a 0 no sms                      -> done
    12:05:00  flag op auctions.enabled on 0          -> done; auctions.enabled changed
    12:06:00  template op won push en 0 {title}!     -> done
    12:07:00  save S3 m                              -> done
    12:08:00  submit S3 m                            -> done
    12:09:00  prolong B 5m                           -> done; B closes 13:05:04
    13:05:05  bid B d EUR 200.00                     -> held";
/// A share that was not sent, a refund that waits, a chargeback, a payment that does not match.
const MONEY: &str = "policy initial 1h, window 0s
    11:30:00  duty f finance             -> done
    11:30:02  duty h support             -> done
    12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
    12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
    12:00:02  checkout A a               -> attempt 1
    12:00:03  opened A                   -> done
    12:00:04  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
    12:00:05  read A EUR 3.20            -> done
    12:30:00  account m                  -> done
    12:30:01  made m                     -> done
    12:30:02  ready m                    -> done
    12:30:03  ship A m TRACK-0001        -> done
    12:30:04  confirm A a                -> done
    12:30:05  confirm A a 5              -> done
    12:31:00  unsent A                   -> done
    12:32:00  propose A h EUR 20.00      -> done
    12:33:00  dispute A EUR 60.00 open EUR 15.00 -> done
    12:40:00  offer S2 b EUR 100.00 opens B -> opened B; B closes 13:40:00
    12:40:01  accept B m EUR 100.00      -> done; B locked to b at 100.00 (MakerAccepted)
    12:40:02  checkout B b               -> attempt 1
    12:40:03  opened B                   -> done
    12:40:04  paid B EUR 90.00 ev_odd    -> done";
/// Issues in several states, and words of both sides.
const ISSUES: &str = "policy initial 1h, window 0s
    11:30:00  duty e support             -> done
    12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
    12:00:01  accept A m EUR 100.00      -> done; A locked to a at 100.00 (MakerAccepted)
    12:00:02  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
    12:00:03  offer S2 b EUR 100.00 opens B -> opened B; B closes 13:00:03
    12:00:04  accept B m EUR 100.00      -> done; B locked to b at 100.00 (MakerAccepted)
    12:00:05  paid B EUR 100.00 ev_2     -> done; B closed (Sold); S2 sold
    12:01:00  address A a DE             -> done
    12:02:00  message A a 10             -> done
    14:00:00  ship A m BOAT-1            -> done
    14:00:01  ship B m BOAT-2            -> done
    14:30:00  carrier BOAT-2 other transit e1 -> done
    15:00:00  confirm A a                -> done
    15:10:00  issue A a #1 damaged 2     -> done
    15:11:00  assign #1 e                -> done
    15:12:00  suggest #1 m 40            -> done";

fn sealed() -> SealedText {
    SealedText { key: vec![1; 60], body: vec![2; 40], mark: Digest::of(b"text"), chars: 20 }
}

/// Somebody with everything that an account may have.
fn people() -> World {
    let mut world = plays("policy initial 1h\n12:00:00 grant n moderator -> done");
    let reason = || Note::parse("as the rules say").expect("a note");
    assert_eq!(signs_in(&mut world, "a", 1), None);
    assert_eq!(comes_back(&mut world, "g-1", 2), None);
    let save = SaveAddress {
        address: AddressId::from_bits(1),
        is_change: false,
        sealed: sealed(),
        is_default: true,
    };
    let commands = [
        device(1, 1),
        PeopleCommand::SetProfile(SetProfile { base_version: 0, sealed: sealed() }),
        PeopleCommand::SaveAddress(save),
        PeopleCommand::SetPrivacy { settings: PrivacySettings::default(), base_version: 0 },
        PeopleCommand::SetConsent {
            purpose: ConsentPurpose::Terms,
            granted: true,
            policy_version: 1,
        },
        PeopleCommand::SetFollow { user: user("m"), on: true },
        PeopleCommand::SetBlock { user: user("b"), on: true },
        PeopleCommand::RequestCapability {
            capability: Capability::Publish,
            task: TaskId::from_bits(1),
        },
        PeopleCommand::RequestExport { request: DataRequestId::from_bits(1), sign_in: id(1) },
    ];
    for command in commands {
        assert_eq!(does(&mut world, "a", command), None);
    }
    let invite = Invite {
        invitation: InvitationId::from_bits(1),
        code: Digest::of(b"code"),
        recipient: Digest::of(b"c"),
        roles: vec![Role::Maker],
        life: Millis::from_hours(24),
        reason: reason(),
    };
    assert_eq!(staff(&mut world, StaffCommand::Invite(invite)), None);
    assert_eq!(staff(&mut world, StaffCommand::Strike { user: user("m"), reason: reason() }), None);
    let at = world.market.last_at();
    let recovery = PeopleCommand::RequestRecovery(RequestRecovery {
        recovery: ChallengeId::from_bits(50),
        identifier: Digest::of(b"a"),
        secret: Digest::of(b"secret"),
        origin: Some(Digest::of(b"192.0.2.1")),
    });
    let asked = world.direct(at, Actor::Anonymous, Command::People(recovery));
    assert_eq!(asked.code(), None);
    let phone = AddPushDevice {
        device: PushDeviceId::from_bits(1),
        sign_in: id(1),
        platform: PushPlatform::Apns,
        digest: Digest::of(b"token"),
        token: SealedContact { wrapped_key: vec![3; 20], sealed: vec![4; 20] },
    };
    let add = Command::Notice(NoticeCommand::AddPushDevice(phone));
    assert_eq!(world.direct(at, Actor::User(user("a")), add).code(), None);
    world
}

fn markets() -> Vec<Market> {
    let mut worlds: Vec<World> = [TRADE, MONEY, ISSUES].into_iter().map(plays).collect();
    worlds.push(people());
    worlds.into_iter().map(|world| world.market).collect()
}

#[test]
fn a_state_with_everything_in_it_survives_its_encoding() {
    for market in markets() {
        assert_eq!(market.violations(), Vec::<String>::new());
        let bytes = wincode::serialize(&market.snapshot()).expect("encodes");
        let snapshot: Snapshot = wincode::deserialize(&bytes).expect("decodes");
        let restored = Market::restore(snapshot);
        assert!(restored == market);
        let again = wincode::serialize(&restored.snapshot()).expect("encodes");
        assert!(again == bytes, "one state has one encoding");
        let bytes = wincode::serialize(market.view()).expect("encodes");
        let view: PublicView = wincode::deserialize(&bytes).expect("decodes");
        assert!(&view == market.view());
    }
}

#[test]
fn what_a_member_would_print_of_its_state_names_no_secret() {
    for market in markets() {
        let text = format!("{market:?}");
        // The private maximum of c; the bytes of sealed texts, of addresses and of push tokens.
        for secret in ["777.77", "[2, 2, 2", "[1, 1, 1", "[3, 3, 3", "[4, 4, 4"] {
            assert!(!text.contains(secret), "{secret} is printed");
        }
        assert!(text.contains("accounts"), "the rest is");
    }
}
