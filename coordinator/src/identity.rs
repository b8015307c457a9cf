//! The data directory of a member: who it is, and the cluster's secrets.
//!
//! ```text
//!  cluster.json   cluster, member number, addresses         ca.pem, ca.key      the cluster's authority
//!  secrets.json   epoch key, code key, signing keys         member.pem, .key    this member's certificate
//!  storage.key    root key of this member's stores          admin.key           for commands on this machine
//!  raft/ blobs/   durable state                             ready.json          written while it serves
//! ```
//! Everything that is secret is readable by its owner alone. A file is written whole under another
//! name, synced and renamed. It must not know the log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fairground_runtime::ids::random_bytes;
use fairground_runtime::pki::write_private;
use fairground_runtime::secret::{DataKey, SigningPair};
use fairground_types::command::{ClusterKey, KeyPurpose};
use fairground_types::{ClusterId, MemberId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Name of the first access key.
const ACCESS_KID: &str = "access-1";
/// Number of the first playback key; its name is the decimal text.
const PLAYBACK_KEY_ID: u32 = 1;

/// What `cluster.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) struct ClusterFile {
    pub(crate) cluster: ClusterId,
    pub(crate) member: MemberId,
    /// Whether this member began the cluster.
    pub(crate) founder: bool,
    /// Members known when this one joined: number and QUIC address.
    pub(crate) members: Vec<(MemberId, String)>,
}

/// The cluster's secrets, equal on all members.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    /// Wraps each account's own key.
    pub(crate) epoch: DataKey,
    /// Hashes identifiers and one-time codes.
    pub(crate) code: DataKey,
    pub(crate) access_kid: String,
    pub(crate) access: SigningPair,
    pub(crate) playback_key_id: u32,
    pub(crate) playback: SigningPair,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
struct SecretsFile {
    version: u8,
    epoch_key: String,
    code_key: String,
    access_kid: String,
    access_key: String,
    playback_key_id: u32,
    playback_key: String,
}

/// What a joining member is given besides its certificate.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) struct SharedSecrets {
    pub(crate) ca_key_pem: String,
    secrets: SecretsFile,
}

impl Secrets {
    /// Secrets of a new cluster.
    pub(crate) fn generate() -> Result<Self, Error> {
        Ok(Self {
            epoch: DataKey::generate(),
            code: DataKey::generate(),
            access_kid: ACCESS_KID.to_owned(),
            access: SigningPair::generate()?,
            playback_key_id: PLAYBACK_KEY_ID,
            playback: SigningPair::generate()?,
        })
    }

    /// The public halves, for the state.
    pub(crate) fn public_keys(&self) -> Vec<ClusterKey> {
        vec![
            ClusterKey {
                kid: self.access_kid.clone(),
                purpose: KeyPurpose::Access,
                public: *self.access.public(),
            },
            ClusterKey {
                kid: self.playback_key_id.to_string(),
                purpose: KeyPurpose::Playback,
                public: *self.playback.public(),
            },
        ]
    }

    fn to_file(&self) -> SecretsFile {
        SecretsFile {
            version: 1,
            epoch_key: STANDARD.encode(self.epoch.expose()),
            code_key: STANDARD.encode(self.code.expose()),
            access_kid: self.access_kid.clone(),
            access_key: STANDARD.encode(self.access.expose_pkcs8()),
            playback_key_id: self.playback_key_id,
            playback_key: STANDARD.encode(self.playback.expose_pkcs8()),
        }
    }

    fn from_file(file: &SecretsFile, path: &Path) -> Result<Self, Error> {
        let problem = |problem| Error::DataDir { path: path.to_owned(), problem };
        if file.version != 1 {
            return Err(problem("secrets of a newer release"));
        }
        let bytes =
            |text: &str| STANDARD.decode(text).map_err(|_| problem("a secret that is no base64"));
        let key = |text: &str| {
            let bytes: [u8; 32] =
                bytes(text)?.try_into().map_err(|_| problem("a secret of the wrong length"))?;
            Ok::<DataKey, Error>(DataKey::from_bytes(bytes))
        };
        Ok(Self {
            epoch: key(&file.epoch_key)?,
            code: key(&file.code_key)?,
            access_kid: file.access_kid.clone(),
            access: SigningPair::from_pkcs8(&bytes(&file.access_key)?)?,
            playback_key_id: file.playback_key_id,
            playback: SigningPair::from_pkcs8(&bytes(&file.playback_key)?)?,
        })
    }

