//! What makes two uses of one key the same request, for direct commands.
//!
//! Ids that a shell makes anew for each try are left out; what the person asked for is in. It must
//! not depend on any encoding of commands: members of different versions must agree. Read next:
//! [`fairground_types::journal::Intake::body_digest`] for bids and offers.

use fairground_types::Digest;
use fairground_types::command::{
    AccountCommand, Actor, AuctionCommand, CloseOverride, ClusterCommand, Command, Decision,
    Envelope, Evidence, FeedAlgorithm, FinanceCommand, GovernCommand, HoldDecision, IssueCommand,
    MakerOffer, MediaCommand, NoticeCommand, OfferPolicy, OpenMode, OrderCommand, PaymentCommand,
    PeopleCommand, PlaybackQuality, PlaybackSpeed, RefundDecision, ReportGround, ReviewDecision,
    SaveDraft, SealedText, ShareChannel, SocialCommand, StaffCommand, StoryCommand, TakedownGround,
    WindowChange,
};

/// Parts of a request, each behind its length so that no two lists of parts collide.
struct Parts(Vec<u8>);

impl Parts {
    fn add(mut self, part: &[u8]) -> Self {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(part);
        self
    }

    /// A private text, by what tells equal ones apart from others: each sealing gives other bytes.
    fn private(self, text: &SealedText) -> Self {
        self.add(text.mark.as_bytes()).text(text.chars)
    }

    fn text(self, part: impl std::fmt::Display) -> Self {
        self.add(part.to_string().as_bytes())
    }
}

/// Digest of what an envelope asks for, and on whose behalf.
pub(crate) fn fingerprint(envelope: &Envelope) -> Digest {
    let parts = match &envelope.actor {
        Actor::User(user) => Parts(Vec::new()).text("user").text(user),
        Actor::Edge(edge) => Parts(Vec::new()).text("edge").text(edge),
        Actor::Cluster => Parts(Vec::new()).text("cluster"),
        Actor::Anonymous => Parts(Vec::new()).text("anonymous"),
    };
    Digest::of(&body(parts, &envelope.command).0)
}

fn body(parts: Parts, command: &Command) -> Parts {
    match command {
        Command::Cluster(command) => cluster_parts(parts, command),
        Command::Account(command) => account_parts(parts, command),
        Command::Media(command) => media_parts(parts, command),
        Command::Story(command) => story_parts(parts, command),
        Command::Social(command) => social_parts(parts, command),
        Command::Auction(command) => auction_parts(parts, command),
        Command::Payment(command) => payment_parts(parts, command),
        Command::Order(command) => order_parts(parts, command),
        Command::Finance(command) => finance_parts(parts, command),
        Command::Issue(command) => issue_parts(parts, command),
        Command::People(command) => people_parts(parts, command),
        Command::Govern(command) => govern_parts(parts, command),
        Command::Notice(command) => notice_parts(parts, command),
    }
}

fn govern_parts(parts: Parts, command: &GovernCommand) -> Parts {
    match command {
        GovernCommand::AdvanceClock { by, reason } => {
            parts.text("advance clock").text(by.as_millis()).text(reason)
        }
        GovernCommand::ChangePolicy(change) => {
            // A whole value: its debug text names every member.
            let parts = parts.text("settings").text(change.base_version).text(&change.reason);
            parts.text(format!("{:?}", change.policy))
        }
        GovernCommand::RevertPolicy { version, base_version, reason } => {
            parts.text("revert settings").text(version).text(base_version).text(reason)
        }
        GovernCommand::SetFlag(set) => {
            let parts = parts.text("flag").text(set.flag.as_str()).text(&set.reason);
            parts.text(format!("{:?}", (&set.setting, set.base_version)))
        }
        GovernCommand::SetTemplate(set) => {
            let parts = parts.text("template").text(set.base_version).text(&set.reason);
            parts.text(format!("{:?}", (&set.key, &set.text)))
        }
        GovernCommand::ActivateRules { version, reason } => {
            parts.text("rules").text(version).text(reason)
        }
        GovernCommand::SetSignaturePolicy(set) => {
            let parts = parts.text("signatures").text(set.base_version).text(&set.reason);
            parts.text(format!("{:?}", set.policy))
        }
        // Told by machines, one for one request: the id alone tells.
        GovernCommand::ReportRules { .. } => parts.text("machine"),
    }
}

