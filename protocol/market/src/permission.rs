//! Who may give which command: one exhaustive match.
//!
//! Ownership (whose story, whose order) is checked by the rule itself. It must not look at the
//! contents of a command. Read next: `fairground_types::role` for what a duty includes.

use fairground_types::command::{
    AccountCommand, Actor, AuctionCommand, ClusterCommand, Command, FinanceCommand, GovernCommand,
    IssueCommand, MediaCommand, NoticeCommand, OrderCommand, PaymentCommand, PeopleCommand,
    SocialCommand, StaffCommand, StoryCommand,
};
use fairground_types::role::Action;
use fairground_types::{Capability, Code, EdgeId, Rejection, UserId};

use crate::Market;

/// On whose authority a command runs.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) user: Option<UserId>,
    pub(crate) edge: Option<EdgeId>,
    pub(crate) is_cluster: bool,
}

impl Subject {
    pub(crate) fn user(&self) -> Result<UserId, Rejection> {
        self.user.ok_or_else(sign_in_first)
    }

    pub(crate) fn edge(&self) -> Result<&EdgeId, Rejection> {
        self.edge.as_ref().ok_or_else(forbidden)
    }
}

/// What a command needs.
enum Need<'a> {
    /// Nothing: a proof is inside.
    Nothing,
    /// A signed-in account.
    Account,
    /// A signed-in account, or the cluster itself.
    AccountOrCluster,
    /// A duty.
    Duty(Action),
    /// A duty, or the cluster itself.
    DutyOrCluster(Action),
    /// The cluster itself.
    Cluster,
    /// Any registered edge.
    AnyEdge,
    /// This edge, or the cluster on its behalf.
    ThisEdge(&'a EdgeId),
}

const fn need(command: &Command) -> Need<'_> {
    match command {
        Command::Cluster(command) => cluster_need(command),
        Command::Account(command) => account_need(command),
        Command::Media(command) => media_need(command),
        Command::Story(command) => story_need(command),
        Command::Social(command) => social_need(command),
        Command::Auction(command) => auction_need(command),
        Command::Payment(command) => payment_need(command),
        Command::Order(command) => order_need(command),
        Command::Finance(command) => finance_need(command),
        Command::Issue(command) => issue_need(command),
        Command::People(command) => people_need(command),
        Command::Govern(command) => govern_need(command),
        Command::Notice(command) => notice_need(command),
    }
}

/// The duty that a command needs, where it is one over what is not one's own: such a command is
/// audited.
pub(crate) const fn duty_of(command: &Command) -> Option<Action> {
    match need(command) {
        Need::Duty(
            Action::WriteStory | Action::PublishStory | Action::SellPiece | Action::ShipPiece,
        ) => None,
        Need::Duty(action) | Need::DutyOrCluster(action) => Some(action),
        Need::Nothing
        | Need::Account
        | Need::AccountOrCluster
        | Need::Cluster
        | Need::AnyEdge
        | Need::ThisEdge(_) => None,
    }
}

const fn govern_need(command: &GovernCommand) -> Need<'_> {
    match command {
        GovernCommand::AdvanceClock { .. }
        | GovernCommand::ChangePolicy(_)
        | GovernCommand::RevertPolicy { .. }
        | GovernCommand::SetFlag(_)
        | GovernCommand::SetTemplate(_)
        | GovernCommand::SetSignaturePolicy(_)
        | GovernCommand::ActivateRules { .. } => Need::DutyOrCluster(Action::Administer),
        GovernCommand::ReportRules { member: Some(_), .. } => Need::Cluster,
        GovernCommand::ReportRules { member: None, .. } => Need::AnyEdge,
    }
}

const fn notice_need(command: &NoticeCommand) -> Need<'_> {
    match command {
        NoticeCommand::SetPreferences { .. }
        | NoticeCommand::ReadNotice { .. }
        | NoticeCommand::ReadAllNotices
        | NoticeCommand::AddPushDevice(_)
        | NoticeCommand::RemovePushDevice { .. } => Need::Account,
        NoticeCommand::DropPushToken { .. } | NoticeCommand::SuppressMail { .. } => Need::Cluster,
    }
}

