//! Images: from a directory, a tarball, registries open and private; and images that are not what
//! they should be.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lattice_tests::appliance::{Appliance, Said};
use lattice_tests::registry::Registry;
use lattice_tests::web::Web;
use lattice_tests::{PATIENCE, eventually, expect, image, machine, program};
use reqwest::Method;
use sha2::{Digest as _, Sha256};

const PORT: u16 = 5000;

#[test]
fn a_directory_with_a_program_is_an_app() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let dir = lattice.scratch().join("app");
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(program("lattice-app"), dir.join("lattice-app")).unwrap();
    lattice.ltc_ok(&["create", "web", dir.to_str().unwrap()]);
    assert_eq!(Web::new().get("web", "/index").unwrap().body, "0");
    // What is there already is not sent again.
    let again = lattice.ltc(&["create", "web2", dir.to_str().unwrap()]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.err.contains("already there"), "{again:?}");
}

#[test]
fn a_root_filesystem_is_an_app_with_the_users_it_knows() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let root = root_filesystem(lattice.scratch());
    let create = ["create", "web", root.to_str().unwrap(), "-u", "clerk", "--", "/usr/bin/serve"];
    lattice.ltc_ok(&create);
    assert_eq!(web.get("web", "/greeting").unwrap().body, "from a root filesystem\n");
    lattice.wait_logged(&web, "web", "uid=4321(clerk) gid=4322(clerks)");
    let stranger = lattice.ltc(&["create", "web2", root.to_str().unwrap(), "-u", "nobody-there"]);
    assert_ne!(stranger.code, 0, "{stranger:?}");
}

/// A small system: Debian's static busybox, a user, and a server for what is in `/srv`.
fn root_filesystem(scratch: &Path) -> PathBuf {
    let root = scratch.join("root");
    for dir in ["bin", "etc", "usr/bin", "srv", "tmp"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "id", "httpd"] {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    write("etc/passwd", "root:x:0:0::/:/bin/sh\nclerk:x:4321:4322::/srv:/bin/sh\n");
    write("etc/group", "root:x:0:\nclerks:x:4322:\n");
    write("srv/greeting", "from a root filesystem\n");
    write("usr/bin/serve", "#!/bin/sh\nid\nexec httpd -f -p 8080 -h /srv\n");
    let executable = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.join("usr/bin/serve"), executable).unwrap();
    root
}

#[test]
fn a_docker_save_tarball_is_an_app() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let tarball = lattice.scratch().join("app.tar");
    let from = format!("oci:{}", layout.display());
    let to = format!("docker-archive:{}:web:v1", tarball.display());
    machine::run("skopeo", &["--insecure-policy", "copy", &from, &to]);
    lattice.ltc_ok(&["create", "web", tarball.to_str().unwrap()]);
    assert_eq!(Web::new().get("web", "/index").unwrap().body, "0");
}

#[test]
fn a_source_directory_is_told_what_was_expected() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    for name in ["Dockerfile", "Procfile", "package.json"] {
        let dir = lattice.scratch().join(name.to_lowercase());
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join(name), "{}").unwrap();
        let said = lattice.ltc(&["create", "web", dir.to_str().unwrap()]);
        assert_ne!(said.code, 0, "{said:?}");
        assert!(said.err.contains(name) && said.err.contains("docker save"), "{said:?}");
    }
}

#[test]
fn a_registry_image_runs_by_tag_and_by_digest() {
    machine::isolate();
    let registry = Registry::open(PORT);
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let name = format!("{}/team/app", registry.host());
    image::copy(&layout, &format!("{name}:v1"), None);
    lattice.ltc_ok(&["create", "by-tag", &format!("{name}:v1")]);
    assert_eq!(web.get("by-tag", "/index").unwrap().body, "0");

    let url = format!("http://{}/v2/team/app/manifests/v1", registry.host());
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let manifest = web.block_on(async {
        let request = reqwest::Client::new().get(url).header("accept", accept);
        request.send().await.unwrap().bytes().await.unwrap()
    });
    let digest: String = Sha256::digest(&manifest).iter().map(|b| format!("{b:02x}")).collect();
    lattice.ltc_ok(&["create", "by-digest", &format!("{name}@sha256:{digest}")]);
    assert_eq!(web.get("by-digest", "/index").unwrap().body, "0");
}

