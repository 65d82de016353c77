//! From an order to a container: image, root filesystem, network, files, container.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::ProgressStep;
use lattice_model::desired_lrp::{ContainerSpec, StopSignal};
use lattice_model::{ImageRef, Limit};
use tokio::sync::watch;

use super::adoption::Record;
use super::{Lifecycle, Made, Reports};
use crate::actions::Place;
use crate::environment;
use crate::hosts_files::{self, Names};
use crate::images::{DiskQuota, Image};
use crate::journal::Journal;
use crate::logs::{LogWriter, SOURCE_CELL};
use crate::network::Attachment;
use crate::runtime::{ContainerBlueprint, ContainerId};
use crate::tools::Tools;
use crate::userns::UserNamespace;

/// Why something has no container that was stopped early.
const STOPPED: &str = "stopped-before-running";
/// How often the brain is told of a download's progress, at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// The kernel's least.
const CPU_SHARES_MIN: u64 = 2;
/// What a weight of 100 has, and what has no weight.
const CPU_SHARES_FULL: u64 = 1024;

impl<R: Reports> Lifecycle<R> {
    /// Makes the container; an error is the reason, which the app's log has been told. Only
    /// waiting and pulling can be broken off; the other steps are short, and are finished.
    pub(super) async fn prepare(&self, log: &LogWriter) -> Result<Made, String> {
        let cell_log = log.as_source(SOURCE_CELL);
        self.make(&cell_log).await.map_err(|why| {
            if self.cancel.is_cancelled() {
                return STOPPED.to_owned();
            }
            cell_log.err(&format!("Failed to create container: {why}"));
            format!("failed to create container: {why}")
        })
    }

    async fn make(&self, cell_log: &LogWriter) -> Result<Made, String> {
        let spec = self.only_container()?;
        let _slot = tokio::select! {
            slot = self.tools.starts.acquire() => slot.expect("never closed"),
            () = self.cancel.cancelled() => return Err(STOPPED.to_owned()),
        };
        cell_log.out("Creating container");
        let image = tokio::select! {
            image = self.pull(spec) => image?,
            () = self.cancel.cancelled() => return Err(STOPPED.to_owned()),
        };
        self.progress(ProgressStep::Creating).await;
        let (tools, id) = (&self.tools, self.container_id());
        let attach = tools.seams.network.attach(&id, &spec.ports, self.work().egress_rules());
        let attachment = tools.step("connect the container", attach).await?;
        let users = users(spec, &attachment);
        let quota = DiskQuota::of_mb(spec.limits.disk_mb);
        let mount = tools.seams.images.mount(&image, &id, users, quota);
        let rootfs = tools.step("mount the image", mount).await?;
        let files = self.write_files(&id, &attachment)?;
        let blueprint = blueprint(spec, &id, (&rootfs, &attachment), files);
        tools.step("create the container", tools.seams.runtime.create(blueprint)).await?;
        cell_log.out("Successfully created container");
        let dir = tools.config.instances_dir().join(id.as_str());
        let record = Record::new(self.work(), &image, rootfs, &attachment);
        let written = Journal::open(&dir).and_then(|journal| record.write(&dir).map(|()| journal));
        let journal = written.map_err(|e| format!("cannot write the instance's record: {e}"))?;
        let net = tools.net_info(&attachment);
        Ok(Made { place: Arc::new(place(tools, &record, journal)), net })
    }

    fn only_container(&self) -> Result<&ContainerSpec, String> {
        match self.work().containers() {
            [only] => Ok(only),
            several => Err(format!(
                "this cell runs one container per instance, and {} are asked for; desire them as \
                 apps of their own",
                several.len()
            )),
        }
    }

