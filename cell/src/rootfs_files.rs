//! Files inside a container's root filesystem, behind one seam: [`RootfsFiles`]. Every path is
//! confined to the root, links included.

mod confined;

use std::path::Path;

use async_trait::async_trait;

use crate::runtime::UserIds;

pub use confined::ConfinedFiles;

/// Reaches into root filesystems.
#[async_trait]
pub trait RootfsFiles: Send + Sync {
    /// Looks `user[:group]`, names or numbers, up in the root's passwd and group files.
    async fn resolve_user(&self, root: &Path, user: &str) -> Result<ResolvedUser, FilesError>;
    /// Reads a plain file of at most so many bytes; a longer one is an error.
    async fn read_file(
        &self,
        root: &Path,
        path: &str,
        bytes_max: u64,
    ) -> Result<Vec<u8>, FilesError>;
    /// Makes a directory, and those on the way, where they are missing; what is made belongs to
    /// `owner`, as this host numbers users.
    async fn make_dir(&self, root: &Path, path: &str, owner: &UserIds) -> Result<(), FilesError>;
    /// Extracts a tar, as it is or packed by gzip or zstd, or a zip archive.
    async fn extract_archive(
        &self,
        root: &Path,
        archive: std::fs::File,
        into: &Extraction<'_>,
    ) -> Result<(), FilesError>;
}

/// Where an archive goes.
#[derive(Debug, Clone)]
pub struct Extraction<'a> {
    /// The directory inside; made when it is not there.
    pub to: &'a str,
    /// Who owns all that is extracted, as this host numbers users.
    pub owner: &'a UserIds,
    /// More bytes than these, unpacked, are an error.
    pub bytes_max: u64,
}

/// A user as an image knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedUser {
    /// Its name; the number as text where it has none.
    pub name: String,
    /// Its numbers.
    pub ids: UserIds,
    /// Its home; `/` where it has none.
    pub home: String,
}

/// Why a file could not be reached.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FilesError {
    /// The image has no such user or group; the text names those it has.
    #[error("{0}")]
    UnknownUser(String),
    /// The file is not there, or is not one.
    #[error("cannot read {path} in the container: {why}")]
    Unreadable {
        /// The path inside.
        path: String,
        /// What the machine said.
        why: String,
    },
    /// The directory is not there and could not be made.
    #[error("cannot make the directory {path} in the container: {why}")]
    NotMade {
        /// The path inside.
        path: String,
        /// What the machine said.
        why: String,
    },
    /// The archive could not be extracted.
    #[error("cannot extract into {path} in the container: {why}")]
    NotExtracted {
        /// The path inside.
        path: String,
        /// What went wrong.
        why: String,
    },
}
