//! Applies an archive to a directory: a layer, with whiteouts as overlayfs wants them, or a plain
//! archive. What an entry means is [`super::plan`]'s; that nothing leaves the directory is
//! [`super::confined`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod,
    fchown, fsetxattr, linkat, mkdirat, mknodat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::archive::{Archive, Head};
use super::confined::{Place, Root, Trouble, is_whiteout};
use super::plan::{self, Dialect, InnerPath, Step};

const COPY_BYTES: usize = 128 * 1024;
/// The most memory for the names of directories that are to be remembered.
const NAMES_BYTES_MAX: usize = 256 * 1024 * 1024;
const OPAQUE: &str = "trusted.overlay.opaque";
/// How many bytes are unpacked between two looks at what the disk has left.
const LOOK_BYTES: u64 = 64 * 1024 * 1024;
/// What files are counted in.
const BLOCK_BYTES: u64 = 4096;

/// What unpacking may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// The most bytes of the archive when it is not compressed.
    pub bytes_max: u64,
    /// The most entries, directories that have to be made for them included.
    pub entries_max: u64,
    /// The longest that one archive may take.
    pub time_max: Duration,
    /// What the disk must have left while it is unpacked; 0 is not looked at.
    pub free_min_bytes: u64,
}

/// How an archive is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) dialect: Dialect,
    /// Who shall own everything; otherwise whom the archive names.
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) limits: UnpackLimits,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Directories that were needed but not in the archive: their attributes are guesses.
    pub(crate) implied: Vec<InnerPath>,
    /// About how much of the disk it takes.
    pub(crate) bytes: u64,
}

struct Applier {
    root: Root,
    manner: Manner,
    implied: BTreeSet<InnerPath>,
    /// Set last, since every change in a directory changes its time.
    directory_times: BTreeMap<InnerPath, (i64, u32)>,
    names_bytes: usize,
    entries: u64,
    bytes: u64,
}

/// Counts what is read, and stops at the limits.
struct Limited<R> {
    reader: R,
    read: u64,
    limits: UnpackLimits,
    deadline: Instant,
    /// On the disk that fills.
    disk: OwnedFd,
    /// When the disk is looked at again.
    next_look: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            bytes_max: 10 * 1024 * 1024 * 1024,
            entries_max: 1_000_000,
            time_max: Duration::from_secs(15 * 60),
            free_min_bytes: 0,
        }
    }
}

/// Unpacks an uncompressed tar stream into `root`, and reads the stream to its end.
pub(crate) fn unpack(root: Root, stream: impl Read, manner: Manner) -> Result<Unpacked, Trouble> {
    let mut archive = Archive::new(Limited::new(stream, manner.limits, root.same_disk()?));
    let mut applier = Applier {
        root,
        manner,
        implied: BTreeSet::new(),
        directory_times: BTreeMap::new(),
        names_bytes: 0,
        entries: 0,
        bytes: 0,
    };
    while let Some(head) = archive.next().map_err(unreadable)? {
        applier.count(1, 0)?;
        applier.apply(&head, &mut archive.content())?;
    }
    archive.drain().map_err(unreadable)?;
    applier.finish()
}

// === impl Applier ===

impl Applier {
    fn count(&mut self, entries: u64, names_bytes: usize) -> Result<(), Trouble> {
        self.entries += entries;
        self.names_bytes += names_bytes;
        let most = self.manner.limits.entries_max;
        if self.entries > most {
            return Err(Trouble::Refused(format!("more than {most} entries, which is the limit")));
        }
        if self.names_bytes > NAMES_BYTES_MAX {
            let why = format!("more than {NAMES_BYTES_MAX} bytes of names, which is the limit");
            return Err(Trouble::Refused(why));
        }
        Ok(())
    }

    fn apply(&mut self, head: &Head, content: &mut impl Read) -> Result<(), Trouble> {
        let link = head.link.as_deref();
        let step = plan::step(self.manner.dialect, head.kind, &head.name, link);
        match step.map_err(Trouble::Refused)? {
            Step::Skip => Ok(()),
            Step::Directory(path) => self.directory(&path, head),
            Step::File(path) => self.file(&path, head, content),
            Step::Symlink(path, target) => {
                let place = self.cleared(&path)?;
                symlinkat(&target[..], &place.directory, &place.name[..])?;
                self.stamp(&place, head)
            }
            Step::Hardlink(path, target) => self.hardlink(&path, &target),
            Step::Fifo(path) => {
                let place = self.cleared(&path)?;
                let mode = Mode::from_raw_mode(head.mode);
                mknodat(&place.directory, &place.name[..], FileType::Fifo, mode, 0)?;
                self.stamp(&place, head)
            }
            Step::Whiteout(path) => self.whiteout(&path),
            Step::Opaque(path) => self.opaque(&path),
        }
    }

