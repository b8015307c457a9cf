//! What an edge is, on disk, and how it becomes that.
//!
//! ```text
//!   DIR/ca.pem        the cluster's authority        DIR/edge.pem     leaf and key, 0600
//!   DIR/receipt.key   signs receipts (PKCS #8), 0600 DIR/edge.json    cluster, id, members
//!   DIR/storage.key   seals every stored record, 0600
//!
//!   join:  token -> QUIC fairground-join/1 -> request, receipt key -> leaf, authority, members
//! ```
//! A data folder is one identity: a copy or an old image of it must join again. Read next:
//! `fairground_runtime::pki`.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::clock::Clock;
use fairground_runtime::pki::{self, Identity, JoinToken, PeerIdentity, Role};
use fairground_runtime::secret::SigningPair;
use fairground_seam::link::over_quic;
use fairground_types::command::{JoinRole, MemberRow};
use fairground_types::{ClusterId, Code, EdgeId, Rejection};
use fairground_wire::message::{
    JoinKind, JoinRequest, JoinResponse, JoinSecret, JoinWelcome, StreamKind,
};
use quinn::{Endpoint, VarInt};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::edge::Edge;
use crate::error::Error;
use crate::link::{self, LinkError, MEMBER_NAME, stream};
use crate::siblings;

const IDENTITY_NAME: &str = "edge";
const FACTS_FILE: &str = "edge.json";
const RECEIPT_FILE: &str = "receipt.key";
/// How long joining may take over all members.
const JOIN_WAIT: Duration = Duration::from_secs(60);
const CONNECT_WAIT: Duration = Duration::from_secs(5);
const ANSWER_WAIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(500);
/// How often the certificate's age is looked at.
const RENEW_PERIOD: Duration = Duration::from_secs(60);

/// What an operator says to make an edge.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The token that a member made.
    pub token: JoinToken,
    /// The data folder; made when absent.
    pub dir: PathBuf,
    /// The operator's name for the edge: 1 to 40 of `a-z 0-9 -`.
    pub name: String,
    /// Base URL that clients use.
    pub public_url: String,
    /// Whether it takes bids.
    pub takes_bids: bool,
}

/// What joining made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The cluster.
    pub cluster: ClusterId,
    /// The edge's id in it.
    pub edge: EdgeId,
    /// Where the token said that it is.
    pub region: String,
    /// Addresses of the members, `host:port`.
    pub members: Vec<String>,
}

/// An identity as it was loaded.
pub(crate) struct Loaded {
    pub(crate) joined: Joined,
    pub(crate) identity: Identity,
    /// PKCS #8.
    pub(crate) receipt_key: Vec<u8>,
}

/// Loads what [`join`] stored.
pub(crate) fn load(dir: &Path) -> Result<Loaded, Error> {
    let facts = dir.join(FACTS_FILE);
    if !facts.exists() {
        return Err(Error::NotJoined(dir.to_owned()));
    }
    let bytes = fs::read(&facts).map_err(Error::file(&facts))?;
    let joined: Joined = serde_json::from_slice(&bytes).map_err(Error::Json)?;
    let identity = Identity::load(dir, IDENTITY_NAME)?;
    let receipt = dir.join(RECEIPT_FILE);
    let receipt_key = fs::read(&receipt).map_err(Error::file(&receipt))?;
    let expected = PeerIdentity { cluster: joined.cluster, role: Role::Edge(joined.edge.clone()) };
    if *identity.peer() != expected {
        return Err(Error::Option {
            option: "dir",
            problem: format!("its certificate is of {}, not of {expected}", identity.peer()),
        });
    }
    Ok(Loaded { joined, identity, receipt_key })
}

/// Makes an edge of this machine: a key, a certificate of the cluster, a receipt key.
///
/// # Errors
/// When the folder holds an identity already, no member can be reached, or the cluster refuses.
pub async fn join(options: JoinOptions) -> Result<Joined, Error> {
    pki::install_provider();
    let JoinOptions { token, dir, name, public_url, takes_bids } = options;
    // Checked here for a plain message; the log checks again.
    EdgeId::new(&name, 1)
        .map_err(|error| Error::Option { option: "name", problem: error.to_string() })?;
    if token.role != JoinRole::Edge {
        let detail = "the join token is for a member, not for an edge";
        return Err(Error::JoinRefused(Rejection::new(Code::JoinRefused, detail)));
    }
    if dir.join(FACTS_FILE).exists() {
        return Err(Error::Option {
            option: "dir",
            problem: format!("{} holds an identity already", dir.display()),
        });
    }
    make_private_folder(&dir)?;
    let key = pki::new_key_and_csr()?;
    let receipt = SigningPair::generate()?;
    let request = JoinRequest::Join {
        token: token.id,
        secret: JoinSecret(token.secret),
        csr_der: key.csr.clone(),
        kind: JoinKind::Edge { name, public_url, receipt_key: *receipt.public(), takes_bids },
    };
    let welcome = ask(&token, &request).await?;
    let edge: EdgeId = welcome.identity.parse().map_err(|_| Error::JoinAnswer)?;
    let identity = identity_of(&welcome, key.key_pem)?;
    identity.save(&dir, IDENTITY_NAME)?;
    pki::write_private(&dir.join(RECEIPT_FILE), receipt.expose_pkcs8())?;
    let members = addresses(&welcome.members, &token.addresses);
    let joined =
        Joined { cluster: welcome.cluster, edge, region: token.region.to_string(), members };
    // Last: its presence says that the identity is whole.
    let facts = serde_json::to_vec_pretty(&joined).map_err(Error::Json)?;
    pki::write_private(&dir.join(FACTS_FILE), &facts)?;
    Ok(joined)
}

