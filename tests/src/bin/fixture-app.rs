//! An app that behaves, or misbehaves, as a story wants it to.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its log")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

use std::io::Write as _;
use std::process::{ExitCode, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query};
use axum::routing::{any, get, post};
use futures_util::StreamExt as _;

const HELP: &str = "fixture-app serve ADDR:PORT | hog MIB | deaf | exit CODE | sleep SECONDS | \
                    write FILE TEXT | get ADDR:PORT PATH USER:PASSWORD | connect ADDR:PORT | \
                    resolve NAME | fill FILE REPORT | threads N | copy FILE MIB | \
                    meet ADDR:PORT";

/// Whether `/health` says that it is not well.
static IS_SICK: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["serve", address] => block_on(serve(address)),
        ["hog", mib] => hog(mib.parse().expect("a number")),
        ["deaf"] => deaf(),
        ["exit", code] => {
            println!("going to exit with {code}");
            return ExitCode::from(code.parse::<u8>().expect("an exit code"));
        }
        ["sleep", seconds] => std::thread::sleep(Duration::from_secs(seconds.parse().unwrap())),
        ["write", file, text] => std::fs::write(file, text).expect("the file can be written"),
        ["fill", file, report] => fill(file, report),
        ["copy", file, mib] => copy(file, mib.parse().expect("a number")),
        ["meet", address] => meet(address),
        ["threads", most] => threads(most.parse().expect("a number")),
        ["get", address, path, account] => fetch(address, path, account),
        ["connect", address] => connect(address),
        ["resolve", name] => resolve(name),
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Writes as much as there is room for, and says how much that was, in MiB.
fn fill(file: &str, report: &str) {
    let mut full = std::fs::File::create(file).expect("the file can be made");
    let mut pieces = 0;
    let why = loop {
        match full.write_all(&[7; 1 << 20]) {
            Ok(()) => pieces += 1,
            Err(why) => break why,
        }
    };
    std::fs::remove_file(file).expect("what was written can go");
    std::fs::write(report, format!("{pieces} {:?}", why.kind())).expect("there is room again");
}

/// Writes so much to a file, and fails where there is no room for it.
fn copy(file: &str, mib: usize) {
    let mut copy = std::fs::File::create(file).expect("the file can be made");
    for _ in 0..mib {
        copy.write_all(&[7; 1 << 20]).expect("there is room");
    }
    copy.sync_all().expect("there is room");
}

/// Listens at an address of its own, and connects to itself there.
fn meet(address: &str) {
    let listener = std::net::TcpListener::bind(address).expect("the address is its own");
    connect(&listener.local_addr().expect("it listens").to_string());
}

/// Starts so many threads, or as many as there may be, says how many those are, and stays.
fn threads(most: usize) {
    let start = || std::thread::Builder::new().stack_size(32 << 10).spawn(stay);
    let started = (0..most).take_while(|_| start().is_ok()).count();
    println!("{started} of {most} threads have started");
    stay();
}

fn stay() {
    loop {
        std::thread::park();
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(future);
}

async fn serve(address: &str) {
    let app = Router::new()
        .route("/", get(|| async { "fixture" }))
        .route("/kilobyte", get(|| async { Bytes::from_static(&[b'x'; 1024]) }))
        .route("/index", get(|| async { std::env::var("INSTANCE_INDEX").unwrap_or_default() }))
        .route("/health", get(health))
        .route("/sicken", get(|| async { IS_SICK.store(true, Ordering::SeqCst) }))
        .route("/say/{words}", get(|Path(words): Path<String>| async move { println!("{words}") }))
        .route("/exit/{code}", get(|Path(code): Path<i32>| async move { exit(code) as () }))
        .route("/file/{*path}", get(|Path(path): Path<String>| async move { read(&path) }))
        .route("/upload", post(upload))
        .route("/download", get(download))
        .route("/headers", any(headers))
        .route("/echo", any(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }));
    let listener = tokio::net::TcpListener::bind(address).await.expect("the address is free");
    println!("listening on {address}");
    axum::serve(listener, app).await.expect("it serves for ever");
}

/// Well until it is asked to be sick.
async fn health() -> axum::http::StatusCode {
    match IS_SICK.load(Ordering::SeqCst) {
        true => axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        false => axum::http::StatusCode::OK,
    }
}

/// A file of the container, or why it is not to be had.
fn read(path: &str) -> String {
    std::fs::read_to_string(format!("/{path}")).unwrap_or_else(|why| why.to_string())
}

/// Counts the body without keeping it.
async fn upload(body: Body) -> String {
    let mut chunks = body.into_data_stream();
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => bytes += chunk.len(),
            Err(why) => {
                println!("upload broke off after {bytes} bytes: {why}");
                return String::new();
            }
        }
    }
    println!("upload of {bytes} bytes is complete");
    bytes.to_string()
}

#[derive(serde::Deserialize)]
struct Wanted {
    bytes: usize,
    /// Break off after so many.
    abort_after: Option<usize>,
}

async fn download(Query(wanted): Query<Wanted>) -> axum::response::Response {
    const CHUNK: usize = 64 * 1024;
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let chunks = wanted.bytes.div_ceil(CHUNK);
    let stream = futures_util::stream::iter(0..chunks).map(move |n| {
        let sent = n * CHUNK;
        if wanted.abort_after.is_some_and(|limit| sent >= limit) {
            return Err(std::io::Error::other("broken off on purpose"));
        }
        Ok(chunk.slice(..CHUNK.min(wanted.bytes - sent)))
    });
    let response = axum::response::Response::builder().header("content-length", wanted.bytes);
    response.body(Body::from_stream(stream)).expect("a valid response")
}

async fn headers(headers: axum::http::HeaderMap) -> String {
    let line = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        format!("{name}: {}\n", value.to_str().unwrap_or("?"))
    };
    headers.iter().map(line).collect()
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

fn hog(mib: usize) {
    let mut held = Vec::new();
    for n in 1..=mib {
        held.push(std::hint::black_box(vec![1_u8; 1024 * 1024]));
        if n % 16 == 0 {
            println!("holding {n} MiB");
        }
    }
    std::thread::sleep(Duration::from_secs(3600));
    drop(held);
}

fn deaf() {
    block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be caught");
        println!("deaf to SIGTERM");
        loop {
            terminate.recv().await;
            println!("SIGTERM is ignored");
        }
    });
}

/// A request as plain as can be: the image has neither names nor certificates to look up.
fn fetch(address: &str, path: &str, account: &str) {
    use base64::Engine as _;
    use std::io::{Read as _, Write as _};

    let host = std::env::var("HOST_HEADER").unwrap_or_else(|_| address.to_owned());
    let origin = std::env::var("ORIGIN").map(|origin| format!("Origin: {origin}\r\n"));
    let origin = origin.unwrap_or_default();
    let account = base64::prelude::BASE64_STANDARD.encode(account);
    let mut stream = std::net::TcpStream::connect(address).expect("the address answers");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {account}\r\n\
         {origin}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer comes");
    println!("status {}", answer.trim_start_matches("HTTP/1.1 "));
}

fn resolve(name: &str) {
    use std::net::ToSocketAddrs as _;

    match (name, 0).to_socket_addrs() {
        Ok(found) => {
            let found: std::collections::BTreeSet<_> = found.map(|address| address.ip()).collect();
            println!("resolved {found:?}");
        }
        Err(why) => println!("resolved nothing: {why}"),
    }
}

fn connect(address: &str) {
    let address = address.parse().expect("an address and a port");
    match std::net::TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
        Ok(_) => println!("connected"),
        Err(why) => println!("not connected: {why}"),
    }
}
