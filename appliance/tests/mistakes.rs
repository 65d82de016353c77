//! What `lattice` says to a person who has made a mistake: the cause, the fix, and exit code 64.
//! Nothing here comes as far as starting anything.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lattice_appliance::lock::Lock;

const USAGE: i32 = 64;

fn lattice(args: &[&str]) -> Output {
    command(Path::new(env!("CARGO_BIN_EXE_lattice")), args).output().expect("it can be run")
}

fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    let names = ["DATA_DIR", "DOMAIN", "HOST_PORTS", "HTTP_PORT", "LISTEN", "STRATEGY", "USERNAME"];
    for name in names {
        command.env_remove(format!("LATTICE_{name}"));
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Exit code 64, and all of these words on standard error.
#[track_caller]
fn check(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(USAGE), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).expect("it is there").next().is_none()
}

#[test]
fn a_command_line_that_means_nothing_is_a_usage_error() {
    check(&lattice(&["up", "--nonsense"]), &["--nonsense", "--help"]);
    check(&lattice(&["updown"]), &["updown"]);
    check(&lattice(&["up", "--http-port", "70000"]), &["--http-port", "70000"]);
    check(&lattice(&["up", "--no-auth", "--password-file", "x"]), &["--no-auth"]);
    check(&lattice(&["up", "--cors-origin", "*"]), &["--cors-origin", "scheme, host and port"]);
    let both = ["up", "--cors-any-origin", "--cors-origin", "http://a.example"];
    check(&lattice(&both), &["--cors-any-origin", "--cors-origin"]);
    check(&lattice(&["up", "--strategy", "pack"]), &["--strategy", "spread, binpack or random"]);
    check(&lattice(&["up", "--placement-seed", "x"]), &["--placement-seed"]);
    check(&lattice(&["up", "--containers", "1001"]), &["--containers", "1..=1000"]);
    check(&lattice(&["up", "--host-ports", "62000"]), &["--host-ports", "such as 61000-65535"]);
    check(&lattice(&["up", "--host-ports", "9-8"]), &["--host-ports", "9 is above 8"]);
    check(&lattice(&["up", "--label", "ssd"]), &["--label", "write LABEL=VALUE"]);
    check(&lattice(&["up", "--label", "a b=c"]), &["--label", "letters, digits and - _ . /"]);
    check(&lattice(&["down", "--yes"]), &["--purge"]);
    check(&lattice(&[]), &["Usage"]);
    let help = lattice(&["up", "--help"]);
    assert!(help.status.success() && help.stderr.is_empty(), "{help:?}");
}

#[test]
fn every_mistake_is_told_at_once_and_nothing_is_kept_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let mut args = vec!["up", "--data-dir", data_dir, "--domain", "not a name"];
    args.extend(["--subnet", "nonsense", "--cell-id", "a/b", "--http-port", "8888"]);
    args.extend(["--label", "disk=ssd", "--label", "disk=hdd"]);
    args.extend(["--host-ports", "30000-30099", "--containers", "101"]);
    check(
        &lattice(&args),
        &[
            "--domain \"not a name\" is not a host name",
            "--subnet \"nonsense\" is not an IPv4 network, such as",
            "--cell-id \"a/b\" may hold only",
            "--label disk is given twice",
            "--receptor-port and --http-port are both 8888",
            "the host ports 30000-30099 are 100, too few for 101 instances with one each",
            "--host-ports takes more, and --containers fewer",
        ],
    );
    let args =
        ["up", "--data-dir", data_dir, "--subnet", "10.0.0.0/8", "--bridge", "much too long it is"];
    check(&lattice(&args), &["10.0.0.0/8 is not between /16 and /29", "\"much too long it is\""]);
    assert!(is_empty(dir.path()), "a purge could not make sense of it");
}

