//! What authorities are answered that ask whether a host is ours, in clear and in handshakes.

use std::sync::Arc;

use lattice_router::Challenges;
use lattice_router::tls::{Certificates, Clients, Front, Version, Versions};
use rustls::ClientConfig;
use tokio::io::AsyncReadExt as _;

use super::{Authority, client, connect};
use crate::support::{Endpoint, World};

fn question(host: &str, token: &str) -> String {
    format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[tokio::test]
async fn a_question_in_clear_is_answered_ahead_of_routes_and_nothing_else_is() {
    let challenges = Arc::new(Challenges::default());
    let given = challenges.clone();
    let world = World::with(|config| config.challenges = given).await;
    let endpoint = Endpoint::saying("app").await;
    world.route("shop.test", endpoint.addr).await;
    challenges.show_file("shop.test", "token", "token.thumb");
    challenges.show_file("bare.test", "token", "token.other");
    let mut wire = world.client().await;
    for (host, token, status, body) in [
        ("shop.test", "token", 200, "token.thumb\n"),
        ("Shop.TEST:80", "token", 200, "token.thumb\n"),
        ("bare.test", "token", 200, "token.other\n"),
        ("shop.test", "other", 200, "app"),
        ("shop.test", "token/", 200, "app"),
        ("bare.test", "other", 404, ""),
    ] {
        wire.send(question(host, token)).await;
        let answer = wire.response().await;
        assert_eq!(answer.status, status, "{host} {token}");
        assert!(body.is_empty() || answer.text() == body, "{host} {token}: {}", answer.text());
    }
    challenges.withdraw("shop.test");
    wire.send(question("shop.test", "token")).await;
    assert_eq!(wire.response().await.text(), "app");
}

#[tokio::test]
async fn a_handshake_for_a_proof_shows_what_proves_it_and_ends_there() {
    let authority = Authority::new("one");
    let proof = Authority::new("proof");
    let usual = authority.leaf(&["shop.test"]);
    let certificates = Arc::new(Certificates::new(vec![usual.identity()]).unwrap());
    let shown = proof.leaf(&["shop.test"]).identity();
    certificates.challenges().show_certificate("Shop.test", shown).unwrap();
    let front = Front {
        certificates: certificates.clone(),
        clients: Clients::Unasked,
        subject_rules: Vec::new(),
        versions: Versions { min: Version::Tls12, max: Version::Tls13 },
        cipher_suites: Vec::new(),
        speaks_http2: true,
        answers_challenges: true,
    };
    let world = World::with(|config| {
        config.front_tls = Some(Arc::new(front.config().unwrap()));
        config.listeners[0].is_tls = true;
    })
    .await;
    let asks = |authority: &Authority, names: &[&str]| -> ClientConfig {
        let mut config = client(authority, None);
        config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    };
    let only = ["acme-tls/1"];
    let agreed = async |config: ClientConfig| {
        let met = connect(world.addr, "shop.test", config).await.unwrap().into_stream();
        let name = met.get_ref().1.alpn_protocol().map(<[u8]>::to_vec).unwrap_or_default();
        (String::from_utf8(name).unwrap(), met)
    };
    let (name, mut met) = agreed(asks(&proof, &only)).await;
    assert_eq!(name, "acme-tls/1");
    assert!(!matches!(met.read(&mut [0]).await, Ok(1..)), "nothing is served on it");

    assert!(connect(world.addr, "other.test", asks(&proof, &only)).await.is_err());
    let (name, _) = agreed(asks(&authority, &["acme-tls/1", "http/1.1"])).await;
    assert_eq!(name, "http/1.1");
    certificates.challenges().withdraw("shop.test");
    assert!(connect(world.addr, "shop.test", asks(&proof, &only)).await.is_err());
}
