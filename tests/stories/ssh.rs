//! People get into instances by SSH, with OpenSSH's own client: shells, commands, files and
//! connections, in what the app is in and no further.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lattice_tests::appliance::{Appliance, Said};
use lattice_tests::terminal::Terminal;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine};
use serde_json::json;

const ADDRESS: &str = "127.0.0.1:2299";
const PORT: &str = "2299";
/// For what would take a colon for the end of a host's name.
const USER: &str = "User=diego:web/0";

#[test]
fn a_command_has_its_status_its_streams_its_user_and_the_apps_bounds() {
    let (lattice, _web) = stage();
    let said = ssh(&lattice, "diego:web/0", &["echo out; echo err >&2; exit 7"], "");
    assert_eq!((said.code, said.out.as_str()), (7, "out\n"), "{said:?}");
    assert!(said.err.contains("err\n"), "{said:?}");
    let said = ssh(&lattice, "diego:web/0", &["cat; echo over"], "what is typed\n");
    assert_eq!((said.code, said.out.as_str()), (0, "what is typed\nover\n"), "{said:?}");
    let who = "id -u; pwd; echo $USER $INSTANCE_INDEX; cat /proc/self/status /proc/self/cgroup";
    let said = ssh(&lattice, "diego:web/0", &[who], "");
    assert!(said.out.starts_with("4321\n/srv\nclerk 0\n"), "{said:?}");
    assert!(said.out.contains("Seccomp:\t2") && said.out.contains("NoNewPrivs:\t1"), "{said:?}");
    assert!(said.out.contains("CapEff:\t0000000000000000"), "it is not root: {said:?}");
    let said = ssh(&lattice, "diego:web/0", &["kill -TERM $$"], "");
    assert_eq!(said.code, 143, "{said:?}");
    let guid = lattice.instances(&_web, "web")[0]["instance_guid"].as_str().unwrap().to_owned();
    let said = ssh(&lattice, &guid, &["echo by guid"], "");
    assert_eq!(said.out, "by guid\n", "{said:?}");
}

#[test]
fn a_shell_at_a_terminal_knows_its_size_and_hears_of_another() {
    let (lattice, _web) = stage();
    let mut command = ssh_command(&lattice, "diego:web/0", &[]);
    command.env("TERM", "vt100");
    let mut terminal = Terminal::start(command, (91, 17));
    terminal.type_in("echo $TERM; tty; stty size\n");
    terminal.until("vt100");
    terminal.until("/dev/pts/");
    terminal.until("17 91");
    terminal.resize((120, 30));
    let mut asked = 0;
    eventually("the size arrives", PATIENCE, || {
        asked += 1;
        terminal.type_in(&format!("stty size; echo asked-{asked}\n"));
        terminal.until(&format!("\nasked-{asked}\r\n"));
        expect(terminal.shown().contains("30 120"), terminal.shown().to_owned())
    });
    terminal.type_in("exit 5\n");
    assert_eq!(terminal.end().code, 5);
}

#[test]
fn files_go_up_and_down_by_sftp_and_scp_and_links_lead_nowhere_else() {
    let (lattice, _web) = stage();
    let here = lattice.scratch().join("files");
    std::fs::create_dir_all(here.join("tree/deep")).unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    std::fs::write(here.join("big"), &big).unwrap();
    std::fs::write(here.join("tree/deep/leaf"), "leaf").unwrap();
    let at = |name: &str| here.join(name).to_str().unwrap().to_owned();

    let batch = format!(
        "pwd\nput {} up\nrename up moved\nmkdir dir\nls -l\nget moved {}\nln -s {} link\nget link {}\n",
        at("big"),
        at("back"),
        at("big"),
        at("stolen"),
    );
    let said = sftp(&lattice, &batch);
    assert_ne!(said.code, 0, "the last one is refused: {said:?}");
    assert!(said.out.contains("Remote working directory: /srv"), "{said:?}");
    assert!(said.out.contains("moved") && said.out.contains("dir"), "{said:?}");
    assert_eq!(std::fs::read(here.join("back")).unwrap(), big);
    assert!(!here.join("stolen").exists(), "{said:?}");
    let root = root_of(&lattice);
    let (moved, link) = (root.join("srv/moved"), root.join("srv/link"));
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&moved).unwrap());
    assert_ne!(owner, 0, "it belongs to the app's user");
    assert_eq!(std::fs::read_link(link).unwrap(), here.join("big"));

    for legacy in [false, true] {
        let up = scp(&lattice, legacy, &at("tree"), ":copied");
        let down = scp(&lattice, legacy, ":copied", &at(&format!("again-{legacy}")));
        if legacy {
            // The old way wants a program in the image, and says so.
            assert_ne!((up.code, down.code), (0, 0), "{up:?} {down:?}");
        } else {
            assert_eq!((up.code, down.code), (0, 0), "{up:?} {down:?}");
            let leaf = here.join("again-false/deep/leaf");
            assert_eq!(std::fs::read_to_string(leaf).unwrap(), "leaf");
        }
    }
}

