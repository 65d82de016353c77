//! A queue that is bounded by how many wait and by their bytes. Whoever finds it full loses what it
//! brings and waits for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

/// What is counted in bytes.
pub trait Weight {
    /// How many it counts as.
    fn bytes(&self) -> usize;
}

/// Where items come in.
#[derive(Debug)]
pub struct Sender<T> {
    items: mpsc::Sender<T>,
    waiting: Waiting,
}

/// Where they are taken.
#[derive(Debug)]
pub struct Receiver<T> {
    items: mpsc::Receiver<T>,
    waiting: Waiting,
}

/// The bytes of what waits.
#[derive(Debug, Clone)]
struct Waiting {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many wait, or too large ones.
    #[error("the queue is full")]
    Full,
    /// Nobody takes anything any more.
    #[error("nobody takes from the queue any more")]
    Closed,
}

/// A queue for so many items of so many bytes in all; an empty one takes an item of any size.
pub fn queue<T: Weight>(items_max: usize, bytes_max: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(items_max);
    let waiting = Waiting { bytes: Arc::default(), bytes_max };
    (Sender { items: sender, waiting: waiting.clone() }, Receiver { items: receiver, waiting })
}

// === impl Sender ===

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), waiting: self.waiting.clone() }
    }
}

impl<T: Weight> Sender<T> {
    /// Queues an item.
    pub fn send(&self, item: T) -> Result<(), Refused> {
        let place = self.items.try_reserve().map_err(|error| match error {
            TrySendError::Full(()) => Refused::Full,
            TrySendError::Closed(()) => Refused::Closed,
        })?;
        if !self.waiting.admits(item.bytes()) {
            return Err(Refused::Full);
        }
        place.send(item);
        Ok(())
    }

    /// Queues all items in their order, as far as they fit, with one reservation for all; how many
    /// were lost.
    pub fn send_all(&self, items: &mut dyn ExactSizeIterator<Item = T>) -> u64 {
        let fitting = items.len().min(self.items.capacity());
        let mut lost = 0;
        match self.items.try_reserve_many(fitting) {
            Ok(places) => {
                for (place, item) in places.zip(&mut *items) {
                    match self.waiting.admits(item.bytes()) {
                        true => place.send(item),
                        false => lost += 1,
                    }
                }
            }
            // Others were faster, or nobody takes anything any more.
            Err(_) => return items.map(|item| u64::from(self.send(item).is_err())).sum(),
        }
        lost + items.map(|_lost| 1).sum::<u64>()
    }

    /// Whether nobody takes anything any more.
    pub fn is_closed(&self) -> bool {
        self.items.is_closed()
    }
}

// === impl Receiver ===

impl<T: Weight> Receiver<T> {
    /// Waits for an item; none when nobody can send any more.
    pub async fn recv(&mut self) -> Option<T> {
        let item = self.items.recv().await?;
        self.waiting.left(item.bytes());
        Some(item)
    }

    /// Waits for items and appends at most `max`; none when nobody can send any more.
    pub async fn recv_many(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let before = into.len();
        let taken = self.items.recv_many(into, max).await;
        self.waiting.left(into[before..].iter().map(T::bytes).sum());
        taken
    }

    /// The same, for a thread of its own.
    pub fn blocking_recv_many(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let before = into.len();
        let taken = self.items.blocking_recv_many(into, max);
        self.waiting.left(into[before..].iter().map(T::bytes).sum());
        taken
    }

    /// An item that waits already.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let item = self.items.try_recv()?;
        self.waiting.left(item.bytes());
        Ok(item)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Takes no more; what waits can still be received.
    pub fn close(&mut self) {
        self.items.close();
    }
}

// === impl Waiting ===

impl Waiting {
    /// Whether so many bytes more may wait; if so, they do.
    fn admits(&self, bytes: usize) -> bool {
        let with_them = |waiting: usize| {
            let all = waiting + bytes;
            (waiting == 0 || all <= self.bytes_max).then_some(all)
        };
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_them).is_ok()
    }

    fn left(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for usize {
        fn bytes(&self) -> usize {
            *self
        }
    }

    #[test]
    fn it_is_full_by_number_and_by_bytes_and_has_space_for_what_was_taken() {
        let (sender, mut receiver) = queue::<usize>(3, 10);
        assert_eq!([4, 6, 1].map(|n| sender.send(n)), [Ok(()), Ok(()), Err(Refused::Full)]);
        assert_eq!(receiver.try_recv(), Ok(4));
        assert_eq!([3, 1, 0].map(|n| sender.send(n)), [Ok(()), Ok(()), Err(Refused::Full)]);
        assert_eq!([receiver.len(), receiver.try_recv().unwrap()], [3, 6]);
        let mut rest = Vec::new();
        assert_eq!((receiver.blocking_recv_many(&mut rest, 9), rest), (2, vec![3, 1]));
        assert!(receiver.is_empty());
    }

    #[test]
    fn an_item_larger_than_all_that_may_wait_passes_through_an_empty_queue() {
        let (sender, mut receiver) = queue::<usize>(3, 10);
        for _ in 0..2 {
            assert_eq!([11, 1].map(|n| sender.send(n)), [Ok(()), Err(Refused::Full)]);
            assert_eq!(receiver.try_recv(), Ok(11));
        }
    }

    #[test]
    fn of_many_the_ones_that_fit_arrive_in_order_and_the_others_are_counted() {
        let (sender, mut receiver) = queue::<usize>(4, 10);
        let send = |items: &[usize]| sender.send_all(&mut items.iter().copied());
        assert_eq!(send(&[]), 0);
        assert_eq!(send(&[5, 9, 1]), 1);
        assert_eq!(send(&[1, 1, 1, 1]), 2);
        assert_eq!(send(&[1, 1]), 2);
        let mut taken = Vec::new();
        receiver.blocking_recv_many(&mut taken, 9);
        assert_eq!(taken, [5, 1, 1, 1]);
        assert_eq!(send(&[10]), 0);
    }

    #[tokio::test]
    async fn what_waits_is_received_after_the_end_and_nothing_is_sent() {
        let (sender, mut receiver) = queue::<usize>(4, 10);
        assert_eq!(sender.clone().send_all(&mut vec![1, 2, 3].into_iter()), 0);
        receiver.close();
        assert!(sender.is_closed());
        assert_eq!(sender.send(1), Err(Refused::Closed));
        assert_eq!(sender.send_all(&mut vec![1, 2].into_iter()), 2);
        let mut taken = vec![9];
        assert_eq!((receiver.recv().await, receiver.recv_many(&mut taken, 1).await), (Some(1), 1));
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some(3), None));
        assert_eq!(receiver.waiting.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn whoever_sends_at_once_each_item_is_taken_or_lost() {
        let (sender, mut receiver) = queue::<usize>(8, 20);
        let (mut taken, lost) = (Vec::new(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (sender, lost) = (sender.clone(), &lost);
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let alone = usize::from(sender.send(2).is_err());
                        let many =
                            usize::try_from(sender.send_all(&mut [1, 2, 3].into_iter())).unwrap();
                        lost.fetch_add(alone + many, Ordering::Relaxed);
                    }
                });
            }
            drop(sender);
            while receiver.blocking_recv_many(&mut taken, 5) > 0 {}
        });
        assert_eq!(taken.len() + lost.into_inner(), 8000);
        assert_eq!(receiver.waiting.bytes.load(Ordering::Relaxed), 0);
    }
}
