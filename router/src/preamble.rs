//! The PROXY protocol's header, versions 1 and 2: who a load balancer speaks for, told before a
//! connection's first byte. Pure.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest line of version 1, with its end.
const LINE_BYTES_MAX: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const WORD: &[u8] = b"PROXY ";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

/// What a connection's first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// Perhaps a header; more has to come.
    Partial,
    /// No header: the client's own bytes.
    Absent,
    /// A header of so many bytes, and for whom it speaks, if for anybody.
    Header { length: usize, source: Option<SocketAddr> },
    /// What began as a header, and is none.
    Malformed,
}

impl Preamble {
    /// Reads what is there.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let begins = |with: &[u8]| {
            let n = bytes.len().min(with.len());
            bytes[..n] == with[..n]
        };
        match (begins(WORD), begins(SIGNATURE)) {
            (true, _) if bytes.len() < WORD.len() => Self::Partial,
            (true, _) => Self::of_line(bytes),
            (_, true) if bytes.len() < FIXED_BYTES => Self::Partial,
            (_, true) => Self::of_record(bytes),
            (false, false) => Self::Absent,
        }
    }

    /// `PROXY TCP4 SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT`.
    fn of_line(bytes: &[u8]) -> Self {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return if bytes.len() < LINE_BYTES_MAX { Self::Partial } else { Self::Malformed };
        };
        let length = end + 2;
        let line = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        let source = match words.as_slice() {
            ["PROXY", "UNKNOWN", ..] => None,
            ["PROXY", family, source, destination, port, destination_port] => {
                let source = address(family, source, port);
                if source.is_none() || address(family, destination, destination_port).is_none() {
                    return Self::Malformed;
                }
                source
            }
            _ => return Self::Malformed,
        };
        if length > LINE_BYTES_MAX { Self::Malformed } else { Self::Header { length, source } }
    }

    fn of_record(bytes: &[u8]) -> Self {
        let length = FIXED_BYTES + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        let (version, command, family) = (bytes[12] >> 4, bytes[12] & 15, bytes[13] >> 4);
        if version != 2 || command > 1 {
            return Self::Malformed;
        }
        let Some(body) = bytes.get(FIXED_BYTES..length) else { return Self::Partial };
        let source = match (command, family) {
            // The load balancer itself, as for its own checks.
            (0, _) => Ok(None),
            (_, 1) => ipv4(body).map(Some).ok_or(()),
            (_, 2) => ipv6(body).map(Some).ok_or(()),
            (_, _) => Ok(None),
        };
        match source {
            Ok(source) => Self::Header { length, source },
            Err(()) => Self::Malformed,
        }
    }
}

fn address(family: &str, ip: &str, port: &str) -> Option<SocketAddr> {
    let ip = match family {
        "TCP4" => IpAddr::V4(ip.parse().ok()?),
        "TCP6" => IpAddr::V6(ip.parse().ok()?),
        _ => return None,
    };
    let is_number = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    Some(SocketAddr::new(ip, is_number.then(|| port.parse().ok())??))
}

fn ipv4(body: &[u8]) -> Option<SocketAddr> {
    let ip: [u8; 4] = body.get(..4)?.try_into().ok()?;
    let port: [u8; 2] = body.get(8..10)?.try_into().ok()?;
    body.get(..12)?;
    Some(SocketAddr::new(Ipv4Addr::from(ip).into(), u16::from_be_bytes(port)))
}

fn ipv6(body: &[u8]) -> Option<SocketAddr> {
    let ip: [u8; 16] = body.get(..16)?.try_into().ok()?;
    let port: [u8; 2] = body.get(32..34)?.try_into().ok()?;
    body.get(..36)?;
    Some(SocketAddr::new(Ipv6Addr::from(ip).into(), u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(length: usize, source: &str) -> Preamble {
        Preamble::Header { length, source: source.parse().ok() }
    }

    #[test]
    fn lines_are_read_or_refused() {
        use Preamble::{Absent, Malformed, Partial};
        for (line, expected) in [
            ("PROXY TCP4 1.2.3.4 5.6.7.8 99 80\r\nGET", header(34, "1.2.3.4:99")),
            ("PROXY TCP6 ::1 ::2 99 80\r\n", header(26, "[::1]:99")),
            ("PROXY UNKNOWN\r\n", header(15, "")),
            ("PROXY UNKNOWN a b c d\r\n", header(23, "")),
            ("", Partial),
            ("PRO", Partial),
            ("PROXY TCP4 1.2.3.4", Partial),
            ("GET / HTTP/1.1\r\n", Absent),
            ("PROXZ", Absent),
            ("\r\nGET", Absent),
            ("PROXY TCP4 ::1 ::2 99 80\r\n", Malformed),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 +9 80\r\n", Malformed),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 99999 80\r\n", Malformed),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 99\r\n", Malformed),
            ("PROXY UDP4 1.2.3.4 5.6.7.8 99 80\r\n", Malformed),
            ("PROXY  TCP4 1.2.3.4 5.6.7.8 99 80\r\n", Malformed),
        ] {
            assert_eq!(Preamble::read(line.as_bytes()), expected, "{line:?}");
        }
        assert_eq!(Preamble::read(&[b"PROXY ".as_slice(), &[b'x'; 110]].concat()), Malformed);
    }

    #[test]
    fn records_are_read_or_refused() {
        let record = |kind: u8, family: u8, body: &[u8]| {
            let length = u16::try_from(body.len()).unwrap().to_be_bytes();
            [SIGNATURE.as_slice(), &[kind, family], &length, body].concat()
        };
        let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0, 99, 0, 80];
        let v6 = [&[0; 15], [1].as_slice(), &[0; 16], &[0, 99, 0, 80]].concat();
        for (bytes, expected) in [
            (record(0x21, 0x11, &v4), header(28, "1.2.3.4:99")),
            (record(0x21, 0x21, &v6), header(52, "[::1]:99")),
            (record(0x21, 0x11, &[v4.as_slice(), b"tlv"].concat()), header(31, "1.2.3.4:99")),
            (record(0x20, 0x11, &v4), header(28, "")),
            (record(0x21, 0x00, b""), header(16, "")),
            (record(0x21, 0x11, &v4[..11]), Preamble::Malformed),
            (record(0x11, 0x11, &v4), Preamble::Malformed),
            (record(0x22, 0x11, &v4), Preamble::Malformed),
        ] {
            assert_eq!(Preamble::read(&bytes), expected, "{bytes:?}");
            assert_eq!(Preamble::read(&bytes[..13]), Preamble::Partial);
        }
    }

    proptest! {
        #[test]
        fn a_header_is_the_same_whatever_follows_and_partial_before_its_end(
            rest in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
            cut in 0_usize..34,
        ) {
            let line = b"PROXY TCP4 1.2.3.4 5.6.7.8 99 80\r\n";
            let whole = [line.as_slice(), &rest].concat();
            prop_assert_eq!(Preamble::read(&whole), header(34, "1.2.3.4:99"));
            prop_assert_eq!(Preamble::read(&line[..cut]), Preamble::Partial);
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            if let Preamble::Header { length, .. } = Preamble::read(&bytes) {
                prop_assert!(length <= bytes.len());
            }
            let signed = [SIGNATURE.as_slice(), &bytes].concat();
            if let Preamble::Header { length, .. } = Preamble::read(&signed) {
                prop_assert!(length <= signed.len());
            }
        }
    }
}
