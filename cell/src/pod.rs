//! What an instance is made of: its containers, and what runs in each of them; pure.
//!
//! All containers of an instance share its network and its host name. A sidecar with a bound of its
//! own has a container of its own, which shares the root filesystem; one without runs beside its
//! container's own process.

use std::fmt;

use lattice_model::desired_lrp::{ContainerLimits, ContainerSpec};
use lattice_model::{Action, Limit};

use crate::runtime::ContainerId;

/// An instance, taken apart.
#[derive(Debug)]
pub struct Pod<'a> {
    /// The main container first.
    pub containers: Vec<Part<'a>>,
    /// The main program first; setups come in this order.
    pub programs: Vec<Program<'a>>,
}

/// A container to be made.
#[derive(Debug)]
pub struct Part<'a> {
    /// Its name.
    pub id: ContainerId,
    /// What it is made from.
    pub spec: &'a ContainerSpec,
    /// Its bounds.
    pub limits: ContainerLimits,
    /// Whose root filesystem it has; `None` is its own.
    pub shares: Option<usize>,
}

/// Something that runs in one of the containers.
#[derive(Debug)]
pub struct Program<'a> {
    /// What it is.
    pub role: Role<'a>,
    /// Where it runs: which of [`Pod::containers`].
    pub container: usize,
    /// Runs before anything's action.
    pub setup: Option<&'a Action>,
    /// What it does.
    pub action: &'a Action,
}

