//! Every row of the action semantics, against a scripted runtime.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use lattice_model::desired_lrp::{LogTarget, StopSignal};
use lattice_model::{Limit, PortMapping};
use serde_json::json;

use super::*;
use crate::environment;
use crate::runtime::{ContainerBlueprint, Signal};
use crate::testing::{self, Bed, Script};

const GRACE: Duration = Duration::from_millis(200);

/// A container in which programs `ok`, `bad` (exits 3), `oom`, `forever` and `stubborn` are.
async fn bed() -> (Bed, StepContext) {
    let bed = Bed::new();
    let oom = Script { out_of_memory: true, ..Script::exits(137) };
    let stubborn = Script { ignores_terminate: true, ..Script::forever() };
    for (path, script) in [
        ("ok", Script { stdout: "hello\nworld".into(), ..Script::exits(0) }),
        ("bad", Script { stderr: "ouch\n".into(), ..Script::exits(3) }),
        ("oom", oom),
        ("forever", Script::forever()),
        ("stubborn", stubborn),
    ] {
        bed.runtime.program(path, script);
    }
    let id = ContainerId::new("c-1");
    let blueprint = ContainerBlueprint {
        id: id.clone(),
        hostname: "c-1".into(),
        users: None,
        rootfs: "/rootfs".into(),
        netns: "/netns".into(),
        files: vec![],
        volumes: vec![],
        memory_bytes: Limit::Unlimited,
        cpu_shares: 1024,
        cpu_limit_percent: Limit::Unlimited,
        pids: Limit::Unlimited,
        privileged: false,
    };
    bed.runtime.create(blueprint).await.unwrap();
    let limits = ContainerLimits { memory_mb: Limit::AtMost(64), ..ContainerLimits::default() };
    let mapping = PortMapping { container_port: 8080, host_port: 61_000 };
    let address = "127.0.0.1".parse().unwrap();
    let external = "192.0.2.1".parse().unwrap();
    let place = Place {
        id,
        rootfs: "/rootfs".into(),
        users: None,
        address,
        image: image(),
        env: vec![var("WHO", "lrp")],
        network_env: environment::network(external, address, &[mapping]),
        limits,
        stop_signal: StopSignal::Sigterm,
        runtime: Arc::clone(&bed.runtime) as _,
        files: Arc::clone(&bed.files) as _,
        transfers: Transfers::new(bed.config.downloads_dir(), &bed.config.limits).unwrap(),
        journal: Arc::default(),
    };
    let seams = bed.seams();
    let target = LogTarget { log_source: String::new(), ..testing::log_target("app") };
    let log = LogWriter::new(&target, "0", bed.config.limits.logs, (seams.logs, seams.clock));
    let cancel = Cancel::new(GRACE);
    (
        bed,
        StepContext {
            place: Arc::new(place),
            log,
            cancel,
            role: Role::Work,
            path: "action".into(),
        },
    )
}

fn image() -> ImageConfig {
    ImageConfig {
        env: vec![var("WHO", "image"), var("IMAGE", "yes")],
        entrypoint: vec!["ok".into()],
        cmd: vec!["--from-image".into()],
        user: "imageuser".into(),
        working_dir: "/work".into(),
        exposed_ports: vec![],
        stop_signal: String::new(),
    }
}

fn var(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.into(), value: value.into() }
}

fn action(json: serde_json::Value) -> Action {
    serde_json::from_value(json).unwrap()
}

fn program(path: &str) -> serde_json::Value {
    json!({"run": {"path": path, "user": "me"}})
}

/// Performs a step as one that nobody has performed before.
async fn perform(action: &Action, cx: &StepContext) -> Result<(), Failure> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("action-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    super::perform(action, &cx.named(&name)).await
}

fn failed(reason: &str) -> Result<(), Failure> {
    Err(Failure::Failed(reason.to_owned()))
}

async fn check(json: serde_json::Value, expected: Result<(), Failure>) {
    let (_bed, cx) = bed().await;
    assert_eq!(perform(&action(json.clone()), &cx).await, expected, "{json}");
}

#[tokio::test]
async fn run_is_judged_by_its_exit_status() {
    check(program("ok"), Ok(())).await;
    check(program("bad"), failed("LOG: Exited with status 3")).await;
    check(
        program("oom"),
        failed("LOG: Exited with status 137 (out of memory): memory limit 64 MB, peak 64.0 MB"),
    )
    .await;
    check(program("missing"), failed("cannot run missing: no such file or directory")).await;
    let nobody = json!({"run": {"path": "ok", "user": "nobody-here"}});
    let why = "there is no user 'nobody-here'";
    check(nobody, failed(why)).await;
}

