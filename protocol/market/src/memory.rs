//! How long the answer to a direct command is remembered: one exhaustive match per area.
//!
//! Commands about money are remembered long, heartbeats not at all. Read next: `dedup.rs`.

use fairground_types::command::{
    AccountCommand, AuctionCommand, ClusterCommand, Command, FinanceCommand, GovernCommand,
    IssueCommand, MediaCommand, NoticeCommand, OrderCommand, PaymentCommand, PeopleCommand,
    SocialCommand, StoryCommand,
};

use crate::dedup::Memory;

/// How long the answer to a direct command is remembered.
pub(crate) const fn memory_of(command: &Command) -> Memory {
    match command {
        Command::Cluster(command) => cluster_memory(command),
        Command::Account(command) => account_memory(command),
        Command::Media(command) => media_memory(command),
        Command::Story(command) => story_memory(command),
        Command::Social(command) => social_memory(command),
        Command::Auction(command) => auction_memory(command),
        Command::Payment(command) => payment_memory(command),
        Command::Order(command) => order_memory(command),
        Command::Finance(command) => finance_memory(command),
        Command::Issue(command) => issue_memory(command),
        Command::People(command) => people_memory(command),
        Command::Govern(command) => govern_memory(command),
        Command::Notice(command) => notice_memory(command),
    }
}

const fn govern_memory(command: &GovernCommand) -> Memory {
    match command {
        GovernCommand::ReportRules { .. } => Memory::None,
        GovernCommand::AdvanceClock { .. }
        | GovernCommand::ChangePolicy(_)
        | GovernCommand::RevertPolicy { .. }
        | GovernCommand::SetFlag(_)
        | GovernCommand::SetTemplate(_)
        | GovernCommand::SetSignaturePolicy(_)
        | GovernCommand::ActivateRules { .. } => Memory::Long,
    }
}

const fn notice_memory(command: &NoticeCommand) -> Memory {
    match command {
        NoticeCommand::DropPushToken { .. } | NoticeCommand::SuppressMail { .. } => Memory::None,
        NoticeCommand::SetPreferences { .. }
        | NoticeCommand::ReadNotice { .. }
        | NoticeCommand::ReadAllNotices
        | NoticeCommand::AddPushDevice(_)
        | NoticeCommand::RemovePushDevice { .. } => Memory::Short,
    }
}

const fn cluster_memory(command: &ClusterCommand) -> Memory {
    match command {
        ClusterCommand::Archive { .. } => Memory::None,
        ClusterCommand::AdmitEdge { .. }
        | ClusterCommand::SealEdge { .. }
        | ClusterCommand::ReportMissing { .. }
        | ClusterCommand::RegisterMember(_)
        | ClusterCommand::RegisterEdge(_) => Memory::Short,
        ClusterCommand::InitialiseCluster(_)
        | ClusterCommand::CreateJoinToken(_)
        | ClusterCommand::RevokeJoinToken { .. } => Memory::Long,
    }
}

const fn account_memory(command: &AccountCommand) -> Memory {
    match command {
        AccountCommand::RequestCode(_)
        | AccountCommand::VerifyCode(_)
        | AccountCommand::RefreshSignIn(_)
        | AccountCommand::SignOut { .. } => Memory::Short,
        AccountCommand::CreateAccount(_)
        | AccountCommand::SetHandle { .. }
        | AccountCommand::GrantRole { .. }
        | AccountCommand::BecomeMaker => Memory::Long,
    }
}

const fn media_memory(command: &MediaCommand) -> Memory {
    match command {
        MediaCommand::LeaseJob | MediaCommand::RenewLease { .. } => Memory::None,
        // Given once more, they are not about the next revision.
        MediaCommand::FailJob { .. }
        | MediaCommand::ReportFailure(_)
        | MediaCommand::SetCaptions(_) => Memory::Short,
        MediaCommand::RegisterAsset(_)
        | MediaCommand::PublishRevision(_)
        | MediaCommand::RequeueJob { .. } => Memory::Long,
    }
}

const fn story_memory(command: &StoryCommand) -> Memory {
    match command {
        StoryCommand::RecordCheck(_) => Memory::None,
        StoryCommand::SaveDraft(_)
        | StoryCommand::SubmitStory { .. }
        | StoryCommand::WithdrawStory { .. }
        | StoryCommand::ReviewStory { .. }
        | StoryCommand::PublishStory { .. }
        | StoryCommand::ScheduleStory { .. }
        | StoryCommand::UnscheduleStory { .. }
        | StoryCommand::RollBackStory { .. }
        | StoryCommand::ArchiveStory { .. }
        | StoryCommand::TakeDownStory(_)
        | StoryCommand::RestoreStory { .. }
        | StoryCommand::AppealTakedown { .. }
        | StoryCommand::DismissReports { .. } => Memory::Long,
    }
}

