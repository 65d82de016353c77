//! Drains, rebalances, and cells that stall, with a whole brain.

use lattice_api::brain::moves::{DrainRequest, RebalanceRequest};
use lattice_model::ActualState;

use super::*;
use crate::testing::{key, task_definition, tg};

const ALL_AT_ONCE: DrainRequest = DrainRequest { max_in_flight: 100, dry_run: false };

/// Waits until nothing moves.
async fn until_still(world: &World) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let moves = world.brain.moves().await.unwrap();
        if moves.moves.is_empty() && moves.planned == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{moves:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_cell_gives_all_it_runs_away_and_gets_nothing() {
    let world = World::new(&["a", "b"]).await;
    world.brain.desire_lrp(lrp("web", 6, 10)).await.unwrap();
    let rows = world.until_running(6).await;
    assert_eq!(on_cell(&rows, "a"), 3);
    let dry = DrainRequest { dry_run: true, ..ALL_AT_ONCE };
    let plan = world.brain.drain_cell(&cell_id("a"), dry).await.unwrap();
    assert_eq!(plan.moves.len(), 3);
    assert!(plan.moves.iter().all(|one| one.to == Some(cell_id("b"))), "{plan:?}");
    assert_eq!(world.rows().await, rows, "nothing moved");
    world.brain.drain_cell(&cell_id("a"), ALL_AT_ONCE).await.unwrap();
    let all_on_b = |rows: &[ActualLrp]| on_cell(rows, "b") == 6;
    world.until("all are on b", all_on_b).await;
    until_still(&world).await;
    world.pass(2).await;
    world.brain.desire_lrp(lrp("more", 2, 10)).await.unwrap();
    let rows = world.until_running(8).await;
    assert_eq!(on_cell(&rows, "b"), 8);
    let deadline = Instant::now() + PATIENCE;
    while world.fleet.get("a").holds() > 0 {
        assert!(Instant::now() < deadline, "a stops what was replaced");
        sleep(Duration::from_millis(5)).await;
    }
    let moves = world.brain.moves().await.unwrap();
    assert_eq!((moves.draining.len(), moves.draining[0].instances_left), (1, 0));
    world.brain.undrain_cell(&cell_id("a")).await.unwrap();
    world.brain.desire_lrp(lrp("again", 1, 10)).await.unwrap();
    let rows = world.until_running(9).await;
    assert_eq!(on_cell(&rows, "a"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_with_one_instance_is_up_at_every_moment_of_its_move() {
    let world = World::new(&["a"]).await;
    world.brain.desire_lrp(lrp("web", 1, 10)).await.unwrap();
    let before = world.until_running(1).await.remove(0);
    let slow = world.join("b").await;
    slow.is_slow.store(true, Ordering::SeqCst);
    world.brain.drain_cell(&cell_id("a"), ALL_AT_ONCE).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while world.brain.moves().await.unwrap().moves[0].state != "CLAIMED" {
        assert!(Instant::now() < deadline, "b claims it");
        sleep(Duration::from_millis(5)).await;
    }
    world.pass(5).await;
    let rows = world.rows().await;
    assert_eq!((rows.len(), rows[0].instance()), (1, before.instance()), "the old one is shown");
    assert_eq!(world.fleet.get("a").holds(), 1, "and runs");
    slow.is_slow.store(false, Ordering::SeqCst);
    slow.start_all().await;
    let moved = |rows: &[ActualLrp]| on_cell(rows, "b") == 1 && rows[0].net().is_some();
    world.until("it runs on b", moved).await;
    assert_eq!(world.fleet.get("a").holds(), 1, "routers hear of the new one first");
    world.pass(2).await;
    let deadline = Instant::now() + PATIENCE;
    while world.fleet.get("a").holds() > 0 {
        assert!(Instant::now() < deadline, "a stops it");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_without_another_place_stays_up_and_the_reason_is_told() {
    let world = World::new(&["a"]).await;
    world.brain.desire_lrp(lrp("big", 1, 600)).await.unwrap();
    let before = world.until_running(1).await;
    world.brain.drain_cell(&cell_id("a"), ALL_AT_ONCE).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while world.brain.moves().await.unwrap().moves[0].placement_error.is_empty() {
        assert!(Instant::now() < deadline, "the reason is told");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.rows().await[0].instance(), before[0].instance());
    world.join("b").await;
    world.until("it moves", |rows| on_cell(rows, "b") == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_goes_on_after_the_brain_has_restarted() {
    let world = World::new(&["a"]).await;
    world.brain.desire_lrp(lrp("web", 2, 10)).await.unwrap();
    world.until_running(2).await;
    world.brain.drain_cell(&cell_id("a"), ALL_AT_ONCE).await.unwrap();
    let world = world.restart_brain().await;
    world.brain.heartbeat(world.fleet.get("a").presence()).await.unwrap();
    world.join("b").await;
    world.until("all are on b", |rows| on_cell(rows, "b") == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebalance_fills_a_cell_that_joined_late() {
    let world = World::new(&["a"]).await;
    for n in 0..6 {
        world.brain.desire_lrp(lrp(&format!("app-{n}"), 1, 100)).await.unwrap();
    }
    world.until_running(6).await;
    world.join("b").await;
    let how = RebalanceRequest { max_in_flight: 2, max_moves: 50, dry_run: false };
    let plan = world.brain.rebalance(how).await.unwrap();
    assert_eq!(plan.moves.len(), 3, "{plan:?}");
    let even = |rows: &[ActualLrp]| on_cell(rows, "a") == 3 && on_cell(rows, "b") == 3;
    world.until("three each", even).await;
    until_still(&world).await;
    let again = world.brain.rebalance(how).await.unwrap();
    assert!(again.moves.is_empty(), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_does_not_answer_holds_up_neither_auctions_nor_orders() {
    let world = World::new(&["a", "b", "c"]).await;
    world.brain.desire_lrp(lrp("web", 3, 10)).await.unwrap();
    world.until_running(3).await;
    // For ever: what waited for it would never be done.
    world.fleet.get("b").stall();
    world.brain.desire_lrp(lrp("next", 4, 10)).await.unwrap();
    let rows = world.until_running(7).await;
    assert_eq!(on_cell(&rows, "b"), 1, "it got nothing");
    world.brain.remove_lrp(&pg("next")).await.unwrap();
    world.brain.remove_lrp(&pg("web")).await.unwrap();
    let only_b = |rows: &[ActualLrp]| rows.len() == 1 && on_cell(rows, "b") == 1;
    world.until("the others have stopped theirs", only_b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_not_hopeless_while_a_cell_that_could_take_it_is_silent() {
    let world = World::new(&["small"]).await;
    let large = world.fleet.add("large", 5_000);
    world.brain.heartbeat(large.presence()).await.unwrap();
    large.stall();
    world.brain.desire_task(task_definition("t", 4_000)).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while world.brain.task(&tg("t")).await.unwrap().rejections == 0 {
        assert!(Instant::now() < deadline, "the auction was held without it");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.brain.task(&tg("t")).await.unwrap().state.name(), "PENDING");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_one_cell_refuses_goes_to_another() {
    let world = World::new(&["a"]).await;
    *world.fleet.get("a").refusal.lock().unwrap() = Some("no disk for layers".to_owned());
    world.brain.desire_lrp(lrp("web", 1, 10)).await.unwrap();
    let is_refused = |rows: &[ActualLrp]| {
        matches!(&rows[0].state, ActualState::Unclaimed { placement_error: Some(_) })
    };
    world.until("refused", is_refused).await;
    *world.fleet.get("a").refusal.lock().unwrap() = None;
    world.pass(1).await;
    let rows = world.until_running(1).await;
    assert_eq!(rows[0].key, key("web", 0), "without any capacity that appeared");
}
