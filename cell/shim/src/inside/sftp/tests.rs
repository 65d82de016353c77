use std::collections::HashMap;

use proptest::prelude::*;
use russh_sftp::protocol::{
    Close, Extended, FSetStat, Init, MkDir, Open as OpenFile, OpenDir, Read as ReadFile,
    ReadDir as ReadNames, RealPath, Remove, Rename, RmDir, Stat, Symlink, Write as WriteFile,
};

use super::*;

/// Sends requests and reads the answers.
fn ask(requests: Vec<Packet>) -> Vec<Packet> {
    let bytes = requests.into_iter().flat_map(|packet| Bytes::try_from(packet).unwrap());
    let bytes: Vec<u8> = bytes.collect();
    let mut answered = Vec::new();
    serve(&bytes[..], &mut answered).unwrap();
    let mut answers = Vec::new();
    let mut rest = &answered[..];
    while let Some(mut packet) = read_packet(&mut rest).unwrap() {
        answers.push(Packet::try_from(&mut packet).unwrap());
    }
    answers
}

fn statuses(answers: &[Packet]) -> Vec<StatusCode> {
    let code = |answer: &Packet| match answer {
        Packet::Status(status) => Some(status.status_code),
        _ => None,
    };
    answers.iter().filter_map(code).collect()
}

fn open(path: &Path, flags: OpenFlags) -> Packet {
    let attrs = FileAttributes { permissions: Some(0o640), ..FileAttributes::empty() };
    Packet::Open(OpenFile { id: 1, filename: text(path), pflags: flags, attrs })
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_file_is_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let handle = || "1".to_owned();
    let new = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
    let answers = ask(vec![
        Packet::Init(Init { version: 3, extensions: HashMap::new() }),
        open(&path, new),
        Packet::Write(WriteFile { id: 2, handle: handle(), offset: 3, data: b"hello".to_vec() }),
        Packet::Read(ReadFile { id: 3, handle: handle(), offset: 0, len: 100 }),
        Packet::Read(ReadFile { id: 4, handle: handle(), offset: 8, len: 100 }),
        Packet::FSetStat(FSetStat {
            id: 5,
            handle: handle(),
            attrs: FileAttributes {
                permissions: Some(0o600),
                atime: Some(7),
                mtime: Some(9),
                ..FileAttributes::empty()
            },
        }),
        Packet::Close(Close { id: 6, handle: handle() }),
        Packet::Close(Close { id: 7, handle: handle() }),
        open(&path, new),
    ]);
    let [Packet::Version(version), Packet::Handle(_), _, Packet::Data(data), ..] = &answers[..]
    else {
        panic!("{answers:?}");
    };
    assert!(version.extensions.contains_key(POSIX_RENAME));
    assert_eq!(data.data, b"\0\0\0hello");
    let expected = [
        StatusCode::Ok,
        StatusCode::Eof,
        StatusCode::Ok,
        StatusCode::Ok,
        StatusCode::Failure,
        StatusCode::Failure,
    ];
    assert_eq!(statuses(&answers), expected);
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.mode() & 0o7777, found.atime(), found.mtime()), (0o600, 7, 9));
}

#[test]
fn names_are_made_listed_moved_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&dir.path().join(name));
    fs::write(at("a"), "").unwrap();
    let attrs = FileAttributes::empty();
    let rename =
        |from: &str, to: &str| Packet::Rename(Rename { id: 1, oldpath: at(from), newpath: at(to) });
    let both = [at("b"), at("taken")];
    let both = both.iter().flat_map(|path| {
        let length = u32::try_from(path.len()).unwrap().to_be_bytes();
        [&length, path.as_bytes()].concat()
    });
    let over = Extended { id: 1, request: POSIX_RENAME.to_owned(), data: both.collect() };
    let answers = ask(vec![
        Packet::MkDir(MkDir { id: 1, path: at("sub"), attrs }),
        // As OpenSSH's client sends it: what it leads to first.
        Packet::Symlink(Symlink { id: 1, linkpath: "a".into(), targetpath: at("link") }),
        rename("a", "b"),
        rename("b", "sub"),
        rename("missing", "c"),
    ]);
    let expected = [
        StatusCode::Ok,
        StatusCode::Ok,
        StatusCode::Ok,
        StatusCode::Failure,
        StatusCode::NoSuchFile,
    ];
    assert_eq!(statuses(&answers), expected);
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("a"));
    fs::write(at("taken"), "old").unwrap();
    let answers = ask(vec![
        Packet::Extended(over),
        Packet::OpenDir(OpenDir { id: 1, path: text(dir.path()) }),
        Packet::ReadDir(ReadNames { id: 1, handle: "1".into() }),
        Packet::ReadDir(ReadNames { id: 1, handle: "1".into() }),
        Packet::Stat(Stat { id: 1, path: at("link") }),
        Packet::RmDir(RmDir { id: 1, path: at("sub") }),
        Packet::Remove(Remove { id: 1, filename: at("link") }),
        Packet::RealPath(RealPath { id: 1, path: at("./taken") }),
        Packet::RealPath(RealPath { id: 1, path: at("new") }),
    ]);
    let Packet::Name(listed) = &answers[2] else { panic!("{answers:?}") };
    let mut names: Vec<&str> = listed.files.iter().map(|file| file.filename.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["link", "sub", "taken"]);
    let expected =
        [StatusCode::Ok, StatusCode::Eof, StatusCode::NoSuchFile, StatusCode::Ok, StatusCode::Ok];
    assert_eq!(statuses(&answers), expected);
    let [.., Packet::Name(real), Packet::Name(new)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((&real.files[0].filename, &new.files[0].filename), (&at("taken"), &at("new")));
}

#[test]
fn too_much_is_refused() {
    let requests = (0..=HANDLES_MAX).map(|_| Packet::OpenDir(OpenDir { id: 1, path: "/".into() }));
    let answers = ask(requests.collect());
    assert_eq!(statuses(&answers), [StatusCode::Failure]);
    let long = [&u32::MAX.to_be_bytes()[..], b"x"].concat();
    assert!(serve(&long[..], Vec::new()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(packets in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..60), 0..5,
    )) {
        // Requests that change files are left out.
        let harmless = |packet: &&Vec<u8>| !packet.first().is_some_and(|kind| (3..=22).contains(kind));
        let framed = packets.iter().filter(harmless).flat_map(|packet| {
            [&u32::try_from(packet.len()).unwrap().to_be_bytes()[..], packet].concat()
        });
        let framed: Vec<u8> = framed.collect();
        serve(&framed[..], Vec::new()).unwrap();
    }
}
