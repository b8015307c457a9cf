//! Before the first start: beginning a cluster, or joining one as a member.
//!
//! ```text
//!  init   authority, secrets, certificate of member 1, admin key, coordinator.toml
//!  join   token -> certificate and secrets from a member -> the same files
//! ```
//! Neither needs the daemon to run. `cluster.json` is written last: a directory without it is no
//! member.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use fairground_runtime::clock::Clock;
use fairground_runtime::ids;
use fairground_runtime::pki::{
    self, Ca, Identity, JoinToken, MEMBER_SERVER_NAME, join_client_config, new_key_and_csr,
};
use fairground_seam::link::over_quic;
use fairground_storage::KeyFile;
use fairground_types::command::JoinRole;
use fairground_types::{ClusterId, MemberId};
use fairground_wire::message::{
    JoinKind, JoinRequest, JoinResponse, JoinSecret, JoinWelcome, StreamKind,
};
use quinn::Endpoint;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::daemon::IDENTITY;
use crate::error::Error;
use crate::identity::{ClusterFile, DataDir, Secrets, SharedSecrets};
use crate::options::Options;
use crate::{quic, stream, tls};

/// How long one member may take to answer a join.
const JOIN_WAIT: Duration = Duration::from_secs(15);
/// Passes over the token's addresses before joining is given up.
const JOIN_PASSES: u32 = 5;
const JOIN_PAUSE: Duration = Duration::from_millis(500);

/// How to begin a cluster.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The configuration of its first member.
    pub options: Options,
}

/// How to join a cluster.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The configuration of the new member; it needs an address with a port that others can reach.
    pub options: Options,
    /// The join token, `fgj1...`.
    pub token: String,
}

/// A member that can be started now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUp {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member.
    pub member: MemberId,
}

/// Makes a cluster and its first member in `options.dir`.
///
/// # Errors
/// When a member is there already, or a file cannot be written.
pub fn init(init: &InitOptions) -> Result<SetUp, Error> {
    let options = &init.options;
    let dir = DataDir::create(&options.dir)?;
    let clock = Clock::system();
    let cluster = ClusterId::from_bits(ids::uuid_v7_bits(clock.now()));
    let member = MemberId(1);
    let ca = Ca::create(cluster, clock.now())?;
    dir.write("ca.key", ca.expose_key_pem().as_bytes())?;
    tls::renew(&ca, member, clock)?.save(&options.dir, IDENTITY)?;
    dir.write_secrets(&Secrets::generate()?)?;
    finish(&dir, options, ClusterFile { cluster, member, founder: true, members: Vec::new() })
}

/// The files that every member has, `cluster.json` last.
fn finish(dir: &DataDir, options: &Options, file: ClusterFile) -> Result<SetUp, Error> {
    dir.create_admin_key()?;
    KeyFile::load_or_create(&dir.path("storage.key"))?;
    if !dir.path("coordinator.toml").exists() {
        let text = toml::to_string(options).map_err(|error| Error::Setting {
            key: "coordinator.toml",
            problem: error.to_string(),
        })?;
        dir.write("coordinator.toml", text.as_bytes())?;
    }
    dir.write_cluster(&file)?;
    Ok(SetUp { cluster: file.cluster, member: file.member })
}

