//! Actions (B.3): an object with exactly one key, the action's name.

use lattice_model::Refusal;
use lattice_model::action::{
    ACTION_DEPTH_MAX, Action, ChecksumAlgorithm, Download, EmitProgress, EnvVar, Group,
    ResourceLimits, Run, Timeout, Upload, Wrapped,
};
use serde_json::Value;

use super::Complaints;
use super::field::Object;

const NAMES: [&str; 9] = [
    "run",
    "download",
    "upload",
    "timeout",
    "try",
    "emit_progress",
    "parallel",
    "serial",
    "codependent",
];

/// Reads an action as the Receptor would, with its complaints joined in one text.
pub fn parse(value: &Value) -> Result<Action, Refusal> {
    let mut complaints = Complaints::default();
    let action = decode(value, Place::top("action"), &mut complaints)?;
    complaints.settle(lattice_model::ErrorName::InvalidLRP)?;
    Ok(action.expect("an action without complaints is one"))
}

/// Where an action stands.
#[derive(Debug)]
pub(super) struct Place {
    path: String,
    depth: usize,
}

impl Place {
    /// The place of an LRP's or task's own field.
    pub(super) fn top(name: &str) -> Self {
        Self { path: name.to_owned(), depth: 1 }
    }

    fn inner(&self, path: String) -> Self {
        Self { path, depth: self.depth + 1 }
    }
}

/// Reads an action. Wrong JSON types are an error at once; what else is wrong becomes complaints.
/// `None` comes with at least one complaint.
pub(super) fn decode(
    value: &Value,
    place: Place,
    complaints: &mut Complaints,
) -> Result<Option<Action>, Refusal> {
    if place.depth > ACTION_DEPTH_MAX {
        complaints.invalid(&format!("action nested more than {ACTION_DEPTH_MAX} deep"));
        return Ok(None);
    }
    let object = Object::at(value, place.path.clone())?;
    let mut named = object.names().filter(|name| NAMES.contains(name));
    let (Some(name), None) = (named.next(), named.next()) else {
        complaints.invalid("inner-action");
        return Ok(None);
    };
    let fields = object.object(name)?.expect("a name stands for a value");
    let action = match name {
        "run" => Action::Run(run(&fields, complaints)?),
        "download" => Action::Download(download(&fields, complaints)?),
        "upload" => Action::Upload(upload(&fields, complaints)?),
        "timeout" => Action::Timeout(timeout(&fields, &place, complaints)?),
        "try" => Action::Try(Wrapped {
            action: wrapped(&fields, &place, complaints)?,
            log_source: fields.string("log_source")?,
        }),
        "emit_progress" => Action::EmitProgress(emit_progress(&fields, &place, complaints)?),
        "parallel" => Action::Parallel(group(&fields, &place, complaints)?),
        "serial" => Action::Serial(group(&fields, &place, complaints)?),
        _ => Action::Codependent(group(&fields, &place, complaints)?),
    };
    Ok(Some(action))
}

/// Reads a list of variables; says whether one has a blank name.
pub(super) fn env(fields: &Object<'_>) -> Result<(Vec<EnvVar>, bool), Refusal> {
    let mut variables = Vec::new();
    for variable in fields.objects("env")? {
        let (name, value) = (variable.string("name")?, variable.string("value")?);
        variables.push(EnvVar { name, value });
    }
    let has_blank = variables.iter().any(|v| v.name.trim().is_empty());
    Ok((variables, has_blank))
}

fn run(fields: &Object<'_>, complaints: &mut Complaints) -> Result<Run, Refusal> {
    let path = required(fields, "path", complaints)?;
    let user = required(fields, "user", complaints)?;
    let (env, has_blank) = env(fields)?;
    if has_blank {
        complaints.invalid("env");
    }
    let resource_limits = match fields.object("resource_limits")? {
        None => ResourceLimits::default(),
        Some(limits) => {
            ResourceLimits { nofile: limits.integer("nofile")?, nproc: limits.integer("nproc")? }
        }
    };
    Ok(Run {
        path,
        args: fields.strings("args")?,
        dir: fields.string("dir")?,
        env,
        resource_limits,
        user,
        log_source: fields.string("log_source")?,
    })
}