    /// As a member that joins is given them.
    pub(crate) fn share(&self, ca_key_pem: String) -> SharedSecrets {
        SharedSecrets { ca_key_pem, secrets: self.to_file() }
    }
}

impl SharedSecrets {
    pub(crate) fn secrets(&self) -> Result<Secrets, Error> {
        Secrets::from_file(&self.secrets, Path::new("secrets.json"))
    }
}

/// The data directory.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes the directory, which must not hold a member yet.
    pub(crate) fn create(root: &Path) -> Result<Self, Error> {
        let dir = Self::new(root);
        if dir.path("cluster.json").exists() {
            let problem = "a member is here already";
            return Err(Error::DataDir { path: root.to_owned(), problem });
        }
        fs::create_dir_all(root).map_err(Error::file(root))?;
        fs::set_permissions(root, fs::Permissions::from_mode(0o700)).map_err(Error::file(root))?;
        Ok(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn cluster(&self) -> Result<ClusterFile, Error> {
        let path = self.path("cluster.json");
        if !path.exists() {
            let problem = "no member is here; run `fairground init` or `fairground join` first";
            return Err(Error::DataDir { path: self.root.clone(), problem });
        }
        self.read_json("cluster.json")
    }

    pub(crate) fn write_cluster(&self, cluster: &ClusterFile) -> Result<(), Error> {
        self.write_json("cluster.json", cluster)
    }

    pub(crate) fn secrets(&self) -> Result<Secrets, Error> {
        let path = self.path("secrets.json");
        let file: SecretsFile = self.read_json("secrets.json")?;
        Secrets::from_file(&file, &path)
    }

    pub(crate) fn write_secrets(&self, secrets: &Secrets) -> Result<(), Error> {
        self.write_json("secrets.json", &secrets.to_file())
    }

    /// Makes the key that commands on this machine show.
    pub(crate) fn create_admin_key(&self) -> Result<(), Error> {
        let key = fairground_types::Digest::from_bytes(random_bytes::<32>());
        self.write("admin.key", key.to_string().as_bytes())
    }

    pub(crate) fn admin_key(&self) -> Result<String, Error> {
        self.read_text("admin.key").map(|text| text.trim().to_owned())
    }

    pub(crate) fn read_text(&self, name: &str) -> Result<String, Error> {
        let path = self.path(name);
        fs::read_to_string(&path).map_err(Error::file(&path))
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let text = self.read_text(name)?;
        serde_json::from_str(&text).map_err(|source| Error::Parse { path: self.path(name), source })
    }

    pub(crate) fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(value)
            .map_err(|source| Error::Parse { path: self.path(name), source })?;
        self.write(name, &text)
    }

    /// Writes a file that only its owner can read, whole or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        Ok(write_private(&self.path(name), bytes)?)
    }

    /// Removes a file; one that is not there is fine.
    pub(crate) fn remove(&self, name: &str) {
        let path = self.path(name);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %path.display(), %error, "a file stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_survive_their_file_and_are_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = DataDir::create(&folder.path().join("m1")).expect("made");
        let secrets = Secrets::generate().expect("made");
        dir.write_secrets(&secrets).expect("written");
        let read = dir.secrets().expect("read");
        assert_eq!(read.public_keys(), secrets.public_keys());
        assert_eq!(read.epoch.expose(), secrets.epoch.expose());
        let mode = fs::metadata(dir.path("secrets.json")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn directory_with_a_member_is_not_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = DataDir::create(folder.path()).expect("made");
        dir.write("cluster.json", b"{}").expect("written");
        assert!(DataDir::create(folder.path()).is_err());
    }
}