#[test]
fn connections_are_forwarded_from_inside_where_somebody_listens() {
    let (lattice, _web) = stage();
    for (user, web_at) in [("diego:web/0", "localhost:8080"), ("diego:bare/0", "127.0.0.1:8080")] {
        let forward = format!("127.0.0.1:7001:{web_at}");
        let args = ["-N", "-L", &forward, "-L", "127.0.0.1:7002:127.0.0.1:1"];
        let client = Running(ssh_options(&lattice, user, &args).spawn().unwrap());
        let greeting = eventually("the app answers through it", PATIENCE, || get(7001));
        let expected = if user.contains("web") { "from inside" } else { "fixture" };
        assert!(greeting.ends_with(expected), "{user}: {greeting:?}");
        assert!(get(7002).is_err(), "nobody listens there");
        drop(client);
    }
}

#[test]
fn an_image_without_a_shell_runs_its_own_programs_and_has_its_files() {
    let (lattice, _web) = stage();
    let said = ssh(&lattice, "diego:bare/0", &["/fixture-app exit 3"], "");
    assert_eq!((said.code, said.out.as_str()), (3, "going to exit with 3\n"), "{said:?}");
    let said = ssh(&lattice, "diego:bare/0", &[], "");
    assert_eq!(said.code, 126, "{said:?}");
    assert!(said.err.contains("the image has no shell; name a program of it"), "{said:?}");
    let said = ssh(&lattice, "diego:bare/0", &["/nothing"], "");
    assert_eq!(said.code, 127, "{said:?}");
    assert!(said.err.contains("cannot run /nothing"), "{said:?}");
    let said = ssh(&lattice, "diego:bare/0/side", &["/fixture-app exit 4"], "");
    assert_eq!(said.code, 4, "a sidecar's container: {said:?}");
}

#[test]
fn nobody_is_let_in_without_a_key_or_where_there_is_nothing() {
    let (lattice, web) = stage();
    let stranger = lattice.scratch().join("stranger");
    let key = ["-q", "-t", "ed25519", "-N", "", "-f", stranger.to_str().unwrap()];
    machine::run("ssh-keygen", &key);
    let mut command = ssh_command(&lattice, "diego:web/0", &["true"]);
    command.args(["-o", "IdentityAgent=none"]);
    let mut refused = Command::new("ssh");
    refused.args(options(&stranger)).args(["-l", "diego:web/0", "127.0.0.1", "true"]);
    for (what, command) in [
        ("another key", refused),
        ("no such app", ssh_command(&lattice, "diego:nobody/0", &["true"])),
        ("no such index", ssh_command(&lattice, "diego:web/9", &["true"])),
        ("no such container", ssh_command(&lattice, "diego:web/0/nobody", &["true"])),
        ("no name of ours", ssh_command(&lattice, "root", &["true"])),
    ] {
        let said = Said::of(command);
        assert_eq!(said.code, 255, "{what}: {said:?}");
        assert!(said.err.contains("Permission denied"), "{what}: {said:?}");
    }
    drop(command);
    assert_eq!(lattice.states(&web, "web"), ["RUNNING"]);
}

