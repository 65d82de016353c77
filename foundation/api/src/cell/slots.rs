//! The instances a cell holds, listed so that a reader who looks for a few apps on all cells of a
//! cluster passes over nearly all instances without touching them.

use std::ops::Deref;

use lattice_model::{AppName, LrpKey, Resources};
use serde::{Deserialize, Serialize};

/// One instance a cell holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LrpSlot {
    /// Which.
    pub key: LrpKey,
    /// The app it belongs to.
    pub app: AppName,
    /// What it reserves.
    pub resources: Resources,
}

/// The instances a cell holds, and beside them the marks of their apps, close together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<LrpSlot>", into = "Vec<LrpSlot>")]
pub struct LrpSlots {
    all: Vec<LrpSlot>,
    /// Of each, in the same order.
    marks: Vec<AppMark>,
}

/// What little is needed to tell most app names apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppMark(u16);

// === impl AppMark ===

impl AppMark {
    /// How many marks there are.
    pub const COUNT: usize = 1 << 16;

    /// Of the name's end and its length: names of one cluster mostly begin alike.
    pub const fn of(name: &str) -> Self {
        let end = match name.as_bytes() {
            [.., a, b, c, d, e, f, g, h] => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            [.., a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]) as u64,
            [.., a] => *a as u64,
            [] => 0,
        };
        let mixed = (end ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self((mixed >> 48) as u16)
    }

    /// A number below [`Self::COUNT`].
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

// === impl LrpSlots ===

impl LrpSlots {
    /// Adds one as the last.
    pub fn push(&mut self, slot: LrpSlot) {
        self.marks.push(AppMark::of(&slot.app));
        self.all.push(slot);
    }

    /// Takes one out.
    ///
    /// # Panics
    /// Where there is none at that position.
    pub fn remove(&mut self, position: usize) -> LrpSlot {
        self.marks.remove(position);
        self.all.remove(position)
    }

    /// Keeps those of which this is true.
    pub fn retain(&mut self, is_kept: impl FnMut(&LrpSlot) -> bool) {
        self.all.retain(is_kept);
        self.marks.clear();
        self.marks.extend(self.all.iter().map(|slot| AppMark::of(&slot.app)));
    }

    /// The marks of their apps, in their order.
    pub fn marks(&self) -> &[AppMark] {
        &self.marks
    }
}

impl Deref for LrpSlots {
    type Target = [LrpSlot];

    fn deref(&self) -> &[LrpSlot] {
        &self.all
    }
}

impl From<Vec<LrpSlot>> for LrpSlots {
    fn from(all: Vec<LrpSlot>) -> Self {
        let marks = all.iter().map(|slot| AppMark::of(&slot.app)).collect();
        Self { all, marks }
    }
}

impl From<LrpSlots> for Vec<LrpSlot> {
    fn from(slots: LrpSlots) -> Self {
        slots.all
    }
}

impl FromIterator<LrpSlot> for LrpSlots {
    fn from_iter<I: IntoIterator<Item = LrpSlot>>(slots: I) -> Self {
        Vec::from_iter(slots).into()
    }
}

#[cfg(test)]
mod tests {
    use lattice_model::{Domain, ProcessGuid};
    use proptest::prelude::*;

    use super::*;

    fn slot(app: &str) -> LrpSlot {
        let (process_guid, domain) = (ProcessGuid::new("p").unwrap(), Domain::new("d").unwrap());
        let key = LrpKey { process_guid, index: 0, domain };
        LrpSlot { key, app: app.to_owned().into(), resources: Resources::default() }
    }

    proptest! {
        #[test]
        fn every_instance_has_the_mark_of_its_app_whatever_was_added_and_removed(
            first in prop::collection::vec("[ab]{0,10}", 0..9),
            more in prop::collection::vec("[ab]{0,10}", 0..9),
            gone in any::<prop::sample::Index>(),
        ) {
            let mut slots: LrpSlots = first.iter().map(|app| slot(app)).collect();
            more.iter().for_each(|app| slots.push(slot(app)));
            if !slots.is_empty() {
                slots.remove(gone.index(slots.len()));
            }
            slots.retain(|slot| !slot.app.starts_with("ab"));
            let marks: Vec<AppMark> = slots.iter().map(|slot| AppMark::of(&slot.app)).collect();
            prop_assert_eq!(slots.marks(), marks);
            let again = serde_json::to_string(&slots).unwrap();
            prop_assert_eq!(serde_json::from_str::<LrpSlots>(&again).unwrap(), slots);
        }
    }
}
