//! The nftables table of one network: what instances reach, and what reaches them. Text for `nft`,
//! applied as one batch: all of it or nothing.

use core::net::Ipv4Addr;
use std::fmt::Write as _;
use std::process::Stdio;

use ipnet::Ipv4Net;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::NetworkError;
use crate::dns::PORT;

/// What a table is made from.
#[derive(Debug, Clone)]
pub(super) struct Firewall {
    /// Its name, unique on this host.
    pub(super) table: String,
    pub(super) bridge: String,
    pub(super) subnet: Ipv4Net,
    pub(super) gateway: Ipv4Addr,
    /// TCP ports of the gateway that instances may reach.
    pub(super) router_ports: Vec<u16>,
    /// Whether instances may reach the name server at the gateway.
    pub(super) serves_names: bool,
    /// Where mapped ports are reachable from outside; `None` for nowhere.
    pub(super) external_address: Option<Ipv4Addr>,
}

/// One mapped port: host port, and where it leads.
pub(super) type Mapping = (u16, Ipv4Addr, u16);

// === impl Firewall ===

impl Firewall {
    /// Makes the table, or replaces what an earlier process left.
    pub(super) async fn install(&self, mappings: &[Mapping]) -> Result<(), NetworkError> {
        apply(&format!("{}{}", self.table_text(), self.mappings_text(mappings))).await
    }

    /// Replaces the mapped ports; makes the table again where somebody else has flushed it.
    pub(super) async fn map_ports(&self, mappings: &[Mapping]) -> Result<(), NetworkError> {
        match apply(&self.mappings_text(mappings)).await {
            Ok(()) => Ok(()),
            Err(_) => self.install(mappings).await,
        }
    }

    /// Takes the table away; no error when there is none.
    pub(super) async fn remove(&self) -> Result<(), NetworkError> {
        apply(&self.absent_text()).await
    }

    fn absent_text(&self) -> String {
        let table = &self.table;
        format!("add table inet {table}\ndelete table inet {table}\n")
    }

    fn mappings_text(&self, mappings: &[Mapping]) -> String {
        let table = &self.table;
        let mut text = format!("flush map inet {table} host_ports\n");
        for (host_port, address, port) in mappings {
            let element = format!("{{ {host_port} : {address} . {port} }}");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "add element inet {table} host_ports {element}");
        }
        text
    }

    /// Replies pass first everywhere. An instance reaches the router's ports on the gateway and
    /// the world, but no other instance, nothing else of this host, and no metadata service.
    fn table_text(&self) -> String {
        let Self { table, bridge, subnet, gateway, .. } = self;
        let absent = self.absent_text();
        let from_outside = self.external_address.map_or_else(String::new, |address| {
            let to_us = if address.is_unspecified() {
                "fib daddr type local".to_owned()
            } else {
                format!("ip daddr {address}")
            };
            format!("iifname != \"{bridge}\" {to_us} dnat ip to tcp dport map @host_ports")
        });
        let ports: Vec<String> = self.router_ports.iter().map(u16::to_string).collect();
        let to_router = if ports.is_empty() {
            String::new()
        } else {
            format!("ip daddr {gateway} tcp dport {{ {} }} accept", ports.join(", "))
        };
        let to_names = if self.serves_names {
            format!("ip daddr {gateway} meta l4proto {{ tcp, udp }} th dport {PORT} accept")
        } else {
            String::new()
        };
        format!(
            r#"{absent}table inet {table} {{
  map host_ports {{
    type inet_service : ipv4_addr . inet_service
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    {from_outside}
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    fib daddr type local dnat ip to tcp dport map @host_ports
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {subnet} oifname != "{bridge}" masquerade
    ip saddr != {subnet} fib saddr type local oifname "{bridge}" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{bridge}" oifname "{bridge}" drop
    iifname "{bridge}" ip daddr 169.254.0.0/16 drop
    iifname "{bridge}" meta nfproto ipv6 drop
    iifname "{bridge}" ip saddr != {subnet} drop
    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" ct status dnat accept
    oifname "{bridge}" drop
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "{bridge}" jump from_instances
  }}
  chain from_instances {{
    ct state established,related accept
    {to_router}
    {to_names}
    ip daddr {gateway} icmp type echo-request accept
    drop
  }}
}}
"#
        )
    }
}

/// Hands one batch to `nft`.
async fn apply(batch: &str) -> Result<(), NetworkError> {
    let failed = |why: String| NetworkError::Failed { what: "set the firewall".to_owned(), why };
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).env("PATH", search_path()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut nft = command
        .spawn()
        .map_err(|e| failed(format!("cannot run nft: {e}; apt-get install nftables")))?;
    if let Some(mut input) = nft.stdin.take() {
        // Where it ends before it has read all, its own words say why.
        let _ = input.write_all(batch.as_bytes()).await;
    }
    let output = nft.wait_with_output().await.map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.lines().next().unwrap_or("nft failed without a reason");
    Err(failed(reason.to_owned()))
}

/// The search path, with the places where Debian puts system programs.
fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firewall(external_address: Option<Ipv4Addr>, router_ports: &[u16]) -> Firewall {
        Firewall {
            table: "lattice_x".to_owned(),
            bridge: "lat0".to_owned(),
            subnet: "10.255.0.0/20".parse().unwrap(),
            gateway: Ipv4Addr::new(10, 255, 0, 1),
            router_ports: router_ports.to_vec(),
            serves_names: false,
            external_address,
        }
    }

    #[test]
    fn without_an_external_address_nothing_is_mapped_from_outside() {
        let inside = firewall(None, &[]).table_text();
        assert_eq!(inside.matches("@host_ports").count(), 1, "{inside}");
        let outside = firewall(Some(Ipv4Addr::new(192, 0, 2, 7)), &[]).table_text();
        assert!(outside.contains("ip daddr 192.0.2.7 dnat"), "{outside}");
        let anywhere = firewall(Some(Ipv4Addr::UNSPECIFIED), &[]).table_text();
        assert_eq!(anywhere.matches("fib daddr type local dnat").count(), 2, "{anywhere}");
    }

    #[test]
    fn only_the_routers_ports_are_open_to_instances() {
        let open = firewall(None, &[80, 443]).table_text();
        assert!(open.contains("tcp dport { 80, 443 } accept"), "{open}");
        let shut = firewall(None, &[]).table_text();
        assert!(!shut.contains("} accept"), "{shut}");
    }

    #[test]
    fn the_name_servers_port_is_open_only_where_it_is_ours() {
        let rule = "ip daddr 10.255.0.1 meta l4proto { tcp, udp } th dport 53 accept";
        let ours = Firewall { serves_names: true, ..firewall(None, &[]) };
        assert!(ours.table_text().contains(rule), "{}", ours.table_text());
        assert!(!firewall(None, &[]).table_text().contains(" 53 "));
    }

    #[test]
    fn mapped_ports_replace_the_earlier_ones_in_one_batch() {
        let text = firewall(None, &[]).mappings_text(&[(61000, Ipv4Addr::new(10, 255, 0, 2), 80)]);
        let expected = "flush map inet lattice_x host_ports\n\
                        add element inet lattice_x host_ports { 61000 : 10.255.0.2 . 80 }\n";
        assert_eq!(text, expected);
    }
}
