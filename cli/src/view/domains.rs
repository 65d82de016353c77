//! `ltc domain list`: hosts of people's own and their certificates.

use lattice_model::{CertificateState, CustomDomainStatus, Time};

use super::palette::Palette;
use super::table::{self, Tone, Toned, plain};
use crate::duration;

/// A line each host.
pub fn list(domains: &[CustomDomainStatus], now: Time, palette: Palette) -> String {
    if domains.is_empty() {
        return "no custom domains\n".to_owned();
    }
    let rows = domains.iter().map(|domain| row(domain, now)).collect();
    table::render(&["Host", "State", "Certificate for", "Good for", "Issuer"], rows, palette)
}

fn row(domain: &CustomDomainStatus, now: Time) -> Vec<Toned> {
    let tone = match domain.state {
        CertificateState::Pending => Tone::Waiting,
        CertificateState::Valid if domain.warning.is_empty() => Tone::Good,
        CertificateState::Valid | CertificateState::Failed => Tone::Bad,
    };
    let state = (domain.state.name().to_owned(), tone);
    let facts = match &domain.certificate {
        None => [plain(""), plain(""), plain("")],
        Some(facts) => {
            let left = days(facts.not_after.since(now));
            [plain(facts.names.join(", ")), (left, tone), plain(&facts.issuer)]
        }
    };
    [plain(&domain.host), state].into_iter().chain(facts).collect()
}

/// Whole days; what is shorter is told as it is.
fn days(left: std::time::Duration) -> String {
    match left.as_secs() / 86_400 {
        0 => duration::format(std::time::Duration::from_secs(left.as_secs())),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
