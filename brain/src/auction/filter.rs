//! Which cells may run a thing at all (section 1.5), and which should.

use std::collections::BTreeSet;

use lattice_model::actual_lrp::PlacementError;
use lattice_model::cell::RootfsProviders;
use lattice_model::placement::{AppRule, LabelRule, LabelTest, Placement, Relation, Rule};
use lattice_model::{CellPresence, ContainerSpec};

use super::apps::Apps;
use super::score::{Score, affinity};

/// What work demands of a cell beyond what is free there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Constraint {
    rootfs: BTreeSet<String>,
    drivers: BTreeSet<String>,
    tags: BTreeSet<String>,
    labels: Vec<(LabelRule, Force)>,
    apps: Vec<(AppRule, Force)>,
}

/// How strictly a rule is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Force {
    /// A cell that breaks it is not taken.
    Must,
    /// A cell that follows it is preferred, so much.
    Should(u8),
}

/// What is asked of a cell, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// It can make the root filesystem.
    Rootfs,
    /// It offers the volume drivers.
    Drivers,
    /// It has the tags, and requires no others.
    Tags,
    /// Its labels keep the rules.
    Labels,
}

/// The filters in their order.
pub(super) const FILTERS: [Filter; 4] =
    [Filter::Rootfs, Filter::Drivers, Filter::Tags, Filter::Labels];

/// A [`Constraint`], ready to be asked of many cells.
#[derive(Debug)]
pub(super) struct Judge {
    constraint: Constraint,
    tests: Vec<(String, LabelTest, Force)>,
    /// What is asked about other apps, by their numbers.
    pub(super) neighbours: Vec<Neighbour>,
}

/// A rule about another app.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbour {
    pub(super) app: usize,
    pub(super) relation: Relation,
    pub(super) force: Force,
}

// === impl Constraint ===

impl Constraint {
    pub(super) fn new(
        containers: &[ContainerSpec],
        drivers: &[String],
        tags: &[String],
        placement: &Placement,
    ) -> Self {
        let musts = placement.constraints.iter().map(|rule| (rule, Force::Must));
        let shoulds = placement.affinities.iter().map(|a| (&a.rule, Force::Should(a.weight)));
        let (mut labels, mut apps) = (Vec::new(), Vec::new());
        for (rule, force) in musts.chain(shoulds) {
            match rule {
                Rule::Label(rule) => labels.push((rule.clone(), force)),
                Rule::App(rule) => apps.push((rule.clone(), force)),
            }
        }
        let rootfs = containers.iter().map(|container| demand_on_rootfs(&container.rootfs));
        Self {
            rootfs: rootfs.collect(),
            drivers: drivers.iter().cloned().collect(),
            tags: tags.iter().cloned().collect(),
            labels,
            apps,
        }
    }
}

// === impl Judge ===

impl Judge {
    /// Apps that have no number are nowhere.
    pub(super) fn new(constraint: Constraint, apps: &Apps<'_>) -> Self {
        let test = |(rule, force): &(LabelRule, Force)| {
            // A pattern that does not compile is refused where work is accepted.
            rule.compile().ok().map(|test| (rule.label.clone(), test, *force))
        };
        let tests = constraint.labels.iter().filter_map(test).collect();
        let neighbour = |(rule, force): &(AppRule, Force)| {
            let (relation, force) = (rule.relation, *force);
            apps.get(&rule.app).map(|app| Neighbour { app, relation, force })
        };
        let neighbours = constraint.apps.iter().filter_map(neighbour).collect();
        Self { constraint, tests, neighbours }
    }

