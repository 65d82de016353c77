//! Hosts of people's own, and the certificates they are served with.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// A host and what it shows. `Debug` does not show the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomDomain {
    /// The host in lower case; `*.` begins one for every name one label below.
    pub host: String,
    /// The certificate and those that vouch for it, in PEM.
    pub certificate: String,
    /// Its key, in PEM.
    pub key: String,
}

/// What may be told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomDomainStatus {
    /// The host.
    pub host: String,
    /// The names the certificate is good for.
    pub names: Vec<String>,
    /// Who vouches for it, as the certificate says.
    pub issuer: String,
    /// It is good from here
    pub not_before: Time,
    /// to here.
    pub not_after: Time,
    /// What its owner should look at; empty when all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub warning: String,
}

// === impl CustomDomain ===

impl fmt::Debug for CustomDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomDomain").field("host", &self.host).finish_non_exhaustive()
    }
}

/// A host as people type it, in lower case; `None` when it is none that could have a certificate:
/// at least two labels of letters, digits and inner hyphens, the first of which may be `*`.
pub fn custom_host(typed: &str) -> Option<String> {
    const HOST_BYTES_MAX: usize = 253;
    const LABEL_BYTES_MAX: usize = 63;
    let host = typed.to_ascii_lowercase();
    let name = host.strip_prefix("*.").unwrap_or(&host);
    let is_label = |label: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_host = name.contains('.') && name.split('.').all(is_label) && !is_number;
    (is_host && host.len() <= HOST_BYTES_MAX).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_labels_and_may_begin_with_a_star() {
        for (typed, expected) in [
            ("Shop.Example.com", Some("shop.example.com")),
            ("*.example.com", Some("*.example.com")),
            ("a-b.c1", Some("a-b.c1")),
            ("localhost", None),
            ("*", None),
            ("*.com", None),
            ("a.*.com", None),
            ("shop.example.com.", None),
            ("-a.example.com", None),
            ("a_b.example.com", None),
            ("10.0.0.1", None),
            ("shop.example.com:443", None),
            ("shop.example.com/path", None),
            ("", None),
        ] {
            assert_eq!(custom_host(typed).as_deref(), expected, "{typed}");
        }
        assert_eq!(custom_host(&format!("{}.test", "a".repeat(64))), None);
        assert_eq!(custom_host(&"a.".repeat(127)), None);
    }
}
