use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;

use lattice_daemon::log_ingress;
use proptest::prelude::*;

use super::*;
use crate::config::Config;

/// Opens what is free, and knows what is open.
#[derive(Default)]
struct Doors {
    opened: Mutex<Vec<(u16, Arc<Port>)>>,
    taken: Mutex<BTreeSet<u16>>,
}

impl Opens for Doors {
    fn open(&self, addr: SocketAddr, port: &Arc<Port>) -> Result<(), StartError> {
        if self.taken.lock().unwrap().contains(&addr.port()) {
            let source = io::ErrorKind::AddrInUse.into();
            return Err(StartError::Listen { addr, source });
        }
        self.opened.lock().unwrap().push((addr.port(), port.clone()));
        Ok(())
    }

    fn close(&self, port: &Arc<Port>) {
        port.closing.cancel();
    }
}

impl Doors {
    fn open_now(&self) -> BTreeSet<u16> {
        let opened = self.opened.lock().unwrap();
        let open = opened.iter().filter(|(_, port)| !port.closing.is_cancelled());
        open.map(|(number, _)| *number).collect()
    }
}

fn ports(change: impl FnOnce(&mut TcpRules)) -> (Ports, Arc<Doors>) {
    let doors = Arc::new(Doors::default());
    let mut rules = TcpRules { addrs: vec!["127.0.0.1".parse().unwrap()], ..TcpRules::default() };
    change(&mut rules);
    let of_http = table::Rules::of(&Config::new("test"));
    let logs = Arc::new(log_ingress::channel().0);
    (Ports::new(rules, of_http, 0, doors.clone(), logs), doors)
}

fn told(external_port: u16, name: &str) -> TcpRegistration {
    let (app, name) = ("db".to_owned(), name.to_owned());
    TcpRegistration { external_port, sni_hostname: name, app, ..TcpRegistration::default() }
}

fn addr(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], n))
}

impl Ports {
    fn add(&mut self, port: u16, name: &str, to: u16) -> Result<Registered, Refused> {
        let stale_after = Duration::from_secs(120);
        self.register(&told(port, name), (addr(to), stale_after), Time::from_secs(0))
    }

    fn drop_one(&mut self, port: u16, name: &str, to: u16) -> bool {
        self.unregister(&told(port, name), addr(to), Time::from_secs(0)).unwrap()
    }
}

#[test]
fn a_port_is_open_while_it_has_endpoints() {
    let (mut ports, doors) = ports(|_| {});
    assert_eq!(ports.add(50000, "", 1).unwrap(), Registered::Added);
    assert_eq!(ports.add(50000, "", 2).unwrap(), Registered::Added);
    assert_eq!(ports.add(50000, "", 2).unwrap(), Registered::Refreshed);
    assert_eq!(ports.add(50001, "db.test", 1).unwrap(), Registered::Added);
    assert_eq!(doors.open_now(), [50000, 50001].into());
    assert!(ports.drop_one(50000, "", 1) && !ports.drop_one(50000, "", 1));
    assert_eq!(doors.open_now(), [50000, 50001].into());
    assert!(ports.drop_one(50000, "", 2));
    assert_eq!(doors.open_now(), [50001].into());
    ports.prune(Time::from_secs(121), false);
    assert_eq!((doors.open_now().len(), ports.open_count()), (0, 0));
}

#[test]
fn ports_that_routes_cannot_have_are_refused_with_those_that_they_cannot_have() {
    let reserved: BTreeSet<u16> = [22, 8080].into();
    let (mut ports, doors) = ports(|rules| {
        rules.reserved = reserved.clone();
        rules.ports = 20..=60000;
        rules.ports_max = 1;
    });
    for (port, name, words) in [
        (8080, "", "TCP route 8080: the port belongs to the platform; take any but 22, 8080"),
        (19, "", "ports from 20 to 60000"),
        (60001, "", "ports from 20 to 60000"),
        (0, "", "ports from 20 to 60000"),
        (50000, "db test", "`db test` is no name"),
    ] {
        let refused = ports.add(port, name, 1).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    ports.add(50000, "", 1).unwrap();
    let refused = ports.add(50001, "", 1).unwrap_err().to_string();
    assert_eq!(refused, "TCP route 50001: 1 ports are open already, the most there may be");
    assert_eq!(doors.open_now(), [50000].into());
    let (mut none, _) = self::ports(|rules| rules.addrs.clear());
    assert!(matches!(none.add(50000, "", 1), Err(Refused::Off)));
}

#[test]
fn a_port_that_is_taken_is_tried_again_and_no_half_of_it_stays_open() {
    let (mut ports, doors) = ports(|_| {});
    doors.taken.lock().unwrap().insert(50000);
    let refused = ports.add(50000, "", 1).unwrap_err().to_string();
    assert!(refused.contains("127.0.0.1:50000: address"), "{refused}");
    assert!(ports.has_shut());
    ports.retry();
    assert!(ports.has_shut() && doors.open_now().is_empty());
    doors.taken.lock().unwrap().clear();
    ports.retry();
    assert!(!ports.has_shut());
    assert_eq!(doors.open_now(), [50000].into());
}

#[test]
fn an_address_with_a_new_tenant_leaves_the_ports_of_the_old_one() {
    let (mut ports, doors) = ports(|_| {});
    for (port, instance) in [(50000, "a"), (50001, "b")] {
        let mut told = told(port, "");
        told.private_instance_id = instance.to_owned();
        ports.register(&told, (addr(1), Duration::MAX), Time::from_secs(0)).unwrap();
    }
    assert_eq!(doors.open_now(), [50001].into());
}

#[test]
fn a_name_leads_to_its_own_route_and_others_to_the_ports() {
    let (mut ports, _) = ports(|_| {});
    ports.add(50000, "A.test", 1).unwrap();
    ports.add(50000, "", 2).unwrap();
    ports.add(50001, "a.test", 3).unwrap();
    ports.add(50002, "", 4).unwrap();
    let found = |number: u16, name: Option<&str>| {
        let route = Port::new(number, 1, ports.table().clone()).route(name)?;
        Some(route.pool.load()[0].backend.addr().port())
    };
    for (port, name, expected) in [
        (50000, Some("a.test"), Some(1)),
        (50000, Some("b.test"), Some(2)),
        (50000, None, Some(2)),
        (50001, Some("a.test"), Some(3)),
        (50001, None, None),
        (50002, Some("a.test"), Some(4)),
        (50003, None, None),
    ] {
        assert_eq!(found(port, name), expected, "{port} {name:?}");
    }
    assert!(Port::new(50000, 1, ports.table().clone()).is_split());
    assert!(!Port::new(50002, 1, ports.table().clone()).is_split());
}

proptest! {
    #[test]
    fn what_is_open_is_what_has_endpoints(
        steps in proptest::collection::vec((any::<bool>(), 0_u16..4, 0_u16..3, 0_u16..3), 0..60),
    ) {
        let (mut ports, doors) = ports(|_| {});
        let mut model = BTreeSet::new();
        for (is_added, port, name, to) in steps {
            let (port, name) = (50000 + port, ["", "a.test", "b.test"][usize::from(name)]);
            if is_added {
                ports.add(port, name, to + 1).unwrap();
                model.insert((port, name, to));
            } else {
                prop_assert_eq!(ports.drop_one(port, name, to + 1), model.remove(&(port, name, to)));
            }
            let wanted: BTreeSet<u16> = model.iter().map(|(port, ..)| *port).collect();
            prop_assert_eq!(doors.open_now(), wanted);
        }
    }
}
