//! Cells are drained under load: the real brain, two real cells and the real router in one process,
//! where a container is a server of this process that ends as hard as a program that is told to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lattice_api::brain::Receptor as _;
use lattice_api::brain::bodies::desired_lrp::parse_create;
use lattice_api::brain::moves::DrainRequest;
use lattice_api::cell::{Rep, RepConnector};
use lattice_brain::Handle as Brain;
use lattice_cell::Seams;
use lattice_cell::images::fake::FakeImages;
use lattice_cell::network::fake::FakeNetwork;
use lattice_cell::network::{Attachment, Network, NetworkError, Traffic};
use lattice_cell::rootfs_files::ConfinedFiles;
use lattice_cell::runtime::fake::{FakeRuntime, Script};
use lattice_cell::runtime::{
    ContainerBlueprint, ContainerId, ExitStatus, Process, ProcessControl, ProcessSpec, Runtime,
    RuntimeError, Signal, Usage,
};
use lattice_daemon::bus::{Bus, InProcessBus};
use lattice_daemon::clock::{Clock, SystemClock};
use lattice_daemon::log_ingress::{self, LogIngress};
use lattice_daemon::tasks::Tasks;
use lattice_model::{CellId, CellPresence, Domain, EgressRule, Resources};
use lattice_router::{Listener, Side};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::*;

const CELLS: [&str; 2] = ["cell-a", "cell-b"];
const PROGRAM: &str = "/serve";
const PORT: u16 = 8080;
const INSTANCES: usize = 4;

/// Containers of one cell; what runs in them serves at its container's address.
struct Servers {
    runtime: FakeRuntime,
    network: FakeNetwork,
    addresses: Mutex<BTreeMap<ContainerId, IpAddr>>,
    running: Mutex<BTreeMap<ContainerId, CancellationToken>>,
}

/// A server, as a process.
struct Server {
    process: Arc<dyn ProcessControl>,
    life: CancellationToken,
}

impl Servers {
    /// Whoever is told to end does so in the middle of whatever it does.
    fn end(&self, id: &ContainerId) {
        if let Some(life) = self.running.lock().unwrap().remove(id) {
            life.cancel();
        }
    }
}

#[async_trait]
impl Runtime for Servers {
    async fn create(&self, spec: ContainerBlueprint) -> Result<(), RuntimeError> {
        self.runtime.create(spec).await
    }

    async fn adopt(&self, id: &ContainerId, privileged: bool) -> Result<(), RuntimeError> {
        self.runtime.adopt(id, privileged).await
    }

    async fn exec(&self, id: &ContainerId, spec: ProcessSpec) -> Result<Process, RuntimeError> {
        let process = self.runtime.exec(id, spec).await?;
        let address = self.addresses.lock().unwrap()[&id.instance().0];
        let listener = TcpListener::bind((address, PORT)).unwrap();
        let life = CancellationToken::new();
        tokio::spawn(life.clone().run_until_cancelled_owned(serve(listener, life.clone())));
        self.running.lock().unwrap().insert(id.clone(), life.clone());
        let control = Arc::new(Server { process: process.control, life });
        Ok(Process { control, ..process })
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.runtime.pause(id).await
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.runtime.resume(id).await
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError> {
        self.runtime.usage(id).await
    }

    async fn delete(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.end(id);
        self.runtime.delete(id).await
    }

    async fn list(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        self.runtime.list().await
    }
}

#[async_trait]
impl Network for Servers {
    async fn attach(
        &self,
        id: &ContainerId,
        ports: &[u16],
        egress: &[EgressRule],
    ) -> Result<Attachment, NetworkError> {
        let attachment = self.network.attach(id, ports, egress).await?;
        self.addresses.lock().unwrap().insert(id.clone(), attachment.address);
        Ok(attachment)
    }

    async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError> {
        self.network.detach(id).await
    }

    async fn listening(&self, id: &ContainerId) -> Result<Vec<SocketAddr>, NetworkError> {
        self.network.listening(id).await
    }

    async fn traffic(&self, id: &ContainerId) -> Result<Traffic, NetworkError> {
        self.network.traffic(id).await
    }

    async fn list(&self) -> Result<Vec<ContainerId>, NetworkError> {
        Ok(self.addresses.lock().unwrap().keys().cloned().collect())
    }

    fn gateway(&self) -> std::net::Ipv4Addr {
        self.network.gateway()
    }

    async fn remove_all(&self) -> Result<(), NetworkError> {
        self.network.remove_all().await
    }
}

#[async_trait]
impl ProcessControl for Server {
    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        self.life.cancel();
        self.process.signal(signal).await
    }

    async fn wait(&self) -> ExitStatus {
        self.process.wait().await
    }
}

async fn serve(listener: TcpListener, life: CancellationToken) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(life.clone().run_until_cancelled_owned(answer_all(stream)));
    }
}

/// Answers requests until one cannot be read; each takes a moment.
async fn answer_all(stream: tokio::net::TcpStream) -> std::io::Result<()> {
    let mut stream = tokio::io::BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        stream.read_exact(&mut vec![0; length]).await?;
        tokio::time::sleep(Duration::from_millis(2)).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
    }
}

/// The cells of this process.
#[derive(Default)]
struct Reps(Mutex<BTreeMap<CellId, Arc<dyn Rep>>>);

impl RepConnector for Reps {
    fn connect(&self, presence: &CellPresence) -> Option<Arc<dyn Rep>> {
        self.0.lock().unwrap().get(&presence.cell_id).cloned()
    }
}

