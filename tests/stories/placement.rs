//! Work that fits nowhere.

use lattice_tests::appliance::Appliance;
use lattice_tests::web::Web;
use lattice_tests::{image, machine};

#[test]
fn an_instance_too_big_for_any_cell_is_told_the_amounts() {
    machine::isolate();
    let lattice = Appliance::start(&["--memory-mb", "512"]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    let created = lattice.ltc(&["create", "big", layout, "--memory-mb", "4096", "-t", "20s"]);
    assert_eq!(created.code, 11, "{created:?}");
    for amount in ["4096", "512"] {
        assert!(created.err.contains(amount), "{amount} is said: {created:?}");
    }
    let lrp = lattice.instances(&web, "big").remove(0);
    assert_eq!(lrp["placement_error"], "insufficient resources: memory", "{lrp}");
}
