//! Ways into an account: providers, recovery, codes, devices.

use fairground_types::command::{
    AccountCommand, Actor, AddPushDevice, Channel, Command, NoticeCommand, PeopleCommand,
    PushPlatform, RedeemRecovery, RegisterDevice, RequestCode, RequestRecovery, SealedContact,
    SignInSocial, VerifyCode,
};
use fairground_types::people::{DevicePlatform, DeviceSignals, Identity, IdentityProvider};
use fairground_types::{
    Capability, ChallengeId, Code, DeviceId, Digest, Millis, NoticeKind, PushDeviceId, SignInId,
    UserId, limits,
};

use super::{ask, does, nobody, now, sign_in, user, wait, world, world_with};
use crate::script::World;

fn social(provider: IdentityProvider, subject: &str, address: &str, number: u128) -> PeopleCommand {
    PeopleCommand::SignInSocial(SignInSocial {
        identity: Identity { provider, subject: Digest::of(subject.as_bytes()) },
        identifier: Digest::of(address.as_bytes()),
        contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
        new_user: UserId::from_bits(7_000 + number),
        sign_in: SignInId::from_bits(number),
        refresh: Digest::of(&number.to_le_bytes()),
    })
}

#[test]
fn a_provider_makes_an_account_once_and_never_merges() {
    let mut world = world();
    let (google, apple) = (IdentityProvider::Google, IdentityProvider::Apple);
    assert_eq!(nobody(&mut world, social(google, "g-1", "new@x.example", 1)), None);
    let made = UserId::from_bits(7_001);
    assert!(world.market.account(made).is_some());
    assert_eq!(nobody(&mut world, social(google, "g-1", "new@x.example", 2)), None);
    assert!(world.market.account(UserId::from_bits(7_002)).is_none(), "the same account");
    let before = world.market.clone();
    let other = nobody(&mut world, social(apple, "a-1", "new@x.example", 3));
    assert_eq!(other, Some(Code::LinkRequired));
    assert_eq!(before.accounts, world.market.accounts, "a failed exchange leaves no row");
    let at = now(&world);
    let link = |subject: &str, address: &str| PeopleCommand::LinkIdentity {
        identity: Identity { provider: apple, subject: Digest::of(subject.as_bytes()) },
        identifier: Digest::of(address.as_bytes()),
    };
    let act = |world: &mut World, command| {
        world.direct(at, Actor::User(made), Command::People(command)).code()
    };
    assert_eq!(act(&mut world, link("a-1", "other@x.example")), Some(Code::Forbidden));
    let unlink = |provider| PeopleCommand::UnlinkIdentity { provider };
    assert_eq!(act(&mut world, unlink(google)), Some(Code::LastIdentity));
    assert_eq!(act(&mut world, unlink(apple)), Some(Code::NotFound));
    assert_eq!(act(&mut world, link("a-1", "new@x.example")), None);
    assert_eq!(act(&mut world, link("a-1", "new@x.example")), None, "linked already");
    assert_eq!(act(&mut world, link("a-2", "new@x.example")), Some(Code::InvalidState));
    assert_eq!(nobody(&mut world, social(apple, "a-1", "new@x.example", 4)), None);
    assert_eq!(act(&mut world, unlink(google)), None);
    assert_eq!(act(&mut world, unlink(apple)), Some(Code::LastIdentity));
    assert_eq!(does(&mut world, "b", link("a-1", "b")), Some(Code::InvalidState), "another's");
    assert_eq!(
        nobody(&mut world, social(google, "g-9", "y@x.example", 4)),
        Some(Code::InvalidState)
    );
    let mut silent = social(apple, "a-9", "z@x.example", 5);
    if let PeopleCommand::SignInSocial(social) = &mut silent {
        social.contact.sealed.clear();
    }
    let refused = nobody(&mut world, silent);
    assert_eq!(refused, Some(Code::SocialTokenInvalid), "an account needs an address");
}

fn recovery(number: u128, letter: &str) -> PeopleCommand {
    PeopleCommand::RequestRecovery(RequestRecovery {
        recovery: ChallengeId::from_bits(number),
        identifier: Digest::of(letter.as_bytes()),
        secret: Digest::of(b"secret"),
        origin: None,
    })
}