#[test]
fn a_taken_port_is_named_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--http-port", "--receptor-port", "--doppler-port"] {
        // Two that are taken, so that no mistake here could start an appliance on this machine.
        let other = if flag == "--http-port" { "--doppler-port" } else { "--http-port" };
        let second = TcpListener::bind("127.0.0.1:0").unwrap();
        let second_port = second.local_addr().unwrap().port().to_string();
        let args = ["up", "--data-dir", data_dir, flag, &port, other, &second_port];
        let words = [
            format!("port {port} of 127.0.0.1 is taken"),
            format!("choose another with {flag}"),
            format!("choose another with {other}"),
        ];
        check(&lattice(&args), &words.each_ref().map(String::as_str));
        assert!(is_empty(dir.path()), "something was made");
    }
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let args = ["up", "--data-dir", data_dir, "--listen", "192.0.2.1"];
    check(&lattice(&args), &["192.0.2.1 is no address of this machine", "--listen"]);
}

#[test]
fn a_data_directory_that_cannot_be_one_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let data_dir = file.path().to_str().unwrap();
    check(&lattice(&["up", "--data-dir", data_dir]), &[data_dir, "--data-dir"]);
}

#[test]
fn a_second_appliance_on_a_data_directory_is_told_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().to_str().unwrap();
    let _lock = Lock::take(dir.path()).unwrap();
    let words = [format!("pid {}", std::process::id()), "lattice down".to_owned()];
    check(&lattice(&["up", "--data-dir", data_dir]), &words.each_ref().map(String::as_str));
}

#[test]
fn whoever_is_not_root_is_told_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("lattice");
    std::fs::copy(env!("CARGO_BIN_EXE_lattice"), &program).unwrap();
    for path in [dir.path(), &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut up = command(&program, &["up", "--data-dir", "/nonexistent"]);
    let output = up.uid(65_534).gid(65_534).current_dir("/").output().unwrap();
    check(&output, &["root", "sudo lattice up"]);
}

#[test]
fn a_purge_is_not_done_for_want_of_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "").unwrap();
    let data_dir = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("lock"), "").unwrap();
    std::fs::write(dir.path().join("admin.json"), "{}").unwrap();
    check(&lattice(&["down", "--purge", "--data-dir", data_dir]), &["--yes"]);
    assert!(dir.path().join("admin.json").exists());
    let purged = lattice(&["down", "--purge", "--yes", "--data-dir", data_dir]);
    assert!(purged.status.success(), "{purged:?}");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["mine"], "what is not lattice's stays");
    let absent = dir.path().join("absent");
    let down = lattice(&["down", "--data-dir", absent.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&down.stdout).into_owned();
    assert!(down.status.success() && said.contains("there is no lattice in"), "{said}");
}

#[test]
fn a_directory_that_is_not_lattices_is_not_purged() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["mine", "images", "lock"] {
        std::fs::write(dir.path().join(name), "").unwrap();
        let data_dir = dir.path().to_str().unwrap();
        let purge = lattice(&["down", "--purge", "--yes", "--data-dir", data_dir]);
        check(&purge, &["nothing of its own to remove"]);
        assert!(dir.path().join(name).exists());
    }
}

#[test]
fn the_binary_needs_no_library() {
    let elf = std::fs::read(env!("CARGO_BIN_EXE_lattice")).unwrap();
    let word = |at: usize| u16::from_le_bytes([elf[at], elf[at + 1]]) as usize;
    let table = usize::try_from(u64::from_le_bytes(elf[32..40].try_into().unwrap())).unwrap();
    let (entry_bytes, entries) = (word(54), word(56));
    let kinds = (0..entries).map(|n| word(table + n * entry_bytes));
    // A program that needs a dynamic linker names it in a segment of this kind.
    const INTERPRETER: usize = 3;
    let kinds: Vec<usize> = kinds.collect();
    assert!(kinds.contains(&1), "the table was found: {kinds:?}");
    assert!(!kinds.contains(&INTERPRETER), "{kinds:?}");
}
