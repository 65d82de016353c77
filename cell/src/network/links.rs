//! Links, addresses, neighbours and routes, by netlink: the bridge with the host's address, and an
//! instance's cable, whose two ends need not ask for each other.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage, State,
};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{
    Error, Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection,
};

/// What an instance calls its link.
const INSIDE: &str = "eth0";
/// How long a cable may take until it carries packets; the kernel needs some milliseconds.
const UP_WITHIN: Duration = Duration::from_secs(20);
/// How often a link is looked at while it comes up: at first, and at the slowest.
const LOOKS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// The links of the network namespace this was opened in.
#[derive(Clone)]
pub(super) struct Links {
    handle: Handle,
}

/// An instance's cable, by its end on the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cable<'a> {
    pub(super) name: &'a str,
    pub(super) ends: Ends,
}

/// What is at the two ends of a cable. Each knows the other for good: what the kernel finds out by
/// asking has room for 1,024 in all network namespaces together, and these do not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) instance: Ipv4Addr,
    /// The address under which the instance sees the host.
    pub(super) host: Ipv4Addr,
    pub(super) host_mac: [u8; 6],
}

// === impl Links ===

impl Links {
    /// Opens netlink in the calling thread's namespace; needs a tokio runtime.
    pub(super) fn open() -> io::Result<Self> {
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Makes the bridge with its address, or adopts the one that is there.
    pub(super) async fn ensure_bridge(
        &self,
        name: &str,
        address: Ipv4Net,
        mac: [u8; 6],
    ) -> io::Result<()> {
        let found = self.find(name).await?;
        if found.as_ref().is_some_and(|link| !is_bridge(link)) {
            return Err(io::Error::other(format!(
                "{name} exists and is not a bridge; name another bridge"
            )));
        }
        if let Some(other) = self.address_in(address, name).await? {
            return Err(io::Error::other(format!(
                "{other} of this host is in {}; choose another subnet",
                address.trunc()
            )));
        }
        if found.is_none() {
            let bridge = LinkBridge::new(name).address(mac.to_vec()).build();
            self.handle.link().add(bridge).execute().await.map_err(told)?;
        }
        let index = self.index(name).await?;
        self.handle
            .address()
            .add(index, address.addr().into(), address.prefix_len())
            .replace()
            .execute()
            .await
            .map_err(told)?;
        self.up(index).await
    }

    /// Lays a cable into a namespace, where [`configure_inside`] then plugs it in.
    pub(super) async fn lay(&self, cable: &Cable<'_>, namespace: &OwnedFd) -> io::Result<()> {
        let Ends { instance, host_mac, .. } = cable.ends;
        let inside = LinkUnspec::new_with_name(INSIDE)
            .address(mac_of(instance).to_vec())
            .setns_by_fd(namespace.as_raw_fd())
            .build();
        let link = LinkVeth::new(cable.name, INSIDE)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(inside)))
            .address(host_mac.to_vec())
            .build();
        self.handle.link().add(link).execute().await.map_err(told)?;
        self.lead(cable).await
    }

    /// Takes a cable that an earlier version laid out of the bridge; who talks over it goes on.
    /// Taking it out is the last step: a process that is killed before leaves it where the next one
    /// looks for it.
    pub(super) async fn unplug(&self, cable: &Cable<'_>) -> io::Result<()> {
        let index = self.index(cable.name).await?;
        let link = || LinkUnspec::new_with_index(index);
        let set = async |link| self.handle.link().set(link).execute().await.map_err(told);
        // A link forgets its neighbours with its address.
        set(link().address(cable.ends.host_mac.to_vec()).build()).await?;
        self.lead(cable).await?;
        set(link().nocontroller().build()).await
    }

    /// Leads what is for an instance over its cable.
    async fn lead(&self, cable: &Cable<'_>) -> io::Result<()> {
        let Ends { instance, host, .. } = cable.ends;
        disable_ipv6(cable.name)?;
        // So that mapped ports answer on 127.0.0.1; the firewall keeps instances away from there.
        fs::write(format!("/proc/sys/net/ipv4/conf/{}/route_localnet", cable.name), "1")?;
        let index = self.index(cable.name).await?;
        self.up(index).await?;
        self.introduce(index, instance, mac_of(instance)).await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(instance, 32)
            .output_interface(index)
            .scope(RouteScope::Link)
            .pref_source(host)
            .build();
        self.handle.route().add(route).replace().execute().await.map_err(told)
    }

    /// Waits until a link carries packets. Until the kernel's own thread has seen that both ends are
    /// up it throws away what is sent, which nobody sends again where nobody had to ask first.
    pub(super) async fn wait_until_up(&self, name: &str) -> io::Result<()> {
        let (begin, [mut pause, slowest]) = (Instant::now(), LOOKS);
        loop {
            let state = self.find(name).await?.and_then(|link| state_of(&link));
            if state == Some(State::Up) {
                return Ok(());
            }
            if begin.elapsed() > UP_WITHIN {
                let state = state.map_or_else(|| "unknown".to_owned(), |state| state.to_string());
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{name} is not up after {UP_WITHIN:?}; its state is {state}"),
                ));
            }
            tokio::time::sleep(pause).await;
            pause = slowest.min(pause * 2);
        }
    }

    /// Says for good who is at the other end of a link.
    async fn introduce(&self, link: u32, address: Ipv4Addr, mac: [u8; 6]) -> io::Result<()> {
        let neighbour = self.handle.neighbours().add(link, address.into());
        let neighbour = neighbour.link_layer_address(&mac).replace();
        neighbour.execute().await.map_err(told)
    }

    /// Removes a link; no error when it is gone.
    pub(super) async fn remove(&self, name: &str) -> io::Result<()> {
        let Some(link) = self.find(name).await? else { return Ok(()) };
        match self.handle.link().del(link.header.index).execute().await {
            Err(e) if errno(&e) != Some(libc::ENODEV) => Err(told(e)),
            _ => Ok(()),
        }
    }

    /// The names of the links that are ports of a bridge.
    pub(super) async fn ports_of(&self, bridge: &str) -> io::Result<Vec<String>> {
        let Some(bridge) = self.find(bridge).await? else { return Ok(Vec::new()) };
        let controller = LinkAttribute::Controller(bridge.header.index);
        let links = self.all().await?;
        let ports = links.iter().filter(|link| link.attributes.contains(&controller));
        Ok(ports.filter_map(name_of).collect())
    }

    /// The names of the links whose names begin so.
    pub(super) async fn beginning_with(&self, prefix: &str) -> io::Result<Vec<String>> {
        let names = self.all().await?.iter().filter_map(name_of).collect::<Vec<_>>();
        Ok(names.into_iter().filter(|name| name.starts_with(prefix)).collect())
    }

    async fn all(&self) -> io::Result<Vec<LinkMessage>> {
        self.handle.link().get().execute().try_collect().await.map_err(told)
    }

    /// What a link has received and sent, in bytes.
    pub(super) async fn traffic(&self, name: &str) -> io::Result<(u64, u64)> {
        let link = self.find(name).await?;
        let attributes = link.into_iter().flat_map(|link| link.attributes);
        let mut counts = attributes.filter_map(|attribute| match attribute {
            LinkAttribute::Stats64(counts) => Some((counts.rx_bytes, counts.tx_bytes)),
            _ => None,
        });
        counts.next().ok_or_else(|| io::Error::other(format!("nothing is counted of {name}")))
    }

    async fn index(&self, name: &str) -> io::Result<u32> {
        let found = self.find(name).await?.map(|link| link.header.index);
        found.ok_or_else(|| io::Error::other(format!("{name} is not there")))
    }

    async fn find(&self, name: &str) -> io::Result<Option<LinkMessage>> {
        let mut links = Box::pin(self.handle.link().get().match_name(name).execute());
        match links.next().await {
            None => Ok(None),
            Some(Ok(link)) => Ok(Some(link)),
            Some(Err(e)) if errno(&e) == Some(libc::ENODEV) => Ok(None),
            Some(Err(e)) => Err(told(e)),
        }
    }

    /// The first address of another link than `except` that lies in a subnet.
    async fn address_in(&self, subnet: Ipv4Net, except: &str) -> io::Result<Option<Ipv4Addr>> {
        let except = self.find(except).await?.map(|link| link.header.index);
        let mut all = Box::pin(self.handle.address().get().execute());
        while let Some(found) = all.try_next().await.map_err(told)? {
            let mut v4 = found.attributes.iter().filter_map(|attribute| match attribute {
                AddressAttribute::Local(std::net::IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            let inside = v4.find(|address| subnet.contains(address));
            if inside.is_some() && Some(found.header.index) != except {
                return Ok(inside);
            }
        }
        Ok(None)
    }

    async fn up(&self, index: u32) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index).up().build();
        self.handle.link().set(link).execute().await.map_err(told)
    }
}

