//! What is removed from the store, and what is not.

use std::time::SystemTime;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Makes every layer's last use so long ago.
fn age(bench: &Bench, age: Duration) {
    for layer in fs::read_dir(bench.home.path().join("images/layers")).unwrap() {
        let layer = fs::File::open(layer.unwrap().path()).unwrap();
        layer.set_modified(SystemTime::now() - age).unwrap();
    }
}

#[tokio::test]
async fn layers_that_nobody_used_for_a_week_are_removed_and_fetched_anew() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let (bench, image) = (Bench::new(), registry.image("app:v1"));
    bench.pull(&image).await.unwrap();
    age(&bench, 6 * DAY);
    bench.store.tidy().await.unwrap();
    assert_eq!(bench.names("layers"), 3, "not yet");
    age(&bench, 8 * DAY);
    bench.pull(&image).await.unwrap();
    bench.store.tidy().await.unwrap();
    assert_eq!(bench.names("layers"), 3, "they were used just now");
    age(&bench, 8 * DAY);
    bench.store.tidy().await.unwrap();
    bench.assert_nothing_is_left("unused");
    assert_eq!(text(&bench.pull(&image).await.unwrap(), 1, "b"), "gzip");
}

#[tokio::test]
async fn what_a_root_filesystem_may_use_stays() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let (bench, image) = (Bench::new(), registry.image("app:v1"));
    let pulled = bench.pull(&image).await.unwrap();
    let id = ContainerId::new("busy");
    bench.store.mounted().insert(id.clone(), pulled.layers[..2].to_vec());
    age(&bench, 8 * DAY);
    bench.store.tidy().await.unwrap();
    assert_eq!(bench.names("layers"), 2);
    bench.store.unmount(&id).await.unwrap();
    bench.store.tidy().await.unwrap();
    assert_eq!(bench.names("layers"), 2, "they were in use until now");
    // What an earlier process left may use anything.
    let left = bench.home.path().join("rootfs/left");
    fs::create_dir(&left).unwrap();
    age(&bench, 8 * DAY);
    bench.store.tidy().await.unwrap();
    assert_eq!(bench.names("layers"), 2);
    fs::remove_dir(&left).unwrap();
    bench.store.tidy().await.unwrap();
    assert_eq!(bench.names("layers"), 0);
}
