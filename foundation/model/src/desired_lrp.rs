//! What is wanted: a process that should run in a number of instances.

use serde::{Deserialize, Serialize};

use crate::action::{Action, EnvVar};
use crate::checks::CheckDefinition;
use crate::egress::EgressRule;
use crate::id::{AppName, Domain, ProcessGuid};
use crate::placement::Placement;
use crate::pod::{Mount, Sidecar};
use crate::resources::{Limit, Resources};
use crate::route::Routes;

/// The longest annotation, in bytes (Receptor API B.2).
pub const ANNOTATION_BYTES_MAX: usize = 10_240;
/// The most bytes all raw route values may have together: Diego's present bound (section 2.1), which
/// is above the Receptor's of 4,096.
pub const ROUTES_BYTES_MAX: usize = 131_072;
/// The largest CPU weight.
pub const CPU_WEIGHT_MAX: u32 = 100;
/// The largest limit of CPU time, in percent of one core: 1,000 cores.
pub const CPU_LIMIT_PERCENT_MAX: u64 = 100_000;
/// The processes and threads of a container of which nobody says how many it may have.
pub const PIDS_DEFAULT: Limit = Limit::AtMost(1024);
/// The longest time that processes may be given to end, in milliseconds.
pub const STOP_GRACE_MS_MAX: u64 = 600_000;
/// The most instances one LRP may ask for.
pub const INSTANCES_MAX: u32 = 100_000;

/// A long-running process as its owner wants it. Immutable but for `instances`, `routes` and
/// `annotation`; a new revision of an app is a new desired LRP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesiredLrp {
    /// Its name.
    pub process_guid: ProcessGuid,
    /// The app it is a revision of; the process guid's text for an LRP that came without one.
    /// Anti-colocation, logs, metrics and routes are keyed by app.
    pub app: AppName,
    /// The domain it belongs to.
    pub domain: Domain,
    /// How many instances are wanted.
    pub instances: u32,
    /// The containers of each instance, the first being the main one; the Receptor API has one.
    pub containers: Vec<ContainerSpec>,
    /// What happens when an instance ends.
    pub restart_policy: RestartPolicy,
    /// In what order instances move when their cell is being emptied.
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
    /// How long an instance may take to become healthy, in seconds; 0 is for ever.
    pub start_timeout_s: u64,
    /// Routes by router name, opaque but for the kinds [`crate::route`] knows.
    pub routes: Routes,
    /// Where its logs and metrics go.
    pub log: LogTarget,
    /// The owner's own words.
    pub annotation: String,
    /// Cells must carry these tags.
    pub placement_tags: Vec<String>,
    /// Cells must offer these volume drivers.
    pub volume_drivers: Vec<String>,
    /// What else is asked of cells; records from before this have none.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
    /// What an instance may reach, besides what its cell's network policy allows everyone.
    pub egress_rules: Vec<EgressRule>,
    /// Counts the updates.
    pub modification_tag: ModificationTag,
}

/// One container of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique within the instance; the main one is [`crate::pod::MAIN`].
    pub name: String,
    /// The image, as a URL with a scheme (`docker:///repo#tag`).
    pub rootfs: String,
    /// Environment of every process, over the image's.
    pub env: Vec<EnvVar>,
    /// Runs before `action`.
    pub setup: Option<Action>,
    /// The process itself.
    pub action: Action,
    /// Success says the container is healthy; of no account where there are checks for that.
    pub monitor: Option<Action>,
    /// Declarative checks; records from before this have none.
    #[serde(default, skip_serializing_if = "CheckDefinition::is_empty")]
    pub checks: CheckDefinition,
    /// How its processes are asked to end; records from before this say nothing.
    #[serde(default, skip_serializing_if = "StopPolicy::is_default")]
    pub stop: StopPolicy,
    /// Its bounds.
    pub limits: ContainerLimits,
    /// Ports it listens on.
    pub ports: Vec<u16>,
    /// True when it may do what root on the host may.
    pub privileged: bool,
    /// Processes beside its own; records from before this have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sidecars: Vec<Sidecar>,
    /// Volumes it shares with the instance's other containers; records from before this have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
}

/// How a container's processes are asked to end. Ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopPolicy {
    /// What they are sent first; `None` is what the image says, or SIGTERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<StopSignal>,
    /// How long they have until SIGKILL, in milliseconds; `None` is the cell's usual time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// A signal that can ask a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// 1.
    Sighup,
    /// 2.
    Sigint,
    /// 3.
    Sigquit,
    /// 10.
    Sigusr1,
    /// 12.
    Sigusr2,
    /// 15.
    Sigterm,
    /// 28.
    Sigwinch,
}

/// Bounds of one container. By default it is bound in its processes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerLimits {
    /// Memory in MiB.
    pub memory_mb: Limit,
    /// Disk in MiB.
    pub disk_mb: Limit,
    /// Share of CPU, 0 to 100.
    pub cpu_weight: u32,
    /// CPU time in percent of one core, at most [`CPU_LIMIT_PERCENT_MAX`], also where the machine
    /// is idle. Ours.
    #[serde(default, skip_serializing_if = "Limit::is_unlimited")]
    pub cpu_limit_percent: Limit,
    /// Processes and threads; [`PIDS_DEFAULT`] unless somebody says otherwise.
    pub pids: Limit,
}

