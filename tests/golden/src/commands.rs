//! Every command, and the entries that carry them.

use fairground_types::RefundId;
use fairground_types::ShareId;
use fairground_types::command::{
    AccountCommand, Actor, AuctionCommand, BalanceRecord, Carrier, CarrierEvent, CarrierStatus,
    Channel, CheckCategory, CheckResult, CheckoutEnd, CheckoutOpened, Clip, CloseOverride,
    ClusterCommand, ClusterKey, Command, CreateAccount, CreateJoinToken, Decision, EffectOutcome,
    EffectResult, Entry, Envelope, Evidence, Extent, FailedJob, FinanceCommand, Finding,
    HoldDecision, InitialiseCluster, IssueCommand, IssueKind, JobFault, JoinProof, JoinRole,
    KeyPurpose, LogCommand, MakerOffer, MarketPolicy, MediaCommand, OfferPolicy, OpenIssue,
    OrderCommand, Party, PaymentCommand, ProviderAccountState, ProviderEvent, ProviderEventKind,
    ProviderObject, ProviderObjectEvent, PublishRevision, RecordCheck, RefreshSignIn,
    RefundDecision, RegisterAsset, RegisterEdge, RegisterMember, ReportGround, RequestCode,
    ReviewDecision, SaveDraft, SealedText, SetCaptions, ShareChannel, ShippingAddress,
    SocialCommand, StartCheckout, StoryCommand, StoryDraft, StorySections, TakeDown,
    TakedownGround, VerifyCode, ViewCount, WindowChange,
};
use fairground_types::role::Role;
use fairground_types::text::{
    Category, ClipLabel, Country, Note, Overview, Summary, Title, TrackingNumber, ZoneName,
};
use fairground_types::time::Millis;

use crate::govern::{govern_commands, govern_name, notice_name};
use crate::{
    ASSET, AUCTION, BID, BLOB, CHALLENGE, CLUSTER, COMMAND, DIGEST, EFFECT, LOCK, OFFER, ORDER,
    SIGN_IN, STORY, Sample, TOKEN, USER, at, batch, contact, edge, eur, handle, mark, region,
    sealed, tail,
};

pub(crate) fn key() -> ClusterKey {
    ClusterKey { kid: "access-1".to_owned(), purpose: KeyPurpose::Access, public: [7; 32] }
}

pub(crate) fn draft() -> StoryDraft {
    StoryDraft {
        title: Title::parse("A turned bowl").expect("valid"),
        short_description: Summary::parse("Ash, oiled").expect("valid"),
        category: Category::parse("wood").expect("valid"),
        overview: Overview::parse("Turned in one day.").expect("valid"),
        clips: vec![Clip { asset_id: ASSET, label: ClipLabel::parse("The lathe").expect("valid") }],
        sections: StorySections {
            process_timeline: vec![note()],
            materials: Some(note()),
            notes: None,
            location: Some(Summary::parse("by the sea").expect("valid")),
        },
        tags: vec![Category::parse("bowls").expect("valid")],
        minimum_offer: eur(5_000),
        publish_when_approved: true,
    }
}

fn note() -> Note {
    Note::parse("The second clip is not yours.").expect("valid")
}

fn proof() -> JoinProof {
    JoinProof { token: TOKEN, secret: DIGEST }
}

