//! The Receptor API over a real socket: server and client against a small receptor in memory.
#![allow(clippy::unwrap_used)]

mod contract;
mod dashboard;
mod events;
mod fake;
mod manners;
mod openapi;
mod origins;
mod platform;
mod samples;
mod scenarios;
mod schema;
mod sync;

use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::{ReceptorClient, Target};
use lattice_brain::http::{HttpConfig, serve};
use lattice_daemon::credentials::Admin;
use lattice_daemon::tasks::Tasks;

use fake::FakeReceptor;

const DOMAIN: &str = "lattice.localhost";

/// A served receptor, which ends with the test.
struct Served {
    receptor: Arc<FakeReceptor>,
    tasks: Tasks,
    base_url: String,
    port: u16,
    http: reqwest::Client,
}

impl Served {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(adapt: impl FnOnce(&mut HttpConfig)) -> Self {
        lattice_daemon::install_crypto();
        let admin = Admin { username: "user".into(), password: "pass".into() };
        let mut config = HttpConfig::on_loopback(Some(admin), DOMAIN);
        adapt(&mut config);
        let (receptor, tasks) = (Arc::new(FakeReceptor::default()), Tasks::default());
        let address = serve(config, receptor.clone(), &tasks).await.unwrap();
        let base_url = format!("http://{address}");
        Self { receptor, tasks, base_url, port: address.port(), http: reqwest::Client::new() }
    }

    fn client(&self) -> ReceptorClient {
        self.client_as(Some(("user".into(), "pass".into())))
    }

    fn client_as(&self, credentials: Option<(String, String)>) -> ReceptorClient {
        let base_url = format!("http://receptor.{DOMAIN}:{}", self.port);
        ReceptorClient::new(&Target { base_url, credentials }).unwrap()
    }

    /// A request with the right credentials.
    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.anonymous(method, path).basic_auth("user", Some("pass"))
    }

    fn anonymous(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        self.http.request(method, format!("{}{path}", self.base_url))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tasks.shutdown().cancel();
    }
}

/// The status and the text of an answer, which is as the OpenAPI document says.
async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().to_string(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
    let faults = schema::faults_of_answer(&method, &path, status, &text);
    assert!(faults.is_empty(), "{method} {path} {status}: {faults:#?}");
    (status, text)
}

/// Waits until it holds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
