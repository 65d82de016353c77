//! Which unpacked layers to remove: what nobody uses, the longest unused first. Pure.

use core::time::Duration;

/// A layer as far as this matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// What it takes of the disk.
    pub bytes: u64,
    /// How long ago somebody last wanted it.
    pub unused: Duration,
    /// True while a container stands on it, or one is about to.
    pub is_in_use: bool,
}

/// How much is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// What nobody wanted for longer than this.
    UnusedFor(Duration),
    /// So many bytes, or all that can go.
    Bytes(u64),
    /// All that can go.
    Everything,
}

/// Which of the candidates go, the longest unused first.
pub fn choose(candidates: &[Candidate], goal: Goal) -> Vec<usize> {
    let mut free: Vec<usize> =
        (0..candidates.len()).filter(|&at| !candidates[at].is_in_use).collect();
    free.sort_by_key(|&at| std::cmp::Reverse(candidates[at].unused));
    match goal {
        Goal::Everything => {}
        Goal::UnusedFor(most) => free.retain(|&at| candidates[at].unused > most),
        Goal::Bytes(wanted) => {
            let mut freed = 0_u64;
            free.retain(|&at| {
                let is_needed = freed < wanted;
                if is_needed {
                    freed = freed.saturating_add(candidates[at].bytes);
                }
                is_needed
            });
        }
    }
    free
}

/// How much has to go before `wanted` more bytes may come, so that `keep` stay free; with some to
/// spare, so that not every pull has to collect. 0 when there is room.
pub fn missing(free: u64, wanted: u64, keep: u64) -> u64 {
    let needed = wanted.saturating_add(keep);
    if free >= needed { 0 } else { needed.saturating_add(keep / 2) - free }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn layer(bytes: u64, unused_s: u64, is_in_use: bool) -> Candidate {
        Candidate { bytes, unused: Duration::from_secs(unused_s), is_in_use }
    }

    #[test]
    fn what_is_unused_for_longest_goes_first_and_what_is_in_use_never() {
        let layers =
            [layer(10, 5, false), layer(10, 900, true), layer(30, 50, false), layer(1, 20, false)];
        let check = |goal: Goal, expected: &[usize]| {
            assert_eq!(choose(&layers, goal), expected, "{goal:?}");
        };
        check(Goal::Everything, &[2, 3, 0]);
        check(Goal::UnusedFor(Duration::from_secs(19)), &[2, 3]);
        check(Goal::UnusedFor(Duration::from_secs(50)), &[]);
        check(Goal::Bytes(0), &[]);
        check(Goal::Bytes(30), &[2]);
        check(Goal::Bytes(31), &[2, 3]);
        check(Goal::Bytes(1_000), &[2, 3, 0]);
    }

    #[test]
    fn room_is_made_with_some_to_spare() {
        for (free, wanted, keep, expected) in [
            (100, 10, 90, 0),
            (100, 11, 90, 46),
            (0, 0, 0, 0),
            (0, 1, 0, 1),
            (10, u64::MAX, 2, u64::MAX - 10),
        ] {
            assert_eq!(missing(free, wanted, keep), expected, "{free} {wanted} {keep}");
        }
    }

    proptest! {
        #[test]
        fn no_more_goes_than_is_needed_and_enough_where_there_is_enough(
            layers in proptest::collection::vec((0_u64..100, 0_u64..100, any::<bool>()), 0..20),
            wanted in 0_u64..500,
        ) {
            let layers: Vec<_> = layers.into_iter().map(|(b, u, used)| layer(b, u, used)).collect();
            let chosen = choose(&layers, Goal::Bytes(wanted));
            let bytes = |of: &[usize]| of.iter().map(|&at| layers[at].bytes).sum::<u64>();
            prop_assert!(chosen.iter().all(|&at| !layers[at].is_in_use));
            let all = bytes(&choose(&layers, Goal::Everything));
            prop_assert!(bytes(&chosen) >= wanted.min(all));
            if let Some((_, but_last)) = chosen.split_last() {
                prop_assert!(bytes(but_last) < wanted, "the last was not needed");
            }
        }
    }
}
