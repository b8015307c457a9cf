//! What an account shows of itself, whom it follows and blocks, what it agreed to.

use fairground_types::command::{PeopleCommand, SaveAddress, SealedText, SetProfile};
use fairground_types::people::{ConsentPurpose, PrivacySettings};
use fairground_types::{AddressId, Code, Digest, UserId, limits};

use super::{does, user, wait, world, world_with};
use crate::script::World;

fn sealed(body: u8) -> SealedText {
    let mark = Digest::of(&[body]);
    SealedText { key: vec![1], body: vec![body], mark, chars: 1 }
}

#[test]
fn what_is_public_of_a_profile_is_its_owners_choice() {
    let mut world = world();
    let seen = |world: &World, reader: Option<UserId>| {
        world.market.public_profile(user("m"), reader).is_some()
    };
    assert!(seen(&world, None));
    let row = world.market.public_profile(user("m"), None).expect("there");
    assert!(row.is_maker && row.follows.is_none());
    let block = PeopleCommand::SetBlock { user: user("a"), on: true };
    assert_eq!(does(&mut world, "m", block), None);
    assert!(!seen(&world, Some(user("a"))) && seen(&world, Some(user("b"))), "who blocks hides");
    let set = |public_profile, shows_follows, base_version| {
        let personalised_feed = true;
        let settings = PrivacySettings { public_profile, shows_follows, personalised_feed };
        PeopleCommand::SetPrivacy { settings, base_version }
    };
    let follow = PeopleCommand::SetFollow { user: user("b"), on: true };
    assert_eq!(does(&mut world, "m", follow), None);
    assert_eq!(does(&mut world, "m", set(true, true, 0)), None);
    let row = world.market.public_profile(user("m"), None).expect("there");
    assert_eq!(row.follows, Some(vec![user("b")]));
    assert_eq!(does(&mut world, "m", set(false, false, 1)), None);
    assert!(!seen(&world, None) && !seen(&world, Some(user("b"))));
    assert!(seen(&world, Some(user("m"))), "everybody sees themselves");
    assert!(world.market.public_profile(UserId::from_bits(9_999), None).is_none());
}

