//! Why a registry did not do what was asked.

/// What a registry, or the way to it, refused. To a person: what, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It has no such image, manifest or blob.
    #[error("{what} is not in registry {registry}: {why}; check the name and the tag")]
    NotFound {
        /// What was asked for.
        what: String,
        /// Which registry.
        registry: String,
        /// What it said.
        why: String,
    },
    /// It wants other credentials.
    #[error("registry {registry} refused access to {what}: {why}; {next}")]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// Which registry.
        registry: String,
        /// What it said.
        why: String,
        /// What to do.
        next: String,
    },
    /// It cannot be reached, breaks off, or fails.
    #[error("cannot reach registry {registry} for {what}: {why}")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// Which registry.
        registry: String,
        /// What went wrong.
        why: String,
    },
    /// It refused for a reason of its own.
    #[error("registry {registry} refused {what}: {why}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Which registry.
        registry: String,
        /// What it said.
        why: String,
    },
    /// What it sent is not what was promised.
    #[error("registry {registry} sent a damaged {what}: {why}")]
    Corrupt {
        /// What was asked for.
        what: String,
        /// Which registry.
        registry: String,
        /// What is wrong.
        why: String,
    },
    /// The image is not built for this kind of machine.
    #[error("{what} is not built for {wanted}; it has {offered}")]
    NoPlatform {
        /// Which image.
        what: String,
        /// Which registry.
        registry: String,
        /// What this machine is.
        wanted: String,
        /// What the image is built for.
        offered: String,
    },
    /// This machine failed.
    #[error("cannot {what}: {why}")]
    Machine {
        /// What was tried, as a verb.
        what: String,
        /// What the machine said.
        why: String,
    },
}

impl RegistryError {
    /// True when the same transfer may succeed when it is taken up again.
    pub(crate) const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
