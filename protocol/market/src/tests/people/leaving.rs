//! Data requests: the copy, the deletion that waits, and what erasure leaves.

use fairground_types::command::{
    Actor, AddPushDevice, AuctionCommand, Command, NoticeCommand, PeopleCommand, PushPlatform,
    SealedContact, StaffCommand,
};
use fairground_types::people::IdentityProvider;
use fairground_types::{
    AddressId, Code, DataRequestId, DeviceId, Digest, Millis, NoticeKind, PushDeviceId, SignInId,
    UserId, Verdict, limits,
};

use super::{does, now, reason, sign_in, staff, strike, user, wait, world};
use crate::AccountStanding;
use crate::script::{World, auction_named};

fn export(number: u128, sign_in: u128) -> PeopleCommand {
    PeopleCommand::RequestExport {
        request: DataRequestId::from_bits(number),
        sign_in: SignInId::from_bits(sign_in),
    }
}

fn delete(number: u128, sign_in: u128, waits: bool) -> PeopleCommand {
    PeopleCommand::RequestDeletion {
        request: DataRequestId::from_bits(number),
        sign_in: SignInId::from_bits(sign_in),
        waits,
    }
}

fn request_state(world: &World, letter: &str, number: u128) -> &'static str {
    let row = world.market.data_request(user(letter), DataRequestId::from_bits(number));
    row.map_or("absent", |row| row.state)
}

#[test]
fn data_requests_need_a_fresh_sign_in_and_a_copy_is_there_for_a_week() {
    let mut world = world();
    assert_eq!(does(&mut world, "a", export(1, 1)), Some(Code::StepUpRequired));
    assert_eq!(sign_in(&mut world, "a", 1), None);
    assert_eq!(does(&mut world, "b", export(1, 1)), Some(Code::StepUpRequired), "another's");
    wait(&mut world, Millis::new(limits::STEP_UP_AGE_MAX.as_millis() + 1));
    assert_eq!(does(&mut world, "a", export(1, 1)), Some(Code::StepUpRequired));
    assert_eq!(sign_in(&mut world, "a", 2), None);
    assert_eq!(does(&mut world, "a", export(1, 2)), None);
    assert_eq!(does(&mut world, "a", export(1, 2)), Some(Code::InvalidState));
    assert_eq!(request_state(&world, "a", 1), "ready");
    assert!(world.is_told(user("a"), NoticeKind::DataReady));
    wait(&mut world, limits::EXPORT_LIFE);
    assert_eq!(request_state(&world, "a", 1), "done");
}

#[test]
fn deletion_waits_for_what_is_open_and_erases_after_thirty_days() {
    let mut world = World::play(
        "policy initial 1h, window 0s, extension 0s
        12:00:00  offer S1 a EUR 100.00  -> opened A; A closes 13:00:00",
    )
    .expect("plays");
    assert_eq!(sign_in(&mut world, "a", 1), None);
    assert_eq!(does(&mut world, "a", delete(1, 1, false)), Some(Code::ObligationsOpen));
    assert_eq!(request_state(&world, "a", 1), "absent");
    assert_eq!(does(&mut world, "a", delete(1, 1, true)), None);
    assert_eq!(request_state(&world, "a", 1), "waiting");
    let image = Some(fairground_types::BlobHash::of(b"a picture"));
    assert_eq!(does(&mut world, "a", PeopleCommand::SetAvatar { image }), None);
    let at = now(&world);
    let auction = auction_named("A").expect("a name");
    let cancel = Command::Auction(AuctionCommand::CancelAuction { auction, reason: reason() });
    assert!(matches!(world.direct(at, Actor::Cluster, cancel), Verdict::Accepted(_)));
    wait(&mut world, limits::DELETION_LOOKS_AGAIN);
    assert_eq!(request_state(&world, "a", 1), "closed");
    assert!(world.market.view().is_revoked(SignInId::from_bits(1)));
    assert_eq!(sign_in(&mut world, "a", 2), Some(Code::AccountLocked));
    let suspend = StaffCommand::Suspend { user: user("a"), reason: reason() };
    assert_eq!(staff(&mut world, suspend), Some(Code::InvalidState));
    let reinstate = StaffCommand::Reinstate { user: user("a"), reason: reason() };
    assert_eq!(staff(&mut world, reinstate), Some(Code::InvalidState));
    assert!(!world.market.account(user("a")).expect("there").identifier().as_bytes().is_empty());
    wait(&mut world, limits::ERASE_AFTER);
    assert_eq!(request_state(&world, "a", 1), "done");
    let account = world.market.account(user("a")).expect("the pseudonym stays");
    assert!(matches!(account.standing(), AccountStanding::Erased { .. }));
    assert!(account.contact().wrapped_key.is_empty() && account.contact().sealed.is_empty());
    assert!(account.handle().expect("a former name").as_str().starts_with("former-"));
    assert_eq!(world.market.avatars().count(), 0, "the picture goes too");
    assert!(world.market.account_by_identifier(&Digest::of(b"a")).is_none());
    assert_eq!(sign_in(&mut world, "a", 3), None, "the address makes a new account");
    assert_eq!(world.market.find_accounts(Some("user-a"), None), Vec::<UserId>::new());
}

