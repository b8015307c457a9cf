//! What came of a line, in the words of tables.
//!
//! Read next: the parent, which compares it with what a line expects.

use std::collections::BTreeSet;

use fairground_types::{Accepted, EdgeId, LogIndex, NoticeKind, PublicEvent, UserId, Verdict};

use super::notation::{plain, time_text};
use super::{Asked, World, capital, letter};
use crate::{Applied, Effect};

impl World {
    /// Who waits to be told of a kind, and by which entry; by whatever channels.
    #[must_use]
    pub fn notices(&self, kind: NoticeKind) -> BTreeSet<(UserId, LogIndex)> {
        let of_kind = self.market.outbox().filter_map(|pending| match &pending.effect {
            Effect::Notify(notice) => (notice.kind == kind).then_some((notice.user, pending.index)),
            Effect::SendCode { .. }
            | Effect::OpenCheckout(_)
            | Effect::ExpireCheckout { .. }
            | Effect::ReadCharge { .. }
            | Effect::CreateRefund(_)
            | Effect::CreateTransfer(_)
            | Effect::ReverseTransfer(_)
            | Effect::CreateConnectedAccount { .. }
            | Effect::CheckStory(_) => None,
        });
        of_kind.collect()
    }

    /// Whether somebody waits to be told of a kind.
    #[must_use]
    pub fn is_told(&self, user: UserId, kind: NoticeKind) -> bool {
        self.notices(kind).iter().any(|(told, _)| *told == user)
    }

    pub(super) fn verdict_fact(&self, asked: &Asked, applied: &Applied) -> String {
        let verdict = match asked {
            Asked::Direct(place) => applied.outcomes.get(*place),
            Asked::Intake(edge, seq) => applied
                .judged
                .iter()
                .find(|told| told.edge == *edge && told.seq == *seq)
                .map(|told| &told.judged.verdict),
        };
        match (verdict, asked) {
            (Some(verdict), _) => verdict_text(verdict),
            (None, Asked::Intake(edge, seq)) => {
                let applied_seq = self.market.edge(edge).map_or(0, |state| state.applied().seq);
                if applied_seq >= *seq { "held".to_owned() } else { "not applied".to_owned() }
            }
            (None, Asked::Direct(_)) => "no verdict".to_owned(),
        }
    }

    /// Verdicts nobody asked for in this entry (held bids), and public events.
    pub(super) fn other_facts(&self, asked: &[(usize, Asked)], applied: &Applied) -> Vec<String> {
        let was_asked = |edge: &EdgeId, seq: u64| {
            asked.iter().any(|(_, asked)| *asked == Asked::Intake(edge.clone(), seq))
        };
        let held =
            applied.judged.iter().filter(|told| !was_asked(&told.edge, told.seq)).map(|told| {
                format!("{} {}", letter(told.user), verdict_text(&told.judged.verdict))
            });
        let events = applied.feed.events.iter().filter_map(|event| self.event_text(event));
        held.chain(events).collect()
    }

