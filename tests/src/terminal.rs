//! A program at a terminal of its own, and who types and reads there.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::appliance::Said;
use crate::{PATIENCE, eventually, expect};

/// A program at a terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    shown: String,
}

impl Terminal {
    /// Starts a program at a terminal of so many columns and rows.
    pub fn start(mut command: Command, (columns, rows): (u16, u16)) -> Self {
        let (keyboard, screen) = terminal();
        resize(&keyboard, (columns, rows));
        for stream in [Command::stdin, Command::stdout, Command::stderr] {
            stream(&mut command, screen.try_clone().unwrap());
        }
        // SAFETY: both are system calls that may be made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                Ok(ioctl_tiocsctty(std::io::stdin())?)
            })
        };
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        // The command holds the terminal as well, and the end is seen when nobody does.
        drop((command, screen));
        Self { child, keyboard, shown: String::new() }
    }

    /// Reads until this is shown.
    pub fn until(&mut self, wanted: &str) {
        let is_shown = self.read(|shown| shown.contains(wanted));
        assert!(is_shown, "{wanted:?} was not shown: {}", self.shown);
    }

    /// What it has shown so far.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Waits until what is typed is not shown.
    pub fn until_blind(&self) {
        eventually("the terminal shows no more", PATIENCE, || {
            let modes = tcgetattr(&self.keyboard).unwrap().local_modes;
            expect(!modes.contains(LocalModes::ECHO), modes)
        });
    }

    /// Types.
    pub fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Changes the size of its window.
    pub fn resize(&self, size: (u16, u16)) {
        resize(&self.keyboard, size);
    }

    /// Waits for its end; what the terminal showed is the output.
    pub fn end(mut self) -> Said {
        self.read(|_| false);
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Said { code, out: std::mem::take(&mut self.shown), err: String::new() }
    }

    /// Reads on until it is as wanted; false when the program has ended before.
    fn read(&mut self, is_so: impl Fn(&str) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.shown) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing more within {PATIENCE:?}: {}", self.shown);
            let timeout = Timespec::try_from(left).unwrap();
            let mut wait = [PollFd::new(&self.keyboard, PollFlags::IN)];
            if poll(&mut wait, Some(&timeout)).unwrap() == 0 {
                continue;
            }
            let mut bytes = [0; 4096];
            match self.keyboard.read(&mut bytes) {
                // The terminal says so when nobody holds its other side any more.
                Ok(0) | Err(_) => return false,
                Ok(count) => self.shown.push_str(&String::from_utf8_lossy(&bytes[..count])),
            }
        }
        true
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
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

fn resize(keyboard: &File, (ws_col, ws_row): (u16, u16)) {
    let size = Winsize { ws_col, ws_row, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(keyboard, size).unwrap();
}
