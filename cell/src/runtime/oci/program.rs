//! The OCI runtime's program: where it is, and what its words mean.

use std::path::{Path, PathBuf};

use lattice_shim_protocol::program::OCI;

use super::Engine;
use crate::host_programs;
use crate::runtime::{ContainerId, RuntimeError};

/// An OCI runtime's program and its state directory.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) hides_cgroup2: bool,
    pub(super) root: PathBuf,
}

// === impl Program ===

impl Program {
    /// The program of an engine. The process that holds a container calls it: itself, when that is
    /// meant, whatever has taken the place of its file since.
    pub(super) fn find(engine: Engine, root: PathBuf) -> Result<Self, RuntimeError> {
        let Some(name) = engine.program() else {
            let (path, arguments) = ("/proc/self/exe".into(), vec![OCI.to_owned()]);
            return Ok(Self { path, arguments, hides_cgroup2: false, root });
        };
        let path = host_programs::find(Path::new(name)).ok_or_else(|| {
            RuntimeError::Unavailable(format!(
                "cannot run containers: {name} is not installed; apt-get install {name}, or take \
                 another --runtime"
            ))
        })?;
        Ok(Self { path, arguments: Vec::new(), hides_cgroup2: engine == Engine::Crun, root })
    }

    /// Where it keeps its record of a container.
    pub(super) fn state_of(&self, id: &ContainerId) -> PathBuf {
        self.root.join(id.as_str())
    }
}

/// What it says last in a log of JSON lines; other text speaks for itself.
pub(super) fn words(log: &str) -> String {
    last_error(log).unwrap_or_else(|| log.to_owned())
}

/// Why a process could not be started: for want of a program, or for another reason.
pub(super) fn exec_error(id: &ContainerId, argv: &[String], why: String) -> RuntimeError {
    // What the new process itself met comes after these words; all else is about the container.
    let met = why.rsplit_once("unable to start container process: ").map(|(_, end)| end);
    // `crun` says nothing before.
    let is_bare = ["executable file", "open executable"].iter().any(|sign| why.starts_with(sign));
    let met = met.or_else(|| is_bare.then_some(why.as_str()));
    let Some(said) = met.filter(|said| said.starts_with("exec")) else {
        return RuntimeError::Failed {
            what: "start a process in",
            id: id.to_string(),
            why: met.unwrap_or(&why).to_owned(),
        };
    };
    let reasons = [
        ("not found in $PATH", "it is not in the image's PATH"),
        ("no such file or directory", "there is no such file in the image, or its interpreter"),
        ("permission denied", "it is not executable for this user"),
        ("is a directory", "it is a directory"),
        ("exec format error", "it is not a program for this machine, or a script without #!"),
    ];
    let known = reasons.iter().find(|(sign, _)| said.contains(sign));
    RuntimeError::NotExecutable {
        program: argv.first().cloned().unwrap_or_default(),
        why: known.map_or_else(|| said.to_owned(), |(_, reason)| (*reason).to_owned()),
    }
}

/// The last error in a log of JSON lines.
fn last_error(log: &str) -> Option<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut errors = lines.filter(|line| line["level"] == "error" || line["level"] == "fatal");
    errors.next_back().and_then(|line| line["msg"].as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_engine_needs_no_other_program() {
        let own = Program::find(Engine::Embedded, "/root".into()).unwrap();
        assert_eq!((own.path, own.arguments), ("/proc/self/exe".into(), vec![OCI.to_owned()]));
    }

    #[test]
    fn the_last_error_of_a_log_is_told() {
        let log = "{\"level\":\"error\",\"msg\":\"first\"}\n\
                   {\"level\":\"warning\",\"msg\":\"no\"}\n\
                   not json\n{\"level\":\"error\",\"msg\":\"second\"}\n";
        assert_eq!(last_error(log).as_deref(), Some("second"));
        assert_eq!(last_error(""), None);
        assert_eq!(words("killed by an elephant"), "killed by an elephant");
    }

    #[test]
    fn what_cannot_be_executed_is_told_from_other_failures() {
        let check = |said: &str, expected: &str| {
            let why = format!("exec failed: unable to start container process: {said}");
            let error = exec_error(&ContainerId::new("c"), &["prog".to_owned()], why);
            assert_eq!(error.to_string(), expected);
        };
        check(
            "exec: \"prog\": executable file not found in $PATH",
            "cannot run prog: it is not in the image's PATH",
        );
        check(
            "exec: \"prog\": permission denied",
            "cannot run prog: it is not executable for this user",
        );
        let crun =
            "executable file `prog` not found in $PATH: No such file or directory".to_owned();
        let error = exec_error(&ContainerId::new("c"), &["prog".to_owned()], crun);
        assert_eq!(error.to_string(), "cannot run prog: it is not in the image's PATH");
        let stopped = "exec failed: cannot exec in a stopped container".to_owned();
        let error = exec_error(&ContainerId::new("c"), &["prog".to_owned()], stopped);
        assert!(matches!(error, RuntimeError::Failed { .. }), "{error:?}");
        check(
            "chdir to cwd (\"/x\") set in config.json failed: no such file or directory",
            "cannot start a process in container c: chdir to cwd (\"/x\") set in config.json \
             failed: no such file or directory",
        );
    }
}
