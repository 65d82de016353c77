//! A router alone beside nginx and haproxy in front of one nginx that answers by itself: what a
//! proxy meets in front. Each of the three has a worker for each processor on its side, and is
//! pinned there; who asks and who answers runs on the other side.

use std::path::Path;

use lattice_tests::machine::run as tool;

use super::load::Load;
use super::proxies::{Case, Proxy, compare};
use crate::alone::{self, Alone, Ends, start};
use crate::effort::Effort;
use crate::machine::Sides;
use crate::peers::{Backend, Peer};

/// Where the server listens that all lead to.
pub(super) const SERVER_PORT: u16 = 19100;
pub(super) const HOST: &str = "web.test";
const POST_16K: &str = "wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", 16384)\n";

/// What is measured in one setting: the name, the path, and how it is asked for.
type Row = (&'static str, &'static str, Load<'static>);

const fn http1(
    connections: u32,
    words: &'static [&'static str],
    script: &'static str,
) -> Load<'static> {
    Load::Http1 { connections, words, script }
}

const CLOSE: &[&str] = &["-H", "Connection: close"];

const IN_CLEAR: [Row; 5] = [
    ("alone-get-1k-c50", "/kilobyte", http1(50, &[], "")),
    ("alone-get-1k-c200", "/kilobyte", http1(200, &[], "")),
    ("alone-get-64k-c50", "/64k", http1(50, &[], "")),
    ("alone-post-16k-c50", "/kilobyte", http1(50, &[], POST_16K)),
    ("alone-new-c50", "/kilobyte", http1(50, CLOSE, "")),
];
/// Each writes its lines into a file of its own.
const LOGGED: [Row; 1] = [("alone-get-1k-log-c50", "/kilobyte", http1(50, &[], ""))];
/// With certificates of ECDSA on P-256. A handshake for each request is a full one with `ab`; `wrk`
/// resumes its sessions.
const UNDER_TLS: [Row; 4] = [
    ("alone-tls-get-1k-c50", "/kilobyte", http1(50, &[], "")),
    ("alone-tls-new-c50", "/kilobyte", Load::Handshakes { connections: 50 }),
    ("alone-tls-resumed-c50", "/kilobyte", http1(50, CLOSE, "")),
    ("alone-h2-get-1k-c10-m10", "/kilobyte", Load::Http2 { connections: 10, streams: 10 }),
];

pub(super) fn run(effort: Effort, sides: &Sides) {
    let dir = tempfile::tempdir().unwrap();
    let _server = serve(dir.path());
    for (rows, is_logged, is_tls) in
        [(&IN_CLEAR[..], false, false), (&LOGGED, true, false), (&UNDER_TLS, false, true)]
    {
        in_one_setting(rows, (is_logged, is_tls), (effort, sides), dir.path());
    }
}

fn in_one_setting(
    rows: &[Row],
    (is_logged, is_tls): (bool, bool),
    (effort, sides): (Effort, &Sides),
    dir: &Path,
) {
    let folder = is_tls.then(|| certificate(dir));
    let (key, scheme) = if is_tls { ("listen_tls", "https") } else { ("listen", "http") };
    let mut keys = format!("{key} = [\"ADDRESS\"]");
    if let Some(folder) = &folder {
        let folder = folder.display();
        keys = format!(
            "listen = []\n{keys}\ncertificates = [{{cert = \"{folder}/cert.pem\", \
             key = \"{folder}/key.pem\"}}]"
        );
    }
    let log = if is_logged { "[access_log]\nfile = \"DIR/access.log\"" } else { "" };
    let router = Alone::start((0, sides.workers), &keys, log);
    let address = format!("127.0.0.1:{SERVER_PORT}");
    router.route(HOST, &address);
    let (dir, workers) = (dir.to_owned(), sides.workers);
    let backend = Backend { address, is_logged, certificate: folder, dir, workers };
    let peers = [Peer::nginx(&backend), Peer::haproxy(&backend)];
    for (name, path, load) in rows {
        let ours = Proxy::new("lattice", router.port(), vec![router.pid()]);
        let all = peers.iter().map(Proxy::of).chain([ours]);
        let mut proxies: Vec<Proxy> = all.map(|proxy| proxy.keep_to(sides)).collect();
        let case = Case { name, scheme, host: HOST, path, load: *load };
        compare(case, &mut proxies, effort, &backend.dir);
    }
}

/// The server: it answers from memory, and keeps connections as long as it may.
pub(super) fn serve(dir: &Path) -> Ends {
    std::fs::write(dir.join("64k"), "x".repeat(64 * 1024)).unwrap();
    let (kilobyte, dir) = ("x".repeat(1024), dir.display());
    let config = format!(
        "daemon off; pid {dir}/server.pid; error_log {dir}/server.log; worker_processes 1;\n\
         worker_rlimit_nofile 65536; events {{ worker_connections 32768; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;\n\
         client_body_buffer_size 64k;\n\
         server {{ listen 0.0.0.0:{SERVER_PORT}; location = /kilobyte {{ return 200 \"{kilobyte}\"; }}\n\
         location / {{ root {dir}; open_file_cache max=10; }} }} }}\n"
    );
    let path = format!("{dir}/server.conf");
    std::fs::write(&path, config).unwrap();
    let server = start("nginx", &["-c", &path]);
    alone::listens(SERVER_PORT);
    server
}

/// A folder with a certificate for the host.
fn certificate(dir: &Path) -> std::path::PathBuf {
    let folder = dir.join("tls");
    std::fs::create_dir(&folder).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    let name = format!("subjectAltName=DNS:{HOST}");
    tool(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=bench",
            "-addext",
            &name,
            "-keyout",
            &key,
            "-out",
            &cert,
        ],
    );
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    std::fs::write(folder.join("both.pem"), read(&cert) + &read(&key)).unwrap();
    folder
}
