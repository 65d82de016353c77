//! What an app sees from inside its container.

use reqwest::Method;
use serde_json::json;

use crate::appliance::Appliance;
use crate::image;
use crate::web::Web;

/// Runs `fixture-app` as a task in a container and returns what it found.
pub fn from_container(
    lattice: &Appliance,
    web: &Web,
    args: &[&str],
    env: &[(&str, &str)],
) -> String {
    let number = lattice.next_number();
    let guid = format!("probe-{number}");
    if number == 1 {
        let layout = image::layout(lattice.scratch(), "fixture-app", &[]);
        let account = lattice.account();
        image::copy(&layout, "registry.lattice.localhost:8080/fixture:v1", Some(&account));
    }
    let env: Vec<_> =
        env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let task = json!({
        "task_guid": guid, "domain": "lattice", "log_guid": guid, "log_source": "TASK",
        "rootfs": "docker://registry.lattice.localhost:8080/fixture#v1",
        "action": {"run": {"path": "/fixture-app", "args": args, "user": "root", "env": env}},
    });
    let posted = lattice.api(web, Method::POST, "/v1/tasks", Some(task));
    assert_eq!(posted.status, 201, "{posted:?}");
    lattice.wait_logged(web, &guid, "Exit status");
    let lines = lattice.recent_logs(web, &guid);
    let findings = ["|0 status ", "|0 resolved ", "connected"];
    let said = lines.iter().find(|line| findings.iter().any(|finding| line.contains(finding)));
    said.cloned().unwrap_or_else(|| panic!("{args:?} said nothing: {lines:?}"))
}
