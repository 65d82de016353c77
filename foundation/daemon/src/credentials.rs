//! The administrator's user and password: made once, kept in a file only its owner can read.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// The file's name in the data directory; JSON as [`Admin`].
pub const FILE: &str = "admin.json";
const PASSWORD_CHARS: usize = 32;

/// Who may command the platform. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admin {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read the credentials in {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the credentials to {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not hold what it should.
    #[error("{path} does not hold a user and password; move it away to have new ones made")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Admin {
    /// Reads what an earlier start made, or makes and keeps it.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, CredentialsError> {
        let path = data_dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| CredentialsError::Malformed { path, source }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let admin = Self { username: "admin".to_owned(), password: random_password() };
                admin.store(data_dir)?;
                Ok(admin)
            }
            Err(source) => Err(CredentialsError::Read { path, source }),
        }
    }

    /// Keeps these in the data directory, readable by the owner only. Whoever reads finds these or
    /// those before, also after power loss.
    pub fn store(&self, data_dir: &Path) -> Result<(), CredentialsError> {
        let (path, new) = (data_dir.join(FILE), data_dir.join(format!("{FILE}.new")));
        let json = serde_json::to_vec(self).expect("two strings are JSON");
        let write = || -> std::io::Result<()> {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(&json)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            fs::File::open(data_dir)?.sync_all()
        };
        write().map_err(|source| CredentialsError::Write { path: path.clone(), source })
    }

    /// Compares in a time that does not tell how much was right.
    pub fn is(&self, username: &str, password: &str) -> bool {
        let user = self.username.as_bytes().ct_eq(username.as_bytes());
        let pass = self.password.as_bytes().ct_eq(password.as_bytes());
        (user & pass).into()
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("username", &self.username).finish_non_exhaustive()
    }
}

fn random_password() -> String {
    let mut rng = rand::rng();
    let alphabet = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    (0..PASSWORD_CHARS).map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_replaces_the_old_at_once_and_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let made = Admin::load_or_create(dir.path()).unwrap();
        let reader = fs::File::open(dir.path().join(FILE)).unwrap();
        // What a crash left behind: longer, and for everyone to read.
        let leftover = dir.path().join(format!("{FILE}.new"));
        fs::write(&leftover, "x".repeat(4096)).unwrap();
        fs::set_permissions(&leftover, fs::Permissions::from_mode(0o644)).unwrap();
        let other = Admin { username: "o".to_owned(), password: "p".to_owned() };
        other.store(dir.path()).unwrap();
        assert_eq!(Admin::load_or_create(dir.path()).unwrap(), other);
        let before: Admin = serde_json::from_reader(reader).unwrap();
        assert_eq!(before, made, "the old file was written into");
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, leftover.exists()), (0o600, false));
    }
}
