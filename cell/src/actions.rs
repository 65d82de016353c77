//! What runs in a container: a tree of steps, one file each, all performed by [`perform`].
//!
//! The semantics are Diego's (spec G): what each step does with failure, cancellation and log
//! sources is told in its file.

mod codependent;
mod download;
mod emit_progress;
pub mod original_client;
mod parallel;
mod run;
mod serial;
mod timeout;
mod try_step;
mod upload;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use lattice_model::Action;
use lattice_model::action::{EnvVar, Group};
use lattice_model::desired_lrp::{ContainerLimits, StopSignal};

use crate::cancel::Cancel;
use crate::downloads::Transfers;
use crate::images::ImageConfig;
use crate::journal::Journal;
use crate::logs::LogWriter;
use crate::rootfs_files::RootfsFiles;
use crate::runtime::{ContainerId, Runtime, UserIds};
use crate::userns::{IDS, UserNamespace};

/// Where steps run: a container that exists.
pub struct Place {
    /// Its name.
    pub id: ContainerId,
    /// Its mounted root filesystem.
    pub rootfs: PathBuf,
    /// Its own users, where it has any.
    pub users: Option<UserNamespace>,
    /// Its own address.
    pub address: IpAddr,
    /// What its image says.
    pub image: ImageConfig,
    /// Environment of every process, over the image's.
    pub env: Vec<EnvVar>,
    /// Environment that nothing overrides.
    pub network_env: Vec<EnvVar>,
    /// Its bounds.
    pub limits: ContainerLimits,
    /// What asks its processes to end.
    pub stop_signal: StopSignal,
    /// Starts processes in it.
    pub runtime: Arc<dyn Runtime>,
    /// Reaches its files.
    pub files: Arc<dyn RootfsFiles>,
    /// Downloads and uploads.
    pub transfers: Arc<Transfers>,
    /// What is done already in the whole instance.
    pub journal: Arc<Journal>,
}

/// What a step needs. Cheap to clone.
#[derive(Clone)]
pub struct StepContext {
    /// Where it runs.
    pub place: Arc<Place>,
    /// Where it writes.
    pub log: LogWriter,
    /// Asks it to end.
    pub cancel: Cancel,
    /// What it is for.
    pub role: Role,
    /// Which step of the tree it is (`action.0.2`): its name in the journal, and of its process.
    pub path: String,
}

/// What a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The work itself.
    Work,
    /// A health check: it writes nothing, `healthcheck` is built in, and nothing has a grace.
    Check,
}

/// Why a step did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It failed, in words that become crash and failure reasons.
    Failed(String),
    /// It was asked to end.
    Cancelled,
}

/// Performs a step to its end; one that an earlier process has done already is passed over. When it is cancelled it ends in good order first; so never drop
/// the future: cancel, and wait.
pub fn perform<'a>(action: &'a Action, cx: &'a StepContext) -> BoxFuture<'a, Result<(), Failure>> {
    Box::pin(async move {
        if cx.cancel.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        let is_noted = cx.role == Role::Work
            && matches!(action, Action::Run(_) | Action::Download(_) | Action::Upload(_));
        if is_noted && cx.place.journal.has(&cx.path) {
            return Ok(());
        }
        let outcome = match action {
            Action::Run(run) => run::perform(run, cx).await,
            Action::Download(download) => download::perform(download, cx).await,
            Action::Upload(upload) => upload::perform(upload, cx).await,
            Action::Timeout(timeout) => timeout::perform(timeout, cx).await,
            Action::Try(wrapped) => try_step::perform(wrapped, cx).await,
            Action::EmitProgress(emit) => emit_progress::perform(emit, cx).await,
            Action::Parallel(group) => parallel::perform(group, cx).await,
            Action::Serial(group) => serial::perform(group, cx).await,
            Action::Codependent(group) => codependent::perform(group, cx).await,
        };
        if is_noted && outcome.is_ok() {
            cx.place.journal.note(&cx.path);
        }
        outcome
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => f.write_str(reason),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

// === impl Place ===

impl Place {
    /// Whom the container calls so, as this host knows them: for whom owns files.
    pub(crate) fn on_host(&self, ids: &UserIds) -> Result<UserIds, String> {
        let Some(users) = &self.users else { return Ok(ids.clone()) };
        let last = IDS - 1;
        let find = |what: &str, id| {
            let known = users.on_host(id);
            known
                .ok_or_else(|| format!("there is no {what} {id}: the last is {last}; take another"))
        };
        let (uid, gid) = (find("user", ids.uid)?, find("group", ids.gid)?);
        Ok(UserIds { uid, gid, additional_gids: Vec::new() })
    }
}

// === impl StepContext ===

impl StepContext {
    /// The same, writing as another source; an empty one changes nothing.
    fn as_source(&self, source: &str) -> Self {
        Self { log: self.log.as_source(source), ..self.clone() }
    }

    /// The same for the step of this name.
    pub(crate) fn named(&self, name: &str) -> Self {
        Self { path: name.to_owned(), ..self.clone() }
    }

    /// The same for a step within this one.
    fn inner(&self, index: usize) -> Self {
        self.named(&format!("{}.{index}", self.path))
    }

    /// The same, to be cancelled apart from its siblings.
    fn apart(&self) -> Self {
        Self { cancel: self.cancel.child(), ..self.clone() }
    }
}

// === impl Failure ===

impl Failure {
    /// Several failures as one, in go-multierror's form; those that were only cancelled are not
    /// counted. `None` when there is none at all.
    fn aggregate(failures: Vec<Self>) -> Option<Self> {
        if failures.is_empty() {
            return None;
        }
        let points: Vec<String> = failures
            .iter()
            .filter(|failure| **failure != Self::Cancelled)
            .map(|failure| format!("* {failure}"))
            .collect();
        if points.is_empty() {
            return Some(Self::Cancelled);
        }
        Some(Self::Failed(format!("{} error(s) occurred:\n\n{}", points.len(), points.join("\n"))))
    }
}

/// The steps of a group. Validation admits no missing one; if one is, it is passed over.
fn steps<'a>(group: &'a Group, cx: &StepContext) -> Vec<(&'a Action, StepContext)> {
    let steps = group.actions.iter().flatten().enumerate();
    steps.map(|(index, step)| (step, cx.inner(index))).collect()
}

/// Performs a wrapped step. Validation admits no missing one; if it is, there is nothing to do.
async fn perform_inner(action: Option<&Action>, cx: &StepContext) -> Result<(), Failure> {
    match action {
        Some(action) => perform(action, &cx.inner(0)).await,
        None => Ok(()),
    }
}
