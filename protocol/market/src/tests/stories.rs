//! Tables and cases about stories: each transition, each refusal, versions, links, counters.

use fairground_types::command::{
    Actor, Command, FeedPreferences, MarketPolicy, ShareChannel, SocialCommand, StoryCommand,
    StoryPolicy, TakedownGround, ViewCount,
};
use fairground_types::text::Category;
use fairground_types::{Code, Millis, Money, StoryId, UserId, Verdict, limits};
use proptest::prelude::*;

use crate::script::{World, person, story_named};
use crate::{Effect, Market, NoticeKind};

fn play(table: &str) -> World {
    match World::play(table) {
        Ok(world) => world,
        Err(why) => panic!("{why}"),
    }
}

fn state(world: &World, name: &str) -> &'static str {
    let story = story_named(name).expect("a story");
    world.market.story_row(story).expect("known").state
}

fn story(name: &str) -> StoryId {
    story_named(name).expect("a story")
}

/// The answer to one command of `a`, at the market's own time.
fn answer(world: &mut World, letter: &str, command: Command) -> Verdict {
    let at = world.market.last_at();
    world.direct(at, Actor::User(person(letter).expect("a letter")), command)
}

#[test]
fn a_draft_is_saved_by_its_maker_alone_and_conflicts_name_the_version_that_stands() {
    let mut world = play(
        "12:00:00  save S3 m                       -> done
        12:00:01  save S3 m                        -> DRAFT_CONFLICT
        12:00:02  save S3 m base 1 title Bowl      -> done
        12:00:03  save S3 m base 1 title Cup       -> DRAFT_CONFLICT
        12:00:04  save S3 n base 2                 -> NOT_FOUND
        12:00:05  save S4 a                        -> FORBIDDEN
        12:00:06  save S4 m clips 8                -> VALIDATION_FAILED",
    );
    assert_eq!(state(&world, "S3"), "draft");
    let draft = world.market.story_row(story("S3")).expect("known").draft;
    let save =
        fairground_types::command::SaveDraft { story: story("S3"), base_version: Some(1), draft };
    let verdict = answer(&mut world, "m", Command::Story(StoryCommand::SaveDraft(save)));
    let Verdict::Rejected(rejection) = verdict else { panic!("accepted") };
    assert_eq!((rejection.code, rejection.version), (Code::DraftConflict, Some(2)));
}

#[test]
fn an_incomplete_story_cannot_be_submitted_and_is_told_everything_that_is_missing() {
    let mut world = play(
        "12:00:00  save S3 m text none clips 0 min EUR 0.99  -> done
        12:00:01  submit S3 m unattested                     -> STORY_INCOMPLETE
        12:00:02  save S3 m base 1 asset 77                  -> done
        12:00:03  submit S3 m                                -> STORY_INCOMPLETE
        12:00:04  submit S3 n                                -> NOT_FOUND
        12:00:05  submit S3 a                                -> FORBIDDEN
        12:00:06  save S3 m base 2 text none clips 0 min EUR 0.99 -> done",
    );
    let submit = Command::Story(StoryCommand::SubmitStory { story: story("S3"), attested: false });
    let Verdict::Rejected(rejection) = answer(&mut world, "m", submit) else { panic!("accepted") };
    assert_eq!(rejection.fields, ["overview", "clips", "minimumOffer", "attestation"]);
    let status = world.market.story_status(story("S3")).expect("known");
    assert_eq!(status.missing, ["overview", "clips", "minimumOffer"]);
}

#[test]
fn a_story_needs_as_many_clips_as_the_policy_says() {
    assert_eq!(MarketPolicy::default().stories, StoryPolicy { clips_min: 3, ..Default::default() });
    let mut world = play("12:00:00  save S3 m clips 2 -> done");
    world.market.cluster.policy.stories.clips_min = 3;
    let submit = Command::Story(StoryCommand::SubmitStory { story: story("S3"), attested: true });
    assert_eq!(answer(&mut world, "m", submit.clone()).code(), Some(Code::StoryIncomplete));
    world.market.cluster.policy.stories.clips_min = 2;
    assert_eq!(answer(&mut world, "m", submit).code(), None);
}

