//! Figures: the median of rounds, and the median of paired ratios beside a peer.

use serde_json::json;

/// What is measured.
pub(crate) struct Figure<'a> {
    pub(crate) bench: &'static str,
    pub(crate) case: &'a str,
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
}

impl Figure<'_> {
    /// Prints the median of these rounds.
    pub(crate) fn print(&self, rounds: &[f64]) {
        let line = json!({
            "bench": self.bench, "case": self.case, "metric": self.metric, "unit": self.unit,
            "value": rounded(median(rounds)), "rounds": rounds.len(),
        });
        println!("{line}");
    }

    /// Prints ours beside a peer's, round by round; more is better.
    pub(crate) fn print_beside(&self, ours: &[f64], peer: &str, theirs: &[f64]) {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
        self.print_ratios(&ratios, (ours, peer, theirs));
    }

    /// The same where less is better: the ratio is theirs over ours.
    pub(crate) fn print_below(&self, ours: &[f64], peer: &str, theirs: &[f64]) {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| b / a).collect();
        self.print_ratios(&ratios, (ours, peer, theirs));
    }

    fn print_ratios(&self, ratios: &[f64], (ours, peer, theirs): (&[f64], &str, &[f64])) {
        let line = json!({
            "bench": self.bench, "case": self.case, "metric": self.metric, "unit": self.unit,
            "value": rounded(median(ours)), "peer": peer, "peer_value": rounded(median(theirs)),
            "ratio": (median(ratios) * 100.0).round() / 100.0, "rounds": ours.len(),
        });
        println!("{line}");
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

fn rounded(value: f64) -> f64 {
    if value.abs() >= 100.0 { value.round() } else { (value * 100.0).round() / 100.0 }
}
