//! People: every transition and refusal of standing, capabilities, ways in, invitations and erasure.

use fairground_types::command::{
    AccountCommand, Actor, AddPushDevice, AuctionCommand, CapabilityDecision, Channel, Command,
    CompleteTask, FinanceCommand, Invite, MarketPolicy, NoticeCommand, PeopleCommand,
    ProviderAccountState, ProviderObject, ProviderObjectEvent, PushPlatform, RedeemRecovery,
    RegisterDevice, RequestCode, RequestRecovery, SaveAddress, SealedContact, SealedText,
    SetProfile, SignInSocial, StaffCommand, TaskOutcome, VerifyCode,
};
use fairground_types::people::{
    Blocker, ConsentPurpose, DevicePlatform, DeviceSignals, Identity, IdentityProvider,
    MakerAccess, PrivacySettings,
};
use fairground_types::text::{BlockerCode, Note};
use fairground_types::{
    AddressId, Capability, ChallengeId, Code, DataRequestId, DeviceId, Digest, InvitationId,
    Millis, NoticeKind, PushDeviceId, Role, SignInId, StrikeKind, TaskId, Timestamp, UserId,
    Verdict, limits,
};

use crate::script::{World, auction_named, person};
use crate::{AccountStanding, CapabilityState};

fn world() -> World {
    World::new(MarketPolicy::default(), &["e1"]).expect("the set-up is accepted")
}

fn world_with(change: impl FnOnce(&mut MarketPolicy)) -> World {
    let mut policy = MarketPolicy::default();
    change(&mut policy);
    World::new(policy, &["e1"]).expect("the set-up is accepted")
}

fn user(letter: &str) -> UserId {
    person(letter).expect("a letter")
}

fn now(world: &World) -> Timestamp {
    world.market.last_at()
}

fn does(world: &mut World, letter: &str, command: PeopleCommand) -> Option<Code> {
    let at = now(world);
    world.direct(at, Actor::User(user(letter)), Command::People(command)).code()
}

fn staff(world: &mut World, command: StaffCommand) -> Option<Code> {
    let at = now(world);
    let command = Command::People(PeopleCommand::Staff(command));
    world.direct(at, Actor::Cluster, command).code()
}

fn nobody(world: &mut World, command: PeopleCommand) -> Option<Code> {
    let at = now(world);
    world.direct(at, Actor::Anonymous, Command::People(command)).code()
}

fn reason() -> Note {
    Note::parse("as the rules say").expect("a note")
}

/// Signs somebody in by a code.
fn sign_in(world: &mut World, letter: &str, number: u128) -> Option<Code> {
    let at = now(world);
    let identifier = Digest::of(letter.as_bytes());
    let code = Digest::of(b"right");
    let request = RequestCode {
        challenge: ChallengeId::from_bits(number),
        identifier,
        contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
        channel: Channel::Email,
        code,
        origin: None,
    };
    let asked =
        world.direct(at, Actor::Anonymous, Command::Account(AccountCommand::RequestCode(request)));
    if let Some(refused) = asked.code() {
        return Some(refused);
    }
    let verify = VerifyCode {
        identifier,
        code,
        new_user: UserId::from_bits(5_000 + number),
        sign_in: SignInId::from_bits(number),
        refresh: Digest::of(&number.to_le_bytes()),
    };
    world.direct(at, Actor::Anonymous, Command::Account(AccountCommand::VerifyCode(verify))).code()
}

fn wait(world: &mut World, span: Millis) {
    let until = now(world).plus(span);
    world.keep_time(until);
    let tick =
        fairground_types::command::Entry { term: 1, at: until, marks: vec![], commands: vec![] };
    world.apply(tick);
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

fn ask(capability: Capability, task: u128) -> PeopleCommand {
    PeopleCommand::RequestCapability { capability, task: TaskId::from_bits(task) }
}

fn state(world: &World, letter: &str, capability: Capability) -> &'static str {
    world.market.capability(user(letter), capability).map_or("inactive", CapabilityState::name)
}

fn blockers() -> Vec<Blocker> {
    let code = BlockerCode::parse("id-expired").expect("a code");
    vec![Blocker { code, text: reason() }]
}

fn decide(letter: &str, capability: Capability, decision: CapabilityDecision) -> StaffCommand {
    StaffCommand::DecideCapability { user: user(letter), capability, decision, reason: reason() }
}

