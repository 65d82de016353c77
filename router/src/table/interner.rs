//! Values that many hold, each stored once for as long as somebody holds it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Weak};

/// So many values are not worth looking whether all are held.
const UNSWEPT_MAX: usize = 64;

/// Values that are equal are one.
#[derive(Debug)]
pub(super) struct Interner<T: ?Sized> {
    known: HashSet<Arc<T>>,
    sweep_at: usize,
}

/// Values with the same name are one.
#[derive(Debug)]
pub(super) struct ByName<T> {
    known: HashMap<Arc<str>, Weak<T>>,
    sweep_at: usize,
}

// === impl Interner ===

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), sweep_at: UNSWEPT_MAX }
    }
}

impl<T: ?Sized + Eq + Hash + ToOwned> Interner<T>
where
    T::Owned: Into<Arc<T>>,
{
    /// The one that equals this.
    pub(super) fn get(&mut self, value: &T) -> Arc<T> {
        if let Some(known) = self.known.get(value) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|value| Arc::strong_count(value) > 1);
            self.known.shrink_to(self.known.len() * 2);
            self.sweep_at = UNSWEPT_MAX.max(self.known.len() * 2);
        }
        let made: Arc<T> = value.to_owned().into();
        self.known.insert(made.clone());
        made
    }
}

// === impl ByName ===

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), sweep_at: UNSWEPT_MAX }
    }
}

impl<T> ByName<T> {
    /// The one of this name, made if nobody holds it.
    pub(super) fn get(&mut self, name: &str, make: impl FnOnce(Arc<str>) -> T) -> Arc<T> {
        if let Some(known) = self.known.get(name).and_then(Weak::upgrade) {
            return known;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, value| value.strong_count() > 0);
            self.sweep_at = UNSWEPT_MAX.max(self.known.len() * 2);
        }
        let name: Arc<str> = name.into();
        let made = Arc::new(make(name.clone()));
        self.known.insert(name, Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_those_that_nobody_holds_go() {
        let mut texts = Interner::<str>::default();
        let held = texts.get("held");
        for n in 0..10 * UNSWEPT_MAX {
            texts.get(&n.to_string());
        }
        assert!(Arc::ptr_eq(&held, &texts.get("held")));
        assert!(texts.known.len() <= 2 * UNSWEPT_MAX, "{}", texts.known.len());
        let all: Vec<_> = (0..10 * UNSWEPT_MAX).map(|n| texts.get(&n.to_string())).collect();
        for (n, text) in all.iter().enumerate() {
            assert!(Arc::ptr_eq(text, &texts.get(&n.to_string())), "{n}");
        }
    }

    #[test]
    fn a_name_has_one_value_for_as_long_as_it_is_held() {
        let mut named = ByName::default();
        let first = named.get("a", |name| (name, 1));
        assert_eq!(named.get("a", |name| (name, 2)).1, 1);
        drop(first);
        assert_eq!(*named.get("a", |name| (name, 3)), ("a".into(), 3));
        for n in 0..10 * UNSWEPT_MAX {
            named.get(&n.to_string(), |name| (name, 0));
        }
        assert!(named.known.len() <= 2 * UNSWEPT_MAX, "{}", named.known.len());
    }
}