/// Starts all of it.
async fn platform(dir: &Path, tasks: &Tasks) -> Brain {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bus: Arc<dyn Bus> = Arc::new(InProcessBus::default());
    let (ingress, mut egress) = log_ingress::channel();
    let logs: Arc<dyn LogIngress> = Arc::new(ingress);
    tokio::spawn(async move { while egress.envelopes.recv().await.is_some() {} });
    let mut router = lattice_router::Config::new(DOMAIN);
    let addr = SocketAddr::from(([127, 0, 0, 1], HTTP_PORT));
    router.listeners = vec![Listener { addr, side: Side::Public, is_tls: false }];
    let carriers = || (Arc::clone(&bus), Arc::clone(&logs), Arc::clone(&clock));
    let (to_bus, to_logs, time) = carriers();
    lattice_router::start(router, to_bus, to_logs, time, tasks).await.unwrap();
    let reps = Arc::new(Reps::default());
    let config = lattice_brain::Config::new(dir);
    let connector = Arc::clone(&reps) as Arc<dyn RepConnector>;
    let brain = lattice_brain::start(config, connector, Arc::clone(&clock), tasks).await.unwrap();
    let network = FakeNetwork::new();
    for name in CELLS {
        let runtime = FakeRuntime::new();
        runtime.script(PROGRAM, Script::runs());
        let (addresses, running) = (Mutex::default(), Mutex::default());
        let servers = Arc::new(Servers { runtime, network: network.clone(), addresses, running });
        let (bus, logs, clock) = carriers();
        let seams = Seams {
            bbs: Arc::new(brain.clone()),
            bus,
            logs,
            clock,
            runtime: Arc::clone(&servers) as _,
            images: Arc::new(FakeImages::new()),
            network: servers,
            files: Arc::new(ConfinedFiles),
        };
        let id = CellId::new(name).unwrap();
        let address = IpAddr::from([127, 0, 0, 1]);
        let mut config = lattice_cell::Config::new(id.clone(), dir.join(name), address);
        config.capacity = Some(Resources { memory_mb: 1_000, disk_mb: 1_000, containers: 100 });
        // What it checks is a container of its own, and there are none here.
        config.self_check.first_after = Duration::from_secs(86_400);
        let cell = lattice_cell::start(config, seams, tasks).await.unwrap();
        reps.0.lock().unwrap().insert(id, Arc::new(cell));
    }
    // Whatever is wanted before goes to those that are there.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while brain.cells().await.unwrap().len() < CELLS.len() {
        assert!(tokio::time::Instant::now() < deadline, "a cell has not reported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    brain
}

/// Waits until so many instances run on the cell, and no other is there or under way.
async fn until_on(brain: &Brain, cell: &str, count: usize) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let all = brain.actual_lrps(None).await.unwrap();
        let is_there = |lrp: &&lattice_model::ActualLrp| {
            lrp.net().is_some() && lrp.instance().is_some_and(|i| i.cell_id.as_str() == cell)
        };
        let there = all.iter().filter(is_there).count();
        if there == count && all.len() == INSTANCES {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{count} on {cell}: {all:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn drain(brain: &Brain, cell: &str) {
    let cell = CellId::new(cell).unwrap();
    let how = DrainRequest { max_in_flight: 2, dry_run: false };
    brain.drain_cell(&cell, how).await.unwrap();
}

#[test]
fn draining_cells_loses_no_request() {
    machine::isolate();
    let dir = tempfile::tempdir().unwrap();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let tasks = Tasks::default();
    let brain = runtime.block_on(async {
        let brain = platform(dir.path(), &tasks).await;
        brain.upsert_domain(Domain::new("story").unwrap(), None).await.unwrap();
        let body = serde_json::json!({
            "process_guid": "web", "domain": "story", "rootfs": "docker:///story/web",
            "instances": INSTANCES, "memory_mb": 10, "disk_mb": 10, "ports": [PORT],
            "action": {"run": {"path": PROGRAM, "user": "root"}},
            "routes": {"cf-router": [{"hostnames": [format!("web.{DOMAIN}")], "port": PORT}]},
        });
        brain.desire_lrp(parse_create(&body).unwrap()).await.unwrap();
        until_on(&brain, CELLS[0], INSTANCES / 2).await;
        brain
    });
    eventually("the app is reached", PATIENCE, || {
        let mut stream = TcpStream::connect(("127.0.0.1", HTTP_PORT)).unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: web.{DOMAIN}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let head = answer(&mut BufReader::new(stream)).unwrap();
        expect(head.starts_with("http/1.1 200"), head)
    });
    let load = &Load::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|nth| scope.spawn(move || load.run(nth))).collect();
        let ends = Ends(load);
        load.goes_on(200);
        for (from, to) in [(CELLS[0], CELLS[1]), (CELLS[1], CELLS[0])] {
            runtime.block_on(async {
                drain(&brain, from).await;
                until_on(&brain, to, INSTANCES).await;
                brain.undrain_cell(&CellId::new(from).unwrap()).await.unwrap();
            });
            load.goes_on(500);
        }
        drop(ends);
        for client in clients {
            client.join().expect("every request is answered");
        }
    });
    assert!(load.served.load(Ordering::Relaxed) >= 1200);
    assert!(runtime.block_on(tasks.end(PATIENCE)), "every task ends");
}
