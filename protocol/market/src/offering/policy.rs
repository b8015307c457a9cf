//! What a maker takes, and who may trade at all.
//!
//! A policy is asked when an offer is applied, so a change is felt by later offers alone. Read next:
//! `take.rs`.

use fairground_types::command::{OfferPolicy, is_above};
use fairground_types::journal::{Eligibility, SubmitOffer};
use fairground_types::verdict::EligibilityRule;
use fairground_types::{
    Accepted, Capability, Code, Currency, Millis, Money, Rejection, UserId, limits,
};

use crate::Market;
use crate::apply::Answer;
use crate::story::Story;

impl Market {
    /// Why somebody may not trade, if so. Asked for every bid and offer when it is applied.
    pub(crate) fn trade_barrier(&self, user: UserId) -> Option<Rejection> {
        let mut barrier = self.may_trade(user).err()?;
        if barrier.code == Code::NotEligible && barrier.rule.is_none() {
            barrier.rule = Some(match barrier.retry_at {
                Some(_) => EligibilityRule::UnpaidStrikes,
                None => EligibilityRule::AccountRestricted,
            });
        }
        Some(barrier)
    }

    /// Whether a maker can be paid, so that a lock may be made.
    pub(crate) fn can_be_paid(&self, maker: UserId) -> bool {
        self.require_capability(maker, Capability::CollectPayments).is_ok()
    }

    /// The least offer that a story takes: its own minimum, or its maker's if that is more.
    pub(crate) fn least_offer(&self, story: &Story) -> Money {
        let own = story.contents.minimum_offer;
        self.offering
            .policies
            .get(&story.maker)
            .and_then(|(_, policy)| policy.minimum)
            .filter(|minimum| minimum.currency() == own.currency() && minimum.minor() > own.minor())
            .unwrap_or(own)
    }

    /// Whether a buyer may make an offer on a story, by the rules of eligibility in their order.
    pub(crate) fn check_eligible(
        &self,
        story: &Story,
        offer: &SubmitOffer,
    ) -> Result<(), Rejection> {
        let policy = self.offer_policy(story.maker);
        let refuse = |rule, detail: &str| Err(Rejection::not_eligible(rule, detail));
        if !policy.enabled {
            let rule = EligibilityRule::MakerNotAcceptingOffers;
            return refuse(rule, "the maker takes no offers now");
        }
        let is_blocked = self.blocks(story.maker, offer.buyer);
        if is_blocked || policy.blocked_buyers.contains(&offer.buyer) {
            return refuse(
                EligibilityRule::BuyerBlocked,
                "the maker takes no offers of this buyer",
            );
        }
        let is_abroad = |country| !policy.ship_to.is_empty() && !policy.ship_to.contains(country);
        if offer.ship_to.as_ref().is_some_and(is_abroad) {
            return refuse(EligibilityRule::GeographicRestriction, "the maker does not ship there");
        }
        let limits = &self.cluster.policy.offers;
        let is_refused = match offer.eligibility {
            Eligibility::Allowed => false,
            Eligibility::Denied => true,
            Eligibility::Unknown => is_above(offer.amount, limits.unchecked_max_units),
        };
        if is_refused {
            return refuse(EligibilityRule::RiskDeclined, "the buyer could not be checked");
        }
        let made = story.offers.get(&offer.buyer).copied().unwrap_or(0);
        if made >= limits.per_cycle_max.min(policy.max_offers_per_buyer) {
            return refuse(EligibilityRule::OfferLimitExceeded, "no offer is left in this cycle");
        }
        let recent = self.offering.recent_of.get(&offer.buyer).copied().unwrap_or(0);
        if recent >= limits.per_hour_max {
            return refuse(EligibilityRule::OfferLimitExceeded, "no offer is left in this hour");
        }
        Ok(())
    }

    /// Sets what a maker takes from now on.
    pub(crate) fn set_offer_policy(
        &mut self,
        maker: UserId,
        base_version: u64,
        policy: &OfferPolicy,
    ) -> Answer {
        let version = self.offering.policies.get(&maker).map_or(0, |(version, _)| *version);
        check_policy(maker, policy)?;
        if version != base_version {
            let rejection =
                Rejection::new(Code::VersionConflict, "the policy was changed elsewhere");
            return Err(rejection.with_version(version));
        }
        let version = version.saturating_add(1);
        self.offering.policies.insert(maker, (version, policy.clone()));
        Ok(Accepted::OfferPolicySet { version })
    }
}

fn check_policy(maker: UserId, policy: &OfferPolicy) -> Result<(), Rejection> {
    let wrong = |detail: &str| Err(Rejection::new(Code::ValidationFailed, detail));
    if policy.minimum.is_some_and(|minimum| {
        minimum.minor() < least_of(minimum.currency())
            || minimum.minor() > limits::AMOUNT_CEILING_MINOR
    }) {
        return Err(Rejection::new(Code::AmountOutOfRange, "the minimum is out of range"));
    }
    if !(1..=limits::OFFERS_PER_BUYER_MAX).contains(&policy.max_offers_per_buyer) {
        return wrong("a buyer may make one to three offers");
    }
    if !(Millis::from_mins(5)..=limits::OFFER_REVIEW).contains(&policy.review_window_ms) {
        return wrong("the time to review is 5 min to 24 h");
    }
    if policy.blocked_buyers.len() > limits::BLOCKED_BUYERS_MAX
        || policy.blocked_buyers.contains(&maker)
    {
        return wrong("too many buyers are blocked, or oneself");
    }
    if policy.ship_to.len() > limits::SHIP_TO_MAX {
        return wrong("too many countries");
    }
    Ok(())
}

/// One unit of a currency.
fn least_of(currency: Currency) -> u64 {
    10_u64.saturating_pow(currency.exponent())
}
