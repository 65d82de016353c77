//! Another machine beside a story's own: a network namespace, joined by a cable.

use std::process::{Child, Command};

use crate::appliance::Said;
use crate::{PATIENCE, eventually, expect, machine, program};

/// Where its network is to be found.
const PLACE: &str = "/run/netns/neighbour";

/// A server on it, ended when dropped.
pub struct Server(Child);

/// Makes it, with this address on the machine's own end of the cable and that on its end.
pub fn join(here: &str, there: &str) {
    let (place, flags) = ("/run/netns", rustix::mount::MountFlags::empty());
    std::fs::create_dir_all(place).unwrap();
    rustix::mount::mount("tmpfs", place, "tmpfs", flags, None)
        .expect("a place for network namespaces");
    let ip = |args: &str| machine::run("ip", &args.split(' ').collect::<Vec<_>>());
    ip("netns add neighbour");
    ip("link add cable0 type veth peer name cable1 netns neighbour");
    ip(&format!("addr add {here} dev cable0"));
    ip("link set cable0 up");
    ip(&format!("-n neighbour addr add {there} dev cable1"));
    ip("-n neighbour link set cable1 up");
}

/// Runs `fixture-app` on it.
pub fn run(args: &[&str], env: &[(&str, &str)]) -> Said {
    let mut command = fixture_app(args);
    command.envs(env.iter().copied());
    Said::of(command)
}

/// Starts a web server on it, and waits until it answers.
pub fn serve(address: &str) -> Server {
    let server = Server(fixture_app(&["serve", address]).spawn().expect("nsenter is there"));
    eventually("the neighbour serves", PATIENCE, || {
        let answer = std::net::TcpStream::connect(address);
        expect(answer.is_ok(), answer)
    });
    server
}

fn fixture_app(args: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={PLACE}")).arg(program("fixture-app")).args(args);
    command
}

// === impl Server ===

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
