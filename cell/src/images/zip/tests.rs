//! Archives as others make them, and as nobody should.

use std::fs::File;
use std::io::{Read as _, Write as _};

use flate2::Crc;
use flate2::read::DeflateEncoder;
use proptest::prelude::*;

use super::*;
use crate::images::archive::Archive;
use crate::images::plan::Kind;

/// An archive in the making.
#[derive(Default)]
struct Zip {
    entries: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

/// What is found of an entry: name, kind, mode, time, link, content.
type Found = (String, Kind, u32, i64, Option<String>, String);

impl Zip {
    /// A file as Unix makes it.
    fn file(self, name: &str, content: &str) -> Self {
        self.entry(name, content, (0o100_640, DEFLATED), |_, _| ())
    }

    /// An entry of that mode and method; both headers and the packed content may be changed before
    /// they are written.
    fn entry(
        mut self,
        name: &str,
        content: &str,
        (mode, method): (u32, u64),
        change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>),
    ) -> Self {
        let mut packed = content.as_bytes().to_vec();
        if method == DEFLATED {
            let mut encoder = DeflateEncoder::new(content.as_bytes(), flate2::Compression::best());
            packed.clear();
            encoder.read_to_end(&mut packed).unwrap();
        }
        let mut sum = Crc::new();
        sum.update(content.as_bytes());
        // 1 January 2026, 12:30:10.
        let (date, time) = (46_u16 << 9 | 1 << 5 | 1, 12_u16 << 11 | 30 << 5 | 5);
        let mut shared = Vec::new();
        for short in [20, 0, method as u16, time, date] {
            shared.extend(short.to_le_bytes());
        }
        for long in [sum.sum(), packed.len() as u32, content.len() as u32] {
            shared.extend(long.to_le_bytes());
        }
        shared.extend((name.len() as u16).to_le_bytes());
        let mut local = [&(LOCAL as u32).to_le_bytes()[..], &shared, &[0, 0]].concat();
        let made_by = [20, 3];
        let mut central = [&(CENTRAL as u32).to_le_bytes()[..], &made_by, &shared].concat();
        central.extend([0; 8]);
        central.extend((mode << 16).to_le_bytes());
        central.extend((self.entries.len() as u32).to_le_bytes());
        local.extend(name.as_bytes());
        central.extend(name.as_bytes());
        local.extend(packed);
        change(&mut local, &mut central);
        self.entries.extend(local);
        self.directory.extend(central);
        self.count += 1;
        self
    }

    fn bytes(self) -> Vec<u8> {
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend([self.count.to_le_bytes(), self.count.to_le_bytes()].concat());
        end.extend((self.directory.len() as u32).to_le_bytes());
        end.extend((self.entries.len() as u32).to_le_bytes());
        end.extend([0, 0]);
        [self.entries, self.directory, end].concat()
    }
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn read(bytes: &[u8]) -> Result<Vec<Found>, String> {
    let file = file_of(bytes);
    assert!(is_zip(&file).unwrap());
    let told = |e: io::Error| e.to_string();
    let mut archive = Archive::new(AsTar::new(&file).map_err(told)?);
    let mut found = Vec::new();
    while let Some(head) = archive.next().map_err(told)? {
        let mut content = Vec::new();
        archive.content().read_to_end(&mut content).map_err(told)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let link = head.link.filter(|link| !link.is_empty()).map(text);
        found.push((text(head.name), head.kind, head.mode, head.mtime.0, link, text(content)));
    }
    Ok(found)
}

/// 12:30:10 on the first day of 2026.
const TIME: i64 = 1_767_270_610;

#[test]
fn files_directories_and_links_are_what_they_were() {
    let long = format!("{}/end", "long".repeat(60));
    let zip = Zip::default()
        .entry("dir/", "", (0o40_750, STORED), |_, _| ())
        .file("dir/packed", &"again and ".repeat(1000))
        .entry("dir/plain", "as it is", (0o100_755, STORED), |_, _| ())
        .entry("dir/link", "plain", (0o120_777, STORED), |_, _| ())
        .file(&long, "")
        .entry("from-elsewhere", "x", (0, STORED), |_, central| central[5] = 0);
    let file = |name: &str, mode, content: &str| {
        (name.to_owned(), Kind::File, mode, TIME, None, content.to_owned())
    };
    let link = Some("plain".to_owned());
    let expected = vec![
        ("dir/".to_owned(), Kind::Directory, 0o750, TIME, None, String::new()),
        file("dir/packed", 0o640, &"again and ".repeat(1000)),
        file("dir/plain", 0o755, "as it is"),
        ("dir/link".to_owned(), Kind::Symlink, 0o777, TIME, link, String::new()),
        file(&long, 0o640, ""),
        file("from-elsewhere", 0o644, "x"),
    ];
    assert_eq!(read(&zip.bytes()).unwrap(), expected);
    assert_eq!(read(&Zip::default().bytes()).unwrap(), []);
}

#[test]
fn what_python_makes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made.zip");
    let make = "import sys, zipfile\n\
                with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as made:\n    \
                    made.comment = b'PK\\5\\6 in a comment is no end of an archive'\n    \
                    made.writestr('a/b', 'content')\n    \
                    with made.open('wide', 'w', force_zip64=True) as wide: wide.write(b'64 bits')\n";
    let made = std::process::Command::new("python3").args(["-c", make]).arg(&path).status();
    assert!(made.expect("Debian has python3").success());
    let found = read(&std::fs::read(path).unwrap()).unwrap();
    let names = found.iter().map(|found| (found.0.as_str(), found.5.as_str()));
    assert_eq!(names.collect::<Vec<_>>(), [("a/b", "content"), ("wide", "64 bits")]);
}