fn notice_parts(parts: Parts, command: &NoticeCommand) -> Parts {
    match command {
        NoticeCommand::SetPreferences { preferences, base_version } => {
            let parts = parts.text("preferences").text(base_version);
            parts.text(format!("{preferences:?}"))
        }
        NoticeCommand::ReadNotice { notice } => parts.text("read notice").text(notice),
        NoticeCommand::ReadAllNotices => parts.text("read all notices"),
        NoticeCommand::AddPushDevice(add) => parts.text("push device").text(add.digest),
        NoticeCommand::RemovePushDevice { device } => parts.text("no push device").text(device),
        // Told by machines, one for one request: the id alone tells.
        NoticeCommand::DropPushToken { .. } | NoticeCommand::SuppressMail { .. } => {
            parts.text("machine")
        }
    }
}

fn cluster_parts(parts: Parts, command: &ClusterCommand) -> Parts {
    match command {
        // Their ids are made by machines, one for one request: the id alone tells.
        ClusterCommand::InitialiseCluster(_)
        | ClusterCommand::CreateJoinToken(_)
        | ClusterCommand::RevokeJoinToken { .. }
        | ClusterCommand::RegisterMember(_)
        | ClusterCommand::RegisterEdge(_)
        | ClusterCommand::AdmitEdge { .. }
        | ClusterCommand::SealEdge { .. }
        | ClusterCommand::ReportMissing { .. }
        | ClusterCommand::Archive { .. } => parts.text("machine"),
    }
}

fn account_parts(parts: Parts, command: &AccountCommand) -> Parts {
    match command {
        AccountCommand::SignOut { sign_in } => parts.text("sign out").text(sign_in),
        AccountCommand::SetHandle { handle } => parts.text("handle").text(handle),
        AccountCommand::GrantRole { user, role } => {
            parts.text("role").text(user).text(role_name(*role))
        }
        AccountCommand::BecomeMaker => parts.text("maker"),
        // Their ids are made by machines, one for one request: the id alone tells.
        AccountCommand::CreateAccount(_)
        | AccountCommand::RequestCode(_)
        | AccountCommand::VerifyCode(_)
        | AccountCommand::RefreshSignIn(_) => parts.text("machine"),
    }
}

fn media_parts(parts: Parts, command: &MediaCommand) -> Parts {
    match command {
        MediaCommand::RegisterAsset(asset) => {
            parts.text("asset").text(asset.source).text(asset.source_bytes)
        }
        MediaCommand::SetCaptions(set) => parts.text("captions").text(set.asset).text(set.manifest),
        MediaCommand::RequeueJob { asset, reason } => {
            parts.text("requeue").text(asset).text(reason)
        }
        // Their ids are made by machines, one for one request: the id alone tells.
        MediaCommand::LeaseJob
        | MediaCommand::RenewLease { .. }
        | MediaCommand::PublishRevision(_)
        | MediaCommand::FailJob { .. }
        | MediaCommand::ReportFailure(_) => parts.text("machine"),
    }
}

fn story_parts(parts: Parts, command: &StoryCommand) -> Parts {
    match command {
        StoryCommand::SaveDraft(save) => draft(parts.text("draft"), save),
        StoryCommand::SubmitStory { story, attested } => {
            parts.text("submit").text(story).text(attested)
        }
        StoryCommand::WithdrawStory { story } => parts.text("withdraw").text(story),
        // Made by members, one for one effect: the id alone tells.
        StoryCommand::RecordCheck(_) => parts.text("machine"),
        StoryCommand::ReviewStory { story, decision } => {
            let parts = parts.text("review").text(story);
            match decision {
                ReviewDecision::Approve => parts.text("approve"),
                ReviewDecision::Reject { notes } => parts.text("reject").text(notes),
            }
        }
        StoryCommand::PublishStory { story } => parts.text("publish").text(story),
        StoryCommand::ScheduleStory { story, publish_at, zone } => {
            parts.text("schedule").text(story).text(publish_at.as_unix_millis()).text(zone)
        }
        StoryCommand::UnscheduleStory { story } => parts.text("unschedule").text(story),
        StoryCommand::RollBackStory { story, version, reason } => {
            parts.text("roll back").text(story).text(version).text(reason)
        }
        StoryCommand::ArchiveStory { story } => parts.text("put away").text(story),
        StoryCommand::TakeDownStory(takedown) => {
            let parts = parts.text("take down").text(takedown.story).text(&takedown.reason);
            parts.text(takedown_name(takedown.ground)).text(takedown.is_strike)
        }
        StoryCommand::RestoreStory { story, reason } => {
            parts.text("restore").text(story).text(reason)
        }
        StoryCommand::AppealTakedown { story, text } => parts.text("appeal").text(story).text(text),
        StoryCommand::DismissReports { story, reason } => {
            parts.text("dismiss").text(story).text(reason)
        }
    }
}