#[test]
fn a_story_waits_for_a_person_unless_the_check_is_certain() {
    let world = play(
        "12:00:00  save S3 m waits        -> done
        12:00:01  submit S3 m             -> done
        12:00:02  submit S3 m             -> INVALID_STATE
        12:00:03  save S3 m base 1        -> INVALID_STATE
        12:00:04  checked S3 0 10000      -> done
        12:00:05  publish S3 m            -> INVALID_STATE
        12:00:06  approve S3 m            -> FORBIDDEN
        12:00:07  approve S3 a            -> FORBIDDEN
        12:00:08  grant m moderator       -> done
        12:00:09  approve S3 m            -> FORBIDDEN
        12:00:10  grant n moderator       -> done
        12:00:11  approve S3 n            -> done
        12:00:12  approve S3 n            -> INVALID_STATE",
    );
    assert_eq!(state(&world, "S3"), "approved");
    assert_eq!(world.notices(NoticeKind::StorySubmitted).len(), 3);
    assert_eq!(world.notices(NoticeKind::StoryApproved).len(), 3);
}

#[test]
fn a_certain_violation_is_refused_without_a_person_and_names_its_categories() {
    let world = play(
        "12:00:00  save S3 m              -> done
        12:00:01  submit S3 m             -> done
        12:00:02  checked S3 9501 0       -> done",
    );
    let row = world.market.story_row(story("S3")).expect("known");
    assert_eq!(row.state, "rejected");
    assert!(row.notes.expect("notes").as_str().contains("words"));
    assert_eq!(world.notices(NoticeKind::StoryRejected).len(), 1);
}

#[test]
fn a_clean_check_approves_only_where_the_operator_allows_it() {
    let mut world = play("12:00:00  save S3 m -> done");
    world.market.cluster.policy.stories.auto_approve = true;
    let submit = Command::Story(StoryCommand::SubmitStory { story: story("S3"), attested: true });
    assert!(answer(&mut world, "m", submit).is_accepted());
    let (effect, version) = world
        .market
        .outbox()
        .find_map(|pending| match &pending.effect {
            Effect::CheckStory(check) => Some((pending.id, check.version)),
            _ => None,
        })
        .expect("a check is asked for");
    let check = fairground_types::command::RecordCheck {
        effect,
        story: story("S3"),
        version,
        result: fairground_types::command::CheckResult::Scored {
            findings: vec![],
            confidence: 9_500,
        },
    };
    let at = world.market.last_at();
    world.direct(at, Actor::Cluster, Command::Story(StoryCommand::RecordCheck(check)));
    assert_eq!(state(&world, "S3"), "listed");
}

#[test]
fn a_checker_that_does_not_answer_publishes_nothing() {
    let mut world = play(
        "12:00:00  save S3 m              -> done
        12:00:01  submit S3 m             -> done
        12:00:02  checked S3 nobody       -> done
        12:00:03  save S4 m               -> done
        12:00:04  submit S4 m             -> done
        12:06:00  checked S4 0 10000      -> done",
    );
    assert_eq!((state(&world, "S3"), state(&world, "S4")), ("submitted", "submitted"));
    let queue = world.market.moderation_queue();
    let stages: Vec<&str> =
        queue.iter().filter_map(|row| Some(row.review.as_ref()?.stage)).collect();
    assert_eq!(stages, ["pendingHuman", "pendingHuman"]);
    let result = fairground_types::command::EffectOutcome::Abandoned;
    let effect = fairground_types::EffectId::from_bits(1);
    let at = world.market.last_at();
    let late = Command::Payment(fairground_types::command::PaymentCommand::CompleteEffect {
        effect,
        outcome: result,
    });
    assert!(world.direct(at, Actor::Cluster, late).is_accepted());
}

