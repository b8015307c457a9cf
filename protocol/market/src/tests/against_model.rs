//! The market against the model of it, over long random histories drawn near what falls due.
//!
//! Both are told the same entries; after each, everything that the model knows must be equal. Read
//! next: `model.rs`.

use std::collections::BTreeMap;

use fairground_types::event::CloseReason;
use fairground_types::{CommandId, Currency, EffectId, Money, StoryId, Verdict};
use proptest::prelude::*;

use super::laws::{Player, Step, step};
use super::model::{LockSays, Model, OrderSays, Said, Status};
use crate::script::{edge_named, person};
use crate::{
    Applied, AuctionState, Effect, LedgerAccount, LockState, Market, OrderState, PendingEffect,
};

fn said(verdict: &Verdict) -> Said {
    verdict.code().map_or(Said::Yes, Said::No)
}

/// Model and market start from the same set-up.
fn model_of(player: &Player) -> Model {
    let market = &player.world.market;
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "m", "n"];
    let people: Vec<_> = letters.iter().map(|who| person(who).expect("a letter")).collect();
    let maker = person("m").expect("a letter");
    let least = Money::new(10_000, Currency::Eur);
    let stories = [1, 2].map(|story| (StoryId::from_bits(story), maker, least));
    let mut model = Model::new(market.policy().clone(), market.last_at(), &people, &stories);
    for name in ["e1", "e2", "e3"] {
        let edge = edge_named(name).expect("an edge");
        model.admit(edge, market.last_at(), name != "e3");
    }
    model
}

fn compare(market: &Market, model: &Model) {
    let status = |state: &AuctionState| match state {
        AuctionState::Open => Status::Open,
        AuctionState::Locked { .. } => Status::Locked,
        AuctionState::AwaitingDecision { decide_by, .. } => {
            Status::Awaiting { until: decide_by.as_unix_millis() }
        }
        AuctionState::Closed { reason: CloseReason::Sold, .. } => Status::Sold,
        AuctionState::Closed { reason: CloseReason::Unsold, .. } => Status::Unsold,
        AuctionState::Closed { reason: CloseReason::Cancelled, .. } => Status::Cancelled,
        AuctionState::Closed { reason: CloseReason::NoBids, .. } => {
            unreachable!("the model takes no bid back")
        }
    };
    assert_eq!(market.auctions().count(), model.auctions.len(), "auctions");
    for auction in market.auctions() {
        let known = model.auctions.get(&auction.id()).expect("the model opened it too");
        assert_eq!(status(auction.state()), known.status, "{}", auction.id());
        assert_eq!(auction.closes_at().as_unix_millis(), known.closes_at, "{}", auction.id());
        assert_eq!(auction.min_next().minor(), known.next(), "{}", auction.id());
        let bids = auction.bids().map(|bid| (bid.command, bid.bidder, bid.amount.minor()));
        let theirs = known.bids.iter().map(|bid| (bid.command, bid.bidder, bid.minor));
        assert!(bids.eq(theirs), "bids of {}", auction.id());
    }
    let locks: Vec<_> = market.locks.values().collect();
    assert_eq!(locks.len(), model.locks.len(), "locks");
    for (lock, known) in locks.iter().zip(&model.locks) {
        let state = match lock.state {
            LockState::Active | LockState::Ending { .. } => LockSays::Active,
            LockState::Paid { .. } => LockSays::Paid,
            LockState::Expired { .. } | LockState::Released { .. } => LockSays::Expired,
        };
        let ours = (lock.auction, lock.buyer, lock.amount.minor(), state);
        assert_eq!(ours, (known.auction, known.buyer, known.minor, known.state));
    }
    assert_eq!(market.orders.len(), model.orders.len(), "orders");
    for (id, known) in &model.orders {
        let order = market.order(*id).expect("the market made it too");
        let state = match order.state() {
            OrderState::AwaitingShipment => OrderSays::ToShip,
            OrderState::InTransit { .. } => OrderSays::OnItsWay,
            OrderState::Delivered { .. } => OrderSays::Delivered,
            OrderState::Completed { .. } => OrderSays::Completed,
            OrderState::Cancelled { .. } => unreachable!("nobody cancels an order here"),
        };
        assert_eq!(
            (order.buyer(), order.overdue, state),
            (known.buyer, known.overdue, known.state)
        );
    }
    assert_eq!(balances(market), nonzero(&model.balances), "balances");
}