fn social_parts(parts: Parts, command: &SocialCommand) -> Parts {
    match command {
        SocialCommand::SetLike { story, on } => parts.text("like").text(story).text(on),
        SocialCommand::SetSave { story, on } => parts.text("save").text(story).text(on),
        SocialCommand::SetWatch { auction, on } => parts.text("watch").text(auction).text(on),
        // The id of the link is made by the shell.
        SocialCommand::ShareStory { share: _, story, channel } => {
            parts.text("share").text(story).text(share_name(*channel))
        }
        SocialCommand::ReportStory { story, ground, note } => {
            let parts = parts.text("report").text(story).text(report_name(*ground));
            note.iter().fold(parts, |parts, note| parts.text(note))
        }
        SocialCommand::SetFeedPreferences(wanted) => {
            let parts = parts.text("feed").text(feed_name(wanted.algorithm));
            let parts =
                wanted.preferred_tags.iter().fold(parts.text("tags"), |parts, tag| parts.text(tag));
            let parts = wanted
                .blocked_makers
                .iter()
                .fold(parts.text("blocked"), |parts, maker| parts.text(maker));
            parts
                .text("playback")
                .text(wanted.autoplay)
                .text(wanted.captions)
                .text(speed_name(wanted.speed))
                .text(quality_name(wanted.quality))
        }
        // Made by edges, one for one batch: the id alone tells.
        SocialCommand::CountViews { .. } => parts.text("machine"),
    }
}

fn auction_parts(parts: Parts, command: &AuctionCommand) -> Parts {
    match command {
        AuctionCommand::AcceptHighest { auction, expected } => {
            parts.text("accept").text(auction).text(expected)
        }
        AuctionCommand::CancelAuction { auction, reason } => {
            parts.text("cancel").text(auction).text(reason)
        }
        AuctionCommand::OverrideClose { auction, action, reason } => {
            let parts = parts.text("override").text(auction).text(reason);
            match action {
                CloseOverride::Extend { by } => parts.text("extend").text(by.as_millis()),
                CloseOverride::LockEnd => parts.text("lock"),
            }
        }
        AuctionCommand::RetractBid { auction, bid, reason } => {
            parts.text("retract").text(auction).text(bid).text(reason)
        }
        AuctionCommand::OfferSecondChance { auction, bid } => {
            let parts = parts.text("second chance").text(auction);
            bid.iter().fold(parts, Parts::text)
        }
        AuctionCommand::DeclineSecondChance { lock } => parts.text("decline").text(lock),
        AuctionCommand::Relist { auction } => parts.text("relist").text(auction),
        AuctionCommand::WithdrawOffer { offer, reason } => {
            reason.iter().fold(parts.text("withdraw").text(offer), Parts::text)
        }
        AuctionCommand::RejectOffer { offer, reason } => {
            reason.iter().fold(parts.text("reject offer").text(offer), Parts::text)
        }
        AuctionCommand::AcceptOffer { offer } => parts.text("accept offer").text(offer),
        AuctionCommand::SetOfferPolicy { base_version, policy } => {
            offer_policy(parts.text("offer policy").text(base_version), policy)
        }
    }
}

fn payment_parts(parts: Parts, command: &PaymentCommand) -> Parts {
    match command {
        PaymentCommand::StartCheckout(start) => parts.text("checkout").text(start.lock),
        PaymentCommand::RecordProviderEvent(event) => {
            parts.text("provider event").text(&event.event)
        }
        // Their ids are made by machines, one for one request: the id alone tells.
        PaymentCommand::CheckoutOpened(_)
        | PaymentCommand::CheckoutRefused { .. }
        | PaymentCommand::CheckoutEnded { .. }
        | PaymentCommand::CompleteEffect { .. } => parts.text("machine"),
    }
}

