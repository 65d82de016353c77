//! The platform's hosts, and who may reach them.

use std::net::SocketAddr;

use lattice_router::{Listener, Reserved, Side};

use crate::support::{Endpoint, Response, Wire, World, anywhere};

async fn get(addr: SocketAddr, host: &str) -> Response {
    let mut client = Wire::connect(addr).await;
    client.send(format!("GET /?secret HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    client.response().await
}

async fn world(receptor: &Endpoint, allowed: bool) -> World {
    let world = World::with(|config| {
        config.reserved =
            vec![Reserved { host: "receptor.test".to_owned(), endpoint: receptor.addr }];
        config.platform_to_instances = allowed;
    })
    .await;
    world.route("receptor.test", receptor.addr).await;
    world
}

#[tokio::test]
async fn the_instances_side_has_apps_and_not_the_platform() {
    let (receptor, web) = (Endpoint::saying("receptor").await, Endpoint::saying("web").await);
    let world = world(&receptor, false).await;
    world.route("web.test", web.addr).await;
    let inside = world
        .router
        .listen(Listener { addr: anywhere(), side: Side::Instances, is_tls: false })
        .unwrap();
    for (addr, host, status) in [
        (world.addr, "receptor.test", 200),
        (world.addr, "RECEPTOR.apps.internal", 200),
        (inside, "web.test", 200),
        (inside, "web.apps.internal:8080", 200),
        (inside, "receptor.test", 403),
        (inside, "Receptor.Test.", 403),
        (inside, "receptor.apps.internal", 403),
        (inside, "receptor.test:80", 403),
    ] {
        let answer = get(addr, host).await;
        assert_eq!(answer.status, status, "{host}");
        let error = (status == 403).then_some("platform_host");
        assert_eq!(answer.header("x-cf-routererror").as_deref(), error);
    }
    let listeners = world.router.listeners();
    assert_eq!(listeners.iter().map(|l| l.addr).collect::<Vec<_>>(), [world.addr, inside]);
}

#[tokio::test]
async fn the_platform_is_served_to_instances_when_allowed() {
    let receptor = Endpoint::saying("receptor").await;
    let world = world(&receptor, true).await;
    let inside = world
        .router
        .listen(Listener { addr: anywhere(), side: Side::Instances, is_tls: false })
        .unwrap();
    assert_eq!(get(inside, "receptor.test").await.text(), "receptor");
}

#[tokio::test]
async fn an_app_cannot_take_a_platform_host_not_even_by_wildcard() {
    let (receptor, thief) = (Endpoint::saying("receptor").await, Endpoint::saying("thief").await);
    let world = world(&receptor, false).await;
    world.publish("router.register", &crate::support::registration("receptor.test", thief.addr));
    world.route("*.test", thief.addr).await;
    assert_eq!(get(world.addr, "receptor.test").await.text(), "receptor");
    world.unregister("receptor.test", receptor.addr).await;
    assert_eq!(get(world.addr, "receptor.test").await.status, 503);
    assert_eq!(get(world.addr, "other.test").await.text(), "thief");
}

#[tokio::test]
async fn requests_to_the_platform_are_not_in_any_apps_log() {
    let receptor = Endpoint::saying("receptor").await;
    let mut world = world(&receptor, false).await;
    assert_eq!(get(world.addr, "receptor.test").await.status, 200);
    let web = Endpoint::saying("web").await;
    world.route("web.test", web.addr).await;
    get(world.addr, "web.test").await;
    assert!(world.line().await.starts_with("web.test "));
    assert!(world.has_no_line());
}

#[tokio::test]
async fn a_taken_address_is_refused_with_the_way_out() {
    let world = World::start().await;
    let again =
        world.router.listen(Listener { addr: world.addr, side: Side::Public, is_tls: false });
    let told = again.unwrap_err().to_string();
    assert!(told.contains(&world.addr.to_string()) && told.contains("--http-port"), "{told}");
}
