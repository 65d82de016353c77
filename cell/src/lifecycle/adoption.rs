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
use crate::actions::Place;
use crate::images::Image;
use crate::journal::{HEALTHY, Journal, UNREADY};
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
    #[serde(flatten)]
    main: Content,
    /// The further containers'; records from before them have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Content>,
    pub(crate) attachment: Attachment,
}

/// What is in a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) image: Image,
    /// Its mounted root filesystem; a sidecar's is that of its container.
    pub(crate) rootfs: PathBuf,
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
    /// With the contents of all containers, of which there is one at least.
    pub(crate) fn new(work: &Work, mut contents: Vec<Content>, attachment: &Attachment) -> Self {
        let (work, attachment) = (work.clone(), attachment.clone());
        let others = contents.split_off(1);
        let main = contents.pop().expect("an instance has a container");
        Self { version: VERSION, work, main, others, attachment }
    }

    /// The contents of all containers, in their order.
    pub(crate) fn contents(&self) -> impl Iterator<Item = &Content> {
        std::iter::once(&self.main).chain(&self.others)
    }

    /// Writes down that the instance's LRP is another one by now.
    pub(crate) fn rewrite(dir: &Path, work: Work) -> Result<(), String> {
        let record = Self { work, ..Self::read(dir)? };
        record.write(dir).map_err(|e| e.to_string())
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
    let outcomes = stream::iter(found.instances()).map(|id| async move {
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
                left.extend(found.members(&id));
            }
        }
    }
    (adopted, left)
}

/// Where one of an instance's containers is, as its record says.
pub(crate) fn place_of(tools: &Tools, work: &Work, container: usize) -> Result<Arc<Place>, String> {
    let dir = tools.config.instances_dir().join(work.container_id().as_str());
    let made = super::prepare::made(tools, &Record::read(&dir)?, Journal::default());
    made.places.get(container).cloned().ok_or_else(|| "there is no such container".to_owned())
}

async fn adopt(tools: &Tools, found: &Found, id: &ContainerId) -> Result<Adopted, String> {
    let dir = tools.config.instances_dir().join(id.as_str());
    let record = Record::read(&dir)?;
    if record.work.container_id() != *id {
        return Err("its record is another instance's".to_owned());
    }
    let pod = record.work.pod();
    if !found.is_whole(&pod) || record.contents().count() != pod.containers.len() {
        return Err("container, network or root filesystem is missing".to_owned());
    }
    for part in &pod.containers {
        let adopting = tools.seams.runtime.adopt(&part.id, part.spec.privileged);
        tools.step("take the container over", adopting).await?;
    }
    let journal = Journal::open(&dir).map_err(|e| format!("its journal cannot be read: {e}"))?;
    let is_healthy = journal.has(HEALTHY);
    let unready = journal.has(UNREADY);
    let made = super::prepare::made(tools, &record, journal);
    let healthy = is_healthy.then(|| NetInfo { unready, ..made.net.clone() });
    Ok(Adopted { work: record.work, made, healthy })
}
