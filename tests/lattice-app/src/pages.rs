//! What each path answers.

use std::fmt::Write as _;
use std::time::Instant;

/// What pages tell of.
pub(crate) struct App {
    pub(crate) started: Instant,
    pub(crate) index: i64,
    pub(crate) quiet: bool,
}

/// An answer.
pub(crate) struct Page {
    pub(crate) status: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
    /// True when the app ends after this answer.
    pub(crate) is_last: bool,
}

impl App {
    /// The answer to a path, with its query.
    pub(crate) fn page(&self, target: &str, port: u16) -> Page {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/" => Page::html(&self.front()),
            "/env" if query.split('&').any(|pair| pair == "json=1") => Page::json(env_json()),
            "/env" => Page::html(&env_list()),
            "/index" => Page::text(self.index.to_string()),
            "/port" => Page::text(port.to_string()),
            "/exit" => Page { is_last: true, ..Page::html("<h1>Shutting Down</h1>") },
            _ => Page { status: "404 Not Found", ..Page::text("404 page not found\n".to_owned()) },
        }
    }

    fn front(&self) -> String {
        let (index, uptime) = (self.index, self.started.elapsed().as_secs());
        format!(
            "<h1>Lattice</h1>\n<div class=\"index\">{index}</div>\n\
             <div class=\"uptime\">Uptime: {uptime}s</div>\n"
        )
    }
}

impl Page {
    fn text(body: String) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self { status: "200 OK", content_type, body, is_last: false }
    }

    fn json(body: String) -> Self {
        Self { content_type: "application/json", ..Self::text(body) }
    }

    fn html(body: &str) -> Self {
        let body = format!("<!doctype html>\n<title>Lattice app</title>\n{body}");
        Self { content_type: "text/html; charset=utf-8", ..Self::text(body) }
    }
}

fn env_list() -> String {
    let mut list = "<dl>".to_owned();
    for (name, value) in std::env::vars() {
        let value = value.split('=').next().unwrap_or_default();
        let _ = write!(list, "<dt>{}</dt><dd>{}</dd>", escape(&name), escape(value));
    }
    list + "</dl>"
}

fn env_json() -> String {
    let pairs: Vec<[String; 2]> = std::env::vars().map(|(name, value)| [name, value]).collect();
    serde_json::to_string(&pairs).expect("strings are JSON")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_tells_its_own() {
        let app = App { started: Instant::now(), index: 3, quiet: true };
        for (target, status, part) in [
            ("/", "200 OK", "<div class=\"index\">3</div>"),
            ("/index", "200 OK", "3"),
            ("/port", "200 OK", "8080"),
            ("/env", "200 OK", "<dt>PATH</dt>"),
            ("/env?json=1", "200 OK", "[\"PATH\",\""),
            ("/exit", "200 OK", "Shutting Down"),
            ("/nowhere", "404 Not Found", "404"),
        ] {
            let page = app.page(target, 8080);
            assert_eq!(page.status, status, "{target}");
            assert!(page.body.contains(part), "{target}: {}", page.body);
        }
    }
}
