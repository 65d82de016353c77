//! A service manager, as far as it is one to `lattice up`: it hears what it is told, and keeps
//! sockets from one process to the next (sd_notify(3)).

use std::collections::BTreeSet;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use rustix::fs::fstat;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::PATIENCE;

/// The first of the numbers under which sockets are passed on; nothing else is so high.
const FIRST: i32 = 700;
/// The most that come with one message.
const AT_ONCE: usize = 253;

/// The manager.
pub struct Supervisor {
    place: PathBuf,
    told: Receiver<String>,
    store: Store,
}

/// Sockets by name.
type Store = Arc<Mutex<Vec<(String, OwnedFd)>>>;

/// Sockets on their way to the next process; they are closed here with this.
pub struct Passed {
    sockets: Vec<OwnedFd>,
}

impl Supervisor {
    /// One that listens in this directory.
    pub fn new(dir: &Path) -> Self {
        let place = dir.join("notify");
        let socket = UnixDatagram::bind(&place).unwrap();
        let (telling, told) = channel();
        let store = Store::default();
        let kept = store.clone();
        std::thread::spawn(move || while hear(&socket, &kept, &telling).is_some() {});
        Self { place, told, store }
    }

    /// Where it is told things, for `NOTIFY_SOCKET`.
    pub fn place(&self) -> &str {
        self.place.to_str().unwrap()
    }

    /// The next thing that it is told of the process itself.
    pub fn heard(&self) -> String {
        self.told.recv_timeout(PATIENCE).expect("the service manager is told something")
    }

    /// The names of what it keeps, in order, each once.
    pub fn kept(&self) -> Vec<String> {
        let store = self.store.lock().unwrap();
        let mut names: Vec<String> = store.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Passes all that it keeps to every process that is started until this is dropped.
    pub fn pass(&self) -> Passed {
        let store = self.store.lock().unwrap();
        let pass = |(nth, (_, socket)): (usize, &(String, OwnedFd))| {
            let number = FIRST + i32::try_from(nth).unwrap();
            let socket = fcntl_dupfd_cloexec(socket, number).unwrap();
            fcntl_setfd(&socket, FdFlags::empty()).unwrap();
            socket
        };
        Passed { sockets: store.iter().enumerate().map(pass).collect() }
    }
}

impl Passed {
    /// What the process finds in its environment.
    pub fn env(&self) -> Vec<(String, String)> {
        let said = [
            ("LISTEN_FDS", self.sockets.len().to_string()),
            ("LISTEN_FDS_FIRST_FD", FIRST.to_string()),
        ];
        said.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

fn hear(socket: &UnixDatagram, store: &Store, telling: &Sender<String>) -> Option<()> {
    let (mut bytes, mut space) =
        ([0; 512], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))]);
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let read = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut beside, flags).ok()?;
    let said = String::from_utf8_lossy(&bytes[..read.bytes]).into_owned();
    let name = said.lines().find_map(|line| line.strip_prefix("FDNAME="));
    let name = name.unwrap_or_default().to_owned();
    let mut store = store.lock().unwrap();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(sockets) = message {
            store.extend(sockets.map(|socket| (name.clone(), socket)));
            // One that was there already is kept once.
            let mut seen = BTreeSet::new();
            store.retain(|(_, socket)| seen.insert(fstat(socket).unwrap().st_ino));
        }
    }
    if said.lines().any(|line| line == "FDSTOREREMOVE=1") {
        store.retain(|(of, _)| *of != name);
    } else if !said.contains("FDSTORE=1") {
        telling.send(said.trim().to_owned()).ok()?;
    }
    Some(())
}
