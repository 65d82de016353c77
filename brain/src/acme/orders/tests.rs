use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use lattice_api::brain::Receptor as _;
use lattice_daemon::tasks::Tasks;
use lattice_model::{CertificateState, CustomDomainStatus};
use rcgen::{CertificateParams, KeyPair};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;
use crate::store::fake::InMemory;

const PATIENCE: Duration = Duration::from_secs(30);
const HOST: &str = "shop.test";
const DIRECTORY: &str = "https://ca.test/dir";

#[derive(Debug)]
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

/// Gives what it is told to give; the certificate is good for 90 days from its clock's time on.
struct Scripted {
    clock: Arc<ManualClock>,
    /// Failures to come, first; then certificates.
    failures: Mutex<VecDeque<OrderFailure>>,
    /// The hosts asked for, in order.
    asked: Mutex<Vec<String>>,
    at_once: Mutex<(usize, usize)>,
    /// An order waits for one of these.
    permits: Semaphore,
}

#[async_trait]
impl Authority for Scripted {
    async fn obtain(&self, host: &str) -> Result<CustomDomain, OrderFailure> {
        self.asked.lock().unwrap().push(host.to_owned());
        {
            let (now, most) = &mut *self.at_once.lock().unwrap();
            *now += 1;
            *most = (*most).max(*now);
        }
        self.permits.acquire().await.unwrap().forget();
        self.at_once.lock().unwrap().0 -= 1;
        match self.failures.lock().unwrap().pop_front() {
            Some(failure) => Err(failure),
            None => Ok(self.certificate(host)),
        }
    }
}

