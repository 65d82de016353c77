//! The sample app as a process: what it answers and what it writes. That these tests run the
//! program is also why a build of the tests builds it, for the stories that make images of it.
#![allow(clippy::unwrap_used, reason = "a broken fixture ends the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct App {
    child: Child,
    port: u16,
}

// === impl App ===

impl App {
    fn start(index: &str) -> Self {
        // Free a moment ago; nobody else takes ports on loopback in the meantime.
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let child = Command::new(env!("CARGO_BIN_EXE_lattice-app"))
            .args(["-ports", &port.to_string(), "-message", "Bonjour"])
            .env_clear()
            .env("INSTANCE_INDEX", index)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    fn connect(&self) -> TcpStream {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(connection) => return connection,
                Err(why) => assert!(Instant::now() < deadline, "no answer: {why}"),
            }
            std::thread::yield_now();
        }
    }

    fn get(&self, path: &str) -> String {
        let mut connection = self.connect();
        write!(connection, "GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        body.to_owned()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_tells_its_index_its_port_and_its_environment() {
    let app = App::start("3");
    assert_eq!(app.get("/index").trim(), "3");
    assert_eq!(app.get("/port").trim(), app.port.to_string());
    let env: serde_json::Value = serde_json::from_str(&app.get("/env?json=1")).unwrap();
    assert!(env.to_string().contains("INSTANCE_INDEX"), "{env}");
    assert!(app.get("/").contains('3'));
}

#[test]
fn it_writes_a_line_that_names_its_index() {
    let mut app = App::start("7");
    let lines = BufReader::new(app.child.stdout.take().unwrap()).lines();
    let found = lines.map_while(Result::ok).find(|line| line.contains("Bonjour"));
    assert_eq!(found.as_deref(), Some("Lattice-app. Says Bonjour. on index: 7"));
}

#[test]
fn a_port_that_is_none_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_lattice-app"))
        .args(["-ports", "eighty"])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "lattice-app: 'eighty' is not a port\n");
}
