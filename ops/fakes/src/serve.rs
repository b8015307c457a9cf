//! HTTP servers for loopback that can be told to drop an answer.
//!
//! axum's own server always answers; a stand-in must be able to carry a call out and then close the
//! connection without a byte. Bounded in connections, and drained at shutdown. It must not know what
//! is served. Read next: [`crate::start`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

const CONNECTIONS_MAX: usize = 256;
const HEADER_WAIT: Duration = Duration::from_secs(30);
const DRAIN_WAIT: Duration = Duration::from_secs(2);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Put in an answer's extensions to have the connection closed in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropAnswer;

#[derive(Debug, thiserror::Error)]
#[error("send an answer that is to be dropped")]
struct AnswerDropped;

/// Becomes true once, when everything is to end.
pub(crate) type Stop = watch::Receiver<bool>;

/// Returns when everything is to end, or nobody is left to say so.
pub(crate) async fn stopped(stop: &mut Stop) {
    stop.wait_for(|stop| *stop).await.ok();
}

/// Serves HTTP/1 until told to stop, then gives open connections a moment.
pub(crate) async fn http(listener: TcpListener, router: Router, stop: Stop) {
    serve(listener, router, stop, false).await;
}

/// Serves HTTP/2 without TLS, known to the client beforehand (RFC 9113 section 3.3).
pub(crate) async fn http2(listener: TcpListener, router: Router, stop: Stop) {
    serve(listener, router, stop, true).await;
}

async fn serve(listener: TcpListener, router: Router, mut stop: Stop, is_http2: bool) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accept(&listener, &places) => {
                let Some((stream, place)) = accepted else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let (router, stop) = (router.clone(), stop.clone());
                if is_http2 {
                    connections.spawn(connection2(stream, router, stop, place));
                } else {
                    connections.spawn(connection(stream, router, stop, place));
                }
            }
        }
    }
    drain(connections).await;
}

/// Waits for what is under way, then ends it.
pub(crate) async fn drain(mut tasks: JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_WAIT, all).await.is_err() {
        tasks.shutdown().await;
    }
}

/// The next connection from this machine, within the bound.
pub(crate) async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    let (stream, peer) = listener.accept().await.ok()?;
    peer.ip().to_canonical().is_loopback().then_some((stream, place))
}

async fn connection(
    stream: TcpStream,
    router: Router,
    mut stop: Stop,
    _place: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request| answer(router.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WAIT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
}

async fn connection2(
    stream: TcpStream,
    router: Router,
    mut stop: Stop,
    _place: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request| answer(router.clone(), request));
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
}

/// An answer, or an error that has the connection or the stream reset.
async fn answer(
    router: Router,
    request: hyper::Request<Incoming>,
) -> Result<Response, AnswerDropped> {
    let answer: Result<Response, Infallible> = router.oneshot(request.map(Body::new)).await;
    let Ok(answer) = answer;
    if answer.extensions().get::<DropAnswer>().is_some() {
        return Err(AnswerDropped);
    }
    Ok(answer)
}
