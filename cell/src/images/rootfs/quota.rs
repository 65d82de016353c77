//! Root filesystems with a bound: what a container writes goes to a file system of its own, which is
//! in a file, so that a full one is full for nobody else.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;

use lattice_model::Limit;
use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat, open, statvfs};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount};

/// Makes the file systems; Debian's `e2fsprogs`, which hardly a machine is without.
const MKFS: &str = "mkfs.ext4";
/// Where Debian puts it.
const SEARCH_PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";
/// Files and directories for each MiB; with fewer than [`INODES_MIN`] in all little runs.
const INODES_PER_MB: u64 = 64;
const INODES_MIN: u64 = 4096;
const INODE_BYTES: u64 = 256;
/// The kernel keeps a fiftieth for itself, but not more than these.
const KEPT_BYTES_MAX: u64 = 16 << 20;
/// What a group of blocks, and the file system itself, need besides.
const GROUP_BYTES: u64 = 128 << 20;
const PER_GROUP_BYTES: u64 = 64 << 10;
const BASE_BYTES: u64 = 256 << 10;

/// `linux/loop.h`.
const LOOP_MAJOR: u32 = 7;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4c0a;
/// The device goes with the last who has it open; no second copy of what is read is kept.
const LO_FLAGS: u32 = 4 | 16;
/// Another process may take the free device first, so often at most.
const ATTEMPTS: usize = 64;

/// How much a container may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskQuota {
    /// Bytes of content.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `struct loop_info64` of the same.
#[repr(C)]
#[derive(Default)]
struct LoopInfo {
    places: [u64; 5],
    number: u32,
    encryption: [u32; 2],
    flags: u32,
    names: [[u64; 4]; 5],
    init: [u64; 2],
}

// === impl DiskQuota ===

impl DiskQuota {
    /// What a limit on the disk in MiB means; `None` for no limit.
    pub fn of_mb(limit: Limit) -> Option<Self> {
        match limit {
            Limit::Unlimited => None,
            Limit::AtMost(mb) => Some(Self {
                bytes: mb.saturating_mul(1 << 20),
                inodes: mb.saturating_mul(INODES_PER_MB).max(INODES_MIN),
            }),
        }
    }

    /// The size of a file system that has so much room.
    fn file_bytes(self) -> u64 {
        let inodes = self.inodes.saturating_mul(INODE_BYTES);
        let kept = (self.bytes / 45).min(KEPT_BYTES_MAX);
        let groups = (self.bytes / GROUP_BYTES + 1).saturating_mul(PER_GROUP_BYTES);
        [inodes, kept, groups, BASE_BYTES].into_iter().fold(self.bytes, u64::saturating_add)
    }
}

/// Mounts a new file system at `place`, in a file in `home`. It is empty, and goes when it is
/// unmounted and `home` removed. Blocks.
pub(crate) fn mount(home: &Path, quota: DiskQuota, place: &Path) -> io::Result<()> {
    let file = home.join("disk.ext4");
    File::create_new(&file)?.set_len(quota.file_bytes())?;
    format(&file, quota)?;
    let file = File::options().read(true).write(true).open(&file)?;
    let node = home.join("disk.loop");
    // Held until it is mounted: unused it would go.
    let _device = attach(&file, &node)?;
    // What a container deletes is free again outside as well.
    rustix::mount::mount(&node, place, "ext4", MountFlags::NODEV, c"discard,noinit_itable")?;
    fs::remove_file(&node)?;
    mount_change(place, MountPropagationFlags::PRIVATE)?;
    fs::remove_dir(place.join("lost+found"))
}

/// The bytes in use of the file system at `place`; `None` when there is none of its own.
pub(crate) fn used_bytes(place: &Path) -> io::Result<Option<u64>> {
    let device = |path: &Path| Ok::<_, io::Error>(rustix::fs::stat(path)?.st_dev);
    if device(place)? == device(place.parent().unwrap_or(place))? {
        return Ok(None);
    }
    let found = statvfs(place)?;
    Ok(Some((found.f_blocks - found.f_bfree) * found.f_frsize))
}

