//! The configuration of a member: `coordinator.toml` and the environment.
//!
//! Durations are texts such as `"50ms"`; secrets are files. A key that nothing reads stops the start
//! (`fairground_runtime::config`). Read next: `packaging/config/` for the annotated default.

use std::path::PathBuf;

use fairground_runtime::config::{DurationText, SizeText};
use fairground_types::Millis;
use fairground_types::command::MarketPolicy;
use serde::{Deserialize, Serialize};

/// Everything an operator may set for a member.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct Options {
    /// The data directory, made by `init` or `join`.
    pub dir: PathBuf,
    /// Where other daemons reach this one: `address:port`, UDP. Port 0 picks one.
    pub cluster_listen: String,
    /// The same as other machines see it; the listening address when absent.
    pub cluster_advertise: Option<String>,
    /// Console, admin API and webhooks: `address:port`, TCP. Port 0 picks one.
    pub http_listen: String,
    /// Certificate chain, PEM; without it only a loopback address may be listened on.
    pub http_tls_cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub http_tls_key_file: Option<PathBuf>,
    /// Base URL of the console and of webhooks, as others see it.
    pub public_url: String,
    /// Raft's timing.
    pub raft: RaftOptions,
    /// How blobs are kept whole and few.
    pub blobs: BlobOptions,
    /// Base URL of the app that people use, for links in mails about their account; without it such
    /// mails hold a token alone.
    pub app_url: Option<String>,
    /// Mail.
    pub mail: MailOptions,
    /// Text messages.
    pub sms: SmsOptions,
    /// Push messages.
    pub push: PushOptions,
    /// Sign-in by Apple's or Google's word.
    pub sign_in: SignInOptions,
    /// Payments.
    pub stripe: StripeSettings,
    /// Whether the clock of this cluster may be moved by hand, for ever; read once: when it begins.
    pub sandbox: bool,
    /// Events of carriers.
    pub tracking: TrackingOptions,
    /// Answers of whoever checks people.
    pub verification: VerificationOptions,
    /// Rules of the market, read once: when the cluster begins.
    pub policy: MarketPolicy,
    /// `auto`, `json` or `text`.
    pub log_format: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/fairground/coordinator"),
            cluster_listen: "127.0.0.1:7400".to_owned(),
            cluster_advertise: None,
            http_listen: "127.0.0.1:7401".to_owned(),
            http_tls_cert_file: None,
            http_tls_key_file: None,
            public_url: "http://127.0.0.1:7401".to_owned(),
            raft: RaftOptions::default(),
            blobs: BlobOptions::default(),
            app_url: None,
            mail: MailOptions::default(),
            sms: SmsOptions::default(),
            push: PushOptions::default(),
            sign_in: SignInOptions::default(),
            stripe: StripeSettings::default(),
            sandbox: false,
            tracking: TrackingOptions::default(),
            verification: VerificationOptions::default(),
            policy: MarketPolicy::default(),
            log_format: "auto".to_owned(),
        }
    }
}

/// See [`Options::raft`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct RaftOptions {
    /// Between heartbeats of the leader.
    pub heartbeat: DurationText,
    /// Least of the random time that a member adds to `election_max` before it calls an election.
    pub election_min: DurationText,
    /// How long a leader may be silent before a member thinks of an election at all; also the most that
    /// is added.
    pub election_max: DurationText,
    /// Entries between snapshots.
    pub snapshot_entries: u64,
}

impl Default for RaftOptions {
    fn default() -> Self {
        Self {
            heartbeat: DurationText::new(Millis::new(50)),
            election_min: DurationText::new(Millis::new(200)),
            election_max: DurationText::new(Millis::new(400)),
            snapshot_entries: 20_000,
        }
    }
}

/// See [`Options::blobs`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct BlobOptions {
    /// Where they are: `directory` or `s3`; the same for every member of a cluster.
    pub store: BlobStoreKind,
    /// The bucket, when they are in one.
    pub s3: S3Options,
    /// Between looks at what is needed and not here.
    pub repair_period: DurationText,
    /// Most bytes a second that are read to find damaged blobs.
    pub scrub_rate: SizeText,
    /// How long reading everything through takes at least: it goes slower than `scrub_rate` for it.
    pub scrub_period: DurationText,
    /// Between looks at what is of no use.
    pub collect_period: DurationText,
    /// How long a blob must have been of no use before it is removed: longer than anything takes
    /// from storing a blob to naming it.
    pub collect_grace: DurationText,
    /// Most of all blobs, in per cent of their number and of their bytes, that one look may remove;
    /// when it is more, none is.
    pub collect_share_max: u8,
}

impl Default for BlobOptions {
    fn default() -> Self {
        Self {
            store: BlobStoreKind::Directory,
            s3: S3Options::default(),
            repair_period: DurationText::new(Millis::from_secs(60)),
            scrub_rate: SizeText::new(4 << 20),
            scrub_period: DurationText::new(Millis::from_hours(7 * 24)),
            collect_period: DurationText::new(Millis::from_hours(1)),
            collect_grace: DurationText::new(Millis::from_hours(24)),
            collect_share_max: 50,
        }
    }
}