#[tokio::test]
async fn parallel_waits_for_all_and_names_every_failure() {
    let (ok, bad) = (program("ok"), program("bad"));
    check(json!({"parallel": {"actions": [ok, ok]}}), Ok(())).await;
    let one = "1 error(s) occurred:\n\n* LOG: Exited with status 3";
    check(json!({"parallel": {"actions": [ok, bad]}}), failed(one)).await;
    let two = "2 error(s) occurred:\n\n* LOG: Exited with status 3\n* LOG: Exited with status 3";
    check(json!({"parallel": {"actions": [bad, ok, bad]}}), failed(two)).await;
    let (bed, cx) = bed().await;
    let slow = Script { ends_after: Some(Duration::from_millis(150)), ..Script::exits(0) };
    bed.runtime.program("slow", slow);
    let began = Instant::now();
    let both = action(json!({"parallel": {"actions": [bad, program("slow")]}}));
    assert!(perform(&both, &cx).await.is_err());
    assert!(began.elapsed() >= Duration::from_millis(150), "it did not wait for the slow one");
    assert_eq!(bed.runtime.signals_of("slow"), []);
}

#[tokio::test]
async fn serial_stops_at_the_first_failure() {
    let (bed, cx) = bed().await;
    let steps = [program("ok"), program("bad"), program("forever")];
    let serial = action(json!({"serial": {"actions": steps}}));
    assert_eq!(perform(&serial, &cx).await, failed("LOG: Exited with status 3"));
    assert_eq!((bed.runtime.runs_of("ok"), bed.runtime.runs_of("forever")), (1, 0));
}

#[tokio::test]
async fn codependent_ends_with_the_first_exit_even_a_good_one() {
    for (first, reason) in [
        ("ok", "1 error(s) occurred:\n\n* Codependent step exited"),
        ("bad", "1 error(s) occurred:\n\n* LOG: Exited with status 3"),
    ] {
        let (bed, cx) = bed().await;
        let both = json!({"codependent": {"actions": [program("forever"), program(first)]}});
        assert_eq!(perform(&action(both), &cx).await, failed(reason));
        assert_eq!(bed.runtime.signals_of("forever"), [Signal::TERMINATE], "{first}");
        assert!(!cx.cancel.is_cancelled(), "what is around it goes on");
    }
}

#[tokio::test]
async fn timeout_cancels_and_says_how_long_it_was() {
    let timeout =
        |inner: serde_json::Value, ns: u64| json!({"timeout": {"action": inner, "timeout": ns}});
    check(timeout(program("forever"), 50_000_000), failed("exceeded 50ms timeout")).await;
    check(timeout(program("ok"), 5_000_000_000), Ok(())).await;
    check(timeout(program("bad"), 5_000_000_000), failed("LOG: Exited with status 3")).await;
    let parallel = json!({"parallel": {"actions": [program("bad"), program("forever")]}});
    let both = "exceeded 50ms timeout; 1 error(s) occurred:\n\n* LOG: Exited with status 3";
    check(timeout(parallel, 50_000_000), failed(both)).await;
}

#[tokio::test]
async fn try_never_fails() {
    check(json!({"try": {"action": program("bad")}}), Ok(())).await;
    check(json!({"try": {"action": program("missing")}}), Ok(())).await;
}

#[tokio::test]
async fn a_cancelled_process_gets_sigterm_and_sigkill_only_after_its_grace() {
    for (path, signals, line) in [
        ("forever", vec![Signal::TERMINATE], "LOG/0 OUT Exit status 143"),
        (
            "stubborn",
            vec![Signal::TERMINATE, Signal::Kill],
            "LOG/0 ERR Exit status 137 (exceeded 200ms graceful shutdown interval)",
        ),
    ] {
        let (bed, cx) = bed().await;
        let cancel = cx.cancel.clone();
        let running = tokio::spawn(async move { perform(&action(program(path)), &cx).await });
        testing::eventually("it runs", || bed.runtime.runs_of(path) == 1).await;
        cancel.cancel();
        assert_eq!(running.await.unwrap(), Err(Failure::Cancelled));
        assert_eq!(bed.runtime.signals_of(path), signals);
        assert!(bed.logs.has(line), "{:?}", bed.logs.lines());
        let killed = "LOG/0 ERR the process did not end within 200ms after SIGTERM and was sent \
                      SIGKILL";
        assert_eq!(bed.logs.has(killed), path == "stubborn", "{:?}", bed.logs.lines());
    }
}

