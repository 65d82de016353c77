//! Where the fuzz targets enter; not in the product.

use std::sync::Arc;

use lattice_daemon::bus::{InProcessBus, Message};
use lattice_daemon::clock::SystemClock;
use lattice_model::wire::registration::{REGISTER, UNREGISTER};

use crate::config::Config;
use crate::framing::{Framing, Place, Violation};
use crate::registrar::Registrar;
use crate::reserved::ReservedHosts;
use crate::table::Editor;
use crate::table::key::Key;

const LINE_BYTES_MAX: usize = 8192;

/// Registers what each line says, or withdraws it when a `-` stands before it, and checks that
/// every route of the table is found.
pub fn register(lines: &[u8]) {
    let mut config = Config::new("test");
    config.freshness.routes_max = 64;
    let mut registrar = Registrar::new(
        Editor::new(config.freshness.routes_max, 0),
        Arc::new(ReservedHosts::new(&config)),
        config.freshness,
        Arc::new(SystemClock),
        Arc::new(InProcessBus::default()),
    );
    for line in lines.split(|&b| b == b'\n') {
        let (subject, payload) = match line.strip_prefix(b"-") {
            Some(payload) => (UNREGISTER, payload),
            None => (REGISTER, line),
        };
        registrar.hear(&Message { subject: subject.into(), payload: payload.to_vec().into() });
    }
    let routes = registrar.editor.table().routes();
    assert_eq!(routes.len(), registrar.editor.len());
    assert!(routes.len() <= config.freshness.routes_max);
    for route in &routes {
        let key = Key::parse(&route.uri).expect("a route's uri is one");
        assert_eq!(key.uri(), *route.uri);
        assert!(
            registrar.editor.table().find_exact(&key.host, &format!("/{}", key.path)).is_some()
        );
    }
    registrar.prune();
}

/// Scans bytes at once and cut in two, which must come to the same; whether they are whole requests.
pub fn frame(bytes: &[u8], cut: usize) -> bool {
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    let whole = scan(&[bytes]);
    assert_eq!(scan(&[first, second]), whole);
    whole.0.is_ok() && whole.1 == Place::Between
}

fn scan(reads: &[&[u8]]) -> (Result<(), Violation>, Place, bool) {
    let mut framing = Framing::new(LINE_BYTES_MAX);
    let mut outcome = Ok(());
    for read in reads {
        if outcome.is_ok() {
            outcome = framing.scan(read).map_err(|(good, violation)| {
                assert!(good <= read.len());
                violation
            });
        }
    }
    // Where it stands after a violation means nothing: the connection ends.
    match outcome {
        Ok(()) => (outcome, framing.place(), framing.is_premature()),
        Err(_) => (outcome, Place::Between, false),
    }
}
