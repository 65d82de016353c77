//! The loop: waits for children, pipes and cells, and does what follows.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Instant;

use lattice_shim_protocol::{Answer, MADE, Request, Settings, Stream, agree};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitOptions, wait};

use crate::client::{Client, Gone, Stage};
use crate::oci::{Call, Streams};
use crate::process::{Process, State};
use crate::signals::Signals;

/// The most processes that are remembered; each action of an app has one.
const PROCESSES_MAX: usize = 1024;
/// The most connections at once.
const CLIENTS_MAX: usize = 256;
/// How long is slept at most while something has a deadline.
const TURN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Holds an instance.
#[derive(Debug)]
pub(crate) struct Holder {
    settings: Settings,
    listener: UnixListener,
    signals: Signals,
    container: Container,
    processes: BTreeMap<u64, Process>,
    clients: BTreeMap<u64, Client>,
    /// Children that ended before it was known who they are.
    early: BTreeMap<i32, i32>,
    last_number: u64,
    /// True when this process was asked to end once the container has.
    may_leave: bool,
    is_over: bool,
}

/// The container's init.
#[derive(Debug)]
enum Container {
    /// The OCI runtime is at it.
    Making(Call),
    /// It runs.
    Running(i32),
    /// It has ended, and all in the container with it.
    Ended,
}

/// What is waited for.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Listener,
    Client(u64),
    Output(u64, Stream),
}

// === impl Holder ===

impl Holder {
    /// Begins to make the container.
    pub(crate) fn new(
        settings: Settings,
        listener: UnixListener,
        signals: Signals,
    ) -> io::Result<Self> {
        Ok(Self {
            container: Container::Making(Call::create(&settings)?),
            settings,
            listener,
            signals,
            processes: BTreeMap::new(),
            clients: BTreeMap::new(),
            early: BTreeMap::new(),
            last_number: 0,
            may_leave: false,
            is_over: false,
        })
    }

    /// Holds until the container is gone; an error is why it could not be made.
    pub(crate) fn hold(&mut self) -> io::Result<()> {
        while !self.is_over {
            for source in self.ready()? {
                match source {
                    Source::Signals => self.on_signals()?,
                    Source::Listener => self.accept(),
                    Source::Client(number) => self.on_client(number),
                    Source::Output(number, stream) => {
                        if let Some(process) = self.processes.get_mut(&number) {
                            process.output_mut(stream).read();
                        }
                    }
                }
            }
            self.end_late_calls();
            self.tell_clients();
            self.forget();
        }
        Ok(())
    }

