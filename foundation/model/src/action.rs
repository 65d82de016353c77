//! What runs inside a container: a tree of steps (Receptor API B.3).
//!
//! The serde form is the Receptor's: an object with exactly one key, the action's name.

use serde::{Deserialize, Serialize};

/// The deepest nesting accepted, so that a hostile tree cannot exhaust a stack.
pub const ACTION_DEPTH_MAX: usize = 32;

/// One step, or a combination of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Runs a process in the container.
    Run(Run),
    /// Fetches an archive and extracts it in the container.
    Download(Download),
    /// Sends one file from the container by HTTP POST.
    Upload(Upload),
    /// Cancels its step after a while.
    Timeout(Timeout),
    /// Runs its step and ignores failure.
    Try(Wrapped),
    /// Says in the app's log how its step fares.
    EmitProgress(EmitProgress),
    /// Runs all steps at once and waits for all.
    Parallel(Group),
    /// Runs steps one after the other and stops at the first failure.
    Serial(Group),
    /// Runs all steps at once; the first exit ends all.
    Codependent(Group),
}

/// A name and a value in a process's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// The variable's name; never blank.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// Limits of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// The most open files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// The most processes of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nproc: Option<u64>,
}

/// See [`Action::Run`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The program; required.
    pub path: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its working directory; empty means the image's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dir: String,
    /// Added to the container's environment, last wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Limits of this process.
    #[serde(default)]
    pub resource_limits: ResourceLimits,
    /// The user to run as, by name or number; required by the Receptor API.
    pub user: String,
    /// Replaces the LRP's log source for this step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_source: String,
}

/// See [`Action::Download`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// What the log calls it; empty means say nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub artifact: String,
    /// The URL of a tgz, tar or zip archive; required.
    pub from: String,
    /// The directory to extract into; required.
    pub to: String,
    /// Names the archive in the cell's download cache; empty means do not cache.
    #[serde(default)]
    pub cache_key: String,
    /// Replaces the LRP's log source for this step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_source: String,
    /// Who owns the files; required.
    pub user: String,
    /// `md5`, `sha1` or `sha256`; empty means that nothing is compared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksum_algorithm: String,
    /// The archive's digest, in hex digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksum_value: String,
}

/// What a [`Download`]'s digest is made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// 128 bits.
    Md5,
    /// 160 bits.
    Sha1,
    /// 256 bits.
    Sha256,
}

impl ChecksumAlgorithm {
    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha1, Self::Sha256].into_iter().find(|known| known.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// How many hex digits its digests have.
    pub const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }
}

/// See [`Action::Upload`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// What the log calls it; empty means say nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub artifact: String,
    /// The file to send; required.
    pub from: String,
    /// The URL to send it to; required.
    pub to: String,
    /// Replaces the LRP's log source for this step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_source: String,
    /// Who reads the file; required.
    pub user: String,
}

/// See [`Action::Timeout`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeout {
    /// The step; `None` only between decoding and validation.
    pub action: Option<Box<Action>>,
    /// How long it may take, in nanoseconds; above 0.
    #[serde(rename = "timeout")]
    pub timeout_ns: i64,
    /// Replaces the LRP's log source for the steps below.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_source: String,
}

/// See [`Action::Try`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapped {
    /// The step; `None` only between decoding and validation.
    pub action: Option<Box<Action>>,
    /// Replaces the LRP's log source for the steps below.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_source: String,
}

/// See [`Action::EmitProgress`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmitProgress {
    /// The step; `None` only between decoding and validation.
    pub action: Option<Box<Action>>,
    /// Said before the step.
    #[serde(default)]
    pub start_message: String,
    /// Said when it succeeded.
    #[serde(default)]
    pub success_message: String,
    /// Said, with the reason behind it, when it failed.
    #[serde(default)]
    pub failure_message_prefix: String,
    /// Where these messages are said to come from; not passed to the step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_source: String,
}

/// The steps of [`Action::Parallel`], [`Action::Serial`] and [`Action::Codependent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// At least one step; a `None` element only between decoding and validation.
    pub actions: Vec<Option<Action>>,
    /// Replaces the LRP's log source for the steps below (not for serial).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_source: String,
}
