//! `ltc images`: what cells keep unpacked.

use lattice_api::brain::images::{CellImages, CellPruned};
use lattice_api::cell::images::KeptImage;
use lattice_model::{CellId, Time};

use super::amount::{age, bytes};
use super::palette::Palette;
use super::table::{self, Tone, Toned, plain};
use crate::duration;

/// The images of all cells, and how full their disks are.
pub fn list(cells: &[CellImages], now: Time, palette: Palette) -> String {
    let rows = cells
        .iter()
        .flat_map(|cell| cell.stock.images.iter().map(|image| row(image, &cell.cell_id, now)));
    let rows: Vec<Vec<Toned>> = rows.collect();
    let mut text = match rows.is_empty() {
        true => "no images\n".to_owned(),
        false => table::render(&["Image", "Size", "Used", "Cell"], rows, palette),
    };
    for cell in cells.iter().filter(|cell| cell.error.is_empty()) {
        let stock = &cell.stock;
        text += &format!(
            "{}: {} in layers, each there once; {} of {} are free\n",
            cell.cell_id,
            bytes(stock.layers_bytes),
            bytes(stock.disk_free_bytes),
            bytes(stock.disk_total_bytes),
        );
    }
    text
}

/// What was removed, a line each cell.
pub fn pruned(cells: &[CellPruned]) -> String {
    let line = |cell: &CellPruned| {
        let pruned = &cell.pruned;
        let mut text = match pruned.layers {
            0 => format!("{}: nothing to remove\n", cell.cell_id),
            _ => format!(
                "{}: {} removed, {} freed\n",
                cell.cell_id,
                counted(pruned.images.len()),
                bytes(pruned.bytes)
            ),
        };
        pruned.images.iter().for_each(|name| text += &format!("  {name}\n"));
        text
    };
    cells.iter().filter(|cell| cell.error.is_empty()).map(line).collect()
}

fn row(image: &KeptImage, cell: &CellId, now: Time) -> Vec<Toned> {
    let used = match image.in_use {
        true => ("now".to_owned(), Tone::Good),
        false => plain(format!("{} ago", duration::format(age(image.last_used, now)))),
    };
    vec![plain(&image.name), plain(bytes(image.bytes)), used, plain(cell.as_str())]
}

fn counted(images: usize) -> String {
    match images {
        1 => "1 image".to_owned(),
        images => format!("{images} images"),
    }
}
