//! Runtime, images, network, files and logs that are scripted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lattice_daemon::log_ingress::LogIngress;
use lattice_model::envelope::{ContainerMetric, LogStream, Message};
use lattice_model::{EgressRule, Envelope, ImageRef, PortMapping, RegistryCredentials};
use tokio::sync::watch;

use super::Gate;
use crate::images::{DiskQuota, Hold, Image, ImageConfig, ImageError, Images, ProgressFn};
use crate::network::{Attachment, Network, NetworkError, Traffic};
use crate::rootfs_files::{Extraction, FilesError, ResolvedUser, RootfsFiles};
use crate::runtime::{
    ContainerBlueprint, ContainerId, ExitStatus, PlainOutput, Process, ProcessControl, ProcessSpec,
    Runtime, RuntimeError, Signal, Usage, UserIds,
};
use crate::userns::UserNamespace;

/// How a program behaves.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// When it ends by itself; `None` is never.
    pub(crate) ends_after: Option<Duration>,
    pub(crate) code: i32,
    pub(crate) out_of_memory: bool,
    pub(crate) ignores_terminate: bool,
}

impl Script {
    pub(crate) fn exits(code: i32) -> Self {
        Self {
            stdout: String::new(),
            stderr: String::new(),
            ends_after: Some(Duration::ZERO),
            code,
            out_of_memory: false,
            ignores_terminate: false,
        }
    }

    pub(crate) fn forever() -> Self {
        Self { ends_after: None, ..Self::exits(0) }
    }
}

/// Programs by path; one that is unknown is not executable.
#[derive(Default)]
pub(crate) struct FakeRuntime {
    pub(crate) programs: Mutex<BTreeMap<String, Script>>,
    pub(crate) containers: Mutex<BTreeMap<ContainerId, Option<ContainerBlueprint>>>,
    pub(crate) executed: Mutex<Vec<ProcessSpec>>,
    /// Why nothing can be made, while this is set.
    pub(crate) create_error: Mutex<Option<String>>,
    /// How many deletions are still to fail.
    pub(crate) deletions_that_fail: Mutex<u32>,
    /// Every deletion passes it.
    pub(crate) deletions: Gate,
    running: Mutex<Vec<(ContainerId, Arc<FakeProcess>)>>,
}

struct FakeProcess {
    program: String,
    name: Option<String>,
    script: Script,
    signals: Mutex<Vec<Signal>>,
    end: watch::Sender<Option<ExitStatus>>,
}

impl FakeRuntime {
    pub(crate) fn program(&self, path: &str, script: Script) {
        self.programs.lock().unwrap().insert(path.into(), script);
    }

    /// Leaves a container behind, as an earlier process would.
    pub(crate) fn leave(&self, id: &ContainerId) {
        self.containers.lock().unwrap().insert(id.clone(), None);
    }

    pub(crate) fn has(&self, id: &ContainerId) -> bool {
        self.containers.lock().unwrap().contains_key(id)
    }

    pub(crate) fn signals_of(&self, program: &str) -> Vec<Signal> {
        let running = self.running.lock().unwrap();
        let of_program = running.iter().filter(|(_, process)| process.program == program);
        of_program.flat_map(|(_, process)| process.signals.lock().unwrap().clone()).collect()
    }

    /// The programs that run.
    pub(crate) fn running(&self) -> Vec<String> {
        let running = self.running.lock().unwrap();
        let alive = running.iter().filter(|(_, process)| process.end.borrow().is_none());
        alive.map(|(_, process)| process.program.clone()).collect()
    }

    /// Ends a program that runs, whoever watches it or nobody.
    pub(crate) fn end(&self, program: &str, code: i32) {
        let running = self.running.lock().unwrap();
        running.iter().filter(|(_, p)| p.program == program).for_each(|(_, p)| p.end(code));
    }

