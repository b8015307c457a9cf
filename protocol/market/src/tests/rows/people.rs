//! Accounts, ways in, capabilities, notices and requests, as their owners and staff see them.

use std::collections::BTreeMap;

use fairground_types::command::{
    AccountCommand, Actor, Channel, Command, Invite, MarketPolicy, PeopleCommand, RefreshSignIn,
    RegisterDevice, RequestCode, SealedContact, SignInSocial, StaffCommand, VerifyCode,
};
use fairground_types::people::{
    DataRequestKind, DevicePlatform, DeviceSignals, Identity, IdentityProvider,
};
use fairground_types::text::{Handle, Note};
use fairground_types::{
    Accepted, Capability, ChallengeId, Code, DataRequestId, DeviceId, Digest, InvitationId, Millis,
    NoticeKind, Role, SaleLockId, SignInId, StrikeAbout, StrikeKind, TaskId, UserId, Verdict,
    limits,
};

use super::{goes_on, plays, user};
use crate::apply::Turn;
use crate::script::World;

fn world() -> World {
    World::new(MarketPolicy::default(), &["e1"]).expect("the set-up is accepted")
}

fn gives(world: &mut World, actor: Actor, command: Command) -> Verdict {
    let at = world.market.last_at();
    world.direct(at, actor, command)
}

pub(super) fn does(world: &mut World, letter: &str, command: PeopleCommand) -> Option<Code> {
    gives(world, Actor::User(user(letter)), Command::People(command)).code()
}

pub(super) fn staff(world: &mut World, command: StaffCommand) -> Option<Code> {
    gives(world, Actor::Cluster, Command::People(PeopleCommand::Staff(command))).code()
}

fn reason() -> Note {
    Note::parse("as the rules say").expect("a note")
}

pub(super) fn id(number: u128) -> SignInId {
    SignInId::from_bits(number)
}

/// A code to the address of somebody, and the sign-in that it makes.
pub(super) fn signs_in(world: &mut World, letter: &str, number: u128) -> Option<Code> {
    let identifier = Digest::of(letter.as_bytes());
    let request = RequestCode {
        challenge: ChallengeId::from_bits(number),
        identifier,
        contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
        channel: Channel::Email,
        code: Digest::of(b"right"),
        origin: None,
    };
    let asked =
        gives(world, Actor::Anonymous, Command::Account(AccountCommand::RequestCode(request)));
    assert_eq!(asked.code(), None);
    let verify = VerifyCode {
        identifier,
        code: Digest::of(b"right"),
        new_user: UserId::from_bits(5_000 + number),
        sign_in: id(number),
        refresh: Digest::of(&number.to_le_bytes()),
    };
    gives(world, Actor::Anonymous, Command::Account(AccountCommand::VerifyCode(verify))).code()
}

/// One more sign-in by a provider's word, which is not limited by codes.
pub(super) fn comes_back(world: &mut World, subject: &str, number: u128) -> Option<Code> {
    let social = PeopleCommand::SignInSocial(SignInSocial {
        identity: Identity {
            provider: IdentityProvider::Google,
            subject: Digest::of(subject.as_bytes()),
        },
        identifier: Digest::of(subject.as_bytes()),
        contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
        new_user: UserId::from_bits(7_000),
        sign_in: id(number),
        refresh: Digest::of(&number.to_le_bytes()),
    });
    gives(world, Actor::Anonymous, Command::People(social)).code()
}

pub(super) fn device(number: u128, sign_in: u128) -> PeopleCommand {
    PeopleCommand::RegisterDevice(RegisterDevice {
        device: DeviceId::from_bits(number),
        sign_in: id(sign_in),
        platform: DevicePlatform::Web,
        signals: DeviceSignals::default(),
    })
}