#[test]
fn the_queue_shows_what_is_flagged_first_then_by_severity_then_by_age() {
    let world = play(
        "12:00:00  save S3 m              -> done
        12:00:01  submit S3 m             -> done
        12:00:02  save S4 m               -> done
        12:00:03  submit S4 m             -> done
        12:00:04  save S5 m               -> done
        12:00:05  submit S5 m             -> done
        12:00:06  checked S5 5000 0       -> done
        12:00:07  checked S4 8000 0       -> done
        12:00:08  checked S3 0 0          -> done
        12:00:09  report S1 a             -> done
        12:00:10  report S1 a             -> done
        12:00:11  report S1 m             -> FORBIDDEN
        12:00:12  report S3 a             -> NOT_FOUND",
    );
    let order: Vec<StoryId> =
        world.market.moderation_queue().iter().map(|row| row.story_id).collect();
    assert_eq!(order, [story("S4"), story("S5"), story("S1"), story("S3")]);
    let reported = &world.market.moderation_queue()[2];
    assert_eq!(reported.reports.iter().map(|row| row.count).sum::<u32>(), 1);
}

#[test]
fn reports_are_answered_by_a_person() {
    let world = play(
        "12:00:00  dismiss S1             -> INVALID_STATE
        12:00:01  report S1 a             -> done
        12:00:02  dismiss S1 a            -> FORBIDDEN
        12:00:03  grant m moderator       -> done
        12:00:04  dismiss S1 m            -> FORBIDDEN
        12:00:05  dismiss S1              -> done
        12:00:06  dismiss S9              -> NOT_FOUND",
    );
    assert!(world.market.moderation_queue().is_empty());
}

#[test]
fn a_review_that_takes_a_day_is_told_to_moderators() {
    let world = play(
        "12:00:00  grant n moderator      -> done
        12:00:00  save S3 m               -> done
        12:00:01  submit S3 m             -> done
        12:00:02  checked S3 0 0          -> done
        1d11:59:59 tick                   ->
        1d12:00:02 tick                   ->",
    );
    assert_eq!(world.notices(NoticeKind::ReviewOverdue).len(), 1);
    assert!(world.market.moderation_queue()[0].review.as_ref().expect("waits").is_overdue);
}

#[test]
fn a_refused_story_comes_back_three_times() {
    let world = play(
        "12:00:00  save S3 m              -> done
        12:00:01  submit S3 m             -> done
        12:00:02  reject S3 a             -> FORBIDDEN
        12:00:02  reject S3               -> done
        12:00:03  save S3 m base 1        -> done
        12:00:04  submit S3 m             -> done
        12:00:05  reject S3               -> done
        12:00:06  submit S3 m             -> done
        12:00:07  reject S3               -> done
        12:00:08  submit S3 m             -> done
        12:00:09  reject S3               -> done
        12:00:10  submit S3 m             -> RESUBMIT_LIMIT
        12:00:11  submit S3 m unattested  -> STORY_INCOMPLETE",
    );
    assert_eq!(state(&world, "S3"), "rejected");
    assert_eq!(world.market.story_status(story("S3")).expect("known").resubmissions_left, 0);
}

#[test]
fn a_story_is_taken_back_from_review_by_its_maker() {
    let world = play(
        "12:00:00  save S3 m              -> done
        12:00:01  takeback S3 m           -> INVALID_STATE
        12:00:02  submit S3 m             -> done
        12:00:03  takeback S3 n           -> NOT_FOUND
        12:00:04  takeback S3 m           -> done
        12:00:05  takeback S3 m           -> INVALID_STATE
        12:00:06  approve S3              -> INVALID_STATE
        12:00:07  submit S3 m             -> done
        12:00:08  checked S3 0 0          -> done
        12:00:09  takeback S3 m           -> done",
    );
    assert_eq!(state(&world, "S3"), "draft");
    assert!(world.market.moderation_queue().is_empty());
}

