//! A file server that speaks SFTP, version 3. Whose files these are, and which of them may be read
//! and written, the kernel knows: it runs as the container's user, among the container's files.

use std::collections::BTreeMap;
use std::fs::{self, File, ReadDir};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use bytes::Bytes;
use russh_sftp::protocol::{
    Attrs, Data, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, StatusCode,
    Version,
};
use rustix::fs::{AtFlags, CWD, RenameFlags, Timespec, Timestamps, renameat_with, utimensat};

/// The longest packet, in bytes.
const PACKET_BYTES_MAX: usize = 256 << 10;
/// The most that is read at once, in bytes; a packet holds it.
const READ_BYTES_MAX: usize = 128 << 10;
/// The most files and directories that are open at once.
const HANDLES_MAX: usize = 256;
/// The most names in one answer.
const NAMES_MAX: usize = 100;
/// Renames over what is there, as POSIX does; version 3's own renaming does not.
const POSIX_RENAME: &str = "posix-rename@openssh.com";

/// What is open.
#[derive(Default)]
struct Server {
    handles: BTreeMap<String, Open>,
    last_number: u64,
}

enum Open {
    File(File),
    Directory(ReadDir),
}

/// Why something was not done.
struct Refused(StatusCode, String);

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound => StatusCode::NoSuchFile,
            io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
            io::ErrorKind::Unsupported => StatusCode::OpUnsupported,
            _ => StatusCode::Failure,
        };
        Self(code, error.to_string())
    }
}

impl From<rustix::io::Errno> for Refused {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// Answers until there are no more requests.
pub(super) fn serve(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut server = Server::default();
    while let Some(mut packet) = read_packet(&mut input)? {
        let answer = match Packet::try_from(&mut packet) {
            Ok(request) => {
                let id = request.get_request_id();
                server.answer(request).unwrap_or_else(|refused| refusal(id, refused))
            }
            Err(why) => Packet::status(0, StatusCode::BadMessage, &why.to_string(), "en"),
        };
        let answer = Bytes::try_from(answer).map_err(|e| io::Error::other(e.to_string()))?;
        output.write_all(&answer)?;
        output.flush()?;
    }
    Ok(())
}

/// The next packet without its length; `None` at the end.
fn read_packet(input: &mut impl Read) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > PACKET_BYTES_MAX {
        let why = format!("a packet of {length} bytes is longer than {PACKET_BYTES_MAX}");
        return Err(io::Error::other(why));
    }
    let mut packet = vec![0; length];
    input.read_exact(&mut packet)?;
    Ok(Some(packet.into()))
}

// === impl Server ===

impl Server {
    fn answer(&mut self, request: Packet) -> Result<Packet, Refused> {
        let id = request.get_request_id();
        match request {
            Packet::Init(_) => {
                let extensions = [(POSIX_RENAME.to_owned(), "1".to_owned())].into();
                return Ok(Packet::Version(Version { extensions, ..Version::new() }));
            }
            Packet::Open(open) => {
                let file = open_file(&open.filename, open.pflags, &open.attrs)?;
                return self.keep(id, Open::File(file));
            }
            Packet::OpenDir(open) => {
                let entries = fs::read_dir(&open.path)?;
                return self.keep(id, Open::Directory(entries));
            }
            Packet::Close(close) => {
                self.handles.remove(&close.handle).ok_or_else(no_handle)?;
            }
            Packet::Read(read) => {
                let data = read_at(self.file(&read.handle)?, read.offset, read.len)?;
                return Ok(Packet::Data(Data { id, data }));
            }
            Packet::Write(write) => {
                self.file(&write.handle)?.write_all_at(&write.data, write.offset)?;
            }
            Packet::ReadDir(read) => {
                let files = self.names(&read.handle)?;
                return Ok(Packet::Name(Name { id, files }));
            }
            Packet::Stat(stat) => return Ok(attributes(id, &fs::metadata(&stat.path)?)),
            Packet::Lstat(stat) => return Ok(attributes(id, &fs::symlink_metadata(&stat.path)?)),
            Packet::Fstat(stat) => {
                return Ok(attributes(id, &self.file(&stat.handle)?.metadata()?));
            }
            Packet::SetStat(set) => change(Path::new(&set.path), &set.attrs)?,
            Packet::FSetStat(set) => {
                let file = self.file(&set.handle)?;
                let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
                change(Path::new(&path), &set.attrs)?;
            }
            Packet::RealPath(real) => return Ok(name(id, &real_path(&real.path)?)),
            Packet::ReadLink(link) => {
                let target = fs::read_link(&link.path)?;
                return Ok(name(id, &target.to_string_lossy()));
            }
            other => change_tree(other)?,
        }
        Ok(Packet::error(id, StatusCode::Ok))
    }

    fn keep(&mut self, id: u32, open: Open) -> Result<Packet, Refused> {
        if self.handles.len() >= HANDLES_MAX {
            let why = format!("{HANDLES_MAX} files are open, and more are not allowed");
            return Err(Refused(StatusCode::Failure, why));
        }
        self.last_number += 1;
        let handle = self.last_number.to_string();
        self.handles.insert(handle.clone(), open);
        Ok(Packet::Handle(Handle { id, handle }))
    }