/// Balances of the market in the model's words.
fn balances(market: &Market) -> BTreeMap<String, i128> {
    let mut sums = BTreeMap::new();
    for (account, _, balance) in market.ledger_balances() {
        let name = match account {
            // What the provider keeps is the model's provider, too.
            LedgerAccount::ProviderPending
            | LedgerAccount::ProviderAvailable
            | LedgerAccount::CostProvider => "provider".to_owned(),
            LedgerAccount::Held(_) => "escrow".to_owned(),
            LedgerAccount::MakerPayable(maker) => format!("maker {maker}"),
            LedgerAccount::FeePlatform => "fees".to_owned(),
            LedgerAccount::Unclaimed(_) | LedgerAccount::BuyerRefunds => "refunds".to_owned(),
            LedgerAccount::MakerDebt(_)
            | LedgerAccount::CostDispute
            | LedgerAccount::DisputeOpen(_)
            | LedgerAccount::Conversion
            | LedgerAccount::Writeoff => "none of the model's".to_owned(),
        };
        *sums.entry(name).or_insert(0) += balance;
    }
    nonzero(&sums)
}

fn nonzero(sums: &BTreeMap<String, i128>) -> BTreeMap<String, i128> {
    sums.iter().filter(|(_, sum)| **sum != 0).map(|(name, sum)| (name.clone(), *sum)).collect()
}

fn judged(applied: &Applied) -> Vec<(CommandId, Said)> {
    applied.judged.iter().map(|told| (told.command, said(&told.judged.verdict))).collect()
}

/// Refunds that wait in the outbox.
fn refunds(market: &Market) -> BTreeMap<EffectId, u64> {
    let refund = |pending: &PendingEffect| match &pending.effect {
        Effect::CreateRefund(create) => Some((pending.id, create.amount.minor())),
        Effect::SendCode { .. }
        | Effect::OpenCheckout(_)
        | Effect::CreateTransfer(_)
        | Effect::ReverseTransfer(_)
        | Effect::CreateConnectedAccount { .. }
        | Effect::ReadCharge { .. }
        | Effect::ExpireCheckout { .. }
        | Effect::CheckStory(_)
        | Effect::Notify(_) => None,
    };
    market.outbox().filter_map(refund).collect()
}

/// Sessions that are being opened, by the places of their locks.
fn sessions(
    market: &Market,
    places: &BTreeMap<fairground_types::SaleLockId, usize>,
) -> BTreeMap<EffectId, usize> {
    let session = |pending: &PendingEffect| match &pending.effect {
        Effect::OpenCheckout(open) => Some((pending.id, places.get(&open.lock).copied()?)),
        Effect::SendCode { .. }
        | Effect::CreateRefund(_)
        | Effect::ExpireCheckout { .. }
        | Effect::CreateTransfer(_)
        | Effect::ReverseTransfer(_)
        | Effect::CreateConnectedAccount { .. }
        | Effect::ReadCharge { .. }
        | Effect::CheckStory(_)
        | Effect::Notify(_) => None,
    };
    market.outbox().filter_map(session).collect()
}

/// Plays steps and tells the model the same entries.
fn play(steps: &[Step]) {
    let mut player = Player::new();
    let mut model = model_of(&player);
    let mut market = player.world.market.clone();
    for step in steps {
        let from = player.world.log.len();
        player.play(step);
        for (entry, applied) in player.world.log.iter().zip(&player.world.applied).skip(from) {
            model.lock_ids =
                (0..).zip(market.locks.iter()).map(|(at, (id, _))| (*id, at)).collect();
            model.refunds = refunds(&market);
            model.sessions = sessions(&market, &model.lock_ids);
            let (direct, bids) = model.apply(entry);
            let again = market.apply(applied.index, entry);
            assert_eq!(&again, applied);
            for (known, verdict) in direct.iter().zip(&applied.outcomes) {
                if let Some(known) = known {
                    assert_eq!(*known, said(verdict), "{entry:?}");
                }
            }
            let (mut ours, mut theirs) = (judged(applied), bids);
            ours.sort_unstable();
            theirs.sort_unstable();
            assert_eq!(ours, theirs, "{entry:?}");
            compare(&market, &model);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_market_and_the_model_agree(steps in prop::collection::vec(step(), 1..160)) {
        play(&steps);
    }
}

#[test]
fn a_longer_history_agrees_too() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let history = prop::collection::vec(step(), 1_500);
    play(&history.new_tree(&mut runner).expect("a history").current());
}
