//! Where work may go, and work that fits nowhere.

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

#[test]
fn a_drained_cell_without_another_keeps_what_it_runs_and_takes_nothing_new() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    lattice.ltc_ok(&["create", "web", layout]);
    let before = lattice.instances(&web, "web").remove(0);
    let cell = before["cell_id"].as_str().unwrap().to_owned();

    let plan = lattice.ltc_ok(&["drain", &cell, "--dry-run"]);
    assert!(plan.contains(&format!("web/0 128 MB stays up on {cell}")), "{plan}");
    let waited = lattice.ltc(&["drain", &cell, "--wait", "-t", "5s"]);
    assert_eq!(waited.code, 14, "{waited:?}");
    assert!(waited.err.contains("web/0 stays up"), "{waited:?}");
    let now = lattice.instances(&web, "web").remove(0);
    assert_eq!(now["instance_guid"], before["instance_guid"], "it was not touched");
    let refused = lattice.ltc(&["create", "other", layout, "-t", "5s"]);
    assert_ne!(refused.code, 0, "{refused:?}");

    lattice.ltc_ok(&["undrain", &cell]);
    let now = lattice.instances(&web, "web").remove(0);
    assert_eq!(now["instance_guid"], before["instance_guid"]);
    assert_eq!((&now["state"], &now["evacuating"]), (&"RUNNING".into(), &false.into()));
}

#[test]
fn an_app_goes_where_its_constraint_lets_it_and_is_told_why_nowhere_else() {
    machine::isolate();
    let flags = ["--label", "disk=ssd", "--label", "rack=7", "--strategy", "binpack"];
    let lattice = Appliance::start(&flags);
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let layout = layout.to_str().unwrap();
    let explained = |app: &str| -> serde_json::Value {
        serde_json::from_str(&lattice.ltc_ok(&["explain", app, "-o", "json"])).unwrap()
    };

    lattice.ltc_ok(&["create", "web", layout, "--constraint", "disk==ssd"]);
    let web = explained("web");
    assert_eq!(web["strategy"], "binpack", "{web}");
    assert_eq!(web["chosen"], web["runs_on"], "it would go where it is: {web}");

    let created = lattice.ltc(&["create", "other", layout, "--constraint", "rack!=7", "-t", "20s"]);
    assert_ne!(created.code, 0, "{created:?}");
    let other = explained("other");
    assert!(other["chosen"].is_null(), "{other}");
    let filters = &other["cells"][0]["filters"];
    assert_eq!((&filters["constraints"], &filters["resources"]), (&false.into(), &true.into()));
}