/// The name of a command. A new command does not compile until it has a name, and does not pass
/// until it has a sample.
fn name(command: &Command) -> &'static str {
    match command {
        Command::Cluster(ClusterCommand::InitialiseCluster(_)) => "initialise_cluster",
        Command::Cluster(ClusterCommand::CreateJoinToken(_)) => "create_join_token",
        Command::Cluster(ClusterCommand::RevokeJoinToken { .. }) => "revoke_join_token",
        Command::Cluster(ClusterCommand::RegisterMember(_)) => "register_member",
        Command::Cluster(ClusterCommand::RegisterEdge(_)) => "register_edge",
        Command::Cluster(ClusterCommand::AdmitEdge { .. }) => "admit_edge",
        Command::Cluster(ClusterCommand::SealEdge { .. }) => "seal_edge",
        Command::Cluster(ClusterCommand::ReportMissing { .. }) => "report_missing",
        Command::Cluster(ClusterCommand::Archive { .. }) => "archive",
        Command::Account(AccountCommand::CreateAccount(_)) => "create_account",
        Command::Account(AccountCommand::RequestCode(_)) => "request_code",
        Command::Account(AccountCommand::VerifyCode(_)) => "verify_code",
        Command::Account(AccountCommand::RefreshSignIn(_)) => "refresh_sign_in",
        Command::Account(AccountCommand::SignOut { .. }) => "sign_out",
        Command::Account(AccountCommand::SetHandle { .. }) => "set_handle",
        Command::Account(AccountCommand::GrantRole { .. }) => "grant_role",
        Command::Account(AccountCommand::BecomeMaker) => "become_maker",
        Command::Media(MediaCommand::RegisterAsset(_)) => "register_asset",
        Command::Media(MediaCommand::LeaseJob) => "lease_job",
        Command::Media(MediaCommand::RenewLease { .. }) => "renew_lease",
        Command::Media(MediaCommand::PublishRevision(_)) => "publish_revision",
        Command::Media(MediaCommand::FailJob { .. }) => "fail_job",
        Command::Media(MediaCommand::SetCaptions(_)) => "set_captions",
        Command::Media(MediaCommand::ReportFailure(_)) => "report_failure",
        Command::Media(MediaCommand::RequeueJob { .. }) => "requeue_job",
        Command::Story(StoryCommand::SaveDraft(_)) => "save_draft",
        Command::Story(StoryCommand::SubmitStory { .. }) => "submit_story",
        Command::Story(StoryCommand::ReviewStory { .. }) => "review_story",
        Command::Story(StoryCommand::PublishStory { .. }) => "publish_story",
        Command::Story(StoryCommand::WithdrawStory { .. }) => "withdraw_story",
        Command::Story(StoryCommand::RecordCheck(_)) => "record_check",
        Command::Story(StoryCommand::ScheduleStory { .. }) => "schedule_story",
        Command::Story(StoryCommand::UnscheduleStory { .. }) => "unschedule_story",
        Command::Story(StoryCommand::RollBackStory { .. }) => "roll_back_story",
        Command::Story(StoryCommand::ArchiveStory { .. }) => "archive_story",
        Command::Story(StoryCommand::TakeDownStory(_)) => "take_down_story",
        Command::Story(StoryCommand::RestoreStory { .. }) => "restore_story",
        Command::Story(StoryCommand::AppealTakedown { .. }) => "appeal_takedown",
        Command::Story(StoryCommand::DismissReports { .. }) => "dismiss_reports",
        Command::Social(SocialCommand::SetLike { .. }) => "set_like",
        Command::Social(SocialCommand::SetSave { .. }) => "set_save",
        Command::Social(SocialCommand::SetWatch { .. }) => "set_watch",
        Command::Social(SocialCommand::ShareStory { .. }) => "share_story",
        Command::Social(SocialCommand::ReportStory { .. }) => "report_story",
        Command::Social(SocialCommand::SetFeedPreferences(_)) => "set_feed_preferences",
        Command::Social(SocialCommand::CountViews { .. }) => "count_views",
        Command::Auction(AuctionCommand::AcceptHighest { .. }) => "accept_highest",
        Command::Auction(AuctionCommand::CancelAuction { .. }) => "cancel_auction",
        Command::Auction(AuctionCommand::OverrideClose { .. }) => "override_close",
        Command::Auction(AuctionCommand::RetractBid { .. }) => "retract_bid",
        Command::Auction(AuctionCommand::OfferSecondChance { .. }) => "offer_second_chance",
        Command::Auction(AuctionCommand::DeclineSecondChance { .. }) => "decline_second_chance",
        Command::Auction(AuctionCommand::Relist { .. }) => "relist",
        Command::Auction(AuctionCommand::WithdrawOffer { .. }) => "withdraw_offer",
        Command::Auction(AuctionCommand::RejectOffer { .. }) => "reject_offer",
        Command::Auction(AuctionCommand::AcceptOffer { .. }) => "accept_offer",
        Command::Auction(AuctionCommand::SetOfferPolicy { .. }) => "set_offer_policy",
        Command::Payment(PaymentCommand::StartCheckout(_)) => "start_checkout",
        Command::Payment(PaymentCommand::CheckoutOpened(_)) => "checkout_opened",
        Command::Payment(PaymentCommand::CheckoutRefused { .. }) => "checkout_refused",
        Command::Payment(PaymentCommand::CheckoutEnded { .. }) => "checkout_ended",
        Command::Finance(FinanceCommand::OpenPayoutAccount) => "open_payout_account",
        Command::Finance(FinanceCommand::RecordProviderObject(_)) => "record_provider_object",
        Command::Finance(FinanceCommand::ReportEffect { .. }) => "report_effect",
        Command::Finance(FinanceCommand::OverrideWindow { .. }) => "override_window",
        Command::Finance(FinanceCommand::ResolveHold { .. }) => "resolve_hold",
        Command::Finance(FinanceCommand::ProposeRefund { .. }) => "propose_refund",
        Command::Finance(FinanceCommand::DecideRefund { .. }) => "decide_refund",
        Command::Finance(FinanceCommand::HoldPayout { .. }) => "hold_payout",
        Command::Finance(FinanceCommand::UnholdPayout { .. }) => "unhold_payout",
        Command::Finance(FinanceCommand::RetryPayout { .. }) => "retry_payout",
        Command::Finance(FinanceCommand::ReplayEffect { .. }) => "replay_effect",
        Command::Payment(PaymentCommand::RecordProviderEvent(_)) => "record_provider_event",
        Command::Order(command) => order_name(command),
        Command::Issue(command) => issue_name(command),
        Command::Payment(PaymentCommand::CompleteEffect { .. }) => "complete_effect",
        Command::People(command) => crate::people::name(command),
        Command::Govern(command) => govern_name(command),
        Command::Notice(command) => notice_name(command),
    }
}

