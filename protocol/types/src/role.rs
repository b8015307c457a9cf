//! Roles and what each may do, as one exhaustive match.

use serde::{Deserialize, Serialize};
use wincode::{SchemaRead, SchemaWrite};

/// A duty of an account. A viewer has none of these.
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
pub enum Role {
    /// Publishes stories and sells pieces.
    Maker,
    /// Decides about content.
    Moderator,
    /// Helps buyers and makers in disputes.
    Support,
    /// Refunds, ledger, payouts.
    Finance,
    /// Runs the market.
    Admin,
}

/// Who somebody is, as far as rights go: the columns of the permission matrix (domain 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standpoint {
    /// Nobody that is known.
    Guest,
    /// A signed-in account.
    Viewer,
    /// An account with a duty.
    Duty(Role),
    /// An edge.
    Edge,
}

impl Standpoint {
    /// Every standpoint, in the order of the matrix.
    pub const ALL: [Self; 8] = [
        Self::Guest,
        Self::Viewer,
        Self::Duty(Role::Maker),
        Self::Duty(Role::Moderator),
        Self::Duty(Role::Support),
        Self::Duty(Role::Finance),
        Self::Duty(Role::Admin),
        Self::Edge,
    ];
}

/// Something that somebody may do or not: the rows of the permission matrix (domain 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read the public feed and stories.
    ReadPublic,
    /// Play clips.
    Play,
    /// Offer, bid, watch, save, follow, share.
    TakePart,
    /// Withdraw an offer.
    WithdrawOffer,
    /// Pay, confirm delivery, open an issue.
    Buy,
    /// Draft, upload for and submit a story.
    WriteStory,
    /// Publish, schedule, withdraw from review.
    PublishStory,
    /// Reject an offer, accept the highest bid, second chance, relist.
    SellPiece,
    /// Add tracking.
    ShipPiece,
    /// Respond to an issue.
    RespondToIssue,
    /// Approve or reject a story, take down, strike, suspend.
    ReviewStory,
    /// Resolve an issue.
    HandleIssue,
    /// Execute a refund, release a payout.
    MoveMoney,
    /// Ask for a refund. Not in the matrix by itself: the `propose` of [`Action::MoveMoney`].
    ProposeRefund,
    /// Override a soft close or a payment window.
    OverrideWindow,
    /// Flags, policies, roles, audit export.
    Administer,
    /// A copy or the end of one's data.
    DataRights,
    /// Read every order, auction record and the ledger. Not in the matrix: duties of staff read.
    ReadMarket,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 18] = [
        Self::ReadPublic,
        Self::Play,
        Self::TakePart,
        Self::WithdrawOffer,
        Self::Buy,
        Self::WriteStory,
        Self::PublishStory,
        Self::SellPiece,
        Self::ShipPiece,
        Self::RespondToIssue,
        Self::ReviewStory,
        Self::HandleIssue,
        Self::MoveMoney,
        Self::ProposeRefund,
        Self::OverrideWindow,
        Self::Administer,
        Self::DataRights,
        Self::ReadMarket,
    ];
}

/// How far a right reaches: a cell of the permission matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not at all.
    None,
    /// What anybody may see before signing in.
    Preview,
    /// One's own things, as long as they are not finished.
    Draft,
    /// One's own things.
    Own,
    /// One's own things, but never one's own story.
    OthersStory,
    /// Anybody's things.
    Any,
    /// May ask for it; somebody else decides.
    Propose,
    /// May look at it.
    Read,
    /// Takes it in and passes it on.
    Intake,
}

