//! Tasks (B.6).

use lattice_model::CheckDefinition;
use lattice_model::EgressRule;
use lattice_model::action::{Action, EnvVar};
use lattice_model::desired_lrp::ContainerSpec;
use lattice_model::desired_lrp::StopPolicy;
use lattice_model::pod::MAIN;
use lattice_model::task::TaskOutcome;
use lattice_model::{
    CellId, ErrorName, Placement, Refusal, Task, TaskDefinition, TaskGuid, TaskState, Time,
};
use serde::Serialize;
use serde_json::Value;

use super::desired_lrp::is_zero;
use super::field::Object;
use super::{Complaints, container, egress};

/// A task as the Receptor writes it, in its order. Fields after `egress_rules` are ours and left
/// out at their defaults. `result_file` is always empty, as in the original.
#[derive(Debug, Serialize)]
pub struct TaskResponse<'a> {
    action: &'a Action,
    #[serde(skip_serializing_if = "str::is_empty")]
    annotation: &'a str,
    completion_callback_url: &'a str,
    cpu_weight: u32,
    disk_mb: u64,
    domain: &'a str,
    log_guid: &'a str,
    log_source: &'a str,
    metrics_guid: &'a str,
    memory_mb: u64,
    result_file: &'a str,
    task_guid: &'a str,
    rootfs: &'a str,
    privileged: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    env: &'a [EnvVar],
    cell_id: &'a str,
    created_at: i64,
    failed: bool,
    failure_reason: &'a str,
    result: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    egress_rules: &'a [EgressRule],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    placement_tags: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    volume_drivers: &'a [String],
    #[serde(skip_serializing_if = "Placement::is_default")]
    placement: &'a Placement,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_pids: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    cpu_limit_percent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_rate_limit: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    rejection_count: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    rejection_reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    placement_detail: &'a str,
}

/// The body that creates a task, in the Receptor's order.
#[derive(Debug, Serialize)]
pub struct TaskCreateRequest<'a> {
    result_file: &'a str,
    #[serde(flatten)]
    rest: Definition<'a>,
}

#[derive(Debug, Serialize)]
struct Definition<'a> {
    action: &'a Action,
    #[serde(skip_serializing_if = "str::is_empty")]
    annotation: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    completion_callback_url: &'a str,
    cpu_weight: u32,
    disk_mb: u64,
    domain: &'a str,
    log_guid: &'a str,
    log_source: &'a str,
    metrics_guid: &'a str,
    memory_mb: u64,
    task_guid: &'a str,
    rootfs: &'a str,
    privileged: bool,
    env: &'a [EnvVar],
    egress_rules: &'a [EgressRule],
    placement_tags: &'a [String],
    volume_drivers: &'a [String],
    #[serde(skip_serializing_if = "Placement::is_default")]
    placement: &'a Placement,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_pids: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    cpu_limit_percent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_rate_limit: Option<u64>,
}

// === impl TaskResponse ===

impl<'a> From<&'a Task> for TaskResponse<'a> {
    fn from(task: &'a Task) -> Self {
        let wanted = Definition::from(&task.definition);
        let (cell_id, outcome) = match &task.state {
            TaskState::Pending => ("", None),
            TaskState::Running { cell_id } => (cell_id.as_str(), None),
            TaskState::Completed(outcome) | TaskState::Resolving(outcome) => ("", Some(outcome)),
        };
        Self {
            action: wanted.action,
            annotation: wanted.annotation,
            completion_callback_url: wanted.completion_callback_url,
            cpu_weight: wanted.cpu_weight,
            disk_mb: wanted.disk_mb,
            domain: wanted.domain,
            log_guid: wanted.log_guid,
            log_source: wanted.log_source,
            metrics_guid: wanted.metrics_guid,
            memory_mb: wanted.memory_mb,
            result_file: "",
            task_guid: wanted.task_guid,
            rootfs: wanted.rootfs,
            privileged: wanted.privileged,
            env: wanted.env,
            cell_id,
            created_at: task.created_at.0,
            failed: outcome.is_some_and(|o| o.failed),
            failure_reason: outcome.map_or("", |o| &o.failure_reason),
            result: outcome.map_or("", |o| &o.result),
            state: task.state.name(),
            egress_rules: wanted.egress_rules,
            placement_tags: wanted.placement_tags,
            volume_drivers: wanted.volume_drivers,
            placement: wanted.placement,
            max_pids: wanted.max_pids,
            cpu_limit_percent: wanted.cpu_limit_percent,
            log_rate_limit: wanted.log_rate_limit,
            rejection_count: task.rejections.into(),
            rejection_reason: &task.rejection_reason,
            placement_detail: &task.placement_detail,
        }
    }
}

// === impl TaskCreateRequest ===

impl<'a> From<&'a TaskDefinition> for TaskCreateRequest<'a> {
    fn from(task: &'a TaskDefinition) -> Self {
        Self { result_file: &task.result_file, rest: Definition::from(task) }
    }
}

