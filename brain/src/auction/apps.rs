//! The apps a batch is about, numbered.

use foldhash::{HashMap, HashMapExt as _};

/// Numbers apps in the order in which they are met.
#[derive(Debug)]
pub(super) struct Apps<'a> {
    numbers: HashMap<&'a str, usize>,
    /// The hints of their names, a bit each. Nearly all that cells hold is of other apps, and most
    /// of them are told so without the search for their number.
    hints: Vec<u64>,
}

/// How many words of bits the hints are.
const WORDS: usize = 1 << 10;

// === impl Apps ===

impl Default for Apps<'_> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), hints: vec![0; WORDS] }
    }
}

impl<'a> Apps<'a> {
    /// The app's number, where the batch is about it.
    pub(super) fn get(&self, app: &str) -> Option<usize> {
        let (word, bit) = hint(app);
        if self.hints[word] & bit == 0 { None } else { self.numbers.get(app).copied() }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn number(&mut self, app: &'a str) -> usize {
        let (word, bit) = hint(app);
        self.hints[word] |= bit;
        let next = self.numbers.len();
        *self.numbers.entry(app).or_insert(next)
    }
}

/// A word and a bit in it for the end and the length of a name.
const fn hint(name: &str) -> (usize, u64) {
    let end = match name.as_bytes() {
        [.., a, b, c, d, e, f, g, h] => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        [.., a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]) as u64,
        [.., a] => *a as u64,
        [] => 0,
    };
    let mixed = (end ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 54) as usize, 1 << (mixed >> 48 & 63))
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
            prop_assert_eq!(apps.get(&other).is_some(), known.contains(&other));
        }
    }
}
