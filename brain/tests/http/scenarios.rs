//! What Diego's black-box suite asks of desired LRPs, instances, tasks and domains, asked of a
//! whole brain over its API.

use std::time::Duration;

use lattice_api::brain::Receptor as _;
use lattice_model::task::TaskOutcome;
use lattice_model::{
    ActualState, DesiredLrpUpdate, Domain, ErrorName, ProcessGuid, Routes, TaskGuid, TaskState,
};
use serde_json::{Value, json};

use super::platform::{Platform, refusal};
use super::samples::guid;

const BAD_GUIDS: [&str; 7] = ["", "a/b", "a,b", "a.b", "\u{f1}", "a b", "a\u{0}"];

fn lrp(guid: &str, changes: Value) -> Value {
    let mut body = json!({"process_guid": guid, "domain": "lattice", "instances": 1,
        "rootfs": "docker:///x#y", "action": {"run": {"path": "/x", "user": "u"}}});
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn task(guid: &str, changes: Value) -> Value {
    let mut body = lrp("", changes);
    body["task_guid"] = guid.into();
    for name in ["process_guid", "instances"] {
        body.as_object_mut().unwrap().remove(name);
    }
    body
}

fn domain(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

fn task_guid(name: &str) -> TaskGuid {
    TaskGuid::new(name).unwrap()
}

fn invalid(fields: &[&str]) -> String {
    let fields: Vec<_> = fields.iter().map(|field| format!("Invalid field: {field}")).collect();
    fields.join(", ")
}

#[tokio::test]
async fn a_domain_is_fresh_for_its_time_and_needs_a_name() {
    let platform = Platform::start().await;
    let client = &platform.client;
    client.upsert_domain(domain("for-ever"), Some(0)).await.unwrap();
    client.upsert_domain(domain("short"), Some(2)).await.unwrap();
    let fresh = || async { client.domains().await.unwrap() };
    assert_eq!(fresh().await, ["for-ever", "lattice", "short"].map(domain));
    platform.pass(Duration::from_secs(1));
    assert_eq!(fresh().await.len(), 3);
    platform.pass(Duration::from_secs(2));
    assert_eq!(fresh().await, ["for-ever", "lattice"].map(domain));
    client.upsert_domain(domain("short"), Some(2)).await.unwrap();
    assert_eq!(fresh().await.len(), 3, "vouched for again");
    platform.pass(Duration::from_secs(100 * 365 * 24 * 3600));
    assert_eq!(fresh().await, ["for-ever", "lattice"].map(domain));
    assert!(Domain::new("").is_err());
    let long = Domain::new("x".repeat(201)).unwrap();
    assert_eq!(refusal(client.upsert_domain(long, None).await).0, ErrorName::InvalidDomain);
}

#[tokio::test]
async fn a_well_formed_lrp_is_desired_and_runs() {
    let platform = Platform::start().await;
    let env = json!([{"name": "A", "value": "outer"}]);
    let action = json!({"run": {"path": "/x", "user": "u",
        "env": [{"name": "A", "value": "inner"}]}});
    let body = lrp("web", json!({"env": env, "action": action, "instances": 2}));
    platform.desire(&body).await.unwrap();
    let rows = platform.until_running(2).await;
    let indices: Vec<_> = rows.iter().map(|row| row.key.index).collect();
    assert_eq!(indices, [0, 1]);
    let found = platform.client.desired_lrp(&guid("web")).await.unwrap();
    assert_eq!((found.instances, found.modification_tag.index), (2, 0));
    let written = serde_json::to_value(&found.main().action).unwrap();
    assert_eq!(
        (written, found.main().env[0].value.as_str()),
        (
            json!({"run": {"path": "/x", "user": "u", "env": [{"name": "A", "value": "inner"}],
            "resource_limits": {}}}),
            "outer"
        )
    );
}

#[tokio::test]
async fn a_malformed_lrp_is_refused_with_every_bad_field_named() {
    let platform = Platform::start().await;
    for bad in BAD_GUIDS {
        let found = refusal(platform.desire(&lrp(bad, json!({}))).await);
        assert_eq!(found, (ErrorName::InvalidLRP, invalid(&["process_guid"])), "{bad:?}");
    }
    for (changes, message) in [
        (json!({"process_guid": null}), invalid(&["process_guid"])),
        (json!({"domain": null}), invalid(&["domain"])),
        (json!({"rootfs": null}), invalid(&["rootfs", "rootfs"])),
        (json!({"rootfs": "x"}), invalid(&["rootfs"])),
        (json!({"action": null}), "invalid action type".to_owned()),
        (json!({"annotation": "x".repeat(10_241)}), invalid(&["annotation"])),
        (json!({"routes": {"x": "y".repeat(131_072)}}), invalid(&["routes"])),
        (
            json!({"domain": "", "rootfs": "x", "instances": -1, "max_pids": -1}),
            invalid(&["domain", "rootfs", "instances", "max_pids"]),
        ),
    ] {
        let found = refusal(platform.desire(&lrp("web", changes)).await);
        assert_eq!(found, (ErrorName::InvalidLRP, message));
    }
    let found = refusal(platform.desire(&lrp("web", json!({"max_pids": -1}))).await);
    assert_eq!(found, (ErrorName::UnknownError, invalid(&["max_pids"])));
    assert!(platform.client.desired_lrps(None).await.unwrap().is_empty());
    let full = lrp(
        "web",
        json!({"annotation": "x".repeat(10_240),
        "routes": {"x": "y".repeat(131_070)}}),
    );
    platform.desire(&full).await.unwrap();
}

#[tokio::test]
async fn a_guid_is_taken_once_over_all_domains() {
    let platform = Platform::start().await;
    platform.desire(&lrp("web", json!({}))).await.unwrap();
    for changes in [json!({}), json!({"domain": "other"})] {
        let found = refusal(platform.desire(&lrp("web", changes)).await);
        let message = "Desired LRP with guid 'web' already exists".to_owned();
        assert_eq!(found, (ErrorName::DesiredLRPAlreadyExists, message));
    }
    platform.desire_task(&task("one", json!({}))).await.unwrap();
    for changes in [json!({}), json!({"domain": "other"})] {
        let found = refusal(platform.desire_task(&task("one", changes)).await);
        assert_eq!(found, (ErrorName::TaskGuidAlreadyExists, "task already exists".to_owned()));
    }
}

#[tokio::test]
async fn an_lrp_is_scaled_from_nothing_and_back() {
    let platform = Platform::start().await;
    platform.desire(&lrp("web", json!({"instances": 0}))).await.unwrap();
    assert!(platform.client.actual_lrps(None).await.unwrap().is_empty());
    for instances in [1, 2, 1, 0] {
        let update = DesiredLrpUpdate { instances: Some(instances), ..Default::default() };
        platform.client.update_lrp(&guid("web"), update).await.unwrap();
        let rows = platform.until_running(instances as usize).await;
        assert!(rows.iter().all(|row| row.key.index < instances));
    }
}

#[tokio::test]
async fn updates_change_what_they_name_and_count() {
    let platform = Platform::start().await;
    platform.desire(&lrp("web", json!({"annotation": "a"}))).await.unwrap();
    let (client, web) = (&platform.client, guid("web"));
    let first = client.desired_lrp(&web).await.unwrap();
    let routes = |host: &str| {
        let route = json!([{"hostnames": [format!("{host}.lattice.localhost")], "port": 80}]);
        Some(Routes([("cf-router".to_owned(), route)].into()))
    };
    let none = DesiredLrpUpdate::default;
    for (count, update) in (1..).zip([
        DesiredLrpUpdate { routes: routes("a"), ..none() },
        DesiredLrpUpdate { annotation: Some("b".into()), ..none() },
        DesiredLrpUpdate { instances: Some(3), routes: routes("c"), annotation: Some("d".into()) },
        none(),
    ]) {
        let before = client.desired_lrp(&web).await.unwrap();
        client.update_lrp(&web, update.clone()).await.unwrap();
        let after = client.desired_lrp(&web).await.unwrap();
        assert_eq!(after.instances, update.instances.unwrap_or(before.instances));
        assert_eq!(after.routes, update.routes.unwrap_or_else(|| before.routes.clone()));
        assert_eq!(after.annotation, update.annotation.unwrap_or(before.annotation.clone()));
        let (epoch, tag) = (&first.modification_tag.epoch, &after.modification_tag);
        assert_eq!((&tag.epoch, tag.index), (epoch, count));
    }
    let missing = client.update_lrp(&guid("none"), none()).await;
    let message = "Desired LRP with guid 'none' not found".to_owned();
    assert_eq!(refusal(missing), (ErrorName::DesiredLRPNotFound, message));
    let bad = DesiredLrpUpdate { annotation: Some("x".repeat(10_241)), ..none() };
    let found = refusal(client.update_lrp(&web, bad).await);
    assert_eq!(found, (ErrorName::UnknownError, invalid(&["annotation"])));
}

#[tokio::test]
async fn lists_are_by_domain_and_guid_and_a_missing_one_is_an_error() {
    let platform = Platform::start().await;
    let client = &platform.client;
    platform.desire(&lrp("b", json!({}))).await.unwrap();
    platform.desire(&lrp("a", json!({"domain": "other", "instances": 2}))).await.unwrap();
    platform.until_running(3).await;
    let guids = |lrps: Vec<std::sync::Arc<lattice_model::DesiredLrp>>| -> Vec<String> {
        lrps.iter().map(|lrp| lrp.process_guid.to_string()).collect()
    };
    assert_eq!(guids(client.desired_lrps(None).await.unwrap()), ["a", "b"]);
    let (other, empty) = (domain("other"), domain("nobody's"));
    assert_eq!(guids(client.desired_lrps(Some(&other)).await.unwrap()), ["a"]);
    assert!(client.desired_lrps(Some(&empty)).await.unwrap().is_empty());
    let actual = |domain: &Domain| {
        let domain = domain.clone();
        async move { client.actual_lrps(Some(&domain)).await.unwrap().len() }
    };
    assert_eq!((actual(&other).await, actual(&empty).await), (2, 0));
    let of = |guid: ProcessGuid| async move { client.actual_lrps_of(&guid).await.unwrap().len() };
    assert_eq!((of(guid("a")).await, of(guid("none")).await), (2, 0));
    let missing = refusal(client.desired_lrp(&guid("none")).await);
    assert_eq!(missing.0, ErrorName::DesiredLRPNotFound);
    assert_eq!(client.desired_lrp(&guid("a")).await.unwrap().domain, other);
}

#[tokio::test]
async fn what_is_deleted_goes_in_every_state_and_only_once() {
    let platform = Platform::start().await;
    let client = &platform.client;
    platform.desire(&lrp("web", json!({"instances": 2}))).await.unwrap();
    platform.desire(&lrp("huge", json!({"memory_mb": 9_999}))).await.unwrap();
    let rows = platform.until("two run and one waits", |rows| {
        let run = rows.iter().filter(|row| row.net().is_some()).count();
        let waits = rows
            .iter()
            .any(|row| matches!(&row.state, ActualState::Unclaimed { placement_error: Some(_) }));
        rows.len() == 3 && run == 2 && waits
    });
    let rows = rows.await;
    let ActualState::Unclaimed { placement_error: Some(error) } = &rows[0].state else {
        panic!("{:?}", rows[0])
    };
    assert!(error.reason.starts_with("insufficient resources"), "{error:?}");
    for name in ["web", "huge"] {
        client.remove_lrp(&guid(name)).await.unwrap();
        let again = refusal(client.remove_lrp(&guid(name)).await);
        let message = format!("Desired LRP with guid '{name}' not found");
        assert_eq!(again, (ErrorName::DesiredLRPNotFound, message));
    }
    platform.until_running(0).await;
}

#[tokio::test]
async fn one_instance_is_restarted_and_a_missing_one_is_an_error() {
    let platform = Platform::start().await;
    let (client, web) = (&platform.client, guid("web"));
    platform.desire(&lrp("web", json!({"instances": 2}))).await.unwrap();
    let before = platform.until_running(2).await;
    client.retire(&web, 1).await.unwrap();
    let former = before[1].instance().unwrap().clone();
    let is_new = |rows: &[lattice_model::ActualLrp]| {
        rows.len() == 2 && rows[1].net().is_some() && rows[1].instance() != Some(&former)
    };
    let after = platform.until("a new incarnation runs", is_new).await;
    assert_eq!(after[0].instance(), before[0].instance(), "the other one is left alone");
    for (name, index) in [("web", 2), ("none", 0)] {
        let message =
            format!("process-guid '{name}' does not exist or has no instance at index {index}");
        let found = refusal(client.retire(&guid(name), index).await);
        assert_eq!(found, (ErrorName::ActualLRPIndexNotFound, message));
    }
}

#[tokio::test]
async fn a_task_runs_to_its_end_and_is_deleted_then_and_not_before() {
    let platform = Platform::start().await;
    let (client, one) = (&platform.client, task_guid("one"));
    let env = json!([{"name": "A", "value": "b"}]);
    let body = task("one", json!({"env": env, "result_file": "/r", "annotation": "mine"}));
    platform.desire_task(&body).await.unwrap();
    let early = refusal(client.delete_task(&one).await);
    let message = "This task has not been completed. Please retry when it is completed.";
    assert_eq!(early, (ErrorName::TaskNotDeletable, message.to_owned()));
    platform.run_task(&one, TaskOutcome { result: "42".into(), ..Default::default() }).await;
    let found = client.task(&one).await.unwrap();
    let TaskState::Completed(outcome) = &found.state else { panic!("{found:?}") };
    assert_eq!((outcome.failed, outcome.result.as_str()), (false, "42"));
    assert_eq!(found.definition.annotation, "mine");
    assert_eq!(found.definition.main().env[0].value, "b");
    let late = refusal(client.cancel_task(&one).await);
    let message = "Cannot transition from Completed to Completed".to_owned();
    assert_eq!(late, (ErrorName::UnknownError, message));
    client.delete_task(&one).await.unwrap();
    let missing = (ErrorName::TaskNotFound, "task with guid 'one' not found".to_owned());
    assert_eq!(refusal(client.delete_task(&one).await), missing);
    assert_eq!(refusal(client.task(&one).await), missing);
    assert_eq!(refusal(client.cancel_task(&one).await), missing);
}

#[tokio::test]
async fn a_task_that_fails_or_is_cancelled_says_why_and_has_no_result() {
    let platform = Platform::start().await;
    for (name, reason) in [("failing", "Exited with status 1"), ("cancelled", "task was cancelled")]
    {
        platform.desire_task(&task(name, json!({}))).await.unwrap();
        let guid = task_guid(name);
        if name == "cancelled" {
            assert!(platform.client.task(&guid).await.is_ok());
            platform.client.cancel_task(&guid).await.unwrap();
        } else {
            let failure_reason = reason.to_owned();
            let outcome = TaskOutcome { failed: true, failure_reason, ..Default::default() };
            platform.run_task(&guid, outcome).await;
        }
        let found = platform.client.task(&guid).await.unwrap();
        let TaskState::Completed(outcome) = found.state else { panic!("{found:?}") };
        assert_eq!((outcome.failed, outcome.failure_reason.as_str()), (true, reason));
        assert_eq!(outcome.result, "");
    }
}

#[tokio::test]
async fn a_malformed_task_is_refused_with_every_bad_field_named() {
    let platform = Platform::start().await;
    for bad in BAD_GUIDS {
        let found = refusal(platform.desire_task(&task(bad, json!({}))).await);
        assert_eq!(found, (ErrorName::InvalidTask, invalid(&["task_guid"])), "{bad:?}");
    }
    for (changes, message) in [
        (json!({"domain": null}), invalid(&["domain"])),
        (json!({"rootfs": null}), invalid(&["rootfs"])),
        (json!({"rootfs": "x"}), invalid(&["rootfs"])),
        (json!({"action": null}), "invalid action type".to_owned()),
        (json!({"annotation": "x".repeat(10_241)}), invalid(&["annotation"])),
        (
            json!({"domain": "", "cpu_weight": 101, "completion_callback_url": "ftp://x/"}),
            invalid(&["domain", "cpu_weight", "completion_callback_url"]),
        ),
    ] {
        let found = refusal(platform.desire_task(&task("one", changes)).await);
        assert_eq!(found, (ErrorName::InvalidTask, message));
    }
    assert!(platform.client.tasks(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn tasks_are_listed_by_domain() {
    let platform = Platform::start().await;
    platform.desire_task(&task("b", json!({}))).await.unwrap();
    platform.desire_task(&task("a", json!({"domain": "other"}))).await.unwrap();
    let listed = |of: Option<Domain>| {
        let client = &platform.client;
        async move {
            let tasks = client.tasks(of.as_ref()).await.unwrap();
            tasks.iter().map(|t| t.definition.task_guid.to_string()).collect::<Vec<_>>()
        }
    };
    assert_eq!(listed(None).await, ["a", "b"]);
    assert_eq!(listed(Some(domain("other"))).await, ["a"]);
    assert_eq!(listed(Some(domain("empty"))).await, [""; 0]);
}

#[tokio::test]
async fn an_explanation_is_of_what_the_cells_hold_now() {
    let platform = Platform::start().await;
    let (client, cell) = (&platform.client, &platform.cell);
    platform.desire(&lrp("web", json!({"instances": 2, "memory_mb": 100}))).await.unwrap();
    platform.until_running(2).await;
    let web = client.explain(&guid("web"), 1).await.unwrap();
    assert_eq!((&web.runs_on, &web.chosen), (&Some(cell.clone()), &Some(cell.clone())));
    let [opinion] = &web.cells[..] else { panic!("{web:?}") };
    assert_eq!(opinion.instances_on_cell, 1, "it is thought away itself");
    assert_eq!(opinion.free.memory_mb, 1024 - 100);
    assert!(opinion.score.is_some(), "{opinion:?}");

    let placement = json!({"constraints": [{"label": "disk", "operator": "!=", "value": "ssd"}]});
    let picky = lrp("picky", json!({"memory_mb": 2048, "placement": placement}));
    platform.desire(&picky).await.unwrap();
    let picky = client.explain(&guid("picky"), 0).await.unwrap();
    assert_eq!((&picky.runs_on, &picky.chosen), (&None, &None));
    let filters = picky.cells[0].filters;
    assert!(filters.accepting && filters.rootfs && filters.placement_tags, "{filters:?}");
    assert!(!filters.constraints && !filters.resources, "{filters:?}");
    assert_eq!(picky.cells[0].score, None);
    let rows = platform.until("it failed", |rows| {
        rows.iter().any(|row| row.key.process_guid == guid("picky") && has_failed(row))
    });
    let rows = rows.await;
    let row = rows.iter().find(|row| row.key.process_guid == guid("picky")).unwrap();
    let ActualState::Unclaimed { placement_error: Some(error) } = &row.state else { panic!() };
    assert_eq!((&error.reason, &error.detail), (&picky.placement_error, &picky.placement_detail));
}

fn has_failed(row: &lattice_model::ActualLrp) -> bool {
    matches!(row.state, ActualState::Unclaimed { placement_error: Some(_) })
}