#[test]
fn a_process_that_reads_nothing_holds_up_no_other_and_one_that_never_does_is_ended() {
    let (lattice, _web) = stage();
    let control = lattice.scratch().join("control");
    let over = |mode: &str| {
        let (mode, path) =
            (format!("ControlMaster={mode}"), format!("ControlPath={}", control.display()));
        ["-o".to_owned(), mode, "-o".to_owned(), path]
    };
    let over_one = |mode: &str, line: &str| {
        let mut command = ssh_options(&lattice, "diego:web/0", &[]);
        command.args([line]);
        let mut options = Command::new("ssh");
        options.args(over(mode)).args(command.get_args()).stdin(Stdio::null());
        options
    };
    // More than a pipe holds and the connection's library puts by, and less than waits for one.
    let long = lattice.scratch().join("long");
    std::fs::write(&long, vec![0; 4_000_000]).unwrap();
    let mut first = over_one("yes", "echo here; sleep 4711");
    first.stdin(std::fs::File::open(&long).unwrap()).stdout(Stdio::piped());
    let mut first = Running(first.spawn().unwrap());
    first.0.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    for number in 0..20 {
        let said = Said::of(over_one("no", &format!("echo {number}")));
        assert_eq!(said.out, format!("{number}\n"), "{said:?}");
    }
    assert_eq!(first.0.try_wait().unwrap(), None, "it is still waited for");

    let mut endless = ssh_command(&lattice, "diego:web/0", &["sleep 4712"]);
    endless.stdin(std::fs::File::open("/dev/zero").unwrap());
    let said = Said::of(endless);
    assert_eq!(said.code, 255, "{said:?}");
    assert!(said.err.contains("the process was ended: for 30 s it has read nothing"), "{said:?}");
    eventually("it has ended, and the other has not", PATIENCE, || {
        let running = machine::executed(&lattice.data_dir());
        let has = |word: &str| running.iter().any(|line| line.contains(word));
        expect(!has("sleep 4712") && has("sleep 4711"), running)
    });
}

#[test]
fn what_was_started_goes_with_its_caller_and_what_runs_goes_on_when_the_platform_does_not() {
    let (mut lattice, _web) = stage();
    let sleeps = |lattice: &Appliance| {
        let running = machine::executed(&lattice.data_dir());
        running.iter().filter(|line| line.contains("sleep 4711")).count()
    };
    let mut command = ssh_command(&lattice, "diego:web/0", &["sleep 4711; true"]);
    let client = Running(command.spawn().unwrap());
    eventually("it runs", PATIENCE, || expect(sleeps(&lattice) > 0, ()));
    drop(client);
    eventually("it has gone with its caller", PATIENCE, || expect(sleeps(&lattice) == 0, ()));
    let client = Running(command.spawn().unwrap());
    eventually("it runs", PATIENCE, || expect(sleeps(&lattice) > 0, ()));
    lattice.kill();
    eventually("it has gone with the platform", PATIENCE, || expect(sleeps(&lattice) == 0, ()));
    drop(client);
    lattice.up();
    let said = eventually("one gets in again", PATIENCE, || {
        let said = ssh(&lattice, "diego:web/0", &["echo again"], "");
        expect(said.code == 0, said.clone()).map(|()| said)
    });
    assert_eq!(said.out, "again\n");
}

/// An appliance that lets people in, with a small system as `web` and an image of one program as
/// `bare`, which has a sidecar in a container of its own.
pub(crate) fn stage() -> (Appliance, Web) {
    machine::isolate();
    let lattice = Appliance::start(&["--cell-ssh", ADDRESS]);
    let web = Web::new();
    let root = small_system(lattice.scratch());
    let create = ["create", "web", root.to_str().unwrap(), "-u", "clerk", "--", "/usr/bin/serve"];
    lattice.ltc_ok(&create);
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    lattice.ltc_ok(&["create", "image", layout.to_str().unwrap(), "--instances", "0"]);
    let answer = lattice.api(&web, reqwest::Method::GET, "/v1/desired_lrps/image", None);
    let mut lrp: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    lrp["process_guid"] = "bare".into();
    lrp["app"] = "bare".into();
    lrp["routes"] = json!({});
    lrp["instances"] = 1.into();
    let sleeps =
        json!({"run": {"path": "/fixture-app", "args": ["sleep", "1000"], "user": "1000"}});
    lrp["sidecars"] = json!([{"name": "side", "memory_mb": 32, "action": sleeps}]);
    let said = lattice.api(&web, reqwest::Method::POST, "/v1/desired_lrps", Some(lrp));
    assert_eq!(said.status, 201, "{said:?}");
    lattice.wait_running(&web, "bare", 1);
    (lattice, web)
}

