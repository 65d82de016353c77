//! A real registry on a story's loopback: Debian's docker-registry.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;

use crate::{eventually, machine};

/// A running registry; ended when dropped.
pub struct Registry {
    process: Child,
    dir: TempDir,
    port: u16,
}

impl Registry {
    /// Starts one that serves everyone.
    pub fn open(port: u16) -> Self {
        Self::start(port, None)
    }

    /// Starts one that serves this user only.
    pub fn private(port: u16, user: &str, password: &str) -> Self {
        Self::start(port, Some((user, password)))
    }

    /// `127.0.0.1:PORT`, as image names have it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Leaves nothing of what it keeps in memory; it reads its files anew.
    pub fn forget(&self) {
        self.each_file(|path, _| {
            fadvise(File::open(path).unwrap(), 0, None, Advice::DontNeed).unwrap();
        });
    }

    /// Flips bits in the largest blob, as a failing disk would.
    pub fn corrupt_largest_blob(&self) {
        let mut largest = (0, PathBuf::new());
        self.each_file(|path, size| {
            if size > largest.0 {
                largest = (size, path);
            }
        });
        let mut bytes = std::fs::read(&largest.1).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0xff);
        std::fs::write(&largest.1, bytes).unwrap();
    }

    /// Looks at every file that it keeps, and its size.
    fn each_file(&self, mut look: impl FnMut(PathBuf, u64)) {
        let mut dirs = vec![self.dir.path().join("blobs")];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap().flatten() {
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    dirs.push(entry.path());
                } else {
                    look(entry.path(), metadata.len());
                }
            }
        }
    }

    fn start(port: u16, account: Option<(&str, &str)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
             delete: {{enabled: true}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            at("blobs")
        );
        if let Some((user, password)) = account {
            let table = machine::run("htpasswd", &["-Bbn", user, password]);
            std::fs::write(at("htpasswd"), table).unwrap();
            let auth = format!("auth:\n  htpasswd: {{realm: story, path: {}}}\n", at("htpasswd"));
            config.push_str(&auth);
        }
        std::fs::write(at("config.yml"), config).unwrap();
        let process = Command::new("docker-registry")
            .args(["serve", &at("config.yml")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("script/bootstrap installs docker-registry");
        eventually("the registry listens", Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port))
        });
        Self { process, dir, port }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
