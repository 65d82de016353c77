//! Lists: of repositories, and of a repository's tags.

use axum::extract::Query;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Registry;
use super::address::Name;
use super::answer::{Answer, Code, Problem, with_headers};
use super::store::blocking;

/// The most entries in one answer.
const PAGE_MAX: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    n: Option<usize>,
    last: String,
}

/// `GET /v2/_catalog`
pub(super) async fn repositories(registry: &Registry, uri: &Uri) -> Answer {
    let page = page(uri)?;
    let all = blocking(&registry.store, |store| store.repositories()).await?;
    let all = all.iter().map(|name| name.as_str().to_owned()).collect();
    let (shown, next) = cut(all, &page);
    let link = next.map(|last| format!("/v2/_catalog?{last}"));
    Ok(respond(json!({ "repositories": shown }), link))
}

/// `GET /v2/NAME/tags/list`
pub(super) async fn tags(registry: &Registry, name: Name, uri: &Uri) -> Answer {
    let page = page(uri)?;
    let of = name.clone();
    let Some(all) = blocking(&registry.store, move |store| store.tags(&of)).await? else {
        let message = format!("no repository is called {name}");
        return Err(Problem::new(Code::NameUnknown, message));
    };
    let (shown, next) = cut(all, &page);
    let link = next.map(|last| format!("/v2/{name}/tags/list?{last}"));
    Ok(respond(json!({ "name": name.as_str(), "tags": shown }), link))
}

fn page(uri: &Uri) -> Result<Page, Problem> {
    let page = Query::<Page>::try_from_uri(uri);
    let malformed = |_| Problem::new(Code::Unsupported, "`n` is not a number");
    page.map(|Query(page)| page).map_err(malformed)
}

/// The entries of a page, and the query of the next where there is one.
fn cut(all: Vec<String>, page: &Page) -> (Vec<String>, Option<String>) {
    let size = page.n.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let mut rest = all.into_iter().filter(|entry| *entry > page.last);
    let shown: Vec<String> = rest.by_ref().take(size).collect();
    let next = rest.next().and(shown.last()).map(|last| format!("n={size}&last={last}"));
    (shown, next)
}

fn respond(body: Value, link: Option<String>) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let link = link.map(|url| ("link", format!("<{url}>; rel=\"next\"")));
    with_headers((kind, body.to_string()).into_response(), link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap() {
        let all = || ["a", "b", "c"].map(str::to_owned).to_vec();
        let page = |n, last: &str| Page { n, last: last.to_owned() };
        for (page, shown, next) in [
            (page(None, ""), vec!["a", "b", "c"], None),
            (page(Some(2), ""), vec!["a", "b"], Some("n=2&last=b")),
            (page(Some(2), "b"), vec!["c"], None),
            (page(Some(3), ""), vec!["a", "b", "c"], None),
            (page(Some(0), ""), vec![], None),
            (page(None, "z"), vec![], None),
        ] {
            let found = cut(all(), &page);
            assert_eq!(found.0, shown, "{page:?}");
            assert_eq!(found.1.as_deref(), next, "{page:?}");
        }
    }
}