    fn directory(&mut self, path: &InnerPath, head: &Head) -> Result<(), Trouble> {
        if !path.is_root() {
            let place = self.place(path)?;
            let there = place.stat()?;
            let is_there = there.is_some_and(|s| is_directory(s.st_mode));
            if !is_there {
                let was_whiteout = there.is_some_and(|s| is_whiteout(&s));
                place.remove()?;
                mkdirat(&place.directory, &place.name[..], Mode::from_raw_mode(0o755))?;
                if was_whiteout {
                    set_opaque(&place)?;
                }
            }
        }
        self.implied.remove(path);
        // Opened again by its whole path for the root's sake, which has no place in another.
        let fd = self.root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        self.dress(&fd, head)?;
        self.count(0, path.as_bytes().len())?;
        self.bytes += BLOCK_BYTES;
        self.directory_times.insert(path.clone(), head.mtime);
        Ok(())
    }

    fn file(
        &mut self,
        path: &InnerPath,
        head: &Head,
        content: &mut impl Read,
    ) -> Result<(), Trouble> {
        let place = self.cleared(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut file = File::from(place.open(flags, 0o600)?);
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            match content.read(&mut buffer).map_err(unreadable)? {
                0 => break,
                n => file.write_all(&buffer[..n])?,
            }
        }
        self.bytes += file.metadata()?.len().next_multiple_of(BLOCK_BYTES);
        self.dress(&file, head)?;
        rustix::fs::futimens(&file, &times(head.mtime))?;
        Ok(())
    }

    fn hardlink(&mut self, path: &InnerPath, target: &InnerPath) -> Result<(), Trouble> {
        let missing = |why: &str| {
            Trouble::Refused(format!("the hard link {path} leads to {target}, which {why}"))
        };
        let from = match self.root.place(target) {
            Ok(place) => place,
            Err(Trouble::Refused(why)) => return Err(missing(&format!("cannot be used: {why}"))),
            Err(machine) => return Err(machine),
        };
        match from.stat()? {
            None => return Err(missing("is not in the same archive")),
            Some(stat) if is_directory(stat.st_mode) => return Err(missing("is a directory")),
            Some(stat) if is_whiteout(&stat) => return Err(missing("is a whiteout")),
            Some(_) => {}
        }
        if path == target {
            return Ok(());
        }
        let to = self.cleared(path)?;
        let (old, new) = (&from.name[..], &to.name[..]);
        match linkat(&from.directory, old, &to.directory, new, AtFlags::empty()) {
            Err(Errno::NOENT) => Err(missing("is not in the same archive")),
            done => Ok(done?),
        }
    }

    /// Hides what lower layers have. What this layer itself brings stays: a directory of its own
    /// just stops showing the lower one.
    fn whiteout(&mut self, path: &InnerPath) -> Result<(), Trouble> {
        let place = self.place(path)?;
        match place.stat()? {
            None => Ok(place.make_whiteout()?),
            Some(stat) if is_directory(stat.st_mode) => Ok(set_opaque(&place)?),
            Some(_) => Ok(()),
        }
    }

    fn opaque(&mut self, path: &InnerPath) -> Result<(), Trouble> {
        if !path.is_root() {
            let place = self.place(path)?;
            if place.stat()?.is_none() {
                mkdirat(&place.directory, &place.name[..], Mode::from_raw_mode(0o755))?;
                self.implied.insert(path.clone());
            }
        }
        let fd = self.root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        Ok(fsetxattr(&fd, OPAQUE, b"y", XattrFlags::empty())?)
    }

    /// Where something goes, with its parents made.
    fn place(&mut self, path: &InnerPath) -> Result<Place, Trouble> {
        let (implied, owner) = (&mut self.implied, self.manner.owner);
        let (mut made, mut names_bytes) = (0, 0);
        let place = self.root.place_making(path, &mut |path, place, was_whiteout| {
            made += 1;
            names_bytes += path.as_bytes().len();
            implied.insert(path.clone());
            if was_whiteout {
                set_opaque(place)?;
            }
            if let Some((uid, gid)) = owner {
                chown_at(place, uid, gid)?;
            }
            Ok(())
        })?;
        self.count(made, names_bytes)?;
        Ok(place)
    }

