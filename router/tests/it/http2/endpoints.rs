//! HTTP/2 to endpoints that registered for it: many requests on one connection, each as it would
//! have been in HTTP/1, and what becomes of those that go wrong.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::{self, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use lattice_model::wire::registration::Registration;
use lattice_router::{BackendTls, Config};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::client::{Client, send_all, whole};
use crate::support::{Endpoint, Wire, World, eventually, registration};
use crate::tls::{Authority, server as proving};

type Taken = (Request<RecvStream>, SendResponse<Bytes>);
type Carrier = Connection<TlsStream<TcpStream>, Bytes>;

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

/// A router with one thread that believes the authority, in clear in front.
async fn world(authority: &Authority, change: impl FnOnce(&mut Config)) -> World {
    lattice_daemon::install_crypto();
    let tls = BackendTls::new(&[authority.der()], None, true).unwrap();
    World::with(|config| {
        config.backend_tls = Some(tls);
        config.workers = 1;
        change(config);
    })
    .await
}

fn told(addr: SocketAddr) -> Registration {
    Registration {
        tls_port: addr.port(),
        protocol: "http2".to_owned(),
        server_cert_domain_san: "guid-0".to_owned(),
        ..registration("web.test", addr)
    }
}

fn offering(authority: &Authority, protocols: &[&[u8]]) -> ServerConfig {
    let mut tls = proving(&authority.leaf(&["guid-0"]), None);
    tls.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    tls
}

/// An endpoint that speaks HTTP/2 alone; each connection goes to the script.
async fn speaking<F, R>(authority: &Authority, script: F) -> Endpoint
where
    F: Fn(server::Builder, TlsStream<TcpStream>) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Endpoint::secured(offering(authority, &[b"h2"]), move |wire: Wire<_>| {
        script(server::Builder::new(), wire.into_stream())
    })
    .await
}

/// An endpoint that gives each request to the script, all at once.
async fn answering<F, R>(authority: &Authority, script: F) -> Endpoint
where
    F: Fn(Taken) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    speaking(authority, move |builder, stream| {
        let script = script.clone();
        async move { serve(builder.handshake(stream).await.unwrap(), script).await }
    })
    .await
}

async fn serve<F, R>(mut carrier: Carrier, script: F)
where
    F: Fn(Taken) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    while let Some(Ok(taken)) = carrier.accept().await {
        tokio::spawn(script(taken));
    }
}

/// Says what it was asked, as text: version, method, target, host, some lines, body and trailers.
async fn echo((request, mut respond): Taken) {
    let (head, body) = request.into_parts();
    let shown = ["x-a", "te", "connection", "transfer-encoding", "content-length", "host"];
    let lines: String = shown
        .iter()
        .filter_map(|name| Some(format!(" {name}={}", head.headers.get(*name)?.to_str().unwrap())))
        .collect();
    let (body, trailers) = whole(body).await.unwrap();
    let trailers: String =
        trailers.iter().map(|(n, v)| format!(" +{n}={}", v.to_str().unwrap())).collect();
    let text = format!(
        "{:?} {} {}{lines} [{}]{trailers}",
        head.version,
        head.method,
        head.uri,
        String::from_utf8_lossy(&body)
    );
    let mut to = respond.send_response(Response::new(()), false).unwrap();
    to.send_data(text.into(), true).unwrap();
}

fn say(mut respond: SendResponse<Bytes>, body: &'static str) {
    let mut to = respond.send_response(Response::new(()), false).unwrap();
    to.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
}

