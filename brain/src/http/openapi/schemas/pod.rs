//! What an instance holds besides its main container.

use lattice_model::pod::{MEMBERS_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};
use serde_json::{Value, json};

use super::super::reference;
use super::{Schemas, amount, limits, list, map, nullable, port, read, text, truth, with, written};

/// The fields of an LRP that say so.
pub(super) const FIELDS: [&str; 3] = ["sidecars", "mounts", "containers"];

pub(super) fn all() -> Schemas {
    let sidecar = json!({
        "name": with(name(), json!({"description": "sidecar-N without it"})),
        "action": reference("Action"),
        "disk_mb": amount("MiB more of the container's disk"),
        "memory_mb": amount("MiB of its own; 0 is what the container has"),
    });
    let mount = json!({
        "volume": name(),
        "path": {"type": "string", "maxLength": PATH_BYTES_MAX, "pattern": "^/"},
        "read_only": truth(),
    });
    let container = json!({
        "name": name(),
        "rootfs": {"type": "string", "description": "a URL with a scheme, `docker:///repo#tag`"},
        "env": list(reference("EnvVar")),
        "setup": nullable(reference("Action")),
        "action": reference("Action"),
        "privileged": truth(),
        "ports": list(port()),
        "stop": reference("StopPolicy"),
        "sidecars": list(reference("Sidecar")),
        "mounts": list(reference("Mount")),
    });
    let container = with(container, limits::fields());
    let description =
        format!("at most {MEMBERS_MAX} containers and sidecars; all of them share a network");
    map(json!({
        "Sidecar": read(sidecar, &["action"]),
        "Mount": written(mount, &["volume", "path"]),
        "Container": with(
            read(container, &["name", "rootfs", "action"]),
            json!({"description": description}),
        ),
    }))
}

fn name() -> Value {
    with(text(), json!({"pattern": format!("^[a-zA-Z0-9_-]{{1,{NAME_BYTES_MAX}}}$")}))
}
