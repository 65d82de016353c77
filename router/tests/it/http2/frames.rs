//! HTTP/2 frame by frame: what no client of good conduct would send.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::asking;
use crate::support::{Wire, World};
use crate::tls::{Authority, connect};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const ACK: u8 = 1;

/// What answers end with.
pub(super) const NO_ERROR: u32 = 0;
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const INTERNAL_ERROR: u32 = 2;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const COMPRESSION_ERROR: u32 = 9;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// A connection that was begun in order.
pub(super) struct Raw(Wire<TlsStream<TcpStream>>);

impl Raw {
    pub(super) async fn connect(world: &World, authority: &Authority) -> Self {
        Self::with_settings(world, authority, &[]).await
    }

    /// With settings of its own.
    pub(super) async fn with_settings(
        world: &World,
        authority: &Authority,
        settings: &[(u16, u32)],
    ) -> Self {
        let mut wire = connect(world.addr, "web.test", asking(authority)).await.unwrap();
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let payload = settings
            .iter()
            .flat_map(|(key, value)| [key.to_be_bytes().as_slice(), &value.to_be_bytes()].concat());
        let payload: Vec<u8> = payload.collect();
        let mut raw = Self(wire);
        raw.send(SETTINGS, 0, 0, &payload).await;
        raw
    }

    /// Sends a frame; whether the router still listens.
    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.0.try_send(frame(kind, flags, stream, payload)).await.is_ok()
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.0.try_send(bytes).await.is_ok()
    }

    /// The next frame; none at the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let head = self.0.take(9).await;
        let [a, b, c, kind, flags, s0, s1, s2, s3] = head.try_into().ok()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.0.take(length).await;
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload })
    }

    /// The next frame of a kind.
    pub(super) async fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }

    /// How the stream or the connection ends: the error's number, and whether it is the
    /// connection's; none if it is closed without a word.
    pub(super) async fn ends(&mut self) -> Option<(u32, bool)> {
        self.next_of(&[RST_STREAM, GOAWAY]).await.map(|frame| frame.error())
    }
}

impl Frame {
    /// The error that ends a stream or the connection, and which of the two.
    pub(super) fn error(&self) -> (u32, bool) {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload[at..at + 4].try_into().unwrap();
        (u32::from_be_bytes(code), self.kind == GOAWAY)
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [head.as_slice(), payload].concat()
}

/// Headers packed as they are: no table, no code (RFC 7541 6.2.2).
pub(super) fn packed(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        out.push(0);
        text(&mut out, name.as_bytes());
        text(&mut out, value.as_bytes());
    }
    out
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    if length < 127 {
        out.push(u8::try_from(length).unwrap());
    } else {
        out.push(127);
        length -= 127;
        while length >= 128 {
            out.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        out.push(u8::try_from(length).unwrap());
    }
    out.extend_from_slice(bytes);
}

/// The lines of a plain request.
pub(super) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "web.test"), (":path", "/")];
