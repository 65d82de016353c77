//! What cells tell when they are asked: what they keep of images, and what instances use.

use serde_json::{Value, json};

use super::{Schemas, amount, guid, list, map, text, time, truth, written_but};

pub(super) fn all() -> Schemas {
    map(json!({
        "CellImages": written_but(images(), &["error"]),
        "CellPruned": written_but(pruned(), &["error"]),
        "CellUsage": written_but(usage(), &["error"]),
    }))
}

fn images() -> Value {
    let image = json!({"name": text(), "digest": text(), "bytes": amount("bytes on the disk"),
        "layers": amount("layers"), "in_use": truth(), "last_used": time()});
    json!({
        "cell_id": guid(),
        "images": list(written_but(image, &[])),
        "layers_bytes": amount("bytes on the disk; what images share is there once"),
        "disk_free_bytes": amount("bytes"),
        "disk_total_bytes": amount("bytes"),
        "error": why_silent(),
    })
}

fn pruned() -> Value {
    json!({"cell_id": guid(), "images": list(text()), "layers": amount("layers"),
        "bytes": amount("bytes"), "error": why_silent()})
}

fn usage() -> Value {
    let percentage = json!({"type": "number", "minimum": 0, "description": "of one core"});
    let quota = amount("bytes; 0 is no limit");
    let instance = json!({
        "index": amount("from 0"),
        "instance_guid": guid(),
        "measured_at": time(),
        "cpu_percentage": percentage,
        "cpu_entitlement_percentage": percentage,
        "memory_bytes": amount("bytes, without what the kernel could drop at once"),
        "memory_bytes_quota": quota,
        "disk_bytes": amount("bytes that it has written"),
        "disk_bytes_quota": quota,
        "received_bytes": amount("bytes since it is there"),
        "sent_bytes": amount("bytes since it is there"),
        "age_ns": amount("nanoseconds that it is there"),
    });
    json!({"cell_id": guid(), "instances": list(written_but(instance, &[])), "error": why_silent()})
}

fn why_silent() -> Value {
    json!({"type": "string", "description": "why the cell did not say"})
}
