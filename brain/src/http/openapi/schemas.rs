//! The bodies as JSON schemas (B.2 to B.8). What is written is described in full, and nothing
//! else is written; what is read may hold more, which is ignored.

mod cells;
mod certificates;
mod checks;
mod limits;
mod pod;

use lattice_api::brain::moves::{IN_FLIGHT_DEFAULT, IN_FLIGHT_MAX, MOVES_DEFAULT, MOVES_MAX};
use lattice_model::action::ACTION_DEPTH_MAX;
use lattice_model::desired_lrp::{ANNOTATION_BYTES_MAX, INSTANCES_MAX};
use lattice_model::id::GUID_BYTES_MAX;
use lattice_model::placement::WEIGHT_MAX;
use serde_json::{Map, Value, json};

use super::reference;

/// All schemas by name.
pub(super) fn all() -> Value {
    let mut schemas = Map::new();
    let nouns = [parts(), placement(), actions(), desired_lrps(), actual_lrps(), tasks(), moves()];
    let ours = [
        explanation(),
        events_of_ours(),
        cells::all(),
        checks::all(),
        pod::all(),
        certificates::all(),
    ];
    nouns.into_iter().chain(ours).for_each(|part| schemas.extend(part));
    schemas.into()
}

/// What each kind of event carries.
pub(super) fn events() -> Value {
    let one = |name: &str, schema: &str| written(json!({name: reference(schema)}), &[name]);
    let change = |name: &str, schema: &str| {
        let (before, after) = (format!("{name}_before"), format!("{name}_after"));
        let fields = json!({&before: reference(schema), &after: reference(schema)});
        written(fields, &[&before, &after])
    };
    json!({
        "desired_lrp_created": one("desired_lrp", "DesiredLrp"),
        "desired_lrp_changed": change("desired_lrp", "DesiredLrp"),
        "desired_lrp_removed": one("desired_lrp", "DesiredLrp"),
        "actual_lrp_created": one("actual_lrp", "ActualLrp"),
        "actual_lrp_changed": change("actual_lrp", "ActualLrp"),
        "actual_lrp_removed": one("actual_lrp", "ActualLrp"),
        "actual_lrp_crashed": reference("ActualLrpCrash"),
        "task_created": one("task", "Task"),
        "task_changed": change("task", "Task"),
        "task_removed": one("task", "Task"),
        "resync": reference("Resync"),
    })
}

type Schemas = Map<String, Value>;

fn map(schemas: Value) -> Schemas {
    let Value::Object(schemas) = schemas else { return Map::new() };
    schemas
}

/// An object that is read: these fields must be there.
fn read(fields: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": fields, "required": required})
}

/// An object that is written: it has no other fields.
fn written(fields: Value, required: &[&str]) -> Value {
    let mut schema = read(fields, required);
    schema["additionalProperties"] = false.into();
    schema
}

/// An object that is written with all its fields, but for these.
fn written_but(fields: Value, optional: &[&str]) -> Value {
    let names = map(fields.clone());
    let names: Vec<_> = names.keys().map(String::as_str).collect();
    let required: Vec<_> = names.into_iter().filter(|name| !optional.contains(name)).collect();
    written(fields, &required)
}

fn with(fields: Value, more: Value) -> Value {
    let mut fields = map(fields);
    fields.extend(map(more));
    fields.into()
}

fn text() -> Value {
    json!({"type": "string"})
}

fn guid() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": GUID_BYTES_MAX,
        "pattern": "^[a-zA-Z0-9_-]+$"})
}

fn amount(what: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": what})
}

