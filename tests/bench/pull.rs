//! An image of ten layers from a registry on loopback until it is unpacked: through our store, by
//! `skopeo` and `umoci`, and by containerd's `ctr`. Each time to an empty disk, and from one: nothing
//! of the image is in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lattice_cell::images::{ImageStore, Images as _, ImagesConfig};
use lattice_cli::push::build::ImageBuilder;
use lattice_model::ImageRef;
use lattice_tests::image;
use lattice_tests::registry::Registry;

use crate::cell::daemons::Daemons;
use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{cpu_time_of_all, undisturbed};

const LAYERS: usize = 10;
/// What a layer has when it is unpacked, in a smoke test and in earnest, and the size of its files.
const LAYER_BYTES: [usize; 2] = [1_000_000, 20_000_000];
const FILE_BYTES: usize = 256 << 10;
/// How many want the image at once, where it is to be fetched once.
const AT_ONCE: usize = 8;
const PORT: u16 = 5000;

/// A registry with the image, and where it is unpacked to.
struct Place {
    scratch: tempfile::TempDir,
    registry: Registry,
    image: String,
    /// What it has to send, in bytes.
    packed: u64,
    tokio: tokio::runtime::Runtime,
    daemons: Option<Daemons>,
}

/// Seconds, and seconds of the CPU.
type Took = [f64; 2];

pub(crate) fn run(effort: Effort) {
    let earnest = usize::from(effort != Effort::SMOKE);
    let place = Place::new(LAYER_BYTES[earnest]);
    let mut ours = Vec::new();
    let mut peers: Vec<(&str, Vec<Took>)> = vec![("skopeo+umoci", Vec::new())];
    if place.daemons.is_some() {
        peers.push(("ctr", Vec::new()));
    }
    for round in 1..=effort.rounds {
        eprintln!("round {round} of {}", effort.rounds);
        ours.push(undisturbed(|| place.took(cpu_time_of_all, |to| place.pull(to, 1))));
        for (name, rounds) in &mut peers {
            rounds.push(undisturbed(|| match &place.daemons {
                Some(daemons) if *name == "ctr" => {
                    place.took(|| cpu_time_of_all() + daemons.cpu_time(), |_| place.by_ctr(daemons))
                }
                _ => place.took(cpu_time_of_all, |to| place.by_umoci(to)),
            }));
            if let Some(daemons) = &place.daemons {
                place.forget_in(daemons);
            }
        }
    }
    let case = format!("{}-mb-{LAYERS}-layers", LAYERS * LAYER_BYTES[earnest] / 1_000_000);
    for (at, metric) in ["pull_and_unpack", "cpu_of_it"].into_iter().enumerate() {
        let figure = Figure { bench: "pull", case: &case, metric, unit: "s" };
        let of = |rounds: &[Took]| rounds.iter().map(|took| took[at]).collect::<Vec<_>>();
        for (name, theirs) in &peers {
            figure.print_below(&of(&ours), name, &of(theirs));
        }
    }
    place.several_are_one();
}

// === impl Place ===

impl Place {
    fn new(layer_bytes: usize) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let registry = Registry::open(PORT);
        let layout = scratch.path().join("layout");
        written(layer_bytes, &layout);
        let image = format!("{}/bench:v1", registry.host());
        image::copy(&layout, &image, None);
        let packed = files(&layout).iter().map(|file| file.metadata().unwrap().len()).sum();
        fs::remove_dir_all(layout).unwrap();
        let daemons = Daemons::containerd_alone(scratch.path())
            .inspect_err(|why| eprintln!("ctr is left out: {why}"))
            .ok();
        let tokio = tokio::runtime::Runtime::new().unwrap();
        Self { scratch, registry, image, packed, tokio, daemons }
    }

    /// What it takes to have the image in an empty folder.
    fn took(&self, cpu_time: impl Fn() -> Duration, pull: impl FnOnce(&Path)) -> Took {
        let to = tempfile::tempdir_in(self.scratch.path()).unwrap();
        // What others have written does not get in the way, nor does it help.
        rustix::fs::sync();
        self.registry.forget();
        let (begin, before) = (Instant::now(), cpu_time());
        pull(to.path());
        [begin.elapsed(), cpu_time() - before].map(|took| took.as_secs_f64())
    }

    /// Through a store of ours, by so many at once.
    fn pull(&self, to: &Path, at_once: usize) {
        let image = ImageRef::parse(&self.image).unwrap();
        self.tokio.block_on(async {
            let store =
                ImageStore::open(ImagesConfig::new(to, vec![self.registry.host()])).unwrap();
            let pulls = (0..at_once).map(|_| store.pull(&image, None, Arc::new(|_, _| {})));
            for pulled in join_all(pulls).await {
                assert_eq!(pulled.unwrap().layers.len(), LAYERS);
            }
        });
    }

    fn by_umoci(&self, to: &Path) {
        let layout = to.join("layout").display().to_string();
        let from = format!("docker://{}", self.image);
        let copy = ["--insecure-policy", "copy", "--src-tls-verify=false"];
        run_quietly(Command::new("skopeo").args(copy).arg(from).arg(format!("oci:{layout}:v1")));
        let unpack = ["unpack", "--image", &format!("{layout}:v1")];
        run_quietly(Command::new("umoci").args(unpack).arg(to.join("bundle")));
    }

    fn by_ctr(&self, daemons: &Daemons) {
        run_quietly(daemons.ctr().args(["images", "pull", "--plain-http", &self.image]));
    }

    /// No error where it is not there.
    fn forget_in(&self, daemons: &Daemons) {
        let _ = daemons.ctr().args(["images", "remove", "--sync", &self.image]).output();
    }

    /// Several who want it at once get it by one download, as what comes over loopback says, where
    /// nothing else does.
    fn several_are_one(&self) {
        let before = received();
        let [seconds, _] = self.took(cpu_time_of_all, |to| self.pull(to, AT_ONCE));
        let received = received() - before;
        let downloads = received as f64 / self.packed as f64;
        assert!(downloads < 1.5, "{received} bytes came for {} in the image", self.packed);
        let case = format!("{AT_ONCE}-at-once");
        let figure = |metric, unit| Figure { bench: "pull", case: &case, metric, unit };
        figure("pull_and_unpack", "s").print(&[seconds]);
        figure("bytes_received_for_one_in_the_image", "").print(&[downloads]);
    }
}

/// Writes the image's layout: files of which half is like nothing else, and half is like itself, as
/// in most programs.
fn written(layer_bytes: usize, layout: &Path) {
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut builder = ImageBuilder::new().entrypoint(["/nothing"]);
    for layer in 0..LAYERS {
        if layer > 0 {
            builder = builder.next_layer();
        }
        for file in 0..layer_bytes / FILE_BYTES {
            let mut bytes = Vec::with_capacity(FILE_BYTES);
            while bytes.len() < FILE_BYTES {
                for _ in 0..4 {
                    dice ^= dice << 13;
                    dice ^= dice >> 7;
                    dice ^= dice << 17;
                    bytes.extend(dice.to_le_bytes());
                }
                bytes.extend_from_within(bytes.len() - 32..);
            }
            builder = builder.file(&format!("/layer-{layer}/file-{file}"), bytes, 0o644);
        }
    }
    builder.write_layout(layout).unwrap();
}

/// Bytes that have come over loopback.
fn received() -> u64 {
    let devices = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let counts = devices.lines().find_map(|line| line.trim().strip_prefix("lo:")).unwrap();
    counts.split_whitespace().next().unwrap().parse().unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn run_quietly(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
