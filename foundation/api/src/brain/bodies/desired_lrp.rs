//! Desired LRPs (B.2).

use lattice_model::EgressRule;
use lattice_model::action::{Action, EnvVar};
use lattice_model::desired_lrp::{
    ContainerSpec, INSTANCES_MAX, ModificationTag, ROUTES_BYTES_MAX, RestartPolicy, StopPolicy,
    UpdateStrategy,
};
use lattice_model::id::check_guid;
use lattice_model::pod::MAIN;
use lattice_model::{
    AppName, CheckDefinition, DesiredLrp, DesiredLrpUpdate, ErrorName, Mount, Placement, Refusal,
    Routes,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::field::Object;
use super::pod::{self, Beside, ContainerBody, SidecarBody};
use super::{Complaints, container, egress};

/// A desired LRP as the Receptor writes it, in its order; also the body that creates one, where
/// the modification tag is ignored. Fields after `egress_rules` are ours and left out at their
/// defaults.
#[derive(Debug, Serialize)]
pub struct DesiredLrpResponse<'a> {
    process_guid: &'a str,
    domain: &'a str,
    rootfs: &'a str,
    instances: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    env: &'a [EnvVar],
    setup: Option<&'a Action>,
    action: &'a Action,
    monitor: Option<&'a Action>,
    start_timeout: u64,
    disk_mb: u64,
    memory_mb: u64,
    cpu_weight: u32,
    privileged: bool,
    ports: &'a [u16],
    #[serde(skip_serializing_if = "Routes::is_empty")]
    routes: &'a Routes,
    log_guid: &'a str,
    log_source: &'a str,
    metrics_guid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    annotation: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    egress_rules: &'a [EgressRule],
    modification_tag: &'a ModificationTag,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_policy: Option<RestartPolicy>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    update_strategy: Option<UpdateStrategy>,
    #[serde(skip_serializing_if = "CheckDefinition::is_empty")]
    check_definition: &'a CheckDefinition,
    #[serde(skip_serializing_if = "StopPolicy::is_default")]
    stop: StopPolicy,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sidecars: Vec<SidecarBody<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mounts: &'a [Mount],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<ContainerBody<'a>>,
}

// === impl DesiredLrpResponse ===

impl<'a> From<&'a DesiredLrp> for DesiredLrpResponse<'a> {
    fn from(lrp: &'a DesiredLrp) -> Self {
        let main = lrp.main();
        let guid = lrp.process_guid.as_str();
        Self {
            process_guid: guid,
            domain: lrp.domain.as_str(),
            rootfs: &main.rootfs,
            instances: lrp.instances,
            env: &main.env,
            setup: main.setup.as_ref(),
            action: &main.action,
            monitor: main.monitor.as_ref(),
            start_timeout: lrp.start_timeout_s,
            disk_mb: main.limits.disk_mb.to_wire(),
            memory_mb: main.limits.memory_mb.to_wire(),
            cpu_weight: main.limits.cpu_weight,
            privileged: main.privileged,
            ports: &main.ports,
            routes: &lrp.routes,
            log_guid: &lrp.log.log_guid,
            log_source: &lrp.log.log_source,
            metrics_guid: &lrp.log.metrics_guid,
            annotation: &lrp.annotation,
            egress_rules: &lrp.egress_rules,
            modification_tag: &lrp.modification_tag,
            app: (*lrp.app != *guid).then_some(&*lrp.app),
            restart_policy: unless_default(lrp.restart_policy),
            placement_tags: &lrp.placement_tags,
            volume_drivers: &lrp.volume_drivers,
            placement: &lrp.placement,
            max_pids: container::pids_of(main),
            cpu_limit_percent: main.limits.cpu_limit_percent.to_wire(),
            log_rate_limit: lrp.log.bytes_per_s_max,
            update_strategy: unless_default(lrp.update_strategy),
            check_definition: &main.checks,
            stop: main.stop,
            sidecars: pod::sidecars(main),
            mounts: &main.mounts,
            containers: pod::others(lrp),
        }
    }
}

