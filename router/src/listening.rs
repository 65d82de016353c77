//! Opens listening sockets, one for each worker on the same address, and hands them out; and lets
//! the very sockets pass from one process to the next.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::sync::mpsc;

use crate::StartError;
use crate::config::Side;
use crate::tcp::{Opens, Port};

/// Connections the kernel holds for one worker until it accepts them.
const BACKLOG: i32 = 4096;

/// Keeps listening sockets for the process that comes after this one, however this one ends. Who
/// connects meanwhile waits in their queues.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// All sockets that listen on an address, some of which may be kept already.
    fn keep(&self, addr: SocketAddr, sockets: &[TcpListener]);

    /// Nothing listens there any more: nobody is to wait.
    fn release(&self, addr: SocketAddr);
}

/// Who listens for a router: its workers, each with a socket of its own on each address. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    workers: Vec<mpsc::Sender<Opened>>,
    sockets: Mutex<Sockets>,
    keeper: Option<Arc<dyn Keeper>>,
}

/// The sockets that pass from one process to the next.
#[derive(Debug, Default)]
struct Sockets {
    /// What a predecessor listened on, until it is asked for.
    inherited: HashMap<SocketAddr, Vec<TcpListener>>,
    /// Second descriptors of all that is listened on, where a successor may want them.
    held: Option<Vec<Held>>,
    /// Where a port of TCP routes is listened on.
    of_ports: Vec<(SocketAddr, Arc<Port>)>,
    /// A successor has them all.
    are_given_away: bool,
}

#[derive(Debug)]
struct Held {
    socket: TcpListener,
    /// The port of TCP routes that it is for.
    port: Option<Arc<Port>>,
    /// A successor has it.
    is_given: bool,
}

/// A listening socket for one worker.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) listener: TcpListener,
    pub(crate) serves: Serves,
}

/// What comes in through a listener.
#[derive(Debug, Clone)]
pub(crate) enum Serves {
    /// Requests, and whether under TLS.
    Http(Side, bool),
    /// The connections of a TCP route's port.
    Tcp(Arc<Port>),
}

// === impl Listening ===

impl Listening {
    /// Those workers, on no address yet. Sockets can be handed over only if they are held.
    pub(crate) fn new(
        workers: Vec<mpsc::Sender<Opened>>,
        holds: bool,
        keeper: Option<Arc<dyn Keeper>>,
    ) -> Self {
        let sockets = Sockets { held: holds.then(Vec::new), ..Sockets::default() };
        Self { inner: Arc::new(Inner { workers, sockets: Mutex::new(sockets), keeper }) }
    }

    /// Listens on one more address, with every worker or none, and says which one it became.
    ///
    /// An address is first taken alone: `SO_REUSEPORT` would let two routers of one user share it,
    /// and each would get half of the other's requests.
    pub(crate) fn open(&self, addr: SocketAddr, serves: &Serves) -> Result<SocketAddr, StartError> {
        let mut sockets = self.sockets();
        if sockets.are_given_away {
            return Ok(addr);
        }
        let inherited = sockets.inherited.remove(&addr).unwrap_or_default();
        let is_kept = !inherited.is_empty();
        let opened = self.open_with(&mut sockets, (addr, inherited), serves);
        if opened.is_err() && is_kept {
            // Where nobody accepts nobody is to wait.
            self.release_kept(addr);
        }
        opened
    }

    fn open_with(
        &self,
        sockets: &mut Sockets,
        (addr, inherited): (SocketAddr, Vec<TcpListener>),
        serves: &Serves,
    ) -> Result<SocketAddr, StartError> {
        let workers = &self.inner.workers;
        let refused = |source| StartError::Listen { addr, source };
        let (bound, listeners) = complete(addr, inherited, workers.len()).map_err(refused)?;
        // No worker has more than its share, and none has nothing.
        let takers = workers.iter().cycle().take(listeners.len());
        let places: Result<Vec<_>, _> = takers.map(mpsc::Sender::try_reserve).collect();
        let places = places.map_err(|_| StartError::NoMoreListeners)?;
        let port = match serves {
            Serves::Tcp(port) => Some(port),
            Serves::Http(..) => None,
        };
        sockets.hold(&listeners, port).map_err(refused)?;
        if let Some(keeper) = &self.inner.keeper {
            keeper.keep(bound, &listeners);
        }
        sockets.of_ports.extend(port.map(|port| (bound, port.clone())));
        for (place, listener) in places.into_iter().zip(listeners) {
            place.send(Opened { listener, serves: serves.clone() });
        }
        Ok(bound)
    }

