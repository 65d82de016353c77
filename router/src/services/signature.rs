//! What a request carries to a route service and back, so that a router knows that it was there:
//! the URL it was for and the time, under AES-GCM. Any router with the same secret can read it.
//! Pure.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine as _};
use lattice_model::Time;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::pbkdf2;
use serde::{Deserialize, Serialize};

use crate::{access_log, calendar};

/// What gorouter makes keys of secrets with.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_001).expect("it is not 0");
const KEY_BYTES: usize = 16;
const SECOND: i64 = 1_000_000_000;

/// As gorouter writes it, and forgives what it forgives.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// What signs, and what is believed.
#[derive(Clone)]
pub struct Keys(Arc<Both>);

struct Both {
    current: LessSafeKey,
    /// Believed, too, until all that it signed is back.
    old: Option<LessSafeKey>,
}

/// The two headers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// `X-CF-Proxy-Signature`.
    pub(crate) signature: String,
    /// `X-CF-Proxy-Metadata`.
    pub(crate) metadata: String,
}

/// Why a signature is not believed, in gorouter's words where it has some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// Only half of it came.
    #[error("No metadata found")]
    NoMetadata,
    /// Not what was sent.
    #[error("illegal base64 data at input byte {0}")]
    Base64(usize),
    /// Not what was sent.
    #[error("it holds no JSON as it should: {0}")]
    Json(String),
    /// Not what was sent.
    #[error("crypto/cipher: incorrect nonce length given to GCM")]
    Nonce,
    /// Another secret, or none.
    #[error("cipher: message authentication failed")]
    Forged,
    /// It stayed away for too long.
    #[error("route service request expired")]
    Expired,
    /// It was signed for what is no route any more.
    #[error("original request URL {0} does not exist in the routing table")]
    NoRoute(String),
    /// It was signed for another route.
    #[error("route service forwarded URL {asked} does not match the original request URL {signed}")]
    OtherRoute {
        /// The route that is asked for.
        asked: String,
        /// What was signed.
        signed: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Contents {
    #[serde(default)]
    forwarded_url: String,
    #[serde(default)]
    requested_time: String,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    #[serde(default)]
    nonce: String,
}

// === impl Keys ===

impl Keys {
    /// Those of secrets; the old one only believes.
    pub fn new(secret: &str, old: Option<&str>) -> Self {
        Self(Arc::new(Both { current: key(secret), old: old.map(key) }))
    }

    /// Signs a URL at a moment. The nonce must never be used twice.
    pub(crate) fn sign(&self, url: &str, at: Time, nonce: [u8; NONCE_LEN]) -> Signed {
        let contents = Contents { forwarded_url: url.to_owned(), requested_time: written(at) };
        let mut bytes = json(&contents);
        let unique = Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.current.seal_in_place_append_tag(unique, Aad::empty(), &mut bytes);
        sealed.expect("a URL is shorter than what a key can seal");
        let metadata = Metadata { nonce: STANDARD.encode(nonce) };
        Signed { signature: BASE64.encode(bytes), metadata: BASE64.encode(json(&metadata)) }
    }

    /// The URL that was signed, no longer than `timeout` ago.
    pub(crate) fn verify(
        &self,
        signature: &[u8],
        metadata: &[u8],
        (now, timeout): (Time, Duration),
    ) -> Result<String, Unsigned> {
        let opened = match (open(&self.0.current, signature, metadata), &self.0.old) {
            (Err(_), Some(old)) => open(old, signature, metadata),
            (opened, _) => opened,
        };
        let contents = opened?;
        let at = read(&contents.requested_time)
            .ok_or_else(|| Unsigned::Json(format!("`{}` is no time", contents.requested_time)))?;
        if now.since(at) > timeout { Err(Unsigned::Expired) } else { Ok(contents.forwarded_url) }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("has_old", &self.0.old.is_some()).finish()
    }
}

fn key(secret: &str) -> LessSafeKey {
    let mut bytes = [0; KEY_BYTES];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, b"", secret.as_bytes(), &mut bytes);
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &bytes).expect("it is as long as it must be"))
}

fn json(what: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(what).expect("texts are JSON")
}

fn open(key: &LessSafeKey, signature: &[u8], metadata: &[u8]) -> Result<Contents, Unsigned> {
    if metadata.is_empty() {
        return Err(Unsigned::NoMetadata);
    }
    let no_json = |error: serde_json::Error| Unsigned::Json(error.to_string());
    let metadata: Metadata =
        serde_json::from_slice(&decode(&BASE64, metadata)?).map_err(no_json)?;
    let nonce = decode(&STANDARD, metadata.nonce.as_bytes())?;
    let mut sealed = decode(&BASE64, signature)?;
    let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| Unsigned::Nonce)?;
    let opened = key.open_in_place(nonce, Aad::empty(), &mut sealed);
    serde_json::from_slice(opened.map_err(|_| Unsigned::Forged)?).map_err(no_json)
}

fn decode(engine: &GeneralPurpose, text: &[u8]) -> Result<Vec<u8>, Unsigned> {
    engine.decode(text).map_err(|error| {
        Unsigned::Base64(match error {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol { offset: at, .. } => {
                at
            }
            _ => text.len() - text.len() % 4,
        })
    })
}

/// A moment as JSON has it in Go: RFC 3339, with as many digits as it takes.
fn written(at: Time) -> String {
    let mut text = String::new();
    access_log::timestamp(&mut text, at);
    let digits = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.').len();
    text.truncate(digits);
    text.push('Z');
    text
}

/// The moment of a text in RFC 3339.
fn read(text: &str) -> Option<Time> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone);
    let (clock, nanos) = clock.split_once('.').unwrap_or((clock, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let nanos: i64 = format!("{nanos:0<9}").get(..9)?.parse().ok()?;
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = (calendar::days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    let utc = local - offset(zone)?;
    utc.checked_mul(SECOND)?.checked_add(nanos).map(Time)
}

fn numbers(text: &str, by: char) -> Option<[i64; 3]> {
    let mut parts = text.split(by).map(|part| {
        let is_number = part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|_| is_number)
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first()? {
        b'-' => -1,
        b'+' => 1,
        _ => return (zone.len() == 1).then_some(0),
    };
    let [hours, minutes, _] = numbers(&format!("{}:0", &zone[1..]), ':')?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests;
