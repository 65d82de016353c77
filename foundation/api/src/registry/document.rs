//! Manifests, indexes and image configurations: what the OCI image format and Docker's v2 schema 2
//! have in common, read leniently.

use std::collections::BTreeMap;

use lattice_model::action::EnvVar;
use lattice_model::image::is_digest;
use serde::{Deserialize, Deserializer, Serialize};

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An OCI layer that is not compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// An OCI layer compressed by gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// An OCI layer compressed by zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// A Docker v2 schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A Docker manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// The most layers an image may have; Docker's own limit is 127.
pub const LAYERS_MAX: usize = 128;

/// The longest words of a registry that people are told, in characters.
pub const REFUSAL_CHARS_MAX: usize = 300;

/// What registries answer when they refuse.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<RefusalReason>,
}

#[derive(Deserialize)]
struct RefusalReason {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Points at a blob or a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of thing it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it is built for, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A kind of machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// In Go's words: `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// In Go's words: `linux`.
    #[serde(default)]
    pub os: String,
    /// For instance `v8`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// The manifests of one image for several kinds of machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The kind of document, where it says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// What it holds.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// One image for one kind of machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The kind of document, where it says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
}

/// An image's configuration document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageDocument {
    /// What it is built for, in Go's words.
    #[serde(default)]
    pub architecture: String,
    /// What it is built for.
    #[serde(default)]
    pub os: String,
    /// How to run it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: RunDocument,
    /// Its layers.
    #[serde(default)]
    pub rootfs: RootfsDocument,
}

/// How an image wants to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunDocument {
    /// `user[:group]`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// TCP and UDP ports: `8080/tcp`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// `NAME=VALUE`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Where it starts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// What asks its program to end: `SIGQUIT`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
}

/// The layers of an image, unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootfsDocument {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The digests of the uncompressed layers, the lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<String>,
}

// === impl Index ===

impl Index {
    /// The manifest for Linux on `architecture`.
    pub fn choose(&self, architecture: &str) -> Option<&Descriptor> {
        let fits = |d: &&Descriptor| {
            d.platform.as_ref().is_some_and(|p| p.os == "linux" && p.architecture == architecture)
        };
        let only = || match &self.manifests[..] {
            [one] if one.platform.is_none() => Some(one),
            _ => None,
        };
        self.manifests.iter().find(fits).or_else(only)
    }

    /// What it is built for, in words.
    pub fn platforms(&self) -> String {
        let mut names: Vec<String> = self
            .manifests
            .iter()
            .filter_map(|d| d.platform.as_ref())
            .filter(|p| p.os != "unknown")
            .map(|p| format!("{}/{}", p.os, p.architecture))
            .collect();
        names.sort();
        names.dedup();
        if names.is_empty() { "no platforms at all".to_owned() } else { names.join(", ") }
    }
}

// === impl Manifest ===

impl Manifest {
    /// Says what makes it unfit to be pulled.
    pub fn check(&self) -> Result<(), String> {
        if self.schema_version != 2 {
            return Err(format!(
                "its manifest has schema version {}; only 2 is read. Push it again with a current \
                 tool",
                self.schema_version
            ));
        }
        if self.layers.len() > LAYERS_MAX {
            return Err(format!("{} layers; at most {LAYERS_MAX} are taken", self.layers.len()));
        }
        let digests = self.layers.iter().chain([&self.config]).map(|d| &d.digest);
        match digests.into_iter().find(|d| !is_digest(d)) {
            Some(bad) => Err(format!("'{bad}' is not a sha256 digest")),
            None => Ok(()),
        }
    }
}

// === impl RunDocument ===

impl RunDocument {
    /// Its environment, in order; an entry without `=` has an empty value.
    pub fn env_vars(&self) -> Vec<EnvVar> {
        let split = |entry: &String| {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            EnvVar { name: name.to_owned(), value: value.to_owned() }
        };
        self.env.iter().filter(|e| !e.is_empty() && !e.starts_with('=')).map(split).collect()
    }

    /// Its TCP ports, ascending.
    pub fn tcp_ports(&self) -> Vec<u16> {
        let number = |name: &String| match name.split_once('/') {
            Some((port, "tcp")) => port.parse().ok(),
            Some(_) => None,
            None => name.parse().ok(),
        };
        let mut ports: Vec<u16> = self.exposed_ports.keys().filter_map(number).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// True for an index, by its media type or, where a registry does not say, by its fields.
pub(crate) fn is_index(media_type: &str, bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(default)]
        manifests: Option<serde_json::Value>,
    }
    match media_type.split(';').next().unwrap_or_default().trim() {
        OCI_INDEX | DOCKER_INDEX => true,
        OCI_MANIFEST | DOCKER_MANIFEST => false,
        _ => serde_json::from_slice::<Probe>(bytes).is_ok_and(|p| p.manifests.is_some()),
    }
}

/// A registry's own words for why it refuses, as far as people can be shown them; `None` when it has
/// none.
pub fn refusal(answer: &[u8]) -> Option<String> {
    let said: Refusal = serde_json::from_slice(answer).ok()?;
    let first = said.errors.into_iter().next()?;
    let words = if first.message.is_empty() { first.code } else { first.message };
    let shown = words.chars().filter(|c| !c.is_control()).take(REFUSAL_CHARS_MAX);
    Some(shown.collect()).filter(|words: &String| !words.is_empty())
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