/// The permission matrix (domain 1.3), ownership and capabilities aside, which the market checks.
#[must_use]
pub const fn reach(action: Action, who: Standpoint) -> Reach {
    match action {
        Action::ReadPublic => match who {
            Standpoint::Guest => Reach::Preview,
            Standpoint::Viewer | Standpoint::Duty(_) | Standpoint::Edge => Reach::Any,
        },
        Action::Play => match who {
            Standpoint::Guest | Standpoint::Duty(Role::Finance) => Reach::None,
            Standpoint::Viewer
            | Standpoint::Duty(Role::Maker | Role::Moderator | Role::Support | Role::Admin) => {
                Reach::Any
            }
            Standpoint::Edge => Reach::Intake,
        },
        Action::TakePart => match who {
            Standpoint::Viewer | Standpoint::Duty(Role::Maker) => Reach::OthersStory,
            Standpoint::Edge => Reach::Intake,
            Standpoint::Guest | Standpoint::Duty(_) => Reach::None,
        },
        Action::WithdrawOffer => of_people(who, Reach::Own, Reach::Any),
        Action::Buy => of_people(who, Reach::Own, Reach::None),
        Action::WriteStory => match who {
            Standpoint::Viewer => Reach::Draft,
            Standpoint::Duty(Role::Maker) => Reach::Own,
            Standpoint::Edge => Reach::Intake,
            Standpoint::Guest | Standpoint::Duty(_) => Reach::None,
        },
        Action::PublishStory | Action::ShipPiece => of_makers(who, Reach::Any),
        Action::SellPiece => of_makers(who, Reach::None),
        Action::RespondToIssue => match who {
            Standpoint::Duty(Role::Support) => Reach::Any,
            Standpoint::Guest | Standpoint::Viewer | Standpoint::Duty(_) | Standpoint::Edge => {
                of_people(who, Reach::Own, Reach::Any)
            }
        },
        Action::ReviewStory => of_duty(who, Role::Moderator),
        Action::HandleIssue => of_duty(who, Role::Support),
        Action::MoveMoney => match who {
            Standpoint::Duty(Role::Support) => Reach::Propose,
            Standpoint::Guest | Standpoint::Viewer | Standpoint::Duty(_) | Standpoint::Edge => {
                of_duty(who, Role::Finance)
            }
        },
        Action::OverrideWindow => of_duty(who, Role::Admin),
        Action::Administer => match who {
            Standpoint::Duty(Role::Finance) => Reach::Read,
            Standpoint::Guest | Standpoint::Viewer | Standpoint::Duty(_) | Standpoint::Edge => {
                of_duty(who, Role::Admin)
            }
        },
        Action::DataRights => of_people(who, Reach::Own, Reach::Any),
        Action::ProposeRefund | Action::ReadMarket => match who {
            Standpoint::Duty(Role::Support | Role::Finance | Role::Admin) => Reach::Any,
            Standpoint::Guest
            | Standpoint::Viewer
            | Standpoint::Duty(Role::Maker | Role::Moderator)
            | Standpoint::Edge => Reach::None,
        },
    }
}

/// Viewers and makers have `own`, admins `admin`.
const fn of_people(who: Standpoint, own: Reach, admin: Reach) -> Reach {
    match who {
        Standpoint::Viewer | Standpoint::Duty(Role::Maker) => own,
        Standpoint::Duty(Role::Admin) => admin,
        Standpoint::Duty(Role::Moderator | Role::Support | Role::Finance)
        | Standpoint::Guest
        | Standpoint::Edge => Reach::None,
    }
}

/// Makers have their own, admins `admin`.
const fn of_makers(who: Standpoint, admin: Reach) -> Reach {
    match who {
        Standpoint::Duty(Role::Maker) => Reach::Own,
        Standpoint::Duty(Role::Admin) => admin,
        Standpoint::Duty(Role::Moderator | Role::Support | Role::Finance)
        | Standpoint::Guest
        | Standpoint::Viewer
        | Standpoint::Edge => Reach::None,
    }
}

/// One duty, and admins, have anybody's.
const fn of_duty(who: Standpoint, duty: Role) -> Reach {
    match (who, duty) {
        (Standpoint::Duty(Role::Admin), _)
        | (Standpoint::Duty(Role::Moderator), Role::Moderator)
        | (Standpoint::Duty(Role::Support), Role::Support)
        | (Standpoint::Duty(Role::Finance), Role::Finance) => Reach::Any,
        (
            Standpoint::Guest | Standpoint::Viewer | Standpoint::Duty(_) | Standpoint::Edge,
            Role::Maker | Role::Moderator | Role::Support | Role::Finance | Role::Admin,
        ) => Reach::None,
    }
}

impl Role {
    /// Every duty.
    pub const ALL: [Self; 5] =
        [Self::Maker, Self::Moderator, Self::Support, Self::Finance, Self::Admin];

