//! What a download has to be: the digest that whoever asked for it expects.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use lattice_model::action::{ChecksumAlgorithm, Download};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The digest that a download must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    value: String,
}

// === impl Checksum ===

impl Checksum {
    /// What a step says; `None` when it says nothing, an error when that makes no sense.
    pub fn of(download: &Download) -> Result<Option<Self>, String> {
        let (name, value) = (&download.checksum_algorithm, &download.checksum_value);
        if name.is_empty() && value.is_empty() {
            return Ok(None);
        }
        let algorithm = ChecksumAlgorithm::named(name)
            .ok_or_else(|| format!("'{name}' is not md5, sha1 or sha256"))?;
        Ok(Some(Self { algorithm, value: value.to_ascii_lowercase() }))
    }

    /// Reads the file from its beginning and goes back there; the digest it has instead, where it
    /// has another. Blocks.
    pub(super) fn fault(&self, file: &mut File) -> io::Result<Option<String>> {
        file.rewind()?;
        let got = match self.algorithm {
            ChecksumAlgorithm::Md5 => digest::<Md5>(file)?,
            ChecksumAlgorithm::Sha1 => digest::<Sha1>(file)?,
            ChecksumAlgorithm::Sha256 => digest::<Sha256>(file)?,
        };
        file.rewind()?;
        let name = self.algorithm.name();
        let why = || format!("its {name} is {got}, and should be {}", self.value);
        Ok((got != self.value).then(why))
    }
}

fn digest<D: Digest>(file: &mut File) -> io::Result<String> {
    let mut hasher = D::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn checksum(algorithm: &str, value: &str) -> Result<Option<Checksum>, String> {
        let (checksum_algorithm, checksum_value) = (algorithm.to_owned(), value.to_owned());
        Checksum::of(&Download { checksum_algorithm, checksum_value, ..Download::default() })
    }

    #[test]
    fn each_algorithm_knows_its_own() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        for (algorithm, value) in [
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha1", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            let good = checksum(algorithm, value).unwrap().unwrap();
            assert_eq!(good.fault(&mut file).unwrap(), None, "{algorithm}");
            let bad = checksum(algorithm, &"0".repeat(value.len())).unwrap().unwrap();
            let why = bad.fault(&mut file).unwrap().unwrap();
            assert!(why.contains(&value.to_ascii_lowercase()) && why.contains(algorithm), "{why}");
        }
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc", "it is back at its beginning");
    }

    #[test]
    fn an_algorithm_that_is_none_is_named() {
        assert_eq!(checksum("", ""), Ok(None));
        for name in ["", "sha512", "MD5 "] {
            let why = checksum(name, "00").unwrap_err();
            assert_eq!(why, format!("'{name}' is not md5, sha1 or sha256"));
        }
    }
}
