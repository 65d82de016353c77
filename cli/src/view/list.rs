//! `ltc list`: apps and tasks.

use std::collections::BTreeMap;

use lattice_model::{ActualLrp, ActualState, DesiredLrp, Task};
use serde::Serialize;

use super::amount::limit_mb;
use super::palette::Palette;
use super::table::{self, Tone, Toned, plain};
use super::task::{TaskView, tone};
use crate::routes::{self, Shown};
use crate::target::Target;

/// All apps and tasks; the JSON of `ltc list`.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// By name.
    pub apps: Vec<AppRow>,
    /// By guid.
    pub tasks: Vec<TaskView>,
}

/// One app.
#[derive(Debug, Serialize)]
pub struct AppRow {
    /// The app's name.
    pub process_guid: String,
    /// Its domain.
    pub domain: String,
    /// How many are wanted.
    pub instances_desired: u32,
    /// How many run.
    pub instances_running: usize,
    /// In MiB; 0 for no limit.
    pub disk_mb: u64,
    /// In MiB; 0 for no limit.
    pub memory_mb: u64,
    /// How it is reached.
    pub routes: Vec<RouteView>,
}

/// One route.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RouteView {
    /// A hostname.
    Http {
        /// The address to open.
        url: String,
        /// The hostname, perhaps with a path.
        hostname: String,
        /// The container port.
        port: u16,
    },
    /// A port of the router.
    Tcp {
        /// `HOST:PORT` to connect to.
        address: String,
        /// The name that clients must ask for by TLS, if they must.
        #[serde(skip_serializing_if = "Option::is_none")]
        sni: Option<String>,
        /// The container port.
        port: u16,
    },
}

impl Listing {
    /// From what the receptor tells.
    pub fn new<'a>(
        desired: impl IntoIterator<Item = &'a DesiredLrp>,
        actual: &[ActualLrp],
        tasks: &[Task],
        target: &Target,
    ) -> Self {
        let mut running: BTreeMap<&str, usize> = BTreeMap::new();
        for lrp in actual.iter().filter(|a| matches!(a.state, ActualState::Running { .. })) {
            *running.entry(lrp.key.process_guid.as_str()).or_default() += 1;
        }
        let app = |lrp: &DesiredLrp| AppRow {
            process_guid: lrp.process_guid.to_string(),
            domain: lrp.domain.to_string(),
            instances_desired: lrp.instances,
            instances_running: running.get(lrp.process_guid.as_str()).copied().unwrap_or(0),
            disk_mb: lrp.resources().disk_mb,
            memory_mb: lrp.resources().memory_mb,
            routes: route_views(lrp, target),
        };
        let mut apps: Vec<AppRow> = desired.into_iter().map(app).collect();
        apps.sort_by(|a, b| a.process_guid.cmp(&b.process_guid));
        let mut tasks: Vec<TaskView> = tasks.iter().map(TaskView::new).collect();
        tasks.sort_by(|a, b| a.task_guid.cmp(&b.task_guid));
        Self { apps, tasks }
    }
}

/// The routes of an app that lead to its ports.
pub fn route_views(lrp: &DesiredLrp, target: &Target) -> Vec<RouteView> {
    let ports: Vec<u16> = lrp.containers.iter().flat_map(|c| c.ports.clone()).collect();
    let view = |shown: Shown| match shown {
        Shown::Http { hostname, port } => {
            RouteView::Http { url: target.app_url(&hostname), hostname, port }
        }
        Shown::Tcp { external_port, sni, port } => {
            let host = sni.as_deref().unwrap_or_else(|| target.host());
            RouteView::Tcp { address: format!("{host}:{external_port}"), sni, port }
        }
    };
    routes::shown(&lrp.routes, &ports).into_iter().map(view).collect()
}

impl RouteView {
    /// What a person opens or connects to.
    pub fn address(&self) -> &str {
        match self {
            Self::Http { url, .. } => url,
            Self::Tcp { address, .. } => address,
        }
    }

    /// The container port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Http { port, .. } | Self::Tcp { port, .. } => *port,
        }
    }
}

/// For people.
pub fn render(listing: &Listing, palette: Palette) -> String {
    let apps = match listing.apps.as_slice() {
        [] => "no apps\n".to_owned(),
        apps => table::render(
            &["App", "Instances", "Disk", "Memory", "Routes"],
            apps.iter().map(app_cells).collect(),
            palette,
        ),
    };
    let tasks = match listing.tasks.as_slice() {
        [] => "no tasks\n".to_owned(),
        tasks => table::render(
            &["Task", "Cell", "State", "Result", "Failure reason"],
            tasks.iter().map(task_cells).collect(),
            palette,
        ),
    };
    format!("{apps}\n{tasks}")
}

/// How `running` of `desired` is coloured.
pub fn instances_tone(running: usize, desired: u32) -> Tone {
    match running {
        n if n == desired as usize => Tone::Good,
        0 => Tone::Bad,
        _ => Tone::Waiting,
    }
}

fn app_cells(app: &AppRow) -> Vec<Toned> {
    let routes: Vec<String> =
        app.routes.iter().map(|r| format!("{} => {}", r.address(), r.port())).collect();
    vec![
        plain(&app.process_guid),
        (
            format!("{}/{}", app.instances_running, app.instances_desired),
            instances_tone(app.instances_running, app.instances_desired),
        ),
        plain(limit_mb(app.disk_mb)),
        plain(limit_mb(app.memory_mb)),
        plain(routes.join("\n")),
    ]
}

fn task_cells(task: &TaskView) -> Vec<Toned> {
    vec![
        plain(&task.task_guid),
        plain(&task.cell_id),
        (task.state.to_owned(), tone(task)),
        plain(&task.result),
        plain(&task.failure_reason),
    ]
}
