use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use lattice_api::registry::{Options, digest_of};

use super::build::ImageBuilder;
use super::docker_config::DockerConfig;
use super::inspect::config_of;
use super::*;

fn client(options: Options) -> Client {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new(Options { resume_delay: Duration::from_millis(1), ..options }).unwrap()
}

fn app() -> ImageBuilder {
    ImageBuilder::new()
        .file("/bin/app", "the program", 0o755)
        .link("/app", "bin/app")
        .next_layer()
        .file("/etc/config", "x".repeat(3000), 0o640)
        .entrypoint(["/bin/app", "--fast"])
        .env("MODE", "test=1")
        .expose(8080)
        .expose(80)
        .user("1000:1000")
        .working_dir("/etc")
}

fn tar_of(directory: &Path, tar: &Path) {
    let mut builder = tar::Builder::new(File::create(tar).unwrap());
    builder.append_dir_all(".", directory).unwrap();
    builder.finish().unwrap();
}

fn gzip_of(file: &Path, gz: &Path) {
    let mut encoder =
        flate2::write::GzEncoder::new(File::create(gz).unwrap(), flate2::Compression::fast());
    encoder.write_all(&fs::read(file).unwrap()).unwrap();
    encoder.finish().unwrap();
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_same_files_make_the_same_image() {
    let home = tempfile::tempdir().unwrap();
    let first = app().write_layout(&home.path().join("1")).unwrap();
    let second = app().write_layout(&home.path().join("2")).unwrap();
    assert_eq!(first, second);
    let other = app().env("X", "y").write_layout(&home.path().join("3")).unwrap();
    assert_ne!(first, other);
    for name in ["a", "b"] {
        write(&home.path().join(name).join("usr/bin/tool"), "tool", 0o755);
        write(&home.path().join(name).join("etc/hosts"), "", 0o644);
    }
    let digest = |name: &str| {
        let source = source::open(&home.path().join(name)).unwrap();
        source.manifests()[0].digest.clone()
    };
    assert_eq!(digest("a"), digest("b"));
}

#[test]
fn layouts_are_recognised_as_directory_as_tar_and_as_tar_gz() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let digest = app().write_layout(&at("layout")).unwrap();
    tar_of(&at("layout"), &at("app.tar"));
    gzip_of(&at("app.tar"), &at("app.tar.gz"));
    for name in ["layout", "app.tar", "app.tar.gz"] {
        let source = source::open(&at(name)).unwrap();
        assert_eq!(source.kind(), SourceKind::OciLayout, "{name}");
        assert_eq!(source.manifests()[0].digest, digest, "{name}");
        assert_eq!(source.blobs().len(), 3, "{name}");
        assert_eq!(source.document().config.entrypoint, ["/bin/app", "--fast"], "{name}");
    }
}

#[test]
fn a_directory_is_a_root_filesystem_by_a_rule_that_can_be_told() {
    let home = tempfile::tempdir().unwrap();
    let case = |name: &str, files: &[(&str, u32)]| {
        for (file, mode) in files {
            write(&home.path().join(name).join(file), "x", *mode);
        }
        source::open(&home.path().join(name))
    };
    let entrypoint = |source: &ImageSource| source.document().config.entrypoint.clone();
    let program = case("program", &[("serve", 0o755), ("data.txt", 0o644)]).unwrap();
    assert_eq!(program.kind(), SourceKind::RootfsDirectory);
    assert_eq!(entrypoint(&program), ["/serve"]);
    let two = case("two", &[("serve", 0o755), ("admin", 0o755)]).unwrap();
    assert_eq!(entrypoint(&two), Vec::<String>::new(), "two programs: nobody guesses");
    case("system", &[("etc/passwd", 0o644), ("package.json", 0o644)]).unwrap();
    case("bin-only", &[("bin/x", 0o755)]).unwrap();
    for (name, files, expected) in [
        ("docker", vec![("Dockerfile", 0o644), ("run.sh", 0o755)], "has a Dockerfile"),
        ("node", vec![("package.json", 0o644), ("bin/www", 0o755)], "has a package.json"),
        ("heroku", vec![("Procfile", 0o644)], "has a Procfile"),
        ("notes", vec![("readme.txt", 0o644)], "no executable file"),
    ] {
        let why = case(name, &files).unwrap_err();
        assert!(matches!(why, PushError::NotAnImage { .. }), "{why}");
        let why = why.to_string();
        assert!(why.contains(expected) && why.contains("docker save"), "{name}: {why}");
    }
}

