//! Answers: bodies as compact JSON, and errors with the status that belongs to their name.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lattice_api::brain::BrainError;
use lattice_model::{ErrorName, Refusal};
use serde::Serialize;

/// When who was turned away may come again, in seconds.
const RETRY_AFTER_S: &str = "2";

/// Why a handler does not do what was asked; knows how to say so.
#[derive(Debug)]
pub(crate) struct Problem(Response);

/// A handler's outcome.
pub(crate) type Answer = Result<Response, Problem>;

// === impl Problem ===

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(refuse(&refusal))
    }
}

impl From<BrainError> for Problem {
    fn from(error: BrainError) -> Self {
        match error {
            BrainError::Refused(refusal) => refusal.into(),
            BrainError::Unauthorized => {
                Self(refuse(&Refusal::new(ErrorName::Unauthorized, "Unauthorized")))
            }
            BrainError::Unreachable { .. } => {
                tracing::warn!(%error, "the brain does not answer");
                let refusal = Refusal::new(ErrorName::UnknownError, error.to_string());
                Self(refuse_with(StatusCode::SERVICE_UNAVAILABLE, &refusal))
            }
            BrainError::BadAnswer { .. } => {
                tracing::warn!(%error, "the brain answers oddly");
                Self(refuse(&Refusal::new(ErrorName::InvalidResponse, error.to_string())))
            }
        }
    }
}

impl From<Response> for Problem {
    fn from(response: Response) -> Self {
        Self(response)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.0
    }
}

/// 200 and a body.
pub(crate) fn ok<T: Serialize + ?Sized>(body: &T) -> Response {
    with_body(StatusCode::OK, body)
}

/// A status without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    status.into_response()
}

/// A status and a body as compact JSON.
pub(crate) fn with_body<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response {
    let json = serde_json::to_vec(body).expect("bodies have text keys and no fallible parts");
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [kind], json).into_response()
}

/// An error with its name's status.
pub(crate) fn refuse(refusal: &Refusal) -> Response {
    refuse_with(status(refusal.name), refusal)
}

/// An error with a status of its own.
pub(crate) fn refuse_with(status: StatusCode, refusal: &Refusal) -> Response {
    let mut response = with_body(status, refusal);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        let after = HeaderValue::from_static(RETRY_AFTER_S);
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

/// The status of each kind of error: the only place that decides it (Receptor API B.1).
const fn status(name: ErrorName) -> StatusCode {
    match name {
        ErrorName::InvalidTask
        | ErrorName::InvalidLRP
        | ErrorName::InvalidDomain
        | ErrorName::InvalidJSON
        | ErrorName::InvalidRequest => StatusCode::BAD_REQUEST,
        ErrorName::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorName::TaskNotFound
        | ErrorName::DesiredLRPNotFound
        | ErrorName::ActualLRPIndexNotFound
        | ErrorName::CellNotFound
        | ErrorName::CustomDomainNotFound
        | ErrorName::RegistryNotFound => StatusCode::NOT_FOUND,
        ErrorName::TaskGuidAlreadyExists
        | ErrorName::TaskNotDeletable
        | ErrorName::DesiredLRPAlreadyExists => StatusCode::CONFLICT,
        ErrorName::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ErrorName::RouterError => StatusCode::BAD_GATEWAY,
        ErrorName::InvalidResponse | ErrorName::UnknownError | ErrorName::ResourceConflict => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
