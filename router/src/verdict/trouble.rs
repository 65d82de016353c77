//! How attempts at endpoints fail, and what follows from it for the attempt, the endpoint and the
//! table (facts 1.5).

use std::fmt;
use std::io;

/// How one attempt at an endpoint failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It took no connection.
    Dial(String),
    /// It took no connection in time.
    DialTimeout,
    /// The connection turned out dead before the request's head was in it.
    DeadConnection,
    /// It ended the connection in order, without a byte of an answer.
    Ended,
    /// It broke the connection off.
    Reset {
        /// The request's head was in it.
        is_asked: bool,
    },
    /// Its answer was not HTTP, or broke off in its head, or had too large a one.
    Garbled(String),
    /// Its answer did not begin in time.
    Timeout,
    /// It was not the one that was meant, or took us for somebody else.
    Tls(Distrust, String),
    /// It is the only one that would do, and is gone or has enough to do.
    InstanceGone,
}

/// How many reasons there are for [`Distrust`].
pub const DISTRUSTS: usize = 5;

/// Why two ends of a TLS connection do not come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// The endpoint does not speak TLS, or nothing that both speak.
    Handshake,
    /// Its certificate is for another name.
    Name,
    /// Nobody we trust vouches for its certificate, or not any more.
    Certificate,
    /// It does not take our certificate, or wants one.
    Ours,
    /// It took too long.
    Late,
}

/// What decides about another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Doing it twice is as good as once.
    pub is_idempotent: bool,
    /// A body may follow the head.
    pub has_body: bool,
}

// === impl Trouble ===

impl Trouble {
    /// Whether another endpoint may be tried: only when no byte can have been acted upon, or when
    /// an endpoint that said nothing at all is asked for what may be done twice.
    pub fn may_retry(&self, request: Shape) -> bool {
        match self {
            Self::Dial(_) | Self::DialTimeout | Self::DeadConnection => true,
            Self::Ended => request.may_repeat(),
            // It is in the middle of something.
            Self::Reset { is_asked } => !is_asked,
            // It has refused us before it read what we said; but a body is gone.
            Self::Tls(Distrust::Ours, _) => !request.has_body,
            Self::Tls(..) => true,
            Self::Garbled(_) | Self::Timeout | Self::InstanceGone => false,
        }
    }

    /// Whether the same endpoint is asked once more, on a new connection, where this came of one
    /// that was kept: it may have closed that before the request came.
    pub(crate) fn is_of_old_age(&self, request: Shape) -> bool {
        match self {
            Self::DeadConnection | Self::Reset { is_asked: false } => true,
            Self::Ended | Self::Reset { is_asked: true } => request.may_repeat(),
            Self::Dial(_)
            | Self::DialTimeout
            | Self::Garbled(_)
            | Self::Timeout
            | Self::Tls(..)
            | Self::InstanceGone => false,
        }
    }

    /// What an error means of reading an answer, or of waiting for a handshake.
    pub(crate) fn of_reading(error: &io::Error, is_asked: bool) -> Self {
        match (Self::of_tls(error), error.kind()) {
            // TLS 1.3 says only with the answer whether it takes our certificate. Whatever else is
            // wrong once it was asked is no matter of who it is.
            (Some(Self::Tls(distrust, why)), _) if is_asked && distrust != Distrust::Ours => {
                Self::Garbled(format!("tls: {why}"))
            }
            (Some(trouble), _) => trouble,
            (None, io::ErrorKind::ConnectionReset) => Self::Reset { is_asked },
            // A stream of HTTP/2 of which the endpoint says that it did not begin with it.
            (None, io::ErrorKind::NotConnected) => Self::DeadConnection,
            (None, io::ErrorKind::UnexpectedEof) => Self::of_end(is_asked),
            // Before anything was asked the next attempt is as good as the first.
            (None, _) if !is_asked => Self::DeadConnection,
            (None, _) => Self::Garbled(error.to_string()),
        }
    }

    /// What the end of a connection means on which no byte of an answer came.
    pub(crate) fn of_end(is_asked: bool) -> Self {
        if is_asked { Self::Ended } else { Self::DeadConnection }
    }

    /// What an error of TLS means; none for other errors.
    fn of_tls(error: &io::Error) -> Option<Self> {
        let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(Self::Tls(Distrust::of(tls), tls.to_string()))
    }

    /// Whether an endpoint that must prove itself is forgotten: somebody else is there now.
    pub fn unmasks_endpoint(&self) -> bool {
        match self {
            Self::Dial(_) | Self::DialTimeout => true,
            Self::Tls(distrust, _) => *distrust != Distrust::Late,
            Self::DeadConnection
            | Self::Ended
            | Self::Reset { .. }
            | Self::Garbled(_)
            | Self::Timeout
            | Self::InstanceGone => false,
        }
    }

    /// Whether the endpoint is passed over for a while. One that ends connections in order may do
    /// so for each of its own reasons.
    pub fn marks_endpoint(&self) -> bool {
        match self {
            Self::Dial(_) | Self::DialTimeout | Self::Reset { .. } | Self::Tls(..) => true,
            Self::DeadConnection
            | Self::Ended
            | Self::Garbled(_)
            | Self::Timeout
            | Self::InstanceGone => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(why) => write!(f, "dial: {why}"),
            Self::DialTimeout => f.write_str("dial: timed out"),
            Self::DeadConnection => {
                f.write_str("connection was closed before the request was sent")
            }
            Self::Ended => f.write_str("EOF"),
            Self::Reset { .. } => f.write_str("read: connection reset by peer"),
            Self::Garbled(why) => f.write_str(why),
            Self::InstanceGone => f.write_str("the one instance that would do is gone or busy"),
            Self::Timeout => f.write_str("context deadline exceeded"),
            Self::Tls(_, why) => write!(f, "tls: {why}"),
        }
    }
}

// === impl Shape ===

impl Shape {
    /// Doing it twice is as good as once, and it can be done twice.
    pub(crate) fn may_repeat(self) -> bool {
        self.is_idempotent && !self.has_body
    }
}

// === impl Distrust ===

impl Distrust {
    /// What an error of TLS means (facts 1.9).
    pub(crate) fn of(error: &rustls::Error) -> Self {
        use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error};
        match error {
            Error::InvalidCertificate(
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
            ) => Self::Name,
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Self::Certificate,
            Error::AlertReceived(
                Alert::BadCertificate
                | Alert::CertificateRequired
                | Alert::CertificateUnknown
                | Alert::CertificateExpired
                | Alert::UnknownCA
                | Alert::AccessDenied,
            ) => Self::Ours,
            _ => Self::Handshake,
        }
    }

    /// Status and words.
    pub(super) fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Handshake => (525, "525 SSL Handshake Failed"),
            Self::Name => (503, "503 Service Unavailable"),
            Self::Certificate => (526, "526 Invalid SSL Certificate"),
            Self::Ours => (496, "496 SSL Certificate Required"),
            Self::Late => {
                (502, "502 Bad Gateway: Registered endpoint failed to handle the request.")
            }
        }
    }
}