#[test]
fn profile_privacy_and_addresses_keep_their_versions_and_bounds() {
    let mut world = world();
    let profile = |base_version, sealed: SealedText| {
        PeopleCommand::SetProfile(SetProfile { base_version, sealed })
    };
    let typed = SealedText::typed("{}", 1, 100).expect("fits");
    let refused = Some(Code::ValidationFailed);
    assert_eq!(does(&mut world, "a", profile(0, typed)), refused, "not sealed");
    let huge = SealedText { chars: 2_001, ..sealed(1) };
    assert_eq!(does(&mut world, "a", profile(0, huge)), refused);
    assert_eq!(does(&mut world, "a", profile(0, sealed(1))), None);
    assert_eq!(does(&mut world, "a", profile(0, sealed(2))), Some(Code::VersionConflict));
    assert_eq!(does(&mut world, "a", profile(1, sealed(2))), None);
    let row = world.market.profile_row(user("a")).expect("there");
    assert_eq!((row.version, row.sealed), (2, Some((user("a"), sealed(2)))));
    let picture = fairground_types::BlobHash::of(b"a picture");
    for image in [Some(picture), None, Some(picture)] {
        assert_eq!(does(&mut world, "a", PeopleCommand::SetAvatar { image }), None);
        let row = world.market.profile_row(user("a")).expect("there");
        assert_eq!(row.avatar, image);
        let public = world.market.public_profile(user("a"), None).expect("shown");
        assert_eq!((public.avatar, row.version), (image, 2));
    }
    assert_eq!(world.market.avatars().collect::<Vec<_>>(), [picture]);
    let privacy = |base_version| PeopleCommand::SetPrivacy {
        settings: PrivacySettings { public_profile: false, ..PrivacySettings::default() },
        base_version,
    };
    assert_eq!(does(&mut world, "a", privacy(0)), None);
    assert_eq!(does(&mut world, "a", privacy(0)), Some(Code::VersionConflict));
    let address = |number, is_change, is_default| {
        PeopleCommand::SaveAddress(SaveAddress {
            address: AddressId::from_bits(number),
            is_change,
            sealed: sealed(1),
            is_default,
        })
    };
    assert_eq!(does(&mut world, "a", address(1, true, false)), Some(Code::NotFound));
    for number in 1..=20 {
        assert_eq!(does(&mut world, "a", address(number, false, number == 5)), None);
    }
    assert_eq!(does(&mut world, "a", address(21, false, false)), Some(Code::LimitReached));
    let defaults = |world: &World| {
        let rows = world.market.addresses_of(user("a"));
        rows.addresses
            .iter()
            .filter(|row| row.is_default)
            .map(|row| row.address_id.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(defaults(&world), [5]);
    let remove = |number| PeopleCommand::RemoveAddress { address: AddressId::from_bits(number) };
    assert_eq!(does(&mut world, "a", remove(5)), None);
    assert_eq!(does(&mut world, "a", remove(5)), Some(Code::NotFound));
    assert_eq!(defaults(&world), [1]);
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

#[test]
fn blocks_end_follows_and_both_are_bounded() {
    let mut world = world();
    let block = |letter: &str, on| PeopleCommand::SetBlock { user: user(letter), on };
    let follow = |letter: &str, on| PeopleCommand::SetFollow { user: user(letter), on };
    assert_eq!(does(&mut world, "a", follow("m", true)), None);
    assert!(world.market.follows(user("a"), user("m")));
    assert_eq!(does(&mut world, "a", follow("a", true)), Some(Code::Forbidden));
    assert_eq!(does(&mut world, "a", block("a", true)), Some(Code::Forbidden));
    assert_eq!(does(&mut world, "a", follow("z", true)), Some(Code::NotFound));
    assert_eq!(does(&mut world, "a", block("z", true)), Some(Code::NotFound));
    assert_eq!(does(&mut world, "a", block("m", true)), None);
    assert!(
        world.market.blocks(user("a"), user("m")) && !world.market.blocks(user("m"), user("a"))
    );
    assert!(!world.market.follows(user("a"), user("m")));
    assert_eq!(does(&mut world, "m", follow("a", true)), Some(Code::NotFound), "who blocks hides");
    assert_eq!(does(&mut world, "a", block("m", false)), None);
    assert_eq!(does(&mut world, "m", follow("a", true)), None);
    world.market.change_person(user("b"), |person| {
        person.blocks = (0..200_u128).map(|number| UserId::from_bits(60_000 + number)).collect();
    });
    assert_eq!(does(&mut world, "b", block("m", true)), Some(Code::LimitReached));
}

#[test]
fn trading_needs_consent_once_there_are_terms_and_asks_again_after_a_year() {
    let mut world = world_with(|policy| policy.terms_version = 2);
    let consent = |purpose, granted, policy_version| PeopleCommand::SetConsent {
        purpose,
        granted,
        policy_version,
    };
    assert!(world.market.may_trade(user("a")).is_err());
    assert_eq!(does(&mut world, "a", consent(ConsentPurpose::Terms, true, 1)), None);
    assert_eq!(does(&mut world, "a", consent(ConsentPurpose::Adult, true, 2)), None);
    let far = consent(ConsentPurpose::Terms, true, limits::TEXT_VERSION_MAX + 1);
    assert_eq!(does(&mut world, "a", far), Some(Code::ValidationFailed));
    assert!(world.market.may_trade(user("a")).is_err(), "to an old text");
    assert_eq!(does(&mut world, "a", consent(ConsentPurpose::Terms, true, 2)), None);
    assert!(world.market.may_trade(user("a")).is_ok());
    let asks = |world: &World| {
        let rows = world.market.consents_of(user("a")).consents;
        rows.iter().filter(|row| row.ask_again).count()
    };
    assert_eq!(asks(&world), 2, "two purposes were never asked for");
    wait(&mut world, limits::CONSENT_LIFE);
    assert_eq!(asks(&world), 4);
    assert!(world.market.may_trade(user("a")).is_err());
    assert_eq!(does(&mut world, "a", consent(ConsentPurpose::Adult, false, 2)), None);
}
