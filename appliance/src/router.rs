//! `lattice router`: the router alone, from gorouter's file or from ours.

use anyhow::Context as _;
use lattice_router::alone::settings::Mistakes;
use lattice_router::alone::stdout::{self, Logging, Timestamps};
use lattice_router::alone::{self, Settings};
use tracing::{error, warn};

use crate::Usage;
use crate::args::Router;
use crate::up::raise_open_files;

/// Runs it until a signal ends it.
pub fn run(args: &Router) -> anyhow::Result<()> {
    let mut settings = match (&args.gorouter, &args.config) {
        (Some(path), _) => Settings::of_gorouter(path).inspect_err(say).map_err(Into::into),
        (None, Some(path)) => Settings::of_toml(path).map_err(usage),
        (None, None) => unreachable!("the command line demands one"),
    }?;
    settings.handover.clone_from(&args.handover);
    stdout::start(&settings.logging);
    for key in &settings.unknown_keys {
        warn!(key, "configuration key ignored: nobody knows it");
    }
    for remark in &settings.remarks {
        warn!(remark, "configuration key without effect");
    }
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("lattice-router")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    Ok(runtime.block_on(alone::run(settings))?)
}

/// Where operators' tooling for gorouter looks for it.
fn say(mistakes: &Mistakes) {
    stdout::start(&Logging { level: "error".to_owned(), timestamps: Timestamps::default() });
    error!(error = %mistakes, "Error loading config");
}

/// Ours answers as every command of ours: a mistake of usage.
fn usage(mistakes: Mistakes) -> anyhow::Error {
    match &mistakes {
        Mistakes::Unreadable { .. } => mistakes.into(),
        Mistakes::Malformed { .. } | Mistakes::Wrong { .. } => Usage(mistakes.to_string()).into(),
    }
}
