//! Puts the parts together and sets them going.

use std::path::PathBuf;
use std::sync::Arc;

use lattice_api::cell::RepConnector;
use lattice_daemon::clock::Clock;
use lattice_daemon::tasks::Tasks;
use tracing::info;

use crate::actor::{Actor, Handle, Parts};
use crate::board::Board;
use crate::callbacks::Callbacks;
use crate::config::{Config, STORE_FILE};
use crate::custom_domains::Shelf;
use crate::dispatch::{Dispatcher, Keyring, Outbox, Scout};
use crate::events::Hub;
use crate::store::{Sqlite, Store, StoreError, Writer};

/// Why the brain did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory of the store cannot be made.
    #[error("cannot make the data directory {path}")]
    DataDir {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine gives no thread.
    #[error("cannot start the thread of the store")]
    Thread(#[source] std::io::Error),
    /// The client that tells tasks' owners cannot be made.
    #[error("cannot make the client for task callbacks")]
    Client(#[source] reqwest::Error),
}

/// Starts a brain on the store in `config.data_dir`; it ends with `tasks`.
pub async fn start(
    config: Config,
    reps: Arc<dyn RepConnector>,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Handle, StartError> {
    let dir = config.data_dir.clone();
    let open = move || -> Result<Sqlite, StartError> {
        std::fs::create_dir_all(&dir)
            .map_err(|source| StartError::DataDir { path: dir.clone(), source })?;
        Ok(Sqlite::open(&dir.join(STORE_FILE))?)
    };
    let store = tokio::task::spawn_blocking(open)
        .await
        .map_err(|e| StartError::Thread(std::io::Error::other(e)))??;
    start_with(config, store, reps, clock, tasks).await
}

/// Starts a brain on this store.
pub async fn start_with(
    config: Config,
    store: impl Store,
    reps: Arc<dyn RepConnector>,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Handle, StartError> {
    lattice_daemon::install_crypto();
    let writer = Writer::spawn(store).map_err(StartError::Thread)?;
    let mut records = writer.load().await?;
    let kept = std::mem::take(&mut records.credentials);
    let shelf = Shelf::new(
        std::mem::take(&mut records.custom_domains),
        std::mem::take(&mut records.enrolments),
        std::mem::take(&mut records.acme_accounts),
    );
    let keyring = Keyring::new(config.own_registry.clone(), kept);
    info!(
        desired_lrps = records.desired.len(),
        instances = records.actual.len(),
        tasks = records.tasks.len(),
        "store loaded"
    );
    let seed = u64::from_be_bytes(rand::random());
    let board = Board::load(records, config.limits.clone(), seed, clock.now());
    let life = u64::from_be_bytes(rand::random()).max(1);
    let (outbox, hub) = (Outbox::default(), Hub::new(life, config.limits.events));
    let scout = Scout { reps, policy: config.auction, timeout: config.timeouts.cell };
    let parts = Parts {
        writer,
        hub,
        outbox: outbox.clone(),
        keyring: keyring.clone(),
        shelf,
        scout: scout.clone(),
        clock,
    };
    let (actor, handle) = Actor::new(board, parts, &config);
    let (timeout, limits) = (config.timeouts.callback, config.limits.callbacks);
    let callbacks = Callbacks::new(handle.clone(), outbox.clone(), timeout, limits)
        .map_err(StartError::Client)?;
    let dispatcher = Arc::new(Dispatcher { handle: handle.clone(), outbox, keyring, scout });
    let end = tasks.shutdown();
    tasks.critical("brain-actor", actor.run(end.clone()));
    tasks.critical("brain-auction", Arc::clone(&dispatcher).hold_auctions(end.clone()));
    tasks.critical("brain-orders", dispatcher.deliver_orders(end.clone()));
    tasks.critical("brain-callbacks", callbacks.run(end.clone()));
    Ok(handle)
}