const fn cluster_need(command: &ClusterCommand) -> Need<'_> {
    match command {
        ClusterCommand::RegisterMember(_) | ClusterCommand::RegisterEdge(_) => Need::Nothing,
        ClusterCommand::CreateJoinToken(_) | ClusterCommand::RevokeJoinToken { .. } => {
            Need::DutyOrCluster(Action::Administer)
        }
        ClusterCommand::InitialiseCluster(_) | ClusterCommand::Archive { .. } => Need::Cluster,
        ClusterCommand::AdmitEdge { edge, .. }
        | ClusterCommand::SealEdge { edge, .. }
        | ClusterCommand::ReportMissing { edge, .. } => Need::ThisEdge(edge),
    }
}

const fn account_need(command: &AccountCommand) -> Need<'_> {
    match command {
        AccountCommand::RequestCode(_)
        | AccountCommand::VerifyCode(_)
        | AccountCommand::RefreshSignIn(_) => Need::Nothing,
        AccountCommand::SignOut { .. }
        | AccountCommand::SetHandle { .. }
        | AccountCommand::BecomeMaker => Need::Account,
        AccountCommand::CreateAccount(_) | AccountCommand::GrantRole { .. } => {
            Need::DutyOrCluster(Action::Administer)
        }
    }
}

const fn media_need(command: &MediaCommand) -> Need<'_> {
    match command {
        MediaCommand::RegisterAsset(_) | MediaCommand::SetCaptions(_) => {
            Need::Duty(Action::WriteStory)
        }
        MediaCommand::LeaseJob
        | MediaCommand::RenewLease { .. }
        | MediaCommand::PublishRevision(_)
        | MediaCommand::FailJob { .. }
        | MediaCommand::ReportFailure(_) => Need::AnyEdge,
        MediaCommand::RequeueJob { .. } => Need::DutyOrCluster(Action::Administer),
    }
}

const fn story_need(command: &StoryCommand) -> Need<'_> {
    match command {
        StoryCommand::SaveDraft(_)
        | StoryCommand::SubmitStory { .. }
        | StoryCommand::WithdrawStory { .. }
        | StoryCommand::UnscheduleStory { .. } => Need::Duty(Action::WriteStory),
        StoryCommand::PublishStory { .. } | StoryCommand::ScheduleStory { .. } => {
            Need::Duty(Action::PublishStory)
        }
        // A maker who may no longer publish still puts own things away and answers for them.
        StoryCommand::ArchiveStory { .. } | StoryCommand::AppealTakedown { .. } => Need::Account,
        // Its owner or an admin: the rule itself says which.
        StoryCommand::RollBackStory { .. } => Need::AccountOrCluster,
        StoryCommand::RecordCheck(_) => Need::Cluster,
        StoryCommand::ReviewStory { .. }
        | StoryCommand::TakeDownStory(_)
        | StoryCommand::RestoreStory { .. }
        | StoryCommand::DismissReports { .. } => Need::DutyOrCluster(Action::ReviewStory),
    }
}

const fn social_need(command: &SocialCommand) -> Need<'_> {
    match command {
        SocialCommand::SetLike { .. }
        | SocialCommand::SetSave { .. }
        | SocialCommand::SetWatch { .. }
        | SocialCommand::ShareStory { .. }
        | SocialCommand::ReportStory { .. }
        | SocialCommand::SetFeedPreferences(_) => Need::Account,
        SocialCommand::CountViews { .. } => Need::AnyEdge,
    }
}

const fn auction_need(command: &AuctionCommand) -> Need<'_> {
    match command {
        AuctionCommand::AcceptHighest { .. }
        | AuctionCommand::OfferSecondChance { .. }
        | AuctionCommand::Relist { .. }
        | AuctionCommand::RejectOffer { .. }
        | AuctionCommand::AcceptOffer { .. } => Need::Duty(Action::SellPiece),
        AuctionCommand::WithdrawOffer { .. } | AuctionCommand::DeclineSecondChance { .. } => {
            Need::Account
        }
        AuctionCommand::SetOfferPolicy { .. } => Need::Duty(Action::WriteStory),
        AuctionCommand::CancelAuction { .. }
        | AuctionCommand::OverrideClose { .. }
        | AuctionCommand::RetractBid { .. } => Need::DutyOrCluster(Action::Administer),
    }
}

