//! `lattice`: all roles in one process, or what a container's init is made of.

use std::process::ExitCode;

fn main() -> ExitCode {
    lattice_appliance::main()
}
