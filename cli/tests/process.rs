//! `ltc` as a process: how it ends when it is interrupted, and when nobody reads.

#![cfg(target_os = "linux")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn ltc(home: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ltc"));
    command.env_clear().env("HOME", home).env("LATTICE_DATA_DIR", home);
    command
}

/// True when the process handles the signal, by what the kernel says.
fn handles(child: &Child, signal: u32) -> bool {
    let path = format!("/proc/{}/status", child.id());
    let status = std::fs::read_to_string(path).expect("a child that is not waited for is there");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.expect("the kernel tells the signals").trim();
    let caught = u64::from_str_radix(caught, 16).expect("the kernel writes hex");
    caught & (1 << (signal - 1)) != 0
}

fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_true() {
        assert!(Instant::now() < deadline, "{what} never came true");
        std::thread::yield_now();
    }
}

#[test]
fn an_interrupted_ltc_ends_with_160() {
    let home = tempfile::tempdir().unwrap();
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let mut child = ltc(home.path())
            .args(["registry", "login", "h.test", "--password-file", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // Waiting would close it, and the end of the input is an answer too.
        let _open = child.stdin.take();
        eventually("the signal is handled", || handles(&child, number));
        let pid = child.id().to_string();
        let kill = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(kill.success());
        assert_eq!(child.wait().unwrap().code(), Some(160), "{name}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = ltc(home.path()).args(["completion", "bash"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn errors_are_talk_and_say_what_comes_next() {
    let home = tempfile::tempdir().unwrap();
    let output = ltc(home.path()).arg("list").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("try: lattice up") && !stderr.contains('\x1b'), "{stderr}");
}
