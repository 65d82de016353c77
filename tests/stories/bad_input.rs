//! Nonsense at every endpoint: a clear error, and no harm.

use lattice_tests::appliance::Appliance;
use lattice_tests::web::{Answer, Web};
use lattice_tests::{image, machine};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn nonsense_gets_a_clear_error_and_harms_nothing() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap()]);

    for path in ["/v1/desired_lrps", "/v1/tasks", "/v1/registry_credentials"] {
        let method = if path.ends_with("credentials") { Method::PUT } else { Method::POST };
        for garbage in ["", "{", "[]", "\"x\"", "nul", "{\"ports\":[70000]}", "\u{0}\u{1}"] {
            let answer = raw(&lattice, &web, method.clone(), path, garbage.to_owned());
            assert_eq!(answer.status, 400, "{path} {garbage:?}: {answer:?}");
            assert_named(&answer);
        }
        let huge = "x".repeat(8 * 1024 * 1024);
        let answer = raw(&lattice, &web, method, path, huge);
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
    for path in ["/v2/../x/manifests/y", "/v2/A/manifests/y", "/v2/a/blobs/sha256:zz"] {
        let admin = lattice.admin();
        let request = web
            .request(Method::GET, "registry", path)
            .basic_auth(&admin.username, Some(&admin.password));
        let answer = web.send(request).unwrap();
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }

    assert_eq!(web.get("web", "/index").unwrap().body, "0", "the app has not noticed");
    assert_eq!(lattice.states(&web, "web"), ["RUNNING"]);
}

fn raw(lattice: &Appliance, web: &Web, method: Method, path: &str, body: String) -> Answer {
    let admin = lattice.admin();
    let request = web
        .request(method, "receptor", path)
        .basic_auth(&admin.username, Some(&admin.password))
        .header("content-type", "application/json")
        .body(body);
    web.send(request).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Every error is `{"name": ..., "message": ...}`.
fn assert_named(answer: &Answer) {
    let error: Value =
        serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
    for key in ["name", "message"] {
        assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "{answer:?}");
    }
}
