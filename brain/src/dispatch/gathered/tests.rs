use super::*;
use crate::testing::{cell_id, cell_state, key, lrp, task, tg};

/// `old` of round 1, `young` of round 3, and a task of round 2.
fn gathered() -> Gathered {
    let mut gathered = Gathered::default();
    assert!(gathered.is_empty());
    gathered.add_lrp(key("old", 0), Arc::new(lrp("old", 1, 10)), 1);
    gathered.add_lrp(key("young", 0), Arc::new(lrp("young", 1, 10)), 3);
    gathered.add_task(task("t", 10), 2);
    gathered
}

fn rounds(commands: &[Command]) -> BTreeMap<Item, u64> {
    let round = |command: &Command| match command {
        Command::FailPlacement(failed) => Some((failed.item.clone(), failed.round)),
        _ => None,
    };
    commands.iter().filter_map(round).collect()
}

#[test]
fn what_came_after_the_cells_were_asked_is_as_old_as_their_answers() {
    let mut gathered = gathered();
    gathered.date_back_to(2);
    let outcome = gathered.hold(Vec::new(), true, &Policy::default());
    assert_eq!(
        rounds(&gathered.reports(outcome)),
        BTreeMap::from([
            (Item::Lrp(key("old", 0)), 1),
            (Item::Lrp(key("young", 0)), 2),
            (Item::Task(tg("t")), 2),
        ])
    );
}

#[test]
fn a_later_order_for_an_item_takes_the_place_of_an_earlier_one() {
    let mut gathered = gathered();
    gathered.add_lrp(key("old", 0), Arc::new(lrp("old", 1, 20)), 4);
    assert_eq!(gathered.items().count(), 3);
    assert_eq!(gathered.need_of(&Item::Lrp(key("old", 0))).memory_mb, 20);
    assert_eq!(gathered.need_of(&Item::Lrp(key("other", 0))), Resources::default());
}

#[test]
fn nothing_is_impossible_as_long_as_a_cell_was_not_asked() {
    let mut gathered = Gathered::default();
    gathered.add_lrp(key("huge", 0), Arc::new(lrp("huge", 1, 1_000_000)), 1);
    for is_complete in [true, false] {
        let cells = vec![cell_state("a", "z", &[]).into()];
        let outcome = gathered.hold(cells, is_complete, &Policy::default());
        assert_eq!(outcome.failed[0].is_impossible, is_complete);
    }
}

#[test]
fn each_cell_gets_its_work_with_names_and_credentials() {
    let gathered = gathered();
    let cells = vec![cell_state("a", "z", &[]).into()];
    let outcome = gathered.hold(cells, true, &Policy::default());
    let mut count = 0;
    let name = || {
        count += 1;
        InstanceGuid::new(format!("i{count}")).unwrap()
    };
    let works = gathered.works(&outcome, name, |_| Vec::new());
    let work = &works[&cell_id("a")];
    let names: BTreeSet<_> = work.lrps.iter().map(|one| one.instance_guid.as_str()).collect();
    assert_eq!(names, ["i1", "i2"].into());
    assert_eq!(work.tasks.len(), 1);
    assert_eq!(gathered.rounds(work)[&Item::Lrp(key("young", 0))], 3);
}

#[test]
fn a_cells_own_reason_stays_whole_and_silence_has_its_cause_as_detail() {
    let check = |refused: Refused, reason: &str, detail: &str| {
        let commands = returns(vec![(refused, 7)], false);
        let [Command::FailPlacement(failed), Command::DeferPlacement(items)] = &commands[..] else {
            panic!("{commands:?}");
        };
        assert_eq!((&*failed.error.reason, &*failed.error.detail), (reason, detail));
        assert_eq!((failed.round, failed.is_impossible, items.len()), (7, false, 1));
    };
    let item = || WorkItem::Lrp(key("web", 0));
    let reason = "disk: broken";
    check(Refused { item: item(), reason: reason.to_owned() }, reason, "");
    let silence = unanswered(vec![item()], "no answer within 10 s").remove(0);
    check(silence, NO_ANSWER, "no answer within 10 s");
}

#[test]
fn the_board_hears_of_a_cell_that_is_back_even_when_nothing_was_refused() {
    assert!(returns(Vec::new(), false).is_empty());
    let told = returns(Vec::new(), true);
    assert!(matches!(&told[..], [Command::DeferPlacement(items)] if items.is_empty()), "{told:?}");
}
