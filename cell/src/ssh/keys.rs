//! The cell's keys for SSH, in files for their owner's eyes only: `host_key` is its own, made at the
//! first start; `client_key`, made with it, lets its holder in everywhere, and is for the proxy;
//! `authorized_keys`, where somebody put it there, has the public keys of others.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};

/// The file with the cell's own key.
pub const HOST_KEY: &str = "host_key";
/// The file with the key that lets its holder in; its public half is beside it, `.pub`.
pub const CLIENT_KEY: &str = "client_key";
/// The file with the public keys of others that are let in, one a line.
pub const AUTHORIZED_KEYS: &str = "authorized_keys";

/// The cell's keys.
#[derive(Debug, Clone)]
pub struct Keys {
    host: PrivateKey,
    clients: Vec<PublicKey>,
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("cannot use {file}: {why}", file = file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the machine said.
        why: io::Error,
    },
    /// A file holds something else.
    #[error("{file} holds no key ({why}); move it away, and the next start makes a new one", file = file.display())]
    NoKey {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A line is no public key.
    #[error("line {line} of {file} is no public key: {why}", file = file.display())]
    NoPublicKey {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1 on.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

// === impl Keys ===

impl Keys {
    /// Reads the keys in `dir`; makes those that the cell makes, where they are not there.
    pub fn load_or_create(dir: &Path) -> Result<Self, KeysError> {
        let prepare = || {
            fs::create_dir_all(dir)?;
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        };
        prepare().map_err(|why| KeysError::File { file: dir.to_owned(), why })?;
        let host = key(&dir.join(HOST_KEY))?;
        let client = key(&dir.join(CLIENT_KEY))?.public_key().clone();
        let public = client.to_openssh().expect("a key that was made is written");
        write(&dir.join(CLIENT_KEY).with_extension("pub"), &format!("{public}\n"))?;
        let mut clients = vec![client];
        clients.extend(authorized(&dir.join(AUTHORIZED_KEYS))?);
        Ok(Self { host, clients })
    }

    /// The cell's own.
    pub fn host(&self) -> &PrivateKey {
        &self.host
    }

    /// True when this key's holder is let in.
    pub fn lets_in(&self, key: &PublicKey) -> bool {
        self.clients.iter().any(|known| known.key_data() == key.key_data())
    }
}

fn key(file: &Path) -> Result<PrivateKey, KeysError> {
    let no_key = |why: String| KeysError::NoKey { file: file.to_owned(), why };
    if let Some(text) = read(file)? {
        return PrivateKey::from_openssh(&text).map_err(|e| no_key(e.to_string()));
    }
    let made = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519);
    let made = made.map_err(|e| no_key(e.to_string()))?;
    let text = made.to_openssh(LineEnding::LF).map_err(|e| no_key(e.to_string()))?;
    write(file, &text)?;
    Ok(made)
}

fn authorized(file: &Path) -> Result<Vec<PublicKey>, KeysError> {
    let text = read(file)?.unwrap_or_default();
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let key = |(at, line): (usize, &str)| {
        PublicKey::from_openssh(line).map_err(|e| {
            let (file, line, why) = (file.to_owned(), at + 1, e.to_string());
            KeysError::NoPublicKey { file, line, why }
        })
    };
    lines.map(key).collect()
}

fn read(file: &Path) -> Result<Option<String>, KeysError> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(KeysError::File { file: file.to_owned(), why }),
    }
}

/// Whoever reads finds this or what was before, never a half.
fn write(file: &Path, text: &str) -> Result<(), KeysError> {
    let new = file.with_extension("new");
    let put = || {
        let mut options = fs::OpenOptions::new();
        let mut open = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        fs::rename(&new, file)
    };
    put().map_err(|why| KeysError::File { file: file.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_for_their_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("ssh");
        let first = Keys::load_or_create(&dir).unwrap();
        let again = Keys::load_or_create(&dir).unwrap();
        assert_eq!(first.host().public_key(), again.host().public_key());
        for file in [HOST_KEY, CLIENT_KEY] {
            let mode = fs::metadata(dir.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let client = PrivateKey::from_openssh(fs::read(dir.join(CLIENT_KEY)).unwrap()).unwrap();
        assert!(again.lets_in(client.public_key()));
        assert!(!again.lets_in(first.host().public_key()));
    }

    #[test]
    fn others_are_let_in_where_somebody_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let other = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
        let line = other.public_key().to_openssh().unwrap();
        let file = dir.path().join(AUTHORIZED_KEYS);
        fs::write(&file, format!("# the proxy\n\n{line}\n")).unwrap();
        assert!(Keys::load_or_create(dir.path()).unwrap().lets_in(other.public_key()));
        fs::write(&file, "\nssh-ed25519 nonsense\n").unwrap();
        let error = Keys::load_or_create(dir.path()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("line 2 of {} is no public key", file.display())));
        fs::remove_file(&file).unwrap();
        fs::write(dir.path().join(HOST_KEY), "nonsense").unwrap();
        let error = Keys::load_or_create(dir.path()).unwrap_err().to_string();
        assert!(error.contains("host_key holds no key"), "{error}");
    }
}