/// Gives an instance its address and its way out; to be called on a thread that is inside its
/// namespace.
pub(super) fn configure_inside(ends: Ends) -> io::Result<()> {
    // Ports below 1024 are no privilege of root's where the whole namespace is the instance's.
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio.block_on(async {
        let links = Links::open()?;
        let index = links.index(INSIDE).await?;
        disable_ipv6(INSIDE)?;
        let add = links.handle.address().add(index, ends.instance.into(), 32);
        add.execute().await.map_err(told)?;
        links.up(links.index("lo").await?).await?;
        links.up(index).await?;
        links.introduce(index, ends.host, ends.host_mac).await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .gateway(ends.host)
            .onlink()
            .build();
        links.handle.route().add(route).execute().await.map_err(told)
    })
}

/// The hardware address that belongs to an address, always the same one: what neighbours remember
/// of an address stays true when the next instance gets it. Without that a host waits tens of
/// seconds for the instance that is gone.
fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x6c, a, b, c, d]
}

/// Keeps a link to IPv4, where the firewall's addresses are; a kernel without IPv6 does anyway.
pub(super) fn disable_ipv6(link: &str) -> io::Result<()> {
    match fs::write(format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6"), "1") {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn is_bridge(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(infos)
            if infos.contains(&LinkInfo::Kind(InfoKind::Bridge)))
    })
}

fn state_of(link: &LinkMessage) -> Option<State> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::OperState(state) => Some(*state),
        _ => None,
    })
}

fn name_of(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

/// The number of the kernel's refusal.
fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        _ => None,
    }
}

fn told(error: Error) -> io::Error {
    errno(&error).map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}