fn truth() -> Value {
    json!({"type": "boolean"})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn nullable(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn time() -> Value {
    json!({"type": "integer", "description": "nanoseconds since the Unix epoch"})
}

fn parts() -> Schemas {
    let names = [
        "TaskGuidAlreadyExists",
        "TaskNotDeletable",
        "TaskNotFound",
        "InvalidTask",
        "DesiredLRPAlreadyExists",
        "DesiredLRPNotFound",
        "InvalidLRP",
        "InvalidDomain",
        "InvalidJSON",
        "InvalidRequest",
        "InvalidResponse",
        "UnknownError",
        "Unauthorized",
        "ActualLRPIndexNotFound",
        "ResourceConflict",
        "RouterError",
        "CellNotFound",
        "CustomDomainNotFound",
        "RegistryNotFound",
        "TooManyRequests",
    ];
    let rule = json!({
        "protocol": {"enum": ["tcp", "udp", "icmp", "all"]},
        "destinations": {"type": "array", "items": text(), "minItems": 1,
            "description": "addresses, ranges FIRST-LAST, or CIDR blocks"},
        "ports": list(port()),
        "port_range": read(json!({"start": port(), "end": port()}), &["start", "end"]),
        "icmp_info": read(json!({"type": {"type": "integer"}, "code": {"type": "integer"}}), &[]),
        "log": truth(),
    });
    let cell = json!({
        "cell_id": guid(),
        "zone": text(),
        "capacity": written_but(json!({"memory_mb": amount("MiB"), "disk_mb": amount("MiB"),
            "containers": amount("slots")}), &[]),
        "rootfs_providers": {"type": "object", "additionalProperties": list(text()),
            "description": "scheme to names; no names means every one"},
        "placement_tags": list(text()),
        "optional_placement_tags": list(text()),
        "volume_drivers": list(text()),
        "labels": {"type": "object", "additionalProperties": text()},
        "fault": {"type": "string", "description": "why it takes no new work"},
        "warnings": list(text()),
        "draining": truth(),
    });
    let tags = ["placement_tags", "optional_placement_tags", "volume_drivers", "labels"];
    let cell_extras = [&tags[..], &["fault", "warnings", "draining"]].concat();
    let version = json!({"lattice_release": text(), "receptor": text(), "ltc": text()});
    let credentials = json!({"registry": text(), "username": text(), "password": text()});
    map(json!({
        "Error": written(json!({"name": {"enum": names}, "message": text()}), &["name", "message"]),
        "Domain": {"type": "string", "minLength": 1},
        "EnvVar": read(json!({"name": text(), "value": text()}), &["name"]),
        "EgressRule": read(rule, &["protocol", "destinations"]),
        "Cell": written_but(cell, &cell_extras),
        "Version": written(version, &[]),
        "RegistryAccount": written_but(json!({"registry": text(), "username": text()}), &[]),
        "RegistryCredentials": read(credentials, &["registry"]),
        "ModificationTag": written_but(json!({"epoch": text(), "index": amount("updates")}), &[]),
    }))
}

fn placement() -> Schemas {
    let rules = || list(reference("PlacementRule"));
    let placement = json!({"strategy": {"enum": ["spread", "binpack", "random"]},
        "constraints": rules(), "affinities": rules()});
    let rule = json!({
        "label": text(),
        "operator": {"enum": ["==", "!=", "glob", "regex"]},
        "value": text(),
        "app": text(),
        "relation": {"enum": ["with", "apart"]},
        "weight": {"type": "integer", "minimum": 1, "maximum": WEIGHT_MAX,
            "description": "of an affinity"},
    });
    map(json!({"Placement": written(placement, &[]), "PlacementRule": written(rule, &[])}))
}

fn port() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": 65_535})
}

fn actions() -> Schemas {
    let (action, source) = (reference("Action"), text());
    let run = json!({"path": text(), "args": list(text()), "dir": text(),
        "env": list(reference("EnvVar")), "user": text(), "log_source": source,
        "resource_limits": read(json!({"nofile": amount("open files"),
            "nproc": amount("processes")}), &[])});
    let download = json!({"artifact": text(), "from": text(), "to": text(), "cache_key": text(),
        "user": text(), "log_source": source,
        "checksum_algorithm": {"enum": ["md5", "sha1", "sha256"]}, "checksum_value": text()});
    let upload = json!({"artifact": text(), "from": text(), "to": text(), "user": text(),
        "log_source": source});
    let timeout = json!({"action": action, "log_source": source,
        "timeout": {"type": "integer", "minimum": 1, "description": "nanoseconds"}});
    let wrapped = json!({"action": action, "log_source": source});
    let progress = json!({"action": action, "start_message": text(), "success_message": text(),
        "failure_message_prefix": text(), "log_source": source});
    let group = read(
        json!({"actions": {"type": "array", "items": action, "minItems": 1},
        "log_source": source}),
        &["actions"],
    );
    let kinds = [
        ("run", read(run, &["path", "user"])),
        ("download", read(download, &["from", "to", "user"])),
        ("upload", read(upload, &["from", "to", "user"])),
        ("timeout", read(timeout, &["action", "timeout"])),
        ("try", read(wrapped, &["action"])),
        ("emit_progress", read(progress, &["action"])),
        ("parallel", group.clone()),
        ("serial", group.clone()),
        ("codependent", group),
    ];
    let one = |(name, schema): (&str, Value)| read(json!({name: schema}), &[name]);
    let description = format!("exactly one of these; at most {ACTION_DEPTH_MAX} deep");
    let kinds: Vec<Value> = kinds.into_iter().map(one).collect();
    map(json!({"Action": {"oneOf": kinds, "description": description}}))
}

/// What desired LRPs and tasks have in common.
fn of_work() -> Value {
    let work = json!({
        "domain": reference("Domain"),
        "rootfs": {"type": "string", "description": "a URL with a scheme, `docker:///repo#tag`"},
        "env": list(reference("EnvVar")),
        "action": reference("Action"),
        "privileged": truth(),
        "log_guid": text(),
        "log_source": text(),
        "metrics_guid": text(),
        "annotation": {"type": "string", "maxLength": ANNOTATION_BYTES_MAX},
        "egress_rules": list(reference("EgressRule")),
        "placement_tags": list(text()),
        "volume_drivers": list(text()),
        "placement": reference("Placement"),
        "log_rate_limit": {"type": "integer", "minimum": -1,
            "description": "bytes a second and instance; -1 is no limit, 0 no logs"},
    });
    with(work, limits::fields())
}

/// Which of those are left out where they are empty.
const OPTIONAL: [&str; 9] = [
    "env",
    "annotation",
    "egress_rules",
    "placement_tags",
    "volume_drivers",
    "placement",
    "max_pids",
    "cpu_limit_percent",
    "log_rate_limit",
];

fn desired_lrps() -> Schemas {
    let instances = json!({"type": "integer", "minimum": 0, "maximum": INSTANCES_MAX});
    let routes = json!({"type": "object", "description": "router name to whatever it knows"});
    let attempts = read(json!({"attempts_max": amount("attempts")}), &["attempts_max"]);
    let restart_policy = json!({"anyOf": [
        {"enum": ["always", "never"]},
        read(json!({"on_failure": attempts}), &["on_failure"]),
    ]});
    let wanted = with(
        of_work(),
        json!({
            "process_guid": guid(),
            "instances": instances,
            "setup": nullable(reference("Action")),
            "monitor": nullable(reference("Action")),
            "start_timeout": amount("seconds; 0 is for ever"),
            "ports": list(port()),
            "routes": routes,
            "app": guid(),
            "restart_policy": restart_policy,
            "update_strategy": {"enum": ["rolling", "recreate"]},
            "check_definition": reference("CheckDefinition"),
            "stop": reference("StopPolicy"),
            "sidecars": list(reference("Sidecar")),
            "mounts": list(reference("Mount")),
            "containers": list(reference("Container")),
        }),
    );
    let tag = json!({"modification_tag": reference("ModificationTag")});
    let optional = [
        &["routes", "app", "restart_policy", "update_strategy", "check_definition", "stop"],
        &pod::FIELDS[..],
    ]
    .concat();
    let optional = [&OPTIONAL[..], &optional].concat();
    let update = json!({"instances": nullable(instances), "routes": nullable(routes),
        "annotation": nullable(json!({"type": "string", "maxLength": ANNOTATION_BYTES_MAX}))});
    map(json!({
        "DesiredLrpCreate":
            read(wanted.clone(), &["process_guid", "domain", "rootfs", "action"]),
        "DesiredLrp": written_but(with(wanted, tag), &optional),
        "DesiredLrpUpdate": read(update, &[]),
    }))
}

fn actual_lrps() -> Schemas {
    let mapping = written_but(json!({"container_port": port(), "host_port": port()}), &[]);
    let lrp = json!({
        "process_guid": guid(),
        "instance_guid": text(),
        "cell_id": text(),
        "domain": reference("Domain"),
        "index": amount("from 0"),
        "address": text(),
        "ports": nullable(list(mapping)),
        "state": {"enum": ["UNCLAIMED", "CLAIMED", "RUNNING", "CRASHED", "EXITED"]},
        "crash_count": amount("crashes in a row"),
        "crash_reason": text(),
        "placement_error": text(),
        "placement_detail": text(),
        "instance_address": text(),
        "unready": truth(),
        "since": time(),
        "evacuating": truth(),
        "suspect": truth(),
        "modification_tag": reference("ModificationTag"),
    });
    let optional = [
        "crash_reason",
        "placement_error",
        "placement_detail",
        "instance_address",
        "unready",
        "suspect",
    ];
    let progress = json!({
        "index": amount("from 0"),
        "cell_id": guid(),
        "step": {"type": "object", "properties": {
            "step": {"enum": ["pulling", "creating", "starting"]},
            "bytes_done": amount("bytes"), "bytes_total": amount("bytes; 0 while unknown"),
        }, "required": ["step"]},
    });
    map(json!({
        "ActualLrp": written_but(lrp, &optional),
        "InstanceProgress": written_but(progress, &[]),
    }))
}

fn tasks() -> Schemas {
    let wanted = with(
        of_work(),
        json!({
            "task_guid": guid(),
            "result_file": text(),
            "completion_callback_url": {"type": "string", "description": "http or https, or empty"},
        }),
    );
    let state = json!({
        "cell_id": text(),
        "created_at": time(),
        "failed": truth(),
        "failure_reason": text(),
        "result": text(),
        "state": {"enum": ["PENDING", "RUNNING", "COMPLETED", "RESOLVING"]},
        "rejection_count": amount("rejections"),
        "rejection_reason": text(),
        "placement_detail": text(),
    });
    let optional =
        [&OPTIONAL[..], &["rejection_count", "rejection_reason", "placement_detail"]].concat();
    map(json!({
        "TaskCreate": read(wanted.clone(), &["task_guid", "domain", "rootfs", "action"]),
        "Task": written_but(with(wanted, state), &optional),
    }))
}

fn moves() -> Schemas {
    let bound = |most: u32, usual: u32| {
        let what = format!("{usual} when it is not said");
        json!({"type": "integer", "minimum": 1, "maximum": most, "description": what})
    };
    let at_once = bound(IN_FLIGHT_MAX, IN_FLIGHT_DEFAULT);
    let drain = json!({"max_in_flight": at_once, "dry_run": truth()});
    let max_moves = json!({"max_moves": bound(MOVES_MAX, MOVES_DEFAULT)});
    let of_instance = json!({"process_guid": guid(), "index": amount("from 0"), "from": guid(),
        "to": guid(), "placement_error": text()});
    let planned = with(of_instance.clone(), json!({"memory_mb": amount("MiB; 0 is no limit")}));
    let under_way = with(of_instance, json!({"state": text()}));
    let draining = json!({"cell_id": guid(), "max_in_flight": at_once,
        "instances_left": amount("instances"), "tasks_left": amount("tasks")});
    let optional = ["to", "placement_error"];
    map(json!({
        "Drain": read(drain.clone(), &[]),
        "Rebalance": read(with(drain, max_moves), &[]),
        "MovePlan": written_but(json!({"moves": list(written_but(planned, &optional))}), &[]),
        "Moves": written_but(json!({
            "draining": list(written_but(draining, &[])),
            "moves": list(written_but(under_way, &optional)),
            "planned": amount("moves that have yet to begin"),
        }), &[]),
    }))
}

fn explanation() -> Schemas {
    let amounts = json!({"memory_mb": amount("MiB"), "disk_mb": amount("MiB"),
        "containers": amount("slots")});
    let amounts = written_but(amounts, &[]);
    let part = json!({"type": "number", "description": "lower is better; 1 is a cell used up"});
    let scores = written_but(
        json!({"total": part, "same_app": part, "starting": part, "first_fit": part,
            "resources": part, "affinity": part}),
        &[],
    );
    let filters = written_but(
        json!({"accepting": truth(), "rootfs": truth(), "volume_drivers": truth(),
            "placement_tags": truth(), "constraints": truth(), "resources": truth()}),
        &[],
    );
    let cell = json!({
        "cell_id": guid(),
        "zone": text(),
        "free": amounts,
        "instances_in_zone": amount("instances of the app"),
        "instances_on_cell": amount("instances of the app"),
        "filters": filters,
        "score": nullable(scores),
    });
    let explanation = json!({
        "process_guid": guid(),
        "index": amount("from 0"),
        "app": guid(),
        "strategy": {"enum": ["spread", "binpack", "random"]},
        "need": amounts,
        "runs_on": nullable(guid()),
        "chosen": nullable(guid()),
        "why": text(),
        "placement_error": text(),
        "placement_detail": text(),
        "cells": list(written_but(cell, &[])),
    });
    map(json!({"Explanation": written_but(explanation, &[])}))
}

fn events_of_ours() -> Schemas {
    let crash = json!({"process_guid": guid(), "index": amount("from 0"),
        "domain": reference("Domain"), "instance_guid": guid(), "cell_id": guid(),
        "crash_count": amount("crashes in a row"), "crash_reason": text(), "since": time()});
    let reasons = ["history_gone", "other_life", "too_slow"];
    let resync = json!({"reason": {"enum": reasons}, "message": text()});
    map(json!({"ActualLrpCrash": written_but(crash, &[]), "Resync": written_but(resync, &[])}))
}
