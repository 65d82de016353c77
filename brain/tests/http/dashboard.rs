//! The dashboard: a page, and what it reads.

use std::sync::Arc;

use lattice_brain::http::{HttpConfig, dashboard};
use lattice_daemon::credentials::Admin;
use lattice_daemon::tasks::Tasks;
use reqwest::RequestBuilder;

use super::{DOMAIN, FakeReceptor, Served, answer};

/// A served dashboard; the receptor that comes with it is another's.
async fn start() -> Served {
    lattice_daemon::install_crypto();
    let admin = Admin { username: "user".into(), password: "pass".into() };
    let config = HttpConfig::on_loopback(Some(admin), DOMAIN);
    let (receptor, tasks) = (Arc::new(FakeReceptor::default()), Tasks::default());
    let address = dashboard::serve(config, receptor.clone(), &tasks).await.unwrap();
    let base_url = format!("http://{address}");
    Served { receptor, tasks, base_url, port: address.port(), http: reqwest::Client::new() }
}

/// What the page takes from its own server: the values of these attributes.
fn parts(page: &str) -> Vec<&str> {
    let values = |name: &'static str| {
        page.split(name).skip(1).map(|rest| rest.split('"').next().unwrap_or_default())
    };
    values("src=\"").chain(values("href=\"")).collect()
}

async fn header(request: RequestBuilder, name: &str) -> String {
    let response = request.send().await.unwrap();
    response.headers()[name].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_is_whole_and_takes_nothing_from_elsewhere() {
    let served = start().await;
    let (status, page) = answer(served.request("GET", "/")).await;
    assert_eq!(status, 200);
    let parts = parts(&page);
    assert!(parts.len() >= 3, "{parts:?}");
    for part in parts {
        assert!(part.starts_with('/') && !part.starts_with("//"), "{part} is elsewhere");
        assert_eq!(answer(served.request("GET", part)).await.0, 200, "{part}");
    }
    // What the policy would keep from running is not there to begin with.
    for inline in ["<style", "style=", "<script>", "onclick=", "javascript:"] {
        assert!(!page.contains(inline), "{inline} is in the page");
    }
}

#[tokio::test]
async fn every_answer_tells_the_browser_to_trust_nobody_else() {
    let served = start().await;
    for path in ["/", "/page.js", "/v1/cells", "/nonsense"] {
        for request in [served.request("GET", path), served.anonymous("GET", path)] {
            let policy = header(request, "content-security-policy").await;
            for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
                assert!(policy.contains(rule), "{path}: {policy}");
            }
            assert!(!policy.contains("unsafe"), "{path}: {policy}");
        }
        let request = served.request("GET", path);
        assert_eq!(header(request, "cross-origin-resource-policy").await, "same-origin");
    }
}

#[tokio::test]
async fn the_page_reads_what_the_receptor_tells() {
    let served = start().await;
    let (_, script) = answer(served.request("GET", "/page.js")).await;
    for noun in ["desired_lrps", "actual_lrps", "cells", "tasks", "version"] {
        assert!(script.contains(&format!("\"{noun}\"")), "the page asks for {noun}");
        let (status, body) = answer(served.request("GET", &format!("/v1/{noun}"))).await;
        assert_eq!(status, 200, "{noun}");
        assert!(body.starts_with(['[', '{']), "{noun}: {body}");
    }
    assert!(script.contains("/v1/events"));
    let kind = header(served.request("GET", "/v1/events"), "content-type").await;
    assert!(kind.starts_with("text/event-stream"), "{kind}");
}

#[tokio::test]
async fn nobody_passes_without_the_password_or_from_another_page() {
    let served = start().await;
    for path in ["/", "/page.js", "/icon.svg", "/v1/desired_lrps", "/v1/events", "/nonsense"] {
        let wrong = served.anonymous("GET", path).basic_auth("user", Some("guess"));
        for request in [served.anonymous("GET", path), wrong] {
            assert_eq!(answer(request).await.0, 401, "{path}");
        }
        let foreign = served.request("GET", path).header("origin", "http://evil.example");
        assert_eq!(answer(foreign).await.0, 403, "{path}");
    }
}

#[tokio::test]
async fn nothing_can_be_changed_through_it() {
    let served = start().await;
    for (method, path) in [
        ("POST", "/v1/desired_lrps"),
        ("PUT", "/v1/desired_lrps/web"),
        ("DELETE", "/v1/desired_lrps/web"),
        ("POST", "/v1/tasks"),
        ("PUT", "/v1/domains/lattice"),
        ("PUT", "/v1/registry_credentials"),
        ("POST", "/v1/auth_cookie"),
    ] {
        let (status, _) = answer(served.request(method, path).body("{}")).await;
        assert!(matches!(status, 404 | 405), "{method} {path}: {status}");
    }
    assert!(served.receptor.state().domains.is_empty());
}
