//! Which cells may run a thing at all (section 1.5).

use std::collections::BTreeSet;

use lattice_model::actual_lrp::PlacementError;
use lattice_model::cell::RootfsProviders;
use lattice_model::{CellPresence, ContainerSpec};

/// What work demands of a cell beyond room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Constraint {
    rootfs: BTreeSet<String>,
    drivers: BTreeSet<String>,
    tags: BTreeSet<String>,
}

// === impl Constraint ===

impl Constraint {
    pub(super) fn new(containers: &[ContainerSpec], drivers: &[String], tags: &[String]) -> Self {
        Self {
            rootfs: containers
                .iter()
                .map(|container| demand_on_rootfs(&container.rootfs))
                .collect(),
            drivers: drivers.iter().cloned().collect(),
            tags: tags.iter().cloned().collect(),
        }
    }

    /// The positions of the cells that may run it, or why there is none: of the demands, in the
    /// order rootfs, volume drivers, tags, the first that nobody left meets.
    pub(super) fn compatible<'a>(
        &self,
        cells: impl Iterator<Item = (usize, &'a CellPresence)>,
    ) -> Result<Vec<usize>, PlacementError> {
        let all: Vec<_> = cells.collect();
        let count = all.len();
        let keep = |cells: Vec<(usize, &'a CellPresence)>,
                    meets: &dyn Fn(&CellPresence) -> bool| {
            cells.into_iter().filter(|(_, cell)| meets(cell)).collect::<Vec<_>>()
        };
        let nobody = |reason: String, what: String| PlacementError {
            reason,
            detail: format!("none of {count} cells {what}"),
        };
        let cells = keep(all, &|cell| self.is_rootfs_met(cell));
        if cells.is_empty() {
            let what = format!("can make {}", listed(&self.rootfs));
            return Err(nobody("found no compatible cell for required rootfs".into(), what));
        }
        let cells = keep(cells, &|cell| are_among(&self.drivers, &cell.volume_drivers));
        if cells.is_empty() {
            let what = format!("that fit otherwise offers {}", listed(&self.drivers));
            let reason = "found no compatible cell with required volume drivers".into();
            return Err(nobody(reason, what));
        }
        let cells = keep(cells, &|cell| self.are_tags_met(cell));
        if cells.is_empty() {
            let what = "that fit otherwise has these tags, required and optional ones included";
            return Err(nobody(self.no_tags(), what.into()));
        }
        Ok(cells.into_iter().map(|(position, _)| position).collect())
    }

    fn is_rootfs_met(&self, cell: &CellPresence) -> bool {
        self.rootfs.iter().all(|rootfs| is_provided(rootfs, &cell.rootfs_providers))
    }

    /// What a cell requires must be asked for, and what is asked for it must have.
    fn are_tags_met(&self, cell: &CellPresence) -> bool {
        let has = |tag: &String| {
            cell.placement_tags.contains(tag) || cell.optional_placement_tags.contains(tag)
        };
        cell.placement_tags.iter().all(|tag| self.tags.contains(tag)) && self.tags.iter().all(has)
    }

    fn no_tags(&self) -> String {
        let quoted: Vec<String> = self.tags.iter().map(|tag| format!("\"{tag}\"")).collect();
        match quoted.as_slice() {
            [] => "found no compatible cell with no placement tags".to_owned(),
            [tag] => format!("found no compatible cell with placement tag {tag}"),
            [first @ .., last] => {
                let first = first.join(", ");
                format!("found no compatible cell with placement tags {first} and {last}")
            }
        }
    }
}

/// The part of a rootfs that providers are asked about: for images the scheme alone, so that
/// different images make one constraint.
fn demand_on_rootfs(rootfs: &str) -> String {
    match rootfs.split_once("://") {
        Some((scheme, _)) => format!("{scheme}:"),
        None => rootfs.to_owned(),
    }
}

fn is_provided(rootfs: &str, providers: &RootfsProviders) -> bool {
    let (scheme, name) = rootfs.split_once(':').unwrap_or((rootfs, ""));
    let name = name.split(['?', '#']).next().unwrap_or_default();
    providers.get(scheme).is_some_and(|names| names.is_empty() || names.iter().any(|n| n == name))
}

fn are_among(wanted: &BTreeSet<String>, offered: &[String]) -> bool {
    wanted.iter().all(|driver| offered.contains(driver))
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
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
        }
    }

    fn check(constraint: &Constraint, cells: &[CellPresence], expected: Result<&[usize], &str>) {
        let found = constraint.compatible(cells.iter().enumerate());
        let found = found.as_deref().map_err(|error| error.reason.as_str());
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
        let cells = [
            cell(&[("docker", &[])], &[], &[], &[]),
            cell(&[("docker", &[])], &["nfs"], &["r"], &[]),
        ];
        let tags = Err("found no compatible cell with placement tag \"x\"");
        check(&constraint("docker:///x", &["nfs"], &["x"]), &cells, tags);
        let drivers = Err("found no compatible cell with required volume drivers");
        check(&constraint("docker:///x", &["smb"], &["x"]), &cells, drivers);
        let rootfs = Err("found no compatible cell for required rootfs");
        check(&constraint("tar:x", &["smb"], &["x"]), &cells, rootfs);
        let error = constraint("tar:x", &[], &[]).compatible(cells.iter().enumerate());
        assert_eq!(error.unwrap_err().detail, "none of 2 cells can make tar:x");
    }
}
