//! What a failure means: whose fault it is, whether another endpoint may be tried, and what the
//! client is told. Pure; the words are gorouter's (facts 1.5 and 1.9).

mod service;
mod trouble;

use crate::error_page::{ErrorPage, Told};
use crate::h1::Violation;
pub use service::Obstacle;
pub use trouble::{DISTRUSTS, Distrust, Shape, Trouble};

/// Why a request is not answered by an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A load balancer asks whether the router is well, and no endpoint.
    HealthCheck {
        /// The router takes no more requests soon.
        is_ending: bool,
    },
    /// An authority asks whether the host is ours, and no endpoint.
    Challenge {
        /// What convinces it.
        answer: String,
    },
    /// No route for the host.
    UnknownRoute {
        /// The host asked for.
        host: String,
    },
    /// A route, and nobody behind it.
    NoEndpoints {
        /// The host asked for.
        host: String,
    },
    /// A host of the platform, asked for by an instance.
    PlatformHost {
        /// The host asked for.
        host: String,
    },
    /// Every endpoint has as many requests under way as it may have.
    Busy {
        /// The host asked for.
        host: String,
    },
    /// An instance that the route does not have.
    UnknownInstance {
        /// Whose guid it is.
        whose: Whose,
        /// The index; may be empty for a process.
        index: String,
        /// The guid.
        guid: String,
        /// The host asked for.
        host: String,
    },
    /// A wish for an instance that cannot be read.
    MalformedInstance {
        /// Whose guid it should hold.
        whose: Whose,
    },
    /// No host at all.
    EmptyHost,
    /// A host that is none, or several.
    MalformedHost,
    /// A request that two readers could take for different ones.
    Ambiguous(&'static str),
    /// A request whose head or body is not as it must be.
    Malformed(Violation),
    /// A head beyond the limits.
    HeadTooLarge,
    /// A body beyond the limit.
    BodyTooLarge {
        /// So many bytes are taken.
        max: u64,
    },
    /// HTTP/1, and neither of its versions.
    MinorVersion,
    /// A version of HTTP that begins in another way.
    MajorVersion,
    /// The router itself has failed.
    Panicked,
    /// An `Expect` that nobody knows.
    Expectation,
    /// A method the router does not carry.
    Unsupported,
    /// Something is wrong with the route's service, or with what claims to come from it.
    Service(Obstacle),
    /// The client left.
    ClientGone,
    /// The endpoints that were tried failed; this is how the last one did.
    Endpoint(Trouble),
}

/// Whose guid a wish for an instance holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The app's, beside an index: `X-CF-App-Instance`.
    App,
    /// The process's, perhaps beside an index: `X-CF-Process-Instance`.
    Process,
}

/// Who has to look into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Whoever sent the request.
    Client,
    /// The app's instance.
    Endpoint,
    /// Nobody serves what was asked for.
    Route,
}

/// What the router answers by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whose fault it is.
    pub fault: Fault,
    /// The status code.
    pub status: u16,
    /// `X-Cf-RouterError`; none where gorouter sets none.
    pub error: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<&'static str>,
    /// One line, without its end; empty for no body.
    pub body: String,
    /// The body is a page, and whole.
    pub is_page: bool,
    /// There is no more to it than its status line.
    pub is_bare: bool,
    /// The connection's state is unknown: close it.
    pub closes: bool,
}

const NO_CACHE: &str = "no-cache, no-store";
const TWO_SECONDS: &str = "public,max-age=2";
/// What the health of this moment says to caches.
const OF_THE_MOMENT: &str = "private, max-age=0";

// === impl Whose ===

impl Whose {
    fn guid(self) -> &'static str {
        match self {
            Self::App => "guid",
            Self::Process => "process guid",
        }
    }

    fn error(self) -> &'static str {
        match self {
            Self::App => "invalid_cf_app_instance_header",
            Self::Process => "invalid_cf_process_instance_header",
        }
    }

    fn header(self) -> &'static str {
        match self {
            Self::App => "X-CF-App-Instance",
            Self::Process => "X-CF-Process-Instance",
        }
    }
}

