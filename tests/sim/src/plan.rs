//! What a seed decides before a world begins: rules, timing, and which faults come when.
//!
//! A swarm: each seed draws its own kinds of fault, so that no kind hides another. It must not touch
//! a world. Read next: `nemesis.rs`.

use std::time::Duration;

use fairground_coordinator::RaftOptions;
use fairground_runtime::config::DurationText;
use fairground_seam::sim::Chance;
use fairground_types::Millis;
use fairground_types::command::{AuctionPolicy, ExtensionMode, IncrementFloors, MarketPolicy};

/// Members at the start; one more may join.
pub const MEMBERS: usize = 3;
/// Edges.
pub const EDGES: usize = 3;
/// The member that joins under load, if one does.
pub const JOINER: usize = MEMBERS;

/// A process of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A member by its place.
    Member(usize),
    /// The member that leads when it comes to it.
    Leader,
    /// An edge by its place.
    Edge(usize),
}

/// Something that is done to a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A process dies; `power` loses what its disk had not synced.
    Crash {
        /// Which.
        who: Who,
        /// Whether the machine dies with it.
        power: bool,
    },
    /// The leader dies, and then whoever has voted for the next one, before that one is heard.
    CrashVoters,
    /// Every member dies at once.
    CrashAll,
    /// Whatever is down starts again.
    RestartAll,
    /// A process stops in order and starts again.
    Roll(Who),
    /// Nothing passes from one to the other.
    Cut(Who, Who),
    /// Nothing passes between this process and all others.
    Isolate(Who),
    /// Edges and members cannot reach each other.
    CutEdges,
    /// Journal entries do not pass from an edge, everything else does.
    HoldBatches(usize),
    /// Beats do not pass from an edge, everything else does.
    HoldBeats(usize),
    /// Cuts end.
    HealAll,
    /// Connections between two end, as by a middlebox.
    Sever(Who, Who),
    /// A wall clock jumps.
    StepWall(Who, i64),
    /// Clocks run fast or slow.
    Drift(Who, i64),
    /// A process hears and says nothing for a while.
    Freeze(Who, Duration),
    /// Syncs of a disk fail from here on.
    FailSyncs(Who),
    /// A disk takes so many more writes.
    FillDisk(Who, u64),
    /// The power goes in the middle of a write.
    DieWriting(Who, u64),
    /// Commits take so long from here on.
    SlowDisk(Who, Duration),
    /// A member loses its vote; the cluster gives it back.
    RemoveVoter(usize),
    /// Another member joins.
    Join,
    /// Members take snapshots.
    Snapshot,
    /// The leader hands over.
    HandOver,
    /// The test clock is moved.
    AdvanceClock(Duration),
    /// An image of an edge's disk is kept.
    KeepImage(usize),
    /// The edge comes back from the image that was kept.
    RestoreImage(usize),
    /// An edge's disk is lost.
    LoseDisk(usize),
    /// A newer version of the rules is put in force.
    ActivateRules,
    /// Entries that nobody needs.
    Nudge(u64),
    /// The maker of some auction accepts its highest bid.
    Accept,
    /// An admin takes back a bid.
    Retract,
    /// A hostile edge speaks.
    Hostile,
}

/// What a seed decides.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rules of the market.
    pub policy: MarketPolicy,
    /// Whether the test clock may be moved.
    pub sandbox: bool,
    /// Timing of Raft.
    pub raft: RaftOptions,
    /// Auctions.
    pub stories: usize,
    /// People who bid.
    pub bidders: usize,
    /// Mean pause of a bidder.
    pub pause: Duration,
    /// How long faults and bids go on.
    pub active: Duration,
    /// Least time of a way.
    pub latency: Duration,
    /// How much more it may take.
    pub jitter: Duration,
    /// Parts in a thousand that are sent again.
    pub loss_permille: u64,
    /// Time of a commit.
    pub commit: Duration,
    /// Whether somebody makes bids of the last second arrive in the wrong order.
    pub races: bool,
    /// Version of the rules at the start.
    pub rules: u32,
    /// What is done, in sequence.
    pub acts: Vec<(Duration, Act)>,
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Lengths of auctions so that they open, extend and close within a run.
fn auction_policy(chance: &mut Chance) -> AuctionPolicy {
    let window = chance.between(3, 12);
    let is_reset = chance.permille(200);
    let tier = Millis::from_secs(chance.between(8, 20));
    let cap = chance.between(0, 4).saturating_mul(10);
    AuctionPolicy {
        mode: if is_reset { ExtensionMode::Reset } else { ExtensionMode::AddToEnd },
        initial: Millis::from_secs(chance.between(15, 45)),
        window: Millis::from_secs(window),
        extension: Millis::from_secs(chance.between(4, 10)),
        extension_total_max: Millis::from_secs(cap),
        total_max: Millis::from_secs(chance.between(60, 120)),
        tier_common: tier,
        tier_popular: tier,
        tier_top: tier,
        high_value_bonus: Millis::ZERO,
        grace: Millis::from_secs(chance.between(3, 12)),
        increment_floor_minor: IncrementFloors::flat(100),
        ..AuctionPolicy::FIXED_72
    }
}

