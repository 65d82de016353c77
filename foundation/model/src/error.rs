//! Errors that cross a wire.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The Receptor API's error names (B.0); clients match them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorName {
    /// A task of this guid exists.
    TaskGuidAlreadyExists,
    /// The task has not ended.
    TaskNotDeletable,
    /// No such task.
    TaskNotFound,
    /// The task is not valid.
    InvalidTask,
    /// An LRP of this guid exists.
    DesiredLRPAlreadyExists,
    /// No such LRP.
    DesiredLRPNotFound,
    /// The LRP is not valid.
    InvalidLRP,
    /// The domain is not valid.
    InvalidDomain,
    /// The body is not the JSON that was expected.
    InvalidJSON,
    /// The request is not valid.
    InvalidRequest,
    /// The answer is not what was expected.
    InvalidResponse,
    /// None of the others.
    UnknownError,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// No such instance.
    ActualLRPIndexNotFound,
    /// The record changed meanwhile, or its state forbids this.
    ResourceConflict,
    /// The router answered, not the receptor.
    RouterError,
    /// No such cell, or not in that state; ours, additive.
    CellNotFound,
    /// No such custom domain; ours, additive.
    CustomDomainNotFound,
    /// No credentials of such a registry; ours, additive.
    RegistryNotFound,
    /// A limit was reached; ours, additive.
    TooManyRequests,
}

/// A request that was understood and refused; the body of every error answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which kind.
    pub name: ErrorName,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// Makes one.
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.name, self.message)
    }
}

impl std::error::Error for Refusal {}