#[test]
fn an_account_lists_its_own_sign_ins_and_marks_the_one_that_asks() {
    let mut world = world();
    assert_eq!(signs_in(&mut world, "a", 1), None);
    assert_eq!(signs_in(&mut world, "a", 2), None);
    assert_eq!(signs_in(&mut world, "b", 3), None);
    assert_eq!(does(&mut world, "a", device(8, 2)), None);
    let rows = world.market.sign_ins_of(user("a"), id(2)).sessions;
    let shown: Vec<(SignInId, bool, bool)> =
        rows.iter().map(|row| (row.sign_in_id, row.is_current, row.device_id.is_some())).collect();
    assert_eq!(shown, [(id(1), false, false), (id(2), true, true)]);
    assert!(rows.iter().all(|row| row.expires_at > row.created_at));
    let sign_out = Command::Account(AccountCommand::SignOut { sign_in: id(3) });
    assert!(gives(&mut world, Actor::User(user("a")), sign_out.clone()).is_accepted());
    assert_eq!(world.market.sign_ins_of(user("b"), id(3)).sessions.len(), 1, "another's stays");
    assert!(gives(&mut world, Actor::User(user("b")), sign_out).is_accepted());
    assert!(world.market.sign_ins_of(user("b"), id(3)).sessions.is_empty());
    assert!(world.market.sign_ins_of(UserId::from_bits(1), id(1)).sessions.is_empty());
    let force = StaffCommand::ForceSignOut { user: user("a"), reason: reason() };
    assert_eq!(staff(&mut world, force), None);
    assert!(world.market.sign_ins_of(user("a"), id(2)).sessions.is_empty());
    assert!(world.is_told(user("a"), NoticeKind::SignInsRevoked));
}

#[test]
fn one_sign_in_too_many_ends_the_one_that_was_unused_the_longest() {
    let mut world = world();
    let most = limits::SIGN_INS_PER_USER_MAX as u128;
    for number in 1..=most {
        assert_eq!(comes_back(&mut world, "g-1", number), None);
        world.keep_time(world.market.last_at().plus(Millis::from_secs(2)));
    }
    let made = UserId::from_bits(7_000);
    let refresh = RefreshSignIn {
        sign_in: id(1),
        presented: Digest::of(&1_u128.to_le_bytes()),
        next: Digest::of(b"next"),
    };
    let at = world.market.last_at().plus(Millis::from_secs(1));
    let used = Command::Account(AccountCommand::RefreshSignIn(refresh));
    assert!(world.direct(at, Actor::Anonymous, used).is_accepted());
    assert_eq!(comes_back(&mut world, "g-1", most + 1), None);
    let left = world.market.sign_ins_of(made, id(1)).sessions;
    assert_eq!(left.len(), limits::SIGN_INS_PER_USER_MAX);
    let ids: Vec<SignInId> = left.iter().map(|row| row.sign_in_id).collect();
    assert!(ids.contains(&id(1)), "it was used since");
    assert!(!ids.contains(&id(2)) && world.market.view().is_revoked(id(2)));
}

#[test]
fn one_device_too_many_forgets_a_revoked_one_first() {
    let mut world = world();
    assert_eq!(signs_in(&mut world, "a", 1), None);
    for number in 1..=limits::DEVICES_PER_USER_MAX as u128 {
        assert_eq!(does(&mut world, "a", device(number, 1)), None);
    }
    let revoke = PeopleCommand::RevokeDevice { device: DeviceId::from_bits(5) };
    assert_eq!(does(&mut world, "a", revoke), None);
    assert_eq!(does(&mut world, "a", device(100, 1)), None);
    let known = |world: &World| -> Vec<u128> {
        let rows = world.market.devices_of(user("a")).devices;
        rows.iter().map(|row| row.device_id.to_bits()).collect()
    };
    assert_eq!(known(&world).len(), limits::DEVICES_PER_USER_MAX);
    assert!(!known(&world).contains(&5) && known(&world).contains(&100));
    assert_eq!(does(&mut world, "a", device(101, 1)), None);
    assert!(!known(&world).contains(&1), "then the one not seen for longest");
    assert!(world.market.devices_of(user("b")).devices.is_empty());
}

#[test]
fn a_code_that_waits_is_known_until_it_ends_and_its_gate_with_it() {
    let mut world = world();
    let challenge = ChallengeId::from_bits(1);
    let request = RequestCode {
        challenge,
        identifier: Digest::of(b"new@x.example"),
        contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
        channel: Channel::Sms,
        code: Digest::of(b"right"),
        origin: Some(Digest::of(b"192.0.2.1")),
    };
    let ask = Command::Account(AccountCommand::RequestCode(request));
    assert!(gives(&mut world, Actor::Anonymous, ask.clone()).is_accepted());
    let waits = world.market.challenge(challenge).expect("it waits");
    assert_eq!(
        (waits.channel, waits.expires_at),
        (Channel::Sms, world.market.last_at().plus(limits::CODE_LIFE))
    );
    assert_eq!(
        gives(&mut world, Actor::Anonymous, ask).code(),
        Some(Code::InvalidState),
        "its id is taken"
    );
    assert!(world.market.challenge(ChallengeId::from_bits(2)).is_none());
    let goes = |world: &mut World, span: Millis| {
        let until = world.market.last_at().plus(span);
        world.keep_time(until.plus(Millis::new(1)));
    };
    goes(&mut world, limits::CODE_LIFE);
    assert!(world.market.challenge(challenge).is_none());
    goes(&mut world, Millis::from_hours(1));
    assert!(world.market.accounts.origins.is_empty(), "the network is forgotten after an hour");
    goes(&mut world, Millis::from_hours(24));
    assert!(world.market.accounts.gates.is_empty(), "and who asked after a day");
}