#[test]
fn a_story_is_published_now_or_at_a_planned_time() {
    let world = play(
        "12:00:00  save S3 m waits        -> done
        12:00:01  schedule S3 m 13:00:00  -> INVALID_STATE
        12:00:02  publish S3 m            -> INVALID_STATE
        12:00:03  submit S3 m             -> done
        12:00:04  approve S3              -> done
        12:00:05  schedule S3 m 12:00:05  -> VALIDATION_FAILED
        12:00:05  schedule S3 n 13:00:00  -> NOT_FOUND
        12:00:06  unschedule S3 m         -> INVALID_STATE
        12:00:07  schedule S3 m 13:00:00  -> done
        12:00:08  schedule S3 m 14:00:00  -> done
        12:00:09  unschedule S3 m         -> done
        12:00:10  schedule S3 m 12:30:00  -> done
        12:29:59  offer S3 a EUR 100.00   -> NOT_FOUND
        12:30:00  tick                    ->
        12:30:01  offer S3 a EUR 100.00   -> opened A; A closes 3d12:30:01",
    );
    assert_eq!(state(&world, "S3"), "live");
    assert_eq!(world.notices(NoticeKind::StoryPublished).len(), 3);
}

#[test]
fn a_planned_story_that_cannot_be_shown_stays_and_its_maker_is_told() {
    let mut world = play(
        "12:00:00  save S3 m waits        -> done
        12:00:01  submit S3 m             -> done
        12:00:02  approve S3              -> done
        12:00:03  schedule S3 m 13:00:00  -> done",
    );
    world.market.cluster.policy.stories.clips_min = 2;
    world.keep_time(world.market.last_at().plus(Millis::from_hours(2)));
    assert_eq!(state(&world, "S3"), "scheduled");
    assert_eq!(world.notices(NoticeKind::StoryNotPublished).len(), 1);
    let publish = Command::Story(StoryCommand::PublishStory { story: story("S3") });
    assert_eq!(answer(&mut world, "m", publish).code(), Some(Code::StoryIncomplete));
}

#[test]
fn a_maker_who_lost_the_right_publishes_nothing() {
    let mut world = play(
        "12:00:00  save S3 m waits        -> done
        12:00:01  submit S3 m             -> done
        12:00:02  approve S3              -> done
        12:00:03  schedule S3 m 13:00:00  -> done",
    );
    let maker = person("m").expect("a letter");
    world.market.change_person(maker, |person| person.capabilities.clear());
    world.keep_time(world.market.last_at().plus(Millis::from_hours(2)));
    assert_eq!(state(&world, "S3"), "scheduled");
    let listed = world.market.story(story("S3")).expect("known").clone();
    let refused = world.market.check_publishable(&listed).expect_err("no right");
    assert_eq!(refused.code, Code::CapabilityRequired);
}

#[test]
fn an_edit_of_a_listed_story_is_reviewed_while_the_old_one_stands() {
    let world = play(
        "12:00:00  save S1 m base 1 title Jug            -> done
        12:00:01  save S1 m base 1 title Jug             -> DRAFT_CONFLICT
        12:00:02  save S1 m base 2 min USD 100.00        -> CURRENCY_MISMATCH
        12:00:03  save S1 m base 2 clips 0               -> STORY_INCOMPLETE
        12:00:04  checked S1 0 0                         -> done",
    );
    let shown = world.market.view().story(story("S1")).expect("listed");
    assert_eq!(shown.contents.title.as_str(), "S1");
    let mut world = world;
    let at = world.market.last_at();
    let approve = Command::Story(StoryCommand::ReviewStory {
        story: story("S1"),
        decision: fairground_types::command::ReviewDecision::Approve,
    });
    assert!(world.direct(at, Actor::Cluster, approve).is_accepted());
    let shown = world.market.view().story(story("S1")).expect("listed");
    assert_eq!(shown.contents.title.as_str(), "Jug");
    assert_eq!(world.market.story(story("S1")).expect("known").published(), Some(2));
}

#[test]
fn a_refused_or_withdrawn_edit_leaves_what_is_shown() {
    let world = play(
        "12:00:00  save S1 m base 1 title Jug            -> done
        12:00:01  reject S1                              -> done
        12:00:02  save S1 m base 2 title Jar             -> done
        12:00:03  takeback S1 m                          -> done
        12:00:04  save S1 m base 3 min EUR 200.00        -> done
        12:00:05  offer S1 a EUR 100.00                  -> OFFER_MIN_VIOLATION minimum 200.00",
    );
    assert_eq!(state(&world, "S1"), "listed");
    let shown = world.market.view().story(story("S1")).expect("listed");
    assert_eq!(shown.contents.title.as_str(), "S1");
}

