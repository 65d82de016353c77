//! What is removed from the store, and what is not.

use std::time::SystemTime;

use super::*;
use crate::images::rootfs::overlay::keep_layers;
use crate::images::store::upkeep::Space;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Makes every layer's last use so long ago.
fn age(bench: &Bench, age: Duration) {
    for layer in fs::read_dir(bench.home.path().join("images/layers")).unwrap() {
        let layer = fs::File::open(layer.unwrap().path()).unwrap();
        layer.set_modified(SystemTime::now() - age).unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_stays_low_is_told_with_the_amounts() {
    let mut bench = Bench::new();
    bench.store.disk = Disk::told(|| Space { free: 5 << 20, total: 1 << 40 });
    bench.store.free_min_bytes = 64 << 20;
    let told = bench.store.keep_room().await.unwrap_err().to_string();
    let expected = "the disk is low: 5 MB are free and 64 MB are to stay free, and no image is \
                    left that could go; free disk in ";
    assert!(told.starts_with(expected), "{told}");
    bench.store.disk = Disk::told(|| Space { free: 64 << 20, total: 1 << 40 });
    bench.store.keep_room().await.unwrap();
}

#[tokio::test]
async fn layers_that_nobody_used_for_a_week_are_removed_and_fetched_anew() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let (bench, image) = (Bench::new(), registry.image("app:v1"));
    drop(bench.pull(&image).await.unwrap());
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

/// A root filesystem that stands on these layers.
fn stand(bench: &Bench, id: &str, layers: &[PathBuf]) -> PathBuf {
    let home = bench.home.path().join("rootfs").join(id);
    fs::create_dir(&home).unwrap();
    keep_layers(&home, layers).unwrap();
    home
}

#[tokio::test]
async fn what_a_root_filesystem_stands_on_stays_also_that_of_an_earlier_process() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let (bench, image) = (Bench::new(), registry.image("app:v1"));
    let pulled = bench.pull(&image).await.unwrap();
    let busy = stand(&bench, "busy", &pulled.layers[..2]);
    drop(pulled);
    let again = ImageStore::open(ImagesConfig::new(bench.home.path(), vec![])).unwrap();
    age(&bench, 8 * DAY);
    again.tidy().await.unwrap();
    assert_eq!(bench.names("layers"), 2);
    fs::remove_dir_all(&busy).unwrap();
    again.tidy().await.unwrap();
    assert_eq!(bench.names("layers"), 2, "they were in use until now");
    // What does not say what it stands on may stand on anything.
    let left = bench.home.path().join("rootfs/left");
    fs::create_dir(&left).unwrap();
    age(&bench, 8 * DAY);
    again.tidy().await.unwrap();
    assert_eq!(again.prune().await.unwrap(), PrunedImages::default());
    assert_eq!(bench.names("layers"), 2);
    fs::remove_dir(&left).unwrap();
    again.tidy().await.unwrap();
    assert_eq!(bench.names("layers"), 0);
}

#[tokio::test]
async fn what_is_kept_is_listed_and_pruning_leaves_what_is_in_use() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let other = one_layer().layer(Tar::default().file("b", "gzip"), gzip);
    let more = Scripted::start(other.shelved(OCI_MANIFEST)).await;
    let bench = Bench::new();
    let (first, second) = (registry.image("app:v1"), more.image("other:v1"));
    let held = bench.pull(&first).await.unwrap();
    bench.pull(&second).await.unwrap();
    let stock = bench.store.stock().await.unwrap();
    let mut names: Vec<_> =
        stock.images.iter().map(|i| (&i.name[..], i.layers, i.in_use)).collect();
    names.sort_by_key(|(_, layers, _)| std::cmp::Reverse(*layers));
    let expected = [(first.to_string(), 3, true), (second.to_string(), 2, false)];
    assert!(names.iter().zip(&expected).all(|(a, b)| (a.0, a.1, a.2) == (&b.0[..], b.1, b.2)));
    let each: u64 = stock.images.iter().map(|image| image.bytes).sum();
    assert!(stock.layers_bytes < each && stock.layers_bytes > 0, "one layer is in both: {stock:?}");
    assert!(stock.disk_total_bytes > stock.disk_free_bytes, "{stock:?}");

    let pruned = bench.store.prune().await.unwrap();
    assert_eq!((&pruned.images[..], pruned.layers), (&[second.to_string()][..], 1));
    assert_eq!(stock.layers_bytes - pruned.bytes, bench.store.stock().await.unwrap().layers_bytes);
    assert_eq!(text(&held, 1, "b"), "gzip");
    drop(held);
    assert_eq!(bench.store.prune().await.unwrap().layers, 3);
    assert_eq!(bench.store.stock().await.unwrap().images, []);
    bench.assert_nothing_is_left("pruned");
    assert_eq!(text(&bench.pull(&first).await.unwrap(), 0, "a"), "plain", "and fetched anew");
}

/// A store on a disk that has so many bytes left, and so many more for each layer that is removed.
fn on_disk(free: u64, for_each: u64) -> Bench {
    let mut bench = Bench::new();
    let layers = bench.home.path().join("images/layers");
    let most = Arc::new(StdMutex::new(0));
    bench.store.free_min_bytes = 1 << 20;
    bench.store.disk = Disk::told(move || {
        let count = fs::read_dir(&layers).unwrap().count() as u64;
        let mut most = most.lock().unwrap();
        *most = count.max(*most);
        Space { free: free + (*most - count) * for_each, total: 1 << 40 }
    });
    bench
}

#[tokio::test]
async fn a_full_disk_gets_rid_of_what_nobody_uses_before_a_pull_is_refused_with_amounts() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let more = Scripted::start(one_layer().shelved(OCI_MANIFEST)).await;
    let bench = on_disk(3 << 20, 0);
    bench.pull(&registry.image("app:v1")).await.unwrap();

    let mut full = on_disk(1 << 20, 1 << 20);
    full.store.content = bench.store.content.clone();
    let layers = bench.home.path().join("images/layers");
    full.store.disk = Disk::told(move || {
        let gone = 3 - fs::read_dir(&layers).unwrap().count().min(3) as u64;
        Space { free: (1 << 20) + gone * (1 << 20), total: 1 << 40 }
    });
    let pulled = full.pull(&more.image("other:v1")).await.unwrap();
    assert_eq!(text(&pulled, 0, "a").len(), 20_000);
    assert!(bench.names("layers") < 4, "something had to go");

    let never = on_disk(1 << 20, 0);
    let error = never.pull(&more.image("other:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::DiskLow { .. }), "{error}");
    let why = error.to_string();
    for words in ["no room for", "other:v1", "1 MB of the disk are to stay free", "1 MB are free"] {
        assert!(why.contains(words), "{words}: {why}");
    }
    never.assert_nothing_is_left("refused");
    assert_eq!(more.requests(&one_layer().layers[0].2), 1, "and nothing was fetched for it");
}

#[tokio::test]
async fn tidying_makes_room_before_anybody_needs_it() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let mut bench = Bench::new();
    let held = bench.pull(&registry.image("app:v1")).await.unwrap();
    bench.store.free_min_bytes = 1 << 20;
    bench.store.disk = Disk::told(|| Space { free: 0, total: 1 << 40 });
    bench.store.tidy().await.unwrap_err();
    assert_eq!(bench.names("layers"), 3, "held");
    drop(held);
    bench.store.tidy().await.unwrap_err();
    bench.assert_nothing_is_left("the disk is full");
}
