//! `ltc cells`: the machines, and how much of each is in use.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use lattice_api::brain::moves::Moves;
use lattice_model::{ActualLrp, ActualState, CellId, CellPresence};
use serde::Serialize;

use super::palette::Palette;
use super::table::{self, Tone, Toned, plain};

/// One cell; the JSON of `ltc cells` is a list of these.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CellRow {
    /// Its name.
    pub cell_id: String,
    /// Its zone.
    pub zone: String,
    /// False when only instances' records still name it.
    pub present: bool,
    /// True when it gives everything away and gets nothing.
    pub draining: bool,
    /// What is wrong with it, so that it takes no new work; empty when nothing is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fault: String,
    /// All its memory in MiB.
    pub memory_mb: u64,
    /// All its disk in MiB.
    pub disk_mb: u64,
    /// How many containers it can hold.
    pub containers: u64,
    /// Instances that run there.
    pub running: usize,
    /// Instances that start there.
    pub claimed: usize,
    /// What it cannot do for its instances.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The cells, those that are gone but still named included, by the number at their end.
pub fn rows(cells: &[CellPresence], actual: &[ActualLrp], moves: &Moves) -> Vec<CellRow> {
    let is_draining = |id: &CellId| moves.draining.iter().any(|draining| draining.cell_id == *id);
    let present = cells.iter().map(|cell| CellRow {
        cell_id: cell.cell_id.to_string(),
        zone: cell.zone.clone(),
        present: true,
        draining: is_draining(&cell.cell_id),
        fault: cell.fault.clone(),
        memory_mb: cell.capacity.memory_mb,
        disk_mb: cell.capacity.disk_mb,
        containers: cell.capacity.containers,
        running: 0,
        claimed: 0,
        warnings: cell.warnings.clone(),
    });
    let mut by_id: BTreeMap<String, CellRow> =
        present.map(|row| (row.cell_id.clone(), row)).collect();
    for lrp in actual {
        let Some(instance) = lrp.instance() else { continue };
        let id = instance.cell_id.to_string();
        let row = by_id.entry(id.clone()).or_insert_with(|| gone(id));
        match lrp.state {
            ActualState::Running { .. } => row.running += 1,
            ActualState::Claimed { .. } => row.claimed += 1,
            ActualState::Unclaimed { .. }
            | ActualState::Crashed { .. }
            | ActualState::Exited { .. } => {}
        }
    }
    let mut rows: Vec<CellRow> = by_id.into_values().collect();
    rows.sort_by(|a, b| by_number(&a.cell_id, &b.cell_id));
    rows
}

/// For people.
pub fn render(rows: &[CellRow], palette: Palette) -> String {
    if rows.is_empty() {
        return "no cells\n".to_owned();
    }
    let mut text = table::render(
        &["Cell", "Zone", "Memory", "Disk", "Running/starting"],
        rows.iter().map(cells).collect(),
        palette,
    );
    for row in rows {
        let fault = Some(&row.fault).filter(|fault| !fault.is_empty());
        let fault = fault.map(|fault| format!("{} takes no new work: {fault}\n", row.cell_id));
        text.extend(fault);
        let lines = row.warnings.iter().map(|warning| format!("{}: {warning}\n", row.cell_id));
        text.extend(lines);
    }
    text
}

fn cells(row: &CellRow) -> Vec<Toned> {
    let apps = plain(format!("{}/{}", row.running, row.claimed));
    if !row.present {
        let id = (format!("{} (missing)", row.cell_id), Tone::Bad);
        return vec![id, plain(""), plain(""), plain(""), apps];
    }
    let id = match (row.fault.is_empty(), row.draining) {
        (false, _) => (format!("{} (unhealthy)", row.cell_id), Tone::Bad),
        (true, true) => (format!("{} (draining)", row.cell_id), Tone::Waiting),
        (true, false) => plain(&row.cell_id),
    };
    vec![
        id,
        plain(&row.zone),
        plain(format!("{}M", row.memory_mb)),
        plain(format!("{}M", row.disk_mb)),
        apps,
    ]
}

fn gone(cell_id: String) -> CellRow {
    CellRow {
        cell_id,
        zone: String::new(),
        present: false,
        draining: false,
        fault: String::new(),
        memory_mb: 0,
        disk_mb: 0,
        containers: 0,
        running: 0,
        claimed: 0,
        warnings: Vec::new(),
    }
}

/// `cell-9` comes before `cell-10`.
fn by_number(a: &str, b: &str) -> Ordering {
    let number = |id: &str| id.rsplit('-').next().and_then(|tail| tail.parse::<u64>().ok());
    number(a).cmp(&number(b)).then_with(|| a.cmp(b))
}
