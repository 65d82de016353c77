//! A platform, a person and registries, small enough to read.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lattice_api::brain::images::{CellImages, CellPruned};
use lattice_api::brain::moves::{
    DrainRequest, DrainingCell, MovePlan, MoveUnderWay, Moves, RebalanceRequest,
};
use lattice_api::brain::usage::CellUsage;
use lattice_api::brain::{
    BrainError, EventId, EventStream, Explanation, InstanceProgress, ProgressStep, Receptor,
    Version,
};
use lattice_api::cell::images::PrunedImages;
use lattice_api::cell::usage::{InstanceUsage, Measurement};
use lattice_api::log_aggregator::{EnvelopeStream, LogError, LogReader};
use lattice_api::router::{Reached, RouteProbe};
use lattice_model::actual_lrp::PlacementError;
use lattice_model::envelope::Log;
use lattice_model::task::TaskOutcome;
use lattice_model::*;

use crate::connect::{Clients, Connector, RawSubmit};
use crate::context::{Local, Terminal};
use crate::exit::Failure;
use crate::image::{
    ImageError, ImageGateway, ImageMetadata, PushProgress, PushedImage, RegistryAccess,
};
use crate::out::{Format, Out};
use crate::target::{Login, Target};

/// How instances fare.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    Healthy,
    Stuck,
    NoPlace(PlacementError),
    Crashes(String),
    /// Runs for a look, crashes, and so on.
    Flickers(String),
    Exits(String),
}

/// What a test sets up and looks at afterwards.
pub(crate) struct State {
    pub(crate) fate: Fate,
    pub(crate) is_reachable: bool,
    pub(crate) admin: Option<Login>,
    pub(crate) desired: BTreeMap<String, Arc<DesiredLrp>>,
    /// Looks taken at each LRP since it changed: its clock.
    pub(crate) looks: BTreeMap<String, u32>,
    pub(crate) actual: BTreeMap<String, Vec<ActualLrp>>,
    pub(crate) tasks: BTreeMap<String, Task>,
    pub(crate) explanation: Option<Explanation>,
    pub(crate) cells: Vec<CellPresence>,
    pub(crate) moves: Movings,
    pub(crate) kept_images: Vec<CellImages>,
    pub(crate) domains: Vec<(String, Option<u64>)>,
    pub(crate) registries: Vec<RegistryCredentials>,
    pub(crate) custom_domains: BTreeMap<String, CustomDomain>,
    /// The host for which a certificate was ordered last.
    pub(crate) ordered: Option<String>,
    /// What is told of it, look by look.
    pub(crate) order_looks: VecDeque<CustomDomainStatus>,
    pub(crate) submitted: Vec<(String, String)>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) version: Version,
    pub(crate) recent: Vec<Envelope>,
    pub(crate) usage: Vec<CellUsage>,
    /// One for each connection, taken in turn; then connections end the test.
    pub(crate) streams: Vec<Result<Vec<Envelope>, LogError>>,
    pub(crate) images: BTreeMap<String, Result<ImageMetadata, ImageError>>,
    pub(crate) inspected: Vec<(String, RegistryAccess)>,
    pub(crate) docker_config: Vec<RegistryCredentials>,
    pub(crate) pushed: Result<ImageRef, ImageError>,
    /// Why the next login to a registry fails.
    pub(crate) login_answer: Option<ImageError>,
    /// What requests to apps come to, in turn; then all reach the app.
    pub(crate) reached: Vec<Reached>,
    pub(crate) probed: Vec<String>,
}

/// A platform at `lattice.localhost`.
#[derive(Clone)]
pub(crate) struct Platform(Arc<Mutex<State>>);

#[derive(Clone)]
struct Client {
    platform: Platform,
    login: Option<Login>,
}