#[tokio::test]
async fn a_cancelled_tree_starts_nothing_more() {
    let (bed, cx) = bed().await;
    cx.cancel.cancel();
    for tree in [
        program("ok"),
        json!({"serial": {"actions": [program("ok")]}}),
        json!({"parallel": {"actions": [program("ok"), program("ok")]}}),
        json!({"try": {"action": program("ok")}}),
    ] {
        assert_eq!(perform(&action(tree), &cx).await, Err(Failure::Cancelled));
    }
    assert_eq!(bed.runtime.runs_of("ok"), 0);
}

#[tokio::test]
async fn lines_are_split_by_stream_and_the_exit_status_is_the_last() {
    let (bed, cx) = bed().await;
    let _ = perform(&action(program("ok")), &cx).await;
    let _ = perform(&action(program("bad")), &cx).await;
    let expected = [
        "LOG/0 OUT hello",
        "LOG/0 OUT world",
        "LOG/0 OUT Exit status 0",
        "LOG/0 ERR ouch",
        "LOG/0 OUT Exit status 3",
    ];
    assert_eq!(bed.logs.lines(), expected);
}

#[tokio::test]
async fn want_of_memory_is_told_with_amounts_before_the_exit_status() {
    let (bed, cx) = bed().await;
    let _ = perform(&action(program("oom")), &cx).await;
    let expected = [
        "LOG/0 ERR out of memory: the kernel killed a process (memory limit 64 MB, peak 64.0 MB); \
         give the app more memory, or let it use less",
        "LOG/0 OUT Exit status 137 (out of memory)",
    ];
    assert_eq!(bed.logs.lines(), expected);
}

#[tokio::test]
async fn log_sources_are_inherited_as_the_table_says() {
    let five_s = 5_000_000_000_u64;
    for (tree, expected) in [
        (json!({"run": {"path": "ok", "user": "me", "log_source": "RUN"}}), "RUN"),
        (json!({"parallel": {"actions": [program("ok")], "log_source": "P"}}), "P"),
        (json!({"codependent": {"actions": [program("ok")], "log_source": "C"}}), "C"),
        (json!({"timeout": {"action": program("ok"), "timeout": five_s, "log_source": "T"}}), "T"),
        (json!({"try": {"action": program("ok"), "log_source": "Y"}}), "Y"),
        (json!({"serial": {"actions": [program("ok")], "log_source": "S"}}), "LOG"),
        (json!({"emit_progress": {"action": program("ok"), "log_source": "E"}}), "LOG"),
    ] {
        let (bed, cx) = bed().await;
        let _ = perform(&action(tree.clone()), &cx).await;
        assert!(bed.logs.has(&format!("{expected}/0 OUT hello")), "{tree}: {:?}", bed.logs.lines());
    }
}

#[tokio::test]
async fn emit_progress_speaks_before_and_after() {
    let emit = |path: &str| {
        json!({"emit_progress": {
            "action": program(path), "start_message": "begin", "success_message": "done",
            "failure_message_prefix": "alas", "log_source": "EP"
        }})
    };
    let (bed, cx) = bed().await;
    assert_eq!(perform(&action(emit("ok")), &cx).await, Ok(()));
    assert_eq!(perform(&action(emit("bad")), &cx).await, failed("LOG: Exited with status 3"));
    let said: Vec<String> =
        bed.logs.lines().into_iter().filter(|line| line.starts_with("EP")).collect();
    let expected = ["EP/0 OUT begin", "EP/0 OUT done", "EP/0 OUT begin"];
    assert_eq!(said[..3], expected);
    assert_eq!(said[3..], ["EP/0 ERR alas: LOG: Exited with status 3"]);
}

#[tokio::test]
async fn a_process_finds_user_directory_environment_and_limits() {
    let (bed, cx) = bed().await;
    let full = json!({"run": {
        "path": "ok", "args": ["-v"], "user": "me", "dir": "/srv",
        "env": [{"name": "WHO", "value": "run"}, {"name": "CF_INSTANCE_IP", "value": "liar"}],
        "resource_limits": {"nofile": 99, "nproc": 7}
    }});
    let bare = json!({"run": {"path": "", "user": ""}});
    perform(&action(full), &cx).await.unwrap();
    perform(&action(bare), &cx).await.unwrap();
    let executed = bed.runtime.executed.lock().unwrap().clone();
    let value = |run: usize, name: &str| {
        executed[run].env.iter().find(|v| v.name == name).map(|v| v.value.clone()).unwrap()
    };
    assert_eq!(executed[0].argv, ["ok", "-v"]);
    assert_eq!((executed[0].dir.as_str(), executed[0].user.uid), ("/srv", 1000));
    assert_eq!((executed[0].nofile, executed[0].nproc), (Some(99), Some(7)));
    assert_eq!((value(0, "WHO"), value(0, "IMAGE")), ("run".into(), "yes".into()));
    assert_eq!(value(0, "CF_INSTANCE_IP"), "192.0.2.1");
    assert_eq!((value(0, "USER"), value(0, "HOME")), ("me".into(), "/home/me".into()));
    assert_eq!(executed[1].argv, ["ok", "--from-image"]);
    assert_eq!((executed[1].dir.as_str(), executed[1].user.uid), ("/work", 1001));
    let made = [("/srv".to_owned(), 1000), ("/work".to_owned(), 1001)];
    assert_eq!(*bed.files.made_dirs.lock().unwrap(), made);
    assert_eq!((value(1, "WHO"), value(1, "USER")), ("lrp".into(), "imageuser".into()));
}

