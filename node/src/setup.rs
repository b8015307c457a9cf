//! Making an edge: identity, keys, stores, view, sockets, tools; and saying that it serves.
//!
//! Wiring only: every decision is in the part that it belongs to. Read next: `lib.rs` for the order
//! of start and stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fairground_market::PublicView;
use fairground_media::token::cat::{CatIssuer, CatKey};
use fairground_media::{Jail, JailLevel, Launcher, Tools};
use fairground_runtime::clock::Clock;
use fairground_runtime::config::ConfigError;
use fairground_runtime::cursor::CursorKey;
use fairground_runtime::health::Health;
use fairground_runtime::http as listening;
use fairground_runtime::metrics::{self as recording, PrometheusHandle};
use fairground_runtime::pki::{self, Identity};
use fairground_runtime::shutdown::{Shutdown, Tasks};
use fairground_storage::KeyFile;
use fairground_storage::intake::Journal;
use fairground_storage::replica::Replica;
use fairground_storage::segment_cache::{Budget, SegmentCache};
use quinn::Endpoint;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::analytics::{self, Analytics};
use crate::beat::Directory;
use crate::clock::CoordinatorTime;
use crate::delivery::Delivery;
use crate::delivery::meter::Meter;
use crate::delivery::origin::Origin;
use crate::delivery::prefetch::Prefetch;
use crate::edge::Edge;
use crate::error::Error;
use crate::http3::{self, Prepared};
use crate::identity::{self, Joined, Loaded};
use crate::ingest::Uploads;
use crate::ingest::picture::Pictures;
use crate::intake::receipt::ReceiptDesk;
use crate::intake::{DeskParts, IntakeDesk};
use crate::leaving::Leaving;
use crate::link::sibling::Siblings;
use crate::link::{self, Endpoints, Links, Way, chain};
use crate::options::{MediaOptions, Options, Sandbox};
use crate::replica::{Followed, decode_view};
use crate::siblings;
use crate::uplink::UplinkState;
use crate::worker::Work;

/// The parts whose readiness is shown.
pub(crate) const PARTS: [&str; 3] = ["feed", "clock", "bids"];
const READY_FILE: &str = "ready.json";
/// The verb of our own program that fences itself in and becomes a tool.
const JAIL_VERB: &str = "transcode-jail";

/// An edge that is made and not running yet.
pub(crate) struct Started {
    pub(crate) edge: Arc<Edge>,
    pub(crate) identity: Identity,
    pub(crate) tools: Option<Tools>,
    pub(crate) events: analytics::Writer,
    /// Where other edges ask this one.
    pub(crate) siblings: Option<Endpoint>,
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) http3: Option<Prepared>,
    pub(crate) recorder: PrometheusHandle,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    http_addr: SocketAddr,
    cluster_addr: Option<SocketAddr>,
    pid: u32,
}

struct Sockets {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    http3: Option<Prepared>,
    public_url: String,
}

/// Makes an edge.
pub(crate) async fn start(mut options: Options) -> Result<Started, Error> {
    let loaded = identity::load(&options.dir)?;
    unannounce(&options.dir);
    let Loaded { joined, identity, receipt_key } = loaded;
    if !options.name.is_empty() && options.name != joined.edge.name() {
        let problem = format!("this folder is of edge {}", joined.edge.name());
        return Err(Error::Option { option: "name", problem });
    }
    if options.members.is_empty() {
        options.members.clone_from(&joined.members);
    }
    let region =
        if options.region.is_empty() { joined.region.clone() } else { options.region.clone() };
    let sockets = bind(&options).await?;
    let siblings = siblings::bind(&options.sibling_listen, &identity)?;
    let recorder = recording::install()?;
    let tools = find_tools(&options.media).await?;

    let key = KeyFile::load_or_create(&options.dir.join("storage.key"))?;
    let store = Replica::open(&options.dir, &key)?;
    let journal = Journal::open(&options.dir, &key)?;
    let cache = open_cache(&options, &key)?;
    let client = link::client_config(pki::client_config(&identity)?)?;
    let way = Way::quic(Endpoints::bind()?, client);
    let Sockets { listener, tls, http3, public_url } = sockets;
    let parts = Parts {
        options,
        joined,
        region,
        public_url,
        receipt_key,
        clock: Clock::system(),
        way,
        store,
        journal,
        cache,
        tools: tools.clone(),
    };
    let (edge, events) = assemble(parts)?;
    Ok(Started { edge, identity, tools, events, siblings, listener, tls, http3, recorder })
}

