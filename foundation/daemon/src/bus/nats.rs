//! The bus between machines: NATS. What is published while no server is reached is kept by the
//! client only as far as its queue goes; [`Bus::link`] tells when that may have happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Bus, Link, Message, Subscription};
use crate::tasks::Tasks;

/// Twice what gorouter's client holds by default.
const PENDING_MAX: usize = 131_072;
/// What may wait to be sent.
const OUTGOING_MAX: usize = 65_536;
/// How often the first connection is tried.
const ATTEMPTS_MAX: u32 = 3;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between attempts to reach a server again.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Where NATS is, and who asks.
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// `host:port` of each server; when one goes, another is taken.
    pub servers: Vec<String>,
    /// The user, where one is asked for.
    pub user: String,
    /// Its password.
    pub password: String,
    /// How to speak TLS to the servers; in clear without.
    pub tls: Option<rustls::ClientConfig>,
    /// How often a silent connection is tried; a lost one is spoken of as often.
    pub ping_interval: Duration,
}

/// Why NATS is not there.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// No server was named.
    #[error("no NATS server is named; name at least one")]
    NoServer,
    /// What was named is no address.
    #[error("`{server}` is not the address of a NATS server, such as nats.internal:4222")]
    Address {
        /// What was named.
        server: String,
    },
    /// None could be reached.
    #[error("none of {servers} could be reached in {ATTEMPTS_MAX} attempts")]
    Unreachable {
        /// Who was tried.
        servers: String,
        /// How the last attempt failed.
        source: async_nats::ConnectError,
    },
}

/// The bus.
#[derive(Debug)]
pub struct NatsBus {
    outgoing: mpsc::Sender<Outgoing>,
    lost: Arc<AtomicU64>,
    link: watch::Receiver<Link>,
}

#[derive(Debug)]
enum Outgoing {
    Publish { subject: String, payload: Vec<u8> },
    Subscribe { subject: String, messages: mpsc::Sender<Message>, dropped: Arc<AtomicU64> },
}

impl NatsBus {
    /// Connects, or says why not. Later losses are cured by connecting again, for as long as it
    /// takes.
    pub async fn connect(config: NatsConfig, tasks: &Tasks) -> Result<Self, NatsError> {
        let (events, heard) = mpsc::unbounded_channel();
        let client = connect(&config, &events).await?;
        let servers = config.servers.join(", ");
        info!(servers, "Successfully-connected-to-nats");
        let (told, link) = watch::channel(Link { is_up: true, ups: 1 });
        let (outgoing, orders) = mpsc::channel(OUTGOING_MAX);
        let shutdown = tasks.shutdown().clone();
        let following = follow(heard, told, config.ping_interval);
        let sending = send(client, orders, tasks.clone());
        tasks.spawn("nats", async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = following => {}
                () = sending => {}
            }
        });
        Ok(Self { outgoing, lost: Arc::default(), link })
    }

    fn order(&self, order: Outgoing) {
        if self.outgoing.try_send(order).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                warn!(lost, "messages for NATS were lost: too many wait");
            }
        }
    }
}

impl Bus for NatsBus {
    fn publish(&self, subject: &str, payload: &[u8]) {
        let (subject, payload) = (subject.to_owned(), payload.to_vec());
        self.order(Outgoing::Publish { subject, payload });
    }

    fn subscribe(&self, subject: &str) -> Subscription {
        let (sender, subscription) = Subscription::new(subject, PENDING_MAX);
        let (subject, dropped) = (subject.to_owned(), subscription.dropped.clone());
        self.order(Outgoing::Subscribe { subject, messages: sender, dropped });
        subscription
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }
}

