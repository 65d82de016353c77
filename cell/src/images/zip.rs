//! Reads a zip archive as the tar stream that it would be, in the order of its directory: so one
//! reader, one set of limits and one way to apply entries serve both. What it holds in memory is one
//! entry's names. It takes what is stored or deflated, and no encryption.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Cursor, Read};
use std::os::unix::fs::FileExt as _;

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

/// What an archive with entries begins with, and one without.
const BEGINNINGS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
const LOCAL: u64 = 0x0403_4b50;
const CENTRAL: u64 = 0x0201_4b50;
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const END_64_LOCATOR: &[u8] = b"PK\x06\x07";
const END_64_LOCATOR_BYTES: u64 = 20;
const END_64: &[u8] = b"PK\x06\x06";
/// The longest comment, after which an archive ends.
const COMMENT_BYTES_MAX: usize = u16::MAX as usize;
/// The longest target of a symbolic link.
const LINK_BYTES_MAX: u64 = 4096;
/// Extra fields: sizes beyond 32 bits, and a time.
const EXTRA_64: u64 = 1;
const EXTRA_TIME: u64 = 0x5455;
const STORED: u64 = 0;
const DEFLATED: u64 = 8;
/// Systems whose files have modes.
const UNIX: [u8; 2] = [3, 19];
const BLOCK: usize = 512;

/// The archive as a tar stream.
pub(super) struct AsTar<'a> {
    file: &'a File,
    directory: BufReader<Section<'a>>,
    entries_left: u64,
    /// What comes before the content: headers, and the padding of the entry before.
    pending: Cursor<Vec<u8>>,
    content: Option<Content<'a>>,
}

/// What the directory says of an entry.
struct Entry {
    name: Vec<u8>,
    method: u64,
    checksum: u32,
    packed: u64,
    size: u64,
    offset: u64,
    /// Type and rights as Unix has them; 0 where the archive was made by a system without.
    mode: u32,
    /// In seconds.
    mtime: u64,
}

/// An entry's content, which must be what the directory says.
struct Content<'a> {
    reader: Box<dyn Read + 'a>,
    left: u64,
    size: u64,
    checksum: u32,
    sum: Crc,
}

/// A part of the file.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

/// Whether the file is a zip archive, by its beginning.
pub(super) fn is_zip(file: &File) -> io::Result<bool> {
    let mut beginning = [0; 4];
    let count = file.read_at(&mut beginning, 0)?;
    Ok(BEGINNINGS.contains(&&beginning[..count]))
}

// === impl AsTar ===

impl<'a> AsTar<'a> {
    /// Finds the directory.
    pub(super) fn new(file: &'a File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let tail_bytes = length.min((END_BYTES + COMMENT_BYTES_MAX) as u64);
        let mut tail = vec![0; tail_bytes as usize];
        file.read_exact_at(&mut tail, length - tail_bytes)?;
        let at = end_in(&tail).ok_or_else(|| invalid("it has no end, and so no directory"))?;
        let end = &tail[at..];
        let end_at = length - tail_bytes + at as u64;
        let [disk, entries] = [4, 10].map(|at| number(end, at, 2));
        let [bytes, offset] = [12, 16].map(|at| number(end, at, 4));
        let found = (entries, bytes, offset);
        let (entries_left, bytes, offset) = match directory_64(file, end_at)? {
            Some(found) => found,
            None if disk != 0 => return Err(invalid("it is one of several parts")),
            None => found,
        };
        let directory_end = offset.checked_add(bytes).filter(|end| *end <= end_at);
        let end = directory_end.ok_or_else(|| invalid("its directory is not within it"))?;
        let directory = BufReader::new(Section { file, at: offset, end });
        Ok(Self { file, directory, entries_left, pending: Cursor::default(), content: None })
    }

    /// Makes the next entry what is read; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(left) = self.entries_left.checked_sub(1) else {
            let is_all = self.directory.fill_buf()?.is_empty();
            let more = "its directory holds more entries than it says";
            return if is_all { Ok(false) } else { Err(invalid(more)) };
        };
        self.entries_left = left;
        let entry = Entry::read(&mut self.directory)?;
        let mut content = entry.content(self.file)?;
        let (mut kind, mut size, mut link) = (tar::EntryType::Regular, entry.size, Vec::new());
        match entry.mode & libc::S_IFMT {
            libc::S_IFLNK => {
                if entry.size > LINK_BYTES_MAX {
                    return Err(invalid("a link is longer than any path"));
                }
                content.read_to_end(&mut link)?;
                (kind, size) = (tar::EntryType::Symlink, 0);
            }
            _ if entry.name.ends_with(b"/") => (kind, size) = (tar::EntryType::Directory, 0),
            0 | libc::S_IFREG => {}
            libc::S_IFDIR => (kind, size) = (tar::EntryType::Directory, 0),
            _ => return Err(invalid("an entry is neither a file nor a directory nor a link")),
        }
        let mut headers = std::mem::take(&mut self.pending).into_inner();
        headers.clear();
        entry.write_headers(&mut headers, kind, (size, &link))?;
        self.pending = Cursor::new(headers);
        self.content = (kind == tar::EntryType::Regular).then_some(content);
        Ok(true)
    }
}

