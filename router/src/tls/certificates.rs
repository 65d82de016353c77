//! Which certificate is shown, by the name that a client asks for. They can be replaced while
//! connections are made.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::{Identity, PemError, refused};

/// The certificates. The first is for clients that ask for none, or for one we do not have.
#[derive(Debug)]
pub struct Certificates {
    known: ArcSwap<Known>,
}

#[derive(Debug, Default)]
struct Known {
    first: Option<Arc<CertifiedKey>>,
    /// By name in lower case; `*.` begins those for everything below.
    named: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    /// These, in this order.
    pub fn new(identities: Vec<Identity>) -> Result<Self, PemError> {
        Ok(Self { known: ArcSwap::from_pointee(Known::of(identities)?) })
    }

    /// The names that have one of their own.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.known.load().named.keys().cloned().collect();
        names.sort();
        names
    }

    /// Shows these from now on.
    pub fn replace(&self, identities: Vec<Identity>) -> Result<(), PemError> {
        self.known.store(Arc::new(Known::of(identities)?));
        Ok(())
    }
}

impl Known {
    fn of(identities: Vec<Identity>) -> Result<Self, PemError> {
        let mut known = Self::default();
        for Identity { chain, key } in identities {
            let leaf = chain.first().ok_or(PemError::NoCertificate)?.clone();
            let key = CertifiedKey::from_der(chain, key, &ring::default_provider());
            let key = Arc::new(key.map_err(refused)?);
            let parsed = EndEntityCert::try_from(&leaf).map_err(refused)?;
            for name in parsed.valid_dns_names() {
                known.named.entry(name.to_ascii_lowercase()).or_insert_with(|| key.clone());
            }
            known.first.get_or_insert(key);
        }
        if known.first.is_none() { Err(PemError::NoCertificate) } else { Ok(known) }
    }

    /// The exact name wins over the wildcard.
    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let Some(name) = name else { return self.first.as_ref() };
        let name = name.to_ascii_lowercase();
        let above = name.split_once('.').map(|(_, above)| format!("*.{above}"));
        let wildcard = || self.named.get(above.as_deref()?);
        self.named.get(&name).or_else(wildcard).or(self.first.as_ref())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.known.load().find(hello.server_name()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Identity::of_pem(&made.cert.pem(), &made.signing_key.serialize_pem()).unwrap()
    }

    #[test]
    fn the_exact_name_wins_over_the_wildcard_and_the_first_is_for_all_others() {
        let sets: [&[&str]; 3] = [&["first.test"], &["*.Wild.test"], &["a.wild.test", "b.test"]];
        let identities: Vec<Identity> = sets.iter().map(|names| identity(names)).collect();
        let chains: Vec<_> = identities.iter().map(|identity| identity.chain.clone()).collect();
        let known = Known::of(identities).unwrap();
        for (name, nth) in [
            (None, 0),
            (Some("other.test"), 0),
            (Some("x.wild.test"), 1),
            (Some("X.WILD.TEST"), 1),
            (Some("y.x.wild.test"), 0),
            (Some("wild.test"), 0),
            (Some("a.wild.test"), 2),
            (Some("b.test"), 2),
        ] {
            assert_eq!(known.find(name).unwrap().cert, chains[nth], "{name:?}");
        }
    }

    #[test]
    fn without_any_there_is_nothing_to_show() {
        assert_eq!(Certificates::new(Vec::new()).unwrap_err(), PemError::NoCertificate);
        let certificates = Certificates::new(vec![identity(&["a.test"])]).unwrap();
        assert!(certificates.replace(Vec::new()).is_err());
        assert!(certificates.known.load().first.is_some(), "what was there stays");
    }
}
