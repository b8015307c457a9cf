//! Lists of notices, preferences, devices: what becomes of a notice once it is made.
//!
//! ```text
//!  notify --route of its kind, preferences--> row in the list        (state, newest 200, 90 days)
//!                                        \--> one effect a channel   (outbox, the leader sends it)
//!  many to tell: 100 with each entry      bids of an auction: one notice to its maker in 5 minutes
//! ```
//! Quiet hours are kept here and obeyed by the one who sends: they need tables of time zones, which
//! are no part of the log (ADR 0004). It must not know how a channel works. Read next: `notice.rs`,
//! [`fairground_types::notice`] for the routes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use fairground_types::command::{
    AddPushDevice, Channel, NoticeCommand, NoticePreferences, PushPlatform, QuietHours,
    SealedContact,
};
use fairground_types::{
    Accepted, AuctionId, Code, DeviceId, Digest, Flag, NoticeChannel, NoticeId, NoticeKind,
    PushDeviceId, Rejection, SignInId, Timestamp, UserId, limits,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::auction::Auction;
use crate::cow_map::CowMap;
use crate::deadline::DueKind;
use crate::effect::Notice;
use crate::notice::about_auction;
use crate::people::AccountStanding;
use crate::permission::Subject;

/// A notice in somebody's list.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct InboxNotice {
    /// Its id; later ones are greater.
    pub notice: NoticeId,
    /// When it was made.
    pub at: Timestamp,
    /// When it was read.
    pub read_at: Option<Timestamp>,
    /// What it says.
    pub told: Notice,
}

/// Preferences and their version.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub struct PreferenceState {
    /// From 1; 0 while nobody has set them.
    pub version: u64,
    /// The preferences.
    pub preferences: NoticePreferences,
}

/// A device that takes push messages.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub struct PushDevice {
    /// Its id.
    pub device: PushDeviceId,
    /// The sign-in on it.
    pub sign_in: SignInId,
    /// Which service.
    pub platform: PushPlatform,
    /// Keyed hash of its token.
    pub digest: Digest,
    /// Its token, sealed.
    pub token: SealedContact,
    /// When it was heard of last.
    pub seen_at: Timestamp,
}

/// How full a list is.
#[derive(Clone, Copy, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
struct Filled {
    held: u32,
    unread: u32,
}

/// Bids of an auction that its maker has not been told of.
#[derive(Clone, Copy, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct BidBatch {
    tell_at: Timestamp,
    count: u64,
}

/// People who are still to be told.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct FanOut {
    notice: Notice,
    users: VecDeque<UserId>,
}

/// Everything in this module's care.
#[derive(Clone, Debug, Default, PartialEq, SchemaRead, SchemaWrite)]
pub(crate) struct Inbox {
    rows: CowMap<(UserId, NoticeId), Arc<InboxNotice>>,
    filled: CowMap<UserId, Filled>,
    by_age: CowMap<(Timestamp, UserId, NoticeId), ()>,
    /// Unread rows that say "outbid": one for each auction is enough.
    outbid: CowMap<(UserId, AuctionId), NoticeId>,
    preferences: CowMap<UserId, Arc<PreferenceState>>,
    devices: CowMap<(UserId, PushDeviceId), Arc<PushDevice>>,
    tokens: CowMap<Digest, (UserId, PushDeviceId)>,
    no_mail: CowMap<UserId, Timestamp>,
    bids: BTreeMap<AuctionId, BidBatch>,
    fan_outs: VecDeque<FanOut>,
}

const FIRST_NOTICE: NoticeId = NoticeId::from_bits(0);
const FIRST_DEVICE: PushDeviceId = PushDeviceId::from_bits(0);
/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

impl Inbox {
    fn of(&self, user: UserId) -> impl Iterator<Item = &Arc<InboxNotice>> {
        self.rows
            .iter_from((user, FIRST_NOTICE))
            .take_while(move |((owner, _), _)| *owner == user)
            .map(|(_, row)| row)
    }

    fn devices_of(&self, user: UserId) -> impl Iterator<Item = &PushDevice> {
        self.devices
            .iter_from((user, FIRST_DEVICE))
            .take_while(move |((owner, _), _)| *owner == user)
            .map(|(_, device)| device.as_ref())
    }

