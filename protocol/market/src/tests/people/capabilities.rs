//! What somebody may do: capabilities with their checks, the payout account, invitations.

use fairground_types::command::{
    AccountCommand, Actor, CapabilityDecision, Command, CompleteTask, FinanceCommand, Invite,
    PeopleCommand, ProviderAccountState, ProviderObject, ProviderObjectEvent, StaffCommand,
    TaskOutcome,
};
use fairground_types::people::{Blocker, MakerAccess};
use fairground_types::text::BlockerCode;
use fairground_types::{
    Capability, Code, Digest, InvitationId, Millis, NoticeKind, Role, TaskId, limits,
};

use super::{ask, does, now, reason, staff, user, wait, world, world_with};
use crate::CapabilityState;
use crate::script::World;

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
