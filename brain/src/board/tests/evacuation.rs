//! What a cell that is being emptied is told: the tables of 2.11.

use lattice_model::actual_lrp::Evacuee;
use lattice_model::desired_lrp::UpdateStrategy;
use lattice_model::{DesiredLrp, ModificationTag};

use super::*;

/// The state of a record: `-` none, `U`nclaimed, with an `error`, `C`laimed or `R`unning on a cell,
/// `X` crashed, `E`xited.
fn row(shown: &str, presence: Presence) -> Option<ActualLrp> {
    let (state, cell) = shown.split_at(1);
    let of = |cell: &str| instance(&format!("i-{cell}"), cell);
    let placement_error =
        || (cell == "error").then(|| PlacementError { reason: "r".into(), detail: String::new() });
    let state = match state {
        "-" => return None,
        "U" => ActualState::Unclaimed { placement_error: placement_error() },
        "C" => ActualState::Claimed { instance: of(cell) },
        "R" => ActualState::Running { instance: of(cell), net: net() },
        "X" => ActualState::Crashed { reason: "x".into() },
        "E" => ActualState::Exited { reason: "x".into() },
        other => panic!("{other}"),
    };
    Some(ActualLrp {
        key: key("web", 0),
        presence,
        state,
        since: Time::from_secs(990),
        crash_count: 0,
        crash_reason: String::new(),
        modification_tag: ModificationTag::default(),
    })
}

/// A board that has just been loaded with an ordinary record like this, and another one.
fn loaded(lrp: Option<DesiredLrp>, ordinary: &str, other: (&str, Presence)) -> Scene {
    let actual = [row(ordinary, Presence::Ordinary), row(other.0, other.1)];
    let records = Records {
        desired: lrp.into_iter().collect(),
        actual: actual.into_iter().flatten().collect(),
        domains: vec![(domain(), None)],
        ..Records::default()
    };
    let now = Time::from_secs(1_000);
    Scene { board: Board::load(records, Limits::default(), 7, now), now }
}

fn evacuating(ordinary: &str, evacuating: &str) -> Scene {
    loaded(Some(lrp("web", 1, 10)), ordinary, (evacuating, Presence::Evacuating))
}

fn evacuate(scene: &mut Scene, evacuee: Evacuee) -> (bool, Vec<String>) {
    let applied = scene.ok(Command::EvacuateLrp(key("web", 0), instance("i-a", "a"), evacuee));
    (applied.answer == Answer::Keep(true), effects(&applied))
}

const STAYS_A: &str = "0 evacuating RUNNING i-a@a";
const STAYS_B: &str = "0 evacuating RUNNING i-b@b";

