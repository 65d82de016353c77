//! Status: whether the router is well, what it routes, and what it has counted (facts 1.14).
//!
//! | Path | Shows | On |
//! |---|---|---|
//! | `/health` | whether load balancers should send requests here | health ports |
//! | `/is-process-alive-do-not-use-for-loadbalancing` | that the process answers | health ports |
//! | `/routes` | the table, to who knows the password | the routes' port |
//! | `/tcp_routes` | TCP routes, which gorouter has not | the routes' port |
//! | `/healthz`, `/varz`, `/routes` | the same for old tooling, if it is asked for | the plain health port |
//! | `/metrics` | Prometheus' text | the metrics' port |

mod process;
mod prometheus;
mod rates;
mod routes;
mod varz;

use core::net::SocketAddr;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use lattice_daemon::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::Handle;
use crate::config::Identity;
pub(crate) use process::open_files;
use rates::Rates;

/// How often requests are looked at for rates.
const TICK: Duration = Duration::from_secs(5);
/// How long a client may take with its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// gorouter's words for health.
const NOT_KEPT: [(header::HeaderName, &str); 2] =
    [(header::CACHE_CONTROL, "private, max-age=0"), (header::EXPIRES, "0")];

/// Where status is shown, and to whom.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Health in clear.
    pub health: Option<SocketAddr>,
    /// Health over TLS.
    pub health_tls: Option<Secured>,
    /// The routes, to who knows the password.
    pub routes: Option<SocketAddr>,
    /// What is counted, to Prometheus.
    pub metrics: Option<SocketAddr>,
    /// The same over TLS.
    pub metrics_tls: Option<Secured>,
    /// Who may see the routes.
    pub user: String,
    /// Their password.
    pub password: String,
    /// Old tooling's paths are shown on the plain health port.
    pub shows_old_paths: bool,
}

/// An address that speaks TLS.
#[derive(Debug, Clone)]
pub struct Secured {
    /// The address.
    pub addr: SocketAddr,
    /// Its certificate, and whom it lets in.
    pub tls: Arc<rustls::ServerConfig>,
}

/// Why status cannot be shown.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} for status; give it another port, or see who has it: ss -ltnp")]
pub struct ListenError {
    addr: SocketAddr,
    source: io::Error,
}

/// What the pages are made of.
pub(crate) struct View {
    pub(crate) router: Handle,
    pub(crate) identity: Identity,
    /// Where the pages of old tooling are.
    pub(crate) host: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) began: Instant,
    pub(crate) rates: Mutex<Rates>,
    load: Mutex<process::Load>,
    is_open: AtomicBool,
}

/// Tells the status servers how the router fares.
#[derive(Clone)]
pub struct Teller {
    view: Arc<View>,
    bound: Vec<SocketAddr>,
}

impl Teller {
    /// The router serves requests from now on.
    pub fn opens(&self) {
        self.view.is_open.store(true, Ordering::Relaxed);
    }

    /// Where status is shown: health, its TLS, routes, metrics, their TLS, as far as they are.
    pub fn bound(&self) -> &[SocketAddr] {
        &self.bound
    }
}