#[test]
fn a_capability_without_a_check_is_given_at_once_and_makes_a_maker() {
    let mut world = world();
    let required = world.market.require_capability(user("a"), Capability::Publish);
    assert_eq!(required.map_err(|refused| refused.code), Err(Code::CapabilityRequired));
    assert_eq!(does(&mut world, "a", ask(Capability::Publish, 1)), None);
    assert_eq!(state(&world, "a", Capability::Publish), "approved");
    assert!(world.market.account(user("a")).expect("there").has_role(Role::Maker));
    assert_eq!(does(&mut world, "a", ask(Capability::Publish, 2)), None, "asking again is nothing");
    assert!(world.is_told(user("a"), NoticeKind::CapabilityUnlocked));
}

#[test]
fn a_checked_capability_goes_through_every_state() {
    let mut world = world_with(|policy| {
        policy.checked_capabilities = vec![Capability::CollectPayments];
    });
    let capability = Capability::CollectPayments;
    let complete =
        |outcome| PeopleCommand::CompleteTask(CompleteTask { task: TaskId::from_bits(1), outcome });
    assert_eq!(does(&mut world, "a", ask(capability, 1)), None);
    assert_eq!(state(&world, "a", capability), "requested");
    assert_eq!(does(&mut world, "a", ask(capability, 9)), None, "one row however often");
    assert_eq!(world.market.task_row(user("a"), TaskId::from_bits(9)), None);
    let at = now(&world);
    let unknown = CompleteTask { task: TaskId::from_bits(9), outcome: TaskOutcome::Passed };
    let cluster = |world: &mut World, command| {
        world.direct(at, Actor::Cluster, Command::People(command)).code()
    };
    let lost = cluster(&mut world, PeopleCommand::CompleteTask(unknown));
    assert_eq!(lost, Some(Code::NotFound));
    assert_eq!(does(&mut world, "a", complete(TaskOutcome::Passed)), Some(Code::Forbidden));
    assert_eq!(cluster(&mut world, complete(TaskOutcome::Pending)), None);
    assert_eq!(state(&world, "a", capability), "inReview");
    let failed = TaskOutcome::Failed { blockers: blockers() };
    assert_eq!(cluster(&mut world, complete(failed)), None);
    assert_eq!(state(&world, "a", capability), "blocked");
    let refused = world.market.require_capability(user("a"), capability).expect_err("blocked");
    assert!(refused.detail.contains("id-expired"), "{}", refused.detail);
    assert!(world.is_told(user("a"), NoticeKind::CapabilityBlocked));
    assert_eq!(cluster(&mut world, complete(TaskOutcome::Passed)), None, "said before");
    assert_eq!(state(&world, "a", capability), "blocked");
    assert_eq!(does(&mut world, "a", ask(capability, 1)), Some(Code::InvalidState));
    assert_eq!(does(&mut world, "a", ask(capability, 2)), None);
    let passed = CompleteTask { task: TaskId::from_bits(2), outcome: TaskOutcome::Passed };
    assert_eq!(cluster(&mut world, PeopleCommand::CompleteTask(passed)), None);
    assert!(world.market.require_capability(user("a"), capability).is_ok());
    let review = CapabilityDecision::Review { blockers: blockers() };
    assert_eq!(staff(&mut world, decide("a", capability, review.clone())), None);
    assert_eq!(state(&world, "a", capability), "reviewRequired");
    assert!(world.is_told(user("a"), NoticeKind::CapabilityDowngraded));
    let again = staff(&mut world, decide("a", capability, review));
    assert_eq!(again, Some(Code::InvalidState));
    let approve = CapabilityDecision::Approve;
    assert_eq!(staff(&mut world, decide("a", capability, approve)), None);
    assert_eq!(state(&world, "a", capability), "approved");
}

/// The provider tells how an account stands.
fn told_of(world: &mut World, letter: &str, number: u8, state: ProviderAccountState) {
    let at = now(world);
    let account = format!("acct_{letter}");
    let object = ProviderObject::Account { account, user: Some(user(letter)), state };
    let event = format!("evt_{letter}_{number}");
    let told = ProviderObjectEvent { event, created: at, object, raw: Digest::of(&[number]) };
    let command = Command::Finance(FinanceCommand::RecordProviderObject(told));
    assert_eq!(world.direct(at, Actor::Cluster, command).code(), None);
}

fn open_payout_account(world: &mut World, letter: &str) -> Option<Code> {
    let at = now(world);
    let open = Command::Finance(FinanceCommand::OpenPayoutAccount);
    world.direct(at, Actor::User(user(letter)), open).code()
}

