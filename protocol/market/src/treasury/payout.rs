//! The maker's share: let go, waiting, sent, failed; and taken back.
//!
//! ```text
//!  Waiting --completed, nothing holds it--> Parked --account ready--> Sending --> Sent
//!                                              ^---- hold, retry ----- Failed <-+
//! ```
//! One transfer per release, of the charge's own money. Debts of the maker are paid first. What is
//! taken back comes as far as the maker's balance goes; the rest is a debt. Read next: `dispute.rs`.

use fairground_types::command::{PayoutRelease, ProviderAccountState};
use fairground_types::{
    Accepted, Code, EffectId, Millis, Money, OrderId, RefundId, Rejection, Timestamp, UserId,
    limits,
};
use serde::Serialize;
use wincode::{SchemaRead, SchemaWrite};

use super::Charge;
use crate::Market;
use crate::apply::{Answer, Turn};
use crate::deadline::DueKind;
use crate::effect::{CreateTransfer, Effect, Notice, NoticeKind, ReverseTransfer};
use crate::ledger::{LedgerAccount, LedgerCause, LedgerLine, credit, debit};
use crate::notice::about;

/// Days after which a maker who cannot be paid is reminded.
const REMINDERS: [Millis; 3] =
    [Millis::from_hours(24), Millis::from_hours(7 * 24), Millis::from_hours(30 * 24)];

/// Why a share may not leave.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PayoutHold {
    /// An issue is open.
    Issue,
    /// A card holder disputes the payment.
    Dispute,
    /// The card network warns of fraud.
    Warning,
    /// Finance keeps it back.
    Finance,
}

/// Where a maker's share stands.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum Payout {
    /// It is not due.
    Waiting,
    /// It is due and waits: for the maker's account, or for a hold to go.
    Parked {
        /// How much.
        amount: Money,
        /// Since when.
        since: Timestamp,
    },
    /// It is being sent.
    Sending {
        /// How much.
        amount: Money,
        /// The effect that sends it.
        effect: EffectId,
    },
    /// The maker has it.
    Sent {
        /// How much.
        amount: Money,
        /// Since when.
        at: Timestamp,
    },
    /// The provider refused: finance decides.
    Failed {
        /// How much.
        amount: Money,
        /// The provider's word.
        code: String,
        /// The effect that failed.
        effect: EffectId,
    },
    /// There is nothing to send.
    Nothing,
}

impl Payout {
    /// A constant name, as in the API.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Parked { .. } => "parked",
            Self::Sending { .. } => "sending",
            Self::Sent { .. } => "sent",
            Self::Failed { .. } => "failed",
            Self::Nothing => "nothing",
        }
    }
}

/// A transfer that was made.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Transfer {
    pub(crate) transfer: String,
    pub(crate) account: String,
    pub(crate) amount: Money,
    /// What was asked back.
    pub(crate) reversed: Money,
}

/// A maker's account at the provider.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct PayoutAccount {
    pub(crate) account: Option<String>,
    pub(crate) state: ProviderAccountState,
    pub(crate) asked_at: Timestamp,
}

impl PayoutAccount {
    /// The provider's id, once there is one.
    #[must_use]
    pub const fn id(&self) -> Option<&String> {
        self.account.as_ref()
    }

    /// Whether money can be sent to it.
    #[must_use]
    pub const fn state(&self) -> ProviderAccountState {
        self.state
    }
}

fn about_charge(user: UserId, kind: NoticeKind, charge: &Charge) -> Notice {
    let mut notice = about(user, kind);
    notice.order = Some(charge.order);
    notice.lock = Some(charge.lock);
    notice
}

impl Market {
    /// Has an account made for a maker at the provider, once.
    pub(super) fn open_payout_account(&mut self, turn: &mut Turn, user: UserId) -> Answer {
        if self.treasury.accounts.contains_key(&user) {
            return Ok(Accepted::Done);
        }
        let state = ProviderAccountState::Onboarding;
        let account = PayoutAccount { account: None, state, asked_at: turn.at };
        self.treasury.accounts.insert(user, account);
        self.add_effect(turn, Effect::CreateConnectedAccount { user }, None);
        Ok(Accepted::Done)
    }

