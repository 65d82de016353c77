//! Links, addresses and routes, by netlink: the bridge on the host and an instance's pair of
//! virtual cables.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use futures_util::{StreamExt, TryStreamExt};
use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use rtnetlink::{
    Error, Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder,
    new_connection,
};

/// What an instance calls its link.
const INSIDE: &str = "eth0";

/// The links of the network namespace this was opened in.
#[derive(Clone)]
pub(super) struct Links {
    handle: Handle,
}

// === impl Links ===

impl Links {
    /// Opens netlink in the calling thread's namespace; needs a tokio runtime.
    pub(super) fn open() -> io::Result<Self> {
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Makes the bridge with its address, or adopts the one that is there. Returns its index.
    pub(super) async fn ensure_bridge(
        &self,
        name: &str,
        address: Ipv4Net,
        mac: [u8; 6],
    ) -> io::Result<u32> {
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
        self.up(index).await?;
        Ok(index)
    }

    /// Lays a cable from the bridge into a namespace. Instances cannot talk to each other on it.
    pub(super) async fn connect(
        &self,
        bridge: u32,
        name: &str,
        namespace: &OwnedFd,
    ) -> io::Result<()> {
        let inside = LinkUnspec::new_with_name(INSIDE).setns_by_fd(namespace.as_raw_fd()).build();
        let cable = LinkVeth::new(name, INSIDE)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(inside)))
            .controller(bridge)
            .build();
        self.handle.link().add(cable).execute().await.map_err(told)?;
        let port = LinkBridgePort::new(self.index(name).await?)
            .append_info_data(InfoBridgePort::Isolated(true))
            .up()
            .build();
        self.handle.link().set_port(port).execute().await.map_err(told)
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
        let index = bridge.header.index;
        let links: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(told)?;
        let ports =
            links.into_iter().filter(|l| l.attributes.contains(&LinkAttribute::Controller(index)));
        Ok(ports.filter_map(|link| name_of(&link)).collect())
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
pub(super) fn configure_inside(address: Ipv4Net, gateway: Ipv4Addr) -> io::Result<()> {
    // Ports below 1024 are no privilege of root's where the whole namespace is the instance's.
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio.block_on(async {
        let links = Links::open()?;
        let index = links.index(INSIDE).await?;
        disable_ipv6(INSIDE)?;
        let mac =
            LinkUnspec::new_with_index(index).address(mac_of(address.addr()).to_vec()).build();
        links.handle.link().set(mac).execute().await.map_err(told)?;
        let add = links.handle.address().add(index, address.addr().into(), address.prefix_len());
        add.execute().await.map_err(told)?;
        links.up(links.index("lo").await?).await?;
        links.up(index).await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
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
