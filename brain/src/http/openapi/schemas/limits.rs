//! The bounds of a container: the same for an LRP, a task and each further container.

use lattice_model::desired_lrp::{CPU_LIMIT_PERCENT_MAX, CPU_WEIGHT_MAX, PIDS_DEFAULT};
use serde_json::{Value, json};

use super::{amount, with};

pub(super) fn fields() -> Value {
    let cpu_limit = amount("percent of one core, also on an idle machine; 0 is no limit");
    let pids = format!("processes; 0 is no limit, {} without it", PIDS_DEFAULT.to_wire());
    json!({
        "disk_mb": amount("MiB; 0 is no limit"),
        "memory_mb": amount("MiB; 0 is no limit"),
        "cpu_weight": {"type": "integer", "minimum": 0, "maximum": CPU_WEIGHT_MAX},
        "cpu_limit_percent": with(cpu_limit, json!({"maximum": CPU_LIMIT_PERCENT_MAX})),
        "max_pids": amount(&pids),
    })
}
