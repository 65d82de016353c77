//! `ltc domain list`: hosts of people's own and their certificates.

use lattice_model::{CustomDomainStatus, Time};

use super::palette::Palette;
use super::table::{self, Tone, Toned, plain};
use crate::duration;

/// A line each host.
pub fn list(domains: &[CustomDomainStatus], now: Time, palette: Palette) -> String {
    if domains.is_empty() {
        return "no custom domains\n".to_owned();
    }
    let rows = domains.iter().map(|domain| row(domain, now)).collect();
    table::render(&["Host", "Certificate for", "Good for", "Issuer"], rows, palette)
}

fn row(domain: &CustomDomainStatus, now: Time) -> Vec<Toned> {
    let left = days(domain.not_after.since(now));
    let tone = if domain.warning.is_empty() { Tone::Good } else { Tone::Bad };
    vec![plain(&domain.host), plain(domain.names.join(", ")), (left, tone), plain(&domain.issuer)]
}

/// Whole days; what is shorter is told as it is.
fn days(left: std::time::Duration) -> String {
    match left.as_secs() / 86_400 {
        0 => duration::format(left),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
