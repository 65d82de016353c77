//! The platform `ltc` talks to: a domain, perhaps a port, perhaps a user and password.

use core::net::IpAddr;
use std::fmt;

/// A domain under which a Lattice answers. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The domain, with `:port` where the router listens on another port than 80.
    pub domain: String,
    /// Sent with every request, where there is one.
    pub login: Option<Login>,
}

/// A user and password. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Why a text names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It carries a scheme or a path.
    #[error("'{0}' is not a domain; leave out http:// and any path")]
    NotADomain(String),
    /// What follows the colon is no port.
    #[error("'{0}' has no valid port behind the colon")]
    BadPort(String),
}

// === impl Target ===

impl Target {
    /// Checks what a person typed.
    pub fn parse(domain: &str) -> Result<Self, TargetError> {
        let odd = |c: char| c == '/' || c == '@' || c.is_whitespace();
        if domain.is_empty() || domain.contains(odd) || domain.starts_with([':', '-']) {
            return Err(TargetError::NotADomain(domain.to_owned()));
        }
        if let Some((_, port)) = domain.split_once(':')
            && !port.parse::<u16>().is_ok_and(|p| p > 0)
        {
            return Err(TargetError::BadPort(domain.to_owned()));
        }
        Ok(Self { domain: domain.to_owned(), login: None })
    }

    /// The same target with this user and password.
    #[must_use]
    pub fn with_login(&self, login: Login) -> Self {
        Self { domain: self.domain.clone(), login: Some(login) }
    }

    /// The domain without the port: what hostnames of routes end with.
    pub fn host(&self) -> &str {
        self.domain.split_once(':').map_or(self.domain.as_str(), |(host, _)| host)
    }

    /// `:port`, or nothing for the usual port.
    pub fn port_suffix(&self) -> &str {
        match self.domain.find(':') {
            Some(colon) if &self.domain[colon..] != ":80" => &self.domain[colon..],
            _ => "",
        }
    }

    /// Where the Receptor API answers; without credentials.
    pub fn receptor_url(&self) -> String {
        format!("http://receptor.{}", self.domain)
    }

    /// Where logs are read.
    pub fn doppler_url(&self) -> String {
        format!("http://doppler.{}", self.domain)
    }

    /// The platform's own registry, as images name it.
    pub fn registry(&self) -> String {
        format!("registry.{}", self.domain)
    }

    /// The address a person opens for a route's hostname, which may carry a `/path`.
    pub fn app_url(&self, hostname: &str) -> String {
        let (host, path) = match hostname.find('/') {
            Some(slash) => hostname.split_at(slash),
            None => (hostname, ""),
        };
        format!("http://{host}{}{path}", self.port_suffix())
    }

    /// True when the domain can only mean this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_end_matches('.').to_ascii_lowercase();
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("domain", &self.domain).field("login", &self.login).finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(domain: &str) -> Target {
        Target::parse(domain).unwrap()
    }

    #[test]
    fn a_port_is_part_of_every_url_and_of_no_hostname() {
        let t = target("lattice.localhost:8080");
        assert_eq!(t.host(), "lattice.localhost");
        assert_eq!(t.receptor_url(), "http://receptor.lattice.localhost:8080");
        assert_eq!(t.doppler_url(), "http://doppler.lattice.localhost:8080");
        assert_eq!(t.registry(), "registry.lattice.localhost:8080");
        assert_eq!(t.app_url("web.lattice.localhost"), "http://web.lattice.localhost:8080");
        assert_eq!(t.app_url("web.lattice.localhost/a"), "http://web.lattice.localhost:8080/a");
        assert_eq!(target("l.test:80").app_url("web.l.test"), "http://web.l.test");
        assert_eq!(target("l.test").app_url("web.l.test"), "http://web.l.test");
    }

    #[test]
    fn only_names_that_cannot_leave_the_machine_are_loopback() {
        for (domain, expected) in [
            ("lattice.localhost", true),
            ("lattice.localhost:8080", true),
            ("LOCALHOST", true),
            ("lattice.localhost.", true),
            ("127.0.0.1", true),
            ("127.1.2.3:81", true),
            ("localhost.example.com", false),
            ("notlocalhost", false),
            ("127.0.0.1.nip.io", false),
            ("10.0.0.1", false),
            ("lattice.test", false),
        ] {
            assert_eq!(target(domain).is_loopback(), expected, "{domain}");
        }
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for bad in ["", "http://x.test", "x.test/y", "u@x.test", "a b", ":80", "-x"] {
            assert!(matches!(Target::parse(bad), Err(TargetError::NotADomain(_))), "{bad}");
        }
        for bad in ["x:", "x:0", "x:port", "x:70000", "x:1:2"] {
            assert!(matches!(Target::parse(bad), Err(TargetError::BadPort(_))), "{bad}");
        }
    }

    #[test]
    fn debug_never_shows_a_password() {
        let login = Login { username: "u".into(), password: "hunter2".into() };
        assert!(!format!("{:?}", target("x").with_login(login)).contains("hunter2"));
    }
}
