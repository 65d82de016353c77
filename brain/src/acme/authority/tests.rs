//! Orders with an authority in memory that fails as it is told to.

mod authority;

use std::sync::Arc;

use lattice_api::brain::Receptor as _;
use lattice_daemon::clock::SystemClock;
use lattice_daemon::tasks::Tasks;

use super::*;
use crate::store::fake::InMemory;
use authority::{DIRECTORY, Fault, Pretend};

const HOST: &str = "shop.test";

struct World {
    acme: Acme,
    pretend: Arc<Pretend>,
    brain: Handle,
    _tasks: Tasks,
}

impl World {
    async fn new(faults: &[Fault]) -> Self {
        let (tasks, clock) = (Tasks::default(), Arc::new(SystemClock));
        let config = crate::Config::new("/nonexistent");
        let reps = crate::testing::scout().reps;
        let brain = crate::start_with(config, InMemory::default(), reps, clock, &tasks).await;
        let brain = brain.unwrap();
        let pretend = Arc::new(Pretend::new(faults));
        let config = AcmeConfig {
            directory: DIRECTORY.to_owned(),
            email: Some("ops@example.com".to_owned()),
            roots: None,
        };
        let (line, responder) = (Arc::clone(&pretend) as _, Arc::clone(&pretend) as _);
        let mut acme = Acme::new(config, line, brain.clone(), responder);
        acme.looks = LOOKS.initial_delay(Duration::from_millis(1)).backoff(1.0);
        Self { acme, pretend, brain, _tasks: tasks }
    }

    async fn fails(&self) -> OrderFailure {
        let failure = self.acme.obtain(HOST).await.unwrap_err();
        assert!(self.pretend.shown().is_empty(), "nothing is answered afterwards");
        failure
    }
}

#[tokio::test]
async fn an_order_comes_to_a_certificate_for_the_host_with_its_key() {
    let world = World::new(&[]).await;
    let domain = world.acme.obtain(HOST).await.unwrap();
    assert_eq!(domain.host, HOST);
    assert!(world.pretend.shown().is_empty());
    let status = world.brain.put_custom_domain(domain).await.unwrap();
    assert_eq!(status.certificate.unwrap().names, [HOST], "it is what the brain takes");
    assert_eq!(world.pretend.contacts(), ["mailto:ops@example.com"]);
}

#[tokio::test]
async fn we_introduce_ourselves_once_however_many_orders_there_are() {
    let world = World::new(&[]).await;
    let orders = (0..4).map(|nth| {
        let acme = &world.acme;
        async move { acme.obtain(&format!("host-{nth}.test")).await.unwrap() }
    });
    futures_util::future::join_all(orders).await;
    world.acme.obtain(HOST).await.unwrap();
    assert_eq!(world.pretend.contacts().len(), 1);
    let kept = world.brain.shelf.holdings();
    assert!(kept.account(DIRECTORY).unwrap().credentials.contains("key_pkcs8"));
}

#[tokio::test]
async fn an_authority_is_told_once_where_it_may_write_to_from_now_on() {
    let mut world = World::new(&[]).await;
    let mut told = vec!["mailto:ops@example.com"];
    world.acme.obtain(HOST).await.unwrap();
    for (email, contact) in [(Some("new@example.com"), "mailto:new@example.com"), (None, "")] {
        world.acme.config.email = email.map(str::to_owned);
        // Who does not take it gives certificates all the same, and is told again.
        world.pretend.will(&[Fault::BadContact]);
        world.acme.obtain(HOST).await.unwrap();
        assert_eq!(world.pretend.contacts(), told);
        told.push(contact);
        for _ in 0..2 {
            world.acme.obtain(HOST).await.unwrap();
            assert_eq!(world.pretend.contacts(), told);
        }
    }
}

#[tokio::test]
async fn an_account_that_an_earlier_version_kept_is_ours() {
    let world = World::new(&[]).await;
    world.acme.obtain(HOST).await.unwrap();
    let kept = world.brain.shelf.holdings().account(DIRECTORY).unwrap().credentials.clone();
    let mut earlier: serde_json::Value = serde_json::from_str(&kept).unwrap();
    earlier.as_object_mut().unwrap().remove("email").unwrap();
    let (directory, credentials) = (DIRECTORY.to_owned(), earlier.to_string());
    let change = Change::Account(AcmeAccount { directory, credentials });
    world.brain.keep(Secret::Host(change), Patience::Wait).await.unwrap();
    world.acme.obtain(HOST).await.unwrap();
    assert_eq!(world.pretend.contacts(), ["mailto:ops@example.com"; 2], "it is told to be sure");
    assert_eq!(world.brain.shelf.holdings().account(DIRECTORY).unwrap().credentials, kept);
}

#[tokio::test]
async fn what_passes_is_survived() {
    for faults in [
        &[Fault::BadNonce, Fault::BadNonce][..],
        &[Fault::Unproved("http-01")],
        &[Fault::NotOffered("http-01")],
        &[Fault::Forgotten],
    ] {
        let world = World::new(&[]).await;
        world.acme.obtain("first.test").await.unwrap();
        world.pretend.will(faults);
        let domain = world.acme.obtain(HOST).await;
        assert!(domain.is_ok(), "{faults:?}: {domain:?}");
    }
}

#[tokio::test]
async fn a_failure_is_told_in_the_authoritys_words() {
    for (faults, words) in [
        (&[Fault::Limited(7_200)][..], "too many orders (rateLimited)"),
        (&[Fault::Unreadable], "JSON"),
        (
            &[Fault::Unproved("http-01"), Fault::Unproved("tls-alpn-01")],
            "http-01: nobody is there (connection); tls-alpn-01: nobody is there (connection)",
        ),
        (
            &[Fault::NotOffered("http-01"), Fault::NotOffered("tls-alpn-01")],
            "http-01: the authority does not offer it; tls-alpn-01: the authority does not offer it",
        ),
        (&[Fault::Refused], "we do not like this host (rejectedIdentifier)"),
        (&[Fault::BadCsr], "we do not like this request (badCSR)"),
    ] {
        let world = World::new(faults).await;
        let failure = world.fails().await;
        assert!(failure.problem.contains(words), "{words}: {failure:?}");
        let asked = matches!(faults[0], Fault::Limited(_)).then_some(Duration::from_secs(7_200));
        assert_eq!(failure.retry_after, asked, "{faults:?}");
    }
}

#[tokio::test]
async fn an_order_that_is_stuck_is_given_up() {
    for faults in [&[Fault::StuckProof, Fault::StuckProof][..], &[Fault::StuckOrder]] {
        let mut world = World::new(faults).await;
        world.acme.looks = world.acme.looks.timeout(Duration::from_millis(50));
        let failure = world.fails().await;
        assert!(failure.problem.contains("timed out"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_proof_that_is_stuck_or_judged_at_once_is_followed_by_one_of_the_other_kind() {
    for fault in [Fault::StuckProof, Fault::Judged] {
        let mut world = World::new(&[fault]).await;
        world.acme.looks = world.acme.looks.timeout(Duration::from_millis(500));
        let domain = world.acme.obtain(HOST).await;
        assert!(domain.is_ok(), "{domain:?}");
    }
    let world = World::new(&[Fault::Judged, Fault::Judged]).await;
    let failure = world.fails().await;
    let words = "http-01: nobody is there (connection); tls-alpn-01: nobody is there (connection)";
    assert_eq!(failure.problem, words);
}