#[test]
fn who_leaves_takes_what_is_for_sale_along() {
    let mut world = world();
    assert_eq!(sign_in(&mut world, "m", 1), None);
    let before: Vec<_> = world.market.stories_of(user("m"));
    assert!(before.iter().any(|row| row.state == "listed"));
    assert_eq!(does(&mut world, "m", delete(1, 1, false)), None);
    assert_eq!(request_state(&world, "m", 1), "closed");
    let after = world.market.stories_of(user("m"));
    assert_eq!(after.len(), before.len());
    assert!(after.iter().all(|row| row.state == "archived"), "{after:?}");
    assert!(world.market.public_profile(user("m"), None).is_none());
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn an_erased_account_leaves_no_notice_device_or_wish_behind() {
    let mut world = world();
    assert_eq!(sign_in(&mut world, "a", 1), None);
    let at = now(&world);
    let device = AddPushDevice {
        device: PushDeviceId::from_bits(1),
        sign_in: SignInId::from_bits(1),
        platform: PushPlatform::Fcm,
        digest: Digest::of(b"token"),
        token: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
    };
    let add = Command::Notice(NoticeCommand::AddPushDevice(device));
    assert_eq!(world.direct(at, Actor::User(user("a")), add).code(), None);
    let suppress = Command::Notice(NoticeCommand::SuppressMail { user: user("a") });
    assert_eq!(world.direct(at, Actor::Cluster, suppress).code(), None);
    assert_eq!(staff(&mut world, strike("a")), None);
    let held = |world: &World| {
        let notices = world.market.notices_of(user("a")).len();
        let devices = world.market.push_devices(user("a")).len();
        (notices > 0, devices, world.market.is_mail_suppressed(user("a")))
    };
    assert_eq!(held(&world), (true, 1, true));
    assert_eq!(does(&mut world, "a", delete(1, 1, false)), None);
    assert_eq!(world.market.push_devices(user("a")).len(), 0, "with the sign-in");
    wait(&mut world, limits::ERASE_AFTER);
    assert_eq!(request_state(&world, "a", 1), "done");
    assert_eq!(held(&world), (false, 0, false));
    assert_eq!(staff(&mut world, strike("a")), None);
    assert!(!held(&world).0, "nobody is told any more");
}

#[test]
fn a_refused_command_about_people_changes_nothing() {
    let mut world = world();
    let at = now(&world);
    let refused = [
        PeopleCommand::UnlinkIdentity { provider: IdentityProvider::Apple },
        PeopleCommand::RevokeDevice { device: DeviceId::from_bits(1) },
        PeopleCommand::RemoveAddress { address: AddressId::from_bits(1) },
        PeopleCommand::SetBlock { user: user("a"), on: true },
        export(1, 1),
        delete(1, 1, true),
    ];
    for command in refused {
        let before = world.market.accounts.clone();
        let said = format!("{command:?}");
        assert!(does(&mut world, "a", command).is_some(), "{said}");
        assert_eq!(before, world.market.accounts, "{said}");
        assert_eq!(now(&world), at);
    }
}
