//! The real side: every path is resolved by the kernel inside the root, see [`crate::images`].

use std::fs::File;
use std::io;
use std::path::Path;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::{Extraction, FilesError, ResolvedUser, RootfsFiles};
use crate::images::rootfs::{extract_in, make_dir_in, read_in};
use crate::images::{ImageError, UnpackLimits, users};
use crate::runtime::UserIds;

/// Reaches into mounted root filesystems.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConfinedFiles;

#[async_trait]
impl RootfsFiles for ConfinedFiles {
    async fn resolve_user(&self, root: &Path, user: &str) -> Result<ResolvedUser, FilesError> {
        let (root, name) = (root.to_owned(), user.to_owned());
        let found = blocking(move || users::resolve(&root, &name)).await;
        let user = found.map_err(|e| FilesError::UnknownUser(e.to_string()))?;
        Ok(ResolvedUser { name: user.name, ids: user.ids, home: user.home })
    }

    async fn read_file(
        &self,
        root: &Path,
        path: &str,
        bytes_max: u64,
    ) -> Result<Vec<u8>, FilesError> {
        let (root, inner) = (root.to_owned(), path.to_owned());
        let read = blocking(move || read_in(&root, &inner, bytes_max)).await;
        read.map_err(|e| FilesError::Unreadable { path: path.to_owned(), why: e.to_string() })
    }

    async fn make_dir(&self, root: &Path, path: &str, owner: &UserIds) -> Result<(), FilesError> {
        let (root, inner, owner) = (root.to_owned(), path.to_owned(), (owner.uid, owner.gid));
        let made = blocking(move || make_dir_in(&root, &inner, owner)).await;
        made.map_err(|e| FilesError::NotMade { path: path.to_owned(), why: e.to_string() })
    }

    async fn extract_archive(
        &self,
        root: &Path,
        archive: File,
        into: &Extraction<'_>,
    ) -> Result<(), FilesError> {
        let (root, to) = (root.to_owned(), into.to.to_owned());
        let owner = Some((into.owner.uid, into.owner.gid));
        let limits = UnpackLimits { bytes_max: into.bytes_max, ..UnpackLimits::default() };
        let extract = move || extract_in(&root, &to, &archive, owner, limits);
        blocking(extract)
            .await
            .map_err(|e| FilesError::NotExtracted { path: into.to.to_owned(), why: e.to_string() })
    }
}

async fn blocking<T: Send + 'static>(
    step: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let ended = spawn_blocking(step).await;
    ended.unwrap_or_else(|panic| {
        let why = io::Error::other(panic).to_string();
        Err(ImageError::Machine { what: "reach into a root filesystem".to_owned(), why })
    })
}