#[test]
fn files_that_are_no_images_say_what_is_wanted() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    write(&at("text"), "hello, this is not a tar", 0o644);
    write(&at("empty"), "", 0o644);
    write(&at("dir/some/file"), "x", 0o644);
    tar_of(&at("dir"), &at("plain.tar"));
    app().write_layout(&at("broken")).unwrap();
    fs::remove_dir_all(at("broken/blobs")).unwrap();
    for (name, expected) in [
        ("text", "docker save"),
        ("empty", "docker save"),
        ("plain.tar", "docker save"),
        ("missing", "cannot read"),
        ("broken", "it has no blobs/sha256/"),
    ] {
        let why = source::open(&at(name)).unwrap_err().to_string();
        assert!(why.contains(expected), "{name}: {why}");
    }
}

/// Debian's registry, on loopback, stopped when dropped.
struct DockerRegistry {
    child: Child,
    host: String,
    _home: tempfile::TempDir,
}

impl DockerRegistry {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '{free}'}}\n",
            home.path().display()
        );
        let path = home.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let deadline = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(free).await.is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { child, host: free.to_string(), _home: home }
    }

    fn image(&self, name: &str) -> ImageRef {
        ImageRef::parse(&format!("{}/{name}", self.host)).unwrap()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn skopeo(args: &[&str]) {
    let output = Command::new("skopeo")
        .arg("--insecure-policy")
        .args(args)
        .output()
        .expect("skopeo is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_is_pushed_is_there_and_is_not_sent_twice() {
    let registry = DockerRegistry::start().await;
    let home = tempfile::tempdir().unwrap();
    let digest = app().write_layout(home.path()).unwrap();
    let source = source::open(home.path()).unwrap();
    // Chunks far smaller than the layers: several requests for each.
    let client = client(Options { chunk_bytes: 64, ..Options::default() });
    let seen = std::sync::Mutex::new(Vec::new());
    let progress = |done: u64, all: u64| seen.lock().unwrap().push((done, all));
    let image = registry.image("team/app:v1");
    let first = push(&client, &source, &image, None, &progress).await.unwrap();
    assert_eq!((first.digest.as_str(), first.sent, first.skipped), (digest.as_str(), 3, 0));
    let total: u64 = source.blobs().iter().map(|(d, _)| d.size).sum();
    assert_eq!(first.sent_bytes, total);
    assert_eq!(seen.lock().unwrap().last(), Some(&(total, total)));
    let again = push(&client, &source, &registry.image("team/app:v2"), None, &|_, _| {}).await;
    let again = again.unwrap();
    assert_eq!((again.digest, again.sent, again.skipped, again.sent_bytes), (digest, 0, 3, 0));
    let facts = config_of(&image, None, &[]).await.unwrap();
    assert_eq!(facts.entrypoint, ["/bin/app", "--fast"]);
    assert_eq!(facts.exposed_ports, [80, 8080]);
    assert_eq!((&facts.user[..], &facts.working_dir[..]), ("1000:1000", "/etc"));
    assert_eq!((&facts.env[0].name[..], &facts.env[0].value[..]), ("MODE", "test=1"));
    // Another tool finds nothing wrong with it either.
    let copy = format!("oci:{}", home.path().join("copy").display());
    let from = format!("docker://{image}");
    skopeo(&["copy", "--src-tls-verify=false", &from, &copy]);
    let copied = source::open(&home.path().join("copy")).unwrap();
    assert_eq!(copied.manifests()[0].digest, first.digest);
}

#[tokio::test]
async fn docker_archives_and_directories_are_pushed_too() {
    let registry = DockerRegistry::start().await;
    let client = client(Options::default());
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    app().write_layout(&at("layout")).unwrap();
    let (from, to) = (
        format!("oci:{}", at("layout").display()),
        format!("docker-archive:{}:app:v1", at("saved.tar").display()),
    );
    skopeo(&["copy", &from, &to]);
    gzip_of(&at("saved.tar"), &at("saved.tar.gz"));
    write(&at("root/etc/hosts"), "hosts", 0o600);
    write(&at("root/serve"), "program", 0o755);
    for (name, kind, entrypoint) in [
        ("saved.tar", SourceKind::DockerArchive, "/bin/app"),
        ("saved.tar.gz", SourceKind::DockerArchive, "/bin/app"),
        ("root", SourceKind::RootfsDirectory, "/serve"),
    ] {
        let source = source::open(&at(name)).unwrap();
        assert_eq!(source.kind(), kind, "{name}");
        let image = registry.image(&format!("app:{}", name.replace('.', "-")));
        push(&client, &source, &image, None, &|_, _| {}).await.unwrap();
        let facts = config_of(&image, None, &[]).await.unwrap();
        assert_eq!(facts.entrypoint[0], entrypoint, "{name}");
        let copy = format!("oci:{}", at(&format!("copy-{name}")).display());
        let from = format!("docker://{image}");
        skopeo(&["copy", "--src-tls-verify=false", &from, &copy]);
    }
}

#[tokio::test]
async fn an_index_is_pushed_whole() {
    let registry = DockerRegistry::start().await;
    let home = tempfile::tempdir().unwrap();
    let blobs = home.path().join("blobs/sha256");
    let entries: Vec<_> = ["amd64", "arm64"]
        .map(|architecture| {
            let other = tempfile::tempdir().unwrap();
            let built = app().architecture(architecture).env("FOR", architecture);
            let digest = built.write_layout(other.path()).unwrap();
            fs::create_dir_all(&blobs).unwrap();
            for blob in fs::read_dir(other.path().join("blobs/sha256")).unwrap() {
                let blob = blob.unwrap();
                fs::copy(blob.path(), blobs.join(blob.file_name())).unwrap();
            }
            let size = fs::metadata(blobs.join(&digest[7..])).unwrap().len();
            serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest, "size": size,
                "platform": {"os": "linux", "architecture": architecture}})
        })
        .into();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": entries,
        "mediaType": "application/vnd.oci.image.index.v1+json"});
    fs::write(home.path().join("index.json"), index.to_string()).unwrap();
    fs::write(home.path().join("oci-layout"), "{}").unwrap();
    let source = source::open(home.path()).unwrap();
    let image = registry.image("many:v1");
    let pushed = push(&client(Options::default()), &source, &image, None, &|_, _| {}).await;
    assert_eq!(pushed.unwrap().digest, digest_of(index.to_string().as_bytes()));
    for architecture in ["amd64", "arm64"] {
        let client = client(Options { architecture: architecture.into(), ..Options::default() });
        let repository = client.repository(&image, None, Access::Pull);
        let resolved = repository.resolve("v1").await.unwrap();
        let document = repository.image_document(&resolved).await.unwrap();
        assert_eq!(document.architecture, architecture);
    }
}

