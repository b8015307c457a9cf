//! The test clock, settings, flags, templates, versions of the rules, and what is written down.

use fairground_types::command::{
    AccountCommand, Actor, ClusterCommand, Command, Entry, GovernCommand, InitialiseCluster,
    LogCommand, MarketPolicy,
};
use fairground_types::flag::FlagSubject;
use fairground_types::text::Note;
use fairground_types::{
    ClusterId, Code, Flag, FlagValue, Millis, Role, Timestamp, UserId, Verdict,
};
use proptest::prelude::*;

use super::laws::{Player, step};
use crate::row::AuditFilter;
use crate::script::{World, person};
use crate::{AuditRow, Market, RULES_VERSION};

fn plays(table: &str) -> World {
    World::play(table).unwrap_or_else(|why| panic!("{why}"))
}

fn audit(market: &Market) -> Vec<AuditRow> {
    market.audit(1, &AuditFilter::default()).collect()
}

#[test]
fn the_entry_that_moves_the_clock_closes_nothing_and_the_next_marks_do() {
    plays(
        "policy initial 1h, window 15m, extension 15m
        12:00:00  offer S1 a EUR 100.00           -> opened A; A closes 13:00:00
        12:00:01  advance op 2h                   -> done
        14:00:01  tick outage                     ->
        14:00:02  tick mark e1 12:59:59 outage    ->
        14:00:03  tick mark e1 14:00:02 outage    -> A locked to a at 100.00 (AutoAtClose)",
    );
}

#[test]
fn an_edge_has_its_whole_grace_after_the_clock_was_moved() {
    plays(
        "policy initial 1h, window 15m, extension 15m, grace 30s
        12:00:00      offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
        12:00:01      advance op 2h           -> done
        14:00:01      tick outage             ->
        14:00:03      bid A b EUR 105.00 stamp 12:59:59.999 valid 300s -> BID_EXPIRED
        14:00:20      tick outage             ->",
    );
    plays(
        "policy initial 1h, window 15m, extension 15m, grace 30s
        intake e1
        12:00:00      offer S1 a EUR 100.00   -> opened A; A closes 13:00:00
        12:00:01      advance op 2h           -> done
        12:00:01      silence e1              ->
        14:00:01      tick outage             ->
        14:00:31.001  silence e1              -> A locked to a at 100.00 (AutoAtClose) without e1",
    );
}

#[test]
fn an_advance_is_never_an_outage_and_an_outage_is_one_all_the_same() {
    // The close is in what the clock left out: an outage of that length would have moved it.
    let world = plays(
        "policy initial 1h, window 15m, extension 15m
        12:00:00  offer S1 a EUR 100.00           -> opened A; A closes 13:00:00
        12:00:01  advance op 30m                  -> done
        12:30:01  tick outage                     ->
        12:59:00  tick                            ->",
    );
    assert_eq!(world.market.clock_offset(), Millis::from_mins(30));
    plays(
        "policy initial 1h, window 15m, extension 15m
        12:00:00  offer S1 a EUR 100.00           -> opened A; A closes 13:00:00
        12:00:01  advance op 30m                  -> done
        13:10:00  tick outage                     -> A closes 13:25:00",
    );
}