impl Read for AsTar<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.pending.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if let Some(content) = &mut self.content {
                let count = content.read(buffer)?;
                if count > 0 {
                    return Ok(count);
                }
                self.pending = Cursor::new(vec![0; padding(content.size)]);
                self.content = None;
            } else if !self.advance()? {
                return Ok(0);
            }
        }
    }
}

// === impl Entry ===

impl Entry {
    /// The next one of the directory.
    fn read(directory: &mut impl Read) -> io::Result<Self> {
        let mut fixed = [0; 46];
        directory.read_exact(&mut fixed).map_err(cut_off)?;
        let field = |at, bytes| number(&fixed, at, bytes);
        if field(0, 4) != CENTRAL {
            return Err(invalid("its directory is damaged"));
        }
        if field(8, 2) & 1 != 0 {
            return Err(invalid("it is encrypted"));
        }
        let name = read_bytes(directory, field(28, 2))?;
        let extra = read_bytes(directory, field(30, 2))?;
        read_bytes(directory, field(32, 2))?;
        if name.contains(&0) {
            return Err(invalid("a name holds a zero byte"));
        }
        let has_mode = UNIX.contains(&fixed[5]);
        let mut entry = Self {
            name,
            method: field(10, 2),
            checksum: field(16, 4) as u32,
            packed: field(20, 4),
            size: field(24, 4),
            offset: field(42, 4),
            mode: if has_mode { field(40, 2) as u32 } else { 0 },
            mtime: seconds(field(14, 2), field(12, 2)),
        };
        entry.extend(&extra);
        Ok(entry)
    }

    /// Takes what extra fields say: sizes where there was no room for them, and a better time.
    fn extend(&mut self, mut extra: &[u8]) {
        while let Some((head, rest)) = extra.split_at_checked(4) {
            let Some((field, rest)) = rest.split_at_checked(number(head, 2, 2) as usize) else {
                return;
            };
            extra = rest;
            match number(head, 0, 2) {
                EXTRA_64 => {
                    let short = [&mut self.size, &mut self.packed, &mut self.offset];
                    let wide = short.into_iter().filter(|short| **short == u64::from(u32::MAX));
                    wide.zip(field.chunks_exact(8)).for_each(|(short, wide)| {
                        *short = number(wide, 0, 8);
                    });
                }
                EXTRA_TIME if field.len() >= 5 && field[0] & 1 != 0 => {
                    self.mtime = number(field, 1, 4);
                }
                _ => {}
            }
        }
    }

    /// Its content, once the header before it is found to be this entry's.
    fn content<'a>(&self, file: &'a File) -> io::Result<Content<'a>> {
        let mut fixed = [0; 30];
        file.read_exact_at(&mut fixed, self.offset).map_err(cut_off)?;
        let [name_bytes, extra_bytes] = [26, 28].map(|at| number(&fixed, at, 2));
        let name_at = self.offset + fixed.len() as u64;
        let mut named = vec![0; name_bytes as usize];
        file.read_exact_at(&mut named, name_at).map_err(cut_off)?;
        if number(&fixed, 0, 4) != LOCAL || named != self.name {
            return Err(invalid("its directory does not agree with its entries"));
        }
        let at = name_at + name_bytes + extra_bytes;
        let end = at.checked_add(self.packed).ok_or_else(|| invalid("an entry is too long"))?;
        let packed = Section { file, at, end };
        let reader: Box<dyn Read + 'a> = match self.method {
            STORED => Box::new(packed),
            DEFLATED => Box::new(DeflateDecoder::new(BufReader::new(packed))),
            other => {
                let why = format!(
                    "it is packed by method {other}; 0 (stored) and 8 (deflated) are taken"
                );
                return Err(invalid(&why));
            }
        };
        let (size, checksum) = (self.size, self.checksum);
        Ok(Content { reader, left: size, size, checksum, sum: Crc::new() })
    }

    /// As tar has it; names that are longer than a header has room for come before.
    fn write_headers(
        &self,
        to: &mut Vec<u8>,
        kind: tar::EntryType,
        (size, link): (u64, &[u8]),
    ) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        let fields = header.as_old_mut();
        let texts = [
            (tar::EntryType::GNULongName, &self.name[..], &mut fields.name),
            (tar::EntryType::GNULongLink, link, &mut fields.linkname),
        ];
        for (kind, text, field) in texts {
            match field.get_mut(..text.len()) {
                Some(field) => field.copy_from_slice(text),
                None => write_long(to, kind, text),
            }
        }
        let is_directory = kind == tar::EntryType::Directory;
        let usual = if is_directory { 0o755 } else { 0o644 };
        header.set_mode(if self.mode == 0 { usual } else { self.mode & 0o7777 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header.set_entry_type(kind);
        header.set_cksum();
        to.extend_from_slice(header.as_bytes());
        Ok(())
    }
}

