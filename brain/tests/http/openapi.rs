//! The OpenAPI document: served, checked in, complete, and true.

use std::collections::BTreeSet;
use std::path::Path;

use lattice_api::brain::bodies::{DesiredLrpResponse, TaskResponse, desired_lrp, task};
use lattice_api::brain::moves::{DrainRequest, RebalanceRequest};
use lattice_brain::http::openapi::DOCUMENT;
use lattice_model::{DesiredLrpUpdate, Routes, Task};
use serde_json::{Value, json};

use super::schema::{document, faults, operation};
use super::{Served, answer, samples};

const GOLDEN: &str = "docs/openapi.json";

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn schema(name: &str) -> &'static Value {
    &document()["components"]["schemas"][name]
}

#[test]
fn the_document_is_checked_in_as_it_is_served() {
    let path = top().join(GOLDEN);
    if std::env::var_os("LATTICE_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, DOCUMENT.as_str()).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let is_same = golden == *DOCUMENT;
    assert!(is_same, "{GOLDEN} is old: run this test with LATTICE_UPDATE_GOLDEN=1, and look at it");
}

#[tokio::test]
async fn the_document_is_served_behind_the_gate() {
    let served = Served::start().await;
    assert_eq!(answer(served.anonymous("GET", "/v1/openapi.json")).await.0, 401);
    let (status, text) = answer(served.request("GET", "/v1/openapi.json")).await;
    assert_eq!((status, &text), (200, &*DOCUMENT));
}

#[test]
fn every_route_is_in_the_document_and_nothing_else_is() {
    let source = top().join("foundation/api/src/brain/routes.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let routes =
        source.lines().filter_map(|line| line.split_once("&str = \"/v1/")?.1.split_once('"'));
    let routes: BTreeSet<_> = routes.map(|(path, _)| format!("/v1/{path}")).collect();
    assert!(routes.len() > 15, "{routes:?}");
    let described = document()["paths"].as_object().unwrap().keys().cloned();
    assert_eq!(described.collect::<BTreeSet<_>>(), routes);
}

#[test]
fn every_operation_has_a_name_of_its_own_words_and_schemas_that_are_there() {
    let paths = document()["paths"].as_object().unwrap().values();
    let operations: Vec<_> = paths.flat_map(|item| item.as_object().unwrap().values()).collect();
    let ids: BTreeSet<_> = operations.iter().map(|o| o["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
    assert!(operations.iter().all(|o| !o["summary"].as_str().unwrap().is_empty()));
    let mut found = 0;
    let mut unseen = vec![document()];
    while let Some(value) = unseen.pop() {
        unseen.extend(value.as_array().into_iter().flatten());
        for (name, inner) in value.as_object().into_iter().flatten() {
            if name == "$ref" {
                let at = inner.as_str().unwrap().strip_prefix('#').unwrap();
                assert!(document().pointer(at).is_some(), "{inner}");
                found += 1;
            }
            unseen.push(inner);
        }
    }
    assert!(found > 50, "{found}");
}

#[test]
fn what_is_sent_is_as_the_document_says() {
    let update = DesiredLrpUpdate { instances: Some(1), ..DesiredLrpUpdate::default() };
    let routes = Some(Routes([("x".to_owned(), json!([1]))].into()));
    for (name, body) in [
        ("DesiredLrpCreate", samples::lrp_body("web")),
        ("TaskCreate", samples::task_body("one")),
        ("DesiredLrpUpdate", serde_json::to_value(update).unwrap()),
        (
            "DesiredLrpUpdate",
            serde_json::to_value(DesiredLrpUpdate { routes, ..DesiredLrpUpdate::default() })
                .unwrap(),
        ),
        ("Drain", serde_json::to_value(DrainRequest::default()).unwrap()),
        ("Rebalance", serde_json::to_value(RebalanceRequest::default()).unwrap()),
        ("RegistryCredentials", json!({"registry": "a.io", "username": "u", "password": "p"})),
    ] {
        assert_eq!(faults(&body, schema(name)), [""; 0], "{name}");
    }
}

#[test]
fn what_is_ours_in_an_lrp_and_a_task_is_described_too() {
    let ours = json!({"app": "shop", "restart_policy": {"on_failure": {"attempts_max": 3}},
        "max_pids": 64, "cpu_limit_percent": 50, "log_rate_limit": 1000, "placement_tags": ["gpu"],
        "volume_drivers": ["nfs"], "placement": {"strategy": "binpack",
            "constraints": [{"label": "disk", "operator": "==", "value": "ssd"}],
            "affinities": [{"app": "db", "relation": "with", "weight": 10}]}});
    let of_lrps = json!({"stop": {"signal": "SIGINT", "grace_ms": 5},
        "check_definition": {"checks": [{"tcp_check": {"port": 80, "interval_ms": 500}}],
            "readiness_checks": [{"http_check": {"port": 80, "path": "/up"}}]},
        "sidecars": [{"name": "proxy", "memory_mb": 8, "action": {"run": {"path": "/p", "user": "u"}}}],
        "mounts": [{"volume": "data", "path": "/data"}],
        "containers": [{"name": "db", "rootfs": "docker:///db", "max_pids": 9, "ports": [5432],
            "action": {"run": {"path": "/db", "user": "u"}}, "env": [{"name": "A", "value": "b"}],
            "stop": {"grace_ms": 5}, "mounts": [{"volume": "data", "path": "/d", "read_only": true}],
            "sidecars": [{"action": {"run": {"path": "/b", "user": "u"}}}]}]});
    let (mut lrp, mut one) = (samples::lrp_body("web"), samples::task_body("one"));
    for (name, value) in ours.as_object().unwrap() {
        lrp[name] = value.clone();
        one[name] = value.clone();
    }
    for (name, value) in of_lrps.as_object().unwrap() {
        lrp[name] = value.clone();
    }
    assert_eq!(faults(&lrp, schema("DesiredLrpCreate")), [""; 0]);
    assert_eq!(faults(&one, schema("TaskCreate")), [""; 0]);
    let lrp = desired_lrp::parse_create(&lrp).unwrap();
    let written = serde_json::to_value(DesiredLrpResponse::from(&lrp)).unwrap();
    assert_eq!(faults(&written, schema("DesiredLrp")), [""; 0]);
    assert!(ours.as_object().unwrap().keys().all(|name| written.get(name).is_some()), "{written}");
    let definition = task::parse_create(&one).unwrap();
    let running = Task { definition, ..samples::running_task("one") };
    let written = serde_json::to_value(TaskResponse::from(&running)).unwrap();
    assert_eq!(faults(&written, schema("Task")), [""; 0]);
}

/// Bodies that the document and the server refuse alike.
#[test]
fn what_the_document_refuses_the_server_refuses_too() {
    for changes in [
        json!({"process_guid": ""}),
        json!({"process_guid": "x".repeat(201)}),
        json!({"domain": ""}),
        json!({"rootfs": null}),
        json!({"action": null}),
        json!({"action": {}}),
        json!({"action": {"run": {"path": "x"}}}),
        json!({"action": {"serial": {"actions": []}}}),
        json!({"action": {"run": {"path": "x", "user": "u"}, "upload": {"from": "a", "to": "b", "user": "u"}}}),
        json!({"setup": {"timeout": {"action": {"run": {"path": "x", "user": "u"}}, "timeout": 0}}}),
        json!({"instances": -1}),
        json!({"instances": 100_001}),
        json!({"instances": "3"}),
        json!({"memory_mb": -1}),
        json!({"disk_mb": 1.5}),
        json!({"max_pids": -1}),
        json!({"log_rate_limit": -2}),
        json!({"cpu_weight": 101}),
        json!({"cpu_limit_percent": 100_001}),
        json!({"ports": [70_000]}),
        json!({"env": [{"value": "x"}]}),
        json!({"annotation": "x".repeat(10_241)}),
        json!({"egress_rules": [{"protocol": "x", "destinations": ["1.2.3.4"]}]}),
        json!({"egress_rules": [{"protocol": "all", "destinations": []}]}),
        json!({"restart_policy": "sometimes"}),
        json!({"update_strategy": "never"}),
        json!({"placement": {"strategy": "guess"}}),
        json!({"placement": {"constraints": [{"label": "x", "operator": "=", "value": "y"}]}}),
    ] {
        let mut lrp = samples::lrp_body("web");
        let mut one = samples::task_body("one");
        for (name, value) in changes.as_object().unwrap() {
            lrp[name] = value.clone();
            one[name] = value.clone();
        }
        assert_ne!(faults(&lrp, schema("DesiredLrpCreate")), [""; 0], "{changes}");
        assert!(desired_lrp::parse_create(&lrp).is_err(), "{changes}");
        if faults(&one, schema("TaskCreate")) != [""; 0] {
            assert!(task::parse_create(&one).is_err(), "{changes}");
        }
    }
}

#[tokio::test]
async fn what_is_read_of_every_noun_is_as_the_document_says() {
    let served = Served::start().await;
    served.receptor.state().instances = samples::instances("web");
    let task = samples::running_task("one");
    served.receptor.state().tasks.insert(task.definition.task_guid.clone(), task);
    let create = served.request("POST", "/v1/desired_lrps").json(&samples::lrp_body("web"));
    assert_eq!(answer(create).await.0, 201);
    assert_eq!(answer(served.request("PUT", "/v1/domains/lattice")).await.0, 204);
    let credentials = json!({"registry": "h.io", "username": "u", "password": "p"});
    let put = served.request("PUT", "/v1/registry_credentials").json(&credentials);
    assert_eq!(answer(put).await.0, 204);
    let certificate = json!({"certificate": "PEM", "key": "PEM"});
    for (host, body) in [("shop.test", certificate), ("ordered.test", json!({"order": true}))] {
        let put = served.request("PUT", &format!("/v1/custom_domains/{host}")).json(&body);
        assert_eq!(answer(put).await.0, 200);
    }
    for path in document()["paths"].as_object().unwrap().keys() {
        let path = path.replace("{index}", "1").replace("tasks/{guid}", "tasks/one");
        let path = path.replace("{guid}", "web").replace("{domain}", "lattice");
        let of_json = |operation: &&Value| {
            operation["responses"]["200"]["content"]["application/json"].is_object()
        };
        if operation("GET", &path).filter(of_json).is_some() {
            // Every answer is held against the document as it is read.
            let (status, text) = answer(served.request("GET", &path)).await;
            assert_eq!(status, 200, "{path}: {text}");
            assert!(text.len() > 2, "{path} has something to show: {text}");
        }
    }
}
