//! Hosts of people's own and their certificates.

use serde_json::json;

use super::super::reference;
use super::{Schemas, amount, list, map, read, text, time, truth, written_but};

pub(super) fn all() -> Schemas {
    let certificate = json!({
        "certificate": {"type": "string", "description": "with its chain, in PEM"},
        "key": {"type": "string", "description": "in PEM"},
        "order": with_words(truth(), "have an authority asked for one instead"),
    });
    let domain = json!({
        "host": text(),
        "state": {"enum": ["pending", "valid", "failed"]},
        "names": list(text()),
        "issuer": text(),
        "not_before": time(),
        "not_after": time(),
        "order": reference("CertificateOrder"),
        "warning": with_words(text(), "what its owner should look at"),
    });
    let order = json!({
        "is_open": with_words(truth(), "one is made now"),
        "failures": amount("orders in a row that came to nothing"),
        "problem": with_words(text(), "why the last did, in the authority's words"),
        "next_order_at": time(),
    });
    let without_certificate = ["names", "issuer", "not_before", "not_after", "order", "warning"];
    map(json!({
        "CustomDomain": written_but(domain, &without_certificate),
        "CertificateOrder": written_but(order, &["problem", "next_order_at"]),
        "CustomDomainCertificate": read(certificate, &[]),
    }))
}

fn with_words(mut schema: serde_json::Value, words: &str) -> serde_json::Value {
    schema["description"] = words.into();
    schema
}
