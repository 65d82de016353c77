//! What cells keep of images.

use lattice_api::brain::images::CellImages;
use lattice_api::cell::images::{ImageStock, KeptImage};
use lattice_model::{CellId, Time};

use super::fakes::Machine;

fn image(name: &str, in_use: bool) -> KeptImage {
    KeptImage {
        name: name.to_owned(),
        digest: "sha256:0".to_owned(),
        bytes: 30 << 20,
        layers: 3,
        in_use,
        last_used: Time::from_secs(1_000 - 3_700),
    }
}

/// Two cells, of which the second keeps nothing.
fn machine(error: &str) -> Machine {
    let machine = Machine::targeted();
    let stock = |images: Vec<KeptImage>| ImageStock {
        layers_bytes: images.len() as u64 * (25 << 20),
        images,
        disk_free_bytes: 2 << 30,
        disk_total_bytes: 10 << 30,
    };
    let cell = |id: &str, images: Vec<KeptImage>, error: &str| CellImages {
        cell_id: CellId::new(id).unwrap(),
        stock: stock(images),
        error: error.to_owned(),
    };
    let images = vec![image("docker.io/library/redis:7", true), image("h.io/old:1", false)];
    machine.state().kept_images = vec![cell("cell-2", vec![], error), cell("cell-1", images, "")];
    machine
}

#[tokio::test]
async fn images_are_listed_with_their_sizes_and_the_disks_room() {
    let ran = machine("").ltc("images").await.succeeds();
    insta::assert_snapshot!(ran.stdout, @r"
    IMAGE                       SIZE   USED          CELL
    docker.io/library/redis:7   30M    now           cell-1
    h.io/old:1                  30M    1h1m40s ago   cell-1
    cell-1: 50M in layers, each there once; 2G of 10G are free
    cell-2: 0 in layers, each there once; 2G of 10G are free
    ");
    let json = machine("").ltc("im -o json").await.succeeds().json();
    assert_eq!(json[0]["images"][1]["name"], "h.io/old:1");
    assert_eq!(json[0]["disk_free_bytes"], 2_u64 << 30);
    let silent = machine("cannot reach cell cell-2: it is gone").ltc("images").await.succeeds();
    assert!(silent.stderr.contains("cannot reach cell cell-2"), "{}", silent.stderr);
    assert!(!silent.stdout.contains("cell-2:"), "{}", silent.stdout);
}

#[tokio::test]
async fn pruning_removes_what_nobody_uses_and_says_how_much_that_was() {
    let machine = machine("");
    let ran = machine.ltc("images prune").await.succeeds();
    insta::assert_snapshot!(ran.stdout, @r"
    cell-1: 1 image removed, 30M freed
      h.io/old:1
    cell-2: nothing to remove
    ");
    let left = machine.ltc("images -o json").await.succeeds().json();
    assert_eq!(left[0]["images"].as_array().unwrap().len(), 1);
    let again = machine.ltc("images prune -o json").await.succeeds().json();
    assert_eq!((&again[0]["layers"], &again[0]["bytes"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn a_cell_that_does_not_prune_is_told_and_wrong_words_are_refused() {
    let machine = machine("cannot reach cell cell-2: it is gone");
    let ran = machine.ltc("images prune").await;
    ran.fails(14, &["cannot reach cell cell-2", "ltc images prune"]);
    assert!(ran.stdout.contains("cell-1: 1 image removed"), "{}", ran.stdout);
    machine.ltc("images everything").await.fails(1, &["ltc help"]);
}