#[test]
fn the_clock_is_moved_by_an_admin_of_a_sandbox_within_bounds() {
    plays(
        "12:00:00  advance a 1h     -> FORBIDDEN
        12:00:01  advance z 1h     -> AUTH_REQUIRED
        12:00:02  advance op 0s    -> VALIDATION_FAILED
        12:00:03  advance op 367d  -> VALIDATION_FAILED
        12:00:04  advance op 366d  -> done",
    );
    let mut market = Market::default();
    let cluster = InitialiseCluster {
        cluster: ClusterId::from_bits(1),
        policy: MarketPolicy::default(),
        keys: vec![],
        sandbox: false,
        rules: 1,
    };
    let reason = Note::parse("trying it out").expect("valid");
    let advance = GovernCommand::AdvanceClock { by: Millis::from_hours(1), reason };
    let commands =
        [Command::Cluster(ClusterCommand::InitialiseCluster(cluster)), Command::Govern(advance)];
    let commands = commands.into_iter().zip(1_u8..).map(|(command, id)| {
        LogCommand::Direct(fairground_types::command::Envelope {
            id: fairground_types::CommandId::from_bytes([id; 32]),
            actor: Actor::Cluster,
            command,
        })
    });
    let entry = Entry {
        term: 1,
        at: Timestamp::from_unix_millis(1),
        marks: vec![],
        commands: commands.collect(),
    };
    let applied = market.apply(fairground_types::LogIndex(1), &entry);
    assert_eq!(applied.outcomes.last().and_then(Verdict::code), Some(Code::InvalidState));
    assert_eq!(market.clock_offset(), Millis::ZERO);
    assert!(!market.is_sandbox());
}

#[test]
fn settings_have_versions_and_running_auctions_keep_theirs() {
    let world = plays(
        "policy initial 1h, window 0s
        12:00:00  offer S1 a EUR 100.00            -> opened A; A closes 13:00:00
        12:00:01  settings a 1 initial 2h          -> FORBIDDEN
        12:00:02  settings op 1 grace 1s           -> VALIDATION_FAILED
        12:00:03  settings op 7 initial 2h         -> VERSION_CONFLICT
        12:00:04  settings op 1 initial 2h         -> done
        12:00:05  settings op 1 initial 3h         -> VERSION_CONFLICT
        12:00:06  offer S2 a EUR 100.00 opens B    -> opened B; B closes 14:00:06
        12:00:07  revert op 9 2                    -> NOT_FOUND
        12:00:08  revert op 1 1                    -> VERSION_CONFLICT
        12:00:09  revert op 1 2                    -> done
        12:30:00  bid A b EUR 105.00               -> placed
        13:00:00  tick marks 13:00:00              -> A locked to b at 105.00 (AutoAtClose)",
    );
    let market = &world.market;
    assert_eq!(market.policy_version(), 3);
    assert_eq!(market.policy().auction.initial, Millis::from_hours(1));
    let versions: Vec<(u64, bool)> =
        market.policy_history().map(|known| (known.version, known.at().is_some())).collect();
    assert_eq!(versions, [(1, false), (2, true), (3, true)]);
}

#[test]
fn flags_are_typed_versioned_and_killed_without_a_version() {
    let world = plays(
        "12:00:00  flag a auctions.enabled off 0       -> FORBIDDEN
        12:00:01  flag op auctions.enabled seven 0    -> VALIDATION_FAILED
        12:00:02  flag op feed.personalised 101 0     -> VALIDATION_FAILED
        12:00:03  flag op auctions.enabled off 3      -> VERSION_CONFLICT
        12:00:04  flag op auctions.enabled off x      -> VALIDATION_FAILED
        12:00:05  flag op auctions.region_allowlist EU! 0 -> VALIDATION_FAILED
        12:00:06  offer S1 a EUR 100.00               -> opened A; A closes 3d12:00:06
        12:00:07  flag op auctions.enabled on kill    -> done; auctions.enabled changed
        12:00:08  bid A b EUR 105.00                  -> FEATURE_DISABLED
        12:00:09  offer S2 b EUR 105.00 opens B       -> FEATURE_DISABLED
        12:00:10  flag op auctions.enabled default 1  -> done; auctions.enabled changed
        12:00:11  bid A b EUR 105.00                  -> placed
        12:00:12  flag op auctions.region_allowlist us,asia 0 -> done; auctions.region_allowlist changed
        12:00:13  bid A c EUR 110.00                  -> FEATURE_DISABLED
        12:00:14  flag op auctions.region_allowlist us,eu 1 -> done; auctions.region_allowlist changed
        12:00:15  bid A c EUR 110.00                  -> placed",
    );
    let state = world.market.flag(Flag::AuctionsEnabled).expect("it was set");
    assert_eq!((state.version, state.setting.is_none(), state.history.len()), (2, true, 2));
    let subject = FlagSubject { user: Some(UserId::from_bits(1)), region: None };
    for flag in Flag::ALL {
        assert_eq!(
            world.market.flag_value(*flag, subject),
            world.market.view().flag(*flag, subject)
        );
    }
    let list = world.market.view().flag(Flag::AuctionsRegionAllowlist, subject);
    assert!(matches!(list, FlagValue::Text(text) if text.as_str() == "us,eu"));
}