#[test]
fn collecting_payments_follows_the_payout_account() {
    let mut world = world_with(|policy| {
        policy.checked_capabilities = vec![Capability::CollectPayments];
    });
    let capability = Capability::CollectPayments;
    assert_eq!(does(&mut world, "a", ask(Capability::Publish, 1)), None);
    assert_eq!(does(&mut world, "a", ask(capability, 2)), None);
    assert_eq!(state(&world, "a", capability), "requested");
    assert_eq!(open_payout_account(&mut world, "a"), None);
    told_of(&mut world, "a", 1, ProviderAccountState::Onboarding);
    assert_eq!(state(&world, "a", capability), "requested");
    told_of(&mut world, "a", 2, ProviderAccountState::Ready);
    assert_eq!(state(&world, "a", capability), "approved");
    assert!(world.is_told(user("a"), NoticeKind::CapabilityUnlocked));
    told_of(&mut world, "a", 3, ProviderAccountState::Restricted);
    assert_eq!(state(&world, "a", capability), "reviewRequired");
    let refused = world.market.require_capability(user("a"), capability).expect_err("rests");
    assert!(refused.detail.contains("payout-account"), "{}", refused.detail);
    assert!(world.is_told(user("a"), NoticeKind::CapabilityDowngraded));
    told_of(&mut world, "a", 4, ProviderAccountState::Ready);
    assert_eq!(state(&world, "a", capability), "approved");
    told_of(&mut world, "a", 5, ProviderAccountState::Closed);
    assert_eq!(state(&world, "a", capability), "reviewRequired");
}

#[test]
fn a_ready_payout_account_does_not_undo_what_staff_decided() {
    let mut world = world();
    let capability = Capability::CollectPayments;
    assert_eq!(open_payout_account(&mut world, "m"), None);
    told_of(&mut world, "m", 1, ProviderAccountState::Ready);
    let block = CapabilityDecision::Block { blockers: blockers() };
    assert_eq!(staff(&mut world, decide("m", capability, block)), None);
    told_of(&mut world, "m", 2, ProviderAccountState::Ready);
    assert_eq!(state(&world, "m", capability), "blocked");
    assert_eq!(staff(&mut world, decide("m", capability, CapabilityDecision::Approve)), None);
    let review = CapabilityDecision::Review { blockers: blockers() };
    assert_eq!(staff(&mut world, decide("m", capability, review)), None);
    told_of(&mut world, "m", 3, ProviderAccountState::Ready);
    assert_eq!(state(&world, "m", capability), "reviewRequired");
}

#[test]
fn makers_are_approved_or_invited_where_that_is_the_rule() {
    let become_maker = Command::Account(AccountCommand::BecomeMaker);
    let mut world = world_with(|policy| policy.maker_access = MakerAccess::Approval);
    let at = now(&world);
    let refused = world.direct(at, Actor::User(user("a")), become_maker.clone());
    assert_eq!(refused.code(), Some(Code::NotEligible));
    assert_eq!(does(&mut world, "a", ask(Capability::Publish, 1)), None);
    assert_eq!(state(&world, "a", Capability::Publish), "inReview");
    let approve = decide("a", Capability::Publish, CapabilityDecision::Approve);
    assert_eq!(staff(&mut world, approve), None);
    assert!(world.market.account(user("a")).expect("there").has_role(Role::Maker));

    let mut world = world_with(|policy| policy.maker_access = MakerAccess::Invite);
    let refused = world.direct(at, Actor::User(user("a")), become_maker);
    assert_eq!(refused.code(), Some(Code::NotEligible));
    let asked = does(&mut world, "a", ask(Capability::Publish, 1));
    assert_eq!(asked, Some(Code::NotEligible));
}

fn invite(number: u128, recipient: &str, life: Millis) -> StaffCommand {
    StaffCommand::Invite(Invite {
        invitation: InvitationId::from_bits(number),
        code: Digest::of(&number.to_le_bytes()),
        recipient: Digest::of(recipient.as_bytes()),
        roles: vec![Role::Maker],
        life,
        reason: reason(),
    })
}

fn claim(number: u128) -> PeopleCommand {
    PeopleCommand::ClaimInvitation { code: Digest::of(&number.to_le_bytes()) }
}

