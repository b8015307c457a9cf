//! What a privileged command is called and what it is about.
//!
//! Only commands that need a duty come here, so a command of another kind has no target. Read next:
//! the parent module.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "commands that need no duty are about nothing here"
)]

use std::fmt::{self, Write as _};

use fairground_types::command::{
    AccountCommand, AuctionCommand, ClusterCommand, Command, FinanceCommand, GovernCommand,
    IssueCommand, MediaCommand, OrderCommand, PeopleCommand, StaffCommand, StoryCommand,
    TemplateKey,
};
use fairground_types::flag::Flag;
use fairground_types::text::Note;
use fairground_types::{
    AssetId, AuctionId, Digest, EffectId, IssueId, JoinTokenId, OrderId, RefundId, SaleLockId,
    StoryId, UserId,
};
use wincode::SchemaWrite;
use wincode::config::DefaultConfig;

use crate::Market;

/// What a command is about.
pub(super) enum Target {
    Nothing,
    User(UserId),
    Story(StoryId),
    Auction(AuctionId),
    Order(OrderId),
    Issue(IssueId),
    Lock(SaleLockId),
    Refund(RefundId),
    Effect(EffectId),
    JoinToken(JoinTokenId),
    Settings,
    Flag(Flag),
    Template(TemplateKey),
    Clock,
    Rules,
    Signatures,
    Asset(AssetId),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::User(id) => write!(f, "{id}"),
            Self::Story(id) => write!(f, "{id}"),
            Self::Auction(id) => write!(f, "{id}"),
            Self::Order(id) => write!(f, "{id}"),
            Self::Issue(id) => write!(f, "{id}"),
            Self::Lock(id) => write!(f, "{id}"),
            Self::Refund(id) => write!(f, "{id}"),
            Self::Effect(id) => write!(f, "{id}"),
            Self::JoinToken(id) => write!(f, "{id}"),
            Self::Settings => f.write_str("settings"),
            Self::Flag(flag) => write!(f, "flag {}", flag.as_str()),
            Self::Template(key) => {
                let (kind, channel) = (key.kind.as_str(), key.channel.as_str());
                write!(f, "template {kind} {channel} {}", key.locale)
            }
            Self::Clock => f.write_str("clock"),
            Self::Rules => f.write_str("rules"),
            Self::Signatures => f.write_str("signatures"),
            Self::Asset(id) => write!(f, "{id}"),
        }
    }
}

pub(super) fn target_of(command: &Command) -> Target {
    match command {
        Command::Cluster(ClusterCommand::CreateJoinToken(create)) => {
            Target::JoinToken(create.token)
        }
        Command::Cluster(ClusterCommand::RevokeJoinToken { token }) => Target::JoinToken(*token),
        Command::Account(AccountCommand::GrantRole { user, .. }) => Target::User(*user),
        Command::Account(AccountCommand::CreateAccount(create)) => Target::User(create.user),
        Command::Story(
            StoryCommand::ReviewStory { story, .. }
            | StoryCommand::RestoreStory { story, .. }
            | StoryCommand::DismissReports { story, .. }
            | StoryCommand::RollBackStory { story, .. },
        ) => Target::Story(*story),
        Command::Story(StoryCommand::TakeDownStory(takedown)) => Target::Story(takedown.story),
        Command::Auction(
            AuctionCommand::CancelAuction { auction, .. }
            | AuctionCommand::OverrideClose { auction, .. }
            | AuctionCommand::RetractBid { auction, .. },
        ) => Target::Auction(*auction),
        Command::Order(
            OrderCommand::AdminCancelOrder { order, .. }
            | OrderCommand::AdminConfirmDelivery { order, .. }
            | OrderCommand::AdminCompleteOrder { order, .. },
        ) => Target::Order(*order),
        Command::Issue(
            IssueCommand::AssignIssue { issue, .. }
            | IssueCommand::RequestAnswer { issue, .. }
            | IssueCommand::DecideIssue { issue, .. },
        ) => Target::Issue(*issue),
        Command::Govern(command) => govern_target(command),
        Command::Finance(command) => finance_target(command),
        Command::People(PeopleCommand::Staff(command)) => staff_target(command),
        Command::Media(MediaCommand::RequeueJob { asset, .. }) => Target::Asset(*asset),
        _ => Target::Nothing,
    }
}

