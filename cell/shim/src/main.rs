//! What stands beside containers and in them. The cell carries this program in itself and starts it
//! with a word that says what it is to be ([`program`]); it is small, because every instance has
//! some of these, and links nothing of the platform's.
//!
//! | Part | Is |
//! |---|---|
//! | `instance` | holds one instance: `shim DIR`, where DIR holds an OCI bundle and the settings |
//! | `holder` | the loop, and what follows from what happens |
//! | `process` | one process in the container, and where it stands |
//! | `buffer` | the output that nobody has taken yet; pure |
//! | `client` | one connection of a cell |
//! | `oci` | calls of the OCI runtime's program, be it this one |
//! | `own` | that program, as nobody can write to it |
//! | `embedded` | the OCI runtime that this program carries in itself: `oci ...` |
//! | `view` | what the OCI runtime sees of this machine |
//! | `kin` | who belongs to whom among a container's processes |
//! | `signals` | what the kernel says to this process |
//! | `init` | PID 1 of a container |
//! | `inside` | what serves people who are let in: files and connections |

mod buffer;
mod client;
mod embedded;
mod holder;
mod init;
mod inside;
mod instance;
mod kin;
mod oci;
mod own;
mod process;
mod signals;
mod view;

use std::process::ExitCode;

use lattice_shim_protocol::program;

/// Exit code for a command line that cannot work (`EX_USAGE`).
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let role = words.next().unwrap_or_default();
    match role.to_str().unwrap_or_default() {
        program::INIT => init::run(),
        program::INSIDE => inside::run(words),
        program::OCI => embedded::run(words),
        program::SHIM => instance::run(&words.next().unwrap_or_default()),
        _ => explain(),
    }
}

#[allow(clippy::print_stderr, reason = "somebody started it by hand")]
fn explain() -> ExitCode {
    eprintln!("lattice-shim: this is started by the platform itself; see lattice --help");
    ExitCode::from(EXIT_USAGE)
}
