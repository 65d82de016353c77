//! Where messages of HTTP/1 end, for both ends of the tables' connections.

use std::io::Read;

/// How a message's body ends.
#[derive(Clone, Copy)]
enum End {
    Length(usize),
    Chunks,
    Close,
}

/// What a greeting of TLS begins with; to who speaks in clear it is a whole request.
const HANDSHAKE: u8 = 0x16;

/// The next request's bytes; nothing if none comes.
pub(super) fn request(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    message(stream, buffer, |head| end_of(head).unwrap_or(End::Length(0)))
}

/// The next answer's bytes, informational or not; nothing if none comes.
pub(super) fn answer(
    stream: &mut impl Read,
    buffer: &mut Vec<u8>,
    is_to_head: bool,
) -> Option<Vec<u8>> {
    message(stream, buffer, |head| match &head[9.min(head.len())..12.min(head.len())] {
        "101" => End::Close,
        "204" | "304" => End::Length(0),
        status if is_to_head || status.starts_with('1') => End::Length(0),
        _ => end_of(head).unwrap_or(End::Close),
    })
}

fn message(
    stream: &mut impl Read,
    buffer: &mut Vec<u8>,
    end: impl Fn(&str) -> End,
) -> Option<Vec<u8>> {
    let head = loop {
        match buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            Some(at) => break at + 4,
            None if buffer.first() == Some(&HANDSHAKE) => break buffer.len(),
            None if more(stream, buffer) => {}
            None => return None,
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let whole = match end(&text) {
        End::Length(length) => {
            until(stream, buffer, |buffer| (buffer.len() >= head + length).then_some(head + length))
        }
        End::Chunks => until(stream, buffer, |buffer| chunks(buffer, head)),
        End::Close => until(stream, buffer, |_| None),
    };
    Some(buffer.drain(..whole).collect())
}

/// Reads until it is said where the message ends, or until the connection does.
fn until(
    stream: &mut impl Read,
    buffer: &mut Vec<u8>,
    end: impl Fn(&[u8]) -> Option<usize>,
) -> usize {
    loop {
        if let Some(end) = end(buffer) {
            return end;
        }
        if !more(stream, buffer) {
            return buffer.len();
        }
    }
}

fn more(stream: &mut impl Read, buffer: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 16 * 1024];
    match stream.read(&mut chunk) {
        Ok(n @ 1..) => {
            buffer.extend_from_slice(&chunk[..n]);
            true
        }
        Ok(0) | Err(_) => false,
    }
}

fn end_of(head: &str) -> Option<End> {
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    if value("transfer-encoding:").is_some() {
        return Some(End::Chunks);
    }
    Some(End::Length(value("content-length:")?.trim().parse().ok()?))
}

/// Where chunks that begin here end, trailers included.
fn chunks(bytes: &[u8], mut at: usize) -> Option<usize> {
    let line = |at: usize| {
        let rest = bytes.get(at..)?;
        Some(at + rest.windows(2).position(|two| two == b"\r\n")? + 2)
    };
    loop {
        let end = line(at)?;
        let size = std::str::from_utf8(&bytes[at..end - 2]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        at = end;
        if size > 0 {
            at += size + 2;
            continue;
        }
        loop {
            let end = line(at)?;
            if end == at + 2 {
                return Some(end);
            }
            at = end;
        }
    }
}
