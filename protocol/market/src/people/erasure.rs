//! A copy of one's data, and the end of an account (domain 4.8, 10.14).
//!
//! ```text
//!  asked --nothing open--> closed --30 d--> erased: the account's own key goes, and with it every
//!    \--open lock, order, bid, payout--> waiting, looks again          text sealed under it
//! ```
//! Amounts, times and the pseudonymous id stay: the market's books need them.

use fairground_types::command::SealedContact;
use fairground_types::limits::{
    DATA_REQUEST_DUE, DATA_REQUESTS_MAX, DELETION_LOOKS_AGAIN, ERASE_AFTER, EXPORT_LIFE,
};
use fairground_types::people::DataRequestKind;
use fairground_types::text::Handle;
use fairground_types::{
    Accepted, Code, DataRequestId, Digest, NoticeKind, PublicEvent, Rejection, Role, SignInId,
    StoryId, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use super::{AccountStanding, Person};
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::auction::AuctionState;
use crate::deadline::DueKind;
use crate::notice::about;
use crate::sale::LockState;

/// Where a data request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum DataRequestState {
    /// A deletion that waits for what is still open.
    Waiting,
    /// A copy that can be fetched.
    Ready {
        /// Until when.
        until: Timestamp,
    },
    /// The account is closed and will be erased.
    Closed {
        /// When.
        erased_at: Timestamp,
    },
    /// Over.
    Done {
        /// When.
        at: Timestamp,
    },
}

impl DataRequestState {
    /// Its name in the public API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready { .. } => "ready",
            Self::Closed { .. } => "closed",
            Self::Done { .. } => "done",
        }
    }
}

/// A data request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct DataRequest {
    pub(crate) request: DataRequestId,
    pub(crate) user: UserId,
    pub(crate) kind: DataRequestKind,
    pub(crate) asked_at: Timestamp,
    pub(crate) due_at: Timestamp,
    pub(crate) state: DataRequestState,
}

