use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::images::archive::decompressed;

/// Writes tars no decent tool would write.
#[derive(Default, Clone)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn entry(mut self, kind: u8, name: &str, link: &str, content: &[u8]) -> Self {
        self.0.extend(header(kind, name, link, content.len() as u64));
        self.content(content)
    }

    /// An entry whose header gives another size than its content has.
    fn sized(mut self, kind: u8, name: &str, content: &[u8], size: u64) -> Self {
        self.0.extend(header(kind, name, "", size));
        self.content(content)
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(b'0', name, "", content.as_bytes())
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(b'5', name, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, target, b"")
    }

    fn hardlink(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, target, b"")
    }

    pub(crate) fn with(mut self, change: impl Fn(&mut tar::Header)) -> Self {
        let at = self.0.len() - 512;
        let mut header = tar::Header::from_byte_slice(&self.0[at..]).clone();
        change(&mut header);
        self.0.truncate(at);
        self.0.extend(finished(header));
        self
    }

    fn device(self, kind: u8, name: &str, major: u32, minor: u32) -> Self {
        self.entry(kind, name, "", b"").with(|h| {
            h.set_device_major(major).unwrap();
            h.set_device_minor(minor).unwrap();
        })
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let record = |(key, value): &(&str, &str)| {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len() + 1;
            while format!("{length}{rest}").len() != length {
                length += 1;
            }
            format!("{length}{rest}")
        };
        let text: String = records.iter().map(record).collect();
        self.entry(b'x', "pax", "", text.as_bytes())
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = self.0;
        bytes.extend_from_slice(&[0; 1024]);
        bytes
    }
}

fn header(kind: u8, name: &str, link: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header.set_size(size);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    finished(header)
}

fn finished(mut header: tar::Header) -> Vec<u8> {
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A layer's directory with a neighbour that must stay as it is.
struct Bench {
    home: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("layer")).unwrap();
        fs::create_dir(home.path().join("outside")).unwrap();
        fs::write(home.path().join("outside/secret"), "untouched").unwrap();
        Self { home }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join("layer").join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn unpack(&self, tar: &[u8], limits: UnpackLimits) -> Result<Unpacked, String> {
        let manner = Manner { dialect: Dialect::Layer, owner: None, limits };
        let root = Root::strict(&self.home.path().join("layer")).unwrap();
        let stream = decompressed(tar).map_err(|e| e.to_string())?;
        unpack(root, stream, manner).map_err(|trouble| match trouble {
            Trouble::Refused(why) => why,
            Trouble::Machine(e) => panic!("the machine failed: {e}"),
        })
    }

    fn good(&self, tar: Tar) -> Unpacked {
        self.unpack(&tar.bytes(), UnpackLimits::default()).unwrap()
    }

    fn assert_outside_is_untouched(&self, case: &str) {
        let outside = self.home.path().join("outside");
        let names: Vec<_> =
            fs::read_dir(&outside).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["secret"], "{case}");
        let secret = fs::metadata(outside.join("secret")).unwrap();
        assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), "untouched", "{case}");
        assert_eq!((secret.nlink(), secret.mode() & 0o7777), (1, 0o644), "{case}");
        assert_eq!(fs::read_dir(self.home.path()).unwrap().count(), 2, "{case}");
    }
}