fn redeem(number: u128, secret: &[u8], sign_in: u128) -> PeopleCommand {
    PeopleCommand::RedeemRecovery(RedeemRecovery {
        recovery: ChallengeId::from_bits(number),
        secret: Digest::of(secret),
        sign_in: SignInId::from_bits(sign_in),
        refresh: Digest::of(b"r"),
    })
}

#[test]
fn a_way_back_counts_once_in_time_and_ends_every_sign_in() {
    let mut world = world();
    assert_eq!(sign_in(&mut world, "a", 1), None);
    assert_eq!(nobody(&mut world, recovery(50, "a")), None);
    assert_eq!(nobody(&mut world, recovery(51, "nobody@x.example")), None, "the same answer");
    assert_eq!(nobody(&mut world, redeem(51, b"secret", 9)), Some(Code::TokenExpired));
    assert_eq!(nobody(&mut world, redeem(50, b"secret", 1)), Some(Code::InvalidState));
    assert_eq!(nobody(&mut world, redeem(50, b"secret", 2)), None);
    assert!(world.market.view().is_revoked(SignInId::from_bits(1)));
    assert!(world.market.sign_in(SignInId::from_bits(2)).is_some());
    assert_eq!(nobody(&mut world, redeem(50, b"secret", 3)), Some(Code::TokenExpired), "once");
    assert_eq!(nobody(&mut world, recovery(52, "a")), None);
    let deny = PeopleCommand::DenyRecovery {
        recovery: ChallengeId::from_bits(52),
        secret: Digest::of(b"secret"),
    };
    assert_eq!(nobody(&mut world, deny), None);
    assert_eq!(nobody(&mut world, redeem(52, b"secret", 4)), Some(Code::TokenExpired), "not me");
    wait(&mut world, limits::CODE_LIFE);
    assert_eq!(nobody(&mut world, recovery(53, "a")), None);
    wait(&mut world, limits::RECOVERY_LIFE);
    assert_eq!(nobody(&mut world, redeem(53, b"secret", 5)), Some(Code::TokenExpired), "over");
}

#[test]
fn guessing_at_a_way_back_locks_the_account_for_half_an_hour() {
    let mut world = world();
    assert_eq!(nobody(&mut world, recovery(50, "a")), None);
    for _ in 0..limits::RECOVERY_TRIES_MAX {
        assert_eq!(nobody(&mut world, redeem(50, b"guess", 2)), Some(Code::TokenExpired));
    }
    assert_eq!(nobody(&mut world, redeem(50, b"secret", 2)), Some(Code::TokenExpired));
    assert_eq!(sign_in(&mut world, "a", 3), Some(Code::AccountLocked));
    assert!(world.is_told(user("a"), NoticeKind::AccountLocked));
    wait(&mut world, limits::THEFT_LOCK);
    assert_eq!(sign_in(&mut world, "a", 4), None);
}

#[test]
fn codes_are_limited_per_network_address_over_all_identifiers() {
    let mut world = world();
    let at = now(&world);
    let mut ask_from = |number: u128| {
        let request = RequestCode {
            challenge: ChallengeId::from_bits(number),
            identifier: Digest::of(&number.to_le_bytes()),
            contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
            channel: Channel::Email,
            code: Digest::of(b"c"),
            origin: Some(Digest::of(b"192.0.2.1")),
        };
        let command = Command::Account(AccountCommand::RequestCode(request));
        world.direct(at, Actor::Anonymous, command).code()
    };
    for number in 1..=20 {
        assert_eq!(ask_from(number), None);
    }
    assert_eq!(ask_from(21), Some(Code::RateLimited));
}

