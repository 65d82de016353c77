//! An answer in parts: the first line is the content type, the rest the parts.
#![no_main]

use lattice_api::log_aggregator::multipart;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
    let Ok(content_type) = std::str::from_utf8(&bytes[..end]) else { return };
    let content = bytes.get(end + 1..).unwrap_or_default();
    let Ok(parts) = multipart::decode(content_type, content) else { return };
    assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= content.len());
    let boundary = "a-boundary-that-no-part-holds";
    if content.windows(boundary.len()).any(|window| window == boundary.as_bytes()) {
        return;
    }
    let written = multipart::encode(&parts, boundary);
    let again = multipart::decode(&multipart::content_type(boundary), &written);
    let expected = if parts.is_empty() { Vec::new() } else { parts };
    assert_eq!(again, Ok(expected));
});
