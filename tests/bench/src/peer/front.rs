//! The strongest design on one PostgreSQL: HTTPS in front, one writer, and all bids that wait in one
//! statement, which commits once for all of them.
//!
//! ```text
//!  bidder -> HTTPS -> bounded queue -> writer: up to 1,024 bids -> one statement, one commit -> answers
//! ```
//! The statement judges the bids of a batch in their order, as if they came one by one. The writer is
//! alone, so no row has to be locked. The front asks for no token: that is in the peer's favour.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use fairground_kit::place::free_tcp;
use fairground_load::drive::{Bid, Bidder, Outcome};
use fairground_load::http::{Http, Target};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustix::process::Signal;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Statement};
use tokio_rustls::TlsAcceptor;

use super::postgres::{Postgres, connect};
use crate::place::{LOOPBACK, Place};
use crate::process::{Account, Daemon, Program};

const BATCH_MAX: usize = 1_024;
const QUEUE_MAX: usize = 8_192;
const WAIT: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(20);

/// Judges a batch: a bid counts when it is above the price and above all before it in the batch.
const STATEMENT: &str = "
WITH asked AS (
    SELECT * FROM unnest($1::int[], $2::int[], $3::bigint[]) WITH ORDINALITY
        AS row (auction, bidder, amount, place)
), judged AS MATERIALIZED (
    SELECT asked.*, asked.amount > greatest(auctions.highest, coalesce(max(asked.amount) OVER (
        PARTITION BY asked.auction ORDER BY asked.place
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)) AS leads
    FROM asked JOIN auctions ON auctions.id = asked.auction
), placed AS (
    INSERT INTO bids (auction, bidder, amount)
    SELECT auction, bidder, amount FROM judged WHERE leads ORDER BY place
), raised AS (
    UPDATE auctions SET highest = best.amount, bidder = best.bidder, bids = bids + best.number
    FROM (
        SELECT DISTINCT ON (auction) auction, bidder, amount,
            count(*) OVER (PARTITION BY auction) AS number
        FROM judged WHERE leads ORDER BY auction, amount DESC
    ) best WHERE auctions.id = best.auction
)
SELECT place, leads FROM judged";

/// How the front is started; the bench does it by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct FrontArgs {
    /// Where HTTPS is served.
    #[arg(long)]
    listen: SocketAddr,
    /// How to connect to PostgreSQL.
    #[arg(long)]
    postgres: String,
    /// The certificate, PEM.
    #[arg(long)]
    certificate: PathBuf,
    /// Its key, PEM.
    #[arg(long)]
    key: PathBuf,
    /// Where `ready.json` is written.
    #[arg(long)]
    dir: PathBuf,
}

#[derive(Deserialize)]
struct Asked {
    auction: i32,
    bidder: i32,
    amount: i64,
}

#[derive(Serialize)]
struct Told {
    leads: bool,
}

struct Waiting {
    asked: Asked,
    answer: oneshot::Sender<bool>,
}

/// Serves until it is ended.
pub(crate) async fn serve(arguments: FrontArgs) -> anyhow::Result<()> {
    let link = connect(&arguments.postgres).await?;
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let app = axum::Router::new().route("/bids", post(take)).with_state(sender);
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(&arguments.certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&arguments.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind(arguments.listen).await?;
    let ready = serde_json::json!({"pid": std::process::id()});
    std::fs::write(arguments.dir.join("ready.json"), ready.to_string())?;
    let accepting = async {
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted?.0,
                Some(_) = connections.join_next() => continue,
            };
            stream.set_nodelay(true)?;
            let (acceptor, app) = (acceptor.clone(), app.clone());
            connections.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = TowerToHyperService::new(app);
                // A bidder that hangs up is no fault of the front.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    };
    tokio::select! {
        ended = accepting => ended,
        ended = write(&link.client, receiver) => ended,
    }
}

async fn take(
    State(writer): State<mpsc::Sender<Waiting>>,
    Json(asked): Json<Asked>,
) -> Result<(StatusCode, Json<Told>), StatusCode> {
    let (answer, judged) = oneshot::channel();
    let gone = |_| StatusCode::SERVICE_UNAVAILABLE;
    writer.send(Waiting { asked, answer }).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let leads = judged.await.map_err(gone)?;
    let status = if leads { StatusCode::CREATED } else { StatusCode::CONFLICT };
    Ok((status, Json(Told { leads })))
}

async fn write(client: &Client, mut queue: mpsc::Receiver<Waiting>) -> anyhow::Result<()> {
    let statement = client.prepare(STATEMENT).await?;
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let leads = judge(client, &statement, &batch).await?;
        for (waiting, leads) in batch.drain(..).zip(leads) {
            // A bidder that hung up hears nothing.
            let _ = waiting.answer.send(leads);
        }
    }
    Ok(())
}

