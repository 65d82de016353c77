//! The last steps of a new process before it becomes the program it is for: is the program there,
//! and the seccomp filter. `libcontainer` installs none without a C library.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use oci_spec::runtime::{Process, Spec};
use rustix::fs::{Access, access};
use seccompiler::BpfProgram;

/// Becomes the program.
#[derive(Clone)]
pub(super) struct Confined {
    filters: Arc<Vec<BpfProgram>>,
    /// Where it is said why not; `libcontainer`'s own words lose half of it.
    complaints: Arc<File>,
}

// === impl Confined ===

impl Confined {
    pub(super) fn new(filters: Vec<BpfProgram>, complaints: File) -> Self {
        Self { filters: Arc::new(filters), complaints: Arc::new(complaints) }
    }

    /// Says why it does not work.
    pub(super) fn say(&self, why: &str) {
        // What reads it reports the failure in any case.
        let _ = (&*self.complaints).write_all(why.as_bytes());
    }

    /// The same of the program, in the words of `runc`.
    fn complain(&self, program: &str, why: &str) -> String {
        let words = format!("exec: {program:?}: {why}");
        self.say(&words);
        words
    }
}

impl Executor for Confined {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let process = spec.process().as_ref();
        let refused = ExecutorValidationError::ArgValidationError;
        let process = process.ok_or_else(|| refused("there is no process".to_owned()))?;
        let program = first_argument(process);
        let found = look_up(process).map(drop);
        found.map_err(|why| refused(self.complain(program, why)))
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let process = spec.process().as_ref().ok_or(ExecutorError::InvalidArg)?;
        Err(ExecutorError::Other(self.run(process)))
    }
}

impl Confined {
    /// Becomes the program of `process`, or says why not.
    pub(super) fn run(&self, process: &Process) -> String {
        let Err(why) = self.try_to_run(process);
        why
    }

    fn try_to_run(&self, process: &Process) -> Result<Infallible, String> {
        let program = first_argument(process);
        let told = |why: &str| self.complain(program, why);
        let path = look_up(process).map_err(told)?;
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| told("odd path"))?;
        let arguments = strings(process.args().iter().flatten().map(String::as_bytes));
        let arguments = arguments.ok_or_else(|| told("an argument holds a zero byte"))?;
        let variables = strings(process.env().iter().flatten().map(String::as_bytes));
        let variables = variables.ok_or_else(|| told("a variable holds a zero byte"))?;
        // The strictest last: after it little is allowed any more.
        for filter in self.filters.iter().rev() {
            seccompiler::apply_filter(filter)
                .map_err(|e| told(&format!("the seccomp filter is refused: {e}")))?;
        }
        let (argv, envp) = (pointers(&arguments), pointers(&variables));
        // SAFETY: both lists end with a null pointer, and their strings outlive the call.
        unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        let error = std::io::Error::last_os_error();
        Err(told(&match error.raw_os_error() {
            Some(libc::ENOEXEC) => "exec format error".to_owned(),
            Some(libc::ENOENT) => "no such file or directory".to_owned(),
            Some(libc::EACCES) => "permission denied".to_owned(),
            _ => error.to_string(),
        }))
    }
}

fn first_argument(process: &Process) -> &str {
    process.args().iter().flatten().next().map_or("", String::as_str)
}

/// Where the program is, for whom this process has become. As a shell looks, but that a place
/// where it may not be run does not hide the next.
fn look_up(process: &Process) -> Result<PathBuf, &'static str> {
    let program = first_argument(process);
    if program.contains('/') {
        let path = PathBuf::from(program);
        return may_run(&path).map(|()| path);
    }
    let mut variables = process.env().iter().flatten();
    let path = variables.find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or_default();
    let mut why = "executable file not found in $PATH";
    for dir in path.split(':').filter(|dir| !dir.is_empty() && !program.is_empty()) {
        let path = Path::new(dir).join(program);
        match may_run(&path) {
            Ok(()) => return Ok(path),
            Err("permission denied") => why = "permission denied",
            Err(_) => {}
        }
    }
    Err(why)
}

fn may_run(path: &Path) -> Result<(), &'static str> {
    let found = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => "permission denied",
        _ => "no such file or directory",
    })?;
    if found.is_dir() {
        return Err("is a directory");
    }
    access(path, Access::EXEC_OK).map_err(|_| "permission denied")
}

fn strings<B: AsRef<[u8]>>(texts: impl Iterator<Item = B>) -> Option<Vec<CString>> {
    texts.map(|text| CString::new(text.as_ref()).ok()).collect()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr());
    pointers.chain([std::ptr::null()]).collect()
}