#[test]
fn an_invitation_counts_once_for_its_recipient_and_in_time() {
    let mut world = world_with(|policy| policy.maker_access = MakerAccess::Invite);
    let day = Millis::from_hours(24);
    assert_eq!(staff(&mut world, invite(1, "a", day)), None);
    assert_eq!(staff(&mut world, invite(1, "a", day)), Some(Code::InvalidState));
    let too_long = Millis::new(limits::INVITATION_LIFE_MAX.as_millis() + 1);
    assert_eq!(staff(&mut world, invite(2, "a", too_long)), Some(Code::ValidationFailed));
    assert_eq!(does(&mut world, "b", claim(1)), Some(Code::InvitationInvalid), "for somebody else");
    assert_eq!(does(&mut world, "a", claim(1)), None);
    assert!(world.market.require_capability(user("a"), Capability::Publish).is_ok());
    assert_eq!(does(&mut world, "a", claim(1)), Some(Code::InvitationInvalid), "taken");
    let id = InvitationId::from_bits(1);
    let revoke = |invitation| StaffCommand::RevokeInvitation { invitation, reason: reason() };
    assert_eq!(staff(&mut world, revoke(id)), Some(Code::InvalidState));
    assert_eq!(staff(&mut world, invite(3, "b", day)), None);
    assert_eq!(staff(&mut world, revoke(InvitationId::from_bits(3))), None);
    assert_eq!(does(&mut world, "b", claim(3)), Some(Code::InvitationInvalid), "taken back");
    assert_eq!(staff(&mut world, invite(4, "b", day)), None);
    wait(&mut world, day);
    assert_eq!(does(&mut world, "b", claim(4)), Some(Code::InvitationInvalid), "over");
    let missing = staff(&mut world, revoke(InvitationId::from_bits(9)));
    assert_eq!(missing, Some(Code::NotFound));
}

#[test]
fn five_invitation_codes_are_tried_in_an_hour() {
    let mut world = world();
    for number in 0..5 {
        assert_eq!(does(&mut world, "a", claim(100 + number)), Some(Code::InvitationInvalid));
    }
    assert_eq!(does(&mut world, "a", claim(200)), Some(Code::RateLimited));
    wait(&mut world, Millis::from_hours(1));
    assert_eq!(does(&mut world, "a", claim(201)), Some(Code::InvitationInvalid));
}

fn strike(letter: &str) -> StaffCommand {
    StaffCommand::Strike { user: user(letter), reason: reason() }
}

#[test]
fn strikes_for_broken_rules_warn_then_pause_then_suspend() {
    let mut world = world();
    assert_eq!(staff(&mut world, strike("m")), None);
    assert!(world.is_told(user("m"), NoticeKind::StrikeAdded));
    assert!(world.market.require_capability(user("m"), Capability::Publish).is_ok());
    assert_eq!(staff(&mut world, strike("m")), None);
    let paused = world.market.require_capability(user("m"), Capability::Publish);
    let paused = paused.expect_err("publishing is paused");
    assert_eq!(paused.code, Code::CapabilityRequired);
    assert_eq!(paused.retry_at, Some(now(&world).plus(Millis::from_hours(7 * 24))));
    assert!(world.market.require_capability(user("m"), Capability::CollectPayments).is_ok());
    let known = world.market.strikes_of(user("m"));
    let lift = |strike| StaffCommand::LiftStrike { user: user("m"), strike, reason: reason() };
    assert_eq!(staff(&mut world, lift(known[0].strike_id)), None, "an appeal was granted");
    assert_eq!(staff(&mut world, lift(known[0].strike_id)), Some(Code::NotFound));
    assert!(world.market.require_capability(user("m"), Capability::Publish).is_ok());
    assert_eq!(staff(&mut world, strike("m")), None);
    assert_eq!(staff(&mut world, strike("m")), None);
    let standing = world.market.account(user("m")).expect("there").standing();
    assert!(matches!(standing, AccountStanding::Suspended { .. }));
    assert!(world.is_told(user("m"), NoticeKind::AccountSuspended));
}

#[test]
fn publishing_goes_on_after_seven_days() {
    let mut world = world();
    staff(&mut world, strike("m"));
    staff(&mut world, strike("m"));
    wait(&mut world, Millis::from_hours(7 * 24));
    assert!(world.market.require_capability(user("m"), Capability::Publish).is_ok());
    wait(&mut world, Millis::from_hours(365 * 24));
    assert_eq!(staff(&mut world, strike("m")), None);
    let standing = world.market.account(user("m")).expect("there").standing();
    assert_eq!(standing, AccountStanding::Active, "old strikes do not count");
}

#[test]
fn two_unpaid_pieces_pause_bidding_for_thirty_days() {
    let mut world = World::play(
        "policy initial 1h, window 0s, extension 0s
        12:00:00  offer S1 a EUR 100.00          -> opened A; A closes 13:00:00
        12:00:01  offer S2 a EUR 100.00 opens B  -> opened B; B closes 13:00:01",
    )
    .expect("plays");
    wait(&mut world, Millis::from_hours(26));
    let strikes = world.market.strikes_of(user("a"));
    assert_eq!(strikes.len(), 2);
    assert!(strikes.iter().all(|row| row.kind == StrikeKind::NonPayment));
    let refused = world.market.may_trade(user("a")).expect_err("bidding is paused");
    assert_eq!(refused.code, Code::NotEligible);
    assert!(world.market.may_trade(user("b")).is_ok());
    wait(&mut world, Millis::from_hours(30 * 24));
    assert!(world.market.may_trade(user("a")).is_ok());
}

