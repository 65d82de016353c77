//! The registry passwords Docker knows: from its configuration file, or from the helper it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use lattice_model::RegistryCredentials;
use lattice_model::image::DEFAULT_REGISTRY;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

const HELPER_TIMEOUT: Duration = Duration::from_secs(10);
/// The user name by which a helper says that the secret is a token for another protocol.
const TOKEN_USER: &str = "<token>";

/// Docker's configuration file, as far as it concerns passwords. `Debug` is left out on purpose.
#[derive(Default, Deserialize)]
pub struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

/// Why Docker's passwords cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DockerConfigError {
    /// The file cannot be read or does not parse.
    #[error("cannot use {path}: {why}; use ltc registry login HOST instead")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The helper program failed.
    #[error("{program} has no password for {host}: {why}; use ltc registry login {host} instead")]
    Helper {
        /// Which program.
        program: String,
        /// For which registry.
        host: String,
        /// What is wrong.
        why: String,
    },
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

// === impl DockerConfig ===

impl DockerConfig {
    /// Where the file is: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    pub fn default_path() -> Option<PathBuf> {
        let directory = match std::env::var_os("DOCKER_CONFIG").filter(|d| !d.is_empty()) {
            Some(directory) => PathBuf::from(directory),
            None => std::env::home_dir()?.join(".docker"),
        };
        Some(directory.join("config.json"))
    }

    /// Reads a file; one that is not there knows no passwords.
    pub fn load(path: &Path) -> Result<Self, DockerConfigError> {
        let failed = |why: String| DockerConfigError::File { path: path.to_owned(), why };
        match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(failed(e.to_string())),
            // What serde says of a mistake may quote the file, so only the place is told.
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                failed(format!("it does not parse at line {}, column {}", e.line(), e.column()))
            }),
        }
    }

    /// The credentials for a registry, as images name it. A helper is asked where one is named.
    pub async fn credentials_for(
        &self,
        host: &str,
    ) -> Result<Option<RegistryCredentials>, DockerConfigError> {
        let own = self.helpers.iter().find(|(key, _)| is_for(key, host));
        if let Some((key, helper)) = own {
            return ask(helper, key, host).await.map(|c| c.map(|c| c.named(host)));
        }
        if let Some(found) = self.written(host) {
            return Ok(Some(found.named(host)));
        }
        match &self.store {
            Some(store) => {
                let listed = self.auths.keys().find(|key| is_for(key, host));
                let key = listed.map_or_else(|| server_of(host), String::as_str);
                ask(store, key, host).await.map(|c| c.map(|c| c.named(host)))
            }
            None => Ok(None),
        }
    }

    fn written(&self, host: &str) -> Option<HelperAnswer> {
        let auth = self.auths.iter().find(|(key, _)| is_for(key, host)).map(|(_, auth)| auth)?;
        if let Some(encoded) = auth.auth.as_deref().filter(|a| !a.is_empty()) {
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
            let pair = String::from_utf8(decoded).ok()?;
            let (username, secret) = pair.split_once(':')?;
            let secret = secret.trim_end_matches('\0');
            return Some(HelperAnswer { username: username.into(), secret: secret.into() });
        }
        let (username, secret) = (auth.username.clone()?, auth.password.clone()?);
        Some(HelperAnswer { username, secret })
    }
}

// === impl HelperAnswer ===

impl HelperAnswer {
    fn named(self, host: &str) -> RegistryCredentials {
        RegistryCredentials {
            registry: host.to_owned(),
            username: self.username,
            password: self.secret,
        }
    }
}

/// True when a key of the file means that registry; keys may be URLs.
fn is_for(key: &str, host: &str) -> bool {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare.split('/').next().unwrap_or_default();
    let is_docker =
        |name: &str| matches!(name, DEFAULT_REGISTRY | "index.docker.io" | "registry-1.docker.io");
    bare == host || (is_docker(host) && is_docker(bare))
}

/// What helpers know a registry by.
fn server_of(host: &str) -> &str {
    if host == DEFAULT_REGISTRY { "https://index.docker.io/v1/" } else { host }
}

/// Runs `docker-credential-NAME get`, the registry on its standard input.
async fn ask(
    name: &str,
    server: &str,
    host: &str,
) -> Result<Option<HelperAnswer>, DockerConfigError> {
    let program = format!("docker-credential-{name}");
    let failed = |why: String| DockerConfigError::Helper {
        program: program.clone(),
        host: host.to_owned(),
        why,
    };
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(failed("its name is not one of a program".to_owned()));
    }
    let run = async {
        let mut child = tokio::process::Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // A helper that does not read its input still answers.
            let _ = input.write_all(server.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(HELPER_TIMEOUT, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(e)) => return Err(failed(e.to_string())),
        Err(_) => return Err(failed(format!("no answer in {} s", HELPER_TIMEOUT.as_secs()))),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(format!("it ended with {}", output.status)));
    }
    match serde_json::from_slice::<HelperAnswer>(&output.stdout) {
        Ok(answer) if answer.username == TOKEN_USER => {
            Err(failed("it holds an identity token, which is not supported".to_owned()))
        }
        Ok(answer) => Ok(Some(answer)),
        Err(_) => Err(failed("its answer is not what was expected".to_owned())),
    }
}
