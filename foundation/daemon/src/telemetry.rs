//! The platform's own log: to standard error, and to its listeners as application `lattice-debug`.

use std::fmt::Write as _;
use std::sync::Arc;

use lattice_model::Envelope;
use lattice_model::envelope::{Log, PLATFORM_LOG_ID};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::{Clock as _, SystemClock};
use crate::log_ingress::LogIngress;

/// What goes where, as filters in the syntax of `RUST_LOG`.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// To standard error; `RUST_LOG` overrides it.
    pub stderr: String,
    /// To listeners of `lattice-debug`.
    pub platform: String,
    /// Whose log it is: the source instance of its lines.
    pub source_instance: String,
}

/// Starts logging. Returns quietly when it has started already.
pub fn start(telemetry: Telemetry, ingress: Arc<dyn LogIngress>) {
    let stderr =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(telemetry.stderr));
    let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let platform =
        PlatformLog { ingress, source_instance: telemetry.source_instance.as_str().into() };
    let _ = tracing_subscriber::registry()
        .with(text.with_filter(stderr))
        .with(platform.with_filter(EnvFilter::new(telemetry.platform)))
        .try_init();
}

/// Sends each event on as a log line of `lattice-debug`, its source being the role's crate.
struct PlatformLog {
    ingress: Arc<dyn LogIngress>,
    source_instance: Arc<str>,
}

impl<S: Subscriber> Layer<S> for PlatformLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} ", metadata.level()));
        event.record(&mut line);
        let role = metadata.target().split("::").next().unwrap_or_default();
        let source_type = Arc::from(role.trim_start_matches("lattice_"));
        let log = if *metadata.level() <= Level::WARN {
            Log::err(source_type, line.0)
        } else {
            Log::out(source_type, line.0)
        };
        let envelope = Envelope::log(
            PLATFORM_LOG_ID.into(),
            Arc::clone(&self.source_instance),
            SystemClock.now(),
            log,
        );
        // A lost line of our own is counted by the ingress; saying so here would make another.
        self.ingress.emit(envelope);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {}={value}", field.name());
    }
}