#[test]
fn a_name_is_one_accounts_and_finds_it_in_any_case() {
    let mut world = world();
    let name = |text: &str| {
        let handle = Handle::parse(text).expect("a name");
        Command::Account(AccountCommand::SetHandle { handle })
    };
    let taken = gives(&mut world, Actor::User(user("a")), name("USER-b"));
    assert_eq!(taken.code(), Some(Code::HandleTaken));
    assert!(gives(&mut world, Actor::User(user("a")), name("Potter")).is_accepted());
    assert!(gives(&mut world, Actor::User(user("m")), name("Turner")).is_accepted());
    let me = world.market.me(user("a")).expect("there");
    assert_eq!((me.handle.as_ref().map(Handle::as_str), me.roles), (Some("Potter"), vec![]));
    let seen = world.market.view().story(fairground_types::StoryId::from_bits(1)).expect("listed");
    assert_eq!(
        seen.maker_handle.as_ref().map(Handle::as_str),
        Some("Turner"),
        "everybody sees a maker's"
    );
    let market = &world.market;
    assert_eq!(market.find_accounts(Some("POT"), None), [user("a")]);
    assert_eq!(
        market.find_accounts(Some("user-a"), None),
        Vec::<UserId>::new(),
        "the old name is free"
    );
    let address = Digest::of(b"b");
    assert_eq!(market.find_accounts(Some("ignored"), Some(&address)), [user("b")]);
    assert_eq!(market.find_accounts(None, Some(&Digest::of(b"nobody"))), Vec::<UserId>::new());
    assert_eq!(market.find_accounts(None, None).len(), 10);
    assert_eq!(
        (market.me(UserId::from_bits(1)), market.account_row(UserId::from_bits(1))),
        (None, None)
    );
}

#[test]
fn whom_somebody_follows_and_blocks_is_listed_for_them() {
    let mut world = world();
    for (letter, command) in [
        ("a", PeopleCommand::SetFollow { user: user("m"), on: true }),
        ("a", PeopleCommand::SetFollow { user: user("n"), on: true }),
        ("a", PeopleCommand::SetBlock { user: user("b"), on: true }),
        ("a", PeopleCommand::SetFollow { user: user("n"), on: false }),
    ] {
        assert_eq!(does(&mut world, letter, command), None);
    }
    assert_eq!(world.market.followed_by(user("a")).users, [user("m")]);
    assert_eq!(world.market.blocked_by(user("a")).users, [user("b")]);
    assert!(world.market.blocked_by(user("b")).users.is_empty(), "who is blocked is not told");
    assert!(world.market.followed_by(UserId::from_bits(1)).users.is_empty());
    assert_eq!(world.market.privacy_of(user("a")).expect("there").version, 0, "nothing was set");
    assert_eq!(world.market.privacy_of(UserId::from_bits(1)), None);
}

#[test]
fn ways_in_are_listed_and_an_address_is_proven_by_its_code() {
    let mut world = world();
    let before = world.market.identities_of(user("a"));
    assert!(before.providers.is_empty() && !before.address_proven);
    assert_eq!(signs_in(&mut world, "a", 1), None);
    let link = PeopleCommand::LinkIdentity {
        identity: Identity { provider: IdentityProvider::Apple, subject: Digest::of(b"s") },
        identifier: Digest::of(b"a"),
    };
    assert_eq!(does(&mut world, "a", link), None);
    let after = world.market.identities_of(user("a"));
    assert_eq!((after.providers, after.address_proven), (vec![IdentityProvider::Apple], true));
    assert!(!world.market.identities_of(UserId::from_bits(1)).address_proven);
}

