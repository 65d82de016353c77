//! Declarative checks, and how processes are asked to end.

use lattice_model::checks::{
    CHECKS_MAX, INTERVAL_MS_MIN, MILLIS_MAX, PATH_BYTES_MAX, THRESHOLD_MAX,
};
use lattice_model::desired_lrp::{STOP_GRACE_MS_MAX, StopSignal};
use serde_json::{Value, json};

use super::super::reference;
use super::{Schemas, map, text, with, written};

pub(super) fn all() -> Schemas {
    let list = || json!({"type": "array", "items": reference("Check"), "maxItems": CHECKS_MAX});
    let definition = json!({
        "checks": list(),
        "startup_checks": list(),
        "readiness_checks": list(),
        "log_source": text(),
    });
    let every = |timeout: &str| {
        json!({
            "port": {"type": "integer", "minimum": 1, "maximum": 65_535},
            timeout: {"type": "integer", "minimum": 0, "maximum": MILLIS_MAX,
                "description": "0 is a second"},
            "interval_ms": {"anyOf": [{"enum": [0]},
                {"type": "integer", "minimum": INTERVAL_MS_MIN, "maximum": MILLIS_MAX}],
                "description": "between checks of a healthy instance; 0 is 30 seconds"},
            "failure_threshold": {"type": "integer", "minimum": 0, "maximum": THRESHOLD_MAX,
                "description": "so many failures in a row count; 0 is the first"},
        })
    };
    let path = json!({"path": {"type": "string", "maxLength": PATH_BYTES_MAX,
        "pattern": "^(/[!-~]*)?$"}});
    let one = |name: &str, check: Value| written(json!({name: check}), &[name]);
    let tcp = written(every("connect_timeout_ms"), &["port"]);
    let http = written(with(every("request_timeout_ms"), path), &["port"]);
    let signals: Vec<&str> = StopSignal::ALL.into_iter().map(StopSignal::name).collect();
    let stop = json!({
        "signal": {"enum": signals, "description": "what the image says, or SIGTERM, without it"},
        "grace_ms": {"type": "integer", "minimum": 0, "maximum": STOP_GRACE_MS_MAX,
            "description": "until SIGKILL; 10 seconds without it"},
    });
    map(json!({
        "Check": {"oneOf": [one("tcp_check", tcp), one("http_check", http)]},
        "CheckDefinition": written(definition, &[]),
        "StopPolicy": written(stop, &[]),
    }))
}
