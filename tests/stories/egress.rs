//! What instances reach beyond the platform where everything is denied that no rule allows.

use lattice_tests::appliance::Appliance;
use lattice_tests::inside::{from_container_under, push_fixture};
use lattice_tests::web::Web;
use lattice_tests::{machine, neighbour};
use reqwest::Method;
use serde_json::{Value, json};

const SERVER: &str = "10.99.0.2:7000";

#[test]
fn where_egress_is_closed_a_rule_of_an_app_or_of_a_task_opens_what_it_names_and_no_more() {
    machine::isolate();
    neighbour::join("10.99.0.1/24", "10.99.0.2/24");
    let _servers = [neighbour::serve(SERVER), neighbour::serve("10.99.0.2:7001")];
    let lattice = Appliance::start(&["--egress", "closed"]);
    let web = Web::new();
    let rule = json!([{"protocol": "tcp", "destinations": ["10.99.0.2"], "ports": [7000]}]);
    for (rules, address, is_open) in [
        (&json!([]), SERVER, false),
        (&rule, SERVER, true),
        (&rule, "10.99.0.2:7001", false),
        (&rule, "10.99.0.1:7000", false),
    ] {
        let said = from_container_under(rules, &lattice, &web, &["connect", address]);
        assert_eq!(said.contains("|0 connected"), is_open, "a task, {rules}, {address}: {said}");
    }
    let rootfs = push_fixture(&lattice);
    for (name, rules, expected) in
        [("denied", json!([]), "|0 not connected"), ("allowed", rule, "|0 connected")]
    {
        let said =
            lattice.api(&web, Method::POST, "/v1/desired_lrps", Some(app(name, rootfs, &rules)));
        assert_eq!(said.status, 201, "{said:?}");
        lattice.wait_logged(&web, name, expected);
    }
}

/// One that tries to connect, and ends.
fn app(name: &str, rootfs: &str, rules: &Value) -> Value {
    let run = json!({"path": "/fixture-app", "args": ["connect", SERVER], "user": "root"});
    json!({"process_guid": name, "domain": "lattice", "rootfs": rootfs, "instances": 1,
        "action": {"run": run}, "log_guid": name, "log_source": "APP", "egress_rules": rules})
}
