//! Nonsense at every endpoint: a clear error, and no harm.

use lattice_tests::appliance::Appliance;
use lattice_tests::web::{Answer, Web};
use lattice_tests::{image, machine};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// What takes a document.
const BODIES: [(Method, &str); 4] = [
    (Method::POST, "/v1/desired_lrps"),
    (Method::PUT, "/v1/desired_lrps/web"),
    (Method::POST, "/v1/tasks"),
    (Method::PUT, "/v1/registry_credentials"),
];

#[test]
fn nonsense_gets_a_clear_error_and_harms_nothing() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap()]);

    for (method, path) in BODIES {
        for garbage in ["", "{", "[]", "\"x\"", "nul", "{\"ports\":[70000]}", "\u{0}\u{1}"] {
            // An update may change nothing, and says so with an empty object and unknown fields.
            let is_update = path == "/v1/desired_lrps/web";
            if is_update && garbage.starts_with("{\"") {
                continue;
            }
            let answer = raw(&lattice, &web, (method.clone(), "receptor", path), garbage);
            assert_eq!(answer.status, 400, "{path} {garbage:?}: {answer:?}");
            assert_named(&answer);
        }
        let huge = "x".repeat(8 * 1024 * 1024);
        let answer = raw(&lattice, &web, (method, "receptor", path), &huge);
        assert!([400, 413].contains(&answer.status), "{path}: {}", answer.status);
    }

    let unknown = json!({"instances": 1, "no_such_field": {"a": [1, 2]}});
    let answer = lattice.api(&web, Method::PUT, "/v1/desired_lrps/web", Some(unknown));
    assert_eq!(answer.status, 204, "unknown fields are ignored: {answer:?}");

    for guid in ["no-such", "%2e%2e%2f", "a%20b", "%00", &"x".repeat(5000)] {
        for (method, path, body) in [
            (Method::GET, format!("/v1/desired_lrps/{guid}"), None),
            (Method::PUT, format!("/v1/desired_lrps/{guid}"), Some(json!({"instances": 1}))),
            (Method::DELETE, format!("/v1/desired_lrps/{guid}"), None),
            (Method::GET, format!("/v1/tasks/{guid}"), None),
            (Method::DELETE, format!("/v1/tasks/{guid}"), None),
            (Method::POST, format!("/v1/tasks/{guid}/cancel"), None),
            (Method::DELETE, format!("/v1/actual_lrps/{guid}/index/0"), None),
            (Method::DELETE, format!("/v1/actual_lrps/{guid}/index/x"), None),
        ] {
            let answer = lattice.api(&web, method.clone(), &path, body);
            assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
        }
    }
    for guid in ["no-such", "%00", "%ff", &"x".repeat(5000)] {
        // Of what nobody has heard of there is nothing.
        for path in [format!("/v1/actual_lrps/{guid}"), format!("/v1/actual_lrps/{guid}/progress")]
        {
            let answer = raw(&lattice, &web, (Method::GET, "receptor", &path), "");
            let is_empty = answer.status == 200 && answer.body == "[]";
            assert!(is_empty || (400..500).contains(&answer.status), "{path}: {answer:?}");
        }
    }
    let path = format!("/v1/domains/{}", "x".repeat(5000));
    let answer = raw(&lattice, &web, (Method::PUT, "receptor", &path), "");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_named(&answer);
    nonsense_in_headers(&lattice, &web);
    nonsense_at_the_other_servers(&lattice, &web);

    assert_eq!(web.get("web", "/index").unwrap().body, "0", "the app has not noticed");
    assert_eq!(lattice.states(&web, "web"), ["RUNNING"]);
}

/// Numbers that are none. A reader of events who cannot say where it stopped is told to list
/// everything.
fn nonsense_in_headers(lattice: &Appliance, web: &Web) {
    for value in ["x", "-1", "max-age=-1", "max-age=x", "1e3", "99999999999999999999999"] {
        let request = asked(lattice, web, (Method::PUT, "receptor", "/v1/domains/mine"));
        let answer = web.send(request.header("cache-control", value)).unwrap();
        assert_eq!(answer.status, 400, "cache-control: {value}: {answer:?}");
        assert_named(&answer);
        let request = asked(lattice, web, (Method::GET, "receptor", "/v1/events"));
        let request = request.header("last-event-id", value);
        let first = web.block_on(async { request.send().await?.chunk().await }).unwrap().unwrap();
        let first = String::from_utf8(first.to_vec()).unwrap();
        assert!(first.contains("event: resync\n"), "last-event-id: {value}: {first}");
    }
}

/// Nonsense for the log-aggregator and the registry, whose errors have forms of their own.
fn nonsense_at_the_other_servers(lattice: &Appliance, web: &Web) {
    for id in ["%00", "%ff", "%2e%2e%2f", &"x".repeat(5000)] {
        for page in ["stream", "recentlogs", "containermetrics", "nonsense"] {
            let path = format!("/apps/{id}/{page}");
            let answer = raw(lattice, web, (Method::GET, "doppler", &path), "");
            // An app that nobody has heard of has no lines, whatever its name.
            let is_empty = answer.status == 200 && !answer.body.contains("octet-stream");
            assert!(is_empty || (400..500).contains(&answer.status), "{path}: {answer:?}");
        }
    }
    for path in ["/v2/../x/manifests/y", "/v2/A/manifests/y", "/v2/a/blobs/sha256:zz"] {
        let answer = raw(lattice, web, (Method::GET, "registry", path), "");
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
    for garbage in ["", "{", "[]", "{\"schemaVersion\": 2}", "\u{0}\u{1}"] {
        let put = (Method::PUT, "registry", "/v2/a/manifests/v1");
        let answer = raw(lattice, web, put, garbage);
        assert_eq!(answer.status, 400, "{garbage:?}: {answer:?}");
        let error: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(error["errors"][0]["code"].is_string(), "{garbage:?}: {answer:?}");
    }
    for path in
        ["/v2/a/blobs/uploads/no-such", "/v2/A/blobs/uploads/", "/v2/a/blobs/uploads/?digest=x"]
    {
        let answer = raw(lattice, web, (Method::POST, "registry", path), "x");
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
}

/// A method, one of the platform's names, and a path there.
type Target<'a> = (Method, &'a str, &'a str);

fn raw(lattice: &Appliance, web: &Web, target: Target<'_>, body: &str) -> Answer {
    let path = target.2.to_owned();
    let request = asked(lattice, web, target).header("content-type", "application/json");
    web.send(request.body(body.to_owned())).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// A request as the administrator.
fn asked(lattice: &Appliance, web: &Web, (method, server, path): Target<'_>) -> RequestBuilder {
    let admin = lattice.admin();
    web.request(method, server, path).basic_auth(&admin.username, Some(&admin.password))
}

/// Every error is `{"name": ..., "message": ...}`.
fn assert_named(answer: &Answer) {
    let error: Value =
        serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
    for key in ["name", "message"] {
        assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "{answer:?}");
    }
}