    fn event_text(&self, event: &PublicEvent) -> Option<String> {
        match event {
            PublicEvent::FlagChanged { flag, .. } => Some(format!("{} changed", flag.as_str())),
            PublicEvent::RulesActivated { version } => Some(format!("rules {version}")),
            PublicEvent::AuctionOpened { auction, closes_at, .. } => {
                Some(format!("{} closes {}", capital(*auction), time_text(*closes_at)))
            }
            PublicEvent::CloseExtended { auction, closes_at, final_window, .. } => {
                let end = if *final_window { " for good" } else { "" };
                Some(format!("{} closes {}{end}", capital(*auction), time_text(*closes_at)))
            }
            PublicEvent::AuctionLocked { auction, reason, bid, unheard } => {
                let leading = self.market.auction(*auction).and_then(|row| {
                    row.bids()
                        .find(|known| known.bid_id == bid.bid_id)
                        .map(|known| letter(known.bidder))
                });
                let mut text = format!(
                    "{} locked to {} at {} ({reason:?})",
                    capital(*auction),
                    leading.unwrap_or_default(),
                    plain(bid.amount),
                );
                for edge in unheard {
                    text.push_str(&format!(" without {}", edge.name()));
                }
                Some(text)
            }
            PublicEvent::AuctionAwaitsDecision { auction, decide_by } => {
                Some(format!("{} awaits until {}", capital(*auction), time_text(*decide_by)))
            }
            PublicEvent::AuctionClosed { auction, reason } => {
                Some(format!("{} closed ({reason:?})", capital(*auction)))
            }
            PublicEvent::AuctionArchived { auction, with_story, .. } => {
                let and = if *with_story { " and its story" } else { "" };
                Some(format!("{} archived{and}", capital(*auction)))
            }
            PublicEvent::StorySold { story } => Some(format!("S{} sold", story.to_bits())),
            PublicEvent::EdgeLeftIntake { edge } => Some(format!("{} left", edge.name())),
            PublicEvent::EntriesMissing { edge, first, last } => {
                Some(format!("{} lost {first} to {last}", edge.name()))
            }
            PublicEvent::EdgeAdmitted { edge } => Some(format!("{} admitted", edge.name())),
            PublicEvent::BidRetracted { auction, highest, .. } => {
                let price =
                    highest.as_ref().map_or_else(|| "nothing".to_owned(), |bid| plain(bid.amount));
                Some(format!("{} falls to {price}", capital(*auction)))
            }
            PublicEvent::BiddingEnded { auction, reason, .. } => {
                Some(format!("{} ended ({reason:?})", capital(*auction)))
            }
            PublicEvent::BidPlaced { .. }
            | PublicEvent::ClusterInitialised { .. }
            | PublicEvent::KeyAdded { .. }
            | PublicEvent::MemberChanged { .. }
            | PublicEvent::MemberRemoved { .. }
            | PublicEvent::EdgeRegistered { .. }
            | PublicEvent::SignInRevoked { .. }
            | PublicEvent::HandleSet { .. }
            | PublicEvent::AssetPublished { .. }
            | PublicEvent::StoryCounted { .. }
            | PublicEvent::AuctionWatched { .. }
            | PublicEvent::StoryListed { .. }
            | PublicEvent::StoryShared { .. } => None,
            PublicEvent::StoryHidden { story } => Some(format!("S{} hidden", story.to_bits())),
            PublicEvent::StoryRelisted { story } => Some(format!("S{} listed", story.to_bits())),
        }
    }
}

fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted(Accepted::BidPlaced { .. }) => "placed".to_owned(),
        Verdict::Accepted(Accepted::AuctionOpened { auction, .. }) => {
            format!("opened {}", capital(*auction))
        }
        Verdict::Accepted(Accepted::OfferSubmitted { opens_at, .. }) => {
            format!("waits until {}", time_text(*opens_at))
        }
        Verdict::Accepted(Accepted::CheckoutPlanned { attempt, .. }) => {
            format!("attempt {attempt}")
        }
        Verdict::Accepted(
            Accepted::Done
            | Accepted::OfferPolicySet { .. }
            | Accepted::CloseSet { .. }
            | Accepted::SignedIn { .. }
            | Accepted::StorySaved { .. }
            | Accepted::Saved { .. }
            | Accepted::StoryShared { .. }
            | Accepted::Locked { .. }
            | Accepted::OrderChanged { .. }
            | Accepted::Refunded { .. }
            | Accepted::IssueChanged { awaits_approval: false, .. }
            | Accepted::EdgeRegistered { .. }
            | Accepted::MemberRegistered { .. }
            | Accepted::EdgeAdmitted { .. }
            | Accepted::JobLeased { .. },
        ) => "done".to_owned(),
        Verdict::Accepted(Accepted::IssueChanged { awaits_approval: true, .. }) => {
            "proposed".to_owned()
        }
        Verdict::Rejected(rejection) => {
            let mut text = rejection.code.as_str().to_owned();
            if let Some(min_next) = rejection.min_next {
                text.push_str(&format!(" minimum {}", plain(min_next)));
            }
            if let Some(rule) = rejection.rule {
                text.push_str(&format!(" {}", rule.as_str()));
            }
            if rejection.late {
                text.push_str(" late");
            }
            text
        }
    }
}
