//! Other programs that make containers from the same bundle: `runc` and `crun`, by their own
//! command line.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::place::Place;

/// Such programs, as Debian has them.
pub(super) const PROGRAMS: [&str; 2] = ["runc", "crun"];

/// A container that runs until this is dropped.
pub(super) struct Running<'a> {
    place: &'a Place,
    pub(super) program: &'static str,
    id: String,
}

/// Seconds to the first output of a program in a new container, and until all is gone again. Its
/// program is the container's first process, so that it has one start where ours are two.
pub(super) fn start(place: &Place, program: &'static str, n: usize) -> [f64; 2] {
    let id = format!("{program}-{n}");
    let bundle = place.dir.join("bundles").join(&id);
    place.write_bundle(&bundle, &id, &["/bin/echo", "ready"]);
    let begin = Instant::now();
    let mut command = command(place, program);
    command.args(["run", "--bundle"]).arg(&bundle).arg(&id);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let first = begin.elapsed().as_secs_f64();
    assert!(child.wait().unwrap().success() && said == "ready\n", "{program} said {said:?}");
    [first, begin.elapsed().as_secs_f64()]
}

/// What they need of the machine.
fn command(place: &Place, program: &str) -> Command {
    let mut command = Command::new(program);
    command.arg("--root").arg(place.dir.join("others").join(program));
    command.stdin(Stdio::null());
    command
}

// === impl Running ===

impl<'a> Running<'a> {
    pub(super) fn start(place: &'a Place, program: &'static str) -> Self {
        let id = format!("{program}-running");
        let bundle = place.dir.join("bundles").join(&id);
        place.write_bundle(&bundle, &id, &["/bin/sleep", "9999"]);
        let mut command = command(place, program);
        command.args(["run", "--detach", "--bundle"]).arg(&bundle).arg(&id);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program} starts a container");
        Self { place, program, id }
    }

    /// Executes a program in it, to its end.
    pub(super) fn exec(&self) {
        let mut command = command(self.place, self.program);
        let output = command.args(["exec", &self.id, "/bin/echo", "ready"]).output().unwrap();
        assert_eq!(output.stdout, b"ready\n", "{output:?}");
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut command = command(self.place, self.program);
        let _ = command.args(["delete", "--force", &self.id]).status();
    }
}
