//! Keeps a client with the instance that holds its session (facts 1.6). Mostly a wish: an instance
//! that is gone is replaced by another. Pure.

use std::sync::Arc;

use crate::config::Sticky;
use crate::h1::name::Name;
use crate::h1::request::RequestHead;
use crate::h1::response::ResponseHead;
use crate::pool::Route;

/// The cookie that names the instance.
const INSTANCE: &str = "__VCAP_ID__";
/// How long a half-done authentication lasts.
const NEGOTIATION: &str = "; Max-Age=60; SameSite=Strict";

/// What a request wishes and where its cookies are valid.
#[derive(Debug, Default)]
pub(crate) struct Stickiness {
    wish: Option<String>,
    /// No other instance will do.
    is_demand: bool,
    route: Option<Arc<Route>>,
}

// === impl Stickiness ===

impl Stickiness {
    /// Reads a request's cookies.
    pub(crate) fn of(rules: &Sticky, head: &RequestHead<'_, '_>, route: Arc<Route>) -> Self {
        let cookies = head.fields.values(Name::Cookie).filter_map(|v| std::str::from_utf8(v).ok());
        let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            Some((name, value.trim_matches('"')))
        });
        let (mut has_trigger, mut instance) = (false, None);
        for (name, value) in pairs {
            has_trigger |= rules.is_trigger(name);
            if name == INSTANCE && instance.is_none() {
                instance = Some(value);
            }
        }
        let negotiates = |value: &[u8]| starts_with_negotiate(value);
        let is_demand = rules.negotiate && head.fields.values(Name::Authorization).any(negotiates);
        let wish = instance.filter(|_| has_trigger || is_demand).map(str::to_owned);
        Self { is_demand: is_demand && wish.is_some(), wish, route: Some(route) }
    }

    /// The instance asked for.
    pub(crate) fn wish(&self) -> Option<&str> {
        self.wish.as_deref()
    }

    /// The only instance that will do.
    pub(crate) fn demand(&self) -> Option<&str> {
        self.wish().filter(|_| self.is_demand)
    }

    /// The value of the `Set-Cookie` that names the instance that answered, if the client will need
    /// it.
    pub(crate) fn mark(
        &self,
        rules: &Sticky,
        head: &ResponseHead<'_, '_>,
        instance_id: &str,
    ) -> Option<String> {
        let set: Vec<&str> = head
            .fields
            .values(Name::SetCookie)
            .filter_map(|cookie| std::str::from_utf8(cookie).ok())
            .collect();
        let route = self.route.as_ref()?;
        if instance_id.is_empty() || set.iter().any(|cookie| name_of(cookie) == INSTANCE) {
            return None;
        }
        let path = route.path();
        let mut cookie = format!("{INSTANCE}={instance_id}; Path={path}; HttpOnly");
        let trigger = set.iter().find(|cookie| rules.is_trigger(name_of(cookie)));
        let negotiates = |value: &[u8]| starts_with_negotiate(value);
        if rules.negotiate && head.fields.values(Name::WwwAuthenticate).any(negotiates) {
            cookie.push_str(NEGOTIATION);
        } else if let Some(trigger) = trigger {
            for attribute in attributes(trigger) {
                cookie.push_str("; ");
                cookie.push_str(attribute);
            }
        } else if self.wish().is_none_or(|wish| wish == instance_id) {
            return None;
        }
        if rules.secure && !cookie.to_ascii_lowercase().contains("; secure") {
            cookie.push_str("; Secure");
        }
        Some(cookie)
    }
}

// === impl Sticky ===

impl Sticky {
    fn is_trigger(&self, name: &str) -> bool {
        self.cookies.iter().any(|trigger| trigger == name)
    }
}

fn starts_with_negotiate(value: &[u8]) -> bool {
    const SCHEME: &[u8] = b"negotiate";
    value.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
}

fn name_of(cookie: &str) -> &str {
    cookie.split('=').next().unwrap_or_default().trim()
}

/// What the instance's cookie takes over: where it may be sent, and how long it lives.
fn attributes(cookie: &str) -> impl Iterator<Item = &str> {
    let attributes = cookie.split(';').skip(1).map(str::trim);
    attributes.filter_map(|attribute| {
        match name_of(attribute).to_ascii_lowercase().as_str() {
            "secure" | "samesite" | "expires" | "partitioned" => Some(attribute),
            // The end of the trigger is the end of this one; how long it lives is its own matter.
            "max-age" => {
                let age: i64 = attribute.split_once('=')?.1.trim().parse().ok()?;
                (age <= 0).then_some("Max-Age=0")
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests;
