use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use lattice_model::Limit;

use super::overlay::Rootfs;
use super::quota::DiskQuota;
use super::*;
use crate::images::unpack::tests::Tar;
use crate::runtime::ContainerId;
use crate::userns::{self, IDS, UserNamespace};

const APP: Ownership = Ownership { uid: 1000, gid: 1001, mode: 0o640 };

/// A root with links that would lead a careless host astray.
fn container() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(home.path().join("secret"), "of the host").unwrap();
    fs::write(root.join("etc/secret"), "of the container").unwrap();
    symlink("/etc/secret", root.join("absolute")).unwrap();
    symlink("../../../../etc/secret", root.join("climbing")).unwrap();
    symlink("../secret", root.join("host")).unwrap();
    symlink("/etc", root.join("conf")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    (home, root)
}

#[test]
fn files_are_read_as_a_process_inside_would_read_them() {
    let (_home, root) = container();
    for path in ["/etc/secret", "etc/secret", "absolute", "climbing", "conf/secret"] {
        assert_eq!(read_in(&root, path, 100).unwrap(), b"of the container", "{path}");
    }
    for path in ["host", "loop", "missing", "etc/secret/x"] {
        let got = read_in(&root, path, 100);
        assert!(matches!(got, Err(ImageError::NotFound { .. })), "{path}: {got:?}");
    }
    let why = read_in(&root, "etc/secret", 3).unwrap_err().to_string();
    assert!(why.contains("longer than 3 bytes"), "{why}");
    assert!(read_in(&root, "etc", 100).unwrap_err().to_string().contains("not a plain file"));
    assert!(read_in(&root, "../secret", 100).unwrap_err().to_string().contains("climbs out"));
}

#[test]
fn a_directory_is_made_inside_and_what_is_there_stays() {
    let (home, root) = container();
    let before = fs::metadata(root.join("etc")).unwrap();
    for path in ["/srv/app", "srv/app", "/", "/etc", "conf", "conf/app", "host/inside"] {
        let made = make_dir_in(&root, path, (1000, 1001));
        // A link that leads nowhere is in the way; it is not followed out of the root.
        assert_eq!(made.is_ok(), path != "host/inside", "{path}: {made:?}");
    }
    for path in ["srv", "srv/app", "etc/app"] {
        let made = fs::symlink_metadata(root.join(path)).unwrap();
        assert!(made.is_dir(), "{path}");
        assert_eq!((made.uid(), made.gid()), (1000, 1001), "{path}");
    }
    let after = fs::metadata(root.join("etc")).unwrap();
    assert_eq!((after.uid(), after.mode()), (before.uid(), before.mode()));
    assert!(home.path().join("secret").is_file(), "the host is as it was");
    let why = make_dir_in(&root, "/etc/secret", (0, 0)).unwrap_err().to_string();
    assert!(why.contains("/etc/secret is in the way"), "{why}");
}

#[test]
fn a_pipe_does_not_hold_a_reader_up() {
    let (_home, root) = container();
    let fifo = FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), fifo, Mode::RUSR, 0).unwrap();
    assert!(read_in(&root, "pipe", 100).unwrap_err().to_string().contains("not a plain file"));
}

#[test]
fn files_are_written_inside_with_their_directories() {
    let (home, root) = container();
    create_in(&root, "/a/b/file", b"new", APP).unwrap();
    create_in(&root, "conf/file", b"new", APP).unwrap();
    create_in(&root, "host", b"new", APP).unwrap();
    for path in ["a/b/file", "etc/file", "host"] {
        let found = fs::symlink_metadata(root.join(path)).unwrap();
        assert!(found.is_file(), "{path} is a file, not a link");
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1000, 1001, 0o640));
        assert_eq!(fs::read(root.join(path)).unwrap(), b"new");
    }
    assert_eq!(fs::metadata(root.join("a")).unwrap().uid(), 1000);
    assert_eq!(fs::read_to_string(home.path().join("secret")).unwrap(), "of the host");
}

