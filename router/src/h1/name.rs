//! The header names that mean something to a proxy.

/// A name; case never matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// One that is passed on as it is.
    Other,
    AppInstance,
    ApplicationId,
    Authorization,
    B3,
    B3ParentSpanId,
    B3SpanId,
    B3TraceId,
    Connection,
    ContentLength,
    Cookie,
    Date,
    Expect,
    ForwardedClientCert,
    ForwardedFor,
    ForwardedProto,
    ForwardedUrl,
    Host,
    IdempotencyKey,
    InstanceId,
    InstanceIndex,
    KeepAlive,
    ProcessInstance,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    ProxyMetadata,
    ProxySignature,
    Referer,
    RequestId,
    RequestStart,
    SetCookie,
    Te,
    TraceParent,
    TraceState,
    TransferEncoding,
    Upgrade,
    UserAgent,
    VcapTrace,
    WwwAuthenticate,
}

// === impl Name ===

impl Name {
    /// Which name this is.
    pub(crate) fn of(text: &[u8]) -> Self {
        let known = known_of_length(text.len());
        // Names of one length differ in their last letter, mostly.
        let last = |name: &[u8]| name.last().map(u8::to_ascii_lowercase);
        let same = known.iter().find(|(name, _)| {
            let name = name.as_bytes();
            last(name) == last(text) && name.eq_ignore_ascii_case(text)
        });
        same.map_or(Self::Other, |(_, name)| *name)
    }

    /// Whether it concerns one hop only. `Trailer` does not: it announces what is relayed.
    pub(crate) fn is_of_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}

fn known_of_length(length: usize) -> &'static [(&'static str, Name)] {
    use Name::*;
    match length {
        2 => &[("te", Te), ("b3", B3)],
        4 => &[("host", Host), ("date", Date)],
        6 => &[("cookie", Cookie), ("expect", Expect)],
        7 => &[("referer", Referer), ("upgrade", Upgrade)],
        10 => &[
            ("connection", Connection),
            ("user-agent", UserAgent),
            ("set-cookie", SetCookie),
            ("keep-alive", KeepAlive),
            ("tracestate", TraceState),
        ],
        11 => &[("traceparent", TraceParent), ("x-b3-spanid", B3SpanId)],
        12 => &[("x-b3-traceid", B3TraceId), ("x-vcap-trace", VcapTrace)],
        13 => &[("authorization", Authorization)],
        14 => &[("content-length", ContentLength)],
        15 => &[
            ("x-forwarded-for", ForwardedFor),
            ("x-request-start", RequestStart),
            ("idempotency-key", IdempotencyKey),
            ("x-cf-instanceid", InstanceId),
        ],
        16 => &[("proxy-connection", ProxyConnection), ("www-authenticate", WwwAuthenticate)],
        17 => &[
            ("x-forwarded-proto", ForwardedProto),
            ("transfer-encoding", TransferEncoding),
            ("x-vcap-request-id", RequestId),
            ("x-idempotency-key", IdempotencyKey),
            ("x-b3-parentspanid", B3ParentSpanId),
            ("x-cf-app-instance", AppInstance),
        ],
        18 => &[
            ("x-cf-applicationid", ApplicationId),
            ("x-cf-forwarded-url", ForwardedUrl),
            ("x-cf-instanceindex", InstanceIndex),
            ("proxy-authenticate", ProxyAuthenticate),
        ],
        19 => {
            &[("proxy-authorization", ProxyAuthorization), ("x-cf-proxy-metadata", ProxyMetadata)]
        }
        20 => &[("x-cf-proxy-signature", ProxySignature)],
        21 => &[("x-cf-process-instance", ProcessInstance)],
        23 => &[("x-forwarded-client-cert", ForwardedClientCert)],
        _ => &[],
    }
}