const COMMANDS: usize = 108;

fn auction_commands() -> Vec<Command> {
    let (auction, reason) = (AUCTION, note());
    let action = CloseOverride::Extend { by: Millis::from_mins(10) };
    let policy = OfferPolicy { minimum: Some(eur(9_000)), ..OfferPolicy::default() };
    vec![
        AuctionCommand::AcceptHighest { auction, expected: BID },
        AuctionCommand::CancelAuction { auction, reason: reason.clone() },
        AuctionCommand::OverrideClose { auction, action, reason: reason.clone() },
        AuctionCommand::RetractBid { auction, bid: BID, reason: reason.clone() },
        AuctionCommand::OfferSecondChance { auction, bid: Some(BID) },
        AuctionCommand::DeclineSecondChance { lock: LOCK },
        AuctionCommand::Relist { auction },
        AuctionCommand::WithdrawOffer { offer: OFFER, reason: None },
        AuctionCommand::RejectOffer { offer: OFFER, reason: Some(reason) },
        AuctionCommand::AcceptOffer { offer: OFFER },
        AuctionCommand::SetOfferPolicy { base_version: 1, policy },
    ]
    .into_iter()
    .map(Command::Auction)
    .collect()
}

fn finance_commands() -> Vec<Command> {
    let reason = note();
    let refund = RefundId::from_bits(9);
    let account = ProviderObject::Account {
        account: "acct_1".to_owned(),
        user: Some(USER),
        state: ProviderAccountState::Ready,
    };
    let told = ProviderObjectEvent {
        event: "evt_2".to_owned(),
        created: at(3),
        object: account,
        raw: DIGEST,
    };
    let balance = BalanceRecord {
        record: "txn_1".to_owned(),
        fee: eur(320),
        gross: eur(10_000),
        available_at: at(8),
    };
    let result = EffectResult::ChargeRead { charge: "ch_1".to_owned(), balance };
    let change = WindowChange::Extend { by: Millis::from_hours(1) };
    vec![
        FinanceCommand::OpenPayoutAccount,
        FinanceCommand::RecordProviderObject(told),
        FinanceCommand::ReportEffect { effect: EFFECT, result },
        FinanceCommand::OverrideWindow { lock: LOCK, change, reason: reason.clone() },
        FinanceCommand::ResolveHold {
            lock: LOCK,
            event: "evt_1".to_owned(),
            decision: HoldDecision::Refund,
            new_order: ORDER,
            reason: reason.clone(),
        },
        FinanceCommand::ProposeRefund { order: ORDER, amount: eur(500), reason: reason.clone() },
        FinanceCommand::DecideRefund {
            refund,
            decision: RefundDecision::Approve,
            reason: reason.clone(),
        },
        FinanceCommand::HoldPayout { order: ORDER, reason: reason.clone() },
        FinanceCommand::UnholdPayout { order: ORDER, reason: reason.clone() },
        FinanceCommand::RetryPayout { order: ORDER, reason: reason.clone() },
        FinanceCommand::ReplayEffect { effect: EFFECT, reason },
    ]
    .into_iter()
    .map(Command::Finance)
    .collect()
}
fn cluster_commands() -> Vec<Command> {
    vec![
        Command::Cluster(ClusterCommand::InitialiseCluster(InitialiseCluster {
            cluster: CLUSTER,
            policy: MarketPolicy::default(),
            keys: vec![key()],
            sandbox: false,
            rules: 2,
        })),
        Command::Cluster(ClusterCommand::CreateJoinToken(CreateJoinToken {
            token: TOKEN,
            secret: DIGEST,
            role: JoinRole::Edge,
            region: region(),
            expires_at: at(600),
        })),
        Command::Cluster(ClusterCommand::RevokeJoinToken { token: TOKEN }),
        Command::Cluster(ClusterCommand::RegisterMember(RegisterMember {
            proof: Some(proof()),
            cluster_address: "member-1.example:7400".to_owned(),
            public_url: "https://console.example".to_owned(),
        })),
        Command::Cluster(ClusterCommand::RegisterEdge(RegisterEdge {
            proof: proof(),
            name: "edge-1".to_owned(),
            public_url: "https://edge-1.example".to_owned(),
            receipt_key: [9; 32],
            takes_bids: true,
        })),
        Command::Cluster(ClusterCommand::AdmitEdge { edge: edge(), tail: tail() }),
        Command::Cluster(ClusterCommand::SealEdge { edge: edge(), tail: tail() }),
        Command::Cluster(ClusterCommand::ReportMissing { edge: edge(), first: 7, last: tail() }),
        Command::Cluster(ClusterCommand::Archive { max: 256 }),
    ]
}

