//! The nftables table of one network: what instances reach, and what reaches them. Text for `nft`,
//! applied as one batch: all of it or nothing.

use core::net::Ipv4Addr;
use std::fmt::Write as _;
use std::process::Stdio;

use ipnet::Ipv4Net;
use lattice_model::EgressRule;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::NetworkError;
use super::egress::{self, EgressPolicy};
use crate::dns::PORT;
use crate::host_programs;

/// What a table is made from.
#[derive(Debug, Clone)]
pub(super) struct Firewall {
    /// Its name, unique on this host.
    pub(super) table: String,
    /// Whose ports the instances' links were with an earlier version; nothing comes through it now.
    pub(super) bridge: String,
    /// The names of the instances' links on this host, as `nft` has them: `v1a2b3c-*`.
    pub(super) cables: String,
    pub(super) subnet: Ipv4Net,
    pub(super) gateway: Ipv4Addr,
    /// TCP ports of the gateway that instances may reach.
    pub(super) router_ports: Vec<u16>,
    /// Whether instances may reach the name server at the gateway.
    pub(super) serves_names: bool,
    /// Where mapped ports are reachable from outside; `None` for nowhere.
    pub(super) external_address: Option<Ipv4Addr>,
    /// What instances reach whose rules say nothing of it.
    pub(super) egress: EgressPolicy,
}

/// What is let through for one instance alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    /// The instance's, for whoever reads the kernel's log.
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// Mapped ports: the host's, and the instance's.
    pub(super) ports: Vec<(u16, u16)>,
    pub(super) egress: Vec<EgressRule>,
}

// === impl Firewall ===

impl Firewall {
    /// Makes the table, or replaces what an earlier process left.
    pub(super) async fn install(&self, all: &[Opening]) -> Result<(), NetworkError> {
        let openings: String = all.iter().map(|opening| self.open_text(opening)).collect();
        apply(&format!("{}{openings}", self.table_text())).await
    }

    /// Opens what an instance has; makes the table again, for `all` of them, where somebody else
    /// has flushed it.
    pub(super) async fn open(&self, new: &Opening, all: &[Opening]) -> Result<(), NetworkError> {
        match apply(&self.open_text(new)).await {
            Ok(()) => Ok(()),
            Err(_) => self.install(all).await,
        }
    }

    /// Closes what an instance had; makes the table again, for the `others`, where it is not as it
    /// was left.
    pub(super) async fn close(
        &self,
        gone: &Opening,
        others: &[Opening],
    ) -> Result<(), NetworkError> {
        match apply(&self.close_text(gone)).await {
            Ok(()) => Ok(()),
            Err(_) => self.install(others).await,
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

    fn open_text(&self, opening: &Opening) -> String {
        let Self { table, .. } = self;
        let Opening { name, address, ports, egress } = opening;
        let mut text = String::new();
        for (host_port, port) in ports {
            let element = format!("{{ {host_port} : {address} . {port} }}");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "add element inet {table} host_ports {element}");
        }
        if egress.is_empty() {
            return text;
        }
        let chain = egress::chain_of(*address);
        let _ = writeln!(text, "add chain inet {table} {chain}");
        for rule in egress::rules_of(egress, name) {
            let _ = writeln!(text, "add rule inet {table} {chain} {rule}");
        }
        let element = format!("{{ {address} : jump {chain} }}");
        let _ = writeln!(text, "add element inet {table} egress_of {element}");
        text
    }

    fn close_text(&self, opening: &Opening) -> String {
        let Self { table, .. } = self;
        let Opening { address, ports, egress, .. } = opening;
        let mut text = String::new();
        for (host_port, _) in ports {
            let _ = writeln!(text, "delete element inet {table} host_ports {{ {host_port} }}");
        }
        if egress.is_empty() {
            return text;
        }
        let chain = egress::chain_of(*address);
        let _ = writeln!(text, "delete element inet {table} egress_of {{ {address} }}");
        let _ = writeln!(text, "flush chain inet {table} {chain}");
        let _ = writeln!(text, "delete chain inet {table} {chain}");
        text
    }

    /// An instance is heard under its own address alone. Replies pass first everywhere. It reaches
    /// the router's ports on the gateway, and of the world what its rules and the policy allow; but
    /// no other instance, and nothing else of this host, whatever its rules say.
    fn table_text(&self) -> String {
        let Self { table, bridge, cables, subnet, gateway, .. } = self;
        let (link_local, verdict) = (egress::LINK_LOCAL, self.egress.verdict());
        let to_host = self.to_host().join("\n    ");
        let absent = self.absent_text();
        let from_outside = self.external_address.map_or_else(String::new, |address| {
            let to_us = if address.is_unspecified() {
                "fib daddr type local".to_owned()
            } else {
                format!("ip daddr {address}")
            };
            format!("iifname != \"{cables}\" {to_us} dnat ip to tcp dport map @host_ports")
        });
        format!(
            r#"{absent}table inet {table} {{
  map host_ports {{
    type inet_service : ipv4_addr . inet_service
  }}
  map egress_of {{
    type ipv4_addr : verdict
  }}
  chain senders {{
    type filter hook prerouting priority filter; policy accept;
    iifname "{cables}" fib saddr . iif oif missing drop
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
    ip saddr {subnet} oifname != "{cables}" masquerade
    ip saddr != {subnet} fib saddr type local oifname "{cables}" snat ip to {gateway}
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{bridge}" drop
    iifname "{cables}" goto from_instances_out
    oifname "{cables}" ct state established,related accept
    oifname "{cables}" ct status dnat accept
    oifname "{cables}" drop
  }}
  chain from_instances_out {{
    meta nfproto ipv6 drop
    ip saddr != {subnet} drop
    ip daddr {subnet} drop
    ct state established,related accept
    ip saddr vmap @egress_of
    ip daddr {link_local} drop
    {verdict}
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "{bridge}" drop
    iifname "{cables}" jump from_instances
  }}
  chain from_instances {{
    ct state established,related accept
    {to_host}
    ip daddr {gateway} icmp type echo-request accept
    drop
  }}
}}
"#
        )
    }

    /// What of this host instances reach.
    fn to_host(&self) -> Vec<String> {
        let Self { gateway, router_ports, .. } = self;
        let ports: Vec<String> = router_ports.iter().map(u16::to_string).collect();
        let to_router = (!ports.is_empty())
            .then(|| format!("ip daddr {gateway} tcp dport {{ {} }} accept", ports.join(", ")));
        let to_names = self.serves_names.then(|| {
            format!("ip daddr {gateway} meta l4proto {{ tcp, udp }} th dport {PORT} accept")
        });
        to_router.into_iter().chain(to_names).collect()
    }
}

