//! Scripts as text: one line a cell, one line a happening.
//!
//! ```text
//! seed 7
//! cell zone=0 memory=1024 containers=20
//! at 1200 desire app=1 instances=3 memory=128 restarts=yes
//! at 9000 kill-cell cell=0 for=20000 containers=lost
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{CellSpec, Ending, Happening, Script, Way, What};

/// Why a text is not a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// Counts from 1; 0 when the whole is meant.
    pub line: usize,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for ScriptError {}

/// The `key=value` parts of a line, taken one by one.
struct Fields<'a>(BTreeMap<&'a str, &'a str>);

// === impl Script ===

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for CellSpec { zone, memory_mb, containers } in &self.cells {
            writeln!(f, "cell zone={zone} memory={memory_mb} containers={containers}")?;
        }
        self.happenings.iter().try_for_each(|one| writeln!(f, "at {} {}", one.at_ms, one.what))
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut script = Self { seed: 0, cells: Vec::new(), happenings: Vec::new() };
        for (line, number) in text.lines().zip(1..) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let fault = |what| ScriptError { line: number, what };
                script.take_line(line).map_err(fault)?;
            }
        }
        if script.cells.is_empty() {
            let what = "there is no line that begins with `cell`".to_owned();
            return Err(ScriptError { line: 0, what });
        }
        script.happenings.sort_by_key(|one| one.at_ms);
        Ok(script)
    }
}

impl Script {
    fn take_line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "seed" => self.seed = number("seed", rest.trim())?,
            "cell" => {
                let mut fields = Fields::of(rest)?;
                let cell = CellSpec {
                    zone: fields.number("zone")?,
                    memory_mb: fields.number("memory")?,
                    containers: fields.number("containers")?,
                };
                fields.end()?;
                self.cells.push(cell);
            }
            "at" => {
                let (at, rest) = rest.trim().split_once(' ').unwrap_or((rest, ""));
                let at_ms = number("at", at)?;
                let (verb, rest) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
                let mut fields = Fields::of(rest)?;
                let what = fields.what(verb)?;
                fields.end()?;
                self.happenings.push(Happening { at_ms, what });
            }
            other => {
                return Err(format!("`{other}` begins no line: seed, cell and at do"));
            }
        }
        Ok(())
    }
}

// === impl What ===

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain { ttl_ms } => write!(f, "domain ttl={ttl_ms}"),
            Self::Desire { app, instances, memory_mb, restarts } => write!(
                f,
                "desire app={app} instances={instances} memory={memory_mb} restarts={}",
                yes(*restarts)
            ),
            Self::Scale { app, instances } => write!(f, "scale app={app} instances={instances}"),
            Self::Remove { app } => write!(f, "remove app={app}"),
            Self::Retire { app, index } => write!(f, "retire app={app} index={index}"),
            Self::Crash { app, index } => write!(f, "crash app={app} index={index}"),
            Self::Task { task, memory_mb, runs_ms, ends, has_owner } => write!(
                f,
                "task task={task} memory={memory_mb} runs={runs_ms} ends={} owner={}",
                ends.name(),
                yes(*has_owner)
            ),
            Self::Cancel { task } => write!(f, "cancel task={task}"),
            Self::Drain { cell, for_ms, at_once } => {
                write!(f, "drain cell={cell} for={for_ms} at-once={at_once}")
            }
            Self::Rebalance { moves } => write!(f, "rebalance moves={moves}"),
            Self::Weather { for_ms, lost, doubled, late, late_ms } => write!(
                f,
                "weather for={for_ms} lost={lost} doubled={doubled} late={late} by={late_ms}"
            ),
            Self::Cut { cell, for_ms, way } => {
                write!(f, "cut cell={cell} for={for_ms} way={}", way.name())
            }
            Self::KillBrain { for_ms, keeps_commit } => {
                write!(f, "kill-brain for={for_ms} commit={}", kept(*keeps_commit))
            }
            Self::FailStore { commits } => write!(f, "fail-store commits={commits}"),
            Self::KillCell { cell, for_ms, keeps_containers } => write!(
                f,
                "kill-cell cell={cell} for={for_ms} containers={}",
                kept(*keeps_containers)
            ),
            Self::Leave { cell, for_ms } => write!(f, "leave cell={cell} for={for_ms}"),
        }
    }
}

const fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

const fn kept(is: bool) -> &'static str {
    if is { "kept" } else { "lost" }
}

impl Ending {
    const ALL: [Self; 3] = [Self::Succeeds, Self::Fails, Self::NeverStarts];

    /// As the text has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeds => "well",
            Self::Fails => "badly",
            Self::NeverStarts => "never-starts",
        }
    }

    /// From the text.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

impl Way {
    const ALL: [Self; 3] = [Self::Both, Self::ToBrain, Self::FromBrain];

    const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::ToBrain => "to-brain",
            Self::FromBrain => "from-brain",
        }
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        let mut fields = BTreeMap::new();
        for part in text.split_whitespace() {
            let (key, value) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is not KEY=VALUE"))?;
            if fields.insert(key, value).is_some() {
                return Err(format!("`{key}` is there twice"));
            }
        }
        Ok(Self(fields))
    }

    fn what(&mut self, verb: &str) -> Result<What, String> {
        Ok(match verb {
            "domain" => What::Domain { ttl_ms: self.number("ttl")? },
            "desire" => What::Desire {
                app: self.number("app")?,
                instances: self.number("instances")?,
                memory_mb: self.number("memory")?,
                restarts: self.one_of("restarts", &[("yes", true), ("no", false)])?,
            },
            "scale" => {
                What::Scale { app: self.number("app")?, instances: self.number("instances")? }
            }
            "remove" => What::Remove { app: self.number("app")? },
            "retire" => What::Retire { app: self.number("app")?, index: self.number("index")? },
            "crash" => What::Crash { app: self.number("app")?, index: self.number("index")? },
            "task" => What::Task {
                task: self.number("task")?,
                memory_mb: self.number("memory")?,
                runs_ms: self.number("runs")?,
                ends: self.one_of("ends", &Ending::ALL.map(|one| (one.name(), one)))?,
                has_owner: self.one_of("owner", &[("yes", true), ("no", false)])?,
            },
            "drain" => What::Drain {
                cell: self.number("cell")?,
                for_ms: self.number("for")?,
                at_once: self.number("at-once")?,
            },
            "rebalance" => What::Rebalance { moves: self.number("moves")? },
            "cancel" => What::Cancel { task: self.number("task")? },
            _ => return self.fault(verb),
        })
    }

    fn fault(&mut self, verb: &str) -> Result<What, String> {
        const KEPT: [(&str, bool); 2] = [("kept", true), ("lost", false)];
        Ok(match verb {
            "weather" => What::Weather {
                for_ms: self.number("for")?,
                lost: self.number("lost")?,
                doubled: self.number("doubled")?,
                late: self.number("late")?,
                late_ms: self.number("by")?,
            },
            "cut" => What::Cut {
                cell: self.number("cell")?,
                for_ms: self.number("for")?,
                way: self.one_of("way", &Way::ALL.map(|way| (way.name(), way)))?,
            },
            "kill-brain" => What::KillBrain {
                for_ms: self.number("for")?,
                keeps_commit: self.one_of("commit", &KEPT)?,
            },
            "fail-store" => What::FailStore { commits: self.number("commits")? },
            "kill-cell" => What::KillCell {
                cell: self.number("cell")?,
                for_ms: self.number("for")?,
                keeps_containers: self.one_of("containers", &KEPT)?,
            },
            "leave" => What::Leave { cell: self.number("cell")?, for_ms: self.number("for")? },
            other => return Err(format!("nothing is called `{other}`")),
        })
    }

    fn take(&mut self, key: &str) -> Result<&'a str, String> {
        self.0.remove(key).ok_or_else(|| format!("`{key}=` is missing"))
    }

    fn number<N: FromStr>(&mut self, key: &str) -> Result<N, String> {
        number(key, self.take(key)?)
    }

    fn one_of<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Result<T, String> {
        let value = self.take(key)?;
        let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let found = choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice);
        found.ok_or_else(|| format!("`{key}={value}` is none of {}", names()))
    }

    fn end(&self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(key) => Err(format!("`{key}=` has no meaning here")),
            None => Ok(()),
        }
    }
}

fn number<N: FromStr>(key: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{key}` wants a number, not `{text}`"))
}