#[test]
fn an_archive_is_unpacked_inside_for_its_owner() {
    let (home, root) = container();
    let tar = Tar::default().file("bin/x", "run").file(".wh.plain", "a name like any other");
    let limits = UnpackLimits::default();
    extract_in(&root, "/opt/tool", &file_of(&tar.bytes()), Some((7, 8)), limits).unwrap();
    let found = fs::metadata(root.join("opt/tool/bin/x")).unwrap();
    assert_eq!((found.uid(), found.gid()), (7, 8));
    assert_eq!(fs::metadata(root.join("opt/tool/bin")).unwrap().uid(), 7);
    assert!(root.join("opt/tool/.wh.plain").is_file());
    let evil = Tar::default().file("../../../secret", "!").bytes();
    let got = extract_in(&root, "/opt", &file_of(&evil), None, limits);
    assert!(matches!(got, Err(ImageError::Corrupt { .. })), "{got:?}");
    let why = extract_in(&root, "/opt", &file_of(b"PK\x03\x04"), None, limits).unwrap_err();
    assert!(why.to_string().contains("it has no end"), "{why}");
    assert_eq!(fs::read_to_string(home.path().join("secret")).unwrap(), "of the host");
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

/// Runs on a thread in a mount namespace of its own, so that nothing of a test stays mounted.
fn in_mount_namespace(test: impl FnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        // SAFETY: no other thread shares this one's file system attributes by intent.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.unwrap();
        let private = MountPropagation::PRIVATE | MountPropagation::REC;
        rustix::mount::mount_change("/", private).unwrap();
        test();
    });
    outcome.join().unwrap();
}

use rustix::mount::MountPropagationFlags as MountPropagation;

fn layer(home: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = home.join("layers").join(name).join("fs");
    for (file, text) in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

#[test]
fn layers_are_stacked_and_writes_go_above_them() {
    in_mount_namespace(|| {
        let home = tempfile::tempdir().unwrap();
        let low = layer(home.path(), "low", &[("a", "low"), ("b", "low"), ("gone", "low")]);
        let high = layer(home.path(), "high", &[("b", "high")]);
        let mark = FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, high.join("gone"), mark, Mode::empty(), 0).unwrap();
        fs::set_permissions(&high, fs::Permissions::from_mode(0o711)).unwrap();
        let rootfs = Rootfs::open(&home.path().join("data, with: odd=signs")).unwrap();
        let id = ContainerId::new("one");
        let merged = rootfs.mount(&[low.clone(), high], &id, None, None).unwrap();
        let text = |name: &str| fs::read_to_string(merged.join(name)).unwrap();
        assert_eq!((text("a"), text("b")), ("low".to_owned(), "high".to_owned()));
        assert!(!merged.join("gone").exists(), "a whiteout hides what is below");
        assert_eq!(fs::metadata(&merged).unwrap().mode() & 0o7777, 0o711, "the image's own root");
        let before = rootfs.disk_usage(&id).unwrap();
        fs::write(merged.join("a"), vec![7; 100_000]).unwrap();
        let written = rootfs.disk_usage(&id).unwrap() - before;
        assert!((100_000..200_000).contains(&written), "{written}");
        assert_eq!(fs::read_to_string(low.join("a")).unwrap(), "low", "the layer stays as it is");
        assert!(
            rootfs.mount(&[low], &id, None, None).unwrap_err().to_string().contains("one already")
        );
        assert_eq!(rootfs.list().unwrap(), std::slice::from_ref(&id));
        rootfs.unmount(&id).unwrap();
        rootfs.unmount(&id).unwrap();
        assert_eq!(rootfs.list().unwrap(), []);
        assert!(
            !fs::read_to_string("/proc/thread-self/mountinfo").unwrap().contains("/one/merged")
        );
    });
}

#[test]
fn no_layer_at_all_and_a_hundred_of_them_both_work() {
    in_mount_namespace(|| {
        let home = tempfile::tempdir().unwrap();
        let rootfs = Rootfs::open(home.path()).unwrap();
        let empty = rootfs.mount(&[], &ContainerId::new("empty"), None, None).unwrap();
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
        fs::write(empty.join("x"), "writable").unwrap();
        let deep = "a-long-name-that-would-not-fit-a-page-of-mount-options".repeat(3);
        let layers: Vec<PathBuf> = (0..lattice_api::registry::document::LAYERS_MAX)
            .map(|n| {
                let (own, n) = (format!("own-{n}"), n.to_string());
                layer(home.path(), &format!("{deep}-{n}"), &[(&own, &n), ("top", &n)])
            })
            .collect();
        let merged = rootfs.mount(&layers, &ContainerId::new("hundred"), None, None).unwrap();
        assert_eq!(fs::read_to_string(merged.join("top")).unwrap(), "127");
        assert_eq!(fs::read_to_string(merged.join("own-0")).unwrap(), "0");
        for id in rootfs.list().unwrap() {
            rootfs.unmount(&id).unwrap();
        }
        assert_eq!(fs::read_dir(home.path().join("rootfs")).unwrap().count(), 0);
    });
}