    fn kept(&self, id: &ContainerId, name: Option<&str>) -> Option<Arc<FakeProcess>> {
        let running = self.running.lock().unwrap();
        let mut kept = running.iter().filter(|(of, p)| of == id && p.name.is_some());
        kept.find(|(_, p)| p.name.as_deref() == name).map(|(_, p)| Arc::clone(p))
    }

    pub(crate) fn runs_of(&self, program: &str) -> usize {
        self.executed.lock().unwrap().iter().filter(|spec| spec.argv[0] == program).count()
    }
}

fn process(control: Arc<FakeProcess>, stdout: &str, stderr: &str) -> Process {
    let output = |text: &str| Box::new(PlainOutput(Cursor::new(text.to_owned().into_bytes())));
    Process { stdout: output(stdout), stderr: output(stderr), control }
}

impl FakeProcess {
    fn end(&self, code: i32) {
        let status = ExitStatus { code, out_of_memory: self.script.out_of_memory };
        self.end.send_if_modified(|end| {
            let is_new = end.is_none();
            *end = Some(end.unwrap_or(status));
            is_new
        });
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn create(&self, spec: ContainerBlueprint) -> Result<(), RuntimeError> {
        if let Some(why) = self.create_error.lock().unwrap().clone() {
            return Err(RuntimeError::Failed { what: "create", id: spec.id.to_string(), why });
        }
        self.containers.lock().unwrap().insert(spec.id.clone(), Some(spec));
        Ok(())
    }

    async fn adopt(&self, id: &ContainerId, _: bool) -> Result<(), RuntimeError> {
        match self.containers.lock().unwrap().get(id) {
            Some(Some(_)) => Ok(()),
            Some(None) | None => Err(RuntimeError::NotFound(id.to_string())),
        }
    }

    async fn exec(&self, id: &ContainerId, spec: ProcessSpec) -> Result<Process, RuntimeError> {
        let program = spec.argv[0].clone();
        if !self.has(id) {
            return Err(RuntimeError::NotFound(id.to_string()));
        }
        if let Some(kept) = self.kept(id, spec.keep_as.as_deref()) {
            return Ok(process(kept, "", ""));
        }
        let name = spec.keep_as.clone();
        self.executed.lock().unwrap().push(spec);
        let Some(script) = self.programs.lock().unwrap().get(&program).cloned() else {
            let why = "no such file or directory".into();
            return Err(RuntimeError::NotExecutable { program, why });
        };
        let (stdout, stderr) = (script.stdout.clone(), script.stderr.clone());
        let (ends_after, code) = (script.ends_after, script.code);
        let end = watch::channel(None).0;
        let started =
            Arc::new(FakeProcess { program, name, script, signals: Mutex::default(), end });
        self.running.lock().unwrap().push((id.clone(), Arc::clone(&started)));
        if let Some(after) = ends_after {
            let started = Arc::clone(&started);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                started.end(code);
            });
        }
        Ok(process(started, &stdout, &stderr))
    }

    async fn pause(&self, _: &ContainerId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn resume(&self, _: &ContainerId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn usage(&self, _: &ContainerId) -> Result<Usage, RuntimeError> {
        Ok(Usage { memory_peak_bytes: 64 << 20, ..Usage::default() })
    }

    async fn delete(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.deletions.pass().await;
        {
            let mut failures = self.deletions_that_fail.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                let (what, why) = ("delete", "device is busy".into());
                return Err(RuntimeError::Failed { what, id: id.to_string(), why });
            }
        }
        for (of, process) in self.running.lock().unwrap().iter() {
            if of == id {
                process.end(137);
            }
        }
        self.containers.lock().unwrap().remove(id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        Ok(self.containers.lock().unwrap().keys().cloned().collect())
    }
}

#[async_trait]
impl ProcessControl for FakeProcess {
    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        self.signals.lock().unwrap().push(signal);
        match signal {
            Signal::Stop(_) if self.script.ignores_terminate => {}
            Signal::Stop(signal) => self.end(128 + i32::from(signal.number())),
            Signal::Kill => self.end(137),
        }
        Ok(())
    }

    async fn wait(&self) -> ExitStatus {
        let mut end = self.end.subscribe();
        let status = end.wait_for(Option::is_some).await.expect("the process holds the sender");
        status.expect("it was waited for")
    }
}