/// What an edge is put together from.
pub(crate) struct Parts {
    pub(crate) options: Options,
    pub(crate) joined: Joined,
    pub(crate) region: String,
    pub(crate) public_url: String,
    /// PKCS #8.
    pub(crate) receipt_key: Vec<u8>,
    pub(crate) clock: Clock,
    pub(crate) way: Way,
    pub(crate) store: Replica,
    pub(crate) journal: Journal,
    pub(crate) cache: SegmentCache,
    pub(crate) tools: Option<Tools>,
}

/// Puts an edge together; nothing runs yet.
pub(crate) fn assemble(parts: Parts) -> Result<(Arc<Edge>, analytics::Writer), Error> {
    let Parts { options, joined, receipt_key, clock, way, store, journal, cache, tools, .. } =
        parts;
    let view = Arc::new(Followed::new(load_view(&store)));
    let journal = Arc::new(journal);
    let time = Arc::new(CoordinatorTime::new(clock, journal.standing().last_stamp));
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let links = Links::new(way, joined.cluster, (tasks.clone(), shutdown.clone()));
    let receipts = ReceiptDesk::new(joined.cluster, joined.edge.clone(), &receipt_key)?;
    let cursors = CursorKey::derive(&receipt_key);
    let intake = IntakeDesk::open(DeskParts {
        journal,
        takes_bids: options.takes_bids,
        receipts,
        time: Arc::clone(&time),
        view: Arc::clone(&view),
        tasks: tasks.clone(),
    })?;
    let uploads = Uploads::open(&options.dir, store.clone(), tools.clone())?;
    let pictures = Pictures::open(&options.dir, tools)?;
    let (analytics, events) = Analytics::open(&options.dir, &receipt_key)?;
    let sibling_port =
        options.sibling_listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let siblings = Siblings::new(Arc::clone(&links), sibling_port);
    let origin = Origin::new(cache, Arc::clone(&links), siblings, tasks.clone());
    let meter = Meter::open(&options.dir, options.delivery);
    let delivery = Delivery::new(origin, meter, &joined.edge, cat_issuers(&options)?);
    let edge = Arc::new(Edge {
        options,
        id: joined.edge,
        region: parts.region,
        public_url: parts.public_url,
        tasks,
        shutdown,
        health: Health::new(&PARTS),
        links,
        time,
        view,
        store,
        intake,
        uplink: UplinkState::new(),
        directory: Directory::default(),
        delivery,
        leaving: Leaving::default(),
        prefetch: Prefetch::default(),
        uploads,
        pictures,
        analytics,
        work: Work::default(),
        cursors,
        feed: crate::feed::Feed::new(),
        requests: 0.into(),
        live_streams: 0.into(),
    });
    Ok((edge, events))
}

/// The issuers of Common Access Tokens, with their keys.
fn cat_issuers(options: &Options) -> Result<Vec<CatIssuer>, Error> {
    let issuers = options.cat_issuers.iter().map(|row| -> Result<CatIssuer, Error> {
        let bytes = STANDARD.decode(&row.public_key).ok();
        let key = bytes.and_then(|bytes| CatKey::from_bytes(&bytes)).ok_or_else(|| {
            let problem = format!("the public key of `{}` is neither kind", row.key_id);
            Error::Option { option: "cat_issuers", problem }
        })?;
        let name = (!row.issuer.is_empty()).then(|| row.issuer.clone());
        Ok(CatIssuer { key_id: row.key_id.clone().into_bytes(), name, key })
    });
    issuers.collect()
}

async fn bind(options: &Options) -> Result<Sockets, Error> {
    let address: SocketAddr = options.http_listen.parse().map_err(|_| Error::Option {
        option: "http_listen",
        problem: format!("`{}` is not an address and port", options.http_listen),
    })?;
    let tls = match (&options.http_tls_cert_file, &options.http_tls_key_file) {
        (Some(certificate), Some(key)) => Some(listening::tls_config(certificate, key)?),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let problem = "certificate and key go together".to_owned();
            return Err(Error::Option { option: "http_tls_cert_file", problem });
        }
    };
    let checked: Result<(), ConfigError> = listening::refuse_plain_http(address, tls.is_some());
    checked?;
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|source| Error::Bind { address, source })?;
    let bound = listener.local_addr().map_err(|source| Error::Bind { address, source })?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let public_url = match options.public_url.trim_end_matches('/') {
        "" => format!("{scheme}://{bound}"),
        url => url.to_owned(),
    };
    let http3 = http3::prepare(options, bound, &public_url)?;
    Ok(Sockets { listener, tls, http3, public_url })
}

