//! The dashboard: a page that shows cells, apps and tasks, and as much of `/v1` as it reads.
//!
//! It is served on a host of its own, behind the same gate as the Receptor API, so that the page
//! asks its own origin and no other has to be let in. Nothing can be changed through it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use lattice_api::brain::{Receptor, routes};
use lattice_daemon::gate::Authorized;
use lattice_daemon::tasks::Tasks;

use super::{
    Api, HttpConfig, ListenError, actual_lrps, cells, desired_lrps, events, guarded, listener,
    tasks, version,
};

/// A file of the page: its path, its media type, and what it holds.
type File = (&'static str, &'static str, &'static str);

static FILES: [File; 4] = [
    ("/", "text/html; charset=utf-8", include_str!("dashboard/page.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("dashboard/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("dashboard/page.js")),
    ("/icon.svg", "image/svg+xml", include_str!("dashboard/icon.svg")),
];

/// Nothing from elsewhere, nothing inline, and no page of another's around ours.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What every answer says to browsers. Apps are on the same site, and must neither embed this page
/// nor read what it reads.
const MANNERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Serves the dashboard until shutdown; returns the bound address.
pub async fn serve(
    config: HttpConfig,
    receptor: Arc<dyn Receptor>,
    tasks: &Tasks,
) -> Result<SocketAddr, ListenError> {
    let (listen, limits) = (config.listen, config.limits.listener);
    let app = guarded(router(), receptor, config, tasks.shutdown().clone());
    listener::serve("dashboard", listen, app.layer(map_response(with_manners)), limits, tasks).await
}

/// The page, and what it reads; nothing that changes anything.
fn router() -> Router<Api> {
    let page = FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.0, get(move |_: Authorized| async move { answer(file) }))
    });
    page.route(routes::DESIRED_LRPS, get(desired_lrps::list))
        .route(routes::ACTUAL_LRPS, get(actual_lrps::list))
        .route(routes::TASKS, get(tasks::list))
        .route(routes::CELLS, get(cells::list))
        .route(routes::EVENTS, get(events::stream))
        .route(routes::VERSION, get(version::show))
}

/// The files change with the program only, but a browser cannot know when that changes.
fn answer(&(_, media_type, text): &File) -> Response {
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}

async fn with_manners(mut response: Response) -> Response {
    let manners = MANNERS.map(|(name, value)| (name, HeaderValue::from_static(value)));
    response.headers_mut().extend(manners);
    response
}
