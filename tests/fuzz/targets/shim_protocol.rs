//! What a cell and the process that holds an instance say to each other: whatever is read is written
//! and read again the same, and nothing else makes either side fail.
#![no_main]

use lattice_shim_protocol::{Answer, Frames, Request, Settings, Stamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut frames = Frames::default();
    for piece in bytes.chunks(7) {
        frames.push(piece);
        while let Ok(Some(frame)) = frames.take() {
            if let Ok(request) = Request::decode(&frame) {
                assert_eq!(Request::decode(&again(|into| request.encode(into))), Ok(request));
            }
            if let Ok(answer) = Answer::decode(&frame) {
                assert_eq!(Answer::decode(&again(|into| answer.encode(into))), Ok(answer));
            }
        }
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(stamp) = Stamp::parse(&text) {
        assert_eq!(Stamp::parse(&stamp.print()), Ok(stamp));
    }
    if let Ok(settings) = Settings::parse(&text)
        && let Ok(printed) = settings.print()
    {
        assert_eq!(Settings::parse(&printed), Ok(settings));
    }
});

/// A message as the one frame that it becomes.
fn again(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    let mut frames = Frames::default();
    frames.push(&bytes);
    frames.take().expect("what is written is a frame").expect("and a whole one")
}
