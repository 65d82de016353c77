//! One instance's life as a pure state machine: reserved -> initializing -> created -> running ->
//! completed. It says what is to be done; the owner does it.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod harmony;
#[cfg(test)]
mod tests;

use lattice_model::actual_lrp::InstanceEnd;
use lattice_model::task::TaskOutcome;
use lattice_model::{NetInfo, Time};

use self::harmony::{Container, Cure};

/// An instance that was reserved for and has not begun is given up after so many seconds.
pub const RESERVATION_EXPIRES_S: u64 = 60;

/// What kind of work an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An instance of an LRP.
    Lrp,
    /// A task.
    Task,
}

/// Where an instance stands; completed can be reached from each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its resources are taken; the brain has not agreed yet.
    Reserved,
    /// Image, network and container are being made.
    Initializing,
    /// Its container exists; it is not healthy yet.
    Created,
    /// Healthy.
    Running {
        /// How it is reached.
        net: NetInfo,
    },
    /// Over.
    Completed {
        /// How it ended.
        outcome: Outcome,
        /// True when every trace of it is removed.
        is_removed: bool,
        /// True when the brain knows.
        is_told: bool,
    },
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to.
    Stopped,
    /// By itself, and not well.
    Failed {
        /// Why; becomes the crash reason or the task's failure reason.
        reason: String,
        /// True when nothing of the work had begun, so that another cell may try.
        is_retryable: bool,
    },
    /// By itself: its work is done.
    Succeeded {
        /// The content of a task's result file.
        result: String,
    },
}

/// What happens to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The reservation stands; begin.
    Begin,
    /// The brain answered.
    Told(Telling, Answer),
    /// The container exists.
    ContainerCreated,
    /// It is healthy, and is reached like this.
    Healthy(NetInfo),
    /// It is healthy, and may get requests or may not.
    Ready(bool),
    /// Nothing of it runs any more.
    Ended(Outcome),
    /// Someone who may asks it to end.
    StopAsked,
    /// The removal of its traces succeeded or failed.
    Removed {
        /// True when nothing is left.
        is_whole: bool,
    },
    /// Harmonisation found what it needs.
    Cure(Cure),
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell the brain; the answer comes back as [`Input::Told`].
    Tell(Telling),
    /// Make the container and run the work.
    Run,
    /// Announce its routes.
    Announce,
    /// Withdraw its routes.
    Withdraw,
    /// End the work in good order; [`Input::Ended`] follows.
    Stop,
    /// Remove container, network and root filesystem; [`Input::Removed`] follows.
    Remove,
    /// Give its resources back.
    Release,
    /// Forget it.
    Forget,
}

/// What a cell tells the brain about an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// It will be started here.
    Claim,
    /// It is healthy.
    Start(NetInfo),
    /// It ended by itself.
    Crash(InstanceEnd),
    /// It was stopped.
    Remove,
    /// May the task run here?
    StartTask,
    /// The task ended.
    CompleteTask(TaskOutcome),
    /// The task could not begin here.
    RejectTask {
        /// Why.
        reason: String,
    },
}

/// What the brain said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done,
    /// Nothing to do: the task was started already.
    Declined,
    /// Understood, and no.
    Refused,
    /// Nothing that could be understood; not an order.
    Silence,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    kind: Kind,
    state: State,
    since: Time,
    is_stopping: bool,
    has_released: bool,
}

// === impl Instance ===

impl Instance {
    /// One whose resources have just been reserved.
    pub fn reserved(kind: Kind, now: Time) -> Self {
        Self { kind, state: State::Reserved, since: now, is_stopping: false, has_released: false }
    }

