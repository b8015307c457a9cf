//! A small configuration like a daemon's, and everything an operator gets wrong in one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde::Deserialize;
use tempfile::TempDir;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    dir: PathBuf,
    http_listen: String,
    key_file: Option<PathBuf>,
    account: Option<String>,
    limit: Option<u32>,
    members: Vec<String>,
    raft: Raft,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raft {
    heartbeat: DurationText,
    snapshot_entries: u64,
    is_eager: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/fairground"),
            http_listen: "127.0.0.1:8080".into(),
            key_file: None,
            account: None,
            limit: None,
            members: Vec::new(),
            raft: Raft::default(),
        }
    }
}

impl Default for Raft {
    fn default() -> Self {
        Self {
            heartbeat: DurationText::new(fairground_types::Millis::new(50)),
            snapshot_entries: 20_000,
            is_eager: false,
        }
    }
}

fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Options, ConfigError> {
    let dir = TempDir::new().expect("folder");
    let path = dir.path().join("node.toml");
    std::fs::write(&path, text).expect("written");
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_from(Some(&path), "FAIRGROUND", env)
}

fn refusal(text: &str, env: &[(&str, &str)]) -> String {
    let error = load_text(text, env).expect_err("refused");
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

#[test]
fn defaults_hold_where_neither_file_nor_environment_speaks() {
    assert_eq!(load_text("", &[]).expect("empty"), Options::default());
    let none = load_from::<Options>(None, "FAIRGROUND", []).expect("no file");
    assert_eq!(none, Options::default());
}

#[test]
fn environment_overrides_file_overrides_defaults() {
    let text = "http_listen = \"127.0.0.1:1\"\n[raft]\nheartbeat = \"1s\"\nsnapshot_entries = 5\n";
    let options = load_text(
        text,
        &[
            ("FAIRGROUND__RAFT__HEARTBEAT", "75ms"),
            ("FAIRGROUND__RAFT__IS_EAGER", "true"),
            ("FAIRGROUND__MEMBERS", "127.0.0.1:7, 127.0.0.1:8"),
            ("FAIRGROUND__LIMIT", "9"),
            ("FAIRGROUND__KEY_FILE", "/run/key"),
            ("FAIRGROUND_LOG", "debug"),
            ("HOME", "/nowhere"),
        ],
    )
    .expect("valid");
    assert_eq!(options.http_listen, "127.0.0.1:1");
    assert_eq!(options.raft.heartbeat.millis().as_millis(), 75);
    assert_eq!((options.raft.snapshot_entries, options.raft.is_eager), (5, true));
    assert_eq!(options.members, ["127.0.0.1:7", "127.0.0.1:8"]);
    assert_eq!((options.limit, options.key_file), (Some(9), Some(PathBuf::from("/run/key"))));
    let digits = load_text("", &[("FAIRGROUND__ACCOUNT", "12345")]).expect("text of digits");
    assert_eq!(digits.account.as_deref(), Some("12345"));
}

#[test]
fn an_unknown_key_names_itself_and_the_nearest() {
    let message = refusal("http_lisen = \"127.0.0.1:1\"", &[]);
    assert!(message.contains("unknown key `http_lisen`"), "{message}");
    assert!(message.contains("did you mean `http_listen`"), "{message}");
    let message = refusal("[raft]\nhartbeat = \"1s\"", &[]);
    assert!(message.contains("unknown key `raft.hartbeat`"), "{message}");
    assert!(message.contains("`raft.heartbeat`"), "{message}");
    let message = refusal("snapshot_entries = 3", &[]);
    assert!(message.contains("did you mean `raft.snapshot_entries`"), "{message}");
    let message = refusal("key_fil = \"/run/key\"", &[]);
    assert!(message.contains("did you mean `key_file`"), "{message}");
    let message = refusal("", &[("FAIRGROUND__RAFT__HEARTBEET", "1s")]);
    assert!(message.contains("environment variable FAIRGROUND__RAFT__HEARTBEET"), "{message}");
    assert!(message.contains("`raft.heartbeat`"), "{message}");
}

#[test]
fn values_of_a_wrong_shape_name_their_key() {
    let message = refusal("[raft]\nheartbeat = \"50\"", &[]);
    assert!(message.contains("heartbeat") && message.contains("\"30s\""), "{message}");
    let message = refusal("", &[("FAIRGROUND__RAFT__IS_EAGER", "maybe")]);
    assert!(message.contains("true or false"), "{message}");
    let message = refusal("", &[("FAIRGROUND__RAFT__SNAPSHOT_ENTRIES", "1\nx = 2")]);
    assert!(message.contains("expected a number"), "{message}");
    assert!(refusal("dir = [", &[]).contains("parse "));
    assert!(load_from::<Options>(Some(Path::new("/nowhere/x.toml")), "FAIRGROUND", []).is_err());
}

#[test]
fn a_credential_of_systemd_is_known_by_its_name() {
    let (dir, other) = (TempDir::new().expect("folder"), TempDir::new().expect("folder"));
    let set = |path: &Path, mode| {
        std::fs::write(path, "sk_test_1\n").expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let path = dir.path().join("s3.secret");
    set(&path, 0o440);
    let (name, folder) = (Path::new("s3.secret"), Some(dir.path()));
    assert_eq!(Secret::read(name, folder).expect("a credential").expose(), "sk_test_1");
    assert_eq!(Secret::read(&path, folder).expect("a credential").expose(), "sk_test_1");
    assert!(Secret::read(Path::new("another"), folder).is_err());
    // What is not a credential is held to the usual rule, and so is a credential that is for others.
    assert!(Secret::read(&path, None).is_err());
    let beside = other.path().join("s3.secret");
    set(&beside, 0o440);
    assert!(Secret::read(&beside, folder).is_err());
    for mode in [0o444, 0o460, 0o404] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        assert!(Secret::read(name, folder).is_err(), "{mode:o}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let dir = TempDir::new().expect("folder");
    let path = dir.path().join("key");
    std::fs::write(&path, "sk_test_1\n").expect("written");
    for mode in [0o644, 0o640, 0o604, 0o660] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        let error = Secret::from_file(&path).expect_err("readable");
        assert!(matches!(error, ConfigError::SecretReadable { .. }), "{error}");
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    let secret = Secret::from_file(&path).expect("private");
    assert_eq!(secret.expose(), "sk_test_1");
    assert_eq!(format!("{secret:?}"), "Secret(..)");
    std::fs::write(&path, "\n").expect("written");
    assert!(Secret::from_file(&path).is_err());
}
