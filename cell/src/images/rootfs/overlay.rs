//! Writable root filesystems: layers stacked by overlayfs, one upper directory a container.

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::machine;
use super::quota::{self, DiskQuota};
use crate::images::ImageError;
use crate::images::confined::remove_all;
use crate::images::content::implied_directories;
use crate::runtime::ContainerId;
use crate::userns::{UserNamespace, idmap};

const BLOCK_BYTES: u64 = 512;
/// In a root filesystem's directory: the layers it stands on, each ended by a zero byte.
const LAYERS: &str = "layers";
/// In it: what is mounted there and has to be unmounted before it is removed.
const MOUNTS: [&str; 3] = ["merged", LOWER, DISK];
/// Where the layers are shown with other owners while they are stacked.
const LOWER: &str = "lower";
/// Where all is that is written; a file system of its own where that has a bound.
const DISK: &str = "disk";
/// In there: the volumes that the instance's containers share.
const VOLUMES: &str = "volumes";
/// Whoever a container's processes are, they may write to its volumes.
const VOLUME_MODE: u32 = 0o777;

/// The directory of all root filesystems.
#[derive(Debug, Clone)]
pub(crate) struct Rootfs {
    directory: PathBuf,
    /// The lowest layer of an image without layers: overlayfs wants one.
    empty: PathBuf,
}

/// Who owns a directory and what is allowed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
}

// === impl Rootfs ===