#[test]
fn a_private_registry_wants_the_right_credentials() {
    machine::isolate();
    let registry = Registry::private(PORT, "ann", "open-sesame");
    let mut lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let name = format!("{}/app:v1", registry.host());
    image::copy(&layout, &name, Some("ann:open-sesame"));

    let none = create(&lattice, &name, "");
    assert_ne!(none.code, 0, "{none:?}");
    assert!(none.err.contains("registry login"), "the next command is said: {none:?}");
    let wrong = create(&lattice, &name, "ann:wild-guess");
    assert_eq!(wrong.code, 15, "{wrong:?}");
    assert!(wrong.err.contains("registry login"), "the next command is said: {wrong:?}");
    let watch = ArgumentWatch::start(&secrets("ann", "open-sesame"));
    let right = create(&lattice, &name, "ann:open-sesame");
    assert_eq!(right.code, 0, "{right:?}\n{}", lattice.log());
    watch.end();

    let mut told = everything_told(&lattice);
    told.extend([("wrong", wrong.all()), ("right", right.all())].map(|(n, t)| (n.to_owned(), t)));
    told.extend(files_of(&lattice.data_dir()));
    // The next process knows them as well, and tells them to nobody either.
    lattice.kill();
    lattice.up();
    let other = format!("{}/other:v1", registry.host());
    image::copy(&layout, &other, Some("ann:open-sesame"));
    create_by_api(&lattice, "other", &other);
    lattice.wait_running(&Web::new(), "other", 1);
    told.extend(files_of(&lattice.data_dir()));
    told.push(("the list".to_owned(), lattice.ltc_ok(&["registry", "list", "-o", "json"])));
    for secret in [secrets("ann", "wild-guess"), secrets("ann", "open-sesame")].concat() {
        for (place, text) in &told {
            assert!(!text.contains(&secret), "a password is in {place}: {text}");
        }
    }
}

#[test]
fn credentials_that_are_forgotten_pull_nothing_any_more() {
    machine::isolate();
    let registry = Registry::private(PORT, "ann", "open-sesame");
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let image = |name: &str| format!("{}/{name}:v1", registry.host());
    for name in ["app", "other"] {
        image::copy(&layout, &image(name), Some("ann:open-sesame"));
    }
    let made = create(&lattice, &image("app"), "ann:open-sesame");
    assert_eq!(made.code, 0, "{made:?}");
    let kept = serde_json::json!([
        {"registry": registry.host(), "username": "ann", "here": false, "on_lattice": true}]);
    assert_eq!(lattice.ltc_json(&["registry", "list"]), kept);

    lattice.ltc_ok(&["registry", "remove", &registry.host()]);
    assert_eq!(lattice.ltc_json(&["registry", "list"]), serde_json::json!([]));
    let again = lattice.ltc(&["registry", "remove", &registry.host()]);
    assert_eq!(again.code, 14, "{again:?}");
    assert!(
        again.err.contains("no credentials") && again.err.contains("registry list"),
        "{again:?}"
    );
    create_by_api(&lattice, "other", &image("other"));
    eventually("the registry turns the cell away", PATIENCE, || {
        let other = lattice.instances(&web, "other");
        let reason = other[0]["crash_reason"].as_str().unwrap_or_default();
        expect(reason.contains("refused access"), other)
    });
    assert_eq!(web.get("web", "/index").unwrap().body, "0", "what runs stays");
}

/// Creates an app like `web` of another image without `ltc`, which would hand over credentials.
fn create_by_api(lattice: &Appliance, app: &str, image: &str) {
    let web = Web::new();
    let like = lattice.api(&web, Method::GET, "/v1/desired_lrps/web", None);
    let mut lrp: serde_json::Value = serde_json::from_str(&like.body).unwrap();
    let (host, path) = image.split_once('/').expect("an image has a registry");
    let (path, tag) = path.rsplit_once(':').expect("it has a tag");
    lrp["rootfs"] = format!("docker://{host}/{path}#{tag}").into();
    lrp["process_guid"] = app.into();
    let made = lattice.api(&web, Method::POST, "/v1/desired_lrps", Some(lrp));
    assert_eq!(made.status, 201, "{made:?}");
}

/// What is kept in files, but for what belongs to instances and images.
fn files_of(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // What belongs to an instance that is at its end may go meanwhile.
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_kept = !["rootfs", "images", "registry"].iter().any(|name| path.ends_with(name));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && is_kept => found.extend(files_of(&path)),
            Ok(kind) if kind.is_file() => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                found.push((path.display().to_string(), text));
            }
            Ok(_) | Err(_) => {}
        }
    }
    found
}

/// Every list, event and log by which the platform tells of the app `web`, by its name.
fn everything_told(lattice: &Appliance) -> Vec<(String, String)> {
    let web = Web::new();
    let mut told = vec![("the log".to_owned(), lattice.log())];
    for path in ["desired_lrps", "actual_lrps", "desired_lrps/web", "tasks", "cells", "domains"] {
        let path = format!("/v1/{path}");
        let answer = lattice.api(&web, Method::GET, &path, None);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        told.push((path, answer.body));
    }
    for app in ["web", "lattice-debug"] {
        let lines = lattice.recent_logs(&web, app);
        assert!(!lines.is_empty(), "{app} has a log");
        told.push((app.to_owned(), lines.join("\n")));
    }
    let events = events_so_far(lattice, &web);
    assert!(events.contains("desired_lrp_created"), "the story is told from its start: {events}");
    told.push(("the events".to_owned(), events));
    told
}

/// The event stream from its beginning until it is silent.
fn events_so_far(lattice: &Appliance, web: &Web) -> String {
    let here = events_after(lattice, web, "");
    let id = here.lines().find_map(|line| line.strip_prefix("id: ")).expect("it says where it is");
    let (life, _) = id.split_once('-').expect("an id is LIFE-SEQUENCE");
    events_after(lattice, web, &format!("{life}-0"))
}

