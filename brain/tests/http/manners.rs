//! Every endpoint against what hostile and careless clients send.

use serde_json::{Value, json};

use super::{Served, answer, samples};

/// Every endpoint: method, path, and whether it reads a body.
const ENDPOINTS: [(&str, &str, bool); 32] = [
    ("GET", "/v1/desired_lrps", false),
    ("POST", "/v1/desired_lrps", true),
    ("GET", "/v1/desired_lrps/web", false),
    ("PUT", "/v1/desired_lrps/web", true),
    ("DELETE", "/v1/desired_lrps/web", false),
    ("GET", "/v1/desired_lrps/web/explain/0", false),
    ("GET", "/v1/actual_lrps", false),
    ("GET", "/v1/actual_lrps/web", false),
    ("GET", "/v1/actual_lrps/web/index/0", false),
    ("DELETE", "/v1/actual_lrps/web/index/0", false),
    ("GET", "/v1/actual_lrps/web/progress", false),
    ("GET", "/v1/tasks", false),
    ("POST", "/v1/tasks", true),
    ("GET", "/v1/tasks/one", false),
    ("DELETE", "/v1/tasks/one", false),
    ("POST", "/v1/tasks/one/cancel", false),
    ("GET", "/v1/cells", false),
    ("POST", "/v1/cells/cell-1/drain", true),
    ("DELETE", "/v1/cells/cell-1/drain", false),
    ("POST", "/v1/rebalance", true),
    ("GET", "/v1/moves", false),
    ("PUT", "/v1/domains/lattice", false),
    ("GET", "/v1/domains", false),
    ("GET", "/v1/version", false),
    ("GET", "/v1/openapi.json", false),
    ("PUT", "/v1/registry_credentials", true),
    ("GET", "/v1/registry_credentials", false),
    ("DELETE", "/v1/registry_credentials/h.io", false),
    ("GET", "/v1/actual_lrps/web/usage", false),
    ("GET", "/v1/custom_domains", false),
    ("PUT", "/v1/custom_domains/shop.example.com", true),
    ("DELETE", "/v1/custom_domains/shop.example.com", false),
];

fn name_of(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"));
    body["name"].as_str().unwrap_or_else(|| panic!("no name: {body}")).to_owned()
}

#[tokio::test]
async fn nobody_passes_without_the_right_credentials_on_any_path() {
    let served = Served::start().await;
    let more = [
        ("GET", "/v1/events", false),
        ("POST", "/v1/auth_cookie", false),
        ("GET", "/v1/sync/osx/ltc", false),
    ];
    let unknown = [("GET", "/", false), ("PATCH", "/v1/tasks", false), ("GET", "/v9/x", false)];
    for (method, path, _) in ENDPOINTS.into_iter().chain(more).chain(unknown) {
        for request in [
            served.anonymous(method, path),
            served.anonymous(method, path).basic_auth("user", Some("wrong")),
            served.anonymous(method, path).bearer_auth("dXNlcjpwYXNz"),
            served.request(method, path).header("cookie", "receptor_authorization=Basic x"),
        ] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401, "{method} {path}");
            let challenge = &response.headers()["www-authenticate"];
            assert_eq!(challenge, "Basic realm=\"API Authentication\"");
            let body = response.text().await.unwrap();
            assert_eq!(body, r#"{"name":"Unauthorized","message":"Unauthorized"}"#);
        }
        let foreign = served.request(method, path).header("origin", "http://evil.example");
        let (status, body) = answer(foreign).await;
        assert_eq!((status, name_of(&body).as_str()), (403, "Unauthorized"), "{method} {path}");
    }
    assert!(served.receptor.state().domains.is_empty(), "nothing was done");
}

