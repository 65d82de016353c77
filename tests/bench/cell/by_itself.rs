//! A cell by itself in a process of its own, with many instances: what that process takes. Its
//! brain is played by one that agrees to everything, so that nothing else is in the figure.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use lattice_api::brain::bodies::desired_lrp::parse_create;
use lattice_api::brain::{Bbs, BrainError, CellView, EventStream, InstanceProgress};
use lattice_api::cell::{LrpWork, Rep as _, Work};
use lattice_cell::images::{ImageStore, ImagesConfig};
use lattice_cell::network::routed::{NetworkConfig, RoutedNetwork};
use lattice_cell::rootfs_files::ConfinedFiles;
use lattice_cell::runtime::oci::{Engine, OciConfig, OciRuntime};
use lattice_cell::{Config, Seams};
use lattice_daemon::bus::InProcessBus;
use lattice_daemon::clock::SystemClock;
use lattice_daemon::log_ingress::LogIngress;
use lattice_daemon::tasks::Tasks;
use lattice_model::actual_lrp::{Evacuee, InstanceEnd};
use lattice_model::task::TaskOutcome;
use lattice_model::{
    CellId, CellPresence, Envelope, InstanceGuid, InstanceKey, LrpKey, NetInfo, Resources, TaskGuid,
};
use lattice_tests::registry::Registry;
use serde_json::json;

use super::figure;
use crate::machine::memory_mb;

/// The first argument of the process that is a cell; a directory, a count and an image follow.
pub(crate) const ARGUMENT: &str = "--cell";

const REGISTRY_PORT: u16 = 5000;
/// Namespaces that are made in advance, as the platform does.
const SPARES: usize = 8;
/// How long the cell rests before it is looked at: what only starting took is given back meanwhile.
const REST: Duration = Duration::from_secs(20);
/// What is said when all instances run.
const READY: &str = "ready";

/// Agrees to everything, and remembers what runs.
#[derive(Default)]
struct Yes {
    running: Mutex<BTreeSet<u32>>,
}

/// Takes no logs.
struct Nobody;

/// What the process takes for so many instances of the image in `layout`.
pub(super) fn run(layout: &Path, count: usize) {
    let registry = Registry::open(REGISTRY_PORT);
    let image = format!("{}/tiny:latest", registry.host());
    lattice_tests::image::copy(layout, &image, None);
    let dir = tempfile::tempdir().unwrap();
    eprintln!("{count} instances of a cell by itself");
    let mut cell = start(dir.path(), count, &image);
    let mut said = String::new();
    BufReader::new(cell.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), READY, "the cell has ended");
    std::thread::sleep(REST);
    let pid = i32::try_from(cell.id()).unwrap();
    let case = format!("{count}-of-a-cell-by-itself");
    for (key, metric) in
        [("Private_", "private_memory"), ("Private_Dirty", "of_that_not_its_program's_file")]
    {
        figure(&case, metric, "MB").print(&[memory_mb(pid, key)]);
    }
    drop(cell.stdin.take());
    assert!(cell.wait().unwrap().success());
}

