//! This member's certificate in use: QUIC settings from it, and its renewal.
//!
//! A member holds the cluster's authority, so it signs itself a new leaf at two thirds of the old
//! one's life. New connections show the new one; those that are open go on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fairground_runtime::clock::Clock;
use fairground_runtime::pki::{
    Ca, Identity, PeerIdentity, PkiError, Role, client_config, new_key_and_csr, server_config,
};
use fairground_types::MemberId;
use quinn::Endpoint;

use crate::daemon::IDENTITY;
use crate::error::Error;
use crate::member::Member;
use crate::quic;

const LOOK_PERIOD: Duration = Duration::from_secs(300);

/// What the socket shows with this certificate.
pub(crate) fn server(identity: &Identity) -> Result<quinn::ServerConfig, Error> {
    quic::server_config(server_config(identity)?)
}

/// How this member dials with this certificate.
pub(crate) fn client(identity: &Identity) -> Result<quinn::ClientConfig, Error> {
    quic::client_config(client_config(identity)?)
}

/// A new key with a certificate for a member.
pub(crate) fn renew(ca: &Ca, member: MemberId, clock: Clock) -> Result<Identity, PkiError> {
    let new = new_key_and_csr()?;
    let holder = PeerIdentity { cluster: ca.cluster(), role: Role::Member(member) };
    let leaf = ca.sign(&new.csr, &holder, clock.now())?;
    Identity::new(leaf, new.key_pem, ca.certificate().clone())
}

/// What renewal works with.
pub(crate) struct Renewal {
    pub(crate) member: Arc<Member>,
    pub(crate) endpoint: Endpoint,
    pub(crate) identity: Identity,
    pub(crate) dir: PathBuf,
}

/// Renews the certificate when it is time, for ever.
pub(crate) async fn keep_renewed(renewal: Renewal) {
    let Renewal { member, endpoint, mut identity, dir } = renewal;
    loop {
        tokio::time::sleep(LOOK_PERIOD).await;
        if !identity.needs_renewal(member.clock.now()) {
            continue;
        }
        let renewed = renew(&member.admission.ca, member.id, member.clock)
            .map_err(Error::from)
            .and_then(|new| {
                new.save(&dir, IDENTITY)?;
                let (server, client) = (server(&new)?, client(&new)?);
                Ok((new, server, client))
            });
        match renewed {
            Ok((new, server, client)) => {
                endpoint.set_server_config(Some(server));
                member.peers.renew(client);
                identity = new;
                tracing::info!("certificate renewed");
            }
            Err(error) => tracing::error!(%error, "certificate not renewed; tried again"),
        }
    }
}