#[tokio::test]
async fn garbage_gets_an_answer_and_never_a_fault() {
    let served = Served::start().await;
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let bodies: [&[u8]; 9] =
        [b"", b"{", b"nonsense", b"[]", b"7", b"\"x\"", b"\xff\xfe", b"{}{}", deep.as_bytes()];
    for (method, path, reads) in ENDPOINTS {
        for body in bodies {
            let (status, text) = answer(served.request(method, path).body(body.to_vec())).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
            if reads {
                assert_eq!(
                    (status, name_of(&text).as_str()),
                    (400, "InvalidJSON"),
                    "{path} {shown}"
                );
            } else {
                assert!(status < 500, "{method} {path} {shown}: {status} {text}");
            }
        }
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let served = Served::start().await;
    let mut lrp = samples::lrp_body("web");
    lrp["from_the_future"] = json!({"a": [1, null]});
    lrp["action"]["parallel"]["actions"][0]["run"]["new"] = json!(true);
    assert_eq!(answer(served.request("POST", "/v1/desired_lrps").json(&lrp)).await.0, 201);
    let mut task = samples::task_body("one");
    task["from_the_future"] = json!(1);
    assert_eq!(answer(served.request("POST", "/v1/tasks").json(&task)).await.0, 201);
    let update = json!({"process_guid": "other", "x": 1});
    assert_eq!(answer(served.request("PUT", "/v1/desired_lrps/web").json(&update)).await.0, 204);
    let credentials = json!({"registry": "h.io", "username": "u", "password": "p", "x": 1});
    let put = served.request("PUT", "/v1/registry_credentials").json(&credentials);
    assert_eq!(answer(put).await, (204, String::new()));
}

#[tokio::test]
async fn a_huge_body_is_refused_with_words() {
    let served = Served::start().await;
    for (method, path, reads) in ENDPOINTS {
        let huge = vec![b' '; 2 * 1024 * 1024];
        let (status, text) = answer(served.request(method, path).body(huge)).await;
        if reads {
            assert_eq!(status, 413, "{method} {path}");
            let amounts = "the body has 2097152 bytes or more: at most 1048576 bytes are read";
            assert!(text.contains(amounts), "{text}");
        } else {
            assert!(status < 500, "{method} {path}: {status} {text}");
        }
    }
}

#[tokio::test]
async fn a_guid_that_cannot_be_one_names_nothing() {
    let served = Served::start().await;
    let long = "x".repeat(5000);
    for guid in ["a%20b", "..%2f..%2fetc", "%00", "%ff", "ü", "a.b", "%27%3B--", &long] {
        for (method, path, expected) in [
            ("GET", "/v1/desired_lrps/G", 404),
            ("PUT", "/v1/desired_lrps/G", 404),
            ("DELETE", "/v1/desired_lrps/G", 404),
            ("GET", "/v1/desired_lrps/G/explain/0", 404),
            ("GET", "/v1/actual_lrps/G", 200),
            ("GET", "/v1/actual_lrps/G/progress", 200),
            ("GET", "/v1/actual_lrps/G/index/0", 404),
            ("DELETE", "/v1/actual_lrps/G/index/0", 404),
            ("GET", "/v1/tasks/G", 404),
            ("DELETE", "/v1/tasks/G", 404),
            ("POST", "/v1/tasks/G/cancel", 404),
        ] {
            let path = path.replace('G', guid);
            let (status, text) = answer(served.request(method, &path).body("{}")).await;
            // Bytes that are no text at all are a bad request.
            let expected = if guid == "%ff" { 400 } else { expected };
            assert_eq!(status, expected, "{method} {guid}: {text}");
            assert!(text.len() < 1000, "{} bytes", text.len());
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "not JSON: {text}");
        }
    }
}