    pub(super) fn account_made(&mut self, turn: &mut Turn, user: UserId, account: &str) {
        self.account_told(turn, account, Some(user), ProviderAccountState::Onboarding);
    }

    /// The provider tells how a maker's account stands.
    pub(super) fn account_told(
        &mut self,
        turn: &mut Turn,
        account: &str,
        user: Option<UserId>,
        state: ProviderAccountState,
    ) {
        let user = self.treasury.by_account.get(account).copied().or(user);
        let known = user.filter(|user| self.treasury.accounts.contains_key(user));
        let Some(user) = known else {
            self.payments.unmatched = self.payments.unmatched.saturating_add(1);
            return;
        };
        let mut becomes = state;
        let mut before = state;
        if let Some(row) = self.treasury.accounts.get_mut(&user) {
            let is_ours = row.account.as_deref().is_none_or(|known| known == account);
            if !is_ours {
                return;
            }
            // "Made" is heard late when an event was faster; it says nothing about readiness.
            if row.account.is_some() && state == ProviderAccountState::Onboarding {
                becomes = row.state;
            }
            before = row.state;
            row.account = Some(account.to_owned());
            row.state = becomes;
        }
        self.treasury.by_account.insert(account.to_owned(), user);
        match becomes {
            ProviderAccountState::Ready => {
                self.follow_payout_account(turn, user, true);
                self.send_parked(turn);
            }
            ProviderAccountState::Restricted | ProviderAccountState::Closed
                if before != becomes =>
            {
                self.follow_payout_account(turn, user, false);
            }
            ProviderAccountState::Restricted
            | ProviderAccountState::Closed
            | ProviderAccountState::Onboarding => {}
        }
    }

    /// Whether money can be sent to a maker.
    #[must_use]
    pub fn can_be_paid_out(&self, maker: UserId) -> bool {
        self.ready_account(maker).is_some()
    }

    fn ready_account(&self, maker: UserId) -> Option<String> {
        let row = self.treasury.accounts.get(&maker)?;
        (row.state == ProviderAccountState::Ready).then(|| row.account.clone()).flatten()
    }

    /// A delivered order: where the market lets shares go early, when the buyer may not complain
    /// any more.
    pub(crate) fn plan_payout(&mut self, order: OrderId, delivered_at: Timestamp) {
        match self.cluster.policy.payout_release {
            PayoutRelease::OnCompleted => {}
            PayoutRelease::AfterIssueWindow => {
                let window = self.cluster.policy.issue_window.min(limits::ISSUE_WINDOW_MAX);
                let at = delivered_at.plus(window);
                self.deadlines.add(at, DueKind::Payout(order));
            }
        }
    }

    /// Lets a maker's share go, once; as soon as nothing holds it.
    pub(crate) fn release_payout(&mut self, turn: &mut Turn, order: OrderId) {
        self.change_charge(order, |charge| charge.due = true);
        self.try_payout(turn, order);
    }

    /// Keeps a maker's share back.
    pub(crate) fn hold_payout(&mut self, order: OrderId, hold: PayoutHold) {
        self.change_charge(order, |charge| {
            charge.holds.insert(hold);
        });
    }

    /// Takes a hold off; the share goes on if it was due.
    pub(crate) fn unhold_payout(&mut self, turn: &mut Turn, order: OrderId, hold: PayoutHold) {
        self.change_charge(order, |charge| {
            charge.holds.remove(&hold);
        });
        self.try_payout(turn, order);
    }