    /// Whether this duty includes the action by itself. Ownership and capabilities are checked apart,
    /// in the market.
    #[must_use]
    pub const fn may(self, action: Action) -> bool {
        match reach(action, Standpoint::Duty(self)) {
            Reach::Own | Reach::OthersStory | Reach::Any => true,
            Reach::None
            | Reach::Preview
            | Reach::Draft
            | Reach::Propose
            | Reach::Read
            | Reach::Intake => false,
        }
    }

    /// Whether it is a duty of the market's own people, who take no part in trade.
    #[must_use]
    pub const fn is_staff(self) -> bool {
        match self {
            Self::Maker => false,
            Self::Moderator | Self::Support | Self::Finance | Self::Admin => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of domain 1.3, as it stands there.
    const TABLE: &str = "
| Read public feed/story | ■ (preview) | ■ | ■ | ■ | ■ | ■ | ■ | ■ |
| Playback token | – | ■ | ■ | ■ (review) | ■ | – | ■ | issues |
| Offer, bid, watch, save, follow, share | – | ● not on own story | ● not on own story | – | – | – | – | intake only |
| Withdraw offer | – | ● | ● | – | – | – | ■ | – |
| Pay, confirm delivery, open issue | – | ● | ● | – | – | – | – | – |
| Create/edit/submit story, upload media | – | draft only | ● | – | – | – | – | chunk intake |
| Publish/schedule/withdraw from review | – | – | ● (can_publish) | – | – | – | ■ | – |
| Reject offer, accept highest, second chance, relist | – | – | ● (can_collect_payments) | – | – | – | – | – |
| Add tracking | – | – | ● (can_fulfill_orders) | – | – | – | ■ | – |
| Respond to issue | – | ● buyer | ● seller | – | ■ | – | ■ | – |
| Approve/reject story, takedown, strike, suspend | – | – | – | ■ | – | – | ■ | – |
| Resolve issue | – | – | – | – | ■ | – | ■ | – |
| Execute refund, release payout | – | – | – | – | propose | ■ | ■ (≠ proposer above $500) | – |
| Override soft close, payment window | – | – | – (see 10.13) | – | – | – | ■ | – |
| Flags, policies, roles, audit export | – | – | – | – | – | read | ■ | – |
| DSAR export/delete | – | ● | ● | – | – | – | ■ | – |";

    const ROWS: [Action; 16] = [
        Action::ReadPublic,
        Action::Play,
        Action::TakePart,
        Action::WithdrawOffer,
        Action::Buy,
        Action::WriteStory,
        Action::PublishStory,
        Action::SellPiece,
        Action::ShipPiece,
        Action::RespondToIssue,
        Action::ReviewStory,
        Action::HandleIssue,
        Action::MoveMoney,
        Action::OverrideWindow,
        Action::Administer,
        Action::DataRights,
    ];

    fn cell(text: &str) -> Reach {
        match text {
            "■ (preview)" => Reach::Preview,
            "draft only" => Reach::Draft,
            "propose" => Reach::Propose,
            "read" => Reach::Read,
            "issues" | "intake only" | "chunk intake" => Reach::Intake,
            "● not on own story" => Reach::OthersStory,
            _ if text.starts_with('–') => Reach::None,
            _ if text.starts_with('●') => Reach::Own,
            _ if text.starts_with('■') => Reach::Any,
            _ => panic!("unknown cell {text}"),
        }
    }

    #[test]
    fn the_permission_matrix_is_the_table_of_the_specification() {
        let lines: Vec<&str> = TABLE.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), ROWS.len());
        for (line, action) in lines.iter().zip(ROWS) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 9, "{line}");
            for (text, who) in cells[1..].iter().zip(Standpoint::ALL) {
                assert_eq!(reach(action, who), cell(text), "{}: {who:?}", cells[0]);
            }
        }
        let others = Action::ALL.iter().filter(|action| !ROWS.contains(action));
        let others: Vec<&Action> = others.collect();
        assert_eq!(others, [&Action::ProposeRefund, &Action::ReadMarket]);
    }

    #[test]
    fn who_may_propose_only_may_not_do() {
        assert!(!Role::Support.may(Action::MoveMoney));
        assert!(Role::Support.may(Action::ProposeRefund));
        assert!(!Role::Finance.may(Action::Administer));
        assert!(Role::ALL.iter().filter(|role| role.is_staff()).count() == 4);
    }
}
