//! What a client is told where a route service is in the way (facts 1.9). Pure.

use super::{Answer, Fault};
use crate::services::signature::Unsigned;

/// Why a request neither goes to its route service nor is taken for one that was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// This router has no secret to sign with.
    Disabled,
    /// A websocket, which no service passes on.
    Websocket,
    /// The registered URL leads nowhere.
    NoPlace,
    /// It comes with what no router has signed for it.
    Unsigned(Unsigned),
    /// So it does, and its route has no service at all.
    Stray(Unsigned),
}

impl Obstacle {
    /// What the client is told.
    pub(super) fn answer(&self) -> Answer {
        let told = |status: u16, says: String| {
            let reason = super::reason(status);
            Answer::new(Fault::Route, status, None).says(format!("{status} {reason}: {says}"))
        };
        let error =
            |answer: Answer, error: &str| Answer { error: Some(error.to_owned()), ..answer };
        match self {
            Self::Disabled => error(
                told(502, "Support for route services is disabled.".to_owned()),
                "route_service_unsupported",
            ),
            Self::Websocket => error(
                told(
                    503,
                    "Websocket requests are not supported for routes bound to Route Services."
                        .to_owned(),
                ),
                "route_service_unsupported",
            ),
            Self::NoPlace => told(500, "Route service request failed.".to_owned()),
            Self::Unsigned(why) => {
                let status = if *why == Unsigned::Expired { 504 } else { 502 };
                told(status, format!("Failed to validate Route Service Signature: {why}"))
            }
            Self::Stray(why @ Unsigned::Expired) => error(
                told(504, format!("Failed to validate Route Service Signature: {why}")),
                "expired_route_service_signature",
            ),
            Self::Stray(_) => error(
                told(400, "invalid route service signature detected".to_owned()),
                "invalid_route_service_signature",
            ),
        }
    }
}

#[test]
fn what_is_in_the_way_is_told_as_gorouter_tells_it() {
    for (obstacle, status, error, body) in [
        (
            Obstacle::Disabled,
            502,
            Some("route_service_unsupported"),
            "502 Bad Gateway: Support for route services is disabled.",
        ),
        (
            Obstacle::Websocket,
            503,
            Some("route_service_unsupported"),
            "503 Service Unavailable: Websocket requests are not supported for routes bound to \
             Route Services.",
        ),
        (Obstacle::NoPlace, 500, None, "500 Internal Server Error: Route service request failed."),
        (
            Obstacle::Unsigned(Unsigned::Expired),
            504,
            None,
            "504 Gateway Timeout: Failed to validate Route Service Signature: route service \
             request expired",
        ),
        (
            Obstacle::Unsigned(Unsigned::Forged),
            502,
            None,
            "502 Bad Gateway: Failed to validate Route Service Signature: cipher: message \
             authentication failed",
        ),
        (
            Obstacle::Stray(Unsigned::Expired),
            504,
            Some("expired_route_service_signature"),
            "504 Gateway Timeout: Failed to validate Route Service Signature: route service \
             request expired",
        ),
        (
            Obstacle::Stray(Unsigned::NoMetadata),
            400,
            Some("invalid_route_service_signature"),
            "400 Bad Request: invalid route service signature detected",
        ),
    ] {
        let answer = obstacle.answer();
        let told = (answer.status, answer.error.as_deref(), answer.body.as_str());
        assert_eq!(told, (status, error, body));
        assert_eq!((answer.cache_control, answer.closes), (None, false));
    }
}