fn account_commands() -> Vec<Command> {
    vec![
        Command::Account(AccountCommand::CreateAccount(CreateAccount {
            user: USER,
            identifier: DIGEST,
            contact: contact(),
            channel: Channel::Email,
            handle: Some(handle()),
            roles: vec![Role::Admin, Role::Moderator],
        })),
        Command::Account(AccountCommand::RequestCode(RequestCode {
            challenge: CHALLENGE,
            identifier: DIGEST,
            contact: contact(),
            channel: Channel::Sms,
            code: DIGEST,
            origin: Some(DIGEST),
        })),
        Command::Account(AccountCommand::VerifyCode(VerifyCode {
            identifier: DIGEST,
            code: DIGEST,
            new_user: USER,
            sign_in: SIGN_IN,
            refresh: DIGEST,
        })),
        Command::Account(AccountCommand::RefreshSignIn(RefreshSignIn {
            sign_in: SIGN_IN,
            presented: DIGEST,
            next: DIGEST,
        })),
        Command::Account(AccountCommand::SignOut { sign_in: SIGN_IN }),
        Command::Account(AccountCommand::SetHandle { handle: handle() }),
        Command::Account(AccountCommand::GrantRole { user: USER, role: Role::Finance }),
        Command::Account(AccountCommand::BecomeMaker),
    ]
}