#[test]
fn what_bidders_rely_on_is_locked_while_an_auction_is_open() {
    let world = play(
        "policy initial 1h
        12:00:00  save S1 m base 1 title Jug             -> done
        12:00:01  approve S1                             -> done
        12:00:02  offer S1 a EUR 100.00                  -> opened A; A closes 13:00:02
        12:00:03  save S1 m base 2 title Cup             -> EDIT_LOCKED
        12:00:04  save S1 m base 2 title Jug clips 2     -> EDIT_LOCKED
        12:00:05  save S1 m base 2 title Jug min EUR 1.00 -> EDIT_LOCKED
        12:00:06  save S1 m base 2 title Jug text better -> done
        12:00:07  rollback S1 m 1                        -> EDIT_LOCKED
        12:00:08  rollback S1 n 1                        -> NOT_FOUND
        12:00:09  rollback S1 cluster 7                  -> NOT_FOUND
        12:00:10  rollback S1 cluster 1                  -> done",
    );
    assert_eq!(state(&world, "S1"), "live");
    let shown = world.market.view().story(story("S1")).expect("listed");
    assert_eq!(shown.contents.title.as_str(), "S1");
}

#[test]
fn versions_are_kept_compared_and_gone_back_to() {
    let world = play(
        "12:00:00  save S1 m base 1 title Jug             -> done
        12:00:01  approve S1                             -> done
        12:00:02  rollback S1 m 1                        -> done
        12:00:03  save S3 m                              -> done
        12:00:04  rollback S3 m 1                        -> INVALID_STATE",
    );
    let list = world.market.story_versions(story("S1")).expect("known");
    let numbers: Vec<(u64, bool)> =
        list.versions.iter().map(|row| (row.version, row.is_published)).collect();
    assert_eq!(numbers, [(3, true), (2, false), (1, false)]);
    let diff = world.market.story_diff(story("S1"), 1, 2).expect("both are kept");
    assert_eq!(diff.changes.len(), 1);
    assert_eq!(diff.changes[0].field, "title");
    assert_eq!(diff.changes[0].after.as_deref(), Some("Jug"));
    assert!(world.market.story_diff(story("S1"), 1, 3).expect("kept").changes.is_empty());
    assert!(world.market.story_diff(story("S1"), 1, 9).is_none());
}

#[test]
fn a_takedown_hides_a_story_everywhere_and_cancels_its_auction() {
    let world = play(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        12:00:01  takedown S1 a              -> FORBIDDEN
        12:00:02  grant m moderator          -> done
        12:00:03  takedown S1 m              -> FORBIDDEN
        12:00:04  takedown S9                -> NOT_FOUND
        12:00:05  takedown S1                -> done; A closed (Cancelled); S1 hidden
        12:00:06  takedown S1                -> INVALID_STATE
        12:00:07  bid A b EUR 200.00         -> AUCTION_CLOSED
        12:00:08  offer S1 b EUR 200.00 opens B -> NOT_FOUND
        12:00:09  like S1 a                  -> NOT_FOUND
        12:00:10  save S1 m base 1           -> INVALID_STATE",
    );
    let view = world.market.view();
    assert!(view.story(story("S1")).is_none() && view.is_hidden(story("S1")));
    let asset = fairground_types::AssetId::from_bits(1);
    assert!(view.is_withheld(asset) && !view.is_listed_asset(asset));
    assert_eq!(world.notices(NoticeKind::StoryTakenDown).len(), 1);
}

