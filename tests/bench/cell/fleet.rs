//! Many instances: how soon they run, and what they take of memory that is ours.

use std::time::Duration;

use lattice_tests::appliance::Appliance;
use lattice_tests::image;
use lattice_tests::machine::holders;
use lattice_tests::rest::Rest;
use lattice_tests::web::Web;
use lattice_tests::{eventually, expect};

use super::{by_itself, figure};
use crate::effort::Effort;
use crate::machine::{memory_mb, timed, undisturbed};

/// Instances that are started by one command, in a smoke test and in earnest.
const AT_ONCE: [usize; 2] = [4, 100];
/// Instances of the tiny app that are created at once.
const TINY: [usize; 2] = [8, 1000];
/// How long as many may take to come or to go.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(effort: Effort) {
    let earnest = usize::from(effort != Effort::SMOKE);
    let lattice = Appliance::start(&["--memory-mb", "262144", "--containers", "1000"]);
    started_at_once(&lattice, AT_ONCE[earnest], effort);
    held(&lattice, TINY[earnest]);
}

/// From the command to the last instance of the sample app that is healthy.
fn started_at_once(lattice: &Appliance, count: usize, effort: Effort) {
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    // The image is to be there.
    create(lattice, "first", layout.to_str().unwrap(), 1);
    let mut rounds = Vec::new();
    let mut tries = 0;
    for round in 1..=effort.rounds {
        eprintln!("{count} at once: round {round} of {}", effort.rounds);
        rounds.push(undisturbed(|| {
            tries += 1;
            let app = format!("many-{tries}");
            let took = timed(|| create(lattice, &app, layout.to_str().unwrap(), count));
            remove(lattice, &app);
            took
        }));
    }
    remove(lattice, "first");
    let case = format!("{count}-of-one-app");
    figure(&case, "create_to_all_healthy", "s").print(&rounds);
}

/// What so many instances of a program that needs next to nothing take.
fn held(lattice: &Appliance, count: usize) {
    let own = lattice.pid().as_raw_nonzero().get();
    let before = memory_mb(own, "Private_");
    let rest = Rest::complete(lattice);
    let layout = lattice.scratch().join("tiny-layout");
    let busybox = std::fs::read("/bin/busybox").expect("script/bootstrap installs busybox-static");
    let image = image::image("fixture-app", &[]).file("/bin/busybox", busybox, 0o755);
    let image = image.entrypoint(["/bin/busybox", "httpd", "-f", "-p", "8080"]);
    image.write_layout(&layout).unwrap();
    eprintln!("{count} instances of a tiny app");
    let took = timed(|| create(lattice, "tiny", layout.to_str().unwrap(), count));
    let case = format!("{count}-tiny");
    figure(&case, "create_to_all_healthy", "s").print(&[took]);
    let after = memory_mb(own, "Private_");
    let each: Vec<f64> = holders(&lattice.data_dir())
        .into_iter()
        .map(|holder| {
            let holder = holder.as_raw_nonzero().get();
            let inits = children(holder).into_iter().filter(|pid| is_init(*pid));
            let all = std::iter::once(holder).chain(inits);
            all.map(|pid| memory_mb(pid, "Private_")).sum::<f64>()
        })
        .collect();
    assert_eq!(each.len(), count);
    figure(&case, "private_memory_of_its_holder_and_init", "MB").print(&each);
    let share = (after - before).max(0.0) / count as f64;
    figure(&case, "share_of_the_appliances_private_memory", "MB").print(&[share]);
    figure(&case, "private_memory_of_the_appliance", "MB").print(&[after]);
    figure(&case, "remove_all", "s").print(&[timed(|| remove(lattice, "tiny"))]);
    eventually("nothing is left of them", PATIENCE, || {
        let left = Rest::of(lattice).differences(&rest);
        expect(left.is_empty(), left)
    });
    by_itself::run(&layout, count);
}

fn create(lattice: &Appliance, app: &str, layout: &str, count: usize) {
    let count = count.to_string();
    let limits = ["--instances", &count, "--memory-mb", "64", "--timeout", "10m"];
    lattice.ltc_ok(&[&["create", app, layout], &limits[..]].concat());
}

fn remove(lattice: &Appliance, app: &str) {
    lattice.ltc_ok(&["remove", app]);
    let web = Web::new();
    eventually("its instances are gone", PATIENCE, || {
        let left = lattice.instances(&web, app).len();
        expect(left == 0, left)
    });
}

fn children(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    children.split_whitespace().map(|child| child.parse::<i32>().unwrap()).collect()
}

fn is_init(pid: i32) -> bool {
    let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.starts_with("/.lattice/init")
}
