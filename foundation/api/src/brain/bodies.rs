//! The Receptor API's bodies: what is read, with the Receptor's own complaints (B.2 to B.8), and
//! what is written, field by field in the Receptor's order.
//!
//! Unknown fields are ignored and `null` counts as absent, as in the original.

pub mod action;
pub mod actual_lrp;
pub mod cell;
mod container;
pub mod desired_lrp;
mod egress;
pub mod event;
mod field;
pub mod moves;
mod pod;
pub mod task;

use lattice_model::{CustomDomain, ErrorName, Refusal, RegistryCredentials};
use serde::Serialize;
use serde_json::Value;

pub use actual_lrp::ActualLrpResponse;
pub use cell::CellResponse;
pub use desired_lrp::DesiredLrpResponse;
pub use event::EventBody;
pub use task::TaskResponse;

/// The longest domain accepted, in bytes.
pub const DOMAIN_BYTES_MAX: usize = 200;

/// The longest registry user, password or token accepted, in bytes.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;

/// Reads JSON text; what is none is refused as `InvalidJSON`.
pub fn parse_json(bytes: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(bytes).map_err(|e| Refusal::new(ErrorName::InvalidJSON, e.to_string()))
}

/// Reads the body that hands over a registry's credentials. Ours.
pub fn parse_registry_credentials(body: &Value) -> Result<RegistryCredentials, Refusal> {
    let fields = field::Object::root(body)?;
    let registry = fields.string("registry")?;
    let (username, password) = (fields.string("username")?, fields.string("password")?);
    let mut complaints = Complaints::default();
    let is_host_byte = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    let is_host = !registry.is_empty() && registry.bytes().all(is_host_byte);
    if !is_host || registry.len() > DOMAIN_BYTES_MAX {
        complaints.invalid("registry");
    }
    if username.len() > SECRET_BYTES_MAX {
        complaints.invalid("username");
    }
    if password.len() > SECRET_BYTES_MAX {
        complaints.invalid("password");
    }
    complaints.settle(ErrorName::InvalidRequest)?;
    Ok(RegistryCredentials { registry, username, password })
}

/// The body that hands over a certificate, or asks for one; its host is in the path. Ours.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum CustomDomainBody<'d> {
    /// A certificate of its owner's.
    Given {
        /// In PEM.
        certificate: &'d str,
        /// In PEM.
        key: &'d str,
    },
    /// One from an authority.
    Ordered {
        /// Always true.
        order: bool,
    },
}

impl<'d> From<&'d CustomDomain> for CustomDomainBody<'d> {
    fn from(domain: &'d CustomDomain) -> Self {
        Self::Given { certificate: &domain.certificate, key: &domain.key }
    }
}

/// Where a host's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// Its owner, who hands it over.
    Owner(CustomDomain),
    /// An authority, for this host.
    Authority(String),
}

/// Reads that body.
pub fn parse_custom_domain(host: &str, body: &Value) -> Result<CertificateSource, Refusal> {
    let host = host.to_ascii_lowercase();
    let fields = field::Object::root(body)?;
    let (certificate, key) = (fields.string("certificate")?, fields.string("key")?);
    let is_given = !certificate.is_empty() || !key.is_empty();
    match (fields.bool("order")?, is_given) {
        (true, true) => {
            let message = "Invalid field: order (either a certificate is given or one is ordered)";
            Err(Refusal::new(ErrorName::InvalidRequest, message))
        }
        (true, false) => Ok(CertificateSource::Authority(host)),
        (false, _) => Ok(CertificateSource::Owner(CustomDomain { host, certificate, key })),
    }
}

/// What is wrong with a body: the items of the message, in order.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Vec<String>);

impl Complaints {
    fn invalid(&mut self, field: &str) {
        self.0.push(format!("Invalid field: {field}"));
    }

    fn say(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same about something that stands at `place`.
    fn within(self, place: &str) -> Self {
        Self(self.0.into_iter().map(|item| format!("{place}: {item}")).collect())
    }

    fn append(&mut self, mut inner: Self) {
        self.0.append(&mut inner.0);
    }

    /// Refuses under this name when there is anything to complain about.
    fn settle(self, name: ErrorName) -> Result<(), Refusal> {
        if self.is_empty() { Ok(()) } else { Err(Refusal::new(name, self.0.join(", "))) }
    }
}

#[cfg(test)]
mod tests;