impl Rootfs {
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let (directory, empty) = (data_dir.join("rootfs"), data_dir.join("images/empty"));
        fs::create_dir_all(&directory)?;
        fs::create_dir_all(&empty)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        Ok(Self { directory, empty })
    }

    /// Mounts the layers, the lowest first, below a new writable one with room for `quota`; all of
    /// it belongs to `users`.
    pub(crate) fn mount(
        &self,
        layers: &[PathBuf],
        id: &ContainerId,
        users: Option<&UserNamespace>,
        quota: Option<DiskQuota>,
    ) -> Result<PathBuf, ImageError> {
        let home = self.directory.join(id.as_str());
        let what = format!("mount the root filesystem of {id}");
        match fs::create_dir(&home) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(machine(&what, io::Error::other("it has one already")));
            }
            Err(e) => return Err(machine(&what, e)),
        }
        let disk = home.join(DISK);
        let made = fs::create_dir(&disk)
            .and_then(|()| quota.map_or(Ok(()), |quota| quota::mount(&home, quota, &disk)));
        made.and_then(|()| self.stack(layers, &home, users)).map_err(|e| {
            // Whatever is left is found by `list` and removed by the next cleaning.
            let _ = self.remove(&home);
            machine(&what, e)
        })
    }

    pub(crate) fn volume(&self, id: &ContainerId, name: &str) -> Result<PathBuf, ImageError> {
        let disk = self.directory.join(id.as_str()).join(DISK);
        let place = disk.join(VOLUMES).join(name);
        let make = || {
            fs::create_dir_all(&place)?;
            // The instance's root may give it to whom it likes.
            let owner = Attributes::of(&fs::metadata(disk.join("upper"))?);
            Attributes { mode: VOLUME_MODE, ..owner }.give(&fs::File::open(&place)?)
        };
        make().map_err(|e| machine(&format!("make volume {name} of {id}"), e))?;
        Ok(place)
    }

    pub(crate) fn unmount(&self, id: &ContainerId) -> Result<(), ImageError> {
        let home = self.directory.join(id.as_str());
        self.remove(&home).map_err(|e| machine(&format!("remove the root filesystem of {id}"), e))
    }

    pub(crate) fn disk_usage(&self, id: &ContainerId) -> Result<u64, ImageError> {
        let home = self.directory.join(id.as_str());
        let disk = home.join(DISK);
        let measure = || -> io::Result<u64> {
            if !disk.exists() {
                // As older versions have it.
                return used_bytes(&home.join("upper"));
            }
            let written =
                || Ok(used_bytes(&disk.join("upper"))? + used_bytes(&disk.join(VOLUMES))?);
            quota::used_bytes(&disk)?.map_or_else(written, Ok)
        };
        measure().map_err(|e| machine(&format!("measure what {id} has written"), e))
    }

    pub(crate) fn list(&self) -> Result<Vec<ContainerId>, ImageError> {
        let read = || -> io::Result<Vec<ContainerId>> {
            let mut ids = Vec::new();
            for entry in fs::read_dir(&self.directory)? {
                if let Some(name) = entry?.file_name().to_str().filter(|n| n.len() <= 64) {
                    ids.push(ContainerId::new(name));
                }
            }
            ids.sort();
            Ok(ids)
        };
        read().map_err(|e| machine("list the root filesystems", e))
    }

    /// The layers that root filesystems stand on; `None` when one does not say which, as those
    /// that an older version mounted.
    pub(crate) fn layers_in_use(&self) -> Result<Option<HashSet<PathBuf>>, ImageError> {
        let mut all = HashSet::new();
        for id in self.list()? {
            match fs::read(self.directory.join(id.as_str()).join(LAYERS)) {
                Ok(bytes) => all.extend(paths(&bytes)),
                Err(_) if !self.directory.join(id.as_str()).exists() => {}
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    fn stack(
        &self,
        layers: &[PathBuf],
        home: &Path,
        users: Option<&UserNamespace>,
    ) -> io::Result<PathBuf> {
        keep_layers(home, layers)?;
        let (disk, merged) = (home.join(DISK), home.join("merged"));
        let (upper, work) = (disk.join("upper"), disk.join("work"));
        for directory in [&upper, &work, &merged] {
            fs::create_dir(directory)?;
        }
        let lowest = std::slice::from_ref(&self.empty);
        let layers = if layers.is_empty() { lowest } else { layers };
        // The merged root looks like the upper one; it is to look like the image's.
        let top = fs::metadata(&layers[layers.len() - 1])?;
        Attributes::of(&top).moved_to(users).give(&fs::File::open(&upper)?)?;
        let lowers = match users {
            None => layers.iter().map(|layer| hold(CWD, layer)).collect(),
            Some(users) => show_to(users, layers, &home.join(LOWER)),
        };
        mount_overlay(&lowers?, [&upper, &work], &merged)?;
        if users.is_some() {
            unmount_all(&home.join(LOWER))?;
        }
        rustix::mount::mount_change(&merged, MountPropagationFlags::PRIVATE)?;
        mend_implied(layers, &merged, users)?;
        Ok(merged)
    }

    fn remove(&self, home: &Path) -> io::Result<()> {
        MOUNTS.iter().try_for_each(|name| unmount_all(&home.join(name)))?;
        remove_all(home)
    }
}

/// No error when nothing is mounted there.
fn unmount_all(place: &Path) -> io::Result<()> {
    loop {
        match rustix::mount::unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

/// The layers as `users` own them, by one mount of the directory that all of them are in. It stays
/// at `place`, because kernels before 6.15 stack only what is in sight.
fn show_to(users: &UserNamespace, layers: &[PathBuf], place: &Path) -> io::Result<Vec<OwnedFd>> {
    let all = layers.iter().fold(layers[0].as_path(), |all, layer| {
        let is_above = |dir: &&Path| layer.starts_with(dir);
        all.ancestors().find(is_above).unwrap_or(Path::new("/"))
    });
    fs::create_dir(place)?;
    let shown = idmap::mount(all, &users.path, place)?;
    let within = |layer: &PathBuf| match layer.strip_prefix(all) {
        Ok(inner) if inner.as_os_str().is_empty() => hold(&shown, Path::new(".")),
        Ok(inner) => hold(&shown, inner),
        Err(e) => Err(io::Error::other(e)),
    };
    layers.iter().map(within).collect()
}

/// Before anything is mounted, so that whoever collects layers knows.
pub(crate) fn keep_layers(home: &Path, layers: &[PathBuf]) -> io::Result<()> {
    let names = layers.iter().flat_map(|l| [l.as_os_str().as_bytes(), b"\0"].concat());
    fs::write(home.join(LAYERS), names.collect::<Vec<u8>>())
}

fn paths(bytes: &[u8]) -> impl Iterator<Item = PathBuf> {
    let names = bytes.split(|b| *b == 0).filter(|name| !name.is_empty());
    names.map(|name| PathBuf::from(OsStr::from_bytes(name)))
}

/// Names the directories by descriptors: the kernel takes one page of options, and paths may hold
/// what has a meaning there.
fn mount_overlay(layers: &[OwnedFd], writable: [&Path; 2], merged: &Path) -> io::Result<()> {
    let [upper, work] = [hold(CWD, writable[0])?, hold(CWD, writable[1])?];
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let lowerdir = layers.iter().rev().map(name).collect::<Vec<_>>().join(":");
    let options = format!("lowerdir={lowerdir},upperdir={},workdir={}", name(&upper), name(&work));
    let options = CString::new(options).map_err(io::Error::other)?;
    let (source, kind) = ("overlay", "overlay");
    Ok(rustix::mount::mount(source, merged, kind, MountFlags::empty(), options.as_c_str())?)
}

fn hold(directory: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(directory, path, flags, Mode::empty())?)
}

/// A directory below another. A link on the way leads nowhere: it may have been made by a layer to
/// lead out of all of them.
fn directory_in(root: &Path, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = openat(CWD, root, flags, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve)
}

/// Gives directories that a layer needed but did not describe the attributes a lower layer gives
/// them; without this a layer with only `/tmp/x` would take `/tmp`'s sticky bit away.
fn mend_implied(
    layers: &[PathBuf],
    merged: &Path,
    users: Option<&UserNamespace>,
) -> io::Result<()> {
    let implied: Vec<HashSet<PathBuf>> =
        layers.iter().map(|l| implied_directories(l)).collect::<io::Result<_>>()?;
    let all: HashSet<&PathBuf> = implied.iter().flatten().collect();
    for path in all {
        let stack = layers.iter().zip(&implied).rev();
        let mut described = None;
        for (layer, implied) in stack {
            match directory_in(layer, path) {
                Err(Errno::NOENT) => {}
                Err(Errno::LOOP | Errno::NOTDIR) => break,
                Err(error) => return Err(error.into()),
                Ok(_) if implied.contains(path) => {}
                Ok(found) => {
                    described = Some(Attributes::of(&fs::File::from(found).metadata()?));
                    break;
                }
            }
        }
        if let (Some(wanted), Ok(target)) = (described, directory_in(merged, path)) {
            let target = fs::File::from(target);
            let wanted = wanted.moved_to(users);
            if wanted != Attributes::of(&target.metadata()?) {
                wanted.give(&target)?;
            }
        }
    }
    Ok(())
}

// === impl Attributes ===

impl Attributes {
    fn of(found: &fs::Metadata) -> Self {
        Self { mode: found.mode() & 0o7777, uid: found.uid(), gid: found.gid() }
    }

    /// Those that it has among an instance's users; what belongs to nobody of them is their root's.
    fn moved_to(self, users: Option<&UserNamespace>) -> Self {
        let Some(users) = users else { return self };
        let moved = |id| users.on_host(id).unwrap_or(users.first_id);
        Self { uid: moved(self.uid), gid: moved(self.gid), ..self }
    }

    fn give(self, directory: &fs::File) -> io::Result<()> {
        std::os::unix::fs::fchown(directory, Some(self.uid), Some(self.gid))?;
        directory.set_permissions(fs::Permissions::from_mode(self.mode))
    }
}

/// Space on the disk; a file with several names counts once.
pub(crate) fn used_bytes(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut seen = HashSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let found = match entry.metadata() {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                found => found?,
            };
            if found.is_dir() {
                open.push(entry.path());
            }
            if found.nlink() <= 1 || found.is_dir() || seen.insert(found.ino()) {
                bytes += found.blocks() * BLOCK_BYTES;
            }
        }
    }
    Ok(bytes)
}
