//! Cells that the batch cannot tell apart but by how full they are.

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
    pub(super) zones: Vec<(u32, Vec<Group>)>,
    /// The first filter that no cell passes of those that passed all before it.
    pub(super) blocked_by: Option<Filter>,
}

/// Cohorts of a zone that pass, to whose cells' scores the same is added.
#[derive(Debug)]
pub(super) struct Group {
    /// The number of what is added.
    pub(super) extra: u32,
    pub(super) cohorts: Vec<u32>,
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
        let mut all: Vec<Cohort> = Vec::new();
        let mut known: HashMap<(u32, u32, usize), usize> = HashMap::new();
        let open = (0..).zip(&fleet.cells).filter(|(_, cell)| !cell.is_evacuating);
        for (position, Cell { presence, zone, .. }) in open {
            let size = *sizes.entry(presence.capacity).or_insert_with(|| {
                scales.push(Scale::new(presence.capacity));
                number(scales.len() - 1)
            });
            let (zone, kind) = (*zone, kinds.of(presence));
            let cohort = *known.entry((zone, size, kind)).or_insert_with(|| {
                all.push(Cohort { zone, size, kind, cells: Vec::new() });
                all.len() - 1
            });
            all[cohort].cells.push(position);
        }
        all.sort_unstable_by_key(|cohort| (cohort.zone, cohort.size, cohort.kind));
        let mut of = vec![None; fleet.cells.len()];
        for (number, cohort) in (0..).zip(&all) {
            for cell in &cohort.cells {
                of[*cell as usize] = Some(number);
            }
        }
        let verdicts = (0..judges.len()).map(|judge| kinds.verdict(judge, &all)).collect();
        Self { all, scales, of, verdicts }
    }

    /// The cohort of a cell and the number of its extra, where the judge lets it pass.
    pub(super) fn passing(&self, verdict: &Verdict, cell: u32) -> Option<(u32, u32)> {
        let cohort = self.of[cell as usize]?;
        verdict.of[cohort as usize].map(|extra| (cohort, extra))
    }

    /// What amounts weigh on the cells of a cohort.
    pub(super) fn scale(&self, cohort: u32) -> &Scale {
        &self.scales[self.all[cohort as usize].size as usize]
    }
}

/// What cells say of themselves, and what the judges say to that: each asked once.
struct Kinds<'a> {
    judges: &'a [Judge],
    /// The labels that are asked about, each once. Nearly every cell has one of its own, its
    /// host's name say, that nobody asks about.
    labels: Vec<&'a str>,
    /// By all of a presence that filters ask about.
    known: HashMap<Box<[u8]>, usize>,
    /// That of the cell in question.
    traits: Vec<u8>,
    /// By kind and judge: the filters passed, and what the labels add.
    findings: Vec<Vec<(usize, Score)>>,
}

// === impl Kinds ===

impl<'a> Kinds<'a> {
    fn new(judges: &'a [Judge]) -> Self {
        let mut labels: Vec<_> = judges.iter().flat_map(Judge::labels).collect();
        labels.sort_unstable();
        labels.dedup();
        let (known, traits, findings) = (HashMap::new(), Vec::new(), Vec::new());
        Self { judges, labels, known, traits, findings }
    }

    fn of(&mut self, cell: &CellPresence) -> usize {
        self.read(cell);
        if let Some(kind) = self.known.get(self.traits.as_slice()) {
            return *kind;
        }
        let kind = self.judge(cell);
        self.known.insert(self.traits.as_slice().into(), kind);
        kind
    }

    /// Strings and lists behind their lengths.
    fn read(&mut self, cell: &CellPresence) {
        let Self { labels, traits, .. } = self;
        traits.clear();
        add(traits, cell.rootfs_providers.as_text());
        for value in labels.iter().map(|label| cell.labels.get(label)) {
            traits.push(u8::from(value.is_some()));
            add(traits, value.unwrap_or_default());
        }
        for list in [&cell.volume_drivers, &cell.placement_tags, &cell.optional_placement_tags] {
            traits.extend_from_slice(&list.len().to_le_bytes());
            list.iter().for_each(|text| add(traits, text));
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
        if self.zones.last().is_none_or(|(last, _)| *last != zone) {
            self.zones.push((zone, Vec::new()));
        }
        let Some((_, groups)) = self.zones.last_mut() else { return };
        match groups.iter_mut().find(|group| group.extra == extra) {
            Some(group) => group.cohorts.push(cohort),
            None => groups.push(Group { extra, cohorts: vec![cohort] }),
        }
    }

    fn number(&mut self, extra: Extra) -> u32 {
        let number = self.extras.iter().position(|known| *known == extra).unwrap_or_else(|| {
            self.extras.push(extra);
            self.extras.len() - 1
        });
        self::number(number)
    }
}

fn add(traits: &mut Vec<u8>, text: &str) {
    traits.extend_from_slice(&text.len().to_le_bytes());
    traits.extend_from_slice(text.as_bytes());
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("no more than cells")
}
