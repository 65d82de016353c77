//! What a routing API says.

use lattice_model::wire::event_stream::Frames;

use super::registrar;
use crate::alone::routing_api::routes::{Change, Known, listed};

/// Reads bytes as a listing and as a stream of events, and tells a router of both.
pub fn routing_api(bytes: &[u8]) {
    let (mut known, mut registrar) = (Known::default(), registrar(64));
    if let Ok((routes, _)) = listed(bytes) {
        known.replace(routes).for_each(|message| registrar.hear(&message));
    }
    let events = Frames::new(4096).push(bytes).unwrap_or_default();
    for change in events.iter().filter_map(|frame| Change::read(frame).ok().flatten()) {
        known.change(change).iter().for_each(|message| registrar.hear(message));
    }
    known.replace(Vec::new()).for_each(|message| registrar.hear(&message));
}