const fn social_memory(command: &SocialCommand) -> Memory {
    match command {
        // Saying it again changes nothing.
        SocialCommand::SetLike { .. }
        | SocialCommand::SetSave { .. }
        | SocialCommand::SetWatch { .. }
        | SocialCommand::ReportStory { .. }
        | SocialCommand::SetFeedPreferences(_)
        | SocialCommand::CountViews { .. }
        | SocialCommand::ShareStory { .. } => Memory::Short,
    }
}

const fn auction_memory(command: &AuctionCommand) -> Memory {
    match command {
        AuctionCommand::AcceptHighest { .. }
        | AuctionCommand::CancelAuction { .. }
        | AuctionCommand::OverrideClose { .. }
        | AuctionCommand::RetractBid { .. }
        | AuctionCommand::OfferSecondChance { .. }
        | AuctionCommand::DeclineSecondChance { .. }
        | AuctionCommand::Relist { .. }
        | AuctionCommand::WithdrawOffer { .. }
        | AuctionCommand::RejectOffer { .. }
        | AuctionCommand::AcceptOffer { .. }
        | AuctionCommand::SetOfferPolicy { .. } => Memory::Long,
    }
}

const fn payment_memory(command: &PaymentCommand) -> Memory {
    match command {
        PaymentCommand::CompleteEffect { .. } => Memory::None,
        PaymentCommand::StartCheckout(_)
        | PaymentCommand::CheckoutOpened(_)
        | PaymentCommand::CheckoutRefused { .. }
        | PaymentCommand::CheckoutEnded { .. }
        | PaymentCommand::RecordProviderEvent(_) => Memory::Long,
    }
}

const fn order_memory(command: &OrderCommand) -> Memory {
    match command {
        // Events carry ids of their own, which the parcel remembers.
        OrderCommand::RecordCarrierEvent { .. } => Memory::Short,
        OrderCommand::ChangeAddress { .. }
        | OrderCommand::AddTracking { .. }
        | OrderCommand::CorrectTracking { .. }
        | OrderCommand::ConfirmDelivery { .. }
        | OrderCommand::CancelOrder { .. }
        | OrderCommand::AdminCancelOrder { .. }
        | OrderCommand::AdminConfirmDelivery { .. }
        | OrderCommand::AdminCompleteOrder { .. }
        | OrderCommand::PostMessage { .. } => Memory::Long,
    }
}

const fn issue_memory(command: &IssueCommand) -> Memory {
    match command {
        IssueCommand::OpenIssue(_)
        | IssueCommand::AddEvidence { .. }
        | IssueCommand::OfferResolution { .. }
        | IssueCommand::AnswerIssue { .. }
        | IssueCommand::AcceptResolution { .. }
        | IssueCommand::AppealIssue { .. }
        | IssueCommand::AssignIssue { .. }
        | IssueCommand::RequestAnswer { .. }
        | IssueCommand::DecideIssue { .. } => Memory::Long,
    }
}

const fn finance_memory(command: &FinanceCommand) -> Memory {
    match command {
        FinanceCommand::OpenPayoutAccount | FinanceCommand::ReportEffect { .. } => Memory::Short,
        FinanceCommand::RecordProviderObject(_)
        | FinanceCommand::OverrideWindow { .. }
        | FinanceCommand::ResolveHold { .. }
        | FinanceCommand::ProposeRefund { .. }
        | FinanceCommand::DecideRefund { .. }
        | FinanceCommand::HoldPayout { .. }
        | FinanceCommand::UnholdPayout { .. }
        | FinanceCommand::RetryPayout { .. }
        | FinanceCommand::ReplayEffect { .. } => Memory::Long,
    }
}

const fn people_memory(command: &PeopleCommand) -> Memory {
    match command {
        PeopleCommand::SignInSocial(_)
        | PeopleCommand::RequestRecovery(_)
        | PeopleCommand::RedeemRecovery(_)
        | PeopleCommand::DenyRecovery { .. }
        | PeopleCommand::SignOutEverywhere
        | PeopleCommand::RegisterDevice(_)
        | PeopleCommand::RegisterDeviceKey(_)
        | PeopleCommand::RemoveDeviceKey { .. }
        | PeopleCommand::CompleteTask(_)
        | PeopleCommand::ClaimInvitation { .. } => Memory::Short,
        PeopleCommand::LinkIdentity { .. }
        | PeopleCommand::UnlinkIdentity { .. }
        | PeopleCommand::RevokeDevice { .. }
        | PeopleCommand::RequestCapability { .. }
        | PeopleCommand::SetProfile(_)
        | PeopleCommand::SetAvatar { .. }
        | PeopleCommand::SetPrivacy { .. }
        | PeopleCommand::SetConsent { .. }
        | PeopleCommand::SaveAddress(_)
        | PeopleCommand::RemoveAddress { .. }
        | PeopleCommand::SetBlock { .. }
        | PeopleCommand::SetFollow { .. }
        | PeopleCommand::RequestExport { .. }
        | PeopleCommand::RequestDeletion { .. }
        | PeopleCommand::Staff(_) => Memory::Long,
    }
}
