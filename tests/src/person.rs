//! A person on the appliance's machine who is not root, with a home, `ltc`, and perhaps a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use tempfile::TempDir;

use crate::appliance::{Appliance, Said};
use crate::{PATIENCE, eventually, expect, image};

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
        let (mut keyboard, terminal) = terminal();
        let mut command = self.command(args);
        for stream in [Command::stdin, Command::stdout, Command::stderr] {
            stream(&mut command, terminal.try_clone().unwrap());
        }
        // SAFETY: both are system calls that may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                Ok(ioctl_tiocsctty(std::io::stdin())?)
            })
        };
        let mut child = command.spawn().expect("ltc can be started");
        // The command holds the terminal as well, and the end is seen when nobody does.
        drop((command, terminal));
        let mut shown = String::new();
        for (question, answer) in answers {
            let asked = read_until(&mut keyboard, &mut shown, |shown| shown.contains(question));
            assert!(asked, "{question:?} was not asked: {shown}");
            if question.starts_with("password") {
                // Nobody types so fast that it would still be shown.
                eventually("the terminal shows no more", PATIENCE, || is_blind(&keyboard));
            }
            keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
        }
        read_until(&mut keyboard, &mut shown, |_| false);
        let code = child.wait().unwrap().code().unwrap_or(-1);
        Said { code, out: shown, err: String::new() }
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

/// A terminal: the side of its keyboard and screen, and the side of programs.
fn terminal() -> (File, File) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = open(name, flags, Mode::empty()).unwrap();
    (keyboard.into(), terminal.into())
}

/// Whether what is typed is not shown.
fn is_blind(keyboard: &File) -> Result<(), LocalModes> {
    let modes = tcgetattr(keyboard).unwrap().local_modes;
    expect(!modes.contains(LocalModes::ECHO), modes)
}

/// Reads on until it is as wanted; false when the terminal's program has ended before.
fn read_until(from: &mut File, shown: &mut String, is_so: impl Fn(&str) -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(shown) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing more within {PATIENCE:?}: {shown}");
        let timeout = Timespec::try_from(left).unwrap();
        poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&timeout)).unwrap();
        let mut bytes = [0; 4096];
        match from.read(&mut bytes) {
            // The terminal says so when nobody holds its other side any more.
            Ok(0) | Err(_) => return false,
            Ok(count) => shown.push_str(&String::from_utf8_lossy(&bytes[..count])),
        }
    }
    true
}