fn small_system(scratch: &Path) -> PathBuf {
    let root = scratch.join("root");
    for dir in ["bin", "etc", "usr/bin", "srv", "tmp"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "id", "httpd", "cat", "sleep", "stty", "tty"] {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let write = |name: &str, text: &str, mode: u32| {
        std::fs::write(root.join(name), text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(root.join(name), mode).unwrap();
    };
    write("etc/passwd", "root:x:0:0::/:/bin/sh\nclerk:x:4321:4322::/srv:/bin/sh\n", 0o644);
    write("etc/group", "root:x:0:\nclerks:x:4322:\n", 0o644);
    write("srv/index.html", "from inside", 0o644);
    write("usr/bin/serve", "#!/bin/sh\nexec httpd -f -p 8080 -h /srv\n", 0o755);
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(root.join("srv"), all).unwrap();
    root
}

fn options(key: &Path) -> Vec<String> {
    let key = key.to_str().unwrap();
    let options = [
        "-F",
        "none",
        "-i",
        key,
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "IdentityAgent=none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
        "-o",
        "ExitOnForwardFailure=yes",
    ];
    let port = format!("Port={PORT}");
    options.iter().map(|&word| word.to_owned()).chain(["-o".to_owned(), port]).collect()
}

fn key(lattice: &Appliance) -> PathBuf {
    lattice.data_dir().join("ssh/client_key")
}

fn ssh_options(lattice: &Appliance, user: &str, args: &[&str]) -> Command {
    let mut command = Command::new("ssh");
    command.args(options(&key(lattice))).args(["-l", user]).args(args).arg("127.0.0.1");
    command.stdin(Stdio::null());
    command
}

fn ssh_command(lattice: &Appliance, user: &str, command_line: &[&str]) -> Command {
    let mut command = ssh_options(lattice, user, &[]);
    command.args(command_line);
    command
}

/// Runs a command there to its end, with this as its input.
pub(crate) fn ssh(lattice: &Appliance, user: &str, command_line: &[&str], input: &str) -> Said {
    let mut command = ssh_command(lattice, user, command_line);
    fed(&mut command, input)
}

fn sftp(lattice: &Appliance, batch: &str) -> Said {
    let mut command = Command::new("sftp");
    command.args(options(&key(lattice))).args(["-o", USER, "-b", "-", "127.0.0.1"]);
    fed(&mut command, batch)
}

/// Copies; a path that begins with `:` is there.
fn scp(lattice: &Appliance, legacy: bool, from: &str, to: &str) -> Said {
    let place = |path: &str| match path.strip_prefix(':') {
        Some(path) => format!("127.0.0.1:{path}"),
        None => path.to_owned(),
    };
    let mut command = Command::new("scp");
    command.args(options(&key(lattice))).args(["-o", USER, "-r"]);
    if legacy {
        command.arg("-O");
    }
    command.args([place(from), place(to)]);
    fed(&mut command, "")
}

fn fed(command: &mut Command, input: &str) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    // One that wants no input may be gone.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

fn get(port: u16) -> Result<String, String> {
    let told = |e: std::io::Error| e.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(told)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n").map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    if answer.is_empty() { Err("it was closed".to_owned()) } else { Ok(answer) }
}

/// The root filesystem of the instance of `web`.
fn root_of(lattice: &Appliance) -> PathBuf {
    let roots = std::fs::read_dir(lattice.data_dir().join("rootfs")).unwrap().flatten();
    let mut roots = roots.filter(|entry| entry.file_name().to_string_lossy().starts_with("web-"));
    roots.next().unwrap().path().join("merged")
}

/// A client that is ended at the latest here.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
