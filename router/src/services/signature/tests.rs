use proptest::prelude::*;

use super::*;

const NOW: Time = Time(1_700_000_000_123_456_789);
const MINUTE: Duration = Duration::from_secs(60);
const NONCE: [u8; 12] = [7; 12];

fn verify(keys: &Keys, signed: &Signed, now: Time) -> Result<String, Unsigned> {
    keys.verify(signed.signature.as_bytes(), signed.metadata.as_bytes(), (now, MINUTE))
}

#[test]
fn what_gorouter_signs_is_believed() {
    // Made with Python's cryptography: PBKDF2 and AES-GCM as the facts say.
    let signature = include_str!("gorouter.signature").trim();
    let metadata = include_str!("gorouter.metadata").trim();
    let keys = Keys::new("super-cool-secret", None);
    let at = Time(1_700_000_000_500_000_000);
    let url = keys.verify(signature.as_bytes(), metadata.as_bytes(), (at, MINUTE));
    assert_eq!(url.as_deref(), Ok("https://web.test/a?b=c"));
}

#[test]
fn a_signature_is_good_for_its_time_and_for_who_knows_the_secret() {
    let (ours, theirs) = (Keys::new("ours", None), Keys::new("theirs", None));
    let changed = Keys::new("new", Some("ours"));
    let signed = ours.sign("https://web.test/", NOW, NONCE);
    let url = Ok("https://web.test/".to_owned());
    let later = |duration| NOW + duration;
    for (keys, now, expected) in [
        (&ours, NOW, url.clone()),
        (&ours, later(MINUTE), url.clone()),
        (&ours, later(MINUTE + Duration::from_nanos(1)), Err(Unsigned::Expired)),
        // The clock of whoever signed it goes ahead.
        (&ours, Time(NOW.0 - 3_600 * SECOND), url.clone()),
        (&changed, NOW, url),
        (&changed, later(2 * MINUTE), Err(Unsigned::Expired)),
        (&theirs, NOW, Err(Unsigned::Forged)),
    ] {
        assert_eq!(verify(keys, &signed, now), expected, "{keys:?} {now:?}");
    }
    let by_new = changed.sign("https://web.test/", NOW, NONCE);
    assert_eq!(verify(&ours, &by_new, NOW), Err(Unsigned::Forged), "the old one does not sign");
}

#[test]
fn what_is_no_signature_is_refused() {
    let keys = Keys::new("ours", None);
    let good = keys.sign("https://web.test/", NOW, NONCE);
    let nonce = |text: &str| BASE64.encode(text);
    let sealed = |contents: &str| {
        let mut bytes = contents.as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(NONCE);
        keys.0.current.seal_in_place_append_tag(unique, Aad::empty(), &mut bytes).unwrap();
        BASE64.encode(bytes)
    };
    for (signature, metadata, expected) in [
        (good.signature.clone(), String::new(), "No metadata found"),
        ("a!b".to_owned(), good.metadata.clone(), "illegal base64 data at input byte 1"),
        ("abcde".to_owned(), good.metadata.clone(), "illegal base64 data at input byte 4"),
        (good.signature.clone(), "%%".to_owned(), "illegal base64 data at input byte 0"),
        (good.signature.clone(), nonce("{"), "it holds no JSON"),
        (good.signature.clone(), nonce("{}"), "incorrect nonce length"),
        (good.signature.clone(), nonce(r#"{"nonce":"AAAA"}"#), "incorrect nonce length"),
        (good.signature.clone(), nonce(r#"{"nonce":"AAAAAAAAAAAAAAAA"}"#), "authentication failed"),
        (String::new(), good.metadata.clone(), "authentication failed"),
        (sealed("no json"), good.metadata.clone(), "it holds no JSON"),
        (sealed(r#"{"forwarded_url":"https://a/"}"#), good.metadata.clone(), "`` is no time"),
        (sealed(r#"{"requested_time":"now"}"#), good.metadata.clone(), "`now` is no time"),
    ] {
        let refused = keys.verify(signature.as_bytes(), metadata.as_bytes(), (NOW, MINUTE));
        let why = refused.unwrap_err().to_string();
        assert!(why.contains(expected), "{signature} {metadata}: {why}");
    }
}

#[test]
fn moments_are_written_and_read_as_go_does() {
    for (at, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (1_700_000_000_100_000_000, "2023-11-14T22:13:20.1Z"),
        (951_782_400 * SECOND, "2000-02-29T00:00:00Z"),
    ] {
        assert_eq!(written(Time(at)), text);
        assert_eq!(read(text), Some(Time(at)));
    }
    for (text, expected) in [
        ("2023-11-14T23:13:20+01:00", Some(1_700_000_000)),
        ("2023-11-14T17:43:20-04:30", Some(1_700_000_000)),
        ("2023-11-14T22:13:20", None),
        ("2023-11-14", None),
        ("2023-13-14T22:13:20Z", None),
        ("2023-11-14T25:13:20Z", None),
        ("2023-11-14T22:13:20Zulu", None),
        ("2023-11-14T22:13:20+99:00", None),
        ("-023-11-14T22:13:20Z", None),
        ("99999-11-14T22:13:20Z", None),
        ("9999-11-14T22:13:20Z", None),
        ("2023-11-14T22:13:20.\u{e9}Z", None),
    ] {
        assert_eq!(read(text).map(|at| at.0 / SECOND), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_moment_is_read_as_it_was_written(nanos in 0..4_000_000_000 * SECOND) {
        prop_assert_eq!(read(&written(Time(nanos))), Some(Time(nanos)));
    }

    #[test]
    fn any_url_comes_back_and_no_changed_signature_does(
        url in "[ -~]{0,200}", nonce: [u8; 12], at in 0_usize..1000, bit in 0_u8..8,
    ) {
        let keys = KEYS.with(Keys::clone);
        let signed = keys.sign(&url, NOW, nonce);
        prop_assert_eq!(verify(&keys, &signed, NOW), Ok(url));
        let mut bytes = BASE64.decode(&signed.signature).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let changed = Signed { signature: BASE64.encode(bytes), metadata: signed.metadata };
        prop_assert_eq!(verify(&keys, &changed, NOW), Err(Unsigned::Forged));
    }
}

thread_local! {
    /// Making keys takes long.
    static KEYS: Keys = Keys::new("ours", None);
}
