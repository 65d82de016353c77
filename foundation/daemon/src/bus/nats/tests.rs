//! What is said of a link, however much the client complains meanwhile.

use std::io::{self, Write};
use std::sync::Mutex;

use super::*;

const STILL: &str = "nats-connection-still-disconnected";
/// Long enough for a slow machine; the complaints come far more often.
const INTERVAL: Duration = Duration::from_millis(100);
const COMPLAINTS_PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    fn times(&self, words: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).matches(words).count()
    }
}

/// On this thread alone, where the test's tasks run as well.
fn listen() -> (Said, tracing::subscriber::DefaultGuard) {
    let said = Said::default();
    let writer = said.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (said, tracing::subscriber::set_default(subscriber))
}

fn complaint() -> Event {
    Event::ClientError(async_nats::ClientError::Other("refused".to_owned()))
}

#[tokio::test]
async fn a_lost_link_is_spoken_of_again_and_again_whatever_happens_meanwhile() {
    let (said, _guard) = listen();
    let (events, heard) = mpsc::unbounded_channel();
    let (told, link) = watch::channel(Link { is_up: true, ups: 1 });
    let following = tokio::spawn(follow(heard, told, INTERVAL));
    events.send(Event::Connected).unwrap();
    events.send(Event::Disconnected).unwrap();
    let began = Instant::now();
    while said.times(STILL) < 3 {
        assert!(began.elapsed() < PATIENCE, "it is silent");
        events.send(complaint()).unwrap();
        tokio::time::sleep(COMPLAINTS_PAUSE).await;
    }
    assert!(began.elapsed() >= 3 * INTERVAL, "it is said once in an interval");
    assert!(!link.borrow().is_up);
    events.send(Event::Connected).unwrap();
    while said.times("nats-connection-reconnected") == 0 {
        assert!(began.elapsed() < PATIENCE, "nobody hears of the link");
        tokio::time::sleep(COMPLAINTS_PAUSE).await;
    }
    let times = said.times(STILL);
    tokio::time::sleep(2 * INTERVAL).await;
    assert_eq!(said.times(STILL), times, "a link that is up is not lost");
    assert_eq!(*link.borrow(), Link { is_up: true, ups: 2 });
    drop(events);
    following.await.unwrap();
}
