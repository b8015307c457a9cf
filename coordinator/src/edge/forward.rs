//! One call of an edge: a command, a read, a sign-in, a playback token.
//!
//! The edge has checked its client's access token and says which account it was; it is trusted with
//! that and with nothing else. A call that the leader alone can do (making a code) goes on to it over
//! this member's own connection. Read next: `crate::reads`, `crate::auth`.

use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::pki::Role;
use fairground_seam::link::{RecvStream, SendStream};
use fairground_types::command::{
    AccountCommand, Actor, AddPushDevice, AuctionCommand, Channel, ClusterCommand, Command,
    Envelope, FinanceCommand, GovernCommand, IssueCommand, MediaCommand, NoticeCommand,
    OrderCommand, PaymentCommand, PeopleCommand, PushPlatform, SocialCommand, StoryCommand,
};
use fairground_types::limits::PUSH_TOKEN_MAX;
use fairground_types::{
    AssetId, Code, CommandId, EdgeId, Millis, PushDeviceId, Rejection, SignInId, UserId,
};
use fairground_wire::message::{
    ForwardRequest, ForwardResponse, JobProgress, PrivateBytes, PrivateText, ReadRequest,
    StreamKind, StreamsRefused,
};
use serde::Serialize;

use crate::auth::{self, AuthError};
use crate::member::Member;
use crate::private::{self, SealError};
use crate::stream::{self, StreamError};
use crate::{payout, playback, progress, reads, recovery, social};

/// How long the leader may take over a call that was passed on.
const PASS_ON_WAIT: Duration = Duration::from_secs(6);
/// When an edge should try again.
const RETRY_AFTER: Millis = Millis::new(500);

/// Serves one call.
pub(crate) async fn serve(
    member: &Arc<Member>,
    peer: &Role,
    mut send: SendStream,
    mut receive: RecvStream,
) -> Result<(), StreamError> {
    let request: ForwardRequest = stream::expect(&mut receive).await?;
    let response = match request {
        ForwardRequest::Command(envelope) => command(member, peer, *envelope).await,
        ForwardRequest::Read(read) => match (&read, peer) {
            (ReadRequest::Jobs, Role::Edge(worker)) => reads::jobs_for(member, worker),
            _ => reads::answer(member, &read).await,
        },
        request @ (ForwardRequest::RequestCode { .. } | ForwardRequest::RequestRecovery { .. }) => {
            // What another member passed on stays here.
            let may_pass_on = !matches!(peer, Role::Member(_));
            by_leader(member, request, may_pass_on).await
        }
        ForwardRequest::SignInSocial { provider, id_token, nonce } => {
            let told = (id_token.expose(), nonce.expose());
            tokens(social::sign_in(member, provider, told).await)
        }
        ForwardRequest::LinkIdentity { user, link_token } => {
            match social::link(member, user, link_token.expose()).await {
                Ok(list) => json(&list),
                Err(error) => refused(error),
            }
        }
        ForwardRequest::RedeemRecovery { token } => {
            tokens(recovery::redeem(member, token.expose()).await)
        }
        ForwardRequest::DenyRecovery { token } => {
            match recovery::deny(member, token.expose()).await {
                Ok(denied) => json(&denied),
                Err(error) => refused(error),
            }
        }
        ForwardRequest::VerifyCode { identifier, code } => {
            tokens(auth::verify_code(member, identifier.expose(), code.expose()).await)
        }
        ForwardRequest::Refresh { refresh_token } => {
            tokens(auth::refresh(member, refresh_token.expose()).await)
        }
        ForwardRequest::PayoutLink { user, refresh_url, return_url } => {
            payout::link(member, user, (&refresh_url, &return_url)).await
        }
        ForwardRequest::AddPushDevice { user, sign_in, command: id, platform, token } => {
            add_push_device(member, (user, sign_in, id), platform, token.expose()).await
        }
        ForwardRequest::MintPlayback { user, asset } => {
            played(playback::mint_first_layout(member, user, asset).await)
        }
        ForwardRequest::Play { viewer, asset, renews } => {
            let renews = renews.as_ref().map(PrivateText::expose);
            played(playback::mint(member, viewer, (asset, renews)).await)
        }
        ForwardRequest::Streams { seen } => {
            let refused = member.streams.hear(&seen, member.clock.monotonic());
            json(&StreamsRefused { refused })
        }
        ForwardRequest::ReportProgress { edge, asset, fence, progress } => {
            report_progress(member, peer, (edge, asset, fence), progress).await
        }
        ForwardRequest::ReadProgress { asset } => match peer {
            Role::Member(_) => progress::told(member, asset),
            Role::Edge(_) => {
                ForwardResponse::Rejected(Rejection::new(Code::Forbidden, "members ask that"))
            }
        },
    };
    stream::send(&mut send, &response).await?;
    // A peer that is gone needs no end of stream.
    let _ = send.finish();
    Ok(())
}