/// Hands one batch to `nft`.
async fn apply(batch: &str) -> Result<(), NetworkError> {
    let failed = |why: String| NetworkError::Failed { what: "set the firewall".to_owned(), why };
    let mut command = Command::from(host_programs::command("nft"));
    command.args(["-f", "-"]).kill_on_drop(true);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn firewall(external_address: Option<Ipv4Addr>, router_ports: &[u16]) -> Firewall {
        Firewall {
            table: "lattice_x".to_owned(),
            bridge: "lattice0".to_owned(),
            cables: "v123456-*".to_owned(),
            subnet: "10.255.0.0/20".parse().unwrap(),
            gateway: Ipv4Addr::new(10, 255, 0, 1),
            router_ports: router_ports.to_vec(),
            serves_names: false,
            external_address,
            egress: EgressPolicy::Open,
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
    fn what_is_opened_for_an_instance_is_closed_again_whole() {
        let rule = serde_json::json!({"protocol": "all", "destinations": ["10.0.0.1"]});
        let opening = Opening {
            name: "web-1".to_owned(),
            address: Ipv4Addr::new(10, 255, 0, 2),
            ports: vec![(61000, 80)],
            egress: vec![serde_json::from_value(rule).unwrap()],
        };
        let firewall = firewall(None, &[]);
        let expected = "\
            add element inet lattice_x host_ports { 61000 : 10.255.0.2 . 80 }\n\
            add chain inet lattice_x egress_10_255_0_2\n\
            add rule inet lattice_x egress_10_255_0_2 ip daddr 169.254.0.0/16 drop\n\
            add rule inet lattice_x egress_10_255_0_2 ip daddr 10.0.0.1 accept\n\
            add element inet lattice_x egress_of { 10.255.0.2 : jump egress_10_255_0_2 }\n";
        assert_eq!(firewall.open_text(&opening), expected);
        let expected = "delete element inet lattice_x host_ports { 61000 }\n\
            delete element inet lattice_x egress_of { 10.255.0.2 }\n\
            flush chain inet lattice_x egress_10_255_0_2\n\
            delete chain inet lattice_x egress_10_255_0_2\n";
        assert_eq!(firewall.close_text(&opening), expected);
        let plain = Opening { ports: vec![], egress: vec![], ..opening };
        assert_eq!((firewall.open_text(&plain), firewall.close_text(&plain)), Default::default());
    }
}
