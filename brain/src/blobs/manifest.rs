//! What a manifest refers to. Pure.

use serde::Deserialize;

use super::address::Digest;
use super::answer::{Code, Problem};

/// Media types of single images and artifacts.
const IMAGES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Media types of lists of manifests.
const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// A manifest, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Its media type.
    pub(super) media_type: String,
    /// Blobs that must be here.
    pub(super) blobs: Vec<Digest>,
    /// Manifests that must be in the same repository.
    pub(super) manifests: Vec<Digest>,
    /// What it is about, where it is about another manifest.
    pub(super) subject: Option<Digest>,
    /// The kind of artifact it is, and its annotations, for the list of referrers.
    pub(super) artifact_type: Option<String>,
    /// Annotations, as they stand.
    pub(super) annotations: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: Option<serde_json::Value>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    subject: Option<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: String,
    #[serde(default)]
    media_type: Option<String>,
    /// A layer that may be fetched elsewhere need not be here.
    #[serde(default)]
    urls: Option<Vec<String>>,
}

/// Reads a manifest that is said to be of this media type.
pub(super) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Manifest, Problem> {
    let invalid = |message: String| Problem::new(Code::ManifestInvalid, message);
    let document: Document =
        serde_json::from_slice(bytes).map_err(|e| invalid(format!("not a manifest: {e}")))?;
    if document.schema_version != 2 {
        let version = document.schema_version;
        return Err(invalid(format!("schemaVersion is {version}; 2 is supported")));
    }
    let said = content_type.and_then(|text| text.split(';').next()).map(str::trim);
    let written = document.media_type.as_deref();
    let media_type = said.or(written).unwrap_or(IMAGES[0]);
    if written.is_some_and(|written| written != media_type) {
        let written = written.unwrap_or_default();
        return Err(invalid(format!("mediaType is {written}, but Content-Type is {media_type}")));
    }
    let (blobs, manifests) = match media_type {
        kind if IMAGES.contains(&kind) => (image(&document)?, Vec::new()),
        kind if INDEXES.contains(&kind) => (Vec::new(), index(&document)?),
        kind => return Err(invalid(format!("media type {kind} is not supported"))),
    };
    let subject = document.subject.as_ref().map(|s| Digest::parse(&s.digest)).transpose()?;
    let config_type = document.config.as_ref().and_then(|config| config.media_type.clone());
    Ok(Manifest {
        media_type: media_type.to_owned(),
        blobs,
        manifests,
        subject,
        artifact_type: document.artifact_type.or(config_type),
        annotations: document.annotations,
    })
}

fn image(document: &Document) -> Result<Vec<Digest>, Problem> {
    let (Some(config), Some(layers)) = (&document.config, &document.layers) else {
        let message = "an image manifest needs `config` and `layers`";
        return Err(Problem::new(Code::ManifestInvalid, message));
    };
    let is_here = |layer: &&Descriptor| layer.urls.as_ref().is_none_or(Vec::is_empty);
    let needed = std::iter::once(config).chain(layers.iter().filter(is_here));
    needed.map(|descriptor| Digest::parse(&descriptor.digest)).collect()
}

fn index(document: &Document) -> Result<Vec<Digest>, Problem> {
    let Some(manifests) = &document.manifests else {
        return Err(Problem::new(Code::ManifestInvalid, "an index needs `manifests`"));
    };
    manifests.iter().map(|descriptor| Digest::parse(&descriptor.digest)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(c: char) -> String {
        format!("sha256:{}", String::from(c).repeat(64))
    }

    #[test]
    fn a_manifest_names_what_it_needs() {
        let image = json!({"schemaVersion": 2, "config": {"digest": digest('a')}, "layers": [
            {"digest": digest('b')}, {"digest": digest('c'), "urls": ["https://x"]}],
            "subject": {"digest": digest('d')}});
        let manifest = parse(image.to_string().as_bytes(), Some(IMAGES[0])).unwrap();
        let expected =
            vec![Digest::parse(&digest('a')).unwrap(), Digest::parse(&digest('b')).unwrap()];
        assert_eq!(manifest.blobs, expected);
        assert_eq!(manifest.subject, Some(Digest::parse(&digest('d')).unwrap()));

        let index = json!({"schemaVersion": 2, "mediaType": INDEXES[1],
            "manifests": [{"digest": digest('e')}]});
        let manifest = parse(index.to_string().as_bytes(), None).unwrap();
        assert_eq!(manifest.media_type, INDEXES[1]);
        assert_eq!(manifest.manifests, vec![Digest::parse(&digest('e')).unwrap()]);
    }

    #[test]
    fn what_is_no_manifest_is_named_as_such() {
        for (text, kind) in [
            ("", IMAGES[0]),
            ("[]", IMAGES[0]),
            ("{}", IMAGES[0]),
            (r#"{"schemaVersion":1}"#, IMAGES[0]),
            (r#"{"schemaVersion":2}"#, IMAGES[0]),
            (r#"{"schemaVersion":2}"#, INDEXES[0]),
            (r#"{"schemaVersion":2,"manifests":[{"digest":"../x"}]}"#, INDEXES[0]),
            (r#"{"schemaVersion":2,"manifests":[]}"#, "text/plain"),
            (r#"{"schemaVersion":2,"mediaType":"x","manifests":[]}"#, INDEXES[0]),
        ] {
            assert!(parse(text.as_bytes(), Some(kind)).is_err(), "{text} {kind}");
        }
    }
}
