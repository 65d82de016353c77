//! The files `ltc` keeps for a person: the target, and the credentials of registries.
//!
//! `config.json` is the original's, key by key (ltc C); keys we do not know are kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use lattice_model::{RegistryAccount, RegistryCredentials};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::droplet_store::{DAV_PORT, DropletStore, S3Store};
use crate::exit::{Exit, Failure};
use crate::target::{Login, Target};

const CONFIG: &str = "config.json";
const REGISTRIES: &str = "registries.json";
/// `active_blob_store` of the original.
const DAV: u64 = 0;
const S3: u64 = 1;

/// The directory `.lattice` of a person.
#[derive(Debug, Clone)]
pub struct ConfigDir(PathBuf);

/// The content of `config.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigFile {
    /// The target's domain; empty when none is set.
    pub target: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    password: String,
    active_blob_store: u64,
    dav_blob_store: DavStore,
    s3_blob_store: S3Store,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct DavStore {
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    port: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    password: String,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct RegistryLogin {
    username: String,
    password: String,
}

// === impl ConfigFile ===

impl ConfigFile {
    /// The target that is set, with its login.
    pub fn target(&self) -> Option<Target> {
        let target = Target::parse(&self.target).ok()?;
        Some(match self.username.is_empty() {
            true => target,
            false => target.with_login(Login {
                username: self.username.clone(),
                password: self.password.clone(),
            }),
        })
    }

    /// Sets the target and its login, and the droplet store beside it.
    pub fn set_target(&mut self, target: &Target) {
        let login = target.login.as_ref();
        let username = login.map(|l| l.username.clone()).unwrap_or_default();
        let password = login.map(|l| l.password.clone()).unwrap_or_default();
        self.target = target.domain.clone();
        self.active_blob_store = DAV;
        self.dav_blob_store.host = target.host().to_owned();
        self.dav_blob_store.port = DAV_PORT.to_owned();
        self.dav_blob_store.username = username.clone();
        self.dav_blob_store.password = password.clone();
        self.username = username;
        self.password = password;
    }

    /// Keeps droplets in a bucket, and not in the store beside the target.
    pub fn set_s3(&mut self, store: S3Store) {
        self.active_blob_store = S3;
        self.s3_blob_store = store;
    }

    /// Where droplets are kept; `None` where the file names no store.
    pub fn droplet_store(&self) -> Option<DropletStore> {
        if self.active_blob_store == S3 {
            return Some(&self.s3_blob_store).filter(|s3| !s3.is_empty()).map(S3Store::chosen);
        }
        let DavStore { host, port, username, .. } = &self.dav_blob_store;
        let user = if username.is_empty() { String::new() } else { format!("{username}@") };
        (!host.is_empty()).then(|| DropletStore::Dav { address: format!("{user}{host}:{port}") })
    }
}

// === impl ConfigDir ===

impl ConfigDir {
    /// Below the first of `LATTICE_CLI_HOME`, `HOME`, `USERPROFILE` that is set.
    pub fn find(var: impl Fn(&str) -> Option<String>) -> Option<Self> {
        ["LATTICE_CLI_HOME", "HOME", "USERPROFILE"]
            .iter()
            .find_map(|name| var(name).filter(|value| !value.is_empty()))
            .map(|home| Self(Path::new(&home).join(".lattice")))
    }

    /// Reads `config.json`: `None` when there is none, or it cannot be read or is not its like.
    pub fn load(&self) -> Option<ConfigFile> {
        serde_json::from_slice(&fs::read(self.0.join(CONFIG)).ok()?).ok()
    }

    /// Replaces `config.json` at once and for its owner only.
    pub fn store(&self, config: &ConfigFile) -> Result<(), Failure> {
        self.replace(CONFIG, &serde_json::to_vec(config).expect("strings and numbers are JSON"))
    }

    /// Credentials given by `ltc registry login`.
    pub fn registry(&self, registry: &str) -> Option<RegistryCredentials> {
        let RegistryLogin { username, password } = self.registries().remove(registry)?;
        Some(RegistryCredentials { registry: registry.to_owned(), username, password })
    }

    /// Keeps credentials of a registry.
    pub fn store_registry(&self, credentials: &RegistryCredentials) -> Result<(), Failure> {
        let mut all = self.registries();
        let RegistryCredentials { registry, username, password } = credentials.clone();
        all.insert(registry, RegistryLogin { username, password });
        self.replace(REGISTRIES, &serde_json::to_vec(&all).expect("strings are JSON"))
    }

    /// For which registries credentials are kept, and whose they are.
    pub fn registry_accounts(&self) -> Vec<RegistryAccount> {
        let account = |(registry, login): (String, RegistryLogin)| RegistryAccount {
            registry,
            username: login.username,
        };
        self.registries().into_iter().map(account).collect()
    }

    /// Forgets credentials of a registry; whether there were any.
    pub fn remove_registry(&self, registry: &str) -> Result<bool, Failure> {
        let mut all = self.registries();
        let is_known = all.remove(registry).is_some();
        if is_known {
            self.replace(REGISTRIES, &serde_json::to_vec(&all).expect("strings are JSON"))?;
        }
        Ok(is_known)
    }

    fn registries(&self) -> BTreeMap<String, RegistryLogin> {
        let bytes = fs::read(self.0.join(REGISTRIES)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        let path = self.0.join(name);
        let write = || -> io::Result<()> {
            create_private_dir(&self.0)?;
            // A temporary file is readable by its owner only.
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            io::Write::write_all(&mut file, content)?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|e| {
            Failure::new(Exit::FileSystem, format!("cannot write {}: {e}", path.display()))
                .next("LATTICE_CLI_HOME=DIR ltc ...    (keeps the files elsewhere)")
        })
    }
}

#[cfg(unix)]
fn create_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn create_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, ConfigDir) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_str().unwrap().to_owned();
        let dir = ConfigDir::find(|name| (name == "HOME").then(|| path.clone())).unwrap();
        (home, dir)
    }

    #[test]
    fn the_file_has_the_originals_keys_in_the_originals_order() {
        let (home, dir) = dir();
        let login = Login { username: "user".into(), password: "pass".into() };
        let mut config = ConfigFile::default();
        config.set_target(&Target::parse("lat.test").unwrap().with_login(login));
        dir.store(&config).unwrap();
        let text = fs::read_to_string(home.path().join(".lattice/config.json")).unwrap();
        assert_eq!(
            text,
            r#"{"target":"lat.test","username":"user","password":"pass","active_blob_store":0,"dav_blob_store":{"host":"lat.test","port":"8444","username":"user","password":"pass"},"s3_blob_store":{}}"#
        );
        assert_eq!(dir.load(), Some(config));
    }

    #[test]
    fn the_droplet_store_is_the_one_that_was_chosen_last() {
        let mut config = ConfigFile::default();
        assert_eq!(config.droplet_store(), None);
        let target = Target::parse("lat.test:81").unwrap();
        let shown = |config: &ConfigFile| config.droplet_store().unwrap().to_string();
        config.set_target(&target);
        assert_eq!(shown(&config), "lat.test:8444");
        let text = r#"{"region":"r","access_key":"a","secret_key":"s","bucket_name":"b"}"#;
        config.set_s3(serde_json::from_str(text).unwrap());
        assert_eq!(shown(&config), "s3://b (r)");
        let kept = serde_json::to_value(&config).unwrap();
        assert_eq!(kept["active_blob_store"], 1);
        assert_eq!(kept["s3_blob_store"], serde_json::from_str::<Value>(text).unwrap());
        let login = Login { username: "u".into(), password: "p".into() };
        config.set_target(&target.with_login(login));
        assert_eq!(shown(&config), "u@lat.test:8444");
    }

    #[test]
    fn keys_of_others_survive() {
        let (home, dir) = dir();
        fs::create_dir(home.path().join(".lattice")).unwrap();
        let path = home.path().join(".lattice/config.json");
        let text = r#"{"target":"a.test","theirs":{"x":1},"dav_blob_store":{"odd":true},"s3_blob_store":{"region":"r"}}"#;
        fs::write(&path, text).unwrap();
        let mut config = dir.load().unwrap();
        config.set_target(&Target::parse("b.test:81").unwrap());
        dir.store(&config).unwrap();
        let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(value["theirs"]["x"], 1);
        assert_eq!(value["dav_blob_store"]["odd"], true);
        assert_eq!(value["dav_blob_store"]["host"], "b.test");
        assert_eq!(value["s3_blob_store"]["region"], "r");
        assert_eq!(value["target"], "b.test:81");
        assert!(value.get("username").is_none(), "a new target forgets the old login");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let (home, dir) = dir();
        dir.store(&ConfigFile::default()).unwrap();
        let mode =
            |path: &str| fs::metadata(home.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(".lattice"), 0o700);
        assert_eq!(mode(".lattice/config.json"), 0o600);
    }

    #[test]
    fn what_cannot_be_read_is_as_if_it_were_not_there() {
        let (home, dir) = dir();
        assert_eq!(dir.load(), None);
        fs::create_dir(home.path().join(".lattice")).unwrap();
        fs::write(home.path().join(".lattice/config.json"), "{nonsense").unwrap();
        assert_eq!(dir.load(), None);
    }

    #[test]
    fn registries_are_kept_each_for_itself() {
        let (_home, dir) = dir();
        let credentials = |registry: &str, password: &str| RegistryCredentials {
            registry: registry.into(),
            username: "u".into(),
            password: password.into(),
        };
        dir.store_registry(&credentials("a.test", "1")).unwrap();
        dir.store_registry(&credentials("b.test", "2")).unwrap();
        dir.store_registry(&credentials("a.test", "3")).unwrap();
        assert_eq!(dir.registry("a.test"), Some(credentials("a.test", "3")));
        assert_eq!(dir.registry("b.test"), Some(credentials("b.test", "2")));
        assert_eq!(dir.registry("c.test"), None);
        assert!(dir.remove_registry("a.test").unwrap());
        assert!(!dir.remove_registry("a.test").unwrap());
        let account = RegistryAccount { registry: "b.test".into(), username: "u".into() };
        assert_eq!(dir.registry_accounts(), [account]);
    }

    #[test]
    fn the_first_home_that_is_set_wins() {
        let find = |vars: &[(&str, &str)]| {
            ConfigDir::find(|name| {
                vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
            })
            .map(|dir| dir.0)
        };
        let all = [("LATTICE_CLI_HOME", "/l"), ("HOME", "/h"), ("USERPROFILE", "/u")];
        assert_eq!(find(&all), Some("/l/.lattice".into()));
        assert_eq!(find(&all[1..]), Some("/h/.lattice".into()));
        assert_eq!(find(&all[2..]), Some("/u/.lattice".into()));
        assert_eq!(find(&[("HOME", "")]), None);
    }
}
