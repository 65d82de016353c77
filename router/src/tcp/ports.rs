//! The owner of TCP routes: which endpoints are behind which port, and which ports are open. A port
//! is open exactly while it has routes.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::log_ingress::LogIngress;
use lattice_model::envelope::Log;
use lattice_model::route::listed;
use lattice_model::wire::registration::TcpRegistration;
use lattice_model::{Envelope, Time};

use super::{Opens, Port};
use crate::StartError;
use crate::config::TcpRules;
use crate::table::key::Key;
use crate::table::{self, Announcement, Editor, Pruned, Registered};

/// The longest name that DNS has.
const NAME_BYTES_MAX: usize = 253;

/// The routes, and their ports.
pub(crate) struct Ports {
    editor: Editor,
    rules: TcpRules,
    opens: Arc<dyn Opens>,
    logs: Arc<dyn LogIngress>,
    ports: BTreeMap<u16, State>,
}

/// Whether a port with routes is listened on.
#[derive(Debug)]
enum State {
    Open(Arc<Port>),
    /// It could not be opened, and is tried again.
    Shut,
}

/// Why a TCP route is not carried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("this router carries no TCP routes")]
    Off,
    #[error(
        "TCP route {port}: the port belongs to the platform; take any but {}", listed(.reserved)
    )]
    Reserved { port: u16, reserved: Vec<u16> },
    #[error("TCP route {port}: this router gives ports from {first} to {last} to routes")]
    OutOfRange { port: u16, first: u16, last: u16 },
    #[error("TCP route {port}: {ports} ports are open already, the most there may be")]
    Full { port: u16, ports: usize },
    #[error("TCP route {port}: `{name}` is no name that a client could ask for")]
    Name { port: u16, name: String },
    #[error("TCP route {port}: the app, instance guid or index is not printable")]
    Unprintable { port: u16 },
    #[error("TCP route {port} is not listened for, and tried again: {why}")]
    Shut { port: u16, why: String },
}

// === impl Ports ===

impl Ports {
    /// No routes yet. The seed decides where each route's round begins.
    pub(crate) fn new(
        rules: TcpRules,
        of_http: table::Rules,
        seed: u64,
        opens: Arc<dyn Opens>,
        logs: Arc<dyn LogIngress>,
    ) -> Self {
        // A port closes with its last endpoint, so that others can have it.
        let of_table = table::Rules { empty_route_kept: Duration::ZERO, ..of_http };
        Self { editor: Editor::new(of_table, seed), rules, opens, logs, ports: BTreeMap::new() }
    }

    /// Notes an endpoint, and opens its port.
    pub(crate) fn register(
        &mut self,
        told: &TcpRegistration,
        (addr, stale_after): (SocketAddr, Duration),
        now: Time,
    ) -> Result<Registered, Refused> {
        let port = told.external_port;
        self.admit(port)?;
        let (key, mut announced) = read(told, addr)?;
        announced.facts.stale_after = Some(stale_after);
        // First the port, so that a route that can be seen can be reached. Somebody may wait there.
        let opened = self.open(port);
        let registered = self.editor.register(&key, &announced, now);
        self.serve(port);
        // A full table leaves a port without routes, and so does a tenant who left his address.
        self.close_unused();
        match registered {
            Registered::Full => Err(Refused::Full { port, ports: self.ports.len() }),
            Registered::Added
            | Registered::Updated
            | Registered::Refreshed
            | Registered::Outdated => opened.map(|()| registered),
        }
    }

    /// Notes that an endpoint has left, and closes its port if it was the last.
    pub(crate) fn unregister(
        &mut self,
        told: &TcpRegistration,
        addr: SocketAddr,
        now: Time,
    ) -> Result<bool, Refused> {
        let (key, announced) = read(told, addr)?;
        let was_there = self.editor.unregister(&key, &announced, now);
        self.close_unused();
        Ok(was_there)
    }

    /// Says in the app's log why a route of its is not carried.
    pub(crate) fn tell(&self, told: &TcpRegistration, why: &str, now: Time) {
        let (app, index) = (told.app.as_str().into(), told.private_instance_index.as_str().into());
        self.logs.emit(Envelope::log(app, index, now, Log::err("RTR".into(), why)));
    }