const fn unavailable() -> ForwardResponse {
    ForwardResponse::Unavailable { retry_after: RETRY_AFTER }
}

/// A JSON document as an answer.
pub(crate) fn json<T: Serialize>(value: &T) -> ForwardResponse {
    match serde_json::to_vec(value) {
        Ok(bytes) => ForwardResponse::Json(bytes),
        Err(error) => {
            tracing::error!(%error, "answer not written");
            ForwardResponse::Rejected(Rejection::new(Code::Internal, "a fault on our side"))
        }
    }
}

fn played(outcome: Result<playback::Playback, Rejection>) -> ForwardResponse {
    match outcome {
        Ok(playback) => json(&playback),
        Err(rejection) => ForwardResponse::Rejected(rejection),
    }
}

fn refused(error: AuthError) -> ForwardResponse {
    match error {
        AuthError::Rejected(rejection) => ForwardResponse::Rejected(rejection),
        AuthError::Propose(_) => unavailable(),
        AuthError::Internal => {
            ForwardResponse::Rejected(Rejection::new(Code::Internal, "a fault on our side"))
        }
    }
}

fn tokens<T: Serialize>(outcome: Result<T, AuthError>) -> ForwardResponse {
    match outcome.map(|tokens| json(&tokens)) {
        Ok(ForwardResponse::Json(bytes)) => ForwardResponse::Tokens(PrivateBytes::new(bytes)),
        Ok(other) => other,
        Err(error) => refused(error),
    }
}

async fn command(member: &Member, peer: &Role, mut envelope: Envelope) -> ForwardResponse {
    if !may_send(peer, &envelope) {
        tracing::warn!(%peer, actor = ?envelope.actor, "a command that its peer may not send");
        let refused = Rejection::new(Code::Forbidden, "an edge cannot give this command");
        return ForwardResponse::Rejected(refused);
    }
    match private::seal(member, &mut envelope) {
        Ok(()) => {}
        // An account that is newer than what this member has applied.
        Err(SealError::Author) => return unavailable(),
        Err(SealError::Cipher(error)) => {
            tracing::error!(%error, "a private text was not sealed");
            return ForwardResponse::Rejected(Rejection::new(
                Code::Internal,
                "a fault on our side",
            ));
        }
    }
    match member.proposer.submit(envelope).await {
        Ok(judged) => ForwardResponse::Judged(judged),
        Err(_) => unavailable(),
    }
}

/// Edges speak for accounts they have authenticated and for themselves, never for the cluster, and
/// never about what only a member has seen.
fn may_send(peer: &Role, envelope: &Envelope) -> bool {
    let Role::Edge(edge) = peer else { return false };
    match &envelope.actor {
        Actor::User(_) => is_of_an_account(&envelope.command),
        Actor::Edge(named) => named == edge && is_of_an_edge(edge, &envelope.command),
        Actor::Cluster | Actor::Anonymous => false,
    }
}