/// One image, with any name.
#[derive(Default)]
pub(crate) struct FakeImages {
    pub(crate) config: Mutex<ImageConfig>,
    pub(crate) pull_error: Mutex<Option<String>>,
    /// Every pull passes it.
    pub(crate) gate: Gate,
    pub(crate) pulled: Mutex<Vec<(ImageRef, Option<RegistryCredentials>)>>,
    pub(crate) mounted: Mutex<BTreeSet<ContainerId>>,
    pub(crate) is_disk_low: Mutex<bool>,
}

#[async_trait]
impl Images for FakeImages {
    async fn pull(
        &self,
        image: &ImageRef,
        credentials: Option<&RegistryCredentials>,
        progress: ProgressFn,
    ) -> Result<Arc<Image>, ImageError> {
        self.pulled.lock().unwrap().push((image.clone(), credentials.cloned()));
        progress(1, 2);
        self.gate.pass().await;
        if let Some(why) = self.pull_error.lock().unwrap().clone() {
            return Err(ImageError::NotFound { image: image.to_string(), why });
        }
        let config = self.config.lock().unwrap().clone();
        Ok(Arc::new(Image {
            digest: "sha256:0".into(),
            config,
            layers: vec![],
            hold: Hold::default(),
        }))
    }

    async fn mount(
        &self,
        _: &Image,
        id: &ContainerId,
        _: Option<&UserNamespace>,
        _: Option<DiskQuota>,
    ) -> Result<PathBuf, ImageError> {
        self.mounted.lock().unwrap().insert(id.clone());
        Ok(PathBuf::from("/rootfs").join(id.as_str()))
    }

    async fn volume(&self, id: &ContainerId, name: &str) -> Result<PathBuf, ImageError> {
        Ok(PathBuf::from("/volumes").join(id.as_str()).join(name))
    }

    async fn unmount(&self, id: &ContainerId) -> Result<(), ImageError> {
        self.mounted.lock().unwrap().remove(id);
        Ok(())
    }

    async fn disk_usage(&self, _: &ContainerId) -> Result<u64, ImageError> {
        Ok(5)
    }

    async fn keep_room(&self) -> Result<(), ImageError> {
        let (kept_free, free, directory) = (1 << 30, 7 << 20, "/data".into());
        let is_low = *self.is_disk_low.lock().unwrap();
        if is_low { Err(ImageError::DiskFull { kept_free, free, directory }) } else { Ok(()) }
    }

    async fn list(&self) -> Result<Vec<ContainerId>, ImageError> {
        Ok(self.mounted.lock().unwrap().iter().cloned().collect())
    }
}

/// Every container is at 127.0.0.1, so that checks meet real sockets.
#[derive(Default)]
pub(crate) struct FakeNetwork {
    pub(crate) attached: Mutex<BTreeSet<ContainerId>>,
    pub(crate) egress: Mutex<BTreeMap<ContainerId, Vec<EgressRule>>>,
    pub(crate) listening: Mutex<Vec<SocketAddr>>,
}

#[async_trait]
impl Network for FakeNetwork {
    async fn attach(
        &self,
        id: &ContainerId,
        ports: &[u16],
        egress: &[EgressRule],
    ) -> Result<Attachment, NetworkError> {
        self.egress.lock().unwrap().insert(id.clone(), egress.to_vec());
        self.attached.lock().unwrap().insert(id.clone());
        let mapping = |&port| PortMapping { container_port: port, host_port: 61_000 };
        Ok(Attachment {
            netns: "/run/netns/x".into(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: ports.iter().map(mapping).collect(),
            users: None,
        })
    }

    async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError> {
        self.attached.lock().unwrap().remove(id);
        Ok(())
    }

    async fn listening(&self, _: &ContainerId) -> Result<Vec<SocketAddr>, NetworkError> {
        Ok(self.listening.lock().unwrap().clone())
    }

    async fn traffic(&self, _: &ContainerId) -> Result<Traffic, NetworkError> {
        Ok(Traffic { received: 7, sent: 9 })
    }

    async fn list(&self) -> Result<Vec<ContainerId>, NetworkError> {
        Ok(self.attached.lock().unwrap().iter().cloned().collect())
    }

    fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, 1)
    }

    async fn remove_all(&self) -> Result<(), NetworkError> {
        self.attached.lock().unwrap().clear();
        Ok(())
    }
}