fn govern_target(command: &GovernCommand) -> Target {
    match command {
        GovernCommand::AdvanceClock { .. } => Target::Clock,
        GovernCommand::ChangePolicy(_) | GovernCommand::RevertPolicy { .. } => Target::Settings,
        GovernCommand::SetFlag(set) => Target::Flag(set.flag),
        GovernCommand::SetTemplate(set) => Target::Template(set.key.clone()),
        GovernCommand::ActivateRules { .. } | GovernCommand::ReportRules { .. } => Target::Rules,
        GovernCommand::SetSignaturePolicy(_) => Target::Signatures,
    }
}

const fn staff_target(command: &StaffCommand) -> Target {
    match command {
        StaffCommand::DecideCapability { user, .. }
        | StaffCommand::Suspend { user, .. }
        | StaffCommand::Reinstate { user, .. }
        | StaffCommand::ForceSignOut { user, .. }
        | StaffCommand::GrantDuty { user, .. }
        | StaffCommand::RevokeDuty { user, .. }
        | StaffCommand::Strike { user, .. }
        | StaffCommand::LiftStrike { user, .. } => Target::User(*user),
        StaffCommand::Invite(_) | StaffCommand::RevokeInvitation { .. } => Target::Nothing,
    }
}

fn finance_target(command: &FinanceCommand) -> Target {
    match command {
        FinanceCommand::OverrideWindow { lock, .. } | FinanceCommand::ResolveHold { lock, .. } => {
            Target::Lock(*lock)
        }
        FinanceCommand::ProposeRefund { order, .. }
        | FinanceCommand::HoldPayout { order, .. }
        | FinanceCommand::UnholdPayout { order, .. }
        | FinanceCommand::RetryPayout { order, .. } => Target::Order(*order),
        FinanceCommand::DecideRefund { refund, .. } => Target::Refund(*refund),
        FinanceCommand::ReplayEffect { effect, .. } => Target::Effect(*effect),
        FinanceCommand::OpenPayoutAccount
        | FinanceCommand::RecordProviderObject(_)
        | FinanceCommand::ReportEffect { .. } => Target::Nothing,
    }
}

/// The reason that a command carries.
pub(super) const fn reason_of(command: &Command) -> Option<&Note> {
    match command {
        Command::Auction(
            AuctionCommand::CancelAuction { reason, .. }
            | AuctionCommand::OverrideClose { reason, .. }
            | AuctionCommand::RetractBid { reason, .. },
        )
        | Command::Story(
            StoryCommand::RestoreStory { reason, .. }
            | StoryCommand::DismissReports { reason, .. }
            | StoryCommand::RollBackStory { reason, .. },
        )
        | Command::Order(
            OrderCommand::AdminCancelOrder { reason, .. }
            | OrderCommand::AdminConfirmDelivery { reason, .. }
            | OrderCommand::AdminCompleteOrder { reason, .. },
        )
        | Command::Issue(
            IssueCommand::AssignIssue { reason, .. }
            | IssueCommand::RequestAnswer { reason, .. }
            | IssueCommand::DecideIssue { reason, .. },
        )
        | Command::Govern(
            GovernCommand::AdvanceClock { reason, .. }
            | GovernCommand::RevertPolicy { reason, .. }
            | GovernCommand::ActivateRules { reason, .. },
        ) => Some(reason),
        Command::Finance(
            FinanceCommand::OverrideWindow { reason, .. }
            | FinanceCommand::ResolveHold { reason, .. }
            | FinanceCommand::ProposeRefund { reason, .. }
            | FinanceCommand::DecideRefund { reason, .. }
            | FinanceCommand::HoldPayout { reason, .. }
            | FinanceCommand::UnholdPayout { reason, .. }
            | FinanceCommand::RetryPayout { reason, .. }
            | FinanceCommand::ReplayEffect { reason, .. },
        ) => Some(reason),
        Command::People(PeopleCommand::Staff(
            StaffCommand::DecideCapability { reason, .. }
            | StaffCommand::RevokeInvitation { reason, .. }
            | StaffCommand::Suspend { reason, .. }
            | StaffCommand::Reinstate { reason, .. }
            | StaffCommand::ForceSignOut { reason, .. }
            | StaffCommand::GrantDuty { reason, .. }
            | StaffCommand::RevokeDuty { reason, .. }
            | StaffCommand::Strike { reason, .. }
            | StaffCommand::LiftStrike { reason, .. },
        )) => Some(reason),
        Command::Story(StoryCommand::TakeDownStory(takedown)) => Some(&takedown.reason),
        Command::Media(MediaCommand::RequeueJob { reason, .. }) => Some(reason),
        Command::Govern(GovernCommand::ChangePolicy(change)) => Some(&change.reason),
        Command::Govern(GovernCommand::SetFlag(set)) => Some(&set.reason),
        Command::Govern(GovernCommand::SetSignaturePolicy(set)) => Some(&set.reason),
        Command::Govern(GovernCommand::SetTemplate(set)) => Some(&set.reason),
        _ => None,
    }
}

