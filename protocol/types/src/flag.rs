//! Flags: the switches of a market, known by name, evaluated without a clock or chance.
//!
//! Every flag stands in one table with its type and its safe default. A setting names a value and
//! for whom; everybody else has the default. Evaluation is pure, so a member deciding in the log and
//! an edge answering a client say the same. Read next: `fairground-market`'s `govern`.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::id::UserId;
use crate::text::{FlagText, Region};

/// Accounts that a flag may name.
pub const FLAG_USERS_MAX: usize = 1_000;
/// Regions that a flag may name.
pub const FLAG_REGIONS_MAX: usize = 100;

/// What a flag holds.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FlagKind {
    /// On or off.
    Bool,
    /// A number.
    Int,
    /// A text.
    Text,
    /// A share of all accounts, 0 to 100; on or off for each of them.
    Percent,
}

/// The value of a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub enum FlagValue {
    /// See [`FlagKind::Bool`].
    Bool(bool),
    /// See [`FlagKind::Int`].
    Int(i64),
    /// See [`FlagKind::Text`].
    Text(FlagText),
    /// See [`FlagKind::Percent`].
    Percent(u8),
}

impl FlagValue {
    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> FlagKind {
        match self {
            Self::Bool(_) => FlagKind::Bool,
            Self::Int(_) => FlagKind::Int,
            Self::Text(_) => FlagKind::Text,
            Self::Percent(_) => FlagKind::Percent,
        }
    }
}

macro_rules! flags {
    ($($name:ident $text:tt $value:ident($default:expr) $doc:literal;)*) => {
        /// A known flag.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            SchemaRead, SchemaWrite,
        )]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum Flag {
            $(#[doc = $doc] #[serde(rename = $text)] $name,)*
        }

        impl Flag {
            /// Every flag.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its key.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it is for.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }

            /// Its safe default.
            #[must_use]
            pub fn default_value(self) -> FlagValue {
                match self { $(Self::$name => FlagValue::$value($default),)* }
            }
        }
    };
}

flags! {
    AuctionsEnabled "auctions.enabled" Bool(true) "Whether offers and bids are taken.";
    AuctionsProxyBids "auctions.proxy_bids" Bool(false) "Whether a bidder may leave a private maximum.";
    AuctionsRegionAllowlist "auctions.region_allowlist" Text(FlagText::default()) "Regions whose edges take offers and bids, separated by commas; empty for all.";
    PaymentsEnabled "payments.enabled" Bool(true) "Whether checkouts are opened.";
    UploadsEnabled "uploads.enabled" Bool(true) "Whether clips may be uploaded.";
    FeedPersonalised "feed.personalised" Percent(100) "Share of accounts with a feed of their own.";
    FeedPageSize "feed.page_size" Int(20) "Items of a page of the feed when a client does not say.";
    NoticesPush "notices.push" Bool(true) "Whether push messages are sent.";
    NoticesSms "notices.sms" Bool(true) "Whether notices go by text message.";
}

impl Flag {
    /// Finds a flag by its key.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|flag| flag.as_str() == key)
    }

    /// What everybody has when the kill switch is thrown: off where there is an off, else the default.
    #[must_use]
    pub fn killed_value(self) -> FlagValue {
        match self.default_value() {
            FlagValue::Bool(_) => FlagValue::Bool(false),
            FlagValue::Percent(_) => FlagValue::Percent(0),
            value @ (FlagValue::Int(_) | FlagValue::Text(_)) => value,
        }
    }
}

/// A value and for whom it is; everybody else has the flag's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
pub struct FlagSetting {
    /// The value.
    pub value: FlagValue,
    /// For these regions alone; empty for all.
    pub regions: Vec<Region>,
    /// For these accounts wherever they are, also when a share leaves them out; at most
    /// [`FLAG_USERS_MAX`].
    pub users: Vec<UserId>,
    /// Only for the accounts named.
    pub users_only: bool,
    /// The kill switch.
    pub killed: bool,
}

/// For whom a flag is evaluated.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlagSubject<'a> {
    /// The account, if there is one.
    pub user: Option<UserId>,
    /// Where.
    pub region: Option<&'a Region>,
}

