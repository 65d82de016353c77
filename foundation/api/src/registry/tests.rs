use super::auth::{Challenge, token_of};
use super::document::{
    Descriptor, ImageDocument, Index, Manifest, Platform, REFUSAL_CHARS_MAX, refusal,
};
use super::request::is_trespass;
use super::*;

#[test]
fn plain_http_is_for_this_machine_and_for_hosts_that_are_listed() {
    let options =
        Options { insecure_registries: vec!["reg.corp:5000".into()], ..Options::default() };
    for (host, is_plain) in [
        ("localhost", true),
        ("localhost:5000", true),
        ("registry.lattice.localhost:80", true),
        ("127.0.0.1:5000", true),
        ("127.9.9.9", true),
        ("[::1]:5000", true),
        ("reg.corp:5000", true),
        ("reg.corp", false),
        ("docker.io", false),
        ("10.0.0.1:5000", false),
        ("127.0.0.1.example.com", false),
        ("notlocalhost", false),
    ] {
        assert_eq!(options.is_plain(host), is_plain, "{host}");
    }
}

#[test]
fn a_registry_elsewhere_sends_nobody_to_this_machine() {
    let own =
        OwnRegistry { host: "reg.test:81".into(), address: SocketAddr::from(([127, 0, 0, 1], 81)) };
    let options = Options { own: Some(own), ..Options::default() };
    let (elsewhere, here) = ("https://docker.io/v2/", "http://localhost:5000/v2/");
    for (from, to, expected) in [
        (elsewhere, "https://auth.docker.io/token", false),
        (elsewhere, "http://127.0.0.1:8080/token", true),
        (elsewhere, "https://[::1]/token", true),
        (elsewhere, "https://[::ffff:127.0.0.1]/token", true),
        (elsewhere, "https://0.0.0.0/token", true),
        (elsewhere, "http://receptor.lattice.localhost/token", true),
        (elsewhere, "http://REG.test:81/token", true),
        (elsewhere, "http://reg.test/token", false),
        (here, "http://127.0.0.1:8080/token", false),
        (here, "https://auth.docker.io/token", false),
        ("http://reg.test:81/v2/", "http://127.0.0.1:8080/token", false),
    ] {
        let [from, to] = [from, to].map(|url| url.parse().unwrap());
        assert_eq!(is_trespass(&options, &from, &to), expected, "{from} to {to}");
    }
}

#[test]
fn a_challenge_is_read_with_its_commas_and_without_caring_for_case() {
    let bearer = |scope: Option<&str>| Challenge::Bearer {
        realm: "https://auth.io/token".into(),
        service: Some("reg".into()),
        scope: scope.map(str::to_owned),
    };
    for (header, expected) in [
        ("Basic realm=\"x\"", Some(Challenge::Basic)),
        ("basic", Some(Challenge::Basic)),
        ("Bearer realm=\"https://auth.io/token\",service=\"reg\"", Some(bearer(None))),
        (
            "bearer Realm=\"https://auth.io/token\", service=reg, scope=\"repository:a:pull,push\"",
            Some(bearer(Some("repository:a:pull,push"))),
        ),
        ("Bearer service=\"reg\"", None),
        ("Negotiate", None),
        ("", None),
    ] {
        assert_eq!(Challenge::parse(header), expected, "{header}");
    }
}

#[test]
fn an_index_offers_the_image_for_this_machine_or_says_what_it_has() {
    let entry = |os: &str, architecture: &str| Descriptor {
        digest: format!("{os}/{architecture}"),
        platform: Some(Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: String::new(),
        }),
        ..Descriptor::default()
    };
    let index = Index {
        manifests: vec![
            entry("windows", "amd64"),
            entry("linux", "arm64"),
            entry("linux", "amd64"),
            entry("unknown", "unknown"),
        ],
        ..Index::default()
    };
    assert_eq!(index.choose("amd64").unwrap().digest, "linux/amd64");
    assert_eq!(index.choose("s390x"), None);
    assert_eq!(index.platforms(), "linux/amd64, linux/arm64, windows/amd64");
    let only = Index { manifests: vec![Descriptor::default()], ..Index::default() };
    assert!(only.choose("amd64").is_some(), "one manifest without a platform is the image");
}

#[test]
fn a_configuration_with_nulls_is_read_as_docker_writes_it() {
    let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":["A=b=c","EMPTY=","N","=x"],
        "Entrypoint":null,"Cmd":["sh"],"ExposedPorts":{"8080/tcp":{},"53/udp":{},"80/tcp":{}},
        "OnBuild":null,"Labels":{}},"rootfs":{"type":"layers","diff_ids":null}}"#;
    let image: ImageDocument = serde_json::from_str(text).unwrap();
    let env: Vec<_> = image.config.env_vars().into_iter().map(|e| (e.name, e.value)).collect();
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(env, [pair("A", "b=c"), pair("EMPTY", ""), pair("N", "")]);
    assert_eq!(image.config.tcp_ports(), [80, 8080]);
    assert_eq!(image.config.cmd, ["sh"]);
    assert!(image.config.entrypoint.is_empty());
}

#[test]
fn a_manifest_that_cannot_be_pulled_says_why() {
    let good = Descriptor { digest: digest_of(b"x"), ..Descriptor::default() };
    let manifest = |version, layers: Vec<Descriptor>| Manifest {
        schema_version: version,
        config: good.clone(),
        layers,
        ..Manifest::default()
    };
    let evil = Descriptor { digest: "sha256:../../etc/passwd".into(), ..Descriptor::default() };
    for (manifest, expected) in [
        (manifest(2, vec![good.clone()]), None),
        (manifest(1, vec![]), Some("schema version 1")),
        (manifest(2, vec![evil]), Some("not a sha256 digest")),
        (manifest(2, vec![good.clone(); 129]), Some("129 layers; at most 128")),
    ] {
        let got = manifest.check().err().unwrap_or_default();
        assert!(got.contains(expected.unwrap_or_default()), "{got}");
        assert_eq!(got.is_empty(), expected.is_none(), "{got}");
    }
}

#[test]
fn a_token_is_taken_from_either_field_and_only_where_a_header_can_hold_it() {
    for (answer, expected) in [
        (r#"{"token":"abc"}"#, Some("abc")),
        (r#"{"access_token":"abc"}"#, Some("abc")),
        (r#"{"token":"abc","access_token":"other"}"#, Some("abc")),
        (r#"{"token":""}"#, None),
        (r#"{"token":"a\r\nX-Other: b"}"#, None),
        (r#"{"token":"ü"}"#, None),
        (r#"{"token":7}"#, None),
        ("{}", None),
        ("<html>", None),
    ] {
        assert_eq!(token_of(answer.as_bytes()).as_deref(), expected, "{answer}");
    }
}

#[test]
fn a_refusal_is_told_in_the_registrys_words_as_far_as_people_can_be_shown_them() {
    let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "ä".repeat(1000));
    for (answer, expected) in [
        (r#"{"errors":[{"code":"DENIED","message":"no access"}]}"#, Some("no access".to_owned())),
        (r#"{"errors":[{"code":"DENIED"}]}"#, Some("DENIED".to_owned())),
        (r#"{"errors":[{"message":"\u001b[31mred\u0007"}]}"#, Some("[31mred".to_owned())),
        (r#"{"errors":[{"message":"\n"}]}"#, None),
        (r#"{"errors":[]}"#, None),
        ("{}", None),
        ("not JSON", None),
        (&long, Some("ä".repeat(REFUSAL_CHARS_MAX))),
    ] {
        assert_eq!(refusal(answer.as_bytes()), expected, "{answer}");
    }
}
