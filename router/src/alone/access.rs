//! Where the access lines of a router of its own go: a file, a syslog server, a metron agent. One
//! thread writes them; when it is slow, lines are lost and counted, and no request waits.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lattice_daemon::tasks::Tasks;
use lattice_model::Envelope;
use lattice_model::envelope::{Log, Message};
use serde::Deserialize;
use tracing::warn;

use super::agent::{Agent, socket_to};
use super::metron::Metron;
use crate::access_log;
use crate::records::{Record, Written};

/// How many lines are written at once.
const BATCH_MAX: usize = 1024;
/// How long lines gather before the next ones are written: to be woken for a few of them takes more
/// than to write many.
const GATHER: Duration = Duration::from_millis(5);
/// How much memory is kept for the text of lines.
const TEXT_KEPT_BYTES_MAX: usize = 1024 * 1024;
/// How often it is said that lines are lost.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// User-level messages, informational (RFC 5424 6.2.1).
const PRIORITY: u8 = 14;
/// How long a syslog server that is gone is left alone.
const SYSLOG_REST: Duration = Duration::from_secs(1);
const SYSLOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Where lines go; nowhere by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// A file that lines are appended to.
    pub file: Option<PathBuf>,
    /// A syslog server.
    pub syslog: Option<Syslog>,
    /// A metron agent, which gets the lines of apps, or is told of each request.
    pub metron: Option<Metron>,
}

/// A syslog server that takes RFC 5424.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// `udp` or `tcp`.
    pub network: Network,
    /// `host:port`.
    pub address: String,
    /// Who writes.
    #[serde(default = "gorouter")]
    pub tag: String,
    /// The longest message in bytes, without what ends it; longer ones are cut. 0 for any length.
    #[serde(default)]
    pub bytes_max: usize,
}

/// How a syslog server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A datagram for each line.
    Udp,
    /// A stream, each line ended by a line feed, as gorouter writes it (RFC 6587 3.4.2).
    Tcp,
}

/// What of it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file.
    #[error("cannot append access lines to {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread.
    #[error("cannot start the writer of access lines")]
    Thread(#[source] io::Error),
}

fn gorouter() -> String {
    "gorouter".to_owned()
}

impl Access {
    /// Whether lines go nowhere.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether records are to hold requests.
    pub fn wants_served(&self) -> bool {
        self.metron.as_ref().is_some_and(Metron::wants_served)
    }
}

/// Starts the writer; it ends when the router has.
pub fn start(
    access: Access,
    written: Written,
    tasks: &Tasks,
) -> Result<JoinHandle<()>, AccessError> {
    let file = access.file.map(Appended::new).transpose()?;
    let syslog = access.syslog.map(Stream::new);
    let thread = std::thread::Builder::new().name("access-log".to_owned());
    let metron = access.metron.map(|metron| {
        let agent = Agent::at(&metron.address, tasks);
        (metron, agent)
    });
    let run = move || Writer { file, syslog, metron }.run(written);
    thread.spawn(run).map_err(AccessError::Thread)
}

struct Writer {
    file: Option<Appended>,
    syslog: Option<Stream>,
    metron: Option<(Metron, Agent)>,
}

impl Writer {
    fn run(&mut self, written: Written) {
        let Written { mut records, unwritten } = written;
        let (mut batch, mut text) = (Vec::new(), Vec::new());
        loop {
            let many = records.blocking_recv_many(&mut batch, BATCH_MAX);
            if many == 0 {
                return;
            }
            let lost = self.write(&batch, &mut text);
            unwritten.fetch_add(lost as u64, Ordering::Relaxed);
            batch.clear();
            if many < BATCH_MAX {
                std::thread::sleep(GATHER);
            }
        }
    }

    /// Writes lines wherever they go; how many did not get to all these places. `text` is memory to
    /// write in.
    fn write(&mut self, records: &[Record], text: &mut Vec<u8>) -> usize {
        let in_file = self.file.as_mut().map(|file| file.append(records, text));
        let mut lost = 0;
        for (place, record) in records.iter().enumerate() {
            if let Some((metron, agent)) = &self.metron {
                metron.tell(record, agent);
            }
            let is_sent = self.syslog.as_mut().is_none_or(|syslog| syslog.send(&record.envelope));
            lost += usize::from(!is_sent || in_file.is_some_and(|lines| place >= lines));
        }
        lost
    }
}

/// A file that lines are appended to.
struct Appended {
    file: File,
    /// Whether it ends with a part of a line.
    is_torn: bool,
    said_at: Option<Instant>,
}

