//! Reads the kernel's tables of TCP sockets; pure.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state number of a listening socket.
const LISTEN: &str = "0A";

/// The listening sockets in a `/proc/net/tcp` or `/proc/net/tcp6`; lines it does not understand
/// are passed over.
pub(super) fn parse(table: &str) -> Vec<SocketAddr> {
    table.lines().skip(1).filter_map(listening).collect()
}

fn listening(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    if state != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some(SocketAddr::new(ip(address)?, u16::from_str_radix(port, 16).ok()?))
}

/// Addresses are 32-bit words in the machine's own byte order.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at..at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(local: &str, state: &str, expected: Option<&str>) {
        let table = format!(
            "  sl  local_address rem_address   st tx_queue\n\
             0: {local} 00000000:0000 {state} 00:0\n"
        );
        let found = parse(&table).first().map(SocketAddr::to_string);
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn listening_sockets_are_read() {
        check("0100007F:1F90", "0A", Some("127.0.0.1:8080"));
        check("00000000:0050", "0A", Some("0.0.0.0:80"));
        check("00000000000000000000000000000000:0050", "0A", Some("[::]:80"));
        check("00000000000000000000000001000000:0050", "0A", Some("[::1]:80"));
    }

    #[test]
    fn other_sockets_and_odd_lines_are_passed_over() {
        check("0100007F:1F90", "01", None);
        check("01:1F90", "0A", None);
        check("nonsense", "0A", None);
    }
}