/// Makes a folder that only its owner can enter.
pub(crate) fn make_private_folder(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt as _;

    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::file(dir))
}

fn addresses(members: &[MemberRow], fallback: &[String]) -> Vec<String> {
    if members.is_empty() {
        return fallback.to_vec();
    }
    members.iter().map(|row| row.cluster_address.clone()).collect()
}

fn identity_of(welcome: &JoinWelcome, key_pem: String) -> Result<Identity, Error> {
    let certificate =
        |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::JoinAnswer);
    let (leaf, ca) = (certificate(&welcome.certificate_pem)?, certificate(&welcome.ca_pem)?);
    Ok(Identity::new(leaf, key_pem, ca)?)
}

/// A socket of the address family that dials `target`.
pub(crate) fn client_endpoint(is_v6: bool) -> Result<Endpoint, Error> {
    let address: SocketAddr =
        if is_v6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
    Endpoint::client(address).map_err(|source| Error::Bind { address, source })
}

async fn ask(token: &JoinToken, request: &JoinRequest) -> Result<JoinWelcome, Error> {
    let client = link::client_config(pki::join_client_config(token.ca_hash)?)?;
    let mut last = None;
    let asked = async {
        let mut addresses = token.addresses.clone();
        loop {
            let mut redirect = None;
            for address in &addresses {
                match ask_one(&client, address, request).await {
                    Ok(JoinResponse::Welcome(welcome)) if welcome.cluster == token.cluster => {
                        return Ok(*welcome);
                    }
                    Ok(JoinResponse::Welcome(_)) => return Err(Error::JoinAnswer),
                    Ok(JoinResponse::Refused(rejection)) => {
                        return Err(Error::JoinRefused(rejection));
                    }
                    Ok(JoinResponse::NotLeader { leader_address }) => {
                        redirect = leader_address.or(redirect);
                    }
                    Err(error) => {
                        tracing::info!(%address, error = %link::chain(&error), "not joined yet");
                        last = Some(error);
                    }
                }
            }
            // A leader that was named is asked first from here on.
            if let Some(address) = redirect {
                addresses.retain(|known| *known != address);
                addresses.insert(0, address);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(JOIN_WAIT, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::JoinUnreachable(last)),
    }
}

async fn ask_one(
    client: &quinn::ClientConfig,
    address: &str,
    request: &JoinRequest,
) -> Result<JoinResponse, LinkError> {
    let target = link::resolve(address).await?;
    let endpoint = client_endpoint(target.is_ipv6()).map_err(|_| LinkError::Timeout)?;
    let connecting = endpoint.connect_with(client.clone(), target, MEMBER_NAME)?;
    let connection =
        tokio::time::timeout(CONNECT_WAIT, connecting).await.map_err(|_| LinkError::Timeout)??;
    let connection = over_quic(connection);
    let exchange = async {
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&[StreamKind::Join.to_byte()]).await.map_err(stream::StreamError::from)?;
        stream::send(&mut send, request).await?;
        Ok(stream::expect::<JoinResponse>(&mut receive).await?)
    };
    let answered = tokio::time::timeout(ANSWER_WAIT, exchange).await;
    connection.close(VarInt::from_u32(0), b"done");
    // The member learns of the end; how long that takes is not this side's concern.
    let _ = tokio::time::timeout(Duration::from_millis(200), endpoint.wait_idle()).await;
    answered.unwrap_or(Err(LinkError::Timeout))
}

/// Renews the certificate at two thirds of its life, until shutdown.
pub(crate) async fn renew(edge: Arc<Edge>, mut identity: Identity, siblings: Option<Endpoint>) {
    loop {
        if identity.needs_renewal(Clock::system().now()) {
            match renew_once(&edge, siblings.as_ref()).await {
                Ok(renewed) => {
                    tracing::info!("certificate renewed");
                    identity = renewed;
                }
                Err(error) => {
                    tracing::warn!(error = %link::chain(&error), "certificate not renewed");
                }
            }
        }
        tokio::select! {
            biased;
            () = edge.shutdown.wait() => return,
            () = tokio::time::sleep(RENEW_PERIOD) => {}
        }
    }
}

async fn renew_once(edge: &Arc<Edge>, siblings: Option<&Endpoint>) -> Result<Identity, Error> {
    let unreachable = |error| Error::JoinUnreachable(Some(error));
    let live = edge.links.any(CONNECT_WAIT).await.ok_or(Error::JoinUnreachable(None))?;
    let key = pki::new_key_and_csr()?;
    let exchange = async {
        let (mut send, mut receive) = live.open(StreamKind::Join).await?;
        stream::send(&mut send, &JoinRequest::Renew { csr_der: key.csr.clone() }).await?;
        Ok::<_, LinkError>(stream::expect::<JoinResponse>(&mut receive).await?)
    };
    let answered = tokio::time::timeout(ANSWER_WAIT, exchange).await;
    match answered.unwrap_or(Err(LinkError::Timeout)).map_err(unreachable)? {
        JoinResponse::Welcome(welcome) => {
            let identity = identity_of(&welcome, key.key_pem)?;
            identity.save(&edge.options.dir, IDENTITY_NAME)?;
            edge.links.renew(link::client_config(pki::client_config(&identity)?)?);
            if let Some(siblings) = siblings {
                siblings.set_server_config(Some(siblings::server_config(&identity)?));
            }
            Ok(identity)
        }
        JoinResponse::Refused(rejection) => Err(Error::JoinRefused(rejection)),
        JoinResponse::NotLeader { .. } => Err(Error::JoinUnreachable(None)),
    }
}