fn is_of_an_edge(edge: &EdgeId, command: &Command) -> bool {
    match command {
        Command::Govern(GovernCommand::ReportRules { member: None, .. }) => true,
        Command::Cluster(ClusterCommand::AdmitEdge { edge: named, .. })
        | Command::Cluster(ClusterCommand::SealEdge { edge: named, .. })
        | Command::Cluster(ClusterCommand::ReportMissing { edge: named, .. }) => named == edge,
        Command::Media(MediaCommand::LeaseJob)
        | Command::Media(MediaCommand::RenewLease { .. })
        | Command::Media(MediaCommand::PublishRevision(_))
        | Command::Media(MediaCommand::FailJob { .. } | MediaCommand::ReportFailure(_))
        | Command::Social(SocialCommand::CountViews { .. }) => true,
        _ => false,
    }
}

/// What edges offer to people. Duties of the cluster's own people are done at a member, which sees
/// their tokens itself.
fn is_of_an_account(command: &Command) -> bool {
    matches!(
        command,
        Command::Account(AccountCommand::SignOut { .. })
            | Command::Account(AccountCommand::SetHandle { .. })
            | Command::Account(AccountCommand::BecomeMaker)
            | Command::People(PeopleCommand::UnlinkIdentity { .. })
            | Command::People(PeopleCommand::SignOutEverywhere)
            | Command::People(PeopleCommand::RegisterDevice(_))
            | Command::People(PeopleCommand::RevokeDevice { .. })
            | Command::People(PeopleCommand::RegisterDeviceKey(_))
            | Command::People(PeopleCommand::RemoveDeviceKey { .. })
            | Command::People(PeopleCommand::RequestCapability { .. })
            | Command::People(PeopleCommand::ClaimInvitation { .. })
            | Command::People(PeopleCommand::SetProfile(_))
            | Command::People(PeopleCommand::SetAvatar { .. })
            | Command::People(PeopleCommand::SaveAddress(_))
            | Command::People(PeopleCommand::RemoveAddress { .. })
            | Command::People(PeopleCommand::SetPrivacy { .. })
            | Command::People(PeopleCommand::SetConsent { .. })
            | Command::People(PeopleCommand::SetBlock { .. })
            | Command::People(PeopleCommand::SetFollow { .. })
            | Command::People(PeopleCommand::RequestExport { .. })
            | Command::People(PeopleCommand::RequestDeletion { .. })
            | Command::Media(MediaCommand::RegisterAsset(_) | MediaCommand::SetCaptions(_))
            | Command::Story(StoryCommand::SaveDraft(_))
            | Command::Story(StoryCommand::SubmitStory { .. })
            | Command::Story(StoryCommand::WithdrawStory { .. })
            | Command::Story(StoryCommand::PublishStory { .. })
            | Command::Story(StoryCommand::ScheduleStory { .. })
            | Command::Story(StoryCommand::UnscheduleStory { .. })
            | Command::Story(StoryCommand::RollBackStory { .. })
            | Command::Story(StoryCommand::ArchiveStory { .. })
            | Command::Story(StoryCommand::AppealTakedown { .. })
            | Command::Social(SocialCommand::SetLike { .. })
            | Command::Social(SocialCommand::SetSave { .. })
            | Command::Social(SocialCommand::SetWatch { .. })
            | Command::Social(SocialCommand::ShareStory { .. })
            | Command::Social(SocialCommand::ReportStory { .. })
            | Command::Social(SocialCommand::SetFeedPreferences(_))
            | Command::Auction(AuctionCommand::AcceptHighest { .. })
            | Command::Auction(AuctionCommand::OfferSecondChance { .. })
            | Command::Auction(AuctionCommand::DeclineSecondChance { .. })
            | Command::Auction(AuctionCommand::Relist { .. })
            | Command::Auction(AuctionCommand::WithdrawOffer { .. })
            | Command::Auction(AuctionCommand::RejectOffer { .. })
            | Command::Auction(AuctionCommand::AcceptOffer { .. })
            | Command::Auction(AuctionCommand::SetOfferPolicy { .. })
            | Command::Payment(PaymentCommand::StartCheckout(_))
            | Command::Finance(FinanceCommand::OpenPayoutAccount)
            | Command::Order(OrderCommand::ChangeAddress { .. })
            | Command::Order(OrderCommand::AddTracking { .. })
            | Command::Order(OrderCommand::CorrectTracking { .. })
            | Command::Order(OrderCommand::ConfirmDelivery { .. })
            | Command::Notice(NoticeCommand::SetPreferences { .. })
            | Command::Notice(NoticeCommand::ReadNotice { .. })
            | Command::Notice(NoticeCommand::ReadAllNotices)
            | Command::Notice(NoticeCommand::RemovePushDevice { .. })
            | Command::Order(OrderCommand::CancelOrder { .. })
            | Command::Order(OrderCommand::PostMessage { .. })
            | Command::Issue(IssueCommand::OpenIssue(_))
            | Command::Issue(IssueCommand::AddEvidence { .. })
            | Command::Issue(IssueCommand::OfferResolution { .. })
            | Command::Issue(IssueCommand::AnswerIssue { .. })
            | Command::Issue(IssueCommand::AcceptResolution { .. })
            | Command::Issue(IssueCommand::AppealIssue { .. })
    )
}

