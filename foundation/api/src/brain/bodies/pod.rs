//! What an instance holds besides its main container: sidecars (Diego's, with names of ours),
//! further containers and the volumes that containers share (both ours).

use lattice_model::action::{Action, EnvVar};
use lattice_model::desired_lrp::{ContainerSpec, StopPolicy};
use lattice_model::{CheckDefinition, DesiredLrp, ErrorName, Mount, Refusal, Sidecar, pod};
use serde::{Deserialize as _, Serialize};

use super::desired_lrp::is_zero;
use super::field::Object;
use super::{Complaints, container};

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) sidecars: Vec<Sidecar>,
    pub(super) mounts: Vec<Mount>,
    pub(super) others: Vec<ContainerSpec>,
}

/// A sidecar as it is written.
#[derive(Debug, Serialize)]
pub(super) struct SidecarBody<'a> {
    name: &'a str,
    action: &'a Action,
    disk_mb: u64,
    memory_mb: u64,
}

/// A further container as it is written.
#[derive(Debug, Serialize)]
pub(super) struct ContainerBody<'a> {
    name: &'a str,
    rootfs: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    env: &'a [EnvVar],
    setup: Option<&'a Action>,
    action: &'a Action,
    disk_mb: u64,
    memory_mb: u64,
    cpu_weight: u32,
    privileged: bool,
    ports: &'a [u16],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_pids: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    cpu_limit_percent: u64,
    #[serde(skip_serializing_if = "StopPolicy::is_default")]
    stop: StopPolicy,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sidecars: Vec<SidecarBody<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    mounts: &'a [Mount],
}

/// Reads it from an LRP.
pub(super) fn decode(fields: &Object<'_>, complaints: &mut Complaints) -> Result<Beside, Refusal> {
    Ok(Beside {
        sidecars: each(fields, "sidecars", complaints, sidecar)?,
        mounts: each(fields, "mounts", complaints, mount)?,
        others: each(fields, "containers", complaints, other)?,
    })
}

/// The containers of an instance, when they get on with each other.
pub(super) fn containers(
    main: ContainerSpec,
    others: Vec<ContainerSpec>,
) -> Result<Vec<ContainerSpec>, Refusal> {
    let all: Vec<ContainerSpec> = std::iter::once(main).chain(others).collect();
    let mut complaints = Complaints::default();
    let faults = pod::faults(&all);
    if !faults.is_empty() {
        complaints.invalid("containers");
    }
    faults.iter().for_each(|why| complaints.say(format!("containers: {why}")));
    complaints.settle(ErrorName::InvalidLRP)?;
    Ok(all)
}

/// Sidecars as they are written.
pub(super) fn sidecars(container: &ContainerSpec) -> Vec<SidecarBody<'_>> {
    container.sidecars.iter().map(SidecarBody::from).collect()
}

/// The further containers as they are written.
pub(super) fn others(lrp: &DesiredLrp) -> Vec<ContainerBody<'_>> {
    lrp.containers.iter().skip(1).map(ContainerBody::from).collect()
}

impl<'a> From<&'a Sidecar> for SidecarBody<'a> {
    fn from(sidecar: &'a Sidecar) -> Self {
        Self {
            name: &sidecar.name,
            action: &sidecar.action,
            disk_mb: sidecar.disk_mb.to_wire(),
            memory_mb: sidecar.memory_mb.to_wire(),
        }
    }
}

impl<'a> From<&'a ContainerSpec> for ContainerBody<'a> {
    fn from(spec: &'a ContainerSpec) -> Self {
        Self {
            name: &spec.name,
            rootfs: &spec.rootfs,
            env: &spec.env,
            setup: spec.setup.as_ref(),
            action: &spec.action,
            disk_mb: spec.limits.disk_mb.to_wire(),
            memory_mb: spec.limits.memory_mb.to_wire(),
            cpu_weight: spec.limits.cpu_weight,
            privileged: spec.privileged,
            ports: &spec.ports,
            max_pids: container::pids_of(spec),
            cpu_limit_percent: spec.limits.cpu_limit_percent.to_wire(),
            stop: spec.stop,
            sidecars: sidecars(spec),
            mounts: &spec.mounts,
        }
    }
}

