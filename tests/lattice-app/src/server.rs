//! A small HTTP/1.1 server: a thread a connection, keep-alive, no request bodies.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::lager;
use crate::pages::{App, Page};

const HEAD_BYTES_MAX: u64 = 64 * 1024;
const IDLE: Duration = Duration::from_secs(120);

/// Answers connections until the process ends.
pub(crate) fn serve(listener: &TcpListener, port: u16, app: &Arc<App>) {
    for connection in listener.incoming().flatten() {
        let app = Arc::clone(app);
        thread::spawn(move || {
            // A connection that breaks concerns nobody else.
            let _ = converse(&connection, port, &app);
        });
    }
}

fn converse(connection: &TcpStream, port: u16, app: &App) -> io::Result<()> {
    connection.set_read_timeout(Some(IDLE))?;
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection);
    while let Some(request) = read_head(&mut reader)? {
        if !app.quiet {
            lager("lattice-app.request.begin", &serde_json::json!({ "path": request.target }));
        }
        let page = app.page(&request.target, port);
        write_page(connection, &request, &page)?;
        if page.is_last {
            exit_soon();
        }
        if request.is_last {
            break;
        }
    }
    Ok(())
}

struct Request {
    target: String,
    is_head: bool,
    is_last: bool,
}

/// Reads up to the empty line and past the body; `None` at the end of the connection.
fn read_head(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut limited = reader.by_ref().take(HEAD_BYTES_MAX);
    let mut line = String::new();
    if limited.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or("/"));
    let is_old = words.next() == Some("HTTP/1.0");
    let mut request =
        Request { target: target.to_owned(), is_head: method == "HEAD", is_last: is_old };
    let mut body_bytes = 0;
    loop {
        let mut header = String::new();
        if limited.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let header = header.trim().to_ascii_lowercase();
        if let Some(length) = header.strip_prefix("content-length:") {
            body_bytes = length.trim().parse().unwrap_or(0);
        }
        // A chunked body is not read; the connection ends with it.
        request.is_last |= header == "connection: close" || header.starts_with("transfer-encoding");
    }
    io::copy(&mut reader.take(body_bytes), &mut io::sink())?;
    Ok(Some(request))
}

fn write_page(mut connection: &TcpStream, request: &Request, page: &Page) -> io::Result<()> {
    let keep = if request.is_last { "close" } else { "keep-alive" };
    let mut answer = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {keep}\r\n\r\n",
        page.status,
        page.content_type,
        page.body.len()
    );
    if !request.is_head {
        answer.push_str(&page.body);
    }
    connection.write_all(answer.as_bytes())
}

#[allow(clippy::print_stdout, reason = "the app's own log")]
fn exit_soon() {
    thread::spawn(|| {
        thread::sleep(Duration::from_millis(100));
        println!("Lattice-App shutting down");
        std::process::exit(1);
    });
}
