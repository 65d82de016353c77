//! `ltc explain`: where the auction would put an instance, and why.

use lattice_api::brain::Explanation;
use lattice_api::brain::explanation::{CellOpinion, Filters};
use lattice_model::actual_lrp::PlacementError;

use super::palette::Palette;
use super::steps::placement;
use super::table::{self, Tone, Toned, plain, visible};

/// For people.
pub fn render(explanation: &Explanation, palette: Palette) -> String {
    let Explanation { need, process_guid, index, .. } = explanation;
    let mut rows = vec![
        ("Instance", format!("{process_guid}/{index}")),
        ("Needs", format!("{}M memory, {}M disk", need.memory_mb, need.disk_mb)),
        ("Strategy", explanation.strategy.name().to_owned()),
    ];
    if let Some(cell) = &explanation.runs_on {
        rows.push(("Runs on", cell.to_string()));
    }
    match &explanation.chosen {
        Some(cell) => rows.extend([
            ("Would go to", palette.green(cell.as_str())),
            ("Because", explanation.why.clone()),
        ]),
        None => {
            let reason = explanation.placement_error.clone();
            let detail = explanation.placement_detail.clone();
            let error = placement(&PlacementError { reason, detail });
            rows.push(("Would go", palette.red("nowhere")));
            rows.push(("Because", visible(&error)));
        }
    }
    let names = ["Cell", "Zone", "Free", "In zone", "Score", "Made of"];
    let cells = explanation.cells.iter().map(|cell| row(explanation, cell)).collect();
    format!("{}\n{}", table::pairs(&rows), table::render(&names, cells, palette))
}

fn row(explanation: &Explanation, cell: &CellOpinion) -> Vec<Toned> {
    let is_chosen = explanation.chosen.as_ref() == Some(&cell.cell_id);
    let tone = if is_chosen { Tone::Good } else { Tone::Plain };
    let (score, parts) = match &cell.score {
        None => (plain(""), (failings(&cell.filters), Tone::Bad)),
        Some(score) => {
            let parts = [
                ("same app", score.same_app),
                ("starting", score.starting),
                ("first fit", score.first_fit),
                ("resources", score.resources),
                ("affinity", score.affinity),
            ];
            let counted = parts.iter().filter(|(_, part)| *part != 0.0);
            let shown = counted.map(|(name, part)| format!("{name} {part:.3}"));
            (plain(format!("{:.3}", score.total)), plain(shown.collect::<Vec<_>>().join(", ")))
        }
    };
    vec![
        (cell.cell_id.to_string(), tone),
        plain(&cell.zone),
        plain(format!("{}M/{}M", cell.free.memory_mb, cell.free.disk_mb)),
        plain(cell.instances_in_zone.to_string()),
        score,
        parts,
    ]
}

/// What keeps the instance away.
fn failings(filters: &Filters) -> String {
    let all = [
        (filters.accepting, "evacuating"),
        (filters.rootfs, "rootfs"),
        (filters.volume_drivers, "volume drivers"),
        (filters.placement_tags, "placement tags"),
        (filters.constraints, "constraints"),
        (filters.resources, "resources"),
    ];
    let failed = all.iter().filter(|(passes, _)| !passes).map(|(_, name)| *name);
    format!("no: {}", failed.collect::<Vec<_>>().join(", "))
}