#[test]
fn a_healthy_instance_is_kept_up_until_its_replacement_runs() {
    let auction: &[&str] = &["auction web/0"];
    for (ordinary, other, rows, is_kept, expected) in [
        ("U", "-", vec!["0 UNCLAIMED", STAYS_A], true, [].as_slice()),
        ("Uerror", "-", vec!["0 UNCLAIMED"], true, &[]),
        ("Uerror", "Ra", vec!["0 UNCLAIMED", STAYS_A], true, &[]),
        ("U", "Ra", vec!["0 UNCLAIMED", STAYS_A], true, &[]),
        ("U", "Rb", vec!["0 UNCLAIMED", STAYS_B], false, &[]),
        ("Uerror", "Rb", vec!["0 UNCLAIMED", STAYS_B], false, &[]),
        ("Cw", "Rb", vec!["0 CLAIMED i-w@w", STAYS_B], false, &[]),
        ("Ca", "-", vec!["0 UNCLAIMED", STAYS_A], true, auction),
        ("Ra", "-", vec!["0 UNCLAIMED", STAYS_A], true, auction),
        ("Ca", "Rb", vec!["0 UNCLAIMED", STAYS_A], true, auction),
        ("Ra", "Rb", vec!["0 UNCLAIMED", STAYS_A], true, auction),
        ("Ra", "Ra", vec!["0 UNCLAIMED", STAYS_A], true, auction),
        ("Cw", "-", vec!["0 CLAIMED i-w@w", STAYS_A], true, &[]),
        ("Cw", "Ra", vec!["0 CLAIMED i-w@w", STAYS_A], true, &[]),
        ("Rw", "Ra", vec!["0 RUNNING i-w@w"], false, &[]),
        ("Rw", "-", vec!["0 RUNNING i-w@w"], false, &[]),
        ("X", "Ra", vec!["0 CRASHED"], false, &[]),
        ("X", "-", vec!["0 CRASHED"], false, &[]),
        ("E", "Ra", vec!["0 EXITED"], false, &[]),
        ("-", "Ra", vec!["0 UNCLAIMED"], false, auction),
        ("-", "-", vec![], false, &[]),
    ] {
        let mut scene = evacuating(ordinary, other);
        let what = format!("{ordinary} {other}");
        let told = evacuate(&mut scene, Evacuee::Running(net()));
        assert_eq!(scene.rows("web"), rows, "{what}");
        assert_eq!(told, (is_kept, expected.iter().map(|e| (*e).to_owned()).collect()), "{what}");
        if is_kept {
            let again = evacuate(&mut scene, Evacuee::Running(net()));
            assert_eq!(again, (true, Vec::new()), "{what}, asked again");
            assert_eq!(scene.rows("web"), rows, "{what}, asked again");
        }
    }
}

#[test]
fn what_is_not_healthy_yet_starts_elsewhere() {
    for (ordinary, other, rows, auctions) in [
        ("Ca", "-", vec!["0 UNCLAIMED"], 1),
        ("Ra", "-", vec!["0 UNCLAIMED"], 1),
        ("Ca", "Rb", vec!["0 UNCLAIMED", STAYS_B], 1),
        ("Cw", "Ra", vec!["0 CLAIMED i-w@w"], 0),
        ("U", "-", vec!["0 UNCLAIMED"], 0),
    ] {
        let mut scene = evacuating(ordinary, other);
        let (is_kept, effects) = evacuate(&mut scene, Evacuee::Starting);
        assert!(!is_kept);
        assert_eq!((scene.rows("web"), effects.len()), (owned(&rows), auctions), "{ordinary}");
    }
}

#[test]
fn what_has_ended_is_forgotten_or_counted_as_a_crash() {
    let crashed = || Evacuee::Crashed("boom".into());
    for (ordinary, other, evacuee, rows, crashes) in [
        ("Ra", "-", Evacuee::Stopped, vec!["0 UNCLAIMED"], 0),
        ("Cw", "Ra", Evacuee::Stopped, vec!["0 CLAIMED i-w@w"], 0),
        ("Rw", "-", Evacuee::Stopped, vec!["0 RUNNING i-w@w"], 0),
        ("Ra", "-", crashed(), vec!["0 UNCLAIMED"], 1),
        ("Ca", "-", crashed(), vec!["0 UNCLAIMED"], 1),
        ("Cw", "Ra", crashed(), vec!["0 CLAIMED i-w@w"], 0),
        ("Rw", "-", crashed(), vec!["0 RUNNING i-w@w"], 0),
        ("Ra", "Ra", crashed(), vec!["0 UNCLAIMED"], 1),
        ("X", "Ra", crashed(), vec!["0 CRASHED"], 0),
    ] {
        let mut scene = evacuating(ordinary, other);
        let what = format!("{ordinary} {other} {evacuee:?}");
        assert!(!evacuate(&mut scene, evacuee).0, "{what}");
        assert_eq!(scene.rows("web"), rows, "{what}");
        assert_eq!(scene.board.actual_lrps(None)[0].crash_count, crashes, "{what}");
    }
}

