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
    /// What amounts weigh on cells of each size.
    pub(super) scales: Vec<Scale>,
    /// Which cohort each cell is in; `None` for one that takes no work.
    pub(super) of: Vec<Option<u32>>,
    /// What each judge says of them.
    pub(super) verdicts: Vec<Verdict>,
}

/// Cells of one zone and size, of which every judge says the same.
#[derive(Debug)]
pub(super) struct Cohort {
    pub(super) zone: u32,
    /// Which of the scales is theirs.
    size: u32,
    /// Its cells by position.
    pub(super) cells: Vec<u32>,
    kind: usize,
}

/// Whom a judge lets pass.
#[derive(Debug)]
pub(super) struct Verdict {
    /// What is added to scores, each once.
    pub(super) extras: Vec<Extra>,
    /// By cohort: the number of its extra, where it passes.
    of: Vec<Option<u32>>,
    /// The cohorts that pass, by zone.
    pub(super) zones: Vec<(u32, Vec<Candidate>)>,
    /// The first filter that no cell passes of those that passed all before it.
    pub(super) blocked_by: Option<Filter>,
}

/// A cohort that passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) cohort: u32,
    /// The number of what is added to scores there.
    pub(super) extra: u32,
}

/// What is added to the scores of some cohorts' cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extra {
    /// What the work itself adds on cells of this size.
    pub(super) size: u32,
    /// What the labels add.
    pub(super) preference: Score,
}

// === impl Cohorts ===

impl Cohorts {
    pub(super) fn new<'a>(fleet: &Fleet<'a>, judges: &'a [Judge]) -> Self {
        let mut kinds = Kinds::new(judges);
        let mut sizes: HashMap<Resources, u32> = HashMap::new();
        let mut scales: Vec<Scale> = Vec::new();
        let open = (0..).zip(&fleet.cells).filter(|(_, cell)| !cell.is_evacuating);
        let member = |(position, cell): (u32, &Cell<'a>)| {
            let capacity = cell.presence.capacity;
            let size = *sizes.entry(capacity).or_insert_with(|| {
                scales.push(Scale::new(capacity));
                u32::try_from(scales.len() - 1).expect("no more sizes than cells")
            });
            ((cell.zone, size, kinds.of(cell.presence)), position)
        };
        let mut members: Vec<_> = open.map(member).collect();
        members.sort_unstable();
        let mut of = vec![None; fleet.cells.len()];
        let mut all: Vec<Cohort> = Vec::new();
        for alike in members.chunk_by(|(one, _), (other, _)| one == other) {
            let ((zone, size, kind), _) = alike[0];
            let number = u32::try_from(all.len()).expect("no more cohorts than cells");
            let cells: Vec<u32> = alike.iter().map(|(_, cell)| *cell).collect();
            for cell in &cells {
                of[*cell as usize] = Some(number);
            }
            all.push(Cohort { zone, size, cells, kind });
        }
        let verdicts = (0..judges.len()).map(|judge| kinds.verdict(judge, &all)).collect();
        Self { all, scales, of, verdicts }
    }

    /// The cohort of a cell, where the judge lets it pass.
    pub(super) fn candidate(&self, verdict: &Verdict, cell: u32) -> Option<Candidate> {
        let cohort = self.of[cell as usize]?;
        verdict.of[cohort as usize].map(|extra| Candidate { cohort, extra })
    }

    /// What amounts weigh on the cells of a cohort.
    pub(super) fn scale(&self, cohort: u32) -> &Scale {
        &self.scales[self.all[cohort as usize].size as usize]
    }
}

/// What cells say of themselves, and what the judges say to that: each asked once.
struct Kinds<'a> {
    judges: &'a [Judge],
    /// The labels that are asked about, each once.
    labels: Vec<&'a str>,
    known: HashMap<Traits<'a>, usize>,
    /// The last cell and its kind: in most clusters the next is like it.
    last: Option<(&'a CellPresence, usize)>,
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
        Self { judges, labels, known: HashMap::new(), last: None, findings: Vec::new() }
    }

    fn of(&mut self, cell: &'a CellPresence) -> usize {
        if let Some((last, kind)) = self.last
            && self.are_alike(last, cell)
        {
            return kind;
        }
        let traits = self.traits(cell);
        let known = self.known.get(&traits).copied();
        let kind = known.unwrap_or_else(|| {
            let kind = self.judge(cell);
            self.known.insert(traits, kind);
            kind
        });
        self.last = Some((cell, kind));
        kind
    }

    fn are_alike(&self, one: &CellPresence, other: &CellPresence) -> bool {
        let label = |label: &&str| one.labels.get(*label) == other.labels.get(*label);
        one.rootfs_providers == other.rootfs_providers
            && lists(one) == lists(other)
            && self.labels.iter().all(label)
    }

    fn traits(&self, cell: &'a CellPresence) -> Traits<'a> {
        Traits {
            rootfs_providers: &cell.rootfs_providers,
            drivers_and_tags: lists(cell),
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
        let furthest = findings.map(|(passed, _)| passed).max();
        let blocked_by = furthest.and_then(|passed| FILTERS.get(passed).copied());
        let (extras, of, zones) = (Vec::new(), Vec::new(), Vec::new());
        let mut verdict = Verdict { extras, of, zones, blocked_by };
        for (number, cohort) in (0..).zip(cohorts) {
            let extra = |preference| Extra { size: cohort.size, preference };
            verdict.add(cohort.zone, number, kinds[cohort.kind].map(extra));
        }
        verdict
    }
}

// === impl Verdict ===

impl Verdict {
    /// Adds a cohort, which passes where it has an extra. They come by zone.
    fn add(&mut self, zone: u32, cohort: u32, extra: Option<Extra>) {
        let extra = extra.map(|extra| self.number(extra));
        self.of.push(extra);
        let Some(extra) = extra else { return };
        let candidate = Candidate { cohort, extra };
        match self.zones.last_mut() {
            Some((last, candidates)) if *last == zone => candidates.push(candidate),
            _ => self.zones.push((zone, vec![candidate])),
        }
    }

    fn number(&mut self, extra: Extra) -> u32 {
        let number = self.extras.iter().position(|known| *known == extra).unwrap_or_else(|| {
            self.extras.push(extra);
            self.extras.len() - 1
        });
        u32::try_from(number).expect("no more extras than cohorts")
    }
}

/// Volume drivers, tags that are demanded of work, and tags that are not.
fn lists(cell: &CellPresence) -> [&[String]; 3] {
    [&cell.volume_drivers, &cell.placement_tags, &cell.optional_placement_tags].map(Vec::as_slice)
}
