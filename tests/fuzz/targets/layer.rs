//! A layer into a directory: whatever it holds, nothing beside the directory changes.
//!
//! Besides whole archives (first byte 0) there are recipes, from which archives with sound headers
//! are made: mutations of checksums would hardly ever get past the first header.
#![no_main]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;
const SECRET: &str = "not for layers";

fuzz_target!(|bytes: &[u8]| {
    let archive = match bytes.split_first() {
        Some((0, archive)) => archive.to_vec(),
        Some((_, recipe)) => cook(recipe),
        None => return,
    };
    let outside = tempfile::tempdir().expect("there is a place for temporary directories");
    let secret = outside.path().join("secret");
    fs::write(&secret, SECRET).expect("it can be written to");
    symlink("../secret", outside.path().join("link")).expect("it can be written to");
    let root = outside.path().join("root");
    fs::create_dir(&root).expect("it can be written to");
    let before = seen(outside.path());
    let _ = lattice_cell::images::fuzzing::unpack_layer(&root, &archive);
    assert_eq!(seen(outside.path()), before);
    assert_eq!(fs::read_to_string(&secret).expect("it is still there"), SECRET);
});

/// Names, kinds, owners and counts of links beside the root.
fn seen(outside: &Path) -> Vec<(String, u32, u32, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(outside).expect("it is still there") {
        let entry = entry.expect("it is still there");
        let name = entry.file_name().to_string_lossy().into_owned();
        let about = entry.metadata().expect("it is still there");
        if name == "root" {
            assert!(about.is_dir());
        } else {
            all.push((name, about.mode(), about.uid(), about.nlink()));
        }
    }
    all.sort();
    all
}

/// An archive from a recipe: for each entry a kind, a mode, and three texts after their lengths:
/// name, link, content.
fn cook(mut recipe: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    while let [kind, mode, rest @ ..] = recipe {
        recipe = rest;
        let (name, link, content) =
            (text(&mut recipe, 100), text(&mut recipe, 100), text(&mut recipe, 255));
        archive.extend(header(*kind, *mode, name, link, content.len()));
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn text<'r>(recipe: &mut &'r [u8], max: usize) -> &'r [u8] {
    let Some((length, rest)) = recipe.split_first() else { return &[] };
    let (text, rest) = rest.split_at(usize::from(*length).min(rest.len()).min(max));
    *recipe = rest;
    text
}

fn header(kind: u8, mode: u8, name: &[u8], link: &[u8], size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name);
    put(100, format!("{:07o}\0", u32::from(mode) << 4).as_bytes());
    put(108, b"0000000\x000000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0        ");
    put(156, &[kind]);
    put(157, link);
    put(257, b"ustar\x0000");
    put(329, b"0000000\x000000000\0");
    let sum: u32 = header.iter().map(|&b| u32::from(b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
