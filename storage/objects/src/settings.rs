//! How a bucket is reached, and the client that follows from it.
//!
//! It must not print a secret.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long the store may be silent: until it answers a request, and between two pieces of an answer.
const READ_WAIT: Duration = Duration::from_secs(30);
/// Repetitions of a request that failed in a way that may pass.
const RETRIES_MAX: usize = 3;
/// No repetition begins later than this after the first attempt.
const RETRY_WAIT: Duration = Duration::from_secs(60);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Where a bucket is and how it is opened. Without `Debug`: it holds a secret.
#[derive(Clone)]
pub struct S3Settings {
    /// The bucket; it must exist.
    pub bucket: String,
    /// What every key begins with; empty is the whole bucket.
    pub prefix: String,
    /// Base URL; Amazon's own for the region when absent. `http://` on loopback only.
    pub endpoint: Option<String>,
    /// Region that requests are signed for.
    pub region: String,
    /// Whether the bucket stands in the path of a URL instead of its host name.
    pub path_style: bool,
    /// Who asks.
    pub access_key_id: String,
    /// The secret that requests are signed with.
    pub secret_access_key: String,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct SettingError {
    /// The field of [`S3Settings`].
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl SettingError {
    fn new(key: &'static str, problem: impl Into<String>) -> Self {
        Self { key, problem: problem.into() }
    }
}

impl S3Settings {
    /// The client. Nothing is asked of the store yet.
    pub(crate) fn connect(&self) -> Result<Arc<dyn ObjectStore>, SettingError> {
        for (key, text) in [
            ("bucket", &self.bucket),
            ("region", &self.region),
            ("access_key_id", &self.access_key_id),
            ("secret_access_key", &self.secret_access_key),
        ] {
            if text.is_empty() {
                return Err(SettingError::new(key, "a bucket needs one"));
            }
        }
        if !self.prefix.split('/').filter(|part| !part.is_empty()).all(is_plain) {
            let problem = "letters, digits, `-`, `_` and `.` between slashes only";
            return Err(SettingError::new("prefix", problem));
        }
        let is_plain = self.endpoint.as_deref().map_or(Ok(false), check_endpoint)?;
        let options = ClientOptions::new()
            .with_allow_http(is_plain)
            .with_connect_timeout(CONNECT_WAIT)
            .with_read_timeout(READ_WAIT)
            // A large blob takes as long as its reader does; a silent store is given up above.
            .with_timeout_disabled();
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: BACKOFF_FIRST,
                max_backoff: BACKOFF_MAX,
                base: 2.0,
            },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_WAIT,
        };
        let mut builder = AmazonS3Builder::new()
            .with_client_options(options)
            .with_retry(retry)
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_access_key_id(&self.access_key_id)
            .with_secret_access_key(&self.secret_access_key)
            .with_virtual_hosted_style_request(!self.path_style)
            // Not every store that speaks S3 can remove many objects in one request.
            .with_disable_bulk_delete(true);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(self.host(endpoint));
        }
        match builder.build() {
            Ok(client) => Ok(Arc::new(client)),
            Err(error) => Err(SettingError::new("endpoint", error.to_string())),
        }
    }

    /// The endpoint, with the bucket in its host name where it is to stand there.
    fn host(&self, endpoint: &str) -> String {
        let endpoint = endpoint.trim_end_matches('/');
        match endpoint.split_once("://") {
            Some((scheme, rest)) if !self.path_style => {
                format!("{scheme}://{}.{rest}", self.bucket)
            }
            Some(_) | None => endpoint.to_owned(),
        }
    }
}

fn is_plain(part: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    part != "." && part != ".." && part.chars().all(is_name)
}

/// Says whether an endpoint is reached without TLS, which is only allowed on this machine: requests
/// are signed, but blobs that are not published yet would be read on the way.
fn check_endpoint(endpoint: &str) -> Result<bool, SettingError> {
    let refused = |problem: &str| Err(SettingError::new("endpoint", problem));
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return refused("expected `https://host` or, on loopback, `http://host`");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return refused("expected a host, and a port where it is another than the usual one");
    }
    match scheme {
        "https" => Ok(false),
        "http" if is_loopback(authority) => Ok(true),
        "http" => refused("without TLS only an address of this machine is used"),
        _ => refused("expected `https` or `http`"),
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> S3Settings {
        S3Settings {
            bucket: "media".to_owned(),
            prefix: "eu/market-1".to_owned(),
            endpoint: Some("https://objects.fairground.example".to_owned()),
            region: "eu-north-1".to_owned(),
            path_style: true,
            access_key_id: "key".to_owned(),
            secret_access_key: "secret".to_owned(),
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for endpoint in ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:9000/"] {
            assert!(check_endpoint(endpoint).expect("allowed"), "{endpoint}");
        }
        assert!(!check_endpoint("https://objects.fairground.example:9000").expect("allowed"));
        for endpoint in [
            "http://192.0.2.1:9000",
            "http://127.0.0.1.fairground.example",
            "http://127.0.0.1@objects.fairground.example",
            "ftp://127.0.0.1",
            "127.0.0.1:9000",
            "https://",
        ] {
            assert!(check_endpoint(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn a_bucket_stands_in_the_path_or_in_the_host() {
        let mut settings = settings();
        assert_eq!(settings.host("https://a.example/"), "https://a.example");
        settings.path_style = false;
        assert_eq!(settings.host("https://a.example/"), "https://media.a.example");
    }

    #[test]
    fn what_is_missing_or_odd_is_named() {
        assert!(settings().connect().is_ok());
        let mut none = settings();
        none.secret_access_key.clear();
        assert_eq!(none.connect().err().map(|error| error.key), Some("secret_access_key"));
        let mut none = settings();
        none.bucket.clear();
        assert_eq!(none.connect().err().map(|error| error.key), Some("bucket"));
        for prefix in ["a/../b", "a b", "%2f"] {
            let mut odd = settings();
            odd.prefix = prefix.to_owned();
            assert_eq!(odd.connect().err().map(|error| error.key), Some("prefix"), "{prefix}");
        }
    }
}
