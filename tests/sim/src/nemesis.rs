//! Who does to a world what its plan says, and gets up what fell by itself.
//!
//! One loop: the next act, or a look at every process. A process whose store failed is killed and
//! started again, as a supervisor does; one that the plan killed waits for the plan. It must not check
//! anything but that what is durable opens again.

use std::sync::Arc;
use std::time::Duration;

use fairground_seam::sim::Chance;
use fairground_types::command::{Actor, Command, GovernCommand};
use fairground_types::text::Note;
use fairground_types::{MemberId, Millis};
use fairground_wire::message::StreamKind;
use tokio::time::Instant;

use crate::people;
use crate::plan::{Act, EDGES, JOINER, MEMBERS, Who};
use crate::world::{World, lock};
use crate::{hostile, plan::Plan};

/// How often processes are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long after a leader's death somebody has voted at the latest, and how often that is looked at.
const ELECTION_WAIT: Duration = Duration::from_secs(3);
const ELECTION_LOOK: Duration = Duration::from_micros(500);

/// See the module.
pub struct Nemesis {
    world: Arc<World>,
    down: Vec<Who>,
    fallen: Vec<Who>,
    chance: Chance,
}

impl Nemesis {
    /// Nothing is down.
    pub fn new(world: &Arc<World>) -> Self {
        let chance = world.chance();
        Self { world: Arc::clone(world), down: Vec::new(), fallen: Vec::new(), chance }
    }

    /// Carries the plan out; `begin` is its time zero.
    pub async fn run(&mut self, begin: Instant) {
        let Plan { acts, active, .. } = self.world.plan.clone();
        let mut acts = acts.into_iter().peekable();
        let end = begin + active;
        loop {
            let next = acts.peek().map(|(at, _)| begin + *at);
            let until = next.unwrap_or(end).min(Instant::now() + LOOK);
            tokio::time::sleep_until(until).await;
            while let Some((_, act)) = acts.next_if(|(at, _)| begin + *at <= Instant::now()) {
                self.world.trace.note("nemesis", &format!("{act:?}"));
                self.act(act).await;
            }
            self.begin_again().await;
            self.supervise().await;
            if Instant::now() >= end {
                return;
            }
        }
    }

    /// Ends every trouble and gets everything up.
    pub async fn heal(&mut self) {
        let world = Arc::clone(&self.world);
        world.trace.note("nemesis", "heals");
        world.net.heal_all();
        for slot in &world.members {
            slot.pace.set(world.plan.commit);
        }
        for slot in &world.edges {
            slot.pace.set(world.plan.commit);
        }
        self.supervise().await;
        self.restart_all().await;
    }

    /// A member begins again from a snapshot in which a bid is held: it must judge it as others do.
    async fn begin_again(&mut self) {
        let is_raced = std::mem::take(&mut lock(&self.world.record).is_raced);
        if !is_raced || !self.chance.permille(400) {
            return;
        }
        self.world.trace.count("member began again while a bid was held");
        let place = usize::try_from(self.chance.below(u64::try_from(MEMBERS).unwrap_or(1)));
        let who = Who::Member(place.unwrap_or(0));
        self.act(Act::Snapshot).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.act(Act::Crash { who, power: false }).await;
        self.act(Act::RestartAll).await;
    }

    /// Looks after what fell by itself.
    pub async fn supervise(&mut self) {
        let world = Arc::clone(&self.world);
        for who in std::mem::take(&mut self.fallen) {
            self.start(who).await;
        }
        for place in 0..world.members.len() {
            let Some(member) = world.member(place) else { continue };
            let is_dead = world.member_disks(place).is_some_and(|disk| disk.is_dead());
            if is_dead || !member.runs() {
                world.trace.count("member fell by its disk");
                world.kill_member(place, true).await;
                self.fallen.push(Who::Member(place));
            }
        }
        for place in 0..EDGES {
            let Some(edge) = world.edge(place) else { continue };
            let is_dead = world.edge_disk(place).is_some_and(|disk| disk.is_dead());
            if is_dead || edge.has_failed() {
                world.trace.count("edge fell by its disk");
                world.kill_edge(place, true).await;
                self.fallen.push(Who::Edge(place));
            } else if edge.needs_new_identity() {
                world.trace.count("edge got a new identity");
                world.kill_edge(place, false).await;
                if let Err(error) = world.renew_edge(place).await {
                    world.trace.note("nemesis", &format!("edge not renewed: {error:#}"));
                    self.fallen.push(Who::Edge(place));
                }
            }
        }
    }

