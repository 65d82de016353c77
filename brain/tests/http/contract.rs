//! Every operation, through the client and the server to the receptor and back.

use lattice_api::brain::moves::{DrainRequest, RebalanceRequest};
use lattice_api::brain::{BrainError, Receptor as _, ReceptorClient, Target, routes};
use lattice_model::{
    CellId, CustomDomain, DesiredLrp, DesiredLrpUpdate, Domain, ErrorName, Placement,
    RegistryCredentials, Routes, Strategy, TaskGuid, TaskState,
};
use serde_json::json;

use super::fake::plan;
use super::samples::{self, guid};
use super::{Served, answer};

#[track_caller]
fn refused<T: std::fmt::Debug>(found: Result<T, BrainError>, name: ErrorName, message: &str) {
    match found {
        Err(BrainError::Refused(refusal)) => {
            assert_eq!((refusal.name, refusal.message.as_str()), (name, message));
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_desired_lrp_lives_through_the_client() {
    let served = Served::start().await;
    let client = served.client();
    let web = guid("web");
    client.desire_lrp(samples::lrp("web")).await.unwrap();
    let found = client.desired_lrp(&web).await.unwrap();
    let kept = served.receptor.state().lrps[&web].clone();
    assert_eq!(found, kept);
    assert_eq!(kept.containers, samples::lrp("web").containers);

    refused(
        client.desire_lrp(samples::lrp("web")).await,
        ErrorName::DesiredLRPAlreadyExists,
        "Desired LRP with guid 'web' already exists",
    );
    let routes = Some(Routes([("x".to_owned(), json!({"y": [1]}))].into()));
    let update = DesiredLrpUpdate { instances: Some(5), routes, annotation: Some("n".into()) };
    client.update_lrp(&web, update.clone()).await.unwrap();
    let changed = client.desired_lrp(&web).await.unwrap();
    assert_eq!(Some(changed.instances), update.instances);
    assert_eq!(Some(changed.routes.clone()), update.routes);
    assert_eq!(changed.annotation, "n");
    assert_eq!(changed.modification_tag.index, 1);
    client.update_lrp(&web, DesiredLrpUpdate::default()).await.unwrap();
    assert_eq!(client.desired_lrp(&web).await.unwrap().modification_tag.index, 2);

    let (lattice, other) = (Domain::new("lattice").unwrap(), Domain::new("a b/c").unwrap());
    assert_eq!(client.desired_lrps(None).await.unwrap().len(), 1);
    assert_eq!(client.desired_lrps(Some(&lattice)).await.unwrap().len(), 1);
    assert!(client.desired_lrps(Some(&other)).await.unwrap().is_empty());

    client.remove_lrp(&web).await.unwrap();
    let message = "Desired LRP with guid 'web' not found";
    refused(client.remove_lrp(&web).await, ErrorName::DesiredLRPNotFound, message);
    refused(client.desired_lrp(&web).await, ErrorName::DesiredLRPNotFound, message);
    let missing = client.update_lrp(&web, DesiredLrpUpdate::default()).await;
    refused(missing, ErrorName::DesiredLRPNotFound, message);
}

#[tokio::test]
async fn an_explanation_comes_through_whole() {
    let served = Served::start().await;
    let (client, web) = (served.client(), guid("web"));
    client.desire_lrp(samples::lrp("web")).await.unwrap();
    let lrp = served.receptor.state().lrps[&web].clone();
    assert_eq!(client.explain(&web, 0).await.unwrap(), samples::explanation(&lrp, 0));
    let message = "process-guid 'web' does not exist or has no instance at index 99";
    refused(client.explain(&web, 99).await, ErrorName::ActualLRPIndexNotFound, message);
    let message = "Desired LRP with guid 'none' not found";
    refused(client.explain(&guid("none"), 0).await, ErrorName::DesiredLRPNotFound, message);
    for (index, name) in [("x", "InvalidRequest"), ("-1", "ActualLRPIndexNotFound")] {
        let path = format!("/v1/desired_lrps/web/explain/{index}");
        let (_, body) = answer(served.request("GET", &path)).await;
        assert!(body.contains(name), "{body}");
    }
}

#[tokio::test]
async fn a_placement_comes_through_whole_and_a_bad_one_is_refused_with_its_reason() {
    let served = Served::start().await;
    let client = served.client();
    let placement = Placement {
        strategy: Some(Strategy::Binpack),
        constraints: vec!["disk==ssd".parse().unwrap(), "apart db".parse().unwrap()],
        affinities: vec!["80:rack glob r*".parse().unwrap()],
    };
    let lrp = DesiredLrp { placement: placement.clone(), ..samples::lrp("web") };
    client.desire_lrp(lrp.clone()).await.unwrap();
    assert_eq!(client.desired_lrp(&guid("web")).await.unwrap().placement, placement);
    let constraints = vec!["disk regex (".parse().unwrap()];
    let placement = Placement { constraints, ..Placement::default() };
    let bad = DesiredLrp { placement, ..samples::lrp("bad") };
    let message = "Invalid field: placement, placement: rule 'disk regex (': error: unclosed group";
    refused(client.desire_lrp(bad).await, ErrorName::InvalidLRP, message);
}

#[tokio::test]
async fn instances_of_every_state_come_through_whole() {
    let served = Served::start().await;
    let client = served.client();
    let expected = samples::instances("web");
    served.receptor.state().instances = expected.clone();
    assert_eq!(client.actual_lrps(None).await.unwrap(), expected);
    assert_eq!(client.actual_lrps_of(&guid("web")).await.unwrap(), expected);
    assert!(client.actual_lrps_of(&guid("none")).await.unwrap().is_empty());
    let other = Domain::new("other").unwrap();
    assert!(client.actual_lrps(Some(&other)).await.unwrap().is_empty());

    client.retire(&guid("web"), 1).await.unwrap();
    refused(
        client.retire(&guid("web"), 99).await,
        ErrorName::ActualLRPIndexNotFound,
        "process-guid 'web' does not exist or has no instance at index 99",
    );
    let progress = client.progress_of(&guid("web")).await.unwrap();
    assert_eq!(progress, served.receptor.progress_of(&guid("web")).await.unwrap());
}

#[tokio::test]
async fn a_task_lives_through_the_client() {
    let served = Served::start().await;
    let client = served.client();
    let one = TaskGuid::new("one").unwrap();
    client.desire_task(samples::task("one")).await.unwrap();
    assert_eq!(client.task(&one).await.unwrap(), served.receptor.state().tasks[&one]);
    refused(
        client.desire_task(samples::task("one")).await,
        ErrorName::TaskGuidAlreadyExists,
        "task already exists",
    );
    refused(
        client.delete_task(&one).await,
        ErrorName::TaskNotDeletable,
        "This task has not been completed. Please retry when it is completed.",
    );
    let running = samples::running_task("one");
    served.receptor.state().tasks.insert(one.clone(), running.clone());
    assert_eq!(client.tasks(None).await.unwrap(), [running]);
    client.cancel_task(&one).await.unwrap();
    let TaskState::Completed(outcome) = client.task(&one).await.unwrap().state else {
        panic!("not completed")
    };
    assert_eq!((outcome.failed, outcome.failure_reason.as_str()), (true, "task was cancelled"));
    refused(
        client.cancel_task(&one).await,
        ErrorName::UnknownError,
        "Cannot transition from Completed to Completed",
    );
    client.delete_task(&one).await.unwrap();
    let message = "task with guid 'one' not found";
    refused(client.task(&one).await, ErrorName::TaskNotFound, message);
    refused(client.delete_task(&one).await, ErrorName::TaskNotFound, message);
    refused(client.cancel_task(&one).await, ErrorName::TaskNotFound, message);
}

#[tokio::test]
async fn the_smaller_nouns_come_through_whole() {
    let served = Served::start().await;
    let client = served.client();
    assert_eq!(client.cells().await.unwrap(), served.receptor.cells().await.unwrap());
    assert_eq!(client.version().await.unwrap(), served.receptor.version().await.unwrap());
    let odd = Domain::new("a b/c?d=é").unwrap();
    client.upsert_domain(odd.clone(), Some(60)).await.unwrap();
    client.upsert_domain(Domain::new("lattice").unwrap(), None).await.unwrap();
    assert_eq!(served.receptor.state().domains[&odd], Some(60));
    assert_eq!(client.domains().await.unwrap(), served.receptor.domains().await.unwrap());

    let credentials = RegistryCredentials {
        registry: "reg.example.com:5000".into(),
        username: "u".into(),
        password: "hunter2".into(),
    };
    client.put_registry_credentials(credentials.clone()).await.unwrap();
    assert_eq!(served.receptor.state().credentials, std::slice::from_ref(&credentials));
    let accounts = client.registry_accounts().await.unwrap();
    assert_eq!(accounts, served.receptor.registry_accounts().await.unwrap());
    let (_, listed) = answer(served.request("GET", "/v1/registry_credentials")).await;
    assert!(!listed.contains("hunter2"), "passwords are never listed: {listed}");
    client.remove_registry_credentials(&credentials.registry).await.unwrap();
    let again = client.remove_registry_credentials("x/y ?é").await;
    refused(again, ErrorName::RegistryNotFound, "no 'x/y ?é'");
}

#[tokio::test]
async fn a_certificate_comes_through_whole_and_its_key_never_back() {
    let served = Served::start().await;
    let client = served.client();
    let domain = CustomDomain {
        host: "*.example.com".into(),
        certificate: "a certificate".into(),
        key: "hunter2".into(),
    };
    let status = client.put_custom_domain(domain.clone()).await.unwrap();
    assert_eq!(status, samples::custom_domain("*.example.com"));
    assert_eq!(served.receptor.state().custom_domains["*.example.com"], domain);
    assert_eq!(client.custom_domains().await.unwrap(), [status]);
    let (_, listed) = answer(served.request("GET", "/v1/custom_domains")).await;
    assert!(!listed.contains("hunter2"), "{listed}");
    client.remove_custom_domain("*.example.com").await.unwrap();
    let again = client.remove_custom_domain("*.example.com").await;
    refused(again, ErrorName::CustomDomainNotFound, "no '*.example.com'");
    for bad in ["{\"certificate\": 7}", "{\"order\": true, \"key\": \"a key\"}"] {
        let bad = served.request("PUT", "/v1/custom_domains/a.test").body(bad);
        assert_eq!(answer(bad).await.0, 400);
    }
}

#[tokio::test]
async fn a_certificate_is_ordered_by_the_host_alone() {
    let served = Served::start().await;
    let status = served.client().order_certificate("shop.test").await.unwrap();
    assert_eq!(status, samples::ordered("shop.test"));
    assert_eq!(served.receptor.state().ordered.as_deref(), Some("shop.test"));
    assert!(served.receptor.state().custom_domains.is_empty());
}

#[tokio::test]
async fn the_client_tells_its_troubles_apart() {
    let served = Served::start().await;
    for credentials in [None, Some(("user".to_owned(), "wrong".to_owned()))] {
        let found = served.client_as(credentials).version().await;
        assert!(matches!(found, Err(BrainError::Unauthorized)), "{found:?}");
    }
    let nobody = Target { base_url: "http://127.0.0.1:1".into(), credentials: None };
    let found = ReceptorClient::new(&nobody).unwrap().version().await;
    assert!(matches!(found, Err(BrainError::Unreachable { .. })), "{found:?}");
    let nonsense = Target { base_url: "not a url".into(), credentials: None };
    assert!(ReceptorClient::new(&nonsense).is_err());

    let of_router = || async { ([("X-Cf-Routererror", "unknown_route")], "404 Not Found") };
    let of_others = || async { (axum::http::StatusCode::BAD_GATEWAY, "<html>") };
    let app = axum::Router::new()
        .route("/v1/version", axum::routing::get(of_router))
        .route("/v1/cells", axum::routing::get(of_others))
        .route("/v1/domains", axum::routing::get(|| async { "[7]" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let client = ReceptorClient::new(&Target { base_url, credentials: None }).unwrap();
    refused(client.version().await, ErrorName::RouterError, "unknown_route");
    let Err(BrainError::BadAnswer { what, .. }) = client.cells().await else { panic!("no") };
    assert_eq!(what, "Invalid Response with status code: 502");
    let found = client.domains().await;
    assert!(matches!(found, Err(BrainError::BadAnswer { .. })), "{found:?}");
}

#[tokio::test]
async fn a_document_passes_as_it_is_and_the_receptor_judges_it() {
    let served = Served::start().await;
    let client = served.client();
    let document = samples::lrp_body("web").to_string();
    client.submit(routes::DESIRED_LRPS, document.as_bytes()).await.unwrap();
    assert!(served.receptor.state().lrps.contains_key(&guid("web")));
    let message = "Invalid field: domain, Invalid field: process_guid, Invalid field: rootfs, \
                   Invalid field: rootfs, invalid action type";
    let refusal = client.submit(routes::DESIRED_LRPS, b"{}").await;
    refused(refusal, ErrorName::InvalidLRP, message);
}

#[test]
fn the_targets_password_is_not_shown() {
    let credentials = Some(("user".to_owned(), "hunter2".to_owned()));
    let target = Target { base_url: "http://x".into(), credentials };
    assert!(!format!("{target:?}").contains("hunter2"));
    lattice_daemon::install_crypto();
    assert!(!format!("{:?}", ReceptorClient::new(&target).unwrap()).contains("hunter2"));
}

#[tokio::test]
async fn cells_are_drained_and_instances_spread_anew() {
    let served = Served::start().await;
    let client = served.client();
    let (cell, other) = (CellId::new("cell-1").unwrap(), CellId::new("other").unwrap());
    let dry = DrainRequest { dry_run: true, ..DrainRequest::default() };
    assert_eq!(client.drain_cell(&cell, dry).await.unwrap(), plan());
    assert_eq!(client.moves().await.unwrap().draining, []);
    let how = DrainRequest { max_in_flight: 7, dry_run: false };
    assert_eq!(client.drain_cell(&cell, how).await.unwrap(), plan());
    let moves = client.moves().await.unwrap();
    assert_eq!((moves.draining[0].max_in_flight, moves.planned), (7, 3));
    let (_, cells) = answer(served.request("GET", routes::CELLS)).await;
    assert!(cells.contains(r#""draining":true"#), "{cells}");
    client.undrain_cell(&cell).await.unwrap();
    assert_eq!(client.moves().await.unwrap().draining, []);
    refused(
        client.drain_cell(&other, how).await,
        ErrorName::CellNotFound,
        "there is no cell 'other'",
    );
    let one = RebalanceRequest { max_moves: 1, ..RebalanceRequest::default() };
    assert_eq!(client.rebalance(one).await.unwrap().moves, plan().moves[..1]);
    refused(
        client.rebalance(RebalanceRequest { max_moves: 0, ..one }).await,
        ErrorName::InvalidRequest,
        "Invalid field: max_moves (from 1 to 10000)",
    );
}

#[tokio::test]
async fn what_instances_use_is_told_by_cell() {
    let served = Served::start().await;
    let client = served.client();
    assert_eq!(client.usage_of(&guid("web")).await.unwrap(), samples::usage());
    let path = routes::usage(&guid("web"));
    assert_eq!(answer(served.anonymous("GET", &path)).await.0, 401);
}

#[tokio::test]
async fn images_of_cells_are_listed_and_removed() {
    let served = Served::start().await;
    let client = served.client();
    assert_eq!(client.images().await.unwrap(), samples::images());
    assert_eq!(client.prune_images().await.unwrap(), samples::pruned());
    let (status, _) = answer(served.anonymous("POST", routes::PRUNE_IMAGES)).await;
    assert_eq!(status, 401);
}
