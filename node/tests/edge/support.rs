//! An edge's folder, its keys, and the edge itself in a task.

use std::path::Path;
use std::time::Duration;

use fairground_market::PublicView;
use fairground_node::{Options, Sandbox};
use fairground_runtime::access::Minter;
use fairground_runtime::clock::Clock;
use fairground_runtime::pki::{self, Ca, Identity, PeerIdentity, Role as Peer};
use fairground_runtime::secret::SigningPair;
use fairground_runtime::shutdown::{Shutdown, Tasks};
use fairground_storage::KeyFile;
use fairground_storage::replica::Replica;
use fairground_types::command::{ClusterKey, KeyPurpose};
use fairground_types::event::{FeedItem, PublicEvent};
use fairground_types::{ClusterId, EdgeId, LogIndex, Role, SignInId, UserId};
use fairground_wire::codec;
use fairground_wire::session::feed::VIEW_VERSION;
use reqwest::{Method, RequestBuilder, Response};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for anything that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The keys and names of a cluster with one edge.
pub(crate) struct World {
    pub(crate) cluster: ClusterId,
    pub(crate) ca: Ca,
    pub(crate) edge: EdgeId,
    pub(crate) access: SigningPair,
    pub(crate) playback: SigningPair,
    pub(crate) receipt: SigningPair,
}

/// A running edge.
pub(crate) struct Running {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    shutdown: Shutdown,
    tasks: Tasks,
}

impl World {
    pub(crate) fn new() -> Self {
        pki::install_provider();
        let cluster = ClusterId::from_bits(5);
        Self {
            cluster,
            ca: Ca::create(cluster, Clock::system().now()).unwrap(),
            edge: EdgeId::new("eu-1", 1).unwrap(),
            access: SigningPair::generate().unwrap(),
            playback: SigningPair::generate().unwrap(),
            receipt: SigningPair::generate().unwrap(),
        }
    }

    /// A certificate of this cluster.
    pub(crate) fn identity(&self, role: Peer) -> Identity {
        let key = pki::new_key_and_csr().unwrap();
        let holder = PeerIdentity { cluster: self.cluster, role };
        let leaf = self.ca.sign(&key.csr, &holder, Clock::system().now()).unwrap();
        let ca = CertificateDer::from_pem_slice(self.ca.certificate_pem().as_bytes()).unwrap();
        Identity::new(leaf, key.key_pem, ca).unwrap()
    }

    /// A folder as a join leaves it.
    pub(crate) fn folder(&self, members: &[String]) -> TempDir {
        self.folder_of(&self.edge, members)
    }

    /// The same for another edge.
    pub(crate) fn folder_of(&self, edge: &EdgeId, members: &[String]) -> TempDir {
        let dir = TempDir::new().unwrap();
        self.identity(Peer::Edge(edge.clone())).save(dir.path(), "edge").unwrap();
        let receipt = dir.path().join("receipt.key");
        pki::write_private(&receipt, self.receipt.expose_pkcs8()).unwrap();
        let facts = json!({
            "cluster": self.cluster, "edge": edge, "region": "eu", "members": members,
        });
        pki::write_private(&dir.path().join("edge.json"), facts.to_string().as_bytes()).unwrap();
        dir
    }

    pub(crate) fn keys(&self) -> Vec<ClusterKey> {
        let key = |kid: &str, purpose, pair: &SigningPair| ClusterKey {
            kid: kid.to_owned(),
            purpose,
            public: *pair.public(),
        };
        vec![
            key("1", KeyPurpose::Access, &self.access),
            key("1", KeyPurpose::Playback, &self.playback),
        ]
    }

    /// An access token.
    pub(crate) fn token(&self, user: UserId, roles: &[Role]) -> String {
        let minter = Minter::new(self.cluster, self.access.expose_pkcs8(), "1").unwrap();
        minter.mint(user, SignInId::from_bits(1), roles, Clock::system().now()).unwrap()
    }

    /// Persists a view with the cluster's keys and these events, as an earlier run would have.
    pub(crate) async fn persist_view(&self, dir: &Path, more: Vec<PublicEvent>) {
        let mut events = vec![PublicEvent::ClusterInitialised { cluster: self.cluster }];
        events.extend(self.keys().into_iter().map(|key| PublicEvent::KeyAdded { key }));
        events.extend(more);
        let mut view = PublicView::default();
        view.fold(&FeedItem { index: LogIndex(7), at: Clock::system().now(), events });
        let key = KeyFile::load_or_create(&dir.join("storage.key")).unwrap();
        let store = Replica::open(dir, &key).unwrap();
        store.save(LogIndex(7), codec::encode_state(VIEW_VERSION, &view).unwrap()).await.unwrap();
    }
}

/// Configuration of a test edge: loopback, no fence, few bytes.
pub(crate) fn options(dir: &Path) -> Options {
    let mut options =
        Options { dir: dir.to_owned(), http_listen: "127.0.0.1:0".into(), ..Options::default() };
    options.media.sandbox = Sandbox::Off;
    options.transcode.enabled = false;
    options
}

/// Starts an edge and waits until it serves.
pub(crate) async fn start(options: Options) -> Running {
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let ready = options.dir.join("ready.json");
    // What an earlier run that was killed left would be taken for this one's.
    let _ = std::fs::remove_file(&ready);
    let token = shutdown.clone();
    tasks.spawn_one("edge", async move {
        fairground_node::run(options, token).await.expect("ran");
    });
    let ready: Value = until("the edge serves", || async {
        std::fs::read(&ready).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
    })
    .await;
    let base = format!("http://{}", ready["httpAddr"].as_str().unwrap());
    Running { base, client: reqwest::Client::new(), shutdown, tasks }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        assert!(self.tasks.join(PATIENCE).await.is_empty(), "the edge stops");
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// A signed-in POST with a key.
    pub(crate) async fn post(&self, path: &str, token: &str, key: &str, body: &Value) -> Response {
        self.request(Method::POST, path)
            .bearer_auth(token)
            .header("Idempotency-Key", key)
            .json(body)
            .send()
            .await
            .unwrap()
    }
}

/// Waits until `look` finds something.
pub(crate) async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Status and code of a problem; checks that it is one.
pub(crate) async fn problem(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert!(body["requestId"].is_string());
    (status, body)
}
