//! From `ltc create` to the first 200.

use lattice_tests::appliance::Appliance;
use lattice_tests::registry::Registry;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image};

use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{timed, undisturbed};

pub(crate) fn run(effort: Effort) {
    let registry = Registry::open(5000);
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let create = |app: &str, image: &str| {
        timed(|| {
            lattice.ltc_ok(&["create", app, image]);
            eventually("it answers", PATIENCE, || {
                let answer = web.get(app, "/index")?;
                expect(answer.status == 200, format!("{answer:?}"))
            });
        })
    };
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    let mut apps = 0..;
    let mut next = || apps.next().expect("it has no end");
    for _ in 0..effort.rounds {
        let mut pushed = String::new();
        cold.push(undisturbed(|| {
            let n = next();
            pushed = push_another(&lattice, &registry, n);
            create(&format!("cold-{n}"), &pushed)
        }));
        warm.push(undisturbed(|| create(&format!("warm-{}", next()), &pushed)));
    }
    for (case, rounds) in [("image-not-cached", &cold), ("image-cached", &warm)] {
        Figure { bench: "start", case, metric: "create_to_first_200", unit: "s" }.print(rounds);
    }
}

/// Puts an image into the registry whose layer is like no other's.
fn push_another(lattice: &Appliance, registry: &Registry, n: i32) -> String {
    let layout = lattice.scratch().join(format!("layout-{n}"));
    let marker = format!("image {n}").into_bytes();
    image::image("lattice-app", &[]).file("/marker", marker, 0o644).write_layout(&layout).unwrap();
    let name = format!("{}/app-{n}:v1", registry.host());
    image::copy(&layout, &name, None);
    name
}