    fn takes_push(&self, user: UserId, at: Timestamp) -> bool {
        !self.devices.is_empty() && self.devices_of(user).any(|device| device.is_alive(at))
    }

    fn change_filled(&mut self, user: UserId, change: impl FnOnce(&mut Filled)) {
        let mut filled = self.filled.get(&user).copied().unwrap_or_default();
        change(&mut filled);
        if filled.held == 0 {
            self.filled.remove(&user);
        } else {
            self.filled.insert(user, filled);
        }
    }

    fn forget_outbid(&mut self, row: &InboxNotice) {
        if let (NoticeKind::Outbid, Some(auction)) = (row.told.kind, row.told.auction) {
            self.outbid.remove(&(row.told.user, auction));
        }
    }

    fn remove(&mut self, user: UserId, notice: NoticeId) {
        let Some(row) = self.rows.remove(&(user, notice)) else { return };
        self.by_age.remove(&(row.at, user, notice));
        self.forget_outbid(&row);
        self.change_filled(user, |filled| {
            filled.held = filled.held.saturating_sub(1);
            if row.read_at.is_none() {
                filled.unread = filled.unread.saturating_sub(1);
            }
        });
    }

    fn add(&mut self, row: InboxNotice) {
        let (user, notice) = (row.told.user, row.notice);
        let held = self.filled.get(&user).map_or(0, |filled| filled.held);
        if usize::try_from(held).is_ok_and(|held| held >= limits::INBOX_MAX) {
            let oldest = self.of(user).next().map(|row| row.notice);
            if let Some(oldest) = oldest {
                self.remove(user, oldest);
            }
        }
        if let (NoticeKind::Outbid, Some(auction)) = (row.told.kind, row.told.auction) {
            self.outbid.insert((user, auction), notice);
        }
        self.by_age.insert((row.at, user, notice), ());
        self.rows.insert((user, notice), Arc::new(row));
        self.change_filled(user, |filled| {
            filled.held = filled.held.saturating_add(1);
            filled.unread = filled.unread.saturating_add(1);
        });
    }

    fn read(&mut self, user: UserId, notice: NoticeId, at: Timestamp) {
        let Some(row) = self.rows.get_mut(&(user, notice)) else { return };
        if row.read_at.is_some() {
            return;
        }
        Arc::make_mut(row).read_at = Some(at);
        let row = Arc::clone(row);
        self.forget_outbid(&row);
        self.change_filled(user, |filled| filled.unread = filled.unread.saturating_sub(1));
    }

    fn remove_device(&mut self, user: UserId, device: PushDeviceId) {
        if let Some(gone) = self.devices.remove(&(user, device)) {
            self.tokens.remove(&gone.digest);
        }
    }

    /// A sign-in ended: whoever holds its phone is told nothing more.
    pub(crate) fn end_sign_in(&mut self, user: UserId, sign_in: SignInId) {
        let on_it: Vec<PushDeviceId> = self
            .devices_of(user)
            .filter(|device| device.sign_in == sign_in)
            .map(|device| device.device)
            .collect();
        for device in on_it {
            self.remove_device(user, device);
        }
    }

    /// An account was erased: nothing of what it was told, wants or carries stays.
    pub(crate) fn erase(&mut self, user: UserId) {
        let notices: Vec<NoticeId> = self.of(user).map(|row| row.notice).collect();
        for notice in notices {
            self.remove(user, notice);
        }
        let devices: Vec<PushDeviceId> =
            self.devices_of(user).map(|device| device.device).collect();
        for device in devices {
            self.remove_device(user, device);
        }
        self.preferences.remove(&user);
        self.no_mail.remove(&user);
        for fan_out in &mut self.fan_outs {
            fan_out.users.retain(|reader| *reader != user);
        }
        self.fan_outs.retain(|fan_out| !fan_out.users.is_empty());
    }