/// A person with answers.
#[derive(Clone, Default)]
pub(crate) struct Person {
    pub(crate) answers: Option<(String, String)>,
    /// What is answered to questions that hold these words; the others get user and password.
    pub(crate) to_questions: Vec<(&'static str, &'static str)>,
    pub(crate) stdin: String,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: u8,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A person's machine with a home of its own, before a platform.
pub(crate) struct Machine {
    pub(crate) home: tempfile::TempDir,
    pub(crate) platform: Platform,
    pub(crate) person: Person,
    pub(crate) vars: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

// === impl Machine ===

impl Machine {
    /// One whose `ltc` points at the platform.
    pub(crate) fn targeted() -> Self {
        let machine = Self::new();
        machine.write(".lattice/config.json", r#"{"target":"lattice.localhost"}"#);
        machine
    }

    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = |sub: &str| home.path().join(sub).to_str().unwrap().to_owned();
        let vars = [("HOME", path("")), ("LATTICE_DATA_DIR", path("data"))];
        Self {
            vars: vars.map(|(name, value)| (name.to_owned(), value)).into(),
            home,
            platform: Platform::new(),
            person: Person::default(),
        }
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.platform.state()
    }

    /// Runs a command line; words are split at spaces.
    pub(crate) async fn ltc(&self, line: &str) -> Ran {
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let argv = ["ltc"].into_iter().chain(line.split_whitespace()).map(Into::into);
        let make = |format, _| self.local(format, &stdout, &stderr);
        let run = crate::run(argv.collect::<Vec<_>>(), make);
        let exit = tokio::time::timeout(Duration::from_secs(20), run).await.expect("ltc hangs");
        Ran { exit: exit.code(), stdout: stdout.text(), stderr: stderr.text() }
    }

