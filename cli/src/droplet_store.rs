//! Where droplets are kept: the store beside the target, or a bucket in S3 (ltc A.2, C).
//!
//! The person's choice is kept and shown. No command uses a store yet, so none is asked whether it
//! is there.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::context::Local;
use crate::exit::{Exit, Failure};
use crate::login::in_background;

/// The port of the store beside a target.
pub const DAV_PORT: &str = "8444";

/// The droplet store that is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropletStore {
    /// A WebDAV server.
    Dav {
        /// `USER@HOST:PORT`, the user where there is one.
        address: String,
    },
    /// A bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// Where it is.
        region: String,
    },
}

/// A bucket and the keys to it, as `config.json` has them. `Debug` does not show the keys.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct S3Store {
    #[serde(skip_serializing_if = "String::is_empty")]
    region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    access_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    secret_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    bucket_name: String,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

// === impl DropletStore ===

impl fmt::Display for DropletStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dav { address } => f.write_str(address),
            Self::S3 { bucket, region } => write!(f, "s3://{bucket} ({region})"),
        }
    }
}

// === impl S3Store ===

impl S3Store {
    /// Fails where the person cannot be asked, before anything else is asked of them.
    pub fn can_be_asked_for(local: &Local, domain: &str) -> Result<(), Failure> {
        if local.terminal.is_interactive() {
            return Ok(());
        }
        let message = "--s3 asks for the bucket and its keys, and nobody can be asked";
        Err(Failure::new(Exit::BadTarget, message)
            .next(format!("ltc target {domain} --s3    (at a terminal)"))
            .next(format!("ltc target {domain}         (the store beside the target)")))
    }

    /// Asks the person for the bucket and its keys.
    pub async fn ask(local: &Local) -> Result<Self, Failure> {
        let terminal = local.terminal.clone();
        let questions = move || {
            Ok(Self {
                access_key: terminal.ask("S3 access key: ")?.trim().to_owned(),
                secret_key: terminal.ask_secret("S3 secret key: ")?.trim().to_owned(),
                bucket_name: terminal.ask("S3 bucket: ")?.trim().to_owned(),
                region: terminal.ask("S3 region: ")?.trim().to_owned(),
                unknown: Map::new(),
            })
        };
        let store = in_background(questions).await?;
        match store.mistake() {
            None => Ok(store),
            Some(why) => Err(Failure::new(Exit::BadTarget, why)),
        }
    }

    /// The choice that this is.
    pub fn chosen(&self) -> DropletStore {
        DropletStore::S3 { bucket: self.bucket_name.clone(), region: self.region.clone() }
    }

    /// True where the file names no bucket.
    pub fn is_empty(&self) -> bool {
        self.bucket_name.is_empty()
    }

    /// What no S3 would accept; never a key's own text.
    fn mistake(&self) -> Option<String> {
        let is_key = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        let is_edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bucket = self.bucket_name.as_bytes();
        let is_bucket = (3..=63).contains(&bucket.len())
            && bucket.iter().all(|&b| is_edge(b) || matches!(b, b'-' | b'.'))
            && [bucket.first(), bucket.last()].into_iter().flatten().all(|&b| is_edge(b));
        let region = self.region.as_bytes();
        let is_region = !region.is_empty() && region.iter().all(|&b| is_edge(b) || b == b'-');
        if !is_key(&self.access_key) {
            Some("the S3 access key is empty or holds spaces".to_owned())
        } else if !is_key(&self.secret_key) {
            Some("the S3 secret key is empty or holds spaces".to_owned())
        } else if !is_bucket {
            let bucket = &self.bucket_name;
            Some(format!(
                "'{bucket}' is no bucket's name: 3 to 63 lower-case letters, digits, dots and dashes"
            ))
        } else if !is_region {
            Some(format!("'{}' is no region, such as us-east-1", self.region))
        } else {
            None
        }
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("S3Store");
        shown.field("bucket_name", &self.bucket_name).field("region", &self.region);
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(keys: [&str; 2], bucket: &str, region: &str) -> S3Store {
        let [access_key, secret_key] = keys.map(str::to_owned);
        let (bucket_name, region) = (bucket.to_owned(), region.to_owned());
        S3Store { region, access_key, secret_key, bucket_name, unknown: Map::new() }
    }

    #[test]
    fn what_no_s3_would_accept_is_found() {
        let keys = ["AKIA", "s/+="];
        for (store, expected) in [
            (store(keys, "my-bucket.1", "eu-west-1"), None),
            (store(["", "s"], "bucket", "r"), Some("access key")),
            (store(["a", "hunter 2"], "bucket", "r"), Some("secret key")),
            (store(keys, "ab", "r"), Some("'ab' is no bucket")),
            (store(keys, "Bucket", "r"), Some("no bucket")),
            (store(keys, "-bucket", "r"), Some("no bucket")),
            (store(keys, "bucket/x", "r"), Some("no bucket")),
            (store(keys, "bucket", ""), Some("no region")),
            (store(keys, "bucket", "eu west"), Some("no region")),
        ] {
            let found = store.mistake();
            let is_as_expected = match (&found, expected) {
                (Some(found), Some(expected)) => found.contains(expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_as_expected, "{store:?}: {found:?}");
            assert!(!found.unwrap_or_default().contains("hunter"), "a key is shown");
        }
    }

    #[test]
    fn debug_never_shows_a_key() {
        let shown = format!("{:?}", store(["AKIA", "hunter2"], "bucket", "r"));
        assert!(!shown.contains("AKIA") && !shown.contains("hunter2"), "{shown}");
    }
}