    /// What does not fit together.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut counted: BTreeMap<UserId, Filled> = BTreeMap::new();
        for ((user, notice), row) in self.rows.iter() {
            let filled = counted.entry(*user).or_default();
            filled.held = filled.held.saturating_add(1);
            if row.read_at.is_none() {
                filled.unread = filled.unread.saturating_add(1);
            }
            if !self.by_age.contains_key(&(row.at, *user, *notice)) {
                faults.push(format!("notice {notice} has no age"));
            }
        }
        let known: BTreeMap<UserId, Filled> =
            self.filled.iter().map(|(user, filled)| (*user, *filled)).collect();
        if known != counted || self.by_age.len() != self.rows.len() {
            faults.push("lists of notices and their counts disagree".to_owned());
        }
        let most = usize::try_from(counted.values().map(|filled| filled.held).max().unwrap_or(0));
        if most.is_ok_and(|most| most > limits::INBOX_MAX) {
            faults.push("a list of notices is too long".to_owned());
        }
        if self.tokens.len() != self.devices.len() {
            faults.push("push devices and their tokens disagree".to_owned());
        }
        faults
    }
}

impl PushDevice {
    /// Whether it was heard of lately enough to be sent anything.
    #[must_use]
    pub fn is_alive(&self, at: Timestamp) -> bool {
        at.since(self.seen_at) <= limits::PUSH_DEVICE_IDLE_MAX
    }
}

/// Refuses preferences that cannot be meant.
fn check(preferences: &NoticePreferences) -> Result<(), Rejection> {
    let invalid = |why: &str| Err(Rejection::new(Code::ValidationFailed, why));
    let most = NoticeKind::ALL.len().saturating_mul(NoticeChannel::ALL.len());
    if preferences.muted.len() > most {
        return invalid("a kind is muted twice");
    }
    if preferences.muted.iter().any(|muted| muted.kind.is_critical()) {
        let why = "payment, winning, security and overdue shipments are always told";
        return Err(Rejection::new(Code::CriticalNotDisablable, why));
    }
    let Some(QuietHours { start_minute, end_minute, days, zone: _ }) = &preferences.quiet_hours
    else {
        return Ok(());
    };
    if *start_minute >= DAY_MINUTES || *end_minute >= DAY_MINUTES || start_minute == end_minute {
        return invalid("quiet hours begin and end at different minutes of a day");
    }
    let distinct: BTreeSet<&u8> = days.iter().collect();
    if distinct.len() != days.len() || days.iter().any(|day| !(1..=7).contains(day)) {
        return invalid("days are 1 (Monday) to 7, each once");
    }
    Ok(())
}

/// Which channels one notice takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) push: bool,
    pub(crate) email: bool,
    pub(crate) sms: bool,
    pub(crate) in_app: bool,
}

impl Market {
    pub(crate) fn run_notice(
        &mut self,
        turn: &Turn,
        subject: &Subject,
        command: &NoticeCommand,
    ) -> Answer {
        match command {
            NoticeCommand::SetPreferences { preferences, base_version } => {
                self.set_preferences(subject.user()?, preferences, *base_version)
            }
            NoticeCommand::ReadNotice { notice } => {
                let user = subject.user()?;
                if !self.inbox.rows.contains_key(&(user, *notice)) {
                    return Err(Rejection::new(Code::NotFound, "no such notice"));
                }
                self.inbox.read(user, *notice, turn.at);
                Ok(Accepted::Done)
            }
            NoticeCommand::ReadAllNotices => {
                let user = subject.user()?;
                let all: Vec<NoticeId> = self.inbox.of(user).map(|row| row.notice).collect();
                for notice in all {
                    self.inbox.read(user, notice, turn.at);
                }
                Ok(Accepted::Done)
            }
            NoticeCommand::AddPushDevice(add) => {
                self.add_push_device(turn, subject.user()?, add);
                Ok(Accepted::Done)
            }
            NoticeCommand::RemovePushDevice { device } => {
                self.inbox.remove_device(subject.user()?, *device);
                Ok(Accepted::Done)
            }
            NoticeCommand::DropPushToken { user, device } => {
                self.inbox.remove_device(*user, *device);
                Ok(Accepted::Done)
            }
            NoticeCommand::SuppressMail { user } => {
                if self.account(*user).is_some() {
                    self.inbox.no_mail.insert(*user, turn.at);
                }
                Ok(Accepted::Done)
            }
        }
    }