#[test]
fn capabilities_are_listed_with_what_each_waits_for() {
    let checked_capabilities = vec![Capability::CollectPayments];
    let policy = MarketPolicy { checked_capabilities, ..MarketPolicy::default() };
    let mut world = World::new(policy, &["e1"]).expect("the set-up is accepted");
    let states = |world: &World, letter: &str| -> BTreeMap<Capability, (&'static str, bool)> {
        let rows = world.market.capabilities_of(user(letter)).capabilities;
        rows.into_iter().map(|row| (row.capability, (row.state, row.since.is_some()))).collect()
    };
    assert!(states(&world, "a").values().all(|state| *state == ("inactive", false)));
    assert_eq!(states(&world, "a").len(), Capability::ALL.len());
    assert!(states(&world, "m").values().all(|state| *state == ("approved", true)));
    let ask = |capability, task| PeopleCommand::RequestCapability {
        capability,
        task: TaskId::from_bits(task),
    };
    assert_eq!(does(&mut world, "a", ask(Capability::CollectPayments, 7)), None);
    let rows = world.market.capabilities_of(user("a")).capabilities;
    let asked =
        rows.iter().find(|row| row.capability == Capability::CollectPayments).expect("listed");
    assert_eq!((asked.state, asked.task_id), ("requested", Some(TaskId::from_bits(7))));
    let task = world.market.task_row(user("a"), TaskId::from_bits(7)).expect("theirs");
    assert_eq!((task.capability, task.state), (Capability::CollectPayments, "requested"));
    assert_eq!(world.market.task_row(user("b"), TaskId::from_bits(7)), None, "nobody else's");
    let become_maker = Command::Account(AccountCommand::BecomeMaker);
    assert!(gives(&mut world, Actor::User(user("b")), become_maker).is_accepted());
    let b = states(&world, "b");
    assert_eq!(b[&Capability::Publish].0, "approved");
    assert_eq!(b[&Capability::CollectPayments].0, "inactive", "that one is checked");
}

#[test]
fn strikes_pause_what_they_are_about_and_a_lifted_one_ends_the_pause() {
    let mut world = world();
    let mut turn = Turn::for_tests(world.market.last_at());
    let lock = |number| StrikeAbout::Lock(SaleLockId::from_bits(number));
    for number in [1, 2, 2] {
        world.market.add_strike(&mut turn, user("a"), StrikeKind::NonPayment, lock(number));
    }
    let row = world.market.account_row(user("a")).expect("there");
    assert_eq!(row.strikes.len(), 2, "one thing gives one strike");
    let paused = world.market.capabilities_of(user("a"));
    let pause = world.market.policy().strikes.bid_pause;
    assert_eq!(paused.bidding_paused_until, Some(world.market.last_at().plus(pause)));
    assert_eq!(paused.publishing_paused_until, None);
    let lift = StaffCommand::LiftStrike {
        user: user("a"),
        strike: row.strikes[0].strike_id,
        reason: reason(),
    };
    assert_eq!(staff(&mut world, lift), None);
    assert_eq!(world.market.capabilities_of(user("a")).bidding_paused_until, None);
    // Shipping late does not pause: somebody looks at it, once.
    for number in 1..=3 {
        let before =
            world.market.capability(user("m"), Capability::FulfillOrders).map(|state| state.name());
        assert_eq!(before, Some("approved"));
        world.market.add_strike(&mut turn, user("m"), StrikeKind::ShipSla, lock(number));
    }
    let rows = world.market.account_row(user("m")).expect("there").capabilities;
    let fulfil =
        rows.iter().find(|row| row.capability == Capability::FulfillOrders).expect("listed");
    assert_eq!((fulfil.state, fulfil.blockers[0].code.as_str()), ("reviewRequired", "ship-sla"));
    assert!(world.market.strikes_of(user("m")).iter().all(|row| row.kind == StrikeKind::ShipSla));
    assert!(world.market.strikes_of(UserId::from_bits(1)).is_empty());
}

