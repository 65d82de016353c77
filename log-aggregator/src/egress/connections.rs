//! Accepts connections, no more than the limit, and serves HTTP/1 on each.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lattice_daemon::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service as _;
use tracing::{debug, warn};

use crate::handle::Handle;

const HEAD_PATIENCE: Duration = Duration::from_secs(10);
const LAST_ANSWER_PATIENCE: Duration = Duration::from_secs(3);
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 49\r\n\
    Connection: close\r\n\r\nThe log-aggregator serves too many connections.\r\n";

/// A connection's place among those allowed; a websocket keeps it after the upgrade.
#[derive(Debug, Clone)]
pub(super) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Accepts until shutdown.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    handle: Handle,
    tasks: Tasks,
) {
    let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let mut is_full = false;
    loop {
        let accepted = tokio::select! {
            () = tasks.shutdown().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "connection not accepted");
                sleep(AFTER_FAILED_ACCEPT).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&places).try_acquire_owned() else {
            handle.metrics().connections_refused.add(1);
            if !is_full {
                warn!(connections_max, "connections refused: too many are open");
            }
            is_full = true;
            // It has not been read from; if this does not reach it, the reset does.
            let _ = stream.try_write(TOO_MANY);
            continue;
        };
        is_full = false;
        let place = Place { _permit: Arc::new(permit) };
        let serve = serve(stream, router.clone(), place, tasks.shutdown().clone());
        tasks.spawn("log-aggregator-connection", serve);
    }
}

async fn serve(stream: TcpStream, router: Router, place: Place, shutdown: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(router.clone(), place.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER_PATIENCE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended early");
    }
}

async fn answer(
    mut router: Router,
    place: Place,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(place);
    router.call(request).await
}
