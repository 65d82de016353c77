//! The small files in the directory of an instance's process: lines of a name, a blank and a value.

use std::path::PathBuf;

/// What an instance's process has to know; the cell writes it before it starts the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The container's name.
    pub id: String,
    /// The OCI runtime's program.
    pub program: PathBuf,
    /// What the program is told before everything else.
    pub arguments: Vec<String>,
    /// True when the program is to see no control groups of version 2: `crun` refuses a machine
    /// that has both.
    pub hides_cgroup2: bool,
    /// Where that program keeps its own records.
    pub root: PathBuf,
    /// The container's control groups, one in each hierarchy.
    pub cgroups: Vec<PathBuf>,
    /// The file where the kernel counts what it killed there for want of memory (`oom_kill N`).
    pub memory_events: PathBuf,
}

/// Who holds an instance: enough to tell it from any process that has its number later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Its process id.
    pub pid: i32,
    /// When it began, as the kernel counts (field 22 of `/proc/PID/stat`).
    pub began: u64,
    /// The machine's boot (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
}

/// Why a file is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A line that must be there is not.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// A value makes no sense.
    #[error("{0} makes no sense")]
    Bad(&'static str),
}

// === impl Settings ===

impl Settings {
    /// As a file. Paths that hold an end of line, or are no UTF-8, are refused.
    pub fn print(&self) -> Result<String, SettingsError> {
        let mut text = String::new();
        line(&mut text, "id", &self.id)?;
        path(&mut text, "program", &self.program)?;
        for argument in &self.arguments {
            line(&mut text, "argument", argument)?;
        }
        if self.hides_cgroup2 {
            line(&mut text, "hides_cgroup2", "yes")?;
        }
        path(&mut text, "root", &self.root)?;
        for cgroup in &self.cgroups {
            path(&mut text, "cgroup", cgroup)?;
        }
        path(&mut text, "memory_events", &self.memory_events)?;
        Ok(text)
    }

    /// Reads such a file; lines that are not known are skipped.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        Ok(Self {
            id: value(text, "id")?.to_owned(),
            program: value(text, "program")?.into(),
            arguments: values(text, "argument").map(str::to_owned).collect(),
            hides_cgroup2: values(text, "hides_cgroup2").any(|value| value == "yes"),
            root: value(text, "root")?.into(),
            cgroups: values(text, "cgroup").map(PathBuf::from).collect(),
            memory_events: value(text, "memory_events")?.into(),
        })
    }
}

// === impl Stamp ===

impl Stamp {
    /// As a file.
    pub fn print(&self) -> String {
        format!("pid {}\nbegan {}\nboot {}\n", self.pid, self.began, self.boot)
    }

    /// Reads such a file; lines that are not known are skipped.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let bad = |name| move |_| SettingsError::Bad(name);
        let pid: i32 = value(text, "pid")?.parse().map_err(bad("pid"))?;
        if pid <= 1 {
            return Err(SettingsError::Bad("pid"));
        }
        Ok(Self {
            pid,
            began: value(text, "began")?.parse().map_err(bad("began"))?,
            boot: value(text, "boot")?.to_owned(),
        })
    }
}

fn path(
    text: &mut String,
    name: &'static str,
    path: &std::path::Path,
) -> Result<(), SettingsError> {
    line(text, name, path.to_str().ok_or(SettingsError::Bad(name))?)
}

fn line(text: &mut String, name: &'static str, value: &str) -> Result<(), SettingsError> {
    if value.is_empty() || value.contains('\n') {
        return Err(SettingsError::Bad(name));
    }
    text.push_str(name);
    text.push(' ');
    text.push_str(value);
    text.push('\n');
    Ok(())
}

fn value<'a>(text: &'a str, name: &'static str) -> Result<&'a str, SettingsError> {
    values(text, name).next().ok_or(SettingsError::Missing(name))
}

fn values<'a>(text: &'a str, name: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter(move |(found, _)| *found == name).map(|(_, value)| value)
}
