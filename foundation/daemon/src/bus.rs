//! Carries small messages between roles by subject: within a process ([`InProcessBus`]), or over
//! NATS between machines ([`nats::NatsBus`]).

pub mod nats;

use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tracing::warn;

/// The most messages that wait for one subscriber; more are dropped and counted for it.
pub const PENDING_MAX: usize = 65_536;
const LOST: &str = "messages of the bus were lost, because their reader was slow";

/// A message and its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is about, e.g. `router.register`.
    pub subject: Arc<str>,
    /// What it says.
    pub payload: Arc<[u8]>,
    /// The subject that an answer goes to, where one is asked for.
    pub reply: Option<Arc<str>>,
}

/// How the bus is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Messages pass.
    pub is_up: bool,
    /// How often that began; what was said while it was down is lost.
    pub ups: u64,
}

/// Publish and subscribe. Delivery is at most once; listeners must be able to resync.
pub trait Bus: Send + Sync {
    /// Tells every present subscriber of the subject.
    fn publish(&self, subject: &str, payload: &[u8]);
    /// Hears, from now on, a subject, or all under a prefix that ends in `.*`.
    fn subscribe(&self, subject: &str) -> Subscription;
    /// How the bus is reached, now and as that changes. A bus of one process is always up.
    fn link(&self) -> watch::Receiver<Link> {
        watch::channel(Link { is_up: true, ups: 1 }).1
    }
}

/// One subscriber's end.
#[derive(Debug)]
pub struct Subscription {
    subject: String,
    messages: mpsc::Receiver<Message>,
    dropped: Arc<std::sync::atomic::AtomicU64>,
    /// How many of these were warned of.
    warned: u64,
}

/// The bus of a single process.
#[derive(Debug, Default)]
pub struct InProcessBus {
    subscribers: Mutex<Vec<Subscriber>>,
}

#[derive(Debug)]
struct Subscriber {
    pattern: String,
    messages: mpsc::Sender<Message>,
    dropped: Arc<std::sync::atomic::AtomicU64>,
}

// === impl Subscription ===

impl Subscription {
    /// Both ends of a queue of so many messages.
    fn new(subject: &str, pending_max: usize) -> (mpsc::Sender<Message>, Self) {
        let (sender, messages) = mpsc::channel(pending_max);
        let (subject, dropped) = (subject.to_owned(), Arc::default());
        (sender, Self { subject, messages, dropped, warned: 0 })
    }

    /// The next message; `None` when the bus is gone. Warns of those that were dropped meanwhile.
    pub async fn next(&mut self) -> Option<Message> {
        let message = self.messages.recv().await;
        let dropped = self.dropped();
        if dropped > self.warned {
            warn!(subject = self.subject, messages = dropped - self.warned, "{LOST}");
            self.warned = dropped;
        }
        message
    }

    /// How many messages wait to be read.
    pub fn waiting(&self) -> usize {
        self.messages.len()
    }

    /// How many messages were dropped because this subscriber was slow.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(std::sync::atomic::Ordering::Relaxed)
    }
}

// === impl InProcessBus ===

impl Bus for InProcessBus {
    fn publish(&self, subject: &str, payload: &[u8]) {
        let message = Message { subject: subject.into(), payload: payload.into(), reply: None };
        let mut subscribers = self.subscribers.lock().expect("no holder panics");
        subscribers.retain(|subscriber| subscriber.offer(&message));
    }

    fn subscribe(&self, subject: &str) -> Subscription {
        let (sender, subscription) = Subscription::new(subject, PENDING_MAX);
        self.subscribers.lock().expect("no holder panics").push(Subscriber {
            pattern: subject.to_owned(),
            messages: sender,
            dropped: Arc::clone(&subscription.dropped),
        });
        subscription
    }
}

impl Subscriber {
    /// Gives the message if it is for this one; false when the subscriber is gone.
    fn offer(&self, message: &Message) -> bool {
        if !matches(&self.pattern, &message.subject) {
            return !self.messages.is_closed();
        }
        match self.messages.try_send(message.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

fn matches(pattern: &str, subject: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => subject.strip_prefix(prefix).is_some_and(|rest| !rest.contains('.')),
        None => pattern == subject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_subscriber_hears_its_subject_and_no_other() {
        let bus = InProcessBus::default();
        let mut all = bus.subscribe("router.*");
        let mut one = bus.subscribe("router.register");
        bus.publish("router.unregister", b"a");
        bus.publish("router.register", b"b");
        bus.publish("other.register", b"c");
        assert_eq!(&*all.next().await.unwrap().payload, b"a");
        assert_eq!(&*all.next().await.unwrap().payload, b"b");
        assert_eq!(&*one.next().await.unwrap().payload, b"b");
    }

    #[tokio::test]
    async fn a_slow_subscriber_loses_its_own_messages_and_is_told() {
        let bus = InProcessBus::default();
        let mut slow = bus.subscribe("s");
        for _ in 0..PENDING_MAX + 3 {
            bus.publish("s", b"");
        }
        assert_eq!(slow.dropped(), 3);
        slow.next().await.unwrap();
        assert_eq!(slow.warned, 3, "it is said once");
    }
}
