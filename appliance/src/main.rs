//! `lattice`: all roles in one process, or one of them.

use std::process::ExitCode;

fn main() -> ExitCode {
    lattice_appliance::main()
}