#[test]
fn a_directory_a_layer_did_not_describe_looks_as_the_one_below() {
    in_mount_namespace(|| {
        let home = tempfile::tempdir().unwrap();
        let low = layer(home.path(), "low", &[("tmp/low", ""), ("etc/low", "")]);
        fs::set_permissions(low.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        std::os::unix::fs::chown(low.join("tmp"), Some(5), Some(6)).unwrap();
        let high = layer(home.path(), "high", &[("tmp/high", ""), ("own/high", "")]);
        fs::write(high.with_file_name("implied"), b"tmp\0own\0").unwrap();
        let rootfs = Rootfs::open(home.path()).unwrap();
        let id = ContainerId::new("one");
        let merged = rootfs.mount(&[low, high], &id, None, None).unwrap();
        let tmp = fs::metadata(merged.join("tmp")).unwrap();
        assert_eq!((tmp.mode() & 0o7777, tmp.uid(), tmp.gid()), (0o1777, 5, 6));
        assert!(merged.join("tmp/low").exists() && merged.join("tmp/high").exists());
        rootfs.unmount(&id).unwrap();
    });
}

#[test]
fn layers_belong_to_the_users_of_the_instance_and_stay_as_they_are() {
    in_mount_namespace(|| {
        let home = tempfile::tempdir().unwrap();
        let low = layer(home.path(), "low", &[("bin/su", "low"), ("srv/own", "low")]);
        fs::set_permissions(low.join("bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
        std::os::unix::fs::chown(low.join("srv/own"), Some(1000), Some(IDS)).unwrap();
        let high = layer(home.path(), "high", &[("srv/high", "")]);
        fs::write(high.with_file_name("implied"), b"srv\0").unwrap();
        std::os::unix::fs::chown(low.join("srv"), Some(5), Some(6)).unwrap();
        let first_id = 0x1234_0000;
        let users = UserNamespace { path: home.path().join("users"), first_id };
        userns::make(&users, &home.path().join("netns")).unwrap();
        let rootfs = Rootfs::open(home.path()).unwrap();
        let id = ContainerId::new("one");
        let merged = rootfs.mount(&[low.clone(), high], &id, Some(&users), None).unwrap();
        let look = |name: &str| {
            let found = fs::metadata(merged.join(name)).unwrap();
            (found.mode() & 0o7777, found.uid(), found.gid())
        };
        // To run it as its owner is to be the instance's root, who is nobody here.
        assert_eq!(look("bin/su"), (0o4755, first_id, first_id));
        assert_eq!(look("srv/own").1, first_id + 1000);
        assert_eq!(look("srv/own").2, 65534, "beyond its groups is nobody");
        assert_eq!(look("srv"), (0o755, first_id + 5, first_id + 6), "as the layer below has it");
        assert_eq!(look(".").1, first_id);
        fs::write(merged.join("bin/su"), "written").unwrap();
        let upper = fs::metadata(home.path().join("rootfs/one/disk/upper/bin/su")).unwrap();
        assert_eq!((upper.uid(), upper.gid()), (first_id, first_id), "what is copied up");
        let below = fs::metadata(low.join("bin/su")).unwrap();
        assert_eq!((below.uid(), fs::read(low.join("bin/su")).unwrap()), (0, b"low".to_vec()));
        let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(!mounts().contains("/one/lower"), "it is only needed until all is stacked");
        rootfs.unmount(&id).unwrap();
        assert!(!mounts().contains("/rootfs/one"));
    });
}

#[test]
fn a_link_in_a_layer_leads_nobody_to_a_directory_of_the_host() {
    in_mount_namespace(|| {
        let home = tempfile::tempdir().unwrap();
        let outside = home.path().join("outside");
        fs::create_dir_all(outside.join("etc")).unwrap();
        fs::set_permissions(outside.join("etc"), fs::Permissions::from_mode(0o700)).unwrap();
        let low = layer(home.path(), "low", &[("a/etc/x", "")]);
        fs::write(low.with_file_name("implied"), b"a/etc\0").unwrap();
        let high = layer(home.path(), "high", &[("b", "")]);
        symlink(&outside, high.join("a")).unwrap();
        let users = UserNamespace { path: home.path().join("users"), first_id: 0x1234_0000 };
        userns::make(&users, &home.path().join("netns")).unwrap();
        let rootfs = Rootfs::open(home.path()).unwrap();
        let id = ContainerId::new("one");
        rootfs.mount(&[low, high], &id, Some(&users), None).unwrap();
        let found = fs::metadata(outside.join("etc")).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o700, 0, 0));
        rootfs.unmount(&id).unwrap();
    });
}

/// The loop devices that stand on files in a directory.
fn loop_devices(of: &Path) -> Vec<String> {
    let all = fs::read_dir("/sys/block").unwrap().flatten();
    let backing =
        all.filter_map(|dev| fs::read_to_string(dev.path().join("loop/backing_file")).ok());
    backing.filter(|file| file.contains(of.to_str().unwrap())).collect()
}

#[test]
fn a_full_disk_is_full_for_its_container_alone_and_leaves_nothing() {
    in_mount_namespace(|| {
        let home = tempfile::tempdir().unwrap();
        let low = layer(home.path(), "low", &[("low", "of the image")]);
        let id = ContainerId::new("one");
        let quota = DiskQuota::of_mb(Limit::AtMost(16));
        let rootfs = Rootfs::open(home.path()).unwrap();
        let merged = rootfs.mount(std::slice::from_ref(&low), &id, None, quota).unwrap();
        assert_eq!(fs::read(merged.join("low")).unwrap(), b"of the image");
        let before = rootfs.disk_usage(&id).unwrap();
        let mut file = fs::File::create(merged.join("big")).unwrap();
        let mut written = 0_u64;
        let full = loop {
            match file.write(&[7; 64 << 10]) {
                Ok(count) => written += count as u64,
                Err(e) => break e,
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        assert!((16 << 20..18 << 20).contains(&written), "{written}");
        file.sync_all().unwrap();
        let used = rootfs.disk_usage(&id).unwrap() - before;
        assert!((written..written + (1 << 20)).contains(&used), "{used} for {written}");
        fs::write(home.path().join("of-the-host"), "has room").unwrap();
        drop(file);
        fs::remove_file(merged.join("big")).unwrap();
        fs::write(merged.join("small"), "room again").unwrap();

        let mut count = 0;
        let full = loop {
            match fs::File::create(merged.join(format!("n-{count}"))) {
                Ok(_) => count += 1,
                Err(e) => break e,
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        assert!((4000..4096).contains(&count), "{count}");

        assert_eq!(loop_devices(home.path()).len(), 1);
        let successor = Rootfs::open(home.path()).unwrap();
        assert!(successor.disk_usage(&id).unwrap() > before, "whoever comes after finds it");
        successor.unmount(&id).unwrap();
        assert_eq!(loop_devices(home.path()), [] as [String; 0]);
        assert!(!fs::read_to_string("/proc/thread-self/mountinfo").unwrap().contains("/one/"));
        assert_eq!(rootfs.list().unwrap(), []);
    });
}

#[test]
fn a_disk_that_cannot_be_made_leaves_nothing() {
    in_mount_namespace(|| {
        let home = tempfile::tempdir().unwrap();
        let rootfs = Rootfs::open(home.path()).unwrap();
        let id = ContainerId::new("one");
        let quota = Some(DiskQuota { bytes: 1 << 62, inodes: 4096 });
        let error = rootfs.mount(&[], &id, None, quota).unwrap_err().to_string();
        assert!(error.starts_with("cannot mount the root filesystem of one: "), "{error}");
        assert_eq!((rootfs.list().unwrap(), loop_devices(home.path())), (vec![], vec![]));
    });
}

#[test]
fn a_tree_too_deep_for_any_path_is_still_deleted() {
    let home = tempfile::tempdir().unwrap();
    let top = home.path().join("top");
    fs::create_dir(&top).unwrap();
    let mut directory = fs::File::open(&top).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&directory, "deeper", Mode::RWXU).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let next = rustix::fs::openat(&directory, "deeper", flags, Mode::empty()).unwrap();
        directory = next.into();
    }
    fs::write(home.path().join("beside"), "kept").unwrap();
    symlink(home.path(), top.join("link")).unwrap();
    crate::images::confined::remove_all(&top).unwrap();
    crate::images::confined::remove_all(&top).unwrap();
    assert!(!top.exists() && home.path().join("beside").exists());
}