/// Evaluates a flag: kill switch, named accounts, regions, share, default, in this order.
#[must_use]
pub fn evaluate(flag: Flag, setting: Option<&FlagSetting>, subject: FlagSubject<'_>) -> FlagValue {
    let Some(setting) = setting else { return settle(flag, flag.default_value(), subject.user) };
    if setting.killed {
        return settle(flag, flag.killed_value(), None);
    }
    let is_named = subject.user.is_some_and(|user| setting.users.contains(&user));
    if is_named {
        return match &setting.value {
            FlagValue::Percent(_) => FlagValue::Bool(true),
            value @ (FlagValue::Bool(_) | FlagValue::Int(_) | FlagValue::Text(_)) => value.clone(),
        };
    }
    let is_there = setting.regions.is_empty()
        || subject.region.is_some_and(|region| setting.regions.contains(region));
    if setting.users_only || !is_there {
        return settle(flag, flag.default_value(), subject.user);
    }
    settle(flag, setting.value.clone(), subject.user)
}

/// A share becomes on or off for one account; a visitor without one is in no share but the whole.
fn settle(flag: Flag, value: FlagValue, user: Option<UserId>) -> FlagValue {
    match value {
        FlagValue::Percent(percent) => {
            let is_on = percent >= 100 || user.is_some_and(|user| bucket(flag, user) < percent);
            FlagValue::Bool(is_on)
        }
        FlagValue::Bool(_) | FlagValue::Int(_) | FlagValue::Text(_) => value,
    }
}

/// A stable number from 0 to 99 for an account and a flag: another flag sorts accounts otherwise.
#[must_use]
pub fn bucket(flag: Flag, user: UserId) -> u8 {
    let mut bytes = flag.as_str().as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(&user.to_bits().to_le_bytes());
    let hash = blake3::hash(&bytes);
    let first: [u8; 8] = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    u8::try_from(u64::from_le_bytes(first) % 100).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> Region {
        Region::parse(name).expect("valid")
    }

    fn setting(value: FlagValue) -> FlagSetting {
        FlagSetting { value, regions: vec![], users: vec![], users_only: false, killed: false }
    }

    const ON: FlagValue = FlagValue::Bool(true);
    const OFF: FlagValue = FlagValue::Bool(false);

    #[test]
    fn a_flag_that_nobody_set_has_its_default() {
        for flag in Flag::ALL {
            let value = evaluate(*flag, None, FlagSubject::default());
            let is_share = flag.default_value().kind() == FlagKind::Percent;
            assert_eq!(
                value.kind() == FlagKind::Bool,
                is_share || flag.default_value().kind() == FlagKind::Bool
            );
            assert_eq!(Flag::parse(flag.as_str()), Some(*flag));
        }
        assert_eq!(evaluate(Flag::AuctionsProxyBids, None, FlagSubject::default()), OFF);
    }

    #[test]
    fn the_kill_switch_comes_before_every_rule() {
        let user = UserId::from_bits(7);
        let mut set = setting(ON);
        set.users.push(user);
        let subject = FlagSubject { user: Some(user), region: None };
        assert_eq!(evaluate(Flag::AuctionsEnabled, Some(&set), subject), ON);
        set.killed = true;
        assert_eq!(evaluate(Flag::AuctionsEnabled, Some(&set), subject), OFF);
        assert_eq!(evaluate(Flag::FeedPersonalised, Some(&set), subject), OFF);
    }

    #[test]
    fn named_accounts_come_before_regions_and_regions_before_the_default() {
        let (named, other) = (UserId::from_bits(7), UserId::from_bits(8));
        let (eu, us) = (region("eu"), region("us"));
        let mut set = setting(ON);
        set.regions.push(eu.clone());
        set.users.push(named);
        let at = |user, region| {
            evaluate(Flag::AuctionsProxyBids, Some(&set), FlagSubject { user: Some(user), region })
        };
        assert_eq!(at(named, Some(&us)), ON);
        assert_eq!(at(other, Some(&eu)), ON);
        assert_eq!(at(other, Some(&us)), OFF);
        assert_eq!(at(other, None), OFF);
        set.users_only = true;
        let subject = FlagSubject { user: Some(other), region: Some(&eu) };
        assert_eq!(evaluate(Flag::AuctionsProxyBids, Some(&set), subject), OFF);
    }

    #[test]
    fn a_share_is_stable_grows_and_leaves_visitors_out() {
        let share = |percent, bits| {
            let subject = FlagSubject { user: Some(UserId::from_bits(bits)), region: None };
            let set = setting(FlagValue::Percent(percent));
            evaluate(Flag::FeedPersonalised, Some(&set), subject) == ON
        };
        let count = |percent| (0..10_000).filter(|bits| share(percent, *bits)).count();
        assert_eq!(count(0), 0);
        assert!((2_700..3_300).contains(&count(30)));
        assert_eq!(count(100), 10_000);
        assert!((0..10_000).all(|bits| !share(30, bits) || share(31, bits)));
        let set = setting(FlagValue::Percent(99));
        assert_eq!(evaluate(Flag::FeedPersonalised, Some(&set), FlagSubject::default()), OFF);
    }
}
