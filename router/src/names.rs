//! Where the names of route services lead, of endpoints that registered no address, and of metron
//! agents. Each worker asks and remembers by itself, as long as the answer says, in the machine's way
//! (`/etc/hosts`, `/etc/resolv.conf`, as they are at the first look-up), without the C library, which a
//! static binary has only half of.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;

use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};

/// Who is asked.
#[derive(Debug, Default)]
pub(crate) struct Names(OnceLock<Asked>);

#[derive(Debug)]
struct Asked {
    hosts: Hosts,
    resolver: TokioResolver,
}

impl Names {
    /// The addresses of a name, those first that are to be tried first.
    pub(crate) async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = name.parse() {
            return Ok(vec![ip]);
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        let asked = self.asked()?;
        let listed = listed(&asked.hosts, name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        let found = asked.resolver.lookup_ip(name).await.map_err(io::Error::other)?;
        Ok(found.iter().collect())
    }

    fn asked(&self) -> io::Result<&Asked> {
        if let Some(known) = self.0.get() {
            return Ok(known);
        }
        let resolver = TokioResolver::builder_tokio().map_err(io::Error::other)?.build();
        let resolver = resolver.map_err(io::Error::other)?;
        let hosts = Hosts::from_system().unwrap_or_default();
        Ok(self.0.get_or_init(|| Asked { hosts, resolver }))
    }
}

/// What a hosts file lists for a name. The resolver looks there as well, but asks its servers for
/// the kind of address that is not listed, and waits for them.
fn listed(hosts: &Hosts, name: &str) -> Vec<IpAddr> {
    let Ok(name) = name.parse::<Name>() else { return Vec::new() };
    let kinds = [RecordType::A, RecordType::AAAA].into_iter();
    let found = kinds.filter_map(|kind| {
        let found = hosts.lookup_static_host(&Query::query(name.clone(), kind))?;
        Some(found.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
    });
    found.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_and_the_machine_itself_need_nobody_to_ask() {
        let names = Names::default();
        for (name, expected) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("::1", Some("::1")),
            ("localhost", Some("127.0.0.1")),
            ("rs.localhost", Some("127.0.0.1")),
        ] {
            let found = names.addresses(name).await.unwrap();
            let found: Vec<_> = found.iter().map(IpAddr::to_string).collect();
            assert_eq!(found.first().map(String::as_str), expected);
        }
        assert!(names.0.get().is_none());
    }

    #[test]
    fn a_hosts_file_says_all_of_the_names_that_it_lists() {
        let mut hosts = Hosts::default();
        let lines = "10.0.0.1 one.test  Both.test # a comment\n::1 both.test\n10.0.0.2 both.test\n";
        hosts.read_hosts_conf(lines.as_bytes()).unwrap();
        for (name, expected) in [
            ("one.test", &["10.0.0.1"][..]),
            ("ONE.test.", &["10.0.0.1"]),
            ("both.test", &["10.0.0.1", "10.0.0.2", "::1"]),
            ("none.test", &[]),
            ("no name", &[]),
        ] {
            let mut found: Vec<_> = listed(&hosts, name).iter().map(IpAddr::to_string).collect();
            found.sort();
            assert_eq!(found, expected, "{name}");
        }
    }
}