    fn set_preferences(
        &mut self,
        user: UserId,
        preferences: &NoticePreferences,
        base_version: u64,
    ) -> Answer {
        check(preferences)?;
        let version = self.inbox.preferences.get(&user).map_or(0, |known| known.version);
        if base_version != version {
            return Err(Rejection::new(Code::VersionConflict, "somebody else changed it first"));
        }
        let state = PreferenceState {
            version: version.saturating_add(1),
            preferences: preferences.clone(),
        };
        self.inbox.preferences.insert(user, Arc::new(state));
        Ok(Accepted::Done)
    }

    fn add_push_device(&mut self, turn: &Turn, user: UserId, add: &AddPushDevice) {
        // A token belongs to one device of one account: the one who showed it last.
        if let Some((owner, device)) = self.inbox.tokens.get(&add.digest).copied() {
            self.inbox.remove_device(owner, device);
        }
        self.inbox.remove_device(user, add.device);
        let mut known: Vec<(Timestamp, PushDeviceId)> =
            self.inbox.devices_of(user).map(|device| (device.seen_at, device.device)).collect();
        known.sort_unstable();
        let surplus = known.len().saturating_add(1).saturating_sub(limits::PUSH_DEVICES_MAX);
        for (_, device) in known.into_iter().take(surplus) {
            self.inbox.remove_device(user, device);
        }
        let device = PushDevice {
            device: add.device,
            sign_in: add.sign_in,
            platform: add.platform,
            digest: add.digest,
            token: add.token.clone(),
            seen_at: turn.at,
        };
        self.inbox.tokens.insert(add.digest, (user, add.device));
        self.inbox.devices.insert((user, add.device), Arc::new(device));
    }

    /// Which channels a kind of notice takes to somebody now.
    pub(crate) fn wanted(&self, turn: &Turn, user: UserId, kind: NoticeKind) -> Wanted {
        let Some(account) = self.account(user) else { return Wanted::default() };
        if matches!(account.standing(), AccountStanding::Erased { .. }) {
            return Wanted::default();
        }
        let route = kind.route();
        let state = self.inbox.preferences.get(&user);
        let wants = |channel: NoticeChannel| {
            let Some(state) = state else { return true };
            let preferences = &state.preferences;
            let is_on = match channel {
                NoticeChannel::Push => preferences.push,
                NoticeChannel::Email => preferences.email,
                NoticeChannel::Sms => preferences.sms,
                NoticeChannel::InApp => preferences.in_app,
            };
            let is_muted = || {
                preferences.muted.iter().any(|muted| muted.kind == kind && muted.channel == channel)
            };
            route.critical || (is_on && !is_muted())
        };
        let takes = |channel| route.takes(channel) && wants(channel);
        let by_mail = account.channel() == Channel::Email
            && (route.critical || !self.inbox.no_mail.contains_key(&user));
        Wanted {
            push: takes(NoticeChannel::Push)
                && self.inbox.takes_push(user, turn.at)
                && self.is_on(Flag::NoticesPush, Some(user)),
            email: takes(NoticeChannel::Email) && by_mail,
            sms: takes(NoticeChannel::Sms)
                && account.channel() == Channel::Sms
                && self.is_on(Flag::NoticesSms, Some(user)),
            in_app: takes(NoticeChannel::InApp),
        }
    }

    /// Whether somebody has been told already that they were outbid in an auction.
    pub(crate) fn knows_outbid(&self, turn: &Turn, user: UserId, auction: AuctionId) -> bool {
        !self.outbox.takes_outbid(user, auction)
            || (self.inbox.outbid.contains_key(&(user, auction))
                && !self.inbox.takes_push(user, turn.at))
    }

    /// Puts a notice in a list.
    pub(crate) fn keep_notice(&mut self, turn: &mut Turn, told: &Notice) {
        if let (NoticeKind::Outbid, Some(auction)) = (told.kind, told.auction)
            && self.inbox.outbid.contains_key(&(told.user, auction))
        {
            return;
        }
        let notice = NoticeId::from_bits(turn.make_bits());
        self.inbox.add(InboxNotice { notice, at: turn.at, read_at: None, told: told.clone() });
    }

    /// Counts a bid that its auction's maker is to be told of.
    pub(crate) fn note_bid(&mut self, turn: &Turn, auction: AuctionId) {
        if let Some(batch) = self.inbox.bids.get_mut(&auction) {
            batch.count = batch.count.saturating_add(1);
            return;
        }
        let tell_at = turn.at.plus(limits::BID_NOTICE_PERIOD);
        self.inbox.bids.insert(auction, BidBatch { tell_at, count: 1 });
        self.deadlines.add(tell_at, DueKind::BidNotice(auction));
    }

