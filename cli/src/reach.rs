//! Whether an app's address leads to it: what runs is of use once the router knows.

use std::time::Duration;

use lattice_api::router::Reached;
use tokio::time::{Instant, sleep};

use crate::context::Cx;
use crate::view::list::RouteView;

/// How long the router may take to hear of an instance.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a router says that knows no instance; any other refusal is about one.
const NO_INSTANCE: [&str; 2] = ["unknown_route", "no_endpoints"];

/// Waits until the router passes the first address on, and warns when it does not. The routes of an
/// app come together, and an app should not be asked more often than needed.
pub async fn wait(routes: &[RouteView], cx: &Cx) {
    let Some(url) = routes.iter().find_map(|route| own_url(route, cx)) else { return };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let why = match cx.router.probe(url).await {
            Reached::App => return,
            Reached::Router(why) if !NO_INSTANCE.contains(&why.as_str()) => return,
            Reached::Router(why) => format!("the router has no way to {url} yet ({why})"),
            Reached::Nobody(why) => format!("{url} cannot be reached from here: {why}"),
        };
        if Instant::now() >= deadline {
            cx.out().warn(&format!("{why}; try: curl -i {url}"));
            return;
        }
        sleep(cx.local.poll).await;
    }
}

/// The address of a hostname in the target's domain; others may lead anywhere.
fn own_url<'a>(route: &'a RouteView, cx: &Cx) -> Option<&'a str> {
    let RouteView::Http { url, hostname, .. } = route else { return None };
    let host = hostname.split('/').next().unwrap_or_default();
    let is_own = host.strip_suffix(cx.target.host()).is_some_and(|name| name.ends_with('.'));
    (is_own && !host.contains('*')).then_some(url)
}
