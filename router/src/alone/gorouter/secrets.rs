//! What gorouter's file says of TLS: to clients, to endpoints, to NATS.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::ATTEMPTS_DEFAULT;
use super::keys::{self, File, Pems};
use crate::alone::settings::Judge;
use crate::config::{ForwardedCertificate, Services};
use crate::services::{Hairpins, Keys};
use crate::tls::{
    self, BackendTls, Certificates, Clients, Front, FrontTls, Identity, PemError, SubjectRule,
    Version, Versions,
};

/// Whom the machine trusts, where its distribution keeps them.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What is spoken to clients.
pub(super) fn front(file: &File, judge: &mut Judge) -> Option<Arc<FrontTls>> {
    if !file.enable_ssl {
        return None;
    }
    if file.tls_pem.is_empty() {
        judge.refuse("enable_ssl without tls_pem: give at least one cert_chain and private_key");
        return None;
    }
    let version =
        |key: &str, text: &str| Version::of_gorouter(text).map_err(|why| format!("{key}: {why}"));
    let min = judge.take(version("min_tls_version", &file.min_tls_version), Version::Tls12);
    let max = judge.take(version("max_tls_version", &file.max_tls_version), Version::Tls12);
    if min > max {
        judge.refuse("min_tls_version is newer than max_tls_version: nothing would be spoken");
    }
    let suites = file.cipher_suites.split([':', ',']).map(str::trim);
    let front = Front {
        certificates: Arc::new(judge.found("tls_pem", certificates(file))?),
        clients: judge.found("client_cert_validation", clients(file))?,
        subject_rules: judge.found("verify_client_certificate_metadata", subject_rules(file))?,
        versions: Versions { min, max },
        cipher_suites: suites.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        speaks_http2: file.enable_http2,
        answers_challenges: false,
    };
    judge.found("enable_ssl", front.config().map_err(|e| e.to_string())).map(Arc::new)
}

fn certificates(file: &File) -> Result<Certificates, String> {
    let read = |pem: &keys::TlsPem| Identity::of_pem(&pem.cert_chain, &pem.private_key);
    let identities: Result<Vec<_>, PemError> = file.tls_pem.iter().map(read).collect();
    identities.and_then(Certificates::new).map_err(|error| error.to_string())
}

fn clients(file: &File) -> Result<Clients, String> {
    let roots = || {
        let mut pem = file.client_ca_certs.0.join("\n");
        if !file.only_trust_client_ca_certs {
            pem = [pem, file.ca_certs.0.join("\n"), system()].join("\n");
        }
        tls::roots(&pem).map_err(|error| format!("client_ca_certs: {error}"))
    };
    match file.client_cert_validation.as_str() {
        "" | "none" => Ok(Clients::Unasked),
        "request" => roots().map(Clients::Asked),
        "require" => roots().map(Clients::Required),
        other => Err(format!("is `{other}`: take none, request or require")),
    }
}

/// Whom authorities may vouch for. A rule for nobody is misspelt, and would let everyone in.
fn subject_rules(file: &File) -> Result<Vec<SubjectRule>, String> {
    let rules = &file.verify_client_certificate_metadata;
    if !file.enable_verify_client_certificate_metadata || rules.is_empty() {
        return Ok(Vec::new());
    }
    let authorities = tls::certificates(&file.client_ca_certs.0.join("\n"));
    let authorities = authorities.map_err(|error| format!("client_ca_certs: {error}"))?;
    match tls::rule_without_authority(rules, &authorities) {
        None => Ok(rules.clone()),
        Some(rule) => Err(format!(
            "no certificate of client_ca_certs is that of `{}`, which a rule is for",
            rule.issuer_in_chain.common_name
        )),
    }
}

/// What is spoken to endpoints.
pub(super) fn backends(file: &File, judge: &mut Judge) -> Option<BackendTls> {
    let roots = judge.found("ca_certs", trusted(&file.ca_certs))?;
    let own = &file.backends;
    let identity = judge.found("backends.cert_chain", identity(&own.cert_chain, &own.private_key));
    let made = BackendTls::new(&roots, identity?, !file.skip_ssl_validation);
    judge.found("backends", made.map_err(|error| error.to_string()))
}

/// What is known about route services; nothing without a secret.
pub(super) fn services(file: &File, judge: &mut Judge) -> Option<Services> {
    if file.route_services_secret.is_empty() {
        return None;
    }
    let roots = judge.found("ca_certs", trusted(&file.ca_certs))?;
    let own = &file.route_services;
    let shown = identity(&own.cert_chain, &own.private_key);
    let identity = judge.found("route_services.cert_chain", shown);
    let tls = BackendTls::new(&roots, identity?, !file.skip_ssl_validation);
    let listed = match file.route_services_hairpinning {
        true => Hairpins::listed(&file.route_services_hairpinning_allowlist),
        false => Ok(Hairpins::Never),
    };
    let old = Some(&*file.route_services_secret_decrypt_only).filter(|old| !old.is_empty());
    Some(Services {
        keys: Keys::new(&file.route_services_secret, old),
        timeout: file.route_services_timeout,
        recommends_https: file.route_services_recommend_https,
        hairpins: judge.found("route_services_hairpinning_allowlist", listed)?,
        attempts_max: if own.max_attempts == 0 { ATTEMPTS_DEFAULT } else { own.max_attempts },
        is_strict: own.strict_signature_validation,
        tls: judge.found("route_services", tls.map_err(|error| error.to_string()))?,
    })
}

/// What is spoken to NATS.
pub(super) fn nats(nats: &keys::Nats, judge: &mut Judge) -> Option<rustls::ClientConfig> {
    if !nats.tls_enabled {
        return None;
    }
    let roots = judge.found("nats.ca_certs", trusted(&nats.ca_certs))?;
    let identity = judge.found("nats.cert_chain", identity(&nats.cert_chain, &nats.private_key));
    judge.found("nats", tls::client(&roots, identity?, true).map_err(|error| error.to_string()))
}

/// What endpoints are told of a client's certificate.
pub(super) fn forwarded(file: &File, judge: &mut Judge) -> ForwardedCertificate {
    match file.forwarded_client_cert.as_str() {
        "" | "always_forward" => ForwardedCertificate::AlwaysForward,
        "forward" => ForwardedCertificate::Forward,
        "sanitize_set" => ForwardedCertificate::SanitizeSet,
        other => {
            judge.refuse(format!(
                "forwarded_client_cert is `{other}`: take always_forward, forward or sanitize_set"
            ));
            ForwardedCertificate::default()
        }
    }
}

pub(super) fn identity(chain: &str, key: &str) -> Result<Option<Identity>, String> {
    if chain.is_empty() && key.is_empty() {
        return Ok(None);
    }
    Identity::of_pem(chain, key).map(Some).map_err(|error| error.to_string())
}

/// Those in the file, and those whom the machine trusts.
pub(super) fn trusted(listed: &Pems) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut trusted = Vec::new();
    for pem in listed.0.iter().filter(|pem| !pem.trim().is_empty()) {
        trusted.extend(tls::certificates(pem).map_err(|error| error.to_string())?);
    }
    // A machine without such a file trusts nobody by itself.
    trusted.extend(tls::certificates(&system()).unwrap_or_default());
    Ok(trusted)
}

fn system() -> String {
    std::fs::read_to_string(SYSTEM).unwrap_or_default()
}