impl Appended {
    fn new(path: PathBuf) -> Result<Self, AccessError> {
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let file = opened.map_err(|source| AccessError::File { path, source })?;
        Ok(Self { file, is_torn: false, said_at: None })
    }

    /// Appends lines; how many of them are there then.
    fn append(&mut self, records: &[Record], text: &mut Vec<u8>) -> usize {
        text.clear();
        text.shrink_to(TEXT_KEPT_BYTES_MAX);
        text.extend(self.is_torn.then_some(b'\n'));
        let mut ends = Vec::with_capacity(records.len());
        for record in records {
            if let Message::Log(log) = &record.envelope.message {
                text.extend_from_slice(&log.payload);
                text.push(b'\n');
            }
            ends.push(text.len());
        }
        let written = self.write(text);
        ends.partition_point(|end| *end <= written)
    }

    /// Writes as much of it as there is space for.
    fn write(&mut self, text: &[u8]) -> usize {
        let mut written = 0;
        while written < text.len() {
            match self.file.write(&text[written..]) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.say(&error);
                    break;
                }
            }
        }
        if let Some(last) = text[..written].last() {
            self.is_torn = *last != b'\n';
        }
        written
    }

    fn say(&mut self, error: &io::Error) {
        if self.said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            warn!(%error, "access lines are lost: they cannot be appended to their file");
            self.said_at = Some(Instant::now());
        }
    }
}

/// The way to a syslog server.
struct Stream {
    syslog: Syslog,
    host: String,
    connected: Option<Connected>,
    failed_at: Option<Instant>,
}

enum Connected {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Stream {
    fn new(syslog: Syslog) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { syslog, host, connected: None, failed_at: None }
    }

    /// Whether it was sent.
    fn send(&mut self, envelope: &Envelope) -> bool {
        let Message::Log(log) = &envelope.message else { return true };
        if self.failed_at.is_some_and(|at| at.elapsed() < SYSLOG_REST) {
            return false;
        }
        let message = message(&self.syslog, &self.host, envelope, log);
        let sent = self.try_send(message);
        if let Err(error) = &sent {
            warn!(%error, address = self.syslog.address, "access lines do not reach syslog");
            (self.connected, self.failed_at) = (None, Some(Instant::now()));
        }
        sent.is_ok()
    }

    fn try_send(&mut self, mut message: Vec<u8>) -> io::Result<()> {
        let connected = match &mut self.connected {
            Some(connected) => connected,
            none => none.insert(self.syslog.connect()?),
        };
        match connected {
            Connected::Udp(socket) => socket.send(&message).map(drop),
            Connected::Tcp(stream) => {
                // Lines hold no other line feed: what clients send is quoted in them.
                if !message.ends_with(b"\n") {
                    message.push(b'\n');
                }
                stream.write_all(&message)
            }
        }
    }
}

impl Syslog {
    fn connect(&self) -> io::Result<Connected> {
        let mut addrs = self.address.to_socket_addrs()?;
        let addr = addrs.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        match self.network {
            Network::Udp => socket_to(addr).map(Connected::Udp),
            Network::Tcp => {
                let stream = TcpStream::connect_timeout(&addr, SYSLOG_TIMEOUT)?;
                stream.set_write_timeout(Some(SYSLOG_TIMEOUT))?;
                Ok(Connected::Tcp(stream))
            }
        }
    }
}

/// `<14>1 TIME HOST TAG PID - - LINE`.
fn message(syslog: &Syslog, host: &str, envelope: &Envelope, log: &Log) -> Vec<u8> {
    let mut head = format!("<{PRIORITY}>1 ");
    access_log::timestamp(&mut head, envelope.timestamp);
    head.push_str(&format!(" {host} {} {} - - ", syslog.tag, std::process::id()));
    let mut message = head.into_bytes();
    message.extend_from_slice(&log.payload);
    if syslog.bytes_max > 0 {
        message.truncate(syslog.bytes_max);
    }
    message
}

#[cfg(test)]
mod tests {
    use lattice_daemon::log_ingress::LogIngress as _;
    use lattice_model::Time;
    use lattice_model::wire::dropsonde;

    use super::*;
    use crate::records;

    fn syslog(network: Network, address: String) -> Syslog {
        Syslog { network, address, tag: gorouter(), bytes_max: 0 }
    }

    fn line(app: &str, text: &str) -> Envelope {
        Envelope::log(app.into(), "0".into(), Time(0), Log::out("RTR".into(), text))
    }