    fn local(&self, format: Format, stdout: &Captured, stderr: &Captured) -> Local {
        let vars = self.vars.clone();
        Local {
            out: Out::plain(format, Box::new(stdout.clone()), Box::new(stderr.clone())),
            vars: Arc::new(move |name| vars.get(name).cloned()),
            terminal: Arc::new(self.person.clone()),
            connector: Arc::new(self.platform.clone()),
            clock: Arc::new(|| Time::from_secs(1_000)),
            poll: Duration::from_millis(1),
            zone: jiff::tz::TimeZone::UTC,
        }
    }
}

impl Ran {
    /// All that is expected of a failure: its exit code, and its words in standard error.
    #[track_caller]
    pub(crate) fn fails(&self, exit: u8, words: &[&str]) {
        assert_eq!(self.exit, exit, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.exit, 0, "{self:?}");
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Person {
    fn answer_to(&self, question: &str) -> Option<String> {
        let answers = self.to_questions.iter();
        answers.clone().find(|(words, _)| question.contains(words)).map(|(_, a)| (*a).to_owned())
    }
}

impl Terminal for Person {
    fn is_interactive(&self) -> bool {
        self.answers.is_some()
    }

    fn ask(&self, question: &str) -> io::Result<String> {
        Ok(self.answer_to(question).unwrap_or_else(|| self.answers.clone().unwrap().0))
    }

    fn ask_secret(&self, question: &str) -> io::Result<String> {
        Ok(self.answer_to(question).unwrap_or_else(|| self.answers.clone().unwrap().1))
    }

    fn read_all(&self) -> io::Result<String> {
        Ok(self.stdin.clone())
    }
}

// === impl Platform ===

impl Platform {
    fn new() -> Self {
        let unknown = ImageError::Failed("nothing was to be pushed".to_owned());
        Self(Arc::new(Mutex::new(State {
            fate: Fate::Healthy,
            is_reachable: true,
            admin: None,
            desired: BTreeMap::new(),
            looks: BTreeMap::new(),
            actual: BTreeMap::new(),
            tasks: BTreeMap::new(),
            explanation: None,
            cells: vec![cell("cell-1")],
            moves: Movings::default(),
            kept_images: vec![],
            custom_domains: BTreeMap::new(),
            ordered: None,
            order_looks: VecDeque::new(),
            domains: vec![],
            registries: vec![],
            submitted: vec![],
            refusal: None,
            version: Version::default(),
            recent: vec![],
            usage: vec![],
            streams: vec![],
            images: BTreeMap::new(),
            inspected: vec![],
            docker_config: vec![],
            pushed: Err(unknown),
            login_answer: None,
            reached: vec![],
            probed: vec![],
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Connector for Platform {
    fn connect(&self, target: &Target) -> Result<Clients, Failure> {
        let client = Arc::new(Client { platform: self.clone(), login: target.login.clone() });
        Ok(Clients {
            receptor: client.clone(),
            raw: client.clone(),
            logs: client.clone(),
            images: client.clone(),
            router: client,
        })
    }
}

impl State {
    /// Time passes for one LRP.
    fn look(&mut self, guid: &str) {
        let looks = self.looks.entry(guid.to_owned()).or_default();
        *looks += 1;
        let looks = *looks;
        let wanted = self.desired.get(guid).map_or(0, |d| d.instances);
        let instances = self.actual.entry(guid.to_owned()).or_default();
        instances.truncate(wanted as usize);
        while instances.len() < wanted as usize {
            let index = u32::try_from(instances.len()).unwrap();
            instances.push(actual(guid, index, ActualState::Unclaimed { placement_error: None }));
        }
        for instance in instances.iter_mut() {
            advance(instance, &self.fate, looks);
        }
    }
}

fn advance(lrp: &mut ActualLrp, fate: &Fate, looks: u32) {
    let is_running = matches!(lrp.state, ActualState::Running { .. });
    let instance = instance_key();
    if let Fate::Flickers(reason) = fate {
        lrp.crash_count += u32::from(is_running);
        lrp.crash_reason = reason.clone();
        lrp.state = match (is_running, lrp.crash_count) {
            (true, 3) => ActualState::Crashed { reason: reason.clone() },
            (true, _) => ActualState::Claimed { instance },
            (false, 3) => return,
            (false, _) => ActualState::Running { instance, net: NetInfo::default() },
        };
        return;
    }
    if is_running {
        return;
    }
    let claimed = ActualState::Claimed { instance: instance.clone() };
    lrp.state = match (fate, looks) {
        (Fate::NoPlace(error), _) => {
            ActualState::Unclaimed { placement_error: Some(error.clone()) }
        }
        (_, 0..=1) => ActualState::Unclaimed { placement_error: None },
        (Fate::Stuck, _) | (_, 2..=5) => claimed,
        (Fate::Healthy | Fate::Flickers(_), _) => {
            ActualState::Running { instance, net: NetInfo::default() }
        }
        (Fate::Exits(reason), _) => ActualState::Exited { reason: reason.clone() },
        (Fate::Crashes(reason), _) => {
            lrp.crash_count = (looks - 5).min(3);
            lrp.crash_reason = reason.clone();
            match lrp.crash_count {
                3 => ActualState::Crashed { reason: reason.clone() },
                _ => claimed,
            }
        }
    };
}

#[async_trait]
impl RouteProbe for Client {
    async fn probe(&self, url: &str) -> Reached {
        let mut state = self.platform.state();
        state.probed.push(url.to_owned());
        match state.reached.is_empty() {
            true => Reached::App,
            false => state.reached.remove(0),
        }
    }
}

impl Client {
    fn enter(&self) -> Result<MutexGuard<'_, State>, BrainError> {
        let state = self.platform.state();
        if !state.is_reachable {
            let url = "http://receptor.lattice.localhost".to_owned();
            return Err(BrainError::Unreachable { url, cause: "connection refused".to_owned() });
        }
        if state.admin.is_some() && state.admin != self.login {
            return Err(BrainError::Unauthorized);
        }
        match state.refusal.clone() {
            Some(refusal) => Err(refusal.into()),
            None => Ok(state),
        }
    }
}

/// Moves of instances: with each look one more has come about.
#[derive(Debug, Default)]
pub(crate) struct Movings {
    pub(crate) plan: MovePlan,
    pub(crate) draining: Option<CellId>,
    pub(crate) turns_left: usize,
}

impl Movings {
    fn begin(&mut self, cell: &CellId) {
        self.draining = Some(cell.clone());
        self.turns_left = self.plan.moves.len();
    }

    /// What has no place to go to stays.
    fn look(&mut self) -> Moves {
        let left = self.turns_left;
        let stuck = self.plan.moves.iter().filter(|one| one.to.is_none()).count();
        self.turns_left = left.saturating_sub(1).max(stuck.min(left));
        let under_way = self.plan.moves.iter().rev().take(left).map(|one| MoveUnderWay {
            process_guid: one.process_guid.clone(),
            index: one.index,
            from: one.from.clone(),
            to: one.to.clone(),
            state: if one.to.is_some() { "CLAIMED" } else { "UNCLAIMED" }.to_owned(),
            placement_error: one.placement_error.clone(),
        });
        let draining = self.draining.iter().map(|cell_id| DrainingCell {
            cell_id: cell_id.clone(),
            max_in_flight: 4,
            instances_left: left,
            tasks_left: 0,
        });
        Moves { draining: draining.collect(), moves: under_way.collect(), planned: 0 }
    }
}

fn no_lrp(guid: &ProcessGuid) -> BrainError {
    let message = format!("Desired LRP with guid '{guid}' not found");
    Refusal::new(ErrorName::DesiredLRPNotFound, message).into()
}

fn no_task(guid: &TaskGuid) -> BrainError {
    Refusal::new(ErrorName::TaskNotFound, format!("task with guid '{guid}' not found")).into()
}

#[async_trait]
impl Receptor for Client {
    async fn desire_lrp(&self, lrp: DesiredLrp) -> Result<(), BrainError> {
        let mut state = self.enter()?;
        let guid = lrp.process_guid.to_string();
        if state.desired.contains_key(&guid) {
            return Err(Refusal::new(ErrorName::DesiredLRPAlreadyExists, "exists").into());
        }
        state.desired.insert(guid, Arc::new(lrp));
        Ok(())
    }

    async fn update_lrp(
        &self,
        guid: &ProcessGuid,
        update: DesiredLrpUpdate,
    ) -> Result<(), BrainError> {
        let mut state = self.enter()?;
        let lrp = state.desired.get_mut(guid.as_str()).ok_or_else(|| no_lrp(guid))?;
        let lrp = Arc::make_mut(lrp);
        lrp.instances = update.instances.unwrap_or(lrp.instances);
        lrp.routes = update.routes.unwrap_or(lrp.routes.clone());
        state.looks.remove(guid.as_str());
        Ok(())
    }

    async fn remove_lrp(&self, guid: &ProcessGuid) -> Result<(), BrainError> {
        self.enter()?.desired.remove(guid.as_str()).map(drop).ok_or_else(|| no_lrp(guid))
    }

    async fn desired_lrp(&self, guid: &ProcessGuid) -> Result<Arc<DesiredLrp>, BrainError> {
        self.enter()?.desired.get(guid.as_str()).cloned().ok_or_else(|| no_lrp(guid))
    }

    async fn desired_lrps(&self, _: Option<&Domain>) -> Result<Vec<Arc<DesiredLrp>>, BrainError> {
        Ok(self.enter()?.desired.values().cloned().collect())
    }

    async fn actual_lrps(&self, _: Option<&Domain>) -> Result<Vec<ActualLrp>, BrainError> {
        Ok(self.enter()?.actual.values().flatten().cloned().collect())
    }

    async fn actual_lrps_of(&self, guid: &ProcessGuid) -> Result<Vec<ActualLrp>, BrainError> {
        let mut state = self.enter()?;
        state.look(guid.as_str());
        Ok(state.actual.get(guid.as_str()).cloned().unwrap_or_default())
    }

    async fn retire(&self, _: &ProcessGuid, _: u32) -> Result<(), BrainError> {
        Ok(())
    }

    async fn progress_of(&self, guid: &ProcessGuid) -> Result<Vec<InstanceProgress>, BrainError> {
        let state = self.enter()?;
        let looks = state.looks.get(guid.as_str()).copied().unwrap_or_default();
        let step = match looks {
            2 => ProgressStep::Pulling { bytes_done: 1_000, bytes_total: 2_048 },
            3 => ProgressStep::Pulling { bytes_done: 2_048, bytes_total: 2_048 },
            4 => ProgressStep::Creating,
            5 => ProgressStep::Starting,
            _ => return Ok(vec![]),
        };
        let all = state.actual.get(guid.as_str()).into_iter().flatten();
        let claimed = all.filter(|a| matches!(a.state, ActualState::Claimed { .. }));
        let progress = |a: &ActualLrp| InstanceProgress {
            index: a.key.index,
            cell_id: CellId::new("cell-1").unwrap(),
            step: step.clone(),
        };
        Ok(claimed.map(progress).collect())
    }

    async fn explain(&self, guid: &ProcessGuid, index: u32) -> Result<Explanation, BrainError> {
        let state = self.enter()?;
        let lrp = state.desired.get(guid.as_str()).ok_or_else(|| no_lrp(guid))?;
        match state.explanation.clone().filter(|_| index < lrp.instances) {
            Some(explanation) => Ok(explanation),
            None => Err(Refusal::new(ErrorName::ActualLRPIndexNotFound, "no such index").into()),
        }
    }

    async fn desire_task(&self, _: TaskDefinition) -> Result<(), BrainError> {
        unreachable!("ltc submits tasks as they are")
    }

    async fn task(&self, guid: &TaskGuid) -> Result<Task, BrainError> {
        self.enter()?.tasks.get(guid.as_str()).cloned().ok_or_else(|| no_task(guid))
    }

    async fn tasks(&self, _: Option<&Domain>) -> Result<Vec<Task>, BrainError> {
        Ok(self.enter()?.tasks.values().cloned().collect())
    }

    async fn cancel_task(&self, guid: &TaskGuid) -> Result<(), BrainError> {
        let mut state = self.enter()?;
        let is_stuck = matches!(state.fate, Fate::Stuck);
        let task = state.tasks.get_mut(guid.as_str()).ok_or_else(|| no_task(guid))?;
        if matches!(task.state, TaskState::Completed(_) | TaskState::Resolving(_)) {
            let words = "Cannot transition from Completed to Completed";
            return Err(Refusal::new(ErrorName::UnknownError, words).into());
        }
        let failure_reason = "task was cancelled".to_owned();
        let outcome = TaskOutcome { failed: true, failure_reason, result: String::new() };
        if !is_stuck {
            task.state = TaskState::Completed(outcome);
        }
        Ok(())
    }

    async fn delete_task(&self, guid: &TaskGuid) -> Result<(), BrainError> {
        self.enter()?.tasks.remove(guid.as_str()).map(drop).ok_or_else(|| no_task(guid))
    }

    async fn cells(&self) -> Result<Vec<CellPresence>, BrainError> {
        Ok(self.enter()?.cells.clone())
    }

    async fn drain_cell(&self, cell: &CellId, how: DrainRequest) -> Result<MovePlan, BrainError> {
        let mut state = self.enter()?;
        if !state.cells.iter().any(|known| known.cell_id == *cell) {
            let words = format!("there is no cell '{cell}'; `ltc cells` lists those there are");
            return Err(Refusal::new(ErrorName::CellNotFound, words).into());
        }
        if !how.dry_run {
            state.moves.begin(cell);
        }
        Ok(state.moves.plan.clone())
    }

    async fn undrain_cell(&self, cell: &CellId) -> Result<(), BrainError> {
        match self.enter()?.moves.draining.take_if(|draining| draining == cell) {
            Some(_) => Ok(()),
            None => Err(Refusal::new(ErrorName::CellNotFound, "cell is not draining").into()),
        }
    }

    async fn rebalance(&self, how: RebalanceRequest) -> Result<MovePlan, BrainError> {
        let mut state = self.enter()?;
        if !how.dry_run {
            state.moves.turns_left = state.moves.plan.moves.len();
        }
        Ok(state.moves.plan.clone())
    }

    async fn moves(&self) -> Result<Moves, BrainError> {
        Ok(self.enter()?.moves.look())
    }

    async fn images(&self) -> Result<Vec<CellImages>, BrainError> {
        Ok(self.enter()?.kept_images.clone())
    }

    async fn usage_of(&self, _: &ProcessGuid) -> Result<Vec<CellUsage>, BrainError> {
        Ok(self.enter()?.usage.clone())
    }

    async fn prune_images(&self) -> Result<Vec<CellPruned>, BrainError> {
        let mut state = self.enter()?;
        let prune = |cell: &mut CellImages| {
            let (kept, gone): (Vec<_>, Vec<_>) =
                cell.stock.images.drain(..).partition(|image| image.in_use);
            cell.stock.images = kept;
            let pruned = PrunedImages {
                layers: gone.iter().map(|image| image.layers).sum(),
                bytes: gone.iter().map(|image| image.bytes).sum(),
                images: gone.into_iter().map(|image| image.name).collect(),
            };
            CellPruned { cell_id: cell.cell_id.clone(), pruned, error: cell.error.clone() }
        };
        Ok(state.kept_images.iter_mut().map(prune).collect())
    }

    async fn upsert_domain(&self, domain: Domain, ttl_s: Option<u64>) -> Result<(), BrainError> {
        self.enter()?.domains.push((domain.to_string(), ttl_s));
        Ok(())
    }

    async fn domains(&self) -> Result<Vec<Domain>, BrainError> {
        Ok(vec![])
    }

    async fn version(&self) -> Result<Version, BrainError> {
        Ok(self.enter()?.version.clone())
    }

    async fn put_custom_domain(
        &self,
        domain: CustomDomain,
    ) -> Result<CustomDomainStatus, BrainError> {
        let mut state = self.enter()?;
        if let Some(refusal) = state.refusal.take() {
            return Err(refusal.into());
        }
        let status = certificate_of(&domain.host);
        state.custom_domains.insert(domain.host.clone(), domain);
        Ok(status)
    }

    async fn order_certificate(&self, host: &str) -> Result<CustomDomainStatus, BrainError> {
        let mut state = self.enter()?;
        if let Some(refusal) = state.refusal.take() {
            return Err(refusal.into());
        }
        state.ordered = Some(host.to_owned());
        Ok(state.order_looks.pop_front().expect("the test has scripted an order"))
    }

    async fn custom_domains(&self) -> Result<Vec<CustomDomainStatus>, BrainError> {
        let mut state = self.enter()?;
        if let Some(look) = state.order_looks.pop_front() {
            return Ok(vec![look]);
        }
        Ok(state.custom_domains.keys().map(|host| certificate_of(host)).collect())
    }

    async fn remove_custom_domain(&self, host: &str) -> Result<(), BrainError> {
        let words = format!("there is no custom domain '{host}'");
        let gone = self.enter()?.custom_domains.remove(host).map(drop);
        gone.ok_or_else(|| Refusal::new(ErrorName::CustomDomainNotFound, words).into())
    }

    async fn put_registry_credentials(&self, c: RegistryCredentials) -> Result<(), BrainError> {
        let mut state = self.enter()?;
        state.registries.retain(|known| known.registry != c.registry);
        state.registries.push(c);
        Ok(())
    }

    async fn registry_accounts(&self) -> Result<Vec<RegistryAccount>, BrainError> {
        let account = |c: &RegistryCredentials| RegistryAccount {
            registry: c.registry.clone(),
            username: c.username.clone(),
        };
        Ok(self.enter()?.registries.iter().map(account).collect())
    }

    async fn remove_registry_credentials(&self, registry: &str) -> Result<(), BrainError> {
        let mut state = self.enter()?;
        let found = state.registries.iter().position(|c| c.registry == registry);
        let words = format!("no credentials are kept for the registry '{registry}'");
        let at = found.ok_or_else(|| Refusal::new(ErrorName::RegistryNotFound, words))?;
        state.registries.remove(at);
        Ok(())
    }

    async fn events(&self, _: Option<EventId>) -> Result<EventStream, BrainError> {
        unreachable!("ltc polls")
    }
}

#[async_trait]
impl RawSubmit for Client {
    async fn submit(&self, path: &str, json: &[u8]) -> Result<(), BrainError> {
        let text = String::from_utf8(json.to_vec()).unwrap();
        self.enter()?.submitted.push((path.to_owned(), text));
        Ok(())
    }
}

#[async_trait]
impl LogReader for Client {
    async fn stream(&self, _: &str) -> Result<EnvelopeStream, LogError> {
        let mut state = self.platform.state();
        if state.streams.is_empty() {
            return Err(LogError::Unauthorized("the test is over".to_owned()));
        }
        let lines = state.streams.remove(0)?;
        Ok(futures_util::stream::iter(lines.into_iter().map(Ok)).boxed())
    }

    async fn recent(&self, _: &str) -> Result<Vec<Envelope>, LogError> {
        Ok(self.platform.state().recent.clone())
    }

    async fn container_metrics(&self, _: &str) -> Result<Vec<Envelope>, LogError> {
        Ok(vec![])
    }
}

#[async_trait]
impl ImageGateway for Client {
    async fn inspect(
        &self,
        image: &ImageRef,
        access: &RegistryAccess,
    ) -> Result<ImageMetadata, ImageError> {
        let mut state = self.platform.state();
        state.inspected.push((image.to_string(), access.clone()));
        let found = state.images.get(&image.to_string()).cloned();
        found.unwrap_or_else(|| Err(ImageError::NotFound(image.to_string())))
    }

    async fn push(
        &self,
        _: &Path,
        _: &str,
        progress: PushProgress<'_>,
    ) -> Result<PushedImage, ImageError> {
        progress(512, 1_024);
        progress(1_024, 1_024);
        let image = self.platform.state().pushed.clone()?;
        let notes = vec!["a socket was left out".to_owned()];
        Ok(PushedImage { image, blobs_sent: 2, blobs_skipped: 1, notes })
    }

    async fn check(&self, _: &RegistryCredentials) -> Result<(), ImageError> {
        self.platform.state().login_answer.take().map_or(Ok(()), Err)
    }

    async fn credentials_for(
        &self,
        registry: &str,
    ) -> Result<Option<RegistryCredentials>, ImageError> {
        let state = self.platform.state();
        Ok(state.docker_config.iter().find(|c| c.registry == registry).cloned())
    }
}

// === things ===

pub(crate) fn cell(id: &str) -> CellPresence {
    CellPresence {
        cell_id: CellId::new(id).unwrap(),
        rep_url: String::new(),
        zone: "z1".to_owned(),
        capacity: Resources { memory_mb: 4_096, disk_mb: 10_240, containers: 256 },
        rootfs_providers: lattice_model::cell::RootfsProviders::default(),
        placement_tags: vec![],
        optional_placement_tags: vec![],
        volume_drivers: vec![],
        labels: lattice_model::cell::CellLabels::default(),
        fault: String::new(),
        warnings: Vec::new(),
    }
}

pub(crate) fn instance_key() -> InstanceKey {
    InstanceKey {
        instance_guid: InstanceGuid::new("guid-1").unwrap(),
        cell_id: CellId::new("cell-1").unwrap(),
    }
}

pub(crate) fn actual(guid: &str, index: u32, state: ActualState) -> ActualLrp {
    ActualLrp {
        key: LrpKey {
            process_guid: ProcessGuid::new(guid).unwrap(),
            index,
            domain: Domain::new("lattice").unwrap(),
        },
        presence: Presence::Ordinary,
        state,
        since: Time::from_secs(937),
        crash_count: 0,
        crash_reason: String::new(),
        modification_tag: ModificationTag::default(),
    }
}

pub(crate) fn metadata() -> ImageMetadata {
    ImageMetadata {
        user: "lattice".to_owned(),
        cmd: vec!["/lattice-app".to_owned()],
        exposed_ports: vec![8080],
        ..ImageMetadata::default()
    }
}

pub(crate) fn task(guid: &str, state: TaskState) -> Task {
    Task {
        definition: TaskDefinition {
            task_guid: TaskGuid::new(guid).unwrap(),
            domain: Domain::new("lattice").unwrap(),
            containers: vec![],
            log: Default::default(),
            result_file: String::new(),
            completion_callback_url: String::new(),
            annotation: String::new(),
            placement_tags: vec![],
            volume_drivers: vec![],
            placement: lattice_model::Placement::default(),
            egress_rules: vec![],
        },
        state,
        created_at: Time::from_secs(900),
        updated_at: Time::from_secs(900),
        rejections: 0,
        rejection_reason: String::new(),
        placement_detail: String::new(),
    }
}

pub(crate) fn line(text: &str) -> Envelope {
    let log = Log::out("APP".into(), text);
    Envelope::log("web".into(), "0".into(), Time::from_secs(0), log)
}

/// What the first instance uses.
pub(crate) fn usage() -> CellUsage {
    let InstanceKey { instance_guid, cell_id } = instance_key();
    let measured = Measurement {
        measured_at: Time::from_secs(999),
        cpu_percentage: 1.234,
        cpu_entitlement_percentage: 50.0,
        memory_bytes: 3_460_301,
        memory_bytes_quota: 128 << 20,
        disk_bytes: 2_097_152,
        disk_bytes_quota: 0,
        received_bytes: 1_048_576,
        sent_bytes: 2048,
        age_ns: 65_000_000_000,
    };
    let instances = vec![InstanceUsage { index: 0, instance_guid, measured }];
    CellUsage { cell_id, instances, error: String::new() }
}

/// A certificate that is good for some days yet, as the platform tells it.
pub(crate) fn certificate_of(host: &str) -> CustomDomainStatus {
    CustomDomainStatus {
        host: host.to_owned(),
        state: CertificateState::Valid,
        certificate: Some(CertificateFacts {
            names: vec![host.to_owned()],
            issuer: "CN=Some authority".to_owned(),
            not_before: Time::from_secs(0),
            not_after: Time::from_secs(1_000 + 20 * 86_400),
        }),
        order: None,
        warning: "the certificate ends in 20 days; renew it".to_owned(),
    }
}