    fn file(&self, handle: &str) -> Result<&File, Refused> {
        match self.handles.get(handle) {
            Some(Open::File(file)) => Ok(file),
            Some(Open::Directory(_)) | None => Err(no_handle()),
        }
    }

    fn names(&mut self, handle: &str) -> Result<Vec<Entry>, Refused> {
        let Some(Open::Directory(entries)) = self.handles.get_mut(handle) else {
            return Err(no_handle());
        };
        let mut files = Vec::new();
        for entry in entries.take(NAMES_MAX) {
            let entry = entry?;
            // One that has gone meanwhile is none.
            if let Ok(found) = entry.metadata() {
                let name = entry.file_name().to_string_lossy().into_owned();
                files.push(Entry::new(name, attributes_of(&found)));
            }
        }
        let is_over = files.is_empty();
        if is_over { Err(Refused(StatusCode::Eof, "no more names".to_owned())) } else { Ok(files) }
    }
}

/// What makes, moves and removes names.
fn change_tree(request: Packet) -> Result<(), Refused> {
    match request {
        Packet::Remove(remove) => fs::remove_file(&remove.filename)?,
        Packet::MkDir(make) => {
            fs::create_dir(&make.path)?;
            change(Path::new(&make.path), &make.attrs)?;
        }
        Packet::RmDir(remove) => fs::remove_dir(&remove.path)?,
        Packet::Rename(rename) => {
            renameat_with(CWD, &rename.oldpath, CWD, &rename.newpath, RenameFlags::NOREPLACE)?;
        }
        // OpenSSH's client sends the two the other way round, and everybody follows it.
        Packet::Symlink(link) => std::os::unix::fs::symlink(link.linkpath, link.targetpath)?,
        Packet::Extended(extended) if extended.request == POSIX_RENAME => {
            let (from, to) = two_texts(&extended.data).ok_or_else(|| {
                Refused(StatusCode::BadMessage, "two paths are wanted".to_owned())
            })?;
            fs::rename(from, to)?;
        }
        _ => return Err(Refused(StatusCode::OpUnsupported, "that is not done here".to_owned())),
    }
    Ok(())
}

fn open_file(path: &str, flags: OpenFlags, attributes: &FileAttributes) -> io::Result<File> {
    let mut options = fs::OpenOptions::from(flags);
    if let Some(mode) = attributes.permissions {
        options.mode(mode & 0o7777);
    }
    // A pipe must not hold the whole conversation up.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path)
}

fn read_at(file: &File, offset: u64, length: u32) -> Result<Vec<u8>, Refused> {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
    let mut data = vec![0; length];
    let count = file.read_at(&mut data, offset)?;
    if count == 0 && length > 0 {
        return Err(Refused(StatusCode::Eof, "the file ends here".to_owned()));
    }
    data.truncate(count);
    Ok(data)
}

fn change(path: &Path, wanted: &FileAttributes) -> Result<(), Refused> {
    if let Some(size) = wanted.size {
        fs::OpenOptions::new().write(true).open(path)?.set_len(size)?;
    }
    if let (Some(uid), Some(gid)) = (wanted.uid, wanted.gid) {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    if let Some(mode) = wanted.permissions {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?;
    }
    if let (Some(accessed), Some(modified)) = (wanted.atime, wanted.mtime) {
        let time = |seconds: u32| Timespec { tv_sec: seconds.into(), tv_nsec: 0 };
        let times = Timestamps { last_access: time(accessed), last_modification: time(modified) };
        utimensat(CWD, path, &times, AtFlags::empty())?;
    }
    Ok(())
}

/// The whole path, as far as it is there: a client asks where it is with `.`, and for the path of
/// what it is about to make.
fn real_path(path: &str) -> io::Result<String> {
    let path = if path.is_empty() { Path::new(".") } else { Path::new(path) };
    let found = match fs::canonicalize(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => std::path::absolute(path)?,
        found => found?,
    };
    Ok(found.to_string_lossy().into_owned())
}

fn attributes(id: u32, found: &fs::Metadata) -> Packet {
    Packet::Attrs(Attrs { id, attrs: attributes_of(found) })
}

fn attributes_of(found: &fs::Metadata) -> FileAttributes {
    let seconds = |time: i64| u32::try_from(time.max(0)).unwrap_or(u32::MAX);
    FileAttributes {
        size: Some(found.len()),
        uid: Some(found.uid()),
        gid: Some(found.gid()),
        permissions: Some(found.mode()),
        atime: Some(seconds(found.atime())),
        mtime: Some(seconds(found.mtime())),
        ..FileAttributes::default()
    }
}

fn name(id: u32, path: &str) -> Packet {
    Packet::Name(Name { id, files: vec![Entry::dummy(path)] })
}

fn refusal(id: u32, Refused(code, why): Refused) -> Packet {
    Packet::status(id, code, &why, "en")
}

fn no_handle() -> Refused {
    Refused(StatusCode::Failure, "nothing is open under that name".to_owned())
}

/// Two texts, each after its length.
fn two_texts(data: &[u8]) -> Option<(String, String)> {
    let text = |data: &[u8]| {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        Some((String::from_utf8(text.to_vec()).ok()?, rest.to_vec()))
    };
    let (first, rest) = text(data)?;
    let (second, _) = text(&rest)?;
    Some((first, second))
}

#[cfg(test)]
mod tests;