impl Market {
    /// What still binds an account, in words; nothing when it may go.
    #[must_use]
    pub fn obligations(&self, user: UserId) -> Vec<&'static str> {
        let mut open = Vec::new();
        let is_unsettled = |row: &crate::SaleLock| {
            matches!(row.state, LockState::Active | LockState::Ending { .. }) && row.buyer == user
        };
        if self.locks.values().any(|row| is_unsettled(row)) {
            open.push("a piece is reserved for the account");
        }
        let takes_part =
            |row: &crate::Auction| row.maker == user || row.bids().any(|bid| bid.bidder == user);
        let is_in = |id| self.auctions.get(id).is_some_and(|row| takes_part(row));
        if self.open.iter().any(|(_, id)| is_in(id)) {
            open.push("the account sells or bids in an open auction");
        }
        let is_locked = |row: &crate::Auction| {
            row.maker == user
                && matches!(
                    row.state,
                    AuctionState::Locked { .. } | AuctionState::AwaitingDecision { .. }
                )
        };
        if self.auctions.values().any(|row| is_locked(row)) {
            open.push("a piece of the account waits for its payment");
        }
        let is_open = |row: &crate::Order| {
            (row.buyer == user || row.maker == user) && row.state.settled_at().is_none()
        };
        if self.orders.values().any(|row| is_open(row)) {
            open.push("an order is not completed");
        }
        let is_owed = |row: &crate::Order| row.maker == user && !self.money_is_settled(row.order);
        if self.orders.values().any(|row| is_owed(row)) {
            open.push("a payout has not been made");
        }
        open
    }

    fn new_request(
        &mut self,
        turn: &Turn,
        user: UserId,
        request: DataRequestId,
        (kind, state): (DataRequestKind, DataRequestState),
    ) {
        let row = DataRequest {
            request,
            user,
            kind,
            asked_at: turn.at,
            due_at: turn.at.plus(DATA_REQUEST_DUE),
            state,
        };
        self.accounts.requests.insert(request, row);
        let mut gone = Vec::new();
        self.change_person(user, |person| {
            person.requests.push(request);
            let surplus = person.requests.len().saturating_sub(DATA_REQUESTS_MAX);
            gone = person.requests.drain(..surplus).collect();
        });
        for old in gone {
            self.accounts.requests.remove(&old);
        }
    }

    fn require_new_request(
        &self,
        turn: &Turn,
        user: UserId,
        (request, sign_in): (DataRequestId, SignInId),
    ) -> Result<(), Rejection> {
        self.require_fresh(turn, user, sign_in)?;
        if self.accounts.requests.contains_key(&request) {
            return Err(Rejection::new(Code::InvalidState, "the id of the request is taken"));
        }
        Ok(())
    }

    pub(crate) fn request_export(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        request: DataRequestId,
        sign_in: SignInId,
    ) -> Answer {
        self.require_new_request(turn, user, (request, sign_in))?;
        let until = turn.at.plus(EXPORT_LIFE);
        let state = DataRequestState::Ready { until };
        self.new_request(turn, user, request, (DataRequestKind::Export, state));
        self.deadlines.add(until, DueKind::DataRequest(request));
        let mut notice = about(user, NoticeKind::DataReady);
        notice.until = Some(until);
        self.notify(turn, notice);
        Ok(Accepted::Done)
    }

    pub(crate) fn request_deletion(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        (request, sign_in): (DataRequestId, SignInId),
        waits: bool,
    ) -> Answer {
        self.require_new_request(turn, user, (request, sign_in))?;
        let open = self.obligations(user);
        if !open.is_empty() && !waits {
            return Err(Rejection::new(Code::ObligationsOpen, open.join("; ")));
        }
        let waiting = (DataRequestKind::Delete, DataRequestState::Waiting);
        self.new_request(turn, user, request, waiting);
        self.go_on_deleting(turn, request);
        Ok(Accepted::Done)
    }

    /// Something about a data request is due.
    pub(crate) fn end_data_request(&mut self, turn: &mut Turn, id: DataRequestId, due: Timestamp) {
        let Some(row) = self.accounts.requests.get(&id).copied() else { return };
        match row.state {
            DataRequestState::Waiting => self.go_on_deleting(turn, id),
            DataRequestState::Ready { until } if until == due => self.settle_request(id, due),
            DataRequestState::Closed { erased_at } if erased_at == due => {
                self.erase(turn, row.user);
                self.settle_request(id, due);
            }
            DataRequestState::Ready { .. }
            | DataRequestState::Closed { .. }
            | DataRequestState::Done { .. } => {}
        }
    }

    fn settle_request(&mut self, id: DataRequestId, at: Timestamp) {
        if let Some(row) = self.accounts.requests.get_mut(&id) {
            row.state = DataRequestState::Done { at };
        }
    }

    fn go_on_deleting(&mut self, turn: &mut Turn, id: DataRequestId) {
        let Some(user) = self.accounts.requests.get(&id).map(|row| row.user) else { return };
        if !self.obligations(user).is_empty() {
            self.deadlines.add(turn.at.plus(DELETION_LOOKS_AGAIN), DueKind::DataRequest(id));
            return;
        }
        let erased_at = turn.at.plus(ERASE_AFTER);
        self.close_account(turn, user);
        if let Some(row) = self.accounts.requests.get_mut(&id) {
            row.state = DataRequestState::Closed { erased_at };
        }
        self.deadlines.add(erased_at, DueKind::DataRequest(id));
    }

    fn close_account(&mut self, turn: &mut Turn, user: UserId) {
        let at = turn.at;
        self.void_recovery(user);
        self.take_off_sale(turn, user);
        self.end_sign_ins(turn, user);
        self.change_person(user, |person| person.standing = AccountStanding::Closed { at });
    }

    /// What somebody who leaves had for sale, or wanted to sell, is put away. What was sold stays: its
    /// buyer may look at it.
    fn take_off_sale(&mut self, turn: &mut Turn, user: UserId) {
        let theirs: Vec<StoryId> = self
            .stories
            .iter()
            .filter(|(_, story)| story.maker == user)
            .map(|(id, _)| *id)
            .collect();
        for story in theirs {
            // One that is not under review has nothing to withdraw.
            let _ = self.withdraw_story(turn, user, story);
            // One that was sold or taken down stays as it is.
            let _ = self.archive_story(turn, user, story);
        }
    }

    /// Destroys what is personal about an account: its own key first of all.
    fn erase(&mut self, turn: &mut Turn, user: UserId) {
        let Some(account) = self.accounts.account(user) else { return };
        let (identifier, roles) = (account.identifier, account.roles.clone());
        let identities = account.person.identities.clone();
        let requests = account.person.requests.clone();
        let tasks: Vec<_> =
            account.person.capabilities.values().filter_map(|state| state.task()).collect();
        if let Some(handle) = &account.handle {
            let folded = handle.as_str().to_ascii_lowercase();
            self.accounts.handles.remove(&folded);
        }
        self.accounts.identifiers.remove(&identifier);
        self.accounts.gates.remove(&identifier);
        for identity in identities {
            self.accounts.identities.remove(&identity);
        }
        for task in tasks {
            self.accounts.tasks.remove(&task);
        }
        let former = former_name(user);
        let at = turn.at;
        self.accounts.change(user, |account| {
            account.identifier = Digest::of(&user.to_bits().to_le_bytes());
            account.contact = SealedContact { wrapped_key: Vec::new(), sealed: Vec::new() };
            account.handle.clone_from(&former);
            account.roles.clear();
            account.person = Person {
                standing: AccountStanding::Erased { at },
                requests,
                consents: account.person.consents.clone(),
                ..Person::default()
            };
        });
        self.inbox.erase(user);
        self.signing.erase(user);
        self.social.preferences.remove(&user);
        self.social.shared.remove(&user);
        if let Some(handle) = former.filter(|_| roles.contains(&Role::Maker)) {
            turn.events.push(PublicEvent::HandleSet { user, handle });
        }
    }
}

/// The name of an account that is erased: nobody else can take it, it says nothing.
fn former_name(user: UserId) -> Option<Handle> {
    let text = user.to_string();
    let tail = text.len().saturating_sub(12);
    Handle::parse(&format!("former-{}", text.get(tail..)?)).ok()
}