fn download(fields: &Object<'_>, complaints: &mut Complaints) -> Result<Download, Refusal> {
    let (checksum_algorithm, checksum_value) = checksum(fields, complaints)?;
    Ok(Download {
        checksum_algorithm,
        checksum_value,
        artifact: fields.string("artifact")?,
        from: required(fields, "from", complaints)?,
        to: required(fields, "to", complaints)?,
        cache_key: fields.string("cache_key")?,
        user: required(fields, "user", complaints)?,
        log_source: fields.string("log_source")?,
    })
}

/// Neither, or an algorithm and as many hex digits as it has.
fn checksum(fields: &Object<'_>, complaints: &mut Complaints) -> Result<(String, String), Refusal> {
    let (name, value) = (fields.string("checksum_algorithm")?, fields.string("checksum_value")?);
    match ChecksumAlgorithm::named(&name) {
        None if name.is_empty() && value.is_empty() => {}
        None => complaints.invalid("checksum_algorithm"),
        Some(algorithm) => {
            let is_digest =
                value.len() == algorithm.digits() && value.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_digest {
                complaints.invalid("checksum_value");
            }
        }
    }
    Ok((name, value))
}

fn upload(fields: &Object<'_>, complaints: &mut Complaints) -> Result<Upload, Refusal> {
    Ok(Upload {
        artifact: fields.string("artifact")?,
        from: required(fields, "from", complaints)?,
        to: required(fields, "to", complaints)?,
        user: required(fields, "user", complaints)?,
        log_source: fields.string("log_source")?,
    })
}

fn timeout(
    fields: &Object<'_>,
    place: &Place,
    complaints: &mut Complaints,
) -> Result<Timeout, Refusal> {
    let action = wrapped(fields, place, complaints)?;
    let timeout_ns = fields.integer::<i64>("timeout")?.unwrap_or_default();
    if timeout_ns <= 0 {
        complaints.invalid("timeout");
    }
    Ok(Timeout { action, timeout_ns, log_source: fields.string("log_source")? })
}

fn emit_progress(
    fields: &Object<'_>,
    place: &Place,
    complaints: &mut Complaints,
) -> Result<EmitProgress, Refusal> {
    Ok(EmitProgress {
        action: wrapped(fields, place, complaints)?,
        start_message: fields.string("start_message")?,
        success_message: fields.string("success_message")?,
        failure_message_prefix: fields.string("failure_message_prefix")?,
        log_source: fields.string("log_source")?,
    })
}

fn wrapped(
    fields: &Object<'_>,
    place: &Place,
    complaints: &mut Complaints,
) -> Result<Option<Box<Action>>, Refusal> {
    let Some(value) = fields.get("action") else {
        complaints.invalid("action");
        return Ok(None);
    };
    Ok(decode(value, place.inner(fields.path_of("action")), complaints)?.map(Box::new))
}

fn group(
    fields: &Object<'_>,
    place: &Place,
    complaints: &mut Complaints,
) -> Result<Group, Refusal> {
    let values = fields.list("actions")?.unwrap_or_default();
    if values.is_empty() {
        complaints.invalid("actions");
    }
    let mut actions = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        if value.is_null() {
            complaints.invalid(&format!("action at index {index}"));
            continue;
        }
        let path = format!("{}[{index}]", fields.path_of("actions"));
        actions.push(decode(value, place.inner(path), complaints)?);
    }
    Ok(Group { actions, log_source: fields.string("log_source")? })
}

fn required(
    fields: &Object<'_>,
    name: &str,
    complaints: &mut Complaints,
) -> Result<String, Refusal> {
    let text = fields.string(name)?;
    if text.is_empty() {
        complaints.invalid(name);
    }
    Ok(text)
}
