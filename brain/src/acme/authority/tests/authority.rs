//! An authority in memory. It keeps RFC 8555's states, takes each nonce once, checks every
//! signature, looks for proofs at the routers, which it plays as well, and signs what was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body as _;
use instant_acme::{BodyWrapper, Error};
use rcgen::{CertificateSigningRequestParams, Issuer};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use super::super::*;

const BASE: &str = "https://ca.test";
pub(super) const DIRECTORY: &str = "https://ca.test/dir";

/// What it does wrong, once each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    BadNonce,
    /// Our account is gone.
    Forgotten,
    Limited(u64),
    /// An order is refused at once.
    Refused,
    /// An answer that is none.
    Unreadable,
    /// A proof of this kind is not seen, or not offered.
    Unproved(&'static str),
    NotOffered(&'static str),
    BadCsr,
    /// Another contact is not taken.
    BadContact,
    /// A proof is judged, and not taken, when it is offered.
    Judged,
    /// A proof or an order that never ends.
    StuckProof,
    StuckOrder,
}

#[derive(Default)]
pub(super) struct Pretend(Mutex<State>);

#[derive(Default)]
struct State {
    faults: Vec<Fault>,
    numbers: usize,
    nonces: BTreeSet<String>,
    /// The key and its thumbprint, by the account's URL.
    accounts: BTreeMap<String, (Value, String)>,
    /// Where it was told that it may write to, each time.
    contacts: Vec<String>,
    orders: Vec<Placed>,
    shown: BTreeMap<String, Challenge>,
}

struct Placed {
    host: String,
    status: &'static str,
    error: Value,
    certificate: String,
    /// The kinds of proof that are not offered.
    without: Option<&'static str>,
}

type Answer = (u16, Value, Vec<(&'static str, String)>);

fn problem(status: u16, kind: &str, detail: &str) -> Answer {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    (status, json!({"type": kind, "detail": detail, "status": status}), Vec::new())
}

impl Pretend {
    pub(super) fn new(faults: &[Fault]) -> Self {
        let pretend = Self::default();
        pretend.will(faults);
        pretend
    }

    /// Does these wrong from now on, once each.
    pub(super) fn will(&self, faults: &[Fault]) {
        self.state().faults = faults.to_vec();
    }

    pub(super) fn contacts(&self) -> Vec<String> {
        self.state().contacts.clone()
    }

    /// The hosts for which the routers answer.
    pub(super) fn shown(&self) -> Vec<String> {
        self.state().shown.keys().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

#[async_trait]
impl Responder for Pretend {
    async fn present(&self, host: &str, challenge: Challenge) {
        self.state().shown.insert(host.to_owned(), challenge);
    }

    async fn withdraw(&self, host: &str) {
        self.state().shown.remove(host);
    }
}

#[async_trait]
impl Line for Pretend {
    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, Error> {
        let (parts, mut body) = request.into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        let path = parts.uri.path().to_owned();
        let mut state = self.state();
        let (status, document, headers) = match parts.method {
            Method::POST => state.post(&path, &bytes),
            _ => (200, directory(), Vec::new()),
        };
        let body = match &document {
            Value::String(text) => text.clone(),
            document => document.to_string(),
        };
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        Ok(response.header("Replay-Nonce", state.nonce()).body(Bytes::from(body)).unwrap())
    }
}

fn directory() -> Value {
    json!({"newNonce": format!("{BASE}/nonce"), "newAccount": format!("{BASE}/account"),
        "newOrder": format!("{BASE}/order")})
}

fn decoded(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

/// Demands that the key has signed this.
fn check(jws: &Value, key: &Value) {
    let point = [&[4][..], &decoded(&key["x"]), &decoded(&key["y"])].concat();
    let part = |name: &str| jws[name].as_str().unwrap();
    let signed = format!("{}.{}", part("protected"), part("payload"));
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(signed.as_bytes(), &decoded(&jws["signature"])).expect("a good signature");
}

/// RFC 7638.
fn thumbprint(key: &Value) -> String {
    let text = |name: &str| key[name].as_str().unwrap();
    let canonical =
        format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, text("x"), text("y"));
    let digest = ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

impl State {
    fn nonce(&mut self) -> String {
        self.numbers += 1;
        let nonce = format!("nonce-{}", self.numbers);
        self.nonces.insert(nonce.clone());
        nonce
    }

    /// Takes the first fault that is meant for this step.
    fn fault(&mut self, is_meant: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let nth = self.faults.iter().position(is_meant)?;
        Some(self.faults.remove(nth))
    }

    fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        let jws: Value = serde_json::from_slice(body).unwrap();
        let head: Value = serde_json::from_slice(&decoded(&jws["protected"])).unwrap();
        assert_eq!(head["url"], format!("{BASE}{path}"));
        let is_fresh = self.nonces.remove(head["nonce"].as_str().unwrap());
        if !is_fresh || self.fault(|f| *f == Fault::BadNonce).is_some() {
            return problem(400, "badNonce", "it was used");
        }
        let payload = serde_json::from_slice(&decoded(&jws["payload"])).unwrap_or(Value::Null);
        if path == "/account" {
            check(&jws, &head["jwk"]);
            return self.account(&head["jwk"], &payload);
        }
        if self.fault(|f| *f == Fault::Forgotten).is_some() {
            self.accounts.clear();
        }
        let Some((key, thumb)) = self.accounts.get(head["kid"].as_str().unwrap()).cloned() else {
            return problem(400, "accountDoesNotExist", "who are you");
        };
        check(&jws, &key);
        let mut words = path.trim_matches('/').split('/');
        let (noun, nth) = (words.next().unwrap(), words.next().map(|nth| nth.parse().unwrap()));
        match (noun, nth, words.next()) {
            ("account", Some(_), _) => self.hear_of(&payload),
            ("order", None, _) => self.place(&payload),
            ("order", Some(nth), _) => (200, self.order(nth), Vec::new()),
            ("proofs", Some(nth), _) => (200, self.proofs(nth), Vec::new()),
            ("proof", Some(nth), Some(kind)) => self.look(nth, kind, &thumb),
            ("finalize", Some(nth), _) => self.finalize(nth, &payload),
            ("certificate", Some(nth), _) => {
                (200, self.orders[nth].certificate.clone().into(), Vec::new())
            }
            other => panic!("{other:?}"),
        }
    }

    fn account(&mut self, key: &Value, payload: &Value) -> Answer {
        assert_eq!(payload["termsOfServiceAgreed"], true);
        self.contacts.push(payload["contact"][0].as_str().unwrap().to_owned());
        let url = format!("{BASE}/account/{}", self.contacts.len());
        self.accounts.insert(url.clone(), (key.clone(), thumbprint(key)));
        (201, json!({"status": "valid"}), vec![("Location", url)])
    }

    fn hear_of(&mut self, payload: &Value) -> Answer {
        if self.fault(|f| *f == Fault::BadContact).is_some() {
            return problem(400, "invalidContact", "we cannot write there");
        }
        let contacts: Vec<&str> =
            payload["contact"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
        self.contacts.push(contacts.join(" "));
        (200, json!({"status": "valid"}), Vec::new())
    }

    fn place(&mut self, payload: &Value) -> Answer {
        let is_meant = |f: &Fault| {
            matches!(
                f,
                Fault::Limited(_) | Fault::Refused | Fault::Unreadable | Fault::NotOffered(_)
            )
        };
        let mut without = None;
        match self.fault(is_meant) {
            Some(Fault::Limited(seconds)) => {
                let (status, document, _) = problem(429, "rateLimited", "too many orders");
                return (status, document, vec![("Retry-After", seconds.to_string())]);
            }
            Some(Fault::Refused) => {
                return problem(403, "rejectedIdentifier", "we do not like this host");
            }
            Some(Fault::Unreadable) => return (502, "<html>no".into(), Vec::new()),
            Some(Fault::NotOffered(kind)) => without = Some(kind),
            _ => {}
        }
        let host = payload["identifiers"][0]["value"].as_str().unwrap().to_owned();
        let (status, error, certificate) = ("pending", Value::Null, String::new());
        self.orders.push(Placed { host, status, error, certificate, without });
        let nth = self.orders.len() - 1;
        (201, self.order(nth), vec![("Location", format!("{BASE}/order/{nth}"))])
    }

    fn order(&self, nth: usize) -> Value {
        json!({"status": self.orders[nth].status, "authorizations": [format!("{BASE}/proofs/{nth}")],
            "finalize": format!("{BASE}/finalize/{nth}"),
            "certificate": format!("{BASE}/certificate/{nth}")})
    }

    fn proofs(&self, nth: usize) -> Value {
        let Placed { host, status, error, without, .. } = &self.orders[nth];
        let proof = |kind: &&str| {
            json!({"type": kind, "url": format!("{BASE}/proof/{nth}/{kind}"), "token": "token",
                "status": status.replace("ready", "valid"), "error": error})
        };
        let kinds = ["dns-01", "http-01", "tls-alpn-01"];
        let offered = kinds.iter().filter(|kind| Some(**kind) != *without);
        json!({"identifier": {"type": "dns", "value": host},
            "status": status.replace("ready", "valid"),
            "challenges": offered.map(proof).collect::<Vec<_>>()})
    }

    /// Looks at the routers.
    fn look(&mut self, nth: usize, kind: &str, thumb: &str) -> Answer {
        let shown = self.shown.get(&self.orders[nth].host).expect("a proof is shown first");
        match shown {
            Challenge::Http { token, answer } => {
                assert_eq!((kind, token.as_str()), ("http-01", "token"));
                assert_eq!(*answer, format!("token.{thumb}"));
            }
            Challenge::TlsAlpn { certificate, .. } => {
                assert_eq!(kind, "tls-alpn-01");
                assert!(certificate.contains("BEGIN CERTIFICATE"));
            }
        }
        let pending = json!({"type": kind, "url": BASE, "token": "token", "status": "pending"});
        if self.fault(|f| *f == Fault::StuckProof).is_some() {
            return (200, pending, Vec::new());
        }
        if self.fault(|f| *f == Fault::Judged).is_some() {
            let error = problem(400, "connection", "nobody is there").1;
            let judged = json!({"type": kind, "url": BASE, "token": "token", "status": "invalid",
                "error": error});
            let order = &mut self.orders[nth];
            (order.status, order.error) = ("invalid", error);
            return (200, judged, Vec::new());
        }
        let is_unseen = self.fault(|f| {
            *f == Fault::Unproved(if kind == "http-01" { "http-01" } else { "tls-alpn-01" })
        });
        let order = &mut self.orders[nth];
        order.status = "ready";
        if is_unseen.is_some() {
            order.status = "invalid";
            order.error = problem(400, "connection", "nobody is there").1;
        }
        (200, pending, Vec::new())
    }

    fn finalize(&mut self, nth: usize, payload: &Value) -> Answer {
        if self.fault(|f| *f == Fault::BadCsr).is_some() {
            return problem(400, "badCSR", "we do not like this request");
        }
        assert_eq!(self.orders[nth].status, "ready");
        self.orders[nth].status = "processing";
        if self.fault(|f| *f == Fault::StuckOrder).is_none() {
            let csr = decoded(&payload["csr"]).into();
            let csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
            let key = KeyPair::generate().unwrap();
            let issuer = Issuer::new(CertificateParams::default(), key);
            let order = &mut self.orders[nth];
            order.certificate = csr.signed_by(&issuer).unwrap().pem();
            order.status = "valid";
        }
        (200, self.order(nth), Vec::new())
    }
}
