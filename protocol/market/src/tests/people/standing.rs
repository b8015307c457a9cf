//! Strikes, suspensions and duties, and who decides about whom.

use fairground_types::command::{PeopleCommand, StaffCommand};
use fairground_types::{Capability, Code, Millis, NoticeKind, Role, SignInId, StrikeKind};

use super::{does, now, reason, sign_in, staff, strike, user, wait, world};
use crate::AccountStanding;
use crate::script::{World, auction_named};

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