fn order_parts(parts: Parts, command: &OrderCommand) -> Parts {
    match command {
        OrderCommand::ChangeAddress { order, address } => {
            parts.text("address").text(order).text(&address.country).private(&address.sealed)
        }
        OrderCommand::AddTracking { order, carrier: _, number } => {
            parts.text("tracking").text(order).text(number)
        }
        OrderCommand::CorrectTracking { order, carrier: _, number } => {
            parts.text("correction").text(order).text(number)
        }
        OrderCommand::RecordCarrierEvent { carrier: _, number, event } => {
            parts.text("carrier event").text(number).text(&event.id)
        }
        OrderCommand::ConfirmDelivery { order, review } => {
            let parts = parts.text("delivery").text(order);
            let Some(review) = review else { return parts };
            let parts = parts.text(review.rating.unwrap_or_default());
            review.text.iter().fold(parts, Parts::private)
        }
        OrderCommand::CancelOrder { order, reason } => {
            reason.iter().fold(parts.text("cancel order").text(order), Parts::private)
        }
        OrderCommand::AdminCancelOrder { order, reason } => {
            parts.text("admin cancels").text(order).text(reason)
        }
        OrderCommand::AdminConfirmDelivery { order, reason } => {
            parts.text("admin delivers").text(order).text(reason)
        }
        OrderCommand::AdminCompleteOrder { order, reason } => {
            parts.text("admin completes").text(order).text(reason)
        }
        OrderCommand::PostMessage { order, text } => {
            parts.text("message").text(order).private(text)
        }
    }
}

fn finance_parts(parts: Parts, command: &FinanceCommand) -> Parts {
    match command {
        FinanceCommand::OpenPayoutAccount => parts.text("payout account"),
        FinanceCommand::RecordProviderObject(event) => {
            parts.text("provider object").text(&event.event)
        }
        // Its id is made by a machine, one for one request: the id alone tells.
        FinanceCommand::ReportEffect { .. } => parts.text("machine"),
        FinanceCommand::OverrideWindow { lock, change, reason } => {
            let parts = parts.text("window").text(lock).text(reason);
            match change {
                WindowChange::Extend { by } => parts.text("extend").text(by.as_millis()),
                WindowChange::Terminate => parts.text("terminate"),
            }
        }
        FinanceCommand::ResolveHold { lock, event, decision, new_order: _, reason } => {
            let decision = match decision {
                HoldDecision::Accept => "accept",
                HoldDecision::Refund => "refund",
            };
            parts.text("hold").text(lock).text(event).text(decision).text(reason)
        }
        FinanceCommand::ProposeRefund { order, amount, reason } => {
            parts.text("refund").text(order).text(amount).text(reason)
        }
        FinanceCommand::DecideRefund { refund, decision, reason } => {
            let decision = match decision {
                RefundDecision::Approve => "approve",
                RefundDecision::Reject => "reject",
                RefundDecision::Retry => "retry",
                RefundDecision::Cancel => "cancel",
            };
            parts.text("decide refund").text(refund).text(decision).text(reason)
        }
        FinanceCommand::HoldPayout { order, reason } => {
            parts.text("hold payout").text(order).text(reason)
        }
        FinanceCommand::UnholdPayout { order, reason } => {
            parts.text("unhold payout").text(order).text(reason)
        }
        FinanceCommand::RetryPayout { order, reason } => {
            parts.text("retry payout").text(order).text(reason)
        }
        FinanceCommand::ReplayEffect { effect, reason } => {
            parts.text("replay").text(effect).text(reason)
        }
    }
}

fn issue_parts(parts: Parts, command: &IssueCommand) -> Parts {
    match command {
        // Its id is made by the shell.
        IssueCommand::OpenIssue(open) => shown(
            parts.text("issue").text(open.order).text(open.kind.name()).private(&open.description),
            &open.evidence,
        ),
        IssueCommand::AddEvidence { issue, evidence } => {
            shown(parts.text("evidence").text(issue), evidence)
        }
        IssueCommand::OfferResolution { issue, offer, text } => {
            let parts = parts.text("offer").text(issue);
            let parts = match offer {
                MakerOffer::FullRefund => parts.text("full"),
                MakerOffer::PartialRefund { percent } => parts.text("partial").text(percent),
                MakerOffer::Replacement => parts.text("replacement"),
            };
            text.iter().fold(parts, Parts::private)
        }
        IssueCommand::AnswerIssue { issue, text } => parts.text("answer").text(issue).private(text),
        IssueCommand::AcceptResolution { issue } => parts.text("accept offer").text(issue),
        IssueCommand::AppealIssue { issue, text } => parts.text("appeal").text(issue).private(text),
        IssueCommand::AssignIssue { issue, assignee, reason } => {
            let parts = parts.text("assign").text(issue).text(reason);
            assignee.iter().fold(parts, Parts::text)
        }
        IssueCommand::RequestAnswer { issue, party, reason } => {
            parts.text("ask").text(issue).text(party.name()).text(reason)
        }
        IssueCommand::DecideIssue { issue, decision, reason } => {
            let parts = parts.text("decide").text(issue).text(reason);
            match decision {
                Decision::FullRefund => parts.text("full"),
                Decision::PartialRefund { amount } => parts.text("partial").text(amount),
                Decision::Replacement => parts.text("replacement"),
                Decision::NoAction => parts.text("nothing"),
            }
        }
    }
}

