//! What people are told, by which channel, and the words that stand when nobody wrote others.
//!
//! One table: a line per kind of notice with its route (domain 6.2) and default words. It must not
//! know who is told, nor how a channel works. Read next: `fairground-market`'s `notice` for what
//! becomes of one, `docs/src/adr` for quiet hours.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// A way to reach somebody.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    SchemaRead,
    SchemaWrite,
)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NoticeChannel {
    /// A push message to the devices of an account.
    Push,
    /// Mail.
    Email,
    /// A text message.
    Sms,
    /// A row in the list of notices.
    InApp,
}

impl NoticeChannel {
    /// Every channel.
    pub const ALL: [Self; 4] = [Self::Push, Self::Email, Self::Sms, Self::InApp];

    /// A constant name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Email => "email",
            Self::Sms => "sms",
            Self::InApp => "inApp",
        }
    }
}

/// Which channels a kind of notice takes, and whether it may be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// By push.
    pub push: bool,
    /// By mail.
    pub email: bool,
    /// By text message.
    pub sms: bool,
    /// In the list of notices.
    pub in_app: bool,
    /// Ignores quiet hours; its channels cannot be switched off.
    pub critical: bool,
}

impl Route {
    const NONE: Self =
        Self { push: false, email: false, sms: false, in_app: false, critical: false };
    const I: Self = Self { in_app: true, ..Self::NONE };
    const P: Self = Self { push: true, ..Self::NONE };
    const PE: Self = Self { email: true, ..Self::P };
    const PS: Self = Self { sms: true, ..Self::P };
    const PES: Self = Self { sms: true, ..Self::PE };
    const PI: Self = Self { push: true, ..Self::I };
    const EI: Self = Self { email: true, ..Self::I };
    const PEI: Self = Self { email: true, ..Self::PI };
    const PESI: Self = Self { sms: true, ..Self::PEI };
    const CRITICAL_PEI: Self = Self { critical: true, ..Self::PEI };
    const CRITICAL_PESI: Self = Self { critical: true, ..Self::PESI };
    const CRITICAL_EI: Self = Self { critical: true, ..Self::EI };

    /// Whether it takes a channel.
    #[must_use]
    pub const fn takes(self, channel: NoticeChannel) -> bool {
        match channel {
            NoticeChannel::Push => self.push,
            NoticeChannel::Email => self.email,
            NoticeChannel::Sms => self.sms,
            NoticeChannel::InApp => self.in_app,
        }
    }
}

macro_rules! notice_kinds {
    ($($name:ident $text:tt $route:ident $subject:literal $body:literal;)*) => {
        /// What a notice says.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            SchemaRead, SchemaWrite,
        )]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum NoticeKind {
            $(#[doc = $body] #[serde(rename = $text)] $name,)*
        }

        impl NoticeKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in the public API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// By which channels it travels (domain 6.2).
            #[must_use]
            pub const fn route(self) -> Route {
                match self { $(Self::$name => Route::$route,)* }
            }

            /// Default subject; `{title}` stands for the piece.
            #[must_use]
            pub const fn subject(self) -> &'static str {
                match self { $(Self::$name => $subject,)* }
            }

            /// Default text; `{title}` stands for the piece.
            #[must_use]
            pub const fn body(self) -> &'static str {
                match self { $(Self::$name => $body,)* }
            }
        }
    };
}

