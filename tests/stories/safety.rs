//! Safe from the first run: who is let in, from where, and what an app can reach.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use lattice_tests::appliance::Appliance;
use lattice_tests::inside::from_container;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine, neighbour};
use reqwest::Method;

const RECEPTOR: &str = "receptor.lattice.localhost:8080";

/// Every server of the platform, with known and unknown paths.
const PLATFORM: [(&str, &str); 17] = [
    ("receptor", "/v1/desired_lrps"),
    ("receptor", "/v1/cells"),
    ("receptor", "/v1/events"),
    ("receptor", "/v1/version"),
    ("receptor", "/"),
    ("receptor", "/nonsense"),
    ("doppler", "/apps/web/recentlogs"),
    ("doppler", "/firehose/x"),
    ("doppler", "/nonsense"),
    ("registry", "/v2/"),
    ("registry", "/v2/_catalog"),
    ("registry", "/nonsense"),
    ("dashboard", "/"),
    ("dashboard", "/page.js"),
    ("dashboard", "/v1/desired_lrps"),
    ("dashboard", "/v1/events"),
    ("dashboard", "/nonsense"),
];

#[test]
fn every_path_of_the_platform_wants_the_password() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let admin = lattice.admin();
    for (server, path) in PLATFORM {
        let ask = || web.request(Method::GET, server, path);
        let status =
            |request| web.send(request).map(|answer: lattice_tests::web::Answer| answer.status);
        assert_eq!(status(ask()), Ok(401), "{server}{path} without credentials");
        let wrong = ask().basic_auth(&admin.username, Some("guess"));
        assert_eq!(status(wrong), Ok(401), "{server}{path} with a wrong password");
    }
    let right = lattice.api(&web, Method::GET, "/v1/desired_lrps", None);
    assert_eq!((right.status, right.body.as_str()), (200, "[]"));
}

#[test]
fn a_foreign_page_is_refused_even_with_the_password() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let admin = lattice.admin();
    for (server, path) in PLATFORM.into_iter().filter(|(_, path)| *path != "/v1/events") {
        for origin in ["http://evil.example", "http://web.lattice.localhost:8080", "null"] {
            let request = web
                .request(Method::GET, server, path)
                .basic_auth(&admin.username, Some(&admin.password))
                .header("origin", origin);
            assert_eq!(web.send(request).unwrap().status, 403, "{server}{path} from {origin}");
        }
    }
}

#[test]
fn the_password_is_in_its_file_and_nowhere_else() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap()]);
    let password = lattice.admin().password;
    let mode = |name: &str| {
        let path = lattice.data_dir().join(name);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("admin.json"), 0o600);
    assert_eq!(mode(""), 0o700);
    assert!(!lattice.log().contains(&password), "the password is in the log");
    assert!(!lattice.greeting().contains(&password), "the password is in the greeting");
    let pid = lattice.pid().as_raw_nonzero();
    for file in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(&password), "the password is in {file}");
    }
    assert!(!web.get("web", "/env?json=1").unwrap().body.contains(&password));
    let debug = lattice.recent_logs(&web, "lattice-debug").join("\n");
    assert!(!debug.contains(&password), "the password is in lattice-debug");
}

#[test]
fn a_given_password_is_used_and_no_auth_warns() {
    machine::isolate();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "correct horse\n").unwrap();
    let mut lattice =
        Appliance::start(&["--username", "ann", "--password-file", file.path().to_str().unwrap()]);
    let admin = lattice.admin();
    assert_eq!((admin.username.as_str(), admin.password.as_str()), ("ann", "correct horse"));
    assert_eq!(lattice.api(&Web::new(), Method::GET, "/v1/cells", None).status, 200);
    lattice.stop(rustix::process::Signal::TERM);
    drop(lattice);

    let lattice = Appliance::start(&["--no-auth"]);
    assert_eq!(Web::new().get("receptor", "/v1/cells").unwrap().status, 200);
    assert!(lattice.log().contains("--no-auth"), "{}", lattice.log());
}

#[test]
fn the_root_of_an_app_is_nobody_on_this_machine_unless_it_is_privileged() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    lattice.ltc_ok(&["create", "web", layout, "--user", "root", "--instances", "2"]);
    let users = users_of(&lattice, "/lattice-app");
    assert!(users.len() == 2 && users.iter().all(|user| *user >= 0x2000_0000), "{users:?}");
    lattice.ltc_ok(&["create", "trusted", layout, "--user", "root", "--privileged"]);
    assert_eq!(users_of(&lattice, "/lattice-app").first(), Some(&0));
}