    async fn pull(&self, spec: &ContainerSpec) -> Result<Arc<Image>, String> {
        let image = ImageRef::from_rootfs(&spec.rootfs).map_err(|error| error.to_string())?;
        let credentials = self.order.credentials.iter().find(|c| c.registry == image.registry);
        let (sender, mut receiver) = watch::channel((0, 0));
        let told = Arc::new(move |done, total| {
            sender.send_replace((done, total));
        });
        let pull = self.tools.seams.images.pull(&image, credentials, told);
        let tell = async {
            loop {
                let (bytes_done, bytes_total) = *receiver.borrow_and_update();
                self.progress(ProgressStep::Pulling { bytes_done, bytes_total }).await;
                tokio::time::sleep(PROGRESS_INTERVAL).await;
                if receiver.changed().await.is_err() {
                    return;
                }
            }
        };
        // The telling may end before the pull, not the other way round.
        let pull = async { pull.await.map_err(|error| error.to_string()) };
        tokio::pin!(pull);
        tokio::select! {
            outcome = &mut pull => outcome,
            () = tell => pull.await,
        }
    }

    fn write_files(
        &self,
        id: &ContainerId,
        attachment: &Attachment,
    ) -> Result<Vec<(PathBuf, String)>, String> {
        let config = &self.tools.config;
        let names = Names {
            hostname: id.as_str(),
            address: attachment.address,
            gateway: self.tools.seams.network.gateway().into(),
            hosts: &config.hosts,
            dns_servers: &self.tools.dns_servers,
        };
        let dir = config.instances_dir().join(id.as_str());
        hosts_files::write(&dir, &names)
            .map_err(|error| format!("cannot write the container's files: {error}"))
    }
}

/// Where the steps of a container run that was made like this.
pub(super) fn place(tools: &Tools, record: &Record, journal: Journal) -> Place {
    let Record { work, image, rootfs, attachment, .. } = record;
    let spec = work.containers().first();
    let mut env = work.identity();
    env.extend(spec.iter().flat_map(|spec| spec.env.iter().cloned()));
    Place {
        id: work.container_id(),
        rootfs: rootfs.clone(),
        users: spec.and_then(|spec| users(spec, attachment)).cloned(),
        address: attachment.address,
        image: image.config.clone(),
        env,
        network_env: environment::network(tools.config.external_address, &attachment.ports),
        limits: spec.map(|spec| spec.limits).unwrap_or_default(),
        stop_signal: stop_signal(spec, image),
        runtime: Arc::clone(&tools.seams.runtime),
        files: Arc::clone(&tools.seams.files),
        transfers: Arc::clone(&tools.transfers),
        journal,
    }
}

/// What the app says, else the image, else SIGTERM.
fn stop_signal(spec: Option<&ContainerSpec>, image: &Image) -> StopSignal {
    let of_app = spec.and_then(|spec| spec.stop.signal);
    of_app.or_else(|| StopSignal::named(&image.config.stop_signal)).unwrap_or(StopSignal::Sigterm)
}

fn blueprint(
    spec: &ContainerSpec,
    id: &ContainerId,
    (rootfs, attachment): (&PathBuf, &Attachment),
    files: Vec<(PathBuf, String)>,
) -> ContainerBlueprint {
    let cpu_shares = match u64::from(spec.limits.cpu_weight) {
        0 => CPU_SHARES_FULL,
        weight => (CPU_SHARES_FULL * weight / 100).max(CPU_SHARES_MIN),
    };
    let memory_bytes = match spec.limits.memory_mb {
        Limit::Unlimited => Limit::Unlimited,
        Limit::AtMost(mb) => Limit::AtMost(mb.saturating_mul(1 << 20)),
    };
    ContainerBlueprint {
        id: id.clone(),
        hostname: id.as_str().to_owned(),
        rootfs: rootfs.clone(),
        netns: attachment.netns.clone(),
        files,
        memory_bytes,
        cpu_shares,
        pids: spec.limits.pids,
        privileged: spec.privileged,
        users: users(spec, attachment).cloned(),
    }
}

/// The users that a container has: those of its namespaces, unless it is to be the host's root.
fn users<'a>(spec: &ContainerSpec, attachment: &'a Attachment) -> Option<&'a UserNamespace> {
    attachment.users.as_ref().filter(|_| !spec.privileged)
}