    async fn start(&mut self, who: Who) {
        let world = Arc::clone(&self.world);
        let started = match who {
            Who::Member(place) if world.member(place).is_none() => world.start_member(place).await,
            Who::Edge(place) if world.edge(place).is_none() && world.edge_id(place).is_some() => {
                let started = world.start_edge(place);
                self.check_journal(place);
                started
            }
            Who::Member(_) | Who::Edge(_) | Who::Leader => return,
        };
        world.trace.check(
            "what_is_durable_opens_again",
            started.map_err(|error| format!("{who:?}: {error:#}")),
        );
    }

    /// EJ-1: what a receipt was given for is in the journal after any restart.
    fn check_journal(&self, place: usize) {
        let world = &self.world;
        let (Some(edge), Some(id)) = (world.edge(place), world.edge_id(place)) else { return };
        let record = lock(&world.record);
        if record.tainted.contains(&id) {
            return;
        }
        for receipt in record.receipts.iter().filter(|receipt| receipt.edge == id) {
            let hash = edge.journal().hash_at(receipt.claims.seq).ok().flatten();
            world.trace.check(
                "ej1_receipted_entry_survives",
                if hash == Some(receipt.claims.hash) {
                    Ok(())
                } else {
                    Err(format!("{id}/{} is not in the journal", receipt.claims.seq))
                },
            );
        }
    }

    async fn restart_all(&mut self) {
        for who in std::mem::take(&mut self.down) {
            self.start(who).await;
        }
        for who in std::mem::take(&mut self.fallen) {
            self.start(who).await;
        }
    }

    fn member_place(&self, who: Who) -> Option<usize> {
        match who {
            Who::Member(place) => Some(place),
            Who::Leader => self.world.leader(),
            Who::Edge(_) => None,
        }
    }

    async fn crash(&mut self, who: Who, power: bool) {
        let world = Arc::clone(&self.world);
        match who {
            Who::Edge(place) => {
                if world.edge(place).is_some() {
                    world.kill_edge(place, power).await;
                    self.down.push(who);
                }
            }
            Who::Member(_) | Who::Leader => {
                let Some(place) = self.member_place(who) else { return };
                if world.member(place).is_none() {
                    return;
                }
                if world.leader() == Some(place) {
                    world.trace.count("leader died");
                }
                world.kill_member(place, power).await;
                self.down.push(Who::Member(place));
            }
        }
    }

    /// Between a vote and the first word of who won by it, nothing but the vote itself says that it
    /// was given.
    async fn crash_voters(&mut self) {
        let world = Arc::clone(&self.world);
        self.crash(Who::Leader, true).await;
        let until = Instant::now() + ELECTION_WAIT;
        while Instant::now() < until {
            tokio::time::sleep(ELECTION_LOOK).await;
            for place in 0..MEMBERS {
                let has_voted = world.member(place).and_then(|member| member.saved_vote());
                if has_voted.is_some_and(|vote| !vote.committed) {
                    world.trace.count("voter died");
                    self.crash(Who::Member(place), true).await;
                    return;
                }
            }
        }
    }

