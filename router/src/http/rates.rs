//! Requests a second as moving averages over 1, 5 and 15 minutes. Pure.

use std::time::Duration;

const MINUTES: [f64; 3] = [1.0, 5.0, 15.0];

/// The averages; nothing before the second look.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    seen: Option<u64>,
    averages: Option<[f64; 3]>,
}

impl Rates {
    /// Notes how many requests there have been, so long after the last look.
    pub(crate) fn tick(&mut self, requests: u64, after: Duration) {
        let Some(before) = self.seen.replace(requests) else { return };
        #[allow(clippy::cast_precision_loss, reason = "an average needs no more")]
        let rate = requests.saturating_sub(before) as f64 / after.as_secs_f64();
        self.averages = Some(match self.averages {
            None => [rate; 3],
            Some(mut averages) => {
                for (average, minutes) in averages.iter_mut().zip(MINUTES) {
                    let weight = 1.0 - (-after.as_secs_f64() / 60.0 / minutes).exp();
                    *average += weight * (rate - *average);
                }
                averages
            }
        });
    }

    /// Requests a second over 1, 5 and 15 minutes.
    pub(crate) fn per_second(&self) -> [f64; 3] {
        self.averages.unwrap_or_default()
    }
}

#[test]
fn averages_follow_the_rate_each_at_its_pace() {
    let mut rates = Rates::default();
    let tick = Duration::from_secs(5);
    rates.tick(100, tick);
    assert_eq!(rates.per_second(), [0.0; 3]);
    rates.tick(150, tick);
    assert_eq!(rates.per_second(), [10.0; 3]);
    for _ in 0..12 {
        rates.tick(150, tick);
    }
    let [one, five, fifteen] = rates.per_second();
    assert!((3.6..3.8).contains(&one), "a minute's silence leaves 1/e: {one}");
    assert!(one < five && five < fifteen && fifteen < 10.0);
}
