mod mirrors;
mod own;
mod tidying;

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex as StdMutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use lattice_api::cell::images::PrunedImages;
use lattice_api::registry::document::{
    DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST,
};
use lattice_api::registry::{RegistryError, digest_of};
use serde_json::json;

use super::*;
use crate::images::ImageConfig;
use crate::images::unpack::tests::Tar;

/// A registry that plays tricks.
#[derive(Default)]
struct Tricks {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    /// How often an answer with a blob still breaks off in its middle.
    breaks: usize,
    ignores_ranges: bool,
    /// How many questions for manifests are still answered with 503.
    failing: usize,
    /// `Basic ...` or `Bearer ...`; what is wanted.
    wants: Option<String>,
    challenge: String,
    /// Where blobs are sent to be fetched from instead.
    redirect: Option<String>,
    /// `METHOD PATH RANGE AUTHORIZATION` of every request.
    log: Vec<String>,
}

#[derive(Clone)]
struct Scripted {
    tricks: Arc<StdMutex<Tricks>>,
    address: SocketAddr,
}

impl Scripted {
    async fn start(tricks: Tricks) -> Self {
        lattice_daemon::install_crypto();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tricks = Arc::new(StdMutex::new(tricks));
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&tricks));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { tricks, address }
    }

    fn tricks(&self) -> MutexGuard<'_, Tricks> {
        self.tricks.lock().unwrap()
    }

    fn image(&self, name: &str) -> ImageRef {
        ImageRef::parse(&format!("{}/{name}", self.address)).unwrap()
    }

    fn requests(&self, containing: &str) -> usize {
        self.tricks().log.iter().filter(|line| line.contains(containing)).count()
    }
}