fn events_after(lattice: &Appliance, web: &Web, id: &str) -> String {
    let admin = lattice.admin();
    let request = web
        .request(Method::GET, "receptor", "/v1/events")
        .basic_auth(&admin.username, Some(&admin.password))
        .header("last-event-id", id);
    web.block_on(async {
        let mut stream = request.send().await.unwrap();
        let mut events = Vec::new();
        let silence = Duration::from_secs(1);
        while let Ok(Ok(Some(chunk))) = tokio::time::timeout(silence, stream.chunk()).await {
            events.extend_from_slice(&chunk);
        }
        String::from_utf8(events).unwrap()
    })
}

/// A password as it is, and as HTTP and Docker's configuration carry it.
fn secrets(user: &str, password: &str) -> Vec<String> {
    use base64::Engine as _;
    let encoded = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
    vec![password.to_owned(), encoded]
}

/// Looks at the arguments of every process of the machine, over and over.
struct ArgumentWatch {
    done: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl ArgumentWatch {
    fn start(secrets: &[String]) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (secrets, is_done) = (secrets.to_vec(), Arc::clone(&done));
        let look = move || {
            let mut found = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                let processes = std::fs::read_dir("/proc").unwrap().flatten();
                let bytes = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
                let lines = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                found.extend(lines.filter(|line| secrets.iter().any(|s| line.contains(s))));
                std::thread::sleep(Duration::from_millis(5));
            }
            found
        };
        Self { done, thread: std::thread::spawn(look) }
    }

    fn end(self) {
        self.done.store(true, Ordering::Relaxed);
        let found = self.thread.join().unwrap();
        assert!(found.is_empty(), "a password is an argument: {found:?}");
    }
}

#[test]
fn an_unknown_image_is_named_as_such() {
    machine::isolate();
    let registry = Registry::open(PORT);
    let lattice = Appliance::start(&[]);
    let said = lattice.ltc(&["create", "web", &format!("{}/nothing:v1", registry.host())]);
    assert_eq!(said.code, 15, "{said:?}");
    assert!(said.err.contains("nothing"), "{said:?}");
    let said = lattice.ltc(&["create", "web", "127.0.0.1:1/nobody:v1"]);
    assert_eq!(said.code, 15, "{said:?}");
}

#[test]
fn a_corrupt_layer_is_refused_and_named() {
    machine::isolate();
    let registry = Registry::open(PORT);
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let layout = image::layout(lattice.scratch(), "lattice-app", &[]);
    let name = format!("{}/app:v1", registry.host());
    image::copy(&layout, &name, None);
    registry.corrupt_largest_blob();
    let said = lattice.ltc(&["create", "web", &name, "-t", "15s"]);
    let lrp = lattice.instances(&web, "web").remove(0);
    let told = format!("{said:?} {lrp} {:?}", lattice.recent_logs(&web, "web"));
    assert!(told.contains("not usable") && told.contains("sha256:"), "{told}");
}

#[test]
fn a_layer_that_tries_to_escape_is_refused_and_changes_nothing() {
    machine::isolate();
    let registry = Registry::open(PORT);
    let lattice = Appliance::start(&[]);
    let web = Web::new();
    let victim = lattice.scratch().join("victim");
    let layout = lattice.scratch().join("evil");
    image::layout_of_layer(&layout, &escaping_layer(&victim));
    let name = format!("{}/evil:v1", registry.host());
    image::copy(&layout, &name, None);
    let said = lattice.ltc(&["create", "evil", &name, "-t", "15s"]);
    let lrp = lattice.instances(&web, "evil").remove(0);
    let told = format!("{said:?} {lrp} {:?}", lattice.recent_logs(&web, "evil"));
    assert!(told.contains("not usable"), "{told}");
    assert!(!victim.exists(), "the layer wrote outside its root");
}

/// An uncompressed layer with one file whose name climbs out of any root to `victim`.
fn escaping_layer(victim: &Path) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let name = format!("../../../../../../../../../..{}", victim.display());
    assert!(name.len() < 100, "a short temporary directory");
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(b"00000000004\0");
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(b"evil");
    tar.resize(512 * 4, 0);
    tar
}

/// `ltc create web NAME` with these credentials in the person's Docker configuration.
fn create(lattice: &Appliance, name: &str, account: &str) -> Said {
    use base64::Engine as _;
    let home = lattice.scratch().join("home");
    std::fs::create_dir_all(home.join(".docker")).unwrap();
    let host = name.split('/').next().unwrap();
    let auth = base64::prelude::BASE64_STANDARD.encode(account);
    let config = match account {
        "" => serde_json::json!({}),
        _ => serde_json::json!({"auths": {host: {"auth": auth}}}),
    };
    std::fs::write(home.join(".docker/config.json"), config.to_string()).unwrap();
    let mut command = lattice.ltc_command(&["create", "web", name]);
    command.env("HOME", &home).env_remove("DOCKER_CONFIG");
    Said::of(command)
}