fn media_and_story_commands() -> Vec<Command> {
    vec![
        Command::Media(MediaCommand::RegisterAsset(RegisterAsset {
            asset: ASSET,
            source: BLOB,
            source_bytes: 1_234_567,
            duration: Millis::from_secs(42),
            width: 1920,
            height: 1080,
        })),
        Command::Media(MediaCommand::LeaseJob),
        Command::Media(MediaCommand::RenewLease { asset: ASSET, fence: 3 }),
        Command::Media(MediaCommand::PublishRevision(PublishRevision {
            asset: ASSET,
            fence: 3,
            revision: 1,
            manifest: BLOB,
            codecs: vec!["h264".to_owned(), "av1".to_owned()],
            extent: Extent::Beginning,
        })),
        Command::Media(MediaCommand::FailJob {
            asset: ASSET,
            fence: 3,
            reason: "NO_VIDEO_TRACK".to_owned(),
            is_final: true,
        }),
        Command::Media(MediaCommand::SetCaptions(SetCaptions {
            asset: ASSET,
            revision: 3,
            manifest: BLOB,
        })),
        Command::Media(MediaCommand::ReportFailure(FailedJob {
            asset: ASSET,
            fence: 3,
            reason: "tool_killed".to_owned(),
            fault: JobFault::Poison,
            detail: "signal: 9 (SIGKILL)".to_owned(),
        })),
        Command::Media(MediaCommand::RequeueJob { asset: ASSET, reason: note() }),
        Command::Story(StoryCommand::SaveDraft(SaveDraft {
            story: STORY,
            base_version: Some(4),
            draft: draft(),
        })),
        Command::Story(StoryCommand::SubmitStory { story: STORY, attested: true }),
        Command::Story(StoryCommand::ReviewStory {
            story: STORY,
            decision: ReviewDecision::Reject { notes: note() },
        }),
        Command::Story(StoryCommand::PublishStory { story: STORY }),
    ]
}

fn story_commands() -> Vec<Command> {
    let commands = vec![
        StoryCommand::WithdrawStory { story: STORY },
        StoryCommand::RecordCheck(RecordCheck {
            effect: EFFECT,
            story: STORY,
            version: 4,
            result: CheckResult::Scored {
                findings: vec![Finding { category: CheckCategory::Links, score: 6_000 }],
                confidence: 9_000,
            },
        }),
        StoryCommand::ScheduleStory {
            story: STORY,
            publish_at: at(3_600),
            zone: ZoneName::parse("Europe/Berlin").expect("valid"),
        },
        StoryCommand::UnscheduleStory { story: STORY },
        StoryCommand::RollBackStory { story: STORY, version: 2, reason: note() },
        StoryCommand::ArchiveStory { story: STORY },
        StoryCommand::TakeDownStory(TakeDown {
            story: STORY,
            ground: TakedownGround::Copyright,
            reason: note(),
            is_strike: true,
        }),
        StoryCommand::RestoreStory { story: STORY, reason: note() },
        StoryCommand::AppealTakedown { story: STORY, text: note() },
        StoryCommand::DismissReports { story: STORY, reason: note() },
    ];
    commands.into_iter().map(Command::Story).collect()
}

