//! Starts with all that an instance of an app has: an image's layers as its own root filesystem,
//! an address and a port on a network of its own, and users of its own. The others start as they do
//! elsewhere, with one root filesystem and one network that were there before.

use std::sync::Arc;
use std::time::Instant;

use lattice_cell::images::{Image, ImageStore, Images as _, ImagesConfig};
use lattice_cell::network::Network as _;
use lattice_cell::network::routed::{NetworkConfig, RoutedNetwork};
use lattice_cell::runtime::oci::OciRuntime;
use lattice_cell::runtime::{ContainerBlueprint, ContainerId, Runtime as _};
use lattice_daemon::tasks::Tasks;
use lattice_model::ImageRef;
use lattice_tests::image;
use lattice_tests::registry::Registry;

use super::place::{Place, spec};

const REGISTRY_PORT: u16 = 5000;
/// Namespaces that are made in advance, as the platform does.
const SPARES: usize = 8;
const PORT: u16 = 8080;

/// The parts of a cell that start an instance.
pub(super) struct Whole<'a> {
    place: &'a Place,
    runtime: &'a OciRuntime,
    images: ImageStore,
    network: Arc<RoutedNetwork>,
    image: Arc<Image>,
    _tasks: Tasks,
}

// === impl Whole ===

impl<'a> Whole<'a> {
    pub(super) async fn new(place: &'a Place, runtime: &'a OciRuntime) -> Self {
        lattice_daemon::install_crypto();
        let dir = place.dir.join("whole");
        let images = ImageStore::open(ImagesConfig::new(&dir, Vec::new())).unwrap();
        let registry = Registry::open(REGISTRY_PORT);
        let name = push(place, &registry);
        let image = images.pull(&name, None, Arc::new(|_, _| {})).await.unwrap();
        let network = NetworkConfig { own_users: true, ..NetworkConfig::new(dir) };
        let network = Arc::new(RoutedNetwork::start(network).await.unwrap());
        let tasks = Tasks::default();
        tasks.spawn("spares", network.keep_spares(SPARES, tasks.shutdown().clone()));
        Self { place, runtime, images, network, image, _tasks: tasks }
    }

    /// Seconds to the first output of a program in a new instance, and until all is gone again.
    pub(super) async fn start(&self, n: usize) -> [f64; 2] {
        let begin = Instant::now();
        let id = ContainerId::new(&format!("whole-{n}"));
        let attached = self.network.attach(&id, &[PORT], &[]).await.unwrap();
        let users = attached.users.as_ref();
        let rootfs = self.images.mount(&self.image, &id, users, None).await.unwrap();
        let blueprint = ContainerBlueprint {
            rootfs,
            netns: attached.netns,
            users: attached.users,
            ..self.place.blueprint(&id)
        };
        self.runtime.create(blueprint).await.unwrap();
        let mut process = self.runtime.exec(&id, spec(&["echo", "ready"])).await.unwrap();
        process.stdout.next().await.expect("it says something");
        let first = begin.elapsed().as_secs_f64();
        process.control.wait().await;
        self.runtime.delete(&id).await.unwrap();
        self.network.detach(&id).await.unwrap();
        self.images.unmount(&id).await.unwrap();
        [first, begin.elapsed().as_secs_f64()]
    }

    pub(super) async fn end(self) {
        self.network.remove_all().await.unwrap();
    }
}

/// An image with the same program as elsewhere.
fn push(place: &Place, registry: &Registry) -> ImageRef {
    let layout = place.dir.join("layout");
    let busybox = std::fs::read("/bin/busybox").expect("script/bootstrap installs busybox-static");
    let image = image::image("fixture-app", &[]).file("/bin/busybox", busybox.clone(), 0o755);
    image.file("/bin/echo", busybox, 0o755).write_layout(&layout).unwrap();
    let name = format!("{}/echo:latest", registry.host());
    image::copy(&layout, &name, None);
    ImageRef::parse(&name).unwrap()
}
