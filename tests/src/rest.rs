//! What there is on the machine while nothing runs in the cell.

use std::collections::BTreeSet;
use std::path::Path;

use crate::appliance::Appliance;
use crate::{PATIENCE, eventually, expect, machine};

/// How many networks an appliance keeps ready.
const SPARES: usize = 8;
/// What the names of the networks begin with that are made in advance; which of the subnet's
/// addresses one has comes then.
const SPARE: &str = "-spare-";
/// The kernel chooses ports from here on.
const CHOSEN_MIN: u16 = 32768;
/// Where a cell keeps what belongs to instances.
const DIRECTORIES: [&str; 7] =
    ["instances", "containers", "oci", "rootfs", "netns", "userns", "network"];

/// All of it, as words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    things: BTreeSet<String>,
    spares: usize,
}

// === impl Rest ===

impl Rest {
    /// What there is while nothing runs, once all networks are made that are made in advance.
    pub fn complete(lattice: &Appliance) -> Self {
        eventually("the spare networks are made", PATIENCE, || {
            let rest = Self::of(lattice);
            expect(rest.is_complete(), rest.clone()).map(|()| rest)
        })
    }

    /// What there is now. Networks that are made in advance differ from one time to the next, and
    /// are only counted.
    pub fn of(lattice: &Appliance) -> Self {
        let dir = lattice.data_dir();
        let spares = spares(&dir);
        let mut things = machine::traces(&dir);
        things.extend(DIRECTORIES.iter().flat_map(|name| files(&dir.join(name))));
        things.extend(ports());
        things.extend(machine::processes(&dir).into_iter().map(|line| format!("process {line}")));
        things.extend(machine::executed(&dir).into_iter().map(|line| format!("inside {line}")));
        let rules = machine::run("nft", &["list", "ruleset"]);
        things.extend(rules.lines().map(|rule| format!("rule {}", rule.trim())));
        let is_spare = |thing: &String| {
            let link = thing.strip_prefix("link ").and_then(|link| link.split('@').next());
            let offset = link.and_then(|link| link.split_once('-')).map(|(_, offset)| offset);
            thing.contains(&format!("/{SPARE}"))
                || offset.is_some_and(|offset| spares.contains(offset))
        };
        things.retain(|thing| !is_spare(thing));
        Self { things: things.into_iter().collect(), spares: spares.len() }
    }

    /// True when all networks are made that are made in advance.
    pub fn is_complete(&self) -> bool {
        self.spares == SPARES
    }

    /// What is there now and was not, and what was there and is not.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let new = self.things.difference(&before.things).map(|thing| format!("+ {thing}"));
        let gone = before.things.difference(&self.things).map(|thing| format!("- {thing}"));
        let mut differences: Vec<String> = new.chain(gone).collect();
        if self.spares != before.spares {
            differences.push(format!("{} spare networks, not {}", self.spares, before.spares));
        }
        differences
    }
}

/// Which of the subnet's addresses the networks have that are made in advance.
fn spares(data_dir: &Path) -> BTreeSet<String> {
    let names = files(&data_dir.join("netns"));
    names.iter().filter_map(|file| Some(file.rsplit_once(SPARE)?.1.to_owned())).collect()
}

/// What is listened on; ports that the kernel chose differ from one start to the next, and are only
/// counted.
fn ports() -> Vec<String> {
    let is_chosen = |at: &String| {
        let port = at.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        port.is_some_and(|port| port >= CHOSEN_MIN)
    };
    let (chosen, fixed): (Vec<_>, Vec<_>) = machine::listening().into_iter().partition(is_chosen);
    let chosen = format!("{} ports that the kernel chose", chosen.len());
    fixed.into_iter().map(|at| format!("port {at}")).chain([chosen]).collect()
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| format!("file {}", entry.path().display())).collect()
}
