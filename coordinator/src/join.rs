//! Admitting daemons: a join token and a certificate request in, a certificate out.
//!
//! ```text
//!  Join   no certificate, token + secret -> RegisterEdge | RegisterMember in the log -> leaf
//!  Renew  certificate shown              -> a leaf of the same name
//! ```
//! The log decides whether a token is good, once. The same request sent again, because its answer
//! was lost, is the same command and gets the same name. Members are given the cluster's secrets
//! and authority as well.

use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::pki::{Ca, PeerIdentity, Role};
use fairground_seam::link::{Connection, RecvStream, SendStream};
use fairground_types::command::{
    Actor, ClusterCommand, Command, Envelope, JoinProof, RegisterEdge, RegisterMember,
};
use fairground_types::{Accepted, Code, CommandId, Digest, JoinTokenId, Rejection, Verdict};
use fairground_wire::message::{
    JoinKind, JoinRequest, JoinResponse, JoinSecret, JoinWelcome, PrivateBytes, StreamKind,
};
use tokio::sync::Semaphore;

use crate::identity::Secrets;
use crate::member::Member;
use crate::quic::peer_identity;
use crate::stream::{self, StreamError};

/// How long a joining daemon may take over its one request.
const JOIN_WAIT: Duration = Duration::from_secs(20);

/// Joins served at a time: whoever asks has shown nothing yet, and must not take the place of peers.
const JOINS_AT_ONCE: usize = 32;

/// The cluster's authority, as this member holds it.
pub(crate) struct Admission {
    pub(crate) ca: Ca,
    joins: Semaphore,
}

impl Admission {
    pub(crate) fn new(ca: Ca) -> Self {
        Self { ca, joins: Semaphore::new(JOINS_AT_ONCE) }
    }
}

/// Serves a connection without a certificate: one join.
pub(crate) async fn serve_connection(
    member: &Arc<Member>,
    connection: &Connection,
) -> Result<(), &'static str> {
    let Ok(_permit) = member.admission.joins.try_acquire() else { return Err("too many joins") };
    let served = async {
        let (mut send, mut receive) = connection.accept_bi().await.map_err(|_| "no request")?;
        let mut kind = [0_u8; 1];
        receive.read_exact(&mut kind).await.map_err(|_| "no request")?;
        let [kind] = kind;
        if StreamKind::from_byte(kind) != Some(StreamKind::Join) {
            return Err("join only");
        }
        let request: JoinRequest =
            stream::expect(&mut receive).await.map_err(|_| "unreadable request")?;
        let response = match request {
            JoinRequest::Join { token, secret, csr_der, kind } => {
                join(member, token, &secret, &csr_der, kind).await
            }
            JoinRequest::Renew { .. } => return Err("certificate required"),
        };
        stream::send(&mut send, &response).await.map_err(|_| "gone")?;
        // The peer closes once it has the answer; a stream that was stopped is finished too.
        let _ = send.finish();
        connection.closed().await;
        Ok(())
    };
    tokio::time::timeout(JOIN_WAIT, served).await.unwrap_or(Err("too slow"))
}

/// Hash of a token's secret, as the log holds it.
fn secret_digest(secret: &JoinSecret) -> Digest {
    Digest::of(&secret.0)
}

/// Serves a renewal by a daemon that has shown its certificate.
pub(crate) async fn renew(
    member: &Arc<Member>,
    connection: &Connection,
    mut send: SendStream,
    mut receive: RecvStream,
) -> Result<(), StreamError> {
    let request: JoinRequest = stream::expect(&mut receive).await?;
    let response = match (request, peer_identity(connection)) {
        (JoinRequest::Renew { csr_der }, Some(identity)) if is_registered(member, &identity) => {
            welcome(member, &identity.role, &csr_der)
        }
        (JoinRequest::Renew { .. } | JoinRequest::Join { .. }, _) => {
            JoinResponse::Refused(Rejection::new(Code::JoinRefused, "not registered"))
        }
    };
    stream::send(&mut send, &response).await?;
    // A peer that is gone needs no end of stream.
    let _ = send.finish();
    Ok(())
}

