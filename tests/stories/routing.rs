//! Requests of every shape, through the router to real containers and back.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use lattice_tests::appliance::{Appliance, DOMAIN, HTTP_PORT};
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use reqwest::Method;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const BIG: usize = 50 * 1024 * 1024;

#[test]
fn two_apps_share_one_host_name() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    for app in ["blue", "green"] {
        let name = format!("APP_NAME={app}");
        lattice.ltc_ok(&["create", app, layout, "-R", "both:8080", "--env", &name]);
    }
    let mut heard = BTreeSet::new();
    eventually("both answer", PATIENCE, || {
        let answer = web.get("both", "/env?json=1")?;
        let is = |app: &str| answer.body.contains(&format!("[\"APP_NAME\",\"{app}\"]"));
        heard.extend(["blue", "green"].into_iter().filter(|app| is(app)));
        expect(heard.len() == 2, format!("{heard:?}"))
    });
}

#[test]
fn https_is_served_and_vouched_for_by_what_ltc_trust_shows() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let authority = lattice.scratch().join("authority.pem");
    std::fs::write(&authority, lattice.ltc_ok(&["trust"])).unwrap();
    let host = format!("dashboard.{DOMAIN}");
    let status = |authority: Option<&std::path::Path>| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]);
        curl.args(["--resolve", &format!("{host}:443:127.0.0.1")]);
        if let Some(authority) = authority {
            curl.arg("--cacert").arg(authority);
        }
        let output = curl.arg(format!("https://{host}/")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(status(Some(&authority)), "401", "the dashboard asks for the password");
    assert_eq!(status(None), "000", "a machine that was not told trusts nobody");
}

#[test]
fn a_websocket_echoes_through_the_router() {
    let (_lattice, web) = stage();
    web.block_on(async {
        let host = format!("fixture.{DOMAIN}:{HTTP_PORT}");
        let request = format!("ws://{host}/echo").into_client_request().unwrap();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", HTTP_PORT)).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        for size in [0, 5, 125, 126, 70_000] {
            let message = Message::Binary(vec![7; size].into());
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message, "{size} bytes");
        }
        socket.close(None).await.unwrap();
    });
}

#[test]
fn fifty_megabytes_go_up_and_down() {
    let (_lattice, web) = stage();
    let up = web.request(Method::POST, "fixture", "/upload").body(vec![1_u8; BIG]);
    assert_eq!(web.send(up).unwrap().body, BIG.to_string());
    let down = web.get("fixture", &format!("/download?bytes={BIG}")).unwrap();
    assert_eq!((down.status, down.body.len()), (200, BIG));
}

#[test]
fn an_upload_that_breaks_off_is_not_taken_for_whole() {
    let (lattice, web) = stage();
    let mut stream = TcpStream::connect(("127.0.0.1", HTTP_PORT)).unwrap();
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: fixture.{DOMAIN}:{HTTP_PORT}\r\nContent-Length: {BIG}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![0; BIG / 2]).unwrap();
    drop(stream);
    lattice.wait_logged(&web, "fixture", "upload broke off after");
    let lines = lattice.recent_logs(&web, "fixture");
    assert!(!lines.iter().any(|line| line.contains("is complete")), "{lines:?}");
    assert_eq!(web.get("fixture", "/").unwrap().body, "fixture", "the next request is served");
}

#[test]
fn a_download_that_breaks_off_is_not_taken_for_whole() {
    let (_lattice, web) = stage();
    let path = format!("/download?bytes={BIG}&abort_after={}", BIG / 2);
    let broken = web.get("fixture", &path);
    assert!(broken.is_err(), "a truncated body must not end well");
    assert_eq!(web.get("fixture", "/").unwrap().body, "fixture", "the next request is served");
}

#[test]
fn a_client_that_leaves_a_download_harms_nobody() {
    let (_lattice, web) = stage();
    let mut stream = TcpStream::connect(("127.0.0.1", HTTP_PORT)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head =
        format!("GET /download?bytes={BIG} HTTP/1.1\r\nHost: fixture.{DOMAIN}:{HTTP_PORT}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut vec![0; BIG / 4]).unwrap();
    drop(stream);
    assert_eq!(web.get("fixture", "/").unwrap().body, "fixture");
}

#[test]
fn the_app_is_told_who_asks_and_its_log_has_an_access_line() {
    let (lattice, web) = stage();
    let answer = web.get("fixture", "/headers").unwrap();
    for header in [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-vcap-request-id: ",
        "x-cf-applicationid: fixture",
        "x-cf-instanceindex: 0",
        "x-cf-instanceid: ",
        "x-request-start: ",
    ] {
        assert!(answer.body.contains(header), "{header} in {}", answer.body);
    }
    let line = lattice.wait_logged(&web, "fixture", "GET /headers");
    assert!(line.starts_with("RTR|"), "{line}");
}

#[test]
fn unknown_and_emptied_routes_say_which_they_are() {
    let (lattice, web) = stage();
    let unknown = web.get("nobody", "/").unwrap();
    assert_eq!((unknown.status, unknown.router_error.as_deref()), (404, Some("unknown_route")));
    let words =
        "404 Not Found: Requested route ('nobody.lattice.localhost:8080') does not exist.\n";
    assert_eq!(unknown.body, words);
    lattice.ltc_ok(&["scale", "fixture", "0"]);
    eventually("it is said to have no endpoints", PATIENCE, || {
        let answer = web.get("fixture", "/")?;
        let said = (answer.status, answer.router_error.as_deref());
        expect(said == (503, Some("no_endpoints")), format!("{answer:?}"))
    });
}

/// An appliance that runs `fixture-app serve` as the app `fixture`.
fn stage() -> (Appliance, Web) {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    lattice.ltc_ok(&["create", "fixture", layout.to_str().unwrap(), "--memory-mb", "256"]);
    (lattice, Web::new())
}

#[test]
fn a_route_that_cannot_be_read_is_named_in_the_apps_log_and_takes_no_other_with_it() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap()]);
    let routes = serde_json::json!({"routes": {"cf-router": [
        {"hostnames": "shop.lattice.localhost", "port": 8080},
        {"hostnames": ["other.lattice.localhost"], "port": 8080},
    ]}});
    let put = lattice.api(&web, Method::PUT, "/v1/desired_lrps/web", Some(routes));
    assert_eq!(put.status, 204, "{put:?}");
    let line = lattice.wait_logged(&web, "web", "a route leads nowhere");
    assert!(line.contains("\"hostnames\":\"shop.lattice.localhost\""), "{line}");
    eventually("the good route leads to the app", PATIENCE, || {
        let answer = web.get("other", "/index")?;
        expect(answer.status == 200, format!("{answer:?}"))
    });
    assert_eq!(web.get("shop", "/").unwrap().status, 404);
}