#[test]
fn templates_say_only_what_stands_for_something() {
    let world = plays(
        "12:00:00  template a won push en 0 {title}!      -> FORBIDDEN
        12:00:01  template op won sms en 0 {title}!      -> VALIDATION_FAILED
        12:00:02  template op won push en 0 {name}!      -> VALIDATION_FAILED
        12:00:03  template op won push en 0 {title       -> VALIDATION_FAILED
        12:00:04  template op won push en 1 {title}!     -> VERSION_CONFLICT
        12:00:05  template op won push en 0 {title}!     -> done
        12:00:06  template op won push en 1 default      -> done",
    );
    let (_, state) = world.market.templates().next().expect("it was set");
    assert_eq!((state.version, state.text.is_none(), state.history.len()), (2, true, 2));
}

fn under_rules_1(intake: &[&str]) -> World {
    let mut policy = MarketPolicy::default();
    policy.auction.initial = Millis::from_hours(1);
    World::under_rules(policy, intake, 1).expect("the set-up is accepted")
}

fn govern(world: &mut World, actor: Actor, command: GovernCommand) -> Option<Code> {
    let at = world.market.last_at().plus(Millis::new(1));
    world.direct(at, actor, Command::Govern(command)).code()
}

#[test]
fn newer_rules_wait_until_every_member_and_edge_knows_them() {
    let mut world = under_rules_1(&["e1", "e2"]);
    let reason = || Note::parse("a step forward").expect("valid");
    let activate = |version| GovernCommand::ActivateRules { version, reason: reason() };
    let knows = |member, known| GovernCommand::ReportRules { member, known };
    let member = Some(fairground_types::MemberId(1));
    let edge = |name| Actor::Edge(crate::script::edge_named(name).expect("valid"));
    let op = || Actor::Cluster;
    assert_eq!(govern(&mut world, op(), activate(1)), Some(Code::InvalidState));
    assert_eq!(govern(&mut world, op(), activate(2)), Some(Code::InvalidState));
    let stranger = Some(fairground_types::MemberId(9));
    assert_eq!(govern(&mut world, op(), knows(stranger, 2)), Some(Code::NotFound));
    assert_eq!(govern(&mut world, edge("e1"), knows(member, 2)), Some(Code::Forbidden));
    assert_eq!(govern(&mut world, op(), knows(member, 9)), None);
    assert_eq!(govern(&mut world, op(), activate(2)), Some(Code::InvalidState));
    assert_eq!(govern(&mut world, edge("e1"), knows(None, 9)), None);
    assert_eq!(govern(&mut world, op(), activate(2)), Some(Code::InvalidState));
    assert_eq!(govern(&mut world, edge("e2"), knows(None, 2)), None);
    assert_eq!(govern(&mut world, op(), activate(9)), Some(Code::InvalidState));
    assert_eq!(govern(&mut world, op(), activate(2)), None);
    assert_eq!(world.market.rules_version(), 2);
    assert_eq!(world.market.view().rules(), 2);
    assert_eq!(govern(&mut world, op(), activate(2)), Some(Code::InvalidState));
    // An edge that knows only older rules stays out of the intake.
    assert_eq!(govern(&mut world, edge("e3"), knows(None, 1)), None);
    let e3 = crate::script::edge_named("e3").expect("valid");
    let admit = ClusterCommand::AdmitEdge {
        edge: e3.clone(),
        tail: fairground_types::journal::Tail::START,
    };
    let at = world.market.last_at();
    let refused = world.direct(at, edge("e3"), Command::Cluster(admit.clone()));
    assert_eq!(refused.code(), Some(Code::InvalidState));
    assert_eq!(govern(&mut world, edge("e3"), knows(None, 2)), None);
    assert!(world.direct(at, edge("e3"), Command::Cluster(admit)).is_accepted());
}

#[test]
fn rules_2_close_an_auction_at_a_full_second_and_rules_1_do_not() {
    let opened = Timestamp::from_unix_millis(10_001);
    let latest = Timestamp::from_unix_millis(1_000_000);
    let close = |rules, latest| {
        let world = World::under_rules(MarketPolicy::default(), &[], rules).expect("accepted");
        world.market.first_close(opened, Millis::from_secs(60), latest).as_unix_millis()
    };
    assert_eq!(close(1, latest), 70_001);
    assert_eq!(close(2, latest), 71_000);
    assert_eq!(close(2, Timestamp::from_unix_millis(70_500)), 70_500);
    assert!(World::under_rules(MarketPolicy::default(), &[], RULES_VERSION + 1).is_err());
    assert!(World::under_rules(MarketPolicy::default(), &[], 0).is_err());
}

#[test]
fn every_privileged_command_is_written_down_also_a_refused_one() {
    let mut world = plays(
        "12:00:00  offer S1 a EUR 100.00      -> opened A; A closes 3d12:00:00
        12:00:01  flag a auctions.enabled off 0 -> FORBIDDEN
        12:00:02  bid A b EUR 105.00         -> placed
        12:00:03  cancel A                   -> done; A closed (Cancelled)
        12:00:04  cancel A                   -> AUCTION_CLOSED
        12:00:05  read-all b                 -> done",
    );
    let rows = audit(&world.market);
    let tail: Vec<(&str, &str, Option<Code>)> = rows
        .iter()
        .rev()
        .take(3)
        .rev()
        .map(|row| (row.actor.as_str(), row.action.as_str(), row.refused))
        .collect();
    let a = person("a").expect("valid").to_string();
    let expected = [
        (a.as_str(), "Govern.SetFlag", Some(Code::Forbidden)),
        ("operator", "Auction.CancelAuction", None),
        ("operator", "Auction.CancelAuction", Some(Code::AuctionClosed)),
    ];
    assert_eq!(tail, expected);
    let [.., denied, done, again] = rows.as_slice() else { panic!("there are three") };
    assert_eq!(denied.before, denied.after);
    assert_ne!(done.before, done.after);
    assert_eq!((done.after, again.before), (again.after, again.after));
    assert!(done.reason.is_some());

    let about = |filter: &AuditFilter| world.market.audit(1, filter).count();
    let auction = crate::script::auction_named("A").expect("valid");
    assert_eq!(about(&AuditFilter { auction: Some(auction), ..AuditFilter::default() }), 2);
    let user = Some(person("a").expect("valid"));
    // The account was made by the operator; then it tried something.
    assert_eq!(about(&AuditFilter { user, ..AuditFilter::default() }), 2);
    let from = Some(world.market.last_at().minus(Millis::from_secs(2)));
    assert_eq!(about(&AuditFilter { from, ..AuditFilter::default() }), 2);
    let until = from;
    assert_eq!(about(&AuditFilter { until, ..AuditFilter::default() }), rows.len() - 2);

    // Saying the same again is one act.
    let grant = AccountCommand::GrantRole { user: person("a").expect("valid"), role: Role::Admin };
    let at = world.market.last_at();
    assert!(world.direct(at, Actor::Cluster, Command::Account(grant)).is_accepted());
    assert_eq!(audit(&world.market).len(), rows.len() + 1);
    let entry = world.log.last().cloned().expect("there is one");
    world.apply(entry);
    assert_eq!(audit(&world.market).len(), rows.len() + 1);
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

/// The grace of a silent edge is over at 13:00:03, and the buyer's window begins then, whether an entry
/// came at that moment or the next one later.
#[test]
fn what_is_due_is_dated_by_when_it_was_due() {
    let ends = |rules: u32, ticks: &str| {
        let world = plays(&format!(
            "rules {rules}
            policy initial 1h, window 0s, grace 3s
            12:00:00      offer S1 a EUR 100.00 -> opened A; A closes 13:00:00
            13:00:02      tick                  ->
            {ticks}"
        ));
        let locks = world.market.locks_of(person("a").expect("valid"));
        locks.first().expect("there is a lock").expires_at
    };
    let exact = "13:00:03      tick outage -> A locked to a at 100.00 (AutoAtClose) without e1
            13:00:04.500  tick outage           ->";
    let late = "13:00:04.500  tick outage -> A locked to a at 100.00 (AutoAtClose) without e1";
    assert_eq!(ends(3, exact), ends(3, late));
    assert_eq!(ends(2, exact).plus(Millis::new(1_500)), ends(2, late));
}

/// An entry without commands that name a lock or an effect: the market calls those after the entry
/// that made them, so with one Tick more or less before it they are called otherwise.
fn without_given_names(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    entry.commands.retain(|command| match command {
        LogCommand::Direct(envelope) => {
            !matches!(envelope.command, Command::Payment(_) | Command::Finance(_))
        }
        LogCommand::Batch(_) => true,
    });
    entry
}

/// Verdicts by command, without where in the log they fell.
fn verdicts(log: &[Entry]) -> Vec<(String, Option<Code>)> {
    let mut market = Market::default();
    let mut told = Vec::new();
    for (index, entry) in (1_u64..).zip(log) {
        let applied = market.apply(fairground_types::LogIndex(index), entry);
        let direct = applied.outcomes.iter().map(|verdict| ("direct".to_owned(), verdict.code()));
        told.extend(direct);
        let judged = applied
            .judged
            .iter()
            .map(|told| (format!("{} {}", told.edge, told.seq), told.judged.verdict.code()));
        told.extend(judged);
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_tick_without_a_mark_is_only_a_nudge(
        steps in proptest::collection::vec(step(), 1..60),
        choices in proptest::collection::vec(0..4_u8, 64),
    ) {
        let mut player = Player::new();
        for step in steps {
            player.play(&step);
        }
        // Ticks in between, as a leader makes them when an auction is open.
        let mut ticked: Vec<Entry> = Vec::new();
        for entry in &player.world.log {
            let entry = &without_given_names(entry);
            if let Some(last) = ticked.last() {
                let half = Millis::new(entry.at.since(last.at).as_millis() / 2);
                if half > Millis::ZERO && half <= Millis::from_secs(1) && entry.term == last.term {
                    let at = last.at.plus(half);
                    ticked.push(Entry { term: last.term, at, marks: vec![], commands: vec![] });
                }
            }
            ticked.push(entry.clone());
        }
        let mut changed: Vec<Entry> = Vec::new();
        for (place, entry) in ticked.iter().enumerate() {
            let next = ticked.get(place + 1);
            let gap_after =
                next.map_or(Millis::from_hours(1), |next| next.at.since(entry.at));
            let gap_without = next.zip(changed.last())
                .map_or(Millis::from_hours(1), |(next, last)| next.at.since(last.at));
            let choice = choices.get(place % choices.len()).copied().unwrap_or(0);
            match choice {
                // A gap that is a pause of the leader is a fact, not a nudge.
                1 if entry.is_nudge() && gap_without <= fairground_types::limits::RESUME_GAP => {}
                2 if entry.is_nudge() => changed.extend([entry.clone(), entry.clone()]),
                // A later one would shorten the pause that follows it.
                3 if entry.is_nudge() && gap_after <= fairground_types::limits::RESUME_GAP => {
                    let last = changed.last().map_or(Timestamp::EPOCH, |last| last.at);
                    let latest = last.plus(fairground_types::limits::RESUME_GAP);
                    let at = next.map_or(entry.at, |next| next.at).min(latest).max(entry.at);
                    changed.push(Entry { at, ..entry.clone() });
                }
                _ => changed.push(entry.clone()),
            }
        }
        prop_assert_eq!(verdicts(&ticked), verdicts(&changed));
    }
}
