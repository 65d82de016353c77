//! Ports of the router that lead to apps.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use lattice_tests::appliance::Appliance;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};

/// A connection that is kept.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn to(port: u16) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Ok(Self(BufReader::new(stream)))
    }

    /// The first line of the answer to a request, whose body is read as well.
    fn ask(&mut self, path: &str) -> Result<String, String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: anything\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).map_err(|e| e.to_string())?;
        let (mut first, mut length) = (String::new(), 0);
        self.0.read_line(&mut first).map_err(|e| e.to_string())?;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).map_err(|e| e.to_string())? <= 2 {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        std::io::Read::read_exact(&mut self.0, &mut body).map_err(|e| e.to_string())?;
        Ok(format!("{} {}", first.trim(), String::from_utf8(body).unwrap()))
    }
}

fn ask(port: u16, path: &str) -> Result<String, String> {
    Kept::to(port)?.ask(path)
}

#[test]
fn a_tcp_route_leads_to_an_app_moves_and_goes_while_connections_stay() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    let created = lattice.ltc_ok(&["create", "db", layout.to_str().unwrap(), "-T", "50000:8080"]);
    assert!(created.contains("lattice.localhost:50000"), "{created}");
    eventually("the port leads to the app", PATIENCE, || {
        let answer = ask(50000, "/")?;
        expect(answer == "HTTP/1.1 200 OK fixture", answer)
    });
    let mut kept = Kept::to(50000).unwrap();
    assert_eq!(kept.ask("/").unwrap(), "HTTP/1.1 200 OK fixture");

    lattice.ltc_ok(&["update", "db", "-T", "50001:8080"]);
    eventually("the new port leads to the app", PATIENCE, || ask(50001, "/").map(drop));
    eventually("nobody listens on the old one", PATIENCE, || {
        expect(TcpStream::connect(("127.0.0.1", 50000)).is_err(), "it still takes connections")
    });
    assert_eq!(kept.ask("/").unwrap(), "HTTP/1.1 200 OK fixture", "the connection stays");
    let status = lattice.ltc_ok(&["status", "db"]);
    assert!(status.contains("lattice.localhost:50001"), "{status}");

    lattice.ltc_ok(&["scale", "db", "2"]);
    for index in ["0", "1"] {
        eventually("each instance has its turn", PATIENCE, || {
            let answer = ask(50001, "/index")?;
            expect(answer.ends_with(&format!(" {index}")), answer)
        });
    }
    lattice.wait_logged(&web, "db", "TCP 50001 - [");

    lattice.ltc_ok(&["update", "db", "--no-routes"]);
    eventually("nobody listens any more", PATIENCE, || {
        expect(TcpStream::connect(("127.0.0.1", 50001)).is_err(), "it still takes connections")
    });
    assert_eq!(kept.ask("/").unwrap(), "HTTP/1.1 200 OK fixture", "the connection stays");
}

#[test]
fn ports_of_the_platform_are_no_tcp_routes() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    let refused = lattice.ltc(&["create", "db", layout, "-T", "2222:8080"]);
    let words = "external port 2222 is reserved by the platform; take one above 50000, or any other \
                 but 22, 53, 80";
    assert!(refused.code == 13 && refused.err.contains(words), "{}", refused.all());
    // Who speaks to the Receptor API directly is told in the app's log.
    lattice.ltc_ok(&["create", "db", layout]);
    let routes = serde_json::json!({"routes": {"tcp-router": [
        {"router_group_guid": "g", "external_port": 8888, "container_port": 8080},
    ]}});
    let answer = lattice.api(&web, reqwest::Method::PUT, "/v1/desired_lrps/db", Some(routes));
    assert_eq!(answer.status, 204, "{}", answer.body);
    lattice.wait_logged(&web, "db", "TCP route 8888: the port belongs to the platform");
}
