//! Notices: routes, preferences, lists, devices, batches.

use std::collections::BTreeSet;

use fairground_types::command::{Actor, Command, NoticeCommand};
use fairground_types::{Code, Millis, NoticeChannel, NoticeKind, UserId, limits};

use crate::script::{World, person};
use crate::{Effect, Market, Notice};

fn plays(table: &str) -> World {
    World::play(table).unwrap_or_else(|why| panic!("{why}"))
}

fn user(letter: &str) -> UserId {
    person(letter).expect("valid")
}

/// Kinds in a list, newest first.
fn list(market: &Market, letter: &str) -> Vec<NoticeKind> {
    market.notices_of(user(letter)).into_iter().map(|row| row.told.kind).collect()
}

/// Channels on which a kind waits to be sent to somebody.
fn waiting(market: &Market, letter: &str, kind: NoticeKind) -> BTreeSet<NoticeChannel> {
    market
        .outbox()
        .filter_map(|pending| match &pending.effect {
            Effect::Notify(notice) => Some(notice),
            _ => None,
        })
        .filter(|notice| notice.user == user(letter) && notice.kind == kind)
        .map(|notice| notice.channel)
        .collect()
}

const OPENED: &str = "policy initial 1h, window 15m, extension 15m
    12:00:00  device a phone t1       -> done
    12:00:00  device m phone t2       -> done
    12:00:01  offer S1 a EUR 100.00   -> opened A; A closes 13:00:01
    12:00:02  bid A b EUR 105.00      -> placed";

#[test]
fn a_notice_takes_the_channels_of_its_kind() {
    let world = plays(OPENED);
    let market = &world.market;
    assert_eq!(list(market, "a"), [NoticeKind::Outbid]);
    let push = BTreeSet::from([NoticeChannel::Push]);
    assert_eq!(waiting(market, "a", NoticeKind::Outbid), push);
    let opened = BTreeSet::from([NoticeChannel::Push, NoticeChannel::Email]);
    assert_eq!(waiting(market, "m", NoticeKind::AuctionOpened), opened);
}

#[test]
fn who_saved_a_story_is_told_that_its_auction_started() {
    let world = plays(
        "policy initial 1h, window 0s
        12:00:00  device c phone t1       -> done
        12:00:00  keep S1 b               -> done
        12:00:00  keep S1 c               -> done
        12:00:00  keep S1 d               -> done
        12:00:00  unkeep S1 d             -> done
        12:00:01  offer S1 a EUR 100.00   -> opened A; A closes 13:00:01
        13:00:01  tick marks 13:00:01     -> A locked to a at 100.00 (AutoAtClose)",
    );
    let market = &world.market;
    assert_eq!(list(market, "b"), [NoticeKind::AuctionStarted]);
    assert_eq!(list(market, "c"), [NoticeKind::AuctionStarted]);
    let push = BTreeSet::from([NoticeChannel::Push]);
    assert_eq!(waiting(market, "c", NoticeKind::AuctionStarted), push);
    assert!(list(market, "d").is_empty(), "it was saved no more");
    assert!(!list(market, "a").contains(&NoticeKind::AuctionStarted), "it opened the auction");
    let maker = [NoticeKind::Reserved, NoticeKind::Ended, NoticeKind::AuctionOpened];
    assert!(maker.iter().all(|kind| list(market, "m").contains(kind)), "{:?}", list(market, "m"));
}

#[test]
fn preferences_are_obeyed_and_critical_notices_pass_them() {
    let world = plays(
        "policy initial 1h, window 0s
        12:00:00  device a phone t1                            -> done
        12:00:00  device b phone t2                            -> done
        12:00:01  prefer a 0 no push no email no sms no inApp  -> done
        12:00:01  prefer b 0 mute outbid push                  -> done
        12:00:02  offer S1 a EUR 100.00   -> opened A; A closes 13:00:02
        12:00:03  bid A b EUR 105.00      -> placed
        12:00:04  bid A a EUR 110.00      -> placed
        13:00:02  tick marks 13:00:02     -> A locked to a at 110.00 (AutoAtClose)",
    );
    let market = &world.market;
    assert_eq!(list(market, "a"), [NoticeKind::Won], "critical in spite of every switch");
    let all = BTreeSet::from([NoticeChannel::Push, NoticeChannel::Email]);
    assert_eq!(waiting(market, "a", NoticeKind::Won), all);
    assert_eq!(list(market, "b"), [NoticeKind::Lost, NoticeKind::Outbid]);
    assert!(waiting(market, "b", NoticeKind::Outbid).is_empty());
}

