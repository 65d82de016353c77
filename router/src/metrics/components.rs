//! Who registers.

use std::sync::{Arc, Mutex};

/// How many components are told apart; the last place is that of all others.
pub const COMPONENTS_MAX: usize = 16;

/// Who registers, by the `component` of a registration's tags; place 0 is that of those without.
#[derive(Debug)]
pub struct Components {
    names: Mutex<Vec<Arc<str>>>,
}

// === impl Components ===

impl Default for Components {
    fn default() -> Self {
        Self { names: Mutex::new(vec!["".into()]) }
    }
}

impl Components {
    /// The place of a name, which it keeps.
    pub(crate) fn place(&self, name: &str) -> u8 {
        let mut names = self.names.lock().expect("no holder panics");
        let known = names.iter().position(|known| **known == *name);
        let place = known.unwrap_or_else(|| {
            if names.len() < COMPONENTS_MAX - 1 {
                names.push(name.into());
                return names.len() - 1;
            }
            COMPONENTS_MAX - 1
        });
        u8::try_from(place).unwrap_or(0)
    }

    pub(super) fn name(&self, place: usize) -> Option<Arc<str>> {
        let names = self.names.lock().expect("no holder panics");
        let other = (place == COMPONENTS_MAX - 1).then(|| "other".into());
        names.get(place).cloned().or(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_keep_their_places_and_those_beyond_the_limit_share_one() {
        let components = Components::default();
        assert_eq!(components.place(""), 0);
        let places: Vec<u8> = (0..20).map(|n| components.place(&format!("c{n}"))).collect();
        assert_eq!(places[..14], (1..15).collect::<Vec<u8>>());
        assert_eq!(places[14..], [15; 6]);
        assert_eq!(components.place("c3"), 4);
        assert_eq!(components.name(4).as_deref(), Some("c3"));
        assert_eq!(components.name(15).as_deref(), Some("other"));
    }
}