#[test]
fn a_story_comes_back_as_what_it_was() {
    let world = play(
        "policy initial 1h, window 0s
        12:00:00  restore S1                 -> INVALID_STATE
        12:00:01  takedown S1                -> done; S1 hidden
        12:00:02  restore S1 a               -> FORBIDDEN
        12:00:03  restore S1                 -> done
        12:00:04  offer S1 a EUR 100.00      -> opened A; A closes 13:00:04
        13:00:04  tick marks 13:00:04        -> A locked to a at 100.00 (AutoAtClose)
        13:01:00  takedown S1                -> done; S1 hidden
        13:02:00  checkout A a               -> attempt 1
        13:03:00  paid A EUR 100.00 ev_1     -> done; A closed (Sold); S1 sold
        13:04:00  restore S1                 -> done
        13:05:00  takedown S1                -> done; S1 hidden
        13:06:00  restore S1                 -> done",
    );
    assert_eq!(state(&world, "S1"), "sold");
    let asset = fairground_types::AssetId::from_bits(1);
    assert!(!world.market.view().is_withheld(asset));
    assert_eq!(world.notices(NoticeKind::StoryRestored).len(), 3);
}

#[test]
fn a_reserved_piece_that_is_not_paid_comes_back_listed() {
    let world = play(
        "policy initial 1h, window 0s, payment 24h, decision 24h
        12:00:00    offer S1 a EUR 100.00      -> opened A; A closes 13:00:00
        13:00:00    tick marks 13:00:00        -> A locked to a at 100.00 (AutoAtClose)
        13:01:00    takedown S1                -> done; S1 hidden
        13:02:00    restore S1                 -> done
        13:03:00    takedown S1                -> done; S1 hidden
        1d13:00:01  tick                       -> A awaits until 2d13:00:00
        2d13:00:01  tick                       -> A closed (Unsold)
        2d13:00:02  restore S1                 -> done
        2d13:00:03  offer S1 a EUR 100.00 opens B -> opened B; B closes 2d14:00:03",
    );
    assert_eq!(state(&world, "S1"), "live");
}

#[test]
fn a_maker_appeals_once_within_fourteen_days() {
    let world = play(
        "12:00:00    grant n moderator         -> done
        12:00:00    appeal S1 m                -> INVALID_STATE
        12:00:01    takedown S1                -> done; S1 hidden
        12:00:02    appeal S1 n                -> NOT_FOUND
        14d12:00:00 appeal S1 m                -> done
        14d12:00:00 appeal S1 m                -> INVALID_STATE
        14d12:00:01 takedown S2                -> done; S2 hidden
        28d12:00:01 appeal S2 m                -> INVALID_STATE",
    );
    assert!(world.market.moderation_queue().iter().any(|row| row.appeal.is_some()));
    assert_eq!(world.notices(NoticeKind::TakedownAppealed).len(), 0, "notices live a day");
}

#[test]
fn a_story_is_put_away_unless_an_auction_is_open() {
    let world = play(
        "12:00:00  save S3 m                  -> done
        12:00:01  putaway S3 n                -> NOT_FOUND
        12:00:02  submit S3 m                 -> done
        12:00:03  putaway S3 m                -> INVALID_STATE
        12:00:04  takeback S3 m               -> done
        12:00:05  putaway S3 m                -> done
        12:00:06  putaway S3 m                -> INVALID_STATE
        12:00:07  offer S1 a EUR 100.00       -> opened A; A closes 3d12:00:07
        12:00:08  putaway S1 m                -> AUCTION_ACTIVE
        12:00:09  save S2 m base 1 title Jug  -> done
        12:00:10  putaway S2 m                -> done; S2 hidden
        12:00:11  offer S2 a EUR 100.00 opens B -> NOT_FOUND",
    );
    assert_eq!((state(&world, "S2"), state(&world, "S3")), ("archived", "archived"));
    assert!(world.market.moderation_queue().is_empty());
}

#[test]
fn likes_and_saves_count_once_and_are_taken_back_once() {
    let world = play(
        "12:00:00  like S1 a                  -> done
        12:00:01  like S1 a                   -> done
        12:00:02  like S1 b                   -> done
        12:00:03  unlike S1 b                 -> done
        12:00:04  unlike S1 b                 -> done
        12:00:05  keep S1 a                   -> done
        12:00:06  keep S1 a                   -> done
        12:00:07  keep S2 a                   -> done
        12:00:08  unkeep S2 a                 -> done
        12:00:09  like S1 m                   -> FORBIDDEN
        12:00:10  keep S1 m                   -> FORBIDDEN
        12:00:11  like S9 a                   -> NOT_FOUND
        12:00:12  keep S9 a                   -> NOT_FOUND",
    );
    let counts = world.market.view().story(story("S1")).expect("listed").counts;
    assert_eq!((counts.likes, counts.saves), (1, 1));
    let a = person("a").expect("a letter");
    assert_eq!(world.market.saved_of(a).stories, [story("S1")]);
    let seen = world.market.viewer_state(a, story("S1"));
    assert!(seen.liked && seen.saved && !seen.watching);
}

