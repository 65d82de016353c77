//! `ltc registry list`: the registries for which credentials are kept, here and on the Lattice.

use std::collections::BTreeMap;

use lattice_model::RegistryAccount;
use serde::Serialize;

use super::palette::Palette;
use super::table::{self, plain};

/// One user of one registry; the JSON of `ltc registry list`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The registry's host.
    pub registry: String,
    /// The user.
    pub username: String,
    /// True when `ltc` keeps the password on this machine.
    pub here: bool,
    /// True when the Lattice does.
    pub on_lattice: bool,
}

/// By registry and user.
pub fn accounts(here: Vec<RegistryAccount>, on_lattice: Vec<RegistryAccount>) -> Vec<Account> {
    let mut all: BTreeMap<(String, String), (bool, bool)> = BTreeMap::new();
    for RegistryAccount { registry, username } in here {
        all.entry((registry, username)).or_default().0 = true;
    }
    for RegistryAccount { registry, username } in on_lattice {
        all.entry((registry, username)).or_default().1 = true;
    }
    let one = |((registry, username), (here, on_lattice))| Account {
        registry,
        username,
        here,
        on_lattice,
    };
    all.into_iter().map(one).collect()
}

/// A line each.
pub fn list(accounts: &[Account], palette: Palette) -> String {
    if accounts.is_empty() {
        return "no credentials of registries\n".to_owned();
    }
    let kept = |account: &Account| match (account.here, account.on_lattice) {
        (true, true) => "here and on the Lattice",
        (true, false) => "here",
        (false, _) => "on the Lattice",
    };
    let row = |one: &Account| vec![plain(&one.registry), plain(&one.username), plain(kept(one))];
    table::render(&["Registry", "User", "Kept"], accounts.iter().map(row).collect(), palette)
}
