//! What an app sees from inside its container.

use reqwest::Method;
use serde_json::{Value, json};

use crate::appliance::Appliance;
use crate::image;
use crate::web::Web;

const FIXTURE: &str = "docker://registry.lattice.localhost:8080/fixture#v1";

/// Runs `fixture-app` as a task in a container and returns what it found.
pub fn from_container(
    lattice: &Appliance,
    web: &Web,
    args: &[&str],
    env: &[(&str, &str)],
) -> String {
    let env: Vec<_> =
        env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let run = json!({"path": "/fixture-app", "args": args, "user": "root", "env": env});
    find_out(lattice, web, json!({"action": {"run": run}}))
}

/// The same under these egress rules.
pub fn from_container_under(
    rules: &Value,
    lattice: &Appliance,
    web: &Web,
    args: &[&str],
) -> String {
    let run = json!({"path": "/fixture-app", "args": args, "user": "root"});
    find_out(lattice, web, json!({"action": {"run": run}, "egress_rules": rules}))
}

/// Puts the image where [`find_out`] has it from.
pub fn push_fixture(lattice: &Appliance) -> &'static str {
    let layout = image::layout(lattice.scratch(), "fixture-app", &[]);
    image::copy(&layout, "registry.lattice.localhost:8080/fixture:v1", Some(&lattice.account()));
    FIXTURE
}

fn find_out(lattice: &Appliance, web: &Web, mut task: Value) -> String {
    let number = lattice.next_number();
    let guid = format!("probe-{number}");
    if number == 1 {
        push_fixture(lattice);
    }
    for (key, value) in [
        ("task_guid", guid.as_str()),
        ("domain", "lattice"),
        ("log_guid", &guid),
        ("log_source", "TASK"),
        ("rootfs", FIXTURE),
    ] {
        task[key] = value.into();
    }
    let what = task.to_string();
    let posted = lattice.api(web, Method::POST, "/v1/tasks", Some(task));
    assert_eq!(posted.status, 201, "{posted:?}");
    lattice.wait_logged(web, &guid, "Exit status");
    let lines = lattice.recent_logs(web, &guid);
    let findings = ["|0 status ", "|0 resolved ", "connected"];
    let said = lines.iter().find(|line| findings.iter().any(|finding| line.contains(finding)));
    said.cloned().unwrap_or_else(|| panic!("{what} said nothing: {lines:?}"))
}
