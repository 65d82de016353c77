//! The router, as anybody outside meets it: does a URL lead to an app?

use std::time::Duration;

use async_trait::async_trait;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::localhost;

/// How long an answer may take before the app counts as reached: only an app answers slowly.
const ANSWER: Duration = Duration::from_secs(1);
/// The header by which a router says that it, not the app, answered.
pub const ROUTER_ERROR: &str = "x-cf-routererror";

/// What came of a request to an app's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// The router passed it to an app, whatever that answered.
    App,
    /// The router answered itself; why, in its words.
    Router(String),
    /// No router was reached; why.
    Nobody(String),
}

/// Asks the router.
#[async_trait]
pub trait RouteProbe: Send + Sync {
    /// Sends one `HEAD` to a URL, as any client would.
    async fn probe(&self, url: &str) -> Reached;
}

/// Asks over HTTP. The process's TLS provider must be installed.
#[derive(Debug, Default, Clone, Copy)]
pub struct RouterClient;

#[async_trait]
impl RouteProbe for RouterClient {
    async fn probe(&self, url: &str) -> Reached {
        match ask(url).await {
            Ok(reached) => reached,
            Err(e) if e.is_timeout() && !e.is_connect() => Reached::App,
            Err(e) => Reached::Nobody(cause(&e)),
        }
    }
}

async fn ask(url: &str) -> reqwest::Result<Reached> {
    let Ok(parsed) = Url::parse(url) else {
        return Ok(Reached::Nobody(format!("{url} is no URL")));
    };
    let builder = Client::builder()
        .connect_timeout(ANSWER)
        .timeout(ANSWER)
        .user_agent(concat!("ltc/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none());
    let client = localhost::pin(builder, &parsed).build()?;
    let response = client.head(parsed).send().await?;
    Ok(match response.headers().get(ROUTER_ERROR) {
        Some(why) => Reached::Router(String::from_utf8_lossy(why.as_bytes()).into_owned()),
        None => Reached::App,
    })
}

/// What lies deepest: the machine's own word.
fn cause(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(below) = deepest.source() {
        deepest = below;
    }
    deepest.to_string()
}