// === impl Failure ===

impl From<Violation> for Failure {
    /// What a client is told that sent it.
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::TooLarge => Self::HeadTooLarge,
            // As gorouter takes it: a request without a host.
            Violation::Http2 => Self::EmptyHost,
            Violation::MinorVersion => Self::MinorVersion,
            Violation::MajorVersion => Self::MajorVersion,
            other => Self::Malformed(other),
        }
    }
}

impl Failure {
    /// Whether it is shown on a page where there is one: what an endpoint does wrong is not.
    pub(crate) fn is_shown_as_page(&self) -> bool {
        matches!(
            self,
            Self::UnknownRoute { .. }
                | Self::NoEndpoints { .. }
                | Self::Busy { .. }
                | Self::UnknownInstance { .. }
                | Self::MalformedInstance { .. }
                | Self::EmptyHost
                | Self::Service(_)
        )
    }

    /// Whether it is told of a request that is too large as well: it is found before that is looked
    /// at (facts 1.3).
    pub(crate) fn is_of_lookup(&self) -> bool {
        matches!(
            self,
            Self::HealthCheck { .. }
                | Self::UnknownRoute { .. }
                | Self::NoEndpoints { .. }
                | Self::UnknownInstance { .. }
                | Self::MalformedInstance { .. }
                | Self::EmptyHost
        )
    }

    /// What the client is told.
    pub fn answer(&self) -> Answer {
        match self {
            Self::HealthCheck { is_ending } => Answer::health(*is_ending),
            // Authorities pass over the line's end.
            Self::Challenge { answer } => {
                Answer::new(Fault::Client, 200, None).cached(NO_CACHE).says(answer)
            }
            Self::UnknownRoute { host } => Answer::new(Fault::Route, 404, "unknown_route")
                .cached(NO_CACHE)
                .says(format!("404 Not Found: Requested route ('{host}') does not exist.")),
            Self::NoEndpoints { host } => Answer::new(Fault::Route, 503, "no_endpoints")
                .cached(TWO_SECONDS)
                .unavailable(host, "has no available endpoints"),
            Self::Busy { host } => Answer::new(Fault::Route, 503, "Connection Limit Reached")
                .unavailable(host, "has reached the connection limit"),
            Self::PlatformHost { host } => {
                Answer::new(Fault::Client, 403, "platform_host").cached(NO_CACHE).says(format!(
                    "403 Forbidden: Requested route ('{host}') is not served to instances."
                ))
            }
            Self::UnknownInstance { whose, index, guid, host } => {
                let guid_of = whose.guid();
                Answer::new(Fault::Route, 400, "unknown_route").cached(NO_CACHE).says(format!(
                    "400 Bad Request: Requested instance ('{index}') with {guid_of} ('{guid}') \
                     does not exist for route ('{host}')"
                ))
            }
            Self::MalformedInstance { whose } => Answer::new(Fault::Client, 400, whose.error())
                .cached(NO_CACHE)
                .says(format!("400 Bad Request: Invalid {} Header", whose.header())),
            Self::EmptyHost => Answer::new(Fault::Client, 400, "empty_host")
                .cached(TWO_SECONDS)
                .says("400 Bad Request: Request had empty Host header"),
            Self::MalformedHost => Answer::new(Fault::Client, 400, None)
                .says("400 Bad Request: malformed Host header")
                .closing(),
            Self::Ambiguous(why) => Answer::new(Fault::Client, 400, "ambiguous_request")
                .says(format!("400 Bad Request: {why}"))
                .closing(),
            Self::Malformed(why) => Answer::new(Fault::Client, 400, "malformed_request")
                .says(format!("400 Bad Request: {why}"))
                .closing(),
            Self::HeadTooLarge => {
                Answer::new(Fault::Client, 431, "max-request-size-exceeded").closing()
            }
            Self::BodyTooLarge { max } => Answer::too_large(*max),
            Self::MinorVersion => Answer::new(Fault::Client, 400, None).bare(),
            Self::MajorVersion => Answer::new(Fault::Client, 505, None)
                .says("505 HTTP Version Not Supported: unsupported protocol version")
                .closing(),
            Self::Panicked => Answer::new(Fault::Client, 502, "unknown_failure").closing(),
            Self::Expectation => Answer::new(Fault::Client, 417, None).closing(),
            Self::Unsupported => Answer::new(Fault::Client, 405, "unsupported_method")
                .says("405 Method Not Allowed: the router carries no CONNECT")
                .closing(),
            Self::Service(obstacle) => obstacle.answer(),
            Self::ClientGone => {
                Answer::new(Fault::Client, 499, None).says("499 Request Cancelled").closing()
            }
            Self::Endpoint(trouble @ Trouble::Tls(distrust, _)) => {
                let error = format!("endpoint_failure ({trouble})");
                let (status, says) = distrust.answer();
                Answer::new(Fault::Endpoint, status, error.as_str()).says(says)
            }
            Self::Endpoint(trouble) => {
                Answer::new(Fault::Endpoint, 502, format!("endpoint_failure ({trouble})").as_str())
                    .says("502 Bad Gateway: Registered endpoint failed to handle the request.")
            }
        }
    }
}