/// A registry that stores half of a chunk and fails, a number of times.
#[derive(Default)]
struct Faulty {
    failures: usize,
    forgets: bool,
    stored: HashMap<String, Vec<u8>>,
    whole: Vec<Vec<u8>>,
    log: Vec<String>,
}

async fn faulty(
    State(state): State<Arc<tokio::sync::Mutex<Faulty>>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut state = state.lock().await;
    let range = parts.headers.get("content-range").and_then(|v| v.to_str().ok()).unwrap_or("-");
    state.log.push(format!("{} {range}", parts.method));
    let path = parts.uri.path().to_owned();
    let location = |path: &str| [("location", path.to_owned())];
    if parts.method == Method::POST {
        let place = format!("/v2/app/blobs/uploads/{}", state.log.len());
        state.stored.insert(place.clone(), Vec::new());
        return (StatusCode::ACCEPTED, location(&place)).into_response();
    }
    if path.contains("/manifests/") {
        return StatusCode::CREATED.into_response();
    }
    let Some(stored) = state.stored.get_mut(&path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match parts.method {
        Method::PATCH => {
            let start: usize = range.split('-').next().unwrap().parse().unwrap();
            assert_eq!(start, stored.len(), "a chunk goes on where the last one ended");
            stored.extend_from_slice(&body);
            if state.failures > 0 {
                state.failures -= 1;
                let stored = state.stored.get_mut(&path).unwrap();
                stored.truncate(start + body.len() / 2);
                if state.forgets {
                    state.stored.clear();
                }
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            (StatusCode::ACCEPTED, location(&path)).into_response()
        }
        Method::GET => {
            let range = format!("0-{}", stored.len().saturating_sub(1));
            (StatusCode::NO_CONTENT, location(&path), [("range", range)]).into_response()
        }
        _ => {
            let whole = state.stored.remove(&path).unwrap();
            state.whole.push(whole);
            StatusCode::CREATED.into_response()
        }
    }
}

#[tokio::test]
async fn an_upload_that_fails_goes_on_at_the_registrys_own_count() {
    let bytes: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    for (failures, forgets, succeeds) in [(2, false, true), (1, true, true), (99, false, false)] {
        let state = Faulty { failures, forgets, ..Faulty::default() };
        let state = Arc::new(tokio::sync::Mutex::new(state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(faulty).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let client = client(Options { chunk_bytes: 4000, ..Options::default() });
        let image = ImageRef::parse(&format!("{host}/app:v1")).unwrap();
        let repository = client.repository(&image, None, Access::Push);
        let size = bytes.len() as u64;
        let descriptor = Descriptor { digest: digest_of(&bytes), size, ..Descriptor::default() };
        let blob = Blob::Bytes(bytes.clone().into());
        let outcome = repository.upload(&descriptor, &blob, &|_| {}).await;
        let state = state.lock().await;
        assert_eq!(outcome.is_ok(), succeeds, "{outcome:?}");
        if succeeds {
            assert_eq!(state.whole, std::slice::from_ref(&bytes));
        } else {
            let patches = state.log.iter().filter(|l| l.starts_with("PATCH")).count();
            assert_eq!(patches, 4, "there is an end to trying");
        }
        if failures == 2 {
            let mut patches = state.log.iter().filter_map(|l| l.strip_prefix("PATCH "));
            let expected = ["0-3999", "2000-5999", "4000-7999", "8000-9999"];
            assert!(patches.by_ref().eq(expected), "{:?}", state.log);
        }
    }
}

fn docker_config(home: &Path, json: &str) -> DockerConfig {
    fs::write(home.join("config.json"), json).unwrap();
    DockerConfig::load(&home.join("config.json")).unwrap()
}

#[tokio::test]
async fn dockers_passwords_are_found_for_every_way_a_host_is_written() {
    let home = tempfile::tempdir().unwrap();
    let config = docker_config(
        home.path(),
        r#"{"auths": {"https://index.docker.io/v1/": {"auth": "aHViOmh1YnBhc3M="},
            "reg.io:5000": {"auth": "dTpwOnE="}, "http://old.io/v2/": {"username": "o",
            "password": "ld"}, "empty.io": {}}, "HttpHeaders": {}}"#,
    );
    for (host, expected) in [
        ("docker.io", Some(("hub", "hubpass"))),
        ("reg.io:5000", Some(("u", "p:q"))),
        ("old.io", Some(("o", "ld"))),
        ("reg.io", None),
        ("empty.io", None),
    ] {
        let found = config.credentials_for(host).await.unwrap();
        let found = found.as_ref().map(|c| (c.username.as_str(), c.password.as_str()));
        assert_eq!(found, expected, "{host}");
    }
    let none = DockerConfig::load(&home.path().join("missing.json")).unwrap();
    assert_eq!(none.credentials_for("reg.io").await.unwrap(), None);
    fs::write(home.path().join("bad.json"), r#"{"auths": {"x": {"auth": 5ecret}}}"#).unwrap();
    let why = DockerConfig::load(&home.path().join("bad.json")).err().unwrap().to_string();
    assert!(why.contains("ltc registry login") && !why.contains("5ecret"), "{why}");
}

#[tokio::test]
async fn a_helper_is_asked_and_its_failure_is_told() {
    let home = tempfile::tempdir().unwrap();
    let config = docker_config(
        home.path(),
        r#"{"credHelpers": {"a.io": "lattice-no-such-helper", "b.io": "../evil"}}"#,
    );
    for (host, expected) in [("a.io", "docker-credential-lattice-no-such-helper"), ("b.io", "name")]
    {
        let why = config.credentials_for(host).await.unwrap_err().to_string();
        assert!(why.contains(expected) && why.contains("ltc registry login"), "{why}");
    }
    assert_eq!(config.credentials_for("c.io").await.unwrap(), None);
}
