//! `ltc submit-task`: wants a task from a Receptor API document.

use std::path::PathBuf;

use crate::context::Cx;
use crate::exit::Outcome;
use crate::submit::{Kind, submit};

const KIND: Kind = Kind { noun: "task", guid: "task_guid", path: "/v1/tasks", next: "ltc task" };

/// Arguments of `ltc submit-task`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file with the JSON document, - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Submits the document.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    submit(KIND, &args.file, cx).await.map(drop)
}