#[test]
fn preferences_that_cannot_be_meant_are_refused() {
    plays(
        "12:00:00  prefer a 1                                  -> VERSION_CONFLICT
        12:00:01  prefer a 0 mute won inApp                   -> CRITICAL_NOT_DISABLABLE
        12:00:02  prefer a 0 mute signInsRevoked email        -> CRITICAL_NOT_DISABLABLE
        12:00:03  prefer a 0 quiet 1320 1320                  -> VALIDATION_FAILED
        12:00:04  prefer a 0 quiet 1440 10                    -> VALIDATION_FAILED
        12:00:05  prefer a 0 quiet 1320 420 day 8             -> VALIDATION_FAILED
        12:00:06  prefer a 0 quiet 1320 420 day 1 day 1       -> VALIDATION_FAILED
        12:00:07  prefer a 0 quiet 1320 420 day 1 day 2       -> done
        12:00:08  prefer a 0 quiet 1320 420                   -> VERSION_CONFLICT
        12:00:09  prefer a 1 mute outbid push                 -> done
        12:00:10  prefer z 0                                  -> AUTH_REQUIRED
        12:00:11  prefer op 0                                 -> AUTH_REQUIRED",
    );
}

#[test]
fn a_notice_is_read_once_and_by_its_owner_alone() {
    let world = plays(&format!(
        "{OPENED}
        12:00:03  read-one b 0   -> NOT_FOUND
        12:00:04  read-one a 0   -> done
        12:00:05  read-one a 0   -> done"
    ));
    assert_eq!(list(&world.market, "a"), [NoticeKind::Outbid]);
    assert_eq!(world.market.unread_notices(user("a")), 0);
    let world = plays(&format!("{OPENED}\n 12:00:03  read-all a -> done"));
    assert_eq!(world.market.unread_notices(user("a")), 0);
}

#[test]
fn a_bidder_is_told_once_of_many_higher_bids() {
    let mut table = "policy initial 1h, window 0s
        12:00:01  offer S1 a EUR 100.00   -> opened A; A closes 13:00:01"
        .to_owned();
    for round in 0..20_u64 {
        let (who, second) = (if round % 2 == 0 { "b" } else { "a" }, round + 2);
        let amount = 105 + 5 * round;
        table.push_str(&format!("\n 12:00:{second:02}  bid A {who} EUR {amount}.00 -> placed"));
    }
    let world = plays(&table);
    assert_eq!(list(&world.market, "a"), [NoticeKind::Outbid]);
    assert_eq!(list(&world.market, "b"), [NoticeKind::Outbid]);
}

#[test]
fn a_maker_is_told_of_bids_together_every_five_minutes() {
    let world = plays(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
        12:01:00  bid A b EUR 105.00      -> placed
        12:02:00  bid A a EUR 110.00      -> placed
        12:05:59  bid A b EUR 115.00      -> placed
        12:06:01  bid A a EUR 120.00      -> placed
        12:20:00  tick                    ->",
    );
    let rows = world.market.notices_of(user("m"));
    let texts: Vec<(NoticeKind, Option<&str>)> =
        rows.iter().map(|row| (row.told.kind, row.told.text.as_deref())).collect();
    let bids = NoticeKind::BidsReceived;
    let opened = NoticeKind::AuctionOpened;
    let told = |texts: &[(NoticeKind, Option<&str>)]| {
        texts.iter().filter(|(kind, _)| matches!(kind, NoticeKind::BidsReceived)).count()
    };
    assert_eq!(told(&texts), 2);
    assert_eq!(texts.first(), Some(&(bids, Some("1 new"))));
    assert_eq!(texts.get(1), Some(&(bids, Some("3 new"))));
    assert_eq!(texts.get(2).map(|(kind, _)| *kind), Some(opened));
}

#[test]
fn a_list_keeps_the_newest_and_forgets_what_is_old() {
    let mut world = World::new(fairground_types::command::MarketPolicy::default(), &[])
        .expect("the set-up is accepted");
    let at = world.market.last_at();
    let mut turn = crate::apply::Turn::for_tests(at);
    let notice = crate::notice::about(user("a"), NoticeKind::StoryApproved);
    for _ in 0..limits::INBOX_MAX + 5 {
        world.market.notify(&mut turn, notice.clone());
    }
    assert_eq!(world.market.notices_of(user("a")).len(), limits::INBOX_MAX);
    assert_eq!(world.market.inbox.faults(), Vec::<String>::new());
    let until = at.plus(limits::NOTICE_MEMORY).plus(Millis::new(1));
    world.market.forget_notices(until);
    assert_eq!(world.market.notices_of(user("a")).len(), 0);
    assert_eq!(world.market.unread_notices(user("a")), 0);
    assert_eq!(world.market.inbox.faults(), Vec::<String>::new());
}

