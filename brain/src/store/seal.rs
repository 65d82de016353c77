//! What is secret lies sealed in the store: encrypted for the one name it belongs to, with a key that
//! is in a file of its own. Who has the store or a backup of it alone, has no password.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::StoreError;
use super::sqlite::sync_directory_of;

/// The key's file in the data directory.
pub(super) const KEY_FILE: &str = "sealing.key";
const KEY_BYTES: usize = 32;
/// How what is sealed begins; another form would begin otherwise.
const FORM: u8 = 1;

/// Seals and opens.
#[derive(Debug)]
pub(super) struct Seal {
    key: LessSafeKey,
    dice: SystemRandom,
    path: PathBuf,
}

// === impl Seal ===

impl Seal {
    /// With the key that an earlier start made in this file, or with a new one, which is there for
    /// its owner alone.
    pub(super) fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Key { path: path.to_owned(), source };
        let key = match fs::read(path) {
            Ok(key) => key,
            Err(e) if e.kind() == io::ErrorKind::NotFound => create(path).map_err(failed)?,
            Err(e) => return Err(failed(e)),
        };
        let (bytes, dice) = (key.len(), SystemRandom::new());
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).map_err(|_| StoreError::NoKey {
            path: path.to_owned(),
            bytes,
            needed: KEY_BYTES,
        })?;
        Ok(Self { key: LessSafeKey::new(key), dice, path: path.to_owned() })
    }

    /// Where the key is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Seals a text for a name: as often as it is done, with another outcome.
    pub(super) fn close(&self, name: &str, text: &str) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        self.dice.fill(&mut nonce).expect("the kernel has randomness");
        let mut sealed = text.as_bytes().to_vec();
        let closing = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(closing, Aad::from(name), &mut sealed)
            .expect("a text is shorter than what one key can seal");
        [&[FORM][..], &nonce, &sealed].concat()
    }

    /// What was sealed for this name with this key; `None` for all else.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Option<String> {
        let sealed = sealed.strip_prefix(&[FORM])?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(name), &mut sealed).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

/// Makes a key that survives a power cut before anything is sealed with it.
fn create(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("there is no randomness"))?;
    // A temporary file is its owner's alone.
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    sync_directory_of(path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    fn seal(dir: &tempfile::TempDir) -> Seal {
        Seal::load_or_create(&dir.path().join(KEY_FILE)).unwrap()
    }

    #[test]
    fn a_key_is_made_once_and_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = seal(&dir).close("name", "text");
        assert_eq!(seal(&dir).open("name", &sealed).as_deref(), Some("text"));
        let file = dir.path().join(KEY_FILE).metadata().unwrap();
        assert_eq!((file.permissions().mode() & 0o777, file.len()), (0o600, 32));
        assert_eq!(seal(&tempfile::tempdir().unwrap()).open("name", &sealed), None);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_with_what_to_do_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        fs::write(&path, "short").unwrap();
        let message = Seal::load_or_create(&path).unwrap_err().to_string();
        assert!(message.contains("holds 5 bytes, and a key has 32"), "{message}");
        assert!(message.contains("ltc registry login"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_for_its_name_alone_and_only_whole(
            text in ".{0,40}", name in ".{0,8}", other in ".{0,8}", at in 0..100_usize, bit in 0..8,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let seal = seal(&dir);
            let sealed = seal.close(&name, &text);
            prop_assert_ne!(&sealed, &seal.close(&name, &text));
            prop_assert_eq!(seal.open(&name, &sealed), Some(text));
            if other != name {
                prop_assert_eq!(seal.open(&other, &sealed), None);
            }
            let at = at % sealed.len();
            prop_assert_eq!(seal.open(&name, &sealed[..at]), None);
            let mut changed = sealed;
            changed[at] ^= 1_u8 << bit;
            prop_assert_eq!(seal.open(&name, &changed), None);
        }
    }
}
