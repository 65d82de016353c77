//! What pages of other origins may do, and what the cookie is good for.

use lattice_daemon::gate::Origins;
use reqwest::Response;

use super::{Served, answer, samples};

const LISTED: &str = "https://board.example.com:8443";
const FOREIGN: &str = "http://evil.example";

async fn with_listed() -> Served {
    Served::start_with(|config| config.origins = vec![LISTED.to_owned()].into()).await
}

async fn ask(served: &Served, method: &str, origin: &str) -> Response {
    let request = served.request(method, "/v1/desired_lrps").header("origin", origin);
    request.json(&samples::lrp_body("web")).send().await.unwrap()
}

#[track_caller]
fn allowed(response: &Response) -> Option<&str> {
    let headers = response.headers();
    let origin = headers.get("access-control-allow-origin")?.to_str().unwrap();
    assert_eq!(headers["access-control-allow-credentials"], "true");
    Some(origin)
}

#[tokio::test]
async fn no_page_of_another_origin_may_ask_unless_its_origin_is_listed() {
    let (closed, listed) = (Served::start().await, with_listed().await);
    for (served, origin, status) in [
        (&closed, LISTED, 403),
        (&closed, FOREIGN, 403),
        (&closed, "null", 403),
        (&listed, FOREIGN, 403),
        (&listed, "null", 403),
        (&listed, "https://board.example.com", 403),
        (&listed, LISTED, 201),
    ] {
        let response = ask(served, "POST", origin).await;
        assert_eq!(response.status().as_u16(), status, "{origin}");
        let expected = (status == 201).then_some(origin);
        assert_eq!(allowed(&response), expected, "{origin}");
    }
    assert!(closed.receptor.state().lrps.is_empty());
}

#[tokio::test]
async fn a_listed_page_reads_refusals_too() {
    let served = with_listed().await;
    let request = served.anonymous("GET", "/v1/version").header("origin", LISTED);
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), allowed(&response)), (401, Some(LISTED)));
    assert_eq!(response.headers()["vary"], "origin", "caches keep origins apart");
}

#[tokio::test]
async fn every_page_may_ask_when_that_is_switched_on() {
    let served = Served::start_with(|config| config.origins = Origins::Any).await;
    let response = ask(&served, "POST", FOREIGN).await;
    assert_eq!((response.status().as_u16(), allowed(&response)), (201, Some(FOREIGN)));
    let request = served.anonymous("GET", "/v1/version").header("origin", FOREIGN);
    assert_eq!(answer(request).await.0, 401, "credentials are demanded all the same");
}

#[tokio::test]
async fn a_preflight_is_answered_before_credentials_are_asked_for() {
    let served = with_listed().await;
    let preflight = |path: &str, origin: &str| {
        let request = served.anonymous("OPTIONS", path).header("origin", origin);
        let request = request.header("access-control-request-method", "PUT");
        request.header("access-control-request-headers", "authorization, content-type")
    };
    for path in ["/v1/desired_lrps/web", "/v1/nothing"] {
        let response = preflight(path, LISTED).send().await.unwrap();
        assert_eq!((response.status().as_u16(), allowed(&response)), (200, Some(LISTED)));
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-methods"], "PUT");
        assert_eq!(headers["access-control-allow-headers"], "authorization, content-type");
        assert_eq!(response.text().await.unwrap(), "");
    }
    let response = preflight("/v1/desired_lrps/web", FOREIGN).send().await.unwrap();
    assert_eq!((response.status().as_u16(), allowed(&response)), (403, None));
    let closed = Served::start().await;
    let request = closed.anonymous("OPTIONS", "/v1/desired_lrps").header("origin", LISTED);
    assert_eq!(answer(request).await.0, 403);
}

/// The cookie that the receptor hands out for these credentials.
async fn cookie(served: &Served) -> String {
    let response = served.request("POST", "/v1/auth_cookie").send().await.unwrap();
    assert_eq!(response.status(), 204);
    response.headers()["set-cookie"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_cookie_stands_in_for_the_header() {
    let served = Served::start().await;
    let cookie = cookie(&served).await;
    let expected = "receptor_authorization=\"Basic dXNlcjpwYXNz\"; Path=/; Max-Age=43200; \
                    HttpOnly; SameSite=Strict";
    assert_eq!(cookie, expected, "hidden from scripts and other sites, and not for ever");
    let quoted = cookie.split(';').next().unwrap();
    for value in [quoted, &quoted.replace('"', "")] {
        let request = || served.anonymous("GET", "/v1/version").header("cookie", value);
        assert_eq!(answer(request()).await.0, 200, "{value}");
        let contradicted = request().basic_auth("user", Some("wrong"));
        assert_eq!(answer(contradicted).await.0, 200, "it replaces the header");
        let renewed = served.anonymous("POST", "/v1/auth_cookie").header("cookie", value);
        let renewed = renewed.send().await.unwrap();
        assert_eq!(renewed.headers()["set-cookie"], expected);
    }
    let wrong = served.request("GET", "/v1/version");
    let wrong = wrong.header("cookie", "receptor_authorization=Basic dTpw");
    assert_eq!(answer(wrong).await.0, 401, "also when it is wrong");
}

#[tokio::test]
async fn the_cookie_is_no_good_to_pages_of_other_origins() {
    let (closed, listed) = (Served::start().await, with_listed().await);
    for served in [&closed, &listed] {
        let cookie = cookie(served).await;
        for (method, path) in [
            ("POST", "/v1/desired_lrps"),
            ("DELETE", "/v1/desired_lrps/web"),
            ("POST", "/v1/auth_cookie"),
            ("GET", "/v1/events"),
        ] {
            let request = served.anonymous(method, path).header("origin", FOREIGN);
            let request = request.header("cookie", cookie.split(';').next().unwrap());
            let response = request.json(&samples::lrp_body("web")).send().await.unwrap();
            assert_eq!(response.status(), 403, "{method} {path}");
            assert!(!response.headers().contains_key("set-cookie"));
        }
        assert!(served.receptor.state().lrps.is_empty());
    }
}

#[tokio::test]
async fn without_credentials_there_is_no_cookie() {
    let served = Served::start_with(|config| config.admin = None).await;
    for request in [
        served.anonymous("POST", "/v1/auth_cookie"),
        served.anonymous("POST", "/v1/auth_cookie").bearer_auth("x\"; Domain=example.com"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 204);
        assert!(!response.headers().contains_key("set-cookie"));
    }
}