/// See [`BlobOptions::store`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobStoreKind {
    /// A folder of each member, copied from one to the next.
    #[default]
    Directory,
    /// A bucket of an S3-compatible store, which all members share.
    S3,
}

/// See [`BlobOptions::s3`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct S3Options {
    /// The bucket; it must exist.
    pub bucket: String,
    /// What every key begins with; empty is the whole bucket. One cluster, one prefix.
    pub prefix: String,
    /// Base URL of the store; Amazon's own for the region when absent. `http://` on loopback only.
    pub endpoint: Option<String>,
    /// Region that requests are signed for.
    pub region: String,
    /// Whether the bucket stands in the path of a URL instead of its host name.
    pub path_style: bool,
    /// The id of the key that requests are signed with.
    pub access_key_id: String,
    /// The key's secret.
    pub secret_access_key_file: Option<PathBuf>,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            endpoint: None,
            region: "us-east-1".to_owned(),
            path_style: true,
            access_key_id: String::new(),
            secret_access_key_file: None,
        }
    }
}

/// See [`Options::mail`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct MailOptions {
    /// Who sends it: `smtp`, `sendgrid` or `postmark`.
    pub provider: MailProvider,
    /// `host:port` of the mail relay; without it no mail is sent. Plain text only on loopback,
    /// STARTTLS elsewhere.
    pub smtp_address: Option<String>,
    /// User at the relay.
    pub user: Option<String>,
    /// Its password.
    pub password_file: Option<PathBuf>,
    /// Base URL of SendGrid or Postmark; the provider's own when absent.
    pub base_url: Option<String>,
    /// The key of SendGrid, or the server token of Postmark.
    pub key_file: Option<PathBuf>,
    /// How the provider's events are known: SendGrid's public key, or the `user:password` of
    /// Postmark's hook; without it none are taken.
    pub webhook_key_file: Option<PathBuf>,
    /// Sender of every mail.
    pub from: String,
}

/// See [`MailOptions::provider`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailProvider {
    /// A mail relay.
    #[default]
    Smtp,
    /// SendGrid's v3 API.
    Sendgrid,
    /// Postmark's API.
    Postmark,
}

impl Default for MailOptions {
    fn default() -> Self {
        Self {
            provider: MailProvider::Smtp,
            smtp_address: None,
            user: None,
            password_file: None,
            base_url: None,
            key_file: None,
            webhook_key_file: None,
            from: "Fairground <no-reply@fairground.example>".to_owned(),
        }
    }
}

/// See [`Options::sms`]; a Twilio-shaped API.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct SmsOptions {
    /// Base URL; without it no text message is sent.
    pub url: Option<String>,
    /// Account.
    pub account: String,
    /// Its token.
    pub auth_token_file: Option<PathBuf>,
    /// Sender's number.
    pub from: String,
}

/// See [`Options::push`]; without files no push message is sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct PushOptions {
    /// The service account of the Firebase project, JSON; without it none goes by FCM.
    pub fcm_service_account_file: Option<PathBuf>,
    /// Base URL of FCM; Google's own when absent.
    pub fcm_base_url: Option<String>,
    /// Apple's key (`.p8`); without it none goes by APNs.
    pub apns_key_file: Option<PathBuf>,
    /// The key's id.
    pub apns_key_id: String,
    /// The team.
    pub apns_team_id: String,
    /// The app's bundle id.
    pub apns_topic: String,
    /// Base URL of APNs; Apple's own when absent.
    pub apns_base_url: Option<String>,
    /// Base URL of APNs for development builds; Apple's own when absent.
    pub apns_sandbox_url: Option<String>,
}

/// See [`Options::sign_in`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct SignInOptions {
    /// Apps and services that Apple may vouch to; empty is off.
    pub apple_client_ids: Vec<String>,
    /// Where Apple's keys are; Apple's own address when absent.
    pub apple_keys_url: Option<String>,
    /// Clients that Google may vouch to (web, Android, iOS); empty is off.
    pub google_client_ids: Vec<String>,
    /// Where Google's keys are; Google's own address when absent.
    pub google_keys_url: Option<String>,
}

/// See [`Options::stripe`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct StripeSettings {
    /// Base URL; Stripe's own when absent.
    pub base_url: Option<String>,
    /// The secret key; without it payments are off.
    pub secret_key_file: Option<PathBuf>,
    /// The secret of the webhook endpoint (`whsec_...`).
    pub webhook_secret_file: Option<PathBuf>,
    /// The secret before it, while it is being replaced.
    pub webhook_secret_old_file: Option<PathBuf>,
    /// Two letters of the country that makers' payout accounts are made in.
    pub country: String,
    /// Whether events about real money are expected.
    pub live: bool,
}

/// See [`Options::tracking`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct TrackingOptions {
    /// The secret that signs what a carrier's source sends; without it nothing is taken.
    pub webhook_secret_file: Option<PathBuf>,
}

/// See [`Options::verification`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case", deny_unknown_fields)]
pub struct VerificationOptions {
    /// The secret that signs what a source says about a check; without it nothing is taken.
    pub webhook_secret_file: Option<PathBuf>,
}