    /// Where something goes, with what was there removed.
    fn cleared(&mut self, path: &InnerPath) -> Result<Place, Trouble> {
        let place = self.place(path)?;
        place.remove()?;
        Ok(place)
    }

    /// Owner first: changing it takes set-id bits and capabilities away.
    fn dress(&self, fd: &impl AsFd, head: &Head) -> Result<(), Trouble> {
        let (uid, gid) = self.manner.owner.unwrap_or((head.uid, head.gid));
        fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        fchmod(fd, Mode::from_raw_mode(head.mode))?;
        for (name, value) in &head.attributes {
            if plan::keeps_attribute(name).map_err(Trouble::Refused)? {
                match fsetxattr(fd, &name[..], value, XattrFlags::empty()) {
                    Err(Errno::INVAL | Errno::RANGE | Errno::TOOBIG) => {
                        let name = plan::show(name);
                        let why = format!("its attribute {name} is not valid");
                        return Err(Trouble::Refused(why));
                    }
                    done => done?,
                }
            }
        }
        Ok(())
    }

    /// Owner and time of what cannot be opened.
    fn stamp(&self, place: &Place, head: &Head) -> Result<(), Trouble> {
        for (name, _) in &head.attributes {
            plan::keeps_attribute(name).map_err(Trouble::Refused)?;
        }
        let (uid, gid) = self.manner.owner.unwrap_or((head.uid, head.gid));
        chown_at(place, uid, gid)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        utimensat(&place.directory, &place.name[..], &times(head.mtime), flags)?;
        Ok(())
    }

    fn finish(self) -> Result<Unpacked, Trouble> {
        for (path, mtime) in &self.directory_times {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            // A later entry may have replaced the directory; then its time does not matter.
            if let Ok(fd) = self.root.open_at(path, flags) {
                rustix::fs::futimens(&fd, &times(*mtime))?;
            }
        }
        Ok(Unpacked { implied: self.implied.into_iter().collect(), bytes: self.bytes })
    }
}

// === impl Limited ===

impl<R> Limited<R> {
    fn new(reader: R, limits: UnpackLimits, disk: OwnedFd) -> Self {
        let deadline = Instant::now() + limits.time_max;
        Self { reader, read: 0, limits, deadline, disk, next_look: 0 }
    }

    fn check(&mut self) -> io::Result<()> {
        let UnpackLimits { bytes_max, time_max, free_min_bytes, .. } = self.limits;
        if self.read > bytes_max {
            let why = format!("unpacked it is more than {bytes_max} bytes, which is the limit");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if Instant::now() > self.deadline {
            let seconds = time_max.as_secs();
            let why = format!("unpacking it took more than {seconds} s, which is the limit");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if free_min_bytes == 0 || self.read < self.next_look {
            return Ok(());
        }
        self.next_look = self.read + LOOK_BYTES;
        let disk = rustix::fs::fstatvfs(&self.disk)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= free_min_bytes {
            return Ok(());
        }
        let why = format!(
            "the disk has {} MB left while it is unpacked, and {} MB are to stay free",
            free >> 20,
            free_min_bytes >> 20
        );
        Err(io::Error::new(io::ErrorKind::StorageFull, why))
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.read += n as u64;
        self.check()?;
        Ok(n)
    }
}

/// What is wrong with an archive that cannot be read: the machine only where it says so itself.
pub(crate) fn unreadable(error: io::Error) -> Trouble {
    if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::StorageFull {
        return Trouble::Machine(error);
    }
    Trouble::Refused(error.to_string())
}

fn set_opaque(place: &Place) -> io::Result<()> {
    let fd: OwnedFd = place.open(OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
    Ok(fsetxattr(&fd, OPAQUE, b"y", XattrFlags::empty())?)
}

fn chown_at(place: &Place, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(chownat(&place.directory, &place.name[..], uid, gid, flags)?)
}

fn is_directory(mode: rustix::fs::RawMode) -> bool {
    FileType::from_raw_mode(mode) == FileType::Directory
}

fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let at = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: at, last_modification: at }
}

#[cfg(test)]
pub(crate) mod tests;