const fn payment_need(command: &PaymentCommand) -> Need<'_> {
    match command {
        PaymentCommand::StartCheckout(_) => Need::Account,
        PaymentCommand::CheckoutOpened(_)
        | PaymentCommand::CheckoutRefused { .. }
        | PaymentCommand::CheckoutEnded { .. }
        | PaymentCommand::RecordProviderEvent(_)
        | PaymentCommand::CompleteEffect { .. } => Need::Cluster,
    }
}

const fn order_need(command: &OrderCommand) -> Need<'_> {
    match command {
        OrderCommand::ChangeAddress { .. }
        | OrderCommand::ConfirmDelivery { .. }
        | OrderCommand::CancelOrder { .. }
        | OrderCommand::PostMessage { .. } => Need::Account,
        OrderCommand::AddTracking { .. } | OrderCommand::CorrectTracking { .. } => {
            Need::Duty(Action::ShipPiece)
        }
        OrderCommand::RecordCarrierEvent { .. } => Need::Cluster,
        OrderCommand::AdminCancelOrder { .. }
        | OrderCommand::AdminConfirmDelivery { .. }
        | OrderCommand::AdminCompleteOrder { .. } => Need::DutyOrCluster(Action::Administer),
    }
}

const fn issue_need(command: &IssueCommand) -> Need<'_> {
    match command {
        IssueCommand::OpenIssue(_)
        | IssueCommand::AddEvidence { .. }
        | IssueCommand::OfferResolution { .. }
        | IssueCommand::AnswerIssue { .. }
        | IssueCommand::AcceptResolution { .. }
        | IssueCommand::AppealIssue { .. } => Need::Account,
        IssueCommand::AssignIssue { .. }
        | IssueCommand::RequestAnswer { .. }
        | IssueCommand::DecideIssue { .. } => Need::DutyOrCluster(Action::HandleIssue),
    }
}

const fn finance_need(command: &FinanceCommand) -> Need<'_> {
    match command {
        FinanceCommand::OpenPayoutAccount => Need::Duty(Action::WriteStory),
        FinanceCommand::RecordProviderObject(_) | FinanceCommand::ReportEffect { .. } => {
            Need::Cluster
        }
        FinanceCommand::OverrideWindow { .. } => Need::DutyOrCluster(Action::Administer),
        FinanceCommand::ProposeRefund { .. } => Need::Duty(Action::ProposeRefund),
        FinanceCommand::ResolveHold { .. }
        | FinanceCommand::HoldPayout { .. }
        | FinanceCommand::UnholdPayout { .. }
        | FinanceCommand::RetryPayout { .. }
        | FinanceCommand::ReplayEffect { .. } => Need::DutyOrCluster(Action::MoveMoney),
        FinanceCommand::DecideRefund { .. } => Need::Duty(Action::MoveMoney),
    }
}

const fn people_need(command: &PeopleCommand) -> Need<'_> {
    match command {
        PeopleCommand::SignInSocial(_)
        | PeopleCommand::RequestRecovery(_)
        | PeopleCommand::RedeemRecovery(_)
        | PeopleCommand::DenyRecovery { .. } => Need::Nothing,
        PeopleCommand::LinkIdentity { .. }
        | PeopleCommand::UnlinkIdentity { .. }
        | PeopleCommand::SignOutEverywhere
        | PeopleCommand::RegisterDevice(_)
        | PeopleCommand::RevokeDevice { .. }
        | PeopleCommand::RegisterDeviceKey(_)
        | PeopleCommand::RemoveDeviceKey { .. }
        | PeopleCommand::RequestCapability { .. }
        | PeopleCommand::ClaimInvitation { .. }
        | PeopleCommand::SetProfile(_)
        | PeopleCommand::SetAvatar { .. }
        | PeopleCommand::SetPrivacy { .. }
        | PeopleCommand::SetConsent { .. }
        | PeopleCommand::SaveAddress(_)
        | PeopleCommand::RemoveAddress { .. }
        | PeopleCommand::SetBlock { .. }
        | PeopleCommand::SetFollow { .. }
        | PeopleCommand::RequestExport { .. }
        | PeopleCommand::RequestDeletion { .. } => Need::Account,
        PeopleCommand::CompleteTask(_) => Need::Cluster,
        PeopleCommand::Staff(command) => staff_need(command),
    }
}