    /// Sleeps until something is there.
    fn ready(&self) -> io::Result<Vec<Source>> {
        let now = Instant::now();
        let mut has_deadline = matches!(self.container, Container::Making(_));
        let mut sources = vec![Source::Signals, Source::Listener];
        let input = PollFlags::IN;
        let mut waits = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), input),
            PollFd::from_borrowed_fd(self.listener.as_fd(), input),
        ];
        for (number, client) in &self.clients {
            let wanted = if client.wants_to_write() { input | PollFlags::OUT } else { input };
            sources.push(Source::Client(*number));
            waits.push(PollFd::from_borrowed_fd(client.as_fd(), wanted));
        }
        for (number, process) in &self.processes {
            has_deadline |= matches!(process.state, State::Starting(_));
            for stream in Stream::BOTH {
                let output = process.output(stream);
                let Some(pipe) = &output.pipe else { continue };
                // An app is held up a little by a cell that is slow, and not at all by one that
                // is away.
                if output.buffer.is_full() && self.is_taken(*number, now) {
                    has_deadline = true;
                    continue;
                }
                sources.push(Source::Output(*number, stream));
                waits.push(PollFd::from_borrowed_fd(pipe.as_fd(), input));
            }
        }
        match poll(&mut waits, has_deadline.then_some(&TURN)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let is_ready = |wait: &PollFd<'_>| !wait.revents().is_empty();
        let ready = sources.into_iter().zip(&waits).filter(|(_, wait)| is_ready(wait));
        Ok(ready.map(|(source, _)| source).collect())
    }

    fn is_taken(&self, process: u64, now: Instant) -> bool {
        let mut clients = self.clients.values();
        clients.any(|client| client.stage == Stage::About(process) && client.is_taking(now))
    }

    fn on_signals(&mut self) -> io::Result<()> {
        let came = self.signals.take();
        self.may_leave |= came.terminate;
        if came.child {
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                let killed = status.terminating_signal().map(|signal| 128 + signal);
                let code = status.exit_status().or(killed).unwrap_or(255);
                self.on_child(pid.as_raw_nonzero().get(), code)?;
            }
            self.settle_early();
        }
        if self.may_leave && matches!(self.container, Container::Ended) {
            self.is_over = true;
        }
        Ok(())
    }

    fn on_child(&mut self, pid: i32, code: i32) -> io::Result<()> {
        match &self.container {
            Container::Making(call) if call.pid() == pid => {
                let init = call.outcome(code).map_err(io::Error::other)?;
                self.container = Container::Running(init);
                return io::stdout().write_all(MADE.as_bytes()).or(Ok(()));
            }
            Container::Running(init) if *init == pid => {
                self.container = Container::Ended;
                return Ok(());
            }
            Container::Making(_) | Container::Running(_) | Container::Ended => {}
        }
        for process in self.processes.values_mut() {
            match &process.state {
                State::Starting(call) if call.pid() == pid => {
                    process.on_called(code, &self.settings);
                    return Ok(());
                }
                State::Running(running) if *running == pid => {
                    process.on_end(code, &self.settings);
                    return Ok(());
                }
                State::Starting(_)
                | State::Running(_)
                | State::Refused(_)
                | State::Ended { .. } => {}
            }
        }
        self.early.insert(pid, code);
        Ok(())
    }

    /// A process may end before the call that started it has: both become known at last.
    fn settle_early(&mut self) {
        for process in self.processes.values_mut() {
            if let State::Running(pid) = process.state
                && let Some(code) = self.early.remove(&pid)
            {
                process.on_end(code, &self.settings);
            }
        }
        if let Container::Running(init) = self.container
            && self.early.remove(&init).is_some()
        {
            self.container = Container::Ended;
        }
        let is_starting = |process: &Process| matches!(process.state, State::Starting(_));
        let is_making = matches!(self.container, Container::Making(_));
        if !is_making && !self.processes.values().any(is_starting) {
            self.early.clear();
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            // More than that is a mistake of the cell's, which is told by hanging up.
            if self.clients.len() < CLIENTS_MAX
                && let Ok(client) = Client::new(stream)
            {
                self.last_number += 1;
                self.clients.insert(self.last_number, client);
            }
        }
    }

    fn on_client(&mut self, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let heard = client.read().and_then(|requests| {
            requests.into_iter().try_for_each(|request| self.on_request(number, request))
        });
        if let Err(Gone) = heard {
            self.hang_up(number);
        }
    }

    fn on_request(&mut self, number: u64, request: Request) -> Result<(), Gone> {
        let client = self.clients.get_mut(&number).ok_or(Gone)?;
        match (client.stage, request) {
            (Stage::New, Request::Hello { oldest, newest }) => match agree(oldest, newest) {
                Some(version) => {
                    client.stage = Stage::Greeted;
                    client.say(&Answer::Welcome { version });
                }
                None => client.refuse(format!(
                    "the cell speaks versions {oldest} to {newest}, and this process none of them"
                )),
            },
            (Stage::Greeted, Request::Run { name, process }) => {
                self.run_process(number, &name, &process);
            }
            (Stage::Greeted, Request::Attach { process, console }) => {
                let streams = streams(client.take_descriptors(), &console);
                let started = streams.and_then(|streams| self.attach_process(&process, streams));
                self.connect(number, started);
            }
            (Stage::Greeted, Request::Quit) => self.is_over = true,
            (Stage::About(about), Request::Consumed { stream, position }) => {
                client.has_taken();
                if let Some(process) = self.processes.get_mut(&about) {
                    process.output_mut(stream).buffer.consume(position);
                }
            }
            (Stage::About(about), Request::Signal { number, family }) => {
                let signal = Signal::from_named_raw(i32::from(number)).ok_or(Gone)?;
                if let Some(process) = self.processes.get(&about) {
                    process.signal(signal, family, &self.settings);
                }
            }
            (Stage::New | Stage::Greeted | Stage::About(_), _) => return Err(Gone),
        }
        Ok(())
    }

    fn run_process(&mut self, client: u64, name: &str, process: &[u8]) {
        let known = self.processes.iter().find(|(_, known)| known.has_name(name));
        let number = match known.map(|(number, _)| *number) {
            Some(number) => Ok(number),
            None => self
                .start_process(|settings, number| Process::start(settings, number, name, process)),
        };
        self.connect(client, number);
    }

    fn attach_process(&mut self, process: &[u8], streams: Streams) -> Result<u64, String> {
        self.start_process(|settings, number| Process::attach(settings, number, process, streams))
    }

    /// The client's connection is about that process from now on, or is told why not.
    fn connect(&mut self, client: u64, process: Result<u64, String>) {
        let Some(client) = self.clients.get_mut(&client) else { return };
        match process {
            Ok(number) => {
                client.stage = Stage::About(number);
                client.has_taken();
            }
            Err(why) => client.refuse(why),
        }
    }

    fn start_process(
        &mut self,
        start: impl FnOnce(&Settings, u64) -> io::Result<Process>,
    ) -> Result<u64, String> {
        if matches!(self.container, Container::Ended) {
            return Err("the container has ended".to_owned());
        }
        let count = self.processes.len();
        if count >= PROCESSES_MAX {
            return Err(format!("the container has {count} processes, and no more are held"));
        }
        self.last_number += 1;
        let number = self.last_number;
        let process = start(&self.settings, number)
            .map_err(|e| format!("cannot call the OCI runtime: {e}"))?;
        self.processes.insert(number, process);
        Ok(number)
    }

    fn hang_up(&mut self, number: u64) {
        let Some(client) = self.clients.remove(&number) else { return };
        let Stage::About(about) = client.stage else { return };
        if let Some(process) = self.processes.get_mut(&about)
            && !process.is_kept()
        {
            process.doom(&self.settings);
        }
    }

    fn end_late_calls(&self) {
        let now = Instant::now();
        self.calls().for_each(|call| call.end_when_late(now));
    }

    /// The calls of the OCI runtime that are under way.
    fn calls(&self) -> impl Iterator<Item = &Call> {
        let making = match &self.container {
            Container::Making(call) => Some(call),
            Container::Running(_) | Container::Ended => None,
        };
        let starting = self.processes.values().filter_map(|process| match &process.state {
            State::Starting(call) => Some(call),
            State::Running(_) | State::Refused(_) | State::Ended { .. } => None,
        });
        making.into_iter().chain(starting)
    }

    fn tell_clients(&mut self) {
        let mut gone = Vec::new();
        for (number, client) in &mut self.clients {
            if let Stage::About(about) = client.stage
                && let Some(process) = self.processes.get(&about)
            {
                client.tell(process);
            }
            if client.wants_to_write() && client.write().is_err() {
                gone.push(*number);
            }
        }
        for number in gone {
            self.hang_up(number);
        }
    }

    /// Forgets what ended and nobody can ask for any more.
    fn forget(&mut self) {
        let clients = &self.clients;
        self.processes.retain(|number, process| {
            let is_refused = matches!(process.state, State::Refused(_));
            let has_client = || clients.values().any(|c| c.stage == Stage::About(*number));
            let may_go = process.is_over() && (is_refused || !process.is_kept());
            !may_go || has_client()
        });
    }
}

/// What came along for a process: its three streams, or the name of a socket beside the settings.
fn streams(descriptors: Vec<OwnedFd>, console: &str) -> Result<Streams, String> {
    if !console.is_empty() {
        let is_here = !console.contains('/') && !console.starts_with('.');
        let place = is_here.then(|| Streams::Terminal(console.into()));
        return place.ok_or_else(|| format!("{console:?} is no socket of this directory"));
    }
    let given = <[OwnedFd; 3]>::try_from(descriptors);
    given.map(Streams::Given).map_err(|other| {
        let count = other.len();
        format!("{count} descriptors came for a process that has three")
    })
}
