//! The sample app: says hello, tells its index, port and environment, and logs a line a second.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is its log")]

mod flags;
mod pages;
mod server;

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flags::Flags;
use pages::App;

fn main() -> ExitCode {
    let flags = match Flags::parse(std::env::args().skip(1), std::env::var("PORT").ok()) {
        Ok(flags) => flags,
        Err(why) => {
            eprintln!("lattice-app: {why}");
            return ExitCode::from(2);
        }
    };
    lager("lattice-app.lattice-app.starting", &serde_json::json!({ "ports": flags.ports }));
    let app = Arc::new(App { started: Instant::now(), index: index(), quiet: flags.quiet });
    for port in flags.ports {
        let listener = match TcpListener::bind(("0.0.0.0", port)) {
            Ok(listener) => listener,
            Err(why) => {
                eprintln!("lattice-app: cannot listen on port {port}: {why}");
                return ExitCode::FAILURE;
            }
        };
        lager("lattice-app.lattice-app.up", &serde_json::json!({ "port": port }));
        let app = Arc::clone(&app);
        thread::spawn(move || server::serve(&listener, port, &app));
    }
    let name = std::env::var("APP_NAME").unwrap_or_else(|_| "Lattice-app".to_owned());
    loop {
        println!("{name}. Says {}. on index: {}", flags.message, app.index);
        thread::sleep(Duration::from_secs(1));
    }
}

/// The instance's index; -1 outside the platform.
fn index() -> i64 {
    let names = ["CF_INSTANCE_INDEX", "INSTANCE_INDEX"];
    let Some(text) = names.iter().find_map(|name| std::env::var(name).ok()) else { return -1 };
    text.parse().unwrap_or_else(|why| {
        eprintln!("Failed to fetch index: {why}");
        -1
    })
}

/// One line in the JSON form that platform components log.
fn lager(message: &str, data: &serde_json::Value) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = serde_json::json!({
        "timestamp": format!("{}.{:09}", now.as_secs(), now.subsec_nanos()),
        "source": "lattice-app",
        "message": message,
        "log_level": 1,
        "data": data,
    });
    println!("{line}");
}
