//! Reads for signed-in people, as JSON documents of the public API.
//!
//! What shows money waits for ReadIndex: an answer is never older than the question. The rest is
//! tried likewise and answered from what is here when there is no quorum. Whoever asks sees their
//! own things; what is not theirs is not found. Read next: `fairground_market::row`.

use fairground_market::{
    AssetList, BidList, BidRow, JobList, LockList, Market, OfferList, OrderList, OwnAuctionList,
    ReceiptRow, StoryList,
};
use fairground_types::limits::{OFFERS_KEPT_MAX, PAGE_LONG_MAX, PAGE_MAX};
use fairground_types::{AuctionId, Code, EdgeId, Rejection, SaleLockId, StoryId, UserId};
use fairground_wire::message::{ForwardResponse, ReadRequest};
use serde::Serialize;

use crate::copy;
use crate::edge::forward::json as document;
use crate::member::Member;
use crate::private;
use crate::progress;
use crate::receipt;

/// Answers one read.
pub(crate) async fn answer(member: &Member, read: &ReadRequest) -> ForwardResponse {
    let is_newest = match read {
        ReadRequest::Jobs => Ok(()),
        _ => member.linearize().await,
    };
    if is_newest.is_err() && shows_money(read) {
        let retry_after = fairground_types::Millis::new(500);
        return ForwardResponse::Unavailable { retry_after };
    }
    match read {
        ReadRequest::Order { .. }
        | ReadRequest::MyOrders { .. }
        | ReadRequest::OrderMessages { .. }
        | ReadRequest::IssueEligibility { .. }
        | ReadRequest::Issue { .. }
        | ReadRequest::MakerDashboard { .. }
        | ReadRequest::Publications { .. } => about_orders(member, read).await,
        ReadRequest::Lock { .. }
        | ReadRequest::Payment { .. }
        | ReadRequest::Receipt { .. }
        | ReadRequest::ReceiptLink { .. } => about_payments(member, read).await,
        ReadRequest::Profile { .. }
        | ReadRequest::PublicProfile { .. }
        | ReadRequest::Addresses { .. } => about_people(member, read),
        ReadRequest::DataCopy { user, request } => copy::of(member, *user, *request).await,
        ReadRequest::Asset { user, asset } => {
            let row = member.state.read(|market| market.asset_row(*asset));
            match row.filter(|row| row.owner_id == *user) {
                Some(row) => document(&progress::with_asset(member, row).await),
                None => one::<()>(None),
            }
        }
        _ => member.state.read(|market| look_up(market, read)),
    }
}

/// The jobs that a worker may care about: those that it could not have now are left out.
pub(crate) fn jobs_for(member: &Member, worker: &EdgeId) -> ForwardResponse {
    let now = member.now();
    member.state.read(|market| {
        let jobs = market.jobs_for(worker, now.max(market.last_at()));
        document(&JobList { jobs })
    })
}

/// Profiles and addresses, with the private texts that their readers may see.
fn about_people(member: &Member, read: &ReadRequest) -> ForwardResponse {
    let state = &member.state;
    match read {
        ReadRequest::Profile { user } => {
            let row = state.read(|market| market.profile_row(*user));
            one(row.map(|row| private::open_profile(member, row)))
        }
        ReadRequest::PublicProfile { user, reader } => {
            let row = state.read(|market| market.public_profile(*user, *reader));
            one(row.map(|row| private::open_public(member, row)))
        }
        ReadRequest::Addresses { user } => {
            let list = state.read(|market| market.addresses_of(*user));
            document(&private::open_addresses(member, list))
        }
        _ => one::<()>(None),
    }
}

