//! Builds an image from files in memory, as an OCI layout; no container tool is needed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use lattice_api::registry::document::{
    Descriptor, Index, OCI_CONFIG, OCI_MANIFEST, RootfsDocument, RunDocument,
};
use lattice_api::registry::{ImageDocument, digest_of, host_architecture};

use super::docker_archive::manifest_of;
use super::layer::LayerWriter;

/// An image in the making. The same calls make the same image, byte for byte.
#[derive(Debug, Clone, Default)]
pub struct ImageBuilder {
    layers: Vec<BTreeMap<String, Node>>,
    run: RunDocument,
    architecture: Option<String>,
}

#[derive(Debug, Clone)]
enum Node {
    File(Vec<u8>, u32),
    Directory(u32),
    Link(String),
}

// === impl ImageBuilder ===

impl ImageBuilder {
    /// An image without anything in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, with its permission bits.
    pub fn file(self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.node(path, Node::File(bytes.into(), mode))
    }

    /// Adds a directory; those above a file are there without this, with mode 755.
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.node(path, Node::Directory(mode))
    }

    /// Adds a symbolic link.
    pub fn link(self, path: &str, target: &str) -> Self {
        self.node(path, Node::Link(target.to_owned()))
    }

    /// What is added from now on goes to another layer, above.
    pub fn next_layer(mut self) -> Self {
        self.layers.push(BTreeMap::new());
        self
    }

    /// The program and its fixed arguments.
    pub fn entrypoint<S: Into<String>>(mut self, argv: impl IntoIterator<Item = S>) -> Self {
        self.run.entrypoint = argv.into_iter().map(Into::into).collect();
        self
    }

    /// Its arguments, or the program where there is no entrypoint.
    pub fn cmd<S: Into<String>>(mut self, argv: impl IntoIterator<Item = S>) -> Self {
        self.run.cmd = argv.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.run.env.push(format!("{name}={value}"));
        self
    }

    /// Adds a TCP port.
    pub fn expose(mut self, port: u16) -> Self {
        self.run.exposed_ports.insert(format!("{port}/tcp"), serde_json::json!({}));
        self
    }

    /// `user[:group]`.
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.run.user);
        self
    }

    /// Where the program starts.
    pub fn working_dir(mut self, directory: &str) -> Self {
        directory.clone_into(&mut self.run.working_dir);
        self
    }

    /// What it is built for, in Go's words; otherwise this machine.
    pub fn architecture(mut self, architecture: &str) -> Self {
        self.architecture = Some(architecture.to_owned());
        self
    }

    /// Writes the image as an OCI layout into a directory, which is made if it is missing; answers
    /// the manifest's digest.
    pub fn write_layout(&self, directory: &Path) -> io::Result<String> {
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        let keep = |bytes: &[u8]| -> io::Result<Descriptor> {
            let digest = digest_of(bytes);
            fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes)?;
            Ok(Descriptor { digest, size: bytes.len() as u64, ..Descriptor::default() })
        };
        let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
        for nodes in &self.layers {
            let written = written(nodes)?;
            keep(&written.sink)?;
            layers.push(written.descriptor);
            diff_ids.push(written.diff_id);
        }
        let document = ImageDocument {
            architecture: self.architecture.clone().unwrap_or_else(|| host_architecture().into()),
            os: "linux".to_owned(),
            config: self.run.clone(),
            rootfs: RootfsDocument { kind: "layers".to_owned(), diff_ids },
        };
        let config = keep(&serde_json::to_vec(&document)?)?;
        let config = Descriptor { media_type: OCI_CONFIG.to_owned(), ..config };
        let manifest = manifest_of(&config, layers);
        let entry = keep(&manifest.bytes)?;
        let entry = Descriptor { media_type: OCI_MANIFEST.to_owned(), ..entry };
        let index = Index { schema_version: 2, manifests: vec![entry], ..Index::default() };
        fs::write(directory.join("index.json"), serde_json::to_vec(&index)?)?;
        fs::write(directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(manifest.digest)
    }

    fn node(mut self, path: &str, node: Node) -> Self {
        if self.layers.is_empty() {
            self.layers.push(BTreeMap::new());
        }
        let nodes = self.layers.last_mut().expect("a layer was just made");
        nodes.insert(path.trim_matches('/').to_owned(), node);
        self
    }
}

fn written(nodes: &BTreeMap<String, Node>) -> io::Result<super::layer::WrittenLayer<Vec<u8>>> {
    let mut all = nodes.clone();
    for name in nodes.keys() {
        for (slash, _) in name.match_indices('/') {
            all.entry(name[..slash].to_owned()).or_insert(Node::Directory(0o755));
        }
    }
    let mut writer = LayerWriter::new(Vec::new());
    for (name, node) in &all {
        match node {
            Node::File(bytes, mode) => {
                writer.file(name, *mode, bytes.len() as u64, &bytes[..])?;
            }
            Node::Directory(mode) => writer.directory(name, *mode)?,
            Node::Link(target) => writer.symlink(name, Path::new(target))?,
        }
    }
    writer.finish()
}