    /// One that an earlier process made; `healthy` says how it is reached, where it was.
    pub fn adopted(kind: Kind, healthy: Option<NetInfo>, now: Time) -> Self {
        let state = healthy.map_or(State::Created, |net| State::Running { net });
        Self { state, ..Self::reserved(kind, now) }
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Since when it stands there.
    pub fn since(&self) -> Time {
        self.since
    }

    /// True before it runs: what the auction counts as starting.
    pub fn is_starting(&self) -> bool {
        matches!(self.state, State::Reserved | State::Initializing | State::Created)
    }

    /// True when its end was asked for.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// True when nothing of it runs any more.
    pub fn is_completed(&self) -> bool {
        matches!(self.state, State::Completed { .. })
    }

    /// True when every trace of it is removed.
    pub fn is_removed(&self) -> bool {
        matches!(self.state, State::Completed { is_removed: true, .. })
    }

    /// True when a view that was asked for at `asked_at` says something about it: nothing has
    /// happened to it since, nor is about to.
    pub fn is_settled(&self, asked_at: Time) -> bool {
        let is_ending = self.is_stopping && !self.is_completed();
        !is_ending && self.since < asked_at
    }

    /// Which line of the harmonisation table it is on.
    pub fn container(&self) -> Container {
        match &self.state {
            State::Reserved => Container::Reserved,
            State::Initializing | State::Created => Container::Starting,
            State::Running { .. } => Container::Running,
            State::Completed { outcome: Outcome::Stopped, .. } => Container::Stopped,
            State::Completed { .. } => Container::Ended,
        }
    }

    /// Takes in what happened and says what is to be done, in this order.
    pub fn on(&mut self, input: Input, now: Time) -> Vec<Effect> {
        match input {
            Input::Begin => self.on_begin(),
            Input::Told(telling, answer) => self.on_told(&telling, answer, now),
            Input::ContainerCreated => self.on_container_created(now),
            Input::Healthy(net) => self.on_healthy(net, now),
            Input::Ready(is_ready) => self.on_ready(is_ready),
            Input::Ended(outcome) => self.on_ended(outcome, now),
            Input::StopAsked => self.on_stop_asked(now),
            Input::Removed { is_whole } => self.on_removed(is_whole),
            Input::Cure(cure) => self.on_cure(cure, now),
        }
    }

    fn enter(&mut self, state: State, now: Time) {
        self.state = state;
        self.since = now;
    }

    fn on_begin(&mut self) -> Vec<Effect> {
        match self.state {
            State::Reserved => vec![Effect::Tell(self.opening())],
            State::Initializing
            | State::Created
            | State::Running { .. }
            | State::Completed { .. } => vec![],
        }
    }

    fn opening(&self) -> Telling {
        match self.kind {
            Kind::Lrp => Telling::Claim,
            Kind::Task => Telling::StartTask,
        }
    }

    fn on_told(&mut self, telling: &Telling, answer: Answer, now: Time) -> Vec<Effect> {
        match telling {
            Telling::Claim | Telling::StartTask => self.on_opening_told(answer, now),
            Telling::Start(_) => self.on_start_told(answer, now),
            Telling::Crash(_)
            | Telling::Remove
            | Telling::CompleteTask(_)
            | Telling::RejectTask { .. } => self.on_end_told(answer),
        }
    }

    fn on_opening_told(&mut self, answer: Answer, now: Time) -> Vec<Effect> {
        match (&self.state, answer) {
            (State::Reserved, Answer::Done) => {
                self.enter(State::Initializing, now);
                vec![Effect::Run]
            }
            (State::Reserved, Answer::Refused | Answer::Declined) => self.give_up(now),
            (State::Initializing | State::Created | State::Running { .. }, Answer::Refused) => {
                self.on_stop_asked(now)
            }
            (_, Answer::Silence | Answer::Done | Answer::Declined | Answer::Refused) => vec![],
        }
    }

    fn on_start_told(&mut self, answer: Answer, now: Time) -> Vec<Effect> {
        match (&self.state, answer) {
            // Silence is not an order: what runs is reachable, brain or no brain.
            (State::Running { net }, Answer::Done | Answer::Declined | Answer::Silence)
                if !self.is_stopping && !net.unready =>
            {
                vec![Effect::Announce]
            }
            (State::Running { .. }, Answer::Refused) => self.on_stop_asked(now),
            (_, Answer::Done | Answer::Declined | Answer::Silence | Answer::Refused) => vec![],
        }
    }

    fn on_end_told(&mut self, answer: Answer) -> Vec<Effect> {
        match (&mut self.state, answer) {
            (
                State::Completed { is_told, .. },
                Answer::Done | Answer::Declined | Answer::Refused,
            ) => {
                *is_told = true;
                self.forget_when_over()
            }
            (_, Answer::Done | Answer::Declined | Answer::Silence | Answer::Refused) => vec![],
        }
    }

    fn on_container_created(&mut self, now: Time) -> Vec<Effect> {
        if self.state == State::Initializing {
            self.enter(State::Created, now);
        }
        vec![]
    }

    fn on_healthy(&mut self, net: NetInfo, now: Time) -> Vec<Effect> {
        if !matches!(self.state, State::Initializing | State::Created) {
            return vec![];
        }
        self.enter(State::Running { net: net.clone() }, now);
        match self.kind {
            Kind::Lrp if !self.is_stopping => vec![Effect::Tell(Telling::Start(net))],
            Kind::Lrp | Kind::Task => vec![],
        }
    }

    /// Routes go at once, and come when the brain has been told.
    fn on_ready(&mut self, is_ready: bool) -> Vec<Effect> {
        let State::Running { net } = &mut self.state else { return vec![] };
        if net.unready != is_ready || self.is_stopping {
            return vec![];
        }
        net.unready = !is_ready;
        let told = Effect::Tell(Telling::Start(net.clone()));
        if is_ready { vec![told] } else { vec![Effect::Withdraw, told] }
    }

    fn on_ended(&mut self, outcome: Outcome, now: Time) -> Vec<Effect> {
        if matches!(self.state, State::Completed { .. }) {
            return vec![];
        }
        let outcome = if self.is_stopping { Outcome::Stopped } else { outcome };
        self.enter(State::Completed { outcome, is_removed: false, is_told: false }, now);
        vec![Effect::Withdraw, Effect::Remove]
    }

    fn on_stop_asked(&mut self, now: Time) -> Vec<Effect> {
        match self.state {
            State::Reserved => {
                let outcome = Outcome::Stopped;
                let told = closing(self.kind, &outcome);
                self.is_stopping = true;
                self.enter(State::Completed { outcome, is_removed: true, is_told: false }, now);
                let mut effects = self.release();
                effects.push(Effect::Tell(told));
                effects
            }
            State::Initializing | State::Created | State::Running { .. } if !self.is_stopping => {
                self.is_stopping = true;
                vec![Effect::Withdraw, Effect::Stop]
            }
            State::Initializing
            | State::Created
            | State::Running { .. }
            | State::Completed { .. } => vec![],
        }
    }

    fn on_removed(&mut self, is_whole: bool) -> Vec<Effect> {
        let State::Completed { outcome, is_removed, is_told } = &mut self.state else {
            return vec![];
        };
        *is_removed |= is_whole;
        let telling = (!*is_told).then(|| closing(self.kind, outcome));
        let mut effects = if is_whole { self.release() } else { vec![] };
        match telling {
            Some(telling) => effects.push(Effect::Tell(telling)),
            None => effects.extend(self.forget_when_over()),
        }
        effects
    }

    fn on_cure(&mut self, cure: Cure, now: Time) -> Vec<Effect> {
        match (cure, &self.state) {
            (Cure::Claim, State::Reserved) if self.has_expired(now) => self.give_up(now),
            (Cure::Claim, State::Reserved | State::Initializing | State::Created) => {
                vec![Effect::Tell(self.opening())]
            }
            (Cure::Run, State::Reserved) => {
                self.enter(State::Initializing, now);
                vec![Effect::Run]
            }
            (Cure::Wait, State::Reserved) if self.has_expired(now) => self.give_up(now),
            (Cure::Ask, State::Initializing | State::Created | State::Running { .. }) => {
                vec![Effect::Tell(self.opening())]
            }
            (Cure::Start, State::Running { net }) if !self.is_stopping => {
                vec![Effect::Tell(Telling::Start(net.clone()))]
            }
            (Cure::Discard, State::Reserved) => self.give_up(now),
            (Cure::Discard, State::Initializing | State::Created | State::Running { .. }) => {
                self.on_stop_asked(now)
            }
            (Cure::Discard | Cure::Tell, State::Completed { .. }) => {
                self.finish(cure == Cure::Discard)
            }
            (Cure::Wait | Cure::Claim | Cure::Run | Cure::Ask | Cure::Start | Cure::Tell, _) => {
                vec![]
            }
        }
    }

    /// Brings a completed instance nearer to being forgotten: removal first, then the telling.
    fn finish(&mut self, nobody_wants_to_know: bool) -> Vec<Effect> {
        let State::Completed { outcome, is_removed, is_told } = &mut self.state else {
            return vec![];
        };
        *is_told |= nobody_wants_to_know;
        if !*is_removed {
            return vec![Effect::Remove];
        }
        if *is_told {
            return self.forget_when_over();
        }
        vec![Effect::Tell(closing(self.kind, outcome))]
    }

    /// Ends an instance that has nothing yet but its reservation.
    fn give_up(&mut self, now: Time) -> Vec<Effect> {
        let outcome = Outcome::Stopped;
        self.enter(State::Completed { outcome, is_removed: true, is_told: true }, now);
        self.forget_when_over()
    }

    fn forget_when_over(&mut self) -> Vec<Effect> {
        if !matches!(self.state, State::Completed { is_removed: true, is_told: true, .. }) {
            return vec![];
        }
        let mut effects = self.release();
        effects.push(Effect::Forget);
        effects
    }

    fn release(&mut self) -> Vec<Effect> {
        if std::mem::replace(&mut self.has_released, true) { vec![] } else { vec![Effect::Release] }
    }

    fn has_expired(&self, now: Time) -> bool {
        now.since(self.since).as_secs() >= RESERVATION_EXPIRES_S
    }
}

/// What the brain is told at the end.
fn closing(kind: Kind, outcome: &Outcome) -> Telling {
    match (kind, outcome) {
        (Kind::Lrp, Outcome::Stopped) => Telling::Remove,
        (Kind::Lrp, Outcome::Failed { reason, .. }) => Telling::Crash(reason.clone().into()),
        (Kind::Lrp, Outcome::Succeeded { .. }) => {
            let reason = "Exited with status 0".to_owned();
            Telling::Crash(InstanceEnd { reason, is_success: true })
        }
        (Kind::Task, Outcome::Stopped) => failed("task was cancelled"),
        (Kind::Task, Outcome::Failed { reason, is_retryable: true }) => {
            Telling::RejectTask { reason: reason.clone() }
        }
        (Kind::Task, Outcome::Failed { reason, is_retryable: false }) => failed(reason),
        (Kind::Task, Outcome::Succeeded { result }) => Telling::CompleteTask(TaskOutcome {
            failed: false,
            failure_reason: String::new(),
            result: result.clone(),
        }),
    }
}

fn failed(reason: &str) -> Telling {
    Telling::CompleteTask(TaskOutcome {
        failed: true,
        failure_reason: reason.to_owned(),
        result: String::new(),
    })
}
