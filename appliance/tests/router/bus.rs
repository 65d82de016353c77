//! Registrations over NATS (family S19), and what becomes of routes when NATS is lost.

use serde_json::Value;

use crate::nats::Nats;
use crate::process::{Router, eventually, instance, registration};

#[test]
fn a_registration_is_served_until_it_is_withdrawn() {
    let nats = Nats::start();
    let router = Router::start(&[&nats], "colour: red");
    // Who waits for it looks for the server behind the message, in one line.
    let server = format!("localhost:{}", nats.port);
    let is_told = router.said().lines().any(|line| {
        let told = line.split_once("Successfully-connected-to-nats");
        told.is_some_and(|(_, behind)| behind.contains(&server))
    });
    assert!(is_told, "{}", router.said());
    assert!(router.has_said("\"key\":\"colour\""), "{}", router.said());
    assert!(router.has_said("\"routing_table_sharding_mode\":\"all\""), "{}", router.said());
    let web = registration("Web.test", instance("web"), "");
    let mut bus = nats.client();
    assert_eq!(router.get("web.test").status, 404);
    bus.publish("router.register", "{nonsense");
    for other in ["router.other", "router.registered", "router.start"] {
        bus.publish(other, &web);
    }
    // Its answer comes behind what was published before.
    bus.request("router.greet");
    assert_eq!(router.get("web.test").status, 404);
    assert!(router.has_said("validation-error"), "{}", router.said());
    bus.publish("router.register", &web);
    router.answers("web.test", 200);
    assert_eq!(router.get("WEB.test").body, "web");
    bus.publish("router.unregister", &web);
    router.answers("web.test", 404);
}

#[test]
fn a_router_says_who_it_is_at_its_start_and_to_who_greets_it() {
    let nats = Nats::start();
    let mut bus = nats.client();
    bus.subscribe("router.start");
    let router = Router::start(&[&nats], "index: 7\ndroplet_stale_threshold: 90s");
    let started = bus.next();
    assert_eq!(started.subject, "router.start");
    let greeted = nats.client().request("router.greet");
    assert_eq!(greeted.payload, started.payload);
    let told: Value = serde_json::from_str(&started.payload).unwrap();
    assert!(told["id"].as_str().unwrap().starts_with("7-"), "{told}");
    assert_eq!(told["hosts"].as_array().unwrap().len(), 1);
    assert_eq!(told["minimumRegisterIntervalInSeconds"], 0);
    assert_eq!(told["pruneThresholdInSeconds"], 90);
    drop(router);
}

#[test]
fn another_server_is_taken_when_one_goes_and_registrations_are_asked_for_again() {
    let (first, second) = (Nats::start(), Nats::start());
    let router = Router::start(&[&first, &second], "");
    let port = instance("web");
    first.client().publish("router.register", &registration("one.test", port, ""));
    router.answers("one.test", 200);
    let mut bus = second.client();
    bus.subscribe("router.start");
    drop(first);
    assert_eq!(bus.next().subject, "router.start");
    assert!(router.has_said("nats-connection-disconnected"), "{}", router.said());
    eventually("it says so", || router.has_said("nats-connection-reconnected"));
    bus.publish("router.register", &registration("two.test", port, ""));
    router.answers("two.test", 200);
    assert_eq!(router.get("one.test").status, 200);
}

#[test]
fn without_nats_routes_are_pruned_and_come_back_with_it() {
    let mut nats = Nats::start();
    // How often it says that it is still without.
    nats.keys = ", ping_interval: 1s".to_owned();
    let quick = "droplet_stale_threshold: 1s\nprune_stale_droplets_interval: 100ms";
    let router = Router::start(&[&nats], quick);
    let web = registration("web.test", instance("web"), "");
    route(&router, &nats, &web);
    let port = nats.port;
    drop(nats);
    eventually("it says so", || router.has_said("nats-connection-still-disconnected"));
    router.answers("web.test", 404);
    let nats = Nats::start_on(port);
    eventually("it is back", || router.has_said("nats-connection-reconnected"));
    route(&router, &nats, &web);
}

#[test]
fn pruning_can_wait_for_nats() {
    let nats = Nats::start();
    let quick = "droplet_stale_threshold: 5s\nprune_stale_droplets_interval: 100ms\n\
                 suspend_pruning_if_nats_unavailable: true";
    let router = Router::start(&[&nats], quick);
    let web = registration("web.test", instance("web"), "");
    route(&router, &nats, &web);
    let port = nats.port;
    drop(nats);
    eventually("it would be stale", || router.said().matches("nothing is pruned").count() >= 60);
    assert_eq!(router.get("web.test").status, 200);
    let nats = Nats::start_on(port);
    eventually("it is back", || router.has_said("nats-connection-reconnected"));
    router.answers("web.test", 404);
    route(&router, &nats, &web);
}

/// Registers it again and again until it is routed: on a slow machine it may be stale before it is
/// looked at.
fn route(router: &Router, nats: &Nats, web: &str) {
    let mut bus = nats.client();
    eventually("it is routed", || {
        bus.publish("router.register", web);
        router.get("web.test").status == 200
    });
}

/// The answer to `router.greet` has been on the same way as what was published before it.
#[test]
fn what_was_published_before_a_greeting_is_routed_after_its_answer() {
    let nats = Nats::start();
    let router = Router::start(&[&nats], "");
    let (mut bus, port) = (nats.client(), instance("web"));
    for nth in 0..50 {
        let host = format!("web-{nth}.test");
        bus.publish("router.register", &registration(&host, port, ""));
        bus.request("router.greet");
        assert_eq!(router.get(&host).status, 200, "{host}");
    }
}

#[test]
fn only_the_listed_segments_are_carried() {
    let nats = Nats::start();
    let sharding = "routing_table_sharding_mode: segments\nisolation_segments: [is1, is2]";
    let router = Router::start(&[&nats], sharding);
    assert!(router.has_said("\"isolation_segments\":[\"is1\",\"is2\"]"), "{}", router.said());
    let (mut bus, port) = (nats.client(), instance("web"));
    for (host, segment) in [("other.test", "is3"), ("shared.test", ""), ("mine.test", "is2")] {
        let more = format!(",\"isolation_segment\":\"{segment}\"");
        bus.publish("router.register", &registration(host, port, &more));
    }
    router.answers("mine.test", 200);
    assert_eq!(router.get("other.test").status, 404);
    assert_eq!(router.get("shared.test").status, 404);
}