    pub(super) fn unhold_by_finance(&mut self, turn: &mut Turn, order: OrderId) -> Answer {
        let charge = self.charge_of(order)?;
        let ours = [PayoutHold::Finance, PayoutHold::Warning];
        let held: Vec<PayoutHold> =
            ours.into_iter().filter(|hold| charge.holds.contains(hold)).collect();
        if held.is_empty() {
            return Err(Rejection::new(Code::InvalidState, "finance does not hold this payout"));
        }
        for hold in held {
            self.unhold_payout(turn, order, hold);
        }
        Ok(Accepted::Done)
    }

    /// Moves a share on as far as it may go now.
    pub(super) fn try_payout(&mut self, turn: &mut Turn, order: OrderId) {
        let Some(charge) = self.treasury.charges.get(&order).cloned() else { return };
        if !charge.due || !charge.holds.is_empty() {
            return;
        }
        match &charge.payout {
            Payout::Waiting => {
                self.post_release(turn, &charge);
                self.send_share(turn, order);
            }
            Payout::Parked { .. } => self.send_share(turn, order),
            Payout::Sending { .. }
            | Payout::Sent { .. }
            | Payout::Failed { .. }
            | Payout::Nothing => {}
        }
    }

    fn post_release(&mut self, turn: &Turn, charge: &Charge) {
        let left = charge.left();
        let fee = charge.fee.less(charge.fee_returned).at_most(left);
        let net = left.less(fee);
        // The maker's share is rounded down to what can be sent; the market takes the remainder.
        let step = net.currency().payout_step_minor();
        let odd = net.minor().checked_rem(step).unwrap_or_default();
        let net = net.less(Money::new(odd, net.currency()));
        let all = vec![
            debit(LedgerAccount::Held(charge.order), left),
            credit(LedgerAccount::FeePlatform, left.less(net)),
            credit(LedgerAccount::MakerPayable(charge.maker), net),
        ];
        self.post_for(turn, charge.order, LedgerCause::Completed(charge.order), all);
        let payout = if net.is_zero() {
            Payout::Nothing
        } else {
            Payout::Parked { amount: net, since: turn.at }
        };
        self.change_charge(charge.order, |charge| charge.payout = payout);
    }

    fn send_share(&mut self, turn: &mut Turn, order: OrderId) {
        let Some(charge) = self.treasury.charges.get(&order).cloned() else { return };
        let Payout::Parked { amount, since } = charge.payout else { return };
        let Some(account) = self.ready_account(charge.maker) else {
            if self.treasury.parked.insert(order) {
                for after in REMINDERS {
                    self.deadlines.add(since.plus(after), DueKind::PayoutReminder(order));
                }
            }
            return;
        };
        self.treasury.parked.remove(&order);
        let amount = self.pay_debt(turn, &charge, amount);
        if amount.is_zero() {
            self.change_charge(order, |charge| charge.payout = Payout::Nothing);
            return;
        }
        let effect = Effect::CreateTransfer(CreateTransfer {
            order,
            lock: charge.lock,
            account,
            payment: charge.payment.clone(),
            charge: charge.charge.clone(),
            amount,
        });
        let effect = self.add_effect(turn, effect, None);
        self.change_charge(order, |charge| charge.payout = Payout::Sending { amount, effect });
    }

    /// Debts of the maker are paid first; says what is left.
    fn pay_debt(&mut self, turn: &Turn, charge: &Charge, amount: Money) -> Money {
        let debt = self.debit_balance(LedgerAccount::MakerDebt(charge.maker), amount);
        let taken = amount.at_most(debt);
        if taken.is_zero() {
            return amount;
        }
        let nth = u32::try_from(charge.causes.len()).unwrap_or(u32::MAX);
        let all = vec![
            debit(LedgerAccount::MakerPayable(charge.maker), taken),
            credit(LedgerAccount::MakerDebt(charge.maker), taken),
        ];
        if self.post_for(turn, charge.order, LedgerCause::DebtPaid(charge.order, nth), all) {
            amount.less(taken)
        } else {
            amount
        }
    }