/// The token of a device is sealed here: no edge and no log holds it in clear.
async fn add_push_device(
    member: &Member,
    (user, sign_in, id): (UserId, SignInId, CommandId),
    platform: PushPlatform,
    token: &str,
) -> ForwardResponse {
    if token.is_empty() || token.len() > PUSH_TOKEN_MAX {
        let why = "a push token has 1 to 4096 bytes";
        return ForwardResponse::Rejected(Rejection::new(Code::ValidationFailed, why));
    }
    let digest = auth::identifier_digest(&member.secrets, &format!("push {token}"));
    let Some(sealed) = auth::seal_contact(&member.secrets, &digest, token) else {
        return ForwardResponse::Rejected(Rejection::new(Code::Internal, "a fault on our side"));
    };
    // The same token keeps its id, so that saying it again is no second device.
    let known = member.state.read(|market| {
        let mut devices = market.push_devices(user).into_iter();
        devices.find(|known| known.digest == digest).map(|known| known.device)
    });
    let device = known.unwrap_or_else(|| PushDeviceId::from_bits(member.new_bits()));
    let add = AddPushDevice { device, sign_in, platform, digest, token: sealed };
    let command = Command::Notice(NoticeCommand::AddPushDevice(add));
    match member.proposer.submit(Envelope { id, actor: Actor::User(user), command }).await {
        Ok(judged) => match judged.verdict {
            fairground_types::Verdict::Accepted(_) => {
                let kept = member.state.read(|market| {
                    let mut devices = market.push_devices(user).into_iter();
                    devices.find(|known| known.digest == digest).map(|known| known.device)
                });
                json(&serde_json::json!({ "deviceId": kept.unwrap_or(device) }))
            }
            fairground_types::Verdict::Rejected(rejection) => ForwardResponse::Rejected(rejection),
        },
        Err(_) => unavailable(),
    }
}

/// What a worker tells lives in the leader's memory. An edge speaks for its own leases alone.
async fn report_progress(
    member: &Member,
    peer: &Role,
    (edge, asset, fence): (EdgeId, AssetId, u64),
    progress: JobProgress,
) -> ForwardResponse {
    let is_its_own = match peer {
        Role::Edge(named) => *named == edge,
        // The member that passed it on has looked.
        Role::Member(_) => true,
    };
    if !is_its_own {
        let refused = Rejection::new(Code::Forbidden, "an edge tells of its own jobs");
        return ForwardResponse::Rejected(refused);
    }
    if member.leads() {
        return progress::hear(member, (edge, asset, fence), progress);
    }
    match peer {
        Role::Member(_) => unavailable(),
        Role::Edge(_) => {
            let request = ForwardRequest::ReportProgress { edge, asset, fence, progress };
            pass_on(member, &request).await
        }
    }
}

