//! Names under `localhost` are loopback, whatever the machine's resolver thinks (RFC 6761, 6.3):
//! the default domain, `lattice.localhost`, must work for every client of ours.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use reqwest::{ClientBuilder, Url};

/// True for `localhost` and every name under it.
pub fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Where a host of ours is reached: loopback for names under `localhost`, nothing for others.
pub fn address(host: &str) -> Option<IpAddr> {
    is_localhost(host).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Makes a client find the URL's host on loopback, past any proxy, when it is under `localhost`.
/// The answer is 127.0.0.1 alone: another program may listen on the same port of `::1`.
pub fn pin(client: ClientBuilder, url: &Url) -> ClientBuilder {
    match url.host_str().and_then(|host| Some((host, address(host)?))) {
        Some((host, ip)) => client.resolve(host, SocketAddr::new(ip, 0)).no_proxy(),
        None => client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_and_what_is_under_it_is_loopback() {
        for (host, expected) in [
            ("localhost", true),
            ("receptor.lattice.localhost", true),
            ("Web.Lattice.LOCALHOST", true),
            ("a.localhost.", true),
            ("notlocalhost", false),
            ("localhost.example.com", false),
            ("example.com", false),
            ("", false),
        ] {
            assert_eq!(is_localhost(host), expected, "{host}");
            assert_eq!(address(host).is_some(), expected, "{host}");
        }
    }
}
