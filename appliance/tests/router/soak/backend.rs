//! A backend that answers with the request's number, or not, as its mood is.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::book::Book;
use crate::nats::free_port;

/// How it treats requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mood {
    Good,
    /// Answers in chunks, byte by byte.
    Slow,
    /// Says nothing, until the mood is another; then it leaves without a word.
    Hanging,
    /// Resets the connection.
    Resetting,
    /// Answers what is no HTTP.
    Garbage,
    /// Ends in the middle of an answer.
    Cutting,
}

const MOODS: [Mood; 6] =
    [Mood::Good, Mood::Slow, Mood::Hanging, Mood::Resetting, Mood::Garbage, Mood::Cutting];

/// The backend, which can die and live again at one port.
pub(super) struct Backend {
    pub(super) number: usize,
    pub(super) port: u16,
    mood: Arc<AtomicU8>,
    /// False once it is to die.
    lives: Mutex<Arc<AtomicBool>>,
    book: Arc<Book>,
}

/// One life of it.
struct Life {
    mood: Arc<AtomicU8>,
    lives: Arc<AtomicBool>,
    book: Arc<Book>,
    streams: Mutex<Vec<TcpStream>>,
}

// === impl Backend ===

impl Backend {
    pub(super) fn new(number: usize, book: Arc<Book>) -> Self {
        // None that the kernel gives to a client while this one is dead.
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let lives = Arc::new(AtomicBool::new(true));
        let mood = Arc::<AtomicU8>::default();
        let backend = Self { number, port, mood, lives: Mutex::new(lives), book };
        backend.begin(listener);
        backend
    }

    /// The mood of this number, if it lives.
    pub(super) fn feels(&self, mood: usize) {
        let mood = MOODS[mood % MOODS.len()];
        self.mood.store(mood as u8, Ordering::Relaxed);
    }

    /// Closes everything at once.
    pub(super) fn dies(&self) {
        self.book.dies(self.number);
        self.lives.lock().unwrap().store(false, Ordering::SeqCst);
        // Whoever waits for connections looks up.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }

    /// Listens again, once the port is free.
    pub(super) fn revives(&self) {
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", self.port)) {
                Ok(listener) => break listener,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        *self.lives.lock().unwrap() = Arc::new(AtomicBool::new(true));
        self.feels(0);
        self.begin(listener);
        self.book.lives(self.number);
    }

    fn begin(&self, listener: TcpListener) {
        let life = Arc::new(Life {
            mood: self.mood.clone(),
            lives: self.lives.lock().unwrap().clone(),
            book: self.book.clone(),
            streams: Mutex::default(),
        });
        let (book, number) = (self.book.clone(), self.number);
        std::thread::spawn(move || {
            life.accept(&listener);
            drop(listener);
            book.died(number);
        });
    }
}

// === impl Life ===

impl Life {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if !self.lives.load(Ordering::SeqCst) {
                break;
            }
            let Ok(stream) = stream else { continue };
            let mut streams = self.streams.lock().unwrap();
            // Those that ended are closed with their last descriptor.
            streams.retain(|stream| stream.peer_addr().is_ok());
            streams.push(stream.try_clone().unwrap());
            drop(streams);
            let life = self.clone();
            std::thread::spawn(move || {
                let _ = life.serve(&stream);
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        loop {
            let id = request(stream)?;
            let mood = MOODS[usize::from(self.mood.load(Ordering::Relaxed))];
            if !matches!(mood, Mood::Good | Mood::Slow) {
                self.book.hurts(id);
            }
            let body = id.to_string();
            let length = body.len();
            match mood {
                Mood::Good => {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    stream.write_all((head + &body).as_bytes())?;
                }
                Mood::Slow => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                    for byte in body.chars() {
                        stream.write_all(format!("1\r\n{byte}\r\n").as_bytes())?;
                    }
                    stream.write_all(b"0\r\n\r\n")?;
                }
                Mood::Hanging => {
                    while self.mood.load(Ordering::Relaxed) == Mood::Hanging as u8
                        && self.lives.load(Ordering::Relaxed)
                    {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    return Ok(());
                }
                Mood::Resetting => return will_reset(stream),
                Mood::Garbage => {
                    stream.write_all(b"\x16\x03\x01 not HTTP at all\r\n\r\n")?;
                    return Ok(());
                }
                Mood::Cutting => {
                    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nnot all";
                    stream.write_all(head)?;
                    return Ok(());
                }
            }
        }
    }
}

/// Makes closing a reset.
fn will_reset(stream: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    Ok(())
}

/// Reads a request with its body; the number in its head.
fn request(mut stream: impl Read) -> io::Result<u64> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let number = |name: &str| {
        let value = head.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().parse::<u64>().ok()
    };
    let length = number("content-length:").unwrap_or(0);
    io::copy(&mut stream.take(length), &mut io::sink())?;
    number("x-number:").ok_or_else(|| io::ErrorKind::InvalidData.into())
}
