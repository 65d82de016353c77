//! What an authority is answered that asks whether a host is ours: a file under a well-known path in
//! clear (RFC 8555, section 8.3), or a certificate in a handshake that is only for that (RFC 8737).

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

use crate::tls::{Identity, PemError, unread};

/// The name of such handshakes.
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";
/// Where such files are.
const PATH: &str = "/.well-known/acme-challenge/";

/// The answers, by host in lower case. They can be replaced while questions come.
#[derive(Debug, Default)]
pub struct Challenges {
    files: ArcSwap<HashMap<String, File>>,
    certificates: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
}

#[derive(Debug, Clone)]
struct File {
    token: String,
    answer: String,
}

// === impl Challenges ===

impl Challenges {
    /// Answers a question for this host's file with this token; it has one at a time.
    pub fn show_file(&self, host: &str, token: &str, answer: &str) {
        let file = File { token: token.to_owned(), answer: answer.to_owned() };
        put(&self.files, host, &file);
    }

    /// Shows this certificate in handshakes for this host that are only for that.
    pub fn show_certificate(&self, host: &str, identity: Identity) -> Result<(), PemError> {
        let key = Arc::new(unread(identity)?);
        put(&self.certificates, host, &key);
        Ok(())
    }

    /// Answers nothing for this host any more.
    pub fn withdraw(&self, host: &str) {
        remove(&self.files, host);
        remove(&self.certificates, host);
    }

    /// The answer to a request, if it is such a question.
    pub(crate) fn file(&self, host: &str, path: &str) -> Option<String> {
        let token = path.strip_prefix(PATH)?;
        let files = self.files.load();
        files.get(host).filter(|file| file.token == token).map(|file| file.answer.clone())
    }

    /// The certificate for a handshake that is only for that.
    pub(crate) fn certificate(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.certificates.load().get(&name).cloned()
    }
}

/// Whether a handshake is only for that.
pub(crate) fn is_question(hello: &ClientHello<'_>) -> bool {
    let Some(mut names) = hello.alpn() else { return false };
    names.next() == Some(ACME_TLS) && names.next().is_none()
}

fn put<T: Clone>(map: &ArcSwap<HashMap<String, T>>, host: &str, value: &T) {
    let host = host.to_ascii_lowercase();
    map.rcu(|known| {
        let mut known = HashMap::clone(known);
        known.insert(host.clone(), value.clone());
        known
    });
}

fn remove<T: Clone>(map: &ArcSwap<HashMap<String, T>>, host: &str) {
    let host = host.to_ascii_lowercase();
    map.rcu(|known| {
        let mut known = HashMap::clone(known);
        known.remove(&host);
        known
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_shown_that_says_what_only_a_proof_may() {
        let mut params = rcgen::CertificateParams::new(vec!["shop.test".to_owned()]).unwrap();
        let extension = rcgen::CustomExtension::new_acme_identifier(&[7; 32]);
        params.custom_extensions = vec![extension];
        let key = rcgen::KeyPair::generate().unwrap();
        let proof = params.self_signed(&key).unwrap().pem();
        let proof = Identity::of_pem(&proof, &key.serialize_pem()).unwrap();
        let challenges = Challenges::default();
        challenges.show_certificate("Shop.test", proof).unwrap();
        assert!(challenges.certificates.load().contains_key("shop.test"));
        challenges.withdraw("shop.test");
        assert!(challenges.certificates.load().is_empty());
    }

    #[test]
    fn a_question_is_answered_for_its_host_and_its_token_until_it_is_withdrawn() {
        let challenges = Challenges::default();
        challenges.show_file("Shop.test", "first", "1");
        challenges.show_file("shop.test", "token", "answer");
        challenges.show_file("other.test", "token", "another");
        let path = |token: &str| format!("/.well-known/acme-challenge/{token}");
        for (host, path, expected) in [
            ("shop.test", path("token"), Some("answer")),
            ("other.test", path("token"), Some("another")),
            ("shop.test", path("first"), None),
            ("shop.test", path("token/"), None),
            ("shop.test", path(""), None),
            ("shop.test", "/token".to_owned(), None),
            ("third.test", path("token"), None),
        ] {
            assert_eq!(challenges.file(host, &path).as_deref(), expected, "{host}{path}");
        }
        challenges.withdraw("SHOP.test");
        assert_eq!(challenges.file("shop.test", &path("token")), None);
        assert!(challenges.file("other.test", &path("token")).is_some());
    }
}
