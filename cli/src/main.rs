//! `ltc`, the person's hand: reads the command line, runs it, ends with its exit code.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lattice_cli::connect::Network;
use lattice_cli::context::Local;
use lattice_cli::exit::Exit;
use lattice_cli::out::{Format, Out};
use lattice_cli::terminal::Console;
use lattice_model::Time;

const POLL: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    // The HTTP clients need one; a second call, which cannot be, would change nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return ExitCode::from(Exit::General.code()),
    };
    let exit = runtime.block_on(lattice_cli::run(std::env::args_os(), local));
    // A question that is still open must not keep an interrupted process.
    runtime.shutdown_background();
    ExitCode::from(exit.code())
}

fn local(format: Format, is_coloured: bool) -> Local {
    Local {
        out: Out::terminal(format, is_coloured),
        vars: Arc::new(|name| std::env::var(name).ok()),
        terminal: Arc::new(Console),
        connector: Arc::new(Network),
        clock: Arc::new(now),
        poll: POLL,
        zone: jiff::tz::TimeZone::system(),
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