fn start(dir: &Path, count: usize, image: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(ARGUMENT).arg(dir).args([&count.to_string(), image]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// The process that is a cell. It ends when its standard input does.
pub(crate) fn child(dir: &str, count: &str, image: &str) -> ExitCode {
    lattice_daemon::install_crypto();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    tokio.unwrap().block_on(serve(Path::new(dir), count.parse().unwrap(), image));
    ExitCode::SUCCESS
}

#[allow(clippy::print_stdout, reason = "its parent waits for it")]
async fn serve(dir: &Path, count: usize, image: &str) {
    let tasks = Tasks::default();
    let brain = Arc::new(Yes::default());
    let runtime = OciRuntime::new(OciConfig { data_dir: dir.into(), engine: Engine::Embedded });
    let network = NetworkConfig { own_users: true, ..NetworkConfig::new(dir) };
    let gateway = network.gateway();
    let network = Arc::new(RoutedNetwork::start(network).await.unwrap());
    tasks.spawn("spares", network.keep_spares(SPARES, tasks.shutdown().clone()));
    let id = CellId::new("cell-by-itself").unwrap();
    let mut config = Config::new(id, dir.into(), gateway.into());
    config.capacity =
        Some(Resources { memory_mb: u64::MAX, disk_mb: u64::MAX, containers: count as u64 });
    let seams = Seams {
        bbs: Arc::clone(&brain) as Arc<dyn Bbs>,
        bus: Arc::new(InProcessBus::default()),
        logs: Arc::new(Nobody),
        clock: Arc::new(SystemClock),
        runtime: Arc::new(runtime.unwrap()),
        images: Arc::new(ImageStore::open(ImagesConfig::new(dir, Vec::new())).unwrap()),
        network,
        files: Arc::new(ConfinedFiles),
    };
    let cell = lattice_cell::start(config, seams, &tasks).await.unwrap();
    assert_eq!(cell.perform(work(count, image)).await.unwrap(), []);
    while brain.running.lock().unwrap().len() < count {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{READY}");
    let until_told = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(until_told).await.unwrap().unwrap();
    // It takes its time, and says when that is over.
    while !cell.stop_all(Duration::ZERO).await {}
}

fn work(count: usize, image: &str) -> Work {
    let (registry, repository) = image.split_once('/').unwrap();
    let (repository, tag) = repository.split_once(':').unwrap();
    let lrp = parse_create(&json!({
        "process_guid": "tiny", "domain": "bench", "instances": count, "memory_mb": 64,
        "rootfs": format!("docker://{registry}/{repository}#{tag}"), "ports": [8080],
        "action": {"run": {
            "path": "/bin/busybox", "args": ["httpd", "-f", "-p", "8080"], "user": "root",
        }},
        "monitor": {"run": {"path": "/bin/busybox", "args": ["true"], "user": "root"}},
    }));
    let lrp = Arc::new(lrp.unwrap());
    let instance = |index| LrpWork {
        key: LrpKey { process_guid: lrp.process_guid.clone(), index, domain: lrp.domain.clone() },
        instance_guid: InstanceGuid::new(format!("tiny-{index}")).unwrap(),
        lrp: Arc::clone(&lrp),
        credentials: Vec::new(),
    };
    Work { lrps: (0..u32::try_from(count).unwrap()).map(instance).collect(), tasks: Vec::new() }
}

#[async_trait]
impl Bbs for Yes {
    async fn heartbeat(&self, _: CellPresence) -> Result<(), BrainError> {
        Ok(())
    }

    async fn depart(&self, _: &CellId) -> Result<(), BrainError> {
        Ok(())
    }

    async fn claim_lrp(&self, _: &LrpKey, _: &InstanceKey) -> Result<(), BrainError> {
        Ok(())
    }

    async fn start_lrp(&self, key: &LrpKey, _: &InstanceKey, _: NetInfo) -> Result<(), BrainError> {
        self.running.lock().unwrap().insert(key.index);
        Ok(())
    }

    async fn crash_lrp(
        &self,
        key: &LrpKey,
        _: &InstanceKey,
        end: InstanceEnd,
    ) -> Result<(), BrainError> {
        panic!("instance {} ended: {}", key.index, end.reason)
    }

    async fn remove_instance(&self, _: &LrpKey, _: &InstanceKey) -> Result<(), BrainError> {
        Ok(())
    }

    async fn evacuate_lrp(
        &self,
        _: &LrpKey,
        _: &InstanceKey,
        _: Evacuee,
    ) -> Result<bool, BrainError> {
        Ok(false)
    }

    async fn start_task(&self, _: &TaskGuid, _: &CellId) -> Result<bool, BrainError> {
        Ok(false)
    }

    async fn complete_task(
        &self,
        _: &TaskGuid,
        _: &CellId,
        _: TaskOutcome,
    ) -> Result<(), BrainError> {
        Ok(())
    }

    async fn reject_task(&self, _: &TaskGuid, _: &CellId, _: String) -> Result<(), BrainError> {
        Ok(())
    }

    async fn report_progress(&self, _: &LrpKey, _: InstanceProgress) {}

    async fn view(&self, _: &CellId) -> Result<CellView, BrainError> {
        Ok(CellView::default())
    }

    async fn subscribe(&self, _: &CellId) -> Result<EventStream, BrainError> {
        Ok(stream::pending().boxed())
    }
}

impl LogIngress for Nobody {
    fn emit(&self, _: Envelope) -> bool {
        true
    }
}