/// Joins a cluster with a token and makes the member in `options.dir`.
///
/// # Errors
/// When the token is refused, nobody answers, or a file cannot be written.
pub async fn join(join: &JoinOptions) -> Result<SetUp, Error> {
    pki::install_provider();
    let options = &join.options;
    let token: JoinToken = join.token.trim().parse()?;
    if token.role != JoinRole::Member {
        let problem = "the token admits an edge, not a member".to_owned();
        return Err(Error::Setting { key: "token", problem });
    }
    let address = reachable_address(options)?;
    let dir = DataDir::create(&options.dir)?;
    let new = new_key_and_csr()?;
    let request = JoinRequest::Join {
        token: token.id,
        secret: JoinSecret(token.secret),
        csr_der: new.csr.clone(),
        kind: JoinKind::Member { cluster_address: address, public_url: options.public_url.clone() },
    };
    let welcome = ask_to_join(&token, &request).await?;
    let shared = welcome.secrets.as_ref().map(|bytes| {
        serde_json::from_slice::<SharedSecrets>(bytes.expose())
            .map_err(|source| Error::Parse { path: dir.path("secrets.json"), source })
    });
    let wrong = |problem: &'static str| Error::DataDir { path: options.dir.clone(), problem };
    let shared = shared.ok_or_else(|| wrong("the cluster gave no secrets"))??;
    let leaf = CertificateDer::from_pem_slice(welcome.certificate_pem.as_bytes())
        .map_err(|_| wrong("the cluster gave no certificate"))?;
    let ca = Ca::from_pem(&welcome.ca_pem, &shared.ca_key_pem)?;
    if ca.hash() != token.ca_hash {
        return Err(wrong("the cluster's authority is not the one that the token names"));
    }
    let identity = Identity::new(leaf, new.key_pem, ca.certificate().clone())?;
    let pki::Role::Member(member) = identity.peer().role else {
        return Err(wrong("the cluster gave the certificate of an edge"));
    };
    identity.save(&options.dir, IDENTITY)?;
    dir.write("ca.key", shared.ca_key_pem.as_bytes())?;
    dir.write_secrets(&shared.secrets()?)?;
    let members =
        welcome.members.iter().map(|row| (row.member, row.cluster_address.clone())).collect();
    let file = ClusterFile { cluster: welcome.cluster, member, founder: false, members };
    finish(&dir, options, file)
}

/// The address that others reach this member at; it goes into the log, so it must be known now.
fn reachable_address(options: &Options) -> Result<String, Error> {
    let address = options.cluster_advertise.as_ref().unwrap_or(&options.cluster_listen);
    let has_port = address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok())
        .is_some_and(|port| port != 0);
    if has_port {
        return Ok(address.clone());
    }
    let problem = format!("`{address}` has no port that others can reach; set `cluster_advertise`");
    Err(Error::Setting { key: "cluster_listen", problem })
}

async fn ask_to_join(token: &JoinToken, request: &JoinRequest) -> Result<JoinWelcome, Error> {
    let client = quic::client_config(join_client_config(token.ca_hash)?)?;
    let mut last = String::new();
    for pass in 0..JOIN_PASSES {
        if pass > 0 {
            tokio::time::sleep(JOIN_PAUSE).await;
        }
        for address in &token.addresses {
            let asked = ask_one(address, client.clone(), request);
            match tokio::time::timeout(JOIN_WAIT, asked).await {
                Ok(Ok(JoinResponse::Welcome(welcome))) => return Ok(*welcome),
                Ok(Ok(JoinResponse::Refused(rejection))) => {
                    return Err(Error::JoinRefused(Box::new(rejection)));
                }
                Ok(Ok(JoinResponse::NotLeader { .. })) => "no leader".clone_into(&mut last),
                Ok(Err(problem)) => last = problem,
                Err(_) => "no answer in time".clone_into(&mut last),
            }
        }
    }
    Err(Error::JoinUnreachable { addresses: token.addresses.clone(), last })
}

async fn ask_one(
    address: &str,
    client: quinn::ClientConfig,
    request: &JoinRequest,
) -> Result<JoinResponse, String> {
    let mut found = tokio::net::lookup_host(address).await.map_err(|error| error.to_string())?;
    let address = found.next().ok_or("no such host")?;
    let from: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = Endpoint::client(from).map_err(|error| error.to_string())?;
    let connecting = endpoint
        .connect_with(client, address, MEMBER_SERVER_NAME)
        .map_err(|error| error.to_string())?;
    let connection = over_quic(connecting.await.map_err(|error| error.to_string())?);
    let asked = async {
        let (mut send, mut receive) =
            connection.open_bi().await.map_err(|error| error.to_string())?;
        send.write_all(&[StreamKind::Join.to_byte()]).await.map_err(|error| error.to_string())?;
        stream::send(&mut send, request).await.map_err(|error| error.to_string())?;
        // A member that is gone needs no end of stream.
        let _ = send.finish();
        stream::expect::<JoinResponse>(&mut receive).await.map_err(|error| error.to_string())
    };
    let answered = asked.await;
    connection.close(0_u32.into(), b"done");
    endpoint.wait_idle().await;
    answered
}

/// Whether a directory holds a member.
#[must_use]
pub fn is_member(dir: &Path) -> bool {
    dir.join("cluster.json").exists()
}