/// The words behind a status that the router gives by itself.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        496 => "SSL Certificate Required",
        525 => "SSL Handshake Failed",
        526 => "Invalid SSL Certificate",
        431 => "Request Header Fields Too Large",
        499 => "Request Cancelled",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

// === impl Answer ===

impl Answer {
    fn too_large(max: u64) -> Self {
        Self::new(Fault::Client, 413, "body_too_large")
            .says(format!("413 Content Too Large: this router takes bodies of {max} bytes"))
            .closing()
    }

    fn new<'e>(fault: Fault, status: u16, error: impl Into<Option<&'e str>>) -> Self {
        let error = error.into().map(str::to_owned);
        let (cache_control, body) = (None, String::new());
        Self {
            fault,
            status,
            error,
            cache_control,
            body,
            is_page: false,
            is_bare: false,
            closes: false,
        }
    }

    /// As the status port answers, too.
    fn health(is_ending: bool) -> Self {
        let (status, body) = if is_ending { (503, "") } else { (200, "ok") };
        Self::new(Fault::Client, status, None).cached(OF_THE_MOMENT).says(body)
    }

    fn cached(self, cache_control: &'static str) -> Self {
        Self { cache_control: Some(cache_control), ..self }
    }

    fn unavailable(self, host: &str, why: &str) -> Self {
        self.says(format!("503 Service Unavailable: Requested route ('{host}') {why}."))
    }

    /// Whether it says nothing about the next moment, which old caches are told in their own way.
    pub(crate) fn expires_at_once(&self) -> bool {
        self.cache_control == Some(OF_THE_MOMENT)
    }

    /// Bytes of the body, with its line's end.
    pub(crate) fn body_length(&self) -> u64 {
        if self.body.is_empty() { 0 } else { self.body.len() as u64 + u64::from(!self.is_page) }
    }

    /// The same on a page.
    pub(crate) fn on_page(self, page: &ErrorPage) -> Self {
        let status_text = reason(self.status);
        let usual = format!("{} {status_text}: ", self.status);
        let told = Told {
            status: self.status,
            status_text,
            message: self.body.strip_prefix(&usual).unwrap_or(&self.body),
            headers: &[
                ("X-Cf-RouterError", self.error.as_deref().unwrap_or_default()),
                ("Cache-Control", self.cache_control.unwrap_or_default()),
            ],
        };
        Self { body: page.render(&told), is_page: true, ..self }
    }

    fn says(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// Closing, for it does not say where it ends.
    fn bare(self) -> Self {
        Self { is_bare: true, ..self.closing() }
    }

    fn closing(self) -> Self {
        Self { closes: true, ..self }
    }
}

#[cfg(test)]
mod tests;