#[test]
fn an_auction_is_watched_by_others_while_it_is_open() {
    let world = play(
        "policy initial 1h
        12:00:00  offer S1 a EUR 100.00       -> opened A; A closes 13:00:00
        12:00:01  watch A b                   -> done
        12:00:02  watch A b                   -> done
        12:00:03  watch A m                   -> FORBIDDEN
        12:00:04  watch C b                   -> NOT_FOUND
        12:00:05  unwatch A b                 -> done
        12:00:06  unwatch A b                 -> done
        12:00:07  watch A c                   -> done
        12:00:08  cancel A                    -> done; A closed (Cancelled)
        12:00:09  watch A d                   -> AUCTION_CLOSED",
    );
    let c = person("c").expect("a letter");
    assert_eq!(world.market.saved_of(c).auctions.len(), 1);
}

#[test]
fn an_account_has_a_bounded_number_of_rows() {
    let mut world = play("12:00:00  offer S1 a EUR 100.00       -> opened A; A closes 3d12:00:00");
    let b = person("b").expect("a letter");
    let social = &mut world.market.social;
    for bits in 1_000..1_000 + u128::from(limits::WATCHES_PER_USER_MAX) {
        social.watches.insert((b, fairground_types::AuctionId::from_bits(bits)), ());
    }
    social.totals.insert(
        b,
        crate::social::Totals {
            likes: limits::LIKES_PER_USER_MAX,
            saves: limits::SAVES_PER_USER_MAX,
            watches: limits::WATCHES_PER_USER_MAX,
        },
    );
    for command in [
        SocialCommand::SetLike { story: story("S1"), on: true },
        SocialCommand::SetSave { story: story("S1"), on: true },
    ] {
        assert_eq!(
            answer(&mut world, "b", Command::Social(command)).code(),
            Some(Code::LimitReached)
        );
    }
    // Auctions that are over make room for one that is not.
    let auction = crate::script::auction_named("A").expect("an auction");
    let watch = Command::Social(SocialCommand::SetWatch { auction, on: true });
    assert!(answer(&mut world, "b", watch).is_accepted());
    assert_eq!(world.market.saved_of(b).auctions, [auction]);
}

#[test]
fn twenty_links_an_hour_are_made_and_the_next_is_refused_until_the_first_is_old() {
    let mut table = String::new();
    for second in 0..20 {
        table.push_str(&format!("12:00:{second:02}  share S1 a  -> done\n"));
    }
    table.push_str(
        "12:59:59  share S1 a   -> RATE_LIMITED
        12:59:59  share S1 b    -> done
        13:00:00  share S1 a    -> done
        13:00:00  share S9 a    -> NOT_FOUND",
    );
    let world = play(&table);
    let view = world.market.view();
    assert_eq!(view.story(story("S1")).expect("listed").counts.shares, 22);
    let (share, row) = view.shares.iter().next().expect("kept");
    assert_eq!(row.expires_at, view.shares_by_age[0].0);
    let mut later = world.clone();
    let links_end = later.market.last_at().plus(Millis::from_hours(24 * 8 + 1));
    later.keep_time(links_end);
    later.direct(
        links_end,
        Actor::Cluster,
        Command::Story(StoryCommand::DismissReports {
            story: story("S1"),
            reason: fairground_types::text::Note::parse("nothing").expect("text"),
        }),
    );
    assert!(later.market.view().share(*share).is_none());
    let taken = Command::Social(SocialCommand::ShareStory {
        share: *share,
        story: story("S1"),
        channel: ShareChannel::Email,
    });
    let mut now = world.clone();
    assert_eq!(answer(&mut now, "c", taken).code(), Some(Code::ValidationFailed));
}