#[test]
fn staff_sees_of_an_account_where_it_stands() {
    let mut world = world();
    assert_eq!(signs_in(&mut world, "m", 1), None);
    let suspend = StaffCommand::Suspend { user: user("a"), reason: reason() };
    let before = world.market.account_row(user("m")).expect("there");
    assert_eq!((before.standing, before.sign_ins, before.mail_suppressed), ("active", 1, false));
    assert_eq!((before.roles, before.handle.is_some()), (vec![Role::Maker], true));
    assert_eq!(staff(&mut world, suspend), None);
    assert_eq!(world.market.account_row(user("a")).expect("there").standing, "suspended");
    let delete = |number, sign_in| PeopleCommand::RequestDeletion {
        request: DataRequestId::from_bits(number),
        sign_in: id(sign_in),
        waits: false,
    };
    assert_eq!(does(&mut world, "m", delete(1, 1)), None);
    assert_eq!(world.market.account_row(user("m")).expect("there").standing, "closed");
    let until = world.market.last_at().plus(limits::ERASE_AFTER);
    world.keep_time(until.plus(Millis::new(1)));
    let gone = world.market.account_row(user("m")).expect("the pseudonym stays");
    assert_eq!((gone.standing, gone.roles, gone.sign_ins), ("erased", vec![], 0));
    let seen = world.market.view().handles.get(&user("m")).expect("a former maker");
    assert!(seen.as_str().starts_with("former-"), "the public sees no name any more");
}

#[test]
fn a_data_request_says_what_it_waits_for_to_its_owner_alone() {
    let mut world = plays(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        13:00:00  tick marks 13:00:00        -> A locked to a at 100.00 (AutoAtClose)
        13:01:00  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
        13:02:00  offer S2 b EUR 100.00 opens B -> opened B; B closes 14:02:00",
    );
    assert_eq!(world.market.obligations(user("a")), ["an order is not completed"]);
    let of_maker = world.market.obligations(user("m"));
    assert_eq!(
        of_maker,
        [
            "the account sells or bids in an open auction",
            "an order is not completed",
            "a payout has not been made",
        ]
    );
    assert_eq!(
        world.market.obligations(user("b")),
        ["the account sells or bids in an open auction"]
    );
    goes_on(
        &mut world,
        "13:03:00 accept B m EUR 100.00 -> done; B locked to b at 100.00 (MakerAccepted)",
    );
    assert_eq!(world.market.obligations(user("b")), ["a piece is reserved for the account"]);
    assert_eq!(
        world.market.obligations(user("m"))[0],
        "a piece of the account waits for its payment"
    );
    assert!(world.market.obligations(user("c")).is_empty());
    assert_eq!(signs_in(&mut world, "a", 1), None);
    let (export, delete) = (DataRequestId::from_bits(1), DataRequestId::from_bits(2));
    let ask = PeopleCommand::RequestExport { request: export, sign_in: id(1) };
    assert_eq!(does(&mut world, "a", ask), None);
    let ask = PeopleCommand::RequestDeletion { request: delete, sign_in: id(1), waits: true };
    assert_eq!(does(&mut world, "a", ask), None);
    let row =
        |world: &World, request| world.market.data_request(user("a"), request).expect("theirs");
    let copy = row(&world, export);
    assert_eq!((copy.kind, copy.state), (DataRequestKind::Export, "ready"));
    assert_eq!(copy.until, Some(world.market.last_at().plus(limits::EXPORT_LIFE)));
    assert_eq!(copy.due_at, copy.asked_at.plus(limits::DATA_REQUEST_DUE));
    let waits = row(&world, delete);
    assert_eq!((waits.kind, waits.state), (DataRequestKind::Delete, "waiting"));
    assert_eq!(
        (waits.waits_for, waits.erased_at),
        (vec!["an order is not completed".to_owned()], None)
    );
    assert_eq!(world.market.data_request(user("b"), delete), None);
    goes_on(
        &mut world,
        "14:00:00  ship A m TRACK-0001        -> done
        14:00:01  confirm A a                -> done
        14:00:02  confirm A a                -> done
        1d14:00:03 tick                      -> B awaits until 2d13:03:00",
    );
    let closed = row(&world, delete);
    assert_eq!((closed.state, closed.waits_for.len()), ("closed", 0));
    assert!(closed.erased_at.is_some_and(|at| at > world.market.last_at()));
}

#[test]
fn of_many_data_requests_the_oldest_are_forgotten() {
    let mut world = world();
    let most = limits::DATA_REQUESTS_MAX as u128;
    for number in 1..=most + 1 {
        if number % 3 == 1 {
            // Codes are limited; a day on, a new one is asked for.
            world.keep_time(world.market.last_at().plus(Millis::from_hours(25)));
            assert_eq!(signs_in(&mut world, "a", number), None);
        }
        let request = DataRequestId::from_bits(number);
        let ask = PeopleCommand::RequestExport { request, sign_in: id(number - (number - 1) % 3) };
        assert_eq!(does(&mut world, "a", ask), None);
    }
    let known =
        |number| world.market.data_request(user("a"), DataRequestId::from_bits(number)).is_some();
    assert!(!known(1) && known(2) && known(most + 1));
}