#[tokio::test]
async fn statuses_and_bodies_are_the_receptors() {
    let served = Served::start().await;
    served.receptor.state().instances = samples::instances("web");
    let create = || served.request("POST", "/v1/desired_lrps").json(&samples::lrp_body("web"));
    assert_eq!(answer(create()).await, (201, String::new()));
    let exists = "{\"name\":\"DesiredLRPAlreadyExists\",\
                  \"message\":\"Desired LRP with guid 'web' already exists\"}";
    assert_eq!(answer(create()).await, (409, exists.to_owned()));
    let unknown = "404 page not found\n";
    for (method, path, status, body) in [
        ("GET", "/v1/nothing", 404, unknown),
        ("GET", "/", 404, unknown),
        ("PATCH", "/v1/desired_lrps", 405, "Method Not Allowed"),
        ("POST", "/v1/cells", 405, "Method Not Allowed"),
        ("GET", "/v1/actual_lrps/none", 200, "[]"),
        ("GET", "/v1/actual_lrps/web/index/99", 404, "null"),
        ("GET", "/v1/actual_lrps/none/index/0", 404, "null"),
        (
            "GET",
            "/v1/actual_lrps/web/index/x",
            400,
            r#"{"name":"InvalidRequest","message":"index not a number"}"#,
        ),
        ("DELETE", "/v1/actual_lrps/web/index/1", 204, ""),
        (
            "DELETE",
            "/v1/actual_lrps/web/index/-1",
            404,
            "{\"name\":\"ActualLRPIndexNotFound\",\
             \"message\":\"process-guid 'web' does not exist or has no instance at index -1\"}",
        ),
        (
            "GET",
            "/v1/tasks/one",
            404,
            r#"{"name":"TaskNotFound","message":"task with guid 'one' not found"}"#,
        ),
        ("PUT", "/v1/domains/lattice", 204, ""),
        ("GET", "/v1/domains", 200, r#"["lattice"]"#),
        (
            "GET",
            "/v1/cells",
            200,
            "[{\"cell_id\":\"cell-1\",\"zone\":\"z1\",\"capacity\":{\"memory_mb\":4096,\
             \"disk_mb\":10240,\"containers\":256},\"rootfs_providers\":{\"docker\":[]},\
             \"placement_tags\":[\"gpu\"]}]",
        ),
        ("GET", "/v1/version", 200, r#"{"lattice_release":"1","receptor":"1"}"#),
        ("DELETE", "/v1/desired_lrps/web", 204, ""),
    ] {
        // `null` is what the old client sends with everything.
        let (found, text) = answer(served.request(method, path).body("null")).await;
        assert_eq!((found, text.as_str()), (status, body), "{method} {path}");
    }
    let response = served.request("PATCH", "/v1/tasks").send().await.unwrap();
    let allowed = response.headers()["allow"].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[tokio::test]
async fn a_whole_desired_lrp_is_written_in_the_receptors_order() {
    let served = Served::start().await;
    let create = served.request("POST", "/v1/desired_lrps").json(&samples::lrp_body("web"));
    assert_eq!(answer(create).await.0, 201);
    let response = served.request("GET", "/v1/desired_lrps/web").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.headers().contains_key("content-length"));
    insta::assert_snapshot!(response.text().await.unwrap());
}

#[tokio::test]
async fn a_whole_task_is_written_in_the_receptors_order() {
    let served = Served::start().await;
    let task = samples::running_task("one");
    served.receptor.state().tasks.insert(task.definition.task_guid.clone(), task);
    let (_, text) = answer(served.request("GET", "/v1/tasks/one")).await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn an_invalid_update_is_an_unknown_error_and_a_form_is_no_json() {
    let served = Served::start().await;
    let update = served.request("PUT", "/v1/desired_lrps/web").json(&json!({"instances": -1}));
    let invalid = r#"{"name":"UnknownError","message":"Invalid field: instances"}"#;
    assert_eq!(answer(update).await, (500, invalid.to_owned()));
    let form = served.request("POST", "/v1/tasks").form(&[("a", "b")]);
    let (status, text) = answer(form).await;
    assert_eq!((status, name_of(&text).as_str()), (400, "InvalidJSON"));
    let domain = served.request("PUT", "/v1/domains/x").header("cache-control", "max-age=abc");
    let (status, text) = answer(domain).await;
    assert_eq!(status, 400);
    assert!(text.contains("invalid-max-age-directive: max-age=abc"), "{text}");
    let domain = format!("/v1/domains/{}", "x".repeat(201));
    let (status, text) = answer(served.request("PUT", &domain)).await;
    assert_eq!((status, name_of(&text).as_str()), (400, "InvalidDomain"));
    let (status, text) = answer(served.request("GET", "/v1/tasks?domain=a&domain=b")).await;
    assert_eq!((status, name_of(&text).as_str()), (400, "InvalidRequest"));
}

#[tokio::test]
async fn the_platforms_hostnames_are_refused_in_create_and_update() {
    let served = Served::start().await;
    let routes = json!({"cf-router": [{"hostnames": ["Receptor.lattice.localhost/x"], "port": 1}]});
    let expected = "{\"name\":\"InvalidLRP\",\"message\":\"Invalid field: routes: \
                    receptor.lattice.localhost belongs to the platform\"}";
    let mut body = samples::lrp_body("web");
    assert_eq!(answer(served.request("POST", "/v1/desired_lrps").json(&body)).await.0, 201);
    body["process_guid"] = json!("thief");
    body["routes"] = routes.clone();
    let create = served.request("POST", "/v1/desired_lrps").json(&body);
    assert_eq!(answer(create).await, (400, expected.to_owned()));
    let update = served.request("PUT", "/v1/desired_lrps/web").json(&json!({"routes": routes}));
    assert_eq!(answer(update).await, (400, expected.to_owned()));
    assert_eq!(served.receptor.state().lrps.len(), 1);
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_server_lives_on() {
    let served = Served::start().await;
    let mut body = samples::lrp_body("web");
    body["annotation"] = json!("panic");
    let (status, text) = answer(served.request("POST", "/v1/desired_lrps").json(&body)).await;
    assert_eq!((status, name_of(&text).as_str()), (500, "UnknownError"));
    assert_eq!(answer(served.request("GET", "/v1/version")).await.0, 200);
}

#[tokio::test]
async fn requests_in_flight_have_a_limit() {
    let served = Served::start_with(|config| config.limits.requests_max = 0).await;
    let response = served.request("GET", "/v1/version").send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "2");
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
    assert_eq!((status, name_of(&text).as_str()), (429, "TooManyRequests"));
    assert!(text.contains("there are 0 requests in flight, which is the most"), "{text}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let short = std::time::Duration::from_millis(50);
    let served = Served::start_with(|config| config.limits.body_timeout = short).await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    let head = "POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\
                Content-Length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_given_up() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let short = std::time::Duration::from_millis(50);
    let served = Served::start_with(|config| config.limits.listener.head_timeout = short).await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    stream.write_all(b"GET /v1/version HT").await.unwrap();
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), read).await;
    ended.expect("the server closes the connection").unwrap();
}

#[tokio::test]
async fn connections_that_send_their_heads_slowly_keep_nobody_out_for_long() {
    use tokio::io::AsyncWriteExt as _;
    let served = Served::start_with(|config| {
        config.limits.listener.connections_max = 4;
        config.limits.listener.head_timeout = std::time::Duration::from_millis(300);
    })
    .await;
    for _ in 0..4 {
        let mut slow = tokio::net::TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
        tokio::spawn(async move {
            while slow.write_all(b"G").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
    }
    let honest = answer(served.request("GET", "/v1/version"));
    let honest = tokio::time::timeout(std::time::Duration::from_secs(10), honest);
    assert_eq!(honest.await.expect("an answer in time").0, 200);
}

#[tokio::test]
async fn a_connection_may_idle_between_requests_and_take_its_time_with_a_body() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let short = std::time::Duration::from_millis(200);
    let served = Served::start_with(|config| config.limits.listener.head_timeout = short).await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    let head = "POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dXNlcjpwYXNz\r\n\
                Content-Length: 2\r\n\r\n";
    for _ in 0..2 {
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(short * 2).await;
        stream.write_all(b"{}").await.unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 400"));
        tokio::time::sleep(short * 2).await;
    }
}