/// Whether the log still knows the daemon: one that was removed gets no new certificate.
fn is_registered(member: &Member, identity: &PeerIdentity) -> bool {
    member.state.read(|market| match &identity.role {
        Role::Edge(edge) => market.edge(edge).is_some(),
        Role::Member(number) => market.members().any(|row| row.member == *number),
    })
}

async fn join(
    member: &Member,
    token: JoinTokenId,
    secret: &JoinSecret,
    csr: &[u8],
    kind: JoinKind,
) -> JoinResponse {
    let proof = JoinProof { token, secret: secret_digest(secret) };
    let command = match kind {
        JoinKind::Edge { name, public_url, receipt_key, takes_bids } => {
            Command::Cluster(ClusterCommand::RegisterEdge(RegisterEdge {
                proof,
                name,
                public_url,
                receipt_key,
                takes_bids,
            }))
        }
        JoinKind::Member { cluster_address, public_url } => {
            Command::Cluster(ClusterCommand::RegisterMember(RegisterMember {
                proof: Some(proof),
                cluster_address,
                public_url,
            }))
        }
    };
    // The same request again is the same command: its answer may have been lost.
    let request = Digest::of(csr);
    let id = CommandId::derive_system("join", &token.to_string(), &request.to_string());
    let envelope = Envelope { id, actor: Actor::Anonymous, command };
    match member.proposer.submit(envelope).await.map(|judged| judged.verdict) {
        Ok(Verdict::Accepted(Accepted::EdgeRegistered { edge })) => {
            tracing::info!(%edge, "edge joined");
            welcome(member, &Role::Edge(edge), csr)
        }
        Ok(Verdict::Accepted(Accepted::MemberRegistered { member: number })) => {
            tracing::info!(member = %number, "member joined");
            welcome(member, &Role::Member(number), csr)
        }
        Ok(Verdict::Rejected(rejection)) => JoinResponse::Refused(rejection),
        Ok(Verdict::Accepted(_)) => internal(),
        Err(error) => {
            tracing::warn!(%error, "join without a verdict");
            JoinResponse::NotLeader { leader_address: leader_address(member) }
        }
    }
}

fn leader_address(member: &Member) -> Option<String> {
    let leader = member.leader()?;
    member.state.read(|market| {
        let row = market.members().find(|row| row.member == leader)?;
        Some(row.cluster_address.clone())
    })
}

fn internal() -> JoinResponse {
    JoinResponse::Refused(Rejection::new(Code::Internal, "the certificate could not be made"))
}

fn welcome(member: &Member, role: &Role, csr: &[u8]) -> JoinResponse {
    let holder = PeerIdentity { cluster: member.cluster, role: role.clone() };
    let leaf = match member.admission.ca.sign(csr, &holder, member.clock.now()) {
        Ok(leaf) => leaf,
        Err(error) => {
            tracing::warn!(%error, %holder, "certificate request refused");
            let refused =
                Rejection::new(Code::ValidationFailed, "the certificate request is wrong");
            return JoinResponse::Refused(refused);
        }
    };
    let secrets = match role {
        Role::Edge(_) => None,
        Role::Member(_) => match shared_secrets(&member.secrets, &member.admission.ca) {
            Some(secrets) => Some(secrets),
            None => return internal(),
        },
    };
    let identity = match role {
        Role::Edge(edge) => edge.to_string(),
        Role::Member(number) => number.to_string(),
    };
    JoinResponse::Welcome(Box::new(JoinWelcome {
        cluster: member.cluster,
        certificate_pem: fairground_runtime::pki::certificate_pem(&leaf),
        ca_pem: member.admission.ca.certificate_pem(),
        identity,
        members: member.state.read(|market| market.members().cloned().collect()),
        secrets,
    }))
}

fn shared_secrets(secrets: &Secrets, ca: &Ca) -> Option<PrivateBytes> {
    let shared = secrets.share(ca.expose_key_pem());
    serde_json::to_vec(&shared).ok().map(PrivateBytes::new)
}