    /// Every share that waits for its maker's account is tried.
    pub(super) fn send_parked(&mut self, turn: &mut Turn) {
        let parked: Vec<OrderId> = self.treasury.parked.iter().copied().collect();
        for order in parked {
            self.try_payout(turn, order);
        }
    }

    /// A maker who cannot be paid is reminded.
    pub(crate) fn remind_of_payout(&mut self, turn: &mut Turn, order: OrderId) {
        let Some(charge) = self.treasury.charges.get(&order).cloned() else { return };
        if self.treasury.parked.contains(&order) {
            let notice = about_charge(charge.maker, NoticeKind::PayoutAccountNeeded, &charge);
            self.notify(turn, notice);
        }
    }

    /// The provider has sent a share.
    pub(super) fn transfer_made(&mut self, turn: &mut Turn, order: OrderId, transfer: &str) {
        let Some(charge) = self.treasury.charges.get(&order).cloned() else { return };
        let Payout::Sending { amount, .. } = charge.payout else { return };
        let account = self.ready_or_known_account(charge.maker);
        let all = vec![
            debit(LedgerAccount::MakerPayable(charge.maker), amount),
            credit(LedgerAccount::ProviderAvailable, amount),
        ];
        self.post_for(turn, order, LedgerCause::Transferred(transfer.to_owned()), all);
        let back = charge.wanted_back;
        self.change_charge(order, |charge| {
            charge.payout = if charge.owed.is_zero() {
                Payout::Sent { amount, at: turn.at }
            } else {
                Payout::Parked { amount: charge.owed, since: turn.at }
            };
            charge.owed = amount.none();
            charge.wanted_back = amount.none();
            charge.transfers.push(Transfer {
                transfer: transfer.to_owned(),
                account,
                amount,
                reversed: amount.none(),
            });
        });
        self.claw_back(turn, order, back, None);
        self.try_payout(turn, order);
        let mut notice = about_charge(charge.maker, NoticeKind::PayoutReleased, &charge);
        notice.amount = Some(amount);
        self.notify(turn, notice);
    }

    fn ready_or_known_account(&self, maker: UserId) -> String {
        let row = self.treasury.accounts.get(&maker);
        row.and_then(|row| row.account.clone()).unwrap_or_default()
    }

    pub(super) fn transfer_refused(&mut self, order: OrderId, effect: EffectId, code: &str) {
        self.change_charge(order, |charge| {
            if let Payout::Sending { amount, .. } = charge.payout {
                let amount = amount.plus(charge.owed);
                charge.payout = Payout::Failed { amount, code: code.to_owned(), effect };
                charge.wanted_back = amount.none();
                charge.owed = amount.none();
            }
        });
    }

    /// Has a failed transfer made again, as a new one.
    pub(super) fn retry_payout(&mut self, turn: &mut Turn, order: OrderId) -> Answer {
        let charge = self.charge_of(order)?;
        let Payout::Failed { amount, effect, .. } = &charge.payout else {
            let why = format!("the payout is {}", charge.payout.name());
            return Err(Rejection::new(Code::InvalidState, why));
        };
        self.treasury.dead.remove(effect);
        let payout = Payout::Parked { amount: *amount, since: turn.at };
        self.change_charge(order, |charge| charge.payout = payout);
        self.try_payout(turn, order);
        Ok(Accepted::Done)
    }

    /// Takes from what waits for the maker and has not left.
    pub(super) fn take_unsent(&mut self, order: OrderId, taken: Money) {
        self.change_charge(order, |charge| match &mut charge.payout {
            Payout::Parked { amount, .. } | Payout::Failed { amount, .. } => {
                *amount = amount.less(taken);
            }
            Payout::Waiting | Payout::Sending { .. } | Payout::Sent { .. } | Payout::Nothing => {}
        });
    }

