//! The platform that runs on this machine, for a person who may read its data directory.
//!
//! Its administrator's password is only ever given to a target that cannot be elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use crate::target::{Login, Target};

const DATA_DIR: &str = "/var/lib/lattice";
const CREDENTIALS: &str = "admin.json";
const TARGET: &str = "target";
const AUTHORITY: &str = "authority";
const DEFAULT_DOMAIN: &str = "lattice.localhost";

/// A data directory of `lattice up`.
#[derive(Debug, Clone)]
pub struct LocalPlatform {
    data_dir: PathBuf,
}

impl LocalPlatform {
    /// The platform with this data directory, or with the usual one.
    pub fn new(data_dir: Option<PathBuf>) -> Self {
        Self { data_dir: data_dir.unwrap_or_else(|| Path::new(DATA_DIR).to_owned()) }
    }

    /// The target this platform is, with its administrator's login where that may be sent;
    /// `None` when the credentials cannot be read.
    pub fn target(&self) -> Option<Target> {
        self.login()?;
        Some(self.log_in(Target::parse(&self.domain()).ok()?))
    }

    /// The domain, and the certificate of the authority that vouches for its names, in PEM.
    pub fn authority(&self) -> Option<(String, String)> {
        let domain = self.domain();
        let domain = domain.split(':').next().unwrap_or_default().to_owned();
        let path = self.data_dir.join(AUTHORITY).join(format!("{domain}.pem"));
        Some((domain, fs::read_to_string(path).ok()?))
    }

    fn domain(&self) -> String {
        let domain = fs::read_to_string(self.data_dir.join(TARGET)).unwrap_or_default();
        match domain.trim() {
            "" => DEFAULT_DOMAIN.to_owned(),
            domain => domain.to_owned(),
        }
    }

    /// Adds the administrator's login to a target that can only be this machine.
    pub fn log_in(&self, target: Target) -> Target {
        match self.login_for(&target) {
            Some(login) => target.with_login(login),
            None => target,
        }
    }

    /// The administrator's login, if it may be sent there.
    pub fn login_for(&self, target: &Target) -> Option<Login> {
        if target.is_loopback() { self.login() } else { None }
    }

    fn login(&self) -> Option<Login> {
        serde_json::from_slice(&fs::read(self.data_dir.join(CREDENTIALS)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(files: &[(&str, &str)]) -> (tempfile::TempDir, LocalPlatform) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        let platform = LocalPlatform::new(Some(dir.path().to_owned()));
        (dir, platform)
    }

    const ADMIN: (&str, &str) = ("admin.json", r#"{"username":"admin","password":"p"}"#);

    #[test]
    fn a_readable_platform_is_a_target_with_a_login() {
        for (content, domain) in [
            ("lattice.localhost:8080\n", "lattice.localhost:8080"),
            ("lattice.localhost", "lattice.localhost"),
            ("", "lattice.localhost"),
        ] {
            let (_dir, platform) = platform(&[ADMIN, ("target", content)]);
            let target = platform.target().unwrap();
            assert_eq!(target.domain, domain);
            assert_eq!(target.login.unwrap().username, "admin");
        }
        let (_dir, no_target_file) = platform(&[ADMIN]);
        assert_eq!(no_target_file.target().unwrap().domain, "lattice.localhost");
    }

    #[test]
    fn the_password_never_leaves_the_machine() {
        let (_dir, platform) = platform(&[ADMIN, ("target", "apps.example.com")]);
        let elsewhere = Target::parse("apps.example.com").unwrap();
        assert_eq!(platform.login_for(&elsewhere), None);
        assert_eq!(platform.target(), Some(elsewhere));
    }

    #[test]
    fn without_readable_credentials_there_is_no_platform() {
        assert_eq!(platform(&[("target", "x.localhost")]).1.target(), None);
        assert_eq!(platform(&[("admin.json", "{")]).1.target(), None);
    }
}
