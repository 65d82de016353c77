//! Holds one instance: a small process of one thread that is the parent of the container's init and
//! of all that is executed in it. It keeps their output, as much as fits, and their exit statuses,
//! and tells them to whoever connects, so that an instance outlives the cell that made it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;

use lattice_shim_protocol::{SETTINGS, SOCKET, STAMP, Settings, Stamp};

use crate::holder::Holder;
use crate::{kin, signals};

/// Makes the container whose bundle is in `dir` and holds it until it is gone. Says on standard
/// output that it is made ([`lattice_shim_protocol::MADE`]), or why not.
pub(crate) fn run(dir: &OsStr) -> ExitCode {
    let outcome = begin(dir).and_then(|mut holder| holder.hold().map_err(|e| e.to_string()));
    if let Err(why) = &outcome {
        // Nobody may listen any more; then the cell has gone, and finds what is left.
        let _ = io::stdout().write_all(why.as_bytes());
    }
    kin::end_children();
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn begin(dir: &OsStr) -> Result<Holder, String> {
    let told = |what: &'static str| move |e: io::Error| format!("cannot {what}: {e}");
    std::env::set_current_dir(dir).map_err(told("enter the instance's directory"))?;
    let settings = fs::read_to_string(SETTINGS).map_err(told("read the instance's settings"))?;
    let settings =
        Settings::parse(&settings).map_err(|e| format!("cannot read {SETTINGS}: {e}"))?;
    let signals = signals::Signals::listen().map_err(told("listen for signals"))?;
    detach().map_err(told("leave the cell's session"))?;
    let listener = UnixListener::bind(SOCKET).map_err(told("listen for the cell"))?;
    listener.set_nonblocking(true).map_err(told("listen for the cell"))?;
    let stamp = stamp().map_err(told("tell who this process is"))?;
    fs::write(STAMP, stamp.print()).map_err(told("say who holds the instance"))?;
    // Whoever removes the instance takes its settings first, and looks for the stamp then.
    fs::metadata(SETTINGS).map_err(told("hold an instance that is being removed"))?;
    Holder::new(settings, listener, signals).map_err(told("start the OCI runtime"))
}

/// Neither the terminal nor the cell's process group is this process's affair, but every orphan of
/// the container is.
fn detach() -> io::Result<()> {
    // One that leads its group already, as when a person starts it, stays where it is.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::thread::set_name(c"lattice-shim")?;
    Ok(())
}

fn stamp() -> io::Result<Stamp> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let stat = fs::read_to_string("/proc/self/stat")?;
    let began = kin::began(&stat).ok_or(io::ErrorKind::InvalidData)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    Ok(Stamp { pid, began, boot })
}
