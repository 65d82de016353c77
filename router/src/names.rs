//! Where the names of route services lead, and of endpoints that registered no address. Each worker
//! asks and remembers by itself, as long as the answer says, in the machine's way (`/etc/hosts`, `/etc/resolv.conf`), without the C
//! library, which a static binary has only half of.

use std::cell::OnceCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use hickory_resolver::TokioResolver;

/// Who is asked.
#[derive(Debug, Default)]
pub(crate) struct Names(OnceCell<TokioResolver>);

impl Names {
    /// The addresses of a name, those first that are to be tried first.
    pub(crate) async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = name.parse() {
            return Ok(vec![ip]);
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into()]);
        }
        let found = self.asked()?.lookup_ip(name).await.map_err(io::Error::other)?;
        Ok(found.iter().collect())
    }

    fn asked(&self) -> io::Result<&TokioResolver> {
        if let Some(known) = self.0.get() {
            return Ok(known);
        }
        let made = TokioResolver::builder_tokio().map_err(io::Error::other)?.build();
        let made = made.map_err(io::Error::other)?;
        Ok(self.0.get_or_init(|| made))
    }
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
}