    #[test]
    fn lines_reach_file_syslog_and_metron() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let metron = UdpSocket::bind("127.0.0.1:0").unwrap();
        let access = Access {
            file: Some(path.clone()),
            syslog: Some(syslog(Network::Udp, server.local_addr().unwrap().to_string())),
            metron: Some(Metron {
                address: metron.local_addr().unwrap().to_string(),
                tells_lines: true,
                ..Metron::default()
            }),
        };
        let (ingress, egress) = records::channel(false);
        let writer = start(access, egress, &Tasks::default()).unwrap();
        ingress.emit(line("", "unknown route"));
        ingress.emit(line("web", "a request"));
        drop(ingress);
        writer.join().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "unknown route\na request\n");
        let mut datagram = [0; 2048];
        for expected in ["unknown route", "a request"] {
            let n = server.recv(&mut datagram).unwrap();
            let text = std::str::from_utf8(&datagram[..n]).unwrap();
            assert!(text.starts_with("<14>1 1970-01-01T00:00:00.000000000Z "), "{text}");
            assert!(text.ends_with(&format!(" - - {expected}")), "{text}");
        }
        let n = metron.recv(&mut datagram).unwrap();
        assert_eq!(dropsonde::decode(&datagram[..n]).unwrap(), line("web", "a request"));
    }

    /// What a syslog server gets of these lines in a stream.
    fn streamed(bytes_max: usize, lines: [&str; 2]) -> String {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        let syslog = Syslog { bytes_max, ..syslog(Network::Tcp, address) };
        let (ingress, egress) = records::channel(false);
        let access = Access { syslog: Some(syslog), ..Access::default() };
        let writer = start(access, egress, &Tasks::default()).unwrap();
        for text in lines {
            ingress.emit(line("web", text));
        }
        drop(ingress);
        let (mut stream, _) = server.accept().unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
        writer.join().unwrap();
        text
    }

    #[test]
    fn in_a_stream_of_syslog_each_line_is_ended() {
        for lines in [["one", "two"], ["one\n", "two\n"]] {
            let text = streamed(0, lines);
            let ended: Vec<&str> = text.split_inclusive('\n').collect();
            assert_eq!(ended.len(), 2, "{text}");
            for (message, line) in ended.iter().zip(["one", "two"]) {
                assert!(message.starts_with("<14>1 1970-01-01T00:00:00.000000000Z "), "{text}");
                assert!(message.ends_with(&format!(" - - {line}\n")), "{text}");
            }
        }
        let long = "x".repeat(100);
        let text = streamed(60, [&long, &long]);
        let lengths: Vec<usize> = text.split_inclusive('\n').map(str::len).collect();
        assert_eq!(lengths, [61, 61], "{text}");
        assert!(text.ends_with('\n'), "{text}");
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        for full in [
            Access { file: Some("/dev/full".into()), ..Access::default() },
            // Nobody listens on this port.
            Access {
                syslog: Some(syslog(Network::Tcp, "127.0.0.1:1".to_owned())),
                ..Access::default()
            },
        ] {
            let (ingress, egress) = records::channel(false);
            let unwritten = ingress.unwritten();
            let writer = start(full.clone(), egress, &Tasks::default()).unwrap();
            (0..3).for_each(|_| assert!(ingress.emit(line("web", "a request"))));
            drop(ingress);
            writer.join().unwrap();
            assert_eq!(unwritten.load(Ordering::Relaxed), 3, "{full:?}");
        }
    }

    #[test]
    fn a_line_is_lost_once_wherever_it_did_not_get() {
        let (ingress, egress) = records::channel(false);
        let unwritten = ingress.unwritten();
        let access = Access {
            file: Some("/dev/full".into()),
            syslog: Some(syslog(Network::Tcp, "127.0.0.1:1".to_owned())),
            ..Access::default()
        };
        let writer = start(access, egress, &Tasks::default()).unwrap();
        (0..3).for_each(|_| assert!(ingress.emit(line("web", "a request"))));
        drop(ingress);
        writer.join().unwrap();
        assert_eq!(unwritten.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_line_after_one_of_which_a_part_is_there_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let mut file = Appended::new(path.clone()).unwrap();
        let records = ["one", "two"].map(|text| Record::from(line("web", text)));
        // As if the disk had been full in the midst of a line.
        assert_eq!(file.write(b"zero\nha"), 7);
        assert!(file.is_torn);
        assert_eq!(file.append(&records, &mut Vec::new()), 2);
        assert_eq!(file.append(&records, &mut b"what was there".to_vec()), 2);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, "zero\nha\none\ntwo\none\ntwo\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let access = Access { file: Some("/nowhere/access.log".into()), ..Access::default() };
        let error =
            start(access, records::channel(false).1, &Tasks::default()).unwrap_err().to_string();
        assert_eq!(error, "cannot append access lines to /nowhere/access.log");
    }
}