// === impl Content ===

impl Content<'_> {
    /// At its end: there is no more of it, and it is what it was.
    fn check(&mut self) -> io::Result<()> {
        if self.reader.read(&mut [0])? > 0 {
            return Err(invalid("an entry is longer than its directory says"));
        }
        if self.sum.sum() != self.checksum {
            return Err(invalid("an entry is damaged: its checksum is wrong"));
        }
        Ok(())
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left.min(buffer.len() as u64) as usize;
        if most == 0 {
            return if buffer.is_empty() { Ok(0) } else { self.check().map(|()| 0) };
        }
        let count = self.reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(invalid("an entry is shorter than its directory says"));
        }
        self.sum.update(&buffer[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = (self.end - self.at).min(buffer.len() as u64) as usize;
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Where the record at an archive's end is in its last bytes.
fn end_in(tail: &[u8]) -> Option<usize> {
    let last = tail.len().checked_sub(END_BYTES)?;
    (0..=last).rev().find(|at| {
        let comment = number(&tail[*at..], 20, 2) as usize;
        tail[*at..].starts_with(END) && at + END_BYTES + comment == tail.len()
    })
}

/// How many entries there are, and where their directory is, of an archive that says it in 64 bits.
fn directory_64(file: &File, end_at: u64) -> io::Result<Option<(u64, u64, u64)>> {
    let Some(locator_at) = end_at.checked_sub(END_64_LOCATOR_BYTES) else { return Ok(None) };
    let mut locator = [0; END_64_LOCATOR_BYTES as usize];
    file.read_exact_at(&mut locator, locator_at)?;
    if !locator.starts_with(END_64_LOCATOR) {
        return Ok(None);
    }
    let mut end = [0; 56];
    file.read_exact_at(&mut end, number(&locator, 8, 8)).map_err(cut_off)?;
    if !end.starts_with(END_64) {
        return Err(invalid("its directory is damaged"));
    }
    Ok(Some((number(&end, 32, 8), number(&end, 40, 8), number(&end, 48, 8))))
}

fn write_long(to: &mut Vec<u8>, kind: tar::EntryType, text: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(text.len() as u64);
    header.set_cksum();
    to.extend_from_slice(header.as_bytes());
    to.extend_from_slice(text);
    to.resize(to.len() + padding(text.len() as u64), 0);
}

fn read_bytes(from: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count as usize];
    from.read_exact(&mut bytes).map_err(cut_off)?;
    Ok(bytes)
}

/// A number of at most eight bytes, the lowest first.
fn number(bytes: &[u8], at: usize, count: usize) -> u64 {
    let field = bytes[at..at + count].iter().rev();
    field.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn padding(size: u64) -> usize {
    (BLOCK - size as usize % BLOCK) % BLOCK
}

/// Seconds since 1970 of a date and a time as DOS had them; 0 where they are none. They are in nobody's
/// zone, and are taken for UTC.
fn seconds(date: u64, time: u64) -> u64 {
    const DAYS_BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
    let Some(before) = month.checked_sub(1).and_then(|at| DAYS_BEFORE.get(at as usize)) else {
        return 0;
    };
    // Until the leap day of a leap year only those of the years before count.
    let leaps_until = if month > 2 { year } else { year - 1 };
    let leap_days = leaps_until / 4 - leaps_until / 100 + leaps_until / 400 - 477;
    let days = (year - 1970) * 365 + leap_days + before + day.max(1) - 1;
    days * 86_400 + (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2
}

fn cut_off(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => invalid("it ends in the middle of an entry"),
        _ => error,
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
