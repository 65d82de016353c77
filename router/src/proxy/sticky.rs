//! Keeps a client with the instance that holds its `JSESSIONID` (facts 1.6). A wish, never a
//! demand: an instance that is gone is replaced by another. Pure.

use crate::pool::Route;

/// The cookie whose presence asks for the same instance again.
const TRIGGER: &str = "JSESSIONID";
/// The cookie that names the instance.
const INSTANCE: &str = "__VCAP_ID__";

/// What a request wishes and where its cookies are valid.
#[derive(Debug, Default)]
pub(crate) struct Stickiness {
    wish: Option<String>,
    /// The route's context path.
    path: String,
}

// === impl Stickiness ===

impl Stickiness {
    pub(crate) fn new(route: &Route, wish: Option<String>) -> Self {
        Self { wish, path: route.path().to_owned() }
    }

    /// The instance asked for.
    pub(crate) fn wish(&self) -> Option<&str> {
        self.wish.as_deref()
    }

    /// The value of the `Set-Cookie` that names the instance that answered, if the client will need
    /// it; `set` are the answer's own.
    pub(crate) fn mark<'s>(
        &self,
        set: impl Iterator<Item = &'s [u8]>,
        instance_id: &str,
    ) -> Option<String> {
        let set: Vec<&str> = set.filter_map(|cookie| std::str::from_utf8(cookie).ok()).collect();
        let trigger = set.iter().find(|cookie| name_of(cookie) == TRIGGER);
        let moved = self.wish.as_deref().is_some_and(|wish| wish != instance_id);
        let is_marked = set.iter().any(|cookie| name_of(cookie) == INSTANCE);
        if instance_id.is_empty() || is_marked || (trigger.is_none() && !moved) {
            return None;
        }
        let mut cookie = format!("{INSTANCE}={instance_id}; Path={}; HttpOnly", self.path);
        for attribute in trigger.iter().flat_map(|cookie| attributes(cookie)) {
            cookie.push_str("; ");
            cookie.push_str(attribute);
        }
        Some(cookie)
    }
}

/// The instance a request's cookies ask for.
pub(crate) fn wish<'b>(cookies: impl Iterator<Item = &'b [u8]>) -> Option<String> {
    let cookies = cookies.filter_map(|value| std::str::from_utf8(value).ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        Some((name, value.trim_matches('"')))
    });
    let (mut has_trigger, mut instance) = (false, None);
    for (name, value) in pairs {
        has_trigger |= name == TRIGGER;
        if name == INSTANCE && instance.is_none() {
            instance = Some(value.to_owned());
        }
    }
    instance.filter(|_| has_trigger)
}

fn name_of(cookie: &str) -> &str {
    cookie.split('=').next().unwrap_or_default().trim()
}

/// What the instance's cookie takes over: where it may be sent, and how long it lives.
fn attributes(cookie: &str) -> impl Iterator<Item = &str> {
    let attributes = cookie.split(';').skip(1).map(str::trim);
    attributes.filter(|attribute| {
        let name = name_of(attribute).to_ascii_lowercase();
        let is_expiry = name == "max-age" && attribute.contains("=-");
        is_expiry || ["secure", "samesite", "expires", "partitioned"].contains(&name.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(wish: Option<&str>, path: &str, set: &[&str], instance: &str) -> Option<String> {
        let stickiness = Stickiness { wish: wish.map(str::to_owned), path: path.to_owned() };
        stickiness.mark(set.iter().map(|cookie| cookie.as_bytes()), instance)
    }

    #[test]
    fn both_cookies_together_wish_for_an_instance() {
        for (cookies, expected) in [
            (&["JSESSIONID=x; __VCAP_ID__=guid"][..], Some("guid")),
            (&["__VCAP_ID__=\"guid\"", "a=b; JSESSIONID="], Some("guid")),
            (&["__VCAP_ID__=guid"], None),
            (&["JSESSIONID=x"], None),
            (&[], None),
        ] {
            let given = cookies.iter().map(|cookie| cookie.as_bytes());
            assert_eq!(wish(given).as_deref(), expected, "{cookies:?}");
        }
    }

    #[test]
    fn an_instance_that_sets_the_trigger_is_named() {
        for (wish, path, set, instance, expected) in [
            (None, "/", &["JSESSIONID=x"][..], "g", Some("__VCAP_ID__=g; Path=/; HttpOnly")),
            (
                None,
                "/app",
                &["JSESSIONID=x; Path=/; Secure; SameSite=Lax; Max-Age=-1; HttpOnly"],
                "g",
                Some("__VCAP_ID__=g; Path=/app; HttpOnly; Secure; SameSite=Lax; Max-Age=-1"),
            ),
            (None, "/", &["JSESSIONID=x; Max-Age=5"], "g", Some("__VCAP_ID__=g; Path=/; HttpOnly")),
            (Some("old"), "/", &[], "g", Some("__VCAP_ID__=g; Path=/; HttpOnly")),
            (Some("g"), "/", &[], "g", None),
            (None, "/", &["other=x"], "g", None),
            (None, "/", &["JSESSIONID=x", "__VCAP_ID__=own"], "g", None),
            (None, "/", &["JSESSIONID=x"], "", None),
        ] {
            assert_eq!(marked(wish, path, set, instance).as_deref(), expected, "{set:?}");
        }
    }
}