// Name, public name, route, subject, text. A row ends with whom it is for where the text does not say.
notice_kinds! {
    // Offers and auctions.
    OfferReceived "offerReceived" PEI "An offer came in" "Somebody made an offer for {title}.";
    OfferSubmitted "offerSubmitted" I "Your offer" "Your offer for {title} was received.";
    OfferAutoRejected "offerAutoRejected" PI "Your offer was too low" "Your offer for {title} is below the maker's minimum.";
    OfferRejected "offerRejected" PI "Your offer was declined" "The maker declined your offer for {title}.";
    OfferWithdrawn "offerWithdrawn" I "An offer was withdrawn" "An offer for {title} was withdrawn.";
    OfferSuperseded "offerSuperseded" PI "Your offer was overtaken" "Another offer opened the auction for {title}.";
    AuctionOpened "auctionOpened" PEI "Auction started" "An offer opened an auction for {title}.";
    AuctionStarted "auctionStarted" PI "An auction started" "An auction opened for {title}, which you saved.";
    BidRetracted "bidRetracted" PI "A bid was taken back" "A bid was taken back by our staff; the price of {title} changed.";
    Outbid "outbid" PI "You were outbid" "Somebody bid more than you for {title}.";
    BidsReceived "bidsReceived" PI "New bids" "New bids came in for {title}.";
    BidRefused "bidRefused" I "Your bid was refused" "Your bid did not count for {title}.";
    CloseExtended "closeExtended" P "The auction goes on" "The auction for {title} closes later than it was to.";
    FinalWindow "finalWindow" P "Ending soon" "The auction ends in 15 minutes: {title}.";
    FinalWindowMaker "finalWindowMaker" P "Your auction ends soon" "You may accept the highest bid now: {title}.";
    Won "won" CRITICAL_PEI "You won" "The piece is reserved for you, please pay: {title}.";
    Lost "lost" PI "The auction ended" "Another bidder won {title}.";
    Ended "ended" PEI "Your auction ended" "The auction ended with a winner: {title}.";
    AuctionCancelled "auctionCancelled" PI "An auction was cancelled" "There is no sale of {title}.";
    Unsold "unsold" PEI "Not sold" "The auction ended without a sale of {title}.";
    SecondChance "secondChance" PEI "The piece can be yours" "The maker offers you {title} at your bid, please pay.";
    DecisionTimeout "decisionTimeout" I "Time to decide is over" "You did not decide in time about {title}.";
    // Payment.
    Reserved "reserved" I "Reserved" "The piece is reserved for its buyer: {title}.";
    PaymentReminder "paymentReminder" PE "Please pay soon" "Your time to pay runs: {title}.";
    PaymentLastReminder "paymentLastReminder" PES "Last hours to pay" "Your time to pay is nearly over: {title}.";
    Paid "paid" PEI "Payment received" "You paid for {title}.";
    Sold "sold" CRITICAL_PEI "Sold: please ship" "The buyer has paid, please ship {title}.";
    PaymentFailed "paymentFailed" PI "A payment failed" "The payment did not go through for {title}.";
    PaymentExpired "paymentExpired" PEI "The payment window ended" "Nobody paid in time for {title}.";
    Refunding "refunding" EI "Your money goes back" "Your payment came too late for {title}.";
    RefundCompleted "refundCompleted" EI "Money given back" "Money went back to you for {title}.";
    PayoutReleased "payoutReleased" EI "Money is on its way" "Your payout was released for {title}.";
    PaymentWindowChanged "paymentWindowChanged" PEI "Your time to pay changed" "The end of the payment window was moved for {title}.";
    PayoutAccountNeeded "payoutAccountNeeded" PEI "We cannot pay you yet" "Your payout waits until your payout account is complete.";
    ChargebackOpened "chargebackOpened" PEI "A payment is disputed" "The buyer's bank asks for the money back.";
    ChargebackClosed "chargebackClosed" EI "A dispute has ended" "The bank has decided about a disputed payment.";
    // Orders.
    OrderCreated "orderCreated" I "Your order" "Your order of {title} is with the maker.";
    ShipReminder "shipReminder" PE "Please ship" "The buyer waits for {title}.";
    ShipReminderUrgent "shipReminderUrgent" PS "Please ship now" "Your time to ship is nearly over: {title}.";
    ShipReminderLast "shipReminderLast" P "Last hours to ship" "Ship now or the buyer may cancel: {title}.";
    ShipmentOverdue "shipmentOverdue" CRITICAL_PESI "Shipment overdue" "Please ship at last: {title}.";
    OrderOverdue "orderOverdue" PE "You may cancel" "The maker did not ship in time, you may cancel: {title}.";
    Shipped "shipped" PEI "On its way" "The maker has shipped {title}.";
    AddressChanged "addressChanged" PI "Another address" "The buyer changed where to send {title}.";
    ParcelLate "parcelLate" PE "Your parcel is late" "You may report that it did not come: {title}.";
    ShipmentUpdated "shipmentUpdated" PEI "Parcel news" "There is news of the parcel with {title}.";
    Delivered "delivered" I "Delivered" "The buyer has received {title}.";
    DeliveredBuyer "deliveredBuyer" PESI "Delivered" "Tell us within 48 hours if something is wrong with {title}.";
    Completed "completed" PEI "Completed" "The sale is complete: {title}.";
    OrderCancelled "orderCancelled" PEI "Order cancelled" "The order was cancelled: {title}.";
    OrderMessage "orderMessage" PI "A message" "There is a message about {title}.";
    // Issues.
    IssueOpened "issueOpened" EI "Your issue" "Your issue was received: {title}.";
    IssueOpenedMaker "issueOpenedMaker" PESI "The buyer has an issue" "Please answer the buyer's issue with {title}.";
    IssueUpdated "issueUpdated" PEI "News of an issue" "There is news of the issue with {title}.";
    IssueEscalated "issueEscalated" EI "Issue passed on" "The issue is with our support now: {title}.";
    IssueResolved "issueResolved" EI "Issue resolved" "The issue is resolved: {title}.";
    // Stories and media.
    StorySubmitted "storySubmitted" PEI "Your story was received" "We look at it soon: {title}.";
    StoryApproved "storyApproved" PEI "Your story was approved" "Approved: {title}.";
    StoryRejected "storyRejected" PEI "Your story needs a change" "Not approved yet: {title}.";
    StoryPublished "storyPublished" PEI "Your story is out" "Everybody can see {title} now.";
    StoryFollowed "storyFollowed" PI "A new story" "A maker whom you follow published {title}.";
    StoryNotPublished "storyNotPublished" PEI "Your story is not out" "It could not be published at the planned time: {title}.";
    ReviewOverdue "reviewOverdue" EI "A review takes too long" "A moderator should decide about {title} now.";
    TakedownAppealed "takedownAppealed" EI "An appeal" "The maker appeals against the takedown of {title}.";
    StoryTakenDown "storyTakenDown" PEI "Your story was taken down" "Nobody can see {title} now.";
    StoryRestored "storyRestored" PEI "Your story is back" "Everybody can see {title} again.";
    MediaReady "mediaReady" PI "A clip is ready" "A clip can be played now.";
    MediaFailed "mediaFailed" PI "A clip could not be prepared" "A clip failed for {title}.";
    // Accounts.
    CapabilityRequested "capabilityRequested" PEI "Your request" "Your request was received.";
    CapabilityUnlocked "capabilityUnlocked" PEI "Unlocked" "You can do more now.";
    CapabilityBlocked "capabilityBlocked" PEI "Something is missing" "Your request needs something more.";
    CapabilityDowngraded "capabilityDowngraded" PEI "Restricted" "You can do less for now.";
    StrikeAdded "strikeAdded" PEI "A strike" "A strike was noted on your account.";
    AccountSuspended "accountSuspended" CRITICAL_EI "Your account is suspended" "Your account is suspended; you may appeal.";
    AccountRestored "accountRestored" CRITICAL_EI "Your account is back" "Your account is in good standing again.";
    AccountLocked "accountLocked" CRITICAL_EI "Sign-in locked" "Too many wrong codes: signing in is locked for a while.";
    SignInsRevoked "signInsRevoked" CRITICAL_EI "You were signed out" "A refresh token was used twice, so every sign-in of your account was ended. Please sign in again.";
    NewDevice "newDevice" CRITICAL_EI "A new device" "Somebody signed in to your account on a new device.";
    IdentityChanged "identityChanged" CRITICAL_EI "Your ways to sign in changed" "A way to sign in was added or removed.";
    DataReady "dataReady" EI "Your copy is ready" "The copy of your data can be fetched.";
}

impl NoticeKind {
    /// Finds a kind by its public name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// The critical set ignores quiet hours and cannot be switched off.
    #[must_use]
    pub const fn is_critical(self) -> bool {
        self.route().critical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_critical_set_is_payment_won_security_and_ship_violation() {
        let critical: Vec<&str> = NoticeKind::ALL
            .iter()
            .filter(|kind| kind.is_critical())
            .map(|kind| kind.as_str())
            .collect();
        let expected = [
            "won",
            "sold",
            "shipmentOverdue",
            "accountSuspended",
            "accountRestored",
            "accountLocked",
            "signInsRevoked",
            "newDevice",
            "identityChanged",
        ];
        assert_eq!(critical, expected);
    }

    #[test]
    fn every_kind_has_a_channel_words_and_a_name_of_its_own() {
        for kind in NoticeKind::ALL {
            assert!(NoticeChannel::ALL.iter().any(|channel| kind.route().takes(*channel)));
            assert!(!kind.subject().is_empty() && kind.body().ends_with('.'));
            assert_eq!(NoticeKind::parse(kind.as_str()), Some(*kind));
        }
    }
}