/// The users of this machine that run a program for an app, each once.
fn users_of(lattice: &Appliance, program: &str) -> Vec<u32> {
    let holders = machine::holders(&lattice.data_dir());
    let is_held = |status: &str| {
        let parent = number_after(status, "PPid:").and_then(|pid| i32::try_from(pid).ok());
        holders.iter().any(|holder| Some(holder.as_raw_nonzero().get()) == parent)
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let of_program = processes.filter(|process| {
        let words = std::fs::read(process.join("cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).next() == Some(program.as_bytes())
    });
    let statuses = of_program.map(|process| std::fs::read_to_string(process.join("status")));
    let users = statuses.flatten().filter(|status| is_held(status));
    let users: BTreeSet<u32> = users.filter_map(|status| number_after(&status, "Uid:")).collect();
    users.into_iter().collect()
}

fn number_after(status: &str, name: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn an_app_cannot_reach_the_platform_nor_this_host() {
    machine::isolate();
    // A server of this host's own, on every address, stands for all that it runs; cloud machines
    // keep their secrets at this address.
    machine::run("ip", &["addr", "add", "169.254.169.254/32", "dev", "lo"]);
    let _listener = std::net::TcpListener::bind("0.0.0.0:7777").unwrap();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let account = lattice.account();

    // The platform's names are not served to instances, right password or not.
    for server in ["receptor", "doppler", "registry", "dashboard"] {
        let host = format!("{server}.lattice.localhost:8080");
        let get = ["get", "10.255.0.1:8080", "/v2/", &account];
        let said = from_container(&lattice, &web, &get, &[("HOST_HEADER", &host)]);
        assert!(said.contains("status 403"), "{server}: {said}");
    }
    // The platform's other ports are on loopback only, so that the firewall has no part in them.
    for address in ["10.255.0.1:7777", "169.254.169.254:7777"] {
        std::net::TcpStream::connect(address).expect("this host itself reaches it");
        let said = from_container(&lattice, &web, &["connect", address], &[]);
        assert!(said.contains("not connected"), "{address}: {said}");
    }
    let said = from_container(&lattice, &web, &["connect", "10.255.0.1:8080"], &[]);
    assert!(said.ends_with("|0 connected"), "apps do reach the router: {said}");
}

#[test]
fn an_app_reaches_the_platform_where_that_is_allowed() {
    machine::isolate();
    let lattice = Appliance::start(&["--allow-instances-to-platform"]);
    let web = Web::new();
    for (account, env, status) in at_the_gate(&lattice.account()) {
        let get = ["get", "10.255.0.1:8080", "/v1/cells", account];
        let said = from_container(&lattice, &web, &get, &env);
        assert!(said.contains(status), "{env:?}: {said}");
    }
}

#[test]
fn another_machine_reaches_nothing_unless_asked_to() {
    machine::isolate();
    neighbour::join("10.99.0.1/24", "10.99.0.2/24");
    let lattice = Appliance::start(&[]);
    for port in ["8080", "8888", "8081"] {
        let said = neighbour::run(&["connect", &format!("10.99.0.1:{port}")], &[]);
        assert!(said.out.starts_with("not connected"), "{port}: {said:?}");
    }
    drop(lattice);

    let lattice = Appliance::start(&["--listen", "10.99.0.1"]);
    for (port, expected) in [("8080", "connected"), ("8888", "not "), ("8081", "not ")] {
        let said = neighbour::run(&["connect", &format!("10.99.0.1:{port}")], &[]);
        assert!(said.out.starts_with(expected), "{port}: {said:?}");
    }
    for (account, env, status) in at_the_gate(&lattice.account()) {
        let said = neighbour::run(&["get", "10.99.0.1:8080", "/v1/cells", account], &env);
        assert!(said.out.starts_with(status), "{env:?}: {said:?}");
    }
}

#[test]
fn an_app_gains_nothing_by_the_address_for_other_machines() {
    machine::isolate();
    neighbour::join("10.99.0.1/24", "10.99.0.2/24");
    let lattice = Appliance::start(&["--listen", "10.99.0.1"]);
    let web = Web::new();
    let said = from_container(&lattice, &web, &["connect", "10.99.0.1:8080"], &[]);
    assert!(said.contains("|0 not connected"), "{said}");
}

#[test]
fn a_machine_that_cannot_bound_disks_says_so_and_runs_apps_all_the_same() {
    machine::isolate();
    let control = "/dev/loop-control";
    let mut lattice = machine::without_file(control, || Appliance::start(&[]));
    let web = Web::new();
    let lack = "an instance's limit on the disk is not enforced";
    eventually("the cell says what it lacks", PATIENCE, || {
        let cells = lattice.ltc_ok(&["cells"]);
        expect(cells.contains(lack), cells)
    });
    assert!(lattice.log().contains(lack), "{}", lattice.log());
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    lattice.ltc_ok(&["create", "web", layout.to_str().unwrap()]);
    assert_eq!(lattice.states(&web, "web"), ["RUNNING"]);

    lattice.kill();
    lattice.up();
    eventually("here it can", PATIENCE, || {
        let cells = lattice.ltc_ok(&["cells"]);
        expect(cells.contains("lattice-cell-0") && !cells.contains(lack), cells)
    });
}

#[test]
fn an_app_may_not_take_the_platforms_names() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    for route in
        ["receptor:8080", "registry.lattice.localhost:8080", "doppler/x:8080", "dashboard:8080"]
    {
        let said = lattice.ltc(&["create", "thief", layout, "-R", route]);
        assert_eq!(said.code, 14, "{route}: {said:?}");
        assert!(said.err.contains("platform"), "{route}: {said:?}");
    }
}

/// A call of the Receptor API: the account, headers as the fixture app takes them, and the answer.
type Call<'a> = (&'a str, Vec<(&'static str, &'static str)>, &'static str);

/// What the gate answers whom.
fn at_the_gate(account: &str) -> [Call<'_>; 3] {
    let host = ("HOST_HEADER", RECEPTOR);
    [
        (":", vec![host], "status 401"),
        (account, vec![host], "status 200"),
        (account, vec![host, ("ORIGIN", "http://evil.example")], "status 403"),
    ]
}
