//! The fields that desired LRPs and tasks have in common, and their rules.

use lattice_model::action::{Action, EnvVar};
use lattice_model::desired_lrp::{
    ANNOTATION_BYTES_MAX, CPU_LIMIT_PERCENT_MAX, CPU_WEIGHT_MAX, ContainerLimits, ContainerSpec,
    LogTarget, PIDS_DEFAULT, STOP_GRACE_MS_MAX, StopPolicy,
};
use lattice_model::id::IdError;
use lattice_model::resources::Limit;
use lattice_model::{CheckDefinition, Domain, ErrorName, Placement, Refusal};
use serde::Deserialize as _;

use super::action::{self, Place};
use super::field::Object;
use super::{Complaints, DOMAIN_BYTES_MAX};

/// How an absent `log_rate_limit` is written.
const NO_LIMIT: i64 = -1;

pub(super) fn domain(
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<Option<Domain>, Refusal> {
    let text = fields.string("domain")?;
    let domain = Domain::new(&text).ok().filter(|_| text.len() <= DOMAIN_BYTES_MAX);
    if domain.is_none() {
        complaints.invalid("domain");
    }
    Ok(domain)
}

pub(super) fn guid<T: TryFrom<String, Error = IdError>>(
    fields: &Object<'_>,
    name: &str,
    complaints: &mut Complaints,
) -> Result<Option<T>, Refusal> {
    let guid = T::try_from(fields.string(name)?).ok();
    if guid.is_none() {
        complaints.invalid(name);
    }
    Ok(guid)
}

/// The image: complained about once when it has no scheme, and once more when it is not there.
pub(super) fn rootfs(fields: &Object<'_>, complaints: &mut Complaints) -> Result<String, Refusal> {
    let rootfs = fields.string("rootfs")?;
    if rootfs.is_empty() {
        complaints.invalid("rootfs");
    }
    if !has_scheme(&rootfs) {
        complaints.invalid("rootfs");
    }
    Ok(rootfs)
}

/// True for a URL with a scheme (`docker:///repo#tag`, `preloaded:stack`).
pub(super) fn has_scheme(url: &str) -> bool {
    let Some((scheme, _)) = url.split_once(':') else { return false };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(allowed)
}

/// The action that must be there.
pub(super) fn required_action(
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<Option<Action>, Refusal> {
    let action = optional_action(fields, "action", complaints)?;
    if fields.get("action").is_none() {
        complaints.say("invalid action type");
    }
    Ok(action)
}

/// An action that may be there; its own complaints follow one about the field.
pub(super) fn optional_action(
    fields: &Object<'_>,
    name: &str,
    complaints: &mut Complaints,
) -> Result<Option<Action>, Refusal> {
    let Some(value) = fields.get(name) else { return Ok(None) };
    let mut inner = Complaints::default();
    let action = action::decode(value, Place::top(&fields.path_of(name)), &mut inner)?;
    if !inner.is_empty() {
        complaints.invalid(name);
        complaints.append(inner);
    }
    Ok(action)
}

/// What a container has of the CPU.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    weight: u32,
    limit_percent: Limit,
}

pub(super) fn cpu(fields: &Object<'_>, complaints: &mut Complaints) -> Result<Cpu, Refusal> {
    let weight = fields.integer::<u32>("cpu_weight")?.unwrap_or_default();
    if weight > CPU_WEIGHT_MAX {
        complaints.invalid("cpu_weight");
    }
    let percent = fields.integer::<u64>("cpu_limit_percent")?.unwrap_or_default();
    if percent > CPU_LIMIT_PERCENT_MAX {
        complaints.invalid("cpu_limit_percent");
    }
    Ok(Cpu { weight, limit_percent: Limit::from_wire(percent) })
}

pub(super) fn annotation(
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<String, Refusal> {
    let text = fields.string("annotation")?;
    if text.len() > ANNOTATION_BYTES_MAX {
        complaints.invalid("annotation");
    }
    Ok(text)
}

pub(super) fn log_target(
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<LogTarget, Refusal> {
    let bytes_per_s = fields.integer::<i64>("log_rate_limit")?.unwrap_or(NO_LIMIT);
    if bytes_per_s < NO_LIMIT {
        complaints.invalid("log_rate_limit");
    }
    Ok(LogTarget {
        bytes_per_s_max: u64::try_from(bytes_per_s).ok(),
        log_guid: fields.string("log_guid")?,
        log_source: fields.string("log_source")?,
        metrics_guid: fields.string("metrics_guid")?,
    })
}

/// What is asked of cells; ours. A complaint about the field is followed by its reason.
pub(super) fn placement(
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<Placement, Refusal> {
    let Some(value) = fields.get("placement") else { return Ok(Placement::default()) };
    let read = Placement::deserialize(value).map_err(|e| e.to_string());
    let checked = read.and_then(|read| match read.check() {
        Ok(()) => Ok(read),
        Err(fault) => Err(fault.to_string()),
    });
    checked.or_else(|why| {
        complaints.invalid("placement");
        complaints.say(format!("placement: {why}"));
        Ok(Placement::default())
    })
}

/// Declarative checks. A complaint about the field is followed by its reasons.
pub(super) fn checks(
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<CheckDefinition, Refusal> {
    let Some(value) = fields.get("check_definition") else { return Ok(CheckDefinition::default()) };
    let (read, faults) = match CheckDefinition::deserialize(value) {
        Ok(read) => (read.clone(), read.faults()),
        Err(error) => (CheckDefinition::default(), vec![error.to_string()]),
    };
    if !faults.is_empty() {
        complaints.invalid("check_definition");
        faults.iter().for_each(|why| complaints.say(format!("check_definition: {why}")));
    }
    Ok(read)
}

/// How processes are asked to end; ours.
pub(super) fn stop_policy(
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<StopPolicy, Refusal> {
    let Some(value) = fields.get("stop") else { return Ok(StopPolicy::default()) };
    let read = StopPolicy::deserialize(value).map_err(|error| error.to_string());
    let checked = read.and_then(|read| match read.grace_ms {
        Some(ms) if ms > STOP_GRACE_MS_MAX => {
            Err(format!("a grace of {ms} ms, at most {STOP_GRACE_MS_MAX}"))
        }
        Some(_) | None => Ok(read),
    });
    checked.or_else(|why| {
        complaints.invalid("stop");
        complaints.say(format!("stop: {why}"));
        Ok(StopPolicy::default())
    })
}

/// Variables and limits. What is wrong with them the original found only later, and then called an
/// `UnknownError`.
pub(super) fn late(fields: &Object<'_>) -> Result<Late, Refusal> {
    let (env, has_blank) = action::env(fields)?;
    let mut complaints = Complaints::default();
    let memory_mb = amount(fields, "memory_mb", &mut complaints)?;
    let disk_mb = amount(fields, "disk_mb", &mut complaints)?;
    let pids = match fields.get("max_pids") {
        None => PIDS_DEFAULT,
        Some(_) => amount(fields, "max_pids", &mut complaints)?,
    };
    if has_blank {
        complaints.say("invalid field: name cannot be blank");
    }
    Ok(Late { env, memory_mb, disk_mb, pids, complaints })
}

/// Variables and limits, and what is wrong with them.
pub(super) struct Late {
    env: Vec<EnvVar>,
    memory_mb: Limit,
    disk_mb: Limit,
    pids: Limit,
    complaints: Complaints,
}

impl Late {
    /// Variables and limits, when all is well with everything. Else all there is to complain about
    /// is told at once: under `name`, or as an `UnknownError` when it is these alone.
    pub(super) fn settle(
        self,
        mut early: Complaints,
        name: ErrorName,
        cpu: Cpu,
    ) -> Result<(Vec<EnvVar>, ContainerLimits), Refusal> {
        let name = if early.is_empty() { ErrorName::UnknownError } else { name };
        let taken = self.take(&mut early, cpu);
        early.settle(name)?;
        Ok(taken)
    }

    /// Variables and limits; what is wrong with them becomes complaints like all others.
    pub(super) fn take(
        self,
        complaints: &mut Complaints,
        cpu: Cpu,
    ) -> (Vec<EnvVar>, ContainerLimits) {
        complaints.append(self.complaints);
        let Self { env, memory_mb, disk_mb, pids, .. } = self;
        let Cpu { weight: cpu_weight, limit_percent: cpu_limit_percent } = cpu;
        (env, ContainerLimits { memory_mb, disk_mb, cpu_weight, cpu_limit_percent, pids })
    }
}

/// `max_pids` as written: the limit, 0 for none; left out where it is the default.
pub(super) fn pids_of(container: &ContainerSpec) -> Option<u64> {
    let pids = container.limits.pids;
    (pids != PIDS_DEFAULT).then_some(pids.to_wire())
}

/// An amount that is a limit; 0 is none.
pub(super) fn amount(
    fields: &Object<'_>,
    name: &str,
    complaints: &mut Complaints,
) -> Result<Limit, Refusal> {
    let amount = fields.integer::<i64>(name)?.unwrap_or_default();
    if amount < 0 {
        complaints.invalid(name);
    }
    Ok(Limit::from_wire(u64::try_from(amount).unwrap_or_default()))
}