/// Reads the body that creates a desired LRP, complaining as the Receptor does. The modification
/// tag is left empty: it is the brain's to make.
pub fn parse_create(body: &Value) -> Result<DesiredLrp, Refusal> {
    let fields = Object::root(body)?;
    let mut complaints = Complaints::default();
    let domain = container::domain(&fields, &mut complaints)?;
    let process_guid = container::guid(&fields, "process_guid", &mut complaints)?;
    let rootfs = container::rootfs(&fields, &mut complaints)?;
    let setup = container::optional_action(&fields, "setup", &mut complaints)?;
    let action = container::required_action(&fields, &mut complaints)?;
    let monitor = container::optional_action(&fields, "monitor", &mut complaints)?;
    let instances = instances(&fields, &mut complaints)?.unwrap_or_default();
    let cpu = container::cpu(&fields, &mut complaints)?;
    let annotation = container::annotation(&fields, &mut complaints)?;
    let routes = routes(&fields, &mut complaints)?.unwrap_or_default();
    let egress_rules = egress::decode(&fields, &mut complaints)?;
    let app = app(&fields, &mut complaints)?;
    let restart_policy = one_of(&fields, "restart_policy", &mut complaints);
    let update_strategy = one_of(&fields, "update_strategy", &mut complaints);
    let late = container::late(&fields)?;
    let ports = fields.integers("ports")?;
    let privileged = fields.bool("privileged")?;
    let start_timeout_s = fields.integer("start_timeout")?.unwrap_or_default();
    let log = container::log_target(&fields, &mut complaints)?;
    let (placement_tags, volume_drivers) =
        (fields.strings("placement_tags")?, fields.strings("volume_drivers")?);
    let placement = container::placement(&fields, &mut complaints)?;
    let checks = container::checks(&fields, &mut complaints)?;
    let stop = container::stop_policy(&fields, &mut complaints)?;
    let Beside { sidecars, mounts, others } = pod::decode(&fields, &mut complaints)?;

    let (env, limits) = late.settle(complaints, ErrorName::InvalidLRP, cpu)?;
    let process_guid: lattice_model::ProcessGuid = process_guid.expect("complained otherwise");
    let main = ContainerSpec {
        name: MAIN.to_owned(),
        rootfs,
        env,
        setup,
        action: action.expect("complained otherwise"),
        monitor,
        checks,
        stop,
        limits,
        ports,
        privileged,
        sidecars,
        mounts,
    };
    Ok(DesiredLrp {
        app: app.map_or_else(|| process_guid.as_str().into(), AppName::from),
        process_guid,
        domain: domain.expect("complained otherwise"),
        instances,
        containers: pod::containers(main, others)?,
        restart_policy,
        update_strategy,
        start_timeout_s,
        routes,
        log,
        annotation,
        placement_tags,
        volume_drivers,
        placement,
        egress_rules,
        modification_tag: ModificationTag::default(),
    })
}

/// Reads a desired LRP as the Receptor writes it.
pub fn parse_response(body: &Value) -> Result<DesiredLrp, Refusal> {
    let modification_tag = modification_tag(&Object::root(body)?)?;
    Ok(DesiredLrp { modification_tag, ..parse_create(body)? })
}

/// Reads the body that changes a desired LRP; what is wrong with it is an `UnknownError` (B.1).
pub fn parse_update(body: &Value) -> Result<DesiredLrpUpdate, Refusal> {
    let fields = Object::root(body)?;
    let mut complaints = Complaints::default();
    let instances = instances(&fields, &mut complaints)?;
    let annotation = container::annotation(&fields, &mut complaints)?;
    let routes = routes(&fields, &mut complaints)?;
    complaints.settle(ErrorName::UnknownError)?;
    let annotation = fields.get("annotation").map(|_| annotation);
    Ok(DesiredLrpUpdate { instances, routes, annotation })
}

pub(super) fn modification_tag(fields: &Object<'_>) -> Result<ModificationTag, Refusal> {
    let Some(tag) = fields.object("modification_tag")? else {
        return Ok(ModificationTag::default());
    };
    Ok(ModificationTag {
        epoch: tag.string("epoch")?,
        index: tag.integer("index")?.unwrap_or_default(),
    })
}

fn instances(fields: &Object<'_>, complaints: &mut Complaints) -> Result<Option<u32>, Refusal> {
    let Some(asked) = fields.integer::<i64>("instances")? else { return Ok(None) };
    let instances = u32::try_from(asked).ok().filter(|n| *n <= INSTANCES_MAX);
    if instances.is_none() {
        complaints.invalid("instances");
    }
    Ok(instances)
}

fn routes(fields: &Object<'_>, complaints: &mut Complaints) -> Result<Option<Routes>, Refusal> {
    if fields.object("routes")?.is_none() {
        return Ok(None);
    }
    let entries = || fields.get("routes").and_then(Value::as_object).into_iter().flatten();
    let bytes: usize = entries().map(|(_, route)| route.to_string().len()).sum();
    if bytes > ROUTES_BYTES_MAX {
        complaints.invalid("routes");
    }
    Ok(Some(Routes(entries().map(|(name, route)| (name.clone(), route.clone())).collect())))
}

fn app(fields: &Object<'_>, complaints: &mut Complaints) -> Result<Option<String>, Refusal> {
    let app = Some(fields.string("app")?).filter(|app| !app.is_empty());
    if app.as_deref().is_some_and(|app| check_guid(app).is_err()) {
        complaints.invalid("app");
    }
    Ok(app)
}

/// A field that has one of a few forms, and a usual one.
fn one_of<T: DeserializeOwned + Default>(
    fields: &Object<'_>,
    name: &str,
    complaints: &mut Complaints,
) -> T {
    let Some(value) = fields.get(name) else { return T::default() };
    let form = serde_json::from_value(value.clone()).ok();
    if form.is_none() {
        complaints.invalid(name);
    }
    form.unwrap_or_default()
}

fn unless_default<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

pub(super) fn is_zero(n: &u64) -> bool {
    *n == 0
}
