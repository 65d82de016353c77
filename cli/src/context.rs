//! What commands work with: the person's side ([`Local`]), and the platform's ([`Cx`]).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use lattice_api::brain::Receptor;
use lattice_api::log_aggregator::LogReader;
use lattice_api::router::RouteProbe;
use lattice_model::{ProcessGuid, RegistryCredentials, TaskGuid, Time};

use crate::config_file::ConfigDir;
use crate::connect::{Clients, Connector, RawSubmit};
use crate::exit::{Exit, Failure};
use crate::image::{ImageError, ImageGateway};
use crate::local_platform::LocalPlatform;
use crate::out::Out;
use crate::target::Target;

/// The person who types.
pub trait Terminal: Send + Sync {
    /// True when somebody can answer.
    fn is_interactive(&self) -> bool;
    /// Asks and reads a line.
    fn ask(&self, question: &str) -> io::Result<String>;
    /// Asks and reads a line that is not shown.
    fn ask_secret(&self, question: &str) -> io::Result<String>;
    /// All of standard input.
    fn read_all(&self) -> io::Result<String>;
}

/// Looks an environment variable up.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The person's side: nothing here needs a platform. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    /// The mouth.
    pub out: Out,
    /// Environment variables.
    pub vars: Variables,
    /// The person.
    pub terminal: Arc<dyn Terminal>,
    /// Makes clients for a target.
    pub connector: Arc<dyn Connector>,
    /// Tells the time.
    pub clock: Arc<dyn Fn() -> Time + Send + Sync>,
    /// How long to wait between two looks at something that changes.
    pub poll: Duration,
    /// Where times are shown.
    pub zone: TimeZone,
}

/// The platform's side: clients of a target.
#[derive(Clone)]
pub struct Cx {
    /// The person's side.
    pub local: Local,
    /// The target.
    pub target: Target,
    /// The brain.
    pub receptor: Arc<dyn Receptor>,
    /// The brain, for documents that pass as they are.
    pub raw: Arc<dyn RawSubmit>,
    /// Logs and metrics.
    pub logs: Arc<dyn LogReader>,
    /// Registries.
    pub images: Arc<dyn ImageGateway>,
    /// The router, as anybody meets it.
    pub router: Arc<dyn RouteProbe>,
}

// === impl Local ===

impl Local {
    /// The value of an environment variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<String> {
        (self.vars)(name).filter(|value| !value.is_empty())
    }

    /// The time.
    pub fn now(&self) -> Time {
        (self.clock)()
    }

    /// The person's files.
    pub fn config(&self) -> Result<ConfigDir, Failure> {
        ConfigDir::find(|name| self.var(name)).ok_or_else(|| {
            Failure::new(Exit::FileSystem, "cannot tell where your files are: HOME is not set")
                .next("LATTICE_CLI_HOME=DIR ltc ...")
        })
    }

    /// The platform on this machine, as far as this person may know it.
    pub fn platform(&self) -> LocalPlatform {
        LocalPlatform::new(self.var("LATTICE_DATA_DIR").map(PathBuf::from))
    }

    /// The target that is set, or the platform on this machine.
    pub fn target(&self) -> Result<Target, Failure> {
        let platform = self.platform();
        let target = self.config()?.load().and_then(|config| config.target());
        match target {
            Some(target) if target.login.is_none() => Ok(platform.log_in(target)),
            Some(target) => Ok(target),
            None => platform.target().ok_or_else(no_target),
        }
    }

    /// Clients of the target.
    pub fn connect(&self) -> Result<Cx, Failure> {
        self.connect_to(self.target()?)
    }

    /// Clients of this target.
    pub fn connect_to(&self, target: Target) -> Result<Cx, Failure> {
        let Clients { receptor, raw, logs, images, router } = self.connector.connect(&target)?;
        Ok(Cx { local: self.clone(), target, receptor, raw, logs, images, router })
    }
}

// === impl Cx ===

impl Cx {
    /// The mouth.
    pub fn out(&self) -> &Out {
        &self.local.out
    }

    /// What is known of a registry: by `ltc registry login`, else by Docker's configuration.
    pub async fn registry_credentials(
        &self,
        registry: &str,
    ) -> Result<Option<RegistryCredentials>, ImageError> {
        let own = self.local.config().ok().and_then(|config| config.registry(registry));
        match own {
            Some(own) => Ok(Some(own)),
            None => self.images.credentials_for(registry).await,
        }
    }
}

/// Checks an app's name.
pub fn app_name(name: &str) -> Result<ProcessGuid, Failure> {
    ProcessGuid::new(name).map_err(|e| Failure::usage(format!("the app name '{name}' {e}")))
}

/// Checks a task's name.
pub fn task_name(name: &str) -> Result<TaskGuid, Failure> {
    TaskGuid::new(name).map_err(|e| Failure::usage(format!("the task name '{name}' {e}")))
}

fn no_target() -> Failure {
    Failure::new(Exit::General, "no target is set, and no Lattice of yours runs on this machine")
        .next("ltc target lattice.localhost    (or another domain: points ltc at a Lattice)")
        .next("lattice up                      (starts a Lattice on this machine)")
}