fn social_commands() -> Vec<Command> {
    let commands = vec![
        SocialCommand::SetLike { story: STORY, on: true },
        SocialCommand::SetSave { story: STORY, on: false },
        SocialCommand::SetWatch { auction: AUCTION, on: true },
        SocialCommand::ShareStory {
            share: ShareId::from_bits(16),
            story: STORY,
            channel: ShareChannel::Message,
        },
        SocialCommand::ReportStory { story: STORY, ground: ReportGround::Spam, note: Some(note()) },
        SocialCommand::SetFeedPreferences(Box::default()),
        SocialCommand::CountViews { counts: vec![ViewCount { story: STORY, views: 3 }] },
    ];
    commands.into_iter().map(Command::Social).collect()
}

fn sale_commands() -> Vec<Command> {
    vec![
        Command::Payment(PaymentCommand::StartCheckout(StartCheckout {
            lock: LOCK,
            return_url: "https://edge-1.example/paid".to_owned(),
            cancel_url: "https://edge-1.example/later".to_owned(),
        })),
        Command::Payment(PaymentCommand::CheckoutOpened(CheckoutOpened {
            effect: EFFECT,
            lock: LOCK,
            attempt: 1,
            checkout_session: "cs_1".to_owned(),
            url: "https://pay.example/cs_1".to_owned(),
            expires_at: at(1_800),
        })),
        Command::Payment(PaymentCommand::CheckoutRefused {
            effect: EFFECT,
            lock: LOCK,
            attempt: 2,
            reason: "amount_too_small".to_owned(),
        }),
        Command::Payment(PaymentCommand::RecordProviderEvent(ProviderEvent {
            event: "evt_1".to_owned(),
            kind: ProviderEventKind::CheckoutPaid,
            created: at(30),
            lock: Some(LOCK),
            checkout_session: Some("cs_1".to_owned()),
            payment: None,
            amount: Some(eur(12_500)),
            raw: DIGEST,
            new_order: ORDER,
        })),
        Command::Order(OrderCommand::AddTracking {
            order: ORDER,
            carrier: Carrier::Dhl,
            number: TrackingNumber::parse("JD014600000000").expect("valid"),
        }),
        Command::Order(OrderCommand::ConfirmDelivery { order: ORDER, review: None }),
        Command::Payment(PaymentCommand::CheckoutEnded {
            effect: EFFECT,
            lock: LOCK,
            attempt: 2,
            end: CheckoutEnd::Ended,
        }),
        Command::Payment(PaymentCommand::CompleteEffect {
            effect: EFFECT,
            outcome: EffectOutcome::Unknown,
        }),
    ]
}

fn order_name(command: &OrderCommand) -> &'static str {
    match command {
        OrderCommand::ChangeAddress { .. } => "change_address",
        OrderCommand::AddTracking { .. } => "add_tracking",
        OrderCommand::CorrectTracking { .. } => "correct_tracking",
        OrderCommand::RecordCarrierEvent { .. } => "record_carrier_event",
        OrderCommand::ConfirmDelivery { .. } => "confirm_delivery",
        OrderCommand::CancelOrder { .. } => "cancel_order",
        OrderCommand::AdminCancelOrder { .. } => "admin_cancel_order",
        OrderCommand::AdminConfirmDelivery { .. } => "admin_confirm_delivery",
        OrderCommand::AdminCompleteOrder { .. } => "admin_complete_order",
        OrderCommand::PostMessage { .. } => "post_message",
    }
}

fn issue_name(command: &IssueCommand) -> &'static str {
    match command {
        IssueCommand::OpenIssue(_) => "open_issue",
        IssueCommand::AddEvidence { .. } => "add_evidence",
        IssueCommand::OfferResolution { .. } => "offer_resolution",
        IssueCommand::AnswerIssue { .. } => "answer_issue",
        IssueCommand::AcceptResolution { .. } => "accept_resolution",
        IssueCommand::AppealIssue { .. } => "appeal_issue",
        IssueCommand::AssignIssue { .. } => "assign_issue",
        IssueCommand::RequestAnswer { .. } => "request_answer",
        IssueCommand::DecideIssue { .. } => "decide_issue",
    }
}

pub(crate) fn sealed_text() -> SealedText {
    SealedText { key: vec![1; 61], body: vec![2; 40], mark: DIGEST, chars: 60 }
}