#[test]
fn what_contradicts_itself_or_is_cut_off_is_refused() {
    let broken = |change: fn(&mut Vec<u8>, &mut Vec<u8>)| {
        let zip = Zip::default().file("first", "");
        let zip = zip.entry("name", "content", (0o100_644, STORED), change);
        read(&zip.bytes()).unwrap_err()
    };
    for (why, said) in [
        ("does not agree", broken(|local, _| local[30] = b'N')),
        ("does not agree", broken(|local, _| local[0] = b'X')),
        ("directory is damaged", broken(|_, central| central[0] = b'X')),
        ("its checksum is wrong", broken(|local, _| *local.last_mut().unwrap() ^= 1)),
        ("encrypted", broken(|_, central| central[8] = 1)),
        ("packed by method 12", broken(|_, central| central[10] = 12)),
        ("shorter than its directory says", broken(|_, central| central[24] = 9)),
        ("longer than its directory says", broken(|_, central| central[24] = 3)),
        ("a zero byte", broken(|_, central| *central.last_mut().unwrap() = 0)),
        ("neither a file nor", broken(|_, central| central[41] = 0o60 << 2)),
        ("in the middle of an entry", broken(|_, central| central[45] = 0x7f)),
    ] {
        assert!(said.contains(why), "{why}: {said}");
    }
    let link = "x".repeat(5000);
    let zip = Zip::default().entry("link", &link, (0o120_777, DEFLATED), |_, _| ());
    assert!(read(&zip.bytes()).unwrap_err().contains("longer than any path"));
    let two = || Zip::default().file("name", "content").file("other", "content");
    assert!(read(&Zip { count: 1, ..two() }.bytes()).unwrap_err().contains("more entries"));
    let whole = two().bytes();
    for length in 4..whole.len() {
        assert!(read(&whole[..length]).is_err(), "{length} bytes of {}", whole.len());
    }
}

#[test]
fn days_are_counted_as_calendars_do() {
    let at =
        |year: u64, month: u64, day: u64| seconds(((year - 1980) << 9) | (month << 5) | day, 0);
    for (date, days) in [
        ((1980, 1, 1), 3652),
        ((1980, 2, 29), 3711),
        ((1980, 3, 1), 3712),
        ((2000, 12, 31), 11_322),
        ((2026, 11, 23), 20_780),
        ((2100, 3, 1), 47_541),
    ] {
        assert_eq!(at(date.0, date.1, date.2), days * 86_400, "{date:?}");
    }
    assert_eq!((at(1990, 0, 1), at(1990, 13, 1)), (0, 0));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_run_on(
        at in prop::collection::vec((0..1000_usize, any::<u8>()), 0..6),
    ) {
        let zip = Zip::default().file("a", "content").file("dir/b", &"more ".repeat(50));
        let mut bytes = zip.entry("c", "b", (0o120_777, STORED), |_, _| ()).bytes();
        for (at, byte) in at {
            let length = bytes.len();
            bytes[4 + at % (length - 4)] = byte;
        }
        let _ = read(&bytes);
    }
}