    /// The labels it asks about.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.tests.iter().map(|(label, _, _)| label.as_str())
    }

    /// True where a cell's other apps may forbid it.
    pub(super) fn has_musts(&self) -> bool {
        self.neighbours.iter().any(|neighbour| neighbour.force == Force::Must)
    }

    /// How many filters the cell passes before the first that it does not.
    pub(super) fn passed(&self, cell: &CellPresence) -> usize {
        FILTERS.iter().take_while(|filter| self.passes(**filter, cell)).count()
    }

    pub(super) fn passes(&self, filter: Filter, cell: &CellPresence) -> bool {
        let Constraint { rootfs, drivers, tags, .. } = &self.constraint;
        match filter {
            Filter::Rootfs => rootfs.iter().all(|name| is_provided(name, &cell.rootfs_providers)),
            Filter::Drivers => drivers.iter().all(|name| cell.volume_drivers.contains(name)),
            Filter::Tags => are_tags_met(tags, cell),
            Filter::Labels => self.tests.iter().all(|(label, test, force)| match force {
                Force::Must => is_met(cell, label, test),
                Force::Should(_) => true,
            }),
        }
    }

    /// What the cell's labels add to its score.
    pub(super) fn preference(&self, cell: &CellPresence) -> Score {
        let weight = |(label, test, force): &(String, LabelTest, Force)| match force {
            Force::Should(weight) if is_met(cell, label, test) => affinity(*weight),
            Force::Should(_) | Force::Must => 0,
        };
        self.tests.iter().map(weight).sum()
    }

    /// Why there is no cell, when this is the first filter that none of those left passes.
    pub(super) fn refusal(&self, filter: Filter, cells: usize) -> PlacementError {
        let Constraint { rootfs, drivers, tags, .. } = &self.constraint;
        let (what, detail) = match filter {
            Filter::Rootfs => {
                ("for required rootfs".to_owned(), format!("can make {}", listed(rootfs)))
            }
            Filter::Drivers => (
                "with required volume drivers".to_owned(),
                format!("that fit otherwise offers {}", listed(drivers)),
            ),
            Filter::Tags => {
                let what = match counted("placement tag", tags.iter()) {
                    Some(tags) => format!("with {tags}"),
                    None => "with no placement tags".to_owned(),
                };
                let detail = "that fit otherwise has these tags, required and optional ones \
                              included";
                (what, detail.to_owned())
            }
            Filter::Labels => {
                let rules = self.constraint.labels.iter().filter(|(_, f)| *f == Force::Must);
                return broken(rules.map(|(rule, _)| Rule::Label(rule.clone())), cells);
            }
        };
        PlacementError {
            reason: format!("found no compatible cell {what}"),
            detail: format!("none of {cells} cells {detail}"),
        }
    }
}

/// Why there is no cell, when the cells that pass all filters stand badly to other apps.
pub(super) fn ill_placed(judge: &Judge, cells: usize) -> PlacementError {
    let rules = judge.constraint.apps.iter().filter(|(_, force)| *force == Force::Must);
    broken(rules.map(|(rule, _)| Rule::App(rule.clone())), cells)
}

fn broken(rules: impl Iterator<Item = Rule>, cells: usize) -> PlacementError {
    let rules: Vec<_> = rules.map(|rule| rule.to_string()).collect();
    let rules = counted("placement constraint", rules.iter()).unwrap_or_default();
    PlacementError {
        reason: format!("found no compatible cell for {rules}"),
        detail: format!("none of {cells} cells that fit otherwise keeps it"),
    }
}

fn is_met(cell: &CellPresence, label: &str, test: &LabelTest) -> bool {
    test.passes(cell.labels.get(label))
}

/// What a cell requires must be asked for, and what is asked for it must have.
fn are_tags_met(tags: &BTreeSet<String>, cell: &CellPresence) -> bool {
    let has = |tag: &String| {
        cell.placement_tags.contains(tag) || cell.optional_placement_tags.contains(tag)
    };
    cell.placement_tags.iter().all(|tag| tags.contains(tag)) && tags.iter().all(has)
}

/// `thing "a"`, `things "a", "b" and "c"`, or nothing.
fn counted<'a>(thing: &str, names: impl Iterator<Item = &'a String>) -> Option<String> {
    let quoted: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    match quoted.as_slice() {
        [] => None,
        [name] => Some(format!("{thing} {name}")),
        [first @ .., last] => Some(format!("{thing}s {} and {last}", first.join(", "))),
    }
}

/// The part of a rootfs that providers are asked about: for images the scheme alone, so that
/// different images make one constraint.
fn demand_on_rootfs(rootfs: &str) -> String {
    match rootfs.split_once("://") {
        Some((scheme, _)) => format!("{scheme}:"),
        None => rootfs.to_owned(),
    }
}

fn is_provided(rootfs: &str, providers: &RootfsProviders) -> bool {
    let (scheme, name) = rootfs.split_once(':').unwrap_or((rootfs, ""));
    let name = name.split(['?', '#']).next().unwrap_or_default();
    providers.get(scheme).is_some_and(|names| {
        let mut names = names.peekable();
        names.peek().is_none() || names.any(|known| known == name)
    })
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