#[test]
fn many_are_told_a_hundred_at_a_time() {
    let mut world = World::new(fairground_types::command::MarketPolicy::default(), &[])
        .expect("the set-up is accepted");
    let at = world.market.last_at();
    let mut turn = crate::apply::Turn::for_tests(at);
    let everybody: Vec<UserId> =
        ["a", "b", "c", "d", "e"].into_iter().cycle().take(250).map(user).collect();
    let notice: Notice = crate::notice::about(user("a"), NoticeKind::StoryFollowed);
    world.market.fan_out(&mut turn, everybody, notice);
    let told = |world: &World| -> usize {
        ["a", "b", "c", "d", "e"].iter().map(|who| list(&world.market, who).len()).sum()
    };
    assert_eq!(told(&world), limits::FAN_OUT_CHUNK);
    let due = world.market.next_deadline().expect("more are to be told");
    assert_eq!(due, at.plus(Millis::new(1)));
    let tick =
        |at| fairground_types::command::Entry { term: 1, at, marks: vec![], commands: vec![] };
    world.apply(tick(due));
    assert_eq!(told(&world), 2 * limits::FAN_OUT_CHUNK);
    world.apply(tick(due.plus(Millis::new(1))));
    assert_eq!(told(&world), 250);
}

#[test]
fn a_token_belongs_to_who_showed_it_last_and_a_dead_one_to_nobody() {
    let world = plays(
        "12:00:00  device a phone t1       -> done
        12:00:01  device a tablet t2      -> done
        12:00:02  device b phone t1       -> done
        12:00:03  dead-token op a tablet  -> done
        12:00:04  dead-token a b phone    -> FORBIDDEN
        12:00:05  no-device a phone       -> done",
    );
    assert_eq!(world.market.push_devices(user("a")).len(), 0);
    assert_eq!(world.market.push_devices(user("b")).len(), 1);
    let mut table = String::new();
    for place in 0..15 {
        table.push_str(&format!("12:00:{place:02}  device a d{place} t{place} -> done\n"));
    }
    let world = plays(&table);
    let devices = world.market.push_devices(user("a"));
    assert_eq!(devices.len(), limits::PUSH_DEVICES_MAX);
}

#[test]
fn mail_that_bounced_is_held_back_but_for_critical_notices() {
    let world = plays(
        "policy initial 1h, window 0s
        12:00:00  bounced op m            -> done
        12:00:00  bounced op a            -> done
        12:00:00  bounced a m             -> FORBIDDEN
        12:00:01  offer S1 a EUR 100.00   -> opened A; A closes 13:00:01
        13:00:01  tick marks 13:00:01     -> A locked to a at 100.00 (AutoAtClose)",
    );
    assert!(waiting(&world.market, "m", NoticeKind::AuctionOpened).is_empty());
    let mail = BTreeSet::from([NoticeChannel::Email]);
    assert_eq!(waiting(&world.market, "a", NoticeKind::Won), mail);
    assert!(world.market.is_mail_suppressed(user("a")));
}

#[test]
fn every_critical_kind_has_mail_behind_its_push() {
    for kind in NoticeKind::ALL.iter().filter(|kind| kind.is_critical()) {
        assert!(kind.route().email && kind.route().in_app, "{kind:?}");
    }
}

#[test]
fn one_event_makes_one_notice_however_often_it_is_asked_for() {
    let mut world = plays(OPENED);
    let command = Command::Notice(NoticeCommand::ReadAllNotices);
    let at = world.market.last_at();
    assert!(world.direct(at, Actor::User(user("a")), command).is_accepted());
    let before = world.market.outbox().count();
    let last = world.log.get(world.log.len() - 2).cloned().expect("the bid");
    let applied = world.apply(last);
    assert!(applied.feed.events.is_empty());
    assert_eq!(world.market.outbox().count(), before);
    let missing = Command::Notice(NoticeCommand::ReadNotice {
        notice: fairground_types::NoticeId::from_bits(7),
    });
    let verdict = world.direct(at, Actor::User(user("a")), missing);
    assert_eq!(verdict.code(), Some(Code::NotFound));
}