/// Files by path, and what was extracted where.
#[derive(Default)]
pub(crate) struct FakeFiles {
    pub(crate) files: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(crate) extracted: Mutex<Vec<(String, u64, u32)>>,
    pub(crate) made_dirs: Mutex<Vec<(String, u32)>>,
}

#[async_trait]
impl RootfsFiles for FakeFiles {
    async fn resolve_user(&self, _: &Path, user: &str) -> Result<ResolvedUser, FilesError> {
        let (name, uid, home) = match user {
            "" | "root" => ("root", 0, "/root"),
            "me" => ("me", 1000, "/home/me"),
            "imageuser" => ("imageuser", 1001, "/"),
            unknown => {
                return Err(FilesError::UnknownUser(format!("there is no user '{unknown}'")));
            }
        };
        let ids = UserIds { uid, gid: uid, additional_gids: vec![] };
        Ok(ResolvedUser { name: name.into(), ids, home: home.into() })
    }

    async fn read_file(&self, _: &Path, path: &str, bytes_max: u64) -> Result<Vec<u8>, FilesError> {
        let unreadable = |why: &str| FilesError::Unreadable { path: path.into(), why: why.into() };
        let content = self.files.lock().unwrap().get(path).cloned();
        let content = content.ok_or_else(|| unreadable("no such file"))?;
        if content.len() as u64 > bytes_max {
            return Err(unreadable("it is too long"));
        }
        Ok(content)
    }

    async fn make_dir(&self, _: &Path, path: &str, owner: &UserIds) -> Result<(), FilesError> {
        self.made_dirs.lock().unwrap().push((path.into(), owner.uid));
        Ok(())
    }

    async fn extract_archive(
        &self,
        _: &Path,
        archive: std::fs::File,
        into: &Extraction<'_>,
    ) -> Result<(), FilesError> {
        let bytes = archive.metadata().unwrap().len();
        self.extracted.lock().unwrap().push((into.to.into(), bytes, into.owner.uid));
        Ok(())
    }
}

/// Keeps every line.
#[derive(Default)]
pub(crate) struct FakeLogs {
    envelopes: Mutex<Vec<Envelope>>,
}

impl FakeLogs {
    /// Lines as `SOURCE/INDEX OUT text`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let envelopes = self.envelopes.lock().unwrap();
        let line = |envelope: &Envelope| match &envelope.message {
            Message::Log(log) => {
                let stream = if log.stream == LogStream::Out { "OUT" } else { "ERR" };
                let text = String::from_utf8_lossy(&log.payload);
                Some(format!("{}/{} {stream} {text}", log.source_type, envelope.instance_id))
            }
            Message::ContainerMetric(_) => None,
        };
        envelopes.iter().filter_map(line).collect()
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.lines().iter().any(|known| known == line)
    }

    pub(crate) fn metrics(&self) -> Vec<ContainerMetric> {
        let envelopes = self.envelopes.lock().unwrap();
        let metric = |envelope: &Envelope| match &envelope.message {
            Message::Log(_) => None,
            Message::ContainerMetric(metric) => Some(*metric),
        };
        envelopes.iter().filter_map(metric).collect()
    }
}

impl LogIngress for FakeLogs {
    fn emit(&self, envelope: Envelope) -> bool {
        self.envelopes.lock().unwrap().push(envelope);
        true
    }
}
