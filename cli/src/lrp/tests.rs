use lattice_model::Limit;
use lattice_model::route::TCP_ROUTER;

use super::*;

fn limits(memory_mb: u64, disk_mb: u64) -> ContainerLimits {
    ContainerLimits {
        memory_mb: Limit::from_wire(memory_mb),
        disk_mb: Limit::from_wire(disk_mb),
        ..ContainerLimits::default()
    }
}

fn request() -> Request {
    Request {
        name: ProcessGuid::new("web").unwrap(),
        image: ImageRef::parse("cloudfoundry/lattice-app").unwrap(),
        command: vec![],
        working_dir: String::new(),
        user: String::new(),
        env: vec![],
        ports: vec![],
        monitor: MonitorRequest::Port(None),
        monitor_timeout: Duration::from_secs(1),
        routes: RouteRequest::Default,
        instances: 1,
        limits: limits(128, 0),
        privileged: false,
        restart: RestartPolicy::Always,
        placement: lattice_model::Placement::default(),
        domain: "l.test".to_owned(),
    }
}

fn image() -> ImageMetadata {
    ImageMetadata {
        user: "lattice".into(),
        working_dir: "/work".into(),
        entrypoint: vec!["/lattice-app".into()],
        cmd: vec!["--quiet".into()],
        env: vec!["PATH=/bin".into(), "A=image".into()],
        exposed_ports: vec![8080, 9090],
    }
}

fn lrp(request: &Request) -> DesiredLrp {
    build(request, &image()).unwrap().0
}

fn run_of(lrp: &DesiredLrp) -> Run {
    match &lrp.main().action {
        Action::Run(run) => run.clone(),
        other => panic!("not a run: {other:?}"),
    }
}

fn env_of(lrp: &DesiredLrp) -> Vec<String> {
    lrp.main().env.iter().map(|v| format!("{}={}", v.name, v.value)).collect()
}

#[test]
fn what_the_image_says_is_the_default_for_everything() {
    let (lrp, notes) = build(&request(), &image()).unwrap();
    let run = run_of(&lrp);
    assert_eq!((run.path.as_str(), run.args.join(" ").as_str()), ("/lattice-app", "--quiet"));
    assert_eq!((run.dir.as_str(), run.user.as_str()), ("/work", "lattice"));
    assert_eq!(lrp.main().ports, [8080, 9090]);
    assert_eq!(lrp.main().rootfs, "docker:///cloudfoundry/lattice-app#latest");
    assert_eq!(lrp.main().limits, limits(128, 0));
    assert_eq!(lrp.main().limits.pids, Limit::AtMost(1024));
    assert_eq!(lrp.domain.as_str(), "lattice");
    assert_eq!((lrp.log.log_guid.as_str(), lrp.log.metrics_guid.as_str()), ("web", "web"));
    assert_eq!(lrp.log.log_source, "APP");
    assert_eq!(
        notes,
        [
            Note::User("lattice".into()),
            Note::Ports(vec![8080, 9090]),
            Note::Command("/lattice-app --quiet".into()),
        ]
    );
}

#[test]
fn what_the_person_says_wins_over_the_image() {
    let request = Request {
        command: vec!["/bin/echo".into(), "a b".into()],
        working_dir: "/else".into(),
        user: "me".into(),
        ports: vec![9000, 80, 9000],
        privileged: true,
        ..request()
    };
    let (lrp, notes) = build(&request, &image()).unwrap();
    let run = run_of(&lrp);
    assert_eq!((run.path.as_str(), run.args), ("/bin/echo", vec!["a b".to_owned()]));
    assert_eq!((run.dir.as_str(), run.user.as_str()), ("/else", "me"));
    assert_eq!(lrp.main().ports, [80, 9000]);
    assert!(lrp.main().privileged);
    assert_eq!(notes, [Note::Privileged]);
}

#[test]
fn an_image_that_says_nothing_runs_as_root_on_8080_in_the_root_directory() {
    let mute = ImageMetadata { cmd: vec!["/app".into()], ..ImageMetadata::default() };
    let (lrp, notes) = build(&request(), &mute).unwrap();
    let run = run_of(&lrp);
    assert_eq!((run.dir.as_str(), run.user.as_str()), ("/", "root"));
    assert_eq!(lrp.main().ports, [8080]);
    assert!(notes.contains(&Note::RunsAsRoot));
    assert!(notes.contains(&Note::DefaultPort(8080)));
}

#[test]
fn without_any_command_there_is_no_app() {
    let error = build(&request(), &ImageMetadata::default()).unwrap_err();
    assert_eq!(error, LrpError::NoCommand);
}