    /// A share of nothing does not wait.
    pub(super) fn settle_when_empty(&mut self, order: OrderId) {
        let Some(charge) = self.treasury.charges.get(&order) else { return };
        let is_empty = match &charge.payout {
            Payout::Parked { amount, .. } | Payout::Failed { amount, .. } => amount.is_zero(),
            Payout::Waiting | Payout::Sending { .. } | Payout::Sent { .. } | Payout::Nothing => {
                false
            }
        };
        if is_empty {
            self.treasury.parked.remove(&order);
            let failed = match &charge.payout {
                Payout::Failed { effect, .. } => Some(*effect),
                Payout::Waiting
                | Payout::Parked { .. }
                | Payout::Sending { .. }
                | Payout::Sent { .. }
                | Payout::Nothing => None,
            };
            if let Some(effect) = failed {
                self.treasury.dead.remove(&effect);
            }
            self.change_charge(order, |charge| charge.payout = Payout::Nothing);
        }
    }

    /// Asks back what the maker has, newest transfer first. Says which effect does, if one does now.
    pub(super) fn claw_back(
        &mut self,
        turn: &mut Turn,
        order: OrderId,
        wanted: Money,
        refund: Option<RefundId>,
    ) -> Option<EffectId> {
        let charge = self.treasury.charges.get(&order).cloned()?;
        if wanted.is_zero() {
            return None;
        }
        if matches!(charge.payout, Payout::Sending { .. }) {
            self.change_charge(order, |charge| {
                charge.wanted_back = charge.wanted_back.plus(wanted)
            });
            return None;
        }
        let (place, sent) = charge.transfers.iter().enumerate().next_back()?;
        let back = wanted.at_most(sent.amount.less(sent.reversed));
        if back.is_zero() {
            return None;
        }
        let effect = Effect::ReverseTransfer(ReverseTransfer {
            order,
            transfer: sent.transfer.clone(),
            account: sent.account.clone(),
            amount: back,
            refund,
        });
        let effect = self.add_effect(turn, effect, None);
        self.change_charge(order, |charge| {
            if let Some(sent) = charge.transfers.get_mut(place) {
                sent.reversed = sent.reversed.plus(back);
            }
        });
        Some(effect)
    }

    /// What could be taken back of a transfer has come back.
    pub(super) fn reversal_made(
        &mut self,
        turn: &mut Turn,
        (reversal, effect): (&ReverseTransfer, EffectId),
        amount: Money,
    ) {
        if let Some(charge) = self.treasury.charges.get(&reversal.order).cloned() {
            let back = amount.at_most(reversal.amount);
            let mut all = vec![debit(LedgerAccount::ProviderAvailable, back)];
            all.extend(self.owe_maker(charge.maker, charge.order, back));
            self.post_for(turn, charge.order, LedgerCause::Reversed(effect), all);
            self.try_payout(turn, charge.order);
        }
        if let Some(refund) = reversal.refund {
            self.send_refund(turn, refund);
        }
    }

    /// Credits a maker: what is owed is paid by it, the rest waits for the maker.
    pub(super) fn owe_maker(
        &mut self,
        maker: UserId,
        order: OrderId,
        amount: Money,
    ) -> Vec<LedgerLine> {
        let debt = self.debit_balance(LedgerAccount::MakerDebt(maker), amount);
        let paid = amount.at_most(debt);
        let rest = amount.less(paid);
        if !rest.is_zero() {
            let since = self.at;
            self.change_charge(order, |charge| match &mut charge.payout {
                Payout::Parked { amount, .. } | Payout::Failed { amount, .. } => {
                    *amount = amount.plus(rest);
                }
                Payout::Sending { .. } => charge.owed = charge.owed.plus(rest),
                payout @ (Payout::Waiting | Payout::Sent { .. } | Payout::Nothing) => {
                    *payout = Payout::Parked { amount: rest, since };
                }
            });
        }
        vec![
            credit(LedgerAccount::MakerDebt(maker), paid),
            credit(LedgerAccount::MakerPayable(maker), rest),
        ]
    }
}
