//! Each filter beside cells that pass it and cells that do not.

use super::*;
use crate::testing::presence;

fn cell(
    providers: &[(&str, &[&str])],
    drivers: &[&str],
    tags: &[&str],
    optional: &[&str],
) -> CellPresence {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    CellPresence {
        rootfs_providers: providers.iter().map(|(s, n)| ((*s).to_owned(), owned(n))).collect(),
        volume_drivers: owned(drivers),
        placement_tags: owned(tags),
        optional_placement_tags: owned(optional),
        ..presence("c", "z")
    }
}

fn constraint(rootfs: &str, drivers: &[&str], tags: &[&str]) -> Constraint {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Constraint {
        rootfs: [demand_on_rootfs(rootfs)].into(),
        drivers: owned(drivers),
        tags: owned(tags),
        labels: Vec::new(),
        apps: Vec::new(),
    }
}

fn judge(constraint: Constraint) -> Judge {
    Judge::new(constraint, &Apps::default())
}

fn check(constraint: &Constraint, cells: &[CellPresence], expected: Result<&[usize], &str>) {
    let judge = judge(constraint.clone());
    let passed: Vec<usize> = cells.iter().map(|cell| judge.passed(cell)).collect();
    let fitting = passed.iter().enumerate().filter(|(_, n)| **n == FILTERS.len());
    let fitting: Vec<usize> = fitting.map(|(position, _)| position).collect();
    let furthest = passed.iter().copied().max().unwrap();
    let refusal = FILTERS.get(furthest).map(|filter| judge.refusal(*filter, cells.len()).reason);
    let found = match &refusal {
        None => Ok(fitting.as_slice()),
        Some(reason) => Err(reason.as_str()),
    };
    assert_eq!(found, expected, "{constraint:?}");
}

#[test]
fn a_root_filesystem_matches_by_scheme_and_where_names_are_listed_by_name() {
    let cells = [
        cell(&[("docker", &[])], &[], &[], &[]),
        cell(&[("preloaded", &["stack-4"]), ("docker", &[])], &[], &[], &[]),
    ];
    let nowhere = Err("found no compatible cell for required rootfs");
    for (rootfs, expected) in [
        ("docker:///busybox", Ok(&[0, 1][..])),
        ("docker://localhost:5000/a/b#c", Ok(&[0, 1][..])),
        ("preloaded:stack-4", Ok(&[1][..])),
        ("preloaded:stack-4?layer=x", Ok(&[1][..])),
        ("preloaded:stack-5", nowhere),
        ("tarball:x", nowhere),
    ] {
        check(&constraint(rootfs, &[], &[]), &cells, expected);
    }
}

#[test]
fn every_volume_driver_must_be_there() {
    let docker: &[(&str, &[&str])] = &[("docker", &[])];
    let cells = [cell(docker, &["nfs"], &[], &[]), cell(docker, &["nfs", "smb"], &[], &[])];
    let nowhere = Err("found no compatible cell with required volume drivers");
    for (drivers, expected) in [
        (&[][..], Ok(&[0, 1][..])),
        (&["nfs"], Ok(&[0, 1][..])),
        (&["smb", "nfs"], Ok(&[1][..])),
        (&["ceph"], nowhere),
    ] {
        check(&constraint("docker:///x", drivers, &[]), &cells, expected);
    }
}

#[test]
fn tags_isolate_both_ways() {
    let docker: &[(&str, &[&str])] = &[("docker", &[])];
    let cells = [
        cell(docker, &[], &[], &[]),
        cell(docker, &[], &["r"], &["o"]),
        cell(docker, &[], &[], &["o", "p"]),
    ];
    for (tags, expected) in [
        (&[][..], Ok(&[0, 2][..])),
        (&["r"], Ok(&[1][..])),
        (&["o"], Ok(&[2][..])),
        (&["r", "o"], Ok(&[1][..])),
        (&["x"], Err("found no compatible cell with placement tag \"x\"")),
        (&["x", "r"], Err("found no compatible cell with placement tags \"r\" and \"x\"")),
        (
            &["c", "b", "a"],
            Err("found no compatible cell with placement tags \"a\", \"b\" and \"c\""),
        ),
    ] {
        check(&constraint("docker:///x", &[], tags), &cells, expected);
    }
    let error = Err("found no compatible cell with no placement tags");
    check(&constraint("docker:///x", &[], &[]), &cells[1..2], error);
}

#[test]
fn the_demand_that_came_furthest_is_the_one_that_is_named() {
    let cells =
        [cell(&[("docker", &[])], &[], &[], &[]), cell(&[("docker", &[])], &["nfs"], &["r"], &[])];
    let tags = Err("found no compatible cell with placement tag \"x\"");
    check(&constraint("docker:///x", &["nfs"], &["x"]), &cells, tags);
    let drivers = Err("found no compatible cell with required volume drivers");
    check(&constraint("docker:///x", &["smb"], &["x"]), &cells, drivers);
    let rootfs = Err("found no compatible cell for required rootfs");
    check(&constraint("tar:x", &["smb"], &["x"]), &cells, rootfs);
    let error = judge(constraint("tar:x", &[], &[])).refusal(Filter::Rootfs, 2);
    assert_eq!(error.detail, "none of 2 cells can make tar:x");
}

fn labelled(pairs: &[(&str, &str)]) -> CellPresence {
    let labels = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    CellPresence { labels: labels.collect(), ..presence("c", "z") }
}

fn ruled(musts: &[&str], shoulds: &[&str]) -> Constraint {
    let placement = Placement {
        constraints: musts.iter().map(|text| text.parse().unwrap()).collect(),
        affinities: shoulds.iter().map(|text| text.parse().unwrap()).collect(),
        ..Placement::default()
    };
    Constraint { rootfs: BTreeSet::new(), ..Constraint::new(&[], &[], &[], &placement) }
}

#[test]
fn labels_must_keep_every_rule() {
    let cells = [
        labelled(&[]),
        labelled(&[("disk", "ssd"), ("rack", "r1")]),
        labelled(&[("disk", "ssd"), ("rack", "r2")]),
    ];
    for (rules, expected) in [
        (&["disk==ssd"][..], Ok(&[1, 2][..])),
        (&["disk!=ssd"], Ok(&[0])),
        (&["disk==ssd", "rack regex 2$"], Ok(&[2])),
        (&["rack glob r?"], Ok(&[1, 2])),
        (&["disk==hdd"], Err("found no compatible cell for placement constraint \"disk==hdd\"")),
        (
            &["disk==ssd", "rack==r3"],
            Err(
                "found no compatible cell for placement constraints \"disk==ssd\" and \"rack==r3\"",
            ),
        ),
    ] {
        check(&ruled(rules, &[]), &cells, expected);
    }
}

#[test]
fn rules_that_should_hold_keep_nobody_out_and_add_up() {
    let judge = judge(ruled(&["disk==ssd"], &["100:rack==r1", "10:rack glob r*"]));
    for (rack, expected) in [("r1", 110), ("r2", 10), ("x", 0)] {
        let cell = labelled(&[("disk", "ssd"), ("rack", rack)]);
        assert_eq!(judge.passed(&cell), FILTERS.len());
        assert_eq!(judge.preference(&cell), affinity(1) * expected);
    }
}