#[test]
fn each_monitor_is_the_action_the_cell_understands() {
    let check = |monitor: MonitorRequest, expected: Option<(&str, &[&str])>| {
        let lrp = lrp(&Request { monitor: monitor.clone(), ..request() });
        let found = lrp.main().monitor.as_ref().map(|action| match action {
            Action::Run(run) => {
                assert_eq!((run.user.as_str(), run.log_source.as_str()), ("lattice", "HEALTH"));
                (run.path.clone(), run.args.clone())
            }
            other => panic!("not a run: {other:?}"),
        });
        let expected = expected.map(|(path, args)| {
            (path.to_owned(), args.iter().map(ToString::to_string).collect::<Vec<_>>())
        });
        assert_eq!(found, expected, "{monitor:?}");
    };
    let health = "/tmp/healthcheck";
    check(MonitorRequest::None, None);
    check(MonitorRequest::Port(None), Some((health, &["-timeout", "1s", "-port", "8080"])));
    check(MonitorRequest::Port(Some(9090)), Some((health, &["-timeout", "1s", "-port", "9090"])));
    check(
        MonitorRequest::Url("9090:/ok?x=1".into()),
        Some((health, &["-timeout", "1s", "-port", "9090", "-uri", "/ok?x=1"])),
    );
    check(MonitorRequest::Command("true".into()), Some(("/bin/sh", &["-c", "true"])));
}

#[test]
fn a_monitor_that_cannot_work_is_refused() {
    let error = |monitor| build(&Request { monitor, ..request() }, &image()).unwrap_err();
    let not_exposed = LrpError::MonitorNotExposed { port: 1, ports: "8080, 9090".to_owned() };
    assert_eq!(error(MonitorRequest::Port(Some(1))), not_exposed);
    assert_eq!(error(MonitorRequest::Url("1:/x".into())), not_exposed);
    for bad in ["/x", "8080", "x:/y", "8080:", "0:/x", ""] {
        let expected = LrpError::MalformedUrl(bad.to_owned());
        assert_eq!(error(MonitorRequest::Url(bad.into())), expected, "{bad}");
    }
}

#[test]
fn routes_follow_the_flags() {
    let hosts = |routes: RouteRequest| {
        let lrp = lrp(&Request { routes, ..request() });
        let http = lrp.routes.http().into_iter();
        http.map(|r| format!("{}={}", r.port, r.hostnames.join(","))).collect::<Vec<_>>()
    };
    assert_eq!(
        hosts(RouteRequest::Default),
        ["8080=web.l.test,web-8080.l.test", "9090=web-9090.l.test"]
    );
    assert_eq!(hosts(RouteRequest::None), Vec::<String>::new());
    let explicit = RouteRequest::Explicit {
        http: vec!["shop:9090".into(), "x.org:8080".into()],
        tcp: vec!["50001:9090".into()],
    };
    assert_eq!(hosts(explicit.clone()), ["9090=shop.l.test", "8080=x.org"]);
    let with_tcp = lrp(&Request { routes: explicit, ..request() });
    assert_eq!(with_tcp.routes.tcp()[0].external_port, 50001);
    assert!(!lrp(&request()).routes.0.contains_key(TCP_ROUTER));
}

#[test]
fn the_monitored_port_is_the_primary_one() {
    let lrp = lrp(&Request { monitor: MonitorRequest::Port(Some(9090)), ..request() });
    assert_eq!(lrp.routes.http()[1].hostnames, ["web.l.test", "web-9090.l.test"]);
    assert!(env_of(&lrp).contains(&"PORT=9090".to_owned()));
}

#[test]
fn the_environment_is_in_order_and_the_last_word_wins() {
    let env =
        [("B", "1"), ("A", "mine"), ("B", "2")].map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
    insta::assert_snapshot!(
        env_of(&lrp(&Request { env, limits: limits(128, 5), ..request() })).join("\n"),
        @r#"
    PATH=/bin
    A=mine
    B=2
    PROCESS_GUID=web
    VCAP_APPLICATION={"application_name":"web","application_uris":["web.l.test","web-8080.l.test","web-9090.l.test"],"name":"web","uris":["web.l.test","web-8080.l.test","web-9090.l.test"],"limits":{"disk":5,"mem":128}}
    PORT=8080
    VCAP_SERVICES={}
    "#
    );
}

#[test]
fn variables_a_person_sets_are_not_overwritten() {
    let names = ["PROCESS_GUID", "VCAP_APPLICATION", "PORT", "VCAP_SERVICES"];
    let env = names.map(|n| (n.to_owned(), "mine".to_owned())).to_vec();
    let found = env_of(&lrp(&Request { env, ..request() }));
    for name in names {
        let of_name: Vec<_> = found.iter().filter(|v| v.starts_with(name)).collect();
        assert_eq!(of_name, [&format!("{name}=mine")]);
    }
}

#[test]
fn no_limits_and_no_routes_leave_vcap_application_empty_handed() {
    let request = Request { limits: limits(0, 0), routes: RouteRequest::None, ..request() };
    let expected = r#"VCAP_APPLICATION={"application_name":"web","application_uris":[],"name":"web","uris":[],"limits":{}}"#;
    assert!(env_of(&lrp(&request)).contains(&expected.to_owned()));
}

#[test]
fn env_files_are_read_as_docker_reads_them() {
    let text = "# comment\n\nA=1\n  B=with = and # inside\nHOME\nUNSET\nC=\n=nothing\n";
    let var = |name: &str| (name == "HOME").then(|| "/root".to_owned());
    let pairs = parse_env_file(text, var);
    let as_text: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(as_text, ["A=1", "B=with = and # inside", "HOME=/root", "UNSET=", "C="]);
}