impl Scripted {
    fn certificate(&self, host: &str) -> CustomDomain {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let now = self.clock.now().0 / 1_000_000_000;
        params.not_before = OffsetDateTime::from_unix_timestamp(now).unwrap();
        params.not_after = params.not_before + time::Duration::days(90);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        CustomDomain { host: host.to_owned(), certificate, key: key.serialize_pem() }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

struct World {
    brain: Handle,
    authority: Arc<Scripted>,
    clock: Arc<ManualClock>,
    store: InMemory,
    tasks: Tasks,
}

impl World {
    async fn new(failures: &[OrderFailure]) -> Self {
        let clock = Arc::new(ManualClock(AtomicI64::new(Time::from_secs(1_780_272_000).0)));
        Self::on(InMemory::default(), clock, (DIRECTORY, failures)).await
    }

    async fn on(
        store: InMemory,
        clock: Arc<ManualClock>,
        (directory, failures): (&str, &[OrderFailure]),
    ) -> Self {
        let tasks = Tasks::default();
        let mut config = crate::Config::new("/nonexistent");
        config.orders_certificates = true;
        let reps = crate::testing::scout().reps;
        let time: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let brain = crate::start_with(config, store.clone(), reps, Arc::clone(&time), &tasks).await;
        let brain = brain.unwrap();
        let authority = Arc::new(Scripted {
            clock: Arc::clone(&clock),
            failures: Mutex::new(failures.iter().cloned().collect()),
            asked: Mutex::default(),
            at_once: Mutex::default(),
            permits: Semaphore::new(0),
        });
        let orders = Orders::new(brain.clone(), (Arc::clone(&authority) as _, directory), time);
        tasks.critical("orders", orders.run(tasks.shutdown().clone()));
        Self { brain, authority, clock, store, tasks }
    }

    /// The brain stops and another starts on what its store kept.
    async fn restart(self) -> Self {
        self.turn_to(DIRECTORY).await
    }

    /// As [`World::restart`], and it asks the authority with this directory.
    async fn turn_to(self, directory: &str) -> Self {
        assert!(self.tasks.end(PATIENCE).await);
        Self::on(self.store, self.clock, (directory, &[])).await
    }

    async fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(i64::try_from(time.as_nanos()).unwrap(), Ordering::SeqCst);
        // Whoever waits looks at the clock when something changes.
        let host = format!("at-{}.test", self.clock.now().0);
        let given = self.authority.certificate(&host);
        self.brain.put_custom_domain(given).await.unwrap();
        self.brain.order_certificate("stirs.test").await.unwrap();
        self.brain.remove_custom_domain("stirs.test").await.unwrap();
    }

    async fn until(
        &self,
        what: &str,
        level: impl Fn(&CustomDomainStatus) -> bool,
    ) -> CustomDomainStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.brain.custom_domains().await.unwrap();
            let found = found.into_iter().find(|status| status.host == HOST);
            if let Some(status) = found.as_ref().filter(|status| level(status)) {
                return status.clone();
            }
            assert!(Instant::now() < deadline, "{what}: {found:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_asked(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.authority.asked() < count {
            assert!(Instant::now() < deadline, "{count}: {:?}", self.authority.asked.lock());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn failure(retry_after: Option<u64>) -> OrderFailure {
    let retry_after = retry_after.map(Duration::from_secs);
    OrderFailure { problem: "too many orders (rateLimited)".to_owned(), retry_after }
}

fn is_over(status: &CustomDomainStatus) -> bool {
    !status.order.as_ref().unwrap().is_open
}

#[tokio::test]
async fn a_host_has_one_order_at_a_time_and_all_have_few() {
    let world = World::new(&[]).await;
    for nth in 0..9 {
        let host = format!("host-{nth}.test");
        world.brain.order_certificate(&host).await.unwrap();
        world.brain.order_certificate(&host).await.unwrap();
    }
    world.brain.order_certificate(HOST).await.unwrap();
    world.until_asked(ORDERS_MAX).await;
    world.authority.permits.add_permits(100);
    world.until_asked(10).await;
    world.until("it came", |status| status.state == CertificateState::Valid).await;
    let mut asked = world.authority.asked.lock().unwrap().clone();
    asked.sort();
    asked.dedup();
    assert_eq!((asked.len(), world.authority.asked()), (10, 10), "each once");
    assert_eq!(world.authority.at_once.lock().unwrap().1, ORDERS_MAX);
}

#[tokio::test]
async fn a_failure_is_told_and_ordered_again_only_when_its_time_has_come() {
    let world = World::new(&[failure(Some(3 * 3_600))]).await;
    world.authority.permits.add_permits(100);
    world.brain.order_certificate(HOST).await.unwrap();
    let failed = world.until("it failed", is_over).await;
    assert_eq!(failed.state, CertificateState::Failed);
    assert!(failed.warning.contains("too many orders (rateLimited)"), "{failed:?}");
    let rest = failed.order.unwrap().next_order_at.unwrap().since(world.clock.now());
    assert_eq!(rest, Duration::from_secs(3 * 3_600), "as the authority asked");

    let world = world.restart().await;
    world.authority.permits.add_permits(100);
    let kept = world.until("it is kept", is_over).await;
    assert_eq!(kept.order.unwrap().failures, 1, "a restart forgets no failure");
    world.pass(Duration::from_secs(2 * 3_600)).await;
    let early = world.until("it rests", is_over).await;
    assert_eq!(early.state, CertificateState::Failed);
    world.pass(Duration::from_secs(2 * 3_600)).await;
    world.until("it came", |status| status.state == CertificateState::Valid).await;
}

#[tokio::test]
async fn an_owner_who_asks_again_does_not_wait() {
    let world = World::new(&[failure(None)]).await;
    world.authority.permits.add_permits(100);
    world.brain.order_certificate(HOST).await.unwrap();
    world.until("it failed", is_over).await;
    world.brain.order_certificate(HOST).await.unwrap();
    let came = world.until("it came", |status| status.state == CertificateState::Valid).await;
    assert_eq!((came.order.unwrap().failures, came.warning.as_str()), (0, ""));
}

#[tokio::test]
async fn an_owner_who_asks_again_waits_as_long_as_the_authority_wants() {
    let world = World::new(&[failure(Some(3 * 3_600)), failure(Some(3 * 3_600))]).await;
    world.brain.order_certificate(HOST).await.unwrap();
    world.until_asked(1).await;
    // Whoever asks while the order is under way gets none of their own then.
    world.pass(Duration::from_secs(1)).await;
    world.brain.order_certificate(HOST).await.unwrap();
    world.authority.permits.add_permits(100);
    let failed = world.until("it failed", is_over).await;
    let again = world.brain.order_certificate(HOST).await.unwrap();
    assert_eq!(again, failed, "and it says why");
    assert!(again.warning.contains("the next order is in 180 minutes"), "{}", again.warning);
    let world = world.restart().await;
    let again = world.brain.order_certificate(HOST).await.unwrap();
    assert_eq!(again, failed);
    assert_eq!(world.authority.asked(), 0);
    world.authority.permits.add_permits(100);
    world.pass(Duration::from_secs(3 * 3_600)).await;
    world.until("it came", |status| status.state == CertificateState::Valid).await;
}

#[tokio::test]
async fn another_authority_is_asked_for_all_that_one_was_asked_for_before() {
    let world = World::new(&[]).await;
    world.authority.permits.add_permits(100);
    world.brain.order_certificate(HOST).await.unwrap();
    let came = |status: &CustomDomainStatus| status.certificate.is_some() && is_over(status);
    let first = world.until("it came", came).await;

    let world = world.restart().await;
    assert_eq!(world.until("it is kept", came).await, first);
    let world = world.turn_to("https://other.test/dir").await;
    world.until_asked(1).await;
    let meanwhile = world.until("it is ordered", |status| !is_over(status)).await;
    assert_eq!(
        (meanwhile.state, &meanwhile.certificate),
        (CertificateState::Valid, &first.certificate)
    );
    world.authority.permits.add_permits(100);
    world.until("another came", |s| came(s) && world.authority.asked() == 1).await;
    let world = world.turn_to("https://other.test/dir").await;
    world.until("it is kept", came).await;
    world.brain.order_certificate("second.test").await.unwrap();
    world.until_asked(1).await;
    assert_eq!(*world.authority.asked.lock().unwrap(), ["second.test"], "once is enough");
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_shown_until_then() {
    let world = World::new(&[]).await;
    world.authority.permits.add_permits(100);
    let followed = world.brain.follow_custom_domains();
    let shown = || followed.borrow()[HOST].domain.clone();
    world.brain.order_certificate(HOST).await.unwrap();
    let first = world.until("it came", |status| status.state == CertificateState::Valid).await;
    let before = shown();
    world.authority.failures.lock().unwrap().push_back(failure(None));
    world.pass(Duration::from_secs(61 * 86_400)).await;
    let failing = world.until("renewal failed", |s| !s.warning.is_empty() && is_over(s)).await;
    assert_eq!(failing.state, CertificateState::Valid);
    assert_eq!(shown(), before, "what is good is shown");
    world.pass(Duration::from_secs(3_600)).await;
    let renewed = world.until("it is renewed", |s| s.certificate != first.certificate).await;
    assert_eq!((renewed.state, renewed.warning.as_str()), (CertificateState::Valid, ""));
    assert_ne!(shown(), before);
}

#[tokio::test]
async fn what_was_removed_while_it_was_ordered_stays_removed() {
    let world = World::new(&[]).await;
    world.brain.order_certificate(HOST).await.unwrap();
    world.until_asked(1).await;
    world.brain.remove_custom_domain(HOST).await.unwrap();
    world.brain.order_certificate("other.test").await.unwrap();
    world.authority.permits.add_permits(100);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let kept = world.brain.custom_domains().await.unwrap();
        assert!(kept.iter().all(|status| status.host == "other.test"), "{kept:?}");
        if kept[0].state == CertificateState::Valid
            && world.authority.at_once.lock().unwrap().0 == 0
        {
            break;
        }
        assert!(Instant::now() < deadline, "{kept:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn only_whole_hosts_are_ordered() {
    let world = World::new(&[]).await;
    world.authority.permits.add_permits(100);
    let status = world.brain.order_certificate(&HOST.to_ascii_uppercase()).await.unwrap();
    assert_eq!(status.host, HOST);
    for (host, words) in [("*.shop.test", "by DNS only"), ("shop", "is not a host")] {
        let refused = world.brain.order_certificate(host).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}