#[test]
fn invitations_are_listed_newest_first_with_who_took_them() {
    let mut world = world();
    let code = |number: u128| Digest::of(&number.to_le_bytes());
    let invite = |number, letter: &str| {
        StaffCommand::Invite(Invite {
            invitation: InvitationId::from_bits(number),
            code: code(number),
            recipient: Digest::of(letter.as_bytes()),
            roles: vec![Role::Maker],
            life: Millis::from_hours(24),
            reason: reason(),
        })
    };
    assert!(world.market.invitations().invitations.is_empty());
    for (number, letter) in [(1, "a"), (2, "b"), (3, "c")] {
        world.keep_time(world.market.last_at().plus(Millis::from_secs(2)));
        assert_eq!(staff(&mut world, invite(number, letter)), None);
    }
    assert_eq!(does(&mut world, "a", PeopleCommand::ClaimInvitation { code: code(1) }), None);
    let revoke =
        StaffCommand::RevokeInvitation { invitation: InvitationId::from_bits(2), reason: reason() };
    assert_eq!(staff(&mut world, revoke), None);
    let rows = world.market.invitations().invitations;
    let shown: Vec<(u128, &str, Option<UserId>)> =
        rows.iter().map(|row| (row.invitation_id.to_bits(), row.state, row.claimed_by)).collect();
    assert_eq!(shown, [(3, "open", None), (2, "revoked", None), (1, "claimed", Some(user("a")))]);
    assert!(rows.iter().all(|row| row.roles == [Role::Maker] && row.expires_at > row.made_at));
}

#[test]
fn notices_wishes_and_phones_are_their_readers_own() {
    let mut world = plays(
        "policy initial 1h
        11:59:00  device a phone t1          -> done
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00         -> placed
        12:02:00  prefer a 0 no sms          -> done",
    );
    let list = world.market.notice_list(user("a"));
    let outbid = &list.notices[0];
    assert_eq!((outbid.kind, outbid.critical, list.unread), (NoticeKind::Outbid, false, 1));
    assert!(!outbid.subject.contains("{title}") && !outbid.body.contains("{title}"));
    assert!(outbid.auction_id.is_some() && outbid.read_at.is_none());
    let wishes = world.market.preference_row(user("a"));
    assert_eq!((wishes.version, wishes.preferences.sms), (1, false));
    let unset = world.market.preference_row(user("b"));
    assert_eq!((unset.version, unset.preferences.sms), (0, true));
    assert_eq!(world.market.push_device_list(user("a")).devices.len(), 1);
    assert!(world.market.push_device_list(user("b")).devices.is_empty());
    goes_on(&mut world, "12:03:00 read-all a -> done");
    let read = world.market.notice_list(user("a"));
    assert!(read.unread == 0 && read.notices.iter().all(|row| row.read_at.is_some()));
    let nobody = world.market.notice_list(UserId::from_bits(1));
    assert_eq!((nobody.notices.len(), nobody.unread), (0, 0));
}

#[test]
fn who_signs_in_again_is_told_so_and_gets_no_second_account() {
    let mut world = world();
    let identifier = Digest::of(b"a");
    let before = world.market.find_accounts(None, None).len();
    assert_eq!(signs_in(&mut world, "a", 1), None);
    assert_eq!(world.market.find_accounts(None, None).len(), before);
    assert_eq!(world.market.account_by_identifier(&identifier).expect("known").user(), user("a"));
    let refresh = |sign_in, presented: &[u8]| {
        let presented = Digest::of(presented);
        let refresh = RefreshSignIn { sign_in, presented, next: Digest::of(b"next") };
        Command::Account(AccountCommand::RefreshSignIn(refresh))
    };
    let first = 1_u128.to_le_bytes();
    let unknown = gives(&mut world, Actor::Anonymous, refresh(id(9), &first));
    assert_eq!(unknown.code(), Some(Code::SessionRevoked));
    let guess = gives(&mut world, Actor::Anonymous, refresh(id(1), b"guess"));
    assert_eq!(guess.code(), Some(Code::TokenExpired));
    let Verdict::Accepted(Accepted::SignedIn { user: who, created, .. }) =
        gives(&mut world, Actor::Anonymous, refresh(id(1), &first))
    else {
        panic!("the token is right");
    };
    assert_eq!((who, created), (user("a"), false));
}
