//! Verdicts, and every public event.

use fairground_types::Code;
use fairground_types::ShareId;
use fairground_types::command::{AuctionPolicy, MemberRow, StoryCounts};
use fairground_types::event::{
    CloseMove, CloseReason, FeedItem, LockReason, PublicBid, PublicEvent,
};
use fairground_types::id::MemberId;
use fairground_types::role::Role;
use fairground_types::verdict::{Accepted, Judged, Rejection, Verdict};

use crate::commands::{draft, key};
use crate::{
    ASSET, AUCTION, BID, BLOB, CLUSTER, COMMAND, INDEX, LOCK, OFFER, ORDER, SIGN_IN, STORY, Sample,
    USER, at, edge, eur, handle, region, sealed, tail,
};

pub(crate) fn member() -> MemberRow {
    MemberRow {
        member: MemberId(3),
        cluster_address: "member-3.example:7400".to_owned(),
        public_url: "https://console-3.example".to_owned(),
    }
}

fn public_bid() -> PublicBid {
    PublicBid {
        bid_id: BID,
        command: COMMAND,
        bidder: 2,
        amount: eur(12_500),
        received_at: at(4),
        at: at(5),
        delayed: true,
    }
}

pub(crate) fn judged() -> Judged {
    let verdict = Verdict::Accepted(Accepted::BidPlaced {
        auction: AUCTION,
        bid: BID,
        amount: eur(12_500),
        min_next: eur(13_000),
        closes_at: at(900),
    });
    Judged { index: INDEX, at: at(6), verdict }
}

pub(crate) fn rejection() -> Rejection {
    Rejection::new(Code::AuctionActive, "an auction is open")
        .with_min_next(eur(13_000))
        .with_auction(AUCTION)
        .with_retry_at(at(60))
        .late()
}

fn accepted() -> Vec<(&'static str, Accepted)> {
    vec![
        ("done", Accepted::Done),
        (
            "auction_opened",
            Accepted::AuctionOpened { offer: OFFER, auction: AUCTION, bid: BID, closes_at: at(9) },
        ),
        (
            "signed_in",
            Accepted::SignedIn {
                user: USER,
                sign_in: SIGN_IN,
                created: true,
                roles: vec![Role::Maker],
            },
        ),
        ("saved", Accepted::Saved { version: 5 }),
        ("story_saved", Accepted::StorySaved { story: STORY, version: 5 }),
        (
            "story_shared",
            Accepted::StoryShared { share: ShareId::from_bits(16), expires_at: at(86_400) },
        ),
        ("offer_submitted", Accepted::OfferSubmitted { offer: OFFER, opens_at: at(9) }),
        ("offer_policy_set", Accepted::OfferPolicySet { version: 2 }),
        ("close_set", Accepted::CloseSet { auction: AUCTION, closes_at: at(9) }),
        ("locked", Accepted::Locked { auction: AUCTION, lock: LOCK }),
        ("checkout_planned", Accepted::CheckoutPlanned { lock: LOCK, attempt: 1 }),
        ("order_changed", Accepted::OrderChanged { order: ORDER }),
        ("edge_registered", Accepted::EdgeRegistered { edge: edge() }),
        ("member_registered", Accepted::MemberRegistered { member: MemberId(3) }),
        ("edge_admitted", Accepted::EdgeAdmitted { tail: tail() }),
        ("job_leased", Accepted::JobLeased { asset: ASSET, fence: 3, until: at(60) }),
    ]
}

fn cluster_events() -> Vec<PublicEvent> {
    vec![
        PublicEvent::ClusterInitialised { cluster: CLUSTER },
        PublicEvent::KeyAdded { key: key() },
        PublicEvent::MemberChanged { member: member() },
        PublicEvent::MemberRemoved { member: MemberId(4) },
        PublicEvent::EdgeRegistered {
            edge: edge(),
            region: region(),
            public_url: "https://edge-1.example".to_owned(),
        },
        PublicEvent::EdgeAdmitted { edge: edge() },
        PublicEvent::EdgeLeftIntake { edge: edge() },
        PublicEvent::EntriesMissing { edge: edge(), first: 7, last: 9 },
        PublicEvent::SignInRevoked { sign_in: SIGN_IN },
        PublicEvent::HandleSet { user: USER, handle: handle() },
        PublicEvent::AssetPublished { asset: ASSET, revision: 1, manifest: BLOB },
        PublicEvent::StoryListed {
            story: STORY,
            maker: USER,
            maker_handle: Some(handle()),
            contents: Box::new(draft()),
        },
        PublicEvent::StorySold { story: STORY },
        PublicEvent::FlagChanged {
            flag: fairground_types::Flag::AuctionsProxyBids,
            setting: Some(Box::new(crate::govern::setting())),
        },
        PublicEvent::RulesActivated { version: 2 },
        PublicEvent::StoryHidden { story: STORY },
        PublicEvent::StoryCounted {
            story: STORY,
            counts: StoryCounts { likes: 1, saves: 2, shares: 3, views: 400 },
        },
        PublicEvent::AuctionWatched { auction: AUCTION, watchers: 7 },
        PublicEvent::StoryShared {
            share: ShareId::from_bits(16),
            story: STORY,
            expires_at: at(86_400),
        },
    ]
}

fn auction_events() -> Vec<PublicEvent> {
    vec![
        PublicEvent::AuctionOpened {
            auction: AUCTION,
            story: STORY,
            seq: 1,
            maker: USER,
            policy: AuctionPolicy::FIXED_72,
            closes_at: at(259_200),
            closes_by: at(345_600),
            opening: public_bid(),
            min_next: eur(13_000),
        },
        PublicEvent::BidPlaced { auction: AUCTION, bid: public_bid(), min_next: eur(13_000) },
        PublicEvent::BidRetracted {
            auction: AUCTION,
            bid: BID,
            highest: Some(public_bid()),
            min_next: eur(13_000),
            epoch: 1,
        },
        PublicEvent::BiddingEnded {
            auction: AUCTION,
            reason: LockReason::AutoAtCap,
            unheard: vec![edge()],
        },
        PublicEvent::CloseExtended {
            auction: AUCTION,
            closes_at: at(900),
            closes_by: at(345_600),
            by: CloseMove::Bid,
            cause: Some(BID),
            final_window: false,
        },
        PublicEvent::AuctionLocked {
            auction: AUCTION,
            reason: LockReason::AutoAtClose,
            bid: public_bid(),
            unheard: vec![edge()],
        },
        PublicEvent::AuctionAwaitsDecision { auction: AUCTION, decide_by: at(86_400) },
        PublicEvent::AuctionClosed { auction: AUCTION, reason: CloseReason::Unsold },
        PublicEvent::AuctionArchived { auction: AUCTION, story: STORY, with_story: true },
    ]
}

pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = vec![
        sealed("judged_bid_placed", &judged()),
        sealed("verdict_rejected", &Verdict::Rejected(rejection())),
        sealed(
            "feed_item_cluster",
            &FeedItem { index: INDEX, at: at(7), events: cluster_events() },
        ),
        sealed(
            "feed_item_auction",
            &FeedItem { index: INDEX, at: at(8), events: auction_events() },
        ),
    ];
    samples.extend(
        accepted().into_iter().map(|(name, accepted)| {
            sealed(format!("verdict_{name}"), &Verdict::Accepted(accepted))
        }),
    );
    samples
}
