use lattice_model::PortMapping;
use proptest::prelude::*;

use super::*;
use crate::testing;

fn net() -> NetInfo {
    NetInfo {
        address: "192.0.2.1".into(),
        instance_address: "10.0.0.2".into(),
        ports: vec![
            PortMapping { container_port: 8080, host_port: 61001 },
            PortMapping { container_port: 9090, host_port: 61002 },
        ],
        unready: false,
    }
}

fn lrp(routes: serde_json::Value) -> DesiredLrp {
    let mut lrp = testing::lrp("web");
    lrp.routes.0.insert("cf-router".into(), routes);
    lrp
}

fn found(routes: serde_json::Value, announce: Announce) -> Vec<Registration> {
    let lrp = lrp(routes);
    let all = registrations(&lrp, &testing::key("web", 2), "ig", &net(), announce);
    let http = all.into_iter().map(|announced| match announced {
        Announced::Http(registration) => *registration,
        Announced::Tcp(other) => panic!("{other:?} is no HTTP route"),
    });
    http.collect()
}

fn registration(uri: &str) -> Announced {
    Announced::Http(Box::new(Registration {
        host: "10.0.0.2".into(),
        port: 8080,
        uris: vec![uri.into()],
        ..Registration::default()
    }))
}

fn tcp(external_port: u16, sni: &str) -> Announced {
    Announced::Tcp(TcpRegistration {
        host: "192.0.2.1".into(),
        port: 61001,
        external_port,
        sni_hostname: sni.into(),
        app: "web".into(),
        private_instance_id: "ig".into(),
        private_instance_index: "2".into(),
        stale_threshold_in_seconds: 0,
    })
}

#[test]
fn each_tcp_route_to_a_port_of_the_instance_is_announced_and_its_move_told() {
    let mut lrp = testing::lrp("web");
    let mut table = Table::default();
    let mut told = |routes: serde_json::Value| {
        lrp.routes.0.insert("tcp-router".into(), routes);
        let key = testing::key("web", 2);
        let all = registrations(&lrp, &key, "ig", &net(), Announce::HostPort);
        table.announce(&1, all)
    };
    let first = told(serde_json::json!([
        {"external_port": 50000, "container_port": 8080},
        {"external_port": 50001, "container_port": 8080, "sni_hostname": "db.test"},
        {"external_port": 50002, "container_port": 7070},
    ]));
    let expected = [tcp(50000, ""), tcp(50001, "db.test")];
    assert_eq!(first, expected.map(Change::Register));
    let moved = told(serde_json::json!([{"external_port": 50003, "container_port": 8080}]));
    let (gone, new) = (Change::Unregister, Change::Register);
    assert_eq!(moved, [gone(tcp(50000, "")), gone(tcp(50001, "db.test")), new(tcp(50003, ""))]);
    let (subject, json) = moved[2].message();
    assert_eq!(subject, "router.register-tcp");
    let told: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&told["external_port"], &told["port"]), (&50003.into(), &61001.into()));
}

#[test]
fn each_host_name_is_announced_with_the_route_emitters_fields() {
    let routes = serde_json::json!([
        {"hostnames": ["a.test", "b.test/path"], "port": 8080},
        {"hostnames": ["c.test"], "port": 9090, "route_service_url": "https://rs.test"},
    ]);
    let all = found(routes, Announce::HostPort);
    let short: Vec<(&str, u16, &str)> =
        all.iter().map(|r| (r.host.as_str(), r.port, r.uris[0].as_str())).collect();
    let expected = [
        ("192.0.2.1", 61001, "a.test"),
        ("192.0.2.1", 61001, "b.test/path"),
        ("192.0.2.1", 61002, "c.test"),
    ];
    assert_eq!(short, expected);
    assert_eq!(all[0].app, "web");
    assert_eq!(all[0].private_instance_id, "ig");
    assert_eq!(all[0].private_instance_index, "2");
    assert_eq!(all[0].tags["component"], "route-emitter");
    assert_eq!(all[2].route_service_url, "https://rs.test");
}

#[test]
fn a_router_on_this_machine_is_told_the_containers_own_address() {
    let all = found(
        serde_json::json!([{"hostnames": ["a.test"], "port": 8080}]),
        Announce::ContainerAddress,
    );
    assert_eq!((all[0].host.as_str(), all[0].port), ("10.0.0.2", 8080));
}

#[test]
fn a_route_to_a_port_the_instance_has_not_and_routes_of_odd_shape_are_left_out() {
    for routes in [
        serde_json::json!([{"hostnames": ["a.test"], "port": 7070}]),
        serde_json::json!({"hostnames": "a.test"}),
        serde_json::json!([]),
    ] {
        assert_eq!(found(routes, Announce::HostPort), []);
    }
}

#[test]
fn only_what_changed_is_told() {
    let mut table = Table::default();
    let (a, b, c) = (registration("a"), registration("b"), registration("c"));
    let first = table.announce(&1, vec![a.clone(), b.clone()]);
    assert_eq!(first, [Change::Register(a.clone()), Change::Register(b.clone())]);
    assert_eq!(table.announce(&1, vec![a.clone(), b.clone()]), []);
    let moved = table.announce(&1, vec![b.clone(), c.clone()]);
    assert_eq!(moved, [Change::Unregister(a), Change::Register(c.clone())]);
    let Announced::Http(mut with_service) = b.clone() else { unreachable!("it is for HTTP") };
    with_service.route_service_url = "https://rs.test".into();
    let with_service = Announced::Http(with_service);
    let same_endpoint = table.announce(&1, vec![with_service.clone(), c.clone()]);
    assert_eq!(same_endpoint, [Change::Register(with_service.clone())]);
    assert_eq!(table.all().count(), 2);
    assert_eq!(table.withdraw(&1), [Change::Unregister(with_service), Change::Unregister(c)]);
    assert_eq!(table.withdraw(&1), []);
    assert!(!table.has(&1));
}

proptest! {
    #[test]
    fn a_router_that_follows_the_changes_knows_what_is_announced(
        steps in proptest::collection::vec(
            (0_u8..3, proptest::collection::btree_set(0_u8..6, 0..5)),
            0..30,
        ),
    ) {
        let mut table = Table::default();
        let mut router: Vec<(u8, Announced)> = Vec::new();
        for (instance, uris) in steps {
            let wanted: Vec<Announced> =
                uris.iter().map(|uri| registration(&uri.to_string())).collect();
            let changes = if wanted.is_empty() {
                table.withdraw(&instance)
            } else {
                table.announce(&instance, wanted)
            };
            for change in changes {
                match change {
                    Change::Register(r) => router.push((instance, r)),
                    Change::Unregister(r) => router.retain(|known| *known != (instance, r.clone())),
                }
            }
            prop_assert_eq!(router.len(), table.all().count());
        }
    }
}
