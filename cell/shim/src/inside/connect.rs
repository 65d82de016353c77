//! Connects the standard streams to a host and port, as they are known in the container.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use lattice_shim_protocol::program::CONNECTED;

use super::streams;

/// How long each of a host's addresses is tried.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much is carried at once, in bytes.
const PIECE_BYTES: usize = 16 << 10;

/// Connects, says so, and carries bytes both ways until the other side has said all.
pub(super) fn run(host: &str, port: &str) -> io::Result<()> {
    let stream = connect(host, port)?;
    let (mut input, mut output) = streams()?;
    output.write_all(&[CONNECTED])?;
    let (mut towards, mut from) = (stream.try_clone()?, stream);
    std::thread::Builder::new().spawn(move || {
        // Whatever ends it, nothing more will come this way.
        let _ = carry(&mut input, &mut towards);
        let _ = towards.shutdown(Shutdown::Write);
    })?;
    carry(&mut from, &mut output)
}

/// Each piece as it comes: what is put off until there is more may be waited for.
fn carry(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut bytes)? {
            0 => return Ok(()),
            count => to.write_all(&bytes[..count])?,
        }
    }
}

fn connect(host: &str, port: &str) -> io::Result<TcpStream> {
    let port: u16 = port.parse().map_err(|_| io::Error::other(format!("'{port}' is no port")))?;
    let told = |why: io::Error| io::Error::other(format!("cannot connect to {host}:{port}: {why}"));
    let mut last = io::Error::other("it has no address");
    for address in (host, port).to_socket_addrs().map_err(told)? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(why) => last = why,
        }
    }
    Err(told(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_connected_to_is_told_with_the_reason() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = closed.port().to_string();
        let refused = connect("127.0.0.1", &port).unwrap_err().to_string();
        let expected = format!("cannot connect to 127.0.0.1:{port}: Connection refused");
        assert!(refused.starts_with(&expected), "{refused}");
        assert_eq!(connect("x", "http").unwrap_err().to_string(), "'http' is no port");
    }
}