/// Reads a list of objects. A complaint about the list is followed by those about its elements.
fn each<T>(
    fields: &Object<'_>,
    list: &str,
    complaints: &mut Complaints,
    read: impl Fn(usize, &Object<'_>, &mut Complaints) -> Result<Option<T>, Refusal>,
) -> Result<Vec<T>, Refusal> {
    let (mut all, mut wrong) = (Vec::new(), Complaints::default());
    for (index, element) in fields.objects(list)?.iter().enumerate() {
        let mut inner = Complaints::default();
        all.extend(read(index, element, &mut inner)?);
        wrong.append(inner.within(&format!("{list}[{index}]")));
    }
    if !wrong.is_empty() {
        complaints.invalid(list);
        complaints.append(wrong);
    }
    Ok(all)
}

/// One without a name is called by its number, from 1 on.
fn sidecar(
    index: usize,
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<Option<Sidecar>, Refusal> {
    let action = container::required_action(fields, complaints)?;
    let memory_mb = container::amount(fields, "memory_mb", complaints)?;
    let disk_mb = container::amount(fields, "disk_mb", complaints)?;
    let name = Some(fields.string("name")?).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| format!("sidecar-{}", index + 1));
    Ok(action.map(|action| Sidecar { name, action, memory_mb, disk_mb }))
}

fn mount(
    _: usize,
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<Option<Mount>, Refusal> {
    let read = Mount::deserialize(&fields.to_value());
    Ok(read.inspect_err(|why| complaints.say(why.to_string())).ok())
}

fn other(
    _: usize,
    fields: &Object<'_>,
    complaints: &mut Complaints,
) -> Result<Option<ContainerSpec>, Refusal> {
    let rootfs = container::rootfs(fields, complaints)?;
    let setup = container::optional_action(fields, "setup", complaints)?;
    let action = container::required_action(fields, complaints)?;
    let cpu = container::cpu(fields, complaints)?;
    let (env, limits) = container::late(fields)?.take(complaints, cpu);
    let stop = container::stop_policy(fields, complaints)?;
    let sidecars = each(fields, "sidecars", complaints, sidecar)?;
    let mounts = each(fields, "mounts", complaints, mount)?;
    let (name, ports) = (fields.string("name")?, fields.integers("ports")?);
    let privileged = fields.bool("privileged")?;
    // What checks an instance is said of the main container: they share an address.
    for unwanted in ["monitor", "check_definition", "containers"] {
        if fields.get(unwanted).is_some() {
            complaints.say(format!("{unwanted} is the main container's"));
        }
    }
    Ok(action.map(|action| ContainerSpec {
        name,
        rootfs,
        env,
        setup,
        action,
        monitor: None,
        checks: CheckDefinition::default(),
        stop,
        limits,
        ports,
        privileged,
        sidecars,
        mounts,
    }))
}

#[cfg(test)]
mod tests {
    use lattice_model::resources::Limit;
    use serde_json::{Value, json};

    use super::super::{DesiredLrpResponse, desired_lrp};
    use super::*;

    fn body(changes: Value) -> Value {
        let run = json!({"run": {"path": "/app", "user": "vcap"}});
        let mut body = json!({"process_guid": "web", "domain": "d", "rootfs": "docker:///repo",
            "action": run, "ports": [8080]});
        let changes = changes.to_string().replace("\"RUN\"", &run.to_string());
        let changes: Value = serde_json::from_str(&changes).unwrap();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    #[test]
    fn sidecars_and_containers_are_read_and_written() {
        let body = body(json!({
            "sidecars": [{"action": "RUN"},
                {"name": "proxy", "action": "RUN", "memory_mb": 32, "disk_mb": 8}],
            "mounts": [{"volume": "data", "path": "/data"}],
            "containers": [{"name": "db", "rootfs": "docker:///db#1", "action": "RUN",
                "setup": "RUN", "memory_mb": 64, "disk_mb": 16, "cpu_weight": 5, "ports": [5432],
                "env": [{"name": "A", "value": "b"}], "max_pids": 9, "stop": {"grace_ms": 1},
                "sidecars": [{"name": "backup", "action": "RUN"}],
                "mounts": [{"volume": "data", "path": "/var/db", "read_only": true}]}],
        }));
        let lrp = desired_lrp::parse_create(&body).unwrap();
        let [main, db] = &lrp.containers[..] else { panic!("{lrp:?}") };
        assert_eq!(main.sidecars[0].name, "sidecar-1");
        assert_eq!(main.sidecars[0].memory_mb, Limit::Unlimited);
        assert_eq!(main.sidecars[1].memory_mb, Limit::AtMost(32));
        assert_eq!((db.name.as_str(), &db.ports[..]), ("db", &[5432][..]));
        assert!(db.mounts[0].read_only && !main.mounts[0].read_only);
        let reserved = lrp.resources();
        assert_eq!((reserved.memory_mb, reserved.disk_mb, reserved.containers), (96, 24, 1));
        let written = serde_json::to_value(DesiredLrpResponse::from(&lrp)).unwrap();
        assert_eq!(written["containers"][0]["sidecars"][0]["name"], "backup");
        assert_eq!(desired_lrp::parse_response(&written).unwrap(), lrp);
    }

    #[test]
    fn what_is_wrong_with_them_is_told_with_its_place() {
        for (changes, expected) in [
            (
                json!({"sidecars": [{"action": "RUN"}, {"name": "x", "memory_mb": -1}]}),
                "Invalid field: sidecars, sidecars[1]: invalid action type, sidecars[1]: Invalid \
                 field: memory_mb",
            ),
            (
                json!({"sidecars": [{"action": {"run": {"path": "/x"}}}]}),
                "Invalid field: sidecars, sidecars[0]: Invalid field: action, sidecars[0]: Invalid \
                 field: user",
            ),
            (
                json!({"sidecars": [{"name": "main", "action": "RUN"}]}),
                "Invalid field: containers, containers: name 'main' is there twice",
            ),
            (
                json!({"mounts": [{"volume": "a"}]}),
                "Invalid field: mounts, mounts[0]: missing field `path`",
            ),
            (
                json!({"mounts": [{"volume": "a", "path": "/x/../y"}]}),
                "Invalid field: containers, containers: '/x/../y' is not an absolute path without \
                 . and ..",
            ),
            (
                json!({"containers": [{"name": "b", "rootfs": "x", "cpu_weight": 101,
                    "monitor": "RUN"}]}),
                "Invalid field: containers, containers[0]: Invalid field: rootfs, containers[0]: \
                 invalid action type, containers[0]: Invalid field: cpu_weight, containers[0]: \
                 monitor is the main container's",
            ),
            (
                json!({"containers": [{"name": "b", "rootfs": "docker:///x", "action": "RUN",
                    "ports": [8081]}, {"name": "b", "rootfs": "docker:///x", "action": "RUN",
                    "ports": [8081]}]}),
                "Invalid field: containers, containers: name 'b' is there twice, containers: port \
                 8081 is there twice",
            ),
        ] {
            let refusal = desired_lrp::parse_create(&body(changes)).unwrap_err();
            assert_eq!(refusal, Refusal::new(ErrorName::InvalidLRP, expected));
        }
        let typed = desired_lrp::parse_create(&body(json!({"sidecars": [{"action": 5}]})));
        let message =
            "json: cannot unmarshal number 5 into field sidecars[0].action of type object";
        assert_eq!(typed.unwrap_err(), Refusal::new(ErrorName::InvalidJSON, message));
    }
}