#[test]
fn a_suspended_account_is_signed_out_cannot_act_and_its_auctions_end() {
    let mut world = World::play(
        "policy initial 1h, window 0s, extension 0s
        12:00:00  offer S1 a EUR 100.00  -> opened A; A closes 13:00:00",
    )
    .expect("plays");
    assert_eq!(sign_in(&mut world, "m", 1), None);
    let suspend = StaffCommand::Suspend { user: user("m"), reason: reason() };
    assert_eq!(staff(&mut world, suspend.clone()), None);
    assert!(world.market.view().is_revoked(SignInId::from_bits(1)));
    assert_eq!(sign_in(&mut world, "m", 2), Some(Code::AccountLocked));
    assert_eq!(does(&mut world, "m", PeopleCommand::SignOutEverywhere), Some(Code::AccountLocked));
    let auction = world.market.auction(auction_named("A").expect("a name")).expect("there");
    assert!(!auction.is_open(), "its auction was cancelled");
    assert_eq!(staff(&mut world, suspend), None, "twice is once");
    let reinstate = StaffCommand::Reinstate { user: user("m"), reason: reason() };
    assert_eq!(staff(&mut world, reinstate.clone()), None);
    assert_eq!(staff(&mut world, reinstate), None);
    assert!(world.is_told(user("m"), NoticeKind::AccountRestored));
    assert_eq!(sign_in(&mut world, "m", 3), None);
}

#[test]
fn nobody_decides_about_themselves_and_only_admins_about_staff() {
    let mut world = world();
    let grant =
        |letter: &str, role| StaffCommand::GrantDuty { user: user(letter), role, reason: reason() };
    assert_eq!(staff(&mut world, grant("f", Role::Admin)), None);
    assert_eq!(staff(&mut world, grant("g", Role::Moderator)), None);
    let suspend = |letter: &str| {
        PeopleCommand::Staff(StaffCommand::Suspend { user: user(letter), reason: reason() })
    };
    assert_eq!(does(&mut world, "a", suspend("b")), Some(Code::Forbidden));
    assert_eq!(does(&mut world, "g", suspend("g")), Some(Code::Forbidden));
    assert_eq!(does(&mut world, "g", suspend("f")), Some(Code::Forbidden));
    assert_eq!(does(&mut world, "g", suspend("b")), None);
    assert_eq!(does(&mut world, "g", suspend("z")), Some(Code::NotFound));
    let roles = does(&mut world, "g", PeopleCommand::Staff(grant("a", Role::Support)));
    assert_eq!(roles, Some(Code::Forbidden));
    assert_eq!(does(&mut world, "f", suspend("g")), None);
}

#[test]
fn duties_are_taken_end_sign_ins_and_the_last_admin_stays() {
    let mut world = world();
    let change = |give: bool, role| {
        let (user, reason) = (user("f"), reason());
        if give {
            StaffCommand::GrantDuty { user, role, reason }
        } else {
            StaffCommand::RevokeDuty { user, role, reason }
        }
    };
    assert_eq!(staff(&mut world, change(true, Role::Admin)), None);
    assert_eq!(sign_in(&mut world, "f", 1), None);
    let refused = world.market.may_trade(user("f")).expect_err("staff does not trade");
    assert_eq!(refused.code, Code::NotEligible);
    assert_eq!(staff(&mut world, change(false, Role::Admin)), Some(Code::InvalidState));
    assert_eq!(staff(&mut world, change(true, Role::Maker)), None);
    assert!(world.market.view().is_revoked(SignInId::from_bits(1)));
    assert_eq!(staff(&mut world, change(false, Role::Maker)), None);
    assert!(world.market.require_capability(user("f"), Capability::Publish).is_err());
    assert_eq!(staff(&mut world, change(false, Role::Maker)), None, "twice is once");
}

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
    let avatar = PeopleCommand::SetAvatar { asset: Some(fairground_types::AssetId::from_bits(1)) };
    assert_eq!(does(&mut world, "a", avatar.clone()), Some(Code::NotFound), "another's picture");
    assert_eq!(does(&mut world, "m", avatar), None);
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
