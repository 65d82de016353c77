//! Lets people into instances by SSH: shells, commands, files and connections, each a process in the
//! container like any other, with its user, limits and filter. The image needs no daemon.
//!
//! It listens only where it is told to, and knows no people: whoever comes has one of the cell's
//! keys, such as the proxy that stands in front and knows whom to let in where.
//!
//! | Part | Is |
//! |---|---|
//! | [`keys`] | the cell's own key, and whom it lets in |
//! | [`wanted`] | which container a user name means; pure |
//! | `guest` | who someone is inside, and what is started for them |
//! | `connection` | one connection: who comes, and which channels are opened |
//! | `channel` | one channel: from its requests to the end of its process |
//! | `input` | what a client writes until its process reads it |
//! | `guests` | how many there are in each container |

mod channel;
mod connection;
mod guest;
mod guests;
mod input;
pub mod keys;
pub mod wanted;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lattice_daemon::tasks::Tasks;
use russh::server::{self, run_stream};
use russh::{MethodKind, MethodSet};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use self::connection::Connection;
use self::guests::Guests;
use self::keys::Keys;
use crate::rep::Handle;

/// The most connections at once; more are closed as they come.
const CONNECTIONS_MAX: usize = 128;
/// How long a client may take to say who it is.
const GREETING_MAX: Duration = Duration::from_secs(30);
/// How often a client is asked whether it is still there, and how often it may be silent.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVES_MAX: usize = 4;
/// How many packets of one channel may wait to be looked at; what waits for a process does not count.
const CHANNEL_PACKETS_MAX: usize = 16;
/// What a wrong key costs, so that guessing is slow.
const REJECTION: Duration = Duration::from_millis(500);
/// How long a listener that fails, for want of descriptors perhaps, is left alone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where people are let in.
#[derive(Debug, Clone)]
pub struct SshConfig {
    /// Where to listen; port 0 is any.
    pub listen: SocketAddr,
    /// Holds the keys, see [`keys`].
    pub dir: PathBuf,
}

/// Why nobody can be let in.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// The address is not to be had.
    #[error("cannot listen on {address} for SSH: {why}; choose another address or port")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the machine said.
        why: io::Error,
    },
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
}

/// Lets people in until shutdown; says where.
pub async fn serve(config: SshConfig, cell: Handle, tasks: &Tasks) -> Result<SocketAddr, SshError> {
    let keys = Keys::load_or_create(&config.dir)?;
    let failed = |why| SshError::Listen { address: config.listen, why };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("cell ssh", async move {
        shutdown.run_until_cancelled(accept(listener, keys, cell)).await;
    });
    tracing::info!(%address, "people with a key are let into instances by SSH");
    Ok(address)
}

async fn accept(listener: TcpListener, keys: Keys, cell: Handle) {
    let config = Arc::new(server_config(&keys));
    let keys = Arc::new(keys);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let guests = Guests::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection by SSH was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(%from, most = CONNECTIONS_MAX, "too many connections by SSH");
            continue;
        };
        let way_in = (cell.clone(), guests.clone());
        let connection = Connection::new(way_in, Arc::clone(&keys), from);
        let config = Arc::clone(&config);
        tokio::spawn(async move {
            if let Err(error) = converse(config, stream, connection).await {
                tracing::debug!(%from, %error, "a connection by SSH broke off");
            }
            drop(place);
        });
    }
}

async fn converse(
    config: Arc<server::Config>,
    stream: TcpStream,
    connection: Connection,
) -> Result<(), russh::Error> {
    // Keys that are typed should not wait for more.
    stream.set_nodelay(true)?;
    let is_in = connection.is_in();
    let greeting = run_stream(config, stream, connection);
    let session = tokio::time::timeout(GREETING_MAX, greeting).await;
    let mut session = session.map_err(|_| russh::Error::ConnectionTimeout)??;
    tokio::select! {
        ended = &mut session => return ended,
        () = tokio::time::sleep(GREETING_MAX) => {}
    }
    if !is_in.load(Ordering::Relaxed) {
        // Dropped, it would go on in a task of its own.
        let (reason, language) = ("no key was proven in time".to_owned(), String::new());
        let reason_code = russh::Disconnect::ByApplication;
        let _ = session.handle().disconnect(reason_code, reason, language).await;
    }
    session.await
}

fn server_config(keys: &Keys) -> server::Config {
    server::Config {
        server_id: russh::SshId::Standard("SSH-2.0-lattice".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REJECTION,
        // A client asks without any key at first, only to hear what there is.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![keys.host().clone()],
        channel_buffer_size: CHANNEL_PACKETS_MAX,
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_MAX,
        nodelay: true,
        ..server::Config::default()
    }
}