/// The persisted view; one that is damaged or of another release is fetched again.
fn load_view(store: &Replica) -> PublicView {
    let loaded = match store.load() {
        Ok(None) => return PublicView::default(),
        Ok(Some((_, bytes))) => decode_view(&bytes).map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    loaded.unwrap_or_else(|error| {
        tracing::warn!(error, "the persisted view is of no use and is fetched again");
        PublicView::default()
    })
}

/// The segment cache; a file that cannot be opened holds nothing that is not elsewhere.
fn open_cache(options: &Options, key: &KeyFile) -> Result<SegmentCache, Error> {
    let path = options.dir.join("segments.redb");
    let budget =
        Budget { disk: options.cache.budget.bytes(), memory: options.cache.memory.bytes() };
    match SegmentCache::open(&path, key, budget) {
        Ok(cache) => Ok(cache),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "segment cache made anew");
            std::fs::remove_file(&path).map_err(Error::file(&path))?;
            Ok(SegmentCache::open(&path, key, budget)?)
        }
    }
}

/// The media tools, fenced as configured; `None` where they are absent or cannot be started: this
/// edge then takes no uploads and no transcode jobs.
async fn find_tools(options: &MediaOptions) -> Result<Option<Tools>, Error> {
    let launcher = match options.sandbox {
        Sandbox::Off => None,
        Sandbox::Full | Sandbox::Partial => {
            let program =
                std::env::current_exe().map_err(Error::file(Path::new("/proc/self/exe")))?;
            Some(Launcher { program, verb: JAIL_VERB.to_owned() })
        }
    };
    let given = options.ffmpeg.clone().zip(options.ffprobe.clone());
    let found = match given {
        Some((ffmpeg, ffprobe)) => Ok(Tools { ffmpeg, ffprobe, launcher }),
        None => Tools::find(launcher),
    };
    let tools = match found {
        Ok(tools) => tools,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "no uploads and no transcoding here");
            return Ok(None);
        }
    };
    let asked = tools.clone();
    let level = tokio::task::spawn_blocking(move || Jail::level(&asked)).await;
    let level = level.map_err(|_| Error::Vital)?;
    crate::metrics::jail_level(*level.as_ref().unwrap_or(&JailLevel::Off));
    match (level, options.sandbox) {
        (Ok(JailLevel::Full), _) | (Ok(_), Sandbox::Off) => Ok(Some(tools)),
        (Ok(level), Sandbox::Full) => {
            let problem = format!("this machine enforces only `{}`", level.name());
            Err(Error::Option { option: "media.sandbox", problem })
        }
        (Ok(level), Sandbox::Partial) => {
            tracing::warn!(level = level.name(), "the media tools are not fenced in full");
            Ok(Some(tools))
        }
        (Err(error), Sandbox::Full) => Err(error.into()),
        (Err(error), Sandbox::Partial | Sandbox::Off) => {
            tracing::warn!(error = %chain(&error), "no uploads and no transcoding here");
            Ok(None)
        }
    }
}

/// Says that this edge serves: `DIR/ready.json`.
pub(crate) fn announce(edge: &Edge, address: SocketAddr) -> Result<(), Error> {
    let ready = Ready { http_addr: address, cluster_addr: None, pid: std::process::id() };
    let bytes = serde_json::to_vec(&ready).map_err(Error::Json)?;
    let path = edge.options.dir.join(READY_FILE);
    let new = edge.options.dir.join("ready.json.new");
    std::fs::write(&new, bytes).map_err(Error::file(&new))?;
    std::fs::rename(&new, &path).map_err(Error::file(&path))
}

/// Takes that back; a file that is not there is no error.
pub(crate) fn unannounce(dir: &Path) {
    let path = dir.join(READY_FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, "ready file not removed");
        }
        Ok(()) | Err(_) => {}
    }
}