#[test]
fn a_thousand_guesses_come_to_nothing() {
    let mut world = world();
    let identifier = Digest::of(b"victim@x.example");
    let mut hits = 0;
    for guess in 0..1_000_u128 {
        let at = now(&world).plus(Millis::from_secs(30));
        let request = RequestCode {
            challenge: ChallengeId::from_bits(10_000 + guess),
            identifier,
            contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
            channel: Channel::Email,
            code: Digest::of(b"right"),
            origin: None,
        };
        let command = Command::Account(AccountCommand::RequestCode(request));
        world.direct(at, Actor::Anonymous, command);
        let verify = VerifyCode {
            identifier,
            code: Digest::of(&guess.to_le_bytes()),
            new_user: UserId::from_bits(9_000),
            sign_in: SignInId::from_bits(20_000 + guess),
            refresh: Digest::of(b"r"),
        };
        let command = Command::Account(AccountCommand::VerifyCode(verify));
        match world.direct(at, Actor::Anonymous, command).code() {
            Some(Code::OtpInvalid) => hits += 1,
            Some(Code::AccountLocked | Code::OtpExpired) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(hits <= 20, "{hits} guesses were looked at");
}

fn device(number: u128, sign_in: u128, signals: DeviceSignals) -> PeopleCommand {
    PeopleCommand::RegisterDevice(RegisterDevice {
        device: DeviceId::from_bits(number),
        sign_in: SignInId::from_bits(sign_in),
        platform: DevicePlatform::Ios,
        signals,
    })
}

#[test]
fn a_revoked_device_ends_its_sign_ins_and_comes_back_no_more() {
    let mut world = world_with(|policy| policy.device_trust_min = 6_000);
    assert_eq!(sign_in(&mut world, "a", 1), None);
    assert_eq!(sign_in(&mut world, "a", 2), None);
    let safe = DeviceSignals::default();
    assert_eq!(does(&mut world, "b", device(1, 1, safe)), Some(Code::NotFound), "not theirs");
    let rooted = DeviceSignals { rooted: true, ..safe };
    assert_eq!(does(&mut world, "a", device(1, 1, rooted)), None);
    let asked = does(&mut world, "a", ask(Capability::Publish, 1));
    assert_eq!(asked, Some(Code::NotEligible), "not trusted enough");
    assert_eq!(does(&mut world, "a", device(2, 2, safe)), None);
    assert!(world.is_told(user("a"), NoticeKind::NewDevice));
    assert_eq!(does(&mut world, "a", ask(Capability::Publish, 1)), None);
    let revoke = |number| PeopleCommand::RevokeDevice { device: DeviceId::from_bits(number) };
    assert_eq!(does(&mut world, "a", revoke(9)), Some(Code::NotFound));
    assert_eq!(does(&mut world, "a", revoke(1)), None);
    assert!(world.market.sign_in(SignInId::from_bits(1)).is_none());
    assert!(world.market.sign_in(SignInId::from_bits(2)).is_some());
    assert_eq!(does(&mut world, "a", device(1, 2, safe)), Some(Code::InvalidState));
    let devices = world.market.devices_of(user("a")).devices;
    assert!(devices.iter().any(|row| row.revoked_at.is_some() && !row.takes_push));
}

#[test]
fn a_phone_is_told_nothing_after_its_sign_in() {
    let mut world = world();
    assert_eq!(sign_in(&mut world, "a", 1), None);
    assert_eq!(sign_in(&mut world, "a", 2), None);
    for number in [1_u128, 2] {
        let at = now(&world);
        let add = AddPushDevice {
            device: PushDeviceId::from_bits(number),
            sign_in: SignInId::from_bits(number),
            platform: PushPlatform::Apns,
            digest: Digest::of(&number.to_le_bytes()),
            token: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
        };
        let add = Command::Notice(NoticeCommand::AddPushDevice(add));
        assert_eq!(world.direct(at, Actor::User(user("a")), add).code(), None);
    }
    assert_eq!(does(&mut world, "a", device(1, 1, DeviceSignals::default())), None);
    let takes_push = |world: &World| {
        let rows = world.market.devices_of(user("a")).devices;
        rows.iter().any(|row| row.takes_push)
    };
    assert!(takes_push(&world));
    let revoke = PeopleCommand::RevokeDevice { device: DeviceId::from_bits(1) };
    assert_eq!(does(&mut world, "a", revoke), None);
    assert!(!takes_push(&world));
    let left: Vec<_> =
        world.market.push_devices(user("a")).iter().map(|row| row.device.to_bits()).collect();
    assert_eq!(left, [2]);
    assert_eq!(does(&mut world, "a", PeopleCommand::SignOutEverywhere), None);
    assert!(world.market.push_devices(user("a")).is_empty());
    assert_eq!(world.market.violations(), Vec::<String>::new());
}
