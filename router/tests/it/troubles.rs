//! What an endpoint's way to fail means for the request and for those that come next (family S15).

use crate::support::{Endpoint, Wire, World};

/// How an endpoint fails that has read a request.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// It closes the connection in order.
    Closes,
    /// It resets it.
    Resets,
    /// It closes it within its answer's head.
    BreaksOff,
}

async fn failing(way: Way) -> Endpoint {
    Endpoint::new(move |mut wire: Wire| async move {
        if wire.request().await.is_none() {
            return;
        }
        match way {
            Way::Closes => {}
            Way::Resets => wire.reset(),
            Way::BreaksOff => wire.send("HTTP/1.1 200 OK\r\nContent-").await,
        }
    })
    .await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";
const GET_WITH_BODY: &str = "GET / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 1\r\n\r\nx";
const POST: &str = "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 1\r\n\r\nx";
const POST_EMPTY: &str = "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n";
const POST_WITH_KEY: &str =
    "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\nIdempotency-Key: k\r\n\r\n";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n";

/// Of four requests in turn to an endpoint that fails and one that does not: how many are answered
/// 502, and how often the first is asked: twice unless it is marked as failed, and again and again
/// where the other one's turn goes to second attempts.
#[tokio::test]
async fn what_a_failure_means_depends_on_the_way_and_on_the_request() {
    for (way, request, failed, asked) in [
        (Way::Closes, GET, 0, 3..=4),
        (Way::Closes, POST_WITH_KEY, 0, 3..=4),
        (Way::Closes, POST, 2, 2..=2),
        (Way::Closes, POST_EMPTY, 2, 2..=2),
        (Way::Closes, PUT, 2, 2..=2),
        (Way::Closes, GET_WITH_BODY, 2, 2..=2),
        (Way::Resets, GET, 1, 1..=1),
        (Way::Resets, POST_WITH_KEY, 1, 1..=1),
        (Way::Resets, POST, 1, 1..=1),
        (Way::BreaksOff, GET, 2, 2..=2),
        (Way::BreaksOff, POST, 2, 2..=2),
    ] {
        let world = World::with(|config| config.workers = 1).await;
        let (bad, good) = (failing(way).await, Endpoint::saying("ok").await);
        world.route("web.test", bad.addr).await;
        world.route("web.test", good.addr).await;
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(world.ask(request).await.status);
        }
        let seen = statuses.iter().filter(|&&status| status == 502).count();
        let about = format!("{way:?} {request:?}: {statuses:?}, asked {} times", bad.connections());
        assert_eq!(seen, failed, "{about}");
        assert!(asked.contains(&bad.connections()), "{about}");
    }
}
