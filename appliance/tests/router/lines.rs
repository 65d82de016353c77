//! Where access lines go beside their file (family S9): a syslog server, a metron agent.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use crate::nats::{Nats, free_port};
use crate::process::{PATIENCE, Router, ask, eventually, instance, registration};

fn router_with(nats: &Nats, more: &str) -> Router {
    let router = Router::start(&[nats], more);
    nats.client().publish("router.register", &registration("web.test", instance("web"), ""));
    eventually("the route is known", || router.has_said("web.test"));
    router.answers("web.test", 200);
    router
}

/// What a socket is told next.
fn heard(socket: &UdpSocket) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut datagram = vec![0; 65_536];
    let length = socket.recv(&mut datagram).expect("a datagram in time");
    datagram.truncate(length);
    datagram
}

/// `<14>1 TIME HOST TAG PID - - LINE`: its line.
#[track_caller]
fn line_of(message: &str, tag: &str, pid: u32) -> String {
    let words: Vec<&str> = message.splitn(8, ' ').collect();
    assert_eq!((words[0], words[3], words[4]), ("<14>1", tag, &*pid.to_string()), "{message}");
    assert_eq!((words[1].len(), words[5], words[6]), (30, "-", "-"), "{message}");
    words[7].to_owned()
}

#[test]
fn each_line_is_a_datagram_for_a_syslog_server() {
    let (nats, server) = (Nats::start(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let port = server.local_addr().unwrap().port();
    let keys = format!(
        "access_log: {{enable_streaming: true}}\n\
         logging: {{level: debug, syslog: edge, syslog_addr: \"127.0.0.1:{port}\"}}"
    );
    let router = router_with(&nats, &keys);
    router.get("nobody.test");
    let line = loop {
        let message = String::from_utf8(heard(&server)).unwrap();
        let line = line_of(&message, "edge", router.pid());
        if !line.starts_with("web.test ") {
            break line;
        }
    };
    assert!(line.starts_with("nobody.test - [") && line.contains("\" 404 0 "), "{line}");
    assert!(line.ends_with("x_cf_routererror:\"unknown_route\""), "{line}");
}

#[test]
fn a_syslog_server_gets_a_stream_of_ended_lines_cut_as_the_file_says() {
    let (nats, server) = (Nats::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = server.local_addr().unwrap().port();
    let keys = format!(
        "access_log: {{enable_streaming: true}}\nlogging: {{level: debug, syslog_truncate: 100, \
         syslog_network: tcp, syslog_addr: \"127.0.0.1:{port}\"}}"
    );
    let router = router_with(&nats, &keys);
    let (stream, _) = server.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = BufReader::new(stream);
    router.get("nobody.test");
    let mut told = String::new();
    while !told.contains("nobody.test") {
        told.clear();
        stream.read_line(&mut told).unwrap();
        assert!(told.len() == 101 && told.ends_with('\n'), "{told:?}");
    }
    assert!(line_of(&told, "gorouter", router.pid()).starts_with("nobody.test - "), "{told}");
}

#[test]
fn a_syslog_server_that_comes_back_gets_what_comes_then() {
    let (nats, server) = (Nats::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = server.local_addr().unwrap().port();
    let keys = format!(
        "access_log: {{enable_streaming: true}}\nlogging: \
         {{level: debug, syslog_network: tcp, syslog_addr: \"127.0.0.1:{port}\"}}"
    );
    let router = router_with(&nats, &keys);
    drop(server.accept().unwrap());
    server.set_nonblocking(true).unwrap();
    let mut again = None;
    eventually("it connects again", || {
        router.get("nobody.test");
        again = server.accept().ok();
        again.is_some()
    });
    let (mut stream, _) = again.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("nobody.test - [") {
        router.get("nobody.test");
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).unwrap();
        assert!(length > 0, "it hung up: {told:?}");
        told.extend_from_slice(&chunk[..length]);
    }
}

#[test]
fn a_metron_agent_gets_the_lines_of_apps_as_envelopes() {
    let (nats, agent) = (Nats::start(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let port = agent.local_addr().unwrap().port();
    let keys = format!(
        "index: 7\nenable_envelope_v1_metrics: false\nlogging: {{level: debug, \
         loggregator_enabled: true, metron_address: \"127.0.0.1:{port}\"}}"
    );
    let router = router_with(&nats, &keys);
    // Nobody's line is no app's, and goes nowhere.
    router.get("nobody.test");
    router.get("web.test");
    for _ in 0..2 {
        let envelope = heard(&agent);
        let text = String::from_utf8_lossy(&envelope);
        for part in ["gorouter", "web.test - [", "\"GET / HTTP/1.1\" 200 0 3 ", "RTR", "app"] {
            assert!(text.contains(part), "{part} is missing in {text:?}");
        }
        assert!(!text.contains("nobody.test"), "{text:?}");
    }
}

#[test]
fn a_metron_agent_is_told_of_a_request_where_in_its_trace_it_stands() {
    let (nats, agent) = (Nats::start(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let port = agent.local_addr().unwrap().port();
    let keys = format!(
        "send_http_start_stop_server_event: true\ntracing: {{enable_zipkin: true}}\n\
         logging: {{level: debug, metron_address: \"127.0.0.1:{port}\"}}"
    );
    let router = router_with(&nats, &keys);
    const IDS: [&str; 2] = ["463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312"];
    let traced = format!(
        "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\nb3: {}-{}\r\n\r\n",
        IDS[0], IDS[1]
    );
    assert_eq!(ask(router.port, &traced).status, 200);
    loop {
        let datagram = heard(&agent);
        let told = String::from_utf8_lossy(&datagram);
        if told.contains(IDS[0]) {
            let words = ["trace_id", "span_id", IDS[1], "http://web.test/"];
            assert!(words.iter().all(|word| told.contains(word)), "{told:?}");
            return;
        }
    }
}

#[test]
fn a_slow_syslog_server_holds_no_request_up_and_what_it_does_not_get_is_counted() {
    let (nats, server) = (Nats::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (port, metrics) = (server.local_addr().unwrap().port(), free_port());
    let keys = format!(
        "access_log: {{enable_streaming: true}}\nprometheus: {{port: {metrics}}}\nlogging: \
         {{level: info, syslog_network: tcp, syslog_addr: \"127.0.0.1:{port}\"}}"
    );
    let router = Router::start(&[&nats], &keys);
    // Nobody reads; long lines fill what is between, and the router gives that connection up.
    rustix::net::sockopt::set_socket_recv_buffer_size(&server, 4096).unwrap();
    let long = "x".repeat(8_000);
    let request = format!("GET /{long} HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
    let mut client = TcpStream::connect(("127.0.0.1", router.port)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut chunk = [0; 4096];
    eventually("what is lost is counted", || {
        for _ in 0..100 {
            client.write_all(request.as_bytes()).unwrap();
            let length = client.read(&mut chunk).unwrap();
            assert!(chunk[..length].starts_with(b"HTTP/1.1 404 "));
        }
        lost(metrics) > 0
    });
    drop(server);
}

/// Sends so many requests at once, and reads as many answers.
fn ask_many(client: &mut TcpStream, many: usize) {
    client
        .write_all("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n".repeat(many).as_bytes())
        .unwrap();
    let (mut answers, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    while String::from_utf8_lossy(&answers).matches("does not exist.\n").count() < many {
        let length = client.read(&mut chunk).unwrap();
        assert!(length > 0, "it hung up: {}", String::from_utf8_lossy(&answers));
        answers.extend_from_slice(&chunk[..length]);
    }
}

/// How many lines the router says it has lost.
fn lost(metrics: u16) -> u64 {
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let page = ask(metrics, request).body;
    let line = page.lines().find_map(|line| line.strip_prefix("lattice_access_lines_lost "));
    line.unwrap_or_else(|| panic!("no count in {page}")).parse().unwrap()
}

#[test]
fn a_writer_that_is_stuck_holds_no_request_up_and_what_does_not_fit_meanwhile_is_counted() {
    let (nats, metrics, dir) = (Nats::start(), free_port(), tempfile::tempdir().unwrap());
    // A pipe that nobody reads: 64 KiB fit into it, and then the writer waits for good.
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _open = File::options().read(true).write(true).open(&pipe).unwrap();
    let keys = format!(
        "access_log: {{file: {}}}\nlogging: {{level: info}}\nprometheus: {{port: {metrics}}}",
        pipe.display()
    );
    let router = Router::start(&[&nats], &keys);
    let mut client = TcpStream::connect(("127.0.0.1", router.port)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    // 16,384 lines may wait, and some on their way there and in the writer's hands.
    for _ in 0..200 {
        ask_many(&mut client, 100);
    }
    eventually("what was lost is counted", || lost(metrics) > 0);
    let before = lost(metrics);
    ask_many(&mut client, 100);
    eventually("none of them fits", || lost(metrics) >= before + 100);
}
