//! The apps a batch is about, numbered.

use foldhash::{HashMap, HashMapExt as _};
use lattice_api::cell::AppMark;

/// Numbers apps in the order in which they are met.
#[derive(Debug)]
pub(super) struct Apps<'a> {
    numbers: HashMap<&'a str, usize>,
    /// The marks of their names, a bit each. Nearly all that cells hold is of other apps, and most
    /// of them are told so without a look at their names.
    marks: Vec<u64>,
}

// === impl Apps ===

impl Default for Apps<'_> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), marks: vec![0; AppMark::COUNT / 64] }
    }
}

impl<'a> Apps<'a> {
    /// The app's number, where the batch is about it.
    pub(super) fn get(&self, app: &str) -> Option<usize> {
        self.numbers.get(app).copied()
    }

    /// False where the batch is about no app of this mark.
    pub(super) fn may_have(&self, mark: AppMark) -> bool {
        let (word, bit) = place(mark);
        self.marks[word] & bit != 0
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn number(&mut self, app: &'a str) -> usize {
        let (word, bit) = place(AppMark::of(app));
        self.marks[word] |= bit;
        let next = self.numbers.len();
        *self.numbers.entry(app).or_insert(next)
    }
}

/// A word and a bit in it.
const fn place(mark: AppMark) -> (usize, u64) {
    (mark.number() / 64, 1 << (mark.number() % 64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_app_that_was_numbered_has_its_number_and_no_other_has_one(
            known in prop::collection::vec("[ab]{0,10}", 0..20), other in "[ab]{0,10}",
        ) {
            let mut apps = Apps::default();
            let numbers: Vec<usize> = known.iter().map(|app| apps.number(app)).collect();
            for (app, number) in known.iter().zip(numbers) {
                prop_assert_eq!(apps.get(app), Some(number));
            }
            prop_assert!(known.iter().all(|app| apps.may_have(AppMark::of(app))));
            prop_assert_eq!(apps.get(&other).is_some(), known.contains(&other));
        }
    }
}
