//! The system calls a container may make: Docker's default list, resolved for the default
//! capabilities.

use serde_json::{Value, json};

/// The list, as data: `archMap` says which `architectures` each machine has.
const PROFILE: &str = include_str!("seccomp.json");

/// The profile for this machine, in the OCI runtime's form; `None` on a machine it does not know.
pub(super) fn profile() -> Option<Value> {
    let mut profile: Value = serde_json::from_str(PROFILE).expect("the built-in profile is JSON");
    let architectures = profile.get("archMap")?.get(std::env::consts::ARCH)?.clone();
    let fields = profile.as_object_mut()?;
    fields.remove("archMap");
    fields.insert("architectures".to_owned(), json!(architectures));
    Some(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed_always(profile: &Value) -> Vec<String> {
        let rules = profile["syscalls"].as_array().unwrap();
        let plain = rules.iter().filter(|rule| rule.get("args").is_none());
        let allowed = plain.filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
        allowed
            .flat_map(|rule| rule["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn what_is_not_listed_is_refused() {
        assert_eq!(profile().unwrap()["defaultAction"], "SCMP_ACT_ERRNO");
    }

    #[test]
    fn this_machine_is_known() {
        assert!(!profile().unwrap()["architectures"].as_array().unwrap().is_empty());
    }

    #[test]
    fn calls_that_reach_the_host_are_not_allowed() {
        let allowed = allowed_always(&profile().unwrap());
        let dangerous = [
            "mount",
            "umount2",
            "unshare",
            "setns",
            "bpf",
            "keyctl",
            "add_key",
            "request_key",
            "kexec_load",
            "init_module",
            "reboot",
            "swapon",
            "open_by_handle_at",
            "clone",
            "clone3",
            "io_uring_setup",
            "pivot_root",
            "perf_event_open",
            "settimeofday",
            "userfaultfd",
        ];
        for name in dangerous {
            assert!(!allowed.iter().any(|a| a == name), "{name} is allowed");
        }
    }

    #[test]
    fn what_every_program_needs_is_allowed() {
        let allowed = allowed_always(&profile().unwrap());
        for name in ["read", "execve", "futex", "openat", "chroot", "arch_prctl", "clock_gettime"] {
            assert!(allowed.iter().any(|a| a == name), "{name} is not allowed");
        }
    }
}