#[test]
fn a_suspect_that_calls_from_a_cell_being_emptied_is_evacuating_or_gone() {
    let suspect = |ordinary| loaded(Some(lrp("web", 1, 10)), ordinary, ("Ra", Presence::Suspect));
    for ordinary in ["U", "Cw"] {
        let mut scene = suspect(ordinary);
        assert!(evacuate(&mut scene, Evacuee::Running(net())).0);
        assert_eq!(scene.rows("web")[1], STAYS_A);
        for evacuee in [Evacuee::Stopped, Evacuee::Crashed("x".into()), Evacuee::Starting] {
            let mut scene = suspect(ordinary);
            assert!(!evacuate(&mut scene, evacuee).0);
            assert_eq!(scene.rows("web").len(), 1);
        }
    }
    let mut scene = suspect("Ca2");
    let replacement =
        Command::EvacuateLrp(key("web", 0), instance("i-a2", "a2"), Evacuee::Starting);
    assert_eq!(effects(&scene.ok(replacement)), ["auction web/0"]);
    assert_eq!(scene.rows("web"), ["0 UNCLAIMED", "0 suspect RUNNING i-a@a"]);
}

#[test]
fn what_nobody_wants_goes_only_when_somebody_vouches_for_that() {
    let unwanted = || loaded(None, "Ra", ("-", Presence::Evacuating));
    let mut scene = unwanted();
    assert!(!evacuate(&mut scene, Evacuee::Running(net())).0);
    assert_eq!(scene.rows("web"), [""; 0]);
    let mut scene = unwanted();
    scene.ok(Command::UpsertDomain(domain(), Some(Time(0))));
    assert!(evacuate(&mut scene, Evacuee::Running(net())).0);
    assert_eq!(scene.rows("web"), ["0 RUNNING i-a@a"]);
}

#[test]
fn an_lrp_that_is_recreated_gives_up_one_instance_at_a_time() {
    let mut scene = Scene::new(&["a", "b"]);
    let lrp = DesiredLrp { update_strategy: UpdateStrategy::Recreate, ..lrp("web", 2, 10) };
    scene.ok(Command::DesireLrp(Box::new(lrp)));
    let running = |index: u32| {
        let instance = instance(&format!("i{index}"), "a");
        Command::EvacuateLrp(key("web", index), instance, Evacuee::Running(net()))
    };
    scene.start("web", 0, "i0", "a");
    let kept = scene.ok(running(0));
    assert_eq!((kept.answer, kept.writes.len()), (Answer::Keep(true), 0), "the other starts");
    scene.start("web", 1, "i1", "a");
    assert_eq!(effects(&scene.ok(running(0))), ["auction web/0"]);
    assert_eq!(effects(&scene.ok(running(1))), [""; 0], "one moves already");
    scene.claim("web", 0, "n0", "b");
    scene.start("web", 0, "n0", "b");
    assert_eq!(effects(&scene.ok(running(1))), ["auction web/1"]);
}

#[test]
fn readers_see_the_evacuating_instance_until_its_replacement_has_come_further() {
    for (ordinary, other, expected) in [
        ("-", "Ra", STAYS_A),
        ("U", "Ra", STAYS_A),
        ("Cw", "Ra", STAYS_A),
        ("Rw", "Ra", "0 RUNNING i-w@w"),
        ("X", "Ra", "0 CRASHED"),
        ("E", "Ra", "0 EXITED"),
    ] {
        let scene = evacuating(ordinary, other);
        let seen: Vec<_> = scene.board.actual_lrps_of(&pg("web")).iter().map(shown).collect();
        assert_eq!(seen, [expected], "{ordinary} {other}");
    }
}

#[test]
fn what_an_evacuating_instance_says_of_its_start_changes_nothing() {
    for ordinary in ["U", "Cw"] {
        let mut scene = evacuating(ordinary, "Ra");
        let (key, own) = (key("web", 0), instance("i-a", "a"));
        assert!(scene.ok(Command::ClaimLrp(key.clone(), own.clone())).is_empty());
        assert!(scene.ok(Command::StartLrp(key, own, net())).is_empty());
        assert_eq!(scene.rows("web")[1], STAYS_A);
    }
}

fn owned(rows: &[&str]) -> Vec<String> {
    rows.iter().map(|row| (*row).to_owned()).collect()
}