impl Default for ContainerLimits {
    fn default() -> Self {
        Self {
            memory_mb: Limit::Unlimited,
            disk_mb: Limit::Unlimited,
            cpu_weight: 0,
            cpu_limit_percent: Limit::Unlimited,
            pids: PIDS_DEFAULT,
        }
    }
}

/// What happens when an instance ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Restarted by Diego's crash policy.
    #[default]
    Always,
    /// Restarted when it failed, at most this often; once it ended well it has exited, whether it
    /// has a monitor or not.
    OnFailure {
        /// The most attempts.
        attempts_max: u32,
    },
    /// Left as it ended: exited, whether it has a monitor or not.
    Never,
}

/// In what order instances move when their cell is being emptied (section 2.11).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateStrategy {
    /// As many at once as the mover may have under way.
    #[default]
    Rolling,
    /// One at a time, and only while all others run.
    Recreate,
}

/// Where logs and metrics of an LRP or task go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTarget {
    /// The application id of its log lines; empty means no logs.
    pub log_guid: String,
    /// Source of lines that name no other, e.g. `APP`.
    pub log_source: String,
    /// The application id of its metrics; empty means none.
    pub metrics_guid: String,
    /// Bytes an instance may log a second, besides what the platform allows (section 2.1); 0 is
    /// none at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s_max: Option<u64>,
}

/// Tells versions of a record apart: `epoch` per creation, `index` per update.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModificationTag {
    /// A UUID made with the record.
    pub epoch: String,
    /// 0 at first, +1 for each update.
    pub index: u32,
}

/// The mutable parts; `None` leaves a part as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DesiredLrpUpdate {
    /// How many instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// Replaces all routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Routes>,
    /// Replaces the annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
}

impl DesiredLrp {
    /// The main container.
    pub fn main(&self) -> &ContainerSpec {
        self.containers.first().expect("validation admits no LRP without a container")
    }

    /// What one instance reserves on a cell.
    pub fn resources(&self) -> Resources {
        reserved(&self.containers)
    }
}

impl StopPolicy {
    /// True when it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl StopSignal {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sighup,
        Self::Sigint,
        Self::Sigquit,
        Self::Sigusr1,
        Self::Sigusr2,
        Self::Sigterm,
        Self::Sigwinch,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sighup => "SIGHUP",
            Self::Sigint => "SIGINT",
            Self::Sigquit => "SIGQUIT",
            Self::Sigusr1 => "SIGUSR1",
            Self::Sigusr2 => "SIGUSR2",
            Self::Sigterm => "SIGTERM",
            Self::Sigwinch => "SIGWINCH",
        }
    }

    /// Its number on Linux.
    pub const fn number(self) -> u8 {
        match self {
            Self::Sighup => 1,
            Self::Sigint => 2,
            Self::Sigquit => 3,
            Self::Sigusr1 => 10,
            Self::Sigusr2 => 12,
            Self::Sigterm => 15,
            Self::Sigwinch => 28,
        }
    }

    /// The signal that an image names: `SIGQUIT`, `QUIT` or `3`.
    pub fn named(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        let is_it = |signal: &Self| {
            let name = signal.name();
            text == name || text == name["SIG".len()..] || text == signal.number().to_string()
        };
        Self::ALL.into_iter().find(is_it)
    }
}

impl UpdateStrategy {
    /// True when instances wait for each other.
    pub const fn is_paced(self) -> bool {
        match self {
            Self::Rolling => false,
            Self::Recreate => true,
        }
    }
}

impl ModificationTag {
    /// The tag after one more update.
    pub fn next(&self) -> Self {
        Self { epoch: self.epoch.clone(), index: self.index + 1 }
    }
}

/// What these containers reserve together with their sidecars; one slot for the instance.
pub fn reserved(containers: &[ContainerSpec]) -> Resources {
    let sidecars = containers.iter().flat_map(|container| &container.sidecars);
    let sidecars = sidecars.map(|sidecar| (sidecar.memory_mb, sidecar.disk_mb));
    let own = containers.iter().map(|c| (c.limits.memory_mb, c.limits.disk_mb));
    let none = Resources { memory_mb: 0, disk_mb: 0, containers: 1 };
    own.chain(sidecars).fold(none, |sum, (memory, disk)| {
        let (memory_mb, disk_mb) = (memory.to_wire(), disk.to_wire());
        sum.plus(&Resources { memory_mb, disk_mb, containers: 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_named_as_images_name_them() {
        for (text, signal) in [
            ("SIGTERM", Some(StopSignal::Sigterm)),
            ("term", Some(StopSignal::Sigterm)),
            (" 3 ", Some(StopSignal::Sigquit)),
            ("SIGRTMIN+3", None),
            ("SIGKILL", None),
            ("", None),
        ] {
            assert_eq!(StopSignal::named(text), signal, "{text}");
        }
        for signal in StopSignal::ALL {
            assert_eq!(StopSignal::named(signal.name()), Some(signal));
            assert_eq!(serde_json::to_value(signal).unwrap(), signal.name());
        }
    }
}