/// Codes and ways back live in the leader's memory, so the leader makes them.
async fn by_leader(member: &Member, request: ForwardRequest, may_pass_on: bool) -> ForwardResponse {
    if may_pass_on && !member.leads() {
        return pass_on(member, &request).await;
    }
    let requested = match &request {
        ForwardRequest::RequestCode { identifier, channel, origin } => {
            let origin = origin.as_ref().map(PrivateText::expose);
            auth::request_code(member, identifier.expose(), *channel, origin).await
        }
        ForwardRequest::RequestRecovery { identifier, origin, agent } => {
            let origin = origin.as_ref().map(PrivateText::expose);
            recovery::request(member, identifier.expose(), (origin, agent.expose())).await
        }
        _ => Err(AuthError::Internal),
    };
    match requested {
        Ok(requested) => json(&requested),
        Err(error) => refused(error),
    }
}

/// Asks the leader in this member's name.
pub(crate) async fn pass_on(member: &Member, request: &ForwardRequest) -> ForwardResponse {
    let asking = async {
        let leader = member.leader()?;
        let (mut send, mut receive) = member.peers.open(leader, StreamKind::Forward).await.ok()?;
        stream::send(&mut send, request).await.ok()?;
        // A peer that is gone needs no end of stream.
        let _ = send.finish();
        stream::expect::<ForwardResponse>(&mut receive).await.ok()
    };
    match tokio::time::timeout(PASS_ON_WAIT, asking).await {
        Ok(Some(response)) => response,
        Ok(None) | Err(_) => unavailable(),
    }
}

/// Sends a code from this member: here when it leads, through the leader when it does not.
pub(crate) async fn request_code_here(
    member: &Member,
    identifier: &str,
    channel: Channel,
    origin: Option<&str>,
) -> ForwardResponse {
    let identifier = PrivateText::new(identifier);
    let origin = origin.map(PrivateText::new);
    by_leader(member, ForwardRequest::RequestCode { identifier, channel, origin }, true).await
}

#[cfg(test)]
mod tests {
    use fairground_types::command::EffectOutcome;
    use fairground_types::journal::Tail;
    use fairground_types::{CommandId, EffectId, MemberId, UserId};

    use super::*;

    fn envelope(actor: Actor, command: Command) -> Envelope {
        Envelope { id: CommandId::from_bytes([0; 32]), actor, command }
    }

    #[test]
    fn edge_speaks_for_accounts_and_itself_alone() {
        let edge = EdgeId::new("eu-1", 1).expect("valid");
        let other = EdgeId::new("eu-2", 1).expect("valid");
        let peer = Role::Edge(edge.clone());
        let user = Actor::User(UserId::from_bits(1));
        let admit = |edge: &EdgeId| {
            Command::Cluster(ClusterCommand::AdmitEdge { edge: edge.clone(), tail: Tail::START })
        };
        assert!(may_send(
            &peer,
            &envelope(user.clone(), Command::Account(AccountCommand::BecomeMaker))
        ));
        assert!(may_send(&peer, &envelope(Actor::Edge(edge.clone()), admit(&edge))));
        assert!(!may_send(&peer, &envelope(Actor::Edge(edge.clone()), admit(&other))));
        assert!(!may_send(
            &peer,
            &envelope(Actor::Edge(other), Command::Media(MediaCommand::LeaseJob))
        ));
        assert!(!may_send(
            &peer,
            &envelope(Actor::Cluster, Command::Media(MediaCommand::LeaseJob))
        ));
        let done = Command::Payment(PaymentCommand::CompleteEffect {
            effect: EffectId::from_bits(1),
            outcome: EffectOutcome::Happened,
        });
        assert!(!may_send(&peer, &envelope(user.clone(), done)));
        let grant = Command::Account(AccountCommand::GrantRole {
            user: UserId::from_bits(1),
            role: fairground_types::Role::Admin,
        });
        assert!(!may_send(&peer, &envelope(user.clone(), grant)));
        let member = Role::Member(MemberId(1));
        assert!(!may_send(&member, &envelope(user, Command::Account(AccountCommand::BecomeMaker))));
    }
}