fn shown(parts: Parts, evidence: &[Evidence]) -> Parts {
    evidence.iter().fold(parts, |parts, shown| match shown {
        Evidence::Image(hash) => parts.text(hash),
        Evidence::Clip(asset) => parts.text(asset),
    })
}

fn offer_policy(parts: Parts, policy: &OfferPolicy) -> Parts {
    let parts = parts
        .text(policy.enabled)
        .text(policy.max_offers_per_buyer)
        .text(policy.review_window_ms.as_millis())
        .text(match policy.open_mode {
            OpenMode::Auto => "auto",
            OpenMode::Review => "review",
        });
    let parts = policy.minimum.iter().fold(parts.text("minimum"), Parts::text);
    let parts = policy.blocked_buyers.iter().fold(parts.text("blocked"), Parts::text);
    policy.ship_to.iter().fold(parts.text("ship to"), Parts::text)
}

fn draft(parts: Parts, save: &SaveDraft) -> Parts {
    let contents = &save.draft;
    // The id of a new story is made by the shell.
    let parts = match save.base_version {
        Some(version) => parts.text(save.story).text(version),
        None => parts.text("new"),
    };
    let parts = parts
        .text(&contents.title)
        .text(&contents.short_description)
        .text(&contents.category)
        .text(&contents.overview)
        .text(contents.minimum_offer)
        .text(contents.publish_when_approved);
    let parts = contents
        .clips
        .iter()
        .fold(parts, |parts, clip| parts.text(clip.asset_id).text(&clip.label));
    let sections = &contents.sections;
    let parts = contents.tags.iter().fold(parts.text("tags"), |parts, tag| parts.text(tag));
    let steps = sections.process_timeline.iter();
    let parts = steps.fold(parts.text("steps"), |parts, step| parts.text(step));
    let parts =
        sections.materials.iter().fold(parts.text("materials"), |parts, text| parts.text(text));
    let parts = sections.notes.iter().fold(parts.text("notes"), |parts, text| parts.text(text));
    sections.location.iter().fold(parts.text("location"), |parts, text| parts.text(text))
}

const fn takedown_name(ground: TakedownGround) -> &'static str {
    match ground {
        TakedownGround::Policy => "policy",
        TakedownGround::Copyright => "copyright",
        TakedownGround::Legal => "legal",
        TakedownGround::Fraud => "fraud",
    }
}

const fn report_name(ground: ReportGround) -> &'static str {
    match ground {
        ReportGround::Misleading => "misleading",
        ReportGround::Copyright => "copyright",
        ReportGround::Prohibited => "prohibited",
        ReportGround::Abusive => "abusive",
        ReportGround::Spam => "spam",
        ReportGround::Other => "other",
    }
}

const fn share_name(channel: ShareChannel) -> &'static str {
    match channel {
        ShareChannel::Link => "link",
        ShareChannel::Message => "message",
        ShareChannel::Email => "email",
        ShareChannel::Social => "social",
    }
}

const fn feed_name(algorithm: FeedAlgorithm) -> &'static str {
    match algorithm {
        FeedAlgorithm::Personalized => "personalized",
        FeedAlgorithm::Trending => "trending",
        FeedAlgorithm::Newest => "newest",
        FeedAlgorithm::Following => "following",
    }
}

const fn speed_name(speed: PlaybackSpeed) -> &'static str {
    match speed {
        PlaybackSpeed::Half => "half",
        PlaybackSpeed::Normal => "normal",
        PlaybackSpeed::Faster => "faster",
        PlaybackSpeed::Double => "double",
    }
}

