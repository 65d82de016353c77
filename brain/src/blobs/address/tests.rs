use super::*;

fn hex() -> String {
    "a".repeat(64)
}

#[test]
fn every_path_of_the_protocol_is_known() {
    let name = |text: &str| Name(text.to_owned());
    let digest = || Digest(format!("sha256:{}", hex()));
    let id = Uuid::from_u128(7);
    for (path, expected) in [
        ("/v2".to_owned(), Resource::Root),
        ("/v2/".to_owned(), Resource::Root),
        ("/v2/_catalog".to_owned(), Resource::Catalog),
        ("/v2/a/b/tags/list".to_owned(), Resource::Tags(name("a/b"))),
        ("/v2/a/blobs/uploads/".to_owned(), Resource::Uploads(name("a"))),
        ("/v2/a/blobs/uploads".to_owned(), Resource::Uploads(name("a"))),
        (format!("/v2/a/blobs/uploads/{id}"), Resource::Upload(name("a"), id)),
        (format!("/v2/a/blobs/sha256:{}", hex()), Resource::Blob(name("a"), digest())),
        (format!("/v2/a/blobs/sha256%3A{}", hex()), Resource::Blob(name("a"), digest())),
        (
            "/v2/a/b/c/manifests/v1.0_x-y".to_owned(),
            Resource::Manifest(name("a/b/c"), Reference::Tag(Tag("v1.0_x-y".to_owned()))),
        ),
        (
            format!("/v2/a/manifests/sha256:{}", hex()),
            Resource::Manifest(name("a"), Reference::Digest(digest())),
        ),
        (format!("/v2/a/referrers/sha256:{}", hex()), Resource::Referrers(name("a"), digest())),
        (
            "/v2/blobs/manifests/tags".to_owned(),
            Resource::Manifest(name("blobs"), Reference::Tag(Tag("tags".to_owned()))),
        ),
    ] {
        assert_eq!(parse(&path).unwrap(), expected, "{path}");
    }
}

#[test]
fn hostile_names_never_become_files() {
    let long = "a".repeat(NAME_BYTES_MAX + 1);
    let names = [
        "..", "../x", "a/../b", "a/..", ".", "a//b", "/a", "a/", "", "A", "a b", "_catalog",
        "a/_x", "-a", "a-", "a..b", "a___b", "a._b", "%2e%2e", "a%2fb", "a\\b", "ä", "a\0b", &long,
    ];
    for name in names {
        assert!(Name::parse(name).is_err(), "{name}");
        for path in [
            format!("/v2/{name}/manifests/latest"),
            format!("/v2/{name}/blobs/sha256:{}", hex()),
            format!("/v2/{name}/blobs/uploads/"),
            format!("/v2/{name}/tags/list"),
        ] {
            assert!(parse(&path).is_err(), "{path}");
        }
    }
    for good in ["a", "a.b", "a_b", "a__b", "a--b", "a/b/c-1", "0"] {
        assert!(Name::parse(good).is_ok(), "{good}");
    }
}

#[test]
fn hostile_references_never_become_files() {
    let long = "a".repeat(TAG_BYTES_MAX + 1);
    let short = format!("sha256:{}", "a".repeat(63));
    let upper = format!("sha256:{}", "A".repeat(64));
    let other = format!("sha512:{}", "a".repeat(64));
    for reference in [
        "..", ".", "", "-a", ".a", "a b", "%2e%2e", "a%2f", "sha256:", &short, &upper, &other,
        &long,
    ] {
        assert!(Reference::parse(reference).is_err(), "{reference}");
    }
}

#[test]
fn what_is_no_path_of_the_protocol_is_not_found() {
    for path in ["/", "/v1/", "/v2x", "/v2/a", "/v2/a/b", "/v2/a/blobs/uploads/not-a-uuid"] {
        assert!(parse(path).is_err(), "{path}");
    }
}