/// Listens on every address, or says which is taken.
pub async fn start(
    status: Status,
    router: Handle,
    identity: Identity,
    tasks: &Tasks,
) -> Result<Teller, ListenError> {
    let own = identity.hosts.first().map_or("", String::as_str);
    let host = status.health.map(|addr| format!("{own}:{}", addr.port()));
    let view = Arc::new(View {
        router,
        host: host.unwrap_or_default(),
        identity,
        user: status.user.clone(),
        password: status.password.clone(),
        began: Instant::now(),
        rates: Mutex::default(),
        load: Mutex::default(),
        is_open: AtomicBool::default(),
    });
    let health = health_pages(&view);
    let old = if status.shows_old_paths { old_pages(&view) } else { Router::new() };
    let metrics =
        || Router::new().route("/metrics", get(prometheus::page)).with_state(view.clone());
    let plain = |addr: Option<SocketAddr>| addr.map(|addr| (addr, None));
    let secured = |at: Option<Secured>| at.map(|at| (at.addr, Some(TlsAcceptor::from(at.tls))));
    let mut bound = Vec::new();
    for (at, pages) in [
        (plain(status.health), health.clone().merge(old)),
        (secured(status.health_tls), health),
        (plain(status.routes), routes_pages(&view)),
        (plain(status.metrics), metrics()),
        (secured(status.metrics_tls), metrics()),
    ] {
        let Some((addr, tls)) = at else { continue };
        let listening = view.router.listening().open_one(addr);
        let listener = listening.and_then(TcpListener::from_std);
        let listener = listener.map_err(|source| ListenError { addr, source })?;
        let addr = listener.local_addr().unwrap_or(addr);
        info!(%addr, is_tls = tls.is_some(), "status is shown");
        bound.push(addr);
        let router = view.router.clone();
        let serving = serve(listener, pages, tls);
        tasks.spawn("router-status", async move {
            tokio::select! {
                () = router.is_left() => {}
                () = serving => {}
            }
        });
    }
    let (ticking, shutdown) = (tick(view.clone()), tasks.shutdown().clone());
    tasks.spawn("router-rates", async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = ticking => {}
        }
    });
    Ok(Teller { view, bound })
}

async fn tick(view: Arc<View>) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let requests = view.router.totals().requests;
        view.rates.lock().expect("no holder panics").tick(requests, TICK);
        view.load.lock().expect("no holder panics").tick(process::taken(), TICK);
    }
}

async fn serve(listener: TcpListener, pages: Router, tls: Option<TlsAcceptor>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A status page is a moment's work; who does not read it is not waited for.
                tokio::spawn(answer(stream, pages.clone(), tls.clone()));
            }
            Err(error) => {
                warn!(%error, "cannot accept connections for status");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, pages: Router, tls: Option<TlsAcceptor>) {
    let server = auto::Builder::new(TokioExecutor::new()).http1_only();
    let service = TowerToHyperService::new(pages);
    let served = match tls {
        None => server.serve_connection(TokioIo::new(stream), service).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => server.serve_connection(TokioIo::new(stream), service).await,
            Ok(Err(_)) | Err(_) => return,
        },
    };
    // Who asks and leaves is nobody's fault.
    let _ = served;
}

fn health_pages(view: &Arc<View>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/is-process-alive-do-not-use-for-loadbalancing", get(alive))
        .with_state(view.clone())
}

fn old_pages(view: &Arc<View>) -> Router {
    let open = Router::new().route("/healthz", get(health)).with_state(view.clone());
    let locked = Router::new()
        .route("/varz", get(varz::page))
        .route("/routes", get(routes::page))
        .layer(middleware::from_fn_with_state(view.clone(), admit))
        .with_state(view.clone());
    open.merge(locked)
}

fn routes_pages(view: &Arc<View>) -> Router {
    Router::new()
        .route("/routes", get(routes::page))
        .route("/tcp_routes", get(routes::tcp_page))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(middleware::from_fn_with_state(view.clone(), admit))
        .with_state(view.clone())
}

async fn health(State(view): State<Arc<View>>) -> Response {
    let is_ending = view.router.is_ending() || view.router.is_closing();
    let is_well = view.is_open.load(Ordering::Relaxed) && !is_ending;
    let answer =
        if is_well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "") };
    (NOT_KEPT, answer.into_response()).into_response()
}

async fn alive() -> Response {
    (NOT_KEPT, "ok\n").into_response()
}

async fn admit(State(view): State<Arc<View>>, request: Request, next: Next) -> Response {
    if view.knows(request.headers()) {
        return next.run(request).await;
    }
    let asks = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))];
    (StatusCode::UNAUTHORIZED, asks, "401 Unauthorized\n").into_response()
}

impl View {
    /// Whether the password is right. Nobody's is while none is set.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Basic "));
        let Some(given) = given.and_then(|text| STANDARD.decode(text.trim()).ok()) else {
            return false;
        };
        let right = format!("{}:{}", self.user, self.password);
        !self.password.is_empty()
            && bool::from(subtle::ConstantTimeEq::ct_eq(&given[..], right.as_bytes()))
    }
}