/// Whether that works in `data_dir`; an error is what this machine cannot do, and leaves nothing
/// behind. Blocks.
pub fn try_in(data_dir: &Path) -> Result<(), String> {
    let scratch = data_dir.join("probe-disk");
    let place = scratch.join("disk");
    let clear = || -> io::Result<()> {
        if !scratch.exists() {
            return Ok(());
        }
        // Where nothing was mounted there is nothing to unmount.
        let _ = unmount(&place, UnmountFlags::DETACH);
        fs::remove_dir_all(&scratch)
    };
    // An earlier process may have been killed at it.
    clear().map_err(|e| format!("{} cannot be removed: {e}", scratch.display()))?;
    fs::create_dir_all(&place).map_err(|e| format!("nothing can be written: {e}"))?;
    let outcome = DiskQuota::of_mb(Limit::AtMost(1)).map_or(Ok(()), |q| mount(&scratch, q, &place));
    let cleared = clear();
    outcome.and(cleared).map_err(|e| format!("a file cannot be mounted as a file system: {e}"))
}

/// Without a journal: after a power loss nothing of a container is left in any case.
fn format(file: &Path, quota: DiskQuota) -> io::Result<()> {
    let mut command = Command::new(MKFS);
    command.env("PATH", SEARCH_PATH).args(["-q", "-F", "-b", "4096", "-m", "0", "-I"]);
    command.arg(INODE_BYTES.to_string()).arg("-N").arg(quota.inodes.to_string());
    command.args(["-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard"]);
    let output = command.arg(file).output().map_err(|e| {
        io::Error::other(format!("{MKFS} cannot be run: {e}; apt-get install e2fsprogs"))
    })?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            Err(io::Error::other(format!("{MKFS} refuses: {said}")))
        }
    }
}

/// Makes a block device of a file, and a node for it: in a container /dev may not have all.
fn attach(file: &File, node: &Path) -> io::Result<File> {
    let open_it = |path: &Path| open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let control = open_it(Path::new("/dev/loop-control"))
        .map_err(|e| io::Error::other(format!("there are no loop devices: {e}")))?;
    for _ in 0..ATTEMPTS {
        // SAFETY: it takes nothing.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        let number = u32::try_from(number).map_err(|_| {
            let why = io::Error::last_os_error();
            io::Error::other(format!("the kernel has no loop device to give: {why}"))
        })?;
        let device = makedev(LOOP_MAJOR, number);
        mknodat(CWD, node, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, device)?;
        let device = File::from(open_it(node)?);
        match configure(&device, file) {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => fs::remove_file(node)?,
            outcome => return outcome.map(|()| device),
        }
    }
    Err(io::Error::other("others take every loop device that gets free"))
}

fn configure(device: &File, file: &File) -> io::Result<()> {
    let config = LoopConfig {
        fd: u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?,
        block_size: 4096,
        info: LoopInfo { flags: LO_FLAGS, ..LoopInfo::default() },
        reserved: [0; 8],
    };
    // SAFETY: the structure is as the kernel declares it, and lives until the call is over.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_no_quota_and_a_small_one_still_has_some_files() {
        assert_eq!(DiskQuota::of_mb(Limit::Unlimited), None);
        let check = |mb, bytes, inodes| {
            assert_eq!(DiskQuota::of_mb(Limit::AtMost(mb)), Some(DiskQuota { bytes, inodes }));
        };
        check(1, 1 << 20, 4096);
        check(1024, 1 << 30, 65_536);
        check(u64::MAX, u64::MAX, u64::MAX);
    }

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        assert_eq!((size_of::<LoopInfo>(), size_of::<LoopConfig>()), (232, 304));
    }

    #[test]
    fn a_machine_that_can_is_found_out_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        try_in(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = try_in(Path::new("/proc")).unwrap_err();
        assert!(error.starts_with("nothing can be written"), "{error}");
    }
}