#[tokio::test]
async fn requests_share_a_connection_and_say_what_they_say_in_http_1() {
    let authority = Authority::new("one");
    let world = world(&authority, |_| ()).await;
    let endpoint = answering(&authority, echo).await;
    world.register(&told(endpoint.addr)).await;
    for (asks, expected) in [
        (
            "GET /a?b=c HTTP/1.1\r\nHost: web.test\r\nX-A: 1\r\n\r\n",
            "HTTP/2.0 GET https://web.test/a?b=c x-a=1 []",
        ),
        (
            "GET http://web.test HTTP/1.1\r\nHost: web.test\r\nTE: trailers, gzip\r\n\r\n",
            "HTTP/2.0 GET https://web.test/ te=trailers []",
        ),
        (
            "POST /p HTTP/1.1\r\nHost: web.test\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/2.0 POST https://web.test/p content-length=5 [hello]",
        ),
        (
            "POST /p HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nhel\r\n2\r\nlo\r\n0\r\nX-T: 9\r\n\r\n",
            "HTTP/2.0 POST https://web.test/p [hello] +x-t=9",
        ),
        (
            "POST /e HTTP/1.1\r\nHost: web.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\
             \r\nabc",
            "HTTP/2.0 POST https://web.test/e content-length=3 [abc]",
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: web.test\r\n\r\n", "HTTP/2.0 OPTIONS https://web.test* []"),
    ] {
        let mut client = world.client().await;
        client.send(asks).await;
        if asks.contains("Expect") {
            assert_eq!(client.head().await.as_deref(), Some("HTTP/1.1 100 Continue\r\n\r\n"));
        }
        assert_eq!(client.response().await.text(), expected, "{asks:?}");
    }
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn answers_are_told_with_all_that_they_have() {
    async fn script((request, mut respond): Taken) {
        let status = |status: u16| Response::builder().status(status);
        match request.uri().path() {
            "/early" => {
                let hints = status(103).header("link", "</a>").body(()).unwrap();
                respond.send_informational(hints).unwrap();
                say(respond, "late");
            }
            "/none" => {
                respond.send_response(status(204).body(()).unwrap(), true).unwrap();
            }
            "/empty" => {
                respond.send_response(status(200).body(()).unwrap(), true).unwrap();
            }
            "/length" => {
                let head = status(200).header("content-length", "3").body(()).unwrap();
                let mut to = respond.send_response(head, false).unwrap();
                to.send_data(Bytes::from_static(b"abc"), true).unwrap();
            }
            _ => {
                let mut to = respond.send_response(status(299).body(()).unwrap(), false).unwrap();
                to.send_data(Bytes::from_static(b"abc"), false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                to.send_trailers(trailers).unwrap();
            }
        }
    }
    let authority = Authority::new("one");
    let world = world(&authority, |_| ()).await;
    let endpoint = answering(&authority, script).await;
    world.register(&told(endpoint.addr)).await;
    let mut client = world.client().await;
    client.send("GET /early HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    let early = client.head().await.unwrap();
    assert!(early.starts_with("HTTP/1.1 103 Early Hints\r\n") && early.contains("</a>"), "{early}");
    assert_eq!(client.response().await.text(), "late");
    for (path, status, length, body) in [
        ("/none", 204, None, ""),
        ("/empty", 200, Some("0"), ""),
        ("/length", 200, Some("3"), "abc"),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: web.test\r\n\r\n")).await;
        let answer = client.response().await;
        let length_told = answer.header("content-length");
        assert_eq!((answer.status, length_told.as_deref()), (status, length), "{path}");
        assert_eq!(answer.text(), body, "{path}");
    }
    client.send("HEAD /length HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    let head = client.response_to("HEAD").await;
    assert_eq!((head.status, head.header("content-length").as_deref()), (200, Some("3")));
    client.send("GET /trailers HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 299 ") && head.contains("chunked"), "{head}");
    let body = client.take(b"3\r\nabc\r\n0\r\ngrpc-status: 0\r\n\r\n".len()).await;
    assert_eq!(String::from_utf8_lossy(&body), "3\r\nabc\r\n0\r\ngrpc-status: 0\r\n\r\n");
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn a_call_of_grpc_comes_through_from_end_to_end() {
    async fn script((request, mut respond): Taken) {
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        let mut body = request.into_body();
        let mut to = respond.send_response(Response::new(()), false).unwrap();
        // Each message is answered before the next one comes.
        while let Some(message) = body.data().await.transpose().unwrap() {
            body.flow_control().release_capacity(message.len()).unwrap();
            to.send_data(message, false).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("7"));
        to.send_trailers(trailers).unwrap();
    }
    let everyone = |config: &mut Config| {
        config.backend_tls = Some(BackendTls::new(&[], None, false).unwrap());
    };
    let (world, authority) = super::world(everyone).await;
    let endpoint = answering(&authority, script).await;
    world.register(&told(endpoint.addr)).await;
    let mut client = Client::connect(&world, &authority).await;
    let call = Request::post("https://web.test/service/method")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (answer, mut to) = client.begin(call, false).await.unwrap();
    send_all(&mut to, b"one", false).await.unwrap();
    let mut body = answer.await.unwrap().into_body();
    for message in ["two", "three"] {
        let got = body.data().await.unwrap().unwrap();
        body.flow_control().release_capacity(got.len()).unwrap();
        assert!(["one", "two"].contains(&std::str::from_utf8(&got).unwrap()));
        send_all(&mut to, message.as_bytes(), message == "three").await.unwrap();
    }
    let (rest, trailers) = whole(body).await.unwrap();
    assert_eq!((&*rest, trailers["grpc-status"].as_bytes()), (&b"three"[..], &b"7"[..]));
}

#[tokio::test]
async fn what_the_endpoint_does_not_take_goes_in_http_1() {
    // Who agrees to HTTP/1 alone; who would speak both, and is asked for an upgrade, or for what
    // HTTP/2 has no words for; who is told by the configuration, or by his registration.
    let upgrade = "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let odd = "GET /<a> HTTP/1.1\r\nHost: web.test\r\n\r\n";
    let plain = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";
    for (offers, offered, protocol, asks) in [
        (&BOTH[1..], true, "http2", plain),
        (&[][..], true, "http2", plain),
        (BOTH, true, "http2", upgrade),
        (BOTH, true, "http2", odd),
        (BOTH, false, "http2", plain),
        (BOTH, true, "http1", plain),
        (BOTH, true, "", plain),
    ] {
        let authority = Authority::new("one");
        let world = world(&authority, |config| config.http2_to_endpoints = offered).await;
        let endpoint = Endpoint::secured(offering(&authority, offers), |mut wire| async move {
            while let Some(request) = wire.request().await {
                wire.answer(&request.head).await;
            }
        })
        .await;
        world
            .register(&Registration { protocol: protocol.to_owned(), ..told(endpoint.addr) })
            .await;
        for _ in 0..2 {
            let answer = world.ask(asks).await;
            let line = asks.split("\r\n").next().unwrap();
            assert!(answer.text().starts_with(line), "{protocol} {asks}: {}", answer.text());
        }
        assert_eq!(endpoint.connections(), 1, "{offers:?} {offered} {protocol} {asks}");
    }
}

#[tokio::test]
async fn an_endpoint_in_clear_gets_http_1_whatever_it_registered_for() {
    let world = world(&Authority::new("one"), |_| ()).await;
    let endpoint = Endpoint::echoing_heads().await;
    let told =
        Registration { protocol: "http2".to_owned(), ..registration("web.test", endpoint.addr) };
    world.register(&told).await;
    assert!(world.get("web.test", "/a").await.text().starts_with("GET /a HTTP/1.1"));
}

#[tokio::test]
async fn no_more_requests_at_once_than_the_endpoint_takes() {
    let authority = Authority::new("one");
    let world = world(&authority, |_| ()).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (opens, most) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = most.clone();
    let endpoint = speaking(&authority, move |mut builder, stream| {
        let (opens, counted) = (opens.clone(), counted.clone());
        async move {
            let carrier = builder.max_concurrent_streams(2).handshake(stream).await.unwrap();
            serve(carrier, move |(request, respond): Taken| {
                let (opens, counted) = (opens.clone(), counted.clone());
                async move {
                    if request.uri().path() == "/held" {
                        counted.fetch_add(1, Ordering::Relaxed);
                        let _ = opens.acquire().await;
                    }
                    say(respond, "done");
                }
            })
            .await;
        }
    })
    .await;
    world.register(&told(endpoint.addr)).await;
    // By then the endpoint's settings are known.
    assert_eq!(world.get("web.test", "/").await.text(), "done");
    let held: Vec<_> = (0..5).map(|_| world.get("web.test", "/held")).collect();
    let open = async {
        eventually("all are asked", || most.load(Ordering::Relaxed) == 5).await;
        gate.close();
    };
    let (answers, ()) = futures_util::join!(futures_util::future::join_all(held), open);
    assert!(answers.iter().all(|answer| answer.text() == "done"));
    assert!(endpoint.connections() >= 3, "at most two on each");
}

/// What an endpoint does to its requests, one after the other.
#[derive(Clone, Copy)]
enum Does {
    Answers,
    /// Says that it did not begin with it.
    Refuses,
    /// The same of all requests from here on.
    Leaves,
    /// Ends it with an error of its own.
    Fails,
    /// Reads its body, and then says that it did not begin with it.
    RefusesLate,
    /// Closes the connection.
    HangsUp,
    /// Begins an answer, and fails.
    BreaksOff,
}

async fn doing(authority: &Authority, deeds: &'static [Does]) -> Endpoint {
    let next = Arc::new(AtomicUsize::new(0));
    speaking(authority, move |builder, stream| {
        let next = next.clone();
        async move {
            let mut carrier: Carrier = builder.handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = carrier.accept().await {
                match deeds[next.fetch_add(1, Ordering::Relaxed)] {
                    Does::Answers => say(respond, "ok"),
                    Does::Refuses => respond.send_reset(Reason::REFUSED_STREAM),
                    Does::Fails => respond.send_reset(Reason::INTERNAL_ERROR),
                    Does::HangsUp => return,
                    Does::Leaves => {
                        respond.send_reset(Reason::REFUSED_STREAM);
                        carrier.graceful_shutdown();
                    }
                    Does::RefusesLate => {
                        tokio::spawn(async move {
                            whole(request.into_body()).await.unwrap();
                            respond.send_reset(Reason::REFUSED_STREAM);
                        });
                    }
                    Does::BreaksOff => {
                        let mut to = respond.send_response(Response::new(()), false).unwrap();
                        to.send_data(Bytes::from_static(b"half"), false).unwrap();
                        tokio::spawn(async move {
                            tokio::task::yield_now().await;
                            to.send_reset(Reason::INTERNAL_ERROR);
                        });
                    }
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_the_endpoint_did_not_begin_with_is_asked_again() {
    use Does::{Answers, Fails, HangsUp, Leaves, Refuses, RefusesLate};
    let get = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\n\r\nab";
    let bare = "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 0\r\n\r\n";
    for (about, deeds, asks, status) in [
        ("refused", &[Answers, Refuses, Answers][..], get, 200),
        ("refused, with nothing to repeat", &[Answers, Refuses, Answers], bare, 200),
        ("leaving", &[Answers, Leaves, Answers], get, 200),
        ("closed, what may be repeated", &[Answers, HangsUp, Answers], get, 200),
        ("closed, what may not", &[Answers, HangsUp, Answers], bare, 502),
        ("failed", &[Answers, Fails, Answers], get, 502),
        ("refused with its body", &[Answers, RefusesLate, Answers], post, 502),
    ] {
        let authority = Authority::new("one");
        let world = world(&authority, |_| ()).await;
        let endpoint = doing(&authority, deeds).await;
        world.register(&told(endpoint.addr)).await;
        assert_eq!(world.get("web.test", "/").await.text(), "ok", "{about}");
        let answer = world.ask(asks).await;
        assert_eq!(answer.status, status, "{about}: {}", answer.text());
    }
}

#[tokio::test]
async fn half_an_answer_does_not_look_like_a_whole_one() {
    let authority = Authority::new("one");
    let world = world(&authority, |_| ()).await;
    let endpoint = doing(&authority, &[Does::BreaksOff, Does::Answers]).await;
    world.register(&told(endpoint.addr)).await;
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(world.get("web.test", "/").await.text(), "ok");
    assert_eq!(endpoint.connections(), 1, "the others on the connection go on");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_back() {
    let authority = Authority::new("one");
    let world = world(&authority, |_| ()).await;
    let taken_back = Arc::new(AtomicUsize::new(0));
    let counted = taken_back.clone();
    let endpoint = answering(&authority, move |(request, mut respond): Taken| {
        let counted = counted.clone();
        async move {
            if request.uri().path() == "/held" {
                let reason = poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
                assert_eq!(reason, Reason::CANCEL);
                counted.fetch_add(1, Ordering::Relaxed);
            } else {
                say(respond, "ok");
            }
        }
    })
    .await;
    world.register(&told(endpoint.addr)).await;
    assert_eq!(world.get("web.test", "/").await.text(), "ok");
    let mut client = world.client().await;
    client.send("GET /held HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    assert_eq!(world.get("web.test", "/").await.text(), "ok");
    drop(client);
    eventually("the request is taken back", || taken_back.load(Ordering::Relaxed) == 1).await;
    assert_eq!(endpoint.connections(), 1);
}

#[tokio::test]
async fn connections_to_who_is_gone_are_closed() {
    let authority = Authority::new("one");
    let world = world(&authority, |_| ()).await;
    let endpoint = answering(&authority, echo).await;
    world.register(&told(endpoint.addr)).await;
    assert_eq!(world.get("web.test", "/").await.status, 200);
    assert_eq!(endpoint.ends(), 0);
    world.unregister("web.test", endpoint.addr).await;
    eventually("it is closed", || endpoint.ends() == 1).await;
}

#[tokio::test]
async fn large_bodies_go_both_ways_as_fast_as_they_are_taken() {
    async fn script((request, mut respond): Taken) {
        let mut body = request.into_body();
        let mut to = respond.send_response(Response::new(()), false).unwrap();
        while let Some(data) = body.data().await.transpose().unwrap() {
            send_all(&mut to, &data, false).await.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        to.send_data(Bytes::new(), true).unwrap();
    }
    let authority = Authority::new("one");
    let world = world(&authority, |_| ()).await;
    let endpoint = answering(&authority, script).await;
    world.register(&told(endpoint.addr)).await;
    let text: String = (0..200_000).map(|n| format!("{n:07}\n")).collect();
    let length = text.len();
    let head = format!("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: {length}\r\n\r\n");
    let mut client = world.client().await.into_stream();
    let (from, mut to) = client.split();
    let sends = async {
        to.write_all(head.as_bytes()).await.unwrap();
        to.write_all(text.as_bytes()).await.unwrap();
    };
    let reads = async {
        let mut from = Wire::over(tokio::io::join(from, tokio::io::sink()));
        from.response().await
    };
    let (answer, ()) = futures_util::join!(reads, sends);
    assert!(answer.text() == text, "{} bytes of {length}", answer.text().len());
}

#[tokio::test]
async fn what_is_no_http_2_after_all_is_no_answer() {
    for garbage in [&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], b"\0\0\0\0\0\0\0\0\x01"] {
        let authority = Authority::new("one");
        let world = world(&authority, |config| config.limits.attempts_max = 1).await;
        let endpoint = Endpoint::secured(offering(&authority, BOTH), move |mut wire| async move {
            let _ = wire.try_send(garbage).await;
            wire.rest().await;
        })
        .await;
        world.register(&told(endpoint.addr)).await;
        let answer = world.get("web.test", "/").await;
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_request_in_http_2_is_asked_as_one_in_http_1_would_be() {
    let authority = Authority::new("one");
    let world = world(&authority, |_| ()).await;
    let endpoint = answering(&authority, |(request, respond): Taken| async move {
        assert_eq!((request.version(), request.method()), (Version::HTTP_2, &Method::GET));
        let headers = request.headers();
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-request-start", "x-vcap-request-id"]
        {
            assert!(headers.contains_key(name), "{name}");
        }
        assert_eq!(headers["x-cf-instanceid"], "guid-0");
        say(respond, "ok");
    })
    .await;
    world.register(&told(endpoint.addr)).await;
    assert_eq!(world.get("web.test", "/").await.text(), "ok");
}
