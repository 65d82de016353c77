//! How long requests took, in buckets.

use core::ops::AddAssign;
use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of the buckets, in milliseconds.
pub const LATENCY_MS: [u64; 12] = [1, 2, 4, 6, 8, 10, 20, 40, 50, 100, 500, 1000];

/// From requests' heads to their answers' last bytes.
#[derive(Debug, Default)]
pub struct Latency {
    /// One bucket beyond the last bound.
    buckets: [AtomicU64; LATENCY_MS.len() + 1],
    micros: AtomicU64,
}

/// The same at a moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Requests that took up to each of [`LATENCY_MS`], and longer.
    pub buckets: [u64; LATENCY_MS.len() + 1],
    /// How long they took together, in microseconds.
    pub micros: u64,
}

impl Latency {
    /// Adds one request.
    pub(crate) fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_MS.partition_point(|&bound| bound * 1000 < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was added so far.
    pub(crate) fn read(&self) -> Times {
        let buckets = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        Times { buckets, micros: self.micros.load(Ordering::Relaxed) }
    }
}

impl Times {
    /// How many requests there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl AddAssign for Times {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += more;
        }
        self.micros += other.micros;
    }
}
