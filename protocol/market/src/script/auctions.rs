//! Verbs about offers that wait, second chances and admins.
//!
//! ```text
//!   policy-of m review minimum 150.00 block b ship DE closed max 1
//!   take-back S1 a | decline-offer S1 a m | take-offer S1 a m        the newest offer of a on S1
//!   second-chance A m [100.00] | no-thanks A b | relist A m
//!   prolong A 10m | fix A | retract A 105.00 | stop-pay m
//! ```

use fairground_types::command::{
    Actor, AuctionCommand, CloseOverride, Command, OfferPolicy, OpenMode,
};
use fairground_types::text::{Country, Note};
use fairground_types::{BidId, Currency, OfferId};

use super::notation::{parse_length, parse_money};
use super::{Words, World, auction_named, person, story_named};

/// Every verb of this page.
pub(super) const VERBS: [&str; 10] = [
    "policy-of",
    "take-back",
    "decline-offer",
    "take-offer",
    "second-chance",
    "relist",
    "no-thanks",
    "prolong",
    "fix",
    "retract",
];

impl World {
    pub(super) fn read_auction_command(
        &self,
        verb: &str,
        words: &mut Words<'_>,
    ) -> Result<(Actor, Command), String> {
        let (actor, command) = match verb {
            "policy-of" => self.read_offer_policy(words)?,
            "take-back" | "decline-offer" | "take-offer" => self.read_about_offer(verb, words)?,
            "second-chance" | "relist" | "no-thanks" => self.read_after_sale(verb, words)?,
            "prolong" | "fix" | "retract" => self.read_admin(verb, words)?,
            _ => return Err(format!("unknown verb {verb}")),
        };
        Ok((actor, Command::Auction(command)))
    }

    fn read_offer_policy(&self, words: &mut Words<'_>) -> Result<(Actor, AuctionCommand), String> {
        let maker = person(words.next("maker")?)?;
        let mut policy = OfferPolicy::default();
        while let Ok(word) = words.next("option") {
            match word {
                "review" => policy.open_mode = OpenMode::Review,
                "window" => policy.review_window_ms = parse_length(words.next("length")?)?,
                "closed" => policy.enabled = false,
                "minimum" => {
                    policy.minimum = Some(parse_money(words.next("amount")?, Currency::Eur)?);
                }
                "block" => {
                    policy.blocked_buyers.insert(person(words.next("buyer")?)?);
                }
                "ship" => {
                    let country = Country::parse(words.next("country")?);
                    policy.ship_to.insert(country.map_err(|why| why.to_string())?);
                }
                "max" => {
                    let max = words.next("most")?;
                    policy.max_offers_per_buyer = max.parse().map_err(|_| format!("max {max}"))?;
                }
                _ => return Err(format!("unknown option {word}")),
            }
        }
        let base_version = self.market.offer_policy_row(maker).version;
        Ok((Actor::User(maker), AuctionCommand::SetOfferPolicy { base_version, policy }))
    }

    fn read_about_offer(
        &self,
        verb: &str,
        words: &mut Words<'_>,
    ) -> Result<(Actor, AuctionCommand), String> {
        let story = story_named(words.next("story")?)?;
        let buyer = person(words.next("buyer")?)?;
        let who = words.next("who").map_or(Ok(buyer), person)?;
        let row = self.market.offers_on(story, buyer).into_iter().find(|row| row.buyer_id == buyer);
        let offer = row.map_or(OfferId::from_bits(0), |row| row.offer_id);
        let command = match verb {
            "take-back" => AuctionCommand::WithdrawOffer { offer, reason: None },
            "decline-offer" => AuctionCommand::RejectOffer { offer, reason: Some(note()?) },
            _ => AuctionCommand::AcceptOffer { offer },
        };
        Ok((Actor::User(who), command))
    }

    fn read_after_sale(
        &self,
        verb: &str,
        words: &mut Words<'_>,
    ) -> Result<(Actor, AuctionCommand), String> {
        let auction = auction_named(words.next("auction")?)?;
        let who = person(words.next("who")?)?;
        let row = self.market.auction(auction).ok_or("no such auction")?;
        let command = match verb {
            "second-chance" => {
                let bid = match words.next("amount") {
                    Ok(amount) => {
                        let amount = parse_money(amount, Currency::Eur)?;
                        row.bids().find(|bid| bid.amount == amount).map(|bid| bid.bid_id)
                    }
                    Err(_) => None,
                };
                AuctionCommand::OfferSecondChance { auction, bid }
            }
            "relist" => AuctionCommand::Relist { auction },
            _ => {
                let lock = row.lock().ok_or("the auction has no lock")?;
                AuctionCommand::DeclineSecondChance { lock }
            }
        };
        Ok((Actor::User(who), command))
    }

    fn read_admin(
        &self,
        verb: &str,
        words: &mut Words<'_>,
    ) -> Result<(Actor, AuctionCommand), String> {
        let auction = auction_named(words.next("auction")?)?;
        let reason = note()?;
        let command = match verb {
            "prolong" => {
                let action = CloseOverride::Extend { by: parse_length(words.next("length")?)? };
                AuctionCommand::OverrideClose { auction, action, reason }
            }
            "fix" => {
                AuctionCommand::OverrideClose { auction, action: CloseOverride::LockEnd, reason }
            }
            _ => {
                let amount = parse_money(words.next("amount")?, Currency::Eur)?;
                let row = self.market.auction(auction).ok_or("no such auction")?;
                let bid = row.bids().find(|bid| bid.amount == amount).map(|bid| bid.bid_id);
                let bid = bid.unwrap_or(BidId::from_bits(0));
                AuctionCommand::RetractBid { auction, bid, reason }
            }
        };
        let who =
            words.next("who").map_or(Ok(Actor::Cluster), |who| person(who).map(Actor::User))?;
        Ok((who, command))
    }
}

fn note() -> Result<Note, String> {
    Note::parse("by the operator").map_err(|why| why.to_string())
}
