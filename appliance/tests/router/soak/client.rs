//! A client that asks one thing after the other, on connections that it keeps as long as it may.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::book::{Book, Outcome, Request};
use super::dice::Dice;
use super::{ROUTES, host};

/// Longer than the router waits for an endpoint.
const PATIENCE: Duration = Duration::from_secs(120);

/// The client.
pub(super) struct Client {
    pub(super) port: u16,
    pub(super) dice: Dice,
    pub(super) book: Arc<Book>,
    /// The number of the next request of any client.
    pub(super) next: Arc<AtomicU64>,
    pub(super) rests: Arc<AtomicBool>,
    pub(super) stops: Arc<AtomicBool>,
}

// === impl Client ===

impl Client {
    /// Asks until it is to stop.
    pub(super) fn run(mut self) {
        let mut kept = None;
        while !self.stops.load(Ordering::Relaxed) {
            if self.rests.load(Ordering::Relaxed) {
                kept = None;
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            let route = self.dice.below(ROUTES);
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            let request = Request { id, route, begun: Instant::now() };
            let stream = match kept.take() {
                Some(stream) => Ok(stream),
                None => TcpStream::connect(("127.0.0.1", self.port)).map(BufReader::new),
            };
            let asked = stream.and_then(|stream| self.ask(stream, request));
            let outcome = match asked {
                Ok((outcome, stream)) => {
                    kept = stream.filter(|_| self.dice.below(20) > 0);
                    outcome
                }
                Err(error) => Outcome::Broken(error.to_string()),
            };
            self.book.judge(request, &outcome);
        }
    }

    /// Asks once; the connection, where it takes another request.
    fn ask(
        &mut self,
        mut stream: BufReader<TcpStream>,
        request: Request,
    ) -> io::Result<(Outcome, Option<BufReader<TcpStream>>)> {
        stream.get_ref().set_read_timeout(Some(PATIENCE))?;
        let body = "b".repeat([0, 0, 1, 5_000, 200_000][self.dice.below(5)]);
        let method = if body.is_empty() { "GET" } else { "POST" };
        let (host, id, length) = (host(request.route), request.id, body.len());
        let head = format!(
            "{method} / HTTP/1.1\r\nHost: {host}\r\nX-Number: {id}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        let leaves = self.dice.below(50) == 0;
        let sent = if leaves { length / 2 } else { length };
        let to = stream.get_mut();
        // Who refuses a request need not read all of it; what matters is the answer.
        let _ = to.write_all(head.as_bytes()).and_then(|()| to.write_all(&body.as_bytes()[..sent]));
        if leaves {
            let _ = stream.get_ref().shutdown(Shutdown::Both);
            return Ok((Outcome::Left, None));
        }
        let (status, body, keeps) = answer(&mut stream)?;
        Ok((Outcome::Answered(status, body), keeps.then_some(stream)))
    }
}

/// The status, the body, and whether the connection stays.
fn answer(stream: &mut BufReader<TcpStream>) -> io::Result<(u16, String, bool)> {
    let (mut status, mut length, mut is_chunked, mut keeps) = (0, 0, false, true);
    let mut why = String::new();
    loop {
        let line = line(stream)?.to_ascii_lowercase();
        if status == 0 {
            let text = line.split(' ').nth(1).and_then(|text| text.parse().ok());
            status = text.ok_or(io::ErrorKind::InvalidData)?;
        } else if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        } else if line.starts_with("x-cf-routererror: ") {
            why.clone_from(&line);
        } else if line.is_empty() {
            break;
        }
        is_chunked |= line == "transfer-encoding: chunked";
        keeps &= line != "connection: close";
    }
    let mut body = Vec::new();
    loop {
        if is_chunked {
            let size = line(stream)?;
            length = usize::from_str_radix(&size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        }
        let begin = body.len();
        body.resize(begin + length, 0);
        stream.read_exact(&mut body[begin..])?;
        if !is_chunked {
            break;
        }
        line(stream)?;
        if length == 0 {
            break;
        }
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned() + &why, keeps))
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
