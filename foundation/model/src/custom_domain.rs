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

/// What may be told of a host and its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomDomainStatus {
    /// The host.
    pub host: String,
    /// Whether it can be reached by https.
    pub state: CertificateState,
    /// What its certificate says; none while there is none.
    #[serde(flatten)]
    pub certificate: Option<CertificateFacts>,
    /// How it is got from an authority; none when its owner gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderStatus>,
    /// What its owner should look at; empty when all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub warning: String,
}

/// Whether a host can be reached by https.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateState {
    /// Its first certificate is ordered.
    Pending,
    /// It has a certificate that is good.
    Valid,
    /// It has none, and the last order came to nothing or there is none.
    Failed,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// The names it is good for.
    pub names: Vec<String>,
    /// Who vouches for it.
    pub issuer: String,
    /// It is good from here
    pub not_before: Time,
    /// to here.
    pub not_after: Time,
}

/// How a certificate is got from an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStatus {
    /// One is made now.
    pub is_open: bool,
    /// How many orders in a row came to nothing.
    pub failures: u32,
    /// Why the last of them did, in the authority's words; empty when none did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// When the next one is made: again after a failure, or in time to renew; none when that was
    /// given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_order_at: Option<Time>,
}

// === impl CertificateState ===

impl CertificateState {
    /// As it is written and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Valid => "valid",
            Self::Failed => "failed",
        }
    }
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
