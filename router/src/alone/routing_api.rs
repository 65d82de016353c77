//! Routes of a routing API, beside those that come over the bus: listed every so often, and followed
//! by its events in between. The table's owner is told of them as if the bus had said it.
//!
//! | Part | Is |
//! |---|---|
//! | [`routes`] | what the API says, and what of it is told |
//! | [`server`] | who is asked over HTTP |
//! | [`token`] | what is shown to be let in |

pub(crate) mod routes;
mod server;
mod token;

use std::time::Duration;

use lattice_model::wire::event_stream::Frame;
use reqwest::header::HeaderValue;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::Handle;
use routes::{Change, Known, Route};
pub use server::Fault;
use server::{Events, Server, whole};
use token::Tokens;
pub use token::Uaa;

const ROUTES: &str = "/routing/v1/routes";
const EVENTS: &str = "/routing/v1/events";
/// The longest listing taken, in bytes; a hundred thousand routes are about half of it.
const LISTING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long to wait before events are asked for again; twice as long each time that fails.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(16);

/// Where the API is, and how it lets in.
#[derive(Debug, Clone)]
pub struct RoutingApi {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// How it is known, and what it is shown.
    pub tls: rustls::ClientConfig,
    /// Who gives tokens, where it wants one.
    pub uaa: Option<Uaa>,
    /// How often all routes are listed.
    pub interval: Duration,
}

/// What follows the API.
#[derive(Debug)]
pub(super) struct Follower {
    server: Server,
    tokens: Option<Tokens>,
    interval: Duration,
    known: Known,
    first: Vec<Route>,
}

/// Tries the API, where there is one: a router that cannot reach it is not to start.
pub(super) async fn connect(api: Option<RoutingApi>) -> Result<Option<Follower>, Fault> {
    let Some(api) = api else { return Ok(None) };
    info!("setting-up-routing-api");
    let connected = Box::pin(Follower::connect(api)).await;
    connected.map(Some).inspect_err(|fault| error!(error = %fault, "routing-api-connection-failed"))
}

// === impl Follower ===

impl Follower {
    async fn connect(api: RoutingApi) -> Result<Self, Fault> {
        let server = Server::new(&api.url, &api.tls)?;
        let mut tokens = api.uaa.map(Tokens::new).transpose()?;
        match &mut tokens {
            Some(tokens) => tokens.first().await?,
            None => info!("using-noop-token-fetcher"),
        }
        let (interval, known) = (api.interval, Known::default());
        let mut follower = Self { server, tokens, interval, known, first: Vec::new() };
        follower.first = follower.listed().await?;
        Ok(follower)
    }

    /// Follows it until shutdown.
    pub(super) async fn run(mut self, handle: Handle, shutdown: CancellationToken) {
        info!("syncer-started");
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow(&handle) => {}
        }
    }

    async fn follow(&mut self, handle: &Handle) {
        let first = std::mem::take(&mut self.first);
        self.tell_all(first, handle).await;
        let mut listings = interval_at(Instant::now() + self.interval, self.interval);
        listings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut events, mut pause, mut again_at) = (None, PAUSE, Instant::now());
        loop {
            tokio::select! {
                _ = listings.tick() => self.list(handle).await,
                frame = next(&mut events) => match frame {
                    Ok(frame) => self.hear(&frame, handle).await,
                    Err(fault) => {
                        error!(error = %fault, "failed-getting-next-event");
                        events = None;
                        again_at = Instant::now() + jittered(PAUSE);
                    }
                },
                () = tokio::time::sleep_until(again_at), if events.is_none() => {
                    events = self.subscribed().await;
                    if events.is_some() {
                        pause = PAUSE;
                        // What was said meanwhile is not said again.
                        self.list(handle).await;
                        listings.reset();
                    } else {
                        again_at = Instant::now() + jittered(pause);
                        pause = (pause * 2).min(PAUSE_MAX);
                    }
                }
            }
        }
    }

    async fn subscribed(&mut self) -> Option<Events> {
        info!("subscribing-to-routing-api-event-stream");
        let begun = match self.subscribe().await {
            Err(Fault::Unauthorized) => self.subscribe().await,
            begun => begun,
        };
        begun
            .inspect(|_| info!("Successfully-subscribed-to-routing-api-event-stream"))
            .inspect_err(|fault| {
                error!(error = %fault, "failed-subscribing-to-routing-api-event-stream");
            })
            .ok()
    }

    async fn subscribe(&mut self) -> Result<Events, Fault> {
        let token = self.token().await?;
        let begun = Events::begin(self.server.get(EVENTS, token)).await;
        self.judged(begun)
    }

    /// Lists all routes, and tells of what is new. Without a listing what is known stays.
    async fn list(&mut self, handle: &Handle) {
        debug!("syncer-fetch-routes-started");
        match self.listed().await {
            Ok(routes) => self.tell_all(routes, handle).await,
            Err(fault) => error!(error = %fault, "failed-to-fetch-routes"),
        }
    }

    async fn listed(&mut self) -> Result<Vec<Route>, Fault> {
        let body = match self.listing().await {
            Err(Fault::Unauthorized) => self.listing().await,
            body => body,
        };
        let (routes, odd) =
            routes::listed(&body?).map_err(|error| Fault::Malformed(error.to_string()))?;
        if odd > 0 {
            warn!(routes = odd, "the routing API lists what is no route; those are passed over");
        }
        Ok(routes)
    }

    async fn listing(&mut self) -> Result<Vec<u8>, Fault> {
        let token = self.token().await?;
        let body = whole(self.server.get(ROUTES, token), LISTING_BYTES_MAX).await;
        self.judged(body)
    }

    async fn token(&mut self) -> Result<Option<HeaderValue>, Fault> {
        match &mut self.tokens {
            Some(tokens) => tokens.get().await.map(Some),
            None => Ok(None),
        }
    }

    /// What came back; a token that was refused is not shown again.
    fn judged<T>(&mut self, came: Result<T, Fault>) -> Result<T, Fault> {
        if let (Err(Fault::Unauthorized), Some(tokens)) = (&came, &mut self.tokens) {
            tokens.forget();
        }
        came
    }

    async fn tell_all(&mut self, routes: Vec<Route>, handle: &Handle) {
        debug!(routes = routes.len(), "syncer-refreshing-endpoints");
        for message in self.known.replace(routes) {
            handle.tell(message).await;
        }
    }

    async fn hear(&mut self, frame: &Frame, handle: &Handle) {
        match Change::read(frame) {
            Ok(Some(change)) => {
                if let Some(message) = self.known.change(change) {
                    handle.tell(message).await;
                }
            }
            Ok(None) => debug!(event = frame.name, "an event of no known kind is passed over"),
            Err(error) => {
                warn!(%error, event = frame.name, "an event without a route is passed over")
            }
        }
    }
}

/// The next event; never one where nothing is followed.
async fn next(events: &mut Option<Events>) -> Result<Frame, Fault> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// Up to half as long again, so that routers do not all come back at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + rand::random::<f64>() / 2.0)
}
