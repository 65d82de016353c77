//! The platform's own registry, and names under `localhost`: nobody is asked where they are.

use lattice_api::registry::OwnRegistry;

use super::*;

/// A registry that wants `u` and `p`, and an image of it under that host name.
async fn guarded(host: &str) -> (Scripted, ImageRef) {
    let mut tricks = one_layer().shelved(OCI_MANIFEST);
    tricks.wants = Some("Basic dTpw".to_owned());
    tricks.challenge = "Basic realm=\"lattice\"".to_owned();
    let registry = Scripted::start(tricks).await;
    let name = format!("{host}:{}/app:v1", registry.address.port());
    (registry, ImageRef::parse(&name).unwrap())
}

fn bench_with(own: Option<OwnRegistry>, insecure: &[&str]) -> Bench {
    lattice_daemon::install_crypto();
    let home = tempfile::tempdir().unwrap();
    let insecure = insecure.iter().map(|&host| host.to_owned()).collect();
    let mut config = ImagesConfig::new(home.path(), insecure);
    config.registry.connect_timeout = Duration::from_secs(5);
    config.registry.own = own;
    Bench { store: ImageStore::open(config).unwrap(), home }
}

#[tokio::test]
async fn the_platforms_own_registry_is_found_without_dns() {
    // No resolver knows names under `test` (RFC 6761).
    let (registry, image) = guarded("registry.lattice.example.test").await;
    let own = OwnRegistry { host: image.registry.clone(), address: registry.address };
    bench_with(Some(own.clone()), &[]).pull_as(&image, "p").await.unwrap();
    assert!(registry.requests("Basic dTpw") >= 3);

    let seen = registry.requests("");
    let asking_dns = bench_with(None, &[&image.registry]);
    let error = asking_dns.pull_as(&image, "p").await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
    let other = ImageRef::parse("registry.lattice.example.test:1/app:v1").unwrap();
    let error = bench_with(Some(own), &[]).pull_as(&other, "p").await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
    assert_eq!(registry.requests(""), seen, "nobody else is taken for it");
}

#[tokio::test]
async fn a_name_under_localhost_is_found_without_dns() {
    let (_registry, image) = guarded("registry.of.somebody.localhost").await;
    bench_with(None, &[]).pull_as(&image, "p").await.unwrap();
}
