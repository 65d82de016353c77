//! Cells that the batch cannot tell apart but by how full they are.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt as _};
use lattice_model::{CellPresence, Resources};

use super::filter::{FILTERS, Filter, Judge};
use super::fleet::{Cell, Fleet};
use super::score::{Scale, Score};

/// The cells that take work, in cohorts.
#[derive(Debug)]
pub(super) struct Cohorts {
    /// By zone, size and kind.
    pub(super) all: Vec<Cohort>,
    /// Which cohort each cell is in; `None` for one that takes no work.
    pub(super) of: Vec<Option<u32>>,
    /// What each judge says of them.
    pub(super) verdicts: Vec<Verdict>,
}

/// Cells of one zone and size, of which every judge says the same.
#[derive(Debug)]
pub(super) struct Cohort {
    pub(super) zone: u32,
    pub(super) scale: Scale,
    /// Its cells by position.
    pub(super) cells: Vec<u32>,
    size: u32,
    kind: usize,
}

/// Whom a judge lets pass.
#[derive(Debug)]
pub(super) struct Verdict {
    /// By kind: what the labels add to the score, for those that pass.
    kinds: Vec<Option<Score>>,
    /// The cohorts that pass, by zone.
    pub(super) zones: Vec<(u32, Vec<Candidate>)>,
    /// The first filter that no cell passes of those that passed all before it.
    pub(super) blocked_by: Option<Filter>,
}

/// A cohort that passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) cohort: u32,
    /// Cohorts of one size have one number.
    pub(super) size: u32,
    /// What the labels add to the score.
    pub(super) preference: Score,
}

// === impl Cohorts ===

impl Cohorts {
    pub(super) fn new<'a>(fleet: &Fleet<'a>, judges: &'a [Judge]) -> Self {
        let mut kinds = Kinds::new(judges);
        let mut sizes: HashMap<Resources, u32> = HashMap::new();
        let open = (0..).zip(&fleet.cells).filter(|(_, cell)| !cell.is_evacuating);
        let member = |(position, cell): (u32, &Cell<'a>)| {
            let next = u32::try_from(sizes.len()).expect("no more sizes than cells");
            let size = *sizes.entry(cell.presence.capacity).or_insert(next);
            ((cell.zone, size, kinds.of(cell.presence)), position)
        };
        let mut members: Vec<_> = open.map(member).collect();
        members.sort_unstable();
        let mut of = vec![None; fleet.cells.len()];
        let mut all: Vec<Cohort> = Vec::new();
        for alike in members.chunk_by(|(one, _), (other, _)| one == other) {
            let ((zone, size, kind), first) = alike[0];
            let number = u32::try_from(all.len()).expect("no more cohorts than cells");
            let cells: Vec<u32> = alike.iter().map(|(_, cell)| *cell).collect();
            for cell in &cells {
                of[*cell as usize] = Some(number);
            }
            let scale = Scale::new(fleet.cells[first as usize].presence.capacity);
            all.push(Cohort { zone, scale, cells, size, kind });
        }
        let verdicts = (0..judges.len()).map(|judge| kinds.verdict(judge, &all)).collect();
        Self { all, of, verdicts }
    }
}

// === impl Cohort ===

impl Cohort {
    /// What the cells' labels add to the score, where they pass.
    pub(super) fn preference(&self, verdict: &Verdict) -> Option<Score> {
        verdict.kinds[self.kind]
    }
}

/// What cells say of themselves, and what the judges say to that: each asked once.
struct Kinds<'a> {
    judges: &'a [Judge],
    /// The labels that are asked about, each once.
    labels: Vec<&'a str>,
    known: HashMap<Traits<'a>, usize>,
    /// By kind and judge: the filters passed, and what the labels add.
    findings: Vec<Vec<(usize, Score)>>,
}

/// All of a presence that filters ask about. Nearly every cell has a label of its own, its host's
/// name say, that nobody asks about.
#[derive(PartialEq, Eq, Hash)]
struct Traits<'a> {
    rootfs_providers: &'a BTreeMap<String, Vec<String>>,
    drivers_and_tags: [&'a [String]; 3],
    labels: Vec<Option<&'a String>>,
}

// === impl Kinds ===

impl<'a> Kinds<'a> {
    fn new(judges: &'a [Judge]) -> Self {
        let mut labels: Vec<_> = judges.iter().flat_map(Judge::labels).collect();
        labels.sort_unstable();
        labels.dedup();
        Self { judges, labels, known: HashMap::new(), findings: Vec::new() }
    }

    fn of(&mut self, cell: &'a CellPresence) -> usize {
        let traits = self.traits(cell);
        if let Some(kind) = self.known.get(&traits) {
            return *kind;
        }
        let kind = self.judge(cell);
        self.known.insert(traits, kind);
        kind
    }

    fn traits(&self, cell: &'a CellPresence) -> Traits<'a> {
        let lists = [&cell.volume_drivers, &cell.placement_tags, &cell.optional_placement_tags];
        Traits {
            rootfs_providers: &cell.rootfs_providers,
            drivers_and_tags: lists.map(Vec::as_slice),
            labels: self.labels.iter().map(|label| cell.labels.get(*label)).collect(),
        }
    }

    /// Cells that differ in what nobody asks about are of one kind.
    fn judge(&mut self, cell: &CellPresence) -> usize {
        let finding = |judge: &Judge| (judge.passed(cell), judge.preference(cell));
        let findings: Vec<_> = self.judges.iter().map(finding).collect();
        self.findings.iter().position(|known| *known == findings).unwrap_or_else(|| {
            self.findings.push(findings);
            self.findings.len() - 1
        })
    }

    fn verdict(&self, judge: usize, cohorts: &[Cohort]) -> Verdict {
        let findings = self.findings.iter().map(|all| all[judge]);
        let passing = |(passed, preference)| (passed == FILTERS.len()).then_some(preference);
        let kinds: Vec<Option<Score>> = findings.clone().map(passing).collect();
        let mut zones: Vec<(u32, Vec<Candidate>)> = Vec::new();
        for (number, cohort) in (0..).zip(cohorts) {
            let Some(preference) = kinds[cohort.kind] else { continue };
            let candidate = Candidate { cohort: number, size: cohort.size, preference };
            match zones.last_mut() {
                Some((zone, numbers)) if *zone == cohort.zone => numbers.push(candidate),
                _ => zones.push((cohort.zone, vec![candidate])),
            }
        }
        let furthest = findings.map(|(passed, _)| passed).max();
        let blocked_by = furthest.and_then(|passed| FILTERS.get(passed).copied());
        Verdict { kinds, zones, blocked_by }
    }
}
