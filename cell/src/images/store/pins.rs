//! Layers that somebody is about to use: they are held from before they are looked for until a
//! root filesystem stands on them, and so are not collected in between.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::images::Hold;

/// All that is held. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Pins(Arc<Mutex<Vec<Weak<[PathBuf]>>>>);

impl Pins {
    /// Holds layers for as long as what is returned lives, or a clone of it.
    pub(super) fn pin(&self, layers: Vec<PathBuf>) -> Hold {
        let layers: Arc<[PathBuf]> = layers.into();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|pin| pin.strong_count() > 0);
        held.push(Arc::downgrade(&layers));
        Hold { _layers: Some(layers) }
    }

    /// The layers that are held now.
    pub(super) fn held(&self) -> HashSet<PathBuf> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pins: Vec<_> = held.iter().filter_map(Weak::upgrade).collect();
        pins.iter().flat_map(|layers| layers.iter().cloned()).collect()
    }
}
