//! The places that decide, where neither clock nor machine may be touched: time and dice are
//! passed in.

use crate::repository::Repository;
use crate::rust::{Token, is_test, test_lines, tokens};

/// What the paths of pure files begin with. Each must match a file.
const PURE: &[&str] = &[
    "foundation/model/src/",
    "foundation/api/src/brain/bodies",
    "foundation/api/src/brain/event_id.rs",
    "foundation/api/src/log_aggregator/multipart.rs",
    "brain/src/auction",
    "brain/src/board",
    "brain/src/callbacks/queue.rs",
    "brain/src/converge",
    "brain/src/crash",
    "brain/src/custom_domains/enrolment",
    "brain/src/custom_domains/holdings",
    "brain/src/dispatch/gathered.rs",
    "brain/src/dispatch/roster.rs",
    "brain/src/events/weight.rs",
    "brain/src/moves",
    "cell/src/health.rs",
    "cell/src/images/plan.rs",
    "cell/src/instance",
    "cell/src/inventory.rs",
    "cell/src/network/host_ports.rs",
    "cell/src/pod.rs",
    "cell/src/routes.rs",
    "cell/src/stuck.rs",
    "cell/shim/protocol/src/",
    "cell/shim/src/buffer.rs",
    "cli/src/view",
    "log-aggregator/src/ring.rs",
    "router/src/access_log.rs",
    "router/src/alone/gorouter/keys.rs",
    "router/src/alone/routing_api/routes.rs",
    "router/src/calendar.rs",
    "router/src/decimal.rs",
    "router/src/error_page.rs",
    "router/src/h1",
    "router/src/http_date.rs",
    "router/src/pool.rs",
    "router/src/preamble.rs",
    "router/src/proxy/answer",
    "router/src/proxy/instance.rs",
    "router/src/proxy/intake.rs",
    "router/src/proxy/outbound.rs",
    "router/src/proxy/sticky",
    "router/src/proxy/trace",
    "router/src/reserved.rs",
    "router/src/select",
    "router/src/services",
    "router/src/table",
    "router/src/tcp/greeting.rs",
    "router/src/tcp/ports",
    "router/src/verdict",
];

const FORBIDDEN: &[&[&str]] = &[
    &["tokio", "::"],
    &["std", "::", "fs"],
    &["std", "::", "net"],
    &["Instant", "::", "now"],
    &["SystemTime", "::", "now"],
    &[".", "await"],
    &["rand", "::"],
];

pub(crate) fn faults(repository: &Repository) -> Vec<String> {
    let mut faults = Vec::new();
    for place in PURE {
        let mut files = repository.rust().filter(|file| file.path.starts_with(place)).peekable();
        if files.peek().is_none() {
            faults.push(format!("no file begins with {place}: has a pure place moved?"));
        }
        for file in files.filter(|file| !is_test(&file.path)) {
            faults.extend(source_faults(&file.path, &file.text));
        }
    }
    faults
}

fn source_faults(path: &str, source: &str) -> Vec<String> {
    let file = syn::parse_file(source).unwrap_or_else(|e| panic!("{path}: {e}"));
    let tests = test_lines(&file);
    let mut words: Vec<Token> = tokens(source);
    words.extend(file.items.iter().flat_map(imports));
    words.retain(|token| !tests.iter().any(|lines| lines.contains(&token.line)));
    let words = joined(words);
    let mut faults = Vec::new();
    for forbidden in FORBIDDEN {
        let is_hit = |window: &&[Token]| window.iter().map(|token| &token.text).eq(*forbidden);
        for hit in words.windows(forbidden.len()).filter(is_hit) {
            let fault = format!("{path}:{}: {} in a pure place", hit[0].line, forbidden.concat());
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
    }
    faults
}

/// Two colons become one token.
pub(crate) fn joined(words: Vec<Token>) -> Vec<Token> {
    let mut joined: Vec<Token> = Vec::with_capacity(words.len());
    for token in words {
        match joined.last_mut() {
            Some(last) if last.text == ":" && token.text == ":" => last.text = "::".to_owned(),
            _ => joined.push(token),
        }
    }
    joined
}

/// What an item imports, each path written out in full.
pub(crate) fn imports(item: &syn::Item) -> Vec<Token> {
    let syn::Item::Use(item) = item else { return Vec::new() };
    let line = item.use_token.span.start().line;
    let mut paths = Vec::new();
    write_out(&item.tree, &mut Vec::new(), &mut paths);
    let texts = paths.into_iter().flatten();
    texts.map(|text| Token { line, text }).collect()
}

fn write_out(tree: &syn::UseTree, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    match tree {
        syn::UseTree::Path(step) => {
            path.extend([step.ident.to_string(), "::".to_owned()]);
            write_out(&step.tree, path, paths);
            path.truncate(path.len() - 2);
        }
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                write_out(tree, path, paths);
            }
        }
        syn::UseTree::Name(name) => {
            paths.push([path.as_slice(), &[name.ident.to_string(), ";".to_owned()]].concat());
        }
        syn::UseTree::Rename(name) => {
            paths.push([path.as_slice(), &[name.ident.to_string(), ";".to_owned()]].concat());
        }
        syn::UseTree::Glob(_) => paths.push([path.as_slice(), &[";".to_owned()]].concat()),
    }
}

#[test]
fn what_touches_clock_or_machine_is_found() {
    for (source, expected) in [
        ("use core::net::IpAddr;", None),
        ("/// Unlike tokio::spawn.\nfn f() { g(\"std::fs\"); } // x.await", None),
        ("fn f(now: Instant) {}", None),
        ("use brand::x;", None),
        ("#[cfg(test)]\nmod tests { use std::fs; fn f() { Instant::now(); } }", None),
        ("#[cfg(test)]\nuse tokio::spawn;", None),
        ("use tokio::sync::mpsc;", Some("1: tokio::")),
        ("\nuse std::fs;", Some("2: std::fs")),
        ("use std::{io, fs};", Some("1: std::fs")),
        ("use std::{io, fs as files};", Some("1: std::fs")),
        ("use std::{collections::{A, B}, net::IpAddr};", Some("1: std::net")),
        ("use std::net::*;", Some("1: std::net")),
        ("fn f() {\n let _ = Instant::now(); }", Some("2: Instant::now")),
        ("fn f() { std::time::SystemTime::now(); }", Some("1: SystemTime::now")),
        ("async fn f() { g()\n.await; }", Some("2: .await")),
        ("fn f() { vec![rand::random()] }", Some("1: rand::")),
    ] {
        let found = source_faults("x.rs", source);
        let expected = expected.map(|part| format!("x.rs:{part} in a pure place"));
        assert_eq!(found.first(), expected.as_ref(), "{source}: {found:?}");
        assert!(found.len() < 2, "{source}: {found:?}");
    }
}

#[test]
fn a_pure_place_that_is_gone_is_found() {
    let repository = Repository { top: "/".into(), files: Vec::new() };
    assert_eq!(faults(&repository).len(), PURE.len());
}
