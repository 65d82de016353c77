//! File operations that cannot leave a directory, whatever links somebody else has put into it:
//! every name is resolved by the kernel beneath a directory's descriptor.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, mkdirat, mknodat, openat2, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::plan::InnerPath;

/// A directory deeper than this is moved up before it is deleted: each level holds a descriptor.
const DEPTH_MAX: usize = 64;

/// A directory that nothing here leaves.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    resolve: ResolveFlags,
}

/// A directory within, and the name of something in it.
pub(crate) struct Place {
    pub(crate) directory: OwnedFd,
    pub(crate) name: Vec<u8>,
}

/// Why a name cannot be used.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The name, or what is in its way, is at fault.
    Refused(String),
    /// The machine is.
    Machine(io::Error),
}

// === impl Root ===

impl Root {
    /// For an archive that is unpacked: links on the way must stay within, or are refused.
    pub(crate) fn strict(path: &Path) -> io::Result<Self> {
        Self::open(path, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
    }

    /// For a container's root: links on the way mean what they mean inside the container.
    pub(crate) fn as_container(path: &Path) -> io::Result<Self> {
        Self::open(path, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    /// A directory within, by the strict rule.
    pub(crate) fn within(&self, path: &InnerPath) -> Result<Self, Trouble> {
        let fd = self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Self { fd, resolve: ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS })
    }

    /// Something that is on the same disk, and stays.
    pub(crate) fn same_disk(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    fn open(path: &Path, resolve: ResolveFlags) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { fd, resolve })
    }

    /// Opens something within.
    pub(crate) fn open_at(&self, path: &InnerPath, flags: OFlags) -> Result<OwnedFd, Trouble> {
        self.open_raw(path, flags).map_err(|e| trouble(path, e))
    }

    /// The directory something is in. The path must not be the root's.
    pub(crate) fn place(&self, path: &InnerPath) -> Result<Place, Trouble> {
        let Some((parent, name)) = path.split() else {
            return Err(Trouble::Refused("the root cannot be replaced".to_owned()));
        };
        let name = name.to_vec();
        let directory = self.open_at(&parent, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Place { directory, name })
    }

    /// Like [`Root::place`], and makes the directories that are missing; `made` is told of each.
    pub(crate) fn place_making(
        &self,
        path: &InnerPath,
        made: &mut dyn FnMut(&InnerPath, &Place, bool) -> Result<(), Trouble>,
    ) -> Result<Place, Trouble> {
        match (self.place(path), path.split()) {
            (Err(_), Some((parent, _))) => {
                for directory in parent.with_parents() {
                    self.make_directory(&directory, made)?;
                }
                self.place(path)
            }
            (place, _) => place,
        }
    }

    fn make_directory(
        &self,
        path: &InnerPath,
        made: &mut dyn FnMut(&InnerPath, &Place, bool) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        match self.open_raw(path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(e) => return Err(trouble(path, e)),
        }
        let place = self.place(path)?;
        let was_whiteout = place.stat()?.is_some_and(|stat| is_whiteout(&stat));
        if was_whiteout {
            place.remove()?;
        }
        match mkdirat(&place.directory, &place.name[..], Mode::from_raw_mode(0o755)) {
            Ok(()) => made(path, &place, was_whiteout),
            Err(Errno::EXIST) => {
                Err(Trouble::Refused(format!("{path} is in the way: it is no directory")))
            }
            Err(e) => Err(e.into()),
        }
    }

    fn open_raw(&self, path: &InnerPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        loop {
            let flags = flags | OFlags::CLOEXEC;
            match openat2(&self.fd, path.as_bytes(), flags, Mode::empty(), self.resolve) {
                // The kernel could not rule out an escape because something was renamed.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }
}

// === impl Place ===

impl Place {
    /// What is there, links not followed.
    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        match statat(&self.directory, &self.name[..], AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes what is there, with all that is in it; nothing is fine too.
    pub(crate) fn remove(&self) -> Result<(), Trouble> {
        match unlinkat(&self.directory, &self.name[..], AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => Ok(remove_directory(&self.directory, &self.name)?),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens what is there, but no link.
    pub(crate) fn open(&self, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        Ok(rustix::fs::openat(&self.directory, &self.name[..], flags, mode)?)
    }

    /// Makes the mark by which overlayfs hides what lower layers have here.
    pub(crate) fn make_whiteout(&self) -> io::Result<()> {
        let mode = Mode::empty();
        Ok(mknodat(&self.directory, &self.name[..], FileType::CharacterDevice, mode, 0)?)
    }
}

// === impl Trouble ===

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Machine(error)
    }
}

impl From<Errno> for Trouble {
    fn from(error: Errno) -> Self {
        Self::Machine(error.into())
    }
}

/// True for overlayfs's mark of a thing that is gone.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn trouble(path: &InnerPath, error: Errno) -> Trouble {
    match error {
        Errno::XDEV => Trouble::Refused(format!("{path} goes through a link that leads outside")),
        Errno::LOOP => Trouble::Refused(format!("{path} goes through links without an end")),
        Errno::NOTDIR => Trouble::Refused(format!("{path} goes through what is no directory")),
        Errno::NOENT => Trouble::Refused(format!("{path} is not there")),
        Errno::NAMETOOLONG => Trouble::Refused(format!("{path} is too long a name")),
        other => Trouble::Machine(other.into()),
    }
}

/// Deletes a directory with all that is in it, however deep; nothing there is fine too. It must
/// belong to nobody any more.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("this is no directory to delete"));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(CWD, parent, flags, Mode::empty())?;
    match remove_directory(&parent, name.as_encoded_bytes()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Each turn takes levels away until what was moved up is gone too.
fn remove_directory(parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
    let top = open_directory(parent, name)?;
    let mut moved = 0;
    loop {
        empty(&top, &top, 0, &mut moved)?;
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => {}
            done => return Ok(done?),
        }
    }
}

/// Empties a directory without ever following a link.
fn empty(directory: &OwnedFd, top: &OwnedFd, depth: usize, moved: &mut u64) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) if depth >= DEPTH_MAX => {
                *moved += 1;
                let aside = format!(".deleted-{}-{moved}", std::process::id());
                rustix::fs::renameat(directory, name, top, aside.as_str())?;
            }
            Err(Errno::ISDIR | Errno::PERM) => {
                empty(&open_directory(directory, name)?, top, depth + 1, moved)?;
                unlinkat(directory, name, AtFlags::REMOVEDIR)?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn open_directory(parent: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}