async fn connect(
    config: &NatsConfig,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<Client, NatsError> {
    let servers = addresses(&config.servers)?;
    let mut attempt = 1;
    loop {
        match options(config, events).connect(servers.as_slice()).await {
            Ok(client) => return Ok(client),
            Err(source) if attempt == ATTEMPTS_MAX => {
                return Err(NatsError::Unreachable { servers: config.servers.join(", "), source });
            }
            Err(_) => tokio::time::sleep(ATTEMPT_PAUSE).await,
        }
        attempt += 1;
    }
}

fn addresses(servers: &[String]) -> Result<Vec<async_nats::ServerAddr>, NatsError> {
    if servers.is_empty() {
        return Err(NatsError::NoServer);
    }
    let read =
        |server: &String| server.parse().map_err(|_| NatsError::Address { server: server.clone() });
    servers.iter().map(read).collect()
}

fn options(config: &NatsConfig, events: &mpsc::UnboundedSender<Event>) -> ConnectOptions {
    let events = events.clone();
    let mut options = ConnectOptions::new()
        .name("lattice-router")
        .ping_interval(config.ping_interval)
        .subscription_capacity(PENDING_MAX)
        .retain_servers_order()
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let doubled = u32::try_from(attempts.min(6)).unwrap_or(6);
            (ATTEMPT_PAUSE * 2_u32.pow(doubled)).min(RECONNECT_PAUSE_MAX)
        })
        .event_callback(move |event| {
            // Nobody listens any more when the bus ends.
            let _ = events.send(event);
            std::future::ready(())
        });
    if !config.user.is_empty() || !config.password.is_empty() {
        options = options.user_and_password(config.user.clone(), config.password.clone());
    }
    if let Some(tls) = &config.tls {
        options = options.require_tls(true).tls_client_config(tls.clone());
    }
    options
}

/// Tells how the link is, and speaks of a lost one again and again.
async fn follow(
    mut events: mpsc::UnboundedReceiver<Event>,
    told: watch::Sender<Link>,
    interval: Duration,
) {
    // The first connection is one that everybody knows of already.
    let mut is_first = true;
    let mut lost_at = None;
    // Kept over events: each attempt that fails is one, and they come more often than this.
    let mut again = Instant::now();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = tokio::time::sleep_until(again), if lost_at.is_some() => {
                let seconds = lost_at.map(|at: Instant| at.elapsed().as_secs());
                warn!(seconds, "nats-connection-still-disconnected");
                again = Instant::now() + interval;
                continue;
            }
        };
        match event {
            None => return,
            Some(Event::Connected) if is_first => is_first = false,
            Some(Event::Connected) => {
                lost_at = None;
                info!("nats-connection-reconnected");
                told.send_modify(|link| *link = Link { is_up: true, ups: link.ups + 1 });
            }
            Some(Event::Disconnected) => {
                if lost_at.is_none() {
                    let now = Instant::now();
                    (lost_at, again) = (Some(now), now + interval);
                }
                warn!("nats-connection-disconnected");
                told.send_modify(|link| link.is_up = false);
            }
            Some(other) => warn!(event = %other, "NATS complains"),
        }
    }
}

/// Carries out orders one after the other, so that who subscribes and then asks hears the answer.
async fn send(client: Client, mut orders: mpsc::Receiver<Outgoing>, tasks: Tasks) {
    while let Some(order) = orders.recv().await {
        match order {
            Outgoing::Publish { subject, payload } => {
                if let Err(error) = client.publish(subject, payload.into()).await {
                    warn!(%error, "cannot publish to NATS");
                }
            }
            Outgoing::Subscribe { subject, messages, dropped } => {
                match client.subscribe(subject).await {
                    Ok(heard) => tasks.spawn("nats-subscription", pass(heard, messages, dropped)),
                    Err(error) => warn!(%error, "cannot subscribe at NATS"),
                }
            }
        }
    }
}

/// Passes messages on; those that find the queue full are counted.
async fn pass(
    mut heard: async_nats::Subscriber,
    messages: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
) {
    loop {
        let message = tokio::select! {
            message = heard.next() => message,
            () = messages.closed() => return,
        };
        let Some(message) = message else { return };
        let message = Message {
            subject: message.subject.as_str().into(),
            payload: message.payload.to_vec().into(),
            reply: message.reply.map(|reply| reply.as_str().into()),
        };
        match messages.try_send(message) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

#[cfg(test)]
mod tests;
