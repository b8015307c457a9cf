//! One call to the cluster, answered or said to be unavailable.
//!
//! The leader is asked first, then whoever else is connected. What may be repeated is repeated when
//! a connection breaks or the leader changes under it: commands carry their own identity, reads
//! change nothing. It must not know what a call means.

use std::time::Duration;

use fairground_types::Millis;
use fairground_types::limits::BID_WAIT_MAX;
use fairground_wire::message::{ForwardRequest, ForwardResponse, StreamKind};
use tokio::time::Instant;

use super::{LinkError, Links, Live, stream};

/// How long a call may take over all its attempts.
pub(crate) const CALL_WAIT: Duration = BID_WAIT_MAX.to_duration();
/// How long one member may take.
const ATTEMPT_WAIT: Duration = Duration::from_secs(5);
/// How long to wait for a connection before the cluster counts as unreachable.
const REACH_WAIT: Duration = Duration::from_millis(1_500);
/// Pause before a member that has no leader is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// No member, or no leader: whether it happened is unknown.
    #[error("no member answers")]
    Unavailable {
        /// When to try again.
        retry_after: Millis,
    },
    /// It was sent and no answer came in time.
    #[error("the answer did not come in time")]
    Timeout,
}

const fn is_repeatable(request: &ForwardRequest) -> bool {
    match request {
        ForwardRequest::Command(_)
        | ForwardRequest::Read(_)
        | ForwardRequest::MintPlayback { .. }
        | ForwardRequest::Play { .. }
        | ForwardRequest::Streams { .. }
        | ForwardRequest::AddPushDevice { .. }
        | ForwardRequest::LinkIdentity { .. }
        | ForwardRequest::PayoutLink { .. } => true,
        ForwardRequest::SignInSocial { .. }
        | ForwardRequest::RequestRecovery { .. }
        | ForwardRequest::RedeemRecovery { .. }
        | ForwardRequest::DenyRecovery { .. }
        | ForwardRequest::RequestCode { .. }
        // The next one says more.
        | ForwardRequest::ReportProgress { .. }
        | ForwardRequest::ReadProgress { .. }
        | ForwardRequest::VerifyCode { .. }
        | ForwardRequest::Refresh { .. } => false,
    }
}

impl Links {
    /// Makes a call; bounded by [`CALL_WAIT`].
    pub(crate) async fn forward(
        &self,
        request: &ForwardRequest,
    ) -> Result<ForwardResponse, CallError> {
        let deadline = Instant::now() + CALL_WAIT;
        let mut outcome = CallError::Unavailable { retry_after: Millis::from_secs(1) };
        loop {
            let Some(first) = self.any(REACH_WAIT).await else { return Err(outcome) };
            let others = self.candidates().into_iter().filter(|other| other.member != first.member);
            for live in std::iter::once(first.clone()).chain(others) {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(outcome);
                }
                let mut was_sent = false;
                let attempt = self.attempt(&live, request, &mut was_sent);
                match tokio::time::timeout(left.min(ATTEMPT_WAIT), attempt).await {
                    Ok(Ok(ForwardResponse::Unavailable { retry_after })) => {
                        outcome = CallError::Unavailable { retry_after };
                    }
                    Ok(Ok(response)) => return Ok(response),
                    Ok(Err(error)) => {
                        tracing::debug!(member = %live.member, %error, "call broke");
                        if was_sent && !is_repeatable(request) {
                            return Err(CallError::Timeout);
                        }
                    }
                    Err(_) => {
                        outcome = CallError::Timeout;
                        if !is_repeatable(request) {
                            return Err(outcome);
                        }
                    }
                }
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(outcome);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn attempt(
        &self,
        live: &Live,
        request: &ForwardRequest,
        was_sent: &mut bool,
    ) -> Result<ForwardResponse, LinkError> {
        let (mut send, mut receive) = live.open(StreamKind::Forward).await?;
        stream::send(&mut send, request).await?;
        *was_sent = true;
        // A stream that the member stopped has nothing left to finish.
        let _ = send.finish();
        if !is_repeatable(request) {
            return Ok(stream::expect(&mut receive).await?);
        }
        let mut leader = self.leader();
        let is_moved = async {
            let moved = leader.wait_for(|now| {
                now.is_some_and(|now| now != live.member) && self.is_connected_leader(*now)
            });
            let started_at_leader = Some(live.member) == *self.leader().borrow();
            if started_at_leader && moved.await.is_ok() {
                return;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            answered = stream::expect(&mut receive) => Ok(answered?),
            () = is_moved => Err(LinkError::Timeout),
        }
    }

    fn is_connected_leader(&self, leader: Option<fairground_types::MemberId>) -> bool {
        self.candidates().first().is_some_and(|first| Some(first.member) == leader)
    }
}