    async fn act(&mut self, act: Act) {
        let world = Arc::clone(&self.world);
        match act {
            Act::Crash { who, power } => self.crash(who, power).await,
            Act::CrashVoters => self.crash_voters().await,
            Act::CrashAll => {
                world.trace.count("whole cluster died");
                for place in 0..world.members.len() {
                    self.crash(Who::Member(place), true).await;
                }
            }
            Act::RestartAll => self.restart_all().await,
            Act::Roll(who) => self.roll(who).await,
            Act::Cut(..)
            | Act::Isolate(_)
            | Act::CutEdges
            | Act::HoldBatches(_)
            | Act::HoldBeats(_)
            | Act::HealAll
            | Act::Sever(..)
            | Act::Freeze(..) => self.wires(act),
            Act::StepWall(who, by) => self.step(who, by),
            Act::Drift(who, ppm) => {
                if let Some(clock) = self.clock(who) {
                    fairground_seam::sim::drift(clock, ppm);
                }
            }
            Act::FailSyncs(_) | Act::FillDisk(..) | Act::DieWriting(..) | Act::SlowDisk(..) => {
                self.disks(act);
            }
            Act::RemoveVoter(place) => self.remove_voter(place).await,
            Act::Join => self.join().await,
            Act::Snapshot => {
                for member in (0..MEMBERS).filter_map(|place| world.member(place)) {
                    member.snapshot().await;
                }
            }
            Act::HandOver => {
                if let Some(member) = world.leader().and_then(|place| world.member(place)) {
                    member.hand_over().await;
                }
            }
            Act::KeepImage(place) => world.keep_image(place),
            Act::RestoreImage(place) => self.restore(place).await,
            Act::LoseDisk(place) => self.lose(place).await,
            Act::AdvanceClock(_) | Act::ActivateRules => self.govern(act).await,
            Act::Nudge(times) => {
                for _ in 0..times {
                    if let Some(member) = world.leader().and_then(|place| world.member(place)) {
                        member.nudge();
                    }
                    tokio::time::sleep(Duration::from_millis(15)).await;
                }
            }
            Act::Accept => people::accept(&world).await,
            Act::Retract => people::retract(&world).await,
            Act::Hostile => hostile::speak(&world).await,
        }
    }

    async fn roll(&mut self, who: Who) {
        let world = Arc::clone(&self.world);
        match who {
            Who::Edge(place) if world.edge(place).is_some() => {
                world.stop_edge(place).await;
                self.start(who).await;
            }
            Who::Member(place) if world.member(place).is_some() => {
                world.stop_member(place).await;
                self.start(who).await;
            }
            Who::Edge(_) | Who::Member(_) | Who::Leader => {}
        }
    }

    fn wires(&mut self, act: Act) {
        let world = &self.world;
        let members = world.member_processes();
        match act {
            Act::Cut(from, to) => {
                if let (Some(from), Some(to)) = (world.process(from), world.process(to)) {
                    world.net.cut(from, to);
                }
            }
            Act::Isolate(who) => {
                if let Who::Edge(_) = who {
                    world.trace.count("edge cut off");
                }
                let Some(one) = world.process(who) else { return };
                for other in world.processes().into_iter().filter(|other| *other != one) {
                    world.net.cut(one, other);
                    world.net.cut(other, one);
                }
            }
            Act::CutEdges => {
                world.trace.count("edge cut off");
                for edge in (0..EDGES).filter_map(|place| world.process(Who::Edge(place))) {
                    for member in &members {
                        world.net.cut(edge, *member);
                        world.net.cut(*member, edge);
                    }
                }
            }
            Act::HoldBatches(place) | Act::HoldBeats(place) => {
                let is_beat = matches!(act, Act::HoldBeats(_));
                let kind = if is_beat { StreamKind::Beat } else { StreamKind::Uplink };
                world.trace.count(if is_beat { "beats held" } else { "batches held" });
                let Some(edge) = world.process(Who::Edge(place)) else { return };
                for member in &members {
                    world.net.hold(edge, *member, kind.to_byte());
                }
            }
            Act::Sever(one, other) => {
                if let (Some(one), Some(other)) = (world.process(one), world.process(other)) {
                    world.net.sever(one, other);
                }
            }
            Act::Freeze(who, span) => {
                if let Who::Edge(_) = who {
                    world.trace.count("edge suspended");
                }
                if let Some(process) = world.process(who) {
                    world.net.freeze(process, Instant::now() + span);
                }
            }
            _ => world.net.heal_all(),
        }
    }

    fn clock(&self, who: Who) -> Option<u32> {
        match who {
            Who::Edge(place) => self.world.edges.get(place).map(|slot| slot.clock),
            Who::Member(_) | Who::Leader => {
                let place = self.member_place(who)?;
                self.world.members.get(place).map(|slot| slot.clock)
            }
        }
    }

    fn step(&self, who: Who, by: i64) {
        let world = &self.world;
        if matches!(who, Who::Edge(_)) {
            world.trace.count("edge's wall clock stepped");
        } else if self.member_place(who).is_some_and(|place| world.leader() == Some(place)) {
            world.trace.count("leader's wall clock stepped");
        }
        if let Some(clock) = self.clock(who) {
            fairground_seam::sim::step(clock, by);
        }
    }

