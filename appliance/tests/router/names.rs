//! Names that the router looks up by itself, in a place where the test says what they mean: of an
//! endpoint, and of a metron agent.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::nats::Nats;
use crate::process::{Router, eventually, instance_at, lattice};

/// A place of its own for `/etc/hosts`, where nobody answers for what is not in it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(
            place.path("resolv.conf"),
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        )
        .unwrap();
        place.knows("");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// From now on these lines are there beside that of the machine itself.
    fn knows(&self, lines: &str) {
        fs::write(self.path("hosts"), format!("127.0.0.1 localhost\n{lines}")).unwrap();
    }

    /// The command in this place, to be given more.
    fn lattice(&self) -> Command {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        let enter = "mount --bind \"$1\" /etc/hosts; mount --bind \"$2\" /etc/resolv.conf; \
                     shift 2; exec \"$@\"";
        command.args(["sh", "-euc", enter, "sh"]);
        command.args([self.path("hosts"), self.path("resolv.conf")]);
        command.arg(lattice().get_program());
        command
    }
}

fn registration(host: &str, name: &str, port: u16) -> String {
    format!("{{\"host\":\"{name}\",\"port\":{port},\"uris\":[\"{host}\"],\"app\":\"app\"}}")
}

#[test]
fn an_endpoint_may_have_a_name_that_leads_to_it() {
    let (nats, place) = (Nats::start(), Place::new());
    place.knows("127.0.0.2 far.internal.test\n");
    let router = Router::start_by(place.lattice(), &[&nats], "");
    let port = instance_at("127.0.0.2", "far");
    let mut bus = nats.client();
    bus.publish("router.register", &registration("far.test", "far.internal.test", port));
    bus.publish("router.register", &registration("lost.test", "lost.internal.test", port));
    router.answers("far.test", 200);
    assert_eq!(router.get("far.test").body, "far");
    router.answers("lost.test", 502);
    let error = "X-Cf-Routererror: endpoint_failure (";
    assert!(router.get("lost.test").head.contains(error), "{}", router.get("lost.test").head);
}

#[test]
fn a_metron_agent_that_has_no_address_yet_is_found_when_it_has_one() {
    let (nats, place) = (Nats::start(), Place::new());
    let agent = UdpSocket::bind("127.0.0.2:0").unwrap();
    agent.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let port = agent.local_addr().unwrap().port();
    let keys = format!(
        "enable_envelope_v1_metrics: false\nlogging: {{level: debug, \
         loggregator_enabled: true, metron_address: \"agent.internal.test:{port}\"}}"
    );
    let router = Router::start_by(place.lattice(), &[&nats], &keys);
    let web = registration("web.test", "127.0.0.2", instance_at("127.0.0.2", "web"));
    nats.client().publish("router.register", &web);
    router.answers("web.test", 200);
    router.has_eventually_said("the metron agent is not found");
    place.knows("127.0.0.2 agent.internal.test\n");
    let mut datagram = [0; 2048];
    eventually("the agent is told of a request", || {
        router.get("web.test");
        agent.recv(&mut datagram).is_ok()
    });
    assert_eq!(router.said().matches("the metron agent is not found").count(), 1);
}