/// Orders and issues, with the private texts that their readers may see.
async fn about_orders(member: &Member, read: &ReadRequest) -> ForwardResponse {
    let state = &member.state;
    match read {
        ReadRequest::Order { user, order } => {
            let live = state.read(|market| market.order_row(*order, *user));
            let row = match live {
                Some(row) => Some(row),
                // It may have left for the history.
                None => member.history.order(*order, *user).await,
            };
            one(row.map(|row| private::open_order(member, row)))
        }
        ReadRequest::MyOrders { user } => {
            let mut orders = state.read(|market| market.orders_of(*user));
            orders.extend(member.history.orders(*user, u64::MAX, PAGE_MAX).await);
            let open = |row| private::open_order(member, row);
            document(&OrderList { orders: orders.into_iter().map(open).collect() })
        }
        ReadRequest::OrderMessages { user, order } => {
            let live = state.read(|market| market.messages_of(*order, *user));
            let list = match live {
                Some(list) => Some(list),
                None => member.history.messages(*order, *user).await,
            };
            one(list.map(|list| private::open_messages(member, list)))
        }
        ReadRequest::IssueEligibility { user, order } => {
            one(state.read(|market| market.issue_eligibility(*order, *user)))
        }
        ReadRequest::Issue { user, issue } => {
            let live = state.read(|market| market.issue_row(*issue, *user));
            let row = match live {
                Some(row) => Some(row),
                None => member.history.issue(*issue, *user).await,
            };
            one(row.map(|row| private::open_issue(member, row)))
        }
        ReadRequest::MakerDashboard { user } => {
            let mut board = state.read(|market| market.maker_dashboard(*user));
            let open = |row| private::open_order(member, row);
            board.orders_to_ship = board.orders_to_ship.into_iter().map(open).collect();
            document(&board)
        }
        ReadRequest::Publications { user } => {
            let mut list = state.read(|market| market.publications_of(*user));
            list.stories.extend(member.history.publications(*user, PAGE_LONG_MAX).await);
            document(&list)
        }
        _ => one::<()>(None),
    }
}

/// Sale locks, payments and receipts: what has left the state is looked for in the history, so that a
/// receipt is there for as long as its link or its parties ask for it.
async fn about_payments(member: &Member, read: &ReadRequest) -> ForwardResponse {
    let state = &member.state;
    match read {
        ReadRequest::Lock { user, lock } => {
            let live = state.read(|market| {
                let is_theirs = market.lock(*lock).is_some_and(|lock| lock.buyer() == *user);
                market.lock_row(*lock).filter(|_| is_theirs)
            });
            let row = match live {
                Some(row) => Some(row),
                None => {
                    let sale = member.history.sale(*lock).await;
                    sale.and_then(|sale| sale.lock_row(*lock, *user))
                }
            };
            one(row)
        }
        ReadRequest::Payment { user, payment } => {
            let live = state.read(|market| market.payment_row(*payment, *user));
            let row = match live {
                Some(row) => Some(row),
                None => {
                    let sale = member.history.sale(*payment).await;
                    sale.and_then(|sale| sale.payment_row(*payment, *user))
                }
            };
            one(row)
        }
        ReadRequest::Receipt { user, payment } => {
            let row = receipt_of(member, *payment).await;
            let row = row.filter(|row| row.buyer_id == *user || row.maker_id == *user);
            one(row.map(|row| receipt::with_link(member, row)))
        }
        ReadRequest::ReceiptLink { token } => match receipt::named_by(member, token) {
            Ok(payment) => one(receipt_of(member, payment).await),
            Err(rejection) => ForwardResponse::Rejected(rejection),
        },
        _ => one::<()>(None),
    }
}

async fn receipt_of(member: &Member, payment: SaleLockId) -> Option<ReceiptRow> {
    match member.state.read(|market| market.receipt_row(payment)) {
        Some(row) => Some(row),
        None => member.history.sale(payment).await?.receipt_row(payment),
    }
}

