//! Where the fuzz targets enter; not in the product.

use std::io;
use std::path::Path;

use super::confined::{Root, Trouble};
use super::plan::Dialect;
use super::rootfs::{extract_in, told};
use super::unpack::{Manner, unpack};
use super::{ImageError, UnpackLimits};

/// Extracts what may be a zip archive into a directory that serves as a container's root.
///
/// # Errors
/// When the archive is refused, or the machine fails.
pub fn extract_zip(root: &Path, archive: &[u8]) -> Result<(), ImageError> {
    let limits =
        UnpackLimits { bytes_max: 1024 * 1024, entries_max: 1000, ..UnpackLimits::default() };
    let machine = |e: io::Error| super::rootfs::machine("keep the archive", e);
    let mut file = tempfile::tempfile().map_err(machine)?;
    io::Write::write_all(&mut file, archive).map_err(machine)?;
    io::Seek::rewind(&mut file).map_err(machine)?;
    extract_in(root, "/to", &file, None, limits)
}

/// Applies an uncompressed layer to a directory.
///
/// # Errors
/// When the layer is refused, or the machine fails.
pub fn unpack_layer(root: &Path, layer: &[u8]) -> Result<(), ImageError> {
    let limits =
        UnpackLimits { bytes_max: 1024 * 1024, entries_max: 1000, ..UnpackLimits::default() };
    let manner = Manner { dialect: Dialect::Layer, owner: None, limits };
    let unpacked = Root::strict(root)
        .map_err(Trouble::from)
        .and_then(|root| unpack(root, io::Cursor::new(layer), manner));
    unpacked.map(|_| ()).map_err(|trouble| told("unpack a layer", "the layer", trouble))
}
