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
use crate::challenges::{self, Challenges};

/// The certificates. The first is for clients that ask for none, or for one we do not have.
#[derive(Debug)]
pub struct Certificates {
    known: ArcSwap<Known>,
    /// By host, each for that host and not for the other names it may have.
    of_hosts: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
    /// What authorities are shown that ask whether a host is ours.
    challenges: Arc<Challenges>,
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
        let (known, of_hosts) = (Known::of(identities)?, ArcSwap::default());
        let challenges = Arc::default();
        Ok(Self { known: ArcSwap::from_pointee(known), of_hosts, challenges })
    }

    /// What authorities are answered that ask whether a host is ours.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Shows these, in place of all that were given for hosts before; `*.` begins a host that
    /// stands for all names one label below. Those that cannot be shown are left out and told.
    pub fn show_for_hosts<'i>(
        &self,
        identities: impl IntoIterator<Item = (&'i str, Result<Identity, PemError>)>,
    ) -> Vec<(String, PemError)> {
        let (mut of_hosts, mut left_out) = (HashMap::new(), Vec::new());
        for (host, identity) in identities {
            match identity.and_then(certified) {
                Ok(key) => drop(of_hosts.insert(host.to_ascii_lowercase(), Arc::new(key))),
                Err(why) => left_out.push((host.to_owned(), why)),
            }
        }
        self.of_hosts.store(Arc::new(of_hosts));
        left_out
    }

    /// An exact name wins over a wildcard, and what was given for a host over what is known.
    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let known = self.known.load();
        let Some(name) = name else { return known.first.clone() };
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, above)| format!("*.{above}"));
        let of_hosts = self.of_hosts.load();
        let found = [Some(&name), wildcard.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|name| of_hosts.get(name).or_else(|| known.named.get(name)).cloned());
        found.or_else(|| known.first.clone())
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
        for identity in identities {
            let leaf = identity.chain.first().ok_or(PemError::NoCertificate)?.clone();
            let key = Arc::new(certified(identity)?);
            let parsed = EndEntityCert::try_from(&leaf).map_err(refused)?;
            for name in parsed.valid_dns_names() {
                known.named.entry(name.to_ascii_lowercase()).or_insert_with(|| key.clone());
            }
            known.first.get_or_insert(key);
        }
        if known.first.is_none() { Err(PemError::NoCertificate) } else { Ok(known) }
    }
}

fn certified(identity: Identity) -> Result<CertifiedKey, PemError> {
    let Identity { chain, key } = identity;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(refused)
}

/// As it is: what proves a host to an authority holds what no other certificate may, and `webpki`
/// refuses to read.
pub(crate) fn unread(identity: Identity) -> Result<CertifiedKey, PemError> {
    let Identity { chain, key } = identity;
    let key = ring::default_provider().key_provider.load_private_key(key).map_err(refused)?;
    Ok(CertifiedKey::new(chain, key))
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match challenges::is_question(&hello) {
            true => self.challenges.certificate(&hello),
            false => self.find(hello.server_name()),
        }
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
        let known = Certificates::new(identities).unwrap();
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
    fn what_is_given_for_a_host_is_shown_for_it_alone_until_it_is_taken_away() {
        let certificates = Certificates::new(vec![identity(&["*.own.test"])]).unwrap();
        let own = certificates.find(None).unwrap().cert.clone();
        let (shop, wild) = (identity(&["shop.test", "b.test"]), identity(&["*.own.test"]));
        let (of_shop, of_wild) = (shop.chain.clone(), wild.chain.clone());
        let broken = Identity::of_pem("no PEM", "neither");
        let given = [("Shop.test", Ok(shop)), ("*.own.test", Ok(wild)), ("c.test", broken)];
        let left_out = certificates.show_for_hosts(given);
        assert_eq!(left_out.iter().map(|(host, _)| host.as_str()).collect::<Vec<_>>(), ["c.test"]);
        for (name, expected) in
            [("shop.test", &of_shop), ("b.test", &own), ("a.own.test", &of_wild), ("c.test", &own)]
        {
            assert_eq!(certificates.find(Some(name)).unwrap().cert, *expected, "{name}");
        }
        certificates.show_for_hosts([]);
        assert_eq!(certificates.find(Some("shop.test")).unwrap().cert, own);
    }

    #[test]
    fn without_any_there_is_nothing_to_show() {
        assert_eq!(Certificates::new(Vec::new()).unwrap_err(), PemError::NoCertificate);
        let certificates = Certificates::new(vec![identity(&["a.test"])]).unwrap();
        assert!(certificates.replace(Vec::new()).is_err());
        assert!(certificates.known.load().first.is_some(), "what was there stays");
    }
}
