//! TLS settings between daemons: version 1.3, both sides of one cluster, no resumption.
//!
//! No session is resumed, so that every connection shows a leaf that is valid now. A server accepts
//! clients without a certificate, because a joiner has none: whoever serves [`ALPN`] must refuse a
//! peer without one. It must not know QUIC.

use std::sync::Arc;

use fairground_types::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::error::PkiError;
use crate::pki::identity::Identity;
use crate::pki::{ALPN, ALPN_JOIN};

/// Makes aws-lc-rs the process's default for TLS; a default that is in place already stays.
pub fn install_provider() {
    // An error only says that there is a default already.
    let _ = aws_lc_rs::default_provider().install_default();
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots(ca: &CertificateDer<'_>) -> Result<Arc<RootCertStore>, PkiError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned()).map_err(PkiError::Tls)?;
    Ok(Arc::new(roots))
}

/// What a daemon presents when it is dialled: both protocols; a client certificate, where there is
/// one, must be of this cluster.
///
/// # Errors
/// When certificate and key do not fit together.
pub fn server_config(identity: &Identity) -> Result<ServerConfig, PkiError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(identity.ca())?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(PkiError::Verifier)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(PkiError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain(), identity.key())
        .map_err(PkiError::Tls)?;
    config.alpn_protocols = vec![ALPN.to_vec(), ALPN_JOIN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What a daemon presents when it dials a peer, and whom it accepts there: this cluster's alone.
///
/// # Errors
/// When certificate and key do not fit together.
pub fn client_config(identity: &Identity) -> Result<ClientConfig, PkiError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(PkiError::Tls)?
        .with_root_certificates(roots(identity.ca())?)
        .with_client_auth_cert(identity.chain(), identity.key())
        .map_err(PkiError::Tls)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// How a joiner dials: without a certificate, accepting only a member whose authority is the one
/// that the token names. Dial with the server name [`crate::pki::MEMBER_SERVER_NAME`].
///
/// # Errors
/// Only when the cryptographic library fails.
pub fn join_client_config(ca_hash: Digest) -> Result<ClientConfig, PkiError> {
    let provider = provider();
    let verifier = PinnedCa { ca_hash, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(PkiError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_JOIN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Accepts a server whose chain ends in the certificate with one hash, and checks that chain in full.
#[derive(Debug)]
struct PinnedCa {
    ca_hash: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let ca = intermediates
            .iter()
            .find(|certificate| Digest::of(certificate) == self.ca_hash)
            .ok_or(TlsError::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&self.provider),
        )
        .build()
        .map_err(|_| TlsError::InvalidCertificate(CertificateError::UnknownIssuer))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        // TLS 1.2 is not offered.
        Err(TlsError::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
