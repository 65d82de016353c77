//! The name a client asks for in the first message of TLS. Nothing is taken from what was read: it
//! goes on to the endpoint as it came.

use rustls::server::Acceptor;

/// More is read from no client before it is decided where it gets.
pub(crate) const BYTES_MAX: usize = 16 * 1024;
/// The first byte of a TLS connection: a record of the handshake.
const HANDSHAKE: u8 = 0x16;

/// What the bytes read so far say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// Not yet anything.
    Partial,
    /// This name is asked for, in lower case.
    Name(String),
    /// No name, or no TLS at all.
    Nameless,
}

/// Reads a greeting from all that a client has sent.
pub(crate) fn read(bytes: &[u8]) -> Greeting {
    match bytes.first() {
        None => return Greeting::Partial,
        Some(&HANDSHAKE) => {}
        Some(_) => return Greeting::Nameless,
    }
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return Greeting::Nameless;
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                return name.map_or(Greeting::Nameless, Greeting::Name);
            }
            Err(_) => return Greeting::Nameless,
        }
    }
    if bytes.len() < BYTES_MAX { Greeting::Partial } else { Greeting::Nameless }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_name_is_found_as_soon_as_the_greeting_is_whole() {
        let bytes = hello("DB.test");
        for n in 0..bytes.len() {
            assert_eq!(read(&bytes[..n]), Greeting::Partial, "{n} of {} bytes", bytes.len());
        }
        assert_eq!(read(&bytes), Greeting::Name("db.test".to_owned()));
        let more = [&bytes[..], b"early data"].concat();
        assert_eq!(read(&more), Greeting::Name("db.test".to_owned()));
    }

    #[test]
    fn who_asks_for_no_name_has_none() {
        let mut endless = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
        endless.resize(BYTES_MAX, 0);
        for bytes in [&hello("192.0.2.1")[..], b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\0\0", &endless]
        {
            assert_eq!(read(bytes), Greeting::Nameless, "{:?}", &bytes[..bytes.len().min(16)]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decided_upon(tail in proptest::collection::vec(any::<u8>(), 0..600)) {
            let bytes = [&[HANDSHAKE, 3, 1][..], &tail].concat();
            let decided = read(&bytes);
            let longer = read(&[&bytes[..], b"x"].concat());
            if decided != Greeting::Partial {
                prop_assert_eq!(longer, decided);
            }
        }
    }
}