fn order_commands() -> Vec<Command> {
    let number = || TrackingNumber::parse("JD014600000000").expect("valid");
    [
        OrderCommand::ChangeAddress {
            order: ORDER,
            address: ShippingAddress {
                country: Country::parse("DE").expect("valid"),
                sealed: sealed_text(),
            },
        },
        OrderCommand::CorrectTracking { order: ORDER, carrier: Carrier::Dhl, number: number() },
        OrderCommand::RecordCarrierEvent {
            carrier: Carrier::Dhl,
            number: number(),
            event: CarrierEvent {
                id: "e1".to_owned(),
                at: at(9),
                status: CarrierStatus::Delivered,
            },
        },
        OrderCommand::CancelOrder { order: ORDER, reason: Some(sealed_text()) },
        OrderCommand::AdminCancelOrder { order: ORDER, reason: note() },
        OrderCommand::AdminConfirmDelivery { order: ORDER, reason: note() },
        OrderCommand::AdminCompleteOrder { order: ORDER, reason: note() },
        OrderCommand::PostMessage { order: ORDER, text: sealed_text() },
    ]
    .into_iter()
    .map(Command::Order)
    .collect()
}

fn issue_commands() -> Vec<Command> {
    let issue = fairground_types::IssueId::from_bits(9);
    [
        IssueCommand::OpenIssue(OpenIssue {
            issue,
            order: ORDER,
            kind: IssueKind::Damaged,
            description: sealed_text(),
            evidence: vec![Evidence::Clip(ASSET)],
        }),
        IssueCommand::AddEvidence { issue, evidence: vec![Evidence::Clip(ASSET)] },
        IssueCommand::OfferResolution {
            issue,
            offer: MakerOffer::PartialRefund { percent: 40 },
            text: Some(sealed_text()),
        },
        IssueCommand::AnswerIssue { issue, text: sealed_text() },
        IssueCommand::AcceptResolution { issue },
        IssueCommand::AppealIssue { issue, text: sealed_text() },
        IssueCommand::AssignIssue { issue, assignee: Some(USER), reason: note() },
        IssueCommand::RequestAnswer { issue, party: Party::Maker, reason: note() },
        IssueCommand::DecideIssue {
            issue,
            decision: Decision::PartialRefund { amount: eur(2_500) },
            reason: note(),
        },
    ]
    .into_iter()
    .map(Command::Issue)
    .collect()
}

fn entries() -> Vec<Sample> {
    let direct = |actor| {
        LogCommand::Direct(Envelope {
            id: COMMAND,
            actor,
            command: Command::Account(AccountCommand::BecomeMaker),
        })
    };
    let actors = vec![Actor::User(USER), Actor::Edge(edge()), Actor::Cluster, Actor::Anonymous];
    let tick = Entry { term: 5, at: at(4), marks: vec![(edge(), mark())], commands: Vec::new() };
    let batches = Entry { commands: vec![LogCommand::Batch(batch())], ..tick.clone() };
    let directs = Entry { commands: actors.into_iter().map(direct).collect(), ..tick.clone() };
    vec![
        sealed("entry_tick", &tick),
        sealed("entry_batch", &batches),
        sealed("entry_direct", &directs),
    ]
}

pub(crate) fn samples() -> Vec<Sample> {
    let commands = [
        cluster_commands(),
        account_commands(),
        media_and_story_commands(),
        story_commands(),
        social_commands(),
        sale_commands(),
        auction_commands(),
        finance_commands(),
        crate::people::commands(),
        govern_commands(),
        order_commands(),
        issue_commands(),
    ]
    .concat();
    let mut names: Vec<&str> = commands.iter().map(name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), COMMANDS + crate::people::COMMANDS, "a command without a sample");
    let mut samples: Vec<Sample> = commands
        .iter()
        .map(|command| sealed(format!("command_{}", name(command)), command))
        .collect();
    samples.extend(entries());
    samples
}
