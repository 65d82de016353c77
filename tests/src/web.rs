//! A person's browser, as far as stories need one: requests to apps by host name.

use std::time::Duration;

use reqwest::{Client, Method, Response};
use tokio::runtime::{Builder, Runtime};

use crate::appliance::{DOMAIN, HTTP_PORT};

/// Sends requests from the story's own network.
pub struct Web {
    runtime: Runtime,
    client: Client,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The `X-Cf-RouterError` header, when the router itself answered.
    pub router_error: Option<String>,
    /// The body.
    pub body: String,
}

impl Web {
    /// A fresh one, with no connections open.
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = Client::builder()
            .timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { runtime, client }
    }

    /// `GET http://APP.DOMAIN:PORT/path`.
    pub fn get(&self, app: &str, path: &str) -> Result<Answer, String> {
        self.send(self.request(Method::GET, app, path))
    }

    /// `GET` of a path on this machine for the host of any domain.
    pub fn get_host(&self, host: &str, path: &str) -> Result<Answer, String> {
        let url = format!("http://127.0.0.1:{HTTP_PORT}{path}");
        self.send(self.client.get(url).header("host", format!("{host}:{HTTP_PORT}")))
    }

    /// A request to an app, to be filled and sent.
    pub fn request(&self, method: Method, app: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", url(app)))
    }

    /// Sends it and reads the answer.
    pub fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, String> {
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|e| format!("{e:?}"))?;
            read(response).await.map_err(|e| format!("{e:?}"))
        })
    }

    /// Runs anything else that waits.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

impl Default for Web {
    fn default() -> Self {
        Self::new()
    }
}

/// `http://APP.DOMAIN:PORT`.
pub fn url(app: &str) -> String {
    format!("http://{app}.{DOMAIN}:{HTTP_PORT}")
}

async fn read(response: Response) -> reqwest::Result<Answer> {
    let header = |name| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let router_error = header("x-cf-routererror");
    let status = response.status().as_u16();
    Ok(Answer { status, router_error, body: response.text().await? })
}
