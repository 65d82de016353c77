//! Writes a layer that is the same, byte for byte, whenever its files are: no times, no owners.

use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use lattice_api::registry::document::{Descriptor, OCI_LAYER_GZIP};
use sha2::{Digest as _, Sha256};

/// A gzip-compressed layer being written to `W`.
pub(crate) struct LayerWriter<W: Write> {
    tar: tar::Builder<Hashing<GzEncoder<Hashing<W>>>>,
}

/// What was written.
pub(crate) struct WrittenLayer<W> {
    pub(crate) descriptor: Descriptor,
    /// The digest of the layer when it is not compressed.
    pub(crate) diff_id: String,
    pub(crate) sink: W,
}

struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

// === impl LayerWriter ===

impl<W: Write> LayerWriter<W> {
    pub(crate) fn new(sink: W) -> Self {
        // GzEncoder writes no time and no name.
        let gzip = GzEncoder::new(Hashing::new(sink), Compression::default());
        Self { tar: tar::Builder::new(Hashing::new(gzip)) }
    }

    pub(crate) fn directory(&mut self, name: &str, mode: u32) -> io::Result<()> {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        self.tar.append_data(&mut header, format!("{name}/"), io::empty())
    }

    pub(crate) fn file(
        &mut self,
        name: &str,
        mode: u32,
        size: u64,
        content: impl Read,
    ) -> io::Result<()> {
        let mut header = header(tar::EntryType::Regular, mode, size);
        self.tar.append_data(&mut header, name, content)
    }

    pub(crate) fn symlink(&mut self, name: &str, target: &Path) -> io::Result<()> {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        self.tar.append_link(&mut header, name, target)
    }

    pub(crate) fn finish(self) -> io::Result<WrittenLayer<W>> {
        let plain = self.tar.into_inner()?;
        let diff_id = plain.digest();
        let mut compressed = plain.inner.finish()?;
        compressed.inner.flush()?;
        let descriptor = Descriptor {
            media_type: OCI_LAYER_GZIP.to_owned(),
            digest: compressed.digest(),
            size: compressed.bytes,
            ..Descriptor::default()
        };
        Ok(WrittenLayer { descriptor, diff_id, sink: compressed.inner })
    }
}

// === impl Hashing ===

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0 }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(self.hasher.clone().finalize()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