    fn disks(&self, act: Act) {
        let (Act::FailSyncs(who)
        | Act::FillDisk(who, _)
        | Act::DieWriting(who, _)
        | Act::SlowDisk(who, _)) = act
        else {
            return;
        };
        let world = &self.world;
        let (disk, pace) = match who {
            // A disk is broken under a process: one that is down finds it whole when it starts.
            Who::Edge(place) if world.edge(place).is_some() => {
                (world.edge_disk(place), world.edges.get(place).map(|slot| slot.pace.clone()))
            }
            Who::Edge(_) => return,
            Who::Member(_) | Who::Leader => {
                let Some(place) = self.member_place(who).filter(|it| world.member(*it).is_some())
                else {
                    return;
                };
                let pace = world.members.get(place).map(|slot| slot.pace.clone());
                (world.member_disks(place), pace)
            }
        };
        let (Some(disk), Some(pace)) = (disk, pace) else { return };
        match act {
            Act::FailSyncs(_) => disk.fail_syncs(),
            Act::FillDisk(_, writes) => disk.fail_writes_after(writes),
            Act::DieWriting(_, operations) => disk.die_after(operations),
            Act::SlowDisk(_, commit) => pace.set(commit),
            _ => {}
        }
    }

    async fn remove_voter(&mut self, place: usize) {
        let world = Arc::clone(&self.world);
        let Some(leader) = world.leader().and_then(|leader| world.member(leader)) else { return };
        let voter = MemberId(u64::try_from(place).unwrap_or(0).saturating_add(1));
        match leader.remove_voter(voter).await {
            Ok(()) => world.trace.count("voter removed"),
            Err(why) => world.trace.note("nemesis", &format!("no voter removed: {why}")),
        }
    }

    async fn join(&mut self) {
        let world = Arc::clone(&self.world);
        if world.has_joined() {
            return;
        }
        match world.join_member(JOINER).await {
            Ok(()) => world.trace.count("member joined"),
            Err(error) => world.trace.note("nemesis", &format!("nobody joined: {error:#}")),
        }
    }

    async fn restore(&mut self, place: usize) {
        let world = Arc::clone(&self.world);
        if world.edge(place).is_some() {
            world.kill_edge(place, false).await;
        }
        let is_image = world.restore_image(place);
        if is_image {
            world.trace.count("edge restored from an image");
        }
        self.down.retain(|who| *who != Who::Edge(place));
        self.fallen.retain(|who| *who != Who::Edge(place));
        self.start(Who::Edge(place)).await;
        if let (true, Some(edge), Some(id)) = (is_image, world.edge(place), world.edge_id(place)) {
            let tail = edge.journal().standing().tail.seq;
            lock(&world.record).came_back(&id, tail);
        }
    }

    async fn lose(&mut self, place: usize) {
        let world = Arc::clone(&self.world);
        if world.edge(place).is_none() {
            return;
        }
        world.kill_edge(place, true).await;
        world.trace.count("edge lost its disk");
        // A cluster that is down for longer than this leaves the edge as it is: down.
        if let Err(error) = world.renew_edge(place).await {
            world.trace.note("nemesis", &format!("edge not renewed: {error:#}"));
            self.down.push(Who::Edge(place));
        }
    }

    async fn govern(&mut self, act: Act) {
        let world = Arc::clone(&self.world);
        let Ok(reason) = Note::parse("the plan says so") else { return };
        let command = match act {
            Act::AdvanceClock(by) => {
                let by = Millis::new(u64::try_from(by.as_millis()).unwrap_or(0));
                GovernCommand::AdvanceClock { by, reason }
            }
            _ => {
                let version = fairground_market::RULES_VERSION;
                GovernCommand::ActivateRules { version, reason }
            }
        };
        if let Ok(judged) = world.submit(Actor::Cluster, Command::Govern(command)).await {
            let is_done = judged.verdict.is_accepted();
            world.trace.note("operator", &format!("{act:?} done {is_done}"));
            if is_done && matches!(act, Act::ActivateRules) {
                world.trace.count("rules put in force");
            }
        }
    }
}
