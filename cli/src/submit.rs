//! Receptor API documents from files: read, looked at, and sent as they are.

use std::path::Path;

use lattice_api::brain::BrainError;
use lattice_model::Domain;
use serde_json::Value;

use crate::context::Cx;
use crate::exit::{Exit, Failure};
use crate::lrp::{DOMAIN, RESERVED_NAME};

/// One kind of document.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// What people call it.
    pub noun: &'static str,
    /// The key that names it.
    pub guid: &'static str,
    /// Where it is sent.
    pub path: &'static str,
    /// The command that shows it afterwards.
    pub next: &'static str,
}

/// Sends the document in `path`; the answer is its name.
pub async fn submit(kind: Kind, path: &Path, cx: &Cx) -> Result<String, Failure> {
    let text = read(path, cx).await?;
    let document: Value = serde_json::from_str(&text).map_err(|e| {
        let message = format!("{} is not a JSON document: {e}", path.display());
        Failure::command(message).next(format!("jq . {}", path.display()))
    })?;
    let of = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = of(kind.guid);
    if name == RESERVED_NAME {
        let message = format!("the name {RESERVED_NAME} is kept for the platform's own log");
        return Err(Failure::command(message));
    }
    let failure = |e| refused(kind, &name, e);
    if of("domain") == DOMAIN {
        let domain = Domain::new(DOMAIN).expect("a constant that is not empty");
        cx.receptor.upsert_domain(domain, None).await.map_err(failure)?;
    }
    cx.raw.submit(kind.path, text.as_bytes()).await.map_err(failure)?;
    cx.out().say(&format!("submitted {} {name}", kind.noun));
    cx.out().say(&format!("  next: {} {name}", kind.next));
    Ok(name)
}

fn refused(kind: Kind, name: &str, error: BrainError) -> Failure {
    let name = if name.is_empty() { "without a name" } else { name };
    Failure::brain(&format!("submit the {} {name}", kind.noun), error)
}

async fn read(path: &Path, cx: &Cx) -> Result<String, Failure> {
    let failure = |e: std::io::Error| {
        Failure::new(Exit::FileSystem, format!("cannot read {}: {e}", path.display()))
    };
    if path.as_os_str() == "-" {
        return cx.local.terminal.read_all().map_err(failure);
    }
    tokio::fs::read_to_string(path).await.map_err(failure)
}
