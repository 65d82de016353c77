//! How long things took, in buckets.

use core::marker::PhantomData;
use core::ops::AddAssign;
use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

const MICROS: u64 = 1_000;
const MILLIS: u64 = 1_000_000;
/// One more than any scale has bounds.
const BUCKETS: usize = 13;

/// What is measured: the upper bounds of its buckets, in nanoseconds.
pub trait Scale {
    /// At most twelve, rising.
    const BOUNDS: &'static [u64];
}

/// From requests' heads to their answers' last bytes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Requests;

/// The part of that before an endpoint is asked.
#[derive(Debug, Default, Clone, Copy)]
pub struct Own;

/// From a host and path to a route.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lookups;

/// From an endpoint's change to its place in the table.
#[derive(Debug, Default, Clone, Copy)]
pub struct Arrivals;

/// Times of one kind.
#[derive(Debug, Default)]
pub struct Histogram<S> {
    /// One bucket beyond the last bound.
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
    scale: PhantomData<S>,
}

/// The same at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The upper bounds of the buckets but for the last, in nanoseconds.
    pub bounds: &'static [u64],
    /// What took up to each of the bounds, and longer; those beyond are 0.
    pub buckets: [u64; BUCKETS],
    /// How long it took together, in nanoseconds.
    pub nanos: u64,
}

impl Scale for Requests {
    const BOUNDS: &'static [u64] = &[
        MILLIS,
        2 * MILLIS,
        4 * MILLIS,
        6 * MILLIS,
        8 * MILLIS,
        10 * MILLIS,
        20 * MILLIS,
        40 * MILLIS,
        50 * MILLIS,
        100 * MILLIS,
        500 * MILLIS,
        1000 * MILLIS,
    ];
}

impl Scale for Own {
    const BOUNDS: &'static [u64] = &[
        20 * MICROS,
        50 * MICROS,
        100 * MICROS,
        200 * MICROS,
        500 * MICROS,
        MILLIS,
        2 * MILLIS,
        5 * MILLIS,
        10 * MILLIS,
        50 * MILLIS,
        100 * MILLIS,
        1000 * MILLIS,
    ];
}

impl Scale for Lookups {
    const BOUNDS: &'static [u64] = &[
        10 * MICROS,
        20 * MICROS,
        30 * MICROS,
        40 * MICROS,
        50 * MICROS,
        60 * MICROS,
        70 * MICROS,
        80 * MICROS,
        90 * MICROS,
        100 * MICROS,
    ];
}

impl Scale for Arrivals {
    const BOUNDS: &'static [u64] = &[
        100 * MICROS,
        200 * MICROS,
        500 * MICROS,
        MILLIS,
        1500 * MICROS,
        2 * MILLIS,
        2500 * MICROS,
        3 * MILLIS,
        3500 * MICROS,
        4 * MILLIS,
    ];
}

// === impl Histogram ===

impl<S: Scale> Histogram<S> {
    /// Adds one; only one thread does.
    pub(crate) fn add(&self, took: Duration) {
        let (bucket, nanos) = self.place(took);
        super::add(bucket, 1);
        super::add(&self.nanos, nanos);
    }

    /// Adds one, as others may at the same time.
    pub(crate) fn add_shared(&self, took: Duration) {
        let (bucket, nanos) = self.place(took);
        bucket.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn place(&self, took: Duration) -> (&AtomicU64, u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        (&self.buckets[S::BOUNDS.partition_point(|&bound| bound < nanos)], nanos)
    }

    /// What was added so far.
    pub(crate) fn read(&self) -> Times {
        let buckets = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        Times { bounds: S::BOUNDS, buckets, nanos: self.nanos.load(Ordering::Relaxed) }
    }
}

// === impl Times ===

impl Times {
    /// None yet.
    pub fn none<S: Scale>() -> Self {
        Self { bounds: S::BOUNDS, buckets: [0; BUCKETS], nanos: 0 }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl AddAssign for Times {
    fn add_assign(&mut self, other: Self) {
        debug_assert_eq!(self.bounds, other.bounds, "only times of one kind have a sum");
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += more;
        }
        self.nanos += other.nanos;
    }
}

/// What requests took.
impl Default for Times {
    fn default() -> Self {
        Self::none::<Requests>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_belongs_to_the_first_bound_that_it_does_not_exceed() {
        fn check<S: Scale + Default>() {
            let bounds = S::BOUNDS;
            assert!(bounds.is_sorted() && bounds.len() < BUCKETS);
            for (nth, bound) in bounds.iter().enumerate() {
                for (nanos, expected) in [(*bound, nth), (*bound + 1, nth + 1)] {
                    let histogram = Histogram::<S>::default();
                    histogram.add(Duration::from_nanos(nanos));
                    histogram.add_shared(Duration::from_nanos(nanos));
                    let times = histogram.read();
                    assert_eq!((times.buckets[expected], times.count()), (2, 2), "{nanos}");
                    assert_eq!(times.nanos, 2 * nanos);
                }
            }
        }
        check::<Requests>();
        check::<Own>();
        check::<Lookups>();
        check::<Arrivals>();
    }
}
