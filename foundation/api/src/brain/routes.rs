//! The Receptor API's paths (B.1): patterns for the server, and builders for the client.

use lattice_model::{CellId, Domain, ProcessGuid, TaskGuid};

/// Desired LRPs.
pub const DESIRED_LRPS: &str = "/v1/desired_lrps";
/// One desired LRP.
pub const DESIRED_LRP: &str = "/v1/desired_lrps/{guid}";
/// Where the auction would put one instance, and why; ours.
pub const EXPLANATION: &str = "/v1/desired_lrps/{guid}/explain/{index}";
/// Actual LRPs.
pub const ACTUAL_LRPS: &str = "/v1/actual_lrps";
/// The actual LRPs of one desired LRP.
pub const ACTUAL_LRPS_OF: &str = "/v1/actual_lrps/{guid}";
/// One actual LRP.
pub const ACTUAL_LRP: &str = "/v1/actual_lrps/{guid}/index/{index}";
/// How far instances have come; ours.
pub const PROGRESS: &str = "/v1/actual_lrps/{guid}/progress";
/// What instances use, measured now; ours.
pub const USAGE: &str = "/v1/actual_lrps/{guid}/usage";
/// Tasks.
pub const TASKS: &str = "/v1/tasks";
/// One task.
pub const TASK: &str = "/v1/tasks/{guid}";
/// Ends a task.
pub const CANCEL_TASK: &str = "/v1/tasks/{guid}/cancel";
/// Cells.
pub const CELLS: &str = "/v1/cells";
/// Drains a cell; ours.
pub const DRAIN: &str = "/v1/cells/{cell}/drain";
/// Spreads instances anew; ours.
pub const REBALANCE: &str = "/v1/rebalance";
/// What moves now; ours.
pub const MOVES: &str = "/v1/moves";
/// Images that cells keep; ours.
pub const IMAGES: &str = "/v1/images";
/// Removes those that no instance uses; ours.
pub const PRUNE_IMAGES: &str = "/v1/images/prune";
/// Domains.
pub const DOMAINS: &str = "/v1/domains";
/// One domain.
pub const DOMAIN: &str = "/v1/domains/{domain}";
/// Events.
pub const EVENTS: &str = "/v1/events";
/// The version.
pub const VERSION: &str = "/v1/version";
/// The OpenAPI document.
pub const OPENAPI: &str = "/v1/openapi.json";
/// A program to download.
pub const SYNC: &str = "/v1/sync/{arch}/{artifact}";
/// Turns credentials into a cookie.
pub const AUTH_COOKIE: &str = "/v1/auth_cookie";
/// Credentials for registries; ours.
pub const REGISTRY_CREDENTIALS: &str = "/v1/registry_credentials";
/// Those for one registry; ours.
pub const REGISTRY_CREDENTIALS_OF: &str = "/v1/registry_credentials/{registry}";
/// Certificates for hosts of people's own; ours.
pub const CUSTOM_DOMAINS: &str = "/v1/custom_domains";
/// One of them; ours.
pub const CUSTOM_DOMAIN: &str = "/v1/custom_domains/{host}";
/// The cookie that holds an `Authorization` value.
pub const COOKIE: &str = "receptor_authorization";

/// The path of one desired LRP.
pub fn desired_lrp(guid: &ProcessGuid) -> String {
    format!("{DESIRED_LRPS}/{guid}")
}

/// The path of what the auction thinks of one instance.
pub fn explanation(guid: &ProcessGuid, index: u32) -> String {
    format!("{DESIRED_LRPS}/{guid}/explain/{index}")
}

/// The path of the actual LRPs of one desired LRP.
pub fn actual_lrps_of(guid: &ProcessGuid) -> String {
    format!("{ACTUAL_LRPS}/{guid}")
}

/// The path of one actual LRP.
pub fn actual_lrp(guid: &ProcessGuid, index: u32) -> String {
    format!("{ACTUAL_LRPS}/{guid}/index/{index}")
}

/// The path of the progress of one desired LRP's instances.
pub fn progress(guid: &ProcessGuid) -> String {
    format!("{ACTUAL_LRPS}/{guid}/progress")
}

/// The path of what one desired LRP's instances use.
pub fn usage(guid: &ProcessGuid) -> String {
    format!("{ACTUAL_LRPS}/{guid}/usage")
}

/// The path of one task.
pub fn task(guid: &TaskGuid) -> String {
    format!("{TASKS}/{guid}")
}

/// The path that ends a task.
pub fn cancel_task(guid: &TaskGuid) -> String {
    format!("{TASKS}/{guid}/cancel")
}

/// The path that drains a cell, whose name may hold any character.
pub fn drain(cell: &CellId) -> String {
    format!("{CELLS}/{}/drain", escaped(cell.as_str()))
}

/// The path of a domain, which may hold any character.
pub fn domain(domain: &Domain) -> String {
    format!("{DOMAINS}/{}", escaped(domain.as_str()))
}

/// The path of the credentials for a registry, whose name may hold any character.
pub fn registry_credentials_of(registry: &str) -> String {
    format!("{REGISTRY_CREDENTIALS}/{}", escaped(registry))
}

/// The path of a custom domain, whose host may hold any character.
pub fn custom_domain(host: &str) -> String {
    format!("{CUSTOM_DOMAINS}/{}", escaped(host))
}

fn escaped(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}
