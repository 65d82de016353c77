//! Files of a mounted root filesystem, read and written from outside without ever leaving it; all
//! of it blocks.

pub(crate) mod overlay;
pub mod quota;

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat};

use super::ImageError;
use super::archive::decompressed;
use super::confined::{Place, Root, Trouble};
use super::plan::{Dialect, InnerPath};
use super::unpack::{Manner, UnpackLimits, unpack, unreadable};
use super::zip;

/// Who shall own what is written, and with which permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits of a file.
    pub mode: u32,
}

/// Reads a file as a process in the container would see it: links lead where they lead inside.
/// [`ImageError::NotFound`] when there is none, [`ImageError::Unsupported`] when it is longer than
/// `bytes_max` or no plain file.
pub fn read_in(root: &Path, path: &str, bytes_max: u64) -> Result<Vec<u8>, ImageError> {
    let what = format!("read {path}");
    let inner = inner(path)?;
    let root = Root::as_container(root).map_err(|e| machine(&what, e))?;
    // A pipe or a device must not hold the reader up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match root.open_at(&inner, flags) {
        Ok(fd) => File::from(fd),
        Err(Trouble::Refused(why)) => {
            return Err(ImageError::NotFound { image: path.to_owned(), why });
        }
        Err(Trouble::Machine(e)) => return Err(machine(&what, e)),
    };
    let stat = fstat(&file).map_err(|e| machine(&what, e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ImageError::Unsupported(format!("{path} is not a plain file")));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| machine(&what, e))?;
    if bytes.len() as u64 > bytes_max {
        let why = format!("{path} is longer than {bytes_max} bytes, which is the limit");
        return Err(ImageError::Unsupported(why));
    }
    Ok(bytes)
}

/// Writes a file, in the place of whatever had its name; directories on the way are made and belong
/// to the same owner.
pub fn create_in(
    root: &Path,
    path: &str,
    bytes: &[u8],
    ownership: Ownership,
) -> Result<(), ImageError> {
    let inner = inner(path)?;
    let write = || -> Result<(), Trouble> {
        let place = place_in(&Root::as_container(root)?, &inner, ownership.uid, ownership.gid)?;
        place.remove()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut file = File::from(place.open(flags, 0o600)?);
        file.write_all(bytes)?;
        give(&file, ownership.uid, ownership.gid)?;
        fchmod(&file, Mode::from_raw_mode(ownership.mode))?;
        Ok(())
    };
    write().map_err(|trouble| told(&format!("write {path}"), path, trouble))
}

/// Unpacks a tar, tar.gz, tar.zst or zip archive into a directory of the container, which is made
/// if it is missing; everything belongs to `owner`, or to whom the archive names.
pub fn extract_in(
    root: &Path,
    path: &str,
    archive: &File,
    owner: Option<(u32, u32)>,
    limits: UnpackLimits,
) -> Result<(), ImageError> {
    let inner = inner(path)?;
    let extract = || -> Result<(), Trouble> {
        let root = Root::as_container(root)?;
        make_dir(&root, &inner, owner.unwrap_or((0, 0)))?;
        let stream: Box<dyn Read> = match zip::is_zip(archive).map_err(unreadable)? {
            true => Box::new(zip::AsTar::new(archive).map_err(unreadable)?),
            false => decompressed(archive).map_err(unreadable)?,
        };
        let manner = Manner { dialect: Dialect::Archive, owner, limits };
        unpack(root.within(&inner)?, stream, manner).map(|_| ())
    };
    extract().map_err(|trouble| told(&format!("unpack into {path}"), "the archive", trouble))
}

/// Makes a directory of the container, and those on the way, where they are missing; what is made
/// belongs to `owner`, what is there stays as it is.
pub fn make_dir_in(root: &Path, path: &str, owner: (u32, u32)) -> Result<(), ImageError> {
    let inner = inner(path)?;
    let make = || make_dir(&Root::as_container(root)?, &inner, owner);
    make().map_err(|trouble| told(&format!("make {path}"), path, trouble))
}

/// What went wrong, as an error about `subject`.
pub(crate) fn told(what: &str, subject: &str, trouble: Trouble) -> ImageError {
    match trouble {
        Trouble::Refused(why) => ImageError::Corrupt { image: subject.to_owned(), why },
        Trouble::Machine(e) => machine(what, e),
    }
}

pub(crate) fn machine(what: &str, error: std::io::Error) -> ImageError {
    ImageError::Machine { what: what.to_owned(), why: error.to_string() }
}

fn inner(path: &str) -> Result<InnerPath, ImageError> {
    InnerPath::parse(path.as_bytes()).map_err(ImageError::Unsupported)
}

fn make_dir(root: &Root, path: &InnerPath, (uid, gid): (u32, u32)) -> Result<(), Trouble> {
    // Naming something inside makes the directory itself.
    let inside = InnerPath::parse(&[path.as_bytes(), b"/x"].concat());
    place_in(root, &inside.map_err(Trouble::Refused)?, uid, gid).map(|_| ())
}

fn place_in(root: &Root, path: &InnerPath, uid: u32, gid: u32) -> Result<Place, Trouble> {
    root.place_making(path, &mut |_, place, _| {
        let made = place.open(OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        Ok(give(&made, uid, gid)?)
    })
}

fn give(fd: &impl std::os::fd::AsFd, uid: u32, gid: u32) -> std::io::Result<()> {
    Ok(fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

#[cfg(test)]
mod tests;
