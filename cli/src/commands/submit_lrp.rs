//! `ltc submit-lrp`: wants an LRP from a Receptor API document.

use std::path::PathBuf;

use crate::context::Cx;
use crate::exit::Outcome;
use crate::submit::{Kind, submit};

const KIND: Kind =
    Kind { noun: "LRP", guid: "process_guid", path: "/v1/desired_lrps", next: "ltc status" };

/// Arguments of `ltc submit-lrp`.
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