impl<'a> From<&'a TaskDefinition> for Definition<'a> {
    fn from(task: &'a TaskDefinition) -> Self {
        let main = task.main();
        Self {
            action: &main.action,
            annotation: &task.annotation,
            completion_callback_url: &task.completion_callback_url,
            cpu_weight: main.limits.cpu_weight,
            disk_mb: main.limits.disk_mb.to_wire(),
            domain: task.domain.as_str(),
            log_guid: &task.log.log_guid,
            log_source: &task.log.log_source,
            metrics_guid: &task.log.metrics_guid,
            memory_mb: main.limits.memory_mb.to_wire(),
            task_guid: task.task_guid.as_str(),
            rootfs: &main.rootfs,
            privileged: main.privileged,
            env: &main.env,
            egress_rules: &task.egress_rules,
            placement_tags: &task.placement_tags,
            volume_drivers: &task.volume_drivers,
            placement: &task.placement,
            max_pids: container::pids_of(main),
            cpu_limit_percent: main.limits.cpu_limit_percent.to_wire(),
            log_rate_limit: task.log.bytes_per_s_max,
        }
    }
}

/// Reads the body that creates a task, complaining as the Receptor does.
pub fn parse_create(body: &Value) -> Result<TaskDefinition, Refusal> {
    let fields = Object::root(body)?;
    let mut complaints = Complaints::default();
    let task_guid: Option<TaskGuid> = container::guid(&fields, "task_guid", &mut complaints)?;
    let domain = container::domain(&fields, &mut complaints)?;
    let rootfs = fields.string("rootfs")?;
    if !container::has_scheme(&rootfs) {
        complaints.invalid("rootfs");
    }
    let action = container::required_action(&fields, &mut complaints)?;
    let cpu = container::cpu(&fields, &mut complaints)?;
    let annotation = container::annotation(&fields, &mut complaints)?;
    let egress_rules = egress::decode(&fields, &mut complaints)?;
    let completion_callback_url = callback(&fields, &mut complaints)?;
    let late = container::late(&fields)?;
    let privileged = fields.bool("privileged")?;
    let log = container::log_target(&fields, &mut complaints)?;
    let result_file = fields.string("result_file")?;
    let (placement_tags, volume_drivers) =
        (fields.strings("placement_tags")?, fields.strings("volume_drivers")?);
    let placement = container::placement(&fields, &mut complaints)?;

    let (env, limits) = late.settle(complaints, ErrorName::InvalidTask, cpu)?;
    let main = ContainerSpec {
        name: MAIN.to_owned(),
        rootfs,
        env,
        setup: None,
        action: action.expect("complained otherwise"),
        monitor: None,
        checks: CheckDefinition::default(),
        stop: StopPolicy::default(),
        limits,
        ports: Vec::new(),
        privileged,
        sidecars: Vec::new(),
        mounts: Vec::new(),
    };
    Ok(TaskDefinition {
        task_guid: task_guid.expect("complained otherwise"),
        domain: domain.expect("complained otherwise"),
        containers: vec![main],
        log,
        result_file,
        completion_callback_url,
        annotation,
        placement_tags,
        volume_drivers,
        placement,
        egress_rules,
    })
}

/// Reads a task as the Receptor writes it. It does not tell when the state last changed; the time
/// of creation stands in for that.
pub fn parse_response(body: &Value) -> Result<Task, Refusal> {
    let fields = Object::root(body)?;
    let definition = parse_create(body)?;
    let created_at = Time(fields.integer("created_at")?.unwrap_or_default());
    Ok(Task {
        definition,
        state: state(&fields)?,
        created_at,
        updated_at: created_at,
        rejections: fields.integer("rejection_count")?.unwrap_or_default(),
        rejection_reason: fields.string("rejection_reason")?,
        placement_detail: fields.string("placement_detail")?,
    })
}

fn state(fields: &Object<'_>) -> Result<TaskState, Refusal> {
    let outcome = TaskOutcome {
        failed: fields.bool("failed")?,
        failure_reason: fields.string("failure_reason")?,
        result: fields.string("result")?,
    };
    let odd = |what: String| Refusal::new(ErrorName::InvalidResponse, what);
    Ok(match fields.string("state")?.as_str() {
        "PENDING" => TaskState::Pending,
        "RUNNING" => {
            let cell = CellId::new(fields.string("cell_id")?);
            TaskState::Running { cell_id: cell.map_err(|e| odd(format!("cell_id {e}")))? }
        }
        "COMPLETED" => TaskState::Completed(outcome),
        "RESOLVING" => TaskState::Resolving(outcome),
        other => return Err(odd(format!("unknown task state '{other}'"))),
    })
}

/// An absolute URL that can be told over HTTP, or nothing.
fn callback(fields: &Object<'_>, complaints: &mut Complaints) -> Result<String, Refusal> {
    let url = fields.string("completion_callback_url")?;
    let is_http = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    if !url.is_empty() && !reqwest::Url::parse(&url).as_ref().is_ok_and(is_http) {
        complaints.invalid("completion_callback_url");
    }
    Ok(url)
}