const fn quality_name(quality: PlaybackQuality) -> &'static str {
    match quality {
        PlaybackQuality::Auto => "auto",
        PlaybackQuality::Saver => "saver",
        PlaybackQuality::High => "high",
    }
}

const fn role_name(role: fairground_types::Role) -> &'static str {
    match role {
        fairground_types::Role::Maker => "maker",
        fairground_types::Role::Moderator => "moderator",
        fairground_types::Role::Support => "support",
        fairground_types::Role::Finance => "finance",
        fairground_types::Role::Admin => "admin",
    }
}

fn people_parts(parts: Parts, command: &PeopleCommand) -> Parts {
    match command {
        PeopleCommand::UnlinkIdentity { provider } => parts.text("unlink").text(provider.as_str()),
        PeopleCommand::RevokeDevice { device } => parts.text("device").text(device),
        PeopleCommand::RegisterDeviceKey(register) => {
            parts.text("device key").text(register.device).text(register.key.id())
        }
        PeopleCommand::RemoveDeviceKey { device, .. } => parts.text("no device key").text(device),
        PeopleCommand::RequestCapability { capability, task: _ } => {
            parts.text("capability").text(capability.as_str())
        }
        PeopleCommand::SetAvatar { image } => {
            parts.text("avatar").text(image.map_or_else(String::new, |image| image.to_string()))
        }
        PeopleCommand::SetPrivacy { settings, base_version } => parts
            .text("privacy")
            .text(base_version)
            .text(settings.public_profile)
            .text(settings.shows_follows)
            .text(settings.personalised_feed),
        PeopleCommand::SetConsent { purpose, granted, policy_version } => parts
            .text("consent")
            .text(format_args!("{purpose:?}"))
            .text(granted)
            .text(policy_version),
        PeopleCommand::RemoveAddress { address } => parts.text("address").text(address),
        PeopleCommand::SetBlock { user, on } => parts.text("block").text(user).text(on),
        PeopleCommand::SetFollow { user, on } => parts.text("follow").text(user).text(on),
        PeopleCommand::RequestExport { .. } => parts.text("export"),
        PeopleCommand::RequestDeletion { waits, .. } => parts.text("delete").text(waits),
        PeopleCommand::SetProfile(set) => {
            parts.text("profile").text(set.base_version).private(&set.sealed)
        }
        PeopleCommand::SaveAddress(save) => parts
            .text("save address")
            .text(save.address)
            .text(save.is_default)
            .private(&save.sealed),
        PeopleCommand::Staff(command) => staff_parts(parts, command),
        // Their ids are made by machines, or their contents are sealed anew each time: the id alone
        // tells.
        PeopleCommand::SignInSocial(_)
        | PeopleCommand::LinkIdentity { .. }
        | PeopleCommand::RequestRecovery(_)
        | PeopleCommand::RedeemRecovery(_)
        | PeopleCommand::DenyRecovery { .. }
        | PeopleCommand::SignOutEverywhere
        | PeopleCommand::RegisterDevice(_)
        | PeopleCommand::CompleteTask(_)
        | PeopleCommand::ClaimInvitation { .. } => parts.text("machine"),
    }
}

fn staff_parts(parts: Parts, command: &StaffCommand) -> Parts {
    match command {
        StaffCommand::DecideCapability { user, capability, reason, .. } => {
            parts.text("decide").text(user).text(capability.as_str()).text(reason)
        }
        StaffCommand::RevokeInvitation { invitation, reason } => {
            parts.text("uninvite").text(invitation).text(reason)
        }
        StaffCommand::Suspend { user, reason } => parts.text("suspend").text(user).text(reason),
        StaffCommand::Reinstate { user, reason } => parts.text("reinstate").text(user).text(reason),
        StaffCommand::ForceSignOut { user, reason } => parts.text("force").text(user).text(reason),
        StaffCommand::GrantDuty { user, role, reason } => {
            parts.text("grant").text(user).text(role_name(*role)).text(reason)
        }
        StaffCommand::RevokeDuty { user, role, reason } => {
            parts.text("revoke").text(user).text(role_name(*role)).text(reason)
        }
        StaffCommand::Strike { user, reason } => parts.text("strike").text(user).text(reason),
        StaffCommand::LiftStrike { user, strike, reason } => {
            parts.text("lift").text(user).text(strike).text(reason)
        }
        // Its id is made by a machine, one for one request: the id alone tells.
        StaffCommand::Invite(_) => parts.text("machine"),
    }
}