    /// Tells a maker of the bids of the last minutes, while the auction goes on.
    pub(crate) fn tell_bids(&mut self, turn: &mut Turn, auction: AuctionId, due: Timestamp) {
        if self.inbox.bids.get(&auction).is_none_or(|batch| batch.tell_at != due) {
            return;
        }
        let Some(batch) = self.inbox.bids.remove(&auction) else { return };
        let Some(row) = self.auctions.get(&auction).filter(|row| row.is_open()) else { return };
        let row: Arc<Auction> = Arc::clone(row);
        let mut notice = about_auction(row.maker, NoticeKind::BidsReceived, &row);
        notice.text = Some(format!("{} new", batch.count));
        self.notify(turn, notice);
    }

    /// Tells many people the same, a bounded number with each entry of the log.
    pub(crate) fn fan_out(&mut self, turn: &mut Turn, users: Vec<UserId>, notice: Notice) {
        if users.is_empty() {
            return;
        }
        self.inbox.fan_outs.push_back(FanOut { notice, users: users.into() });
        if self.inbox.fan_outs.len() == 1 {
            self.tell_some(turn);
        }
    }

    /// Tells the next of those who are still to be told.
    pub(crate) fn tell_some(&mut self, turn: &mut Turn) {
        for _ in 0..limits::FAN_OUT_CHUNK {
            let next = self.inbox.fan_outs.front_mut().map(|first| {
                let user = first.users.pop_front();
                (user, first.notice.clone(), first.users.is_empty())
            });
            let Some((user, mut notice, is_last)) = next else { return };
            if is_last {
                self.inbox.fan_outs.pop_front();
            }
            if let Some(user) = user {
                notice.user = user;
                self.notify(turn, notice);
            }
        }
        if !self.inbox.fan_outs.is_empty() {
            let soon = turn.at.plus(fairground_types::Millis::new(1));
            self.deadlines.add(soon, DueKind::FanOut);
        }
    }

    /// Notices that are too old leave their lists.
    pub(crate) fn forget_notices(&mut self, at: Timestamp) {
        for _ in 0..limits::INBOX_STEP_MAX {
            let oldest = self.inbox.by_age.iter().next().map(|(key, ())| *key);
            let Some((made_at, user, notice)) = oldest else { return };
            if at.since(made_at) <= limits::NOTICE_MEMORY {
                return;
            }
            self.inbox.remove(user, notice);
        }
    }

    /// The notices of somebody, newest first.
    #[must_use]
    pub fn notices_of(&self, user: UserId) -> Vec<&InboxNotice> {
        let mut rows: Vec<&InboxNotice> = self.inbox.of(user).map(AsRef::as_ref).collect();
        rows.retain(|row| self.at.since(row.at) <= limits::NOTICE_MEMORY);
        rows.reverse();
        rows
    }

    /// How many notices of somebody are unread.
    #[must_use]
    pub fn unread_notices(&self, user: UserId) -> u32 {
        self.inbox.filled.get(&user).map_or(0, |filled| filled.unread)
    }

    /// What somebody wants to be told; the defaults while they have said nothing.
    #[must_use]
    pub fn preferences(&self, user: UserId) -> PreferenceState {
        self.inbox.preferences.get(&user).map(|state| (**state).clone()).unwrap_or_default()
    }

    /// Devices of somebody that take push messages.
    #[must_use]
    pub fn push_devices(&self, user: UserId) -> Vec<&PushDevice> {
        self.inbox.devices_of(user).filter(|device| device.is_alive(self.at)).collect()
    }

    /// Whether push messages go to a device of somebody.
    #[must_use]
    pub fn is_pushed_to(&self, user: UserId, device: DeviceId) -> bool {
        self.inbox.devices_of(user).any(|known| {
            let sign_in = self.accounts.sign_ins.get(&known.sign_in);
            sign_in.is_some_and(|row| row.device == Some(device))
        })
    }

    /// Whether mail to somebody is held back but for critical notices.
    #[must_use]
    pub fn is_mail_suppressed(&self, user: UserId) -> bool {
        self.inbox.no_mail.contains_key(&user)
    }
}
