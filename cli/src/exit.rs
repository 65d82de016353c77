//! How `ltc` ends: the exit codes scripts rely on, and failures that say what to do next.

use std::fmt;

use lattice_api::brain::BrainError;
use lattice_api::log_aggregator::LogError;
use lattice_model::ErrorName;

/// The exit codes (ltc A.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// No such command, or the platform cannot be reached or refuses the credentials.
    General = 1,
    /// The target cannot be used.
    BadTarget = 10,
    /// No cell can take it.
    Placement = 11,
    /// A file cannot be read or written.
    FileSystem = 12,
    /// The command line is not valid.
    InvalidSyntax = 13,
    /// The command failed.
    CommandFailed = 14,
    /// The image cannot be used.
    BadImage = 15,
    /// Ended by a signal.
    Interrupted = 160,
}

/// Why a command failed, for a person: what happened, and which commands come next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened and why; lower case, no full stop.
    pub message: String,
    /// Commands to try next.
    pub next: Vec<String>,
}

/// What a command comes to.
pub type Outcome = Result<(), Failure>;

// === impl Exit ===

impl Exit {
    /// The number the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

// === impl Failure ===

impl Failure {
    /// Makes one without a next command; add it with [`Failure::next`].
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), next: Vec::new() }
    }

    /// A command that failed.
    pub fn command(message: impl Into<String>) -> Self {
        Self::new(Exit::CommandFailed, message)
    }

    /// A command line that is not valid.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::InvalidSyntax, message)
    }

    /// Adds a command to try next.
    #[must_use]
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next.push(command.into());
        self
    }

    /// What a brain's refusal or silence means while `doing` something.
    pub fn brain(doing: &str, error: BrainError) -> Self {
        match error {
            BrainError::Unauthorized => unauthorized(),
            BrainError::Unreachable { url, cause } => unreachable(&url, &cause),
            BrainError::BadAnswer { url, what } => Self::new(
                Exit::General,
                format!("cannot {doing}: unexpected answer from {url}: {what}"),
            )
            .next("ltc target"),
            BrainError::Refused(refusal) if refusal.name == ErrorName::RouterError => Self::new(
                Exit::General,
                format!("cannot {doing}: the router knows no receptor here: {}", refusal.message),
            )
            .next("ltc target"),
            BrainError::Refused(refusal) if refusal.name == ErrorName::Unauthorized => {
                unauthorized()
            }
            BrainError::Refused(refusal) => {
                Self::command(format!("cannot {doing}: {}", refusal.message))
            }
        }
    }

    /// What a log-aggregator's silence means.
    pub fn logs(error: LogError) -> Self {
        match error {
            LogError::Unauthorized(_) => unauthorized(),
            LogError::Unreachable { url, cause } => unreachable(&url, &cause),
            LogError::BadAnswer { .. } => Self::command(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

fn unauthorized() -> Failure {
    Failure::new(Exit::General, "the target did not accept the credentials")
        .next("ltc target DOMAIN    (asks for user and password again)")
}

fn unreachable(url: &str, cause: &str) -> Failure {
    Failure::new(Exit::General, format!("cannot reach {url}: {cause}"))
        .next("ltc target           (shows what is targeted)")
        .next("lattice up           (starts a Lattice on this machine)")
}