const fn staff_need(command: &StaffCommand) -> Need<'_> {
    match command {
        StaffCommand::Suspend { .. }
        | StaffCommand::Reinstate { .. }
        | StaffCommand::Strike { .. }
        | StaffCommand::LiftStrike { .. } => Need::DutyOrCluster(Action::ReviewStory),
        StaffCommand::DecideCapability { .. }
        | StaffCommand::Invite(_)
        | StaffCommand::RevokeInvitation { .. }
        | StaffCommand::ForceSignOut { .. }
        | StaffCommand::GrantDuty { .. }
        | StaffCommand::RevokeDuty { .. } => Need::DutyOrCluster(Action::Administer),
    }
}

/// The capability that a maker needs besides the duty (domain 1.3).
const fn capability_for(action: Action) -> Option<Capability> {
    match action {
        Action::PublishStory => Some(Capability::Publish),
        Action::SellPiece => Some(Capability::CollectPayments),
        Action::ShipPiece => Some(Capability::FulfillOrders),
        Action::ReadPublic
        | Action::Play
        | Action::TakePart
        | Action::WithdrawOffer
        | Action::Buy
        | Action::WriteStory
        | Action::RespondToIssue
        | Action::ReviewStory
        | Action::HandleIssue
        | Action::MoveMoney
        | Action::ProposeRefund
        | Action::OverrideWindow
        | Action::Administer
        | Action::DataRights
        | Action::ReadMarket => None,
    }
}

impl Market {
    /// Whether an actor may give a command; if so, on whose authority it runs.
    pub(crate) fn permit(&self, actor: &Actor, command: &Command) -> Result<Subject, Rejection> {
        let subject = self.subject(actor)?;
        let allowed = match need(command) {
            Need::Nothing => true,
            Need::Account => subject.user().map(|_| true)?,
            Need::AccountOrCluster => subject.is_cluster || subject.user().map(|_| true)?,
            Need::Duty(action) => self.may(subject.user()?, action),
            Need::DutyOrCluster(action) => subject.is_cluster || self.may(subject.user()?, action),
            Need::Cluster => subject.is_cluster,
            Need::AnyEdge => subject.edge.is_some(),
            Need::ThisEdge(edge) => subject.is_cluster || subject.edge.as_ref() == Some(edge),
        };
        if !allowed {
            return Err(forbidden());
        }
        if let Need::Duty(action) = need(command)
            && let Some(capability) = capability_for(action)
        {
            self.require_capability(subject.user()?, capability)?;
        }
        Ok(subject)
    }

    fn subject(&self, actor: &Actor) -> Result<Subject, Rejection> {
        let nobody = Subject { user: None, edge: None, is_cluster: false };
        match actor {
            Actor::Anonymous => Ok(nobody),
            Actor::Cluster => Ok(Subject { is_cluster: true, ..nobody }),
            Actor::User(user) if self.accounts.users.contains_key(user) => {
                self.require_active(*user)?;
                Ok(Subject { user: Some(*user), ..nobody })
            }
            Actor::User(_) => Err(sign_in_first()),
            Actor::Edge(edge) if self.edges.contains_key(edge) => {
                Ok(Subject { edge: Some(edge.clone()), ..nobody })
            }
            Actor::Edge(_) => Err(forbidden()),
        }
    }

    pub(crate) fn may(&self, user: UserId, action: Action) -> bool {
        self.accounts
            .account(user)
            .is_some_and(|account| account.roles.iter().any(|role| role.may(action)))
    }
}

fn forbidden() -> Rejection {
    Rejection::new(Code::Forbidden, "not allowed")
}

fn sign_in_first() -> Rejection {
    Rejection::new(Code::AuthRequired, "sign in first")
}
