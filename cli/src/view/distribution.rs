//! `ltc visualize`: instances on their cells, as dots or as bars.

use super::cells::CellRow;
use super::palette::Palette;

const BAR_WIDTH_MAX: usize = 50;

/// A dot for each instance.
pub fn dots(rows: &[CellRow], palette: Palette) -> String {
    let line = |row: &CellRow| {
        let running = palette.green(&"•".repeat(row.running));
        let claimed = palette.yellow(&"•".repeat(row.claimed));
        let dots = match row.running + row.claimed {
            0 => palette.red("empty"),
            _ => format!("{running}{claimed}"),
        };
        format!("{}: {dots}\n", name(row))
    };
    lines(rows, line, palette)
}

/// A bar for each cell, longest first by the cells' order, scaled to the fullest.
pub fn bars(rows: &[CellRow], palette: Palette) -> String {
    let width = rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    let most = rows.iter().map(|row| row.running + row.claimed).max().unwrap_or(0).max(1);
    let scale = |count: usize| match most {
        most if most <= BAR_WIDTH_MAX => count,
        most => (count * BAR_WIDTH_MAX).div_ceil(most),
    };
    let line = |row: &CellRow| {
        let running = palette.green(&"█".repeat(scale(row.running)));
        let claimed = palette.yellow(&"▒".repeat(scale(row.claimed)));
        let count = match (row.running, row.claimed) {
            (running, 0) => running.to_string(),
            (running, claimed) => format!("{running} + {claimed} starting"),
        };
        let space = if row.running + row.claimed == 0 { "" } else { " " };
        format!("{:width$}  {running}{claimed}{space}{count}\n", name(row))
    };
    lines(rows, line, palette)
}

fn lines(rows: &[CellRow], line: impl Fn(&CellRow) -> String, palette: Palette) -> String {
    let title = palette.bold("Distribution");
    if rows.is_empty() {
        return format!("{title}\nno cells\n");
    }
    rows.iter().fold(format!("{title}\n"), |text, row| text + &line(row))
}

fn name(row: &CellRow) -> String {
    if row.present { row.cell_id.clone() } else { format!("{} (missing)", row.cell_id) }
}