#[test]
fn a_layer_becomes_what_it_describes() {
    let bench = Bench::new();
    let tar = Tar::default()
        .dir("./")
        .dir("etc/")
        .with(|h| h.set_mode(0o1777))
        .file("etc/passwd", "root")
        .symlink("link", "etc/../../../../x")
        .hardlink("etc/passwd-", "etc/passwd")
        .entry(b'6', "pipe", "", b"")
        .file("/absolute", "in the root")
        .pax(&[("mtime", "1234567890.5"), ("uid", "1234"), ("SCHILY.xattr.user.note", "hi")])
        .file("owned", "mine");
    bench.good(tar);
    assert_eq!(bench.text("etc/passwd"), "root");
    assert_eq!(fs::metadata(bench.at("etc")).unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(fs::metadata(bench.at("etc")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(fs::metadata(bench.at("etc/passwd-")).unwrap().nlink(), 2);
    let link = fs::read_link(bench.at("link")).unwrap();
    assert_eq!(link.to_str(), Some("etc/../../../../x"), "a link's text is kept as it is");
    assert!(fs::symlink_metadata(bench.at("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(bench.text("absolute"), "in the root");
    let owned = fs::metadata(bench.at("owned")).unwrap();
    assert_eq!(
        (owned.uid(), owned.mtime(), owned.mtime_nsec()),
        (1234, 1_234_567_890, 500_000_000)
    );
    let mut note = [0; 2];
    rustix::fs::getxattr(bench.at("owned"), "user.note", &mut note).unwrap();
    assert_eq!(&note, b"hi");
    bench.assert_outside_is_untouched("a good layer");
}

/// Every row is refused with these words, and nothing outside changes.
fn check_refused(rows: &[(&str, Tar, &str)]) {
    for (case, tar, expected) in rows {
        let bench = Bench::new();
        match bench.unpack(&tar.clone().bytes(), UnpackLimits::default()) {
            Ok(_) => panic!("{case} was taken"),
            Err(why) => assert!(why.contains(expected), "{case}: {why}"),
        }
        bench.assert_outside_is_untouched(case);
    }
}

#[test]
fn every_name_and_link_that_leads_outside_is_refused() {
    let tar = Tar::default;
    check_refused(&[
        ("climbing name", tar().file("../outside/x", "!"), "climbs out"),
        ("climb in the middle", tar().file("a/../../outside/x", "!"), "climbs out"),
        ("climbing directory", tar().dir("../outside/d"), "climbs out"),
        (
            "write through a relative link",
            tar().symlink("a", "../outside").file("a/secret", "!"),
            "leads outside",
        ),
        (
            "write through an absolute link",
            tar().symlink("a", "/").file("a/outside/x", "!"),
            "leads outside",
        ),
        (
            "write through two links",
            tar().symlink("a", ".").symlink("b", "a/../../outside").file("b/x", "!"),
            "leads outside",
        ),
        ("link loop", tar().symlink("a", "b").symlink("b", "a").file("a/x", "!"), "without an end"),
        ("directory through a link", tar().symlink("a", "../outside").dir("a/d"), "leads outside"),
        (
            "whiteout through a link",
            tar().symlink("a", "../outside").file("a/.wh.secret", ""),
            "leads outside",
        ),
        (
            "opaque through a link",
            tar().symlink("a", "../outside").file("a/.wh..wh..opq", ""),
            "no directory",
        ),
        ("climbing whiteout", tar().file("d/.wh...", ""), "nothing sensible"),
        ("climbing hard link", tar().hardlink("x", "../outside/secret"), "climbs out"),
        (
            "hard link through a link",
            tar().symlink("a", "../outside").hardlink("x", "a/secret"),
            "leads outside",
        ),
        ("hard link to nothing", tar().hardlink("x", "y"), "not in the same archive"),
        ("hard link to a directory", tar().dir("d").hardlink("x", "d"), "is a directory"),
        ("file below a file", tar().file("f", "").file("f/x", "!"), "no directory"),
    ]);
}

#[test]
fn every_entry_that_lies_or_forges_is_refused() {
    let long_name = "a/".repeat(2200);
    let evil_name = "n".repeat(300);
    let huge = u64::MAX.to_string();
    let tar = Tar::default;
    check_refused(&[
        ("device", tar().device(b'3', "null", 1, 3), "is a device"),
        ("disk", tar().device(b'4', "sda", 8, 0), "is a device"),
        (
            "kernel attribute",
            tar().pax(&[("SCHILY.xattr.trusted.overlay.redirect", "/")]).file("x", ""),
            "trusted.overlay.redirect",
        ),
        (
            "kernel attribute on a link",
            tar().pax(&[("SCHILY.xattr.trusted.overlay.opaque", "y")]).symlink("x", "y"),
            "trusted.overlay.opaque",
        ),
        (
            "bad capability",
            tar().pax(&[("SCHILY.xattr.security.capability", "x")]).file("x", ""),
            "not valid",
        ),
        ("long path", tar().pax(&[("path", &long_name)]).file("x", ""), "longer than 4095"),
        ("long name", tar().pax(&[("path", &evil_name)]).file("x", ""), "longer than 255"),
        ("zero byte", tar().pax(&[("path", "a\0b")]).file("x", ""), "zero byte"),
        ("size beyond the end", tar().sized(b'0', "x", b"!", 1 << 40), "middle of an entry"),
        ("PAX size beyond all", tar().pax(&[("size", &huge)]).file("x", "!"), "middle of an entry"),
        ("PAX size is no number", tar().pax(&[("size", "-1")]).file("x", "!"), "number"),
        ("PAX owner too big", tar().pax(&[("uid", "4294967296")]).file("x", ""), "32-bit"),
        ("PAX garbage", tar().entry(b'x', "pax", "", b"99 path=x\n").file("x", ""), "malformed"),
        ("PAX length zero", tar().entry(b'x', "pax", "", b"0 path=x\n").file("x", ""), "malformed"),
        ("giant PAX", tar().sized(b'x', "pax", b"", 1 << 30), "1073741824 bytes"),
        ("giant long name", tar().sized(b'L', "long", b"", 1 << 30), "1073741824 bytes"),
        ("sparse file", tar().pax(&[("GNU.sparse.major", "1")]).file("x", ""), "sparse"),
        ("old sparse file", tar().entry(b'S', "x", "", b""), "unknown kind"),
        ("link without a target", tar().symlink("x", ""), "leads nowhere"),
    ]);
}

#[test]
fn damaged_streams_say_so() {
    let good = Tar::default().file("a", &"x".repeat(5000)).bytes();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let (zipped, zstd) = (gzip(&good), zstd::encode_all(&good[..], 1).unwrap());
    let mut flipped = good.clone();
    flipped[3] ^= 1;
    for (case, bytes) in [
        ("cut in the content", &good[..2000]),
        ("cut in a header", &good[..300]),
        ("cut gzip", &zipped[..zipped.len() / 2]),
        ("cut zstd", &zstd[..zstd.len() / 2]),
        ("flipped bit in a header", &flipped),
        ("text", b"hello".as_slice()),
        ("zip", b"PK\x03\x04 and more"),
    ] {
        let bench = Bench::new();
        assert!(bench.unpack(bytes, UnpackLimits::default()).is_err(), "{case}");
        bench.assert_outside_is_untouched(case);
    }
    for bytes in [good.clone(), zipped, zstd] {
        let bench = Bench::new();
        bench.unpack(&bytes, UnpackLimits::default()).unwrap();
        assert_eq!(bench.text("a").len(), 5000);
    }
}

#[test]
fn bombs_stop_at_the_limits() {
    let limits =
        UnpackLimits { bytes_max: 1024 * 1024, entries_max: 50, ..UnpackLimits::default() };
    let many = (0..51).fold(Tar::default(), |tar, n| tar.file(&format!("f{n}"), ""));
    let why = Bench::new().unpack(&many.bytes(), limits).unwrap_err();
    assert!(why.contains("more than 50 entries"), "{why}");
    let deep = Tar::default().file(&"d/".repeat(45), "").file(&"e/".repeat(45), "").bytes();
    let why = Bench::new().unpack(&deep, limits).unwrap_err();
    assert!(why.contains("more than 50 entries"), "directories in between count: {why}");
    let zeros = vec![0; 8 * 1024 * 1024];
    let big = Tar::default().entry(b'0', "zeros", "", &zeros).bytes();
    let after_the_end = [Tar::default().file("x", "").bytes(), zeros].concat();
    for (case, bytes) in [("file", big), ("after the end", after_the_end)] {
        let bomb = zstd::encode_all(&bytes[..], 3).unwrap();
        assert!(bomb.len() < 10_000, "a bomb is small");
        let why = Bench::new().unpack(&bomb, limits).unwrap_err();
        assert!(why.contains("more than 1048576 bytes"), "{case}: {why}");
    }
}

#[test]
fn time_and_the_disk_have_their_limits_too() {
    let bytes = Tar::default().file("a", &"x".repeat(100_000)).bytes();
    let limits = UnpackLimits { time_max: Duration::ZERO, ..UnpackLimits::default() };
    let why = Bench::new().unpack(&bytes, limits).unwrap_err();
    assert!(why.contains("took more than 0 s, which is the limit"), "{why}");
    let limits = UnpackLimits { free_min_bytes: u64::MAX, ..UnpackLimits::default() };
    let bench = Bench::new();
    let manner = Manner { dialect: Dialect::Layer, owner: None, limits };
    let unpacked = unpack(Root::strict(&bench.home.path().join("layer")).unwrap(), &*bytes, manner);
    let Err(Trouble::Machine(why)) = unpacked else { panic!("{unpacked:?}") };
    let why = why.to_string();
    assert!(why.contains("MB left while it is unpacked") && why.contains("stay free"), "{why}");
    let limits = UnpackLimits { free_min_bytes: 1, ..UnpackLimits::default() };
    Bench::new().unpack(&bytes, limits).unwrap();
}

#[test]
fn later_entries_replace_earlier_ones_whatever_they_were() {
    let bench = Bench::new();
    bench.good(
        Tar::default()
            .file("twice", "first")
            .file("twice", "second")
            .dir("was-dir")
            .file("was-dir/x", "")
            .file("was-dir", "now a file")
            .file("was-file", "")
            .dir("was-file")
            .file("was-file/x", "below")
            .symlink("was-link", "/etc/hostname")
            .file("was-link", "now a file"),
    );
    for (name, text) in [
        ("twice", "second"),
        ("was-dir", "now a file"),
        ("was-file/x", "below"),
        ("was-link", "now a file"),
    ] {
        assert_eq!(bench.text(name), text);
    }
    assert!(fs::symlink_metadata(bench.at("was-link")).unwrap().is_file());
}

#[test]
fn whiteouts_become_what_overlayfs_knows() {
    let bench = Bench::new();
    let unpacked = bench.good(
        Tar::default()
            .file(".wh.gone", "")
            .file("deep/er/.wh.gone", "")
            .dir("opaque")
            .file("opaque/.wh..wh..opq", "")
            .file("opaque/own", "kept")
            .file(".wh.again", "")
            .dir("again")
            .file(".wh.through", "")
            .file("through/x", "")
            .dir("own")
            .file("own/x", "kept")
            .file(".wh.own", "")
            .file("kept", "kept")
            .file(".wh.kept", "")
            .device(b'3', "raw", 0, 0),
    );
    let is_gone = |name: &str| {
        let found = fs::symlink_metadata(bench.at(name)).unwrap();
        found.file_type().is_char_device() && found.rdev() == 0
    };
    let is_opaque = |name: &str| {
        let mut value = [0; 1];
        rustix::fs::getxattr(bench.at(name), OPAQUE, &mut value).is_ok() && value == *b"y"
    };
    assert!(is_gone("gone") && is_gone("deep/er/gone") && is_gone("raw"));
    assert!(is_opaque("opaque"), "an opaque directory");
    assert!(is_opaque("again") && is_opaque("through"), "a directory in a whiteout's place");
    assert!(is_opaque("own"), "a whiteout of what the layer itself brings hides the lower one");
    assert!(!is_opaque("deep"));
    for name in ["opaque/own", "own/x", "kept"] {
        assert_eq!(bench.text(name), "kept");
    }
    let implied: Vec<String> = unpacked.implied.iter().map(ToString::to_string).collect();
    assert_eq!(implied, ["/deep", "/deep/er", "/through"]);
}

#[test]
fn a_directory_described_after_its_files_is_not_implied() {
    let bench = Bench::new();
    let unpacked = bench.good(Tar::default().file("d/x", "").dir("d").with(|h| h.set_mode(0o700)));
    assert_eq!(unpacked.implied, []);
    assert_eq!(fs::metadata(bench.at("d")).unwrap().mode() & 0o777, 0o700);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_sequence_of_entries_touches_what_is_outside(
        entries in prop::collection::vec(
            (
                prop::sample::select(vec![b'0', b'1', b'2', b'5', b'6']),
                "(a|b|a/b|b/a|a/b/a|\\.wh\\.a|a/\\.wh\\.\\.wh\\.\\.opq|outside)",
                "(\\.\\.|/|a|b|\\.\\./outside|\\.\\./\\.\\./outside|/outside|a/\\.\\.|\\.)",
            ),
            1..12,
        )
    ) {
        let bench = Bench::new();
        let tar = entries.iter().fold(Tar::default(), |tar, (kind, name, link)| {
            let link = if matches!(kind, b'1' | b'2') { link.as_str() } else { "" };
            let content: &[u8] = if *kind == b'0' { b"!" } else { b"" };
            tar.entry(*kind, name, link, content)
        });
        // Taken or refused: either is fine as long as nothing leaves the layer.
        let _ = bench.unpack(&tar.bytes(), UnpackLimits::default());
        bench.assert_outside_is_untouched("a random archive");
    }

    #[test]
    fn random_bytes_never_crash_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let bench = Bench::new();
        let _ = bench.unpack(&bytes, UnpackLimits { bytes_max: 1 << 20, entries_max: 10, ..UnpackLimits::default() });
        bench.assert_outside_is_untouched("random bytes");
    }

    #[test]
    fn names_read_back_as_they_were_written(
        files in prop::collection::btree_map("[a-z]{1,8}(/[a-z]{1,8}){0,2}x", "[ -~]{0,40}", 0..8)
    ) {
        let bench = Bench::new();
        let files: BTreeMap<String, String> = files;
        // Names that end in x are never the directory of another.
        let tar = files.iter().fold(Tar::default(), |tar, (name, text)| tar.file(name, text));
        if bench.unpack(&tar.bytes(), UnpackLimits::default()).is_ok() {
            for (name, text) in &files {
                prop_assert_eq!(&bench.text(name), text);
            }
        }
    }
}
