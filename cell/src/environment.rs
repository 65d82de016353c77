//! The environment of an instance's processes (spec G): image, then container, then LRP or task,
//! then run action, then network; a later value wins; pure.

use core::net::IpAddr;

use lattice_model::PortMapping;
use lattice_model::action::EnvVar;

const PATH_OF_ROOT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PATH_OF_OTHERS: &str = "/usr/local/bin:/usr/bin:/bin";

/// What an LRP's instance is told of itself.
pub fn identity(instance_guid: &str, index: u32) -> Vec<EnvVar> {
    let index = index.to_string();
    vec![
        var("INSTANCE_GUID", instance_guid),
        var("INSTANCE_INDEX", &index),
        var("CF_INSTANCE_GUID", instance_guid),
        var("CF_INSTANCE_INDEX", &index),
    ]
}

/// How an instance is reached: from outside its cell, and at the address of its own.
pub fn network(external: IpAddr, internal: IpAddr, ports: &[PortMapping]) -> Vec<EnvVar> {
    let first = ports.first().map(|mapping| mapping.host_port);
    let address = |port: u16| match external {
        IpAddr::V4(v4) => format!("{v4}:{port}"),
        IpAddr::V6(v6) => format!("[{v6}]:{port}"),
    };
    let pairs: Vec<String> = ports
        .iter()
        .map(|m| format!(r#"{{"external":{},"internal":{}}}"#, m.host_port, m.container_port))
        .collect();
    vec![
        var("CF_INSTANCE_IP", &external.to_string()),
        var("CF_INSTANCE_INTERNAL_IP", &internal.to_string()),
        var("CF_INSTANCE_PORT", &first.map(|port| port.to_string()).unwrap_or_default()),
        var("CF_INSTANCE_ADDR", &first.map(address).unwrap_or_default()),
        var("CF_INSTANCE_PORTS", &format!("[{}]", pairs.join(","))),
    ]
}

/// Puts the layers together, the last one winning, and adds USER, and HOME and PATH where absent.
pub fn assemble(layers: &[&[EnvVar]], user: &str, home: &str, is_root: bool) -> Vec<EnvVar> {
    let mut env: Vec<EnvVar> = Vec::new();
    for layered in layers.iter().flat_map(|layer| layer.iter()) {
        set(&mut env, layered.clone());
    }
    set(&mut env, var("USER", user));
    let path = if is_root { PATH_OF_ROOT } else { PATH_OF_OTHERS };
    for (name, value) in [("HOME", home), ("PATH", path)] {
        if !env.iter().any(|v| v.name == name) {
            env.push(var(name, value));
        }
    }
    env
}

fn set(env: &mut Vec<EnvVar>, new: EnvVar) {
    match env.iter_mut().find(|old| old.name == new.name) {
        Some(old) => old.value = new.value,
        None => env.push(new),
    }
}

fn var(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(env: &'a [EnvVar], name: &str) -> Option<&'a str> {
        let mut found = env.iter().filter(|v| v.name == name);
        let first = found.next().map(|v| v.value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        first
    }

    #[test]
    fn a_later_layer_wins() {
        let image = [var("A", "image"), var("B", "image"), var("PATH", "/image")];
        let lrp = [var("B", "lrp"), var("C", "lrp")];
        let run = [var("C", "run")];
        let env = assemble(&[&image, &lrp, &run], "me", "/home/me", false);
        for (name, expected) in [
            ("A", "image"),
            ("B", "lrp"),
            ("C", "run"),
            ("PATH", "/image"),
            ("USER", "me"),
            ("HOME", "/home/me"),
        ] {
            assert_eq!(value(&env, name), Some(expected), "{name}");
        }
    }

    #[test]
    fn the_user_is_always_said_and_path_and_home_only_where_absent() {
        let given = [var("USER", "liar"), var("HOME", "/mine")];
        let env = assemble(&[&given], "root", "/root", true);
        assert_eq!(value(&env, "USER"), Some("root"));
        assert_eq!(value(&env, "HOME"), Some("/mine"));
        assert_eq!(value(&env, "PATH"), Some(PATH_OF_ROOT));
        let other = assemble(&[], "me", "/", false);
        assert_eq!(value(&other, "PATH"), Some(PATH_OF_OTHERS));
    }

    #[test]
    fn an_instance_knows_its_guid_and_index_under_both_names() {
        let env = identity("ig", 3);
        for (name, expected) in [
            ("INSTANCE_GUID", "ig"),
            ("INSTANCE_INDEX", "3"),
            ("CF_INSTANCE_GUID", "ig"),
            ("CF_INSTANCE_INDEX", "3"),
        ] {
            assert_eq!(value(&env, name), Some(expected));
        }
    }

    #[test]
    fn network_variables_are_there_with_and_without_ports() {
        let [external, internal] = ["192.0.2.7", "10.255.0.9"].map(|ip| ip.parse().unwrap());
        let mapping = |container_port, host_port| PortMapping { container_port, host_port };
        let env = network(external, internal, &[mapping(8080, 60413), mapping(9090, 60414)]);
        assert_eq!(value(&env, "CF_INSTANCE_IP"), Some("192.0.2.7"));
        assert_eq!(value(&env, "CF_INSTANCE_INTERNAL_IP"), Some("10.255.0.9"));
        assert_eq!(value(&env, "CF_INSTANCE_PORT"), Some("60413"));
        assert_eq!(value(&env, "CF_INSTANCE_ADDR"), Some("192.0.2.7:60413"));
        let pairs = r#"[{"external":60413,"internal":8080},{"external":60414,"internal":9090}]"#;
        assert_eq!(value(&env, "CF_INSTANCE_PORTS"), Some(pairs));
        let none = network(external, internal, &[]);
        assert_eq!(value(&none, "CF_INSTANCE_PORT"), Some(""));
        assert_eq!(value(&none, "CF_INSTANCE_ADDR"), Some(""));
        assert_eq!(value(&none, "CF_INSTANCE_PORTS"), Some("[]"));
    }
}
