//! Where the access lines of a router of its own go: a file, a syslog server, a metron agent. One
//! thread writes them; when it is slow, lines are lost and counted, and no request waits.

mod file;
mod syslog;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use lattice_daemon::tasks::Tasks;

use super::agent::Agent;
use super::metron::Metron;
use crate::records::{Record, Written};
use file::Appended;
use syslog::Stream;
pub use syslog::{Network, Syslog};

/// How many lines are written at once.
const BATCH_MAX: usize = 1024;
/// How long lines gather before the next ones are written: to be woken for a few of them takes more
/// than to write many.
const GATHER: Duration = Duration::from_millis(5);

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
        let mut batch = Vec::new();
        loop {
            let many = records.blocking_recv_many(&mut batch, BATCH_MAX);
            if many == 0 {
                return;
            }
            let lost = self.write(&batch);
            unwritten.fetch_add(lost as u64, Ordering::Relaxed);
            batch.clear();
            if many < BATCH_MAX {
                std::thread::sleep(GATHER);
            }
        }
    }

    /// Writes lines wherever they go; how many did not get to all these places.
    fn write(&mut self, records: &[Record]) -> usize {
        let in_file = self.file.as_mut().map(|file| file.append(records));
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use lattice_daemon::log_ingress::LogIngress as _;
    use lattice_model::envelope::Log;
    use lattice_model::wire::dropsonde;
    use lattice_model::{Envelope, Time};

    use super::*;

    fn syslog(network: Network, address: String) -> Syslog {
        Syslog { network, address, tag: "gorouter".to_owned(), bytes_max: 0 }
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
        let (ingress, egress) = crate::records::channel(false);
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
        let (ingress, egress) = crate::records::channel(false);
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
            Access {
                file: Some("/dev/full".into()),
                syslog: Some(syslog(Network::Tcp, "127.0.0.1:1".to_owned())),
                ..Access::default()
            },
        ] {
            let (ingress, egress) = crate::records::channel(false);
            let unwritten = ingress.unwritten();
            let writer = start(full.clone(), egress, &Tasks::default()).unwrap();
            (0..3).for_each(|_| assert!(ingress.emit(line("web", "a request"))));
            drop(ingress);
            writer.join().unwrap();
            assert_eq!(unwritten.load(Ordering::Relaxed), 3, "{full:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let access = Access { file: Some("/nowhere/access.log".into()), ..Access::default() };
        let error = start(access, crate::records::channel(false).1, &Tasks::default())
            .unwrap_err()
            .to_string();
        assert_eq!(error, "cannot append access lines to /nowhere/access.log");
    }
}
