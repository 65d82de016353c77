//! What a reader sees: data in, text out. Pure; one file for each thing that is shown.
//!
//! The `Serialize` types here are also what `--output json` prints: their keys are stable.

pub mod amount;
pub mod cells;
pub mod distribution;
pub mod domains;
pub mod explain;
pub mod help;
pub mod images;
pub mod list;
pub mod log_line;
pub mod moves;
pub mod palette;
pub mod platform_line;
pub mod registries;
pub mod status;
pub mod steps;
pub mod table;
pub mod task;
