//! Commands about signatures of devices, and the rule who must sign.
//!
//! All of it came with rules 3. Read next: [`crate::signature`] for what is signed.

use super::govern::GovernCommand;
use super::people::PeopleCommand;
use super::{Command, LogCommand};
use crate::id::{DeviceId, SignInId};
use crate::limits;
use crate::money::{Currency, Money};
use crate::signature::{DevicePublicKey, SIGNED_BIDS_RULES};
use crate::text::Note;
use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// See [`PeopleCommand::RegisterDeviceKey`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct RegisterDeviceKey {
    /// The device, which the sign-in has named.
    pub device: DeviceId,
    /// The sign-in on it, which the key lives and ends with.
    pub sign_in: SignInId,
    /// The key.
    pub key: DevicePublicKey,
}

/// See [`GovernCommand::SetSignaturePolicy`].
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct SetSignaturePolicy {
    /// The version that the author saw, 0 for never set.
    pub base_version: u64,
    /// Who must sign from now on.
    pub policy: SignaturePolicy,
    /// Why.
    pub reason: Note,
}

/// Who must sign bids and offers. An auction keeps the one that it opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignaturePolicy {
    /// Whether an account that has registered the key of a device must sign every bid and offer.
    pub registered_accounts: bool,
    /// Above this everybody must sign.
    pub unsigned_max_minor: UnsignedMax,
}

/// The highest amount of each currency that may come unsigned, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are ISO 4217 codes")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnsignedMax {
    pub eur: u64,
    pub usd: u64,
    pub gbp: u64,
    pub chf: u64,
    pub jpy: u64,
    pub kwd: u64,
}

impl UnsignedMax {
    /// 500.00 of a currency with two decimals; for yen and dinars what is about as much.
    pub const DEFAULT: Self =
        Self { eur: 50_000, usd: 50_000, gbp: 50_000, chf: 50_000, jpy: 80_000, kwd: 150_000 };

    /// The same for every currency.
    #[must_use]
    pub const fn flat(minor: u64) -> Self {
        Self { eur: minor, usd: minor, gbp: minor, chf: minor, jpy: minor, kwd: minor }
    }

    /// The limit of one currency.
    #[must_use]
    pub const fn of(&self, currency: Currency) -> u64 {
        match currency {
            Currency::Eur => self.eur,
            Currency::Usd => self.usd,
            Currency::Gbp => self.gbp,
            Currency::Chf => self.chf,
            Currency::Jpy => self.jpy,
            Currency::Kwd => self.kwd,
        }
    }

    /// Whether so much must be signed by everybody.
    #[must_use]
    pub const fn is_below(&self, amount: Money) -> bool {
        amount.minor() > self.of(amount.currency())
    }
}

impl Default for UnsignedMax {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl SignaturePolicy {
    /// Accounts with a key sign everything, everybody signs above the default limit.
    pub const DEFAULT: Self =
        Self { registered_accounts: true, unsigned_max_minor: UnsignedMax::DEFAULT };

    /// Says what is wrong with it, if anything: a limit above every amount that a market takes says
    /// nothing.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let UnsignedMax { eur, usd, gbp, chf, jpy, kwd } = self.unsigned_max_minor;
        let highest = [eur, usd, gbp, chf, jpy, kwd].into_iter().max().unwrap_or_default();
        let is_sound = highest <= limits::AMOUNT_MAX_MINOR;
        if is_sound { None } else { Some("a limit is above every amount that a market takes") }
    }
}

impl Default for SignaturePolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Command {
    /// The oldest rules under which a log may hold this command: members with an older binary cannot
    /// read it.
    #[must_use]
    pub const fn rules_needed(&self) -> u32 {
        if let Self::Media(command) = self {
            return command.rules_needed();
        }
        let is_new = matches!(
            self,
            Self::People(
                PeopleCommand::RegisterDeviceKey(_) | PeopleCommand::RemoveDeviceKey { .. }
            ) | Self::Govern(GovernCommand::SetSignaturePolicy(_))
        );
        if is_new { SIGNED_BIDS_RULES } else { 1 }
    }
}

impl LogCommand {
    /// The oldest rules under which a log may hold it.
    #[must_use]
    pub fn rules_needed(&self) -> u32 {
        match self {
            Self::Direct(envelope) => envelope.command.rules_needed(),
            Self::Batch(batch) => {
                let needed = batch.entries.iter().map(|entry| entry.intake.rules_needed());
                needed.max().unwrap_or(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hundred_may_come_unsigned_and_a_cent_more_may_not() {
        let limits = UnsignedMax::DEFAULT;
        assert!(!limits.is_below(Money::new(50_000, Currency::Eur)));
        assert!(limits.is_below(Money::new(50_001, Currency::Usd)));
        assert!(limits.is_below(Money::new(150_001, Currency::Kwd)));
    }

    #[test]
    fn a_limit_has_a_limit() {
        let with = |minor| SignaturePolicy {
            unsigned_max_minor: UnsignedMax { kwd: minor, ..UnsignedMax::DEFAULT },
            ..SignaturePolicy::DEFAULT
        };
        assert_eq!(with(limits::AMOUNT_MAX_MINOR).fault(), None);
        assert!(with(limits::AMOUNT_MAX_MINOR + 1).fault().is_some());
    }
}
