//! From an order to containers: images, root filesystems, network, files, containers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::ProgressStep;
use lattice_model::desired_lrp::{ContainerSpec, StopSignal};
use lattice_model::{ImageRef, Limit, Mount};
use tokio::sync::watch;

use super::adoption::{Content, Record};
use super::{Lifecycle, Made, Reports};
use crate::actions::Place;
use crate::entitlement;
use crate::environment;
use crate::hosts_files::{self, Names};
use crate::images::{DiskQuota, Image};
use crate::journal::Journal;
use crate::logs::{LogWriter, SOURCE_CELL};
use crate::network::Attachment;
use crate::pod::{Part, Pod};
use crate::runtime::{ContainerBlueprint, ContainerId, Volume};
use crate::tools::Tools;
use crate::userns::UserNamespace;

/// Why something has no container that was stopped early.
const STOPPED: &str = "stopped-before-running";
/// How often the brain is told of a download's progress, at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

impl<R: Reports> Lifecycle<R> {
    /// Makes the containers; an error is the reason, which the app's log has been told. Only
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
        let _slot = tokio::select! {
            slot = self.tools.starts.acquire() => slot.expect("never closed"),
            () = self.cancel.cancelled() => return Err(STOPPED.to_owned()),
        };
        let pod = self.work().pod();
        cell_log.out("Creating container");
        let images = tokio::select! {
            images = self.pull_all(&pod) => images?,
            () = self.cancel.cancelled() => return Err(STOPPED.to_owned()),
        };
        self.progress(ProgressStep::Creating).await;
        let (tools, id) = (&self.tools, self.work().container_id());
        let ports = pod.ports();
        let attach = tools.seams.network.attach(&id, &ports, self.work().egress_rules());
        let attachment = tools.step("connect the container", attach).await?;
        let contents = self.mount_all(&pod, &images, &attachment).await?;
        let files = self.write_files(&id, &attachment)?;
        let dir = tools.config.instances_dir().join(id.as_str());
        for (part, content) in pod.containers.iter().zip(&contents) {
            let volumes = self.volumes(&id, &part.spec.mounts).await?;
            let mut blueprint = blueprint(part, &id, (&content.rootfs, &attachment));
            (blueprint.files, blueprint.volumes) = (files.clone(), volumes);
            tools.step("create the container", tools.seams.runtime.create(blueprint)).await?;
        }
        cell_log.out("Successfully created container");
        let record = Record::new(self.work(), contents, &attachment);
        let written = Journal::open(&dir).and_then(|journal| record.write(&dir).map(|()| journal));
        let journal = written.map_err(|e| format!("cannot write the instance's record: {e}"))?;
        Ok(made(tools, &record, journal))
    }

    async fn pull_all(&self, pod: &Pod<'_>) -> Result<Vec<Arc<Image>>, String> {
        let mut images: Vec<Arc<Image>> = Vec::new();
        for part in &pod.containers {
            images.push(match part.shares {
                Some(with) => Arc::clone(&images[with]),
                None => self.pull(part.spec).await?,
            });
        }
        Ok(images)
    }

    async fn mount_all(
        &self,
        pod: &Pod<'_>,
        images: &[Arc<Image>],
        attachment: &Attachment,
    ) -> Result<Vec<Content>, String> {
        let mut contents: Vec<Content> = Vec::new();
        for (part, image) in pod.containers.iter().zip(images) {
            let rootfs = match part.shares {
                Some(with) => contents[with].rootfs.clone(),
                None => {
                    let users = users(part.spec, attachment);
                    let quota = DiskQuota::of_mb(part.limits.disk_mb);
                    let mount = self.tools.seams.images.mount(image, &part.id, users, quota);
                    self.tools.step("mount the image", mount).await?
                }
            };
            contents.push(Content { image: Image::clone(image), rootfs });
        }
        Ok(contents)
    }

    /// The volumes of the instance that a container sees; they are on the main container's disk.
    async fn volumes(&self, id: &ContainerId, mounts: &[Mount]) -> Result<Vec<Volume>, String> {
        let mut volumes = Vec::new();
        for Mount { volume, path, read_only } in mounts {
            let make = self.tools.seams.images.volume(id, volume);
            let source = self.tools.step("make a volume", make).await?;
            volumes.push(Volume { source, path: path.clone(), read_only: *read_only });
        }
        Ok(volumes)
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

/// An instance whose containers were made like this.
pub(super) fn made(tools: &Tools, record: &Record, journal: Journal) -> Made {
    let journal = Arc::new(journal);
    let pod = record.work.pod();
    let parts = pod.containers.iter().zip(record.contents());
    let places = parts.map(|(part, content)| {
        Arc::new(place(tools, part, (content, record), Arc::clone(&journal)))
    });
    Made { places: places.collect(), net: tools.net_info(&record.attachment) }
}

/// Where the steps of one container run.
fn place(
    tools: &Tools,
    part: &Part<'_>,
    (Content { image, rootfs }, record): (&Content, &Record),
    journal: Arc<Journal>,
) -> Place {
    let mut env = record.work.identity();
    env.extend(part.spec.env.iter().cloned());
    let attachment = &record.attachment;
    let (external, address) = (tools.config.external_address, attachment.address);
    Place {
        id: part.id.clone(),
        rootfs: rootfs.clone(),
        users: users(part.spec, attachment).cloned(),
        address,
        image: image.config.clone(),
        env,
        network_env: environment::network(external, address, &attachment.ports),
        limits: part.limits,
        stop_signal: stop_signal(part.spec, image),
        runtime: Arc::clone(&tools.seams.runtime),
        files: Arc::clone(&tools.seams.files),
        transfers: Arc::clone(&tools.transfers),
        journal,
    }
}

/// What the app says, else the image, else SIGTERM.
fn stop_signal(spec: &ContainerSpec, image: &Image) -> StopSignal {
    let of_image = || StopSignal::named(&image.config.stop_signal);
    spec.stop.signal.or_else(of_image).unwrap_or(StopSignal::Sigterm)
}

fn blueprint(
    part: &Part<'_>,
    instance: &ContainerId,
    (rootfs, attachment): (&Path, &Attachment),
) -> ContainerBlueprint {
    let memory_bytes = match part.limits.memory_mb {
        Limit::Unlimited => Limit::Unlimited,
        Limit::AtMost(mb) => Limit::AtMost(mb.saturating_mul(1 << 20)),
    };
    ContainerBlueprint {
        id: part.id.clone(),
        hostname: instance.as_str().to_owned(),
        rootfs: rootfs.to_owned(),
        netns: attachment.netns.clone(),
        files: Vec::new(),
        volumes: Vec::new(),
        memory_bytes,
        cpu_shares: entitlement::shares(part.limits.cpu_weight),
        cpu_limit_percent: part.limits.cpu_limit_percent,
        pids: part.limits.pids,
        privileged: part.spec.privileged,
        users: users(part.spec, attachment).cloned(),
    }
}

/// The users that a container has: those of its namespaces, unless it is to be the host's root.
fn users<'a>(spec: &ContainerSpec, attachment: &'a Attachment) -> Option<&'a UserNamespace> {
    attachment.users.as_ref().filter(|_| !spec.privileged)
}