async fn answer(State(tricks): State<Arc<StdMutex<Tricks>>>, request: Request) -> Response {
    let mut tricks = tricks.lock().unwrap();
    let text = |name| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("-");
    let (range, authorization) = (text(header::RANGE), text(header::AUTHORIZATION));
    let uri = request.uri();
    tricks.log.push(format!("{} {uri} {range} {authorization}", request.method()));
    if uri.path() == "/token" {
        let is_right = authorization == "Basic dTpw" && uri.query().unwrap().contains("pull");
        let status = if is_right { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        return (status, json!({"token": "t0ken"}).to_string()).into_response();
    }
    if tricks.wants.as_deref().is_some_and(|wanted| wanted != authorization) {
        let challenge = [(header::WWW_AUTHENTICATE, tricks.challenge.clone())];
        return (StatusCode::UNAUTHORIZED, challenge).into_response();
    }
    let last = uri.path().rsplit('/').next().unwrap().to_owned();
    if uri.path().contains("/manifests/") && tricks.failing > 0 {
        tricks.failing -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if uri.path().contains("/manifests/") && request.method() == Method::GET {
        return match tricks.manifests.get(&last) {
            Some((kind, bytes)) => {
                ([(header::CONTENT_TYPE, kind.clone())], bytes.clone()).into_response()
            }
            None => (
                StatusCode::NOT_FOUND,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            )
                .into_response(),
        };
    }
    if let Some(elsewhere) = &tricks.redirect {
        let place = [(header::LOCATION, format!("{elsewhere}{}", uri.path()))];
        return (StatusCode::TEMPORARY_REDIRECT, place).into_response();
    }
    let from = range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-'));
    let from = from.filter(|_| !tricks.ignores_ranges).map(|f| f.parse::<usize>().unwrap());
    blob(&mut tricks, &last, from)
}

fn blob(tricks: &mut Tricks, digest: &str, from: Option<usize>) -> Response {
    let Some(bytes) = tricks.blobs.get(digest) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let rest = Bytes::copy_from_slice(&bytes[from.unwrap_or(0)..]);
    let response = match from {
        None => Response::builder(),
        Some(from) => Response::builder()
            .status(206)
            .header("content-range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())),
    };
    let response = response.header("content-length", rest.len());
    if tricks.breaks > 0 && rest.len() > 1000 {
        tricks.breaks -= 1;
        let half = rest.slice(..rest.len() / 2);
        let broken = std::io::Error::other("the cable was pulled");
        let parts = futures_util::stream::iter([Ok(half), Err(broken)]);
        // The first half has to leave before the connection breaks.
        let parts = parts.then(|part| async {
            tokio::task::yield_now().await;
            part
        });
        return response.body(Body::from_stream(parts)).unwrap();
    }
    response.body(Body::from(rest)).unwrap()
}

/// An image in the making: layers as (media type, bytes as sent, diff id).
#[derive(Default, Clone)]
struct Sample {
    layers: Vec<(String, Vec<u8>, String)>,
    architecture: Option<String>,
}

impl Sample {
    fn layer(mut self, tar: Tar, pack: impl Fn(Vec<u8>) -> Vec<u8>) -> Self {
        let plain = tar.bytes();
        let diff_id = digest_of(&plain);
        self.layers.push((OCI_LAYER.to_owned(), pack(plain), diff_id));
        self
    }

    fn config(&self) -> Vec<u8> {
        let host = lattice_api::registry::host_architecture();
        let diff_ids: Vec<_> = self.layers.iter().map(|l| &l.2).collect();
        json!({"architecture": self.architecture.as_deref().unwrap_or(host), "os": "linux",
               "config": {"Cmd": ["/a"], "Env": ["A=1"], "ExposedPorts": {"8080/tcp": {}}},
               "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        .to_string()
        .into_bytes()
    }

    fn manifest(&self, kind: &str) -> Vec<u8> {
        let config = self.config();
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|(kind, bytes, _)| {
                json!({"mediaType": kind, "digest": digest_of(bytes), "size": bytes.len()})
            })
            .collect();
        json!({"schemaVersion": 2, "mediaType": kind, "layers": layers,
               "config": {"mediaType": OCI_CONFIG, "digest": digest_of(&config),
                          "size": config.len()}})
        .to_string()
        .into_bytes()
    }

    /// The registry's shelves with this image as `v1`.
    fn shelved(&self, kind: &str) -> Tricks {
        let mut tricks = Tricks::default();
        let (config, manifest) = (self.config(), self.manifest(kind));
        tricks.blobs.insert(digest_of(&config), config);
        for (_, bytes, _) in &self.layers {
            tricks.blobs.insert(digest_of(bytes), bytes.clone());
        }
        tricks.manifests.insert(digest_of(&manifest), (kind.to_owned(), manifest.clone()));
        tricks.manifests.insert("v1".to_owned(), (kind.to_owned(), manifest));
        tricks
    }
}

fn plain(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

fn gzip(bytes: Vec<u8>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: Vec<u8>) -> Vec<u8> {
    zstd::encode_all(&bytes[..], 1).unwrap()
}

fn three_layers() -> Sample {
    Sample::default()
        .layer(Tar::default().file("a", "plain"), plain)
        .layer(Tar::default().file("b", "gzip"), gzip)
        .layer(Tar::default().file("c", "zstd"), zstd)
}

fn one_layer() -> Sample {
    Sample::default().layer(Tar::default().file("a", &"text ".repeat(4000)), plain)
}

struct Bench {
    home: tempfile::TempDir,
    store: ImageStore,
}

impl Bench {
    fn new() -> Self {
        lattice_daemon::install_crypto();
        let home = tempfile::tempdir().unwrap();
        let mut config = ImagesConfig::new(home.path(), vec![]);
        config.registry.resume_delay = Duration::from_millis(1);
        config.registry.connect_timeout = Duration::from_secs(5);
        Self { store: ImageStore::open(config).unwrap(), home }
    }

    async fn pull(&self, image: &ImageRef) -> Result<Arc<Image>, ImageError> {
        self.store.pull(image, None, Arc::new(|_, _| {})).await
    }

    async fn pull_as(&self, image: &ImageRef, password: &str) -> Result<Arc<Image>, ImageError> {
        let credentials = RegistryCredentials {
            registry: image.registry.clone(),
            username: "u".to_owned(),
            password: password.to_owned(),
        };
        self.store.pull(image, Some(&credentials), Arc::new(|_, _| {})).await
    }

    fn names(&self, directory: &str) -> usize {
        fs::read_dir(self.home.path().join("images").join(directory)).unwrap().count()
    }

    fn assert_nothing_is_left(&self, case: &str) {
        assert_eq!((self.names("layers"), self.names("tmp")), (0, 0), "{case}");
    }
}

fn text(image: &Image, layer: usize, name: &str) -> String {
    fs::read_to_string(image.layers[layer].join(name)).unwrap()
}

#[tokio::test]
async fn an_image_comes_by_tag_by_digest_and_in_both_formats() {
    for kind in [OCI_MANIFEST, DOCKER_MANIFEST] {
        let registry = Scripted::start(three_layers().shelved(kind)).await;
        let digest = digest_of(&three_layers().manifest(kind));
        for name in ["app:v1".to_owned(), format!("app@{digest}")] {
            let bench = Bench::new();
            let image = bench.pull(&registry.image(&name)).await.unwrap();
            assert_eq!(image.digest, digest);
            assert_eq!(text(&image, 0, "a"), "plain");
            assert_eq!(text(&image, 1, "b"), "gzip");
            assert_eq!(text(&image, 2, "c"), "zstd");
            assert_eq!(
                (&image.config.cmd[0][..], &image.config.exposed_ports[..]),
                ("/a", &[8080][..])
            );
            assert_eq!(bench.names("tmp"), 0);
        }
    }
}

#[tokio::test]
async fn an_index_leads_to_the_image_for_this_machine() {
    let mut tricks = one_layer().shelved(OCI_MANIFEST);
    let manifest = one_layer().manifest(OCI_MANIFEST);
    let index = |architecture: &str| {
        json!({"schemaVersion": 2, "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": digest_of(b"other"), "size": 1,
             "platform": {"os": "linux", "architecture": "mips"}},
            {"mediaType": OCI_MANIFEST, "digest": digest_of(&manifest), "size": manifest.len(),
             "platform": {"os": "linux", "architecture": architecture}}]})
        .to_string()
        .into_bytes()
    };
    let host = lattice_api::registry::host_architecture();
    tricks.manifests.insert("many".into(), (OCI_INDEX.into(), index(host)));
    tricks.manifests.insert("alien".into(), (OCI_INDEX.into(), index("s390x")));
    let registry = Scripted::start(tricks).await;
    let bench = Bench::new();
    let image = bench.pull(&registry.image("app:many")).await.unwrap();
    assert_eq!(image.digest, digest_of(&manifest));
    let why = bench.pull(&registry.image("app:alien")).await.unwrap_err().to_string();
    assert!(why.contains("it has linux/mips, linux/s390x"), "{why}");
    let single = Sample { architecture: Some("s390x".into()), ..one_layer() };
    let registry = Scripted::start(single.shelved(OCI_MANIFEST)).await;
    let why = bench.pull(&registry.image("app:v1")).await.unwrap_err().to_string();
    assert!(why.contains("it has linux/s390x"), "{why}");
}

#[tokio::test]
async fn names_under_localhost_are_this_machine() {
    let registry = Scripted::start(one_layer().shelved(OCI_MANIFEST)).await;
    let host = format!("registry.lattice.localhost:{}", registry.address.port());
    let image = ImageRef::parse(&format!("{host}/app:v1")).unwrap();
    Bench::new().pull(&image).await.unwrap();
}

#[tokio::test]
async fn many_pulls_at_once_are_one_download_and_the_next_needs_none() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let bench = Bench::new();
    let image = registry.image("app:v1");
    let pulls = futures_util::future::join_all((0..8).map(|_| bench.pull(&image))).await;
    assert!(pulls.iter().all(Result::is_ok));
    for (_, bytes, _) in three_layers().layers {
        assert_eq!(registry.requests(&format!("GET /v2/app/blobs/{}", digest_of(&bytes))), 1);
    }
    let blobs = registry.requests("/blobs/");
    let manifests = registry.requests("/manifests/");
    bench.pull(&image).await.unwrap();
    assert_eq!(registry.requests("/blobs/"), blobs, "nothing is fetched twice");
    assert_eq!(registry.requests("/manifests/"), manifests + 1, "but the tag is asked for");
}

#[tokio::test]
async fn progress_ends_with_all_bytes_and_never_goes_back() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let seen = Arc::new(StdMutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let progress: ProgressFn = Arc::new(move |done, all| told.lock().unwrap().push((done, all)));
    Bench::new().store.pull(&registry.image("app:v1"), None, progress).await.unwrap();
    let total = three_layers().layers.iter().map(|l| l.1.len() as u64).sum::<u64>();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.first(), Some(&(0, total)));
    assert_eq!(seen.last(), Some(&(total, total)));
    assert!(seen.is_sorted(), "{seen:?}");
}

#[tokio::test]
async fn a_transfer_that_breaks_off_is_taken_up_where_it_broke() {
    let digest = digest_of(&one_layer().layers[0].1);
    for ignores_ranges in [false, true] {
        let tricks = Tricks { breaks: 2, ignores_ranges, ..one_layer().shelved(OCI_MANIFEST) };
        let registry = Scripted::start(tricks).await;
        let bench = Bench::new();
        let image = bench.pull(&registry.image("app:v1")).await.unwrap();
        assert_eq!(text(&image, 0, "a").len(), 20_000);
        assert_eq!(registry.requests(&digest), 3);
        assert!(registry.requests("bytes=") >= 1, "{:?}", registry.tricks().log);
    }
    let tricks = Tricks { breaks: 99, ignores_ranges: true, ..one_layer().shelved(OCI_MANIFEST) };
    let registry = Scripted::start(tricks).await;
    let bench = Bench::new();
    let error = bench.pull(&registry.image("app:v1")).await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
    assert_eq!(registry.requests(&digest), 4, "there is an end to trying");
    bench.assert_nothing_is_left("a transfer that never succeeds");
}

#[tokio::test]
async fn what_is_not_as_promised_is_named_with_both_digests_and_leaves_nothing() {
    let good = one_layer();
    let digest = digest_of(&good.layers[0].1);
    let mut flipped = good.layers[0].1.clone();
    flipped[700] ^= 1;
    let flipped_digest = digest_of(&flipped);
    let mut wrong_diff = good.clone();
    wrong_diff.layers[0].2 = digest_of(b"something else");
    let evil = Sample::default().layer(Tar::default().file("../../x", "!"), gzip);
    let corrupted = |bytes: Vec<u8>| {
        let mut tricks = good.shelved(OCI_MANIFEST);
        tricks.blobs.insert(digest.clone(), bytes);
        tricks
    };
    let mut long = good.layers[0].1.clone();
    long.extend([0; 512]);
    for (case, tricks, expected) in [
        ("flipped bit", corrupted(flipped), vec![&digest[..], &flipped_digest[..]]),
        ("longer", corrupted(long), vec!["got more"]),
        ("diff id", wrong_diff.shelved(OCI_MANIFEST), vec!["should be", "but is"]),
        ("escape", evil.shelved(OCI_MANIFEST), vec!["climbs out", "layer sha256:"]),
    ] {
        let registry = Scripted::start(tricks).await;
        let bench = Bench::new();
        let error = bench.pull(&registry.image("app:v1")).await.unwrap_err();
        assert!(matches!(error, ImageError::Corrupt { .. }), "{case}: {error}");
        for words in expected {
            assert!(error.to_string().contains(words), "{case}: {error}");
        }
        bench.assert_nothing_is_left(case);
    }
    let registry = Scripted::start(corrupted(good.layers[0].1[..5000].to_vec())).await;
    let bench = Bench::new();
    let why = bench.pull(&registry.image("app:v1")).await.unwrap_err().to_string();
    assert!(why.contains("app:v1"), "{why}");
    bench.assert_nothing_is_left("shorter");
}

#[tokio::test]
async fn a_manifest_that_is_not_what_its_digest_says_is_refused() {
    let mut tricks = one_layer().shelved(OCI_MANIFEST);
    let promised = digest_of(b"another manifest");
    let manifest = tricks.manifests["v1"].clone();
    tricks.manifests.insert(promised.clone(), manifest);
    let registry = Scripted::start(tricks).await;
    let error = Bench::new().pull(&registry.image(&format!("app@{promised}"))).await.unwrap_err();
    assert!(matches!(error, ImageError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains(&promised), "{error}");
}

#[tokio::test]
async fn tokens_and_passwords_open_the_door_and_wrong_ones_say_what_to_do() {
    let registry = Scripted::start(one_layer().shelved(OCI_MANIFEST)).await;
    let image = registry.image("app:v1");
    for (wants, challenge) in [
        ("Basic dTpw", "Basic realm=\"x\"".to_owned()),
        (
            "Bearer t0ken",
            format!("Bearer realm=\"http://{}/token\",service=\"s\"", registry.address),
        ),
    ] {
        registry.tricks().wants = Some(wants.to_owned());
        registry.tricks().challenge = challenge;
        Bench::new().pull_as(&image, "p").await.unwrap();
        for outcome in
            [Bench::new().pull_as(&image, "wr0ng").await, Bench::new().pull(&image).await]
        {
            let error = outcome.unwrap_err();
            assert!(matches!(error, ImageError::Unauthorized { .. }), "{wants}: {error}");
            let next = format!("ltc registry login {}", image.registry);
            assert!(error.to_string().contains(&next), "{error}");
            assert!(!error.to_string().contains("wr0ng"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_password_is_not_sent_to_a_token_server_in_the_clear() {
    let mut tricks = one_layer().shelved(OCI_MANIFEST);
    tricks.wants = Some("Bearer t0ken".to_owned());
    tricks.challenge = "Bearer realm=\"http://tokens.example.com/token\"".to_owned();
    let registry = Scripted::start(tricks).await;
    let why = Bench::new().pull_as(&registry.image("app:v1"), "p").await.unwrap_err().to_string();
    assert!(why.contains("plain HTTP"), "{why}");
}

#[tokio::test]
async fn redirects_are_followed_without_the_password_and_never_into_the_clear() {
    let elsewhere = Scripted::start(one_layer().shelved(OCI_MANIFEST)).await;
    let mut tricks = one_layer().shelved(OCI_MANIFEST);
    tricks.wants = Some("Basic dTpw".to_owned());
    tricks.challenge = "Basic".to_owned();
    tricks.redirect = Some(format!("http://{}", elsewhere.address));
    let registry = Scripted::start(tricks).await;
    Bench::new().pull_as(&registry.image("app:v1"), "p").await.unwrap();
    assert!(elsewhere.requests("/blobs/") >= 2);
    assert_eq!(elsewhere.requests("Basic"), 0, "{:?}", elsewhere.tricks().log);
    registry.tricks().redirect = Some("http://blobs.example.com".to_owned());
    let why = Bench::new().pull_as(&registry.image("app:v1"), "p").await.unwrap_err().to_string();
    assert!(why.contains("not safe to follow"), "{why}");
}

#[tokio::test]
async fn an_unknown_image_and_a_registry_that_is_gone_are_told_apart() {
    let registry = Scripted::start(one_layer().shelved(OCI_MANIFEST)).await;
    let error = Bench::new().pull(&registry.image("app:nope")).await.unwrap_err();
    assert!(matches!(error, ImageError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("manifest unknown"), "{error}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = ImageRef::parse(&format!("{free}/app:v1")).unwrap();
    let error = Bench::new().pull(&gone).await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_registry_that_never_answers_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let image = ImageRef::parse(&format!("{}/app:v1", silent.local_addr().unwrap())).unwrap();
    lattice_daemon::install_crypto();
    let home = tempfile::tempdir().unwrap();
    let mut config = ImagesConfig::new(home.path(), vec![]);
    config.registry.read_timeout = Duration::from_millis(100);
    let store = ImageStore::open(config).unwrap();
    let error = store.pull(&image, None, Arc::new(|_, _| {})).await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("nothing came for 0.1 s"), "{error}");
}

#[tokio::test]
async fn a_complete_image_is_used_when_the_registry_fails_but_not_when_it_says_no() {
    let registry = Scripted::start(three_layers().shelved(OCI_MANIFEST)).await;
    let bench = Bench::new();
    let image = registry.image("app:v1");
    let first = bench.pull(&image).await.unwrap();
    registry.tricks().manifests.clear();
    let error = bench.pull(&image).await.unwrap_err();
    assert!(matches!(error, ImageError::NotFound { .. }), "{error}");
    // The same store, another process, and the registry's answer is a failure now.
    let again = ImageStore::open(ImagesConfig::new(bench.home.path(), vec![])).unwrap();
    registry.tricks().redirect = Some("http://gone.example.com".to_owned());
    registry.tricks().wants = Some("Bearer x".to_owned());
    registry.tricks().challenge = "Bearer realm=\"http://127.0.0.1:1/token\"".to_owned();
    let cached = again.pull(&image, None, Arc::new(|_, _| {})).await.unwrap();
    assert_eq!(cached, first);
    let exact = registry.image(&format!("app@{}", first.digest));
    assert_eq!(again.pull(&exact, None, Arc::new(|_, _| {})).await.unwrap(), first);
    fs::remove_dir_all(first.layers[1].parent().unwrap()).unwrap();
    let error = again.pull(&image, None, Arc::new(|_, _| {})).await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn what_an_interrupted_pull_left_is_gone_at_the_next_start() {
    let bench = Bench::new();
    let left = bench.home.path().join("images/tmp/half/fs");
    fs::create_dir_all(&left).unwrap();
    ImageStore::open(ImagesConfig::new(bench.home.path(), vec![])).unwrap();
    bench.assert_nothing_is_left("a start");
}

/// Debian's registry, on loopback, stopped when dropped.
struct DockerRegistry {
    child: Child,
    host: String,
    home: tempfile::TempDir,
}

impl DockerRegistry {
    async fn start(htpasswd: Option<&str>) -> Self {
        lattice_daemon::install_crypto();
        let home = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let auth = htpasswd.map_or_else(String::new, |line| {
            let path = home.path().join("htpasswd");
            fs::write(&path, line).unwrap();
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path.display())
        });
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '{free}'}}\n{auth}",
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
        Self { child, host: free.to_string(), home }
    }

    /// Copies a sample there with skopeo.
    fn fill(&self, sample: &Sample, tag: &str, extra: &[&str]) {
        let layout = self.home.path().join(tag);
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let manifest = sample.manifest(OCI_MANIFEST);
        let tricks = sample.shelved(OCI_MANIFEST);
        let all = tricks.blobs.values().chain([&manifest]);
        for bytes in all {
            fs::write(blobs.join(&digest_of(bytes)[7..]), bytes).unwrap();
        }
        let index = json!({"schemaVersion": 2, "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": digest_of(&manifest), "size": manifest.len()}]});
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let output = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
            .args(extra)
            .arg(format!("oci:{}", layout.display()))
            .arg(format!("docker://{}/team/app:{tag}", self.host))
            .output()
            .expect("skopeo is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn image(&self, tag: &str) -> ImageRef {
        ImageRef::parse(&format!("{}/team/app:{tag}", self.host)).unwrap()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_real_registry_gives_both_formats_to_those_with_the_password() {
    let line = Command::new("htpasswd").args(["-nbB", "u", "p"]).output().unwrap().stdout;
    let registry = DockerRegistry::start(Some(std::str::from_utf8(&line).unwrap())).await;
    let sample = Sample::default()
        .layer(Tar::default().dir("d").file("d/a", "low").file("d/b", "low"), gzip)
        .layer(Tar::default().file("d/.wh.a", ""), gzip);
    registry.fill(&sample, "oci", &["--dest-creds=u:p"]);
    registry.fill(&sample, "docker", &["--dest-creds=u:p", "--format=v2s2"]);
    let bench = Bench::new();
    for tag in ["oci", "docker"] {
        let image = bench.pull_as(&registry.image(tag), "p").await.unwrap();
        assert_eq!((image.layers.len(), &text(&image, 0, "d/b")[..]), (2, "low"));
        let digest = format!("{}/team/app@{}", registry.host, image.digest);
        let same = bench.pull_as(&ImageRef::parse(&digest).unwrap(), "p").await.unwrap();
        assert_eq!(same, image);
    }
    let error = bench.pull_as(&registry.image("oci"), "other").await.unwrap_err();
    assert!(matches!(error, ImageError::Unauthorized { .. }), "{error}");
    let login = |password: &str| {
        let (registry, client) = (registry.host.clone(), bench.store.client.clone());
        let (username, password) = ("u".to_owned(), password.to_owned());
        let credentials = RegistryCredentials { registry, username, password };
        async move { client.check(&credentials.registry, Some(&credentials)).await }
    };
    assert_eq!(login("p").await, Ok(()));
    assert!(matches!(login("other").await, Err(RegistryError::Unauthorized { .. })));
    let error = bench.pull_as(&registry.image("nope"), "p").await.unwrap_err();
    assert!(matches!(error, ImageError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn the_fake_hands_out_directories_and_follows_its_script() {
    use crate::images::FakeImages;
    let config = ImageConfig { user: "app".into(), ..ImageConfig::default() };
    let fake = FakeImages::new()
        .with("h.io/app:v1", config.clone())
        .failing("h.io/app:bad", || ImageError::Unsupported("no".into()));
    let pull = |name: &str| {
        let image = ImageRef::parse(name).unwrap();
        let fake = &fake;
        async move { fake.pull(&image, None, Arc::new(|_, _| {})).await }
    };
    let image = pull("h.io/app:v1").await.unwrap();
    assert_eq!(image.config, config);
    assert!(pull("h.io/app:bad").await.is_err());
    assert!(pull("h.io/any").await.is_ok());
    let id = ContainerId::new("one");
    let root = fake.mount(&image, &id, None, None).await.unwrap();
    assert!(root.is_dir() && fake.mount(&image, &id, None, None).await.is_err());
    assert_eq!(fake.list().await.unwrap(), std::slice::from_ref(&id));
    fake.unmount(&id).await.unwrap();
    assert!(!root.exists() && fake.list().await.unwrap().is_empty());
}
