//! The cluster's certificate authority: makes itself, signs leaves, nothing else.
//!
//! Members keep it; it signs only what the log has registered, which is its caller's duty. It must
//! not know how requests arrive.

use std::fmt;
use std::time::Duration;

use fairground_types::{ClusterId, Digest, Millis, Timestamp};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::PkiError;
use crate::ids::random_bytes;
use crate::pki::LEAF_LIFE;
use crate::pki::peer::PeerIdentity;

/// Ten years; a rotation replaces it long before.
const CA_LIFE: Millis = Millis::from_hours(24 * 3_653);
/// Clocks of two daemons may differ by this much and a new leaf is still valid.
const CLOCK_ALLOWANCE: Millis = Millis::from_mins(5);
/// Longest certificate request, in bytes; ours are about 200.
const CSR_BYTES_MAX: usize = 4_096;

/// The certificate authority of one cluster.
pub struct Ca {
    cluster: ClusterId,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// Makes the authority of a new cluster.
    ///
    /// # Errors
    /// Only when the cryptographic library fails.
    pub fn create(cluster: ClusterId, now: Timestamp) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(PkiError::Make)?;
        let mut params = CertificateParams::default();
        set_validity(&mut params, now.minus(CLOCK_ALLOWANCE), now.plus(CA_LIFE));
        params.serial_number = Some(serial());
        params.distinguished_name = name(&cluster.to_string());
        // Signs leaves only: no further authority below it.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).map_err(PkiError::Make)?;
        Ok(Self {
            cluster,
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Takes an authority that was stored.
    ///
    /// # Errors
    /// When the texts are no certificate and key, do not belong together, or name no cluster.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| PkiError::Encoding { what: "the certificate of the authority" })?;
        let key = KeyPair::from_pem(key)
            .map_err(|_| PkiError::Encoding { what: "the key of the authority" })?;
        let cluster = authority_of(&certificate, key.public_key_raw())?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(PkiError::Make)?;
        Ok(Self { cluster, certificate, issuer })
    }

    /// Signs a request for `holder`: its key is taken, its names are not.
    ///
    /// # Errors
    /// When the request is no PKCS #10, is not signed by its own key, or is of another cluster.
    pub fn sign(
        &self,
        csr: &[u8],
        holder: &PeerIdentity,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, PkiError> {
        self.sign_for(csr, holder, now, LEAF_LIFE)
    }

    /// As [`Ca::sign`], with a life of the caller's choice.
    ///
    /// # Errors
    /// As [`Ca::sign`].
    pub fn sign_for(
        &self,
        csr: &[u8],
        holder: &PeerIdentity,
        now: Timestamp,
        life: Millis,
    ) -> Result<CertificateDer<'static>, PkiError> {
        if csr.len() > CSR_BYTES_MAX {
            return Err(PkiError::Encoding { what: "a certificate request" });
        }
        if holder.cluster != self.cluster {
            return Err(PkiError::Name);
        }
        let mut request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
                .map_err(PkiError::Make)?;
        // Everything but the public key is ours: a request cannot ask for a name or a right.
        let mut params = CertificateParams::default();
        set_validity(&mut params, now.minus(CLOCK_ALLOWANCE), now.plus(life));
        params.serial_number = Some(serial());
        params.distinguished_name = name(&holder.role.to_string());
        params.subject_alt_names = vec![
            SanType::DnsName(ascii(holder.role.server_name())?),
            SanType::URI(ascii(&holder.to_string())?),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        request.params = params;
        let leaf = request.signed_by(&self.issuer).map_err(PkiError::Make)?;
        Ok(leaf.der().clone())
    }

    /// The cluster.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The certificate, DER.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What a join token names the authority by: BLAKE3 of its certificate.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::of(&self.certificate)
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        certificate_pem(&self.certificate)
    }

    /// The private key, PEM, to be stored in a place that only its owner can read.
    #[must_use]
    pub fn expose_key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A new private key and the request to sign its public part.
pub struct NewKey {
    /// PKCS #8, PEM; never leaves the machine that made it.
    pub key_pem: String,
    /// PKCS #10, DER; goes to a member.
    pub csr: Vec<u8>,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(..)")
    }
}

/// Makes an Ed25519 key and a certificate request for it.
///
/// # Errors
/// Only when the cryptographic library fails.
pub fn new_key_and_csr() -> Result<NewKey, PkiError> {
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(PkiError::Make)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key).map_err(PkiError::Make)?;
    Ok(NewKey { key_pem: key.serialize_pem(), csr: csr.der().to_vec() })
}

/// The cluster that a stored authority is of; checks that the key is its own.
fn authority_of(certificate: &[u8], public_key: &[u8]) -> Result<ClusterId, PkiError> {
    let wrong = || PkiError::Encoding { what: "the certificate of the authority" };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| wrong())?;
    if parsed.public_key().subject_public_key.data.as_ref() != public_key {
        return Err(PkiError::Encoding { what: "the key of the authority: it is of another one" });
    }
    let mut names = parsed.subject().iter_common_name();
    let name = names.next().and_then(|name| name.as_str().ok()).ok_or(PkiError::Name)?;
    name.parse().map_err(|_| PkiError::Name)
}

/// A certificate (DER) as PEM.
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    pem_block("CERTIFICATE", der)
}

/// One PEM block (RFC 7468), 64 characters to a line.
fn pem_block(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;

    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (at, character) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, DnValue::Utf8String(common.to_owned()));
    name
}

fn ascii(text: &str) -> Result<Ia5String, PkiError> {
    text.try_into().map_err(|_| PkiError::Name)
}

/// Sixteen random bytes, positive (RFC 5280 section 4.1.2.2).
fn serial() -> SerialNumber {
    let mut bytes = random_bytes::<16>();
    bytes[0] = (bytes[0] & 0x7F) | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// Sets both ends here, where the library's own kind of instant need not be named.
fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from.as_unix_seconds());
    params.not_after = epoch + Duration::from_secs(until.as_unix_seconds());
}
