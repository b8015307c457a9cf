//! A cluster in one process: every member in a runtime of its own, so that dropping the runtime is
//! as sudden as a kill. Talks to members as strangers do, by HTTP and QUIC.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fairground_coordinator::{Error, InitOptions, JoinOptions, Options, init, join, run};
use fairground_runtime::config::DurationText;
use fairground_runtime::shutdown::Shutdown;
use fairground_runtime::telemetry::{self, Format};
use fairground_types::Millis;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

pub(crate) mod edge;

/// How long any single thing may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running member.
pub(crate) struct TestMember {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) http: SocketAddr,
    runtime: Runtime,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), Error>>,
}

fn free_addresses() -> (SocketAddr, SocketAddr) {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    (udp.local_addr().expect("bound"), tcp.local_addr().expect("bound"))
}

/// Settings of a member in `folder`, on ports that are free now.
pub(crate) fn options(folder: &Path, name: &str) -> Options {
    let (cluster, http) = free_addresses();
    let mut options = Options {
        dir: folder.join(name),
        cluster_listen: cluster.to_string(),
        http_listen: http.to_string(),
        public_url: format!("http://{http}"),
        ..Options::default()
    };
    options.raft.heartbeat = DurationText::new(Millis::new(100));
    options.raft.election_min = DurationText::new(Millis::new(500));
    options.raft.election_max = DurationText::new(Millis::new(1_000));
    options.raft.snapshot_entries = 40;
    // The stories of these tests have one clip.
    options.policy.stories.clips_min = 1;
    options
}

impl TestMember {
    /// Begins a cluster and starts its first member.
    pub(crate) async fn found(options: Options) -> Self {
        init(&InitOptions { options: options.clone() }).expect("the cluster begins");
        Self::start(options).await
    }

    /// Joins with a token and starts.
    pub(crate) async fn join(options: Options, token: &str) -> Self {
        let joining = JoinOptions { options: options.clone(), token: token.to_owned() };
        join(&joining).await.expect("the member joins");
        Self::start(options).await
    }

    /// Starts a member that is set up.
    pub(crate) async fn start(options: Options) -> Self {
        // The second member finds it started; both write to the same place.
        let _ = telemetry::init("coordinator", "test", Format::Text);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let shutdown = Shutdown::new();
        let task = runtime.spawn(run(options.clone(), shutdown.clone()));
        let ready = options.dir.join("ready.json");
        let http = eventually("the member is ready", async || {
            assert!(!task.is_finished(), "the member stopped while starting");
            let text = std::fs::read_to_string(&ready).ok()?;
            let value: Value = serde_json::from_str(&text).ok()?;
            value["httpAddr"].as_str()?.parse().ok()
        })
        .await;
        Self { dir: options.dir.clone(), options, http, runtime, shutdown, task }
    }

    /// Stops at once, as a kill does: nothing is handed over, flushed or closed in order.
    pub(crate) async fn kill(self) -> Options {
        let Self { options, runtime, task, .. } = self;
        task.abort();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10)))
            .await
            .expect("the runtime ends");
        let _ = std::fs::remove_file(options.dir.join("ready.json"));
        options
    }

    /// Stops in order.
    pub(crate) async fn stop(self) -> Options {
        self.shutdown.trigger();
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("stops in time");
        ended.expect("no panic").expect("no error");
        let runtime = self.runtime;
        tokio::task::spawn_blocking(move || drop(runtime)).await.expect("the runtime ends");
        self.options
    }

    fn admin_key(&self) -> String {
        std::fs::read_to_string(self.dir.join("admin.key")).expect("the admin key")
    }

    /// One call by the operator of this machine.
    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let url = format!("http://{}{path}", self.http);
        let key = format!("Admin {}", self.admin_key());
        let mut request = reqwest::Client::new()
            .request(method, url)
            .timeout(Duration::from_secs(15))
            .header("authorization", key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                let text = response.text().await.unwrap_or_default();
                Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
            }
            Err(_) => Answer { status: 0, body: Value::Null },
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call(reqwest::Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(reqwest::Method::POST, path, Some(body)).await
    }

    pub(crate) async fn status(&self) -> Value {
        self.get("/v1/admin/status").await
    }

    /// A join token.
    pub(crate) async fn token(&self, role: &str, ttl_ms: u64) -> String {
        let body = json!({ "role": role, "region": "eu", "ttlMs": ttl_ms });
        let answer = self.post("/v1/cluster/tokens", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["token"].as_str().expect("a token").to_owned()
    }

    /// Makes an account; says whether the log took it.
    pub(crate) async fn make_account(&self, number: usize) -> bool {
        let body = json!({ "identifier": format!("buyer-{number}@fairground.example"),
            "channel": "email", "handle": format!("buyer-{number}"), "roles": [] });
        self.post("/v1/cluster/accounts", body).await.status == 200
    }
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until every member has applied the same log alike, and gives the digest.
pub(crate) async fn equal_digests(from: &TestMember, members: usize) -> String {
    eventually("equal digests on all members", async || {
        let status = from.status().await;
        let rows = status["members"].as_array()?.clone();
        let digests: Vec<String> =
            rows.iter().filter_map(|row| row["digest"].as_str().map(str::to_owned)).collect();
        let applied: Vec<u64> =
            rows.iter().filter_map(|row| row["appliedIndex"].as_u64()).collect();
        let voters = rows.iter().filter(|row| row["role"] == "voter").count();
        let is_level = applied.iter().all(|index| Some(index) == applied.first());
        let first = digests.first()?.clone();
        let is_equal = digests.len() == members && digests.iter().all(|digest| *digest == first);
        if digests.len() == members && is_level {
            assert!(is_equal, "members differ: {status}");
        }
        (is_equal && is_level && voters == members).then_some(first)
    })
    .await
}
