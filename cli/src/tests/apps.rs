//! Creating, watching, changing and removing apps.

use lattice_api::brain::usage::CellUsage;
use lattice_api::router::Reached;
use lattice_model::actual_lrp::PlacementError;
use lattice_model::desired_lrp::RestartPolicy;
use lattice_model::{CellId, CellPresence, ErrorName, ImageRef, Refusal, RegistryCredentials};

use super::fakes::{Fate, Machine, cell, line, metadata, usage};
use crate::image::{ImageError, ImageMetadata};

const IMAGE: &str = "docker.io/me/app:latest";

/// A targeted machine whose registry has `me/app`.
fn machine() -> Machine {
    let machine = Machine::targeted();
    machine.state().images.insert(IMAGE.to_owned(), Ok(metadata()));
    machine
}

async fn running(instances: u32) -> Machine {
    let machine = machine();
    machine.ltc(&format!("create web me/app -i {instances}")).await.succeeds();
    machine
}

fn credentials(registry: &str) -> RegistryCredentials {
    RegistryCredentials {
        registry: registry.to_owned(),
        username: "u".to_owned(),
        password: "hunter2".to_owned(),
    }
}

#[tokio::test]
async fn create_tells_each_step_and_ends_with_the_address_and_what_comes_next() {
    let machine = machine();
    machine.state().streams = vec![Ok(vec![line("hello from the app")])];
    let ran = machine.ltc("create web me/app").await.succeeds();
    insta::assert_snapshot!(ran.stdout, @r#"
    http://web.lattice.localhost
    http://web-8080.lattice.localhost
    "#);
    insta::assert_snapshot!(ran.stderr, @r#"
    reading docker.io/me/app:latest
    runs as user lattice, as the image says
    listens on port 8080, as the image says
    runs `/lattice-app`, as the image says
    creating web
    01/01 00:00:00.00 [APP|0] hello from the app
    placed on cell-1
    pulling the image on cell-1: 25% of 2K
    pulling the image on cell-1: 100% of 2K
    creating the container
    starting, waiting for the health check
    healthy
    web is now running
    next: ltc logs web
          ltc scale web 3
    "#);
    assert_eq!(machine.state().probed, ["http://web.lattice.localhost"]);
    assert_eq!(machine.state().domains, [("lattice".to_owned(), None)]);
}

#[tokio::test]
async fn create_ends_when_the_router_leads_to_the_app() {
    let machine = machine();
    let unknown = || Reached::Router("unknown_route".to_owned());
    machine.state().reached = vec![unknown(), Reached::Nobody("refused".to_owned()), unknown()];
    let ran = machine.ltc("create web me/app").await.succeeds();
    assert_eq!(machine.state().probed.len(), 4);
    assert!(!ran.stderr.contains("no way to"), "{}", ran.stderr);
    machine.state().reached = vec![unknown(); 10_000];
    let ran = machine.ltc("create lost me/app").await.succeeds();
    let warning = "the router has no way to http://lost.lattice.localhost yet (unknown_route)";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
}

#[tokio::test]
async fn only_addresses_of_the_target_are_asked() {
    let machine = machine();
    machine.ltc("create web me/app -R www.example.com").await.succeeds();
    machine.ltc("create none me/app -i 0").await.succeeds();
    machine.ltc("create quiet me/app --no-routes").await.succeeds();
    assert_eq!(machine.state().probed, [""; 0]);
}

#[tokio::test]
async fn an_app_that_nothing_checks_must_run_for_a_while() {
    let machine = machine();
    machine.state().fate = Fate::Flickers("Exited with status 3".to_owned());
    let ran = machine.ltc("create web me/app --no-monitor").await;
    ran.fails(14, &["started", "crashed: Exited with status 3", "crashes again and again"]);
    assert!(!ran.stderr.contains("now running"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_route_to_no_port_of_the_app_is_refused() {
    let machine = machine();
    let ran = machine.ltc("create web me/app -R shop:99").await;
    ran.fails(13, &["'shop:99' leads to port 99", "8080"]);
    assert!(machine.state().desired.is_empty());
}

#[tokio::test]
async fn create_prints_one_document_for_programs() {
    let machine = machine();
    let ran = machine.ltc("create web me/app -o json -T 50000").await.succeeds();
    let expected = serde_json::json!({
        "process_guid": "web",
        "state": "running",
        "addresses": ["lattice.localhost:50000"],
    });
    assert_eq!(ran.json(), expected);
}

#[tokio::test]
async fn a_port_of_the_target_is_in_every_address_and_in_no_hostname() {
    let machine = machine();
    machine.write(".lattice/config.json", r#"{"target":"lattice.localhost:8080"}"#);
    let ran = machine.ltc("create web me/app").await.succeeds();
    assert!(ran.stdout.starts_with("http://web.lattice.localhost:8080\n"), "{}", ran.stdout);
    let hosts = machine.state().desired["web"].routes.http()[0].hostnames.clone();
    assert_eq!(hosts, ["web.lattice.localhost", "web-8080.lattice.localhost"]);
}

#[tokio::test]
async fn every_flag_of_create_reaches_the_lrp() {
    let mut machine = machine();
    machine.vars.insert("FROM_HERE".to_owned(), "here".to_owned());
    let file = machine.write("env", "# words\nA=file\nB=file\n");
    let flags = format!(
        "create web me/app -w /dir -e A=flag -e FROM_HERE --env-file {file} -c 7 --cpu-limit 150 --max-pids 50 -m 64 -d 9 \
         -u me --privileged -p 90,80 -M 90 --monitor-timeout 1m3s -R shop:80 -T 50000:90 -i 2 \
         --restart on-failure:4 -t 1m -- /bin/run -x --y z"
    );
    machine.ltc(&flags).await.succeeds();
    let lrp = machine.state().desired["web"].clone();
    insta::assert_snapshot!(serde_json::to_string_pretty(&*lrp).unwrap());
    assert_eq!(lrp.restart_policy, RestartPolicy::OnFailure { attempts_max: 4 });
}

#[tokio::test]
async fn a_name_that_exists_is_refused_with_the_ways_on() {
    let machine = running(1).await;
    let ran = machine.ltc("create web me/app").await;
    ran.fails(14, &["exists already", "ltc update web", "ltc scale web", "ltc remove web"]);
    assert_eq!(ran.stdout, "");
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_before_anything_is_asked() {
    let machine = machine();
    machine.state().is_reachable = false;
    machine.ltc("create lattice-debug me/app").await.fails(14, &["platform's own log"]);
    machine.ltc("create a.b me/app").await.fails(13, &["'a.b' may hold only letters"]);
    machine.ltc("create web me/app --http-routes a,b").await.fails(13, &["--http-route"]);
    machine.ltc("create web me/app --cpu-limit 100001").await.fails(13, &["100001", "100000"]);
    machine.ltc("create web me/app --max-pids -1").await.fails(13, &["-1"]);
    machine.ltc("create web me/app -e =x").await.fails(13, &["'=x'"]);
    machine.ltc("create web me/app --env-file /no/such").await.fails(12, &["/no/such"]);
}

#[tokio::test]
async fn what_fits_no_cell_is_told_with_amounts() {
    let machine = machine();
    machine.state().fate = Fate::NoPlace(PlacementError {
        reason: "insufficient resources: memory".to_owned(),
        detail: "needs 4096 MB; largest free 3072 MB on cell-2".to_owned(),
    });
    let ran = machine.ltc("create web me/app -m 4096").await;
    ran.fails(11, &["needs 4096 MB; largest free 3072 MB on cell-2", "ltc remove web"]);
}

#[tokio::test]
async fn a_crash_loop_is_told_with_its_reason_and_the_last_lines() {
    let machine = machine();
    machine.state().fate = Fate::Crashes("Exited with status 1".to_owned());
    machine.state().recent = (1..=12).map(|n| line(&format!("line {n}"))).collect();
    let ran = machine.ltc("create web me/app").await;
    ran.fails(
        14,
        &[
            "crashed: Exited with status 1",
            "crashed (2 in a row)",
            "instance 0 crashed 3 times in a row",
            "line 12",
            "line 3",
            "ltc logs web --recent",
            "ltc remove web",
        ],
    );
    assert!(!ran.stderr.contains("line 2\n"), "only the last ten: {}", ran.stderr);
}

#[tokio::test]
async fn a_timeout_is_no_failure_but_says_where_to_look() {
    let machine = machine();
    machine.state().fate = Fate::Stuck;
    let ran = machine.ltc("create web me/app -t 50ms").await.succeeds();
    assert!(ran.stderr.contains("is not healthy yet"), "{}", ran.stderr);
    assert!(ran.stderr.contains("ltc logs web") && ran.stderr.contains("ltc status web"));
    assert!(ran.stdout.contains("http://web.lattice.localhost"));
}

#[tokio::test]
async fn an_app_that_ends_by_itself_is_judged_by_its_status() {
    let machine = machine();
    machine.state().fate = Fate::Exits("Exited with status 0".to_owned());
    let ran = machine.ltc("create done me/app --restart never").await.succeeds();
    assert!(ran.stdout.is_empty() && ran.stderr.contains("ltc remove done"), "{ran:?}");
    machine.state().fate = Fate::Exits("Exited with status 3".to_owned());
    machine.ltc("create bad me/app --restart never").await.fails(14, &["Exited with status 3"]);
}

#[tokio::test]
async fn images_that_cannot_be_used_say_what_to_do() {
    let machine = machine();
    for (image, error, exit, words) in [
        ("no/such", None, 15, &["there is no image docker.io/no/such:latest"][..]),
        (
            "h.io/private",
            Some(ImageError::Unauthorized("h.io".into())),
            15,
            &["without a user and password", "ltc registry login h.io"],
        ),
        (
            "h.io/far",
            Some(ImageError::Unreachable { registry: "h.io".into(), cause: "timed out".into() }),
            15,
            &["cannot reach the registry h.io: timed out", "--insecure-registry h.io"],
        ),
        ("UPPER", None, 15, &["'UPPER' is not a valid image name"]),
        ("./no-such-dir", None, 12, &["there is no ./no-such-dir"]),
    ] {
        if let Some(error) = error {
            machine.state().images.insert(format!("{image}:latest"), Err(error));
        }
        machine.ltc(&format!("create web {image}")).await.fails(exit, words);
    }
    let mute = ImageMetadata { exposed_ports: vec![80], ..ImageMetadata::default() };
    machine.state().images.insert("docker.io/mute/app:latest".into(), Ok(mute));
    machine.ltc("create web mute/app").await.fails(15, &["says what to run", "-- COMMAND"]);
    machine.ltc("create web me/app -M 1").await.fails(14, &["port 1 is not among", "8080"]);
    machine.ltc("create web me/app -U nonsense").await.fails(13, &["PORT:/PATH"]);
    machine.ltc("create web me/app -T 80").await.fails(13, &["80 is reserved"]);
    assert!(machine.state().desired.is_empty(), "nothing is left behind");
}

#[tokio::test]
async fn a_path_is_pushed_first_and_runs_by_its_digest() {
    let machine = machine();
    let dir = machine.write("layout/oci-layout", "{}").replace("/oci-layout", "");
    let digest = format!("registry.lattice.localhost/web@sha256:{}", "a".repeat(64));
    let image = ImageRef::parse(&digest).unwrap();
    machine.state().images.insert(image.to_string(), Ok(metadata()));
    machine.state().pushed = Ok(image.clone());
    let ran = machine.ltc(&format!("create web {dir}")).await.succeeds();
    assert!(ran.stderr.contains("pushing") && ran.stderr.contains("50% of 1K"), "{}", ran.stderr);
    assert!(ran.stderr.contains("(2 layers and files sent, 1 already there)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("warning: a socket was left out"), "{}", ran.stderr);
    assert_eq!(machine.state().desired["web"].main().rootfs, image.to_rootfs());
    assert!(machine.state().registries.is_empty(), "the platform knows its own registry");
}

#[tokio::test]
async fn a_directory_that_is_no_image_is_told_what_was_expected() {
    let machine = machine();
    let path = machine.write("src/Dockerfile", "FROM x").replace("/Dockerfile", "");
    machine.state().pushed = Err(ImageError::NotAnImage {
        path: path.clone().into(),
        expected: "it holds a Dockerfile; build it and `docker save`".to_owned(),
    });
    machine.ltc(&format!("create web {path}")).await.fails(15, &["holds a Dockerfile"]);
}

#[tokio::test]
async fn credentials_of_a_registry_are_handed_over_once_and_never_shown() {
    let machine = machine();
    for image in ["h.io/a:latest", "k.io/b:latest"] {
        machine.state().images.insert(image.to_owned(), Ok(metadata()));
    }
    machine.state().docker_config = vec![credentials("h.io"), credentials("k.io")];
    let password = machine.write("password", "mine\n");
    let login = format!("registry login k.io --username me --password-file {password}");
    let ran = machine.ltc(&login).await.succeeds();
    assert!(!ran.stderr.contains("mine") && !ran.stdout.contains("mine"));
    machine.state().registries.clear();
    let one = machine.ltc("create one h.io/a --insecure-registry h.io").await.succeeds();
    machine.ltc("create two k.io/b").await.succeeds();
    let handed: Vec<_> = machine.state().registries.iter().map(|c| c.password.clone()).collect();
    assert_eq!(handed, ["hunter2", "mine"], "our own login wins over Docker's");
    assert!(!format!("{one:?}").contains("hunter2"));
    let lrp = serde_json::to_string(&*machine.state().desired["one"]).unwrap();
    assert!(!lrp.contains("hunter2"));
    let inspected = machine.state().inspected.clone();
    assert_eq!((inspected[0].1.insecure, inspected[1].1.insecure), (true, false));
    assert_eq!(inspected[0].1.credentials, Some(credentials("h.io")));
}

#[tokio::test]
async fn scaling_waits_until_as_many_run_as_are_wanted() {
    let machine = running(1).await;
    let ran = machine.ltc("scale web 3").await.succeeds();
    assert!(ran.stderr.contains("instance 2: healthy"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("instance 0"), "what ran before is no news: {}", ran.stderr);
    assert!(ran.stderr.contains("web now has 3 instances"), "{}", ran.stderr);
    let ran = machine.ltc("scale web 1").await.succeeds();
    assert!(ran.stderr.contains("web now has 1 instance\n"), "{}", ran.stderr);
    assert_eq!(machine.state().actual["web"].len(), 1);
    machine.ltc("scale web 0").await.succeeds();
}

#[tokio::test]
async fn scaling_fails_as_creating_does() {
    let machine = running(1).await;
    machine.ltc("scale nobody 2").await.fails(14, &["no app named nobody", "ltc list"]);
    let error =
        PlacementError { reason: "insufficient resources".into(), detail: "needs 1 MB".into() };
    machine.state().fate = Fate::NoPlace(error);
    machine.ltc("scale web 2").await.fails(11, &["insufficient resources (needs 1 MB)"]);
    machine.state().fate = Fate::Stuck;
    let ran = machine.ltc("scale web 3 -t 30ms").await.succeeds();
    assert!(ran.stderr.contains("ltc status web"), "{}", ran.stderr);
}

#[tokio::test]
async fn update_replaces_only_the_kind_that_is_named() {
    let machine = machine();
    machine.ltc("create web me/app -R a -T 50000").await.succeeds();
    let ssh = serde_json::json!({"container_port": 2222});
    let with_ssh = |machine: &Machine| {
        let mut state = machine.state();
        let lrp = state.desired.get_mut("web").unwrap();
        std::sync::Arc::make_mut(lrp).routes.0.insert("diego-ssh".into(), ssh.clone());
    };
    with_ssh(&machine);
    let ran = machine.ltc("update web -R b").await.succeeds();
    assert_eq!(ran.stdout, "http://b.lattice.localhost\nlattice.localhost:50000\n");
    let ran = machine.ltc("update web -T 50001 -o json").await.succeeds();
    assert_eq!(ran.json()[0]["url"], "http://b.lattice.localhost");
    assert_eq!(ran.json()[1]["address"], "lattice.localhost:50001");
    let ran = machine.ltc("up web --no-routes").await.succeeds();
    assert!(ran.stderr.contains("no routes now"), "{}", ran.stderr);
    let routes = machine.state().desired["web"].routes.clone();
    assert_eq!(routes.0["cf-router"], serde_json::json!([]));
    assert_eq!(routes.0["tcp-router"], serde_json::json!([]));
    assert_eq!(routes.0["diego-ssh"], ssh);
}

#[tokio::test]
async fn update_says_what_is_wrong() {
    let machine = running(1).await;
    machine.ltc("update web").await.fails(13, &["--no-routes"]);
    machine.ltc("update nobody -R x").await.fails(14, &["no app named nobody"]);
    machine.ltc("update web -R :80").await.fails(13, &["malformed route ':80'"]);
    machine.ltc("update web --tcp-routes 1:2").await.fails(13, &["repeat --tcp-route"]);
}

#[tokio::test]
async fn remove_goes_on_with_the_others_and_fails_for_the_one() {
    let machine = running(1).await;
    machine.ltc("create two me/app").await.succeeds();
    let ran = machine.ltc("remove web nobody two --wait").await;
    ran.fails(14, &["no app named nobody", "removing web", "two is gone"]);
    assert!(machine.state().desired.is_empty());
}

#[tokio::test]
async fn lists_are_for_people_and_for_programs() {
    let machine = running(2).await;
    machine.ltc("create api me/app -R api -T 50000 -m 0").await.succeeds();
    let ran = machine.ltc("list").await.succeeds();
    insta::assert_snapshot!(ran.stdout, @r#"
    APP   INSTANCES   DISK        MEMORY      ROUTES
    api   1/1         unlimited   unlimited   http://api.lattice.localhost => 8080
                                              lattice.localhost:50000 => 8080
    web   2/2         unlimited   128M        http://web.lattice.localhost => 8080
                                              http://web-8080.lattice.localhost => 8080

    no tasks
    "#);
    let json = machine.ltc("ls -o json").await.succeeds().json();
    assert_eq!(json["apps"][1]["process_guid"], "web");
    assert_eq!(json["apps"][1]["instances_running"], 2);
    assert_eq!(json["apps"][0]["routes"][0]["url"], "http://api.lattice.localhost");
    assert_eq!(json["tasks"], serde_json::json!([]));
}

#[tokio::test]
async fn status_shows_the_app_and_its_instances() {
    let machine = running(2).await;
    let silent = CellUsage {
        cell_id: CellId::new("cell-2").unwrap(),
        instances: vec![],
        error: "cannot reach cell cell-2: no answer within 10 s".to_owned(),
    };
    machine.state().usage = vec![usage(), silent];
    let ran = machine.ltc("status web").await.succeeds();
    insta::assert_snapshot!(ran.stdout, @r#"
    web
    Instances       2/2
    Image           docker.io/me/app:latest
    Memory          128M
    Disk            unlimited
    CPU weight      100
    CPU limit       unlimited
    Processes       1024
    Ports           8080
    Routes          http://web.lattice.localhost => 8080
                    http://web-8080.lattice.localhost => 8080
    Monitor         port 8080
    Start timeout   none
    Restart         always

    Environment
    PROCESS_GUID="web"
    VCAP_APPLICATION="{\"application_name\":\"web\",\"application_uris\":[\"web.lattice.localhost\",\"web-8080.lattice.localhost\"],\"name\":\"web\",\"uris\":[\"web.lattice.localhost\",\"web-8080.lattice.localhost\"],\"limits\":{\"mem\":128}}"
    PORT="8080"
    VCAP_SERVICES="{}"

    INSTANCE   STATE     CRASHES   CPU     MEMORY   UPTIME   CELL     NOTE
    0          RUNNING   0         1.23%   3.3M     1m3s     cell-1   -
    1          RUNNING   0         -       -        1m3s     cell-1   -
    "#);
    assert_eq!(
        ran.stderr,
        "warning: what the instances on cell-2 use is not known: cannot reach cell cell-2: no \
         answer within 10 s\n"
    );
    let ran = machine.ltc("status web -d").await.succeeds();
    let detail = ran.stdout.split_once("Instance 0 ").unwrap().1;
    insta::assert_snapshot!(detail, @r#"
    [RUNNING]
      Guid      guid-1
      Cell      cell-1
      Address   -
      Ports     -
      Uptime    1m3s
      Crashes   0
      CPU       1.23% (entitled to 50%)
      Memory    3.3M of 128M
      Disk      2M
      Network   1M in, 2K out
      Age       1m5s
      Note      -

    Instance 1 [RUNNING]
      Guid      guid-1
      Cell      cell-1
      Address   -
      Ports     -
      Uptime    1m3s
      Crashes   0
      CPU       -
      Memory    -
      Disk      -
      Network   -
      Age       -
      Note      -
    "#);
    let json = machine.ltc("st web --output json").await.succeeds().json();
    assert_eq!(json["instances"][0]["state"], "RUNNING");
    assert_eq!(json["instances"][0]["memory_bytes"], 3_460_301);
    assert_eq!(json["instances"][0]["measured_at"], 999_000_000_000_u64);
    assert_eq!(json["instances"][1].get("memory_bytes"), None);
    assert_eq!(json["desired"]["monitor"], "port 8080");
    machine.ltc("status nobody").await.fails(14, &["no app named nobody"]);
}

#[tokio::test]
async fn cells_and_their_load_are_shown() {
    let machine = running(2).await;
    let warnings = vec!["limits on the disk are not enforced: no loop devices".to_owned()];
    machine.state().cells = vec![CellPresence { warnings, ..cell("cell-10") }, cell("cell-9")];
    let ran = machine.ltc("cells").await.succeeds();
    insta::assert_snapshot!(ran.stdout, @r#"
    CELL               ZONE   MEMORY   DISK     RUNNING/STARTING
    cell-1 (missing)   -      -        -        2/0
    cell-9             z1     4096M    10240M   0/0
    cell-10            z1     4096M    10240M   0/0
    cell-10: limits on the disk are not enforced: no loop devices
    "#);
    assert_eq!(machine.ltc("ce -o json").await.succeeds().json()[0]["cell_id"], "cell-1");
    let ran = machine.ltc("visualize").await.succeeds();
    insta::assert_snapshot!(ran.stdout, @r#"
    Distribution
    cell-1 (missing): ••
    cell-9: empty
    cell-10: empty
    "#);
    let ran = machine.ltc("vz -g").await.succeeds();
    insta::assert_snapshot!(ran.stdout, @r#"
    Distribution
    cell-1 (missing)  ██ 2
    cell-9            0
    cell-10           0
    "#);
}

#[tokio::test]
async fn a_refusal_is_passed_on_in_the_platforms_words() {
    let machine = machine();
    let words = "Invalid field: memory_mb";
    machine.state().refusal = Some(Refusal::new(ErrorName::InvalidLRP, words));
    machine.ltc("create web me/app").await.fails(14, &[words]);
    machine.state().refusal = Some(Refusal::new(ErrorName::RouterError, "unknown route"));
    machine.ltc("list").await.fails(1, &["the router knows no receptor here: unknown route"]);
}