fn raft_options(chance: &mut Chance) -> RaftOptions {
    let heartbeat = chance.between(100, 200);
    let text = |millis: u64| DurationText::new(Millis::new(millis));
    RaftOptions {
        heartbeat: text(heartbeat),
        election_min: text(heartbeat.saturating_mul(4)),
        election_max: text(heartbeat.saturating_mul(8)),
        snapshot_entries: chance.between(20, 120),
    }
}

impl Plan {
    /// The plan of a seed; without faults when `is_calm`.
    #[must_use]
    pub fn of(seed: u64, is_calm: bool) -> Self {
        let mut chance = Chance::new(seed ^ 0x0A11_CE5E_ED5E_ED00);
        let mut policy =
            MarketPolicy { auction: auction_policy(&mut chance), ..MarketPolicy::default() };
        policy.offers.per_cycle_max = 100;
        policy.offers.per_hour_max = 1_000;
        policy.stories.clips_min = 1;
        let active = Duration::from_secs(chance.between(75, 120));
        let sandbox = chance.permille(300);
        let mut plan = Self {
            policy,
            sandbox,
            raft: raft_options(&mut chance),
            stories: usize::try_from(chance.between(2, 4)).unwrap_or(2),
            bidders: usize::try_from(chance.between(3, 7)).unwrap_or(3),
            pause: millis(chance.between(800, 3_000)),
            active,
            latency: Duration::from_micros(chance.between(200, 20_000)),
            jitter: Duration::from_micros(chance.between(0, 30_000)),
            loss_permille: if chance.permille(300) { chance.between(1, 100) } else { 0 },
            commit: Duration::from_micros(chance.between(200, 8_000)),
            rules: if chance.permille(300) { 1 } else { fairground_market::RULES_VERSION },
            races: !is_calm && chance.permille(300),
            acts: Vec::new(),
        };
        if !is_calm {
            plan.acts = Drawing { chance: &mut chance, active, acts: Vec::new() }.all(&plan);
        }
        plan
    }
}

/// Draws faults.
struct Drawing<'a> {
    chance: &'a mut Chance,
    active: Duration,
    acts: Vec<(Duration, Act)>,
}

