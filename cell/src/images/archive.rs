//! Reads tar streams entry by entry, with a limit on everything a stream can make big; and undoes
//! gzip and zstd. It decides nothing about what an entry is for.

use std::io::{self, Read};

use super::plan::Kind;

const BLOCK: usize = 512;
const EXTENSION_BYTES_MAX: u64 = 1024 * 1024;
/// zstd windows beyond this would take too much memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const ATTRIBUTE_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What an entry's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    size: u64,
}

/// A tar stream.
pub(crate) struct Archive<R> {
    reader: R,
    /// What is left of the current entry's content, and of the padding after it.
    content: u64,
    padding: u64,
}

/// What extension headers say of the entry that follows.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

// === impl Archive ===

impl<R: Read> Archive<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, content: 0, padding: 0 }
    }

    /// The next entry; what was not read of the last one is skipped. `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Head>> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_rest()?;
            let Some(block) = self.block()? else { return Ok(None) };
            let header = tar::Header::from_byte_slice(&block);
            check_sum(header, &block)?;
            let size = extensions.size.unwrap_or(header.entry_size()?);
            match header.entry_type().as_byte() {
                b'x' => extensions.read_pax(&self.extension(header.entry_size()?)?)?,
                b'L' => extensions.name = Some(trimmed(self.extension(header.entry_size()?)?)),
                b'K' => extensions.link = Some(trimmed(self.extension(header.entry_size()?)?)),
                b'g' => drop(self.extension(header.entry_size()?)?),
                _ => {
                    let head = extensions.head(header, size)?;
                    self.expect(if head.kind == Kind::File { size } else { 0 });
                    return Ok(Some(head));
                }
            }
        }
    }

    /// The content of the entry that came last.
    pub(crate) fn content(&mut self) -> impl Read + '_ {
        Content { archive: self }
    }

    /// Reads to the end of the stream, past the end of the archive.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        io::copy(&mut self.reader, &mut io::sink()).map(|_| ())
    }

    fn expect(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        let rest = self.content.saturating_add(self.padding);
        let skipped = io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink())?;
        if skipped < rest {
            return Err(truncated());
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    /// A header's block; `None` at the end: blocks of zeros, or the end of the stream.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(truncated()),
                n => filled += n,
            }
        }
        Ok(block.iter().any(|b| *b != 0).then_some(block))
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > EXTENSION_BYTES_MAX {
            let why = format!("a header of {size} bytes; at most {EXTENSION_BYTES_MAX} are taken");
            return Err(invalid(why));
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

struct Content<'a, R> {
    archive: &'a mut Archive<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = (buffer.len() as u64).min(self.archive.content) as usize;
        if most == 0 {
            return Ok(0);
        }
        let n = self.archive.reader.read(&mut buffer[..most])?;
        if n == 0 {
            return Err(truncated());
        }
        self.archive.content -= n as u64;
        Ok(n)
    }
}

// === impl Extensions ===

impl Extensions {
    fn head(self, header: &tar::Header, size: u64) -> io::Result<Head> {
        let name = self.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = self.link.or_else(|| header.link_name_bytes().map(|l| l.into_owned()));
        let id = |from_pax: Option<u64>, from_header: io::Result<u64>| {
            let id = from_pax.map_or(from_header, Ok)?;
            u32::try_from(id).map_err(|_| invalid(format!("the owner {id} is no 32-bit number")))
        };
        let kind = kind_of(header, &name)?;
        Ok(Head {
            kind,
            mode: header.mode()? & 0o7777,
            uid: id(self.uid, header.uid())?,
            gid: id(self.gid, header.gid())?,
            mtime: match self.mtime {
                Some(mtime) => mtime,
                None => (i64::try_from(header.mtime()?).unwrap_or(0), 0),
            },
            attributes: self.attributes,
            size,
            name,
            link,
        })
    }

    /// `LENGTH KEY=VALUE\n`, again and again.
    fn read_pax(&mut self, mut records: &[u8]) -> io::Result<()> {
        let malformed = || invalid("a PAX header is malformed".to_owned());
        while !records.is_empty() {
            let space = records.iter().position(|b| *b == b' ').ok_or_else(malformed)?;
            let length = decimal(&records[..space]).ok_or_else(malformed)?;
            let length = usize::try_from(length).map_err(|_| malformed())?;
            if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
                return Err(malformed());
            }
            let record = &records[space + 1..length - 1];
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(malformed)?;
            self.take(&record[..equals], &record[equals + 1..])?;
            records = &records[length..];
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let number = || {
            decimal(value).ok_or_else(|| invalid("a PAX header's number is malformed".to_owned()))
        };
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => self.mtime = time(value),
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(invalid("sparse files are not taken; build the layer without".into()));
            }
            key => {
                if let Some(name) = key.strip_prefix(ATTRIBUTE_PREFIX) {
                    self.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// Undoes what compression the first bytes show.
pub(crate) fn decompressed<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::with_capacity(4);
    reader.by_ref().take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole = io::Cursor::new(magic).chain(reader);
    if kind.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(whole))));
    }
    if kind.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::new(whole)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        return Ok(Box::new(decoder));
    }
    if kind.starts_with(b"PK\x03\x04") {
        return Err(invalid("it is a zip archive; tar, tar.gz and tar.zst are taken".to_owned()));
    }
    Ok(Box::new(io::BufReader::new(whole)))
}

fn kind_of(header: &tar::Header, name: &[u8]) -> io::Result<Kind> {
    Ok(match header.entry_type().as_byte() {
        // Old archives write directories as files whose names end in a slash.
        b'0' | b'\0' if name.ends_with(b"/") => Kind::Directory,
        b'0' | b'\0' | b'7' => Kind::File,
        b'1' => Kind::Hardlink,
        b'2' => Kind::Symlink,
        b'3' => {
            let major = header.device_major()?.unwrap_or(u32::MAX);
            Kind::CharDevice(major, header.device_minor()?.unwrap_or(u32::MAX))
        }
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    })
}

fn check_sum(header: &tar::Header, block: &[u8; BLOCK]) -> io::Result<()> {
    let sum: u32 = block[..148].iter().chain(&block[156..]).map(|b| u32::from(*b)).sum();
    let sum = sum + 8 * u32::from(b' ');
    if header.cksum().is_ok_and(|stored| stored == sum) {
        return Ok(());
    }
    Err(invalid("it is not a tar archive, or is damaged: a header's checksum is wrong".to_owned()))
}

fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn decimal(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// `SECONDS[.FRACTION]`; what cannot be read is no time at all.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some((seconds.parse().ok()?, digits.parse().ok()?))
}

fn truncated() -> io::Error {
    invalid("it ends in the middle of an entry".to_owned())
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
