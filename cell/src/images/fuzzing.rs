//! Where the fuzz targets enter; not in the product.

use std::io;
use std::path::Path;

use super::confined::{Root, Trouble};
use super::plan::Dialect;
use super::rootfs::told;
use super::unpack::{Manner, unpack};
use super::{ImageError, UnpackLimits};

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