    /// Listens on an address by a single socket, for something else than workers.
    pub(crate) fn open_one(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        let mut sockets = self.sockets();
        let inherited = sockets.inherited.get_mut(&addr).and_then(Vec::pop);
        let listener = match inherited {
            Some(listener) => listener,
            None => {
                let socket = bind(addr, false)?;
                rustix::net::listen(&socket, BACKLOG)?;
                socket
            }
        };
        sockets.hold(std::slice::from_ref(&listener), None)?;
        Ok(listener)
    }

    /// Takes what a predecessor listens on, so that nobody who comes meanwhile is turned away.
    pub(crate) fn inherit(&self, listeners: Vec<TcpListener>) {
        let mut sockets = self.sockets();
        for listener in listeners {
            if let Ok(addr) = listener.local_addr() {
                sockets.inherited.entry(addr).or_default().push(listener);
            }
        }
    }

    /// Closes what was inherited and is not wanted.
    pub(crate) fn disinherit(&self) -> Vec<SocketAddr> {
        let unwanted = std::mem::take(&mut self.sockets().inherited);
        let unwanted = unwanted.into_iter().filter(|(_, left)| !left.is_empty());
        let unwanted: Vec<_> = unwanted.map(|(addr, _)| addr).collect();
        unwanted.iter().for_each(|addr| self.release_kept(*addr));
        unwanted
    }

    /// Second descriptors of everything that is held and was not given yet.
    pub(crate) fn give(&self) -> io::Result<Vec<TcpListener>> {
        let mut sockets = self.sockets();
        let held = sockets.held.as_mut().map(|held| held.iter_mut()).into_iter().flatten();
        let give = |held: &mut Held| {
            held.is_given = true;
            held.socket.try_clone()
        };
        held.filter(|held| !held.is_given).map(give).collect()
    }

    /// Counts nothing as given: who was to have it is gone.
    pub(crate) fn take_back(&self) {
        let mut sockets = self.sockets();
        sockets.held.iter_mut().flatten().for_each(|held| held.is_given = false);
    }

    /// From now on a successor listens, and nothing is opened here.
    pub(crate) fn give_away(&self) {
        self.sockets().are_given_away = true;
        self.release();
    }

    /// Closes the second descriptors: those who accept decide when an address is closed.
    pub(crate) fn release(&self) {
        let mut sockets = self.sockets();
        sockets.held = None;
        sockets.inherited.clear();
    }

    fn release_kept(&self, addr: SocketAddr) {
        if let Some(keeper) = &self.inner.keeper {
            keeper.release(addr);
        }
    }

    pub(crate) fn workers(&self) -> &[mpsc::Sender<Opened>] {
        &self.inner.workers
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.inner.sockets.lock().expect("no holder panics")
    }
}

impl Opens for Listening {
    fn open(&self, addr: SocketAddr, port: &Arc<Port>) -> Result<(), StartError> {
        Self::open(self, addr, &Serves::Tcp(port.clone())).map(drop)
    }

    fn close(&self, port: &Arc<Port>) {
        port.closing.cancel();
        let is_of = |held: &Held| held.port.as_ref().is_some_and(|of| Arc::ptr_eq(of, port));
        let mut sockets = self.sockets();
        if let Some(held) = &mut sockets.held {
            held.retain(|held| !is_of(held));
        }
        for (addr, _) in sockets.of_ports.extract_if(.., |(_, of)| Arc::ptr_eq(of, port)) {
            self.release_kept(addr);
        }
    }
}

impl Sockets {
    /// Takes second descriptors of all of these, or of none.
    fn hold(&mut self, listeners: &[TcpListener], port: Option<&Arc<Port>>) -> io::Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        let second = |listener: &TcpListener| {
            let (socket, port) = (listener.try_clone()?, port.cloned());
            Ok(Held { socket, port, is_given: false })
        };
        held.extend(listeners.iter().map(second).collect::<io::Result<Vec<_>>>()?);
        Ok(())
    }
}

/// Listeners on one address, at least one for each worker; the kernel spreads connections over
/// them. Port 0 picks a free port. All that were inherited stay: closing one would lose who waits
/// in its queue.
fn complete(
    addr: SocketAddr,
    mut listeners: Vec<TcpListener>,
    workers: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let addr = match listeners.first() {
        None => bind(addr, false)?.local_addr()?,
        Some(_) => addr,
    };
    while listeners.len() < workers {
        let listener = bind(addr, true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        listeners.push(listener);
    }
    Ok((addr, listeners))
}

fn bind(addr: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if is_shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    rustix::net::bind(&socket, &addr)?;
    Ok(TcpListener::from(socket))
}