#[test]
fn views_come_in_bounded_batches_of_edges_alone() {
    let mut world = play(
        "12:00:00  views S1 3                  -> done
        12:00:01  views S1 4                   -> done
        12:00:02  views S9 4                   -> done
        12:00:03  views S1 4000000             -> done",
    );
    let row = world.market.view().story(story("S1")).expect("listed");
    assert_eq!(row.counts.views, 7 + u64::from(limits::VIEWS_PER_COUNT_MAX));
    assert_eq!(row.heat(world.market.last_at()), row.counts.views);
    assert_eq!(row.heat(world.market.last_at().plus(Millis::from_hours(25))), 0);
    let counts = vec![ViewCount { story: story("S1"), views: 1 }; limits::VIEW_COUNTS_MAX + 1];
    let many = Command::Social(SocialCommand::CountViews { counts });
    assert_eq!(answer(&mut world, "a", many.clone()).code(), Some(Code::Forbidden));
    let edge = Actor::Edge(crate::script::edge_named("e1").expect("an edge"));
    let at = world.market.last_at();
    assert_eq!(world.direct(at, edge, many).code(), Some(Code::ValidationFailed));
}

#[test]
fn feed_preferences_are_bounded_and_come_back_as_they_were_set() {
    let mut world = play("12:00:00 tick ->");
    let mut wanted = FeedPreferences::default();
    wanted.preferred_tags.insert(Category::parse("wood").expect("a tag"));
    wanted.blocked_makers = (1..=200).map(UserId::from_bits).collect();
    let set = |wanted: &FeedPreferences| {
        Command::Social(SocialCommand::SetFeedPreferences(Box::new(wanted.clone())))
    };
    assert!(answer(&mut world, "a", set(&wanted)).is_accepted());
    let a = person("a").expect("a letter");
    assert_eq!(world.market.feed_profile(a).preferences, wanted);
    wanted.blocked_makers.insert(UserId::from_bits(999));
    assert_eq!(answer(&mut world, "a", set(&wanted)).code(), Some(Code::LimitReached));
    wanted.blocked_makers.clear();
    wanted.preferred_tags =
        (0..21).map(|tag| Category::parse(&format!("tag-{tag}")).expect("a tag")).collect();
    assert_eq!(answer(&mut world, "a", set(&wanted)).code(), Some(Code::LimitReached));
}

#[test]
fn a_takedown_names_its_ground_and_reason_in_the_status() {
    let world = play("12:00:00  takedown S1 -> done; S1 hidden");
    let status = world.market.story_status(story("S1")).expect("known");
    assert_eq!(status.measures.len(), 1);
    assert_eq!(status.measures[0].ground, Some(TakedownGround::Policy));
    assert!(status.appeal_by.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever people do in whatever order: rows, counts and views agree, nothing is shown
    /// without a decision, and restore after a snapshot is the same market.
    #[test]
    fn any_history_of_a_story_keeps_every_invariant(steps in prop::collection::vec(0_usize..20, 1..60)) {
        let lines = [
            "save S3 m base 1", "save S1 m base 1 title Jug", "save S1 m base 2 title Jar",
            "submit S3 m", "takeback S3 m", "takeback S1 m", "approve S3", "approve S1",
            "reject S3", "reject S1", "publish S3 m", "putaway S3 m", "takedown S1", "restore S1",
            "like S1 a", "unlike S1 a", "report S1 a", "rollback S1 m 1", "share S1 a", "views S1 2",
        ];
        let mut world = play("12:00:00 save S3 m -> done");
        for step in steps {
            let at = world.market.last_at().plus(Millis::from_secs(1));
            world.give(at, lines[step]).expect("a line");
            prop_assert_eq!(world.market.violations(), Vec::<String>::new());
        }
        let minimum = Money::new(10_000, fairground_types::Currency::Eur);
        prop_assert!(world.market.view().stories().all(|row| row.contents.minimum_offer == minimum));
        let _: &Market = &world.market;
    }
}
