use std::collections::BTreeSet;

use lattice_model::action::EnvVar;

use super::*;
use crate::runtime::{ContainerId, UserIds};

fn host() -> Host {
    Host {
        shim: "/opt/lattice".into(),
        nofile_max: 20_000,
        nproc_max: 500,
        capabilities: CAPABILITIES.into_iter().chain(["CAP_SYS_ADMIN"]).collect::<BTreeSet<_>>(),
        cgroup_mounts: vec!["/sys/fs/cgroup/memory".into()],
        has_swap_limit: true,
        oom_score_adj: 100,
    }
}

fn blueprint() -> ContainerBlueprint {
    ContainerBlueprint {
        id: ContainerId::new("c"),
        hostname: "web-0".to_owned(),
        rootfs: "/data/rootfs".into(),
        netns: "/data/netns/c".into(),
        volumes: vec![crate::runtime::Volume {
            source: "/instance/volumes/data".into(),
            path: "/data".into(),
            read_only: true,
        }],
        files: vec![("/data/hosts".into(), "/etc/hosts".to_owned())],
        memory_bytes: Limit::AtMost(64),
        cpu_shares: 1024,
        cpu_limit_percent: Limit::AtMost(150),
        pids: Limit::AtMost(8),
        privileged: false,
        users: None,
    }
}

fn spec() -> ProcessSpec {
    ProcessSpec {
        argv: vec!["web".to_owned()],
        env: vec![EnvVar { name: "A".to_owned(), value: "b=c".to_owned() }],
        dir: String::new(),
        user: UserIds { uid: 7, gid: 8, additional_gids: vec![9] },
        nofile: None,
        nproc: None,
        keep_as: None,
    }
}

#[test]
fn a_container_has_limits_a_filter_and_hidden_files() {
    let config = container(&blueprint(), &host(), "/lattice-x/c");
    let linux = &config["linux"];
    assert_eq!(linux["resources"]["memory"], json!({"limit": 64, "swap": 64}));
    assert_eq!(linux["resources"]["pids"]["limit"], 8);
    let cpu = json!({"shares": 1024, "quota": 150_000, "period": 100_000});
    assert_eq!(linux["resources"]["cpu"], cpu);
    assert_eq!(linux["resources"]["devices"][0]["allow"], false);
    assert_eq!(linux["cgroupsPath"], "/lattice-x/c");
    assert_eq!(linux["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    assert!(linux["maskedPaths"].as_array().unwrap().contains(&json!("/proc/kcore")));
    assert_eq!(linux["namespaces"][5], json!({"type": "network", "path": "/data/netns/c"}));
    assert_eq!(config["process"]["capabilities"]["effective"], json!([]));
}

#[test]
fn a_container_joins_the_users_it_is_given() {
    let users = crate::userns::UserNamespace { path: "/data/userns/c".into(), first_id: 700_000 };
    let spec = ContainerBlueprint { users: Some(users), ..blueprint() };
    let linux = &container(&spec, &host(), "/x")["linux"];
    assert_eq!(linux["namespaces"][6], json!({"type": "user", "path": "/data/userns/c"}));
    let mapping = json!([{"containerID": 0, "hostID": 700_000, "size": 65_536}]);
    assert_eq!((&linux["uidMappings"], &linux["gidMappings"]), (&mapping, &mapping));
    let without = &container(&blueprint(), &host(), "/x")["linux"];
    assert_eq!((&without["uidMappings"], without["namespaces"].get(6)), (&json!(null), None));
}

#[test]
fn a_kernel_without_swap_accounting_is_not_asked_for_it() {
    let host = Host { has_swap_limit: false, ..host() };
    let config = container(&blueprint(), &host, "/x");
    assert_eq!(config["linux"]["resources"]["memory"], json!({"limit": 64}));
}

#[test]
fn no_limit_asks_for_none() {
    let spec = ContainerBlueprint {
        memory_bytes: Limit::Unlimited,
        cpu_limit_percent: Limit::Unlimited,
        pids: Limit::Unlimited,
        ..blueprint()
    };
    let resources = &container(&spec, &host(), "/x")["linux"]["resources"];
    assert!(resources.get("memory").is_none() && resources.get("pids").is_none());
    assert_eq!(resources["cpu"], json!({"shares": 1024}));
}

#[test]
fn a_privileged_container_has_no_filter_and_sees_the_kernel() {
    let spec = ContainerBlueprint { privileged: true, ..blueprint() };
    let linux = &container(&spec, &host(), "/x")["linux"];
    assert!(linux.get("seccomp").is_none() && linux.get("maskedPaths").is_none());
    assert_eq!(linux["resources"]["devices"][0]["allow"], true);
}

#[test]
fn the_init_the_files_and_a_volume_that_is_so_are_shown_read_only() {
    let config = container(&blueprint(), &host(), "/x");
    let binds = config["mounts"].as_array().unwrap().iter().filter(|m| m["type"] == "bind");
    let binds: Vec<_> = binds.map(|m| (m["source"].as_str().unwrap(), &m["options"][1])).collect();
    let ro = json!("ro");
    let volume = ("/instance/volumes/data", &ro);
    assert_eq!(binds, [volume, ("/opt/lattice", &ro), ("/data/hosts", &ro)]);
}

#[test]
fn a_process_has_the_rights_of_its_container() {
    let plain = process(&spec(), &host(), false);
    assert_eq!(plain["capabilities"]["effective"], json!(CAPABILITIES));
    assert_eq!(plain["noNewPrivileges"], true);
    let privileged = process(&spec(), &host(), true);
    let all = privileged["capabilities"]["effective"].as_array().unwrap();
    assert!(all.contains(&json!("CAP_SYS_ADMIN")));
    assert_eq!(privileged["noNewPrivileges"], false);
}

#[test]
fn a_process_has_its_user_environment_and_directory() {
    let config = process(&spec(), &host(), false);
    assert_eq!(config["user"], json!({"uid": 7, "gid": 8, "additionalGids": [9]}));
    assert_eq!(config["env"], json!(["A=b=c"]));
    assert_eq!(config["cwd"], "/");
}

#[test]
fn open_files_stay_below_what_this_machine_allows() {
    let check = |wanted: Option<u64>, (soft, hard): (u64, u64)| {
        let limit = nofile(wanted, &host());
        assert_eq!(limit, json!({"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard}));
    };
    check(None, (1024, 20_000));
    check(Some(500), (500, 500));
    check(Some(50_000), (20_000, 20_000));
}
