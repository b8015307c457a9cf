//! Words about accounts: standing, strikes, capabilities, ways to sign in, consents, privacy.
//!
//! Read next: [`crate::command::PeopleCommand`] for what is asked about them.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

use crate::id::{Digest, OrderId, SaleLockId, StoryId};
use crate::text::{BlockerCode, Note};

/// Something that an account may do once it was checked (domain 1.2).
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
pub enum Capability {
    /// Submit, publish and schedule stories: `can_publish`.
    Publish,
    /// Accept bids and be paid: `can_collect_payments`.
    CollectPayments,
    /// Ship what was sold: `can_fulfill_orders`.
    FulfillOrders,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 3] = [Self::Publish, Self::CollectPayments, Self::FulfillOrders];

    /// Its name in the public API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::CollectPayments => "collectPayments",
            Self::FulfillOrders => "fulfillOrders",
        }
    }
}

/// Why a capability is not given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Blocker {
    /// For machines.
    pub code: BlockerCode,
    /// For people.
    pub text: Note,
}

/// Who may become a maker.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MakerAccess {
    /// Whoever asks.
    #[default]
    Open,
    /// Whoever asks and is approved by an admin.
    Approval,
    /// Whoever was invited.
    Invite,
}

/// What a strike is for (domain 4.6).
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
pub enum StrikeKind {
    /// The rules of the market were broken.
    Policy,
    /// A won piece was not paid.
    NonPayment,
    /// A sold piece was not shipped in time.
    ShipSla,
}

/// What a strike is about: the same thing gives one strike of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub enum StrikeAbout {
    /// A story.
    Story(StoryId),
    /// A sale lock that was not paid.
    Lock(SaleLockId),
    /// An order that was not shipped.
    Order(OrderId),
    /// The account itself.
    Account,
}

/// Who vouches for somebody at sign-in.
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
pub enum IdentityProvider {
    /// Sign in with Apple.
    Apple,
    /// Google.
    Google,
}

impl IdentityProvider {
    /// Its name in the public API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apple => "apple",
            Self::Google => "google",
        }
    }
}

/// Somebody as a provider knows them; unique over all accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub struct Identity {
    /// Who vouches.
    pub provider: IdentityProvider,
    /// Keyed hash of the provider's subject.
    pub subject: Digest,
}

/// What somebody agrees to.
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
pub enum ConsentPurpose {
    /// The market's terms.
    Terms,
    /// Being of age (18), which trading needs.
    Adult,
    /// Measuring how the app is used.
    Analytics,
    /// News and offers by mail.
    Marketing,
}

impl ConsentPurpose {
    /// Every purpose.
    pub const ALL: [Self; 4] = [Self::Terms, Self::Adult, Self::Analytics, Self::Marketing];
}

/// What others may see, and what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PrivacySettings {
    /// Whether anybody may see the profile.
    pub public_profile: bool,
    /// Whether the profile names whom the account follows.
    pub shows_follows: bool,
    /// Whether the feed may learn from what the account looks at.
    pub personalised_feed: bool,
}

impl Default for PrivacySettings {
    fn default() -> Self {
        Self { public_profile: true, shows_follows: false, personalised_feed: true }
    }
}

/// Which app a device runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DevicePlatform {
    /// Android.
    Android,
    /// iOS.
    Ios,
    /// A browser.
    Web,
}

/// What a device says about itself; each true one costs trust.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite,
)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceSignals {
    /// Rooted or jailbroken.
    pub rooted: bool,
    /// Not a real device.
    pub emulator: bool,
    /// Debugging is on.
    pub debuggable: bool,
    /// The app was not installed by a shop.
    pub sideloaded: bool,
}

impl DeviceSignals {
    /// Trust of a device in hundredths of a percent: 80 % less what its signals cost.
    #[must_use]
    pub const fn trust(self) -> u16 {
        let mut trust: u16 = 8_000;
        if self.rooted {
            trust = trust.saturating_sub(3_000);
        }
        if self.emulator {
            trust = trust.saturating_sub(3_000);
        }
        if self.debuggable {
            trust = trust.saturating_sub(1_000);
        }
        if self.sideloaded {
            trust = trust.saturating_sub(1_000);
        }
        trust
    }
}

/// What somebody asks for about their own data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, SchemaRead, SchemaWrite)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DataRequestKind {
    /// A copy.
    Export,
    /// That it goes.
    Delete,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_starts_at_four_fifths_and_never_falls_below_nothing() {
        assert_eq!(DeviceSignals::default().trust(), 8_000);
        let worst =
            DeviceSignals { rooted: true, emulator: true, debuggable: true, sideloaded: true };
        assert_eq!(worst.trust(), 0);
    }
}
