//! The name of an image, as typed and as an LRP's rootfs; each kind of text leads back to itself.
#![no_main]

use lattice_model::ImageRef;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(image) = ImageRef::parse(text) {
        assert_eq!(ImageRef::parse(&image.to_string()).as_ref(), Ok(&image));
        assert_eq!(ImageRef::from_rootfs(&image.to_rootfs()), Ok(image));
    }
    if let Ok(image) = ImageRef::from_rootfs(text) {
        assert_eq!(ImageRef::from_rootfs(&image.to_rootfs()), Ok(image));
    }
});
