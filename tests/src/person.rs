//! A person on the appliance's machine who is not root, with a home, `ltc`, and perhaps a terminal.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::appliance::{Appliance, Said};
use crate::image;
use crate::terminal::Terminal;

/// Debian's `nobody`.
const UID: u32 = 65534;

/// The person.
pub struct Person {
    home: TempDir,
    data_dir: PathBuf,
}

impl Person {
    /// Somebody on this appliance's machine.
    pub fn on(lattice: &Appliance) -> Self {
        let home = tempfile::Builder::new().prefix("lattice-person-").tempdir().unwrap();
        std::fs::copy(image::stripped("ltc"), home.path().join("ltc")).unwrap();
        chown(home.path(), Some(UID), Some(UID)).unwrap();
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let executable = PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(home.path().join("ltc"), executable).unwrap();
        Self { home, data_dir: lattice.data_dir() }
    }

    /// Writes a file that only this person may read, and returns its path.
    pub fn write(&self, name: &str, content: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        chown(&path, Some(UID), Some(UID)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs `ltc` to its end without a terminal.
    pub fn ltc(&self, args: &[&str]) -> Said {
        let mut command = self.command(args);
        command.stdin(Stdio::null());
        Said::of(command)
    }

    /// Runs `ltc` to its end at a terminal, and answers each question when it is asked. What the
    /// terminal showed is the output.
    pub fn ltc_at_terminal(&self, args: &[&str], answers: &[(&str, &str)]) -> Said {
        let mut terminal = Terminal::start(self.command(args), (80, 24));
        for (question, answer) in answers {
            terminal.until(question);
            if question.starts_with("password") {
                // Nobody types so fast that it would still be shown.
                terminal.until_blind();
            }
            terminal.type_in(&format!("{answer}\n"));
        }
        terminal.end()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.home.path().join("ltc"));
        command
            .args(args)
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env("LATTICE_DATA_DIR", &self.data_dir)
            .env_remove("LATTICE_CLI_HOME")
            .uid(UID)
            .gid(UID);
        command
    }
}