    /// Forgets endpoints without heartbeats.
    pub(crate) fn prune(&mut self, now: Time, keep_stale: bool) -> Pruned {
        let pruned = self.editor.prune(now, keep_stale);
        self.close_unused();
        pruned
    }

    /// Takes every endpoint for heard of just now.
    pub(crate) fn refresh(&self, now: Time) {
        self.editor.refresh(now);
    }

    /// Whether a port that has routes is not open.
    pub(crate) fn has_shut(&self) -> bool {
        self.ports.values().any(|state| matches!(state, State::Shut))
    }

    /// Tries to open what is not open.
    pub(crate) fn retry(&mut self) {
        let shut = self.ports.iter().filter(|(_, state)| matches!(state, State::Shut));
        let shut: Vec<u16> = shut.map(|(port, _)| *port).collect();
        for port in shut {
            // Why it is shut was said when it was first tried.
            let _ = self.open(port);
            self.serve(port);
        }
    }

    /// How many ports are open.
    pub(crate) fn open_count(&self) -> usize {
        self.ports.values().filter(|state| matches!(state, State::Open(_))).count()
    }

    /// The routes.
    pub(crate) fn table(&self) -> &Arc<table::Table> {
        self.editor.table()
    }

    fn admit(&self, port: u16) -> Result<(), Refused> {
        let rules = &self.rules;
        let (first, last) = (*rules.ports.start(), *rules.ports.end());
        match port {
            _ if rules.addrs.is_empty() => Err(Refused::Off),
            _ if rules.reserved.contains(&port) => {
                Err(Refused::Reserved { port, reserved: rules.reserved.iter().copied().collect() })
            }
            0 => Err(Refused::OutOfRange { port, first, last }),
            _ if !rules.ports.contains(&port) => Err(Refused::OutOfRange { port, first, last }),
            _ if !self.ports.contains_key(&port) && self.ports.len() >= rules.ports_max => {
                Err(Refused::Full { port, ports: self.ports.len() })
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, number: u16) -> Result<(), Refused> {
        if let Some(State::Open(_)) = self.ports.get(&number) {
            return Ok(());
        }
        let port = Arc::new(Port::new(
            number,
            self.rules.connections_per_port_max,
            self.editor.table().clone(),
        ));
        let addrs = self.rules.addrs.iter().map(|ip| SocketAddr::new(*ip, number));
        let opened: Result<Vec<()>, StartError> =
            addrs.map(|addr| self.opens.open(addr, &port)).collect();
        match opened {
            Ok(_) => {
                self.ports.insert(number, State::Open(port));
                Ok(())
            }
            Err(why) => {
                self.opens.close(&port);
                self.ports.insert(number, State::Shut);
                Err(Refused::Shut { port: number, why: cause(&why) })
            }
        }
    }

    fn serve(&self, number: u16) {
        if let Some(State::Open(port)) = self.ports.get(&number) {
            port.serving.cancel();
        }
    }

    fn close_unused(&mut self) {
        let (table, opens) = (self.editor.table(), &self.opens);
        self.ports.retain(|number, state| {
            let is_used = table.has_host(&number.to_string());
            if let (false, State::Open(port)) = (is_used, state) {
                opens.close(port);
            }
            is_used
        });
    }
}

/// The system's reason, where there is one.
fn cause(why: &StartError) -> String {
    match why {
        StartError::Listen { addr, source } => format!("{addr}: {source}"),
        StartError::Worker { .. } | StartError::NoMoreListeners => why.to_string(),
    }
}

fn read(told: &TcpRegistration, addr: SocketAddr) -> Result<(Key, Announcement), Refused> {
    let port = told.external_port;
    let name = told.sni_hostname.to_ascii_lowercase();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        return Err(Refused::Name { port, name: told.sni_hostname.chars().take(100).collect() });
    }
    let (app, instance) = (&told.app, &told.private_instance_id);
    let announced = Announcement::new(addr, app, instance, &told.private_instance_index);
    let announced = announced.ok_or(Refused::Unprintable { port })?;
    Ok((Key { host: port.to_string(), path: name }, announced))
}

#[cfg(test)]
mod tests;
