//! Where the processes keep their files, the certificate that they show, and the machine around them.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use fairground_kit::place::write_secret;
use fairground_load::http::trusting;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Edges that the certificate is good for: 127.0.0.2 and on.
pub(crate) const EDGES_MAX: usize = 16;

/// A folder, and an authority with one certificate for every listener on loopback.
pub(crate) struct Place {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// The certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// Its key, PEM.
    pub(crate) key: PathBuf,
    /// Trusts the authority and nobody else.
    pub(crate) trust: Arc<ClientConfig>,
    _guard: tempfile::TempDir,
}

impl Place {
    /// A new folder inside `parent`, or inside the system's folder for such.
    pub(crate) fn make(parent: Option<&Path>) -> anyhow::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        std::fs::create_dir_all(&parent)?;
        let guard = tempfile::Builder::new().prefix("fairground-bench-").tempdir_in(&parent)?;
        let dir = std::fs::canonicalize(guard.path())?;
        // Another account may pass through to its own folder.
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711))?;
        let (certificate, key) = (dir.join("edge.pem"), dir.join("edge.key"));
        let authority = certify(&certificate, &key).context("failed to make a certificate")?;
        let trust = trusting(authority)?;
        Ok(Self { dir, certificate, key, trust, _guard: guard })
    }

    /// A folder inside.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

fn certify(
    certificate: &Path,
    key: &Path,
) -> anyhow::Result<rustls_pki_types::CertificateDer<'static>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate()?;
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);
    let names = (1..EDGES_MAX + 2).map(|number| format!("127.0.0.{number}")).collect::<Vec<_>>();
    let leaf_key = KeyPair::generate()?;
    let leaf = CertificateParams::new(names)?.signed_by(&leaf_key, &issuer)?;
    std::fs::write(certificate, leaf.pem())?;
    write_secret(key, &leaf_key.serialize_pem())?;
    Ok(authority.der().clone())
}

/// The address of the edge with this number, from 0.
pub(crate) fn edge_ip(number: usize) -> anyhow::Result<IpAddr> {
    match u8::try_from(number + 2) {
        Ok(last) if number < EDGES_MAX => Ok(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))),
        _ => bail!("at most {EDGES_MAX} edges"),
    }
}

/// Cores, load, file system and device: what every figure depends on.
pub(crate) fn machine(dir: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let disk = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
        .filter(|(_, at, _)| dir.starts_with(at))
        .max_by_key(|(_, at, _)| at.len())
        .map_or_else(|| "unknown".to_owned(), |(device, _, kind)| format!("{kind} on {device}"));
    format!("{cores} cores, load {load}, files on {disk}; generator, market and peers share them")
}