#[tokio::test]
async fn a_directory_is_read_from_the_root() {
    let (bed, cx) = bed().await;
    let dirs = ["/srv/", "srv/./app", "/srv/../var//lib", "/../..", "."];
    for dir in dirs {
        let run = json!({"run": {"path": "ok", "user": "me", "dir": dir}});
        perform(&action(run), &cx).await.unwrap();
    }
    let executed = bed.runtime.executed.lock().unwrap().clone();
    let found: Vec<_> = executed.iter().map(|process| process.dir.as_str()).collect();
    assert_eq!(found, ["/srv", "/srv/app", "/var/lib", "/", "/"]);
}

#[tokio::test]
async fn a_check_is_silent_and_has_no_grace() {
    let (bed, cx) = bed().await;
    let cx = StepContext { role: Role::Check, log: LogWriter::silent(), ..cx };
    assert_eq!(perform(&action(program("bad")), &cx).await, failed("Exited with status 3"));
    let cancel = cx.cancel.clone();
    let running = tokio::spawn(async move { perform(&action(program("stubborn")), &cx).await });
    testing::eventually("it runs", || bed.runtime.runs_of("stubborn") == 1).await;
    cancel.cancel();
    assert_eq!(running.await.unwrap(), Err(Failure::Cancelled));
    assert_eq!(bed.runtime.signals_of("stubborn"), [Signal::Kill]);
    assert_eq!(bed.logs.lines(), Vec::<String>::new());
}

/// An HTTP server with `/bits.tgz` of 1.5 KiB and a sink at `/sink`; says what was posted.
async fn http_server() -> (String, Arc<std::sync::Mutex<Vec<Bytes>>>) {
    let posted: Arc<std::sync::Mutex<Vec<Bytes>>> = Arc::default();
    let sink = Arc::clone(&posted);
    let app = Router::new()
        .route("/bits.tgz", get(async || vec![7_u8; 1536]))
        .route("/sink", post(async move |body: Bytes| sink.lock().unwrap().push(body)));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, posted)
}

#[tokio::test]
async fn download_extracts_as_the_user_and_says_how_much() {
    let (url, _) = http_server().await;
    let (bed, cx) = bed().await;
    let download = |path: &str| {
        action(json!({"download": {
            "artifact": "bits", "from": format!("{url}/{path}"), "to": "/app", "user": "me"
        }}))
    };
    assert_eq!(perform(&download("bits.tgz"), &cx).await, Ok(()));
    assert_eq!(*bed.files.extracted.lock().unwrap(), [("/app".to_owned(), 1536, 1000)]);
    let missing = format!("{url}/none answered 404 Not Found");
    let expected = failed(&format!("Downloading failed: {missing}"));
    assert_eq!(perform(&download("none"), &cx).await, expected);
    let said = [
        "LOG/0 OUT Downloading bits...".to_owned(),
        "LOG/0 OUT Downloaded bits (1.5K)".to_owned(),
        "LOG/0 OUT Downloading bits...".to_owned(),
        format!("LOG/0 ERR Failed to download bits: {missing}"),
    ];
    assert_eq!(bed.logs.lines(), said);
}

#[tokio::test]
async fn upload_posts_one_file_and_says_how_much() {
    let (url, posted) = http_server().await;
    let (bed, cx) = bed().await;
    bed.files.files.lock().unwrap().insert("/out".into(), vec![1; 2048]);
    let upload = |from: &str| {
        action(json!({"upload": {
            "artifact": "result", "from": from, "to": format!("{url}/sink"), "user": "me"
        }}))
    };
    assert_eq!(perform(&upload("/out"), &cx).await, Ok(()));
    assert_eq!(posted.lock().unwrap()[0].len(), 2048);
    assert!(perform(&upload("/nowhere"), &cx).await.is_err());
    let said = [
        "LOG/0 OUT Uploading result...",
        "LOG/0 OUT Uploaded result (2K)",
        "LOG/0 OUT Uploading result...",
        "LOG/0 ERR Failed to upload result: cannot read /nowhere in the container: no such file",
    ];
    assert_eq!(bed.logs.lines(), said);
}
