//! Mirrors, registries that fail for a while, and lines that are cut again and again.

use super::*;

fn bench_with(mirrors: &[&Scripted], of: &Scripted) -> Bench {
    lattice_daemon::install_crypto();
    let home = tempfile::tempdir().unwrap();
    let mut config = ImagesConfig::new(home.path(), vec![]);
    config.registry.resume_delay = Duration::from_millis(1);
    let mirror = |m: &&Scripted| format!("{}={}", of.address, m.address).parse().unwrap();
    config.mirrors = mirrors.iter().map(mirror).collect();
    Bench { store: ImageStore::open(config).unwrap(), home }
}

#[tokio::test]
async fn a_mirror_is_asked_first_without_the_password_and_the_registry_when_it_has_nothing() {
    let registry = Scripted::start(one_layer().shelved(OCI_MANIFEST)).await;
    registry.tricks().wants = Some("Basic dTpw".to_owned());
    registry.tricks().challenge = "Basic".to_owned();
    let empty = Scripted::start(Tricks::default()).await;
    let full = Scripted::start(one_layer().shelved(OCI_MANIFEST)).await;

    let bench = bench_with(&[&empty, &full], &registry);
    bench.pull_as(&registry.image("app:v1"), "p").await.unwrap();
    assert_eq!(registry.requests(""), 0, "{:?}", registry.tricks().log);
    assert_eq!(full.requests("Basic"), 0, "{:?}", full.tricks().log);
    let stock = bench.store.stock().await.unwrap();
    assert_eq!(stock.images[0].name, registry.image("app:v1").to_string(), "by its own name");

    let bench = bench_with(&[&empty], &registry);
    bench.pull_as(&registry.image("app:v1"), "p").await.unwrap();
    assert!(registry.requests("Basic dTpw") >= 3);
    let seen = empty.requests("");
    let other = Scripted::start(one_layer().shelved(OCI_MANIFEST)).await;
    bench.pull(&other.image("app:v1")).await.unwrap();
    assert_eq!(empty.requests(""), seen, "it stands for one registry only");
}

#[tokio::test]
async fn a_mirror_that_breaks_off_in_the_middle_is_made_up_for_by_the_registry() {
    let sample = three_layers().layer(Tar::default().file("d", &"d ".repeat(9000)), plain);
    let broken = Tricks { breaks: 99, ignores_ranges: true, ..sample.shelved(OCI_MANIFEST) };
    let mirror = Scripted::start(broken).await;
    let registry = Scripted::start(sample.shelved(OCI_MANIFEST)).await;
    let bench = bench_with(&[&mirror], &registry);
    let image = bench.pull(&registry.image("app:v1")).await.unwrap();
    assert_eq!(text(&image, 3, "d").len(), 18_000);
}

#[tokio::test]
async fn a_registry_that_fails_for_a_while_is_asked_again() {
    let mut tricks = one_layer().shelved(OCI_MANIFEST);
    tricks.failing = 3;
    let registry = Scripted::start(tricks).await;
    let image = registry.image("app:v1");
    Bench::new().pull(&image).await.unwrap();
    assert_eq!(registry.requests("/manifests/"), 4);
    registry.tricks().failing = 99;
    let error = Bench::new().pull(&image).await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
    assert_eq!(registry.requests("/manifests/"), 8, "there is an end to asking");
}

#[tokio::test]
async fn whoever_has_an_image_does_not_wait_for_a_registry_that_fails() {
    let registry = Scripted::start(one_layer().shelved(OCI_MANIFEST)).await;
    let (bench, image) = (Bench::new(), registry.image("app:v1"));
    bench.pull(&image).await.unwrap();
    registry.tricks().failing = 99;
    bench.pull(&image).await.unwrap();
    assert_eq!(registry.requests("/manifests/"), 2);
}

#[tokio::test]
async fn a_large_layer_comes_over_a_line_that_is_cut_more_often_than_is_borne_otherwise() {
    let content = (0..12 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    let big = Tar::default().entry(b'0', "big", "", &content.collect::<Vec<u8>>());
    let sample = Sample::default().layer(big, plain);
    // Halves of what is left: 6, 3, 1.5 MiB, and then less than counts as coming on.
    let registry = Scripted::start(Tricks { breaks: 5, ..sample.shelved(OCI_MANIFEST) }).await;
    let bench = Bench::new();
    let image = bench.pull(&registry.image("app:v1")).await.unwrap();
    assert_eq!(fs::metadata(image.layers[0].join("big")).unwrap().len(), 12 << 20);
    assert_eq!(registry.requests(&sample.layers[0].2), 6);
}

#[test]
fn a_mirror_is_named_with_what_it_stands_for() {
    let mirror: Mirror = "docker.io=mirror.example.com:5000".parse().unwrap();
    assert_eq!((&mirror.registry[..], &mirror.host[..]), ("docker.io", "mirror.example.com:5000"));
    for bad in ["", "docker.io", "docker.io=", "=m", "a b=c", "docker.io=http://m", "docker.io=m/p"]
    {
        let why = bad.parse::<Mirror>().unwrap_err();
        assert!(why.contains("is not REGISTRY=HOST"), "{why}");
    }
}