/// What a program is to its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role<'a> {
    /// What the instance is for.
    Main,
    /// A sidecar of this name.
    Sidecar(&'a str),
    /// A further container's own program.
    Container(&'a str),
}

// === impl Pod ===

impl<'a> Pod<'a> {
    /// The instance of this name, made from these.
    pub fn of(id: &ContainerId, specs: &'a [ContainerSpec]) -> Self {
        let own = specs.iter().enumerate().map(|(index, spec)| Part {
            id: id.member(index),
            spec,
            limits: limits(spec),
            shares: None,
        });
        let mut pod = Self { containers: own.collect(), programs: Vec::new() };
        for (index, spec) in specs.iter().enumerate() {
            let role = if index == 0 { Role::Main } else { Role::Container(&spec.name) };
            let (setup, action) = (spec.setup.as_ref(), &spec.action);
            pod.programs.push(Program { role, container: index, setup, action });
            for sidecar in &spec.sidecars {
                let container = match sidecar.memory_mb {
                    Limit::Unlimited => index,
                    own @ Limit::AtMost(_) => pod.add(id, index, own),
                };
                let role = Role::Sidecar(&sidecar.name);
                let action = &sidecar.action;
                pod.programs.push(Program { role, container, setup: None, action });
            }
        }
        pod
    }

    /// Another container on the root filesystem of the one at `index`.
    fn add(&mut self, id: &ContainerId, index: usize, memory_mb: Limit) -> usize {
        let added = self.containers.len();
        let spec = self.containers[index].spec;
        let limits = ContainerLimits { memory_mb, ..self.containers[index].limits };
        self.containers.push(Part { id: id.member(added), spec, limits, shares: Some(index) });
        added
    }

    /// The ports of all of them, each once.
    pub fn ports(&self) -> Vec<u16> {
        let mut ports = Vec::new();
        for port in self.containers.iter().flat_map(|part| &part.spec.ports) {
            if !ports.contains(port) {
                ports.push(*port);
            }
        }
        ports
    }
}

/// Sidecars add to the disk of the container whose root filesystem they share.
fn limits(spec: &ContainerSpec) -> ContainerLimits {
    let amounts = spec.sidecars.iter().map(|sidecar| sidecar.disk_mb.to_wire());
    let more = amounts.fold(0, u64::saturating_add);
    let disk_mb = match spec.limits.disk_mb {
        Limit::Unlimited => Limit::Unlimited,
        Limit::AtMost(mb) => Limit::AtMost(mb.saturating_add(more)),
    };
    ContainerLimits { disk_mb, ..spec.limits }
}

// === impl Role ===

impl Role<'_> {
    /// The name of one of its steps, in the journal and for its processes.
    pub fn step(self, name: &str) -> String {
        match self {
            Self::Main => name.to_owned(),
            Self::Sidecar(own) => format!("sidecar.{own}.{name}"),
            Self::Container(own) => format!("container.{own}.{name}"),
        }
    }

    /// Where its lines are said to come from, unless its action says otherwise.
    pub fn log_source(self, of_main: &str) -> String {
        match self {
            Self::Main => of_main.to_owned(),
            Self::Sidecar(own) | Self::Container(own) => {
                format!("{of_main}/{}", own.to_uppercase())
            }
        }
    }

    /// Why the instance ended, when it was because of this one.
    pub fn blamed_for(self, why: impl fmt::Display) -> String {
        match self {
            Self::Main => why.to_string(),
            Self::Sidecar(own) => format!("sidecar {own}: {why}"),
            Self::Container(own) => format!("container {own}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use lattice_model::Sidecar;

    use super::*;
    use crate::testing::{container_spec, run};

    fn sidecar(name: &str, memory_mb: u64) -> Sidecar {
        let (memory_mb, disk_mb) = (Limit::from_wire(memory_mb), Limit::AtMost(5));
        Sidecar { name: name.into(), action: run("/side"), memory_mb, disk_mb }
    }

    #[test]
    fn a_container_alone_is_the_instance() {
        let specs = [container_spec(run("/app"))];
        let pod = Pod::of(&ContainerId::new("web-1"), &specs);
        assert_eq!((pod.containers.len(), pod.programs.len()), (1, 1));
        assert_eq!(pod.containers[0].id, ContainerId::new("web-1"));
        assert_eq!(pod.containers[0].limits, specs[0].limits);
        assert_eq!(pod.programs[0].role.step("action"), "action");
        assert_eq!(pod.programs[0].role.log_source("APP"), "APP");
        assert_eq!(pod.programs[0].role.blamed_for("why"), "why");
    }

    #[test]
    fn a_sidecar_has_a_container_of_its_own_where_it_has_a_bound_of_its_own() {
        let mut specs = [container_spec(run("/app")), container_spec(run("/db"))];
        specs[1].name = "db".into();
        specs[1].ports = vec![8080, 5432];
        specs[0].sidecars = vec![sidecar("log", 0), sidecar("proxy", 7)];
        specs[1].sidecars = vec![sidecar("backup", 9)];
        let pod = Pod::of(&ContainerId::new("web-1"), &specs);
        let parts = pod.containers.iter().map(|p| (p.id.as_str(), p.limits.memory_mb, p.shares));
        assert_eq!(
            parts.collect::<Vec<_>>(),
            [
                ("web-1", Limit::AtMost(100), None),
                ("web-1.1", Limit::AtMost(100), None),
                ("web-1.2", Limit::AtMost(7), Some(0)),
                ("web-1.3", Limit::AtMost(9), Some(1)),
            ]
        );
        assert_eq!(pod.containers[0].limits.disk_mb, Limit::AtMost(20), "both sidecars' included");
        let programs = pod.programs.iter().map(|p| (p.role, p.container));
        assert_eq!(
            programs.collect::<Vec<_>>(),
            [
                (Role::Main, 0),
                (Role::Sidecar("log"), 0),
                (Role::Sidecar("proxy"), 2),
                (Role::Container("db"), 1),
                (Role::Sidecar("backup"), 3),
            ]
        );
        assert_eq!(pod.ports(), [8080, 5432]);
        assert_eq!(pod.programs[2].role.step("action"), "sidecar.proxy.action");
        assert_eq!(pod.programs[3].role.log_source("APP"), "APP/DB");
        assert_eq!(pod.programs[3].role.blamed_for("why"), "container db: why");
    }
}
