//! A zip archive into a container's root: whatever it holds, nothing beside the root changes.
//!
//! Besides whole archives (first byte 0) there are recipes, from which archives are made whose
//! directories and checksums are right: mutations would hardly ever come past them.
#![no_main]

use std::fs;
use std::os::unix::fs::symlink;

use libfuzzer_sys::fuzz_target;

const SECRET: &str = "not for archives";
/// Types and rights that recipes choose from.
const MODES: [u32; 6] = [0o100_644, 0o40_755, 0o120_777, 0o104_755, 0, 0o60_600];

fuzz_target!(|bytes: &[u8]| {
    let archive = match bytes.split_first() {
        Some((0, archive)) => archive.to_vec(),
        Some((_, recipe)) => cook(recipe),
        None => return,
    };
    let outside = tempfile::tempdir().expect("there is a place for temporary directories");
    let secret = outside.path().join("secret");
    fs::write(&secret, SECRET).expect("it can be written to");
    let root = outside.path().join("root");
    fs::create_dir(&root).expect("it can be written to");
    symlink("../secret", root.join("link")).expect("it can be written to");
    let _ = lattice_cell::images::fuzzing::extract_zip(&root, &archive);
    let left: Vec<_> = fs::read_dir(outside.path()).expect("it is still there").collect();
    assert_eq!(left.len(), 2);
    assert_eq!(fs::read_to_string(&secret).expect("it is still there"), SECRET);
});

/// An archive from a recipe: for each entry a mode, and two texts after their lengths: name, content.
fn cook(mut recipe: &[u8]) -> Vec<u8> {
    let (mut entries, mut directory, mut count) = (Vec::new(), Vec::new(), 0_u16);
    while let [mode, rest @ ..] = recipe {
        recipe = rest;
        let (name, content) = (text(&mut recipe), text(&mut recipe));
        let mode = MODES[usize::from(*mode) % MODES.len()];
        let offset = u32::try_from(entries.len()).expect("recipes are short");
        let length = u32::try_from(content.len()).expect("recipes are short");
        let mut shared = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for long in [checksum(content), length, length] {
            shared.extend(long.to_le_bytes());
        }
        shared.extend([u8::try_from(name.len()).expect("it has one byte for it"), 0]);
        entries.extend([&b"PK\x03\x04"[..], &shared, &[0, 0], name, content].concat());
        directory.extend([&b"PK\x01\x02\x14\x03"[..], &shared, &[0; 8]].concat());
        directory.extend([(mode << 16).to_le_bytes(), offset.to_le_bytes()].concat());
        directory.extend_from_slice(name);
        count = count.wrapping_add(1);
    }
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    for length in [directory.len(), entries.len()] {
        end.extend(u32::try_from(length).expect("recipes are short").to_le_bytes());
    }
    end.extend([0, 0]);
    [entries, directory, end].concat()
}

fn text<'r>(recipe: &mut &'r [u8]) -> &'r [u8] {
    let Some((length, rest)) = recipe.split_first() else { return &[] };
    let (text, rest) = rest.split_at(usize::from(*length).min(rest.len()));
    *recipe = rest;
    text
}

/// CRC-32, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ 0xedb8_8320 * (sum & 1))
    });
    !sum
}
