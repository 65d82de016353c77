//! Instances outlive the process that made them: each leaves a record beside its container, and the
//! next process takes it over where everything the record names is still there.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use lattice_model::NetInfo;
use serde::{Deserialize, Serialize};

use super::Made;
use super::removal::Found;
use crate::images::Image;
use crate::journal::{HEALTHY, Journal};
use crate::network::Attachment;
use crate::runtime::ContainerId;
use crate::tools::Tools;
use crate::work::Work;

const FILE: &str = "record.json";
/// The form of a record; one of another form is not understood, and its instance not adopted.
const VERSION: u32 = 1;
/// How many instances are looked at at once.
const AT_ONCE: usize = 64;

/// What the process after this one has to know of an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    pub(crate) work: Work,
    pub(crate) image: Image,
    pub(crate) rootfs: PathBuf,
    pub(crate) attachment: Attachment,
}

/// An instance that was taken over.
pub(crate) struct Adopted {
    pub(crate) work: Work,
    pub(crate) made: Made,
    /// How it is reached, where it was healthy.
    pub(crate) healthy: Option<NetInfo>,
}

// === impl Record ===

impl Record {
    pub(crate) fn new(
        work: &Work,
        image: &Image,
        rootfs: PathBuf,
        attachment: &Attachment,
    ) -> Self {
        let (work, image, attachment) = (work.clone(), image.clone(), attachment.clone());
        Self { version: VERSION, work, image, rootfs, attachment }
    }

    /// Writes it into the instance's directory, for root's eyes only. Whoever reads finds this or
    /// nothing, never a half. Power loss takes the instance as well, so nothing is synced.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(dir.join(FILE))?;
        Ok(())
    }

    fn read(dir: &Path) -> Result<Self, String> {
        let bytes = match std::fs::read(dir.join(FILE)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err("it was not made to its end".to_owned());
            }
            Err(e) => return Err(format!("its record cannot be read: {e}")),
        };
        let record: Self = serde_json::from_slice(&bytes)
            .map_err(|e| format!("its record makes no sense: {e}"))?;
        match record.version {
            VERSION => Ok(record),
            other => Err(format!("its record has form {other}, and {VERSION} is known")),
        }
    }
}

/// Takes over all that can be; gives those instances and the names of what is left.
pub(crate) async fn adopt_all(
    tools: &Tools,
    found: Found,
) -> (Vec<Adopted>, BTreeSet<ContainerId>) {
    let found = &found;
    let outcomes = stream::iter(found.all()).map(|id| async move {
        let outcome = adopt(tools, found, &id).await;
        (id, outcome)
    });
    let outcomes: Vec<_> = outcomes.buffer_unordered(AT_ONCE).collect().await;
    let (mut adopted, mut left) = (Vec::new(), BTreeSet::new());
    for (id, outcome) in outcomes {
        match outcome {
            Ok(instance) => {
                tracing::info!(container = %id, work = %instance.work.id(), "instance adopted");
                adopted.push(instance);
            }
            Err(why) => {
                tracing::info!(container = %id, %why, "not adopted");
                left.insert(id);
            }
        }
    }
    (adopted, left)
}

async fn adopt(tools: &Tools, found: &Found, id: &ContainerId) -> Result<Adopted, String> {
    if !found.is_whole(id) {
        return Err("container, network or root filesystem is missing".to_owned());
    }
    let dir = tools.config.instances_dir().join(id.as_str());
    let record = Record::read(&dir)?;
    if record.work.container_id() != *id {
        return Err("its record is another instance's".to_owned());
    }
    let spec = record.work.containers().first().ok_or("its record names no container")?;
    let adopting = tools.seams.runtime.adopt(id, spec.privileged);
    tools.step("take the container over", adopting).await?;
    let journal = Journal::open(&dir).map_err(|e| format!("its journal cannot be read: {e}"))?;
    let net = tools.net_info(&record.attachment);
    let healthy = journal.has(HEALTHY).then(|| net.clone());
    let place = super::prepare::place(tools, &record, journal);
    Ok(Adopted { made: Made { place: Arc::new(place), net }, work: record.work, healthy })
}