impl Drawing<'_> {
    fn all(mut self, plan: &Plan) -> Vec<(Duration, Act)> {
        let kinds: [fn(&mut Self); 16] = [
            Self::crash_members,
            Self::crash_leaders,
            Self::crash_edges,
            Self::cuts,
            Self::partitions,
            Self::clocks,
            Self::freezes,
            Self::disks,
            Self::membership,
            Self::snapshots,
            Self::images,
            Self::holds,
            Self::outages,
            Self::trades,
            Self::hostile,
            Self::rolls,
        ];
        for kind in kinds {
            if self.chance.permille(350) {
                kind(&mut self);
            }
        }
        if plan.sandbox {
            let by = Duration::from_secs(self.chance.between(1, 60));
            self.once(Act::AdvanceClock(by));
        }
        if plan.rules < fairground_market::RULES_VERSION {
            self.once(Act::ActivateRules);
        }
        if self.chance.permille(350) {
            self.then(Act::CrashVoters, (4_000, 12_000), Act::RestartAll);
        }
        self.acts.sort_by_key(|(at, _)| *at);
        self.acts
    }

    fn when(&mut self) -> Duration {
        let active = u64::try_from(self.active.as_millis()).unwrap_or(u64::MAX);
        millis(self.chance.between(1_000, active.saturating_sub(10_000)))
    }

    fn once(&mut self, act: Act) {
        let at = self.when();
        self.acts.push((at, act));
    }

    /// An act, and another one some time after it.
    fn then(&mut self, act: Act, (least, most): (u64, u64), after: Act) {
        let at = self.when();
        let later = at.saturating_add(millis(self.chance.between(least, most)));
        self.acts.push((at, act));
        self.acts.push((later, after));
    }

    fn times(&mut self, most: u64) -> u64 {
        self.chance.between(1, most)
    }

    fn member(&mut self) -> Who {
        Who::Member(self.place(MEMBERS))
    }

    fn place(&mut self, count: usize) -> usize {
        let below = u64::try_from(count).unwrap_or(1);
        usize::try_from(self.chance.below(below)).unwrap_or(0)
    }

    fn edge(&mut self) -> Who {
        Who::Edge(self.place(EDGES))
    }

    fn anybody(&mut self) -> Who {
        if self.chance.permille(500) { self.member() } else { self.edge() }
    }

    fn crash_members(&mut self) {
        for _ in 0..self.times(3) {
            let (who, power) = (self.member(), self.chance.permille(600));
            self.then(Act::Crash { who, power }, (300, 9_000), Act::RestartAll);
        }
    }

    fn crash_leaders(&mut self) {
        for _ in 0..self.times(3) {
            let power = self.chance.permille(600);
            self.then(Act::Crash { who: Who::Leader, power }, (300, 9_000), Act::RestartAll);
        }
    }

    fn crash_edges(&mut self) {
        for _ in 0..self.times(4) {
            let (who, power) = (self.edge(), self.chance.permille(600));
            self.then(Act::Crash { who, power }, (200, 12_000), Act::RestartAll);
        }
    }

    fn cuts(&mut self) {
        for _ in 0..self.times(5) {
            let (from, to) = (self.anybody(), self.anybody());
            self.then(Act::Cut(from, to), (100, 9_000), Act::HealAll);
        }
        let (one, other) = (self.anybody(), self.anybody());
        self.once(Act::Sever(one, other));
    }

    fn partitions(&mut self) {
        for _ in 0..self.times(3) {
            let act = match self.chance.below(4) {
                0 => Act::Isolate(Who::Leader),
                1 => Act::Isolate(self.edge()),
                2 => Act::CutEdges,
                _ => Act::Isolate(self.member()),
            };
            self.then(act, (500, 20_000), Act::HealAll);
        }
    }

    /// One member's wall clock is wrong at a time: a majority is right.
    fn clocks(&mut self) {
        let who = self.member();
        for _ in 0..self.times(2) {
            let hour = 3_600_000_i64;
            let by = [hour, -hour, 700, -700, 30_000, -30_000];
            let by = self.chance.pick(&by).copied().unwrap_or(hour);
            self.then(Act::StepWall(who, by), (3_000, 40_000), Act::StepWall(who, -by));
        }
        let edge = self.edge();
        self.once(Act::StepWall(edge, 3_600_000));
        for _ in 0..2 {
            let who = self.anybody();
            let ppm = i64::try_from(self.chance.between(0, 400)).unwrap_or(0).saturating_sub(200);
            self.once(Act::Drift(who, ppm));
        }
    }

    fn freezes(&mut self) {
        for _ in 0..self.times(3) {
            let who = self.anybody();
            let span = millis(self.chance.between(200, 12_000));
            self.once(Act::Freeze(who, span));
        }
    }

    fn disks(&mut self) {
        for _ in 0..self.times(3) {
            let who = if self.chance.permille(300) { Who::Leader } else { self.anybody() };
            let act = match self.chance.below(4) {
                0 => Act::FailSyncs(who),
                1 => Act::FillDisk(who, self.chance.below(200)),
                2 => Act::DieWriting(who, self.chance.below(60)),
                _ => Act::SlowDisk(who, millis(self.chance.between(20, 1_200))),
            };
            self.then(act, (2_000, 10_000), Act::RestartAll);
        }
    }

    fn membership(&mut self) {
        let place = self.place(MEMBERS);
        self.once(Act::RemoveVoter(place));
        if self.chance.permille(500) {
            self.once(Act::Join);
        }
    }

    fn snapshots(&mut self) {
        for _ in 0..self.times(3) {
            self.once(Act::Snapshot);
            self.once(Act::HandOver);
        }
        self.once(Act::Nudge(30));
        if self.chance.permille(500) {
            self.fall_behind();
        }
    }

    /// A member is away for so long that the others have left its entries behind.
    fn fall_behind(&mut self) {
        let (who, at) = (self.member(), self.when());
        let after = |pause: u64| at.saturating_add(millis(pause));
        self.acts.extend([
            (at, Act::Crash { who, power: false }),
            (after(1_500), Act::Nudge(250)),
            (after(6_000), Act::Snapshot),
            (after(7_000), Act::Nudge(30)),
            (after(8_000), Act::RestartAll),
        ]);
    }

    fn images(&mut self) {
        let place = self.place(EDGES);
        if self.chance.permille(600) {
            self.then(Act::KeepImage(place), (2_000, 25_000), Act::RestoreImage(place));
        } else {
            self.once(Act::LoseDisk(place));
        }
    }

    fn holds(&mut self) {
        for _ in 0..self.times(2) {
            let place = self.place(EDGES);
            let act = if self.chance.permille(600) {
                Act::HoldBatches(place)
            } else {
                Act::HoldBeats(place)
            };
            self.then(act, (500, 20_000), Act::HealAll);
        }
    }

    fn outages(&mut self) {
        let act = if self.chance.permille(500) { Act::CrashAll } else { Act::Isolate(Who::Leader) };
        let span = if self.chance.permille(300) { (31_000, 40_000) } else { (3_000, 20_000) };
        self.then(act, span, Act::RestartAll);
        let last = self.acts.last().map(|(at, _)| *at).unwrap_or_default();
        self.acts.push((last, Act::HealAll));
    }

    fn trades(&mut self) {
        self.once(Act::Accept);
        self.once(Act::Retract);
    }

    fn hostile(&mut self) {
        for _ in 0..self.times(3) {
            self.once(Act::Hostile);
        }
    }

    fn rolls(&mut self) {
        for _ in 0..self.times(2) {
            let who = self.anybody();
            self.once(Act::Roll(who));
        }
    }
}
