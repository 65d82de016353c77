//! The files of an instance that say who it is and whom it asks for names: /etc/hosts,
//! /etc/resolv.conf and /etc/hostname.

use std::fs::Permissions;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::dns::name_servers;

/// What these files say.
#[derive(Debug, Clone)]
pub struct Names<'a> {
    /// The instance's host name.
    pub hostname: &'a str,
    /// Its own address.
    pub address: IpAddr,
    /// The host's address as instances see it; known inside as `gateway`.
    pub gateway: IpAddr,
    /// More names.
    pub hosts: &'a [(IpAddr, String)],
    /// Whom to ask for names.
    pub dns_servers: &'a [IpAddr],
}

/// Writes the files into `dir` and says where each belongs inside.
pub fn write(dir: &Path, names: &Names<'_>) -> io::Result<Vec<(PathBuf, String)>> {
    std::fs::create_dir_all(dir)?;
    let mut files = Vec::new();
    for (name, text) in [
        ("hosts", hosts(names)),
        ("resolv.conf", resolv_conf(names.dns_servers)),
        ("hostname", format!("{}\n", names.hostname)),
    ] {
        let path = dir.join(name);
        std::fs::write(&path, text)?;
        // Also where files are closed by default: the instance's root is nobody here.
        std::fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        files.push((path, format!("/etc/{name}")));
    }
    Ok(files)
}

/// The host's own name servers that can be reached from an instance: loopback ones cannot.
pub fn host_dns_servers(resolv_conf: &str) -> Vec<IpAddr> {
    let inside = |address: &IpAddr| !address.is_loopback() && !address.is_unspecified();
    name_servers(resolv_conf).into_iter().filter(inside).collect()
}

fn hosts(names: &Names<'_>) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    text.push_str(&format!("{} {}\n", names.address, names.hostname));
    text.push_str(&format!("{} gateway\n", names.gateway));
    for (address, name) in names.hosts {
        text.push_str(&format!("{address} {name}\n"));
    }
    text
}

fn resolv_conf(servers: &[IpAddr]) -> String {
    servers.iter().map(|server| format!("nameserver {server}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_on_loopback_are_of_no_use_inside() {
        let check = |text: &str, expected: &[&str]| {
            let expected: Vec<IpAddr> = expected.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(host_dns_servers(text), expected, "{text:?}");
        };
        check("nameserver 127.0.0.53\n", &[]);
        check("# x\nsearch a.test\nnameserver 192.0.2.53\nnameserver ::1\n", &["192.0.2.53"]);
        check("nameserver\nnameserver what\n  nameserver 2001:db8::1\n", &["2001:db8::1"]);
        check("", &[]);
    }

    #[test]
    fn an_instance_knows_itself_the_gateway_and_what_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = [("10.0.0.1".parse().unwrap(), "router.internal".to_owned())];
        let servers = ["192.0.2.53".parse().unwrap()];
        let names = Names {
            hostname: "web-1",
            address: "10.0.0.2".parse().unwrap(),
            gateway: "10.0.0.1".parse().unwrap(),
            hosts: &hosts,
            dns_servers: &servers,
        };
        let files = write(&dir.path().join("i"), &names).unwrap();
        let text = |inside: &str| {
            let (path, _) = files.iter().find(|(_, at)| at == inside).unwrap();
            std::fs::read_to_string(path).unwrap()
        };
        assert_eq!(text("/etc/hostname"), "web-1\n");
        assert_eq!(text("/etc/resolv.conf"), "nameserver 192.0.2.53\n");
        let expected = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n\
             10.0.0.2 web-1\n10.0.0.1 gateway\n10.0.0.1 router.internal\n";
        assert_eq!(text("/etc/hosts"), expected);
    }
}
