//! Who someone is inside a container, and what is started for them: they are the app's user, in its
//! home, with the app's environment.

use std::sync::Arc;

use lattice_model::Action;
use lattice_model::action::{EnvVar, Run};

use super::wanted::Wanted;
use crate::actions::Place;
use crate::environment;
use crate::inside;
use crate::lifecycle::adoption;
use crate::pod::Role;
use crate::rep::Handle;
use crate::rootfs_files::ResolvedUser;
use crate::runtime::{Attached, ContainerId, ProcessSpec, RuntimeError, WindowSize};
use crate::work::Work;

/// The shells, the best first (spec D).
const SHELLS: [&str; 5] = ["/bin/bash", "/usr/local/bin/bash", "/bin/sh", "bash", "sh"];
/// The language, where the app does not say (spec D).
const LANG: &str = "en_US.UTF8";

/// Someone in a container.
pub(super) struct Guest {
    place: Arc<Place>,
    user: ResolvedUser,
    /// What the app's own process has in its environment besides.
    env: Vec<EnvVar>,
}

/// What someone wants to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    /// A shell to talk to.
    Shell,
    /// A command for a shell.
    Command(String),
    /// The file server.
    Files,
    /// A connection to a host and port.
    Connection(String, u16),
}

/// How it is started.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    /// What the client adds to the environment.
    pub(super) env: Vec<EnvVar>,
    /// The kind of terminal and its size, where there is one.
    pub(super) terminal: Option<(String, WindowSize)>,
}

// === impl Guest ===

impl Guest {
    /// Finds the container that is wanted; an error says why there is none.
    pub(super) async fn of(cell: &Handle, wanted: &Wanted) -> Result<Self, String> {
        let work = cell.find(wanted.instance.clone()).await;
        let work = work.ok_or("there is no such instance here, or it has no container yet")?;
        let (container, run) = program(&work, wanted.member.as_deref())?;
        let place = adoption::place_of(&cell.tools, &work, container)?;
        let user = run.as_ref().map_or("", |run| run.user.as_str());
        let user = if user.is_empty() { &place.image.user } else { user };
        let user = place.files.resolve_user(&place.rootfs, user).await;
        let user = user.map_err(|error| error.to_string())?;
        let env = run.map(|run| run.env).unwrap_or_default();
        Ok(Self { place, user, env })
    }

    /// Where they are.
    pub(super) fn container(&self) -> &ContainerId {
        &self.place.id
    }

    /// Starts it; an error is for the one who wanted it.
    pub(super) async fn start(
        &self,
        program: &Program,
        manner: &Manner,
    ) -> Result<Attached, RuntimeError> {
        let place = &self.place;
        // A home that no layer brings is made, as a working directory is.
        let is_there = match place.on_host(&self.user.ids) {
            Ok(owner) => place.files.make_dir(&place.rootfs, &self.user.home, &owner).await.is_ok(),
            Err(_) => false,
        };
        let dir = if is_there { self.user.home.as_str() } else { "/" };
        let mut outcome = Err(RuntimeError::Unavailable(
            "the image has no shell; name a program of it, with its whole path".to_owned(),
        ));
        for argv in candidates(program) {
            let size = manner.terminal.as_ref().map(|(_, size)| *size);
            let spec = self.spec(argv, dir, manner);
            match place.runtime.attach(&place.id, spec, size).await {
                Err(error @ RuntimeError::NotExecutable { .. }) => {
                    // What is said of a shell that is not there is of no use to anybody.
                    if !matches!(program, Program::Shell) {
                        outcome = Err(error);
                    }
                }
                other => return other,
            }
        }
        outcome
    }

    fn spec(&self, argv: Vec<String>, dir: &str, manner: &Manner) -> ProcessSpec {
        let (place, user) = (&self.place, &self.user);
        let var = |name: &str, value: &str| EnvVar { name: name.into(), value: value.into() };
        let terminal = manner.terminal.as_ref().map(|(kind, _)| var("TERM", kind));
        let terminal: Vec<EnvVar> = terminal.into_iter().collect();
        let own = [var("LANG", LANG)];
        let layers = [
            &own[..],
            &place.image.env,
            &place.env,
            &self.env,
            &place.network_env,
            &terminal,
            &manner.env,
            // Whatever was said before: the user is this one.
            &[var("HOME", &user.home)],
        ];
        ProcessSpec {
            argv,
            env: environment::assemble(&layers, &user.name, &user.home, user.ids.uid == 0),
            dir: dir.to_owned(),
            user: user.ids.clone(),
            nofile: None,
            nproc: None,
            keep_as: None,
        }
    }
}

/// What is tried, the best first: a command that no shell is there for is taken word by word.
fn candidates(program: &Program) -> Vec<Vec<String>> {
    let shells = SHELLS.iter().map(|shell| (*shell).to_owned());
    match program {
        Program::Shell => shells.map(|shell| vec![shell]).collect(),
        Program::Command(command) => {
            let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
            let shells = shells.map(|shell| vec![shell, "-c".to_owned(), command.clone()]);
            shells.chain((!words.is_empty()).then_some(words)).collect()
        }
        Program::Files => vec![inside::sftp()],
        Program::Connection(host, port) => vec![inside::connect(host, *port)],
    }
}

/// Where a member of an instance runs, and its own process.
fn program(work: &Work, member: Option<&str>) -> Result<(usize, Option<Run>), String> {
    let pod = work.pod();
    let mut programs = pod.programs.iter();
    let found = match member {
        None => programs.next(),
        Some(name) => programs.find(|program| match program.role {
            Role::Main => name == lattice_model::pod::MAIN,
            Role::Sidecar(own) | Role::Container(own) => own == name,
        }),
    };
    let found = found.ok_or_else(|| {
        format!("the instance has no container or sidecar '{}'", member.unwrap_or_default())
    })?;
    Ok((found.container, first_run(found.action).cloned()))
}

fn first_run(action: &Action) -> Option<&Run> {
    match action {
        Action::Run(run) => Some(run),
        Action::Timeout(timeout) => timeout.action.as_deref().and_then(first_run),
        Action::Try(wrapped) => wrapped.action.as_deref().and_then(first_run),
        Action::EmitProgress(emit) => emit.action.as_deref().and_then(first_run),
        Action::Parallel(group) | Action::Serial(group) | Action::Codependent(group) => {
            group.actions.iter().flatten().find_map(first_run)
        }
        Action::Download(_) | Action::Upload(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_for_a_shell_and_without_one_for_itself() {
        let tried = candidates(&Program::Command("/app  -x y".into()));
        assert_eq!((tried[0][0].as_str(), tried[0][2].as_str()), (SHELLS[0], "/app  -x y"));
        assert_eq!(tried.last().unwrap(), &["/app", "-x", "y"]);
        assert_eq!(candidates(&Program::Command(" ".into())).len(), SHELLS.len());
        assert_eq!(candidates(&Program::Shell)[2], ["/bin/sh"]);
        let connection = candidates(&Program::Connection("db".into(), 5432));
        assert_eq!(connection, [["/.lattice/init", "inside", "connect", "db", "5432"]]);
    }

    #[test]
    fn the_first_process_of_a_tree_says_who_the_app_is() {
        let tree = serde_json::json!({"serial": {"actions": [
            {"download": {"from": "x", "to": "y", "user": "root"}},
            {"timeout": {"timeout": 1, "action": {"run": {"path": "/app", "user": "me"}}}},
        ]}});
        let tree: Action = serde_json::from_value(tree).unwrap();
        assert_eq!(first_run(&tree).unwrap().user, "me");
    }
}