const fn shows_money(read: &ReadRequest) -> bool {
    match read {
        ReadRequest::MyBids { .. }
        | ReadRequest::Bid { .. }
        | ReadRequest::MyOffers { .. }
        | ReadRequest::StoryOffers { .. }
        | ReadRequest::Offer { .. }
        | ReadRequest::OfferHistory { .. }
        | ReadRequest::Eligibility { .. }
        | ReadRequest::OfferPolicy { .. }
        | ReadRequest::MakerDashboard { .. }
        | ReadRequest::Publications { .. }
        | ReadRequest::MyAuctions { .. }
        | ReadRequest::MyLocks { .. }
        | ReadRequest::Lock { .. }
        | ReadRequest::Payment { .. }
        | ReadRequest::Receipt { .. }
        | ReadRequest::ReceiptLink { .. }
        | ReadRequest::MyOrders { .. }
        | ReadRequest::Order { .. }
        | ReadRequest::OrderMessages { .. }
        | ReadRequest::IssueEligibility { .. }
        | ReadRequest::DataCopy { .. }
        | ReadRequest::Issue { .. } => true,
        ReadRequest::MyStories { .. }
        | ReadRequest::Story { .. }
        | ReadRequest::MyAssets { .. }
        | ReadRequest::Asset { .. }
        | ReadRequest::StoryStatus { .. }
        | ReadRequest::StoryVersions { .. }
        | ReadRequest::StoryDiff { .. }
        | ReadRequest::StoryViewer { .. }
        | ReadRequest::MySaved { .. }
        | ReadRequest::FeedProfile { .. }
        | ReadRequest::Me { .. }
        | ReadRequest::Notices { .. }
        | ReadRequest::NoticePreferences { .. }
        | ReadRequest::PushDevices { .. }
        | ReadRequest::SignIns { .. }
        | ReadRequest::Devices { .. }
        | ReadRequest::Capabilities { .. }
        | ReadRequest::Task { .. }
        | ReadRequest::Consents { .. }
        | ReadRequest::Privacy { .. }
        | ReadRequest::Follows { .. }
        | ReadRequest::Blocked { .. }
        | ReadRequest::Identities { .. }
        | ReadRequest::Profile { .. }
        | ReadRequest::PublicProfile { .. }
        | ReadRequest::Addresses { .. }
        | ReadRequest::DataRequest { .. }
        | ReadRequest::Jobs => false,
    }
}