async fn judge(
    client: &Client,
    statement: &Statement,
    batch: &[Waiting],
) -> anyhow::Result<Vec<bool>> {
    let auctions: Vec<i32> = batch.iter().map(|waiting| waiting.asked.auction).collect();
    let bidders: Vec<i32> = batch.iter().map(|waiting| waiting.asked.bidder).collect();
    let amounts: Vec<i64> = batch.iter().map(|waiting| waiting.asked.amount).collect();
    let mut judged = vec![false; batch.len()];
    for row in client.query(statement, &[&auctions, &bidders, &amounts]).await? {
        let place = usize::try_from(row.get::<_, i64>(0))?;
        if let Some(slot) = place.checked_sub(1).and_then(|place| judged.get_mut(place)) {
            *slot = row.get(1);
        }
    }
    Ok(judged)
}

/// The front as a process, and where it is.
pub(crate) struct Front {
    daemon: Daemon,
    target: Target,
}

impl Front {
    /// Starts it in front of a server.
    pub(crate) async fn start(place: &Place, postgres: &Postgres) -> anyhow::Result<Self> {
        let dir = place.folder("front")?;
        let address = free_tcp(LOOPBACK)?;
        let (listen, folder) = (address.to_string(), dir.to_string_lossy().into_owned());
        let certificate = place.certificate.to_string_lossy().into_owned();
        let (key, config) = (place.key.to_string_lossy().into_owned(), postgres.config());
        let arguments = [
            "front",
            "--listen",
            &listen,
            "--postgres",
            &config,
            "--certificate",
            &certificate,
            "--key",
            &key,
            "--dir",
            &folder,
        ];
        let own = std::env::current_exe().context("this program's own file")?;
        let program = Program::new("front", Account::Own, &own, &arguments);
        let mut daemon = Daemon::start(program, dir.join("log"), Signal::TERM)?;
        daemon.ready(&dir, PATIENCE).await?;
        let target = Target { address, tls: Some(place.trust.clone()) };
        Ok(Self { daemon, target })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.daemon.pid()
    }

    /// Bidders with open connections.
    pub(crate) async fn bidders(&self, count: usize) -> anyhow::Result<Vec<FrontBidder>> {
        let target = self.target.clone();
        let opened = crate::market::people::in_parallel(count, |number| {
            let target = target.clone();
            async move {
                let head = format!(
                    "POST /bids HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n",
                    target.address
                );
                let mut http = Http::new(target);
                http.open().await?;
                Ok(FrontBidder { number, http, head, request: Vec::new(), body: Vec::new() })
            }
        });
        opened.await
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.daemon.stop().await
    }
}

/// Somebody who bids at the front.
pub(crate) struct FrontBidder {
    number: usize,
    http: Http,
    head: String,
    request: Vec<u8>,
    body: Vec<u8>,
}

impl FrontBidder {
    async fn try_bid(&mut self, bid: Bid) -> std::io::Result<u16> {
        self.body.clear();
        write!(
            self.body,
            "{{\"auction\":{},\"bidder\":{},\"amount\":{}}}",
            bid.auction, self.number, bid.amount
        )?;
        self.request.clear();
        write!(self.request, "{}content-length: {}\r\n\r\n", self.head, self.body.len())?;
        self.request.extend_from_slice(&self.body);
        Ok(self.http.send(&self.request, WAIT).await?.status)
    }
}

impl Bidder for FrontBidder {
    async fn bid(&mut self, bid: Bid) -> Outcome {
        match self.try_bid(bid).await {
            Ok(201) => Outcome::Accepted,
            Ok(409) => Outcome::Refused,
            Ok(_) | Err(_) => Outcome::Undecided,
        }
    }
}