/// Takes the names of variants off a value's debug text and then wants no more of it.
struct Names {
    text: String,
    parts: u32,
}

impl fmt::Write for Names {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '(' if self.parts == 0 => {
                    self.parts = 1;
                    self.text.push('.');
                }
                c if c.is_ascii_alphanumeric() => self.text.push(c),
                _ => return Err(fmt::Error),
            }
        }
        Ok(())
    }
}

/// The name of a command, for example `Auction.CancelAuction`.
pub(super) fn action_of(command: &Command) -> String {
    let mut names = Names { text: String::new(), parts: 0 };
    // It always ends early: the names are all that is wanted.
    let _ = write!(names, "{command:?}");
    names.text
}

fn digest<T: SchemaWrite<DefaultConfig, Src = T>>(value: Option<&T>) -> Digest {
    let bytes = value.and_then(|value| wincode::serialize(value).ok());
    Digest::of(&bytes.unwrap_or_default())
}

impl Market {
    /// Digest over the stored bytes of a target; that of nothing when it is not there.
    pub(super) fn target_digest(&self, target: &Target) -> Digest {
        match target {
            Target::Nothing => Digest::of(&[]),
            Target::User(user) => digest(self.account(*user)),
            Target::Story(story) => digest(self.story(*story)),
            Target::Auction(auction) => digest(self.auctions.get(auction).map(AsRef::as_ref)),
            Target::Order(order) => digest(self.orders.get(order).map(AsRef::as_ref)),
            Target::Issue(issue) => digest(self.issues.get(issue).map(AsRef::as_ref)),
            Target::Lock(lock) => digest(self.locks.get(lock).map(AsRef::as_ref)),
            // Both are known by what they are part of; that they changed is in the ledger.
            Target::Refund(_) | Target::Effect(_) => Digest::of(&[]),
            Target::JoinToken(token) => digest(self.cluster.tokens.get(token)),
            Target::Settings => digest(Some(&self.cluster.policy)),
            Target::Flag(flag) => digest(self.flag(*flag)),
            Target::Template(key) => digest(self.template(key)),
            Target::Clock => digest(Some(&self.govern.clock)),
            Target::Rules => digest(Some(&self.rules_version)),
            Target::Signatures => digest(Some(&self.signature_policy().policy)),
            Target::Asset(asset) => digest(self.asset(*asset)),
        }
    }
}

#[cfg(test)]
mod tests {
    use fairground_types::Millis;

    use super::*;

    #[test]
    fn a_command_is_called_by_its_area_and_its_variant() {
        let reason = Note::parse("trying it out").expect("valid");
        let advance = GovernCommand::AdvanceClock { by: Millis::from_secs(1), reason };
        assert_eq!(action_of(&Command::Govern(advance)), "Govern.AdvanceClock");
        let revoke = ClusterCommand::RevokeJoinToken { token: JoinTokenId::from_bits(1) };
        assert_eq!(action_of(&Command::Cluster(revoke)), "Cluster.RevokeJoinToken");
        assert_eq!(
            action_of(&Command::Account(AccountCommand::BecomeMaker)),
            "Account.BecomeMaker"
        );
        assert_eq!(
            Target::Order(OrderId::from_bits(1)).to_string(),
            OrderId::from_bits(1).to_string()
        );
    }
}