fn look_up(market: &Market, read: &ReadRequest) -> ForwardResponse {
    match read {
        ReadRequest::MyBids { user, auction } => {
            document(&BidList { bids: bids(market, *user, *auction) })
        }
        ReadRequest::Bid { user, bid } => one(market.bid(*user, *bid)),
        ReadRequest::MyOffers { .. }
        | ReadRequest::StoryOffers { .. }
        | ReadRequest::Offer { .. }
        | ReadRequest::OfferHistory { .. }
        | ReadRequest::Eligibility { .. }
        | ReadRequest::OfferPolicy { .. }
        | ReadRequest::MyAuctions { .. } => about_offers(market, read),
        ReadRequest::MyLocks { user } => document(&LockList { locks: market.locks_of(*user) }),
        // Answered where the history or the leader's memory is at hand.
        ReadRequest::Asset { .. }
        | ReadRequest::Lock { .. }
        | ReadRequest::Payment { .. }
        | ReadRequest::Receipt { .. }
        | ReadRequest::ReceiptLink { .. }
        | ReadRequest::MyOrders { .. }
        | ReadRequest::Order { .. }
        | ReadRequest::OrderMessages { .. }
        | ReadRequest::IssueEligibility { .. }
        | ReadRequest::Issue { .. }
        | ReadRequest::Profile { .. }
        | ReadRequest::PublicProfile { .. }
        | ReadRequest::DataCopy { .. }
        | ReadRequest::Addresses { .. }
        | ReadRequest::MakerDashboard { .. }
        | ReadRequest::Publications { .. } => one::<()>(None),
        ReadRequest::MyStories { user } => {
            document(&StoryList { stories: market.stories_of(*user) })
        }
        ReadRequest::Story { user, story } => {
            one(market.story_row(*story).filter(|row| row.maker_id == *user))
        }
        ReadRequest::StoryStatus { user, story } => {
            one(market.story_status(*story).filter(|_| is_maker(market, *user, *story)))
        }
        ReadRequest::StoryVersions { user, story } => {
            one(market.story_versions(*story).filter(|_| is_maker(market, *user, *story)))
        }
        ReadRequest::StoryDiff { user, story, from, to } => {
            one(market.story_diff(*story, *from, *to).filter(|_| is_maker(market, *user, *story)))
        }
        ReadRequest::StoryViewer { user, story } => document(&market.viewer_state(*user, *story)),
        ReadRequest::MySaved { user } => document(&market.saved_of(*user)),
        ReadRequest::FeedProfile { user } => document(&market.feed_profile(*user)),
        ReadRequest::MyAssets { user } => document(&AssetList { assets: market.assets_of(*user) }),
        ReadRequest::Me { user } => one(market.me(*user)),
        ReadRequest::SignIns { user, current } => document(&market.sign_ins_of(*user, *current)),
        ReadRequest::Devices { user } => document(&market.devices_of(*user)),
        ReadRequest::Capabilities { user } => document(&market.capabilities_of(*user)),
        ReadRequest::Task { user, task } => one(market.task_row(*user, *task)),
        ReadRequest::Consents { user } => document(&market.consents_of(*user)),
        ReadRequest::Privacy { user } => one(market.privacy_of(*user)),
        ReadRequest::Follows { user } => document(&market.followed_by(*user)),
        ReadRequest::Blocked { user } => document(&market.blocked_by(*user)),
        ReadRequest::Identities { user } => document(&market.identities_of(*user)),
        ReadRequest::DataRequest { user, request } => one(market.data_request(*user, *request)),
        ReadRequest::Jobs => document(&JobList { jobs: market.open_jobs() }),
        ReadRequest::Notices { user } => document(&market.notice_list(*user)),
        ReadRequest::NoticePreferences { user } => document(&market.preference_row(*user)),
        ReadRequest::PushDevices { user } => document(&market.push_device_list(*user)),
    }
}

/// Offers, what makers take, and the auctions of somebody.
fn about_offers(market: &Market, read: &ReadRequest) -> ForwardResponse {
    match read {
        ReadRequest::MyOffers { user } => {
            let mut offers = market.offers_of(*user);
            offers.truncate(OFFERS_KEPT_MAX);
            document(&OfferList { offers })
        }
        ReadRequest::StoryOffers { user, story } => one(market.story_offers(*story, *user)),
        ReadRequest::Offer { user, offer } => one(market.offer_row(*offer, *user)),
        ReadRequest::OfferHistory { user, offer } => one(market.offer_history(*offer, *user)),
        ReadRequest::Eligibility { user, story, amount, ship_to } => {
            one(market.eligibility(*user, *story, (*amount, ship_to.clone())))
        }
        ReadRequest::OfferPolicy { user } => document(&market.offer_policy_row(*user)),
        ReadRequest::MyAuctions { user, as_maker } => {
            let mut auctions = if *as_maker {
                market.auctions_made_by(*user)
            } else {
                market.auctions_bid_in(*user)
            };
            auctions.truncate(PAGE_LONG_MAX);
            document(&OwnAuctionList { auctions })
        }
        _ => one::<()>(None),
    }
}

fn is_maker(market: &Market, user: UserId, story: StoryId) -> bool {
    market.story(story).is_some_and(|row| row.maker() == user)
}

/// Bids in one auction, or in every auction that the account has a bid in.
pub(crate) fn bids(market: &Market, user: UserId, auction: Option<AuctionId>) -> Vec<BidRow> {
    match auction {
        Some(auction) => market.my_bids(user, auction),
        None => {
            market.view().auctions().flat_map(|row| market.my_bids(user, row.auction)).collect()
        }
    }
}

fn one<T: Serialize>(row: Option<T>) -> ForwardResponse {
    match row {
        Some(row) => document(&row),
        None => ForwardResponse::Rejected(Rejection::new(Code::NotFound, "there is no such thing")),
    }
}
