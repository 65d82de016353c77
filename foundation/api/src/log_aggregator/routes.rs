//! The paths of logs 3.4 and lattice C.1, as axum patterns.

/// A websocket: each envelope of the app from now on, one binary frame each.
pub const STREAM: &str = "/apps/{app_id}/stream";
/// The app's latest log lines, oldest first.
pub const RECENT: &str = "/apps/{app_id}/recentlogs";
/// The newest measurement of each of the app's instances.
pub const CONTAINER_METRICS: &str = "/apps/{app_id}/containermetrics";
/// A websocket: everything; listeners of the same subscription share it.
pub const FIREHOSE: &str = "/firehose/{subscription}";

/// The longest app id or subscription that is looked up.
pub const ID_BYTES_MAX: usize = 512;
